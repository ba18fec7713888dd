//! Answers of ours in a ticket: the entry that shows one, in the transaction that puts its mail into the outbox.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use super::match_store::{self, Participant};
use super::service::TicketError;
use super::store::{self, Entry, Ticket};
use super::{change, find};
use crate::clock::Clock;
use crate::event::{self, NewEvent};
use crate::project;

/// An answer of ours.
#[derive(Clone, Copy, Debug)]
pub struct NewReply<'a> {
    /// Id of its entry: `ent_` + ULID.
    pub entry_id: &'a str,
    /// Who did it, for the event.
    pub actor: &'a str,
    /// How its writer is shown.
    pub author: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Message-ID of its mail: an answer to it joins the ticket.
    pub rfc_message_id: &'a str,
    /// The signed address that its mail asks answers to, if it does.
    pub reply_address: Option<&'a str>,
    /// Id of its outgoing mail.
    pub outgoing_id: &'a str,
    /// To whom it goes, in lower case: they take part from now on, so that their answers join.
    pub recipients: &'a [String],
}

/// The ticket that an answer goes into, which nobody else changes until the transaction ends. If it was merged since it
/// was looked at, the one that is left.
pub async fn hold<C: ConnectionTrait>(on: &C, ticket: &Ticket) -> Result<Ticket, TicketError> {
    // A merge or a split holds the project as well: it is over, or begins afterwards.
    project::lock(on, &ticket.project_id).await?;
    change::locked(on, &ticket.id).await?.ok_or(TicketError::NotFound)
}

/// Adds the entry, remembers the Message-ID, appends the event. The ticket must be held.
pub async fn add_reply<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    ticket: &Ticket,
    reply: &NewReply<'_>,
) -> Result<(), DbErr> {
    let now = clock.now_ms();
    let entry = Entry {
        id: reply.entry_id.to_owned(),
        ticket_id: ticket.id.clone(),
        kind: "reply".into(),
        message_id: None,
        author: reply.author.to_owned(),
        body: reply.text.to_owned(),
        created_at: now,
    };
    store::insert_reply(on, &entry).await?;
    find::index_entry(on, &entry, &ticket.project_id).await?;
    let ids = [reply.rfc_message_id.to_owned()];
    store::remember_ids(on, &ticket.project_id, &ids, &ticket.id, reply.outgoing_id).await?;
    if let Some(address) = reply.reply_address {
        store::remember_address(on, &ticket.project_id, &ticket.id, reply.outgoing_id, address).await?;
    }
    let people: Vec<Participant> = reply
        .recipients
        .iter()
        .map(|address| Participant {
            address: address.clone(),
            role: "cc".to_owned(),
        })
        .collect();
    match_store::add_participants(on, &ticket.id, reply.outgoing_id, &people, now).await?;
    let event = NewEvent {
        kind: "ticket.updated",
        project_id: &ticket.project_id,
        subject_id: &ticket.id,
        actor: reply.actor,
        data: json!({ "key": ticket.key, "entryId": reply.entry_id, "replyId": reply.outgoing_id }),
    };
    event::append(on, clock, event).await.map(drop)
}

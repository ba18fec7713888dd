//! Answers of ours in a ticket: the entry that shows one, in the transaction that puts its mail into the outbox.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use super::find;
use super::match_store::{self, Participant};
use super::store::{self, Entry, Ticket};
use crate::clock::Clock;
use crate::event::{self, NewEvent};

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
    /// Id of its outgoing mail.
    pub outgoing_id: &'a str,
    /// To whom it goes, in lower case: they take part from now on, so that their answers join.
    pub recipients: &'a [String],
}

/// Adds the entry, remembers the Message-ID, appends the event.
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
    let people: Vec<Participant> = reply
        .recipients
        .iter()
        .map(|address| Participant {
            address: address.clone(),
            role: "cc".to_owned(),
        })
        .collect();
    match_store::add_participants(on, &ticket.id, "", &people, now).await?;
    let event = NewEvent {
        kind: "ticket.updated",
        project_id: &ticket.project_id,
        subject_id: &ticket.id,
        actor: reply.actor,
        data: json!({ "key": ticket.key, "entryId": reply.entry_id, "replyId": reply.outgoing_id }),
    };
    event::append(on, clock, event).await.map(drop)
}

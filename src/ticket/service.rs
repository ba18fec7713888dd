//! What can be done with tickets.

use mailgrant_mail::thread_token::{Token, Verdict};
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Value, json};

use super::identity;
use super::match_store::{self, Participant, Related};
use super::model::{Incoming, Placed, TicketState};
use super::resolve::{self, Candidate, Clue, ClueKind, Resolution, Sender};
use super::same_mail_store;
use super::store::{self, Entry, Ticket};
use crate::access::Projects;
use crate::clock::Clock;
use crate::crypto::KeyRing;
use crate::ctx::Ctx;
use crate::message::{Kind, Page, SenderVerdict};
use crate::trouble::FieldError;
use crate::{id, project};

/// Why a ticket could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// There is none with this id or key.
    #[error("there is no such ticket")]
    NotFound,
    /// The cursor of the list is not one of ours.
    #[error("the cursor `after` is not one that a list gave out")]
    BadCursor,
    /// Fields that do not fit; nothing was changed.
    #[error("the ticket was not saved: {}", .0.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join(" "))]
    Invalid(Vec<FieldError>),
    /// Somebody else changed it meanwhile.
    #[error("the ticket was changed meanwhile; load it again and repeat the change")]
    Conflict,
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

/// A ticket with its entries, oldest first.
#[derive(Clone, Debug)]
pub struct TicketDetail {
    /// The ticket.
    pub ticket: Ticket,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Who takes part in it.
    pub participants: Vec<Participant>,
    /// Tickets that it is linked with.
    pub related: Vec<Related>,
    /// Keys of the tickets that were merged into it.
    pub merged: Vec<String>,
}

/// Decides which ticket a message joins; changes nothing. The project must be locked by the caller (`project::lock`).
pub async fn resolve<C: ConnectionTrait>(
    on: &C,
    keys: &KeyRing,
    clock: &Clock,
    incoming: &Incoming<'_>,
) -> Result<Resolution, DbErr> {
    let people = &incoming.mail.people;
    let from = people.from.first().map_or("", String::as_str);
    let sender = Sender {
        is_single: people.from.len() == 1,
        is_verified: people.verdict == SenderVerdict::Verified,
        is_refuted: people.verdict == SenderVerdict::Failed,
        is_ours: incoming.sender_is_agent || is_own(incoming, from),
    };
    if let Some(shown) = same_mail_store::find(on, incoming, sender.is_verified).await? {
        return Ok(shown);
    }
    Ok(resolve::resolve(
        sender,
        &clues(on, keys, clock, incoming, from).await?,
    ))
}

/// Tokens that are judged of one mail.
const MOST_TOKENS: usize = 20;

/// Everything in a mail that leads to a ticket of its project, the stronger first.
async fn clues<C: ConnectionTrait>(
    on: &C,
    keys: &KeyRing,
    clock: &Clock,
    incoming: &Incoming<'_>,
    from: &str,
) -> Result<Vec<Clue>, DbErr> {
    let (mail, project, now) = (incoming.mail, incoming.project_id, clock.now_ms());
    let people = &mail.people;
    let ids = mail.answers.iter().enumerate().filter_map(|(distance, id)| {
        Some(Found {
            token: Token::from_message_id(id)?,
            kind: ClueKind::SignedId,
            address: None,
            distance,
        })
    });
    let addresses = people
        .delivered_to
        .iter()
        .chain(&people.to)
        .chain(&people.cc)
        .filter_map(|address| {
            Some(Found {
                token: Token::from_address(address)?,
                kind: ClueKind::Address,
                address: Some(address),
                distance: resolve::FAR,
            })
        });
    // A Message-ID names one mail of ours, an address all that went to one person on one day.
    let tokens: Vec<_> = ids.take(MOST_TOKENS).chain(addresses.take(MOST_TOKENS)).collect();
    let mut clues = Vec::new();
    if !tokens.is_empty() {
        let signer = identity::signer(keys);
        // A bounce comes from a server; what it knows is whom the mail was for.
        let senders: Vec<&str> = people
            .from
            .iter()
            .chain(&people.bounced)
            .map(String::as_str)
            .collect();
        for found in tokens {
            let verdict = signer.verify(&found.token, project, &senders, identity::today(clock));
            // The number of a forged one says nothing, and may be another project's.
            let candidate = if verdict == Verdict::Forged {
                None
            } else {
                signed_candidate(on, project, &found, from, now).await?
            };
            clues.push(Clue {
                kind: (found.kind)(verdict),
                distance: found.distance,
                candidate,
            });
        }
    }
    for (distance, candidate) in match_store::of_references(on, project, &mail.answers, from, now).await? {
        clues.push(Clue {
            kind: ClueKind::Reference,
            distance,
            candidate: Some(candidate),
        });
    }
    for number in resolve::keys_in_subject(&mail.subject, incoming.project_key) {
        clues.push(Clue {
            kind: ClueKind::SubjectKey,
            distance: resolve::FAR,
            candidate: match_store::of_number(on, project, number, from, now).await?,
        });
    }
    note_family(on, &mut clues).await?;
    Ok(clues)
}

/// A token of a mail, not yet judged.
struct Found<'a> {
    token: Token,
    kind: fn(Verdict) -> ClueKind,
    /// The address it stood in; none if it stood in a Message-ID.
    address: Option<&'a str>,
    distance: usize,
}

/// The ticket that a token of ours leads to: where the mail is now that it was made for, or else the ticket that it was
/// written in.
async fn signed_candidate<C: ConnectionTrait>(
    on: &C,
    project: &str,
    found: &Found<'_>,
    from: &str,
    now: i64,
) -> Result<Option<Candidate>, DbErr> {
    let moved = match found.address {
        Some(address) => match_store::of_reply_address(on, project, address, from, now).await?,
        None => match_store::of_named_mail(on, project, found.token.message(), from, now).await?,
    };
    match (moved, i64::try_from(found.token.ticket())) {
        (None, Ok(number)) => match_store::of_number(on, project, number, from, now).await,
        (moved, _) => Ok(moved),
    }
}

/// Which candidates were one ticket with the one that a token leads to. Asked only if they are several.
async fn note_family<C: ConnectionTrait>(on: &C, clues: &mut [Clue]) -> Result<(), DbErr> {
    let is_valid = |clue: &&Clue| {
        matches!(
            clue.kind,
            ClueKind::Address(Verdict::Valid) | ClueKind::SignedId(Verdict::Valid)
        )
    };
    let signed = clues
        .iter()
        .filter(is_valid)
        .find_map(|clue| clue.candidate.as_ref());
    let Some(ticket_id) = signed.map(|candidate| candidate.ticket_id.clone()) else {
        return Ok(());
    };
    let others = clues.iter().filter_map(|clue| clue.candidate.as_ref());
    if others
        .into_iter()
        .all(|candidate| candidate.ticket_id == ticket_id)
    {
        return Ok(());
    }
    let kin = match_store::kin(on, &ticket_id).await?;
    for candidate in clues.iter_mut().filter_map(|clue| clue.candidate.as_mut()) {
        if kin.contains(&candidate.ticket_id) {
            candidate.family.clone_from(&ticket_id);
        }
    }
    Ok(())
}

fn is_own(incoming: &Incoming<'_>, address: &str) -> bool {
    incoming.own_addresses.iter().any(|own| own == address) || Token::from_address(address).is_some()
}

/// Who takes part from this mail on. Our own addresses do not: they stand in every mail.
pub(super) fn participants(incoming: &Incoming<'_>) -> Vec<Participant> {
    let people = &incoming.mail.people;
    let is_ours = |address: &String| is_own(incoming, address) || people.delivered_to.contains(address);
    [("from", &people.from), ("to", &people.to), ("cc", &people.cc)]
        .into_iter()
        .flat_map(|(role, list)| list.iter().map(move |address| (role, address)))
        .filter(|(_, address)| !is_ours(address))
        .map(|(role, address)| Participant {
            address: address.clone(),
            role: role.to_owned(),
        })
        .collect()
}

/// Puts a message where its resolution says, in the caller's transaction, which calls [`enter`] before it ends for what
/// is not a further copy. The project must be locked by the caller since before it was resolved (`project::lock`).
pub async fn place<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    incoming: &Incoming<'_>,
    resolution: &Resolution,
) -> Result<Placed, DbErr> {
    let now = clock.now_ms();
    let (project_id, message_id) = (incoming.project_id, incoming.message_id);
    if let (Some(joined), Some(entry_id)) = (&resolution.joins, &resolution.shown_by) {
        // What finds the ticket and who takes part is noted with the first copy, and moves with it.
        return Ok(Placed {
            ticket_id: joined.ticket_id.clone(),
            key: joined.key.clone(),
            entry_id: entry_id.clone(),
            is_new: false,
            is_copy: true,
            reopened_from: None,
            message_id: message_id.to_owned(),
            project_id: project_id.to_owned(),
            author: author(incoming),
            rule: resolution.rule,
            at: now,
        });
    }
    let is_new = resolution.joins.is_none();
    let (ticket_id, key) = match &resolution.joins {
        Some(joined) => (joined.ticket_id.clone(), joined.key.clone()),
        None => open(on, clock, incoming, resolution, now).await?,
    };
    let ids = &incoming.mail.message_ids;
    store::remember_ids(on, project_id, ids, &ticket_id, message_id).await?;
    let people = participants(incoming);
    let mut reopened_from = None;
    if is_new {
        match_store::first_participants(on, &ticket_id, message_id, &people, now).await?;
    } else {
        let outline = &incoming.mail.outline;
        reopened_from = store::joined(on, &ticket_id, opens_again(outline.kind), now).await?;
        match_store::add_participants(on, &ticket_id, message_id, &people, now).await?;
    }
    Ok(Placed {
        ticket_id,
        key,
        entry_id: id::new("ent", clock),
        is_new,
        is_copy: false,
        reopened_from,
        message_id: message_id.to_owned(),
        project_id: project_id.to_owned(),
        author: author(incoming),
        rule: resolution.rule,
        at: now,
    })
}

/// Writes what nobody asks for while messages are placed, for all of them together: their entries, and the words of new
/// tickets.
pub async fn enter<C: ConnectionTrait>(on: &C, placed: &[Placed]) -> Result<(), DbErr> {
    store::insert_entries(on, placed).await?;
    let new = placed.iter().filter(|placed| placed.is_new);
    let new: Vec<&str> = new.map(|placed| placed.ticket_id.as_str()).collect();
    store::index_all(on, &new).await
}

impl Placed {
    /// The type of the event that tells of it.
    pub fn event_kind(&self) -> &'static str {
        if self.is_new {
            "ticket.created"
        } else {
            "ticket.updated"
        }
    }

    /// What the event says.
    pub fn event_data(&self) -> Value {
        let mut data = json!({
            "key": self.key, "entryId": self.entry_id, "messageId": self.message_id, "rule": self.rule.as_str(),
        });
        if let Some(state) = &self.reopened_from {
            data["changes"] = json!({ "state": { "from": state, "to": TicketState::Open.as_str() } });
        }
        data
    }
}

/// Whether a mail of this kind opens a closed or pending ticket again: one that asks somebody to act. What nobody wrote
/// would bring every closed ticket back as soon as its requester is on holiday.
fn opens_again(kind: Kind) -> bool {
    match kind {
        Kind::Person | Kind::Bounce => true,
        Kind::AutoReply | Kind::Report | Kind::Bulk => false,
    }
}

/// Opens a ticket, linked with the one that the message may belong to.
async fn open<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    incoming: &Incoming<'_>,
    resolution: &Resolution,
    now: i64,
) -> Result<(String, String), DbErr> {
    let number = project::next_number(on, incoming.project_id).await?;
    let ticket_id = id::new("tkt", clock);
    let key = format!("{}-{number}", incoming.project_key);
    let row = store::NewRow {
        id: &ticket_id,
        project_id: incoming.project_id,
        number,
        key: &key,
        subject: &incoming.mail.subject,
        requester_name: &incoming.mail.from_name,
        requester_email: &incoming.mail.from_email,
        entries: 1,
    };
    store::insert_ticket(on, &row, now).await?;
    if let Some(other) = &resolution.possibly {
        match_store::link(on, &ticket_id, &other.ticket_id, POSSIBLY_RELATED, now).await?;
    }
    Ok((ticket_id, key))
}

/// The link between a ticket and one that its first mail may belong to.
pub(super) const POSSIBLY_RELATED: &str = "possibly_related";

fn author(incoming: &Incoming<'_>) -> String {
    match (
        incoming.mail.from_name.as_str(),
        incoming.mail.from_email.as_str(),
    ) {
        ("", email) => email.to_owned(),
        (name, "") => name.to_owned(),
        (name, email) => format!("{name} <{email}>"),
    }
}

/// One ticket of these projects with its entries; of a merged one, the one that is left.
pub async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<TicketDetail, TicketError> {
    let ticket = store::by_id(ctx.db.read(), projects, id)
        .await?
        .ok_or(TicketError::NotFound)?;
    detail(ctx, projects, ticket).await
}

/// One ticket of these projects by its key, for example `HELP-42`; of a merged one, the one that is left.
pub async fn get_by_key(ctx: &Ctx, projects: &Projects, key: &str) -> Result<TicketDetail, TicketError> {
    let ticket = store::by_key(ctx.db.read(), projects, key)
        .await?
        .ok_or(TicketError::NotFound)?;
    detail(ctx, projects, ticket).await
}

/// One ticket of these projects by its id or key, also if it was merged; [`Ticket::merged_into`] says where it went.
pub async fn as_it_is(ctx: &Ctx, projects: &Projects, named: &str) -> Result<Ticket, TicketError> {
    let on = ctx.db.read();
    match store::by_id(on, projects, named).await? {
        None => store::by_key(on, projects, named).await?,
        found => found,
    }
    .ok_or(TicketError::NotFound)
}

/// The ticket that is meant by an id or a key: of a merged one, the one that is left.
pub async fn present(ctx: &Ctx, projects: &Projects, named: &str) -> Result<Ticket, TicketError> {
    let found = as_it_is(ctx, projects, named).await?;
    match found.merged_into.as_str() {
        "" => Ok(found),
        into => as_it_is(ctx, projects, into).await,
    }
}

/// Entries of a ticket, oldest first, `limit` at most.
pub async fn entries(
    ctx: &Ctx,
    ticket: &Ticket,
    after: Option<&str>,
    limit: u64,
) -> Result<Page<Entry>, TicketError> {
    let place = |text: &str| {
        let (at, id) = text.split_once('.')?;
        Some((at.parse().ok()?, id.to_owned()))
    };
    let after = match after {
        Some(text) => Some(place(text).ok_or(TicketError::BadCursor)?),
        None => None,
    };
    let mut items = store::entries_after(ctx.db.read(), &ticket.id, after, limit + 1).await?;
    let more = items.len() as u64 > limit;
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = items.last().filter(|_| more);
    let next = last.map(|entry| format!("{}.{}", entry.created_at, entry.id));
    Ok(Page { items, next })
}

/// One entry of a ticket.
pub async fn entry(ctx: &Ctx, ticket: &Ticket, id: &str) -> Result<Entry, TicketError> {
    store::entry_of(ctx.db.read(), &ticket.id, id)
        .await?
        .ok_or(TicketError::NotFound)
}

async fn detail(ctx: &Ctx, projects: &Projects, found: Ticket) -> Result<TicketDetail, TicketError> {
    let on = ctx.db.read();
    let ticket = match found.merged_into.as_str() {
        "" => found,
        into => store::by_id(on, projects, into)
            .await?
            .ok_or(TicketError::NotFound)?,
    };
    Ok(TicketDetail {
        entries: store::entries_of(on, &ticket.id).await?,
        participants: match_store::participants(on, &ticket.id).await?,
        related: match_store::related(on, &ticket.id).await?,
        merged: match_store::merged_keys(on, &ticket).await?,
        ticket,
    })
}

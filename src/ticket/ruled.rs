//! What a project's rules for incoming mail do to tickets: another place for a mail, and what its ticket gets.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Value, json};

use super::change;
use super::match_store;
use super::model::{Incoming, Placed};
use super::resolve::{Candidate, Resolution, Rule};
use super::service::participants;
use super::store;
use crate::access::Projects;
use crate::clock::Clock;
use crate::event::{self, NewEvent, SYSTEM};

/// A mail that is shown already stays one, whatever rules say of its further copies.
impl Resolution {
    /// The same when a rule wants a ticket of its own for the mail.
    #[must_use]
    pub fn opened_by(self, rule: &str) -> Self {
        if self.shown_by.is_some() {
            return self;
        }
        Self {
            rule: Rule::MailRule,
            why: format!("The rule “{rule}” opens a ticket of its own for it."),
            possibly: self.joins.or(self.possibly),
            joins: None,
            sender_verified: self.sender_verified,
            shown_by: None,
        }
    }

    /// The same when a rule adds the mail to a certain ticket.
    #[must_use]
    pub fn added_by(self, rule: &str, ticket: Candidate) -> Self {
        if self.shown_by.is_some() {
            return self;
        }
        Self {
            rule: Rule::MailRule,
            why: format!("The rule “{rule}” adds it to {}.", ticket.key),
            joins: Some(ticket),
            possibly: None,
            sender_verified: self.sender_verified,
            shown_by: None,
        }
    }
}

/// The ticket of a key in the message's project; of a merged one, the one it was merged into.
pub async fn named<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    incoming: &Incoming<'_>,
    key: &str,
) -> Result<Option<Candidate>, DbErr> {
    let Some((project, number)) = key.rsplit_once('-') else {
        return Ok(None);
    };
    match number.parse() {
        Ok(number) if project == incoming.project_key => {
            match_store::of_number(on, incoming.project_id, number, "", clock.now_ms()).await
        }
        _ => Ok(None),
    }
}

/// What rules want for a message's ticket.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// Empty leaves it.
    pub priority: &'a str,
    /// Added to those it has.
    pub labels: &'a [String],
    /// Empty leaves it.
    pub assignee_id: &'a str,
}

/// Fulfils wishes in the transaction that placed the message, whose event says that the ticket changed. Priority and
/// assignee are for a new ticket: in one that was there, agents have decided. Returns what was left out.
pub async fn dress<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    placed: &Placed,
    wishes: &Wishes<'_>,
) -> Result<Vec<&'static str>, DbErr> {
    let mut left_out = Vec::new();
    let mut wish = |what: &'static str, value: &'_ str| {
        if !placed.is_new && !value.is_empty() {
            left_out.push(what);
        }
    };
    wish("priority", wishes.priority);
    wish("assigneeId", wishes.assignee_id);
    if placed.is_new && !(wishes.priority.is_empty() && wishes.assignee_id.is_empty()) {
        store::set_first(on, &placed.ticket_id, wishes.priority, wishes.assignee_id).await?;
    }
    if wishes.labels.is_empty() {
        return Ok(left_out);
    }
    // Held: of a second copy nobody has it yet, and an agent may be changing the labels.
    let Some(mut ticket) = change::locked(on, &placed.ticket_id).await? else {
        return Ok(left_out);
    };
    let before = change::labels_of(&ticket);
    let mut labels = BTreeSet::from_iter(before.iter().cloned());
    for label in wishes.labels.iter().map(|label| change::normal_label(label)) {
        if label.is_empty() || labels.contains(&label) {
            continue;
        }
        if labels.len() >= change::MAX_LABELS {
            left_out.push("labels");
            break;
        }
        labels.insert(label);
    }
    if labels.len() == before.len() {
        return Ok(left_out);
    }
    ticket.labels = json!(labels).to_string();
    store::set_labels(on, &ticket.id, &ticket.labels).await?;
    change::remember_labels(on, &ticket).await?;
    if placed.is_copy {
        // A further copy of a mail changes nothing else, so nothing has been said yet.
        store::touch(on, &ticket.id, clock.now_ms()).await?;
        let changes = json!({ "labels": { "from": before, "to": labels } });
        let data = json!({ "key": ticket.key, "changes": changes });
        updated(on, clock, &ticket.project_id, &ticket.id, data).await?;
    }
    Ok(left_out)
}

async fn updated<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    project_id: &str,
    ticket_id: &str,
    data: Value,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind: "ticket.updated",
        project_id,
        subject_id: ticket_id,
        actor: SYSTEM,
        data,
    };
    event::append(on, clock, event).await.map(drop)
}

/// Gives the ticket of a placeholder what can be read of its mail now: subject, requester, who takes part. A ticket whose
/// first message is another one keeps its own.
pub async fn fill<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    incoming: &Incoming<'_>,
    ticket_id: &str,
) -> Result<(), DbErr> {
    let now = clock.now_ms();
    let Some(ticket) = store::by_id(on, &Projects::All, ticket_id).await? else {
        return Ok(());
    };
    let entries = store::entries_of(on, ticket_id).await?;
    let is_first = entries
        .iter()
        .find_map(|entry| entry.message_id.as_deref())
        .is_some_and(|first| first == incoming.message_id);
    if is_first {
        store::rename(on, &ticket, incoming.mail, now).await?;
    }
    let ids = &incoming.mail.message_ids;
    store::remember_ids(on, incoming.project_id, ids, ticket_id, incoming.message_id).await?;
    let people = participants(incoming);
    match_store::add_participants(on, ticket_id, incoming.message_id, &people, now).await?;
    let data = json!({ "key": ticket.key, "messageId": incoming.message_id });
    updated(on, clock, incoming.project_id, ticket_id, data).await
}

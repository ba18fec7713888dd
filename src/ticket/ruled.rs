//! What a project's rules for incoming mail do to tickets: another place for a mail, and what its ticket gets.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use super::change::remember_labels;
use super::match_store;
use super::model::{Incoming, Placed};
use super::resolve::{Candidate, Resolution, Rule};
use super::service::participants;
use super::store;
use crate::access::Projects;
use crate::clock::Clock;
use crate::event::{self, NewEvent, SYSTEM};

impl Resolution {
    /// The same when a rule wants a ticket of its own for the mail.
    #[must_use]
    pub fn opened_by(self, rule: &str) -> Self {
        Self {
            rule: Rule::MailRule,
            why: format!("The rule “{rule}” opens a ticket of its own for it."),
            possibly: self.joins.or(self.possibly),
            joins: None,
            sender_verified: self.sender_verified,
        }
    }

    /// The same when a rule adds the mail to a certain ticket.
    #[must_use]
    pub fn added_by(self, rule: &str, ticket: Candidate) -> Self {
        Self {
            rule: Rule::MailRule,
            why: format!("The rule “{rule}” adds it to {}.", ticket.key),
            joins: Some(ticket),
            possibly: None,
            sender_verified: self.sender_verified,
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

/// Most labels of a ticket: rules must not fill it for ever.
const MAX_LABELS: usize = 100;

/// Fulfils wishes in the transaction that placed the message, whose event says that the ticket changed. Priority and
/// assignee are for a new ticket: in one that was there, agents have decided. Returns what was left out.
pub async fn dress<C: ConnectionTrait>(
    on: &C,
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
    let Some(mut ticket) = store::by_id(on, &Projects::All, &placed.ticket_id).await? else {
        return Ok(left_out);
    };
    let mut labels: Vec<String> = serde_json::from_str(&ticket.labels).unwrap_or_default();
    let before = labels.len();
    for label in wishes.labels {
        if !labels.contains(label) && labels.len() < MAX_LABELS {
            labels.push(label.clone());
        }
    }
    if labels.len() > before {
        ticket.labels = json!(labels).to_string();
        store::set_labels(on, &ticket.id, &ticket.labels).await?;
        remember_labels(on, &ticket).await?;
    }
    Ok(left_out)
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
    let event = NewEvent {
        kind: "ticket.updated",
        project_id: incoming.project_id,
        subject_id: ticket_id,
        actor: SYSTEM,
        data: json!({ "key": ticket.key, "messageId": incoming.message_id }),
    };
    event::append(on, clock, event).await.map(drop)
}

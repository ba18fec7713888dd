//! What people and apps do with a ticket: state, assignee, labels, priority, subject; notes; tickets opened by hand.
//!
//! Who may do it, and whether an assignee may work in the project, is checked by the caller: this stage knows no people.

mod store;

pub(super) use store::locked;

use std::collections::BTreeSet;

use mailgrant_mail::thread_token::normalise_address;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde_json::{Map, Value, json};

use super::match_store::{self, Participant};
use super::model::TicketState;
use super::service::TicketError;
use super::store::{Entry, NewRow, Ticket};
use super::{find, store as tickets};
use crate::ctx::Ctx;
use crate::event::{self, NewEvent};
use crate::trouble::FieldError;
use crate::{id, idempotency, project};

/// Longest subject, characters.
pub const MAX_SUBJECT: usize = 500;
/// Longest label, characters.
pub const MAX_LABEL: usize = 50;
/// Most labels of a ticket.
pub const MAX_LABELS: usize = 20;
/// Longest note, characters.
pub const MAX_NOTE: usize = 50_000;

/// How pressing a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Whenever there is time.
    Low,
    /// In its turn.
    Normal,
    /// Before others.
    High,
    /// At once.
    Urgent,
}

impl Priority {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Urgent];

    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }

    /// Reads the text of the database and the API.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == text)
    }
}

/// What is to be changed; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct TicketChange {
    /// New state.
    pub state: Option<TicketState>,
    /// Who works on it from now on; the empty text is nobody.
    pub assignee_id: Option<String>,
    /// All its labels from now on.
    pub labels: Option<Vec<String>>,
    /// New priority.
    pub priority: Option<Priority>,
    /// New subject.
    pub subject: Option<String>,
}

/// What a ticket that nobody wrote by mail is made of.
#[derive(Clone, Debug, Default)]
pub struct NewTicket {
    /// Its project.
    pub project_id: String,
    /// Subject.
    pub subject: String,
    /// Display name of who asked; may be empty.
    pub requester_name: String,
    /// Address of who asked; may be empty when somebody called.
    pub requester_email: String,
    /// The first note; may be empty.
    pub note: String,
    /// State, assignee, labels and priority to begin with.
    pub change: TicketChange,
    /// Name of the request, if it may be repeated: there is one ticket for it.
    pub once: Option<String>,
}

/// A label as it is stored and looked for: lower case, single spaces, no comma, no sign that cannot be seen.
pub fn normal_label(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() || c == ',' { ' ' } else { c })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.join(" ").to_lowercase().chars().take(MAX_LABEL).collect()
}

fn normal_labels(labels: &[String]) -> Vec<String> {
    let set: BTreeSet<String> = labels.iter().map(|label| normal_label(label)).collect();
    set.into_iter().filter(|label| !label.is_empty()).collect()
}

pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

impl TicketChange {
    /// What is wrong with it, whatever the ticket.
    pub(super) fn mistakes(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(subject) = &self.subject {
            match one_line(subject).chars().count() {
                0 => errors.push(FieldError::new(
                    "subject",
                    "required",
                    "Give the ticket a subject.",
                )),
                1..=MAX_SUBJECT => {}
                _ => errors.push(FieldError::new(
                    "subject",
                    "too_long",
                    format!("Use at most {MAX_SUBJECT} characters."),
                )),
            }
        }
        if let Some(labels) = &self.labels {
            if normal_labels(labels).len() > MAX_LABELS {
                errors.push(FieldError::new(
                    "labels",
                    "too_many",
                    format!("Use at most {MAX_LABELS} labels."),
                ));
            }
            if labels
                .iter()
                .any(|label| label.trim().chars().count() > MAX_LABEL)
            {
                errors.push(FieldError::new(
                    "labels",
                    "too_long",
                    format!("Use at most {MAX_LABEL} characters for a label."),
                ));
            }
        }
        errors
    }

    /// Puts it on a ticket and says what is different now: field → `{from, to}`. The words of a subject come from mail
    /// and do not go into an event: of it only the fact is told.
    fn apply(&self, ticket: &mut Ticket) -> Map<String, Value> {
        let mut changes = Map::new();
        let mut note = |field: &str, from: Value, to: Value| {
            changes.insert(field.to_owned(), json!({ "from": from, "to": to }));
        };
        if let Some(state) = self.state.filter(|state| state.as_str() != ticket.state) {
            note("state", ticket.state.as_str().into(), state.as_str().into());
            state.as_str().clone_into(&mut ticket.state);
        }
        if let Some(priority) = self
            .priority
            .filter(|priority| priority.as_str() != ticket.priority)
        {
            note(
                "priority",
                ticket.priority.as_str().into(),
                priority.as_str().into(),
            );
            priority.as_str().clone_into(&mut ticket.priority);
        }
        if let Some(id) = self.assignee_id.as_ref().filter(|id| **id != ticket.assignee_id) {
            let shown = |id: &str| {
                if id.is_empty() { Value::Null } else { id.into() }
            };
            note("assigneeId", shown(&ticket.assignee_id), shown(id));
            ticket.assignee_id.clone_from(id);
        }
        if let Some(labels) = &self.labels {
            let old = labels_of(ticket);
            let new = normal_labels(labels);
            if old != new {
                note("labels", old.into(), json!(new));
                ticket.labels = json!(new).to_string();
            }
        }
        if let Some(subject) = self.subject.as_deref().map(one_line)
            && subject != ticket.subject
        {
            note("subject", Value::Null, Value::Null);
            ticket.subject = subject;
        }
        changes
    }
}

/// The labels of a ticket, in order.
pub fn labels_of(ticket: &Ticket) -> Vec<String> {
    serde_json::from_str(&ticket.labels).unwrap_or_default()
}

/// Changes a ticket. With `seen`, only if it still has that revision. Nothing different is no change: no event, the
/// same revision.
pub async fn change(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    seen: Option<i64>,
    change: &TicketChange,
) -> Result<Ticket, TicketError> {
    refuse(change.mistakes())?;
    let txn = ctx.db.begin().await?;
    let ticket = change_in(ctx, &txn, actor, id, seen, change).await?.0;
    txn.commit().await?;
    Ok(ticket)
}

/// Changes several tickets together, or none of them; says how many are different now. Those that are gone are left
/// out.
pub async fn change_all(
    ctx: &Ctx,
    actor: &str,
    ids: &[String],
    change: &TicketChange,
) -> Result<u64, TicketError> {
    refuse(change.mistakes())?;
    let mut changed = 0;
    let txn = ctx.db.begin().await?;
    // In one order, so that two of these never wait for each other; and behind the projects, as incoming mail is, which
    // takes its tickets in the order of the mails.
    let ids: BTreeSet<&String> = ids.iter().collect();
    for project_id in store::projects_of(&txn, &ids).await? {
        project::lock(&txn, &project_id).await?;
    }
    for id in ids {
        match change_in(ctx, &txn, actor, id, None, change).await {
            Ok((_, true)) => changed += 1,
            Ok((_, false)) | Err(TicketError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    txn.commit().await?;
    Ok(changed)
}

pub(super) fn refuse(errors: Vec<FieldError>) -> Result<(), TicketError> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(TicketError::Invalid(errors))
    }
}

/// The same in the caller's transaction; says whether anything is different now.
pub async fn change_in(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    actor: &str,
    id: &str,
    seen: Option<i64>,
    change: &TicketChange,
) -> Result<(Ticket, bool), TicketError> {
    let mut ticket = store::locked(txn, id).await?.ok_or(TicketError::NotFound)?;
    if seen.is_some_and(|seen| seen != ticket.revision) {
        return Err(TicketError::Conflict);
    }
    let changes = change.apply(&mut ticket);
    if changes.is_empty() {
        return Ok((ticket, false));
    }
    ticket.revision += 1;
    ticket.updated_at = ctx.clock.now_ms();
    store::save(txn, &ticket).await?;
    if changes.contains_key("labels") {
        remember_labels(txn, &ticket).await?;
    }
    if changes.contains_key("labels") || changes.contains_key("subject") {
        tickets::index(txn, &ticket.id).await?;
    }
    let data = json!({ "key": ticket.key, "changes": changes });
    tell(ctx, txn, "ticket.updated", &ticket, actor, data).await?;
    Ok((ticket, true))
}

async fn tell(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    kind: &str,
    ticket: &Ticket,
    actor: &str,
    data: Value,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind,
        project_id: &ticket.project_id,
        subject_id: &ticket.id,
        actor,
        data,
    };
    event::append(txn, &ctx.clock, event).await.map(drop)
}

/// Writes the labels of a ticket where lists look for them.
pub(super) async fn remember_labels<C: ConnectionTrait>(on: &C, ticket: &Ticket) -> Result<(), DbErr> {
    store::remember_labels(on, &ticket.id, &labels_of(ticket)).await
}

/// Adds a note, which nobody outside ever gets. `author` is how the writer is shown.
pub async fn note(
    ctx: &Ctx,
    actor: &str,
    author: &str,
    id: &str,
    text: &str,
    once: Option<&str>,
) -> Result<(Ticket, Entry), TicketError> {
    refuse(note_mistakes(text, true))?;
    let txn = ctx.db.begin().await?;
    let mut ticket = store::locked(&txn, id).await?.ok_or(TicketError::NotFound)?;
    if let Some(made) = idempotency::made_by(&txn, once).await?
        && let Some(entry) = tickets::entry_of(&txn, &ticket.id, &made).await?
    {
        return Ok((ticket, entry));
    }
    let entry = note_in(ctx, &txn, &mut ticket, author, text).await?;
    let data = json!({ "key": ticket.key, "entryId": entry.id, "entryKind": "note" });
    tell(ctx, &txn, "ticket.updated", &ticket, actor, data).await?;
    idempotency::note_made(&txn, &ctx.clock, once, &entry.id).await?;
    txn.commit().await?;
    Ok((ticket, entry))
}

async fn note_in(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    ticket: &mut Ticket,
    author: &str,
    text: &str,
) -> Result<Entry, DbErr> {
    let entry = Entry {
        id: id::new("ent", &ctx.clock),
        ticket_id: ticket.id.clone(),
        kind: "note".into(),
        message_id: None,
        author: author.into(),
        body: text.trim_end().into(),
        created_at: ctx.clock.now_ms(),
    };
    store::insert_note(txn, &entry).await?;
    ticket.entry_count += 1;
    ticket.revision += 1;
    ticket.updated_at = entry.created_at;
    store::save(txn, ticket).await?;
    find::index_entry(txn, &entry, &ticket.project_id).await?;
    Ok(entry)
}

fn note_mistakes(text: &str, is_required: bool) -> Vec<FieldError> {
    let text = text.trim();
    if text.is_empty() && is_required {
        return vec![FieldError::new("text", "required", "Write the note first.")];
    }
    if text.chars().count() > MAX_NOTE {
        let too_long = format!("Use at most {MAX_NOTE} characters.");
        return vec![FieldError::new("text", "too_long", too_long)];
    }
    Vec::new()
}

/// Opens a ticket by hand, for what did not come by mail. `author` is how the writer of the first note is shown.
pub async fn open(ctx: &Ctx, actor: &str, author: &str, new: &NewTicket) -> Result<Ticket, TicketError> {
    let email = new.requester_email.trim();
    let mut errors = TicketChange {
        subject: Some(new.subject.clone()),
        ..new.change.clone()
    }
    .mistakes();
    if !email.is_empty() && !is_address(email) {
        errors.push(FieldError::new(
            "requesterEmail",
            "invalid",
            "Use an address such as ada@example.com, or leave it empty.",
        ));
    }
    if new.requester_name.chars().count() > 200 {
        errors.push(FieldError::new(
            "requesterName",
            "too_long",
            "Use at most 200 characters.",
        ));
    }
    errors.extend(note_mistakes(&new.note, false));
    refuse(errors)?;
    let txn = ctx.db.begin().await?;
    let Some(project_key) = project::lock(&txn, &new.project_id).await? else {
        return Err(TicketError::Invalid(vec![FieldError::new(
            "projectId",
            "not_found",
            "There is no such project.",
        )]));
    };
    // Behind the lock of the project: whoever worked on the same request is done by now.
    if let Some(made) = idempotency::made_by(&txn, new.once.as_deref()).await? {
        return store::locked(&txn, &made).await?.ok_or(TicketError::NotFound);
    }
    let number = project::next_number(&txn, &new.project_id).await?;
    let (ticket_id, key) = (id::new("tkt", &ctx.clock), format!("{project_key}-{number}"));
    let now = ctx.clock.now_ms();
    let row = NewRow {
        id: &ticket_id,
        project_id: &new.project_id,
        number,
        key: &key,
        subject: &one_line(&new.subject),
        requester_name: &one_line(&new.requester_name),
        requester_email: email,
        entries: 0,
    };
    tickets::insert_ticket(&txn, &row, now).await?;
    tickets::index(&txn, &ticket_id).await?;
    if !email.is_empty() {
        let requester = Participant {
            address: normalise_address(email),
            role: "from".to_owned(),
        };
        match_store::add_participants(&txn, &ticket_id, "", &[requester], now).await?;
    }
    let mut ticket = store::locked(&txn, &ticket_id)
        .await?
        .ok_or(TicketError::NotFound)?;
    let begin = TicketChange {
        subject: None,
        ..new.change.clone()
    };
    begin.apply(&mut ticket);
    store::save(&txn, &ticket).await?;
    remember_labels(&txn, &ticket).await?;
    tickets::index(&txn, &ticket.id).await?;
    let mut data = json!({ "key": ticket.key, "entryId": null, "messageId": null });
    if !new.note.trim().is_empty() {
        let entry = note_in(ctx, &txn, &mut ticket, author, &new.note).await?;
        data = json!({ "key": ticket.key, "entryId": entry.id, "messageId": null });
    }
    tell(ctx, &txn, "ticket.created", &ticket, actor, data).await?;
    idempotency::note_made(&txn, &ctx.clock, new.once.as_deref(), &ticket.id).await?;
    txn.commit().await?;
    Ok(ticket)
}

fn is_address(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || "<>,;\"@".contains(c))
    };
    text.len() <= 254
        && text
            .rsplit_once('@')
            .is_some_and(|(local, domain)| plain(local) && plain(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_made_one_form_and_bounded() {
        assert_eq!(
            normal_label("  Very \t Important,\u{7} Person "),
            "very important person"
        );
        assert_eq!(normal_label(&"x".repeat(200)).len(), MAX_LABEL);
        let labels = ["B", "a", "b ", "", "ä"].map(str::to_owned);
        assert_eq!(normal_labels(&labels), ["a", "b", "ä"]);
        let many: Vec<String> = (0..=MAX_LABELS).map(|n| n.to_string()).collect();
        let change = TicketChange {
            labels: Some(many),
            ..TicketChange::default()
        };
        assert_eq!(change.mistakes().len(), 1);
    }

    #[test]
    fn a_subject_is_one_line_and_not_nothing() {
        let with = |subject: &str| TicketChange {
            subject: Some(subject.to_owned()),
            ..TicketChange::default()
        };
        assert!(with("a\r\nBcc: b").mistakes().is_empty());
        assert_eq!(one_line("a\r\nBcc: b"), "a  Bcc: b");
        assert_eq!(with(" \n ").mistakes().len(), 1);
        assert_eq!(with(&"x".repeat(501)).mistakes().len(), 1);
    }
}

//! Splitting a ticket, which only people and apps do: some of its entries become a ticket of their own. What answers them
//! follows them: their Message-IDs, and the signed identifiers of answers of ours among them, lead to the new ticket.
//! Merging takes it back.

mod store;

use std::collections::BTreeSet;

use sea_orm::{DatabaseTransaction, DbErr};
use serde_json::{Value, json};

use super::change::{self, TicketChange, one_line, refuse};
use super::match_store::{self, Participant, SPLIT};
use super::service::TicketError;
use super::store::{self as tickets, NewRow, Ticket};
use crate::access::Projects;
use crate::ctx::Ctx;
use crate::event::{self, NewEvent};
use crate::trouble::FieldError;
use crate::{id, project, search};

pub use store::Moving;

/// Most entries that are moved at once.
pub const MAX_MOVED: usize = 500;

/// What is to become a ticket of its own.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// Ids of entries.
    pub entry_ids: Vec<String>,
    /// Subject of the new ticket; none: that of the first mail that is moved.
    pub subject: Option<String>,
}

/// What a split would do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The ticket as it is now.
    pub ticket: Ticket,
    /// What would be moved, oldest first.
    pub moved: Vec<Moving>,
    /// The subject of the new ticket.
    pub subject: String,
    /// Its requester: name and address.
    pub requester: (String, String),
}

/// What a split would do; changes nothing.
pub async fn plan_split(
    ctx: &Ctx,
    projects: &Projects,
    id: &str,
    split: &Split,
) -> Result<Plan, TicketError> {
    let ids = wanted(split)?;
    let ticket = super::present(ctx, projects, id).await?;
    let moved = moving(ctx.db.read(), &ticket, &ids).await?;
    Ok(plan(ticket, moved, split))
}

/// Makes a ticket of some entries of the ticket `id`, which must be in these projects, and returns it. `seen` is the
/// revision of the old ticket that was looked at.
///
/// The project is held meanwhile, as it is for every mail that is placed and for every answer: what comes in finds the
/// entries before the split or after it, and goes where they are.
pub async fn split(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    id: &str,
    split: &Split,
    seen: Option<i64>,
) -> Result<Ticket, TicketError> {
    let ids = wanted(split)?;
    let txn = ctx.db.begin().await?;
    let found = tickets::by_id(&txn, projects, id)
        .await?
        .ok_or(TicketError::NotFound)?;
    let project_key = project::lock(&txn, &found.project_id)
        .await?
        .ok_or(TicketError::NotFound)?;
    let source = change::locked(&txn, id).await?.ok_or(TicketError::NotFound)?;
    if seen.is_some_and(|seen| seen != source.revision) {
        return Err(TicketError::Conflict);
    }
    let moved = moving(&txn, &source, &ids).await?;
    let plan = plan(source, moved, split);
    let made = carry_out(ctx, &txn, &project_key, &plan).await?;
    tell(ctx, &txn, &plan, &made, actor).await?;
    txn.commit().await?;
    Ok(made)
}

/// The ids asked for, each once.
fn wanted(split: &Split) -> Result<Vec<String>, TicketError> {
    let ids: BTreeSet<&String> = split.entry_ids.iter().collect();
    let mut errors = TicketChange {
        subject: split.subject.clone(),
        ..TicketChange::default()
    }
    .mistakes();
    if ids.is_empty() {
        errors.push(mistake(
            "required",
            "Choose the entries that become a ticket of their own.",
        ));
    }
    if ids.len() > MAX_MOVED {
        let text = format!("Move at most {MAX_MOVED} entries at once.");
        errors.push(FieldError::new("entryIds", "too_many", text));
    }
    refuse(errors)?;
    Ok(ids.into_iter().cloned().collect())
}

fn mistake(code: &'static str, text: &str) -> FieldError {
    FieldError::new("entryIds", code, text)
}

/// The entries, all of which must be in the ticket, and not be all that is in it.
async fn moving<C: sea_orm::ConnectionTrait>(
    on: &C,
    ticket: &Ticket,
    ids: &[String],
) -> Result<Vec<Moving>, TicketError> {
    let moved = store::entries(on, &ticket.id, ids).await?;
    if moved.len() < ids.len() {
        return Err(TicketError::Invalid(vec![mistake(
            "not_found",
            "Not all of these entries are in this ticket. Load it again and choose anew.",
        )]));
    }
    if store::has_no_other(on, &ticket.id, moved.len()).await? {
        return Err(TicketError::Invalid(vec![mistake(
            "all",
            "At least one entry stays: a ticket without any would be left.",
        )]));
    }
    Ok(moved)
}

fn plan(ticket: Ticket, moved: Vec<Moving>, split: &Split) -> Plan {
    let first = moved.iter().find(|entry| entry.message_id.is_some());
    let subject = split
        .subject
        .as_deref()
        .map(one_line)
        .or_else(|| first.map(|first| first.subject.clone()))
        .unwrap_or_else(|| ticket.subject.clone());
    let requester = match first {
        Some(first) => (first.from_name.clone(), first.from_email.clone()),
        // Notes and answers of ours: they are about whoever asked before.
        None => (ticket.requester_name.clone(), ticket.requester_email.clone()),
    };
    Plan {
        ticket,
        moved,
        subject,
        requester,
    }
}

async fn carry_out(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    project_key: &str,
    plan: &Plan,
) -> Result<Ticket, TicketError> {
    let (source, now) = (&plan.ticket, ctx.clock.now_ms());
    let number = project::next_number(txn, &source.project_id).await?;
    let (new_id, key) = (id::new("tkt", &ctx.clock), format!("{project_key}-{number}"));
    let (name, email) = &plan.requester;
    let row = NewRow {
        id: &new_id,
        project_id: &source.project_id,
        number,
        key: &key,
        subject: &plan.subject,
        requester_name: name,
        requester_email: email,
        entries: 0,
    };
    tickets::insert_ticket(txn, &row, now).await?;
    tickets::index(txn, &new_id).await?;
    store::take_over(txn, source, &new_id, plan.moved.len(), now).await?;
    for moved in &plan.moved {
        store::move_entry(txn, &source.id, &new_id, moved).await?;
        search::place(txn, &moved.id, &new_id).await?;
        for message_id in store::messages(txn, &new_id, &moved.id).await? {
            search::place(txn, &message_id, &new_id).await?;
        }
    }
    let asked = Participant {
        address: mailgrant_mail::thread_token::normalise_address(email),
        role: "from".to_owned(),
    };
    let is_known = plan.moved.iter().any(|moved| moved.message_id.is_some());
    if !is_known && !asked.address.is_empty() {
        match_store::add_participants(txn, &new_id, "", &[asked], now).await?;
    }
    match_store::link(txn, &new_id, &source.id, SPLIT, now).await?;
    let made = change::locked(txn, &new_id).await?.ok_or(TicketError::NotFound)?;
    change::remember_labels(txn, &made).await?;
    tickets::index(txn, &new_id).await?;
    Ok(made)
}

/// In the history of both: first the new one, so that a consumer knows it when it hears of it from the other.
async fn tell(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    plan: &Plan,
    made: &Ticket,
    actor: &str,
) -> Result<(), DbErr> {
    let source = &plan.ticket;
    let ids: Vec<&str> = plan.moved.iter().map(|moved| moved.id.as_str()).collect();
    let first = plan.moved.iter().find_map(|moved| moved.message_id.as_deref());
    let created = json!({
        "key": made.key, "entryId": ids.first(), "messageId": first,
        "splitFromId": source.id, "splitFromKey": source.key, "entryIds": ids,
    });
    let updated = json!({
        "key": source.key, "changes": { "split": { "from": Value::Null, "to": made.key } },
    });
    for (kind, ticket, data) in [
        ("ticket.created", made, created),
        ("ticket.updated", source, updated),
    ] {
        let event = NewEvent {
            kind,
            project_id: &ticket.project_id,
            subject_id: &ticket.id,
            actor,
            data,
        };
        event::append(txn, &ctx.clock, event).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_checked_before_anything_is_held() {
        let of = |ids: &[&str], subject: Option<&str>| {
            wanted(&Split {
                entry_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
                subject: subject.map(str::to_owned),
            })
        };
        assert_eq!(of(&["b", "a", "b"], None).unwrap(), ["a", "b"]);
        assert!(of(&[], None).is_err() && of(&["a"], Some(" ")).is_err());
        let many: Vec<String> = (0..=MAX_MOVED).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(of(&many, None).is_err() && of(&many[1..], None).is_ok());
    }
}

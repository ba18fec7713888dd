//! The queries of changes.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};

use super::super::store::{self, Entry, Ticket};
use crate::access::Projects;
use crate::db::sql;

/// A ticket that nobody else changes until the transaction ends; if it was merged meanwhile, the one that is left.
pub(in crate::ticket) async fn locked<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Ticket>, DbErr> {
    match lock(on, id).await? {
        Some(ticket) if !ticket.merged_into.is_empty() => lock(on, &ticket.merged_into).await,
        found => Ok(found),
    }
}

async fn lock<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Ticket>, DbErr> {
    // SQLite's writer is alone anyway.
    if on.get_database_backend() == DbBackend::Postgres {
        let text = "SELECT id FROM tickets WHERE id = $1 FOR UPDATE";
        on.query_one_raw(sql(on, text, [id.into()])).await?;
    }
    store::by_id(on, &Projects::All, id).await
}

/// Writes what can change of a locked ticket.
pub(super) async fn save<C: ConnectionTrait>(on: &C, ticket: &Ticket) -> Result<(), DbErr> {
    let values: [Value; 9] = [
        ticket.state.as_str().into(),
        ticket.assignee_id.as_str().into(),
        ticket.labels.as_str().into(),
        ticket.priority.as_str().into(),
        ticket.subject.as_str().into(),
        ticket.entry_count.into(),
        ticket.revision.into(),
        ticket.updated_at.into(),
        ticket.id.as_str().into(),
    ];
    let text = "UPDATE tickets SET state = $1, assignee_id = $2, labels = $3, priority = $4, subject = $5, \
                entry_count = $6, revision = $7, updated_at = $8 WHERE id = $9";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// The projects of tickets, in order.
pub(super) async fn projects_of<C: ConnectionTrait>(
    on: &C,
    ids: &BTreeSet<&String>,
) -> Result<Vec<String>, DbErr> {
    let mut all: BTreeSet<String> = BTreeSet::new();
    for id in ids {
        let text = "SELECT project_id FROM tickets WHERE id = $1";
        if let Some(row) = on.query_one_raw(sql(on, text, [id.as_str().into()])).await? {
            all.insert(row.try_get("", "project_id")?);
        }
    }
    Ok(all.into_iter().collect())
}

pub(super) async fn remember_labels<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    labels: &[String],
) -> Result<(), DbErr> {
    let text = "DELETE FROM ticket_labels WHERE ticket_id = $1";
    on.execute_raw(sql(on, text, [ticket_id.into()])).await?;
    for label in labels {
        let text = "INSERT INTO ticket_labels (label, ticket_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        on.execute_raw(sql(on, text, [label.as_str().into(), ticket_id.into()]))
            .await?;
    }
    Ok(())
}

pub(super) async fn insert_note<C: ConnectionTrait>(on: &C, entry: &Entry) -> Result<(), DbErr> {
    let values: [Value; 6] = [
        entry.id.as_str().into(),
        entry.ticket_id.as_str().into(),
        entry.kind.as_str().into(),
        entry.author.as_str().into(),
        entry.body.as_str().into(),
        entry.created_at.into(),
    ];
    let text = "INSERT INTO entries (id, ticket_id, kind, author, body, created_at) \
                VALUES ($1, $2, $3, $4, $5, $6)";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

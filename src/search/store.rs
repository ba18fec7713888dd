//! All queries on the index: what is put in, and the condition that finds it again.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};

use super::document::Document;
use super::query::Query;
use crate::db::{sql, with_rows};

/// What kind of thing a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A ticket: key, subject, requester, labels.
    Ticket,
    /// A mail as received.
    Message,
    /// An answer or a note of a ticket.
    Entry,
}

impl Kind {
    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Message => "message",
            Self::Entry => "entry",
        }
    }
}

/// What is put into the index.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: &'a str,
    /// Its ticket; empty if it has none yet.
    pub ticket_id: &'a str,
    /// Its project.
    pub project_id: &'a str,
    /// Whether files come with it.
    pub has_attachment: bool,
    /// When it came, milliseconds since 1970.
    pub at: i64,
}

/// Puts a document in, or the new form of one that is there, in the caller's transaction.
pub async fn put<C: ConnectionTrait>(on: &C, entry: &Entry<'_>, document: &Document) -> Result<(), DbErr> {
    put_all(on, &[(*entry, document)]).await
}

/// Puts documents in, each once, or the new forms of those that are there, in the caller's transaction.
pub async fn put_all<C: ConnectionTrait>(on: &C, documents: &[(Entry<'_>, &Document)]) -> Result<(), DbErr> {
    let is_postgres = on.get_database_backend() == DbBackend::Postgres;
    let rows = documents.iter().map(|(entry, document)| {
        let words = if is_postgres {
            document.vector()
        } else {
            String::new()
        };
        let row: [Value; 7] = [
            entry.id.into(),
            entry.kind.as_str().into(),
            entry.ticket_id.into(),
            entry.project_id.into(),
            entry.has_attachment.into(),
            entry.at.into(),
            words.into(),
        ];
        row
    });
    let (column, value, set) = if is_postgres {
        (", words", ", words::tsvector", ", words = excluded.words")
    } else {
        ("", "", "")
    };
    let text = format!(
        "WITH v (ref_id, kind, ticket_id, project_id, has_attachment, at, words) AS (VALUES {{rows}}) \
         INSERT INTO search_documents (ref_id, kind, ticket_id, project_id, has_attachment, at{column}) \
         SELECT ref_id, kind, ticket_id, project_id, has_attachment, at{value} FROM v WHERE TRUE \
         ON CONFLICT (ref_id) DO UPDATE SET ticket_id = excluded.ticket_id, \
         project_id = excluded.project_id, has_attachment = excluded.has_attachment, at = excluded.at{set} \
         RETURNING id, ref_id"
    );
    let found = with_rows(on, &text, rows.collect()).await?;
    if is_postgres {
        return Ok(());
    }
    let mut ids: HashMap<String, i64> = HashMap::new();
    for row in found {
        ids.insert(row.try_get("", "ref_id")?, row.try_get("", "id")?);
    }
    let rows = documents.iter().filter_map(|(entry, document)| {
        let [subject, sender, recipients, body] = document.columns();
        let row: [Value; 5] = [
            (*ids.get(entry.id)?).into(),
            subject.into(),
            sender.into(),
            recipients.into(),
            body.into(),
        ];
        Some(row)
    });
    let text = "INSERT OR REPLACE INTO search_words (rowid, subject, sender, recipients, body) VALUES {rows}";
    with_rows(on, text, rows.collect()).await.map(drop)
}

/// Notes the ticket of a document, in the caller's transaction.
pub async fn place<C: ConnectionTrait>(on: &C, id: &str, ticket_id: &str) -> Result<(), DbErr> {
    let text = "UPDATE search_documents SET ticket_id = $1 WHERE ref_id = $2";
    on.execute_raw(sql(on, text, [ticket_id.into(), id.into()]))
        .await
        .map(|_| ())
}

/// Moves everything that is in one ticket, but the ticket itself, to another, in the caller's transaction.
pub async fn move_to<C: ConnectionTrait>(on: &C, from: &str, to: &str) -> Result<(), DbErr> {
    let text = "UPDATE search_documents SET ticket_id = $1 WHERE ticket_id = $2 AND ref_id <> $2";
    on.execute_raw(sql(on, text, [to.into(), from.into()]))
        .await
        .map(|_| ())
}

/// The condition that a document `d` (of `search_documents`) answers the terms of a question, with `{}` where the
/// value is to be named; none if there are no terms.
pub fn condition(backend: DbBackend, query: &Query) -> Option<(&'static str, Value)> {
    if query.terms.is_empty() {
        return None;
    }
    Some(match backend {
        DbBackend::Postgres => (
            "d.words @@ CAST({} AS TEXT)::tsquery",
            query.for_postgres().into(),
        ),
        _ => (
            "d.id IN (SELECT rowid FROM search_words WHERE search_words MATCH {})",
            query.for_fts().into(),
        ),
    })
}

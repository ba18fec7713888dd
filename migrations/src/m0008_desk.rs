//! The desk: the index of words, labels that lists can be filtered by, and the indexes of those lists.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        let own = if is_postgres { POSTGRES } else { SQLITE };
        for statement in own.split(";\n").chain(SHARED.split(";\n")) {
            let statement = statement.trim();
            if !statement.is_empty() {
                manager.get_connection().execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in DOWN {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// The words come cut and folded: `ascii` only takes them apart at the spaces between them. The text itself is not kept
/// a second time (`content=''`).
const SQLITE: &str = r#"
CREATE TABLE search_documents (
  id INTEGER PRIMARY KEY,
  ref_id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  ticket_id TEXT NOT NULL,
  project_id TEXT NOT NULL,
  has_attachment BOOLEAN NOT NULL,
  at BIGINT NOT NULL
);
CREATE VIRTUAL TABLE search_words USING fts5(
  subject, sender, recipients, body, content='', contentless_delete=1, tokenize='ascii', prefix='2 3'
);
"#;

const POSTGRES: &str = r#"
CREATE TABLE search_documents (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ref_id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  ticket_id TEXT NOT NULL,
  project_id TEXT NOT NULL,
  has_attachment BOOLEAN NOT NULL,
  at BIGINT NOT NULL,
  words TSVECTOR NOT NULL
);
CREATE INDEX search_words ON search_documents USING GIN (words);
"#;

/// A list is ordered by one number and the id, within a filter that most lists have.
const SHARED: &str = r#"
CREATE INDEX search_documents_ticket ON search_documents (ticket_id);
CREATE INDEX search_documents_at ON search_documents (at, id);
CREATE TABLE ticket_labels (
  label TEXT NOT NULL,
  ticket_id TEXT NOT NULL REFERENCES tickets(id) ON DELETE CASCADE,
  PRIMARY KEY (label, ticket_id)
);
CREATE INDEX ticket_labels_ticket ON ticket_labels (ticket_id);
CREATE INDEX tickets_by_update ON tickets (updated_at, id);
CREATE INDEX tickets_by_state ON tickets (state, updated_at, id);
CREATE INDEX tickets_by_project ON tickets (project_id, state, updated_at, id);
CREATE INDEX tickets_by_assignee ON tickets (assignee_id, state, updated_at, id);
CREATE INDEX tickets_by_creation ON tickets (created_at, id);
CREATE INDEX tickets_by_priority ON tickets ((CASE priority WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + updated_at), id);
CREATE INDEX tickets_by_state_priority ON tickets (state, (CASE priority WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + updated_at), id);
CREATE INDEX messages_by_ticket ON messages (ticket_id, mailbox_id);
"#;

const DOWN: [&str; 12] = [
    "DROP TABLE IF EXISTS ticket_labels",
    "DROP INDEX IF EXISTS search_words",
    "DROP TABLE IF EXISTS search_words",
    "DROP TABLE IF EXISTS search_documents",
    "DROP INDEX IF EXISTS tickets_by_update",
    "DROP INDEX IF EXISTS tickets_by_state",
    "DROP INDEX IF EXISTS tickets_by_project",
    "DROP INDEX IF EXISTS tickets_by_assignee",
    "DROP INDEX IF EXISTS tickets_by_creation",
    "DROP INDEX IF EXISTS tickets_by_priority",
    "DROP INDEX IF EXISTS tickets_by_state_priority",
    "DROP INDEX IF EXISTS messages_by_ticket",
];

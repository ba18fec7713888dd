//! Answers: how a mailbox sends, the outgoing mails and what was tried with them.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let blob = match manager.get_database_backend() {
            DbBackend::Postgres => "BYTEA",
            _ => "BLOB",
        };
        for statement in SCHEMA.split(";\n") {
            let statement = statement.trim();
            if !statement.is_empty() {
                manager
                    .get_connection()
                    .execute_unprepared(&statement.replace("{blob}", blob))
                    .await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["outgoing_attempts", "outgoing_bodies", "outgoing_mails"] {
            manager
                .get_connection()
                .execute_unprepared(&format!("DROP TABLE IF EXISTS {table}"))
                .await?;
        }
        for column in ["host", "port", "tls", "login_name", "from", "signed_replies"] {
            manager
                .get_connection()
                .execute_unprepared(&format!("ALTER TABLE mailboxes DROP COLUMN smtp_{column}"))
                .await?;
        }
        Ok(())
    }

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const SCHEMA: &str = r#"
ALTER TABLE mailboxes ADD COLUMN smtp_host TEXT NOT NULL DEFAULT '';
ALTER TABLE mailboxes ADD COLUMN smtp_port BIGINT NOT NULL DEFAULT 0;
ALTER TABLE mailboxes ADD COLUMN smtp_tls TEXT NOT NULL DEFAULT '';
ALTER TABLE mailboxes ADD COLUMN smtp_login_name TEXT NOT NULL DEFAULT '';
ALTER TABLE mailboxes ADD COLUMN smtp_from TEXT NOT NULL DEFAULT '';
ALTER TABLE mailboxes ADD COLUMN smtp_signed_replies BOOLEAN NOT NULL DEFAULT FALSE;
CREATE TABLE outgoing_mails (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  project_id TEXT NOT NULL,
  mailbox_id TEXT NOT NULL,
  ticket_id TEXT NOT NULL,
  entry_id TEXT NOT NULL,
  rfc_message_id TEXT NOT NULL UNIQUE,
  sender TEXT NOT NULL,
  recipients TEXT NOT NULL,
  subject TEXT NOT NULL,
  size BIGINT NOT NULL,
  actor TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  unknown_outcomes BIGINT NOT NULL,
  next_attempt_at BIGINT NOT NULL,
  give_up_at BIGINT NOT NULL,
  error_code TEXT NOT NULL DEFAULT '',
  error_cause TEXT NOT NULL DEFAULT '',
  error_remedy TEXT NOT NULL DEFAULT '',
  revision BIGINT NOT NULL,
  lease_holder TEXT NOT NULL DEFAULT '',
  lease_no BIGINT NOT NULL DEFAULT 0,
  lease_until BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  sent_at BIGINT
);
CREATE INDEX outgoing_mails_due ON outgoing_mails (state, next_attempt_at);
CREATE INDEX outgoing_mails_ticket ON outgoing_mails (ticket_id, id);
CREATE INDEX outgoing_mails_entry ON outgoing_mails (entry_id);
CREATE INDEX outgoing_mails_mailbox ON outgoing_mails (mailbox_id, id);
CREATE TABLE outgoing_bodies (
  outgoing_id TEXT PRIMARY KEY REFERENCES outgoing_mails(id) ON DELETE CASCADE,
  bytes {blob} NOT NULL
);
CREATE TABLE outgoing_attempts (
  outgoing_id TEXT NOT NULL REFERENCES outgoing_mails(id) ON DELETE CASCADE,
  number BIGINT NOT NULL,
  node TEXT NOT NULL,
  began_at BIGINT NOT NULL,
  handing_over_at BIGINT,
  ended_at BIGINT,
  outcome TEXT NOT NULL,
  answer TEXT NOT NULL,
  error_code TEXT NOT NULL,
  PRIMARY KEY (outgoing_id, number)
);
"#;

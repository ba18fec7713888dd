//! Rules for incoming mail, what became of each message and why, and the brake on automatic mail.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SCHEMA).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UNDO).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

async fn run(manager: &SchemaManager<'_>, statements: &str) -> Result<(), DbErr> {
    let statements = statements.split(";\n").map(str::trim);
    for statement in statements.filter(|statement| !statement.is_empty()) {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

const SCHEMA: &str = r#"
CREATE TABLE rules (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects(id),
  position BIGINT NOT NULL,
  name TEXT NOT NULL,
  enabled BOOLEAN NOT NULL,
  matches TEXT NOT NULL,
  actions TEXT NOT NULL,
  stop BOOLEAN NOT NULL,
  revision BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX rules_project ON rules (project_id, position, id);
CREATE TABLE message_runs (
  message_id TEXT NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
  number BIGINT NOT NULL,
  cause TEXT NOT NULL,
  actor TEXT NOT NULL,
  began_at BIGINT NOT NULL,
  parsed_at BIGINT,
  ended_at BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (message_id, number)
);
CREATE TABLE automatic_mails (
  scope TEXT NOT NULL,
  subject TEXT NOT NULL,
  slot BIGINT NOT NULL,
  used_at BIGINT NOT NULL,
  PRIMARY KEY (scope, subject, slot)
);
CREATE INDEX automatic_mails_used ON automatic_mails (used_at);
ALTER TABLE messages ADD COLUMN quarantine_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN quarantined_at BIGINT;
CREATE INDEX messages_quarantined ON messages (quarantine_reason, id);
CREATE INDEX ingestions_message ON ingestions (message_id)
"#;

const UNDO: &str = r#"
DROP INDEX ingestions_message;
DROP INDEX messages_quarantined;
ALTER TABLE messages DROP COLUMN quarantined_at;
ALTER TABLE messages DROP COLUMN quarantine_reason;
DROP TABLE automatic_mails;
DROP TABLE message_runs;
DROP TABLE rules
"#;

//! Which ticket a mail joins: who takes part in tickets, which tickets are related or merged, conversations, and the
//! servers whose word about senders a mailbox believes.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

async fn run(manager: &SchemaManager<'_>, script: &str) -> Result<(), DbErr> {
    for statement in script.split(";\n").map(str::trim) {
        if !statement.is_empty() {
            manager.get_connection().execute_unprepared(statement).await?;
        }
    }
    Ok(())
}

const UP: &str = r"
ALTER TABLE mailboxes ADD COLUMN trusted_authserv_ids TEXT NOT NULL DEFAULT '[]';
ALTER TABLE messages ADD COLUMN thread_id TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN resolution TEXT NOT NULL DEFAULT '';
ALTER TABLE tickets ADD COLUMN merged_into TEXT NOT NULL DEFAULT '';
CREATE INDEX messages_thread ON messages (thread_id, id);
CREATE INDEX messages_ticket ON messages (ticket_id, id);
CREATE INDEX tickets_merged ON tickets (merged_into);
CREATE INDEX thread_ids_ticket ON thread_ids (ticket_id);
CREATE TABLE ticket_participants (
  ticket_id TEXT NOT NULL REFERENCES tickets(id) ON DELETE CASCADE,
  address TEXT NOT NULL,
  role TEXT NOT NULL,
  message_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (ticket_id, address)
);
CREATE INDEX ticket_participants_address ON ticket_participants (address, ticket_id);
INSERT INTO ticket_participants (ticket_id, address, role, message_id, created_at)
  SELECT id, lower(requester_email), 'from', '', created_at FROM tickets WHERE requester_email <> '';
CREATE TABLE ticket_links (
  ticket_id TEXT NOT NULL REFERENCES tickets(id) ON DELETE CASCADE,
  other_id TEXT NOT NULL REFERENCES tickets(id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (ticket_id, other_id, kind)
);
CREATE INDEX ticket_links_other ON ticket_links (other_id);
CREATE TABLE thread_nodes (
  node TEXT PRIMARY KEY,
  thread_id TEXT NOT NULL
);
CREATE INDEX thread_nodes_thread ON thread_nodes (thread_id);
";

const DOWN: &str = r"
DROP TABLE thread_nodes;
DROP TABLE ticket_links;
DROP TABLE ticket_participants;
DROP INDEX thread_ids_ticket;
DROP INDEX tickets_merged;
DROP INDEX messages_ticket;
DROP INDEX messages_thread;
ALTER TABLE tickets DROP COLUMN merged_into;
ALTER TABLE messages DROP COLUMN resolution;
ALTER TABLE messages DROP COLUMN thread_id;
ALTER TABLE mailboxes DROP COLUMN trusted_authserv_ids;
";

//! Splitting tickets: who takes part is noted for each mail that says so, so that it can go with the mail.
//!
//! And the indexes of lists: events by type, tickets by priority and by assignee. Nearly every ticket is merged into none, and
//! an index that says so of each had SQLite sort a million tickets for a list of fifty: it holds those that were merged.

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

/// SQLite cannot change a primary key, so the table is made anew.
const UP: &str = r"
CREATE TABLE ticket_participations (
  ticket_id TEXT NOT NULL REFERENCES tickets(id) ON DELETE CASCADE,
  address TEXT NOT NULL,
  message_id TEXT NOT NULL,
  role TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (ticket_id, address, message_id)
);
INSERT INTO ticket_participations (ticket_id, address, message_id, role, created_at)
  SELECT ticket_id, address, message_id, role, created_at FROM ticket_participants;
DROP TABLE ticket_participants;
CREATE INDEX ticket_participations_address ON ticket_participations (address, ticket_id);
CREATE INDEX ticket_participations_message ON ticket_participations (ticket_id, message_id);
CREATE INDEX events_by_type ON events (type, sequence);
CREATE INDEX tickets_of_priority ON tickets (priority, updated_at, id);
CREATE INDEX tickets_of_assignee ON tickets (assignee_id, updated_at, id);
DROP INDEX tickets_merged;
CREATE INDEX tickets_merged_into ON tickets (merged_into) WHERE merged_into <> '';
";

const DOWN: &str = r"
DROP INDEX tickets_merged_into;
CREATE INDEX tickets_merged ON tickets (merged_into);
DROP INDEX tickets_of_assignee;
DROP INDEX tickets_of_priority;
DROP INDEX events_by_type;
CREATE TABLE ticket_participants (
  ticket_id TEXT NOT NULL REFERENCES tickets(id) ON DELETE CASCADE,
  address TEXT NOT NULL,
  role TEXT NOT NULL,
  message_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (ticket_id, address)
);
INSERT INTO ticket_participants (ticket_id, address, role, message_id, created_at)
  SELECT ticket_id, address, MIN(role), MIN(message_id), MIN(created_at) FROM ticket_participations
  GROUP BY ticket_id, address;
CREATE INDEX ticket_participants_address ON ticket_participants (address, ticket_id);
DROP TABLE ticket_participations;
";

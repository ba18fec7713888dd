//! What was told already of what ends or falls silent, so that each is told once, however long the event log is kept.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in UP {
            manager.get_connection().execute_unprepared(statement).await?;
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

const UP: [&str; 5] = [
    // The end of a grant as it was seen, when it was seen, and the step of days that was told of it.
    "ALTER TABLE grants ADD COLUMN end_seen BIGINT",
    "ALTER TABLE grants ADD COLUMN end_seen_at BIGINT",
    "ALTER TABLE grants ADD COLUMN end_told BIGINT",
    // When the last mail had come before a silence that was told; empty while there is none.
    "ALTER TABLE mailboxes ADD COLUMN silent_since BIGINT",
    "CREATE INDEX messages_received ON messages (mailbox_id, received_at)",
];

const DOWN: [&str; 5] = [
    "DROP INDEX messages_received",
    "ALTER TABLE mailboxes DROP COLUMN silent_since",
    "ALTER TABLE grants DROP COLUMN end_told",
    "ALTER TABLE grants DROP COLUMN end_seen_at",
    "ALTER TABLE grants DROP COLUMN end_seen",
];

//! What a mail is recognised by that arrives in several mailboxes of one project.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = "ALTER TABLE messages ADD COLUMN sent_hash TEXT NOT NULL DEFAULT ''";
        manager.get_connection().execute_unprepared(text).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = "ALTER TABLE messages DROP COLUMN sent_hash";
        manager.get_connection().execute_unprepared(text).await.map(drop)
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

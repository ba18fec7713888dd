//! What requests that may be repeated have made: the name of the work beside the thing.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in [
            "CREATE TABLE idempotency_made (name TEXT PRIMARY KEY, made_id TEXT NOT NULL, created_at BIGINT NOT NULL)",
            "CREATE INDEX idempotency_made_created ON idempotency_made (created_at)",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = "DROP TABLE idempotency_made";
        manager.get_connection().execute_unprepared(text).await.map(drop)
    }

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

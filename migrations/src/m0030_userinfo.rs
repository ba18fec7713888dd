//! Clients whose answers of userinfo are signed.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = "ALTER TABLE oauth2_clients ADD COLUMN userinfo_alg TEXT NOT NULL DEFAULT ''";
        manager.get_connection().execute_unprepared(text).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = "ALTER TABLE oauth2_clients DROP COLUMN userinfo_alg";
        manager.get_connection().execute_unprepared(text).await.map(drop)
    }

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

//! Client ids that somebody chose and whose client was removed: they name nobody else.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table =
            "CREATE TABLE oauth2_gone_clients (client_id TEXT NOT NULL PRIMARY KEY, gone_at BIGINT NOT NULL)";
        manager.get_connection().execute_unprepared(table).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = "DROP TABLE oauth2_gone_clients";
        manager.get_connection().execute_unprepared(table).await?;
        Ok(())
    }

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

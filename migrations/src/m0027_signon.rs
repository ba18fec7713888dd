//! A sign-in that was asked for anew says so when it comes back; issuers whose access tokens must call themselves so.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in [
            "ALTER TABLE sso_attempts ADD COLUMN again BOOLEAN NOT NULL DEFAULT FALSE",
            "ALTER TABLE trusted_issuers ADD COLUMN require_at_jwt BOOLEAN NOT NULL DEFAULT FALSE",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in [
            "ALTER TABLE trusted_issuers DROP COLUMN require_at_jwt",
            "ALTER TABLE sso_attempts DROP COLUMN again",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

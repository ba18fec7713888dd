//! Whom a logout token meant, and when: a session that is only on its way here is met by it, too.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

/// Names of columns with their types.
const COLUMNS: [(&str, &str); 5] = [
    ("issuer", "TEXT NOT NULL DEFAULT ''"),
    ("sid", "TEXT NOT NULL DEFAULT ''"),
    ("subject", "TEXT NOT NULL DEFAULT ''"),
    ("issued_at", "BIGINT NOT NULL DEFAULT 0"),
    ("arrived_at", "BIGINT NOT NULL DEFAULT 0"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, kind) in COLUMNS {
            let statement = format!("ALTER TABLE sso_logout_tokens ADD COLUMN {name} {kind}");
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        let index = "CREATE INDEX sso_logout_tokens_came ON sso_logout_tokens (provider_id, arrived_at)";
        manager.get_connection().execute_unprepared(index).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "DROP INDEX sso_logout_tokens_came";
        manager.get_connection().execute_unprepared(index).await?;
        for (name, _) in COLUMNS {
            let statement = format!("ALTER TABLE sso_logout_tokens DROP COLUMN {name}");
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

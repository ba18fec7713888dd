//! What is remembered of refresh tokens that reached their client, and of addresses that somebody proved to read.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for text in UP {
            manager.get_connection().execute_unprepared(text).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for text in DOWN {
            manager.get_connection().execute_unprepared(text).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// `verified_email` is the address itself: an account whose address changes is not verified any more.
const UP: [&str; 4] = [
    "ALTER TABLE oauth2_refresh_tokens ADD COLUMN arrived_at BIGINT",
    "UPDATE oauth2_refresh_tokens SET arrived_at = (SELECT MIN(a.first_used_at) FROM oauth2_access_tokens a \
     WHERE a.refresh_hash = oauth2_refresh_tokens.token_hash)",
    "ALTER TABLE users ADD COLUMN verified_email TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE one_time_links ADD COLUMN mailed_to TEXT NOT NULL DEFAULT ''",
];

const DOWN: [&str; 3] = [
    "ALTER TABLE one_time_links DROP COLUMN mailed_to",
    "ALTER TABLE users DROP COLUMN verified_email",
    "ALTER TABLE oauth2_refresh_tokens DROP COLUMN arrived_at",
];

//! Looking again at the provider whether somebody is still one of its people: what that needs is kept beside the session,
//! and why a session ended for as long as somebody may ask. Addresses that wait to be confirmed.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, &UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, &DOWN).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    for statement in statements {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

/// `next_check_at` is NULL where the provider gave nothing to look again with, or nobody wants it.
const UP: [&str; 9] = [
    "ALTER TABLE sso_sessions ADD COLUMN refresh_sealed TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE sso_sessions ADD COLUMN access_sealed TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE sso_sessions ADD COLUMN access_expires_at BIGINT",
    "ALTER TABLE sso_sessions ADD COLUMN next_check_at BIGINT",
    "ALTER TABLE sso_sessions ADD COLUMN checked_at BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE sso_sessions ADD COLUMN failing_since BIGINT",
    "CREATE TABLE sso_endings (
      session_id TEXT PRIMARY KEY,
      provider_name TEXT NOT NULL,
      code TEXT NOT NULL,
      created_at BIGINT NOT NULL
    )",
    "CREATE INDEX sso_endings_time ON sso_endings (created_at)",
    "CREATE TABLE email_changes (
      user_id TEXT PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
      token_hash TEXT NOT NULL UNIQUE,
      email TEXT NOT NULL,
      created_at BIGINT NOT NULL,
      expires_at BIGINT NOT NULL
    )",
];

const DOWN: [&str; 8] = [
    "DROP TABLE IF EXISTS email_changes",
    "DROP TABLE IF EXISTS sso_endings",
    "ALTER TABLE sso_sessions DROP COLUMN failing_since",
    "ALTER TABLE sso_sessions DROP COLUMN checked_at",
    "ALTER TABLE sso_sessions DROP COLUMN next_check_at",
    "ALTER TABLE sso_sessions DROP COLUMN access_expires_at",
    "ALTER TABLE sso_sessions DROP COLUMN access_sealed",
    "ALTER TABLE sso_sessions DROP COLUMN refresh_sealed",
];

//! Integrations that every project may use. How people sign in: what a session knows of it, second factors, steps of a sign-in, what a link was made for.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in SCHEMA.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in UNDO.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// `amr` holds words of RFC 8176 with spaces between them. `provider_sid` is the `sid` of the identity provider, by
/// which it ends a session here. A person who was removed keeps the row, because tickets and events name its id.
const SCHEMA: &str = r"
ALTER TABLE sessions ADD COLUMN amr TEXT NOT NULL DEFAULT 'pwd';
ALTER TABLE sessions ADD COLUMN auth_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN identity_provider_id TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN provider_sid TEXT NOT NULL DEFAULT '';
UPDATE sessions SET auth_time = created_at;
CREATE INDEX sessions_provider ON sessions (identity_provider_id, provider_sid);
ALTER TABLE users ADD COLUMN last_sign_in_at BIGINT;
ALTER TABLE users ADD COLUMN password_set_at BIGINT;
ALTER TABLE users ADD COLUMN removed_at BIGINT;
ALTER TABLE users ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
UPDATE users SET password_set_at = created_at WHERE password_hash <> '';
ALTER TABLE one_time_links ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
CREATE INDEX one_time_links_user ON one_time_links (user_id);
CREATE TABLE open_integrations (
  integration_id TEXT PRIMARY KEY REFERENCES integrations(id) ON DELETE CASCADE
);
CREATE TABLE totp_secrets (
  user_id TEXT PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
  secret_sealed TEXT NOT NULL,
  confirmed_at BIGINT NOT NULL,
  last_step BIGINT NOT NULL
);
CREATE TABLE recovery_codes (
  user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  code_hash TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  used_at BIGINT,
  PRIMARY KEY (user_id, code_hash)
);
CREATE TABLE sign_in_steps (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  amr TEXT NOT NULL,
  identity_provider_id TEXT NOT NULL,
  provider_sid TEXT NOT NULL,
  next TEXT NOT NULL,
  secret_sealed TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
";

const UNDO: &str = r"
DROP TABLE sign_in_steps;
DROP TABLE recovery_codes;
DROP TABLE totp_secrets;
DROP TABLE open_integrations;
DROP INDEX one_time_links_user;
ALTER TABLE one_time_links DROP COLUMN created_by;
ALTER TABLE users DROP COLUMN revision;
ALTER TABLE users DROP COLUMN removed_at;
ALTER TABLE users DROP COLUMN password_set_at;
ALTER TABLE users DROP COLUMN last_sign_in_at;
DROP INDEX sessions_provider;
ALTER TABLE sessions DROP COLUMN provider_sid;
ALTER TABLE sessions DROP COLUMN identity_provider_id;
ALTER TABLE sessions DROP COLUMN auth_time;
ALTER TABLE sessions DROP COLUMN amr;
";

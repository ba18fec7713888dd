//! Clients that register themselves, and signing out of all of them.

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
        for table in TABLES {
            let text = format!("DROP TABLE IF EXISTS {table}");
            manager.get_connection().execute_unprepared(&text).await?;
        }
        for statement in [
            "DROP INDEX oauth2_families_client_id",
            "DROP INDEX sessions_sid",
            "ALTER TABLE sessions DROP COLUMN sid",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Every table of [`SCHEMA`], dependants first.
const TABLES: [&str; 4] = [
    "oauth2_logouts",
    "oauth2_sid_clients",
    "oauth2_registrations",
    "oauth2_initial_tokens",
];

const SCHEMA: &str = "
CREATE TABLE oauth2_initial_tokens (
  id TEXT PRIMARY KEY,
  token_hash TEXT NOT NULL UNIQUE,
  hint TEXT NOT NULL,
  name TEXT NOT NULL,
  project_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  approves BOOLEAN NOT NULL,
  uses_left BIGINT,
  uses BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  revoked_at BIGINT,
  last_used_at BIGINT
);
CREATE TABLE oauth2_registrations (
  client TEXT PRIMARY KEY REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  token_hash TEXT NOT NULL UNIQUE,
  previous_hash TEXT NOT NULL,
  initial_token TEXT NOT NULL,
  scope_limit TEXT NOT NULL,
  approves BOOLEAN NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX oauth2_registrations_previous ON oauth2_registrations (previous_hash);
ALTER TABLE sessions ADD COLUMN sid TEXT NOT NULL DEFAULT '';
UPDATE sessions SET sid = id;
CREATE INDEX sessions_sid ON sessions (sid);
CREATE TABLE oauth2_sid_clients (
  sid TEXT NOT NULL,
  client TEXT NOT NULL REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  user_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (sid, client)
);
CREATE INDEX oauth2_sid_clients_client ON oauth2_sid_clients (client);
CREATE TABLE oauth2_logouts (
  id TEXT PRIMARY KEY,
  client TEXT NOT NULL REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  user_id TEXT NOT NULL,
  sid TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  next_at BIGINT NOT NULL,
  last_error TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  lease_holder TEXT NOT NULL DEFAULT '',
  lease_no BIGINT NOT NULL DEFAULT 0,
  lease_until BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX oauth2_logouts_due ON oauth2_logouts (next_at);
CREATE INDEX oauth2_families_client_id ON oauth2_families (client, id);
";

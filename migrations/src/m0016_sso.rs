//! Sign-in through identity providers: the providers, attempts under way, tests, links of people, sessions, logout tokens.

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
            manager
                .get_connection()
                .execute_unprepared(&format!("DROP TABLE IF EXISTS {table}"))
                .await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Every table of [`SCHEMA`], dependants first.
const TABLES: [&str; 7] = [
    "sso_logout_tokens",
    "sso_sessions",
    "sso_managed_roles",
    "sso_identities",
    "sso_tests",
    "sso_attempts",
    "identity_providers",
];

/// `sso_identities` outlives its provider: it says who an (issuer, subject) is, whichever registration asks.
const SCHEMA: &str = "
CREATE TABLE identity_providers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  enabled BOOLEAN NOT NULL,
  connection TEXT NOT NULL,
  policy TEXT NOT NULL,
  secret_sealed TEXT NOT NULL,
  key_sealed TEXT NOT NULL,
  key_public TEXT NOT NULL,
  connection_revision BIGINT NOT NULL,
  tested_revision BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE sso_attempts (
  state_hash TEXT PRIMARY KEY,
  provider_id TEXT NOT NULL REFERENCES identity_providers(id) ON DELETE CASCADE,
  connection_revision BIGINT NOT NULL,
  test_id TEXT NOT NULL,
  browser TEXT NOT NULL,
  nonce_hash TEXT NOT NULL,
  verifier_sealed TEXT NOT NULL,
  return_to TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX sso_attempts_end ON sso_attempts (expires_at);
CREATE TABLE sso_tests (
  id TEXT PRIMARY KEY,
  provider_id TEXT NOT NULL REFERENCES identity_providers(id) ON DELETE CASCADE,
  connection_revision BIGINT NOT NULL,
  ticket_hash TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL,
  claims TEXT NOT NULL,
  outcome TEXT NOT NULL,
  trouble TEXT NOT NULL,
  actor TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  finished_at BIGINT
);
CREATE INDEX sso_tests_provider ON sso_tests (provider_id, created_at);
CREATE TABLE sso_identities (
  issuer TEXT NOT NULL,
  subject TEXT NOT NULL,
  user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  provider_id TEXT NOT NULL,
  is_proven BOOLEAN NOT NULL,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  PRIMARY KEY (issuer, subject)
);
CREATE INDEX sso_identities_user ON sso_identities (user_id);
CREATE TABLE sso_managed_roles (
  provider_id TEXT NOT NULL REFERENCES identity_providers(id) ON DELETE CASCADE,
  user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  project_id TEXT NOT NULL,
  role TEXT NOT NULL,
  PRIMARY KEY (provider_id, user_id, project_id)
);
CREATE TABLE sso_sessions (
  session_id TEXT PRIMARY KEY REFERENCES sessions(id) ON DELETE CASCADE,
  provider_id TEXT NOT NULL REFERENCES identity_providers(id) ON DELETE CASCADE,
  issuer TEXT NOT NULL,
  subject TEXT NOT NULL,
  sid TEXT NOT NULL,
  id_token_sealed TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX sso_sessions_sid ON sso_sessions (provider_id, sid);
CREATE INDEX sso_sessions_subject ON sso_sessions (provider_id, subject);
CREATE TABLE sso_logout_tokens (
  provider_id TEXT NOT NULL REFERENCES identity_providers(id) ON DELETE CASCADE,
  jti_hash TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (provider_id, jti_hash)
);
CREATE INDEX sso_logout_tokens_end ON sso_logout_tokens (expires_at);
";

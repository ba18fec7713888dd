//! Mailgrant's own authorization server: clients, consents, codes, token families, signing keys.

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
const TABLES: [&str; 9] = [
    "oauth2_access_tokens",
    "oauth2_refresh_tokens",
    "oauth2_families",
    "oauth2_codes",
    "oauth2_interactions",
    "oauth2_consents",
    "oauth2_client_secrets",
    "oauth2_clients",
    "oauth2_signing_keys",
];

const SCHEMA: &str = "
CREATE TABLE oauth2_signing_keys (
  kid TEXT PRIMARY KEY,
  alg TEXT NOT NULL,
  private_sealed TEXT NOT NULL,
  public_jwk TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  signs_from BIGINT NOT NULL,
  signs_until BIGINT,
  published_until BIGINT
);
CREATE TABLE oauth2_clients (
  id TEXT PRIMARY KEY,
  client_id TEXT NOT NULL UNIQUE,
  project_id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  client_uri TEXT NOT NULL,
  logo_uri TEXT NOT NULL,
  policy_uri TEXT NOT NULL,
  tos_uri TEXT NOT NULL,
  contacts TEXT NOT NULL,
  application_type TEXT NOT NULL,
  redirect_uris TEXT NOT NULL,
  grant_types TEXT NOT NULL,
  scopes TEXT NOT NULL,
  auth_method TEXT NOT NULL,
  require_pkce BOOLEAN NOT NULL,
  auto_grant BOOLEAN NOT NULL,
  may_introspect BOOLEAN NOT NULL,
  token_format TEXT NOT NULL,
  id_token_alg TEXT NOT NULL,
  access_seconds BIGINT NOT NULL,
  refresh_idle_seconds BIGINT NOT NULL,
  refresh_absolute_seconds BIGINT NOT NULL,
  state TEXT NOT NULL,
  created_by TEXT NOT NULL,
  last_used_at BIGINT,
  revision BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX oauth2_clients_project ON oauth2_clients (project_id, id);
CREATE TABLE oauth2_client_secrets (
  id TEXT PRIMARY KEY,
  client TEXT NOT NULL REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  secret_hash TEXT NOT NULL,
  hint TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT
);
CREATE INDEX oauth2_client_secrets_client ON oauth2_client_secrets (client);
CREATE TABLE oauth2_consents (
  user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  client TEXT NOT NULL REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  scopes TEXT NOT NULL,
  projects TEXT NOT NULL,
  granted_at BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  expires_at BIGINT,
  PRIMARY KEY (user_id, client)
);
CREATE TABLE oauth2_interactions (
  id TEXT PRIMARY KEY,
  client TEXT NOT NULL REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  request TEXT NOT NULL,
  browser TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE TABLE oauth2_codes (
  code_hash TEXT PRIMARY KEY,
  client TEXT NOT NULL REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  family_id TEXT NOT NULL,
  request TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);
CREATE TABLE oauth2_families (
  id TEXT PRIMARY KEY,
  client TEXT NOT NULL REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  user_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  projects TEXT NOT NULL,
  audience TEXT NOT NULL,
  auth_time BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT,
  revoked_why TEXT NOT NULL
);
CREATE INDEX oauth2_families_user ON oauth2_families (user_id, client);
CREATE INDEX oauth2_families_client ON oauth2_families (client);
CREATE INDEX oauth2_families_end ON oauth2_families (expires_at);
CREATE TABLE oauth2_refresh_tokens (
  token_hash TEXT PRIMARY KEY,
  family_id TEXT NOT NULL REFERENCES oauth2_families(id) ON DELETE CASCADE,
  state TEXT NOT NULL,
  successor TEXT NOT NULL,
  changed_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oauth2_refresh_tokens_family ON oauth2_refresh_tokens (family_id);
CREATE TABLE oauth2_access_tokens (
  token_hash TEXT PRIMARY KEY,
  family_id TEXT NOT NULL REFERENCES oauth2_families(id) ON DELETE CASCADE,
  refresh_hash TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  first_used_at BIGINT,
  revoked_at BIGINT
);
CREATE INDEX oauth2_access_tokens_family ON oauth2_access_tokens (family_id);
CREATE INDEX oauth2_access_tokens_refresh ON oauth2_access_tokens (refresh_hash);
CREATE INDEX oauth2_access_tokens_end ON oauth2_access_tokens (expires_at);
";

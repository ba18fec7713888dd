//! Clients that sign, push their requests, bind their tokens, or run on a device without a keyboard.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in SCHEMA.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        for (table, column, kind) in COLUMNS {
            let text = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
            manager.get_connection().execute_unprepared(&text).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            let text = format!("DROP TABLE IF EXISTS {table}");
            manager.get_connection().execute_unprepared(&text).await?;
        }
        for (table, column, _) in COLUMNS {
            let text = format!("ALTER TABLE {table} DROP COLUMN {column}");
            manager.get_connection().execute_unprepared(&text).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const TEXT: &str = "TEXT NOT NULL DEFAULT ''";
const LIST: &str = "TEXT NOT NULL DEFAULT '[]'";
const FLAG: &str = "BOOLEAN NOT NULL DEFAULT FALSE";

/// Table, column, type.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("oauth2_clients", "jwks", TEXT),
    ("oauth2_clients", "jwks_uri", TEXT),
    ("oauth2_clients", "auth_signing_alg", TEXT),
    ("oauth2_clients", "request_object_alg", TEXT),
    ("oauth2_clients", "require_signed_request", FLAG),
    ("oauth2_clients", "require_pushed_request", FLAG),
    ("oauth2_clients", "dpop_bound", FLAG),
    ("oauth2_clients", "introspection_alg", TEXT),
    ("oauth2_clients", "default_max_age", "BIGINT"),
    ("oauth2_clients", "post_logout_redirect_uris", LIST),
    ("oauth2_clients", "frontchannel_logout_uri", TEXT),
    ("oauth2_clients", "frontchannel_logout_session_required", FLAG),
    ("oauth2_clients", "backchannel_logout_uri", TEXT),
    ("oauth2_clients", "backchannel_logout_session_required", FLAG),
    ("oauth2_clients", "initiate_login_uri", TEXT),
    ("oauth2_clients", "software_id", TEXT),
    ("oauth2_clients", "software_version", TEXT),
    // The key a family was begun with, how the person signed in, and single claims asked for.
    ("oauth2_families", "jkt", TEXT),
    ("oauth2_families", "amr", LIST),
    ("oauth2_families", "claims", TEXT),
    // The key an access token is bound to.
    ("oauth2_access_tokens", "jkt", TEXT),
];

/// Every table of [`SCHEMA`].
const TABLES: [&str; 4] = [
    "oauth2_client_keys",
    "oauth2_seen_ids",
    "oauth2_pushed_requests",
    "oauth2_device_codes",
];

const SCHEMA: &str = "
CREATE TABLE oauth2_client_keys (
  client TEXT PRIMARY KEY REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  uri TEXT NOT NULL,
  jwks TEXT NOT NULL,
  fetched_at BIGINT NOT NULL,
  tried_at BIGINT NOT NULL
);
CREATE TABLE oauth2_seen_ids (
  id_hash TEXT PRIMARY KEY,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oauth2_seen_ids_end ON oauth2_seen_ids (expires_at);
CREATE TABLE oauth2_pushed_requests (
  id_hash TEXT PRIMARY KEY,
  client TEXT NOT NULL REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  params TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE TABLE oauth2_device_codes (
  code_hash TEXT PRIMARY KEY,
  user_code_hash TEXT NOT NULL UNIQUE,
  client TEXT NOT NULL REFERENCES oauth2_clients(id) ON DELETE CASCADE,
  state TEXT NOT NULL,
  request TEXT NOT NULL,
  user_id TEXT NOT NULL,
  consented TEXT NOT NULL,
  begun_at_address TEXT NOT NULL,
  begun_by TEXT NOT NULL,
  interval_ms BIGINT NOT NULL,
  polled_at BIGINT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oauth2_device_codes_user ON oauth2_device_codes (user_id);
";

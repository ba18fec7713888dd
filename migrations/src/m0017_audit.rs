//! The audit log: who did what, in one chain of seals; and issuers whose tokens count here.
//!
//! A row gets its place and its seal after the commit (see `src/audit/chain.rs`); from then on triggers refuse every
//! change of it. They stop mistakes, not somebody who may change the schema: that is what the seals are for.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SCHEMA).await?;
        let statements: &[&str] = if manager.get_database_backend() == DbBackend::Sqlite {
            &SQLITE
        } else {
            &POSTGRES
        };
        for statement in statements {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            "DROP TABLE IF EXISTS audit_events;\nDROP TABLE IF EXISTS audit_head;\n\
             DROP TABLE IF EXISTS oauth2_assertion_families;\nDROP TABLE IF EXISTS trusted_issuer_keys;\n\
             DROP TABLE IF EXISTS trusted_issuers;\n",
        )
        .await?;
        if manager.get_database_backend() != DbBackend::Sqlite {
            run(manager, "DROP FUNCTION IF EXISTS audit_events_stay();\n").await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

async fn run(manager: &SchemaManager<'_>, statements: &str) -> Result<(), DbErr> {
    for statement in statements
        .split(";\n")
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

const SCHEMA: &str = "
CREATE TABLE audit_events (
  id TEXT PRIMARY KEY,
  created_at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  via TEXT NOT NULL,
  address TEXT NOT NULL,
  request_id TEXT NOT NULL,
  action TEXT NOT NULL,
  target_kind TEXT NOT NULL,
  target_id TEXT NOT NULL,
  project_id TEXT NOT NULL,
  summary TEXT NOT NULL,
  place BIGINT,
  key_id TEXT NOT NULL DEFAULT '',
  seal TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX audit_events_place ON audit_events (place);
CREATE INDEX audit_events_open ON audit_events (id) WHERE place IS NULL;
CREATE INDEX audit_events_actor ON audit_events (actor, id);
CREATE INDEX audit_events_target ON audit_events (target_id, id);
CREATE INDEX audit_events_project ON audit_events (project_id, id);
CREATE INDEX audit_events_action ON audit_events (action, id);
CREATE TABLE audit_head (
  id BIGINT PRIMARY KEY,
  last BIGINT NOT NULL,
  seal TEXT NOT NULL,
  floor BIGINT NOT NULL,
  floor_seal TEXT NOT NULL,
  key_id TEXT NOT NULL,
  mac TEXT NOT NULL
);
CREATE TABLE trusted_issuers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  issuer TEXT NOT NULL,
  uses TEXT NOT NULL,
  enabled BOOLEAN NOT NULL,
  key_source TEXT NOT NULL,
  jwks TEXT NOT NULL,
  jwks_uri TEXT NOT NULL,
  algorithms TEXT NOT NULL,
  introspection_endpoint TEXT NOT NULL,
  introspection_client_id TEXT NOT NULL,
  secret_sealed TEXT NOT NULL,
  cache_seconds BIGINT NOT NULL,
  token_prefix TEXT NOT NULL,
  audiences TEXT NOT NULL,
  subjects TEXT NOT NULL,
  max_life_seconds BIGINT NOT NULL,
  mapping TEXT NOT NULL,
  subject_table TEXT NOT NULL,
  service_client TEXT NOT NULL,
  scope_claim TEXT NOT NULL,
  scope_map TEXT NOT NULL,
  scopes TEXT NOT NULL,
  projects TEXT NOT NULL,
  clients TEXT NOT NULL,
  allow_incomplete BOOLEAN NOT NULL,
  created_by TEXT NOT NULL,
  revision BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX trusted_issuers_issuer ON trusted_issuers (issuer);
CREATE TABLE trusted_issuer_keys (
  issuer_id TEXT PRIMARY KEY,
  uri TEXT NOT NULL,
  jwks TEXT NOT NULL,
  fetched_at BIGINT NOT NULL,
  tried_at BIGINT NOT NULL
);
CREATE TABLE oauth2_assertion_families (
  family_id TEXT PRIMARY KEY REFERENCES oauth2_families(id) ON DELETE CASCADE,
  issuer_id TEXT NOT NULL
);
CREATE INDEX oauth2_assertion_families_issuer ON oauth2_assertion_families (issuer_id);
INSERT INTO audit_head (id, last, seal, floor, floor_seal, key_id, mac) VALUES (1, 0, '', 0, '', '', '');
";

const SQLITE: [&str; 3] = [
    "CREATE TRIGGER audit_events_stay BEFORE UPDATE ON audit_events WHEN OLD.place IS NOT NULL BEGIN \
     SELECT RAISE(ABORT, 'the audit log is append-only'); END",
    "CREATE TRIGGER audit_events_words BEFORE UPDATE OF id, created_at, actor, via, address, request_id, action, \
     target_kind, target_id, project_id, summary ON audit_events BEGIN \
     SELECT RAISE(ABORT, 'the audit log is append-only'); END",
    "CREATE TRIGGER audit_events_keep BEFORE DELETE ON audit_events \
     WHEN OLD.place IS NULL OR OLD.place > (SELECT floor FROM audit_head WHERE id = 1) BEGIN \
     SELECT RAISE(ABORT, 'the audit log is append-only'); END",
];

const POSTGRES: [&str; 3] = [
    "ALTER TABLE audit_events ADD COLUMN arrival BIGINT GENERATED BY DEFAULT AS IDENTITY",
    "CREATE FUNCTION audit_events_stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF TG_OP = 'DELETE' THEN \
       IF OLD.place IS NULL OR OLD.place > (SELECT floor FROM audit_head WHERE id = 1) THEN \
         RAISE EXCEPTION 'the audit log is append-only'; END IF; \
       RETURN OLD; END IF; \
     IF OLD.place IS NOT NULL OR (OLD.id, OLD.created_at, OLD.actor, OLD.via, OLD.address, OLD.request_id, OLD.action, \
       OLD.target_kind, OLD.target_id, OLD.project_id, OLD.summary) IS DISTINCT FROM (NEW.id, NEW.created_at, NEW.actor, \
       NEW.via, NEW.address, NEW.request_id, NEW.action, NEW.target_kind, NEW.target_id, NEW.project_id, NEW.summary) \
       THEN RAISE EXCEPTION 'the audit log is append-only'; END IF; \
     RETURN NEW; END $$",
    "CREATE TRIGGER audit_events_stay BEFORE UPDATE OR DELETE ON audit_events FOR EACH ROW \
     EXECUTE FUNCTION audit_events_stay()",
];

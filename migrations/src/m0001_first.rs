//! The first schema: integrations, grants, mailboxes, messages, tickets and the people who look at them.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let blob = match manager.get_database_backend() {
            DbBackend::Postgres => "BYTEA",
            _ => "BLOB",
        };
        for statement in SCHEMA.split(";\n") {
            let statement = statement.trim();
            if !statement.is_empty() {
                manager
                    .get_connection()
                    .execute_unprepared(&statement.replace("{blob}", blob))
                    .await?;
            }
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

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Every table of [`SCHEMA`], dependants first.
const TABLES: [&str; 25] = [
    "test_steps",
    "connection_tests",
    "events",
    "entries",
    "thread_ids",
    "ingestions",
    "message_chunks",
    "messages",
    "tickets",
    "folder_cursors",
    "mailboxes",
    "authorizations",
    "grants",
    "retired_callbacks",
    "callback_drafts",
    "integrations",
    "projects",
    "api_tokens",
    "one_time_links",
    "sessions",
    "users",
    "sign_in_failures",
    "settings",
    "job_runs",
    "key_checks",
];

const SCHEMA: &str = r#"
CREATE TABLE key_checks (
  kid TEXT PRIMARY KEY,
  check_sealed TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
CREATE TABLE job_runs (
  name TEXT PRIMARY KEY,
  next_run_at BIGINT NOT NULL,
  last_run_at BIGINT,
  last_error TEXT NOT NULL DEFAULT '',
  lease_holder TEXT NOT NULL DEFAULT '',
  lease_no BIGINT NOT NULL DEFAULT 0,
  lease_until BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE users (
  id TEXT PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  site_admin BOOLEAN NOT NULL,
  theme TEXT NOT NULL DEFAULT 'auto',
  created_at BIGINT NOT NULL,
  disabled_at BIGINT
);
CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  csrf_token TEXT NOT NULL,
  flash TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  last_seen_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE TABLE sign_in_failures (
  subject TEXT PRIMARY KEY,
  failures BIGINT NOT NULL,
  blocked_until BIGINT NOT NULL,
  last_at BIGINT NOT NULL
);
CREATE TABLE one_time_links (
  token_hash TEXT PRIMARY KEY,
  purpose TEXT NOT NULL,
  user_id TEXT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE TABLE api_tokens (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  token_hash TEXT NOT NULL UNIQUE,
  actor TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  last_used_at BIGINT,
  revoked_at BIGINT
);
CREATE TABLE projects (
  id TEXT PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  next_number BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE integrations (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL,
  provider TEXT NOT NULL,
  tenant TEXT NOT NULL,
  cloud TEXT NOT NULL,
  client_id TEXT NOT NULL,
  client_secret_sealed TEXT NOT NULL,
  secret_set_at BIGINT NOT NULL,
  secret_expires_at BIGINT,
  scopes TEXT NOT NULL,
  issuer TEXT NOT NULL,
  authorization_endpoint TEXT NOT NULL,
  token_endpoint TEXT NOT NULL,
  userinfo_endpoint TEXT NOT NULL,
  revocation_endpoint TEXT NOT NULL,
  iss_announced BOOLEAN NOT NULL,
  token_auth_method TEXT NOT NULL,
  extra_auth_params TEXT NOT NULL,
  flow TEXT NOT NULL,
  callback_id TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL,
  error_code TEXT NOT NULL DEFAULT '',
  error_cause TEXT NOT NULL DEFAULT '',
  error_remedy TEXT NOT NULL DEFAULT '',
  error_at BIGINT,
  revision BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE callback_drafts (
  callback_id TEXT PRIMARY KEY,
  created_at BIGINT NOT NULL
);
CREATE TABLE retired_callbacks (
  callback_id TEXT PRIMARY KEY,
  integration_id TEXT NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  retired_at BIGINT NOT NULL
);
CREATE TABLE grants (
  id TEXT PRIMARY KEY,
  integration_id TEXT NOT NULL REFERENCES integrations(id),
  flow TEXT NOT NULL,
  identity TEXT NOT NULL,
  subject TEXT NOT NULL,
  started_by TEXT NOT NULL,
  access_token_sealed TEXT NOT NULL,
  refresh_token_sealed TEXT NOT NULL,
  scopes TEXT NOT NULL,
  state TEXT NOT NULL,
  issued_at BIGINT NOT NULL,
  expires_at BIGINT,
  refreshed_at BIGINT NOT NULL,
  refresh_token_at BIGINT NOT NULL,
  refresh_expires_at BIGINT,
  next_refresh_at BIGINT,
  refreshing_since BIGINT,
  forced_at BIGINT,
  failures BIGINT NOT NULL DEFAULT 0,
  error_from TEXT NOT NULL DEFAULT '',
  error_code TEXT NOT NULL DEFAULT '',
  error_cause TEXT NOT NULL DEFAULT '',
  error_remedy TEXT NOT NULL DEFAULT '',
  error_at BIGINT,
  revision BIGINT NOT NULL,
  lease_holder TEXT NOT NULL DEFAULT '',
  lease_no BIGINT NOT NULL DEFAULT 0,
  lease_until BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX grants_due ON grants (next_refresh_at);
CREATE INDEX grants_integration ON grants (integration_id);
CREATE TABLE authorizations (
  id TEXT PRIMARY KEY,
  integration_id TEXT NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  state_hash TEXT NOT NULL UNIQUE,
  verifier_sealed TEXT NOT NULL,
  redirect_url TEXT NOT NULL,
  token_endpoint TEXT NOT NULL,
  authorization_url_sealed TEXT NOT NULL,
  session_id TEXT NOT NULL,
  started_by TEXT NOT NULL,
  expected_identity TEXT NOT NULL,
  reconnect_grant_id TEXT NOT NULL,
  return_to TEXT NOT NULL,
  state TEXT NOT NULL,
  pending_sealed TEXT NOT NULL DEFAULT '',
  grant_id TEXT NOT NULL DEFAULT '',
  error_code TEXT NOT NULL DEFAULT '',
  error_cause TEXT NOT NULL DEFAULT '',
  error_remedy TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  finished_at BIGINT
);
CREATE TABLE mailboxes (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  project_id TEXT NOT NULL REFERENCES projects(id),
  grant_id TEXT NOT NULL REFERENCES grants(id),
  protocol TEXT NOT NULL,
  host TEXT NOT NULL,
  port BIGINT NOT NULL,
  tls TEXT NOT NULL,
  login_name TEXT NOT NULL,
  folder TEXT NOT NULL,
  start_from TEXT NOT NULL,
  after_ingest TEXT NOT NULL,
  move_to TEXT NOT NULL,
  schedule TEXT NOT NULL,
  idle BOOLEAN NOT NULL,
  max_message_bytes BIGINT NOT NULL,
  paused BOOLEAN NOT NULL,
  state TEXT NOT NULL,
  error_code TEXT NOT NULL DEFAULT '',
  error_cause TEXT NOT NULL DEFAULT '',
  error_remedy TEXT NOT NULL DEFAULT '',
  error_at BIGINT,
  failures BIGINT NOT NULL DEFAULT 0,
  next_poll_at BIGINT NOT NULL,
  last_success_at BIGINT,
  last_mail_at BIGINT,
  lease_holder TEXT NOT NULL DEFAULT '',
  lease_no BIGINT NOT NULL DEFAULT 0,
  lease_until BIGINT NOT NULL DEFAULT 0,
  revision BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX mailboxes_due ON mailboxes (next_poll_at);
CREATE INDEX mailboxes_grant ON mailboxes (grant_id);
CREATE TABLE folder_cursors (
  mailbox_id TEXT NOT NULL REFERENCES mailboxes(id) ON DELETE CASCADE,
  folder TEXT NOT NULL,
  uid_validity BIGINT NOT NULL,
  start_uid BIGINT NOT NULL,
  last_uid BIGINT NOT NULL,
  since_ms BIGINT,
  wanted TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (mailbox_id, folder, uid_validity)
);
CREATE TABLE tickets (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects(id),
  number BIGINT NOT NULL,
  key TEXT NOT NULL UNIQUE,
  subject TEXT NOT NULL,
  requester_name TEXT NOT NULL,
  requester_email TEXT NOT NULL,
  state TEXT NOT NULL,
  assignee_id TEXT NOT NULL DEFAULT '',
  labels TEXT NOT NULL DEFAULT '[]',
  priority TEXT NOT NULL DEFAULT 'normal',
  search_text TEXT NOT NULL,
  entry_count BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX tickets_project ON tickets (project_id, updated_at);
CREATE INDEX tickets_updated ON tickets (updated_at);
CREATE INDEX tickets_created ON tickets (created_at);
CREATE TABLE messages (
  id TEXT PRIMARY KEY,
  mailbox_id TEXT NOT NULL REFERENCES mailboxes(id),
  project_id TEXT NOT NULL,
  content_hash TEXT NOT NULL,
  size BIGINT NOT NULL,
  folder TEXT NOT NULL,
  uid_validity BIGINT NOT NULL,
  uid BIGINT NOT NULL,
  internal_date BIGINT,
  received_at BIGINT NOT NULL,
  state TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  is_partial BOOLEAN NOT NULL,
  parsed TEXT NOT NULL,
  subject TEXT NOT NULL,
  from_name TEXT NOT NULL,
  from_email TEXT NOT NULL,
  preview TEXT NOT NULL,
  sent_at TEXT NOT NULL,
  has_attachment BOOLEAN NOT NULL,
  problem TEXT NOT NULL,
  ticket_id TEXT NOT NULL,
  entry_id TEXT NOT NULL,
  UNIQUE (mailbox_id, content_hash)
);
CREATE INDEX messages_state ON messages (state, mailbox_id, id);
CREATE INDEX messages_mailbox ON messages (mailbox_id, id);
CREATE TABLE message_chunks (
  message_id TEXT NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
  position BIGINT NOT NULL,
  bytes {blob} NOT NULL,
  PRIMARY KEY (message_id, position)
);
CREATE TABLE ingestions (
  mailbox_id TEXT NOT NULL REFERENCES mailboxes(id) ON DELETE CASCADE,
  folder TEXT NOT NULL,
  uid_validity BIGINT NOT NULL,
  uid BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  message_id TEXT NOT NULL,
  tell TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (mailbox_id, folder, uid_validity, uid)
);
CREATE INDEX ingestions_tell ON ingestions (mailbox_id, tell);
CREATE INDEX ingestions_created ON ingestions (mailbox_id, created_at);
CREATE TABLE thread_ids (
  project_id TEXT NOT NULL,
  rfc_message_id TEXT NOT NULL,
  ticket_id TEXT NOT NULL REFERENCES tickets(id) ON DELETE CASCADE,
  message_id TEXT NOT NULL,
  PRIMARY KEY (project_id, rfc_message_id, message_id)
);
CREATE TABLE entries (
  id TEXT PRIMARY KEY,
  ticket_id TEXT NOT NULL REFERENCES tickets(id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  message_id TEXT UNIQUE,
  author TEXT NOT NULL,
  body TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL
);
CREATE INDEX entries_ticket ON entries (ticket_id, created_at);
CREATE TABLE events (
  id TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  project_id TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  actor TEXT NOT NULL,
  data TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX events_subject ON events (subject_id, id);
CREATE TABLE connection_tests (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  state TEXT NOT NULL,
  started_by TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  finished_at BIGINT
);
CREATE INDEX connection_tests_subject ON connection_tests (subject_id, id);
CREATE TABLE test_steps (
  test_id TEXT NOT NULL REFERENCES connection_tests(id) ON DELETE CASCADE,
  position BIGINT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  ms BIGINT NOT NULL,
  detail TEXT NOT NULL,
  cause TEXT NOT NULL,
  remedy TEXT NOT NULL,
  PRIMARY KEY (test_id, position)
);
"#;

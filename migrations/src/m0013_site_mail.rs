//! Mail of the installation itself: which account sends it. Who gets alerts, what they were
//! told, the templates of projects, and the names of the files that go with a mail.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in SCHEMA.split(";\n") {
            let statement = statement.trim();
            if !statement.is_empty() {
                manager.get_connection().execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in [
            "DROP TABLE IF EXISTS mail_templates",
            "DROP TABLE IF EXISTS alert_optouts",
            "DROP TABLE IF EXISTS alert_episodes",
            "DROP TABLE IF EXISTS site_mail",
            "ALTER TABLE outgoing_mails DROP COLUMN files",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const SCHEMA: &str = r#"
ALTER TABLE outgoing_mails ADD COLUMN files TEXT NOT NULL DEFAULT '[]';
CREATE TABLE site_mail (
  id BIGINT PRIMARY KEY,
  mailbox_id TEXT NOT NULL DEFAULT '',
  alerts TEXT NOT NULL DEFAULT 'admins',
  alert_addresses TEXT NOT NULL DEFAULT '[]',
  alert_cursor BIGINT NOT NULL DEFAULT 0,
  alerts_sent_at BIGINT NOT NULL DEFAULT 0,
  notice_cursor BIGINT NOT NULL DEFAULT 0,
  revision BIGINT NOT NULL DEFAULT 1,
  updated_at BIGINT NOT NULL DEFAULT 0
);
INSERT INTO site_mail (id) VALUES (1);
CREATE TABLE alert_episodes (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  title TEXT NOT NULL,
  code TEXT NOT NULL,
  cause TEXT NOT NULL,
  remedy TEXT NOT NULL,
  path TEXT NOT NULL,
  began_at BIGINT NOT NULL,
  told_at BIGINT,
  ended_at BIGINT,
  end_told_at BIGINT
);
CREATE INDEX alert_episodes_subject ON alert_episodes (subject_id);
CREATE TABLE alert_optouts (user_id TEXT PRIMARY KEY);
CREATE TABLE mail_templates (
  project_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  enabled BOOLEAN NOT NULL,
  subject TEXT NOT NULL,
  text TEXT NOT NULL,
  html TEXT NOT NULL,
  revision BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (project_id, kind)
);
"#;

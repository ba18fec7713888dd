//! Who may do what: members of projects, scopes of tokens, which projects may use an integration.

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

/// Tokens of before could do everything: they stay `admin` tokens, narrowed to no project and without an end.
const SCHEMA: &str = r"
CREATE TABLE project_members (
  project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
  user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  role TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (project_id, user_id)
);
CREATE INDEX project_members_user ON project_members (user_id);
CREATE TABLE integration_projects (
  integration_id TEXT NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
  PRIMARY KEY (integration_id, project_id)
);
CREATE INDEX integration_projects_project ON integration_projects (project_id);
CREATE TABLE grant_projects (
  grant_id TEXT NOT NULL REFERENCES grants(id) ON DELETE CASCADE,
  project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
  PRIMARY KEY (grant_id, project_id)
);
CREATE INDEX grant_projects_project ON grant_projects (project_id);
ALTER TABLE authorizations ADD COLUMN project_id TEXT NOT NULL DEFAULT '';
ALTER TABLE api_tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT 'admin';
ALTER TABLE api_tokens ADD COLUMN projects TEXT NOT NULL DEFAULT '';
CREATE INDEX api_tokens_actor ON api_tokens (actor);
ALTER TABLE sessions ADD COLUMN browser TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
CREATE INDEX sessions_user ON sessions (user_id);
";

const UNDO: &str = r"
DROP INDEX sessions_user;
ALTER TABLE sessions DROP COLUMN address;
ALTER TABLE sessions DROP COLUMN browser;
DROP INDEX api_tokens_actor;
ALTER TABLE api_tokens DROP COLUMN projects;
ALTER TABLE api_tokens DROP COLUMN scopes;
ALTER TABLE authorizations DROP COLUMN project_id;
DROP TABLE grant_projects;
DROP TABLE integration_projects;
DROP TABLE project_members;
";

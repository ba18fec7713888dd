//! Mail of the installation itself: which account sends it.

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
        manager
            .get_connection()
            .execute_unprepared("DROP TABLE IF EXISTS site_mail")
            .await?;
        Ok(())
    }

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const SCHEMA: &str = r#"
CREATE TABLE site_mail (
  id BIGINT PRIMARY KEY,
  mailbox_id TEXT NOT NULL DEFAULT '',
  revision BIGINT NOT NULL DEFAULT 1,
  updated_at BIGINT NOT NULL DEFAULT 0
);
INSERT INTO site_mail (id) VALUES (1);
"#;

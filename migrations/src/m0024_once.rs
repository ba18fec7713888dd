//! One mail for one request: the request's name beside the mail it had sent. Labels that rules set, where they are
//! looked for.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let labels = if manager.get_database_backend() == DbBackend::Postgres {
            POSTGRES_LABELS
        } else {
            SQLITE_LABELS
        };
        let mail = [
            "ALTER TABLE outgoing_mails ADD COLUMN once_key TEXT",
            "CREATE UNIQUE INDEX outgoing_mails_once ON outgoing_mails (once_key)",
        ];
        for statement in mail.into_iter().chain(labels) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in [
            "DROP INDEX outgoing_mails_once",
            "ALTER TABLE outgoing_mails DROP COLUMN once_key",
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

const SQLITE_LABELS: [&str; 2] = [
    "UPDATE tickets SET labels = (SELECT json_group_array(label) FROM (SELECT DISTINCT LOWER(TRIM(value)) AS label \
     FROM json_each(tickets.labels) ORDER BY label)) WHERE labels <> '[]'",
    "INSERT OR IGNORE INTO ticket_labels (label, ticket_id) SELECT value, tickets.id FROM tickets, \
     json_each(tickets.labels) WHERE labels <> '[]'",
];

const POSTGRES_LABELS: [&str; 2] = [
    "UPDATE tickets SET labels = (SELECT COALESCE(json_agg(label ORDER BY label), '[]')::text FROM \
     (SELECT DISTINCT LOWER(TRIM(value)) AS label FROM json_array_elements_text(tickets.labels::json) AS all_of) \
     AS plain) WHERE labels <> '[]'",
    "INSERT INTO ticket_labels (label, ticket_id) SELECT value, tickets.id FROM tickets, \
     json_array_elements_text(tickets.labels::json) WHERE labels <> '[]' ON CONFLICT DO NOTHING",
];

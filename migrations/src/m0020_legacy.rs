//! What clients of older protocols may do, and what is known of people and of how they signed in.
//!
//! Whoever is still to be told that a session ended is marked when it ends, so that nobody has to compare all of them
//! with all sessions every second.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            &COLUMNS.map(|(table, column)| format!("ALTER TABLE {table} ADD COLUMN {column}")),
        )
        .await?;
        run(
            manager,
            &INDEXES.map(|(name, what)| format!("CREATE INDEX {name} ON {what}")),
        )
        .await?;
        let marks: &[&str] = if manager.get_database_backend() == DbBackend::Sqlite {
            &SQLITE
        } else {
            &POSTGRES
        };
        run(manager, marks).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let gone: &[&str] = if manager.get_database_backend() == DbBackend::Sqlite {
            &["DROP TRIGGER sessions_end"]
        } else {
            &[
                "DROP TRIGGER sessions_end ON sessions",
                "DROP FUNCTION sessions_end()",
            ]
        };
        run(manager, gone).await?;
        run(manager, &INDEXES.map(|(name, _)| format!("DROP INDEX {name}"))).await?;
        let columns = COLUMNS.map(|(table, column)| {
            let name = column.split(' ').next().unwrap_or_default();
            format!("ALTER TABLE {table} DROP COLUMN {name}")
        });
        run(manager, &columns).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

async fn run(manager: &SchemaManager<'_>, statements: &[impl AsRef<str>]) -> Result<(), DbErr> {
    for statement in statements {
        manager
            .get_connection()
            .execute_unprepared(statement.as_ref())
            .await?;
    }
    Ok(())
}

/// `legacy` is a list of words; `kind` is `access`, or `id` for an ID token that opens the API; `acr` is the class of a
/// sign-in as an identity provider names it; `ended` is 1 from the end of the session on.
const COLUMNS: [(&str, &str); 9] = [
    ("oauth2_clients", "legacy TEXT NOT NULL DEFAULT '[]'"),
    ("oauth2_access_tokens", "kind TEXT NOT NULL DEFAULT 'access'"),
    ("oauth2_families", "sid TEXT NOT NULL DEFAULT ''"),
    ("oauth2_families", "acr TEXT NOT NULL DEFAULT ''"),
    ("users", "phone TEXT NOT NULL DEFAULT ''"),
    ("users", "address TEXT NOT NULL DEFAULT ''"),
    ("sessions", "acr TEXT NOT NULL DEFAULT ''"),
    ("sign_in_steps", "acr TEXT NOT NULL DEFAULT ''"),
    ("oauth2_sid_clients", "ended BIGINT NOT NULL DEFAULT 0"),
];

const INDEXES: [(&str, &str); 1] = [(
    "oauth2_sid_clients_ended",
    "oauth2_sid_clients (sid) WHERE ended = 1",
)];

/// A session that another one of the same browser takes over from ends, too: whoever collects looks whether one lives.
const SQLITE: [&str; 2] = [
    "UPDATE oauth2_sid_clients SET ended = 1 WHERE NOT EXISTS (SELECT 1 FROM sessions s WHERE s.sid = oauth2_sid_clients.sid)",
    "CREATE TRIGGER sessions_end AFTER DELETE ON sessions \
     BEGIN UPDATE oauth2_sid_clients SET ended = 1 WHERE sid = OLD.sid; END",
];

const POSTGRES: [&str; 3] = [
    SQLITE[0],
    "CREATE FUNCTION sessions_end() RETURNS trigger AS $$ \
     BEGIN UPDATE oauth2_sid_clients SET ended = 1 WHERE sid = OLD.sid; RETURN NULL; END $$ LANGUAGE plpgsql",
    "CREATE TRIGGER sessions_end AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION sessions_end()",
];

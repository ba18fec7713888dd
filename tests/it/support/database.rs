//! Tests on every database: a test is written once as `async fn name(database: TestDatabase)` and turned into
//! two by [`on_each_database!`](crate::on_each_database).
//!
//! `MAILGRANT_TEST_DATABASES=sqlite` (or `postgres`, or both separated by a comma, which is the default) narrows
//! a run; the tests left out say so.

use super::{guard::short_dir, postgres};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// An empty database of one test, gone with it.
pub struct TestDatabase {
    /// As in `MAILGRANT_DATABASE_URL`.
    pub url: String,
    pub kind: Kind,
    _sqlite: Option<tempfile::TempDir>,
    postgres: Option<postgres::Database>,
}

impl TestDatabase {
    /// An empty database; not yet migrated.
    pub async fn create(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => {
                let dir = short_dir();
                let url = format!("sqlite:{}", dir.path().join("mailgrant.sqlite").display());
                Self {
                    url,
                    kind,
                    _sqlite: Some(dir),
                    postgres: None,
                }
            }
            Kind::Postgres => {
                let database = postgres::Database::create().await;
                Self {
                    url: database.url.clone(),
                    kind,
                    _sqlite: None,
                    postgres: Some(database),
                }
            }
        }
    }

    /// The PostgreSQL behind it, for questions in SQL.
    pub fn postgres(&self) -> Option<&postgres::Database> {
        self.postgres.as_ref()
    }
}

/// Whether this run covers `kind`; prints a line when it does not.
pub fn wanted(kind: Kind) -> bool {
    let list = std::env::var("MAILGRANT_TEST_DATABASES").unwrap_or_else(|_| "sqlite,postgres".to_owned());
    let mut wanted = false;
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        wanted |= kind
            == match name {
                "sqlite" => Kind::Sqlite,
                "postgres" => Kind::Postgres,
                other => panic!("MAILGRANT_TEST_DATABASES: `{other}` is neither sqlite nor postgres"),
            };
    }
    if !wanted {
        println!("left out: MAILGRANT_TEST_DATABASES={list} does not name {kind:?}");
    }
    wanted
}

/// `on_each_database!(mail_becomes_a_ticket);` makes the tests `mail_becomes_a_ticket::sqlite` and
/// `mail_becomes_a_ticket::postgres` from `async fn mail_becomes_a_ticket(database: TestDatabase)`.
#[macro_export]
macro_rules! on_each_database {
    ($($scenario:ident),+ $(,)?) => {$(
        mod $scenario {
            use $crate::support::database::{Kind, TestDatabase, wanted};

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                if wanted(Kind::Sqlite) {
                    super::$scenario(TestDatabase::create(Kind::Sqlite).await).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                if wanted(Kind::Postgres) {
                    super::$scenario(TestDatabase::create(Kind::Postgres).await).await;
                }
            }
        }
    )+};
}

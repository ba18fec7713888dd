//! The database: connections, transactions, claims. SQLite by default, PostgreSQL by URL.
//!
//! SQLite has one writer: one connection writes, its transactions begin IMMEDIATE and queue for it in order; readers
//! have a pool beside it. On PostgreSQL both are one pool. What is stored where is written in the `store.rs` files.

mod claim;
mod keycheck;
mod listed;
mod rows;
mod together;
mod version;
mod within;

pub use claim::{Claim, Lease, claim, claim_one, extend, release, release_claims_of};
pub use keycheck::{KeyCheckError, check_keys, has_key_checks};
#[cfg(test)]
pub(crate) use listed::testkit::is_indexed;
pub use listed::{Listed, Where};
pub use rows::with_rows;
pub use together::{Answers, Together};
pub use version::Version;
pub use within::{within, within_sql, within_table};

use std::sync::Arc;
use std::time::Duration;

use mailgrant_migrations::Migrator;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    RuntimeErr, SqlxError, Statement, TransactionOptions, TransactionTrait, Value,
};
use sea_orm_migration::MigratorTrait;

/// Why the database could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The URL's scheme is neither `sqlite:` nor `postgres:`.
    #[error("database URL must begin with sqlite: or postgres: (it begins with {0})")]
    Scheme(String),
    /// The driver's own error.
    #[error("database: {0}")]
    Driver(#[from] DbErr),
}

/// A handle on the database; cheap to clone.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

/// Statements that each connection keeps prepared: more than there are, so that none is prepared again and again.
const STATEMENTS: usize = 1_000;

struct Inner {
    write: DatabaseConnection,
    read: DatabaseConnection,
    /// Of SQLite.
    watch: Option<version::Watch>,
    backend: DbBackend,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Db({:?})", self.inner.backend)
    }
}

impl Db {
    /// Opens the database at a URL (`sqlite:/path/file.db` or `postgres://…`), creating a SQLite file if needed.
    pub async fn open(url: &str) -> Result<Self, DbError> {
        if url.starts_with("sqlite:") {
            Self::open_sqlite(url).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::open_postgres(url).await
        } else {
            Err(DbError::Scheme(
                url.split(':')
                    .next()
                    .unwrap_or_default()
                    .chars()
                    .take(20)
                    .collect(),
            ))
        }
    }

    async fn open_sqlite(url: &str) -> Result<Self, DbError> {
        let path = url
            .trim_start_matches("sqlite:")
            .trim_start_matches("//")
            .to_owned();
        create_private(&path)?;
        let url = format!("sqlite://{path}?mode=rwc");
        let write = Database::connect(sqlite_options(&url, 1)).await?;
        let read = Database::connect(sqlite_options(&url, 4)).await?;
        let watch = version::watch(&url).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                write,
                read,
                watch: Some(watch),
                backend: DbBackend::Sqlite,
            }),
        })
    }

    async fn open_postgres(url: &str) -> Result<Self, DbError> {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(16)
            .min_connections(1)
            .idle_timeout(NEVER)
            .max_lifetime(NEVER)
            .connect_timeout(Duration::from_secs(10))
            .acquire_timeout(Duration::from_secs(30))
            .sqlx_logging(false)
            // Asked before every use, the server would be asked everything twice.
            .test_before_acquire_if_idle_for(Duration::from_secs(1))
            .map_sqlx_postgres_opts(|options| options.statement_cache_capacity(STATEMENTS));
        let pool = Database::connect(options).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                write: pool.clone(),
                read: pool,
                watch: None,
                backend: DbBackend::Postgres,
            }),
        })
    }

    /// Brings the schema up to date. Two processes that start at once do not get in each other's way.
    pub async fn migrate(&self) -> Result<(), DbError> {
        if self.is_postgres() {
            // Held by one connection, so lock, migrate and unlock must share it: a transaction-scoped lock beside
            // the migrator's own connection serves as the gate.
            let gate = self.inner.write.begin().await?;
            gate.execute_unprepared("SELECT pg_advisory_xact_lock(7239104401)")
                .await?;
            Migrator::up(&self.inner.write, None).await?;
            gate.commit().await?;
        } else {
            Migrator::up(&self.inner.write, None).await?;
        }
        Ok(())
    }

    /// Begins a transaction that writes. On SQLite it waits its turn for the only writer: do no network and no
    /// parsing inside, and never begin a second one while holding the first.
    ///
    /// On PostgreSQL a process that freezes inside (a paused machine) must not keep its row locks longer than a lease
    /// lasts, or no other node could take over: the server ends such a transaction after 20 s.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let transaction = self
            .inner
            .write
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(sea_orm::SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await?;
        if self.is_postgres() {
            transaction
                .execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = '20s'")
                .await?;
        }
        Ok(transaction)
    }

    /// Begins to read what is committed now: whatever others write meanwhile, every query sees the same. For long walks;
    /// it holds nobody up.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction, DbErr> {
        let isolation_level = self
            .is_postgres()
            .then_some(sea_orm::IsolationLevel::RepeatableRead);
        let access_mode = self.is_postgres().then_some(sea_orm::AccessMode::ReadOnly);
        self.inner
            .read
            .begin_with_options(TransactionOptions {
                isolation_level,
                access_mode,
                ..TransactionOptions::default()
            })
            .await
    }

    /// The connection for single statements that write.
    pub fn write(&self) -> &DatabaseConnection {
        &self.inner.write
    }

    /// The connections for reading.
    pub fn read(&self) -> &DatabaseConnection {
        &self.inner.read
    }

    /// Whether this is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.inner.backend == DbBackend::Postgres
    }

    /// Closes all connections; later calls fail.
    pub async fn close(&self) {
        if let Some(watch) = &self.inner.watch {
            watch.lock().await.take();
        }
        let _ = self.inner.read.clone().close().await;
        let _ = self.inner.write.clone().close().await;
    }
}

/// Makes the database file before SQLite does, so that nobody but its owner can read the mail in it, whatever the
/// umask. Its log and index files take over the mode.
fn create_private(path: &str) -> Result<(), DbError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(DbErr::Conn(RuntimeErr::Internal(format!("{path}: {error}"))).into()),
    }
}

/// No connection is closed for its age. The task that would look for old ones starts with the pool and, when its count
/// of idle connections slips below zero for an instant, goes round for ever without giving its thread back
/// (<https://github.com/transact-rs/sqlx/issues/3645>): a command then never ends, and a server loses a core.
const NEVER: Option<Duration> = None;

fn sqlite_options(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(NEVER)
        .max_lifetime(NEVER)
        .acquire_timeout(Duration::from_secs(60))
        // A file does not hang up: to ask before every use is to ask everything twice.
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|options| {
            options
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(30))
                .statement_cache_capacity(STATEMENTS)
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                .pragma("secure_delete", "ON")
        });
    options
}

/// A statement in the SQL both databases share, with `$1`, `$2`, … for its values. Texts lose their NUL characters,
/// which PostgreSQL cannot hold: a character a stranger put into a mail or a server into an answer must not undo a
/// whole transaction.
pub fn sql<C: ConnectionTrait>(on: &C, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    let values = values.into_iter().map(|value| match value {
        Value::String(Some(text)) if text.contains('\0') => Value::String(Some(text.replace('\0', ""))),
        other => other,
    });
    Statement::from_sql_and_values(on.get_database_backend(), sql, values)
}

/// Whether an error says that a row with this unique value exists already.
pub fn is_duplicate(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(sea_orm::SqlErr::UniqueConstraintViolation(_))
    )
}

/// Whether an error is the database's own trouble, such as a lost connection, a lock or a full disk, and the same
/// statement may well succeed later. Otherwise it refused what it was given, and will refuse it again.
pub fn is_outage(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) | DbErr::MutexPoisonError => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match error.as_database_error() {
                Some(answered) => answered.code().is_some_and(|code| is_outage_code(&code)),
                None => !matches!(
                    **error,
                    SqlxError::Encode(_) | SqlxError::Decode(_) | SqlxError::ColumnDecode { .. }
                ),
            }
        }
        _ => false,
    }
}

/// By PostgreSQL's SQLSTATE (five characters, the first two are the class) or SQLite's extended result code (a number
/// whose lowest byte is the primary code).
fn is_outage_code(code: &str) -> bool {
    if code.len() == 5 && code.bytes().all(|b| b.is_ascii_alphanumeric()) {
        // Connection, transaction state, rollback, resources, lock, operator, system.
        return ["08", "25", "40", "53", "55", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class));
    }
    // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 5..=11 | 13..=15 | 26))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_will_refuse_again_is_told_from_what_passes() {
        // Deadlock, disk full, shutdown; busy, a full disk, an I/O error of fsync.
        for code in ["40P01", "53100", "57P01", "5", "13", "1034"] {
            assert!(is_outage_code(code), "{code}");
        }
        // Check, bytes that are no text, a row too large for its index; constraint, too big.
        for code in ["23514", "22021", "54000", "19", "275", "1811", "18"] {
            assert!(!is_outage_code(code), "{code}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_new_sqlite_file_can_be_read_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let db = Db::open(&format!("sqlite:{}", path.display())).await.unwrap();
        db.migrate().await.unwrap();
        let mut seen = 0;
        for file in std::fs::read_dir(dir.path()).unwrap().flatten() {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.path().display());
            seen += 1;
        }
        assert!(seen >= 2, "the database and its log");
    }
}

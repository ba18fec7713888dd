//! Whether anything was committed since: what was read may be used again for as long as nothing was.

use std::str::FromStr;

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{self, ConnectOptions};
use sea_orm::{ConnectionTrait, DbErr, RuntimeErr};
use tokio::sync::Mutex;

use super::Db;

/// What the database held at one moment. Two that are equal held the same, whoever writes: this process, another node
/// or a command on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(Held);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    /// SQLite's `data_version`, as one connection that never writes counts it.
    Sqlite(i64),
    /// PostgreSQL's snapshot: which transactions it sees.
    Postgres(String),
}

/// The connection that SQLite's versions are asked on. Its numbers mean something only beside its own, so it comes from
/// no pool and is never replaced: once it breaks there are no versions any more, and everybody reads afresh.
pub(super) type Watch = Mutex<Option<SqliteConnection>>;

pub(super) async fn watch(url: &str) -> Result<Watch, DbErr> {
    let options = SqliteConnectOptions::from_str(url).map_err(failed)?;
    let options = options.create_if_missing(false).disable_statement_logging();
    Ok(Mutex::new(Some(options.connect().await.map_err(failed)?)))
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

impl Db {
    /// What the database holds now. Everything that was committed before the question is in it.
    ///
    /// # Errors
    /// The database cannot be asked: then nothing that was read before may be used.
    pub async fn version(&self) -> Result<Version, DbErr> {
        if let Some(watch) = &self.inner.watch {
            return Ok(Version(Held::Sqlite(data_version(watch).await?)));
        }
        let on = self.read();
        let text = "SELECT pg_current_snapshot()::text AS seen";
        let row = on.query_one_raw(super::sql(on, text, [])).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("pg_current_snapshot".to_owned()))?;
        Ok(Version(Held::Postgres(row.try_get("", "seen")?)))
    }
}

async fn data_version(watch: &Watch) -> Result<i64, DbErr> {
    let mut held = watch.lock().await;
    // Put back only after an answer: whoever gives up while waiting leaves a connection whose next answer is not theirs.
    let Some(mut connection) = held.take() else {
        return Err(DbErr::Conn(RuntimeErr::Internal(
            "the connection that watches for changes broke".to_owned(),
        )));
    };
    let asked = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut connection);
    let version = asked.await.map_err(failed)?;
    *held = Some(connection);
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_version_lasts_until_somebody_commits_and_never_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("t.db").display());
        let db = Db::open(&url).await.unwrap();
        db.write()
            .execute_unprepared("CREATE TABLE t (n BIGINT)")
            .await
            .unwrap();
        let mut seen = vec![db.version().await.unwrap()];
        assert_eq!(db.version().await.unwrap(), seen[0]);
        // A process of its own is another connection as well.
        let other = Db::open(&url).await.unwrap();
        for on in [db.write(), other.write(), db.write()] {
            on.execute_unprepared("INSERT INTO t VALUES (1)").await.unwrap();
            let now = db.version().await.unwrap();
            assert!(!seen.contains(&now), "{now:?} after {seen:?}");
            seen.push(now);
        }
        let open = db.begin().await.unwrap();
        open.execute_unprepared("INSERT INTO t VALUES (1)").await.unwrap();
        assert_eq!(
            Some(&db.version().await.unwrap()),
            seen.last(),
            "not committed yet"
        );
        open.commit().await.unwrap();
        assert!(!seen.contains(&db.version().await.unwrap()));
    }
}

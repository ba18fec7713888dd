//! A private PostgreSQL cluster, started once per test process and gone with it; one database per test.
//!
//! `MAILGRANT_TEST_POSTGRES_URL` (a user who may create databases) makes the tests use that server instead.

use super::guard::{Guarded, User, free_port, program, short_dir};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

struct Cluster {
    /// Without a database name and without a trailing slash.
    url: String,
    /// Ended by its watcher when the process ends: statics are never dropped.
    _server: Option<Guarded>,
}

/// A database of one test. Dropping it drops the database.
pub struct Database {
    name: String,
    server: String,
    /// `postgres://…/name`.
    pub url: String,
}

impl Database {
    /// An empty database.
    pub async fn create() -> Self {
        let server = CLUSTER.get_or_init(Cluster::start).await.url.clone();
        let name = format!(
            "mgt_{}_{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        psql(
            &server,
            &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"),
        );
        let url = format!("{server}/{name}");
        Self { name, server, url }
    }

    /// Runs one statement and returns what `psql` prints (unaligned, without headers).
    pub fn query(&self, sql: &str) -> String {
        psql_in(&self.url, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = Command::new(program("psql", &["psql"]))
            .args(["-X", "-q", "-d"])
            .arg(format!("{}/postgres", self.server))
            .args([
                "-c",
                &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
            ])
            .output();
    }
}

impl Cluster {
    async fn start() -> Self {
        if let Ok(url) = std::env::var("MAILGRANT_TEST_POSTGRES_URL") {
            return Self {
                url: url.trim_end_matches('/').to_owned(),
                _server: None,
            };
        }
        let bin = newest_bin();
        let user = User::for_server("postgres");
        // Kept: it is removed by the watcher, after the server in it has ended.
        let dir = short_dir().keep();
        user.own(&dir);
        let data = dir.join("data");
        let mut initdb = Command::new(bin.join("initdb"));
        initdb
            .args([
                "-U",
                "mailgrant",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data);
        let made = as_user(&mut initdb, &user)
            .current_dir(&dir)
            .output()
            .expect("initdb");
        assert!(
            made.status.success(),
            "initdb failed:\n{}",
            String::from_utf8_lossy(&made.stderr)
        );

        let port = free_port();
        let mut postgres = Command::new(bin.join("postgres"));
        postgres
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", ""]);
        // Nothing here needs to survive a power cut.
        for setting in [
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "max_connections=300",
        ] {
            postgres.args(["-c", setting]);
        }
        as_user(&mut postgres, &user).current_dir(&dir);
        let mut server = Guarded::start("PostgreSQL", &mut postgres, &dir.join("log"), "QUIT", Some(&dir));
        let url = format!("postgres://mailgrant@127.0.0.1:{port}");
        let probe = format!("{url}/postgres");
        server
            .wait_until("it answers queries", Duration::from_secs(60), || {
                let probe = probe.clone();
                async move {
                    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
                        && try_psql(&probe, "SELECT 1").is_ok()
                }
            })
            .await;
        Self {
            url,
            _server: Some(server),
        }
    }
}

fn as_user<'a>(command: &'a mut Command, user: &User) -> &'a mut Command {
    use std::os::unix::process::CommandExt;
    if User::am_root() {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// The directory of the newest installed server (Debian keeps them side by side).
fn newest_bin() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = installed
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .max();
    match newest {
        Some((_, bin)) => bin,
        None => program("PostgreSQL", &["initdb"])
            .parent()
            .expect("a folder")
            .to_owned(),
    }
}

fn psql(server: &str, sql: &str) {
    psql_in(&format!("{server}/postgres"), sql);
}

fn psql_in(url: &str, sql: &str) -> String {
    try_psql(url, sql).unwrap_or_else(|error| panic!("psql: {sql}: {error}"))
}

fn try_psql(url: &str, sql: &str) -> Result<String, String> {
    let out = Command::new(program("psql", &["psql"]))
        .args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-c",
            sql,
        ])
        .output()
        .map_err(|error| error.to_string())?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

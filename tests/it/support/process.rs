//! The built `mailgrant` as a process of its own: started on a free port, killed without warning, started again; and a
//! client of its REST interface.

use super::guard::{Guarded, free_port, short_dir};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_mailgrant");

/// The same, or the one that a benchmark wants measured (`MAILGRANT_TEST_PROGRAM`).
fn program() -> std::ffi::OsString {
    std::env::var_os("MAILGRANT_TEST_PROGRAM").unwrap_or_else(|| PROGRAM.into())
}

/// How to start it. [`Settings::new`] is a fresh machine with nothing configured but a data directory and a port.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `MAILGRANT_*` variables, set after the usual ones.
    pub variables: BTreeMap<String, String>,
}

impl Settings {
    /// A data directory, a port, and loopback as a network that may be reached.
    pub fn new() -> Self {
        Self::default().set("MAILGRANT_ALLOW_NETWORKS", "127.0.0.0/8,::1/128")
    }

    /// A `MAILGRANT_*` variable.
    pub fn set(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.variables.insert(name.to_owned(), value.as_ref().to_owned());
        self
    }

    /// On this database in place of the SQLite in the data directory.
    pub fn database(self, url: &str) -> Self {
        self.set("MAILGRANT_DATABASE_URL", url)
    }

    /// Trusting this authority as well.
    pub fn trust(self, ca_file: &Path) -> Self {
        self.set("MAILGRANT_EXTRA_CA_FILE", ca_file.to_string_lossy())
    }
}

/// A `mailgrant serve` with a data directory of its own. Dropping it ends it.
pub struct Mailgrant {
    /// `http://127.0.0.1:PORT`.
    pub base_url: String,
    pub port: u16,
    settings: Settings,
    server: Option<Guarded>,
    dir: tempfile::TempDir,
}

impl Mailgrant {
    /// Starts `mailgrant serve` and waits until `/readyz` answers.
    pub async fn start(settings: Settings) -> Self {
        let mut mailgrant = Self::prepare(settings);
        mailgrant.resume().await;
        mailgrant
    }

    /// A data directory and a port, nothing started: for commands, and for starts that must fail.
    pub fn prepare(settings: Settings) -> Self {
        let port = free_port();
        Self {
            base_url: format!("http://127.0.0.1:{port}"),
            port,
            settings,
            server: None,
            dir: short_dir(),
        }
    }

    /// SIGKILL: no destructor, no last write.
    pub fn kill9(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill9();
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.stop();
        }
    }

    /// Starts it again on the same data, and waits until `/readyz` answers.
    pub async fn resume(&mut self) {
        if self.server.is_none() {
            self.spawn();
        }
        let (client, ready) = (http(), format!("{}/readyz", self.base_url));
        let server = self.server.as_mut().expect("just started");
        server
            .wait_until("/readyz answers 200", Duration::from_secs(60), || {
                let asked = client.get(&ready).send();
                async move { asked.await.is_ok_and(|answer| answer.status() == 200) }
            })
            .await;
    }

    /// Starts it and does not wait.
    pub fn spawn(&mut self) {
        let mut command = self.command(&["serve"]);
        self.server = Some(Guarded::start(
            "mailgrant",
            &mut command,
            &self.log_file(),
            "TERM",
            Some(self.dir.path()),
        ));
    }

    /// Whether the process has ended by itself, and how.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.server.as_mut().and_then(Guarded::ended)
    }

    /// Changes a variable; counts from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Where its data are.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// All it has printed, over all starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// Its process id.
    pub fn id(&self) -> Option<u32> {
        self.server.as_ref().map(Guarded::id)
    }

    /// Runs `mailgrant` with arguments, on the same settings and data, and returns what it did.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the mailgrant program")
    }

    /// [`Self::run`], which must exit 0; returns what it printed.
    pub fn run_ok(&self, arguments: &[&str]) -> String {
        let out = self.run(arguments);
        assert!(
            out.status.success(),
            "mailgrant {}: {}\n{}{}",
            arguments.join(" "),
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// A client with a new site-admin token.
    pub fn rest(&self) -> Rest {
        let printed = self.run_ok(&["token", "create", "--name", "tests", "--json"]);
        let made: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("not JSON: {printed}"));
        Rest::new(&self.base_url, made["token"].as_str().expect("a token"))
    }

    /// A command line with this instance's settings, for a test that changes it further.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.dir.path());
        // What the developer's own shell says about Mailgrant must not leak in.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAILGRANT_")) {
            command.env_remove(name);
        }
        command
            .env("MAILGRANT_DATA_DIR", self.data_dir())
            .env("MAILGRANT_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("MAILGRANT_BASE_URL", &self.base_url)
            .envs(&self.settings.variables);
        command
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("mailgrant.log")
    }
}

/// A client of the REST interface.
#[derive(Clone)]
pub struct Rest {
    client: reqwest::Client,
    base_url: String,
    token: String,
}

/// An answer: status and JSON (null when there is none).
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    /// What a change of it would be made from; empty where there is none.
    pub etag: String,
    pub json: Value,
    pub bytes: Vec<u8>,
}

impl Rest {
    /// With a bearer token.
    pub fn new(base_url: &str, token: &str) -> Self {
        Self {
            client: http(),
            base_url: base_url.to_owned(),
            token: token.to_owned(),
        }
    }

    /// The same client with connections of its own: those of a test end with its runtime.
    pub fn again(&self) -> Self {
        Self::new(&self.base_url, &self.token)
    }

    /// One request below `/api/v1` (a path that starts with `/api/` is taken as it is).
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        self.send_headed(method, path, body, &[]).await
    }

    /// POST with an `Idempotency-Key` of its own.
    pub async fn send_once(&self, path: &str, body: &Value) -> Reply {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let key = format!("test-{}-{number}", std::process::id());
        self.send_keyed(path, body, &key).await
    }

    /// POST with this `Idempotency-Key`.
    pub async fn send_keyed(&self, path: &str, body: &Value, key: &str) -> Reply {
        let headers = [("Idempotency-Key", key)];
        self.send_headed(Method::POST, path, Some(body), &headers).await
    }

    /// A POST with this `Idempotency-Key` that is still to be sent, for answers that never come.
    pub fn unsent(&self, path: &str, body: &Value, key: &str) -> reqwest::RequestBuilder {
        self.client
            .post(format!("{}{path}", self.base_url))
            .bearer_auth(&self.token)
            .json(body)
            .header("Idempotency-Key", key)
    }

    async fn send_headed(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let path = if path.starts_with("/api/") {
            path.to_owned()
        } else {
            format!("/api/v1{path}")
        };
        let url = format!("{}{path}", self.base_url);
        let mut request = self.client.request(method, &url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let status = answer.status().as_u16();
        let header = |name| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (content_type, etag) = (header("content-type"), header("etag"));
        let bytes = answer
            .bytes()
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"))
            .to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply {
            status,
            content_type,
            etag,
            json,
            bytes,
        }
    }

    /// A change of what has this `ETag`.
    pub async fn send_seen(&self, method: Method, path: &str, body: &Value, etag: &str) -> Reply {
        let headers = [("If-Match", etag)];
        self.send_headed(method, path, Some(body), &headers).await
    }

    /// GET, which must answer 200.
    pub async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, None).await.ok(path)
    }

    /// POST, once, which must answer 2xx.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.send_once(path, body).await.ok(path)
    }

    /// All items of a list, over all its pages.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = self.get(&path).await;
            items.extend(
                page["items"]
                    .as_array()
                    .unwrap_or_else(|| panic!("no list: {page}"))
                    .iter()
                    .cloned(),
            );
            next = page["next"].as_str().map(str::to_owned);
        }
        items
    }

    /// The bytes of a download, which must answer 200.
    pub async fn download(&self, path: &str) -> Vec<u8> {
        let reply = self.send(Method::GET, path, None).await;
        assert_eq!(
            reply.status,
            200,
            "{path}: {}",
            String::from_utf8_lossy(&reply.bytes)
        );
        reply.bytes
    }
}

impl Reply {
    /// The JSON, if the status is 2xx; else a panic with the problem.
    pub fn ok(self, path: &str) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{path} answered {}: {}",
            self.status,
            String::from_utf8_lossy(&self.bytes)
        );
        self.json
    }
}

/// Does not follow redirects: where they lead is what tests look at.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .expect("an HTTP client")
}

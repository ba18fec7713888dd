//! For tests: a place to work in, and a provider on loopback that answers what it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

use crate::clock::{Clock, from_ms};
use crate::config::{Environment, load};
use crate::crypto::KeyRing;
use crate::ctx::Ctx;
use crate::db::Db;
use crate::integration::{self, Flow, Integration, NewIntegration, Provider};

pub(crate) const START_MS: i64 = 1_800_000_000_000;

/// A database, a key file, a dialer that reaches loopback, and a clock that stands still.
pub(crate) struct Place {
    pub(crate) ctx: Ctx,
    dir: tempfile::TempDir,
}

impl Place {
    /// The folder with the database file.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }
}

pub(crate) async fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}", dir.path().join("t.db").display()))
        .await
        .unwrap();
    db.migrate().await.unwrap();
    let ctx = Ctx::new(
        db,
        Clock::manual(from_ms(START_MS)),
        KeyRing::create(&dir.path().join("key")).unwrap(),
        (
            crate::net::Dialer::new(vec!["127.0.0.0/8".parse().unwrap()], None).unwrap(),
            crate::net::Dialer::new(vec![], None).unwrap(),
        ),
        load(&Environment::default(), None).unwrap(),
    );
    Place { ctx, dir }
}

/// One scripted answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: "Content-Type: application/json\r\n".into(),
            body: body.as_bytes().to_vec(),
        }
    }

    pub(crate) fn tokens(access: &str, refresh: &str) -> Self {
        let body = serde_json::json!({
            "access_token": access, "refresh_token": refresh, "expires_in": 3600, "token_type": "Bearer",
        });
        Self::json(200, &body.to_string())
    }

    pub(crate) fn with_header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push_str("\r\n");
        self
    }
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    requests: Vec<String>,
}

/// A provider that gives scripted answers in order, and 500 when it has none.
#[derive(Clone)]
pub(crate) struct FakeProvider {
    pub(crate) url: String,
    script: Arc<Mutex<Script>>,
    gate: Arc<Semaphore>,
    code_gate: Arc<Semaphore>,
    arrived: Arc<Notify>,
}

impl FakeProvider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            script: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            code_gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            arrived: Arc::default(),
        };
        let serving = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.answer(stream).await });
            }
        });
        provider
    }

    pub(crate) fn then(&self, reply: Reply) -> &Self {
        self.script.lock().unwrap().replies.push_back(reply);
        self
    }

    /// Token requests so far, as `headers, blank line, form`.
    pub(crate) fn calls(&self) -> Vec<String> {
        let script = self.script.lock().unwrap();
        script
            .requests
            .iter()
            .filter(|request| request.starts_with("POST"))
            .cloned()
            .collect()
    }

    /// From now on answers to refreshes wait for [`Self::open`].
    pub(crate) fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open(&self) {
        self.gate.add_permits(1000);
    }

    /// From now on answers to codes wait for [`Self::open_codes`].
    pub(crate) fn hold_codes(&self) {
        self.code_gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open_codes(&self) {
        self.code_gate.add_permits(1000);
    }

    /// Waits for the next token request.
    pub(crate) async fn called(&self) {
        self.arrived.notified().await;
    }

    async fn answer(&self, mut stream: TcpStream) {
        let Some(request) = read_request(&mut stream).await else {
            return;
        };
        let is_token = request.starts_with("POST");
        let is_refresh = request.contains("grant_type=refresh_token");
        let is_code = request.contains("grant_type=authorization_code");
        let reply = {
            let mut script = self.script.lock().unwrap();
            script.requests.push(request);
            // Discovery is not scripted: this provider has none.
            if is_token {
                script.replies.pop_front()
            } else {
                Some(Reply::json(404, "{}"))
            }
        };
        if is_token {
            self.arrived.notify_one();
        }
        if is_refresh {
            drop(self.gate.acquire().await);
        }
        if is_code {
            drop(self.code_gate.acquire().await);
        }
        let reply = reply.unwrap_or_else(|| Reply::json(500, "{}"));
        let head = format!(
            "HTTP/1.1 {} X\r\n{}Content-Length: {}\r\nConnection: close\r\n\r\n",
            reply.status,
            reply.headers,
            reply.body.len()
        );
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&reply.body).await;
        let _ = stream.shutdown().await;
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0_u8; 4096];
    loop {
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")?
                    .trim()
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        if body.len() >= length {
            return Some(text);
        }
    }
}

pub(crate) fn registration(provider: &FakeProvider, flow: Flow) -> NewIntegration {
    NewIntegration {
        name: "Mail".into(),
        provider: Provider::Custom,
        client_id: "client".into(),
        client_secret: SecretString::from("s3cret-canary"),
        scopes: vec!["mail".into(), "offline_access".into()],
        authorization_endpoint: format!("{}/authorize", provider.url),
        token_endpoint: format!("{}/token", provider.url),
        flow,
        ..NewIntegration::default()
    }
}

pub(crate) async fn registered(ctx: &Ctx, provider: &FakeProvider, flow: Flow) -> Integration {
    integration::create(ctx, "cli", registration(provider, flow))
        .await
        .unwrap()
}

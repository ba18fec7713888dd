//! A web server whose answers are queued by the test, byte for byte if need be: the token endpoint of a provider on a
//! bad day.

use super::certs::{LeafOptions, TestCa};
use super::guard::short_dir;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    raw: Option<Vec<u8>>,
    delay: Duration,
}

impl Answer {
    /// JSON.
    pub fn json(status: u16, body: &str) -> Self {
        Self::text(status, "application/json", body)
    }

    /// Any type of content.
    pub fn text(status: u16, kind: &str, body: &str) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), kind.to_owned())],
            body: body.as_bytes().to_vec(),
            raw: None,
            delay: Duration::ZERO,
        }
    }

    /// These bytes in place of an HTTP answer; then the connection closes.
    pub fn raw(bytes: &[u8]) -> Self {
        Self {
            raw: Some(bytes.to_vec()),
            ..Self::text(0, "", "")
        }
    }

    /// One more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Waits before it answers. Meant for time-outs: no test should need the delay to pass.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// When it was read to its end.
    pub at: Instant,
}

impl Request {
    /// A field of a form.
    pub fn form(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(&self.body)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<Answer>,
    otherwise: Option<Answer>,
    requests: Vec<Request>,
    unanswered: usize,
}

/// A running server.
pub struct ScriptedHttp {
    /// `http://127.0.0.1:PORT`, or `https://localhost:PORT`.
    pub url: String,
    pub port: u16,
    ca_file: PathBuf,
    state: Arc<Mutex<State>>,
    listening: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl ScriptedHttp {
    /// Starts on plain HTTP.
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// Starts on HTTPS, with a certificate of [`Self::ca_file`]'s authority.
    pub async fn start_tls(certificate: &LeafOptions<'_>) -> Self {
        Self::serve(Some(certificate)).await
    }

    async fn serve(certificate: Option<&LeafOptions<'_>>) -> Self {
        let ca = TestCa::new();
        let dir = short_dir();
        let ca_file = ca.write(dir.path());
        let acceptor = certificate.map(|options| TlsAcceptor::from(ca.issue(options).server_config()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let url = match acceptor {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (state, acceptor) = (Arc::clone(&shared), acceptor.clone());
                connections.spawn(async move {
                    match acceptor {
                        None => answer_one(socket, &state).await,
                        Some(acceptor) => match acceptor.accept(socket).await {
                            Ok(stream) => answer_one(stream, &state).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self {
            url,
            port,
            ca_file,
            state,
            listening,
            _dir: dir,
        }
    }

    /// The authority's certificate, for `MAILGRANT_EXTRA_CA_FILE`.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Queues an answer for one request.
    pub fn answer(&self, answer: Answer) -> &Self {
        lock(&self.state).queue.push_back(answer);
        self
    }

    /// The answer whenever the queue is empty. Without one such a request gets 500 and fails the test at the end.
    pub fn answer_always(&self, answer: Answer) -> &Self {
        lock(&self.state).otherwise = Some(answer);
        self
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state).requests.clone()
    }

    /// How many answers still wait for a request.
    pub fn queued(&self) -> usize {
        lock(&self.state).queue.len()
    }
}

impl Drop for ScriptedHttp {
    fn drop(&mut self) {
        self.listening.abort();
        let state = lock(&self.state);
        if !std::thread::panicking() {
            assert!(
                state.unanswered == 0,
                "{} requests came when no answer was queued: {:#?}",
                state.unanswered,
                state.requests
            );
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer_one(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) -> Option<()> {
    let request = read_request(&mut stream).await?;
    let answer = {
        let mut state = lock(state);
        state.requests.push(request);
        let answer = state.queue.pop_front().or_else(|| state.otherwise.clone());
        if answer.is_none() {
            state.unanswered += 1;
        }
        answer.unwrap_or_else(|| Answer::text(500, "text/plain", "the test queued no answer"))
    };
    tokio::time::sleep(answer.delay).await;
    let bytes = answer.raw.unwrap_or_else(|| {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!(
            "Content-Length: {}\r\nConnection: close\r\n\r\n",
            answer.body.len()
        );
        [head.as_bytes(), &answer.body].concat()
    });
    stream.write_all(&bytes).await.ok()?;
    stream.shutdown().await.ok()
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    while bytes.len() < head_end + 4 + length {
        more(stream, &mut bytes).await?;
    }
    let body = bytes[head_end + 4..head_end + 4 + length].to_vec();
    Some(Request {
        method,
        target,
        headers,
        body,
        at: Instant::now(),
    })
}

async fn more(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&buffer[..count]);
    Some(())
}

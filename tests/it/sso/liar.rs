//! A provider that says whatever a test wants it to: discovery document, keys, token answer, userinfo, and tokens that
//! are signed rightly, wrongly or not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailgrant::crypto::{self, SigningAlg};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The client Mailgrant is there.
pub const CLIENT: &str = "mailgrant";

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub body: String,
    pub location: String,
    pub delay: Duration,
}

impl Answer {
    pub fn json(body: &Value) -> Self {
        Self::of(200, "application/json", &body.to_string())
    }

    pub fn of(status: u16, kind: &'static str, body: &str) -> Self {
        Self {
            status,
            kind,
            body: body.to_owned(),
            location: String::new(),
            delay: Duration::ZERO,
        }
    }
}

#[derive(Default)]
struct Script {
    answers: BTreeMap<String, Answer>,
    asked: Vec<(String, String)>,
}

/// A running one.
pub struct Liar {
    pub issuer: String,
    pub key: SecretString,
    script: Arc<Mutex<Script>>,
    listening: JoinHandle<()>,
}

impl Liar {
    /// Honest so far: a good discovery document and one RSA key, `k1`.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::clone(&script);
        let listening = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let script = Arc::clone(&shared);
                tokio::spawn(async move { answer(socket, &script).await });
            }
        });
        let key = crypto::new_signing_key(SigningAlg::Rs256).unwrap();
        let liar = Self {
            issuer,
            key,
            script,
            listening,
        };
        liar.discovery(&json!({}));
        liar.keys(&[liar.public("k1")]);
        liar
    }

    /// The discovery document with some members changed (null takes one out).
    pub fn discovery(&self, changes: &Value) {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let mut document = json!({
            "issuer": self.issuer, "authorization_endpoint": at("/auth"), "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"), "userinfo_endpoint": at("/userinfo"), "end_session_endpoint": at("/end"),
            "response_types_supported": ["code"], "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "authorization_response_iss_parameter_supported": true,
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        self.set("/.well-known/openid-configuration", Answer::json(&document));
    }

    pub fn keys(&self, keys: &[Value]) {
        self.set("/jwks", Answer::json(&json!({ "keys": keys })));
    }

    /// The public half of its key.
    pub fn public(&self, kid: &str) -> Value {
        crypto::public_jwk(SigningAlg::Rs256, kid, &self.key).unwrap()
    }

    pub fn set(&self, path: &str, answer: Answer) {
        self.script().answers.insert(path.to_owned(), answer);
    }

    /// The bodies that were sent to a path so far.
    pub fn asked(&self, path: &str) -> Vec<String> {
        let script = self.script();
        let of_path = script.asked.iter().filter(|(asked, _)| asked == path);
        of_path.map(|(_, body)| body.clone()).collect()
    }

    /// What it gives for the next codes.
    pub fn gives(&self, id_token: &str) {
        let answer =
            json!({ "access_token": "at-1", "token_type": "Bearer", "expires_in": 60, "id_token": id_token });
        self.set("/token", Answer::json(&answer));
    }

    /// Good claims for a person who begins now.
    pub fn claims(&self, subject: &str, nonce: &str) -> Value {
        let now = now();
        json!({
            "iss": self.issuer, "sub": subject, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": nonce,
            "auth_time": now,
            "email": format!("{subject}@example.test"), "email_verified": true, "name": subject,
        })
    }

    /// A token with its key.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as("JWT", claims)
    }

    pub fn sign_as(&self, typ: &str, claims: &Value) -> String {
        crypto::sign_jwt(SigningAlg::Rs256, "k1", typ, &self.key, claims).unwrap()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

pub fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

pub fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

async fn answer(mut socket: TcpStream, script: &Mutex<Script>) -> Option<()> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let count = socket.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let target = head.split(' ').nth(1)?.to_owned();
    let path = target.split('?').next()?.to_owned();
    let length: usize = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")
                .map(str::to_owned)
        })
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    while bytes.len() < head_end + 4 + length {
        let count = socket.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
    }
    let body = String::from_utf8_lossy(&bytes[head_end + 4..]).into_owned();
    let answer = {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        script.asked.push((path.clone(), body));
        script.answers.get(&path).cloned()
    };
    let answer = answer.unwrap_or_else(|| Answer::of(404, "text/plain", "nothing here"));
    tokio::time::sleep(answer.delay).await;
    let location = match answer.location.as_str() {
        "" => String::new(),
        location => format!("Location: {location}\r\n"),
    };
    let head = format!(
        "HTTP/1.1 {} Scripted\r\nContent-Type: {}\r\n{location}Content-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.kind,
        answer.body.len()
    );
    socket.write_all(head.as_bytes()).await.ok()?;
    socket.write_all(answer.body.as_bytes()).await.ok()?;
    socket.shutdown().await.ok()
}

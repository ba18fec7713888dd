//! A mail server at the end of the way: it takes mail and keeps it for the test, or refuses it as it is told.
//!
//! In plain text it stands behind Dovecot's submission service as its relay. With TLS it can be spoken to directly; then
//! it lets everybody in, by XOAUTH2 or a password, unless told otherwise.

use super::certs::{LeafOptions, TestCa};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What happens to one mail, or to one sign-in.
#[derive(Clone, Debug)]
pub enum Turn {
    /// It is taken.
    Take,
    /// AUTH gets this answer, after a challenge if there is one.
    RefuseSignIn(Option<&'static str>, &'static str),
    /// MAIL FROM gets this answer.
    RefuseSender(&'static str),
    /// RCPT TO gets this answer.
    RefuseRecipient(&'static str),
    /// RCPT TO gets no answer; the connection stays open until the other side leaves.
    Silent,
    /// The whole mail gets this answer.
    RefuseMail(&'static str),
    /// It is taken, and the connection ends before that is said.
    TakeAndHangUp,
    /// The connection ends in the middle of the mail.
    HangUpInside,
}

/// A mail that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The address in MAIL FROM.
    pub from: String,
    /// The addresses in RCPT TO.
    pub to: Vec<String>,
    /// The bytes, dots undone.
    pub raw: Vec<u8>,
}

#[derive(Default)]
struct State {
    turns: VecDeque<Turn>,
    taken: Vec<Taken>,
    sign_ins: Vec<String>,
}

/// A running sink; dropping it ends it.
pub struct SmtpSink {
    /// Its port on 127.0.0.1.
    pub port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SmtpSink {
    /// In plain text, without sign-in.
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// With TLS from the first byte, by a certificate of this authority, and a sign-in.
    pub async fn start_tls(ca: &TestCa) -> Self {
        let leaf = ca.issue(&LeafOptions::default());
        Self::serve(Some(TlsAcceptor::from(leaf.server_config()))).await
    }

    async fn serve(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    let _ = match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => converse(stream, &state, true).await,
                            Err(_) => None,
                        },
                        None => converse(stream, &state, false).await,
                    };
                });
            }
        });
        Self { port, state, task }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens next, in this order; afterwards everything is taken.
    pub fn then(&self, turns: impl IntoIterator<Item = Turn>) {
        self.state().turns.extend(turns);
    }

    /// All mails so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.state().taken.clone()
    }

    /// What was sent with AUTH so far, decoded.
    pub fn sign_ins(&self) -> Vec<String> {
        self.state().sign_ins.clone()
    }
}

/// One connection. None: it ended.
async fn converse<S>(stream: S, state: &Mutex<State>, signs_in: bool) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    use base64::Engine as _;
    let mut stream = BufReader::new(stream);
    let turn = |wanted: fn(&Turn) -> bool| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.turns.front().filter(|turn| wanted(turn))?;
        state.turns.pop_front()
    };
    say(&mut stream, "220 sink.example ESMTP").await?;
    let (mut from, mut to) = (String::new(), Vec::new());
    loop {
        let line = hear(&mut stream).await?;
        let upper = line.to_uppercase();
        if upper.starts_with("EHLO") {
            let auth = if signs_in {
                "250-AUTH XOAUTH2 PLAIN\r\n"
            } else {
                ""
            };
            say(
                &mut stream,
                &format!(
                    "250-sink.example\r\n{auth}250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 30000000"
                ),
            )
            .await?;
        } else if let Some(sent) = line
            .strip_prefix("AUTH XOAUTH2 ")
            .or_else(|| line.strip_prefix("AUTH PLAIN "))
        {
            let token = base64::engine::general_purpose::STANDARD
                .decode(sent.trim())
                .unwrap_or_default();
            let token = String::from_utf8_lossy(&token).into_owned();
            state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .sign_ins
                .push(token);
            match turn(|turn| matches!(turn, Turn::RefuseSignIn(..))) {
                Some(Turn::RefuseSignIn(challenge, answer)) => {
                    if let Some(challenge) = challenge {
                        let challenge = base64::engine::general_purpose::STANDARD.encode(challenge);
                        say(&mut stream, &format!("334 {challenge}")).await?;
                        hear(&mut stream).await?;
                    }
                    say(&mut stream, answer).await?;
                }
                _ => say(&mut stream, "235 2.7.0 welcome").await?,
            }
        } else if upper.starts_with("MAIL FROM:") {
            if let Some(Turn::RefuseSender(answer)) = turn(|turn| matches!(turn, Turn::RefuseSender(_))) {
                say(&mut stream, answer).await?;
                continue;
            }
            from = address(&line);
            to.clear();
            say(&mut stream, "250 2.1.0 fine").await?;
        } else if upper.starts_with("RCPT TO:") {
            if let Some(Turn::RefuseRecipient(answer)) = turn(|turn| matches!(turn, Turn::RefuseRecipient(_)))
            {
                say(&mut stream, answer).await?;
                continue;
            }
            if turn(|turn| matches!(turn, Turn::Silent)).is_some() {
                hear(&mut stream).await?;
                return None;
            }
            to.push(address(&line));
            say(&mut stream, "250 2.1.5 fine").await?;
        } else if upper == "DATA" {
            say(&mut stream, "354 go on").await?;
            let what = turn(|_| true).unwrap_or(Turn::Take);
            if matches!(what, Turn::HangUpInside) {
                stream.read_u8().await.ok()?;
                return None;
            }
            let raw = content(&mut stream).await?;
            if matches!(what, Turn::Take | Turn::TakeAndHangUp) {
                let taken = Taken {
                    from: from.clone(),
                    to: std::mem::take(&mut to),
                    raw,
                };
                state
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .taken
                    .push(taken);
            }
            match what {
                Turn::RefuseMail(answer) => say(&mut stream, answer).await?,
                Turn::TakeAndHangUp => return None,
                _ => say(&mut stream, "250 2.0.0 queued").await?,
            }
        } else if upper == "QUIT" {
            say(&mut stream, "221 2.0.0 bye").await?;
            return None;
        } else {
            say(&mut stream, "250 2.0.0 fine").await?;
        }
    }
}

fn address(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(address, _)| address.to_owned()).unwrap_or_default()
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, text: &str) -> Option<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

async fn hear<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    Some(line.trim_end().to_owned())
}

/// A mail up to its last dot, the doubled dots undone.
async fn content<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<Vec<u8>> {
    let mut raw = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(raw);
        }
        raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

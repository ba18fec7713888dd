//! From a host and a port to a mail server that greeted: `net` dials and checks TLS, lettre speaks over the stream.
//!
//! STARTTLS is done here, before lettre sees the stream: its own would bring a TLS of its own, past the rules of `net`.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};

use super::error::{Reply, SmtpError, Stage};
use super::session::{Session, understand};
use crate::net::{Dialer, TlsInfo};
use crate::oauth2_client::printable;

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// With the first byte (port 465).
    Implicit,
    /// After the command STARTTLS (port 587).
    StartTls,
    /// Never; only to this machine and allowed networks, and never with a sign-in.
    None,
}

impl TlsMode {
    /// The text in the database, the API and the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Implicit => "implicit",
            Self::StartTls => "starttls",
            Self::None => "none",
        }
    }

    /// Reads the text of the database, the API and the configuration.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Implicit, Self::StartTls, Self::None]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

/// Where a mail server is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// When TLS begins.
    pub tls: TlsMode,
    /// What we call ourselves in EHLO.
    pub hello: String,
    /// How long is waited for it.
    pub patience: Patience,
}

/// How long a mail server is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For one answer.
    pub answer: Duration,
    /// For its word about a whole mail. RFC 5321, section 4.5.3.2.6, asks for ten minutes: a client that leaves
    /// earlier makes duplicates.
    pub with_mail: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(60),
            with_mail: Duration::from_secs(600),
        }
    }
}

/// A step on the way to a server that can be given mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Looking up the name and connecting.
    Connect,
    /// The TLS handshake, with STARTTLS where it is asked for.
    Tls,
    /// What the server offers.
    Capability,
}

impl Step {
    /// The name of the step in a connection test.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "smtp connect",
            Self::Tls => "smtp tls",
            Self::Capability => "smtp capability",
        }
    }
}

/// What a step that succeeded found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepDetail {
    /// The address that answered.
    Connected(SocketAddr),
    /// What TLS agreed on.
    Tls(TlsInfo),
    /// What the server offers.
    Offers(String),
}

/// A step that is over.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Which one.
    pub step: Step,
    /// How long it took.
    pub elapsed: Duration,
    /// How it ended; after an error no further step follows.
    pub outcome: Result<StepDetail, SmtpError>,
}

/// Most bytes a server may send in one session.
const MAX_READ: usize = 256 * 1024;

/// Longest greeting or answer before TLS, bytes.
const MAX_PLAIN: usize = 16 * 1024;

/// Connects up to the server's capabilities, telling each step as it ends.
///
/// # Errors
/// The error of the step that failed; it was told as well.
pub async fn connect(
    dialer: &Dialer,
    endpoint: &Endpoint,
    mut observer: impl FnMut(StepReport) + Send,
) -> Result<Session, SmtpError> {
    let host = endpoint.host.as_str();
    let mut began = Instant::now();
    let mut tell = |step, outcome: Result<StepDetail, SmtpError>| {
        let now = Instant::now();
        observer(StepReport {
            step,
            elapsed: now - began,
            outcome,
        });
        began = now;
    };
    let tcp = match dial(dialer, endpoint).await {
        Ok(tcp) => tcp,
        Err(error) => {
            tell(Step::Connect, Err(error.clone()));
            return Err(error);
        }
    };
    if let Ok(address) = tcp.peer_addr() {
        tell(Step::Connect, Ok(StepDetail::Connected(address)));
    }
    let wire = match endpoint.tls {
        TlsMode::None => Ok(Wire::new(Box::new(tcp), "")),
        TlsMode::Implicit => match dialer.wrap_tls(host, tcp).await {
            Ok((stream, info)) => {
                tell(Step::Tls, Ok(StepDetail::Tls(info)));
                Ok(Wire::new(Box::new(stream), ""))
            }
            Err(error) => Err(SmtpError::from(error)),
        },
        TlsMode::StartTls => match start_tls(dialer, endpoint, tcp).await {
            Ok((stream, info)) => {
                tell(Step::Tls, Ok(StepDetail::Tls(info)));
                // The greeting is not repeated after STARTTLS; lettre wants to read one.
                Ok(Wire::new(stream, "220 encrypted\r\n"))
            }
            Err(error) => Err(error),
        },
    };
    let wire = match wire {
        Ok(wire) => wire,
        Err(error) => {
            tell(Step::Tls, Err(error.clone()));
            return Err(error);
        }
    };
    match greet(endpoint, wire).await {
        Ok(session) => {
            tell(Step::Capability, Ok(StepDetail::Offers(session.offers())));
            Ok(session)
        }
        Err(error) => {
            tell(Step::Capability, Err(error.clone()));
            Err(error)
        }
    }
}

async fn dial(dialer: &Dialer, endpoint: &Endpoint) -> Result<tokio::net::TcpStream, SmtpError> {
    let addresses = dialer.resolve(&endpoint.host, endpoint.port).await?;
    if endpoint.tls == TlsMode::None && !dialer.is_allowed_plain(&addresses) {
        return Err(SmtpError::PlainRefused {
            host: endpoint.host.clone(),
        });
    }
    Ok(dialer.connect_to(&endpoint.host, &addresses).await?)
}

pub(super) async fn greet(endpoint: &Endpoint, wire: Wire) -> Result<Session, SmtpError> {
    let hello = ClientId::Domain(endpoint.hello.clone());
    let greeted = timeout(
        endpoint.patience.answer,
        AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello),
    );
    match greeted.await {
        Ok(Ok(connection)) => Ok(Session::new(connection, endpoint)),
        Ok(Err(error)) => Err(understand(&endpoint.host, Stage::Greeting, &error)),
        Err(_) => Err(SmtpError::Lost {
            host: endpoint.host.clone(),
            stage: Stage::Greeting,
            what: "did not answer in time",
        }),
    }
}

/// Greeting, EHLO and STARTTLS in the clear, then the handshake. Nothing that was said before TLS counts after it.
async fn start_tls(
    dialer: &Dialer,
    endpoint: &Endpoint,
    mut tcp: tokio::net::TcpStream,
) -> Result<(Box<dyn Stream>, TlsInfo), SmtpError> {
    let host = &endpoint.host;
    ask(&mut tcp, endpoint, Stage::Greeting, "").await?;
    let offers = ask(
        &mut tcp,
        endpoint,
        Stage::Hello,
        &format!("EHLO {}\r\n", endpoint.hello),
    )
    .await?;
    if !offers.iter().any(|line| line.eq_ignore_ascii_case("STARTTLS")) {
        return Err(SmtpError::NoStartTls { host: host.clone() });
    }
    ask(&mut tcp, endpoint, Stage::StartTls, "STARTTLS\r\n").await?;
    let (stream, info) = dialer.wrap_tls(host, tcp).await?;
    Ok((Box::new(stream), info))
}

/// Sends a line and reads one answer, byte by byte, so that not one byte of what follows is taken. Returns the words
/// of each line.
async fn ask(
    stream: &mut tokio::net::TcpStream,
    endpoint: &Endpoint,
    stage: Stage,
    line: &str,
) -> Result<Vec<String>, SmtpError> {
    let host = endpoint.host.as_str();
    let lost = |what| SmtpError::Lost {
        host: host.to_owned(),
        stage,
        what,
    };
    let talk = async {
        stream
            .write_all(line.as_bytes())
            .await
            .map_err(|_| lost("hung up"))?;
        read_plain(stream, host, stage).await
    };
    timeout(endpoint.patience.answer, talk)
        .await
        .unwrap_or_else(|_| Err(lost("did not answer in time")))
}

async fn read_plain(
    stream: &mut (impl AsyncRead + Unpin),
    host: &str,
    stage: Stage,
) -> Result<Vec<String>, SmtpError> {
    let mut lines = Vec::new();
    let mut line = Vec::new();
    let mut read = 0;
    loop {
        let byte = stream.read_u8().await.map_err(|_| SmtpError::Lost {
            host: host.to_owned(),
            stage,
            what: "hung up",
        })?;
        read += 1;
        let odd = |line: &[u8]| SmtpError::Protocol {
            host: host.to_owned(),
            what: printable(&String::from_utf8_lossy(line)),
        };
        if read > MAX_PLAIN {
            return Err(odd(&line));
        }
        if byte != b'\n' {
            line.push(byte);
            continue;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let code: u16 = text
            .get(..3)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| odd(&line))?;
        lines.push(text.get(4..).unwrap_or_default().trim().to_owned());
        if text.as_bytes().get(3) != Some(&b'-') {
            if (200..400).contains(&code) {
                return Ok(lines);
            }
            return Err(SmtpError::Refused {
                stage,
                reply: Reply::new(code, &lines.join(" ")),
            });
        }
        line.clear();
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + Debug {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + Debug> Stream for S {}

/// The stream lettre speaks over: what it has to read first, and an end to what a server may send.
pub(super) struct Wire {
    inner: Box<dyn Stream>,
    first: &'static [u8],
    read: usize,
}

impl Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    pub(super) fn new(inner: Box<dyn Stream>, first: &'static str) -> Self {
        Self {
            inner,
            first: first.as_bytes(),
            read: 0,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let length = self.first.len().min(buf.remaining());
            let (now, later) = self.first.split_at(length);
            buf.put_slice(now);
            self.first = later;
            return Poll::Ready(Ok(()));
        }
        if self.read > MAX_READ {
            return Poll::Ready(Err(io::Error::other("the mail server sent too much")));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.read += buf.filled().len() - before;
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::Error::other("asked of nobody"))
    }
}

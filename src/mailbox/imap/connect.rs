//! From a host and a port to a greeted server, step by step, each step timed and reported.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::error::ImapError;
use super::guard::Limits;
use super::session::Connection;
use super::types::Capabilities;
use crate::net::{Dialer, TlsInfo};

/// Any stream, with or without TLS.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for S {}

/// The stream of production connections.
pub type BoxedStream = Box<dyn Transport>;

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// With the first byte (port 993).
    Implicit,
    /// After the command STARTTLS (port 143).
    StartTls,
    /// Never; accepted only for this machine and allowed networks.
    None,
}

/// Where a mailbox's server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// When TLS begins.
    pub tls: TlsMode,
}

/// A step on the way to a greeted server, in the order of [`TlsMode::Implicit`]; with STARTTLS the greeting comes
/// before TLS, without TLS there is no such step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Looking up the name and checking its addresses.
    Dns,
    /// Connecting.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// The server's first line.
    Greeting,
    /// What the server can do.
    Capability,
}

impl Step {
    /// The name of the step, as it appears in the connection test.
    pub fn name(self) -> &'static str {
        match self {
            Step::Dns => "dns",
            Step::Tcp => "tcp",
            Step::Tls => "tls",
            Step::Greeting => "greeting",
            Step::Capability => "capability",
        }
    }
}

/// What a step that succeeded found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepDetail {
    /// The checked addresses.
    Addresses(Vec<SocketAddr>),
    /// The connection stands.
    Connected,
    /// What TLS agreed on.
    Tls(TlsInfo),
    /// The words of the greeting.
    Greeting(String),
    /// What the server offers.
    Capabilities(Capabilities),
}

/// A step that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// Which one.
    pub step: Step,
    /// How long it took.
    pub elapsed: Duration,
    /// How it ended. After an error no further step follows.
    pub outcome: Result<StepDetail, ImapError>,
}

/// Connects to a server up to its capabilities, reporting each step as it ends.
///
/// # Errors
/// The error of the step that failed; it has been reported as well.
pub async fn connect(
    dialer: &Dialer,
    endpoint: &Endpoint,
    limits: &Limits,
    mut observer: impl FnMut(StepReport) + Send,
) -> Result<Connection<BoxedStream>, ImapError> {
    let host = endpoint.host.as_str();
    let mut steps = Steps {
        observer: &mut observer,
        began: Instant::now(),
    };

    let addresses = steps.end(Step::Dns, find(dialer, endpoint).await, |a| {
        StepDetail::Addresses(a.clone())
    })?;
    let tcp = dialer.connect_to(host, &addresses).await.map_err(ImapError::from);
    let tcp = steps.end(Step::Tcp, tcp, |_| StepDetail::Connected)?;

    let mut connection = match endpoint.tls {
        TlsMode::Implicit => {
            let tls = dialer.wrap_tls(host, tcp).await.map_err(ImapError::from);
            let (stream, _) = steps.end(Step::Tls, tls, |(_, info)| StepDetail::Tls(info.clone()))?;
            steps.greet(Box::new(stream), limits).await?
        }
        TlsMode::StartTls => {
            let plain = steps.greet(Box::new(tcp), limits).await?;
            let tls = start_tls(dialer, host, plain).await;
            let (stream, _) = steps.end(Step::Tls, tls, |(_, info)| StepDetail::Tls(info.clone()))?;
            Connection::after_starttls(stream, limits.clone())
        }
        TlsMode::None => steps.greet(Box::new(tcp), limits).await?,
    };
    let offered = connection.capabilities().await;
    steps.end(Step::Capability, offered, |c| StepDetail::Capabilities(c.clone()))?;
    Ok(connection)
}

/// [`connect`] for those who only want the connection.
///
/// # Errors
/// The error of the step that failed.
pub async fn open(
    dialer: &Dialer,
    endpoint: &Endpoint,
    limits: &Limits,
) -> Result<Connection<BoxedStream>, ImapError> {
    connect(dialer, endpoint, limits, |_| {}).await
}

async fn find(dialer: &Dialer, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ImapError> {
    let addresses = dialer.resolve(&endpoint.host, endpoint.port).await?;
    if endpoint.tls == TlsMode::None && !dialer.is_allowed_plain(&addresses) {
        return Err(ImapError::PlainRefused {
            host: endpoint.host.clone(),
        });
    }
    Ok(addresses)
}

async fn start_tls(
    dialer: &Dialer,
    host: &str,
    plain: Connection<BoxedStream>,
) -> Result<(BoxedStream, TlsInfo), ImapError> {
    let stream = plain.starttls().await?;
    let (stream, info) = dialer.wrap_tls(host, stream).await?;
    Ok((Box::new(stream), info))
}

/// Times steps and reports them.
struct Steps<'a, F> {
    observer: &'a mut F,
    began: Instant,
}

impl<F: FnMut(StepReport)> Steps<'_, F> {
    fn end<T>(
        &mut self,
        step: Step,
        result: Result<T, ImapError>,
        detail: impl FnOnce(&T) -> StepDetail,
    ) -> Result<T, ImapError> {
        let now = Instant::now();
        let outcome = result.as_ref().map(detail).map_err(Clone::clone);
        (self.observer)(StepReport {
            step,
            elapsed: now - self.began,
            outcome,
        });
        self.began = now;
        result
    }

    async fn greet(
        &mut self,
        stream: BoxedStream,
        limits: &Limits,
    ) -> Result<Connection<BoxedStream>, ImapError> {
        let greeted = Connection::open(stream, limits.clone()).await;
        self.end(Step::Greeting, greeted, |c| {
            StepDetail::Greeting(c.greeting().to_owned())
        })
    }
}

//! The dialer: names to vetted addresses, vetted addresses to connections.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ipnet::IpNet;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

use super::classify::{Class, canonical, class};
use super::error::{DialError, EndpointError, NetError, TlsFailure};
use super::http::HttpClient;
use super::tls::{self, TlsInfo};

/// How long looking a name up, connecting, and a TLS handshake may each take.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one address may stay silent before the next is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// More addresses than this are not tried.
const MAX_ADDRESSES: usize = 16;

/// The answer of a [`Resolver`], on its way.
pub type Lookup<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Where addresses come from: the system, or a test's own table.
pub trait Resolver: Send + Sync {
    /// Every address of the name, with this port.
    fn lookup<'a>(&'a self, host: &'a str, port: u16) -> Lookup<'a>;
}

/// The system's resolver.
struct System;

impl Resolver for System {
    fn lookup<'a>(&'a self, host: &'a str, port: u16) -> Lookup<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Opens every outbound connection. Clones share everything.
#[derive(Clone)]
pub struct Dialer {
    inner: Arc<Inner>,
}

struct Inner {
    allow: Vec<IpNet>,
    tls: Option<Arc<ClientConfig>>,
    resolver: Arc<dyn Resolver>,
    http: std::sync::OnceLock<HttpClient>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("allow", &self.inner.allow)
            .finish_non_exhaustive()
    }
}

impl Dialer {
    /// A dialer that reaches public addresses and those in `allow` (`MAILGRANT_ALLOW_NETWORKS`), and trusts the
    /// system's certificate authorities and those in `extra_ca_pem` (`MAILGRANT_EXTRA_CA_FILE`).
    ///
    /// # Errors
    /// When the extra authorities cannot be read.
    pub fn new(allow: Vec<IpNet>, extra_ca_pem: Option<&[u8]>) -> Result<Dialer, NetError> {
        Dialer::with_resolver(allow, extra_ca_pem, Arc::new(System))
    }

    /// The same with another source of addresses.
    ///
    /// # Errors
    /// When the extra authorities cannot be read.
    pub fn with_resolver(
        allow: Vec<IpNet>,
        extra_ca_pem: Option<&[u8]>,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Dialer, NetError> {
        super::install_crypto_provider();
        let extra = extra_ca_pem.map(tls::read_pem).transpose()?.unwrap_or_default();
        let config = tls::client_config(extra)?;
        Dialer::assemble(allow, config, resolver)
    }

    /// The same, reaching public addresses only: for addresses that strangers name.
    pub fn public_only(&self) -> Dialer {
        let tls = self.inner.tls.as_deref().cloned();
        Dialer::assemble(Vec::new(), tls, self.inner.resolver.clone()).unwrap_or_else(|_| Dialer {
            inner: Arc::new(Inner {
                allow: Vec::new(),
                tls: None,
                resolver: self.inner.resolver.clone(),
                http: std::sync::OnceLock::new(),
            }),
        })
    }

    fn assemble(
        allow: Vec<IpNet>,
        config: Option<ClientConfig>,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Dialer, NetError> {
        let dialer = Dialer {
            inner: Arc::new(Inner {
                allow,
                tls: config.clone().map(Arc::new),
                resolver,
                http: std::sync::OnceLock::new(),
            }),
        };
        // Built here so that a client that cannot be built is an error at start, not at the first request. It resolves
        // through a dialer of its own that shares the same rules: no cycle of references.
        let for_http = Dialer {
            inner: Arc::new(Inner {
                allow: dialer.inner.allow.clone(),
                tls: dialer.inner.tls.clone(),
                resolver: dialer.inner.resolver.clone(),
                http: std::sync::OnceLock::new(),
            }),
        };
        let _ = dialer.inner.http.set(HttpClient::build(for_http, config)?);
        Ok(dialer)
    }

    /// Every address of the host, each of them allowed.
    ///
    /// # Errors
    /// When the host cannot be looked up, or when *any* of its addresses is forbidden: a name that points both outside
    /// and inside is an attack or a mistake.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let name = parse_host(host)?;
        let addresses = match &name {
            Host::Ipv4(ip) => vec![SocketAddr::new(IpAddr::V4(*ip), port)],
            Host::Ipv6(ip) => vec![SocketAddr::new(IpAddr::V6(*ip), port)],
            Host::Domain(domain) => self.lookup(domain, port).await?,
        };
        for address in &addresses {
            let class = class(address.ip());
            if class != Class::Public && !self.is_listed(address.ip()) {
                return Err(DialError::Forbidden {
                    host: shown(host),
                    address: address.ip(),
                    class,
                });
            }
        }
        Ok(addresses)
    }

    async fn lookup(&self, domain: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let answer = timeout(STEP_TIMEOUT, self.inner.resolver.lookup(domain, port)).await;
        let mut addresses = match answer {
            Err(_) => {
                return Err(DialError::Resolver {
                    host: domain.into(),
                    reason: "no answer in time".into(),
                });
            }
            Ok(Err(e)) => return Err(lookup_error(domain, &e)),
            Ok(Ok(addresses)) => addresses,
        };
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(DialError::NameNotFound { host: domain.into() });
        }
        Ok(addresses)
    }

    /// Looks the host up, checks every address, and connects to one of the checked addresses.
    ///
    /// # Errors
    /// When the host cannot be looked up, must not be reached, or does not answer within 10 seconds.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let addresses = self.resolve(host, port).await?;
        self.connect_to(host, &addresses).await
    }

    /// Connects to one of the addresses that [`Dialer::resolve`] returned for this host.
    ///
    /// # Errors
    /// When none of them answers within 10 seconds, or one of them is forbidden.
    pub async fn connect_to(&self, host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, DialError> {
        let port = addresses.first().map_or(0, SocketAddr::port);
        // Checked again on the very addresses that are dialled, so that no caller can pass an unchecked one.
        for address in addresses {
            let class = class(address.ip());
            if class != Class::Public && !self.is_listed(address.ip()) {
                return Err(DialError::Forbidden {
                    host: shown(host),
                    address: address.ip(),
                    class,
                });
            }
        }
        match timeout(STEP_TIMEOUT, race(&interleave(addresses))).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(e)) => Err(connect_error(host, port, &e)),
            Err(_) => Err(DialError::Timeout {
                host: shown(host),
                port,
            }),
        }
    }

    /// [`Dialer::connect`], then TLS from the first byte.
    ///
    /// # Errors
    /// Those of [`Dialer::connect`] and of the handshake.
    pub async fn connect_tls(
        &self,
        host: &str,
        port: u16,
    ) -> Result<(TlsStream<TcpStream>, TlsInfo), DialError> {
        let stream = self.connect(host, port).await?;
        self.wrap_tls(host, stream).await
    }

    /// Runs a TLS handshake over a connection that exists already (STARTTLS). The certificate must be for `host`.
    ///
    /// # Errors
    /// When the handshake fails or takes longer than 10 seconds.
    pub async fn wrap_tls<S>(&self, host: &str, stream: S) -> Result<(TlsStream<S>, TlsInfo), DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let fail = |kind| DialError::Tls {
            host: shown(host),
            kind,
        };
        let config = self.inner.tls.clone().ok_or_else(|| fail(TlsFailure::NoRoots))?;
        let name = match parse_host(host)? {
            Host::Domain(domain) => domain,
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        match timeout(STEP_TIMEOUT, tls::handshake(config, &name, stream)).await {
            Ok(done) => done.map_err(fail),
            Err(_) => Err(fail(TlsFailure::Handshake("no answer in time".into()))),
        }
    }

    /// The HTTP client that dials through these rules.
    pub fn http(&self) -> HttpClient {
        self.inner
            .http
            .get()
            .cloned()
            .unwrap_or_else(HttpClient::disabled)
    }

    /// Whether a URL may be a provider's endpoint: https with a reachable host, or http when every address of the host
    /// is loopback and inside the allow list.
    ///
    /// # Errors
    /// When it may not, with the reason.
    pub async fn check_endpoint(&self, url: &Url) -> Result<(), EndpointError> {
        let (host, port) = endpoint_parts(url)?;
        let addresses = self.resolve(&host, port).await;
        if url.scheme() == "http" {
            let plain = EndpointError::PlainHttp { host: shown(&host) };
            return match addresses {
                Ok(addresses) if self.is_listed_loopback(&addresses) => Ok(()),
                Ok(_) | Err(DialError::Forbidden { .. }) => Err(plain),
                Err(e) => Err(e.into()),
            };
        }
        addresses?;
        Ok(())
    }

    /// Whether a protocol without TLS may be spoken to these addresses: only to loopback or allowed networks, and only
    /// when there is at least one address.
    pub fn is_allowed_plain(&self, addresses: &[SocketAddr]) -> bool {
        !addresses.is_empty()
            && addresses
                .iter()
                .all(|a| class(a.ip()) == Class::Loopback || self.is_listed(a.ip()))
    }

    /// Whether every address is loopback and inside the allow list.
    pub(super) fn is_listed_loopback(&self, addresses: &[SocketAddr]) -> bool {
        !addresses.is_empty()
            && addresses
                .iter()
                .all(|a| class(a.ip()) == Class::Loopback && self.is_listed(a.ip()))
    }

    fn is_listed(&self, ip: IpAddr) -> bool {
        let plain = canonical(ip);
        self.inner
            .allow
            .iter()
            .any(|net| net.contains(&ip) || net.contains(&plain))
    }
}

/// The host and port of an endpoint, or what is wrong with the URL itself.
pub(super) fn endpoint_parts(url: &Url) -> Result<(String, u16), EndpointError> {
    if !matches!(url.scheme(), "https" | "http") {
        return Err(EndpointError::NotHttps);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::UserInfo);
    }
    if url.fragment().is_some() {
        return Err(EndpointError::Fragment);
    }
    let host = url
        .host_str()
        .filter(|h| !h.is_empty())
        .ok_or(EndpointError::NoHost)?;
    Ok((host.to_owned(), url.port_or_known_default().unwrap_or(443)))
}

/// Reads a host the way browsers do: international names, and every spelling of an IPv4 address.
fn parse_host(host: &str) -> Result<Host<String>, DialError> {
    let invalid = || DialError::InvalidHost { host: shown(host) };
    let trimmed = host.strip_suffix('.').unwrap_or(host);
    if trimmed.is_empty() || trimmed.len() > 253 {
        return Err(invalid());
    }
    if let Ok(ip) = trimmed.parse::<std::net::Ipv6Addr>() {
        return Ok(Host::Ipv6(ip));
    }
    Host::parse(trimmed).map_err(|_| invalid())
}

/// A host as it may appear in a message.
fn shown(host: &str) -> String {
    host.chars().filter(|c| !c.is_control()).take(253).collect()
}

fn lookup_error(domain: &str, error: &io::Error) -> DialError {
    // The resolver's verdict is only in its text; the three below are glibc's, musl's and macOS's for "no such name".
    let text = error.to_string();
    let unknown = [
        "Name or service not known",
        "No address associated",
        "Name does not resolve",
        "nodename nor servname",
    ];
    if error.kind() == io::ErrorKind::NotFound || unknown.iter().any(|u| text.contains(u)) {
        return DialError::NameNotFound { host: domain.into() };
    }
    let reason = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text)
        .to_owned();
    DialError::Resolver {
        host: domain.into(),
        reason,
    }
}

fn connect_error(host: &str, port: u16, error: &io::Error) -> DialError {
    let host = shown(host);
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused { host, port },
        io::ErrorKind::TimedOut => DialError::Timeout { host, port },
        kind => DialError::Unreachable {
            host,
            port,
            reason: kind.to_string(),
        },
    }
}

/// IPv6 and IPv4 in turns, IPv6 first, so that one dead family costs one stagger only.
fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(SocketAddr::is_ipv6);
    let mut ordered = Vec::with_capacity(addresses.len());
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    loop {
        match (v6.next(), v4.next()) {
            (None, None) => break,
            (a, b) => ordered.extend(a.into_iter().chain(b)),
        }
    }
    ordered.truncate(MAX_ADDRESSES);
    ordered
}

/// The first address that answers; a new one is started whenever the last one failed or stayed silent.
async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut running = FuturesUnordered::new();
    let mut worst = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if running.is_empty() {
            let Some(next) = waiting.next() else {
                return Err(worst);
            };
            running.push(open(*next));
        }
        tokio::select! {
            done = running.next() => match done {
                Some(Ok(stream)) => return Ok(stream),
                // A refusal says more than a missing route of the other family.
                Some(Err(e)) if worst.kind() != io::ErrorKind::ConnectionRefused => worst = e,
                _ => {}
            },
            () = sleep(STAGGER), if waiting.len() > 0 => {
                if let Some(next) = waiting.next() {
                    running.push(open(*next));
                }
            }
        }
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.connect(address).await
}

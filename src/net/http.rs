//! The HTTP client for token endpoints and discovery: no redirects, no proxy, bounded time and size.
//!
//! Addresses are checked in the resolver the connection itself uses, so a name cannot change between check and use;
//! literal addresses, which skip a resolver, are checked on the URL.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::ClientConfig;
use url::Url;

use super::classify::{Class, class};
use super::dial::{Dialer, endpoint_parts};
use super::error::{DialError, EndpointError, HttpError, NetError, TlsFailure};
use super::tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(15);
const DEFAULT_BODY_LIMIT: usize = 1024 * 1024;

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    /// GET
    Get,
    /// POST
    Post,
}

/// A request. It has no `Debug`, since headers and body carry secrets.
pub struct HttpRequest<'a> {
    /// GET or POST.
    pub method: HttpMethod,
    /// The full address.
    pub url: &'a str,
    /// Names and values; values are never logged.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, empty for none. Its Content-Type is one of `headers`.
    pub body: Vec<u8>,
}

/// An answer, whatever its status. Redirects are answers too: they are not followed.
#[derive(Clone)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body, decompressed.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// A header's value, when it is there and readable text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

// Token answers end up here: only what is harmless is shown.
impl std::fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish()
    }
}

/// The HTTP client. Clones share connections.
#[derive(Clone)]
pub struct HttpClient {
    clients: Option<Clients>,
    body_limit: usize,
    timeout: Duration,
}

/// An answer of which only the beginning of the body was read.
#[derive(Clone, Debug)]
pub struct ClippedResponse {
    /// Status, headers, and the beginning of the body.
    pub response: HttpResponse,
    /// Whether it came from an address that everybody can reach, so that its body tells nothing of a network inside.
    pub is_public: bool,
}

#[derive(Clone)]
struct Clients {
    dialer: Dialer,
    /// `None` when this machine trusts no certificate authority.
    https: Option<reqwest::Client>,
    /// For http, which is spoken to listed loopback addresses only.
    http: reqwest::Client,
}

impl HttpClient {
    pub(super) fn build(dialer: Dialer, tls: Option<ClientConfig>) -> Result<HttpClient, NetError> {
        let client = |config: ClientConfig, loopback_only: bool| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(config)
                .dns_resolver(Arc::new(Vetted {
                    dialer: dialer.clone(),
                    loopback_only,
                }))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(TOTAL_TIMEOUT)
                .user_agent(concat!("Mailgrant/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|e| NetError::HttpClient(e.to_string()))
        };
        let https = tls.map(|config| client(config, false)).transpose()?;
        let http = client(no_tls()?, true)?;
        Ok(HttpClient {
            clients: Some(Clients { dialer, https, http }),
            body_limit: DEFAULT_BODY_LIMIT,
            timeout: TOTAL_TIMEOUT,
        })
    }

    /// A client that refuses everything.
    pub(super) fn disabled() -> HttpClient {
        HttpClient {
            clients: None,
            body_limit: 0,
            timeout: TOTAL_TIMEOUT,
        }
    }

    /// The same client accepting bodies up to `bytes` (1 MiB when not said).
    pub fn with_body_limit(mut self, bytes: usize) -> HttpClient {
        self.body_limit = bytes;
        self
    }

    /// The same client waiting this long for a whole answer (15 seconds when not said).
    pub fn with_timeout(mut self, timeout: Duration) -> HttpClient {
        self.timeout = timeout;
        self
    }

    /// Sends a GET request.
    ///
    /// # Errors
    /// When no complete answer came; an answer with an error status is `Ok`.
    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<HttpResponse, HttpError> {
        self.send(HttpRequest {
            method: HttpMethod::Get,
            url,
            headers,
            body: Vec::new(),
        })
        .await
    }

    /// Sends a form as `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// When no complete answer came; an answer with an error status is `Ok`.
    pub async fn post_form(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> Result<HttpResponse, HttpError> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.send(HttpRequest {
            method: HttpMethod::Post,
            url,
            headers: &all,
            body: body.into_bytes(),
        })
        .await
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When no complete answer came; an answer with an error status is `Ok`.
    pub async fn send(&self, request: HttpRequest<'_>) -> Result<HttpResponse, HttpError> {
        let (host, mut response) = self.open(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| error(&host, &e))? {
            if body.len() + chunk.len() > self.body_limit {
                return Err(HttpError::TooLarge {
                    host,
                    limit: self.body_limit,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpResponse {
            status,
            headers,
            body,
        })
    }

    /// Sends a request and keeps at most the body limit of the answer; what comes after it is not read. An answer
    /// whose body breaks off is an answer: its status was said.
    ///
    /// # Errors
    /// When no status came.
    pub async fn send_clipped(&self, request: HttpRequest<'_>) -> Result<ClippedResponse, HttpError> {
        let (_, mut response) = self.open(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let peer = response.remote_addr();
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = self.body_limit.saturating_sub(body.len());
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if chunk.len() >= room {
                break;
            }
        }
        Ok(ClippedResponse {
            response: HttpResponse {
                status,
                headers,
                body,
            },
            is_public: peer.is_some_and(|peer| class(peer.ip()) == Class::Public),
        })
    }

    /// Sends a request and reads the answer as far as its headers.
    async fn open(&self, request: HttpRequest<'_>) -> Result<(String, reqwest::Response), HttpError> {
        let url = Url::parse(request.url).map_err(|_| HttpError::InvalidUrl(shown(request.url)))?;
        let (host, _) = endpoint_parts(&url)?;
        let clients = self
            .clients
            .as_ref()
            .ok_or_else(|| broken(&host, "the client is switched off"))?;
        let client = clients.vet(&url, &host).await?;
        let method = match request.method {
            HttpMethod::Get => reqwest::Method::GET,
            HttpMethod::Post => reqwest::Method::POST,
        };
        let headers = header_map(request.headers)?;
        let sent = client
            .request(method, url)
            .timeout(self.timeout)
            .headers(headers)
            .body(request.body)
            .send()
            .await;
        let response = sent.map_err(|e| error(&host, &e))?;
        Ok((host, response))
    }
}

impl Clients {
    /// Chooses the client for this URL; a literal address is checked here, a name in the client's resolver.
    async fn vet(&self, url: &Url, host: &str) -> Result<&reqwest::Client, HttpError> {
        let literal = !matches!(url.host(), Some(url::Host::Domain(_)));
        if literal {
            self.dialer.check_endpoint(url).await?;
        }
        if url.scheme() == "http" {
            return Ok(&self.http);
        }
        self.https.as_ref().ok_or_else(|| {
            EndpointError::from(DialError::Tls {
                host: host.to_owned(),
                kind: TlsFailure::NoRoots,
            })
            .into()
        })
    }
}

/// A TLS configuration that trusts nobody, for the client that never speaks TLS.
fn no_tls() -> Result<ClientConfig, NetError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| NetError::HttpClient(e.to_string()))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

fn header_map(headers: &[(&str, &str)]) -> Result<HeaderMap, HttpError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let invalid = || HttpError::InvalidHeader(shown(name));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    Ok(map)
}

/// The resolver inside the HTTP client: what it returns is what is dialled.
struct Vetted {
    dialer: Dialer,
    loopback_only: bool,
}

/// Carries our error through the HTTP client's own error type.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Refused(EndpointError);

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let (dialer, loopback_only) = (self.dialer.clone(), self.loopback_only);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let addresses = dialer.resolve(&host, 0).await;
            let vetted = match addresses {
                Ok(found) if loopback_only && !dialer.is_listed_loopback(&found) => {
                    Err(EndpointError::PlainHttp { host })
                }
                Err(DialError::Forbidden { .. }) if loopback_only => Err(EndpointError::PlainHttp { host }),
                other => other.map_err(EndpointError::from),
            };
            let found: Vec<SocketAddr> =
                vetted.map_err(|e| Box::new(Refused(e)) as Box<dyn Error + Send + Sync>)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// What a failed exchange means: our own refusal, a TLS failure, a timeout, or a broken connection.
fn error(host: &str, error: &reqwest::Error) -> HttpError {
    let dial = |e: DialError| HttpError::Endpoint(EndpointError::Dial(e));
    let port = error.url().and_then(Url::port_or_known_default).unwrap_or(443);
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(Refused(e)) = cause.downcast_ref::<Refused>() {
            return e.clone().into();
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return dial(DialError::Tls {
                host: host.into(),
                kind: tls::classify(tls),
            });
        }
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
            return dial(DialError::Refused {
                host: host.into(),
                port,
            });
        }
        if error.is_connect() && io.is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof) {
            return dial(DialError::Tls {
                host: host.into(),
                kind: io.map_or(TlsFailure::NotTls, tls::failure),
            });
        }
        // An I/O error names as its source what its content names as source, and leaves the content out.
        source = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => cause.source(),
        };
    }
    if error.is_timeout() && error.is_connect() {
        return dial(DialError::Timeout {
            host: host.into(),
            port,
        });
    }
    if error.is_timeout() {
        return HttpError::Timeout { host: host.into() };
    }
    if error.is_connect() {
        return dial(DialError::Unreachable {
            host: host.into(),
            port,
            reason: "the connection failed".into(),
        });
    }
    let reason = match () {
        () if error.is_body() => "the body is cut short",
        () if error.is_decode() => "the body cannot be decompressed",
        () => "the answer is not HTTP or ended too early",
    };
    broken(host, reason)
}

fn broken(host: &str, reason: &str) -> HttpError {
    HttpError::Broken {
        host: host.to_owned(),
        reason: reason.to_owned(),
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

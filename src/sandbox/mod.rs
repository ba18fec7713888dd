//! A mail provider for `demo` and the tests: OAuth and IMAP on loopback, with faults on request.
//!
//! [`Sandbox::start`] gives a mail provider that needs no network and no account. Mailgrant talks to it through
//! the same sockets as to any other: it is no shortcut into the service, and nothing outside `demo` and the
//! tests starts it. `provider` is the authorization server, a second instance of Mailgrant's own; `layer` stands in
//! front of it and changes what is said on the wire, `pages` what its pages look like; `imap` is the mail server,
//! `samples` the mail that arrives, `faults` what goes wrong on purpose, `owner` the person who consents where nobody
//! is.

mod faults;
mod imap;
mod layer;
mod owner;
mod pages;
mod provider;
mod samples;
mod tls;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::{HttpServer, web};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::app::StartError;
use crate::clock::Clock;
use imap::{MailStore, Transport};
use owner::Owner;
use provider::{Provider, Setup};
use tls::{Certificates, TLS_HOST};

pub use faults::{Faults, ImapFault, ImapFaultKind, RewriteAnswer, TlsFault, TokenFault, TokenFaultKind};
pub use samples::{SAMPLE_KINDS, Sample, SampleKind, Samples};

/// How many calls the log keeps.
const LOG_LENGTH: usize = 10_000;

/// How a sandbox is set up.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The mailbox, which is also the account that gives consent.
    pub mailbox: String,
    /// Further accounts with mailboxes of their own. `login_hint` says which one signs in.
    pub other_mailboxes: Vec<String>,
    /// Life of an access token.
    pub access_token_life: Duration,
    /// A sample mail arrives this often; none means only what [`Sandbox::deliver`] brings.
    pub mail_every: Option<Duration>,
    /// How many sample mails are there at the start.
    pub initial_mail: usize,
    /// Redirect URLs of the client, compared byte for byte. [`Sandbox::allow_redirect`] adds more.
    pub redirect_urls: Vec<String>,
    /// Whether any redirect URL on a loopback address is registered when somebody asks with it.
    pub any_loopback_redirect: bool,
    /// The loopback address to listen on.
    pub bind: IpAddr,
    /// Port of the OAuth server; 0 takes a free one.
    pub http_port: u16,
    /// Port of the IMAP server under TLS; 0 takes a free one.
    pub imap_port: u16,
    /// Port of the IMAP server in the clear; 0 takes a free one.
    pub imap_plain_port: u16,
}

impl Default for SandboxOptions {
    fn default() -> SandboxOptions {
        SandboxOptions {
            mailbox: "demo@sandbox.test".to_owned(),
            other_mailboxes: Vec::new(),
            access_token_life: Duration::from_secs(3600),
            mail_every: None,
            initial_mail: 0,
            redirect_urls: Vec::new(),
            any_loopback_redirect: false,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            http_port: 0,
            imap_port: 0,
            imap_plain_port: 0,
        }
    }
}

/// Why a sandbox did not start, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address is none of this machine's own.
    #[error("the sandbox listens on loopback only, not on {0}; choose 127.0.0.1 or ::1")]
    NotLoopback(IpAddr),
    /// A port cannot be had.
    #[error("the sandbox cannot listen on {address}; choose another port, or 0 for a free one")]
    Listen {
        /// Address and port.
        address: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The certificates could not be made.
    #[error("the sandbox could not make its certificates")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The temporary folder cannot be made.
    #[error("the sandbox's temporary folder cannot be used; set TMPDIR to a folder this user may write to")]
    Folder(#[source] std::io::Error),
    /// The authorization server did not start.
    #[error("the sandbox's authorization server did not start")]
    Start(#[from] StartError),
    /// The authorization server did not do what it was asked.
    #[error("the sandbox's authorization server: {0}")]
    Provider(Box<dyn std::error::Error + Send + Sync>),
    /// The authorization URL is none that this provider would answer with a redirect.
    #[error("the sandbox refuses this authorization request: {0}")]
    Authorization(String),
}

impl SandboxError {
    fn certificate(cause: impl std::error::Error + Send + Sync + 'static) -> SandboxError {
        SandboxError::Certificate(Box::new(cause))
    }

    fn provider(cause: impl std::error::Error + Send + Sync + 'static) -> SandboxError {
        SandboxError::Provider(Box::new(cause))
    }
}

/// What the mailbox owner answers to the consent question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No: the client gets `access_denied`.
    Refuse,
}

/// One call the sandbox answered. Never holds a token, a code or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When, on the sandbox's clock.
    pub at: DateTime<Utc>,
    /// `token`, `authorize`, `userinfo`, `introspect`, `revoke`, `discovery` or `imap`.
    pub endpoint: &'static str,
    /// The grant type, or the IMAP command.
    pub detail: Option<&'static str>,
    /// `ok`, `fault`, an OAuth error code, or how the IMAP command ended.
    pub outcome: Cow<'static, str>,
}

/// What the fault layer and the mail server share.
struct Shared {
    clock: Clock,
    options: SandboxOptions,
    issuer: String,
    provider: Provider,
    /// The access tokens that went through the layer, for the day they all have to die.
    issued: Mutex<Vec<SecretString>>,
    mail: MailStore,
    faults: Faults,
    log: Mutex<VecDeque<Call>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn note(
        &self,
        endpoint: &'static str,
        detail: Option<&'static str>,
        outcome: impl Into<Cow<'static, str>>,
    ) {
        let mut log = lock(&self.log);
        if log.len() == LOG_LENGTH {
            log.pop_front();
        }
        log.push_back(Call {
            at: self.clock.now(),
            endpoint,
            detail,
            outcome: outcome.into(),
        });
    }

    /// Whether an XOAUTH2 answer opens a mailbox: the account, or the JSON that says why not.
    async fn check_xoauth2(&self, answer: &[u8]) -> Result<String, String> {
        let refusal =
            |status: &str| format!("{{\"status\":\"{status}\",\"schemes\":\"bearer\",\"scope\":\"imap\"}}");
        let text = std::str::from_utf8(answer).map_err(|_| refusal("400"))?;
        let mut parts = text.split('\u{1}');
        let user = parts
            .next()
            .and_then(|part| part.strip_prefix("user="))
            .ok_or_else(|| refusal("400"))?;
        let token = parts
            .next()
            .and_then(|part| part.strip_prefix("auth="))
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token)
            .ok_or_else(|| refusal("400"))?;
        let holder = self.provider.introspect(token).await;
        let holder = holder
            .map_err(|_| refusal("500"))?
            .ok_or_else(|| refusal("401"))?;
        let account = self.provider.account(user).ok_or_else(|| refusal("401"))?;
        // An application that acts for itself may open any mailbox here, as an app-only grant would.
        if holder.account.is_some_and(|owner| owner != account) {
            return Err(refusal("401"));
        }
        match holder.reads_mail {
            true => Ok(account.to_owned()),
            false => Err(refusal("403")),
        }
    }
}

fn is_loopback_url(text: &str) -> bool {
    match Url::parse(text).ok().as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    }
}

/// A running sandbox. Dropping it ends both servers.
pub struct Sandbox {
    shared: Arc<Shared>,
    samples: Arc<Mutex<Samples>>,
    stop: CancellationToken,
    http: actix_web::dev::ServerHandle,
    ca_pem: String,
    imap_port: u16,
    imap_plain_port: u16,
    // Last, so that it goes when the servers have let go of its files.
    _folder: TempDir,
}

impl Sandbox {
    /// Starts all servers on loopback. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`SandboxError`] when the address is not loopback, a port is taken, or the temporary folder cannot be used.
    pub async fn start(options: SandboxOptions, clock: Clock) -> Result<Sandbox, SandboxError> {
        if !options.bind.is_loopback() {
            return Err(SandboxError::NotLoopback(options.bind));
        }
        let (http_listener, http_port) = listen(options.bind, options.http_port)?;
        let (imap_listener, imap_port) = listen(options.bind, options.imap_port)?;
        let (plain_listener, imap_plain_port) = listen(options.bind, options.imap_plain_port)?;
        let certificates = Arc::new(Certificates::make(clock.now())?);
        let host = match options.bind {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let issuer = format!("http://{host}:{http_port}");
        let folder = tempfile::Builder::new()
            .prefix("mailgrant-sandbox-")
            .tempdir()
            .map_err(SandboxError::Folder)?;
        let mailboxes: Vec<&str> = std::iter::once(&options.mailbox)
            .chain(&options.other_mailboxes)
            .map(String::as_str)
            .collect();
        let setup = Setup {
            issuer: &issuer,
            folder: folder.path(),
            mailboxes: &mailboxes,
            redirect_urls: &options.redirect_urls,
            access_seconds: i64::try_from(options.access_token_life.as_secs()).unwrap_or(3600),
        };
        let (own_listener, _) = listen(options.bind, 0)?;
        let provider = Provider::start(&setup, own_listener, clock.clone()).await?;
        let shared = Arc::new(Shared {
            mail: MailStore::new(mailboxes.iter().copied()),
            issuer,
            provider,
            issued: Mutex::default(),
            faults: Faults::new(clock.clone()),
            log: Mutex::default(),
            clock,
            options,
        });
        let stop = CancellationToken::new();
        let http = serve_http(&shared, http_listener)?;
        let ca_pem = certificates.ca_pem.clone();
        for (listener, transport) in [
            (imap_listener, Transport::Tls(certificates)),
            (plain_listener, Transport::Plain),
        ] {
            let listener = tokio_listener(listener)?;
            tokio::spawn(imap::serve(shared.clone(), listener, transport, stop.clone()));
        }
        let samples = Arc::new(Mutex::new(Samples::new(&shared.options.mailbox)));
        let sandbox = Sandbox {
            shared,
            samples,
            stop,
            http,
            ca_pem,
            imap_port,
            imap_plain_port,
            _folder: folder,
        };
        for _ in 0..sandbox.shared.options.initial_mail {
            sandbox.deliver_next_sample();
        }
        if let Some(every) = sandbox.shared.options.mail_every {
            sandbox.deliver_every(every);
        }
        Ok(sandbox)
    }

    /// The issuer, which is also the base of every OAuth URL: `http://127.0.0.1:PORT`.
    pub fn issuer(&self) -> String {
        self.shared.issuer.clone()
    }

    /// Where the browser goes.
    pub fn authorization_endpoint(&self) -> String {
        format!("{}/oauth2/authorize", self.shared.issuer)
    }

    /// Where codes and refresh tokens are exchanged.
    pub fn token_endpoint(&self) -> String {
        format!("{}/oauth2/token", self.shared.issuer)
    }

    /// OpenID Connect userinfo.
    pub fn userinfo_endpoint(&self) -> String {
        format!("{}/oauth2/userinfo", self.shared.issuer)
    }

    /// The scopes an integration needs here: identity, mail, and a refresh token.
    pub fn scopes(&self) -> Vec<String> {
        provider::scopes()
    }

    /// The client id that Mailgrant uses.
    pub fn client_id(&self) -> String {
        provider::CLIENT_ID.to_owned()
    }

    /// Its secret, drawn at start.
    pub fn client_secret(&self) -> SecretString {
        self.shared.provider.client_secret()
    }

    /// Registers a redirect URL.
    ///
    /// # Errors
    /// When the authorization server does not take it.
    pub async fn allow_redirect(&self, url: &str) -> Result<(), SandboxError> {
        self.shared.provider.allow_redirect(url).await
    }

    /// The mailbox, also the login name.
    pub fn mailbox(&self) -> String {
        self.shared.options.mailbox.clone()
    }

    /// The IMAP server's host name, as in its certificate.
    pub fn imap_host(&self) -> String {
        TLS_HOST.to_owned()
    }

    /// The IMAP port under TLS.
    pub fn imap_port(&self) -> u16 {
        self.imap_port
    }

    /// The IMAP port in the clear.
    pub fn imap_plain_port(&self) -> u16 {
        self.imap_plain_port
    }

    /// The authority that signed the IMAP certificate, to be trusted by the caller.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What goes wrong on request.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Every access token dies now and open IMAP connections end with it, as large providers do it; refreshing
    /// still works.
    ///
    /// # Errors
    /// When the authorization server fails.
    pub async fn expire_tokens(&self) -> Result<(), SandboxError> {
        let issued = std::mem::take(&mut *lock(&self.shared.issued));
        self.shared.provider.revoke(issued).await?;
        self.shared.faults.drop_connections();
        Ok(())
    }

    /// The mailbox owners take back what they allowed: tokens die, refreshing answers `invalid_grant`, and open IMAP
    /// connections end. A new consent works.
    ///
    /// # Errors
    /// When the authorization server fails.
    pub async fn revoke_consent(&self) -> Result<(), SandboxError> {
        self.shared.provider.revoke_everything().await?;
        self.shared.faults.drop_connections();
        Ok(())
    }

    /// Goes through the provider's pages as the mailbox owner: the URL the browser is sent back to.
    ///
    /// # Errors
    /// [`SandboxError::Authorization`] when the pages only show an error.
    pub async fn decide(&self, authorization_url: &str, decision: Decision) -> Result<String, SandboxError> {
        self.decide_as(authorization_url, decision, None).await
    }

    /// The same as another account of this sandbox.
    ///
    /// # Errors
    /// [`SandboxError::Authorization`] when the pages only show an error.
    pub async fn decide_as(
        &self,
        authorization_url: &str,
        decision: Decision,
        account: Option<&str>,
    ) -> Result<String, SandboxError> {
        let owner = Owner::new(self.shared.provider.http(), &self.shared.issuer);
        owner.decide(authorization_url, decision, account).await
    }

    /// Puts a mail into the mailbox's INBOX and returns its UID.
    pub fn deliver(&self, raw: Vec<u8>) -> u32 {
        // The mailbox and its INBOX exist as long as the sandbox does.
        self.deliver_to(&self.mailbox(), "INBOX", raw, self.shared.clock.now())
            .unwrap_or(0)
    }

    /// Puts a mail into a folder of any account, received at a given time; none when there is no such folder.
    pub fn deliver_to(
        &self,
        account: &str,
        folder: &str,
        raw: Vec<u8>,
        received_at: DateTime<Utc>,
    ) -> Option<u32> {
        self.shared
            .mail
            .deliver(account, folder, raw, received_at, BTreeSet::new())
    }

    /// Delivers the next sample in order.
    pub fn deliver_next_sample(&self) -> (SampleKind, u32) {
        let sample = lock(&self.samples).next(self.shared.clock.now());
        (sample.kind, self.deliver(sample.raw))
    }

    /// Delivers a sample of this kind.
    pub fn deliver_sample(&self, kind: SampleKind) -> u32 {
        let sample = lock(&self.samples).of_kind(kind, self.shared.clock.now());
        self.deliver(sample.raw)
    }

    /// How many mails the mailbox's INBOX holds.
    pub fn message_count(&self) -> usize {
        self.folder_count("INBOX")
    }

    /// How many mails a folder of the mailbox holds.
    pub fn folder_count(&self, folder: &str) -> usize {
        self.shared
            .mail
            .message_count(&self.shared.options.mailbox, folder)
    }

    /// The flags of a mail in the mailbox's INBOX, such as `\Seen`.
    pub fn flags(&self, uid: u32) -> Option<BTreeSet<String>> {
        self.shared.mail.flags(&self.shared.options.mailbox, "INBOX", uid)
    }

    /// Gives INBOX a new UIDVALIDITY: its mails are numbered anew from 1, and connections end.
    pub fn set_uid_validity(&self, uid_validity: u32) {
        self.shared
            .mail
            .set_uid_validity(&self.shared.options.mailbox, "INBOX", uid_validity);
        self.shared.faults.drop_connections();
    }

    /// The calls that were answered, oldest first.
    pub fn log(&self) -> Vec<Call> {
        lock(&self.shared.log).iter().cloned().collect()
    }

    /// How many calls of the token endpoint with this grant type ended so.
    pub fn token_calls(&self, grant_type: &str, outcome: &str) -> usize {
        self.log()
            .iter()
            .filter(|call| {
                call.endpoint == "token" && call.detail == Some(grant_type) && call.outcome == outcome
            })
            .count()
    }

    /// Ends all servers, and returns when no request is being answered any more and nothing is left behind.
    pub async fn stop(self) {
        self.stop.cancel();
        self.http.stop(false).await;
        self.shared.provider.stop().await;
    }

    fn deliver_every(&self, every: Duration) {
        let (shared, samples, stop) = (self.shared.clone(), self.samples.clone(), self.stop.clone());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                let now = shared.clock.now();
                let raw = lock(&samples).next(now).raw;
                shared
                    .mail
                    .deliver(&shared.options.mailbox, "INBOX", raw, now, BTreeSet::new());
            }
        });
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
        // The command is sent at once; only its completion would have to be awaited.
        drop(self.http.stop(false));
        self.shared.provider.abandon();
    }
}

fn listen(bind: IpAddr, port: u16) -> Result<(TcpListener, u16), SandboxError> {
    let failed = |cause| SandboxError::Listen {
        address: format!("{bind} port {port}"),
        cause,
    };
    let listener = TcpListener::bind((bind, port)).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

fn tokio_listener(listener: TcpListener) -> Result<tokio::net::TcpListener, SandboxError> {
    let failed = |cause| SandboxError::Listen {
        address: "its IMAP port".to_owned(),
        cause,
    };
    listener.set_nonblocking(true).map_err(failed)?;
    tokio::net::TcpListener::from_std(listener).map_err(failed)
}

fn serve_http(
    shared: &Arc<Shared>,
    listener: TcpListener,
) -> Result<actix_web::dev::ServerHandle, SandboxError> {
    let data = web::Data::from(shared.clone());
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(data.clone())
            .configure(layer::routes)
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)
    .map_err(|cause| SandboxError::Listen {
        address: "its HTTP port".to_owned(),
        cause,
    })?
    .run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(handle)
}

//! The built-in provider for `demo` and the tests: OAuth and IMAP on loopback, with faults on request.
//!
//! [`Sandbox::start`] gives a mail provider that needs no network and no account. Mailgrant talks to it through
//! the same sockets as to any other: it is no shortcut into the service, and nothing outside `demo` and the
//! tests starts it. `oauth` and `tokens` are the authorization server, `imap` the mail server, `samples` the
//! mail that arrives, `faults` what goes wrong on purpose.

mod faults;
mod imap;
mod oauth;
mod pages;
mod samples;
mod tls;
mod tokens;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::clock::Clock;
use imap::{MailStore, Transport};
use oauth::PendingConsent;
use tls::{Certificates, TLS_HOST};
use tokens::{TokenStore, random_text};

pub use faults::{Faults, ImapFault, ImapFaultKind, RewriteAnswer, TlsFault, TokenFault, TokenFaultKind};
pub use samples::{SAMPLE_KINDS, Sample, SampleKind, Samples};

/// How many calls the log keeps.
const LOG_LENGTH: usize = 10_000;

/// How a sandbox is set up.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The mailbox, which is also the account that gives consent.
    pub mailbox: String,
    /// Further accounts with mailboxes of their own. With any, the consent page asks which one.
    pub other_mailboxes: Vec<String>,
    /// Life of an access token.
    pub access_token_life: Duration,
    /// Whether each refresh gives a new refresh token and ends the old one.
    pub rotate_refresh: bool,
    /// A sample mail arrives this often; none means only what [`Sandbox::deliver`] brings.
    pub mail_every: Option<Duration>,
    /// How many sample mails are there at the start.
    pub initial_mail: usize,
    /// Redirect URLs of the client, compared byte for byte. [`Sandbox::allow_redirect`] adds more.
    pub redirect_urls: Vec<String>,
    /// Whether any redirect URL on loopback is accepted too, as RFC 8252 section 7.3 has it for ports.
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
            rotate_refresh: true,
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
    /// The authorization URL is none that this provider would answer with a redirect.
    #[error("the sandbox refuses this authorization request: {0}")]
    Authorization(String),
}

impl SandboxError {
    fn certificate(cause: impl std::error::Error + Send + Sync + 'static) -> SandboxError {
        SandboxError::Certificate(Box::new(cause))
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
    pub outcome: &'static str,
}

/// A registered application.
struct Client {
    id: String,
    name: &'static str,
    secret: SecretString,
}

/// What both servers share.
struct Shared {
    clock: Clock,
    options: SandboxOptions,
    issuer: String,
    clients: Mutex<Vec<Client>>,
    redirects: Mutex<BTreeSet<String>>,
    tokens: Mutex<TokenStore>,
    pending: Mutex<HashMap<String, PendingConsent>>,
    mail: MailStore,
    faults: Faults,
    log: Mutex<VecDeque<Call>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn tokens(&self) -> MutexGuard<'_, TokenStore> {
        lock(&self.tokens)
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<String, PendingConsent>> {
        lock(&self.pending)
    }

    fn access_token_life(&self) -> chrono::Duration {
        chrono::Duration::from_std(self.options.access_token_life).unwrap_or(chrono::Duration::hours(1))
    }

    fn accounts(&self) -> Vec<&str> {
        let others = self.options.other_mailboxes.iter().map(String::as_str);
        std::iter::once(self.options.mailbox.as_str())
            .chain(others)
            .collect()
    }

    fn has_account(&self, account: &str) -> bool {
        self.accounts().contains(&account)
    }

    fn client_name(&self, id: &str) -> Option<String> {
        lock(&self.clients)
            .iter()
            .find(|client| client.id == id)
            .map(|client| client.name.to_owned())
    }

    fn client_secret_of(&self, id: &str) -> Option<SecretString> {
        lock(&self.clients)
            .iter()
            .find(|client| client.id == id)
            .map(|client| client.secret.clone())
    }

    fn redirect_is_allowed(&self, redirect_uri: &str) -> bool {
        lock(&self.redirects).contains(redirect_uri)
            || self.options.any_loopback_redirect && is_loopback_url(redirect_uri)
    }

    fn note(&self, endpoint: &'static str, detail: Option<&'static str>, outcome: &'static str) {
        let mut log = lock(&self.log);
        if log.len() == LOG_LENGTH {
            log.pop_front();
        }
        log.push_back(Call {
            at: self.clock.now(),
            endpoint,
            detail,
            outcome,
        });
    }

    /// Whether an XOAUTH2 answer opens a mailbox: the account, or the JSON that says why not.
    fn check_xoauth2(&self, answer: &[u8]) -> Result<String, String> {
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
        let info = self
            .tokens()
            .inspect(token, self.clock.now())
            .ok_or_else(|| refusal("401"))?;
        let account = (self.accounts().into_iter())
            .find(|account| account.eq_ignore_ascii_case(user))
            .ok_or_else(|| refusal("401"))?;
        if info.authorization.account.is_some_and(|owner| owner != account) {
            return Err(refusal("401"));
        }
        match info.authorization.scopes.contains("imap") {
            true => Ok(account.to_owned()),
            false => Err(refusal("403")),
        }
    }
}

fn is_loopback_url(text: &str) -> bool {
    match Url::parse(text).ok().as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
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
}

impl Sandbox {
    /// Starts both servers on loopback. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`SandboxError`] when the address is not loopback or a port is taken.
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
        let shared = Arc::new(Shared {
            issuer: format!("http://{host}:{http_port}"),
            clients: Mutex::new(vec![
                client("mailgrant-sandbox", "Mailgrant"),
                client("foreign-application", "Another application"),
            ]),
            redirects: Mutex::new(options.redirect_urls.iter().cloned().collect()),
            tokens: Mutex::default(),
            pending: Mutex::default(),
            mail: MailStore::new(
                std::iter::once(&options.mailbox)
                    .chain(&options.other_mailboxes)
                    .map(String::as_str),
            ),
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
        format!("{}/authorize", self.shared.issuer)
    }

    /// Where codes and refresh tokens are exchanged.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.shared.issuer)
    }

    /// RFC 7662; answers without client authentication.
    pub fn introspection_endpoint(&self) -> String {
        format!("{}/introspect", self.shared.issuer)
    }

    /// OpenID Connect userinfo.
    pub fn userinfo_endpoint(&self) -> String {
        format!("{}/userinfo", self.shared.issuer)
    }

    /// The scopes an integration needs here: identity, mail, and a refresh token.
    pub fn scopes(&self) -> Vec<String> {
        ["openid", "email", "imap", "offline_access"]
            .map(str::to_owned)
            .to_vec()
    }

    /// The client id that Mailgrant uses.
    pub fn client_id(&self) -> String {
        "mailgrant-sandbox".to_owned()
    }

    /// Its secret, drawn at start.
    pub fn client_secret(&self) -> SecretString {
        self.shared
            .client_secret_of("mailgrant-sandbox")
            .unwrap_or_default()
    }

    /// Another registered application, whose tokens open the same mailbox but are not Mailgrant's.
    pub fn foreign_client(&self) -> (String, SecretString) {
        let id = "foreign-application";
        (
            id.to_owned(),
            self.shared.client_secret_of(id).unwrap_or_default(),
        )
    }

    /// Gives the client a new secret; the old one is refused with `invalid_client` from now on.
    pub fn change_client_secret(&self) -> SecretString {
        let secret = SecretString::from(random_text("sbx_secret_"));
        if let Some(client) = lock(&self.shared.clients).first_mut() {
            client.secret = secret.clone();
        }
        secret
    }

    /// Registers a redirect URL.
    pub fn allow_redirect(&self, url: &str) {
        lock(&self.shared.redirects).insert(url.to_owned());
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
    pub fn expire_tokens(&self) {
        self.shared.tokens().expire_access_tokens();
        self.shared.faults.drop_connections();
    }

    /// The mailbox owner takes the consent back: tokens die, refreshing answers `invalid_grant`, and open IMAP
    /// connections end. A new consent works.
    pub fn revoke_consent(&self) {
        self.shared.tokens().revoke_everything();
        self.shared.faults.drop_connections();
    }

    /// Answers an authorization request as the consent page would: the URL the browser is sent back to.
    ///
    /// # Errors
    /// [`SandboxError::Authorization`] when the page would only show an error.
    pub fn decide(&self, authorization_url: &str, decision: Decision) -> Result<String, SandboxError> {
        self.decide_as(authorization_url, decision, None)
    }

    /// The same as another account of this sandbox.
    ///
    /// # Errors
    /// [`SandboxError::Authorization`] when the page would only show an error.
    pub fn decide_as(
        &self,
        authorization_url: &str,
        decision: Decision,
        account: Option<&str>,
    ) -> Result<String, SandboxError> {
        let url = Url::parse(authorization_url)
            .map_err(|_| SandboxError::Authorization("it is not a URL".to_owned()))?;
        let params: HashMap<String, String> = url.query_pairs().into_owned().collect();
        match oauth::check_request(&self.shared, &params) {
            Ok(pending) => {
                let account = account.map_or_else(|| pending.account.clone(), str::to_owned);
                Ok(oauth::conclude(&self.shared, pending, decision, &account).into())
            }
            Err(refused) => oauth::refused_location(&self.shared, refused)
                .map(String::from)
                .map_err(SandboxError::Authorization),
        }
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

    /// Ends both servers, and returns when no request is being answered any more.
    pub async fn stop(self) {
        self.stop.cancel();
        self.http.stop(false).await;
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
    }
}

fn client(id: &str, name: &'static str) -> Client {
    Client {
        id: id.to_owned(),
        name,
        secret: SecretString::from(random_text("sbx_secret_")),
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
    let server = HttpServer::new(move || App::new().app_data(data.clone()).configure(oauth::routes))
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

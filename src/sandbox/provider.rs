//! The provider behind the fault layer: a second instance of Mailgrant's own authorization server, with an issuer, a port
//! and a temporary database of its own.
//!
//! It knows nothing of faults, and of the sandbox only what any installation knows: people (the mailbox owners), the
//! application that is to be connected, and a mail server that may introspect tokens. No job runs here: nothing in it
//! lives long enough to be purged.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use actix_web::dev::ServerHandle;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::SandboxError;
use super::layer::Asked;
use crate::access::Scope;
use crate::account;
use crate::app;
use crate::clock::Clock;
use crate::config;
use crate::ctx::Ctx;
use crate::event::SYSTEM;
use crate::net::{self, HttpClient};
use crate::oauth2_server::{self, ClientAuth, ClientFields, Fields, GrantType, NewClient};
use crate::web::{self, Extras};

/// The scope that opens a mailbox here.
pub(super) const MAIL_SCOPE: Scope = Scope::MessagesRead;
/// What the application is called in requests.
pub(super) const CLIENT_ID: &str = "mailgrant-sandbox";
/// What the mail server is called in requests.
const MAIL_SERVER_ID: &str = "sandbox-mail-server";
/// The largest answer the fault layer carries: a style sheet.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;

/// The running provider.
pub(super) struct Provider {
    ctx: Ctx,
    base: String,
    http: HttpClient,
    server: ServerHandle,
    client: String,
    client_secret: SecretString,
    mail_server_secret: SecretString,
    /// The mailbox owners: address and the id of the account.
    people: Vec<(String, String)>,
    registering: tokio::sync::Mutex<()>,
}

/// Whose an access token is, and what it allows.
pub(super) struct Holder {
    /// The mailbox owner; none for an application that acts for itself.
    pub account: Option<String>,
    /// Whether it opens a mailbox.
    pub reads_mail: bool,
}

/// How the provider is set up.
pub(super) struct Setup<'a> {
    /// Where the world reaches it: the address of the fault layer.
    pub issuer: &'a str,
    /// For its database and keys.
    pub folder: &'a Path,
    /// The mailbox owners.
    pub mailboxes: &'a [&'a str],
    /// Where codes may be sent.
    pub redirect_urls: &'a [String],
    /// Life of an access token, seconds.
    pub access_seconds: i64,
}

impl Provider {
    /// Starts it on a listener that is bound already, with everybody it has to know.
    pub(super) async fn start(
        setup: &Setup<'_>,
        listener: TcpListener,
        clock: Clock,
    ) -> Result<Provider, SandboxError> {
        let failed = |cause| SandboxError::Listen {
            address: "the provider's own port".to_owned(),
            cause,
        };
        let address: SocketAddr = listener.local_addr().map_err(failed)?;
        let config = config::apart(address, setup.issuer, setup.folder).map_err(SandboxError::provider)?;
        let ctx = app::open(config, clock).await?;
        let mut people = Vec::new();
        for mailbox in setup.mailboxes {
            let name = mailbox.split('@').next().unwrap_or(mailbox);
            let user = account::invite(&ctx.db, &ctx.clock, mailbox, name, false, SYSTEM).await;
            people.push(((*mailbox).to_owned(), user.map_err(SandboxError::provider)?.id));
        }
        let (client, client_secret) = register(&ctx, application(setup)).await?;
        let (_, mail_server_secret) = register(&ctx, mail_server()).await?;
        let extras = Extras {
            workers: 1,
            ..Extras::default()
        };
        let server = web::server(ctx.clone(), listener, extras).map_err(SandboxError::provider)?;
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Provider {
            base: format!("http://{address}"),
            http: ctx.dialer.http().with_body_limit(LARGEST_ANSWER),
            server: handle,
            client,
            client_secret,
            mail_server_secret,
            people,
            registering: tokio::sync::Mutex::default(),
            ctx,
        })
    }

    /// The client for requests to loopback.
    pub(super) fn http(&self) -> &HttpClient {
        &self.http
    }

    /// The application's secret.
    pub(super) fn client_secret(&self) -> SecretString {
        self.client_secret.clone()
    }

    /// The address of a mailbox owner in the form in which it was given.
    pub(super) fn account(&self, address: &str) -> Option<&str> {
        let mut people = self.people.iter().map(|(mailbox, _)| mailbox.as_str());
        people.find(|mailbox| mailbox.eq_ignore_ascii_case(address))
    }

    /// Hands a request on.
    pub(super) async fn ask(&self, asked: &Asked) -> Result<net::HttpResponse, SandboxError> {
        let url = format!("{}{}", self.base, asked.target());
        let headers: Vec<(&str, &str)> = asked
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let request = net::HttpRequest {
            method: asked.method,
            url: &url,
            headers: &headers,
            body: asked.body.clone(),
        };
        self.http.send(request).await.map_err(SandboxError::provider)
    }

    /// The path of a link that signs a mailbox owner in, once: who is hinted at, else the first.
    pub(super) async fn sign_in_path(&self, hint: Option<&str>) -> Result<String, SandboxError> {
        let hinted = hint.and_then(|hint| {
            let is_theirs = |(mailbox, _): &&(String, String)| mailbox.eq_ignore_ascii_case(hint);
            self.people.iter().find(is_theirs)
        });
        let (_, id) = hinted
            .or_else(|| self.people.first())
            .ok_or_else(|| SandboxError::Authorization("nobody has an account here".to_owned()))?;
        let link = account::sign_in_link(&self.ctx, id)
            .await
            .map_err(SandboxError::provider)?;
        let own = self.ctx.config.url("");
        Ok(link.strip_prefix(&own).unwrap_or(&link).to_owned())
    }

    /// Registers one more redirect URL of the application.
    pub(super) async fn allow_redirect(&self, url: &str) -> Result<(), SandboxError> {
        let _one_at_a_time = self.registering.lock().await;
        let client = oauth2_server::get(&self.ctx, &self.client)
            .await
            .map_err(SandboxError::provider)?;
        if client.redirect_uris.iter().any(|known| known == url) {
            return Ok(());
        }
        let mut fields = client.fields.clone();
        fields.redirect_uris.push(url.to_owned());
        oauth2_server::update(&self.ctx, SYSTEM, &self.client, client.revision, fields)
            .await
            .map(drop)
            .map_err(SandboxError::provider)
    }

    /// Asks as the mail server whose token this is (RFC 7662); `None` for one that opens nothing.
    pub(super) async fn introspect(&self, token: &str) -> Result<Option<Holder>, SandboxError> {
        let form = [
            ("client_id", MAIL_SERVER_ID),
            ("client_secret", self.mail_server_secret.expose_secret()),
            ("token", token),
        ];
        let url = format!("{}/oauth2/introspect", self.base);
        let answer = self.http.post_form(&url, &[], &form).await;
        let answer = answer.map_err(SandboxError::provider)?;
        let told: Value = serde_json::from_slice(&answer.body).map_err(SandboxError::provider)?;
        let scope = told["scope"].as_str().unwrap_or_default();
        Ok((told["active"] == true).then(|| Holder {
            // By their id: an address is said only where it was allowed.
            account: told["sub"].as_str().and_then(|sub| {
                let person = self.people.iter().find(|(_, id)| id == sub);
                person.map(|(account, _)| account.clone())
            }),
            reads_mail: scope.split(' ').any(|scope| scope == MAIL_SCOPE.as_str()),
        }))
    }

    /// Revokes access tokens as their client would (RFC 7009); the refresh tokens beside them live on.
    pub(super) async fn revoke(&self, tokens: Vec<SecretString>) -> Result<(), SandboxError> {
        let client = oauth2_server::get(&self.ctx, &self.client)
            .await
            .map_err(SandboxError::provider)?;
        for token in tokens {
            let fields = Fields::new(vec![("token".to_owned(), token.expose_secret().to_owned())]);
            let fields = fields.map_err(SandboxError::provider)?;
            oauth2_server::revoke(&self.ctx, &client, &fields)
                .await
                .map_err(SandboxError::provider)?;
        }
        Ok(())
    }

    /// Everybody takes back what they allowed, and what the application has for itself ends too.
    pub(super) async fn revoke_everything(&self) -> Result<(), SandboxError> {
        for (_, person) in &self.people {
            oauth2_server::disconnect(&self.ctx, person, &self.client)
                .await
                .map_err(SandboxError::provider)?;
        }
        oauth2_server::revoke_all(&self.ctx, SYSTEM, &self.client, None)
            .await
            .map_err(SandboxError::provider)
    }

    /// Ends it.
    pub(super) async fn stop(&self) {
        self.ctx.stop.cancel();
        self.server.stop(false).await;
        self.ctx.db.close().await;
    }

    /// Tells it to end, without waiting.
    pub(super) fn abandon(&self) {
        self.ctx.stop.cancel();
        // The command is sent at once; only its completion would have to be awaited.
        drop(self.server.stop(false));
    }
}

async fn register(ctx: &Ctx, new: NewClient) -> Result<(String, SecretString), SandboxError> {
    let made = oauth2_server::create(ctx, SYSTEM, new)
        .await
        .map_err(SandboxError::provider)?;
    Ok((made.client.id, made.secret.unwrap_or_default()))
}

/// Mailgrant, as an application of this provider.
fn application(setup: &Setup<'_>) -> NewClient {
    let mut redirect_uris = setup.redirect_urls.to_vec();
    if redirect_uris.is_empty() {
        // An application has one at least; nobody is ever sent here.
        redirect_uris.push(format!("{}/nowhere", setup.issuer));
    }
    NewClient {
        client_id: CLIENT_ID.to_owned(),
        fields: ClientFields {
            name: "Mailgrant".to_owned(),
            description: "Reads mail and makes tickets of it.".to_owned(),
            redirect_uris,
            grant_types: vec![
                GrantType::AuthorizationCode,
                GrantType::RefreshToken,
                GrantType::ClientCredentials,
            ],
            scopes: scopes(),
            // Quickly made, unlike a key for RS256: a demo starts in a second.
            id_token_alg: "ES256".to_owned(),
            access_seconds: setup.access_seconds,
            ..ClientFields::default()
        },
        ..NewClient::default()
    }
}

/// What the application asks for: who somebody is, their mail, and to stay connected.
pub(super) fn scopes() -> Vec<String> {
    [
        "openid",
        "profile",
        "email",
        MAIL_SCOPE.as_str(),
        "offline_access",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The mail server, which asks whose tokens are.
fn mail_server() -> NewClient {
    NewClient {
        client_id: MAIL_SERVER_ID.to_owned(),
        fields: ClientFields {
            name: "Sandbox mail server".to_owned(),
            grant_types: vec![GrantType::ClientCredentials],
            auth_method: ClientAuth::Post,
            may_introspect: true,
            ..ClientFields::default()
        },
        ..NewClient::default()
    }
}

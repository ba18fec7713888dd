//! Tests of the whole server without HTTP: where time passes, and where chance chooses.

mod anything;
mod changes;
mod conformance;
mod consents;
mod leaving;
mod limits;
mod people;
mod registering;
mod rounds;
mod rows;
mod time;

use secrecy::{ExposeSecret, SecretString};

use super::{
    AuthorizeRequest, Client, ClientAuth, ClientFields, Fields, Given, GrantType, Issued, NewClient,
    OAuthError, Pending, Step, TokenUse,
};
use crate::account::tests::{TestPlace, ada, place};
use crate::account::{self, Session, User};
use crate::ctx::Ctx;

const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BROWSER: &str = "a browser";

/// A server with a person at a browser.
struct World {
    ctx: Ctx,
    user: User,
    session: Session,
    _place: TestPlace,
}

impl World {
    async fn new() -> Self {
        let place = place().await;
        let ctx = place.ctx.clone();
        let user = account::create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap();
        let session = account::start(&ctx.db, &ctx.clock, &user.id, None)
            .await
            .unwrap()
            .session;
        Self {
            ctx,
            user,
            session,
            _place: place,
        }
    }

    async fn client(&self, change: impl FnOnce(&mut ClientFields)) -> Client {
        let mut fields = ClientFields {
            name: "App".into(),
            redirect_uris: vec![CALLBACK.into()],
            scopes: words("openid profile offline_access tickets:read tickets:write projects:read"),
            grant_types: vec![
                GrantType::AuthorizationCode,
                GrantType::RefreshToken,
                GrantType::ClientCredentials,
                GrantType::DeviceCode,
            ],
            ..ClientFields::default()
        };
        change(&mut fields);
        let new = NewClient {
            fields,
            ..NewClient::default()
        };
        super::create(&self.ctx, "cli", new).await.unwrap().client
    }

    /// Checks a request and puts it aside, as the endpoint does.
    async fn ask(&self, client: &Client, more: &[(&str, &str)]) -> Result<Pending, OAuthError> {
        let mut params = vec![
            ("response_type", "code"),
            ("client_id", client.client_id.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        params.extend(more);
        let params: Vec<(String, String)> = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (client, request) = super::check(&self.ctx, &params).await.map_err(said)?;
        self.put_aside(&client, request).await
    }

    async fn put_aside(&self, client: &Client, request: AuthorizeRequest) -> Result<Pending, OAuthError> {
        let id = super::put_aside(&self.ctx, client, request, BROWSER)
            .await
            .map_err(said)?;
        super::take(&self.ctx, &id, BROWSER).await.map_err(said)
    }

    async fn allow(&self, pending: &Pending, scopes: &str, projects: &[String]) -> Result<Given, OAuthError> {
        self.allow_for(pending, scopes, projects, None).await
    }

    /// The same for so many seconds.
    async fn allow_for(
        &self,
        pending: &Pending,
        scopes: &str,
        projects: &[String],
        seconds: Option<i64>,
    ) -> Result<Given, OAuthError> {
        let allowed = super::Allowed {
            scopes: words(scopes),
            projects: projects.to_vec(),
            seconds,
        };
        super::allow(&self.ctx, pending, &self.session, &self.user, allowed)
            .await
            .map_err(said)
    }

    /// A code for all that is asked.
    async fn code(&self, client: &Client, scopes: &str) -> SecretString {
        let pending = self.ask(client, &[("scope", scopes)]).await.unwrap();
        match self.allow(&pending, scopes, &[]).await.unwrap() {
            Given::Reply(reply) => reply.code,
            Given::Device => panic!("no device asked"),
        }
    }

    async fn token(&self, client: &Client, fields: &[(&str, &str)]) -> Result<Issued, OAuthError> {
        super::token(&self.ctx, client, &form(fields), None).await
    }

    async fn redeem(&self, client: &Client, code: &SecretString) -> Result<Issued, OAuthError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.token(client, &fields).await
    }

    async fn refresh(&self, client: &Client, token: &SecretString) -> Result<Issued, OAuthError> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose_secret()),
        ];
        self.token(client, &fields).await
    }

    async fn is_live(&self, token: &SecretString) -> bool {
        super::authenticate(&self.ctx, token).await.unwrap().is_some()
    }

    /// What userinfo answers to a token, where nothing is signed.
    async fn told(&self, token: &TokenUse) -> serde_json::Value {
        match super::userinfo(&self.ctx, token).await.unwrap() {
            super::UserInfo::Plain(told) => told,
            super::UserInfo::Signed(token) => panic!("signed: {token}"),
        }
    }

    fn later(&self, seconds: i64) {
        self.ctx.clock.advance(chrono::Duration::seconds(seconds));
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn form(fields: &[(&str, &str)]) -> Fields {
    let fields = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Fields::new(fields).unwrap()
}

fn said(refused: super::Refused) -> OAuthError {
    match refused {
        super::Refused::Page(error) | super::Refused::Redirect(_, error) => error,
    }
}

fn code_of(result: Result<Issued, OAuthError>) -> &'static str {
    result.err().map_or("given", |error| error.code)
}

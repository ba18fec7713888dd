//! Who sends a request to the token endpoint and its neighbours: a client with a secret, one that signs an assertion
//! (RFC 7523, section 2.2), or one that can prove nothing.

use std::sync::Arc;

use secrecy::SecretString;

use super::client::is_secret;
use super::error::OAuthError;
use super::model::{Client, ClientAuth, ClientState};
use super::store::{self, client_keys as seen};
use super::{client_keys, metadata, rounds};
use crate::crypto::{Unproven, sha256_hex};
use crate::ctx::Ctx;
use crate::db::Version;

/// The one kind of assertion that authenticates a client.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion ends at most so long after now.
const ASSERTION_MS: i64 = 5 * 60_000;
/// Clocks differ by so much.
const SKEW_MS: i64 = 30_000;

/// What a request says about the client that sends it.
#[derive(Debug, Default)]
pub struct Credentials {
    /// From `Authorization: Basic`, decoded.
    pub basic: Option<(String, SecretString)>,
    /// `client_id` of the body.
    pub body_id: Option<String>,
    /// `client_secret` of the body.
    pub body_secret: Option<SecretString>,
    /// `client_assertion_type` of the body.
    pub assertion_type: Option<String>,
    /// `client_assertion` of the body.
    pub assertion: Option<SecretString>,
    /// The address of the endpoint that was asked.
    pub endpoint: String,
}

impl Credentials {
    /// Who the client says it is; nothing is proven.
    pub fn claimed_id(&self) -> String {
        use secrecy::ExposeSecret;
        if let Some((id, _)) = &self.basic {
            return id.clone();
        }
        if let Some(id) = &self.body_id {
            return id.clone();
        }
        let assertion = self.assertion.as_ref();
        assertion
            .and_then(|assertion| Unproven::read(assertion.expose_secret()))
            .and_then(|read| read.text("sub").map(str::to_owned))
            .unwrap_or_default()
    }
}

fn wrong() -> OAuthError {
    OAuthError::invalid_client("the client is unknown, or its credentials are wrong")
}

/// The client a request comes from, as it is at this version of the database ([`super::version`]); with none it is read.
///
/// # Errors
/// `invalid_client` (401) if it does not prove that it is itself, `invalid_request` if it tries in two ways.
pub async fn authenticate_client(
    ctx: &Ctx,
    credentials: &Credentials,
    at: Option<&Version>,
) -> Result<Arc<Client>, OAuthError> {
    let ways = [
        credentials.basic.is_some(),
        credentials.body_secret.is_some(),
        credentials.assertion.is_some() || credentials.assertion_type.is_some(),
    ];
    if ways.iter().filter(|used| **used).count() > 1 {
        return Err(OAuthError::invalid_request(
            "the client authenticates in two ways; use one",
        ));
    }
    let client = match credentials {
        Credentials {
            assertion_type: None,
            assertion: None,
            ..
        } => by_secret(ctx, credentials, at).await?,
        Credentials {
            assertion_type: Some(kind),
            assertion: Some(assertion),
            ..
        } if kind == ASSERTION_TYPE => by_assertion(ctx, credentials, assertion).await?.into(),
        _ => {
            return Err(OAuthError::invalid_client(
                "client_assertion and client_assertion_type of the kind jwt-bearer go together",
            ));
        }
    };
    if client.state != ClientState::Approved {
        return Err(wrong());
    }
    Ok(client)
}

async fn by_secret(
    ctx: &Ctx,
    credentials: &Credentials,
    at: Option<&Version>,
) -> Result<Arc<Client>, OAuthError> {
    let (client_id, secret, method) = match credentials {
        Credentials {
            basic: Some((id, secret)),
            body_id,
            ..
        } => {
            if body_id.as_ref().is_some_and(|body| body != id) {
                return Err(OAuthError::invalid_request(
                    "client_id names another client than the header",
                ));
            }
            (id, Some(secret), ClientAuth::Basic)
        }
        Credentials {
            body_id: Some(id),
            body_secret: Some(secret),
            ..
        } => (id, Some(secret), ClientAuth::Post),
        Credentials {
            body_id: Some(id), ..
        } => (id, None, ClientAuth::None),
        _ => return Err(OAuthError::invalid_client("the client does not say who it is")),
    };
    let found = rounds::client(ctx, at, client_id).await?;
    let live = || found.live(ctx.clock.now_ms());
    let proven = secret.is_some_and(|secret| is_secret(live(), secret));
    let client = found.client.ok_or_else(wrong)?;
    let is_good = match client.auth_method {
        ClientAuth::None => method == ClientAuth::None,
        ClientAuth::PrivateKeyJwt => false,
        ClientAuth::Basic | ClientAuth::Post => method == client.auth_method && proven,
    };
    if is_good { Ok(client) } else { Err(wrong()) }
}

async fn by_assertion(
    ctx: &Ctx,
    credentials: &Credentials,
    assertion: &SecretString,
) -> Result<Client, OAuthError> {
    use secrecy::ExposeSecret;
    let read = Unproven::read(assertion.expose_secret()).ok_or_else(wrong)?;
    let client_id = read.text("iss").ok_or_else(wrong)?;
    if read.text("sub") != Some(client_id) {
        return Err(wrong());
    }
    if credentials
        .body_id
        .as_deref()
        .is_some_and(|body| body != client_id)
    {
        return Err(OAuthError::invalid_request(
            "client_id names another client than the assertion",
        ));
    }
    let client = store::client_by_client_id(ctx.db.read(), client_id)
        .await?
        .filter(|client| client.auth_method == ClientAuth::PrivateKeyJwt)
        .ok_or_else(wrong)?;
    if !matches!(read.typ().as_str(), "" | "jwt" | "client-authentication+jwt") {
        return Err(wrong());
    }
    if !client_keys::signed(ctx, &client, &read, &client.protocol.auth_signing_alg).await? {
        return Err(wrong());
    }
    let now = ctx.clock.now_ms();
    let (jti, ends) = claims(ctx, &read, &credentials.endpoint, now)
        .map_err(|why| OAuthError::invalid_client(&format!("the assertion does not hold: {why}")))?;
    let id = sha256_hex(format!("assertion {} {jti}", client.id).as_bytes());
    if !seen::see_once(ctx.db.write(), &id, ends + SKEW_MS).await? {
        return Err(OAuthError::invalid_client(
            "the assertion does not hold: its jti was used before",
        ));
    }
    Ok(client)
}

/// The `jti` of an assertion whose signature holds, and its end. What is wrong is told: only the client's own key gets
/// as far as here.
fn claims<'a>(
    ctx: &Ctx,
    read: &'a Unproven,
    endpoint: &str,
    now: i64,
) -> Result<(&'a str, i64), &'static str> {
    // One audience only: with a second one, somebody else could use it here (or here somebody could there).
    let audience = match read.claim("aud") {
        Some(serde_json::Value::String(one)) => one.as_str(),
        Some(serde_json::Value::Array(list)) => match list.as_slice() {
            [one] => one.as_str().unwrap_or_default(),
            _ => return Err("aud must name this server and nobody else"),
        },
        _ => return Err("aud is missing"),
    };
    let known = [
        metadata::issuer(&ctx.config),
        ctx.config.url("/oauth2/token"),
        endpoint.to_owned(),
    ];
    if !known.iter().any(|one| one == audience) {
        return Err("aud must be the issuer or the address of the endpoint");
    }
    let ends = read.time_ms("exp").ok_or("exp is missing")?;
    if ends.saturating_add(SKEW_MS) <= now {
        return Err("it is over");
    }
    if ends > now + ASSERTION_MS + SKEW_MS {
        return Err("exp lies more than five minutes ahead");
    }
    for name in ["iat", "nbf"] {
        if read.claim(name).is_some() && read.time_ms(name).is_none_or(|time| time > now + SKEW_MS) {
            return Err("iat or nbf lies ahead");
        }
    }
    match read.text("jti") {
        Some(jti) if (1..=256).contains(&jti.len()) => Ok((jti, ends)),
        _ => Err("jti is missing, or longer than 256 characters"),
    }
}

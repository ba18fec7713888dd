//! Signing out of applications (OpenID Connect RP-Initiated, Front-Channel and Back-Channel Logout): what a request to
//! sign out may do, whom a session signed in to, and telling them that it ended.

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::error::OAuthError;
use super::model::{Client, ClientState, Family};
use super::store::{self, logout};
use super::{authorize, client_keys, keys, metadata, redirect};
use crate::account::{self, Session};
use crate::crypto::random_token;
use crate::ctx::Ctx;
use crate::db::{Claim, Lease, claim};
use crate::event::{self, NewEvent, SYSTEM};
use crate::id;
use crate::net::{HttpMethod, HttpRequest};

/// A logout token is good for so long.
const TOKEN_SECONDS: i64 = 120;
/// Pauses after failed attempts; when none is left the application is given up.
const PAUSES_MS: [i64; 7] = [
    5_000,
    30_000,
    120_000,
    600_000,
    3_600_000,
    6 * 3_600_000,
    24 * 3_600_000,
];
/// How long an application may take to answer.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(10);
/// How long a claim on one lasts.
const LEASE_MS: i64 = 60_000;
/// Applications told at once.
const AT_ONCE: u32 = 16;

/// Notes that the session behind a family signs in to its client: the client is told when it ends. A device has none.
pub(super) async fn join(ctx: &Ctx, client: &Client, family: &Family) -> Result<(), sea_orm::DbErr> {
    if family.sign_in.sid.is_empty() {
        return Ok(());
    }
    let joined = logout::Joined {
        client: client.id.clone(),
        user_id: family.user_id.clone(),
        sid: family.sign_in.sid.clone(),
    };
    logout::join(ctx.db.write(), &joined, ctx.clock.now_ms()).await
}

/// Forgets sessions that ended by themselves. To be called before they are deleted.
pub async fn forget_expired(ctx: &Ctx) -> Result<(), sea_orm::DbErr> {
    let now = ctx.clock.now_ms();
    let idle = account::IDLE_MINUTES * 60_000;
    logout::forget_expired(ctx.db.write(), now, now - idle).await
}

/// An application that is told of sign-outs: to one that waits for approval or is switched off nothing is sent.
async fn listening<C: ConnectionTrait>(on: &C, client: &str) -> Result<Option<Client>, sea_orm::DbErr> {
    let client = store::client(on, client).await?;
    Ok(client.filter(|client| client.state == ClientState::Approved))
}

/// What a request to sign out comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignOut {
    /// The client that sends it; none if it does not say so.
    pub client: Option<String>,
    /// Its name.
    pub client_name: String,
    /// Where the browser goes afterwards: an address that is registered for the client, its state added.
    pub then: Option<String>,
    /// The person must be asked: nothing proves that the client has to do with this session.
    pub must_ask: bool,
}

/// Checks a request to sign out (RP-Initiated Logout, section 2). `session` is the browser's.
///
/// # Errors
/// What is shown instead; nothing is redirected then, and nobody is signed out.
pub async fn check(
    ctx: &Ctx,
    params: &[(String, String)],
    session: Option<&Session>,
) -> Result<SignOut, OAuthError> {
    if authorize::is_twice(params) {
        return Err(OAuthError::invalid_request("a parameter is sent twice"));
    }
    let get = |name: &str| {
        params
            .iter()
            .find(|(have, value)| have == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    };
    let hint = match get("id_token_hint") {
        Some(token) => Some(hinted(ctx, token).await?),
        None => None,
    };
    let named = get("client_id");
    if let (Some(hint), Some(named)) = (&hint, named)
        && !hint.audience.iter().any(|audience| audience == named)
    {
        return Err(OAuthError::invalid_request(
            "id_token_hint was issued to another client",
        ));
    }
    let client_id = named.or_else(|| {
        hint.as_ref()
            .and_then(|hint| hint.audience.first().map(String::as_str))
    });
    let client = match client_id {
        Some(client_id) => store::client_by_client_id(ctx.db.read(), client_id).await?,
        None => None,
    };
    // Nobody looked at a client that waits, and one that is switched off sends nobody anywhere.
    let client = client.filter(|client| client.state == ClientState::Approved);
    if client_id.is_some() && client.is_none() {
        return Err(OAuthError::invalid_request(
            "there is no such client, or it is not approved",
        ));
    }
    let then = match (get("post_logout_redirect_uri"), &client) {
        (None, _) => None,
        (Some(_), None) => {
            return Err(OAuthError::invalid_request(
                "post_logout_redirect_uri needs id_token_hint or client_id beside it",
            ));
        }
        (Some(asked), Some(client)) => {
            let known = &client.protocol.post_logout_redirect_uris;
            if !redirect::matches(client.application_type, known, asked) {
                return Err(OAuthError::invalid_request(
                    "post_logout_redirect_uri is not one that is registered for this client, to the letter",
                ));
            }
            Some(with_state(asked, get("state")))
        }
    };
    let proves = match (&hint, session) {
        (Some(hint), Some(session)) => hint.is_proven && hint.subject == session.user_id,
        (Some(hint), None) => hint.is_proven,
        (None, _) => false,
    };
    Ok(SignOut {
        client: client.as_ref().map(|client| client.id.clone()),
        client_name: client.map(|client| client.name.clone()).unwrap_or_default(),
        then,
        must_ask: !proves,
    })
}

struct Hint {
    subject: String,
    audience: Vec<String>,
    /// Whether a published key of ours signed it.
    is_proven: bool,
}

/// An ID token of ours, however old. Where its key is published no more it names the client, as `client_id` would, and
/// proves nothing.
async fn hinted(ctx: &Ctx, token: &str) -> Result<Hint, OAuthError> {
    let wrong = || OAuthError::invalid_request("id_token_hint is not an ID token of this server");
    let proven = keys::id_token(ctx, token).await?;
    let is_proven = proven.is_some();
    let read = match proven {
        Some(read) => read,
        None => keys::outlived(ctx, token).await?.ok_or_else(wrong)?,
    };
    let audience = match read.claim("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return Err(wrong()),
    };
    Ok(Hint {
        subject: read.text("sub").map(str::to_owned).ok_or_else(wrong)?,
        audience,
        is_proven,
    })
}

fn with_state(uri: &str, state: Option<&str>) -> String {
    let Some(state) = state else {
        return uri.to_owned();
    };
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("state", state)
        .finish();
    let separator = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{uri}{separator}{query}")
}

/// An address to be loaded in a frame, so that an application forgets the browser.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Frame {
    /// The application's name.
    pub name: String,
    /// The address, with `iss` and `sid` where the application wants them.
    pub url: String,
}

/// Ends a session's ties to its applications: those with a back channel are queued, those with a front channel are
/// returned. The session itself is the caller's to end.
pub async fn leave(ctx: &Ctx, session: &Session) -> Result<Vec<Frame>, sea_orm::DbErr> {
    let now = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    let joined = logout::take_session(&txn, &session.sid).await?;
    let mut frames = Vec::new();
    for one in &joined {
        let Some(client) = listening(&txn, &one.client).await? else {
            continue;
        };
        if !client.protocol.backchannel_logout_uri.is_empty() {
            logout::enqueue(&txn, &id::new("lgo", &ctx.clock), one, now).await?;
        }
        if let Some(url) = frame(ctx, &client, &one.sid) {
            frames.push(Frame {
                name: client.name.clone(),
                url,
            });
        }
    }
    txn.commit().await?;
    Ok(frames)
}

fn frame(ctx: &Ctx, client: &Client, sid: &str) -> Option<String> {
    let uri = client.protocol.frontchannel_logout_uri.as_str();
    if uri.is_empty() {
        return None;
    }
    let mut url = url::Url::parse(uri).ok()?;
    if client.protocol.frontchannel_logout_session_required {
        url.query_pairs_mut()
            .append_pair("iss", &metadata::issuer(&ctx.config))
            .append_pair("sid", sid);
    }
    Some(url.into())
}

/// Queues what ended elsewhere: sessions that were ended, people who were switched off. True if there was something.
pub async fn collect(ctx: &Ctx) -> Result<bool, sea_orm::DbErr> {
    let now = ctx.clock.now_ms();
    if !logout::is_any_ended(ctx.db.read()).await? {
        return Ok(false);
    }
    let txn = ctx.db.begin().await?;
    let joined = logout::take_ended(&txn).await?;
    for one in &joined {
        let client = listening(&txn, &one.client).await?;
        if client.is_some_and(|client| !client.protocol.backchannel_logout_uri.is_empty()) {
            logout::enqueue(&txn, &id::new("lgo", &ctx.clock), one, now).await?;
        }
    }
    txn.commit().await?;
    Ok(!joined.is_empty())
}

/// Claims applications that are to be told now.
pub async fn due(ctx: &Ctx) -> Result<Vec<Lease>, sea_orm::DbErr> {
    let now = ctx.clock.now_ms();
    if !logout::is_any_due(ctx.db.read(), now).await? {
        return Ok(Vec::new());
    }
    let what = Claim {
        table: "oauth2_logouts",
        key: "id",
        due: "next_at <= $4",
        holder: &ctx.holder,
        now,
        lasts: LEASE_MS,
        limit: AT_ONCE,
    };
    claim(&ctx.db, &what).await
}

/// Tells one application that a session ended, and notes what came of it.
pub async fn tell(ctx: &Ctx, lease: &Lease) -> Result<(), OAuthError> {
    let Some(found) = logout::by_id(ctx.db.read(), &lease.id).await? else {
        return Ok(());
    };
    let Some(client) = listening(ctx.db.read(), &found.client).await? else {
        logout::done(ctx.db.write(), &lease.id, lease.number).await?;
        return Ok(());
    };
    let outcome = send(ctx, &client, &found).await;
    let write = ctx.db.write();
    let Err(why) = outcome else {
        logout::done(write, &lease.id, lease.number).await?;
        return Ok(());
    };
    let attempt = usize::try_from(found.attempts).unwrap_or(usize::MAX);
    if let Some(pause) = PAUSES_MS.get(attempt) {
        let next = ctx.clock.now_ms() + pause;
        logout::put_off(write, &lease.id, lease.number, next, &why).await?;
        return Ok(());
    }
    let txn = ctx.db.begin().await?;
    if logout::done(&txn, &lease.id, lease.number).await? {
        let event = NewEvent {
            kind: "client.logout_failed",
            project_id: &client.project_id,
            subject_id: &client.id,
            actor: SYSTEM,
            data: json!({ "clientId": client.client_id, "userId": found.user_id, "why": why }),
        };
        event::append(&txn, &ctx.clock, event).await?;
    }
    txn.commit().await?;
    tracing::warn!(
        client = client.id,
        why,
        "an application was not told that a session ended"
    );
    Ok(())
}

/// Sends a logout token (Back-Channel Logout, section 2.5).
async fn send(ctx: &Ctx, client: &Client, found: &logout::Logout) -> Result<(), String> {
    let uri = &client.protocol.backchannel_logout_uri;
    if uri.is_empty() {
        return Ok(());
    }
    let token = token(ctx, client, found)
        .await
        .map_err(|error| error.to_string())?;
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", &token)
        .finish();
    let request = HttpRequest {
        method: HttpMethod::Post,
        url: uri,
        headers: &[("content-type", "application/x-www-form-urlencoded")],
        body: body.into_bytes(),
    };
    let dialer = client_keys::dialer(ctx, client)
        .await
        .map_err(|_| "it was not tried".to_owned())?;
    let http = dialer.http().with_body_limit(16 * 1024).with_timeout(ANSWER);
    match http.send_clipped(request).await {
        Ok(answer) if matches!(answer.response.status, 200..=299) => Ok(()),
        Ok(answer) => Err(format!("it answered {}", answer.response.status)),
        Err(error) => {
            // To which addresses its name leads is for the log: who manages a client is no admin of this network.
            tracing::info!(client = client.id, %error, "an application cannot be told that a session ended");
            Err("it could not be reached".to_owned())
        }
    }
}

async fn token(ctx: &Ctx, client: &Client, found: &logout::Logout) -> Result<String, OAuthError> {
    let now = ctx.clock.now_ms() / 1000;
    let claims = json!({
        "iss": metadata::issuer(&ctx.config),
        "sub": found.user_id,
        "aud": client.client_id,
        "iat": now,
        "exp": now + TOKEN_SECONDS,
        "jti": random_token(16),
        "sid": found.sid,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    let signer = keys::signer(ctx, &client.id_token_alg).await?;
    signer.sign("logout+jwt", &claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_added_and_the_query_stays() {
        assert_eq!(with_state("https://a.example/x", None), "https://a.example/x");
        assert_eq!(
            with_state("https://a.example/x", Some("a b")),
            "https://a.example/x?state=a+b"
        );
        assert_eq!(
            with_state("https://a.example/x?y=1", Some("s")),
            "https://a.example/x?y=1&state=s"
        );
    }
}

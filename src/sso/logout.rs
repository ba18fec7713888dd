//! Signing out on both sides (OpenID Connect RP-Initiated, Front-Channel and Back-Channel Logout 1.0).

use openidconnect::JsonWebKey;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use url::Url;

use super::discovery::{self, Metadata};
use super::error::SsoError;
use super::flow::Given;
use super::id_token::{algorithm, key_for};
use super::model::{IdentityProvider, Kept, SessionLink};
use super::store::attempts::LogoutToken;
use super::store::people::Meant;
use super::strict;
use super::{recheck, store};
use crate::account;
use crate::audit::{self, NewAuditEvent};
use crate::crypto::sha256_hex;
use crate::ctx::Ctx;

/// Clocks may differ by this much, seconds.
const SKEW: f64 = 60.0;
/// A logout token is for now, seconds.
const OLDEST: f64 = 600.0;
/// How long a logout token is remembered after its end.
const MEMORY_MS: i64 = 3_600_000;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Where to send a browser whose session here just ended, so that it ends at the provider as well; none if the session
/// did not begin there, or the provider has no such place or cannot say so.
pub async fn end_session_url(ctx: &Ctx, session_id: &str) -> Result<Option<Url>, SsoError> {
    let Some((link, id_token)) = store::people::session(ctx, ctx.db.read(), session_id).await? else {
        return Ok(None);
    };
    let Some(provider) = store::one(ctx.db.read(), &link.provider_id).await? else {
        return Ok(None);
    };
    // A provider that is down keeps nobody from signing out here.
    let Ok(metadata) = discovery::metadata(ctx, &provider).await else {
        return Ok(None);
    };
    let Ok(mut url) = Url::parse(&metadata.end_session_endpoint) else {
        return Ok(None);
    };
    let mut query = url.query_pairs_mut();
    query.append_pair("client_id", &provider.connection.client_id);
    query.append_pair("post_logout_redirect_uri", &ctx.config.url("/sign-in"));
    if let Ok(id_token) = id_token
        && !id_token.expose_secret().is_empty()
    {
        query.append_pair("id_token_hint", id_token.expose_secret());
    }
    drop(query);
    Ok(Some(url))
}

/// A page of the provider says that a session there ended: ends the sessions here that belong to it, and says how many.
/// Only who knows the session's name ends it; a cookie plays no part.
pub async fn front_channel(ctx: &Ctx, id: &str, issuer: &str, sid: &str) -> Result<u64, SsoError> {
    let provider = super::service::get(ctx, id).await?;
    if sid.is_empty() || issuer.is_empty() || !is_issuer(&provider, issuer) {
        return Ok(0);
    }
    // Nothing is noted of it for sessions to come: anybody can write such an address.
    end(ctx, &provider, issuer, Meant::Sid(sid), None).await
}

/// The origin that may show the front-channel page in a frame.
pub async fn frame_origin(ctx: &Ctx, id: &str) -> Result<String, SsoError> {
    let provider = super::service::get(ctx, id).await?;
    Ok(discovery::origin(&provider.connection.issuer))
}

fn is_issuer(provider: &IdentityProvider, issuer: &str) -> bool {
    let own = &provider.connection.issuer;
    match own.split_once(discovery::TENANT) {
        Some((before, after)) => issuer.starts_with(before) && issuer.ends_with(after),
        None => own == issuer,
    }
}

/// Why a logout token is not believed. The sessions stay.
#[derive(Debug, thiserror::Error)]
pub enum LogoutError {
    /// The token is not good.
    #[error("{0}")]
    Refused(&'static str),
    /// The provider's keys cannot be had now.
    #[error("the provider's keys cannot be had at the moment")]
    Unavailable,
    /// Something of ours failed.
    #[error(transparent)]
    Failed(#[from] SsoError),
}

impl From<sea_orm::DbErr> for LogoutError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Failed(error.into())
    }
}

/// The provider says that a session, or every session of somebody, ended there: ends those here, and says how many.
///
/// # Errors
/// Why the token is not believed.
pub async fn back_channel(ctx: &Ctx, id: &str, token: &SecretString) -> Result<u64, LogoutError> {
    let provider = super::service::get(ctx, id).await?;
    let claims = believe(ctx, &provider, token).await?;
    let text = |name: &str| match claims.get(name) {
        None => Ok(""),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= 255 => Ok(text.as_str()),
        Some(_) => Err(LogoutError::Refused("sub, sid and jti are texts")),
    };
    let (subject, sid, jti) = (text("sub")?, text("sid")?, text("jti")?);
    let meant = match (subject, sid) {
        ("", "") => return Err(LogoutError::Refused("neither sub nor sid")),
        (subject, "") => Meant::Subject(subject),
        ("", sid) => Meant::Sid(sid),
        (subject, sid) => Meant::SidOf(sid, subject),
    };
    if jti.is_empty() {
        return Err(LogoutError::Refused("no jti"));
    }
    let issuer = text("iss")?;
    let token = LogoutToken {
        jti_hash: sha256_hex(jti.as_bytes()),
        issuer,
        sid,
        subject,
        issued_at: whole_seconds(&claims, "iat"),
        arrived_at: ctx.clock.now_ms(),
        expires_at: ctx.clock.now_ms() + MEMORY_MS,
    };
    match end(ctx, &provider, issuer, meant, Some(token)).await {
        Err(SsoError::Conflict) => Err(LogoutError::Refused("this token came before")),
        other => Ok(other?),
    }
}

/// The claims of a token that this provider signed, for us, now, to say that somebody signed out.
async fn believe(
    ctx: &Ctx,
    provider: &IdentityProvider,
    token: &SecretString,
) -> Result<Map<String, Value>, LogoutError> {
    let refused = LogoutError::Refused;
    let token = token.expose_secret();
    let parts = strict::parts(token).ok_or(refused("not a signed token"))?;
    let metadata = discovery::metadata(ctx, provider)
        .await
        .map_err(|_| LogoutError::Unavailable)?;
    let word = |name: &str| parts.header.get(name).and_then(Value::as_str);
    let typ = word("typ").unwrap_or("logout+jwt").to_ascii_lowercase();
    if !matches!(typ.as_str(), "logout+jwt" | "application/logout+jwt" | "jwt") {
        return Err(refused("not a logout token by its typ"));
    }
    if ["jwk", "jku", "x5u", "x5c", "crit"]
        .iter()
        .any(|name| parts.header.contains_key(*name))
    {
        return Err(refused("a header that is not accepted"));
    }
    let alg = word("alg")
        .and_then(algorithm)
        .filter(|alg| metadata.algs.contains(alg))
        .ok_or(refused("an algorithm that is not accepted"))?;
    check_claims(ctx, provider, &metadata, &parts.claims)?;
    let mut why = "an unknown key";
    for which in [discovery::Keys::Kept, discovery::Keys::AnewForStranger] {
        let keys = discovery::keys(ctx, provider, &metadata, which)
            .await
            .map_err(|_| LogoutError::Unavailable)?;
        if let Some(key) = key_for(&parts.header, &keys, &alg) {
            match key.verify_signature(&alg, parts.signed.as_bytes(), &parts.signature) {
                Ok(()) => return Ok(parts.claims.clone()),
                Err(_) => why = "the signature does not hold",
            }
        }
    }
    Err(refused(why))
}

fn check_claims(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    claims: &Map<String, Value>,
) -> Result<(), LogoutError> {
    let refused = |why| Err(LogoutError::Refused(why));
    let own = &provider.connection.client_id;
    let issuer = discovery::issuer_of(&provider.connection, metadata, claims);
    if issuer.is_none() || claims.get("iss").and_then(Value::as_str) != issuer.as_deref() {
        return refused("another issuer");
    }
    let for_us = match claims.get("aud") {
        Some(Value::String(aud)) => aud == own,
        Some(Value::Array(list)) => list.len() == 1 && list.first().and_then(Value::as_str) == Some(own),
        _ => false,
    };
    if !for_us {
        return refused("another audience");
    }
    if claims.contains_key("nonce") {
        return refused("a nonce, which only ID tokens have");
    }
    let says_so = claims
        .get("events")
        .and_then(|events| events.get(EVENT))
        .is_some_and(Value::is_object);
    if !says_so {
        return refused("no logout event");
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let now = ctx.clock.now().timestamp() as f64;
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    match (seconds("iat"), seconds("exp")) {
        (Some(iat), _) if iat - now > SKEW || now - iat > OLDEST => refused("made at another time"),
        (Some(_), Some(exp)) if now - exp > SKEW => refused("over"),
        (Some(_), Some(_)) => Ok(()),
        // The first version of the standard had no `exp`; then its `iat` has to do.
        (Some(_), None) if !claims.contains_key("exp") => Ok(()),
        _ => refused("no time"),
    }
}

/// A claim that is a time, in whole seconds; 0 if it is none.
pub(super) fn whole_seconds(claims: &Map<String, Value>, name: &str) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a part of a second decides nothing"
    )]
    let whole = |at: f64| at as i64;
    let at = claims.get(name);
    at.and_then(|at| at.as_i64().or_else(|| at.as_f64().map(whole)))
        .unwrap_or(0)
}

/// Ends what is meant, in one transaction with the note that this token came: a session that is written meanwhile is seen
/// here, or sees the note.
pub(super) async fn end(
    ctx: &Ctx,
    provider: &IdentityProvider,
    issuer: &str,
    meant: Meant<'_>,
    token: Option<LogoutToken<'_>>,
) -> Result<u64, SsoError> {
    let tx = ctx.db.begin().await?;
    store::hold(&tx, &provider.id).await?;
    if let Some(token) = token
        && !store::attempts::first_time(&tx, &provider.id, token).await?
    {
        return Err(SsoError::Conflict);
    }
    let mut ended = 0;
    for (session_id, user_id) in store::people::sessions(&tx, &provider.id, issuer, meant).await? {
        end_one(ctx, &tx, provider, (&session_id, &user_id), recheck::SIGNED_OUT).await?;
        ended += 1;
    }
    tx.commit().await?;
    Ok(ended)
}

/// Ends a session because its provider wants it so, and keeps why for its person.
pub(super) async fn end_one<C: sea_orm::ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    provider: &IdentityProvider,
    (session_id, user_id): (&str, &str),
    code: &str,
) -> Result<(), SsoError> {
    account::end_in(on, session_id).await?;
    let now = ctx.clock.now_ms();
    store::checks::insert_ending(on, session_id, &provider.name, code, now).await?;
    let event = NewAuditEvent::new("session.ended", "user", user_id)
        .by(&provider.id)
        .saying(json!({ "by": "identity provider", "code": code }));
    audit::append(on, &ctx.clock, event).await?;
    Ok(())
}

/// Ties a session that just began to the one at the provider.
///
/// # Errors
/// [`SsoError::SignedOut`] if the provider ended that one since its person left for it.
pub async fn tie<C: sea_orm::ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    session_id: &str,
    link: &SessionLink,
    given: &Given,
) -> Result<(), SsoError> {
    let now = ctx.clock.now_ms();
    store::hold(on, &link.provider_id).await?;
    if store::attempts::is_signed_out(on, link, given.left_at, given.issued_at).await? {
        return Err(SsoError::SignedOut);
    }
    store::people::insert_session(ctx, on, session_id, link, &given.id_token, now).await?;
    Ok(store::checks::keep(ctx, on, session_id, &given.kept, given.checked_at, given.look_at).await?)
}

/// What a session here hangs on at a provider, to be tied to the session that follows it; none if it began here. A token that
/// cannot be opened any more is left out: signing out there then asks once more. In the transaction that ends the one and begins the other: what the provider is giving for it at this moment is not lost.
pub async fn tied<C: sea_orm::ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    session_id: &str,
) -> Result<Option<(SessionLink, Given)>, SsoError> {
    let now = ctx.clock.now_ms();
    let Some((link, id_token)) = store::people::session(ctx, on, session_id).await? else {
        return Ok(None);
    };
    // Before its sessions, as whoever ends them does.
    store::hold(on, &link.provider_id).await?;
    let Some(due) = store::checks::held(on, session_id).await? else {
        return Err(SsoError::SignedOut);
    };
    let kept = Kept {
        refresh_token: due.refresh_token(ctx, session_id).ok().flatten(),
        access_token: due.access_token(ctx, session_id).ok().flatten(),
        access_expires_at: due.access_expires_at,
    };
    let given = Given {
        id_token: id_token.unwrap_or_default(),
        kept,
        look_at: due.next_check_at,
        checked_at: due.checked_at,
        // It is there now; whatever ends it from here on meets the one that follows.
        left_at: now,
        issued_at: 0,
    };
    Ok(Some((link, given)))
}

/// Forgets by which accounts at providers somebody comes in, for they are removed. Who comes with one of them again is
/// somebody new.
pub async fn forget_person<C: sea_orm::ConnectionTrait>(on: &C, user_id: &str) -> Result<(), sea_orm::DbErr> {
    store::people::forget_person(on, user_id).await
}

//! What a token is worth: for our own API, for resource servers (RFC 7662), and its end (RFC 7009).

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::claims;
use super::error::OAuthError;
use super::issue::{ACCESS_PREFIX, REFRESH_PREFIX, subject};
use super::model::{Client, Legacy, TokenUse};
use super::store::{self, client_keys, tokens};
use super::token::Fields;
use super::{keys, metadata, rounds, scope};
use crate::account;
use crate::crypto::{Unproven, is_prefixed, sha256_hex};
use crate::ctx::Ctx;
use crate::db::Version;

/// Whether a text can be an access token of ours: shape and checksum, or a signed token.
pub fn is_access_token(text: &str) -> bool {
    is_prefixed(ACCESS_PREFIX, text) || (text.starts_with("eyJ") && text.split('.').count() == 3)
}

/// Whom a live access token speaks for; `None` for everything else. Its first use is noted: from then on the refresh
/// token that came with it counts as arrived.
pub async fn authenticate(ctx: &Ctx, token: &SecretString) -> Result<Option<Arc<TokenUse>>, sea_orm::DbErr> {
    let at = rounds::version(ctx).await;
    authenticate_at(ctx, at.as_ref(), token.expose_secret()).await
}

/// The same at a version of the database that this request was told.
async fn authenticate_at(
    ctx: &Ctx,
    at: Option<&Version>,
    text: &str,
) -> Result<Option<Arc<TokenUse>>, sea_orm::DbErr> {
    if !is_access_token(text) {
        return Ok(None);
    }
    // Signed tokens are stored by their hash as well: what is not there was not made here, whoever signed it. Those of a
    // key that is published no more end with it: resource servers refuse them, and so do we.
    if let Some(read) = Unproven::read(text)
        && !keys::is_published(ctx, read.kid().unwrap_or_default()).await?
    {
        return Ok(None);
    }
    let hash = sha256_hex(text.as_bytes());
    mark(ctx, &hash, rounds::access(ctx, at, &hash).await?).await
}

/// Notes the first use of a token, where somebody will ask for it.
async fn mark<T>(ctx: &Ctx, hash: &str, found: Option<(T, bool)>) -> Result<Option<T>, sea_orm::DbErr> {
    let Some((found, is_first_use)) = found else {
        return Ok(None);
    };
    if is_first_use {
        tokens::mark_used(ctx.db.write(), hash, ctx.clock.now_ms()).await?;
    }
    Ok(Some(found))
}

/// Whom an ID token speaks for at the API: one that a published key of ours signed, made for the API as well, of a client
/// whose legacy switch is still on, while the session it tells of goes on. `None` for everything else.
pub async fn authenticate_id_token(ctx: &Ctx, token: &SecretString) -> Result<Option<TokenUse>, OAuthError> {
    let text = token.expose_secret();
    let Some(read) = keys::id_token(ctx, text).await? else {
        return Ok(None);
    };
    let now = ctx.clock.now_ms();
    let api = metadata::api(&ctx.config);
    let said = |name: &str| read.text(name).unwrap_or_default();
    let audience = read.claim("aud").and_then(Value::as_array);
    let is_for_us = audience.is_some_and(|audience| audience.iter().any(|one| *one == api));
    if !is_for_us || read.time_ms("exp").is_none_or(|end| end <= now) {
        return Ok(None);
    }
    let hash = sha256_hex(text.as_bytes());
    let mut stored = tokens::access(ctx.db.read(), tokens::Kind::Id, &[&hash], now).await?;
    let Some(found) = mark(ctx, &hash, stored.remove(&hash)).await? else {
        return Ok(None);
    };
    let is_same = found.client_id == said("azp") && found.family.user_id == said("sub");
    let is_on = found.legacy.contains(&Legacy::IdTokenAtApi) && is_for_api(ctx, &found);
    let goes_on = account::goes_on(&ctx.db, &ctx.clock, &found.family.user_id, said("sid")).await?;
    Ok(Some(found).filter(|_| is_same && is_on && goes_on))
}

/// Whether a token may come in an address: one of a client whose legacy switch is on, dead or alive.
pub async fn may_travel_in_query(ctx: &Ctx, token: &SecretString) -> Result<bool, sea_orm::DbErr> {
    let text = token.expose_secret();
    if !is_access_token(text) {
        return Ok(false);
    }
    let legacy = tokens::legacy_of_access(ctx.db.read(), &sha256_hex(text.as_bytes())).await?;
    Ok(legacy.contains(&Legacy::TokenInQuery))
}

/// Whether a token may be used at the REST API.
pub fn is_for_api(ctx: &Ctx, token: &TokenUse) -> bool {
    token.family.audience == metadata::api(&ctx.config)
}

/// Answers an introspection, at the version of the database at which its client was found ([`super::version`]). Whoever
/// may not know gets the same answer as for a token that does not exist.
pub async fn introspect(
    ctx: &Ctx,
    client: &Client,
    fields: &Fields,
    at: Option<&Version>,
) -> Result<Value, OAuthError> {
    let inactive = || json!({ "active": false });
    let token = fields
        .get("token")
        .ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    if !client.is_confidential() {
        return Err(OAuthError::invalid_client(
            "a public client may not introspect tokens",
        ));
    }
    if is_prefixed(REFRESH_PREFIX, token) {
        return introspect_refresh(ctx, client, token).await;
    }
    let Some(found) = authenticate_at(ctx, at, token).await? else {
        return Ok(inactive());
    };
    if found.family.client != client.id && !client.may_introspect {
        return Ok(inactive());
    }
    let mut answer = Map::new();
    answer.insert("active".into(), true.into());
    answer.insert("scope".into(), scope::join(&found.scopes).into());
    answer.insert("client_id".into(), found.client_id.clone().into());
    let kind = if found.jkt.is_empty() { "Bearer" } else { "DPoP" };
    answer.insert("token_type".into(), kind.into());
    if !found.jkt.is_empty() {
        answer.insert("cnf".into(), json!({ "jkt": found.jkt }));
    }
    answer.insert("iat".into(), (found.issued_at / 1000).into());
    answer.insert("exp".into(), (found.expires_at / 1000).into());
    answer.insert("iss".into(), metadata::issuer(&ctx.config).into());
    answer.insert("aud".into(), found.family.audience.clone().into());
    let sub = match found.family.user_id.as_str() {
        "" => found.client_id.clone(),
        user => user.to_owned(),
    };
    answer.insert("sub".into(), sub.into());
    if !found.family.user_id.is_empty()
        && let Some(user) = account::get(&ctx.db, &found.family.user_id).await?
    {
        // Their name here is their address: said only where they allowed that.
        if found.scopes.iter().any(|scope| scope == "email") {
            answer.insert("username".into(), user.email.into());
        }
        if let Some(at) = found.family.sign_in.seconds() {
            answer.insert("auth_time".into(), at.into());
        }
        answer.insert("acr".into(), found.family.sign_in.acr().into());
    }
    Ok(Value::Object(answer))
}

/// The answer of an introspection as a signed token for the client that asked (RFC 9701).
pub async fn sign_introspection(ctx: &Ctx, client: &Client, answer: &Value) -> Result<String, OAuthError> {
    let alg = match client.protocol.introspection_alg.as_str() {
        "" => "RS256",
        alg => alg,
    };
    let claims = json!({
        "iss": metadata::issuer(&ctx.config),
        "aud": client.client_id,
        "iat": ctx.clock.now_ms() / 1000,
        "token_introspection": answer,
    });
    keys::signer(ctx, alg)
        .await?
        .sign("token-introspection+jwt", &claims)
}

async fn introspect_refresh(ctx: &Ctx, client: &Client, token: &str) -> Result<Value, OAuthError> {
    let inactive = json!({ "active": false });
    let now = ctx.clock.now_ms();
    let Some(row) = tokens::refresh(ctx.db.read(), &sha256_hex(token.as_bytes())).await? else {
        return Ok(inactive);
    };
    let Some(family) = tokens::family(ctx.db.read(), &row.family_id).await? else {
        return Ok(inactive);
    };
    let is_live =
        row.state == "live" && row.expires_at > now && family.revoked_at.is_none() && family.expires_at > now;
    // A refresh token is its client's alone: no resource server has a use for it.
    if !is_live || family.client != client.id {
        return Ok(inactive);
    }
    Ok(json!({
        "active": true,
        "scope": scope::join(&family.scopes),
        "client_id": client.client_id,
        "sub": subject(client, &family),
        "exp": row.expires_at / 1000,
        "iss": metadata::issuer(&ctx.config),
    }))
}

/// Revokes a token of this client (RFC 7009). A refresh token takes its whole family with it. Unknown tokens and those
/// of other clients change nothing, and nobody is told.
pub async fn revoke(ctx: &Ctx, client: &Client, fields: &Fields) -> Result<(), OAuthError> {
    let token = fields
        .get("token")
        .ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    let hash = sha256_hex(token.as_bytes());
    let now = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    if is_prefixed(REFRESH_PREFIX, token) {
        if let Some(row) = tokens::refresh(&txn, &hash).await?
            && let Some(family) = tokens::lock_family(&txn, &row.family_id).await?
            && family.client == client.id
        {
            tokens::revoke_family(&txn, &family.id, now, "revoked_by_client").await?;
        }
    } else if is_access_token(token)
        && let Some(family_id) = tokens::family_of_access(&txn, &hash).await?
        && let Some(family) = tokens::lock_family(&txn, &family_id).await?
        && family.client == client.id
    {
        tokens::revoke_access(&txn, &hash, now).await?;
    }
    txn.commit().await?;
    Ok(())
}

/// What userinfo answers, as its client registered it.
#[derive(Debug)]
pub enum UserInfo {
    /// JSON.
    Plain(Value),
    /// A signed token (OpenID Connect Core, section 5.3.2).
    Signed(String),
}

/// The answer of the userinfo endpoint, in the form that the token's client registered.
///
/// # Errors
/// The database, or a key that does not open.
pub async fn userinfo(ctx: &Ctx, token: &TokenUse) -> Result<UserInfo, OAuthError> {
    let mut answer = claims_for(ctx, token).await?;
    let client = store::client(ctx.db.read(), &token.family.client).await?;
    let alg = client.map(|client| client.fields.protocol.userinfo_alg);
    let Some(alg) = alg.filter(|alg| !alg.is_empty()) else {
        return Ok(UserInfo::Plain(Value::Object(answer)));
    };
    answer.insert("iss".into(), metadata::issuer(&ctx.config).into());
    answer.insert("aud".into(), token.client_id.clone().into());
    // Without a type, and without an end: it must pass for an ID token nowhere, here neither.
    let signer = keys::signer(ctx, &alg).await?;
    Ok(UserInfo::Signed(signer.sign("", &Value::Object(answer))?))
}

/// The claims that a token may have of its person.
///
/// # Errors
/// `insufficient_scope` (403) for a token without `openid`, `invalid_token` (401) for one without a person.
async fn claims_for(ctx: &Ctx, token: &TokenUse) -> Result<Map<String, Value>, OAuthError> {
    if !token.scopes.iter().any(|scope| scope == "openid") {
        return Err(OAuthError {
            status: 403,
            ..OAuthError::new("insufficient_scope", "the token lacks the scope openid")
        });
    }
    let user = account::get(&ctx.db, &token.family.user_id)
        .await?
        .ok_or_else(|| OAuthError {
            status: 401,
            ..OAuthError::new("invalid_token", "the token speaks for nobody")
        })?;
    let mut answer = Map::new();
    answer.insert("sub".into(), user.id.clone().into());
    let single = &token.family.claims.userinfo;
    answer.extend(claims::of(ctx, &user, &token.family, &token.scopes, single).await?);
    Ok(answer)
}

/// Forgets proofs and assertions that would not count any more anyway. They come with every request that is bound to a
/// key: for a job of every few minutes.
pub async fn forget_seen(ctx: &Ctx) -> Result<(), sea_orm::DbErr> {
    client_keys::forget_seen(ctx.db.write(), ctx.clock.now_ms()).await
}

/// Removes what is over. For an hourly job.
pub async fn purge(ctx: &Ctx) -> Result<(), sea_orm::DbErr> {
    tokens::purge(ctx.db.write(), ctx.clock.now_ms()).await
}

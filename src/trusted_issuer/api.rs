//! Tokens of other issuers at our API: by their signature, or by asking the issuer (RFC 7662).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use zeroize::Zeroizing;

use super::check::{self, Refusal, SKEW};
use super::model::{KeySource, SubjectMapping, TrustedIssuer, Use};
use super::service::place;
use super::{assertion, keys, store};
use crate::account::User;
use crate::crypto::{Unproven, sha256_hex};
use crate::ctx::Ctx;
use crate::id;

/// Claims that only an ID token has.
const OF_ID_TOKENS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// Longest token that an issuer is asked about, bytes.
const MAX_BYTES: usize = 4_096;

/// Largest answer of an introspection, bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// What our own tokens begin with: nobody else is ever asked about one.
const OURS: &str = "mg_";

/// The entry of a scope map that every token has.
const EVERY_TOKEN: &str = "*";

/// What is said of a token that its issuer does not stand for.
const NOT_ACTIVE: Refusal = Refusal::Token("the issuer says that the token is not active");

/// How long that is remembered at most.
const REFUSED_MS: i64 = 30_000;

/// Most answers that are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// Whom a token speaks for.
#[derive(Clone, Debug)]
pub enum Who {
    /// A person who may sign in.
    Person(Box<User>),
    /// A client (`cli_…`), as a service account.
    Service(String),
}

/// A token of another issuer that holds.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// The issuer (`tis_…`).
    pub issuer_id: String,
    /// Its name.
    pub issuer_name: String,
    /// What the issuer calls the subject.
    pub subject: String,
    /// Who that is here.
    pub who: Who,
    /// Scopes of ours.
    pub scopes: Vec<String>,
    /// Projects it is narrowed to; empty for none in particular.
    pub projects: Vec<String>,
    /// When it ends, milliseconds since 1970. One whose issuer does not say it has the life that was agreed on, from now on:
    /// what is made with it ends as well.
    pub expires_at: i64,
}

/// Answers about tokens, for as long as was agreed on. Named by issuer, its revision and a hash of the token: what one
/// issuer said counts for no other, and a change forgets all of it.
#[derive(Clone, Default)]
pub struct Remembered(Arc<Mutex<HashMap<String, (i64, Value)>>>);

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remembered")
    }
}

impl Remembered {
    fn get(&self, key: &str, now: i64) -> Option<Value> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(key)
            .filter(|(until, _)| *until > now)
            .map(|(_, value)| value.clone())
    }

    /// Remembers that a token is not active. Anybody can send such tokens: they never crowd out good ones.
    fn put_refused(&self, key: String, until: i64, now: i64) {
        let is_crowded = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MAX_REMEMBERED / 2 {
                known.retain(|_, (until, _)| *until > now);
            }
            known.len() >= MAX_REMEMBERED / 2
        };
        if until > now && !is_crowded {
            self.put(key, until, Value::Null, now);
        }
    }

    fn put(&self, key: String, until: i64, value: Value, now: i64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(key, (until, value));
    }
}

/// Whom a token of another issuer speaks for; `None` if no issuer is trusted that could have made it. `audience` is our
/// name for the API.
///
/// # Errors
/// Why it does not hold, or that nobody can say now.
pub async fn authenticate(
    ctx: &Ctx,
    token: &SecretString,
    audience: &str,
) -> Result<Option<Foreign>, Refusal> {
    let text = token.expose_secret();
    match Unproven::of_issuer(text) {
        Some(unproven) => {
            let mut refusal = None;
            for issuer in store::enabled_of(ctx.db.read(), unproven.text("iss").unwrap_or_default()).await? {
                if !issuer.is_for(Use::Api) {
                    continue;
                }
                let proven = match issuer.key_source {
                    KeySource::Introspection => ask(ctx, &issuer, text).await,
                    // An access token, if it says what it is; a logout token or a proof is none.
                    _ if !matches!(unproven.typ().as_str(), "" | "jwt" | "at+jwt") => {
                        Err(Refusal::Token("the token is none for an API"))
                    }
                    _ if issuer.require_at_jwt && unproven.typ() != "at+jwt" => Err(Refusal::Token(
                        "the token does not call itself an access token (typ at+jwt), which was agreed on",
                    )),
                    _ => check::proven(ctx, &issuer, &unproven).await,
                };
                match proven {
                    Ok(claims) => return hold(ctx, &issuer, &claims, audience).await.map(Some),
                    Err(error) => refusal = Some(error),
                }
            }
            refusal.map_or(Ok(None), Err)
        }
        None => opaque(ctx, text, audience).await,
    }
}

/// A token that only its issuer can read. There is at most one that can be asked.
async fn opaque(ctx: &Ctx, text: &str, audience: &str) -> Result<Option<Foreign>, Refusal> {
    let readable = text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !readable || text.starts_with(OURS) || text.starts_with("eyJ") {
        return Ok(None);
    }
    let askable = store::enabled_askable(ctx.db.read()).await?;
    let issuer = askable
        .iter()
        .find(|issuer| issuer.is_for(Use::Api) && text.starts_with(&issuer.token_prefix));
    let Some(issuer) = issuer else {
        return Ok(None);
    };
    let claims = ask(ctx, issuer, text).await?;
    hold(ctx, issuer, &claims, audience).await.map(Some)
}

/// What the issuer says of a token, or said a moment ago.
async fn ask(ctx: &Ctx, issuer: &TrustedIssuer, token: &str) -> Result<Value, Refusal> {
    let now = ctx.clock.now_ms();
    let key = sha256_hex(format!("{} {} {token}", issuer.id, issuer.revision).as_bytes());
    if let Some(known) = ctx.foreign_tokens.get(&key, now) {
        return match known {
            Value::Null => Err(NOT_ACTIVE),
            claims => Ok(claims),
        };
    }
    let answer = introspect(ctx, issuer, token).await;
    if matches!(answer, Err(Refusal::Token(_))) {
        // For a moment, so that the same bad token sent again and again is not a question each time.
        let until = now + (issuer.cache_seconds * 1000).min(REFUSED_MS);
        ctx.foreign_tokens.put_refused(key.clone(), until, now);
    }
    let claims = answer?;
    let mut until = now + issuer.cache_seconds * 1000;
    if let Some(end) = check::seconds(&claims, "exp")? {
        until = until.min(end * 1000);
    }
    if until > now {
        ctx.foreign_tokens.put(key, until, claims.clone(), now);
    }
    Ok(claims)
}

async fn introspect(ctx: &Ctx, issuer: &TrustedIssuer, token: &str) -> Result<Value, Refusal> {
    let secret = ctx
        .keys
        .open(&place(&issuer.id), &issuer.secret_sealed)
        .map_err(|error| Refusal::Db(error.to_string()))?;
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!(
        "{}:{}",
        encode(&issuer.introspection_client_id),
        encode(secret.expose_secret())
    ));
    let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let http = ctx
        .dialer
        .http()
        .with_body_limit(MAX_ANSWER)
        .with_timeout(keys::PATIENCE);
    let headers = [("authorization", basic.as_str()), ("accept", "application/json")];
    let form = [("token", token), ("token_type_hint", "access_token")];
    let answer = http
        .post_form(&issuer.introspection_endpoint, &headers, &form)
        .await;
    let answer = match answer {
        Ok(answer) if answer.status == 200 => answer,
        Ok(answer) => {
            // Also a refusal of our own credentials: that says nothing of the token.
            tracing::warn!(
                issuer = issuer.id,
                status = answer.status,
                "a trusted issuer does not answer about a token"
            );
            return Err(Refusal::Unavailable);
        }
        Err(error) => {
            tracing::warn!(
                issuer = issuer.id,
                "a trusted issuer cannot be asked about a token: {error}"
            );
            return Err(Refusal::Unavailable);
        }
    };
    let claims: Value = serde_json::from_slice(&answer.body).map_err(|_| Refusal::Unavailable)?;
    match claims.get("active") {
        Some(Value::Bool(true)) => Ok(claims),
        Some(Value::Bool(false)) => Err(NOT_ACTIVE),
        _ => Err(Refusal::Unavailable),
    }
}

/// What an issuer vouches for, cut down to what was agreed on.
async fn hold(ctx: &Ctx, issuer: &TrustedIssuer, claims: &Value, audience: &str) -> Result<Foreign, Refusal> {
    let now = ctx.clock.now_ms() / 1000;
    let asked = issuer.key_source == KeySource::Introspection;
    let ours = [audience.to_owned()];
    let expected = if issuer.audiences.is_empty() {
        &ours[..]
    } else {
        &issuer.audiences
    };
    // An issuer that is asked need not say it (RFC 7662); then the client it gave the token to must be one agreed on.
    let by_client = asked
        && claims.get("aud").is_none()
        && check::text(claims, "client_id").is_some_and(|id| issuer.audiences.iter().any(|one| one == id));
    if !by_client && !check::meant_for(claims, expected) {
        return Err(Refusal::Token("the token is meant for somebody else (aud)"));
    }
    if asked && check::text(claims, "iss").is_some_and(|iss| iss != issuer.issuer) {
        return Err(Refusal::Token("the token is of another issuer"));
    }
    if !asked && OF_ID_TOKENS.iter().any(|name| claims.get(*name).is_some()) {
        return Err(Refusal::Token("an ID token is no key to an API"));
    }
    // Bound to a key (RFC 9449, RFC 8705): whoever stole it must not get in with it alone, and proofs are not looked at
    // here.
    if claims.get("cnf").is_some() {
        return Err(Refusal::Token(
            "the token is bound to a key and does not count by itself (cnf)",
        ));
    }
    let end = if asked && claims.get("exp").is_none() {
        check::not_before(claims, now)?;
        now + issuer.max_life_seconds
    } else {
        check::in_time(claims, issuer.max_life_seconds, now)?
    };
    let subject = check::subject(issuer, claims)?;
    let who = who(ctx, issuer, subject, claims)
        .await?
        .ok_or(Refusal::Token("the subject of the token is nobody here"))?;
    Ok(Foreign {
        issuer_id: issuer.id.clone(),
        issuer_name: issuer.name.clone(),
        subject: subject.to_owned(),
        who,
        scopes: scopes(issuer, claims),
        projects: issuer.projects.clone(),
        expires_at: (end + SKEW) * 1000,
    })
}

async fn who(
    ctx: &Ctx,
    issuer: &TrustedIssuer,
    subject: &str,
    claims: &Value,
) -> Result<Option<Who>, Refusal> {
    let service = match issuer.mapping {
        SubjectMapping::Service => Some(&issuer.service_client),
        SubjectMapping::Table => issuer.subject_table.get(subject).filter(|id| id::is("cli", id)),
        SubjectMapping::Email => None,
    };
    if let Some(client) = service {
        return Ok(Some(Who::Service(client.clone())));
    }
    let person = assertion::person(ctx, issuer, subject, claims).await?;
    Ok(person.map(|user| Who::Person(Box::new(user))))
}

/// Scopes of ours that the token's own scopes stand for, at most those that were agreed on.
fn scopes(issuer: &TrustedIssuer, claims: &Value) -> Vec<String> {
    let theirs: Vec<&str> = match claims.get(&issuer.scope_claim) {
        Some(Value::String(list)) => list.split_whitespace().collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let mut ours: Vec<&str> = Vec::new();
    if issuer.scope_map.is_empty() {
        ours.extend(theirs);
    } else {
        for theirs in theirs
            .into_iter()
            .filter(|name| *name != EVERY_TOKEN)
            .chain([EVERY_TOKEN])
        {
            ours.extend(
                issuer
                    .scope_map
                    .get(theirs)
                    .iter()
                    .flat_map(|list| list.split_whitespace()),
            );
        }
    }
    issuer
        .scopes
        .iter()
        .filter(|scope| ours.contains(&scope.as_str()))
        .cloned()
        .collect()
}

//! The public keys of an issuer. Those it publishes are fetched when they are needed and kept; a key id that is not among
//! them, or fits no token, has them fetched again, once a minute at most, whatever strangers write into their tokens.

use std::time::Duration;

use serde_json::Value;

use super::check::Refusal;
use super::model::{KeySource, TrustedIssuer};
use super::store;
use crate::crypto::{ForeignAlg, fits};
use crate::ctx::Ctx;

/// Largest key set, bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// Most keys of a set that are looked at.
const MAX_KEYS: usize = 100;

/// How long an issuer may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Keys are not asked for more often than this.
const PAUSE_MS: i64 = 60_000;

/// Keys are used without another look for so long.
const FRESH_MS: i64 = 10 * 60_000;

/// Keys of an issuer that cannot be reached are used for so long.
const STALE_MS: i64 = 24 * 3_600_000;

/// How many keys of a set can be used with these algorithms.
pub(super) fn usable(set: &Value, algorithms: &[ForeignAlg]) -> usize {
    keys_of(set)
        .filter(|key| algorithms.iter().any(|alg| fits(key, *alg)))
        .count()
}

fn keys_of(set: &Value) -> impl Iterator<Item = &Value> {
    set.get("keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(MAX_KEYS)
}

/// The keys that a token with this key id and algorithm may be signed with; the only fitting one if it names none.
fn matching(set: &Value, kid: Option<&str>, alg: ForeignAlg) -> Vec<Value> {
    let fitting: Vec<&Value> = keys_of(set).filter(|key| fits(key, alg)).collect();
    match kid {
        Some(kid) => fitting
            .into_iter()
            .filter(|key| key.get("kid").and_then(Value::as_str) == Some(kid))
            .cloned()
            .collect(),
        None => match fitting.as_slice() {
            [only] => vec![(*only).clone()],
            _ => vec![],
        },
    }
}

/// The keys to try for a token.
///
/// # Errors
/// [`Refusal::Unavailable`] if the issuer's keys cannot be had now, so that nobody can say whether the token holds.
pub(super) async fn find(
    ctx: &Ctx,
    issuer: &TrustedIssuer,
    kid: Option<&str>,
    alg: ForeignAlg,
) -> Result<Vec<Value>, Refusal> {
    match issuer.key_source {
        KeySource::Jwks => Ok(matching(&parse(&issuer.jwks).unwrap_or_default(), kid, alg)),
        KeySource::JwksUri => published(ctx, issuer, kid, alg).await,
        KeySource::Introspection | KeySource::SharedSecret => Ok(vec![]),
    }
}

/// The keys to try for a token that those at hand do not fit: fetched again, unless that was done within the pause.
pub(super) async fn find_anew(
    ctx: &Ctx,
    issuer: &TrustedIssuer,
    kid: Option<&str>,
    alg: ForeignAlg,
) -> Result<Vec<Value>, Refusal> {
    if issuer.key_source != KeySource::JwksUri {
        return Ok(vec![]);
    }
    let now = ctx.clock.now_ms();
    if !store::begin(ctx.db.write(), &issuer.id, &issuer.jwks_uri, now, now - PAUSE_MS).await? {
        return Ok(vec![]);
    }
    let Some(text) = fetch(ctx, &issuer.jwks_uri).await else {
        return Ok(vec![]);
    };
    store::keep(ctx.db.write(), &issuer.id, &issuer.jwks_uri, &text, now).await?;
    Ok(matching(&parse(&text).unwrap_or_default(), kid, alg))
}

async fn published(
    ctx: &Ctx,
    issuer: &TrustedIssuer,
    kid: Option<&str>,
    alg: ForeignAlg,
) -> Result<Vec<Value>, Refusal> {
    let now = ctx.clock.now_ms();
    let kept = store::kept(ctx.db.read(), &issuer.id, &issuer.jwks_uri).await?;
    let set = parse(&kept.jwks)
        .filter(|_| now - kept.fetched_at < STALE_MS)
        .unwrap_or_default();
    let found = matching(&set, kid, alg);
    if !found.is_empty() && now - kept.fetched_at < FRESH_MS {
        return Ok(found);
    }
    if !store::begin(ctx.db.write(), &issuer.id, &issuer.jwks_uri, now, now - PAUSE_MS).await? {
        // Asked for a moment ago. If an answer came, there is no such key; if none did, nobody knows.
        let answered = kept.fetched_at >= kept.tried_at && kept.fetched_at > 0;
        return match (found.is_empty(), answered) {
            (false, _) | (true, true) => Ok(found),
            (true, false) => Err(Refusal::Unavailable),
        };
    }
    match fetch(ctx, &issuer.jwks_uri).await {
        Some(text) => {
            store::keep(ctx.db.write(), &issuer.id, &issuer.jwks_uri, &text, now).await?;
            Ok(matching(&parse(&text).unwrap_or_default(), kid, alg))
        }
        None if found.is_empty() => Err(Refusal::Unavailable),
        None => Ok(found),
    }
}

fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

async fn fetch(ctx: &Ctx, uri: &str) -> Option<String> {
    let http = ctx
        .dialer
        .http()
        .with_body_limit(MAX_BYTES)
        .with_timeout(PATIENCE);
    let answer = match http.get(uri, &[("accept", "application/json")]).await {
        Ok(answer) if answer.status == 200 => answer,
        Ok(answer) => {
            tracing::warn!(
                uri,
                status = answer.status,
                "the keys of a trusted issuer cannot be fetched"
            );
            return None;
        }
        Err(error) => {
            tracing::warn!(uri, "the keys of a trusted issuer cannot be fetched: {error}");
            return None;
        }
    };
    let text = String::from_utf8(answer.body).ok()?;
    let is_set = parse(&text).is_some_and(|set| set.get("keys").is_some_and(Value::is_array));
    if !is_set {
        tracing::warn!(uri, "the keys of a trusted issuer are not a key set");
    }
    is_set.then_some(text)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_found_by_its_id_or_because_it_is_the_only_one() {
        let key = |kid: &str| json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": "a", "y": "b" });
        // Of 2048 bits; a shorter one is none.
        let n = URL_SAFE_NO_PAD.encode([0xff_u8; 256]);
        let rsa = json!({ "kty": "RSA", "kid": "c", "n": n, "e": "AQAB" });
        let weak = json!({ "kty": "RSA", "kid": "d", "n": n[..200], "e": "AQAB" });
        let two = json!({ "keys": [key("a"), key("b"), rsa, weak] });
        let found = |set: &Value, kid| matching(set, kid, ForeignAlg::Es256).len();
        assert_eq!(
            (
                found(&two, Some("a")),
                found(&two, Some("c")),
                found(&two, Some("../a"))
            ),
            (1, 0, 0)
        );
        assert_eq!(found(&two, None), 0);
        assert_eq!(found(&json!({ "keys": [key("a")] }), None), 1);
        assert_eq!(found(&json!({ "keys": {} }), None), 0);
        assert_eq!(usable(&two, &[ForeignAlg::Rs256]), 1);
    }
}

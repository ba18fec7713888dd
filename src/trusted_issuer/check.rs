//! Whether a token of an issuer holds: signature, issuer, audience, times, subject. The rest is its use's business.

use serde_json::Value;

use super::keys;
use super::model::{KeySource, TrustedIssuer};
use super::service::place;
use crate::crypto::Unproven;
use crate::ctx::Ctx;

/// How far two clocks may be apart, seconds.
pub(super) const SKEW: i64 = 60;

/// Why a token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not hold; a sentence that may be told to whoever brought it.
    #[error("{0}")]
    Token(&'static str),
    /// The issuer cannot be reached, so that nobody can say; try again.
    #[error("the issuer of the token cannot be reached now")]
    Unavailable,
    /// The database failed.
    #[error("database: {0}")]
    Db(String),
}

impl From<sea_orm::DbErr> for Refusal {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Db(error.to_string())
    }
}

/// A number of seconds since 1970; `None` for what is no number or beyond every calendar.
pub(super) fn seconds(claims: &Value, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let whole = value.as_i64().or_else(|| {
        #[expect(clippy::cast_possible_truncation, reason = "bounded on both sides before")]
        value
            .as_f64()
            .filter(|number| (0.0..4e11).contains(number))
            .map(|number| number as i64)
    });
    whole
        .filter(|seconds| (0..400_000_000_000).contains(seconds))
        .map(Some)
        .ok_or(Refusal::Token("a time in the token is no time"))
}

/// A claim that is a text.
pub(super) fn text<'a>(claims: &'a Value, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// The claims of a token whose signature holds under a key of the issuer and an algorithm that was agreed on.
pub(super) async fn proven(ctx: &Ctx, issuer: &TrustedIssuer, token: &Unproven) -> Result<Value, Refusal> {
    let wrong = Refusal::Token("the signature of the token does not hold");
    let agreed = token.any_alg().filter(|alg| issuer.algorithms.contains(alg));
    let alg = agreed.ok_or(Refusal::Token(
        "the algorithm of the token is not one that was agreed on",
    ))?;
    let holds = if issuer.key_source == KeySource::SharedSecret {
        let secret = ctx
            .keys
            .open(&place(&issuer.id), &issuer.secret_sealed)
            .map_err(|error| Refusal::Db(error.to_string()))?;
        token.is_signed_with(&secret)
    } else {
        let fits = |found: Vec<Value>| found.iter().any(|key| token.is_signed_by(alg, key));
        // An issuer may put another key under the same name, or under none.
        fits(keys::find(ctx, issuer, token.kid(), alg).await?)
            || fits(keys::find_anew(ctx, issuer, token.kid(), alg).await?)
    };
    if !holds {
        return Err(wrong);
    }
    let claims = Value::Object(token.claims().clone());
    // What was read before the proof is what was proven.
    if text(&claims, "iss") != Some(issuer.issuer.as_str()) {
        return Err(Refusal::Token("the token is of another issuer"));
    }
    Ok(claims)
}

/// Whether the token is meant for one of these.
pub(super) fn meant_for(claims: &Value, audiences: &[String]) -> bool {
    let is_one = |value: &Value| {
        value
            .as_str()
            .is_some_and(|one| audiences.iter().any(|audience| audience == one))
    };
    match claims.get("aud") {
        Some(Value::Array(many)) => many.iter().any(is_one),
        Some(one) => is_one(one),
        None => false,
    }
}

/// The times of a token: not over, begun, not too long. Returns its end, seconds since 1970.
pub(super) fn in_time(claims: &Value, max_life: i64, now: i64) -> Result<i64, Refusal> {
    let exp = seconds(claims, "exp")?.ok_or(Refusal::Token("the token has no end (exp)"))?;
    if exp + SKEW <= now {
        return Err(Refusal::Token("the token is over"));
    }
    not_before(claims, now)?;
    let begins = seconds(claims, "iat")?.unwrap_or(now).min(now);
    if exp - begins > max_life {
        return Err(Refusal::Token("the token lives longer than was agreed on"));
    }
    Ok(exp)
}

/// `nbf` and `iat` must not lie in the future.
pub(super) fn not_before(claims: &Value, now: i64) -> Result<(), Refusal> {
    for name in ["nbf", "iat"] {
        if seconds(claims, name)?.is_some_and(|at| at > now + SKEW) {
            return Err(Refusal::Token("the token is from the future"));
        }
    }
    Ok(())
}

/// The subject, if it is one that counts.
pub(super) fn subject<'a>(issuer: &TrustedIssuer, claims: &'a Value) -> Result<&'a str, Refusal> {
    let subject = text(claims, "sub")
        .filter(|sub| !sub.is_empty() && sub.len() <= 255)
        .ok_or(Refusal::Token("the token has no subject (sub)"))?;
    if issuer.subjects.is_empty() || issuer.subjects.iter().any(|known| known == subject) {
        Ok(subject)
    } else {
        Err(Refusal::Token(
            "the subject of the token is not one that was agreed on",
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn n42_times_are_numbers_not_over_not_ahead_and_not_too_long() {
        let now = 1_800_000_000;
        let of = |claims: Value| in_time(&claims, 600, now);
        assert_eq!(of(json!({ "exp": now + 300, "iat": now })), Ok(now + 300));
        assert_eq!(of(json!({ "exp": 1_800_000_300.5, "iat": now })), Ok(now + 300));
        for claims in [
            json!({}),
            json!({ "exp": null }),
            json!({ "exp": "1800000300" }),
            json!({ "exp": -1 }),
            json!({ "exp": 1e300 }),
            json!({ "exp": now - SKEW }),
            json!({ "exp": now + 601, "iat": now }),
            json!({ "exp": now + 601 }),
            json!({ "exp": now + 300, "iat": now - 400 }),
            json!({ "exp": now + 300, "iat": now + SKEW + 1 }),
            json!({ "exp": now + 300, "nbf": now + SKEW + 1 }),
            json!({ "exp": now + 300, "iat": "now" }),
        ] {
            assert!(of(claims.clone()).is_err(), "{claims}");
        }
    }

    #[test]
    fn n42_an_audience_is_one_of_those_agreed_on_letter_by_letter() {
        let ours = ["https://mail.example/api/v1".to_owned()];
        let of = |aud: Value| meant_for(&json!({ "aud": aud }), &ours);
        assert!(of(json!(ours[0])) && of(json!(["x", ours[0]])));
        for aud in [
            json!("https://mail.example/api/v1/"),
            json!([]),
            json!(null),
            json!(5),
            json!([[ours[0]]]),
        ] {
            assert!(!of(aud.clone()), "{aud}");
        }
        assert!(!meant_for(&json!({}), &ours));
        assert!(!meant_for(&json!({ "aud": "x" }), &[]));
    }
}

//! ID tokens (OpenID Connect Core, section 3.1.3.7): the `openidconnect` crate checks signature, issuer, audience and
//! nonce; what it leaves to its users is checked here: strict form, key material in the header, `azp`, `nbf`, skew,
//! `at_hash`, the subject.

use std::str::FromStr;

use chrono::{DateTime, Duration, Utc};
use openidconnect::core::{
    CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm,
};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, IssuerUrl, JsonWebKey,
    JsonWebKeyAlgorithm, SignatureVerificationError,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::error::Fault;
use super::strict::{self, Parts};
use crate::crypto;

/// Clocks may differ by this much.
const SKEW_SECONDS: i64 = 60;
/// A token that was made longer ago was not made for this sign-in.
const OLDEST_SECONDS: i64 = 600;
/// Header members that bring a key along, or an address to fetch one from: nobody here believes them.
const KEYS_IN_HEADER: [&str; 5] = ["jwk", "jku", "x5u", "x5c", "crit"];

/// What a token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    /// SHA-256 of the nonce that was sent, hex.
    pub(super) nonce_hash: &'a str,
    /// Algorithms that may sign.
    pub(super) algs: &'a [CoreJwsSigningAlgorithm],
    pub(super) access_token: Option<&'a SecretString>,
    pub(super) now: DateTime<Utc>,
}

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// With the keys at hand it is wrong; they may have been exchanged, also under the same name.
    KeyDoesNotFit(Fault),
    /// For good.
    Because(Fault),
}

fn because(code: &str, cause: impl Into<String>) -> Rejected {
    Rejected::Because(fault(code, cause))
}

fn fault(code: &str, cause: impl Into<String>) -> Fault {
    Fault::new(
        code,
        cause,
        "Nobody was signed in. Begin again; if it happens again, an administrator should compare the settings of this \
         identity provider with those of Mailgrant.",
    )
}

/// The token's key is not among those that the provider publishes.
pub(super) fn unknown_key() -> Fault {
    Fault::new(
        "id_token_key",
        "The provider's ID token is signed with a key that the provider does not publish.",
        "Nobody was signed in. Begin again; if it happens again, an administrator should check the address of the keys.",
    )
}

fn clock(code: &str, cause: String) -> Rejected {
    Rejected::Because(Fault::new(
        code,
        cause,
        "The clocks of the provider and of this machine differ: an administrator should set both by time servers.",
    ))
}

/// The algorithms anybody may sign with: none without a key, none with a shared secret.
pub(super) fn algorithm(name: &str) -> Option<CoreJwsSigningAlgorithm> {
    Some(match name {
        "RS256" => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        "RS384" => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
        "RS512" => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
        "PS256" => CoreJwsSigningAlgorithm::RsaSsaPssSha256,
        "PS384" => CoreJwsSigningAlgorithm::RsaSsaPssSha384,
        "PS512" => CoreJwsSigningAlgorithm::RsaSsaPssSha512,
        "ES256" => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        "ES384" => CoreJwsSigningAlgorithm::EcdsaP384Sha384,
        "EdDSA" => CoreJwsSigningAlgorithm::EdDsa,
        _ => return None,
    })
}

/// Checks everything and returns the claims.
pub(super) fn check(
    token: &str,
    keys: &CoreJsonWebKeySet,
    expected: &Expected<'_>,
) -> Result<Map<String, Value>, Rejected> {
    let malformed = || {
        because(
            "id_token_malformed",
            "The provider's ID token is not a signed token that can be read.",
        )
    };
    let parts = strict::parts(token).ok_or_else(malformed)?;
    let alg = header(&parts, expected.algs)?;
    by_library(token, keys, expected)?;
    let claims = parts.claims;
    subject(&claims)?;
    audience(&claims, expected.client_id)?;
    times(&claims, expected.now)?;
    access_token_hash(&parts.header, &claims, keys, &alg, expected.access_token)?;
    Ok(claims)
}

fn header(parts: &Parts<'_>, algs: &[CoreJwsSigningAlgorithm]) -> Result<CoreJwsSigningAlgorithm, Rejected> {
    if let Some(name) = KEYS_IN_HEADER
        .iter()
        .find(|name| parts.header.contains_key(**name))
    {
        return Err(because(
            "id_token_header",
            format!("The header of the provider's ID token holds `{name}`, which is not accepted."),
        ));
    }
    let name = parts.header.get("alg").and_then(Value::as_str).unwrap_or("none");
    algorithm(name).filter(|alg| algs.contains(alg)).ok_or_else(|| {
        because(
            "id_token_algorithm",
            format!("The provider's ID token is signed with “{name}”, which is not accepted from it."),
        )
    })
}

fn by_library(token: &str, keys: &CoreJsonWebKeySet, expected: &Expected<'_>) -> Result<(), Rejected> {
    let parsed = CoreIdToken::from_str(token).map_err(|_| {
        because(
            "id_token_claims",
            "A claim of the provider's ID token is missing or of the wrong type.",
        )
    })?;
    let issuer = IssuerUrl::new(expected.issuer.to_owned()).map_err(|_| {
        because(
            "id_token_issuer",
            "The issuer of this identity provider is not a URL.",
        )
    })?;
    let now = expected.now - Duration::seconds(SKEW_SECONDS);
    // Public: a shared secret never checks a signature, whatever the token says.
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(expected.client_id.to_owned()),
        issuer,
        CoreJsonWebKeySet::new(keys.keys().clone()),
    )
    .set_allowed_algs(expected.algs.iter().cloned())
    .set_time_fn(move || now);
    let nonce = |sent: Option<&openidconnect::Nonce>| match sent {
        Some(sent)
            if crypto::same_secret(&crypto::sha256_hex(sent.secret().as_bytes()), expected.nonce_hash) =>
        {
            Ok(())
        }
        _ => Err("nonce".to_owned()),
    };
    match parsed.claims(&verifier, nonce) {
        Ok(_) => Ok(()),
        Err(error) => Err(refusal(&error, expected)),
    }
}

fn refusal(error: &ClaimsVerificationError, expected: &Expected<'_>) -> Rejected {
    match error {
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
            Rejected::KeyDoesNotFit(unknown_key())
        }
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::AmbiguousKeyId(_)) => {
            Rejected::KeyDoesNotFit(fault(
                "id_token_key",
                "The provider's ID token does not say which of several keys signed it.",
            ))
        }
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::CryptoError(_)) => {
            Rejected::KeyDoesNotFit(fault(
                "id_token_signature",
                "The signature of the provider's ID token does not hold.",
            ))
        }
        ClaimsVerificationError::SignatureVerification(_) => because(
            "id_token_signature",
            "The signature of the provider's ID token does not hold.",
        ),
        ClaimsVerificationError::Expired(_) => clock(
            "id_token_expired",
            "The provider's ID token is over already.".to_owned(),
        ),
        ClaimsVerificationError::InvalidAudience(_) => because(
            "id_token_audience",
            format!(
                "The provider's ID token is not for this client ({}), or not for it alone.",
                expected.client_id
            ),
        ),
        ClaimsVerificationError::InvalidIssuer(_) => because(
            "id_token_issuer",
            format!("The provider's ID token was not issued by {}.", expected.issuer),
        ),
        ClaimsVerificationError::InvalidNonce(_) => because(
            "id_token_nonce",
            "The provider's ID token was not made for this sign-in.",
        ),
        _ => because(
            "id_token_unsupported",
            "The provider's ID token is of a kind that is not accepted.",
        ),
    }
}

fn subject(claims: &Map<String, Value>) -> Result<(), Rejected> {
    match claims.get("sub") {
        Some(Value::String(sub))
            if !sub.trim().is_empty() && sub.len() <= 255 && !sub.chars().any(char::is_control) =>
        {
            Ok(())
        }
        _ => Err(because(
            "id_token_subject",
            "The provider's ID token does not say who somebody is: `sub` is missing, empty, too long or no text.",
        )),
    }
}

/// Who the token was made for, beside the audience (section 2, `azp`).
fn audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), Rejected> {
    let several = claims
        .get("aud")
        .and_then(Value::as_array)
        .is_some_and(|list| list.len() > 1);
    match claims.get("azp") {
        None if several => {}
        None => return Ok(()),
        Some(Value::String(azp)) if azp == client_id => return Ok(()),
        Some(_) => {}
    }
    Err(because(
        "id_token_authorized_party",
        "The provider's ID token was made for another client (`azp`).",
    ))
}

fn times(claims: &Map<String, Value>, now: DateTime<Utc>) -> Result<(), Rejected> {
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let now = now.timestamp() as f64;
    #[expect(clippy::cast_precision_loss, reason = "a minute")]
    let skew = SKEW_SECONDS as f64;
    #[expect(clippy::cast_precision_loss, reason = "minutes")]
    let oldest = OLDEST_SECONDS as f64;
    let issued = seconds("iat").ok_or_else(|| {
        because(
            "id_token_claims",
            "The provider's ID token does not say when it was made.",
        )
    })?;
    let from = if claims.contains_key("nbf") {
        seconds("nbf").ok_or_else(|| {
            because(
                "id_token_claims",
                "A time in the provider's ID token is no number.",
            )
        })?
    } else {
        issued
    };
    let ahead = issued.max(from) - now;
    if ahead > skew {
        return Err(clock(
            "id_token_in_future",
            format!(
                "The provider's ID token was made {ahead:.0} seconds in the future, by the clock of this machine."
            ),
        ));
    }
    if now - issued > oldest {
        return Err(clock(
            "id_token_too_old",
            format!(
                "The provider's ID token was made {:.0} seconds ago, by the clock of this machine.",
                now - issued
            ),
        ));
    }
    Ok(())
}

fn access_token_hash(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    keys: &CoreJsonWebKeySet,
    alg: &CoreJwsSigningAlgorithm,
    access_token: Option<&SecretString>,
) -> Result<(), Rejected> {
    let Some(said) = claims.get("at_hash") else {
        return Ok(());
    };
    let holds = access_token
        .zip(key_for(header, keys, alg))
        .zip(said.as_str())
        .is_some_and(|((token, key), said)| {
            let token = AccessToken::new(token.expose_secret().to_owned());
            AccessTokenHash::from_token(&token, alg, key).is_ok_and(|hash| hash.as_str() == said)
        });
    if holds {
        return Ok(());
    }
    Err(because(
        "id_token_access_token",
        "The provider's ID token belongs to another access token.",
    ))
}

/// The one key of the set that fits a header, if there is exactly one.
pub(super) fn key_for<'a>(
    header: &Map<String, Value>,
    keys: &'a CoreJsonWebKeySet,
    alg: &CoreJwsSigningAlgorithm,
) -> Option<&'a CoreJsonWebKey> {
    use openidconnect::{JsonWebKeyUse, JwsSigningAlgorithm};
    let kid = header.get("kid").and_then(Value::as_str);
    let mut fitting = keys.keys().iter().filter(|key| {
        kid.is_none_or(|kid| key.key_id().is_some_and(|have| have.as_str() == kid))
            && key.key_use().is_none_or(JsonWebKeyUse::allows_signature)
            && alg.key_type().as_ref() == Some(key.key_type())
            && match key.signing_alg() {
                JsonWebKeyAlgorithm::Unspecified => true,
                JsonWebKeyAlgorithm::Algorithm(own) => own == alg,
                JsonWebKeyAlgorithm::Unsupported => false,
            }
    });
    fitting.next().filter(|_| fitting.next().is_none())
}

//! Proofs of possession (RFC 9449): that whoever sends a request holds the key a token is bound to.
//!
//! A proof counts for one method, one address and once. Our nonces carry their time and a mark only we can make, so no
//! node has to remember them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::error::OAuthError;
use super::store::client_keys as seen;
use crate::crypto::{self, Unproven, hmac_sha256, jwk_thumbprint, sha256_hex};
use crate::ctx::Ctx;

/// A proof without a nonce was made at most so long ago.
const FRESH_MS: i64 = 60_000;
/// A clock may be ahead of ours by so much.
const AHEAD_MS: i64 = 15_000;
/// A nonce is good for so long, and with a good one the clock that made the proof may be wrong by as much.
const NONCE_MS: i64 = 5 * 60_000;

/// What a proof must be about.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// The address that was asked, without query.
    pub url: &'a str,
    /// The access token that comes with it, at a resource.
    pub access_token: Option<&'a str>,
    /// Only a proof with a nonce of ours counts.
    pub needs_nonce: bool,
}

fn wrong(why: &str) -> OAuthError {
    OAuthError::new(
        "invalid_dpop_proof",
        format!("the DPoP proof does not hold: {why}"),
    )
}

/// The thumbprint of the key that made a proof.
///
/// # Errors
/// `invalid_dpop_proof`, or `use_dpop_nonce` if all that is missing is a nonce of ours.
pub async fn check(ctx: &Ctx, proof: &str, expected: Expected<'_>) -> Result<String, OAuthError> {
    let read = Unproven::read(proof).ok_or_else(|| wrong("it is no signed token"))?;
    if read.typ() != "dpop+jwt" {
        return Err(wrong("its typ is not dpop+jwt"));
    }
    let alg = read
        .alg()
        .ok_or_else(|| wrong("its algorithm is not taken here"))?;
    let jwk = read.jwk().ok_or_else(|| wrong("it carries no key"))?;
    let jkt = jwk_thumbprint(jwk).ok_or_else(|| wrong("its key cannot be read"))?;
    if !read.is_signed_by(alg, jwk) {
        return Err(wrong(
            "the key it carries did not sign it, or is not a public one for this algorithm",
        ));
    }
    if read.text("htm") != Some(expected.method) {
        return Err(wrong("htm is not the method of the request"));
    }
    if !read
        .text("htu")
        .is_some_and(|htu| is_same_address(htu, expected.url))
    {
        return Err(wrong("htu is not the address of the request"));
    }
    if let Some(token) = expected.access_token {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()));
        if read.text("ath") != Some(hash.as_str()) {
            return Err(wrong("ath is not the hash of the access token"));
        }
    }
    let now = ctx.clock.now_ms();
    let made = read.time_ms("iat").ok_or_else(|| wrong("iat is missing"))?;
    let past = match read.claim("nonce") {
        Some(nonce) => {
            if !nonce.as_str().is_some_and(|nonce| is_ours(ctx, nonce, now)) {
                return Err(use_nonce());
            }
            NONCE_MS
        }
        None if expected.needs_nonce => return Err(use_nonce()),
        None => FRESH_MS,
    };
    let ahead = if past == NONCE_MS { NONCE_MS } else { AHEAD_MS };
    if made < now - past || made > now + ahead {
        return Err(wrong("iat is too far from now"));
    }
    let jti = read
        .text("jti")
        .filter(|jti| (1..=256).contains(&jti.len()))
        .ok_or_else(|| wrong("jti is missing, or longer than 256 characters"))?;
    let id = sha256_hex(format!("dpop {jkt} {jti}").as_bytes());
    // For as long as this proof would be fresh enough.
    if !seen::see_once(ctx.db.write(), &id, made + past + AHEAD_MS).await? {
        return Err(wrong("it was used before"));
    }
    Ok(jkt)
}

fn use_nonce() -> OAuthError {
    OAuthError::new(
        "use_dpop_nonce",
        "put the nonce of the header DPoP-Nonce into the proof",
    )
}

/// Addresses are compared by scheme, host, port and path; a proof has neither query nor fragment, and what it has of them
/// does not count (RFC 9449, section 4.3).
fn is_same_address(claimed: &str, asked: &str) -> bool {
    let parts = |text: &str| {
        let url = url::Url::parse(text).ok()?;
        let port = url.port_or_known_default();
        let host = url.host_str()?.to_owned();
        Some((url.scheme().to_owned(), host, port, url.path().to_owned()))
    };
    let claimed = parts(claimed);
    claimed.is_some() && claimed == parts(asked)
}

/// A nonce for the next proof.
pub fn nonce(ctx: &Ctx) -> String {
    let seconds = (ctx.clock.now_ms() / 1000).to_be_bytes();
    let keys = ctx.keys.derived(PURPOSE);
    let mut bytes = seconds.to_vec();
    if let Some(key) = keys.first() {
        bytes.extend(mark(&key[..], seconds));
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

const PURPOSE: &str = "dpop nonce";

fn mark(key: &[u8], seconds: [u8; 8]) -> Vec<u8> {
    let mut mark = hmac_sha256(key, &[&seconds]);
    mark.truncate(16);
    mark
}

fn is_ours(ctx: &Ctx, nonce: &str, now: i64) -> bool {
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else {
        return false;
    };
    let Some((seconds, sent)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    // Anybody can send any number here: its mark is looked at first.
    let is_made_here = ctx
        .keys
        .derived(PURPOSE)
        .iter()
        .any(|key| crypto::same_secret(&hex::encode(mark(&key[..], *seconds)), &hex::encode(sent)));
    let age = now.saturating_sub(i64::from_be_bytes(*seconds).saturating_mul(1000));
    is_made_here && (-AHEAD_MS..=NONCE_MS).contains(&age)
}

//! What we say about a person (OpenID Connect Core, section 5): only what the scopes allow.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha512};

use crate::account::User;
use crate::crypto::SigningAlg;

/// The claims of a person that these scopes open. `sub` is not among them: it is always said, and never used again
/// for somebody else, since ids are not.
pub(super) fn of(user: &User, scopes: &[String]) -> Map<String, Value> {
    let has = |value: &str| scopes.iter().any(|scope| scope == value);
    let mut claims = Map::new();
    if has("profile") {
        claims.insert("name".into(), user.name.clone().into());
        claims.insert("preferred_username".into(), user.email.clone().into());
    }
    if has("email") {
        claims.insert("email".into(), user.email.clone().into());
        // An admin typed the address, or its owner followed a link: nobody proved it by mail.
        claims.insert("email_verified".into(), false.into());
    }
    claims
}

/// The claim that ties an access token to an ID token: the left half of its hash, by the hash of the signature
/// algorithm, which is SHA-512 for Ed25519 and SHA-256 for the others.
pub(super) fn at_hash(alg: SigningAlg, access_token: &SecretString) -> String {
    let token = access_token.expose_secret().as_bytes();
    let digest = match alg {
        SigningAlg::EdDsa => Sha512::digest(token).to_vec(),
        _ => Sha256::digest(token).to_vec(),
    };
    URL_SAFE_NO_PAD.encode(digest.get(..digest.len() / 2).unwrap_or_default())
}

//! Signatures of Standard Webhooks: `v1` by HMAC-SHA256 with a secret both sides have, `v1a` by Ed25519 with a key only
//! we have. Both are over `id.timestamp.body`, so that neither a captured request nor its parts can be used again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::crypto::{SigningKey, hmac_sha256};

/// What an endpoint's requests are signed with.
pub struct Secrets {
    /// The secret, `whsec_…`, and the one before it while both are valid.
    pub symmetric: Vec<SecretString>,
    /// The key pair.
    pub key: Option<SigningKey>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.symmetric.len())
    }
}

/// A new secret: `whsec_` and 32 random bytes.
pub(super) fn new_secret() -> SecretString {
    let bytes = SigningKey::new_seed();
    SecretString::from(format!("whsec_{}", STANDARD.encode(&bytes[..])))
}

/// A new key pair: the seed to seal, and the public half as consumers take it.
pub(super) fn new_key() -> Option<(SecretString, String)> {
    let seed = SigningKey::new_seed();
    let key = SigningKey::from_seed(&seed[..])?;
    let public = format!("whpk_{}", STANDARD.encode(key.public()));
    Some((SecretString::from(STANDARD.encode(&seed[..])), public))
}

/// The key pair of a seed that was sealed.
pub(super) fn key_of(seed: &SecretString) -> Option<SigningKey> {
    SigningKey::from_seed(&STANDARD.decode(seed.expose_secret()).ok()?)
}

/// What requests are signed with that belong to no stored webhook: the given secret, or a new one, and a new key pair
/// with its public half. `None` if what was given is no secret.
pub fn secrets_for(given: Option<SecretString>) -> Option<(Secrets, String)> {
    let secret = match given {
        Some(secret) => Some(secret)
            .filter(|secret| secret.expose_secret().starts_with("whsec_") && key_bytes(secret).len() >= 24)?,
        None => new_secret(),
    };
    let (seed, public) = new_key()?;
    let secrets = Secrets {
        symmetric: vec![secret],
        key: key_of(&seed),
    };
    Some((secrets, public))
}

/// The bytes of a secret `whsec_…`.
pub(super) fn key_bytes(secret: &SecretString) -> Vec<u8> {
    let text = secret.expose_secret();
    STANDARD
        .decode(text.strip_prefix("whsec_").unwrap_or(text))
        .unwrap_or_default()
}

/// The value of `webhook-signature` for a request at a time, seconds since 1970.
pub fn sign(secrets: &Secrets, id: &str, timestamp: i64, body: &[u8]) -> String {
    let head = format!("{id}.{timestamp}.");
    let mut signatures: Vec<String> = secrets
        .symmetric
        .iter()
        .map(|secret| {
            let mac = hmac_sha256(&key_bytes(secret), &[head.as_bytes(), body]);
            format!("v1,{}", STANDARD.encode(mac))
        })
        .collect();
    if let Some(key) = &secrets.key {
        let signed = [head.as_bytes(), body].concat();
        signatures.push(format!("v1a,{}", STANDARD.encode(key.sign(&signed))));
    }
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // Key, id, time and body of the specification's own example; the signature is worked out by its rule.
        let secrets = Secrets {
            symmetric: vec![SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
            key: None,
        };
        let signed = sign(
            &secrets,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_a_secret_is_changed_both_sign() {
        let secrets = Secrets {
            symmetric: vec![new_secret(), new_secret()],
            key: new_key().and_then(|(seed, _)| key_of(&seed)),
        };
        let signed = sign(&secrets, "evt_1", 1, b"{}");
        let kinds: Vec<&str> = signed
            .split(' ')
            .filter_map(|one| one.split(',').next())
            .collect();
        assert_eq!(kinds, ["v1", "v1", "v1a"]);
    }
}

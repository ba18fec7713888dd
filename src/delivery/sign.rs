//! Signatures of Standard Webhooks: `v1` by HMAC-SHA256 with a secret both sides have, `v1a` by Ed25519 with a key only
//! we have. Both are over `id.timestamp.body`, so that neither a captured request nor its parts can be used again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::crypto::{SigningKey, hmac_sha256, sha256_hex};

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
fn key_bytes(secret: &SecretString) -> Vec<u8> {
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

/// A signature that stands in the body, as Mailgun makes it: over time and token, by HMAC-SHA256 with a key that is text.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// When the request is made, seconds since 1970.
    pub timestamp: String,
    /// Another one for each attempt: receivers refuse one that came before. As long as Mailgun's.
    pub token: String,
    /// In hex.
    pub signature: String,
}

/// The stamp of an attempt (from 1). Its key is the secret as it was shown, since that is what such receivers are given.
/// There is room for one signature: while two secrets are valid they take turns, so that the next attempt is signed by
/// the other one. The new one comes first: a receiver gets it within minutes, and would otherwise refuse each first attempt
/// until the old one ends.
pub fn stamp(secrets: &Secrets, event_id: &str, attempt: i64, now_ms: i64) -> Stamp {
    let timestamp = (now_ms / 1_000).to_string();
    let mut token = sha256_hex(format!("{event_id}.{attempt}").as_bytes());
    token.truncate(50);
    let turn = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
    let secret = secrets.symmetric.get(turn % secrets.symmetric.len().max(1));
    let signature = secret.map(|secret| {
        let key = secret.expose_secret().as_bytes();
        hex::encode(hmac_sha256(key, &[timestamp.as_bytes(), token.as_bytes()]))
    });
    Stamp {
        timestamp,
        token,
        signature: signature.unwrap_or_default(),
    }
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

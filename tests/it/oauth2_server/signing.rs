//! Keys of clients, and whatever can be signed with them, right or wrong.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use mailgrant::crypto::{SigningAlg, new_signing_key, public_jwk};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A key pair of a client, ES256.
pub struct Key {
    pub kid: String,
    pem: SecretString,
}

impl Key {
    pub fn new(kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            pem: new_signing_key(SigningAlg::Es256).unwrap(),
        }
    }

    /// The private half, PEM.
    pub fn pem(&self) -> &str {
        self.pem.expose_secret()
    }

    /// The public half, as it is registered.
    pub fn jwk(&self) -> Value {
        public_jwk(SigningAlg::Es256, &self.kid, &self.pem).unwrap()
    }

    /// The public half, as it stands in a proof.
    pub fn bare_jwk(&self) -> Value {
        let jwk = self.jwk();
        json!({ "kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"] })
    }

    pub fn set(&self) -> Value {
        json!({ "keys": [self.jwk()] })
    }

    /// Signs with any header and any claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let key = EncodingKey::from_ec_pem(self.pem.expose_secret().as_bytes()).unwrap();
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::ES256).unwrap();
        format!("{signed}.{signature}")
    }

    /// Signs as this key with its own id.
    pub fn token(&self, typ: &str, claims: &Value) -> String {
        self.sign(&json!({ "alg": "ES256", "kid": self.kid, "typ": typ }), claims)
    }

    /// A proof (RFC 9449) with some claims changed, or (null) left out.
    pub fn proof(&self, method: &str, url: &str, access_token: Option<&str>, changes: &Value) -> String {
        let mut claims = json!({
            "htm": method, "htu": url, "iat": now(), "jti": random(),
        });
        if let Some(token) = access_token {
            claims["ath"] = URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes())).into();
        }
        change(&mut claims, changes);
        self.sign(
            &json!({ "alg": "ES256", "typ": "dpop+jwt", "jwk": self.bare_jwk() }),
            &claims,
        )
    }
}

/// Changes members of an object; null takes one out.
pub fn change(value: &mut Value, changes: &Value) {
    let members = value.as_object_mut().unwrap();
    for (name, change) in changes.as_object().into_iter().flatten() {
        match change {
            Value::Null => drop(members.remove(name)),
            other => drop(members.insert(name.clone(), other.clone())),
        }
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    mailgrant::clock::Clock::system().now_ms() / 1000
}

pub fn random() -> String {
    mailgrant::crypto::random_token(12)
}

/// A token that nobody signed: `alg` none, or the public key taken for a shared secret.
pub fn forged(alg: &str, header: &Value, claims: &Value, secret: &[u8]) -> String {
    let mut header = header.clone();
    header["alg"] = alg.into();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let signature = match alg {
        "none" => String::new(),
        _ => URL_SAFE_NO_PAD.encode(mailgrant::crypto::hmac_sha256(secret, &[signed.as_bytes()])),
    };
    format!("{signed}.{signature}")
}

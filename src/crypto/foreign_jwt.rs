//! Signed tokens that others made: what they claim, and whether a signature holds under a key and an algorithm that we
//! chose. The token's own header chooses neither: an algorithm that was not pinned, a key in the header or an address of
//! one, or an extension that must be understood, and the token is nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::JwtError;

/// Longest token that is looked at, bytes.
const MAX_BYTES: usize = 16 * 1024;

/// Members of a header that bring a key, or the address of one, or change what the rest means.
const REFUSED: [&str; 7] = ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"];

/// Algorithms that signed tokens of others may have. `none` and what is not here cannot be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IssuerAlg {
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-512 and a secret that both sides have.
    Hs512,
}

impl IssuerAlg {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Hs512,
    ];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Hs512 => "HS512",
        }
    }

    /// Reads the registered name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == text)
    }

    /// Whether it works with a secret that both sides have.
    pub fn is_shared(self) -> bool {
        self == Self::Hs512
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Rs384 => Algorithm::RS384,
            Self::Rs512 => Algorithm::RS512,
            Self::Ps256 => Algorithm::PS256,
            Self::Ps384 => Algorithm::PS384,
            Self::Ps512 => Algorithm::PS512,
            Self::Es256 => Algorithm::ES256,
            Self::Es384 => Algorithm::ES384,
            Self::EdDsa => Algorithm::EdDSA,
            Self::Hs512 => Algorithm::HS512,
        }
    }

    /// The kind of key it needs, in the words of a JWK.
    fn key_type(self) -> &'static str {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => "RSA",
            Self::Es256 | Self::Es384 => "EC",
            Self::EdDsa => "OKP",
            Self::Hs512 => "oct",
        }
    }
}

/// What a token says before anything of it is proven: enough to find out whose key to try.
#[derive(Clone, Debug)]
pub struct IssuerToken {
    /// Its algorithm.
    pub alg: IssuerAlg,
    /// The id of its key.
    pub kid: Option<String>,
    /// Its type, in small letters.
    pub typ: Option<String>,
    /// Who says to have made it.
    pub issuer: String,
}

/// Reads a token without proving anything; `None` for what is none that could ever hold.
pub fn read_unproven(token: &str) -> Option<IssuerToken> {
    if token.len() > MAX_BYTES {
        return None;
    }
    let mut parts = token.split('.');
    let (head, body, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || signature.is_empty() {
        return None;
    }
    let header = object(head)?;
    if REFUSED.iter().any(|name| header.contains_key(*name)) {
        return None;
    }
    let claims = object(body)?;
    let text = |from: &Map<String, Value>, name: &str| from.get(name)?.as_str().map(str::to_owned);
    Some(IssuerToken {
        alg: IssuerAlg::parse(&text(&header, "alg")?)?,
        kid: match header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str()?.to_owned()),
        },
        typ: text(&header, "typ").map(|typ| typ.to_ascii_lowercase()),
        issuer: text(&claims, "iss")?,
    })
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    match serde_json::from_slice(&bytes).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// Whether a key of a published set may be used with an algorithm: its kind, and what it says of itself.
pub fn key_fits(jwk: &Value, alg: IssuerAlg) -> bool {
    let says = |name: &str| jwk.get(name).and_then(Value::as_str);
    says("kty") == Some(alg.key_type())
        && says("alg").is_none_or(|own| own == alg.as_str())
        && says("use").is_none_or(|own| own == "sig")
        // A private key that somebody published is in everybody's hands.
        && jwk.get("d").is_none()
}

/// The claims of a token whose signature holds under this public key and this algorithm. Times and audience are the
/// caller's to check.
pub fn verify_foreign(token: &str, alg: IssuerAlg, jwk: &Value) -> Result<Value, JwtError> {
    if alg.is_shared() || !key_fits(jwk, alg) {
        return Err(JwtError);
    }
    // Of the key only what it is made of: a set may name uses this library has no word for.
    let mut bare = Map::new();
    for name in ["kty", "n", "e", "crv", "x", "y"] {
        if let Some(value) = jwk.get(name) {
            bare.insert(name.to_owned(), value.clone());
        }
    }
    let jwk: Jwk = serde_json::from_value(Value::Object(bare)).map_err(|_| JwtError)?;
    decode(token, alg, &DecodingKey::from_jwk(&jwk).map_err(|_| JwtError)?)
}

/// The same under a secret that both sides have (HS512).
pub fn verify_shared(token: &str, secret: &SecretString) -> Result<Value, JwtError> {
    let key = DecodingKey::from_secret(secret.expose_secret().as_bytes());
    decode(token, IssuerAlg::Hs512, &key)
}

fn decode(token: &str, alg: IssuerAlg, key: &DecodingKey) -> Result<Value, JwtError> {
    let mut validation = Validation::new(alg.algorithm());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<Value>(token, key, &validation)
        .map_err(|_| JwtError)?
        .claims;
    if claims.is_object() {
        Ok(claims)
    } else {
        Err(JwtError)
    }
}

/// Signs with HS512, as the other side does. For tests and the demonstration of an issuer.
#[cfg(test)]
pub(crate) fn sign_shared(secret: &str, claims: &Value) -> String {
    let header = jsonwebtoken::Header::new(Algorithm::HS512);
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crypto::{SigningAlg, new_signing_key, public_jwk, sign_jwt};

    fn forged(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", part(header), part(claims))
    }

    #[test]
    fn n42_a_header_chooses_neither_key_nor_algorithm() {
        let claims = json!({ "iss": "https://idp.example", "sub": "a" });
        let of = |header: Value| read_unproven(&forged(&header, &claims)).is_some();
        assert!(of(json!({ "alg": "RS256", "kid": "k" })));
        for header in [
            json!({ "alg": "none" }),
            json!({ "alg": "None" }),
            json!({ "alg": "HS256" }),
            json!({ "alg": "RS1" }),
            json!({ "alg": ["RS256"] }),
            json!({}),
            json!({ "alg": "RS256", "jwk": { "kty": "RSA" } }),
            json!({ "alg": "RS256", "jku": "https://evil.example/keys" }),
            json!({ "alg": "RS256", "x5u": "https://evil.example/cert" }),
            json!({ "alg": "RS256", "x5c": ["AAAA"] }),
            json!({ "alg": "RS256", "crit": ["exp"] }),
            json!({ "alg": "RS256", "b64": false }),
            json!({ "alg": "RS256", "kid": 5 }),
        ] {
            assert!(!of(header.clone()), "{header}");
        }
        for token in ["", ".", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "a.b.c.d"] {
            assert!(read_unproven(token).is_none(), "{token}");
        }
        assert!(read_unproven(&"a".repeat(MAX_BYTES + 1)).is_none());
    }

    #[test]
    fn n42_the_public_key_is_no_secret_and_an_algorithm_no_other() {
        let pem = new_signing_key(SigningAlg::Rs256).unwrap();
        let jwk = public_jwk(SigningAlg::Rs256, "k", &pem).unwrap();
        let claims = json!({ "iss": "https://idp.example" });
        let good = sign_jwt(SigningAlg::Rs256, "k", "JWT", &pem, &claims).unwrap();
        assert_eq!(verify_foreign(&good, IssuerAlg::Rs256, &jwk).unwrap(), claims);
        for other in IssuerAlg::ALL.into_iter().filter(|alg| *alg != IssuerAlg::Rs256) {
            assert!(verify_foreign(&good, other, &jwk).is_err(), "{other:?}");
        }
        // Signed with the text of the public key as a secret.
        let confused = sign_shared(&jwk.to_string(), &claims);
        for alg in IssuerAlg::ALL {
            assert!(verify_foreign(&confused, alg, &jwk).is_err(), "{alg:?}");
        }
        assert!(verify_shared(&good, &SecretString::from(jwk.to_string())).is_err());
        assert!(verify_shared(&confused, &SecretString::from("another".to_owned())).is_err());
        // A key that says it is for something else, or that is private.
        for (name, value) in [("use", "enc"), ("alg", "PS256"), ("kty", "oct"), ("d", "AAAA")] {
            let mut changed = jwk.clone();
            changed[name] = json!(value);
            assert!(
                verify_foreign(&good, IssuerAlg::Rs256, &changed).is_err(),
                "{name}"
            );
        }
    }
}

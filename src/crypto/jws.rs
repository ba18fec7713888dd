//! Signed tokens of others (RFC 7515): assertions, request objects and proofs of applications, tokens of issuers that are
//! trusted; and our own, when they come back.
//!
//! What a token says is read before its signature is checked, because it names the key; the type says so.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Algorithms that signed tokens of others may have. `none` and what is not here cannot be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForeignAlg {
    /// RSA, PKCS#1 v1.5, SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSA, PSS, SHA-256.
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
    /// HMAC with SHA-512 and a secret that both sides have: of issuers only, and never under a key.
    Hs512,
}

impl ForeignAlg {
    /// Those of applications. Nothing that shares a secret is among them, so no public key can be taken for one.
    pub const CLIENT: [Self; 5] = [Self::Rs256, Self::Ps256, Self::Es256, Self::Es384, Self::EdDsa];

    /// Those of issuers that are trusted: all of them.
    pub const ISSUER: [Self; 10] = [
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

    /// Reads the registered name, or the one RFC 9864 gave Ed25519.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ISSUER.into_iter().find(|alg| alg.as_str() == text)
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
}

/// Longest token that is looked at, bytes.
const MAX_TOKEN: usize = 32 * 1024;
/// Longest token of an issuer, bytes.
const MAX_OF_ISSUER: usize = 16 * 1024;
/// Members of a header that bring a key, or the address of one, or change what the rest means.
const BRING_A_KEY: [&str; 5] = ["jwk", "jku", "x5u", "x5c", "zip"];
/// RSA keys: 2048 to 8192 bits, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// Members of a JWK that are secret.
const SECRET_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// What a token says of itself. Nothing of it is proven until [`Unproven::is_signed_by`] said so.
#[derive(Clone, Debug)]
pub struct Unproven {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: String,
    signature: String,
}

impl Unproven {
    /// Reads the compact form: three parts of base64url without padding, two of them JSON objects, and no extension that
    /// would have to be understood.
    pub fn read(token: &str) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') || signature.is_empty() {
            return None;
        }
        let object = |part: &str| -> Option<Map<String, Value>> {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice::<Strict>(&bytes)
                .ok()
                .map(|strict| strict.0)
        };
        URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header = object(header)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return None;
        }
        if header.get("kid").is_some_and(|kid| !kid.is_string()) {
            return None;
        }
        Some(Self {
            header,
            claims: object(claims)?,
            signed: signed.to_owned(),
            signature: signature.to_owned(),
        })
    }

    /// The same for a token of an issuer: its header chooses neither key nor algorithm, and it says whose it is.
    pub fn of_issuer(token: &str) -> Option<Self> {
        let read = Self::read(token).filter(|_| token.len() <= MAX_OF_ISSUER)?;
        let brings = BRING_A_KEY.iter().any(|name| read.header.contains_key(*name));
        (!brings && read.any_alg().is_some() && read.text("iss").is_some()).then_some(read)
    }

    /// The algorithm it names, if it is one of those of applications.
    pub fn alg(&self) -> Option<ForeignAlg> {
        self.any_alg().filter(|alg| ForeignAlg::CLIENT.contains(alg))
    }

    /// The algorithm it names, if it is one of those of issuers.
    pub fn any_alg(&self) -> Option<ForeignAlg> {
        ForeignAlg::parse(self.header.get("alg")?.as_str()?)
    }

    /// The key it names.
    pub fn kid(&self) -> Option<&str> {
        self.header.get("kid")?.as_str()
    }

    /// Its type, in lower case and without `application/`; empty if it has none.
    pub fn typ(&self) -> String {
        let typ = self.header.get("typ").and_then(Value::as_str).unwrap_or_default();
        let typ = typ.to_ascii_lowercase();
        typ.strip_prefix("application/").unwrap_or(&typ).to_owned()
    }

    /// The key it carries.
    pub fn jwk(&self) -> Option<&Value> {
        self.header.get("jwk")
    }

    /// A claim.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// A claim that is a time: milliseconds since 1970.
    pub fn time_ms(&self, name: &str) -> Option<i64> {
        let value = self.claims.get(name)?;
        let seconds = value.as_i64().or_else(|| {
            let float = value.as_f64()?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked to be small and whole enough"
            )]
            (float.is_finite() && float.abs() < 1e12).then_some(float as i64)
        })?;
        seconds.checked_mul(1000)
    }

    /// All claims.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Whether this public key signed it with this algorithm, which must be the one it names.
    pub fn is_signed_by(&self, alg: ForeignAlg, jwk: &Value) -> bool {
        fits(jwk, alg) && decoding_key(jwk).is_some_and(|key| self.holds(alg, &key))
    }

    /// Whether it was signed with this secret, which both sides have (HS512).
    pub fn is_signed_with(&self, secret: &SecretString) -> bool {
        let key = DecodingKey::from_secret(secret.expose_secret().as_bytes());
        self.holds(ForeignAlg::Hs512, &key)
    }

    fn holds(&self, alg: ForeignAlg, key: &DecodingKey) -> bool {
        self.any_alg() == Some(alg)
            && jsonwebtoken::crypto::verify(&self.signature, self.signed.as_bytes(), key, alg.algorithm())
                .unwrap_or(false)
    }
}

/// An object in which no member stands twice: of two, somebody else may read the other one.
struct Strict(Map<String, Value>);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Strict;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut access: A) -> Result<Strict, A::Error> {
                let mut map = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if map.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a member stands twice"));
                    }
                }
                Ok(Strict(map))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// Whether a public key may be used to check signatures of an algorithm: its type, its curve, its size, and what it says
/// itself it is for.
pub fn fits(jwk: &Value, alg: ForeignAlg) -> bool {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let is_kind = match alg {
        // A secret is nobody's public key.
        ForeignAlg::Hs512 => false,
        ForeignAlg::Rs256
        | ForeignAlg::Rs384
        | ForeignAlg::Rs512
        | ForeignAlg::Ps256
        | ForeignAlg::Ps384
        | ForeignAlg::Ps512 => {
            text("kty") == Some("RSA")
                && text("n")
                    .and_then(|n| URL_SAFE_NO_PAD.decode(n).ok())
                    .is_some_and(|n| RSA_BYTES.contains(&n.iter().skip_while(|byte| **byte == 0).count()))
        }
        ForeignAlg::Es256 => text("kty") == Some("EC") && text("crv") == Some("P-256"),
        ForeignAlg::Es384 => text("kty") == Some("EC") && text("crv") == Some("P-384"),
        ForeignAlg::EdDsa => text("kty") == Some("OKP") && text("crv") == Some("Ed25519"),
    };
    let is_public = !SECRET_MEMBERS.iter().any(|name| jwk.get(name).is_some());
    let is_meant = text("use").is_none_or(|what| what == "sig")
        && text("alg").is_none_or(|named| ForeignAlg::parse(named) == Some(alg))
        && jwk
            .get("key_ops")
            .and_then(Value::as_array)
            .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    is_kind && is_public && is_meant
}

fn decoding_key(jwk: &Value) -> Option<DecodingKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    match text("kty")? {
        "RSA" => DecodingKey::from_rsa_components(text("n")?, text("e")?).ok(),
        "EC" => DecodingKey::from_ec_components(text("x")?, text("y")?).ok(),
        "OKP" => DecodingKey::from_ed_components(text("x")?).ok(),
        _ => None,
    }
}

/// The thumbprint of a public key (RFC 7638), SHA-256 in base64url.
pub fn jwk_thumbprint(jwk: &Value) -> Option<String> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    // Members in the order of the alphabet, nothing else, no space: what `json!` writes.
    let members = match text("kty")? {
        "RSA" => json!({ "e": text("e")?, "kty": "RSA", "n": text("n")? }),
        "EC" => json!({ "crv": text("crv")?, "kty": "EC", "x": text("x")?, "y": text("y")? }),
        "OKP" => json!({ "crv": text("crv")?, "kty": "OKP", "x": text("x")? }),
        _ => return None,
    };
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(members.to_string().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{SigningAlg, new_signing_key, public_jwk, sign_jwt};

    fn encode(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    #[test]
    fn a_signature_holds_under_its_own_key_and_the_algorithm_that_is_expected() {
        for (alg, ours) in [
            (ForeignAlg::Rs256, SigningAlg::Rs256),
            (ForeignAlg::Es256, SigningAlg::Es256),
            (ForeignAlg::EdDsa, SigningAlg::EdDsa),
        ] {
            let pem = new_signing_key(ours).unwrap();
            let jwk = public_jwk(ours, "k", &pem).unwrap();
            let token = sign_jwt(ours, "k", "JWT", &pem, &json!({ "iss": "a", "exp": 5 })).unwrap();
            let read = Unproven::read(&token).unwrap();
            assert_eq!(
                (read.kid(), read.alg(), read.typ().as_str()),
                (Some("k"), Some(alg), "jwt")
            );
            assert_eq!((read.text("iss"), read.time_ms("exp")), (Some("a"), Some(5_000)));
            assert!(read.is_signed_by(alg, &jwk), "{alg:?}");
            assert!(jwk.get("d").is_none() && jwk["kid"] == "k" && jwk["alg"] == ours.as_str());
            let (head, tail) = token.rsplit_once('.').unwrap();
            let flipped = if tail.starts_with('A') { "B" } else { "A" };
            let changed = Unproven::read(&format!("{head}.{flipped}{}", &tail[1..])).unwrap();
            assert!(!changed.is_signed_by(alg, &jwk), "{alg:?}");
            for other in ForeignAlg::ISSUER.into_iter().filter(|other| *other != alg) {
                assert!(!read.is_signed_by(other, &jwk), "{alg:?} as {other:?}");
            }
            let another = public_jwk(ours, "k", &new_signing_key(ours).unwrap()).unwrap();
            assert!(!read.is_signed_by(alg, &another));
            let mut private = jwk.clone();
            private["d"] = "x".into();
            assert!(
                !read.is_signed_by(alg, &private),
                "a private key is nobody's public one"
            );
            let mut for_encryption = jwk;
            for_encryption["use"] = "enc".into();
            assert!(!read.is_signed_by(alg, &for_encryption));
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        let claims = encode(&json!({ "iss": "a" }));
        let header = encode(&json!({ "alg": "ES256" }));
        assert!(Unproven::read(&format!("{header}.{claims}.AAAA")).is_some());
        for bad in [
            format!("{header}.{claims}"),
            format!("{header}.{claims}."),
            format!("{header}.{claims}.AAAA.BBBB"),
            format!("{header}=.{claims}.AAAA"),
            format!(
                "{}.{claims}.AAAA",
                encode(&json!({ "alg": "ES256", "crit": ["x"], "x": 1 }))
            ),
            format!(
                "{}.{claims}.AAAA",
                encode(&json!({ "alg": "ES256", "b64": false }))
            ),
            format!(
                "{}.{claims}.AAAA",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","alg":"RS256"}"#)
            ),
            format!(
                "{header}.{}.AAAA",
                URL_SAFE_NO_PAD.encode(r#"{"sub":"a","sub":"b"}"#)
            ),
            format!("{header}.{}.AAAA", encode(&json!(["a"]))),
            format!("{header}.{claims}.AA+A"),
            String::new(),
        ] {
            assert!(Unproven::read(&bad).is_none(), "{bad}");
        }
        for alg in ["none", "HS256", "HS512", "RS512", "es256"] {
            let read = Unproven::read(&format!("{}.{claims}.AAAA", encode(&json!({ "alg": alg })))).unwrap();
            assert_eq!(read.alg(), None, "{alg}");
        }
    }

    #[test]
    fn a_thumbprint_is_that_of_rfc_7638_and_of_rfc_8037() {
        let ed =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        assert_eq!(
            jwk_thumbprint(&ed).unwrap(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
        let rsa = json!({
            "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        });
        assert_eq!(
            jwk_thumbprint(&rsa).unwrap(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        assert!(
            !fits(
                &json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" }),
                ForeignAlg::Rs256
            ),
            "too small"
        );
    }

    fn sign_shared(secret: &str, claims: &Value) -> String {
        let header = jsonwebtoken::Header::new(Algorithm::HS512);
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }

    #[test]
    fn n42_a_header_chooses_neither_key_nor_algorithm() {
        let claims = encode(&json!({ "iss": "https://idp.example", "sub": "a" }));
        let of = |header: Value| Unproven::of_issuer(&format!("{}.{claims}.AAAA", encode(&header))).is_some();
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
            json!({ "alg": "RS256", "zip": "DEF" }),
            json!({ "alg": "RS256", "crit": ["exp"] }),
            json!({ "alg": "RS256", "b64": false }),
            json!({ "alg": "RS256", "kid": 5 }),
        ] {
            assert!(!of(header.clone()), "{header}");
        }
        for token in ["", ".", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "a.b.c.d"] {
            assert!(Unproven::of_issuer(token).is_none(), "{token}");
        }
        let nobody = encode(&json!({ "sub": "a" }));
        let header = encode(&json!({ "alg": "RS256" }));
        assert!(
            Unproven::of_issuer(&format!("{header}.{nobody}.AAAA")).is_none(),
            "no iss"
        );
        let long = encode(&json!({ "iss": "a", "x": "a".repeat(MAX_OF_ISSUER) }));
        assert!(
            Unproven::of_issuer(&format!("{header}.{long}.AAAA")).is_none(),
            "too long"
        );
        assert!(Unproven::read(&"a".repeat(MAX_TOKEN + 1)).is_none());
    }

    #[test]
    fn n42_the_public_key_is_no_secret_and_an_algorithm_no_other() {
        let pem = new_signing_key(SigningAlg::Rs256).unwrap();
        let jwk = public_jwk(SigningAlg::Rs256, "k", &pem).unwrap();
        let claims = json!({ "iss": "https://idp.example" });
        let good = sign_jwt(SigningAlg::Rs256, "k", "JWT", &pem, &claims).unwrap();
        let good = Unproven::of_issuer(&good).unwrap();
        assert!(good.is_signed_by(ForeignAlg::Rs256, &jwk));
        for other in ForeignAlg::ISSUER
            .into_iter()
            .filter(|alg| *alg != ForeignAlg::Rs256)
        {
            assert!(!good.is_signed_by(other, &jwk), "{other:?}");
        }
        // Signed with the text of the public key as a secret.
        let confused = Unproven::of_issuer(&sign_shared(&jwk.to_string(), &claims)).unwrap();
        for alg in ForeignAlg::ISSUER {
            assert!(!confused.is_signed_by(alg, &jwk), "{alg:?}");
        }
        assert!(!good.is_signed_with(&SecretString::from(jwk.to_string())));
        assert!(!confused.is_signed_with(&SecretString::from("another".to_owned())));
        assert!(confused.is_signed_with(&SecretString::from(jwk.to_string())));
        // Not even a set that says so makes a secret a key.
        let oct = json!({ "kty": "oct", "k": encode(&json!("secret")), "alg": "HS512" });
        assert!(ForeignAlg::ISSUER.into_iter().all(|alg| !fits(&oct, alg)));
        // A key that says it is for something else, or that is private.
        for (name, value) in [("use", "enc"), ("alg", "PS256"), ("kty", "oct"), ("d", "AAAA")] {
            let mut changed = jwk.clone();
            changed[name] = json!(value);
            assert!(!good.is_signed_by(ForeignAlg::Rs256, &changed), "{name}");
        }
    }
}

//! Signed tokens (RFC 7515, RFC 7519): making key pairs, signing, checking a signature with a public key.
//!
//! What claims mean, and for how long a key is used, is decided elsewhere. Private keys never touch another library
//! than aws-lc.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Algorithms we sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SigningAlg {
    /// RSA, 2048 bits, PKCS#1 v1.5, SHA-256: what every OpenID Connect client can check.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SigningAlg {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads the registered name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == text)
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// A token could not be made or does not hold. Deliberately without details: they help only who forges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signed token could not be made or checked")]
pub struct JwtError;

/// A new private key in PEM (PKCS#8).
pub fn new_signing_key(alg: SigningAlg) -> Result<SecretString, JwtError> {
    let rng = SystemRandom::new();
    let der = match alg {
        SigningAlg::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
            .map_err(|_| JwtError)?
            .as_ref()
            .to_vec(),
        SigningAlg::EdDsa => Ed25519KeyPair::generate_pkcs8v1(&rng)
            .map_err(|_| JwtError)?
            .as_ref()
            .to_vec(),
        SigningAlg::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048)
            .and_then(|key| key.as_der().map(|der| der.as_ref().to_vec()))
            .map_err(|_| JwtError)?,
    };
    let body = STANDARD.encode(zeroize::Zeroizing::new(der).as_slice());
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    );
    Ok(SecretString::from(pem))
}

/// The public half of a key as a JWK (RFC 7517) for publication.
pub fn public_jwk(alg: SigningAlg, kid: &str, pem: &SecretString) -> Result<Value, JwtError> {
    let jwk = Jwk::from_encoding_key(&encoding_key(alg, pem)?, alg.algorithm()).map_err(|_| JwtError)?;
    let mut value = serde_json::to_value(jwk).map_err(|_| JwtError)?;
    let members = value.as_object_mut().ok_or(JwtError)?;
    members.insert("kid".into(), kid.into());
    members.insert("use".into(), "sig".into());
    members.insert("alg".into(), alg.as_str().into());
    Ok(value)
}

/// Signs claims. `typ` is the token's type, such as `JWT` or `at+jwt`.
pub fn sign_jwt(
    alg: SigningAlg,
    kid: &str,
    typ: &str,
    pem: &SecretString,
    claims: &Value,
) -> Result<String, JwtError> {
    let mut header = Header::new(alg.algorithm());
    header.kid = Some(kid.to_owned());
    header.typ = Some(typ.to_owned());
    jsonwebtoken::encode(&header, claims, &encoding_key(alg, pem)?).map_err(|_| JwtError)
}

/// The `kid` and `alg` a token claims to be signed with. Nothing of it is proven.
pub fn jwt_key_id(token: &str) -> Option<(String, SigningAlg)> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    let alg = SigningAlg::ALL
        .into_iter()
        .find(|alg| alg.algorithm() == header.alg)?;
    Some((header.kid?, alg))
}

/// The claims of a token whose signature holds under this public key and algorithm. Times and audience are the
/// caller's to check.
pub fn verify_jwt(token: &str, alg: SigningAlg, jwk: &Value) -> Result<Value, JwtError> {
    let jwk: Jwk = serde_json::from_value(jwk.clone()).map_err(|_| JwtError)?;
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| JwtError)?;
    let mut validation = Validation::new(alg.algorithm());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<Value>(token, &key, &validation)
        .map(|data| data.claims)
        .map_err(|_| JwtError)
}

fn encoding_key(alg: SigningAlg, pem: &SecretString) -> Result<EncodingKey, JwtError> {
    let pem = pem.expose_secret().as_bytes();
    match alg {
        SigningAlg::Rs256 => EncodingKey::from_rsa_pem(pem),
        SigningAlg::Es256 => EncodingKey::from_ec_pem(pem),
        SigningAlg::EdDsa => EncodingKey::from_ed_pem(pem),
    }
    .map_err(|_| JwtError)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_signed_holds_under_its_own_key_and_algorithm_only() {
        for alg in SigningAlg::ALL {
            let pem = new_signing_key(alg).unwrap();
            let jwk = public_jwk(alg, "k1", &pem).unwrap();
            assert!(
                jwk.get("d").is_none() && jwk["kid"] == "k1" && jwk["alg"] == alg.as_str(),
                "{jwk}"
            );
            let claims = json!({ "sub": "usr_1", "n": 1 });
            let token = sign_jwt(alg, "k1", "JWT", &pem, &claims).unwrap();
            assert_eq!(jwt_key_id(&token), Some(("k1".to_owned(), alg)));
            assert_eq!(verify_jwt(&token, alg, &jwk).unwrap(), claims);
            let other = public_jwk(alg, "k1", &new_signing_key(alg).unwrap()).unwrap();
            assert!(verify_jwt(&token, alg, &other).is_err());
            for wrong in SigningAlg::ALL.into_iter().filter(|wrong| *wrong != alg) {
                assert!(verify_jwt(&token, wrong, &jwk).is_err(), "{alg:?} as {wrong:?}");
            }
            let (head, tail) = token.rsplit_once('.').unwrap();
            assert!(verify_jwt(head, alg, &jwk).is_err());
            let flipped = if tail.starts_with('A') { "B" } else { "A" };
            assert!(verify_jwt(&format!("{head}.{flipped}{}", &tail[1..]), alg, &jwk).is_err());
        }
    }
}

//! Signed tokens (RFC 7515, RFC 7519): making key pairs and signing. Signatures are checked in `jws`.
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
use jsonwebtoken::{Algorithm, EncodingKey, Header};
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
    header.typ = (!typ.is_empty()).then(|| typ.to_owned());
    jsonwebtoken::encode(&header, claims, &encoding_key(alg, pem)?).map_err(|_| JwtError)
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

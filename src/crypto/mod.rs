//! Secrets at rest and the numbers nobody may guess: the key ring, sealing, random tokens, hashes of tokens and
//! passwords. Nothing here knows what the secrets are for, and nothing else in the crate touches a cipher.

mod jws;
mod jwt;
mod keyring;
mod password;
mod prefixed;
mod sign;

pub use jws::{ForeignAlg, Unproven, fits, jwk_thumbprint};
pub use jwt::{JwtError, SigningAlg, new_signing_key, public_jwk, sign_jwt};
pub use keyring::{KeyRing, KeyRingError, Place, SealError};
pub use password::{MIN_PASSWORD_CHARS, hash_password, normal_password, verify_password};
pub use prefixed::{is_prefixed, new_prefixed};
pub use sign::{SigningKey, hmac_sha1, hmac_sha256};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A random value of `bytes` bytes from the operating system's generator, as base64url without padding.
pub fn random_token(bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    rand::fill(&mut buffer[..]);
    URL_SAFE_NO_PAD.encode(buffer)
}

/// Random letters of an alphabet, each equally likely.
pub fn random_letters(alphabet: &[u8], count: usize) -> String {
    let size = alphabet.len().clamp(1, 256);
    // What is left over of 256 would make the first letters likelier.
    let fair = 256 - 256 % size;
    let mut letters = String::with_capacity(count);
    while letters.len() < count {
        let mut buffer = [0_u8; 32];
        rand::fill(&mut buffer[..]);
        let fitting = buffer.iter().filter(|byte| usize::from(**byte) < fair);
        for byte in fitting.take(count - letters.len()) {
            letters.extend(
                alphabet
                    .get(usize::from(*byte) % size)
                    .map(|letter| char::from(*letter)),
            );
        }
    }
    letters
}

/// Random bytes from the operating system's generator.
pub fn random_bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut buffer = Zeroizing::new([0_u8; N]);
    rand::fill(&mut buffer[..]);
    buffer
}

/// SHA-256 in lower-case hex: the form in which bearer tokens, states and link tokens are stored and looked up.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The PKCE challenge of a verifier, method S256 (RFC 7636, section 4.2).
pub fn pkce_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Compares two secrets without telling by its timing where they differ.
pub fn same_secret(a: &str, b: &str) -> bool {
    use subtle::ConstantTimeEq;
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

//! Passwords of local accounts: argon2id with the crate's defaults (19 MiB, 2 passes), as OWASP recommends.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;

/// Shortest new password, in characters: what NIST SP 800-63B-4 (section 3.1.1.2) wants of one that may be all there is. With a
/// second factor 8 would do, but a factor can be taken away later, and the password stays.
pub const MIN_PASSWORD_CHARS: usize = 15;

/// A password in the form that is counted and hashed: however a device composes its characters, it is the same one
/// (NIST SP 800-63B: normalisation by NFKC).
pub fn normal_password(password: &SecretString) -> SecretString {
    let text = password.expose_secret();
    if text.is_ascii() {
        return password.clone();
    }
    SecretString::from(text.nfkc().collect::<String>())
}

/// Hashes a password for storage. It takes tens of milliseconds of CPU: call it on a blocking thread.
pub fn hash_password(password: &SecretString) -> Option<String> {
    Argon2::default()
        .hash_password(normal_password(password).expose_secret().as_bytes())
        .ok()
        .map(|hash| hash.to_string())
}

/// Whether a password matches a stored hash. An unreadable hash matches nothing.
pub fn verify_password(password: &SecretString, stored: &str) -> bool {
    PasswordHash::new(stored).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(normal_password(password).expose_secret().as_bytes(), &hash)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_matches_its_hash() {
        let hash = hash_password(&SecretString::from("correct horse battery")).unwrap();
        assert!(verify_password(
            &SecretString::from("correct horse battery"),
            &hash
        ));
        assert!(!verify_password(
            &SecretString::from("correct horse batterY"),
            &hash
        ));
        assert!(!verify_password(&SecretString::from(""), ""));
    }

    #[test]
    fn a_password_is_the_same_however_its_accents_are_composed() {
        let hash = hash_password(&SecretString::from("Gr\u{fc}\u{df}e aus dem S\u{fc}den")).unwrap();
        assert!(verify_password(
            &SecretString::from("Gru\u{308}\u{df}e aus dem Su\u{308}den"),
            &hash
        ));
    }
}

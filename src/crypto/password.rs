//! Passwords of local accounts: argon2id with the crate's defaults (19 MiB, 2 passes), as OWASP recommends.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use secrecy::{ExposeSecret, SecretString};

/// Shortest password accepted, in characters (NIST SP 800-63B asks for at least 8; 12 leaves room for guessing rigs).
pub const MIN_PASSWORD_CHARS: usize = 12;

/// Hashes a password for storage. It takes tens of milliseconds of CPU: call it on a blocking thread.
pub fn hash_password(password: &SecretString) -> Option<String> {
    Argon2::default()
        .hash_password(password.expose_secret().as_bytes())
        .ok()
        .map(|hash| hash.to_string())
}

/// Whether a password matches a stored hash. An unreadable hash matches nothing.
pub fn verify_password(password: &SecretString, stored: &str) -> bool {
    PasswordHash::new(stored).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.expose_secret().as_bytes(), &hash)
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
}

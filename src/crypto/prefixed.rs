//! Random tokens that say what they are: a prefix, 40 random letters and digits, 6 of a checksum.
//!
//! The prefix lets secret scanners find a leaked one; the checksum lets them, our logs and our look-ups drop
//! look-alikes without asking the database.

use secrecy::SecretString;

use super::{random_token, sha256_hex};

/// Letters and digits: 238 random bits.
const RANDOM_CHARS: usize = 40;
const CHECKSUM_CHARS: usize = 6;

/// A new token with this prefix, for example `mg_at_`.
pub fn new_prefixed(prefix: &str) -> SecretString {
    let mut random = String::with_capacity(RANDOM_CHARS);
    while random.len() < RANDOM_CHARS {
        // Leaving out two of the 64 signs keeps the others equally likely.
        random.extend(
            random_token(48)
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(RANDOM_CHARS - random.len()),
        );
    }
    SecretString::from(format!("{prefix}{random}{}", checksum(prefix, &random)))
}

/// Whether a text has the shape and checksum of a token with this prefix.
pub fn is_prefixed(prefix: &str, token: &str) -> bool {
    let Some(rest) = token.strip_prefix(prefix) else {
        return false;
    };
    rest.len() == RANDOM_CHARS + CHECKSUM_CHARS
        && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        && rest
            .split_at_checked(RANDOM_CHARS)
            .is_some_and(|(random, sum)| checksum(prefix, random) == sum)
}

fn checksum(prefix: &str, random: &str) -> String {
    let mut sum = sha256_hex(format!("{prefix}{random}").as_bytes());
    sum.truncate(CHECKSUM_CHARS);
    sum
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_token_of_another_kind_or_with_one_wrong_letter_is_not_taken() {
        let token = new_prefixed("mg_at_");
        let text = token.expose_secret();
        assert!(is_prefixed("mg_at_", text), "{text}");
        assert!(!is_prefixed("mg_rt_", text));
        assert!(!is_prefixed("mg_at_", &text.replace("mg_at_", "mg_rt_")));
        let last = if text.ends_with('0') { "1" } else { "0" };
        assert!(!is_prefixed(
            "mg_at_",
            &format!("{}{last}", &text[..text.len() - 1])
        ));
        assert!(!is_prefixed("mg_at_", "mg_at_"));
        assert_ne!(text, new_prefixed("mg_at_").expose_secret());
    }
}

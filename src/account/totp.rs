//! Time-based one-time codes (RFC 6238) as authenticator apps make them: SHA-1, 30 seconds, six digits. Pure.

use secrecy::{ExposeSecret, SecretString};

use crate::crypto;

/// How long a code is shown, seconds.
const STEP_SECONDS: i64 = 30;
/// How many steps a clock may be wrong, either way.
const SKEW_STEPS: i64 = 1;
const DIGITS: usize = 6;
/// Bytes of a secret: as many as the hash has (RFC 4226, section 4).
const SECRET_BYTES: usize = 20;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new secret, in the letters in which people type it.
pub(super) fn new_secret() -> SecretString {
    SecretString::from(base32(&crypto::random_bytes::<SECRET_BYTES>()[..]))
}

/// The code of a moment, in steps since 1970.
pub(super) fn code_at(secret: &SecretString, step: i64) -> Option<String> {
    let key = from_base32(secret.expose_secret())?;
    let mac = crypto::hmac_sha1(&key, &step.to_be_bytes());
    let offset = usize::from(mac.last()? & 0x0f);
    let four: [u8; 4] = mac.get(offset..offset + 4)?.try_into().ok()?;
    let number = u32::from_be_bytes(four) & 0x7fff_ffff;
    Some(format!("{:0DIGITS$}", number % 1_000_000))
}

/// The step a code belongs to, if it is one of now and later than `after`: no code counts twice.
pub(super) fn step_of(secret: &SecretString, code: &str, now_ms: i64, after: i64) -> Option<i64> {
    let now = now_ms / 1000 / STEP_SECONDS;
    // Every candidate is compared, whichever fits.
    let mut found = None;
    for step in now - SKEW_STEPS..=now + SKEW_STEPS {
        let fits = code_at(secret, step).is_some_and(|right| crypto::same_secret(&right, code));
        if fits && step > after {
            found = Some(step);
        }
    }
    found
}

/// What an authenticator app reads (the de-facto `otpauth` URI).
pub(super) fn uri(secret: &SecretString, issuer: &str, account: &str) -> SecretString {
    let encode = |text: &str| -> String {
        // A plus would be read as one; spaces are %20 in this kind of URI.
        url::form_urlencoded::byte_serialize(text.as_bytes())
            .collect::<String>()
            .replace('+', "%20")
    };
    SecretString::from(format!(
        "otpauth://totp/{}:{}?secret={}&issuer={}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}",
        encode(issuer),
        encode(account),
        secret.expose_secret(),
        encode(issuer),
    ))
}

/// Base32 without padding (RFC 4648, section 6).
pub(super) fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(buffer >> bits & 31) as usize]));
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(BASE32[(buffer << (5 - bits) & 31) as usize]));
    }
    text
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for c in text.bytes() {
        let value = BASE32.iter().position(|known| *known == c)?;
        buffer = (buffer << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).ok()?);
        }
        buffer &= (1 << bits) - 1;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 6238, appendix B: "12345678901234567890".
    fn rfc_secret() -> SecretString {
        SecretString::from(base32(b"12345678901234567890"))
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(&rfc_secret(), seconds / 30).unwrap(), code, "{seconds}");
        }
    }

    #[test]
    fn a_clock_may_be_one_step_wrong_and_no_code_counts_twice() {
        let secret = rfc_secret();
        let now = 1_234_567_890;
        let step = now / 30;
        for (off, fits) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let code = code_at(&secret, step + off).unwrap();
            let found = step_of(&secret, &code, now * 1000, 0);
            assert_eq!(found, fits.then_some(step + off), "{off}");
        }
        let code = code_at(&secret, step).unwrap();
        assert_eq!(step_of(&secret, &code, now * 1000, step), None, "used already");
        assert_eq!(step_of(&secret, &code, now * 1000, step - 1), Some(step));
        for odd in ["", "12345", "1234567", "abcdef", "00592", "005924 "] {
            assert_eq!(step_of(&secret, odd, now * 1000, 0), None, "{odd}");
        }
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
            assert_eq!(from_base32(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(from_base32("0189"), None);
    }

    #[test]
    fn the_uri_names_site_and_account() {
        let uri = uri(&rfc_secret(), "Mailgrant help desk", "ada@example.org");
        assert_eq!(
            uri.expose_secret(),
            "otpauth://totp/Mailgrant%20help%20desk:ada%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&\
             issuer=Mailgrant%20help%20desk&algorithm=SHA1&digits=6&period=30"
        );
    }
}

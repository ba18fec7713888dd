//! The header field that marks what Mailgrant sends by itself, signed, so that it is known again when it comes back:
//! as an answer's echo, or inside a bounce.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::crypto::KeyRing;

/// The field's name.
pub const LOOP_HEADER: &str = "X-Mailgrant-Loop";

const PURPOSE: &str = "loop v1";
/// Bytes of the signature that are kept: more than anybody guesses.
const SIGNATURE: usize = 16;
/// What is looked at of a mail: a bounce returns the header it bounced within its first part or two.
const LOOKED_AT: usize = 256 * 1024;

/// Makes and knows the marks of one installation.
pub struct LoopMarks {
    keys: Vec<Zeroizing<[u8; 32]>>,
}

impl std::fmt::Debug for LoopMarks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LoopMarks({} keys)", self.keys.len())
    }
}

impl LoopMarks {
    /// With keys derived from the ring: the first signs, all of them check.
    pub fn new(ring: &KeyRing) -> Self {
        Self {
            keys: ring.derived(PURPOSE),
        }
    }

    /// The value of the field for one mail; `id` names it and is of our own making.
    pub fn sign(&self, id: &str) -> String {
        let signature = self
            .keys
            .first()
            .map(|key| signature(key, id))
            .unwrap_or_default();
        format!("1; {id}; {signature}")
    }

    /// Whether a value was signed here.
    pub fn is_ours(&self, value: &str) -> bool {
        let mut parts = value.split(';').map(str::trim);
        let (Some("1"), Some(id), Some(given), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        self.keys
            .iter()
            .any(|key| crate::crypto::same_secret(&signature(key, id), given))
    }

    /// Whether a mark of ours stands anywhere in a mail: in its own header or in what it returns.
    pub fn is_in(&self, raw: &[u8]) -> bool {
        let raw = &raw[..raw.len().min(LOOKED_AT)];
        String::from_utf8_lossy(raw)
            .lines()
            .filter_map(|line| {
                // Quoted with `> ` by those who return a mail as text.
                let line = line.trim_start_matches(['>', ' ', '\t']);
                let (name, value) = line.split_once(':')?;
                name.trim().eq_ignore_ascii_case(LOOP_HEADER).then_some(value)
            })
            .any(|value| self.is_ours(value))
    }
}

fn signature(key: &Zeroizing<[u8; 32]>, id: &str) -> String {
    // A key of any length is taken; there is no error to meet.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key[..]) else {
        return String::new();
    };
    mac.update(id.as_bytes());
    let full = mac.finalize().into_bytes();
    URL_SAFE_NO_PAD.encode(&full[..SIGNATURE])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> LoopMarks {
        let dir = tempfile::tempdir().unwrap();
        LoopMarks::new(&KeyRing::create(&dir.path().join("key")).unwrap())
    }

    #[test]
    fn a_mark_is_known_where_it_was_made_and_nowhere_else() {
        let (here, elsewhere) = (marks(), marks());
        let value = here.sign("out_01J");
        assert!(here.is_ours(&value));
        assert!(!elsewhere.is_ours(&value));
        assert!(!here.is_ours(&value.replace("out_01J", "out_01K")));
        for forged in [
            "",
            "1",
            "1; x",
            "1; x; ",
            "1; out_01J; AAAA",
            "2; a; b",
            "1; a; b; c",
        ] {
            assert!(!here.is_ours(forged), "{forged}");
        }
    }

    #[test]
    fn a_mark_is_found_in_what_a_bounce_returns() {
        let marks = marks();
        let value = marks.sign("out_01J");
        let bounce = format!(
            "From: MAILER-DAEMON@x.test\r\n\r\nCould not deliver:\r\n\r\n> Subject: x\r\n> X-Mailgrant-Loop: {value}\r\n"
        );
        assert!(marks.is_in(bounce.as_bytes()));
        assert!(!marks.is_in(b"X-Mailgrant-Loop: 1; out_01J; forged\r\n\r\n"));
        assert!(!marks.is_in(&[0xff; 1000]));
    }
}

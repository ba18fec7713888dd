//! A place in the log, as consumers hold it: opaque, so that nobody counts with it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A place in the log: behind the event with this sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub i64);

impl Cursor {
    /// Before the first event there ever was.
    pub const START: Self = Self(0);

    /// Reads what [`fmt::Display`] wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let number = std::str::from_utf8(&bytes).ok()?.strip_prefix("e1.")?;
        // No sign, no spaces, no second spelling of the same place.
        if number.is_empty() || number.len() > 18 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        number.parse().ok().map(Self)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("e1.{}", self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_way_and_nothing_else_is_one() {
        for place in [0, 1, 917_000_000_000] {
            assert_eq!(Cursor::parse(&Cursor(place).to_string()), Some(Cursor(place)));
        }
        for text in [
            "", "5", "e1.5", "ZTEuLTU", "ZTEuKzU", "ZTEu", "ZTIuNQ", "evt_01", "ZTEuNQ==",
        ] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}

//! Prefixed identifiers: `mbx_` + ULID, so that an id says what it names and sorts by time.

use crate::clock::Clock;

/// A new identifier, for example `new("mbx", &clock)` → `mbx_01K9…`.
pub fn new(prefix: &str, clock: &Clock) -> String {
    let ms = u64::try_from(clock.now_ms()).unwrap_or(0);
    format!("{prefix}_{}", ulid::Ulid::from_parts(ms, rand::random()))
}

/// Whether a text has the shape of an identifier with this prefix.
pub fn is(prefix: &str, id: &str) -> bool {
    id.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|rest| ulid::Ulid::from_string(rest).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_kind() {
        let id = new("mbx", &Clock::system());
        assert!(is("mbx", &id));
        assert!(!is("grt", &id));
        assert!(!is("mbx", "mbx_"));
    }
}

//! Prefixed identifiers: `mbx_` + ULID, so that an id says what it names and sorts by time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;

/// Ids of one process grow even within a millisecond, so that lists ordered by id keep the order of making.
static GENERATOR: Mutex<ulid::Generator> = Mutex::new(ulid::Generator::new());

/// A new identifier, for example `new("mbx", &clock)` → `mbx_01K9…`.
pub fn new(prefix: &str, clock: &Clock) -> String {
    let ms = u64::try_from(clock.now_ms()).unwrap_or(0);
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    let next = GENERATOR
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .generate_from_datetime(at);
    // The generator gives up when 2^80 ids were drawn in one millisecond.
    let ulid = next.unwrap_or_else(|_| ulid::Ulid::from_parts(ms, rand::random()));
    format!("{prefix}_{ulid}")
}

/// The smallest identifier of a moment (milliseconds since 1970): none that was made from then on comes before it.
pub fn first_of(prefix: &str, ms: i64) -> String {
    format!(
        "{prefix}_{}",
        ulid::Ulid::from_parts(u64::try_from(ms).unwrap_or(0), 0)
    )
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

    #[test]
    fn ids_of_one_moment_keep_their_order() {
        let clock = Clock::manual(crate::clock::from_ms(1_800_000_000_000));
        let ids: Vec<String> = (0..1_000).map(|_| new("evt", &clock)).collect();
        assert!(ids.is_sorted());
    }
}

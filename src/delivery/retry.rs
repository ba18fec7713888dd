//! When a delivery is tried again, and when an endpoint is spared or given up. Pure; chance is an argument.

/// Pauses after each failed attempt, seconds; the last one repeats until the horizon.
const PAUSES: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// How long a delivery is tried from its first attempt on, milliseconds. The last attempt is made when it is over.
const HORIZON_MS: i64 = 3 * 86_400_000;

/// How long an endpoint may fail without a single success before it is disabled, milliseconds.
pub const GIVE_UP_MS: i64 = 5 * 86_400_000;

/// Failures in a row after which an endpoint counts as down: one delivery at a time asks whether it is back.
pub const DOWN_AFTER: i64 = 5;

/// The longest time a `Retry-After` is believed, milliseconds: maintenance of a night is waited out.
pub const LONGEST_RETRY_AFTER_MS: i64 = 86_400_000;

/// The pause after a delivery's failed attempt, milliseconds; `attempts` counts that one. `chance` is from 0 to 1.
pub fn pause(attempts: i64, chance: f64) -> i64 {
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(0);
    let seconds = PAUSES.get(index).or(PAUSES.last()).copied().unwrap_or(5);
    jittered(seconds * 1_000, chance)
}

/// How long an endpoint that is down is left alone, milliseconds; 0 while it does not count as down.
pub fn probe_pause(failures: i64, chance: f64) -> i64 {
    let seconds = match failures - DOWN_AFTER {
        i64::MIN..0 => return 0,
        0 => 5,
        1 => 60,
        2 => 300,
        3 => 900,
        _ => 1_800,
    };
    jittered(seconds * 1_000, chance)
}

/// When a delivery that failed now is tried again; none if it is kept as failed. An endpoint that is down is asked with
/// it before its time, so its attempts say nothing of how long it has been tried: only the clock does.
pub fn next_at(first_at: i64, now: i64, pause: i64) -> Option<i64> {
    let end = first_at + HORIZON_MS;
    (now < end).then(|| end.min(now + pause))
}

/// What a `Retry-After` asks for, milliseconds from `now` (milliseconds since 1970), within bounds.
pub fn retry_after(value: &str, now: i64) -> Option<i64> {
    let value = value.trim();
    let wanted = match value.parse::<u64>() {
        Ok(seconds) => i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000),
        Err(_) if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() => i64::MAX,
        Err(_) => {
            chrono::DateTime::parse_from_rfc2822(value)
                .ok()?
                .timestamp_millis()
                - now
        }
    };
    Some(wanted.clamp(0, LONGEST_RETRY_AFTER_MS))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a pause of days in milliseconds"
)]
fn jittered(ms: i64, chance: f64) -> i64 {
    (ms as f64 * (0.9 + 0.2 * chance.clamp(0.0, 1.0))) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_ten_times_or_so_and_for_three_days() {
        for chance in [0.0, 0.5, 1.0] {
            let (mut at, mut attempts) = (0, 1);
            while let Some(next) = next_at(0, at, pause(attempts, chance)) {
                at = next;
                attempts += 1;
            }
            assert_eq!(at, 3 * 86_400_000);
            assert!((10..=11).contains(&attempts), "{attempts}");
        }
        assert_eq!(next_at(0, 57 * 3_600_000, pause(100, 1.0)), Some(3 * 86_400_000));
    }

    #[test]
    fn an_endpoint_that_is_down_is_asked_at_least_every_half_an_hour() {
        assert_eq!(probe_pause(4, 0.5), 0);
        assert_eq!(probe_pause(5, 0.5), 5_000);
        assert!(probe_pause(1_000, 1.0) <= 1_980_000);
    }

    #[test]
    fn retry_after_is_believed_within_bounds() {
        assert_eq!(retry_after("30", 0), Some(30_000));
        assert_eq!(retry_after("28800", 0), Some(8 * 3_600_000));
        assert_eq!(retry_after("315360000", 0), Some(LONGEST_RETRY_AFTER_MS));
        assert_eq!(
            retry_after("99999999999999999999999", 0),
            Some(LONGEST_RETRY_AFTER_MS)
        );
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 0), Some(60_000));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 120_000), Some(0));
        assert_eq!(retry_after("soon", 0), None);
        assert_eq!(retry_after("-5", 0), None);
        assert_eq!(retry_after("", 0), None);
    }
}

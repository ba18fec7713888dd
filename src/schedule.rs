//! Cron expressions: the one door to the `cron` crate. Six fields, seconds first, UTC; names for weekdays.

use std::str::FromStr;

use chrono::{DateTime, Utc};

/// Why an expression cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It is not a cron expression of six fields.
    #[error(
        "not a schedule: write six fields, seconds first, for example 0 */5 * * * * for every five minutes \
         (second minute hour day month weekday)"
    )]
    Syntax,
    /// No date fits it.
    #[error("this schedule never fires: no date fits it, for example the 31st of February")]
    Never,
    /// It fires more often than every five seconds.
    #[error(
        "this schedule fires more often than every 5 seconds, which mail providers punish; use 0 * * * * * or IDLE"
    )]
    TooOften,
}

/// The next time after `after` at which an expression fires; none if it never does or is not one.
pub fn next_after(expression: &str, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    parse(expression)?.after(&after).next()
}

/// Checks an expression as it is entered.
pub fn check(expression: &str, now: DateTime<Utc>) -> Result<(), ScheduleError> {
    let schedule = parse(expression).ok_or(ScheduleError::Syntax)?;
    let times: Vec<_> = schedule.after(&now).take(61).collect();
    if times.is_empty() {
        return Err(ScheduleError::Never);
    }
    let closest = times
        .windows(2)
        .filter_map(|pair| Some((*pair.last()? - *pair.first()?).num_seconds()))
        .min();
    if closest.is_some_and(|seconds| seconds < 5) {
        return Err(ScheduleError::TooOften);
    }
    Ok(())
}

fn parse(expression: &str) -> Option<cron::Schedule> {
    if expression.split_whitespace().count() != 6 {
        return None;
    }
    cron::Schedule::from_str(expression.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_ms;

    #[test]
    fn schedules_are_checked_when_they_are_entered() {
        let now = from_ms(1_790_000_000_000);
        for good in [
            "0 */5 * * * *",
            "30 0 8 * * Mon-Fri",
            "*/5 * * * * *",
            "0 0 0 29 2 *",
        ] {
            assert_eq!(check(good, now), Ok(()), "{good}");
        }
        assert_eq!(check("0 0 0 31 2 *", now), Err(ScheduleError::Never));
        assert_eq!(check("* * * * * *", now), Err(ScheduleError::TooOften));
        assert_eq!(check("0,1 0 * * * *", now), Err(ScheduleError::TooOften));
        for bad in ["", "*/5 * * * *", "every minute", "0 61 * * * *", "@hourly"] {
            assert_eq!(check(bad, now), Err(ScheduleError::Syntax), "{bad}");
        }
    }

    #[test]
    fn the_next_run_lies_after_now() {
        let now = from_ms(1_790_000_000_000);
        let next = next_after("0 */5 * * * *", now).unwrap();
        assert!(next > now && (next - now).num_seconds() <= 300);
    }
}

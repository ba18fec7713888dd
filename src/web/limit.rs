//! How many requests a token and an address may make. Each node counts for itself, in memory: it protects the service
//! from a program that runs wild, and is no accounting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Subjects that are remembered; when there are more, those who are at rest are forgotten.
const MOST: usize = 20_000;

/// Buckets that fill steadily; a request takes one drop.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    drops: f64,
    rate: f64,
    at: i64,
}

impl Bucket {
    fn fill(&mut self, per_minute: f64, now: i64) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds between two requests")]
        let passed = (now - self.at).max(0) as f64;
        self.drops = (self.drops + passed * per_minute / 60_000.0).min(per_minute);
        self.rate = per_minute;
        self.at = now;
    }

    /// How many requests it counted last.
    fn used(&self) -> f64 {
        self.rate - self.drops
    }
}

fn forget_half(buckets: &mut HashMap<String, Bucket>) {
    let mut used: Vec<f64> = buckets.values().map(Bucket::used).collect();
    let mut spare = used.len() / 2;
    let (_, median, _) = used.select_nth_unstable_by(spare, f64::total_cmp);
    let median = *median;
    buckets.retain(|_, bucket| {
        let goes = spare > 0 && bucket.used() <= median;
        spare -= usize::from(goes);
        !goes
    });
}

impl Limiter {
    /// Whether the next request of `subject` would be refused, in seconds to wait.
    pub(super) fn exhausted(&self, subject: &str, per_minute: u32, now: i64) -> Option<i64> {
        let rate = f64::from(per_minute);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get_mut(subject)?;
        bucket.fill(rate, now);
        (bucket.drops < 1.0).then(|| seconds(bucket, rate))
    }

    /// Takes one request of `subject`, which may make `per_minute`; 0 is no limit.
    ///
    /// # Errors
    /// Seconds to wait.
    pub(super) fn take(&self, subject: &str, per_minute: u32, now: i64) -> Result<(), i64> {
        if per_minute == 0 {
            return Ok(());
        }
        let rate = f64::from(per_minute);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(subject) {
            buckets.retain(|_, bucket| now - bucket.at < 60_000);
            // Tens of thousands of busy ones are an attack from many addresses. Those who asked least are forgotten, so that
            // it frees nobody who has used up what they may.
            if buckets.len() >= MOST {
                forget_half(&mut buckets);
            }
        }
        let bucket = buckets.entry(subject.to_owned()).or_insert(Bucket {
            drops: rate,
            rate,
            at: now,
        });
        bucket.fill(rate, now);
        if bucket.drops >= 1.0 {
            bucket.drops -= 1.0;
            return Ok(());
        }
        Err(seconds(bucket, rate))
    }
}

/// Streams that one person, or one token of nobody, may have open at a time on one node.
pub(super) const MOST_STREAMS: usize = 50;

/// Who has how many streams open.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    open: Arc<Mutex<HashMap<String, usize>>>,
}

/// An open stream; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    all: Streams,
    who: String,
}

impl Streams {
    /// Opens one more; none if there are too many of `who`.
    pub(super) fn open(&self, who: &str) -> Option<OpenStream> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(who.to_owned()).or_default();
        if *count >= MOST_STREAMS {
            return None;
        }
        *count += 1;
        Some(OpenStream {
            all: self.clone(),
            who: who.to_owned(),
        })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.all.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.who);
            }
        }
    }
}

fn seconds(bucket: &Bucket, rate: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "at most a minute")]
    let wait = ((1.0 - bucket.drops) * 60.0 / rate).ceil() as i64;
    wait.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_as_fast_as_it_fills() {
        let limiter = Limiter::default();
        for _ in 0..30 {
            assert_eq!(limiter.take("a", 30, 0), Ok(()));
        }
        assert_eq!(limiter.take("a", 30, 0), Err(2));
        assert_eq!(
            limiter.take("b", 30, 0),
            Ok(()),
            "somebody else is not in the way"
        );
        assert_eq!(limiter.take("a", 30, 2_000), Ok(()));
        assert_eq!(limiter.take("a", 30, 2_000), Err(2));
        assert_eq!(limiter.take("a", 0, 2_000), Ok(()));
    }

    #[test]
    fn an_attack_from_many_addresses_does_not_fill_the_memory_and_frees_nobody() {
        let limiter = Limiter::default();
        for _ in 0..8 {
            assert_eq!(limiter.take("device code usr_1", 8, 0), Ok(()));
        }
        for n in 0..MOST * 2 + 10 {
            let _ = limiter.take(&n.to_string(), 10, 0);
        }
        assert!(limiter.take("device code usr_1", 8, 0).is_err());
        assert!(limiter.buckets.lock().unwrap().len() <= MOST);
    }
}

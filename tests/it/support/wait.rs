//! Waiting for a condition. Tests never sleep for a fixed time: they say what they wait for, and for how long.

use std::time::Duration;
use tokio::time::Instant;

/// The usual limit: generous, because a green test never waits for it.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks `probe` again and again until it answers `Some`, and returns that.
/// Panics with `what` once `limit` has passed, so word it as the thing that should have happened.
pub async fn eventually<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Panics with `what` unless `work` ends within `limit`.
pub async fn within<T>(what: &str, limit: Duration, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, work).await {
        Ok(value) => value,
        Err(_) => panic!("not within {limit:?}: {what}"),
    }
}

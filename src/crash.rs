//! Crash points: where a debug build kills itself when a test asks for it, to prove that a restart loses nothing.
//!
//! `MAILGRANT_CRASH_AT=stored:3` ends the process, as `kill -9` would, when the point `stored` is passed the third
//! time. Release builds contain none of this.

#[cfg(debug_assertions)]
pub(crate) fn pass(point: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let wanted = WANTED.get_or_init(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "a switch of debug builds, not a setting"
        )]
        let text = std::env::var("MAILGRANT_CRASH_AT").ok()?;
        let (point, count) = text.split_once(':').unwrap_or((&text, "1"));
        Some((point.to_owned(), count.parse().ok()?))
    });
    if let Some((wanted, count)) = wanted
        && wanted == point
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        // SIGKILL cannot be caught: nothing is flushed, nothing is closed.
        let _ = std::process::Command::new("kill")
            .args(["-9", &std::process::id().to_string()])
            .status();
        std::process::abort();
    }
}

/// Passes a crash point; nothing in release builds.
#[macro_export]
#[doc(hidden)]
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::crash::pass($name);
    };
}

//! Reading mail apart from everything else: on a thread of its own with a large stack, and within a time. What a mail
//! does to the stack stays bounded by the pre-scan, and what it does to the clock by the parser; this is the second line
//! for both.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const STACK: usize = 32 * 1024 * 1024;

/// How long anything is read at most: many times what the largest mails need, on a busy machine as well.
pub const LONGEST_READING: Duration = Duration::from_secs(60);

/// Does such work; none if it panicked or takes longer than `patience`. A thread cannot be ended from outside: one that is late goes on
/// until it is through, and what it finds is not wanted any more. A machine that has no thread to spare is not the mail's
/// fault: it is asked again.
pub async fn apart<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    // In a place that both sides reach: a thread that could not be started gives nothing back.
    let given = Arc::new(Mutex::new(Some(work)));
    loop {
        let (done, result) = tokio::sync::oneshot::channel();
        let given = Arc::clone(&given);
        let worker = std::thread::Builder::new()
            .name("parse".into())
            .stack_size(STACK)
            .spawn(move || {
                let taken = given.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(work) = taken {
                    let _ = done.send(work());
                }
            });
        match worker {
            Ok(_) => return tokio::time::timeout(patience, result).await.ok()?.ok(),
            Err(error) => tracing::error!("no thread for parsing, trying again: {error}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_for_ever_gives_nothing() {
        let (end, never) = std::sync::mpsc::channel::<()>();
        // Returns when `end` is dropped: after the answer is there.
        assert_eq!(apart(Duration::ZERO, move || never.recv().is_ok()).await, None);
        drop(end);
    }

    #[tokio::test]
    async fn what_is_read_comes_back_and_a_panic_ends_its_thread_only() {
        assert_eq!(apart(LONGEST_READING, || "read").await, Some("read"));
        let read = apart::<()>(LONGEST_READING, || panic!("a defect"));
        assert_eq!(read.await, None);
    }
}

//! Waking who waits for the next event.
//!
//! An event is seen only after its transaction commits, which the one who appends does not do here. So there are two
//! signals: [`appended`] says that an event is on its way in this process, and wakes the job that looks for it; when
//! it is there, the job moves the [`Head`], which wakes the readers.

use std::sync::{Arc, LazyLock};

use tokio::sync::watch;

/// The end of the log as far as this process has seen it. Clones share it.
#[derive(Clone, Debug)]
pub struct Head(Arc<watch::Sender<i64>>);

impl Default for Head {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Head {
    /// Moves it forward; wakes everybody if it moved.
    pub fn reach(&self, sequence: i64) -> bool {
        self.0.send_if_modified(|last| {
            let moved = sequence > *last;
            if moved {
                *last = sequence;
            }
            moved
        })
    }

    /// Follows it.
    pub fn follow(&self) -> watch::Receiver<i64> {
        self.0.subscribe()
    }
}

/// Counts what this process appends. One for the process: an event on its way costs a look at the database, no more.
static APPENDED: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(0));

/// Follows what this process appends, whether or not it is committed.
pub fn appended() -> watch::Receiver<u64> {
    APPENDED.subscribe()
}

pub(super) fn note_appended() {
    APPENDED.send_modify(|count| *count = count.wrapping_add(1));
}

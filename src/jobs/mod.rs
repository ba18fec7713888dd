//! Jobs: what happens without anybody asking. The timetable is below; each job has a file.
//!
//! Jobs own transactions and carry values from one stage of the pipeline to the next, so the whole chain can be read
//! in `poll_mailboxes.rs` and `ingest_mail.rs`.

mod deliver;
mod follow_log;
mod housekeeping;
pub mod ingest_mail;
mod poll_mailboxes;
mod refresh_grants;
mod send_mail;
mod store;
mod timetable;

#[cfg(test)]
mod tests;

pub use timetable::start;

/// How the timetable stands, for whoever looks after this installation.
pub use timetable::{JobRun, list, run_now};

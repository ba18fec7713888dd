//! Jobs: what happens without anybody asking. The timetable is below; each job has a file.
//!
//! Jobs own transactions and carry values from one stage of the pipeline to the next, so the whole chain can be read
//! in `poll_mailboxes.rs` and `ingest_mail.rs`.

mod automatic_mail;
mod deliver;
mod follow_log;
mod handle_mail;
mod housekeeping;
pub mod ingest_mail;
mod known;
mod poll_mailboxes;
mod refresh_grants;
mod reprocess;
mod seal_audit;
mod send_alerts;
mod send_mail;
mod send_notices;
mod sign_out_clients;
mod store;
mod timetable;
mod warnings;

#[cfg(test)]
mod tests;

pub use handle_mail::Cause;
pub use reprocess::{ReprocessError, drop_quarantined, fetch_rest, keep_as_it_is, reprocess};
pub use timetable::start;

/// How the timetable stands, for whoever looks after this installation.
pub use timetable::{JobRun, list, run_now};

//! Messages: one mail as received: raw bytes, parsed form. Unique by (mailbox, hash of the bytes).
//!
//! Storing raw bytes and reading them back is here; which mails are fetched is `mailbox`'s business, what becomes of
//! them is `ticket`'s, and the order of it all is in `jobs/ingest_mail.rs`.

mod apart;
mod list_store;
mod model;
mod outline;
mod parse;
mod quarantine_store;
mod run_store;
mod sent_hash;
mod service;
mod store;
mod thread;
mod thread_store;

pub use apart::{LONGEST_READING, apart};
pub use list_store::quarantined;
pub use model::{MessageState, NewRaw, Stored};
pub use outline::{File, Kind, Outline};
pub use parse::{People, SenderVerdict, Understood, understand, words};
pub use quarantine_store::{
    Copy, OnServer, Reason, Standing, beginning, complete, copies, count_quarantined, on_server,
    save_parsed_again, set_standing, twin_of,
};
pub use run_store::{Run, record_run, record_runs, runs_of};
pub use service::{
    MessageError, MessageFilter, Page, Thread, add_parsed, attachment, count_since, files, get, get_thread,
    list, list_heads, parsed, raw,
};
pub use store::{
    Message, MessageCount, Place, Waiting, begin_attempt, find_in, forget_attempt, get_in, index,
    insert_raws, mark_placed, mark_unreadable, pending, pending_mailboxes, projects_of, raw_bytes,
    raw_bytes_of, save_parsed,
};
pub use thread_store::{assign as assign_thread, link};

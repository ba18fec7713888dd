//! Mailboxes: the mail accounts we read, their cursors, and the sessions that read them.
//!
//! What becomes of a fetched mail is not decided here: `sync::plan` says which mails are new, and `jobs/poll_mailboxes`
//! carries them on. POP3 is not here yet; `Protocol` leaves room for it.

pub mod imap;
mod model;
mod sending;
mod service;
mod session;
mod store;
mod sync;
mod test;
mod whole;

pub use model::{AfterIngest, MailboxError, MailboxInput, Protocol, Sending, StartFrom, TlsMode};
pub use sending::{NotSending, SendingError, open_sending, sender_of, sending_of};
pub use service::{
    create, delete, folders_for, folders_of, get, list, pause, poll_now, reading, recent, resume, update,
};
pub use session::{OpenError, OpenSession, open, provider_of, trouble_of};
pub use store::{
    Cursor, Ingested, Mailbox, Outcome, addresses, asked, begin_look, claim_due, get_in, heartbeat,
    insert_ingestions, move_cursor, record_failure, record_success, release, trusted_servers,
};
pub use sync::{Plan, SyncError, plan, tell};
pub use test::{run_test, start_test};
pub use whole::{MOST_WHOLE_BYTES, fetch_whole};

//! Mailboxes: the mail accounts we read.
pub mod imap;

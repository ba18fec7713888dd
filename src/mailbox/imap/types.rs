//! The plain values an IMAP session takes and gives.

use std::collections::BTreeSet;

use chrono::NaiveDate;

/// What a server says it can do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities(BTreeSet<String>);

impl Capabilities {
    pub(super) fn new(names: impl Iterator<Item = String>) -> Self {
        // A bound on what is kept: no honest server comes near it.
        Capabilities(names.take(256).map(|n| n.to_ascii_uppercase()).collect())
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Whether a capability is announced; `name` in capitals, such as `AUTH=XOAUTH2`.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// All of them, in alphabetical order and in capitals.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether XOAUTH2 is offered.
    pub fn xoauth2(&self) -> bool {
        self.has("AUTH=XOAUTH2")
    }

    /// Whether TLS can be started inside this connection.
    pub fn starttls(&self) -> bool {
        self.has("STARTTLS")
    }

    /// Whether the server can tell us about new mail by itself (RFC 2177).
    pub fn idle(&self) -> bool {
        self.has("IDLE")
    }
}

/// What a folder is for (RFC 6154).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// Everything.
    All,
    /// Archived mail.
    Archive,
    /// Drafts.
    Drafts,
    /// Flagged mail.
    Flagged,
    /// Spam.
    Junk,
    /// Sent mail.
    Sent,
    /// Deleted mail.
    Trash,
}

/// A folder of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The name as a person reads it; what [`super::Session::select`] takes.
    pub name: String,
    /// The name as the server spells it.
    pub raw_name: String,
    /// What separates levels in the name, if the account has levels.
    pub delimiter: Option<String>,
    /// Attributes that are neither a special use nor `\Noselect`, such as `\HasChildren`.
    pub flags: Vec<String>,
    /// What the folder is for, when the server says.
    pub special_use: Option<SpecialUse>,
    /// Whether it can hold mail (neither `\Noselect` nor `\NonExistent`).
    pub selectable: bool,
}

/// An opened folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selected {
    /// How many mails it holds.
    pub exists: u32,
    /// The epoch of its UIDs; without one, UIDs must not be remembered.
    pub uid_validity: Option<u32>,
    /// The UID the next mail gets; some servers do not say.
    pub uid_next: Option<u32>,
    /// The server warns that UIDs do not outlive this session (RFC 4315).
    pub uid_not_sticky: bool,
    /// The folder cannot be changed.
    pub read_only: bool,
}

/// Which mails a search looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchFilter {
    /// Every mail.
    All,
    /// Mails without `\Seen`.
    Unseen,
    /// Mails that arrived on this day of the server's calendar or later.
    Since(NaiveDate),
}

/// What is known of a mail before its bytes are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The UID.
    pub uid: u32,
    /// The announced size, in bytes.
    pub size: u32,
    /// The flags.
    pub flags: Vec<String>,
    /// When the server received it, in milliseconds since 1970; `None` when it says nothing readable.
    pub internal_date_ms: Option<i64>,
}

/// A mail as the server holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The UID.
    pub uid: u32,
    /// When the server received it, in milliseconds since 1970; `None` when it says nothing readable.
    pub internal_date_ms: Option<i64>,
    /// The announced size; `raw` is what really came and may differ.
    pub size: u32,
    /// The flags.
    pub flags: Vec<String>,
    /// Every byte of the mail.
    pub raw: Vec<u8>,
}

// Mail does not belong into logs.
impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched")
            .field("uid", &self.uid)
            .field("bytes", &self.raw.len())
            .finish_non_exhaustive()
    }
}

/// What became of the mails that were asked for and did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchReport {
    /// How many were handed over.
    pub fetched: usize,
    /// Gone from the folder: the server was asked again, and no longer knows them.
    pub vanished: Vec<u32>,
    /// Larger than the configured maximum; left on the server.
    pub too_large: Vec<u32>,
    /// Still in the folder, but the server gives no bytes for them.
    pub unreadable: Vec<u32>,
}

/// Why a wait for new mail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdleOutcome {
    /// The folder holds more mail than before.
    NewMail,
    /// The time is over; renew.
    Timeout,
    /// The caller asked to stop.
    Cancelled,
    /// The server ended the wait by itself, without new mail.
    Ended,
    /// The server refuses IDLE though it announced it: poll instead.
    Refused {
        /// The server's words.
        text: String,
    },
}

/// Cuts a list into batches of at most `count` mails and, unless one mail alone is larger, `bytes` bytes.
pub fn batches(metas: &[Meta], count: usize, bytes: u64) -> impl Iterator<Item = &[Meta]> {
    let mut rest = metas;
    std::iter::from_fn(move || {
        let mut sum = 0u64;
        let fitting = rest
            .iter()
            .take(count.max(1))
            .take_while(|m| {
                sum += u64::from(m.size);
                sum <= bytes
            })
            .count();
        let (batch, tail) = rest.split_at(fitting.max(1).min(rest.len()));
        rest = tail;
        (!batch.is_empty()).then_some(batch)
    })
}

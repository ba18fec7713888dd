//! The words of this stage.

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// Its raw bytes are safe; it waits to be parsed.
    Stored,
    /// It stands in a ticket.
    Ticketed,
    /// It waits for a person to look; [`Reason`](super::Reason) says why.
    Quarantined,
    /// A rule or a person wants no ticket of it; it stays in the log.
    Dropped,
}

impl MessageState {
    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Ticketed => "ticketed",
            Self::Quarantined => "quarantined",
            Self::Dropped => "dropped",
        }
    }
}

/// A mail as it came from the server.
#[derive(Clone, Debug)]
pub struct NewRaw<'a> {
    /// The mailbox it was read from.
    pub mailbox_id: &'a str,
    /// The project of that mailbox.
    pub project_id: &'a str,
    /// The folder it was read from.
    pub folder: &'a str,
    /// UIDVALIDITY of the folder.
    pub uid_validity: u32,
    /// Its UID.
    pub uid: u32,
    /// The server's INTERNALDATE, milliseconds since 1970.
    pub internal_date: Option<i64>,
    /// The bytes.
    pub bytes: &'a [u8],
    /// True if only the beginning was fetched, because the mail exceeds the mailbox's size limit.
    pub is_partial: bool,
    /// Size on the server, bytes.
    pub size: u64,
}

/// What storing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A new message.
    New(String),
    /// The mailbox had the very same bytes already, as this message.
    DuplicateOf(String),
}

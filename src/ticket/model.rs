//! The words of this stage.

/// How a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketState {
    /// Somebody has to act.
    Open,
    /// It waits for somebody else.
    Pending,
    /// Done.
    Closed,
}

impl TicketState {
    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Pending => "pending",
            Self::Closed => "closed",
        }
    }

    /// Reads the text of the database and the API.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Pending, Self::Closed]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// What the ticket stage needs to know of a message.
#[derive(Clone, Debug)]
pub struct Incoming<'a> {
    /// The message.
    pub message_id: &'a str,
    /// The project of its mailbox.
    pub project_id: &'a str,
    /// Subject; may be empty.
    pub subject: &'a str,
    /// Sender's display name.
    pub from_name: &'a str,
    /// Sender's address.
    pub from_email: &'a str,
    /// Its own Message-IDs.
    pub rfc_message_ids: &'a [String],
    /// The Message-IDs it answers, nearest first.
    pub answers: &'a [String],
}

/// Where a message went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The ticket.
    pub ticket_id: String,
    /// Its key, for example `HELP-42`.
    pub key: String,
    /// The entry.
    pub entry_id: String,
    /// True if the ticket was opened for it.
    pub is_new: bool,
}

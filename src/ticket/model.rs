//! The words of this stage.

use super::resolve::Rule;
use crate::message::Understood;

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
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The message.
    pub message_id: &'a str,
    /// The project of its mailbox.
    pub project_id: &'a str,
    /// The key of that project.
    pub project_key: &'a str,
    /// What it says.
    pub mail: &'a Understood,
    /// The addresses of our own mailboxes, normalised: every stranger knows them.
    pub own_addresses: &'a [String],
    /// Whether the address in From is an agent's. It counts only if the sender is verified.
    pub sender_is_agent: bool,
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
    /// True if the entry shows another copy of the same mail.
    pub is_copy: bool,
    /// The state that it had if the message opened it again.
    pub reopened_from: Option<String>,
    /// The message.
    pub message_id: String,
    /// Its project.
    pub project_id: String,
    /// Who wrote it.
    pub author: String,
    /// What decided where it goes.
    pub rule: Rule,
    /// When, milliseconds since 1970.
    pub at: i64,
}

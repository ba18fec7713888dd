//! The words of this stage.

use crate::mailbox::Mailbox;
use crate::oauth2_client::stored_text;
use crate::rule::loop_guard::Pass;
use crate::smtp::{Address, AutoSubmitted, File};

/// Why a mail goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person answers in a ticket.
    Reply,
    /// A machine answers a mail.
    Automatic,
    /// A mail is passed on.
    Forward,
    /// An admin is told that something needs them.
    Alert,
    /// A person of this installation is told something else: an invitation, a test.
    Notice,
}

stored_text!(Kind {
    Reply => "reply",
    Automatic => "automatic",
    Forward => "forward",
    Alert => "alert",
    Notice => "notice",
});

impl Kind {
    /// Whether the mail says that a machine wrote it.
    pub(super) fn auto(self) -> AutoSubmitted {
        match self {
            Self::Reply => AutoSubmitted::No,
            Self::Automatic => AutoSubmitted::Replied,
            Self::Forward | Self::Alert | Self::Notice => AutoSubmitted::Generated,
        }
    }
}

/// How an outgoing mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailState {
    /// It waits for its turn, the first or another one.
    Queued,
    /// A node is at it.
    Sending,
    /// The mail server has taken it.
    Sent,
    /// It was given up; the trouble says why.
    Failed,
    /// Somebody took it back before it was sent.
    Cancelled,
}

stored_text!(MailState {
    Queued => "queued",
    Sending => "sending",
    Sent => "sent",
    Failed => "failed",
    Cancelled => "cancelled",
});

/// Which account sends.
#[derive(Clone, Copy, Debug)]
pub enum Through<'a> {
    /// A mailbox's own.
    Mailbox(&'a Mailbox),
    /// The site's, from the configuration, under this address.
    Site(&'a Address),
}

/// A mail that is to go out.
#[derive(Clone, Debug)]
pub struct NewMail {
    /// Why it goes out.
    pub kind: Kind,
    /// Its project; empty for mails of the site.
    pub project_id: String,
    /// Its ticket; empty if there is none.
    pub ticket_id: String,
    /// The entry that shows it; empty if none does.
    pub entry_id: String,
    /// Who had it sent: a user id, a token id or `system`.
    pub actor: String,
    /// Our Message-ID without angle brackets; drawn if there is none.
    pub message_id: Option<String>,
    /// Name beside the sender's address, if another than the mailbox's.
    pub from_name: Option<String>,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<Address>,
    /// To whom.
    pub to: Vec<Address>,
    /// And to whom for their information.
    pub cc: Vec<Address>,
    /// Subject. Control characters become spaces, since subjects are taken from mails.
    pub subject: String,
    /// The text form; made from the HTML if empty.
    pub text: String,
    /// The HTML form; sanitised.
    pub html: Option<String>,
    /// Message-ID it answers.
    pub in_reply_to: Option<String>,
    /// Message-IDs of the conversation, oldest first.
    pub references: Vec<String>,
    /// Further header fields of our own making, beside those of the pass.
    pub headers: Vec<(&'static str, String)>,
    /// Files.
    pub files: Vec<File>,
    /// What the guard against loops gave; an automatic mail or a copy does not go out without one.
    pub pass: Option<Pass>,
    /// Name of the request that had it sent: there is one mail for it, however often it is repeated.
    pub once: Option<String>,
}

impl NewMail {
    /// A mail with nothing in it yet.
    pub fn new(kind: Kind, actor: &str) -> Self {
        Self {
            kind,
            project_id: String::new(),
            ticket_id: String::new(),
            entry_id: String::new(),
            actor: actor.to_owned(),
            message_id: None,
            from_name: None,
            reply_to: None,
            to: Vec::new(),
            cc: Vec::new(),
            subject: String::new(),
            text: String::new(),
            html: None,
            in_reply_to: None,
            references: Vec::new(),
            headers: Vec::new(),
            files: Vec::new(),
            pass: None,
            once: None,
        }
    }
}

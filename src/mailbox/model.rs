//! The words of this stage, as the API and the database write them.

use chrono::{DateTime, NaiveDate, TimeZone, Utc};

pub use super::imap::TlsMode;
use super::store::Mailbox;
use crate::trouble::FieldError;

/// How mail is read. POP3 is planned; the database and the API leave room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// IMAP4rev1 (RFC 3501).
    Imap,
}

impl Protocol {
    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imap => "imap",
        }
    }

    /// Reads the text of the API.
    pub fn parse(text: &str) -> Option<Self> {
        (text == "imap").then_some(Self::Imap)
    }
}

impl TlsMode {
    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Implicit => "implicit",
            Self::StartTls => "starttls",
            Self::None => "none",
        }
    }

    /// Reads the text of the database and the API.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Implicit, Self::StartTls, Self::None]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

/// What is done with a mail on the server once it is stored here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterIngest {
    /// Nothing.
    Leave,
    /// It is marked as seen.
    MarkSeen,
    /// It is moved to another folder.
    Move,
}

impl AfterIngest {
    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leave => "leave",
            Self::MarkSeen => "mark_seen",
            Self::Move => "move",
        }
    }

    /// Reads the text of the database and the API.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Leave, Self::MarkSeen, Self::Move]
            .into_iter()
            .find(|after| after.as_str() == text)
    }
}

/// Which mail the first import takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// What arrives from now on.
    Now,
    /// What the server says is unread, and all that arrives from now on.
    Unread,
    /// Everything in the folder.
    All,
    /// What arrived on or after a day (UTC), and all that arrives from now on.
    Date(NaiveDate),
}

impl StartFrom {
    /// The text in the database and the API.
    pub fn to_text(self) -> String {
        match self {
            Self::Now => "now".into(),
            Self::Unread => "unread".into(),
            Self::All => "all".into(),
            Self::Date(date) => date.format("%Y-%m-%d").to_string(),
        }
    }

    /// Reads `now`, `unread`, `all`, a day (`2026-11-23`) or a time (RFC 3339, of which the day counts).
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "now" => Some(Self::Now),
            "unread" => Some(Self::Unread),
            "all" => Some(Self::All),
            _ => text
                .parse::<NaiveDate>()
                .ok()
                .or_else(|| {
                    DateTime::parse_from_rfc3339(text)
                        .ok()
                        .map(|time| time.with_timezone(&Utc).date_naive())
                })
                .map(Self::Date),
        }
    }

    /// Mail that arrived before this moment (milliseconds) is not wanted, even if the folder is scanned anew.
    pub fn oldest_wanted(self, mailbox_made: i64) -> Option<i64> {
        match self {
            Self::All => None,
            Self::Now | Self::Unread => Some(mailbox_made),
            Self::Date(date) => date
                .and_hms_opt(0, 0, 0)
                .map(|start| Utc.from_utc_datetime(&start).timestamp_millis()),
        }
    }
}

/// What a mailbox is made or changed with; texts as the API and the forms send them.
#[derive(Clone, Debug)]
pub struct MailboxInput {
    /// Unique name.
    pub name: String,
    /// Project its mail goes to.
    pub project_id: String,
    /// Grant it signs in with.
    pub grant_id: String,
    /// `imap`.
    pub protocol: String,
    /// Server name or address.
    pub host: String,
    /// Server port.
    pub port: i64,
    /// `implicit`, `starttls` or `none`.
    pub tls: String,
    /// The account named in XOAUTH2; differs from the consenting identity for shared mailboxes.
    pub login_name: String,
    /// Folder to read.
    pub folder: String,
    /// `now`, `unread`, `all` or a day.
    pub start_from: String,
    /// `leave`, `mark_seen` or `move`.
    pub after_ingest: String,
    /// Target folder for `move`.
    pub move_to: String,
    /// Cron expression of six fields, seconds first, UTC.
    pub schedule: String,
    /// Whether IDLE is used when the server offers it.
    pub idle: bool,
    /// How it sends.
    pub smtp: Sending,
    /// Servers whose Authentication-Results are believed: the mailbox's own.
    pub trusted_authserv_ids: Vec<String>,
}

/// How a mailbox sends; texts as the API and the forms send them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Server name or address; empty if the mailbox does not send.
    pub host: String,
    /// Server port.
    pub port: i64,
    /// `implicit` or `starttls`.
    pub tls: String,
    /// The account named in XOAUTH2: for a shared mailbox the one that consented, not the shared address. Empty: the
    /// mailbox's login name.
    pub login_name: String,
    /// Sender: `a@example.com` or `Name <a@example.com>`. Empty: the mailbox's login name.
    pub from: String,
    /// Whether answers are asked to a signed form of that address, `box+mg1…@example.com`. Its server must deliver such
    /// addresses into the mailbox (Google and Exchange Online do).
    pub signed_replies: bool,
}

impl Default for Sending {
    /// It does not send.
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 465,
            tls: "implicit".into(),
            login_name: String::new(),
            from: String::new(),
            signed_replies: false,
        }
    }
}

impl MailboxInput {
    /// What a stored mailbox would be made with: where a change begins.
    pub fn of(mailbox: &Mailbox) -> Self {
        Self {
            name: mailbox.name.clone(),
            project_id: mailbox.project_id.clone(),
            grant_id: mailbox.grant_id.clone(),
            protocol: mailbox.protocol.clone(),
            host: mailbox.host.clone(),
            port: mailbox.port,
            tls: mailbox.tls.clone(),
            login_name: mailbox.login_name.clone(),
            folder: mailbox.folder.clone(),
            start_from: mailbox.start_from.clone(),
            after_ingest: mailbox.after_ingest.clone(),
            move_to: mailbox.move_to.clone(),
            schedule: mailbox.schedule.clone(),
            idle: mailbox.idle,
            smtp: Sending {
                host: mailbox.smtp_host.clone(),
                port: mailbox.smtp_port,
                tls: mailbox.smtp_tls.clone(),
                login_name: mailbox.smtp_login_name.clone(),
                from: mailbox.smtp_from.clone(),
                signed_replies: mailbox.smtp_signed_replies,
            },
            trusted_authserv_ids: mailbox.trusted_servers(),
        }
    }
}

impl Default for MailboxInput {
    /// The safe defaults: from now on, changing nothing on the server, IDLE with a poll every five minutes.
    fn default() -> Self {
        Self {
            name: String::new(),
            project_id: String::new(),
            grant_id: String::new(),
            protocol: "imap".into(),
            host: String::new(),
            port: 993,
            tls: "implicit".into(),
            login_name: String::new(),
            folder: "INBOX".into(),
            start_from: "now".into(),
            after_ingest: "leave".into(),
            move_to: String::new(),
            schedule: "0 */5 * * * *".into(),
            idle: true,
            smtp: Sending::default(),
            trusted_authserv_ids: Vec::new(),
        }
    }
}

/// Why a mailbox could not be made, changed or used.
#[derive(Debug, thiserror::Error)]
pub enum MailboxError {
    /// Fields that do not fit; nothing was changed.
    #[error("the mailbox was not saved: {}", .0.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join(" "))]
    Invalid(Vec<FieldError>),
    /// There is none with this id.
    #[error("there is no such mailbox")]
    NotFound,
    /// Somebody else changed it meanwhile.
    #[error("the mailbox was changed meanwhile; load it again and repeat the change")]
    Conflict,
    /// It has messages, which would be lost with it.
    #[error("the mailbox has {0} messages; pause it instead of deleting it")]
    HasMessages(i64),
    /// The server or the grant refused; the text says what and what to do.
    #[error("{}", .0.cause)]
    Trouble(crate::trouble::Trouble),
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] sea_orm::DbErr),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_is_read_as_it_is_written() {
        for text in ["now", "unread", "all", "2026-11-23"] {
            assert_eq!(StartFrom::parse(text).unwrap().to_text(), text);
        }
        assert_eq!(
            StartFrom::parse("2026-11-23T10:00:00+02:00"),
            StartFrom::parse("2026-11-23")
        );
        for text in ["", "yesterday", "2026-13-01", "23.11.2026"] {
            assert!(StartFrom::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn only_all_wants_mail_from_before_the_mailbox() {
        assert_eq!(StartFrom::All.oldest_wanted(5), None);
        assert_eq!(StartFrom::Now.oldest_wanted(5), Some(5));
        assert_eq!(
            StartFrom::parse("1970-01-02").unwrap().oldest_wanted(5),
            Some(86_400_000)
        );
    }
}

//! What went wrong with a mail server, which kind of trouble it is, and what to do about it.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::net::DialError;
use crate::oauth2_client::{Provider, printable, with_words};
use crate::trouble::Trouble;

/// How far a conversation had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The server's first line.
    Greeting,
    /// EHLO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    SignIn,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA, before the mail itself.
    Data,
    /// The mail, up to the server's word about it.
    Content,
}

impl Stage {
    fn words(self) -> &'static str {
        match self {
            Self::Greeting => "while it should have greeted",
            Self::Hello => "after EHLO",
            Self::StartTls => "after STARTTLS",
            Self::SignIn => "during the sign-in",
            Self::Sender => "after the sender was named",
            Self::Recipient => "after a recipient was named",
            Self::Data => "before the mail was handed over",
            Self::Content => "while the mail was handed over",
        }
    }
}

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Enhanced status (RFC 3463), for example `5.7.3`.
    pub enhanced: Option<String>,
    /// Its words, printable and cut.
    pub text: String,
}

impl Reply {
    /// An answer from its code and its words.
    pub fn new(code: u16, text: &str) -> Self {
        let enhanced = text
            .split_whitespace()
            .next()
            .map(|word| word.trim_start_matches('-'))
            .filter(|word| is_enhanced(word))
            .map(str::to_owned);
        Self {
            code,
            enhanced,
            text: printable(text),
        }
    }

    /// Code and enhanced status, for machines: `535 5.7.3`.
    pub fn shown(&self) -> String {
        match &self.enhanced {
            Some(enhanced) => format!("{} {enhanced}", self.code),
            None => self.code.to_string(),
        }
    }
}

fn is_enhanced(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() == 3
        && matches!(parts.first(), Some(&("2" | "4" | "5")))
        && parts
            .iter()
            .all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
}

/// What kind of trouble it is, which decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It passes: try again by and by.
    Transient,
    /// Somebody has to change something at the account, the tenant or the settings; until then it is tried rarely.
    Account,
    /// This mail will never be taken as it is.
    Mail,
}

/// Why a mail was not sent, or no session came about.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SmtpError {
    /// The server cannot be reached, or its certificate is wrong.
    #[error(transparent)]
    Dial(DialError),
    /// Without TLS only this machine and allowed networks are spoken to, and nobody signs in.
    #[error("without TLS, {host} is not used")]
    PlainRefused {
        /// The server.
        host: String,
    },
    /// STARTTLS was configured, the server does not offer it.
    #[error("{host} does not offer STARTTLS")]
    NoStartTls {
        /// The server.
        host: String,
    },
    /// Something came that is no SMTP, or too much of it.
    #[error("{host} does not speak SMTP as expected: {what}")]
    Protocol {
        /// The server.
        host: String,
        /// What was seen, printable.
        what: String,
    },
    /// The server does not offer the way to sign in that we need.
    #[error("{host} does not offer {wanted} to sign in")]
    NoMechanism {
        /// The server.
        host: String,
        /// `XOAUTH2` or `PLAIN`.
        wanted: &'static str,
    },
    /// The server refused the account.
    #[error("the mail server refused the sign-in")]
    SignInRefused {
        /// Its final answer.
        reply: Reply,
        /// The decoded challenge, where there was one.
        challenge: Option<String>,
    },
    /// The server said no to something else.
    #[error("the mail server refused ({}) {}", .reply.shown(), .stage.words())]
    Refused {
        /// To what.
        stage: Stage,
        /// Its words.
        reply: Reply,
    },
    /// An address with letters beyond ASCII before the @, and a server that cannot take it.
    #[error("{host} cannot send to the address {address}")]
    NeedsUtf8 {
        /// The server.
        host: String,
        /// The address.
        address: String,
    },
    /// The connection ended, or nothing came in time, before the server could have taken the mail.
    #[error("{host} {what} {}", .stage.words())]
    Lost {
        /// The server.
        host: String,
        /// How far it had come.
        stage: Stage,
        /// `hung up` or `did not answer in time`.
        what: &'static str,
    },
    /// The whole mail was sent, and the connection ended before the server said whether it takes it.
    #[error("{host} {what} after it had been sent the whole mail")]
    Unknown {
        /// The server.
        host: String,
        /// `hung up` or `did not answer in time`.
        what: &'static str,
    },
}

impl From<DialError> for SmtpError {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

impl SmtpError {
    /// The server's answer, where there was one.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::SignInRefused { reply, .. } | Self::Refused { reply, .. } => Some(reply),
            _ => None,
        }
    }

    /// Whether the server may have taken the mail all the same.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// What kind of trouble it is at this provider, with cause and remedy.
    pub fn explain(&self, provider: Provider) -> (Class, Trouble) {
        match self {
            Self::SignInRefused { reply, .. } => explain_reply(provider, Stage::SignIn, reply),
            Self::Refused { stage, reply } => explain_reply(provider, *stage, reply),
            Self::Dial(error) => {
                let class = if matches!(error, DialError::Forbidden { .. } | DialError::InvalidHost { .. }) {
                    Class::Account
                } else {
                    Class::Transient
                };
                (
                    class,
                    Trouble::new(error.code(), sentence(&error.to_string()), error.remedy()),
                )
            }
            other => {
                let (class, code, remedy) = other.own_words();
                (class, Trouble::new(code, sentence(&other.to_string()), remedy))
            }
        }
    }

    fn own_words(&self) -> (Class, &'static str, &'static str) {
        match self {
            Self::PlainRefused { .. } => (
                Class::Account,
                "plain_refused",
                "Choose implicit TLS or STARTTLS. Without TLS only this machine and networks in \
                 MAILGRANT_ALLOW_NETWORKS are spoken to, and never with a sign-in.",
            ),
            Self::NoStartTls { .. } => (
                Class::Account,
                "no_starttls",
                "Choose implicit TLS (port 465), or switch STARTTLS on at the server; nothing is sent in the clear.",
            ),
            Self::Protocol { .. } => (
                Class::Transient,
                "not_smtp",
                "Check host, port and TLS mode: 465 is implicit TLS, 587 is STARTTLS.",
            ),
            Self::NoMechanism { .. } => (
                Class::Account,
                "no_mechanism",
                "Check that this is the provider's server for sending (submission), and that it accepts this kind of \
                 sign-in.",
            ),
            Self::NeedsUtf8 { .. } => (
                Class::Mail,
                "needs_smtputf8",
                "The server does not offer SMTPUTF8. Write to another address of this person, or send through a \
                 server that offers it.",
            ),
            Self::Unknown { .. } => (
                Class::Transient,
                "outcome_unknown",
                "Nobody knows whether it was taken. It is sent again with the same Message-ID, so that mail programs \
                 show it once.",
            ),
            _ => (
                Class::Transient,
                "connection_lost",
                "Mailgrant tries again by itself. If it goes on, look at the mail server's own status page.",
            ),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    provider: Option<Provider>,
    stage: Option<Stage>,
    #[serde(default)]
    codes: Vec<u16>,
    #[serde(default)]
    enhanced: Vec<String>,
    contains: Option<String>,
    code: String,
    class: Class,
    cause: String,
    remedy: String,
}

#[derive(Debug, Default, Deserialize)]
struct Table {
    row: Vec<Row>,
}

// The text is part of the program; a test reads it, so it cannot be broken in a build that passed its tests.
static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("refusals.toml")).unwrap_or_default());

fn explain_reply(provider: Provider, stage: Stage, reply: &Reply) -> (Class, Trouble) {
    let lower = reply.text.to_lowercase();
    let fits = |row: &&Row| {
        row.provider.is_none_or(|wanted| wanted == provider)
            && row.stage.is_none_or(|wanted| wanted == stage)
            && (row.codes.is_empty() || row.codes.contains(&reply.code))
            && (row.enhanced.is_empty()
                || row.enhanced.iter().any(|wanted| {
                    reply.enhanced.as_deref() == Some(wanted.as_str()) || names(&lower, wanted)
                }))
            && row
                .contains
                .as_deref()
                .is_none_or(|wanted| lower.contains(wanted))
    };
    if let Some(row) = TABLE.row.iter().find(fits) {
        // Four hundreds are the server's word that it passes, whatever the table thinks of the text.
        let class = if (400..500).contains(&reply.code) && row.class == Class::Mail {
            Class::Transient
        } else {
            row.class
        };
        return (
            class,
            Trouble::new(
                row.code.clone(),
                with_words(&row.cause, &said(reply)),
                row.remedy.clone(),
            ),
        );
    }
    general(stage, reply)
}

/// Whether a text names an enhanced status as a word of its own: `5.7.3` is not in `5.7.30`.
fn names(text: &str, status: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .any(|word| word.trim_matches('.') == status)
}

fn said(reply: &Reply) -> String {
    format!("{} {}", reply.code, reply.text)
}

fn general(stage: Stage, reply: &Reply) -> (Class, Trouble) {
    if reply.code < 500 {
        return (
            Class::Transient,
            Trouble::new(
                "refused_for_now",
                with_words("The mail server does not take the mail now.", &said(reply)),
                "Mailgrant tries again by itself.",
            ),
        );
    }
    let (class, code, cause, remedy) = match stage {
        Stage::SignIn | Stage::Greeting | Stage::Hello | Stage::StartTls => (
            Class::Account,
            "sign_in_refused",
            "The mail server refused the sign-in.",
            "Check the SMTP login name of the mailbox, the scopes of the grant, and that the server accepts tokens \
             of this provider.",
        ),
        Stage::Sender => (
            Class::Mail,
            "sender_refused",
            "The mail server refused the sender's address.",
            "Check the From address of the mailbox, and that the SMTP login may send as it.",
        ),
        Stage::Recipient => (
            Class::Mail,
            "recipient_refused",
            "The mail server refused a recipient's address.",
            "Check the address for mistakes; if it is right, its owner has to ask their own mail administrator.",
        ),
        Stage::Data | Stage::Content => (
            Class::Mail,
            "mail_refused",
            "The mail server refused the mail.",
            "The server's words say why. Change the mail, or ask the server's administrator.",
        ),
    };
    (class, Trouble::new(code, with_words(cause, &said(reply)), remedy))
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    let dot = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{dot}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(provider: Provider, stage: Stage, code: u16, text: &str) -> (Class, String) {
        let error = SmtpError::Refused {
            stage,
            reply: Reply::new(code, text),
        };
        let (class, trouble) = error.explain(provider);
        assert!(trouble.cause.len() > 10 && trouble.remedy.len() > 10, "{text}");
        (class, trouble.code)
    }

    #[test]
    fn the_table_is_read_and_every_row_says_what_to_do() {
        assert!(TABLE.row.len() > 15);
        for row in &TABLE.row {
            assert!(
                row.cause.ends_with('.') && row.remedy.ends_with('.'),
                "{}",
                row.code
            );
            assert!(
                !row.codes.is_empty() || !row.enhanced.is_empty() || row.contains.is_some(),
                "{} fits everything",
                row.code
            );
        }
    }

    #[test]
    fn every_refusal_the_providers_are_known_for_is_explained() {
        use Class::{Account, Mail, Transient};
        use Provider::{Custom, Google, Microsoft};
        use Stage::{Content, Greeting, Recipient, Sender, SignIn};
        let table = [
            (
                Microsoft,
                SignIn,
                535,
                "5.7.3 Authentication unsuccessful",
                Account,
                "smtp_identity",
            ),
            (
                Microsoft,
                SignIn,
                535,
                "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
                Account,
                "smtp_auth_disabled",
            ),
            (
                Microsoft,
                SignIn,
                550,
                "5.7.30 Basic authentication is not supported for Client Submission.",
                Account,
                "basic_auth_ended",
            ),
            (
                Microsoft,
                Content,
                550,
                "5.7.60 SMTP; Client does not have permissions to send as this sender",
                Account,
                "send_as_denied",
            ),
            (
                Microsoft,
                Content,
                554,
                "5.2.252 SendAsDenied; a@example.com not allowed to send as b@example.com",
                Account,
                "send_as_denied",
            ),
            (
                Microsoft,
                Sender,
                530,
                "5.7.57 Client not authenticated to send mail",
                Account,
                "not_signed_in",
            ),
            (
                Microsoft,
                Content,
                432,
                "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
                Transient,
                "too_many_at_once",
            ),
            (
                Google,
                SignIn,
                535,
                "5.7.8 Username and Password not accepted.",
                Account,
                "token_refused",
            ),
            (
                Google,
                SignIn,
                454,
                "4.7.0 Too many login attempts, please try again later.",
                Transient,
                "slow_down",
            ),
            (
                Google,
                Content,
                550,
                "5.4.5 Daily user sending limit exceeded.",
                Transient,
                "daily_limit",
            ),
            (
                Google,
                Greeting,
                421,
                "4.7.0 Try again later, closing connection.",
                Transient,
                "slow_down",
            ),
            (
                Custom,
                Content,
                552,
                "5.3.4 Message size exceeds fixed limit",
                Mail,
                "too_large",
            ),
            (
                Custom,
                Recipient,
                452,
                "4.2.2 mailbox full",
                Transient,
                "recipient_full",
            ),
            (
                Custom,
                Recipient,
                552,
                "5.2.2 mailbox full",
                Mail,
                "recipient_full",
            ),
            (
                Custom,
                Recipient,
                550,
                "5.1.1 no such user",
                Mail,
                "recipient_unknown",
            ),
            (Custom, Content, 554, "5.7.1 looks like spam", Mail, "policy"),
            (Custom, Content, 554, "no", Mail, "mail_refused"),
            (Custom, Recipient, 451, "later", Transient, "refused_for_now"),
        ];
        for (provider, stage, code, text, class, name) in table {
            assert_eq!(
                explained(provider, stage, code, text),
                (class, name.to_owned()),
                "{code} {text}"
            );
        }
    }

    #[test]
    fn a_status_is_not_found_inside_a_longer_one() {
        assert!(names("535 5.7.3 no", "5.7.3"));
        assert!(!names("550 5.7.30 no", "5.7.3"));
        assert_eq!(Reply::new(550, "5.7.30 x").enhanced.as_deref(), Some("5.7.30"));
        assert_eq!(Reply::new(550, "no status").enhanced, None);
    }
}

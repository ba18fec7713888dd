//! What can go wrong with an IMAP server, told apart by what has to happen next.

use crate::net::DialError;

/// An IMAP failure. No variant ever holds mail, tokens, or the parser's buffer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImapError {
    /// The server could not be reached, or TLS failed.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Without TLS only this machine and allowed networks are spoken to.
    #[error(
        "{host} would be spoken to without TLS, which is allowed only on this machine and in allowed networks"
    )]
    PlainRefused {
        /// The host.
        host: String,
    },
    /// The server greeted us as already signed in (PREAUTH), which a man in the middle could do.
    #[error("the server claims that this connection is already signed in (PREAUTH)")]
    Preauth,
    /// The login was refused.
    #[error("the server refused the login: {text}")]
    AuthRejected {
        /// The decoded JSON of the failure challenge (RFC 7628 form, as Google sends it), cleaned and shortened.
        challenge: Option<String>,
        /// The response code, such as `AUTHENTICATIONFAILED`.
        code: Option<String>,
        /// The server's words, cleaned and shortened.
        text: String,
    },
    /// A command was answered NO.
    #[error("the server refused: {text}")]
    No {
        /// The response code in capitals, such as `LIMIT` or `TRYCREATE`.
        code: Option<String>,
        /// The server's words, cleaned and shortened.
        text: String,
    },
    /// A command was answered BAD.
    #[error("the server did not accept the command: {text}")]
    Bad {
        /// The server's words, cleaned and shortened.
        text: String,
    },
    /// The server said good-bye.
    #[error("the server ended the session: {text}")]
    Bye {
        /// The response code, such as `UNAVAILABLE`.
        code: Option<String>,
        /// The server's words, cleaned and shortened.
        text: String,
    },
    /// The connection ended in the middle.
    #[error("the connection was closed before the answer was complete")]
    Eof,
    /// The server took too long.
    #[error("no answer in time: {what}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
    },
    /// An answer is larger than the configured maximum.
    #[error("the server sends more than allowed: {bytes} bytes")]
    TooLarge {
        /// The size announced or reached.
        bytes: u64,
    },
    /// The server does something that no honest server does.
    #[error("the server's answer was refused as harmful: {what}")]
    Hostile {
        /// Which limit or rule it broke.
        what: &'static str,
    },
    /// An answer that cannot be understood.
    #[error("the server's answer cannot be understood: {0}")]
    Protocol(&'static str),
    /// The server lacks something that is needed.
    #[error("the server does not offer {0}")]
    Unsupported(&'static str),
    /// A value cannot be sent to a server.
    #[error("this {0} cannot be used: it is empty, too long, or contains control characters")]
    InvalidArgument(&'static str),
}

impl ImapError {
    /// The machine code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            ImapError::Dial(e) => e.code(),
            ImapError::PlainRefused { .. } => "imap_plain_refused",
            ImapError::Preauth => "imap_preauth",
            ImapError::AuthRejected { .. } => "imap_auth_rejected",
            _ if self.is_throttle() => "imap_throttled",
            _ if self.is_folder_missing() => "imap_folder_missing",
            ImapError::No { .. } => "imap_no",
            ImapError::Bad { .. } => "imap_bad",
            ImapError::Bye { .. } => "imap_bye",
            ImapError::Eof => "imap_connection_closed",
            ImapError::Timeout { .. } => "imap_timeout",
            ImapError::TooLarge { .. } => "imap_too_large",
            ImapError::Hostile { .. } => "imap_hostile",
            ImapError::Protocol(_) => "imap_protocol",
            ImapError::Unsupported(_) => "imap_unsupported",
            ImapError::InvalidArgument(_) => "imap_invalid_argument",
        }
    }

    /// What an admin can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            ImapError::Dial(e) => e.remedy(),
            ImapError::PlainRefused { .. } => {
                "Choose implicit TLS (port 993) or STARTTLS (port 143), or add the network to MAILGRANT_ALLOW_NETWORKS."
            }
            ImapError::Preauth => {
                "Use implicit TLS; if it persists, somebody may be interfering with the connection."
            }
            ImapError::AuthRejected { .. } => {
                "Check that the login name is the mailbox's own address, that the grant belongs to it and has the IMAP \
                 scope, and that IMAP is switched on for the mailbox."
            }
            _ if self.is_throttle() => {
                "The server is limiting us; Mailgrant waits and tries again by itself."
            }
            ImapError::No { .. } => {
                "Read the server's words; check the folder and the mailbox's permissions."
            }
            ImapError::Bad { .. } => {
                "Read the server's words; for Microsoft 365 check the login name and its permission on the mailbox."
            }
            ImapError::Bye { .. } | ImapError::Eof | ImapError::Timeout { .. } => {
                "Mailgrant tries again by itself; if it persists, ask the server's operator."
            }
            ImapError::TooLarge { .. } => "Raise the maximum message size, or read this mail on the server.",
            ImapError::Hostile { .. } | ImapError::Protocol(_) => {
                "Check that host and port belong to your mail server; if they do, report this to us."
            }
            ImapError::Unsupported(_) => {
                "Ask the server's operator, or choose other settings for this mailbox."
            }
            ImapError::InvalidArgument(_) => "Type it again.",
        }
    }

    /// Whether the server says that these credentials are not good (and not merely that it is busy).
    pub fn is_auth(&self) -> bool {
        matches!(self, ImapError::AuthRejected { .. })
    }

    /// Whether the server says that the folder does not exist. Some say it by code (RFC 5530), some only in words.
    pub fn is_folder_missing(&self) -> bool {
        let ImapError::No { code, text } = self else {
            return false;
        };
        let text = text.to_ascii_lowercase();
        matches!(code.as_deref(), Some("TRYCREATE" | "NONEXISTENT"))
            || [
                "doesn't exist",
                "does not exist",
                "no such mailbox",
                "unknown mailbox",
                "nonexistent",
            ]
            .iter()
            .any(|phrase| text.contains(phrase))
    }

    /// Whether the server asks us to come back later.
    pub fn is_throttle(&self) -> bool {
        let (code, text) = match self {
            ImapError::No { code, text } | ImapError::Bye { code, text } => (code.as_deref(), text),
            ImapError::Bad { text } => (None, text),
            _ => return false,
        };
        says_later(code, text)
    }

    /// Whether the same attempt may well succeed later with nothing changed by the admin.
    pub fn is_transient(&self) -> bool {
        match self {
            ImapError::Dial(e) => e.is_transient(),
            ImapError::Bye { .. } | ImapError::Eof | ImapError::Timeout { .. } => true,
            _ => self.is_throttle(),
        }
    }

    /// Whether the connection can still be used after this error.
    pub fn is_recoverable(&self) -> bool {
        matches!(
            self,
            ImapError::No { .. }
                | ImapError::Bad { .. }
                | ImapError::Unsupported(_)
                | ImapError::InvalidArgument(_)
        )
    }
}

/// Whether a refusal means "not now" (RFC 5530, RFC 9208, and what large providers say in plain words).
pub(super) fn says_later(code: Option<&str>, text: &str) -> bool {
    if matches!(
        code,
        Some("LIMIT" | "UNAVAILABLE" | "OVERQUOTA" | "INUSE" | "SERVERBUG" | "THROTTLED")
    ) {
        return true;
    }
    let text = text.to_ascii_lowercase();
    [
        "too many simultaneous",
        "too many connections",
        "temporarily",
        "try again later",
        "throttled",
        "bandwidth",
    ]
    .iter()
    .any(|phrase| text.contains(phrase))
}

//! Why a provider could not be saved, and why somebody was not let in. The texts may be shown to anybody: they hold
//! no token, no secret and no claim but the ones a person needs in order to act.

pub(super) use sea_orm::DbErr;

use crate::crypto::SealError;
use crate::net::HttpError;
use crate::trouble::{FieldError, Trouble};

/// Why a use case of identity providers failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SsoError {
    /// Fields are wrong.
    #[error("some fields are not right")]
    Invalid(Vec<FieldError>),
    /// There is no such provider.
    #[error("there is no such identity provider")]
    NotFound,
    /// Somebody else saved it meanwhile.
    #[error(
        "the identity provider was changed by somebody else meanwhile; load it again and repeat your change"
    )]
    Conflict,
    /// It stands in the configuration file.
    #[error("this identity provider stands in the configuration file; change it there and start again")]
    ReadOnly,
    /// Its present connection never passed a test.
    #[error("the present issuer and client have not passed a test sign-in; test first, then enable")]
    NotTested,
    /// The provider could not be asked, or what it said cannot be used.
    #[error("{} {}", .0.cause, .0.remedy)]
    Provider(Trouble),
    /// The session at the provider ended while its person was on the way here.
    #[error("the session at the identity provider ended meanwhile")]
    SignedOut,
    /// A stored secret does not open.
    #[error("a stored secret of the identity provider: {0}")]
    Seal(#[from] SealError),
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

impl SsoError {
    /// What to tell a person.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Provider(trouble) => trouble.clone(),
            Self::NotFound => Trouble::new(
                "provider_unknown",
                "This way to sign in does not exist, or is switched off.",
                "Go back to the sign-in page and choose another one.",
            ),
            other => Trouble::new(
                "sign_in_failed",
                "Mailgrant made a mistake while it signed you in.",
                match other {
                    Self::Seal(_) => {
                        "An administrator has to enter the client secret anew; the log says more."
                    }
                    _ => "Try again; the log says more.",
                },
            ),
        }
    }
}

/// Why a sign-in was not finished.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Nobody is let in; the person is told why.
    #[error("{} ({})", .trouble.cause, .trouble.code)]
    Refused {
        /// What happened and what to do.
        trouble: Trouble,
        /// Where to begin again, when that is of use: the way back after signing in.
        return_to: String,
        /// Whether the provider is to blame at the moment: the same may work later.
        is_outage: bool,
    },
    /// It was a test; its result is stored.
    #[error("a test ended")]
    TestEnded {
        /// The test.
        test_id: String,
        /// The provider.
        provider_id: String,
        /// Why it failed.
        trouble: Trouble,
    },
    /// Something of ours failed.
    #[error(transparent)]
    Failed(#[from] SsoError),
}

impl From<DbErr> for SignInError {
    fn from(error: DbErr) -> Self {
        Self::Failed(SsoError::Db(error))
    }
}

impl From<SealError> for SignInError {
    fn from(error: SealError) -> Self {
        Self::Failed(SsoError::Seal(error))
    }
}

/// What went wrong at the provider: told to the person, with whether it may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) trouble: Trouble,
    pub(super) is_outage: bool,
}

impl Fault {
    pub(super) fn new(code: &str, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            trouble: Trouble::new(code, cause, remedy),
            is_outage: false,
        }
    }

    pub(super) fn outage(code: &str, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            is_outage: true,
            ..Self::new(code, cause, remedy)
        }
    }

    /// No answer came.
    pub(super) fn unreachable(what: &str, error: &HttpError) -> Self {
        Self {
            trouble: Trouble::new(
                error.code(),
                format!("The {what} could not be asked: {error}."),
                error.remedy(),
            ),
            is_outage: error.is_transient(),
        }
    }

    /// An answer with a status that is none of success.
    pub(super) fn status(what: &str, url: &str, status: u16) -> Self {
        let (code, remedy) = match status {
            300..=399 => (
                "redirected",
                "Redirects are not followed. Enter the address it leads to, if that is the provider's own.",
            ),
            500..=599 | 429 => (
                "provider_unavailable",
                "The provider has a problem of its own. Try again in a few minutes.",
            ),
            _ => (
                "provider_refused",
                "Check the address, and what the provider's own log says.",
            ),
        };
        Self {
            trouble: Trouble::new(
                code,
                format!("The {what} at {url} answered with status {status}."),
                remedy,
            ),
            is_outage: status >= 500 || status == 429,
        }
    }

    /// Something that is not what was asked for.
    pub(super) fn unreadable(what: &str, url: &str, is: &str) -> Self {
        Self::outage(
            "unreadable_answer",
            format!("The {what} at {url} answered with {is}."),
            "Check the address, and any proxy before it.",
        )
    }
}

impl From<Fault> for SsoError {
    fn from(fault: Fault) -> Self {
        Self::Provider(fault.trouble)
    }
}

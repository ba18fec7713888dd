//! Why there is no token, and why an authorization failed.

use sea_orm::DbErr;

use crate::crypto::SealError;
use crate::integration::IntegrationError;
use crate::trouble::Trouble;

/// Why a grant gives no access token, or a use case of grants failed.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// There is no such grant.
    #[error("there is no such grant")]
    NotFound,
    /// It is not what it was seen to be; nothing was done to what it is now.
    #[error("the grant was changed meanwhile; load it again")]
    Conflict,
    /// It is dead: somebody has to reconnect.
    #[error("{}: {}", .0.code, .0.cause)]
    NeedsReauth(Trouble),
    /// It was revoked here.
    #[error("{}: {}", .0.code, .0.cause)]
    Revoked(Trouble),
    /// The integration is set up wrongly; the grant is not at fault.
    #[error("{}: {}", .0.code, .0.cause)]
    Misconfigured(Trouble),
    /// Nobody is to blame; try again at `retry_at`.
    #[error("{}: {}", trouble.code, trouble.cause)]
    Transient {
        /// What happened.
        trouble: Trouble,
        /// When to try again, milliseconds since 1970.
        retry_at: i64,
    },
    /// The authorization could not be started or finished.
    #[error("{}: {}", .0.code, .0.cause)]
    Authorization(Trouble),
    /// The integration could not be used.
    #[error(transparent)]
    Integration(#[from] IntegrationError),
    /// A stored token does not open.
    #[error("stored token: {0}")]
    Seal(#[from] SealError),
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

impl GrantError {
    /// What to show.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::NeedsReauth(trouble)
            | Self::Revoked(trouble)
            | Self::Misconfigured(trouble)
            | Self::Transient { trouble, .. }
            | Self::Authorization(trouble) => trouble.clone(),
            Self::NotFound => Trouble::new(
                "grant_not_found",
                "There is no such grant.",
                "Choose another grant.",
            ),
            Self::Conflict => Trouble::new(
                "grant_changed",
                "The grant was changed meanwhile.",
                "Load it again, and repeat what you did if it is still wanted.",
            ),
            Self::Integration(error) => {
                Trouble::new(error.code(), format!("{error}."), "Check the integration.")
            }
            Self::Seal(error) => Trouble::new(
                "token_unreadable",
                format!("The stored token cannot be opened: {error}."),
                "Restore the key file this database was used with, or reconnect.",
            ),
            Self::Db(_) => Trouble::new(
                "database",
                "The database could not be used.",
                "See the log; Mailgrant tries again by itself.",
            ),
        }
    }

    /// Whether the same call may succeed later with nothing changed by a person.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Transient { .. } | Self::Db(_) | Self::Integration(IntegrationError::Db(_))
        )
    }
}

/// Why a callback gave no grant.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The redirect URL was replaced when an endpoint changed.
    #[error("this redirect URL was replaced by {new_redirect_url}")]
    RetiredCallback {
        /// The one to register.
        new_redirect_url: String,
    },
    /// No integration has this callback id.
    #[error("no integration has this redirect URL")]
    UnknownCallback,
    /// The answer has no `state`, or one nobody drew.
    #[error("the state is unknown")]
    UnknownState,
    /// The state was used before.
    #[error("the state was used already")]
    Replayed,
    /// The state is older than ten minutes.
    #[error("the attempt took longer than ten minutes")]
    Expired,
    /// The state belongs to another browser session.
    #[error("the attempt was started in another session")]
    OtherSession,
    /// The state belongs to another integration.
    #[error("the attempt was started for another integration")]
    OtherIntegration,
    /// The answer came from another issuer, or does not say from whom though it should (RFC 9207).
    #[error("the answer comes from another issuer")]
    WrongIssuer {
        /// The one it says; empty if none.
        got: String,
    },
    /// The provider refused, or what it gave cannot be used. The trouble says why.
    #[error("{}: {}", .0.code, .0.cause)]
    Refused(Trouble),
    /// Something of our own failed.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

impl From<DbErr> for CallbackError {
    fn from(error: DbErr) -> Self {
        Self::Grant(error.into())
    }
}

impl From<SealError> for CallbackError {
    fn from(error: SealError) -> Self {
        Self::Grant(error.into())
    }
}

impl From<IntegrationError> for CallbackError {
    fn from(error: IntegrationError) -> Self {
        Self::Grant(error.into())
    }
}

impl CallbackError {
    /// What to show: code, cause and remedy.
    pub fn trouble(&self) -> Trouble {
        let again = "Open the integration and start the connection again.";
        match self {
            Self::RetiredCallback { new_redirect_url } => Trouble::new(
                "redirect_url_retired",
                "This redirect URL was replaced when an endpoint of its integration changed.",
                format!("Register the new one at the provider, then connect again: {new_redirect_url}"),
            ),
            Self::UnknownCallback => Trouble::new(
                "redirect_url_unknown",
                "No integration has this redirect URL.",
                "Copy the redirect URL from the integration's page into the registration at the provider.",
            ),
            Self::UnknownState => Trouble::new(
                "state_unknown",
                "The provider's answer does not belong to an attempt that was started here.",
                again,
            ),
            Self::Replayed => Trouble::new(
                "state_replayed",
                "The provider's answer was used already; each works once.",
                again,
            ),
            Self::Expired => Trouble::new(
                "state_expired",
                "The attempt took longer than ten minutes.",
                again,
            ),
            Self::OtherSession => Trouble::new(
                "state_of_another_session",
                "The attempt was started in another browser session.",
                "Finish it in the browser that started it, or start again here.",
            ),
            Self::OtherIntegration => Trouble::new(
                "state_of_another_integration",
                "The attempt was started for another integration.",
                again,
            ),
            Self::WrongIssuer { got } => Trouble::new(
                "issuer_mismatch",
                if got.is_empty() {
                    "The provider announces that it names itself in its answers, but this answer does not."
                        .to_owned()
                } else {
                    format!("The answer comes from another issuer than the integration's: {got}.")
                },
                "Start the connection again; if it stays, check the issuer and the endpoints of the integration.",
            ),
            Self::Refused(trouble) => trouble.clone(),
            Self::Grant(error) => error.trouble(),
        }
    }

    /// The machine code.
    pub fn code(&self) -> String {
        self.trouble().code
    }
}

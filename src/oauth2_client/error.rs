//! Why there is no token, told apart by what has to happen next.

use std::time::Duration;

use super::explain::{Class, Explanation};
use crate::trouble::Trouble;

/// Why a token endpoint gave no token. None of it holds a token or a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The grant will never work again: reconnect.
    #[error("{}: {}", .0.code, .0.cause)]
    GrantDead(Trouble),
    /// The integration is set up wrongly; the grant is not at fault.
    #[error("{}: {}", .0.code, .0.cause)]
    ClientMisconfigured(Trouble),
    /// Consent, a policy or the account itself wants a person.
    #[error("{}: {}", .0.code, .0.cause)]
    NeedsPerson(Trouble),
    /// Nobody is to blame; the same request may succeed later.
    #[error("{}: {}", trouble.code, trouble.cause)]
    Transient {
        /// What happened.
        trouble: Trouble,
        /// How long the provider wants us to wait, at most an hour.
        retry_after: Option<Duration>,
        /// Whether the provider answered legibly. If not, it may have acted on the request, as by rotating the
        /// refresh token, without our knowing.
        answered: bool,
    },
}

impl TokenError {
    /// The trouble to show.
    pub fn trouble(&self) -> &Trouble {
        match self {
            Self::GrantDead(trouble) | Self::ClientMisconfigured(trouble) | Self::NeedsPerson(trouble) => {
                trouble
            }
            Self::Transient { trouble, .. } => trouble,
        }
    }

    pub(super) fn of(explanation: Explanation, retry_after: Option<Duration>) -> Self {
        let trouble = explanation.trouble;
        match explanation.class {
            Class::Client => Self::ClientMisconfigured(trouble),
            Class::GrantDead | Class::Flow => Self::GrantDead(trouble),
            Class::Consent | Class::Policy | Class::Account => Self::NeedsPerson(trouble),
            Class::Transient => Self::Transient {
                trouble,
                retry_after,
                answered: true,
            },
            // The provider counts requests: five minutes of silence at least.
            Class::Bug => Self::Transient {
                trouble,
                retry_after: Some(retry_after.unwrap_or_default().max(Duration::from_secs(300))),
                answered: true,
            },
        }
    }
}

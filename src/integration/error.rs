//! Why an integration could not be saved, found or deleted.

pub(super) use sea_orm::DbErr;
use serde::Serialize;

use crate::crypto::SealError;
use crate::trouble::Trouble;

/// A mistake in one field, to be shown beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field's name, as in the model (`token_endpoint`).
    pub field: &'static str,
    /// A machine code.
    pub code: String,
    /// Cause and remedy in sentences.
    pub message: String,
}

impl FieldError {
    pub(super) fn new(field: &'static str, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field,
            code: code.into(),
            message: message.into(),
        }
    }
}

/// Why a use case of integrations failed.
#[derive(Debug, thiserror::Error)]
pub enum IntegrationError {
    /// Fields are wrong; nothing was changed.
    #[error("some fields are not right")]
    Invalid(Vec<FieldError>),
    /// There is no such integration.
    #[error("there is no such integration")]
    NotFound,
    /// Somebody else saved it meanwhile; nothing was changed.
    #[error("the integration was changed by somebody else meanwhile; load it again and repeat your change")]
    Conflict,
    /// It still has grants.
    #[error("the integration still has grants ({}); revoke them first and delete their mailboxes", .0.join(", "))]
    HasGrants(Vec<String>),
    /// The discovery document could not be used.
    #[error("{}", .0.cause)]
    Discovery(Trouble),
    /// The stored secret does not open.
    #[error("the stored client secret: {0}")]
    Seal(#[from] SealError),
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

impl IntegrationError {
    /// The machine code.
    pub fn code(&self) -> &str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::NotFound => "integration_not_found",
            Self::Conflict => "revision_conflict",
            Self::HasGrants(_) => "integration_has_grants",
            Self::Discovery(trouble) => &trouble.code,
            Self::Seal(_) => "secret_unreadable",
            Self::Db(_) => "database",
        }
    }
}

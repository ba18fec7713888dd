//! Why something with a webhook or a queue did not work. Nothing was changed.

use crate::trouble::FieldError;

/// Why a request about webhooks, deliveries or queues is refused.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Fields that are not right.
    #[error("{} fields are not right", .0.len())]
    Invalid(Vec<FieldError>),
    /// There is none with this id, or it belongs to projects somebody may not see.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Somebody else changed it meanwhile.
    #[error("it was changed meanwhile")]
    Conflict,
    /// The event is not in the log any more.
    #[error("the event is older than the retention and is gone; it cannot be sent again")]
    EventGone,
    /// The endpoint is disabled.
    #[error("this webhook is disabled; enable it first")]
    Disabled,
    /// The queue's place was older than the retention.
    #[error("the place of this queue was older than the retention")]
    Expired {
        /// Where the log begins now.
        oldest: crate::event::Cursor,
    },
    /// A stored secret does not open.
    #[error("a stored secret does not open: {0}")]
    Seal(#[from] crate::crypto::SealError),
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] sea_orm::DbErr),
}

impl DeliveryError {
    /// One field that is not right.
    pub fn field(field: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }
}

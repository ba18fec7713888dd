//! The stages' errors as answers of the admin pages.

use actix_web::http::StatusCode;

use crate::delivery::DeliveryError;
use crate::grant::GrantError;
use crate::integration::IntegrationError;
use crate::mailbox::MailboxError;
use crate::message::MessageError;
use crate::project::ProjectError;
use crate::rule::RuleError;
use crate::ticket::TicketError;
use crate::trouble::Trouble;
use crate::web::error::Problem;

/// Somebody else saved meanwhile.
fn conflict(detail: String) -> Problem {
    Problem::conflict("revision_conflict", detail)
        .with_title("It was changed meanwhile")
        .with_remedy("Open the page again and repeat the change.")
}

fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields", detail)
}

impl From<IntegrationError> for Problem {
    fn from(error: IntegrationError) -> Self {
        match error {
            IntegrationError::NotFound => Self::not_found("integration"),
            IntegrationError::Conflict => conflict(error.to_string()),
            IntegrationError::Invalid(_) => invalid(error.to_string()),
            IntegrationError::HasGrants(_) => Self::conflict("integration_has_grants", error.to_string()),
            IntegrationError::Discovery(trouble) => trouble.into(),
            IntegrationError::Seal(_) | IntegrationError::Db(_) => Self::internal(&error),
        }
    }
}

impl From<GrantError> for Problem {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::NotFound => Self::not_found("grant"),
            GrantError::Integration(error) => error.into(),
            GrantError::Seal(_) | GrantError::Db(_) => Self::internal(&error),
            _ => error.trouble().into(),
        }
    }
}

impl From<MailboxError> for Problem {
    fn from(error: MailboxError) -> Self {
        match error {
            MailboxError::NotFound => Self::not_found("mailbox"),
            MailboxError::Conflict => conflict(error.to_string()),
            MailboxError::Invalid(_) => invalid(error.to_string()),
            MailboxError::HasMessages(_) => Self::conflict("mailbox_has_messages", error.to_string()),
            MailboxError::Trouble(trouble) => trouble.into(),
            MailboxError::Db(_) => Self::internal(&error),
        }
    }
}

impl From<ProjectError> for Problem {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::NotFound => Self::not_found("project"),
            ProjectError::Conflict => conflict(error.to_string()),
            ProjectError::Invalid(_) => invalid(error.to_string()),
            ProjectError::Db(_) => Self::internal(&error),
        }
    }
}

impl From<RuleError> for Problem {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::NotFound => Self::not_found("rule"),
            RuleError::Conflict | RuleError::BadOrder => conflict(error.to_string()),
            RuleError::Invalid(_) => invalid(error.to_string()),
            RuleError::Db(_) => Self::internal(&error),
        }
    }
}

impl From<TicketError> for Problem {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::NotFound => Self::not_found("ticket"),
            TicketError::BadCursor => Self::bad_request("bad_cursor", error.to_string()),
            TicketError::Conflict => conflict(error.to_string()),
            TicketError::Invalid(_) => invalid(error.to_string()),
            TicketError::Db(_) => Self::internal(&error),
        }
    }
}

impl From<DeliveryError> for Problem {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::NotFound(what) => Self::not_found(what),
            DeliveryError::Conflict => conflict(error.to_string()),
            DeliveryError::Invalid(_) => invalid(error.to_string()),
            DeliveryError::Disabled => Self::conflict("webhook_disabled", error.to_string()),
            DeliveryError::EventGone => Self::conflict("event_gone", error.to_string()),
            DeliveryError::Expired { .. } => Self::conflict("cursor_expired", error.to_string()),
            DeliveryError::Seal(_) | DeliveryError::Db(_) => Self::internal(&error),
        }
    }
}

impl From<MessageError> for Problem {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::NotFound => Self::not_found("message"),
            MessageError::NoAttachment => Self::not_found("attachment"),
            MessageError::Db(_) => Self::internal(&error),
        }
    }
}

/// Cause, remedy and code in one text, for a message on the next page.
pub(super) fn sentence(trouble: &Trouble) -> String {
    format!("{} {} ({})", trouble.cause, trouble.remedy, trouble.code)
}

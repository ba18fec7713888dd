//! What each admin page shows: one struct per template, holding only values that are ready for display.
//!
//! Nothing here asks a service or knows HTTP. Each view's documentation is the page's contract: its route, the
//! forms it holds, where they post and the names of their fields. Every `POST` form also sends `csrf`.
//! Times, counts and words arrive already worded; a template only places them.

pub mod account;
pub mod answer;
pub mod attached_mail;
pub mod audit;
pub mod clients;
pub mod connect;
pub mod dashboard;
pub mod deliveries;
pub mod errors;
pub mod events;
pub mod grants;
pub mod identity_providers;
pub mod integrations;
pub mod mail_templates;
pub mod mailboxes;
pub mod oauth2;
pub mod outgoing;
pub mod page;
pub mod parts;
pub mod people;
pub mod profile;
pub mod projects;
pub mod quarantine;
pub mod queues;
pub mod reference;
pub mod rules;
pub mod search;
pub mod settings;
pub mod split;
pub mod tests_page;
pub mod tickets;
pub mod trusted_issuers;
pub mod webhooks;

pub use page::{Flash, FlashKind, May, Page, Section, Theme, UserName};

/// Calls the given macro with the list of all views. A view that is missing here is caught by a test, because
/// its template then has none.
#[cfg(test)]
macro_rules! for_each_view {
    ($then:ident) => {
        $then!(
            crate::web::admin::views::account::Setup,
            crate::web::admin::views::account::SignIn,
            crate::web::admin::views::account::CodeStep,
            crate::web::admin::views::account::EnrolStep,
            crate::web::admin::views::account::RecoveryCodes,
            crate::web::admin::views::account::NewPassword,
            crate::web::admin::views::account::ConfirmEmail,
            crate::web::admin::views::account::ForgotPassword,
            crate::web::admin::views::people::UserList,
            crate::web::admin::views::people::InviteForm,
            crate::web::admin::views::people::ShownOnce,
            crate::web::admin::views::people::UserDetail,
            crate::web::admin::views::people::TokenList,
            crate::web::admin::views::people::TokenForm,
            crate::web::admin::views::people::Members,
            crate::web::admin::views::dashboard::Dashboard,
            crate::web::admin::views::connect::ConnectChoose,
            crate::web::admin::views::connect::ConnectForm,
            crate::web::admin::views::connect::ConnectDone,
            crate::web::admin::views::connect::CallbackResult,
            crate::web::admin::views::connect::Leaving,
            crate::web::admin::views::integrations::IntegrationList,
            crate::web::admin::views::integrations::IntegrationForm,
            crate::web::admin::views::integrations::IntegrationDetail,
            crate::web::admin::views::integrations::IntegrationReach,
            crate::web::admin::views::grants::GrantList,
            crate::web::admin::views::grants::GrantDetail,
            crate::web::admin::views::grants::IdentityMismatch,
            crate::web::admin::views::mailboxes::MailboxList,
            crate::web::admin::views::mailboxes::MailboxForm,
            crate::web::admin::views::mailboxes::MailboxDetail,
            crate::web::admin::views::projects::ProjectList,
            crate::web::admin::views::projects::ProjectForm,
            crate::web::admin::views::projects::ProjectDetail,
            crate::web::admin::views::mail_templates::TemplateList,
            crate::web::admin::views::mail_templates::TemplateForm,
            crate::web::admin::views::rules::RuleList,
            crate::web::admin::views::rules::RuleForm,
            crate::web::admin::views::quarantine::Quarantine,
            crate::web::admin::views::quarantine::MessagePage,
            crate::web::admin::views::attached_mail::AttachedMail,
            crate::web::admin::views::tickets::TicketList,
            crate::web::admin::views::tickets::TicketDetail,
            crate::web::admin::views::split::SplitPage,
            crate::web::admin::views::outgoing::OutgoingList,
            crate::web::admin::views::outgoing::OutgoingDetail,
            crate::web::admin::views::tickets::TicketForm,
            crate::web::admin::views::search::SearchPage,
            crate::web::admin::views::reference::Reference,
            crate::web::admin::views::tests_page::TestPage,
            crate::web::admin::views::profile::Profile,
            crate::web::admin::views::audit::AuditLog,
            crate::web::admin::views::trusted_issuers::TrustedIssuerList,
            crate::web::admin::views::trusted_issuers::TrustedIssuerForm,
            crate::web::admin::views::settings::Settings,
            crate::web::admin::views::settings::SiteMailPage,
            crate::web::admin::views::identity_providers::ProviderList,
            crate::web::admin::views::identity_providers::ProviderForm,
            crate::web::admin::views::identity_providers::ProviderDetail,
            crate::web::admin::views::identity_providers::ProviderTest,
            crate::web::admin::views::errors::ErrorPage,
            crate::web::admin::views::errors::RedirectChanged,
            crate::web::admin::views::clients::ClientList,
            crate::web::admin::views::clients::ClientForm,
            crate::web::admin::views::clients::ClientDetail,
            crate::web::admin::views::clients::ClientSecret,
            crate::web::admin::views::clients::SigningKeys,
            crate::web::admin::views::clients::InitialTokens,
            crate::web::admin::views::oauth2::AskSignOut,
            crate::web::admin::views::oauth2::SignedOut,
            crate::web::admin::views::oauth2::ConsentPage,
            crate::web::admin::views::oauth2::Onward,
            crate::web::admin::views::oauth2::DevicePage,
            crate::web::admin::views::oauth2::DeviceDone,
            crate::web::admin::views::oauth2::ConnectedApps,
            crate::web::admin::views::webhooks::WebhookList,
            crate::web::admin::views::webhooks::WebhookForm,
            crate::web::admin::views::webhooks::WebhookSecret,
            crate::web::admin::views::webhooks::WebhookDetail,
            crate::web::admin::views::deliveries::DeliveryList,
            crate::web::admin::views::deliveries::DeliveryDetail,
            crate::web::admin::views::events::EventList,
            crate::web::admin::views::events::EventDetail,
            crate::web::admin::views::queues::QueueList,
            crate::web::admin::views::queues::QueueForm,
            crate::web::admin::views::queues::QueueDetail,
            crate::web::admin::views::parts::Confirm,
        );
    };
}
#[cfg(test)]
pub(crate) use for_each_view;

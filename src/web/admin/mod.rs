//! The admin pages: each file reads requests, asks the services and fills the views of [`views`].
//!
//! * `desk`: what every handler is handed; `words`: values worded for people; `failure`: errors as answers;
//! * `attention`: what needs somebody, for the dashboard and the number beside it;
//! * one file per part of the navigation, and `connect` for the wizard, which the OAuth callback ends in.

mod answer_box;
mod apps;
mod attached_mail;
mod attention;
mod audit_log;
mod clients;
pub(super) mod connect;
mod dashboard;
mod deliveries;
pub(super) mod desk;
mod events;
mod failure;
mod grants;
mod identity_provider_form;
mod identity_providers;
mod integrations;
mod mail_templates;
mod mailboxes;
mod members;
mod merge;
mod messages;
mod new_password;
mod once;
mod outgoing;
mod profile;
mod profile_tokens;
mod projects;
mod qr;
mod quarantine;
mod queues;
mod reach;
mod reference;
mod rules;
mod search_page;
mod second_step;
mod settings;
mod sign_in;
mod site_mail;
mod split;
mod subscription;
mod test_runs;
mod ticket_page;
mod tickets;
mod token_list;
mod trusted_issuers;
mod user_page;
mod users;
pub mod views;
mod webhook_form;
mod webhooks;
mod words;

#[cfg(test)]
mod tests;

use super::route::Route;

/// The routes of the admin pages.
pub(super) fn routes() -> Vec<Route> {
    [
        sign_in::ROUTES,
        dashboard::ROUTES,
        connect::ROUTES,
        integrations::ROUTES,
        reach::ROUTES,
        grants::ROUTES,
        mailboxes::ROUTES,
        projects::ROUTES,
        mail_templates::ROUTES,
        rules::ROUTES,
        quarantine::ROUTES,
        tickets::ROUTES,
        ticket_page::ROUTES,
        answer_box::ROUTES,
        merge::ROUTES,
        split::ROUTES,
        search_page::ROUTES,
        reference::ROUTES,
        messages::ROUTES,
        attached_mail::ROUTES,
        outgoing::ROUTES,
        test_runs::ROUTES,
        webhooks::ROUTES,
        webhook_form::ROUTES,
        deliveries::ROUTES,
        events::ROUTES,
        queues::ROUTES,
        settings::ROUTES,
        site_mail::ROUTES,
        identity_providers::ROUTES,
        apps::ROUTES,
        clients::ROUTES,
        clients::FORM,
        clients::KEYS,
        clients::INITIAL,
        profile::ROUTES,
        audit_log::ROUTES,
        profile_tokens::ROUTES,
        second_step::ROUTES,
        new_password::ROUTES,
        users::ROUTES,
        user_page::ROUTES,
        token_list::ROUTES,
        members::ROUTES,
        trusted_issuers::ROUTES,
    ]
    .concat()
}

//! REST for automation, `/api/v1`.
//!
//! Names are camelCase, times RFC 3339, ids prefixed; what there is none of is `null`, never missing. Lists answer
//! `{"items", "next"}`; single resources that can be changed carry an `ETag`. Refusals are problem+json, see
//! [`super::error`]. One file per kind of resource: its JSON and its handlers.

mod audit_events;
pub(in crate::web) mod blobs;
mod client_protocol;
mod clients;
mod connected_apps;
mod connection_tests;
pub(super) mod door;
mod entries;
mod events;
mod grants;
mod identity_providers;
mod initial_tokens;
pub(super) mod input;
mod integrations;
mod jobs;
mod json;
mod mailboxes;
mod members;
mod message_schema;
mod messages;
mod once;
mod outgoing;
pub(super) mod output;
#[cfg(test)]
mod parity;
mod projects;
mod quarantine;
mod queues;
mod replies;
mod rules;
mod search;
mod sessions;
mod settings;
mod signing_keys;
mod site_mail;
mod split;
mod tag;
mod templates;
mod tickets;
mod tokens;
mod trusted_issuers;
mod users;
mod webhooks;

#[cfg(test)]
mod tests;

use super::route::Route;

/// The routes of the API.
pub(super) fn routes() -> Vec<Route> {
    [
        blobs::ROUTES,
        integrations::ROUTES,
        jobs::ROUTES,
        settings::ROUTES,
        sessions::ROUTES,
        connected_apps::ROUTES,
        site_mail::ROUTES,
        grants::ROUTES,
        projects::ROUTES,
        templates::ROUTES,
        members::ROUTES,
        rules::ROUTES,
        quarantine::ROUTES,
        mailboxes::ROUTES,
        connection_tests::ROUTES,
        events::ROUTES,
        webhooks::ROUTES,
        queues::ROUTES,
        messages::ROUTES,
        tickets::ROUTES,
        split::ROUTES,
        entries::ROUTES,
        search::ROUTES,
        replies::ROUTES,
        outgoing::ROUTES,
        tokens::ROUTES,
        users::ROUTES,
        identity_providers::ROUTES,
        clients::ROUTES,
        initial_tokens::ROUTES,
        audit_events::ROUTES,
        signing_keys::ROUTES,
        trusted_issuers::ROUTES,
    ]
    .concat()
}

//! Whatever a person can do on the pages, an app can do by REST: every action of the pages, and its route.

use crate::web::openapi::document::plain_path;
use crate::web::routes;

/// A form of the pages, and the REST route that does the same, or why there is none.
const ACTIONS: &[(&str, &str)] = &[
    ("/setup", "-the first person signs in with a link of the machine"),
    ("/sign-in", "-tokens take the place of sessions"),
    ("/sign-out", "-tokens take the place of sessions"),
    ("/trusted-issuers", "POST /api/v1/trusted-issuers"),
    ("/trusted-issuers/{id}", "PATCH /api/v1/trusted-issuers/{id}"),
    (
        "/trusted-issuers/{id}/delete",
        "DELETE /api/v1/trusted-issuers/{id}",
    ),
    ("/theme", "-how pages look to one person"),
    ("/sign-in/code", "-tokens take the place of sessions"),
    ("/new-password", "-a person's own password"),
    ("/forgot-password", "POST /api/v1/users/{id}/password-links"),
    ("/users", "POST /api/v1/users"),
    ("/users/{id}", "PATCH /api/v1/users/{id}"),
    ("/users/{id}/projects", "POST /api/v1/projects/{id}/members"),
    ("/users/{id}/disable", "PATCH /api/v1/users/{id}"),
    ("/users/{id}/enable", "PATCH /api/v1/users/{id}"),
    ("/users/{id}/invitation", "POST /api/v1/users/{id}/invitations"),
    (
        "/users/{id}/invitation/revoke",
        "DELETE /api/v1/users/{id}/invitations",
    ),
    (
        "/users/{id}/password-link",
        "POST /api/v1/users/{id}/password-links",
    ),
    ("/users/{id}/sessions/end", "DELETE /api/v1/users/{id}/sessions"),
    (
        "/users/{id}/second-factor/remove",
        "DELETE /api/v1/users/{id}/second-factor",
    ),
    ("/users/{id}/delete", "DELETE /api/v1/users/{id}"),
    ("/tokens/{id}/revoke", "DELETE /api/v1/tokens/{id}"),
    ("/projects/{id}/members", "POST /api/v1/projects/{id}/members"),
    (
        "/projects/{id}/members/{userId}",
        "PATCH /api/v1/projects/{id}/members/{userId}",
    ),
    (
        "/projects/{id}/members/{userId}/remove",
        "DELETE /api/v1/projects/{id}/members/{userId}",
    ),
    ("/profile/second-factor", "-a person's own second factor"),
    ("/profile/second-factor/codes", "-a person's own second factor"),
    ("/profile/second-factor/remove", "-a person's own second factor"),
    ("/profile/tokens", "POST /api/v1/tokens"),
    ("/profile/tokens/{id}/revoke", "DELETE /api/v1/tokens/{id}"),
    ("/profile", "-a person's own name, phone and address"),
    ("/profile/password", "-a person's own password"),
    ("/profile/email", "PATCH /api/v1/users/{id}"),
    ("/confirm-email", "PATCH /api/v1/users/{id}"),
    ("/profile/sessions/{id}/end", "DELETE /api/v1/sessions/{id}"),
    ("/profile/sessions/end-others", "DELETE /api/v1/sessions/{id}"),
    ("/connect/{provider}", "POST /api/v1/integrations"),
    ("/grants/{id}/refresh", "POST /api/v1/grants/{id}/refresh"),
    (
        "/grants/{id}/reconnect",
        "POST /api/v1/integrations/{id}/authorizations",
    ),
    ("/grants/{id}/revoke", "POST /api/v1/grants/{id}/revoke"),
    (
        "/grants/{id}/identity",
        "POST /api/v1/authorizations/{id}/decision",
    ),
    ("/mailboxes/{id}/tests", "POST /api/v1/mailboxes/{id}/tests"),
    ("/integrations/{id}/tests", "POST /api/v1/integrations/{id}/tests"),
    ("/identity-providers", "POST /api/v1/identity-providers"),
    (
        "/identity-providers/{id}",
        "PATCH /api/v1/identity-providers/{id}",
    ),
    (
        "/identity-providers/{id}/delete",
        "DELETE /api/v1/identity-providers/{id}",
    ),
    (
        "/identity-providers/{id}/disable",
        "POST /api/v1/identity-providers/{id}/disable",
    ),
    (
        "/identity-providers/{id}/enable",
        "POST /api/v1/identity-providers/{id}/enable",
    ),
    (
        "/identity-providers/{id}/tests",
        "POST /api/v1/identity-providers/{id}/tests",
    ),
    (
        "/sso/{id}/backchannel-logout",
        "-a provider says that somebody signed out there",
    ),
    ("/projects", "POST /api/v1/projects"),
    ("/projects/{id}", "PATCH /api/v1/projects/{id}"),
    ("/integrations", "POST /api/v1/integrations"),
    ("/integrations/{id}", "PATCH /api/v1/integrations/{id}"),
    (
        "/integrations/{id}/projects",
        "PUT /api/v1/integrations/{id}/projects",
    ),
    ("/integrations/{id}/delete", "DELETE /api/v1/integrations/{id}"),
    (
        "/integrations/{id}/authorizations",
        "POST /api/v1/integrations/{id}/authorizations",
    ),
    ("/tickets/{key}/merge", "POST /api/v1/tickets/{id}/merge"),
    ("/tickets/{key}/split", "POST /api/v1/tickets/{id}/split"),
    ("/mailboxes", "POST /api/v1/mailboxes"),
    ("/mailboxes/{id}", "PATCH /api/v1/mailboxes/{id}"),
    ("/mailboxes/{id}/poll", "POST /api/v1/mailboxes/{id}/poll"),
    ("/mailboxes/{id}/pause", "POST /api/v1/mailboxes/{id}/pause"),
    ("/mailboxes/{id}/resume", "POST /api/v1/mailboxes/{id}/resume"),
    ("/mailboxes/{id}/delete", "DELETE /api/v1/mailboxes/{id}"),
    ("/messages/{id}/reprocess", "POST /api/v1/messages/{id}/reprocess"),
    ("/outgoing/{id}/cancel", "POST /api/v1/outgoing-mails/{id}/cancel"),
    ("/outgoing/{id}/retry", "POST /api/v1/outgoing-mails/{id}/retry"),
    ("/quarantine/{id}/drop", "POST /api/v1/quarantine/{id}/drop"),
    ("/quarantine/{id}/fetch", "POST /api/v1/quarantine/{id}/fetch"),
    ("/quarantine/{id}/release", "POST /api/v1/quarantine/{id}/release"),
    ("/reference/token", "POST /api/v1/tokens"),
    ("/rules", "POST /api/v1/rules"),
    ("/rules/{id}", "PATCH /api/v1/rules/{id}"),
    ("/rules/{id}/delete", "DELETE /api/v1/rules/{id}"),
    ("/rules/{id}/disable", "PATCH /api/v1/rules/{id}"),
    ("/rules/{id}/enable", "PATCH /api/v1/rules/{id}"),
    ("/rules/{id}/down", "-the order of a list, see /rules/order"),
    ("/rules/{id}/up", "-the order of a list, see /rules/order"),
    ("/clients", "POST /api/v1/clients"),
    ("/clients/registration", "POST /api/v1/initial-access-tokens"),
    (
        "/clients/registration/{id}/revoke",
        "DELETE /api/v1/initial-access-tokens/{id}",
    ),
    ("/clients/{id}", "PATCH /api/v1/clients/{id}"),
    ("/clients/{id}/delete", "DELETE /api/v1/clients/{id}"),
    ("/clients/{id}/revoke", "POST /api/v1/clients/{id}/revoke"),
    ("/clients/{id}/secrets", "POST /api/v1/clients/{id}/secrets"),
    (
        "/clients/{id}/sessions/{session}/end",
        "DELETE /api/v1/clients/{id}/sessions/{sessionId}",
    ),
    ("/clients/{id}/state", "PATCH /api/v1/clients/{id}"),
    ("/settings/keys/rotate", "POST /api/v1/signing-keys/rotate"),
    ("/device", "-a person's own consent"),
    ("/settings/apps/{id}/revoke", "DELETE /api/v1/connected-apps/{id}"),
    (
        "/projects/{id}/templates/{kind}",
        "PATCH /api/v1/projects/{id}/templates/{kind}",
    ),
    ("/settings/mail/alerts", "PATCH /api/v1/site-mail"),
    ("/profile/mail", "PATCH /api/v1/site-mail/me"),
    ("/settings/mail", "PATCH /api/v1/site-mail"),
    ("/settings/mail/test", "POST /api/v1/site-mail/tests"),
    ("/webhooks", "POST /api/v1/webhooks"),
    ("/webhooks/{id}", "PATCH /api/v1/webhooks/{id}"),
    ("/webhooks/{id}/delete", "DELETE /api/v1/webhooks/{id}"),
    ("/webhooks/{id}/secrets", "POST /api/v1/webhooks/{id}/secrets"),
    ("/webhooks/{id}/ping", "POST /api/v1/webhooks/{id}/ping"),
    ("/webhooks/{id}/enable", "POST /api/v1/webhooks/{id}/enable"),
    ("/webhooks/{id}/disable", "POST /api/v1/webhooks/{id}/disable"),
    ("/webhooks/{id}/retry", "POST /api/v1/webhooks/{id}/retry"),
    (
        "/webhooks/{id}/deliveries/{delivery}/retry",
        "POST /api/v1/webhooks/{id}/deliveries/{delivery}/retry",
    ),
    ("/events", "POST /api/v1/events"),
    ("/queues", "POST /api/v1/queues"),
    ("/queues/{id}", "PATCH /api/v1/queues/{id}"),
    ("/queues/{id}/delete", "DELETE /api/v1/queues/{id}"),
    ("/queues/{id}/seek", "POST /api/v1/queues/{id}/seek"),
    ("/tickets/bulk", "PATCH /api/v1/tickets/{id}"),
    ("/tickets/new", "POST /api/v1/tickets"),
    ("/tickets/{key}", "PATCH /api/v1/tickets/{id}"),
    ("/tickets/{key}/replies", "POST /api/v1/tickets/{id}/replies"),
    ("/tickets/{key}/notes", "POST /api/v1/tickets/{id}/notes"),
    ("/tickets/{key}/order", "-how pages look to one person"),
];

#[test]
fn whatever_a_person_can_do_an_app_can_do() {
    let all = routes();
    let rest: Vec<String> = all
        .iter()
        .filter(|route| route.guard.is_rest())
        .map(|route| format!("{} {}", route.method, plain_path(route.path)))
        .collect();
    for route in &all {
        if route.method != "POST" || route.guard.is_rest() || route.path.starts_with("/oauth2/") {
            continue;
        }
        let action = ACTIONS.iter().find(|(page, _)| *page == route.path);
        let does = action.map_or("", |(_, does)| *does);
        assert!(
            does.starts_with('-') || rest.iter().any(|route| route == does),
            "{}: name the REST route that does the same in ACTIONS of src/web/api/parity.rs ({does:?})",
            route.path
        );
    }
}

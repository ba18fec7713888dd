//! What of a client is a site admin's to give, because it reaches beyond a project or takes protection away, and what would
//! hand that on.

use super::model::{Client, ClientFields, ClientState};
use crate::access::{self, Role};
use crate::trouble::FieldError;

/// What of these fields reaches beyond a project, and so is a site admin's to give; `before` is what the client has.
pub fn beyond_a_project(fields: &ClientFields, before: Option<&Client>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut only = |field: &'static str, what: &str| {
        errors.push(FieldError::new(
            field,
            "site_admin_only",
            format!("{what} is a site admin's to give."),
        ));
    };
    for (field, what) in relaxations(fields, before) {
        only(field, what);
    }
    if fields.may_introspect && !before.is_some_and(|client| client.may_introspect) {
        only("mayIntrospect", "To introspect tokens of other clients");
    }
    for value in &fields.scopes {
        let reaches = access::Scope::parse(value).is_some_and(|scope| !Role::ProjectAdmin.allows(scope));
        let had = before.is_some_and(|client| client.scopes.contains(value));
        if reaches && !had {
            only("scopes", &format!("The scope {value}"));
        }
    }
    if let Some(before) = before.filter(|client| reaches_beyond(client)) {
        errors.extend(moved(&before.fields, fields));
    }
    errors
}

/// Whether a client has something that only a site admin gives. Whoever could change where its codes go, or how it proves
/// that it is itself, would have that as well: both are a site admin's then, a new secret too.
pub fn reaches_beyond(client: &Client) -> bool {
    !beyond_a_project(&client.fields, None).is_empty()
}

/// What decides who gets the tokens of a client, where it becomes other or looser.
fn moved(before: &ClientFields, after: &ClientFields) -> Vec<FieldError> {
    let (old, new) = (&before.protocol, &after.protocol);
    let added = |before: &[String], after: &[String]| after.iter().any(|value| !before.contains(value));
    let grants_added = after
        .grant_types
        .iter()
        .any(|grant| !before.grant_types.contains(grant));
    [
        ("redirectUris", before.redirect_uris != after.redirect_uris),
        (
            "applicationType",
            before.application_type != after.application_type,
        ),
        ("tokenEndpointAuthMethod", before.auth_method != after.auth_method),
        ("jwks", old.jwks != new.jwks),
        ("jwksUri", old.jwks_uri != new.jwks_uri),
        ("grantTypes", grants_added),
        ("scopes", added(&before.scopes, &after.scopes)),
        ("dpopBoundAccessTokens", old.dpop_bound && !new.dpop_bound),
        (
            "requireSignedRequestObject",
            old.require_signed_request && !new.require_signed_request,
        ),
        (
            "requirePushedAuthorizationRequests",
            old.require_pushed_request && !new.require_pushed_request,
        ),
        (
            "state",
            before.state != ClientState::Approved && after.state == ClientState::Approved,
        ),
    ]
    .into_iter()
    .filter(|(_, is_moved)| *is_moved)
    .map(|(field, _)| {
        FieldError::new(
            field,
            "site_admin_only",
            "This client has what only a site admin gives, so this is a site admin's to change.",
        )
    })
    .collect()
}

/// What these fields take away of a client's protection that `before` still had: the field, and what it is.
pub(super) fn relaxations(
    fields: &ClientFields,
    before: Option<&Client>,
) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    if !fields.require_pkce && before.is_none_or(|client| client.require_pkce) {
        found.push(("requirePkce", "To leave PKCE out"));
    }
    if fields.auto_grant && !before.is_some_and(|client| client.auto_grant) {
        found.push(("autoGrant", "To leave the consent page out"));
    }
    for switch in &fields.legacy {
        if !before.is_some_and(|client| client.may(*switch)) {
            found.push(("legacy", switch.label()));
        }
    }
    found
}

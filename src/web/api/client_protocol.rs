//! What of a client goes beyond the basics: its keys, signed and pushed requests, bound tokens, the addresses of sign-out.

use serde_json::{Value, json};

use super::input::Input;
use super::output;
use crate::oauth2_server::ClientProtocol;
use crate::web::openapi::schema::{Schema, anything, boolean, integer, list_of, map, text};

/// The members, of what is sent and of what is answered.
pub(super) fn members() -> Vec<(&'static str, Schema)> {
    vec![
        ("jwks", map(anything()).or_null()),
        ("jwksUri", text().or_null()),
        ("tokenEndpointAuthSigningAlg", text().or_null()),
        ("requestObjectSigningAlg", text().or_null()),
        ("requireSignedRequestObject", boolean()),
        ("requirePushedAuthorizationRequests", boolean()),
        ("dpopBoundAccessTokens", boolean()),
        ("introspectionSignedResponseAlg", text().or_null()),
        (
            "userinfoSignedResponseAlg",
            text()
                .or_null()
                .about("Its answers of userinfo are signed with this; null for plain JSON"),
        ),
        ("defaultMaxAge", integer().or_null()),
        ("postLogoutRedirectUris", list_of(text())),
        ("frontchannelLogoutUri", text().or_null()),
        ("frontchannelLogoutSessionRequired", boolean()),
        ("backchannelLogoutUri", text().or_null()),
        ("backchannelLogoutSessionRequired", boolean()),
        ("initiateLoginUri", text().or_null()),
        ("softwareId", text().or_null()),
        ("softwareVersion", text().or_null()),
    ]
}

/// The members as they are answered.
pub(super) fn show(protocol: &ClientProtocol) -> Value {
    let jwks: Option<Value> = serde_json::from_str(&protocol.jwks).ok();
    json!({
        "jwks": jwks,
        "jwksUri": output::text(&protocol.jwks_uri),
        "tokenEndpointAuthSigningAlg": output::text(&protocol.auth_signing_alg),
        "requestObjectSigningAlg": output::text(&protocol.request_object_alg),
        "requireSignedRequestObject": protocol.require_signed_request,
        "requirePushedAuthorizationRequests": protocol.require_pushed_request,
        "dpopBoundAccessTokens": protocol.dpop_bound,
        "introspectionSignedResponseAlg": output::text(&protocol.introspection_alg),
        "userinfoSignedResponseAlg": output::text(&protocol.userinfo_alg),
        "defaultMaxAge": protocol.default_max_age,
        "postLogoutRedirectUris": protocol.post_logout_redirect_uris,
        "frontchannelLogoutUri": output::text(&protocol.frontchannel_logout_uri),
        "frontchannelLogoutSessionRequired": protocol.frontchannel_logout_session_required,
        "backchannelLogoutUri": output::text(&protocol.backchannel_logout_uri),
        "backchannelLogoutSessionRequired": protocol.backchannel_logout_session_required,
        "initiateLoginUri": output::text(&protocol.initiate_login_uri),
        "softwareId": output::text(&protocol.software_id),
        "softwareVersion": output::text(&protocol.software_version),
    })
}

/// What is sent, over what there is.
pub(super) fn read(input: &mut Input, mut protocol: ClientProtocol) -> ClientProtocol {
    if input.mentions("jwks") {
        protocol.jwks = input
            .object("jwks")
            .map_or_else(String::new, |set| Value::Object(set).to_string());
    }
    if input.mentions("defaultMaxAge") {
        protocol.default_max_age = input.integer("defaultMaxAge");
    }
    change(input, "jwksUri", &mut protocol.jwks_uri);
    change(
        input,
        "tokenEndpointAuthSigningAlg",
        &mut protocol.auth_signing_alg,
    );
    change(input, "requestObjectSigningAlg", &mut protocol.request_object_alg);
    protocol.require_signed_request = input
        .boolean("requireSignedRequestObject")
        .unwrap_or(protocol.require_signed_request);
    protocol.require_pushed_request = input
        .boolean("requirePushedAuthorizationRequests")
        .unwrap_or(protocol.require_pushed_request);
    protocol.dpop_bound = input
        .boolean("dpopBoundAccessTokens")
        .unwrap_or(protocol.dpop_bound);
    change(
        input,
        "introspectionSignedResponseAlg",
        &mut protocol.introspection_alg,
    );
    change(input, "userinfoSignedResponseAlg", &mut protocol.userinfo_alg);
    protocol.post_logout_redirect_uris = input
        .texts("postLogoutRedirectUris")
        .unwrap_or(protocol.post_logout_redirect_uris);
    change(
        input,
        "frontchannelLogoutUri",
        &mut protocol.frontchannel_logout_uri,
    );
    protocol.frontchannel_logout_session_required = input
        .boolean("frontchannelLogoutSessionRequired")
        .unwrap_or(protocol.frontchannel_logout_session_required);
    change(
        input,
        "backchannelLogoutUri",
        &mut protocol.backchannel_logout_uri,
    );
    protocol.backchannel_logout_session_required = input
        .boolean("backchannelLogoutSessionRequired")
        .unwrap_or(protocol.backchannel_logout_session_required);
    change(input, "initiateLoginUri", &mut protocol.initiate_login_uri);
    change(input, "softwareId", &mut protocol.software_id);
    change(input, "softwareVersion", &mut protocol.software_version);
    protocol
}

/// A text: an empty one or null takes it away.
fn change(input: &mut Input, name: &str, field: &mut String) {
    if input.mentions(name) {
        *field = input.text(name).unwrap_or_default();
    }
}

//! What a client may be registered with: the fields that go beyond OAuth 2.0's basics, and the rules for all of them.

use serde_json::Value;

use super::model::{ClientAuth, ClientFields, GrantType};
use super::{redirect, scope};
use crate::crypto::ForeignAlg;
use crate::trouble::FieldError;

/// The fields of RFC 7591 and its companions (OpenID Connect Registration and Logout, RFC 9101, 9126, 9449, 9701) that
/// most clients leave alone. Empty texts are fields that were not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientProtocol {
    /// Its public keys: a JWK set as JSON.
    pub jwks: String,
    /// Where its public keys are.
    pub jwks_uri: String,
    /// The one algorithm of its assertions at the token endpoint; empty for any that we take.
    pub auth_signing_alg: String,
    /// The one algorithm of its request objects; empty for any that we take.
    pub request_object_alg: String,
    /// Authorization requests count only if they are signed.
    pub require_signed_request: bool,
    /// Authorization requests count only if they were pushed.
    pub require_pushed_request: bool,
    /// Every token is bound to a key.
    pub dpop_bound: bool,
    /// The algorithm of signed answers of introspection; empty for RS256.
    pub introspection_alg: String,
    /// The algorithm of its answers of userinfo, which are signed then; empty for plain JSON.
    pub userinfo_alg: String,
    /// Oldest sign-in that is good enough where the request does not say, seconds.
    pub default_max_age: Option<i64>,
    /// Where somebody may be sent after signing out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Loaded in a frame when somebody signs out.
    pub frontchannel_logout_uri: String,
    /// Whether that address gets `iss` and `sid`.
    pub frontchannel_logout_session_required: bool,
    /// Called when somebody signs out.
    pub backchannel_logout_uri: String,
    /// Whether the logout token names the session.
    pub backchannel_logout_session_required: bool,
    /// Where a sign-in can be begun from outside.
    pub initiate_login_uri: String,
    /// Names the software, the same for each of its installations.
    pub software_id: String,
    /// Its version.
    pub software_version: String,
}

/// Most keys of one client.
const MAX_KEYS: usize = 20;
/// Largest key set, bytes.
const MAX_JWKS: usize = 32 * 1024;

pub(super) fn check(fields: &ClientFields) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match fields.name.trim().chars().count() {
        0 => errors.push(FieldError::new(
            "name",
            "required",
            "Give the client a name; people see it when they are asked.",
        )),
        1..=100 => {}
        _ => errors.push(FieldError::new("name", "too_long", "Use at most 100 characters.")),
    }
    if fields.name.chars().any(char::is_control) {
        errors.push(FieldError::new(
            "name",
            "invalid",
            "The name holds a control character.",
        ));
    }
    if fields.description.chars().count() > 1_000 {
        errors.push(FieldError::new(
            "description",
            "too_long",
            "Use at most 1,000 characters.",
        ));
    }
    for (field, uri) in [
        ("clientUri", &fields.client_uri),
        ("logoUri", &fields.logo_uri),
        ("policyUri", &fields.policy_uri),
        ("tosUri", &fields.tos_uri),
    ] {
        if !uri.is_empty() && !is_link(uri) {
            errors.push(FieldError::new(
                field,
                "invalid",
                "Enter an https address, or leave it empty.",
            ));
        }
    }
    if fields.contacts.len() > 10
        || fields
            .contacts
            .iter()
            .any(|contact| !contact.contains('@') || contact.len() > 254)
    {
        errors.push(FieldError::new(
            "contacts",
            "invalid",
            "Enter at most ten e-mail addresses.",
        ));
    }
    check_grants(fields, &mut errors);
    check_redirects(fields, &mut errors);
    check_lifetimes(fields, &mut errors);
    check_protocol(fields, &mut errors);
    for value in &fields.scopes {
        if scope::known(value).is_none() {
            errors.push(FieldError::new(
                "scopes",
                "unknown",
                format!("There is no scope {value}."),
            ));
        }
    }
    if !["RS256", "ES256", "EdDSA"].contains(&fields.id_token_alg.as_str()) {
        errors.push(FieldError::new(
            "idTokenAlg",
            "invalid",
            "Choose RS256, ES256 or EdDSA.",
        ));
    }
    errors
}

fn check_grants(fields: &ClientFields, errors: &mut Vec<FieldError>) {
    let has = |grant| fields.grant_types.contains(&grant);
    let is_public = fields.auth_method == ClientAuth::None;
    if fields.grant_types.is_empty() {
        errors.push(FieldError::new(
            "grantTypes",
            "required",
            "Choose at least one way to a token.",
        ));
    }
    if has(GrantType::JwtBearer) && is_public {
        errors.push(FieldError::new(
            "grantTypes",
            "invalid",
            "A client that brings assertions proves who it is: it needs a secret or a key.",
        ));
    }
    if has(GrantType::ClientCredentials) && is_public {
        errors.push(FieldError::new(
            "grantTypes",
            "invalid",
            "A public client has no credentials: client_credentials needs a secret.",
        ));
    }
    if has(GrantType::RefreshToken)
        && !has(GrantType::AuthorizationCode)
        && !has(GrantType::DeviceCode)
        && !has(GrantType::JwtBearer)
    {
        errors.push(FieldError::new(
            "grantTypes",
            "invalid",
            "refresh_token needs a way to the first one: authorization_code or the device code.",
        ));
    }
    if is_public && !fields.require_pkce {
        errors.push(FieldError::new(
            "requirePkce",
            "invalid",
            "A public client always needs PKCE.",
        ));
    }
    if is_public && fields.may_introspect {
        errors.push(FieldError::new(
            "mayIntrospect",
            "invalid",
            "Only a client with a secret may introspect tokens.",
        ));
    }
}

fn check_redirects(fields: &ClientFields, errors: &mut Vec<FieldError>) {
    let needs_one = fields.grant_types.contains(&GrantType::AuthorizationCode);
    if needs_one && fields.redirect_uris.is_empty() {
        errors.push(FieldError::new(
            "redirectUris",
            "required",
            "Enter where the code is sent: the application's redirect URI.",
        ));
    }
    if fields.redirect_uris.len() > 50 {
        errors.push(FieldError::new(
            "redirectUris",
            "too_many",
            "Register at most 50 redirect URIs.",
        ));
    }
    for uri in &fields.redirect_uris {
        if let Some(why) = redirect::refusal(fields.application_type, uri) {
            let shown: String = uri.chars().take(100).collect();
            errors.push(FieldError::new(
                "redirectUris",
                "invalid",
                format!("{shown}: {why}."),
            ));
        }
    }
}

fn check_lifetimes(fields: &ClientFields, errors: &mut Vec<FieldError>) {
    let limits = [
        ("accessSeconds", fields.access_seconds, 60, 86_400),
        (
            "refreshIdleSeconds",
            fields.refresh_idle_seconds,
            300,
            365 * 86_400,
        ),
        (
            "refreshAbsoluteSeconds",
            fields.refresh_absolute_seconds,
            300,
            365 * 86_400,
        ),
    ];
    for (field, value, least, most) in limits {
        if !(least..=most).contains(&value) {
            errors.push(FieldError::new(
                field,
                "out_of_range",
                format!("Enter {least} to {most} seconds."),
            ));
        }
    }
}

fn is_link(uri: &str) -> bool {
    uri.len() <= 2_000
        && uri.bytes().all(|b| b.is_ascii_graphic())
        && url::Url::parse(uri).is_ok_and(|url| url.scheme() == "https" && url.username().is_empty())
}

fn check_protocol(fields: &ClientFields, errors: &mut Vec<FieldError>) {
    let protocol = &fields.protocol;
    let client_algs = ForeignAlg::CLIENT.map(ForeignAlg::as_str);
    let has_keys = !protocol.jwks.is_empty() || !protocol.jwks_uri.is_empty();
    if fields.auth_method == ClientAuth::PrivateKeyJwt && !has_keys {
        errors.push(FieldError::new(
            "jwks",
            "required",
            "Give the public keys it signs with, or their address in jwksUri.",
        ));
    }
    if protocol.require_signed_request && !has_keys {
        errors.push(FieldError::new(
            "requireSignedRequestObject",
            "invalid",
            "Signed requests need the public keys of the client: jwks or jwksUri.",
        ));
    }
    if let Some(why) = jwks_refusal(&protocol.jwks) {
        errors.push(FieldError::new("jwks", "invalid", why));
    }
    if !protocol.jwks.is_empty() && !protocol.jwks_uri.is_empty() {
        errors.push(FieldError::new(
            "jwksUri",
            "invalid",
            "Give the keys or their address, not both.",
        ));
    }
    for (field, uri) in [
        ("jwksUri", &protocol.jwks_uri),
        ("frontchannelLogoutUri", &protocol.frontchannel_logout_uri),
        ("backchannelLogoutUri", &protocol.backchannel_logout_uri),
        ("initiateLoginUri", &protocol.initiate_login_uri),
    ] {
        if !uri.is_empty() && !is_endpoint(uri) {
            errors.push(FieldError::new(
                field,
                "invalid",
                "Enter an https address without a fragment; http is for loopback addresses only.",
            ));
        }
    }
    if protocol.post_logout_redirect_uris.len() > 50 {
        errors.push(FieldError::new(
            "postLogoutRedirectUris",
            "too_many",
            "Register at most 50 addresses.",
        ));
    }
    for uri in &protocol.post_logout_redirect_uris {
        if let Some(why) = redirect::refusal(fields.application_type, uri) {
            let shown: String = uri.chars().take(100).collect();
            errors.push(FieldError::new(
                "postLogoutRedirectUris",
                "invalid",
                format!("{shown}: {why}."),
            ));
        }
    }
    for (field, alg, known) in [
        (
            "tokenEndpointAuthSigningAlg",
            &protocol.auth_signing_alg,
            client_algs.as_slice(),
        ),
        (
            "requestObjectSigningAlg",
            &protocol.request_object_alg,
            client_algs.as_slice(),
        ),
        (
            "introspectionSignedResponseAlg",
            &protocol.introspection_alg,
            &["RS256", "ES256", "EdDSA"],
        ),
        (
            "userinfoSignedResponseAlg",
            &protocol.userinfo_alg,
            &["RS256", "ES256", "EdDSA"],
        ),
    ] {
        if !alg.is_empty() && !known.contains(&alg.as_str()) {
            errors.push(FieldError::new(
                field,
                "invalid",
                format!("Choose one of {}.", known.join(", ")),
            ));
        }
    }
    if protocol
        .default_max_age
        .is_some_and(|age| !(0..=366 * 86_400).contains(&age))
    {
        errors.push(FieldError::new(
            "defaultMaxAge",
            "out_of_range",
            "Enter 0 to 31622400 seconds, or leave it empty.",
        ));
    }
    for (field, text) in [
        ("softwareId", &protocol.software_id),
        ("softwareVersion", &protocol.software_version),
    ] {
        if text.chars().count() > 200 || text.chars().any(char::is_control) {
            errors.push(FieldError::new(
                field,
                "invalid",
                "Use at most 200 printable characters.",
            ));
        }
    }
}

/// Why a text is no set of public keys; `None` if it is one, or empty.
fn jwks_refusal(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    if text.len() > MAX_JWKS {
        return Some("The key set is larger than 32 kB.".into());
    }
    let set: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(keys) = set.get("keys").and_then(Value::as_array) else {
        return Some("A key set is an object whose member keys is a list of public keys.".into());
    };
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Some(format!("A key set holds 1 to {MAX_KEYS} keys."));
    }
    let is_secret = |key: &Value| {
        ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]
            .iter()
            .any(|name| key.get(name).is_some())
    };
    if keys.iter().any(is_secret) {
        return Some("One of the keys is a private one. Register the public halves only, and make new keys: these were shown to somebody else.".into());
    }
    if keys
        .iter()
        .any(|key| !key.is_object() || !key.get("kty").is_some_and(Value::is_string))
    {
        return Some("Each key is an object with a kty.".into());
    }
    None
}

/// An address that this server, or a browser in its name, goes to by itself.
fn is_endpoint(uri: &str) -> bool {
    let Ok(url) = url::Url::parse(uri) else {
        return false;
    };
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        _ => false,
    };
    uri.len() <= 2_000
        && uri.bytes().all(|b| b.is_ascii_graphic())
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback))
}

//! What the server says of itself (RFC 8414, OpenID Connect Discovery, RFC 9728), and the names built from its address.

use serde_json::{Map, Value, json};

use super::error::OAuthError;
use super::model::{ClientAuth, GrantType, SignIn};
use super::{claims, scope};
use crate::config::Config;
use crate::crypto::{ForeignAlg, SigningAlg};

/// The issuer: the base URL without a slash at its end. It may have a path.
pub fn issuer(config: &Config) -> String {
    config.base_url.as_str().trim_end_matches('/').to_owned()
}

/// The REST API as a resource (RFC 8707): the audience of tokens that name no other.
pub fn api(config: &Config) -> String {
    config.url("/api/v1")
}

/// The parameter that names a resource. It alone may be sent several times (RFC 8707, section 2).
pub(super) const RESOURCE: &str = "resource";

/// Looks at the resources that a request names: there is one, the REST API, and it is meant where none is named.
///
/// # Errors
/// `invalid_target` for every other.
pub(super) fn check_resources(config: &Config, params: &[(String, String)]) -> Result<(), OAuthError> {
    let api = api(config);
    let is_known = |value: &str| value.is_empty() || value.trim_end_matches('/') == api;
    let mut asked = params.iter().filter(|(name, _)| name == RESOURCE);
    match asked.all(|(_, value)| is_known(value)) {
        true => Ok(()),
        false => Err(OAuthError::new(
            "invalid_target",
            "resource is not one this server issues tokens for",
        )),
    }
}

/// The document of both discovery addresses.
pub fn document(config: &Config) -> Value {
    let grants: Vec<&str> = GrantType::ALL.iter().map(|grant| grant.as_str()).collect();
    let methods: Vec<&str> = ClientAuth::ALL.iter().map(|method| method.as_str()).collect();
    let proven: Vec<&str> = methods
        .iter()
        .copied()
        .filter(|method| *method != "none")
        .collect();
    let scopes: Vec<&str> = scope::all().map(|scope| scope.value).collect();
    let algs: Vec<&str> = SigningAlg::ALL.iter().map(|alg| alg.as_str()).collect();
    let client_algs: Vec<&str> = ForeignAlg::CLIENT.iter().map(|alg| alg.as_str()).collect();
    let claims: Vec<&str> = OWN_CLAIMS.into_iter().chain(claims::names()).collect();
    let mut document = json!({
        "issuer": issuer(config),
        "authorization_endpoint": config.url("/oauth2/authorize"),
        "token_endpoint": config.url("/oauth2/token"),
        "userinfo_endpoint": config.url("/oauth2/userinfo"),
        "jwks_uri": config.url("/oauth2/jwks"),
        "revocation_endpoint": config.url("/oauth2/token/revoke"),
        "introspection_endpoint": config.url("/oauth2/introspect"),
        "pushed_authorization_request_endpoint": config.url("/oauth2/par"),
        "require_pushed_authorization_requests": false,
        "device_authorization_endpoint": config.url("/oauth2/device_authorization"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": grants,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algs,
        "userinfo_signing_alg_values_supported": algs,
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": client_algs,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": client_algs,
        "introspection_endpoint_auth_methods_supported": proven,
        "introspection_endpoint_auth_signing_alg_values_supported": client_algs,
        "introspection_signing_alg_values_supported": algs,
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": client_algs,
        "request_object_signing_alg_values_supported": client_algs,
        "require_signed_request_object": false,
        "claim_types_supported": ["normal"],
        "claims_supported": claims,
        "acr_values_supported": [SignIn::SINGLE, SignIn::MULTI, SignIn::PROVIDER],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "ui_locales_supported": ["en"],
        "claims_parameter_supported": true,
        "request_parameter_supported": true,
        // Only what the endpoint for pushed requests made: nothing is fetched from elsewhere.
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "protected_resources": [api(config)],
    });
    if let Some(members) = document.as_object_mut() {
        members.extend(registration_and_logout(config));
        let links = config.oauth_links.iter();
        members.extend(links.map(|(name, link)| ((*name).to_owned(), link.clone().into())));
    }
    document
}

/// The part of the document on clients that register themselves and on signing out.
fn registration_and_logout(config: &Config) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert(
        "registration_endpoint".into(),
        config.url("/oauth2/register").into(),
    );
    members.insert("end_session_endpoint".into(), config.url("/oauth2/logout").into());
    for channel in ["frontchannel", "backchannel"] {
        members.insert(format!("{channel}_logout_supported"), true.into());
        members.insert(format!("{channel}_logout_session_supported"), true.into());
    }
    members
}

/// Claims about tokens and sign-ins.
const OWN_CLAIMS: [&str; 11] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "acr",
    "amr",
    "nonce",
    "at_hash",
    "sid",
];

/// What the REST API says of itself (RFC 9728).
pub fn protected_resource(config: &Config) -> Value {
    let scopes: Vec<&str> = scope::all()
        .filter(|scope| !scope.is_personal)
        .map(|scope| scope.value)
        .collect();
    json!({
        "resource": api(config),
        "authorization_servers": [issuer(config)],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ForeignAlg::CLIENT.map(ForeignAlg::as_str),
        "dpop_bound_access_tokens_required": false,
        "scopes_supported": scopes,
        "resource_name": "Mailgrant",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};

    #[test]
    fn the_document_names_the_pages_of_the_operator_that_are_set() {
        let document_with = |variables: &[(&str, &str)]| {
            let variables = Environment::of(variables);
            load(&variables, None).map(|config| document(&config))
        };
        let none = document_with(&[]).unwrap();
        let some = document_with(&[
            ("MAILGRANT_OAUTH_POLICY_URL", "https://a.example/privacy"),
            ("MAILGRANT_OAUTH_TERMS_URL", "https://a.example/terms"),
        ])
        .unwrap();
        for (member, expected) in [
            ("op_policy_uri", Some("https://a.example/privacy")),
            ("op_tos_uri", Some("https://a.example/terms")),
            ("service_documentation", None),
        ] {
            assert_eq!(none.get(member), None, "{member}");
            assert_eq!(some.get(member).and_then(Value::as_str), expected, "{member}");
        }
        assert!(document_with(&[("MAILGRANT_OAUTH_DOCUMENTATION_URL", "javascript:x")]).is_err());
    }
}

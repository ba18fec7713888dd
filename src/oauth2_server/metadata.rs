//! What the server says of itself (RFC 8414, OpenID Connect Discovery, RFC 9728), and the names built from its address.

use serde_json::{Value, json};

use super::model::{ClientAuth, GrantType};
use super::scope;
use crate::config::Config;
use crate::crypto::SigningAlg;

/// The issuer: the base URL without a slash at its end. It may have a path.
pub fn issuer(config: &Config) -> String {
    config.base_url.as_str().trim_end_matches('/').to_owned()
}

/// The REST API as a resource (RFC 8707): the audience of tokens that name no other.
pub fn api(config: &Config) -> String {
    config.url("/api/v1")
}

/// Whether tokens are issued for this resource.
pub fn is_resource(config: &Config, resource: &str) -> bool {
    resource.trim_end_matches('/') == api(config)
}

/// The document of both discovery addresses.
pub fn document(config: &Config) -> Value {
    let grants: Vec<&str> = GrantType::ALL.iter().map(|grant| grant.as_str()).collect();
    let methods: Vec<&str> = ClientAuth::ALL.iter().map(|method| method.as_str()).collect();
    let secret_methods: Vec<&str> = methods
        .iter()
        .copied()
        .filter(|method| *method != "none")
        .collect();
    let scopes: Vec<&str> = scope::all().map(|scope| scope.value).collect();
    let algs: Vec<&str> = SigningAlg::ALL.iter().map(|alg| alg.as_str()).collect();
    json!({
        "issuer": issuer(config),
        "authorization_endpoint": config.url("/oauth2/authorize"),
        "token_endpoint": config.url("/oauth2/token"),
        "userinfo_endpoint": config.url("/oauth2/userinfo"),
        "jwks_uri": config.url("/oauth2/jwks"),
        "revocation_endpoint": config.url("/oauth2/token/revoke"),
        "introspection_endpoint": config.url("/oauth2/introspect"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": grants,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algs,
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": secret_methods,
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "name", "preferred_username", "email",
            "email_verified"
        ],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    })
}

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
        "scopes_supported": scopes,
        "resource_name": "Mailgrant",
    })
}

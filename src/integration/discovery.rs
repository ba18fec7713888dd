//! Discovery: a provider's own description of its endpoints (OpenID Connect Discovery 1.0, RFC 8414).

use serde::Deserialize;

use super::error::IntegrationError;
use crate::ctx::Ctx;
use crate::net::HttpError;
use crate::trouble::Trouble;

const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// What a discovery document says, as far as Mailgrant uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Discovered {
    /// Issuer identifier.
    pub issuer: String,
    /// Authorization endpoint; empty when missing.
    #[serde(default)]
    pub authorization_endpoint: String,
    /// Token endpoint; empty when missing.
    #[serde(default)]
    pub token_endpoint: String,
    /// Userinfo endpoint; empty when missing.
    #[serde(default)]
    pub userinfo_endpoint: String,
    /// Revocation endpoint; empty when missing.
    #[serde(default)]
    pub revocation_endpoint: String,
    /// Scopes the provider knows.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// How clients may authenticate.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Whether authorization answers carry `iss` (RFC 9207).
    #[serde(default, rename = "authorization_response_iss_parameter_supported")]
    pub iss_announced: bool,
}

/// Fetches the discovery document of an issuer. The issuer it names must be the one asked for (OpenID Connect
/// Discovery, section 4.3). An address that already ends in `/.well-known/…` is accepted too.
pub async fn discover(ctx: &Ctx, issuer: &str) -> Result<Discovered, IntegrationError> {
    let issuer = issuer.trim();
    let issuer = issuer.split("/.well-known/").next().unwrap_or(issuer);
    let wanted = issuer.trim_end_matches('/');
    let documents = [
        format!("{wanted}/.well-known/openid-configuration"),
        oauth_metadata_url(wanted),
    ];
    let mut last = None;
    for url in documents {
        match fetch(ctx, &url).await {
            Ok(found) if found.issuer.trim_end_matches('/') == wanted => return Ok(found),
            Ok(found) => return Err(IntegrationError::Discovery(other_issuer(wanted, &found.issuer))),
            Err(Failure::NotThere(trouble)) => last = Some(trouble),
            Err(Failure::Other(trouble)) => return Err(IntegrationError::Discovery(trouble)),
        }
    }
    Err(IntegrationError::Discovery(last.unwrap_or_default()))
}

enum Failure {
    NotThere(Trouble),
    Other(Trouble),
}

async fn fetch(ctx: &Ctx, url: &str) -> Result<Discovered, Failure> {
    let http = ctx.dialer.http().with_body_limit(MAX_DOCUMENT_BYTES);
    let answer = http
        .get(url, &[("accept", "application/json")])
        .await
        .map_err(|error| Failure::Other(unreachable(&error)))?;
    if answer.status != 200 {
        return Err(Failure::NotThere(Trouble::new(
            "discovery_not_found",
            format!("{url} answered with status {}.", answer.status),
            "Check the issuer's address, or enter the endpoints by hand.",
        )));
    }
    let body = answer.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&answer.body);
    serde_json::from_slice(body).map_err(|_| {
        Failure::NotThere(Trouble::new(
            "discovery_unreadable",
            format!("{url} is not a discovery document."),
            "Check the issuer's address, or enter the endpoints by hand.",
        ))
    })
}

/// RFC 8414, section 3.1: the well-known part goes between host and path.
fn oauth_metadata_url(issuer: &str) -> String {
    let (scheme, rest) = issuer.split_once("://").unwrap_or(("https", issuer));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}/.well-known/oauth-authorization-server{slash}{path}")
}

fn unreachable(error: &HttpError) -> Trouble {
    Trouble::new(
        error.code(),
        format!("The discovery document could not be fetched: {error}."),
        error.remedy(),
    )
}

fn other_issuer(wanted: &str, found: &str) -> Trouble {
    Trouble::new(
        "issuer_mismatch",
        format!("The document at {wanted} says it belongs to another issuer: {found}."),
        "Enter the issuer exactly as the provider writes it.",
    )
}

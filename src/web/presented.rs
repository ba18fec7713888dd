//! The access token that a request presents: by which scheme, and whether whoever sends it holds the key it is bound to.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use secrecy::{ExposeSecret, SecretString};

use crate::crypto::ForeignAlg;
use crate::ctx::Ctx;
use crate::oauth2_server::{OAuthError, TokenUse, dpop};

/// The header that carries a nonce for the next proof.
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// How a token is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// RFC 6750: whoever has it may use it.
    Bearer,
    /// RFC 9449: with a proof.
    Dpop,
}

/// A token as it was sent.
pub(super) struct Presented {
    pub(super) scheme: Scheme,
    pub(super) token: SecretString,
}

impl Presented {
    /// Sent by itself.
    pub(super) fn bearer(token: &str) -> Self {
        Self {
            scheme: Scheme::Bearer,
            token: SecretString::from(token.to_owned()),
        }
    }
}

/// The token in the header `Authorization`.
pub(super) fn presented(headers: &HeaderMap) -> Option<Presented> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (name, token) = value.split_once(' ')?;
    let scheme = match name.to_ascii_lowercase().as_str() {
        "bearer" => Scheme::Bearer,
        "dpop" => Scheme::Dpop,
        _ => return None,
    };
    Some(Presented {
        scheme,
        token: SecretString::from(token.trim().to_owned()),
    })
}

/// Refuses a token in the address, where logs and histories keep it (RFC 6750, section 2.3; RFC 9700, section 4.3.2).
pub(super) fn refuse_query(request: &HttpRequest) -> Result<(), OAuthError> {
    let is_there = url::form_urlencoded::parse(request.query_string().as_bytes())
        .any(|(name, _)| name == "access_token");
    match is_there {
        true => Err(OAuthError::invalid_request(
            "a token does not travel in an address here: send it in the header Authorization",
        )),
        false => Ok(()),
    }
}

/// The proof that came with a request.
///
/// # Errors
/// `invalid_dpop_proof` if there are several, or what is there is no text.
pub(super) fn proof(request: &HttpRequest) -> Result<Option<&str>, OAuthError> {
    let mut all = request.headers().get_all("dpop");
    let wrong = || OAuthError::new("invalid_dpop_proof", "the header DPoP must be there once");
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => one.to_str().map(Some).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// Whether a token came the way it may: one that is bound to a key with a proof of it, any other by itself.
///
/// # Errors
/// 401 with the code for the challenge.
pub(super) async fn check_binding(
    ctx: &Ctx,
    request: &HttpRequest,
    sent: &Presented,
    token: &TokenUse,
) -> Result<(), OAuthError> {
    let unauthorized = |error: OAuthError| OAuthError { status: 401, ..error };
    match (sent.scheme, token.jkt.as_str()) {
        (Scheme::Bearer, "") => Ok(()),
        (Scheme::Bearer, _) => Err(unauthorized(OAuthError::new(
            "invalid_token",
            "the token is bound to a key: send it with the scheme DPoP and a proof",
        ))),
        (Scheme::Dpop, "") => Err(unauthorized(OAuthError::new(
            "invalid_token",
            "the token is bound to no key: send it with the scheme Bearer",
        ))),
        (Scheme::Dpop, jkt) => {
            let Some(proof) = proof(request).map_err(unauthorized)? else {
                return Err(unauthorized(OAuthError::new(
                    "invalid_dpop_proof",
                    "the proof is missing",
                )));
            };
            let expected = dpop::Expected {
                method: request.method().as_str(),
                url: &ctx.config.url(request.path()),
                access_token: Some(sent.token.expose_secret()),
                needs_nonce: false,
            };
            let proven = dpop::check(ctx, proof, expected).await.map_err(unauthorized)?;
            match proven == jkt {
                true => Ok(()),
                false => Err(unauthorized(OAuthError::new(
                    "invalid_token",
                    "the proof was made with another key than the token is bound to",
                ))),
            }
        }
    }
}

/// What `WWW-Authenticate` says (RFC 6750, section 3; RFC 9449, section 7.1).
pub(super) fn challenge(scheme: Scheme, error: Option<&OAuthError>) -> String {
    let mut text = match scheme {
        Scheme::Bearer => "Bearer realm=\"mailgrant\"".to_owned(),
        Scheme::Dpop => {
            let algs = ForeignAlg::ALL.map(ForeignAlg::as_str).join(" ");
            format!("DPoP realm=\"mailgrant\", algs=\"{algs}\"")
        }
    };
    if let Some(error) = error {
        text.push_str(&format!(
            ", error=\"{}\", error_description=\"{}\"",
            error.code, error.description
        ));
    }
    text
}

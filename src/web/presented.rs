//! The access token that a request presents: by which scheme, and whether whoever sends it holds the key it is bound to.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::crypto::ForeignAlg;
use crate::ctx::Ctx;
use crate::oauth2_server::{self, OAuthError, TokenUse, dpop};

/// The header that carries a nonce for the next proof.
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// How a token is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// RFC 6750: whoever has it may use it.
    Bearer,
    /// RFC 9449: with a proof.
    Dpop,
    /// An ID token by itself, as Teamwork Cloud's clients send one: a legacy switch of the client lets it count.
    IdToken,
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
        "token" => Scheme::IdToken,
        _ => return None,
    };
    Some(Presented {
        scheme,
        token: SecretString::from(token.trim().to_owned()),
    })
}

/// The name of the parameter that carries a token in an address (RFC 6750, section 2.3).
const IN_QUERY: &str = "access_token";

/// The parameters of an address, but for the token of a client of an older protocol, which is none of the route's.
pub(super) fn parameters(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .filter(|(name, _): &(String, String)| name != IN_QUERY)
        .collect()
}

/// What was asked for in the address, by which one request is known from another: a token that was changed meanwhile does
/// not make it another one.
pub(super) fn without_token(request: &HttpRequest) -> String {
    let query = request.query_string();
    if !is_in_query(request) {
        return query.to_owned();
    }
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters(query))
        .finish()
}

/// Whether there is a token in the address.
pub(super) fn is_in_query(request: &HttpRequest) -> bool {
    url::form_urlencoded::parse(request.query_string().as_bytes()).any(|(name, _)| name == IN_QUERY)
}

/// The token in the address, where logs and histories keep it (RFC 9700, section 4.3.2): it counts only if it is the one
/// token of the request, and its client is one whose legacy switch is on.
///
/// # Errors
/// `invalid_request` for every other.
pub(super) async fn in_query(ctx: &Ctx, request: &HttpRequest) -> Result<Option<Presented>, OAuthError> {
    let sent: Vec<String> = url::form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(name, _)| name == IN_QUERY)
        .map(|(_, value)| value.into_owned())
        .collect();
    let refused = || {
        OAuthError::invalid_request(
            "a token does not travel in an address here: send it in the header Authorization",
        )
    };
    match sent.as_slice() {
        [] => Ok(None),
        [token] if !request.headers().contains_key(header::AUTHORIZATION) => {
            let found = Presented::bearer(token);
            match oauth2_server::may_travel_in_query(ctx, &found.token).await? {
                true => Ok(Some(found)),
                false => Err(refused()),
            }
        }
        _ => Err(refused()),
    }
}

/// What keeps an answer to a request with a token in its address out of caches, and the address out of other sites' logs
/// (RFC 6750, section 2.3).
pub(super) fn keep_private(headers: &mut HeaderMap) {
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-store"),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
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
        (Scheme::IdToken, _) => Err(unauthorized(OAuthError::new(
            "invalid_token",
            "the scheme Token is for ID tokens: send an access token with the scheme Bearer",
        ))),
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
        Scheme::Bearer | Scheme::IdToken => "Bearer realm=\"mailgrant\"".to_owned(),
        Scheme::Dpop => {
            let algs = ForeignAlg::CLIENT.map(ForeignAlg::as_str).join(" ");
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

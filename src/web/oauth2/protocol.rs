//! The endpoints that programs talk to: discovery, keys, token, revocation, introspection, userinfo.
//!
//! No cookie is looked at and none is set; whoever calls authenticates in the request. Answers are JSON in the words
//! of the RFCs, never cached.

use actix_web::http::{Method, StatusCode, header};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::ctx::Ctx;
use crate::oauth2_server::{self, Client, Credentials, Fields, OAuthError, metadata};
use crate::web::error::{DRESSED, Problem};
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/.well-known/openid-configuration", Guard::Public, || {
        web::to(discovery)
    }),
    Route::get("/.well-known/oauth-authorization-server", Guard::Public, || {
        web::to(discovery)
    }),
    // The names Teamwork Cloud's clients know.
    Route::get("/.well-known/oidc-configuration", Guard::Public, || {
        web::to(discovery)
    }),
    Route::get("/.well-known/oauth2.0-configuration", Guard::Public, || {
        web::to(discovery)
    }),
    Route::get("/.well-known/oauth-protected-resource", Guard::Public, || {
        web::to(resource)
    }),
    Route::get(
        "/.well-known/oauth-protected-resource/api/v1",
        Guard::Public,
        || web::to(resource),
    ),
    Route::get("/oauth2/jwks", Guard::Public, || web::to(jwks)),
    Route::post("/oauth2/token", Guard::Public, || web::to(token)),
    Route::new(Method::OPTIONS, "/oauth2/token", Guard::Public, || {
        web::to(preflight)
    }),
    Route::post("/oauth2/token/revoke", Guard::Public, || web::to(revoke)),
    Route::new(Method::OPTIONS, "/oauth2/token/revoke", Guard::Public, || {
        web::to(preflight)
    }),
    Route::post("/oauth2/introspect", Guard::Public, || web::to(introspect)),
    Route::get("/oauth2/userinfo", Guard::Public, || web::to(userinfo)),
    Route::post("/oauth2/userinfo", Guard::Public, || web::to(userinfo)),
    Route::new(Method::OPTIONS, "/oauth2/userinfo", Guard::Public, || {
        web::to(preflight)
    }),
];

/// Whether a request is for one of these: sessions and form tokens have no place there. Nor have they at the
/// authorization endpoint's POST, which comes from another site's form and only turns into a GET.
pub(in crate::web) fn is_protocol(method: &Method, path: &str) -> bool {
    path.starts_with("/.well-known/")
        || (path == "/oauth2/authorize" && method == Method::POST)
        || matches!(
            path,
            "/oauth2/jwks"
                | "/oauth2/token"
                | "/oauth2/token/revoke"
                | "/oauth2/introspect"
                | "/oauth2/userinfo"
        )
}

/// Largest body, bytes.
const MAX_BODY: usize = 64 * 1024;

/// JSON that anybody's script may read: nothing in it depends on a cookie.
fn open_json(value: &Value, cache: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, cache))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        ))
        .json(value)
}

fn secret_json(value: &Value) -> HttpResponse {
    let mut response = open_json(value, "no-store");
    response
        .headers_mut()
        .insert(header::PRAGMA, header::HeaderValue::from_static("no-cache"));
    response
}

/// An error in the words of RFC 6749, section 5.2.
fn refused(error: &OAuthError) -> HttpResponse {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((DRESSED, "1"));
    if error.status == 401 {
        response.insert_header((
            header::WWW_AUTHENTICATE,
            "Basic realm=\"mailgrant\", charset=\"UTF-8\"",
        ));
    }
    if error.status == 503 {
        response.insert_header((header::RETRY_AFTER, "5"));
    }
    response.json(json!({ "error": error.code, "error_description": error.description }))
}

async fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
        .insert_header((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type",
        ))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "3600"))
        .finish()
}

async fn discovery(ctx: web::Data<Ctx>) -> HttpResponse {
    open_json(&metadata::document(&ctx.config), "public, max-age=300")
}

async fn resource(ctx: web::Data<Ctx>) -> HttpResponse {
    open_json(&metadata::protected_resource(&ctx.config), "public, max-age=300")
}

async fn jwks(ctx: web::Data<Ctx>) -> HttpResponse {
    match oauth2_server::jwks(&ctx).await {
        Ok(keys) => open_json(&keys, "public, max-age=300"),
        Err(error) => refused(&error),
    }
}

async fn token(ctx: web::Data<Ctx>, request: HttpRequest, body: Payload) -> HttpResponse {
    let answer = async {
        let (client, fields) = authenticated(&ctx, &request, body).await?;
        oauth2_server::token(&ctx, &client, &fields).await
    };
    match answer.await {
        Ok(issued) => secret_json(&issued.json()),
        Err(error) => refused(&error),
    }
}

async fn revoke(ctx: web::Data<Ctx>, request: HttpRequest, body: Payload) -> HttpResponse {
    let answer = async {
        let (client, fields) = authenticated(&ctx, &request, body).await?;
        oauth2_server::revoke(&ctx, &client, &fields).await
    };
    match answer.await {
        Ok(()) => secret_json(&json!({})),
        Err(error) => refused(&error),
    }
}

async fn introspect(ctx: web::Data<Ctx>, request: HttpRequest, body: Payload) -> HttpResponse {
    let answer = async {
        let (client, fields) = authenticated(&ctx, &request, body).await?;
        oauth2_server::introspect(&ctx, &client, &fields).await
    };
    match answer.await {
        Ok(value) => secret_json(&value),
        Err(error) => refused(&error),
    }
}

async fn userinfo(ctx: web::Data<Ctx>, request: HttpRequest, body: Payload) -> Result<HttpResponse, Problem> {
    let challenge = |error: &OAuthError| {
        let mut response = refused(error);
        let text = format!(
            "Bearer realm=\"mailgrant\", error=\"{}\", error_description=\"{}\"",
            error.code, error.description
        );
        if let Ok(value) = header::HeaderValue::from_str(&text) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    };
    let token = match bearer(&request, body).await {
        Ok(Some(token)) => token,
        Ok(None) => {
            let bare = header::HeaderValue::from_static("Bearer realm=\"mailgrant\"");
            let mut response = refused(&OAuthError {
                status: 401,
                ..OAuthError::new("invalid_token", "send an access token")
            });
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bare);
            return Ok(response);
        }
        Err(error) => return Ok(challenge(&error)),
    };
    let Some(found) = oauth2_server::authenticate(&ctx, &token).await? else {
        return Ok(challenge(&OAuthError {
            status: 401,
            ..OAuthError::new("invalid_token", "the token is unknown, over or revoked")
        }));
    };
    Ok(match oauth2_server::userinfo(&ctx, &found).await {
        Ok(claims) => secret_json(&claims),
        Err(error) => challenge(&error),
    })
}

/// The access token of a request: in the header, or in the body of a POST (RFC 6750, section 2.2), not in both.
async fn bearer(request: &HttpRequest, body: Payload) -> Result<Option<SecretString>, OAuthError> {
    if request.query_string().contains("access_token=") {
        return Err(OAuthError::invalid_request(
            "a token does not travel in an address here",
        ));
    }
    let from_header = header_value(request, "bearer").map(|token| SecretString::from(token.to_owned()));
    let from_body = match request.method() == Method::POST && is_form(request) {
        true => {
            let fields = Fields::new(read(body).await?)?;
            fields
                .get("access_token")
                .map(|token| SecretString::from(token.to_owned()))
        }
        false => None,
    };
    match (from_header, from_body) {
        (Some(_), Some(_)) => Err(OAuthError::invalid_request("the token is sent in two ways")),
        (one, other) => Ok(one.or(other)),
    }
}

/// The client that sends a form, and the form.
async fn authenticated(
    ctx: &Ctx,
    request: &HttpRequest,
    body: Payload,
) -> Result<(Client, Fields), OAuthError> {
    if !request.query_string().is_empty() {
        return Err(OAuthError::invalid_request(
            "parameters belong into the body: what stands in an address ends up in logs",
        ));
    }
    if !is_form(request) {
        return Err(OAuthError::invalid_request(
            "send application/x-www-form-urlencoded",
        ));
    }
    let fields = Fields::new(read(body).await?)?;
    let credentials = Credentials {
        basic: match header_value(request, "basic") {
            Some(text) => Some(basic(text)?),
            None if request.headers().contains_key(header::AUTHORIZATION) => {
                return Err(OAuthError::invalid_client(
                    "this way to authenticate is not known here",
                ));
            }
            None => None,
        },
        body_id: fields.get("client_id").map(str::to_owned),
        body_secret: fields
            .get("client_secret")
            .map(|secret| SecretString::from(secret.to_owned())),
    };
    let client = oauth2_server::authenticate_client(ctx, &credentials).await?;
    Ok((client, fields))
}

fn is_form(request: &HttpRequest) -> bool {
    actix_web::HttpMessage::content_type(request).eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn header_value<'a>(request: &'a HttpRequest, scheme: &str) -> Option<&'a str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (found, rest) = value.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// Id and secret, each form-encoded before they were joined (RFC 6749, section 2.3.1).
fn basic(text: &str) -> Result<(String, SecretString), OAuthError> {
    let wrong = || OAuthError::invalid_client("the Basic credentials cannot be read");
    let decoded = STANDARD.decode(text).map_err(|_| wrong())?;
    let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
    let (id, secret) = decoded.split_once(':').ok_or_else(wrong)?;
    let id = form_decoded(id).ok_or_else(wrong)?;
    let secret = form_decoded(secret).ok_or_else(wrong)?;
    Ok((id, SecretString::from(secret)))
}

fn form_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let high = digit(rest.next())?;
                let low = digit(rest.next())?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

async fn read(mut body: Payload) -> Result<Vec<(String, String)>, OAuthError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| OAuthError::invalid_request("the body did not arrive whole"))?;
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(OAuthError {
                status: 413,
                ..OAuthError::invalid_request("the body is too large")
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(&bytes).into_owned().collect();
    if fields
        .iter()
        .any(|(name, value)| name.contains('\0') || value.contains('\0'))
    {
        return Err(OAuthError::invalid_request("a parameter holds a NUL character"));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n23_basic_credentials_are_form_decoded_or_refused() {
        use secrecy::ExposeSecret;
        let (id, secret) = basic(&STANDARD.encode("a%20b:c+d%3A")).unwrap();
        assert_eq!((id.as_str(), secret.expose_secret()), ("a b", "c d:"));
        for bad in ["a:%zz", "a:%4", "a:%", "nocolon", "a:%ff"] {
            assert_eq!(basic(&STANDARD.encode(bad)).unwrap_err().status, 401, "{bad}");
        }
        assert!(basic("!!").is_err());
    }
}

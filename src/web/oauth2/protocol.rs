//! The endpoints that programs talk to: discovery, keys, token, revocation, introspection, userinfo.
//!
//! No cookie is looked at and none is set; whoever calls authenticates in the request. Answers are JSON in the words
//! of the RFCs, never cached.

use actix_web::http::{Method, StatusCode, header};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::caller::{Caller, authenticated, count_address, count_client, token_of};
use crate::ctx::Ctx;
use crate::oauth2_server::{self, Client, DeviceFrom, OAuthError, UserInfo, dpop, metadata};
use crate::web::error::{DRESSED, Problem};
use crate::web::presented::{self, DPOP_NONCE};
use crate::web::respond;
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
    // An issuer with a path stands behind the well-known name (RFC 8414, section 3.1), or before it.
    Route::get(
        "/.well-known/openid-configuration/{path:.*}",
        Guard::Public,
        || web::to(inserted),
    ),
    Route::get(
        "/.well-known/oauth-authorization-server/{path:.*}",
        Guard::Public,
        || web::to(inserted),
    ),
    Route::get("/.well-known/oauth-protected-resource", Guard::Public, || {
        web::to(resource)
    }),
    Route::get(
        "/.well-known/oauth-protected-resource/{path:.*}",
        Guard::Public,
        || web::to(inserted_resource),
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
    Route::post("/oauth2/par", Guard::Public, || web::to(push)),
    Route::new(Method::OPTIONS, "/oauth2/par", Guard::Public, || {
        web::to(preflight)
    }),
    Route::post("/oauth2/device_authorization", Guard::Public, || {
        web::to(begin_device)
    }),
    Route::new(
        Method::OPTIONS,
        "/oauth2/device_authorization",
        Guard::Public,
        || web::to(preflight),
    ),
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
        || (matches!(path, "/oauth2/authorize" | "/oauth2/logout") && method == Method::POST)
        || path == "/oauth2/register"
        || path.starts_with("/oauth2/register/")
        || matches!(
            path,
            "/oauth2/jwks"
                | "/oauth2/token"
                | "/oauth2/token/revoke"
                | "/oauth2/introspect"
                | "/oauth2/userinfo"
                | "/oauth2/par"
                | "/oauth2/device_authorization"
        )
}

/// What a script of another site may read of an answer's headers.
const EXPOSED: &str = "dpop-nonce, www-authenticate, retry-after";

/// JSON that anybody's script may read: nothing in it depends on a cookie.
fn open_json(value: &Value, cache: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, cache))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED))
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

/// The same for an answer that is a signed token of this type.
fn secret_token(token: String, kind: &'static str) -> HttpResponse {
    let mut response = secret_json(&Value::Null).set_body(actix_web::body::BoxBody::new(token));
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An error in the words of RFC 6749, section 5.2.
fn refused(error: &OAuthError) -> HttpResponse {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED))
        .insert_header((DRESSED, "1"));
    if error.status == 401 {
        response.insert_header((
            header::WWW_AUTHENTICATE,
            "Basic realm=\"mailgrant\", charset=\"UTF-8\"",
        ));
    }
    if let Some(seconds) = error.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    let mut response = response.json(json!({ "error": error.code, "error_description": error.description }));
    // For the audit log.
    response.extensions_mut().insert(error.clone());
    response
}

pub(super) async fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
        .insert_header((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, dpop",
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

/// The discovery document for an issuer with a path, where RFC 8414 puts it.
async fn inserted(ctx: web::Data<Ctx>, path: web::Path<String>) -> HttpResponse {
    let own = respond::base_path(&ctx).trim_start_matches('/');
    match !own.is_empty() && path.trim_end_matches('/') == own {
        true => discovery(ctx).await,
        false => refused(&OAuthError {
            status: 404,
            ..OAuthError::invalid_request("there is no such issuer here")
        }),
    }
}

/// The same for the API (RFC 9728, section 3.1).
async fn inserted_resource(ctx: web::Data<Ctx>, path: web::Path<String>) -> HttpResponse {
    let own = format!("{}/api/v1", respond::base_path(&ctx));
    let asked = path.trim_end_matches('/');
    // A proxy may have taken the path of the issuer away.
    match asked == own.trim_start_matches('/') || asked == "api/v1" {
        true => resource(ctx).await,
        false => refused(&OAuthError {
            status: 404,
            ..OAuthError::invalid_request("there is no such resource here")
        }),
    }
}

/// The key of the proof that came with a request of a client, if one came.
async fn proof(ctx: &Ctx, request: &HttpRequest, client: &Client) -> Result<Option<String>, OAuthError> {
    let Some(proof) = presented::proof(request)? else {
        return Ok(None);
    };
    let expected = dpop::Expected {
        method: request.method().as_str(),
        url: &ctx.config.url(request.path()),
        access_token: None,
        needs_nonce: client.protocol.dpop_bound,
    };
    dpop::check(ctx, proof, expected).await.map(Some)
}

/// Puts a nonce for the next proof into an answer to a request that brought one, or that should have.
fn with_nonce(ctx: &Ctx, request: &HttpRequest, mut response: HttpResponse, wants: bool) -> HttpResponse {
    if (wants || request.headers().contains_key("dpop"))
        && let Ok(value) = header::HeaderValue::from_str(&dpop::nonce(ctx))
    {
        response.headers_mut().insert(DPOP_NONCE, value);
    }
    response
}

async fn token(ctx: web::Data<Ctx>, request: HttpRequest, body: Payload) -> HttpResponse {
    let answer = async {
        let Caller { client, fields, .. } = authenticated(&ctx, &request, body).await?;
        let jkt = proof(&ctx, &request, &client).await?;
        oauth2_server::token(&ctx, &client, &fields, jkt).await
    };
    let (response, wants) = match answer.await {
        Ok(issued) => (secret_json(&issued.json()), false),
        Err(error) => (refused(&error), error.code == "invalid_dpop_proof"),
    };
    with_nonce(&ctx, &request, response, wants)
}

async fn push(ctx: web::Data<Ctx>, request: HttpRequest, body: Payload) -> HttpResponse {
    let answer = async {
        let Caller { client, fields, .. } = authenticated(&ctx, &request, body).await?;
        let jkt = proof(&ctx, &request, &client).await?;
        oauth2_server::push(&ctx, &client, &fields, jkt.as_deref()).await
    };
    let response = match answer.await {
        Ok(pushed) => {
            let body = json!({ "request_uri": pushed.request_uri, "expires_in": pushed.expires_in });
            let mut response = secret_json(&body);
            *response.status_mut() = StatusCode::CREATED;
            response
        }
        Err(error) => refused(&error),
    };
    with_nonce(&ctx, &request, response, false)
}

async fn begin_device(ctx: web::Data<Ctx>, request: HttpRequest, body: Payload) -> HttpResponse {
    let answer = async {
        let Caller { client, fields, .. } = authenticated(&ctx, &request, body).await?;
        let agent = request.headers().get(header::USER_AGENT);
        let from = DeviceFrom {
            address: &respond::client_address(&request),
            agent: agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default(),
        };
        oauth2_server::begin_device(&ctx, &client, &fields, from).await
    };
    match answer.await {
        Ok(begun) => {
            let page = ctx.config.url("/device");
            secret_json(&json!({
                "device_code": begun.device_code.expose_secret(),
                "user_code": begun.user_code,
                "verification_uri": page,
                "verification_uri_complete": format!("{page}?user_code={}", begun.user_code),
                "expires_in": begun.expires_in,
                "interval": begun.interval,
            }))
        }
        Err(error) => refused(&error),
    }
}

async fn revoke(ctx: web::Data<Ctx>, request: HttpRequest, body: Payload) -> HttpResponse {
    let answer = async {
        let Caller { client, fields, .. } = authenticated(&ctx, &request, body).await?;
        oauth2_server::revoke(&ctx, &client, &fields).await
    };
    match answer.await {
        Ok(()) => secret_json(&json!({})),
        Err(error) => refused(&error),
    }
}

/// The type of a signed answer (RFC 9701).
const INTROSPECTION_JWT: &str = "application/token-introspection+jwt";

async fn introspect(ctx: web::Data<Ctx>, request: HttpRequest, body: Payload) -> HttpResponse {
    let accept = request.headers().get(header::ACCEPT);
    let wants_signed = accept
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.to_ascii_lowercase().contains(INTROSPECTION_JWT));
    let answer = async {
        let Caller { client, fields, at } = authenticated(&ctx, &request, body).await?;
        let answer = oauth2_server::introspect(&ctx, &client, &fields, at.as_ref()).await?;
        match wants_signed {
            true => oauth2_server::sign_introspection(&ctx, &client, &answer)
                .await
                .map(|signed| (answer, Some(signed))),
            false => Ok((answer, None)),
        }
    };
    match answer.await {
        Ok((_, Some(signed))) => secret_token(signed, INTROSPECTION_JWT),
        Ok((answer, None)) => secret_json(&answer),
        Err(error) => refused(&error),
    }
}

async fn userinfo(ctx: web::Data<Ctx>, request: HttpRequest, body: Payload) -> Result<HttpResponse, Problem> {
    let answered = |mut response: HttpResponse| {
        if presented::is_in_query(&request) {
            presented::keep_private(response.headers_mut());
        }
        Ok(with_nonce(&ctx, &request, response, false))
    };
    let challenge = |error: &OAuthError, scheme: presented::Scheme| {
        let mut response = refused(error);
        if let Ok(value) = header::HeaderValue::from_str(&presented::challenge(scheme, Some(error))) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    };
    if let Err(error) = count_address(&ctx, &request, ctx.config.requests_per_address) {
        return answered(refused(&error));
    }
    let found = match token_of(&ctx, &request, body).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let bare = header::HeaderValue::from_static("Bearer realm=\"mailgrant\"");
            let mut response = refused(&OAuthError {
                status: 401,
                ..OAuthError::new("invalid_token", "send an access token")
            });
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bare);
            return Ok(response);
        }
        Err(error) => return answered(challenge(&error, presented::Scheme::Bearer)),
    };
    let Some(token) = oauth2_server::authenticate(&ctx, &found.token).await? else {
        let error = OAuthError {
            status: 401,
            ..OAuthError::new("invalid_token", "the token is unknown, over or revoked")
        };
        return answered(challenge(&error, found.scheme));
    };
    if let Err(error) = count_client(&ctx, &request, &token.family.client) {
        return answered(refused(&error));
    }
    if let Err(error) = presented::check_binding(&ctx, &request, &found, &token).await {
        return answered(challenge(&error, presented::Scheme::Dpop));
    }
    answered(match oauth2_server::userinfo(&ctx, &token).await {
        Ok(UserInfo::Plain(claims)) => secret_json(&claims),
        Ok(UserInfo::Signed(token)) => secret_token(token, "application/jwt"),
        Err(error) => challenge(&error, found.scheme),
    })
}

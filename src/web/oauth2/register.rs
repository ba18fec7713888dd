//! Dynamic registration over HTTP (RFC 7591, RFC 7592): JSON in, JSON out, tokens in the header.

use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::protocol::preflight;
use crate::ctx::Ctx;
use crate::oauth2_server::{self, OAuthError};
use crate::web::error::DRESSED;
use crate::web::gate;
use crate::web::limit::Limiter;
use crate::web::respond;
use crate::web::route::{Guard, Route};

const ROOT: &str = "/oauth2/register";
const ONE: &str = "/oauth2/register/{client_id}";

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::post(ROOT, Guard::Public, || web::to(register)),
    Route::new(Method::OPTIONS, ROOT, Guard::Public, || web::to(preflight)),
    Route::get(ONE, Guard::Public, || web::to(read)),
    Route::new(Method::PUT, ONE, Guard::Public, || web::to(update)),
    Route::delete(ONE, Guard::Public, || web::to(remove)),
];

/// Registrations and changes from one address in a minute.
const PER_MINUTE: u32 = 20;
/// Largest body, bytes.
const MAX_BODY: usize = 64 * 1024;

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
            "Bearer realm=\"mailgrant\", error=\"invalid_token\"",
        ));
    }
    if matches!(error.status, 429 | 503) {
        response.insert_header((header::RETRY_AFTER, "60"));
    }
    let mut response = response.json(json!({ "error": error.code, "error_description": error.description }));
    // For the audit log.
    response.extensions_mut().insert(error.clone());
    response
}

fn answer(status: StatusCode, outcome: Result<Value, OAuthError>) -> HttpResponse {
    match outcome {
        Ok(body) => HttpResponse::build(status)
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::PRAGMA, "no-cache"))
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
            .json(body),
        Err(error) => refused(&error),
    }
}

/// Counts the address: registration is open to guesses at tokens, if to nothing else.
fn count(ctx: &Ctx, request: &HttpRequest) -> Result<(), OAuthError> {
    let Some(limiter) = request.app_data::<web::Data<Limiter>>() else {
        return Ok(());
    };
    let subject = format!("register {}", respond::client_network(request));
    limiter
        .take(&subject, PER_MINUTE, ctx.clock.now_ms())
        .map_err(|_| OAuthError {
            status: 429,
            ..OAuthError::new(
                "slow_down",
                "too many registrations from this address; wait a minute",
            )
        })
}

fn bearer(request: &HttpRequest) -> Option<SecretString> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| SecretString::from(token.trim().to_owned()))
}

async fn json_body(request: &HttpRequest, body: Payload) -> Result<Value, OAuthError> {
    let kind = actix_web::HttpMessage::content_type(request).to_ascii_lowercase();
    if kind != "application/json" {
        return Err(OAuthError::invalid_request("send application/json"));
    }
    let bytes = gate::read_body(body, MAX_BODY)
        .await
        .map_err(|problem| OAuthError {
            status: problem.status().as_u16(),
            ..OAuthError::invalid_request(problem.detail())
        })?;
    serde_json::from_slice(&bytes).map_err(|_| OAuthError::new("invalid_client_metadata", "this is not JSON"))
}

async fn register(ctx: web::Data<Ctx>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let work = async {
        count(&ctx, &request)?;
        let sent = json_body(&request, body.into_inner()).await?;
        oauth2_server::register(&ctx, bearer(&request).as_ref(), &sent).await
    };
    answer(StatusCode::CREATED, work.await)
}

async fn read(ctx: web::Data<Ctx>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let work = async {
        count(&ctx, &request)?;
        oauth2_server::read_registration(&ctx, &id, bearer(&request).as_ref()).await
    };
    answer(StatusCode::OK, work.await)
}

async fn update(
    ctx: web::Data<Ctx>,
    request: HttpRequest,
    id: web::Path<String>,
    body: web::Payload,
) -> HttpResponse {
    let work = async {
        count(&ctx, &request)?;
        let sent = json_body(&request, body.into_inner()).await?;
        oauth2_server::update_registration(&ctx, &id, bearer(&request).as_ref(), &sent).await
    };
    answer(StatusCode::OK, work.await)
}

async fn remove(ctx: web::Data<Ctx>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let work = async {
        count(&ctx, &request)?;
        oauth2_server::remove_registration(&ctx, &id, bearer(&request).as_ref()).await
    };
    match work.await {
        Ok(()) => HttpResponse::NoContent()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish(),
        Err(error) => refused(&error),
    }
}

//! What stands around every handler, whoever asks: request id, access log, security headers, and nets under panics and
//! under the audit log.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{header, header::HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use futures_util::FutureExt;

use super::error::{Problem, dress};
use super::gate::ctx;
use super::{refused, respond};
use crate::audit::{self, NewAuditEvent, Origin, Via};
use crate::crypto;
use crate::ctx::Ctx;

/// The policy of every page that does not bring its own.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; \
     connect-src 'self'; form-action 'self'; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Names a request in the log and in the answer's `x-request-id`.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Around every handler: its panic is one failed request, not a lost connection.
pub(super) async fn net_under_panics(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // Only here, behind the router, may a request have a second handle.
    let bare = request.request().clone();
    Ok(match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(Ok(response)) => response.map_into_boxed_body(),
        Ok(Err(error)) => ServiceResponse::from_err(error, bare),
        Err(_) => ServiceResponse::from_err(Problem::internal(&"a handler panicked"), bare),
    })
}

/// Around every handler that changes something for somebody known: a change of which its service noted nothing is in
/// the audit log at least as the request that it was.
pub(super) async fn net_under_audit(
    route: &'static str,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let done = response.status().is_success() || response.status().is_redirection();
    if done && audit::noted() == 0 && !audit::actor().is_empty() {
        let asked = response.request();
        let target = format!("{} {route}", asked.method());
        let event = NewAuditEvent::new("request.succeeded", "route", &target)
            .saying(serde_json::json!({ "path": shortened(asked.path()) }));
        match ctx(asked) {
            Ok(ctx) => {
                if let Err(error) = audit::append(ctx.db.write(), &ctx.clock, event).await {
                    tracing::error!("{target} succeeded and is not in the audit log: {error}");
                }
            }
            Err(problem) => tracing::error!("{target} succeeded and is not in the audit log: {problem}"),
        }
    }
    Ok(response)
}

/// Around everything: id, log, headers, and the body of errors. Middlewares answer with a response, never with an
/// error: an error would pass by this one.
pub(super) async fn outermost(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let request_id = format!("req_{}", crypto::random_token(9));
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let via = if is_page_path(&request) { Via::Ui } else { Via::Api };
    let origin = Origin::new(via, &respond::client_address(request.request()), &request_id);
    let answered = audit::within(origin, async {
        let answered = next.call(request).await?;
        refused::note(&answered).await;
        Ok::<_, Error>(answered)
    });
    let answered = answered.await?;
    let mut response = dress(answered.map_into_boxed_body());
    let https = response
        .request()
        .app_data::<web::Data<Ctx>>()
        .is_some_and(|ctx| ctx.config.is_https())
        // A proxy that says it was asked in the clear knows better.
        && respond::peer(response.request()).is_none_or(|peer| peer.scheme != Some("http"));
    let status = response.status().as_u16();
    let is_api = response.request().path().starts_with("/api/");
    set_headers(response.headers_mut(), https, &request_id);
    tracing::info!(
        target: "mailgrant::access",
        method = %response.request().method(),
        // Never the query: codes, states and one-time tokens travel there.
        path = shortened(response.request().path()),
        status,
        ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        request_id,
        is_api,
    );
    Ok(response)
}

/// Whether a person at a browser asks, rather than a program.
fn is_page_path(request: &ServiceRequest) -> bool {
    let path = request.path();
    !path.starts_with("/api/") && !super::oauth2::is_protocol(request.method(), path)
}

/// A path as the log shows it: nobody fills a disk with addresses of 60 kB.
fn shortened(path: &str) -> &str {
    path.get(..path.floor_char_boundary(200)).unwrap_or(path)
}

/// Whether the policy lets nobody frame it.
fn is_unframed(headers: &HeaderMap) -> bool {
    let policy = headers.get(header::CONTENT_SECURITY_POLICY);
    policy
        .and_then(|policy| policy.to_str().ok())
        .is_some_and(|policy| policy.contains("frame-ancestors 'none'"))
}

/// A policy of its own that forgot to say who may frame it: nobody.
fn unframed(headers: &HeaderMap) -> Option<header::HeaderValue> {
    let policy = headers.get(header::CONTENT_SECURITY_POLICY)?.to_str().ok()?;
    if policy.contains("frame-ancestors") {
        return None;
    }
    header::HeaderValue::from_str(&format!("{policy}; frame-ancestors 'none'")).ok()
}

fn set_headers(headers: &mut HeaderMap, https: bool, request_id: &str) {
    if let Some(policy) = unframed(headers) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let said = header::HeaderValue::from_static;
    default(
        headers,
        header::CONTENT_SECURITY_POLICY,
        said(CONTENT_SECURITY_POLICY),
    );
    default(headers, header::X_CONTENT_TYPE_OPTIONS, said("nosniff"));
    if is_unframed(headers) {
        // The same for browsers and scanners that do not read the policy.
        headers.insert(header::X_FRAME_OPTIONS, said("DENY"));
    }
    // Not `no-referrer`: with it browsers send `Origin: null` with our own forms, and the Origin check would be blind.
    default(headers, header::REFERRER_POLICY, said("same-origin"));
    default(headers, header::CACHE_CONTROL, said("no-store"));
    default(
        headers,
        header::HeaderName::from_static("cross-origin-opener-policy"),
        said("same-origin"),
    );
    default(
        headers,
        header::HeaderName::from_static("cross-origin-resource-policy"),
        said("same-origin"),
    );
    default(
        headers,
        header::HeaderName::from_static("permissions-policy"),
        said("camera=(), geolocation=(), microphone=()"),
    );
    if let Ok(id) = header::HeaderValue::from_str(request_id) {
        default(headers, header::HeaderName::from_static("x-request-id"), id);
    }
    if https {
        default(
            headers,
            header::STRICT_TRANSPORT_SECURITY,
            said("max-age=63072000"),
        );
    }
}

fn default(headers: &mut HeaderMap, name: header::HeaderName, value: header::HeaderValue) {
    if !headers.contains_key(&name) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_no_endless_address() {
        assert_eq!(shortened("/tickets"), "/tickets");
        assert_eq!(shortened(&"/é".repeat(30_000)).len(), 199);
    }
}

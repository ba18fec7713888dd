//! Refusals that matter later: who was not let in, and who asked for what they may not do. They go into the audit log,
//! counted so that nobody floods it.

use actix_web::HttpMessage;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use serde_json::json;

use super::error::Problem;
use super::gate;
use crate::audit::Refused;
use crate::oauth2_server::{self, OAuthError};

/// Who a request said it comes from, when it could not prove it: the `client_id` it used. Left in the request.
#[derive(Clone, Debug)]
pub(super) struct Claimed(pub(super) String);

/// The longest `client_id` that is looked up.
const MAX_ID: usize = 200;

/// Notes the answer to a request, if it is such a refusal.
pub(super) async fn note<B>(response: &ServiceResponse<B>) {
    let Some(code) = code_of(response) else {
        return;
    };
    let request = response.request();
    let Ok(ctx) = gate::ctx(request) else {
        return;
    };
    // The route, never the address: what strangers write into addresses is not ours to keep.
    let pattern = request
        .match_pattern()
        .unwrap_or_else(|| "(no such route)".to_owned());
    let route = format!("{} {pattern}", request.method());
    let claimed = request.extensions().get::<Claimed>().cloned();
    let client = match claimed.filter(|claimed| claimed.0.len() <= MAX_ID) {
        Some(Claimed(id)) => oauth2_server::by_client_id(&ctx, &id).await.ok().flatten(),
        None => None,
    };
    let (target_kind, target_id) = match &client {
        Some(client) => ("client", client.id.as_str()),
        None => ("route", route.as_str()),
    };
    let refused = Refused {
        action: "request.refused",
        target_kind,
        target_id,
        code: &code,
        details: json!({ "route": route, "status": response.status().as_u16() }),
    };
    if let Err(error) = ctx.refusals.note(&ctx.db, &ctx.clock, &refused).await {
        tracing::error!("a refused request is not in the audit log: {error}");
    }
}

/// The word for why: of what is forbidden, of proofs that do not hold, and of guessing.
fn code_of<B>(response: &ServiceResponse<B>) -> Option<String> {
    let extensions = response.response().extensions();
    let code = match (extensions.get::<Problem>(), extensions.get::<OAuthError>()) {
        (Some(problem), _) => problem.code(),
        (None, Some(error)) => error.code,
        (None, None) => "not_allowed",
    };
    let matters = matches!(
        response.status(),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    ) || code == "too_many_attempts";
    matters.then(|| code.to_owned())
}

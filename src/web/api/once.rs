//! `Idempotency-Key`: a request that is repeated with the same key happens once.

use actix_web::body::{self, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header::HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, web};

use crate::account::TokenIdentity;
use crate::audit;
use crate::ctx::Ctx;
use crate::idempotency::{self, Answer, Begun, IdempotencyError, Turn};
use crate::web::error::Problem;
use crate::web::presented;
use crate::web::route::Effect;
use crate::web::{RequestId, gate};

const KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotency-replayed";
/// Headers of an answer that are repeated with it.
const REPEATED: [&str; 3] = ["content-type", "location", "etag"];

impl From<IdempotencyError> for Problem {
    fn from(error: IdempotencyError) -> Self {
        Self::internal(&error)
    }
}

// Everybody who uses an application has its id; what one of them did is not another's answer. Personal tokens keep the name
// under which an older version noted what they did.
fn owner_of(token: &TokenIdentity) -> String {
    if token.id.starts_with("cli_") {
        format!("{} {}", token.id, token.actor)
    } else {
        token.id.clone()
    }
}

/// The key of a request, if it has one.
///
/// # Errors
/// 400 if it is missing where it must be there, or is none.
pub(super) fn key(headers: &HeaderMap, effect: Effect) -> Result<Option<String>, Problem> {
    let mut sent = headers.get_all(KEY);
    let Some(first) = sent.next() else {
        return match effect {
            Effect::SendsMail => Err(Problem::bad_request(
                "idempotency_key_required",
                "this sends mail: send an `Idempotency-Key`, so that a repeated request does not send it twice",
            )
            .with_remedy("Choose a new random key for each action, and the same one to repeat it.")),
            _ => Ok(None),
        };
    };
    // The header is a structured field: a text in quotes. Most callers leave the quotes out.
    let key = first.to_str().unwrap_or_default().trim();
    let key = key
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(key);
    let is_good = (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if !is_good || sent.next().is_some() {
        return Err(Problem::bad_request(
            "bad_idempotency_key",
            "`Idempotency-Key` must be one text of 1 to 255 visible ASCII characters",
        ));
    }
    Ok(Some(key.to_owned()))
}

/// The name of the work that a request is, if it may be repeated: what must not happen twice is kept under it.
pub(super) fn name(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<Turn>().map(Turn::once)
}

/// Lets a request through once, and answers its repetitions from memory.
pub(super) async fn pass(
    key: &str,
    body: &[u8],
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = match begin(key, body, &request).await {
        Ok(begun) => begun,
        Err(problem) => return Ok(gate::refuse(request, &problem)),
    };
    let refused = match begun {
        Begun::Mine(turn) => match made_before(&turn, &request).await {
            Ok(None) => return work(turn, request, next).await,
            Ok(Some((kind, id))) => lost_answer(&kind, &id),
            Err(problem) => problem,
        },
        Begun::Done(answer) => {
            let (request, _) = request.into_parts();
            return Ok(ServiceResponse::new(request, repeat(answer)));
        }
        Begun::InFlight(seconds) => Problem::conflict(
            "idempotency_key_in_flight",
            "the same request is being worked on right now",
        )
        .retry_after(seconds.min(5)),
        Begun::OtherRequest => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "this `Idempotency-Key` was used for another request; nothing was changed",
        )
        .with_remedy("Choose a new key for a new action."),
    };
    Ok(gate::refuse(request, &refused))
}

async fn begin(key: &str, body: &[u8], request: &ServiceRequest) -> Result<Begun, Problem> {
    let ctx = gate::ctx(request.request())?;
    let owner = request.extensions().get::<TokenIdentity>().map(owner_of);
    let owner = owner.ok_or_else(|| Problem::internal(&"a route of the API without a token"))?;
    let route = format!(
        "{} {}",
        request.method(),
        request.match_pattern().unwrap_or_default()
    );
    let query = presented::without_token(request.request());
    let fingerprint: [&[u8]; 3] = [request.path().as_bytes(), query.as_bytes(), body];
    let id = request_id(request);
    Ok(idempotency::begin(&ctx, &owner, &route, key, &fingerprint, &id).await?)
}

fn request_id(request: &ServiceRequest) -> String {
    let extensions = request.extensions();
    extensions
        .get::<RequestId>()
        .map(|id| id.0.clone())
        .unwrap_or_default()
}

async fn made_before(turn: &Turn, request: &ServiceRequest) -> Result<Option<(String, String)>, Problem> {
    let ctx = gate::ctx(request.request())?;
    Ok(idempotency::made_before(&ctx, turn, &request_id(request)).await?)
}

/// 409: doing it again would make it twice. The answer cannot be given again, for secrets that were in it are kept nowhere.
fn lost_answer(kind: &str, id: &str) -> Problem {
    let kind = kind.replace('_', " ");
    Problem::conflict(
        "idempotency_answer_lost",
        format!("this request made the {kind} {id} before its answer was lost; nothing was done now"),
    )
    .with_remedy(
        "Look at what it made. A secret or token that was in the answer is kept nowhere: make a new secret for it, or \
         remove it and send the request again with a new key.",
    )
    .with_member("madeId", id.into())
}

/// Runs the handler on its own: whoever hangs up does not stop it half-way, and finds its answer when they come again.
async fn work(
    turn: Turn,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let bare = request.request().clone();
    let ctx = match gate::ctx(&bare) {
        Ok(ctx) => ctx,
        Err(problem) => return Ok(gate::refuse(request, &problem)),
    };
    // For handlers that keep in their own transaction that they did it.
    request.extensions_mut().insert(turn.clone());
    let running = actix_web::rt::spawn(audit::carried(async move {
        let response = next.call(request).await?.map_into_boxed_body();
        remember(&ctx, &turn, response).await
    }));
    match running.await {
        Ok(answer) => answer,
        Err(error) => Ok(ServiceResponse::from_err(Problem::internal(&error), bare)),
    }
}

async fn remember(
    ctx: &web::Data<Ctx>,
    turn: &Turn,
    response: ServiceResponse<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let status = response.status();
    if !status.is_success() {
        // A refusal changed nothing. How far a failure came is not known: its key stays with this very request.
        let ended = if status.is_client_error() {
            idempotency::give_back(ctx, turn).await
        } else {
            idempotency::let_go(ctx, turn).await
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "the key of a request that did not succeed stays taken for a while");
        }
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (response, bytes) = response.into_parts();
    let bytes = body::to_bytes(bytes).await.unwrap_or_default();
    let answer = Answer {
        status: status.as_u16(),
        headers: REPEATED
            .iter()
            .filter_map(|name| {
                let value = response.headers().get(*name)?.to_str().ok()?;
                Some(((*name).to_owned(), value.to_owned()))
            })
            .collect(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    };
    // It happened. That its answer could not be kept is no reason to say otherwise.
    if let Err(error) = idempotency::finish(ctx, turn, &answer).await {
        tracing::warn!(%error, "an answer was not kept; repeated with the same key, the request may happen again");
    }
    Ok(ServiceResponse::new(
        request,
        response.set_body(BoxBody::new(bytes)),
    ))
}

fn repeat(answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    for (name, value) in answer.headers {
        response.insert_header((name, value));
    }
    response.insert_header((REPLAYED, "true"));
    response.body(answer.body)
}

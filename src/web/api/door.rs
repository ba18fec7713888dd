//! What stands before every handler of the API, so that none can forget it: the query and the body are read and
//! checked against what the route publishes, and a repeated `POST` happens once.

use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use serde_json::Value;

use super::input::{Bytes, Input, MAX_JSON_BYTES, Members};
use super::once;
use crate::web::error::Problem;
use crate::web::gate;
use crate::web::openapi::{Body, Doc, Parameter, check};
use crate::web::presented;
use crate::web::route::{Effect, Route};

/// What the door knows about its route: what may come in. The shapes of answers are large, and each thread that serves
/// would hold its own.
#[derive(Debug)]
pub(in crate::web) struct Facts {
    changes: bool,
    effect: Effect,
    query: Vec<Parameter>,
    body: Body,
    max_body: usize,
}

impl Facts {
    /// Of a route of the table.
    pub(in crate::web) fn of(route: &Route) -> Self {
        let doc = route.description().unwrap_or_else(|| Doc::new(""));
        Self {
            changes: route.method != Method::GET,
            effect: match route.method {
                Method::POST => route.effect,
                _ => Effect::None,
            },
            query: doc.query,
            body: doc.body,
            max_body: doc.max_body.unwrap_or(MAX_JSON_BYTES),
        }
    }
}

/// Lets a request through whose query and body have the published shape.
pub(in crate::web) async fn pass(
    facts: Rc<Facts>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match look(&facts, &mut request).await {
        Ok(Some((key, body))) => once::pass(&key, &body, request, next).await,
        Ok(None) => Ok(next.call(request).await?.map_into_boxed_body()),
        Err(problem) => Ok(gate::refuse(request, &problem)),
    }
}

/// Reads and checks; the key and the body of a request that must happen once come back.
async fn look(facts: &Facts, request: &mut ServiceRequest) -> Result<Option<(String, web::Bytes)>, Problem> {
    let pairs = presented::parameters(request.query_string());
    check::query(&facts.query, &pairs)?;
    if !facts.changes {
        return Ok(None);
    }
    let key = match facts.effect {
        Effect::None => None,
        effect => once::key(request.headers(), effect)?,
    };
    let kind = request.content_type().to_ascii_lowercase();
    let limit = facts.max_body;
    refuse_announced_size(request, limit)?;
    let body = gate::read_body(request.take_payload(), limit).await?;
    request.set_payload(Payload::from(body.clone()));
    match &facts.body {
        Body::Bytes(types) => {
            check_type(&kind, types)?;
            request.extensions_mut().insert(Bytes(body.clone()));
        }
        Body::Json(schema) => {
            let members = Value::Object(Input::parse(&kind, &body)?);
            let problems = check::value(schema.json(), &members, "");
            if !problems.is_empty() {
                return Err(Problem::invalid(problems));
            }
            keep(request, members);
        }
        Body::None => {
            let members = Input::parse(&kind, &body)?;
            keep(request, Value::Object(members));
        }
    }
    Ok(key.map(|key| (key, body)))
}

fn keep(request: &ServiceRequest, members: Value) {
    if let Value::Object(members) = members {
        request.extensions_mut().insert(Members(members));
    }
}

/// A body that says it is too large need not be read first.
fn refuse_announced_size(request: &ServiceRequest, limit: usize) -> Result<(), Problem> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(gate::too_large(limit));
    }
    Ok(())
}

fn check_type(kind: &str, types: &[&str]) -> Result<(), Problem> {
    if types.contains(&kind) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("send it with `Content-Type: {}`", types.join("` or `")),
    ))
}

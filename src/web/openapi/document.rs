//! From the route table to the document.

use std::collections::BTreeMap;

use actix_web::http::Method;
use serde_json::{Map, Value, json};

use super::doc::{Body, Content, Doc};
use super::schema::{self, NAME, Schema};
use crate::access::{Need, Scope};
use crate::web::api::input::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::web::route::{API, Effect, Route};

/// The document of all described routes below `/api/v1`.
pub fn document(routes: &[Route]) -> Value {
    let mut parts = Parts::default();
    let problem = parts.hoist(schema::problem().into_json());
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let Some(doc) = route.description().filter(|_| route.guard.is_rest()) else {
            continue;
        };
        let place = paths.entry(plain_path(route.path)).or_default();
        place.insert(
            route.method.as_str().to_ascii_lowercase(),
            parts.operation(route, &doc, &problem),
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mailgrant",
            "version": "1",
            "description": "Mailboxes by OAuth 2.0, mail as tickets. `docs/api.md` is the guide. Names are camelCase, \
                times RFC 3339, ids prefixed; a member there is no value for is null, never missing; members we do not \
                know are ignored. Lists answer `items` and `next` (also as `Link`). What has a revision carries an \
                `ETag`; a change with `If-Match` happens only at that revision. A `POST` with an `Idempotency-Key` \
                happens once in 24 hours. Refusals are problem+json (RFC 9457).",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/", "description": "This Mailgrant" }],
        "security": [{ "token": [] }, { "oauth2": [] }],
        "tags": tags(routes),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token, `mg_pat_…`. `mailgrant token create --name NAME` makes one.",
                },
                "oauth2": oauth2(),
            },
            "schemas": parts.schemas,
        },
    })
}

/// What Mailgrant's own authorization server gives to applications.
fn oauth2() -> Value {
    let scopes: Map<String, Value> = Scope::ALL
        .iter()
        .map(|scope| (scope.as_str().to_owned(), scope.about().into()))
        .collect();
    json!({
        "type": "oauth2",
        "description": "An access token, `mg_at_…`, that an application got from `/oauth2/token`: for a person by a \
            code with PKCE (S256), or for itself. `docs/oauth2.md` is the guide.",
        "flows": {
            "authorizationCode": {
                "authorizationUrl": "/oauth2/authorize",
                "tokenUrl": "/oauth2/token",
                "refreshUrl": "/oauth2/token",
                "scopes": scopes,
            },
            "clientCredentials": { "tokenUrl": "/oauth2/token", "scopes": scopes },
        },
    })
}

/// The document as the file in `docs/` has it.
pub fn pretty(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// `/messages/{id}/attachments/{part:.*}` as the document writes it.
pub fn plain_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut in_pattern = false;
    for c in path.chars() {
        match c {
            ':' => in_pattern = true,
            '}' => in_pattern = false,
            _ => {}
        }
        if !in_pattern {
            out.push(c);
        }
    }
    out
}

/// The names in a path.
pub fn path_names(path: &str) -> Vec<String> {
    let plain = plain_path(path);
    plain
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The kind of resource a route belongs to: the first part of its path.
pub fn tag(path: &str) -> &str {
    path.strip_prefix(API)
        .unwrap_or(path)
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default()
}

fn tags(routes: &[Route]) -> Value {
    let mut seen: Vec<&str> = routes
        .iter()
        .filter(|route| route.guard.is_rest())
        .map(|route| tag(route.path))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    seen.into_iter().map(|name| json!({ "name": name })).collect()
}

/// The scope a route asks for, and a sentence about it.
pub fn allowance(route: &Route) -> (&'static str, String) {
    match route.guard.need() {
        Some(Need::Scope(scope)) => (scope.as_str(), format!("Scope: `{scope}`.")),
        Some(Need::Site(scope)) => (
            scope.as_str(),
            format!("Scope: `{scope}`, of a site admin's token that is not narrowed to projects."),
        ),
        Some(Need::Own(scope)) => (
            scope.as_str(),
            format!("Scope: `{scope}`, for what belongs to the token's owner."),
        ),
        _ => ("", String::new()),
    }
}

/// `get_mailboxes_by_id` from the method and the path.
fn operation_id(route: &Route) -> String {
    let mut words = vec![route.method.as_str().to_ascii_lowercase()];
    for part in plain_path(route.path.strip_prefix(API).unwrap_or(route.path)).split('/') {
        match part.strip_prefix('{') {
            Some(name) => words.push(format!("by_{}", name.trim_end_matches('}'))),
            None if !part.is_empty() => words.push(part.replace('-', "_")),
            None => {}
        }
    }
    words.join("_")
}

/// Named schemas, gathered while operations are written.
#[derive(Default)]
struct Parts {
    schemas: BTreeMap<String, Value>,
}

impl Parts {
    /// Gives every named schema a place of its own.
    fn hoist(&mut self, value: Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(|item| self.hoist(item)).collect(),
            Value::Object(mut members) => {
                let name = members.remove(NAME);
                let whole: Map<String, Value> = members
                    .into_iter()
                    .map(|(key, value)| (key, self.hoist(value)))
                    .collect();
                match name.as_ref().and_then(Value::as_str) {
                    Some(name) => {
                        self.schemas.insert(name.to_owned(), Value::Object(whole));
                        json!({ "$ref": format!("#/components/schemas/{name}") })
                    }
                    None => Value::Object(whole),
                }
            }
            other => other,
        }
    }

    fn schema(&mut self, schema: &Schema) -> Value {
        self.hoist(schema.clone().into_json())
    }

    fn operation(&mut self, route: &Route, doc: &Doc, problem: &Value) -> Value {
        let mut operation = Map::new();
        operation.insert("operationId".into(), operation_id(route).into());
        operation.insert("tags".into(), json!([tag(route.path)]));
        operation.insert("summary".into(), doc.summary.into());
        let (scope, allowance) = allowance(route);
        let description = format!("{} {allowance}", doc.about);
        operation.insert("description".into(), description.trim_start().into());
        operation.insert(
            "security".into(),
            json!([{ "token": [scope] }, { "oauth2": [scope] }]),
        );
        operation.insert("parameters".into(), self.parameters(route, doc));
        if let Some(body) = self.request_body(doc) {
            operation.insert("requestBody".into(), body);
        }
        operation.insert("responses".into(), self.responses(route, doc, problem));
        Value::Object(operation)
    }

    fn parameters(&mut self, route: &Route, doc: &Doc) -> Value {
        let mut all: Vec<Value> = path_names(route.path)
            .into_iter()
            .map(|name| {
                json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
            })
            .collect();
        for parameter in &doc.query {
            all.push(json!({
                "name": parameter.name,
                "in": "query",
                "description": parameter.about,
                "schema": self.schema(&parameter.schema),
            }));
        }
        if doc.paged {
            all.push(json!({
                "name": "limit", "in": "query", "description": "Items at most",
                "schema": { "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT },
            }));
            all.push(json!({
                "name": "after", "in": "query", "description": "Where the list goes on; taken from `next`",
                "schema": { "type": "string" },
            }));
        }
        if doc.takes_if_match(&route.method) {
            all.push(json!({
                "name": "If-Match", "in": "header",
                "description": "The `ETag` the change was made from. Without it, the last change wins.",
                "schema": { "type": "string" },
            }));
        }
        if route.method == Method::POST && route.effect != Effect::None {
            all.push(json!({
                "name": "Idempotency-Key", "in": "header", "required": route.effect == Effect::SendsMail,
                "description": "Chosen by the caller, new for each action: repeated with the same key within 24 hours, \
                    the action happens once and its answer comes again, with `Idempotency-Replayed: true`.",
                "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
            }));
        }
        all.into()
    }

    fn request_body(&mut self, doc: &Doc) -> Option<Value> {
        match &doc.body {
            Body::None => None,
            Body::Json(schema) => Some(json!({
                "required": schema.json().get("required").is_some(),
                "content": { "application/json": { "schema": self.schema(schema) } },
            })),
            Body::Bytes(types) => {
                let content: Map<String, Value> = types
                    .iter()
                    .map(|kind| ((*kind).to_owned(), json!({ "schema": { "type": "string" } })))
                    .collect();
                Some(json!({ "required": true, "content": content }))
            }
        }
    }

    fn responses(&mut self, route: &Route, doc: &Doc, problem: &Value) -> Value {
        let mut all = BTreeMap::new();
        for answer in &doc.answers {
            let mut response = json!({ "description": answer.about });
            let content = match &answer.content {
                Content::Nothing => None,
                Content::Json(schema) => {
                    Some(json!({ "application/json": { "schema": self.schema(schema) } }))
                }
                Content::Bytes(kind) => Some(json!({ *kind: { "schema": { "type": "string" } } })),
            };
            let headers = headers(route, doc, answer.status);
            if let Some(members) = response.as_object_mut() {
                members.extend(content.map(|content| ("content".to_owned(), content)));
                members.extend(headers.map(|headers| ("headers".to_owned(), headers)));
            }
            all.insert(answer.status.to_string(), response);
        }
        for (status, when) in failures(route, doc) {
            let mut response = json!({
                "description": when,
                "content": { "application/problem+json": { "schema": problem } },
            });
            if let (429, Some(members)) = (status, response.as_object_mut()) {
                members.insert(
                    "headers".into(),
                    json!({ "Retry-After": { "description": "Seconds", "schema": { "type": "integer" } } }),
                );
            }
            all.insert(status.to_string(), response);
        }
        json!(all)
    }
}

fn headers(route: &Route, doc: &Doc, status: u16) -> Option<Value> {
    let mut headers = Map::new();
    let mut add = |name: &str, about: &str| {
        let header = json!({ "description": about, "schema": { "type": "string" } });
        headers.insert(name.to_owned(), header);
    };
    if doc.tagged && status != 204 {
        add("ETag", "The revision, for `If-Match`");
    }
    if matches!(status, 201 | 202) {
        add("Location", "The address of what was made");
    }
    if doc.paged {
        add("Link", "`rel=\"next\"`: the next part of the list");
    }
    if route.method == Method::POST && route.effect != Effect::None {
        add("Idempotency-Replayed", "`true` if this answer was given before");
    }
    (!headers.is_empty()).then_some(Value::Object(headers))
}

/// Every refusal a route can answer with: those of its kind, and its own.
fn failures(route: &Route, doc: &Doc) -> BTreeMap<u16, &'static str> {
    let mut all = BTreeMap::from([
        (400, "The request cannot be understood"),
        (401, "No valid token"),
        (403, "The token or its owner may not do this"),
        (429, "Too many requests"),
    ]);
    if route.path.contains('{') {
        all.insert(
            404,
            "There is none with this id, or it is not visible with this token",
        );
    }
    if !matches!(route.method, Method::GET) {
        all.insert(413, "The body is too large");
        all.insert(415, "The body has another content type than it should");
        all.insert(422, "Something in the input is not right; `errors` says what");
    }
    if route.method == Method::POST && route.effect != Effect::None {
        all.insert(
            409,
            "It does not fit what is there, or the same key is at work right now",
        );
    }
    if doc.takes_if_match(&route.method) {
        all.insert(409, "It does not fit what is there");
        all.insert(412, "It was changed meanwhile");
    }
    all.extend(doc.failures.iter().copied());
    all
}

//! A refused request leaves nothing behind: every unsafe route of the API, asked in every wrong way, and the whole
//! database before and after.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode, header};
use sea_orm::ConnectionTrait;
use serde_json::{Map, Value, json};

use super::access_tests::World;
use super::openapi::{Body, Doc};
use super::{Route, routes};
use crate::access::{Scope, Scopes};
use crate::db::{Db, sql};

/// What a request for a token may change: when it was used.
const OF_USE: [&str; 2] = ["last_used_at", "last_used_address"];

/// Every row of every table, as text.
pub(super) async fn dump(db: &Db) -> BTreeMap<String, usize> {
    let on = db.write();
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'search_words_%' ORDER BY name";
    let mut all = BTreeMap::new();
    for table in on.query_all_raw(sql(on, names, [])).await.unwrap() {
        let name: String = table.try_get("", "name").unwrap();
        let text = format!("SELECT name FROM pragma_table_info('{name}')");
        let columns = on.query_all_raw(sql(on, &text, [])).await.unwrap();
        let columns: Vec<String> = columns
            .iter()
            .map(|row| row.try_get::<String>("", "name").unwrap())
            .filter(|column| !OF_USE.contains(&column.as_str()))
            .map(|column| format!("quote(\"{column}\")"))
            .collect();
        let text = format!("SELECT {} AS line FROM \"{name}\"", columns.join(" || '|' || "));
        for row in on.query_all_raw(sql(on, &text, [])).await.unwrap() {
            let line = format!("{name}: {}", row.try_get::<String>("", "line").unwrap());
            *all.entry(line).or_default() += 1;
        }
    }
    all
}

/// Bodies that a route cannot accept, whatever it takes.
fn bad_bodies(doc: &Doc) -> Vec<(&'static str, String)> {
    let mut bodies = vec![
        ("application/json", "{".to_owned()),
        ("application/json", "[]".to_owned()),
        ("application/json", "\"text\"".to_owned()),
        ("application/json", "{\"a\": 1".to_owned()),
        ("text/plain", "hello".to_owned()),
        ("application/x-www-form-urlencoded", "name=x".to_owned()),
    ];
    match &doc.body {
        // Some bytes are a mail whatever they are; those of another type never are.
        Body::Bytes(_) => bodies.retain(|(kind, _)| *kind == "application/x-www-form-urlencoded"),
        Body::None => {}
        Body::Json(schema) => {
            let members = schema.json()["properties"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            // Every member of a wrong kind, one at a time and all together.
            let wrong = |shape: &Value| {
                let takes_objects = shape.to_string().contains("\"object\"");
                if takes_objects {
                    json!([[[7]]])
                } else {
                    json!({ "no": ["such", { "thing": 7 }] })
                }
            };
            // What may be anything, such as a key set, is nothing wrong.
            let typed = members.iter().filter(|(_, shape)| takes_some(shape));
            for (name, shape) in typed {
                bodies.push(("application/json", json!({ name: wrong(shape) }).to_string()));
            }
            let all: Map<String, Value> = members
                .iter()
                .map(|(name, shape)| (name.clone(), wrong(shape)))
                .collect();
            if !all.is_empty() {
                bodies.push(("application/json", Value::Object(all).to_string()));
            }
            // A required member that is missing.
            if schema.json()["required"]
                .as_array()
                .is_some_and(|names| !names.is_empty())
            {
                bodies.push(("application/json", "{}".to_owned()));
            }
        }
    }
    bodies
}

/// Whether a shape is the shape of some values only.
fn takes_some(shape: &Value) -> bool {
    match shape["anyOf"].as_array() {
        Some(shapes) => shapes.iter().all(takes_some),
        None => shape["type"] != Value::Null || shape["enum"].is_array(),
    }
}

/// The smallest body that a route takes: what is required, each the first thing that has its shape.
fn smallest(doc: &Doc) -> Value {
    let Body::Json(schema) = &doc.body else {
        return json!({});
    };
    let schema = schema.json();
    let required = schema["required"].as_array().into_iter().flatten();
    let of = |name: &str| {
        let shape = &schema["properties"][name];
        match shape["type"].as_str() {
            _ if shape["enum"].is_array() => shape["enum"][0].clone(),
            Some("array") => json!([]),
            Some("object") => json!({}),
            Some("boolean") => json!(true),
            Some("integer") => json!(1),
            _ => json!("x"),
        }
    };
    let members = required.filter_map(|name| name.as_str().map(|name| (name.to_owned(), of(name))));
    Value::Object(members.collect())
}

fn method_of(route: &Route) -> Method {
    Method::from_bytes(route.method.as_str().as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_leaves_nothing_behind() {
    let world = World::new().await;
    let db = world.site.ctx().db.clone();
    let all = routes();
    let unsafe_routes: Vec<&Route> = all
        .iter()
        .filter(|route| route.guard.is_rest() && route.method != actix_web::http::Method::GET)
        .collect();
    let admin = world
        .token(0, Scopes::from_iter(Scope::ALL.iter().copied()), false)
        .await;
    let stranger = world
        .token(4, Scopes::from_iter(Scope::ALL.iter().copied()), false)
        .await;
    let reader = world
        .token(0, Scopes::from_iter([Scope::ProjectsRead]), false)
        .await;
    let (mut refusals, mut old_revisions) = (0, 0);
    for route in unsafe_routes {
        let doc = route.description().unwrap();
        let path = world.filled(route, 0).await;
        let name = format!("{} {}", route.method, route.path);
        let before = dump(&db).await;
        let ask = |token: &str, method: Method| {
            let key = format!("key-{}", world.next());
            world
                .site
                .ask(method, &path)
                .bearer_auth(token)
                .header("idempotency-key", key)
        };
        let mut wrong = vec![
            ("no token", world.site.ask(method_of(route), &path), vec![401]),
            ("not a token", ask("mg_pat_x", method_of(route)), vec![401]),
            (
                "another method",
                ask(&admin, Method::from_bytes(b"MOVE").unwrap()),
                vec![405],
            ),
        ];
        if path.contains("HELP") || path != route.path {
            wrong.push(("a stranger", ask(&stranger, method_of(route)), vec![403, 404]));
        }
        if !Scopes::from_iter([Scope::ProjectsRead]).allow(scope_of(route)) {
            wrong.push(("another scope", ask(&reader, method_of(route)), vec![403]));
        }
        if doc.takes_if_match(&route.method) {
            let request = ask(&admin, method_of(route)).header(header::IF_MATCH, "\"99999\"");
            wrong.push(("an old revision", request.json(&smallest(&doc)), vec![412]));
            old_revisions += 1;
        }
        for (kind, body) in bad_bodies(&doc) {
            let request = ask(&admin, method_of(route)).header(header::CONTENT_TYPE, kind);
            wrong.push(("a bad body", request.body(body), vec![400, 404, 409, 415, 422]));
        }
        for (what, request, expected) in wrong {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert!(
                expected.contains(&status.as_u16()),
                "{name}, {what}: {status} {text}"
            );
            if status != StatusCode::METHOD_NOT_ALLOWED {
                let problem: Value = serde_json::from_str(&text).unwrap();
                assert!(problem["type"].is_string(), "{name}, {what}: {text}");
            }
            refusals += 1;
        }
        let after = dump(&db).await;
        // That somebody was refused is in the audit log, and nowhere else.
        let is_note = |line: &str| line.starts_with("audit_events: ") && line.contains("'request.refused'");
        let differs = |line: &&String| before.get(*line) != after.get(*line) && !is_note(line);
        let new: Vec<&String> = after.keys().filter(differs).collect();
        let gone: Vec<&String> = before.keys().filter(differs).collect();
        assert!(
            new.is_empty() && gone.is_empty(),
            "{name} left behind {new:#?}, and took away {gone:#?}"
        );
    }
    assert!(refusals > 500, "only {refusals} requests were refused");
    assert!(
        old_revisions > 40,
        "only {old_revisions} routes know an old revision"
    );
}

fn scope_of(route: &Route) -> Scope {
    use crate::access::Need;
    match route.guard.need() {
        Some(Need::Scope(scope) | Need::Site(scope) | Need::Own(scope)) => scope,
        other => panic!("{} {} needs {other:?}, no scope", route.method, route.path),
    }
}

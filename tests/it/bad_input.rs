//! Bad input: each mistake has its own text with a remedy, and nothing is changed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::database::{Kind, TestDatabase};
use crate::support::process::{Mailgrant, Rest, Settings, http};
use crate::world::{World, integration};

/// Sends a body that must be refused, and returns the error of one field.
async fn refused(rest: &Rest, path: &str, body: &Value, field: &str) -> (String, String) {
    // What people set; state and times move by themselves.
    let settings = async || -> Vec<(Value, Value)> {
        rest.all(path)
            .await
            .iter()
            .map(|item| (item["id"].clone(), item["updatedAt"].clone()))
            .collect()
    };
    let before = settings().await;
    let reply = rest.send(Method::POST, path, Some(body)).await;
    assert!(
        (400..500).contains(&reply.status),
        "{path} took {body}: {} {}",
        reply.status,
        reply.json
    );
    assert_eq!(reply.content_type, "application/problem+json");
    assert_eq!(settings().await, before, "nothing was changed");
    let errors = reply.json["errors"].as_array().cloned().unwrap_or_default();
    let pointer = format!("/{field}");
    let found = errors.iter().find(|error| error["pointer"] == pointer.as_str());
    let found = found.unwrap_or_else(|| panic!("no error for {field} in {}", reply.json));
    (
        found["code"].as_str().unwrap().to_owned(),
        found["detail"].as_str().unwrap().to_owned(),
    )
}

fn with(body: &Value, field: &str, value: Value) -> Value {
    let mut changed = body.clone();
    changed[field] = value;
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_of_an_integration_has_its_own_text() {
    let world = World::start(TestDatabase::create(Kind::Sqlite).await).await;
    let path = "/api/v1/integrations";
    let mut good = integration(&world.provider, "authorization_code");
    good["name"] = json!("Another");
    let mut texts = std::collections::BTreeSet::new();
    for (field, value) in [
        ("name", json!("Lab provider")),
        ("name", json!("")),
        ("clientId", json!("")),
        ("provider", json!("yahoo")),
        ("flow", json!("password")),
        ("tokenEndpointAuthMethod", json!("none")),
        ("tokenEndpoint", json!("http://example.com/token")),
        ("tokenEndpoint", json!("https://nowhere.invalid/token")),
        ("tokenEndpoint", json!("https://10.1.2.3/token")),
        ("tokenEndpoint", json!("not a url")),
        ("authorizationEndpoint", json!("http://example.com/auth")),
    ] {
        let (_, text) = refused(&world.rest, path, &with(&good, field, value.clone()), field).await;
        assert!(text.len() > 15, "{field} {value}: {text}");
        assert!(
            texts.insert(format!("{field} {text}")),
            "two mistakes share a text: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_to_loopback_needs_the_allow_list() {
    let mailgrant = Mailgrant::start(Settings::new().set("MAILGRANT_ALLOW_NETWORKS", "")).await;
    let rest = mailgrant.rest();
    let body = json!({
        "provider": "custom", "name": "Loopback", "clientId": "a", "clientSecret": "b", "scopes": ["mail"],
        "flow": "client_credentials", "authorizationEndpoint": "http://127.0.0.1:1/auth",
        "tokenEndpoint": "http://127.0.0.1:1/token",
    });
    let (_, text) = refused(&rest, "/api/v1/integrations", &body, "tokenEndpoint").await;
    assert!(text.contains("MAILGRANT_ALLOW_NETWORKS"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_of_a_mailbox_has_its_own_text() {
    let world = World::start(TestDatabase::create(Kind::Sqlite).await).await;
    let path = "/api/v1/mailboxes";
    world.add_mailbox(json!({ "name": "Taken" })).await;
    let good = world.mailbox();
    for (field, value, word) in [
        ("name", json!("Taken"), "exists"),
        ("name", json!(""), "name"),
        ("projectId", json!("prj_nothing"), "project"),
        ("grantId", json!("grt_nothing"), "grant"),
        ("protocol", json!("pop3"), "POP3"),
        ("host", json!(""), "server"),
        ("host", json!("nowhere.invalid"), "exist"),
        ("host", json!("10.1.2.3"), "MAILGRANT_ALLOW_NETWORKS"),
        ("port", json!(0), "at least 1"),
        ("tls", json!("maybe"), "starttls"),
        ("loginName", json!(""), "address"),
        ("folder", json!("IN\r\nBOX"), "folder"),
        ("startFrom", json!("yesterday"), "2026"),
        ("afterIngest", json!("delete"), "mark_seen"),
        ("schedule", json!("*/5 * * * *"), "six fields"),
        ("schedule", json!("0 0 0 31 2 *"), "never"),
    ] {
        let (_, text) = refused(&world.rest, path, &with(&good, field, value.clone()), field).await;
        assert!(text.contains(word), "{field} {value}: {text}");
    }
    let (_, text) = refused(
        &world.rest,
        path,
        &with(&good, "afterIngest", json!("move")),
        "moveTo",
    )
    .await;
    assert!(text.contains("folder"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_of_a_project_has_its_own_text() {
    let world = World::start(TestDatabase::create(Kind::Sqlite).await).await;
    let path = "/api/v1/projects";
    for (field, body) in [
        ("key", json!({ "key": "HELP", "name": "Again" })),
        ("key", json!({ "key": "1st", "name": "First" })),
        ("name", json!({ "key": "NEW", "name": " " })),
    ] {
        refused(&world.rest, path, &body, field).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_broken_requests_get_problems() {
    let world = World::start(TestDatabase::create(Kind::Sqlite).await).await;
    let base = &world.mailgrant.base_url;
    for path in ["/api/v1/tickets", "/api/v1/nothing", "/api/v1/integrations"] {
        let answer = http()
            .post(format!("{base}{path}"))
            .body("{")
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            401,
            "who is not known learns nothing else: {path}"
        );
        let forged = http()
            .get(format!("{base}{path}"))
            .bearer_auth("mg_pat_forged")
            .send()
            .await
            .unwrap();
        assert_eq!(forged.status(), 401);
    }
    let missing = world
        .rest
        .send(Method::GET, "/api/v1/tickets/HELP-99", None)
        .await;
    assert_eq!(
        (missing.status, missing.content_type.as_str()),
        (404, "application/problem+json")
    );
    let wrong = world.rest.send(Method::DELETE, "/api/v1/tickets", None).await;
    assert_eq!(wrong.status, 405);
    let limit = world
        .rest
        .send(Method::GET, "/api/v1/tickets?limit=201", None)
        .await;
    assert_eq!(limit.status, 400);
    let cursor = world
        .rest
        .send(Method::GET, "/api/v1/tickets?after=%00", None)
        .await;
    assert_eq!(cursor.status, 400);
}

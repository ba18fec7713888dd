//! Real events of the pipeline, held to their published schemas by npm's `ajv`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::support::database::{Kind, TestDatabase};
use crate::support::mails::simple;
use crate::support::oidc_provider::node;
use crate::support::wait::{SOON, eventually};
use crate::world::{ACCOUNT, World, text};

/// What ajv finds wrong.
fn wrong(schemas: &Value, events: &[Value]) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services");
    let mut child = Command::new(node())
        .arg(folder.join("validate-events.mjs"))
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = json!({ "schemas": schemas, "events": events });
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    drop(stdin);
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "validate-events.mjs failed");
    serde_json::from_slice(&out.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_the_pipeline_and_samples_of_all_types_fit_their_published_schemas() {
    let world = World::start(TestDatabase::create(Kind::Sqlite).await).await;
    let mail = simple("one@example.test", "ada@example.test", "Printer", "It burns.");
    world.dovecot.deliver(ACCOUNT, &mail).await;
    let mailbox = world.add_mailbox(json!({})).await;
    let ticket = text(&world.ticketed(1).await[0]["mailgrant"], "ticketId");
    let rest = &world.rest;
    let change = |path: String, body: Value| async move {
        rest.send(reqwest::Method::PATCH, &path, Some(&body))
            .await
            .ok(&path);
    };
    change(
        format!("/api/v1/tickets/{ticket}"),
        json!({ "state": "pending", "labels": ["fire"] }),
    )
    .await;
    rest.post(
        &format!("/api/v1/tickets/{ticket}/notes"),
        &json!({ "text": "Really." }),
    )
    .await;
    rest.post(&format!("/api/v1/mailboxes/{mailbox}/pause"), &json!({}))
        .await;
    let integration = text(&world.integration, "id");
    change(
        format!("/api/v1/integrations/{integration}"),
        json!({ "name": "Other" }),
    )
    .await;
    rest.post(&format!("/api/v1/grants/{}/revoke", world.grant_id), &json!({}))
        .await;
    let types = rest.get("/api/v1/event-types").await;
    let mut schemas = Map::new();
    for kind in types["items"].as_array().unwrap() {
        schemas.insert(text(kind, "type"), kind["schema"].clone());
        rest.post("/api/v1/events", &json!({ "type": kind["type"] }))
            .await;
    }
    let schemas = Value::Object(schemas);
    let events = eventually("everything is in the log", SOON, async || {
        let events = rest.all("/api/v1/events?limit=200").await;
        (events.len() > schemas.as_object().unwrap().len() + 8).then_some(events)
    })
    .await;
    let known: Vec<Value> = events
        .iter()
        .filter(|event| schemas.get(text(event, "type")).is_some())
        .cloned()
        .collect();
    let real: BTreeSet<String> = known
        .iter()
        .filter(|event| event["data"]["sample"] != json!(true))
        .map(|event| text(event, "type"))
        .collect();
    for kind in [
        "integration.created",
        "integration.updated",
        "grant.created",
        "grant.revoked",
        "mailbox.connected",
        "mailbox.paused",
        "message.received",
        "ticket.created",
        "ticket.updated",
        "token.created",
    ] {
        assert!(real.contains(kind), "{kind} is none of {real:?}");
    }
    assert_eq!(wrong(&schemas, &known), json!([]), "of {} events", known.len());
    // The check can fail.
    let mut broken = known[0].clone();
    broken["sequence"] = json!("one");
    broken["data"] = json!([]);
    assert_eq!(wrong(&schemas, &[broken]).as_array().map(Vec::len), Some(1));
    // What is committed for people to read is what is served.
    let committed: Value = serde_json::from_str(include_str!("../../docs/events.json")).unwrap();
    assert_eq!(committed, schemas);
}

//! Changes from an old state, of everything that has no revision to count; and queues, whose readers do not remove them.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::tests::{Site, site};
use crate::access::{Role, Scopes};
use crate::account::{self, NewToken};
use crate::oauth2_server::{self, ClientFields, GrantType, NewClient};
use crate::project::{self, NewProject};

async fn ask(
    site: &Site,
    token: &str,
    method: Method,
    path: &str,
    tag: Option<&str>,
    body: Option<Value>,
) -> (StatusCode, String, Value) {
    let mut request = site.ask(method, &format!("/api/v1{path}")).bearer_auth(token);
    if let Some(tag) = tag {
        request = request.header("if-match", tag);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let tag = answer.headers().get("etag");
    let tag = tag
        .map(|tag| tag.to_str().unwrap().to_owned())
        .unwrap_or_default();
    let text = answer.text().await.unwrap();
    (status, tag, serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_changed_meanwhile_is_changed_or_removed() {
    let site = site().await;
    let token = site.token().await;
    let ctx = site.ctx().clone();
    let new = NewProject {
        key: "HELP".into(),
        name: "Help".into(),
        ..NewProject::default()
    };
    let help = project::create(&ctx, new).await.unwrap().id;
    let bo = account::invite(&ctx.db, &ctx.clock, "bo@example.org", "Bo", false, "cli")
        .await
        .unwrap();
    project::set_member(&ctx.db, &ctx.clock, &help, &bo.id, Role::Viewer, "cli")
        .await
        .unwrap();
    account::start(&ctx.db, &ctx.clock, &bo.id, None).await.unwrap();
    let session = account::sessions_of(&ctx.db, &ctx.clock, Some(&bo.id))
        .await
        .unwrap()
        .remove(0)
        .id;
    let made = |path: &'static str, body: Value| ask(&site, &token, Method::POST, path, None, Some(body));
    let (_, of_token, other) = made("/tokens", json!({ "name": "x", "scopes": ["tickets:read"] })).await;
    let (_, of_initial, initial) = made(
        "/initial-access-tokens",
        json!({ "name": "x", "scopes": ["tickets:read"] }),
    )
    .await;
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let member = format!("/projects/{help}/members/{}", bo.id);
    let changed = ask(
        &site,
        &token,
        Method::PATCH,
        &member,
        Some("\"old\""),
        Some(json!({ "role": "agent" })),
    )
    .await;
    assert_eq!(changed.0, StatusCode::PRECONDITION_FAILED);
    let (_, tag, shown) = ask(&site, &token, Method::GET, &member, None, None).await;
    assert_eq!(shown["role"], "viewer");
    let (status, new, shown) = ask(
        &site,
        &token,
        Method::PATCH,
        &member,
        Some(&tag),
        Some(json!({ "role": "agent" })),
    )
    .await;
    assert_eq!((status, &shown["role"]), (StatusCode::OK, &json!("agent")));
    assert_ne!(new, tag);
    let again = ask(
        &site,
        &token,
        Method::PATCH,
        &member,
        Some(&tag),
        Some(json!({ "role": "viewer" })),
    )
    .await;
    assert_eq!(again.0, StatusCode::PRECONDITION_FAILED);
    for (path, known) in [
        (format!("/tokens/{}", id(&other)), of_token),
        (format!("/initial-access-tokens/{}", id(&initial)), of_initial),
        (format!("/sessions/{session}"), String::new()),
        (member, new),
        (format!("/users/{}", bo.id), String::new()),
    ] {
        let (status, tag, shown) = ask(&site, &token, Method::GET, &path, None, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {shown}");
        assert!(
            !tag.is_empty() && (known.is_empty() || tag == known),
            "{path}: {tag} {known}"
        );
        let refused = ask(&site, &token, Method::DELETE, &path, Some("\"old\""), None).await;
        assert_eq!(refused.0, StatusCode::PRECONDITION_FAILED, "{path}");
        assert_eq!(
            ask(&site, &token, Method::GET, &path, None, None).await.2,
            shown,
            "{path}"
        );
        let done = ask(&site, &token, Method::DELETE, &path, Some(&tag), None).await;
        assert_eq!(done.0, StatusCode::NO_CONTENT, "{path}: {}", done.2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_events_takes_from_a_queue_and_does_not_remove_it() {
    let site = site().await;
    let all = site.token().await;
    let ctx = site.ctx().clone();
    let new = NewToken {
        name: "reader",
        scopes: Scopes::parse("events:read").unwrap(),
        projects: None::<BTreeSet<String>>,
        expires_at: None,
    };
    let (_, reader) = account::issue_token(&ctx.db, &ctx.clock, &new, "cli", "cli")
        .await
        .unwrap();
    let reader = reader.expose_secret();
    let queue = Some(json!({ "name": "desk" }));
    let refused = ask(&site, reader, Method::POST, "/queues", None, queue.clone()).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    let made = ask(&site, &all, Method::POST, "/queues", None, queue).await;
    assert_eq!(made.0, StatusCode::CREATED);
    for (method, body) in [
        (Method::DELETE, None),
        (Method::PATCH, Some(json!({ "types": [] }))),
    ] {
        let refused = ask(&site, reader, method.clone(), "/queues/desk", None, body).await;
        assert_eq!(refused.0, StatusCode::FORBIDDEN, "{method}");
    }
    let lent = ask(
        &site,
        reader,
        Method::POST,
        "/queues/desk/lease",
        None,
        Some(json!({})),
    )
    .await;
    assert_eq!(lent.0, StatusCode::OK, "{}", lent.2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_app_has_so_many_streams_at_once_and_no_more() {
    let site = site().await;
    let (token, other) = (site.token().await, site.token().await);
    let follow = |token: &str| site.get("/api/v1/events/stream").bearer_auth(token).send();
    let mut open = Vec::new();
    for _ in 0..crate::web::limit::MOST_STREAMS {
        let answer = follow(&token).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        open.push(answer);
    }
    let refused = follow(&token).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "too_many_streams");
    assert_eq!(
        follow(&other).await.unwrap().status(),
        StatusCode::OK,
        "another app is not in the way"
    );
    // One that hangs up makes room: when the next word cannot be sent, or at once.
    drop(open.pop());
    let ctx = site.ctx();
    let mut status = StatusCode::TOO_MANY_REQUESTS;
    for n in 0..2_000 {
        let event = crate::event::NewEvent {
            kind: "test.ping",
            project_id: "",
            subject_id: "x",
            actor: "cli",
            data: json!({ "n": n }),
        };
        crate::event::append(ctx.db.write(), &ctx.clock, event)
            .await
            .unwrap();
        status = follow(&token).await.unwrap().status();
        if status == StatusCode::OK {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_between_the_look_and_the_removal_is_not_removed() {
    let site = site().await;
    let ctx = site.ctx().clone();
    let bo = account::invite(&ctx.db, &ctx.clock, "bo@example.org", "Bo", false, "cli")
        .await
        .unwrap();
    let tx = ctx.db.begin().await.unwrap();
    let removed = account::remove(&tx, &ctx, &bo.id, Some(bo.revision + 1), "cli").await;
    assert!(matches!(removed, Err(account::AccountError::Conflict)));
    tx.rollback().await.unwrap();
    let new = NewClient {
        fields: ClientFields {
            name: "App".into(),
            grant_types: vec![GrantType::ClientCredentials],
            scopes: vec!["tickets:read".into()],
            ..ClientFields::default()
        },
        ..NewClient::default()
    };
    let client = oauth2_server::create(&ctx, "cli", new).await.unwrap().client;
    let old = Some(client.revision + 1);
    let removed = oauth2_server::delete(&ctx, "cli", &client.id, old).await;
    assert!(matches!(removed, Err(oauth2_server::ClientError::Conflict)));
    assert!(oauth2_server::get(&ctx, &client.id).await.is_ok());
}

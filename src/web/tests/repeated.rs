//! A request whose answer was lost in a crash, sent again with its key: what went out by mail goes out once.

use reqwest::Method;
use sea_orm::ConnectionTrait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::tests::site_with;
use crate::access::{Scope, Scopes};
use crate::account::{self, NewToken};
use crate::config::SiteSmtp;
use crate::project::{self, NewProject};

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_whose_answer_was_lost_in_a_crash_is_not_sent_again() {
    let site = site_with(|ctx| {
        let mut config = (*ctx.config).clone();
        config.smtp = Some(SiteSmtp {
            host: "smtp.test".into(),
            port: 465,
            tls: "implicit".into(),
            login_name: "mg@a.test".into(),
            password: SecretString::from("x"),
            from: "mg@a.test".into(),
        });
        ctx.config = std::sync::Arc::new(config);
    })
    .await;
    let ctx = site.ctx();
    let admin = account::create(&ctx.db, &ctx.clock, &account::tests::ada(), "cli")
        .await
        .unwrap();
    let new = NewToken {
        scopes: Scopes::from_iter(Scope::ALL.iter().copied()),
        ..NewToken::unlimited("app")
    };
    let (_, token) = account::issue_token(&ctx.db, &ctx.clock, &new, &admin.id, "cli")
        .await
        .unwrap();
    let bo = account::invite(&ctx.db, &ctx.clock, "bo@example.org", "Bo", false, "cli")
        .await
        .unwrap();
    let new = NewProject {
        key: "HELP".into(),
        name: "Help".into(),
        ..NewProject::default()
    };
    let help = project::create(ctx, new).await.unwrap().id;
    let mails = async || {
        let asked = site
            .get("/api/v1/outgoing-mails")
            .bearer_auth(token.expose_secret());
        let list: Value = asked.send().await.unwrap().json().await.unwrap();
        list["items"].as_array().unwrap().len()
    };
    let mut before = mails().await;
    for (path, body) in [
        ("/site-mail/tests".to_owned(), json!({ "to": "ada@example.org" })),
        (
            format!("/projects/{help}/templates/signature/tests"),
            json!({ "text": "Help Desk" }),
        ),
        (format!("/users/{}/invitations", bo.id), json!({})),
        (format!("/users/{}/password-links", bo.id), json!({})),
    ] {
        for _ in 0..2 {
            let asked = site
                .ask(Method::POST, &format!("/api/v1{path}"))
                .bearer_auth(token.expose_secret())
                .header("idempotency-key", format!("key of {path}").replace(' ', "-"))
                .json(&body);
            let answer = asked.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_success(), "{path}: {status} {text}");
            // As a process leaves it that dies before it could keep the answer.
            let lost = "UPDATE idempotency_keys SET answer_sealed = '', lease_until = 0";
            ctx.db.write().execute_unprepared(lost).await.unwrap();
        }
        before += 1;
        assert_eq!(mails().await, before, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_and_a_note_whose_answer_was_lost_in_a_crash_are_there_once() {
    let site = site_with(|_| ()).await;
    let ctx = site.ctx();
    let token = site.token().await;
    let new = NewProject {
        key: "HELP".into(),
        name: "Help".into(),
        ..NewProject::default()
    };
    let help = project::create(ctx, new).await.unwrap().id;
    let twice = async |path: &str, body: Value| {
        let mut ids = Vec::new();
        for _ in 0..2 {
            let asked = site
                .ask(Method::POST, &format!("/api/v1{path}"))
                .bearer_auth(&token)
                .header("idempotency-key", "key")
                .json(&body);
            let answer = asked.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_success(), "{path}: {status} {text}");
            let made: Value = serde_json::from_str(&text).unwrap();
            ids.push(made["id"].as_str().unwrap().to_owned());
            let lost = "UPDATE idempotency_keys SET answer_sealed = '', lease_until = 0";
            ctx.db.write().execute_unprepared(lost).await.unwrap();
        }
        assert_eq!(ids[0], ids[1], "{path}");
    };
    let ticket = json!({ "projectId": help, "subject": "Printer", "note": "By telephone" });
    twice("/tickets", ticket).await;
    twice("/tickets/HELP-1/notes", json!({ "text": "Paper is out" })).await;
    let shown = site.get("/api/v1/tickets/HELP-1").bearer_auth(&token);
    let shown: Value = shown.send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["entries"].as_array().unwrap().len(), 2, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_before_the_answer_was_lost_is_named_and_not_made_again() {
    let site = site_with(|_| ()).await;
    let ctx = site.ctx();
    let token = site.token().await;
    let new = NewProject {
        key: "HELP".into(),
        name: "Help".into(),
        ..NewProject::default()
    };
    let help = project::create(ctx, new).await.unwrap().id;
    let ask = async |path: &str, body: &Value| {
        let asked = site
            .ask(Method::POST, &format!("/api/v1{path}"))
            .bearer_auth(&token)
            .header("idempotency-key", "key")
            .json(body);
        let answer = asked.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        let lost = "UPDATE idempotency_keys SET answer_sealed = '', lease_until = 0";
        ctx.db.write().execute_unprepared(lost).await.unwrap();
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    for (path, body) in [
        ("/tokens", json!({ "name": "x", "scopes": ["tickets:read"] })),
        (
            "/webhooks",
            json!({ "url": "https://93.184.216.34/hook", "payload": "thin" }),
        ),
        (
            "/clients",
            json!({ "name": "App", "scopes": ["tickets:read"], "grantTypes": ["client_credentials"] }),
        ),
        (
            "/rules",
            json!({ "projectId": help, "name": "R", "actions": { "labels": ["x"] } }),
        ),
        ("/queues", json!({ "name": "desk" })),
    ] {
        let (status, made) = ask(path, &body).await;
        assert_eq!(status, 201, "{path}: {made}");
        let many = async || {
            let listed = site.get(&format!("/api/v1{path}?limit=200")).bearer_auth(&token);
            let list: Value = listed.send().await.unwrap().json().await.unwrap();
            list["items"].as_array().unwrap().len()
        };
        let before = many().await;
        // However often it is repeated.
        for _ in 0..2 {
            let (status, told) = ask(path, &body).await;
            assert_eq!(
                (status.as_u16(), &told["code"]),
                (409, &json!("idempotency_answer_lost")),
                "{told}"
            );
            assert_eq!(told["madeId"], made["id"], "{told}");
        }
        assert_eq!(many().await, before, "{path}");
    }
    // One that made nothing before it was cut off is done by whoever repeats it, and its own work is known again.
    let cut = "UPDATE idempotency_keys SET request_id = 'req_none'";
    ctx.db.write().execute_unprepared(cut).await.unwrap();
    let body = json!({ "name": "x", "scopes": ["tickets:read"] });
    let (status, made) = ask("/tokens", &body).await;
    assert_eq!(status, 201, "{made}");
    let (_, told) = ask("/tokens", &body).await;
    assert_eq!(told["madeId"], made["id"], "{told}");
}

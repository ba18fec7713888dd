//! Changes from one state, sent at once: whoever comes second finds another state than they looked at.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::access_tests::World;
use crate::access::{Scope, Scopes};

/// How many ask at once.
const AT_ONCE: usize = 6;

/// What is changed: the route by whose parameters a thing is made, and what is done to it.
fn changes() -> Vec<(&'static str, Method, &'static str, Value)> {
    let none = || json!({});
    vec![
        (
            "/api/v1/projects/{id}/members/{userId}",
            Method::PATCH,
            "",
            json!({ "role": "agent" }),
        ),
        (
            "/api/v1/projects/{id}/members/{userId}",
            Method::DELETE,
            "",
            none(),
        ),
        (
            "/api/v1/users/{id}",
            Method::PATCH,
            "",
            json!({ "isDisabled": true }),
        ),
        ("/api/v1/sessions/{id}", Method::DELETE, "", none()),
        ("/api/v1/connected-apps/{id}", Method::DELETE, "", none()),
        ("/api/v1/clients/{id}", Method::POST, "/secrets", none()),
        ("/api/v1/clients/{id}", Method::POST, "/revoke", none()),
        ("/api/v1/mailboxes/{id}", Method::POST, "/pause", none()),
        ("/api/v1/mailboxes/{id}", Method::POST, "/resume", none()),
        ("/api/v1/mailboxes/{id}", Method::DELETE, "", none()),
        ("/api/v1/integrations/{id}", Method::DELETE, "", none()),
        (
            "/api/v1/integrations/{id}/projects",
            Method::PUT,
            "",
            json!({ "allProjects": true }),
        ),
        (
            "/api/v1/queues/{id}",
            Method::POST,
            "/seek",
            json!({ "to": "oldest" }),
        ),
        ("/api/v1/outgoing-mails/{id}", Method::POST, "/retry", none()),
        ("/api/v1/outgoing-mails/{id}", Method::POST, "/cancel", none()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_who_change_the_same_state_at_once_one_succeeds() {
    let world = World::new().await;
    let everything = Scopes::from_iter(Scope::ALL.iter().copied());
    let token = world.token(0, everything, false).await;
    let all = crate::web::routes();
    for (shown, method, action, body) in changes() {
        let what = format!("{method} {shown}{action}");
        let route = all
            .iter()
            .find(|route| route.path == shown && route.method == "GET")
            .unwrap_or_else(|| panic!("{what}: there is no such route"));
        let path = world.filled(route, 0).await;
        let looked = world.site.get(&path).bearer_auth(&token).send().await.unwrap();
        assert_eq!(looked.status(), StatusCode::OK, "{what}");
        let tag = looked.headers()["etag"].to_str().unwrap().to_owned();
        let asked = (0..AT_ONCE).map(|n| {
            let mut request = world
                .site
                .ask(method.clone(), &format!("{path}{action}"))
                .bearer_auth(&token)
                .header("if-match", &tag)
                .header("idempotency-key", format!("{what}{n}").replace(' ', ""));
            if method != Method::DELETE {
                request = request.json(&body);
            }
            async move { request.send().await.unwrap().status() }
        });
        let told: Vec<StatusCode> = join_all(asked).await;
        let of = |wanted: fn(&StatusCode) -> bool| told.iter().filter(|status| wanted(status)).count();
        assert_eq!(of(|status| status.is_success()), 1, "{what}: {told:?}");
        // What is gone is not there for those who come later.
        let late = of(|status| [StatusCode::PRECONDITION_FAILED, StatusCode::NOT_FOUND].contains(status));
        assert_eq!(late, AT_ONCE - 1, "{what}: {told:?}");
    }
}

/// Changes that say nothing of a state, and how each of several may end: the last one wins, and what is gone is not found.
fn unconditional() -> Vec<(&'static str, Method, &'static str, Value)> {
    let named = || json!({ "name": "Other" });
    let mut all = vec![
        ("/api/v1/projects/{id}", Method::PATCH, "", named()),
        (
            "/api/v1/integrations/{id}",
            Method::PATCH,
            "",
            json!({ "description": "Other" }),
        ),
        ("/api/v1/mailboxes/{id}", Method::PATCH, "", named()),
        ("/api/v1/clients/{id}", Method::PATCH, "", named()),
        ("/api/v1/clients/{id}", Method::DELETE, "", json!({})),
        ("/api/v1/rules/{id}", Method::PATCH, "", named()),
        ("/api/v1/rules/{id}", Method::DELETE, "", json!({})),
        (
            "/api/v1/queues/{id}",
            Method::PATCH,
            "",
            json!({ "description": "Other" }),
        ),
        ("/api/v1/queues/{id}", Method::DELETE, "", json!({})),
        (
            "/api/v1/webhooks/{id}",
            Method::PATCH,
            "",
            json!({ "description": "Other" }),
        ),
        ("/api/v1/webhooks/{id}", Method::POST, "/secrets", json!({})),
        ("/api/v1/webhooks/{id}", Method::POST, "/disable", json!({})),
        ("/api/v1/webhooks/{id}", Method::DELETE, "", json!({})),
    ];
    all.extend(changes().into_iter().filter(|(path, ..)| {
        let kinds = ["/mailboxes/", "/integrations/", "/clients/", "/queues/"];
        kinds.iter().any(|kind| path.contains(kind))
    }));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_who_name_no_state_none_is_refused_for_another() {
    let world = World::new().await;
    let everything = Scopes::from_iter(Scope::ALL.iter().copied());
    let token = world.token(0, everything, false).await;
    let all = crate::web::routes();
    for (shown, method, action, body) in unconditional() {
        let what = format!("{method} {shown}{action}");
        let route = all
            .iter()
            .find(|route| route.path == shown && route.method == "GET")
            .unwrap_or_else(|| panic!("{what}: there is no such route"));
        let path = world.filled(route, 0).await;
        let asked = (0..AT_ONCE).map(|_| {
            let mut request = world
                .site
                .ask(method.clone(), &format!("{path}{action}"))
                .bearer_auth(&token);
            if method != Method::DELETE {
                request = request.json(&body);
            }
            async move { request.send().await.unwrap().status() }
        });
        let told: Vec<StatusCode> = join_all(asked).await;
        let done = told.iter().filter(|status| status.is_success()).count();
        let wanted = if method == Method::DELETE { 1 } else { AT_ONCE };
        assert_eq!(done, wanted, "{what}: {told:?}");
        let rest = told.iter().filter(|status| !status.is_success());
        assert!(
            rest.clone().all(|status| *status == StatusCode::NOT_FOUND),
            "{what}: {told:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_rules_that_somebody_changed_meanwhile_stays() {
    let world = World::new().await;
    let everything = Scopes::from_iter(Scope::ALL.iter().copied());
    let token = world.token(0, everything, false).await;
    let mut rules = Vec::new();
    for name in ["One", "Two"] {
        let rule = json!({ "projectId": world.help, "name": name, "actions": { "labels": ["x"] } });
        let made = world
            .site
            .ask(Method::POST, "/api/v1/rules")
            .bearer_auth(&token)
            .json(&rule);
        let made = made.send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
        let made: Value = serde_json::from_str(&made.text().await.unwrap()).unwrap();
        rules.push(made["id"].clone());
    }
    let list = format!("/api/v1/rules?projectId={}", world.help);
    let looked = world.site.get(&list).bearer_auth(&token).send().await.unwrap();
    let tag = looked.headers()["etag"].to_str().unwrap().to_owned();
    let turn = async |tag: &str, order: [&Value; 2]| {
        let body = json!({ "projectId": world.help, "order": order });
        let request = world
            .site
            .ask(Method::POST, "/api/v1/rules/order")
            .bearer_auth(&token);
        let done = request.header("if-match", tag).json(&body).send().await.unwrap();
        let tag = done
            .headers()
            .get("etag")
            .map(|tag| tag.to_str().unwrap().to_owned());
        (done.status(), tag.unwrap_or_default())
    };
    let (status, turned) = turn(&tag, [&rules[1], &rules[0]]).await;
    assert_eq!(status, StatusCode::OK);
    let looked = world.site.get(&list).bearer_auth(&token).send().await.unwrap();
    assert_eq!(looked.headers()["etag"].to_str().unwrap(), turned);
    let (status, _) = turn(&tag, [&rules[0], &rules[1]]).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(turn(&turned, [&rules[0], &rules[1]]).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_change_of_the_site_mail_both_halves_are_made_or_none() {
    let world = World::new().await;
    let everything = Scopes::from_iter(Scope::ALL.iter().copied());
    let token = world.token(0, everything, false).await;
    world.mailbox(7).await;
    world
        .run("UPDATE mailboxes SET smtp_host = 'smtp.test', smtp_port = 465, smtp_tls = 'implicit', smtp_from = 'a@b.test'")
        .await;
    world
        .run("CREATE TRIGGER half BEFORE UPDATE OF alerts ON site_mail BEGIN SELECT RAISE(ABORT, 'half');END")
        .await;
    let change = json!({ "mailboxId": "mbx_7", "alerts": "nobody" });
    let ask = || {
        world
            .site
            .ask(Method::PATCH, "/api/v1/site-mail")
            .bearer_auth(&token)
            .json(&change)
            .send()
    };
    let shown = async || {
        let told = world
            .site
            .get("/api/v1/site-mail")
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        let told: Value = serde_json::from_str(&told.text().await.unwrap()).unwrap();
        (told["mailboxId"].clone(), told["alerts"].clone())
    };
    assert!(ask().await.unwrap().status().is_server_error());
    assert_eq!(shown().await, (Value::Null, json!("admins")));
    world.run("DROP TRIGGER half").await;
    let done = ask().await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    let tag = done.headers()["etag"].to_str().unwrap().to_owned();
    let looked = world
        .site
        .get("/api/v1/site-mail")
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(looked.headers()["etag"].to_str().unwrap(), tag);
    assert_eq!(shown().await, (json!("mbx_7"), json!("nobody")));
}

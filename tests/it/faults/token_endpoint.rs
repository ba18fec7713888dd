//! A provider whose token endpoint has a bad day: the grant lives on and recovers. One that means it: somebody is told.

use super::*;
use crate::on_each_database;
use crate::support::database::Kind;
use crate::support::process::Reply;

on_each_database!(a_bad_day_costs_no_grant);

impl Stage {
    /// The button *Refresh*: asks the provider now, whatever the back-off.
    async fn refresh(&self) -> Reply {
        let path = format!("/api/v1/grants/{}/refresh", self.grant_id);
        self.rest.send(Method::POST, &path, Some(&json!({}))).await
    }
}

async fn a_bad_day_costs_no_grant(database: TestDatabase) {
    let stage = Stage::start(database).await;
    let html = "<html><body>Service Unavailable</body></html>";
    let rubbish = "{\"access_token\":\"".to_owned() + &"x".repeat(1024 * 1024);
    for (what, answer) in [
        ("503 with HTML", Answer::text(503, "text/html", html)),
        ("502 without a word", Answer::text(502, "text/plain", "")),
        (
            "429",
            Answer::json(429, r#"{"error":"slow_down"}"#).header("Retry-After", "120"),
        ),
        ("200 with HTML", Answer::text(200, "text/html", html)),
        ("1 MB of rubbish", Answer::text(200, "application/json", &rubbish)),
        ("an empty object", Answer::json(200, "{}")),
        (
            "half an answer",
            Answer::raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"acc"),
        ),
        ("no HTTP", Answer::raw(b"220 smtp ready\r\n")),
    ] {
        stage.tokens.answer(answer);
        let reply = stage.refresh().await;
        assert!(reply.status >= 400, "{what}: {}", reply.status);
        let grant = stage.grant().await;
        assert_eq!(grant["state"], "active", "{what}: {grant}");
        assert_explained(&grant["lastError"]);
        assert!(
            !grant.to_string().contains("xxxxxxxx"),
            "{what}: nothing of the answer is shown"
        );
        if what == "429" {
            let next: chrono::DateTime<chrono::Utc> = text(&grant, "nextRefreshAt").parse().unwrap();
            let wait = (next - chrono::Utc::now()).num_seconds();
            assert!((100..=121).contains(&wait), "Retry-After is honoured: {wait} s");
        }
    }
    let path = format!("/api/v1/integrations/{}", stage.integration_id);
    assert_eq!(
        stage.rest.get(&path).await["state"],
        "ok",
        "not the client's fault"
    );
    for (what, answer) in [
        (
            "a text for a number",
            r#"{"access_token":"a","token_type":"Bearer","expires_in":"3599"}"#,
        ),
        (
            "a list for a text",
            r#"{"access_token":"b","expires_in":3599.5,"scope":["mail","other"]}"#,
        ),
        ("the least there can be", r#"{"access_token":"c"}"#),
        (
            "a byte order mark",
            "\u{feff}{\"access_token\":\"d\",\"expires_in\":60000}",
        ),
    ] {
        stage.tokens.answer(Answer::json(200, answer));
        let reply = stage.refresh().await;
        assert_eq!(
            reply.status,
            200,
            "{what}: {}",
            String::from_utf8_lossy(&reply.bytes)
        );
        let grant = stage.grant().await;
        assert_eq!(
            (grant["state"].as_str(), &grant["lastError"]),
            (Some("active"), &Value::Null),
            "{what}"
        );
    }
    let scopes = &stage.grant().await["scopes"];
    assert_eq!(scopes, &json!(["mail", "other"]), "a list was read as a list");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_during_an_outage_is_renewed_when_the_provider_is_back() {
    let stage = Stage::bare(TestDatabase::create(Kind::Sqlite).await, json!({})).await;
    // So short that it is renewed all the time.
    stage
        .tokens
        .answer_always(Answer::json(200, r#"{"access_token":"short","expires_in":2}"#));
    let grant_id = text(&stage.authorize().await, "grantId");
    for _ in 0..2 {
        stage
            .tokens
            .answer(Answer::text(503, "text/html", "<h1>busy</h1>"));
    }
    let path = format!("/api/v1/grants/{grant_id}");
    let troubled = eventually("the outage is shown", PATIENTLY, async || {
        let grant = stage.rest.get(&path).await;
        assert_eq!(grant["state"], "active", "{grant}");
        grant["lastError"].is_object().then_some(grant)
    })
    .await;
    assert_explained(&troubled["lastError"]);
    let well = eventually("it is renewed by itself", PATIENTLY, async || {
        let grant = stage.rest.get(&path).await;
        (grant["lastError"].is_null()).then_some(grant)
    })
    .await;
    assert_eq!(well["state"], "active");
    assert_eq!(stage.tokens.queued(), 0, "both failures were met on the way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_grant_needs_somebody_and_is_not_asked_for_again() {
    let stage = Stage::start_with_consent(
        TestDatabase::create(Kind::Sqlite).await,
        json!({ "flow": "authorization_code", "scopes": ["mail", "offline_access"] }),
    )
    .await;
    let refusal = r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#;
    stage.tokens.answer_always(Answer::json(400, refusal));
    stage.refresh().await;
    let grant = stage.grant().await;
    assert_eq!(grant["state"], "needs_reauth", "{grant}");
    assert_eq!(grant["lastError"]["code"], "invalid_grant");
    assert_explained(&grant["lastError"]);
    assert!(
        text(&grant["lastError"], "remedy")
            .to_lowercase()
            .contains("reconnect"),
        "{grant}"
    );
    // A mailbox that uses it says the same, and the provider is left alone.
    let asked = stage.tokens.requests().len();
    let unused = crate::support::guard::free_port();
    let id = stage.add_mailbox(unused, json!({})).await;
    let failing = fails_with(&stage.rest, &id, "invalid_grant").await;
    assert_eq!(failing["lastError"]["remedy"], grant["lastError"]["remedy"]);
    assert_eq!(stage.tokens.requests().len(), asked, "retrying stops");
}

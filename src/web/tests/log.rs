//! The event log over REST: places that no event has, and samples.

use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::tests::site;
use crate::db::sql;
use crate::event::{self, Cursor};

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_the_log_has_not_reached_is_refused_and_says_where_it_ends() {
    let site = site().await;
    let token = site.token().await;
    let (_, last) = event::extent(&site.ctx().db).await.unwrap();
    for path in ["/api/v1/events", "/api/v1/events/stream"] {
        let get = async |after: Cursor| {
            let answer = site
                .get(&format!("{path}?after={after}"))
                .bearer_auth(&token)
                .send();
            answer.await.unwrap()
        };
        assert_eq!(
            get(last).await.status(),
            StatusCode::OK,
            "{path}: the end is a place"
        );
        let refused = get(Cursor(last.0 + 1)).await;
        assert_eq!(refused.status(), StatusCode::GONE, "{path}");
        let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
        assert_eq!(
            (&problem["code"], &problem["newest"]),
            (&json!("cursor_ahead"), &json!(last.to_string()))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_what_people_do_is_no_deed_of_theirs_in_the_audit_log() {
    let site = site().await;
    let token = site.token().await;
    let body = json!({ "type": "user.promoted" });
    let answer = site
        .ask(reqwest::Method::POST, "/api/v1/events")
        .bearer_auth(&token);
    let answer = answer.json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let on = site.ctx().db.read();
    let text = "SELECT action, summary FROM audit_events WHERE target_id = 'sample-user'";
    let rows = on.query_all_raw(sql(on, text, [])).await.unwrap();
    let noted: Vec<(String, String)> = rows
        .iter()
        .map(|row| {
            (
                row.try_get("", "action").unwrap(),
                row.try_get("", "summary").unwrap(),
            )
        })
        .collect();
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].0, "event.triggered");
    assert!(noted[0].1.contains("user.promoted"), "{}", noted[0].1);
}

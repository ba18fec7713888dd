//! What lasts: an issuer that takes its time, and streams that were opened with a token of one.

use std::time::{Duration, Instant};

use reqwest::Response;

use super::*;

on_each_database!(
    n65_an_issuer_that_answers_too_late_is_no_refusal_and_says_when_to_come_again,
    n65_a_stream_ends_with_the_foreign_token_that_opened_it,
);

/// Somebody who is asked about tokens that begin so.
async fn asked_about(place: &Place, prefix: &str, cache_seconds: u32) -> ScriptedHttp {
    let asked = ScriptedHttp::start().await;
    place
        .trust(json!({
            "name": prefix, "issuer": format!("https://{prefix}.example"), "uses": ["api"],
            "keySource": "introspection", "jwksUri": null, "introspectionEndpoint": format!("{}/i", asked.url),
            "introspectionClientId": "mailgrant", "secret": "asks", "tokenPrefix": prefix, "cacheSeconds": cache_seconds,
            "audiences": [place.api()], "scopes": ["tickets:read", "events:read"],
        }))
        .await;
    asked
}

fn active(place: &Place) -> Answer {
    let answer = json!({
        "active": true, "sub": "ada", "aud": place.api(), "scope": "tickets:read events:read", "iat": now(),
        "exp": now() + 300,
    });
    Answer::json(200, &answer.to_string())
}

async fn n65_an_issuer_that_answers_too_late_is_no_refusal_and_says_when_to_come_again(
    database: TestDatabase,
) {
    let place = Place::start(database).await;
    let slow = asked_about(&place, "slow", 60).await;
    slow.answer_always(active(&place).after(Duration::from_secs(60)));
    place.trust(json!({ "uses": ["api"] })).await;
    let keys = jwks(&[("k1", &place.key)]);
    place
        .idp
        .answer_always(Answer::json(200, &keys).after(Duration::from_secs(60)));
    let (opaque, signed) = ("slow-token", place.signed(&place.api(), json!({})));
    let began = Instant::now();
    let (by_asking, by_keys) = tokio::join!(place.ask("/tickets", opaque), place.ask("/tickets", &signed));
    for (status, retry, body) in [by_asking, by_keys] {
        assert_eq!(
            (status, retry.as_str(), &body["code"]),
            (503, "15", &json!("issuer_unavailable")),
            "{body}"
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it did not wait for the answers"
    );
    // As soon as it answers in time, the same token opens.
    slow.answer_always(active(&place));
    assert_eq!(place.ask("/tickets", opaque).await.0, 200);
}

/// Opens the stream of events.
async fn stream(place: &Place, token: &str) -> Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .get(format!("{}/events/stream", place.api()))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer
}

/// What is sent from now on, until the stream ends.
async fn rest_of(mut stream: Response) -> String {
    let reading = async {
        let mut text = String::new();
        while let Ok(Some(more)) = stream.chunk().await {
            text.push_str(&String::from_utf8_lossy(&more));
        }
        text
    };
    tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .expect("the stream ends")
}

async fn n65_a_stream_ends_with_the_foreign_token_that_opened_it(database: TestDatabase) {
    let place = Place::start(database).await;
    place
        .trust(json!({ "uses": ["api"], "scopes": ["events:read"] }))
        .await;
    // It counts for a minute beyond its end, for clocks differ: of that some seconds are left.
    let signed = place.signed(
        &place.api(),
        json!({ "iat": now() - 200, "exp": now() - 50, "scope": "events:read" }),
    );
    let asked = asked_about(&place, "opq", 0).await;
    asked.answer_always(active(&place));
    let (ends, is_taken) = tokio::join!(stream(&place, &signed), stream(&place, "opq-token"));
    asked.answer_always(Answer::json(200, r#"{"active":false}"#));
    for said in [rest_of(ends).await, rest_of(is_taken).await] {
        assert!(
            said.contains("event: over") && said.contains("access_ended"),
            "{said}"
        );
    }
    assert_eq!(place.ask("/events", &signed).await.0, 401);
    assert_eq!(place.ask("/events", "opq-token").await.0, 401);
}

//! Events on their way to apps, with the program itself on both databases: webhooks, queues, the log and its stream.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::process::{Mailgrant, Rest, Settings};
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::support::wait::{SOON, eventually};
use crate::world::text;

on_each_database!(
    a_webhook_that_fails_at_first_gets_everything_with_the_same_ids,
    a_consumer_killed_while_it_works_loses_nothing_and_keeps_the_order,
    who_reads_the_log_and_who_follows_it_see_the_same,
);

async fn start(database: &TestDatabase) -> (Mailgrant, Rest) {
    let settings = Settings::new()
        .database(&database.url)
        .set("MAILGRANT_ALLOW_WEBHOOK_NETWORKS", "127.0.0.0/8");
    let mailgrant = Mailgrant::start(settings).await;
    let rest = mailgrant.rest();
    (mailgrant, rest)
}

async fn happen(rest: &Rest, kind: &str) -> String {
    text(&rest.post("/api/v1/events", &json!({ "type": kind })).await, "id")
}

async fn a_webhook_that_fails_at_first_gets_everything_with_the_same_ids(database: TestDatabase) {
    let (mut mailgrant, rest) = start(&database).await;
    let receiver = ScriptedHttp::start().await;
    receiver.answer_always(Answer::text(500, "text/plain", "no"));
    let made = rest
        .post(
            "/api/v1/webhooks",
            &json!({ "url": format!("{}/hook", receiver.url), "types": ["ticket.*", "test.*"], "ordered": false }),
        )
        .await;
    assert!(text(&made, "secret").starts_with("whsec_"));
    let id = text(&made, "id");
    let path = format!("/api/v1/webhooks/{id}");
    let shown = rest.get(&path).await;
    assert!(shown.get("secret").is_none(), "the secret is told once");
    let wanted = happen(&rest, "ticket.created").await;
    happen(&rest, "grant.expired").await;
    eventually("the first attempt failed", SOON, async || {
        let all = rest.all(&format!("{path}/deliveries")).await;
        (all.len() == 1 && all[0]["attempts"] == 1 && all[0]["state"] == "waiting").then_some(())
    })
    .await;
    // Killed, and started again: what waits still waits.
    mailgrant.kill9();
    receiver.answer_always(Answer::text(200, "text/plain", "yes"));
    mailgrant.resume().await;
    let one = eventually("it is delivered at the second attempt", SOON, async || {
        let all = rest.all(&format!("{path}/deliveries?state=delivered")).await;
        all.first().cloned()
    })
    .await;
    assert_eq!(one["eventId"], wanted.as_str());
    let detail = rest.get(&format!("{path}/deliveries/{}", text(&one, "id"))).await;
    assert_eq!(detail["attemptLog"][0]["error"], "http_500");
    assert_eq!(detail["attemptLog"][0]["response"]["body"], Value::Null);
    let ids: BTreeSet<String> = receiver
        .requests()
        .iter()
        .map(|request| request.headers["webhook-id"].clone())
        .collect();
    assert_eq!(ids, BTreeSet::from([wanted]));
    rest.post(&format!("{path}/ping"), &json!({})).await;
    eventually("the ping arrives", SOON, async || {
        receiver
            .requests()
            .iter()
            .any(|request| String::from_utf8_lossy(&request.body).contains("test.ping"))
            .then_some(())
    })
    .await;
    let refused = rest
        .send(
            Method::PATCH,
            &path,
            Some(&json!({ "url": "https://10.0.0.1/x" })),
        )
        .await;
    assert_eq!(refused.status, 422);
    assert_eq!(rest.get(&path).await["url"], shown["url"], "nothing was changed");
}

async fn a_consumer_killed_while_it_works_loses_nothing_and_keeps_the_order(database: TestDatabase) {
    let (_mailgrant, rest) = start(&database).await;
    rest.post("/api/v1/queues", &json!({ "name": "app" })).await;
    let mut wanted = Vec::new();
    for _ in 0..4 {
        for kind in ["ticket.created", "grant.expired", "mailbox.paused"] {
            wanted.push(happen(&rest, kind).await);
        }
    }
    let (mut done, mut seen_by_ticket) = (Vec::new(), BTreeMap::<String, Vec<i64>>::new());
    let mut round = 0;
    eventually("every event was worked on", SOON * 2, async || {
        round += 1;
        let lent = rest
            .post("/api/v1/queues/app/lease", &json!({ "limit": 10, "seconds": 1 }))
            .await;
        let items = lent["items"].as_array().unwrap().clone();
        let subjects: BTreeSet<String> = items
            .iter()
            .map(|item| text(&item["event"], "subjectId"))
            .collect();
        assert_eq!(subjects.len(), items.len(), "one event of each subject is out");
        for item in &items {
            let order = seen_by_ticket
                .entry(text(&item["event"], "subjectId"))
                .or_default();
            let sequence = item["event"]["sequence"].as_i64().unwrap();
            assert!(
                order.last().is_none_or(|last| *last <= sequence),
                "never back in time"
            );
            order.push(sequence);
        }
        // Every third round the consumer dies between its work and its acknowledgement.
        if round % 3 != 0 && !items.is_empty() {
            let ids: Vec<String> = items.iter().map(|item| text(&item["event"], "id")).collect();
            let settled = rest
                .post(
                    "/api/v1/queues/app/ack",
                    &json!({ "leaseId": lent["leaseId"], "eventIds": ids }),
                )
                .await;
            done.extend(
                settled["done"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|id| id.as_str().unwrap().to_owned()),
            );
        }
        (done.len() == wanted.len()).then_some(())
    })
    .await;
    done.sort();
    wanted.sort();
    assert_eq!(done, wanted, "each event, acknowledged once");
}

async fn who_reads_the_log_and_who_follows_it_see_the_same(database: TestDatabase) {
    let (_mailgrant, rest) = start(&database).await;
    let mut wanted = Vec::new();
    for _ in 0..3 {
        wanted.push(happen(&rest, "ticket.created").await);
        happen(&rest, "grant.expired").await;
    }
    let first = rest.get("/api/v1/events?types=ticket.*&limit=2").await;
    let next = text(&first, "next");
    let second = rest.get(&next).await;
    let read: Vec<String> = [&first, &second]
        .iter()
        .flat_map(|part| part["items"].as_array().unwrap())
        .map(|event| text(event, "id"))
        .collect();
    assert_eq!(read, wanted);
    let after = text(&first["items"][0], "cursor");
    let rest_of_it = rest
        .get(&format!("/api/v1/events?types=ticket.*&after={after}"))
        .await;
    assert_eq!(rest_of_it["items"].as_array().map(Vec::len), Some(2));
    for (wrong, status) in [
        ("/api/v1/events?after=5", 400),
        ("/api/v1/events?types=nothing.*", 400),
        ("/api/v1/events?project=prj_x", 200),
    ] {
        let answer = rest.send(Method::GET, wrong, None).await;
        assert!(
            answer.status == status || answer.status == 404,
            "{wrong}: {}",
            answer.status
        );
    }
    let types = rest.get("/api/v1/event-types").await;
    assert!(types["items"].as_array().is_some_and(|items| items.len() > 30));
}

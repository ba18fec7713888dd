//! Rules and quarantine over REST, with real mail on both databases.

use mailgrant::db::Db;
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::mails;
use crate::support::wait::{SOON, eventually};
use crate::world::{ACCOUNT, World, text};

on_each_database!(
    rules_decide_what_becomes_of_mail,
    two_answers_at_once_to_one_sender_are_one,
    a_mail_over_the_limit_is_fetched_whole_when_somebody_asks,
);

async fn rule(world: &World, name: &str, matches: Value, actions: Value) -> Value {
    let body = json!({ "projectId": world.project_id, "name": name, "matches": matches, "actions": actions });
    world.rest.post("/api/v1/rules", &body).await
}

async fn deliver(world: &World, number: u32, from: &str, subject: &str) {
    let mail = mails::simple(
        &format!("<r{number}@x.test>"),
        from,
        subject,
        &format!("Number {number}"),
    );
    world.dovecot.deliver(ACCOUNT, &mail).await;
}

/// The message with this subject, once it is processed.
async fn message(world: &World, subject: &str) -> Value {
    eventually(&format!("“{subject}” is processed"), SOON * 2, async || {
        let all = world.rest.all("/api/v1/messages?limit=200").await;
        all.into_iter()
            .find(|message| message["subject"] == subject && message["mailgrant"]["state"] != "stored")
    })
    .await
}

async fn rules_decide_what_becomes_of_mail(database: TestDatabase) {
    let world = World::start(database).await;
    let rest = &world.rest;
    world.add_mailbox(json!({})).await;
    let drop = rule(
        &world,
        "News",
        json!({ "sender": ["news.test"] }),
        json!({ "place": "drop" }),
    )
    .await;
    let hold = json!({ "subject": { "how": "regex", "value": "^odd" } });
    let hold = rule(&world, "Odd", hold, json!({ "place": "quarantine" })).await;
    let money = json!({ "labels": ["money"], "priority": "high" });
    let money = rule(
        &world,
        "Money",
        json!({ "subject": { "value": "invoice" } }),
        money,
    )
    .await;
    deliver(&world, 1, "a@news.test", "Offers").await;
    deliver(&world, 2, "ada@x.test", "Odd thing").await;
    deliver(&world, 3, "ada@x.test", "Your invoice").await;

    let dropped = message(&world, "Offers").await;
    assert_eq!(dropped["mailgrant"]["state"], "dropped");
    let raw = format!("/api/v1/messages/{}/raw", text(&dropped, "id"));
    assert!(String::from_utf8_lossy(&rest.download(&raw).await).contains("Number 1"));
    let paid = message(&world, "Your invoice").await;
    let ticket = rest
        .get(&format!(
            "/api/v1/tickets/{}",
            text(&paid["mailgrant"], "ticketId")
        ))
        .await;
    assert_eq!(
        (&ticket["labels"], &ticket["priority"]),
        (&json!(["money"]), &json!("high"))
    );
    let why = rest
        .get(&format!("/api/v1/messages/{}/explanation", text(&paid, "id")))
        .await;
    assert_eq!(why["rules"]["rules"][0]["name"], "Money", "{why}");
    assert_eq!(why["ticket"]["key"], ticket["key"]);
    assert_eq!(why["ticket"]["resolution"]["rule"], "new_ticket");
    assert_eq!(why["server"][0]["told"], "none");
    assert!(why["parsed"]["at"].is_string() && why["received"]["at"].is_string());

    let held = message(&world, "Odd thing").await;
    let waiting = rest.all("/api/v1/quarantine?reason=rule").await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0]["messageId"], held["id"]);
    let release = format!("/api/v1/quarantine/{}/release", text(&held, "id"));
    let out = rest.post(&release, &json!({})).await;
    assert_eq!(out["state"], "ticketed");
    let twice = rest.send(Method::POST, &release, Some(&json!({}))).await;
    assert_eq!(twice.status, 409, "{}", twice.json);
    assert!(rest.all("/api/v1/quarantine").await.is_empty());

    let before = rest.all("/api/v1/tickets").await.len();
    let again = format!("/api/v1/messages/{}/reprocess", text(&paid, "id"));
    for _ in 0..2 {
        assert_eq!(rest.post(&again, &json!({})).await["ticketId"], ticket["id"]);
    }
    assert_eq!(rest.all("/api/v1/tickets").await.len(), before);

    let trial = json!({
        "projectId": world.project_id, "rule": { "name": "All of Ada", "matches": { "sender": ["ada@x.test"] },
        "actions": { "place": "drop" } },
    });
    let outcome = rest.post("/api/v1/rules/simulate", &trial).await;
    assert_eq!(
        (&outcome["lookedAt"], &outcome["matched"]),
        (&json!(3), &json!(2)),
        "{outcome}"
    );
    let order: Vec<String> = [&money, &hold, &drop].map(|rule| text(rule, "id")).into();
    let body = json!({ "projectId": world.project_id, "order": order });
    let sorted = rest.post("/api/v1/rules/order", &body).await;
    assert_eq!(sorted["items"][0]["name"], "Money");
    let short = json!({ "projectId": world.project_id, "order": order[1..] });
    let refused = rest.send(Method::POST, "/api/v1/rules/order", Some(&short)).await;
    assert_eq!(refused.status, 422);
    let bad = json!({ "projectId": world.project_id, "name": "Bad", "actions": { "place": "new" },
        "matches": { "subject": { "how": "regex", "value": "(" } } });
    let refused = rest.send(Method::POST, "/api/v1/rules", Some(&bad)).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json["errors"][0]["pointer"], "/matches/subject/value");
    let gone = format!("/api/v1/rules/{}", text(&drop, "id"));
    assert_eq!(rest.send(Method::DELETE, &gone, None).await.status, 204);
    assert_eq!(rest.all("/api/v1/rules").await.len(), 2);
}

async fn two_answers_at_once_to_one_sender_are_one(database: TestDatabase) {
    let world = World::start(database).await;
    let smtp = json!({ "host": "127.0.0.1", "port": 1, "tls": "implicit", "from": ACCOUNT });
    world.add_mailbox(json!({ "smtp": smtp })).await;
    rule(&world, "Thanks", json!({}), json!({ "answer": "We got it." })).await;
    for number in 0..4 {
        deliver(&world, number, "ada@x.test", &format!("Hello {number}")).await;
    }
    let mut sent = 0;
    for number in 0..4 {
        let found = message(&world, &format!("Hello {number}")).await;
        let path = format!("/api/v1/messages/{}/explanation", text(&found, "id"));
        let why = world.rest.get(&path).await;
        let answer = &why["rules"]["automatic"][0];
        if answer["sent"] == true {
            sent += 1;
        } else {
            assert_eq!(answer["code"], "sender_limit", "{why}");
        }
    }
    assert_eq!(sent, 1);
}

async fn a_mail_over_the_limit_is_fetched_whole_when_somebody_asks(database: TestDatabase) {
    let world = World::start(database).await;
    let quiet = json!({ "startFrom": "now", "schedule": "0 0 0 1 1 *", "idle": false });
    let mailbox = world.add_mailbox(quiet).await;
    world.mailbox_is(&mailbox, "ok").await;
    lower_the_limit(&world.database, 5_000).await;
    let large = mails::simple(
        "<big@x.test>",
        "ada@x.test",
        "Holiday pictures",
        &"Sand. ".repeat(2_000),
    );
    world.dovecot.deliver(ACCOUNT, &large).await;
    world
        .rest
        .post(&format!("/api/v1/mailboxes/{mailbox}/poll"), &json!({}))
        .await;
    let found = message(&world, "Holiday pictures").await;
    assert_eq!(found["mailgrant"]["state"], "quarantined", "{found}");
    assert_eq!(found["mailgrant"]["isPartial"], true);
    assert!(
        found["mailgrant"]["ticketId"].is_string(),
        "it has a ticket all the same"
    );
    let id = text(&found, "id");
    let whole = world
        .rest
        .post(&format!("/api/v1/quarantine/{id}/fetch"), &json!({}))
        .await;
    assert_eq!(
        (&whole["state"], &whole["isPartial"]),
        (&json!("ticketed"), &json!(false))
    );
    let shown = world.rest.get(&format!("/api/v1/messages/{id}")).await;
    assert!(text(&shown["mailgrant"], "text").contains("Sand."));
    assert_eq!(shown["mailgrant"]["ticketId"], found["mailgrant"]["ticketId"]);
    let refused = world
        .rest
        .send(
            Method::POST,
            &format!("/api/v1/quarantine/{id}/fetch"),
            Some(&json!({})),
        )
        .await;
    assert_eq!(refused.status, 409);
    assert_eq!(
        world.dovecot.seen(ACCOUNT, "INBOX"),
        0,
        "nothing is changed on the server"
    );
}

/// The limit has no setting of its own yet. The mailbox reads it anew with every visit.
async fn lower_the_limit(database: &TestDatabase, bytes: u32) {
    let db = Db::open(&database.url).await.unwrap();
    let text = format!("UPDATE mailboxes SET max_message_bytes = {bytes}");
    db.write().execute_unprepared(&text).await.unwrap();
    db.close().await;
}

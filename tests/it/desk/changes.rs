//! Changing tickets by REST, on both databases.

use reqwest::Method;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::process::{Mailgrant, Rest, Settings, http};
use crate::world::text;

on_each_database!(
    a_ticket_opened_by_hand_is_changed_and_found_by_what_it_is_now,
    a_change_made_from_an_old_revision_changes_nothing,
    each_mistake_of_a_change_has_its_own_text_and_changes_nothing,
    lists_are_filtered_sorted_and_read_in_parts,
    a_request_with_a_key_happens_once_however_many_come_at_once,
    the_entries_of_a_ticket_are_read_in_parts,
);

/// A service with a project and somebody to assign, and no mailbox: tickets come by hand.
struct Desk {
    mailgrant: Mailgrant,
    rest: Rest,
    project_id: String,
    user_id: String,
    // Last: dropped after those who use it.
    _database: TestDatabase,
}

impl Desk {
    async fn start(database: TestDatabase) -> Self {
        let mailgrant = Mailgrant::start(Settings::new().database(&database.url)).await;
        let rest = mailgrant.rest();
        let project = rest
            .post("/projects", &json!({ "key": "HELP", "name": "Help desk" }))
            .await;
        let mut command = mailgrant.command(&[
            "user",
            "create",
            "--email",
            "ada@desk.test",
            "--name",
            "Ada",
            "--json",
        ]);
        let file = mailgrant.data_dir().join("password");
        std::fs::write(&file, "correct horse battery\n").unwrap();
        let made = command
            .stdin(std::fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        let made: Value = serde_json::from_slice(&made.stdout).expect("the new user as JSON");
        Self {
            user_id: text(&made, "id"),
            project_id: text(&project, "id"),
            mailgrant,
            rest,
            _database: database,
        }
    }

    async fn open(&self, changes: Value) -> Value {
        let mut body = json!({ "projectId": self.project_id, "subject": "Printer on fire" });
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.rest.post("/tickets", &body).await
    }

    async fn patch(&self, ticket: &Value, change: Value) -> Value {
        let path = format!("/tickets/{}", text(ticket, "id"));
        let reply = self.rest.send(Method::PATCH, &path, Some(&change)).await;
        reply.ok(&path)
    }

    async fn keys(&self, query: &str) -> Vec<String> {
        let found = self.rest.all(&format!("/api/v1/tickets?{query}")).await;
        found.iter().map(|ticket| text(ticket, "key")).collect()
    }
}

async fn a_ticket_opened_by_hand_is_changed_and_found_by_what_it_is_now(database: TestDatabase) {
    let desk = Desk::start(database).await;
    let made = desk
        .open(json!({
            "requester": { "name": "Grace", "email": "grace@example.test" }, "note": "She called at nine.",
            "priority": "high", "labels": ["VIP", "on  site", "vip"],
        }))
        .await;
    assert_eq!(made["key"], "HELP-1");
    assert_eq!(made["labels"], json!(["on site", "vip"]));
    assert_eq!(made["priority"], "high");
    assert_eq!(made["requester"]["email"], "grace@example.test");
    assert_eq!(made["entries"][0]["kind"], "note");
    assert_eq!(made["entries"][0]["text"], "She called at nine.");
    assert_eq!(made["entries"][0]["author"], "API token tests");

    let changed = desk
        .patch(
            &made,
            json!({ "state": "pending", "assigneeId": desk.user_id, "labels": ["later"], "subject": "Printer burnt",
                    "unknown": 1 }),
        )
        .await;
    assert_eq!(changed["state"], "pending");
    assert_eq!(changed["assigneeId"], desk.user_id.as_str());
    assert_eq!(changed["priority"], "high", "what was not sent stays");
    for (query, found) in [
        ("q=burnt", 1),
        ("q=fire", 0),
        ("q=label:later", 1),
        ("q=label:vip", 0),
        ("label=later", 1),
        ("q=is:pending", 1),
        ("q=is:open", 0),
        ("q=grace@example.test", 1),
        ("q=called%20nine", 1),
        ("q=HELP-1", 1),
        ("q=help-", 1),
        ("assigneeId=none", 0),
        ("q=project:HELP", 1),
        ("q=project:OTHER", 0),
    ] {
        assert_eq!(desk.keys(query).await.len(), found, "{query}");
    }
    let nobody = desk
        .patch(&made, json!({ "assigneeId": null, "labels": [] }))
        .await;
    assert_eq!(
        (&nobody["assigneeId"], &nobody["labels"]),
        (&Value::Null, &json!([]))
    );
    let same = desk.patch(&made, json!({ "state": "pending" })).await;
    assert_eq!(
        same["updatedAt"], nobody["updatedAt"],
        "nothing different is no change"
    );
    let id = text(&made, "id");
    let note = desk
        .rest
        .post(
            &format!("/tickets/{id}/notes"),
            &json!({ "text": "Ask Bo about the hose." }),
        )
        .await;
    assert_eq!(note["kind"], "note");
    let whole = desk.rest.get("/tickets/HELP-1").await;
    assert_eq!(whole["entries"].as_array().map(Vec::len), Some(2));
    assert_eq!(whole["state"], "pending", "a note changes no state");
    let hits = desk.rest.all("/api/v1/search?q=hose").await;
    assert_eq!(hits[0]["ticketKey"], "HELP-1");
    assert_eq!(hits[0]["kind"], "note");
    let marked: Vec<&Value> = hits[0]["snippet"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|piece| piece["isHit"] == true)
        .collect();
    assert_eq!(marked[0]["text"], "hose");
}

async fn a_change_made_from_an_old_revision_changes_nothing(database: TestDatabase) {
    let desk = Desk::start(database).await;
    let made = desk.open(json!({})).await;
    let url = format!("{}/api/v1/tickets/{}", desk.mailgrant.base_url, text(&made, "id"));
    let printed = desk
        .mailgrant
        .run_ok(&["token", "create", "--name", "again", "--json"]);
    let token = text(&serde_json::from_str(&printed).unwrap(), "token");
    let patch = async |tag: &str, state: &str| {
        let answer = http()
            .patch(&url)
            .bearer_auth(&token)
            .header("If-Match", tag)
            .json(&json!({ "state": state }))
            .send()
            .await
            .unwrap();
        let tag = answer
            .headers()
            .get("etag")
            .map(|tag| tag.to_str().unwrap().to_owned());
        (answer.status().as_u16(), tag)
    };
    let first = http().get(&url).bearer_auth(&token).send().await.unwrap();
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let (status, newer) = patch(&tag, "closed").await;
    assert_eq!(status, 200);
    assert_ne!(newer.as_deref(), Some(tag.as_str()));
    assert_eq!(patch(&tag, "pending").await.0, 412);
    assert_eq!(desk.rest.get("/tickets/HELP-1").await["state"], "closed");
    assert_eq!(patch(&newer.unwrap(), "pending").await.0, 200);
}

async fn each_mistake_of_a_change_has_its_own_text_and_changes_nothing(database: TestDatabase) {
    let desk = Desk::start(database).await;
    let made = desk.open(json!({})).await;
    let id = text(&made, "id");
    let many: Vec<String> = (0..21).map(|n| format!("label {n}")).collect();
    let cases = [
        (json!({ "state": "done" }), "/state"),
        (json!({ "priority": 1 }), "/priority"),
        (json!({ "assigneeId": "usr_nobody" }), "/assigneeId"),
        (json!({ "labels": "vip" }), "/labels"),
        (json!({ "labels": many }), "/labels"),
        (json!({ "labels": ["x".repeat(60)] }), "/labels"),
        (json!({ "subject": " \n " }), "/subject"),
        (json!({ "subject": "x".repeat(501) }), "/subject"),
    ];
    let mut texts = std::collections::BTreeSet::new();
    for (body, pointer) in cases {
        let reply = desk
            .rest
            .send(Method::PATCH, &format!("/tickets/{id}"), Some(&body))
            .await;
        assert_eq!(reply.status, 422, "{body}: {}", reply.json);
        assert_eq!(reply.json["errors"][0]["pointer"], pointer, "{}", reply.json);
        assert!(
            texts.insert(reply.json["errors"][0]["detail"].to_string()),
            "{body}: {}",
            reply.json
        );
    }
    for (path, body, pointer) in [
        (
            "/tickets".to_owned(),
            json!({ "projectId": "prj_none", "subject": "x" }),
            "/projectId",
        ),
        (
            "/tickets".to_owned(),
            json!({ "projectId": desk.project_id }),
            "/subject",
        ),
        (
            "/tickets".to_owned(),
            json!({ "projectId": desk.project_id, "subject": "x", "requester": { "email": "a@b@c d" } }),
            "/requester/email",
        ),
        (format!("/tickets/{id}/notes"), json!({ "text": "  " }), "/text"),
        (
            format!("/tickets/{id}/notes"),
            json!({ "text": "x".repeat(50_001) }),
            "/text",
        ),
    ] {
        let reply = desk.rest.send(Method::POST, &path, Some(&body)).await;
        assert_eq!(reply.status, 422, "{path}: {}", reply.json);
        assert_eq!(reply.json["errors"][0]["pointer"], pointer, "{}", reply.json);
    }
    assert_eq!(desk.rest.all("/api/v1/tickets").await.len(), 1);
    let after = desk.rest.get(&format!("/tickets/{id}")).await;
    assert_eq!(after, made, "nothing was changed");
    for query in [
        "state=odd",
        "priority=odd",
        "sort=odd",
        "after=eA",
        "sort=created&after=eA",
    ] {
        let reply = desk
            .rest
            .send(Method::GET, &format!("/tickets?{query}"), None)
            .await;
        assert_eq!(reply.status, 400, "{query}");
    }
}

async fn lists_are_filtered_sorted_and_read_in_parts(database: TestDatabase) {
    let desk = Desk::start(database).await;
    for (n, priority) in ["low", "urgent", "normal", "high", "urgent"].iter().enumerate() {
        let labels = if n % 2 == 0 { json!(["even"]) } else { json!([]) };
        desk.open(json!({ "subject": format!("Ticket {n}"), "priority": priority, "labels": labels }))
            .await;
    }
    let first = desk.rest.get("/tickets/HELP-1").await;
    desk.patch(&first, json!({ "state": "closed", "assigneeId": desk.user_id }))
        .await;
    for (query, keys) in [
        ("", vec!["1", "5", "4", "3", "2"]),
        ("sort=waiting", vec!["2", "3", "4", "5", "1"]),
        ("sort=created", vec!["5", "4", "3", "2", "1"]),
        ("sort=priority", vec!["5", "2", "4", "3", "1"]),
        ("sort=priority&state=open", vec!["5", "2", "4", "3"]),
        ("priority=urgent&sort=created", vec!["5", "2"]),
        ("label=EVEN&sort=created", vec!["5", "3", "1"]),
        ("label=even&state=closed", vec!["1"]),
        ("project=HELP&state=closed", vec!["1"]),
        ("assigneeId=none&sort=created", vec!["5", "4", "3", "2"]),
        ("mailboxId=mbx_none", vec![]),
        ("q=is:unassigned%20priority:urgent&sort=created", vec!["5", "2"]),
    ] {
        let wanted: Vec<String> = keys.iter().map(|n| format!("HELP-{n}")).collect();
        assert_eq!(desk.keys(&format!("{query}&limit=2")).await, wanted, "{query}");
    }
    let assigned = desk.keys(&format!("assigneeId={}", desk.user_id)).await;
    assert_eq!(assigned, ["HELP-1"]);
}

async fn a_request_with_a_key_happens_once_however_many_come_at_once(database: TestDatabase) {
    let desk = Desk::start(database).await;
    let body = json!({ "projectId": desk.project_id, "subject": "Printer on fire" });
    let one = || desk.rest.send_keyed("/tickets", &body, "the-same-key");
    let all = tokio::join!(one(), one(), one(), one(), one(), one());
    let all = [all.0, all.1, all.2, all.3, all.4, all.5];
    for reply in &all {
        assert!(
            matches!(reply.status, 201 | 409),
            "{} {}",
            reply.status,
            reply.json
        );
        if reply.status == 409 {
            assert!(text(&reply.json, "code").contains("in_flight"), "{}", reply.json);
        }
    }
    let first = all
        .iter()
        .find(|reply| reply.status == 201)
        .expect("one of them happened");
    let again = one().await;
    assert_eq!(
        (again.status, &again.json),
        (201, &first.json),
        "its answer comes again"
    );
    assert_eq!(desk.rest.all("/api/v1/tickets").await.len(), 1);
    let other = json!({ "projectId": desk.project_id, "subject": "Something else" });
    let reused = desk.rest.send_keyed("/tickets", &other, "the-same-key").await;
    assert_eq!(reused.status, 422, "{}", reused.json);
    let two = tokio::join!(
        desk.rest.send_keyed("/tickets", &other, "one-key"),
        desk.rest.send_keyed("/tickets", &other, "another-key")
    );
    assert_eq!((two.0.status, two.1.status), (201, 201));
    assert_eq!(desk.rest.all("/api/v1/tickets").await.len(), 3);
}

async fn the_entries_of_a_ticket_are_read_in_parts(database: TestDatabase) {
    let desk = Desk::start(database).await;
    let ticket = desk.open(json!({ "note": "0" })).await;
    let path = format!("/api/v1/tickets/{}", text(&ticket, "id"));
    for number in 1..7 {
        let note = json!({ "text": number.to_string() });
        desk.rest.post(&format!("{path}/notes"), &note).await;
    }
    let all = desk.rest.all(&format!("{path}/entries?limit=2")).await;
    let texts: Vec<String> = all.iter().map(|entry| text(entry, "text")).collect();
    assert_eq!(texts, ["0", "1", "2", "3", "4", "5", "6"]);
    let shown = desk.rest.get(&path).await;
    assert_eq!(shown["entries"], json!(all), "the ticket shows the same");
    let one = format!("{path}/entries/{}", text(&all[3], "id"));
    assert_eq!(desk.rest.get(&one).await, all[3]);
    // Moved away, it is found in its new ticket only.
    let split = json!({ "entryIds": [text(&all[3], "id")] });
    let made = desk.rest.post(&format!("{path}/split"), &split).await;
    let gone = desk.rest.send(Method::GET, &one, None).await;
    assert_eq!(gone.status, 404, "{}", gone.json);
    let there = format!(
        "/api/v1/tickets/{}/entries/{}",
        text(&made, "id"),
        text(&all[3], "id")
    );
    assert_eq!(desk.rest.get(&there).await["text"], "3");
    let wrong = desk
        .rest
        .send(Method::GET, &format!("{path}/entries?after=x"), None)
        .await;
    assert_eq!(wrong.status, 400);
}

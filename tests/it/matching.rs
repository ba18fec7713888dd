//! Which ticket a mail joins, through the whole service: what Dovecot delivered, what REST shows of it.

use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::world::{ACCOUNT, World, text};

on_each_database!(
    a_stranger_joins_no_ticket_and_a_participant_does,
    a_key_in_the_subject_joins_only_a_verified_participant,
    conversations_do_not_depend_on_the_order_of_delivery,
    a_merged_ticket_leads_to_the_one_that_is_left,
);

fn mail(id: &str, from: &str, subject: &str, more: &str) -> Vec<u8> {
    format!(
        "Message-ID: <{id}>\r\nFrom: {from}\r\nTo: {ACCOUNT}\r\nSubject: {subject}\r\n{more}\r\nText of {id}.\r\n"
    )
    .into_bytes()
}

/// Delivers a mail and returns what became of it.
async fn deliver(world: &World, count: usize, id: &str, from: &str, subject: &str, more: &str) -> Value {
    world
        .dovecot
        .deliver(ACCOUNT, &mail(id, from, subject, more))
        .await;
    let all = world.ticketed(count).await;
    all.into_iter()
        .find(|message| message["messageId"][0] == id)
        .unwrap()
}

fn rule(message: &Value) -> &str {
    message["mailgrant"]["resolution"]["rule"].as_str().unwrap()
}

async fn a_stranger_joins_no_ticket_and_a_participant_does(database: TestDatabase) {
    let world = World::start(database).await;
    world.add_mailbox(json!({})).await;
    let first = deliver(
        &world,
        1,
        "a@x.test",
        "Ada <ada@x.test>",
        "Printer",
        "Cc: bo@x.test\r\n",
    )
    .await;
    let answers = "In-Reply-To: <a@x.test>\r\nReferences: <a@x.test>\r\n";
    let forged = deliver(
        &world,
        2,
        "m@evil.test",
        "mallory@evil.test",
        "Re: Printer",
        answers,
    )
    .await;
    let ours = deliver(&world, 3, "o@evil.test", ACCOUNT, "Re: Printer", answers).await;
    let copied = deliver(&world, 4, "b@x.test", "BO@X.test", "Re: Printer", answers).await;
    let ticket = &first["mailgrant"]["ticketId"];
    for stranger in [&forged, &ours] {
        assert_eq!(rule(stranger), "new_ticket", "{stranger}");
        assert_ne!(&stranger["mailgrant"]["ticketId"], ticket);
        assert_eq!(
            stranger["mailgrant"]["resolution"]["possiblyRelated"]["ticketKey"],
            "HELP-1"
        );
    }
    assert_eq!(rule(&copied), "known_reference", "{copied}");
    assert_eq!(&copied["mailgrant"]["ticketId"], ticket);
    let shown = world.rest.get("/api/v1/tickets/HELP-1").await;
    let people: Vec<&str> = shown["participants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|person| person["email"].as_str().unwrap())
        .collect();
    assert_eq!(
        people,
        ["ada@x.test", "bo@x.test"],
        "neither strangers nor ourselves take part"
    );
    let related: Vec<&str> = shown["related"]
        .as_array()
        .unwrap()
        .iter()
        .map(|other| other["key"].as_str().unwrap())
        .collect();
    assert_eq!(related.len(), 2);
    assert!(
        related.contains(&"HELP-2") && related.contains(&"HELP-3"),
        "{related:?}"
    );
    let other = world.rest.get("/api/v1/tickets/HELP-2").await;
    assert_eq!(other["related"][0]["key"], "HELP-1", "it is shown on both");
    // Identifiers alone make a conversation, whoever wrote them.
    let first = world
        .rest
        .get(&format!("/api/v1/messages/{}", text(&first, "id")))
        .await;
    let forged = world
        .rest
        .get(&format!("/api/v1/messages/{}", text(&forged, "id")))
        .await;
    assert_eq!(forged["threadId"], first["threadId"]);
}

async fn a_key_in_the_subject_joins_only_a_verified_participant(database: TestDatabase) {
    let world = World::start(database).await;
    let trusted = json!({ "trustedAuthservIds": ["MX.desk.example"] });
    let id = world.add_mailbox(trusted).await;
    let shown = world.rest.get(&format!("/api/v1/mailboxes/{id}")).await;
    assert_eq!(shown["trustedAuthservIds"], json!(["mx.desk.example"]));
    deliver(&world, 1, "a@x.test", "ada@x.test", "Printer", "").await;
    let subject = "Once more [HELP-1]";
    let pass = "Authentication-Results: mx.desk.example; dmarc=pass header.from=x.test\r\n";
    let other = "Authentication-Results: mx.evil.example; dmarc=pass header.from=x.test\r\n";
    let plain = deliver(&world, 2, "b@x.test", "ada@x.test", subject, "").await;
    let lied = deliver(&world, 3, "c@x.test", "ada@x.test", subject, other).await;
    let stranger = deliver(&world, 4, "d@x.test", "mallory@x.test", subject, pass).await;
    let verified = deliver(&world, 5, "e@x.test", "ada@x.test", subject, pass).await;
    for (message, verdict) in [(&plain, "unknown"), (&lied, "unknown"), (&stranger, "verified")] {
        assert_eq!(rule(message), "new_ticket", "{message}");
        assert_eq!(message["mailgrant"]["senderVerdict"], verdict);
    }
    assert_eq!(rule(&verified), "subject_key", "{verified}");
    assert_eq!(
        verified["mailgrant"]["resolution"]["joined"]["ticketKey"],
        "HELP-1"
    );
}

async fn conversations_do_not_depend_on_the_order_of_delivery(database: TestDatabase) {
    let world = World::start(database).await;
    world.add_mailbox(json!({})).await;
    // The last answer comes first, then the beginning, and what joins the two at the end.
    let last = deliver(
        &world,
        1,
        "c@x.test",
        "ada@x.test",
        "Re: x",
        "In-Reply-To: <b@x.test>\r\n",
    )
    .await;
    let first = deliver(&world, 2, "a@x.test", "ada@x.test", "x", "").await;
    assert_ne!(last["threadId"], first["threadId"]);
    let many: String = (0..2_000).map(|n| format!(" <r{n}@x.test>\r\n")).collect();
    let more = format!("In-Reply-To: <a@x.test>\r\nReferences:{many}");
    deliver(&world, 3, "b@x.test", "ada@x.test", "Re: x", &more).await;
    let all = world.rest.all("/api/v1/messages?limit=200").await;
    let thread = text(&all[0], "threadId");
    assert!(all.iter().all(|message| message["threadId"] == thread.as_str()));
    for id in [text(&last, "threadId"), text(&first, "threadId"), thread.clone()] {
        let shown = world.rest.get(&format!("/api/v1/threads/{id}")).await;
        assert_eq!(shown["id"], thread.as_str(), "an older id leads to it, too");
        assert_eq!(shown["emailIds"].as_array().map(Vec::len), Some(3));
        let listed = world.rest.all(&format!("/api/v1/messages?threadId={id}")).await;
        assert_eq!(listed.len(), 3);
    }
}

async fn a_merged_ticket_leads_to_the_one_that_is_left(database: TestDatabase) {
    let world = World::start(database).await;
    world.add_mailbox(json!({})).await;
    deliver(&world, 1, "a@x.test", "ada@x.test", "Printer", "").await;
    let second = deliver(&world, 2, "b@x.test", "bo@x.test", "Printer again", "").await;
    let third = deliver(&world, 3, "c@x.test", "cy@x.test", "Same printer", "").await;
    let merge = async |from: &str, into: &str| {
        world
            .rest
            .post(&format!("/api/v1/tickets/{from}/merge"), &json!({ "into": into }))
            .await
    };
    merge("HELP-3", "HELP-2").await;
    for _ in 0..2 {
        let left = merge("HELP-2", "HELP-1").await;
        assert_eq!(left["key"], "HELP-1");
        assert_eq!(left["mergedKeys"], json!(["HELP-2", "HELP-3"]));
        assert_eq!(left["entries"].as_array().map(Vec::len), Some(3));
    }
    // The other way round would be a circle: it is one ticket already.
    let refused = world
        .rest
        .send(
            reqwest::Method::POST,
            "/api/v1/tickets/HELP-1/merge",
            Some(&json!({ "into": "HELP-3" })),
        )
        .await;
    assert_eq!(refused.status, 422, "{}", refused.json);
    for old in [
        "HELP-2".to_owned(),
        "HELP-3".to_owned(),
        text(&second["mailgrant"], "ticketId"),
        text(&third["mailgrant"], "ticketId"),
    ] {
        let shown = world.rest.get(&format!("/api/v1/tickets/{old}")).await;
        assert_eq!(shown["key"], "HELP-1", "{old}");
    }
    assert_eq!(world.rest.all("/api/v1/tickets").await.len(), 1);
    let answer = deliver(
        &world,
        4,
        "d@x.test",
        "cy@x.test",
        "Re: Same printer",
        "In-Reply-To: <c@x.test>\r\n",
    )
    .await;
    assert_eq!(answer["mailgrant"]["resolution"]["joined"]["ticketKey"], "HELP-1");
    let events = world.rest.all("/api/v1/events?types=ticket.merged").await;
    assert_eq!(events.len(), 2, "a repetition is no event");
}

//! Which ticket a mail joins, through the whole service: what Dovecot delivered, what REST shows of it.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::{Kind, TestDatabase, wanted};
use crate::support::process::{Mailgrant, Rest, Settings};
use crate::support::smtp_sink::SmtpSink;
use crate::support::wait::{SOON, eventually};
use crate::world::{ACCOUNT, World, text};

on_each_database!(
    a_stranger_joins_no_ticket_and_a_participant_does,
    a_key_in_the_subject_joins_only_a_verified_participant,
    conversations_do_not_depend_on_the_order_of_delivery,
    a_merged_ticket_leads_to_the_one_that_is_left,
    signed_names_find_the_ticket_alone_also_after_a_merge_and_a_split,
    what_comes_while_tickets_are_merged_and_split_is_in_one_place,
    a_mail_in_two_mailboxes_of_a_project_is_one_ticket,
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

/// Where a message is: the key of its ticket and the rule that led there.
fn place(message: &Value) -> (&str, &str) {
    let resolution = &message["mailgrant"]["resolution"];
    let joined = resolution["joined"]["ticketKey"].as_str().unwrap_or("new");
    (joined, rule(message))
}

async fn signed_names_find_the_ticket_alone_also_after_a_merge_and_a_split(database: TestDatabase) {
    let world = World::start(database).await;
    let sink = SmtpSink::start_tls(&world.dovecot.ca).await;
    let smtp = json!({
        "host": "127.0.0.1", "port": sink.port, "tls": "implicit", "from": format!("Help Desk <{ACCOUNT}>"),
        "signedReplyAddress": true,
    });
    world.add_mailbox(json!({ "smtp": smtp })).await;
    let ada = "Ada <ada@x.test>";
    deliver(&world, 1, "a@x.test", ada, "Printer", "").await;
    let path = "/api/v1/tickets/HELP-1/replies";
    let reply = world
        .rest
        .send_once(path, &json!({ "text": "Water?" }))
        .await
        .json;
    let id = text(&reply, "messageId");
    let raw = eventually("the answer is sent", SOON, async || sink.taken().pop())
        .await
        .raw;
    let address = String::from_utf8_lossy(&raw)
        .replace("\r\n ", " ")
        .lines()
        .find_map(|line| line.strip_prefix("Reply-To: "))
        .and_then(|value| value.split('<').nth(1)?.split('>').next())
        .unwrap()
        .to_owned();
    let by_id = |id: &str| format!("In-Reply-To: <{id}>\r\n");
    let by_address = |address: &str| format!("Cc: {address}\r\n");

    let alone = deliver(&world, 2, "b@x.test", ada, "Hi", &by_address(&address)).await;
    assert_eq!(place(&alone), ("HELP-1", "reply_address"), "{alone}");
    let alone = deliver(&world, 3, "c@x.test", ada, "Hi", &by_id(&id)).await;
    assert_eq!(place(&alone), ("HELP-1", "signed_message_id"), "{alone}");
    // The last character of the seal, another ticket's number, another mail's name, another sender.
    let altered = |text: &str| {
        let (local, host) = text.rsplit_once('@').unwrap();
        let (rest, last) = local.split_at(local.len() - 1);
        format!("{rest}{}@{host}", if last == "0" { "1" } else { "0" })
    };
    let mallory = "mallory@evil.test";
    let forged = [
        (ada, by_address(&altered(&address)), false),
        (ada, by_id(&altered(&id)), false),
        (ada, by_address(&address.replace("mg1.1.", "mg1.2.")), false),
        (ada, by_id(&id.replace("mg1.1.ent_", "mg1.1.ent_0")), false),
        (mallory, by_address(&address), true),
        (mallory, by_id(&id), true),
    ];
    for (count, (from, more, is_linked)) in forged.iter().enumerate() {
        let found = deliver(&world, count + 4, &format!("f{count}@x.test"), from, "Hi", more).await;
        assert_eq!(place(&found), ("new", "new_ticket"), "{more}: {found}");
        let possibly = &found["mailgrant"]["resolution"]["possiblyRelated"]["ticketKey"];
        let linked = if *is_linked { json!("HELP-1") } else { Value::Null };
        assert_eq!(possibly, &linked, "{more}");
    }

    world
        .rest
        .post("/api/v1/tickets/HELP-1/merge", &json!({ "into": "HELP-2" }))
        .await;
    for (count, id_or_address) in [(10, by_id(&id)), (11, by_address(&address))] {
        let merged = deliver(
            &world,
            count,
            &format!("m{count}@x.test"),
            ada,
            "Hi",
            &id_or_address,
        )
        .await;
        assert_eq!(place(&merged).0, "HELP-2", "{merged}");
    }
    let split = json!({ "entryIds": [text(&reply, "entryId")], "subject": "Water" });
    let made = world.rest.post("/api/v1/tickets/HELP-2/split", &split).await;
    assert_eq!(
        (made["key"].as_str(), made["subject"].as_str()),
        (Some("HELP-8"), Some("Water"))
    );
    assert_eq!(made["related"][0]["kind"], "split");
    for (count, id_or_address) in [(12, by_id(&id)), (13, by_address(&address))] {
        let moved = deliver(
            &world,
            count,
            &format!("s{count}@x.test"),
            ada,
            "Hi",
            &id_or_address,
        )
        .await;
        assert_eq!(place(&moved).0, "HELP-8", "{moved}");
    }
    let stays = deliver(&world, 14, "t@x.test", ada, "Hi", &by_id("b@x.test")).await;
    assert_eq!(place(&stays), ("HELP-2", "known_reference"));
}

/// Every message is in one entry of the ticket that it names, and every ticket has as many entries as it says.
async fn everything_is_in_one_place(rest: &Rest, messages: usize) {
    let mut places = BTreeMap::new();
    for ticket in rest.all("/api/v1/tickets?limit=200").await {
        let detail = rest
            .get(&format!("/api/v1/tickets/{}", text(&ticket, "id")))
            .await;
        let entries = detail["entries"].as_array().unwrap();
        assert_eq!(ticket["entryCount"], entries.len(), "{ticket}");
        assert!(!entries.is_empty(), "a ticket without entries: {ticket}");
        for entry in entries {
            let before = places.insert(text(entry, "messageId"), text(&ticket, "id"));
            assert_eq!(before, None, "a message in two entries");
        }
    }
    let all = rest.all("/api/v1/messages?limit=200").await;
    assert_eq!((all.len(), places.len()), (messages, messages));
    for message in all {
        let id = text(&message, "id");
        assert_eq!(message["mailgrant"]["ticketId"], places[&id].as_str(), "{id}");
    }
}

async fn what_comes_while_tickets_are_merged_and_split_is_in_one_place(database: TestDatabase) {
    const ANSWERS: usize = 40;
    let world = World::start(database).await;
    world.add_mailbox(json!({})).await;
    let first = deliver(&world, 1, "a@x.test", "ada@x.test", "Printer", "").await;
    deliver(
        &world,
        2,
        "b@x.test",
        "ada@x.test",
        "Re: Printer",
        "In-Reply-To: <a@x.test>\r\n",
    )
    .await;
    let rest = &world.rest;
    let entries_of = async |key: &str| {
        let shown = rest.get(&format!("/api/v1/tickets/{key}")).await;
        let entries = shown["entries"].as_array().unwrap().iter();
        entries.map(|entry| text(entry, "id")).collect::<Vec<_>>()
    };
    let deliveries = async {
        for n in 0..ANSWERS {
            let more = "In-Reply-To: <a@x.test>\r\n";
            let raw = mail(&format!("{n}@x.test"), "ada@x.test", "Re: Printer", more);
            world.dovecot.deliver(ACCOUNT, &raw).await;
        }
    };
    let moves = async {
        for _ in 0..12 {
            let newest = entries_of("HELP-1").await.pop().unwrap();
            let split = json!({ "entryIds": [newest] });
            // Four at once: one of them finds the entry.
            let path = "/api/v1/tickets/HELP-1/split";
            let one = || rest.send(Method::POST, path, Some(&split));
            let all = tokio::join!(one(), one(), one(), one());
            let all = [all.0, all.1, all.2, all.3];
            let mut statuses = all.each_ref().map(|reply| reply.status);
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 422, 422, 422]);
            let made = all.iter().find(|reply| reply.status == 201).unwrap();
            let path = format!("/api/v1/tickets/{}/merge", text(&made.json, "id"));
            rest.post(&path, &json!({ "into": "HELP-1" })).await;
        }
    };
    tokio::join!(deliveries, moves);
    world.ticketed(ANSWERS + 2).await;
    everything_is_in_one_place(rest, ANSWERS + 2).await;
    let left = rest.all("/api/v1/tickets").await;
    assert_eq!(left.len(), 1, "every split was taken back");
    // What claims to answer what is the same all the time.
    let path = format!("/api/v1/threads/{}", text(&first, "threadId"));
    assert_eq!(
        rest.get(&path).await["emailIds"].as_array().map(Vec::len),
        Some(ANSWERS + 2)
    );
}

async fn a_mail_in_two_mailboxes_of_a_project_is_one_ticket(database: TestDatabase) {
    let world = World::start(database).await;
    let second = json!({ "name": "Second", "folder": "Second" });
    world.dovecot.make_folder(ACCOUNT, "Second");
    let ids = [
        world.add_mailbox(json!({})).await,
        world.add_mailbox(second).await,
    ];
    let first = deliver(&world, 1, "a@x.test", "ada@x.test", "Printer", "").await;
    let trace = "Received: from x.test by another.example\r\n";
    let copy = [trace.as_bytes(), &mail("a@x.test", "ada@x.test", "Printer", "")].concat();
    let other = [trace.as_bytes(), &mail("a@x.test", "ada@x.test", "Scanner", "")].concat();
    world.dovecot.put(ACCOUNT, "Second", "1", &copy, "");
    world.dovecot.put(ACCOUNT, "Second", "2", &other, "");
    let all = world.ticketed(3).await;
    let of = |subject: &str, mailbox: &str| {
        let found = all
            .iter()
            .find(|message| message["subject"] == subject && message["mailgrant"]["mailboxId"] == mailbox);
        found.unwrap()
    };
    let copy = of("Printer", &ids[1]);
    assert_eq!(place(copy), ("HELP-1", "same_mail"));
    assert_eq!(copy["mailgrant"]["entryId"], first["mailgrant"]["entryId"]);
    assert_eq!(
        place(of("Scanner", &ids[1])).1,
        "new_ticket",
        "the same Message-ID, another mail"
    );
    let ticket = world.rest.get("/api/v1/tickets/HELP-1").await;
    assert_eq!(ticket["entries"].as_array().map(Vec::len), Some(1), "{ticket}");
    // Each mailbox has its list of tickets, which follows what they become.
    let listed = async |mailbox: &str, query: &str| -> Vec<String> {
        let path = format!("/api/v1/tickets?mailboxId={mailbox}&limit=1{query}");
        let all = world.rest.all(&path).await;
        all.iter().map(|ticket| text(ticket, "key")).collect()
    };
    for order in ["", "&sort=created", "&sort=priority", "&project=HELP"] {
        assert_eq!(listed(&ids[0], order).await, ["HELP-1"], "{order}");
        assert_eq!(listed(&ids[1], order).await, ["HELP-2", "HELP-1"], "{order}");
    }
    let urgent = json!({ "priority": "urgent" });
    let patched = world
        .rest
        .send(reqwest::Method::PATCH, "/api/v1/tickets/HELP-1", Some(&urgent));
    assert_eq!(patched.await.status, 200);
    for order in ["", "&sort=priority"] {
        assert_eq!(listed(&ids[1], order).await, ["HELP-1", "HELP-2"], "{order}");
    }
    let path = format!("/api/v1/messages/{}/explanation", text(&first, "id"));
    let also = &world.rest.get(&path).await["alsoArrived"];
    assert_eq!(
        (
            also[0]["messageId"] == copy["id"],
            also[0]["mailboxId"] == ids[1].as_str()
        ),
        (true, true),
        "{also}"
    );
    world
        .rest
        .post("/api/v1/tickets/HELP-1/merge", &json!({ "into": "HELP-2" }))
        .await;
    for mailbox in &ids {
        assert_eq!(listed(mailbox, "").await, ["HELP-2"]);
    }
    let split = json!({ "entryIds": [first["mailgrant"]["entryId"]] });
    world.rest.post("/api/v1/tickets/HELP-2/split", &split).await;
    assert_eq!(listed(&ids[0], "").await, ["HELP-3"]);
    assert_eq!(listed(&ids[1], "&sort=created").await, ["HELP-3", "HELP-2"]);
}

/// The same mails in two mailboxes, each read by another node: whichever comes first opens the ticket.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_place_the_same_mails_at_once_open_one_ticket_for_each() {
    const MAILS: usize = 40;
    if !wanted(Kind::Postgres) {
        return;
    }
    let world = World::start(TestDatabase::create(Kind::Postgres).await).await;
    let second = second_node(&world).await;
    for folder in ["Second", "Third"] {
        world.dovecot.make_folder(ACCOUNT, folder);
        for n in 0..MAILS {
            let mail = mail(&format!("{n}@x.test"), "ada@x.test", "Printer", "");
            let raw = [format!("Delivered-To: {folder}\r\n").as_bytes(), &mail].concat();
            world.dovecot.put(ACCOUNT, folder, &format!("{n}"), &raw, "");
        }
    }
    let add = |folder: &str| world.add_mailbox(json!({ "name": folder, "folder": folder }));
    tokio::join!(add("Second"), add("Third"));
    let all = world.ticketed(2 * MAILS).await;
    let copies = all.iter().filter(|message| rule(message) == "same_mail").count();
    assert_eq!((all.len(), copies), (2 * MAILS, MAILS));
    let tickets = second.rest().all("/api/v1/tickets?limit=200").await;
    assert_eq!(tickets.len(), MAILS);
    for ticket in tickets {
        let shown = world
            .rest
            .get(&format!("/api/v1/tickets/{}", text(&ticket, "id")))
            .await;
        assert_eq!(shown["entries"].as_array().map(Vec::len), Some(1), "{shown}");
    }
}

/// One more node of the same installation.
async fn second_node(world: &World) -> Mailgrant {
    let settings = Settings::new()
        .database(&world.database.url)
        .trust(world.dovecot.ca_file())
        .set("MAILGRANT_ALLOW_NETWORKS", "127.0.0.0/8")
        .set(
            "MAILGRANT_KEY_FILE",
            world.mailgrant.data_dir().join("key").to_string_lossy(),
        );
    Mailgrant::start(settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_read_one_conversation_at_once_double_no_ticket() {
    const MAILS: usize = 40;
    if !wanted(Kind::Postgres) {
        return;
    }
    let world = World::start(TestDatabase::create(Kind::Postgres).await).await;
    let second = second_node(&world).await;
    world.add_mailbox(json!({})).await;
    deliver(&world, 1, "a@x.test", "ada@x.test", "Printer", "").await;
    // Two folders with answers to it, and with mails that are about something else, each in its own mailbox.
    for folder in ["Second", "Third"] {
        world.dovecot.make_folder(ACCOUNT, folder);
        for n in 0..MAILS {
            let more = if n % 2 == 0 {
                "In-Reply-To: <a@x.test>\r\n"
            } else {
                ""
            };
            let raw = mail(&format!("{folder}{n}@x.test"), "ada@x.test", "Printer", more);
            world.dovecot.put(ACCOUNT, folder, &format!("{n}"), &raw, "");
        }
    }
    let add = |folder: &str| world.add_mailbox(json!({ "name": folder, "folder": folder }));
    tokio::join!(add("Second"), add("Third"));
    let all = world.ticketed(2 * MAILS + 1).await;
    assert_eq!(all.len(), 2 * MAILS + 1);
    let answers = all.iter().filter(|message| rule(message) == "known_reference");
    for answer in answers {
        assert_eq!(place(answer).0, "HELP-1");
    }
    everything_is_in_one_place(&second.rest(), 2 * MAILS + 1).await;
    let tickets = world.rest.all("/api/v1/tickets?limit=200").await;
    let mut numbers: Vec<u32> = tickets
        .iter()
        .map(|ticket| text(ticket, "key").trim_start_matches("HELP-").parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        (1..=u32::try_from(MAILS).unwrap() + 1).collect::<Vec<_>>()
    );
    let ask = |sql: &str| world.database.postgres().unwrap().query(sql).trim().to_owned();
    println!(
        "leases: {}",
        ask("select string_agg(folder || ' ' || lease_holder, ', ') from mailboxes")
    );
}

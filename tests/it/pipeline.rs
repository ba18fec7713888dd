//! The main job against a real Dovecot, a foreign OAuth server and both databases: mail that arrives becomes tickets.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::mails;
use crate::support::wait::{SOON, eventually};
use crate::world::{ACCOUNT, World, text};

on_each_database!(
    mail_that_arrives_becomes_tickets,
    what_is_done_on_the_server_is_what_was_asked_for,
    a_changed_uidvalidity_neither_loses_nor_doubles,
    the_start_decides_which_old_mail_is_taken,
    one_broken_mailbox_does_not_delay_another,
    asking_again_and_again_disturbs_nobody,
);

async fn mail_that_arrives_becomes_tickets(database: TestDatabase) {
    let world = World::start(database).await;
    let mailbox_id = world.add_mailbox(json!({ "startFrom": "now" })).await;
    world.mailbox_is(&mailbox_id, "ok").await;
    let first = mails::simple(
        "<a@x.test>",
        "Ada <ada@example.test>",
        "Printer on fire",
        "It burns.",
    );
    world.dovecot.deliver(ACCOUNT, &first).await;
    let answer = b"Message-ID: <b@x.test>\r\nIn-Reply-To: <a@x.test>\r\nFrom: ada@example.test\r\n\
        Subject: Re: Printer on fire\r\n\r\nStill burning.\r\n";
    world.ticketed(1).await;
    world.dovecot.deliver(ACCOUNT, answer).await;
    let other = mails::simple(
        "<c@x.test>",
        "Bo <bo@example.test>",
        "Re: Printer on fire",
        "Same subject, other mail.",
    );
    world.dovecot.deliver(ACCOUNT, &other).await;
    world.ticketed(3).await;

    let tickets = world.rest.all("/api/v1/tickets").await;
    assert_eq!(tickets.len(), 2, "an answer joins, an equal subject does not");
    let help1 = world.rest.get("/api/v1/tickets/HELP-1").await;
    assert_eq!(help1["subject"], "Printer on fire");
    assert_eq!(
        help1["requester"],
        json!({ "name": "Ada", "email": "ada@example.test" })
    );
    assert_eq!(help1["state"], "open");
    assert_eq!(help1["entries"].as_array().map(Vec::len), Some(2));
    let message_id = text(&help1["entries"][0], "messageId");
    // LMTP puts its own lines on top; what was delivered comes out byte for byte below them.
    let raw = world
        .rest
        .download(&format!("/api/v1/messages/{message_id}/raw"))
        .await;
    assert!(raw.ends_with(&first), "{}", String::from_utf8_lossy(&raw));
    let message = world.rest.get(&format!("/api/v1/messages/{message_id}")).await;
    assert_eq!(message["subject"], "Printer on fire");
    assert_eq!(message["mailgrant"]["mailboxId"], mailbox_id.as_str());
    assert_eq!(message["mailgrant"]["ticketId"], help1["id"]);
    assert_eq!(
        world.dovecot.seen(ACCOUNT, "INBOX"),
        0,
        "nothing is changed on the server"
    );
}

async fn what_is_done_on_the_server_is_what_was_asked_for(database: TestDatabase) {
    let world = World::start(database).await;
    world.dovecot.make_folder(ACCOUNT, "Done");
    world.dovecot.seed(ACCOUNT, 20);
    let seen = world.add_mailbox(json!({ "afterIngest": "mark_seen" })).await;
    world.ticketed(20).await;
    eventually("all mails are marked as seen", SOON, async || {
        (world.dovecot.seen(ACCOUNT, "INBOX") == 20).then_some(())
    })
    .await;
    world
        .rest
        .post(&format!("/api/v1/mailboxes/{seen}/pause"), &json!({}))
        .await;
    world
        .add_mailbox(json!({ "name": "Mover", "afterIngest": "move", "moveTo": "Done" }))
        .await;
    eventually("all mails are moved", SOON, async || {
        let left = world.dovecot.files(ACCOUNT, "INBOX").len();
        let moved = world.dovecot.files(ACCOUNT, "Done").len();
        (left == 0 && moved == 20).then_some(())
    })
    .await;
}

async fn a_changed_uidvalidity_neither_loses_nor_doubles(database: TestDatabase) {
    let mut world = World::start(database).await;
    world.dovecot.seed(ACCOUNT, 60);
    let mailbox_id = world.add_mailbox(json!({})).await;
    let before = world.ticketed(60).await;
    world.dovecot.bump_uidvalidity(ACCOUNT).await;
    world.dovecot.seed_folder(ACCOUNT, "INBOX", 2, 0..5);
    world
        .rest
        .post(&format!("/api/v1/mailboxes/{mailbox_id}/poll"), &json!({}))
        .await;
    let after = world.ticketed(65).await;
    assert_eq!(after.len(), 65);
    let told = world.rest.all("/api/v1/events?types=mailbox.*").await;
    let of = |kind: &str| {
        let own = told.iter().filter(|event| event["type"] == kind);
        own.map(|event| text(event, "subjectId")).collect::<Vec<_>>()
    };
    assert_eq!(of("mailbox.connected"), [mailbox_id.as_str()]);
    assert_eq!(of("mailbox.uidvalidity_changed"), [mailbox_id.as_str()]);
    assert_eq!(
        ids(&before).difference(&ids(&after)).count(),
        0,
        "no message is gone"
    );
    let entries: BTreeSet<String> = after.iter().map(|m| text(&m["mailgrant"], "entryId")).collect();
    assert_eq!(entries.len(), 65, "each message is exactly one entry");
}

fn ids(messages: &[Value]) -> BTreeSet<String> {
    messages.iter().map(|message| text(message, "id")).collect()
}

async fn the_start_decides_which_old_mail_is_taken(database: TestDatabase) {
    let world = World::start(database).await;
    // Mails 0 to 9 of the first of January 2026, one a minute.
    for number in 0..10_u64 {
        let mail = mails::Mail { seed: 1, number };
        let flags = if number < 6 { "S" } else { "" };
        world.dovecot.put(
            ACCOUNT,
            "INBOX",
            &format!("{number}.M{number}P1.test"),
            &mail.bytes(),
            flags,
        );
    }
    let taken = async |name: &str, start: &str, count: usize| {
        let id = world
            .add_mailbox(json!({ "name": name, "startFrom": start, "idle": false }))
            .await;
        world.mailbox_is(&id, "ok").await;
        let path = format!("/api/v1/messages?mailboxId={id}");
        eventually(
            &format!("{count} messages with startFrom {start}"),
            SOON,
            async || (world.rest.all(&path).await.len() == count).then_some(()),
        )
        .await;
    };
    taken("Unread", "unread", 4).await;
    taken("All", "all", 10).await;
    taken("Now", "now", 0).await;
    world
        .dovecot
        .deliver(
            ACCOUNT,
            &mails::simple("<new@x.test>", "a@example.test", "New", "New."),
        )
        .await;
    for name in ["Unread", "All", "Now"] {
        let wanted = match name {
            "Unread" => 5,
            "All" => 11,
            _ => 1,
        };
        let mailboxes = world.rest.all("/api/v1/mailboxes").await;
        let id = mailboxes
            .iter()
            .find(|m| m["name"] == name)
            .map(|m| text(m, "id"))
            .unwrap();
        eventually(&format!("{name} has taken the new mail"), SOON, async || {
            let got = world
                .rest
                .all(&format!("/api/v1/messages?mailboxId={id}"))
                .await
                .len();
            (got == wanted).then_some(())
        })
        .await;
    }
}

async fn one_broken_mailbox_does_not_delay_another(database: TestDatabase) {
    let world = World::start(database).await;
    let broken = world
        .add_mailbox(json!({ "name": "Broken", "folder": "Nowhere" }))
        .await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    world.add_mailbox(json!({ "name": "Silent", "port": port })).await;
    world.dovecot.seed(ACCOUNT, 3);
    world.add_mailbox(json!({ "name": "Healthy" })).await;
    world.ticketed(3).await;
    let broken = world.mailbox_is(&broken, "failing").await;
    assert!(text(&broken["lastError"], "remedy").contains("older"), "{broken}");
}

async fn asking_again_and_again_disturbs_nobody(database: TestDatabase) {
    let world = World::start(database).await;
    world.dovecot.seed(ACCOUNT, 250);
    // A schedule that is far away: what arrives is seen by IDLE or because somebody asked.
    let id = world.add_mailbox(json!({ "schedule": "0 0 0 1 1 *" })).await;
    let path = format!("/api/v1/mailboxes/{id}/poll");
    eventually(
        "all mails arrive although somebody asks all the time",
        SOON * 3,
        async || {
            world.rest.post(&path, &json!({})).await;
            let all = world.rest.all("/api/v1/messages?limit=200").await;
            (all.len() == 250).then_some(())
        },
    )
    .await;
    let quiet = world.add_mailbox(
        json!({ "name": "Quiet", "schedule": "0 0 0 1 1 *", "idle": false, "startFrom": "now" }),
    );
    let quiet = quiet.await;
    world.mailbox_is(&quiet, "ok").await;
    world
        .dovecot
        .deliver(
            ACCOUNT,
            &mails::simple("<q@x.test>", "a@example.test", "Quiet", "Quiet."),
        )
        .await;
    world
        .rest
        .post(&format!("/api/v1/mailboxes/{quiet}/poll"), &json!({}))
        .await;
    eventually("the mail is there because somebody asked", SOON, async || {
        let got = world
            .rest
            .all(&format!("/api/v1/messages?mailboxId={quiet}"))
            .await;
        (got.len() == 1).then_some(())
    })
    .await;
}

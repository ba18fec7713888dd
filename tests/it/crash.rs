//! Killed with SIGKILL at each step of the ingestion order, and started again: every mail is one message, every
//! message exactly one entry, nothing lost and nothing doubled.

use std::collections::BTreeSet;

use serde_json::json;

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::wait::{SOON, eventually};
use crate::world::{ACCOUNT, World, text};

on_each_database!(killed_at_every_step_nothing_is_lost_or_doubled);

/// More than one batch to fetch and more than two to parse, so that every point is passed often enough.
const MAILS_BEFORE_EACH: u64 = 110;

/// Each step of the order, at its first passing and in the middle of the work.
const POINTS: [&str; 10] = [
    "fetched",
    "stored",
    "told",
    "parsed",
    "ticketed",
    "fetched:2",
    "stored:2",
    "told:2",
    "parsed:3",
    "ticketed:3",
];

async fn killed_at_every_step_nothing_is_lost_or_doubled(database: TestDatabase) {
    let mut world = World::start(database).await;
    // The mailbox is made while there is no mail yet; each round brings some, and a death.
    world.add_mailbox(json!({ "afterIngest": "mark_seen" })).await;
    let mut delivered = 0;
    for point in POINTS {
        world.mailgrant.stop();
        world
            .dovecot
            .seed_folder(ACCOUNT, "INBOX", 1, delivered..delivered + MAILS_BEFORE_EACH);
        delivered += MAILS_BEFORE_EACH;
        world.mailgrant.set("MAILGRANT_CRASH_AT", point);
        world.mailgrant.spawn();
        eventually(&format!("it dies at {point}"), SOON * 3, async || {
            world.mailgrant.ended().map(|_| ())
        })
        .await;
        world.mailgrant.kill9();
    }
    world.mailgrant.set("MAILGRANT_CRASH_AT", "");
    world.mailgrant.resume().await;
    let total = usize::try_from(delivered).unwrap();
    let messages = world.ticketed(total).await;
    assert_eq!(messages.len(), total, "every mail is one message");
    let raws: BTreeSet<String> = messages.iter().map(|m| m["messageId"].to_string()).collect();
    assert_eq!(raws.len(), total, "no mail became two messages");
    let tickets = world.rest.all("/api/v1/tickets?limit=200").await;
    let mut entries = BTreeSet::new();
    for ticket in &tickets {
        let detail = world
            .rest
            .get(&format!("/api/v1/tickets/{}", text(ticket, "id")))
            .await;
        for entry in detail["entries"].as_array().unwrap() {
            assert!(
                entries.insert(text(entry, "messageId")),
                "a message stands in two entries"
            );
        }
    }
    assert_eq!(entries.len(), total, "each message is exactly one entry");
    eventually("the server was told about every mail", SOON, async || {
        (world.dovecot.seen(ACCOUNT, "INBOX") == total).then_some(())
    })
    .await;
}

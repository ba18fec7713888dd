//! Consumers of a queue in Node.js and Python, killed at random moments while events flow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::guard::short_dir;
use crate::support::process::{Mailgrant, Settings};
use crate::support::programs::{Language, Running};
use crate::support::wait::{SOON, eventually};
use crate::world::text;

on_each_database!(two_consumers_killed_at_random_lose_nothing_and_keep_the_order_of_each_ticket,);

const EVENTS: usize = 60;
/// How often each consumer is killed.
const DEATHS: usize = 3;
const KINDS: [&str; 5] = [
    "ticket.created",
    "grant.expired",
    "mailbox.paused",
    "message.received",
    "integration.updated",
];

/// One line of the consumers' common file.
struct Work {
    subject: String,
    sequence: i64,
    id: String,
}

fn work(text: &str) -> Vec<Work> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some(Work {
                subject: words.next()?.to_owned(),
                sequence: words.next()?.parse().ok()?,
                id: words.next()?.to_owned(),
            })
        })
        .collect()
}

async fn two_consumers_killed_at_random_lose_nothing_and_keep_the_order_of_each_ticket(
    database: TestDatabase,
) {
    let seed: u64 = std::env::var("MAILGRANT_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    println!("seed: MAILGRANT_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let settings = Settings::new()
        .database(&database.url)
        .set("MAILGRANT_REQUESTS_PER_TOKEN", "0")
        .set("MAILGRANT_REQUESTS_PER_ADDRESS", "0");
    let mailgrant = Mailgrant::start(settings).await;
    let rest = mailgrant.rest();
    rest.post("/api/v1/queues", &json!({ "name": "app", "types": KINDS }))
        .await;
    let made: Value = serde_json::from_str(&mailgrant.run_ok(&[
        "token",
        "create",
        "--name",
        "app",
        "--scope",
        "events:read",
        "--json",
    ]))
    .unwrap();
    let token = text(&made, "token");
    let dir = short_dir();
    let file = dir.path().join("work");
    let consumer = |language: Language| {
        let mut command = language.script("queue-consumer.mjs", "queue_consumer.py");
        command
            .args([&mailgrant.base_url, "app"])
            .arg(&file)
            .arg(format!("{language:?}"))
            .env("TOKEN", &token);
        Running::start("consumer", &mut command)
    };
    let mut consumers = Language::BOTH.map(|language| (language, consumer(language)));
    // Each dies at its own moments, counted in events that were worked on.
    let mut deaths: Vec<(usize, usize)> = (0..2 * DEATHS)
        .map(|n| (random.random_range(1..EVENTS * 3 / 4), n % 2))
        .collect();
    deaths.sort_unstable();
    let mut wanted = BTreeSet::new();
    for _ in 0..EVENTS {
        let kind = KINDS[random.random_range(0..KINDS.len())];
        wanted.insert(text(
            &rest.post("/api/v1/events", &json!({ "type": kind })).await,
            "id",
        ));
    }
    let read = || work(&std::fs::read_to_string(&file).unwrap_or_default());
    for (at, who) in deaths {
        eventually("work goes on", SOON * 6, async || {
            (read().len() >= at).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
        let (language, running) = &mut consumers[who];
        running.program.kill9();
        *running = consumer(*language);
    }
    eventually("all of the work is done", SOON * 6, async || {
        let queue = rest.get("/api/v1/queues/app").await;
        let done: BTreeSet<String> = read().into_iter().map(|work| work.id).collect();
        (queue["waiting"] == 0 && done.len() == wanted.len()).then_some(())
    })
    .await;
    let done = read();
    let ids: BTreeSet<String> = done.iter().map(|work| work.id.clone()).collect();
    assert_eq!(
        ids, wanted,
        "seed {seed}: each event was worked on, and nothing else"
    );
    assert!(
        done.len() < wanted.len() + 3 * 2 * DEATHS + 1,
        "seed {seed}: {} pieces of work; a death repeats at most what was out",
        done.len()
    );
    let mut last = BTreeMap::<&str, i64>::new();
    for work in &done {
        let before = last.insert(&work.subject, work.sequence).unwrap_or(0);
        assert!(
            before <= work.sequence,
            "seed {seed}: {} went back from {before} to {}",
            work.subject,
            work.sequence
        );
    }
    let idle = rest
        .post("/api/v1/queues/app/lease", &json!({ "limit": 10, "seconds": 1 }))
        .await;
    assert_eq!(idle["items"], json!([]), "everything was acknowledged");
}

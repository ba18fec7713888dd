//! How soon an app knows of a mail: from the moment Dovecot accepted it over LMTP to the webhook, with IDLE. The test asks
//! that each mail is told once; the figures are printed. `benches/latency` makes many of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::mails;
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::support::wait::{SOON, eventually};
use crate::world::{ACCOUNT, World};

on_each_database!(a_mail_that_dovecot_accepted_is_told_to_a_webhook_once);

/// How far apart mails come, milliseconds.
const PACE: u64 = 100;

async fn a_mail_that_dovecot_accepted_is_told_to_a_webhook_once(database: TestDatabase) {
    let kind = database.kind;
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = usize::try_from(number("MAILGRANT_LATENCY_MAILS").unwrap_or(10)).unwrap();
    let pace = number("MAILGRANT_LATENCY_PACE").unwrap_or(PACE);
    let world = World::start(database).await;
    let receiver = ScriptedHttp::start().await;
    receiver.answer_always(Answer::text(200, "text/plain", "yes"));
    let hook = json!({ "url": format!("{}/hook", receiver.url), "types": ["ticket.created"] });
    world.rest.post("/api/v1/webhooks", &hook).await;
    let mailbox = world.add_mailbox(json!({ "schedule": "0 0 0 1 1 *" })).await;
    world.mailbox_is(&mailbox, "ok").await;
    // The first one shows that IDLE has begun: the schedule would take a year.
    let mail = |number: usize| {
        let id = format!("<n{number}@latency.test>");
        mails::simple(&id, "ada@x.test", &format!("Mail {number} of many"), "Hello.")
    };
    world.dovecot.deliver(ACCOUNT, &mail(0)).await;
    world.ticketed(1).await;

    let mut accepted = BTreeMap::new();
    let mut pace = tokio::time::interval(Duration::from_millis(pace));
    for number in 1..=count {
        pace.tick().await;
        world.dovecot.deliver(ACCOUNT, &mail(number)).await;
        accepted.insert(number, Instant::now());
    }
    let told = eventually("every mail is told", SOON * 6, async || {
        let requests = receiver.requests();
        (requests.len() > count).then_some(requests)
    })
    .await;
    assert_eq!(told.len(), count + 1, "each once");
    let mut took = Vec::new();
    for (number, accepted) in accepted {
        let name = format!("n{number}@latency.test");
        let mut of_it = told
            .iter()
            .filter(|request| String::from_utf8_lossy(&request.body).contains(&name));
        let request = of_it.next().expect("a webhook that names the mail");
        assert!(of_it.next().is_none(), "{name} is told twice");
        took.push(request.at.saturating_duration_since(accepted));
    }
    took.sort_unstable();
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
    println!(
        "{kind:?}: {count} mails, p50 {:?}, p95 {:?}, p99 {:?}",
        at(50),
        at(95),
        at(99)
    );
}

//! Two nodes on one PostgreSQL: the one that reads a mailbox dies, or sleeps and wakes, in the middle of the work.

use std::process::Command;
use std::time::Instant;

use super::*;
use crate::support::database::{Kind, wanted};
use crate::support::mails;
use crate::world::World;

/// Three batches to fetch, so that there is a middle.
const MAILS: usize = 300;

/// A lease lasts 30 s, and looking for due mailboxes takes a moment.
const TAKEOVER: Duration = Duration::from_secs(40);

/// What happens to the node that holds the lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// SIGKILL.
    Killed,
    /// SIGSTOP, and SIGCONT when the other has done its work.
    Asleep,
}

fn signal(node: &Mailgrant, name: &str) {
    let id = node.id().unwrap().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

fn node_name(node: &Mailgrant) -> String {
    std::fs::read_to_string(node.data_dir().join("node-name")).unwrap()
}

async fn the_other_takes_over(fate: Fate) {
    if !wanted(Kind::Postgres) {
        return;
    }
    let mut world = World::start(TestDatabase::create(Kind::Postgres).await).await;
    let second = Settings::new()
        .database(&world.database.url)
        .trust(world.dovecot.ca_file())
        .set(
            "MAILGRANT_KEY_FILE",
            world.mailgrant.data_dir().join("key").to_string_lossy(),
        );
    let mut second = Mailgrant::start(second).await;
    let seeded = world.dovecot.seed(ACCOUNT, MAILS as u64);
    let id = world.add_mailbox(json!({ "afterIngest": "mark_seen" })).await;
    let ask = |sql: &str| world.database.postgres().unwrap().query(sql).trim().to_owned();
    let count = || ask("select count(*) from messages").parse::<usize>().unwrap();
    eventually("the work has begun", SOON, async || (count() > 0).then_some(())).await;

    let holder = ask(&format!("select lease_holder from mailboxes where id = '{id}'"));
    let first_holds = holder.starts_with(&format!("{}/", node_name(&world.mailgrant)));
    assert!(
        first_holds || holder.starts_with(&format!("{}/", node_name(&second))),
        "{holder}"
    );
    let rest = if first_holds {
        second.rest()
    } else {
        world.rest.clone()
    };
    let victim = if first_holds {
        &mut world.mailgrant
    } else {
        &mut second
    };
    match fate {
        Fate::Killed => victim.kill9(),
        Fate::Asleep => signal(victim, "-STOP"),
    }
    let since = Instant::now();
    let before = ask("select count(*) from messages where ticket_id <> ''")
        .parse::<usize>()
        .unwrap();
    assert!(before < MAILS, "it was in the middle");

    let path = "/api/v1/messages?limit=200";
    let ticketed = async || {
        let all = rest.all(path).await;
        all.iter()
            .filter(|m| m["mailgrant"]["entryId"].is_string())
            .count()
    };
    eventually("the other node takes the mailbox", TAKEOVER, async || {
        let now = ask(&format!("select lease_holder from mailboxes where id = '{id}'"));
        (now != holder).then_some(())
    })
    .await;
    println!(
        "taken over after {:?}, with {before} of {MAILS} in tickets",
        since.elapsed()
    );
    eventually("every mail is in a ticket", PATIENTLY, async || {
        (ticketed().await == MAILS).then_some(())
    })
    .await;
    if fate == Fate::Asleep {
        // It wakes up with a batch in its hands and a lease that is not its own any more.
        signal(victim, "-CONT");
    }
    let mail = mails::simple("<late@x.test>", "a@example.test", "Late", "Hello.");
    world.dovecot.deliver(ACCOUNT, &mail).await;
    eventually("mail that comes later is read", PATIENTLY, async || {
        (ticketed().await == MAILS + 1).then_some(())
    })
    .await;
    eventually("the mail server was told about every mail", SOON, async || {
        (world.dovecot.seen(ACCOUNT, "INBOX") == MAILS + 1).then_some(())
    })
    .await;

    let messages = rest.all(path).await;
    assert_eq!(messages.len(), seeded.len() + 1, "every mail is one message");
    let mut entries = BTreeSet::new();
    for ticket in rest.all("/api/v1/tickets?limit=200").await {
        let detail = rest
            .get(&format!("/api/v1/tickets/{}", text(&ticket, "id")))
            .await;
        for entry in detail["entries"].as_array().unwrap() {
            assert!(
                entries.insert(text(entry, "messageId")),
                "a message stands in two entries"
            );
        }
    }
    assert_eq!(entries.len(), MAILS + 1, "each message is exactly one entry");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_node_that_reads_is_killed_another_takes_over() {
    the_other_takes_over(Fate::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_slept_through_its_lease_changes_nothing_when_it_wakes() {
    the_other_takes_over(Fate::Asleep).await;
}

//! Mail servers that want to harm: the process lives, its memory stays, and the mailbox beside them receives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::support::database::Kind;
use crate::support::mails;
use crate::support::scripted_imap::{Connection, Script, ScriptedImap, Security};
use crate::world::World;

/// How much more memory the attacks together may cost, in bytes.
const MOST_MEMORY: u64 = 64 * 1024 * 1024;

/// Each attack, and the code that its mailbox shows.
const ATTACKS: [(&str, &str); 13] = [
    ("400 parentheses", "imap_hostile"),
    ("100,000 parentheses", "imap_hostile"),
    ("400 parentheses, unasked", "imap_hostile"),
    ("100,000 parentheses, unasked", "imap_hostile"),
    ("100,000 parentheses while waiting", "imap_hostile"),
    ("a literal of 4 GB", "imap_too_large"),
    ("a literal of 60 MB", "imap_too_large"),
    ("60 MB in small literals", "imap_too_large"),
    ("an endless line", "imap_hostile"),
    ("an endless greeting", "imap_hostile"),
    ("a flood of EXISTS", "imap_hostile"),
    ("silence after the greeting", "imap_timeout"),
    ("silence after SELECT", "imap_timeout"),
];

fn parentheses(count: usize) -> String {
    format!("* 1 FETCH (UID 1 BODYSTRUCTURE {}", "(".repeat(count))
}

async fn attack(mut c: Connection, what: &'static str) -> Script {
    const MEGABYTE: usize = 1024 * 1024;
    let inbox = Inbox::with(1..=3);
    if what == "an endless greeting" {
        c.raw(b"* OK ").await?;
        return endlessly(&mut c, &[b'x'; 64 * 1024]).await;
    }
    c.greet().await?;
    if what == "silence after the greeting" {
        return c.silence().await;
    }
    if what.ends_with("unasked") {
        c.behave_until(&inbox, "AUTHENTICATE").await?;
        let count = if what.starts_with("400") { 400 } else { 100_000 };
        return c.send(&parentheses(count)).await;
    }
    if what.ends_with("while waiting") {
        c.behave_until(&inbox, "IDLE").await?;
        c.send("+ idling").await?;
        return c.send(&parentheses(100_000)).await;
    }
    if what == "silence after SELECT" {
        c.behave_until(&inbox, "EXAMINE").await?;
        return c.silence().await;
    }
    c.behave_until(&inbox, "UID FETCH").await?;
    match what {
        "400 parentheses" => c.send(&parentheses(400)).await,
        "100,000 parentheses" => c.send(&parentheses(100_000)).await,
        "a literal of 4 GB" => {
            c.send("* 1 FETCH (UID 1 BODY[] {4294967296}").await?;
            endlessly(&mut c, &[b'x'; 64 * 1024]).await
        }
        "a literal of 60 MB" => {
            c.send(&format!("* 1 FETCH (UID 1 BODY[] {{{}}}", 60 * MEGABYTE))
                .await?;
            c.raw(&vec![b'x'; 60 * MEGABYTE]).await
        }
        "60 MB in small literals" => {
            let mut one = b"* 1 FETCH (UID 1 BODY[] {65536}\r\n".to_vec();
            one.extend_from_slice(&[b'x'; 65536]);
            one.extend_from_slice(b")\r\n");
            for _ in 0..960 {
                c.raw(&one).await?;
            }
            c.silence().await
        }
        "a flood of EXISTS" => endlessly(&mut c, "* 1 EXISTS\r\n".repeat(1000).as_bytes()).await,
        _ => {
            c.raw(b"* 1 FETCH (UID 1 FLAGS (").await?;
            endlessly(&mut c, &[b'x'; 64 * 1024]).await
        }
    }
}

/// Until the client leaves, or 200 MB are sent: then the client is beyond help.
async fn endlessly(c: &mut Connection, bytes: &[u8]) -> Script {
    for _ in 0..(200 * 1024 * 1024 / bytes.len()) {
        c.raw(bytes).await?;
    }
    c.silence().await
}

/// Resident memory of a process, in bytes.
fn resident(id: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_stops_the_process_or_eats_its_memory_or_delays_another_mailbox() {
    let mut world = World::start(TestDatabase::create(Kind::Sqlite).await).await;
    // What is touched once stays in memory: parser, templates, a first batch. It is not the attackers' doing.
    world.dovecot.seed(ACCOUNT, 20);
    world.add_mailbox(json!({ "name": "Healthy" })).await;
    world.ticketed(20).await;
    let id = world.mailgrant.id().unwrap();
    let before = resident(id);
    let most = Arc::new(AtomicU64::new(before));
    let watched = Arc::clone(&most);
    let watch = tokio::spawn(async move {
        let mut clock = tokio::time::interval(Duration::from_millis(10));
        loop {
            clock.tick().await;
            watched.fetch_max(resident(id), Ordering::Relaxed);
        }
    });

    let mut attackers = Vec::new();
    for (what, code) in ATTACKS {
        let server = ScriptedImap::start(Security::None, move |c| attack(c, what)).await;
        let mailbox = world
            .add_mailbox(json!({
                "name": what, "port": server.port, "tls": "none", "schedule": "0 0 0 1 1 *",
                "idle": what.ends_with("while waiting"), "startFrom": "all",
            }))
            .await;
        attackers.push((what, code, server, mailbox));
    }
    let mut received = 20;
    for (what, code, server, mailbox) in &attackers {
        let mail = mails::simple(
            &format!("<{received}@x.test>"),
            "a@example.test",
            what,
            "Still here?",
        );
        world.dovecot.deliver(ACCOUNT, &mail).await;
        received += 1;
        world.ticketed(received).await;
        fails_with(&world.rest, mailbox, code).await;
        assert!(server.connections() >= 1);
        assert!(world.mailgrant.ended().is_none(), "{what} stopped the process");
    }
    watch.abort();
    assert_eq!(
        world.mailgrant.id(),
        Some(id),
        "one and the same process all along"
    );
    let most = most.load(Ordering::Relaxed);
    println!(
        "resident memory: {} KiB before, {} KiB at most",
        before / 1024,
        most / 1024
    );
    assert!(
        most - before < MOST_MEMORY,
        "memory grew from {} to {} MiB",
        before >> 20,
        most >> 20
    );
}

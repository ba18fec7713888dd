//! A mail server that ends in the middle, leaves things out, or wants to be left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::on_each_database;
use crate::support::database::Kind;
use crate::support::scripted_imap::{Connection, Ended, Script, ScriptedImap, Security, fetch_answer};

on_each_database!(
    whatever_ends_a_fetch_every_mail_is_taken_exactly_once,
    a_server_that_wants_to_be_left_alone_is_left_alone_for_a_minute,
    a_mail_that_the_server_withholds_is_taken_once_it_is_given,
);

/// Every way to spoil a FETCH of three mails, one per connection; later connections behave.
async fn spoil(mut c: Connection, inbox: Inbox) -> Script {
    c.greet().await?;
    // Before it fetches, it asks for sizes: that is the first UID FETCH.
    let number = c.number;
    if number > 7 {
        return c.behave_forever(&inbox).await;
    }
    let sizes = c.behave_until(&inbox, "UID FETCH").await?;
    if number == 7 {
        return c.reply("NO [SERVERBUG] sizes are out").await;
    }
    c.behave(&inbox, &sizes).await?;
    let fetch = c.behave_until(&inbox, "UID FETCH").await?;
    let asked = fetch.line.to_ascii_uppercase();
    let first = fetch_answer(&inbox, 0, &asked);
    match number {
        1 => c.send("* BYE the server goes down").await,
        // 100 bytes promised, 12 sent, closed.
        2 => {
            c.send("* 1 FETCH (UID 1 BODY[] {100}").await?;
            c.raw(b"Subject: cut").await
        }
        3 => c.reply("NO no mail today").await,
        // The end of the stream between two whole answers.
        4 => c.raw(&first).await,
        // A good-bye between two whole answers, and then an OK all the same.
        5 => {
            c.raw(&first).await?;
            c.send("* BYE that was enough").await?;
            c.reply("OK done").await
        }
        // One mail only, and an OK: the others are still there, so they are not taken as gone.
        _ => {
            c.raw(&first).await?;
            c.reply("OK done").await?;
            c.behave_forever(&inbox).await
        }
    }
}

async fn whatever_ends_a_fetch_every_mail_is_taken_exactly_once(database: TestDatabase) {
    let stage = Stage::start(database).await;
    let inbox = Inbox::with([1, 2, 7]);
    let script = inbox.clone();
    let server = ScriptedImap::start(Security::None, move |c| spoil(c, script.clone())).await;
    let id = stage.add_mailbox(server.port, json!({})).await;
    let failing = fails_with(&stage.rest, &id, "imap_bye").await;
    assert!(
        text(&failing["lastError"], "cause").contains("ended the session"),
        "{failing}"
    );
    polled_until(&stage.rest, &id, "all mails are there", async || {
        (server.connections() > 7 && all_exactly_once(&stage.rest, &id, &inbox).await).then_some(())
    })
    .await;
    let path = format!("/api/v1/mailboxes/{id}");
    let mailbox = polled_until(&stage.rest, &id, "the mailbox is well again", async || {
        let mailbox = stage.rest.get(&path).await;
        (mailbox["state"] == "ok").then_some(mailbox)
    })
    .await;
    assert_eq!(mailbox["lastError"], Value::Null);
    assert_eq!(stage.refreshes(), 0, "none of this is the token's fault");
    let told = stage.rest.all("/api/v1/events?types=mailbox.*").await;
    let own = told.iter().filter(|event| event["subjectId"] == id.as_str());
    let mut kinds: Vec<String> = own.map(|event| text(event, "type")).collect();
    // How often it failed and came back depends on when it was read; one follows the other, and the end is good.
    assert_eq!(
        kinds.first().map(String::as_str),
        Some("mailbox.failing"),
        "{kinds:?}"
    );
    kinds.dedup();
    assert_eq!(kinds.len() % 2, 0, "{kinds:?}");
    for pair in kinds.chunks(2) {
        assert_eq!(pair, ["mailbox.failing", "mailbox.recovered"], "{kinds:?}");
    }
}

async fn a_server_that_wants_to_be_left_alone_is_left_alone_for_a_minute(database: TestDatabase) {
    let stage = Stage::start(database).await;
    let mut servers = Vec::new();
    // Where it is said: at the login, when the folder is opened, while waiting for mail.
    for place in ["AUTHENTICATE", "EXAMINE", "IDLE", "greeting"] {
        let server = ScriptedImap::start(Security::None, move |mut c: Connection| async move {
            let inbox = Inbox::with([1]);
            if place == "greeting" {
                return c.send("* BYE [UNAVAILABLE] come back later").await;
            }
            c.greet().await?;
            c.behave_until(&inbox, place).await?;
            match place {
                "AUTHENTICATE" => c.reply("NO [LIMIT] Too many simultaneous connections.").await,
                "EXAMINE" => c.reply("NO [UNAVAILABLE] the folder is being moved").await,
                _ => c.send("* BYE [UNAVAILABLE] too busy").await,
            }
        })
        .await;
        let changes = json!({ "name": place, "idle": place == "IDLE", "startFrom": "now" });
        let id = stage.add_mailbox(server.port, changes).await;
        servers.push((place, server, id));
    }
    for (place, server, id) in &servers {
        fails_with(&stage.rest, id, "imap_throttled").await;
        let path = format!("/api/v1/mailboxes/{id}");
        let wait = eventually("the next attempt is planned", SOON, async || {
            let mailbox = stage.rest.get(&path).await;
            let failed = at(&mailbox, "lastErrorAt");
            let wait = (at(&mailbox, "retryAt") - failed).num_seconds();
            // Until the failed visit is over, the next one is that of the schedule.
            (0 < wait && wait < 86_400).then_some(wait)
        })
        .await;
        assert!((60..=900).contains(&wait), "{place}: {wait} s");
        // Making the mailbox looks once; the poller once more.
        assert!(server.connections() <= 2, "{place}: {}", server.connections());
    }
    assert_eq!(stage.grant().await["state"], "active");
    assert_eq!(
        stage.grant().await["lastError"],
        Value::Null,
        "not the grant's fault"
    );
    assert_eq!(stage.refreshes(), 0, "a busy server is no reason for a new token");
}

fn at(value: &Value, member: &str) -> chrono::DateTime<chrono::Utc> {
    text(value, member).parse().unwrap()
}

/// Which lines of SELECT are left out, or changed.
async fn without(mut c: Connection, inbox: Inbox, word: &'static str, instead: &'static str) -> Script {
    c.greet().await?;
    loop {
        let command = c.behave_until(&inbox, "EXAMINE").await?;
        let next = inbox.mails.last().map_or(1, |(uid, _)| uid + 1);
        let lines = [
            format!("* {} EXISTS", inbox.mails.len()),
            format!("* OK [UIDVALIDITY {}] valid", inbox.uid_validity),
            format!("* OK [UIDNEXT {next}] next"),
        ];
        for line in lines.iter().filter(|line| !line.contains(word)) {
            c.send(line).await?;
        }
        if !instead.is_empty() {
            c.send(instead).await?;
        }
        c.send(&format!("{} OK done", command.tag)).await?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_a_server_leaves_out_or_lowers_lose_nothing() {
    let stage = Stage::start(TestDatabase::create(Kind::Sqlite).await).await;
    let inbox = Inbox::with([3, 4, 9]);
    for (name, word, instead) in [
        ("missing", "UIDNEXT", ""),
        ("lower", "UIDNEXT", "* OK [UIDNEXT 2] next"),
        ("zero", "UIDNEXT", "* OK [UIDNEXT 0] next"),
    ] {
        let script = inbox.clone();
        let server =
            ScriptedImap::start(Security::None, move |c| without(c, script.clone(), word, instead)).await;
        let id = stage.add_mailbox(server.port, json!({ "name": name })).await;
        polled_until(&stage.rest, &id, name, async || {
            all_exactly_once(&stage.rest, &id, &inbox).await.then_some(())
        })
        .await;
    }
    // Without an epoch no UID can be remembered: nothing is taken, and somebody is told.
    let script = inbox.clone();
    let server = ScriptedImap::start(Security::None, move |c| {
        without(c, script.clone(), "UIDVALIDITY", "")
    })
    .await;
    let id = stage
        .add_mailbox(server.port, json!({ "name": "No epoch" }))
        .await;
    let failing = fails_with(&stage.rest, &id, "imap_protocol").await;
    assert!(
        text(&failing["lastError"], "cause").contains("UIDVALIDITY"),
        "{failing}"
    );
    let taken = stage.rest.all(&format!("/api/v1/messages?mailboxId={id}")).await;
    assert!(taken.is_empty(), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_over_the_limit_becomes_a_ticket_with_its_header_and_one_that_is_gone_is_passed_over() {
    let stage = Stage::start(TestDatabase::create(Kind::Sqlite).await).await;
    let inbox = Inbox::with(1..=4);
    let script = inbox.clone();
    // Mail 2 says that it has 60 MB; mail 3 is expunged by somebody else while we fetch.
    let server = ScriptedImap::start(Security::None, move |mut c: Connection| {
        let inbox = script.clone();
        async move {
            c.greet().await?;
            let mut left = inbox.clone();
            loop {
                let fetch = c.behave_until(&left, "UID FETCH").await?;
                if fetch.line.contains("BODY.PEEK[HEADER]") && !fetch.line.contains("FETCH 2 ") {
                    return Err(Ended::Unexpected(fetch.line));
                }
                if fetch.line.contains("BODY.PEEK[]") {
                    if left.mails.len() == 4 {
                        left.mails.retain(|(uid, _)| *uid != 3);
                        c.send("* 3 EXPUNGE").await?;
                    }
                    let asked_for_the_large_one =
                        fetch.line.contains("FETCH 1:4") || fetch.line.contains("FETCH 2");
                    if asked_for_the_large_one {
                        return Err(Ended::Unexpected(fetch.line));
                    }
                    c.behave(&left, &fetch).await?;
                } else if fetch.line.contains("RFC822.SIZE") && fetch.line.contains("FETCH 1:4 ") {
                    for (index, (uid, raw)) in left.mails.iter().enumerate() {
                        let size = if *uid == 2 { 60 * 1024 * 1024 } else { raw.len() };
                        let date = "01-Jan-2026 00:00:00 +0000";
                        let number = index + 1;
                        c.send(&format!(
                            "* {number} FETCH (UID {uid} FLAGS () INTERNALDATE \"{date}\" RFC822.SIZE {size})"
                        ))
                        .await?;
                    }
                    c.reply("OK done").await?;
                } else {
                    c.behave(&left, &fetch).await?;
                }
            }
        }
    })
    .await;
    let id = stage.add_mailbox(server.port, json!({})).await;
    let path = format!("/api/v1/messages?mailboxId={id}");
    let messages = eventually("three of four mails are in tickets", SOON, async || {
        let all = stage.rest.all(&path).await;
        let placed = all
            .iter()
            .filter(|m| m["mailgrant"]["entryId"].is_string())
            .count();
        (placed == 3).then_some(all)
    })
    .await;
    let uids: BTreeSet<i64> = messages
        .iter()
        .map(|m| m["mailgrant"]["uid"].as_i64().unwrap())
        .collect();
    assert_eq!(uids, BTreeSet::from([1, 2, 4]));
    let large = messages.iter().find(|m| m["mailgrant"]["uid"] == 2).unwrap();
    let whole = mail_parser_subject(&inbox.mails[1].1);
    assert_eq!(text(large, "subject"), whole, "the header was read");
    let detail = stage
        .rest
        .get(&format!("/api/v1/messages/{}", text(large, "id")))
        .await;
    assert_eq!(detail["size"], 60 * 1024 * 1024, "{detail}");
    let mailbox = eventually("the mailbox is well", SOON, async || {
        let mailbox = stage.rest.get(&format!("/api/v1/mailboxes/{id}")).await;
        (mailbox["state"] == "ok").then_some(mailbox)
    })
    .await;
    assert_eq!(mailbox["lastError"], Value::Null);
}

/// Lists every mail, one of them with 60 MB, and gives nothing of two of them until it is told to.
async fn withhold(mut c: Connection, inbox: Inbox, gives_all: Arc<AtomicBool>) -> Script {
    c.greet().await?;
    loop {
        let fetch = c.behave_until(&inbox, "UID FETCH").await?;
        if fetch.line.contains("BODY.PEEK[") {
            let mut given = inbox.clone();
            if !gives_all.load(Ordering::SeqCst) {
                c.send("* 2 FETCH (UID 2 BODY[] NIL)").await?;
                c.send("* 120 FETCH (UID 120 BODY[HEADER] NIL)").await?;
                given.mails.retain(|(uid, _)| ![2, 120].contains(uid));
            }
            c.behave(&given, &fetch).await?;
            continue;
        }
        // Of whatever it was asked: the client looks for what it wants to know.
        for (uid, raw) in &inbox.mails {
            let size = if *uid == 120 { 60 * 1024 * 1024 } else { raw.len() };
            let date = "01-Jan-2026 00:00:00 +0000";
            c.send(&format!(
                "* {uid} FETCH (UID {uid} FLAGS () INTERNALDATE \"{date}\" RFC822.SIZE {size})"
            ))
            .await?;
        }
        c.reply("OK done").await?;
    }
}

async fn a_mail_that_the_server_withholds_is_taken_once_it_is_given(database: TestDatabase) {
    let stage = Stage::start(database).await;
    // More than one batch: the withheld ones lie in two.
    let inbox = Inbox::with(1..=130);
    let (script, gives_all) = (inbox.clone(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&gives_all);
    let server = ScriptedImap::start(Security::None, move |c| {
        withhold(c, script.clone(), Arc::clone(&told))
    })
    .await;
    let id = stage.add_mailbox(server.port, json!({})).await;
    let uids = async || {
        let path = format!("/api/v1/messages?limit=200&mailboxId={id}");
        let all = stage.rest.all(&path).await;
        let uids = all.iter().map(|m| m["mailgrant"]["uid"].as_i64().unwrap());
        uids.collect::<BTreeSet<i64>>()
    };
    let without: BTreeSet<i64> = (1..=130).filter(|uid| ![2, 120].contains(uid)).collect();
    polled_until(
        &stage.rest,
        &id,
        "the others are there, and were asked for again",
        async || {
            let asked = server.commands("UID FETCH 2 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])");
            (!asked.is_empty() && uids().await == without).then_some(())
        },
    )
    .await;
    gives_all.store(true, Ordering::SeqCst);
    polled_until(&stage.rest, &id, "the withheld ones are there", async || {
        (uids().await == (1..=130).collect()).then_some(())
    })
    .await;
}

/// The subject as Mailgrant's own parser reads it from the whole mail.
fn mail_parser_subject(raw: &[u8]) -> String {
    mailgrant_mail::parse(raw).subject.unwrap()
}

/// The first answer to a search names a UID that no mail has; the mail with UID 2 comes afterwards.
async fn exaggerate(mut c: Connection) -> Script {
    let inbox = if c.number == 1 {
        Inbox::with([1])
    } else {
        Inbox::with([1, 2])
    };
    c.greet().await?;
    let search = c.behave_until(&inbox, "UID SEARCH").await?;
    if c.number == 1 {
        c.send("* SEARCH 1 4294967295").await?;
        c.send(&format!("{} OK done", search.tag)).await?;
    } else {
        c.behave(&inbox, &search).await?;
    }
    c.behave_forever(&inbox).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uid_that_no_mail_has_does_not_hide_the_mails_to_come() {
    let stage = Stage::start(TestDatabase::create(Kind::Sqlite).await).await;
    let server = ScriptedImap::start(Security::None, exaggerate).await;
    let id = stage.add_mailbox(server.port, json!({ "idle": false })).await;
    polled_until(&stage.rest, &id, "the second mail is there", async || {
        let both = Inbox::with([1, 2]);
        all_exactly_once(&stage.rest, &id, &both).await.then_some(())
    })
    .await;
}

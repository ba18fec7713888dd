//! Mail that nobody presses a button for, through a real submission service: what a project writes by its templates, and
//! what admins are told. Each once.

use std::collections::BTreeMap;

use mailgrant::clock::Clock;
use mailgrant::db::Db;
use mailgrant::event::{self, NewEvent};
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::mails;
use crate::support::oidc_provider::Options;
use crate::support::smtp_sink::{SmtpSink, Taken};
use crate::support::wait::{SOON, eventually};
use crate::world::{ACCOUNT, World, text};

on_each_database!(
    whoever_writes_gets_an_acknowledgement_and_agents_are_told,
    admins_are_told_once_that_something_needs_them_and_once_that_it_is_over,
);

/// A world whose only mailbox sends, also for the installation. Its mails end in the sink.
async fn world(database: TestDatabase, sink: &SmtpSink) -> (World, String) {
    let options = Options {
        app_mailbox: Some(ACCOUNT.to_owned()),
        ..Options::default()
    };
    let world = World::start_relaying(database, options, Some(sink.port)).await;
    let smtp = json!({
        "host": "127.0.0.1", "port": world.dovecot.submission_port, "tls": "starttls",
        "from": format!("Help Desk <{ACCOUNT}>"),
    });
    let mailbox = world
        .add_mailbox(json!({ "startFrom": "now", "smtp": smtp }))
        .await;
    world.mailbox_is(&mailbox, "ok").await;
    let chosen =
        json!({ "mailboxId": mailbox, "alerts": "addresses", "alertAddresses": ["admin@example.test"] });
    patch(&world, "/api/v1/site-mail", &chosen).await;
    (world, mailbox)
}

async fn patch(world: &World, path: &str, body: &Value) {
    let saved = world.rest.send(Method::PATCH, path, Some(body)).await;
    assert_eq!(saved.status, 200, "{}", saved.json);
}

async fn run(world: &World, job: &str) {
    world
        .rest
        .post(&format!("/api/v1/jobs/{job}/run"), &json!({}))
        .await;
}

/// What the sink took for one address, after at least so many.
async fn mails_to(sink: &SmtpSink, to: &str, count: usize) -> Vec<Taken> {
    eventually(&format!("{count} mails to {to}"), SOON * 8, async || {
        let all: Vec<Taken> = sink.taken().into_iter().filter(|mail| mail.to == [to]).collect();
        (all.len() >= count).then_some(all)
    })
    .await
}

/// Header fields and text of a mail.
fn read(mail: &Taken) -> (BTreeMap<String, String>, String) {
    let parsed = mailgrant_mail::parse(&mail.raw);
    let fields = mailgrant_mail::header_fields(&mail.raw);
    let fields = fields
        .into_iter()
        .map(|field| (field.name.to_lowercase(), field.value));
    (fields.collect(), parsed.mailgrant.text)
}

/// Everything that was going out has gone out: a mail that is asked for last has arrived.
async fn nothing_waits(world: &World, sink: &SmtpSink, to: &str) {
    let sent = world
        .rest
        .send_once("/api/v1/site-mail/tests", &json!({ "to": to }))
        .await;
    assert_eq!(sent.status, 202, "{}", sent.json);
    mails_to(sink, to, 1).await;
    eventually("nothing waits in the outbox", SOON * 4, async || {
        let all = world.rest.all("/api/v1/outgoing-mails").await;
        all.iter().all(|mail| mail["state"] == "sent").then_some(())
    })
    .await;
}

async fn whoever_writes_gets_an_acknowledgement_and_agents_are_told(database: TestDatabase) {
    let sink = SmtpSink::start().await;
    let (world, _) = world(database, &sink).await;
    let rest = &world.rest;
    let grace = rest
        .post(
            "/api/v1/users",
            &json!({
                "email": "grace@desk.example", "name": "Grace",
                "memberships": [{ "projectId": world.project_id, "role": "agent" }],
            }),
        )
        .await;
    let bo = json!({ "email": "bo@desk.example", "memberships": [{ "projectId": world.project_id, "role": "viewer" }] });
    rest.post("/api/v1/users", &bo).await;
    // Both were invited, by the same account.
    mails_to(&sink, "grace@desk.example", 1).await;
    mails_to(&sink, "bo@desk.example", 1).await;
    let templates = format!("/api/v1/projects/{}/templates", world.project_id);
    for (kind, words) in [
        (
            "acknowledgement",
            json!({ "enabled": true, "subject": "[{{ ticket.key }}] We have it", "text": "Thank you." }),
        ),
        (
            "new_ticket",
            json!({ "enabled": true, "subject": "New: {{ ticket.key }}", "text": "See {{ ticket.url }}" }),
        ),
        (
            "new_reply",
            json!({ "enabled": true, "subject": "Again: {{ ticket.key }}", "text": "See {{ ticket.url }}" }),
        ),
    ] {
        patch(&world, &format!("{templates}/{kind}"), &words).await;
    }
    let first = mails::simple(
        "<first@ada.example>",
        "Ada <ada@example.test>",
        "Printer",
        "It burns.",
    );
    world.dovecot.deliver(ACCOUNT, &first).await;
    world.ticketed(1).await;

    let acknowledged = mails_to(&sink, "ada@example.test", 1).await;
    let (fields, words) = read(&acknowledged[0]);
    assert_eq!(acknowledged[0].from, ACCOUNT);
    assert_eq!(fields["subject"], "[HELP-1] We have it");
    assert_eq!(fields["in-reply-to"].trim(), "<first@ada.example>");
    assert_eq!(fields["auto-submitted"].trim(), "auto-replied");
    assert!(words.contains("Thank you."), "{words}");
    run(&world, "send_notices").await;
    let told = mails_to(&sink, "grace@desk.example", 2).await;
    let (fields, words) = read(&told[1]);
    assert_eq!(fields["subject"], "New: HELP-1");
    assert!(words.contains("/tickets/HELP-1"), "{words}");

    // An answer in the ticket: its assignee is told, nobody is acknowledged again.
    patch(
        &world,
        "/api/v1/tickets/HELP-1",
        &json!({ "assigneeId": text(&grace, "id") }),
    )
    .await;
    let second = mails::simple(
        "<second@ada.example>",
        "Ada <ada@example.test>",
        "Re: Printer",
        "It still burns.",
    );
    let second = [b"In-Reply-To: <first@ada.example>\r\n", &second[..]].concat();
    world.dovecot.deliver(ACCOUNT, &second).await;
    world.ticketed(2).await;
    run(&world, "send_notices").await;
    let told = mails_to(&sink, "grace@desk.example", 3).await;
    assert_eq!(read(&told[2]).0["subject"], "Again: HELP-1");
    for _ in 0..2 {
        run(&world, "send_notices").await;
    }
    nothing_waits(&world, &sink, "fence@desk.example").await;
    for (to, count) in [
        ("ada@example.test", 1),
        ("grace@desk.example", 3),
        ("bo@desk.example", 1),
    ] {
        assert_eq!(mails_to(&sink, to, count).await.len(), count, "{to}");
    }
}

/// Notes that something happened, as the service would.
async fn happens(world: &World, kind: &str, subject: &str, data: Value) {
    let db = Db::open(&world.database.url).await.unwrap();
    let new = NewEvent {
        kind,
        project_id: "",
        subject_id: subject,
        actor: "system",
        data,
    };
    event::append(db.write(), &Clock::system(), new).await.unwrap();
}

/// Ten minutes pass since admins were told something.
async fn ten_minutes_pass(world: &World) {
    let db = Db::open(&world.database.url).await.unwrap();
    let text = "UPDATE site_mail SET alerts_sent_at = 0 WHERE id = 1";
    db.write().execute_unprepared(text).await.unwrap();
}

async fn admins_are_told_once_that_something_needs_them_and_once_that_it_is_over(database: TestDatabase) {
    let sink = SmtpSink::start().await;
    let (world, mailbox) = world(database, &sink).await;
    let grant = world.grant_id.clone();
    let cause =
        json!({ "code": "invalid_grant", "cause": "The provider refused.", "remedy": "Connect it again." });
    happens(&world, "grant.expired", &grant, cause).await;
    let gone = json!({ "url": "https://desk.example/hook", "reason": "failing" });
    happens(&world, "webhook.disabled", "whk_1", gone).await;
    let quiet = json!({ "name": "Support", "lastMailAt": "2026-11-01T00:00:00Z" });
    happens(&world, "mailbox.silent", &mailbox, quiet).await;
    run(&world, "send_alerts").await;
    let told = mails_to(&sink, "admin@example.test", 1).await;
    assert_eq!(told[0].from, ACCOUNT);
    let mut words = read(&told[0]).1;
    if !words.contains("Support") || !words.contains("desk.example/hook") {
        // The job of the timetable was quicker than the last of them: it is in the next mail.
        ten_minutes_pass(&world).await;
        run(&world, "send_alerts").await;
        words += &read(&mails_to(&sink, "admin@example.test", 2).await[1]).1;
    }
    for part in [
        "The provider refused.",
        "Connect it again.",
        "desk.example/hook",
        "/mailboxes/",
    ] {
        assert_eq!(words.matches(part).count(), 1, "{part}: {words}");
    }
    let before = mails_to(&sink, "admin@example.test", 1).await.len();
    for _ in 0..2 {
        ten_minutes_pass(&world).await;
        run(&world, "send_alerts").await;
    }
    nothing_waits(&world, &sink, "fence@desk.example").await;
    assert_eq!(
        mails_to(&sink, "admin@example.test", before).await.len(),
        before,
        "told once"
    );

    let heard = json!({ "name": "Support", "silentSince": "2026-11-01T00:00:00Z" });
    happens(&world, "grant.restored", &grant, json!({})).await;
    happens(&world, "mailbox.recovered", &mailbox, heard).await;
    let over = eventually("both are over", SOON * 8, async || {
        ten_minutes_pass(&world).await;
        run(&world, "send_alerts").await;
        let all = mails_to(&sink, "admin@example.test", before).await;
        let words: String = all[before..].iter().map(|mail| read(mail).1).collect();
        (words.matches("Over: ").count() >= 2).then_some(words)
    })
    .await;
    assert_eq!(over.matches("Over: ").count(), 2, "{over}");
    assert!(
        over.contains("Support") && !over.contains("desk.example/hook"),
        "{over}"
    );
}

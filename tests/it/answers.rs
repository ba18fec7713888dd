//! Answers by mail: what goes out through a real submission service is what the customer's program threads, and what
//! a mail server refuses is told; nothing is lost, and nothing sent twice without anybody knowing.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::{Kind, TestDatabase};
use crate::support::mails;
use crate::support::oidc_provider::Options;
use crate::support::process::Reply;
use crate::support::smtp_sink::{SmtpSink, Turn};
use crate::support::visitor::{Seen, Visitor};
use crate::support::wait::{SOON, eventually};
use crate::world::{ACCOUNT, World, text};

on_each_database!(
    an_answer_goes_out_threaded_and_its_answer_comes_back,
    killed_while_a_mail_is_handed_over_it_is_sent_again_and_said_so,
    killed_before_it_could_say_so_an_answer_is_still_one_mail,
);

async fn world(database: TestDatabase, relay: Option<&SmtpSink>) -> World {
    let options = Options {
        app_mailbox: Some(ACCOUNT.to_owned()),
        ..Options::default()
    };
    World::start_relaying(database, options, relay.map(|sink| sink.port)).await
}

/// A mailbox that sends through this port, and a ticket in it. Returns the ticket.
async fn ticket(world: &World, smtp: Value) -> Value {
    let mailbox = world
        .add_mailbox(json!({ "startFrom": "now", "smtp": smtp }))
        .await;
    world.mailbox_is(&mailbox, "ok").await;
    let mail = mails::simple(
        "<first@ada.example>",
        "Ada Lovelace <ada@example.test>",
        "Printer on fire",
        "It burns.",
    );
    world.dovecot.deliver(ACCOUNT, &mail).await;
    world.ticketed(1).await;
    world.rest.get("/api/v1/tickets/HELP-1").await
}

fn direct(sink: &SmtpSink) -> Value {
    json!({ "host": "127.0.0.1", "port": sink.port, "tls": "implicit", "from": format!("Help Desk <{ACCOUNT}>") })
}

async fn answer(world: &World, body: Value) -> Value {
    let sent = world
        .rest
        .send_once("/api/v1/tickets/HELP-1/replies", &body)
        .await;
    assert_eq!(sent.status, 202, "{}", String::from_utf8_lossy(&sent.bytes));
    sent.json
}

/// Waits until an outgoing mail looks as wanted, and returns it with its attempts.
async fn outgoing(world: &World, reply: &Value, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/v1/outgoing-mails/{}", text(reply, "id"));
    eventually(what, SOON, async || {
        let mail = world.rest.get(&path).await;
        fits(&mail).then_some(mail)
    })
    .await
}

async fn is(world: &World, reply: &Value, state: &str) -> Value {
    outgoing(world, reply, &format!("the reply is {state}"), |mail| {
        mail["state"] == state
    })
    .await
}

/// Waits until it waits for another attempt because of this, and has it made now.
async fn again(world: &World, reply: &Value, code: &str) {
    outgoing(world, reply, &format!("it was not sent: {code}"), |mail| {
        mail["error"]["code"] == code && mail["state"] != "sending"
    })
    .await;
    let path = format!("/api/v1/tickets/HELP-1/replies/{}/retry", text(reply, "id"));
    world.rest.post(&path, &json!({})).await;
}

/// What the log says became of a reply.
async fn told(world: &World, reply: &Value) -> Vec<String> {
    let types = "ticket.reply_sent,ticket.reply_failed";
    let all = world.rest.all(&format!("/api/v1/events?types={types}")).await;
    let own = all
        .iter()
        .filter(|event| event["data"]["entryId"] == reply["entryId"]);
    own.map(|event| text(event, "type")).collect()
}

fn outcomes(mail: &Value) -> Vec<&str> {
    let log = mail["attemptLog"].as_array().unwrap();
    log.iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap())
        .collect()
}

/// What another program reads in a mail.
fn read_by_python(raw: &[u8]) -> Value {
    const SCRIPT: &str = r#"
import sys, json, email, email.policy
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
body = m.get_body(("plain",))
html = m.get_body(("html",))
json.dump({
    "headers": [name.lower() for name in m.keys()],
    "defects": [str(d) for p in m.walk() for d in p.defects],
    "from": m["from"], "to": m["to"], "cc": m["cc"], "replyTo": m["reply-to"], "subject": m["subject"],
    "messageId": m["message-id"], "inReplyTo": m["in-reply-to"], "references": (m["references"] or "").split(),
    "text": body.get_content().replace("\r\n", "\n") if body else None, "html": html.get_content() if html else None,
    "files": [[p.get_filename(), p.get_content_type(), p.get_content() if p.get_content_maintype() == "text"
               else p.get_content().decode("latin-1")] for p in m.iter_attachments()],
}, sys.stdout)
"#;
    let mut child = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3; run: ./tests/run services");
    child.stdin.take().unwrap().write_all(raw).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    serde_json::from_slice(&out.stdout).unwrap()
}

async fn the_connection_test_tries_the_sign_in_and_sends_nothing(world: &World) {
    let mailboxes = world.rest.all("/api/v1/mailboxes").await;
    let path = format!("/api/v1/mailboxes/{}/tests", text(&mailboxes[0], "id"));
    let started = world.rest.post(&path, &json!({})).await;
    let path = format!("/api/v1/tests/{}", text(&started, "id"));
    let done = eventually("the test is over", SOON, async || {
        let test = world.rest.get(&path).await;
        (test["state"] != "running").then_some(test)
    })
    .await;
    let steps = done["steps"].as_array().unwrap();
    let ends = |name: &str| {
        steps
            .iter()
            .find(|step| step["name"] == name)
            .map(|step| step["state"].clone())
    };
    for name in ["smtp connect", "smtp tls", "smtp capability", "smtp authenticate"] {
        assert_eq!(ends(name), Some(json!("ok")), "{name} in {done}");
    }
}

async fn mail_of_the_installation_goes_through_the_mailbox_that_was_chosen(world: &World, sink: &SmtpSink) {
    let mailboxes = world.rest.all("/api/v1/mailboxes").await;
    let chosen = json!({ "mailboxId": text(&mailboxes[0], "id") });
    let saved = world
        .rest
        .send(Method::PATCH, "/api/v1/site-mail", Some(&chosen))
        .await;
    assert_eq!(saved.json["account"]["kind"], "mailbox", "{}", saved.json);
    let before = sink.taken().len();
    let sent = world
        .rest
        .send_once("/api/v1/site-mail/tests", &json!({ "to": "admin@example.test" }))
        .await;
    is(world, &sent.json, "sent").await;
    assert_eq!(sink.taken()[before].to, ["admin@example.test"]);
    assert_eq!(sink.taken()[before].from, ACCOUNT);
}

async fn an_answer_goes_out_threaded_and_its_answer_comes_back(database: TestDatabase) {
    let sink = SmtpSink::start().await;
    let world = world(database, Some(&sink)).await;
    let smtp = json!({
        "host": "127.0.0.1", "port": world.dovecot.submission_port, "tls": "starttls",
        "from": format!("Help Desk <{ACCOUNT}>"), "signedReplyAddress": true,
    });
    let ticket = ticket(&world, smtp).await;
    the_connection_test_tries_the_sign_in_and_sends_nothing(&world).await;
    assert_eq!(sink.taken().len(), 0);
    let reply = answer(
        &world,
        json!({
            "html": "<p>Please use <b>water</b>.</p><script>alert(1)</script>",
            "cc": [{ "name": "Grüße, \"Bo\"", "email": "bo@example.test" }],
            "attachments": [
                { "name": "Anleitung für Ada.txt", "type": "text/plain", "data": "V2F0ZXIu" },
                { "blobId": ticket["entries"][0]["messageId"] },
            ],
        }),
    )
    .await;
    assert_eq!(reply["state"], "queued");
    let shown = world.rest.get("/api/v1/tickets/HELP-1").await;
    assert_eq!(shown["entries"][1]["kind"], "reply", "it is there at once");
    assert_eq!(shown["entries"][1]["id"], reply["entryId"]);
    let sent = is(&world, &reply, "sent").await;
    assert_eq!(outcomes(&sent), ["sent"]);

    let taken = sink.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].from, ACCOUNT);
    assert_eq!(taken[0].to, ["ada@example.test", "bo@example.test"]);
    let read = read_by_python(&taken[0].raw);
    assert_eq!(read["defects"], json!([]));
    assert_eq!(read["from"], format!("Help Desk <{ACCOUNT}>"));
    assert_eq!(read["to"], "Ada Lovelace <ada@example.test>");
    assert!(read["cc"].as_str().unwrap().contains("Grüße"), "{read}");
    assert_eq!(read["subject"], "Re: Printer on fire");
    assert_eq!(read["inReplyTo"], "<first@ada.example>");
    assert_eq!(read["references"], json!(["<first@ada.example>"]));
    assert_eq!(read["messageId"], format!("<{}>", text(&reply, "messageId")));
    assert!(text(&read, "messageId").starts_with("<mg1."), "{read}");
    assert!(text(&read, "text").contains("Please use water."), "{read}");
    let html = text(&read, "html");
    assert!(
        html.contains("<b>water</b>") && !html.contains("script"),
        "{html}"
    );
    assert_eq!(
        read["files"][0],
        json!(["Anleitung für Ada.txt", "text/plain", "Water."])
    );
    assert!(
        read["files"][1][2].as_str().unwrap().contains("It burns."),
        "{read}"
    );
    let reply_to = text(&read, "replyTo");
    assert!(reply_to.contains("support+mg1."), "{reply_to}");

    // A program that nobody here knows answers to that address and mentions our Message-ID.
    let back = format!(
        "Message-ID: <back@ada.example>\r\nFrom: Ada Lovelace <ada@example.test>\r\nTo: {reply_to}\r\n\
         In-Reply-To: {}\r\nSubject: AW: Printer\r\n\r\nThanks!\r\n",
        text(&read, "messageId"),
    );
    world.dovecot.deliver(ACCOUNT, back.as_bytes()).await;
    eventually("the answer is in the same ticket", SOON, async || {
        let ticket = world.rest.get("/api/v1/tickets/HELP-1").await;
        (ticket["entries"].as_array().map(Vec::len) == Some(3)).then_some(())
    })
    .await;
    // The next reply of ours goes on from there.
    let next = answer(&world, json!({ "text": "You are welcome.\n.\nBye" })).await;
    is(&world, &next, "sent").await;
    let read = read_by_python(&sink.taken()[1].raw);
    assert_eq!(read["inReplyTo"], "<back@ada.example>");
    assert_eq!(read["subject"], "Re: Printer on fire");
    assert!(text(&read, "text").contains("\n.\nBye"), "{read}");
    mail_of_the_installation_goes_through_the_mailbox_that_was_chosen(&world, &sink).await;
    let headers: BTreeSet<&str> = read["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h.as_str().unwrap())
        .collect();
    assert!(!headers.contains("auto-submitted"), "a person wrote it");
    what_the_relay_refuses_is_told(&world, &sink).await;
}

/// Dovecot hands on what the server behind it says.
async fn what_the_relay_refuses_is_told(world: &World, sink: &SmtpSink) {
    sink.then([Turn::RefuseRecipient("550 5.1.1 nobody here")]);
    let reply = answer(world, json!({ "text": "Are you there?" })).await;
    let failed = is(world, &reply, "failed").await;
    assert_eq!(failed["error"]["code"], "recipient_unknown", "{failed}");
    assert_eq!(outcomes(&failed), ["refused"]);
    again(world, &reply, "recipient_unknown").await;
    is(world, &reply, "sent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_left_and_the_answer_waits_for_the_next_attempt() {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let world = world(database, None).await;
    let sink = SmtpSink::start_tls(&world.dovecot.ca).await;
    ticket(&world, direct(&sink)).await;
    sink.then([Turn::Silent]);
    let reply = answer(&world, json!({ "text": "Hello?" })).await;
    let path = format!("/api/v1/outgoing-mails/{}", text(&reply, "id"));
    // An answer of a mail server is waited for a minute.
    let patience = std::time::Duration::from_secs(90);
    let waiting = eventually("the attempt ended", patience, async || {
        let mail = world.rest.get(&path).await;
        (mail["state"] == "queued" && mail["attempts"] == 1).then_some(mail)
    })
    .await;
    assert_eq!(outcomes(&waiting), ["postponed"], "it was not handed over");
    again(&world, &reply, text(&waiting["error"], "code").as_str()).await;
    assert_eq!(outcomes(&is(&world, &reply, "sent").await), ["postponed", "sent"]);
    assert_eq!(sink.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_is_told_with_a_remedy_and_can_be_tried_again() {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let world = world(database, None).await;
    let sink = SmtpSink::start_tls(&world.dovecot.ca).await;
    ticket(&world, direct(&sink)).await;

    // For good: nothing is tried by itself any more.
    sink.then([Turn::RefuseMail("554 5.7.1 looks like spam")]);
    let reply = answer(&world, json!({ "text": "One" })).await;
    let failed = is(&world, &reply, "failed").await;
    assert_eq!(failed["error"]["code"], "policy");
    assert!(text(&failed["error"], "remedy").contains("SPF"), "{failed}");
    assert_eq!(outcomes(&failed), ["refused"]);
    assert_eq!(told(&world, &reply).await, ["ticket.reply_failed"]);
    again(&world, &reply, "policy").await;
    is(&world, &reply, "sent").await;
    assert_eq!(
        told(&world, &reply).await,
        ["ticket.reply_failed", "ticket.reply_sent"]
    );

    // For now: it waits for another attempt.
    sink.then([Turn::RefuseRecipient("451 4.3.0 try later")]);
    let reply = answer(&world, json!({ "text": "Two" })).await;
    let waiting = is(&world, &reply, "queued").await;
    assert!(waiting["nextAttemptAt"].is_string());
    again(&world, &reply, "refused_for_now").await;
    assert_eq!(outcomes(&is(&world, &reply, "sent").await), ["postponed", "sent"]);
    assert_eq!(
        told(&world, &reply).await,
        ["ticket.reply_sent"],
        "waiting is no end"
    );

    // A token the server does not like is renewed once.
    let before = sink.sign_ins();
    sink.then([Turn::RefuseSignIn(Some(r#"{"status":"401"}"#), "535 5.7.8 no")]);
    let reply = answer(&world, json!({ "text": "Three" })).await;
    assert_eq!(outcomes(&is(&world, &reply, "sent").await), ["sent"]);
    let sign_ins = sink.sign_ins();
    assert_eq!(sign_ins.len(), before.len() + 2);
    assert_ne!(
        sign_ins[before.len()],
        sign_ins[before.len() + 1],
        "another token"
    );
    assert!(sign_ins[0].starts_with(&format!("user={ACCOUNT}\u{1}auth=Bearer ")));

    // Nobody knows whether it was taken: sent again with the same Message-ID, and said so.
    let before = sink.taken().len();
    sink.then([Turn::TakeAndHangUp]);
    let reply = answer(&world, json!({ "text": "Four" })).await;
    again(&world, &reply, "outcome_unknown").await;
    let sent = is(&world, &reply, "sent").await;
    assert_eq!(outcomes(&sent), ["unknown", "sent"]);
    let taken = sink.taken();
    assert_eq!(taken.len(), before + 2);
    assert_eq!(taken[before].raw, taken[before + 1].raw, "the very same mail");

    // Ended in the middle of the mail: nobody can know either, but the server had not all of it.
    sink.then([Turn::HangUpInside]);
    let reply = answer(&world, json!({ "text": "Five ".repeat(100_000) })).await;
    again(&world, &reply, "outcome_unknown").await;
    is(&world, &reply, "sent").await;
    let log = world.mailgrant.log();
    assert!(
        !log.contains("looks like spam") && !log.contains("ada@example.test"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_and_leaves_nothing_behind() {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let world = world(database, None).await;
    let mailbox = world.add_mailbox(json!({ "startFrom": "now" })).await;
    world.mailbox_is(&mailbox, "ok").await;
    let mail = mails::simple("<1@a.example>", "Ada <ada@example.test>", "x", "y");
    world.dovecot.deliver(ACCOUNT, &mail).await;
    world.ticketed(1).await;
    let path = "/api/v1/tickets/HELP-1/replies";
    let refused = |reply: Reply, status: u16, code: &str| {
        assert_eq!(reply.status, status, "{}", String::from_utf8_lossy(&reply.bytes));
        let text = reply.json.to_string();
        assert!(text.contains(code), "{text}");
    };
    let no_server = world.rest.send_once(path, &json!({ "text": "x" })).await;
    refused(no_server, 409, "sending_not_configured");
    let change = json!({ "smtp": { "host": "127.0.0.1", "port": 9, "tls": "implicit" } });
    let sending = world
        .rest
        .send(
            Method::PATCH,
            &format!("/api/v1/mailboxes/{mailbox}"),
            Some(&change),
        )
        .await;
    assert_eq!(sending.status, 200, "{}", sending.json);
    assert_eq!(
        sending.json["smtp"]["from"], ACCOUNT,
        "what is not said follows from the login name"
    );
    let cases = [
        (json!({}), 422, "/text"),
        (
            json!({ "text": "x", "subject": "a\r\nBcc: x@y.example" }),
            422,
            "/subject",
        ),
        (
            json!({ "text": "x", "cc": [{ "email": "a@b.example\r\nBcc: x" }] }),
            422,
            "/cc/0/email",
        ),
        (
            json!({ "text": "x", "cc": [{ "name": "a\nb", "email": "a@b.example" }] }),
            422,
            "/cc/0",
        ),
        (
            json!({ "text": "x", "attachments": [{ "name": "a\"\r\nb", "data": "eA==" }] }),
            422,
            "/attachments",
        ),
        (
            json!({ "text": "x", "attachments": [{ "name": "a", "data": "no base64" }] }),
            422,
            "/attachments/0",
        ),
        (
            json!({ "text": "x", "attachments": [{ "blobId": "msg_nobody" }] }),
            422,
            "/attachments/0",
        ),
        (
            json!({ "text": "x", "to": [{ "email": "nobody" }] }),
            422,
            "/to/0/email",
        ),
    ];
    for (body, status, code) in cases {
        refused(world.rest.send_once(path, &body).await, status, code);
    }
    let without_key = world
        .rest
        .send(Method::POST, path, Some(&json!({ "text": "x" })))
        .await;
    refused(without_key, 400, "idempotency");
    let unknown = world
        .rest
        .send_once("/api/v1/tickets/HELP-9/replies", &json!({ "text": "x" }))
        .await;
    refused(unknown, 404, "not_found");
    assert_eq!(world.rest.all("/api/v1/outgoing-mails").await.len(), 0);
    let ticket = world.rest.get("/api/v1/tickets/HELP-1").await;
    assert_eq!(ticket["entries"].as_array().map(Vec::len), Some(1));
    // Nothing listens there: it waits, and can be taken back.
    let reply = answer(&world, json!({ "text": "x" })).await;
    outgoing(&world, &reply, "it was tried", |mail| {
        mail["state"] == "queued" && mail["error"]["code"].is_string()
    })
    .await;
    let path = format!("{path}/{}/cancel", text(&reply, "id"));
    assert_eq!(world.rest.post(&path, &json!({})).await["state"], "cancelled");
    let again = world.rest.send(Method::POST, &path, Some(&json!({}))).await;
    refused(again, 409, "too_late");
}

async fn killed_while_a_mail_is_handed_over_it_is_sent_again_and_said_so(database: TestDatabase) {
    let mut world = world(database, None).await;
    let sink = SmtpSink::start_tls(&world.dovecot.ca).await;
    ticket(&world, direct(&sink)).await;
    for (point, copies) in [("handing_over", 1), ("handed_over", 2)] {
        let before = sink.taken().len();
        world.mailgrant.stop();
        world.mailgrant.set("MAILGRANT_CRASH_AT", point);
        world.mailgrant.resume().await;
        let reply = answer(&world, json!({ "text": point })).await;
        eventually(&format!("it dies at {point}"), SOON, async || {
            world.mailgrant.ended().map(|_| ())
        })
        .await;
        world.mailgrant.kill9();
        world.mailgrant.set("MAILGRANT_CRASH_AT", "");
        world.mailgrant.resume().await;
        let sent = is(&world, &reply, "sent").await;
        assert_eq!(outcomes(&sent), ["unknown", "sent"]);
        assert_eq!(sent["unknownOutcomes"], 1);
        let taken = sink.taken();
        assert_eq!(taken.len(), before + copies, "{point}");
        assert!(taken[before..].iter().all(|mail| mail.raw == taken[before].raw));
    }
}

async fn killed_before_it_could_say_so_an_answer_is_still_one_mail(database: TestDatabase) {
    let mut world = world(database, None).await;
    let sink = SmtpSink::start_tls(&world.dovecot.ca).await;
    ticket(&world, direct(&sink)).await;
    world.mailgrant.stop();
    world.mailgrant.set("MAILGRANT_CRASH_AT", "answered");
    world.mailgrant.resume().await;
    let (path, body) = ("/api/v1/tickets/HELP-1/replies", json!({ "text": "Use water." }));
    let lost = world.rest.unsent(path, &body, "key-1").send().await;
    assert!(lost.is_err(), "it dies before it answers");
    world.mailgrant.kill9();
    world.mailgrant.set("MAILGRANT_CRASH_AT", "");
    world.mailgrant.resume().await;
    let again = world.rest.send_keyed(path, &body, "key-1").await;
    assert_eq!(again.status, 202, "{}", again.json);
    is(&world, &again.json, "sent").await;
    assert_eq!(sink.taken().len(), 1);
    assert_eq!(world.rest.all("/api/v1/outgoing-mails").await.len(), 1);
    let repeated = world.rest.send_keyed(path, &body, "key-1").await;
    assert_eq!(repeated.json["id"], again.json["id"]);
}

/// An admin at the pages.
async fn admin(world: &World) -> Visitor {
    const PASSWORD: &str = "correct horse battery staple";
    let mut command =
        world
            .mailgrant
            .command(&["user", "create", "--email", "ada@desk.example", "--name", "Ada"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    command.stdin(std::fs::File::open(&file).unwrap());
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let visitor = Visitor::new(&world.mailgrant);
    let page = visitor.get("/sign-in").await;
    visitor
        .sign_in(&page, "ada@desk.example", &SecretString::from(PASSWORD))
        .await;
    visitor
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_box_sends_once_and_gives_back_what_was_refused() {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let sink = SmtpSink::start().await;
    let world = world(database, Some(&sink)).await;
    let smtp = json!({
        "host": "127.0.0.1", "port": world.dovecot.submission_port, "tls": "starttls",
        "from": format!("Help Desk <{ACCOUNT}>"),
    });
    let mailbox = world
        .add_mailbox(json!({ "startFrom": "now", "smtp": smtp }))
        .await;
    world.mailbox_is(&mailbox, "ok").await;
    let mail = format!(
        "Message-ID: <first@ada.example>\r\nFrom: Ada Lovelace <ada@example.test>\r\nTo: {ACCOUNT}, Bo <bo@example.test>\r\n\
         Subject: Printer on fire\r\n\r\nIt burns.\r\n",
    );
    world.dovecot.deliver(ACCOUNT, mail.as_bytes()).await;
    world.ticketed(1).await;
    let ada = admin(&world).await;
    let box_ = ada.get("/tickets/HELP-1").await;
    for shown in [
        "Ada Lovelace &lt;ada@example.test&gt;",
        "bo@example.test",
        "It burns.",
    ] {
        assert!(box_.body.contains(shown), "{shown} in {}", box_.body);
    }
    assert!(
        !box_.body.contains(&format!("value=\"{ACCOUNT}")),
        "nobody is asked to write to ourselves"
    );
    let path = "/tickets/HELP-1/replies";
    let fields = |to: &'static str, text: &'static str| {
        [
            ("answer_to", to),
            ("answer_cc", "\"Bo, the second\" <bo@example.test>"),
            ("answer_subject", "Re: Printer on fire"),
            ("answer_text", text),
            ("answer_quote", "true"),
            ("answer_state", "pending"),
        ]
    };
    // What is wrong comes back with everything that was typed, and nothing is sent.
    for (to, text, told) in [
        (
            "ada@example.test, nobody",
            "Use water.",
            "is not an e-mail address",
        ),
        (
            "ada@example.test\r\nBcc: x@y.example",
            "Use water.",
            "is not an e-mail address",
        ),
        ("ada@example.test", " ", "Write the answer first"),
    ] {
        let again = ada
            .upload(&box_, path, &fields(to, text), &[("answer_files", "a.txt", b"x")])
            .await;
        assert_eq!(again.status, 422, "{}", again.body);
        for shown in [told, "Bo, the second", text.trim(), "Choose the files again"] {
            assert!(again.body.contains(shown), "{shown} in {}", again.body);
        }
    }
    let many: Vec<String> = (0..60).map(|n| format!("a{n}@b.example")).collect();
    let many: &'static str = Box::leak(many.join(", ").into_boxed_str());
    let again = ada.upload(&box_, path, &fields(many, "Use water."), &[]).await;
    assert!(
        again.status == 422 && again.body.contains("at most 50"),
        "{}",
        again.body
    );
    assert!(world.rest.all("/api/v1/outgoing-mails").await.is_empty());

    // The same form five times, twice at the same moment, is one answer.
    let files: [(&str, &str, &[u8]); 2] = [
        ("answer_files", "../Anleitung.txt", b"Water."),
        ("answer_files", "", b""),
    ];
    let typed = fields("Ada <ada@example.test>", "Use water.\n-- \nDesk");
    let (one, two) = tokio::join!(
        ada.upload(&box_, path, &typed, &files),
        ada.upload(&box_, path, &typed, &files)
    );
    assert_eq!((one.status, two.status), (303, 303), "{} {}", one.body, two.body);
    for _ in 0..3 {
        assert_eq!(ada.upload(&box_, path, &typed, &files).await.status, 303);
    }
    let all = world.rest.all("/api/v1/outgoing-mails").await;
    assert_eq!(all.len(), 1);
    // Another text with the same form: not sent behind anybody's back, and not lost.
    let other = ada
        .upload(&box_, path, &fields("ada@example.test", "Another text"), &[])
        .await;
    assert!(
        other.status == 422 && other.body.contains("Another text"),
        "{}",
        other.body
    );
    let sent = is(&world, &all[0], "sent").await;
    assert_eq!(
        sent["attachments"],
        json!([{ "name": ".._Anleitung.txt", "size": 6 }])
    );
    let read = read_by_python(&sink.taken()[0].raw);
    assert_eq!(read["to"], "Ada <ada@example.test>");
    assert_eq!(read["cc"], "\"Bo, the second\" <bo@example.test>");
    let text_sent = text(&read, "text");
    assert!(
        text_sent.starts_with("Use water.") && text_sent.contains("Ada Lovelace wrote:\n> It burns."),
        "{text_sent}"
    );
    let ticket = world.rest.get("/api/v1/tickets/HELP-1").await;
    assert_eq!(ticket["state"], "pending");
    assert_eq!(ticket["entries"].as_array().map(Vec::len), Some(2));
    let seen = ada.get("/tickets/HELP-1").await;
    assert!(
        seen.body.contains("Sent") && seen.body.contains(".._Anleitung.txt"),
        "{}",
        seen.body
    );

    // What the relay behind Dovecot's submission refuses is told in the conversation, with a way to send it again.
    for (turn, state, told) in [
        (Turn::RefuseRecipient("450 4.2.1 busy"), "queued", "Try now"),
        (
            Turn::RefuseRecipient("550 5.1.1 nobody here"),
            "failed",
            "Send again",
        ),
        (Turn::RefuseMail("554 5.6.0 no"), "failed", "Send again"),
    ] {
        sink.then([turn.clone()]);
        let box_ = ada.get("/tickets/HELP-1").await;
        let sent = ada
            .upload(&box_, path, &fields("ada@example.test", "Once more"), &[])
            .await;
        assert_eq!(sent.status, 303, "{}", sent.body);
        let all = world.rest.all("/api/v1/outgoing-mails?limit=1").await;
        let mail = outgoing(&world, &all[0], &format!("{turn:?} is told"), |mail| {
            mail["state"] == state && mail["error"]["code"].is_string()
        })
        .await;
        let seen = ada.get("/tickets/HELP-1").await;
        assert!(
            seen.body.contains(told) && seen.body.contains("What to do:"),
            "{turn:?}: {}",
            seen.body
        );
        let again = format!("/outgoing/{}/retry", text(&mail, "id"));
        let back = ada.submit(&seen, &again, &[("back", "/tickets/HELP-1#x")]).await;
        assert_eq!(back.location, "/tickets/HELP-1#x");
        is(&world, &mail, "sent").await;
    }
    // A form that did not come from one of ours, and one that is too large.
    let forged = Seen {
        body: box_
            .body
            .replace("name=\"csrf\" value=\"", "name=\"csrf\" value=\"x"),
        ..box_.clone()
    };
    assert_eq!(ada.upload(&forged, path, &typed, &[]).await.status, 403);
    let large = vec![b'x'; 21 * 1024 * 1024];
    let refused = ada
        .upload(&box_, path, &typed, &[("answer_files", "large", &large)])
        .await;
    assert_eq!(refused.status, 413);
    let stranger = Visitor::new(&world.mailgrant);
    let body = vec![b'x'; 2 * 1024 * 1024];
    let refused = stranger
        .upload(&box_, path, &typed, &[("answer_files", "x", &body)])
        .await;
    assert_eq!(refused.status, 413, "who is not signed in sends no files");
}

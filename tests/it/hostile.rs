//! What strangers can send: mails that hold what a database does not, and requests with characters it refuses. Every
//! mail still becomes a ticket, the next mails are not late, and no request ends in a mistake of ours.

use mailgrant::db::Db;
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::{Kind, TestDatabase};
use crate::support::mails;
use crate::support::process::{Mailgrant, Settings};
use crate::world::{ACCOUNT, World, text};

on_each_database!(
    whatever_a_mail_holds_the_database_takes_it,
    a_mail_that_the_database_refuses_is_set_aside_and_delays_nobody,
    a_nul_in_a_request_is_the_callers_mistake,
);

/// Letters that no database can compress.
fn noise(length: usize) -> String {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let sign = |state: &mut u64| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[(*state % 36) as usize])
    };
    (0..length).map(|_| sign(&mut state)).collect()
}

fn put(world: &World, name: &str, mail: &str) {
    world.dovecot.put(ACCOUNT, "INBOX", name, mail.as_bytes(), "");
}

async fn whatever_a_mail_holds_the_database_takes_it(database: TestDatabase) {
    let world = World::start(database).await;
    // Longer than the 2,704 bytes that fit into an index entry of PostgreSQL.
    let long = noise(20_000);
    let mails = [
        format!("Message-ID: <{long}@x.test>\r\nFrom: a@x.test\r\nSubject: long id\r\n\r\nBody\r\n"),
        format!(
            "Message-ID: <answer@x.test>\r\nIn-Reply-To: <{long}@x.test>\r\nFrom: a@x.test\r\nSubject: Re: long id\r\n\r\nBody\r\n"
        ),
        "Message-ID: <nul\0id@x.test>\r\nReferences: <r\0@x.test>\r\nFrom: \"A\0da\" <a\0da@x.test>\r\n\
         Subject: nul\0 =?utf-8?Q?a=00b?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nText \0 here\r\n\
         --b\r\nContent-Type: text/html\r\n\r\n<b>&#0;\0</b>\r\n--b\r\nContent-Type: image/png; name=\"=?utf-8?Q?n=00.png?=\"\r\n\r\nx\r\n--b--\r\n"
            .to_owned(),
        "Message-ID: <escape@x.test>\r\nFrom: a@x.test\r\nSubject: quoted \\u0000\" end\r\n\r\nText \\u0000\r\n".to_owned(),
        format!("From: {} <{}@x.test>\r\nSubject: {}\r\n\r\nBody\r\n", noise(9_000), noise(9_000), noise(60_000)),
    ];
    for (number, mail) in mails.iter().enumerate() {
        put(&world, &format!("{number}.M{number}P1.test"), mail);
    }
    world.add_mailbox(json!({})).await;
    let messages = world.ticketed(mails.len()).await;
    for message in &messages {
        assert_eq!(message["mailgrant"]["state"], "ticketed", "{message}");
        assert_eq!(
            message["mailgrant"]["attempts"], 1,
            "at the first attempt: {message}"
        );
    }
    let subjects: Vec<String> = messages.iter().map(|m| text(m, "subject")).collect();
    assert!(
        subjects.contains(&"quoted \\u0000\" end".to_owned()),
        "{subjects:?}"
    );
    let tickets = world.rest.all("/api/v1/tickets").await;
    assert_eq!(
        tickets.len(),
        mails.len() - 1,
        "the answer to the long Message-ID joined its ticket"
    );
}

/// Makes the database refuse tickets with this subject, as it would refuse what we do not know of yet.
async fn refuse_subject(database: &TestDatabase, subject: &str) {
    let db = Db::open(&database.url).await.unwrap();
    let statement = match database.kind {
        Kind::Sqlite => format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON tickets WHEN NEW.subject = '{subject}' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        ),
        Kind::Postgres => {
            format!("ALTER TABLE tickets ADD CONSTRAINT refuse CHECK (subject <> '{subject}')")
        }
    };
    db.write().execute_unprepared(&statement).await.unwrap();
    db.close().await;
}

async fn a_mail_that_the_database_refuses_is_set_aside_and_delays_nobody(database: TestDatabase) {
    let world = World::start(database).await;
    refuse_subject(&world.database, "poison").await;
    for number in 0..7 {
        let subject = if number == 2 { "poison" } else { "fine" };
        let mail = mails::simple(
            &format!("<{number}@x.test>"),
            "a@x.test",
            subject,
            &format!("Number {number}"),
        );
        world
            .dovecot
            .put(ACCOUNT, "INBOX", &format!("{number}.M{number}P1.test"), &mail, "");
    }
    // No poll comes to help: everything has to happen in the first visit.
    let mailbox = world
        .add_mailbox(json!({ "schedule": "0 0 0 1 1 *", "idle": false }))
        .await;
    let messages = world.ticketed(7).await;
    let poison: Vec<&Value> = messages
        .iter()
        .filter(|m| m["mailgrant"]["state"] == "quarantined")
        .collect();
    assert_eq!(poison.len(), 1, "{messages:?}");
    assert!(
        text(&poison[0]["mailgrant"], "problem").contains("raw mail"),
        "{poison:?}"
    );
    let raw = format!("/api/v1/messages/{}/raw", text(poison[0], "id"));
    assert!(String::from_utf8_lossy(&world.rest.download(&raw).await).contains("Number 2"));
    assert_eq!(
        world.rest.all("/api/v1/tickets").await.len(),
        7,
        "it has a ticket of its own"
    );
    world.mailbox_is(&mailbox, "ok").await;
    let log = world.mailgrant.log();
    assert!(
        !log.contains("database_unavailable"),
        "the database is well: {log}"
    );
}

async fn a_nul_in_a_request_is_the_callers_mistake(database: TestDatabase) {
    let mailgrant = Mailgrant::start(Settings::new().database(&database.url)).await;
    let rest = mailgrant.rest();
    for path in [
        "/api/v1/tickets/%00",
        "/api/v1/messages/msg_%00/raw",
        "/api/v1/tickets?q=a%00b",
        "/api/v1/messages?mailboxId=%00",
        "/api/v1/tests/%00",
        "/api/v1/authorizations/%00",
        "/api/v1/grants?after=AA",
    ] {
        let reply = rest.send(Method::GET, path, None).await;
        assert!(reply.status < 500, "{path}: {}", reply.json);
    }
    for (path, body) in [
        ("/api/v1/projects", json!({ "key": "NUL", "name": "a\u{0}b" })),
        (
            "/api/v1/integrations",
            json!({
                "provider": "google", "name": "a\u{0}b", "clientId": "a\u{0}", "clientSecret": "b", "scopes": ["m\u{0}"],
                "flow": "authorization_code",
            }),
        ),
        (
            "/api/v1/mailboxes",
            json!({ "name": "\u{0}", "projectId": "\u{0}", "grantId": "\u{0}", "host": "\u{0}", "folder": "\u{0}" }),
        ),
    ] {
        let reply = rest.send(Method::POST, path, Some(&body)).await;
        assert!(
            (400..500).contains(&reply.status),
            "{path}: {} {}",
            reply.status,
            reply.json
        );
    }
    let client = crate::support::process::http();
    for path in [
        "/oauth2/callback/%00",
        "/oauth2/callback/a?state=%00&code=%00",
        "/setup?token=%00",
        "/sign-in/link?token=%00",
    ] {
        let answer = client
            .get(format!("{}{path}", mailgrant.base_url))
            .send()
            .await
            .unwrap();
        assert!(answer.status().as_u16() < 500, "{path}: {}", answer.status());
    }
}

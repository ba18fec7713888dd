//! Mails that come together are placed in one transaction, and it makes no difference to what becomes of them.

use sea_orm::ConnectionTrait;
use serde_json::json;

use super::rules::{Desk, mail};
use crate::access::Projects;
use crate::event::{self, Cursor, Filter, Types};
use crate::message::{Message, Stored};
use crate::ticket::{self, TicketFilter};

fn new_id(stored: &Stored) -> String {
    match stored {
        Stored::New(id) => id.clone(),
        Stored::DuplicateOf(_) => panic!("it is new"),
    }
}

async fn keys(desk: &Desk, ids: &[String]) -> Vec<String> {
    let mut keys = Vec::new();
    for id in ids {
        let message = desk.message(id).await;
        keys.push(desk.key(&message).await.unwrap_or_default());
    }
    keys
}

#[tokio::test]
async fn a_mail_finds_the_ticket_that_another_one_of_its_batch_opened() {
    let desk = Desk::open("desk@a.test").await;
    let label = json!({ "labels": ["alarm"], "priority": "urgent" });
    desk.rule("Alarms", json!({ "subject": { "value": "alarm" } }), label)
        .await;
    let question = b"Message-ID: <q@x.test>\r\nFrom: ada@x.test\r\nTo: desk@a.test\r\nSubject: Alarm\r\n\r\nWhere is it?\r\n";
    let answer = b"Message-ID: <a@x.test>\r\nIn-Reply-To: <q@x.test>\r\nFrom: ada@x.test\r\nTo: desk@a.test\r\nSubject: Re: Alarm\r\n\r\nFound the zebra.\r\n";
    let other = mail("eve@y.test", "Other", "");
    let stored = desk
        .store(&[
            (question, false),
            (&other, false),
            (answer, false),
            (question, false),
        ])
        .await;
    assert_eq!(stored[3], Stored::DuplicateOf(new_id(&stored[0])));
    let ids: Vec<String> = stored[..3].iter().map(new_id).collect();
    desk.process().await;

    assert_eq!(keys(&desk, &ids).await, ["HELP-1", "HELP-2", "HELP-1"]);
    let threads: Vec<String> = [
        desk.message(&ids[0]).await.thread_id,
        desk.message(&ids[2]).await.thread_id,
    ]
    .into();
    assert_eq!(threads[0], threads[1], "one conversation");
    let found = ticket::get_by_key(desk.ctx(), &Projects::All, "HELP-1")
        .await
        .unwrap();
    assert_eq!(
        (
            found.ticket.entry_count,
            found.ticket.labels.as_str(),
            found.ticket.priority.as_str()
        ),
        (2, r#"["alarm"]"#, "urgent")
    );
    let entries: Vec<_> = found
        .entries
        .iter()
        .map(|entry| entry.message_id.clone())
        .collect();
    assert_eq!(entries, [Some(ids[0].clone()), Some(ids[2].clone())]);
    for text in ["zebra", "alarm", "label:alarm"] {
        let asked = TicketFilter {
            text: Some(text.into()),
            projects: Projects::All,
            ..TicketFilter::default()
        };
        let list = ticket::list(desk.ctx(), &asked, 10).await.unwrap();
        let keys: Vec<_> = list.items.iter().map(|ticket| ticket.key.as_str()).collect();
        assert_eq!(keys, ["HELP-1"], "{text}");
    }
    assert_eq!(
        told(&desk).await,
        [
            format!("message.received {}", ids[0]),
            "ticket.created HELP-1".to_owned(),
            format!("message.received {}", ids[1]),
            "ticket.created HELP-2".to_owned(),
            format!("message.received {}", ids[2]),
            "ticket.updated HELP-1".to_owned(),
        ],
        "in the order of the folder, each mail's before the next one's"
    );
}

/// The events of mail and tickets: type, and the message or the ticket's key.
async fn told(desk: &Desk) -> Vec<String> {
    let filter = Filter {
        types: Types::default(),
        projects: Projects::All,
    };
    let read = event::read_after(desk.ctx().db.read(), Cursor(0), &filter, 1_000).await;
    let mut told = Vec::new();
    for event in read.unwrap().events {
        let what = match event.kind.split('.').next() {
            Some("ticket") => event.data["key"].as_str().unwrap().to_owned(),
            Some("message") => event.subject_id,
            _ => continue,
        };
        told.push(format!("{} {what}", event.kind));
    }
    told
}

#[tokio::test]
async fn one_that_the_database_refuses_neither_holds_nor_doubles_the_others() {
    let desk = Desk::open("desk@a.test").await;
    let on = desk.ctx().db.write();
    on.execute_unprepared(
        "CREATE TRIGGER refuse BEFORE INSERT ON entries WHEN NEW.author = 'poison@x.test' \
         BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .await
    .unwrap();
    let mails: Vec<Vec<u8>> = (0..130)
        .map(|number| {
            let from = if number == 61 {
                "poison@x.test"
            } else {
                "ada@x.test"
            };
            mail(from, &format!("Number {number}"), "")
        })
        .collect();
    let mails: Vec<(&[u8], bool)> = mails.iter().map(|raw| (raw.as_slice(), false)).collect();
    let stored = desk.store(&mails).await;
    desk.process().await;
    let mut messages: Vec<Message> = Vec::new();
    for one in &stored {
        messages.push(desk.message(&new_id(one)).await);
    }
    let aside: Vec<usize> = (0..130).filter(|n| messages[*n].state != "ticketed").collect();
    assert_eq!(aside, [61]);
    assert_eq!(messages[61].state, "quarantined");
    assert_eq!(
        (
            desk.count("entries").await,
            desk.count("tickets").await,
            desk.count("message_runs").await,
            desk.count("events WHERE type = 'message.received'").await,
            desk.count("search_documents WHERE kind = 'message'").await,
        ),
        (130, 130, 130, 130, 129),
        "it has a placeholder, and what was rolled back with it was done once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_place_the_same_mails_at_once_double_nothing() {
    let desk = Desk::open("desk@a.test").await;
    let mails: Vec<Vec<u8>> = (0..120)
        .map(|number| mail("ada@x.test", &format!("Number {number}"), ""))
        .collect();
    let mails: Vec<(&[u8], bool)> = mails.iter().map(|raw| (raw.as_slice(), false)).collect();
    desk.store(&mails).await;
    tokio::join!(desk.process(), desk.process(), desk.process());
    for table in [
        "entries",
        "tickets",
        "message_runs",
        "events WHERE type = 'ticket.created'",
        "messages WHERE state = 'ticketed' AND ticket_id <> ''",
    ] {
        assert_eq!(desk.count(table).await, 120, "{table}");
    }
}

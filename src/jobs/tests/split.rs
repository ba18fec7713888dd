//! Splitting tickets, on stored mail: where the entries are then, and where what answers them goes.

use sea_orm::ConnectionTrait;

use super::rules::{Desk, MAILBOX};
use crate::access::Projects;
use crate::db::sql;
use crate::message::Message;
use crate::outbox::{self, Answer};
use crate::smtp::Address;
use crate::ticket::{self, Split, Ticket, TicketDetail, TicketError};

const HELP: &str = "help@desk.example";

async fn desk() -> Desk {
    let desk = Desk::open(HELP).await;
    let text = "UPDATE mailboxes SET smtp_signed_replies = TRUE WHERE id = $1";
    let on = desk.ctx().db.write();
    on.execute_raw(sql(on, text, [MAILBOX.into()])).await.unwrap();
    desk
}

/// A mail with this Message-ID and these further headers.
fn mail(id: &str, from: &str, subject: &str, more: &str) -> Vec<u8> {
    format!(
        "Message-ID: <{id}>\r\nFrom: {from}\r\nTo: {HELP}\r\nSubject: {subject}\r\n{more}\r\nText of {id}.\r\n"
    )
    .into_bytes()
}

impl Desk {
    async fn send(&self, id: &str, from: &str, more: &str) -> Message {
        self.receive(&mail(id, from, &format!("About {id}"), more)).await
    }

    async fn ticket(&self, key: &str) -> TicketDetail {
        ticket::get_by_key(self.ctx(), &Projects::All, key).await.unwrap()
    }

    /// An answer of ours to somebody: its Message-ID, its reply address and its entry.
    async fn answer(&self, key: &str, to: &str) -> (String, String, String) {
        let answer = Answer {
            text: "Have you tried water?".into(),
            to: vec![Address::new("to", "", to).unwrap()],
            ..Answer::default()
        };
        let id = self.ticket(key).await.ticket.id;
        let sent = outbox::reply(self.ctx(), "usr_1", "Grace", &Projects::All, &id, answer);
        let sent = sent.await.unwrap();
        let bytes = self.outbox().await.pop().unwrap();
        let reply_to = mailgrant_mail::parse(&bytes).reply_to;
        (sent.rfc_message_id, reply_to[0].email.clone(), sent.entry_id)
    }

    async fn split(&self, key: &str, entries: &[&str]) -> Result<Ticket, TicketError> {
        let split = Split {
            entry_ids: entries.iter().map(|id| (*id).to_owned()).collect(),
            subject: None,
        };
        let id = self.ticket(key).await.ticket.id;
        ticket::split(self.ctx(), &Projects::All, "usr_1", &id, &split, None).await
    }

    /// The key of a message's ticket, and the rule that led there.
    async fn place_of(&self, message: &Message) -> (String, String) {
        let why: serde_json::Value = serde_json::from_str(&message.resolution).unwrap();
        let key = self.key(message).await.unwrap();
        (key, why["rule"].as_str().unwrap().to_owned())
    }
}

fn place(key: &str, rule: &str) -> (String, String) {
    (key.to_owned(), rule.to_owned())
}

#[tokio::test]
async fn a_request_that_is_repeated_after_its_answer_was_lost_sends_nothing_new() {
    let desk = desk().await;
    desk.send("1@x", "Ada <ada@x.test>", "").await;
    let id = desk.ticket("HELP-1").await.ticket.id;
    let reply = async |once: &str| {
        let answer = Answer {
            text: "Have you tried water?".into(),
            once: Some(once.into()),
            ..Answer::default()
        };
        let sent = outbox::reply(desk.ctx(), "usr_1", "Grace", &Projects::All, &id, answer);
        sent.await.unwrap()
    };
    let (one, two) = tokio::join!(reply("a"), reply("a"));
    assert_eq!(one.id, two.id);
    // Nothing can be sent any more, and what was sent is still said.
    let on = desk.ctx().db.write();
    on.execute_unprepared("UPDATE mailboxes SET smtp_host = ''")
        .await
        .unwrap();
    assert_eq!(reply("a").await.id, one.id);
    assert_eq!(desk.ticket("HELP-1").await.entries.len(), 2);
    on.execute_unprepared("UPDATE mailboxes SET smtp_host = 'smtp.test'")
        .await
        .unwrap();
    assert_ne!(reply("b").await.id, one.id);
    assert_eq!(desk.outbox().await.len(), 2);
}

#[tokio::test]
async fn what_answers_a_moved_mail_follows_it_and_the_rest_stays() {
    let desk = desk().await;
    desk.send("1@x", "Ada <ada@x.test>", "Cc: bo@x.test\r\n").await;
    let second = "Cc: ada@x.test\r\nIn-Reply-To: <1@x>\r\n";
    let second = desk.send("2@x", "Bo <bo@x.test>", second).await;
    assert_eq!(desk.key(&second).await.unwrap(), "HELP-1");
    let (to_ada, ada_address, _) = desk.answer("HELP-1", "ada@x.test").await;
    let (to_bo, bo_address, answer) = desk.answer("HELP-1", "bo@x.test").await;
    let thread = second.thread_id.clone();

    let made = desk.split("HELP-1", &[&second.entry_id, &answer]).await.unwrap();
    assert_eq!(
        (made.key.as_str(), made.subject.as_str()),
        ("HELP-2", "About 2@x")
    );
    assert_eq!(
        (made.requester_name.as_str(), made.requester_email.as_str()),
        ("Bo", "bo@x.test")
    );
    assert_eq!((made.entry_count, made.state.as_str()), (2, "open"));
    let (old, new) = (desk.ticket("HELP-1").await, desk.ticket("HELP-2").await);
    assert_eq!(old.ticket.entry_count, 2);
    assert_eq!((old.entries.len(), new.entries.len()), (2, 2));
    assert_eq!(
        (old.related[0].key.as_str(), old.related[0].kind.as_str()),
        ("HELP-2", "split")
    );
    let people = |of: &TicketDetail| {
        of.participants
            .iter()
            .map(|p| p.address.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(people(&old), ["ada@x.test", "bo@x.test"]);
    assert_eq!(people(&new), ["ada@x.test", "bo@x.test"]);
    let moved = desk.message(&second.id).await;
    assert_eq!(
        (&moved.ticket_id, &moved.thread_id),
        (&made.id, &thread),
        "threads follow mails alone"
    );

    let answering = |id: &str| format!("In-Reply-To: <{id}>\r\n");
    let by_id = desk.send("3@x", "bo@x.test", &answering(&to_bo)).await;
    assert_eq!(desk.place_of(&by_id).await, place("HELP-2", "signed_message_id"));
    let by_address = desk
        .send("4@x", "bo@x.test", &format!("Cc: {bo_address}\r\n"))
        .await;
    assert_eq!(desk.place_of(&by_address).await, place("HELP-2", "reply_address"));
    let by_reference = desk.send("5@x", "ada@x.test", &answering("2@x")).await;
    assert_eq!(
        desk.place_of(&by_reference).await,
        place("HELP-2", "known_reference")
    );
    let stays = desk.send("6@x", "ada@x.test", &answering(&to_ada)).await;
    assert_eq!(desk.place_of(&stays).await, place("HELP-1", "signed_message_id"));
    let stays = desk
        .send("7@x", "ada@x.test", &format!("Cc: {ada_address}\r\n"))
        .await;
    assert_eq!(desk.place_of(&stays).await, place("HELP-1", "reply_address"));
    let stays = desk.send("8@x", "bo@x.test", &answering("1@x")).await;
    assert_eq!(desk.place_of(&stays).await, place("HELP-1", "known_reference"));
    let stranger = desk.send("9@x", "mallory@evil.test", &answering(&to_bo)).await;
    assert_eq!(desk.place_of(&stranger).await, place("HELP-3", "new_ticket"));

    // A merge takes it back, with everything that came in between; the old tokens lead to what is left.
    let into = old.ticket.id.clone();
    ticket::merge(desk.ctx(), &Projects::All, "usr_1", &made.id, &into, None)
        .await
        .unwrap();
    assert_eq!(desk.ticket("HELP-2").await.ticket.key, "HELP-1");
    assert_eq!(desk.ticket("HELP-1").await.entries.len(), 10);
    for (id, more) in [
        ("10@x", answering(&to_bo)),
        ("11@x", format!("Cc: {bo_address}\r\n")),
    ] {
        let back = desk.send(id, "bo@x.test", &more).await;
        assert_eq!(desk.key(&back).await.unwrap(), "HELP-1");
    }
}

#[tokio::test]
async fn whoever_answers_the_moved_mail_of_a_signed_conversation_reaches_the_new_ticket() {
    let desk = desk().await;
    desk.send("1@x", "ada@x.test", "").await;
    let (ours, address, _) = desk.answer("HELP-1", "ada@x.test").await;
    let other = desk
        .send("2@x", "ada@x.test", &format!("In-Reply-To: <{ours}>\r\n"))
        .await;
    desk.split("HELP-1", &[&other.entry_id]).await.unwrap();
    let more = format!("Cc: {address}\r\nIn-Reply-To: <2@x>\r\nReferences: <1@x> <{ours}> <2@x>\r\n");
    let nearest = desk.send("3@x", "ada@x.test", &more).await;
    assert_eq!(desk.place_of(&nearest).await, place("HELP-2", "known_reference"));
    let more = format!("Cc: {address}\r\nIn-Reply-To: <{ours}>\r\nReferences: <1@x> <2@x> <{ours}>\r\n");
    let ours = desk.send("4@x", "ada@x.test", &more).await;
    assert_eq!(desk.place_of(&ours).await, place("HELP-1", "signed_message_id"));
    // A part of a part is still of the same family.
    desk.split("HELP-2", &[&nearest.entry_id]).await.unwrap();
    let more = format!("Cc: {address}\r\nIn-Reply-To: <3@x>\r\n");
    let deep = desk.send("5@x", "ada@x.test", &more).await;
    assert_eq!(desk.place_of(&deep).await, place("HELP-3", "known_reference"));
}

#[tokio::test]
async fn whoever_came_with_the_moved_mails_alone_takes_no_part_any_more() {
    let desk = desk().await;
    let first = desk.send("1@x", "ada@x.test", "").await;
    let stranger = desk
        .send("2@x", "mallory@evil.test", "Cc: eve@evil.test\r\n")
        .await;
    let into = first.ticket_id.clone();
    ticket::merge(
        desk.ctx(),
        &Projects::All,
        "usr_1",
        &stranger.ticket_id,
        &into,
        None,
    )
    .await
    .unwrap();
    let inside = desk
        .send("3@x", "mallory@evil.test", "In-Reply-To: <1@x>\r\n")
        .await;
    assert_eq!(desk.key(&inside).await.unwrap(), "HELP-1");
    let made = desk
        .split("HELP-1", &[&stranger.entry_id, &inside.entry_id])
        .await
        .unwrap();
    assert_eq!(
        (made.key.as_str(), made.subject.as_str()),
        ("HELP-3", "About 2@x")
    );
    let people = desk.ticket("HELP-1").await.participants;
    assert_eq!(people.len(), 1);
    let again = desk
        .send("4@x", "mallory@evil.test", "In-Reply-To: <1@x>\r\n")
        .await;
    assert_eq!(desk.place_of(&again).await, place("HELP-4", "new_ticket"));
    let own = desk.send("5@x", "eve@evil.test", "In-Reply-To: <2@x>\r\n").await;
    assert_eq!(desk.place_of(&own).await, place("HELP-3", "known_reference"));
}

#[tokio::test]
async fn a_split_that_is_refused_leaves_nothing_behind() {
    let desk = desk().await;
    let first = desk.send("1@x", "ada@x.test", "").await;
    let second = desk.send("2@x", "ada@x.test", "In-Reply-To: <1@x>\r\n").await;
    let other = desk.send("3@x", "bo@x.test", "").await;
    let ids = |list: &[&str]| Split {
        entry_ids: list.iter().map(|id| (*id).to_owned()).collect(),
        subject: None,
    };
    let (one, two) = (first.entry_id.as_str(), second.entry_id.as_str());
    let before = desk.dump().await;
    let (all, none) = (Projects::All, Projects::default());
    let ctx = desk.ctx();
    for (what, projects, split, seen) in [
        ("nothing chosen", &all, ids(&[]), None),
        ("everything chosen", &all, ids(&[one, two]), None),
        (
            "an entry of another ticket",
            &all,
            ids(&[two, &other.entry_id]),
            None,
        ),
        ("no entry at all", &all, ids(&["ent_x"]), None),
        ("an old revision", &all, ids(&[two]), Some(1)),
        ("a foreign project", &none, ids(&[two]), None),
    ] {
        let done = ticket::split(ctx, projects, "usr_1", &first.ticket_id, &split, seen).await;
        assert!(done.is_err(), "{what}");
        assert_eq!(desk.dump().await, before, "{what}");
    }
    let done = ticket::split(ctx, &all, "usr_1", "tkt_none", &ids(&[two]), None).await;
    assert!(matches!(done, Err(TicketError::NotFound)));
    let now = desk.ticket("HELP-1").await.ticket.revision;
    let split = ids(&[two]);
    ticket::split(ctx, &all, "usr_1", &first.ticket_id, &split, Some(now))
        .await
        .unwrap();
    let twice = ticket::split(ctx, &all, "usr_1", &first.ticket_id, &split, None).await;
    assert!(twice.is_err(), "the entry is not there any more");
}

#[tokio::test]
async fn notes_and_answers_alone_keep_the_requester_and_what_an_app_is_told_names_everything() {
    let desk = desk().await;
    let first = desk.send("1@x", "Ada <ada@x.test>", "").await;
    let (_, _, answer) = desk.answer("HELP-1", "ada@x.test").await;
    let id = first.ticket_id.clone();
    let (_, note) = ticket::note(desk.ctx(), "usr_1", "Grace", &id, "Look here", None)
        .await
        .unwrap();
    let made = desk.split("HELP-1", &[&answer, &note.id]).await.unwrap();
    assert_eq!(
        (made.subject.as_str(), made.requester_email.as_str()),
        ("About 1@x", "ada@x.test")
    );
    let on = desk.ctx().db.read();
    let told = crate::event::of_subject(on, &made.id, 10).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].kind.as_str(), told[0].actor.as_str()),
        ("ticket.created", "usr_1")
    );
    assert_eq!(told[0].data["splitFromKey"], "HELP-1");
    assert_eq!(told[0].data["entryIds"], serde_json::json!([answer, note.id]));
    let told = crate::event::of_subject(on, &id, 10).await.unwrap();
    assert!(
        told.iter()
            .any(|event| event.data["changes"]["split"]["to"] == "HELP-2")
    );
}

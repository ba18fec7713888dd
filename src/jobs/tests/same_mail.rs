//! One mail that arrives in several mailboxes of a project, on stored mail.

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::mails::switch_on;
use super::rules::{Desk, MAILBOX};
use crate::access::Projects;
use crate::db::sql;
use crate::jobs::{self, Cause};
use crate::message::{self, Message};
use crate::template::Kind;
use crate::ticket::{self, Split, TicketDetail};

const SALES: &str = "mbx_2";

/// A desk with a second mailbox in the same project.
async fn desk() -> Desk {
    let desk = Desk::open("desk@a.test").await;
    another_mailbox(&desk, SALES, &desk.project).await;
    desk
}

async fn another_mailbox(desk: &Desk, id: &str, project: &str) {
    let on = desk.ctx().db.write();
    let columns = "grant_id, protocol, host, port, tls, folder, start_from, after_ingest, move_to, schedule, idle, \
                   max_message_bytes, paused, state, next_poll_at, revision, created_at, updated_at, smtp_host, \
                   smtp_port, smtp_tls, smtp_login_name, smtp_from";
    let text = format!(
        "INSERT INTO mailboxes (id, name, project_id, login_name, {columns}) \
         SELECT $1, CASE WHEN $1 = 'mbx_2' THEN 'Sales' ELSE $1 END, $2, 'sales@a.test', {columns} FROM mailboxes WHERE id = $3"
    );
    on.execute_raw(sql(on, &text, [id.into(), project.into(), MAILBOX.into()]))
        .await
        .unwrap();
}

/// A mail as it stands in one mailbox: servers on the way wrote more into it.
fn mail(trace: &str, text: &str) -> Vec<u8> {
    format!(
        "Delivered-To: {trace}\r\nReceived: from x.test by {trace}\r\nMessage-ID: <1@x.test>\r\nFrom: Ada <ada@x.test>\r\n\
         To: desk@a.test, sales@a.test\r\nSubject: Printer\r\n\r\n{text}\r\n"
    )
    .into_bytes()
}

impl Desk {
    async fn copy(&self, mailbox: &str, text: &str) -> Message {
        let raw = mail(if mailbox == MAILBOX { "desk" } else { "sales" }, text);
        self.receive_in(mailbox, &raw, false).await
    }

    async fn audited(&self, action: &str) -> i64 {
        let on = self.ctx().db.read();
        let text = "SELECT COUNT(*) AS n FROM audit_events WHERE action = $1";
        let row = on.query_one_raw(sql(on, text, [action.into()])).await.unwrap();
        row.unwrap().try_get("", "n").unwrap()
    }

    async fn only_ticket(&self) -> TicketDetail {
        assert_eq!(self.count("tickets").await, 1);
        ticket::get_by_key(self.ctx(), &Projects::All, "HELP-1")
            .await
            .unwrap()
    }
}

fn why(message: &Message) -> Value {
    serde_json::from_str(&message.resolution).unwrap()
}

#[tokio::test]
async fn a_mail_in_two_mailboxes_is_one_ticket_and_one_entry_in_either_order() {
    for (first, second, name) in [(MAILBOX, SALES, "Desk"), (SALES, MAILBOX, "Sales")] {
        let desk = desk().await;
        switch_on(&desk, Kind::Acknowledgement).await;
        for (mailbox, label) in [(MAILBOX, "support"), (SALES, "money")] {
            desk.rule(
                label,
                json!({ "mailboxIds": [mailbox] }),
                json!({ "labels": [label] }),
            )
            .await;
        }
        let shown = desk.copy(first, "It burns.").await;
        let events = desk.count("events").await;
        let copy = desk.copy(second, "It burns.").await;
        let only = desk.only_ticket().await;
        assert_eq!((only.entries.len(), only.ticket.entry_count), (1, 1));
        assert_eq!(only.entries[0].message_id.as_deref(), Some(shown.id.as_str()));
        assert_eq!(
            (&copy.ticket_id, &copy.entry_id, copy.state.as_str()),
            (&shown.ticket_id, &shown.entry_id, "ticketed")
        );
        assert_eq!(why(&copy)["rule"], "same_mail");
        assert!(
            why(&copy)["why"].as_str().unwrap().contains(name),
            "{}",
            why(&copy)
        );
        assert_eq!(why(&shown)["rule"], "new_ticket");
        for (one, other) in [(&shown, &copy), (&copy, &shown)] {
            let copies = message::copies(desk.ctx().db.read(), one).await.unwrap();
            assert_eq!(copies.len(), 1);
            assert_eq!(copies[0].message_id, other.id);
        }
        assert_eq!(desk.outbox().await.len(), 1, "it is acknowledged once");
        let mut labels = ticket::labels_of(&only.ticket);
        labels.sort();
        assert_eq!(labels, ["money", "support"], "the rules of both mailboxes count");
        let filter = ticket::TicketFilter {
            label: Some("support".to_owned()),
            projects: Projects::All,
            ..ticket::TicketFilter::default()
        };
        let listed = ticket::list(desk.ctx(), &filter, 10).await.unwrap();
        assert_eq!(listed.items.len(), 1, "lists know the labels of rules");
        // That it came, and the other label: nothing that would show it once more.
        let text = "SELECT type AS kind FROM events ORDER BY rowid";
        let on = desk.ctx().db.read();
        let rows = on.query_all_raw(sql(on, text, [])).await.unwrap();
        let told: Vec<String> = rows[usize::try_from(events).unwrap()..]
            .iter()
            .map(|row| row.try_get("", "kind").unwrap())
            .collect();
        assert_eq!(told, ["message.received", "ticket.updated"]);
        // What answers it finds it, whichever copy was answered.
        let answer = "Message-ID: <2@x.test>\r\nIn-Reply-To: <1@x.test>\r\nFrom: ada@x.test\r\n\r\nx";
        let answer = desk.receive_in(second, answer.as_bytes(), false).await;
        assert_eq!(answer.ticket_id, shown.ticket_id);
    }
}

#[tokio::test]
async fn what_rules_send_goes_out_once_for_a_mail_whichever_copy_comes_first() {
    for (first, second) in [(MAILBOX, SALES), (SALES, MAILBOX)] {
        let desk = desk().await;
        desk.rule("Boss", json!({}), json!({ "forwardTo": ["boss@a.test"] }))
            .await;
        desk.rule("Office", json!({}), json!({ "answer": "We got it." }))
            .await;
        desk.copy(first, "It burns.").await;
        desk.copy(second, "It burns.").await;
        assert_eq!(desk.outbox().await.len(), 2, "one copy and one answer");
        assert_eq!(desk.audited("message.forwarded").await, 1);
        desk.copy(second, "It burns no more.").await;
        assert_eq!(desk.outbox().await.len(), 3, "another mail is passed on, too");
    }
}

#[tokio::test]
async fn the_rule_of_one_mailbox_answers_also_when_another_one_had_the_mail_first() {
    for (first, second) in [(MAILBOX, SALES), (SALES, MAILBOX)] {
        let desk = desk().await;
        desk.rule(
            "Sales",
            json!({ "mailboxIds": [SALES] }),
            json!({ "answer": "Sales got it." }),
        )
        .await;
        desk.copy(first, "It burns.").await;
        desk.copy(second, "It burns.").await;
        assert_eq!(desk.outbox().await.len(), 1);
        assert_eq!(desk.audited("message.answered").await, 1);
    }
}

#[tokio::test]
async fn copies_that_come_together_are_shown_once_as_well() {
    let desk = desk().await;
    desk.rule("Urgent", json!({}), json!({ "labels": ["urgent"] }))
        .await;
    let raws = ["one", "two", "three"].map(|trace| mail(trace, "It burns."));
    desk.store(&raws.each_ref().map(|raw| (&raw[..], false))).await;
    desk.process().await;
    let only = desk.only_ticket().await;
    assert_eq!((only.entries.len(), only.ticket.entry_count), (1, 1));
    assert_eq!(desk.count("messages").await, 3);
    let text = "SELECT COUNT(*) AS n FROM messages WHERE state = 'ticketed' AND entry_id = $1";
    let on = desk.ctx().db.read();
    let row = on.query_one_raw(sql(on, text, [only.entries[0].id.as_str().into()]));
    assert_eq!(row.await.unwrap().unwrap().try_get::<i64>("", "n").unwrap(), 3);
}

#[tokio::test]
async fn another_text_other_projects_and_half_mails_are_mails_of_their_own() {
    let desk = desk().await;
    desk.copy(MAILBOX, "It burns.").await;
    let other = desk.copy(SALES, "It does not burn any more.").await;
    assert_eq!(desk.key(&other).await.as_deref(), Some("HELP-2"));
    let half = desk.receive_in(SALES, &mail("half", "It burns."), true).await;
    assert_eq!(desk.key(&half).await.as_deref(), Some("HELP-3"));
    let new = crate::project::NewProject {
        key: "OTHER".into(),
        name: "Other".into(),
        ..crate::project::NewProject::default()
    };
    let project = crate::project::create(desk.ctx(), new).await.unwrap().id;
    another_mailbox(&desk, "mbx_3", &project).await;
    let raw = mail("third", "It burns.");
    let new = message::NewRaw {
        mailbox_id: "mbx_3",
        project_id: &project,
        folder: "INBOX",
        uid_validity: 1,
        uid: 1,
        internal_date: None,
        bytes: &raw,
        is_partial: false,
        size: 1,
    };
    message::insert_raws(desk.ctx().db.write(), &desk.ctx().clock, &[new])
        .await
        .unwrap();
    jobs::ingest_mail::process(desk.ctx(), "mbx_3").await.unwrap();
    let other = ticket::get_by_key(desk.ctx(), &Projects::All, "OTHER-1").await;
    assert_eq!(other.unwrap().entries.len(), 1);
    assert!(
        desk.copy(SALES, "It burns.")
            .await
            .resolution
            .contains("same_mail")
    );
}

#[tokio::test]
async fn rules_may_hold_or_drop_a_copy_but_not_show_it_twice() {
    let desk = desk().await;
    let sales = json!({ "mailboxIds": [SALES] });
    let rule = |place: &str| json!({ "place": place });
    let shown = desk.copy(MAILBOX, "It burns.").await;
    let own = desk.rule("Own", sales.clone(), rule("new")).await;
    let copy = desk.copy(SALES, "It burns.").await;
    assert_eq!(
        copy.entry_id, shown.entry_id,
        "a ticket of its own is there already"
    );
    let stored = crate::rule::get(desk.ctx(), &Projects::All, &own).await.unwrap();
    crate::rule::delete(desk.ctx(), &Projects::All, &own, stored.revision)
        .await
        .unwrap();
    desk.rule("Hold", sales, rule("quarantine")).await;
    let held = desk
        .receive_in(SALES, &mail("elsewhere", "It burns."), false)
        .await;
    assert_eq!(
        (held.state.as_str(), held.ticket_id.as_str()),
        ("quarantined", "")
    );
    let released = jobs::reprocess(desk.ctx(), &held.id, Cause::Release, "usr_1")
        .await
        .unwrap();
    assert_eq!(released.entry_id, shown.entry_id);
    assert_eq!(desk.only_ticket().await.entries.len(), 1);
}

#[tokio::test]
async fn copies_move_with_the_entry_that_shows_them() {
    let desk = desk().await;
    let first = "Message-ID: <0@x.test>\r\nFrom: ada@x.test\r\n\r\nFirst";
    desk.receive(first.as_bytes()).await;
    let answers = |trace: &str| {
        let raw = format!("X-Way: {trace}\r\nIn-Reply-To: <0@x.test>\r\n");
        [raw.as_bytes(), &mail(trace, "It burns.")[..]].concat()
    };
    let shown = desk.receive_in(MAILBOX, &answers("desk"), false).await;
    let copy = desk.receive_in(SALES, &answers("sales"), false).await;
    assert_eq!(
        (copy.entry_id.as_str(), desk.key(&copy).await),
        (shown.entry_id.as_str(), Some("HELP-1".into()))
    );
    let split = Split {
        entry_ids: vec![shown.entry_id.clone()],
        subject: None,
    };
    ticket::split(
        desk.ctx(),
        &Projects::All,
        "usr_1",
        &shown.ticket_id,
        &split,
        None,
    )
    .await
    .unwrap();
    for moved in [&shown, &copy] {
        let moved = desk.message(&moved.id).await;
        assert_eq!(desk.key(&moved).await.as_deref(), Some("HELP-2"));
    }
    let late = desk.receive_in(MAILBOX, &answers("late"), false).await;
    assert_eq!(
        desk.key(&late).await.as_deref(),
        Some("HELP-2"),
        "where the first copy is now"
    );
}

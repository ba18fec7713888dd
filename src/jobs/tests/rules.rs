//! Rules, quarantine, processing again and automatic answers, on stored mail: what happens in the database.

use sea_orm::{ConnectionTrait, Value as SqlValue};
use serde_json::{Value, json};

use super::mails::person;
use crate::access::{Projects, Role};
use crate::audit::{self, Filter};
use crate::ctx::Ctx;
use crate::db::sql;
use crate::grant::testkit::{Place, place};
use crate::jobs::{self, Cause, ReprocessError, ingest_mail};
use crate::message::{self, Message, NewRaw, Stored};
use crate::project::{self, NewProject};
use crate::rule::{self, RuleError, RuleInput, Trial, definition, loop_guard};
use crate::ticket::TicketFilter;
use crate::{outbox, ticket};

/// One installation with one mailbox that can send.
pub(in crate::jobs) struct Desk {
    pub(in crate::jobs) place: Place,
    pub(super) project: String,
}

pub(in crate::jobs) const MAILBOX: &str = "mbx_1";

impl Desk {
    pub(in crate::jobs) async fn open(address: &str) -> Self {
        let place = place().await;
        let ctx = &place.ctx;
        let new = NewProject {
            key: "HELP".into(),
            name: "Help".into(),
            ..NewProject::default()
        };
        let project = project::create(ctx, new).await.unwrap().id;
        let on = ctx.db.write();
        // The grant is not asked about here.
        on.execute_unprepared("PRAGMA foreign_keys = OFF").await.unwrap();
        let text = "INSERT INTO mailboxes (id, name, project_id, grant_id, protocol, host, port, tls, login_name, folder, \
                    start_from, after_ingest, move_to, schedule, idle, max_message_bytes, paused, state, next_poll_at, \
                    revision, created_at, updated_at, smtp_host, smtp_port, smtp_tls, smtp_login_name, smtp_from) \
                    VALUES ($1, 'Desk', $2, 'grt_1', 'imap', 'imap.test', 993, 'implicit', $3, 'INBOX', 'all', 'leave', \
                    '', '0 0 0 1 1 *', FALSE, 1000000, FALSE, 'ok', 0, 1, 0, 0, 'smtp.test', 465, 'implicit', $3, $3)";
        let values: [SqlValue; 3] = [MAILBOX.into(), project.clone().into(), address.into()];
        on.execute_raw(sql(on, text, values)).await.unwrap();
        Self { place, project }
    }

    pub(in crate::jobs) fn ctx(&self) -> &Ctx {
        &self.place.ctx
    }

    pub(super) async fn rule(&self, name: &str, matches: Value, actions: Value) -> String {
        let mut errors = Vec::new();
        let input = RuleInput {
            project_id: self.project.clone(),
            name: name.into(),
            enabled: true,
            stop: false,
            matches: definition::read_matches(&matches, &mut errors),
            actions: definition::read_actions(&actions, &mut errors),
        };
        assert_eq!(errors, []);
        rule::create(self.ctx(), &Projects::All, input).await.unwrap().id
    }

    /// A mail as it comes in, and what became of it.
    pub(in crate::jobs) async fn receive(&self, raw: &[u8]) -> Message {
        self.receive_as(raw, false).await
    }

    pub(in crate::jobs) async fn receive_as(&self, raw: &[u8], is_partial: bool) -> Message {
        self.receive_in(MAILBOX, raw, is_partial).await
    }

    pub(super) async fn receive_in(&self, mailbox: &str, raw: &[u8], is_partial: bool) -> Message {
        let stored = self.store_in(mailbox, &[(raw, is_partial)]).await;
        let [Stored::New(id)] = &stored[..] else {
            panic!("the same mail twice");
        };
        ingest_mail::process(self.ctx(), mailbox).await.unwrap();
        self.message(id).await
    }

    /// Mails as they lie in the folder, not yet looked into; some of them with their header only.
    pub(in crate::jobs) async fn store(&self, mails: &[(&[u8], bool)]) -> Vec<Stored> {
        self.store_in(MAILBOX, mails).await
    }

    async fn store_in(&self, mailbox: &str, mails: &[(&[u8], bool)]) -> Vec<Stored> {
        static UID: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
        let raws: Vec<NewRaw<'_>> = mails
            .iter()
            .map(|(raw, is_partial)| NewRaw {
                mailbox_id: mailbox,
                project_id: &self.project,
                folder: "INBOX",
                uid_validity: 1,
                uid: UID.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                internal_date: None,
                bytes: raw,
                is_partial: *is_partial,
                size: if *is_partial { 31_000_000 } else { raw.len() as u64 },
            })
            .collect();
        message::insert_raws(self.ctx().db.write(), &self.ctx().clock, &raws)
            .await
            .unwrap()
    }

    pub(in crate::jobs) async fn process(&self) {
        ingest_mail::process(self.ctx(), MAILBOX).await.unwrap();
    }

    pub(super) async fn message(&self, id: &str) -> Message {
        message::get(self.ctx(), &Projects::All, id).await.unwrap()
    }

    pub(super) async fn key(&self, message: &Message) -> Option<String> {
        ticket::key_of(self.ctx().db.read(), &message.ticket_id)
            .await
            .unwrap()
    }

    pub(super) async fn last_run(&self, message: &Message) -> Value {
        let runs = message::runs_of(self.ctx().db.read(), &message.id).await.unwrap();
        runs.last().unwrap().detail.clone()
    }

    /// The bytes of every mail in the outbox, the oldest first.
    pub(super) async fn outbox(&self) -> Vec<Vec<u8>> {
        let text = "SELECT b.bytes AS bytes FROM outgoing_bodies b JOIN outgoing_mails m ON m.id = b.outgoing_id \
                    ORDER BY m.id";
        let on = self.ctx().db.read();
        let rows = on.query_all_raw(sql(on, text, [])).await.unwrap();
        rows.iter().map(|row| row.try_get("", "bytes").unwrap()).collect()
    }

    pub(in crate::jobs) async fn count(&self, table: &str) -> i64 {
        let on = self.ctx().db.read();
        let text = format!("SELECT COUNT(*) AS n FROM {table}");
        let row = on.query_one_raw(sql(on, &text, [])).await.unwrap().unwrap();
        row.try_get("", "n").unwrap()
    }

    /// Every row of every table, as text.
    pub(super) async fn dump(&self) -> Vec<String> {
        let on = self.ctx().db.read();
        let names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
        let tables = on.query_all_raw(sql(on, names, [])).await.unwrap();
        let mut all = Vec::new();
        for table in tables {
            let name: String = table.try_get("", "name").unwrap();
            let columns = on
                .query_all_raw(sql(
                    on,
                    &format!("SELECT name FROM pragma_table_info('{name}')"),
                    [],
                ))
                .await
                .unwrap();
            let columns: Vec<String> = columns
                .iter()
                .map(|row| format!("quote(\"{}\")", row.try_get::<String>("", "name").unwrap()))
                .collect();
            let text = format!("SELECT {} AS line FROM \"{name}\"", columns.join(" || '|' || "));
            for row in on.query_all_raw(sql(on, &text, [])).await.unwrap() {
                all.push(format!("{name}: {}", row.try_get::<String>("", "line").unwrap()));
            }
        }
        all.sort();
        all
    }
}

pub(super) fn mail(from: &str, subject: &str, more: &str) -> Vec<u8> {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!(
        "Message-ID: <{number}@x.test>\r\nFrom: {from}\r\nTo: desk@a.test\r\nSubject: {subject}\r\n{more}\r\nHello.\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn a_rule_whose_ticket_is_gone_falls_back_and_says_so() {
    let desk = Desk::open("desk@a.test").await;
    let first = desk.receive(&mail("ada@x.test", "First", "")).await;
    let rule = json!({ "place": "ticket", "ticketKey": "HELP-1", "labels": ["alarm"], "priority": "high" });
    desk.rule("Alarms", json!({ "subject": { "value": "alarm" } }), rule)
        .await;
    let joined = desk.receive(&mail("robot@x.test", "Alarm!", "")).await;
    assert_eq!(joined.ticket_id, first.ticket_id);
    let detail = desk.last_run(&joined).await;
    assert_eq!(
        detail["ignored"],
        json!(["priority"]),
        "agents decide about a ticket that is there"
    );
    let found = ticket::get(desk.ctx(), &Projects::All, &first.ticket_id)
        .await
        .unwrap();
    assert_eq!(found.ticket.labels, r#"["alarm"]"#);
    assert_eq!(found.ticket.priority, "normal");

    let on = desk.ctx().db.write();
    on.execute_unprepared("UPDATE rules SET actions = REPLACE(actions, 'HELP-1', 'HELP-99')")
        .await
        .unwrap();
    let stray = desk.receive(&mail("robot@x.test", "Alarm again!", "")).await;
    assert_eq!(desk.key(&stray).await.as_deref(), Some("HELP-2"));
    let detail = desk.last_run(&stray).await;
    assert!(
        detail["fallback"].as_str().unwrap().contains("HELP-99"),
        "{detail}"
    );
    let found = ticket::get(desk.ctx(), &Projects::All, &stray.ticket_id)
        .await
        .unwrap();
    assert_eq!(found.ticket.priority, "high", "the rest of the rule still counts");
}

#[tokio::test]
async fn a_rule_assigns_only_to_who_may_work_in_its_project() {
    let desk = Desk::open("desk@a.test").await;
    let ctx = desk.ctx();
    let try_with = async |user: &str| {
        let mut errors = Vec::new();
        let input = RuleInput {
            project_id: desk.project.clone(),
            name: "Give it away".into(),
            enabled: true,
            stop: false,
            matches: definition::read_matches(&json!({}), &mut errors),
            actions: definition::read_actions(&json!({ "assigneeId": user }), &mut errors),
        };
        match rule::create(ctx, &Projects::All, input).await {
            Ok(_) => String::new(),
            Err(RuleError::Invalid(errors)) => errors[0].code.to_string(),
            Err(other) => panic!("{other}"),
        }
    };
    let (grace, admin) = (
        person(ctx, "Grace", false).await,
        person(ctx, "Admin", true).await,
    );
    assert_eq!(try_with("usr_nobody").await, "unknown");
    assert_eq!(try_with(&grace).await, "not_assignable");
    for (role, expected) in [(Role::Viewer, "not_assignable"), (Role::Agent, "")] {
        project::set_member(&ctx.db, &ctx.clock, &desk.project, &grace, role, "cli")
            .await
            .unwrap();
        assert_eq!(try_with(&grace).await, expected, "{role:?}");
    }
    assert_eq!(try_with(&admin).await, "");
}

#[tokio::test]
async fn labels_of_rules_are_found_like_those_of_people() {
    let desk = Desk::open("desk@a.test").await;
    let labels = |from: usize| -> Vec<String> {
        (from..from + 15)
            .map(|n| format!("  Very  Important {n:02}"))
            .collect()
    };
    for from in [0, 15] {
        let actions = json!({ "labels": labels(from) });
        desk.rule(&format!("Alarms {from}"), json!({}), actions).await;
    }
    let message = desk.receive(&mail("robot@x.test", "Alarm!", "")).await;
    let filter = TicketFilter {
        projects: Projects::All,
        label: Some("Very important 00".into()),
        ..TicketFilter::default()
    };
    let found = ticket::list(desk.ctx(), &filter, 10).await.unwrap().items;
    assert_eq!(found.len(), 1);
    let labels = ticket::labels_of(&found[0]);
    assert_eq!(labels.len(), ticket::MAX_LABELS);
    assert_eq!(labels[0], "very important 00");
    assert_eq!(desk.last_run(&message).await["ignored"], json!(["labels"]));
}

#[tokio::test]
async fn of_a_mail_over_the_limit_a_copy_says_that_it_is_not_whole_and_it_is_not_dropped() {
    let desk = Desk::open("desk@a.test").await;
    let actions = json!({ "place": "drop", "forwardTo": ["copy@x.test"] });
    desk.rule("Pass on", json!({ "sender": ["x.test"] }), actions)
        .await;
    let whole = desk.receive(&mail("ada@x.test", "Whole", "")).await;
    assert_eq!(whole.state, "dropped");
    let partial = desk.receive_as(&mail("ada@x.test", "Large", ""), true).await;
    assert_ne!(partial.state, "dropped");
    assert!(desk.key(&partial).await.is_some());
    let sent = desk.outbox().await;
    let copy = String::from_utf8_lossy(&sent[1]).into_owned();
    assert!(
        copy.contains("only its header is attached") && copy.contains("header.eml"),
        "{copy}"
    );
}

#[tokio::test]
async fn what_is_dropped_stays_in_the_log_and_can_be_processed_again() {
    let desk = Desk::open("desk@a.test").await;
    let rule = desk
        .rule(
            "News",
            json!({ "sender": ["news.test"] }),
            json!({ "place": "drop" }),
        )
        .await;
    let dropped = desk.receive(&mail("a@news.test", "Offers", "")).await;
    assert_eq!(
        (dropped.state.as_str(), dropped.ticket_id.as_str()),
        ("dropped", "")
    );
    assert!(dropped.problem.contains("News"));
    assert_eq!(desk.count("tickets").await, 0);
    let again = jobs::reprocess(desk.ctx(), &dropped.id, Cause::Again, "usr_1")
        .await
        .unwrap();
    assert_eq!(again.state, "dropped", "the rule still says so");
    let stored = rule::get(desk.ctx(), &Projects::All, &rule).await.unwrap();
    rule::delete(desk.ctx(), &Projects::All, &rule, stored.revision)
        .await
        .unwrap();
    let again = jobs::reprocess(desk.ctx(), &dropped.id, Cause::Again, "usr_1")
        .await
        .unwrap();
    assert_eq!(again.state, "ticketed");
    assert_eq!(desk.key(&again).await.as_deref(), Some("HELP-1"));
}

#[tokio::test]
async fn processing_again_doubles_neither_entries_nor_events() {
    let desk = Desk::open("desk@a.test").await;
    let answer = json!({ "answer": "Thank you.", "labels": ["new"] });
    desk.rule("Thanks", json!({}), answer).await;
    let message = desk.receive(&mail("ada@x.test", "Printer", "")).await;
    let (entries, events) = (desk.count("entries").await, desk.count("events").await);
    for _ in 0..3 {
        let again = jobs::reprocess(desk.ctx(), &message.id, Cause::Again, "usr_1")
            .await
            .unwrap();
        assert_eq!(again.ticket_id, message.ticket_id);
        assert_eq!(again.parsed, message.parsed);
    }
    assert_eq!(desk.count("entries").await, entries);
    assert_eq!(desk.count("events").await, events);
    assert_eq!(desk.outbox().await.len(), 1, "nothing is sent again");
    assert_eq!(desk.count("message_runs").await, 4);
}

#[tokio::test]
async fn quarantine_holds_a_mail_until_a_person_decides() {
    let desk = Desk::open("desk@a.test").await;
    desk.rule(
        "Odd",
        json!({ "subject": { "how": "glob", "value": "odd*" } }),
        json!({ "place": "quarantine" }),
    )
    .await;
    let held = desk.receive(&mail("ada@x.test", "Odd 1", "")).await;
    assert_eq!(
        (held.state.as_str(), held.quarantine_reason.as_str()),
        ("quarantined", "rule")
    );
    assert_eq!(desk.count("tickets").await, 0);
    let other = desk.receive(&mail("ada@x.test", "Fine", "")).await;
    assert_eq!(other.state, "ticketed", "it holds up no other");
    let still = jobs::reprocess(desk.ctx(), &held.id, Cause::Again, "usr_1")
        .await
        .unwrap();
    assert_eq!(still.state, "quarantined");
    let out = jobs::reprocess(desk.ctx(), &held.id, Cause::Release, "usr_1")
        .await
        .unwrap();
    assert_eq!(
        (out.state.as_str(), out.quarantine_reason.as_str()),
        ("ticketed", "")
    );
    let second = desk.receive(&mail("ada@x.test", "Odd 2", "")).await;
    let dropped = jobs::drop_quarantined(desk.ctx(), &second.id, "usr_1")
        .await
        .unwrap();
    assert_eq!(dropped.state, "dropped");
    let twice = jobs::drop_quarantined(desk.ctx(), &second.id, "usr_1").await;
    assert!(matches!(twice, Err(ReprocessError::NotNow(_))));
    let counted = message::count_quarantined(desk.ctx().db.read(), &Projects::All)
        .await
        .unwrap();
    assert_eq!(counted, []);
}

#[tokio::test]
async fn a_mail_over_the_limit_has_a_ticket_and_waits_in_quarantine() {
    let desk = Desk::open("desk@a.test").await;
    let large = desk
        .receive_as(&mail("ada@x.test", "Holiday pictures", ""), true)
        .await;
    assert_eq!(
        (large.state.as_str(), large.quarantine_reason.as_str()),
        ("quarantined", "too_large")
    );
    assert_eq!(desk.key(&large).await.as_deref(), Some("HELP-1"));
    assert!(large.problem.contains("31.0 MB"), "{}", large.problem);
    let again = jobs::reprocess(desk.ctx(), &large.id, Cause::Again, "usr_1")
        .await
        .unwrap();
    assert_eq!(again.state, "quarantined", "the rest is still missing");
    let kept = jobs::keep_as_it_is(desk.ctx(), &large.id, "usr_1").await.unwrap();
    assert_eq!(
        (kept.state.as_str(), kept.ticket_id),
        ("ticketed", large.ticket_id)
    );
}

#[tokio::test]
async fn a_placeholder_that_can_be_read_now_stays_in_its_ticket() {
    let desk = Desk::open("desk@a.test").await;
    let on = desk.ctx().db.write();
    // A mail that the database refuses three times, as one that ends the parser would be.
    on.execute_unprepared(
        "CREATE TRIGGER refuse BEFORE UPDATE OF subject ON messages WHEN NEW.subject = 'Poison' \
         BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .await
    .unwrap();
    let poison = desk.receive(&mail("Ada <ada@x.test>", "Poison", "")).await;
    assert_eq!(poison.quarantine_reason, "unreadable");
    let before = ticket::get(desk.ctx(), &Projects::All, &poison.ticket_id)
        .await
        .unwrap();
    assert_eq!(before.ticket.subject, "Mail that could not be read");
    on.execute_unprepared("DROP TRIGGER refuse").await.unwrap();
    let events = desk.count("events").await;
    let read = jobs::reprocess(desk.ctx(), &poison.id, Cause::Again, "usr_1")
        .await
        .unwrap();
    assert_eq!(
        (read.state.as_str(), &read.ticket_id),
        ("ticketed", &poison.ticket_id)
    );
    let after = ticket::get(desk.ctx(), &Projects::All, &poison.ticket_id)
        .await
        .unwrap();
    assert_eq!(after.ticket.subject, "Poison");
    assert_eq!(after.ticket.requester_email, "ada@x.test");
    assert_eq!(after.entries.len(), 1);
    assert_eq!(
        desk.count("events").await,
        events + 1,
        "the ticket was changed, once"
    );
}

#[tokio::test]
async fn bounces_and_automatic_answers_have_their_events() {
    let desk = Desk::open("desk@a.test").await;
    desk.receive(&mail(
        "ada@x.test",
        "Out of office: Re: Printer",
        "Auto-Submitted: auto-replied\r\n",
    ))
    .await;
    let bounce = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nSorry.\r\n\
        --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n\
        Final-Recipient: rfc822; gone@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--\r\n";
    desk.receive(&mail("MAILER-DAEMON@x.test", "Undelivered", bounce))
        .await;
    let on = desk.ctx().db.read();
    let text = "SELECT type FROM events WHERE type LIKE 'message.%' ORDER BY id";
    let rows = on.query_all_raw(sql(on, text, [])).await.unwrap();
    let kinds: Vec<String> = rows.iter().map(|row| row.try_get("", "type").unwrap()).collect();
    let wanted = [
        "message.received",
        "message.auto_reply",
        "message.received",
        "message.bounced",
    ];
    assert_eq!(kinds, wanted);
}

#[tokio::test]
async fn trying_rules_writes_nothing() {
    let desk = Desk::open("desk@a.test").await;
    let keep = desk.rule("Label", json!({}), json!({ "labels": ["mail"] })).await;
    for number in 0..5 {
        let from = if number % 2 == 0 {
            "a@news.test"
        } else {
            "ada@x.test"
        };
        desk.receive(&mail(from, &format!("Number {number}"), "")).await;
    }
    let before = desk.dump().await;
    let mut errors = Vec::new();
    let input = RuleInput {
        project_id: desk.project.clone(),
        name: "Drop news".into(),
        matches: definition::read_matches(&json!({ "sender": ["news.test"] }), &mut errors),
        actions: definition::read_actions(&json!({ "place": "drop" }), &mut errors),
        ..RuleInput::default()
    };
    let trial = Trial {
        project_id: desk.project.clone(),
        rule: Some(input.clone()),
        limit: 100,
        ..Trial::default()
    };
    let outcome = rule::simulate(desk.ctx(), &Projects::All, &trial).await.unwrap();
    assert_eq!((outcome.looked_at, outcome.matched, outcome.changed), (5, 3, 3));
    assert_eq!(outcome.tickets, ["HELP-1", "HELP-3", "HELP-5"]);
    assert!(outcome.messages.iter().all(|tried| tried.from == "a@news.test"));
    let changed = Trial {
        rule_id: keep,
        ..trial.clone()
    };
    let outcome = rule::simulate(desk.ctx(), &Projects::All, &changed)
        .await
        .unwrap();
    assert_eq!((outcome.matched, outcome.changed), (3, 5), "two lose their label");
    let foreign = rule::simulate(desk.ctx(), &Projects::one("prj_other"), &trial).await;
    assert!(
        foreign.is_err(),
        "who may not see the project may not try its mail"
    );
    assert_eq!(desk.dump().await, before, "the database is as it was");
}

#[tokio::test]
async fn an_answer_carries_the_mark_and_no_word_of_the_mail() {
    let desk = Desk::open("desk@a.test").await;
    desk.rule("Thanks", json!({}), json!({ "answer": "We look into it." }))
        .await;
    let message = desk
        .receive(&mail("ada@x.test", "Buy cheap pills at pills.test", ""))
        .await;
    let sent = desk.outbox().await;
    let text = String::from_utf8(sent[0].clone()).unwrap();
    for wanted in [
        "X-Mailgrant-Loop: 1; aut_",
        "Auto-Submitted: auto-replied",
        "To: ada@x.test",
        "We look into it.",
        "[HELP-1] Your message to Desk",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in {text}");
    }
    assert!(!text.contains("pills"), "{text}");
    let detail = desk.last_run(&message).await;
    assert_eq!(detail["automatic"][0]["sent"], true, "{detail}");
    let outgoing = outbox::of_ticket(desk.ctx().db.read(), &message.ticket_id)
        .await
        .unwrap();
    assert_eq!(outgoing.len(), 1);

    let second = desk.receive(&mail("ada@x.test", "Again", "")).await;
    let detail = desk.last_run(&second).await;
    assert_eq!(detail["automatic"][0]["code"], "sender_limit", "{detail}");
    assert_eq!(desk.outbox().await.len(), 1);
}

#[tokio::test]
async fn what_rules_send_is_in_the_audit_log_by_the_rule_that_sent_it() {
    let desk = Desk::open("desk@a.test").await;
    let thanks = desk
        .rule("Thanks", json!({}), json!({ "answer": "We look into it." }))
        .await;
    let copy = json!({ "answer": "Not this one.", "forwardTo": ["boss@x.test"] });
    let copy = desk.rule("Copy", json!({}), copy).await;
    let message = desk.receive(&mail("ada@x.test", "Printer", "")).await;
    // Not sent: two answers to one sender in a day.
    desk.receive(&mail("ada@x.test", "Printer again", "")).await;
    let filter = Filter {
        projects: Projects::All,
        via: Some("rule".to_owned()),
        target_id: Some(message.id.clone()),
        ..Filter::default()
    };
    let mut noted = audit::list(desk.ctx().db.read(), &filter, None, 50)
        .await
        .unwrap();
    noted.sort_by(|one, other| one.action.cmp(&other.action));
    let seen: Vec<_> = noted
        .iter()
        .map(|event| {
            (
                event.action.as_str(),
                event.actor.as_str(),
                event.summary["to"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("message.answered", thanks.as_str(), "ada@x.test"),
            ("message.forwarded", copy.as_str(), "boss@x.test")
        ]
    );
    let all = Filter {
        target_id: None,
        action: Some("message.answered".to_owned()),
        ..filter
    };
    assert_eq!(
        audit::list(desk.ctx().db.read(), &all, None, 50)
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(
        !format!("{noted:?}").contains("We look into it"),
        "never the words"
    );
}

#[tokio::test]
async fn a_copy_that_cannot_go_out_keeps_the_mail_from_being_dropped() {
    let desk = Desk::open("desk@a.test").await;
    let away = json!({ "place": "drop", "forwardTo": ["boss@x.test"] });
    desk.rule("Away", json!({ "sender": ["x.test"] }), away).await;
    let gone = desk.receive(&mail("ada@x.test", "Passed on", "")).await;
    assert_eq!(gone.state, "dropped");
    let copy = String::from_utf8(desk.outbox().await.remove(0)).unwrap();
    assert!(
        copy.contains("To: boss@x.test") && copy.contains("mail.eml"),
        "{copy}"
    );
    let looping = "X-Mailgrant-Loop: 1; aut_1; other\r\n";
    let kept = desk.receive(&mail("ada@x.test", "In a circle", looping)).await;
    assert_eq!(kept.state, "ticketed");
    let detail = desk.last_run(&kept).await;
    assert_eq!(detail["automatic"][0]["code"], "loop_header", "{detail}");
    assert!(detail["fallback"].is_string());
}

/// Takes away everything a relay may take away: all that says that a machine wrote it.
pub(super) fn stripped(raw: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(raw);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let kept = head.split("\r\n").filter(|line| {
        let line = line.to_ascii_lowercase();
        !(line.starts_with("x-") || line.starts_with("auto-submitted") || line.starts_with("precedence"))
    });
    format!("{}\r\n\r\n{body}", kept.collect::<Vec<_>>().join("\r\n")).into_bytes()
}

#[tokio::test]
async fn two_desks_that_answer_everything_end_after_two_mails_at_most() {
    for strips in [false, true] {
        let (a, b) = (Desk::open("desk@a.test").await, Desk::open("desk@b.test").await);
        for desk in [&a, &b] {
            desk.rule("Answer all", json!({}), json!({ "answer": "I got it." }))
                .await;
        }
        let mut flying = vec![(&a, mail("desk@b.test", "Hello", ""))];
        let mut sent = 0;
        while let Some((desk, raw)) = flying.pop() {
            let before = desk.outbox().await.len();
            desk.receive(&raw).await;
            let other = if std::ptr::eq(desk, &a) { &b } else { &a };
            for answer in desk.outbox().await.split_off(before) {
                sent += 1;
                assert!(sent <= 2, "they go on for ever");
                flying.push((other, if strips { stripped(&answer) } else { answer }));
            }
        }
        assert_eq!(sent, if strips { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_bounce_of_our_own_answer_is_neither_answered_nor_passed_on() {
    let desk = Desk::open("desk@a.test").await;
    let all = json!({ "answer": "I got it.", "forwardTo": ["boss@x.test"] });
    desk.rule("All", json!({}), all).await;
    let first = desk.receive(&mail("ada@x.test", "Hello", "")).await;
    let answers = desk.outbox().await;
    assert_eq!(answers.len(), 2);
    let answer = answers
        .iter()
        .find(|raw| String::from_utf8_lossy(raw).contains("To: ada@x.test"));
    let returned = String::from_utf8_lossy(answer.unwrap()).into_owned();
    let more = format!(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=bb\r\n\r\n--bb\r\n\r\nSorry.\r\n\
         --bb\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n\
         Final-Recipient: rfc822; ada@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         --bb\r\nContent-Type: message/rfc822\r\n\r\n{returned}\r\n--bb--\r\n"
    );
    let bounce = desk
        .receive(&mail("MAILER-DAEMON@x.test", "Undelivered", &more))
        .await;
    assert_eq!(desk.outbox().await.len(), 2, "nothing more goes out");
    let detail = desk.last_run(&bounce).await;
    for sent in detail["automatic"].as_array().unwrap() {
        assert_eq!(sent["code"], "loop_header", "{detail}");
    }
    assert_eq!(
        bounce.ticket_id, first.ticket_id,
        "it is noted on the ticket that was answered"
    );
}

#[tokio::test]
async fn slots_of_automatic_mail_are_forgotten_in_time() {
    let desk = Desk::open("desk@a.test").await;
    desk.rule("Thanks", json!({}), json!({ "answer": "Thank you." }))
        .await;
    desk.receive(&mail("ada@x.test", "Printer", "")).await;
    assert_eq!(desk.count("automatic_mails").await, 2);
    let later = desk.ctx().clock.now_ms() + 26 * 3_600_000;
    loop_guard::tidy_up(desk.ctx().db.write(), later).await.unwrap();
    assert_eq!(desk.count("automatic_mails").await, 0);
}

#[tokio::test]
async fn a_mail_that_is_processed_again_is_not_answered_again() {
    let desk = Desk::open("desk@a.test").await;
    let actions = json!({ "place": "drop", "answer": "We look at it." });
    desk.rule("Odd", json!({ "sender": ["x.test"] }), actions).await;
    let held = desk.receive(&mail("ada@x.test", "Odd", "")).await;
    assert_eq!(desk.outbox().await.len(), 1);
    // The day's answer to this sender would be allowed again.
    desk.ctx().clock.advance(chrono::Duration::hours(25));
    for cause in [Cause::Again, Cause::Release] {
        jobs::reprocess(desk.ctx(), &held.id, cause, "usr_1")
            .await
            .unwrap();
    }
    assert_eq!(desk.message(&held.id).await.state, "ticketed");
    assert_eq!(desk.outbox().await.len(), 1);
}

#[tokio::test]
async fn a_mail_that_is_processed_again_is_dropped_only_if_its_copies_went_out_before() {
    let desk = Desk::open("desk@a.test").await;
    let away = json!({ "place": "drop", "forwardTo": ["boss@x.test"] });
    desk.rule("Away", json!({ "sender": ["x.test"] }), away.clone())
        .await;
    let passed_on = desk.receive(&mail("ada@x.test", "Passed on", "")).await;
    desk.rule("Off", json!({ "sender": ["y.test"] }), json!({ "place": "drop" }))
        .await;
    let only_dropped = desk.receive(&mail("ada@y.test", "Only dropped", "")).await;
    let later = desk.rule("Later", json!({ "sender": ["y.test"] }), away).await;
    let rules = rule::list(desk.ctx(), &Projects::All).await.unwrap();
    let first = std::iter::once(later.clone());
    let order: Vec<String> = first
        .chain(rules.into_iter().map(|rule| rule.id).filter(|id| *id != later))
        .collect();
    rule::reorder(desk.ctx(), &Projects::All, &desk.project, &order, None)
        .await
        .unwrap();
    for message in [&passed_on, &only_dropped] {
        assert_eq!(message.state, "dropped");
        jobs::reprocess(desk.ctx(), &message.id, Cause::Again, "usr_1")
            .await
            .unwrap();
    }
    assert_eq!(desk.message(&passed_on.id).await.state, "dropped");
    assert_eq!(desk.message(&only_dropped.id).await.state, "ticketed");
    let detail = desk.last_run(&only_dropped).await;
    assert!(
        detail["fallback"].as_str().unwrap().contains("not every copy"),
        "{detail}"
    );
    assert_eq!(desk.outbox().await.len(), 1, "nothing is sent again");
}

#[tokio::test]
async fn a_mail_in_quarantine_that_has_a_ticket_is_not_dropped_from_under_it() {
    let desk = Desk::open("desk@a.test").await;
    let large = desk.receive_as(&mail("ada@x.test", "Large", ""), true).await;
    assert_eq!(
        (large.state.as_str(), large.quarantine_reason.as_str()),
        ("quarantined", "too_large")
    );
    let refused = jobs::drop_quarantined(desk.ctx(), &large.id, "usr_1").await;
    assert!(matches!(refused, Err(ReprocessError::NotNow(_))));
    let still = desk.message(&large.id).await;
    assert_eq!(
        (still.state.as_str(), &still.ticket_id),
        ("quarantined", &large.ticket_id)
    );
}

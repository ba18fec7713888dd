//! Mails that go out by themselves: acknowledgements, signatures, notices, alerts.

use std::sync::Arc;

use sea_orm::ConnectionTrait;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::rules::{Desk, mail, stripped};
use crate::access::{Projects, Role};
use crate::config::SiteSmtp;
use crate::ctx::Ctx;
use crate::event::{self, NewEvent, SYSTEM};
use crate::grant::testkit::place;
use crate::jobs::{send_alerts, send_notices};
use crate::outbox::{self, Outgoing, OutgoingFilter};
use crate::rule::LoopMarks;
use crate::rule::loop_guard::{self, Automatic, Purpose};
use crate::template::{self, Kind, TemplateInput};
use crate::{account, alert, project};

pub(super) async fn switch_on(desk: &Desk, kind: Kind) {
    let found = template::get(desk.ctx(), &Projects::All, &desk.project, kind)
        .await
        .unwrap();
    let input = TemplateInput {
        enabled: true,
        subject: found.subject,
        text: found.text,
        html: "<p>{{ ticket.key }} {{ ticket.subject }}</p>".into(),
    };
    template::save(
        desk.ctx(),
        &Projects::All,
        &desk.project,
        kind,
        found.revision,
        &input,
    )
    .await
    .unwrap();
}

fn text_of(raw: &[u8]) -> String {
    let parsed = mailgrant_mail::parse(raw);
    format!(
        "{}\n{}",
        parsed.subject.unwrap_or_default(),
        parsed.mailgrant.text
    )
}

#[tokio::test]
async fn whoever_opens_a_ticket_is_told_once_and_gets_no_words_carried() {
    let desk = Desk::open("desk@a.test").await;
    desk.receive(&mail("Eve <ada@x.test>", "Off", "")).await;
    assert!(
        desk.outbox().await.is_empty(),
        "it is off until somebody switches it on"
    );
    switch_on(&desk, Kind::Acknowledgement).await;
    let first = desk
        .receive(&mail("Eve <ada@x.test>", "Buy my pills <b>now</b>", ""))
        .await;
    let sent = desk.outbox().await;
    assert_eq!(sent.len(), 1);
    let text = text_of(&sent[0]);
    assert!(
        text.contains("HELP-2") && text.contains("received your message"),
        "{text}"
    );
    let raw = String::from_utf8_lossy(&sent[0]).into_owned();
    assert!(
        !raw.contains("pills") && !raw.contains("Eve"),
        "nobody verified the sender: {raw}"
    );
    for header in [
        "Auto-Submitted: auto-replied",
        "X-Mailgrant-Loop: ",
        "Precedence: bulk",
    ] {
        assert!(raw.contains(header), "{header} in {raw}");
    }
    let detail = desk.last_run(&first).await;
    assert_eq!(detail["automatic"][0]["what"], "acknowledgement", "{detail}");
    assert_eq!(detail["automatic"][0]["sent"], true);

    // Another one on the same day, a machine, a list, an answer in the ticket: silence, with its reason noted.
    for (from, more, code) in [
        ("ada@x.test", "", "sender_limit"),
        (
            "bot@y.test",
            "Auto-Submitted: auto-generated\r\n",
            "auto_submitted",
        ),
        ("list@y.test", "List-Id: <l.y.test>\r\n", "mailing_list"),
        ("noreply@y.test", "", "automated"),
    ] {
        let message = desk.receive(&mail(from, code, more)).await;
        let detail = desk.last_run(&message).await;
        assert_eq!(detail["automatic"][0]["code"], code, "{detail}");
    }
    assert_eq!(desk.outbox().await.len(), 1);
}

#[tokio::test]
async fn automatic_mail_asks_for_answers_at_the_sender_unless_signed_addresses_are_on() {
    let desk = Desk::open("login@a.test").await;
    switch_on(&desk, Kind::Acknowledgement).await;
    let on = desk.ctx().db.write();
    on.execute_unprepared("UPDATE mailboxes SET smtp_from = 'Help Desk <desk@b.test>'")
        .await
        .unwrap();
    let ids = |raw: &[u8]| {
        let parsed = mailgrant_mail::parse(raw);
        let reply_to = parsed.reply_to.first().map(|address| address.email.clone());
        (parsed.message_id.join(""), reply_to)
    };
    desk.receive(&mail("ada@x.test", "Off", "")).await;
    let (id, reply_to) = ids(&desk.outbox().await[0]);
    assert_eq!(reply_to, None, "nobody said that the server takes such addresses");
    assert!(id.ends_with("@b.test"), "{id}");
    on.execute_unprepared("UPDATE mailboxes SET smtp_signed_replies = TRUE")
        .await
        .unwrap();
    desk.receive(&mail("bo@x.test", "On", "")).await;
    let (_, reply_to) = ids(&desk.outbox().await[1]);
    let reply_to = reply_to.unwrap();
    assert!(
        reply_to.starts_with("desk+mg1.") && reply_to.ends_with("@b.test"),
        "{reply_to}"
    );
}

#[tokio::test]
async fn a_rules_own_answer_takes_the_place_of_the_acknowledgement() {
    let desk = Desk::open("desk@a.test").await;
    switch_on(&desk, Kind::Acknowledgement).await;
    desk.rule("Answer", json!({}), json!({ "answer": "We are closed." }))
        .await;
    desk.receive(&mail("ada@x.test", "Hello", "")).await;
    let sent = desk.outbox().await;
    assert_eq!(sent.len(), 1);
    assert!(text_of(&sent[0]).contains("We are closed."));
}

#[tokio::test]
async fn two_desks_that_acknowledge_each_other_end_after_one_round() {
    for strips in [false, true] {
        let (a, b) = (Desk::open("desk@a.test").await, Desk::open("desk@b.test").await);
        for desk in [&a, &b] {
            switch_on(desk, Kind::Acknowledgement).await;
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

/// The parts, with an account that sends for the installation.
fn sending(ctx: &Ctx) -> Ctx {
    let mut ctx = ctx.clone();
    let mut config = (*ctx.config).clone();
    config.smtp = Some(SiteSmtp {
        host: "smtp.test".into(),
        port: 465,
        tls: "implicit".into(),
        login_name: "mg@a.test".into(),
        password: SecretString::from("x"),
        from: "mg@a.test".into(),
    });
    ctx.config = Arc::new(config);
    ctx
}

async fn sent(ctx: &Ctx) -> Vec<Outgoing> {
    let filter = OutgoingFilter {
        projects: Projects::All,
        of_site: true,
        ..OutgoingFilter::default()
    };
    let mut all = outbox::list(ctx, &filter, 100).await.unwrap().items;
    all.reverse();
    all
}

async fn body(ctx: &Ctx, mail: &Outgoing) -> String {
    text_of(&outbox::raw(ctx, &mail.id).await.unwrap())
}

pub(super) async fn person(ctx: &Ctx, name: &str, is_admin: bool) -> String {
    let email = format!("{name}@desk.test");
    account::invite(&ctx.db, &ctx.clock, &email, name, is_admin, "cli")
        .await
        .unwrap()
        .id
}

async fn happen(ctx: &Ctx, kind: &str, id: &str, data: Value) {
    let event = NewEvent {
        kind,
        project_id: "",
        subject_id: id,
        actor: SYSTEM,
        data,
    };
    event::append(ctx.db.write(), &ctx.clock, event).await.unwrap();
}

fn dead() -> Value {
    json!({ "code": "invalid_grant", "cause": "The provider refused it.", "remedy": "Reconnect it." })
}

#[tokio::test]
async fn an_admin_is_told_once_that_something_needs_them_and_once_that_it_is_over() {
    let place = place().await;
    let ctx = sending(&place.ctx);
    person(&ctx, "ada", true).await;
    let quiet = person(&ctx, "quiet", true).await;
    person(&ctx, "agent", false).await;
    alert::opt(ctx.db.write(), &quiet, false).await.unwrap();

    happen(&ctx, "grant.expired", "grt_1", dead()).await;
    // Two nodes look at the same moment; later looks find nothing new.
    let other = ctx.clone();
    let (one, two) = tokio::join!(send_alerts::run(&ctx), send_alerts::run(&other));
    one.unwrap();
    two.unwrap();
    happen(&ctx, "grant.refused", "grt_1", dead()).await;
    send_alerts::run(&ctx).await.unwrap();
    let mails = sent(&ctx).await;
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_eq!(mails[0].addresses(), ["ada@desk.test"]);
    assert_eq!(mails[0].kind, "alert");
    let text = body(&ctx, &mails[0]).await;
    for told in [
        "[Mailgrant] Grant needs somebody: grt_1",
        "The provider refused it.",
        "What to do: Reconnect it.",
        "/grants/grt_1",
    ] {
        assert!(text.contains(told), "{told} in {text}");
    }

    // What comes soon after is told together, later; a mailbox that hiccups not at all.
    for number in 0..60 {
        happen(&ctx, "grant.expired", &format!("grt_x{number}"), dead()).await;
    }
    happen(&ctx, "grant.restored", "grt_1", json!({})).await;
    let failing = json!({ "name": "Desk", "code": "x", "cause": "No answer.", "remedy": "Wait." });
    happen(&ctx, "mailbox.failing", "mbx_1", failing.clone()).await;
    send_alerts::run(&ctx).await.unwrap();
    assert_eq!(sent(&ctx).await.len(), 1, "not another one within ten minutes");
    happen(&ctx, "mailbox.recovered", "mbx_1", json!({ "name": "Desk" })).await;
    happen(&ctx, "mailbox.failing", "mbx_2", failing).await;
    ctx.clock.advance(chrono::Duration::minutes(11));
    send_alerts::run(&ctx).await.unwrap();
    let mails = sent(&ctx).await;
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[1].subject, "[Mailgrant] 61 need somebody, 1 work again");
    let text = body(&ctx, &mails[1]).await;
    assert!(
        text.contains("Over: Grant needs somebody: grt_1") && !text.contains("mbx_1"),
        "{text}"
    );
    assert!(text.contains("and 11 more"), "{text}");
    ctx.clock.advance(chrono::Duration::minutes(11));
    send_alerts::run(&ctx).await.unwrap();
    assert_eq!(sent(&ctx).await.len(), 2);
    // It fails again: another episode.
    happen(&ctx, "grant.expired", "grt_1", dead()).await;
    send_alerts::run(&ctx).await.unwrap();
    assert_eq!(sent(&ctx).await.len(), 3);
}

#[tokio::test]
async fn a_busy_hour_costs_nobody_an_alert_and_what_reached_nobody_is_told_later() {
    let place = place().await;
    let ctx = sending(&place.ctx);
    person(&ctx, "ada", true).await;
    let marks = LoopMarks::new(&ctx.keys);
    for purpose in [Purpose::Notice, Purpose::Alert] {
        let asked = Automatic {
            purpose,
            to: "ada@desk.test",
            about: None,
            has_own_mark: false,
        };
        while loop_guard::allow(ctx.db.write(), &ctx.clock, &marks, &asked)
            .await
            .unwrap()
            .is_ok()
        {}
        happen(&ctx, "grant.expired", purpose_id(purpose), dead()).await;
        send_alerts::run(&ctx).await.unwrap();
        assert_eq!(sent(&ctx).await.len(), 1, "notices do not count, alerts do");
        ctx.clock.advance(chrono::Duration::minutes(11));
    }
    ctx.clock.advance(chrono::Duration::hours(1));
    send_alerts::run(&ctx).await.unwrap();
    let mails = sent(&ctx).await;
    assert_eq!(mails.len(), 2, "{mails:?}");
    assert!(body(&ctx, &mails[1]).await.contains("grt_late"));
}

fn purpose_id(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Notice => "grt_now",
        _ => "grt_late",
    }
}

#[tokio::test]
async fn alerts_wait_for_an_account_and_go_to_whom_was_chosen() {
    let place = place().await;
    person(&place.ctx, "ada", true).await;
    happen(
        &place.ctx,
        "webhook.disabled",
        "whk_1",
        json!({ "url": "https://x.test", "reason": "failing" }),
    )
    .await;
    send_alerts::run(&place.ctx).await.unwrap();
    assert!(sent(&place.ctx).await.is_empty());
    let ctx = sending(&place.ctx);
    let mut settings = alert::settings(ctx.db.read()).await.unwrap();
    settings.audience = alert::Audience::Addresses;
    settings.addresses = vec!["Ops <ops@desk.test>".into(), "nobody".into()];
    assert!(alert::save(&ctx, &settings).await.unwrap());
    assert!(!alert::save(&ctx, &settings).await.unwrap(), "an old revision");
    send_alerts::run(&ctx).await.unwrap();
    let mails = sent(&ctx).await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].addresses(), ["ops@desk.test"]);
    assert!(body(&ctx, &mails[0]).await.contains("failed for five days"));
}

#[tokio::test]
async fn an_alert_to_an_address_that_is_read_here_is_not_sent() {
    let desk = Desk::open("desk@a.test").await;
    let ctx = sending(desk.ctx());
    let mut settings = alert::settings(ctx.db.read()).await.unwrap();
    settings.audience = alert::Audience::Addresses;
    settings.addresses = vec!["desk@a.test".into()];
    alert::save(&ctx, &settings).await.unwrap();
    happen(&ctx, "grant.expired", "grt_1", dead()).await;
    send_alerts::run(&ctx).await.unwrap();
    assert!(sent(&ctx).await.is_empty());
}

#[tokio::test]
async fn agents_are_told_of_new_tickets_and_assignees_of_new_messages_once() {
    let desk = Desk::open("desk@a.test").await;
    let ctx = sending(desk.ctx());
    let agent = person(&ctx, "agent", false).await;
    let viewer = person(&ctx, "viewer", false).await;
    for (user, role) in [(&agent, Role::Agent), (&viewer, Role::Viewer)] {
        project::set_member(&ctx.db, &ctx.clock, &desk.project, user, role, "cli")
            .await
            .unwrap();
    }
    desk.receive(&mail("ada@x.test", "Before", "")).await;
    send_notices::run(&ctx).await.unwrap();
    assert!(sent(&ctx).await.is_empty(), "off until somebody switches it on");
    switch_on(&desk, Kind::NewTicket).await;
    switch_on(&desk, Kind::NewReply).await;
    let raw = |id: &str, more: &str| {
        format!("Message-ID: <{id}>\r\nFrom: Ada <ada@x.test>\r\nSubject: Printer\r\n{more}\r\nIt burns.\r\n")
            .into_bytes()
    };
    desk.receive(&raw("first@x.test", "")).await;
    let other = ctx.clone();
    let (one, two) = tokio::join!(send_notices::run(&ctx), send_notices::run(&other));
    one.unwrap();
    two.unwrap();
    let mails = sent(&ctx).await;
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_eq!(mails[0].addresses(), ["agent@desk.test"]);
    assert_eq!(mails[0].subject, "[HELP-2] New: Printer");
    // A machine's mail is told to nobody.
    desk.receive(&mail("bot@x.test", "Out", "Auto-Submitted: auto-replied\r\n"))
        .await;
    send_notices::run(&ctx).await.unwrap();
    assert_eq!(sent(&ctx).await.len(), 1);
    let text = format!("UPDATE tickets SET assignee_id = '{agent}' WHERE key = 'HELP-2'");
    ctx.db.write().execute_unprepared(&text).await.unwrap();
    desk.receive(&raw("second@x.test", "In-Reply-To: <first@x.test>\r\n"))
        .await;
    send_notices::run(&ctx).await.unwrap();
    let mails = sent(&ctx).await;
    assert_eq!(mails.len(), 2, "{mails:?}");
    assert!(
        mails[1].subject.starts_with("[HELP-2] Answer:"),
        "{}",
        mails[1].subject
    );
}

//! Tests of the outbox against a database.

use super::*;
use crate::access::Projects;
use crate::clock::from_ms;
use crate::grant::testkit::{Place, START_MS, place};
use crate::smtp::Address;
use crate::{project, ticket};
use sea_orm::{ConnectionTrait, DbErr};

fn mail() -> Composed {
    let clock = crate::clock::Clock::manual(from_ms(START_MS));
    let mut mail = NewMail::new(Kind::Reply, "usr_1");
    mail.to = vec![Address::new("to", "", "c@d.example").unwrap()];
    mail.subject = "Re: a\r\nBcc: x@y.example".into();
    mail.text = "Hello".into();
    let sender = Address::new("from", "Desk", "desk@b.example").unwrap();
    compose(&clock, Through::Site(&sender), mail).unwrap()
}

fn room() -> Room {
    Room {
        per_account: 2,
        ..Room::default()
    }
}

async fn queued(place: &Place) -> String {
    enqueue(place.ctx.db.write(), &mail()).await.unwrap()
}

async fn begin(place: &Place, node: &str, id: &str) -> Option<(crate::db::Lease, Begun)> {
    let ctx = &place.ctx;
    let now = ctx.clock.now_ms();
    let lease = claim(&ctx.db, node, id, now, 60_000).await.unwrap()?;
    let begun = begin_attempt(ctx.db.write(), &lease, node, now).await.unwrap()?;
    Some((lease, begun))
}

#[tokio::test]
async fn a_mail_is_fixed_when_it_is_put_in() {
    let place = place().await;
    let id = queued(&place).await;
    let stored = get(&place.ctx, &id).await.unwrap();
    let bytes = raw(&place.ctx, &id).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(&format!("Message-ID: <{}>\r\n", stored.rfc_message_id)));
    assert!(text.contains("Subject: Re: a  Bcc: x@y.example\r\n"), "{text}");
    assert_eq!(stored.addresses(), ["c@d.example"]);
    assert!(stored.rfc_message_id.ends_with("@b.example"));
    assert_eq!(stored.sender, "desk@b.example");
}

#[tokio::test]
async fn a_mail_with_a_one_time_link_lies_sealed_and_goes_out_as_it_is() {
    let place = place().await;
    let ctx = &place.ctx;
    let id = service::enqueue_sealed(ctx.db.write(), ctx, &mail())
        .await
        .unwrap();
    let stored = store::bytes(ctx.db.read(), &id).await.unwrap().unwrap();
    assert!(
        stored.starts_with(b"mg1."),
        "{}",
        String::from_utf8_lossy(&stored)
    );
    let text = String::from_utf8(raw(ctx, &id).await.unwrap()).unwrap();
    assert!(text.contains("To: c@d.example\r\n"), "{text}");
}

#[test]
fn what_nobody_wrote_is_not_sent_without_the_word_of_the_guard_against_loops() {
    let clock = crate::clock::Clock::manual(from_ms(START_MS));
    let sender = Address::new("from", "Desk", "desk@b.example").unwrap();
    for kind in [Kind::Automatic, Kind::Forward] {
        let mut mail = NewMail::new(kind, "system");
        mail.to = vec![Address::new("to", "", "c@d.example").unwrap()];
        mail.text = "Hello".into();
        let refused = compose(&clock, Through::Site(&sender), mail).map(drop);
        assert!(
            matches!(&refused, Err(OutboxError::Invalid(error)) if error.code == "loop_guard"),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_mail_that_is_not_committed_is_not_sent() -> Result<(), DbErr> {
    let place = place().await;
    let txn = place.ctx.db.begin().await?;
    enqueue(&txn, &mail()).await?;
    txn.rollback().await?;
    assert!(due(&place.ctx.db, START_MS, &room(), 10).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_mail_that_was_taken_back_is_not_begun_by_who_claimed_it_before() {
    let place = place().await;
    let ctx = &place.ctx;
    let id = queued(&place).await;
    let lease = claim(&ctx.db, "one/1", &id, START_MS, 60_000)
        .await
        .unwrap()
        .unwrap();
    // The node sleeps for longer than its claim lasts, and prolongs it when it is awake again.
    ctx.clock.advance(chrono::Duration::seconds(61));
    let now = ctx.clock.now_ms();
    let late = begin_attempt(ctx.db.write(), &lease, "one/1", now).await.unwrap();
    assert!(late.is_none(), "the claim ran out");
    cancel(ctx, "usr_1", &id, None).await.unwrap();
    prolong(&ctx.db, &lease, now + 60_000).await.unwrap();
    let late = begin_attempt(ctx.db.write(), &lease, "one/1", now).await.unwrap();
    assert!(late.is_none(), "it was taken back");
    let mail = get(ctx, &id).await.unwrap();
    assert_eq!((mail.state.as_str(), mail.attempts), ("cancelled", 0));
}

#[tokio::test]
async fn of_two_nodes_one_sends() {
    let place = place().await;
    let id = queued(&place).await;
    let (lease, begun) = begin(&place, "one/1", &id).await.unwrap();
    assert!(begin(&place, "two/1", &id).await.is_none());
    assert!(
        mark_handing_over(&place.ctx.db, &lease, begun.number, START_MS)
            .await
            .unwrap()
    );
    // Once the claim is lost, the mail is not handed over, and nothing that comes late is written.
    place.ctx.clock.advance(chrono::Duration::seconds(61));
    let (_, second) = begin(&place, "two/1", &id).await.unwrap();
    assert_eq!((second.number, second.after_unknown), (2, true));
    let late = place.ctx.clock.now_ms();
    assert!(
        !mark_handing_over(&place.ctx.db, &lease, begun.number, late)
            .await
            .unwrap()
    );
    let ending = Ending {
        outcome: "sent",
        state: MailState::Sent,
        next_attempt_at: 0,
        answer: String::new(),
        trouble: None,
    };
    assert!(
        !finish(place.ctx.db.write(), &lease, begun.number, &ending, late)
            .await
            .unwrap()
    );
    assert_eq!(get(&place.ctx, &id).await.unwrap().state, "sending");
}

#[tokio::test]
async fn the_end_of_an_attempt_is_noted_once_however_often_it_is_said() {
    let place = place().await;
    let id = queued(&place).await;
    let (lease, begun) = begin(&place, "one/1", &id).await.unwrap();
    let ending = Ending {
        outcome: "unknown",
        state: MailState::Queued,
        next_attempt_at: START_MS + 1,
        answer: String::new(),
        trouble: None,
    };
    for is_first in [true, false] {
        let noted = finish(place.ctx.db.write(), &lease, begun.number, &ending, START_MS).await;
        assert_eq!(noted.unwrap(), is_first);
    }
    assert_eq!(get(&place.ctx, &id).await.unwrap().unknown_outcomes, 1);
}

#[tokio::test]
async fn an_attempt_that_a_crash_ended_is_unknown_only_if_the_mail_was_being_handed_over() {
    let place = place().await;
    let id = queued(&place).await;
    begin(&place, "one/1", &id).await.unwrap();
    place.ctx.clock.advance(chrono::Duration::seconds(61));
    let (lease, begun) = begin(&place, "one/2", &id).await.unwrap();
    assert!(!begun.after_unknown, "the mail itself was not begun");
    mark_handing_over(&place.ctx.db, &lease, begun.number, place.ctx.clock.now_ms())
        .await
        .unwrap();
    place.ctx.clock.advance(chrono::Duration::seconds(61));
    let (_, begun) = begin(&place, "one/3", &id).await.unwrap();
    assert!(begun.after_unknown);
    assert_eq!(begun.mail.unknown_outcomes, 1);
    let outcomes: Vec<String> = attempts_of(place.ctx.db.read(), &id)
        .await
        .unwrap()
        .into_iter()
        .map(|attempt| attempt.outcome)
        .collect();
    assert_eq!(outcomes, ["interrupted", "unknown", "running"]);
}

#[tokio::test]
async fn what_waits_can_be_taken_back_and_what_failed_tried_again() {
    let place = place().await;
    let ctx = &place.ctx;
    let id = queued(&place).await;
    assert_eq!(cancel(ctx, "usr_1", &id, None).await.unwrap().state, "cancelled");
    assert!(matches!(
        retry(ctx, "usr_1", &id, None).await,
        Err(OutboxError::TooLate(_))
    ));
    assert!(
        begin(&place, "one/1", &id).await.is_none(),
        "taken back is not sent"
    );

    let id = queued(&place).await;
    let (lease, begun) = begin(&place, "one/1", &id).await.unwrap();
    assert!(matches!(
        cancel(ctx, "usr_1", &id, None).await,
        Err(OutboxError::TooLate(_))
    ));
    let ending = Ending {
        outcome: "refused",
        state: MailState::Failed,
        next_attempt_at: 0,
        answer: "550 5.1.1".into(),
        trouble: Some(crate::trouble::Trouble::new(
            "recipient_unknown",
            "Unknown.",
            "Check.",
        )),
    };
    finish(ctx.db.write(), &lease, begun.number, &ending, START_MS)
        .await
        .unwrap();
    assert!(due(&ctx.db, START_MS, &room(), 10).await.unwrap().is_empty());
    let again = retry(ctx, "usr_1", &id, None).await.unwrap();
    assert_eq!(
        (again.state.as_str(), again.tries, again.attempts),
        ("queued", 0, 1)
    );
    assert_eq!(due(&ctx.db, START_MS, &room(), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn html_alone_gets_a_text_form_and_loses_what_is_active() {
    let clock = crate::clock::Clock::manual(from_ms(START_MS));
    let mut mail = NewMail::new(Kind::Reply, "usr_1");
    mail.to = vec![Address::new("to", "", "c@d.example").unwrap()];
    mail.subject = "x".into();
    mail.html = Some("<p>Hello <b>Ada</b></p><script>alert(1)</script><ul><li>one</ul>".into());
    let sender = Address::new("from", "Desk", "desk@b.example").unwrap();
    let place = place().await;
    let composed = compose(&clock, Through::Site(&sender), mail).unwrap();
    let id = enqueue(place.ctx.db.write(), &composed).await.unwrap();
    let parsed = mailgrant_mail::parse(&raw(&place.ctx, &id).await.unwrap());
    assert!(
        parsed.mailgrant.text.contains("Hello Ada"),
        "{}",
        parsed.mailgrant.text
    );
    let bytes = String::from_utf8(raw(&place.ctx, &id).await.unwrap()).unwrap();
    assert!(bytes.contains("text/plain") && bytes.contains("<b>Ada</b>") && !bytes.contains("alert"));
}

#[tokio::test]
async fn a_claim_that_ran_out_hands_nothing_over_also_while_nobody_took_it_on() {
    let place = place().await;
    let ctx = &place.ctx;
    let id = queued(&place).await;
    let (lease, begun) = begin(&place, "one/1", &id).await.unwrap();
    ctx.clock.advance(chrono::Duration::seconds(60));
    let now = ctx.clock.now_ms();
    let may = async |now: i64| {
        mark_handing_over(&ctx.db, &lease, begun.number, now)
            .await
            .unwrap()
    };
    assert!(!may(now).await, "the claim is over");
    claim(&ctx.db, "two/1", &id, now, 60_000).await.unwrap().unwrap();
    assert!(!may(now).await, "another node has it and is about to begin");
}

#[tokio::test]
async fn a_thousand_mails_of_one_account_hide_no_other() {
    let place = place().await;
    let ctx = &place.ctx;
    for _ in 0..40 {
        queued(&place).await;
    }
    let text = "UPDATE outgoing_mails SET mailbox_id = 'mbx_silent'";
    ctx.db.write().execute_unprepared(text).await.unwrap();
    let late = queued(&place).await;
    let found = due(&ctx.db, START_MS, &room(), 10).await.unwrap();
    let accounts: Vec<&str> = found.iter().map(|due| due.mailbox_id.as_str()).collect();
    assert_eq!(accounts, ["mbx_silent", "mbx_silent", ""]);
    let room = Room {
        full: vec!["mbx_silent".into()],
        ..room()
    };
    let found = due(&ctx.db, START_MS, &room, 10).await.unwrap();
    assert_eq!(found.iter().map(|due| &due.id).collect::<Vec<_>>(), [&late]);
}

#[tokio::test]
async fn a_ticket_of_another_project_is_answered_like_one_that_is_not_there() {
    let place = place().await;
    let ctx = &place.ctx;
    let new = project::NewProject {
        key: "HELP".into(),
        name: "Help".into(),
        description: String::new(),
    };
    let project_id = project::create(ctx, new).await.unwrap().id;
    let new = ticket::NewTicket {
        project_id: project_id.clone(),
        subject: "Printer".into(),
        requester_name: "Ada".into(),
        requester_email: "ada@x.example".into(),
        note: String::new(),
        change: ticket::TicketChange::default(),
        once: None,
    };
    let made = ticket::open(ctx, "usr_1", "Bob", &new).await.unwrap();
    let answered = async |projects: Projects, id: &str| {
        let answer = Answer {
            text: "Hello".into(),
            ..Answer::default()
        };
        reply(ctx, "usr_1", "Bob", &projects, id, answer).await.map(drop)
    };
    // Nothing sends here; that is said only where the ticket may be seen.
    assert!(matches!(
        answered(Projects::one(&project_id), &made.id).await,
        Err(OutboxError::NotSending(_))
    ));
    for (projects, id) in [
        (Projects::one("prj_other"), made.id.as_str()),
        (Projects::All, "tkt_none"),
    ] {
        let refused = answered(projects, id).await;
        assert!(matches!(refused, Err(OutboxError::NoTicket)), "{id}: {refused:?}");
    }
}

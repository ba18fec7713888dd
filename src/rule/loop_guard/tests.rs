//! Who is answered automatically, and how often.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::from_ms;
use crate::crypto::KeyRing;
use crate::db::Db;

fn outline(head: &str) -> Outline {
    let raw =
        format!("From: Ada <ada@customer.test>\r\nTo: support@example.test\r\n{head}\r\n\r\nHello.\r\n");
    let mail = mailgrant_mail::parse(raw.as_bytes());
    Outline::of(&mail, mailgrant_mail::header_fields(raw.as_bytes()))
}

fn answer<'a>(to: &'a str, about: &'a Outline) -> Automatic<'a> {
    Automatic {
        purpose: Purpose::Answer,
        to,
        about: Some(about),
        has_own_mark: false,
    }
}

fn verdict(head: &str) -> Result<(), Refusal> {
    judge(
        &answer("ada@customer.test", &outline(head)),
        &["support@example.test".to_owned()],
    )
}

#[test]
fn nothing_automatic_is_answered() {
    let hops = "Received: from a by b\r\n".repeat(31);
    let table = [
        ("Subject: Printer", Ok(())),
        ("Auto-Submitted: no", Ok(())),
        ("Return-Path: <ada@customer.test>", Ok(())),
        ("Precedence: normal", Ok(())),
        ("X-Auto-Response-Suppress: DR, RN", Ok(())),
        ("Return-Path: <>", Err(Refusal::NullReturnPath)),
        ("Return-Path:", Err(Refusal::NullReturnPath)),
        ("Auto-Submitted: auto-replied", Err(Refusal::AutoSubmitted)),
        (
            "auto-submitted: Auto-Generated (rejected)",
            Err(Refusal::AutoSubmitted),
        ),
        ("Auto-Submitted: something-new", Err(Refusal::AutoSubmitted)),
        (
            "Auto-Submitted: no\r\nAuto-Submitted: auto-replied",
            Err(Refusal::AutoSubmitted),
        ),
        ("List-Id: <users.example.test>", Err(Refusal::MailingList)),
        ("List-Unsubscribe: <mailto:x@y.test>", Err(Refusal::MailingList)),
        ("LIST-HELP: <mailto:x@y.test>", Err(Refusal::MailingList)),
        ("Mailing-List: contact x", Err(Refusal::MailingList)),
        ("Precedence: list", Err(Refusal::MailingList)),
        ("Precedence: Bulk", Err(Refusal::Bulk)),
        ("Precedence: junk", Err(Refusal::Bulk)),
        ("Precedence: auto_reply", Err(Refusal::Bulk)),
        ("X-Auto-Response-Suppress: OOF, AutoReply", Err(Refusal::AskedNot)),
        ("X-Autorespond: yes", Err(Refusal::AutoSubmitted)),
        ("X-Loop: x", Err(Refusal::AutoSubmitted)),
        ("X-Mailgrant-Loop: 1; of; somebody", Err(Refusal::Marked)),
        (
            "Subject: Out of office: Re: Printer",
            Err(Refusal::Automated(Kind::AutoReply)),
        ),
        ("Feedback-ID: 1:2:3", Err(Refusal::Automated(Kind::Bulk))),
        (hops.trim_end(), Err(Refusal::TooManyHops)),
    ];
    for (head, wanted) in table {
        assert_eq!(verdict(head), wanted, "{head}");
    }
    assert_eq!(verdict("Received: from a by b\r\n".repeat(30).trim_end()), Ok(()));
}

#[test]
fn programs_and_our_own_addresses_are_not_answered() {
    let own = ["Support@Example.test".to_owned()];
    let about = outline("Subject: x");
    for to in [
        "MAILER-DAEMON@x.test",
        "postmaster@x.test",
        "no-reply@x.test",
        "noreply+12@x.test",
        "shop.donotreply@x.test",
        "do_not_reply@x.test",
        "bounces+1=2@x.test",
        "owner-users@x.test",
        "users-request@x.test",
        "users-bounces@x.test",
    ] {
        assert_eq!(judge(&answer(to, &about), &own), Err(Refusal::Machine), "{to}");
    }
    for to in [
        "support@example.test",
        "SUPPORT@example.TEST",
        "support+mg1.1.abc@example.test",
    ] {
        assert_eq!(judge(&answer(to, &about), &own), Err(Refusal::Own), "{to}");
    }
    for to in [
        "",
        "@",
        "ada",
        "ada@",
        "@x.test",
        "a b@x.test",
        "a@x.test, b@y.test",
        "a@b@c",
        "a@x\r\n.test",
    ] {
        assert_eq!(
            judge(&answer(to, &about), &own),
            Err(Refusal::NoAddress),
            "{to:?}"
        );
    }
    for to in ["ada@x.test", "rooter@x.test", "bouncer@x.test", "ada+tag@x.test"] {
        assert_eq!(judge(&answer(to, &about), &own), Ok(()), "{to}");
    }
    let from_us = Outline {
        sender: "support@example.test".to_owned(),
        ..outline("Subject: x")
    };
    assert_eq!(judge(&answer("ada@x.test", &from_us), &own), Err(Refusal::Own));
}

#[test]
fn a_bounce_of_our_own_automatic_mail_is_neither_answered_nor_passed_on() {
    let about = outline("Subject: Undelivered");
    for purpose in [Purpose::Answer, Purpose::Forward] {
        let mail = Automatic {
            purpose,
            has_own_mark: true,
            ..answer("boss@x.test", &about)
        };
        assert_eq!(judge(&mail, &[]), Err(Refusal::Marked));
    }
    // Passing a newsletter on to a colleague is no answer to anybody.
    let news = outline("List-Id: <news.test>");
    let mail = Automatic {
        purpose: Purpose::Forward,
        ..answer("boss@x.test", &news)
    };
    assert_eq!(judge(&mail, &[]), Ok(()));
    assert_eq!(judge(&mail, &["boss@x.test".to_owned()]), Err(Refusal::Own));
}

proptest! {
    #[test]
    fn whatever_says_that_it_is_automatic_is_never_answered(
        value in "[a-z-]{1,20}( ?;[a-z=]{0,9})?",
        name in "[Aa][Uu][Tt][Oo]-[Ss][Uu]bmitted",
        noise in "[A-Za-z0-9 ]{0,40}",
    ) {
        prop_assume!(first_word(&value) != "no");
        let head = format!("Subject: {noise}\r\n{name}: {value}");
        prop_assert!(verdict(&head).is_err());
    }
}

async fn open() -> (tempfile::TempDir, Db, Arc<LoopMarks>) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}", dir.path().join("t.db").display()))
        .await
        .unwrap();
    db.migrate().await.unwrap();
    let marks = LoopMarks::new(&KeyRing::create(&dir.path().join("key")).unwrap());
    (dir, db, Arc::new(marks))
}

async fn ask(db: &Db, clock: &Clock, marks: &LoopMarks, to: &str) -> Result<Pass, Refusal> {
    let about = outline("Subject: Printer");
    let txn = db.begin().await.unwrap();
    let verdict = allow(&txn, clock, marks, &answer(to, &about)).await.unwrap();
    txn.commit().await.unwrap();
    verdict
}

#[tokio::test]
async fn one_answer_per_sender_and_day_ten_per_domain_and_hour() {
    let (_dir, db, marks) = open().await;
    let clock = Clock::manual(from_ms(1_800_000_000_000));
    let pass = ask(&db, &clock, &marks, "ada@one.test").await.unwrap();
    assert!(marks.is_ours(&pass.headers()[0].1));
    assert!(!pass.may_quote(), "nobody said who wrote it");
    for again in ["ada@one.test", "ADA+other@one.test"] {
        assert_eq!(
            ask(&db, &clock, &marks, again).await.unwrap_err(),
            Refusal::SenderLimit
        );
    }
    for number in 0..9 {
        ask(&db, &clock, &marks, &format!("person{number}@one.test"))
            .await
            .unwrap();
    }
    let refused = ask(&db, &clock, &marks, "late@one.test").await.unwrap_err();
    assert_eq!(refused, Refusal::DomainLimit);
    ask(&db, &clock, &marks, "ada@two.test").await.unwrap();
    clock.advance(chrono::Duration::hours(1));
    // The refused one had used up nothing.
    ask(&db, &clock, &marks, "late@one.test").await.unwrap();
    assert_eq!(
        ask(&db, &clock, &marks, "ada@one.test").await.unwrap_err(),
        Refusal::SenderLimit
    );
    clock.advance(chrono::Duration::hours(23));
    ask(&db, &clock, &marks, "ada@one.test").await.unwrap();
    clock.advance(chrono::Duration::hours(30));
    tidy_up(db.write(), clock.now_ms()).await.unwrap();
    ask(&db, &clock, &marks, "ada@one.test").await.unwrap();
}

#[tokio::test]
async fn a_rolled_back_answer_uses_up_nothing() {
    let (_dir, db, marks) = open().await;
    let clock = Clock::manual(from_ms(1_800_000_000_000));
    let about = outline("Subject: Printer");
    let txn = db.begin().await.unwrap();
    allow(&txn, &clock, &marks, &answer("ada@one.test", &about))
        .await
        .unwrap()
        .unwrap();
    txn.rollback().await.unwrap();
    ask(&db, &clock, &marks, "ada@one.test").await.unwrap();
}

#[test]
fn every_refusal_has_a_code_and_a_sentence() {
    let all = [
        Refusal::NoAddress,
        Refusal::Own,
        Refusal::Marked,
        Refusal::TooManyHops,
        Refusal::NullReturnPath,
        Refusal::AutoSubmitted,
        Refusal::MailingList,
        Refusal::Bulk,
        Refusal::AskedNot,
        Refusal::Automated(Kind::Bulk),
        Refusal::Machine,
        Refusal::SenderLimit,
        Refusal::DomainLimit,
        Refusal::AddressLimit,
    ];
    let codes: std::collections::BTreeSet<_> = all.iter().map(|refusal| refusal.as_str()).collect();
    assert_eq!(codes.len(), all.len());
    assert!(all.iter().all(|refusal| refusal.sentence().ends_with('.')));
}

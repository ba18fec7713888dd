//! The chain under honest work, and under somebody who can write every table.

use sea_orm::ConnectionTrait;
use serde_json::json;

use super::*;
use crate::crypto::KeyRing;
use crate::db::{Db, sql};

struct House {
    db: Db,
    keys: KeyRing,
    clock: Clock,
    anchor: Anchor,
    _dir: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&format!("sqlite:{}", dir.path().join("t.db").display()))
            .await
            .unwrap();
        db.migrate().await.unwrap();
        Self {
            db,
            keys: KeyRing::create(&dir.path().join("key")).unwrap(),
            clock: Clock::manual(crate::clock::from_ms(1_800_000_000_000)),
            anchor: Anchor::in_folder(dir.path()),
            _dir: dir,
        }
    }

    /// With `n` sealed events.
    async fn with(n: usize) -> Self {
        let house = Self::new().await;
        for i in 0..n {
            house.note(&format!("prj_{i}")).await;
        }
        house.seal().await.unwrap();
        house
    }

    async fn note(&self, target: &str) {
        let txn = self.db.begin().await.unwrap();
        let event = NewAuditEvent::new("project.updated", "project", target)
            .by("usr_1")
            .saying(json!({ "name": "Desk" }));
        append(&txn, &self.clock, event).await.unwrap();
        txn.commit().await.unwrap();
    }

    async fn seal(&self) -> Result<u64, AuditError> {
        seal(&self.db, &self.keys, &self.anchor).await
    }

    async fn head(&self) -> Head {
        store::head(self.db.read(), false).await.unwrap().unwrap()
    }

    async fn broken(&self) -> Option<(i64, Break)> {
        let report = verify(&self.db, &self.keys, &self.anchor).await.unwrap();
        report.broken.map(|(place, _, how)| (place, how))
    }

    /// What somebody does who owns the database: the triggers first.
    async fn attack(&self, statements: &[&str]) {
        for trigger in ["audit_events_stay", "audit_events_words", "audit_events_keep"] {
            self.run(&format!("DROP TRIGGER IF EXISTS {trigger}"))
                .await
                .unwrap();
        }
        for statement in statements {
            self.run(statement).await.unwrap();
        }
    }

    async fn run(&self, text: &str) -> Result<(), DbErr> {
        self.db
            .write()
            .execute_raw(sql(self.db.write(), text, []))
            .await
            .map(drop)
    }
}

#[tokio::test]
async fn a_log_that_nobody_touched_holds_and_goes_on() {
    let house = House::with(5).await;
    assert_eq!(house.broken().await, None);
    house.note("prj_x").await;
    let report = verify(&house.db, &house.keys, &house.anchor).await.unwrap();
    assert_eq!((report.sealed, report.open, report.last), (5, 1, 5));
    assert_eq!(house.seal().await.unwrap(), 1);
    let report = verify(&house.db, &house.keys, &house.anchor).await.unwrap();
    assert_eq!((report.sealed, report.open, report.last), (6, 0, 6));
    assert_eq!(report.broken, None);
}

#[tokio::test]
async fn sealed_events_can_be_neither_changed_nor_deleted_by_mistake() {
    let house = House::with(3).await;
    house.note("prj_open").await;
    for statement in [
        "UPDATE audit_events SET actor = 'usr_2' WHERE place = 2",
        "UPDATE audit_events SET place = 9 WHERE place = 2",
        "UPDATE audit_events SET summary = '{}' WHERE place IS NULL",
        "DELETE FROM audit_events WHERE place = 3",
        "DELETE FROM audit_events WHERE place IS NULL",
        "DELETE FROM audit_events",
    ] {
        let error = house.run(statement).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{statement}: {error}");
    }
}

#[tokio::test]
async fn a_changed_event_is_named_whatever_was_changed_in_it() {
    for change in [
        "actor = 'usr_2'",
        "via = 'cli'",
        "address = '10.0.0.1'",
        "action = 'project.created'",
        "target_id = 'prj_9'",
        "target_kind = 'user'",
        "project_id = 'prj_1'",
        "created_at = created_at + 1",
        "summary = '{\"name\": \"Desk\"}'",
        "request_id = 'req_1'",
        "id = 'aud_x'",
        "seal = 'ab'",
    ] {
        let house = House::with(6).await;
        house
            .attack(&[&format!("UPDATE audit_events SET {change} WHERE place = 4")])
            .await;
        assert_eq!(house.broken().await, Some((4, Break::Changed)), "{change}");
    }
    let house = House::with(6).await;
    house
        .attack(&["UPDATE audit_events SET key_id = 'other' WHERE place = 4"])
        .await;
    assert_eq!(house.broken().await, Some((4, Break::UnknownKey("other".into()))));
}

#[tokio::test]
async fn a_letter_that_went_over_into_the_next_field_shows() {
    for change in [
        "actor = 'usr_', via = '1' || via",
        "request_id = 'project', action = '.updated'",
        "target_kind = 'projec', target_id = 't' || target_id",
        "target_id = 'prj_', project_id = '3'",
    ] {
        let house = House::with(6).await;
        house
            .attack(&[&format!("UPDATE audit_events SET {change} WHERE place = 4")])
            .await;
        assert_eq!(house.broken().await, Some((4, Break::Changed)), "{change}");
    }
}

#[tokio::test]
async fn a_removed_event_is_missed_and_closing_the_gap_does_not_help() {
    let house = House::with(6).await;
    house.attack(&["DELETE FROM audit_events WHERE place = 3"]).await;
    assert_eq!(house.broken().await, Some((3, Break::Removed)));
    house
        .attack(&[
            "UPDATE audit_events SET place = -place WHERE place > 3",
            "UPDATE audit_events SET place = -place - 1 WHERE place < 0",
        ])
        .await;
    assert_eq!(house.broken().await, Some((3, Break::Changed)));
}

#[tokio::test]
async fn two_events_that_changed_places_are_told_apart() {
    let house = House::with(8).await;
    house
        .attack(&[
            "UPDATE audit_events SET place = -1 WHERE place = 4",
            "UPDATE audit_events SET place = 4 WHERE place = 5",
            "UPDATE audit_events SET place = 5 WHERE place = -1",
        ])
        .await;
    assert_eq!(house.broken().await, Some((4, Break::Reordered { stood_at: 5 })));
}

#[tokio::test]
async fn a_log_that_was_cut_at_its_end_shows_even_with_an_old_head() {
    let house = House::with(4).await;
    let old = house.head().await;
    house.note("prj_a").await;
    house.note("prj_b").await;
    house.seal().await.unwrap();
    house.attack(&["DELETE FROM audit_events WHERE place > 4"]).await;
    assert_eq!(house.broken().await, Some((5, Break::CutOff)));
    // Somebody who kept the head of then puts it back: only what is outside the database remembers.
    store::set_head(house.db.write(), &old).await.unwrap();
    assert_eq!(house.broken().await, Some((6, Break::BehindAnchor)));
    house.note("prj_c").await;
    assert!(
        matches!(house.seal().await, Err(AuditError::Behind(6))),
        "it is not made good by going on"
    );
    house.note("prj_d").await;
    assert_eq!(house.broken().await, Some((6, Break::BehindAnchor)));
    // Whoever restored a backup says so.
    assert_eq!(
        accept(house.db.read(), &house.keys, &house.anchor).await.unwrap(),
        4
    );
    house.seal().await.unwrap();
    assert_eq!(house.broken().await, None);
}

#[tokio::test]
async fn an_old_head_shows_to_a_machine_that_never_saw_the_log() {
    let house = House::with(4).await;
    let old = house.head().await;
    house.note("prj_a").await;
    house.seal().await.unwrap();
    let newer = house.head().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let broken = async |folder: &str| {
        let anchor = Anchor::in_folder(&elsewhere.path().join(folder));
        let report = verify(&house.db, &house.keys, &anchor).await.unwrap();
        report.broken.map(|(place, _, how)| (place, how))
    };
    assert_eq!(broken("never").await, None);
    store::set_head(house.db.write(), &old).await.unwrap();
    assert_eq!(
        broken("never").await,
        Some((5, Break::BeyondEnd)),
        "its seal holds, and the head's as well"
    );
    // Another event at that place, sealed with the key by a machine that was fooled: the head is not of this log.
    house.attack(&["DELETE FROM audit_events WHERE place = 5"]).await;
    house.note("prj_b").await;
    let fooled = Anchor::in_folder(elsewhere.path());
    assert_eq!(seal(&house.db, &house.keys, &fooled).await.unwrap(), 1);
    assert_eq!(broken("never").await, None);
    store::set_head(house.db.write(), &newer).await.unwrap();
    assert_eq!(broken("never").await, Some((5, Break::ForgedHead)));
}

#[tokio::test]
async fn a_head_that_was_made_without_the_key_is_never_written_on() {
    for change in [
        "last = 2, seal = (SELECT seal FROM audit_events WHERE place = 2)",
        "mac = ''",
        "floor = 1",
        "key_id = 'x'",
    ] {
        let house = House::with(4).await;
        house.attack(&[&format!("UPDATE audit_head SET {change}")]).await;
        assert!(
            matches!(house.broken().await, Some((_, Break::ForgedHead))),
            "{change}"
        );
        house.note("prj_x").await;
        assert!(
            matches!(house.seal().await, Err(AuditError::ForgedHead)),
            "{change}"
        );
        assert!(accept(house.db.read(), &house.keys, &house.anchor).await.is_err());
    }
    let house = House::with(4).await;
    house
        .attack(&["DELETE FROM audit_head", "DELETE FROM audit_events"])
        .await;
    assert_eq!(house.broken().await, Some((4, Break::BehindAnchor)));
}

#[tokio::test]
async fn a_log_begun_anew_is_not_the_one_this_machine_has_seen() {
    let house = House::with(4).await;
    house
        .attack(&[
            "DELETE FROM audit_events",
            "UPDATE audit_head SET last = 0, seal = '', floor = 0, floor_seal = '', key_id = '', mac = ''",
        ])
        .await;
    for i in 0..6 {
        house.note(&format!("prj_new{i}")).await;
    }
    assert!(matches!(house.seal().await, Err(AuditError::Behind(4))));
    // Sealed by somebody who has the key but not this machine's memory: another node that was fooled.
    let elsewhere = Anchor::in_folder(&std::env::temp_dir().join("mailgrant-no-such-folder"));
    let _ = seal(&house.db, &house.keys, &elsewhere).await;
    assert_eq!(house.broken().await, Some((4, Break::NotTheAnchored)));
}

#[tokio::test]
async fn another_key_file_makes_no_seal_that_holds() {
    let house = House::with(4).await;
    let other = KeyRing::create(&house._dir.path().join("other")).unwrap();
    let report = verify(&house.db, &other, &house.anchor).await.unwrap();
    assert!(matches!(report.broken, Some((_, _, Break::ForgedHead))));
}

#[tokio::test]
async fn old_events_go_and_the_rest_can_still_be_verified() {
    let house = House::with(5).await;
    house.clock.advance(chrono::Duration::days(10));
    house.note("prj_young").await;
    house.seal().await.unwrap();
    let before = house.clock.now_ms() - 86_400_000;
    let trimmed = trim(&house.db, &house.clock, &house.keys, &house.anchor, before, 3)
        .await
        .unwrap();
    assert_eq!(trimmed, 3);
    let trimmed = trim(&house.db, &house.clock, &house.keys, &house.anchor, before, 100)
        .await
        .unwrap();
    assert_eq!(trimmed, 2);
    assert_eq!(
        trim(&house.db, &house.clock, &house.keys, &house.anchor, before, 100)
            .await
            .unwrap(),
        0
    );
    house.seal().await.unwrap();
    let report = verify(&house.db, &house.keys, &house.anchor).await.unwrap();
    assert_eq!((report.first, report.sealed, report.broken), (6, 3, None));
    house.attack(&["DELETE FROM audit_events WHERE place = 6"]).await;
    assert_eq!(house.broken().await, Some((6, Break::Removed)));
}

#[tokio::test]
async fn an_event_knows_its_request_and_who_it_belongs_to() {
    let house = House::new().await;
    within(Origin::new(Via::Api, "192.0.2.7", "req_1"), async {
        act_as("tok_1");
        append(
            house.db.write(),
            &house.clock,
            NewAuditEvent::new("rule.deleted", "rule", "rul_1"),
        )
        .await
        .unwrap();
        assert_eq!(noted(), 1);
    })
    .await;
    append(
        house.db.write(),
        &house.clock,
        NewAuditEvent::new("audit.trimmed", "audit", ""),
    )
    .await
    .unwrap();
    let found = list(
        house.db.read(),
        &Filter {
            projects: crate::access::Projects::All,
            ..Filter::default()
        },
        None,
        9,
    )
    .await
    .unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|e| {
            (
                e.actor.as_str(),
                e.via.as_str(),
                e.address.as_str(),
                e.request_id.as_str(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("system", "system", "", ""),
            ("tok_1", "api", "192.0.2.7", "req_1")
        ]
    );
}

#[tokio::test]
async fn a_secret_that_was_handed_over_to_be_noted_is_not_written_down() {
    let house = House::new().await;
    let event = NewAuditEvent::new("client.updated", "client", "mg_pat_abc")
        .saying(json!({ "clientSecret": "plain", "note": "use mg_pat_abc", "name": "Desk" }));
    let id = append(house.db.write(), &house.clock, event).await.unwrap();
    let all = crate::access::Projects::All;
    let noted = by_id(house.db.read(), &all, &id).await.unwrap().unwrap();
    assert_eq!(
        (noted.target_id.as_str(), noted.summary),
        (
            "[not shown]",
            json!({ "clientSecret": "[not shown]", "note": "[not shown]", "name": "Desk" })
        )
    );
}

#[test]
fn what_mail_and_timetables_cause_is_not_noted_but_what_somebody_did_is() {
    let of = |kind, actor| of_event(kind, actor, "x", "", &json!({})).is_some();
    assert!(
        of("ticket.updated", "usr_1") && of("integration.deleted", "cli") && of("token.reused", "system")
    );
    assert!(
        !of("ticket.created", "system") && !of("message.received", "usr_1") && !of("grant.expired", "system")
    );
}

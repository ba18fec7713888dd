//! Which mail fits which rule, and what the rules together say.

use mailgrant_mail::HeaderField;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::definition::{read_actions, read_matches};
use super::*;
use crate::message::{File, Kind};

fn mail() -> Outline {
    Outline {
        sender: "ada@eu.example.com".into(),
        recipients: vec!["help@desk.test".into(), "boss@desk.test".into()],
        subject: "[URGENT] Printer on fire".into(),
        fields: vec![
            HeaderField {
                name: "X-Spam-Flag".into(),
                value: "YES, score=9".into(),
            },
            HeaderField {
                name: "x-spam-flag".into(),
                value: "second".into(),
            },
        ],
        received: 2,
        kind: Kind::Bulk,
        evidence: vec![],
        files: vec![
            File {
                name: "photo.png".into(),
                media_type: "image/png".into(),
            },
            File {
                name: "run.exe".into(),
                media_type: "application/octet-stream".into(),
            },
        ],
        spf: "pass".into(),
        dkim: "unknown".into(),
        dmarc: "fail".into(),
        bounced_id: None,
    }
}

fn rule(id: &str, matches: &Value, actions: &Value, stop: bool) -> Ready {
    let mut errors = Vec::new();
    let rule = Rule {
        id: id.into(),
        project_id: "prj_1".into(),
        position: 1,
        name: format!("Rule {id}"),
        enabled: true,
        stop,
        matches: read_matches(matches, &mut errors),
        actions: read_actions(actions, &mut errors),
        revision: 1,
        created_at: 0,
        updated_at: 0,
    };
    assert_eq!(errors, []);
    Ready::new(rule)
}

#[test]
fn each_condition_fits_what_it_says_and_nothing_else() {
    let table = [
        (json!({}), true),
        (json!({ "sender": ["ada@eu.example.com"] }), true),
        (json!({ "sender": ["ADA@EU.example.com"] }), true),
        (json!({ "sender": ["eu.example.com"] }), true),
        (json!({ "sender": ["example.com"] }), false),
        (json!({ "sender": ["*.example.com"] }), true),
        (json!({ "sender": ["*@*.example.com"] }), true),
        (json!({ "sender": ["ada@*"] }), true),
        (json!({ "sender": ["bo@eu.example.com", "eu.example.com"] }), true),
        (json!({ "sender": ["eu.example.com.evil.test"] }), false),
        (json!({ "recipient": ["boss@desk.test"] }), true),
        (json!({ "recipient": ["desk.test"] }), true),
        (json!({ "recipient": ["sales@desk.test"] }), false),
        (
            json!({ "subject": { "how": "contains", "value": "printer ON" } }),
            true,
        ),
        (
            json!({ "subject": { "how": "glob", "value": "[urgent]*" } }),
            true,
        ),
        (
            json!({ "subject": { "how": "glob", "value": "printer*" } }),
            false,
        ),
        (
            json!({ "subject": { "how": "regex", "value": r"^\[urgent\] \w+" } }),
            true,
        ),
        (
            json!({ "subject": { "how": "regex", "value": "(?-i)urgent" } }),
            false,
        ),
        (
            json!({ "headers": [{ "name": "X-SPAM-flag", "value": "yes" }] }),
            true,
        ),
        (
            json!({ "headers": [{ "name": "X-Spam-Flag", "value": "second" }] }),
            true,
        ),
        (json!({ "headers": [{ "name": "X-Spam-Flag" }] }), true),
        (json!({ "headers": [{ "name": "X-Other" }] }), false),
        (
            json!({ "headers": [{ "name": "X-Spam-Flag" }, { "name": "X-Other" }] }),
            false,
        ),
        (
            json!({ "headers": [{ "name": "X-Spam-Flag", "how": "regex", "value": r"score=[89]" }] }),
            true,
        ),
        (json!({ "kind": ["bounce", "bulk"] }), true),
        (json!({ "kind": ["person"] }), false),
        (json!({ "attachment": { "present": true } }), true),
        (json!({ "attachment": { "present": false } }), false),
        (json!({ "attachment": { "name": "*.EXE" } }), true),
        (
            json!({ "attachment": { "name": "*.exe", "mediaType": "image/*" } }),
            false,
        ),
        (
            json!({ "attachment": { "present": false, "name": "*.pdf" } }),
            true,
        ),
        (json!({ "attachment": { "mediaType": "image/*" } }), true),
        (json!({ "authentication": { "dmarc": ["fail", "none"] } }), true),
        (
            json!({ "authentication": { "dmarc": ["fail"], "spf": ["fail"] } }),
            false,
        ),
        (json!({ "authentication": { "dkim": ["unknown"] } }), true),
        (json!({ "mailboxIds": ["mbx_1", "mbx_2"] }), true),
        (json!({ "mailboxIds": ["mbx_2"] }), false),
        (
            json!({ "kind": ["bulk"], "sender": ["eu.example.com"], "mailboxIds": ["mbx_1"] }),
            true,
        ),
        (json!({ "kind": ["bulk"], "sender": ["other.test"] }), false),
    ];
    for (matches, wanted) in table {
        let ready = rule("r", &matches, &json!({ "place": "new" }), false);
        assert_eq!(ready.fits(&mail(), "mbx_1"), wanted, "{matches}");
    }
}

#[test]
fn a_mail_without_sender_fits_no_sender() {
    let nobody = Outline::default();
    let any = rule(
        "r",
        &json!({ "sender": ["*"] }),
        &json!({ "place": "new" }),
        false,
    );
    assert!(!any.fits(&nobody, "mbx_1"));
    assert!(any.fits(&mail(), "mbx_1"));
}

#[test]
fn what_cannot_be_read_fits_nothing() {
    let broken = Ready::new(Rule {
        matches: Matches {
            subject: Some(TextMatch {
                how: How::Regex,
                value: "(".into(),
            }),
            ..Matches::default()
        },
        ..rule("r", &json!({}), &json!({ "place": "new" }), false).rule
    });
    assert!(!broken.fits(&mail(), "mbx_1"));
}

#[test]
fn the_first_decides_where_it_goes_and_the_rest_adds_up() {
    let rules = [
        rule(
            "a",
            &json!({}),
            &json!({ "labels": ["x"], "forwardTo": ["a@b.test"] }),
            false,
        ),
        rule(
            "b",
            &json!({ "kind": ["person"] }),
            &json!({ "priority": "urgent" }),
            false,
        ),
        rule(
            "c",
            &json!({}),
            &json!({ "place": "new", "priority": "high", "labels": ["x", "y"] }),
            false,
        ),
        rule(
            "d",
            &json!({}),
            &json!({ "place": "ticket", "ticketKey": "HELP-1", "priority": "low", "answer": "Hi" }),
            false,
        ),
    ];
    let decision = decide(&rules, &mail(), "mbx_1");
    assert_eq!(decision.place(), Place::New);
    assert_eq!(decision.place.as_ref().unwrap().1.id, "c");
    assert_eq!(decision.ticket_key, "");
    assert_eq!(decision.priority, "high");
    assert_eq!(decision.labels, ["x", "y"]);
    assert_eq!(decision.forward_to, ["a@b.test"]);
    assert_eq!(decision.answer, "Hi");
    let fitted: Vec<_> = decision.fitted.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(fitted, ["a", "c", "d"]);
}

#[test]
fn stop_drop_and_quarantine_end_the_list_and_disabled_rules_are_passed_over() {
    let label = |id| rule(id, &json!({}), &json!({ "labels": [id] }), false);
    for place in ["drop", "quarantine"] {
        let rules = [
            rule(
                "a",
                &json!({ "kind": ["bulk"] }),
                &json!({ "place": place }),
                false,
            ),
            label("b"),
        ];
        let decision = decide(&rules, &mail(), "mbx_1");
        assert_eq!((decision.fitted.len(), decision.labels.len()), (1, 0), "{place}");
    }
    let mut first = rule("a", &json!({}), &json!({ "labels": ["a"] }), true);
    assert_eq!(decide(&[first.clone(), label("b")], &mail(), "m").labels, ["a"]);
    first.rule.enabled = false;
    assert_eq!(decide(&[first, label("b")], &mail(), "m").labels, ["b"]);
    assert!(decide(&[], &mail(), "m").is_empty());
}

proptest! {
    /// Order matters only through what comes first: rules that fit nothing change nothing, wherever they stand.
    #[test]
    fn rules_that_do_not_fit_change_nothing(at in 0_usize..4, sender in "[a-z]{1,8}@[a-z]{1,8}\\.test") {
        let never = rule("never", &json!({ "mailboxIds": ["mbx_none"] }), &json!({ "place": "new" }), true);
        let mut rules: Vec<Ready> = ["a", "b", "c"]
            .map(|id| rule(id, &json!({ "sender": ["*.test"] }), &json!({ "labels": [id] }), false))
            .into();
        let mail = Outline { sender, ..mail() };
        let before = decide(&rules, &mail, "mbx_1");
        rules.insert(at, never);
        prop_assert_eq!(decide(&rules, &mail, "mbx_1"), before);
    }

    /// Any pattern is bounded work on any subject, and never a panic.
    #[test]
    fn any_pattern_on_any_subject(pattern in ".{0,60}", subject in ".{0,200}") {
        for how in [How::Contains, How::Glob, How::Regex] {
            let text = compile(how, &pattern);
            let _ = text.fits(&subject);
        }
    }

    #[test]
    fn a_text_contains_each_of_its_parts(subject in "\\PC{1,40}", from in 0_usize..40, chars in 1_usize..40) {
        let part: String = subject.chars().skip(from).take(chars).collect();
        prop_assert!(compile(How::Contains, &part).fits(&subject));
    }
}

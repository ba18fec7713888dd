//! Forgeries and honest mail, as a table of clues and what becomes of them.

use super::*;

fn ticket(part: bool) -> Candidate {
    Candidate {
        ticket_id: "tkt_1".into(),
        key: "HELP-1".into(),
        closed_long_ago: false,
        sender_takes_part: part,
        family: "tkt_1".into(),
    }
}

fn clue(kind: ClueKind, candidate: Candidate) -> Clue {
    Clue {
        kind,
        distance: 0,
        candidate: Some(candidate),
    }
}

/// Somebody of whom nothing is known but one address in From.
const PLAIN: Sender = Sender {
    is_single: true,
    is_verified: false,
    is_refuted: false,
    is_ours: false,
};
const VERIFIED: Sender = Sender {
    is_verified: true,
    ..PLAIN
};

#[test]
fn who_may_join_and_who_may_not() {
    use ClueKind::{Address, Reference, SignedId, SubjectKey};
    use Verdict::{Expired, Forged, OtherRecipient, Valid};
    let refuted = Sender {
        is_refuted: true,
        ..PLAIN
    };
    let ours = Sender {
        is_ours: true,
        ..PLAIN
    };
    let ours_verified = Sender {
        is_ours: true,
        ..VERIFIED
    };
    let two_in_from = Sender {
        is_single: false,
        ..PLAIN
    };
    // What, who, by what, does the sender's address take part: the rule, and whether the ticket is at least linked.
    let table = [
        (
            "a signed reply address",
            PLAIN,
            Address(Valid),
            false,
            Rule::ReplyAddress,
            true,
        ),
        (
            "a signed Message-ID",
            PLAIN,
            SignedId(Valid),
            false,
            Rule::SignedMessageId,
            true,
        ),
        (
            "an altered reply address",
            PLAIN,
            Address(Forged),
            true,
            Rule::NewTicket,
            false,
        ),
        (
            "an altered Message-ID",
            VERIFIED,
            SignedId(Forged),
            true,
            Rule::NewTicket,
            false,
        ),
        (
            "an expired one",
            PLAIN,
            Address(Expired),
            false,
            Rule::NewTicket,
            true,
        ),
        (
            "one replayed by somebody else",
            PLAIN,
            Address(OtherRecipient),
            false,
            Rule::NewTicket,
            true,
        ),
        (
            "the same, verified",
            VERIFIED,
            SignedId(OtherRecipient),
            false,
            Rule::NewTicket,
            true,
        ),
        (
            "an answer of a participant",
            PLAIN,
            Reference,
            true,
            Rule::KnownReference,
            true,
        ),
        (
            "References forged by a stranger",
            PLAIN,
            Reference,
            false,
            Rule::NewTicket,
            true,
        ),
        (
            "References forged by a verified stranger",
            VERIFIED,
            Reference,
            false,
            Rule::NewTicket,
            true,
        ),
        (
            "a participant whom DMARC refutes",
            refuted,
            Reference,
            true,
            Rule::NewTicket,
            true,
        ),
        (
            "a participant beside another in From",
            two_in_from,
            Reference,
            true,
            Rule::NewTicket,
            true,
        ),
        (
            "our own address in From",
            ours,
            Reference,
            true,
            Rule::NewTicket,
            true,
        ),
        (
            "an agent who is verified",
            ours_verified,
            Reference,
            false,
            Rule::KnownReference,
            true,
        ),
        (
            "a key by a stranger",
            PLAIN,
            SubjectKey,
            false,
            Rule::NewTicket,
            true,
        ),
        (
            "a key by a verified stranger",
            VERIFIED,
            SubjectKey,
            false,
            Rule::NewTicket,
            true,
        ),
        (
            "a key by a participant, not verified",
            PLAIN,
            SubjectKey,
            true,
            Rule::NewTicket,
            true,
        ),
        (
            "a key by a participant whom DMARC refutes",
            refuted,
            SubjectKey,
            true,
            Rule::NewTicket,
            true,
        ),
        (
            "a key by our own address",
            ours,
            SubjectKey,
            true,
            Rule::NewTicket,
            true,
        ),
        (
            "a key by a verified participant",
            VERIFIED,
            SubjectKey,
            true,
            Rule::SubjectKey,
            true,
        ),
        (
            "a key by a verified agent",
            ours_verified,
            SubjectKey,
            false,
            Rule::SubjectKey,
            true,
        ),
    ];
    for (what, sender, kind, part, rule, linked) in table {
        let found = resolve(sender, &[clue(kind, ticket(part))]);
        assert_eq!(found.rule, rule, "{what}: {}", found.why);
        assert_eq!(found.joins.is_some(), rule != Rule::NewTicket, "{what}");
        assert_eq!(
            found.possibly.is_some(),
            rule == Rule::NewTicket && linked,
            "{what}"
        );
        assert_eq!(found.sender_verified, sender.is_verified, "{what}");
        assert!(found.why.ends_with('.'), "{what}: {}", found.why);
        if linked {
            assert!(found.why.contains("HELP-1"), "{what}: {}", found.why);
        }
    }
}

#[test]
fn the_stronger_clue_decides_whatever_its_place() {
    let other = |part| Candidate {
        ticket_id: "tkt_2".into(),
        key: "HELP-2".into(),
        ..ticket(part)
    };
    let clues = [
        clue(ClueKind::SubjectKey, other(true)),
        clue(ClueKind::Reference, ticket(true)),
    ];
    assert_eq!(resolve(VERIFIED, &clues).joins.unwrap().key, "HELP-1");
    let clues = [
        clue(ClueKind::Reference, other(true)),
        clue(ClueKind::SignedId(Verdict::Valid), ticket(false)),
    ];
    assert_eq!(resolve(PLAIN, &clues).joins.unwrap().key, "HELP-1");
    // A stranger's nearest reference does not hide the participant's own ticket behind it.
    let clues = [
        clue(ClueKind::Reference, other(false)),
        clue(ClueKind::Reference, ticket(true)),
    ];
    assert_eq!(resolve(PLAIN, &clues).joins.unwrap().key, "HELP-1");
    // A token for somebody else does not keep a participant out.
    let clues = [
        clue(ClueKind::Address(Verdict::OtherRecipient), ticket(true)),
        clue(ClueKind::Reference, ticket(true)),
    ];
    assert_eq!(resolve(PLAIN, &clues).rule, Rule::KnownReference);
}

#[test]
fn a_ticket_that_was_closed_long_ago_is_linked_and_stays_closed() {
    let old = Candidate {
        closed_long_ago: true,
        ..ticket(true)
    };
    for kind in [
        ClueKind::Address(Verdict::Valid),
        ClueKind::SignedId(Verdict::Valid),
        ClueKind::Reference,
        ClueKind::SubjectKey,
    ] {
        let found = resolve(VERIFIED, &[clue(kind, old.clone())]);
        assert_eq!(found.rule, Rule::ClosedLongAgo);
        assert_eq!((found.joins, found.possibly), (None, Some(old.clone())));
    }
}

#[test]
fn the_nearest_mail_decides_between_the_parts_of_a_split_ticket() {
    let part = |number: u8, takes_part, family: &str| Candidate {
        ticket_id: format!("tkt_{number}"),
        key: format!("HELP-{number}"),
        sender_takes_part: takes_part,
        family: family.into(),
        ..ticket(false)
    };
    let at = |kind, distance, candidate| Clue {
        kind,
        distance,
        candidate: Some(candidate),
    };
    let (valid, reference) = (Verdict::Valid, ClueKind::Reference);
    let signed = at(ClueKind::SignedId(valid), 1, part(1, true, "tkt_1"));
    let address = at(ClueKind::Address(valid), FAR, part(1, true, "tkt_1"));
    let key_of = |clues: &[Clue]| resolve(PLAIN, clues).joins.unwrap().key;
    for first in [&signed, &address] {
        let with = |other: Clue| key_of(&[first.clone(), other]);
        assert_eq!(with(at(reference, 0, part(2, true, "tkt_1"))), "HELP-2");
        assert_eq!(
            with(at(reference, 0, part(2, false, "tkt_1"))),
            "HELP-1",
            "a stranger to it"
        );
        assert_eq!(
            with(at(reference, 0, part(2, true, "tkt_2"))),
            "HELP-1",
            "never one ticket"
        );
        let between = at(reference, 0, part(1, true, "tkt_1"));
        let behind = at(reference, 0, part(2, true, "tkt_1"));
        assert_eq!(
            key_of(&[first.clone(), between, behind]),
            "HELP-1",
            "the nearest is not moved"
        );
    }
    let farther = at(reference, 2, part(2, true, "tkt_1"));
    assert_eq!(key_of(&[signed, farther]), "HELP-1", "the signed one is nearer");
    let forged = at(ClueKind::SignedId(Verdict::Forged), 0, part(1, false, "tkt_1"));
    let found = resolve(PLAIN, &[forged, at(reference, 1, part(2, false, "tkt_1"))]);
    assert_eq!(found.joins, None, "a split opens nothing to strangers");
}

#[test]
fn clues_that_lead_nowhere_open_a_ticket_of_its_own() {
    let nowhere = Clue {
        kind: ClueKind::Address(Verdict::Valid),
        distance: FAR,
        candidate: None,
    };
    let found = resolve(VERIFIED, &[nowhere]);
    assert_eq!((found.rule, found.possibly), (Rule::NewTicket, None));
    assert_eq!(resolve(Sender::default(), &[]).rule, Rule::NewTicket);
}

#[test]
fn keys_are_found_as_words_of_this_project_only() {
    let of = |subject: &str| keys_in_subject(subject, "HELP");
    assert_eq!(of("Re: [HELP-42] Printer"), [42]);
    assert_eq!(of("help-42: AW: help-42, (HELP-7)"), [42, 7]);
    assert_eq!(of("HELP-1 HELP-2 HELP-3 HELP-4"), [1, 2, 3]);
    for none in [
        "",
        "HELP",
        "HELP-",
        "XHELP-42",
        "HELP-42a",
        "IT-42",
        "HELP-99999999999999999999",
        "HELP_42",
        "A-HELP-42",
        "HELP--42",
        "é-42",
    ] {
        assert!(of(none).is_empty(), "{none}");
    }
}

//! Conversations do not depend on the order in which mail is delivered: random conversations, with mails that are
//! missing, circles in References and several roots, delivered in random orders, and merged afterwards.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::rules::Desk;
use crate::access::Projects;
use crate::crypto::sha256_hex;
use crate::message::Stored;
use crate::ticket;

/// Identifiers that a conversation is made of. Those from [`WRITTEN`] on are of mails that never come.
const KNOWN: usize = 9;
const WRITTEN: usize = 6;

/// A mail: which identifiers it answers, and what it names in References.
#[derive(Clone, Debug)]
struct Shape {
    answers: Option<usize>,
    references: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Case {
    mails: Vec<Shape>,
    order: Vec<Index>,
    /// Whether they are placed in one transaction, or each in its own.
    together: bool,
    /// Pairs of mails whose tickets people merge afterwards.
    merges: Vec<(Index, Index)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (proptest::option::of(0..KNOWN), vec(0..KNOWN, 0..4))
        .prop_map(|(answers, references)| Shape { answers, references });
    (
        vec(shape, WRITTEN),
        vec(any::<Index>(), WRITTEN),
        any::<bool>(),
        vec(any::<(Index, Index)>(), 0..3),
    )
        .prop_map(|(mails, order, together, merges)| Case {
            mails,
            order,
            together,
            merges,
        })
}

/// The numbers below a bound in the order that the indexes pick.
fn order(picks: &[Index]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..picks.len()).collect();
    picks
        .iter()
        .map(|pick| left.remove(pick.index(left.len())))
        .collect()
}

/// For each mail, the identifiers that hang together with it: the rule itself, without the code that keeps it.
fn components(mails: &[Shape]) -> Vec<BTreeSet<usize>> {
    let names = |number: usize| {
        let mail = &mails[number];
        let mut all = BTreeSet::from([number]);
        all.extend(mail.answers);
        all.extend(&mail.references);
        all
    };
    (0..mails.len())
        .map(|number| {
            let mut reached = names(number);
            loop {
                let before = reached.len();
                for other in (0..mails.len()).map(names) {
                    if !other.is_disjoint(&reached) {
                        reached.extend(other);
                    }
                }
                if reached.len() == before {
                    return reached;
                }
            }
        })
        .collect()
}

async fn follows_identifiers_alone(desk: &Desk, case: &Case, run: &str) {
    let id = |number: usize| format!("{run}-{number}@x.test");
    let mut stored = BTreeMap::new();
    for number in order(&case.order) {
        let mail = &case.mails[number];
        let answers = mail
            .answers
            .map(|to| format!("In-Reply-To: <{}>\r\n", id(to)))
            .unwrap_or_default();
        let names: Vec<String> = mail
            .references
            .iter()
            .map(|to| format!("<{}>", id(*to)))
            .collect();
        let raw = format!(
            "Message-ID: <{}>\r\nFrom: ada@x.test\r\nSubject: x\r\n{answers}References: {}\r\n\r\nText {number}.\r\n",
            id(number),
            names.join("\r\n ")
        );
        let new = desk.store(&[(raw.as_bytes(), false)]).await;
        let [Stored::New(message_id)] = &new[..] else {
            panic!("each mail is another: {case:?}");
        };
        stored.insert(number, message_id.clone());
        if !case.together {
            desk.process().await;
        }
    }
    desk.process().await;
    let node = |number: &usize| {
        let hash = sha256_hex(format!("thread {} {}", desk.project, id(*number)).as_bytes());
        format!("thr_{}", &hash[..32])
    };
    let expected: Vec<String> = components(&case.mails)
        .iter()
        .map(|all| all.iter().map(node).min().unwrap())
        .collect();
    let all_as_expected = async |when: &str| {
        for (number, message_id) in &stored {
            let message = desk.message(message_id).await;
            assert_eq!(
                message.thread_id, expected[*number],
                "{when}: mail {number} of {case:?}"
            );
            let ticket = ticket::get(desk.ctx(), &Projects::All, &message.ticket_id)
                .await
                .unwrap();
            let own = ticket
                .entries
                .iter()
                .filter(|entry| entry.message_id.as_ref() == Some(message_id));
            assert_eq!(
                own.count(),
                1,
                "{when}: mail {number} of {case:?} is one entry of its ticket"
            );
        }
    };
    all_as_expected("delivered").await;
    for (one, other) in &case.merges {
        let message = |pick: &Index| stored[&pick.index(WRITTEN)].clone();
        let from = desk.message(&message(one)).await.ticket_id;
        let into = desk.message(&message(other)).await.ticket_id;
        let merged = ticket::merge(desk.ctx(), &Projects::All, "usr_1", &from, &into, None).await;
        assert_eq!(merged.is_ok(), from != into, "{case:?}");
    }
    all_as_expected("merged").await;
}

#[test]
fn a_conversation_is_what_identifiers_link_whatever_the_order_of_delivery() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let desk = runtime.block_on(Desk::open("help@desk.example"));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 60,
        // A failing case is found again by its seed, which is printed; making it smaller would take minutes.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let runs = std::cell::Cell::new(0);
    let result = runner.run(&cases(), |case| {
        let number = runs.replace(runs.get() + 1);
        runtime.block_on(follows_identifiers_alone(&desk, &case, &format!("c{number}")));
        Ok(())
    });
    result.unwrap();
}

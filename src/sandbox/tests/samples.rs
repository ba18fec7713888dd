//! The sample mail, read by the parser that Mailgrant reads mail with.

use std::collections::HashSet;

use super::*;

fn one_round(round: usize) -> Vec<Sample> {
    let mut samples = Samples::new("demo@sandbox.test");
    let total = SAMPLE_KINDS.len() * (round + 1);
    let all: Vec<Sample> = (0..total).map(|_| samples.next(start_of_time())).collect();
    all.into_iter().skip(total - SAMPLE_KINDS.len()).collect()
}

fn text(kind: SampleKind) -> String {
    let raw = one_round(0)
        .into_iter()
        .find(|sample| sample.kind == kind)
        .unwrap()
        .raw;
    String::from_utf8_lossy(&raw).into_owned()
}

#[test]
fn every_kind_comes_once_in_a_round_with_an_id_of_its_own() {
    let kinds: Vec<SampleKind> = one_round(2).iter().map(|sample| sample.kind).collect();
    assert_eq!(kinds, SAMPLE_KINDS);
    let ids: HashSet<String> = one_round(0)
        .into_iter()
        .chain(one_round(1))
        .map(|sample| sample.message_id)
        .collect();
    assert_eq!(ids.len(), 2 * SAMPLE_KINDS.len());
}

#[test]
fn a_reply_names_and_quotes_the_question_before_it_and_comes_from_the_same_person() {
    for round in 0..3 {
        let round = one_round(round);
        let question = String::from_utf8_lossy(&round[0].raw).into_owned();
        let reply = String::from_utf8_lossy(&round[1].raw).into_owned();
        assert!(reply.contains(&format!("In-Reply-To: {}\r\n", round[0].message_id)));
        assert!(reply.contains("\r\n> Hello,"));
        assert_eq!(question.lines().next(), reply.lines().next());
    }
}

#[test]
fn samples_are_dated_by_the_clock_and_use_network_line_ends() {
    for sample in one_round(0) {
        let lone = sample.raw.iter().zip(std::iter::once(&0).chain(&sample.raw));
        assert!(
            !lone
                .into_iter()
                .any(|(byte, before)| *byte == b'\n' && *before != b'\r')
        );
        if sample.kind != SampleKind::Malformed {
            assert!(String::from_utf8_lossy(&sample.raw).contains("Date: Sun, 1 Mar 2026 12:00:00 +0000"));
        }
    }
}

#[test]
fn each_sample_shows_what_it_is_for() {
    assert!(text(SampleKind::Japanese).contains("\u{1b}$B"));
    assert!(text(SampleKind::Attachment).contains("Content-Disposition: attachment"));
    assert!(text(SampleKind::HtmlOnly).contains("<script>"));
    assert!(!text(SampleKind::HtmlOnly).contains("text/plain"));
    assert!(text(SampleKind::Bounce).contains("report-type=delivery-status"));
    assert!(text(SampleKind::AutoReply).contains("Auto-Submitted: auto-replied"));
    assert!(text(SampleKind::Invitation).contains("DTSTART:20260303T120000Z"));
    assert!(text(SampleKind::Malformed).contains("this line is no header"));
}

#[tokio::test]
async fn mail_is_there_at_the_start_and_more_arrives_by_itself() {
    let (sandbox, _) = sandbox_with(|options| {
        options.initial_mail = 3;
        options.mail_every = Some(Duration::from_millis(5));
    })
    .await;
    assert!(sandbox.message_count() >= 3);
    let mut changes = sandbox.shared.mail.changes();
    let more = async {
        while sandbox.message_count() < 6 {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), more).await.unwrap();
}

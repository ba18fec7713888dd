//! Entrances for the fuzz targets in `fuzz/` and for the property tests: single stages with any input, and what must
//! hold of their results. Not part of the interface; the crate's users call [`crate::parse()`].
//!
//! Each function panics when something does not hold, which is what a fuzzer looks for.

use crate::header;
use crate::model::{ParsedMail, Reply};
use crate::thread_token::{Signer, Subject, Token, Verdict};
use crate::{attachment, classify, html, parse, reply, sanitize_html};

/// Parses a mail and checks what must hold of any.
pub fn mail(raw: &[u8]) -> ParsedMail {
    let mail = parse(raw);
    let codes: Vec<&str> = mail.mailgrant.problems.iter().map(|p| p.code.as_str()).collect();
    assert!(!codes.contains(&"parser_failed"), "a panic was caught");
    assert_eq!(mail.size, raw.len() as u64);
    partition(&mail.mailgrant.text, &mail.mailgrant.reply);
    for part in &mail.attachments {
        let size = attachment(raw, &part.part_id).map(|a| a.bytes.len() as u64);
        assert_eq!(size, Some(part.size), "a listed attachment can be cut out");
    }
    if let Some(html) = &mail.mailgrant.html {
        assert_eq!(
            sanitize_html(html).as_ref(),
            Some(html),
            "cleaning twice changes nothing"
        );
    }
    let json = serde_json::to_string(&mail).unwrap_or_default();
    assert_eq!(
        serde_json::from_str::<ParsedMail>(&json).ok().as_ref(),
        Some(&mail),
        "the JSON says it all"
    );
    mail
}

/// Segments cover the text without gap or overlap, and cut no character.
fn partition(text: &str, reply: &Reply) {
    let mut at = 0;
    for segment in &reply.segments {
        assert_eq!(segment.start, at, "no gap and no overlap");
        assert!(segment.end > segment.start, "no empty segment");
        assert!(text.is_char_boundary(segment.end), "no character is cut");
        at = segment.end;
    }
    assert_eq!(at, text.len(), "the segments reach the end");
}

/// Splits a plain text. The first line is the subject.
pub fn split(text: &str) {
    let (subject, body) = text.split_once('\n').unwrap_or(("", text));
    partition(body, &reply::split(body, &[], subject));
}

/// Renders and cleans HTML, and splits what comes of it.
pub fn html(source: &str) {
    let rendered = html::to_text(source);
    for mark in &rendered.marks {
        assert!(
            mark.start < mark.end && mark.end <= rendered.text.len(),
            "marks lie inside the text"
        );
    }
    partition(&rendered.text, &reply::split(&rendered.text, &rendered.marks, ""));
    if let Some(once) = sanitize_html(source) {
        assert_eq!(
            sanitize_html(&once).as_ref(),
            Some(&once),
            "cleaning twice changes nothing"
        );
        let lower = once.to_ascii_lowercase();
        for bad in ["<script", "<iframe", "<svg", "<style", "<form", "<object"] {
            assert!(!lower.contains(bad), "{bad} came through");
        }
    }
}

/// Reads a text as the report of a mail system.
pub fn bounce_text(text: &str) {
    let raw = format!(
        "Return-Path: <>\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example>\nTo: desk@example.com\n\
         Subject: Undelivered Mail Returned to Sender\nContent-Type: text/plain; charset=utf-8\n\n{text}"
    );
    let parsed = mail(raw.as_bytes());
    for recipient in parsed.mailgrant.bounce.iter().flat_map(|b| &b.recipients) {
        assert!(
            !recipient.email.is_empty() && recipient.email.len() < 1_000,
            "an address has a sensible length"
        );
    }
}

/// Reads Authentication-Results fields. Without a trusted server nothing is ever known.
pub fn authentication_results(raw: &[u8]) {
    let (headers, _) = header::read(raw, 0..raw.len());
    let nobody = classify::authentication(&headers, &[]);
    assert_eq!(nobody, crate::Authentication::default(), "nobody is trusted");
    let trusted = ["mx.desk.example".to_owned()];
    let verdict = classify::authentication(&headers, &trusted);
    assert!(
        verdict
            .trusted_server
            .as_ref()
            .is_none_or(|s| trusted.contains(s)),
        "only who is trusted is believed"
    );
}

/// Reads a text as a token of ours, and makes tokens for what it says. The first line names a recipient, the second a
/// message, the rest a mailbox.
pub fn thread_token(text: &str) {
    let signer = Signer::new([&[7; 32]]);
    for token in [Token::from_message_id(text), Token::from_address(text)]
        .into_iter()
        .flatten()
    {
        let verdict = signer.verify(&token, "prj_1", &["ada@example.org"], 20_000);
        assert_eq!(verdict, Verdict::Forged, "nobody without the key makes one");
    }
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (recipient, message, mailbox) = (next(), next(), next());
    let ticket = text.len() as u64;
    let subject = Subject {
        project: "prj_1",
        ticket,
        recipient,
        expires: 20_001,
    };
    let made = [
        signer
            .message_id(&subject, message, "desk.example")
            .map(|id| (Token::from_message_id(&id), id)),
        signer
            .reply_address(&subject, mailbox)
            .map(|address| (Token::from_address(&address), address)),
    ];
    for (token, written) in made.into_iter().flatten() {
        // A host or a mailbox so long that nothing is looked for is nothing we would have.
        let Some(token) = token else { continue };
        assert_eq!(token.ticket(), ticket, "{written:?} leads to its ticket");
        let judge = |project: &str| signer.verify(&token, project, &[recipient], 20_000);
        assert_eq!(judge("prj_1"), Verdict::Valid, "{written:?} is ours");
        assert_eq!(
            judge("prj_2"),
            Verdict::Forged,
            "{written:?} leads to no other project"
        );
    }
}

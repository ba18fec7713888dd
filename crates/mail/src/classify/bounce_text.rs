//! Bounces that are written for people only: qmail, Exim, old sendmail and Exchange, gateways, freemail services.
//!
//! Free text counts only when the sender is a mail system or the subject says it too, so that a person who quotes a
//! bounce is not taken for one.

use super::addresses::{self, Found};
use super::original::report_end;
use super::{Input, phrases, sender_local};
use crate::model::BounceRecipient;

/// A recognised bounce.
#[derive(Debug, Clone, Default)]
pub(super) struct FreeText {
    pub recipients: Vec<BounceRecipient>,
    pub evidence: Vec<String>,
}

/// Recipients that are listed.
const MAX_RECIPIENTS: usize = 200;

/// Decides whether the mail is a bounce.
pub(super) fn find(input: &Input<'_>) -> Option<FreeText> {
    let mut evidence = Vec::new();
    let failed = input.header("X-Failed-Recipients");
    if failed.is_some() {
        evidence.push("X-Failed-Recipients".to_owned());
    }
    let sender = system_sender(input);
    let null_path = input.header("Return-Path").is_some_and(|v| v.trim() == "<>");
    let subject = input.mail.subject.as_deref().unwrap_or_default().to_lowercase();
    let in_subject = phrases::BOUNCE_SUBJECTS.iter().find(|p| subject.contains(**p));
    // Without one of these no text can make the score; most mails end here, before the costly part.
    if failed.is_none() && sender.is_none() && in_subject.is_none() {
        return None;
    }
    let report = &input.text()[..report_end(input.text())];
    let lower = unquoted(report).to_lowercase();
    let in_text = phrases::BOUNCE_TEXTS.iter().find(|p| lower.contains(**p));
    let code = smtp_code(&lower);
    let is_answer = !input.mail.in_reply_to.is_empty() || !input.mail.references.is_empty();
    let names_recipient = in_report(report, input).0 == Some(Rank::Listed);
    let list = input.headers().first("List-Unsubscribe").is_some() && sender.is_none();
    let mut score = 0;
    score += 4 * i32::from(failed.is_some());
    score += 3 * i32::from(sender.is_some()) + i32::from(null_path);
    score += 2 * i32::from(in_subject.is_some());
    score += 2 * i32::from(in_text.is_some()) + i32::from(code.is_some());
    score += i32::from(names_recipient && in_subject.is_some() && in_text.is_some());
    score -= 2 * i32::from(is_answer && sender.is_none()) + 2 * i32::from(list);
    // Neither a subject nor a sender alone makes a bounce: postmasters write mail as well.
    if score < 5 || (in_text.is_none() && in_subject.is_none() && failed.is_none()) {
        return None;
    }
    evidence.extend(sender.map(|s| format!("sender {s:.60}")));
    evidence.extend(null_path.then(|| "Return-Path: <>".to_owned()));
    evidence.extend(in_subject.map(|p| format!("subject: {p}")));
    evidence.extend(in_text.map(|p| format!("text: {p}")));
    Some(FreeText {
        recipients: recipients(input),
        evidence,
    })
}

/// The lines that are not quoted: a person who asks about a bounce quotes its words.
fn unquoted(text: &str) -> String {
    text.lines()
        .filter(|l| !l.starts_with('>'))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The sender, when it is the name of a mail system.
fn system_sender(input: &Input<'_>) -> Option<String> {
    let local = sender_local(input.mail);
    let first = input.mail.from.first()?;
    let name = first.name.as_deref().unwrap_or_default().to_lowercase();
    let is_daemon = phrases::DAEMONS.iter().any(|d| local == *d)
        || local.contains("mailer-daemon")
        || local.starts_with("postmaster")
        || local.starts_with("microsoftexchange");
    (is_daemon || phrases::DAEMON_NAMES.iter().any(|n| name.contains(n))).then(|| first.email.clone())
}

/// An enhanced status code (`5.1.1`) or a reply code at the start of a clause (`550 `).
fn smtp_code(lower: &str) -> Option<String> {
    lower
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .find_map(|word| {
            let word = word.trim_matches('.');
            let mut bits = word.split('.');
            let class = bits.next()?;
            let rest: Vec<&str> = bits.collect();
            let enhanced = matches!(class, "4" | "5")
                && rest.len() == 2
                && rest.iter().all(|r| (1..=3).contains(&r.len()));
            enhanced.then(|| word.to_owned())
        })
}

/// The recipients that the text of a report names.
pub(super) fn recipients(input: &Input<'_>) -> Vec<BounceRecipient> {
    let text = input.text();
    let report = &text[..report_end(text)];
    let delayed = {
        let lower = report.to_lowercase();
        let subject = input.mail.subject.as_deref().unwrap_or_default().to_lowercase();
        phrases::DELAY_TEXTS
            .iter()
            .any(|p| lower.contains(p) || subject.contains(p))
    };
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    if let Some(value) = input.header("X-Failed-Recipients") {
        found.extend(addresses::find(&value).into_iter().map(|f| (f.email, None)));
    }
    if found.is_empty() {
        found = in_report(report, input).1;
    }
    if found.is_empty() {
        // Only the returned mail says whom it was for.
        found = copied_to(input).into_iter().map(|email| (email, None)).collect();
    }
    let mut out: Vec<BounceRecipient> = Vec::new();
    for (email, diagnostic) in found.into_iter().take(MAX_RECIPIENTS) {
        if out.iter().any(|r| r.email.eq_ignore_ascii_case(&email)) {
            continue;
        }
        let status = diagnostic.as_deref().and_then(|d| smtp_code(&d.to_lowercase()));
        let action = if delayed { "delayed" } else { "failed" }.to_owned();
        out.push(BounceRecipient {
            email,
            action,
            status,
            diagnostic,
        });
    }
    out
}

/// How surely an address in a report is the failed recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Mentioned,
    Named,
    Listed,
}

/// The best-ranked addresses of a report with what is said about them.
fn in_report(report: &str, input: &Input<'_>) -> (Option<Rank>, Vec<(String, Option<String>)>) {
    let own: Vec<String> = input
        .mail
        .to
        .iter()
        .chain(&input.mail.from)
        .chain(&input.mail.sender)
        .map(|a| a.email.to_lowercase())
        .collect();
    let lines: Vec<&str> = report.lines().collect();
    let mut ranked: Vec<(Rank, String, Option<String>)> = Vec::new();
    let mut heading = String::new();
    for (i, line) in lines.iter().enumerate() {
        let found = addresses::find(line);
        for f in &found {
            let email = f.email.trim_matches('\'').to_owned();
            let lower = email.to_lowercase();
            if is_system(&lower) || is_message_id(line, f) {
                continue;
            }
            let mut rank = rank(line, f, &heading);
            if own.contains(&lower) {
                rank = Rank::Mentioned;
            }
            ranked.push((rank, email, diagnostic(&lines, i, f)));
        }
        if !line.trim().is_empty() {
            heading = line.to_lowercase();
        }
        if ranked.len() > 4 * MAX_RECIPIENTS {
            break;
        }
    }
    // Our own address is mentioned by most reports; another one goes before it.
    if ranked.iter().any(|(_, e, _)| !own.contains(&e.to_lowercase())) {
        ranked.retain(|(_, e, _)| !own.contains(&e.to_lowercase()));
    }
    let Some(best) = ranked.iter().map(|(r, _, _)| *r).max() else {
        return (None, Vec::new());
    };
    (
        Some(best),
        ranked
            .into_iter()
            .filter(|(r, _, _)| *r == best)
            .map(|(_, e, d)| (e, d))
            .collect(),
    )
}

fn is_system(lower: &str) -> bool {
    let local = lower.split('@').next().unwrap_or_default();
    [
        "postmaster",
        "mailer-daemon",
        "abuse",
        "helpdesk",
        "support",
        "hostmaster",
        "webmaster",
    ]
    .contains(&local)
}

fn is_message_id(line: &str, f: &Found) -> bool {
    let before = line[..f.start].to_lowercase();
    before.contains("message-id")
        || before.contains("message id")
        || before.contains("msgid")
        || before.contains("in-reply-to")
        || before.trim_start().starts_with("from:")
        || before.trim_end().ends_with("from")
        || before.contains("sender")
        || before.contains("http")
        || before.contains("reply to")
        || before.contains("contact")
}

fn rank(line: &str, f: &Found, heading: &str) -> Rank {
    let before =
        line[..f.start].trim_start_matches([' ', '\t', '<', '"', '\'', '-', '*', '.', '>', '[', '(']);
    let after = line[f.end..]
        .trim_start_matches(['>', '"', '\'', ')', ']'])
        .trim();
    let opens = before.is_empty();
    // `<a@example.org>:` and an address alone on its line are how lists of failed recipients look.
    if opens
        && (after.is_empty()
            || after.starts_with([':', ';', '(', ','])
            || after.starts_with("...")
            || after.starts_with("on "))
    {
        return Rank::Listed;
    }
    let lower = before.to_lowercase();
    let near = lower.trim_end_matches([' ', '<', ':', '"', '\'', '=', '(', '[', '\t']);
    let named = phrases::RECIPIENT_WORDS
        .iter()
        .any(|w| near.ends_with(w.trim_end_matches(':')));
    let follows = opens
        && phrases::RECIPIENT_WORDS
            .iter()
            .any(|w| heading.trim_end_matches([' ', ':']).ends_with(w));
    if lower.trim_start().starts_with("rcpt to") || lower.contains("failed recipient") || follows {
        return Rank::Listed;
    }
    let rejected = lower.trim_start().starts_with(|c: char| c.is_ascii_digit())
        || lower.contains(">>>")
        || after.starts_with("...");
    if named || rejected || (opens && !after.is_empty()) {
        Rank::Named
    } else {
        Rank::Mentioned
    }
}

/// The rest of the line, or the lines below up to the next empty one.
fn diagnostic(lines: &[&str], at: usize, f: &Found) -> Option<String> {
    let rest = lines[at][f.end..]
        .trim_start_matches(['>', ':', '.', ' ', '"'])
        .trim();
    let mut out = rest.to_owned();
    for line in lines[at + 1..].iter().take(6) {
        let line = line.trim();
        if line.is_empty()
            || !addresses::find(line).is_empty() && !line.starts_with(|c: char| c.is_ascii_digit())
        {
            break;
        }
        if out.len() < 500 {
            out.push(' ');
            out.push_str(line);
        }
    }
    let out = out.trim();
    (!out.is_empty()).then(|| out[..out.floor_char_boundary(500)].to_owned())
}

fn copied_to(input: &Input<'_>) -> Vec<String> {
    let copy = input
        .part(&["message/rfc822", "message/global", "text/rfc822-headers"])
        .unwrap_or_else(|| {
            let text = input.text();
            text[report_end(text)..].to_owned()
        });
    copy.lines()
        .take(300)
        .filter(|l| l.get(..3).is_some_and(|h| h.eq_ignore_ascii_case("to:")))
        .flat_map(addresses::find)
        .map(|f| f.email)
        .collect()
}

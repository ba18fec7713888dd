//! Whom a delivery report in free text is about, and what it says of them.
//!
//! Every address in the report is ranked by where it stands; the best-ranked ones are the recipients. What the remote
//! server answered is looked for beside them, below them, and at last anywhere in the report.

use std::collections::HashSet;

use super::addresses::{self, Found};
use super::original::report_end;
use super::{Input, phrases};
use crate::model::BounceRecipient;

/// Recipients that are listed.
const MAX_RECIPIENTS: usize = 200;
/// Bytes of an answer that are kept.
const MAX_DIAGNOSTIC: usize = 500;
/// Lines below a recipient that may hold the answer.
const DIAGNOSTIC_LINES: usize = 6;
/// Bytes of a line that are looked at: everything before an address is asked for each address.
const MAX_LINE: usize = 2_000;
/// Bytes behind a reply code in which the enhanced one is looked for.
const CODE_WINDOW: usize = 40;

/// The recipients that the text of a report names.
pub(super) fn find(input: &Input<'_>) -> Vec<BounceRecipient> {
    let text = input.text();
    let report = &text[..report_end(text)];
    let action = if is_delay(input, report) {
        "delayed"
    } else {
        "failed"
    };
    let mut found = in_report(report, input).1;
    if let Some(value) = input.header("X-Failed-Recipients") {
        // The header is sure of who; the text says why.
        let said = std::mem::take(&mut found);
        for address in addresses::find(&value).into_iter().take(MAX_RECIPIENTS) {
            let why = said.iter().find(|(e, _)| e.eq_ignore_ascii_case(&address.email));
            found.push((address.email, why.and_then(|(_, d)| d.clone())));
        }
    }
    if found.is_empty() {
        found.extend(without_domain(report, input).map(|email| (email, None)));
    }
    if found.is_empty() {
        // Only the returned mail says whom it was for.
        found = copied_to(input).into_iter().map(|email| (email, None)).collect();
    }
    let general = answer_anywhere(report);
    let mut out: Vec<BounceRecipient> = Vec::new();
    for (email, diagnostic) in found.into_iter().take(MAX_RECIPIENTS) {
        if out.iter().any(|r| r.email.eq_ignore_ascii_case(&email)) {
            continue;
        }
        let status = |d: &Option<String>| d.as_deref().and_then(|d| enhanced_code(&d.to_lowercase()));
        // "couldn't be delivered" says less than what the other server answered.
        let said =
            diagnostic.filter(|d| general.is_none() || has_refusal(d) || status(&Some(d.clone())).is_some());
        let diagnostic = said.or_else(|| general.clone());
        out.push(BounceRecipient {
            email,
            action: action.to_owned(),
            status: status(&diagnostic).or_else(|| status(&general)),
            diagnostic,
        });
    }
    out
}

fn is_delay(input: &Input<'_>, report: &str) -> bool {
    let lower = report.to_lowercase();
    let subject = input.mail.subject.as_deref().unwrap_or_default().to_lowercase();
    phrases::DELAY_TEXTS
        .iter()
        .any(|p| lower.contains(p) || subject.contains(p))
}

/// An enhanced status code (`5.1.1`, RFC 3463).
pub(super) fn enhanced_code(lower: &str) -> Option<String> {
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

/// The first line of a report that holds a server's refusal: `550 …`, `… said: 554 5.7.1 …`.
fn answer_anywhere(report: &str) -> Option<String> {
    report
        .lines()
        .map(str::trim)
        .find(|l| l.len() < 2_000 && has_refusal(l))
        .map(clip)
}

/// Whether a reply code of SMTP that means a refusal stands in the line, with words behind it.
fn has_refusal(line: &str) -> bool {
    let bytes = line.as_bytes();
    let boundary = |i: usize| i == 0 || !bytes[i - 1].is_ascii_alphanumeric() && bytes[i - 1] != b'.';
    (0..bytes.len().saturating_sub(4)).any(|i| {
        matches!(bytes[i], b'4' | b'5')
            && matches!(bytes[i + 1], b'0'..=b'7')
            && bytes[i + 2].is_ascii_digit()
            && matches!(bytes[i + 3], b' ' | b'-')
            && boundary(i)
            // "500 lines" and "550 users" are no answers; a code is followed by another code or by a word of a server.
            && (enhanced_code(&line[i..line.floor_char_boundary(i + CODE_WINDOW)]).is_some()
                || i == 0
                || bytes[..i].ends_with(b": ")
                || bytes[..i].ends_with(b"=")
                || bytes[..i].ends_with(b"<<< ")
                || bytes[..i].ends_with(b"("))
    })
}

/// How surely an address in a report is the failed recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Mentioned,
    Named,
    Listed,
}

/// Whether the report lists a recipient of its own.
pub(super) fn is_listed(report: &str, input: &Input<'_>) -> bool {
    in_report(report, input).0 == Some(Rank::Listed)
}

/// The best-ranked addresses of a report with what is said about them.
fn in_report(report: &str, input: &Input<'_>) -> (Option<Rank>, Vec<(String, Option<String>)>) {
    let mail = input.mail;
    let own: HashSet<String> = mail
        .to
        .iter()
        .chain(&mail.from)
        .chain(&mail.sender)
        .map(|a| a.email.to_lowercase())
        .collect();
    let lines: Vec<&str> = report
        .lines()
        .map(|l| &l[..l.floor_char_boundary(MAX_LINE)])
        .collect();
    let mut ranked: Vec<(Rank, String, Option<String>)> = Vec::new();
    let mut heading = String::new();
    'lines: for (i, line) in lines.iter().enumerate() {
        for f in &addresses::find(line) {
            let email = f.email.trim_matches('\'').to_owned();
            let lower = email.to_lowercase();
            if is_system(&lower) || is_no_recipient(line, f) {
                continue;
            }
            let rank = if own.contains(&lower) {
                Rank::Mentioned
            } else {
                rank(line, f, &heading)
            };
            ranked.push((rank, email, diagnostic(&lines, i, f)));
            if ranked.len() > 4 * MAX_RECIPIENTS {
                break 'lines;
            }
        }
        if !line.trim().is_empty() {
            heading = line.to_lowercase();
        }
    }
    // Our own address is mentioned by most reports; another one goes before it.
    if ranked.iter().any(|(_, e, _)| !own.contains(&e.to_lowercase())) {
        ranked.retain(|(_, e, _)| !own.contains(&e.to_lowercase()));
    }
    let Some(best) = ranked.iter().map(|(r, _, _)| *r).max() else {
        return (None, Vec::new());
    };
    let best_ones = ranked
        .into_iter()
        .filter(|(r, _, _)| *r == best)
        .map(|(_, e, d)| (e, d))
        .collect();
    (Some(best), best_ones)
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

/// Message identifiers, senders and addresses to turn to.
fn is_no_recipient(line: &str, f: &Found) -> bool {
    let before = line[..f.start].to_lowercase();
    let start = before.trim_start();
    [
        "message-id",
        "message id",
        "msgid",
        "in-reply-to",
        "sender",
        "http",
        "reply to",
        "contact",
    ]
    .iter()
    .any(|w| before.contains(w))
        || ["from:", "von:", "de:", "mail from"]
            .iter()
            .any(|w| start.starts_with(w))
        || before.trim_end().ends_with("from")
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
    let near = lower.trim_end_matches([' ', '<', ':', '：', '"', '\'', '=', '(', '[', '\t']);
    let named = phrases::RECIPIENT_WORDS
        .iter()
        .any(|w| near.ends_with(w.trim_end_matches(':')));
    let follows = opens
        && phrases::RECIPIENT_WORDS
            .iter()
            .any(|w| heading.trim_end_matches([' ', ':', '：']).ends_with(w));
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
        .trim_start_matches(['>', ':', '.', ' ', '"', ')', ']'])
        .trim();
    let mut out = rest.to_owned();
    for line in lines[at + 1..].iter().take(DIAGNOSTIC_LINES) {
        let line = line.trim();
        // What names somebody else is about them.
        let others = addresses::find(line)
            .iter()
            .any(|other| !other.email.eq_ignore_ascii_case(&f.email));
        if line.is_empty() || others && !line.starts_with(|c: char| c.is_ascii_digit()) && !has_refusal(line)
        {
            break;
        }
        if out.len() < MAX_DIAGNOSTIC {
            out.push(' ');
            out.push_str(line);
        }
    }
    let out = out.trim();
    (!out.is_empty()).then(|| clip(out))
}

fn clip(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_DIAGNOSTIC)].to_owned()
}

/// A name alone on its line below the word "recipients": an account of the reporting system itself.
fn without_domain(report: &str, input: &Input<'_>) -> Option<String> {
    let (_, domain) = input.mail.from.first()?.email.rsplit_once('@')?;
    let mut heading = "";
    for line in report.lines().filter(|l| !l.trim().is_empty()) {
        let name = line.trim().trim_matches(['<', '>', '"', '*', '-', ' ']);
        let is_name = (2..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
            && name.bytes().any(|b| b.is_ascii_alphabetic());
        let announces = heading.trim_end().ends_with(':') && {
            let lower = heading.to_lowercase();
            [
                "recipient",
                "user",
                "address",
                "account",
                "mailbox",
                "deliver",
                "not accepting",
            ]
            .iter()
            .any(|w| lower.contains(w))
        };
        if is_name && announces {
            return Some(format!("{name}@{domain}"));
        }
        heading = line;
    }
    None
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

#[cfg(test)]
mod tests {
    use super::{MAX_LINE, MAX_RECIPIENTS, diagnostic, enhanced_code, has_refusal, in_report};
    use crate::classify::Input;
    use crate::classify::addresses;
    use crate::model::ParsedMail;
    use crate::prescan;

    #[test]
    fn a_report_full_of_addresses_is_not_looked_through_to_its_end() {
        let raw = b"Subject: x\n\n";
        let found = prescan::scan(raw).expect("small");
        let mail = ParsedMail::default();
        let input = Input {
            raw,
            found: &found,
            mail: &mail,
        };
        let line: String = (0..5_000).map(|i| format!("{i:x}@b.c ")).collect();
        let one = in_report(&line, &input).1.len();
        assert!((1..MAX_LINE / 6).contains(&one), "{one}");
        let lines = format!("{line}\n").repeat(100);
        assert!(in_report(&lines, &input).1.len() <= 4 * MAX_RECIPIENTS + 1);
    }

    #[test]
    fn what_follows_a_reply_code_at_a_distance_is_not_looked_at() {
        let line = format!("x 550 {} 5.1.1", "y".repeat(60));
        assert!(!has_refusal(&line));
        assert!(has_refusal("x 550 yyyy 5.1.1"));
        let lines = ["a@b.example: 550 no"];
        let address = addresses::find(lines[0]).remove(0);
        assert_eq!(diagnostic(&lines, 0, &address).as_deref(), Some("550 no"));
    }

    #[test]
    fn refusals_are_told_from_numbers() {
        for line in [
            "550 User unknown",
            "mx.example said: 554 5.7.1 no",
            "host mx [192.0.2.1]: 550 no such user",
            "<<< 552 mailbox full",
        ] {
            assert!(has_refusal(line), "{line}");
        }
        for line in ["a mail of 550 lines", "1550 x", "in 500 years", ""] {
            assert!(!has_refusal(line), "{line}");
        }
    }

    #[test]
    fn codes_are_told_from_addresses_and_versions() {
        assert_eq!(enhanced_code("smtp; 550 5.1.1 <x>"), Some("5.1.1".to_owned()));
        assert_eq!(enhanced_code("(#5.2.2)"), Some("5.2.2".to_owned()));
        assert_eq!(enhanced_code("192.0.2.1, exim 4.80.1.2"), None);
    }
}

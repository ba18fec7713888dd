//! Bounces that are written for people only: qmail, Exim, old sendmail and Exchange, gateways, freemail services.
//!
//! Free text counts only when the sender is a mail system or the subject says it too, so that a person who quotes a
//! bounce is not taken for one.

use std::sync::LazyLock;

use super::original::report_end;
use super::{Input, auto_reply, bounce_recipients, phrases, sender_local};
use crate::model::BounceRecipient;
use crate::phrases::Phrases;

static SUBJECTS: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(phrases::BOUNCE_SUBJECTS));
static TEXTS: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(phrases::BOUNCE_TEXTS));

/// A recognised bounce.
#[derive(Debug, Clone, Default)]
pub(super) struct FreeText {
    pub recipients: Vec<BounceRecipient>,
    pub evidence: Vec<String>,
}

/// What speaks for a bounce.
struct Signs {
    /// Exim and Gmail name the recipients in a header.
    failed_header: bool,
    sender: Sender,
    null_path: bool,
    subject: Option<&'static str>,
    text: Option<&'static str>,
}

/// Decides whether the mail is a bounce.
pub(super) fn find(input: &Input<'_>) -> Option<FreeText> {
    let subject = input.mail.subject.as_deref().unwrap_or_default().to_lowercase();
    let mut signs = Signs {
        failed_header: input.header("X-Failed-Recipients").is_some(),
        sender: sender_of(input),
        null_path: input.header("Return-Path").is_some_and(|v| v.trim() == "<>"),
        subject: SUBJECTS.find(&subject),
        text: None,
    };
    // Without one of these no text can make the score; most mails end here, before the costly part.
    if !signs.failed_header
        && matches!(signs.sender, Sender::Person)
        && signs.subject.is_none()
        && !signs.null_path
    {
        return None;
    }
    let report = &input.text()[..report_end(input.text())];
    let lower = unquoted(report).to_lowercase();
    signs.text = TEXTS.find(&lower);
    // Neither a subject nor a sender alone makes a bounce: postmasters write mail as well.
    let says_so = signs.text.is_some() || signs.subject.is_some() || signs.failed_header;
    if !says_so || score(&signs, input, report, &lower) < ENOUGH {
        return None;
    }
    Some(FreeText {
        recipients: bounce_recipients::find(input),
        evidence: signs.evidence(input),
    })
}

/// The score from which a mail counts as a bounce.
const ENOUGH: i32 = 5;

fn score(signs: &Signs, input: &Input<'_>, report: &str, lower: &str) -> i32 {
    let no_program = !matches!(signs.sender, Sender::Program);
    let person = matches!(signs.sender, Sender::Person);
    let is_answer = !input.mail.in_reply_to.is_empty() || !input.mail.references.is_empty();
    // Somebody forwards a bounce and asks what it means.
    let forwarded = person
        && !signs.null_path
        && crate::reply::is_forward(input.mail.subject.as_deref().unwrap_or_default());
    let list = input.headers().first("List-Unsubscribe").is_some() && person;
    let absence = auto_reply::subject_phrase(input.mail.subject.as_deref().unwrap_or_default()).is_some();
    let listed = signs.text.is_some() && bounce_recipients::is_listed(report, input);
    let code = bounce_recipients::enhanced_code(lower).is_some();
    let plus = 4 * i32::from(signs.failed_header)
        + match signs.sender {
            Sender::Program => 3,
            Sender::Postmaster => 2,
            Sender::Person => 0,
        }
        + i32::from(signs.null_path)
        + 2 * i32::from(signs.subject.is_some())
        + 2 * i32::from(signs.text.is_some())
        + i32::from(code)
        + i32::from(listed);
    let minus = 2 * i32::from(is_answer && no_program)
        + 3 * i32::from(forwarded)
        + 2 * i32::from(list)
        + 3 * i32::from(absence && no_program);
    plus - minus
}

impl Signs {
    fn evidence(&self, input: &Input<'_>) -> Vec<String> {
        let mut out = Vec::new();
        let from = input
            .mail
            .from
            .first()
            .filter(|_| !matches!(self.sender, Sender::Person));
        out.extend(self.failed_header.then(|| "X-Failed-Recipients".to_owned()));
        out.extend(from.map(|f| format!("sender {:.60}", f.email)));
        out.extend(self.null_path.then(|| "Return-Path: <>".to_owned()));
        out.extend(self.subject.map(|p| format!("subject: {p}")));
        out.extend(self.text.map(|p| format!("text: {p}")));
        out
    }
}

/// The lines that are not quoted: a person who asks about a bounce quotes its words.
fn unquoted(text: &str) -> String {
    text.lines()
        .filter(|l| !l.starts_with('>'))
        .collect::<Vec<_>>()
        .join("\n")
}

/// How surely the sender is a program.
enum Sender {
    Program,
    /// A program, or somebody who looks after it.
    Postmaster,
    Person,
}

fn sender_of(input: &Input<'_>) -> Sender {
    let local = sender_local(input.mail);
    let name = input.mail.from.first().and_then(|f| f.name.as_deref());
    let name = name.unwrap_or_default().to_lowercase();
    if phrases::DAEMONS.contains(&local.as_str())
        || local.contains("mailer-daemon")
        || local.starts_with("microsoftexchange")
        || input.headers().first("X-MLServer").is_some()
        || phrases::DAEMON_NAMES.iter().any(|n| name.contains(n))
    {
        Sender::Program
    } else if local.starts_with("postmaster") || phrases::POSTMASTERS.contains(&local.as_str()) {
        Sender::Postmaster
    } else {
        Sender::Person
    }
}

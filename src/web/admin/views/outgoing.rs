//! Outgoing mail: what waits, what was sent, what failed and why.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Badge, Choice, Pager, Problem, Tone, When};
use crate::render::View;

/// `GET /outgoing?state=&after=`.
///
/// Form: `GET /outgoing` with `state`.
#[derive(Debug, Serialize)]
pub struct OutgoingList {
    /// The frame.
    pub page: Page,
    /// State filter; the first choice is "All".
    pub states: Vec<Choice>,
    /// Whether anything is filtered: then an empty list means "nothing found".
    pub filtered: bool,
    /// One page of mails, the newest first.
    pub mails: Vec<OutgoingRow>,
    /// Neighbouring pages.
    pub pager: Pager,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct OutgoingRow {
    /// `out_…`
    pub id: String,
    /// Subject.
    pub subject: String,
    /// To whom.
    pub to: String,
    /// "Reply", "Alert".
    pub kind: String,
    /// Queued, sent, failed.
    pub state: Badge,
    /// What is wrong, if anything is.
    pub cause: String,
    /// When it was put in.
    pub made: When,
}

impl OutgoingRow {
    pub(super) fn sample(tone: Tone, word: &str, cause: &str) -> Self {
        Self {
            id: "out_01".to_owned(),
            subject: "Re: Printer on floor 3 is on fire again".to_owned(),
            to: "grace@example.org".to_owned(),
            kind: "Reply".to_owned(),
            state: Badge::new(tone, word),
            cause: cause.to_owned(),
            made: When::sample("4 minutes ago"),
        }
    }
}

impl View for OutgoingList {
    const TEMPLATE: &'static str = "admin/outgoing.html";

    fn samples() -> Vec<Self> {
        let list = |mails: Vec<OutgoingRow>| Self {
            page: Page::sample("Outgoing mail", Section::Outgoing),
            states: vec![
                Choice::new("", "All states", true),
                Choice::new("failed", "Failed", false),
            ],
            filtered: false,
            pager: Pager {
                first: None,
                next: None,
                text: format!("{} shown, the newest first", mails.len()),
            },
            mails,
        };
        vec![
            list(vec![]),
            list(vec![
                OutgoingRow::sample(
                    Tone::Bad,
                    "Failed",
                    "The SMTP login may not send as the From address.",
                ),
                OutgoingRow::sample(Tone::Warn, "Waiting", "The mail server is busy."),
                OutgoingRow::sample(Tone::Ok, "Sent", ""),
            ]),
        ]
    }
}

/// `GET /outgoing/{id}`.
///
/// Forms without fields: `POST /outgoing/{id}/retry`, `/cancel`.
#[derive(Debug, Serialize)]
pub struct OutgoingDetail {
    /// The frame; its title is the subject.
    pub page: Page,
    /// `out_…`
    pub id: String,
    /// How it stands.
    pub state: Badge,
    /// What is wrong.
    pub problem: Option<Problem>,
    /// From, to, kind, Message-ID, times.
    pub facts: Vec<Fact>,
    /// `HELP-42`; empty if it belongs to no ticket.
    pub ticket: String,
    /// Whether it can be tried again by whoever looks.
    pub can_retry: bool,
    /// Whether it can be taken back by whoever looks.
    pub can_cancel: bool,
    /// Every attempt, oldest first.
    pub attempts: Vec<AttemptRow>,
}

/// One attempt.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptRow {
    /// 1, 2, 3, …
    pub number: i64,
    /// How it ended.
    pub outcome: Badge,
    /// The server's last words.
    pub answer: String,
    /// When it began.
    pub began: When,
}

impl View for OutgoingDetail {
    const TEMPLATE: &'static str = "admin/outgoing_mail.html";

    fn samples() -> Vec<Self> {
        let detail = |state, problem: Option<Problem>, attempts| Self {
            page: Page::sample("Re: Printer on floor 3 is on fire again", Section::Outgoing),
            id: "out_01".to_owned(),
            state,
            can_retry: problem.is_some(),
            can_cancel: false,
            problem,
            facts: vec![
                Fact::exact("From", "help@example.org"),
                Fact::exact("To", "grace@example.org"),
                Fact::exact("Message-ID", "mg1.1a.ent_01.0abc@example.org"),
            ],
            ticket: "HELP-42".to_owned(),
            attempts,
        };
        let attempt = |number, tone, word: &str, answer: &str| AttemptRow {
            number,
            outcome: Badge::new(tone, word),
            answer: answer.to_owned(),
            began: When::sample("4 minutes ago"),
        };
        vec![
            detail(Badge::new(Tone::Muted, "Queued"), None, vec![]),
            detail(
                Badge::new(Tone::Bad, "Failed"),
                Some(Problem::sample()),
                vec![
                    attempt(1, Tone::Warn, "Nobody knows", ""),
                    attempt(2, Tone::Bad, "Refused", "550 5.7.60"),
                ],
            ),
        ]
    }
}

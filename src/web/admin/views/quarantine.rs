//! Quarantine, and the page that explains one message.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Action, Badge, Choice, Pager, Tone, When};
use crate::render::View;

/// `GET /quarantine`.
///
/// Forms: `POST /messages/{id}/reprocess`, `POST /quarantine/{id}/release`, `/drop`, `/fetch` (no fields).
#[derive(Debug, Serialize)]
pub struct Quarantine {
    /// The frame.
    pub page: Page,
    /// Reasons to filter by.
    pub reasons: Vec<Choice>,
    /// Whether a filter is set.
    pub filtered: bool,
    /// The messages, the newest first.
    pub messages: Vec<QuarantineRow>,
    /// Links to other pages.
    pub pager: Pager,
}

/// One message.
#[derive(Debug, Clone, Serialize)]
pub struct QuarantineRow {
    /// `msg_…`
    pub id: String,
    /// Its subject.
    pub subject: String,
    /// Its sender.
    pub from: String,
    /// Why it is here, in a word or two.
    pub reason: Badge,
    /// Why it is here, in a sentence.
    pub problem: String,
    /// Since when.
    pub since: Option<When>,
    /// "31.2 MB"
    pub size: String,
    /// The key of its ticket, if it has one.
    pub ticket: Option<String>,
    /// What can be done.
    pub actions: Vec<Action>,
}

impl View for Quarantine {
    const TEMPLATE: &'static str = "admin/quarantine.html";

    fn samples() -> Vec<Self> {
        let list = |messages, filtered| Self {
            page: Page::sample("Quarantine", Section::Quarantine),
            reasons: vec![
                Choice::new("", "All reasons", true),
                Choice::new("rule", "Sent by a rule", false),
            ],
            filtered,
            messages,
            pager: Pager::default(),
        };
        let row = QuarantineRow {
            id: "msg_01".to_owned(),
            subject: "Invoice".to_owned(),
            from: "billing@example.com".to_owned(),
            reason: Badge::new(Tone::Warn, "Too large"),
            problem: "The mail has 31.2 MB, more than its mailbox takes. Only its header is here.".to_owned(),
            since: Some(When::sample("2 days ago")),
            size: "31.2 MB".to_owned(),
            ticket: Some("HELP-42".to_owned()),
            actions: vec![
                Action::post("Fetch the whole mail", "/quarantine/msg_01/fetch"),
                Action::post("Keep as it is", "/quarantine/msg_01/release"),
            ],
        };
        vec![list(vec![], false), list(vec![], true), list(vec![row], false)]
    }
}

/// `GET /messages/{id}`: how it came to where it is.
///
/// Forms: the buttons of `actions`.
#[derive(Debug, Serialize)]
pub struct MessagePage {
    /// The frame; its title is the subject.
    pub page: Page,
    /// `msg_…`
    pub id: String,
    /// Subject, or a word for none.
    pub subject: String,
    /// Who wrote it.
    pub from: String,
    /// Where it stands.
    pub state: Badge,
    /// Why it is where it is, if that is not a ticket.
    pub problem: Option<String>,
    /// Buttons.
    pub actions: Vec<Action>,
    /// The way back.
    pub back: String,
    /// Its name.
    pub back_label: String,
    /// The stations of its way, in order.
    pub steps: Vec<ExplainedStep>,
    /// Links to the mails that are attached to it.
    pub attached: Vec<Action>,
    /// Each time it was processed, the last one first.
    pub runs: Vec<RunRow>,
}

/// One station.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedStep {
    /// How it went.
    pub tone: Tone,
    /// "Received"
    pub title: String,
    /// When.
    pub when: Option<When>,
    /// What was found, a sentence each.
    pub lines: Vec<String>,
    /// A link that belongs to it.
    pub link: Option<Action>,
}

/// One time it was processed.
#[derive(Debug, Clone, Serialize)]
pub struct RunRow {
    /// Its number.
    pub number: i64,
    /// When.
    pub when: When,
    /// Why.
    pub cause: String,
    /// Who asked.
    pub by: String,
    /// What came of it.
    pub outcome: Badge,
    /// How long it took, milliseconds.
    pub ms: i64,
}

impl View for MessagePage {
    const TEMPLATE: &'static str = "admin/message.html";

    fn samples() -> Vec<Self> {
        let page = |problem: Option<&str>, steps, runs| Self {
            page: Page::sample("Printer on fire", Section::Tickets),
            id: "msg_01".to_owned(),
            subject: "Printer on fire".to_owned(),
            from: "Grace Hopper <grace@example.com>".to_owned(),
            state: Badge::new(Tone::Ok, "In a ticket"),
            problem: problem.map(str::to_owned),
            actions: vec![Action::post("Process again", "/messages/msg_01/reprocess")],
            back: "/tickets/HELP-42".to_owned(),
            back_label: "HELP-42".to_owned(),
            attached: match problem {
                Some(_) => vec![Action::link("fwd.eml", "/messages/msg_01/attached-mails/2")],
                None => vec![],
            },
            steps,
            runs,
        };
        let step = |title: &str, link| ExplainedStep {
            tone: Tone::Ok,
            title: title.to_owned(),
            when: Some(When::sample("2 hours ago")),
            lines: vec!["From INBOX, UID 17, 2.1 kB.".to_owned()],
            link,
        };
        let run = RunRow {
            number: 1,
            when: When::sample("2 hours ago"),
            cause: "It came in".to_owned(),
            by: "Mailgrant".to_owned(),
            outcome: Badge::new(Tone::Ok, "In a ticket"),
            ms: 12,
        };
        vec![
            page(None, vec![], vec![]),
            page(
                Some("The rule “Spam” sent it here."),
                vec![
                    step("Received", None),
                    step("Ticket", Some(Action::link("HELP-42", "/tickets/HELP-42"))),
                ],
                vec![run],
            ),
        ]
    }
}

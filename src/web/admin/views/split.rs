//! Splitting a ticket: the list to choose entries from.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{FormErrors, When};
use crate::render::View;

/// `GET /tickets/{key}/split`.
///
/// Form: `GET /tickets/{key}/split` with `go`, `entry` (several) and `subject`; the question that is asked then posts.
#[derive(Debug, Serialize)]
pub struct SplitPage {
    /// The frame.
    pub page: Page,
    /// What is wrong with the choice: `entries`, `subject`.
    pub errors: FormErrors,
    /// `HELP-42`
    pub key: String,
    /// What is in the ticket, oldest first.
    pub entries: Vec<SplitEntry>,
    /// Subject of the new ticket; empty for the proposed one.
    pub subject: String,
}

/// One entry to choose.
#[derive(Debug, Clone, Serialize)]
pub struct SplitEntry {
    /// `ent_…`
    pub id: String,
    /// Message, answer, internal note.
    pub kind: String,
    /// Who wrote it.
    pub author: String,
    /// When.
    pub when: When,
    /// How it begins.
    pub preview: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

impl View for SplitPage {
    const TEMPLATE: &'static str = "admin/split.html";

    fn samples() -> Vec<Self> {
        let entry = |id: &str, kind: &str, preview: &str| SplitEntry {
            id: id.to_owned(),
            kind: kind.to_owned(),
            author: "Grace Hopper <grace@example.com>".to_owned(),
            when: When::sample("4 minutes ago"),
            preview: preview.to_owned(),
            chosen: id == "ent_02",
        };
        let split = |errors: FormErrors, entries: Vec<SplitEntry>| Self {
            page: Page::sample("Split HELP-42", Section::Tickets),
            errors,
            key: "HELP-42".to_owned(),
            entries,
            subject: String::new(),
        };
        let all = vec![
            entry("ent_01", "Message", "The printer on floor 3 is on fire."),
            entry(
                "ent_02",
                "Message",
                "And the coffee machine does not work, either.",
            ),
            entry("ent_03", "Internal note", ""),
        ];
        vec![
            split(FormErrors::default(), all.clone()),
            split(FormErrors::default().with("entries", "Choose the entries."), all),
            split(FormErrors::default(), vec![entry("ent_01", "Message", "Alone.")]),
        ]
    }
}

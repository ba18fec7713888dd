//! The search over messages, answers and notes.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Badge, Pager, Tone, When};
use crate::render::View;

/// `GET /search?q=&after=`.
///
/// Form: `GET /search` with `q`.
#[derive(Debug, Serialize)]
pub struct SearchPage {
    /// The frame.
    pub page: Page,
    /// The question as typed.
    pub q: String,
    /// What could not be understood of it.
    pub notes: Vec<String>,
    /// Tickets that answer it, the latest change first; a few of them.
    pub tickets: Vec<super::tickets::TicketRow>,
    /// Where all of them are.
    pub tickets_href: String,
    /// Whether there are more than those shown.
    pub more_tickets: bool,
    /// Messages, answers and notes, the newest first.
    pub hits: Vec<HitRow>,
    /// Neighbouring pages.
    pub pager: Pager,
}

/// Something that was found.
#[derive(Debug, Clone, Serialize)]
pub struct HitRow {
    /// "Message", "Answer", "Note".
    pub kind: Badge,
    /// Subject of the message, or of its ticket.
    pub title: String,
    /// Local path of the place; none for a message without a ticket that nobody can open.
    pub href: Option<String>,
    /// Key of its ticket, or empty.
    pub key: String,
    /// Who wrote it.
    pub author: String,
    /// When.
    pub when: When,
    /// Whether files come with it.
    pub has_attachment: bool,
    /// The text around what was found.
    pub snippet: Vec<SnippetPiece>,
}

/// A piece of a snippet.
#[derive(Debug, Clone, Serialize)]
pub struct SnippetPiece {
    /// The text.
    pub text: String,
    /// Whether it is what was looked for.
    pub hit: bool,
}

impl View for SearchPage {
    const TEMPLATE: &'static str = "admin/search.html";

    fn samples() -> Vec<Self> {
        let hit = |href: Option<&str>| HitRow {
            kind: Badge::new(Tone::Info, "Message"),
            title: "Printer on fire".to_owned(),
            href: href.map(str::to_owned),
            key: "HELP-42".to_owned(),
            author: "Grace Hopper".to_owned(),
            when: When::sample("4 minutes ago"),
            has_attachment: true,
            snippet: ["The ", "printer", " on floor 3"]
                .into_iter()
                .map(|text| SnippetPiece {
                    text: text.to_owned(),
                    hit: text == "printer",
                })
                .collect(),
        };
        let page = |q: &str, hits: Vec<HitRow>| Self {
            page: Page::sample("Search", Section::Search),
            q: q.to_owned(),
            notes: if q.is_empty() {
                vec![]
            } else {
                vec!["“is:odd” was left out.".to_owned()]
            },
            tickets: hits
                .iter()
                .map(|_| super::tickets::TicketRow::sample("HELP-42", "Printer"))
                .collect(),
            tickets_href: "/tickets?q=printer".to_owned(),
            more_tickets: !hits.is_empty(),
            hits,
            pager: Pager::default(),
        };
        vec![
            page("", vec![]),
            page("printer is:odd", vec![]),
            page("printer", vec![hit(Some("/tickets/HELP-42#ent_01")), hit(None)]),
        ]
    }
}

//! Queues: consumers that fetch their events, how far each is, and what is out.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Badge, Choice, FormErrors, Tone, When};
use super::webhooks::Family;
use crate::render::View;

/// `GET /queues`.
#[derive(Debug, Serialize)]
pub struct QueueList {
    /// The frame.
    pub page: Page,
    /// Oldest first.
    pub queues: Vec<QueueRow>,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct QueueRow {
    /// `que_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// How it stands.
    pub state: Badge,
    /// "All events", "ticket.*".
    pub wants: String,
    /// "Whole site", "HELP, OPS".
    pub projects: String,
    /// How far behind it is.
    pub lag: String,
    /// When somebody last asked.
    pub last_leased: Option<When>,
}

impl View for QueueList {
    const TEMPLATE: &'static str = "admin/queues.html";

    fn samples() -> Vec<Self> {
        let list = |queues| Self {
            page: Page::sample("Queues", Section::Queues),
            queues,
        };
        let row = |tone: Tone, word: &str, lag: &str| QueueRow {
            id: "que_01".to_owned(),
            name: "desk".to_owned(),
            description: "The help desk".to_owned(),
            state: Badge::new(tone, word),
            wants: "ticket.*".to_owned(),
            projects: "Whole site".to_owned(),
            lag: lag.to_owned(),
            last_leased: (tone == Tone::Ok).then(|| When::sample("just now")),
        };
        vec![
            list(vec![]),
            list(vec![
                row(Tone::Ok, "Up to date", "Nothing waits"),
                row(Tone::Warn, "Behind", "12 wait, 3 are out"),
                row(
                    Tone::Muted,
                    "Never asked",
                    "1,204 places of the log not looked at",
                ),
            ]),
        ]
    }
}

/// `GET /queues/new` and `GET /queues/{id}/edit`.
///
/// Form: `POST /queues` or `POST /queues/{id}` with `name`, `description`, `revision`, `reach`, `project`, `type`.
#[derive(Debug, Serialize)]
pub struct QueueForm {
    /// The frame.
    pub page: Page,
    /// `que_…` when it exists.
    pub id: Option<String>,
    /// Where the form posts.
    pub action: String,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// The revision the form was made from.
    pub revision: String,
    /// The whole site or projects; empty when only projects can be chosen.
    pub reaches: Vec<Choice>,
    /// Projects to choose from.
    pub projects: Vec<Choice>,
    /// Event types, by family.
    pub families: Vec<Family>,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for QueueForm {
    const TEMPLATE: &'static str = "admin/queue_form.html";

    fn samples() -> Vec<Self> {
        let form = |id: Option<&str>, errors: FormErrors| Self {
            page: Page::sample("New queue", Section::Queues),
            id: id.map(str::to_owned),
            action: "/queues".to_owned(),
            name: "desk".to_owned(),
            description: String::new(),
            revision: "1".to_owned(),
            reaches: vec![
                Choice::new("site", "Whole site", true),
                Choice::new("projects", "Projects", false),
            ],
            projects: vec![Choice::new("prj_01", "HELP Help desk", false)],
            families: vec![Family::sample()],
            errors,
        };
        vec![
            form(None, FormErrors::default()),
            form(Some("que_01"), FormErrors::default().with("name", "is taken")),
        ]
    }
}

/// `GET /queues/{id}`.
///
/// Form: `GET /queues/{id}/seek` with `to` (`oldest`, `latest`, or a cursor), which asks before anything is done.
#[derive(Debug, Serialize)]
pub struct QueueDetail {
    /// The frame; its title is the name.
    pub page: Page,
    /// `que_…`
    pub id: String,
    /// For people.
    pub description: String,
    /// How it stands.
    pub state: Badge,
    /// Whether whoever looks may change it.
    pub may_change: bool,
    /// Position, lag, filters.
    pub facts: Vec<Fact>,
    /// What is out or waits, the oldest first.
    pub items: Vec<ItemRow>,
    /// "the first 50 of 1,204"; empty if all are shown.
    pub more: String,
    /// Places to choose from.
    pub places: Vec<Choice>,
}

/// One event that is out or waits.
#[derive(Debug, Clone, Serialize)]
pub struct ItemRow {
    /// `evt_…`
    pub event_id: String,
    /// What it must keep its order with: a ticket, or what it is about.
    pub order_key: String,
    /// Out, or waiting.
    pub state: Badge,
    /// How often it was lent.
    pub times: i64,
    /// When its lease ends.
    pub until: Option<When>,
}

impl View for QueueDetail {
    const TEMPLATE: &'static str = "admin/queue.html";

    fn samples() -> Vec<Self> {
        let detail = |may_change: bool, items: Vec<ItemRow>| Self {
            page: Page::sample("desk", Section::Queues),
            id: "que_01".to_owned(),
            description: "The help desk".to_owned(),
            state: Badge::new(Tone::Warn, "Behind"),
            may_change,
            facts: vec![Fact::exact("Place in the log", "ZTEuNDcxMQ")],
            more: if items.is_empty() {
                String::new()
            } else {
                "the first 50 of 1,204".to_owned()
            },
            items,
            places: vec![Choice::new("latest", "the end of the log", true)],
        };
        let item = |tone: Tone, word: &str, until: Option<When>| ItemRow {
            event_id: "evt_01K9WQ8ZC3N5T7V9X1Y3A5C7E9".to_owned(),
            order_key: "tkt_01".to_owned(),
            state: Badge::new(tone, word),
            times: 2,
            until,
        };
        vec![
            detail(false, vec![]),
            detail(
                true,
                vec![
                    item(Tone::Busy, "Out", Some(When::sample("in 20 seconds"))),
                    item(Tone::Muted, "Waits", None),
                ],
            ),
        ]
    }
}

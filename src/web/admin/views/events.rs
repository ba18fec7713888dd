//! The event log: a page of it that grows while it is open, and one event as its consumers see it.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Choice, FormErrors, Pager, When};
use crate::render::View;

/// `GET /events?type=&project=&before=`.
///
/// Forms: `GET /events` with `type` and `project`; `POST /events` with `kind` and `project_id` (a sample event).
/// Live: event `row` of the stream carries an [`EventRow`] as JSON.
#[derive(Debug, Serialize)]
pub struct EventList {
    /// The frame.
    pub page: Page,
    /// Types and families to choose from; the first is "All".
    pub kinds: Vec<Choice>,
    /// Projects to choose from; the first is "All".
    pub projects: Vec<Choice>,
    /// Whether anything is filtered: then an empty list means "nothing found".
    pub filtered: bool,
    /// One page, the newest first.
    pub events: Vec<EventRow>,
    /// Neighbouring pages.
    pub pager: Pager,
    /// Path of the stream of what comes next; empty on older pages.
    pub stream: String,
    /// What samples can be made, for those who may.
    pub samples: Vec<Choice>,
    /// Where samples can belong to.
    pub sample_projects: Vec<Choice>,
    /// What is wrong with the sample that was asked for.
    pub errors: FormErrors,
}

/// One event in a line.
#[derive(Debug, Clone, Serialize)]
pub struct EventRow {
    /// `evt_…`
    pub id: String,
    /// `ticket.created`
    pub kind: String,
    /// What that means.
    pub about: String,
    /// What it is about: `HELP-42`, or an id.
    pub subject: String,
    /// Its page; empty if it has none, or none for whoever looks.
    pub subject_href: String,
    /// `HELP`; empty for events of the site.
    pub project: String,
    /// Who did it.
    pub actor: String,
    /// When.
    pub at: When,
    /// Whether somebody made it to try a consumer.
    pub is_sample: bool,
}

impl EventRow {
    /// An example.
    #[must_use]
    pub fn sample(kind: &str, subject: &str, is_sample: bool) -> Self {
        Self {
            id: "evt_01K9WQ8ZC3N5T7V9X1Y3A5C7E9".to_owned(),
            kind: kind.to_owned(),
            about: "A mail became a new ticket.".to_owned(),
            subject: subject.to_owned(),
            subject_href: if is_sample {
                String::new()
            } else {
                "/tickets/HELP-42".to_owned()
            },
            project: "HELP".to_owned(),
            actor: "Mailgrant".to_owned(),
            at: When::sample("4 minutes ago"),
            is_sample,
        }
    }
}

impl View for EventList {
    const TEMPLATE: &'static str = "admin/events.html";

    fn samples() -> Vec<Self> {
        let list = |events: Vec<EventRow>, filtered: bool, samples: Vec<Choice>| Self {
            page: Page::sample("Events", Section::Events),
            kinds: vec![
                Choice::new("", "All events", true),
                Choice::new("ticket.*", "ticket.*", false),
            ],
            projects: vec![Choice::new("", "All projects", true)],
            filtered,
            pager: Pager {
                first: None,
                next: (!filtered).then(|| "/events?before=x".to_owned()),
                text: format!("{} shown, the newest first", events.len()),
            },
            events,
            stream: "/events/stream".to_owned(),
            sample_projects: samples
                .first()
                .map(|_| Choice::new("", "None: the site", true))
                .into_iter()
                .collect(),
            samples,
            errors: FormErrors::default(),
        };
        vec![
            list(vec![], false, vec![]),
            list(vec![], true, vec![]),
            list(
                vec![
                    EventRow::sample("ticket.created", "HELP-42", false),
                    EventRow::sample("grant.expired", "sample-grant", true),
                ],
                false,
                vec![Choice::new("ticket.created", "ticket.created", true)],
            ),
        ]
    }
}

/// `GET /events/{id}`.
#[derive(Debug, Serialize)]
pub struct EventDetail {
    /// The frame; its title is the type.
    pub page: Page,
    /// What the type means.
    pub about: String,
    /// When, who, about what.
    pub facts: Vec<Fact>,
    /// The page of what it is about.
    pub subject_href: String,
    /// The event as consumers get it.
    pub json: String,
}

impl View for EventDetail {
    const TEMPLATE: &'static str = "admin/event.html";

    fn samples() -> Vec<Self> {
        ["/tickets/HELP-42", ""]
            .into_iter()
            .map(|href| Self {
                page: Page::sample("ticket.created", Section::Events),
                about: "A mail became a new ticket.".to_owned(),
                facts: vec![
                    Fact::exact("Id", "evt_01K9WQ8ZC3N5T7V9X1Y3A5C7E9"),
                    Fact::new("By", "Mailgrant"),
                ],
                subject_href: href.to_owned(),
                json: "{\n  \"type\": \"ticket.created\"\n}".to_owned(),
            })
            .collect()
    }
}

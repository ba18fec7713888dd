//! What was delivered to a webhook, and each attempt.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Badge, Choice, Pager, Tone, When};
use crate::render::View;

/// `GET /webhooks/{id}/deliveries?state=&type=&after=`.
///
/// Form: `GET` on the same path with `state` and `type`.
#[derive(Debug, Serialize)]
pub struct DeliveryList {
    /// The frame.
    pub page: Page,
    /// `whk_…`
    pub webhook_id: String,
    /// Its address.
    pub url: String,
    /// Outcomes to choose from; the first is "All".
    pub states: Vec<Choice>,
    /// Event types to choose from; the first is "All".
    pub kinds: Vec<Choice>,
    /// Whether anything is filtered: then an empty list means "nothing found".
    pub filtered: bool,
    /// One page of them, the newest first.
    pub deliveries: Vec<DeliveryRow>,
    /// Neighbouring pages.
    pub pager: Pager,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryRow {
    /// `dlv_…`
    pub id: String,
    /// Of which webhook.
    pub webhook_id: String,
    /// `ticket.created`
    pub kind: String,
    /// How far it has come.
    pub state: Badge,
    /// What the receiver said last, in words; empty if nothing is wrong.
    pub meaning: String,
    /// Attempts so far.
    pub attempts: i64,
    /// When it was queued.
    pub made: When,
    /// When it is tried next, if it waits.
    pub next: Option<When>,
}

impl DeliveryRow {
    /// Examples.
    #[must_use]
    pub fn samples() -> Vec<Self> {
        let row = |tone: Tone, word: &str, meaning: &str, attempts| Self {
            id: "dlv_01".to_owned(),
            webhook_id: "whk_01".to_owned(),
            kind: "ticket.created".to_owned(),
            state: Badge::new(tone, word),
            meaning: meaning.to_owned(),
            attempts,
            made: When::sample("4 minutes ago"),
            next: (tone == Tone::Warn).then(|| When::sample("in 4 minutes")),
        };
        vec![
            row(Tone::Warn, "Waits for another attempt", "The receiver failed.", 2),
            row(Tone::Bad, "Failed", "The receiver was not reached.", 10),
            row(Tone::Ok, "Delivered", "", 1),
        ]
    }
}

impl View for DeliveryList {
    const TEMPLATE: &'static str = "admin/deliveries.html";

    fn samples() -> Vec<Self> {
        let list = |filtered: bool, deliveries: Vec<DeliveryRow>| Self {
            page: Page::sample("Deliveries", Section::Webhooks),
            webhook_id: "whk_01".to_owned(),
            url: "https://desk.example.org/hook".to_owned(),
            states: vec![
                Choice::new("", "All", !filtered),
                Choice::new("failed", "Failed", filtered),
            ],
            kinds: vec![Choice::new("", "All events", true)],
            filtered,
            pager: Pager {
                first: filtered.then(|| "/webhooks/whk_01/deliveries".to_owned()),
                next: None,
                text: format!("{} shown, the newest first", deliveries.len()),
            },
            deliveries,
        };
        vec![
            list(false, vec![]),
            list(true, vec![]),
            list(false, DeliveryRow::samples()),
        ]
    }
}

/// `GET /webhooks/{id}/deliveries/{delivery}`.
///
/// Form without fields: `POST` on the same path and `/retry`.
#[derive(Debug, Serialize)]
pub struct DeliveryDetail {
    /// The frame.
    pub page: Page,
    /// `whk_…`
    pub webhook_id: String,
    /// Its address.
    pub url: String,
    /// `dlv_…`
    pub id: String,
    /// How far it has come.
    pub state: Badge,
    /// Event, attempts, times.
    pub facts: Vec<Fact>,
    /// The page of the event, while it is in the log.
    pub event_href: Option<String>,
    /// Why it cannot be sent again; empty if it can.
    pub cannot: String,
    /// Each attempt, the newest first.
    pub attempts: Vec<AttemptView>,
}

/// One attempt: the request as far as it may be shown, and the answer as far as it is kept.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptView {
    /// From 1.
    pub number: i64,
    /// How it ended.
    pub outcome: Badge,
    /// What that means, and what to do.
    pub meaning: String,
    /// When.
    pub at: When,
    /// How long it took, milliseconds.
    pub ms: i64,
    /// Lines of the request.
    pub request: String,
    /// Lines of the answer; empty if there was none.
    pub response: String,
    /// Whether the receiver is one whose answers are not kept.
    pub is_private: bool,
}

impl View for DeliveryDetail {
    const TEMPLATE: &'static str = "admin/delivery.html";

    fn samples() -> Vec<Self> {
        let attempt = |number: i64, tone: Tone, word: &str, response: &str| AttemptView {
            number,
            outcome: Badge::new(tone, word),
            meaning: "The receiver failed.".to_owned(),
            at: When::sample("4 minutes ago"),
            ms: 212,
            request: "POST https://desk.example.org/hook\nwebhook-signature: (hidden)".to_owned(),
            response: response.to_owned(),
            is_private: response.is_empty(),
        };
        let detail = |state, cannot: &str, attempts: Vec<AttemptView>| Self {
            page: Page::sample("ticket.created", Section::Webhooks),
            webhook_id: "whk_01".to_owned(),
            url: "https://desk.example.org/hook".to_owned(),
            id: "dlv_01".to_owned(),
            state,
            facts: vec![Fact::exact("webhook-id", "evt_01K9WQ8ZC3N5T7V9X1Y3A5C7E9")],
            event_href: cannot.is_empty().then(|| "/events/evt_01".to_owned()),
            cannot: cannot.to_owned(),
            attempts,
        };
        vec![
            detail(Badge::new(Tone::Muted, "Waits for its first attempt"), "", vec![]),
            detail(
                Badge::new(Tone::Bad, "Failed"),
                "The event is older than the retention.",
                vec![
                    attempt(2, Tone::Bad, "503", "HTTP 503\n\n<b>busy</b>"),
                    attempt(1, Tone::Bad, "No answer", ""),
                ],
            ),
        ]
    }
}

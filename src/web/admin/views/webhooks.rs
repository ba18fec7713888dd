//! Webhooks: who is called, how each stands, the form of one, and its secret the one time it is told.

use serde::Serialize;

use super::deliveries::DeliveryRow;
use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Badge, Choice, FormErrors, Problem, Tone, When};
use crate::render::View;

/// `GET /webhooks`.
#[derive(Debug, Serialize)]
pub struct WebhookList {
    /// The frame.
    pub page: Page,
    /// Oldest first.
    pub webhooks: Vec<WebhookRow>,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct WebhookRow {
    /// `whk_…`
    pub id: String,
    /// Where it is sent.
    pub url: String,
    /// For people; may be empty.
    pub description: String,
    /// How it stands.
    pub state: Badge,
    /// Why it stands so; empty if all is well.
    pub cause: String,
    /// "All events", "ticket.*".
    pub wants: String,
    /// "Whole site", "HELP, OPS".
    pub projects: String,
    /// When it last took something.
    pub last_success: Option<When>,
}

impl WebhookRow {
    fn sample(tone: Tone, word: &str, cause: &str) -> Self {
        Self {
            id: "whk_01".to_owned(),
            url: "https://desk.example.org/hooks/mailgrant".to_owned(),
            description: "The help desk".to_owned(),
            state: Badge::new(tone, word),
            cause: cause.to_owned(),
            wants: "ticket.*, message.received".to_owned(),
            projects: "HELP".to_owned(),
            last_success: (tone == Tone::Ok).then(|| When::sample("2 minutes ago")),
        }
    }
}

impl View for WebhookList {
    const TEMPLATE: &'static str = "admin/webhooks.html";

    fn samples() -> Vec<Self> {
        let list = |webhooks| Self {
            page: Page::sample("Webhooks", Section::Webhooks),
            webhooks,
        };
        vec![
            list(vec![]),
            list(vec![
                WebhookRow::sample(Tone::Ok, "Healthy", ""),
                WebhookRow::sample(Tone::Warn, "Failing", "3 failures in a row, the last: http_503"),
                WebhookRow::sample(Tone::Bad, "Disabled", "It failed for five days."),
            ]),
        ]
    }
}

/// `GET /webhooks/new` and `GET /webhooks/{id}/edit`.
///
/// Form: `POST /webhooks` or `POST /webhooks/{id}` with the fields of [`WebhookValues`], `format`, `payload`, `reach`
/// (`site` or `projects`), `project` and `type` (both may come several times), `remove_headers`.
#[derive(Debug, Serialize)]
pub struct WebhookForm {
    /// The frame.
    pub page: Page,
    /// `whk_…` when it exists.
    pub id: Option<String>,
    /// Where the form posts.
    pub action: String,
    /// What is filled in.
    pub values: WebhookValues,
    /// Names of the headers that are added now.
    pub header_names: Vec<String>,
    /// How bodies look.
    pub formats: Vec<Choice>,
    /// How much is in them.
    pub payloads: Vec<Choice>,
    /// The whole site or projects; empty when only projects can be chosen.
    pub reaches: Vec<Choice>,
    /// Projects to choose from.
    pub projects: Vec<Choice>,
    /// Event types, by family.
    pub families: Vec<Family>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// Plain fields of the form.
#[derive(Debug, Clone, Default, Serialize)]
pub struct WebhookValues {
    /// Where it is sent.
    pub url: String,
    /// For people.
    pub description: String,
    /// Whether events of a ticket wait for each other.
    pub ordered: bool,
    /// The revision the form was made from.
    pub revision: String,
}

/// A family of event types.
#[derive(Debug, Clone, Serialize)]
pub struct Family {
    /// `ticket.*`, with what it is about.
    pub all: Choice,
    /// Each type.
    pub types: Vec<Choice>,
    /// Whether single types are chosen.
    pub open: bool,
}

impl Family {
    /// An example.
    #[must_use]
    pub fn sample() -> Self {
        Self {
            all: Choice::new("ticket.*", "ticket.*", false),
            types: vec![
                Choice::new("ticket.created", "ticket.created", true)
                    .with_hint("A mail became a new ticket."),
                Choice::new("ticket.merged", "ticket.merged", false)
                    .with_hint("A ticket was merged into another."),
            ],
            open: true,
        }
    }
}

impl View for WebhookForm {
    const TEMPLATE: &'static str = "admin/webhook_form.html";

    fn samples() -> Vec<Self> {
        let form = |id: Option<&str>, errors: FormErrors| Self {
            page: Page::sample("New webhook", Section::Webhooks),
            id: id.map(str::to_owned),
            action: "/webhooks".to_owned(),
            values: WebhookValues {
                url: "https://desk.example.org/hook".to_owned(),
                description: "The help desk".to_owned(),
                ordered: true,
                revision: "1".to_owned(),
            },
            header_names: id.map(|_| "X-Team".to_owned()).into_iter().collect(),
            formats: vec![
                Choice::new("jmap", "Mailgrant", true).with_hint("The event as JSON."),
                Choice::new("postmark", "Postmark", false),
            ],
            payloads: vec![
                Choice::new("full", "Full", true),
                Choice::new("thin", "Thin", false),
            ],
            reaches: if id.is_some() {
                vec![]
            } else {
                vec![
                    Choice::new("site", "Whole site", true),
                    Choice::new("projects", "Projects", false),
                ]
            },
            projects: vec![Choice::new("prj_01", "HELP Help desk", true)],
            families: vec![Family::sample()],
            errors,
        };
        vec![
            form(None, FormErrors::default()),
            form(
                Some("whk_01"),
                FormErrors::default()
                    .with("url", "must begin with https://")
                    .with("headers", "is not the name of a header"),
            ),
        ]
    }
}

/// The answer to `POST /webhooks` and `POST /webhooks/{id}/secrets`: the one time the secret is told.
#[derive(Debug, Serialize)]
pub struct WebhookSecret {
    /// The frame.
    pub page: Page,
    /// `whk_…`
    pub id: String,
    /// `whsec_…`
    pub secret: String,
    /// `whpk_…`
    pub public_key: String,
    /// Until when the secret of before signs as well; none for a new webhook.
    pub old_until: Option<When>,
}

impl View for WebhookSecret {
    const TEMPLATE: &'static str = "admin/webhook_secret.html";

    fn samples() -> Vec<Self> {
        [None, Some(When::sample("in 1 day"))]
            .into_iter()
            .map(|old_until| Self {
                page: Page::sample("The secret of the webhook", Section::Webhooks),
                id: "whk_01".to_owned(),
                secret: "whsec_c2FtcGxlLXNhbXBsZS1zYW1wbGUtc2FtcGxlLTEyMzQ=".to_owned(),
                public_key: "whpk_c2FtcGxlLXNhbXBsZS1zYW1wbGUtc2FtcGxlLTEyMzQ=".to_owned(),
                old_until,
            })
            .collect()
    }
}

/// `GET /webhooks/{id}`.
///
/// Forms without fields: `POST /webhooks/{id}/ping`, `/enable`, `/disable`. Form: `POST /webhooks/{id}/retry` with
/// `since` (hours, or `all`).
#[derive(Debug, Serialize)]
pub struct WebhookDetail {
    /// The frame; its title is the address.
    pub page: Page,
    /// `whk_…`
    pub id: String,
    /// For people.
    pub description: String,
    /// How it stands.
    pub state: Badge,
    /// What is wrong.
    pub problem: Option<Problem>,
    /// Whether it is called.
    pub enabled: bool,
    /// What it gets, and how.
    pub facts: Vec<Fact>,
    /// `whpk_…`
    pub public_key: String,
    /// Until when the secret of before signs as well.
    pub old_until: Option<When>,
    /// "3 waiting", "1 failed".
    pub counts: Vec<String>,
    /// Whether anything failed that could be sent again.
    pub has_failed: bool,
    /// Since when to send again.
    pub sinces: Vec<Choice>,
    /// The newest deliveries.
    pub deliveries: Vec<DeliveryRow>,
}

impl View for WebhookDetail {
    const TEMPLATE: &'static str = "admin/webhook.html";

    fn samples() -> Vec<Self> {
        let detail = |enabled: bool, problem: Option<Problem>, deliveries: Vec<DeliveryRow>| Self {
            page: Page::sample("https://desk.example.org/hooks/mailgrant", Section::Webhooks),
            id: "whk_01".to_owned(),
            description: "The help desk".to_owned(),
            state: if enabled {
                Badge::new(Tone::Ok, "Healthy")
            } else {
                Badge::new(Tone::Bad, "Disabled")
            },
            has_failed: problem.is_some(),
            problem,
            enabled,
            facts: vec![
                Fact::new("Events", "ticket.*"),
                Fact::new("Projects", "Whole site"),
                Fact::new("Order", "Events of a ticket wait for each other"),
            ],
            public_key: "whpk_c2FtcGxl".to_owned(),
            old_until: (!enabled).then(|| When::sample("in 20 hours")),
            counts: vec!["3 waiting".to_owned(), "1 failed".to_owned()],
            sinces: vec![Choice::new("24", "the last 24 hours", true)],
            deliveries,
        };
        vec![
            detail(true, None, vec![]),
            detail(false, Some(Problem::sample()), DeliveryRow::samples()),
        ]
    }
}

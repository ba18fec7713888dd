//! Issuers whose tokens count here: the list and the form of one.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Badge, Choice, FormErrors, Tone};
use crate::render::View;

/// `GET /trusted-issuers`.
#[derive(Debug, Serialize)]
pub struct TrustedIssuerList {
    /// The frame.
    pub page: Page,
    /// All of them.
    pub issuers: Vec<TrustedIssuerRow>,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct TrustedIssuerRow {
    /// `tis_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its tokens say in `iss`.
    pub issuer: String,
    /// "API", "Assertions".
    pub uses: String,
    /// How its tokens are checked.
    pub checked: String,
    /// Whether it counts.
    pub state: Badge,
    /// What is risky about it; empty if nothing is.
    pub risk: String,
}

impl View for TrustedIssuerList {
    const TEMPLATE: &'static str = "admin/trusted_issuers.html";

    fn samples() -> Vec<Self> {
        let row = |tone, word: &str, risk: &str| TrustedIssuerRow {
            id: "tis_01".to_owned(),
            name: "Company".to_owned(),
            issuer: "https://idp.example.com/realms/staff".to_owned(),
            uses: "API, assertions".to_owned(),
            checked: "Published keys".to_owned(),
            state: Badge::new(tone, word),
            risk: risk.to_owned(),
        };
        let list = |issuers| Self {
            page: Page::sample("Trusted issuers", Section::Settings),
            issuers,
        };
        vec![
            list(vec![]),
            list(vec![
                row(Tone::Ok, "Trusted", ""),
                row(Tone::Muted, "Off", "Assertions without audience and end count."),
            ]),
        ]
    }
}

/// `GET /trusted-issuers/new`, `GET /trusted-issuers/{id}`; posts to `/trusted-issuers` or `/trusted-issuers/{id}` with the
/// fields below, `secret` (empty keeps it) and `revision`. Lists have one entry a line, tables `left = right`.
/// Form without fields: `POST /trusted-issuers/{id}/delete`.
#[derive(Debug, Serialize)]
pub struct TrustedIssuerForm {
    /// The frame.
    pub page: Page,
    /// `tis_…`; empty for a new one.
    pub id: String,
    /// Where the form posts to.
    pub action: String,
    /// The revision that was seen.
    pub revision: i64,
    /// A secret that was drawn just now; shown once.
    pub drawn: String,
    /// Whether a secret is kept.
    pub has_secret: bool,
    /// Texts by field.
    pub values: TrustedIssuerValues,
    /// What its tokens are good for.
    pub uses: Vec<Choice>,
    /// How they are checked.
    pub key_sources: Vec<Choice>,
    /// Algorithms that count.
    pub algorithms: Vec<Choice>,
    /// Whom a subject is.
    pub mappings: Vec<Choice>,
    /// Scopes that a token can have.
    pub scopes: Vec<Choice>,
    /// Projects it can be narrowed to.
    pub projects: Vec<Choice>,
    /// Clients that may bring assertions.
    pub clients: Vec<Choice>,
    /// Clients that everybody can be.
    pub service_clients: Vec<Choice>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// The texts of the form.
#[derive(Debug, Clone, Default, Serialize)]
#[expect(missing_docs, reason = "each is the field of the form with its name")]
pub struct TrustedIssuerValues {
    pub name: String,
    pub issuer: String,
    pub enabled: bool,
    pub jwks: String,
    pub jwks_uri: String,
    pub introspection_endpoint: String,
    pub introspection_client_id: String,
    pub cache_seconds: String,
    pub token_prefix: String,
    pub audiences: String,
    pub subjects: String,
    pub max_life_seconds: String,
    pub subject_table: String,
    pub scope_claim: String,
    pub scope_map: String,
    pub allow_incomplete: bool,
    pub require_at_jwt: bool,
}

impl View for TrustedIssuerForm {
    const TEMPLATE: &'static str = "admin/trusted_issuer_form.html";

    fn samples() -> Vec<Self> {
        let form = |id: &str, drawn: &str, errors: FormErrors| Self {
            page: Page::sample("Trust an issuer", Section::Settings),
            id: id.to_owned(),
            action: "/trusted-issuers".to_owned(),
            revision: 1,
            drawn: drawn.to_owned(),
            has_secret: !id.is_empty(),
            values: TrustedIssuerValues {
                issuer: "https://idp.example.com".to_owned(),
                cache_seconds: "60".to_owned(),
                ..TrustedIssuerValues::default()
            },
            uses: vec![Choice::new("api", "Access tokens at the API", true)],
            key_sources: vec![Choice::new("jwks_uri", "Keys that the issuer publishes", true)],
            algorithms: vec![Choice::new("ES256", "ES256", true)],
            mappings: vec![Choice::new("table", "Each subject by name", true)],
            scopes: vec![Choice::new("tickets:read", "tickets:read", true)],
            projects: vec![Choice::new("prj_01", "Help desk", false)],
            clients: vec![],
            service_clients: vec![Choice::new("", "Nobody", true)],
            errors,
        };
        let wrong =
            FormErrors::default().with("issuer", "Enter the issuer exactly as its tokens say in iss.");
        vec![
            form("", "", FormErrors::default()),
            form("tis_01", "s3cr3t-drawn", FormErrors::default()),
            form("", "", wrong),
        ]
    }
}

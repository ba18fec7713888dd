//! Integrations: the OAuth clients registered at mail providers.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Badge, Choice, FormErrors, Problem, TestRow, Tone, When};
use crate::render::View;

/// `GET /integrations`.
#[derive(Debug, Serialize)]
pub struct IntegrationList {
    /// The frame.
    pub page: Page,
    /// All integrations, by name.
    pub integrations: Vec<IntegrationRow>,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct IntegrationRow {
    /// `int_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// "Google", "Microsoft", "Custom".
    pub provider: String,
    /// Name of the provider's icon.
    pub icon: String,
    /// "Authorization code" or "Client credentials".
    pub flow: String,
    /// "OK" or "Misconfigured".
    pub state: Badge,
    /// How many grants it has.
    pub grants: u64,
    /// The secret's age and expiry: "Set 12 days ago, expires in 6 days".
    pub secret: String,
    /// The last test.
    pub last_test: Option<When>,
}

impl IntegrationRow {
    fn sample(id: &str, name: &str, provider: &str, icon: &str, tone: Tone, word: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            provider: provider.to_owned(),
            icon: icon.to_owned(),
            flow: "Authorization code".to_owned(),
            state: Badge::new(tone, word),
            grants: 2,
            secret: "Set 174 days ago, expires in 6 days".to_owned(),
            last_test: Some(When::sample("2 minutes ago")),
        }
    }
}

impl View for IntegrationList {
    const TEMPLATE: &'static str = "admin/integrations.html";

    fn samples() -> Vec<Self> {
        let row = IntegrationRow::sample;
        let page = || Page::sample("Integrations", Section::Integrations);
        vec![
            Self {
                page: page(),
                integrations: vec![],
            },
            Self {
                page: page(),
                integrations: vec![
                    row(
                        "int_01",
                        "Google Workspace",
                        "Google",
                        "brand-google",
                        Tone::Ok,
                        "OK",
                    ),
                    row(
                        "int_02",
                        "Microsoft 365",
                        "Microsoft",
                        "brand-windows",
                        Tone::Bad,
                        "Misconfigured",
                    ),
                    row(
                        "int_03",
                        "Our own provider",
                        "Custom",
                        "adjustments",
                        Tone::Ok,
                        "OK",
                    ),
                ],
            },
        ]
    }
}

/// `GET /integrations/new?provider=google|microsoft|custom[&wizard=1]` and `GET /integrations/{id}/edit`.
///
/// Form: `POST /integrations` or `POST /integrations/{id}` with `callback_id`, `revision`, `wizard` (hidden);
/// `provider` (hidden; chosen by link before), `name`, `description`, `client_id`, `client_secret` (empty keeps
/// the stored one), `secret_expires_on` (date), `scopes` (one per line or separated by spaces),
/// `authorization_endpoint`, `token_endpoint`, `issuer`, `token_endpoint_auth_method` (`client_secret_basic`,
/// `client_secret_post`), `flow` (`authorization_code`, `client_credentials`), `extra_params` (lines of
/// `name=value`); for Microsoft `tenant` and `cloud`. The button is `action` = `save`, `save_and_connect` or
/// `discover` (fills the endpoints from `issuer` and shows the form again; nothing is saved).
#[derive(Debug, Serialize)]
pub struct IntegrationForm {
    /// The frame.
    pub page: Page,
    /// `int_…` when it exists.
    pub id: Option<String>,
    /// Where the form posts.
    pub action: String,
    /// `google`, `microsoft` or `custom`.
    pub provider: String,
    /// "Google", "Microsoft", "Custom".
    pub provider_name: String,
    /// The other providers, to change the choice of a new integration; empty when it exists.
    pub providers: Vec<Choice>,
    /// What the fields hold.
    pub values: IntegrationValues,
    /// Token endpoint authentication.
    pub auth_methods: Vec<Choice>,
    /// Flow.
    pub flows: Vec<Choice>,
    /// Microsoft's clouds.
    pub clouds: Vec<Choice>,
    /// The generated redirect URL.
    pub redirect_url: String,
    /// Says, before saving, that a changed endpoint draws a new redirect URL; with the number of grants. None for
    /// a new integration.
    pub redirect_note: Option<String>,
    /// When a secret is stored: "Set 12 days ago". None when there is none.
    pub secret_set: Option<String>,
    /// What discovery found, after `action=discover` succeeded.
    pub discovered: Option<String>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// What the fields of the integration form hold. The secret never comes back.
#[derive(Debug, Clone, Default, Serialize)]
pub struct IntegrationValues {
    /// Unique name.
    pub name: String,
    /// Description.
    pub description: String,
    /// Client id.
    pub client_id: String,
    /// `YYYY-MM-DD` or empty.
    pub secret_expires_on: String,
    /// Scopes, one per line.
    pub scopes: String,
    /// Authorization endpoint.
    pub authorization_endpoint: String,
    /// Token endpoint.
    pub token_endpoint: String,
    /// Issuer, for discovery and for checking `iss`.
    pub issuer: String,
    /// Further authorization parameters, `name=value` lines.
    pub extra_params: String,
    /// Microsoft's tenant.
    pub tenant: String,
    /// The end of the redirect URL.
    pub callback_id: String,
    /// Revision that was opened; empty for a new one.
    pub revision: String,
    /// `1` when the wizard led here.
    pub wizard: String,
}

impl View for IntegrationForm {
    const TEMPLATE: &'static str = "admin/integration_form.html";

    fn samples() -> Vec<Self> {
        let values = IntegrationValues {
            name: "Google Workspace".to_owned(),
            description: "Support mail".to_owned(),
            client_id: "1234-abc.apps.example".to_owned(),
            secret_expires_on: "2027-05-01".to_owned(),
            scopes: "https://mail.example.org/".to_owned(),
            authorization_endpoint: "https://accounts.example.org/o/oauth2/v2/auth".to_owned(),
            token_endpoint: "https://oauth2.example.org/token".to_owned(),
            issuer: "https://accounts.example.org".to_owned(),
            extra_params: "access_type=offline\nprompt=consent".to_owned(),
            tenant: "organizations".to_owned(),
            callback_id: "J8s2kQ".to_owned(),
            revision: "4".to_owned(),
            wizard: String::new(),
        };
        let form = |provider: &str, name: &str, values: IntegrationValues, errors| Self {
            page: Page::sample("New integration", Section::Integrations),
            id: None,
            action: "/integrations".to_owned(),
            provider: provider.to_owned(),
            provider_name: name.to_owned(),
            providers: vec![
                Choice::new("google", "Google", provider == "google"),
                Choice::new("microsoft", "Microsoft", provider == "microsoft"),
                Choice::new("custom", "Custom", provider == "custom"),
            ],
            values,
            auth_methods: vec![
                Choice::new("client_secret_basic", "In the Authorization header (basic)", true),
                Choice::new("client_secret_post", "In the request body (post)", false),
            ],
            flows: vec![
                Choice::new("authorization_code", "Authorization code with PKCE", true)
                    .with_hint("The mailbox's owner signs in and consents."),
                Choice::new("client_credentials", "Client credentials", false)
                    .with_hint("App-only: an administrator has consented for the whole organisation."),
            ],
            clouds: vec![Choice::new("global", "Microsoft 365 (worldwide)", true)],
            redirect_url: "https://mailgrant.example.org/oauth2/callback/J8s2kQ".to_owned(),
            redirect_note: None,
            secret_set: None,
            discovered: None,
            errors,
        };
        let mut edit = form("google", "Google", values.clone(), FormErrors::default());
        edit.page.title = "Edit Google Workspace".to_owned();
        edit.id = Some("int_01".to_owned());
        edit.action = "/integrations/int_01".to_owned();
        edit.providers.clear();
        edit.secret_set = Some("Set 174 days ago".to_owned());
        edit.redirect_note = Some(
            "Changing the authorization or the token endpoint draws a new redirect URL. You must register it at the provider; running consents end, 2 grants keep being refreshed."
                .to_owned(),
        );
        let errors = FormErrors::default()
            .with(
                "name",
                "Another integration is called that. Choose a different name.",
            )
            .with("token_endpoint", "The token endpoint must start with https://.");
        let mut custom = form("custom", "Custom", values.clone(), errors);
        custom.discovered =
            Some("Filled in from https://accounts.example.org. Check it, then save.".to_owned());
        vec![
            form(
                "google",
                "Google",
                IntegrationValues::default(),
                FormErrors::default(),
            ),
            custom,
            edit,
            form("microsoft", "Microsoft", values, FormErrors::default()),
        ]
    }
}

/// `GET /integrations/{id}`.
///
/// Forms: `POST /integrations/{id}/authorizations` (no fields: connect another account), `POST
/// /integrations/{id}/tests` (no fields). Links: `/integrations/{id}/edit`, `/integrations/{id}/delete`.
#[derive(Debug, Serialize)]
pub struct IntegrationDetail {
    /// The frame; its title is the integration's name.
    pub page: Page,
    /// `int_…`
    pub id: String,
    /// "Google", "Microsoft", "Custom".
    pub provider: String,
    /// Its description.
    pub description: String,
    /// "OK" or "Misconfigured".
    pub state: Badge,
    /// Why it is misconfigured.
    pub problem: Option<Problem>,
    /// Further settings as pairs of name and value.
    pub facts: Vec<Fact>,
    /// The redirect URL.
    pub redirect_url: String,
    /// The secret: age, expiry.
    pub secret: Secret,
    /// "Connect an account", or "Get a token" for client credentials.
    pub connect_label: String,
    /// Its grants.
    pub grants: Vec<IntegrationGrant>,
    /// Earlier tests, newest first.
    pub tests: Vec<TestRow>,
}

/// A setting and its value.
#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    /// Name.
    pub label: String,
    /// Value.
    pub value: String,
    /// Whether the value is something to be read letter by letter.
    pub mono: bool,
}

impl Fact {
    /// A setting in plain words.
    pub fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            value: value.into(),
            mono: false,
        }
    }

    /// A setting to be read letter by letter: an address, an id.
    pub fn exact(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            value: value.into(),
            mono: true,
        }
    }
}

/// What may be said about a secret.
#[derive(Debug, Clone, Serialize)]
pub struct Secret {
    /// When it was stored; None when there is none.
    pub set: Option<When>,
    /// When it expires, as the admin entered it.
    pub expires: Option<When>,
    /// "OK", "Expires soon", "Expired", "No date".
    pub state: Badge,
    /// The key it is sealed with.
    pub key_id: String,
}

/// A grant in an integration's list.
#[derive(Debug, Clone, Serialize)]
pub struct IntegrationGrant {
    /// `grt_…`
    pub id: String,
    /// The account.
    pub identity: String,
    /// Its state.
    pub state: Badge,
    /// When it was refreshed last.
    pub refreshed: Option<When>,
    /// When the access token expires.
    pub expires: Option<When>,
}

impl View for IntegrationDetail {
    const TEMPLATE: &'static str = "admin/integration.html";

    fn samples() -> Vec<Self> {
        let detail = |problem: Option<Problem>, state, grants, tests| Self {
            page: Page::sample("Google Workspace", Section::Integrations),
            id: "int_01".to_owned(),
            provider: "Google".to_owned(),
            description: "Support mail of all teams".to_owned(),
            state,
            problem,
            facts: vec![
                Fact::exact("Client ID", "1234-abc.apps.example"),
                Fact::new("Flow", "Authorization code with PKCE"),
                Fact::exact("Scopes", "https://mail.example.org/"),
                Fact::exact(
                    "Authorization endpoint",
                    "https://accounts.example.org/o/oauth2/v2/auth",
                ),
                Fact::exact("Token endpoint", "https://oauth2.example.org/token"),
                Fact::new("Client authentication", "In the request body (post)"),
                Fact::exact("Extra parameters", "access_type=offline, prompt=consent"),
            ],
            redirect_url: "https://mailgrant.example.org/oauth2/callback/J8s2kQ".to_owned(),
            secret: Secret {
                set: Some(When::sample("174 days ago")),
                expires: Some(When::sample("in 6 days")),
                state: Badge::new(Tone::Warn, "Expires soon"),
                key_id: "k1".to_owned(),
            },
            connect_label: "Connect an account".to_owned(),
            grants,
            tests,
        };
        let grants = vec![IntegrationGrant {
            id: "grt_01".to_owned(),
            identity: "help@example.org".to_owned(),
            state: Badge::new(Tone::Ok, "Active"),
            refreshed: Some(When::sample("22 minutes ago")),
            expires: Some(When::sample("in 37 minutes")),
        }];
        let mut problem = Problem::sample();
        problem.title = "The provider does not accept the client".to_owned();
        problem.code = Some("invalid_client".to_owned());
        vec![
            detail(None, Badge::new(Tone::Ok, "OK"), vec![], vec![]),
            detail(
                Some(problem),
                Badge::new(Tone::Bad, "Misconfigured"),
                grants,
                TestRow::samples(),
            ),
        ]
    }
}

/// `GET /integrations/{id}/projects`.
///
/// Form: `POST /integrations/{id}/projects` with `reach` (`all` or `some`) and `project` (several, for `some`).
#[derive(Debug, Serialize)]
pub struct IntegrationReach {
    /// The frame.
    pub page: Page,
    /// `int_…`
    pub id: String,
    /// Name of the integration.
    pub name: String,
    /// All projects, or those that are ticked.
    pub reach: Vec<Choice>,
    /// The projects.
    pub projects: Vec<Choice>,
}

impl View for IntegrationReach {
    const TEMPLATE: &'static str = "admin/integration_projects.html";

    fn samples() -> Vec<Self> {
        [
            vec![],
            vec![Choice::new("prj_01", "HELP", true).with_hint("Helpdesk")],
        ]
        .into_iter()
        .map(|projects| Self {
            page: Page::sample("Projects that may use Google", Section::Integrations),
            id: "int_01".to_owned(),
            name: "Google".to_owned(),
            reach: vec![Choice::new("some", "Only those that are ticked", true)],
            projects,
        })
        .collect()
    }
}

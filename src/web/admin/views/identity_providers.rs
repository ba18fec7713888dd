//! Identity providers: the list, the form, one provider with its tests and its mapping, the result of a test.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Badge, Choice, FormErrors, Problem, Tone, When};
use crate::render::View;

/// `GET /identity-providers`.
#[derive(Debug, Serialize)]
pub struct ProviderList {
    /// The frame.
    pub page: Page,
    /// In the order of their buttons.
    pub providers: Vec<ProviderRow>,
    /// Kinds of providers to begin with.
    pub presets: Vec<Choice>,
    /// Whether address and password work.
    pub local: bool,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct ProviderRow {
    /// `idp_…`
    pub id: String,
    /// What its button says.
    pub name: String,
    /// Its issuer.
    pub issuer: String,
    /// "Enabled", "Tested, not enabled", "Not tested".
    pub state: Badge,
    /// Whether it stands in the configuration file.
    pub is_file: bool,
}

impl View for ProviderList {
    const TEMPLATE: &'static str = "admin/identity_providers.html";

    fn samples() -> Vec<Self> {
        let list = |providers| Self {
            page: Page::sample("Identity providers", Section::Settings),
            providers,
            presets: vec![
                Choice::new("google", "Google", false),
                Choice::new("generic", "Another one", false),
            ],
            local: true,
        };
        let row = |id: &str, tone, word: &str, is_file| ProviderRow {
            id: id.to_owned(),
            name: "Company account".to_owned(),
            issuer: "https://login.example.com/realms/main".to_owned(),
            state: Badge::new(tone, word),
            is_file,
        };
        vec![
            list(vec![]),
            list(vec![
                row("idp_01", Tone::Ok, "Enabled", true),
                row("idp_02", Tone::Muted, "Not tested", false),
            ]),
        ]
    }
}

/// `GET /identity-providers/new?preset=…` and `GET /identity-providers/{id}/edit`.
///
/// Form: `POST /identity-providers` or `POST /identity-providers/{id}` with `revision` and `preset` (hidden), `name`,
/// `issuer`, `tenant`, `discovery` (`on` or `off`), the endpoints, `other_hosts`, `client_id`, `client_secret` (empty
/// keeps the stored one), `auth_method`, `scopes`, `name_claims`, `domains`, `create_accounts`, `link_by_email`,
/// `link_claim`, `trust_email`, `default_role`, `default_projects`, `groups_claim`, `group_rules` (lines of
/// `group = role in KEY`), `local_sign_in`, `recheck_minutes`, `first_subject`, `first_email`.
#[derive(Debug, Serialize)]
pub struct ProviderForm {
    /// The frame.
    pub page: Page,
    /// `idp_…` when it exists.
    pub id: Option<String>,
    /// Where the form posts.
    pub action: String,
    /// What to know about this kind of provider.
    pub hint: String,
    /// What the fields hold.
    pub values: ProviderValues,
    /// How the client proves who it is.
    pub auth_methods: Vec<Choice>,
    /// Whether endpoints come from the issuer.
    pub discovery: Vec<Choice>,
    /// What new people are.
    pub roles: Vec<Choice>,
    /// Projects that new people become members of.
    pub projects: Vec<Choice>,
    /// Whether a secret is stored.
    pub secret_set: bool,
    /// What is wrong.
    pub errors: FormErrors,
}

/// What the fields of the form hold. The secret never comes back.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProviderValues {
    /// Revision that was opened; empty for a new one.
    pub revision: String,
    /// Kind of provider.
    pub preset: String,
    /// What its button says.
    pub name: String,
    /// Issuer.
    pub issuer: String,
    /// Entra's tenant.
    pub tenant: String,
    /// Endpoint by hand.
    pub authorization_endpoint: String,
    /// Endpoint by hand.
    pub token_endpoint: String,
    /// Endpoint by hand.
    pub jwks_uri: String,
    /// Endpoint by hand.
    pub userinfo_endpoint: String,
    /// Endpoint by hand.
    pub end_session_endpoint: String,
    /// Endpoint by hand.
    pub revocation_endpoint: String,
    /// Hosts, separated by spaces.
    pub other_hosts: String,
    /// Client id.
    pub client_id: String,
    /// Scopes, separated by spaces.
    pub scopes: String,
    /// Claims, separated by spaces.
    pub name_claims: String,
    /// Domains, separated by spaces.
    pub domains: String,
    /// Makes accounts.
    pub create_accounts: bool,
    /// Links by verified address.
    pub link_by_email: bool,
    /// Links by this claim.
    pub link_claim: String,
    /// Takes unverified addresses.
    pub trust_email: bool,
    /// Claim with the groups.
    pub groups_claim: String,
    /// Lines of `group = role in KEY`.
    pub group_rules: String,
    /// Address and password stay.
    pub local_sign_in: bool,
    /// Minutes between two looks.
    pub recheck_minutes: String,
    /// Subject of the first administrator.
    pub first_subject: String,
    /// Address of the first administrator.
    pub first_email: String,
}

impl View for ProviderForm {
    const TEMPLATE: &'static str = "admin/identity_provider_form.html";

    fn samples() -> Vec<Self> {
        let values = ProviderValues {
            revision: "3".to_owned(),
            preset: "entra".to_owned(),
            name: "Company account".to_owned(),
            issuer: "https://login.example.com/{tenantid}/v2.0".to_owned(),
            tenant: "organizations".to_owned(),
            client_id: "mailgrant".to_owned(),
            scopes: "openid profile email".to_owned(),
            name_claims: "name preferred_username".to_owned(),
            create_accounts: true,
            link_by_email: true,
            groups_claim: "groups".to_owned(),
            group_rules: "mail-admins = site_admin\nhelpdesk = agent in HELP".to_owned(),
            local_sign_in: true,
            recheck_minutes: "15".to_owned(),
            ..ProviderValues::default()
        };
        let form = |id: Option<&str>, errors| Self {
            page: Page::sample("Edit Company account", Section::Settings),
            id: id.map(str::to_owned),
            action: "/identity-providers".to_owned(),
            hint: "A client with the standard flow.".to_owned(),
            values: values.clone(),
            auth_methods: vec![Choice::new(
                "client_secret_basic",
                "Secret in the header (basic)",
                true,
            )],
            discovery: vec![
                Choice::new("on", "From the issuer's discovery document", true),
                Choice::new("off", "By hand", false),
            ],
            roles: vec![Choice::new("viewer", "Viewer", true)],
            projects: vec![Choice::new("prj_01", "HELP, Help desk", true)],
            secret_set: id.is_some(),
            errors,
        };
        let wrong = FormErrors::default().with("issuer", "The document says it belongs to another issuer.");
        vec![form(None, FormErrors::default()), form(Some("idp_01"), wrong)]
    }
}

/// `GET /identity-providers/{id}[?groups=…]`.
///
/// Forms: `POST …/tests`, `POST …/enable`, `POST …/disable`; the preview is a `GET` with `groups`.
#[derive(Debug, Serialize)]
pub struct ProviderDetail {
    /// The frame.
    pub page: Page,
    /// `idp_…`
    pub id: String,
    /// "Enabled", "Not tested", …
    pub state: Badge,
    /// Whether its button is shown.
    pub enabled: bool,
    /// Whether its present connection passed a test.
    pub tested: bool,
    /// Whether it stands in the configuration file.
    pub is_file: bool,
    /// How it is reached.
    pub facts: Vec<Fact>,
    /// Who comes in.
    pub policy: Vec<Fact>,
    /// Addresses to register at the provider: label and value.
    pub register: Vec<Fact>,
    /// Tests, newest first.
    pub tests: Vec<ProviderTestRow>,
    /// Whether groups give anything.
    pub has_rules: bool,
    /// The groups that are tried, one per line.
    pub tried: String,
    /// What they would give; none if nothing was tried.
    pub gives: Option<Vec<RoleLine>>,
}

/// One test in a list.
#[derive(Debug, Clone, Serialize)]
pub struct ProviderTestRow {
    /// Its page.
    pub href: String,
    /// "Passed", "Failed", "Waiting".
    pub state: Badge,
    /// When it was begun.
    pub when: When,
    /// What came of it.
    pub summary: String,
}

/// A role that is given or taken.
#[derive(Debug, Clone, Serialize)]
pub struct RoleLine {
    /// The project, or "The whole site".
    pub place: String,
    /// "Viewer → Agent".
    pub change: String,
    /// Why.
    pub why: String,
}

impl RoleLine {
    fn sample() -> Self {
        Self {
            place: "HELP, Help desk".to_owned(),
            change: "none → Agent".to_owned(),
            why: "group helpdesk".to_owned(),
        }
    }
}

impl View for ProviderDetail {
    const TEMPLATE: &'static str = "admin/identity_provider.html";

    fn samples() -> Vec<Self> {
        let detail = |enabled: bool, tested: bool, is_file: bool, gives| Self {
            page: Page::sample("Company account", Section::Settings),
            id: "idp_01".to_owned(),
            state: Badge::new(if enabled { Tone::Ok } else { Tone::Muted }, "Not tested"),
            enabled,
            tested,
            is_file,
            facts: vec![Fact::exact("Issuer", "https://login.example.com/realms/main")],
            policy: vec![Fact::new("New people", "Get an account")],
            register: vec![Fact::exact(
                "Redirect URL",
                "https://mailgrant.example.org/sso/idp_01/callback",
            )],
            tests: if tested {
                vec![ProviderTestRow {
                    href: "/identity-providers/idp_01/tests/sst_01".to_owned(),
                    state: Badge::new(Tone::Ok, "Passed"),
                    when: When::sample("2 minutes ago"),
                    summary: "ada@example.org would get an account.".to_owned(),
                }]
            } else {
                vec![]
            },
            has_rules: true,
            tried: "helpdesk".to_owned(),
            gives,
        };
        vec![
            detail(false, false, false, None),
            detail(true, true, false, Some(vec![RoleLine::sample()])),
            detail(true, true, true, Some(vec![])),
        ]
    }
}

/// `GET /identity-providers/{id}/tests/{testId}`.
#[derive(Debug, Serialize)]
pub struct ProviderTest {
    /// The frame.
    pub page: Page,
    /// `idp_…`
    pub id: String,
    /// The provider's name.
    pub name: String,
    /// "Passed", "Failed", "Waiting".
    pub state: Badge,
    /// What would happen, in a sentence.
    pub outcome: String,
    /// Why it failed, or why nobody would come in.
    pub problem: Option<Problem>,
    /// Roles that would change.
    pub roles: Vec<RoleLine>,
    /// Claims: name and value.
    pub claims: Vec<Fact>,
    /// Whether it can be enabled now.
    pub can_enable: bool,
    /// Whether it waits for somebody to sign in.
    pub waiting: bool,
}

impl View for ProviderTest {
    const TEMPLATE: &'static str = "admin/identity_provider_test.html";

    fn samples() -> Vec<Self> {
        let test = |tone, word: &str, problem: Option<Problem>, can_enable: bool| Self {
            page: Page::sample("Test of Company account", Section::Settings),
            id: "idp_01".to_owned(),
            name: "Company account".to_owned(),
            state: Badge::new(tone, word),
            outcome: if can_enable {
                "Ada Lovelace (ada@example.org) would get an account.".to_owned()
            } else {
                String::new()
            },
            roles: if can_enable {
                vec![RoleLine::sample()]
            } else {
                vec![]
            },
            claims: if can_enable {
                vec![Fact::exact("sub", "4711"), Fact::exact("nonce", "••••••")]
            } else {
                vec![]
            },
            waiting: problem.is_none() && !can_enable,
            problem,
            can_enable,
        };
        vec![
            test(Tone::Ok, "Passed", None, true),
            test(Tone::Bad, "Failed", Some(Problem::sample()), false),
            test(Tone::Busy, "Waiting", None, false),
        ]
    }
}

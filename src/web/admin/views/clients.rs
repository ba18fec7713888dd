//! Clients: applications registered at our authorization server.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Badge, Choice, FormErrors, Pager, Tone, When};
use crate::render::View;

/// `GET /clients`.
#[derive(Debug, Serialize)]
pub struct ClientList {
    /// The frame.
    pub page: Page,
    /// Those that wait for somebody first, then by name.
    pub clients: Vec<ClientRow>,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct ClientRow {
    /// `cli_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// "Web application" or another kind.
    pub kind: String,
    /// Whether it may be used.
    pub state: Badge,
    /// What of it is laxer than it should be: nothing, or "PKCE relaxed".
    pub relaxed: Vec<String>,
    /// "HELP · Helpdesk" or "The site".
    pub owner: String,
    /// When it was given a token last.
    pub used: Option<When>,
}

impl View for ClientList {
    const TEMPLATE: &'static str = "admin/clients.html";

    fn samples() -> Vec<Self> {
        let page = || Page::sample("Clients", Section::Clients);
        let row = |state, relaxed: &[&str]| ClientRow {
            id: "cli_01".to_owned(),
            name: "Helpdesk mobile".to_owned(),
            kind: "Application on a device".to_owned(),
            state,
            relaxed: relaxed.iter().map(|text| (*text).to_owned()).collect(),
            owner: "HELP · Helpdesk".to_owned(),
            used: Some(When::sample("4 minutes ago")),
        };
        vec![
            Self {
                page: page(),
                clients: vec![],
            },
            Self {
                page: page(),
                clients: vec![
                    row(Badge::new(Tone::Warn, "Waits for approval"), &[]),
                    row(Badge::new(Tone::Ok, "Approved"), &["PKCE relaxed"]),
                ],
            },
        ]
    }
}

/// `GET /clients/new` and `GET /clients/{id}/edit`.
///
/// Form: `POST /clients` or `POST /clients/{id}` with `revision` (hidden) and the fields of [`ClientValues`]; a new
/// client has `project_id`, `client_id`, `client_secret` as well.
#[derive(Debug, Serialize)]
pub struct ClientForm {
    /// The frame.
    pub page: Page,
    /// `cli_…` when it exists.
    pub id: Option<String>,
    /// Where the form posts.
    pub action: String,
    /// The way back.
    pub back: String,
    /// What is filled in.
    pub values: ClientValues,
    /// Projects it can belong to, and the site.
    pub projects: Vec<Choice>,
    /// Web or native.
    pub kinds: Vec<Choice>,
    /// Ways to a token.
    pub grants: Vec<Choice>,
    /// Scopes.
    pub scopes: Vec<Choice>,
    /// How it authenticates.
    pub auth_methods: Vec<Choice>,
    /// What its access tokens look like.
    pub formats: Vec<Choice>,
    /// Algorithms of its ID tokens.
    pub algs: Vec<Choice>,
    /// Algorithms of its answers of userinfo, and none.
    pub userinfo_algs: Vec<Choice>,
    /// Algorithms of signed answers of introspection, where it asks for them.
    pub introspection_algs: Vec<Choice>,
    /// Algorithms of its assertions, and any.
    pub auth_algs: Vec<Choice>,
    /// Algorithms of its request objects, and any.
    pub request_algs: Vec<Choice>,
    /// What of older protocols it may do.
    pub legacy: Vec<Choice>,
    /// Whether what reaches beyond a project may be given.
    pub may_site: bool,
    /// Which folded parts hold something that is filled in or wrong.
    pub open: Open,
    /// What is wrong.
    pub errors: FormErrors,
}

/// Folded parts of the form that stand open.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Open {
    /// What people see at consent.
    pub about: bool,
    /// Id and secret of one's own.
    pub own: bool,
    /// Tokens and lifetimes.
    pub tokens: bool,
    /// Keys and signed requests.
    pub keys: bool,
    /// Signing out.
    pub sign_out: bool,
    /// What is laxer than it should be.
    pub relaxed: bool,
}

/// What the form holds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ClientValues {
    /// Grows with every change.
    pub revision: String,
    /// Name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// One on each line.
    pub redirect_uris: String,
    /// Homepage.
    pub client_uri: String,
    /// Logo.
    pub logo_uri: String,
    /// Privacy policy.
    pub policy_uri: String,
    /// Terms.
    pub tos_uri: String,
    /// One on each line.
    pub contacts: String,
    /// An id of one's own.
    pub client_id: String,
    /// "1 h"
    pub access: String,
    /// "30 d"
    pub refresh_idle: String,
    /// "180 d"
    pub refresh_absolute: String,
    /// A JWK set.
    pub jwks: String,
    /// Where its keys are.
    pub jwks_uri: String,
    /// Requests count only if they are signed.
    pub require_signed_request: bool,
    /// Requests count only if they were pushed.
    pub require_pushed_request: bool,
    /// Tokens are bound to keys.
    pub dpop_bound: bool,
    /// "12 h", or empty.
    pub default_max_age: String,
    /// One on each line.
    pub post_logout_redirect_uris: String,
    /// Loaded in a frame when somebody signs out.
    pub frontchannel_logout_uri: String,
    /// Whether it gets `iss` and `sid`.
    pub frontchannel_session: bool,
    /// Called when somebody signs out.
    pub backchannel_logout_uri: String,
    /// Whether it cannot do without `sid` there.
    pub backchannel_session: bool,
    /// Where a sign-in can be begun.
    pub initiate_login_uri: String,
    /// Whether PKCE may be left out.
    pub relax_pkce: bool,
    /// Whether nobody is asked.
    pub auto_grant: bool,
    /// Words of what it may do of older protocols.
    pub legacy: Vec<String>,
    /// Whether it may introspect tokens of others.
    pub may_introspect: bool,
}

impl View for ClientForm {
    const TEMPLATE: &'static str = "admin/client_form.html";

    fn samples() -> Vec<Self> {
        let form = |id: Option<&str>, errors: FormErrors| Self {
            page: Page::sample("New client", Section::Clients),
            id: id.map(str::to_owned),
            action: "/clients".to_owned(),
            back: "/clients".to_owned(),
            values: ClientValues {
                name: "Helpdesk".to_owned(),
                redirect_uris: "https://desk.example/callback".to_owned(),
                access: "1 h".to_owned(),
                refresh_idle: "30 d".to_owned(),
                refresh_absolute: "180 d".to_owned(),
                ..ClientValues::default()
            },
            projects: vec![Choice::new("", "The site", true)],
            kinds: vec![Choice::new("web", "On a server", true).with_hint("It keeps a secret.")],
            grants: vec![Choice::new("authorization_code", "Authorization code", true)],
            scopes: vec![Choice::new("tickets:read", "tickets:read", true).with_hint("Read tickets")],
            auth_methods: vec![Choice::new("client_secret_basic", "In the header", true)],
            formats: vec![Choice::new("opaque", "Opaque", true)],
            algs: vec![Choice::new("RS256", "RS256", true)],
            userinfo_algs: vec![Choice::new("", "Not signed", true)],
            introspection_algs: vec![Choice::new("", "RS256", true)],
            auth_algs: vec![Choice::new("", "Any", true)],
            request_algs: vec![Choice::new("", "Any", true)],
            legacy: vec![
                Choice::new("pkce_plain", "PKCE with the method plain", false).with_hint("Why not."),
            ],
            may_site: true,
            open: Open::default(),
            errors,
        };
        vec![
            form(None, FormErrors::default()),
            form(
                Some("cli_01"),
                FormErrors::default().with("redirect_uris", "Use https."),
            ),
        ]
    }
}

/// `GET /clients/{id}`.
///
/// Forms: `POST /clients/{id}/state` with `state` and, to approve, `revision`; `POST /clients/{id}/secrets` with `at_once`; `POST
/// /clients/{id}/revoke`; `POST /clients/{id}/sessions/{fam}/end`.
#[derive(Debug, Serialize)]
pub struct ClientDetail {
    /// The frame.
    pub page: Page,
    /// `cli_…`
    pub id: String,
    /// Whether it may be used.
    pub state: Badge,
    /// The word of the state.
    pub state_word: String,
    /// What is shown here, and so what is approved.
    pub revision: i64,
    /// What it is for.
    pub description: String,
    /// Its `client_id`.
    pub client_id: String,
    /// Where it looks for everything else.
    pub discovery: String,
    /// How it was registered and by whom.
    pub facts: Vec<Fact>,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// Where browsers may be sent after signing out.
    pub post_logout_redirect_uris: Vec<String>,
    /// What it may ask for.
    pub scopes: Vec<Choice>,
    /// What is laxer than it should be, in sentences.
    pub relaxed: Vec<String>,
    /// Its secrets that work.
    pub secrets: Vec<SecretRow>,
    /// Whether it has secrets at all.
    pub confidential: bool,
    /// What is given to it now.
    pub sessions: Vec<SessionRow>,
    /// More of them.
    pub pager: Pager,
}

/// One secret that works.
#[derive(Debug, Clone, Serialize)]
pub struct SecretRow {
    /// Its last characters.
    pub hint: String,
    /// When it was made.
    pub created: When,
    /// When it ends, if a newer one took over.
    pub until: Option<When>,
}

/// One session of a client.
#[derive(Debug, Clone, Serialize)]
pub struct SessionRow {
    /// `fam_…`
    pub id: String,
    /// "Ada Lovelace", or "The client itself".
    pub who: String,
    /// The address; empty for the client itself.
    pub email: String,
    /// "openid tickets:read"
    pub scopes: String,
    /// Keys of the projects it is limited to; empty for all.
    pub projects: String,
    /// "1 access token, can be refreshed"
    pub tokens: String,
    /// When a token was given last.
    pub last: Option<When>,
    /// When it ends by itself.
    pub until: When,
}

impl View for ClientDetail {
    const TEMPLATE: &'static str = "admin/client.html";

    fn samples() -> Vec<Self> {
        let detail = |state: (Tone, &str, &str), full: bool| Self {
            page: Page::sample("Helpdesk", Section::Clients),
            id: "cli_01".to_owned(),
            state: Badge::new(state.0, state.1),
            state_word: state.2.to_owned(),
            revision: 3,
            description: "Tickets in your pocket".to_owned(),
            client_id: "mg_cid_abc".to_owned(),
            discovery: "https://mailgrant.example.org/.well-known/openid-configuration".to_owned(),
            facts: vec![Fact::new("Belongs to", "HELP · Helpdesk")],
            redirect_uris: vec!["https://desk.example/callback".to_owned()],
            post_logout_redirect_uris: if full {
                vec!["https://desk.example/bye".to_owned()]
            } else {
                vec![]
            },
            scopes: vec![Choice::new("tickets:read", "Read tickets", true)],
            relaxed: if full {
                vec!["PKCE may be left out.".to_owned()]
            } else {
                vec![]
            },
            secrets: vec![SecretRow {
                hint: "4f2a".to_owned(),
                created: When::sample("2 days ago"),
                until: full.then(|| When::sample("in 22 hours")),
            }],
            confidential: true,
            sessions: if full {
                vec![SessionRow {
                    id: "fam_01".to_owned(),
                    who: "Ada Lovelace".to_owned(),
                    email: "ada@example.org".to_owned(),
                    scopes: "openid tickets:read".to_owned(),
                    projects: "HELP".to_owned(),
                    tokens: "1 access token, can be refreshed".to_owned(),
                    last: Some(When::sample("4 minutes ago")),
                    until: When::sample("in 179 days"),
                }]
            } else {
                vec![]
            },
            pager: Pager::default(),
        };
        vec![
            detail((Tone::Ok, "Approved", "approved"), true),
            detail((Tone::Warn, "Waits for approval", "pending"), false),
            detail((Tone::Muted, "Disabled", "disabled"), false),
        ]
    }
}

/// What is shown once and never again: the answer to `POST /clients` and `POST /clients/{id}/secrets`.
#[derive(Debug, Serialize)]
pub struct ClientSecret {
    /// The frame.
    pub page: Page,
    /// What happened.
    pub text: String,
    /// Its `client_id`.
    pub client_id: String,
    /// The secret; none for a public client.
    pub secret: Option<String>,
    /// Where it looks for everything else.
    pub discovery: String,
    /// The client's page.
    pub href: String,
}

impl View for ClientSecret {
    const TEMPLATE: &'static str = "admin/client_secret.html";

    fn samples() -> Vec<Self> {
        let shown = |secret: Option<&str>| Self {
            page: Page::sample("Helpdesk is registered", Section::Clients),
            text: "Give these to the application.".to_owned(),
            client_id: "mg_cid_abc".to_owned(),
            secret: secret.map(str::to_owned),
            discovery: "https://mailgrant.example.org/.well-known/openid-configuration".to_owned(),
            href: "/clients/cli_01".to_owned(),
        };
        vec![shown(Some("mg_cs_abc")), shown(None)]
    }
}

/// `GET /settings/keys`: the keys that sign tokens.
///
/// Form: `POST /settings/keys/rotate` with `discard`.
#[derive(Debug, Serialize)]
pub struct SigningKeys {
    /// The frame.
    pub page: Page,
    /// By algorithm, the newest first.
    pub keys: Vec<KeyRow>,
    /// Where clients read them.
    pub jwks: String,
    /// When the next one takes over by itself.
    pub next: Option<When>,
}

/// One key.
#[derive(Debug, Clone, Serialize)]
pub struct KeyRow {
    /// Its id.
    pub kid: String,
    /// Algorithm.
    pub alg: String,
    /// Signs, announced, or only published.
    pub state: Badge,
    /// When it was made.
    pub created: When,
    /// When it begins or began to sign.
    pub from: When,
    /// When it stops to sign.
    pub until: Option<When>,
    /// When it is published no more.
    pub published: Option<When>,
}

impl View for SigningKeys {
    const TEMPLATE: &'static str = "admin/signing_keys.html";

    fn samples() -> Vec<Self> {
        let page = || Page::sample("Signing keys", Section::Settings);
        let jwks = || "https://mailgrant.example.org/oauth2/jwks".to_owned();
        vec![
            Self {
                page: page(),
                keys: vec![],
                jwks: jwks(),
                next: None,
            },
            Self {
                page: page(),
                keys: vec![KeyRow {
                    kid: "abc".to_owned(),
                    alg: "RS256".to_owned(),
                    state: Badge::new(Tone::Ok, "Signs"),
                    created: When::sample("12 days ago"),
                    from: When::sample("11 days ago"),
                    until: None,
                    published: None,
                }],
                jwks: jwks(),
                next: Some(When::sample("in 18 days")),
            },
        ]
    }
}

/// `GET /clients/registration`: what lets applications register themselves.
///
/// Forms: `POST /clients/registration` with `name`, `project_id`, `scope` (several), `uses`, `days`, `approves`; `POST
/// /clients/registration/{id}/revoke`.
#[derive(Debug, Serialize)]
pub struct InitialTokens {
    /// The frame.
    pub page: Page,
    /// Where applications register.
    pub endpoint: String,
    /// Whether that needs no token.
    pub is_open: bool,
    /// The tokens, the newest first.
    pub tokens: Vec<InitialTokenRow>,
    /// The one that was just made, shown once.
    pub made: Option<String>,
    /// What the form holds: the name.
    pub name: String,
    /// How often.
    pub uses: String,
    /// For how many days.
    pub days: String,
    /// Whether its clients need no approval.
    pub approves: bool,
    /// The site, and projects.
    pub projects: Vec<Choice>,
    /// Scopes.
    pub scopes: Vec<Choice>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// One initial access token.
#[derive(Debug, Clone, Serialize)]
pub struct InitialTokenRow {
    /// `iat_…`
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Its last characters.
    pub hint: String,
    /// Whether it can be used.
    pub state: Badge,
    /// The same for the button.
    pub is_live: bool,
    /// Whom its clients belong to.
    pub owner: String,
    /// What they may ask for at most.
    pub scopes: String,
    /// Whether they need no approval.
    pub approves: bool,
    /// "2 used, 1 left"
    pub uses: String,
    /// When it ends.
    pub until: Option<When>,
}

impl View for InitialTokens {
    const TEMPLATE: &'static str = "admin/client_registration.html";

    fn samples() -> Vec<Self> {
        let tokens = |full: bool| Self {
            page: Page::sample("Registration by applications", Section::Clients),
            endpoint: "https://mailgrant.example.org/oauth2/register".to_owned(),
            is_open: full,
            tokens: if full {
                vec![InitialTokenRow {
                    id: "iat_01".to_owned(),
                    name: "Partner portal".to_owned(),
                    hint: "4f2a".to_owned(),
                    state: Badge::new(Tone::Ok, "Good"),
                    is_live: true,
                    owner: "HELP".to_owned(),
                    scopes: "openid tickets:read".to_owned(),
                    approves: true,
                    uses: "2 used, 1 left".to_owned(),
                    until: Some(When::sample("in 6 days")),
                }]
            } else {
                vec![]
            },
            made: full.then(|| "mg_iat_abc".to_owned()),
            name: String::new(),
            uses: "1".to_owned(),
            days: "7".to_owned(),
            approves: false,
            projects: vec![Choice::new("", "The site", true)],
            scopes: vec![Choice::new("openid", "openid", false).with_hint("Know who you are")],
            errors: FormErrors::default(),
        };
        vec![tokens(false), tokens(true)]
    }
}

//! Pages of the authorization server: consent, and the way on to the application.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Choice, FormErrors, When};
use crate::oauth2_server::LogoutFrame;
use crate::render::View;

/// `GET /oauth2/interactions/{id}`: asks a person.
///
/// Form: `POST` to the same address with `decision` (`allow`, `refuse`), `scope` (several), `reach` (`all`, `some`),
/// `project` (several), `lasts` (seconds, or empty).
#[derive(Debug, Serialize)]
pub struct ConsentPage {
    /// The frame.
    pub page: Page,
    /// Where the form posts.
    pub action: String,
    /// Who is asked: their address.
    pub user: String,
    /// Who asks.
    pub client: Asking,
    /// The device behind it, where it is one.
    pub device: Option<AskingDevice>,
    /// What is asked.
    pub scopes: Vec<Asked>,
    /// The projects one can choose from; empty where none come into it.
    pub projects: Vec<Choice>,
    /// The one project it reaches, where it is a project's application.
    pub only_project: Option<String>,
    /// For how long.
    pub lasts: Vec<Choice>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// The application that asks.
#[derive(Debug, Clone, Serialize)]
pub struct Asking {
    /// Its name.
    pub name: String,
    /// What it says it is for.
    pub description: String,
    /// Its logo, https; only shown where the policy of the page allows its host.
    pub logo: String,
    /// Its homepage.
    pub home: String,
    /// Its privacy policy.
    pub policy: String,
    /// Its terms.
    pub terms: String,
    /// The project it belongs to, or the site.
    pub owner: String,
    /// Host or scheme the answer goes to.
    pub target: String,
    /// It runs on a device and cannot prove who it is.
    pub on_device: bool,
}

/// A device that asks: what its person can compare.
#[derive(Debug, Clone, Serialize)]
pub struct AskingDevice {
    /// The code it shows.
    pub code: String,
    /// Where it was begun from.
    pub address: String,
    /// What it calls itself; may be empty.
    pub agent: String,
    /// When it was begun.
    pub begun: String,
}

/// One permission.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// The scope.
    pub value: String,
    /// What it allows.
    pub sentence: String,
    /// Without it nothing of the request makes sense.
    pub fixed: bool,
}

impl View for ConsentPage {
    const TEMPLATE: &'static str = "oauth2/consent.html";

    fn samples() -> Vec<Self> {
        let consent = |on_device, device, projects| Self {
            page: Page {
                csrf: "c5rf".to_owned(),
                ..Page::new("Allow access", Section::None)
            },
            action: "/oauth2/interactions/itx_1".to_owned(),
            user: "ada@example.org".to_owned(),
            client: Asking {
                name: "Helpdesk mobile".to_owned(),
                description: "Tickets in your pocket".to_owned(),
                logo: String::new(),
                home: "https://app.example".to_owned(),
                policy: "https://app.example/privacy".to_owned(),
                terms: String::new(),
                owner: "HELP · Helpdesk".to_owned(),
                target: "app.example".to_owned(),
                on_device,
            },
            device,
            scopes: vec![
                Asked {
                    value: "openid".to_owned(),
                    sentence: "Know who you are".to_owned(),
                    fixed: true,
                },
                Asked {
                    value: "tickets:read".to_owned(),
                    sentence: "Read tickets".to_owned(),
                    fixed: false,
                },
            ],
            projects,
            only_project: None,
            lasts: vec![Choice::new("", "Until I revoke it", true)],
            errors: FormErrors::default(),
        };
        vec![
            consent(false, None, vec![Choice::new("prj_1", "HELP · Helpdesk", false)]),
            Self {
                only_project: Some("HELP · Helpdesk".to_owned()),
                ..consent(true, None, vec![])
            },
            consent(
                true,
                Some(AskingDevice {
                    code: "BCDF-GHJK".to_owned(),
                    address: "203.0.113.9".to_owned(),
                    agent: "helpdesk-tv/2.1".to_owned(),
                    begun: "08:14:02 UTC".to_owned(),
                }),
                vec![],
            ),
        ]
    }
}

/// The way on to the application: by itself, by a link, or by a form that carries the answer.
#[derive(Debug, Serialize)]
pub struct Onward {
    /// The frame.
    pub page: Page,
    /// Where it goes; the handler has built it from a registered redirect URI.
    pub url: String,
    /// Its host or scheme.
    pub host: String,
    /// The answer where it travels in a form.
    pub fields: Vec<Field>,
}

/// A hidden field.
#[derive(Debug, Clone, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl View for Onward {
    const TEMPLATE: &'static str = "oauth2/onward.html";

    fn samples() -> Vec<Self> {
        let onward = |fields| Self {
            page: Page::new("On to the application", Section::None),
            url: "https://app.example/cb?code=x".to_owned(),
            host: "app.example".to_owned(),
            fields,
        };
        let field = Field {
            name: "code".to_owned(),
            value: "x".to_owned(),
        };
        vec![onward(vec![]), onward(vec![field])]
    }
}

/// `GET /device`: asks for the code that a device shows. Form: `POST /device` with `user_code`.
#[derive(Debug, Serialize)]
pub struct DevicePage {
    /// The frame.
    pub page: Page,
    /// Who is signed in: their address.
    pub user: String,
    /// What was typed, or came in the link.
    pub code: String,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for DevicePage {
    const TEMPLATE: &'static str = "oauth2/device.html";

    fn samples() -> Vec<Self> {
        let device = |code: &str, errors| Self {
            page: Page {
                csrf: "c5rf".to_owned(),
                ..Page::new("Connect a device", Section::None)
            },
            user: "ada@example.org".to_owned(),
            code: code.to_owned(),
            errors,
        };
        vec![
            device("", FormErrors::default()),
            device(
                "BCDF-GHJK",
                FormErrors::default().with("user_code", "No device waits with this code."),
            ),
        ]
    }
}

/// After the decision about a device.
#[derive(Debug, Serialize)]
pub struct DeviceDone {
    /// The frame.
    pub page: Page,
    /// Name of the application on the device.
    pub client: String,
    /// Whether it was allowed.
    pub allowed: bool,
}

impl View for DeviceDone {
    const TEMPLATE: &'static str = "oauth2/device_done.html";

    fn samples() -> Vec<Self> {
        let done = |allowed| Self {
            page: Page::new("The device is connected", Section::None),
            client: "Helpdesk mobile".to_owned(),
            allowed,
        };
        vec![done(true), done(false)]
    }
}

/// `GET /settings/apps`: what a person allowed. Form: `POST /settings/apps/{id}/revoke`.
#[derive(Debug, Serialize)]
pub struct ConnectedApps {
    /// The frame.
    pub page: Page,
    /// The apps, the newest consent first.
    pub apps: Vec<ConnectedApp>,
}

/// One app.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectedApp {
    /// `cli_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its homepage.
    pub home: String,
    /// What was allowed, in sentences.
    pub allowed: Vec<String>,
    /// Keys of the projects it is limited to; empty for all.
    pub projects: Vec<String>,
    /// Whether the person allowed it, or nobody was asked.
    pub was_asked: bool,
    /// When it was allowed.
    pub since: When,
    /// When it was given a token last.
    pub used: When,
    /// When it ends by itself.
    pub until: Option<When>,
}

impl View for ConnectedApps {
    const TEMPLATE: &'static str = "admin/apps.html";

    fn samples() -> Vec<Self> {
        let page = || Page::sample("Connected apps", Section::Settings);
        let app = ConnectedApp {
            id: "cli_01".to_owned(),
            name: "Helpdesk mobile".to_owned(),
            home: "https://app.example".to_owned(),
            allowed: vec!["Read tickets".to_owned()],
            projects: vec!["HELP".to_owned()],
            was_asked: true,
            since: When::sample("2 days ago"),
            used: When::sample("4 minutes ago"),
            until: Some(When::sample("in 28 days")),
        };
        let of_the_house = ConnectedApp {
            id: "cli_02".to_owned(),
            was_asked: false,
            ..app.clone()
        };
        vec![
            Self {
                page: page(),
                apps: vec![],
            },
            Self {
                page: page(),
                apps: vec![app, of_the_house],
            },
        ]
    }
}

/// `GET /oauth2/logout` when nothing proves that the request belongs to this session. Form: `POST
/// /oauth2/logout/confirm` with the hidden `fields`.
#[derive(Debug, Serialize)]
pub struct AskSignOut {
    /// The frame.
    pub page: Page,
    /// Who is signed in.
    pub user: String,
    /// The application that asks; empty if none says so.
    pub client: String,
    /// What the request carried.
    pub fields: Vec<Field>,
}

impl View for AskSignOut {
    const TEMPLATE: &'static str = "oauth2/ask_sign_out.html";

    fn samples() -> Vec<Self> {
        let ask = |client: &str| Self {
            page: Page::new("Sign out?", Section::None),
            user: "ada@example.org".to_owned(),
            client: client.to_owned(),
            fields: vec![Field {
                name: "state".to_owned(),
                value: "x".to_owned(),
            }],
        };
        vec![ask(""), ask("Helpdesk")]
    }
}

/// After signing out: tells applications in frames, and goes on.
#[derive(Debug, Serialize)]
pub struct SignedOut {
    /// The frame.
    pub page: Page,
    /// The application that asked.
    pub client: String,
    /// Where it goes on; the handler took it from the client's registration.
    pub then: Option<String>,
    /// Whether it goes on without a click.
    pub by_itself: bool,
    /// The host of the identity provider at which a session is open; empty for none.
    pub provider: String,
    /// Where that one ends, unless it goes on there anyway.
    pub provider_url: Option<String>,
    /// Applications that are told in the browser.
    pub frames: Vec<LogoutFrame>,
}

impl View for SignedOut {
    const TEMPLATE: &'static str = "oauth2/signed_out.html";

    fn samples() -> Vec<Self> {
        let out = |frames| Self {
            page: Page::new("You are signed out", Section::None),
            client: "Helpdesk".to_owned(),
            then: Some("https://desk.example/bye".to_owned()),
            by_itself: true,
            provider: String::new(),
            provider_url: None,
            frames,
        };
        let at_provider = Self {
            by_itself: false,
            provider: "login.example".to_owned(),
            provider_url: Some("https://login.example/end".to_owned()),
            ..out(vec![])
        };
        let frame = LogoutFrame {
            name: "Helpdesk".to_owned(),
            url: "https://desk.example/out".to_owned(),
        };
        vec![out(vec![]), out(vec![frame]), at_provider]
    }
}

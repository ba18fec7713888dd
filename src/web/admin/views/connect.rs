//! The wizard that connects a mailbox, and where providers send the admin back to.
//!
//! A Google mailbox takes: *Connect a mailbox* (dashboard), *Google*, two typed fields, *Save and connect*; then
//! the provider's own pages; then [`ConnectDone`], where the test runs by itself.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Action, Badge, Choice, FormErrors, Problem, TestLog, Tone};
use crate::render::View;

/// `GET /connect`: whose mailbox is it?
///
/// Links: `/connect/google`, `/connect/microsoft`, `/integrations/new?provider=custom&wizard=1`. Form per existing
/// integration: `POST /integrations/{id}/authorizations` with `wizard` = `1` (no typing at all). In the demo:
/// `POST /demo/connect`.
#[derive(Debug, Serialize)]
pub struct ConnectChoose {
    /// The frame.
    pub page: Page,
    /// Integrations that exist and work.
    pub existing: Vec<ExistingIntegration>,
}

/// An integration that a further mailbox can use.
#[derive(Debug, Clone, Serialize)]
pub struct ExistingIntegration {
    /// `int_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// "Google", "Microsoft", or the host of its token endpoint.
    pub provider: String,
    /// Name of an icon.
    pub icon: String,
}

impl View for ConnectChoose {
    const TEMPLATE: &'static str = "admin/connect.html";

    fn samples() -> Vec<Self> {
        let mut demo = Page::sample("Connect a mailbox", Section::Mailboxes);
        demo.demo = true;
        vec![
            Self {
                page: Page::sample("Connect a mailbox", Section::Mailboxes),
                existing: vec![],
            },
            Self {
                page: demo,
                existing: vec![ExistingIntegration {
                    id: "int_01".to_owned(),
                    name: "Google Workspace".to_owned(),
                    provider: "Google".to_owned(),
                    icon: "brand-google".to_owned(),
                }],
            },
        ]
    }
}

/// `GET /connect/{provider}` for google and microsoft: the client's id and secret, everything else has a default.
///
/// Form: `POST /connect/{provider}` with `callback_id` (hidden, drawn when the form opened), `client_id`,
/// `client_secret`, for Microsoft also `tenant` and `cloud`; optional `google_json` (the pasted file, used when
/// the two fields are empty). Answers with [`Leaving`], or the form with errors.
#[derive(Debug, Serialize)]
pub struct ConnectForm {
    /// The frame.
    pub page: Page,
    /// `google` or `microsoft`.
    pub provider: String,
    /// "Google" or "Microsoft".
    pub provider_name: String,
    /// Where the client is registered at the provider.
    pub console_url: String,
    /// The end of the redirect URL, sent back by the form.
    pub callback_id: String,
    /// The redirect URL to register there.
    pub redirect_url: String,
    /// Why that URL will not be accepted by the provider (not https, not loopback), or none.
    pub redirect_warning: Option<String>,
    /// What was typed. The secret never comes back.
    pub client_id: String,
    /// Microsoft: tenant id, domain, `organizations` or `common`.
    pub tenant: String,
    /// Microsoft: global, US government, China.
    pub clouds: Vec<Choice>,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for ConnectForm {
    const TEMPLATE: &'static str = "admin/connect_form.html";

    fn samples() -> Vec<Self> {
        let form = |provider: &str, name: &str, errors| Self {
            page: Page::sample(&format!("Connect a {name} mailbox"), Section::Mailboxes),
            provider: provider.to_owned(),
            provider_name: name.to_owned(),
            console_url: "https://console.example/apis/credentials".to_owned(),
            callback_id: "J8s2kQ".to_owned(),
            redirect_url: "https://mailgrant.example.org/oauth2/callback/J8s2kQ".to_owned(),
            redirect_warning: None,
            client_id: String::new(),
            tenant: "organizations".to_owned(),
            clouds: vec![
                Choice::new("global", "Microsoft 365 (worldwide)", true),
                Choice::new("us_government", "US Government", false),
                Choice::new("china", "China, operated by 21Vianet", false),
            ],
            errors,
        };
        let errors = FormErrors::default()
            .with(
                "client_id",
                "Enter the client ID that Microsoft shows as “Application (client) ID”.",
            )
            .with("client_secret", "Enter the secret's value, not its ID.");
        let mut second = form("microsoft", "Microsoft", errors);
        second.redirect_warning = Some(
            "Microsoft accepts http only for localhost. Set MAILGRANT_BASE_URL to an https address."
                .to_owned(),
        );
        vec![form("google", "Google", FormErrors::default()), second]
    }
}

/// `GET /connect/done/{mailbox id}`: what the wizard made, and its test, which runs by itself.
#[derive(Debug, Serialize)]
pub struct ConnectDone {
    /// The frame.
    pub page: Page,
    /// The account that consented.
    pub address: String,
    /// `mbx_…`
    pub mailbox_id: String,
    /// What was made, with links to change it.
    pub made: Vec<Made>,
    /// The first test.
    pub test: TestLog,
}

/// Something the wizard made with defaults.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// "Integration", "Grant", "Mailbox", "Project".
    pub what: String,
    /// Its name.
    pub name: String,
    /// The default in one sentence.
    pub text: String,
    /// Its page.
    pub href: String,
    /// Name of an icon.
    pub icon: String,
}

impl View for ConnectDone {
    const TEMPLATE: &'static str = "admin/connect_done.html";

    fn samples() -> Vec<Self> {
        let made = |what: &str, name: &str, text: &str, href: &str, icon: &str| Made {
            what: what.to_owned(),
            name: name.to_owned(),
            text: text.to_owned(),
            href: href.to_owned(),
            icon: icon.to_owned(),
        };
        let done = |test| Self {
            page: Page::sample("Mailbox connected", Section::Mailboxes),
            address: "help@example.org".to_owned(),
            mailbox_id: "mbx_01".to_owned(),
            made: vec![
                made(
                    "Mailbox",
                    "help@example.org",
                    "Reads INBOX from now on and changes nothing on the server.",
                    "/mailboxes/mbx_01",
                    "mailbox",
                ),
                made(
                    "Project",
                    "HELP",
                    "Every new mail opens a ticket HELP-1, HELP-2, …",
                    "/projects/prj_01",
                    "folders",
                ),
                made(
                    "Grant",
                    "help@example.org",
                    "Refreshed before it expires, by itself.",
                    "/grants/grt_01",
                    "key",
                ),
                made(
                    "Integration",
                    "Google",
                    "Can connect more mailboxes.",
                    "/integrations/int_01",
                    "plug-connected",
                ),
            ],
            test,
        };
        vec![
            done(TestLog::sample_running()),
            done(TestLog::sample_ok()),
            done(TestLog::sample_failed()),
        ]
    }
}

/// `GET /oauth2/callback/{callbackId}`, when it does not simply lead on: consent refused, state unknown or used,
/// no refresh token, another account, or a flow that was started by REST and is finished.
#[derive(Debug, Serialize)]
pub struct CallbackResult {
    /// The frame; its title says what happened.
    pub page: Page,
    /// How it ended.
    pub state: Badge,
    /// What went wrong. None when it went well.
    pub problem: Option<Problem>,
    /// What the admin reads when it went well.
    pub text: String,
    /// What the provider said, shortened by the handler; shown as a quotation, never as our own words.
    pub provider_said: Option<String>,
    /// Where to go from here; the first is the main one.
    pub actions: Vec<Action>,
}

impl View for CallbackResult {
    const TEMPLATE: &'static str = "admin/callback_result.html";

    fn samples() -> Vec<Self> {
        let problem = Problem {
            tone: Tone::Bad,
            title: "The consent was refused".to_owned(),
            cause: "Google says that the consent page was cancelled, or that this account is not a test user of the app."
                .to_owned(),
            code: Some("access_denied".to_owned()),
            remedy: "Try again and press Allow. For an app in testing, add the account as a test user at Google first."
                .to_owned(),
            since: None,
            action: None,
        };
        vec![
            Self {
                page: Page::sample("The mailbox was not connected", Section::None),
                state: Badge::new(Tone::Bad, "Refused"),
                problem: Some(problem),
                text: String::new(),
                provider_said: Some("The user denied the request".to_owned()),
                actions: vec![
                    Action::post("Try again", "/integrations/int_01/authorizations"),
                    Action::link("Open the integration", "/integrations/int_01"),
                ],
            },
            Self {
                page: Page::new("Consent received", Section::None),
                state: Badge::new(Tone::Ok, "Done"),
                problem: None,
                text: "help@example.org is connected. You can close this page.".to_owned(),
                provider_said: None,
                actions: vec![],
            },
        ]
    }
}

/// The page between a form and the provider: a browser applies `form-action` to every redirect that follows a
/// form, so a form cannot lead to a provider under a strict policy. This page can: it goes on by itself, at once
/// and without a script, and shows a link beside. Answer to every `POST` that starts an authorization.
#[derive(Debug, Serialize)]
pub struct Leaving {
    /// The frame.
    pub page: Page,
    /// Host of the authorization endpoint, so that people see where they go.
    pub host: String,
    /// The authorization URL: https, or http on loopback; the handler has built it.
    pub url: String,
}

impl View for Leaving {
    const TEMPLATE: &'static str = "admin/leaving.html";

    fn samples() -> Vec<Self> {
        vec![Self {
            page: Page::new("On to the provider", Section::None),
            host: "accounts.example.org".to_owned(),
            url: "https://accounts.example.org/o/oauth2/v2/auth?client_id=1234&state=abc".to_owned(),
        }]
    }
}

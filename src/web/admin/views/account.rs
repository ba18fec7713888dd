//! Pages before anyone is signed in: first set-up and sign-in.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Action, Drawing, FormErrors, Problem, Tone};
use crate::render::View;

/// `GET /setup?token=…`: creates the first user. The link works once and for 30 minutes. The token stands in the
/// query, which is never logged.
///
/// Form: `POST /setup?token=…` with `email`, `name`, `password`. The password never comes back to the page.
#[derive(Debug, Serialize)]
pub struct Setup {
    /// The frame, without user.
    pub page: Page,
    /// Where the form posts: the page's own path and query.
    pub action: String,
    /// What was typed.
    pub email: String,
    /// What was typed.
    pub name: String,
    /// What is wrong.
    pub errors: FormErrors,
    /// The configured base URL.
    pub base_url: String,
    /// The URL under which the browser sees Mailgrant, from the request.
    pub seen_url: String,
    /// Whether both agree. If not, redirect URLs given to providers would lead nowhere.
    pub base_url_matches: bool,
    /// Shortest password that is accepted, in characters.
    pub password_min: u32,
    /// Until when the link works.
    pub expires: String,
}

impl View for Setup {
    const TEMPLATE: &'static str = "admin/setup.html";

    fn samples() -> Vec<Self> {
        let setup = |errors: FormErrors, base_url_matches| Self {
            page: Page {
                csrf: "c5rf".to_owned(),
                ..Page::new("Set up Mailgrant", Section::None)
            },
            action: "/setup?token=0nce".to_owned(),
            email: "ada@example.org".to_owned(),
            name: String::new(),
            errors,
            base_url: "https://mailgrant.example.org".to_owned(),
            seen_url: "http://127.0.0.1:8080".to_owned(),
            base_url_matches,
            password_min: 15,
            expires: "01:59 UTC".to_owned(),
        };
        let errors = FormErrors::default().with("name", "Enter a name.").with(
            "password",
            "Enter at least 12 characters. Three or four words make a good password.",
        );
        vec![setup(FormErrors::default(), true), setup(errors, false)]
    }
}

/// `GET /sign-in`.
///
/// Form: `POST /sign-in` with `email`, `password`, `next` (hidden, a local path). After a failure the page comes
/// back with one text that does not say which of the two was wrong.
#[derive(Debug, Serialize)]
pub struct SignIn {
    /// The frame, without user.
    pub page: Page,
    /// What was typed.
    pub email: String,
    /// Where to go afterwards: a local path that the handler has checked.
    pub next: String,
    /// A button for each identity provider.
    pub providers: Vec<Action>,
    /// Whether address and password work here.
    pub local: bool,
    /// Why this browser's session ended, if its identity provider wanted it so.
    pub ended: Option<Problem>,
    /// What is wrong; field `""` for a refused sign-in.
    pub errors: FormErrors,
}

impl View for SignIn {
    const TEMPLATE: &'static str = "admin/sign_in.html";

    fn samples() -> Vec<Self> {
        let sign_in = |providers: &[&str], local, errors| Self {
            page: Page {
                csrf: "c5rf".to_owned(),
                ..Page::new("Sign in", Section::None)
            },
            email: "ada@example.org".to_owned(),
            next: "/tickets".to_owned(),
            providers: providers
                .iter()
                .map(|name| Action::link(*name, "/sso/idp_01/start?next=%2Ftickets"))
                .collect(),
            local,
            ended: None,
            errors,
        };
        let ended = Self {
            ended: Some(Problem {
                tone: Tone::Warn,
                title: "You were signed out".to_owned(),
                cause: "Company account does not say any more that you may work here.".to_owned(),
                code: Some("refused_by_provider".to_owned()),
                remedy: "Sign in again. If Company account does not let you in, ask its administrator about your account \
                         there."
                    .to_owned(),
                since: None,
                action: None,
            }),
            ..sign_in(&["Company account"], true, FormErrors::default())
        };
        let refused = FormErrors::default().with("", "This e-mail address and password do not match.");
        vec![
            sign_in(&[], true, FormErrors::default()),
            sign_in(&["Company account", "Keycloak"], true, refused),
            sign_in(&["Company account"], false, FormErrors::default()),
            ended,
        ]
    }
}

/// `GET /confirm-email?token=…`: another address for an account; and the page afterwards.
///
/// Form: `POST` to the same address.
#[derive(Debug, Serialize)]
pub struct ConfirmEmail {
    /// The frame, without user.
    pub page: Page,
    /// Where the form posts.
    pub action: String,
    /// The address so far.
    pub before: String,
    /// The new one.
    pub email: String,
    /// Whether it counts by now.
    pub is_done: bool,
}

impl View for ConfirmEmail {
    const TEMPLATE: &'static str = "admin/confirm_email.html";

    fn samples() -> Vec<Self> {
        let page = |title: &str, is_done| Self {
            page: Page::new(title, Section::None),
            action: "/confirm-email?token=t0ken".to_owned(),
            before: "ada@example.org".to_owned(),
            email: "countess@example.org".to_owned(),
            is_done,
        };
        vec![
            page("Confirm your address", false),
            page("Your address is changed", true),
        ]
    }
}

/// `GET /sign-in/code`: the second factor, after the password was right.
///
/// Form: `POST /sign-in/code` with `code`, of the app or one of the recovery codes.
#[derive(Debug, Serialize)]
pub struct CodeStep {
    /// The frame, without user.
    pub page: Page,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for CodeStep {
    const TEMPLATE: &'static str = "admin/code_step.html";

    fn samples() -> Vec<Self> {
        let step = |errors| Self {
            page: Page::new("One more step", Section::None),
            errors,
        };
        let errors = FormErrors::default().with("code", "The code is wrong, or was used already.");
        vec![step(FormErrors::default()), step(errors)]
    }
}

/// `GET /sign-in/code` for somebody who has to set up an app first, and `GET /profile/second-factor`.
///
/// Form: `POST` to `action` with `offer` (hidden; empty while signing in) and `code`.
#[derive(Debug, Serialize)]
pub struct EnrolStep {
    /// The frame; without user while signing in.
    pub page: Page,
    /// The QR code.
    pub qr: Drawing,
    /// The secret in groups of four letters.
    pub secret: String,
    /// The secret, sealed.
    pub offer: String,
    /// Where the form posts.
    pub action: String,
    /// The way back.
    pub cancel: String,
    /// Whether this site wants it.
    pub is_required: bool,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for EnrolStep {
    const TEMPLATE: &'static str = "admin/enrol_step.html";

    fn samples() -> Vec<Self> {
        let step = |page, is_required, errors| Self {
            page,
            qr: Drawing {
                path: "M4,4h7v1h-7z".to_owned(),
                size: 15,
            },
            secret: "GEZD GNBV GY3T QOJQ".to_owned(),
            offer: "mg1.sealed".to_owned(),
            action: "/profile/second-factor".to_owned(),
            cancel: "/profile".to_owned(),
            is_required,
            errors,
        };
        let errors = FormErrors::default().with("code", "The code is wrong, or was used already.");
        vec![
            step(
                Page::new("Set up a second factor", Section::None),
                true,
                FormErrors::default(),
            ),
            step(
                Page::sample("Set up a second factor", Section::Profile),
                false,
                errors,
            ),
        ]
    }
}

/// Recovery codes, shown once.
#[derive(Debug, Serialize)]
pub struct RecoveryCodes {
    /// The frame.
    pub page: Page,
    /// The codes.
    pub codes: Vec<String>,
    /// Where it goes on.
    pub next: String,
}

impl View for RecoveryCodes {
    const TEMPLATE: &'static str = "admin/recovery_codes.html";

    fn samples() -> Vec<Self> {
        vec![Self {
            page: Page::sample("Your recovery codes", Section::Profile),
            codes: vec!["abcd-efgh-2345-6767".to_owned(); 10],
            next: "/profile".to_owned(),
        }]
    }
}

/// `GET /new-password?token=…`: an invitation, a forgotten password, or the way in that was made on the machine.
///
/// Form: `POST /new-password?token=…` with `name` (an invitation only) and `password`.
#[derive(Debug, Serialize)]
pub struct NewPassword {
    /// The frame, without user.
    pub page: Page,
    /// Where the form posts.
    pub action: String,
    /// Whose it is.
    pub email: String,
    /// The name so far.
    pub name: String,
    /// Whether a new person comes in.
    pub is_invitation: bool,
    /// Whether it was made on the machine, for an administrator.
    pub is_recovery: bool,
    /// Shortest password that is accepted, in characters.
    pub password_min: u32,
    /// Until when the link works.
    pub expires: String,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for NewPassword {
    const TEMPLATE: &'static str = "admin/new_password.html";

    fn samples() -> Vec<Self> {
        let new = |is_invitation, is_recovery, errors| Self {
            page: Page::new("Choose a new password", Section::None),
            action: "/new-password?token=0nce".to_owned(),
            email: "ada@example.org".to_owned(),
            name: "Ada Lovelace".to_owned(),
            is_invitation,
            is_recovery,
            password_min: 15,
            expires: "2026-11-24 01:29 UTC".to_owned(),
            errors,
        };
        let errors = FormErrors::default().with("password", "The password is too short.");
        vec![
            new(true, false, FormErrors::default()),
            new(false, false, errors),
            new(false, true, FormErrors::default()),
        ]
    }
}

/// `GET /forgot-password`.
///
/// Form: `POST /forgot-password` with `email`; the answer is the same whether there is an account or not.
#[derive(Debug, Serialize)]
pub struct ForgotPassword {
    /// The frame, without user.
    pub page: Page,
    /// Whether mail can be sent.
    pub can_mail: bool,
    /// Whether it was asked for just now.
    pub is_sent: bool,
    /// Always empty: the answer says nothing about the address.
    pub errors: FormErrors,
}

impl View for ForgotPassword {
    const TEMPLATE: &'static str = "admin/forgot_password.html";

    fn samples() -> Vec<Self> {
        let page = || Page::new("Forgot your password?", Section::None);
        [(false, false), (true, false), (true, true)]
            .into_iter()
            .map(|(can_mail, is_sent)| Self {
                page: page(),
                can_mail,
                is_sent,
                errors: FormErrors::default(),
            })
            .collect()
    }
}

//! Pages before anyone is signed in: first set-up and sign-in.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::FormErrors;
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
            password_min: 12,
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
    /// What is wrong; field `""` for a refused sign-in.
    pub errors: FormErrors,
}

impl View for SignIn {
    const TEMPLATE: &'static str = "admin/sign_in.html";

    fn samples() -> Vec<Self> {
        let sign_in = |errors| Self {
            page: Page {
                csrf: "c5rf".to_owned(),
                ..Page::new("Sign in", Section::None)
            },
            email: "ada@example.org".to_owned(),
            next: "/tickets".to_owned(),
            errors,
        };
        let refused = FormErrors::default().with("", "This e-mail address and password do not match.");
        vec![sign_in(FormErrors::default()), sign_in(refused)]
    }
}

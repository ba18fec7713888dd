//! Error pages.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::Action;
use crate::render::View;

/// Any request that cannot be answered: not found, not allowed, expired link, own fault.
#[derive(Debug, Serialize)]
pub struct ErrorPage {
    /// The frame; its title is the heading, for example "This page does not exist".
    pub page: Page,
    /// HTTP status.
    pub status: u16,
    /// What happened, one or two sentences.
    pub text: String,
    /// What to do.
    pub remedy: String,
    /// Number of the request, to be found in the log; only for our own faults.
    pub request_id: Option<String>,
    /// The main way out; without it the page offers the dashboard.
    pub action: Option<Action>,
}

impl ErrorPage {
    fn sample(status: u16, title: &str, text: &str, remedy: &str) -> Self {
        Self {
            page: Page::sample(title, Section::None),
            status,
            text: text.to_owned(),
            remedy: remedy.to_owned(),
            request_id: None,
            action: None,
        }
    }
}

impl View for ErrorPage {
    const TEMPLATE: &'static str = "admin/error.html";

    fn samples() -> Vec<Self> {
        let mut expired = Self::sample(
            410,
            "This link has expired",
            "A set-up link works once and for 30 minutes.",
            "Start Mailgrant again, or run `mailgrant user create`, to get in.",
        );
        expired.page.user = None;
        expired.action = Some(Action::link("Sign in", "/sign-in"));
        let mut own = Self::sample(
            500,
            "Something went wrong here",
            "Mailgrant made a mistake. Nothing was changed.",
            "Try again. If it happens again, look for this number in the log.",
        );
        own.request_id = Some("req_01JDXYZ".to_owned());
        vec![
            Self::sample(
                404,
                "This page does not exist",
                "The address may be old or mistyped.",
                "Go back, or start at the dashboard.",
            ),
            Self::sample(
                403,
                "This form was too old",
                "It was opened before you signed in, or in another session.",
                "Open the page again and repeat what you did. Nothing was changed.",
            ),
            own,
            expired,
        ]
    }
}

/// `GET /oauth2/callback/{callbackId}` with an address that was replaced: names the exact string to register.
#[derive(Debug, Serialize)]
pub struct RedirectChanged {
    /// The frame.
    pub page: Page,
    /// The integration's name.
    pub integration: String,
    /// The address the provider used.
    pub old_url: String,
    /// The address to register instead.
    pub new_url: String,
    /// The integration's page, if the visitor may see it.
    pub action: Option<Action>,
}

impl View for RedirectChanged {
    const TEMPLATE: &'static str = "admin/redirect_changed.html";

    fn samples() -> Vec<Self> {
        let changed = |action| Self {
            page: Page::new("The redirect URL has changed", Section::None),
            integration: "Google Workspace".to_owned(),
            old_url: "https://mailgrant.example.org/oauth2/callback/0ldOne".to_owned(),
            new_url: "https://mailgrant.example.org/oauth2/callback/J8s2kQ".to_owned(),
            action,
        };
        vec![
            changed(None),
            changed(Some(Action::link("Open the integration", "/integrations/int_01"))),
        ]
    }
}

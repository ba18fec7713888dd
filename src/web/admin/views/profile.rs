//! My profile: what belongs to the person who is signed in.

use serde::Serialize;

use super::page::{Page, Section, Theme};
use super::parts::{Choice, FormErrors, When};
use super::settings::Settings;
use crate::render::View;

/// `GET /profile`.
///
/// Forms: `POST /profile` with `name`; `POST /theme` with `theme` and `back`; `POST /profile/password` with
/// `old_password` (only where there is one), `password`, `revoke_tokens` (a checkbox); `POST
/// /profile/sessions/{id}/end`; `POST /profile/sessions/end-others`.
#[derive(Debug, Serialize)]
pub struct Profile {
    /// The frame.
    pub page: Page,
    /// What was typed, or the name.
    pub name: String,
    /// The address they sign in with.
    pub email: String,
    /// Looks.
    pub themes: Vec<Choice>,
    /// When the password was set; none if there is none.
    pub password_set: Option<When>,
    /// Shortest password that is accepted, in characters.
    pub password_min: u32,
    /// Where they are signed in.
    pub sessions: Vec<SessionRow>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// A browser that is signed in.
#[derive(Debug, Clone, Serialize)]
pub struct SessionRow {
    /// Names it; opens nothing.
    pub id: String,
    /// Whether it is the one that looks at the page.
    pub is_this: bool,
    /// "Firefox on Linux".
    pub browser: String,
    /// What the browser calls itself.
    pub browser_says: String,
    /// From where it signed in.
    pub address: String,
    /// "Password and code".
    pub how: String,
    /// When it signed in.
    pub since: When,
    /// When it was used last.
    pub used: When,
}

impl SessionRow {
    /// An example.
    #[must_use]
    pub fn sample(is_this: bool) -> Self {
        Self {
            id: "5e55".to_owned(),
            is_this,
            browser: "Firefox on Linux".to_owned(),
            browser_says: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
            address: "192.0.2.7".to_owned(),
            how: "Password and code".to_owned(),
            since: When::sample("2 hours ago"),
            used: When::sample("just now"),
        }
    }
}

impl View for Profile {
    const TEMPLATE: &'static str = "admin/profile.html";

    fn samples() -> Vec<Self> {
        let profile = |password_set, sessions, errors| Self {
            page: Page::sample("My profile", Section::Profile),
            name: "Ada Lovelace".to_owned(),
            email: "ada@example.org".to_owned(),
            themes: Settings::themes(Theme::Auto),
            password_set,
            password_min: 8,
            sessions,
            errors,
        };
        let errors = FormErrors::default()
            .with("old_password", "The present password is wrong.")
            .with("name", "The name must have 1 to 100 characters.");
        vec![
            profile(None, vec![SessionRow::sample(true)], FormErrors::default()),
            profile(
                Some(When::sample("12 days ago")),
                vec![SessionRow::sample(true), SessionRow::sample(false)],
                errors,
            ),
        ]
    }
}

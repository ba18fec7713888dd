//! My profile: what belongs to the person who is signed in.

use serde::Serialize;

use super::page::{Page, Section, Theme};
use super::parts::{Badge, Choice, FormErrors, Tone, When};
use super::people::TokenRow;
use super::settings::Settings;
use crate::render::View;

/// `GET /profile`.
///
/// Forms: `POST /profile` with `name`, `phone`, `address`; `POST /profile/email` with `email` and `email_password`; `POST
/// /theme` with `theme` and `back`; `POST /profile/password` with
/// `old_password` (only where there is one), `password`, `revoke_tokens` (a checkbox); `POST
/// /profile/sessions/{id}/end`; `POST /profile/sessions/end-others`; `POST /profile/second-factor/codes`; `POST
/// /profile/tokens/{id}/revoke`. Links: `/profile/second-factor`, `/profile/second-factor/remove`,
/// `/profile/tokens/new`.
#[derive(Debug, Serialize)]
pub struct Profile {
    /// The frame.
    pub page: Page,
    /// What was typed, or the name.
    pub name: String,
    /// The address they sign in with.
    pub email: String,
    /// What was typed, or the telephone number.
    pub phone: String,
    /// What was typed, or the postal address.
    pub address: String,
    /// Whether they can ask for another one: they have a password here, and mails can be sent.
    pub can_change_email: bool,
    /// Looks.
    pub themes: Vec<Choice>,
    /// Whether they get notifications by mail.
    pub wants_mail: bool,
    /// Whether alerts are for them, too.
    pub is_site_admin: bool,
    /// When the password was set; none if there is none.
    pub password_set: Option<When>,
    /// Shortest password that is accepted, in characters.
    pub password_min: u32,
    /// The second factor, if there is one.
    pub second_factor: Option<FactorFacts>,
    /// "On" or "Off".
    pub factor_badge: Badge,
    /// Whether this site wants one of them.
    pub is_factor_required: bool,
    /// Their access tokens that work.
    pub tokens: Vec<TokenRow>,
    /// Where they are signed in.
    pub sessions: Vec<SessionRow>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// A second factor that is on.
#[derive(Debug, Clone, Serialize)]
pub struct FactorFacts {
    /// Since when.
    pub since: When,
    /// Recovery codes that were not used.
    pub codes_left: u64,
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
        let profile = |password_set: Option<When>, has_all: bool, sessions, errors| Self {
            page: Page::sample("My profile", Section::Profile),
            name: "Ada Lovelace".to_owned(),
            email: "ada@example.org".to_owned(),
            phone: if has_all {
                "+49 30 1234567".to_owned()
            } else {
                String::new()
            },
            address: if has_all {
                "Example Street 1\n10115 Berlin".to_owned()
            } else {
                String::new()
            },
            can_change_email: true,
            themes: Settings::themes(Theme::Auto),
            wants_mail: has_all,
            is_site_admin: has_all,
            password_set,
            password_min: 15,
            second_factor: has_all.then(|| FactorFacts {
                since: When::sample("12 days ago"),
                codes_left: 2,
            }),
            factor_badge: Badge::new(Tone::Muted, "Off"),
            is_factor_required: has_all,
            tokens: if has_all { vec![TokenRow::sample()] } else { vec![] },
            sessions,
            errors,
        };
        let errors = FormErrors::default()
            .with("old_password", "The present password is wrong.")
            .with("name", "The name must have 1 to 100 characters.");
        vec![
            profile(None, false, vec![SessionRow::sample(true)], FormErrors::default()),
            profile(
                Some(When::sample("12 days ago")),
                true,
                vec![SessionRow::sample(true), SessionRow::sample(false)],
                errors,
            ),
        ]
    }
}

//! Grants: what mailbox owners gave us.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Action, Badge, Problem, Timeline, Tone, When};
use crate::render::View;

/// `GET /grants`.
#[derive(Debug, Serialize)]
pub struct GrantList {
    /// The frame.
    pub page: Page,
    /// All grants; those that need someone first.
    pub grants: Vec<GrantRow>,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct GrantRow {
    /// `grt_…`
    pub id: String,
    /// The account.
    pub identity: String,
    /// The integration's name.
    pub integration: String,
    /// Its state.
    pub state: Badge,
    /// When it was refreshed last.
    pub refreshed: Option<When>,
    /// When the access token expires.
    pub expires: Option<When>,
    /// Names of the mailboxes that use it.
    pub used_by: String,
}

impl View for GrantList {
    const TEMPLATE: &'static str = "admin/grants.html";

    fn samples() -> Vec<Self> {
        let row = |id: &str, identity: &str, tone, word: &str| GrantRow {
            id: id.to_owned(),
            identity: identity.to_owned(),
            integration: "Google Workspace".to_owned(),
            state: Badge::new(tone, word),
            refreshed: Some(When::sample("22 minutes ago")),
            expires: Some(When::sample("in 37 minutes")),
            used_by: "Support".to_owned(),
        };
        let page = || Page::sample("Grants", Section::Grants);
        vec![
            Self {
                page: page(),
                grants: vec![],
            },
            Self {
                page: page(),
                grants: vec![
                    row("grt_01", "help@example.org", Tone::Bad, "Needs reauthorization"),
                    row("grt_02", "sales@example.com", Tone::Ok, "Active"),
                ],
            },
        ]
    }
}

/// `GET /grants/{id}`.
///
/// Forms, all without fields: `POST /grants/{id}/refresh`, `POST /grants/{id}/reconnect` (leads to the provider).
/// Link: `/grants/{id}/revoke` (a [`super::parts::Confirm`] page).
#[derive(Debug, Serialize)]
pub struct GrantDetail {
    /// The frame; its title is the account.
    pub page: Page,
    /// `grt_…`
    pub id: String,
    /// Its state.
    pub state: Badge,
    /// Why it needs someone.
    pub problem: Option<Problem>,
    /// Issued, refreshed, next refresh, expiry.
    pub timeline: Timeline,
    /// Integration, who started it, which identity consented, scopes.
    pub facts: Vec<Fact>,
    /// The integration's page.
    pub integration_href: String,
    /// Scopes that were asked for but not given.
    pub missing_scopes: Vec<String>,
    /// Mailboxes that use it, as links.
    pub mailboxes: Vec<Action>,
    /// What happened, newest first.
    pub history: Vec<GrantEvent>,
    /// Whether it can be refreshed (it has a refresh token or uses client credentials).
    pub can_refresh: bool,
    /// Whether it can be connected again (not for client credentials).
    pub can_reconnect: bool,
}

/// One line of a grant's history.
#[derive(Debug, Clone, Serialize)]
pub struct GrantEvent {
    /// How it went.
    pub tone: Tone,
    /// "Refreshed", "Refresh refused", "Connected".
    pub title: String,
    /// Details.
    pub text: String,
    /// When.
    pub when: When,
}

impl View for GrantDetail {
    const TEMPLATE: &'static str = "admin/grant.html";

    fn samples() -> Vec<Self> {
        let event = |tone, title: &str, text: &str, when: &str| GrantEvent {
            tone,
            title: title.to_owned(),
            text: text.to_owned(),
            when: When::sample(when),
        };
        let detail = |state, problem, history| Self {
            page: Page::sample("help@example.org", Section::Grants),
            id: "grt_01".to_owned(),
            state,
            problem,
            timeline: Timeline::sample(),
            facts: vec![
                Fact::new("Integration", "Google Workspace"),
                Fact::exact("Account that consented", "help@example.org"),
                Fact::new("Started by", "Ada Lovelace"),
                Fact::exact("Scopes granted", "https://mail.example.org/"),
                Fact::new("Refresh token", "Stored, last replaced 12 days ago"),
            ],
            integration_href: "/integrations/int_01".to_owned(),
            missing_scopes: vec![],
            mailboxes: vec![Action::link("Support", "/mailboxes/mbx_01")],
            history,
            can_refresh: true,
            can_reconnect: true,
        };
        let history = vec![
            event(
                Tone::Bad,
                "Refresh refused",
                "invalid_grant: Token has been expired or revoked.",
                "12 minutes ago",
            ),
            event(
                Tone::Ok,
                "Refreshed",
                "Good for 60 minutes; the refresh token was replaced.",
                "22 minutes ago",
            ),
            event(
                Tone::Info,
                "Connected",
                "help@example.org consented to 1 scope.",
                "12 days ago",
            ),
        ];
        let mut empty = detail(Badge::new(Tone::Ok, "Active"), None, vec![]);
        empty.mailboxes.clear();
        empty.missing_scopes = vec!["https://graph.example/Mail.Read".to_owned()];
        empty.can_reconnect = false;
        vec![
            detail(
                Badge::new(Tone::Bad, "Needs reauthorization"),
                Some(Problem::sample()),
                history,
            ),
            empty,
        ]
    }
}

/// `GET /grants/{id}/identity`: a reconnect came back with another account than the pinned one. Nothing was
/// changed yet.
///
/// Form: `POST /grants/{id}/identity` with `authorization` (hidden) and `decision` = `refuse` or `accept`.
#[derive(Debug, Serialize)]
pub struct IdentityMismatch {
    /// The frame.
    pub page: Page,
    /// `grt_…`
    pub id: String,
    /// The authorization that waits for the decision.
    pub authorization: String,
    /// The account that was connected so far.
    pub pinned: String,
    /// The account that has consented now.
    pub received: String,
    /// Names of the mailboxes that would read the other account.
    pub mailboxes: Vec<String>,
    /// Until when the decision can be made: "in 9 minutes".
    pub expires: When,
}

impl View for IdentityMismatch {
    const TEMPLATE: &'static str = "admin/identity_mismatch.html";

    fn samples() -> Vec<Self> {
        let mismatch = |mailboxes| Self {
            page: Page::sample("Another account has consented", Section::Grants),
            id: "grt_01".to_owned(),
            authorization: "aut_01".to_owned(),
            pinned: "help@example.org".to_owned(),
            received: "ada@example.org".to_owned(),
            mailboxes,
            expires: When::sample("in 9 minutes"),
        };
        vec![
            mismatch(vec![]),
            mismatch(vec!["Support".to_owned(), "Sales".to_owned()]),
        ]
    }
}

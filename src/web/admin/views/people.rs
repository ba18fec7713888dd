//! People: the list, one person, inviting somebody; the members of a project; access tokens.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Badge, Choice, FormErrors, Tone, When};
use super::profile::SessionRow;
use crate::render::View;

/// `GET /users`. Filter: `q`, `state`, by GET. Links: `/users/{id}`, `/users/invite`.
#[derive(Debug, Serialize)]
pub struct UserList {
    /// The frame.
    pub page: Page,
    /// What is searched for.
    pub q: String,
    /// Which people are shown.
    pub states: Vec<Choice>,
    /// The people.
    pub users: Vec<PersonRow>,
    /// "3 people".
    pub count: String,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct PersonRow {
    /// `usr_…`
    pub id: String,
    /// Name.
    pub name: String,
    /// Address.
    pub email: String,
    /// "Site admin", or the roles in projects.
    pub roles: String,
    /// "Active", "Invited", "Disabled".
    pub state: Badge,
    /// "On", "Off".
    pub second_factor: Badge,
    /// When they signed in last.
    pub last_sign_in: Option<When>,
}

impl View for UserList {
    const TEMPLATE: &'static str = "admin/users.html";

    fn samples() -> Vec<Self> {
        let list = |users: Vec<PersonRow>| Self {
            page: Page::sample("Users", Section::Users),
            q: String::new(),
            states: vec![
                Choice::new("", "Everybody", true),
                Choice::new("active", "Active", false),
            ],
            count: format!("{} people", users.len()),
            users,
        };
        let ada = PersonRow {
            id: "usr_01".to_owned(),
            name: "Ada Lovelace".to_owned(),
            email: "ada@example.org".to_owned(),
            roles: "HELP: Agent".to_owned(),
            state: Badge::new(Tone::Ok, "Active"),
            second_factor: Badge::new(Tone::Ok, "On"),
            last_sign_in: Some(When::sample("3 hours ago")),
        };
        vec![list(vec![]), list(vec![ada])]
    }
}

/// A project and what somebody is in it. The form sends `role_{id}`; empty for no member.
#[derive(Debug, Clone, Serialize)]
pub struct ProjectRole {
    /// `prj_…`
    pub id: String,
    /// `HELP`
    pub key: String,
    /// Its name.
    pub name: String,
    /// The roles.
    pub roles: Vec<Choice>,
}

impl ProjectRole {
    fn sample() -> Self {
        Self {
            id: "prj_01".to_owned(),
            key: "HELP".to_owned(),
            name: "Helpdesk".to_owned(),
            roles: vec![
                Choice::new("", "No member", false),
                Choice::new("agent", "Agent", true),
            ],
        }
    }
}

/// `GET /users/invite`.
///
/// Form: `POST /users` with `email`, `name`, `is_site_admin` (a checkbox), `role_{project id}`.
#[derive(Debug, Serialize)]
pub struct InviteForm {
    /// The frame.
    pub page: Page,
    /// What was typed.
    pub email: String,
    /// What was typed.
    pub name: String,
    /// Whether it is ticked.
    pub is_site_admin: bool,
    /// The projects, with the roles chosen.
    pub projects: Vec<ProjectRole>,
    /// Whether the link is sent by mail; else it is shown once.
    pub can_mail: bool,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for InviteForm {
    const TEMPLATE: &'static str = "admin/user_invite.html";

    fn samples() -> Vec<Self> {
        let form = |projects, can_mail, errors| Self {
            page: Page::sample("Invite somebody", Section::Users),
            email: "grace@example.org".to_owned(),
            name: "Grace".to_owned(),
            is_site_admin: false,
            projects,
            can_mail,
            errors,
        };
        let errors = FormErrors::default().with("email", "Write the whole e-mail address.");
        vec![
            form(vec![], false, FormErrors::default()),
            form(vec![ProjectRole::sample()], true, errors),
        ]
    }
}

/// A link or token that is shown once. Not a page of its own address: it answers the form that made it.
#[derive(Debug, Serialize)]
pub struct ShownOnce {
    /// The frame; its title says what it is.
    pub page: Page,
    /// What to do with it.
    pub lead: String,
    /// "Link", "Token".
    pub label: String,
    /// The thing itself.
    pub value: String,
    /// How long it works, and whatever else is to be known.
    pub hint: String,
    /// Where it goes on.
    pub next: String,
    /// The words on the button.
    pub button: String,
}

impl View for ShownOnce {
    const TEMPLATE: &'static str = "admin/shown_once.html";

    fn samples() -> Vec<Self> {
        vec![Self {
            page: Page::sample("The invitation", Section::Users),
            lead: "Give this link to Grace.".to_owned(),
            label: "Link".to_owned(),
            value: "https://mailgrant.example.org/new-password?token=0nce".to_owned(),
            hint: "It works once, until 2026-11-24 01:29 UTC.".to_owned(),
            next: "/users/usr_01".to_owned(),
            button: "Done".to_owned(),
        }]
    }
}

/// `GET /users/{id}`.
///
/// Forms: `POST /users/{id}` with `revision`, `name`, `email`, `is_site_admin`; `POST /users/{id}/projects` with
/// `role_{project id}`; `POST /users/{id}/{disable|enable|invitation|invitation/revoke|password-link}`; `POST
/// /users/{id}/sessions/end`; `POST /users/{id}/tokens/{token}/revoke`. Links: `/users/{id}/second-factor/remove`,
/// `/users/{id}/delete`.
#[derive(Debug, Serialize)]
pub struct UserDetail {
    /// The frame; its title is the name.
    pub page: Page,
    /// `usr_…`
    pub id: String,
    /// Revision that was opened.
    pub revision: i64,
    /// Whether it is the person who looks.
    pub is_self: bool,
    /// "Active", "Invited", "Disabled".
    pub state: Badge,
    /// Whether they may not sign in.
    pub is_disabled: bool,
    /// Whether they wait for their first sign-in.
    pub is_invited: bool,
    /// Until when the invitation works.
    pub invitation: Option<When>,
    /// Whether links are sent by mail; else they are shown once.
    pub can_mail: bool,
    /// Since when, last sign-in, password, second factor.
    pub facts: Vec<Fact>,
    /// Whether they have a second factor.
    pub has_second_factor: bool,
    /// What was typed, or the name.
    pub name: String,
    /// What was typed, or the address.
    pub email: String,
    /// Whether it is ticked.
    pub is_site_admin: bool,
    /// What they are in each project.
    pub projects: Vec<ProjectRole>,
    /// Where they are signed in.
    pub sessions: Vec<SessionRow>,
    /// Their access tokens.
    pub tokens: Vec<TokenRow>,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for UserDetail {
    const TEMPLATE: &'static str = "admin/user.html";

    fn samples() -> Vec<Self> {
        let detail = |is_full: bool, errors| Self {
            page: Page::sample("Ada Lovelace", Section::Users),
            id: "usr_01".to_owned(),
            revision: 3,
            is_self: !is_full,
            state: Badge::new(Tone::Ok, "Active"),
            is_disabled: false,
            is_invited: is_full,
            invitation: is_full.then(|| When::sample("in 12 hours")),
            can_mail: is_full,
            facts: vec![Fact::new("Last sign-in", "3 hours ago")],
            has_second_factor: is_full,
            name: "Ada Lovelace".to_owned(),
            email: "ada@example.org".to_owned(),
            is_site_admin: !is_full,
            projects: if is_full {
                vec![ProjectRole::sample()]
            } else {
                vec![]
            },
            sessions: if is_full {
                vec![SessionRow::sample(false)]
            } else {
                vec![]
            },
            tokens: if is_full { vec![TokenRow::sample()] } else { vec![] },
            errors,
        };
        let errors = FormErrors::default().with("email", "bob@example.org has an account already.");
        vec![detail(false, FormErrors::default()), detail(true, errors)]
    }
}

/// One access token. The token itself is never shown again.
#[derive(Debug, Clone, Serialize)]
pub struct TokenRow {
    /// `tok_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose it is: a name, or "Made on the machine".
    pub owner: String,
    /// The owner's page; empty if there is none.
    pub owner_href: String,
    /// What it may do.
    pub scopes: String,
    /// "All projects", or their keys.
    pub projects: String,
    /// "Active", "Expired", "Revoked".
    pub state: Badge,
    /// Whether it can be revoked.
    pub is_live: bool,
    /// When it was made.
    pub created: When,
    /// When it was used last.
    pub used: Option<When>,
    /// When it ends.
    pub expires: Option<When>,
}

impl TokenRow {
    /// An example.
    #[must_use]
    pub fn sample() -> Self {
        Self {
            id: "tok_01".to_owned(),
            name: "ticketing app".to_owned(),
            owner: "Ada Lovelace".to_owned(),
            owner_href: "/users/usr_01".to_owned(),
            scopes: "tickets:read messages:read".to_owned(),
            projects: "HELP".to_owned(),
            state: Badge::new(Tone::Ok, "Active"),
            is_live: true,
            created: When::sample("12 days ago"),
            used: None,
            expires: Some(When::sample("in 78 days")),
        }
    }
}

/// `GET /tokens`. Form: `POST /tokens/{id}/revoke`.
#[derive(Debug, Serialize)]
pub struct TokenList {
    /// The frame.
    pub page: Page,
    /// Which tokens are shown.
    pub states: Vec<Choice>,
    /// The tokens, newest first.
    pub tokens: Vec<TokenRow>,
}

impl View for TokenList {
    const TEMPLATE: &'static str = "admin/tokens.html";

    fn samples() -> Vec<Self> {
        [vec![], vec![TokenRow::sample()]]
            .into_iter()
            .map(|tokens| Self {
                page: Page::sample("Access tokens", Section::Tokens),
                states: vec![
                    Choice::new("live", "Active", true),
                    Choice::new("all", "All", false),
                ],
                tokens,
            })
            .collect()
    }
}

/// `GET /profile/tokens/new`.
///
/// Form: `POST /profile/tokens` with `name`, `scope` (several), `reach` (`all` or `some`), `project` (several, for
/// `some`), `expires` (days, or `never`).
#[derive(Debug, Serialize)]
pub struct TokenForm {
    /// The frame.
    pub page: Page,
    /// What was typed.
    pub name: String,
    /// The scopes.
    pub scopes: Vec<Choice>,
    /// All projects, or those that are ticked.
    pub reach: Vec<Choice>,
    /// The projects.
    pub projects: Vec<Choice>,
    /// How long it lives.
    pub ends: Vec<Choice>,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for TokenForm {
    const TEMPLATE: &'static str = "admin/token_form.html";

    fn samples() -> Vec<Self> {
        let form = |projects, errors| Self {
            page: Page::sample("New access token", Section::Profile),
            name: "scripts".to_owned(),
            scopes: vec![Choice::new("tickets:read", "tickets:read", true).with_hint("Read tickets")],
            reach: vec![Choice::new("all", "All", true)],
            projects,
            ends: vec![Choice::new("90", "90 days", true)],
            errors,
        };
        let errors = FormErrors::default().with("scope", "Choose at least one scope.");
        vec![
            form(vec![], FormErrors::default()),
            form(vec![Choice::new("prj_01", "HELP Helpdesk", false)], errors),
        ]
    }
}

/// `GET /projects/{id}/members`.
///
/// Forms, for who manages the project: `POST /projects/{id}/members` with `email`, `role`; `POST
/// /projects/{id}/members/{userId}` with `role`; `POST /projects/{id}/members/{userId}/remove`. Those that take the last
/// project admin away are answered with a question first, whose form sends `sure`.
#[derive(Debug, Serialize)]
pub struct Members {
    /// The frame.
    pub page: Page,
    /// `prj_…`
    pub id: String,
    /// Name of the project.
    pub project: String,
    /// The members by name.
    pub members: Vec<MemberRow>,
    /// Whether who looks may change them.
    pub may_change: bool,
    /// What was typed.
    pub email: String,
    /// The roles to choose from.
    pub roles: Vec<Choice>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// A member.
#[derive(Debug, Clone, Serialize)]
pub struct MemberRow {
    /// `usr_…`
    pub id: String,
    /// Name.
    pub name: String,
    /// Address.
    pub email: String,
    /// "Agent".
    pub role: String,
    /// The roles, with theirs chosen.
    pub roles: Vec<Choice>,
    /// Since when.
    pub since: When,
    /// Whether they may not sign in.
    pub is_disabled: bool,
}

impl View for Members {
    const TEMPLATE: &'static str = "admin/members.html";

    fn samples() -> Vec<Self> {
        let roles = || {
            vec![
                Choice::new("agent", "Agent", true),
                Choice::new("viewer", "Viewer", false),
            ]
        };
        let members = |may_change, members, errors| Self {
            page: Page::sample("Members of Helpdesk", Section::Projects),
            id: "prj_01".to_owned(),
            project: "Helpdesk".to_owned(),
            members,
            may_change,
            email: String::new(),
            roles: roles(),
            errors,
        };
        let ada = MemberRow {
            id: "usr_01".to_owned(),
            name: "Ada Lovelace".to_owned(),
            email: "ada@example.org".to_owned(),
            role: "Agent".to_owned(),
            roles: roles(),
            since: When::sample("12 days ago"),
            is_disabled: true,
        };
        let errors = FormErrors::default().with("email", "Nobody here has this account.");
        vec![
            members(false, vec![], FormErrors::default()),
            members(true, vec![ada], errors),
        ]
    }
}

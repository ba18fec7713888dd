//! Projects: where tickets live.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Action, FormErrors, When};
use crate::render::View;

/// `GET /projects`.
#[derive(Debug, Serialize)]
pub struct ProjectList {
    /// The frame.
    pub page: Page,
    /// All projects, by key.
    pub projects: Vec<ProjectRow>,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct ProjectRow {
    /// `prj_…`
    pub id: String,
    /// `HELP`
    pub key: String,
    /// Its name.
    pub name: String,
    /// How many mailboxes it has.
    pub mailboxes: u64,
    /// How many tickets are open.
    pub open: u64,
    /// How many tickets there are.
    pub tickets: u64,
    /// When the newest ticket changed.
    pub updated: Option<When>,
}

impl View for ProjectList {
    const TEMPLATE: &'static str = "admin/projects.html";

    fn samples() -> Vec<Self> {
        let page = || Page::sample("Projects", Section::Projects);
        vec![
            Self {
                page: page(),
                projects: vec![],
            },
            Self {
                page: page(),
                projects: vec![ProjectRow {
                    id: "prj_01".to_owned(),
                    key: "HELP".to_owned(),
                    name: "Helpdesk".to_owned(),
                    mailboxes: 2,
                    open: 48,
                    tickets: 1284,
                    updated: Some(When::sample("4 minutes ago")),
                }],
            },
        ]
    }
}

/// `GET /projects/new` and `GET /projects/{id}/edit`.
///
/// Form: `POST /projects` or `POST /projects/{id}` with `revision` (hidden), `key` (a new project only), `name`,
/// `description`.
#[derive(Debug, Serialize)]
pub struct ProjectForm {
    /// The frame.
    pub page: Page,
    /// `prj_…` when it exists; then the key cannot be changed, because tickets carry it.
    pub id: Option<String>,
    /// Where the form posts.
    pub action: String,
    /// The way back.
    pub back: String,
    /// Key.
    pub key: String,
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
    /// Revision that was opened; empty for a new one.
    pub revision: String,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for ProjectForm {
    const TEMPLATE: &'static str = "admin/project_form.html";

    fn samples() -> Vec<Self> {
        let form = |id: Option<&str>, errors| Self {
            page: Page::sample("New project", Section::Projects),
            id: id.map(str::to_owned),
            action: "/projects".to_owned(),
            back: "/projects".to_owned(),
            key: "HELP".to_owned(),
            name: "Helpdesk".to_owned(),
            description: "Everything that breaks".to_owned(),
            revision: "1".to_owned(),
            errors,
        };
        let errors = FormErrors::default().with("key", "Another project has this key.");
        vec![form(None, errors), form(Some("prj_01"), FormErrors::default())]
    }
}

/// `GET /projects/{id}`. Links: `/projects/{id}/edit`, `/tickets?project={id}`, `/mailboxes/new?project={id}`.
#[derive(Debug, Serialize)]
pub struct ProjectDetail {
    /// The frame; its title is the project's name.
    pub page: Page,
    /// `prj_…`
    pub id: String,
    /// `HELP`
    pub key: String,
    /// Its description.
    pub description: String,
    /// Open, pending and closed tickets.
    pub open: u64,
    /// Waiting for an answer.
    pub pending: u64,
    /// Closed.
    pub closed: u64,
    /// Its mailboxes, as links.
    pub mailboxes: Vec<Action>,
    /// Its newest tickets.
    pub tickets: Vec<super::tickets::TicketRow>,
}

impl View for ProjectDetail {
    const TEMPLATE: &'static str = "admin/project.html";

    fn samples() -> Vec<Self> {
        let detail = |mailboxes, tickets| Self {
            page: Page::sample("Helpdesk", Section::Projects),
            id: "prj_01".to_owned(),
            key: "HELP".to_owned(),
            description: "Everything that breaks".to_owned(),
            open: 48,
            pending: 3,
            closed: 1233,
            mailboxes,
            tickets,
        };
        vec![
            detail(vec![], vec![]),
            detail(
                vec![Action::link("Support", "/mailboxes/mbx_01")],
                vec![super::tickets::TicketRow::sample(
                    "HELP-42",
                    "Printer on floor 3 is on fire again",
                )],
            ),
        ]
    }
}

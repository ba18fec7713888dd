//! Templates of a project's mails.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Badge, FormErrors, Tone, When};
use crate::render::View;

/// `GET /projects/{id}/templates`.
#[derive(Debug, Serialize)]
pub struct TemplateList {
    /// The frame.
    pub page: Page,
    /// Id of the project.
    pub project: String,
    /// One of each kind.
    pub templates: Vec<TemplateRow>,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct TemplateRow {
    /// Part of the path.
    pub kind: String,
    /// "Acknowledgement".
    pub title: String,
    /// What it is for.
    pub about: String,
    /// On or off.
    pub state: Badge,
    /// When it was changed; none for the default.
    pub changed: Option<When>,
}

/// `GET /projects/{id}/templates/{kind}`.
///
/// Form: `POST` to the same path with `revision`, `enabled`, `subject`, `text`, `html`, `ticket` and `action`: `save`,
/// `preview`, `test` or `restore`.
#[derive(Debug, Serialize)]
pub struct TemplateForm {
    /// The frame.
    pub page: Page,
    /// Id of the project.
    pub project: String,
    /// Part of the path.
    pub kind: String,
    /// What it is for.
    pub about: String,
    /// Whether there is a subject.
    pub has_subject: bool,
    /// Whether it was never changed.
    pub is_default: bool,
    /// Its revision.
    pub revision: i64,
    /// Whether it is used.
    pub enabled: bool,
    /// Subject.
    pub subject: String,
    /// The text form.
    pub text: String,
    /// The HTML form.
    pub html: String,
    /// Key of a ticket whose values the preview shows.
    pub ticket: String,
    /// Name and meaning of every value.
    pub variables: Vec<Variable>,
    /// What would be sent.
    pub preview: Option<Preview>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// A value that can be printed.
#[derive(Debug, Clone, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
}

/// What would be sent.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// Subject.
    pub subject: String,
    /// The text form.
    pub text: String,
    /// The HTML form, sanitised; shown in a frame that can do nothing.
    pub html: Option<String>,
}

impl View for TemplateList {
    const TEMPLATE: &'static str = "admin/mail_templates.html";

    fn samples() -> Vec<Self> {
        let row = |title: &str, on: bool| TemplateRow {
            kind: "acknowledgement".to_owned(),
            title: title.to_owned(),
            about: "Answers whoever opens a ticket by mail.".to_owned(),
            state: Badge::new(
                if on { Tone::Ok } else { Tone::Muted },
                if on { "On" } else { "Off" },
            ),
            changed: on.then(|| When::sample("4 minutes ago")),
        };
        let list = |templates| Self {
            page: Page::sample("Templates of Help desk", Section::Projects),
            project: "prj_01".to_owned(),
            templates,
        };
        vec![
            list(vec![]),
            list(vec![row("Acknowledgement", true), row("Signature", false)]),
        ]
    }
}

impl View for TemplateForm {
    const TEMPLATE: &'static str = "admin/mail_template.html";

    fn samples() -> Vec<Self> {
        let form = |preview: Option<Preview>, errors: FormErrors| Self {
            page: Page::sample("Acknowledgement in Help desk", Section::Projects),
            project: "prj_01".to_owned(),
            kind: "acknowledgement".to_owned(),
            about: "Answers whoever opens a ticket by mail.".to_owned(),
            has_subject: preview.is_none(),
            is_default: preview.is_none(),
            revision: 0,
            enabled: preview.is_some(),
            subject: "[{{ ticket.key }}] We have your message".to_owned(),
            text: "Hello {{ requester.name }}".to_owned(),
            html: String::new(),
            ticket: String::new(),
            variables: vec![Variable {
                name: "ticket.key".to_owned(),
                about: "Key of the ticket".to_owned(),
            }],
            preview,
            errors,
        };
        let preview = Preview {
            subject: "[HELP-42] We have your message".to_owned(),
            text: "Hello Grace".to_owned(),
            html: Some("<p>Hello <b>Grace</b> & \"all\"</p>".to_owned()),
        };
        vec![
            form(None, FormErrors::default()),
            form(Some(preview), FormErrors::default()),
            form(
                None,
                FormErrors::default().with("text", "In line 1: There is no `x`."),
            ),
        ]
    }
}

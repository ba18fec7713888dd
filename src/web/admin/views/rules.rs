//! Rules: their order, the form of one, and what it would do with mail that is here.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Badge, Choice, FormErrors, Tone, When};
use crate::render::View;

/// `GET /rules`.
///
/// Forms: `POST /rules/{id}/up`, `/rules/{id}/down`, `/rules/{id}/enable`, `/rules/{id}/disable` (no fields).
#[derive(Debug, Serialize)]
pub struct RuleList {
    /// The frame.
    pub page: Page,
    /// Projects that have rules.
    pub projects: Vec<ProjectRules>,
}

/// The rules of one project, in their order.
#[derive(Debug, Clone, Serialize)]
pub struct ProjectRules {
    /// `prj_…`
    pub id: String,
    /// `HELP`
    pub key: String,
    /// Its name.
    pub name: String,
    /// The rules.
    pub rules: Vec<RuleRow>,
}

/// One rule.
#[derive(Debug, Clone, Serialize)]
pub struct RuleRow {
    /// `rul_…`
    pub id: String,
    /// Its place, from 1.
    pub position: u64,
    /// Its name.
    pub name: String,
    /// In force or not.
    pub state: Badge,
    /// Whether it is in force.
    pub enabled: bool,
    /// Which mail, in words.
    pub matches: Vec<String>,
    /// What is done, in words.
    pub actions: Vec<String>,
    /// Whether it can go up.
    pub up: bool,
    /// Whether it can go down.
    pub down: bool,
}

impl View for RuleList {
    const TEMPLATE: &'static str = "admin/rules.html";

    fn samples() -> Vec<Self> {
        let list = |projects| Self {
            page: Page::sample("Rules", Section::Rules),
            projects,
        };
        let row = |position, name: &str, enabled| RuleRow {
            id: format!("rul_0{position}"),
            position,
            name: name.to_owned(),
            state: Badge::new(Tone::Ok, "On"),
            enabled,
            matches: vec!["Sender is *@newsletters.example.com".to_owned()],
            actions: vec!["Drop it".to_owned(), "Later rules are left out".to_owned()],
            up: position > 1,
            down: position < 2,
        };
        vec![
            list(vec![]),
            list(vec![ProjectRules {
                id: "prj_01".to_owned(),
                key: "HELP".to_owned(),
                name: "Helpdesk".to_owned(),
                rules: vec![row(1, "Newsletters", true), row(2, "Invoices", false)],
            }]),
        ]
    }
}

/// `GET /rules/new` and `GET /rules/{id}`.
///
/// Form: `POST /rules` or `POST /rules/{id}` with the fields of [`RuleValues`], `action` = `save` or `try`.
#[derive(Debug, Serialize)]
pub struct RuleForm {
    /// The frame.
    pub page: Page,
    /// `rul_…` when it exists.
    pub id: Option<String>,
    /// Where the form posts.
    pub action: String,
    /// What is filled in.
    pub values: RuleValues,
    /// Projects to choose from; the project of a rule that exists is fixed.
    pub projects: Vec<Choice>,
    /// How the subject is compared.
    pub subject_hows: Vec<Choice>,
    /// Conditions on header fields, with an empty one to fill in.
    pub headers: Vec<HeaderRow>,
    /// Kinds of mail.
    pub kinds: Vec<Choice>,
    /// Whether files must come with it.
    pub attachments: Vec<Choice>,
    /// Mailboxes.
    pub mailboxes: Vec<Choice>,
    /// Where the mail goes.
    pub places: Vec<Choice>,
    /// Priorities.
    pub priorities: Vec<Choice>,
    /// Who may work on it.
    pub assignees: Vec<Choice>,
    /// How many messages it is tried on.
    pub limits: Vec<Choice>,
    /// What it would do, once it was tried.
    pub trial: Option<TrialView>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// The plain fields of the form.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RuleValues {
    /// Name.
    pub name: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// Senders, one on each line.
    pub sender: String,
    /// Recipients, one on each line.
    pub recipient: String,
    /// What the subject says.
    pub subject: String,
    /// Glob on a file's name.
    pub file_name: String,
    /// Glob on a file's type.
    pub file_type: String,
    /// Results of SPF.
    pub spf: String,
    /// Results of DKIM.
    pub dkim: String,
    /// Results of DMARC.
    pub dmarc: String,
    /// Key of the ticket.
    pub ticket_key: String,
    /// Labels, separated by commas.
    pub labels: String,
    /// Addresses that get a copy, one on each line.
    pub forward_to: String,
    /// Text of the automatic answer.
    pub answer: String,
    /// Whether later rules are left out.
    pub stop: bool,
    /// Revision that was opened; empty for a new one.
    pub revision: String,
}

/// One condition on a header field.
#[derive(Debug, Clone, Serialize)]
pub struct HeaderRow {
    /// Its number in the form, from 1.
    pub number: usize,
    /// Name of the field.
    pub name: String,
    /// How it is compared.
    pub hows: Vec<Choice>,
    /// With what.
    pub value: String,
}

/// What a rule would do with mail that is here.
#[derive(Debug, Clone, Serialize)]
pub struct TrialView {
    /// One sentence about the whole.
    pub summary: String,
    /// Tickets that would be otherwise.
    pub tickets: Vec<String>,
    /// The messages.
    pub messages: Vec<TriedRow>,
}

/// One message that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct TriedRow {
    /// `msg_…`
    pub id: String,
    /// Its subject.
    pub subject: String,
    /// Its sender.
    pub from: String,
    /// When it came.
    pub received: When,
    /// The ticket it is in.
    pub ticket: Option<String>,
    /// Whether something would be different.
    pub state: Badge,
    /// What would happen.
    pub effects: Vec<String>,
}

impl View for RuleForm {
    const TEMPLATE: &'static str = "admin/rule_form.html";

    fn samples() -> Vec<Self> {
        let choice = |value: &str| vec![Choice::new(value, value, true)];
        let form = |id: Option<&str>, trial, errors| Self {
            page: Page::sample("New rule", Section::Rules),
            id: id.map(str::to_owned),
            action: "/rules".to_owned(),
            values: RuleValues {
                name: "Newsletters".to_owned(),
                sender: "*@newsletters.example.com".to_owned(),
                ..RuleValues::default()
            },
            projects: choice("HELP"),
            subject_hows: choice("contains"),
            headers: vec![HeaderRow {
                number: 1,
                name: "X-Spam-Flag".to_owned(),
                hows: choice("contains"),
                value: "YES".to_owned(),
            }],
            kinds: choice("bulk"),
            attachments: choice("present"),
            mailboxes: choice("Support"),
            places: choice("drop"),
            priorities: choice("high"),
            assignees: choice("Ada"),
            limits: choice("200"),
            trial,
            errors,
        };
        let trial = TrialView {
            summary: "Of 200 messages, this rule fits 1; 1 would be treated otherwise than now.".to_owned(),
            tickets: vec!["HELP-42".to_owned()],
            messages: vec![TriedRow {
                id: "msg_01".to_owned(),
                subject: "Our offers of the week".to_owned(),
                from: "news@newsletters.example.com".to_owned(),
                received: When::sample("2 hours ago"),
                ticket: Some("HELP-42".to_owned()),
                state: Badge::new(Tone::Warn, "Otherwise"),
                effects: vec!["It would be dropped, not into HELP-42.".to_owned()],
            }],
        };
        let nothing = TrialView {
            summary: "Of 200 messages, this rule fits none.".to_owned(),
            tickets: vec![],
            messages: vec![],
        };
        let errors = FormErrors::default().with("sender", "“a b” holds a space.");
        vec![
            form(None, None, errors),
            form(Some("rul_01"), Some(trial), FormErrors::default()),
            form(Some("rul_01"), Some(nothing), FormErrors::default()),
        ]
    }
}

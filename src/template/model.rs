//! Kinds of templates, their defaults, and the values they can print.

use serde_json::{Value, json};

use crate::oauth2_client::stored_text;
use crate::trouble::FieldError;

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The automatic answer to whoever opened a ticket by mail.
    Acknowledgement,
    /// Tells the project's agents of a new ticket.
    NewTicket,
    /// Tells the assignee of a new message in a ticket.
    NewReply,
    /// Stands below every answer.
    Signature,
}

stored_text!(Kind {
    Acknowledgement => "acknowledgement",
    NewTicket => "new_ticket",
    NewReply => "new_reply",
    Signature => "signature",
});

impl Kind {
    /// All of them, in the order of pages.
    pub const ALL: [Self; 4] = [
        Self::Acknowledgement,
        Self::NewTicket,
        Self::NewReply,
        Self::Signature,
    ];

    /// Whether it has a subject of its own.
    pub fn has_subject(self) -> bool {
        self != Self::Signature
    }

    pub(super) fn default_texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Acknowledgement => (
                "[{{ ticket.key }}] We have received your message",
                "Hello{% if requester.name %} {{ requester.name }}{% endif %},\n\n\
                 thank you for your message{% if ticket.subject %} “{{ ticket.subject }}”{% endif %}. It has the number \
                 {{ ticket.key }}; somebody will answer you. You can simply reply to this mail to add something.\n\n\
                 {{ project.name }}\n",
            ),
            Self::NewTicket => (
                "[{{ ticket.key }}] New: {{ ticket.subject | truncate(length=100) }}",
                "{% if requester.name %}{{ requester.name }} {% endif %}<{{ requester.email }}> wrote:\n\n\
                 {{ message.text }}\n\n{{ ticket.url }}\n",
            ),
            Self::NewReply => (
                "[{{ ticket.key }}] Answer: {{ ticket.subject | truncate(length=100) }}",
                "{{ message.from }} wrote in {{ ticket.key }}, which is yours:\n\n{{ message.text }}\n\n\
                 {{ ticket.url }}\n",
            ),
            Self::Signature => ("", "{{ agent.name }}\n{{ project.name }}\n"),
        }
    }
}

/// Every value that templates can print, and what it is.
pub const VARIABLES: &[(&str, &str)] = &[
    ("ticket.key", "Key of the ticket, for example HELP-42"),
    (
        "ticket.subject",
        "Its subject; empty in an acknowledgement to a sender who is not verified",
    ),
    ("ticket.state", "open, pending or closed"),
    ("ticket.url", "Its page in Mailgrant, for agents"),
    ("project.key", "Key of the project"),
    ("project.name", "Name of the project"),
    (
        "requester.name",
        "Name of who asked; empty if they gave none, or are not verified",
    ),
    ("requester.email", "Address of who asked"),
    ("message.from", "Who wrote the newest message"),
    (
        "message.text",
        "Its text, at most 4,000 characters; empty in an acknowledgement to a sender who is not verified",
    ),
    ("agent.name", "Who answers, or is told"),
    ("site.url", "Address of this installation"),
];

/// What is printed in one mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Key of the ticket.
    pub ticket_key: String,
    /// Its subject.
    pub ticket_subject: String,
    /// Its state.
    pub ticket_state: String,
    /// Its page.
    pub ticket_url: String,
    /// Key of the project.
    pub project_key: String,
    /// Its name.
    pub project_name: String,
    /// Who asked.
    pub requester_name: String,
    /// Their address.
    pub requester_email: String,
    /// Who wrote the newest message.
    pub message_from: String,
    /// Its text.
    pub message_text: String,
    /// Who answers, or is told.
    pub agent_name: String,
    /// Address of this installation.
    pub site_url: String,
}

/// Longest value, characters; the text of a message, characters.
const MAX_VALUE: usize = 500;
const MAX_TEXT: usize = 4_000;

impl Values {
    /// Without the words of whoever wrote: they may be a stranger who has them carried to somebody else.
    #[must_use]
    pub fn without_words(mut self) -> Self {
        self.ticket_subject.clear();
        self.requester_name.clear();
        self.message_from.clear();
        self.message_text.clear();
        self
    }

    pub(super) fn to_json(&self) -> Value {
        let line = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(MAX_VALUE)
                .collect()
        };
        let text: String = self.message_text.chars().take(MAX_TEXT).collect();
        json!({
            "ticket": {
                "key": line(&self.ticket_key), "subject": line(&self.ticket_subject),
                "state": line(&self.ticket_state), "url": line(&self.ticket_url),
            },
            "project": { "key": line(&self.project_key), "name": line(&self.project_name) },
            "requester": { "name": line(&self.requester_name), "email": line(&self.requester_email) },
            "message": { "from": line(&self.message_from), "text": text },
            "agent": { "name": line(&self.agent_name) },
            "site": { "url": line(&self.site_url) },
        })
    }
}

/// A project's template of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What it is for.
    pub kind: Kind,
    /// Whether it is used.
    pub enabled: bool,
    /// Subject; one line.
    pub subject: String,
    /// The text form.
    pub text: String,
    /// The HTML form; empty: there is none.
    pub html: String,
    /// Whether it is the default that the project never changed.
    pub is_default: bool,
    /// Grows with every change; 0 for the default.
    pub revision: i64,
    /// When it was changed, milliseconds since 1970; 0 for the default.
    pub updated_at: i64,
}

impl Template {
    pub(super) fn default_of(kind: Kind) -> Self {
        let (subject, text) = kind.default_texts();
        Self {
            kind,
            enabled: false,
            subject: subject.to_owned(),
            text: text.to_owned(),
            html: String::new(),
            is_default: true,
            revision: 0,
            updated_at: 0,
        }
    }
}

/// What somebody wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateInput {
    /// Whether it is used.
    pub enabled: bool,
    /// Subject.
    pub subject: String,
    /// The text form.
    pub text: String,
    /// The HTML form.
    pub html: String,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// The text form.
    pub text: String,
    /// The HTML form, if there is one; every value escaped, and sanitised.
    pub html: Option<String>,
}

/// Why a template could not be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Parts that do not fit; nothing was changed.
    #[error("the template was not saved: {}", .0.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join(" "))]
    Invalid(Vec<FieldError>),
    /// There is no such project.
    #[error("there is no such project")]
    NotFound,
    /// Somebody else changed it meanwhile.
    #[error("the template was changed meanwhile; load it again and repeat the change")]
    Conflict,
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] sea_orm::DbErr),
}

//! The words of this stage, as the API and the database write them.

use serde::{Deserialize, Serialize};

use super::store::RuleRow;
use crate::message::Kind;
use crate::trouble::FieldError;

/// What a mail must fit, all of it. A member that is empty fits every mail; within a member, one of its values is
/// enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Matches {
    /// Addresses (`ada@example.com`), domains (`example.com`) or globs (`*@*.example.com`).
    pub sender: Vec<String>,
    /// The same for whom the mail was for.
    pub recipient: Vec<String>,
    /// What the subject says.
    pub subject: Option<TextMatch>,
    /// What header fields say; all of them.
    pub headers: Vec<HeaderMatch>,
    /// `person`, `bounce`, `auto-reply`, `report` or `bulk`.
    pub kind: Vec<String>,
    /// What files come with it.
    pub attachment: Option<FileMatch>,
    /// What a trusted server found out about the sender.
    pub authentication: VerdictMatch,
    /// The mailboxes it was read from.
    pub mailbox_ids: Vec<String>,
}

/// How a text is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// The value stands somewhere in it, whatever the case.
    #[default]
    Contains,
    /// The whole of it fits a glob.
    Glob,
    /// A regular expression finds something in it.
    Regex,
}

impl How {
    /// The text in the API and in forms.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::Glob => "glob",
            Self::Regex => "regex",
        }
    }

    /// Reads the text of the API and of forms.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Contains, Self::Glob, Self::Regex]
            .into_iter()
            .find(|how| how.as_str() == text)
    }
}

/// What a text must say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TextMatch {
    /// How it is compared.
    pub how: How,
    /// With what.
    pub value: String,
}

/// What a header field must say; without a value it need only be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderMatch {
    /// Name of the field.
    pub name: String,
    /// How it is compared.
    pub how: How,
    /// With what.
    pub value: String,
}

/// What files must come with a mail. Name and type must fit the same file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileMatch {
    /// True if there must be one, false if there must be none.
    pub present: bool,
    /// Glob on the file's name; empty fits every name.
    pub name: String,
    /// Glob on its media type; empty fits every type.
    pub media_type: String,
}

/// Results that fit, such as `fail` and `softfail`; empty fits every result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VerdictMatch {
    /// Of SPF.
    pub spf: Vec<String>,
    /// Of DKIM.
    pub dkim: Vec<String>,
    /// Of DMARC.
    pub dmarc: Vec<String>,
}

/// Where a rule puts a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Where it would go without the rule.
    #[default]
    Default,
    /// Into a ticket of its own, whatever it answers.
    New,
    /// Into a certain ticket.
    Ticket,
    /// Nowhere; the mail stays in the log.
    Drop,
    /// Into quarantine, until a person has looked.
    Quarantine,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Default,
        Self::New,
        Self::Ticket,
        Self::Drop,
        Self::Quarantine,
    ];

    /// The text in the API and in forms.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::New => "new",
            Self::Ticket => "ticket",
            Self::Drop => "drop",
            Self::Quarantine => "quarantine",
        }
    }

    /// Reads the text of the API and of forms.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.as_str() == text)
    }
}

/// What is done with a mail that fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Actions {
    /// Where it goes.
    pub place: Place,
    /// The ticket's key, for [`Place::Ticket`].
    pub ticket_key: String,
    /// Priority of the ticket it opens; empty leaves it.
    pub priority: String,
    /// Labels its ticket gets.
    pub labels: Vec<String>,
    /// Who works on the ticket it opens; empty leaves it.
    pub assignee_id: String,
    /// Addresses that get a copy.
    pub forward_to: Vec<String>,
    /// The text of an automatic answer; empty sends none.
    pub answer: String,
}

/// What a rule is made or changed with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleInput {
    /// Project whose mail it is for.
    pub project_id: String,
    /// Name shown to people.
    pub name: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// Whether later rules are left out once it fits.
    pub stop: bool,
    /// What a mail must fit.
    pub matches: Matches,
    /// What is done then.
    pub actions: Actions,
}

/// A rule as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// `rul_` + ULID.
    pub id: String,
    /// Project whose mail it is for.
    pub project_id: String,
    /// Its place in the project's order, from 1.
    pub position: i64,
    /// Name shown to people.
    pub name: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// Whether later rules are left out once it fits.
    pub stop: bool,
    /// What a mail must fit.
    pub matches: Matches,
    /// What is done then.
    pub actions: Actions,
    /// Grows with every change; the API's ETag.
    pub revision: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

impl Rule {
    /// What it would be made with: where a change begins.
    pub fn input(&self) -> RuleInput {
        RuleInput {
            project_id: self.project_id.clone(),
            name: self.name.clone(),
            enabled: self.enabled,
            stop: self.stop,
            matches: self.matches.clone(),
            actions: self.actions.clone(),
        }
    }
}

impl From<RuleRow> for Rule {
    fn from(row: RuleRow) -> Self {
        Self {
            // Written by us and checked before: what cannot be read fits nothing and does nothing.
            matches: serde_json::from_str(&row.matches).unwrap_or_else(|_| Matches::nothing()),
            actions: serde_json::from_str(&row.actions).unwrap_or_default(),
            id: row.id,
            project_id: row.project_id,
            position: row.position,
            name: row.name,
            enabled: row.enabled,
            stop: row.stop,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Matches {
    /// What no mail fits.
    fn nothing() -> Self {
        Self {
            kind: vec!["none".to_owned()],
            ..Self::default()
        }
    }

    /// Whether every mail fits.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Words for [`Kind`]s, in the order of forms.
pub const KINDS: [Kind; 5] = Kind::ALL;

/// Why a rule could not be made, changed or used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// Fields that do not fit; nothing was changed.
    #[error("the rule was not saved: {}", .0.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join(" "))]
    Invalid(Vec<FieldError>),
    /// There is none with this id.
    #[error("there is no such rule")]
    NotFound,
    /// Somebody else changed it meanwhile.
    #[error("the rule was changed meanwhile; load it again and repeat the change")]
    Conflict,
    /// The new order does not name the project's rules, each once.
    #[error("name every rule of the project exactly once; nothing was changed")]
    BadOrder,
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] sea_orm::DbErr),
}

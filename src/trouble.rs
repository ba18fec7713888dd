//! Trouble: what went wrong, told to a person who can mend it. Grants, mailboxes, integrations and test steps keep it.

use serde::Serialize;

/// A machine code, the cause in a sentence, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// The provider's code where there is one (`invalid_grant`, `AADSTS7000222`), else ours, in snake_case.
    pub code: String,
    /// What happened, in a sentence.
    pub cause: String,
    /// What to do, in a sentence.
    pub remedy: String,
}

impl Trouble {
    /// A trouble from its three texts. Control characters, which a provider may have put in, become spaces, and each
    /// text is cut at 500 characters.
    pub fn new(code: impl Into<String>, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code: tidy(&code.into()),
            cause: tidy(&cause.into()),
            remedy: tidy(&remedy.into()),
        }
    }
}

fn tidy(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(500)
        .collect()
}

/// What is wrong with one field of a form or a JSON body. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Name of the field in the API, camelCase.
    pub field: &'static str,
    /// Machine code, snake_case: `required`, `duplicate`, `invalid`, …
    pub code: &'static str,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl FieldError {
    /// A field's error.
    pub fn new(field: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            field,
            code,
            message: message.into(),
        }
    }
}

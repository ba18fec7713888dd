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

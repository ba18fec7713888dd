//! The answer box of a ticket, and what became of each answer.

use serde::Serialize;

use super::parts::{Badge, Choice, Problem, Tone};

/// The form that answers a ticket.
///
/// Form: `POST /tickets/{key}/replies`, multipart, with `once`, `answer_to`, `answer_cc`, `answer_subject`,
/// `answer_text`, `answer_quote`, `answer_files` (as often as there are files) and `answer_state`.
#[derive(Debug, Clone, Serialize)]
pub struct AnswerBox {
    /// Why nothing can be sent, or why it will wait.
    pub problem: Option<Problem>,
    /// Whether there is a form.
    pub can_send: bool,
    /// The sender's address.
    pub from: String,
    /// The mailbox that sends.
    pub mailbox: String,
    /// To whom.
    pub to: String,
    /// And to whom for their information.
    pub cc: String,
    /// Subject.
    pub subject: String,
    /// Text.
    pub text: String,
    /// Whether the newest mail is quoted.
    pub quote: bool,
    /// The quote; empty if there is nothing to quote.
    pub quoted: String,
    /// How many lines it has.
    pub quoted_lines: usize,
    /// What becomes of the ticket.
    pub states: Vec<Choice>,
    /// Makes one form one answer, however often it is sent.
    pub once: String,
    /// Whether files were chosen that have to be chosen again.
    pub files_lost: bool,
}

impl AnswerBox {
    /// An example.
    #[must_use]
    pub fn sample() -> Self {
        Self {
            problem: None,
            can_send: true,
            from: "Help Desk <help@example.org>".to_owned(),
            mailbox: "Support".to_owned(),
            to: "Grace Hopper <grace@example.com>".to_owned(),
            cc: String::new(),
            subject: "Re: Printer on floor 3 is on fire again".to_owned(),
            text: String::new(),
            quote: true,
            quoted: "On 2026-11-23 01:25 UTC, Grace Hopper wrote:\n> The printer is on fire.".to_owned(),
            quoted_lines: 2,
            states: vec![Choice::new("", "stays open", true)],
            once: "0nce".to_owned(),
            files_lost: false,
        }
    }

    /// An example that cannot be sent.
    #[must_use]
    pub fn sample_closed() -> Self {
        Self {
            problem: Some(Problem::sample()),
            can_send: false,
            ..Self::sample()
        }
    }
}

/// What became of an answer.
#[derive(Debug, Clone, Serialize)]
pub struct Sending {
    /// `out_…`
    pub id: String,
    /// Queued, sent, not sent.
    pub state: Badge,
    /// To whom it goes.
    pub to: String,
    /// Names of its files.
    pub files: Vec<String>,
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub remedy: String,
    /// The words on the button that sends it again; empty if there is none.
    pub again: String,
    /// Whether it can be taken back.
    pub cancel: bool,
}

impl Sending {
    /// Examples.
    #[must_use]
    pub fn samples() -> Vec<Self> {
        let one = |tone, word: &str, cause: &str, again: &str| Self {
            id: "out_01".to_owned(),
            state: Badge::new(tone, word),
            to: "grace@example.com".to_owned(),
            files: vec!["manual.pdf".to_owned()],
            cause: cause.to_owned(),
            remedy: if cause.is_empty() {
                ""
            } else {
                "Check the address."
            }
            .to_owned(),
            again: again.to_owned(),
            cancel: tone == Tone::Muted,
        };
        vec![
            one(Tone::Muted, "Queued", "", ""),
            one(
                Tone::Bad,
                "Not sent",
                "The mail server refused a recipient's address.",
                "Send again",
            ),
        ]
    }
}

//! Rules: what a project wants done with certain mail, in order; and the guard that every automatic mail must pass.
//!
//! [`matching`] decides from values alone (no clock, no database), [`definition`] reads and checks what a person or an
//! app wrote, [`loop_guard`] keeps two machines from answering each other. Decisions are made here and carried out by
//! `jobs/ingest_mail.rs`, in the transaction that places the message.

pub mod definition;
mod glob;
pub mod loop_guard;
mod loop_header;
pub mod matching;
mod model;
mod service;
pub mod simulate;
mod store;

pub use loop_header::{LOOP_HEADER, LoopMarks};
pub use matching::{Decision, Fitted, Ready, decide};
pub use model::{
    Actions, FileMatch, HeaderMatch, How, KINDS, Matches, Place, Rule, RuleError, RuleInput, TextMatch,
    VerdictMatch,
};
pub use service::{check, create, delete, get, list, ready, reorder, shift, switch, update};
pub use simulate::{Outcome, Trial, Tried, simulate};

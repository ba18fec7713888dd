//! Events: what happened, one line each, appended in the caller's transaction.
//!
//! Who did it, to what, and the details. Timelines read them here; consumers get their ordered log of them later.

mod store;

pub use store::{Event, append, of_subject};

use serde_json::Value;

/// What is to be appended.
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    /// Type, for example `grant.created`.
    pub kind: &'a str,
    /// Project it belongs to; empty for events of the site.
    pub project_id: &'a str,
    /// Id of what it is about.
    pub subject_id: &'a str,
    /// Who did it: a user id, a token id, `cli` or `system`.
    pub actor: &'a str,
    /// Details; never a secret or a token.
    pub data: Value,
}

/// The actor of what Mailgrant does by itself.
pub const SYSTEM: &str = "system";

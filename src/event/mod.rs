//! Events: what happened, one line each, appended in the caller's transaction and read in one order by everybody.
//!
//! * [`append`] and [`append_all`] are the only way to write one; `kinds` knows every type and the shape of its data;
//! * `sequence` gives each its place in the log, so that a reader's cursor never skips one;
//! * [`read_after`] reads on from a place; [`Cursor`] is how a place is told to consumers;
//! * [`Head`] wakes who waits for the next one.
//!
//! Who is told of them, and how, is the business of `delivery`.

mod cursor;
mod envelope;
mod head;
pub mod kinds;
mod sequence;
mod store;

pub use cursor::Cursor;
pub use envelope::{API_VERSION, envelope};
pub use head::{Head, appended};
pub use kinds::Types;
pub use sequence::{advance, extent};
pub use store::{
    Event, Extent, Filter, Read, ReadBack, append, append_all, by_id, delete_before, find_in, gist_of,
    is_noted, of_subject, read_after, read_before,
};

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

/// Why the log cannot be read from a place.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// What came next was deleted, for it was older than the retention.
    #[error("events after this place were older than the retention and are gone")]
    Gone {
        /// Where the log begins now.
        oldest: Cursor,
    },
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] sea_orm::DbErr),
}

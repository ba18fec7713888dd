//! The index of words: what a text becomes before it is looked for, what a person may type, and where it is found.
//!
//! Words are cut and folded here (`words`), not by the database: SQLite's FTS5 and PostgreSQL's `tsvector` are handed
//! the same words at the same places, so both find the same. What a document is *about* (tickets, messages) is not known
//! here; `ticket::find` asks the questions.

mod document;
mod query;
mod snippet;
mod store;
mod words;

pub use document::{Document, Fields};
pub use query::{Field, Query, Term};
pub use snippet::{Piece, snippet};
pub use store::{Entry, Kind, condition, move_to, place, put, put_all};
pub use words::{Word, fold, words};

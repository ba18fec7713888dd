//! HTML bodies: a linear tokeniser, the text form and the sanitised form. Nothing here builds a tree of its own.

mod cost;
mod entity;
mod pictures;
mod sanitize;
mod text;
mod tokenizer;

pub use pictures::with_pictures;
pub use sanitize::{MAX_DEPTH, MAX_SIZE, sanitize_html};
pub(crate) use text::{HtmlText, Mark, MarkKind, to_text};

/// The text form of HTML: what a reader of plain text sees.
pub fn html_to_text(html: &str) -> String {
    to_text(html).text
}

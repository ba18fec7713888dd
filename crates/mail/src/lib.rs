//! From bytes to a parsed mail: pre-scan, decode, classify, split the reply, sanitise.
//!
//! Everything here is pure: bytes in, values out. No clock, no database, no network, no threads. Every function takes
//! any input without failing, panicking or recursing deeper than [`prescan::MAX_NESTING`].
//!
//! Reading order: [`prescan`] finds the structure and enforces the limits; `header`, `encoded_word`, `params` and
//! `address` read header fields; `transfer` and `charset` decode bodies; `special` and `tnef` open parts with a meaning of their own; `body` chooses what is body and what is
//! attachment; `html` makes the text and the sanitised form; `classify` and `reply` say what the mail is and what its
//! writer newly wrote; `parse` puts all of it into one [`ParsedMail`]. Apart from these, [`thread_token`] makes and
//! judges the signed identifiers of outgoing mail.

mod address;
mod attachment;
mod body;
mod charset;
mod classify;
mod encoded_word;
mod envelope;
mod fields;
#[doc(hidden)]
pub mod fuzzing;
mod header;
pub mod html;
mod ids;
mod model;
mod params;
mod parse;
mod phrases;
pub mod prescan;
mod reply;
mod special;
pub mod thread_token;
mod tnef;
mod transfer;

pub use attachment::{Attachment, attachment};
pub use envelope::delivered_to;
pub use fields::{HeaderField, header_fields};
pub use html::{html_to_text, sanitize_html, with_pictures};
pub use model::*;
pub use parse::{Options, is_placeholder, parse, parse_with};

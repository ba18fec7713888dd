//! Templates of mails: what a project has sent in its own words, kept as text and rendered in the sandbox of `render`.
//!
//! One per project and kind; a project that wrote none has the default, switched off. What values there are stands in
//! [`VARIABLES`]. When they are sent is decided elsewhere: acknowledgements where a mail is placed, notifications by
//! `jobs/send_notices.rs`, signatures where an answer is made.

mod model;
mod service;
mod store;

pub use model::{Kind, Rendered, Template, TemplateError, TemplateInput, VARIABLES, Values};
pub use service::{enabled, get, list, render, restore, sample, save, try_out, values_of};

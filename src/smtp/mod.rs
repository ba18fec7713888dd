//! Sending mail: making its bytes, and handing them to a mail server. The one door of lettre.
//!
//! * `compose`: from addresses, subject, text and files to bytes in which nothing can stand that was not asked for;
//! * `connect`: from a host to a server that greeted, over a socket that `net` dialled and a TLS that `net` checked;
//! * `session`: sign-in, sender and recipients, and the handing over, each bounded in time and size;
//! * `error`: what a refusal means and what to do about it; the table is data, in `refusals.toml`.
//!
//! Which mail is sent when, and how often, is decided in `outbox` and `jobs/send_mail.rs`.

mod compose;
mod connect;
mod error;
mod session;
#[cfg(test)]
mod tests;

pub use compose::{
    Address, AutoSubmitted, ComposeError, Draft, File, compose, parse_address, parse_addresses, tidy_name,
};
pub use connect::{Endpoint, Patience, Step, StepDetail, StepReport, TlsMode, connect};
pub use error::{Class, Reply, SmtpError, Stage};
pub use session::{Session, SignIn};

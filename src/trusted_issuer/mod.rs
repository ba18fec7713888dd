//! Issuers whose signed tokens count here: at the token endpoint in place of a person's consent (JWT bearer, RFC 7523),
//! and at the API beside our own tokens.
//!
//! * `model`: what is agreed with an issuer;
//! * `service`: making and changing them;
//! * `keys`: their public keys, fetched with care;
//! * `check`: whether a token holds, whatever it is for;
//! * `assertion`: tokens at the token endpoint; `api`: tokens at the API, also by introspection (RFC 7662).
//!
//! An issuer is believed about nothing but what was agreed on: its audience, these subjects, these scopes, so long. Whom a
//! subject is, is said here; a person never gets more by it than they have, and a site admin is reached by name only.

mod api;
mod assertion;
mod check;
mod keys;
mod model;
mod service;
mod store;

#[cfg(test)]
pub(crate) mod tests;

pub use api::{Foreign, Remembered, Who, authenticate};
pub use assertion::{Assertion, assertion};
pub use check::Refusal;
pub use model::{Fields, IssuerError, KeySource, SubjectMapping, TrustedIssuer, Use};
pub use service::{Made, create, delete, get, is_unchanged, list, update};

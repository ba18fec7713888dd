//! The token endpoint of a mail provider: requests, tolerant reading of answers, and what a refusal means.
//!
//! The one place that uses the `oauth2` crate. Nothing here knows the database, integrations or grants; callers hand
//! over the endpoint and the secrets, and get [`Tokens`] or a [`TokenError`] whose variant says what to do next.
//!
//! What refusals mean is data: `errors.toml`.

mod answer;
mod client;
mod error;
mod explain;
mod provider;
mod tokens;

pub use client::{AuthorizationRequest, ClientConfig, TokenClient, authorization_url};
pub use error::TokenError;
pub use explain::{Class, Explanation, classify_imap, explain_imap, lookup};
pub(crate) use explain::{printable, with_words};
pub(crate) use provider::stored_text;
pub use provider::{AuthMethod, Provider};
pub use tokens::{IdClaims, Tokens};

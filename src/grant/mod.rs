//! Grants: what a mailbox owner gave us through an integration.
//!
//! * `authorize`: obtaining one: the redirect, the callback, the identity that consented;
//! * `refresh`: keeping it alive: at most one call per grant at a time, a new refresh token stored before anything
//!   uses the access token;
//! * `service`: reading, revoking, noting what mail servers say;
//! * `check`: the test run of an integration.
//!
//! Nothing here talks IMAP.

mod authorize;
mod check;
mod error;
mod identity;
mod model;
mod refresh;
mod service;
mod store;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;

pub use authorize::{
    CallbackOutcome, CallbackParams, confirm_identity_change, finish_callback, refuse_identity_change, start,
};
pub use check::integration_test;
pub use error::{CallbackError, GrantError};
pub use model::{AccessToken, Authorization, AuthorizationState, Grant, GrantState, StartAuthorization};
pub use refresh::{access_token, current_token, force_refresh, refresh_as_seen, refresh_due, refresh_now};
pub use service::{
    RevokeOutcome, authorization, get, list, note_imap_refusal, note_success, of_integration, revoke,
    scopes_missing,
};

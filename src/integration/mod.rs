//! Integrations: OAuth client registrations at mail providers.
//!
//! What they are (`model`), what providers want (`preset`), what an admin typed (`service` checks it), how they are kept
//! (`store`). Tokens do not live here: see `grant`. The client secret leaves this room only as a `SecretString`, inside
//! a [`crate::oauth2_client::TokenClient`].

mod discovery;
mod error;
mod google_json;
mod lint;
mod model;
mod preset;
mod service;
mod store;

pub use crate::oauth2_client::{AuthMethod, Provider};
pub use discovery::{Discovered, discover};
pub use error::{FieldError, IntegrationError};
pub use google_json::{GoogleClient, parse_google_client_json};
pub use lint::warnings;
pub use model::{Cloud, Flow, Integration, IntegrationChange, IntegrationState, NewIntegration};
pub use preset::{Preset, preset};
pub use service::{
    CallbackOwner, Reach, Users, create, delete, draft_callback, find_callback, get, list,
    mark_misconfigured, redirect_url, remember_discovery, set_projects, token_client, update, users_of,
};

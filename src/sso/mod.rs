//! Sign-in through identity providers: OpenID Providers that people of a company have anyway.
//!
//! * `model`, `preset`, `service`, `changed`: what a provider is, what is known of widespread ones, what an admin can do, and
//!   how that is told;
//! * `discovery`: what a provider says about itself, and its keys, kept for a while;
//! * `away`, `flow`, `token`, `id_token`: off to the provider and back, and why what came back is believed;
//! * `claims`, `people`: who that is here, and which roles follow;
//! * `test`: the same way, looked at, with nobody signed in;
//! * `file`: providers of the configuration file;
//! * `recheck`: whether somebody is still one of the provider's people, asked while they work here;
//! * `logout`: a session that ends there ends here, and the other way round.
//!
//! Knows nothing of HTTP servers, cookies or mail. The library `openidconnect` comes in here and nowhere else; its
//! requests go through [`crate::net`].

/// How long a provider may take to answer: somebody sits in front of it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(8);

mod away;
mod changed;
mod claims;
mod discovery;
mod error;
mod file;
mod flow;
mod id_token;
mod logout;
mod model;
mod people;
mod preset;
mod recheck;
mod service;
mod store;
mod strict;
mod test;
mod token;

#[cfg(test)]
mod tests;

pub use away::{begin, redirect_url};
pub use discovery::Cache;
pub use error::{SignInError, SsoError};
pub use file::{take_over, try_online};
pub use flow::{Finished, Given, Returned, begin_session, finish};
pub use logout::{
    LogoutError, back_channel, end_session_url, forget_person, frame_origin, front_channel, tie, tied,
};
pub use model::{
    ClientAuth, Connection, FirstAdmin, GroupRule, IdentityProvider, Policy, Preset, ProviderInput,
    RoleChange, SessionLink, Source, TestRun,
};
pub use preset::{Start, start};
pub use recheck::{give_back, standing, still_vouched, why_ended};
pub use service::{Offer, create, delete, get, list, offer, set_enabled, update};
pub use test::{begin_test, get_test, leave_for_test, preview_claims, preview_groups, purge, tests_of};

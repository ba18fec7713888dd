//! Mailgrant's own authorization server (OAuth 2.1, RFC 9700) and OpenID Provider: clients, consents, codes, tokens, keys.
//!
//! Knows nothing of HTTP (that is `web/oauth2`) and nothing of mail. Left out on purpose, because they cannot be made
//! safe: the password grant, implicit, every response type that puts an access token into a URL. What older protocols did
//! beyond that is off unless a site admin switches it on for one client ([`Legacy`]).
//!
//! Reading order: `model` has the words; [`metadata`] names the endpoints; `authorize` checks a request, `decide` says what
//! must happen first, and gives a code, `request` unfolds signed and pushed ones, `device` begins those of devices;
//! `client_auth` says which client asks, `token` turns codes, refresh tokens and credentials into tokens, `issue` makes
//! them, `rounds` do for many at once what is wanted all the time, `dpop` binds them to keys; `inspect` says what a token is worth, and ends it; `keys` sign; `client` registers, `sessions`
//! are what a client has now.

mod authorize;
mod claims;
mod client;
mod client_auth;
mod client_keys;
mod client_metadata;
mod decide;
mod device;
pub mod dpop;
mod dynamic;
mod error;
mod inspect;
mod issue;
mod jwt_bearer;
mod keys;
mod logout;
pub mod metadata;
mod model;
mod redirect;
mod registered;
mod registration;
mod request;
mod rounds;
mod scope;
mod sessions;
mod store;
mod token;

#[cfg(test)]
mod tests;

pub use authorize::{Refused, ReturnTo, check};
pub use client::{
    ClientError, NewClient, Registered, SECRET_OVERLAP_MS, beyond_a_project, by_client_id, create, delete,
    get, list, reaches_beyond, revoke_all, rotate_secret, secrets, set_state, update,
};
pub use client_auth::{Credentials, authenticate_client};
pub use decide::{
    Allowed, ConnectedApp, Given, Pending, Reply, Step, allow, connected_apps, disconnect, end_all_of_user,
    give_code, next_step, pending, put_aside, refuse, take,
};
pub use device::{
    Begun, From as DeviceFrom, begin as begin_device, open as open_device, typed as typed_code,
};
pub use dynamic::{
    InitialToken, NewInitialToken, create_initial_token, initial_tokens, purge as purge_registrations,
    read as read_registration, register, registered_itself, remove as remove_registration,
    revoke_initial_token, token_beyond_a_project, update as update_registration,
};
pub use error::OAuthError;
pub use inspect::{
    UserInfo, authenticate, authenticate_id_token, forget_seen, introspect, is_access_token, is_for_api,
    may_travel_in_query, purge, revoke, sign_introspection, userinfo,
};
pub use issue::Issued;
pub use keys::{KeyInfo, jwks, list as signing_keys, rotate_now, rotate_when_due};
pub use logout::{
    Frame as LogoutFrame, SignOut, check as check_sign_out, collect as collect_ended_sessions,
    due as due_logouts, forget_expired as forget_expired_sessions, leave as leave_clients,
    tell as tell_logout,
};
pub use model::{
    AuthorizeRequest, ClaimsRequest, Client, ClientAuth, ClientFields, ClientSession, ClientState, Consent,
    DeviceHint, Family, GrantType, Legacy, ResponseMode, SecretInfo, SignIn, TokenFormat, TokenUse,
};
pub use redirect::ApplicationType;
pub use registration::ClientProtocol;
pub use request::{Pushed, push};
pub use rounds::Rounds;
pub use scope::{Scope, all as scopes, for_api, known as known_scope};
pub use sessions::{end as end_client_session, list as client_sessions, one as client_session};
pub use token::{Fields, token};

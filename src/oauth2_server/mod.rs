//! Mailgrant's own authorization server (OAuth 2.1, RFC 9700) and OpenID Provider: clients, consents, codes, tokens, keys.
//!
//! Knows nothing of HTTP (that is `web/oauth2`) and nothing of mail. Left out on purpose, because they cannot be made
//! safe: the password grant, implicit, every response type that puts an access token into a URL. What older protocols did
//! beyond that is off unless a site admin switches it on for one client ([`Legacy`]).
//!
//! Reading order: `model` has the words; [`metadata`] names the endpoints; `authorize` checks a request, `request` unfolds
//! signed and pushed ones, `device` begins those of devices; `waiting` keeps a request while its person signs in, `decide`
//! says what must happen first, and gives a code, `connected` ends what was given; `client_auth` says which client asks,
//! `token` turns codes, refresh tokens (`refresh`) and credentials into tokens, `issue` makes them, `rounds` do for many at
//! once what is wanted all the time, `dpop` binds them to keys; `inspect` says what a token is worth, and ends it; `keys`
//! sign; `client` registers, `client_reach` says whose that is, `dynamic` lets clients do it themselves with the tokens of
//! `initial_tokens`, `client_metadata` and `client_addresses` read what they say; `sessions` are what a client has now.

mod authorize;
mod claims;
mod client;
mod client_addresses;
mod client_auth;
mod client_keys;
mod client_metadata;
mod client_reach;
mod connected;
mod decide;
mod device;
pub mod dpop;
mod dynamic;
mod error;
mod initial_tokens;
mod inspect;
mod issue;
mod jwt_bearer;
mod keys;
mod logout;
pub mod metadata;
mod model;
mod redirect;
mod refresh;
mod registered;
mod registration;
mod request;
mod rounds;
mod scope;
mod sessions;
mod store;
mod token;
mod waiting;

#[cfg(test)]
mod tests;

pub use authorize::{Refused, ReturnTo, check};
pub use client::{
    ClientError, NewClient, Registered, SECRET_OVERLAP_MS, by_client_id, create, delete, get, list,
    revoke_all, rotate_secret, secrets, set_state, update,
};
pub use client_auth::{Credentials, authenticate_client};
pub use client_reach::{beyond_a_project, reaches_beyond};
pub use connected::{ConnectedApp, connected_apps, disconnect, disconnect_if, end_all_of_user};
pub use decide::{Allowed, Given, Reply, Step, allow, give_code, next_step, refuse};
pub use device::{
    Begun, From as DeviceFrom, begin as begin_device, open as open_device, typed as typed_code,
};
pub use dynamic::{
    purge as purge_registrations, read as read_registration, register, registered_itself,
    remove as remove_registration, update as update_registration,
};
pub use error::OAuthError;
pub use initial_tokens::{
    InitialToken, NewInitialToken, create_initial_token, initial_tokens, revoke_initial_token,
    token_beyond_a_project,
};
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
pub use rounds::{Rounds, version};
pub use scope::{Scope, all as scopes, for_api, known as known_scope, reach_projects};
pub use sessions::{end as end_client_session, list as client_sessions, one as client_session};
pub use token::{Fields, token};
pub use waiting::{Pending, pending, put_aside, take};

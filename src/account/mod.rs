//! Accounts: people, their sessions, the links and tokens that stand in for a password, and the brake on guessing.
//!
//! Knows nothing of mail. Cookies, headers and pages are `web`'s; here a cookie is a value that finds a session.

mod brake;
mod error;
mod guessable;
mod link;
mod model;
mod password;
mod session;
mod sign_in;
mod store;
mod token;
mod user;

#[cfg(test)]
pub(crate) mod tests;

pub use error::AccountError;
pub use link::{
    LINK_MINUTES, SetupLink, needs_setup, print_setup_link, set_up, setup_link, sign_in_link,
    use_sign_in_link,
};
pub use model::{
    Flash, FlashKind, NewSession, NewToken, NewUser, Proof, Session, SessionInfo, TokenIdentity, TokenInfo,
    User,
};
pub use session::{
    ABSOLUTE_HOURS, IDLE_MINUTES, Started, end, end_all, end_one, end_others, find, last_seen, peek, purge,
    sessions_of, set_flash, start, start_in, start_with, take_flash,
};
pub use sign_in::{SignIn, confirm_password, sign_in};
pub use token::{DEFAULT_TOKEN_DAYS, authenticate, create_token, issue_token, list_tokens, revoke_token};
pub use user::{
    HashedPassword, Tokens, access, create, disable, enable, get, get_by_email, get_in, invite, list,
    new_password, read_in, rename, set_password, set_site_admin, set_theme,
};

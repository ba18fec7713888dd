//! Accounts: people, their sessions, the links and tokens that stand in for a password, and the brake on guessing.
//!
//! Knows nothing of mail. Cookies, headers and pages are `web`'s; here a cookie is a value that finds a session.

mod brake;
mod error;
mod guessable;
mod invitation;
mod link;
mod model;
mod new_email;
mod outside;
mod password;
mod second_factor;
mod session;
mod sign_in;
mod step;
mod store;
mod token;
mod totp;
mod user;

#[cfg(test)]
pub(crate) mod tests;

pub use error::AccountError;
pub use invitation::{
    LinkKind, PasswordLink, look_at_link, note_mailed, open_invitations, password_link, revoke_invitation,
    take_link,
};
pub use link::{
    LINK_MINUTES, SetupLink, needs_setup, print_setup_link, set_up, setup_link, sign_in_link,
    use_sign_in_link,
};
pub use model::{
    Flash, FlashKind, NewSession, NewToken, NewUser, Proof, Session, SessionInfo, TokenIdentity, TokenInfo,
    User,
};
pub use new_email::{EMAIL_LINK_HOURS, NewEmail, ask_for_email, confirm_email, look_at_email};
pub use outside::{
    add_in, by_email_in, count_in, end_in, forget_setup_links, is_email, lock_people, normal_email,
    set_site_admin_in,
};
pub use second_factor::{
    Offer, RECOVERY_CODES, SecondFactor, check_code, enrol, offer, remove_second_factor, renew_codes,
    second_factor, with_second_factor,
};
pub use session::{
    ABSOLUTE_HOURS, IDLE_MINUTES, Started, end, end_all, end_one, end_others, find, goes_on, is_still_there,
    peek, purge, sessions_of, set_flash, start, start_in, start_with, strengthen, take_flash,
};
pub use sign_in::{SignIn, brake_reset, confirm_password, hold, may_be_mailed, sign_in};
pub use step::{Asked, STEP_MINUTES, Step, begin_step, finish_step, needs_step, step, wants_second_factor};
pub use token::{DEFAULT_TOKEN_DAYS, authenticate, create_token, issue_token, list_tokens, revoke_token};
pub use user::{
    HashedPassword, PersonChange, Tokens, access, change, create, disable, enable, enable_in, get,
    get_by_email, get_in, hold_person, invite, invite_in, is_email_verified, list, new_password,
    note_verified, read_in, remove, rename, set_password, set_theme,
};

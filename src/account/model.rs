//! Plain types: people, sessions, tokens. No secret is in any of them.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::access::{MACHINE, Scope, Scopes};

/// Somebody who can sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `usr_` + ULID.
    pub id: String,
    /// Address they sign in with, lower-case, unique.
    pub email: String,
    /// Name shown; the address if none was given.
    pub name: String,
    /// Telephone number, as they wrote it; may be empty.
    pub phone: String,
    /// Postal address in lines, as they wrote it; may be empty.
    pub address: String,
    /// Whether they may do everything on the site.
    pub is_site_admin: bool,
    /// `auto`, `light` or `dark`.
    pub theme: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Set when the account may no longer sign in.
    pub disabled_at: Option<i64>,
    /// When they signed in last; milliseconds since 1970.
    pub last_sign_in_at: Option<i64>,
    /// When their password was set; none while they have no password here.
    pub password_set_at: Option<i64>,
    /// Set when name and address were removed for good; the row stays, because tickets and events name its id.
    pub removed_at: Option<i64>,
    /// Grows with every change by an admin or the person.
    pub revision: i64,
}

impl User {
    /// Whether they may sign in at all.
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none() && self.removed_at.is_none()
    }
}

/// How somebody showed who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Methods, in the words of RFC 8176: `pwd` for a password, `otp` for a code, `mfa` for both.
    pub amr: Vec<String>,
    /// The identity provider that vouches for them; empty for a sign-in here.
    pub identity_provider_id: String,
    /// That provider's name of its own session (`sid`), by which it ends ours; may be empty.
    pub provider_sid: String,
    /// That provider's name of the class of the sign-in (`acr`); may be empty.
    pub acr: String,
    /// When they did so, if that was not just now; milliseconds since 1970, and 0 if nobody knows.
    pub auth_time: Option<i64>,
}

impl Proof {
    /// A password.
    pub fn password() -> Self {
        Self::of(&["pwd"])
    }

    /// A one-time link.
    pub fn link() -> Self {
        Self::of(&["link"])
    }

    /// These methods, here.
    pub fn of(amr: &[&str]) -> Self {
        Self {
            amr: amr.iter().map(|word| (*word).to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The same with a code as the second factor.
    #[must_use]
    pub fn with_code(mut self) -> Self {
        for word in ["otp", "mfa"] {
            if !self.has(word) {
                self.amr.push(word.to_owned());
            }
        }
        self
    }

    /// Whether a method was used.
    pub fn has(&self, word: &str) -> bool {
        self.amr.iter().any(|known| known == word)
    }

    /// Whether more than one factor was shown, here or (as far as we are told) at the identity provider.
    pub fn is_strong(&self) -> bool {
        self.has("mfa") || !self.identity_provider_id.is_empty()
    }
}

/// What a session begins with.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    /// Whose it is.
    pub user_id: &'a str,
    /// The session the browser had before, which ends.
    pub replaces: Option<&'a str>,
    /// How they signed in.
    pub proof: Proof,
    /// What the browser calls itself; may be empty.
    pub browser: &'a str,
    /// From where; may be empty.
    pub address: &'a str,
}

/// What a new account is made of.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Address to sign in with.
    pub email: String,
    /// Name shown; empty takes the address.
    pub name: String,
    /// The password.
    pub password: SecretString,
    /// Whether they may do everything on the site.
    pub is_site_admin: bool,
}

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the cookie's value: names the session everywhere, opens nothing.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// Token that every unsafe request of this session carries.
    pub csrf_token: String,
    /// What applications call it: stays the same when its person signs in again in the same browser.
    pub sid: String,
    /// Whether a flash message waits.
    pub has_flash: bool,
    /// How they signed in.
    pub proof: Proof,
    /// When they last showed who they are; milliseconds since 1970, and 0 if nobody knows.
    pub auth_time: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// End of the session, whatever happens; milliseconds since 1970.
    pub expires_at: i64,
}

/// A session as its person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Names it; opens nothing.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// How they signed in.
    pub proof: Proof,
    /// What the browser called itself when it signed in; may be empty.
    pub browser: String,
    /// From where it signed in; may be empty.
    pub address: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970, exact to the minute.
    pub last_seen_at: i64,
    /// Its end, whatever happens; milliseconds since 1970.
    pub expires_at: i64,
}

/// A message for the next page this session sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// What kind of news.
    pub kind: FlashKind,
    /// The text, to be escaped like any other.
    pub text: String,
}

/// What kind of news a flash message brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlashKind {
    /// It worked.
    Success,
    /// It worked, but.
    Warning,
    /// It did not work.
    Error,
}

/// An API token as listed: never the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// `tok_` + ULID.
    pub id: String,
    /// Name given by who made it.
    pub name: String,
    /// On whose behalf it acts: a user id, or `cli` for a token of no person.
    pub actor: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub expires_at: Option<i64>,
    /// Last use, exact to the minute; milliseconds since 1970.
    pub last_used_at: Option<i64>,
    /// Milliseconds since 1970.
    pub revoked_at: Option<i64>,
    /// What it may do, as far as its owner may.
    pub scopes: Scopes,
    /// The projects it is narrowed to, at least one; `None` if it reaches all that its owner does.
    pub projects: Option<BTreeSet<String>>,
}

impl TokenInfo {
    /// The person it belongs to; none if it was made on the machine.
    pub fn user_id(&self) -> Option<&str> {
        Some(self.actor.as_str()).filter(|actor| *actor != MACHINE)
    }

    /// Whether it opens anything at a time.
    pub fn is_live(&self, now: i64) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// What it is for.
    pub name: &'a str,
    /// What it may do; at least one scope.
    pub scopes: Scopes,
    /// The projects to narrow it to; `None` for all that its owner reaches.
    pub projects: Option<BTreeSet<String>>,
    /// When it ends, milliseconds since 1970; `None` for never.
    pub expires_at: Option<i64>,
}

impl<'a> NewToken<'a> {
    /// A token that may do everything its owner may, without an end.
    pub fn unlimited(name: &'a str) -> Self {
        Self {
            name,
            scopes: Scopes::from_iter([Scope::Admin]),
            projects: None,
            expires_at: None,
        }
    }
}

/// Who a bearer token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIdentity {
    /// Id of the token: who did it, in events and on grants.
    pub id: String,
    /// Name of the token.
    pub name: String,
    /// On whose behalf it acts: a user id, or `cli`.
    pub actor: String,
    /// When it ends, milliseconds since 1970.
    pub expires_at: Option<i64>,
}

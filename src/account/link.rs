//! One-time links: the first set-up, and signing in without a password where a terminal vouches for the person.
//!
//! Only the hash of a link's token is stored; using it deletes it, in the transaction that does what it allows.

use sea_orm::{DatabaseTransaction, DbErr};
use secrecy::{ExposeSecret, SecretString};

use super::error::AccountError;
use super::model::{NewUser, User};
use super::{password, store, user};
use crate::audit::{self, NewAuditEvent};
use crate::clock::Clock;
use crate::crypto;
use crate::ctx::Ctx;
use crate::db::Db;
use crate::event;

/// How long a link works, minutes.
pub const LINK_MINUTES: i64 = 30;

pub(super) const SETUP: &str = "setup";
const SIGN_IN: &str = "sign_in";

/// A set-up link that would work now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetupLink {
    /// Until when; milliseconds since 1970.
    pub expires_at: i64,
}

/// Whether nobody has an account yet.
pub async fn needs_setup(db: &Db) -> Result<bool, DbErr> {
    Ok(store::count_users(db.read()).await? == 0)
}

/// A new set-up link as an absolute URL, to be printed where only the operator sees it. Earlier ones stop working.
/// `None` once somebody has an account.
pub async fn print_setup_link(ctx: &Ctx) -> Result<Option<String>, DbErr> {
    let tx = ctx.db.begin().await?;
    store::lock_people(&tx).await?;
    if store::count_users(&tx).await? > 0 {
        tx.rollback().await?;
        return Ok(None);
    }
    store::delete_links_for(&tx, SETUP).await?;
    let token = insert(&tx, &ctx.clock, SETUP, None).await?;
    tx.commit().await?;
    Ok(Some(
        ctx.config.url(&format!("/setup?token={}", token.expose_secret())),
    ))
}

/// Whether a set-up token would work now; looking does not use it up.
///
/// # Errors
/// [`AccountError::AlreadySetUp`] or [`AccountError::DeadLink`].
pub async fn setup_link(db: &Db, clock: &Clock, token: &SecretString) -> Result<SetupLink, AccountError> {
    if !needs_setup(db).await? {
        return Err(AccountError::AlreadySetUp);
    }
    store::live_link(db.read(), &hash(token), SETUP, clock.now_ms())
        .await?
        .map(|expires_at| SetupLink { expires_at })
        .ok_or(AccountError::DeadLink)
}

/// Makes the first account, a site admin, with a set-up token. Of any number at once, one succeeds.
///
/// # Errors
/// What is wrong with the fields (the link stays good), [`AccountError::AlreadySetUp`], [`AccountError::DeadLink`].
pub async fn set_up(
    db: &Db,
    clock: &Clock,
    token: &SecretString,
    new: &NewUser,
) -> Result<User, AccountError> {
    // Looked at first, so that strangers cannot make this machine hash passwords.
    setup_link(db, clock, token).await?;
    let new = NewUser {
        is_site_admin: true,
        ..new.clone()
    };
    let checked = user::check(&new)?;
    let password_hash = password::hash(&new.password).await?;
    let tx = db.begin().await?;
    store::lock_people(&tx).await?;
    if store::count_users(&tx).await? > 0 {
        return Err(AccountError::AlreadySetUp);
    }
    store::take_link(&tx, &hash(token), SETUP, clock.now_ms())
        .await?
        .ok_or(AccountError::DeadLink)?;
    let user = user::insert(&tx, clock, checked, &password_hash, event::SYSTEM).await?;
    tx.commit().await?;
    Ok(user)
}

/// A link that signs one person in, once, as an absolute URL.
pub async fn sign_in_link(ctx: &Ctx, user_id: &str) -> Result<String, DbErr> {
    let tx = ctx.db.begin().await?;
    let token = insert(&tx, &ctx.clock, SIGN_IN, Some(user_id)).await?;
    let event = NewAuditEvent::new("user.sign_in_link_made", "user", user_id);
    audit::append(&tx, &ctx.clock, event).await?;
    tx.commit().await?;
    Ok(ctx
        .config
        .url(&format!("/sign-in/link?token={}", token.expose_secret())))
}

/// Uses a sign-in link up and says whom it signs in.
///
/// # Errors
/// [`AccountError::DeadLink`].
pub async fn use_sign_in_link(db: &Db, clock: &Clock, token: &SecretString) -> Result<User, AccountError> {
    let tx = db.begin().await?;
    let user_id = store::take_link(&tx, &hash(token), SIGN_IN, clock.now_ms())
        .await?
        .flatten()
        .ok_or(AccountError::DeadLink)?;
    let user = store::user(&tx, &user_id)
        .await?
        .filter(|user| user.is_active())
        .ok_or(AccountError::DeadLink)?;
    tx.commit().await?;
    Ok(user)
}

async fn insert(
    tx: &DatabaseTransaction,
    clock: &Clock,
    purpose: &str,
    user_id: Option<&str>,
) -> Result<SecretString, DbErr> {
    let token = SecretString::from(crypto::random_token(32));
    let now = clock.now_ms();
    store::insert_link(
        tx,
        &hash(&token),
        purpose,
        user_id,
        event::SYSTEM,
        now,
        now + LINK_MINUTES * 60_000,
    )
    .await?;
    Ok(token)
}

fn hash(token: &SecretString) -> String {
    crypto::sha256_hex(token.expose_secret().as_bytes())
}

//! Another address for oneself: asked for with the password, and counted once a link that was mailed to it is opened. The old
//! address is told.
//!
//! Only the hash of the link's token is stored, beside the address it confirms.

use sea_orm::DatabaseTransaction;
use secrecy::{ExposeSecret, SecretString};

use super::error::AccountError;
use super::model::User;
use super::user::PersonChange;
use super::{outside, store, user};
use crate::audit::{self, NewAuditEvent};
use crate::crypto;
use crate::ctx::Ctx;

/// How long the link works, hours.
pub const EMAIL_LINK_HOURS: i64 = 24;

/// An address that waits to be confirmed.
#[derive(Debug)]
pub struct NewEmail {
    /// Whose it is to be.
    pub user: User,
    /// The address.
    pub email: String,
}

/// Keeps an address until it is confirmed, and makes the link for that, as an absolute URL; an earlier one stops working.
/// `None` if somebody has the address already: nobody is told who.
///
/// # Errors
/// [`AccountError::BadEmail`], also for the address they have.
pub async fn ask_for_email(
    tx: &DatabaseTransaction,
    ctx: &Ctx,
    user: &User,
    email: &str,
) -> Result<Option<(String, SecretString)>, AccountError> {
    let email = user::normal_email(email);
    if !user::is_email(&email) || email == user.email {
        return Err(AccountError::BadEmail);
    }
    let event = NewAuditEvent::new("user.email_asked", "user", &user.id).by(&user.id);
    audit::append(tx, &ctx.clock, event).await?;
    if outside::by_email_in(tx, &email).await?.is_some() {
        return Ok(None);
    }
    let token = crypto::random_token(32);
    let now = ctx.clock.now_ms();
    let hash = crypto::sha256_hex(token.as_bytes());
    store::put_email_change(
        tx,
        &user.id,
        &hash,
        &email,
        now,
        now + EMAIL_LINK_HOURS * 3_600_000,
    )
    .await?;
    let url = ctx.config.url(&format!("/confirm-email?token={token}"));
    Ok(Some((email, SecretString::from(url))))
}

/// What a token would confirm; looking does not use it up.
///
/// # Errors
/// [`AccountError::DeadLink`].
pub async fn look_at_email(ctx: &Ctx, token: &SecretString) -> Result<NewEmail, AccountError> {
    let hash = crypto::sha256_hex(token.expose_secret().as_bytes());
    let found = store::email_change(ctx.db.read(), &hash, ctx.clock.now_ms()).await?;
    let (user_id, email) = found.ok_or(AccountError::DeadLink)?;
    let user = store::user(ctx.db.read(), &user_id).await?;
    let user = user.filter(User::is_active).ok_or(AccountError::DeadLink)?;
    Ok(NewEmail { user, email })
}

/// Uses a link up: its person signs in with the new address from now on. Says what was before.
///
/// # Errors
/// [`AccountError::DeadLink`]; of two requests at once, one gets it. [`AccountError::DuplicateEmail`] if somebody took the
/// address meanwhile.
pub async fn confirm_email(
    tx: &DatabaseTransaction,
    ctx: &Ctx,
    token: &SecretString,
) -> Result<NewEmail, AccountError> {
    let hash = crypto::sha256_hex(token.expose_secret().as_bytes());
    let now = ctx.clock.now_ms();
    // Whoever changes people or shuts them out takes what is theirs in this order: the lock, the person, the rest.
    store::lock_people(tx).await?;
    if let Some((user_id, _)) = store::email_change(tx, &hash, now).await? {
        store::hold_person(tx, &user_id).await?;
    }
    let taken = store::take_email_change(tx, &hash, now).await?;
    let (user_id, email) = taken.ok_or(AccountError::DeadLink)?;
    let before = store::user(tx, &user_id).await?;
    let before = before.filter(User::is_active).ok_or(AccountError::DeadLink)?;
    let change = PersonChange {
        email: Some(email.clone()),
        ..PersonChange::default()
    };
    user::change(tx, &ctx.clock, &user_id, None, &change, &user_id).await?;
    // Whoever followed the link reads the mail of that address.
    store::set_verified_email(tx, &user_id, &user::normal_email(&email)).await?;
    Ok(NewEmail { user: before, email })
}

//! Signing in with address and password.

use sea_orm::DatabaseTransaction;
use secrecy::SecretString;
use serde_json::json;

use super::brake::Attempt;
use super::error::AccountError;
use super::model::User;
use super::{password, store, user};
use crate::audit::{self, NewAuditEvent};
use crate::clock::Clock;
use crate::ctx::Ctx;
use crate::db::Db;

/// An attempt to sign in.
#[derive(Clone, Debug)]
pub struct SignIn<'a> {
    /// Address of the account, as typed.
    pub email: &'a str,
    /// Password, as typed.
    pub password: &'a SecretString,
    /// Network address it came from.
    pub address: &'a str,
}

/// Whose address and password this is. Unknown and disabled accounts get the same answer after the same work.
///
/// # Errors
/// [`AccountError::WrongCredentials`], or [`AccountError::TooManyAttempts`] after several wrong ones.
pub async fn sign_in(db: &Db, clock: &Clock, attempt: &SignIn<'_>) -> Result<User, AccountError> {
    let email = user::normal_email(attempt.email);
    let brake = Attempt::new(&email, attempt.address);
    brake.begin(db, clock.now_ms()).await?;
    let found = store::user_with_hash(db.read(), &email)
        .await?
        .filter(|(user, _)| user.is_active());
    let (user, hash) = found.unzip();
    // An account without a password takes the same work as one that does not exist.
    let hash = hash.filter(|hash| !hash.is_empty());
    if !password::verify(attempt.password, hash).await? {
        // Whose account it was about, not what was typed: a password gets into the wrong field easily. Attempts that
        // the brake refuses are not noted one by one.
        let account = user.as_ref().map_or("", |user| &user.id);
        let event = NewAuditEvent::new("session.refused", "user", account)
            .by(audit::NOBODY)
            .saying(json!({ "how": "password" }));
        audit::append(db.write(), clock, event).await?;
        return Err(AccountError::WrongCredentials);
    }
    brake.succeeded(db).await?;
    user.ok_or(AccountError::WrongCredentials)
}

/// Makes sure that somebody who showed who they are still is who they were then, and stays so until the transaction
/// ends: a password that was changed meanwhile ends the sign-ins under way as it ends sessions.
///
/// # Errors
/// [`AccountError::WrongCredentials`] if the password is another one by now, or the account is closed.
pub async fn hold(tx: &DatabaseTransaction, user: &User) -> Result<(), AccountError> {
    match store::hold_password(tx, &user.id).await? {
        Some(set_at) if set_at == user.password_set_at => Ok(()),
        _ => Err(AccountError::WrongCredentials),
    }
}

/// Whether somebody who is signed in already knows the password of the account, under the same brake.
///
/// # Errors
/// [`AccountError::WrongPassword`], [`AccountError::TooManyAttempts`].
pub async fn confirm_password(
    ctx: &Ctx,
    user: &User,
    password: &SecretString,
    address: &str,
) -> Result<(), AccountError> {
    let attempt = SignIn {
        email: &user.email,
        password,
        address,
    };
    match sign_in(&ctx.db, &ctx.clock, &attempt).await {
        Ok(found) if found.id == user.id => Ok(()),
        Ok(_) | Err(AccountError::WrongCredentials) => Err(AccountError::WrongPassword),
        Err(error) => Err(error),
    }
}

/// Counts somebody who asks for a link for a new password.
///
/// # Errors
/// [`AccountError::TooManyAttempts`].
pub async fn brake_reset(ctx: &Ctx, address: &str) -> Result<(), AccountError> {
    Attempt::for_reset(address)
        .begin(&ctx.db, ctx.clock.now_ms())
        .await
}

/// Whether a mail with such a link may go to somebody: nobody's mailbox is filled with them.
///
/// # Errors
/// The database failed.
pub async fn may_be_mailed(ctx: &Ctx, user: &User) -> Result<bool, AccountError> {
    match Attempt::for_reset_of(&user.id)
        .begin(&ctx.db, ctx.clock.now_ms())
        .await
    {
        Ok(()) => Ok(true),
        Err(AccountError::TooManyAttempts { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

//! What sign-in through an identity provider does with accounts, in the caller's transaction.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use secrecy::SecretString;

use super::error::AccountError;
use super::model::{NewUser, User};
use super::{store, user};
use crate::clock::Clock;
use crate::crypto;

/// Whether a text is an address that an account can have.
pub fn is_email(text: &str) -> bool {
    user::is_email(text)
}

/// An address as it is compared and kept.
pub fn normal_email(text: &str) -> String {
    user::normal_email(text)
}

/// Lets one transaction at a time decide by who has an account.
pub async fn lock_people(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    store::lock_people(tx).await
}

/// How many people have an account.
pub async fn count_in<C: ConnectionTrait>(on: &C) -> Result<u64, DbErr> {
    store::count_users(on).await
}

/// A person by address.
pub async fn by_email_in<C: ConnectionTrait>(on: &C, email: &str) -> Result<Option<User>, DbErr> {
    let found = store::user_with_hash(on, &user::normal_email(email)).await?;
    Ok(found.map(|(user, _)| user))
}

/// Makes an account without a password, whose person comes in another way.
///
/// # Errors
/// What is wrong with the address or name, or that the address has an account.
pub async fn add_in(
    tx: &DatabaseTransaction,
    clock: &Clock,
    email: &str,
    name: &str,
    is_site_admin: bool,
    actor: &str,
) -> Result<User, AccountError> {
    let new = NewUser {
        email: email.to_owned(),
        name: name.to_owned(),
        // Checked like any other and then thrown away: what is stored matches no password.
        password: SecretString::from(crypto::random_token(32)),
        is_site_admin,
    };
    user::insert(tx, clock, user::check(&new)?, "", actor).await
}

/// Makes somebody a site admin, or takes that away.
///
/// # Errors
/// [`AccountError::LastAdmin`] for the last one who can sign in, [`AccountError::NotFound`].
pub async fn set_site_admin_in(
    tx: &DatabaseTransaction,
    clock: &Clock,
    id: &str,
    is_site_admin: bool,
    actor: &str,
) -> Result<(), AccountError> {
    if !is_site_admin && store::other_active_admins(tx, id).await? == 0 {
        return Err(AccountError::LastAdmin);
    }
    store::set_site_admin(tx, id, is_site_admin).await?;
    let kind = if is_site_admin {
        "user.promoted"
    } else {
        "user.demoted"
    };
    user::append(tx, clock, kind, id, actor).await?;
    Ok(())
}

/// Ends one session.
pub async fn end_in<C: ConnectionTrait>(on: &C, session_id: &str) -> Result<(), DbErr> {
    store::delete_session(on, session_id).await
}

/// Forgets the links that make the first administrator.
pub async fn forget_setup_links(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    store::delete_links_for(tx, super::link::SETUP).await
}

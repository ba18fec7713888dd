//! Use cases on people: make, list, disable.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use secrecy::SecretString;
use serde_json::json;

use super::error::{AccountError, MAX_NAME_CHARS};
use super::model::{NewUser, User};
use super::{password, session, store};
use crate::access::{Access, Projects};
use crate::clock::Clock;
use crate::crypto;
use crate::db::{self, Db};
use crate::event::{self, NewEvent};
use crate::{id, project};

/// Makes an account. `actor` is who asked for it: a user id or `cli`.
///
/// # Errors
/// What is wrong with the address, name or password, or that the address has an account.
pub async fn create(db: &Db, clock: &Clock, new: &NewUser, actor: &str) -> Result<User, AccountError> {
    let checked = check(new)?;
    let hash = password::hash(&new.password).await?;
    let tx = db.begin().await?;
    lock(db, &tx).await?;
    let user = insert(&tx, clock, checked, &hash, actor).await?;
    tx.commit().await?;
    Ok(user)
}

/// A person by id.
pub async fn get(db: &Db, id: &str) -> Result<Option<User>, DbErr> {
    store::user(db.read(), id).await
}

/// A person by id, in the caller's transaction.
pub async fn read_in<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<User>, DbErr> {
    store::user(on, id).await
}

/// A person by address, however it is written.
pub async fn get_by_email(db: &Db, email: &str) -> Result<Option<User>, DbErr> {
    Ok(store::user_with_hash(db.read(), &normal_email(email))
        .await?
        .map(|(user, _)| user))
}

/// What a person may do now: everything for a site admin, their roles in projects otherwise.
pub async fn access(db: &Db, user: &User) -> Result<Access, DbErr> {
    let members = if user.is_site_admin {
        BTreeMap::new()
    } else {
        project::roles_of(db, &user.id).await?
    };
    Ok(Access::person(&user.id, user.is_site_admin, members))
}

/// The members of these projects by address; everybody for all of them.
pub async fn list(db: &Db, projects: &Projects) -> Result<Vec<User>, DbErr> {
    store::users(db.read(), projects).await
}

/// A person by id, if they are a member of these projects.
pub async fn get_in(db: &Db, projects: &Projects, id: &str) -> Result<Option<User>, DbErr> {
    store::user_in(db.read(), projects, id).await
}

/// Makes an account without a password: its person gets in by a one-time link and sets one then.
///
/// # Errors
/// What is wrong with the address or name, or that the address has an account.
pub async fn invite(
    db: &Db,
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
    let checked = check(&new)?;
    let tx = db.begin().await?;
    lock(db, &tx).await?;
    let user = insert(&tx, clock, checked, "", actor).await?;
    tx.commit().await?;
    Ok(user)
}

/// Whether a person has a password; who came by a link has none at first.
pub async fn has_password(db: &Db, id: &str) -> Result<bool, DbErr> {
    let Some(user) = store::user(db.read(), id).await? else {
        return Ok(false);
    };
    let found = store::user_with_hash(db.read(), &user.email).await?;
    Ok(found.is_some_and(|(_, hash)| !hash.is_empty()))
}

/// Makes somebody a site admin, or takes that away.
///
/// # Errors
/// [`AccountError::LastAdmin`] for the last one who can sign in, [`AccountError::NotFound`].
pub async fn set_site_admin(
    db: &Db,
    clock: &Clock,
    id: &str,
    is_site_admin: bool,
    actor: &str,
) -> Result<(), AccountError> {
    let tx = db.begin().await?;
    lock(db, &tx).await?;
    let user = store::user(&tx, id)
        .await?
        .ok_or(AccountError::NotFound("user"))?;
    if user.is_site_admin == is_site_admin {
        return Ok(());
    }
    if !is_site_admin && store::other_active_admins(&tx, id).await? == 0 {
        return Err(AccountError::LastAdmin);
    }
    store::set_site_admin(&tx, id, is_site_admin).await?;
    let kind = if is_site_admin {
        "user.promoted"
    } else {
        "user.demoted"
    };
    append(&tx, clock, kind, id, actor).await?;
    tx.commit().await?;
    Ok(())
}

/// Keeps somebody out from now on; their sessions end and their tokens are revoked, for good.
///
/// # Errors
/// [`AccountError::LastAdmin`] for the last site admin who can sign in, [`AccountError::NotFound`].
pub async fn disable(db: &Db, clock: &Clock, id: &str, actor: &str) -> Result<(), AccountError> {
    let tx = db.begin().await?;
    lock(db, &tx).await?;
    let user = store::user(&tx, id)
        .await?
        .ok_or(AccountError::NotFound("user"))?;
    if user.is_site_admin && store::other_active_admins(&tx, id).await? == 0 {
        return Err(AccountError::LastAdmin);
    }
    store::set_disabled(&tx, id, Some(clock.now_ms())).await?;
    session::end_all_on(&tx, id).await?;
    store::revoke_tokens_of(&tx, id, clock.now_ms()).await?;
    store::delete_links_of(&tx, id).await?;
    append(&tx, clock, "user.disabled", id, actor).await?;
    tx.commit().await?;
    Ok(())
}

/// Lets somebody in again.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn enable(db: &Db, clock: &Clock, id: &str, actor: &str) -> Result<(), AccountError> {
    let tx = db.begin().await?;
    if !store::set_disabled(&tx, id, None).await? {
        return Err(AccountError::NotFound("user"));
    }
    append(&tx, clock, "user.enabled", id, actor).await?;
    tx.commit().await?;
    Ok(())
}

/// Sets a new password and ends every session of the account.
///
/// # Errors
/// What is wrong with the password, or [`AccountError::NotFound`].
pub async fn change_password(
    db: &Db,
    clock: &Clock,
    id: &str,
    new: &SecretString,
    actor: &str,
) -> Result<(), AccountError> {
    let user = store::user(db.read(), id)
        .await?
        .ok_or(AccountError::NotFound("user"))?;
    password::check(new, &user.email, &user.name)?;
    let hash = password::hash(new).await?;
    let tx = db.begin().await?;
    store::set_password(&tx, id, &hash).await?;
    session::end_all_on(&tx, id).await?;
    append(&tx, clock, "user.password_changed", id, actor).await?;
    tx.commit().await?;
    Ok(())
}

/// Keeps the choice of colours; anything but `light` and `dark` is `auto`.
pub async fn set_theme(db: &Db, id: &str, theme: &str) -> Result<(), DbErr> {
    let theme = match theme {
        "light" | "dark" => theme,
        _ => "auto",
    };
    store::set_theme(db.write(), id, theme).await
}

/// A new account whose fields were found good.
pub(super) struct Checked {
    email: String,
    name: String,
    is_site_admin: bool,
}

pub(super) fn check(new: &NewUser) -> Result<Checked, AccountError> {
    let email = normal_email(&new.email);
    if !is_email(&email) {
        return Err(AccountError::BadEmail);
    }
    let name = match new.name.trim() {
        "" => email.clone(),
        name => name.to_owned(),
    };
    if name.chars().count() > MAX_NAME_CHARS.max(email.len()) || name.chars().any(char::is_control) {
        return Err(AccountError::BadName);
    }
    password::check(&new.password, &email, &name)?;
    Ok(Checked {
        email,
        name,
        is_site_admin: new.is_site_admin,
    })
}

pub(super) async fn insert(
    tx: &DatabaseTransaction,
    clock: &Clock,
    new: Checked,
    hash: &str,
    actor: &str,
) -> Result<User, AccountError> {
    let user = User {
        id: id::new("usr", clock),
        email: new.email,
        name: new.name,
        is_site_admin: new.is_site_admin,
        theme: "auto".into(),
        created_at: clock.now_ms(),
        disabled_at: None,
    };
    store::insert_user(tx, &user, hash).await.map_err(|error| {
        if db::is_duplicate(&error) {
            AccountError::DuplicateEmail(user.email.clone())
        } else {
            AccountError::Db(error)
        }
    })?;
    append(tx, clock, "user.created", &user.id, actor).await?;
    Ok(user)
}

/// One at a time may decide by how many people there are. SQLite has one writer anyway.
pub(super) async fn lock(db: &Db, tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if db.is_postgres() {
        tx.execute_unprepared("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
            .await?;
    }
    Ok(())
}

pub(super) fn normal_email(text: &str) -> String {
    text.trim().to_lowercase()
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let plain = |part: &str| {
        !part.is_empty()
            && !part
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || "<>,;\"@".contains(c))
    };
    text.len() <= 254 && plain(local) && plain(domain) && !domain.starts_with('.') && !domain.ends_with('.')
}

async fn append(
    tx: &DatabaseTransaction,
    clock: &Clock,
    kind: &str,
    user_id: &str,
    actor: &str,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind,
        project_id: "",
        subject_id: user_id,
        actor,
        data: json!({}),
    };
    event::append(tx, clock, event).await.map(|_| ())
}

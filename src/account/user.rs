//! Use cases on people: make, list, disable.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::error::{AccountError, MAX_NAME_CHARS};
use super::model::{NewUser, User};
use super::password::{self, Around};
use super::{session, store};
use crate::access::{Access, MACHINE, Projects};
use crate::clock::Clock;
use crate::crypto;
use crate::ctx::Ctx;
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
    store::lock_people(&tx).await?;
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

/// Notes that a person showed that they read an address: the one they have, or nothing comes of it.
pub async fn note_verified<C: ConnectionTrait>(on: &C, id: &str, address: &str) -> Result<(), DbErr> {
    store::set_verified_email(on, id, &normal_email(address)).await
}

/// Whether a person showed that they read the address they have now: by a link that was mailed there, or by the word of
/// an identity provider.
pub async fn is_email_verified(db: &Db, id: &str) -> Result<bool, DbErr> {
    store::is_email_verified(db.read(), id).await
}

/// Lets nobody change a person, or end what they gave, until the caller's transaction ends. To be taken before any other
/// row of theirs: everybody takes them in that order.
pub async fn hold_person<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    store::hold_person(on, id).await
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
pub async fn invite_in(
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
    let checked = check(&new)?;
    store::lock_people(tx).await?;
    insert(tx, clock, checked, "", actor).await
}

/// The same in a transaction of its own.
///
/// # Errors
/// As [`invite_in`].
pub async fn invite(
    db: &Db,
    clock: &Clock,
    email: &str,
    name: &str,
    is_site_admin: bool,
    actor: &str,
) -> Result<User, AccountError> {
    let tx = db.begin().await?;
    let user = invite_in(&tx, clock, email, name, is_site_admin, actor).await?;
    tx.commit().await?;
    Ok(user)
}

/// Keeps somebody out from now on; their sessions end and their personal tokens are revoked, for good. The caller ends
/// what hangs on the account elsewhere.
///
/// # Errors
/// [`AccountError::LastAdmin`] for the last site admin who can sign in, [`AccountError::NotFound`].
pub async fn disable(
    tx: &DatabaseTransaction,
    clock: &Clock,
    id: &str,
    actor: &str,
) -> Result<(), AccountError> {
    store::lock_people(tx).await?;
    let user = living(tx, id).await?;
    if user.disabled_at.is_some() {
        return Ok(());
    }
    keep_an_admin(tx, &user).await?;
    store::set_disabled(tx, id, Some(clock.now_ms())).await?;
    shut_out(tx, clock, id).await?;
    append(tx, clock, "user.disabled", id, actor).await?;
    Ok(())
}

/// Everything by which a person is or gets in, ended.
async fn shut_out(tx: &DatabaseTransaction, clock: &Clock, id: &str) -> Result<(), DbErr> {
    session::end_all(tx, id).await?;
    store::revoke_tokens_of(tx, id, clock.now_ms()).await?;
    store::delete_steps_of(tx, id).await?;
    store::delete_email_change_of(tx, id).await?;
    store::delete_links_of(tx, id).await
}

/// Lets somebody in again.
///
/// # Errors
/// [`AccountError::NotFound`], [`AccountError::Removed`].
pub async fn enable(db: &Db, clock: &Clock, id: &str, actor: &str) -> Result<(), AccountError> {
    let tx = db.begin().await?;
    enable_in(&tx, clock, id, actor).await?;
    tx.commit().await?;
    Ok(())
}

/// The same in the caller's transaction.
///
/// # Errors
/// [`AccountError::NotFound`], [`AccountError::Removed`].
pub async fn enable_in(
    tx: &DatabaseTransaction,
    clock: &Clock,
    id: &str,
    actor: &str,
) -> Result<(), AccountError> {
    store::lock_people(tx).await?;
    let user = living(tx, id).await?;
    if user.disabled_at.is_some() {
        store::set_disabled(tx, id, None).await?;
        append(tx, clock, "user.enabled", id, actor).await?;
    }
    Ok(())
}

/// A password that was found good and hashed; made before the transaction that stores it, because hashing takes long.
pub struct HashedPassword(String);

impl std::fmt::Debug for HashedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashedPassword")
    }
}

/// Checks and hashes a new password for an account.
///
/// # Errors
/// What is wrong with it.
pub async fn new_password(
    user: &User,
    host: &str,
    password: &SecretString,
) -> Result<HashedPassword, AccountError> {
    let around = Around {
        email: &user.email,
        name: &user.name,
        host,
    };
    password::check(password, around)?;
    Ok(HashedPassword(password::hash(password).await?))
}

/// What a new password does to the personal tokens of its person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// They go on: the person says that only the password is to change.
    Keep,
    /// They are revoked: somebody else may have made some.
    Revoke,
}

/// Sets a new password and ends every session and link of the account. The caller ends what hangs on the account
/// elsewhere.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn set_password(
    tx: &DatabaseTransaction,
    clock: &Clock,
    id: &str,
    new: &HashedPassword,
    tokens: Tokens,
    actor: &str,
) -> Result<(), AccountError> {
    living(tx, id).await?;
    store::set_password(tx, id, &new.0, clock.now_ms()).await?;
    session::end_all(tx, id).await?;
    store::delete_steps_of(tx, id).await?;
    store::delete_links_of(tx, id).await?;
    store::delete_email_change_of(tx, id).await?;
    if tokens == Tokens::Revoke {
        store::revoke_tokens_of(tx, id, clock.now_ms()).await?;
    }
    append(tx, clock, "user.password_changed", id, actor).await?;
    Ok(())
}

/// What is to be different about a person; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct PersonChange {
    /// Name shown.
    pub name: Option<String>,
    /// Address to sign in with.
    pub email: Option<String>,
    /// Telephone number; an empty one takes it away.
    pub phone: Option<String>,
    /// Postal address; an empty one takes it away.
    pub address: Option<String>,
    /// Whether they may do everything on the site.
    pub is_site_admin: Option<bool>,
}

/// Changes a person, if they are as they were `seen`. Another address ends the links that wait for the old one.
///
/// # Errors
/// What is wrong with a field, [`AccountError::LastAdmin`], [`AccountError::NotFound`].
pub async fn change(
    tx: &DatabaseTransaction,
    clock: &Clock,
    id: &str,
    seen: Option<i64>,
    change: &PersonChange,
    actor: &str,
) -> Result<(), AccountError> {
    store::lock_people(tx).await?;
    let user = living(tx, id).await?;
    if seen.is_some_and(|seen| seen != user.revision) {
        return Err(AccountError::Conflict);
    }
    if let Some(name) = &change.name {
        rename(tx, clock, id, name, actor).await?;
    }
    let phone = change.phone.as_deref().map(good_phone).transpose()?;
    let address = change.address.as_deref().map(good_address).transpose()?;
    let phone = phone.as_ref().unwrap_or(&user.phone);
    let address = address.as_ref().unwrap_or(&user.address);
    if (phone, address) != (&user.phone, &user.address) {
        store::set_contact(tx, id, phone, address).await?;
        let fields = [
            ("phoneNumber", phone != &user.phone),
            ("address", address != &user.address),
        ];
        let fields = fields.into_iter().filter(|(_, is_new)| *is_new);
        let fields: Vec<&str> = fields.map(|(name, _)| name).collect();
        append_changed(tx, clock, id, &fields, actor).await?;
    }
    if let Some(email) = change.email.as_deref().map(normal_email)
        && email != user.email
    {
        if !is_email(&email) {
            return Err(AccountError::BadEmail);
        }
        store::set_email(tx, id, &email)
            .await
            .map_err(|error| duplicate(error, &email))?;
        store::delete_links_of(tx, id).await?;
        store::delete_email_change_of(tx, id).await?;
        append_changed(tx, clock, id, &["email"], actor).await?;
    }
    if let Some(wanted) = change.is_site_admin
        && wanted != user.is_site_admin
    {
        if !wanted {
            keep_an_admin(tx, &user).await?;
        }
        store::set_site_admin(tx, id, wanted).await?;
        let kind = if wanted { "user.promoted" } else { "user.demoted" };
        append(tx, clock, kind, id, actor).await?;
    }
    Ok(())
}

fn duplicate(error: DbErr, email: &str) -> AccountError {
    if db::is_duplicate(&error) {
        AccountError::DuplicateEmail(email.to_owned())
    } else {
        AccountError::Db(error)
    }
}

/// Removes a person for good, if they are as they were `seen`: what names them is overwritten, and everything by which
/// they got in is deleted. The row stays, because tickets and events name its id.
///
/// # Errors
/// [`AccountError::LastAdmin`] for the last site admin who can sign in, [`AccountError::Conflict`],
/// [`AccountError::NotFound`].
pub async fn remove(
    tx: &DatabaseTransaction,
    ctx: &Ctx,
    id: &str,
    seen: Option<i64>,
    actor: &str,
) -> Result<(), AccountError> {
    store::lock_people(tx).await?;
    let user = living(tx, id).await?;
    if seen.is_some_and(|seen| seen != user.revision) {
        return Err(AccountError::Conflict);
    }
    keep_an_admin(tx, &user).await?;
    shut_out(tx, &ctx.clock, id).await?;
    store::delete_totp(tx, id).await?;
    store::overwrite_person(tx, id, REMOVED, ctx.clock.now_ms()).await?;
    append(tx, &ctx.clock, "user.removed", id, actor).await?;
    Ok(())
}

/// How a person is called who was removed.
const REMOVED: &str = "Removed person";

/// Makes somebody a site admin who may sign in, whatever they were: the way in that is made on the machine.
pub(super) async fn recover(tx: &DatabaseTransaction, ctx: &Ctx, user: &User) -> Result<(), AccountError> {
    store::lock_people(tx).await?;
    if user.disabled_at.is_some() {
        store::set_disabled(tx, &user.id, None).await?;
        append(tx, &ctx.clock, "user.enabled", &user.id, MACHINE).await?;
    }
    if !user.is_site_admin {
        store::set_site_admin(tx, &user.id, true).await?;
        append(tx, &ctx.clock, "user.promoted", &user.id, MACHINE).await?;
    }
    Ok(())
}

/// A person who was not removed.
async fn living(tx: &DatabaseTransaction, id: &str) -> Result<User, AccountError> {
    let user = store::user(tx, id).await?.ok_or(AccountError::NotFound("user"))?;
    if user.removed_at.is_some() {
        return Err(AccountError::Removed);
    }
    Ok(user)
}

/// Refuses to take the last site admin away who can sign in.
async fn keep_an_admin(tx: &DatabaseTransaction, user: &User) -> Result<(), AccountError> {
    if user.is_site_admin && user.is_active() && store::other_active_admins(tx, &user.id).await? == 0 {
        return Err(AccountError::LastAdmin);
    }
    Ok(())
}

/// Gives a person another name.
///
/// # Errors
/// [`AccountError::BadName`], [`AccountError::NotFound`].
pub async fn rename(
    tx: &DatabaseTransaction,
    clock: &Clock,
    id: &str,
    name: &str,
    actor: &str,
) -> Result<(), AccountError> {
    let name = good_name(name)?;
    let user = living(tx, id).await?;
    if user.name == name {
        return Ok(());
    }
    store::set_name(tx, id, &name).await?;
    append_changed(tx, clock, id, &["name"], actor).await
}

/// A name as it is stored.
fn good_name(text: &str) -> Result<String, AccountError> {
    let name = text.trim();
    let is_good =
        !name.is_empty() && name.chars().count() <= MAX_NAME_CHARS && !name.chars().any(char::is_control);
    is_good.then(|| name.to_owned()).ok_or(AccountError::BadName)
}

/// A telephone number as it is stored.
fn good_phone(text: &str) -> Result<String, AccountError> {
    let text = text.trim();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_good = text.is_empty()
        || (digits >= 3
            && text.len() <= 40
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || b"+-()./ ".contains(&b)));
    is_good.then(|| text.to_owned()).ok_or(AccountError::BadPhone)
}

/// A postal address as it is stored: lines, whatever a browser puts between them.
fn good_address(text: &str) -> Result<String, AccountError> {
    let text = text.trim().replace("\r\n", "\n");
    let is_good = text.chars().count() <= 500 && !text.chars().any(|c| c.is_control() && c != '\n');
    is_good.then_some(text).ok_or(AccountError::BadAddress)
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
    let around = Around {
        email: &email,
        name: &name,
        host: "",
    };
    password::check(&new.password, around)?;
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
        phone: String::new(),
        address: String::new(),
        is_site_admin: new.is_site_admin,
        theme: "auto".into(),
        created_at: clock.now_ms(),
        disabled_at: None,
        last_sign_in_at: None,
        password_set_at: (!hash.is_empty()).then(|| clock.now_ms()),
        removed_at: None,
        revision: 1,
    };
    store::insert_user(tx, &user, hash)
        .await
        .map_err(|error| duplicate(error, &user.email))?;
    append(tx, clock, "user.created", &user.id, actor).await?;
    Ok(User { revision: 2, ..user })
}

/// Without space around it, in small letters. A letter of another alphabet never becomes one of ours: the sign for Kelvin
/// is no k, and whoever owns an address with it owns no other.
pub(super) fn normal_email(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for c in text.trim().chars() {
        let mut small = c.to_lowercase();
        if c.is_ascii() || !small.any(|c| c.is_ascii()) {
            normal.extend(c.to_lowercase());
        } else {
            normal.push(c);
        }
    }
    normal
}

pub(super) fn is_email(text: &str) -> bool {
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

/// Notes which fields of a person are different now.
async fn append_changed(
    tx: &DatabaseTransaction,
    clock: &Clock,
    user_id: &str,
    fields: &[&str],
    actor: &str,
) -> Result<(), AccountError> {
    let data = json!({ "changed": fields });
    append_saying(tx, clock, ("user.changed", data), user_id, actor).await
}

/// Notes what happened to a person, and counts it as a change.
pub(super) async fn append(
    tx: &DatabaseTransaction,
    clock: &Clock,
    kind: &str,
    user_id: &str,
    actor: &str,
) -> Result<(), AccountError> {
    append_saying(tx, clock, (kind, json!({})), user_id, actor).await
}

async fn append_saying(
    tx: &DatabaseTransaction,
    clock: &Clock,
    (kind, data): (&str, Value),
    user_id: &str,
    actor: &str,
) -> Result<(), AccountError> {
    store::count_change(tx, user_id).await?;
    let event = NewEvent {
        kind,
        project_id: "",
        subject_id: user_id,
        actor,
        data,
    };
    event::append(tx, clock, event).await?;
    Ok(())
}

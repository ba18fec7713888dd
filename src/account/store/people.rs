//! People.

use sea_orm::entity::prelude::*;
use sea_orm::{
    ActiveValue::Set, Condition, ConnectionTrait, DatabaseBackend, DatabaseTransaction, PaginatorTrait,
    QueryOrder, Value,
};

use crate::access::Projects;
use crate::account::model::User;
use crate::db::{sql, within_table};

mod users {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub email: String,
        pub name: String,
        pub phone: String,
        pub address: String,
        pub password_hash: String,
        pub site_admin: bool,
        pub theme: String,
        pub created_at: i64,
        pub disabled_at: Option<i64>,
        pub last_sign_in_at: Option<i64>,
        pub password_set_at: Option<i64>,
        pub removed_at: Option<i64>,
        pub revision: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl From<users::Model> for User {
    fn from(row: users::Model) -> Self {
        Self {
            id: row.id,
            email: row.email,
            name: row.name,
            phone: row.phone,
            address: row.address,
            is_site_admin: row.site_admin,
            theme: row.theme,
            created_at: row.created_at,
            disabled_at: row.disabled_at,
            last_sign_in_at: row.last_sign_in_at,
            password_set_at: row.password_set_at,
            removed_at: row.removed_at,
            revision: row.revision,
        }
    }
}

pub(in crate::account) async fn insert_user<C: ConnectionTrait>(
    on: &C,
    user: &User,
    hash: &str,
) -> Result<(), DbErr> {
    let row = users::ActiveModel {
        id: Set(user.id.clone()),
        email: Set(user.email.clone()),
        name: Set(user.name.clone()),
        phone: Set(user.phone.clone()),
        address: Set(user.address.clone()),
        password_hash: Set(hash.to_owned()),
        site_admin: Set(user.is_site_admin),
        theme: Set(user.theme.clone()),
        created_at: Set(user.created_at),
        disabled_at: Set(user.disabled_at),
        last_sign_in_at: Set(user.last_sign_in_at),
        password_set_at: Set(user.password_set_at),
        removed_at: Set(user.removed_at),
        revision: Set(user.revision),
    };
    users::Entity::insert(row)
        .exec_without_returning(on)
        .await
        .map(|_| ())
}

pub(in crate::account) async fn user<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<User>, DbErr> {
    Ok(users::Entity::find_by_id(id).one(on).await?.map(User::from))
}

pub(in crate::account) async fn user_with_hash<C: ConnectionTrait>(
    on: &C,
    email: &str,
) -> Result<Option<(User, String)>, DbErr> {
    let row = users::Entity::find()
        .filter(users::Column::Email.eq(email))
        .one(on)
        .await?;
    Ok(row.map(|row| {
        let hash = row.password_hash.clone();
        (User::from(row), hash)
    }))
}

/// People who are members of these projects; everybody for all of them.
fn known_in(projects: &Projects) -> Condition {
    let id = (users::Entity, users::Column::Id);
    within_table(projects, id, "project_members", "user_id")
}

pub(in crate::account) async fn user_in<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    id: &str,
) -> Result<Option<User>, DbErr> {
    let found = users::Entity::find_by_id(id)
        .filter(known_in(projects))
        .one(on)
        .await?;
    Ok(found.map(User::from))
}

pub(in crate::account) async fn users<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
) -> Result<Vec<User>, DbErr> {
    let rows = users::Entity::find()
        .filter(known_in(projects))
        .order_by_asc(users::Column::Email)
        .all(on)
        .await?;
    Ok(rows.into_iter().map(User::from).collect())
}

pub(in crate::account) async fn count_users<C: ConnectionTrait>(on: &C) -> Result<u64, DbErr> {
    users::Entity::find().count(on).await
}

/// The other site admins who have a way in: a password, unless a provider that is enabled leaves no local sign-in, or an
/// account at an identity provider that is enabled. Who was invited and never came has none.
pub(in crate::account) async fn other_active_admins<C: ConnectionTrait>(
    on: &C,
    id: &str,
) -> Result<i64, DbErr> {
    let text = "SELECT COUNT(*) AS n FROM users u WHERE u.id <> $1 AND u.site_admin = TRUE AND u.disabled_at IS NULL \
                AND ((u.password_set_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM identity_providers \
                WHERE enabled = TRUE AND policy LIKE '%\"local_sign_in\":false%')) OR EXISTS (SELECT 1 FROM sso_identities i \
                JOIN identity_providers p ON p.id = i.provider_id WHERE i.user_id = u.id AND p.enabled = TRUE))";
    match on.query_one_raw(sql(on, text, [id.into()])).await? {
        Some(row) => row.try_get("", "n"),
        None => Ok(0),
    }
}

pub(in crate::account) async fn set_disabled<C: ConnectionTrait>(
    on: &C,
    id: &str,
    at: Option<i64>,
) -> Result<bool, DbErr> {
    update_user(on, id, users::Column::DisabledAt, at.into()).await
}

pub(in crate::account) async fn set_site_admin<C: ConnectionTrait>(
    on: &C,
    id: &str,
    is_site_admin: bool,
) -> Result<(), DbErr> {
    update_user(on, id, users::Column::SiteAdmin, is_site_admin.into())
        .await
        .map(|_| ())
}

pub(in crate::account) async fn set_password<C: ConnectionTrait>(
    on: &C,
    id: &str,
    hash: &str,
    now: i64,
) -> Result<bool, DbErr> {
    update_user(on, id, users::Column::PasswordSetAt, now.into()).await?;
    update_user(on, id, users::Column::PasswordHash, hash.into()).await
}

pub(in crate::account) async fn note_sign_in<C: ConnectionTrait>(
    on: &C,
    id: &str,
    now: i64,
) -> Result<(), DbErr> {
    update_user(on, id, users::Column::LastSignInAt, now.into())
        .await
        .map(|_| ())
}

pub(in crate::account) async fn set_name<C: ConnectionTrait>(
    on: &C,
    id: &str,
    name: &str,
) -> Result<(), DbErr> {
    update_user(on, id, users::Column::Name, name.into())
        .await
        .map(|_| ())
}

/// Where a person can be reached beside their address for mail.
pub(in crate::account) async fn set_contact<C: ConnectionTrait>(
    on: &C,
    id: &str,
    phone: &str,
    address: &str,
) -> Result<(), DbErr> {
    update_user(on, id, users::Column::Phone, phone.into()).await?;
    update_user(on, id, users::Column::Address, address.into())
        .await
        .map(|_| ())
}

pub(in crate::account) async fn set_theme<C: ConnectionTrait>(
    on: &C,
    id: &str,
    theme: &str,
) -> Result<(), DbErr> {
    update_user(on, id, users::Column::Theme, theme.into())
        .await
        .map(|_| ())
}

/// Counts a change, so that another one that began before it is noticed.
pub(in crate::account) async fn count_change<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    let text = "UPDATE users SET revision = revision + 1 WHERE id = $1";
    on.execute_raw(sql(on, text, [id.into()])).await.map(|_| ())
}

async fn update_user<C: ConnectionTrait>(
    on: &C,
    id: &str,
    column: users::Column,
    value: Value,
) -> Result<bool, DbErr> {
    let done = users::Entity::update_many()
        .col_expr(column, Expr::value(value))
        .filter(users::Column::Id.eq(id))
        .exec(on)
        .await?;
    Ok(done.rows_affected == 1)
}

/// One at a time may decide by how many people there are. SQLite has one writer anyway.
pub(in crate::account) async fn lock_people(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if tx.get_database_backend() == DatabaseBackend::Postgres {
        // Not the table: whoever holds a person and writes that row then would wait in a circle.
        tx.execute_unprepared("SELECT pg_advisory_xact_lock(5207061)")
            .await?;
    }
    Ok(())
}

/// When the password of somebody who may sign in was set, as it is at this moment; until the transaction ends nobody
/// changes it.
pub(in crate::account) async fn hold_password(
    tx: &DatabaseTransaction,
    id: &str,
) -> Result<Option<Option<i64>>, DbErr> {
    let mut text =
        "SELECT password_set_at FROM users WHERE id = $1 AND disabled_at IS NULL AND removed_at IS NULL"
            .to_owned();
    if tx.get_database_backend() == DatabaseBackend::Postgres {
        // Not shared: the sign-in is noted in the same row, and two of one person would wait for each other.
        text.push_str(" FOR NO KEY UPDATE");
    }
    let row = tx.query_one_raw(sql(tx, &text, [id.into()])).await?;
    row.map(|row| row.try_get("", "password_set_at")).transpose()
}

pub(in crate::account) async fn set_email<C: ConnectionTrait>(
    on: &C,
    id: &str,
    email: &str,
) -> Result<(), DbErr> {
    update_user(on, id, users::Column::Email, email.into())
        .await
        .map(|_| ())
}

/// Overwrites what names a person, and how they signed in.
pub(in crate::account) async fn overwrite_person<C: ConnectionTrait>(
    on: &C,
    id: &str,
    name: &str,
    now: i64,
) -> Result<(), DbErr> {
    let text = "UPDATE users SET email = $2, name = $3, phone = '', address = '', password_hash = '', site_admin = FALSE, password_set_at = NULL, \
                disabled_at = COALESCE(disabled_at, $4), removed_at = $4, verified_email = '' WHERE id = $1";
    let email = format!("{id}@removed.invalid");
    let values: [Value; 4] = [id.into(), email.into(), name.into(), now.into()];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Keeps a person's row from changing until the transaction ends. SQLite has one writer anyway.
pub(in crate::account) async fn hold_person<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    if on.get_database_backend() != DatabaseBackend::Postgres {
        return Ok(());
    }
    let text = "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE";
    on.query_one_raw(sql(on, text, [id.into()])).await.map(|_| ())
}

/// Notes that a person showed that they read this address.
pub(in crate::account) async fn set_verified_email<C: ConnectionTrait>(
    on: &C,
    id: &str,
    address: &str,
) -> Result<(), DbErr> {
    let text = "UPDATE users SET verified_email = $1 WHERE id = $2";
    on.execute_raw(sql(on, text, [address.into(), id.into()]))
        .await
        .map(|_| ())
}

/// Whether a person showed that they read the address they have now.
pub(in crate::account) async fn is_email_verified<C: ConnectionTrait>(
    on: &C,
    id: &str,
) -> Result<bool, DbErr> {
    let text = "SELECT 1 AS one FROM users WHERE id = $1 AND verified_email = email";
    Ok(on.query_one_raw(sql(on, text, [id.into()])).await?.is_some())
}

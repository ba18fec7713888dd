//! All queries on people, sessions, links and tokens.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition, ConnectionTrait, PaginatorTrait, QueryOrder, Value};

use super::model::{Session, SessionInfo, TokenInfo, User};
use crate::access::{Projects, Scope};
use crate::db::{Db, sql, within_table};

mod users {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub email: String,
        pub name: String,
        pub password_hash: String,
        pub site_admin: bool,
        pub theme: String,
        pub created_at: i64,
        pub disabled_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod sessions {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub user_id: String,
        pub csrf_token: String,
        pub flash: String,
        pub created_at: i64,
        pub last_seen_at: i64,
        pub expires_at: i64,
        pub browser: String,
        pub address: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod links {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "one_time_links")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub token_hash: String,
        pub purpose: String,
        pub user_id: Option<String>,
        pub created_at: i64,
        pub expires_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod tokens {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "api_tokens")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub name: String,
        pub token_hash: String,
        pub actor: String,
        pub created_at: i64,
        pub expires_at: Option<i64>,
        pub last_used_at: Option<i64>,
        pub revoked_at: Option<i64>,
        pub scopes: String,
        pub projects: String,
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
            is_site_admin: row.site_admin,
            theme: row.theme,
            created_at: row.created_at,
            disabled_at: row.disabled_at,
        }
    }
}

impl From<tokens::Model> for TokenInfo {
    fn from(row: tokens::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            actor: row.actor,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
            // Words of a newer version allow nothing here.
            scopes: row.scopes.split_whitespace().filter_map(Scope::parse).collect(),
            projects: if row.projects.is_empty() {
                None
            } else {
                Some(row.projects.split_whitespace().map(str::to_owned).collect())
            },
        }
    }
}

// People.

pub(super) async fn insert_user<C: ConnectionTrait>(on: &C, user: &User, hash: &str) -> Result<(), DbErr> {
    let row = users::ActiveModel {
        id: Set(user.id.clone()),
        email: Set(user.email.clone()),
        name: Set(user.name.clone()),
        password_hash: Set(hash.to_owned()),
        site_admin: Set(user.is_site_admin),
        theme: Set(user.theme.clone()),
        created_at: Set(user.created_at),
        disabled_at: Set(user.disabled_at),
    };
    users::Entity::insert(row)
        .exec_without_returning(on)
        .await
        .map(|_| ())
}

pub(super) async fn user<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<User>, DbErr> {
    Ok(users::Entity::find_by_id(id).one(on).await?.map(User::from))
}

pub(super) async fn user_with_hash<C: ConnectionTrait>(
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

pub(super) async fn user_in<C: ConnectionTrait>(
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

pub(super) async fn users<C: ConnectionTrait>(on: &C, projects: &Projects) -> Result<Vec<User>, DbErr> {
    let rows = users::Entity::find()
        .filter(known_in(projects))
        .order_by_asc(users::Column::Email)
        .all(on)
        .await?;
    Ok(rows.into_iter().map(User::from).collect())
}

pub(super) async fn count_users<C: ConnectionTrait>(on: &C) -> Result<u64, DbErr> {
    users::Entity::find().count(on).await
}

pub(super) async fn other_active_admins<C: ConnectionTrait>(on: &C, id: &str) -> Result<u64, DbErr> {
    users::Entity::find()
        .filter(users::Column::Id.ne(id))
        .filter(users::Column::SiteAdmin.eq(true))
        .filter(users::Column::DisabledAt.is_null())
        .count(on)
        .await
}

pub(super) async fn set_disabled<C: ConnectionTrait>(
    on: &C,
    id: &str,
    at: Option<i64>,
) -> Result<bool, DbErr> {
    update_user(on, id, users::Column::DisabledAt, at.into()).await
}

pub(super) async fn set_site_admin<C: ConnectionTrait>(
    on: &C,
    id: &str,
    is_site_admin: bool,
) -> Result<(), DbErr> {
    update_user(on, id, users::Column::SiteAdmin, is_site_admin.into())
        .await
        .map(|_| ())
}

pub(super) async fn set_password<C: ConnectionTrait>(on: &C, id: &str, hash: &str) -> Result<(), DbErr> {
    update_user(on, id, users::Column::PasswordHash, hash.into())
        .await
        .map(|_| ())
}

pub(super) async fn set_theme<C: ConnectionTrait>(on: &C, id: &str, theme: &str) -> Result<(), DbErr> {
    update_user(on, id, users::Column::Theme, theme.into())
        .await
        .map(|_| ())
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

// Sessions.

pub(super) async fn insert_session<C: ConnectionTrait>(on: &C, session: &Session) -> Result<(), DbErr> {
    let row = sessions::ActiveModel {
        id: Set(session.id.clone()),
        user_id: Set(session.user_id.clone()),
        csrf_token: Set(session.csrf_token.clone()),
        flash: Set(String::new()),
        created_at: Set(session.created_at),
        last_seen_at: Set(session.created_at),
        expires_at: Set(session.expires_at),
        browser: Set(String::new()),
        address: Set(String::new()),
    };
    sessions::Entity::insert(row)
        .exec_without_returning(on)
        .await
        .map(|_| ())
}

/// A session and when it was last seen.
pub(super) async fn session<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<(Session, i64)>, DbErr> {
    let row = sessions::Entity::find_by_id(id).one(on).await?;
    Ok(row.map(|row| {
        let session = Session {
            id: row.id,
            user_id: row.user_id,
            csrf_token: row.csrf_token,
            has_flash: !row.flash.is_empty(),
            created_at: row.created_at,
            expires_at: row.expires_at,
        };
        (session, row.last_seen_at)
    }))
}

/// Notes in which browser and from where a session was begun.
pub(super) async fn note_browser<C: ConnectionTrait>(
    on: &C,
    id: &str,
    browser: &str,
    address: &str,
) -> Result<(), DbErr> {
    let text = "UPDATE sessions SET browser = $2, address = $3 WHERE id = $1";
    on.execute_raw(sql(on, text, [id.into(), browser.into(), address.into()]))
        .await
        .map(|_| ())
}

/// The sessions of a person that are not over, the last used first.
pub(super) async fn sessions_of<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    now: i64,
    idle_since: i64,
) -> Result<Vec<SessionInfo>, DbErr> {
    let rows = sessions::Entity::find()
        .filter(sessions::Column::UserId.eq(user_id))
        .filter(sessions::Column::ExpiresAt.gt(now))
        .filter(sessions::Column::LastSeenAt.gt(idle_since))
        .order_by_desc(sessions::Column::LastSeenAt)
        .all(on)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| SessionInfo {
            id: row.id,
            browser: row.browser,
            address: row.address,
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            expires_at: row.expires_at,
        })
        .collect())
}

/// Ends one session of a person; false if they have no such one.
pub(super) async fn delete_session_of<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    id: &str,
) -> Result<bool, DbErr> {
    let done = sessions::Entity::delete_by_id(id)
        .filter(sessions::Column::UserId.eq(user_id))
        .exec(on)
        .await?;
    Ok(done.rows_affected == 1)
}

pub(super) async fn last_seen<C: ConnectionTrait>(on: &C) -> Result<Vec<(String, i64)>, DbErr> {
    let text = "SELECT user_id, MAX(last_seen_at) AS seen FROM sessions GROUP BY user_id";
    let rows = on.query_all_raw(sql(on, text, [])).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "user_id")?, row.try_get("", "seen")?)))
        .collect()
}

pub(super) async fn touch_session<C: ConnectionTrait>(on: &C, id: &str, now: i64) -> Result<(), DbErr> {
    sessions::Entity::update_many()
        .col_expr(sessions::Column::LastSeenAt, Expr::value(now))
        .filter(sessions::Column::Id.eq(id))
        .exec(on)
        .await
        .map(|_| ())
}

pub(super) async fn delete_session<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    sessions::Entity::delete_by_id(id).exec(on).await.map(|_| ())
}

pub(super) async fn delete_sessions_of<C: ConnectionTrait>(on: &C, user_id: &str) -> Result<(), DbErr> {
    sessions::Entity::delete_many()
        .filter(sessions::Column::UserId.eq(user_id))
        .exec(on)
        .await
        .map(|_| ())
}

pub(super) async fn purge_sessions<C: ConnectionTrait>(
    on: &C,
    now: i64,
    idle_since: i64,
) -> Result<(), DbErr> {
    sessions::Entity::delete_many()
        .filter(
            Condition::any()
                .add(sessions::Column::ExpiresAt.lte(now))
                .add(sessions::Column::LastSeenAt.lte(idle_since)),
        )
        .exec(on)
        .await
        .map(|_| ())
}

pub(super) async fn set_flash<C: ConnectionTrait>(on: &C, id: &str, flash: &str) -> Result<(), DbErr> {
    sessions::Entity::update_many()
        .col_expr(sessions::Column::Flash, Expr::value(flash))
        .filter(sessions::Column::Id.eq(id))
        .exec(on)
        .await
        .map(|_| ())
}

/// Takes the message out of the row; of two pages at once one gets it.
pub(super) async fn take_flash(db: &Db, id: &str) -> Result<String, DbErr> {
    let tx = db.begin().await?;
    let select = "SELECT flash FROM sessions WHERE id = $1";
    let flash = match tx.query_one_raw(sql(&tx, select, [id.into()])).await? {
        Some(row) => row.try_get("", "flash")?,
        None => String::new(),
    };
    let clear = "UPDATE sessions SET flash = '' WHERE id = $1 AND flash = $2";
    let done = tx
        .execute_raw(sql(&tx, clear, [id.into(), flash.clone().into()]))
        .await?;
    tx.commit().await?;
    Ok(if done.rows_affected() == 1 {
        flash
    } else {
        String::new()
    })
}

// One-time links.

pub(super) async fn insert_link<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
    purpose: &str,
    user_id: Option<&str>,
    now: i64,
    expires_at: i64,
) -> Result<(), DbErr> {
    let row = links::ActiveModel {
        token_hash: Set(token_hash.to_owned()),
        purpose: Set(purpose.to_owned()),
        user_id: Set(user_id.map(str::to_owned)),
        created_at: Set(now),
        expires_at: Set(expires_at),
    };
    links::Entity::insert(row)
        .exec_without_returning(on)
        .await
        .map(|_| ())
}

/// Until when a link works, if it does.
pub(super) async fn live_link<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
    purpose: &str,
    now: i64,
) -> Result<Option<i64>, DbErr> {
    let row = links::Entity::find_by_id(token_hash)
        .filter(links::Column::Purpose.eq(purpose))
        .filter(links::Column::ExpiresAt.gt(now))
        .one(on)
        .await?;
    Ok(row.map(|row| row.expires_at))
}

/// Deletes a link that works and says whose it was; the outer `None` when it does not work.
pub(super) async fn take_link<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
    purpose: &str,
    now: i64,
) -> Result<Option<Option<String>>, DbErr> {
    let text = "DELETE FROM one_time_links WHERE token_hash = $1 AND purpose = $2 AND expires_at > $3 \
                RETURNING user_id";
    let values: [Value; 3] = [token_hash.into(), purpose.into(), now.into()];
    match on.query_one_raw(sql(on, text, values)).await? {
        Some(row) => Ok(Some(row.try_get("", "user_id")?)),
        None => Ok(None),
    }
}

pub(super) async fn delete_links_for<C: ConnectionTrait>(on: &C, purpose: &str) -> Result<(), DbErr> {
    links::Entity::delete_many()
        .filter(links::Column::Purpose.eq(purpose))
        .exec(on)
        .await
        .map(|_| ())
}

pub(super) async fn delete_links_of<C: ConnectionTrait>(on: &C, user_id: &str) -> Result<(), DbErr> {
    links::Entity::delete_many()
        .filter(links::Column::UserId.eq(user_id))
        .exec(on)
        .await
        .map(|_| ())
}

pub(super) async fn purge_links<C: ConnectionTrait>(on: &C, now: i64) -> Result<(), DbErr> {
    links::Entity::delete_many()
        .filter(links::Column::ExpiresAt.lte(now))
        .exec(on)
        .await
        .map(|_| ())
}

// Tokens.

/// Ids with spaces between them; empty for a token that is narrowed to no project.
fn projects_text(projects: Option<&BTreeSet<String>>) -> String {
    projects.map_or_else(String::new, |ids| {
        ids.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    })
}

pub(super) async fn insert_token<C: ConnectionTrait>(
    on: &C,
    info: &TokenInfo,
    token_hash: &str,
) -> Result<(), DbErr> {
    let row = tokens::ActiveModel {
        id: Set(info.id.clone()),
        name: Set(info.name.clone()),
        token_hash: Set(token_hash.to_owned()),
        actor: Set(info.actor.clone()),
        created_at: Set(info.created_at),
        expires_at: Set(info.expires_at),
        last_used_at: Set(info.last_used_at),
        revoked_at: Set(info.revoked_at),
        scopes: Set(info.scopes.to_string()),
        projects: Set(projects_text(info.projects.as_ref())),
    };
    tokens::Entity::insert(row)
        .exec_without_returning(on)
        .await
        .map(|_| ())
}

pub(super) async fn token<C: ConnectionTrait>(on: &C, token_hash: &str) -> Result<Option<TokenInfo>, DbErr> {
    let row = tokens::Entity::find()
        .filter(tokens::Column::TokenHash.eq(token_hash))
        .one(on)
        .await?;
    Ok(row.map(TokenInfo::from))
}

pub(super) async fn tokens<C: ConnectionTrait>(on: &C, owner: Option<&str>) -> Result<Vec<TokenInfo>, DbErr> {
    let rows = tokens::Entity::find()
        .filter(owned_by(owner))
        .order_by_desc(tokens::Column::Id)
        .all(on)
        .await?;
    Ok(rows.into_iter().map(TokenInfo::from).collect())
}

fn owned_by(owner: Option<&str>) -> Condition {
    owner.map_or_else(Condition::all, |owner| {
        Condition::all().add(tokens::Column::Actor.eq(owner))
    })
}

/// Revokes every token of an owner that is not revoked; says how many.
pub(super) async fn revoke_tokens_of<C: ConnectionTrait>(
    on: &C,
    owner: &str,
    now: i64,
) -> Result<u64, DbErr> {
    let done = tokens::Entity::update_many()
        .col_expr(tokens::Column::RevokedAt, Expr::value(now))
        .filter(owned_by(Some(owner)))
        .filter(tokens::Column::RevokedAt.is_null())
        .exec(on)
        .await?;
    Ok(done.rows_affected)
}

pub(super) async fn revoke_token<C: ConnectionTrait>(
    on: &C,
    id: &str,
    owner: Option<&str>,
    now: i64,
) -> Result<bool, DbErr> {
    let done = tokens::Entity::update_many()
        .col_expr(tokens::Column::RevokedAt, Expr::value(now))
        .filter(tokens::Column::Id.eq(id))
        .filter(owned_by(owner))
        .filter(tokens::Column::RevokedAt.is_null())
        .exec(on)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Writes a use down unless somebody did so after `unless_since`.
pub(super) async fn touch_token<C: ConnectionTrait>(
    on: &C,
    id: &str,
    now: i64,
    unless_since: i64,
) -> Result<(), DbErr> {
    tokens::Entity::update_many()
        .col_expr(tokens::Column::LastUsedAt, Expr::value(now))
        .filter(tokens::Column::Id.eq(id))
        .filter(
            Condition::any()
                .add(tokens::Column::LastUsedAt.is_null())
                .add(tokens::Column::LastUsedAt.lte(unless_since)),
        )
        .exec(on)
        .await
        .map(|_| ())
}

/// Counts one more failed sign-in; counts of before `forgotten` start anew. Returns the new count and until when the
/// subject was blocked before; the row is ours until the transaction ends, so attempts at the same moment see each
/// other.
pub(super) async fn count_failure<C: ConnectionTrait>(
    on: &C,
    subject: &str,
    now: i64,
    forgotten: i64,
) -> Result<(i64, i64), DbErr> {
    let text = "INSERT INTO sign_in_failures (subject, failures, blocked_until, last_at) VALUES ($1, 1, 0, $2) \
                ON CONFLICT (subject) DO UPDATE SET \
                failures = CASE WHEN sign_in_failures.last_at < $3 THEN 1 ELSE sign_in_failures.failures + 1 END, \
                last_at = $2 RETURNING failures, blocked_until";
    let values: [Value; 3] = [subject.into(), now.into(), forgotten.into()];
    match on.query_one_raw(sql(on, text, values)).await? {
        Some(row) => Ok((row.try_get("", "failures")?, row.try_get("", "blocked_until")?)),
        None => Ok((1, 0)),
    }
}

/// Lets nobody try this subject until a time, milliseconds.
pub(super) async fn block<C: ConnectionTrait>(on: &C, subject: &str, until: i64) -> Result<(), DbErr> {
    let text = "UPDATE sign_in_failures SET blocked_until = $2 WHERE subject = $1";
    on.execute_raw(sql(on, text, [subject.into(), until.into()]))
        .await
        .map(|_| ())
}

/// Takes one attempt back.
pub(super) async fn give_attempt_back<C: ConnectionTrait>(on: &C, subject: &str) -> Result<(), DbErr> {
    let text = "UPDATE sign_in_failures SET failures = failures - 1, blocked_until = 0 WHERE subject = $1";
    on.execute_raw(sql(on, text, [subject.into()])).await.map(|_| ())
}

/// Forgets the failures of a subject.
pub(super) async fn forget_failures<C: ConnectionTrait>(on: &C, subject: &str) -> Result<(), DbErr> {
    let text = "DELETE FROM sign_in_failures WHERE subject = $1";
    on.execute_raw(sql(on, text, [subject.into()])).await.map(|_| ())
}

/// Forgets failures older than a time, milliseconds.
pub(super) async fn purge_failures<C: ConnectionTrait>(on: &C, before: i64) -> Result<(), DbErr> {
    let text = "DELETE FROM sign_in_failures WHERE last_at < $1";
    on.execute_raw(sql(on, text, [before.into()])).await.map(|_| ())
}

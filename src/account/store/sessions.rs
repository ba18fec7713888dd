//! Sessions.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition, ConnectionTrait, QueryOrder};

use crate::account::model::{NewSession, Proof, Session, SessionInfo};
use crate::db::{Db, sql};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub user_id: String,
        pub csrf_token: String,
        pub sid: String,
        pub flash: String,
        pub created_at: i64,
        pub last_seen_at: i64,
        pub expires_at: i64,
        pub browser: String,
        pub address: String,
        pub amr: String,
        pub auth_time: i64,
        pub identity_provider_id: String,
        pub provider_sid: String,
        pub acr: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn proof(row: &row::Model) -> Proof {
    Proof {
        amr: row.amr.split_whitespace().map(str::to_owned).collect(),
        identity_provider_id: row.identity_provider_id.clone(),
        provider_sid: row.provider_sid.clone(),
        acr: row.acr.clone(),
        auth_time: Some(row.auth_time),
    }
}

fn info(row: row::Model) -> SessionInfo {
    SessionInfo {
        proof: proof(&row),
        id: row.id,
        user_id: row.user_id,
        browser: row.browser,
        address: row.address,
        created_at: row.created_at,
        last_seen_at: row.last_seen_at,
        expires_at: row.expires_at,
    }
}

pub(in crate::account) async fn insert_session<C: ConnectionTrait>(
    on: &C,
    session: &Session,
    new: &NewSession<'_>,
) -> Result<(), DbErr> {
    let row = row::ActiveModel {
        id: Set(session.id.clone()),
        user_id: Set(session.user_id.clone()),
        csrf_token: Set(session.csrf_token.clone()),
        sid: Set(session.sid.clone()),
        flash: Set(String::new()),
        created_at: Set(session.created_at),
        last_seen_at: Set(session.created_at),
        expires_at: Set(session.expires_at),
        browser: Set(new.browser.to_owned()),
        address: Set(new.address.to_owned()),
        amr: Set(session.proof.amr.join(" ")),
        auth_time: Set(session.auth_time),
        identity_provider_id: Set(session.proof.identity_provider_id.clone()),
        provider_sid: Set(session.proof.provider_sid.clone()),
        acr: Set(session.proof.acr.clone()),
    };
    row::Entity::insert(row)
        .exec_without_returning(on)
        .await
        .map(|_| ())
}

/// A session and when it was last seen.
pub(in crate::account) async fn session<C: ConnectionTrait>(
    on: &C,
    id: &str,
) -> Result<Option<(Session, i64)>, DbErr> {
    let row = row::Entity::find_by_id(id).one(on).await?;
    Ok(row.map(|row| {
        let session = Session {
            proof: proof(&row),
            auth_time: row.auth_time,
            id: row.id,
            user_id: row.user_id,
            csrf_token: row.csrf_token,
            sid: row.sid,
            has_flash: !row.flash.is_empty(),
            created_at: row.created_at,
            expires_at: row.expires_at,
        };
        (session, row.last_seen_at)
    }))
}

/// Whether a session goes on, named as applications know it.
pub(in crate::account) async fn is_live<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    sid: &str,
    now: i64,
    idle_since: i64,
) -> Result<bool, DbErr> {
    let found = row::Entity::find()
        .filter(row::Column::Sid.eq(sid))
        .filter(row::Column::UserId.eq(user_id))
        .filter(row::Column::ExpiresAt.gt(now))
        .filter(row::Column::LastSeenAt.gt(idle_since))
        .one(on)
        .await?;
    Ok(found.is_some())
}

/// The sessions that are not over, of one person or of all, the last used first.
pub(in crate::account) async fn live_sessions<C: ConnectionTrait>(
    on: &C,
    user_id: Option<&str>,
    now: i64,
    idle_since: i64,
) -> Result<Vec<SessionInfo>, DbErr> {
    let rows = row::Entity::find()
        .filter(owned_by(user_id))
        .filter(row::Column::ExpiresAt.gt(now))
        .filter(row::Column::LastSeenAt.gt(idle_since))
        .order_by_desc(row::Column::LastSeenAt)
        .order_by_desc(row::Column::Id)
        .all(on)
        .await?;
    Ok(rows.into_iter().map(info).collect())
}

fn owned_by(user_id: Option<&str>) -> Condition {
    user_id.map_or_else(Condition::all, |id| {
        Condition::all().add(row::Column::UserId.eq(id))
    })
}

/// Ends one session of a person, or of anybody; says whose it was. If `seen` is given, one that still has the proof it was
/// seen with: nothing else of a session changes but the time of its last use.
pub(in crate::account) async fn take_session<C: ConnectionTrait>(
    on: &C,
    user_id: Option<&str>,
    id: &str,
    seen: Option<&SessionInfo>,
) -> Result<Option<String>, DbErr> {
    let found = row::Entity::find_by_id(id)
        .filter(owned_by(user_id))
        .one(on)
        .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let mut wanted = row::Entity::delete_by_id(id);
    if let Some(seen) = seen {
        wanted = wanted.filter(row::Column::Amr.eq(seen.proof.amr.join(" ")));
    }
    let done = wanted.exec(on).await?;
    Ok((done.rows_affected == 1).then_some(found.user_id))
}

/// Ends the sessions of a person but one; says how many.
pub(in crate::account) async fn delete_sessions_but<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    kept: &str,
) -> Result<u64, DbErr> {
    let done = row::Entity::delete_many()
        .filter(row::Column::UserId.eq(user_id))
        .filter(row::Column::Id.ne(kept))
        .exec(on)
        .await?;
    Ok(done.rows_affected)
}

pub(in crate::account) async fn touch_session<C: ConnectionTrait>(
    on: &C,
    id: &str,
    now: i64,
) -> Result<(), DbErr> {
    row::Entity::update_many()
        .col_expr(row::Column::LastSeenAt, Expr::value(now))
        .filter(row::Column::Id.eq(id))
        .exec(on)
        .await
        .map(|_| ())
}

pub(in crate::account) async fn delete_session<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    row::Entity::delete_by_id(id).exec(on).await.map(|_| ())
}

pub(in crate::account) async fn delete_sessions_of<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
) -> Result<(), DbErr> {
    row::Entity::delete_many()
        .filter(row::Column::UserId.eq(user_id))
        .exec(on)
        .await
        .map(|_| ())
}

pub(in crate::account) async fn purge_sessions<C: ConnectionTrait>(
    on: &C,
    now: i64,
    idle_since: i64,
) -> Result<(), DbErr> {
    row::Entity::delete_many()
        .filter(
            Condition::any()
                .add(row::Column::ExpiresAt.lte(now))
                .add(row::Column::LastSeenAt.lte(idle_since)),
        )
        .exec(on)
        .await
        .map(|_| ())
}

pub(in crate::account) async fn set_flash<C: ConnectionTrait>(
    on: &C,
    id: &str,
    flash: &str,
) -> Result<(), DbErr> {
    row::Entity::update_many()
        .col_expr(row::Column::Flash, Expr::value(flash))
        .filter(row::Column::Id.eq(id))
        .exec(on)
        .await
        .map(|_| ())
}

/// Takes the message out of the row; of two pages at once one gets it.
pub(in crate::account) async fn take_flash(db: &Db, id: &str) -> Result<String, DbErr> {
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

/// Notes that a session's person showed a second factor.
pub(in crate::account) async fn set_session_amr<C: ConnectionTrait>(
    on: &C,
    id: &str,
    amr: &str,
) -> Result<(), DbErr> {
    let text = "UPDATE sessions SET amr = $2 WHERE id = $1";
    on.execute_raw(sql(on, text, [id.into(), amr.into()]))
        .await
        .map(|_| ())
}

/// Whether a session has not been ended.
pub(in crate::account) async fn has_session<C: ConnectionTrait>(on: &C, id: &str) -> Result<bool, DbErr> {
    Ok(row::Entity::find_by_id(id).one(on).await?.is_some())
}

//! One-time links.

use std::collections::BTreeMap;

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, Value};

use crate::db::sql;

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "one_time_links")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub token_hash: String,
        pub purpose: String,
        pub user_id: Option<String>,
        pub created_by: String,
        pub created_at: i64,
        pub expires_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(in crate::account) async fn insert_link<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
    purpose: &str,
    user_id: Option<&str>,
    created_by: &str,
    now: i64,
    expires_at: i64,
) -> Result<(), DbErr> {
    let row = row::ActiveModel {
        token_hash: Set(token_hash.to_owned()),
        purpose: Set(purpose.to_owned()),
        user_id: Set(user_id.map(str::to_owned)),
        created_by: Set(created_by.to_owned()),
        created_at: Set(now),
        expires_at: Set(expires_at),
    };
    row::Entity::insert(row)
        .exec_without_returning(on)
        .await
        .map(|_| ())
}

/// Until when a link works, if it does.
pub(in crate::account) async fn live_link<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
    purpose: &str,
    now: i64,
) -> Result<Option<i64>, DbErr> {
    let row = row::Entity::find_by_id(token_hash)
        .filter(row::Column::Purpose.eq(purpose))
        .filter(row::Column::ExpiresAt.gt(now))
        .one(on)
        .await?;
    Ok(row.map(|row| row.expires_at))
}

/// Deletes a link that works and says whose it was; the outer `None` when it does not work.
pub(in crate::account) async fn take_link<C: ConnectionTrait>(
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

pub(in crate::account) async fn delete_links_for<C: ConnectionTrait>(
    on: &C,
    purpose: &str,
) -> Result<(), DbErr> {
    row::Entity::delete_many()
        .filter(row::Column::Purpose.eq(purpose))
        .exec(on)
        .await
        .map(|_| ())
}

pub(in crate::account) async fn delete_links_of<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
) -> Result<(), DbErr> {
    row::Entity::delete_many()
        .filter(row::Column::UserId.eq(user_id))
        .exec(on)
        .await
        .map(|_| ())
}

pub(in crate::account) async fn purge_links<C: ConnectionTrait>(on: &C, now: i64) -> Result<(), DbErr> {
    row::Entity::delete_many()
        .filter(row::Column::ExpiresAt.lte(now))
        .exec(on)
        .await
        .map(|_| ())
}

/// Whose a link is and until when it works, if it does.
pub(in crate::account) async fn link<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
    purpose: &str,
    now: i64,
) -> Result<Option<(Option<String>, i64)>, DbErr> {
    let row = row::Entity::find_by_id(token_hash)
        .filter(row::Column::Purpose.eq(purpose))
        .filter(row::Column::ExpiresAt.gt(now))
        .one(on)
        .await?;
    Ok(row.map(|row| (row.user_id, row.expires_at)))
}

/// Until when links of a kind work: by the id of the person.
pub(in crate::account) async fn links_of_kind<C: ConnectionTrait>(
    on: &C,
    purpose: &str,
    now: i64,
) -> Result<BTreeMap<String, i64>, DbErr> {
    let rows = row::Entity::find()
        .filter(row::Column::Purpose.eq(purpose))
        .filter(row::Column::ExpiresAt.gt(now))
        .all(on)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.user_id?, row.expires_at)))
        .collect())
}

/// Deletes the links of a kind that a person has; false if there were none.
pub(in crate::account) async fn delete_links_of_kind<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    purpose: &str,
) -> Result<bool, DbErr> {
    let done = row::Entity::delete_many()
        .filter(row::Column::UserId.eq(user_id))
        .filter(row::Column::Purpose.eq(purpose))
        .exec(on)
        .await?;
    Ok(done.rows_affected > 0)
}

/// Notes that a link went to this address by mail, and nowhere else.
pub(in crate::account) async fn set_mailed_to<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
    address: &str,
) -> Result<(), DbErr> {
    let text = "UPDATE one_time_links SET mailed_to = $1 WHERE token_hash = $2";
    on.execute_raw(sql(on, text, [address.into(), token_hash.into()]))
        .await
        .map(|_| ())
}

/// The address a link was mailed to; empty if somebody was shown it.
pub(in crate::account) async fn mailed_to<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
) -> Result<String, DbErr> {
    let text = "SELECT mailed_to FROM one_time_links WHERE token_hash = $1";
    match on.query_one_raw(sql(on, text, [token_hash.into()])).await? {
        Some(row) => row.try_get("", "mailed_to"),
        None => Ok(String::new()),
    }
}

//! API tokens.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition, ConnectionTrait, QueryOrder};

use crate::access::Scope;
use crate::account::model::TokenInfo;

mod row {
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

impl From<row::Model> for TokenInfo {
    fn from(row: row::Model) -> Self {
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

/// Ids with spaces between them; empty for a token that is narrowed to no project.
fn projects_text(projects: Option<&BTreeSet<String>>) -> String {
    projects.map_or_else(String::new, |ids| {
        ids.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    })
}

pub(in crate::account) async fn insert_token<C: ConnectionTrait>(
    on: &C,
    info: &TokenInfo,
    token_hash: &str,
) -> Result<(), DbErr> {
    let row = row::ActiveModel {
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
    row::Entity::insert(row)
        .exec_without_returning(on)
        .await
        .map(|_| ())
}

pub(in crate::account) async fn token<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
) -> Result<Option<TokenInfo>, DbErr> {
    let row = row::Entity::find()
        .filter(row::Column::TokenHash.eq(token_hash))
        .one(on)
        .await?;
    Ok(row.map(TokenInfo::from))
}

pub(in crate::account) async fn tokens<C: ConnectionTrait>(
    on: &C,
    owner: Option<&str>,
) -> Result<Vec<TokenInfo>, DbErr> {
    let rows = row::Entity::find()
        .filter(owned_by(owner))
        .order_by_desc(row::Column::Id)
        .all(on)
        .await?;
    Ok(rows.into_iter().map(TokenInfo::from).collect())
}

fn owned_by(owner: Option<&str>) -> Condition {
    owner.map_or_else(Condition::all, |owner| {
        Condition::all().add(row::Column::Actor.eq(owner))
    })
}

/// Revokes every token of an owner that is not revoked; says how many.
pub(in crate::account) async fn revoke_tokens_of<C: ConnectionTrait>(
    on: &C,
    owner: &str,
    now: i64,
) -> Result<u64, DbErr> {
    let done = row::Entity::update_many()
        .col_expr(row::Column::RevokedAt, Expr::value(now))
        .filter(owned_by(Some(owner)))
        .filter(row::Column::RevokedAt.is_null())
        .exec(on)
        .await?;
    Ok(done.rows_affected)
}

pub(in crate::account) async fn revoke_token<C: ConnectionTrait>(
    on: &C,
    id: &str,
    owner: Option<&str>,
    now: i64,
) -> Result<bool, DbErr> {
    let done = row::Entity::update_many()
        .col_expr(row::Column::RevokedAt, Expr::value(now))
        .filter(row::Column::Id.eq(id))
        .filter(owned_by(owner))
        .filter(row::Column::RevokedAt.is_null())
        .exec(on)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Writes a use down unless somebody did so after `unless_since`.
pub(in crate::account) async fn touch_token<C: ConnectionTrait>(
    on: &C,
    id: &str,
    now: i64,
    unless_since: i64,
) -> Result<(), DbErr> {
    row::Entity::update_many()
        .col_expr(row::Column::LastUsedAt, Expr::value(now))
        .filter(row::Column::Id.eq(id))
        .filter(
            Condition::any()
                .add(row::Column::LastUsedAt.is_null())
                .add(row::Column::LastUsedAt.lte(unless_since)),
        )
        .exec(on)
        .await
        .map(|_| ())
}

//! All queries on events.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder, QuerySelect};

use super::NewEvent;
use crate::clock::Clock;
use crate::id;

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "events")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub r#type: String,
        pub project_id: String,
        pub subject_id: String,
        pub actor: String,
        pub data: String,
        pub created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An event as stored.
#[derive(Clone, Debug)]
pub struct Event {
    /// `evt_` + ULID.
    pub id: String,
    /// Type, for example `grant.created`.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// Details.
    pub data: serde_json::Value,
    /// When, milliseconds since 1970.
    pub created_at: i64,
}

/// Appends an event in the caller's transaction and returns its id.
pub async fn append<C: ConnectionTrait>(on: &C, clock: &Clock, event: NewEvent<'_>) -> Result<String, DbErr> {
    let event_id = id::new("evt", clock);
    let model = row::ActiveModel {
        id: Set(event_id.clone()),
        r#type: Set(event.kind.to_owned()),
        project_id: Set(event.project_id.to_owned()),
        subject_id: Set(event.subject_id.to_owned()),
        actor: Set(event.actor.to_owned()),
        data: Set(event.data.to_string()),
        created_at: Set(clock.now_ms()),
    };
    row::Entity::insert(model).exec_without_returning(on).await?;
    Ok(event_id)
}

/// The newest events about one thing, newest first.
pub async fn of_subject<C: ConnectionTrait>(
    on: &C,
    subject_id: &str,
    limit: u64,
) -> Result<Vec<Event>, DbErr> {
    let rows = row::Entity::find()
        .filter(row::Column::SubjectId.eq(subject_id))
        .order_by_desc(row::Column::Id)
        .limit(limit)
        .all(on)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Event {
            id: row.id,
            kind: row.r#type,
            actor: row.actor,
            data: serde_json::from_str(&row.data).unwrap_or_default(),
            created_at: row.created_at,
        })
        .collect())
}

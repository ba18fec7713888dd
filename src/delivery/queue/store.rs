//! All queries on queues and their items.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder, Value};

use crate::access::Projects;
use crate::db::{Where, sql, within_sql};
use crate::delivery::model::Shown;
use crate::event::Event;

pub use row::Model as Queue;

mod row {
    //! The table `queues`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// A named consumer.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "queues")]
    pub struct Model {
        /// `que_` + ULID.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// Unique name.
        pub name: String,
        /// For people.
        pub description: String,
        /// JSON list of types and families; empty for all.
        pub types: String,
        /// Whether it gets the events of the whole site.
        pub all_projects: bool,
        /// JSON list of project ids, where it does not.
        pub projects: String,
        /// Up to where the log was looked through for it.
        pub position: i64,
        /// Grows with every change by a person; the API's ETag.
        pub revision: i64,
        /// Who made it.
        pub created_by: String,
        /// Milliseconds since 1970.
        pub created_at: i64,
        /// Milliseconds since 1970.
        pub updated_at: i64,
        /// When somebody last asked.
        pub last_leased_at: Option<i64>,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An event that waits or is out.
#[derive(Clone, Debug)]
pub struct Item {
    /// The event's place in the log.
    pub sequence: i64,
    /// The event.
    pub event_id: String,
    /// What it keeps its order with.
    pub order_key: String,
    /// The lease it is out with; empty if it waits.
    pub lease: String,
    /// When that ends, milliseconds since 1970.
    pub lease_until: i64,
    /// How often it was lent.
    pub attempts: i64,
}

impl Queue {
    /// Whose events it gets.
    pub fn scope(&self) -> Shown {
        Shown::of(self.all_projects, &self.projects)
    }

    /// Types and families; empty for all.
    pub fn type_patterns(&self) -> Vec<String> {
        serde_json::from_str(&self.types).unwrap_or_default()
    }
}

pub(super) async fn insert<C: ConnectionTrait>(on: &C, queue: &Queue) -> Result<(), DbErr> {
    let model = row::ActiveModel::from(queue.clone()).reset_all();
    row::Entity::insert(model).exec_without_returning(on).await?;
    Ok(())
}

pub(super) async fn update<C: ConnectionTrait>(on: &C, queue: &Queue, seen: i64) -> Result<bool, DbErr> {
    let model = row::ActiveModel {
        name: Set(queue.name.clone()),
        description: Set(queue.description.clone()),
        types: Set(queue.types.clone()),
        all_projects: Set(queue.all_projects),
        projects: Set(queue.projects.clone()),
        revision: Set(seen + 1),
        updated_at: Set(queue.updated_at),
        ..Default::default()
    };
    let result = row::Entity::update_many()
        .set(model)
        .filter(row::Column::Id.eq(&queue.id))
        .filter(row::Column::Revision.eq(seen))
        .exec(on)
        .await?;
    Ok(result.rows_affected == 1)
}

pub(super) async fn remove<C: ConnectionTrait>(on: &C, id: &str, seen: i64) -> Result<bool, DbErr> {
    let gone = row::Entity::delete_by_id(id).filter(row::Column::Revision.eq(seen));
    Ok(gone.exec(on).await?.rows_affected == 1)
}

pub(super) async fn all<C: ConnectionTrait>(on: &C) -> Result<Vec<Queue>, DbErr> {
    row::Entity::find().order_by_asc(row::Column::Id).all(on).await
}

pub(super) async fn find<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Queue>, DbErr> {
    let either = sea_orm::Condition::any()
        .add(row::Column::Id.eq(id))
        .add(row::Column::Name.eq(id));
    row::Entity::find().filter(either).one(on).await
}

/// Takes the queue's row for this transaction and returns its place; `None` if it was removed.
pub(super) async fn lock<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<i64>, DbErr> {
    let text = "UPDATE queues SET position = position WHERE id = $1 RETURNING position";
    let row = on.query_one_raw(sql(on, text, [id.into()])).await?;
    row.map(|row| row.try_get("", "position")).transpose()
}

pub(super) async fn set_position<C: ConnectionTrait>(
    on: &C,
    id: &str,
    position: i64,
    leased_at: Option<i64>,
) -> Result<(), DbErr> {
    let text = "UPDATE queues SET position = $1, last_leased_at = COALESCE($2, last_leased_at) WHERE id = $3";
    let values: [Value; 3] = [position.into(), leased_at.into(), id.into()];
    on.execute_raw(sql(on, text, values)).await.map(drop)
}

/// Counts a change of a queue and takes its row for this transaction; false if it has another revision than was `seen`, or
/// is gone.
pub(super) async fn count_change<C: ConnectionTrait>(
    on: &C,
    id: &str,
    seen: Option<i64>,
    now: i64,
) -> Result<bool, DbErr> {
    let mut wanted = Where::default();
    let now = wanted.value(now);
    wanted.and("id = {}", id);
    wanted.and_revision(seen);
    let text = format!(
        "UPDATE queues SET revision = revision + 1, updated_at = {now} WHERE {}",
        wanted.text()
    );
    Ok(on
        .execute_raw(sql(on, &text, wanted.values))
        .await?
        .rows_affected()
        == 1)
}

pub(super) async fn insert_item<C: ConnectionTrait>(on: &C, id: &str, event: &Event) -> Result<(), DbErr> {
    let text = "INSERT INTO queue_items (queue_id, sequence, event_id, order_key) VALUES ($1, $2, $3, $4) \
                ON CONFLICT DO NOTHING";
    let values: [Value; 4] = [
        id.into(),
        event.sequence.into(),
        event.id.clone().into(),
        event.order_key.clone().into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(drop)
}

/// Items that may be lent: not out, and nothing earlier of the same ticket left.
pub(super) async fn free<C: ConnectionTrait>(
    on: &C,
    id: &str,
    now: i64,
    limit: i64,
) -> Result<Vec<Item>, DbErr> {
    let text = "SELECT * FROM queue_items AS i WHERE queue_id = $1 AND lease_until <= $2 \
                AND NOT EXISTS (SELECT 1 FROM queue_items AS e WHERE e.queue_id = i.queue_id \
                AND e.order_key = i.order_key AND e.sequence < i.sequence) ORDER BY sequence LIMIT $3";
    let values: [Value; 3] = [id.into(), now.into(), limit.into()];
    read_items(on, text, values).await
}

async fn read_items<C: ConnectionTrait>(
    on: &C,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<Item>, DbErr> {
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    rows.iter()
        .map(|row| {
            Ok(Item {
                sequence: row.try_get("", "sequence")?,
                event_id: row.try_get("", "event_id")?,
                order_key: row.try_get("", "order_key")?,
                lease: row.try_get("", "lease")?,
                lease_until: row.try_get("", "lease_until")?,
                attempts: row.try_get("", "attempts")?,
            })
        })
        .collect()
}

/// The oldest items, whether they are out or wait.
pub(super) async fn items<C: ConnectionTrait>(on: &C, id: &str, limit: i64) -> Result<Vec<Item>, DbErr> {
    let text = "SELECT * FROM queue_items WHERE queue_id = $1 ORDER BY sequence LIMIT $2";
    let values: [Value; 2] = [id.into(), limit.into()];
    read_items(on, text, values).await
}

pub(super) async fn lend<C: ConnectionTrait>(
    on: &C,
    id: &str,
    items: &[Item],
    lease: &str,
    until: i64,
) -> Result<(), DbErr> {
    for item in items {
        let text = "UPDATE queue_items SET lease = $1, lease_until = $2, attempts = attempts + 1 \
                    WHERE queue_id = $3 AND sequence = $4";
        let values: [Value; 4] = [lease.into(), until.into(), id.into(), item.sequence.into()];
        on.execute_raw(sql(on, text, values)).await?;
    }
    Ok(())
}

pub(super) async fn drop_item<C: ConnectionTrait>(on: &C, id: &str, sequence: i64) -> Result<(), DbErr> {
    let text = "DELETE FROM queue_items WHERE queue_id = $1 AND sequence = $2";
    on.execute_raw(sql(on, text, [id.into(), sequence.into()]))
        .await
        .map(drop)
}

pub(super) async fn ack<C: ConnectionTrait>(
    on: &C,
    id: &str,
    lease: &str,
    event_id: &str,
    now: i64,
) -> Result<bool, DbErr> {
    let text = "DELETE FROM queue_items WHERE queue_id = $1 AND event_id = $2 AND lease = $3 AND lease <> '' \
                AND lease_until > $4";
    let values: [Value; 4] = [id.into(), event_id.into(), lease.into(), now.into()];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

pub(super) async fn give_back<C: ConnectionTrait>(
    on: &C,
    id: &str,
    lease: &str,
    event_id: &str,
    now: i64,
    at: i64,
) -> Result<bool, DbErr> {
    let text = "UPDATE queue_items SET lease = '', lease_until = $5 WHERE queue_id = $1 AND event_id = $2 \
                AND lease = $3 AND lease <> '' AND lease_until > $4";
    let values: [Value; 5] = [id.into(), event_id.into(), lease.into(), now.into(), at.into()];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

pub(super) async fn clear<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    let text = "DELETE FROM queue_items WHERE queue_id = $1";
    on.execute_raw(sql(on, text, [id.into()])).await.map(drop)
}

/// Forgets items about other projects than these.
pub(super) async fn drop_outside<C: ConnectionTrait>(
    on: &C,
    id: &str,
    projects: &Projects,
) -> Result<(), DbErr> {
    let (inside, values) = within_sql(projects, "project_id", 2);
    let text = format!(
        "DELETE FROM queue_items WHERE queue_id = $1 AND event_id IN (SELECT id FROM events WHERE NOT ({inside}))"
    );
    let mut all: Vec<Value> = vec![id.into()];
    all.extend(values);
    on.execute_raw(sql(on, &text, all)).await.map(drop)
}

/// How many items there are, and how many are out.
pub(super) async fn load<C: ConnectionTrait>(on: &C, id: &str, now: i64) -> Result<(i64, i64), DbErr> {
    let text = "SELECT COUNT(*) AS items, COUNT(CASE WHEN lease_until > $2 AND lease <> '' THEN 1 END) AS lent \
                FROM queue_items WHERE queue_id = $1";
    let row = on.query_one_raw(sql(on, text, [id.into(), now.into()])).await?;
    row.map_or(Ok((0, 0)), |row| {
        Ok((row.try_get("", "items")?, row.try_get("", "lent")?))
    })
}

/// Whether a unique value is there already.
pub(super) fn is_taken(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(sea_orm::SqlErr::UniqueConstraintViolation(_))
    )
}

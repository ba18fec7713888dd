//! All queries on events.

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, FromQueryResult, QueryOrder, QuerySelect, Value};

use super::kinds::{self, Types};
use super::{Cursor, LogError, NewEvent, head};
use crate::access::Projects;
use crate::audit;
use crate::clock::Clock;
use crate::db::{Db, sql, with_rows, within};
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
        pub sequence: Option<i64>,
        pub order_key: String,
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
    /// Project it belongs to; empty for events of the site.
    pub project_id: String,
    /// Id of what it is about.
    pub subject_id: String,
    /// Who did it.
    pub actor: String,
    /// Details.
    pub data: serde_json::Value,
    /// When, milliseconds since 1970.
    pub created_at: i64,
    /// Its place in the log; 0 while it has none yet.
    pub sequence: i64,
    /// What it must keep its order with: the ticket, or else what it is about.
    pub order_key: String,
}

impl From<row::Model> for Event {
    fn from(row: row::Model) -> Self {
        Self {
            id: row.id,
            kind: row.r#type,
            project_id: row.project_id,
            subject_id: row.subject_id,
            actor: row.actor,
            data: serde_json::from_str(&row.data).unwrap_or_default(),
            created_at: row.created_at,
            sequence: row.sequence.unwrap_or(0),
            order_key: row.order_key,
        }
    }
}

/// Which events a reader wants.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Which types.
    pub types: Types,
    /// Of which projects; what belongs to none is there for all of them only.
    pub projects: Projects,
}

/// What was read, and where to go on.
#[derive(Clone, Debug)]
pub struct Read {
    /// The events, in the order of the log.
    pub events: Vec<Event>,
    /// The place behind the last one that was looked at, whether or not it was wanted.
    pub cursor: Cursor,
    /// Whether there is more behind it.
    pub has_more: bool,
}

/// Where the log begins and ends.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Behind the last event that was deleted.
    pub floor: Cursor,
    /// Behind the newest one.
    pub last: Cursor,
}

/// Places looked at in one read, so that a filter that finds nothing ends, too.
const SPAN: i64 = 50_000;

/// Appends an event in the caller's transaction and returns its id.
pub async fn append<C: ConnectionTrait>(on: &C, clock: &Clock, event: NewEvent<'_>) -> Result<String, DbErr> {
    let mut ids = append_all(on, clock, &[event]).await?;
    Ok(ids.pop().unwrap_or_default())
}

/// Appends events in the caller's transaction, in their order, and returns their ids.
pub async fn append_all<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    events: &[NewEvent<'_>],
) -> Result<Vec<String>, DbErr> {
    let mut ids = Vec::with_capacity(events.len());
    let rows = events.iter().map(|event| {
        kinds::insist(event.kind, &event.data);
        let ticket = event.data.get("ticketId").and_then(serde_json::Value::as_str);
        let event_id = id::new("evt", clock);
        ids.push(event_id.clone());
        let row: [Value; 8] = [
            event_id.into(),
            event.kind.into(),
            event.project_id.into(),
            event.subject_id.into(),
            event.actor.into(),
            event.data.to_string().into(),
            clock.now_ms().into(),
            ticket.unwrap_or(event.subject_id).into(),
        ];
        row
    });
    let rows = rows.collect();
    let text = "INSERT INTO events (id, type, project_id, subject_id, actor, data, created_at, order_key) VALUES {rows}";
    with_rows(on, text, rows).await?;
    head::note_appended();
    // What somebody did is in the audit log as well, whichever stage tells of it.
    for event in events {
        let NewEvent {
            kind,
            project_id,
            subject_id,
            actor,
            data,
        } = event;
        if let Some(noted) = audit::of_event(kind, actor, subject_id, project_id, data) {
            audit::append(on, clock, noted).await?;
        }
    }
    Ok(ids)
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
    Ok(rows.into_iter().map(Event::from).collect())
}

/// One event.
pub async fn by_id<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Event>, DbErr> {
    Ok(row::Entity::find_by_id(id).one(on).await?.map(Event::from))
}

/// Whether the log has an event of a type about something. For types that are rare.
pub async fn is_noted<C: ConnectionTrait>(on: &C, kind: &str, subject_id: &str) -> Result<bool, DbErr> {
    let text = "SELECT 1 AS one FROM events WHERE type = $1 AND subject_id = $2 LIMIT 1";
    let row = on
        .query_one_raw(sql(on, text, [kind.into(), subject_id.into()]))
        .await?;
    Ok(row.is_some())
}

/// One event, if it belongs to one of these projects.
pub async fn find_in<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    id: &str,
) -> Result<Option<Event>, DbErr> {
    let found = row::Entity::find_by_id(id)
        .filter(within(projects, row::Column::ProjectId))
        .one(on)
        .await?;
    Ok(found.map(Event::from))
}

/// A part of the log for people, who begin at its end.
#[derive(Clone, Debug)]
pub struct ReadBack {
    /// The events, the newest first.
    pub events: Vec<Event>,
    /// The place before which the next older part is; `None` at the beginning of the log.
    pub next: Option<Cursor>,
}

/// The wanted events before a place, the newest first, at most `limit`; without a place from the end of the log.
pub async fn read_before<C: ConnectionTrait>(
    on: &C,
    before: Option<Cursor>,
    filter: &Filter,
    limit: u64,
) -> Result<ReadBack, DbErr> {
    let Extent { floor, last } = extent(on).await?;
    let end = before.map_or(last.0 + 1, |before| before.0.min(last.0 + 1));
    let begin = floor.0.max(end.saturating_sub(SPAN));
    let mut find = row::Entity::find()
        .filter(row::Column::Sequence.lt(end))
        .filter(row::Column::Sequence.gt(begin))
        .filter(within(&filter.projects, row::Column::ProjectId));
    if let Some(kinds) = filter.types.kinds() {
        find = find.filter(row::Column::Type.is_in(kinds));
    }
    let rows = find
        .order_by_desc(row::Column::Sequence)
        .limit(limit)
        .all(on)
        .await?;
    let events: Vec<Event> = rows.into_iter().map(Event::from).collect();
    let next = match events.last() {
        Some(event) if events.len() as u64 >= limit => event.sequence,
        _ => begin + 1,
    };
    Ok(ReadBack {
        events,
        next: (next > floor.0 + 1).then_some(Cursor(next)),
    })
}

/// Several events, in the order of the log; those that are gone are left out.
pub async fn gist_of<C: ConnectionTrait>(on: &C, ids: &[String]) -> Result<Vec<Event>, DbErr> {
    let ids = ids.iter().map(|id| [id.as_str().into()]).collect();
    let rows = with_rows(on, "SELECT * FROM events WHERE id IN (VALUES {rows})", ids).await?;
    let mut events = rows
        .iter()
        .map(|row| Ok(Event::from(row::Model::from_query_result(row, "")?)))
        .collect::<Result<Vec<_>, DbErr>>()?;
    events.sort_by_key(|event| event.sequence);
    Ok(events)
}

/// The wanted events behind a place, at most `limit`. Call [`super::advance`] first to see what was committed just now.
///
/// # Errors
/// [`LogError::Gone`] if events behind the place were deleted.
pub async fn read_after<C: ConnectionTrait>(
    on: &C,
    cursor: Cursor,
    filter: &Filter,
    limit: u64,
) -> Result<Read, LogError> {
    let Extent { floor, last } = extent(on).await?;
    if cursor < floor {
        return Err(LogError::Gone { oldest: floor });
    }
    let end = last.0.min(cursor.0.saturating_add(SPAN));
    let mut find = row::Entity::find()
        .filter(row::Column::Sequence.gt(cursor.0))
        .filter(row::Column::Sequence.lte(end))
        .filter(within(&filter.projects, row::Column::ProjectId));
    if let Some(kinds) = filter.types.kinds() {
        find = find.filter(row::Column::Type.is_in(kinds));
    }
    let rows = find
        .order_by_asc(row::Column::Sequence)
        .limit(limit)
        .all(on)
        .await?;
    let events: Vec<Event> = rows.into_iter().map(Event::from).collect();
    let follows = events.first().is_some_and(|event| event.sequence == cursor.0 + 1);
    if cursor < last && !follows {
        // What is missing was not wanted, or it was deleted between the two reads.
        let floor = extent(on).await?.floor;
        if cursor < floor {
            return Err(LogError::Gone { oldest: floor });
        }
    }
    let is_full = events.len() as u64 >= limit;
    let cursor = match events.last() {
        Some(event) if is_full => Cursor(event.sequence),
        _ => Cursor(end.max(cursor.0)),
    };
    Ok(Read {
        events,
        cursor,
        has_more: cursor < last,
    })
}

pub(super) async fn extent<C: ConnectionTrait>(on: &C) -> Result<Extent, DbErr> {
    let text = "SELECT last, floor FROM event_log WHERE id = 1";
    let row = on.query_one_raw(sql(on, text, [])).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("event_log".into()))?;
    Ok(Extent {
        floor: Cursor(row.try_get("", "floor")?),
        last: Cursor(row.try_get("", "last")?),
    })
}

/// The end of the log, and whether every committed event has its place. On SQLite it has it from the beginning.
pub(super) async fn end<C: ConnectionTrait>(on: &C, is_postgres: bool) -> Result<(i64, bool), DbErr> {
    let text = if is_postgres {
        "SELECT last, NOT EXISTS (SELECT 1 FROM events WHERE sequence IS NULL) AS complete FROM event_log WHERE id = 1"
    } else {
        "SELECT last, TRUE AS complete FROM event_log WHERE id = 1"
    };
    let row = on.query_one_raw(sql(on, text, [])).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("event_log".into()))?;
    Ok((row.try_get("", "last")?, row.try_get("", "complete")?))
}

/// Locks the log (PostgreSQL) and returns its end.
pub(super) async fn lock_log<C: ConnectionTrait>(on: &C) -> Result<i64, DbErr> {
    let text = "SELECT last FROM event_log WHERE id = 1 FOR UPDATE";
    let row = on.query_one_raw(sql(on, text, [])).await?;
    row.map_or(Ok(0), |row| row.try_get("", "last"))
}

/// Gives places behind `last` to events that have none, under the lock; returns to how many.
pub(super) async fn place<C: ConnectionTrait>(on: &C, last: i64, limit: i64) -> Result<i64, DbErr> {
    let text = "UPDATE events SET sequence = $1 + next.n FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY arrival) AS n \
                FROM (SELECT id, arrival FROM events WHERE sequence IS NULL ORDER BY arrival LIMIT $2) AS waiting) \
                AS next WHERE events.id = next.id";
    let placed = on
        .execute_raw(sql(on, text, [last.into(), limit.into()]))
        .await?
        .rows_affected();
    let placed = i64::try_from(placed).unwrap_or(0);
    let text = "UPDATE event_log SET last = last + $1 WHERE id = 1";
    on.execute_raw(sql(on, text, [placed.into()])).await?;
    Ok(placed)
}

/// Deletes a handful of the oldest events from before a time (milliseconds since 1970), moving the beginning of the
/// log in the same transaction; returns how many.
pub async fn delete_before(db: &Db, before: i64, limit: i64) -> Result<u64, DbErr> {
    let txn = db.begin().await?;
    // The log is cut at one place: a young event behind an older number keeps what comes after it.
    let text =
        "SELECT sequence, created_at FROM events WHERE sequence IS NOT NULL ORDER BY sequence LIMIT $1";
    let mut upto = None;
    for row in txn.query_all_raw(sql(&txn, text, [limit.into()])).await? {
        if row.try_get::<i64>("", "created_at")? >= before {
            break;
        }
        upto = Some(row.try_get::<i64>("", "sequence")?);
    }
    let Some(upto) = upto else {
        return Ok(0);
    };
    let text = "UPDATE event_log SET floor = $1 WHERE id = 1 AND floor < $1";
    txn.execute_raw(sql(&txn, text, [upto.into()])).await?;
    let text = "DELETE FROM events WHERE sequence <= $1";
    let gone = txn.execute_raw(sql(&txn, text, [upto.into()])).await?;
    txn.commit().await?;
    Ok(gone.rows_affected())
}

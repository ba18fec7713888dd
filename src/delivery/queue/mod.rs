//! Queues: named consumers that fetch their events, for apps that nobody can call from outside.
//!
//! A queue has a place in the log. A lease moves it on: wanted events become items, and items whose turn it is are lent
//! out for a while. An item goes when it is acknowledged; one whose lease runs out, or that is given back, is lent
//! again. Of each ticket one item is out at a time, the oldest: a consumer killed in between sees it again before
//! anything that came later.

mod store;

pub use store::{Item, Queue};

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use super::error::DeliveryError;
use super::model::{Shown, projects_of};
use crate::access::Projects;
use crate::audit::{self, NewAuditEvent};
use crate::crypto::random_token;
use crate::ctx::Ctx;
use crate::event::{self, Cursor, Event, LogError, Types};
use crate::id;
use crate::trouble::FieldError;

/// Most events of one lease.
pub const MAX_LEASE: i64 = 200;
/// Longest lease, seconds.
pub const MAX_SECONDS: i64 = 3_600;
/// Items that may wait or be out at once; the log holds the rest.
const WINDOW: i64 = 2_000;

/// What a queue is made or changed with. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct QueueInput {
    /// Its name, unique.
    pub name: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Event types and families; empty for all.
    pub types: Option<Vec<String>>,
    /// Projects; `Some(None)` for the whole site.
    pub projects: Option<Option<BTreeSet<String>>>,
}

/// Where a queue goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// At the beginning of the log.
    Oldest,
    /// At its end.
    Latest,
    /// Behind a place.
    After(Cursor),
}

/// Events that were lent.
#[derive(Clone, Debug)]
pub struct Lent {
    /// Names the lease in `ack` and `nack`; empty if there was nothing.
    pub lease_id: String,
    /// When it ends, milliseconds since 1970.
    pub until: i64,
    /// The events, each with how often it was lent.
    pub events: Vec<(Event, i64)>,
}

/// What became of events that were named in `ack` or `nack`.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Done as asked.
    pub done: Vec<String>,
    /// Not under this lease any more: it ran out, or they are gone.
    pub lost: Vec<String>,
}

fn apply(queue: &mut Queue, input: QueueInput) -> Result<(), DeliveryError> {
    let mut errors = Vec::new();
    if let Some(name) = input.name {
        name.trim().clone_into(&mut queue.name);
    }
    // A name that looks like an id would be taken for the queue with that id.
    let is_name = (1..=80).contains(&queue.name.len())
        && !queue.name.starts_with("que_")
        && queue
            .name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_name {
        errors.push(FieldError::new(
            "name",
            "invalid",
            "`name` must be 1 to 80 letters, digits, `-`, `_` or `.`, and not begin like an id (que_)",
        ));
    }
    if let Some(description) = input.description {
        queue.description = description.trim().chars().take(500).collect();
    }
    if let Some(types) = input.types {
        match Types::parse(&types) {
            Ok(types) => queue.types = serde_json::json!(types.patterns()).to_string(),
            Err(pattern) => errors.push(FieldError::new(
                "types",
                "unknown_event_type",
                format!("`{pattern}` is no event type and no family of them"),
            )),
        }
    }
    if let Some(projects) = input.projects {
        if projects.as_ref().is_some_and(BTreeSet::is_empty) {
            errors.push(FieldError::new(
                "projectIds",
                "required",
                "name at least one project, or null for all",
            ));
        }
        (queue.all_projects, queue.projects) = Shown(projects).columns();
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(DeliveryError::Invalid(errors))
    }
}

fn taken(error: sea_orm::DbErr) -> DeliveryError {
    if store::is_taken(&error) {
        DeliveryError::field("name", "duplicate", "there is a queue with this name already")
    } else {
        error.into()
    }
}

/// All queues whose projects somebody may touch.
pub async fn list(ctx: &Ctx, projects: &Projects) -> Result<Vec<Queue>, DeliveryError> {
    let mut all = store::all(ctx.db.read()).await?;
    all.retain(|queue| queue.scope().is_within(projects));
    Ok(all)
}

/// One of them, by its id or its name.
pub async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Queue, DeliveryError> {
    store::find(ctx.db.read(), id)
        .await?
        .filter(|queue| queue.scope().is_within(projects))
        .ok_or(DeliveryError::NotFound("queue"))
}

/// How many items wait or are out, and how many are out.
pub async fn load(ctx: &Ctx, queue: &Queue) -> Result<(i64, i64), DeliveryError> {
    Ok(store::load(ctx.db.read(), &queue.id, ctx.clock.now_ms()).await?)
}

/// The oldest items of a queue, whether they are out or wait.
pub async fn items(ctx: &Ctx, queue: &Queue, limit: i64) -> Result<Vec<Item>, DeliveryError> {
    Ok(store::items(ctx.db.read(), &queue.id, limit).await?)
}

/// Makes a queue. It gets what happens from now on, unless it is set to another place.
pub async fn create(ctx: &Ctx, actor: &str, input: QueueInput) -> Result<Queue, DeliveryError> {
    let now = ctx.clock.now_ms();
    let mut queue = Queue {
        id: id::new("que", &ctx.clock),
        name: String::new(),
        description: String::new(),
        types: "[]".into(),
        all_projects: true,
        projects: "[]".into(),
        position: event::advance(&ctx.db).await?,
        revision: 1,
        created_by: actor.to_owned(),
        created_at: now,
        updated_at: now,
        last_leased_at: None,
    };
    apply(&mut queue, input)?;
    let txn = ctx.db.begin().await?;
    store::insert(&txn, &queue).await.map_err(taken)?;
    note(ctx, &txn, "queue.created", &queue).await?;
    txn.commit().await?;
    Ok(queue)
}

/// Changes a queue, if it is still as it was seen. Items that wait already stay, but for those of projects it has no more.
pub async fn update(ctx: &Ctx, old: &Queue, input: QueueInput) -> Result<Queue, DeliveryError> {
    let mut new = old.clone();
    apply(&mut new, input)?;
    new.updated_at = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    if !store::update(&txn, &new, old.revision).await.map_err(taken)? {
        return Err(DeliveryError::Conflict);
    }
    if new.scope() != old.scope() {
        store::drop_outside(&txn, &new.id, &projects_of(&new.scope())).await?;
    }
    note(ctx, &txn, "queue.updated", &new).await?;
    txn.commit().await?;
    new.revision += 1;
    Ok(new)
}

/// Removes a queue, if it is still as it was seen.
pub async fn delete(ctx: &Ctx, queue: &Queue) -> Result<(), DeliveryError> {
    let txn = ctx.db.begin().await?;
    if !store::remove(&txn, &queue.id, queue.revision).await? {
        return Err(DeliveryError::Conflict);
    }
    note(ctx, &txn, "queue.deleted", queue).await?;
    Ok(txn.commit().await?)
}

/// Notes what somebody did with a queue; taking from it and acknowledging is everyday work and is not noted.
async fn note<C: ConnectionTrait>(ctx: &Ctx, on: &C, action: &str, queue: &Queue) -> Result<(), DbErr> {
    let event = NewAuditEvent::new(action, "queue", &queue.id).saying(json!({ "name": queue.name }));
    audit::append(on, &ctx.clock, event).await.map(drop)
}

/// Sets a queue to another place, if it is still as it was `seen`. What waited or was out is forgotten; acknowledgements of
/// it find nothing.
pub async fn seek(ctx: &Ctx, queue: &Queue, to: Seek, seen: Option<i64>) -> Result<Cursor, DeliveryError> {
    let last = Cursor(event::advance(&ctx.db).await?);
    let (floor, _) = event::extent(&ctx.db).await?;
    let cursor = match to {
        Seek::Oldest => floor,
        Seek::Latest => last,
        Seek::After(cursor) if cursor < floor => return Err(DeliveryError::Expired { oldest: floor }),
        Seek::After(cursor) => cursor.min(last),
    };
    let txn = ctx.db.begin().await?;
    if !store::count_change(&txn, &queue.id, seen, ctx.clock.now_ms()).await? {
        return Err(match seen {
            Some(_) => DeliveryError::Conflict,
            None => DeliveryError::NotFound("queue"),
        });
    }
    store::clear(&txn, &queue.id).await?;
    store::set_position(&txn, &queue.id, cursor.0, None).await?;
    note(ctx, &txn, "queue.moved", queue).await?;
    txn.commit().await?;
    Ok(cursor)
}

/// Lends up to `limit` events for some seconds.
pub async fn lease(ctx: &Ctx, queue: &Queue, limit: i64, seconds: i64) -> Result<Lent, DeliveryError> {
    ctx.log.reach(event::advance(&ctx.db).await?);
    let limit = limit.clamp(1, MAX_LEASE);
    let now = ctx.clock.now_ms();
    let until = now + seconds.clamp(1, MAX_SECONDS) * 1_000;
    let txn = ctx.db.begin().await?;
    // One at a time for each queue: two leases never see the same item as free.
    let position = store::lock(&txn, &queue.id)
        .await?
        .ok_or(DeliveryError::NotFound("queue"))?;
    // Read again behind the lock: it may have lost projects since.
    let queue = store::find(&txn, &queue.id)
        .await?
        .ok_or(DeliveryError::NotFound("queue"))?;
    let filter = queue.scope().filter(Types::stored(queue.type_patterns()));
    let mut cursor = Cursor(position);
    let mut free = store::free(&txn, &queue.id, now, limit).await?;
    while i64::try_from(free.len()).unwrap_or(i64::MAX) < limit {
        let room = WINDOW - store::load(&txn, &queue.id, now).await?.0;
        if room <= 0 {
            break;
        }
        let read = event::read_after(&txn, cursor, &filter, u64::try_from(room.min(500)).unwrap_or(1)).await;
        let read = match read {
            Ok(read) => read,
            Err(LogError::Gone { oldest }) => return Err(DeliveryError::Expired { oldest }),
            Err(LogError::Db(error)) => return Err(error.into()),
        };
        for event in read.events.iter().filter(|event| event.kind != "test.ping") {
            store::insert_item(&txn, &queue.id, event).await?;
        }
        let moved = read.cursor != cursor;
        cursor = read.cursor;
        free = store::free(&txn, &queue.id, now, limit).await?;
        if !read.has_more || !moved {
            break;
        }
    }
    let lease_id = random_token(15);
    store::lend(&txn, &queue.id, &free, &lease_id, until).await?;
    store::set_position(&txn, &queue.id, cursor.0, Some(now)).await?;
    let ids: Vec<String> = free.iter().map(|item| item.event_id.clone()).collect();
    let events = event::gist_of(&txn, &ids).await?;
    // What the retention took away while it waited cannot be handed out any more.
    let known: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    for item in free.iter().filter(|item| !known.contains(item.event_id.as_str())) {
        store::drop_item(&txn, &queue.id, item.sequence).await?;
    }
    txn.commit().await?;
    let times: BTreeMap<String, i64> = free
        .into_iter()
        .map(|item| (item.event_id, item.attempts + 1))
        .collect();
    let events: Vec<(Event, i64)> = events
        .into_iter()
        .map(|event| {
            let times = times.get(&event.id).copied().unwrap_or(1);
            (event, times)
        })
        .collect();
    Ok(Lent {
        lease_id: if events.is_empty() {
            String::new()
        } else {
            lease_id
        },
        until,
        events,
    })
}

/// Acknowledges events of a lease: they are not lent again.
pub async fn ack(
    ctx: &Ctx,
    queue: &Queue,
    lease_id: &str,
    event_ids: &[String],
) -> Result<Settled, DeliveryError> {
    settle(ctx, queue, lease_id, event_ids, None).await
}

/// Gives events of a lease back, to be lent again after some seconds.
pub async fn nack(
    ctx: &Ctx,
    queue: &Queue,
    lease_id: &str,
    event_ids: &[String],
    seconds: i64,
) -> Result<Settled, DeliveryError> {
    let at = ctx.clock.now_ms() + seconds.clamp(0, MAX_SECONDS) * 1_000;
    settle(ctx, queue, lease_id, event_ids, Some(at)).await
}

async fn settle(
    ctx: &Ctx,
    queue: &Queue,
    lease_id: &str,
    event_ids: &[String],
    again_at: Option<i64>,
) -> Result<Settled, DeliveryError> {
    let now = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    let mut settled = Settled::default();
    if store::lock(&txn, &queue.id).await?.is_none() {
        return Err(DeliveryError::NotFound("queue"));
    }
    for event_id in event_ids {
        let done = match again_at {
            None => store::ack(&txn, &queue.id, lease_id, event_id, now).await?,
            Some(at) => store::give_back(&txn, &queue.id, lease_id, event_id, now, at).await?,
        };
        let list = if done {
            &mut settled.done
        } else {
            &mut settled.lost
        };
        list.push(event_id.clone());
    }
    txn.commit().await?;
    Ok(settled)
}

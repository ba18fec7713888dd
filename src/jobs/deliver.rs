//! Carries events from the log to webhooks.
//!
//! Each endpoint is claimed by one node at a time, which looks through the log for it, queues what it wants, and sends.
//! Every endpoint has a task of its own, so a slow one delays nobody else. What came of a request is noted under the
//! claim; a crash in between repeats the request with the same `webhook-id`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use sea_orm::DbErr;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::db::{self, Lease};
use crate::delivery::attempt::{self, Outcome, Target};
use crate::delivery::store::{self, Attempt, Ending, Standing};
use crate::delivery::{
    self, Delivery, DeliveryError, DeliveryState, Files, Format, Payload, Secrets, Source, Webhook, body_of,
    files_of, retry,
};
use crate::event::{self, Cursor, Event, LogError, NewEvent, SYSTEM, Types};
use crate::id;
use crate::message;

/// How often is looked for what is due by time alone.
const TICK: Duration = Duration::from_secs(1);
/// Requests to one endpoint at once.
const AT_ONCE: usize = 8;
/// Requests of this process at once, not counting those that take longer than [`SLOW_AFTER`]; and of those.
const AT_ONCE_IN_ALL: usize = 128;
const SLOW_AT_ONCE: usize = 1_024;
/// When a request stops taking the place of quick ones: an endpoint that answers after seconds delays nobody else.
const SLOW_AFTER: Duration = Duration::from_millis(500);
/// Deliveries that are noted together.
const BATCH: u64 = 64;
/// Events that are queued together.
const FAN_OUT: u64 = 500;
/// Endpoints that are claimed at once.
const CLAIMS: u32 = 50;

pub(super) async fn run(ctx: Ctx) {
    let mut head = ctx.log.follow();
    let room = Arc::new(Room::new());
    loop {
        if let Err(error) = look(&ctx, &room).await {
            tracing::warn!("webhooks cannot be looked for: {error}");
        }
        tokio::select! {
            () = ctx.stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
            () = ctx.deliver.wait() => {}
            Ok(()) = head.changed() => {}
        }
    }
}

/// How many requests are made at once.
struct Room {
    quick: Semaphore,
    slow: Semaphore,
}

impl Room {
    fn new() -> Self {
        Self {
            quick: Semaphore::new(AT_ONCE_IN_ALL),
            slow: Semaphore::new(SLOW_AT_ONCE),
        }
    }

    /// Does it once there is a place; none if there never will be.
    async fn run<T>(&self, request: impl Future<Output = T>) -> Option<T> {
        let quick = self.quick.acquire().await.ok()?;
        tokio::pin!(request);
        tokio::select! {
            done = &mut request => return Some(done),
            () = tokio::time::sleep(SLOW_AFTER) => {}
        }
        let _slow = tokio::select! {
            done = &mut request => return Some(done),
            slow = self.slow.acquire() => slow.ok()?,
        };
        drop(quick);
        Some(request.await)
    }
}

async fn look(ctx: &Ctx, room: &Arc<Room>) -> Result<(), DbErr> {
    let now = ctx.clock.now_ms();
    if !store::is_any_due(ctx.db.read(), now).await? {
        return Ok(());
    }
    for lease in store::claim_due(&ctx.db, &ctx.holder, now, CLAIMS).await? {
        let (ctx, room) = (ctx.clone(), room.clone());
        ctx.tasks.clone().spawn(async move {
            let id = lease.id.clone();
            if let Err(error) = serve(&ctx, lease, &room).await {
                tracing::warn!(webhook = id, "deliveries stopped: {error}");
            }
            // Something may have come while it was given back.
            ctx.deliver.now();
        });
    }
    Ok(())
}

/// Everything that is needed to call one endpoint.
struct Endpoint {
    webhook: Webhook,
    lease: Lease,
    secrets: Secrets,
    headers: BTreeMap<String, String>,
    format: Format,
    payload: Payload,
}

/// Sends what is due, until nothing is or the claim is lost, and gives the claim back.
async fn serve(ctx: &Ctx, lease: Lease, room: &Room) -> Result<(), DeliveryError> {
    let done = AtomicBool::new(false);
    let work = async {
        let result = work(ctx, &lease, room).await;
        done.store(true, Ordering::SeqCst);
        result
    };
    let heart = async {
        while !done.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let until = ctx.clock.now_ms() + store::LEASE_MS;
            if !db::extend(&ctx.db, "webhooks", "id", &lease, until)
                .await
                .unwrap_or(true)
            {
                return;
            }
        }
    };
    tokio::pin!(work);
    let result = tokio::select! {
        result = &mut work => result,
        // The claim is lost: what is on its way may arrive, and is not noted.
        () = heart => return Ok(()),
    };
    // A database that fails, or a secret that does not open, is not asked again at once.
    let earliest = if result.is_ok() {
        0
    } else {
        ctx.clock.now_ms() + 30_000
    };
    let txn = ctx.db.begin().await?;
    store::rest(&txn, &lease, earliest).await?;
    txn.commit().await?;
    result
}

async fn work(ctx: &Ctx, lease: &Lease, room: &Room) -> Result<(), DeliveryError> {
    while !ctx.stop.is_cancelled() {
        let Some(webhook) = store::webhook(ctx.db.read(), &lease.id).await? else {
            return Ok(());
        };
        if !webhook.is_active() || webhook.lease_no != lease.number {
            return Ok(());
        }
        let moved = fan_out(ctx, lease, &webhook).await?;
        let now = ctx.clock.now_ms();
        if webhook.retry_at > now {
            return Ok(());
        }
        let is_down = webhook.failures >= retry::DOWN_AFTER;
        let due = if is_down {
            store::probe(ctx.db.read(), &webhook.id, webhook.ordered).await?
        } else {
            store::due(ctx.db.read(), &webhook.id, webhook.ordered, now, BATCH).await?
        };
        if due.is_empty() {
            if moved {
                continue;
            }
            return Ok(());
        }
        let endpoint = Endpoint {
            lease: lease.clone(),
            secrets: delivery::secrets_of(ctx, &webhook)?,
            headers: delivery::headers_of(ctx, &webhook)?,
            format: Format::parse(&webhook.format).unwrap_or(Format::Jmap),
            payload: Payload::parse(&webhook.payload).unwrap_or(Payload::Thin),
            webhook,
        };
        if !send_batch(ctx, &endpoint, due, room).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Looks through the log for an endpoint and queues what it wants; true if there may be more.
async fn fan_out(ctx: &Ctx, lease: &Lease, webhook: &Webhook) -> Result<bool, DeliveryError> {
    let filter = webhook.scope().filter(Types::stored(webhook.type_patterns()));
    let read = event::read_after(ctx.db.read(), Cursor(webhook.position), &filter, FAN_OUT).await;
    let (events, position, more) = match read {
        Ok(read) => (read.events, read.cursor.0, read.has_more),
        Err(LogError::Gone { oldest }) => {
            // It was disabled for longer than the log is kept.
            tracing::warn!(
                webhook = webhook.id,
                "events that were never sent are older than the retention"
            );
            (Vec::new(), oldest.0, true)
        }
        Err(LogError::Db(error)) => return Err(error.into()),
    };
    if position == webhook.position {
        return Ok(false);
    }
    let queued: Vec<(String, &Event)> = events
        .iter()
        // A ping is queued when it is made, for one endpoint.
        .filter(|event| event.kind != "test.ping")
        .map(|event| (id::new("dlv", &ctx.clock), event))
        .collect();
    let txn = ctx.db.begin().await?;
    if store::queue_events(&txn, lease, &queued, position, ctx.clock.now_ms()).await? {
        txn.commit().await?;
    }
    Ok(more || !queued.is_empty())
}

/// Sends some deliveries and notes what came of them; false if the claim was lost.
async fn send_batch(
    ctx: &Ctx,
    endpoint: &Endpoint,
    due: Vec<Delivery>,
    room: &Room,
) -> Result<bool, DeliveryError> {
    let ids: Vec<String> = due.iter().map(|delivery| delivery.event_id.clone()).collect();
    let events: BTreeMap<String, Event> = event::gist_of(ctx.db.read(), &ids)
        .await?
        .into_iter()
        .map(|event| (event.id.clone(), event))
        .collect();
    // When it fails again and again, or asks for it, the rest of the batch is left for later.
    let failed = std::sync::atomic::AtomicI64::new(endpoint.webhook.failures);
    let wants_peace = AtomicBool::new(false);
    let is_down = endpoint.webhook.failures >= retry::DOWN_AFTER;
    let (failed, wants_peace, events) = (&failed, &wants_peace, &events);
    let outcomes: Vec<(Delivery, Option<(Outcome, i64)>)> = futures_util::stream::iter(due)
        .map(|delivery| async move {
            let is_failing = !is_down && failed.load(Ordering::SeqCst) >= retry::DOWN_AFTER;
            if is_failing || wants_peace.load(Ordering::SeqCst) || ctx.stop.is_cancelled() {
                return (delivery, None);
            }
            let request = async {
                let at = ctx.clock.now_ms();
                let event = events.get(&delivery.event_id);
                (at, request_of(ctx, endpoint, event, delivery.attempts + 1).await)
            };
            let Some((at, outcome)) = room.run(request).await else {
                return (delivery, None);
            };
            match outcome {
                Ok(outcome) => {
                    if outcome.is_success() {
                        failed.store(0, Ordering::SeqCst);
                    } else {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                    if outcome.is_gone() || wanted_pause(&outcome, ctx.clock.now_ms()) > 0 {
                        wants_peace.store(true, Ordering::SeqCst);
                    }
                    (delivery, Some((outcome, at)))
                }
                Err(error) => {
                    tracing::warn!(delivery = delivery.id, "the event could not be read: {error}");
                    (delivery, None)
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    note(ctx, endpoint, outcomes).await
}

async fn request_of(
    ctx: &Ctx,
    endpoint: &Endpoint,
    event: Option<&Event>,
    attempt: i64,
) -> Result<Outcome, DbErr> {
    match event {
        Some(event) if !may_be_told(&endpoint.webhook, event) => Ok(not_sent("not_in_scope")),
        Some(event) => send_one(ctx, endpoint, event, attempt).await,
        None => Ok(not_sent("event_gone")),
    }
}

/// Whether an event that was queued is still for this endpoint: its projects may have become fewer since.
fn may_be_told(webhook: &Webhook, event: &Event) -> bool {
    event.kind == "test.ping" || delivery::projects_of(&webhook.scope()).contains(&event.project_id)
}

/// An event that is not sent any more: the retention took it away, or the endpoint may not know of it.
fn not_sent(why: &str) -> Outcome {
    Outcome {
        status: None,
        error: why.into(),
        ms: 0,
        retry_after: None,
        request: "{}".into(),
        response: "{}".into(),
    }
}

async fn send_one(ctx: &Ctx, endpoint: &Endpoint, event: &Event, attempt: i64) -> Result<Outcome, DbErr> {
    let mail = match delivery::message_id(event) {
        Some(id) if endpoint.payload == Payload::Full || endpoint.format != Format::Jmap => {
            message::find_in(ctx.db.read(), id).await?
        }
        _ => None,
    };
    let files = match (&mail, endpoint.format) {
        (Some(mail), Format::Postmark) => files_of(ctx, mail).await?,
        _ => Files::new(),
    };
    let source = Source {
        event,
        message: mail.as_ref(),
        files: &files,
    };
    let now = ctx.clock.now_ms();
    let stamp = delivery::stamp(&endpoint.secrets, &event.id, attempt, now);
    let body = body_of(&ctx.config, &source, endpoint.format, endpoint.payload, &stamp);
    let target = Target {
        url: &endpoint.webhook.url,
        headers: &endpoint.headers,
        secrets: &endpoint.secrets,
    };
    let client = ctx.webhook_dialer.http();
    let timeout = Duration::from_secs(ctx.config.webhook_timeout);
    Ok(attempt::send(&client, timeout, &target, &event.id, now, body).await)
}

/// For how long a receiver that did not take something asks to be left alone, milliseconds.
fn wanted_pause(outcome: &Outcome, now: i64) -> i64 {
    let asked = outcome.retry_after.as_deref().filter(|_| !outcome.is_success());
    asked
        .and_then(|value| retry::retry_after(value, now))
        .unwrap_or(0)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

async fn note(
    ctx: &Ctx,
    endpoint: &Endpoint,
    outcomes: Vec<(Delivery, Option<(Outcome, i64)>)>,
) -> Result<bool, DeliveryError> {
    let now = ctx.clock.now_ms();
    let before = &endpoint.webhook;
    let mut standing = Standing {
        failures: before.failures,
        failing_since: before.failing_since,
        retry_at: before.retry_at,
        last_success_at: before.last_success_at,
        disabled: None,
    };
    let mut endings = Vec::new();
    let mut succeeded = false;
    for (delivery, outcome) in outcomes {
        let Some((outcome, at)) = outcome else { continue };
        let attempts = delivery.attempts + 1;
        let first_at = delivery.first_at.unwrap_or(at);
        let mut ending = Ending {
            delivery_id: delivery.id,
            state: DeliveryState::Delivered.as_str(),
            attempts,
            next_at: i64::MAX,
            first_at,
            finished_at: Some(now),
            attempt: Attempt {
                number: attempts,
                at,
                ms: outcome.ms,
                status: outcome.status.map(i64::from),
                error: outcome.error.clone(),
                request: parsed(&outcome.request),
                response: parsed(&outcome.response),
            },
        };
        if outcome.is_success() {
            succeeded = true;
            standing.failures = 0;
            standing.failing_since = None;
            standing.last_success_at = Some(now);
        } else if matches!(outcome.error.as_str(), "event_gone" | "not_in_scope") {
            ending.state = DeliveryState::Failed.as_str();
        } else {
            standing.failures += 1;
            let since = *standing.failing_since.get_or_insert(at);
            let pause = retry::pause(attempts, rand::random());
            let wanted = wanted_pause(&outcome, now);
            match retry::next_at(first_at, now, pause) {
                None => ending.state = DeliveryState::Failed.as_str(),
                Some(next_at) => {
                    ending.state = DeliveryState::Waiting.as_str();
                    ending.next_at = next_at.max(now + wanted);
                    ending.finished_at = None;
                }
            }
            if wanted > 0 {
                standing.retry_at = standing.retry_at.max(now + wanted);
            }
            if outcome.is_gone() {
                standing.disabled = Some("gone");
            } else if now - since >= retry::GIVE_UP_MS {
                standing.disabled = Some("failing");
            }
        }
        endings.push(ending);
    }
    let spare = retry::probe_pause(standing.failures, rand::random());
    if spare > 0 {
        standing.retry_at = standing.retry_at.max(now + spare);
    }
    let txn = ctx.db.begin().await?;
    if !store::record(&txn, &endpoint.lease, &endings, &standing).await? {
        return Ok(false);
    }
    if succeeded && before.failures >= retry::DOWN_AFTER {
        store::wake_waiting(&txn, &before.id, now).await?;
    }
    if let Some(reason) = standing.disabled {
        tell_disabled(ctx, &txn, before, reason, standing.failing_since).await?;
    }
    txn.commit().await?;
    Ok(!endings.is_empty())
}

async fn tell_disabled(
    ctx: &Ctx,
    txn: &sea_orm::DatabaseTransaction,
    webhook: &Webhook,
    reason: &str,
    since: Option<i64>,
) -> Result<(), DbErr> {
    let host = url::Url::parse(&webhook.url)
        .map(|url| format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default()))
        .unwrap_or_default();
    tracing::warn!(webhook = webhook.id, reason, "a webhook was disabled");
    let scope = webhook.scope().0.unwrap_or_default();
    let event = NewEvent {
        kind: "webhook.disabled",
        project_id: match scope.len() {
            1 => scope.first().map_or("", String::as_str),
            _ => "",
        },
        subject_id: &webhook.id,
        actor: SYSTEM,
        data: json!({ "url": host, "reason": reason, "failingSince": since.map(rfc3339) }),
    };
    event::append(txn, &ctx.clock, event).await.map(drop)
}

#[cfg(test)]
mod tests;

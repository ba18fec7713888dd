//! All queries on webhooks, deliveries and attempts.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder, QuerySelect, Statement, Value};

use super::model::{DeliveryFilter, DeliveryState, Shown, WebhookState};
use super::retry::DOWN_AFTER;
use crate::db::{self, Claim, Db, Lease, sql, with_rows};
use crate::event::Event;

pub use delivery_row::Model as Delivery;
pub use webhook_row::Model as Webhook;

mod webhook_row {
    //! The table `webhooks`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// An endpoint that is called.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "webhooks")]
    pub struct Model {
        /// `whk_` + ULID.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// Where it is.
        pub url: String,
        /// For people.
        pub description: String,
        /// JSON list of types and families; empty for all.
        pub types: String,
        /// Whether it gets the events of the whole site.
        pub all_projects: bool,
        /// JSON list of project ids, where it does not.
        pub projects: String,
        /// How its bodies look.
        pub format: String,
        /// How much is in them.
        pub payload: String,
        /// Whether a ticket's events wait for each other.
        pub ordered: bool,
        /// JSON object of headers to add, sealed.
        pub headers_sealed: String,
        /// The secret, sealed.
        pub secret_sealed: String,
        /// The secret of before, sealed; empty if there is none.
        pub old_secret_sealed: String,
        /// Until when that one signs as well, milliseconds since 1970.
        pub old_secret_until: i64,
        /// Seed of the key pair, sealed.
        pub signing_key_sealed: String,
        /// Public half of the key pair, `whpk_…`.
        pub public_key: String,
        /// `active` or `disabled`.
        pub state: String,
        /// Why it is disabled: `gone`, `failing`, `by_hand`.
        pub reason: String,
        /// Up to where the log was looked through for it.
        pub position: i64,
        /// Failures in a row.
        pub failures: i64,
        /// Since when nothing but failures, milliseconds since 1970.
        pub failing_since: Option<i64>,
        /// Not called before this time.
        pub retry_at: i64,
        /// When its next delivery is due.
        pub next_at: i64,
        /// When it last took something.
        pub last_success_at: Option<i64>,
        /// Who calls it now.
        pub lease_holder: String,
        /// Fencing number.
        pub lease_no: i64,
        /// Until when.
        pub lease_until: i64,
        /// Grows with every change by a person, and when it is disabled for its failures; the API's ETag.
        pub revision: i64,
        /// Who made it.
        pub created_by: String,
        /// Milliseconds since 1970.
        pub created_at: i64,
        /// Milliseconds since 1970.
        pub updated_at: i64,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod delivery_row {
    //! The table `deliveries`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// An event on its way to one endpoint.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "deliveries")]
    pub struct Model {
        /// `dlv_` + ULID.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// The endpoint.
        pub webhook_id: String,
        /// The event, whose id is the `webhook-id`.
        pub event_id: String,
        /// The event's place in the log.
        pub sequence: i64,
        /// Type of the event.
        pub r#type: String,
        /// What it keeps its order with.
        pub order_key: String,
        /// `waiting`, `delivered` or `failed`.
        pub state: String,
        /// Attempts so far.
        pub attempts: i64,
        /// When it is tried next.
        pub next_at: i64,
        /// When it was tried first in this round.
        pub first_at: Option<i64>,
        /// Status of the last answer.
        pub last_status: Option<i64>,
        /// What was wrong last; empty if nothing was.
        pub last_error: String,
        /// When it was delivered or given up.
        pub finished_at: Option<i64>,
        /// When it was queued.
        pub created_at: i64,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Model {
        /// When it is tried next, for people: what was put first is due since it was queued, not since 1970.
        pub fn next_attempt_at(&self) -> i64 {
            self.next_at.max(self.created_at)
        }
    }
}

mod attempt_row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "delivery_attempts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub delivery_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: i64,
        pub at: i64,
        pub ms: i64,
        pub status: Option<i64>,
        pub error: String,
        pub request: String,
        pub response: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One request that was made.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// From 1.
    pub number: i64,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// How long it took.
    pub ms: i64,
    /// Status of the answer.
    pub status: Option<i64>,
    /// What was wrong; empty if nothing was.
    pub error: String,
    /// The request, redacted.
    pub request: serde_json::Value,
    /// The answer, as far as it is kept.
    pub response: serde_json::Value,
}

impl Webhook {
    /// Whose events it gets.
    pub fn scope(&self) -> Shown {
        Shown::of(self.all_projects, &self.projects)
    }

    /// Types and families; empty for all.
    pub fn type_patterns(&self) -> Vec<String> {
        serde_json::from_str(&self.types).unwrap_or_default()
    }

    /// Whether it is called.
    pub fn is_active(&self) -> bool {
        self.state == WebhookState::Active.as_str()
    }
}

pub(super) async fn insert<C: ConnectionTrait>(on: &C, webhook: &Webhook) -> Result<(), DbErr> {
    let model = webhook_row::ActiveModel::from(webhook.clone()).reset_all();
    webhook_row::Entity::insert(model)
        .exec_without_returning(on)
        .await?;
    Ok(())
}

/// Writes what people can change, if the revision is still the one that was read; whoever calls it now stops. Whether it
/// is called, and its failures, only if somebody switches it: what was read may be older than what came of a request.
pub(super) async fn update<C: ConnectionTrait>(
    on: &C,
    changed: &Webhook,
    seen: i64,
    is_switched: bool,
) -> Result<bool, DbErr> {
    let mut model = webhook_row::ActiveModel {
        url: Set(changed.url.clone()),
        description: Set(changed.description.clone()),
        types: Set(changed.types.clone()),
        all_projects: Set(changed.all_projects),
        projects: Set(changed.projects.clone()),
        format: Set(changed.format.clone()),
        payload: Set(changed.payload.clone()),
        ordered: Set(changed.ordered),
        headers_sealed: Set(changed.headers_sealed.clone()),
        secret_sealed: Set(changed.secret_sealed.clone()),
        old_secret_sealed: Set(changed.old_secret_sealed.clone()),
        old_secret_until: Set(changed.old_secret_until),
        position: Set(changed.position),
        retry_at: Set(0),
        next_at: Set(0),
        revision: Set(seen + 1),
        updated_at: Set(changed.updated_at),
        ..Default::default()
    };
    if is_switched {
        model.state = Set(changed.state.clone());
        model.reason = Set(changed.reason.clone());
        model.failures = Set(changed.failures);
        model.failing_since = Set(changed.failing_since);
    }
    let result = webhook_row::Entity::update_many()
        .set(model)
        // In the same statement, so that no claim in between is forgotten.
        .col_expr(
            webhook_row::Column::LeaseNo,
            Expr::col(webhook_row::Column::LeaseNo).add(1),
        )
        .col_expr(webhook_row::Column::LeaseUntil, Expr::value(0_i64))
        .filter(webhook_row::Column::Id.eq(&changed.id))
        .filter(webhook_row::Column::Revision.eq(seen))
        .exec(on)
        .await?;
    Ok(result.rows_affected == 1)
}

pub(super) async fn remove<C: ConnectionTrait>(on: &C, id: &str, seen: i64) -> Result<bool, DbErr> {
    Ok(webhook_row::Entity::delete_by_id(id)
        .filter(webhook_row::Column::Revision.eq(seen))
        .exec(on)
        .await?
        .rows_affected
        == 1)
}

/// One webhook.
pub async fn webhook<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Webhook>, DbErr> {
    webhook_row::Entity::find_by_id(id).one(on).await
}

pub(super) async fn webhooks<C: ConnectionTrait>(on: &C) -> Result<Vec<Webhook>, DbErr> {
    webhook_row::Entity::find()
        .order_by_asc(webhook_row::Column::Id)
        .all(on)
        .await
}

/// How long a claim lasts without a heartbeat, milliseconds.
pub const LEASE_MS: i64 = 60_000;

const DUE: &str = "state = 'active' AND retry_at <= $4 AND (next_at <= $4 OR position < \
                   (SELECT last FROM event_log WHERE id = 1))";

/// Whether an endpoint waits to be called. Most looks find nothing, and a read spares the writer.
pub async fn is_any_due<C: ConnectionTrait>(on: &C, now: i64) -> Result<bool, DbErr> {
    let due = DUE.replace("$4", "$1");
    let text = format!("SELECT id FROM webhooks WHERE lease_until <= $1 AND {due} LIMIT 1");
    Ok(on.query_one_raw(sql(on, &text, [now.into()])).await?.is_some())
}

/// Claims endpoints that are due.
pub async fn claim_due(db: &Db, holder: &str, now: i64, limit: u32) -> Result<Vec<Lease>, DbErr> {
    let claim = Claim {
        table: "webhooks",
        key: "id",
        due: DUE,
        holder,
        now,
        lasts: LEASE_MS,
        limit,
    };
    db::claim(db, &claim).await
}

/// Queues events for an endpoint and notes up to where the log was looked through; false if the claim is lost.
pub async fn queue_events<C: ConnectionTrait>(
    on: &C,
    lease: &Lease,
    events: &[(String, &Event)],
    position: i64,
    now: i64,
) -> Result<bool, DbErr> {
    // Due from now on: whoever dies before it says when, leaves it to the next holder.
    let text = "UPDATE webhooks SET position = $1, next_at = 0 WHERE id = $2 AND lease_no = $3";
    let values: [Value; 3] = [position.into(), lease.id.clone().into(), lease.number.into()];
    if on.execute_raw(sql(on, text, values)).await?.rows_affected() != 1 {
        return Ok(false);
    }
    insert_deliveries(on, &lease.id, events, now).await?;
    Ok(true)
}

/// Puts a delivery before everything that waits: somebody looks at it.
pub(super) async fn put_first<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    let text = "UPDATE deliveries SET next_at = 0 WHERE id = $1";
    on.execute_raw(sql(on, text, [id.into()])).await.map(drop)
}

/// Queues events for one endpoint, each once.
pub(super) async fn insert_deliveries<C: ConnectionTrait>(
    on: &C,
    webhook_id: &str,
    events: &[(String, &Event)],
    now: i64,
) -> Result<(), DbErr> {
    let rows = events.iter().map(|(id, event)| {
        let row: [Value; 7] = [
            id.as_str().into(),
            webhook_id.into(),
            event.id.as_str().into(),
            event.sequence.into(),
            event.kind.as_str().into(),
            event.order_key.as_str().into(),
            now.into(),
        ];
        row
    });
    let text = "WITH v (id, webhook_id, event_id, sequence, kind, order_key, now) AS (VALUES {rows}) \
                INSERT INTO deliveries (id, webhook_id, event_id, sequence, type, order_key, state, attempts, next_at, \
                last_error, created_at) SELECT id, webhook_id, event_id, sequence, kind, order_key, 'waiting', 0, now, \
                '', now FROM v WHERE TRUE ON CONFLICT (webhook_id, event_id) DO NOTHING";
    with_rows(on, text, rows.collect()).await.map(drop)
}

/// Deliveries whose turn it is, those that are due longest first and of one moment in the order of the log. What somebody
/// put first comes alone, before a backlog. With `ordered`, none that must wait for an earlier one.
pub async fn due<C: ConnectionTrait>(
    on: &C,
    webhook_id: &str,
    ordered: bool,
    now: i64,
    limit: u64,
) -> Result<Vec<Delivery>, DbErr> {
    for at in [0, now] {
        let due = due_statement(on, webhook_id, ordered, at, limit);
        let due = delivery_row::Entity::find().from_raw_sql(due).all(on).await?;
        if !due.is_empty() {
            return Ok(due);
        }
    }
    Ok(Vec::new())
}

// An index holds what waits in this order: however long the backlog is, a handful is read and nothing sorted.
fn due_statement<C: ConnectionTrait>(
    on: &C,
    webhook_id: &str,
    ordered: bool,
    at: i64,
    limit: u64,
) -> Statement {
    let wait = if ordered { WAIT_FOR_EARLIER } else { "" };
    let text = format!(
        "SELECT * FROM deliveries AS d WHERE webhook_id = $1 AND state = 'waiting' AND next_at <= $2 {wait} \
         ORDER BY next_at, sequence LIMIT $3"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sql(on, &text, [webhook_id.into(), at.into(), limit.into()])
}

/// What an endpoint that is down is asked with: the waiting delivery that has waited longest for its next attempt, due
/// or not. So each has its turn, and one that is refused whatever happens does not keep the endpoint down.
pub async fn probe<C: ConnectionTrait>(
    on: &C,
    webhook_id: &str,
    ordered: bool,
) -> Result<Vec<Delivery>, DbErr> {
    let wait = if ordered { WAIT_FOR_EARLIER } else { "" };
    let text = format!(
        "SELECT * FROM deliveries AS d WHERE webhook_id = $1 AND state = 'waiting' {wait} ORDER BY next_at, sequence \
         LIMIT 1"
    );
    delivery_row::Entity::find()
        .from_raw_sql(sql(on, &text, [webhook_id.into()]))
        .all(on)
        .await
}

/// Leaves out what must wait for an earlier event of the same ticket.
const WAIT_FOR_EARLIER: &str = "AND NOT EXISTS (SELECT 1 FROM deliveries AS earlier WHERE \
    earlier.webhook_id = d.webhook_id AND earlier.order_key = d.order_key AND earlier.sequence < d.sequence \
    AND earlier.state = 'waiting')";

/// What a delivery came to.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Which.
    pub delivery_id: String,
    /// Its new state.
    pub state: &'static str,
    /// Attempts so far, this one included.
    pub attempts: i64,
    /// When it is tried again.
    pub next_at: i64,
    /// When it was tried first in this round.
    pub first_at: i64,
    /// When it ended, if it did.
    pub finished_at: Option<i64>,
    /// The attempt.
    pub attempt: Attempt,
}

/// How an endpoint stands after some attempts.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Failures in a row.
    pub failures: i64,
    /// Since when nothing but failures.
    pub failing_since: Option<i64>,
    /// Not called before this time.
    pub retry_at: i64,
    /// When it last took something.
    pub last_success_at: Option<i64>,
    /// Why it is disabled now, if it is.
    pub disabled: Option<&'static str>,
}

/// Notes what attempts came to and how the endpoint stands; false, and nothing noted, if the claim is lost.
pub async fn record<C: ConnectionTrait>(
    on: &C,
    lease: &Lease,
    endings: &[Ending],
    standing: &Standing,
) -> Result<bool, DbErr> {
    let state = if standing.disabled.is_some() {
        "disabled"
    } else {
        "active"
    };
    // Whoever read it before does not change it any more as if it were still called.
    let step = i64::from(standing.disabled.is_some());
    let values: [Value; 9] = [
        standing.failures.into(),
        standing.failing_since.into(),
        standing.retry_at.into(),
        standing.last_success_at.into(),
        state.into(),
        standing.disabled.unwrap_or_default().into(),
        lease.id.clone().into(),
        lease.number.into(),
        step.into(),
    ];
    let text = "UPDATE webhooks SET failures = $1, failing_since = $2, retry_at = $3, last_success_at = $4, \
                state = $5, reason = $6, revision = revision + $9, next_at = 0 WHERE id = $7 AND lease_no = $8";
    if on.execute_raw(sql(on, text, values)).await?.rows_affected() != 1 {
        return Ok(false);
    }
    let rows = endings.iter().map(|ending| {
        let row: [Value; 8] = [
            ending.delivery_id.as_str().into(),
            ending.state.into(),
            ending.attempts.into(),
            ending.next_at.into(),
            ending.first_at.into(),
            ending.attempt.status.into(),
            ending.attempt.error.as_str().into(),
            ending.finished_at.into(),
        ];
        row
    });
    let text = "WITH v (n_id, n_state, n_attempts, n_next, n_first, n_status, n_error, n_finished) AS (VALUES {rows}) \
                UPDATE deliveries SET state = n_state, attempts = n_attempts, next_at = n_next, first_at = n_first, \
                last_status = n_status, last_error = n_error, finished_at = n_finished FROM v WHERE id = n_id";
    with_rows(on, text, rows.collect()).await?;
    let rows = endings.iter().map(|ending| {
        let row: [Value; 8] = [
            ending.delivery_id.as_str().into(),
            ending.attempts.into(),
            ending.attempt.at.into(),
            ending.attempt.ms.into(),
            ending.attempt.status.into(),
            ending.attempt.error.as_str().into(),
            ending.attempt.request.to_string().into(),
            ending.attempt.response.to_string().into(),
        ];
        row
    });
    let text = "INSERT INTO delivery_attempts (delivery_id, number, at, ms, status, error, request, response) \
                VALUES {rows}";
    with_rows(on, text, rows.collect()).await?;
    Ok(true)
}

/// An endpoint is back: what waits for a later attempt is tried now.
pub async fn wake_waiting<C: ConnectionTrait>(on: &C, webhook_id: &str, now: i64) -> Result<(), DbErr> {
    let text =
        "UPDATE deliveries SET next_at = $1 WHERE webhook_id = $2 AND state = 'waiting' AND next_at > $1";
    on.execute_raw(sql(on, text, [now.into(), webhook_id.into()]))
        .await
        .map(drop)
}

// What waits for an earlier event of its ticket is due long before its turn: to count it would be to ask without pause.
async fn next_turn<C: ConnectionTrait>(
    on: &C,
    webhook_id: &str,
    ordered: bool,
) -> Result<Option<i64>, DbErr> {
    let wait = if ordered { WAIT_FOR_EARLIER } else { "" };
    let text = format!(
        "SELECT d.next_at FROM deliveries AS d WHERE webhook_id = $1 AND state = 'waiting' {wait} \
         ORDER BY next_at, sequence LIMIT 1"
    );
    let row = on.query_one_raw(sql(on, &text, [webhook_id.into()])).await?;
    row.map(|row| row.try_get("", "next_at")).transpose()
}

/// Gives the claim back and notes when the endpoint is due again: with its next delivery; when it is down, as soon as
/// it may be asked; never before `earliest`. In a transaction of the caller: the row is taken first and the deliveries
/// are looked at then, so that one that was made due meanwhile is not overlooked.
pub async fn rest<C: ConnectionTrait>(on: &C, lease: &Lease, earliest: i64) -> Result<(), DbErr> {
    let text = "UPDATE webhooks SET lease_until = 0 WHERE id = $1 AND lease_no = $2";
    let values: [Value; 2] = [lease.id.clone().into(), lease.number.into()];
    if on.execute_raw(sql(on, text, values)).await?.rows_affected() != 1 {
        return Ok(());
    }
    let Some(webhook) = webhook(on, &lease.id).await? else {
        return Ok(());
    };
    let next = match next_turn(on, &lease.id, webhook.ordered).await? {
        None => i64::MAX,
        Some(_) if webhook.failures >= DOWN_AFTER => webhook.retry_at,
        Some(turn) => turn,
    };
    let text = "UPDATE webhooks SET next_at = $1 WHERE id = $2 AND lease_no = $3";
    let values: [Value; 3] = [
        Ord::max(next, earliest).into(),
        lease.id.clone().into(),
        lease.number.into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(drop)
}

/// One delivery of an endpoint.
pub(super) async fn delivery<C: ConnectionTrait>(
    on: &C,
    webhook_id: &str,
    id: &str,
) -> Result<Option<Delivery>, DbErr> {
    delivery_row::Entity::find_by_id(id)
        .filter(delivery_row::Column::WebhookId.eq(webhook_id))
        .one(on)
        .await
}

/// Deliveries of an endpoint, from new to old.
pub(super) async fn deliveries<C: ConnectionTrait>(
    on: &C,
    webhook_id: &str,
    filter: &DeliveryFilter,
    limit: u64,
) -> Result<Vec<Delivery>, DbErr> {
    listed(webhook_id, filter, limit).all(on).await
}

fn listed(webhook_id: &str, filter: &DeliveryFilter, limit: u64) -> Select<delivery_row::Entity> {
    let mut find = delivery_row::Entity::find().filter(delivery_row::Column::WebhookId.eq(webhook_id));
    if let Some(state) = filter.state {
        find = find.filter(Expr::cust(in_state(state)));
    }
    if let Some(kind) = &filter.kind {
        find = find.filter(delivery_row::Column::Type.eq(kind.as_str()));
    }
    if let Some(event) = &filter.event_id {
        find = find.filter(delivery_row::Column::EventId.eq(event.as_str()));
    }
    if let Some(after) = &filter.after {
        find = find.filter(delivery_row::Column::Id.lt(after.as_str()));
    }
    find.order_by_desc(delivery_row::Column::Id).limit(limit)
}

/// Written, not handed over, so that each finds its index. That of what did not arrive is looked at only if its condition
/// stands there as it is; most arrived, and are read from the list of all rather than sorted.
fn in_state(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Waiting => "state = 'waiting' AND state <> 'delivered'",
        DeliveryState::Failed => "state = 'failed' AND state <> 'delivered'",
        DeliveryState::Delivered => "state <> 'waiting' AND state <> 'failed'",
    }
}

/// How many deliveries of an endpoint are in a state.
pub(super) async fn count<C: ConnectionTrait>(on: &C, webhook_id: &str, state: &str) -> Result<i64, DbErr> {
    let text = "SELECT COUNT(*) AS n FROM deliveries WHERE webhook_id = $1 AND state = $2";
    let values: [Value; 2] = [webhook_id.into(), state.into()];
    let row = on.query_one_raw(sql(on, text, values)).await?;
    row.map_or(Ok(0), |row| row.try_get("", "n"))
}

/// The attempts of a delivery, in their order.
pub(super) async fn attempts<C: ConnectionTrait>(on: &C, delivery_id: &str) -> Result<Vec<Attempt>, DbErr> {
    let rows = attempt_row::Entity::find()
        .filter(attempt_row::Column::DeliveryId.eq(delivery_id))
        .order_by_asc(attempt_row::Column::Number)
        .all(on)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Attempt {
            number: row.number,
            at: row.at,
            ms: row.ms,
            status: row.status,
            error: row.error,
            request: serde_json::from_str(&row.request).unwrap_or_default(),
            response: serde_json::from_str(&row.response).unwrap_or_default(),
        })
        .collect())
}

/// Makes one delivery due now, whatever came of it before; false if it is gone. Its endpoint was made due.
pub(super) async fn send_again<C: ConnectionTrait>(
    on: &C,
    webhook_id: &str,
    delivery_id: &str,
) -> Result<bool, DbErr> {
    let text = "UPDATE deliveries SET state = 'waiting', next_at = 0, first_at = NULL, finished_at = NULL \
                WHERE webhook_id = $1 AND id = $2";
    let values: [Value; 2] = [webhook_id.into(), delivery_id.into()];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// Makes everything due now that was given up since a time, however long ago it was queued. Its endpoint was made due.
pub(super) async fn send_failed_again<C: ConnectionTrait>(
    on: &C,
    webhook_id: &str,
    since: i64,
    now: i64,
) -> Result<u64, DbErr> {
    on.execute_raw(failed_again(on, webhook_id, since, now))
        .await
        .map(|done| done.rows_affected())
}

// Of an endpoint's deliveries most arrived: only those that did not are looked at, by their index.
fn failed_again<C: ConnectionTrait>(on: &C, webhook_id: &str, since: i64, now: i64) -> Statement {
    let text = format!(
        "UPDATE deliveries SET state = 'waiting', next_at = $1, first_at = NULL, finished_at = NULL \
         WHERE webhook_id = $2 AND {} AND finished_at >= $3 AND event_id IN (SELECT id FROM events)",
        in_state(DeliveryState::Failed)
    );
    sql(on, &text, [now.into(), webhook_id.into(), since.into()])
}

/// Calls the endpoint at the next look, also while it is being spared, and holds its row; false if it is gone.
pub(super) async fn make_due<C: ConnectionTrait>(on: &C, webhook_id: &str) -> Result<bool, DbErr> {
    let text = "UPDATE webhooks SET next_at = 0, retry_at = 0 WHERE id = $1";
    let done = on.execute_raw(sql(on, text, [webhook_id.into()])).await?;
    Ok(done.rows_affected() == 1)
}

/// Everything that waits gets a new round of attempts: its endpoint was disabled meanwhile.
pub(super) async fn restart_waiting<C: ConnectionTrait>(
    on: &C,
    webhook_id: &str,
    now: i64,
) -> Result<(), DbErr> {
    let text =
        "UPDATE deliveries SET next_at = $1, first_at = NULL WHERE webhook_id = $2 AND state = 'waiting'";
    on.execute_raw(sql(on, text, [now.into(), webhook_id.into()]))
        .await
        .map(drop)
}

/// Deliveries that ended before a time are deleted, a handful at once; failed ones are kept as long as their events.
pub async fn purge<C: ConnectionTrait>(
    on: &C,
    delivered: i64,
    failed: i64,
    limit: i64,
) -> Result<u64, DbErr> {
    let text = "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE finished_at < $1 \
                AND (state = 'delivered' OR finished_at < $2) LIMIT $3)";
    let values: [Value; 3] = [delivered.into(), failed.into(), limit.into()];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected())
}

#[cfg(test)]
mod tests;

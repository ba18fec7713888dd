//! All queries on the audit log.

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, QueryOrder, QuerySelect, Statement};

use super::chain::Head;
use crate::access::Projects;
use crate::db::{Listed, Where, sql, within};
use crate::id;

/// An hour, milliseconds.
const HOUR_MS: i64 = 3_600_000;
/// A day, milliseconds.
const DAY_MS: i64 = 24 * HOUR_MS;

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_events")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub created_at: i64,
        pub actor: String,
        pub via: String,
        pub address: String,
        pub request_id: String,
        pub action: String,
        pub target_kind: String,
        pub target_id: String,
        pub project_id: String,
        pub summary: String,
        pub place: Option<i64>,
        pub key_id: String,
        pub seal: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An event as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// `aud_` + ULID.
    pub id: String,
    /// When, milliseconds since 1970.
    pub created_at: i64,
    /// Who did it.
    pub actor: String,
    /// By which way: `ui`, `api`, `rule`, `cli`, `system`.
    pub via: String,
    /// From which network address; empty if from none.
    pub address: String,
    /// The request in the service's log; empty if there was none.
    pub request_id: String,
    /// What was done.
    pub action: String,
    /// What kind of thing it was done to.
    pub target_kind: String,
    /// Which one.
    pub target_id: String,
    /// The project it belongs to; empty for the site.
    pub project_id: String,
    /// What is different now.
    pub summary: serde_json::Value,
    /// Its place in the chain, from 1; 0 while it has none yet.
    pub place: i64,
    /// The key its seal was made with.
    pub key_id: String,
    /// The seal over it and the event before it.
    pub seal: String,
    /// `summary` letter by letter, as it was sealed.
    pub(super) text: String,
}

impl From<row::Model> for AuditEvent {
    fn from(row: row::Model) -> Self {
        Self {
            id: row.id,
            created_at: row.created_at,
            actor: row.actor,
            via: row.via,
            address: row.address,
            request_id: row.request_id,
            action: row.action,
            target_kind: row.target_kind,
            target_id: row.target_id,
            project_id: row.project_id,
            // What cannot be read any more was changed, and its seal will say so.
            summary: serde_json::from_str(&row.summary).unwrap_or_default(),
            text: row.summary,
            place: row.place.unwrap_or(0),
            key_id: row.key_id,
            seal: row.seal,
        }
    }
}

/// Which events somebody wants to see.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of which projects; what belongs to none is there for all of them only.
    pub projects: Projects,
    /// By whom.
    pub actor: Option<String>,
    /// An action, or a family of them that ends in `.*`.
    pub action: Option<String>,
    /// The kind of thing.
    pub target_kind: Option<String>,
    /// The thing.
    pub target_id: Option<String>,
    /// By which way.
    pub via: Option<String>,
    /// From this time on, milliseconds since 1970.
    pub since: Option<i64>,
    /// Before this time, milliseconds since 1970.
    pub until: Option<i64>,
}

pub(super) async fn insert<C: ConnectionTrait>(on: &C, event: &AuditEvent) -> Result<(), DbErr> {
    // Through the filter that takes NUL characters out, like every text a stranger may have had a hand in.
    let text = "INSERT INTO audit_events (id, created_at, actor, via, address, request_id, action, target_kind, \
                target_id, project_id, summary) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let values = [
        event.id.clone().into(),
        event.created_at.into(),
        event.actor.clone().into(),
        event.via.clone().into(),
        event.address.clone().into(),
        event.request_id.clone().into(),
        event.action.clone().into(),
        event.target_kind.clone().into(),
        event.target_id.clone().into(),
        event.project_id.clone().into(),
        event.text.clone().into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(drop)
}

/// One event of these projects.
pub async fn by_id<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    id: &str,
) -> Result<Option<AuditEvent>, DbErr> {
    let found = row::Entity::find_by_id(id)
        .filter(within(projects, row::Column::ProjectId))
        .one(on)
        .await?;
    Ok(found.map(AuditEvent::from))
}

/// The newest wanted events before `before` (an id), newest first, at most `limit`.
pub async fn list<C: ConnectionTrait>(
    on: &C,
    filter: &Filter,
    before: Option<&str>,
    limit: u64,
) -> Result<Vec<AuditEvent>, DbErr> {
    let rows = row::Model::find_by_statement(list_statement(on, filter, before, limit))
        .all(on)
        .await?;
    Ok(rows.into_iter().map(AuditEvent::from).collect())
}

fn list_statement<C: ConnectionTrait>(
    on: &C,
    filter: &Filter,
    before: Option<&str>,
    limit: u64,
) -> Statement {
    let mut all = Where::default();
    let equal = [
        ("t.actor = {}", &filter.actor),
        ("t.target_kind = {}", &filter.target_kind),
        ("t.target_id = {}", &filter.target_id),
        ("t.via = {}", &filter.via),
    ];
    for (text, value) in equal {
        if let Some(value) = value {
            all.and(text, value.as_str());
        }
    }
    if let Some(action) = &filter.action {
        match action.strip_suffix(".*") {
            Some(family) => {
                let first = family.split('.').next().unwrap_or_default();
                all.and(&format!("{} = {{}}", family_of(on)), first);
                let begins = format!("{family}.");
                let length = begins.chars().count();
                all.and(&format!("substr(t.action, 1, {length}) = {{}}"), begins);
            }
            None => all.and("t.action = {}", action.as_str()),
        }
    }
    if let Some(since) = filter.since {
        all.and("t.created_at >= {}", since);
        // No id is older than its event by more than the moment in which both are made.
        all.and("t.id >= {}", id::first_of("aud", since.saturating_sub(1)));
    }
    if let Some(until) = filter.until {
        all.and("t.created_at < {}", until);
        // Ids go on growing while a clock is set back; by a day at most, as far as it goes here.
        all.and("t.id < {}", id::first_of("aud", until.saturating_add(DAY_MS)));
    }
    if let Some(before) = before {
        all.and("t.id < {}", before);
    }
    let listed = Listed {
        columns: "t.*",
        from: "audit_events t",
        project: "t.project_id",
        order: "t.id DESC",
        order_of_all: "t.id DESC",
        limit,
    };
    listed.statement(on, all, &filter.projects)
}

/// The first word of an action, as in the index `audit_events_family`. No range of letters: where `.` and `/` stand in an
/// order depends on the language of the database.
fn family_of<C: ConnectionTrait>(on: &C) -> &'static str {
    match on.get_database_backend() {
        DbBackend::Postgres => "split_part(t.action, '.', 1)",
        _ => "substr(t.action, 1, instr(t.action, '.') - 1)",
    }
}

/// What a request made, if it did: the kind and the id of the first. `since` is a time before it, milliseconds since 1970.
pub async fn made_by_request<C: ConnectionTrait>(
    on: &C,
    request_id: &str,
    since: i64,
) -> Result<Option<(String, String)>, DbErr> {
    let text = "SELECT target_kind, target_id FROM audit_events \
                WHERE id >= $1 AND request_id = $2 AND action LIKE '%.created' ORDER BY id LIMIT 1";
    // Another node's clock may have been behind.
    let from = id::first_of("aud", since.saturating_sub(HOUR_MS));
    let row = on
        .query_one_raw(sql(on, text, [from.into(), request_id.into()]))
        .await?;
    row.map(|row| Ok((row.try_get("", "target_kind")?, row.try_get("", "target_id")?)))
        .transpose()
}

/// Sealed events behind a place, in the order of the chain.
pub async fn placed<C: ConnectionTrait>(on: &C, after: i64, limit: u64) -> Result<Vec<AuditEvent>, DbErr> {
    let rows = row::Entity::find()
        .filter(row::Column::Place.gt(after))
        .order_by_asc(row::Column::Place)
        .limit(limit)
        .all(on)
        .await?;
    Ok(rows.into_iter().map(AuditEvent::from).collect())
}

/// The event at a place.
pub(super) async fn at<C: ConnectionTrait>(on: &C, place: i64) -> Result<Option<AuditEvent>, DbErr> {
    let found = row::Entity::find()
        .filter(row::Column::Place.eq(place))
        .one(on)
        .await?;
    Ok(found.map(AuditEvent::from))
}

/// Whether a committed event has no place yet.
pub(super) async fn has_open<C: ConnectionTrait>(on: &C) -> Result<bool, DbErr> {
    let text = "SELECT 1 AS one FROM audit_events WHERE place IS NULL LIMIT 1";
    Ok(on.query_one_raw(sql(on, text, [])).await?.is_some())
}

/// How many have none.
pub(super) async fn open_count<C: ConnectionTrait>(on: &C) -> Result<i64, DbErr> {
    let text = "SELECT COUNT(*) AS n FROM audit_events WHERE place IS NULL";
    let row = on.query_one_raw(sql(on, text, [])).await?;
    row.map_or(Ok(0), |row| row.try_get("", "n"))
}

/// Events without a place, in the order they were appended.
pub(super) async fn open<C: ConnectionTrait>(
    on: &C,
    is_postgres: bool,
    limit: i64,
) -> Result<Vec<AuditEvent>, DbErr> {
    let order = if is_postgres { "arrival" } else { "rowid" };
    let text = format!("SELECT * FROM audit_events WHERE place IS NULL ORDER BY {order} LIMIT $1");
    let rows = row::Entity::find()
        .from_raw_sql(sql(on, &text, [limit.into()]))
        .all(on)
        .await?;
    Ok(rows.into_iter().map(AuditEvent::from).collect())
}

pub(super) async fn close<C: ConnectionTrait>(on: &C, event: &AuditEvent) -> Result<(), DbErr> {
    let text = "UPDATE audit_events SET place = $1, key_id = $2, seal = $3 WHERE id = $4 AND place IS NULL";
    let values = [
        event.place.into(),
        event.key_id.clone().into(),
        event.seal.clone().into(),
        event.id.clone().into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(drop)
}

/// The head of the chain; under a lock where several nodes may write (PostgreSQL).
pub(super) async fn head<C: ConnectionTrait>(on: &C, lock: bool) -> Result<Option<Head>, DbErr> {
    let lock = if lock { "FOR UPDATE" } else { "" };
    let text =
        format!("SELECT last, seal, floor, floor_seal, key_id, mac FROM audit_head WHERE id = 1 {lock}");
    let Some(row) = on.query_one_raw(sql(on, &text, [])).await? else {
        return Ok(None);
    };
    Ok(Some(Head {
        last: row.try_get("", "last")?,
        seal: row.try_get("", "seal")?,
        floor: row.try_get("", "floor")?,
        floor_seal: row.try_get("", "floor_seal")?,
        key_id: row.try_get("", "key_id")?,
        mac: row.try_get("", "mac")?,
    }))
}

pub(super) async fn set_head<C: ConnectionTrait>(on: &C, head: &Head) -> Result<(), DbErr> {
    let text = "UPDATE audit_head SET last = $1, seal = $2, floor = $3, floor_seal = $4, key_id = $5, mac = $6 \
                WHERE id = 1";
    let values = [
        head.last.into(),
        head.seal.clone().into(),
        head.floor.into(),
        head.floor_seal.clone().into(),
        head.key_id.clone().into(),
        head.mac.clone().into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(drop)
}

/// The last of at most `limit` events behind `floor` that are all older than `before` (milliseconds since 1970).
pub(super) async fn last_older<C: ConnectionTrait>(
    on: &C,
    floor: i64,
    before: i64,
    limit: u64,
) -> Result<Option<AuditEvent>, DbErr> {
    let rows = placed(on, floor, limit).await?;
    Ok(rows
        .into_iter()
        .take_while(|event| event.created_at < before)
        .last())
}

/// Deletes everything up to the floor of the chain.
pub(super) async fn delete_to<C: ConnectionTrait>(on: &C, floor: i64) -> Result<u64, DbErr> {
    let text = "DELETE FROM audit_events WHERE place <= $1";
    Ok(on
        .execute_raw(sql(on, text, [floor.into()]))
        .await?
        .rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::is_indexed;
    use crate::grant::testkit::place;

    #[tokio::test]
    async fn every_filter_of_audit_events_is_indexed() {
        let place = place().await;
        let on = place.ctx.db.read();
        let all = || Filter {
            projects: Projects::All,
            ..Filter::default()
        };
        let some = |text: &str| Some(text.to_owned());
        let two = Projects::Only(["prj_1".to_owned(), "prj_2".to_owned()].into());
        let filters = [
            Filter {
                actor: some("usr_1"),
                ..all()
            },
            Filter {
                action: some("grant.revoked"),
                ..all()
            },
            Filter {
                action: some("grant.*"),
                ..all()
            },
            Filter {
                target_kind: some("grant"),
                ..all()
            },
            Filter {
                target_id: some("grt_1"),
                ..all()
            },
            Filter {
                via: some("cli"),
                ..all()
            },
            Filter {
                since: Some(1),
                ..all()
            },
            Filter {
                until: Some(1),
                ..all()
            },
            Filter {
                projects: Projects::one("prj_1"),
                ..all()
            },
            Filter {
                projects: two,
                ..all()
            },
        ];
        for filter in filters {
            let statement = list_statement(on, &filter, Some("aud_1"), 51);
            is_indexed(on, &format!("{filter:?}"), statement).await;
        }
    }
}

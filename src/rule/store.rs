//! All queries on rules and on the brake of automatic mail.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::model::Rule;
use crate::access::{Projects, Role};
use crate::db::{sql, within_sql};

/// A row of `rules`; conditions and actions still as JSON.
pub struct RuleRow {
    pub(super) id: String,
    pub(super) project_id: String,
    pub(super) position: i64,
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) matches: String,
    pub(super) actions: String,
    pub(super) stop: bool,
    pub(super) revision: i64,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

const COLUMNS: &str =
    "id, project_id, position, name, enabled, matches, actions, stop, revision, created_at, updated_at";

fn rule(row: &QueryResult) -> Result<Rule, DbErr> {
    let row = RuleRow {
        id: row.try_get("", "id")?,
        project_id: row.try_get("", "project_id")?,
        position: row.try_get("", "position")?,
        name: row.try_get("", "name")?,
        enabled: row.try_get("", "enabled")?,
        matches: row.try_get("", "matches")?,
        actions: row.try_get("", "actions")?,
        stop: row.try_get("", "stop")?,
        revision: row.try_get("", "revision")?,
        created_at: row.try_get("", "created_at")?,
        updated_at: row.try_get("", "updated_at")?,
    };
    Ok(row.into())
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_string(value).unwrap_or_default().into()
}

/// Puts a rule at the end of its project's order. The project is locked by the caller.
pub(super) async fn insert<C: ConnectionTrait>(on: &C, rule: &Rule) -> Result<(), DbErr> {
    let values: [Value; 8] = [
        rule.id.clone().into(),
        rule.project_id.clone().into(),
        rule.name.clone().into(),
        rule.enabled.into(),
        json(&rule.matches),
        json(&rule.actions),
        rule.stop.into(),
        rule.created_at.into(),
    ];
    let text = "INSERT INTO rules (id, project_id, position, name, enabled, matches, actions, stop, revision, \
                created_at, updated_at) VALUES ($1, $2, (SELECT COALESCE(MAX(position), 0) + 1 FROM rules WHERE \
                project_id = $2), $3, $4, $5, $6, $7, 1, $8, $8)";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Changes a rule if the revision is still the one that was read; false if it is not.
pub(super) async fn update<C: ConnectionTrait>(on: &C, rule: &Rule, seen: i64) -> Result<bool, DbErr> {
    let values: [Value; 8] = [
        rule.name.clone().into(),
        rule.enabled.into(),
        json(&rule.matches),
        json(&rule.actions),
        rule.stop.into(),
        rule.updated_at.into(),
        rule.id.clone().into(),
        seen.into(),
    ];
    let text = "UPDATE rules SET name = $1, enabled = $2, matches = $3, actions = $4, stop = $5, updated_at = $6, \
                revision = revision + 1 WHERE id = $7 AND revision = $8";
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// Gives a rule its place; a rule that has it already is not touched.
pub(super) async fn set_position<C: ConnectionTrait>(
    on: &C,
    id: &str,
    position: i64,
    now: i64,
) -> Result<(), DbErr> {
    let values: [Value; 3] = [position.into(), now.into(), id.into()];
    let text = "UPDATE rules SET position = $1, updated_at = $2, revision = revision + 1 WHERE id = $3 AND \
                position <> $1";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

pub(super) async fn remove<C: ConnectionTrait>(on: &C, id: &str, seen: i64) -> Result<bool, DbErr> {
    let text = "DELETE FROM rules WHERE id = $1 AND revision = $2";
    let values: [Value; 2] = [id.into(), seen.into()];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

pub(super) async fn by_id<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Rule>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM rules WHERE id = $1");
    let row = on.query_one_raw(sql(on, &text, [id.into()])).await?;
    row.as_ref().map(rule).transpose()
}

/// The rules of a project in their order.
pub(super) async fn of_project<C: ConnectionTrait>(on: &C, project_id: &str) -> Result<Vec<Rule>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM rules WHERE project_id = $1 ORDER BY position, id");
    let rows = on.query_all_raw(sql(on, &text, [project_id.into()])).await?;
    rows.iter().map(rule).collect()
}

/// The rules of these projects, each project's in its order.
pub(super) async fn of_projects<C: ConnectionTrait>(on: &C, projects: &Projects) -> Result<Vec<Rule>, DbErr> {
    let (condition, values) = within_sql(projects, "project_id", 1);
    let text = format!("SELECT {COLUMNS} FROM rules WHERE {condition} ORDER BY project_id, position, id");
    let rows = on.query_all_raw(sql(on, &text, values)).await?;
    rows.iter().map(rule).collect()
}

/// The key of a ticket; none if there is none with this id.
pub(super) async fn ticket_key<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<String>, DbErr> {
    let row = on
        .query_one_raw(sql(on, "SELECT key FROM tickets WHERE id = $1", [id.into()]))
        .await?;
    row.map(|row| row.try_get("", "key")).transpose()
}

/// Whether a row with this value is there. `table` and `column` are written in the source.
pub(super) async fn exists<C: ConnectionTrait>(
    on: &C,
    table: &'static str,
    id: &str,
    project_id: Option<&str>,
) -> Result<bool, DbErr> {
    let column = if table == "tickets" { "key" } else { "id" };
    let mut text = format!("SELECT 1 AS found FROM {table} WHERE {column} = $1");
    let mut values: Vec<Value> = vec![id.into()];
    if let Some(project_id) = project_id {
        text.push_str(" AND project_id = $2");
        values.push(project_id.into());
    }
    Ok(on.query_one_raw(sql(on, &text, values)).await?.is_some())
}

/// Whether somebody who can sign in may work in a project: as a member from agents on, or as a site admin.
pub(super) async fn may_work<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    project_id: &str,
) -> Result<bool, DbErr> {
    let text = "SELECT 1 AS found FROM users u WHERE u.id = $1 AND u.disabled_at IS NULL AND (u.site_admin OR EXISTS \
                (SELECT 1 FROM project_members m WHERE m.user_id = u.id AND m.project_id = $2 \
                AND m.role IN ($3, $4)))";
    let values: [Value; 4] = [
        user_id.into(),
        project_id.into(),
        Role::Agent.as_str().into(),
        Role::ProjectAdmin.as_str().into(),
    ];
    Ok(on.query_one_raw(sql(on, text, values)).await?.is_some())
}

/// At most `slots` mails within `window_ms`, over any stretch of that length.
pub(super) struct Limit {
    /// What is counted: `sender`, `domain`, …
    pub(super) scope: &'static str,
    pub(super) slots: i64,
    pub(super) window_ms: i64,
}

/// Takes a free slot and returns its number; none if all are taken. One statement takes it, so two nodes that answer
/// at the same moment cannot both have it.
pub(super) async fn take_slot<C: ConnectionTrait>(
    on: &C,
    limit: &Limit,
    subject: &str,
    now: i64,
) -> Result<Option<i64>, DbErr> {
    let free_before = now - limit.window_ms;
    let text = "SELECT slot FROM automatic_mails WHERE scope = $1 AND subject = $2 AND used_at > $3";
    let values: [Value; 3] = [limit.scope.into(), subject.into(), free_before.into()];
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    let taken: Vec<i64> = rows
        .iter()
        .map(|row| row.try_get("", "slot"))
        .collect::<Result<_, _>>()?;
    let text = "INSERT INTO automatic_mails (scope, subject, slot, used_at) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (scope, subject, slot) DO UPDATE SET used_at = excluded.used_at \
                WHERE automatic_mails.used_at <= $5";
    for slot in (0..limit.slots).filter(|slot| !taken.contains(slot)) {
        let values: [Value; 5] = [
            limit.scope.into(),
            subject.into(),
            slot.into(),
            now.into(),
            free_before.into(),
        ];
        if on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1 {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

/// Gives a slot back that was taken in the same transaction.
pub(super) async fn give_slot_back<C: ConnectionTrait>(
    on: &C,
    limit: &Limit,
    subject: &str,
    slot: i64,
) -> Result<(), DbErr> {
    let text = "DELETE FROM automatic_mails WHERE scope = $1 AND subject = $2 AND slot = $3";
    let values: [Value; 3] = [limit.scope.into(), subject.into(), slot.into()];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Forgets slots that were used before a time and hold nobody back any more.
pub(super) async fn forget_slots<C: ConnectionTrait>(on: &C, before: i64) -> Result<(), DbErr> {
    let text = "DELETE FROM automatic_mails WHERE used_at < $1";
    on.execute_raw(sql(on, text, [before.into()])).await.map(|_| ())
}

/// The addresses that mail is read from or sent as here, lower case.
pub(super) async fn own_addresses<C: ConnectionTrait>(on: &C) -> Result<Vec<String>, DbErr> {
    let rows = on
        .query_all_raw(sql(on, "SELECT login_name, smtp_from FROM mailboxes", []))
        .await?;
    let mut own = Vec::new();
    for row in rows {
        own.push(row.try_get::<String>("", "login_name")?.to_lowercase());
        let from = row.try_get::<String>("", "smtp_from")?.to_lowercase();
        // `Name <address>`, or the address alone.
        let address = from
            .rsplit('<')
            .next()
            .unwrap_or_default()
            .trim_end_matches('>')
            .trim();
        if !address.is_empty() {
            own.push(address.to_owned());
        }
    }
    Ok(own)
}

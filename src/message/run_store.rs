//! All queries on runs: each time a message was processed, what was found and what became of it.

use sea_orm::{ConnectionTrait, DbErr, Value};

use crate::db::{sql, with_rows};

/// One pass of a message through the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Counts from 1 within the message.
    pub number: i64,
    /// Why it was processed: `ingest`, `again`, `release`, `drop` or `fetch`.
    pub cause: String,
    /// Who asked for it; `system` when it came in.
    pub actor: String,
    /// When it began, milliseconds since 1970.
    pub began_at: i64,
    /// When it was parsed; none if it was not.
    pub parsed_at: Option<i64>,
    /// When it ended.
    pub ended_at: i64,
    /// `ticketed`, `quarantined`, `dropped` or `failed`.
    pub outcome: String,
    /// The rules that matched and what they decided.
    pub detail: serde_json::Value,
}

/// More passes than anybody needs to look at; older ones are forgotten.
const MAX_RUNS: i64 = 50;

/// Notes a pass; `number` is given here.
pub async fn record_run<C: ConnectionTrait>(on: &C, message_id: &str, run: &Run) -> Result<(), DbErr> {
    record_runs(on, &[(message_id.to_owned(), run.clone())]).await?;
    // The first tells how it came in and stays.
    let text = "DELETE FROM message_runs WHERE message_id = $1 AND number > 1 AND number <= (SELECT MAX(number) \
                FROM message_runs WHERE message_id = $1) - $2";
    let values: [Value; 2] = [message_id.into(), MAX_RUNS.into()];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Notes a pass of each of these messages.
pub async fn record_runs<C: ConnectionTrait>(on: &C, runs: &[(String, Run)]) -> Result<(), DbErr> {
    let rows = runs.iter().map(|(message_id, run)| {
        let row: [Value; 8] = [
            message_id.as_str().into(),
            run.cause.as_str().into(),
            run.actor.as_str().into(),
            run.began_at.into(),
            run.parsed_at.into(),
            run.ended_at.into(),
            run.outcome.as_str().into(),
            run.detail.to_string().into(),
        ];
        row
    });
    let text = "WITH v (message_id, cause, actor, began_at, parsed_at, ended_at, outcome, detail) AS (VALUES {rows}) \
                INSERT INTO message_runs (message_id, number, cause, actor, began_at, parsed_at, ended_at, outcome, \
                detail) SELECT message_id, (SELECT COALESCE(MAX(r.number), 0) + 1 FROM message_runs AS r \
                WHERE r.message_id = v.message_id), cause, actor, began_at, parsed_at, ended_at, outcome, detail \
                FROM v";
    with_rows(on, text, rows.collect()).await.map(drop)
}

/// The passes of a message, the first one first.
pub async fn runs_of<C: ConnectionTrait>(on: &C, message_id: &str) -> Result<Vec<Run>, DbErr> {
    let text = "SELECT number, cause, actor, began_at, parsed_at, ended_at, outcome, detail FROM message_runs \
                WHERE message_id = $1 ORDER BY number";
    let rows = on.query_all_raw(sql(on, text, [message_id.into()])).await?;
    rows.iter()
        .map(|row| {
            let detail: String = row.try_get("", "detail")?;
            Ok(Run {
                number: row.try_get("", "number")?,
                cause: row.try_get("", "cause")?,
                actor: row.try_get("", "actor")?,
                began_at: row.try_get("", "began_at")?,
                parsed_at: row.try_get("", "parsed_at")?,
                ended_at: row.try_get("", "ended_at")?,
                outcome: row.try_get("", "outcome")?,
                detail: serde_json::from_str(&detail).unwrap_or_default(),
            })
        })
        .collect()
}

//! All queries on connection tests.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, Value};
use serde::Serialize;

use crate::access::Projects;
use crate::db::{Listed, Where, sql, within_sql};

/// How a step went, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// As it should be.
    Ok,
    /// It works, but somebody should know.
    Warn,
    /// It failed; later steps were not tried.
    Failed,
}

/// How a test stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TestState {
    /// Steps are still coming.
    Running,
    /// Every step was ok.
    Ok,
    /// A step warned, none failed.
    Warn,
    /// A step failed.
    Failed,
}

/// One step of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// `dns`, `tcp`, `tls`, `greeting`, …
    pub name: String,
    /// How it went.
    pub state: StepState,
    /// How long it took, milliseconds.
    pub ms: i64,
    /// What was seen.
    pub detail: String,
    /// Why it failed or warns; empty if it did not.
    pub cause: String,
    /// What to do; empty if nothing.
    pub remedy: String,
}

/// A test as stored, without its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// `tst_` + ULID.
    pub id: String,
    /// `mailbox` or `integration`.
    pub kind: String,
    /// What was tested.
    pub subject_id: String,
    /// How it stands.
    pub state: TestState,
    /// Who started it.
    pub started_by: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub finished_at: Option<i64>,
}

pub(super) async fn insert<C: ConnectionTrait>(
    on: &C,
    id: &str,
    kind: &str,
    subject_id: &str,
    actor: &str,
    now: i64,
) -> Result<(), DbErr> {
    let values: [Value; 5] = [
        id.into(),
        kind.into(),
        subject_id.into(),
        actor.into(),
        now.into(),
    ];
    let text = "INSERT INTO connection_tests (id, kind, subject_id, state, started_by, created_at) \
                VALUES ($1, $2, $3, 'running', $4, $5)";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

pub(super) async fn insert_step<C: ConnectionTrait>(
    on: &C,
    id: &str,
    position: i64,
    step: &Step,
) -> Result<(), DbErr> {
    let state = match step.state {
        StepState::Ok => "ok",
        StepState::Warn => "warn",
        StepState::Failed => "failed",
    };
    let values: [Value; 8] = [
        id.into(),
        position.into(),
        step.name.clone().into(),
        state.into(),
        step.ms.into(),
        step.detail.clone().into(),
        step.cause.clone().into(),
        step.remedy.clone().into(),
    ];
    let text = "INSERT INTO test_steps (test_id, position, name, state, ms, detail, cause, remedy) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

pub(super) async fn finish<C: ConnectionTrait>(
    on: &C,
    id: &str,
    state: TestState,
    now: i64,
) -> Result<(), DbErr> {
    let state = match state {
        TestState::Running => "running",
        TestState::Ok => "ok",
        TestState::Warn => "warn",
        TestState::Failed => "failed",
    };
    let values: [Value; 3] = [state.into(), now.into(), id.into()];
    let text = "UPDATE connection_tests SET state = $1, finished_at = $2 WHERE id = $3";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// One test of a mailbox of these projects; those of integrations are there for the whole site only.
pub async fn get<C: ConnectionTrait>(on: &C, projects: &Projects, id: &str) -> Result<Option<Run>, DbErr> {
    let (mine, ids) = within_sql(projects, "project_id", 2);
    let text = format!("SELECT * FROM connection_tests WHERE id = $1 AND {mine}");
    let values = std::iter::once(id.into()).chain(ids);
    let row = on.query_one_raw(sql(on, &text, values)).await?;
    row.as_ref().map(read_run).transpose()
}

/// Tests of the mailboxes of these projects, newest first; those of integrations are there for the whole site only.
pub async fn list<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    subject_id: Option<&str>,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<Run>, DbErr> {
    let statement = list_statement(on, projects, subject_id, after, limit);
    on.query_all_raw(statement).await?.iter().map(read_run).collect()
}

fn list_statement<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    subject_id: Option<&str>,
    after: Option<&str>,
    limit: u64,
) -> Statement {
    let mut all = Where::default();
    for (text, value) in [("t.subject_id = {}", subject_id), ("t.id < {}", after)] {
        if let Some(value) = value {
            all.and(text, value);
        }
    }
    let listed = Listed {
        columns: "t.*",
        from: "connection_tests t",
        project: "t.project_id",
        order: "t.id DESC",
        order_of_all: "t.id DESC",
        limit,
    };
    listed.statement(on, all, projects)
}

/// The newest tests of one mailbox or integration, newest first.
pub async fn of_subject<C: ConnectionTrait>(on: &C, subject_id: &str, limit: u32) -> Result<Vec<Run>, DbErr> {
    let text = "SELECT * FROM connection_tests WHERE subject_id = $1 ORDER BY id DESC LIMIT $2";
    let values: [Value; 2] = [subject_id.into(), i64::from(limit).into()];
    on.query_all_raw(sql(on, text, values))
        .await?
        .iter()
        .map(read_run)
        .collect()
}

/// The newest test of one mailbox or integration.
pub async fn latest_of<C: ConnectionTrait>(on: &C, subject_id: &str) -> Result<Option<Run>, DbErr> {
    Ok(of_subject(on, subject_id, 1).await?.into_iter().next())
}

/// The steps of a test, in order, from a position on.
pub async fn steps_of<C: ConnectionTrait>(on: &C, id: &str, from: i64) -> Result<Vec<Step>, DbErr> {
    let text = "SELECT * FROM test_steps WHERE test_id = $1 AND position >= $2 ORDER BY position";
    let values: [Value; 2] = [id.into(), from.into()];
    on.query_all_raw(sql(on, text, values))
        .await?
        .iter()
        .map(read_step)
        .collect()
}

fn read_run(row: &QueryResult) -> Result<Run, DbErr> {
    let state: String = row.try_get("", "state")?;
    Ok(Run {
        id: row.try_get("", "id")?,
        kind: row.try_get("", "kind")?,
        subject_id: row.try_get("", "subject_id")?,
        state: match state.as_str() {
            "ok" => TestState::Ok,
            "warn" => TestState::Warn,
            "failed" => TestState::Failed,
            _ => TestState::Running,
        },
        started_by: row.try_get("", "started_by")?,
        created_at: row.try_get("", "created_at")?,
        finished_at: row.try_get("", "finished_at")?,
    })
}

fn read_step(row: &QueryResult) -> Result<Step, DbErr> {
    let state: String = row.try_get("", "state")?;
    Ok(Step {
        name: row.try_get("", "name")?,
        state: match state.as_str() {
            "ok" => StepState::Ok,
            "warn" => StepState::Warn,
            _ => StepState::Failed,
        },
        ms: row.try_get("", "ms")?,
        detail: row.try_get("", "detail")?,
        cause: row.try_get("", "cause")?,
        remedy: row.try_get("", "remedy")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::is_indexed;
    use crate::grant::testkit::place;

    #[tokio::test]
    async fn every_list_of_tests_is_read_from_an_index() {
        let place = place().await;
        let on = place.ctx.db.read();
        let two = Projects::Only(["prj_1".to_owned(), "prj_2".to_owned()].into());
        for projects in [Projects::one("prj_1"), two] {
            for (subject, after) in [
                (None, None),
                (None, Some("tst_1")),
                (Some("mbx_1"), None),
                (Some("mbx_1"), Some("tst_1")),
            ] {
                let what = format!("{projects:?} {subject:?} {after:?}");
                let statement = list_statement(on, &projects, subject, after, 51);
                is_indexed(on, &what, statement).await;
            }
        }
        for (subject, after) in [(None, Some("tst_1")), (Some("mbx_1"), None)] {
            let statement = list_statement(on, &Projects::All, subject, after, 51);
            is_indexed(on, &format!("{subject:?} {after:?}"), statement).await;
        }
    }
}

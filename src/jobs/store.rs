//! All queries of the jobs: the timetable's rows, and what housekeeping looks for and throws away.

use sea_orm::{ConnectionTrait, DbErr, Value};

use crate::db::{Lease, sql};

/// Makes a job's row if it has none; a new job is due at once.
pub(super) async fn register<C: ConnectionTrait>(on: &C, job: &str) -> Result<(), DbErr> {
    let text = "INSERT INTO job_runs (name, next_run_at) VALUES ($1, 0) ON CONFLICT DO NOTHING";
    on.execute_raw(sql(on, text, [job.into()])).await.map(|_| ())
}

/// Whether a job is due and free. Most looks find nothing, and a read spares the writer.
pub(super) async fn is_any_due<C: ConnectionTrait>(on: &C, now: i64) -> Result<bool, DbErr> {
    let text = "SELECT name FROM job_runs WHERE next_run_at <= $1 AND lease_until <= $1 LIMIT 1";
    Ok(on.query_one_raw(sql(on, text, [now.into()])).await?.is_some())
}

/// Notes the end of a job and when it runs next.
pub(super) async fn finish<C: ConnectionTrait>(
    on: &C,
    lease: &Lease,
    now: i64,
    next: i64,
    error: &str,
) -> Result<(), DbErr> {
    let values: [Value; 5] = [
        next.into(),
        now.into(),
        error.into(),
        lease.id.clone().into(),
        lease.number.into(),
    ];
    let text = "UPDATE job_runs SET next_run_at = $1, last_run_at = $2, last_error = $3, lease_until = 0 \
                WHERE name = $4 AND lease_no = $5";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// How a job stands.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) next_run_at: i64,
    pub(super) last_run_at: Option<i64>,
    pub(super) last_error: String,
    pub(super) lease_until: i64,
}

/// How the jobs stand.
pub(super) async fn runs<C: ConnectionTrait>(on: &C) -> Result<Vec<Run>, DbErr> {
    let text = "SELECT name, next_run_at, last_run_at, last_error, lease_until FROM job_runs";
    let rows = on.query_all_raw(sql(on, text, [])).await?;
    rows.iter()
        .map(|row| {
            Ok(Run {
                name: row.try_get("", "name")?,
                next_run_at: row.try_get("", "next_run_at")?,
                last_run_at: row.try_get("", "last_run_at")?,
                last_error: row.try_get("", "last_error")?,
                lease_until: row.try_get("", "lease_until")?,
            })
        })
        .collect()
}

/// Makes a job due at once.
pub(super) async fn make_due<C: ConnectionTrait>(on: &C, job: &str) -> Result<(), DbErr> {
    let text = "UPDATE job_runs SET next_run_at = 0 WHERE name = $1";
    on.execute_raw(sql(on, text, [job.into()])).await.map(|_| ())
}

/// A client secret that ends before a time.
pub(super) struct EndingSecret {
    pub(super) integration_id: String,
    pub(super) name: String,
    /// When it ends, milliseconds since 1970.
    pub(super) at: i64,
}

/// Client secrets that end before a time, milliseconds.
pub(super) async fn secrets_ending<C: ConnectionTrait>(
    on: &C,
    before: i64,
) -> Result<Vec<EndingSecret>, DbErr> {
    let text = "SELECT id, name, secret_expires_at AS at FROM integrations WHERE secret_expires_at IS NOT NULL \
                AND secret_expires_at < $1";
    let rows = on.query_all_raw(sql(on, text, [before.into()])).await?;
    rows.iter()
        .map(|row| {
            Ok(EndingSecret {
                integration_id: row.try_get("", "id")?,
                name: row.try_get("", "name")?,
                at: row.try_get("", "at")?,
            })
        })
        .collect()
}

/// Throws away what ended before a time, milliseconds: authorizations and tests with their steps.
pub(super) async fn purge<C: ConnectionTrait>(on: &C, before: i64) -> Result<(), DbErr> {
    for text in [
        "DELETE FROM authorizations WHERE expires_at < $1",
        "DELETE FROM connection_tests WHERE created_at < $1",
    ] {
        on.execute_raw(sql(on, text, [before.into()])).await?;
    }
    Ok(())
}

/// Throws away redirect URLs that were drawn for forms nobody saved, before a time, milliseconds.
pub(super) async fn purge_drafts<C: ConnectionTrait>(on: &C, before: i64) -> Result<(), DbErr> {
    let text = "DELETE FROM callback_drafts WHERE created_at < $1";
    on.execute_raw(sql(on, text, [before.into()])).await.map(|_| ())
}

/// Empties the sealed columns of authorizations that ran out before a time, milliseconds.
pub(super) async fn forget_pending_secrets<C: ConnectionTrait>(on: &C, before: i64) -> Result<(), DbErr> {
    let text = "UPDATE authorizations SET pending_sealed = '', verifier_sealed = '', authorization_url_sealed = '' \
                WHERE expires_at < $1 AND (pending_sealed <> '' OR verifier_sealed <> '')";
    on.execute_raw(sql(on, text, [before.into()])).await.map(|_| ())
}

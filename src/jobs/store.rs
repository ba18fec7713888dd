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

/// A grant whose refresh token ends.
#[derive(Clone, Debug)]
pub(super) struct EndingGrant {
    pub(super) id: String,
    pub(super) identity: String,
    /// When it ends, milliseconds since 1970.
    pub(super) end: i64,
    pub(super) refreshed_at: i64,
    /// The end that was noted, when, and the step that was told of it.
    pub(super) seen: Option<i64>,
    pub(super) seen_at: Option<i64>,
    pub(super) told: Option<i64>,
}

/// Grants that work and end in this time.
pub(super) async fn grants_ending<C: ConnectionTrait>(
    on: &C,
    now: i64,
    before: i64,
) -> Result<Vec<EndingGrant>, DbErr> {
    let text = "SELECT id, identity, refresh_expires_at, refreshed_at, end_seen, end_seen_at, end_told FROM grants \
                WHERE state = 'active' AND refresh_expires_at > $1 AND refresh_expires_at <= $2";
    let rows = on
        .query_all_raw(sql(on, text, [now.into(), before.into()]))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(EndingGrant {
                id: row.try_get("", "id")?,
                identity: row.try_get("", "identity")?,
                end: row.try_get("", "refresh_expires_at")?,
                refreshed_at: row.try_get("", "refreshed_at")?,
                seen: row.try_get("", "end_seen")?,
                seen_at: row.try_get("", "end_seen_at")?,
                told: row.try_get("", "end_told")?,
            })
        })
        .collect()
}

/// Notes the end of a grant and what was told of it, if nobody noted anything else meanwhile.
pub(super) async fn note_end<C: ConnectionTrait>(
    on: &C,
    grant: &EndingGrant,
    seen_at: i64,
    told: Option<i64>,
) -> Result<bool, DbErr> {
    let text = "UPDATE grants SET end_seen = $1, end_seen_at = $2, end_told = $3 WHERE id = $4 \
                AND COALESCE(end_seen, 0) = $5 AND COALESCE(end_told, 0) = $6";
    let values: [Value; 6] = [
        grant.end.into(),
        seen_at.into(),
        told.into(),
        grant.id.clone().into(),
        grant.seen.unwrap_or(0).into(),
        grant.told.unwrap_or(0).into(),
    ];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// A mailbox that is silent, or was.
#[derive(Clone, Debug)]
pub(super) struct QuietMailbox {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) project_id: String,
    /// When the last mail came before the silence, milliseconds since 1970.
    pub(super) since: i64,
    /// From when on silence counts.
    pub(super) quiet_since: i64,
}

async fn quiet_mailboxes<C: ConnectionTrait>(
    on: &C,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QuietMailbox>, DbErr> {
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    rows.iter()
        .map(|row| {
            Ok(QuietMailbox {
                id: row.try_get("", "id")?,
                name: row.try_get("", "name")?,
                project_id: row.try_get("", "project_id")?,
                since: row.try_get("", "since")?,
                quiet_since: row.try_get("", "quiet_since")?,
            })
        })
        .collect()
}

/// Mailboxes that are read, and to which nothing came since a time, milliseconds since 1970.
pub(super) async fn mailboxes_quiet<C: ConnectionTrait>(
    on: &C,
    before: i64,
) -> Result<Vec<QuietMailbox>, DbErr> {
    let text = "SELECT id, name, project_id, last_mail_at AS since, CASE WHEN updated_at > last_mail_at \
                THEN updated_at ELSE last_mail_at END AS quiet_since FROM mailboxes WHERE state = 'ok' \
                AND paused = FALSE AND silent_since IS NULL AND last_mail_at < $1 AND updated_at < $1";
    quiet_mailboxes(on, text, [before.into()]).await
}

/// Mailboxes that were silent and got mail since.
pub(super) async fn mailboxes_heard<C: ConnectionTrait>(on: &C) -> Result<Vec<QuietMailbox>, DbErr> {
    let text = "SELECT id, name, project_id, silent_since AS since, silent_since AS quiet_since FROM mailboxes \
                WHERE silent_since IS NOT NULL AND last_mail_at > silent_since";
    quiet_mailboxes(on, text, []).await
}

/// How many mails came in a time, and the longest pause between two of them, milliseconds.
pub(super) async fn usual_pause<C: ConnectionTrait>(
    on: &C,
    mailbox_id: &str,
    from: i64,
    to: i64,
) -> Result<(i64, i64), DbErr> {
    let text = "SELECT COUNT(*) AS mails, COALESCE(MAX(pause), 0) AS longest FROM (SELECT received_at - \
                LAG(received_at) OVER (ORDER BY received_at) AS pause FROM messages WHERE mailbox_id = $1 \
                AND received_at >= $2 AND received_at <= $3) AS pauses";
    let values: [Value; 3] = [mailbox_id.into(), from.into(), to.into()];
    let row = on.query_one_raw(sql(on, text, values)).await?;
    row.map_or(Ok((0, 0)), |row| {
        Ok((row.try_get("", "mails")?, row.try_get("", "longest")?))
    })
}

/// Notes that a mailbox is silent, if it still is and nobody noted it before.
pub(super) async fn note_silence<C: ConnectionTrait>(on: &C, mailbox: &QuietMailbox) -> Result<bool, DbErr> {
    let text =
        "UPDATE mailboxes SET silent_since = $1 WHERE id = $2 AND silent_since IS NULL AND last_mail_at = $1";
    let values: [Value; 2] = [mailbox.since.into(), mailbox.id.clone().into()];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// Notes that a mailbox is silent no more, if nobody noted it before.
pub(super) async fn note_sound<C: ConnectionTrait>(on: &C, mailbox: &QuietMailbox) -> Result<bool, DbErr> {
    let text = "UPDATE mailboxes SET silent_since = NULL WHERE id = $1 AND silent_since = $2";
    let values: [Value; 2] = [mailbox.id.clone().into(), mailbox.since.into()];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
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

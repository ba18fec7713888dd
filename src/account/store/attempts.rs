//! Counts of failed attempts.

use sea_orm::{ConnectionTrait, DbErr, Value};

use crate::db::sql;

/// Counts one more failed sign-in; counts of before `forgotten` start anew. Returns the new count and until when the
/// subject was blocked before; the row is ours until the transaction ends, so attempts at the same moment see each
/// other.
pub(in crate::account) async fn count_failure<C: ConnectionTrait>(
    on: &C,
    subject: &str,
    now: i64,
    forgotten: i64,
) -> Result<(i64, i64), DbErr> {
    let text = "INSERT INTO sign_in_failures (subject, failures, blocked_until, last_at) VALUES ($1, 1, 0, $2) \
                ON CONFLICT (subject) DO UPDATE SET \
                failures = CASE WHEN sign_in_failures.last_at < $3 THEN 1 ELSE sign_in_failures.failures + 1 END, \
                last_at = $2 RETURNING failures, blocked_until";
    let values: [Value; 3] = [subject.into(), now.into(), forgotten.into()];
    match on.query_one_raw(sql(on, text, values)).await? {
        Some(row) => Ok((row.try_get("", "failures")?, row.try_get("", "blocked_until")?)),
        None => Ok((1, 0)),
    }
}

/// Lets nobody try this subject until a time, milliseconds.
pub(in crate::account) async fn block<C: ConnectionTrait>(
    on: &C,
    subject: &str,
    until: i64,
) -> Result<(), DbErr> {
    let text = "UPDATE sign_in_failures SET blocked_until = $2 WHERE subject = $1";
    on.execute_raw(sql(on, text, [subject.into(), until.into()]))
        .await
        .map(|_| ())
}

/// Takes one attempt back.
pub(in crate::account) async fn give_attempt_back<C: ConnectionTrait>(
    on: &C,
    subject: &str,
) -> Result<(), DbErr> {
    let text = "UPDATE sign_in_failures SET failures = failures - 1, blocked_until = 0 WHERE subject = $1";
    on.execute_raw(sql(on, text, [subject.into()])).await.map(|_| ())
}

/// Forgets the failures of a subject.
pub(in crate::account) async fn forget_failures<C: ConnectionTrait>(
    on: &C,
    subject: &str,
) -> Result<(), DbErr> {
    let text = "DELETE FROM sign_in_failures WHERE subject = $1";
    on.execute_raw(sql(on, text, [subject.into()])).await.map(|_| ())
}

/// Forgets failures older than a time, milliseconds.
pub(in crate::account) async fn purge_failures<C: ConnectionTrait>(on: &C, before: i64) -> Result<(), DbErr> {
    let text = "DELETE FROM sign_in_failures WHERE last_at < $1";
    on.execute_raw(sql(on, text, [before.into()])).await.map(|_| ())
}

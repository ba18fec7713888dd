//! All queries on remembered requests.

use sea_orm::{ConnectionTrait, DbErr, Value};

use crate::db::sql;

pub(super) struct Row {
    pub(super) id: String,
    pub(super) fingerprint: String,
    pub(super) answer_sealed: String,
    pub(super) created_at: i64,
    pub(super) lease_no: i64,
    pub(super) lease_until: i64,
    pub(super) request_id: String,
}

/// Makes the row of a key; false if there is one.
pub(super) async fn insert<C: ConnectionTrait>(on: &C, id: &str, new: &Claimed<'_>) -> Result<bool, DbErr> {
    let text = "INSERT INTO idempotency_keys (id, fingerprint, created_at, lease_holder, lease_until, request_id) \
                VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let values: [Value; 6] = [
        id.into(),
        new.fingerprint.into(),
        new.began_at.into(),
        new.holder.into(),
        new.until.into(),
        new.request_id.into(),
    ];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

pub(super) async fn get<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Row>, DbErr> {
    let text = "SELECT fingerprint, answer_sealed, created_at, lease_no, lease_until, request_id \
                FROM idempotency_keys WHERE id = $1";
    let row = on.query_one_raw(sql(on, text, [id.into()])).await?;
    row.map(|row| {
        Ok(Row {
            id: id.to_owned(),
            fingerprint: row.try_get("", "fingerprint")?,
            answer_sealed: row.try_get("", "answer_sealed")?,
            created_at: row.try_get("", "created_at")?,
            lease_no: row.try_get("", "lease_no")?,
            lease_until: row.try_get("", "lease_until")?,
            request_id: row.try_get("", "request_id")?,
        })
    })
    .transpose()
}

/// Who works on a row from now on.
pub(super) struct Claimed<'a> {
    pub(super) fingerprint: &'a str,
    pub(super) began_at: i64,
    pub(super) holder: &'a str,
    pub(super) until: i64,
    /// The request by which the work is done, or was the last time.
    pub(super) request_id: &'a str,
}

/// Begins anew in a row that ran out; false if somebody else was faster.
pub(super) async fn take_over<C: ConnectionTrait>(
    on: &C,
    row: &Row,
    new: &Claimed<'_>,
) -> Result<bool, DbErr> {
    let text = "UPDATE idempotency_keys SET fingerprint = $1, answer_sealed = '', created_at = $2, \
                lease_holder = $3, lease_no = lease_no + 1, lease_until = $4, request_id = $7 \
                WHERE id = $5 AND lease_no = $6";
    let values: [Value; 7] = [
        new.fingerprint.into(),
        new.began_at.into(),
        new.holder.into(),
        new.until.into(),
        row.id.clone().into(),
        row.lease_no.into(),
        new.request_id.into(),
    ];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// Notes by which request the work is done from now on.
pub(super) async fn set_out<C: ConnectionTrait>(
    on: &C,
    id: &str,
    lease_no: i64,
    request_id: &str,
) -> Result<(), DbErr> {
    let text = "UPDATE idempotency_keys SET request_id = $1 WHERE id = $2 AND lease_no = $3";
    let values: [Value; 3] = [request_id.into(), id.into(), lease_no.into()];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Keeps an answer. A finished row has no lease, so that no release touches it.
pub(super) async fn finish<C: ConnectionTrait>(
    on: &C,
    id: &str,
    lease_no: i64,
    sealed: &str,
) -> Result<(), DbErr> {
    let text =
        "UPDATE idempotency_keys SET answer_sealed = $1, lease_until = 0 WHERE id = $2 AND lease_no = $3";
    let values: [Value; 3] = [sealed.into(), id.into(), lease_no.into()];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Ends the lease of a row that has no answer.
pub(super) async fn let_go<C: ConnectionTrait>(on: &C, id: &str, lease_no: i64) -> Result<(), DbErr> {
    let text = "UPDATE idempotency_keys SET lease_until = 0 WHERE id = $1 AND lease_no = $2";
    on.execute_raw(sql(on, text, [id.into(), lease_no.into()]))
        .await
        .map(|_| ())
}

pub(super) async fn delete<C: ConnectionTrait>(on: &C, id: &str, lease_no: i64) -> Result<(), DbErr> {
    let text = "DELETE FROM idempotency_keys WHERE id = $1 AND lease_no = $2";
    on.execute_raw(sql(on, text, [id.into(), lease_no.into()]))
        .await
        .map(|_| ())
}

pub(super) async fn purge<C: ConnectionTrait>(on: &C, before: i64) -> Result<(), DbErr> {
    for text in [
        "DELETE FROM idempotency_keys WHERE created_at <= $1",
        "DELETE FROM idempotency_made WHERE created_at <= $1",
    ] {
        on.execute_raw(sql(on, text, [before.into()])).await?;
    }
    Ok(())
}

pub(super) async fn made_by<C: ConnectionTrait>(on: &C, name: &str) -> Result<Option<String>, DbErr> {
    let text = "SELECT made_id FROM idempotency_made WHERE name = $1";
    let row = on.query_one_raw(sql(on, text, [name.into()])).await?;
    row.map(|row| row.try_get("", "made_id")).transpose()
}

pub(super) async fn note_made<C: ConnectionTrait>(
    on: &C,
    name: &str,
    id: &str,
    now: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO idempotency_made (name, made_id, created_at) VALUES ($1, $2, $3)";
    on.execute_raw(sql(on, text, [name.into(), id.into(), now.into()]))
        .await
        .map(|_| ())
}

//! Addresses that wait to be confirmed.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use crate::db::sql;

/// Keeps the one address that a person waits for.
pub(in crate::account) async fn put_email_change<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    token_hash: &str,
    email: &str,
    now: i64,
    expires_at: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO email_changes (user_id, token_hash, email, created_at, expires_at) VALUES ($1, $2, $3, $4, $5) \
                ON CONFLICT (user_id) DO UPDATE SET token_hash = $2, email = $3, created_at = $4, expires_at = $5";
    let values: [Value; 5] = [
        user_id.into(),
        token_hash.into(),
        email.into(),
        now.into(),
        expires_at.into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(drop)
}

fn change(row: &QueryResult) -> Result<(String, String), DbErr> {
    Ok((row.try_get("", "user_id")?, row.try_get("", "email")?))
}

/// Whose address a token confirms, and which.
pub(in crate::account) async fn email_change<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
    now: i64,
) -> Result<Option<(String, String)>, DbErr> {
    let text = "SELECT user_id, email FROM email_changes WHERE token_hash = $1 AND expires_at > $2";
    let row = on
        .query_one_raw(sql(on, text, [token_hash.into(), now.into()]))
        .await?;
    row.as_ref().map(change).transpose()
}

/// The same, used up.
pub(in crate::account) async fn take_email_change<C: ConnectionTrait>(
    on: &C,
    token_hash: &str,
    now: i64,
) -> Result<Option<(String, String)>, DbErr> {
    let text = "DELETE FROM email_changes WHERE token_hash = $1 AND expires_at > $2 RETURNING user_id, email";
    let row = on
        .query_one_raw(sql(on, text, [token_hash.into(), now.into()]))
        .await?;
    row.as_ref().map(change).transpose()
}

/// Forgets what a person waits for.
pub(in crate::account) async fn delete_email_change_of<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
) -> Result<(), DbErr> {
    let text = "DELETE FROM email_changes WHERE user_id = $1";
    on.execute_raw(sql(on, text, [user_id.into()])).await.map(drop)
}

/// Forgets what nobody confirmed.
pub(in crate::account) async fn purge_email_changes<C: ConnectionTrait>(
    on: &C,
    now: i64,
) -> Result<(), DbErr> {
    let text = "DELETE FROM email_changes WHERE expires_at <= $1";
    on.execute_raw(sql(on, text, [now.into()])).await.map(drop)
}

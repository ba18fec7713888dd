//! Second factors: secrets of authenticator apps, recovery codes.

use sea_orm::{ConnectionTrait, DbErr, Value};

use crate::db::sql;

/// An authenticator app's secret in force.
pub(in crate::account) struct TotpRow {
    pub(in crate::account) secret_sealed: String,
    pub(in crate::account) confirmed_at: i64,
    pub(in crate::account) last_step: i64,
}

pub(in crate::account) async fn totp<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
) -> Result<Option<TotpRow>, DbErr> {
    let text = "SELECT secret_sealed, confirmed_at, last_step FROM totp_secrets WHERE user_id = $1";
    let Some(row) = on.query_one_raw(sql(on, text, [user_id.into()])).await? else {
        return Ok(None);
    };
    Ok(Some(TotpRow {
        secret_sealed: row.try_get("", "secret_sealed")?,
        confirmed_at: row.try_get("", "confirmed_at")?,
        last_step: row.try_get("", "last_step")?,
    }))
}

pub(in crate::account) async fn totp_users<C: ConnectionTrait>(on: &C) -> Result<Vec<String>, DbErr> {
    let text = "SELECT user_id FROM totp_secrets";
    let rows = on.query_all_raw(sql(on, text, [])).await?;
    rows.iter().map(|row| row.try_get("", "user_id")).collect()
}

pub(in crate::account) async fn set_totp<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    sealed: &str,
    now: i64,
    step: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO totp_secrets (user_id, secret_sealed, confirmed_at, last_step) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (user_id) DO UPDATE SET secret_sealed = $2, confirmed_at = $3, last_step = $4";
    let values: [Value; 4] = [user_id.into(), sealed.into(), now.into(), step.into()];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Notes the step of a code as used; false if that or a later one was used already.
pub(in crate::account) async fn use_step<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    step: i64,
) -> Result<bool, DbErr> {
    let text = "UPDATE totp_secrets SET last_step = $2 WHERE user_id = $1 AND last_step < $2";
    let done = on
        .execute_raw(sql(on, text, [user_id.into(), step.into()]))
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(in crate::account) async fn delete_totp<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
) -> Result<bool, DbErr> {
    let text = "DELETE FROM recovery_codes WHERE user_id = $1";
    on.execute_raw(sql(on, text, [user_id.into()])).await?;
    let text = "DELETE FROM totp_secrets WHERE user_id = $1";
    let done = on.execute_raw(sql(on, text, [user_id.into()])).await?;
    Ok(done.rows_affected() == 1)
}

pub(in crate::account) async fn replace_codes<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    hashes: &[String],
    now: i64,
) -> Result<(), DbErr> {
    let text = "DELETE FROM recovery_codes WHERE user_id = $1";
    on.execute_raw(sql(on, text, [user_id.into()])).await?;
    let text = "INSERT INTO recovery_codes (user_id, code_hash, created_at) VALUES ($1, $2, $3)";
    for hash in hashes {
        let values: [Value; 3] = [user_id.into(), hash.clone().into(), now.into()];
        on.execute_raw(sql(on, text, values)).await?;
    }
    Ok(())
}

/// Marks a recovery code as used; false if there is no such one that was not.
pub(in crate::account) async fn use_code<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    hash: &str,
    now: i64,
) -> Result<bool, DbErr> {
    let text =
        "UPDATE recovery_codes SET used_at = $3 WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL";
    let values: [Value; 3] = [user_id.into(), hash.into(), now.into()];
    let done = on.execute_raw(sql(on, text, values)).await?;
    Ok(done.rows_affected() == 1)
}

pub(in crate::account) async fn unused_codes<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
) -> Result<i64, DbErr> {
    let text = "SELECT COUNT(*) AS n FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL";
    match on.query_one_raw(sql(on, text, [user_id.into()])).await? {
        Some(row) => row.try_get("", "n"),
        None => Ok(0),
    }
}

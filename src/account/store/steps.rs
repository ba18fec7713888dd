//! Sign-ins that wait for their second factor.

use sea_orm::{ConnectionTrait, DbErr, Value};

use crate::account::model::Proof;
use crate::db::sql;

/// A sign-in that waits.
pub(in crate::account) struct StepRow {
    pub(in crate::account) id: String,
    pub(in crate::account) user_id: String,
    pub(in crate::account) proof: Proof,
    pub(in crate::account) next: String,
    /// A secret on offer, sealed; empty for somebody who has a second factor.
    pub(in crate::account) offer: String,
    pub(in crate::account) expires_at: i64,
}

pub(in crate::account) async fn insert_step<C: ConnectionTrait>(
    on: &C,
    row: &StepRow,
    now: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO sign_in_steps (id, user_id, amr, identity_provider_id, provider_sid, next, secret_sealed, \
                created_at, expires_at, acr) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let values: [Value; 10] = [
        row.id.clone().into(),
        row.user_id.clone().into(),
        row.proof.amr.join(" ").into(),
        row.proof.identity_provider_id.clone().into(),
        row.proof.provider_sid.clone().into(),
        row.next.clone().into(),
        row.offer.clone().into(),
        now.into(),
        row.expires_at.into(),
        row.proof.acr.clone().into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

pub(in crate::account) async fn step<C: ConnectionTrait>(
    on: &C,
    id: &str,
    now: i64,
) -> Result<Option<StepRow>, DbErr> {
    let text = "SELECT * FROM sign_in_steps WHERE id = $1 AND expires_at > $2";
    let Some(row) = on.query_one_raw(sql(on, text, [id.into(), now.into()])).await? else {
        return Ok(None);
    };
    let amr: String = row.try_get("", "amr")?;
    Ok(Some(StepRow {
        id: row.try_get("", "id")?,
        user_id: row.try_get("", "user_id")?,
        proof: Proof {
            amr: amr.split_whitespace().map(str::to_owned).collect(),
            identity_provider_id: row.try_get("", "identity_provider_id")?,
            provider_sid: row.try_get("", "provider_sid")?,
            acr: row.try_get("", "acr")?,
            auth_time: None,
        },
        next: row.try_get("", "next")?,
        offer: row.try_get("", "secret_sealed")?,
        expires_at: row.try_get("", "expires_at")?,
    }))
}

pub(in crate::account) async fn delete_step<C: ConnectionTrait>(on: &C, id: &str) -> Result<bool, DbErr> {
    let text = "DELETE FROM sign_in_steps WHERE id = $1";
    let done = on.execute_raw(sql(on, text, [id.into()])).await?;
    Ok(done.rows_affected() == 1)
}

pub(in crate::account) async fn delete_steps_of<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
) -> Result<(), DbErr> {
    let text = "DELETE FROM sign_in_steps WHERE user_id = $1";
    on.execute_raw(sql(on, text, [user_id.into()])).await.map(|_| ())
}

pub(in crate::account) async fn purge_steps<C: ConnectionTrait>(on: &C, now: i64) -> Result<(), DbErr> {
    let text = "DELETE FROM sign_in_steps WHERE expires_at <= $1";
    on.execute_raw(sql(on, text, [now.into()])).await.map(|_| ())
}

//! Requests that wait: pushed ones for their person, those of devices for somebody who types a code.

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::run;
use super::tokens::{CodeGrant, for_update};
use crate::db::sql;

fn unreadable(error: &serde_json::Error) -> DbErr {
    DbErr::Custom(format!("a stored request cannot be read: {error}"))
}

/// A request that a client pushed.
#[derive(Clone, Debug)]
pub(crate) struct PushedRequest {
    pub(crate) client: String,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) is_signed: bool,
}

pub(crate) async fn insert_pushed<C: ConnectionTrait>(
    on: &C,
    hash: &str,
    pushed: &PushedRequest,
    now: i64,
    expires_at: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_pushed_requests (id_hash, client, params, created_at, expires_at) \
                VALUES ($1, $2, $3, $4, $5)";
    let params = serde_json::to_string(&(&pushed.params, pushed.is_signed)).unwrap_or_default();
    let values = [
        hash.into(),
        pushed.client.clone().into(),
        params.into(),
        now.into(),
        expires_at.into(),
    ];
    run(on, text, values).await.map(|_| ())
}

/// Takes a pushed request out: it counts once, and for its client only.
pub(crate) async fn take_pushed<C: ConnectionTrait>(
    on: &C,
    hash: &str,
    client: &str,
    now: i64,
) -> Result<Option<PushedRequest>, DbErr> {
    let text = "DELETE FROM oauth2_pushed_requests WHERE id_hash = $1 AND client = $2 AND expires_at > $3 \
                RETURNING params";
    let row = on
        .query_one_raw(sql(on, text, [hash.into(), client.into(), now.into()]))
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let params: String = row.try_get("", "params")?;
    let (params, is_signed) = serde_json::from_str(&params).map_err(|error| unreadable(&error))?;
    Ok(Some(PushedRequest {
        client: client.to_owned(),
        params,
        is_signed,
    }))
}

/// A device that waits for its person. Its state is `pending`, `approved`, `denied` or `used`.
#[derive(Clone, Debug)]
pub(crate) struct DeviceRow {
    pub(crate) code_hash: String,
    pub(crate) client: String,
    pub(crate) state: String,
    /// Scopes that were asked for.
    pub(crate) scopes: Vec<String>,
    pub(crate) user_id: String,
    /// What was allowed, once it was.
    pub(crate) consented: Option<CodeGrant>,
    /// From which address it was begun.
    pub(crate) address: String,
    /// What the device called itself.
    pub(crate) agent: String,
    pub(crate) interval_ms: i64,
    pub(crate) polled_at: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
}

const DEVICE: &str = "code_hash, client, state, request, user_id, consented, begun_at_address, begun_by, interval_ms, \
                      polled_at, created_at, expires_at";

fn read_device(row: &QueryResult) -> Result<DeviceRow, DbErr> {
    let scopes: String = row.try_get("", "request")?;
    let consented: String = row.try_get("", "consented")?;
    Ok(DeviceRow {
        code_hash: row.try_get("", "code_hash")?,
        client: row.try_get("", "client")?,
        state: row.try_get("", "state")?,
        scopes: super::from_list(&scopes),
        user_id: row.try_get("", "user_id")?,
        consented: match consented.as_str() {
            "" => None,
            text => Some(serde_json::from_str(text).map_err(|error| unreadable(&error))?),
        },
        address: row.try_get("", "begun_at_address")?,
        agent: row.try_get("", "begun_by")?,
        interval_ms: row.try_get("", "interval_ms")?,
        polled_at: row.try_get("", "polled_at")?,
        created_at: row.try_get("", "created_at")?,
        expires_at: row.try_get("", "expires_at")?,
    })
}

pub(crate) async fn insert_device<C: ConnectionTrait>(
    on: &C,
    row: &DeviceRow,
    user_code_hash: &str,
) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_device_codes (code_hash, user_code_hash, client, state, request, user_id, consented, \
                begun_at_address, begun_by, interval_ms, created_at, expires_at) \
                VALUES ($1, $2, $3, 'pending', $4, '', '', $5, $6, $7, $8, $9)";
    let values = [
        row.code_hash.clone().into(),
        user_code_hash.into(),
        row.client.clone().into(),
        super::to_list(&row.scopes).into(),
        row.address.clone().into(),
        row.agent.clone().into(),
        row.interval_ms.into(),
        row.created_at.into(),
        row.expires_at.into(),
    ];
    run(on, text, values).await.map(|_| ())
}

/// The device that shows this code and still waits.
pub(crate) async fn waiting_device<C: ConnectionTrait>(
    on: &C,
    user_code_hash: &str,
    now: i64,
) -> Result<Option<DeviceRow>, DbErr> {
    let text = format!(
        "SELECT {DEVICE} FROM oauth2_device_codes WHERE user_code_hash = $1 AND state = 'pending' AND expires_at > $2"
    );
    let row = on
        .query_one_raw(sql(on, &text, [user_code_hash.into(), now.into()]))
        .await?;
    row.as_ref().map(read_device).transpose()
}

/// Who allowed a device; empty while nobody has.
pub(crate) async fn user_of_device<C: ConnectionTrait>(
    on: &C,
    code_hash: &str,
) -> Result<Option<String>, DbErr> {
    let text = "SELECT user_id FROM oauth2_device_codes WHERE code_hash = $1";
    let row = on.query_one_raw(sql(on, text, [code_hash.into()])).await?;
    row.map(|row| row.try_get("", "user_id")).transpose()
}

/// A device, held until the transaction ends.
pub(crate) async fn device<C: ConnectionTrait>(on: &C, code_hash: &str) -> Result<Option<DeviceRow>, DbErr> {
    let text = format!(
        "SELECT {DEVICE} FROM oauth2_device_codes WHERE code_hash = $1{}",
        for_update(on)
    );
    let row = on.query_one_raw(sql(on, &text, [code_hash.into()])).await?;
    row.as_ref().map(read_device).transpose()
}

/// Notes what somebody decided about a device that waits. False if it does not wait any more.
pub(crate) async fn decide_device<C: ConnectionTrait>(
    on: &C,
    code_hash: &str,
    user_id: &str,
    consented: Option<&CodeGrant>,
    now: i64,
) -> Result<bool, DbErr> {
    let text = "UPDATE oauth2_device_codes SET state = $1, user_id = $2, consented = $3 \
                WHERE code_hash = $4 AND state = 'pending' AND expires_at > $5";
    let state = if consented.is_some() { "approved" } else { "denied" };
    let consented = consented
        .map(|grant| serde_json::to_string(grant).unwrap_or_default())
        .unwrap_or_default();
    let values = [
        state.into(),
        user_id.into(),
        consented.into(),
        code_hash.into(),
        now.into(),
    ];
    Ok(run(on, text, values).await? == 1)
}

pub(crate) async fn use_device<C: ConnectionTrait>(on: &C, code_hash: &str) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_device_codes SET state = 'used' WHERE code_hash = $1";
    run(on, text, [code_hash.into()]).await.map(|_| ())
}

/// Notes that a device asked, and how long it must wait from now on.
pub(crate) async fn polled<C: ConnectionTrait>(
    on: &C,
    code_hash: &str,
    now: i64,
    interval_ms: i64,
) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_device_codes SET polled_at = $1, interval_ms = $2 WHERE code_hash = $3";
    run(on, text, [now.into(), interval_ms.into(), code_hash.into()])
        .await
        .map(|_| ())
}

/// Ends what a person allowed devices that did not fetch it yet: those of one client, or all.
pub(crate) async fn deny_devices_of<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    client: Option<&str>,
) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_device_codes SET state = 'denied' \
                WHERE user_id = $1 AND state = 'approved' AND ($2 = '' OR client = $2)";
    run(on, text, [user_id.into(), client.unwrap_or_default().into()])
        .await
        .map(|_| ())
}

/// Removes what is over.
pub(crate) async fn purge<C: ConnectionTrait>(on: &C, now: i64) -> Result<(), DbErr> {
    const HOUR_MS: i64 = 3_600_000;
    run(
        on,
        "DELETE FROM oauth2_pushed_requests WHERE expires_at <= $1",
        [now.into()],
    )
    .await?;
    // A device that comes late is told that its code is over, not that there never was one.
    let text = "DELETE FROM oauth2_device_codes WHERE expires_at <= $1";
    run(on, text, [(now - HOUR_MS).into()]).await.map(|_| ())
}

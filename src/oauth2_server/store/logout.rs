//! Queries for signing out of applications: which of them a session signed in to, and who is still to be told.

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::run;
use crate::db::sql;

/// An application that a session signed in to.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub(crate) client: String,
    pub(crate) user_id: String,
    pub(crate) sid: String,
}

fn joined(row: &QueryResult) -> Result<Joined, DbErr> {
    Ok(Joined {
        client: row.try_get("", "client")?,
        user_id: row.try_get("", "user_id")?,
        sid: row.try_get("", "sid")?,
    })
}

/// Notes that a session signed in to a client.
pub(crate) async fn join<C: ConnectionTrait>(on: &C, joined: &Joined, now: i64) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_sid_clients (sid, client, user_id, created_at, ended) VALUES ($1, $2, $3, $4, \
                CASE WHEN EXISTS (SELECT 1 FROM sessions WHERE sid = $1) THEN 0 ELSE 1 END) \
                ON CONFLICT (sid, client) DO UPDATE SET ended = excluded.ended";
    let values = [
        joined.sid.clone().into(),
        joined.client.clone().into(),
        joined.user_id.clone().into(),
        now.into(),
    ];
    run(on, text, values).await.map(|_| ())
}

/// Forgets sessions that ended by themselves: nobody is signed out of an application because they were idle here.
pub(crate) async fn forget_expired<C: ConnectionTrait>(
    on: &C,
    now: i64,
    idle_before: i64,
) -> Result<(), DbErr> {
    let text = "DELETE FROM oauth2_sid_clients WHERE sid IN \
                (SELECT sid FROM sessions WHERE expires_at <= $1 OR last_seen_at <= $2)";
    run(on, text, [now.into(), idle_before.into()]).await?;
    // A session may have ended in the moment in which a client joined it.
    let text = "UPDATE oauth2_sid_clients SET ended = 1 \
                WHERE NOT EXISTS (SELECT 1 FROM sessions s WHERE s.sid = oauth2_sid_clients.sid)";
    run(on, text, []).await.map(|_| ())
}

/// Takes the applications out whose session is gone. One that goes on under the same name, because its person signed in
/// again, is marked no more.
pub(crate) async fn take_ended<C: ConnectionTrait>(on: &C) -> Result<Vec<Joined>, DbErr> {
    const LIVES: &str = "EXISTS (SELECT 1 FROM sessions s WHERE s.sid = oauth2_sid_clients.sid)";
    let text = format!("UPDATE oauth2_sid_clients SET ended = 0 WHERE ended = 1 AND {LIVES}");
    run(on, &text, []).await?;
    let text = "DELETE FROM oauth2_sid_clients WHERE ended = 1 RETURNING client, user_id, sid";
    let rows = on.query_all_raw(sql(on, text, [])).await?;
    rows.iter().map(joined).collect()
}

/// Whether there may be one to take out: asked every second, answered by an index of those that ended.
pub(crate) async fn is_any_ended<C: ConnectionTrait>(on: &C) -> Result<bool, DbErr> {
    let text = "SELECT 1 AS one FROM oauth2_sid_clients WHERE ended = 1 LIMIT 1";
    Ok(on.query_one_raw(sql(on, text, [])).await?.is_some())
}

/// Takes the applications of one session out.
pub(crate) async fn take_session<C: ConnectionTrait>(on: &C, sid: &str) -> Result<Vec<Joined>, DbErr> {
    let text = "DELETE FROM oauth2_sid_clients WHERE sid = $1 RETURNING client, user_id, sid";
    let rows = on.query_all_raw(sql(on, text, [sid.into()])).await?;
    rows.iter().map(joined).collect()
}

/// An application that is still to be told.
#[derive(Clone, Debug)]
pub(crate) struct Logout {
    pub(crate) client: String,
    pub(crate) user_id: String,
    pub(crate) sid: String,
    pub(crate) attempts: i64,
}

pub(crate) async fn enqueue<C: ConnectionTrait>(
    on: &C,
    id: &str,
    of: &Joined,
    now: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_logouts (id, client, user_id, sid, attempts, next_at, last_error, created_at) \
                VALUES ($1, $2, $3, $4, 0, $5, '', $5)";
    let values = [
        id.into(),
        of.client.clone().into(),
        of.user_id.clone().into(),
        of.sid.clone().into(),
        now.into(),
    ];
    run(on, text, values).await.map(|_| ())
}

pub(crate) async fn is_any_due<C: ConnectionTrait>(on: &C, now: i64) -> Result<bool, DbErr> {
    let text = "SELECT 1 AS one FROM oauth2_logouts WHERE next_at <= $1 LIMIT 1";
    Ok(on.query_one_raw(sql(on, text, [now.into()])).await?.is_some())
}

pub(crate) async fn by_id<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Logout>, DbErr> {
    let text = "SELECT client, user_id, sid, attempts FROM oauth2_logouts WHERE id = $1";
    let Some(row) = on.query_one_raw(sql(on, text, [id.into()])).await? else {
        return Ok(None);
    };
    Ok(Some(Logout {
        client: row.try_get("", "client")?,
        user_id: row.try_get("", "user_id")?,
        sid: row.try_get("", "sid")?,
        attempts: row.try_get("", "attempts")?,
    }))
}

/// Removes one that was told, or given up, if it is still ours.
pub(crate) async fn done<C: ConnectionTrait>(on: &C, id: &str, lease: i64) -> Result<bool, DbErr> {
    let text = "DELETE FROM oauth2_logouts WHERE id = $1 AND lease_no = $2";
    Ok(run(on, text, [id.into(), lease.into()]).await? == 1)
}

/// Puts one off, if it is still ours.
pub(crate) async fn put_off<C: ConnectionTrait>(
    on: &C,
    id: &str,
    lease: i64,
    next_at: i64,
    why: &str,
) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_logouts SET attempts = attempts + 1, next_at = $1, last_error = $2, lease_until = 0, \
                lease_holder = '' WHERE id = $3 AND lease_no = $4";
    run(on, text, [next_at.into(), why.into(), id.into(), lease.into()])
        .await
        .map(|_| ())
}

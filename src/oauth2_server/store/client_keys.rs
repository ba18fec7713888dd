//! Key sets of clients that were fetched, and ids that were seen.

use sea_orm::{ConnectionTrait, DbErr};

use super::run;
use crate::db::sql;

/// A key set as kept.
pub(in crate::oauth2_server) struct Kept {
    pub(in crate::oauth2_server) jwks: String,
    pub(in crate::oauth2_server) fetched_at: i64,
    pub(in crate::oauth2_server) tried_at: i64,
}

/// The key set of a client that was fetched from this address.
pub(in crate::oauth2_server) async fn read<C: ConnectionTrait>(
    on: &C,
    client: &str,
    uri: &str,
) -> Result<Option<Kept>, DbErr> {
    let text = "SELECT jwks, fetched_at, tried_at FROM oauth2_client_keys WHERE client = $1 AND uri = $2";
    let Some(row) = on
        .query_one_raw(sql(on, text, [client.into(), uri.into()]))
        .await?
    else {
        return Ok(None);
    };
    Ok(Some(Kept {
        jwks: row.try_get("", "jwks")?,
        fetched_at: row.try_get("", "fetched_at")?,
        tried_at: row.try_get("", "tried_at")?,
    }))
}

/// Notes that the key set is asked for now. False if somebody did after `since`.
pub(in crate::oauth2_server) async fn begin<C: ConnectionTrait>(
    on: &C,
    client: &str,
    uri: &str,
    now: i64,
    since: i64,
) -> Result<bool, DbErr> {
    let text = "INSERT INTO oauth2_client_keys (client, uri, jwks, fetched_at, tried_at) VALUES ($1, $2, '', 0, $3) \
                ON CONFLICT (client) DO UPDATE SET tried_at = excluded.tried_at, uri = excluded.uri, \
                jwks = CASE WHEN oauth2_client_keys.uri = excluded.uri THEN oauth2_client_keys.jwks ELSE '' END, \
                fetched_at = CASE WHEN oauth2_client_keys.uri = excluded.uri THEN oauth2_client_keys.fetched_at ELSE 0 END \
                WHERE oauth2_client_keys.tried_at <= $4 OR oauth2_client_keys.uri <> excluded.uri";
    let values = [client.into(), uri.into(), now.into(), since.into()];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// Keeps what was fetched.
pub(in crate::oauth2_server) async fn keep<C: ConnectionTrait>(
    on: &C,
    client: &str,
    uri: &str,
    jwks: &str,
    now: i64,
) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_client_keys SET jwks = $1, fetched_at = $2 WHERE client = $3 AND uri = $4";
    let values = [jwks.into(), now.into(), client.into(), uri.into()];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// How many ids are forgotten in one statement: other writers get their turn in between.
const AT_ONCE: i64 = 2_000;

/// Forgets ids that mean nothing any more.
pub(in crate::oauth2_server) async fn forget_seen<C: ConnectionTrait>(on: &C, now: i64) -> Result<(), DbErr> {
    let text = "DELETE FROM oauth2_seen_ids WHERE id_hash IN \
                (SELECT id_hash FROM oauth2_seen_ids WHERE expires_at <= $1 LIMIT $2)";
    while run(on, text, [now.into(), AT_ONCE.into()]).await? == u64::try_from(AT_ONCE).unwrap_or(0) {}
    Ok(())
}

/// Notes an id that counts once, until it means nothing any more. False if it was seen before. One row for each: a proof
/// that was seen must be refused by every node, and after a restart too.
pub(in crate::oauth2_server) async fn see_once<C: ConnectionTrait>(
    on: &C,
    id_hash: &str,
    expires_at: i64,
) -> Result<bool, DbErr> {
    let text =
        "INSERT INTO oauth2_seen_ids (id_hash, expires_at) VALUES ($1, $2) ON CONFLICT (id_hash) DO NOTHING";
    let done = on
        .execute_raw(sql(on, text, [id_hash.into(), expires_at.into()]))
        .await?;
    Ok(done.rows_affected() == 1)
}

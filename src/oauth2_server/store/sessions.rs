//! Queries for what is given to a client now: families with their person and their tokens.

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::from_list;
use crate::db::sql;
use crate::oauth2_server::model::ClientSession;

const COLUMNS: &str = "f.id, f.user_id, f.scopes, f.projects, f.created_at, f.expires_at, u.name, u.email, \
     (SELECT COUNT(*) FROM oauth2_access_tokens a WHERE a.family_id = f.id AND a.kind = 'access' AND a.revoked_at IS NULL \
      AND a.expires_at > $2) AS tokens, \
     (SELECT MAX(a.created_at) FROM oauth2_access_tokens a WHERE a.family_id = f.id) AS last_at, \
     (SELECT COUNT(*) FROM oauth2_refresh_tokens r WHERE r.family_id = f.id AND r.state = 'live' \
      AND r.expires_at > $2) AS refresh_tokens";

/// The sessions of a client that are alive, the newest first: `limit` of them, older than `before`.
pub(crate) async fn of_client<C: ConnectionTrait>(
    on: &C,
    client: &str,
    before: Option<&str>,
    limit: u64,
    now: i64,
) -> Result<Vec<ClientSession>, DbErr> {
    // Above every id there can be.
    let before = before.unwrap_or("~");
    let text = format!(
        "SELECT {COLUMNS} FROM oauth2_families f LEFT JOIN users u ON u.id = f.user_id \
         WHERE f.client = $1 AND f.revoked_at IS NULL AND f.expires_at > $2 AND f.id < $3 \
         ORDER BY f.id DESC LIMIT $4"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = [client.into(), now.into(), before.into(), limit.into()];
    let rows = on.query_all_raw(sql(on, &text, values)).await?;
    rows.iter().map(read).collect()
}

/// One session of a client, if it is alive.
pub(crate) async fn one_of_client<C: ConnectionTrait>(
    on: &C,
    client: &str,
    id: &str,
    now: i64,
) -> Result<Option<ClientSession>, DbErr> {
    let text = format!(
        "SELECT {COLUMNS} FROM oauth2_families f LEFT JOIN users u ON u.id = f.user_id \
         WHERE f.client = $1 AND f.revoked_at IS NULL AND f.expires_at > $2 AND f.id = $3"
    );
    let values = [client.into(), now.into(), id.into()];
    let row = on.query_one_raw(sql(on, &text, values)).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &QueryResult) -> Result<ClientSession, DbErr> {
    let scopes: String = row.try_get("", "scopes")?;
    let projects: String = row.try_get("", "projects")?;
    let name: Option<String> = row.try_get("", "name")?;
    let email: Option<String> = row.try_get("", "email")?;
    let refresh: i64 = row.try_get("", "refresh_tokens")?;
    Ok(ClientSession {
        id: row.try_get("", "id")?,
        user_id: row.try_get("", "user_id")?,
        user_name: name.unwrap_or_default(),
        user_email: email.unwrap_or_default(),
        scopes: from_list(&scopes),
        projects: from_list(&projects),
        access_tokens: row.try_get("", "tokens")?,
        has_refresh_token: refresh > 0,
        created_at: row.try_get("", "created_at")?,
        last_token_at: row.try_get("", "last_at")?,
        expires_at: row.try_get("", "expires_at")?,
    })
}

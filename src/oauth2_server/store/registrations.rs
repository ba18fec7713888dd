//! Queries for clients that register themselves: initial access tokens, and the tokens they manage themselves with.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult};

use super::{clients, from_list, to_list};
use crate::access::Projects;
use crate::db::{sql, within_sql};
use crate::oauth2_server::initial_tokens::InitialToken;
use crate::oauth2_server::model::Client;

const TOKEN: &str = "id, hint, name, project_id, scopes, approves, uses_left, uses, created_by, created_at, expires_at, \
                     revoked_at, last_used_at";

fn read_token(row: &QueryResult) -> Result<InitialToken, DbErr> {
    let scopes: String = row.try_get("", "scopes")?;
    Ok(InitialToken {
        id: row.try_get("", "id")?,
        hint: row.try_get("", "hint")?,
        name: row.try_get("", "name")?,
        project_id: row.try_get("", "project_id")?,
        scopes: from_list(&scopes),
        approves: row.try_get("", "approves")?,
        uses_left: row.try_get("", "uses_left")?,
        uses: row.try_get("", "uses")?,
        created_by: row.try_get("", "created_by")?,
        created_at: row.try_get("", "created_at")?,
        expires_at: row.try_get("", "expires_at")?,
        revoked_at: row.try_get("", "revoked_at")?,
        last_used_at: row.try_get("", "last_used_at")?,
    })
}

pub(crate) async fn insert_token<C: ConnectionTrait>(
    on: &C,
    token: &InitialToken,
    hash: &str,
) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_initial_tokens (id, token_hash, hint, name, project_id, scopes, approves, uses_left, \
                uses, created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11)";
    let values = [
        token.id.clone().into(),
        hash.into(),
        token.hint.clone().into(),
        token.name.clone().into(),
        token.project_id.clone().into(),
        to_list(&token.scopes).into(),
        token.approves.into(),
        token.uses_left.into(),
        token.created_by.clone().into(),
        token.created_at.into(),
        token.expires_at.into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// The initial access tokens of these projects, the newest first; those of the site are there for all of them.
pub(crate) async fn tokens<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
) -> Result<Vec<InitialToken>, DbErr> {
    let (mine, ids) = within_sql(projects, "project_id", 1);
    let text = format!("SELECT {TOKEN} FROM oauth2_initial_tokens WHERE {mine} ORDER BY id DESC");
    let rows = on.query_all_raw(sql(on, &text, ids)).await?;
    rows.iter().map(read_token).collect()
}

/// Takes one use of a token that is good; of two that ask for the last one, one gets it.
pub(crate) async fn use_token<C: ConnectionTrait>(
    on: &C,
    hash: &str,
    now: i64,
) -> Result<Option<InitialToken>, DbErr> {
    let text = format!(
        "UPDATE oauth2_initial_tokens SET uses = uses + 1, uses_left = uses_left - 1, last_used_at = $2 \
         WHERE token_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) \
         AND (uses_left IS NULL OR uses_left > 0) RETURNING {TOKEN}"
    );
    let row = on
        .query_one_raw(sql(on, &text, [hash.into(), now.into()]))
        .await?;
    row.as_ref().map(read_token).transpose()
}

/// Revokes a token; false if it was over before.
pub(crate) async fn revoke_token<C: ConnectionTrait>(on: &C, id: &str, now: i64) -> Result<bool, DbErr> {
    let text = "UPDATE oauth2_initial_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL";
    let done = on.execute_raw(sql(on, text, [now.into(), id.into()])).await?;
    Ok(done.rows_affected() == 1)
}

/// How a client registered itself.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) client: String,
    pub(crate) token_hash: String,
    pub(crate) initial_token: String,
    pub(crate) scope_limit: Vec<String>,
    pub(crate) approves: bool,
    pub(crate) created_at: i64,
}

fn read_registration(row: &QueryResult) -> Result<Registration, DbErr> {
    let limit: String = row.try_get("", "scope_limit")?;
    Ok(Registration {
        client: row.try_get("", "client")?,
        token_hash: row.try_get("", "token_hash")?,
        initial_token: row.try_get("", "initial_token")?,
        scope_limit: from_list(&limit),
        approves: row.try_get("", "approves")?,
        created_at: row.try_get("", "created_at")?,
    })
}

const REGISTRATION: &str = "client, token_hash, initial_token, scope_limit, approves, created_at";

pub(crate) async fn insert<C: ConnectionTrait>(on: &C, made: &Registration) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_registrations (client, token_hash, previous_hash, initial_token, scope_limit, \
                approves, created_at) VALUES ($1, $2, '', $3, $4, $5, $6)";
    let values = [
        made.client.clone().into(),
        made.token_hash.clone().into(),
        made.initial_token.clone().into(),
        to_list(&made.scope_limit).into(),
        made.approves.into(),
        made.created_at.into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// How a client registered itself; none if an admin registered it.
pub(crate) async fn of_client<C: ConnectionTrait>(
    on: &C,
    client: &str,
) -> Result<Option<Registration>, DbErr> {
    let text = format!("SELECT {REGISTRATION} FROM oauth2_registrations WHERE client = $1");
    let row = on.query_one_raw(sql(on, &text, [client.into()])).await?;
    row.as_ref().map(read_registration).transpose()
}

/// The registration a token manages: the present one, or the one before it, whose successor nobody used yet.
pub(crate) async fn by_token<C: ConnectionTrait>(on: &C, hash: &str) -> Result<Option<Registration>, DbErr> {
    let text = format!(
        "SELECT {REGISTRATION} FROM oauth2_registrations WHERE token_hash = $1 OR previous_hash = $1"
    );
    let row = on.query_one_raw(sql(on, &text, [hash.into()])).await?;
    row.as_ref().map(read_registration).transpose()
}

/// Notes that the present token arrived: the one before it opens nothing any more.
pub(crate) async fn forget_previous<C: ConnectionTrait>(
    on: &C,
    client: &str,
    hash: &str,
) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_registrations SET previous_hash = '' \
                WHERE client = $1 AND token_hash = $2 AND previous_hash <> ''";
    on.execute_raw(sql(on, text, [client.into(), hash.into()]))
        .await
        .map(|_| ())
}

/// Puts a new token in the place of the one that was just used.
pub(crate) async fn rotate<C: ConnectionTrait>(
    on: &C,
    client: &str,
    used: &str,
    new: &str,
) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_registrations SET token_hash = $1, previous_hash = $2 WHERE client = $3";
    on.execute_raw(sql(on, text, [new.into(), used.into(), client.into()]))
        .await
        .map(|_| ())
}

/// Takes the scopes that a client `had` and has no more out of what it may register of itself.
pub(crate) async fn take_from_limit<C: ConnectionTrait>(
    on: &C,
    client: &str,
    had: &[String],
    has: &[String],
) -> Result<(), DbErr> {
    let Some(mut made) = of_client(on, client).await? else {
        return Ok(());
    };
    made.scope_limit
        .retain(|scope| has.contains(scope) || !had.contains(scope));
    let text = "UPDATE oauth2_registrations SET scope_limit = $1 WHERE client = $2";
    on.execute_raw(sql(on, text, [to_list(&made.scope_limit).into(), client.into()]))
        .await
        .map(|_| ())
}

/// How many clients wait for an admin that anybody could register.
pub(crate) async fn waiting<C: ConnectionTrait>(on: &C) -> Result<i64, DbErr> {
    let text = "SELECT COUNT(*) AS n FROM oauth2_registrations r JOIN oauth2_clients c ON c.id = r.client \
                WHERE r.initial_token = '' AND c.state = 'pending'";
    match on.query_one_raw(sql(on, text, [])).await? {
        Some(row) => row.try_get("", "n"),
        None => Ok(0),
    }
}

/// Removes clients that anybody could register and nobody approved, and returns them.
pub(crate) async fn purge<C: ConnectionTrait>(on: &C, before: i64) -> Result<Vec<Client>, DbErr> {
    let text = "DELETE FROM oauth2_clients WHERE state = 'pending' AND id IN \
                (SELECT client FROM oauth2_registrations WHERE initial_token = '' AND created_at < $1) RETURNING *";
    let rows = on.query_all_raw(sql(on, text, [before.into()])).await?;
    rows.iter()
        .map(|row| clients::Model::from_query_result(row, "").map(Client::from))
        .collect()
}

/// The token with this hash, whatever became of it.
pub(crate) async fn token_by_hash<C: ConnectionTrait>(
    on: &C,
    hash: &str,
) -> Result<Option<InitialToken>, DbErr> {
    let text = format!("SELECT {TOKEN} FROM oauth2_initial_tokens WHERE token_hash = $1");
    let row = on.query_one_raw(sql(on, &text, [hash.into()])).await?;
    row.as_ref().map(read_token).transpose()
}

//! All queries on trusted issuers.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Value};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::model::{KeySource, SubjectMapping, TrustedIssuer, Use};
use crate::crypto::ForeignAlg;
use crate::db::sql;

const COLUMNS: &str = "id, name, issuer, uses, enabled, key_source, jwks, jwks_uri, algorithms, introspection_endpoint, \
    introspection_client_id, secret_sealed, cache_seconds, token_prefix, audiences, subjects, max_life_seconds, \
    mapping, subject_table, service_client, scope_claim, scope_map, scopes, projects, clients, allow_incomplete, \
    require_at_jwt, created_by, revision, created_at, updated_at";

fn list<T: DeserializeOwned + Default>(row: &QueryResult, name: &str) -> Result<T, DbErr> {
    let text: String = row.try_get("", name)?;
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

fn words(row: &QueryResult, name: &str) -> Result<Vec<String>, DbErr> {
    list(row, name)
}

fn read(row: &QueryResult) -> Result<TrustedIssuer, DbErr> {
    let word = |name: &str| row.try_get::<String>("", name);
    Ok(TrustedIssuer {
        id: word("id")?,
        name: word("name")?,
        issuer: word("issuer")?,
        uses: words(row, "uses")?
            .iter()
            .filter_map(|word| Use::parse(word))
            .collect(),
        enabled: row.try_get("", "enabled")?,
        key_source: KeySource::parse(&word("key_source")?).unwrap_or_default(),
        jwks: word("jwks")?,
        jwks_uri: word("jwks_uri")?,
        algorithms: words(row, "algorithms")?
            .iter()
            .filter_map(|word| ForeignAlg::parse(word))
            .collect(),
        introspection_endpoint: word("introspection_endpoint")?,
        introspection_client_id: word("introspection_client_id")?,
        secret_sealed: word("secret_sealed")?,
        cache_seconds: row.try_get("", "cache_seconds")?,
        token_prefix: word("token_prefix")?,
        audiences: words(row, "audiences")?,
        subjects: words(row, "subjects")?,
        max_life_seconds: row.try_get("", "max_life_seconds")?,
        mapping: SubjectMapping::parse(&word("mapping")?).unwrap_or_default(),
        subject_table: list(row, "subject_table")?,
        service_client: word("service_client")?,
        scope_claim: word("scope_claim")?,
        scope_map: list(row, "scope_map")?,
        scopes: words(row, "scopes")?,
        projects: words(row, "projects")?,
        clients: words(row, "clients")?,
        allow_incomplete: row.try_get("", "allow_incomplete")?,
        require_at_jwt: row.try_get("", "require_at_jwt")?,
        created_by: word("created_by")?,
        revision: row.try_get("", "revision")?,
        created_at: row.try_get("", "created_at")?,
        updated_at: row.try_get("", "updated_at")?,
    })
}

/// The values of the columns, in their order.
fn values(of: &TrustedIssuer) -> Vec<Value> {
    let uses: Vec<&str> = of.uses.iter().map(|one| one.as_str()).collect();
    let algorithms: Vec<&str> = of.algorithms.iter().map(|one| one.as_str()).collect();
    vec![
        of.id.clone().into(),
        of.name.clone().into(),
        of.issuer.clone().into(),
        json!(uses).to_string().into(),
        of.enabled.into(),
        of.key_source.as_str().into(),
        of.jwks.clone().into(),
        of.jwks_uri.clone().into(),
        json!(algorithms).to_string().into(),
        of.introspection_endpoint.clone().into(),
        of.introspection_client_id.clone().into(),
        of.secret_sealed.clone().into(),
        of.cache_seconds.into(),
        of.token_prefix.clone().into(),
        json!(of.audiences).to_string().into(),
        json!(of.subjects).to_string().into(),
        of.max_life_seconds.into(),
        of.mapping.as_str().into(),
        json!(of.subject_table).to_string().into(),
        of.service_client.clone().into(),
        of.scope_claim.clone().into(),
        json!(of.scope_map).to_string().into(),
        json!(of.scopes).to_string().into(),
        json!(of.projects).to_string().into(),
        json!(of.clients).to_string().into(),
        of.allow_incomplete.into(),
        of.require_at_jwt.into(),
        of.created_by.clone().into(),
        of.revision.into(),
        of.created_at.into(),
        of.updated_at.into(),
    ]
}

pub(super) async fn insert<C: ConnectionTrait>(on: &C, new: &TrustedIssuer) -> Result<(), DbErr> {
    let values = values(new);
    let places: Vec<String> = (1..=values.len()).map(|n| format!("${n}")).collect();
    let text = format!(
        "INSERT INTO trusted_issuers ({COLUMNS}) VALUES ({})",
        places.join(", ")
    );
    on.execute_raw(sql(on, &text, values)).await.map(drop)
}

/// Writes an issuer that still has the revision `seen`.
pub(super) async fn update<C: ConnectionTrait>(
    on: &C,
    changed: &TrustedIssuer,
    seen: i64,
) -> Result<bool, DbErr> {
    let mut values = values(changed);
    let set: Vec<String> = COLUMNS
        .split(',')
        .enumerate()
        .map(|(at, name)| format!("{} = ${}", name.trim(), at + 1))
        .collect();
    let (id, revision) = (values.len() + 1, values.len() + 2);
    values.push(changed.id.clone().into());
    values.push(seen.into());
    let text = format!(
        "UPDATE trusted_issuers SET {} WHERE id = ${id} AND revision = ${revision}",
        set.join(", ")
    );
    Ok(on.execute_raw(sql(on, &text, values)).await?.rows_affected() == 1)
}

pub(super) async fn remove<C: ConnectionTrait>(on: &C, id: &str, seen: i64) -> Result<bool, DbErr> {
    let text = "DELETE FROM trusted_issuers WHERE id = $1 AND revision = $2";
    let gone = on.execute_raw(sql(on, text, [id.into(), seen.into()])).await?;
    let text = "DELETE FROM trusted_issuer_keys WHERE issuer_id = $1";
    on.execute_raw(sql(on, text, [id.into()])).await?;
    Ok(gone.rows_affected() == 1)
}

/// Ends everything that was given for assertions of an issuer.
pub(super) async fn end_families<C: ConnectionTrait>(on: &C, issuer_id: &str, now: i64) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_families SET revoked_at = $1, revoked_why = 'issuer_changed' WHERE revoked_at IS NULL \
                AND id IN (SELECT family_id FROM oauth2_assertion_families WHERE issuer_id = $2)";
    on.execute_raw(sql(on, text, [now.into(), issuer_id.into()]))
        .await
        .map(drop)
}

pub(super) async fn by_id<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<TrustedIssuer>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM trusted_issuers WHERE id = $1");
    let row = on.query_one_raw(sql(on, &text, [id.into()])).await?;
    row.as_ref().map(read).transpose()
}

/// The revision of an issuer, which nobody changes until the transaction ends.
pub(super) async fn held_revision<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<i64>, DbErr> {
    // SQLite has one writer at a time.
    let held = match on.get_database_backend() {
        DbBackend::Postgres => " FOR SHARE",
        _ => "",
    };
    let text = format!("SELECT revision FROM trusted_issuers WHERE id = $1{held}");
    let row = on.query_one_raw(sql(on, &text, [id.into()])).await?;
    row.map(|row| row.try_get("", "revision")).transpose()
}

/// All of them, by id. There are few.
pub(super) async fn all<C: ConnectionTrait>(on: &C) -> Result<Vec<TrustedIssuer>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM trusted_issuers ORDER BY id");
    let rows = on.query_all_raw(sql(on, &text, [])).await?;
    rows.iter().map(read).collect()
}

/// Those that count and say this in `iss`.
pub(super) async fn enabled_of<C: ConnectionTrait>(
    on: &C,
    issuer: &str,
) -> Result<Vec<TrustedIssuer>, DbErr> {
    let text =
        format!("SELECT {COLUMNS} FROM trusted_issuers WHERE issuer = $1 AND enabled = $2 ORDER BY id");
    let rows = on
        .query_all_raw(sql(on, &text, [issuer.into(), true.into()]))
        .await?;
    rows.iter().map(read).collect()
}

/// Those that count and are asked about tokens.
pub(super) async fn enabled_askable<C: ConnectionTrait>(on: &C) -> Result<Vec<TrustedIssuer>, DbErr> {
    let text = format!(
        "SELECT {COLUMNS} FROM trusted_issuers WHERE key_source = 'introspection' AND enabled = $1 ORDER BY id"
    );
    let rows = on.query_all_raw(sql(on, &text, [true.into()])).await?;
    rows.iter().map(read).collect()
}

/// Whether a row is there: a table and an id.
pub(super) async fn exists<C: ConnectionTrait>(on: &C, table: &str, id: &str) -> Result<bool, DbErr> {
    let text = format!("SELECT 1 AS one FROM {table} WHERE id = $1");
    Ok(on.query_one_raw(sql(on, &text, [id.into()])).await?.is_some())
}

/// Public keys as they were fetched.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub(super) jwks: String,
    pub(super) fetched_at: i64,
    pub(super) tried_at: i64,
}

pub(super) async fn kept<C: ConnectionTrait>(on: &C, issuer_id: &str, uri: &str) -> Result<Kept, DbErr> {
    let text = "SELECT jwks, fetched_at, tried_at FROM trusted_issuer_keys WHERE issuer_id = $1 AND uri = $2";
    let row = on
        .query_one_raw(sql(on, text, [issuer_id.into(), uri.into()]))
        .await?;
    let Some(row) = row else {
        return Ok(Kept::default());
    };
    Ok(Kept {
        jwks: row.try_get("", "jwks")?,
        fetched_at: row.try_get("", "fetched_at")?,
        tried_at: row.try_get("", "tried_at")?,
    })
}

/// Notes that keys are fetched now; false if somebody did that after `since`.
pub(super) async fn begin<C: ConnectionTrait>(
    on: &C,
    issuer_id: &str,
    uri: &str,
    now: i64,
    since: i64,
) -> Result<bool, DbErr> {
    let text = "INSERT INTO trusted_issuer_keys (issuer_id, uri, jwks, fetched_at, tried_at) VALUES ($1, $2, '', 0, $3) \
                ON CONFLICT (issuer_id) DO UPDATE SET tried_at = excluded.tried_at, uri = excluded.uri, \
                jwks = CASE WHEN trusted_issuer_keys.uri = excluded.uri THEN trusted_issuer_keys.jwks ELSE '' END, \
                fetched_at = CASE WHEN trusted_issuer_keys.uri = excluded.uri THEN trusted_issuer_keys.fetched_at ELSE 0 END \
                WHERE trusted_issuer_keys.tried_at <= $4 OR trusted_issuer_keys.uri <> excluded.uri";
    let values = [issuer_id.into(), uri.into(), now.into(), since.into()];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

pub(super) async fn keep<C: ConnectionTrait>(
    on: &C,
    issuer_id: &str,
    uri: &str,
    jwks: &str,
    now: i64,
) -> Result<(), DbErr> {
    let text = "UPDATE trusted_issuer_keys SET jwks = $1, fetched_at = $2 WHERE issuer_id = $3 AND uri = $4";
    let values = [jwks.into(), now.into(), issuer_id.into(), uri.into()];
    on.execute_raw(sql(on, text, values)).await.map(drop)
}

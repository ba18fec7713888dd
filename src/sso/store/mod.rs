//! All queries on identity providers; attempts, tests, people and sessions in the files below.

pub(super) mod attempts;
pub(super) mod checks;
pub(super) mod people;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Value};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::error::SsoError;
use super::model::{IdentityProvider, Source};
use crate::crypto::Place;
use crate::ctx::Ctx;
use crate::db::sql;

const COLUMNS: &str = "id, name, source, enabled, connection, policy, secret_sealed, key_public, connection_revision, \
                       tested_revision, revision, created_at, updated_at";

fn secret_place(id: &str) -> Place<'_> {
    Place {
        table: "identity_providers",
        column: "secret_sealed",
        row: id,
    }
}

fn key_place(id: &str) -> Place<'_> {
    Place {
        table: "identity_providers",
        column: "key_sealed",
        row: id,
    }
}

/// What is stored beside a provider's plain values.
#[derive(Default)]
pub(super) struct Sealed {
    /// The client secret; `None` keeps what is there.
    pub(super) secret: Option<String>,
    /// Our private key; `None` keeps what is there.
    pub(super) key: Option<String>,
}

impl Sealed {
    /// Seals what is new for the row of a provider.
    pub(super) fn of(ctx: &Ctx, id: &str, secret: Option<&SecretString>, key: Option<&SecretString>) -> Self {
        let seal = |place: Place<'_>, value: &SecretString| match value.expose_secret() {
            "" => String::new(),
            _ => ctx.keys.seal(&place, value),
        };
        Self {
            secret: secret.map(|secret| seal(secret_place(id), secret)),
            key: key.map(|key| seal(key_place(id), key)),
        }
    }
}

pub(super) async fn run<C: ConnectionTrait, const N: usize>(
    on: &C,
    text: &str,
    values: [Value; N],
) -> Result<u64, DbErr> {
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected())
}

/// Text of JSON in a column; what a newer version wrote and this one cannot read is an error, never a default.
fn json<T: DeserializeOwned>(row: &QueryResult, column: &str) -> Result<T, DbErr> {
    let text: String = row.try_get("", column)?;
    serde_json::from_str(&text).map_err(|error| DbErr::Type(format!("{column}: {error}")))
}

fn provider(row: &QueryResult) -> Result<IdentityProvider, DbErr> {
    let source: String = row.try_get("", "source")?;
    let sealed: String = row.try_get("", "secret_sealed")?;
    Ok(IdentityProvider {
        id: row.try_get("", "id")?,
        name: row.try_get("", "name")?,
        source: Source::parse(&source).unwrap_or(Source::Database),
        enabled: row.try_get("", "enabled")?,
        connection: json(row, "connection")?,
        policy: json(row, "policy")?,
        has_secret: !sealed.is_empty(),
        key_public: row.try_get("", "key_public")?,
        connection_revision: row.try_get("", "connection_revision")?,
        tested_revision: row.try_get("", "tested_revision")?,
        revision: row.try_get("", "revision")?,
        created_at: row.try_get("", "created_at")?,
        updated_at: row.try_get("", "updated_at")?,
    })
}

pub(super) async fn all<C: ConnectionTrait>(on: &C) -> Result<Vec<IdentityProvider>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM identity_providers ORDER BY id");
    let rows = on.query_all_raw(sql(on, &text, [])).await?;
    rows.iter().map(provider).collect()
}

pub(super) async fn one<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<IdentityProvider>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM identity_providers WHERE id = $1");
    let row = on.query_one_raw(sql(on, &text, [id.into()])).await?;
    row.as_ref().map(provider).transpose()
}

/// Lets nobody else begin or end sessions of a provider until the transaction ends. Taken behind a person's row.
pub(super) async fn hold<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    if on.get_database_backend() != DbBackend::Postgres {
        // SQLite has one writer at a time.
        return Ok(());
    }
    let text = "SELECT id FROM identity_providers WHERE id = $1 FOR NO KEY UPDATE";
    on.query_one_raw(sql(on, text, [id.into()])).await.map(|_| ())
}

/// The client secret; empty if there is none.
pub(super) async fn secret(ctx: &Ctx, id: &str) -> Result<SecretString, SsoError> {
    sealed(ctx, id, "secret_sealed", secret_place(id)).await
}

/// Our private key for `private_key_jwt`, PEM.
pub(super) async fn private_key(ctx: &Ctx, id: &str) -> Result<SecretString, SsoError> {
    sealed(ctx, id, "key_sealed", key_place(id)).await
}

async fn sealed(ctx: &Ctx, id: &str, column: &str, place: Place<'_>) -> Result<SecretString, SsoError> {
    let on = ctx.db.read();
    let text = format!("SELECT {column} FROM identity_providers WHERE id = $1");
    let row = on.query_one_raw(sql(on, &text, [id.into()])).await?;
    let sealed: String = row.ok_or(SsoError::NotFound)?.try_get("", column)?;
    match sealed.as_str() {
        "" => Ok(SecretString::from(String::new())),
        sealed => Ok(ctx.keys.open(&place, sealed)?),
    }
}

fn text<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_string(value).unwrap_or_default().into()
}

pub(super) async fn insert<C: ConnectionTrait>(
    on: &C,
    new: &IdentityProvider,
    sealed: Sealed,
) -> Result<(), DbErr> {
    let statement = "INSERT INTO identity_providers (id, name, source, enabled, connection, policy, secret_sealed, \
                     key_sealed, key_public, connection_revision, tested_revision, revision, created_at, updated_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)";
    let values = [
        new.id.clone().into(),
        new.name.clone().into(),
        new.source.as_str().into(),
        new.enabled.into(),
        text(&new.connection),
        text(&new.policy),
        sealed.secret.unwrap_or_default().into(),
        sealed.key.unwrap_or_default().into(),
        new.key_public.clone().into(),
        new.connection_revision.into(),
        new.tested_revision.into(),
        new.revision.into(),
        new.created_at.into(),
    ];
    run(on, statement, values).await.map(|_| ())
}

/// Writes everything, if the revision is still the one that was read; false if it is not.
pub(super) async fn replace<C: ConnectionTrait>(
    on: &C,
    new: &IdentityProvider,
    sealed: Sealed,
    seen: i64,
) -> Result<bool, DbErr> {
    let statement = "UPDATE identity_providers SET name = $3, enabled = $4, connection = $5, policy = $6, \
                     key_public = $7, connection_revision = $8, tested_revision = $9, revision = $2 + 1, \
                     updated_at = $10, secret_sealed = COALESCE($11, secret_sealed), \
                     key_sealed = COALESCE($12, key_sealed) WHERE id = $1 AND revision = $2";
    let values: [Value; 12] = [
        new.id.clone().into(),
        seen.into(),
        new.name.clone().into(),
        new.enabled.into(),
        text(&new.connection),
        text(&new.policy),
        new.key_public.clone().into(),
        new.connection_revision.into(),
        new.tested_revision.into(),
        new.updated_at.into(),
        sealed.secret.into(),
        sealed.key.into(),
    ];
    Ok(run(on, statement, values).await? == 1)
}

pub(super) async fn delete<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    run(on, "DELETE FROM identity_providers WHERE id = $1", [id.into()])
        .await
        .map(|_| ())
}

/// Notes that a connection passed its test, unless it was changed since.
pub(super) async fn set_tested<C: ConnectionTrait>(
    on: &C,
    id: &str,
    connection_revision: i64,
) -> Result<(), DbErr> {
    let statement = "UPDATE identity_providers SET tested_revision = $2, revision = revision + 1 \
                     WHERE id = $1 AND connection_revision = $2 AND tested_revision <> $2";
    run(on, statement, [id.into(), connection_revision.into()])
        .await
        .map(|_| ())
}

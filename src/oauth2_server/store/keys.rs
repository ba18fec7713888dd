//! Signing keys: sealed at rest, opened only to sign.

use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use secrecy::SecretString;

use crate::crypto::{KeyRing, Place, SealError};
use crate::db::sql;

/// A signing key as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) kid: String,
    pub(crate) alg: String,
    pub(crate) public_jwk: String,
    pub(crate) created_at: i64,
    pub(crate) signs_from: i64,
    pub(crate) signs_until: Option<i64>,
    pub(crate) published_until: Option<i64>,
    sealed: Sealed,
}

/// Not even a sealed key has business in a log.
#[derive(Clone, PartialEq, Eq)]
struct Sealed(String);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed")
    }
}

fn place(kid: &str) -> Place<'_> {
    Place {
        table: "oauth2_signing_keys",
        column: "private_sealed",
        row: kid,
    }
}

impl StoredKey {
    /// A key that is about to be stored.
    pub(crate) fn new(
        keys: &KeyRing,
        kid: &str,
        alg: &str,
        pem: &SecretString,
        public_jwk: String,
        now: i64,
    ) -> Self {
        Self {
            kid: kid.to_owned(),
            alg: alg.to_owned(),
            public_jwk,
            created_at: now,
            signs_from: now,
            signs_until: None,
            published_until: None,
            sealed: Sealed(keys.seal(&place(kid), pem)),
        }
    }

    /// The private key, PEM.
    pub(crate) fn open(&self, keys: &KeyRing) -> Result<SecretString, SealError> {
        keys.open(&place(&self.kid), &self.sealed.0)
    }
}

pub(crate) async fn insert<C: ConnectionTrait>(on: &C, key: &StoredKey) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_signing_keys \
                (kid, alg, private_sealed, public_jwk, created_at, signs_from, signs_until, published_until) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = [
        key.kid.clone().into(),
        key.alg.clone().into(),
        key.sealed.0.clone().into(),
        key.public_jwk.clone().into(),
        key.created_at.into(),
        key.signs_from.into(),
        key.signs_until.into(),
        key.published_until.into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Every key that is published at a time, the newest first.
pub(crate) async fn published<C: ConnectionTrait>(on: &C, now: i64) -> Result<Vec<StoredKey>, DbErr> {
    let text = "SELECT kid, alg, private_sealed, public_jwk, created_at, signs_from, signs_until, published_until \
                FROM oauth2_signing_keys WHERE published_until IS NULL OR published_until > $1 \
                ORDER BY signs_from DESC, kid";
    let rows = on.query_all_raw(sql(on, text, [now.into()])).await?;
    rows.iter().map(key).collect()
}

/// The key of this name, published or not.
pub(crate) async fn by_kid<C: ConnectionTrait>(on: &C, kid: &str) -> Result<Option<StoredKey>, DbErr> {
    let text = "SELECT kid, alg, private_sealed, public_jwk, created_at, signs_from, signs_until, published_until \
                FROM oauth2_signing_keys WHERE kid = $1";
    let row = on.query_one_raw(sql(on, text, [kid.into()])).await?;
    row.as_ref().map(key).transpose()
}

fn key(row: &QueryResult) -> Result<StoredKey, DbErr> {
    Ok(StoredKey {
        kid: row.try_get("", "kid")?,
        alg: row.try_get("", "alg")?,
        public_jwk: row.try_get("", "public_jwk")?,
        created_at: row.try_get("", "created_at")?,
        signs_from: row.try_get("", "signs_from")?,
        signs_until: row.try_get("", "signs_until")?,
        published_until: row.try_get("", "published_until")?,
        sealed: Sealed(row.try_get("", "private_sealed")?),
    })
}

/// Lets the keys of an algorithm sign until one time and be published until another; those that end already stay.
pub(crate) async fn retire<C: ConnectionTrait>(
    on: &C,
    alg: &str,
    signs_until: i64,
    published_until: i64,
) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_signing_keys SET signs_until = $1, published_until = $2 \
                WHERE alg = $3 AND (signs_until IS NULL OR signs_until > $1)";
    on.execute_raw(sql(
        on,
        text,
        [signs_until.into(), published_until.into(), alg.into()],
    ))
    .await
    .map(|_| ())
}

/// Lets no key of an algorithm sign or be published any more, whatever was meant for it.
pub(crate) async fn discard<C: ConnectionTrait>(on: &C, alg: &str, now: i64) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_signing_keys SET published_until = $1, \
                signs_until = CASE WHEN signs_until < $1 THEN signs_until ELSE $1 END \
                WHERE alg = $2 AND (published_until IS NULL OR published_until > $1)";
    on.execute_raw(sql(on, text, [now.into(), alg.into()]))
        .await
        .map(|_| ())
}

/// Forgets the private half of keys that are published no more, and all of those that were last published `before`.
pub(crate) async fn purge<C: ConnectionTrait>(on: &C, now: i64, before: i64) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_signing_keys SET private_sealed = '' WHERE published_until <= $1 AND private_sealed <> ''";
    on.execute_raw(sql(on, text, [now.into()])).await?;
    let text = "DELETE FROM oauth2_signing_keys WHERE published_until <= $1";
    on.execute_raw(sql(on, text, [before.into()])).await.map(|_| ())
}

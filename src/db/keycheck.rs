//! Is this the key file that belongs to this database? A wrong key is refused at start, before anything is written.

use sea_orm::{ConnectionTrait, DbErr, Value};
use secrecy::{ExposeSecret, SecretString};

use super::{Db, sql};
use crate::crypto::{KeyRing, Place};

const WORD: &str = "mailgrant key check";

/// Why the key file does not fit the database.
#[derive(Debug, thiserror::Error)]
pub enum KeyCheckError {
    /// The database was sealed with a key that the file does not hold, or holds with another value.
    #[error(
        "the key file does not belong to this database: key {kid} is missing or different. Restore the key file that \
         was used with this database (MAILGRANT_KEY_FILE); nothing was changed"
    )]
    WrongKey {
        /// Id of the key the database wants.
        kid: String,
    },
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

/// Whether secrets were ever sealed in this database.
pub async fn has_key_checks(db: &Db) -> Result<bool, DbErr> {
    let row = db
        .read()
        .query_one_raw(sql(db.read(), "SELECT kid FROM key_checks LIMIT 1", []))
        .await?;
    Ok(row.is_some())
}

/// Refuses a key ring that cannot open what this database holds, and registers keys it has not seen.
pub async fn check_keys(db: &Db, keys: &KeyRing, now: i64) -> Result<(), KeyCheckError> {
    let rows = db
        .read()
        .query_all_raw(sql(db.read(), "SELECT kid, check_sealed FROM key_checks", []))
        .await?;
    let mut known = Vec::new();
    for row in rows {
        let kid: String = row.try_get("", "kid")?;
        let sealed: String = row.try_get("", "check_sealed")?;
        let opened = keys.open(&place(&kid), &sealed);
        if !opened.is_ok_and(|word| word.expose_secret() == WORD) {
            return Err(KeyCheckError::WrongKey { kid });
        }
        known.push(kid);
    }
    let kid = keys.active_kid();
    if !known.iter().any(|known| known == kid) {
        let sealed = keys.seal(&place(kid), &SecretString::from(WORD));
        let values: [Value; 3] = [kid.into(), sealed.into(), now.into()];
        let text = "INSERT INTO key_checks (kid, check_sealed, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        db.write().execute_raw(sql(db.write(), text, values)).await?;
    }
    Ok(())
}

fn place(kid: &str) -> Place<'_> {
    Place {
        table: "key_checks",
        column: "check_sealed",
        row: kid,
    }
}

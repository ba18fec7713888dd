//! Signing keys: one that signs for each algorithm, published before and after it does, made anew on a schedule.

use secrecy::SecretString;
use serde_json::{Value, json};

use super::error::OAuthError;
use super::metadata;
use super::store::keys::{self, StoredKey};
use crate::crypto::{self, ForeignAlg, SigningAlg, Unproven};
use crate::ctx::Ctx;
use crate::event::{self, NewEvent};

/// A key signs for so long.
const SIGNS_MS: i64 = 30 * 86_400_000;
/// A new key is published so long before it signs, so that clients that cache the key set know it by then.
const AHEAD_MS: i64 = 24 * 3_600_000;
/// A key stays published so long after it signed last: twice the longest life of a token.
const OVERLAP_MS: i64 = 2 * 24 * 3_600_000;
/// Its public half is known so long after that: applications keep ID tokens to sign people out with.
const KNOWN_MS: i64 = 400 * 86_400_000;

/// A signing key as shown to an admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Names it in tokens and in the key set.
    pub kid: String,
    /// `RS256`, `ES256` or `EdDSA`.
    pub alg: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub signs_from: i64,
    /// Milliseconds since 1970; none while nothing follows it.
    pub signs_until: Option<i64>,
    /// Milliseconds since 1970; none while it signs.
    pub published_until: Option<i64>,
}

impl KeyInfo {
    /// When its successor takes over by itself.
    pub fn due_at(&self) -> i64 {
        self.signs_until.unwrap_or(self.signs_from + SIGNS_MS)
    }

    /// Whether it signs at this time.
    pub fn signs_at(&self, now: i64) -> bool {
        self.signs_from <= now && self.signs_until.is_none_or(|end| now < end)
    }
}

fn info(key: &StoredKey) -> KeyInfo {
    KeyInfo {
        kid: key.kid.clone(),
        alg: key.alg.clone(),
        created_at: key.created_at,
        signs_from: key.signs_from,
        signs_until: key.signs_until,
        published_until: key.published_until,
    }
}

/// The published keys, the newest first.
pub async fn list(ctx: &Ctx) -> Result<Vec<KeyInfo>, sea_orm::DbErr> {
    Ok(keys::published(ctx.db.read(), ctx.clock.now_ms())
        .await?
        .iter()
        .map(info)
        .collect())
}

/// The key set (RFC 7517) for `/oauth2/jwks`. The first call makes the keys.
pub async fn jwks(ctx: &Ctx) -> Result<Value, OAuthError> {
    for alg in SigningAlg::ALL {
        signing(ctx, alg).await?;
    }
    let found = keys::published(ctx.db.read(), ctx.clock.now_ms()).await?;
    let set: Vec<Value> = found
        .iter()
        .filter_map(|key| serde_json::from_str(&key.public_jwk).ok())
        .collect();
    Ok(json!({ "keys": set }))
}

/// The present key of an algorithm, opened: what signs without asking the database again, inside a transaction too.
pub(super) struct Signer {
    alg: SigningAlg,
    kid: String,
    pem: SecretString,
}

impl Signer {
    /// Signs claims. `typ` is the token's type, such as `at+jwt`; empty for none.
    pub(super) fn sign(&self, typ: &str, claims: &Value) -> Result<String, OAuthError> {
        crypto::sign_jwt(self.alg, &self.kid, typ, &self.pem, claims).map_err(|error| broken(&error))
    }

    /// Its algorithm.
    pub(super) fn alg(&self) -> SigningAlg {
        self.alg
    }
}

/// The signer for an algorithm by its name. Not to be asked for inside a transaction: it may have to make a key.
pub(super) async fn signer(ctx: &Ctx, alg: &str) -> Result<Signer, OAuthError> {
    let alg = SigningAlg::parse(alg).unwrap_or(SigningAlg::Rs256);
    let key = signing(ctx, alg).await?;
    let pem = key.open(&ctx.keys).map_err(|error| broken(&error))?;
    Ok(Signer {
        alg,
        kid: key.kid,
        pem,
    })
}

/// An ID token of ours, however old: one of our published keys signed it, as this issuer. Access tokens, answers of
/// introspection and logout tokens are signed with the same keys, and are none. `None` for everything else.
pub(super) async fn id_token(ctx: &Ctx, token: &str) -> Result<Option<Unproven>, OAuthError> {
    let read = Unproven::read(token).filter(|read| read.typ() == "jwt");
    let Some((read, alg)) = read.and_then(|read| read.alg().map(|alg| (read, alg))) else {
        return Ok(None);
    };
    let found = keys::published(ctx.db.read(), ctx.clock.now_ms()).await?;
    let key = found.iter().find(|key| read.kid() == Some(key.kid.as_str()));
    let holds = key.is_some_and(|key| signed(&read, alg, key));
    let is_ours = read.text("iss") == Some(metadata::issuer(&ctx.config).as_str());
    Ok(Some(read).filter(|_| holds && is_ours))
}

/// An ID token of ours whose key is published no more. It says who it was about, and proves nothing: the key may have been
/// taken out because somebody else had it.
pub(super) async fn outlived(ctx: &Ctx, token: &str) -> Result<Option<Unproven>, OAuthError> {
    let Some(read) = Unproven::read(token).filter(|read| read.typ() == "jwt") else {
        return Ok(None);
    };
    let Some(alg) = read.alg() else {
        return Ok(None);
    };
    let known = keys::by_kid(ctx.db.read(), read.kid().unwrap_or_default()).await?;
    let holds = known.is_some_and(|key| signed(&read, alg, &key));
    let is_ours = read.text("iss") == Some(metadata::issuer(&ctx.config).as_str());
    Ok(Some(read).filter(|_| holds && is_ours))
}

fn signed(read: &Unproven, alg: ForeignAlg, key: &StoredKey) -> bool {
    let jwk: Value = serde_json::from_str(&key.public_jwk).unwrap_or_default();
    key.alg == alg.as_str() && read.is_signed_by(alg, &jwk)
}

/// Whether a key is still published.
pub(super) async fn is_published(ctx: &Ctx, kid: &str) -> Result<bool, sea_orm::DbErr> {
    let found = keys::published(ctx.db.read(), ctx.clock.now_ms()).await?;
    Ok(found.iter().any(|key| key.kid == kid))
}

fn broken(error: &dyn std::fmt::Display) -> OAuthError {
    tracing::error!(%error, "a signing key cannot be used");
    OAuthError {
        status: 500,
        ..OAuthError::new("server_error", "the server cannot sign now")
    }
}

/// The key of an algorithm that signs now, made if there is none.
async fn signing(ctx: &Ctx, alg: SigningAlg) -> Result<StoredKey, OAuthError> {
    let now = ctx.clock.now_ms();
    let of_alg = |found: Vec<StoredKey>| {
        found
            .into_iter()
            .find(|key| key.alg == alg.as_str() && info(key).signs_at(now))
    };
    if let Some(key) = of_alg(keys::published(ctx.db.read(), now).await?) {
        return Ok(key);
    }
    let made = make(ctx, alg, now).await?;
    let txn = ctx.db.begin().await?;
    // Of several that found none at once, one makes it: SQLite has one writer, PostgreSQL is asked to have one here.
    if ctx.db.is_postgres() {
        use sea_orm::ConnectionTrait;
        txn.execute_unprepared("LOCK TABLE oauth2_signing_keys IN SHARE ROW EXCLUSIVE MODE")
            .await?;
    }
    if let Some(key) = of_alg(keys::published(&txn, now).await?) {
        return Ok(key);
    }
    keys::insert(&txn, &made).await?;
    txn.commit().await?;
    Ok(made)
}

/// A key pair, made on a thread that may take its time.
async fn make(ctx: &Ctx, alg: SigningAlg, now: i64) -> Result<StoredKey, OAuthError> {
    let pem: SecretString = tokio::task::spawn_blocking(move || crypto::new_signing_key(alg))
        .await
        .map_err(|error| broken(&error))?
        .map_err(|error| broken(&error))?;
    let kid = crypto::random_token(9);
    let jwk = crypto::public_jwk(alg, &kid, &pem).map_err(|error| broken(&error))?;
    Ok(StoredKey::new(
        &ctx.keys,
        &kid,
        alg.as_str(),
        &pem,
        jwk.to_string(),
        now,
    ))
}

/// Gives every algorithm whose key is old a successor: published now, signing a day later. For a daily job.
pub async fn rotate_when_due(ctx: &Ctx) -> Result<(), OAuthError> {
    let now = ctx.clock.now_ms();
    keys::purge(ctx.db.write(), now, now - KNOWN_MS).await?;
    for alg in SigningAlg::ALL {
        let found = keys::published(ctx.db.read(), now).await?;
        let newest = found.iter().find(|key| key.alg == alg.as_str());
        if newest.is_some_and(|key| now - key.signs_from >= SIGNS_MS - AHEAD_MS) {
            replace(ctx, "system", alg, now + AHEAD_MS, Some(OVERLAP_MS)).await?;
        }
    }
    Ok(())
}

/// Makes every key anew at once. `discard` also stops publishing the old ones: for keys that may be in wrong hands;
/// every token they signed is refused from then on.
pub async fn rotate_now(ctx: &Ctx, actor: &str, discard: bool) -> Result<(), OAuthError> {
    let now = ctx.clock.now_ms();
    for alg in SigningAlg::ALL {
        replace(ctx, actor, alg, now, (!discard).then_some(OVERLAP_MS)).await?;
    }
    Ok(())
}

/// Lets a new key sign from a time on. `overlap` is how long the one before stays published; none for no key before it, those
/// that were replaced earlier included.
async fn replace(
    ctx: &Ctx,
    actor: &str,
    alg: SigningAlg,
    from: i64,
    overlap: Option<i64>,
) -> Result<(), OAuthError> {
    let now = ctx.clock.now_ms();
    let mut made = make(ctx, alg, now).await?;
    made.signs_from = from;
    let txn = ctx.db.begin().await?;
    match overlap {
        Some(overlap) => keys::retire(&txn, alg.as_str(), from, from + overlap).await?,
        None => keys::discard(&txn, alg.as_str(), from).await?,
    }
    keys::insert(&txn, &made).await?;
    let event = NewEvent {
        kind: "signing_key.rotated",
        project_id: "",
        subject_id: &made.kid,
        actor,
        data: json!({ "alg": alg.as_str() }),
    };
    event::append(&txn, &ctx.clock, event).await?;
    txn.commit().await?;
    Ok(())
}

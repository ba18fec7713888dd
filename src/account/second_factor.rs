//! The second factor: an authenticator app, and recovery codes for the day it is lost.
//!
//! The app's secret is sealed in the database, recovery codes are stored by their hash. A code counts once: the step of
//! the last one is kept, and a recovery code is marked when it is used.

use sea_orm::{DatabaseTransaction, DbErr};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::brake::Attempt;
use super::error::AccountError;
use super::model::User;
use super::{store, totp, user};
use crate::audit::{self, NewAuditEvent};
use crate::crypto::{self, Place};
use crate::ctx::Ctx;

/// Recovery codes somebody gets at once.
pub const RECOVERY_CODES: usize = 10;

/// That somebody has a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    /// Since when; milliseconds since 1970.
    pub since: i64,
    /// Recovery codes that were not used.
    pub codes_left: i64,
}

/// An authenticator app's secret that was offered and is not in force yet.
pub struct Offer {
    /// The secret, as people type it.
    pub secret: SecretString,
    /// The URI for the app.
    pub uri: SecretString,
    /// What the page sends back with the first code.
    pub sealed: String,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Offer")
    }
}

/// The second factor of a person, if they have one.
pub async fn second_factor(ctx: &Ctx, user_id: &str) -> Result<Option<SecondFactor>, DbErr> {
    let Some(row) = store::totp(ctx.db.read(), user_id).await? else {
        return Ok(None);
    };
    Ok(Some(SecondFactor {
        since: row.confirmed_at,
        codes_left: store::unused_codes(ctx.db.read(), user_id).await?,
    }))
}

/// The ids of everybody who has a second factor.
pub async fn with_second_factor(ctx: &Ctx) -> Result<Vec<String>, DbErr> {
    store::totp_users(ctx.db.read()).await
}

/// A new secret for a person's app, or the one that was offered before.
///
/// # Errors
/// [`AccountError::DeadOffer`] if `before` was not offered to this person.
pub fn offer(ctx: &Ctx, user: &User, before: Option<&str>) -> Result<Offer, AccountError> {
    let place = offer_place(&user.id);
    let secret = match before {
        Some(sealed) => ctx
            .keys
            .open(&place, sealed)
            .ok()
            .filter(|secret| !secret.expose_secret().is_empty())
            .ok_or(AccountError::DeadOffer)?,
        None => totp::new_secret(),
    };
    let host = ctx.config.base_url.host_str().unwrap_or("Mailgrant");
    Ok(Offer {
        uri: totp::uri(&secret, &format!("Mailgrant {host}"), &user.email),
        sealed: ctx.keys.seal(&place, &secret),
        secret,
    })
}

/// Puts an offered secret in force once the app shows its code: new recovery codes, shown here and never again.
///
/// # Errors
/// [`AccountError::DeadOffer`], [`AccountError::WrongCode`], [`AccountError::TooManyAttempts`].
pub async fn enrol(
    ctx: &Ctx,
    user: &User,
    sealed: &str,
    code: &str,
    address: &str,
) -> Result<Vec<SecretString>, AccountError> {
    let offer = offer(ctx, user, Some(sealed))?;
    let brake = Attempt::for_code(&user.id, address);
    brake.begin(&ctx.db, ctx.clock.now_ms()).await?;
    let step =
        totp::step_of(&offer.secret, &bare(code), ctx.clock.now_ms(), 0).ok_or(AccountError::WrongCode)?;
    brake.succeeded(&ctx.db).await?;
    let tx = ctx.db.begin().await?;
    store::hold_person(&tx, &user.id).await?;
    let sealed = ctx.keys.seal(&secret_place(&user.id), &offer.secret);
    store::set_totp(&tx, &user.id, &sealed, ctx.clock.now_ms(), step).await?;
    let codes = new_codes(&tx, ctx, &user.id).await?;
    user::append(&tx, &ctx.clock, "user.second_factor_added", &user.id, &user.id).await?;
    tx.commit().await?;
    Ok(codes)
}

/// New recovery codes; the old ones open nothing any more.
///
/// # Errors
/// [`AccountError::NotFound`] if the person has no second factor.
pub async fn renew_codes(ctx: &Ctx, user_id: &str) -> Result<Vec<SecretString>, AccountError> {
    let tx = ctx.db.begin().await?;
    // Of two at once, each would delete the old codes only, and both sets would open the account.
    store::hold_person(&tx, user_id).await?;
    if store::totp(&tx, user_id).await?.is_none() {
        return Err(AccountError::NotFound("second factor"));
    }
    let codes = new_codes(&tx, ctx, user_id).await?;
    user::append(&tx, &ctx.clock, "user.recovery_codes_made", user_id, user_id).await?;
    tx.commit().await?;
    Ok(codes)
}

async fn new_codes(tx: &DatabaseTransaction, ctx: &Ctx, user_id: &str) -> Result<Vec<SecretString>, DbErr> {
    let codes: Vec<SecretString> = (0..RECOVERY_CODES).map(|_| new_code()).collect();
    let hashes: Vec<String> = codes
        .iter()
        .map(|code| code_hash(user_id, &bare(code.expose_secret())))
        .collect();
    store::replace_codes(tx, user_id, &hashes, ctx.clock.now_ms()).await?;
    Ok(codes)
}

/// Eighty random bits in groups of four letters: enough that their plain hash tells nothing.
fn new_code() -> SecretString {
    let letters = totp::base32(&crypto::random_bytes::<10>()[..]).to_lowercase();
    let groups: Vec<&str> = (0..4).filter_map(|n| letters.get(n * 4..n * 4 + 4)).collect();
    SecretString::from(groups.join("-"))
}

/// Whether a person's app shows this code, or it is one of their recovery codes. Either counts once.
///
/// # Errors
/// [`AccountError::WrongCode`], [`AccountError::TooManyAttempts`].
pub async fn check_code(ctx: &Ctx, user_id: &str, code: &str, address: &str) -> Result<(), AccountError> {
    let now = ctx.clock.now_ms();
    let brake = Attempt::for_code(user_id, address);
    brake.begin(&ctx.db, now).await?;
    let code = bare(code);
    let tx = ctx.db.begin().await?;
    let is_right = if code.len() == 6 {
        match store::totp(&tx, user_id).await? {
            Some(row) => {
                let secret = ctx
                    .keys
                    .open(&secret_place(user_id), &row.secret_sealed)
                    .map_err(|error| AccountError::Sealed(error.to_string()))?;
                match totp::step_of(&secret, &code, now, row.last_step) {
                    // Of two requests with one code, one gets past this.
                    Some(step) => store::use_step(&tx, user_id, step).await?,
                    None => false,
                }
            }
            None => false,
        }
    } else {
        let used = store::use_code(&tx, user_id, &code_hash(user_id, &code), now).await?;
        if used {
            user::append(&tx, &ctx.clock, "user.recovery_code_used", user_id, user_id).await?;
        }
        used
    };
    if !is_right {
        let event = NewAuditEvent::new("session.refused", "user", user_id)
            .by(audit::NOBODY)
            .saying(json!({ "how": "code" }));
        audit::append(&tx, &ctx.clock, event).await?;
    }
    tx.commit().await?;
    if !is_right {
        return Err(AccountError::WrongCode);
    }
    brake.succeeded(&ctx.db).await?;
    Ok(())
}

/// Takes the second factor away. False if there was none.
pub async fn remove_second_factor(
    tx: &DatabaseTransaction,
    ctx: &Ctx,
    user_id: &str,
    actor: &str,
) -> Result<bool, AccountError> {
    let was = store::delete_totp(tx, user_id).await?;
    if was {
        user::append(tx, &ctx.clock, "user.second_factor_removed", user_id, actor).await?;
    }
    Ok(was)
}

/// A code without what people type around it.
fn bare(code: &str) -> String {
    code.chars()
        .filter(char::is_ascii_alphanumeric)
        .take(32)
        .collect::<String>()
        .to_lowercase()
}

fn code_hash(user_id: &str, code: &str) -> String {
    crypto::sha256_hex(format!("recovery code {user_id} {code}").as_bytes())
}

fn secret_place(user_id: &str) -> Place<'_> {
    Place {
        table: "totp_secrets",
        column: "secret_sealed",
        row: user_id,
    }
}

/// An offer is sealed for another place than a secret in force: a page's field is never taken for a row.
fn offer_place(user_id: &str) -> Place<'_> {
    Place {
        table: "totp_secrets",
        column: "offer",
        row: user_id,
    }
}

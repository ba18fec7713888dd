//! Between the first and the second factor: who showed the first, until when the second may follow. The browser holds a
//! random value, the table its hash; it is no session and opens no page.

use secrecy::{ExposeSecret, SecretString};

use super::error::AccountError;
use super::model::{Proof, User};
use super::second_factor::{self, Offer};
use super::sign_in;
use super::store;
use crate::config::{Config, SecondFactorFor};
use crate::crypto;
use crate::ctx::Ctx;

/// How long the second factor may take, minutes.
pub const STEP_MINUTES: i64 = 10;

/// What is asked for next.
#[derive(Debug)]
pub enum Asked {
    /// A code of the app, or a recovery code.
    Code,
    /// To set up an app: this site wants a second factor of this person, who has none.
    Enrolment(Box<Offer>),
}

/// A sign-in that waits for its second factor.
#[derive(Debug)]
pub struct Step {
    id: String,
    /// Who it is.
    pub user: User,
    /// What they showed so far.
    pub proof: Proof,
    /// Where they want to go.
    pub next: String,
    /// What is asked for.
    pub asked: Asked,
}

/// Whether this site wants a second factor of a person.
pub fn wants_second_factor(config: &Config, user: &User) -> bool {
    match config.require_second_factor {
        SecondFactorFor::Nobody => false,
        SecondFactorFor::Admins => user.is_site_admin,
        SecondFactorFor::Everybody => true,
    }
}

/// Whether a proof is enough to begin a session, or a second factor has to follow.
///
/// # Errors
/// The database failed.
pub async fn needs_step(ctx: &Ctx, user: &User, proof: &Proof) -> Result<bool, AccountError> {
    if proof.is_strong() {
        return Ok(false);
    }
    let has_one = second_factor::second_factor(ctx, &user.id).await?.is_some();
    Ok(has_one || wants_second_factor(&ctx.config, user))
}

/// Puts a sign-in aside until the second factor is shown: the value for the browser.
///
/// # Errors
/// [`AccountError::WrongCredentials`] if the password was changed meanwhile.
pub async fn begin_step(
    ctx: &Ctx,
    user: &User,
    proof: &Proof,
    next: &str,
) -> Result<SecretString, AccountError> {
    let value = crypto::random_token(32);
    let now = ctx.clock.now_ms();
    let has_one = second_factor::second_factor(ctx, &user.id).await?.is_some();
    let row = store::StepRow {
        id: crypto::sha256_hex(value.as_bytes()),
        user_id: user.id.clone(),
        proof: proof.clone(),
        next: next.to_owned(),
        offer: if has_one {
            String::new()
        } else {
            second_factor::offer(ctx, user, None)?.sealed
        },
        expires_at: now + STEP_MINUTES * 60_000,
    };
    let tx = ctx.db.begin().await?;
    sign_in::hold(&tx, user).await?;
    store::insert_step(&tx, &row, now).await?;
    tx.commit().await?;
    Ok(SecretString::from(value))
}

/// The sign-in that waits for this browser, if it still may go on.
///
/// # Errors
/// The database failed.
pub async fn step(ctx: &Ctx, value: &SecretString) -> Result<Option<Step>, AccountError> {
    let id = crypto::sha256_hex(value.expose_secret().as_bytes());
    let Some(row) = store::step(ctx.db.read(), &id, ctx.clock.now_ms()).await? else {
        return Ok(None);
    };
    let user = store::user(ctx.db.read(), &row.user_id).await?;
    let Some(user) = user.filter(User::is_active) else {
        return Ok(None);
    };
    let asked = if row.offer.is_empty() || second_factor::second_factor(ctx, &user.id).await?.is_some() {
        Asked::Code
    } else {
        Asked::Enrolment(Box::new(second_factor::offer(ctx, &user, Some(&row.offer))?))
    };
    Ok(Some(Step {
        id,
        user,
        proof: row.proof,
        next: row.next,
        asked,
    }))
}

/// Ends the waiting: the second factor was shown. Of two requests at once, one may go on.
///
/// # Errors
/// [`AccountError::DeadLink`] if it was over.
pub async fn finish_step(ctx: &Ctx, step: &Step) -> Result<Proof, AccountError> {
    if store::delete_step(ctx.db.write(), &step.id).await? {
        Ok(step.proof.clone().with_code())
    } else {
        Err(AccountError::DeadLink)
    }
}

//! Keeping grants alive.
//!
//! The order, for one grant: in this process one at a time (a mutex per grant); among processes one at a time (a
//! lease); read again, and use what somebody else fetched meanwhile; note that a refresh is under way; ask the
//! provider; store the new refresh token and the new access token in one statement, *if* the revision is still the one
//! that was read; only then hand the access token out. So a slow refresh never overwrites a newer grant, and no
//! rotated refresh token is lost to a crash after it was used.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::error::GrantError;
use super::model::{AccessToken, GrantState};
use super::store::{self, error_from, grants};
use crate::access::Projects;
use crate::ctx::Ctx;
use crate::db::{Claim, Lease, claim_one, release};
use crate::event;
use crate::integration::{self, Flow, Integration, IntegrationState};
use crate::oauth2_client::{TokenError, Tokens};
use crate::trouble::Trouble;

/// A token that ends within this time is refreshed before it is handed out.
const SKEW_MS: i64 = 60_000;
/// Longer than any exchange can take.
const LEASE_MS: i64 = 60_000;
/// The shortest and longest wait after a failure.
const BACKOFF_MIN_MS: i64 = 5_000;
const BACKOFF_MAX_MS: i64 = 3_600_000;
/// A mail server's refusals force at most one refresh in this time.
const FORCED_GAP_MS: i64 = 60_000;
/// How many grants are refreshed at once by one run.
const CONCURRENCY: usize = 8;
/// How many due grants one run takes.
const BATCH: u64 = 200;

/// A valid access token of a grant, refreshed first if it ends within 60 s.
pub async fn access_token(ctx: &Ctx, grant_id: &str) -> Result<SecretString, GrantError> {
    Ok(current_token(ctx, grant_id).await?.secret)
}

/// Like [`access_token`], with the revision that [`force_refresh`] wants.
pub async fn current_token(ctx: &Ctx, grant_id: &str) -> Result<AccessToken, GrantError> {
    let row = load(ctx, grant_id).await?;
    refuse_dead(&row)?;
    if !ends_soon(&row, ctx.clock.now_ms()) {
        return token(ctx, &row);
    }
    once(ctx, grant_id, Why::EndsSoon { seen: row.revision }).await
}

/// A new access token although the present one looks fresh: for when a mail server refused it. If the grant has moved
/// on from revision `seen`, its present token is given without asking the provider; and refusals that follow each other
/// within a minute, with no token accepted in between, force one refresh only.
pub async fn force_refresh(ctx: &Ctx, grant_id: &str, seen: i64) -> Result<AccessToken, GrantError> {
    let row = load(ctx, grant_id).await?;
    refuse_dead(&row)?;
    let just_forced = row
        .forced_at
        .is_some_and(|at| ctx.clock.now_ms() - at < FORCED_GAP_MS);
    if row.revision != seen || just_forced {
        return token(ctx, &row);
    }
    once(ctx, grant_id, Why::Refused { seen }).await
}

/// Refreshes now because a person asked: the button, a test run. Back-off does not hold it up.
pub async fn refresh_now(ctx: &Ctx, grant_id: &str) -> Result<AccessToken, GrantError> {
    let row = load(ctx, grant_id).await?;
    refuse_dead(&row)?;
    once(ctx, grant_id, Why::Asked { seen: row.revision }).await
}

/// The same of a grant that is still as it was seen: that somebody else refreshed it does not do.
///
/// # Errors
/// [`GrantError::Conflict`] beside those of a refresh.
pub async fn refresh_as_seen(ctx: &Ctx, grant_id: &str, seen: i64) -> Result<AccessToken, GrantError> {
    once(ctx, grant_id, Why::AskedAsSeen { seen }).await
}

/// Refreshes every grant that is due, a few at a time. What goes wrong with one is noted on that grant and does not
/// concern the others; only a database that fails ends the run.
pub async fn refresh_due(ctx: &Ctx) -> Result<usize, GrantError> {
    let now = ctx.clock.now_ms();
    let due = store::due(ctx.db.read(), now, BATCH).await?;
    let count = due.len();
    let mut running = futures_util::stream::iter(due)
        .map(|row| async move {
            let why = Why::Due { seen: row.revision };
            (once(ctx, &row.id, why).await, row.id)
        })
        .buffer_unordered(CONCURRENCY);
    while let Some((result, id)) = running.next().await {
        match result {
            Err(GrantError::Db(error)) => return Err(GrantError::Db(error)),
            Err(error) => tracing::warn!(grant = %id, error = %error, "grant not refreshed"),
            Ok(_) => tracing::debug!(grant = %id, "grant refreshed"),
        }
    }
    Ok(count)
}

/// Why a refresh is wanted, and the revision it is wanted for.
#[derive(Clone, Copy)]
enum Why {
    /// The timetable says so.
    Due { seen: i64 },
    /// Somebody wants a token and this one ends soon.
    EndsSoon { seen: i64 },
    /// A mail server refused the token.
    Refused { seen: i64 },
    /// A person pressed the button.
    Asked { seen: i64 },
    /// An app asked, of this revision and no other.
    AskedAsSeen { seen: i64 },
}

impl Why {
    fn seen(self) -> i64 {
        match self {
            Self::Due { seen }
            | Self::EndsSoon { seen }
            | Self::Refused { seen }
            | Self::Asked { seen }
            | Self::AskedAsSeen { seen } => seen,
        }
    }

    fn is_asked(self) -> bool {
        matches!(self, Self::Asked { .. } | Self::AskedAsSeen { .. })
    }
}

/// One mutex per grant that is being refreshed in this process. It is process-wide because what it guards, the row in
/// the database, is.
static FLIGHTS: LazyLock<Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>> =
    LazyLock::new(Mutex::default);

fn flight(grant_id: &str) -> Arc<tokio::sync::Mutex<()>> {
    let mut flights = FLIGHTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = flights.get(grant_id).and_then(Weak::upgrade) {
        return running;
    }
    flights.retain(|_, flight| flight.strong_count() > 0);
    let new = Arc::new(tokio::sync::Mutex::new(()));
    flights.insert(grant_id.to_owned(), Arc::downgrade(&new));
    new
}

/// One refresh of one grant at a time, in this process and among all.
async fn once(ctx: &Ctx, grant_id: &str, why: Why) -> Result<AccessToken, GrantError> {
    let flight = flight(grant_id);
    let _mine = flight.lock().await;
    // Dropping this future half-way (a cancelled request, a stopped job) must not lose a rotated token: the exchange
    // runs on its own.
    let task = {
        let (ctx, id) = (ctx.clone(), grant_id.to_owned());
        ctx.tasks
            .clone()
            .spawn(async move { leased(&ctx, &id, why).await })
    };
    task.await.unwrap_or_else(|_| {
        Err(GrantError::Transient {
            trouble: Trouble::new(
                "refresh_stopped",
                "The refresh was stopped half-way.",
                "Mailgrant tries again by itself.",
            ),
            retry_at: ctx.clock.now_ms() + BACKOFF_MIN_MS,
        })
    })
}

async fn leased(ctx: &Ctx, grant_id: &str, why: Why) -> Result<AccessToken, GrantError> {
    // 150 × 200 ms = 30 s: longer than another process's exchange takes.
    for _ in 0..150 {
        let row = load(ctx, grant_id).await?;
        if row.revision != why.seen() {
            return overtaken(ctx, &row, why);
        }
        refuse_dead(&row)?;
        let integration = integration::get(ctx, &Projects::All, &row.integration_id).await?;
        if let Some(early) = without_asking(ctx, &row, &integration, why)? {
            return Ok(early);
        }
        let claim = Claim {
            table: "grants",
            key: "id",
            due: "state = 'active'",
            holder: &ctx.holder,
            now: ctx.clock.now_ms(),
            lasts: LEASE_MS,
            limit: 1,
        };
        if let Some(lease) = claim_one(&ctx.db, &claim, grant_id).await? {
            return under_lease(ctx, &lease, &integration, why).await;
        }
        // Another process is at it. Its result is in the row as soon as there is one.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(GrantError::Transient {
        trouble: Trouble::new(
            "refresh_elsewhere",
            "Another process is refreshing this grant and has not finished.",
            "Mailgrant tries again by itself.",
        ),
        retry_at: ctx.clock.now_ms() + BACKOFF_MIN_MS,
    })
}

/// The grant is another one than a refresh was wanted for: whatever token it has now, unless that one and no other was
/// meant.
fn overtaken(ctx: &Ctx, row: &grants::Model, why: Why) -> Result<AccessToken, GrantError> {
    if matches!(why, Why::AskedAsSeen { .. }) {
        return Err(GrantError::Conflict);
    }
    refuse_dead(row)?;
    token(ctx, row)
}

/// What can be said without asking the provider: the integration is misconfigured, or it is too soon to try again.
fn without_asking(
    ctx: &Ctx,
    row: &grants::Model,
    integration: &Integration,
    why: Why,
) -> Result<Option<AccessToken>, GrantError> {
    let now = ctx.clock.now_ms();
    let asked = why.is_asked();
    let usable = matches!(why, Why::EndsSoon { .. }) && row.expires_at.is_none_or(|end| end > now);
    if integration.state == IntegrationState::Misconfigured && !asked {
        if usable {
            return token(ctx, row).map(Some);
        }
        let trouble = integration.trouble.clone().unwrap_or_default();
        return Err(GrantError::Misconfigured(trouble));
    }
    let retry_at = row.next_refresh_at.unwrap_or(now);
    if row.failures > 0 && retry_at > now && !asked {
        if usable {
            return token(ctx, row).map(Some);
        }
        let trouble = store::trouble_of(row).unwrap_or_default();
        return Err(GrantError::Transient { trouble, retry_at });
    }
    Ok(None)
}

async fn under_lease(
    ctx: &Ctx,
    lease: &Lease,
    integration: &Integration,
    why: Why,
) -> Result<AccessToken, GrantError> {
    let row = load(ctx, &lease.id).await?;
    if row.revision != why.seen() {
        release(&ctx.db, "grants", "id", lease).await?;
        return overtaken(ctx, &row, why);
    }
    let now = ctx.clock.now_ms();
    if !store::mark_refreshing(ctx.db.write(), &row.id, lease.number, now).await? {
        return overtaken(ctx, &load(ctx, &row.id).await?, why);
    }
    match ask(ctx, integration, &row).await {
        Ok(tokens) => store_tokens(ctx, row, tokens, why).await,
        Err(Asking::Provider(error)) => failed(ctx, lease, integration, row, error, why).await,
        Err(Asking::Ours(error)) => {
            release(&ctx.db, "grants", "id", lease).await?;
            Err(error)
        }
    }
}

enum Asking {
    Provider(TokenError),
    Ours(GrantError),
}

async fn ask(ctx: &Ctx, integration: &Integration, row: &grants::Model) -> Result<Tokens, Asking> {
    let client = integration::token_client(ctx, integration)
        .await
        .map_err(|error| Asking::Ours(error.into()))?;
    if row.flow == Flow::ClientCredentials.as_str() {
        return client
            .client_credentials(&integration.scopes)
            .await
            .map_err(Asking::Provider);
    }
    let refresh_token = store::open_refresh(&ctx.keys, row).map_err(|error| Asking::Ours(error.into()))?;
    if refresh_token.expose_secret().is_empty() {
        return Err(Asking::Provider(TokenError::GrantDead(no_refresh_token())));
    }
    // RFC 6749, section 6: not more than was granted.
    let scopes: Vec<String> = row.scopes.split_whitespace().map(str::to_owned).collect();
    client
        .refresh(&refresh_token, &scopes)
        .await
        .map_err(Asking::Provider)
}

async fn store_tokens(
    ctx: &Ctx,
    seen: grants::Model,
    tokens: Tokens,
    why: Why,
) -> Result<AccessToken, GrantError> {
    let now = ctx.clock.now_ms();
    let mut row = seen.clone();
    apply_tokens(ctx, &mut row, &tokens, now);
    if matches!(why, Why::Refused { .. }) {
        row.forced_at = Some(now);
    }
    row.failures = 0;
    // What the mail server said stays until it says otherwise.
    if row.error_from != error_from::MAIL_SERVER {
        store::set_trouble(&mut row, "", None, now);
    }
    row.revision = seen.revision + 1;
    row.lease_until = 0;
    if !store::replace(ctx.db.write(), &row, seen.revision).await? {
        // Reconnected or revoked meanwhile: what we got belongs to a grant that is no more.
        return overtaken(ctx, &load(ctx, &seen.id).await?, why);
    }
    Ok(AccessToken {
        secret: tokens.access_token,
        revision: row.revision,
        expires_at: row.expires_at,
    })
}

/// Puts an answer's tokens and dates into a row. No new refresh token keeps the old one.
pub(super) fn apply_tokens(ctx: &Ctx, row: &mut grants::Model, tokens: &Tokens, now: i64) {
    row.access_token_sealed = ctx.keys.seal(&store::access_place(&row.id), &tokens.access_token);
    if let Some(refresh) = &tokens.refresh_token {
        let same = store::open_refresh(&ctx.keys, row)
            .is_ok_and(|old| old.expose_secret() == refresh.expose_secret());
        if !same {
            row.refresh_token_sealed = ctx.keys.seal(&store::refresh_place(&row.id), refresh);
            row.refresh_token_at = now;
        }
    }
    if let Some(scopes) = &tokens.scopes {
        row.scopes = scopes.join(" ");
    }
    let life = ms(tokens.expires_in);
    row.expires_at = Some(now + life);
    if let Some(refresh_life) = tokens.refresh_expires_in {
        row.refresh_expires_at = Some(now + ms(refresh_life));
    } else if row.refresh_token_at == now {
        // A new refresh token of which nothing is said does not end when the old one did.
        row.refresh_expires_at = None;
    }
    let shortest = row.refresh_expires_at.map_or(life, |end| life.min(end - now));
    row.next_refresh_at = Some(now + refresh_delay(shortest));
    row.refreshed_at = now;
    row.refreshing_since = None;
    row.updated_at = now;
}

/// 80 % of a life, 5 % more or less, so that grants made together are not refreshed together. At least a second.
fn refresh_delay(life_ms: i64) -> i64 {
    let jitter = f64::from(rand::random::<u16>()) / f64::from(u16::MAX) * 0.1 - 0.05;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "milliseconds of at most ten years fit"
    )]
    let delay = (life_ms as f64 * (0.8 + jitter)) as i64;
    delay.max(1_000)
}

/// The wait after the n-th failure in a row: 5 s, doubling, at most an hour.
fn backoff_ms(failures: i64) -> i64 {
    let doublings = u32::try_from(failures.clamp(1, 20) - 1).unwrap_or(0);
    BACKOFF_MIN_MS
        .saturating_mul(1_i64 << doublings)
        .min(BACKOFF_MAX_MS)
}

async fn failed(
    ctx: &Ctx,
    lease: &Lease,
    integration: &Integration,
    row: grants::Model,
    error: TokenError,
    why: Why,
) -> Result<AccessToken, GrantError> {
    match error {
        TokenError::GrantDead(trouble) | TokenError::NeedsPerson(trouble) => dead(ctx, row, trouble).await,
        TokenError::ClientMisconfigured(trouble) => {
            integration::mark_misconfigured(ctx, &integration.id, integration.revision, &trouble).await?;
            // The grant stays as it is and due; once the integration is saved, it is tried at once.
            let mut kept = row.clone();
            kept.next_refresh_at = Some(ctx.clock.now_ms());
            kept.refreshing_since = None;
            kept.failures = 0;
            kept.lease_until = 0;
            store::replace(ctx.db.write(), &kept, row.revision).await?;
            Err(GrantError::Misconfigured(trouble))
        }
        TokenError::Transient {
            trouble,
            retry_after,
            answered,
        } => {
            let waited = transient(ctx, row, &trouble, retry_after, answered, why).await;
            release(&ctx.db, "grants", "id", lease).await?;
            waited
        }
    }
}

async fn dead(ctx: &Ctx, seen: grants::Model, trouble: Trouble) -> Result<AccessToken, GrantError> {
    let now = ctx.clock.now_ms();
    let trouble = match seen.refreshing_since {
        Some(since) => answer_lost(since, &trouble),
        None => trouble,
    };
    let mut row = seen.clone();
    GrantState::NeedsReauth.as_str().clone_into(&mut row.state);
    store::set_trouble(&mut row, error_from::REFRESH, Some(&trouble), now);
    row.next_refresh_at = None;
    row.refreshing_since = None;
    row.failures += 1;
    row.revision = seen.revision + 1;
    row.lease_until = 0;
    row.updated_at = now;
    let tx = ctx.db.begin().await?;
    if !store::replace(&tx, &row, seen.revision).await? {
        // Somebody else renewed or reconnected it: theirs is the truth.
        drop(tx);
        let newer = load(ctx, &seen.id).await?;
        refuse_dead(&newer)?;
        return token(ctx, &newer);
    }
    store::append(ctx, &tx, "grant.expired", &row.id, event::SYSTEM, json!(trouble)).await?;
    tx.commit().await?;
    Err(GrantError::NeedsReauth(trouble))
}

async fn transient(
    ctx: &Ctx,
    seen: grants::Model,
    trouble: &Trouble,
    retry_after: Option<Duration>,
    answered: bool,
    why: Why,
) -> Result<AccessToken, GrantError> {
    let now = ctx.clock.now_ms();
    let mut row = seen.clone();
    row.failures += 1;
    let wait = backoff_ms(row.failures)
        .max(retry_after.map_or(0, ms))
        .min(BACKOFF_MAX_MS);
    let retry_at = now + wait;
    row.next_refresh_at = Some(retry_at);
    store::set_trouble(&mut row, error_from::REFRESH, Some(trouble), now);
    // No legible answer: the provider may have rotated the token all the same. The mark stays until it is known.
    row.refreshing_since = if answered {
        None
    } else {
        seen.refreshing_since.or(Some(now))
    };
    row.lease_until = 0;
    row.updated_at = now;
    store::replace(ctx.db.write(), &row, seen.revision).await?;
    let usable = matches!(why, Why::EndsSoon { .. }) && row.expires_at.is_none_or(|end| end > now);
    if usable {
        return token(ctx, &row);
    }
    Err(GrantError::Transient {
        trouble: trouble.clone(),
        retry_at,
    })
}

async fn load(ctx: &Ctx, grant_id: &str) -> Result<grants::Model, GrantError> {
    store::row(ctx.db.read(), grant_id)
        .await?
        .ok_or(GrantError::NotFound)
}

fn token(ctx: &Ctx, row: &grants::Model) -> Result<AccessToken, GrantError> {
    Ok(AccessToken {
        secret: store::open_access(&ctx.keys, row)?,
        revision: row.revision,
        expires_at: row.expires_at,
    })
}

fn ends_soon(row: &grants::Model, now: i64) -> bool {
    row.expires_at.is_some_and(|end| end - now <= SKEW_MS)
}

fn refuse_dead(row: &grants::Model) -> Result<(), GrantError> {
    let trouble = || store::trouble_of(row).unwrap_or_default();
    match GrantState::parse(&row.state) {
        Some(GrantState::Active | GrantState::Expiring) => Ok(()),
        Some(GrantState::Revoked) => Err(GrantError::Revoked(trouble())),
        Some(GrantState::NeedsReauth) | None => Err(GrantError::NeedsReauth(trouble())),
    }
}

fn no_refresh_token() -> Trouble {
    Trouble::new(
        "no_refresh_token",
        "The grant has no refresh token, and its access token ended.",
        "Reconnect: the owner of the mailbox consents again.",
    )
}

fn answer_lost(since: i64, trouble: &Trouble) -> Trouble {
    Trouble::new(
        trouble.code.as_str(),
        format!(
            "The provider's answer to a refresh was lost at {}, and it no longer accepts the old refresh token: {}",
            crate::clock::rfc3339(since),
            trouble.cause
        ),
        trouble.remedy.as_str(),
    )
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_from_five_seconds_to_an_hour() {
        let waits: Vec<i64> = (1..=4).map(|n| backoff_ms(n) / 1000).collect();
        assert_eq!(waits, [5, 10, 20, 40]);
        assert_eq!(backoff_ms(50), BACKOFF_MAX_MS);
    }

    #[test]
    fn a_refresh_is_due_at_about_80_percent_of_life() {
        for _ in 0..200 {
            let delay = refresh_delay(3_600_000);
            assert!((2_690_000..=3_070_000).contains(&delay), "{delay}");
        }
    }
}

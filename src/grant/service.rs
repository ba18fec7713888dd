//! Reading grants, revoking them, and noting what mail servers say about them.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::error::GrantError;
use super::model::{Authorization, Grant, GrantState};
use super::store;
use crate::access::Projects;
use crate::ctx::Ctx;
use crate::event;
use crate::integration::{self, Integration};
use crate::trouble::Trouble;

/// What became of a revocation at the provider; here the tokens are gone in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// The provider revoked it too.
    AtProviderToo,
    /// No revocation endpoint is known: the owner can withdraw the consent in the account's settings.
    HereOnly,
    /// The provider did not accept the revocation; why.
    ProviderFailed(Trouble),
}

/// A page of the grants that these projects use, in order of making, after the id `after`.
pub async fn list(
    ctx: &Ctx,
    projects: &Projects,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<Grant>, GrantError> {
    let now = ctx.clock.now_ms();
    let rows = store::list(ctx.db.read(), projects, after, limit).await?;
    Ok(rows.into_iter().map(|row| store::to_model(row, now)).collect())
}

/// The grants of an integration that these projects use, in order of making.
pub async fn of_integration(
    ctx: &Ctx,
    projects: &Projects,
    integration_id: &str,
) -> Result<Vec<Grant>, GrantError> {
    let now = ctx.clock.now_ms();
    let rows = store::of_integration(ctx.db.read(), projects, integration_id).await?;
    Ok(rows.into_iter().map(|row| store::to_model(row, now)).collect())
}

/// One grant that these projects use: a mailbox of theirs reads with it, or it was made for them. Its events are read by
/// `event::of_subject`.
pub async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Grant, GrantError> {
    let row = store::visible_row(ctx.db.read(), projects, id)
        .await?
        .ok_or(GrantError::NotFound)?;
    Ok(store::to_model(row, ctx.clock.now_ms()))
}

/// One authorization.
pub async fn authorization(ctx: &Ctx, id: &str) -> Result<Authorization, GrantError> {
    let row = store::authorization_row(ctx.db.read(), id)
        .await?
        .ok_or(GrantError::NotFound)?;
    Ok(store::to_authorization(row, &ctx.keys, ctx.clock.now_ms())?)
}

/// Scopes asked for that were not granted. OpenID's own and `offline_access` do not count: providers leave them out
/// of the answer though they act on them.
pub fn scopes_missing(integration: &Integration, granted: &[String]) -> Vec<String> {
    let quiet = ["openid", "profile", "email", "offline_access"];
    let same = |a: &str, b: &str| {
        a.trim_end_matches('/')
            .eq_ignore_ascii_case(b.trim_end_matches('/'))
    };
    integration
        .scopes
        .iter()
        .filter(|asked| !quiet.contains(&asked.as_str()) && !asked.ends_with("/.default"))
        .filter(|asked| !granted.iter().any(|got| same(got, asked)))
        .cloned()
        .collect()
}

/// Revokes a grant: its tokens are wiped here, and revoked at the provider if its revocation endpoint is known
/// (RFC 7009). Of one revision only, if it is named.
pub async fn revoke(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    only: Option<i64>,
) -> Result<RevokeOutcome, GrantError> {
    let mut row = store::row(ctx.db.read(), id).await?.ok_or(GrantError::NotFound)?;
    // A refresh in between moves the revision: then the newer tokens are the ones to wipe.
    for _ in 0..10 {
        if only.is_some_and(|only| only != row.revision) {
            return Err(GrantError::Conflict);
        }
        if row.state == GrantState::Revoked.as_str() {
            return Ok(RevokeOutcome::HereOnly);
        }
        let seen = row.revision;
        let secret = secret_to_revoke(ctx, &row);
        if wipe(ctx, actor, row, seen).await? {
            return tell_provider(ctx, id, secret).await;
        }
        row = store::row(ctx.db.read(), id).await?.ok_or(GrantError::NotFound)?;
    }
    Err(GrantError::Transient {
        trouble: Trouble::new(
            "grant_busy",
            "The grant kept changing.",
            "Try again in a few seconds.",
        ),
        retry_at: ctx.clock.now_ms(),
    })
}

fn secret_to_revoke(ctx: &Ctx, row: &store::grants::Model) -> SecretString {
    let refresh = store::open_refresh(&ctx.keys, row).unwrap_or_default();
    if refresh.expose_secret().is_empty() {
        return store::open_access(&ctx.keys, row).unwrap_or_default();
    }
    refresh
}

async fn wipe(ctx: &Ctx, actor: &str, mut row: store::grants::Model, seen: i64) -> Result<bool, GrantError> {
    let now = ctx.clock.now_ms();
    GrantState::Revoked.as_str().clone_into(&mut row.state);
    row.access_token_sealed.clear();
    row.refresh_token_sealed.clear();
    row.expires_at = None;
    row.refresh_expires_at = None;
    row.next_refresh_at = None;
    row.refreshing_since = None;
    row.failures = 0;
    let trouble = Trouble::new(
        "revoked",
        "The grant was revoked here.",
        "Reconnect to use its mailboxes again.",
    );
    store::set_trouble(&mut row, store::error_from::REFRESH, Some(&trouble), now);
    row.revision = seen + 1;
    row.updated_at = now;
    let tx = ctx.db.begin().await?;
    if !store::replace(&tx, &row, seen).await? {
        return Ok(false);
    }
    store::append(
        ctx,
        &tx,
        "grant.revoked",
        &row.id,
        actor,
        json!({ "identity": row.identity }),
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

async fn tell_provider(ctx: &Ctx, id: &str, secret: SecretString) -> Result<RevokeOutcome, GrantError> {
    let grant = get(ctx, &Projects::All, id).await?;
    let integration = integration::get(ctx, &Projects::All, &grant.integration_id).await?;
    if integration.revocation_endpoint.is_empty() || secret.expose_secret().is_empty() {
        return Ok(RevokeOutcome::HereOnly);
    }
    let client = integration::token_client(ctx, &integration).await?;
    match client.revoke(&integration.revocation_endpoint, &secret).await {
        Ok(()) => Ok(RevokeOutcome::AtProviderToo),
        Err(error) => Ok(RevokeOutcome::ProviderFailed(error.trouble().clone())),
    }
}

/// Notes that a mail server refused a token of this grant although it was fresh. The grant keeps its state.
pub async fn note_imap_refusal(ctx: &Ctx, grant_id: &str, trouble: &Trouble) -> Result<(), GrantError> {
    let tx = ctx.db.begin().await?;
    if store::note_mail_server(&tx, grant_id, trouble, ctx.clock.now_ms()).await? {
        store::append(ctx, &tx, "grant.refused", grant_id, event::SYSTEM, json!(trouble)).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Notes that a mail server accepted a token of this grant. Writes only if there was something to forget: what it
/// said before, and that it had a refresh forced. So a consent that is revoked soon after is noticed at once.
pub async fn note_success(ctx: &Ctx, grant_id: &str) -> Result<(), GrantError> {
    let row = store::row(ctx.db.read(), grant_id)
        .await?
        .ok_or(GrantError::NotFound)?;
    if row.forced_at.is_some() {
        store::clear_forced(ctx.db.write(), grant_id).await?;
    }
    if row.error_from != store::error_from::MAIL_SERVER {
        return Ok(());
    }
    let tx = ctx.db.begin().await?;
    if store::clear_mail_server(&tx, grant_id, ctx.clock.now_ms()).await? {
        store::append(ctx, &tx, "grant.restored", grant_id, event::SYSTEM, json!({})).await?;
    }
    tx.commit().await?;
    Ok(())
}

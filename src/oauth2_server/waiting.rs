//! Checked requests for authorization that wait until somebody signed in and decided, each for the browser it came from.

use super::authorize::{Refused, ReturnTo};
use super::error::OAuthError;
use super::model::{AuthorizeRequest, Client, ClientState};
use super::store::tokens::{self, Interaction};
use super::{redirect, scope, store};
use crate::crypto::random_token;
use crate::ctx::Ctx;

/// Largest request that is kept, bytes.
pub(super) const MAX_KEPT: usize = 8_192;
/// How long a person may take to sign in and decide.
const INTERACTION_MS: i64 = 30 * 60_000;

/// Puts a request aside until the person signed in and decided. `browser` names the browser it came from: nobody else
/// can finish it.
pub async fn put_aside(
    ctx: &Ctx,
    client: &Client,
    request: AuthorizeRequest,
    browser: &str,
) -> Result<String, Refused> {
    let now = ctx.clock.now_ms();
    // Anybody can make us keep one: not more than a request is made of.
    let size = serde_json::to_vec(&request).map_or(usize::MAX, |text| text.len());
    if size > MAX_KEPT {
        return Err(Refused::Redirect(ReturnTo::of(&request), too_large()));
    }
    let pending = Interaction {
        id: format!("itx_{}", random_token(24)),
        client: client.id.clone(),
        request,
        browser: browser.to_owned(),
        created_at: now,
    };
    tokens::insert_interaction(ctx.db.write(), &pending, now + INTERACTION_MS).await?;
    Ok(pending.id)
}

/// A request that is too large to be kept.
pub(super) fn too_large() -> OAuthError {
    OAuthError::invalid_request(format!(
        "the request is larger than {MAX_KEPT} bytes; ask for less in claims"
    ))
}

/// A request that waits, as its page shows it.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The client that asks.
    pub client: Client,
    /// What it asks.
    pub request: AuthorizeRequest,
    /// When it came in, milliseconds since 1970.
    pub since: i64,
}

/// A request that was put aside by this browser.
///
/// # Errors
/// A page if it is unknown, over, answered already, or another browser's.
pub async fn pending(ctx: &Ctx, id: &str, browser: &str) -> Result<Pending, Refused> {
    let found = tokens::interaction(ctx.db.read(), id, ctx.clock.now_ms()).await?;
    complete(ctx, found, browser).await
}

/// The same, taken out: of two answers one counts.
pub async fn take(ctx: &Ctx, id: &str, browser: &str) -> Result<Pending, Refused> {
    let found = tokens::take_interaction(ctx.db.write(), id, browser, ctx.clock.now_ms()).await?;
    complete(ctx, found, browser).await
}

async fn complete(ctx: &Ctx, found: Option<Interaction>, browser: &str) -> Result<Pending, Refused> {
    let gone = || {
        Refused::Page(OAuthError {
            status: 403,
            ..OAuthError::new(
                "access_denied",
                "this request is over, was answered already, or was begun in another browser",
            )
        })
    };
    let found = found.filter(|found| found.browser == browser).ok_or_else(gone)?;
    let client = store::client(ctx.db.read(), &found.client).await?;
    // What the client may have and where it is answered can have changed since it asked.
    let client = client
        .filter(|client| {
            let request = &found.request;
            let is_answered = request.device.is_some()
                || redirect::matches(
                    client.application_type,
                    &client.redirect_uris,
                    &request.redirect_uri,
                );
            client.state == ClientState::Approved
                && is_answered
                && scope::covers(&client.scopes, &request.asked_scopes())
        })
        .ok_or_else(gone)?;
    Ok(Pending {
        client,
        request: found.request,
        since: found.created_at,
    })
}

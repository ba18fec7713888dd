//! What is given to a client now: shown to its admin, and ended one by one.

use super::client::{ClientError, get, note};
use super::model::ClientSession;
use super::store::{sessions, tokens};
use crate::ctx::Ctx;

/// The sessions of a client that are alive, the newest first. `before` is the last one of the part before this one.
pub async fn list(
    ctx: &Ctx,
    client: &str,
    before: Option<&str>,
    limit: u64,
) -> Result<Vec<ClientSession>, ClientError> {
    let now = ctx.clock.now_ms();
    Ok(sessions::of_client(ctx.db.read(), client, before, limit, now).await?)
}

/// One session of a client that is alive.
pub async fn one(ctx: &Ctx, client: &str, id: &str) -> Result<ClientSession, ClientError> {
    let now = ctx.clock.now_ms();
    sessions::one_of_client(ctx.db.read(), client, id, now)
        .await?
        .ok_or(ClientError::NotFound)
}

/// Ends one session of a client: all its tokens, at once. The consent stays; the next request asks nobody.
pub async fn end(ctx: &Ctx, actor: &str, client: &str, family: &str) -> Result<(), ClientError> {
    let found = get(ctx, client).await?;
    let txn = ctx.db.begin().await?;
    let family = tokens::lock_family(&txn, family)
        .await?
        .filter(|family| family.client == found.id && family.revoked_at.is_none())
        .ok_or(ClientError::NotFound)?;
    tokens::revoke_family(&txn, &family.id, ctx.clock.now_ms(), "revoked_by_admin").await?;
    note(ctx, &txn, "client.tokens_revoked", actor, &found).await?;
    txn.commit().await?;
    Ok(())
}

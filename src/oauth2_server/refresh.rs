//! Refresh tokens: each is good once. What it means when one comes back is judged here; everything happens under the lock of
//! its family.

use sea_orm::DatabaseTransaction;
use secrecy::ExposeSecret;
use serde_json::json;

use super::error::OAuthError;
use super::issue::{Issued, Issuer, REFRESH_PREFIX};
use super::model::{Client, Family, TokenFormat};
use super::scope;
use super::store::tokens;
use super::token::{Fields, allowed_until, reuse_event};
use crate::account;
use crate::crypto::{is_prefixed, sha256_hex};
use crate::ctx::Ctx;
use crate::event::{self, NewEvent, SYSTEM};

/// A refresh token that was replaced unused may come back so long without ending its family: two answers were under
/// way at once.
const DEAD_SIBLING_GRACE_MS: i64 = 60_000;
/// Where access tokens may be used without our seeing it, a lost answer is believed for so long.
const UNSEEN_USE_MS: i64 = 24 * 3_600_000;

impl Issuer<'_> {
    /// Answers a refresh token with its successor.
    pub(super) async fn refresh(&self, fields: &Fields) -> Result<Issued, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        let dead =
            || OAuthError::invalid_grant("the refresh token is wrong, over, revoked, or not this client's");
        let sent = fields.required("refresh_token")?;
        if !is_prefixed(REFRESH_PREFIX, sent) {
            return Err(dead());
        }
        let hash = sha256_hex(sent.as_bytes());
        let now = ctx.clock.now_ms();
        let txn = ctx.db.begin().await?;
        let Some(seen) = tokens::refresh(&txn, &hash).await? else {
            return Err(dead());
        };
        let Some(family) = tokens::lock_family(&txn, &seen.family_id).await? else {
            return Err(dead());
        };
        // Read again under the family's lock: another request may have rotated it meanwhile.
        let Some(row) = tokens::refresh(&txn, &hash).await? else {
            return Err(dead());
        };
        if family.client != client.id {
            // Somebody else has it. Who owns it loses nothing: anybody who saw one could end the other's session by it.
            foreign_event(ctx, &txn, &family, client).await?;
            txn.commit().await?;
            return Err(dead());
        }
        if family.revoked_at.is_some() || family.expires_at <= now || row.expires_at <= now {
            return Err(dead());
        }
        // What was begun with a key goes on with one; of a client that cannot prove itself otherwise, with the same one
        // (RFC 9449, section 5).
        let is_held = match family.jkt.as_str() {
            "" => true,
            _ if client.is_confidential() => !self.jkt.is_empty(),
            jkt => jkt == self.jkt,
        };
        if !is_held {
            return Err(OAuthError::invalid_grant(
                "the refresh token is bound to a key: send a proof made with it",
            ));
        }
        if !still_may(&txn, client, &family, now).await? {
            txn.commit().await?;
            return Err(dead());
        }
        let scopes = narrowed(fields, &family)?;
        match judge(&txn, client, &row, now).await? {
            Judgement::Rotate { unused } => {
                if let Some(unused) = unused {
                    tokens::set_refresh(&txn, &unused, "dead", "", now).await?;
                    tokens::revoke_siblings(&txn, &unused, now).await?;
                }
                let mut issued = self.issue(&txn, &family, &scopes, true).await?;
                let successor = issued
                    .refresh_token
                    .as_ref()
                    .map(|token| sha256_hex(token.expose_secret().as_bytes()))
                    .unwrap_or_default();
                tokens::set_refresh(&txn, &row.hash, "rotated", &successor, now).await?;
                txn.commit().await?;
                if !family.user_id.is_empty() && scope::covers(&scopes, &["openid".to_owned()]) {
                    // Of the same sign-in, and without the nonce of its first one (OpenID Connect Core, section 12.2).
                    self.add_id_token(&mut issued, &family, None).await?;
                }
                Ok(issued)
            }
            Judgement::Late => Err(dead()),
            Judgement::Stolen => {
                tokens::revoke_family(&txn, &family.id, now, "refresh_token_reused").await?;
                reuse_event(ctx, &txn, &family.id, &family.user_id, "refresh_token").await?;
                txn.commit().await?;
                Err(dead())
            }
        }
    }
}

/// Whether the person may still be spoken for: by their consent, or, where an issuer vouched for them and nobody was asked,
/// for as long as the issuer is trusted.
async fn still_may(
    txn: &DatabaseTransaction,
    client: &Client,
    family: &Family,
    now: i64,
) -> Result<bool, OAuthError> {
    match tokens::assertion_holds(txn, &family.id).await? {
        None => Ok(allowed_until(txn, client, &family.user_id, now, None)
            .await?
            .is_some()),
        Some(is_trusted) => {
            let user = account::read_in(txn, &family.user_id).await?;
            Ok(is_trusted && user.is_some_and(|user| user.is_active()))
        }
    }
}

/// What a refresh token that is known means.
enum Judgement {
    /// It gets a successor; one that was given before and never used dies.
    Rotate { unused: Option<String> },
    /// It was replaced unused a moment ago: nothing happens.
    Late,
    /// It came back after its successor was used: two have it.
    Stolen,
}

async fn judge(
    txn: &DatabaseTransaction,
    client: &Client,
    row: &tokens::RefreshRow,
    now: i64,
) -> Result<Judgement, OAuthError> {
    Ok(match row.state.as_str() {
        "live" => Judgement::Rotate { unused: None },
        "rotated" => {
            let is_too_late = client.token_format == TokenFormat::Jwt && now - row.changed_at > UNSEEN_USE_MS;
            let successor = tokens::refresh(txn, &row.successor).await?;
            match successor {
                Some(next) if next.state == "live" && next.arrived_at.is_none() && !is_too_late => {
                    Judgement::Rotate {
                        unused: Some(next.hash),
                    }
                }
                _ => Judgement::Stolen,
            }
        }
        _ if now - row.changed_at <= DEAD_SIBLING_GRACE_MS => Judgement::Late,
        _ => Judgement::Stolen,
    })
}

fn narrowed(fields: &Fields, family: &Family) -> Result<Vec<String>, OAuthError> {
    match fields.get("scope") {
        None => Ok(family.scopes.clone()),
        Some(asked) => {
            let scopes = scope::parse(asked, &family.scopes)?;
            if scopes.is_empty() {
                return Err(OAuthError::invalid_scope("scope is empty"));
            }
            Ok(scopes)
        }
    }
}

async fn foreign_event(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    family: &Family,
    by: &Client,
) -> Result<(), OAuthError> {
    // Whoever has one can send it as often as they like: the first time says it all.
    if event::is_noted(txn, "token.foreign", &family.id).await? {
        return Ok(());
    }
    let event = NewEvent {
        kind: "token.foreign",
        project_id: "",
        subject_id: &family.id,
        actor: SYSTEM,
        data: json!({ "userId": family.user_id, "client": family.client, "sentBy": by.id }),
    };
    event::append(txn, &ctx.clock, event).await?;
    Ok(())
}

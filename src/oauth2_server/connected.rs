//! Applications that act in somebody's name, as that person sees them, and the end of what they were given.

use sea_orm::ConnectionTrait;

use super::model::{Client, Consent};
use super::store::{self, requests, tokens};
use crate::account;
use crate::audit::{self, NewAuditEvent};
use crate::ctx::Ctx;

/// An application that acts in somebody's name.
#[derive(Clone, Debug)]
pub struct ConnectedApp {
    /// The application.
    pub client: Client,
    /// What they allowed, or what it was given without a question.
    pub allowed: Consent,
    /// Whether they were asked: not by an application of the house, nor where an issuer vouched for them.
    pub was_asked: bool,
}

/// The apps that act in somebody's name, those they allowed first.
pub async fn connected_apps(ctx: &Ctx, user_id: &str) -> Result<Vec<ConnectedApp>, sea_orm::DbErr> {
    apps_in(ctx.db.read(), ctx.clock.now_ms(), user_id).await
}

/// The same on the caller's connection.
async fn apps_in<C: ConnectionTrait>(
    on: &C,
    now: i64,
    user_id: &str,
) -> Result<Vec<ConnectedApp>, sea_orm::DbErr> {
    let asked = tokens::consents_of(on, user_id, now).await?;
    let mut unasked = tokens::given_to_apps(on, user_id, now).await?;
    unasked.retain(|given| !asked.iter().any(|consent| consent.client == given.client));
    let mut apps = Vec::new();
    let all = asked.into_iter().map(|consent| (consent, true));
    for (mut allowed, was_asked) in all.chain(unasked.into_iter().map(|given| (given, false))) {
        if let Some(client) = store::client(on, &allowed.client).await? {
            // A project's own application reaches that project, whatever was allowed.
            if !client.project_id.is_empty() {
                allowed.projects = vec![client.project_id.clone()];
            }
            apps.push(ConnectedApp {
                client,
                allowed,
                was_asked,
            });
        }
    }
    Ok(apps)
}

/// Takes back what somebody allowed an application, or what it was given without a question: every token of it in their
/// name ends at once. False if there was nothing.
pub async fn disconnect(ctx: &Ctx, user_id: &str, client: &str) -> Result<bool, sea_orm::DbErr> {
    disconnect_if(ctx, user_id, client, |_| true).await
}

/// The same if the app is still as whoever asks saw it; false otherwise too.
pub async fn disconnect_if(
    ctx: &Ctx,
    user_id: &str,
    client: &str,
    is_as_seen: impl Fn(&ConnectedApp) -> bool + Send,
) -> Result<bool, sea_orm::DbErr> {
    let txn = ctx.db.begin().await?;
    // Whatever gives an app something holds the person as well: what is read now stays until the end.
    account::hold_person(&txn, user_id).await?;
    let now = ctx.clock.now_ms();
    let apps = apps_in(&txn, now, user_id).await?;
    if apps.iter().any(|app| app.client.id == client && !is_as_seen(app)) {
        return Ok(false);
    }
    // Families before the consent: a refresh takes them in this order as well.
    let had_tokens = end_given(&txn, user_id, Some(client), now, "consent_revoked").await?;
    let found = tokens::delete_consent(&txn, user_id, client).await? || had_tokens;
    if found {
        let noted = NewAuditEvent::new("consent.revoked", "client", client).by(user_id);
        audit::append(&txn, &ctx.clock, noted).await?;
    }
    txn.commit().await?;
    Ok(found)
}

/// Ends what a person gave, all of it: their password changed, or their account was switched off. In the transaction that
/// does that.
pub async fn end_all_of_user<C: ConnectionTrait>(
    on: &C,
    now: i64,
    user_id: &str,
    why: &str,
) -> Result<(), sea_orm::DbErr> {
    end_given(on, user_id, None, now, why).await.map(|_| ())
}

/// Ends what a person gave: tokens, codes, and devices that wait for theirs. Of one client, or of all. True if there were
/// tokens. The caller holds the person ([`account::hold_person`]).
pub(super) async fn end_given<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    client: Option<&str>,
    now: i64,
    why: &str,
) -> Result<bool, sea_orm::DbErr> {
    let had_tokens = tokens::revoke_families_of_user(on, user_id, client, now, why).await?;
    tokens::delete_codes_of(on, user_id, client).await?;
    requests::deny_devices_of(on, user_id, client).await?;
    Ok(had_tokens)
}

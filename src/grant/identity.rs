//! Who consented: what the provider says of the account, and whether it is the one that was meant.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::CallbackError;
use super::store::grants;
use crate::ctx::Ctx;
use crate::integration::Integration;
use crate::oauth2_client::{IdClaims, Provider, Tokens};
use crate::trouble::Trouble;

/// Who consented.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) shown: String,
    pub(super) subject: String,
    /// Every name under which the provider vouches for the account.
    pub(super) names: Vec<String>,
}

/// Who consented: by the ID token; by the userinfo endpoint where that is missing or, as OpenID Connect allows, names
/// nobody; else unknown.
pub(super) async fn identity(ctx: &Ctx, integration: &Integration, tokens: &Tokens) -> Identity {
    let told = tokens
        .claims
        .as_ref()
        .map(|claims| of_claims(integration.provider, claims));
    if let Some(told) = told.as_ref().filter(|told| !told.names.is_empty()) {
        return told.clone();
    }
    let asked = userinfo(ctx, integration, tokens).await;
    let asked = asked.map(|claims| of_claims(integration.provider, &claims));
    match (told, asked) {
        // Answers about somebody else than the ID token are not taken (OpenID Connect Core 1.0, section 5.3.2).
        (Some(told), Some(asked)) if told.subject == asked.subject => asked,
        (Some(told), _) => told,
        (None, asked) => asked.unwrap_or_default(),
    }
}

async fn userinfo(ctx: &Ctx, integration: &Integration, tokens: &Tokens) -> Option<IdClaims> {
    if integration.userinfo_endpoint.is_empty() {
        return None;
    }
    let bearer = SecretString::from(format!("Bearer {}", tokens.access_token.expose_secret()));
    let headers = [
        ("authorization", bearer.expose_secret()),
        ("accept", "application/json"),
    ];
    let http = ctx.dialer.http().with_body_limit(64 * 1024);
    let answer = http.get(&integration.userinfo_endpoint, &headers).await.ok()?;
    if answer.status != 200 {
        return None;
    }
    let claims: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(IdClaims::of_json(&claims)).filter(|claims| !claims.sub.is_empty())
}

fn of_claims(provider: Provider, claims: &IdClaims) -> Identity {
    // An address the provider itself says is unchecked is nobody's name.
    let email = Some(&claims.email).filter(|_| claims.email_verified != Some(false));
    let username = Some(&claims.username);
    // Microsoft's sign-in name is also the login name of the mailbox; its email claim can be set freely.
    let order = match provider {
        Provider::Microsoft => [username, email],
        Provider::Google | Provider::Custom => [email, username],
    };
    let mut names: Vec<String> = order
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
        .cloned()
        .collect();
    if names.is_empty() && claims.sub.contains('@') {
        // Small servers have nothing but the subject, and it is the address.
        names.push(claims.sub.clone());
    }
    Identity {
        shown: names.first().unwrap_or(&claims.sub).clone(),
        subject: claims.sub.clone(),
        names,
    }
}

pub(super) fn check_expected(expected: &str, identity: &Identity) -> Result<(), CallbackError> {
    if expected.is_empty()
        || identity
            .names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(expected))
    {
        return Ok(());
    }
    if identity.names.is_empty() {
        return Err(CallbackError::Refused(Trouble::new(
            "identity_unknown",
            format!("The provider does not say who consented, and {expected} was expected."),
            "Add the scopes openid and email to the integration, or start without an expected identity.",
        )));
    }
    Err(CallbackError::Refused(Trouble::new(
        "identity_unexpected",
        format!(
            "{} consented, but {expected} was expected. Nothing was kept.",
            identity.shown
        ),
        "Start again and sign in at the provider as the expected account; sign out there first if need be.",
    )))
}

/// Whether the account that consented is the one the grant is pinned to. A grant whose account was never known takes
/// any; one whose account is known takes no unknown.
pub(super) fn is_same_account(pinned: &grants::Model, identity: &Identity) -> bool {
    if !pinned.subject.is_empty() && !identity.subject.is_empty() {
        return pinned.subject == identity.subject;
    }
    if pinned.identity.is_empty() {
        return true;
    }
    identity
        .names
        .iter()
        .any(|name| name.eq_ignore_ascii_case(&pinned.identity))
}

//! Clients that register and manage themselves (RFC 7591, RFC 7592; OpenID Connect Dynamic Registration).
//!
//! What keeps it from being a way in: without an initial access token registration is closed unless the operator opened
//! it; a registered client waits for an admin unless the token said otherwise; it never gets more scopes than the token
//! allowed, never leaves the consent page out, and what it changes of itself afterwards makes it wait again.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::client::{self, By, ClientError, NewClient, Registered};
use super::client_addresses;
use super::client_metadata::{self, Asked, Invalid};
use super::error::OAuthError;
use super::initial_tokens::{INITIAL_PREFIX, hash};
use super::model::{Client, ClientAuth, ClientFields, ClientState};
use super::store::{self, registrations};
use crate::crypto::{is_prefixed, new_prefixed};
use crate::ctx::Ctx;
use crate::event::SYSTEM;

/// Prefix of registration access tokens.
pub const MANAGE_PREFIX: &str = "mg_rat_";

/// Scopes of clients that registered without an initial access token.
const OPEN_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];
/// Clients that may wait for an admin after open registration.
const MAX_WAITING: i64 = 500;
/// Nobody approved it for so long: it is removed.
const FORGOTTEN_MS: i64 = 30 * 86_400_000;
/// The actor of what clients do to themselves without an initial access token.
const ITSELF: &str = "registration";

/// Whether a client registered itself.
pub async fn registered_itself(ctx: &Ctx, client: &str) -> Result<bool, sea_orm::DbErr> {
    Ok(registrations::of_client(ctx.db.read(), client).await?.is_some())
}

/// What a registration may hold.
struct Limits {
    project_id: String,
    scopes: Vec<String>,
    approves: bool,
    initial_token: String,
}

/// Registers a client by what it says of itself.
///
/// # Errors
/// `invalid_token` (401) without a good initial access token where one is needed, `invalid_redirect_uri` and
/// `invalid_client_metadata` for what it says.
pub async fn register(ctx: &Ctx, token: Option<&SecretString>, asked: &Value) -> Result<Value, OAuthError> {
    // Who asks comes first: nobody without a token makes us look names up or fetch anything.
    let limits = limits(ctx, token).await?;
    let asked = client_metadata::read(asked)?;
    client_addresses::check_addresses(ctx, &asked).await?;
    let mut fields = ClientFields::default();
    apply(&mut fields, &asked, &limits.scopes)?;
    if limits.initial_token.is_empty() && !limits_open(&fields) {
        return Err(metadata_error(
            "without an initial access token only applications that people sign in to can be registered",
        ));
    }
    fields.state = match limits.approves {
        true => ClientState::Approved,
        false => ClientState::Pending,
    };
    let actor = actor(&limits);
    let new = NewClient {
        fields,
        project_id: limits.project_id.clone(),
        ..NewClient::default()
    };
    let prepared = client::prepare(ctx, actor, new).map_err(refused)?;
    let manage = new_prefixed(MANAGE_PREFIX);
    let txn = ctx.db.begin().await?;
    if let Some(token) = token.filter(|_| !limits.initial_token.is_empty()) {
        // Only now, when nothing else can go wrong: a mistake costs no use.
        if registrations::use_token(&txn, &hash(token), ctx.clock.now_ms())
            .await?
            .is_none()
        {
            return Err(no_token());
        }
    }
    let Registered { client, secret } = client::insert(ctx, &txn, actor, prepared)
        .await
        .map_err(refused)?;
    let registration = registrations::Registration {
        client: client.id.clone(),
        token_hash: hash(&manage),
        initial_token: limits.initial_token,
        scope_limit: limits.scopes,
        approves: limits.approves,
        created_at: client.created_at,
    };
    registrations::insert(&txn, &registration).await?;
    txn.commit().await?;
    Ok(answer(ctx, &client, secret.as_ref(), &manage))
}

/// Whether these fields are ones that anybody may register.
fn limits_open(fields: &ClientFields) -> bool {
    use super::model::GrantType;
    fields
        .grant_types
        .iter()
        .all(|grant| matches!(grant, GrantType::AuthorizationCode | GrantType::RefreshToken))
}

fn actor(limits: &Limits) -> &str {
    match limits.initial_token.as_str() {
        "" => ITSELF,
        id => id,
    }
}

fn no_token() -> OAuthError {
    OAuthError {
        status: 401,
        ..OAuthError::new(
            "invalid_token",
            "registration needs an initial access token that is good: unknown, over, used up or revoked",
        )
    }
}

async fn limits(ctx: &Ctx, token: Option<&SecretString>) -> Result<Limits, OAuthError> {
    let Some(token) = token else {
        if !ctx.config.open_registration {
            return Err(no_token());
        }
        if registrations::waiting(ctx.db.read()).await? >= MAX_WAITING {
            return Err(OAuthError {
                status: 503,
                ..OAuthError::new(
                    "temporarily_unavailable",
                    "too many clients wait for an admin; try again later",
                )
            });
        }
        return Ok(Limits {
            project_id: String::new(),
            scopes: OPEN_SCOPES.map(str::to_owned).to_vec(),
            approves: false,
            initial_token: String::new(),
        });
    };
    if !is_prefixed(INITIAL_PREFIX, token.expose_secret()) {
        return Err(no_token());
    }
    let now = ctx.clock.now_ms();
    let found = registrations::token_by_hash(ctx.db.read(), &hash(token)).await?;
    let found = found.filter(|found| found.is_live(now)).ok_or_else(no_token)?;
    Ok(Limits {
        project_id: found.project_id,
        scopes: found.scopes,
        approves: found.approves,
        initial_token: found.id,
    })
}

/// Puts what a client says of itself onto its fields: what it does not name is as if it were registered anew.
fn apply(fields: &mut ClientFields, asked: &Asked, limit: &[String]) -> Result<(), OAuthError> {
    let scopes = match &asked.scope {
        Some(text) => {
            let scopes: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            if let Some(beyond) = scopes.iter().find(|value| !limit.contains(value)) {
                return Err(metadata_error(&format!(
                    "the scope {beyond} cannot be registered here"
                )));
            }
            scopes
        }
        None => limit.to_vec(),
    };
    fields.scopes = scopes;
    asked.onto(fields);
    Ok(())
}

fn metadata_error(text: &str) -> OAuthError {
    OAuthError::new("invalid_client_metadata", text)
}

fn refused(error: ClientError) -> OAuthError {
    match error {
        ClientError::Invalid(errors) => {
            let of_uri = errors.iter().find(|error| error.field == "redirectUris");
            let code = match of_uri {
                Some(_) => "invalid_redirect_uri",
                None => "invalid_client_metadata",
            };
            let first = of_uri.or_else(|| errors.first());
            OAuthError::new(code, first.map_or("", |error| error.message.as_str()))
        }
        ClientError::Db(error) => error.into(),
        other => metadata_error(&other.to_string()),
    }
}

impl From<Invalid> for OAuthError {
    fn from(invalid: Invalid) -> Self {
        Self::new(invalid.code, invalid.text)
    }
}

/// The answer of RFC 7591, section 3.2.1.
fn answer(ctx: &Ctx, client: &Client, secret: Option<&SecretString>, manage: &SecretString) -> Value {
    let mut members: Map<String, Value> = client_metadata::show(client);
    members.insert("client_id".into(), client.client_id.clone().into());
    members.insert("client_id_issued_at".into(), (client.created_at / 1000).into());
    if let Some(secret) = secret {
        members.insert("client_secret".into(), secret.expose_secret().into());
        // They end when somebody rotates them, not by themselves.
        members.insert("client_secret_expires_at".into(), 0.into());
    }
    members.insert("registration_access_token".into(), manage.expose_secret().into());
    let address = ctx.config.url(&format!("/oauth2/register/{}", client.client_id));
    members.insert("registration_client_uri".into(), address.into());
    members.insert("mailgrant_state".into(), client.state.as_str().into());
    Value::Object(members)
}

/// The client that a registration access token manages.
async fn managed(
    ctx: &Ctx,
    client_id: &str,
    token: Option<&SecretString>,
) -> Result<(Client, registrations::Registration, String), OAuthError> {
    let wrong = || OAuthError {
        status: 401,
        ..OAuthError::new("invalid_token", "this token does not manage this client")
    };
    let token = token.ok_or_else(wrong)?;
    if !is_prefixed(MANAGE_PREFIX, token.expose_secret()) {
        return Err(wrong());
    }
    let hash = hash(token);
    let registration = registrations::by_token(ctx.db.read(), &hash)
        .await?
        .ok_or_else(wrong)?;
    let client = store::client(ctx.db.read(), &registration.client)
        .await?
        .filter(|client| client.client_id == client_id)
        .ok_or_else(wrong)?;
    if registration.token_hash == hash {
        registrations::forget_previous(ctx.db.write(), &client.id, &hash).await?;
    }
    Ok((client, registration, hash))
}

/// What is registered of a client (RFC 7592, section 2.1). Secrets are stored as hashes, so there is none in it.
pub async fn read(ctx: &Ctx, client_id: &str, token: Option<&SecretString>) -> Result<Value, OAuthError> {
    let (client, ..) = managed(ctx, client_id, token).await?;
    let token = token.cloned().unwrap_or_default();
    Ok(answer(ctx, &client, None, &token))
}

/// Replaces what is registered of a client by what it says of itself now (RFC 7592, section 2.2). The answer has a new
/// registration access token; the one before opens until that one is used.
pub async fn update(
    ctx: &Ctx,
    client_id: &str,
    token: Option<&SecretString>,
    sent: &Value,
) -> Result<Value, OAuthError> {
    let (client, registration, used) = managed(ctx, client_id, token).await?;
    if client.state == ClientState::Disabled {
        return Err(switched_off());
    }
    let named = sent.get("client_id").and_then(Value::as_str);
    if named != Some(client_id) {
        return Err(metadata_error("client_id must be there and name this client"));
    }
    for never in [
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    ] {
        if sent.get(never).is_some() {
            return Err(OAuthError::invalid_request(format!(
                "{never} is not for you to send"
            )));
        }
    }
    if let Some(secret) = sent.get("client_secret") {
        let secret = SecretString::from(secret.as_str().unwrap_or_default().to_owned());
        let live = store::live_secrets(ctx.db.read(), &client.id, ctx.clock.now_ms()).await?;
        let hashes = live.iter().map(|(_, hash)| hash.as_str());
        if !client::is_secret(hashes, &secret) {
            return Err(metadata_error("client_secret is not the one that was issued"));
        }
    }
    let asked = client_metadata::read(sent)?;
    client_addresses::check_addresses(ctx, &asked).await?;
    let before = client.fields.clone();
    let mut fields = before.clone();
    // What an admin gave beyond the limit may stay; what one took away is no part of it any more.
    let mut limit = registration.scope_limit.clone();
    let beyond = client.scopes.iter().filter(|scope| !limit.contains(scope));
    let beyond: Vec<String> = beyond.cloned().collect();
    limit.extend(beyond);
    apply(&mut fields, &asked, &limit)?;
    if registration.initial_token.is_empty() && !limits_open(&fields) && limits_open(&before) {
        return Err(metadata_error("this way to a token cannot be registered here"));
    }
    // Whoever approved it did not see this.
    if !registration.approves && client.state == ClientState::Approved && !same_reach(&before, &fields) {
        fields.state = ClientState::Pending;
    }
    let needs_secret =
        !client.has_secret() && matches!(fields.auth_method, ClientAuth::Basic | ClientAuth::Post);
    let actor = match registration.initial_token.as_str() {
        "" => ITSELF,
        id => id,
    };
    let changed = client::change(ctx, actor, &client.id, client.revision, fields, By::Itself)
        .await
        .map_err(refused)?;
    let secret = match needs_secret {
        true => Some(
            client::rotate_secret(ctx, actor, &client.id, None, true)
                .await
                .map_err(refused)?,
        ),
        false => None,
    };
    let manage = new_prefixed(MANAGE_PREFIX);
    registrations::rotate(ctx.db.write(), &client.id, &used, &hash(&manage)).await?;
    Ok(answer(ctx, &changed, secret.as_ref(), &manage))
}

/// Whether a change leaves alone what an admin looked at before approving: who it says it is, where codes and people and
/// news of them go, what it may have, and how it must prove itself.
fn same_reach(before: &ClientFields, after: &ClientFields) -> bool {
    let added = |before: &[String], after: &[String]| after.iter().any(|value| !before.contains(value));
    let (old, new) = (&before.protocol, &after.protocol);
    before.name == after.name
        && before.logo_uri == after.logo_uri
        && before.client_uri == after.client_uri
        && before.policy_uri == after.policy_uri
        && before.tos_uri == after.tos_uri
        && before.application_type == after.application_type
        && before.auth_method == after.auth_method
        && old.jwks_uri == new.jwks_uri
        && old.jwks == new.jwks
        && old.backchannel_logout_uri == new.backchannel_logout_uri
        && old.frontchannel_logout_uri == new.frontchannel_logout_uri
        && old.initiate_login_uri == new.initiate_login_uri
        && (new.dpop_bound || !old.dpop_bound)
        && (new.require_signed_request || !old.require_signed_request)
        && (new.require_pushed_request || !old.require_pushed_request)
        && !added(&before.redirect_uris, &after.redirect_uris)
        && !added(&old.post_logout_redirect_uris, &new.post_logout_redirect_uris)
        && !added(&before.scopes, &after.scopes)
        && after
            .grant_types
            .iter()
            .all(|grant| before.grant_types.contains(grant))
}

fn switched_off() -> OAuthError {
    OAuthError {
        status: 403,
        ..OAuthError::new("access_denied", "this client was switched off by an admin")
    }
}

/// Removes a client at its own wish (RFC 7592, section 2.3).
pub async fn remove(ctx: &Ctx, client_id: &str, token: Option<&SecretString>) -> Result<(), OAuthError> {
    let (client, registration, _) = managed(ctx, client_id, token).await?;
    if client.state == ClientState::Disabled {
        return Err(switched_off());
    }
    let actor = match registration.initial_token.as_str() {
        "" => ITSELF,
        id => id,
    };
    client::delete(ctx, actor, &client.id, None)
        .await
        .map_err(refused)
}

/// Removes clients that nobody approved. For a daily job.
pub async fn purge(ctx: &Ctx) -> Result<(), sea_orm::DbErr> {
    let txn = ctx.db.begin().await?;
    for client in registrations::purge(&txn, ctx.clock.now_ms() - FORGOTTEN_MS).await? {
        client::note(ctx, &txn, "client.deleted", SYSTEM, &client).await?;
    }
    txn.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_admin_looked_at_is_looked_at_again() {
        let before = ClientFields {
            name: "App".into(),
            ..ClientFields::default()
        };
        let strict = |fields: &ClientFields| {
            let mut fields = fields.clone();
            fields.protocol.dpop_bound = true;
            fields.protocol.require_signed_request = true;
            fields.protocol.require_pushed_request = true;
            fields
        };
        assert!(same_reach(&before, &before));
        assert!(same_reach(&before, &strict(&before)), "stricter is no more");
        let text = || "https://evil.example/".to_owned();
        let changes: [fn(&mut ClientFields, String); 9] = [
            |fields, text| fields.policy_uri = text,
            |fields, text| fields.tos_uri = text,
            |fields, text| fields.protocol.backchannel_logout_uri = text,
            |fields, text| fields.protocol.frontchannel_logout_uri = text,
            |fields, text| fields.protocol.initiate_login_uri = text,
            |fields, text| fields.redirect_uris.push(text),
            |fields, _| fields.protocol.dpop_bound = false,
            |fields, _| fields.protocol.require_signed_request = false,
            |fields, _| fields.protocol.require_pushed_request = false,
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let before = strict(&before);
            let mut after = before.clone();
            change(&mut after, text());
            assert!(!same_reach(&before, &after), "change {at}");
        }
    }
}

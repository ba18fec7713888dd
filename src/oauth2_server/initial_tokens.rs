//! Initial access tokens (RFC 7591, section 3): what lets applications register themselves, how often, and for what at most.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::client::{self, ClientError};
use super::client_reach;
use super::model::ClientFields;
use super::scope;
use super::store::registrations;
use crate::access::Projects;
use crate::crypto::{new_prefixed, sha256_hex};
use crate::ctx::Ctx;
use crate::event::{self, NewEvent};
use crate::id;
use crate::trouble::FieldError;

/// Prefix of initial access tokens.
pub const INITIAL_PREFIX: &str = "mg_iat_";

/// What lets a client register itself, as listed: never the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialToken {
    /// `iat_` + ULID.
    pub id: String,
    /// Its last four characters.
    pub hint: String,
    /// What it is for.
    pub name: String,
    /// The project its clients belong to; empty for the site.
    pub project_id: String,
    /// The scopes its clients may have at most.
    pub scopes: Vec<String>,
    /// Whether its clients need no approval.
    pub approves: bool,
    /// How often it can still be used; none for without a limit.
    pub uses_left: Option<i64>,
    /// How often it was used.
    pub uses: i64,
    /// Who made it.
    pub created_by: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970; none for never.
    pub expires_at: Option<i64>,
    /// Milliseconds since 1970.
    pub revoked_at: Option<i64>,
    /// Milliseconds since 1970.
    pub last_used_at: Option<i64>,
}

impl InitialToken {
    /// Whether a client can still be registered with it.
    pub fn is_live(&self, now: i64) -> bool {
        self.revoked_at.is_none()
            && self.expires_at.is_none_or(|end| end > now)
            && self.uses_left.is_none_or(|left| left > 0)
    }
}

/// What an initial access token is made of.
#[derive(Clone, Debug, Default)]
pub struct NewInitialToken {
    /// What it is for.
    pub name: String,
    /// The project its clients belong to; empty for the site.
    pub project_id: String,
    /// The scopes its clients may have at most.
    pub scopes: Vec<String>,
    /// Whether its clients need no approval.
    pub approves: bool,
    /// How often it can be used; none for without a limit.
    pub uses: Option<i64>,
    /// How long it can be used, seconds; none for without an end.
    pub seconds: Option<i64>,
}

/// Makes an initial access token. It is returned here and never again.
pub async fn create_initial_token(
    ctx: &Ctx,
    actor: &str,
    new: NewInitialToken,
) -> Result<(InitialToken, SecretString), ClientError> {
    let errors = check(&new);
    if !errors.is_empty() {
        return Err(ClientError::Invalid(errors));
    }
    let now = ctx.clock.now_ms();
    let secret = new_prefixed(INITIAL_PREFIX);
    let token = InitialToken {
        id: id::new("iat", &ctx.clock),
        hint: client::hint(&secret),
        name: new.name.trim().to_owned(),
        project_id: new.project_id,
        scopes: new.scopes,
        approves: new.approves,
        uses_left: new.uses,
        uses: 0,
        created_by: actor.to_owned(),
        created_at: now,
        expires_at: new.seconds.map(|seconds| now + seconds * 1000),
        revoked_at: None,
        last_used_at: None,
    };
    let txn = ctx.db.begin().await?;
    registrations::insert_token(&txn, &token, &hash(&secret)).await?;
    note(ctx, &txn, "initial_token.created", actor, &token).await?;
    txn.commit().await?;
    Ok((token, secret))
}

fn check(new: &NewInitialToken) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut wrong = |field, message: &str| errors.push(FieldError::new(field, "invalid", message));
    if new.name.trim().is_empty() || new.name.chars().count() > 100 || new.name.chars().any(char::is_control)
    {
        wrong("name", "Say what it is for, in at most 100 characters.");
    }
    if new.scopes.is_empty() || new.scopes.iter().any(|value| scope::known(value).is_none()) {
        wrong("scopes", "Choose what its clients may ask for at most.");
    }
    if new.uses.is_some_and(|uses| !(1..=10_000).contains(&uses)) {
        wrong("uses", "Enter 1 to 10000, or nothing for without a limit.");
    }
    if new
        .seconds
        .is_some_and(|seconds| !(60..=366 * 86_400).contains(&seconds))
    {
        wrong(
            "expires",
            "Enter a minute to a year, or nothing for without an end.",
        );
    }
    errors
}

/// The initial access tokens of these projects, the newest first; those of the site are there for all of them.
pub async fn initial_tokens(ctx: &Ctx, projects: &Projects) -> Result<Vec<InitialToken>, ClientError> {
    Ok(registrations::tokens(ctx.db.read(), projects).await?)
}

/// What of a new token reaches beyond a project, and so is a site admin's to give.
pub fn token_beyond_a_project(new: &NewInitialToken) -> Vec<FieldError> {
    let fields = ClientFields {
        scopes: new.scopes.clone(),
        ..ClientFields::default()
    };
    client_reach::beyond_a_project(&fields, None)
}

/// Revokes an initial access token of these projects; the clients it registered stay.
pub async fn revoke_initial_token(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    id: &str,
) -> Result<(), ClientError> {
    let found = initial_tokens(ctx, projects).await?;
    let token = found
        .into_iter()
        .find(|token| token.id == id)
        .ok_or(ClientError::NotFound)?;
    let txn = ctx.db.begin().await?;
    if registrations::revoke_token(&txn, id, ctx.clock.now_ms()).await? {
        note(ctx, &txn, "initial_token.revoked", actor, &token).await?;
    }
    txn.commit().await?;
    Ok(())
}

async fn note(
    ctx: &Ctx,
    txn: &sea_orm::DatabaseTransaction,
    kind: &str,
    actor: &str,
    token: &InitialToken,
) -> Result<(), sea_orm::DbErr> {
    let event = NewEvent {
        kind,
        project_id: &token.project_id,
        subject_id: &token.id,
        actor,
        data: json!({ "name": token.name, "scopes": token.scopes, "approves": token.approves }),
    };
    event::append(txn, &ctx.clock, event).await.map(|_| ())
}

pub(super) fn hash(secret: &SecretString) -> String {
    sha256_hex(secret.expose_secret().as_bytes())
}

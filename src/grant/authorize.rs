//! Obtaining a grant: the authorization request, the callback, and who consented.
//!
//! A state is 256 bits, stored as its hash, used once, for ten minutes, and bound to the session that started it (or
//! to none, when an API token did), to the integration and to the redirect URL. PKCE S256 is always on. The code is
//! sent only to the token endpoint recorded at the start. The answer's `iss` is checked when the provider announces it
//! (RFC 9207).

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::{CallbackError, GrantError};
use super::identity::{Identity, check_expected, identity, is_same_account};
use super::model::{Authorization, AuthorizationState, GrantState, StartAuthorization};
use super::refresh::apply_tokens;
use super::service::scopes_missing;
use super::store::{self, Ending, authorization_place, authorizations, grants};
use crate::access::Projects;
use crate::crypto::{random_token, sha256_hex};
use crate::ctx::Ctx;
use crate::id;
use crate::integration::{self, CallbackOwner, Flow, Integration, redirect_url};
use crate::oauth2_client::{
    AuthorizationRequest, Provider, TokenError, Tokens, authorization_url, lookup, printable,
};
use crate::trouble::Trouble;

/// How long the browser may take.
const STATE_MS: i64 = 10 * 60 * 1000;
/// How long an identity change waits for an admin.
const CONFIRM_MS: i64 = 60 * 60 * 1000;
/// How long ended authorizations can still be read.
const KEEP_MS: i64 = 30 * 24 * 3600 * 1000;

/// What the provider's redirect carried.
#[derive(Clone, Debug, Default)]
pub struct CallbackParams {
    /// `code`.
    pub code: Option<SecretString>,
    /// `state`.
    pub state: Option<SecretString>,
    /// `iss` (RFC 9207).
    pub iss: Option<String>,
    /// `error`.
    pub error: Option<String>,
    /// `error_description`.
    pub error_description: Option<String>,
}

impl CallbackParams {
    /// The parameters of a query string, without its question mark. Of a repeated parameter the first counts.
    pub fn of_query(query: &str) -> Self {
        let mut params = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = || value.clone().into_owned();
            match name.as_ref() {
                "code" => {
                    params.code.get_or_insert_with(|| SecretString::from(value()));
                }
                "state" => {
                    params.state.get_or_insert_with(|| SecretString::from(value()));
                }
                "iss" => {
                    params.iss.get_or_insert_with(value);
                }
                "error" => {
                    params.error.get_or_insert_with(value);
                }
                "error_description" => {
                    params.error_description.get_or_insert_with(value);
                }
                _ => {}
            }
        }
        params
    }
}

/// What a callback led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackOutcome {
    /// There is a grant, new or reconnected.
    Connected {
        /// The grant.
        grant_id: String,
        /// The authorization.
        authorization_id: String,
        /// Path to show now; may be empty.
        return_to: String,
        /// Whether the grant is new.
        created: bool,
        /// What an admin should know, such as scopes that were not granted.
        warnings: Vec<Trouble>,
    },
    /// Another account than the pinned one consented. Nothing changes until an admin confirms.
    IdentityMismatch {
        /// The account the grant belongs to.
        pinned: String,
        /// The account that consented now.
        got: String,
        /// What to hand to [`confirm_identity_change`].
        authorization_id: String,
        /// Path to show afterwards; may be empty.
        return_to: String,
    },
}

/// Tokens that wait for an admin's confirmation; kept sealed.
#[derive(Serialize, Deserialize)]
struct Parked {
    access_token: String,
    refresh_token: Option<String>,
    received_at: i64,
    expires_in_ms: u64,
    refresh_expires_in_ms: Option<u64>,
    scopes: Option<Vec<String>>,
    identity: Identity,
}

/// Starts an authorization. For client credentials it fetches a token at once and makes the grant.
pub async fn start(
    ctx: &Ctx,
    integration: &Integration,
    input: StartAuthorization,
) -> Result<Authorization, GrantError> {
    let mut integration = integration.clone();
    if let Some(grant_id) = &input.reconnect_grant_id {
        let row = store::row(ctx.db.read(), grant_id)
            .await?
            .ok_or(GrantError::NotFound)?;
        if row.integration_id != integration.id {
            return Err(GrantError::NotFound);
        }
    }
    integration::remember_discovery(ctx, &mut integration).await?;
    let now = ctx.clock.now_ms();
    store::prune_authorizations(ctx.db.write(), now - KEEP_MS).await?;
    match integration.flow {
        Flow::AuthorizationCode => start_code(ctx, &integration, input, now).await,
        Flow::ClientCredentials => start_app_only(ctx, &integration, input, now).await,
    }
}

async fn start_code(
    ctx: &Ctx,
    integration: &Integration,
    input: StartAuthorization,
    now: i64,
) -> Result<Authorization, GrantError> {
    let state = SecretString::from(random_token(32));
    let verifier = SecretString::from(random_token(32));
    let redirect = redirect_url(&ctx.config, integration);
    let mut extra = integration.extra_auth_params.clone();
    if integration.provider == Provider::Custom
        && integration.scopes.iter().any(|scope| scope == "offline_access")
    {
        // OpenID Connect Core 1.0, section 11: without a consent that is asked for, servers drop offline_access.
        extra
            .entry("prompt".to_owned())
            .or_insert_with(|| "consent".to_owned());
    }
    let hint = input.login_hint.clone().or(input.expected_identity.clone());
    if let Some(hint) = hint.filter(|hint| !hint.is_empty()) {
        extra.entry("login_hint".to_owned()).or_insert(hint);
    }
    let request = AuthorizationRequest {
        endpoint: &integration.authorization_endpoint,
        client_id: &integration.client_id,
        redirect: &redirect,
        scopes: &integration.scopes,
        state: &state,
        verifier: &verifier,
        extra: &extra,
    };
    let url = authorization_url(&request).ok_or_else(|| {
        GrantError::Authorization(Trouble::new(
            "invalid_url",
            "The authorization endpoint is not a web address.",
            "Correct it in the integration.",
        ))
    })?;
    let row = new_authorization(
        ctx,
        integration,
        &input,
        now,
        &redirect,
        (&state, &verifier, url.as_str()),
    );
    store::insert_authorization(ctx.db.write(), row.clone()).await?;
    Ok(store::to_authorization(row, &ctx.keys, now)?)
}

fn new_authorization(
    ctx: &Ctx,
    integration: &Integration,
    input: &StartAuthorization,
    now: i64,
    redirect: &str,
    (state, verifier, url): (&SecretString, &SecretString, &str),
) -> authorizations::Model {
    let id = id::new("aut", &ctx.clock);
    let seal = |column, secret: &SecretString| ctx.keys.seal(&authorization_place(column, &id), secret);
    authorizations::Model {
        integration_id: integration.id.clone(),
        state_hash: sha256_hex(state.expose_secret().as_bytes()),
        verifier_sealed: seal("verifier_sealed", verifier),
        redirect_url: redirect.to_owned(),
        token_endpoint: integration.token_endpoint.clone(),
        authorization_url_sealed: seal("authorization_url_sealed", &SecretString::from(url.to_owned())),
        session_id: input.session_id.clone().unwrap_or_default(),
        started_by: input.actor.clone(),
        project_id: input.project_id.clone(),
        expected_identity: input
            .expected_identity
            .clone()
            .unwrap_or_default()
            .trim()
            .to_owned(),
        reconnect_grant_id: input.reconnect_grant_id.clone().unwrap_or_default(),
        return_to: input.return_to.clone(),
        state: AuthorizationState::Pending.as_str().to_owned(),
        pending_sealed: String::new(),
        grant_id: String::new(),
        error_code: String::new(),
        error_cause: String::new(),
        error_remedy: String::new(),
        created_at: now,
        expires_at: now + STATE_MS,
        finished_at: None,
        id,
    }
}

async fn start_app_only(
    ctx: &Ctx,
    integration: &Integration,
    input: StartAuthorization,
    now: i64,
) -> Result<Authorization, GrantError> {
    if input
        .expected_identity
        .as_deref()
        .is_some_and(|wanted| !wanted.trim().is_empty())
    {
        return Err(GrantError::Authorization(Trouble::new(
            "identity_unknown",
            "Client credentials are the application's own: nobody consents, so no identity can be expected.",
            "Leave the expected identity out, or use the authorization code flow.",
        )));
    }
    let client = integration::token_client(ctx, integration).await?;
    let tokens = match client.client_credentials(&integration.scopes).await {
        Ok(tokens) => tokens,
        Err(error) => {
            note_client_error(ctx, integration, &error).await?;
            return Err(refused(error, ctx.clock.now_ms()));
        }
    };
    let identity = Identity {
        shown: integration.client_id.clone(),
        ..Identity::default()
    };
    let nothing = SecretString::from(random_token(32));
    let empty = SecretString::from(String::new());
    let mut row = new_authorization(ctx, integration, &input, now, "", (&nothing, &empty, ""));
    store::insert_authorization(ctx.db.write(), row.clone()).await?;
    let reconnect = input.reconnect_grant_id.as_deref().unwrap_or_default();
    let (grant_id, _) = keep(ctx, integration, &row, reconnect, &tokens, &identity).await?;
    AuthorizationState::Done.as_str().clone_into(&mut row.state);
    row.grant_id = grant_id;
    Ok(store::to_authorization(row, &ctx.keys, now)?)
}

/// Takes the provider's redirect. `session_id` is the web session of the browser that came, if it has one.
pub async fn finish_callback(
    ctx: &Ctx,
    callback_id: &str,
    session_id: Option<&str>,
    params: CallbackParams,
) -> Result<CallbackOutcome, CallbackError> {
    let integration = match integration::find_callback(ctx, callback_id).await? {
        CallbackOwner::Current(integration) => integration,
        CallbackOwner::Retired(integration) => {
            return Err(CallbackError::RetiredCallback {
                new_redirect_url: redirect_url(&ctx.config, &integration),
            });
        }
        CallbackOwner::Unknown => return Err(CallbackError::UnknownCallback),
    };
    let row = take_state(ctx, &integration, session_id, params.state.as_ref()).await?;
    // The state is used up and the code is about to be. A browser that hangs up drops this future: what the provider
    // answers must be kept all the same.
    let finishing = {
        let ctx = ctx.clone();
        ctx.tasks
            .clone()
            .spawn(async move { finish(&ctx, &integration, &row, params).await })
    };
    finishing.await.unwrap_or(Err(CallbackError::Replayed))
}

async fn finish(
    ctx: &Ctx,
    integration: &Integration,
    row: &authorizations::Model,
    params: CallbackParams,
) -> Result<CallbackOutcome, CallbackError> {
    match exchange(ctx, integration, row, params).await {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            let trouble = error.trouble();
            let ending = Ending {
                state: AuthorizationState::Failed,
                grant_id: "",
                pending_sealed: "",
                trouble: Some(&trouble),
            };
            store::end_authorization(ctx.db.write(), &row.id, ctx.clock.now_ms(), ending).await?;
            Err(error)
        }
    }
}

/// Finds the authorization a state belongs to, checks what it is bound to, and uses it up.
async fn take_state(
    ctx: &Ctx,
    integration: &Integration,
    session_id: Option<&str>,
    state: Option<&SecretString>,
) -> Result<authorizations::Model, CallbackError> {
    let state = state.ok_or(CallbackError::UnknownState)?;
    let hash = sha256_hex(state.expose_secret().as_bytes());
    let row = store::authorization_by_state(ctx.db.read(), &hash)
        .await?
        .ok_or(CallbackError::UnknownState)?;
    if row.integration_id != integration.id {
        return Err(CallbackError::OtherIntegration);
    }
    if !row.session_id.is_empty() && session_id != Some(row.session_id.as_str()) {
        return Err(CallbackError::OtherSession);
    }
    if row.redirect_url != redirect_url(&ctx.config, integration)
        || row.token_endpoint != integration.token_endpoint
    {
        return Err(CallbackError::RetiredCallback {
            new_redirect_url: redirect_url(&ctx.config, integration),
        });
    }
    if row.state == AuthorizationState::Pending.as_str() && row.expires_at <= ctx.clock.now_ms() {
        return Err(CallbackError::Expired);
    }
    let (from, to) = (AuthorizationState::Pending, AuthorizationState::Exchanging);
    if !store::advance_authorization(ctx.db.write(), &row.id, from, to).await? {
        return Err(CallbackError::Replayed);
    }
    Ok(row)
}

async fn exchange(
    ctx: &Ctx,
    integration: &Integration,
    row: &authorizations::Model,
    params: CallbackParams,
) -> Result<CallbackOutcome, CallbackError> {
    check_issuer(integration, params.iss.as_deref())?;
    if let Some(error) = params.error.as_deref().filter(|error| !error.is_empty()) {
        let said = params.error_description.as_deref().unwrap_or_default();
        return Err(CallbackError::Refused(explain_refusal(
            integration.provider,
            error,
            said,
        )));
    }
    let code = params.code.ok_or_else(|| {
        CallbackError::Refused(Trouble::new(
            "code_missing",
            "The provider's answer holds neither a code nor an error.",
            "Check that the authorization endpoint is the right one, and start the connection again.",
        ))
    })?;
    let verifier = ctx.keys.open(
        &authorization_place("verifier_sealed", &row.id),
        &row.verifier_sealed,
    )?;
    let client = integration::token_client(ctx, integration).await?;
    let tokens = match client
        .exchange_code(code.expose_secret(), &verifier, &row.redirect_url)
        .await
    {
        Ok(tokens) => tokens,
        Err(error) => {
            note_client_error(ctx, integration, &error).await?;
            return Err(CallbackError::Refused(of_exchange(error)));
        }
    };
    if tokens.refresh_token.is_none() {
        return Err(CallbackError::Refused(no_refresh_token(integration.provider)));
    }
    let identity = identity(ctx, integration, &tokens).await;
    check_expected(&row.expected_identity, &identity)?;
    if let Some(mismatch) = park_if_other(ctx, row, &tokens, &identity).await? {
        return Ok(mismatch);
    }
    let (grant_id, created) =
        keep(ctx, integration, row, &row.reconnect_grant_id, &tokens, &identity).await?;
    Ok(connected(
        integration,
        row,
        grant_id,
        created,
        tokens.scopes.as_deref(),
    ))
}

fn connected(
    integration: &Integration,
    row: &authorizations::Model,
    grant_id: String,
    created: bool,
    granted: Option<&[String]>,
) -> CallbackOutcome {
    // RFC 6749, section 5.1: no scope in the answer means all that was asked for.
    let missing = granted
        .map(|granted| scopes_missing(integration, granted))
        .unwrap_or_default();
    let mut warnings = Vec::new();
    if !missing.is_empty() {
        warnings.push(Trouble::new(
            "scopes_narrower",
            format!(
                "The provider granted less than was asked for; missing: {}.",
                missing.join(" ")
            ),
            "Connect again and tick every permission, or allow these scopes for the client at the provider.",
        ));
    }
    CallbackOutcome::Connected {
        grant_id,
        authorization_id: row.id.clone(),
        return_to: row.return_to.clone(),
        created,
        warnings,
    }
}

fn check_issuer(integration: &Integration, iss: Option<&str>) -> Result<(), CallbackError> {
    match iss {
        Some(iss) if !integration.issuer.is_empty() && iss != integration.issuer => {
            Err(CallbackError::WrongIssuer { got: printable(iss) })
        }
        None if integration.iss_announced => Err(CallbackError::WrongIssuer { got: String::new() }),
        _ => Ok(()),
    }
}

fn explain_refusal(provider: Provider, error: &str, said: &str) -> Trouble {
    lookup(provider, error, said).map_or_else(
        || {
            Trouble::new(
                printable(error),
                format!("The provider refused: {}", printable(said)),
                "Look the code up in the provider's documentation, then start the connection again.",
            )
        },
        |found| found.trouble,
    )
}

/// A dead code is not a dead grant: nobody has to reconnect what does not exist yet.
fn of_exchange(error: TokenError) -> Trouble {
    match error {
        TokenError::GrantDead(trouble) => Trouble::new(
            trouble.code,
            "The provider does not accept the authorization code: it was used already, or is too old.",
            "Start the connection again.",
        ),
        other => other.trouble().clone(),
    }
}

fn no_refresh_token(provider: Provider) -> Trouble {
    let (missing, remedy) = match provider {
        Provider::Google => (
            "access_type=offline and prompt=consent",
            "Add access_type=offline and prompt=consent to the integration's extra parameters, then connect again.",
        ),
        Provider::Microsoft => (
            "offline_access",
            "Add the scope offline_access to the integration, then connect again.",
        ),
        Provider::Custom => (
            "offline_access",
            "Add the scope offline_access to the integration, or allow refresh tokens for this client at the \
             provider, then connect again.",
        ),
    };
    Trouble::new(
        "no_refresh_token",
        format!(
            "The provider gave no refresh token, so the grant would die within the hour; missing: {missing}."
        ),
        remedy,
    )
}

async fn note_client_error(
    ctx: &Ctx,
    integration: &Integration,
    error: &TokenError,
) -> Result<(), GrantError> {
    if let TokenError::ClientMisconfigured(trouble) = error {
        integration::mark_misconfigured(ctx, &integration.id, integration.revision, trouble).await?;
    }
    Ok(())
}

fn refused(error: TokenError, now: i64) -> GrantError {
    match error {
        TokenError::GrantDead(trouble) | TokenError::NeedsPerson(trouble) => {
            GrantError::Authorization(trouble)
        }
        TokenError::ClientMisconfigured(trouble) => GrantError::Misconfigured(trouble),
        TokenError::Transient {
            trouble, retry_after, ..
        } => GrantError::Transient {
            trouble,
            retry_at: now
                + retry_after.map_or(5_000, |wait| i64::try_from(wait.as_millis()).unwrap_or(3_600_000)),
        },
    }
}

/// If a reconnect brought another account than the pinned one, the tokens are parked until an admin confirms.
async fn park_if_other(
    ctx: &Ctx,
    row: &authorizations::Model,
    tokens: &Tokens,
    identity: &Identity,
) -> Result<Option<CallbackOutcome>, CallbackError> {
    if row.reconnect_grant_id.is_empty() {
        return Ok(None);
    }
    let pinned = store::row(ctx.db.read(), &row.reconnect_grant_id)
        .await?
        .ok_or(GrantError::NotFound)?;
    if is_same_account(&pinned, identity) {
        return Ok(None);
    }
    let got = if identity.shown.is_empty() {
        "unknown"
    } else {
        &identity.shown
    };
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let parked = Parked {
        access_token: tokens.access_token.expose_secret().to_owned(),
        refresh_token: tokens
            .refresh_token
            .as_ref()
            .map(|token| token.expose_secret().to_owned()),
        received_at: ctx.clock.now_ms(),
        expires_in_ms: millis(tokens.expires_in),
        refresh_expires_in_ms: tokens.refresh_expires_in.map(millis),
        scopes: tokens.scopes.clone(),
        identity: identity.clone(),
    };
    let text = SecretString::from(json!(parked).to_string());
    let sealed = ctx
        .keys
        .seal(&authorization_place("pending_sealed", &row.id), &text);
    let trouble = Trouble::new(
        "identity_mismatch",
        format!("{got} consented, but the grant belongs to {}.", pinned.identity),
        "Sign in at the provider as the grant's own account, or confirm that the grant shall belong to the other one.",
    );
    let tx = ctx.db.begin().await?;
    let ending = Ending {
        state: AuthorizationState::AwaitingConfirmation,
        grant_id: "",
        pending_sealed: &sealed,
        trouble: Some(&trouble),
    };
    store::end_authorization(&tx, &row.id, ctx.clock.now_ms(), ending).await?;
    let data = json!({ "pinned": pinned.identity, "got": got, "authorizationId": row.id });
    store::append(
        ctx,
        &tx,
        "grant.identity_mismatch",
        &pinned.id,
        &row.started_by,
        data,
    )
    .await?;
    tx.commit().await?;
    Ok(Some(CallbackOutcome::IdentityMismatch {
        pinned: pinned.identity,
        got: got.to_owned(),
        authorization_id: row.id.clone(),
        return_to: row.return_to.clone(),
    }))
}

/// Keeps the parked tokens of another account: the grant belongs to that account from now on.
pub async fn confirm_identity_change(
    ctx: &Ctx,
    actor: &str,
    authorization_id: &str,
) -> Result<CallbackOutcome, CallbackError> {
    let mut row = store::authorization_row(ctx.db.read(), authorization_id)
        .await?
        .ok_or(GrantError::NotFound)?;
    let now = ctx.clock.now_ms();
    if row.finished_at.is_none_or(|at| now - at > CONFIRM_MS) {
        return Err(CallbackError::Expired);
    }
    let integration = integration::get(ctx, &Projects::All, &row.integration_id).await?;
    let sealed = std::mem::take(&mut row.pending_sealed);
    let place = authorization_place("pending_sealed", &row.id);
    let (from, to) = (
        AuthorizationState::AwaitingConfirmation,
        AuthorizationState::Exchanging,
    );
    if !store::advance_authorization(ctx.db.write(), &row.id, from, to).await? {
        return Err(CallbackError::Replayed);
    }
    let opened = ctx.keys.open(&place, &sealed)?;
    let parked: Parked = serde_json::from_str(opened.expose_secret()).map_err(|_| CallbackError::Expired)?;
    // Time passed since: what is left of each life counts.
    let passed = u64::try_from(now - parked.received_at).unwrap_or(0);
    let left = |life: u64| std::time::Duration::from_millis(life.saturating_sub(passed));
    let tokens = Tokens {
        access_token: SecretString::from(parked.access_token),
        refresh_token: parked.refresh_token.map(SecretString::from),
        expires_in: left(parked.expires_in_ms),
        scopes: parked.scopes,
        claims: None,
        refresh_expires_in: parked.refresh_expires_in_ms.map(left),
    };
    row.started_by = actor.to_owned();
    let reconnect = row.reconnect_grant_id.clone();
    let (grant_id, created) = keep(ctx, &integration, &row, &reconnect, &tokens, &parked.identity).await?;
    Ok(connected(
        &integration,
        &row,
        grant_id,
        created,
        tokens.scopes.as_deref(),
    ))
}

/// Throws away the parked tokens of another account; the grant stays with its own.
pub async fn refuse_identity_change(ctx: &Ctx, authorization_id: &str) -> Result<(), CallbackError> {
    let (from, to) = (
        AuthorizationState::AwaitingConfirmation,
        AuthorizationState::Failed,
    );
    let tx = ctx.db.begin().await?;
    if !store::advance_authorization(&tx, authorization_id, from, to).await? {
        return Err(CallbackError::Replayed);
    }
    let trouble = Trouble::new(
        "identity_refused",
        "Another account consented, and it was refused here.",
        "Reconnect and sign in at the provider as the grant's own account.",
    );
    let ending = Ending {
        state: AuthorizationState::Failed,
        grant_id: "",
        pending_sealed: "",
        trouble: Some(&trouble),
    };
    store::end_authorization(&tx, authorization_id, ctx.clock.now_ms(), ending).await?;
    tx.commit().await?;
    Ok(())
}

/// Makes a grant of an answer, or puts its tokens into the grant it renews: the one to be reconnected, else the one of
/// the same account. One transaction with the authorization's end and the event.
async fn keep(
    ctx: &Ctx,
    integration: &Integration,
    row: &authorizations::Model,
    reconnect: &str,
    tokens: &Tokens,
    identity: &Identity,
) -> Result<(String, bool), GrantError> {
    let now = ctx.clock.now_ms();
    let tx = ctx.db.begin().await?;
    let old = if reconnect.is_empty() {
        store::of_account(&tx, &integration.id, &identity.subject, &identity.shown).await?
    } else {
        Some(store::row(&tx, reconnect).await?.ok_or(GrantError::NotFound)?)
    };
    let mut grant = match &old {
        Some(old) => old.clone(),
        None => blank(ctx, integration, now),
    };
    let was_broken = old
        .as_ref()
        .is_some_and(|old| old.state != GrantState::Active.as_str() || !old.error_code.is_empty());
    integration.flow.as_str().clone_into(&mut grant.flow);
    if !identity.shown.is_empty() {
        grant.identity.clone_from(&identity.shown);
        grant.subject.clone_from(&identity.subject);
    }
    grant.started_by.clone_from(&row.started_by);
    grant.scopes = integration.scopes.join(" ");
    grant.refresh_token_at = now;
    apply_tokens(ctx, &mut grant, tokens, now);
    GrantState::Active.as_str().clone_into(&mut grant.state);
    store::set_trouble(&mut grant, "", None, now);
    grant.issued_at = now;
    grant.failures = 0;
    grant.forced_at = None;
    grant.lease_until = 0;
    let data = json!({ "identity": grant.identity, "startedBy": grant.started_by, "scopes": grant.scopes });
    let kind = match &old {
        None => {
            store::insert(&tx, grant.clone()).await?;
            "grant.created"
        }
        Some(old) => {
            grant.revision = old.revision + 1;
            if !store::replace(&tx, &grant, old.revision).await? {
                return Err(GrantError::Transient {
                    trouble: Trouble::new("grant_busy", "The grant changed meanwhile.", "Connect again."),
                    retry_at: now,
                });
            }
            if was_broken {
                "grant.restored"
            } else {
                "grant.updated"
            }
        }
    };
    store::note_project(&tx, &grant.id, &row.project_id).await?;
    store::append(ctx, &tx, kind, &grant.id, &row.started_by, data).await?;
    let ending = Ending {
        state: AuthorizationState::Done,
        grant_id: &grant.id,
        pending_sealed: "",
        trouble: None,
    };
    store::end_authorization(&tx, &row.id, now, ending).await?;
    tx.commit().await?;
    ctx.nudge.now();
    Ok((grant.id, old.is_none()))
}

fn blank(ctx: &Ctx, integration: &Integration, now: i64) -> grants::Model {
    grants::Model {
        id: id::new("grt", &ctx.clock),
        integration_id: integration.id.clone(),
        flow: integration.flow.as_str().to_owned(),
        identity: String::new(),
        subject: String::new(),
        started_by: String::new(),
        access_token_sealed: String::new(),
        refresh_token_sealed: String::new(),
        scopes: String::new(),
        state: GrantState::Active.as_str().to_owned(),
        issued_at: now,
        expires_at: None,
        refreshed_at: now,
        refresh_token_at: now,
        refresh_expires_at: None,
        next_refresh_at: None,
        refreshing_since: None,
        forced_at: None,
        failures: 0,
        error_from: String::new(),
        error_code: String::new(),
        error_cause: String::new(),
        error_remedy: String::new(),
        error_at: None,
        revision: 1,
        lease_holder: String::new(),
        lease_no: 0,
        lease_until: 0,
        created_at: now,
        updated_at: now,
    }
}

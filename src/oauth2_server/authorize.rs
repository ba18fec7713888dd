//! The authorization endpoint (RFC 6749, section 4.1; OpenID Connect Core, section 3.1): what a request must look like,
//! what has to happen before it is answered, and the answer. Pages are `web`'s.

use sea_orm::ConnectionTrait;
use secrecy::{ExposeSecret, SecretString};

use super::error::OAuthError;
use super::model::{AuthorizeRequest, Client, ClientState, Consent, GrantType, ResponseMode};
use super::store::{self, tokens};
use super::{keys, metadata, redirect, scope};
use crate::account::{Session, User};
use crate::crypto::{new_prefixed, random_token, sha256_hex};
use crate::ctx::Ctx;
use crate::id;

pub(super) use tokens::Interaction;

/// Prefix of authorization codes.
pub const CODE_PREFIX: &str = "mg_ac_";
/// Life of a code.
const CODE_MS: i64 = 60_000;
/// How long a person may take to sign in and decide.
const INTERACTION_MS: i64 = 30 * 60_000;

/// Where an answer goes, once client and redirect URI are known to belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo {
    /// The redirect URI.
    pub redirect_uri: String,
    /// The client's own value.
    pub state: Option<String>,
    /// How the answer travels.
    pub mode: ResponseMode,
}

impl ReturnTo {
    /// Of a checked request.
    pub fn of(request: &AuthorizeRequest) -> Self {
        Self {
            redirect_uri: request.redirect_uri.clone(),
            state: request.state.clone(),
            mode: request.response_mode,
        }
    }
}

/// Why a request is not answered with a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Shown here: the address to send the browser to cannot be trusted.
    Page(OAuthError),
    /// Told to the client.
    Redirect(ReturnTo, OAuthError),
}

impl From<sea_orm::DbErr> for Refused {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Page(error.into())
    }
}

/// The parameters of a request, each at most once.
struct Params<'a>(&'a [(String, String)]);

impl<'a> Params<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    fn twice(&self) -> Option<&'a str> {
        self.0
            .iter()
            .enumerate()
            .find(|(at, (name, _))| self.0.iter().take(*at).any(|(before, _)| before == name))
            .map(|(_, (name, _))| name.as_str())
    }
}

/// Checks a request of the authorization endpoint.
///
/// # Errors
/// A page for everything that makes the redirect URI doubtful, an answer to the client for the rest.
pub async fn check(ctx: &Ctx, params: &[(String, String)]) -> Result<(Client, AuthorizeRequest), Refused> {
    let params = Params(params);
    let page = |error| Err(Refused::Page(error));
    if params.twice().is_some() {
        return page(OAuthError::invalid_request("a parameter is sent twice"));
    }
    let Some(client_id) = params.get("client_id") else {
        return page(OAuthError::invalid_request("client_id is missing"));
    };
    let Some(client) = store::client_by_client_id(ctx.db.read(), client_id).await? else {
        return page(OAuthError::invalid_client("there is no such client"));
    };
    if client.state != ClientState::Approved {
        return page(OAuthError::invalid_client(
            "this client is not approved, or switched off",
        ));
    }
    let redirect_uri = match params.get("redirect_uri") {
        Some(asked) if redirect::matches(client.application_type, &client.redirect_uris, asked) => asked,
        Some(_) => {
            return page(OAuthError::invalid_request(
                "redirect_uri is not one that is registered for this client, to the letter",
            ));
        }
        None => match client.redirect_uris.as_slice() {
            [only] => only,
            _ => return page(OAuthError::invalid_request("redirect_uri is missing")),
        },
    };
    let mode = match params.get("response_mode") {
        None | Some("query") => Ok(ResponseMode::Query),
        Some("form_post") => Ok(ResponseMode::FormPost),
        Some(_) => Err(OAuthError::invalid_request(
            "response_mode must be query or form_post",
        )),
    };
    let back = ReturnTo {
        redirect_uri: redirect_uri.to_owned(),
        state: params.get("state").map(str::to_owned),
        mode: *mode.as_ref().unwrap_or(&ResponseMode::Query),
    };
    let told = |error| Refused::Redirect(back.clone(), error);
    mode.map_err(told)?;
    let told = |error| Refused::Redirect(back.clone(), error);
    let request = rest(ctx, &client, &params, &back).await.map_err(told)?;
    Ok((client, request))
}

async fn rest(
    ctx: &Ctx,
    client: &Client,
    params: &Params<'_>,
    back: &ReturnTo,
) -> Result<AuthorizeRequest, OAuthError> {
    if params.get("request").is_some() {
        return Err(OAuthError::new(
            "request_not_supported",
            "request objects are not taken here",
        ));
    }
    if params.get("request_uri").is_some() {
        return Err(OAuthError::new(
            "request_uri_not_supported",
            "request_uri is not taken here",
        ));
    }
    match params.get("response_type") {
        Some("code") => {}
        None => return Err(OAuthError::invalid_request("response_type is missing")),
        Some(_) => {
            return Err(OAuthError::new(
                "unsupported_response_type",
                "only response_type=code: tokens do not travel in URLs here",
            ));
        }
    }
    if !client.has_grant(GrantType::AuthorizationCode) {
        return Err(OAuthError::new(
            "unauthorized_client",
            "authorization_code is not registered for this client",
        ));
    }
    let scopes = scope::parse(params.get("scope").unwrap_or_default(), &client.scopes)?;
    if scopes.is_empty() {
        return Err(OAuthError::invalid_scope("scope is missing: name what is wanted"));
    }
    let resource = params.get("resource");
    if resource.is_some_and(|resource| !metadata::is_resource(&ctx.config, resource)) {
        return Err(OAuthError::new(
            "invalid_target",
            "resource is not one this server issues tokens for",
        ));
    }
    let hinted_subject = match params.get("id_token_hint") {
        Some(hint) => Some(hinted(ctx, hint).await?),
        None => None,
    };
    Ok(AuthorizeRequest {
        redirect_uri: back.redirect_uri.clone(),
        redirect_uri_given: params.get("redirect_uri").is_some(),
        state: back.state.clone(),
        response_mode: back.mode,
        code_challenge: challenge(client, params)?,
        nonce: params.get("nonce").map(str::to_owned),
        prompt: prompts(params.get("prompt"))?,
        max_age: max_age(params.get("max_age"))?,
        login_hint: params
            .get("login_hint")
            .map(|hint| hint.chars().take(254).collect()),
        hinted_subject,
        resource: resource.map(str::to_owned),
        scopes,
    })
}

fn challenge(client: &Client, params: &Params<'_>) -> Result<Option<String>, OAuthError> {
    let method = params.get("code_challenge_method");
    let Some(challenge) = params.get("code_challenge") else {
        if client.require_pkce || method.is_some() {
            return Err(OAuthError::invalid_request(
                "code_challenge is missing: PKCE is required",
            ));
        }
        return Ok(None);
    };
    if method != Some("S256") {
        return Err(OAuthError::invalid_request("code_challenge_method must be S256"));
    }
    let is_base64url = challenge
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    // SHA-256 in base64url has 43 characters, no other length can be one.
    if challenge.len() != 43 || !is_base64url {
        return Err(OAuthError::invalid_request(
            "code_challenge must be the base64url of a SHA-256, 43 characters without padding",
        ));
    }
    Ok(Some(challenge.to_owned()))
}

fn prompts(text: Option<&str>) -> Result<Vec<String>, OAuthError> {
    let values: Vec<String> = text
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    for value in &values {
        if !["none", "login", "consent", "select_account"].contains(&value.as_str()) {
            return Err(OAuthError::invalid_request(
                "prompt has a value that does not exist",
            ));
        }
    }
    if values.len() > 1 && values.iter().any(|value| value == "none") {
        return Err(OAuthError::invalid_request("prompt=none stands alone"));
    }
    Ok(values)
}

fn max_age(text: Option<&str>) -> Result<Option<i64>, OAuthError> {
    match text.map(str::parse::<i64>) {
        None => Ok(None),
        Some(Ok(seconds)) if seconds >= 0 => Ok(Some(seconds)),
        Some(_) => Err(OAuthError::invalid_request("max_age must be a number of seconds")),
    }
}

/// The subject of an ID token of ours; it may be long expired.
async fn hinted(ctx: &Ctx, hint: &str) -> Result<String, OAuthError> {
    let claims = keys::verify(ctx, hint).await?;
    let issuer = metadata::issuer(&ctx.config);
    claims
        .filter(|claims| claims.get("iss").and_then(|iss| iss.as_str()) == Some(issuer.as_str()))
        .and_then(|claims| claims.get("sub").and_then(|sub| sub.as_str()).map(str::to_owned))
        .ok_or_else(|| OAuthError::invalid_request("id_token_hint is not an ID token of this server"))
}

/// What must happen before a checked request can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Somebody must sign in, or sign in again.
    SignIn,
    /// The person must be asked.
    Consent,
    /// Nothing: the code can be given, for these scopes in these projects.
    Ready {
        /// What was allowed.
        scopes: Vec<String>,
        /// In which projects; empty for all.
        projects: Vec<String>,
    },
}

/// Decides the next step. `since` is when the request came in: `prompt=login` is satisfied by a sign-in after it.
///
/// # Errors
/// With `prompt=none`, what would need the person.
pub async fn next_step(
    ctx: &Ctx,
    client: &Client,
    request: &AuthorizeRequest,
    who: Option<(&Session, &User)>,
    since: Option<i64>,
) -> Result<Step, Refused> {
    let silent = request.prompts("none");
    let told = |code, description: &str| {
        Refused::Redirect(ReturnTo::of(request), OAuthError::new(code, description))
    };
    let Some((session, user)) =
        who.filter(|(session, user)| is_signed_in(ctx, request, session, user, since))
    else {
        return match silent {
            true => Err(told("login_required", "nobody suitable is signed in")),
            false => Ok(Step::SignIn),
        };
    };
    let _ = session;
    if client.auto_grant && !request.prompts("consent") {
        return Ok(Step::Ready {
            scopes: request.scopes.clone(),
            projects: Vec::new(),
        });
    }
    let consent = tokens::consent(ctx.db.read(), &user.id, &client.id, ctx.clock.now_ms()).await?;
    let remembered = consent.filter(|consent| {
        // A public client on a device cannot prove that it is the one that was allowed (RFC 8252, section 8.6).
        scope::covers(&consent.scopes, &request.scopes) && (client.is_confidential() || is_web(client))
    });
    match remembered {
        Some(consent) if !request.prompts("consent") => Ok(Step::Ready {
            scopes: request.scopes.clone(),
            projects: consent.projects,
        }),
        _ if silent => Err(told("consent_required", "the person must be asked")),
        _ => Ok(Step::Consent),
    }
}

fn is_web(client: &Client) -> bool {
    client.application_type == redirect::ApplicationType::Web
}

fn is_signed_in(
    ctx: &Ctx,
    request: &AuthorizeRequest,
    session: &Session,
    user: &User,
    since: Option<i64>,
) -> bool {
    let wants_new = request.prompts("login") || request.prompts("select_account");
    let is_new = since.is_some_and(|since| session.created_at >= since);
    let is_too_old = request
        .max_age
        .is_some_and(|seconds| ctx.clock.now_ms() - session.auth_time > seconds * 1000);
    let is_expected = request
        .hinted_subject
        .as_deref()
        .is_none_or(|subject| subject == user.id);
    is_expected && (!wants_new || is_new) && (!is_too_old || is_new)
}

/// Puts a request aside until the person signed in and decided. `browser` names the browser it came from: nobody else
/// can finish it.
pub async fn put_aside(
    ctx: &Ctx,
    client: &Client,
    request: AuthorizeRequest,
    browser: &str,
) -> Result<String, Refused> {
    let now = ctx.clock.now_ms();
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
    let client = client
        .filter(|client| client.state == ClientState::Approved)
        .ok_or_else(gone)?;
    Ok(Pending {
        client,
        request: found.request,
        since: found.created_at,
    })
}

/// What a person allowed.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// The scopes, each among those asked for.
    pub scopes: Vec<String>,
    /// In which projects; empty for all.
    pub projects: Vec<String>,
    /// For how long, seconds; none for until revoked.
    pub seconds: Option<i64>,
}

/// Keeps a person's consent and gives the code.
pub async fn allow(
    ctx: &Ctx,
    pending: &Pending,
    session: &Session,
    user: &User,
    allowed: Allowed,
) -> Result<SecretString, Refused> {
    let request = &pending.request;
    // In the order of the request, each once, whatever the form sent.
    let scopes: Vec<String> = request
        .scopes
        .iter()
        .filter(|scope| allowed.scopes.contains(scope))
        .cloned()
        .collect();
    if scopes.is_empty() {
        return Err(Refused::Redirect(
            ReturnTo::of(request),
            OAuthError::new("access_denied", "nothing was allowed"),
        ));
    }
    let now = ctx.clock.now_ms();
    let before = tokens::consent(ctx.db.read(), &user.id, &pending.client.id, now).await?;
    let mut remembered = scopes.clone();
    // A narrower choice of projects replaces what was allowed before; more scopes in the same projects add to it.
    if let Some(before) = before.filter(|before| before.projects == allowed.projects) {
        for scope in before.scopes {
            if !remembered.contains(&scope) && !request.scopes.contains(&scope) {
                remembered.push(scope);
            }
        }
    }
    let consent = Consent {
        user_id: user.id.clone(),
        client: pending.client.id.clone(),
        scopes: remembered,
        projects: allowed.projects.clone(),
        granted_at: now,
        last_used_at: now,
        expires_at: allowed.seconds.map(|seconds| now + seconds * 1000),
    };
    tokens::put_consent(ctx.db.write(), &consent).await?;
    give_code(
        ctx,
        &pending.client,
        request,
        session,
        user,
        scopes,
        allowed.projects,
    )
    .await
}

/// Gives a code for a request that needs nothing more.
pub async fn give_code(
    ctx: &Ctx,
    client: &Client,
    request: &AuthorizeRequest,
    session: &Session,
    user: &User,
    scopes: Vec<String>,
    projects: Vec<String>,
) -> Result<SecretString, Refused> {
    let now = ctx.clock.now_ms();
    let code = new_prefixed(CODE_PREFIX);
    let row = tokens::Code {
        client: client.id.clone(),
        user_id: user.id.clone(),
        family_id: id::new("fam", &ctx.clock),
        grant: tokens::CodeGrant {
            request: request.clone(),
            scopes,
            projects,
            auth_time: session.auth_time,
        },
        expires_at: now + CODE_MS,
        used_at: None,
    };
    let hash = sha256_hex(code.expose_secret().as_bytes());
    tokens::insert_code(ctx.db.write(), &hash, &row, now).await?;
    Ok(code)
}

/// The apps a person connected, with what they allowed.
pub async fn connected_apps(ctx: &Ctx, user_id: &str) -> Result<Vec<(Client, Consent)>, sea_orm::DbErr> {
    let mut apps = Vec::new();
    for consent in tokens::consents_of(ctx.db.read(), user_id, ctx.clock.now_ms()).await? {
        if let Some(client) = store::client(ctx.db.read(), &consent.client).await? {
            apps.push((client, consent));
        }
    }
    Ok(apps)
}

/// Takes a consent back: every token that hangs on it ends at once. False if there was none.
pub async fn disconnect(ctx: &Ctx, user_id: &str, client: &str) -> Result<bool, sea_orm::DbErr> {
    let txn = ctx.db.begin().await?;
    let found = tokens::delete_consent(&txn, user_id, client).await?;
    tokens::revoke_families_of_user(&txn, user_id, Some(client), ctx.clock.now_ms(), "consent_revoked")
        .await?;
    tokens::delete_codes_of(&txn, user_id, Some(client)).await?;
    txn.commit().await?;
    Ok(found)
}

/// Ends every token and code of a person: their password changed, or their account was switched off. In the transaction
/// that does that.
pub async fn end_all_of_user<C: ConnectionTrait>(
    on: &C,
    now: i64,
    user_id: &str,
    why: &str,
) -> Result<(), sea_orm::DbErr> {
    tokens::revoke_families_of_user(on, user_id, None, now, why).await?;
    tokens::delete_codes_of(on, user_id, None).await
}

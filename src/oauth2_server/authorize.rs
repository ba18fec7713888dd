//! The authorization endpoint (RFC 6749, section 4.1; OpenID Connect Core, section 3.1): what a request must look like,
//! what has to happen before it is answered, and the answer. Pages are `web`'s.

use sea_orm::ConnectionTrait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::error::OAuthError;
use super::model::{
    AuthorizeRequest, ClaimsRequest, Client, ClientState, Consent, GrantType, ResponseMode, SignIn,
};
use super::request::{self, Unfolded};
use super::store::{self, requests, tokens};
use super::{claims, keys, metadata, redirect, scope};
use crate::account::{Session, User};
use crate::audit::{self, NewAuditEvent};
use crate::crypto::{Unproven, new_prefixed, random_token, sha256_hex};
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
    /// Nowhere: a device asks, which fetches its answer itself.
    pub is_device: bool,
}

impl ReturnTo {
    /// Of a checked request.
    pub fn of(request: &AuthorizeRequest) -> Self {
        Self {
            redirect_uri: request.redirect_uri.clone(),
            state: request.state.clone(),
            mode: request.response_mode,
            is_device: request.device.is_some(),
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
pub(super) struct Params<'a>(pub(super) &'a [(String, String)]);

impl<'a> Params<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
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
    let unfolded = request::unfold(ctx, &client, &params).await?;
    let request = checked(ctx, &client, &unfolded).await?;
    Ok((client, request))
}

/// Checks the parameters of a request of this client, wherever they came from.
pub(super) async fn checked(
    ctx: &Ctx,
    client: &Client,
    unfolded: &Unfolded,
) -> Result<AuthorizeRequest, Refused> {
    let params = Params(&unfolded.params);
    let page = |error| Err(Refused::Page(error));
    if params.twice().is_some() {
        return page(OAuthError::invalid_request("a parameter is sent twice"));
    }
    if params.get("client_id") != Some(&client.client_id) {
        return page(OAuthError::invalid_request("client_id names another client"));
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
        is_device: false,
    };
    let told = |error| Refused::Redirect(back.clone(), error);
    mode.map_err(told)?;
    let told = |error| Refused::Redirect(back.clone(), error);
    if client.protocol.require_pushed_request && !unfolded.is_pushed {
        return Err(told(OAuthError::invalid_request(
            "this client must push its requests to the endpoint for pushed requests first",
        )));
    }
    if client.protocol.require_signed_request && !unfolded.is_signed {
        return Err(told(OAuthError::invalid_request(
            "this client must sign its requests",
        )));
    }
    rest(ctx, client, &params, &back).await.map_err(told)
}

async fn rest(
    ctx: &Ctx,
    client: &Client,
    params: &Params<'_>,
    back: &ReturnTo,
) -> Result<AuthorizeRequest, OAuthError> {
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
    metadata::resource(&ctx.config, params.get("resource"))?;
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
        max_age: max_age(params.get("max_age"))?.or(client.protocol.default_max_age),
        login_hint: params
            .get("login_hint")
            .map(|hint| hint.chars().take(254).collect()),
        hinted_subject,
        dpop_jkt: jkt(params.get("dpop_jkt"))?,
        claims: claims_of(params.get("claims"), client)?,
        device: None,
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

/// The thumbprint of a key (RFC 9449, section 10).
fn jkt(text: Option<&str>) -> Result<Option<String>, OAuthError> {
    let is_thumbprint = |text: &str| {
        text.len() == 43
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    match text {
        Some(text) if !is_thumbprint(text) => Err(OAuthError::invalid_request(
            "dpop_jkt must be the SHA-256 thumbprint of a key",
        )),
        other => Ok(other.map(str::to_owned)),
    }
}

/// The parameter `claims`: what of it we have and the client may ask for. The rest is not refused, as OpenID Connect Core,
/// section 5.5.1, wants it.
fn claims_of(text: Option<&str>, client: &Client) -> Result<ClaimsRequest, OAuthError> {
    let Some(text) = text else {
        return Ok(ClaimsRequest::default());
    };
    let wrong = || OAuthError::invalid_request("claims is not the JSON that OpenID Connect describes");
    let asked: Value = serde_json::from_str(text).map_err(|_| wrong())?;
    let members = |place: &str| match asked.get(place) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(members)) => Ok(members.clone()),
        Some(_) => Err(wrong()),
    };
    if !asked.is_object() {
        return Err(wrong());
    }
    let (userinfo, id_token) = (members("userinfo")?, members("id_token")?);
    let named = |members: &Map<String, Value>| -> Vec<String> {
        members
            .keys()
            .filter(|name| {
                claims::scope_of(name).is_some_and(|scope| client.scopes.iter().any(|have| have == scope))
            })
            .cloned()
            .collect()
    };
    let values = |claim: Option<&Value>| -> Vec<String> {
        let one = claim.and_then(|claim| claim.get("value"));
        let several = claim
            .and_then(|claim| claim.get("values"))
            .and_then(Value::as_array);
        one.into_iter()
            .chain(several.into_iter().flatten())
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let is_essential = |claim: &Value| claim.get("essential") == Some(&Value::Bool(true));
    let acr = id_token.get("acr").filter(|claim| is_essential(claim));
    let subject = values(id_token.get("sub")).into_iter().next();
    Ok(ClaimsRequest {
        userinfo: named(&userinfo),
        id_token: named(&id_token),
        subject: subject.or_else(|| values(userinfo.get("sub")).into_iter().next()),
        essential_acr: values(acr),
    })
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
    // Access tokens and answers of introspection are signed with the same keys, and are no ID tokens.
    let is_id_token = Unproven::read(hint).is_some_and(|read| read.typ() == "jwt");
    let claims = keys::verify(ctx, hint).await?.filter(|_| is_id_token);
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
    if let Some(refused) = unmet(request, session, since) {
        return match silent || refused {
            true => Err(told(
                "unmet_authentication_requirements",
                "nobody can sign in here in a way that the request demands",
            )),
            false => Ok(Step::SignIn),
        };
    }
    let asked = request.asked_scopes();
    // A device is never allowed silently: its code may have been sent by somebody else.
    if request.device.is_some() {
        return Ok(Step::Consent);
    }
    if client.auto_grant && !request.prompts("consent") {
        return Ok(Step::Ready {
            scopes: asked,
            projects: Vec::new(),
        });
    }
    let consent = tokens::consent(ctx.db.read(), &user.id, &client.id, ctx.clock.now_ms()).await?;
    let remembered = consent.filter(|consent| {
        // A public client on a device cannot prove that it is the one that was allowed (RFC 8252, section 8.6).
        scope::covers(&consent.scopes, &asked) && (client.is_confidential() || is_web(client))
    });
    match remembered {
        Some(consent) if !request.prompts("consent") => Ok(Step::Ready {
            scopes: asked,
            projects: consent.projects,
        }),
        _ if silent => Err(told("consent_required", "the person must be asked")),
        _ => Ok(Step::Consent),
    }
}

/// Whether the sign-in is of no class that the request demands: `Some(true)` if signing in again was of no use.
fn unmet(request: &AuthorizeRequest, session: &Session, since: Option<i64>) -> Option<bool> {
    let demanded = &request.claims.essential_acr;
    let acr = SignIn::of(session).acr();
    // Two factors are good where one is enough.
    let is_met = demanded.is_empty()
        || demanded
            .iter()
            .any(|asked| asked == acr || (asked == SignIn::SINGLE && acr == SignIn::MULTI));
    let is_new = since.is_some_and(|since| session.created_at >= since);
    (!is_met).then_some(is_new)
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
    let is_too_old = request.max_age.is_some_and(|seconds| {
        ctx.clock.now_ms() - SignIn::of(session).auth_time > seconds.saturating_mul(1000)
    });
    let is_expected = [&request.hinted_subject, &request.claims.subject]
        .into_iter()
        .flatten()
        .all(|subject| *subject == user.id);
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

/// What an allowed request ends in.
#[derive(Debug)]
pub enum Given {
    /// A code, to be sent to the client.
    Code(SecretString),
    /// Nothing to send: the device fetches it.
    Device,
}

/// Keeps a person's consent, and gives the code or lets the device have its tokens.
pub async fn allow(
    ctx: &Ctx,
    pending: &Pending,
    session: &Session,
    user: &User,
    allowed: Allowed,
) -> Result<Given, Refused> {
    let request = &pending.request;
    // In the order of the request, each once, whatever the form sent.
    let scopes: Vec<String> = request
        .asked_scopes()
        .into_iter()
        .filter(|scope| allowed.scopes.contains(scope))
        .collect();
    if !request.scopes.iter().any(|scope| scopes.contains(scope)) {
        deny_device(ctx, request, &user.id).await?;
        return Err(Refused::Redirect(
            ReturnTo::of(request),
            OAuthError::new("access_denied", "nothing was allowed"),
        ));
    }
    let now = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    let before = tokens::consent(&txn, &user.id, &pending.client.id, now).await?;
    let mut remembered = scopes.clone();
    // A narrower choice of projects replaces what was allowed before; more scopes in the same projects add to it.
    if let Some(before) = before
        .as_ref()
        .filter(|before| before.projects == allowed.projects)
    {
        for scope in &before.scopes {
            if !remembered.contains(scope) && !request.asked_scopes().contains(scope) {
                remembered.push(scope.clone());
            }
        }
    }
    // What was given before and goes beyond what is allowed from now on ends with this decision.
    let is_narrower = before.as_ref().is_some_and(|before| {
        !scope::covers(&remembered, &before.scopes)
            || (!allowed.projects.is_empty()
                && (before.projects.is_empty() || !scope::covers(&allowed.projects, &before.projects)))
    });
    if is_narrower {
        end_given(&txn, &user.id, Some(&pending.client.id), now, "consent_narrowed").await?;
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
    tokens::put_consent(&txn, &consent).await?;
    let grant = granted(request, session, scopes, allowed.projects);
    let given = match &request.device {
        Some(device) => {
            if !requests::decide_device(&txn, &device.code_hash, &user.id, Some(&grant), now).await? {
                return Err(Refused::Page(OAuthError {
                    status: 403,
                    ..OAuthError::new(
                        "expired_token",
                        "the code of the device is over, or was used already",
                    )
                }));
            }
            Given::Device
        }
        None => Given::Code(insert_code(ctx, &txn, &pending.client, user, grant).await?),
    };
    let noted = NewAuditEvent::new("consent.granted", "client", &pending.client.id)
        .by(&user.id)
        .in_project(&pending.client.project_id)
        .saying(json!({
            "scopes": consent.scopes, "projects": consent.projects, "device": request.device.is_some(),
        }));
    audit::append(&txn, &ctx.clock, noted).await?;
    txn.commit().await?;
    Ok(given)
}

/// Tells a device that the person refused; of other requests nothing is kept.
pub async fn refuse(ctx: &Ctx, pending: &Pending, user: &User) -> Result<(), Refused> {
    Ok(deny_device(ctx, &pending.request, &user.id).await?)
}

async fn deny_device(ctx: &Ctx, request: &AuthorizeRequest, user_id: &str) -> Result<(), sea_orm::DbErr> {
    if let Some(device) = &request.device {
        let now = ctx.clock.now_ms();
        requests::decide_device(ctx.db.write(), &device.code_hash, user_id, None, now).await?;
    }
    Ok(())
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
    let grant = granted(request, session, scopes, projects);
    Ok(insert_code(ctx, ctx.db.write(), client, user, grant).await?)
}

/// What was allowed of a request: its own scopes, and the single claims whose scopes are among `allowed`.
fn granted(
    request: &AuthorizeRequest,
    session: &Session,
    allowed: Vec<String>,
    projects: Vec<String>,
) -> tokens::CodeGrant {
    let is_allowed =
        |name: &String| claims::scope_of(name).is_some_and(|scope| allowed.iter().any(|have| have == scope));
    let mut claims = request.claims.clone();
    claims.userinfo.retain(is_allowed);
    claims.id_token.retain(is_allowed);
    let mut sign_in = SignIn::of(session);
    if request.device.is_some() {
        // A device goes on when the browser that allowed it signs out.
        sign_in.sid.clear();
    }
    tokens::CodeGrant {
        scopes: request
            .scopes
            .iter()
            .filter(|scope| allowed.contains(scope))
            .cloned()
            .collect(),
        projects,
        sign_in,
        claims,
        request: request.clone(),
    }
}

async fn insert_code<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    client: &Client,
    user: &User,
    grant: tokens::CodeGrant,
) -> Result<SecretString, sea_orm::DbErr> {
    let now = ctx.clock.now_ms();
    let code = new_prefixed(CODE_PREFIX);
    let row = tokens::Code {
        client: client.id.clone(),
        user_id: user.id.clone(),
        family_id: id::new("fam", &ctx.clock),
        grant,
        expires_at: now + CODE_MS,
        used_at: None,
    };
    let hash = sha256_hex(code.expose_secret().as_bytes());
    tokens::insert_code(on, &hash, &row, now).await?;
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
    let now = ctx.clock.now_ms();
    end_given(&txn, user_id, Some(client), now, "consent_revoked").await?;
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
    end_given(on, user_id, None, now, why).await
}

/// Ends what a person gave: tokens, codes, and devices that wait for theirs. Of one client, or of all.
async fn end_given<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    client: Option<&str>,
    now: i64,
    why: &str,
) -> Result<(), sea_orm::DbErr> {
    tokens::revoke_families_of_user(on, user_id, client, now, why).await?;
    tokens::delete_codes_of(on, user_id, client).await?;
    requests::deny_devices_of(on, user_id, client).await
}

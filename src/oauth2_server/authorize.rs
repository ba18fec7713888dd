//! The authorization endpoint (RFC 6749, section 4.1; OpenID Connect Core, section 3.1): what a request must look like.
//! What happens then is in `decide`; pages are `web`'s.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::error::OAuthError;
use super::model::{AuthorizeRequest, ClaimsRequest, Client, ClientState, GrantType, Legacy, ResponseMode};
use super::request::{self, Unfolded};
use super::store;
use super::{claims, keys, metadata, redirect, scope};
use crate::ctx::Ctx;

/// Longest `state` and `nonce`, bytes: both are kept while a person decides, and travel back.
const MAX_VALUE: usize = 2_048;

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

    fn twice(&self) -> bool {
        is_twice(self.0)
    }
}

/// Whether a parameter is there twice that must not be. In one pass: anybody may send as many as a body holds.
pub(super) fn is_twice(params: &[(String, String)]) -> bool {
    let mut seen = HashSet::new();
    !params
        .iter()
        .all(|(name, _)| name == metadata::RESOURCE || seen.insert(name.as_str()))
}

/// Checks a request of the authorization endpoint.
///
/// # Errors
/// A page for everything that makes the redirect URI doubtful, an answer to the client for the rest.
pub async fn check(ctx: &Ctx, params: &[(String, String)]) -> Result<(Client, AuthorizeRequest), Refused> {
    let params = Params(params);
    let page = |error| Err(Refused::Page(error));
    if params.twice() {
        return page(OAuthError::invalid_request("a parameter is sent twice"));
    }
    let Some(client_id) = params.get("client_id") else {
        return page(OAuthError::invalid_request("the client_id is missing"));
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
    if params.twice() {
        return page(OAuthError::invalid_request("a parameter is sent twice"));
    }
    if params.get("client_id") != Some(&client.client_id) {
        return page(OAuthError::invalid_request("the client_id names another client"));
    }
    let redirect_uri = match params.get("redirect_uri") {
        Some(asked) if redirect::matches(client.application_type, &client.redirect_uris, asked) => asked,
        Some(_) => {
            return page(OAuthError::invalid_request(
                "the redirect_uri is not one that is registered for this client, to the letter",
            ));
        }
        // OpenID Connect always wants it (Core, section 3.1.2.1), OAuth 2.0 where there is a choice.
        None => match client.redirect_uris.as_slice() {
            [only] if !asks_for(&params, "openid") => only,
            _ => return page(OAuthError::invalid_request("the redirect_uri is missing")),
        },
    };
    let (mode, is_refused) = mode_of(client, &params);
    let back = ReturnTo {
        redirect_uri: redirect_uri.to_owned(),
        state: params.get("state").map(str::to_owned),
        mode,
        is_device: false,
    };
    let told = |error| Refused::Redirect(back.clone(), error);
    if is_refused {
        return Err(told(OAuthError::invalid_request(
            "response_mode must be query or form_post, and with an ID token fragment or form_post",
        )));
    }
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

/// Whether a scope is among those asked for.
fn asks_for(params: &Params<'_>, scope: &str) -> bool {
    let asked = params.get("scope").unwrap_or_default();
    asked.split(' ').any(|one| one == scope)
}

/// Whether an ID token is asked for beside the code, by a client that may have that.
fn asks_id_token(client: &Client, params: &Params<'_>) -> bool {
    // The order of the words means nothing (RFC 6749, section 3.1.1).
    client.may(Legacy::Hybrid)
        && matches!(
            params.get("response_type"),
            Some("code id_token" | "id_token code")
        )
}

/// How the answer travels, errors too, and whether what was asked for is another way.
pub(super) fn mode_of(client: &Client, params: &Params<'_>) -> (ResponseMode, bool) {
    let usual = match asks_id_token(client, params) {
        true => ResponseMode::Fragment,
        false => ResponseMode::Query,
    };
    match (params.get("response_mode"), usual) {
        (Some("form_post"), _) => (ResponseMode::FormPost, false),
        (None, _) | (Some("query"), ResponseMode::Query) | (Some("fragment"), ResponseMode::Fragment) => {
            (usual, false)
        }
        (Some(_), _) => (usual, true),
    }
}

async fn rest(
    ctx: &Ctx,
    client: &Client,
    params: &Params<'_>,
    back: &ReturnTo,
) -> Result<AuthorizeRequest, OAuthError> {
    for name in ["state", "nonce"] {
        if params.get(name).is_some_and(|value| value.len() > MAX_VALUE) {
            return Err(OAuthError::invalid_request(format!(
                "{name} is longer than {MAX_VALUE} bytes"
            )));
        }
    }
    let with_id_token = asks_id_token(client, params);
    match params.get("response_type") {
        Some("code") => {}
        Some(_) if with_id_token => {}
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
    if with_id_token && !scopes.iter().any(|scope| scope == "openid") {
        return Err(OAuthError::invalid_scope("an ID token needs the scope openid"));
    }
    if with_id_token && params.get("nonce").is_none() {
        return Err(OAuthError::invalid_request(
            "nonce is missing: an ID token that comes through the browser needs one",
        ));
    }
    metadata::check_resources(&ctx.config, params.0)?;
    let (code_challenge, plain_challenge) = challenge(client, params)?;
    let hinted_subject = match params.get("id_token_hint") {
        Some(hint) => Some(hinted(ctx, hint).await?),
        None => None,
    };
    Ok(AuthorizeRequest {
        redirect_uri: back.redirect_uri.clone(),
        redirect_uri_given: params.get("redirect_uri").is_some(),
        state: back.state.clone(),
        response_mode: back.mode,
        code_challenge,
        plain_challenge,
        with_id_token,
        nonce: params.get("nonce").map(str::to_owned),
        prompt: prompts(params.get("prompt"))?,
        max_age: max_age(params.get("max_age"))?.or(client.protocol.default_max_age),
        login_hint: params
            .get("login_hint")
            .map(|hint| hint.chars().take(254).collect()),
        hinted_subject,
        dpop_jkt: jkt(params.get("dpop_jkt"))?,
        claims: claims_of(params, client)?,
        device: None,
        scopes,
    })
}

/// The PKCE challenge, and whether its method is `plain`.
fn challenge(client: &Client, params: &Params<'_>) -> Result<(Option<String>, bool), OAuthError> {
    let method = params.get("code_challenge_method");
    let Some(challenge) = params.get("code_challenge") else {
        if client.require_pkce || method.is_some() {
            return Err(OAuthError::invalid_request(
                "code_challenge is missing: PKCE is required",
            ));
        }
        return Ok((None, false));
    };
    // Without a method it is `plain` (RFC 7636, section 4.3).
    if client.may(Legacy::PlainPkce) && matches!(method, None | Some("plain")) {
        return match is_verifier(challenge) {
            true => Ok((Some(challenge.to_owned()), true)),
            false => Err(OAuthError::invalid_request(
                "code_challenge must be a verifier of 43 to 128 letters, digits and -._~",
            )),
        };
    }
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
    Ok((Some(challenge.to_owned()), false))
}

/// Whether a text has the form of a PKCE verifier (RFC 7636, section 4.1).
pub(super) fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
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

/// The parameters `claims` and `acr_values`: what of them we have and the client may ask for. The rest is not refused, as
/// OpenID Connect Core, section 5.5.1, wants it.
fn claims_of(params: &Params<'_>, client: &Client) -> Result<ClaimsRequest, OAuthError> {
    let wished: Vec<String> = params
        .get("acr_values")
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let Some(text) = params.get("claims") else {
        return Ok(ClaimsRequest {
            wished_acr: wished,
            ..ClaimsRequest::default()
        });
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
    let acr = id_token.get("acr");
    let is_demanded = acr.is_some_and(is_essential);
    let classes = values(acr);
    let subject = values(id_token.get("sub")).into_iter().next();
    Ok(ClaimsRequest {
        userinfo: named(&userinfo),
        id_token: named(&id_token),
        subject: subject.or_else(|| values(userinfo.get("sub")).into_iter().next()),
        wished_acr: match is_demanded || classes.is_empty() {
            true => wished,
            false => classes.clone(),
        },
        essential_acr: match is_demanded {
            true => classes,
            false => Vec::new(),
        },
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
    let read = keys::id_token(ctx, hint).await?;
    read.and_then(|read| read.text("sub").map(str::to_owned))
        .ok_or_else(|| OAuthError::invalid_request("id_token_hint is not an ID token of this server"))
}

//! The OAuth side of the sandbox: discovery, consent page, token endpoint, and what goes with them.
//!
//! Kept to what a mail provider shows a client: authorization code with PKCE S256, refresh with rotation,
//! client credentials, RFC 7662 introspection (a mail server asks it), RFC 7009 revocation and an
//! OpenID Connect userinfo. Mailgrant's own authorization server takes this file's place when it exists;
//! until then nothing outside the sandbox may rely on it.

use std::collections::{BTreeSet, HashMap};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::{Url, form_urlencoded};

use super::faults::{TokenFault, TokenFaultKind};
use super::pages;
use super::tokens::{Authorization, GrantRefused, IssuedTokens, random_text};
use super::{Decision, Shared};

/// The scopes this provider knows.
pub(super) const SCOPES: [&str; 5] = ["openid", "email", "profile", "imap", "offline_access"];

type Params = HashMap<String, String>;

/// Registers every route.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/.well-known/openid-configuration", web::get().to(discovery))
        .route(
            "/.well-known/oauth-authorization-server",
            web::get().to(discovery),
        )
        .route("/jwks", web::get().to(jwks))
        .route("/sandbox.css", web::get().to(pages::style))
        .route("/authorize", web::get().to(authorize))
        .route("/authorize/decision", web::post().to(decide))
        .route("/token", web::post().to(token))
        .route("/userinfo", web::get().to(userinfo))
        .route("/userinfo", web::post().to(userinfo))
        .route("/introspect", web::get().to(introspect))
        .route("/introspect", web::post().to(introspect))
        .route("/revoke", web::post().to(revoke));
}

/// An authorization request that was found good, waiting for the mailbox owner's decision.
#[derive(Clone)]
pub(super) struct PendingConsent {
    /// The asking client.
    pub client_id: String,
    /// Its name, for the page.
    pub client_name: String,
    /// Where the answer goes.
    pub redirect_uri: Url,
    /// The same as it was written, which is what the token request has to repeat.
    redirect_text: String,
    /// The scopes asked for.
    pub scopes: BTreeSet<String>,
    /// Preselected account.
    pub account: String,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: String,
    offline: bool,
    expires_at_ms: i64,
}

/// Why an authorization request is not put before the mailbox owner.
pub(super) enum AuthorizeRefused {
    /// The redirect URL cannot be trusted, so the text goes to the person and nowhere else.
    OnPage(String),
    /// The client is told by a redirect (RFC 6749, section 4.1.2.1).
    ByRedirect {
        /// Where to.
        redirect_uri: Box<Url>,
        /// The client's state.
        state: Option<String>,
        /// The error code.
        error: &'static str,
        /// What is wrong.
        description: String,
    },
}

async fn discovery(shared: web::Data<Shared>) -> HttpResponse {
    let issuer = &shared.issuer;
    shared.note("discovery", None, "ok");
    HttpResponse::Ok().json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": SCOPES,
        "claims_supported": ["sub", "email", "email_verified", "name"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["HS256"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

/// Empty: id_tokens are signed with the client's secret, and that is no public key.
async fn jwks() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "keys": [] }))
}

async fn authorize(shared: web::Data<Shared>, query: web::Query<Params>) -> HttpResponse {
    match check_request(&shared, &query) {
        Ok(pending) => {
            let id = random_text("");
            let page = pages::consent(&shared, &id, &pending);
            let origin = pending.redirect_uri.origin().ascii_serialization();
            shared.pending().insert(id, pending);
            shared.note("authorize", None, "asked");
            pages::respond(StatusCode::OK, &origin, page)
        }
        Err(refused) => answer_refused(&shared, refused),
    }
}

async fn decide(shared: web::Data<Shared>, body: web::Bytes) -> HttpResponse {
    let form = parse_form(&body);
    let now_ms = shared.clock.now_ms();
    let pending = (form.get("request"))
        .and_then(|id| shared.pending().remove(id))
        .filter(|pending| pending.expires_at_ms > now_ms);
    let Some(pending) = pending else {
        let text = "This request is over. Go back to the application and start again.";
        return answer_refused(&shared, AuthorizeRefused::OnPage(text.to_owned()));
    };
    let decision = match form.get("decision").map(String::as_str) {
        Some("allow") => Decision::Allow,
        _ => Decision::Refuse,
    };
    let account = form
        .get("account")
        .cloned()
        .unwrap_or_else(|| pending.account.clone());
    let location = conclude(&shared, pending, decision, &account);
    redirect(&location)
}

fn redirect(location: &Url) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, location.as_str()))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .finish()
}

fn answer_refused(shared: &Shared, refused: AuthorizeRefused) -> HttpResponse {
    match refused {
        AuthorizeRefused::OnPage(text) => {
            shared.note("authorize", None, "refused");
            pages::respond(
                StatusCode::BAD_REQUEST,
                "",
                pages::message("This request cannot go on", &text),
            )
        }
        refused @ AuthorizeRefused::ByRedirect { .. } => match refused_location(shared, refused) {
            Ok(location) => redirect(&location),
            Err(text) => answer_refused(shared, AuthorizeRefused::OnPage(text)),
        },
    }
}

/// The redirect that tells a client what was wrong, or the text for the person when there is none.
pub(super) fn refused_location(shared: &Shared, refused: AuthorizeRefused) -> Result<Url, String> {
    match refused {
        AuthorizeRefused::OnPage(text) => Err(text),
        AuthorizeRefused::ByRedirect {
            mut redirect_uri,
            state,
            error,
            description,
        } => {
            shared.note("authorize", None, error);
            redirect_uri
                .query_pairs_mut()
                .append_pair("error", error)
                .append_pair("error_description", &description);
            finish_redirect(shared, &mut redirect_uri, state.as_deref());
            Ok(*redirect_uri)
        }
    }
}

fn finish_redirect(shared: &Shared, redirect_uri: &mut Url, state: Option<&str>) {
    let mut query = redirect_uri.query_pairs_mut();
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    // RFC 9207: which server this answer comes from.
    query.append_pair("iss", &shared.issuer);
}

/// Checks an authorization request; what may not be redirected is told apart from what may.
pub(super) fn check_request(shared: &Shared, params: &Params) -> Result<PendingConsent, AuthorizeRefused> {
    let on_page = |text: &str| AuthorizeRefused::OnPage(text.to_owned());
    let client_id = params
        .get("client_id")
        .ok_or_else(|| on_page("The client_id is missing."))?;
    let client_name = shared
        .client_name(client_id)
        .ok_or_else(|| on_page("No application has this client_id."))?;
    let redirect_uri = params
        .get("redirect_uri")
        .ok_or_else(|| on_page("The redirect_uri is missing."))?;
    if !shared.redirect_is_allowed(redirect_uri) {
        return Err(on_page(
            "The redirect_uri is not registered for this application.",
        ));
    }
    let redirect_text = redirect_uri.clone();
    let redirect_uri = Url::parse(redirect_uri).map_err(|_| on_page("The redirect_uri is not a URL."))?;
    let state = params.get("state").cloned();
    let refuse = |error: &'static str, description: &str| AuthorizeRefused::ByRedirect {
        redirect_uri: Box::new(redirect_uri.clone()),
        state: state.clone(),
        error,
        description: description.to_owned(),
    };
    if params.get("response_type").map(String::as_str) != Some("code") {
        return Err(refuse(
            "unsupported_response_type",
            "only response_type=code is supported",
        ));
    }
    if params.get("code_challenge_method").map(String::as_str) != Some("S256") {
        return Err(refuse(
            "invalid_request",
            "PKCE with code_challenge_method=S256 is required",
        ));
    }
    let code_challenge = params
        .get("code_challenge")
        .filter(|challenge| challenge.len() == 43)
        .ok_or_else(|| refuse("invalid_request", "code_challenge must be 43 characters"))?
        .clone();
    let scopes = parse_scopes(params.get("scope").map_or("", String::as_str))
        .map_err(|unknown| refuse("invalid_scope", &format!("unknown scope: {unknown}")))?;
    let hinted = params.get("login_hint").filter(|hint| shared.has_account(hint));
    let account = hinted.cloned().unwrap_or_else(|| shared.options.mailbox.clone());
    let offline = scopes.contains("offline_access")
        || params
            .get("access_type")
            .is_some_and(|access_type| access_type == "offline");
    Ok(PendingConsent {
        client_id: client_id.clone(),
        client_name,
        scopes,
        account,
        nonce: params.get("nonce").cloned(),
        code_challenge,
        offline,
        expires_at_ms: shared.clock.now_ms() + 600_000,
        state,
        redirect_uri,
        redirect_text,
    })
}

/// Carries out the mailbox owner's decision: the redirect with a code, or with `access_denied`.
pub(super) fn conclude(shared: &Shared, pending: PendingConsent, decision: Decision, account: &str) -> Url {
    let PendingConsent {
        client_id,
        mut redirect_uri,
        redirect_text,
        scopes,
        state,
        nonce,
        code_challenge,
        offline,
        ..
    } = pending;
    match decision {
        Decision::Allow if shared.has_account(account) => {
            let scopes = limited(shared, scopes);
            let authorization = Authorization {
                client_id,
                scopes,
                account: Some(account.to_owned()),
                nonce,
                offline,
            };
            let now = shared.clock.now();
            let code = shared
                .tokens()
                .issue_code(authorization, &redirect_text, &code_challenge, now);
            redirect_uri.query_pairs_mut().append_pair("code", &code);
            shared.note("authorize", None, "allowed");
        }
        _ => {
            redirect_uri
                .query_pairs_mut()
                .append_pair("error", "access_denied")
                .append_pair("error_description", "the mailbox owner refused");
            shared.note("authorize", None, "access_denied");
        }
    }
    finish_redirect(shared, &mut redirect_uri, state.as_deref());
    redirect_uri
}

fn limited(shared: &Shared, scopes: BTreeSet<String>) -> BTreeSet<String> {
    match shared.faults.granted_scopes() {
        Some(granted) => scopes.intersection(&granted).cloned().collect(),
        None => scopes,
    }
}

fn parse_scopes(text: &str) -> Result<BTreeSet<String>, String> {
    let scopes: BTreeSet<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    match scopes.iter().find(|scope| !SCOPES.contains(&scope.as_str())) {
        Some(unknown) => Err(unknown.clone()),
        None => Ok(scopes),
    }
}

fn parse_form(body: &[u8]) -> Params {
    form_urlencoded::parse(body).into_owned().collect()
}

/// An error answer of the token endpoint (RFC 6749, section 5.2).
struct TokenError {
    status: StatusCode,
    error: &'static str,
    description: String,
}

impl TokenError {
    fn bad_request(error: &'static str, description: impl Into<String>) -> TokenError {
        TokenError {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
        }
    }

    fn invalid_client() -> TokenError {
        TokenError {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            description: "unknown client or wrong client secret".to_owned(),
        }
    }

    fn answer(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"sandbox\""));
        }
        no_store(&mut response).json(json!({ "error": self.error, "error_description": self.description }))
    }
}

impl From<GrantRefused> for TokenError {
    fn from(refused: GrantRefused) -> TokenError {
        let error = match refused {
            GrantRefused::ScopeTooWide => "invalid_scope",
            _ => "invalid_grant",
        };
        TokenError::bad_request(error, refused.to_string())
    }
}

fn no_store(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
}

async fn token(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let form = parse_form(&body);
    let grant_type = form.get("grant_type").cloned().unwrap_or_default();
    // Only names this server knows may reach the log: the field is the caller's text.
    let known = ["authorization_code", "refresh_token", "client_credentials"];
    let logged = known
        .into_iter()
        .find(|name| *name == grant_type)
        .unwrap_or("other");
    let fault = shared.faults.next_token_fault(&grant_type);
    if let Some(fault) = &fault {
        tokio::time::sleep(fault.delay).await;
        if let TokenFaultKind::Answer {
            status,
            headers,
            body,
        } = &fault.kind
        {
            shared.note("token", Some(logged), "fault");
            return canned(*status, headers, body);
        }
    }
    let answered = issue_tokens(&shared, &request, &form, &grant_type)
        .and_then(|(client_id, issued)| token_answer(&shared, &client_id, issued));
    shared.note(
        "token",
        Some(logged),
        answered.as_ref().map_or_else(|refused| refused.error, |_| "ok"),
    );
    match answered {
        Ok(answer) => spoil(fault, answer),
        Err(refused) => refused.answer(),
    }
}

fn canned(status: u16, headers: &[(String, String)], body: &str) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CONTENT_TYPE, "application/json"));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            response.insert_header((name, value));
        }
    }
    response.body(body.to_owned())
}

fn spoil(fault: Option<TokenFault>, mut answer: Value) -> HttpResponse {
    match fault.map(|fault| fault.kind) {
        Some(TokenFaultKind::LoseAnswer) => {
            let broken = futures_util::stream::once(async {
                Err::<web::Bytes, _>(std::io::Error::other("the sandbox loses this answer"))
            });
            HttpResponse::Ok()
                .content_type("application/json")
                .streaming(broken)
        }
        Some(TokenFaultKind::Rewrite(change)) => {
            change(&mut answer);
            no_store(&mut HttpResponse::Ok()).json(answer)
        }
        _ => no_store(&mut HttpResponse::Ok()).json(answer),
    }
}

fn issue_tokens(
    shared: &Shared,
    request: &HttpRequest,
    form: &Params,
    grant_type: &str,
) -> Result<(String, IssuedTokens), TokenError> {
    let client_id = authenticate_client(shared, request, form)?;
    let field = |name: &'static str| {
        form.get(name)
            .map(String::as_str)
            .ok_or_else(|| TokenError::bad_request("invalid_request", format!("{name} is missing")))
    };
    let (life, now) = (shared.access_token_life(), shared.clock.now());
    let scopes = form
        .get("scope")
        .map(|scope| parse_scopes(scope))
        .transpose()
        .map_err(|unknown| TokenError::bad_request("invalid_scope", format!("unknown scope: {unknown}")))?;
    let issued = match grant_type {
        "authorization_code" => shared.tokens().redeem_code(
            field("code")?,
            &client_id,
            field("redirect_uri")?,
            field("code_verifier")?,
            life,
            now,
        )?,
        "refresh_token" => shared.tokens().refresh(
            field("refresh_token")?,
            &client_id,
            scopes,
            shared.options.rotate_refresh,
            life,
            now,
        )?,
        "client_credentials" => {
            let scopes = limited(
                shared,
                scopes.unwrap_or_else(|| BTreeSet::from(["imap".to_owned()])),
            );
            shared.tokens().issue_for_client(&client_id, scopes, life, now)
        }
        _ => {
            return Err(TokenError::bad_request(
                "unsupported_grant_type",
                "not a grant of this server",
            ));
        }
    };
    Ok((client_id, issued))
}

/// Who is calling: HTTP Basic with form-encoded parts, or the two fields of the form (RFC 6749, section 2.3.1).
fn authenticate_client(shared: &Shared, request: &HttpRequest, form: &Params) -> Result<String, TokenError> {
    let (id, secret) = match basic_credentials(request) {
        Some(credentials) => credentials,
        None => (
            form.get("client_id")
                .cloned()
                .ok_or_else(TokenError::invalid_client)?,
            form.get("client_secret")
                .cloned()
                .ok_or_else(TokenError::invalid_client)?,
        ),
    };
    let expected = shared
        .client_secret_of(&id)
        .ok_or_else(TokenError::invalid_client)?;
    let same: bool = secret
        .as_bytes()
        .ct_eq(expected.expose_secret().as_bytes())
        .into();
    if same {
        Ok(id)
    } else {
        Err(TokenError::invalid_client())
    }
}

fn basic_credentials(request: &HttpRequest) -> Option<(String, String)> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decoded(id), form_decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    // A lone value parsed as a form is a key without a value.
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map(|(key, _)| key.into_owned())
        .unwrap_or_default()
}

fn token_answer(shared: &Shared, client_id: &str, issued: IssuedTokens) -> Result<Value, TokenError> {
    let IssuedTokens {
        access_token,
        refresh_token,
        expires_in,
        authorization,
    } = issued;
    let scopes: Vec<&str> = authorization.scopes.iter().map(String::as_str).collect();
    let mut answer = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": expires_in.num_seconds(),
        "scope": scopes.join(" "),
    });
    if let Some(refresh_token) = refresh_token {
        answer["refresh_token"] = Value::String(refresh_token);
    }
    if authorization.account.is_some() && authorization.scopes.contains("openid") {
        answer["id_token"] = Value::String(id_token(shared, client_id, &authorization)?);
    }
    Ok(answer)
}

/// An id_token signed by HMAC with the client's secret (OpenID Connect Core, section 10.1).
fn id_token(shared: &Shared, client_id: &str, authorization: &Authorization) -> Result<String, TokenError> {
    let secret = shared
        .client_secret_of(client_id)
        .ok_or_else(TokenError::invalid_client)?;
    let now = shared.clock.now().timestamp();
    let mut claims = claims(authorization);
    claims["iss"] = Value::String(shared.issuer.clone());
    claims["aud"] = Value::String(client_id.to_owned());
    claims["iat"] = Value::from(now);
    claims["exp"] = Value::from(now + shared.access_token_life().num_seconds());
    if let Some(nonce) = &authorization.nonce {
        claims["nonce"] = Value::String(nonce.clone());
    }
    let head = URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "typ": "JWT" }).to_string());
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .map_err(|_| TokenError::bad_request("server_error", "the id_token could not be signed"))?;
    mac.update(signed.as_bytes());
    Ok(format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    ))
}

/// What is said about the owner of a token. Without an account the client itself is the subject.
fn claims(authorization: &Authorization) -> Value {
    match &authorization.account {
        None => json!({ "sub": authorization.client_id }),
        Some(account) => {
            let name = account.split('@').next().unwrap_or(account);
            json!({ "sub": subject(account), "email": account, "email_verified": true, "name": name })
        }
    }
}

fn subject(account: &str) -> String {
    let digest = Sha256::digest(account.as_bytes());
    format!(
        "sandbox-{}",
        hex::encode(digest.iter().take(8).copied().collect::<Vec<u8>>())
    )
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

async fn userinfo(shared: web::Data<Shared>, request: HttpRequest) -> HttpResponse {
    let token = bearer(&request).unwrap_or_default();
    match shared.tokens().inspect(token, shared.clock.now()) {
        Some(info) => {
            shared.note("userinfo", None, "ok");
            no_store(&mut HttpResponse::Ok()).json(claims(&info.authorization))
        }
        None => {
            shared.note("userinfo", None, "invalid_token");
            HttpResponse::Unauthorized()
                .insert_header((header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""))
                .json(json!({ "error": "invalid_token" }))
        }
    }
}

/// RFC 7662. A mail server may ask without credentials (this listens on loopback only), but wrong
/// credentials are refused. The token comes in the form, in the query or as the bearer, since mail servers
/// have a setting for each.
async fn introspect(
    shared: web::Data<Shared>,
    request: HttpRequest,
    query: web::Query<Params>,
    body: web::Bytes,
) -> HttpResponse {
    let form = parse_form(&body);
    let has_credentials = basic_credentials(&request).is_some() || form.contains_key("client_secret");
    if has_credentials && let Err(refused) = authenticate_client(&shared, &request, &form) {
        return refused.answer();
    }
    let token = (form
        .get("token")
        .or_else(|| query.get("token"))
        .map(String::as_str))
    .or_else(|| bearer(&request))
    .unwrap_or_default();
    let Some(info) = shared.tokens().inspect(token, shared.clock.now()) else {
        shared.note("introspect", None, "inactive");
        return HttpResponse::Ok().json(json!({ "active": false }));
    };
    shared.note("introspect", None, "active");
    // A client that acts for itself may open the mailbox of this sandbox, as an app-only grant would.
    let username = info
        .authorization
        .account
        .clone()
        .unwrap_or_else(|| shared.options.mailbox.clone());
    let scopes: Vec<&str> = info.authorization.scopes.iter().map(String::as_str).collect();
    let mut answer = claims(&info.authorization);
    answer["active"] = Value::Bool(true);
    answer["iss"] = Value::String(shared.issuer.clone());
    answer["client_id"] = Value::String(info.authorization.client_id.clone());
    answer["email"] = Value::String(username.clone());
    answer["username"] = Value::String(username);
    answer["scope"] = Value::String(scopes.join(" "));
    answer["token_type"] = Value::String("Bearer".to_owned());
    answer["iat"] = Value::from(info.issued_at.timestamp());
    answer["exp"] = Value::from(info.expires_at.timestamp());
    HttpResponse::Ok().json(answer)
}

async fn revoke(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let form = parse_form(&body);
    if let Err(refused) = authenticate_client(&shared, &request, &form) {
        shared.note("revoke", None, refused.error);
        return refused.answer();
    }
    if let Some(token) = form.get("token") {
        shared.tokens().revoke(token);
    }
    shared.note("revoke", None, "ok");
    HttpResponse::Ok().finish()
}

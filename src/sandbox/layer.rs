//! The fault layer: a small reverse proxy in front of the provider, which changes what is said on the wire.
//!
//! Everything that clients and browsers see goes through here; the provider behind it has no switch for faults. While
//! none is wished for, the layer adds what makes a mail provider of the authorization server, for one person at one
//! machine: nobody has to type a password (`sign_in`), everybody is asked each time (`authorize`), and pages say
//! where they are from (`pages`). Cookies get names of their own on the way, because browsers share them between all
//! ports of a host, and a visit here must not end the session at the Mailgrant that is being tried out.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::SecretString;
use serde_json::Value;
use url::form_urlencoded;

use super::faults::{TokenFault, TokenFaultKind};
use super::{SandboxError, Shared, is_loopback_url, lock, pages};
use crate::net::{self, HttpMethod};
use crate::web::respond::safe_next;

/// Before the name of every cookie of the provider.
const COOKIES: &str = "sandbox-";
/// Headers that speak of one connection, or of a body as it was packed for it.
const OF_THE_CONNECTION: [&str; 7] = [
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "upgrade",
    "content-length",
    "accept-encoding",
];

/// Registers every route.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route(pages::STYLE, web::get().to(pages::style))
        .default_service(web::to(answer));
}

/// A request on its way to the provider.
pub(super) struct Asked {
    /// GET or POST: no client of a mail provider uses another.
    pub method: HttpMethod,
    path: String,
    query: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

type Params = Vec<(String, String)>;

impl Asked {
    fn of(request: &HttpRequest, body: &[u8]) -> Option<Asked> {
        let method = match request.method().as_str() {
            "GET" => HttpMethod::Get,
            "POST" => HttpMethod::Post,
            _ => return None,
        };
        let mut headers = Vec::new();
        for (name, value) in request.headers() {
            let Ok(value) = value.to_str() else { continue };
            match name.as_str() {
                "cookie" => headers.push(("cookie".to_owned(), own_cookies(value))),
                other if OF_THE_CONNECTION.contains(&other) => {}
                other => headers.push((other.to_owned(), value.to_owned())),
            }
        }
        Some(Asked {
            method,
            path: request.path().to_owned(),
            query: request.query_string().to_owned(),
            headers,
            body: body.to_vec(),
        })
    }

    /// Path and query.
    pub(super) fn target(&self) -> Cow<'_, str> {
        match self.query.as_str() {
            "" => Cow::Borrowed(&self.path),
            query => Cow::Owned(format!("{}?{query}", self.path)),
        }
    }

    fn params(&self) -> Params {
        parse(self.query.as_bytes())
    }

    fn form(&self) -> Params {
        parse(&self.body)
    }
}

fn parse(text: &[u8]) -> Params {
    form_urlencoded::parse(text).into_owned().collect()
}

fn written(params: &Params) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params)
        .finish()
}

fn value<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    let found = params.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// The cookies that the provider set, under the names that it gave them.
fn own_cookies(header: &str) -> String {
    let own: Vec<&str> = header
        .split(';')
        .filter_map(|cookie| cookie.trim().strip_prefix(COOKIES))
        .collect();
    own.join("; ")
}

async fn answer(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let Some(asked) = Asked::of(&request, &body) else {
        return HttpResponse::MethodNotAllowed().finish();
    };
    let answered = match (asked.method, request.path()) {
        (HttpMethod::Get, "/oauth2/authorize") => authorize(&shared, asked).await,
        (HttpMethod::Get, "/sign-in") => sign_in(&shared, asked).await,
        (HttpMethod::Post, "/oauth2/token") => token(&shared, asked).await,
        _ => pass(&shared, &asked).await,
    };
    answered.unwrap_or_else(|error| HttpResponse::BadGateway().body(error.to_string()))
}

/// Hands a request on and its answer back.
async fn pass(shared: &Shared, asked: &Asked) -> Result<HttpResponse, SandboxError> {
    let answer = shared.provider.ask(asked).await?;
    if let Some(endpoint) = endpoint(&asked.path) {
        shared.note(endpoint, None, outcome(&answer));
    }
    Ok(relay(answer))
}

/// What the log calls an address.
fn endpoint(path: &str) -> Option<&'static str> {
    Some(match path {
        "/oauth2/authorize" => "authorize",
        "/oauth2/userinfo" => "userinfo",
        "/oauth2/introspect" => "introspect",
        "/oauth2/token/revoke" => "revoke",
        path if path.starts_with("/.well-known/") => "discovery",
        _ => return None,
    })
}

/// `ok`, or the error code of the provider, which is one of its own words.
fn outcome(answer: &net::HttpResponse) -> Cow<'static, str> {
    if answer.status < 400 {
        return "ok".into();
    }
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    told["error"]
        .as_str()
        .map_or("refused".into(), |error| error.to_owned().into())
}

/// Every mailbox owner is asked each time, as a newcomer expects it; a provider that remembers what was allowed would
/// send them back at once. Wishes of [`super::Faults::limit_scopes`] narrow what is asked for.
async fn authorize(shared: &Shared, mut asked: Asked) -> Result<HttpResponse, SandboxError> {
    let mut params = asked.params();
    if let Some(url) = value(&params, "redirect_uri")
        && shared.options.any_loopback_redirect
        && is_loopback_url(url)
    {
        shared.provider.allow_redirect(url).await?;
    }
    if value(&params, "prompt").is_none() {
        params.push(("prompt".to_owned(), "consent".to_owned()));
    }
    if let Some(granted) = shared.faults.granted_scopes() {
        for (_, scope) in params.iter_mut().filter(|(name, _)| name == "scope") {
            let kept: Vec<&str> = scope.split(' ').filter(|one| granted.contains(*one)).collect();
            *scope = kept.join(" ");
        }
    }
    asked.query = written(&params);
    pass(shared, &asked).await
}

/// Nobody sees the page for signing in: whoever is sent there is signed in by a one-time link, as the account that the
/// request hinted at, and goes on.
async fn sign_in(shared: &Shared, mut asked: Asked) -> Result<HttpResponse, SandboxError> {
    let params = asked.params();
    let path = shared.provider.sign_in_path(value(&params, "hint")).await?;
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    (asked.path, asked.query) = (path.to_owned(), query.to_owned());
    let mut response = relay(shared.provider.ask(&asked).await?);
    if let Some(next) = value(&params, "next").and_then(safe_next)
        && response.status().is_redirection()
        && let Ok(next) = HeaderValue::from_str(next)
    {
        response.headers_mut().insert(header::LOCATION, next);
    }
    Ok(response)
}

async fn token(shared: &Shared, asked: Asked) -> Result<HttpResponse, SandboxError> {
    let form = asked.form();
    let grant_type = value(&form, "grant_type").unwrap_or_default();
    // Only names this sandbox knows may reach the log: the field is the caller's text.
    let known = ["authorization_code", "refresh_token", "client_credentials"];
    let logged = known
        .into_iter()
        .find(|name| *name == grant_type)
        .unwrap_or("other");
    let fault = shared.faults.next_token_fault(grant_type);
    if let Some(fault) = &fault {
        tokio::time::sleep(fault.delay).await;
        if let TokenFaultKind::Answer {
            status,
            headers,
            body,
        } = &fault.kind
        {
            shared.note("token", Some(logged), "fault");
            return Ok(canned(*status, headers, body));
        }
    }
    let mut answer = shared.provider.ask(&asked).await?;
    shared.note("token", Some(logged), outcome(&answer));
    if answer.status != 200 {
        return Ok(relay(answer));
    }
    let mut told: Value = serde_json::from_slice(&answer.body).map_err(SandboxError::provider)?;
    if let Some(issued) = told["access_token"].as_str() {
        lock(&shared.issued).push(SecretString::from(issued.to_owned()));
    }
    match fault.map(|fault: TokenFault| fault.kind) {
        Some(TokenFaultKind::LoseAnswer) => {
            let broken = futures_util::stream::once(async {
                Err::<web::Bytes, _>(std::io::Error::other("the sandbox loses this answer"))
            });
            return Ok(HttpResponse::Ok()
                .content_type("application/json")
                .streaming(broken));
        }
        Some(TokenFaultKind::Rewrite(change)) => {
            change(&mut told);
            answer.body = told.to_string().into_bytes();
        }
        _ => {}
    }
    Ok(relay(answer))
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

/// The provider's answer, its cookies renamed and its pages marked.
fn relay(answer: net::HttpResponse) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let is_page = answer
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/html"));
    let mut response = HttpResponse::build(status);
    for (name, value) in &answer.headers {
        let (name, value) = match (name.as_str(), value.to_str()) {
            (name, Ok(cookie)) if name == "set-cookie" => (name, format!("{COOKIES}{cookie}")),
            (name, Ok(value)) if !OF_THE_CONNECTION.contains(&name) => (name, value.to_owned()),
            _ => continue,
        };
        response.append_header((name, value));
    }
    match (is_page, String::from_utf8(answer.body)) {
        (true, Ok(page)) => response.body(pages::marked(&page)),
        (_, Ok(text)) => response.body(text),
        (_, Err(bytes)) => response.body(bytes.into_bytes()),
    }
}

//! Who asks at the pages: sessions, the Origin and token checks of forms, body limits, and what a route asks of whoever
//! comes. Who asks with a token is in `bearer`; what stands around everything is in `shell`.

use std::cell::Cell;
use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header, header::HeaderMap};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{Error, HttpMessage, HttpRequest, ResponseError, web};
use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};

use super::bearer;
use super::error::Problem;
use super::limit::Limiter;
use super::respond;
use super::upload::{MAX_UPLOAD_BYTES, takes_files};
use crate::access::{Access, Need, Projects, Refusal};
use crate::account::{self, Session, TokenIdentity, User};
use crate::audit;
use crate::config::Config;
use crate::crypto;
use crate::ctx::Ctx;
use crate::sso;

/// Largest body of a form, bytes.
pub const MAX_FORM_BYTES: usize = 1024 * 1024;

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Current {
    /// The person.
    pub user: User,
    /// Their session.
    pub session: Session,
    /// What they may do.
    pub access: Access,
}

/// Who asks, signed in or not. In every request outside `/api/` and `/static/`.
#[derive(Clone, Debug)]
pub struct Viewer {
    current: Option<Current>,
    visit: Rc<Visit>,
}

/// A browser that is not signed in, recognised by a random cookie of its own, so that its forms can carry a token.
#[derive(Debug)]
struct Visit {
    value: String,
    is_new: bool,
    is_used: Cell<bool>,
}

impl Viewer {
    /// Who is signed in.
    pub fn current(&self) -> Option<&Current> {
        self.current.as_ref()
    }

    /// The token for the forms of this page.
    pub fn csrf(&self) -> String {
        self.visit.is_used.set(true);
        self.expected_csrf()
    }

    /// Names this browser, whoever is signed in: what begins here can be finished here only.
    pub fn browser(&self) -> String {
        self.visit.is_used.set(true);
        crypto::sha256_hex(format!("visit browser {}", self.visit.value).as_bytes())
    }

    fn expected_csrf(&self) -> String {
        match &self.current {
            Some(current) => current.session.csrf_token.clone(),
            None => crypto::sha256_hex(format!("visit form {}", self.visit.value).as_bytes()),
        }
    }
}

/// Finds the session, and lets unsafe requests of the pages through only from our own pages.
pub(super) async fn pages(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let path = request.path();
    if path.starts_with("/api/")
        || path.starts_with("/static/")
        || path == "/livez"
        || path == "/readyz"
        || super::oauth2::is_protocol(request.method(), path)
        || super::sso::is_from_provider(request.method(), path)
    {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let (ctx, visit) = match admit(&mut request).await {
        Ok(admitted) => admitted,
        Err(problem) => return Ok(refuse(request, &problem).map_into_right_body()),
    };
    let mut response = next.call(request).await?;
    let status = response.status();
    let is_kept = status.is_success() || status.is_redirection();
    if visit.is_new && visit.is_used.get() && is_kept {
        let cookie = cookie(&ctx.config, visit_cookie_name(&ctx.config), visit.value.clone());
        let _ = response.response_mut().add_cookie(&cookie);
    }
    Ok(response.map_into_left_body())
}

async fn admit(request: &mut ServiceRequest) -> Result<(web::Data<Ctx>, Rc<Visit>), Problem> {
    refuse_nul(request)?;
    let ctx = ctx(request.request())?;
    let viewer = viewer(&ctx, request.request()).await?;
    if let Some(current) = &viewer.current {
        audit::act_as(&current.user.id);
    }
    request.extensions_mut().insert(viewer.clone());
    if !is_safe(request.method()) {
        check_form(&ctx, request, &viewer).await?;
    }
    Ok((ctx, viewer.visit))
}

/// No text of ours holds a NUL, and PostgreSQL takes none: an address with one names nothing.
pub(super) fn refuse_nul(request: &ServiceRequest) -> Result<(), Problem> {
    let asked = request.uri().path_and_query().map_or("", |both| both.as_str());
    if asked.contains("%00") {
        return Err(Problem::bad_request(
            "nul_character",
            "the address holds a NUL character (%00), which nothing here does",
        ));
    }
    Ok(())
}

pub(super) fn refuse(request: ServiceRequest, problem: &Problem) -> ServiceResponse<BoxBody> {
    let (request, _) = request.into_parts();
    ServiceResponse::new(request, problem.error_response())
}

async fn viewer(ctx: &Ctx, request: &HttpRequest) -> Result<Viewer, Problem> {
    let current = match request.cookie(session_cookie_name(&ctx.config)) {
        Some(cookie) => {
            let value = SecretString::from(cookie.value().to_owned());
            let found = if is_automatic(request) {
                account::peek(&ctx.db, &ctx.clock, &value).await?
            } else {
                account::find(&ctx.db, &ctx.clock, &value).await?
            };
            match still_good(ctx, found).await? {
                Some((session, user)) => Some(Current {
                    access: account::access(&ctx.db, &user).await?,
                    user,
                    session,
                }),
                None => None,
            }
        }
        None => None,
    };
    let known = request
        .cookie(visit_cookie_name(&ctx.config))
        .map(|cookie| cookie.value().to_owned())
        .filter(|value| value.len() == 43);
    let visit = Rc::new(Visit {
        is_new: known.is_none(),
        value: known.unwrap_or_else(|| crypto::random_token(32)),
        is_used: Cell::new(false),
    });
    Ok(Viewer { current, visit })
}

/// A session that is there, if it is enough: what began before this site wanted more is not any more, nor what its
/// identity provider does not stand for any more.
async fn still_good(ctx: &Ctx, found: Option<(Session, User)>) -> Result<Option<(Session, User)>, Problem> {
    let Some((session, user)) = found else {
        return Ok(None);
    };
    let is_strong = session.proof.is_strong() || !account::wants_second_factor(&ctx.config, &user);
    let is_good = is_strong && is_vouched(ctx, &session).await?;
    Ok(is_good.then_some((session, user)))
}

/// Whether the identity provider that vouched for somebody still does; asked now and then, in the background of nothing:
/// who is not one of its people any more sees no further page.
async fn is_vouched(ctx: &Ctx, session: &Session) -> Result<bool, Problem> {
    if session.proof.identity_provider_id.is_empty() {
        return Ok(true);
    }
    Ok(sso::still_vouched(ctx, &session.id).await?)
}

/// Whether a page asks by itself, without anybody doing anything: that is not use of a session, and takes no message
/// that a person has not seen.
pub(super) fn is_automatic(request: &HttpRequest) -> bool {
    is_safe(request.method()) && request.headers().contains_key("x-mailgrant-live")
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

async fn check_form(ctx: &Ctx, request: &mut ServiceRequest, viewer: &Viewer) -> Result<(), Problem> {
    let host = respond::peer(request.request()).and_then(|peer| peer.host);
    check_origin(&ctx.config, request.headers(), host.as_deref())?;
    // Only whoever is signed in may send files.
    let limit = if viewer.current.is_some() && takes_files(request.path()) {
        MAX_UPLOAD_BYTES
    } else {
        MAX_FORM_BYTES
    };
    let body = read_body(request.take_payload(), limit).await?;
    let sent = match request.headers().get("x-csrf-token") {
        Some(value) => value.to_str().ok().map(str::to_owned),
        None => form_token(request.headers(), &body).await,
    };
    request.set_payload(Payload::from(body));
    let good = sent.is_some_and(|sent| crypto::same_secret(&sent, &viewer.expected_csrf()));
    if good {
        return Ok(());
    }
    Err(Problem::forbidden(
        "csrf_token_wrong",
        "this form is too old, or did not come from a page of Mailgrant; nothing was changed",
    )
    .with_title("Please send the form again")
    .with_remedy("Go back, load the page again and repeat. If you were signed out meanwhile, sign in first."))
}

/// Refuses requests that a browser says come from somewhere else.
fn check_origin(config: &Config, headers: &HeaderMap, host: Option<&str>) -> Result<(), Problem> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign_site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none");
    let foreign_origin = headers.contains_key(header::ORIGIN)
        && !text(header::ORIGIN).is_some_and(|origin| {
            let scheme = config.base_url.scheme();
            let own = config.base_url.origin().ascii_serialization();
            // An admin may reach the same machine by another name than the configured one.
            let asked = host.map(|host| format!("{scheme}://{host}"));
            origin == own || Some(origin) == asked.as_deref()
        });
    if foreign_site || foreign_origin {
        return Err(Problem::forbidden(
            "foreign_origin",
            "the request came from a page of another site; nothing was changed",
        ));
    }
    Ok(())
}

/// Reads a body up to a limit.
pub(super) async fn read_body(mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk
            .map_err(|_| Problem::bad_request("cut_body", "the body of the request did not arrive whole"))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// 413.
pub(super) fn too_large(limit: usize) -> Problem {
    Problem::new(
        actix_web::http::StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("the body of the request is larger than {} kB", limit / 1024),
    )
}

async fn form_token(headers: &HeaderMap, body: &Bytes) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    if kind.starts_with("multipart/form-data") {
        return multipart_token(headers, body).await;
    }
    url::form_urlencoded::parse(body)
        .find(|(name, _)| name == "csrf")
        .map(|(_, value)| value.into_owned())
}

async fn multipart_token(headers: &HeaderMap, body: &Bytes) -> Option<String> {
    let chunks = futures_util::stream::iter([Ok::<_, actix_web::error::PayloadError>(body.clone())]);
    let mut form = actix_multipart::Multipart::new(headers, chunks);
    while let Some(Ok(mut field)) = form.next().await {
        let is_token = field.name() == Some("csrf");
        let mut value = Vec::new();
        while let Some(Ok(chunk)) = field.next().await {
            if is_token {
                value.extend_from_slice(&chunk);
            }
        }
        if is_token {
            return String::from_utf8(value).ok();
        }
    }
    None
}

/// Around routes for people who are signed in.
pub(super) async fn require_session(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let access = request
        .extensions()
        .get::<Viewer>()
        .and_then(|viewer| viewer.current.as_ref().map(|current| current.access.clone()));
    if let Some(access) = access {
        request.extensions_mut().insert(access);
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let answer = match ctx(request.request()) {
        Ok(ctx) => respond::to_sign_in(&ctx, request.request()).await,
        Err(problem) => Err(problem),
    };
    Ok(match answer {
        Ok(response) => request.into_response(response).map_into_right_body(),
        Err(problem) => refuse(request, &problem).map_into_right_body(),
    })
}

/// Around every route that asks for something, before its handler reads anything: a refusal is 403 and says what is
/// missing. What is left over for this route becomes the handler's [`Access`].
pub(super) async fn require(
    need: Need,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let access = request.extensions().get::<Access>().cloned();
    let narrowed = match access {
        Some(access) => access.at(need).map_err(|refusal| refused(refusal, need)),
        None => Err(Problem::internal(&"a guarded route is served without its gate")),
    };
    match narrowed {
        Ok(access) => {
            request.extensions_mut().insert(access);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(problem) => Ok(refuse(request, &problem).map_into_right_body()),
    }
}

/// A refusal in words. One for want of a scope names it in the API, so that a client knows what to ask for; of the others a
/// token with more scopes would be of no use.
fn refused(refusal: Refusal, need: Need) -> Problem {
    match (refusal, need) {
        (Refusal::Scope(scope), _) => Problem::forbidden(
            "insufficient_scope",
            format!("this token does not carry the scope `{scope}`"),
        )
        .with_remedy(format!("Make a token with the scope {scope}."))
        .needs_scope(scope),
        (Refusal::Site, _) => Problem::forbidden(
            "site_admin_only",
            "only a site admin may do this, with nothing narrowing it to projects",
        )
        .with_remedy("Ask a site admin of this installation."),
        (Refusal::Role, Need::Role(role)) => Problem::forbidden(
            "insufficient_role",
            format!(
                "this page is for people who are at least {} in a project, and you are not",
                role.label().to_lowercase()
            ),
        )
        .with_title("You may not see this page")
        .with_remedy("Ask a project admin to make you a member, or to change your role."),
        (Refusal::Role, _) => Problem::forbidden(
            "insufficient_role",
            "there is no project in which the owner of this token may do this with it",
        )
        .with_remedy("Ask a project admin for another role, or use a token that reaches that project."),
    }
}

/// Counts a request of an address to a place where strangers make work, beside all it may make.
pub(super) fn count_address(request: &HttpRequest, place: &str, per_minute: u32) -> Result<(), Problem> {
    let ctx = ctx(request)?;
    let limiter = request
        .app_data::<web::Data<Limiter>>()
        .ok_or_else(|| Problem::internal(&"the application has no limiter"))?;
    let subject = format!("{place} {}", respond::client_network(request));
    let most = per_minute.min(ctx.config.requests_per_address);
    limiter
        .take(&subject, most, ctx.clock.now_ms())
        .map_err(too_often)
}

/// 429.
pub(super) fn too_often(seconds: i64) -> Problem {
    Problem::new(
        actix_web::http::StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        format!("too many requests; the next one may come in {seconds} s"),
    )
    .retry_after(seconds)
}

/// What whoever made a request may see of it by now, for answers that go on for long; `None` when they may not ask any
/// more: the token was revoked or has ended, the session is over, the role is gone.
pub(super) async fn projects_now(request: &HttpRequest) -> Result<Option<Projects>, Problem> {
    let Some((need, is_page)) = asked_as(request) else {
        return Ok(None);
    };
    let access = if is_page {
        session_now(request).await?
    } else {
        // The proof of a bound token counts once, and it was checked when this request came.
        match bearer::identify(request, false).await {
            Ok((_, access)) => Some(access),
            Err(problem) if problem.status_code() == StatusCode::UNAUTHORIZED => None,
            Err(problem) => return Err(problem),
        }
    };
    Ok(access.and_then(|access| access.at(need).ok().map(|access| access.projects())))
}

/// What the route of a request asked for, and whether it is a page.
fn asked_as(request: &HttpRequest) -> Option<(Need, bool)> {
    let extensions = request.extensions();
    let need = extensions.get::<Access>()?.need();
    Some((need, extensions.get::<TokenIdentity>().is_none()))
}

async fn session_now(request: &HttpRequest) -> Result<Option<Access>, Problem> {
    let ctx = ctx(request)?;
    let Some(cookie) = request.cookie(session_cookie_name(&ctx.config)) else {
        return Ok(None);
    };
    let value = SecretString::from(cookie.value().to_owned());
    let found = account::peek(&ctx.db, &ctx.clock, &value).await?;
    match still_good(&ctx, found).await? {
        Some((_, user)) => Ok(Some(account::access(&ctx.db, &user).await?)),
        None => Ok(None),
    }
}

/// The parts every service is handed, from the application.
pub(super) fn ctx(request: &HttpRequest) -> Result<web::Data<Ctx>, Problem> {
    request
        .app_data::<web::Data<Ctx>>()
        .cloned()
        .ok_or_else(|| Problem::internal(&"the application has no context"))
}

/// The cookie that signs a browser in.
pub(super) fn session_cookie(config: &Config, value: &SecretString) -> Cookie<'static> {
    cookie(
        config,
        session_cookie_name(config),
        value.expose_secret().to_owned(),
    )
}

/// The cookie's name. `__Host-` binds it to https and this host; without https browsers refuse that prefix.
pub fn session_cookie_name(config: &Config) -> &'static str {
    if config.is_https() {
        "__Host-mailgrant"
    } else {
        "mailgrant"
    }
}

/// The session whose cookie a request carries, whether or not it lives.
pub(super) fn session_id(config: &Config, request: &HttpRequest) -> Option<String> {
    let cookie = request.cookie(session_cookie_name(config))?;
    Some(crypto::sha256_hex(cookie.value().as_bytes()))
}

fn visit_cookie_name(config: &Config) -> &'static str {
    if config.is_https() {
        "__Host-mailgrant-visit"
    } else {
        "mailgrant-visit"
    }
}

pub(super) fn cookie(config: &Config, name: &'static str, value: String) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .secure(config.is_https())
        .http_only(true)
        .same_site(SameSite::Lax)
        .finish()
}

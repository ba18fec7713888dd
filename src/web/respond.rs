//! Answers that several handlers give: pages, redirects, messages for the next page, signing in and out.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use sea_orm::DbErr;
use secrecy::ExposeSecret;

use super::error::Problem;
use super::gate::{self, Current};
use super::peer::Peer;
use crate::account::{self, AccountError, Flash, FlashKind, NewSession, Proof, Session, Started, User};
use crate::config::Config;
use crate::ctx::Ctx;
use crate::net::network_of;
use crate::sso;

/// A page.
pub fn html(body: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(body)
}

/// 303 to a local path, for after a form.
pub fn see_other(ctx: &Ctx, path: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("{}{path}", base_path(ctx))))
        .finish()
}

/// 303 to a local path with the fields of a form as its query: for endpoints that take GET and POST alike.
///
/// # Errors
/// The query would be longer than 8,000 characters.
pub fn as_get(ctx: &Ctx, path: &str, body: &[u8]) -> Result<HttpResponse, Problem> {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(url::form_urlencoded::parse(body))
        .finish();
    if query.len() > 8_000 {
        return Err(Problem::bad_request(
            "too_large",
            "the request is longer than 8,000 characters",
        ));
    }
    Ok(see_other(ctx, &format!("{path}?{query}")))
}

/// 303 to a local path whose page shows a message.
pub async fn see_other_with(
    ctx: &Ctx,
    session: &Session,
    kind: FlashKind,
    text: impl Into<String>,
    path: &str,
) -> Result<HttpResponse, Problem> {
    let flash = Flash {
        kind,
        text: text.into(),
    };
    account::set_flash(&ctx.db, &session.id, &flash).await?;
    Ok(see_other(ctx, path))
}

/// The message that waits for this session, taken.
pub async fn take_flash(ctx: &Ctx, current: &Current) -> Result<Option<Flash>, DbErr> {
    account::take_flash(&ctx.db, &current.session).await
}

/// What precedes every path when a proxy serves Mailgrant below one; empty otherwise.
pub fn base_path(ctx: &Ctx) -> &str {
    ctx.config.base_url.path().trim_end_matches('/')
}

/// Sends a visitor to the sign-in page (or to the set-up hint while nobody has an account) and back afterwards.
pub async fn to_sign_in(ctx: &Ctx, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    if account::needs_setup(&ctx.db).await? && !sso::offer(ctx).await?.makes_first_admin {
        return Ok(see_other(ctx, "/setup"));
    }
    let asked = request.uri().path_and_query().map_or("/", |both| both.as_str());
    let is_get = request.method() == actix_web::http::Method::GET;
    let path = match safe_next(asked) {
        Some(next) if is_get && next != "/" => {
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            format!("/sign-in?next={next}")
        }
        _ => "/sign-in".to_owned(),
    };
    Ok(see_other(ctx, &path))
}

/// Signs a person in who showed who they are, or asks for their second factor first.
pub async fn sign_in(
    ctx: &Ctx,
    request: &HttpRequest,
    user: &User,
    proof: Proof,
    next: Option<&str>,
) -> Result<HttpResponse, Problem> {
    if !account::needs_step(ctx, user, &proof).await? {
        return begin_session(ctx, request, user, proof, next).await;
    }
    let next = next.and_then(safe_next).unwrap_or("/");
    let value = account::begin_step(ctx, user, &proof, next).await?;
    let mut response = see_other(ctx, "/sign-in/code");
    let name = step_cookie_name(&ctx.config);
    add_cookie(
        &mut response,
        &gate::cookie(&ctx.config, name, value.expose_secret().to_owned()),
    )?;
    Ok(response)
}

/// The cookie of a sign-in that waits for its second factor.
pub fn step_cookie_name(config: &Config) -> &'static str {
    if config.is_https() {
        "__Host-mailgrant-step"
    } else {
        "mailgrant-step"
    }
}

/// Takes that cookie back.
pub fn forget_step(ctx: &Ctx, response: &mut HttpResponse) -> Result<(), Problem> {
    let mut cookie = gate::cookie(&ctx.config, step_cookie_name(&ctx.config), String::new());
    cookie.make_removal();
    add_cookie(response, &cookie)
}

/// Begins a session: a new one in the cookie, the old one ended, and on to `next`.
pub async fn begin_session(
    ctx: &Ctx,
    request: &HttpRequest,
    user: &User,
    proof: Proof,
    next: Option<&str>,
) -> Result<HttpResponse, Problem> {
    let before = session_of(request);
    let new = NewSession {
        user_id: &user.id,
        replaces: before.as_ref().map(|session| session.id.as_str()),
        proof,
        browser: browser(request),
        address: &client_address(request),
    };
    let tx = ctx.db.begin().await?;
    account::hold(&tx, user).await?;
    let started = account::start_in(&tx, &ctx.clock, &new).await?;
    tx.commit().await?;
    let mut response = see_other(ctx, next.and_then(safe_next).unwrap_or("/"));
    keep_session(ctx, &mut response, &started)?;
    Ok(response)
}

/// Gives the browser its session.
pub fn keep_session(ctx: &Ctx, response: &mut HttpResponse, started: &Started) -> Result<(), Problem> {
    add_cookie(response, &gate::session_cookie(&ctx.config, &started.cookie))
}

/// The same answer as 429 with `Retry-After`, if it was one attempt too many.
pub fn retry_later(mut response: HttpResponse, error: &AccountError) -> HttpResponse {
    if let AccountError::TooManyAttempts { retry_after } = error
        && let Ok(seconds) = header::HeaderValue::from_str(&retry_after.to_string())
    {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// Takes the cookies that one answer sets over to another.
pub fn take_cookies(from: &HttpResponse, to: &mut HttpResponse) {
    for value in from.headers().get_all(header::SET_COOKIE) {
        to.headers_mut().append(header::SET_COOKIE, value.clone());
    }
}

/// The session a request came with, if it lives.
fn session_of(request: &HttpRequest) -> Option<Session> {
    let extensions = request.extensions();
    let viewer = extensions.get::<gate::Viewer>()?;
    viewer.current().map(|current| current.session.clone())
}

/// What the browser calls itself; empty if it says nothing readable.
pub fn browser(request: &HttpRequest) -> &str {
    let value = request.headers().get(header::USER_AGENT);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Takes the session's cookie from the browser.
pub fn forget_session(ctx: &Ctx, response: &mut HttpResponse) -> Result<(), Problem> {
    let mut cookie = gate::cookie(&ctx.config, gate::session_cookie_name(&ctx.config), String::new());
    cookie.make_removal();
    add_cookie(response, &cookie)
}

fn add_cookie(response: &mut HttpResponse, cookie: &actix_web::cookie::Cookie<'_>) -> Result<(), Problem> {
    response
        .add_cookie(cookie)
        .map_err(|error| Problem::internal(&error))
}

/// The given target if it is a path of this site, so that nobody is sent elsewhere after signing in.
pub fn safe_next(next: &str) -> Option<&str> {
    let is_local = next.starts_with('/')
        && !next.starts_with("//")
        && next.len() <= 2_000
        && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !is_local {
        return None;
    }
    // A path that decodes to `//` or climbs must not become a host in some client.
    let path = next
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_plain = !path.contains("//")
        && !path.contains("%2f")
        && !path.contains("%5c")
        && !path.contains("%0")
        && !path
            .split('/')
            .any(|part| matches!(part.replace("%2e", ".").as_str(), "." | ".."));
    is_plain.then_some(next)
}

/// The address a request came from, behind the proxies that are trusted.
pub fn client_address(request: &HttpRequest) -> String {
    peer(request).map_or_else(|| "unknown".to_owned(), |peer| peer.address())
}

/// The same for counting: whoever has one IPv6 address has a network of them.
pub fn client_network(request: &HttpRequest) -> String {
    network_of(&client_address(request))
}

/// The other end of a request's connection.
pub(super) fn peer(request: &HttpRequest) -> Option<Peer> {
    let ctx = gate::ctx(request).ok()?;
    let socket = request.peer_addr().map(|address| address.ip());
    Some(Peer::of(&ctx.config, socket, request.headers()))
}

/// Whether a browser that asks for this host will keep the session's cookie.
pub fn is_own_host(config: &Config, host: &str) -> bool {
    let own = config.base_url.origin().ascii_serialization();
    own == format!("{}://{host}", config.base_url.scheme())
}

/// Text for HTML and its attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site_after_signing_in() {
        let good = [
            "/",
            "/tickets",
            "/tickets?state=open&q=a%20b",
            "/integrations/int_01?tab=grants#top",
            "/a?u=https://evil.example/",
            "/a?back=//evil.example",
            "/.well-known/x",
            "/a..b",
        ];
        let bad = [
            "",
            "tickets",
            "evil.example",
            "//evil.example",
            "///evil.example",
            "////evil.example/%2e%2e",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\\/evil.example",
            "/a\\b",
            "https://evil.example",
            "http:evil.example",
            "https:/evil.example",
            "https:evil.example",
            "HTTPS://evil.example",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "ftp://evil.example",
            " /tickets",
            "/tickets ",
            "\t//evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\nLocation: https://evil.example",
            "/a\r\nSet-Cookie: x=1",
            "/\u{0}",
            "/\u{7f}",
            "/\u{a0}/evil.example",
            "/\u{2028}/evil.example",
            "/\u{202e}evil",
            "/\u{ff0f}/evil.example",
            "\u{ff0f}\u{ff0f}evil.example",
            "/%2fevil.example",
            "/%2Fevil.example",
            "/%5cevil.example",
            "/%5Cevil.example",
            "/%09/evil.example",
            "/%0a/evil.example",
            "/%0d%0aLocation:x",
            "/%00",
            "/..//evil.example",
            "/../evil",
            "/a/../../evil",
            "/%2e%2e/evil",
            "/%2E%2E/evil",
            "/.%2e/evil",
            "/./evil",
            "/a//evil.example",
            "/a/..",
            "@evil.example",
            "?next=//evil.example",
            "#//evil.example",
            ".evil.example",
            "..",
            "/a/%2f%2fevil.example",
            "%2f%2fevil.example",
            "%5c%5cevil.example",
            "mailto:a@b",
            "//[::1]/",
            "//127.1/",
            "/\"><script>alert(1)</script>//x",
        ];
        assert!(bad.len() + good.len() >= 60);
        for next in good {
            assert_eq!(safe_next(next), Some(next));
        }
        for next in bad {
            assert_eq!(safe_next(next), None, "{next:?}");
        }
        let long = format!("/{}", "a".repeat(2_000));
        assert_eq!(safe_next(&long), None);
    }
}

//! Sign-in through identity providers: off to one, back from it, and what a provider tells us when somebody signs out
//! there. Every way in which nobody is let in ends on a page that says what happened and what to do.
//!
//! The query of a callback holds a code: it is handed on and never logged, shown or kept.

use actix_web::http::{Method, StatusCode, header};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::admin::views::connect::CallbackResult;
use super::admin::views::parts::{self, Action, Badge, Tone};
use super::error::{DRESSED, Problem, frame};
use super::extract::Visitor;
use super::gate;
use super::respond;
use super::route::{Guard, Route};
use crate::account::{NewSession, Proof, User};
use crate::ctx::Ctx;
use crate::render::Renderer;
use crate::sso::{self, Finished, Given, LogoutError, Returned, SessionLink, SignInError, SsoError};
use crate::trouble::Trouble;

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/sso/{id}/start", Guard::Public, || web::to(start)),
    Route::get("/sso/{id}/test", Guard::Public, || web::to(start_test)).not_by_head(),
    Route::get("/sso/{id}/callback", Guard::Public, || web::to(callback)).not_by_head(),
    Route::get("/sso/{id}/jwks", Guard::Public, || web::to(jwks)),
    Route::get("/sso/{id}/frontchannel-logout", Guard::Public, || {
        web::to(front_channel)
    }),
    Route::post("/sso/{id}/backchannel-logout", Guard::Public, || {
        web::to(back_channel)
    }),
];

/// Whether a request comes from a provider and not from a browser at our pages: no session and no cookie belongs to it.
pub(super) fn is_from_provider(method: &Method, path: &str) -> bool {
    let mut parts = path.split('/');
    let is_ours = parts.next() == Some("") && parts.next() == Some("sso") && parts.next().is_some();
    let last = parts.next();
    is_ours
        && parts.next().is_none()
        && match last {
            Some("frontchannel-logout" | "jwks") => true,
            Some("backchannel-logout") => method == Method::POST,
            _ => false,
        }
}

/// Largest logout notice, bytes.
const MAX_BODY: usize = 64 * 1024;

/// Sign-ins that one address may begin, and bring back, in a minute: an office behind one address has a morning.
const SIGN_INS_PER_MINUTE: u32 = 120;
/// Notices of ended sessions from one address in a minute.
const NOTICES_PER_MINUTE: u32 = 600;

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
    /// `1`: an application wants a new sign-in.
    #[serde(default)]
    again: String,
}

/// What a page of this file is drawn with.
struct Scene {
    ctx: web::Data<Ctx>,
    renderer: web::Data<Renderer>,
    request: HttpRequest,
    visitor: Visitor,
}

impl actix_web::FromRequest for Scene {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut actix_web::dev::Payload) -> Self::Future {
        let mut build = || {
            Ok(Self {
                ctx: gate::ctx(request)?,
                renderer: request
                    .app_data::<web::Data<Renderer>>()
                    .cloned()
                    .ok_or_else(|| Problem::internal(&"the application has no renderer"))?,
                visitor: Visitor::from_request(request, payload).into_inner()?,
                request: request.clone(),
            })
        };
        std::future::ready(build())
    }
}

async fn start(
    scene: Scene,
    id: web::Path<String>,
    query: web::Query<Next>,
) -> Result<HttpResponse, Problem> {
    gate::count_address(&scene.request, "sso start", SIGN_INS_PER_MINUTE)?;
    let next = respond::safe_next(&query.next).unwrap_or("/");
    match sso::begin(&scene.ctx, &id, &scene.visitor.browser, next, query.again == "1").await {
        Ok(url) => Ok(off_to(url.as_str())),
        Err(error) => scene.refused(&id, error, None),
    }
}

#[derive(Deserialize)]
struct Ticket {
    #[serde(default)]
    ticket: String,
}

async fn start_test(
    scene: Scene,
    id: web::Path<String>,
    query: web::Query<Ticket>,
) -> Result<HttpResponse, Problem> {
    gate::count_address(&scene.request, "sso start", SIGN_INS_PER_MINUTE)?;
    let ticket = SecretString::from(query.into_inner().ticket);
    match sso::leave_for_test(&scene.ctx, &id, &ticket, &scene.visitor.browser).await {
        Ok(url) => Ok(off_to(url.as_str())),
        Err(error) => scene.refused(&id, error, None),
    }
}

fn off_to(url: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, url))
        .finish()
}

async fn callback(scene: Scene, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    gate::count_address(&scene.request, "sso callback", SIGN_INS_PER_MINUTE)?;
    let returned = Returned::of_query(scene.request.query_string());
    let said = returned.said();
    match sso::finish(&scene.ctx, &id, &scene.visitor.browser, &returned).await {
        Ok(Finished::SignedIn {
            user,
            return_to,
            link,
            given,
        }) => {
            let signed_in = SignedIn {
                user: &user,
                link: &link,
                given: &given,
            };
            scene.come_in(&signed_in, &return_to).await
        }
        Ok(Finished::Tested { test_id, provider_id }) => scene.tested(&provider_id, &test_id, None),
        Err(error) => scene.refused(&id, error, said),
    }
}

/// Somebody an identity provider vouches for.
struct SignedIn<'a> {
    user: &'a User,
    link: &'a SessionLink,
    given: &'a Given,
}

impl Scene {
    /// Begins their session, tied to the one at the provider, and goes on to where they wanted.
    async fn come_in(&self, who: &SignedIn<'_>, return_to: &str) -> Result<HttpResponse, Problem> {
        let ctx = &self.ctx;
        let before = self.visitor.current.as_ref().map(|current| &current.session);
        let new = NewSession {
            user_id: &who.user.id,
            replaces: before.map(|session| session.id.as_str()),
            proof: Proof {
                identity_provider_id: who.link.provider_id.clone(),
                provider_sid: who.link.sid.clone(),
                acr: who.link.acr.clone(),
                auth_time: who.link.auth_time,
                ..Proof::of(&who.link.amr.iter().map(String::as_str).collect::<Vec<_>>())
            },
            browser: respond::browser(&self.request),
            address: &respond::client_address(&self.request),
        };
        let started = match sso::begin_session(ctx, who.user, &new, (who.link, who.given), return_to).await {
            Ok(started) => started,
            Err(error) => return self.refused(&who.link.provider_id, error, None),
        };
        let mut response = respond::see_other(ctx, respond::safe_next(return_to).unwrap_or("/"));
        respond::keep_session(ctx, &mut response, &started)?;
        Ok(response)
    }

    /// A test ended: its admin sees the result, anybody else only that it did.
    fn tested(&self, id: &str, test_id: &str, trouble: Option<Trouble>) -> Result<HttpResponse, Problem> {
        let sees = self
            .visitor
            .current
            .as_ref()
            .is_some_and(|current| current.access.is_site_admin());
        if sees {
            return Ok(respond::see_other(
                &self.ctx,
                &format!("/identity-providers/{id}/tests/{test_id}"),
            ));
        }
        let text = "The result waits at Mailgrant for the administrator who began the test. You can close this page.";
        match trouble {
            None => self.page(
                StatusCode::OK,
                Page {
                    title: "The test passed",
                    state: Badge::new(Tone::Ok, "Passed"),
                    text: text.to_owned(),
                    problem: None,
                    said: None,
                    actions: Vec::new(),
                },
            ),
            Some(trouble) => self.page(
                StatusCode::BAD_REQUEST,
                Page {
                    title: "The test failed",
                    state: Badge::new(Tone::Bad, "Failed"),
                    text: text.to_owned(),
                    problem: Some(trouble),
                    said: None,
                    actions: Vec::new(),
                },
            ),
        }
    }

    fn refused(&self, id: &str, error: SignInError, said: Option<String>) -> Result<HttpResponse, Problem> {
        let (trouble, return_to, is_outage) = match error {
            SignInError::TestEnded {
                test_id,
                provider_id,
                trouble,
            } => return self.tested(&provider_id, &test_id, Some(trouble)),
            SignInError::Refused {
                trouble,
                return_to,
                is_outage,
            } => (trouble, return_to, is_outage),
            SignInError::Failed(SsoError::NotFound) => {
                let page = Page {
                    title: "This way to sign in does not exist",
                    state: Badge::new(Tone::Bad, "Not signed in"),
                    text: String::new(),
                    problem: Some(SsoError::NotFound.trouble()),
                    said: None,
                    actions: vec![Action::link("Sign in", "/sign-in")],
                };
                return self.page(StatusCode::NOT_FOUND, page);
            }
            SignInError::Failed(error @ SsoError::Provider(_)) => (error.trouble(), "/".to_owned(), false),
            SignInError::Failed(error) => return Err(Problem::internal(&error)),
        };
        tracing::info!(provider = id, code = %trouble.code, "a sign-in through an identity provider was not finished");
        let next: String = url::form_urlencoded::byte_serialize(return_to.as_bytes()).collect();
        let is_refusal = said.is_some();
        let mut actions = vec![Action::link("Try again", format!("/sso/{id}/start?next={next}"))];
        // The same way once more would end here again.
        if ["state_unknown", "test_over", "sign_in_time_missing"].contains(&trouble.code.as_str()) {
            actions.clear();
        }
        actions.push(Action::link(
            "Go to the sign-in page",
            format!("/sign-in?next={next}"),
        ));
        let page = Page {
            title: "You are not signed in",
            state: Badge::new(Tone::Bad, "Not signed in"),
            text: String::new(),
            problem: Some(trouble),
            said: said.filter(|_| is_refusal),
            actions,
        };
        let status = if is_outage {
            StatusCode::BAD_GATEWAY
        } else {
            StatusCode::BAD_REQUEST
        };
        self.page(status, page)
    }

    fn page(&self, status: StatusCode, page: Page) -> Result<HttpResponse, Problem> {
        let mut frame = frame(&self.request, page.title);
        frame.csrf.clone_from(&self.visitor.csrf);
        let problem = page.problem.map(|trouble| parts::Problem {
            tone: Tone::Bad,
            title: "Why".to_owned(),
            cause: trouble.cause,
            code: Some(trouble.code),
            remedy: trouble.remedy,
            since: None,
            action: None,
        });
        let view = CallbackResult {
            page: frame,
            state: page.state,
            problem,
            text: page.text,
            provider_said: page.said,
            actions: page.actions,
        };
        let body = self
            .renderer
            .render(&view)
            .map_err(|error| Problem::internal(&error))?;
        let mut response = respond::html(body);
        *response.status_mut() = status;
        // It has its page already.
        response
            .headers_mut()
            .insert(DRESSED, header::HeaderValue::from_static("1"));
        Ok(response)
    }
}

struct Page {
    title: &'static str,
    state: Badge,
    text: String,
    problem: Option<Trouble>,
    said: Option<String>,
    actions: Vec<Action>,
}

/// The public half of our key for `private_key_jwt`.
async fn jwks(ctx: web::Data<Ctx>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let provider = sso::get(&ctx, &id).await?;
    let keys: Vec<serde_json::Value> = serde_json::from_str(&provider.key_public).into_iter().collect();
    Ok(HttpResponse::Ok().json(json!({ "keys": keys })))
}

impl From<SsoError> for Problem {
    fn from(error: SsoError) -> Self {
        match error {
            SsoError::NotFound => Self::not_found("identity provider"),
            SsoError::Conflict => Self::conflict("revision_conflict", error.to_string())
                .with_title("It was changed meanwhile")
                .with_remedy("Open the page again and repeat the change."),
            SsoError::ReadOnly => Self::conflict("set_in_file", error.to_string()),
            SsoError::NotTested => Self::conflict("not_tested", error.to_string()),
            SsoError::Invalid(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_fields",
                error.to_string(),
            ),
            SsoError::Provider(trouble) => trouble.into(),
            SsoError::SignedOut | SsoError::Seal(_) | SsoError::Db(_) => Self::internal(&error),
        }
    }
}

#[derive(Deserialize)]
struct Ended {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sid: String,
}

/// A frame on the provider's page that says goodbye. It looks at no cookie: browsers send none into such frames, and
/// whoever puts it into a page of their own must know the session's name.
async fn front_channel(
    ctx: web::Data<Ctx>,
    id: web::Path<String>,
    query: web::Query<Ended>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    gate::count_address(&request, "sso notice", NOTICES_PER_MINUTE)?;
    let ended = sso::front_channel(&ctx, &id, &query.iss, &query.sid).await?;
    if ended > 0 {
        tracing::info!(provider = %id.as_str(), ended, "sessions ended because their provider said so (front channel)");
    }
    let origin = sso::frame_origin(&ctx, &id).await?;
    let policy = format!("default-src 'none'; frame-ancestors {origin}");
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header(("cross-origin-resource-policy", "cross-origin"))
        .content_type("text/html; charset=utf-8")
        // The same for whoever asks: it tells nobody whether there was such a session.
        .body("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Signed out</title><p>Signed out.</p></html>"))
}

async fn back_channel(
    ctx: web::Data<Ctx>,
    id: web::Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    gate::count_address(&request, "sso notice", NOTICES_PER_MINUTE)?;
    let body = gate::read_body(payload.into_inner(), MAX_BODY).await?;
    let is_form = actix_web::HttpMessage::content_type(&request) == "application/x-www-form-urlencoded";
    let mut tokens = url::form_urlencoded::parse(&body)
        .filter(|(name, _)| name == "logout_token")
        .map(|(_, value)| SecretString::from(value.into_owned()));
    let token = tokens.next().filter(|_| is_form && tokens.next().is_none());
    let Some(token) = token else {
        return Ok(no(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "send one logout_token as a form",
        ));
    };
    match sso::back_channel(&ctx, &id, &token).await {
        Ok(ended) => {
            tracing::info!(provider = %id.as_str(), ended, "sessions ended because their provider said so (back channel)");
            Ok(HttpResponse::Ok().finish())
        }
        Err(LogoutError::Refused(why)) => {
            tracing::info!(provider = %id.as_str(), why, "a logout token was refused");
            Ok(no(StatusCode::BAD_REQUEST, "invalid_request", why))
        }
        Err(LogoutError::Unavailable) => Ok(no(
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "the provider's keys cannot be had at the moment",
        )),
        Err(LogoutError::Failed(error)) => Err(error.into()),
    }
}

fn no(status: StatusCode, code: &str, why: &str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((DRESSED, "1"))
        .json(json!({ "error": code, "error_description": why }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_providers_call_goes_without_a_session() {
        for path in ["/sso/idp_1/frontchannel-logout", "/sso/idp_1/jwks"] {
            assert!(is_from_provider(&Method::GET, path), "{path}");
        }
        assert!(is_from_provider(&Method::POST, "/sso/idp_1/backchannel-logout"));
        for path in [
            "/sso/idp_1/callback",
            "/sso/idp_1/start",
            "/sso/a/b/jwks",
            "/sso",
            "/x/sso/idp/jwks",
        ] {
            assert!(!is_from_provider(&Method::GET, path), "{path}");
        }
    }
}

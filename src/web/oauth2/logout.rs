//! Signing out, by the button on our pages or at an application's wish (RP-Initiated Logout), and the page that tells
//! applications in the browser. Whichever it is: the session ends here, at its identity provider and in the applications.
//!
//! A request ends a session by itself only if it brings an ID token of the very person who is signed in; any other leads
//! to a page that asks.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use url::Url;

use crate::account::{self, Session};
use crate::audit::{self, NewAuditEvent};
use crate::ctx::Ctx;
use crate::oauth2_server::{self, LogoutFrame, SignOut};
use crate::render::Renderer;
use crate::sso;
use crate::web::admin::views::oauth2::{AskSignOut, Field, SignedOut};
use crate::web::error::{Problem, frame};
use crate::web::extract::{FormData, Visitor};
use crate::web::gate;
use crate::web::respond;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/oauth2/logout", Guard::Public, || web::to(by_query)).not_by_head(),
    Route::post("/oauth2/logout", Guard::Public, || web::to(by_form)),
    Route::post("/oauth2/logout/confirm", Guard::Public, || web::to(confirm)),
];

/// Parameters that the confirmation page carries on.
const CARRIED: [&str; 4] = ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"];

struct Drawing<'a> {
    ctx: &'a Ctx,
    request: &'a HttpRequest,
    renderer: &'a Renderer,
    visitor: &'a Visitor,
}

async fn by_query(
    ctx: web::Data<Ctx>,
    renderer: web::Data<Renderer>,
    request: HttpRequest,
    visitor: Visitor,
) -> Result<HttpResponse, Problem> {
    let drawing = Drawing {
        ctx: &ctx,
        request: &request,
        renderer: &renderer,
        visitor: &visitor,
    };
    let params: Vec<(String, String)> = url::form_urlencoded::parse(request.query_string().as_bytes())
        .into_owned()
        .collect();
    let wish = drawing.check(&params).await?;
    match &visitor.current {
        Some(_) if wish.must_ask => drawing.ask(&params, &wish),
        _ => drawing.leave(&wish, false).await,
    }
}

/// The same by POST. A form of another site brings no session cookie, the GET that it is turned into does.
async fn by_form(ctx: web::Data<Ctx>, body: web::Bytes) -> Result<HttpResponse, Problem> {
    respond::as_get(&ctx, "/oauth2/logout", &body)
}

/// The person said yes on our page.
async fn confirm(
    ctx: web::Data<Ctx>,
    renderer: web::Data<Renderer>,
    request: HttpRequest,
    visitor: Visitor,
    form: FormData,
) -> Result<HttpResponse, Problem> {
    let drawing = Drawing {
        ctx: &ctx,
        request: &request,
        renderer: &renderer,
        visitor: &visitor,
    };
    let params: Vec<(String, String)> = CARRIED
        .into_iter()
        .filter(|name| !form.raw(name).is_empty())
        .map(|name| (name.to_owned(), form.raw(name).to_owned()))
        .collect();
    let wish = drawing.check(&params).await?;
    let wish = SignOut {
        must_ask: false,
        ..wish
    };
    drawing.leave(&wish, true).await
}

impl Drawing<'_> {
    async fn check(&self, params: &[(String, String)]) -> Result<SignOut, Problem> {
        // Each one is a signature to be checked.
        gate::count_address(self.request, "logout", self.ctx.config.requests_per_address)?;
        let session = self.visitor.current.as_ref().map(|current| &current.session);
        oauth2_server::check_sign_out(self.ctx, params, session)
            .await
            .map_err(|error| {
                Problem::new(
                    StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST),
                    error.code,
                    error.description,
                )
                .with_title("You are not signed out")
                .with_remedy(
                    "The application asked in a way that is not accepted, so nothing was done. Sign out of Mailgrant with \
                     the button in its menu.",
                )
            })
    }

    fn ask(&self, params: &[(String, String)], wish: &SignOut) -> Result<HttpResponse, Problem> {
        let mut page = frame(self.request, "Sign out?");
        page.csrf.clone_from(&self.visitor.csrf);
        let email = self
            .visitor
            .current
            .as_ref()
            .map(|current| current.user.email.clone())
            .unwrap_or_default();
        let view = AskSignOut {
            page,
            user: email,
            client: wish.client_name.clone(),
            fields: params
                .iter()
                .filter(|(name, _)| CARRIED.contains(&name.as_str()))
                .map(|(name, value)| Field {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
        };
        let mut response = self.page(&view)?;
        set_policy(&mut response, &[]);
        Ok(response)
    }

    /// Ends the session, tells the applications, and goes on. `softly` by a page instead of a redirect: browsers hold the
    /// policy of the page that asked against every redirect that follows its form, those of the application as well.
    async fn leave(&self, wish: &SignOut, softly: bool) -> Result<HttpResponse, Problem> {
        let left = match &self.visitor.current {
            Some(current) => leave(self.ctx, &current.session).await?,
            None => Left::default(),
        };
        let mut response = match &wish.then {
            Some(then) if left.is_done() && !wish.must_ask && !softly => HttpResponse::SeeOther()
                .insert_header((header::LOCATION, then.as_str()))
                .insert_header((header::REFERRER_POLICY, "no-referrer"))
                .finish(),
            _ => self.signed_out(left, wish)?,
        };
        if self.visitor.current.is_some() {
            respond::forget_session(self.ctx, &mut response)?;
        }
        Ok(response)
    }

    /// The page after signing out. With nowhere else to go it goes on to the identity provider; with both, the person
    /// chooses: only one of the two can be gone to without them.
    fn signed_out(&self, left: Left, wish: &SignOut) -> Result<HttpResponse, Problem> {
        let mut page = frame(self.request, "You are signed out");
        page.csrf.clone_from(&self.visitor.csrf);
        let provider = left.provider.as_ref().and_then(|url| url.host_str());
        let provider = provider.unwrap_or_default().to_owned();
        let url = left.provider.map(String::from);
        let (then, provider_url) = match wish.then.clone() {
            None => (url, None),
            then => (then, url),
        };
        let view = SignedOut {
            page,
            client: match wish.then {
                Some(_) => wish.client_name.clone(),
                None => provider.clone(),
            },
            // Nobody is sent on by a link that only names a client: they press the button.
            by_itself: then.is_some() && !wish.must_ask && provider_url.is_none(),
            then,
            provider,
            provider_url,
            frames: left.frames,
        };
        let mut response = self.page(&view)?;
        set_policy(&mut response, &view.frames);
        Ok(response)
    }

    fn page(&self, view: &impl crate::render::View) -> Result<HttpResponse, Problem> {
        let body = self
            .renderer
            .render(view)
            .map_err(|error| Problem::internal(&error))?;
        Ok(respond::html(body))
    }
}

/// Signs out somebody who pressed the button on one of our pages.
///
/// # Errors
/// The database; somebody who is not signed in.
pub(in crate::web) async fn sign_out(
    ctx: &Ctx,
    request: &HttpRequest,
    renderer: &Renderer,
    visitor: &Visitor,
) -> Result<HttpResponse, Problem> {
    let drawing = Drawing {
        ctx,
        request,
        renderer,
        visitor,
    };
    let current = visitor.current.as_ref();
    let current = current.ok_or_else(|| Problem::internal(&"nobody is signed in"))?;
    let left = leave(ctx, &current.session).await?;
    let mut response = match left.is_done() {
        true => respond::see_other(ctx, "/sign-in"),
        false => drawing.signed_out(left, &SignOut::default())?,
    };
    respond::forget_session(ctx, &mut response)?;
    Ok(response)
}

/// What only the browser can do after a session ended here.
#[derive(Default)]
struct Left {
    /// Tells applications.
    frames: Vec<LogoutFrame>,
    /// Ends the session at the identity provider.
    provider: Option<Url>,
}

impl Left {
    fn is_done(&self) -> bool {
        self.frames.is_empty() && self.provider.is_none()
    }
}

/// Ends a session at its person's wish: what its provider gave is given back, and its applications are told.
async fn leave(ctx: &Ctx, session: &Session) -> Result<Left, Problem> {
    // Asked first: with the session goes what is known of the one at the provider.
    let provider = sso::end_session_url(ctx, &session.id)
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "the provider is not told that somebody signed out");
            None
        });
    sso::give_back(ctx, &session.id).await;
    let frames = oauth2_server::leave_clients(ctx, session).await?;
    let tx = ctx.db.begin().await?;
    account::end_in(&tx, &session.id).await?;
    let event = NewAuditEvent::new("session.ended", "user", &session.user_id).by(&session.user_id);
    audit::append(&tx, &ctx.clock, event).await?;
    tx.commit().await?;
    Ok(Left { frames, provider })
}

/// The policy of the page: its frames may show these applications and nothing else.
fn set_policy(response: &mut HttpResponse, frames: &[LogoutFrame]) {
    let origin = |uri: &str| match Url::parse(uri) {
        Ok(url) if matches!(url.scheme(), "https" | "http") => url.origin().ascii_serialization(),
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => "'none'".to_owned(),
    };
    let mut sources: Vec<String> = frames.iter().map(|frame| origin(&frame.url)).collect();
    sources.sort();
    sources.dedup();
    let sources = match sources.is_empty() {
        true => "'none'".to_owned(),
        false => sources.join(" "),
    };
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; frame-src {sources}; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    if let Ok(value) = header::HeaderValue::from_str(&policy) {
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, value);
    }
}

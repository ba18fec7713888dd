//! OAuth on both sides: where mail providers send the admin back (here), our own authorization server's endpoints
//! (`protocol`, called by a `caller`, and `register`) and its pages (`authorize`, `device`, `logout`).
//!
//! The query of a callback holds a code: it is handed on and never logged, shown or kept.

mod authorize;
mod caller;
mod device;
mod logout;
mod protocol;
mod register;

pub(super) use logout::sign_out;
pub(super) use protocol::is_protocol;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::admin::connect;
use super::admin::views::connect::CallbackResult;
use super::admin::views::errors::RedirectChanged;
use super::admin::views::parts::{self, Action, Badge, Tone};
use super::error::{Problem, frame};
use super::extract::Visitor;
use super::gate::Current;
use super::respond;
use super::route::{Guard, Route};
use crate::access::Projects;
use crate::account::FlashKind;
use crate::ctx::Ctx;
use crate::grant::{self, CallbackError, CallbackOutcome, CallbackParams};
use crate::integration::{self, CallbackOwner};
use crate::render::Renderer;

/// The routes of this folder.
pub(super) fn routes() -> Vec<Route> {
    let callback = Route::get("/oauth2/callback/{callbackId}", Guard::Public, || {
        web::to(callback)
    })
    .not_by_head();
    [
        &[callback],
        protocol::ROUTES,
        authorize::ROUTES,
        device::ROUTES,
        register::ROUTES,
        logout::ROUTES,
    ]
    .concat()
}

/// What a page of this file is drawn with.
struct Drawing<'a> {
    ctx: &'a Ctx,
    request: &'a HttpRequest,
    renderer: &'a Renderer,
}

async fn callback(
    ctx: web::Data<Ctx>,
    renderer: web::Data<Renderer>,
    request: HttpRequest,
    visitor: Visitor,
    callback_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let drawing = Drawing {
        ctx: &ctx,
        request: &request,
        renderer: &renderer,
    };
    let params = CallbackParams::of_query(request.query_string());
    let provider_said = params.error_description.clone().or_else(|| params.error.clone());
    let session_id = visitor
        .current
        .as_ref()
        .map(|current| current.session.id.as_str());
    match grant::finish_callback(&ctx, &callback_id, session_id, params).await {
        Ok(outcome) => drawing.outcome(&visitor, outcome).await,
        Err(error) => {
            drawing
                .refused(&visitor, &callback_id, error, provider_said)
                .await
        }
    }
}

impl Drawing<'_> {
    async fn outcome(&self, visitor: &Visitor, outcome: CallbackOutcome) -> Result<HttpResponse, Problem> {
        match outcome {
            CallbackOutcome::Connected {
                grant_id,
                return_to,
                warnings,
                ..
            } => self.connected(visitor, &grant_id, &return_to, &warnings).await,
            CallbackOutcome::IdentityMismatch {
                pinned,
                got,
                authorization_id,
                ..
            } => {
                if visitor.current.is_some() {
                    return self.ask_whose(&authorization_id).await;
                }
                self.another_account(visitor, &pinned, &got)
            }
        }
    }

    async fn connected(
        &self,
        visitor: &Visitor,
        grant_id: &str,
        return_to: &str,
        warnings: &[crate::trouble::Trouble],
    ) -> Result<HttpResponse, Problem> {
        let identity = grant::get(self.ctx, &Projects::All, grant_id)
            .await
            .map(|grant| grant.identity)
            .unwrap_or_default();
        let who = if identity.is_empty() {
            "The account"
        } else {
            &identity
        };
        let warned: String = warnings
            .iter()
            .map(|warning| format!(" {} {}", warning.cause, warning.remedy))
            .collect();
        if let Some(current) = &visitor.current {
            let (path, hurdle) = self.onward(current, grant_id, return_to).await?;
            if let Some(path) = path {
                let kind = if warnings.is_empty() && hurdle.is_none() {
                    FlashKind::Success
                } else {
                    FlashKind::Warning
                };
                let hurdle = hurdle.map(|hurdle| format!(" {hurdle}")).unwrap_or_default();
                let text = format!("{who} is connected.{warned}{hurdle}");
                return respond::see_other_with(self.ctx, &current.session, kind, text, &path).await;
            }
        }
        let actions = match visitor.current {
            Some(_) => vec![Action::link("Open the grant", format!("/grants/{grant_id}"))],
            None => Vec::new(),
        };
        let mut page = frame(self.request, "Consent received");
        page.csrf.clone_from(&visitor.csrf);
        self.page(
            StatusCode::OK,
            &CallbackResult {
                page,
                state: Badge::new(Tone::Ok, "Done"),
                problem: None,
                text: format!("{who} is connected. You can close this page.{warned}"),
                provider_said: None,
                actions,
            },
        )
    }

    /// Where somebody who is signed in goes on, and what they have to do there by hand. The wizard goes on to the
    /// mailbox.
    async fn onward(
        &self,
        current: &Current,
        grant_id: &str,
        return_to: &str,
    ) -> Result<(Option<String>, Option<String>), Problem> {
        if return_to == connect::WIZARD {
            let finished = connect::finish(self.ctx, &current.user.id, grant_id).await?;
            return Ok((Some(finished.path), finished.hurdle));
        }
        let path = return_to.replace("{grantId}", grant_id);
        Ok((respond::safe_next(&path).map(str::to_owned), None))
    }

    /// The page on which an admin decides whether another account may take over.
    async fn ask_whose(&self, authorization_id: &str) -> Result<HttpResponse, Problem> {
        let attempt = grant::authorization(self.ctx, authorization_id).await?;
        let grant_id = attempt.reconnect_grant_id.unwrap_or_default();
        let path = format!("/grants/{grant_id}/identity?authorization={authorization_id}");
        Ok(respond::see_other(self.ctx, &path))
    }

    /// The same news for somebody who is not signed in and has nothing to decide.
    fn another_account(&self, visitor: &Visitor, pinned: &str, got: &str) -> Result<HttpResponse, Problem> {
        let problem = parts::Problem {
            tone: Tone::Warn,
            title: "Another account consented".to_owned(),
            cause: format!(
                "This grant belongs to {pinned}, but {got} signed in at the provider. Nothing was changed."
            ),
            code: Some("identity_mismatch".to_owned()),
            remedy: format!(
                "Connect again and sign in as {pinned}. If {got} is meant to take over, an admin has to say so on the \
                 grant's page."
            ),
            since: None,
            action: None,
        };
        let mut page = frame(self.request, "Another account consented");
        page.csrf.clone_from(&visitor.csrf);
        self.page(
            StatusCode::CONFLICT,
            &CallbackResult {
                page,
                state: Badge::new(Tone::Warn, "Not changed"),
                problem: Some(problem),
                text: String::new(),
                provider_said: None,
                actions: Vec::new(),
            },
        )
    }

    async fn refused(
        &self,
        visitor: &Visitor,
        callback_id: &str,
        error: CallbackError,
        provider_said: Option<String>,
    ) -> Result<HttpResponse, Problem> {
        let owner = match integration::find_callback(self.ctx, callback_id).await {
            Ok(CallbackOwner::Current(found) | CallbackOwner::Retired(found)) => Some(found),
            _ => None,
        };
        let open = visitor.current.as_ref().map(|_| match &owner {
            Some(found) => Action::link("Open the integration", format!("/integrations/{}", found.id)),
            None => Action::link("Open the integrations", "/integrations"),
        });
        let again = owner
            .as_ref()
            .filter(|_| visitor.current.is_some())
            .map(|found| Action::post("Try again", format!("/integrations/{}/authorizations", found.id)));
        if let (CallbackError::RetiredCallback { new_redirect_url }, Some(found)) = (&error, &owner) {
            let view = RedirectChanged {
                page: frame(self.request, "The redirect URL has changed"),
                integration: found.name.clone(),
                old_url: self.ctx.config.url(&format!("/oauth2/callback/{callback_id}")),
                new_url: new_redirect_url.clone(),
                action: open,
            };
            return self.page(StatusCode::GONE, &view);
        }
        let status = match &error {
            CallbackError::UnknownCallback => StatusCode::NOT_FOUND,
            CallbackError::Grant(error) if matches!(error, grant::GrantError::Db(_)) => {
                return Err(Problem::internal(error));
            }
            _ => StatusCode::BAD_REQUEST,
        };
        let trouble = error.trouble();
        tracing::info!(code = %trouble.code, "an authorization was not finished");
        let mut page = frame(self.request, "The mailbox was not connected");
        page.csrf.clone_from(&visitor.csrf);
        let problem = parts::Problem {
            tone: Tone::Bad,
            title: "The provider's answer was not accepted".to_owned(),
            cause: trouble.cause,
            code: Some(trouble.code),
            remedy: trouble.remedy,
            since: None,
            action: None,
        };
        // The provider's own words are shown only when it is the provider that refused.
        let is_refusal = matches!(error, CallbackError::Refused(_));
        self.page(
            status,
            &CallbackResult {
                page,
                state: Badge::new(Tone::Bad, "Refused"),
                problem: Some(problem),
                text: String::new(),
                provider_said: provider_said.filter(|_| is_refusal).map(|text| shortened(&text)),
                actions: again.into_iter().chain(open).collect(),
            },
        )
    }

    fn page(&self, status: StatusCode, view: &impl crate::render::View) -> Result<HttpResponse, Problem> {
        let body = self
            .renderer
            .render(view)
            .map_err(|error| Problem::internal(&error))?;
        let mut response = respond::html(body);
        *response.status_mut() = status;
        // It has its page already.
        response.headers_mut().insert(
            super::error::DRESSED,
            actix_web::http::header::HeaderValue::from_static("1"),
        );
        Ok(response)
    }
}

fn shortened(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(256)
        .collect()
}

//! The authorization endpoint and the pages it shows: sign-in first, then consent, then on to the application.
//!
//! A request that needs a person is put aside under an id of its own, bound to the browser it came from; the pages
//! below `/oauth2/interactions/` carry nothing but that id.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::access::Projects;
use crate::account::User;
use crate::clock::from_ms;
use crate::ctx::Ctx;
use crate::oauth2_server::{
    self, Allowed, ApplicationType, Client, Given, Pending, Refused, ResponseMode, ReturnTo, Step, metadata,
};
use crate::project;
use crate::render::Renderer;
use crate::web::admin::views::oauth2::{Asked, Asking, AskingDevice, ConsentPage, DeviceDone, Field, Onward};
use crate::web::admin::views::parts::{Choice, FormErrors};
use crate::web::error::{Problem, frame};
use crate::web::extract::{FormData, Visitor};
use crate::web::gate::Current;
use crate::web::limit::Limiter;
use crate::web::respond;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/oauth2/authorize", Guard::Public, || web::to(authorize)).not_by_head(),
    Route::post("/oauth2/authorize", Guard::Public, || web::to(authorize_by_form)),
    Route::get("/oauth2/interactions/{id}", Guard::Public, || {
        web::to(interaction)
    })
    .not_by_head(),
    Route::post("/oauth2/interactions/{id}", Guard::Public, || web::to(decide)),
];

/// Lifetimes a person can choose for a consent: seconds, in words.
const LASTS: [(&str, &str); 4] = [
    ("", "Until I revoke it"),
    ("3600", "One hour"),
    ("86400", "One day"),
    ("2592000", "30 days"),
];

/// Requests that one address may have put aside in a minute: anybody can begin one, and each is kept for a while.
const BEGUN_PER_ADDRESS: u32 = 120;

pub(super) struct Drawing<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) request: &'a HttpRequest,
    pub(super) renderer: &'a Renderer,
    pub(super) visitor: &'a Visitor,
}

async fn authorize(
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
    drawing.count("authorize", ctx.config.requests_per_address)?;
    let params: Vec<(String, String)> = url::form_urlencoded::parse(request.query_string().as_bytes())
        .into_owned()
        .collect();
    let (client, asked) = match oauth2_server::check(&ctx, &params).await {
        Ok(checked) => checked,
        Err(refused) => return drawing.refused_at_once(refused),
    };
    let who = visitor
        .current
        .as_ref()
        .map(|current| (&current.session, &current.user));
    let next = oauth2_server::next_step(&ctx, &client, &asked, who, None).await;
    match (next, &visitor.current) {
        (Err(refused), _) => drawing.refused_at_once(refused),
        (Ok(Step::Ready { scopes, projects }), Some(current)) => {
            let code = oauth2_server::give_code(
                &ctx,
                &client,
                &asked,
                &current.session,
                &current.user,
                scopes,
                projects,
            );
            match code.await {
                // No form leads here: a redirect is held against no policy.
                Ok(reply) => drawing.answer(&ReturnTo::of(&asked), &reply.params(), false),
                Err(refused) => drawing.refused_at_once(refused),
            }
        }
        (Ok(_), _) => {
            drawing.count(
                "interaction",
                ctx.config.requests_per_address.min(BEGUN_PER_ADDRESS),
            )?;
            match oauth2_server::put_aside(&ctx, &client, asked, &visitor.browser).await {
                Ok(id) => drawing.to_interaction(&id),
                Err(refused) => drawing.refused_at_once(refused),
            }
        }
    }
}

/// The same by POST (OpenID Connect Core, section 3.1.2.1). A form of another site brings no session cookie, the GET
/// that it is turned into does.
async fn authorize_by_form(ctx: web::Data<Ctx>, body: web::Bytes) -> Result<HttpResponse, Problem> {
    respond::as_get(&ctx, "/oauth2/authorize", &body)
}

async fn interaction(
    ctx: web::Data<Ctx>,
    renderer: web::Data<Renderer>,
    request: HttpRequest,
    visitor: Visitor,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let drawing = Drawing {
        ctx: &ctx,
        request: &request,
        renderer: &renderer,
        visitor: &visitor,
    };
    let pending = match oauth2_server::pending(&ctx, &id, &visitor.browser).await {
        Ok(pending) => pending,
        Err(refused) => return drawing.refused(refused),
    };
    let who = visitor
        .current
        .as_ref()
        .map(|current| (&current.session, &current.user));
    let next =
        oauth2_server::next_step(&ctx, &pending.client, &pending.request, who, Some(pending.since)).await;
    match (next, &visitor.current) {
        (Err(refused), _) => drawing.refused(refused),
        (Ok(Step::SignIn), _) | (Ok(_), None) => {
            drawing.to_sign_in(&id, pending.request.login_hint.as_deref())
        }
        (Ok(Step::Consent), Some(current)) => drawing.consent(&id, &pending, current).await,
        (Ok(Step::Ready { scopes, projects }), Some(current)) => {
            let taken = match oauth2_server::take(&ctx, &id, &visitor.browser).await {
                Ok(taken) => taken,
                Err(refused) => return drawing.refused(refused),
            };
            let code = oauth2_server::give_code(
                &ctx,
                &taken.client,
                &taken.request,
                &current.session,
                &current.user,
                scopes,
                projects,
            );
            match code.await {
                Ok(reply) => drawing.answer(&ReturnTo::of(&taken.request), &reply.params(), true),
                Err(refused) => drawing.refused(refused),
            }
        }
    }
}

async fn decide(
    ctx: web::Data<Ctx>,
    renderer: web::Data<Renderer>,
    request: HttpRequest,
    visitor: Visitor,
    id: web::Path<String>,
    form: FormData,
) -> Result<HttpResponse, Problem> {
    let drawing = Drawing {
        ctx: &ctx,
        request: &request,
        renderer: &renderer,
        visitor: &visitor,
    };
    let Some(current) = &visitor.current else {
        return drawing.to_sign_in(&id, None);
    };
    let waiting = match oauth2_server::pending(&ctx, &id, &visitor.browser).await {
        Ok(waiting) => waiting,
        Err(refused) => return drawing.refused(refused),
    };
    // Whoever signed in meanwhile as somebody else has not seen this page.
    let who = Some((&current.session, &current.user));
    let next =
        oauth2_server::next_step(&ctx, &waiting.client, &waiting.request, who, Some(waiting.since)).await;
    match next {
        Ok(Step::Consent | Step::Ready { .. }) => {}
        Ok(Step::SignIn) => return drawing.to_sign_in(&id, None),
        Err(refused) => return drawing.refused(refused),
    }
    let pending = match oauth2_server::take(&ctx, &id, &visitor.browser).await {
        Ok(pending) => pending,
        Err(refused) => return drawing.refused(refused),
    };
    let back = ReturnTo::of(&pending.request);
    if form.text("decision") != "allow" {
        if let Err(refused) = oauth2_server::refuse(&ctx, &pending, &current.user).await {
            return drawing.refused(refused);
        }
        let error = oauth2_server::OAuthError::new("access_denied", "the person refused");
        return drawing.refused(Refused::Redirect(back, error));
    }
    let allowed = match drawing.allowed(&form, &current.user).await? {
        Some(allowed) => allowed,
        None => {
            if let Err(refused) = oauth2_server::refuse(&ctx, &pending, &current.user).await {
                return drawing.refused(refused);
            }
            let error = oauth2_server::OAuthError::new("access_denied", "no project was allowed");
            return drawing.refused(Refused::Redirect(back, error));
        }
    };
    match oauth2_server::allow(&ctx, &pending, &current.session, &current.user, allowed).await {
        Ok(Given::Reply(reply)) => drawing.answer(&back, &reply.params(), true),
        Ok(Given::Device) => drawing.device_done(&pending.client.name),
        Err(refused) => drawing.refused(refused),
    }
}

impl Drawing<'_> {
    /// Counts a request of this address.
    pub(super) fn count(&self, what: &str, per_minute: u32) -> Result<(), Problem> {
        self.count_of(what, &respond::client_network(self.request), per_minute)
    }

    /// Counts a request of somebody.
    pub(super) fn count_of(&self, what: &str, who: &str, per_minute: u32) -> Result<(), Problem> {
        let Some(limiter) = self.request.app_data::<web::Data<Limiter>>() else {
            return Ok(());
        };
        let now = self.ctx.clock.now_ms();
        limiter
            .take(&format!("{what} {who}"), per_minute, now)
            .map_err(|seconds| {
                Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate_limited",
                    format!("too many tries; the next one may come in {seconds} s"),
                )
                .retry_after(seconds)
            })
    }

    fn device_done(&self, name: &str) -> Result<HttpResponse, Problem> {
        let mut page = frame(self.request, "The device is connected");
        page.csrf.clone_from(&self.visitor.csrf);
        self.page(&DeviceDone {
            page,
            client: name.to_owned(),
            allowed: true,
        })
    }

    pub(super) fn to_interaction(&self, id: &str) -> Result<HttpResponse, Problem> {
        Ok(respond::see_other(
            self.ctx,
            &format!("/oauth2/interactions/{id}"),
        ))
    }

    fn to_sign_in(&self, id: &str, hint: Option<&str>) -> Result<HttpResponse, Problem> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("next", &format!("/oauth2/interactions/{id}"));
        query.append_pair("again", "1");
        if let Some(hint) = hint {
            query.append_pair("hint", hint);
        }
        Ok(respond::see_other(
            self.ctx,
            &format!("/sign-in?{}", query.finish()),
        ))
    }

    /// What somebody ticked; `None` if no project is left.
    async fn allowed(&self, form: &FormData, user: &User) -> Result<Option<Allowed>, Problem> {
        let mut projects: Vec<String> = Vec::new();
        if form.text("reach") == "some" {
            let mine = self.projects(user).await?;
            projects = form
                .all("project")
                .filter(|id| mine.iter().any(|project| project.value == **id))
                .map(str::to_owned)
                .collect();
            if projects.is_empty() {
                return Ok(None);
            }
        }
        let lasts = form.text("lasts");
        let is_known = LASTS.iter().any(|(value, _)| *value == lasts);
        Ok(Some(Allowed {
            scopes: form.all("scope").map(str::to_owned).collect(),
            projects,
            seconds: lasts.parse().ok().filter(|_| is_known),
        }))
    }

    /// The projects a person can work in.
    async fn projects(&self, user: &User) -> Result<Vec<Choice>, Problem> {
        let access = crate::account::access(&self.ctx.db, user).await?;
        let mine = project::list(self.ctx, &access.projects()).await?;
        Ok(mine
            .into_iter()
            .map(|project| Choice::new(project.id, format!("{} · {}", project.key, project.name), false))
            .collect())
    }

    async fn consent(&self, id: &str, pending: &Pending, current: &Current) -> Result<HttpResponse, Problem> {
        let client = &pending.client;
        let reaches_projects = oauth2_server::reach_projects(&pending.request.asked_scopes());
        // Of a project's application there is nothing to choose.
        let projects = match reaches_projects && client.project_id.is_empty() {
            true => self.projects(&current.user).await?,
            false => Vec::new(),
        };
        let only_project = match reaches_projects && !client.project_id.is_empty() {
            true => Some(self.owner(client).await),
            false => None,
        };
        let mut page = frame(self.request, "Allow access");
        page.csrf.clone_from(&self.visitor.csrf);
        let view = ConsentPage {
            page,
            action: format!("/oauth2/interactions/{id}"),
            user: current.user.email.clone(),
            client: self.asking(client, &pending.request.redirect_uri).await?,
            device: pending.request.device.as_ref().map(|device| AskingDevice {
                code: device.user_code.clone(),
                address: device.address.clone(),
                agent: device.agent.clone(),
                begun: from_ms(device.begun_at).format("%H:%M:%S UTC").to_string(),
            }),
            scopes: pending
                .request
                .asked_scopes()
                .iter()
                .filter_map(|value| oauth2_server::known_scope(value))
                .map(|scope| Asked {
                    value: scope.value.to_owned(),
                    sentence: scope.sentence.to_owned(),
                    fixed: scope.value == "openid",
                })
                .collect(),
            projects,
            only_project,
            lasts: LASTS
                .iter()
                .map(|(value, label)| Choice::new(*value, *label, value.is_empty()))
                .collect(),
            errors: FormErrors::default(),
        };
        let mut response = self.page(&view)?;
        if pending.request.device.is_none() {
            set_policy(&mut response, None, &client.logo_uri);
        }
        Ok(response)
    }

    /// Whose application it is.
    async fn owner(&self, client: &Client) -> String {
        match client.project_id.as_str() {
            "" => "An admin of this site".to_owned(),
            id => match project::get(self.ctx, &Projects::All, id).await {
                Ok(project) => format!("{} · {}", project.key, project.name),
                Err(_) => "A project that is gone".to_owned(),
            },
        }
    }

    async fn asking(&self, client: &Client, redirect_uri: &str) -> Result<Asking, Problem> {
        let owner = self.owner(client).await;
        Ok(Asking {
            name: client.name.clone(),
            description: client.description.clone(),
            // The policy of a device's page names no host of the client.
            logo: match redirect_uri {
                "" => String::new(),
                _ => client.logo_uri.clone(),
            },
            home: client.client_uri.clone(),
            policy: client.policy_uri.clone(),
            terms: client.tos_uri.clone(),
            owner,
            target: target(redirect_uri),
            on_device: client.application_type == ApplicationType::Native && !client.is_confidential(),
        })
    }

    /// An error after a form of ours: shown here, or told to the application.
    pub(super) fn refused(&self, refused: Refused) -> Result<HttpResponse, Problem> {
        self.refuse(refused, true)
    }

    /// An error that no form came before.
    fn refused_at_once(&self, refused: Refused) -> Result<HttpResponse, Problem> {
        self.refuse(refused, false)
    }

    fn refuse(&self, refused: Refused, softly: bool) -> Result<HttpResponse, Problem> {
        match refused {
            Refused::Redirect(back, error) if back.is_device => {
                let mut page = frame(self.request, "The device was refused");
                page.csrf.clone_from(&self.visitor.csrf);
                tracing::info!(code = error.code, "a device was refused");
                self.page(&DeviceDone {
                    page,
                    client: String::new(),
                    allowed: false,
                })
            }
            Refused::Redirect(back, error) => self.answer(
                &back,
                &[("error", error.code), ("error_description", &error.description)],
                softly,
            ),
            Refused::Page(error) => {
                let status = match error.status {
                    401 => StatusCode::BAD_REQUEST,
                    other => StatusCode::from_u16(other).unwrap_or(StatusCode::BAD_REQUEST),
                };
                Err(Problem::new(status, error.code, error.description)
                    .with_title("This application cannot be connected")
                    .with_remedy(
                        "Go back to the application and begin again. If it happens again, tell whoever runs it what \
                         is said here.",
                    ))
            }
        }
    }

    /// Sends the browser to the application with an answer. `softly` by a page instead of a redirect: browsers hold the
    /// policy of the sign-in and consent forms against every redirect that follows them, those of the application as well.
    fn answer(
        &self,
        back: &ReturnTo,
        params: &[(&str, &str)],
        softly: bool,
    ) -> Result<HttpResponse, Problem> {
        let issuer = metadata::issuer(&self.ctx.config);
        let mut all: Vec<(&str, &str)> = params.to_vec();
        if let Some(state) = &back.state {
            all.push(("state", state));
        }
        all.push(("iss", &issuer));
        let mut page = frame(self.request, "On to the application");
        page.csrf.clone_from(&self.visitor.csrf);
        if back.mode == ResponseMode::FormPost {
            let fields = all
                .iter()
                .map(|(name, value)| Field {
                    name: (*name).to_owned(),
                    value: (*value).to_owned(),
                })
                .collect();
            let view = Onward {
                page,
                url: back.redirect_uri.clone(),
                host: target(&back.redirect_uri),
                fields,
            };
            let mut response = self.page(&view)?;
            set_policy(&mut response, Some(&back.redirect_uri), "");
            return Ok(response);
        }
        let url = match back.mode {
            ResponseMode::Fragment => with_fragment(&back.redirect_uri, &all),
            _ => with_params(&back.redirect_uri, &all),
        };
        if softly {
            return self.page(&Onward {
                page,
                host: target(&url),
                url,
                fields: Vec::new(),
            });
        }
        Ok(HttpResponse::SeeOther()
            .insert_header((header::LOCATION, url))
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            .finish())
    }

    pub(super) fn page(&self, view: &impl crate::render::View) -> Result<HttpResponse, Problem> {
        let body = self
            .renderer
            .render(view)
            .map_err(|error| Problem::internal(&error))?;
        Ok(respond::html(body))
    }
}

/// Adds parameters to a redirect URI, whose own query stays as it was registered.
fn with_params(uri: &str, params: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params)
        .finish();
    let separator = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{uri}{separator}{query}")
}

/// The same behind the `#`, which a registered redirect URI has none of.
fn with_fragment(uri: &str, params: &[(&str, &str)]) -> String {
    let fragment = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params)
        .finish();
    format!("{uri}#{fragment}")
}

/// What a person recognises of an address: its host, or the scheme of an application on a device.
fn target(uri: &str) -> String {
    match url::Url::parse(uri) {
        Ok(url) => match url.host_str() {
            Some(host) if matches!(url.scheme(), "https" | "http") => match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            _ => format!("{}:", url.scheme()),
        },
        Err(_) => String::new(),
    }
}

/// The policy of a page that shows the application's logo, or whose form leads to the application.
fn set_policy(response: &mut HttpResponse, form_to: Option<&str>, logo_uri: &str) {
    let source = |uri: &str| match url::Url::parse(uri) {
        // No source of a policy can name such a host.
        Ok(url) if matches!(url.host(), Some(url::Host::Ipv6(_))) => format!("{}:", url.scheme()),
        Ok(url) if matches!(url.scheme(), "https" | "http") => url.origin().ascii_serialization(),
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => "'none'".to_owned(),
    };
    let images = match logo_uri {
        "" => String::new(),
        uri => format!(" {}", source(uri)),
    };
    let form_to = form_to.map(|uri| format!(" {}", source(uri))).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self' data:{images}; script-src 'self'; \
         form-action 'self'{form_to}; base-uri 'none'; frame-ancestors 'none'"
    );
    if let Ok(value) = header::HeaderValue::from_str(&policy) {
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_redirect_uri_is_kept_and_a_form_may_lead_there() {
        let params = [("code", "a b"), ("iss", "https://x")];
        let added = "code=a+b&iss=https%3A%2F%2Fx";
        for (uri, expected) in [
            ("https://a.example/cb", format!("https://a.example/cb?{added}")),
            ("https://a.example/cb?", format!("https://a.example/cb?{added}")),
            (
                "https://a.example/cb?x=1",
                format!("https://a.example/cb?x=1&{added}"),
            ),
            ("nxdrive://authorize", format!("nxdrive://authorize?{added}")),
        ] {
            assert_eq!(with_params(uri, &params), expected);
        }
        let policy = |form_to| {
            let mut response = HttpResponse::Ok().finish();
            set_policy(&mut response, form_to, "");
            let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).unwrap();
            policy.to_str().unwrap().to_owned()
        };
        for (form_to, expected) in [
            (None, "form-action 'self';"),
            (
                Some("https://a.example/cb"),
                "form-action 'self' https://a.example;",
            ),
            (Some("http://[::1]:1234/cb"), "form-action 'self' http:;"),
        ] {
            assert!(policy(form_to).contains(expected), "{}", policy(form_to));
        }
        assert_eq!(target("https://a.example:8443/cb"), "a.example:8443");
        assert_eq!(target("nxdrive://authorize"), "nxdrive:");
    }
}

//! What every handler of the admin pages asks for in one argument: the service's parts, the renderer, who is signed in.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, web};

use super::attention::Overview;
use super::views::{Flash, FlashKind, May, Page, Section, Theme, UserName};
use crate::access::{Access, Role};
use crate::account;
use crate::crypto::random_token;
use crate::ctx::Ctx;
use crate::render::{Renderer, View};
use crate::web::error::{DRESSED, Problem};
use crate::web::extract::{CurrentUser, Visitor};
use crate::web::{DemoStatus, gate, oauth2, respond};

/// A page's answer, or why there is none.
pub(super) type Answer = Result<HttpResponse, Problem>;

/// How long ago somebody may have signed in to do something dangerous, milliseconds.
const RECENT_MS: i64 = 15 * 60_000;

/// The handlers' desk, for pages of people who are signed in.
pub(super) struct Desk {
    pub(super) ctx: web::Data<Ctx>,
    pub(super) current: CurrentUser,
    access: Access,
    front: Front,
}

/// The same for pages that anybody may see.
pub(super) struct Front {
    pub(super) ctx: web::Data<Ctx>,
    pub(super) visitor: Visitor,
    pub(super) request: HttpRequest,
    renderer: web::Data<Renderer>,
}

impl Front {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let renderer = request
            .app_data::<web::Data<Renderer>>()
            .cloned()
            .ok_or_else(|| Problem::internal(&"the application has no renderer"))?;
        Ok(Self {
            ctx: gate::ctx(request)?,
            visitor: Visitor::from_request(request, &mut Payload::None).into_inner()?,
            request: request.clone(),
            renderer,
        })
    }

    /// The frame of a page for nobody in particular.
    pub(super) fn page(&self, title: impl Into<String>) -> Page {
        let mut page = Page::new(title, Section::None);
        respond::base_path(&self.ctx).clone_into(&mut page.base);
        page.csrf.clone_from(&self.visitor.csrf);
        page.form_id = random_token(18);
        page.demo = self.demo().is_some();
        page
    }

    /// A view as an answer.
    pub(super) fn show<V: View>(&self, view: &V) -> Answer {
        let body = self
            .renderer
            .render(view)
            .map_err(|error| Problem::internal(&error))?;
        Ok(respond::html(body))
    }

    /// A form again, with what is wrong in it.
    pub(super) fn show_again<V: View>(&self, view: &V) -> Answer {
        let mut response = self.show(view)?;
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        response
            .headers_mut()
            .insert(DRESSED, header::HeaderValue::from_static("1"));
        Ok(response)
    }

    /// What the demo says of itself; none when this is not the demo.
    pub(super) fn demo(&self) -> Option<&DemoStatus> {
        self.request
            .app_data::<web::Data<DemoStatus>>()
            .map(|status| status.get_ref())
    }

    /// Where the browser sees this service: scheme and host of the request.
    pub(super) fn seen_url(&self) -> String {
        let scheme = self.ctx.config.base_url.scheme();
        let host = respond::peer(&self.request).and_then(|peer| peer.host);
        format!("{scheme}://{}", host.unwrap_or_default())
    }
}

impl FromRequest for Front {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl Desk {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self {
            ctx: gate::ctx(request)?,
            current: CurrentUser::from_request(request, &mut Payload::None).into_inner()?,
            access: Access::from_request(request, &mut Payload::None).into_inner()?,
            front: Front::of(request)?,
        })
    }

    /// What pages have that anybody may see.
    pub(super) fn front(&self) -> &Front {
        &self.front
    }

    /// What they may do, cut down to this page.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Who does it, for events.
    pub(super) fn actor(&self) -> &str {
        &self.current.user().id
    }

    /// The present time, milliseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.ctx.clock.now_ms()
    }

    /// The frame of a page: who is signed in, what needs attention, the message of the redirect that led here.
    pub(super) async fn page(&self, title: impl Into<String>, section: Section) -> Result<Page, Problem> {
        let overview = Overview::load(&self.ctx, &self.access).await?;
        self.page_with(title, section, &overview).await
    }

    /// The same when everything was looked at already.
    pub(super) async fn page_with(
        &self,
        title: impl Into<String>,
        section: Section,
        overview: &Overview,
    ) -> Result<Page, Problem> {
        let user = self.current.user();
        let mut page = self.front.page(title);
        page.section = section;
        page.user = Some(UserName {
            name: user.name.clone(),
            email: user.email.clone(),
        });
        page.may = may(&self.current.0.access);
        page.role = role(&self.current.0.access, None);
        page.here = page.role;
        page.theme = Theme::from_value(&user.theme);
        page.path = self.path();
        page.attention = overview.problems(self.now()).len() as u64;
        if !gate::is_automatic(&self.front.request) {
            page.flash = respond::take_flash(&self.ctx, &self.current.0)
                .await?
                .map(|flash| Flash {
                    kind: kind_of(flash.kind),
                    text: flash.text,
                });
        }
        Ok(page)
    }

    /// What somebody may do on a page that is about one project: its links and buttons are theirs in that project.
    pub(super) fn here(&self, mut page: Page, project_id: &str) -> Page {
        page.here = role(&self.current.0.access, Some(project_id));
        page
    }

    fn path(&self) -> String {
        let uri = self.front.request.uri();
        uri.path_and_query().map_or("/", |both| both.as_str()).to_owned()
    }

    /// Where to sign in again before something dangerous, if the last time is too long ago; then back to `next`.
    pub(super) fn sign_in_again(&self, next: &str) -> Option<Answer> {
        let session = self.current.session();
        if self.now() - session.auth_time <= RECENT_MS {
            return None;
        }
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("again", "1")
            .append_pair("hint", &self.current.user().email)
            .append_pair("next", next)
            .finish();
        Some(self.go(&format!("/sign-in?{query}")))
    }

    /// The request itself.
    pub(super) fn request(&self) -> &HttpRequest {
        &self.front.request
    }

    /// What names the request in the log.
    pub(super) fn request_id(&self) -> String {
        let extensions = self.front.request.extensions();
        let id = extensions.get::<crate::web::RequestId>();
        id.map(|id| id.0.clone()).unwrap_or_default()
    }

    /// What the browser remembers under a name.
    pub(super) fn cookie(&self, name: &str) -> Option<String> {
        let cookie = self.front.request.cookie(name);
        cookie.map(|cookie| cookie.value().to_owned())
    }

    /// What the demo says of itself; none when this is not the demo.
    pub(super) fn demo(&self) -> Option<&DemoStatus> {
        self.front.demo()
    }

    /// Where the browser sees this service.
    pub(super) fn seen_url(&self) -> String {
        self.front.seen_url()
    }

    /// Signs out here and on to where the session has to end as well.
    pub(super) async fn sign_out(&self) -> Answer {
        let front = &self.front;
        oauth2::sign_out(&self.ctx, &front.request, &front.renderer, &front.visitor).await
    }

    /// A view as an answer.
    pub(super) fn show<V: View>(&self, view: &V) -> Answer {
        self.front.show(view)
    }

    /// A form again, with what is wrong in it.
    pub(super) fn show_again<V: View>(&self, view: &V) -> Answer {
        self.front.show_again(view)
    }

    /// On to another page.
    pub(super) fn go(&self, path: &str) -> Answer {
        Ok(respond::see_other(&self.ctx, path))
    }

    /// On to another page, which says that it worked.
    pub(super) async fn done(&self, text: impl Into<String>, path: &str) -> Answer {
        self.tell(account::FlashKind::Success, text, path).await
    }

    /// On to another page, which says why it did not work.
    pub(super) async fn failed(&self, text: impl Into<String>, path: &str) -> Answer {
        self.tell(account::FlashKind::Error, text, path).await
    }

    /// On to another page with a message.
    pub(super) async fn tell(&self, kind: account::FlashKind, text: impl Into<String>, path: &str) -> Answer {
        respond::see_other_with(&self.ctx, self.current.session(), kind, text, path).await
    }
}

impl FromRequest for Desk {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// The highest role somebody has in a project, or anywhere.
pub(in crate::web) fn role(access: &Access, project_id: Option<&str>) -> &'static str {
    if access.is_site_admin() {
        return Role::SiteAdmin.as_str();
    }
    let has = |role: &Role| {
        let projects = access.projects_as(*role);
        project_id.map_or(!projects.is_none(), |id| projects.contains(id))
    };
    let highest = Role::OF_MEMBERS.iter().rev().find(|role| has(role));
    highest.map_or("", |role| role.as_str())
}

/// What somebody may do anywhere.
pub(in crate::web) fn may(access: &Access) -> May {
    May {
        read: !access.projects_as(Role::Viewer).is_none(),
        manage: !access.projects_as(Role::ProjectAdmin).is_none(),
        site: access.is_site_admin(),
    }
}

fn kind_of(kind: account::FlashKind) -> FlashKind {
    match kind {
        account::FlashKind::Success => FlashKind::Ok,
        account::FlashKind::Warning => FlashKind::Warn,
        account::FlashKind::Error => FlashKind::Error,
    }
}

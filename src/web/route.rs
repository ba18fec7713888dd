//! The route table: every address the service answers, with its method and who may ask.
//!
//! Guards are put around the handlers here, from the table: a handler cannot forget its own, and a test can walk them.

use std::collections::BTreeMap;
use std::rc::Rc;

use actix_web::http::{Method, header};
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{HttpRequest, HttpResponse, guard, web};

use super::api::door::{self, Facts};
use super::error::Problem;
use super::gate;
use super::openapi::Doc;
use super::{bearer, shell};
use crate::access::{Need, Role, Scope};

/// Who may use a route.
///
/// REST routes (below `/api/v1`) want a token in `Authorization: Bearer` and look at no cookie; pages want somebody who
/// is signed in and send others to the sign-in page. What a handler then may touch is in its `Access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Anybody.
    Public,
    /// A page for everybody who is signed in, whatever they may do.
    Person,
    /// A page for people who have at least this role in a project.
    Role(Role),
    /// REST with this scope, in the projects where it is allowed.
    Scope(Scope),
    /// REST with this scope on the whole site: what belongs to no project, by a site admin.
    Site(Scope),
    /// REST with this scope for what belongs to the person who asks.
    Own(Scope),
    /// A page of which nobody said who may see it: site admins only.
    Session,
    /// REST of which nobody said which scope it needs: `admin` on the whole site.
    Bearer,
}

impl Guard {
    /// What is asked of whoever calls; `None` if nothing is.
    pub const fn need(self) -> Option<Need> {
        Some(match self {
            Self::Public => return None,
            Self::Person => Need::Known,
            Self::Role(role) => Need::Role(role),
            Self::Session => Need::Role(Role::SiteAdmin),
            Self::Scope(scope) => Need::Scope(scope),
            Self::Site(scope) => Need::Site(scope),
            Self::Own(scope) => Need::Own(scope),
            Self::Bearer => Need::Site(Scope::Admin),
        })
    }

    /// Whether it asks for a token.
    pub const fn is_rest(self) -> bool {
        matches!(self, Self::Scope(_) | Self::Site(_) | Self::Own(_) | Self::Bearer)
    }

    /// Whether it asks for somebody who is signed in.
    pub const fn is_page(self) -> bool {
        matches!(self, Self::Person | Self::Role(_) | Self::Session)
    }
}

/// What a `POST` does beyond its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it only has more to say than fits into a query.
    None,
    /// It makes or changes something; an `Idempotency-Key` is honoured.
    Changes,
    /// It sends mail; an `Idempotency-Key` must be there.
    SendsMail,
}

/// One method at one address.
#[derive(Clone, Debug)]
pub struct Route {
    /// `GET` (which answers `HEAD` as well), `POST`, `PATCH`, `DELETE`.
    pub method: Method,
    /// Path with `{names}`.
    pub path: &'static str,
    /// Who may ask.
    pub guard: Guard,
    /// What a `POST` does; the other methods may be repeated as they are.
    pub effect: Effect,
    /// Whether a `GET` answers `HEAD` as well.
    pub by_head: bool,
    handler: fn() -> actix_web::Route,
    doc: Option<fn() -> Doc>,
}

impl Route {
    /// A route; the handler is written `|| web::to(handler)`.
    pub const fn new(
        method: Method,
        path: &'static str,
        guard: Guard,
        handler: fn() -> actix_web::Route,
    ) -> Self {
        Self {
            method,
            path,
            guard,
            effect: Effect::Changes,
            by_head: true,
            handler,
            doc: None,
        }
    }

    /// The same with what it takes and answers; every route of the API has it.
    #[must_use]
    pub const fn doc(mut self, doc: fn() -> Doc) -> Self {
        self.doc = Some(doc);
        self
    }

    /// The same for a `POST` that changes nothing.
    #[must_use]
    pub const fn only_reads(mut self) -> Self {
        self.effect = Effect::None;
        self
    }

    /// The same for a `POST` that sends mail: it must bring an `Idempotency-Key`.
    #[must_use]
    pub const fn sends_mail(mut self) -> Self {
        self.effect = Effect::SendsMail;
        self
    }

    /// The same for a `GET` that does something by being asked, as protocols have it: whoever only looks, such as the
    /// preview of a link, must not spend a code or sign somebody out.
    #[must_use]
    pub const fn not_by_head(mut self) -> Self {
        self.by_head = false;
        self
    }

    /// What it takes and answers, if that was written down.
    pub fn description(&self) -> Option<Doc> {
        self.doc.map(|doc| doc())
    }

    /// A page or resource to read.
    pub const fn get(path: &'static str, guard: Guard, handler: fn() -> actix_web::Route) -> Self {
        Self::new(Method::GET, path, guard, handler)
    }

    /// Something to do or to make.
    pub const fn post(path: &'static str, guard: Guard, handler: fn() -> actix_web::Route) -> Self {
        Self::new(Method::POST, path, guard, handler)
    }

    /// A change of something.
    pub const fn patch(path: &'static str, guard: Guard, handler: fn() -> actix_web::Route) -> Self {
        Self::new(Method::PATCH, path, guard, handler)
    }

    /// The end of something.
    pub const fn delete(path: &'static str, guard: Guard, handler: fn() -> actix_web::Route) -> Self {
        Self::new(Method::DELETE, path, guard, handler)
    }

    /// Whether what it does belongs into the audit log.
    pub fn is_audited(&self) -> bool {
        self.method != Method::GET
            && self.effect != Effect::None
            && !UNAUDITED.iter().any(|(path, _)| *path == self.path)
    }

    fn mount(&self) -> actix_web::Route {
        let route = (self.handler)();
        let route = if self.method == Method::GET && self.by_head {
            route.guard(guard::Any(guard::Get()).or(guard::Head()))
        } else {
            let method = self.method.clone();
            route.guard(guard::fn_guard(move |ctx| ctx.head().method == method))
        };
        let route = route.wrap(from_fn(shell::net_under_panics));
        let Some(need) = self.guard.need() else {
            return route;
        };
        let route = if self.is_audited() {
            let path = self.path;
            route.wrap(from_fn(move |request, next| {
                shell::net_under_audit(path, request, next)
            }))
        } else {
            route
        };
        // What stands first here is asked last: the door reads and checks only for those who may.
        let route = if self.guard.is_rest() {
            let facts = Rc::new(Facts::of(self));
            route.wrap(from_fn(move |request, next| {
                door::pass(Rc::clone(&facts), request, next)
            }))
        } else {
            route
        };
        let route = route.wrap(from_fn(move |request, next| gate::require(need, request, next)));
        if self.guard.is_page() {
            route.wrap(from_fn(gate::require_session))
        } else {
            // The service of `/api/v1` asks for the token, also where no route is.
            route
        }
    }
}

/// What changes nothing that anybody would ask after, and why.
pub(super) const UNAUDITED: &[(&str, &str)] = &[
    ("/theme", "how pages look to one person"),
    ("/tickets/{key}/order", "how pages look to one person"),
    ("/api/v1/queues/{id}/lease", "everyday work of a consumer"),
    ("/api/v1/queues/{id}/ack", "everyday work of a consumer"),
    ("/api/v1/queues/{id}/nack", "everyday work of a consumer"),
];

/// Where the routes that want a token live.
pub const API: &str = "/api/v1";

/// Puts a table of routes into an application.
pub(super) fn configure(routes: &[Route], app: &mut ServiceConfig) {
    let mut pages: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    let mut api: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in routes {
        match route.path.strip_prefix(API) {
            Some(below) if route.guard.is_rest() => api.entry(below).or_default().push(route),
            _ => pages.entry(route.path).or_default().push(route),
        }
    }
    let mut scope = web::scope(API)
        .wrap(from_fn(bearer::require_bearer))
        .default_service(web::to(not_found));
    for (path, routes) in specific_first(api) {
        scope = scope.service(resource(path, &routes));
    }
    app.service(scope);
    for (path, routes) in specific_first(pages) {
        app.service(resource(path, &routes));
    }
}

/// `/mailboxes/new` before `/mailboxes/{id}`: the first match wins.
fn specific_first<'a>(by_path: BTreeMap<&'a str, Vec<&'a Route>>) -> Vec<(&'a str, Vec<&'a Route>)> {
    let mut sorted: Vec<_> = by_path.into_iter().collect();
    sorted.sort_by_key(|(path, _)| {
        path.split('/')
            .map(|part| part.starts_with('{'))
            .collect::<Vec<_>>()
    });
    sorted
}

fn resource(path: &str, routes: &[&Route]) -> actix_web::Resource {
    let mut allowed: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    if routes
        .iter()
        .any(|route| route.method == Method::GET && route.by_head)
    {
        allowed.push("HEAD");
    }
    let allowed = allowed.join(", ");
    let mut resource = web::resource(path);
    for route in routes {
        resource = resource.route(route.mount());
    }
    resource.default_service(web::to(move |request: HttpRequest| {
        let allowed = allowed.clone();
        async move {
            let mut response = if request.method() == Method::OPTIONS {
                HttpResponse::NoContent()
            } else {
                HttpResponse::MethodNotAllowed()
            };
            response.insert_header((header::ALLOW, allowed));
            response.finish()
        }
    }))
}

/// The answer where nothing is.
pub(super) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("page"))
}

//! The route table: every address the service answers, with its method and who may ask.
//!
//! Guards are put around the handlers here, from the table: a handler cannot forget its own, and a test can walk them.

use std::collections::BTreeMap;

use actix_web::http::{Method, header};
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{HttpResponse, guard, web};

use super::error::Problem;
use super::gate;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Anybody.
    Public,
    /// Somebody who is signed in; others are sent to the sign-in page.
    Session,
    /// Whoever shows a token in `Authorization: Bearer`; cookies are not looked at.
    Bearer,
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
    handler: fn() -> actix_web::Route,
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
            handler,
        }
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

    fn mount(&self) -> actix_web::Route {
        let route = (self.handler)();
        let route = if self.method == Method::GET {
            route.guard(guard::Any(guard::Get()).or(guard::Head()))
        } else {
            let method = self.method.clone();
            route.guard(guard::fn_guard(move |ctx| ctx.head().method == method))
        };
        let route = route.wrap(from_fn(gate::net_under_panics));
        match self.guard {
            Guard::Session => route.wrap(from_fn(gate::require_session)),
            // The scope asks for the token, also where no route is.
            Guard::Public | Guard::Bearer => route,
        }
    }
}

/// Where the routes of [`Guard::Bearer`] live.
pub(super) const API: &str = "/api/v1";

/// Puts a table of routes into an application.
pub(super) fn configure(routes: &[Route], app: &mut ServiceConfig) {
    let mut pages: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    let mut api: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in routes {
        match route.path.strip_prefix(API) {
            Some(below) if route.guard == Guard::Bearer => api.entry(below).or_default().push(route),
            _ => pages.entry(route.path).or_default().push(route),
        }
    }
    let mut scope = web::scope(API)
        .wrap(from_fn(gate::require_bearer))
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
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    let allowed = allowed.join(", ");
    let mut resource = web::resource(path);
    for route in routes {
        resource = resource.route(route.mount());
    }
    resource.default_service(web::to(move || {
        let allowed = allowed.clone();
        async move {
            let mut response = HttpResponse::MethodNotAllowed();
            response.insert_header((header::ALLOW, allowed));
            response.finish()
        }
    }))
}

/// The answer where nothing is.
pub(super) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("page"))
}

//! HTTP: admin pages, REST, the OAuth callback, health.
//!
//! * [`route`]: the table of all addresses, with who may ask;
//! * `shell`, [`gate`] and `bearer`: what stands before every handler, before pages, and before the API;
//! * [`extract`] and [`respond`]: what handlers ask for and give back;
//! * [`error`]: refusals, as problem+json or as a page;
//! * `follow`: the event log as a stream, for apps and for the page of events;
//! * [`openapi`]: what the routes of the API take and answer, written down and enforced.
//!
//! Handlers translate: they read the request, call a service, and show what it said. Decisions are the services'.

pub mod admin;
pub mod api;
mod bearer;
pub mod error;
pub(in crate::web) mod explanation;
pub mod extract;
mod follow;
mod foreign;
pub mod gate;
mod health;
pub mod integration_test;
mod limit;
pub mod oauth2;
mod offer;
pub mod openapi;
mod peer;
mod people;
mod pictures;
mod presented;
pub mod problems;
mod refused;
pub mod respond;
pub mod route;
mod session_link;
mod shell;
mod sso;
mod statics;
pub mod tls;
pub mod upload;

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "tests/access.rs"]
mod access_tests;

#[cfg(test)]
#[path = "tests/things.rs"]
mod things_tests;

#[cfg(test)]
#[path = "tests/lists.rs"]
mod lists_tests;

#[cfg(test)]
#[path = "tests/discovered.rs"]
mod discovered_tests;

#[cfg(test)]
#[path = "tests/repeated.rs"]
mod repeated_tests;

#[cfg(test)]
#[path = "tests/offers.rs"]
mod offers_tests;

#[cfg(test)]
#[path = "tests/people.rs"]
mod people_tests;

#[cfg(test)]
#[path = "tests/log.rs"]
mod log_tests;

#[cfg(test)]
#[path = "tests/edge.rs"]
mod edge_tests;

#[cfg(test)]
#[path = "tests/apps.rs"]
mod apps_tests;

#[cfg(test)]
#[path = "tests/counted.rs"]
mod counted_tests;

#[cfg(test)]
#[path = "tests/refusals.rs"]
mod refusal_tests;

#[cfg(test)]
#[path = "tests/seen.rs"]
mod seen_tests;

#[cfg(test)]
#[path = "tests/tags.rs"]
mod tag_tests;

pub use error::{FieldProblem, Problem};
pub use extract::{Bearer, CurrentUser, FormData, Visitor};
pub use gate::{Current, Viewer};
pub use route::{Effect, Guard, Route};
pub use shell::RequestId;

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer, web};

use crate::config::Config;
use crate::ctx::Ctx;
use crate::render::{RenderError, Renderer, View};

/// Puts data for handlers into one worker's application.
pub type Install = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// What `demo` adds to the service.
#[derive(Clone, Default)]
pub struct Extras {
    /// More routes.
    pub routes: Vec<Route>,
    /// Data for its handlers.
    pub data: Option<Install>,
    /// Threads that serve; 0 takes one for each CPU.
    pub workers: usize,
}

impl std::fmt::Debug for Extras {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extras")
            .field("routes", &self.routes.len())
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// In the application's data when this is the demo: which of its faults are in force, by the names of
/// [`admin::views::dashboard::Fault`].
#[derive(Clone)]
pub struct DemoStatus(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl DemoStatus {
    /// From a function that knows.
    pub fn new(is_active: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_active))
    }

    /// Whether this fault is in force.
    pub fn is_active(&self, fault: &str) -> bool {
        (self.0)(fault)
    }
}

impl std::fmt::Debug for DemoStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DemoStatus")
    }
}

/// Why the service cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The templates are broken: a broken build.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The listener cannot be used.
    #[error("listen: {0}")]
    Listen(#[from] std::io::Error),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsFileError),
}

/// Every route of the service, those of the demo apart.
pub fn routes() -> Vec<Route> {
    let mut all = [
        health::ROUTES,
        statics::ROUTES,
        session_link::ROUTES,
        sso::ROUTES,
        openapi::served::ROUTES,
        problems::ROUTES,
        api::blobs::LINKED,
        pictures::ROUTES,
    ]
    .concat();
    all.extend(self::oauth2::routes());
    all.extend(admin::routes());
    all.extend(api::routes());
    all
}

/// The pages, those of the operator in the place of ours. Each of theirs is drawn once with examples, so that a mistake is
/// told before anybody meets it.
///
/// # Errors
/// What is wrong with the first file that does not work, with its line.
pub fn pages(renderer: Renderer, config: &Config) -> Result<Renderer, RenderError> {
    let Some(folder) = &config.oauth_templates else {
        return Ok(renderer);
    };
    let renderer = renderer.replacing(folder)?;
    try_out::<admin::views::oauth2::ConsentPage>(&renderer, folder)?;
    try_out::<admin::views::oauth2::DevicePage>(&renderer, folder)?;
    try_out::<admin::views::oauth2::DeviceDone>(&renderer, folder)?;
    Ok(renderer)
}

fn try_out<V: View>(renderer: &Renderer, folder: &Path) -> Result<(), RenderError> {
    for sample in V::samples() {
        renderer.render(&sample).map_err(|error| match error {
            RenderError::Render { template, source } => RenderError::Broken {
                file: folder
                    .join(template.trim_start_matches("oauth2/"))
                    .display()
                    .to_string(),
                source,
            },
            other => other,
        })?;
    }
    Ok(())
}

/// The server on a listener that is bound already. Await it on a multi-threaded runtime; its handle stops it. It does
/// not listen to signals: whoever builds it does.
///
/// # Errors
/// A broken template, or a listener that cannot be used.
pub fn server(ctx: Ctx, listener: TcpListener, extras: Extras) -> Result<Server, ServeError> {
    let (following, stop) = (ctx.tasks.clone(), ctx.stop.clone());
    let (complaint, clock) = (ctx.certificate.clone(), ctx.clock.clone());
    let ctx = web::Data::new(ctx);
    let limiter = web::Data::new(limit::Limiter::default());
    let streams = web::Data::new(limit::Streams::default());
    let table: Arc<[Route]> = routes().into_iter().chain(extras.routes).collect();
    let offers = offer::Offers::of(&table);
    let renderer = Renderer::offering(move |method, to, role| offers.is_offered(method, to, role))?;
    let renderer = web::Data::new(pages(renderer, &ctx.config)?);
    let workers = match extras.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        n => n,
    };
    let data = extras.data;
    let certificate = match tls::Files::of(&ctx.config) {
        Some(files) => Some(tls::Tls::start(files)?),
        None => None,
    };
    let server = HttpServer::new(move || {
        let mut app = App::new()
            .app_data(ctx.clone())
            .app_data(streams.clone())
            .app_data(limiter.clone())
            .app_data(renderer.clone())
            .wrap(from_fn(gate::pages))
            .wrap(from_fn(shell::outermost));
        if let Some(data) = &data {
            app = app.configure(|config| data(config));
        }
        app.configure(|config| route::configure(&table, config))
            .default_service(web::to(route::not_found))
    })
    .workers(workers)
    .disable_signals()
    .shutdown_timeout(5);
    let server = match certificate {
        None => server.listen(listener)?,
        Some(certificate) => {
            let config = certificate.server_config()?;
            following.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = certificate.follow(complaint, clock) => {}
                }
            });
            server.listen_rustls_0_23(listener, config)?
        }
    };
    Ok(server.run())
}

/// A server that sends everybody on to the base URL, whatever host they asked for.
///
/// # Errors
/// A listener that cannot be used.
pub fn redirecting(ctx: &Ctx, listener: TcpListener) -> Result<Server, ServeError> {
    let base: Arc<str> = ctx.config.base_url.as_str().trim_end_matches('/').into();
    let server = HttpServer::new(move || {
        let base = Arc::clone(&base);
        App::new().default_service(web::to(move |request: actix_web::HttpRequest| {
            let asked = request.uri().path_and_query().map_or("/", |both| both.as_str());
            let asked = if asked.starts_with('/') { asked } else { "/" };
            let to = format!("{base}{asked}");
            async move {
                actix_web::HttpResponse::PermanentRedirect()
                    .insert_header((actix_web::http::header::LOCATION, to))
                    .finish()
            }
        }))
    });
    Ok(server
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)?
        .run())
}

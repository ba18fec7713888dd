//! `/settings`: what this installation is. Changed in its configuration, not here.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::access::Scope;
use crate::ctx::Ctx;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{boolean, integer, list_of, object, text, url, word};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] =
    &[
        Route::get("/api/v1/settings", Guard::Site(Scope::Admin), || web::to(show)).doc(|| {
            let setting = object([
                ("name", text().example("base_url")),
                ("value", text().about("Secrets are masked")),
                ("source", text().about("`default`, a file, or a variable")),
            ]);
            Doc::new("Show the settings of this installation")
                .about("They are changed in the configuration file or its variables, with a restart.")
                .answers(
                    200,
                    "The settings",
                    object([
                        ("version", text()),
                        ("baseUrl", url()),
                        ("database", word(&["sqlite", "postgres"])),
                        ("allowNetworks", list_of(text())),
                        ("maxConnections", integer()),
                        (
                            "keys",
                            list_of(object([
                                ("id", text()),
                                (
                                    "active",
                                    boolean().about("Seals from now on; the others still open"),
                                ),
                            ])),
                        ),
                        ("configuration", list_of(setting)),
                    ])
                    .named("Settings"),
                )
        }),
    ];

async fn show(ctx: web::Data<Ctx>) -> HttpResponse {
    let config = &ctx.config;
    let keys: Vec<Value> = ctx
        .keys
        .kids()
        .map(|kid| json!({ "id": kid, "active": kid == ctx.keys.active_kid() }))
        .collect();
    let configuration: Vec<Value> = config
        .sources
        .iter()
        .map(|setting| json!({ "name": setting.name, "value": setting.shown, "source": setting.source }))
        .collect();
    HttpResponse::Ok().json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "baseUrl": config.base_url.as_str(),
        "database": if ctx.db.is_postgres() { "postgres" } else { "sqlite" },
        "allowNetworks": config.allow_networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "maxConnections": config.max_connections,
        "keys": keys,
        "configuration": configuration,
    }))
}

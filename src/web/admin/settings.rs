//! Settings: what this installation is.

use actix_web::web;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::integrations::Fact;
use super::views::settings::Settings;
use crate::access::Role;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[Route::get("/settings", Guard::Role(Role::SiteAdmin), || {
    web::to(settings)
})];

async fn settings(desk: Desk) -> Answer {
    let config = &desk.ctx.config;
    let base_url = config.base_url.origin().ascii_serialization();
    let seen = desk.seen_url();
    desk.show(&Settings {
        page: desk.page("Settings", Section::Settings).await?,
        instance: instance(&desk),
        base_url_warning: (base_url != seen).then(|| {
            format!(
                "Your browser sees {seen} instead. Providers will send people to the base URL, {base_url}."
            )
        }),
        keys: keys(&desk),
        allow_networks: config.allow_networks.iter().map(ToString::to_string).collect(),
    })
}

fn instance(desk: &Desk) -> Vec<Fact> {
    let config = &desk.ctx.config;
    let database = if desk.ctx.db.is_postgres() {
        "PostgreSQL"
    } else {
        "SQLite"
    };
    vec![
        Fact::exact("Base URL", config.base_url.as_str().trim_end_matches('/')),
        Fact::exact("Version", env!("CARGO_PKG_VERSION")),
        Fact::new("Database", database),
        Fact::exact("Listens on", config.listen.to_string()),
        Fact::exact("Data folder", config.data_dir.display().to_string()),
        Fact::exact("Mailboxes read at once", config.max_connections.to_string()),
    ]
}

fn keys(desk: &Desk) -> Vec<Fact> {
    let keys = &desk.ctx.keys;
    let older: Vec<&str> = keys.kids().filter(|kid| *kid != keys.active_kid()).collect();
    let mut facts = vec![
        Fact::exact("Key in use", keys.active_kid()),
        Fact::exact("Key file", desk.ctx.config.key_file.display().to_string()),
    ];
    if !older.is_empty() {
        facts.push(Fact::exact("Older keys, still needed", older.join(", ")));
    }
    facts.push(Fact::new(
        "Backup",
        "Without this file nobody can open the stored secrets.",
    ));
    facts
}

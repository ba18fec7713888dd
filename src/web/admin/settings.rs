//! Settings: what this installation is and who may use it.

use std::collections::HashMap;

use actix_web::web;

use super::desk::{Answer, Desk};
use super::views::integrations::Fact;
use super::views::parts::{Badge, Tone};
use super::views::settings::{Settings, TokenRow, UserRow};
use super::views::{Section, Theme};
use super::words;
use crate::access::{Projects, Role};
use crate::account;
use crate::web::error::Problem;
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
        users: users(&desk).await?,
        tokens: tokens(&desk).await?,
        allow_networks: config.allow_networks.iter().map(ToString::to_string).collect(),
        themes: Settings::themes(Theme::from_value(&desk.current.user().theme)),
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

async fn users(desk: &Desk) -> Result<Vec<UserRow>, Problem> {
    let now = desk.now();
    let seen: HashMap<String, i64> = account::last_seen(&desk.ctx.db).await?.into_iter().collect();
    let row = |user: account::User| UserRow {
        last_seen: seen.get(&user.id).map(|at| words::when(now, *at)),
        role: match (user.disabled_at.is_some(), user.is_site_admin) {
            (true, _) => "Disabled",
            (false, true) => "Site admin",
            (false, false) => "User",
        }
        .to_owned(),
        name: user.name,
        email: user.email,
    };
    Ok(account::list(&desk.ctx.db, &Projects::All)
        .await?
        .into_iter()
        .map(row)
        .collect())
}

async fn tokens(desk: &Desk) -> Result<Vec<TokenRow>, Problem> {
    let now = desk.now();
    let row = |token: account::TokenInfo| TokenRow {
        name: token.name,
        scope: "Site admin".to_owned(),
        state: match (token.revoked_at, token.expires_at) {
            (Some(_), _) => Badge::new(Tone::Muted, "Revoked"),
            (None, Some(end)) if end <= now => Badge::new(Tone::Muted, "Expired"),
            _ => Badge::new(Tone::Ok, "Active"),
        },
        created: words::when(now, token.created_at),
        used: token.last_used_at.map(|at| words::when(now, at)),
    };
    Ok(account::list_tokens(&desk.ctx.db, None)
        .await?
        .into_iter()
        .map(row)
        .collect())
}

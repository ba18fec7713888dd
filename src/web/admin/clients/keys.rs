//! The keys that sign tokens: how old they are, what comes next, and a button for at once.

use actix_web::web;

use crate::access::Role;
use crate::oauth2_server::{self, KeyInfo};
use crate::web::admin::desk::{Answer, Desk};
use crate::web::admin::views::Section;
use crate::web::admin::views::clients::{KeyRow, SigningKeys};
use crate::web::admin::views::parts::{Badge, Tone};
use crate::web::admin::words;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

const SITE: Guard = Guard::Role(Role::SiteAdmin);

/// The routes of this file.
pub(in crate::web::admin) const ROUTES: &[Route] = &[
    Route::get("/settings/keys", SITE, || web::to(list)),
    Route::post("/settings/keys/rotate", SITE, || web::to(rotate)),
];

async fn list(desk: Desk) -> Answer {
    let now = desk.now();
    let mut found = oauth2_server::signing_keys(&desk.ctx).await?;
    found.sort_by(|a, b| (&a.alg, b.signs_from).cmp(&(&b.alg, a.signs_from)));
    let next = found
        .iter()
        .filter(|key| key.signs_at(now))
        .map(KeyInfo::due_at)
        .min();
    desk.show(&SigningKeys {
        page: desk.page("Signing keys", Section::Settings).await?,
        keys: found.into_iter().map(|key| row(key, now)).collect(),
        jwks: desk.ctx.config.url("/oauth2/jwks"),
        next: next.map(|at| words::when(now, at)),
    })
}

fn row(key: KeyInfo, now: i64) -> KeyRow {
    let state = if key.signs_at(now) {
        Badge::new(Tone::Ok, "Signs")
    } else if key.signs_from > now {
        Badge::new(Tone::Info, "Takes over soon")
    } else {
        Badge::new(Tone::Muted, "Published only")
    };
    let when = |at: i64| words::when(now, at);
    KeyRow {
        state,
        created: when(key.created_at),
        from: when(key.signs_from),
        until: key.signs_until.map(when),
        published: key.published_until.map(when),
        kid: key.kid,
        alg: key.alg,
    }
}

async fn rotate(desk: Desk, form: FormData) -> Answer {
    let discard = form.is_checked("discard");
    oauth2_server::rotate_now(&desk.ctx, desk.actor(), discard)
        .await
        .map_err(|error| Problem::internal(&error))?;
    let text = match discard {
        true => "New keys sign from now on; what the old ones signed is refused.",
        false => "New keys sign from now on; the old ones stay published for two days.",
    };
    desk.done(text, "/settings/keys").await
}

//! The API to try: every route of `/api/openapi.json` with a form, filled and sent by a script of ours in the browser. The
//! page itself knows nothing of the routes, and is there for everybody: what a request may do is up to its token.

use actix_web::web;
use secrecy::ExposeSecret;

use super::desk::{Answer, Desk, Front};
use super::views::reference::Reference;
use crate::account::{self, NewToken};
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/reference", Guard::Public, || web::to(show)),
    Route::post("/reference/token", Guard::Person, || web::to(token)),
];

/// How long a token lives that is made here.
const GOOD_FOR_MS: i64 = 3_600_000;

async fn show(front: Front) -> Answer {
    let is_signed_in = front.visitor.current.is_some();
    front.show(&Reference {
        page: front.page("API"),
        is_signed_in,
        token: String::new(),
    })
}

/// A token for whoever is signed in, for an hour: it may do what they may.
async fn token(desk: Desk) -> Answer {
    let end = desk.ctx.clock.now_ms() + GOOD_FOR_MS;
    let new = NewToken {
        expires_at: Some(end),
        ..NewToken::unlimited("API page")
    };
    let owner = desk.current.user().id.clone();
    let (_, token) = account::issue_token(&desk.ctx.db, &desk.ctx.clock, &new, &owner, desk.actor()).await?;
    let front = desk.front();
    front.show(&Reference {
        page: front.page("API"),
        is_signed_in: true,
        token: token.expose_secret().to_owned(),
    })
}

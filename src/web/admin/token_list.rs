//! Access tokens of everybody, for site admins.

use actix_web::web;
use serde::Deserialize;

use super::desk::{Answer, Desk};
use super::users;
use super::views::Section;
use super::views::parts::{Badge, Choice, Tone};
use super::views::people::{TokenList, TokenRow};
use super::words;
use crate::access::{Projects, Role};
use crate::account::{self, TokenInfo};
use crate::web::error::Problem;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/tokens", Guard::Role(Role::SiteAdmin), || web::to(list)),
    Route::post("/tokens/{id}/revoke", Guard::Role(Role::SiteAdmin), || {
        web::to(revoke)
    }),
];

#[derive(Deserialize)]
struct Filter {
    #[serde(default)]
    state: String,
}

async fn list(desk: Desk, filter: web::Query<Filter>) -> Answer {
    let is_all = filter.state == "all";
    let mut tokens = rows(&desk, None).await?;
    tokens.retain(|token| is_all || token.is_live);
    desk.show(&TokenList {
        page: desk.page("Access tokens", Section::Tokens).await?,
        states: vec![
            Choice::new("", "Active", !is_all),
            Choice::new("all", "All, ended ones too", is_all),
        ],
        tokens,
    })
}

/// The tokens of one person, or of everybody, newest first.
pub(super) async fn rows(desk: &Desk, owner: Option<&str>) -> Result<Vec<TokenRow>, Problem> {
    let people = account::list(&desk.ctx.db, &Projects::All).await?;
    let keys = users::keys(desk).await?;
    let name_of = |id: &str| {
        let found = people.iter().find(|user| user.id == id);
        found.map_or_else(|| id.to_owned(), |user| user.name.clone())
    };
    let now = desk.now();
    Ok(account::list_tokens(&desk.ctx.db, owner)
        .await?
        .into_iter()
        .map(|token| TokenRow {
            owner: token
                .user_id()
                .map_or_else(|| "Made on the machine".to_owned(), name_of),
            owner_href: token
                .user_id()
                .map(|id| format!("/users/{id}"))
                .unwrap_or_default(),
            scopes: token.scopes.to_string(),
            projects: token.projects.as_ref().map_or_else(
                || "All of its owner's".to_owned(),
                |ids| {
                    let names: Vec<&str> = ids
                        .iter()
                        .map(|id| keys.get(id).map_or(id.as_str(), String::as_str))
                        .collect();
                    names.join(", ")
                },
            ),
            state: state(&token, now),
            is_live: token.is_live(now),
            created: words::when(now, token.created_at),
            used: token.last_used_at.map(|at| words::when(now, at)),
            expires: token.expires_at.map(|at| words::when(now, at)),
            id: token.id,
            name: token.name,
        })
        .collect())
}

fn state(token: &TokenInfo, now: i64) -> Badge {
    match (token.revoked_at, token.is_live(now)) {
        (Some(_), _) => Badge::new(Tone::Muted, "Revoked"),
        (None, false) => Badge::new(Tone::Muted, "Expired"),
        (None, true) => Badge::new(Tone::Ok, "Active"),
    }
}

async fn revoke(desk: Desk, id: web::Path<String>) -> Answer {
    account::revoke_token(&desk.ctx.db, &desk.ctx.clock, &id, None, desk.actor()).await?;
    desk.done("The token opens nothing any more.", "/tokens").await
}

//! `/tokens`: access tokens of whoever asks; a site admin sees everybody's. A token is shown once, where it is made.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use super::tag::{IfMatch, Tag};
use crate::access::{Access, MACHINE, Role, Scope, Scopes};
use crate::account::{self, DEFAULT_TOKEN_DAYS, NewToken, TokenInfo};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::project;
use crate::web::error::Problem;
use crate::web::extract::Bearer;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, id, input, list_of, object, text, time};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/tokens", Guard::Own(Scope::Admin), || web::to(list)).doc(|| {
        Doc::new("List access tokens")
            .about("One's own; everybody's for a site admin. Never the tokens themselves.")
            .lists(token())
    }),
    Route::post("/api/v1/tokens", Guard::Own(Scope::Admin), || web::to(create)).doc(|| {
        Doc::new("Make an access token")
            .about(
                "It may do what its scopes and the roles of its owner both allow, at each request anew. `token` is \
                 shown in this answer only. It never outlives the token that made it.",
            )
            .takes(input(
                &["name", "scopes"],
                [
                    ("name", text().about("What it is for")),
                    ("scopes", list_of(text()).example(json!(["tickets:read"]))),
                    (
                        "projectIds",
                        list_of(id("prj")).about("Narrows it to these projects; null for all of its owner's"),
                    ),
                    (
                        "expiresAt",
                        time().about("90 days from now if it is not sent; null for no end"),
                    ),
                ],
            ))
            .answers(201, "The new token", token().and("token", text()).named("NewToken"))
            .tagged()
    }),
    Route::get("/api/v1/tokens/{id}", Guard::Own(Scope::Admin), || web::to(get))
        .doc(|| Doc::new("Show an access token").answers(200, "The token", token()).tagged()),
    Route::delete("/api/v1/tokens/{id}", Guard::Own(Scope::Admin), || web::to(revoke)).doc(|| {
        Doc::new("Revoke an access token")
            .about("It opens nothing from this moment on.")
            .answers_nothing(204, "Revoked")
            .tagged()
    }),
];

/// A token as [`show`] writes it.
fn token() -> Schema {
    object([
        ("id", id("tok")),
        ("name", text()),
        (
            "actor",
            text().about("Whom it speaks for: a user id, or `cli` for none"),
        ),
        ("scopes", list_of(text())),
        ("projectIds", list_of(id("prj")).or_null()),
        ("createdAt", time()),
        ("expiresAt", time().or_null()),
        ("lastUsedAt", time().or_null()),
        ("revokedAt", time().or_null()),
    ])
    .named("Token")
}

fn show(token: &TokenInfo) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "actor": token.actor,
        "scopes": token.scopes.words().map(Scope::as_str).collect::<Vec<_>>(),
        "projectIds": token.projects,
        "createdAt": rfc3339(token.created_at),
        "expiresAt": output::time(token.expires_at),
        "lastUsedAt": output::time(token.last_used_at),
        "revokedAt": output::time(token.revoked_at),
    })
}

/// Whose tokens are looked at; `None` for everybody's.
fn owner(access: &Access) -> Option<&str> {
    if access.is_site_admin() {
        return None;
    }
    Some(access.user_id().unwrap_or(MACHINE))
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let all = account::list_tokens(&ctx.db, owner(&access)).await?;
    Ok(output::list_from_all(&query, all, |token| &token.id, show))
}

async fn create(
    ctx: web::Data<Ctx>,
    access: Access,
    bearer: Bearer,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let name = input.required_text("name");
    let scopes = read_scopes(&mut input);
    let projects = read_projects(&ctx, &access, &mut input).await;
    let usual = Some(ctx.clock.now_ms() + DEFAULT_TOKEN_DAYS * 86_400_000);
    let asked = if input.mentions("expiresAt") {
        input.time("expiresAt")
    } else {
        usual
    };
    input.finish()?;
    let new = NewToken {
        name: &name,
        scopes,
        projects,
        expires_at: earlier(asked, bearer.0.expires_at),
    };
    let owner = access.user_id().unwrap_or(MACHINE);
    let (info, token) = account::issue_token(&ctx.db, &ctx.clock, &new, owner, access.actor()).await?;
    let mut body = show(&info);
    let tag = Tag::of(&body);
    if let Some(members) = body.as_object_mut() {
        members.insert("token".into(), token.expose_secret().into());
    }
    Ok(output::created(&format!("/api/v1/tokens/{}", info.id), tag, body))
}

fn read_scopes(input: &mut Input) -> Scopes {
    let words = input.texts("scopes").unwrap_or_default();
    match Scopes::parse(&words.join(" ")) {
        Ok(scopes) => scopes,
        Err(word) => {
            input.problem("scopes", "unknown", format!("there is no scope `{word}`"));
            Scopes::default()
        }
    }
}

/// Only projects that whoever asks can see: an id must not tell that there is something.
async fn read_projects(ctx: &Ctx, access: &Access, input: &mut Input) -> Option<BTreeSet<String>> {
    let named: BTreeSet<String> = input.texts("projectIds")?.into_iter().collect();
    for id in &named {
        if project::get(ctx, &access.projects_as(Role::Viewer), id)
            .await
            .is_err()
        {
            input.problem("projectIds", "unknown", format!("there is no project {id}"));
        }
    }
    Some(named)
}

/// A token made with a token never outlives it: a short-lived one that leaks leaves nothing behind.
fn earlier(asked: Option<i64>, own: Option<i64>) -> Option<i64> {
    match (asked, own) {
        (Some(asked), Some(own)) => Some(asked.min(own)),
        (asked, own) => asked.or(own),
    }
}

async fn find(ctx: &Ctx, access: &Access, id: &str) -> Result<Value, Problem> {
    let all = account::list_tokens(&ctx.db, owner(access)).await?;
    all.iter()
        .find(|token| token.id == id)
        .map(show)
        .ok_or_else(|| Problem::not_found("token"))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let shown = find(&ctx, &access, &id).await?;
    Ok(output::tagged(Tag::of(&shown), shown))
}

async fn revoke(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.check(Tag::of(&find(&ctx, &access, &id).await?))?;
    account::revoke_token(&ctx.db, &ctx.clock, &id, owner(&access), access.actor()).await?;
    Ok(output::done())
}

//! `/users`: people. Who shares a project with a project admin is seen by them; changes are a site admin's.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use crate::access::{Access, Projects, Scope};
use crate::account::{self, User};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, id, input, object, text, time, url};
use crate::web::people;
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/users", Guard::Scope(Scope::UsersRead), || web::to(list)).doc(|| {
        Doc::new("List people")
            .about("Everybody for a site admin, else the members of the projects one manages.")
            .lists(user())
    }),
    Route::post("/api/v1/users", Guard::Site(Scope::Admin), || web::to(create)).doc(|| {
        Doc::new("Make an account")
            .about("`signInUrl` signs its person in, once, within 30 minutes; it is shown in this answer only.")
            .takes(input(
                &["email"],
                [
                    ("email", text()),
                    ("name", text()),
                    ("isSiteAdmin", boolean().default(false)),
                ],
            ))
            .answers(201, "The new account", user().and("signInUrl", url()).named("NewUser"))
    }),
    Route::get("/api/v1/users/{id}", Guard::Scope(Scope::UsersRead), || web::to(get))
        .doc(|| Doc::new("Show a person").answers(200, "The person", user())),
    Route::patch("/api/v1/users/{id}", Guard::Site(Scope::Admin), || web::to(update)).doc(|| {
        Doc::new("Change an account")
            .about(
                "Disabling ends the person's sessions and revokes their tokens at once. The last site admin stays one.",
            )
            .takes(input(&[], [("isSiteAdmin", boolean()), ("isDisabled", boolean())]))
            .answers(200, "The changed account", user())
    }),
    Route::post("/api/v1/users/{id}/sign-in-links", Guard::Site(Scope::Admin), || {
        web::to(link)
    })
    .doc(|| {
        Doc::new("Make a sign-in link")
            .about("It signs the person in, once, within 30 minutes.")
            .answers(201, "The link", object([("signInUrl", url())]).named("SignInLink"))
    }),
];

/// A person as [`show`] writes them.
fn user() -> Schema {
    object([
        ("id", id("usr")),
        ("email", text()),
        ("name", text()),
        ("isSiteAdmin", boolean()),
        ("isDisabled", boolean()),
        ("createdAt", time()),
        ("disabledAt", time().or_null()),
    ])
    .named("User")
}

fn show(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "isSiteAdmin": user.is_site_admin,
        "isDisabled": user.disabled_at.is_some(),
        "createdAt": rfc3339(user.created_at),
        "disabledAt": output::time(user.disabled_at),
    })
}

async fn find(ctx: &Ctx, projects: &Projects, id: &str) -> Result<User, Problem> {
    account::get_in(&ctx.db, projects, id)
        .await?
        .ok_or_else(|| Problem::not_found("user"))
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let all = account::list(&ctx.db, &access.projects()).await?;
    Ok(output::list_from_all(&query, all, |user| &user.id, show))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access.projects(), &id).await?;
    Ok(HttpResponse::Ok().json(show(&found)))
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let email = input.required_text("email");
    let name = input.text("name").unwrap_or_default();
    let is_site_admin = input.boolean("isSiteAdmin").unwrap_or(false);
    input.finish()?;
    let made = account::invite(&ctx.db, &ctx.clock, &email, &name, is_site_admin, access.actor()).await?;
    let mut body = show(&made);
    if let Some(members) = body.as_object_mut() {
        let link = account::sign_in_link(&ctx, &made.id).await?;
        members.insert("signInUrl".into(), link.into());
    }
    let path = format!("/api/v1/users/{}", made.id);
    Ok(HttpResponse::Created()
        .insert_header((actix_web::http::header::LOCATION, path))
        .json(body))
}

async fn update(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let old = find(&ctx, &access.projects(), &id).await?;
    let is_site_admin = input.boolean("isSiteAdmin");
    let is_disabled = input.boolean("isDisabled");
    input.finish()?;
    let (db, clock) = (&ctx.db, &ctx.clock);
    if let Some(wanted) = is_site_admin {
        account::set_site_admin(db, clock, &id, wanted, access.actor()).await?;
    }
    match is_disabled {
        Some(true) if old.disabled_at.is_none() => people::disable(&ctx, &id, access.actor()).await?,
        Some(false) if old.disabled_at.is_some() => account::enable(db, clock, &id, access.actor()).await?,
        _ => {}
    }
    get(ctx, access, id).await
}

async fn link(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access.projects(), &id).await?;
    let link = account::sign_in_link(&ctx, &found.id).await?;
    Ok(HttpResponse::Created().json(json!({ "signInUrl": link })))
}

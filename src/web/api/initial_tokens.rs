//! `/initial-access-tokens`: what lets applications register themselves. A token is answered once and never again.

use actix_web::{HttpResponse, web};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use super::tag::{IfMatch, Tag};
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::oauth2_server::{self, ClientError, InitialToken, NewInitialToken};
use crate::project;
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, id, input, integer, list_of, object, text, time};
use crate::web::route::{Guard, Route};

const MANAGE: Guard = Guard::Scope(Scope::ClientsManage);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/initial-access-tokens", MANAGE, || web::to(list)).doc(|| {
        Doc::new("List initial access tokens")
            .about("Each lets applications register themselves at `/oauth2/register` within its limits: for a project, or for the site.")
            .lists(token())
    }),
    Route::post("/api/v1/initial-access-tokens", MANAGE, || web::to(create)).doc(|| {
        Doc::new("Make an initial access token")
            .about(
                "The token is in this answer and in no other. Without `uses` it can be used without a limit, without \
                 `expiresInSeconds` it has no end; with `approves` its clients need no approval. Who does not manage the site names a project.",
            )
            .takes(input(
                &["name", "scopes"],
                [
                    ("name", text()),
                    ("projectId", id("prj").or_null()),
                    ("scopes", list_of(text())),
                    ("approves", boolean()),
                    ("uses", integer().or_null()),
                    ("expiresInSeconds", integer().or_null()),
                ],
            ))
            .answers(201, "The new token", token().and("token", text()).named("NewInitialAccessToken"))
            .tagged()
    }),
    Route::get("/api/v1/initial-access-tokens/{id}", MANAGE, || web::to(get))
        .doc(|| Doc::new("Show an initial access token").answers(200, "The token", token()).tagged()),
    Route::delete("/api/v1/initial-access-tokens/{id}", MANAGE, || web::to(revoke)).doc(|| {
        Doc::new("Revoke an initial access token")
            .about("The clients it registered stay.")
            .answers_nothing(204, "Revoked")
            .tagged()
    }),
];

fn token() -> Schema {
    object([
        ("id", id("iat")),
        ("hint", text()),
        ("name", text()),
        ("projectId", id("prj").or_null()),
        ("scopes", list_of(text())),
        ("approves", boolean()),
        ("uses", integer()),
        ("usesLeft", integer().or_null()),
        ("createdBy", text()),
        ("createdAt", time()),
        ("expiresAt", time().or_null()),
        ("revokedAt", time().or_null()),
        ("lastUsedAt", time().or_null()),
    ])
    .named("InitialAccessToken")
}

fn show(token: &InitialToken) -> Value {
    json!({
        "id": token.id,
        "hint": token.hint,
        "name": token.name,
        "projectId": output::text(&token.project_id),
        "scopes": token.scopes,
        "approves": token.approves,
        "uses": token.uses,
        "usesLeft": token.uses_left,
        "createdBy": token.created_by,
        "createdAt": rfc3339(token.created_at),
        "expiresAt": output::time(token.expires_at),
        "revokedAt": output::time(token.revoked_at),
        "lastUsedAt": output::time(token.last_used_at),
    })
}

fn refused(error: ClientError) -> Problem {
    match error {
        ClientError::Invalid(errors) => output::invalid(errors.into_iter().map(|error| {
            let field = match error.field {
                "expires" => "expiresInSeconds",
                other => other,
            };
            (field, error.code, error.message)
        })),
        ClientError::Db(error) => error.into(),
        _ => Problem::not_found("initial access token"),
    }
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let all = oauth2_server::initial_tokens(&ctx, &access.projects())
        .await
        .map_err(refused)?;
    Ok(output::list_from_all(&query, all, |token| &token.id, show))
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let name = input.required_text("name");
    let project_id = input.text("projectId").unwrap_or_default();
    if !project_id.is_empty() {
        if project::get(&ctx, &access.projects(), &project_id).await.is_err() {
            input.problem("projectId", "unknown", "there is no such project");
        }
    } else if !access.has_site(Scope::ClientsManage) {
        input.problem("projectId", "required", "name the project its clients belong to");
    }
    let new = NewInitialToken {
        name,
        project_id,
        scopes: input.texts("scopes").unwrap_or_default(),
        approves: input.boolean("approves").unwrap_or(false),
        uses: input.integer("uses"),
        seconds: input.integer("expiresInSeconds"),
    };
    if !access.has_site(Scope::ClientsManage) {
        for error in oauth2_server::token_beyond_a_project(&new) {
            input.problem(error.field, error.code, error.message);
        }
    }
    input.finish()?;
    let (made, secret) = oauth2_server::create_initial_token(&ctx, access.actor(), new)
        .await
        .map_err(refused)?;
    let mut body = show(&made);
    let tag = Tag::of(&body);
    body["token"] = secret.expose_secret().into();
    Ok(output::created(
        &format!("/api/v1/initial-access-tokens/{}", made.id),
        tag,
        body,
    ))
}

async fn find(ctx: &Ctx, access: &Access, id: &str) -> Result<Value, Problem> {
    let all = oauth2_server::initial_tokens(ctx, &access.projects())
        .await
        .map_err(refused)?;
    all.iter()
        .find(|token| token.id == id)
        .map(show)
        .ok_or_else(|| refused(ClientError::NotFound))
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
    oauth2_server::revoke_initial_token(&ctx, &access.projects(), access.actor(), &id)
        .await
        .map_err(refused)?;
    Ok(output::done())
}

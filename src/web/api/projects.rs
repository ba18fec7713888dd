//! `/projects`: `{key, name}`.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use super::tag::{IfMatch, changed_meanwhile};
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::project::{self, NewProject, Project, ProjectChange, ProjectError};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, id, input, object, text, time};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/projects", Guard::Scope(Scope::ProjectsRead), || {
        web::to(list)
    })
    .doc(|| Doc::new("List projects").lists(project())),
    Route::post("/api/v1/projects", Guard::Site(Scope::ProjectsWrite), || {
        web::to(create)
    })
    .doc(|| {
        Doc::new("Make a project")
            .takes(input(
                &["key", "name"],
                [
                    (
                        "key",
                        text().about("Two to ten capital letters and digits; ticket keys begin with it"),
                    ),
                    ("name", text()),
                    ("description", text()),
                ],
            ))
            .answers(201, "The new project", project())
            .tagged()
    }),
    Route::get("/api/v1/projects/{id}", Guard::Scope(Scope::ProjectsRead), || {
        web::to(get)
    })
    .doc(|| {
        Doc::new("Show a project")
            .answers(200, "The project", project())
            .tagged()
    }),
    Route::patch(
        "/api/v1/projects/{id}",
        Guard::Scope(Scope::ProjectsWrite),
        || web::to(update),
    )
    .doc(|| {
        Doc::new("Change a project")
            .about("What is not sent stays. The key stays in any case: ticket keys were given out with it.")
            .takes(input(
                &[],
                [("name", text()), ("description", text()), ("key", text())],
            ))
            .answers(200, "The changed project", project())
            .tagged()
    }),
];

/// A project as [`show`] writes it.
fn project() -> Schema {
    object([
        ("id", id("prj")),
        ("key", text().example("HELP")),
        ("name", text()),
        ("description", text().or_null()),
        ("createdAt", time()),
        ("updatedAt", time()),
    ])
    .named("Project")
}

fn show(project: &Project) -> Value {
    json!({
        "id": project.id,
        "key": project.key,
        "name": project.name,
        "description": output::text(&project.description),
        "createdAt": rfc3339(project.created_at),
        "updatedAt": rfc3339(project.updated_at),
    })
}

fn refused(error: ProjectError) -> Problem {
    match error {
        ProjectError::Invalid(errors) => output::invalid(
            errors
                .into_iter()
                .map(|error| (error.field, error.code, error.message)),
        ),
        ProjectError::NotFound => Problem::not_found("project"),
        ProjectError::Conflict => changed_meanwhile(),
        ProjectError::Db(error) => error.into(),
    }
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let all = project::list(&ctx, &access.projects()).await.map_err(refused)?;
    Ok(output::list_from_all(&query, all, |project| &project.id, show))
}

async fn create(ctx: web::Data<Ctx>, mut input: Input) -> Result<HttpResponse, Problem> {
    let new = NewProject {
        key: input.required_text("key"),
        name: input.required_text("name"),
        description: input.text("description").unwrap_or_default(),
    };
    input.finish()?;
    let project = project::create(&ctx, new).await.map_err(refused)?;
    let path = format!("/api/v1/projects/{}", project.id);
    Ok(output::created(&path, project.revision, show(&project)))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let project = project::get(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    Ok(output::tagged(project.revision, show(&project)))
}

async fn update(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    input: Input,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let old = project::get(&ctx, &access.projects(), &id)
            .await
            .map_err(refused)?;
        seen.check(old.revision)?;
        let change = ProjectChange {
            name: input.text("name").unwrap_or(old.name),
            description: input.text("description").unwrap_or(old.description),
        };
        if input.text("key").is_some_and(|key| key != old.key) {
            input.problem(
                "key",
                "fixed",
                "the key stays: ticket keys were given out with it",
            );
        }
        input.finish()?;
        let project = project::update(&ctx, &access.projects(), &id, old.revision, change)
            .await
            .map_err(refused)?;
        Ok(output::tagged(project.revision, show(&project)))
    })
    .await
}

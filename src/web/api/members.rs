//! `/projects/{id}/members`: who is what in a project.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use super::tag::{IfMatch, Tag, changed_meanwhile};
use crate::access::{Access, Projects, Role, Scope};
use crate::account::{self, User};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::project::{self, MemberError, Membership, ProjectError, Provided};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, id, input, object, text, time, word};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get(
        "/api/v1/projects/{id}/members",
        Guard::Scope(Scope::ProjectsRead),
        || web::to(list),
    )
    .doc(|| Doc::new("List the members of a project").lists(member())),
    Route::post(
        "/api/v1/projects/{id}/members",
        Guard::Scope(Scope::ProjectsWrite),
        || web::to(add),
    )
    .doc(|| {
        Doc::new("Make a person a member of a project")
            .about(
                "Somebody who has an account, by `userId` or `email`. A member already gets the new role; the last \
                 project admin keeps theirs.",
            )
            .takes(input(
                &["role"],
                [("userId", id("usr")), ("email", text()), ("role", role())],
            ))
            .answers(201, "The member", member())
            .tagged()
    }),
    Route::get(
        "/api/v1/projects/{id}/members/{userId}",
        Guard::Scope(Scope::ProjectsRead),
        || web::to(get),
    )
    .doc(|| {
        Doc::new("Show a member of a project")
            .answers(200, "The member", member())
            .tagged()
    }),
    Route::patch(
        "/api/v1/projects/{id}/members/{userId}",
        Guard::Scope(Scope::ProjectsWrite),
        || web::to(update),
    )
    .doc(|| {
        Doc::new("Change the role of a member")
            .about("The last project admin keeps the role unless `allowNoAdmin` is sent.")
            .takes(input(
                &["role"],
                [("role", role()), ("allowNoAdmin", boolean().default(false))],
            ))
            .answers(200, "The member", member())
            .tagged()
    }),
    Route::delete(
        "/api/v1/projects/{id}/members/{userId}",
        Guard::Scope(Scope::ProjectsWrite),
        || web::to(remove),
    )
    .doc(|| {
        Doc::new("Take a person out of a project")
            .about("The last project admin stays unless `allowNoAdmin` is sent.")
            .query("allowNoAdmin", boolean(), "Also the last project admin")
            .answers_nothing(204, "Taken out")
            .tagged()
    }),
];

fn role() -> Schema {
    word(&["viewer", "agent", "project_admin"])
}

/// A member as [`show`] writes it.
fn member() -> Schema {
    object([
        ("userId", id("usr")),
        ("name", text()),
        ("email", text()),
        ("role", role()),
        ("createdAt", time()),
    ])
    .named("Member")
}

fn show((membership, user): &(Membership, User)) -> Value {
    json!({
        "userId": user.id,
        "name": user.name,
        "email": user.email,
        "role": membership.role.as_str(),
        "createdAt": rfc3339(membership.created_at),
    })
}

fn refused(error: MemberError) -> Problem {
    match error {
        MemberError::NotFound => Problem::not_found("member of this project"),
        MemberError::Conflict => changed_meanwhile(),
        MemberError::LastProjectAdmin => Problem::conflict("last_project_admin", error.to_string())
            .with_remedy(
                "Change or take out the member with `allowNoAdmin`, if only site admins are to manage the project \
                 afterwards.",
            ),
        MemberError::Db(error) => error.into(),
    }
}

/// The project, if the request may touch it.
async fn find(ctx: &Ctx, access: &Access, id: &str) -> Result<String, Problem> {
    match project::get(ctx, &access.projects(), id).await {
        Ok(found) => Ok(found.id),
        Err(ProjectError::NotFound) => Err(Problem::not_found("project")),
        Err(error) => Err(Problem::internal(&error)),
    }
}

async fn members(ctx: &Ctx, project_id: &str) -> Result<Vec<(Membership, User)>, Problem> {
    let people = account::list(&ctx.db, &Projects::one(project_id)).await?;
    let memberships = project::members_of(&ctx.db, project_id).await?;
    let with_user = |membership: Membership| {
        let user = people.iter().find(|user| user.id == membership.user_id)?;
        Some((membership, user.clone()))
    };
    Ok(memberships.into_iter().filter_map(with_user).collect())
}

async fn member_of(ctx: &Ctx, project_id: &str, user_id: &str) -> Result<(Membership, User), Problem> {
    members(ctx, project_id)
        .await?
        .into_iter()
        .find(|(membership, _)| membership.user_id == user_id)
        .ok_or_else(|| refused(MemberError::NotFound))
}

const ROLES: &str = "viewer, agent, project_admin";

fn read_role(input: &mut Input) -> Role {
    let _ = input.required_text("role");
    match input.has("role") {
        true => input.word("role", Role::of_member, ROLES),
        false => None,
    }
    .unwrap_or(Role::Viewer)
}

async fn list(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let project_id = find(&ctx, &access, &id).await?;
    let all = members(&ctx, &project_id).await?;
    Ok(output::list_from_all(&query, all, |(_, user)| &user.id, show))
}

async fn add(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let project_id = find(&ctx, &access, &id).await?;
    let role = read_role(&mut input);
    let user = match (input.text("userId"), input.text("email")) {
        (Some(user_id), _) => account::get(&ctx.db, &user_id).await?,
        (None, Some(email)) => account::get_by_email(&ctx.db, &email).await?,
        (None, None) => None,
    };
    let user = user.filter(|user| user.removed_at.is_none());
    if user.is_none() {
        let name = if input.has("userId") { "userId" } else { "email" };
        input.problem(
            name,
            "unknown",
            "nobody here has this account; a site admin can make one",
        );
    }
    input.finish()?;
    let Some(user) = user else {
        return Err(Problem::not_found("user"));
    };
    project::set_member(&ctx.db, &ctx.clock, &project_id, &user.id, role, access.actor())
        .await
        .map_err(refused)?;
    let made = member_of(&ctx, &project_id, &user.id).await?;
    let shown = show(&made);
    let path = format!("/api/v1/projects/{project_id}/members/{}", user.id);
    Ok(output::created(&path, Tag::of(&shown), shown))
}

async fn get(
    ctx: web::Data<Ctx>,
    access: Access,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, user_id) = path.into_inner();
    let project_id = find(&ctx, &access, &id).await?;
    let shown = show(&member_of(&ctx, &project_id, &user_id).await?);
    Ok(output::tagged(Tag::of(&shown), shown))
}

async fn update(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    path: web::Path<(String, String)>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let (id, user_id) = path.into_inner();
    let project_id = find(&ctx, &access, &id).await?;
    let old = member_of(&ctx, &project_id, &user_id).await?;
    let seen = seen.seen_as(Tag::of(&show(&old)), &old.0)?;
    let role = read_role(&mut input);
    let allow_no_admin = input.boolean("allowNoAdmin").unwrap_or(false);
    input.finish()?;
    let provided = Provided { seen, allow_no_admin };
    let who = (project_id.as_str(), user_id.as_str());
    project::change_member(&ctx.db, &ctx.clock, who, role, provided, access.actor())
        .await
        .map_err(refused)?;
    let shown = show(&member_of(&ctx, &project_id, &user_id).await?);
    Ok(output::tagged(Tag::of(&shown), shown))
}

async fn remove(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    path: web::Path<(String, String)>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let (id, user_id) = path.into_inner();
    let project_id = find(&ctx, &access, &id).await?;
    let old = member_of(&ctx, &project_id, &user_id).await?;
    let seen = seen.seen_as(Tag::of(&show(&old)), &old.0)?;
    let allow_no_admin = query.get("allowNoAdmin").as_deref() == Some("true");
    let provided = Provided { seen, allow_no_admin };
    let who = (project_id.as_str(), user_id.as_str());
    project::remove_member(&ctx.db, &ctx.clock, who, provided, access.actor())
        .await
        .map_err(refused)?;
    Ok(output::done())
}

//! `/projects/{id}/templates`: the words of a project's automatic mails, notifications and signatures.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::input::Input;
use super::outgoing::{refused as outgoing_refused, schema as outgoing_schema, show as show_outgoing};
use super::tag::{IfMatch, changed_meanwhile};
use super::{once, output};
use crate::access::{Access, Projects, Scope};
use crate::account;
use crate::ctx::Ctx;
use crate::project;
use crate::template::{self, Kind, Rendered, Template, TemplateError, TemplateInput};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, input, list_of, object, text, time, word};
use crate::web::people;
use crate::web::route::{Guard, Route};

const KINDS: &[&str] = &["acknowledgement", "new_ticket", "new_reply", "signature"];

pub(super) const ROUTES: &[Route] = &[
    Route::get(
        "/api/v1/projects/{id}/templates",
        Guard::Scope(Scope::ProjectsRead),
        || web::to(list),
    )
    .doc(|| {
        Doc::new("List a project's templates")
            .about("One of each kind. What can be printed is in `variables`; docs/templates.md describes the language.")
            .answers(
                200,
                "All of them",
                object([
                    ("items", list_of(schema())),
                    ("next", text().or_null()),
                    (
                        "variables",
                        list_of(object([("name", text()), ("about", text())])),
                    ),
                ]),
            )
    }),
    Route::get(
        "/api/v1/projects/{id}/templates/{kind}",
        Guard::Scope(Scope::ProjectsRead),
        || web::to(get),
    )
    .doc(|| {
        Doc::new("Show a template")
            .answers(200, "The template", schema())
            .tagged()
    }),
    Route::patch(
        "/api/v1/projects/{id}/templates/{kind}",
        Guard::Scope(Scope::ProjectsWrite),
        || web::to(change),
    )
    .doc(|| {
        Doc::new("Change a template")
            .about("What is not sent stays.")
            .takes(taken())
            .answers(200, "The changed template", schema())
            .tagged()
    }),
    Route::delete(
        "/api/v1/projects/{id}/templates/{kind}",
        Guard::Scope(Scope::ProjectsWrite),
        || web::to(restore),
    )
    .doc(|| {
        Doc::new("Restore the default of a template")
            .answers(200, "The default, switched off", schema())
            .tagged()
    }),
    Route::post(
        "/api/v1/projects/{id}/templates/{kind}/preview",
        Guard::Scope(Scope::ProjectsRead),
        || web::to(preview),
    )
    .only_reads()
    .doc(|| {
        Doc::new("Render a template without sending it")
            .about("What is not sent is taken from the template as it is saved.")
            .takes(taken().and("ticketId", text().about("Values of this ticket; made up if it is missing")))
            .answers(
                200,
                "What would be sent",
                object([
                    ("subject", text().or_null()),
                    ("text", text()),
                    ("html", text().or_null()),
                ]),
            )
    }),
    Route::post(
        "/api/v1/projects/{id}/templates/{kind}/tests",
        Guard::Scope(Scope::ProjectsWrite),
        || web::to(test),
    )
    .sends_mail()
    .doc(|| {
        Doc::new("Send a template to oneself")
            .about("With made-up values, to the address of the token's owner.")
            .takes(taken())
            .answers(202, "The mail, queued", outgoing_schema())
            .fails(409, "no account sends mails of this installation")
    }),
];

fn taken() -> Schema {
    input(
        &[],
        [
            ("enabled", boolean()),
            ("subject", text()),
            ("text", text()),
            ("html", text().or_null()),
        ],
    )
}

fn schema() -> Schema {
    object([
        ("kind", word(KINDS)),
        ("enabled", boolean()),
        ("subject", text().or_null().about("null for signatures")),
        ("text", text()),
        ("html", text().or_null()),
        ("isDefault", boolean().about("Whether it was never changed")),
        ("updatedAt", time().or_null()),
    ])
    .named("Template")
}

fn show(template: &Template) -> Value {
    json!({
        "kind": template.kind.as_str(),
        "enabled": template.enabled,
        "subject": output::text(&template.subject),
        "text": template.text,
        "html": output::text(&template.html),
        "isDefault": template.is_default,
        "updatedAt": output::time((template.updated_at > 0).then_some(template.updated_at)),
    })
}

fn refused(error: TemplateError) -> Problem {
    match error {
        TemplateError::Invalid(errors) => output::invalid(
            errors
                .into_iter()
                .map(|error| (error.field, error.code, error.message)),
        ),
        TemplateError::NotFound => Problem::not_found("project"),
        TemplateError::Conflict => changed_meanwhile(),
        TemplateError::Db(error) => error.into(),
    }
}

fn kind_of(text: &str) -> Result<Kind, Problem> {
    Kind::parse(text).ok_or_else(|| Problem::not_found("template"))
}

async fn list(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let all = template::list(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    let items: Vec<Value> = all.iter().map(show).collect();
    let variables: Vec<Value> = template::VARIABLES
        .iter()
        .map(|(name, about)| json!({ "name": name, "about": about }))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "next": null, "variables": variables })))
}

type Where = web::Path<(String, String)>;

async fn found(ctx: &Ctx, projects: &Projects, path: &(String, String)) -> Result<Template, Problem> {
    let kind = kind_of(&path.1)?;
    template::get(ctx, projects, &path.0, kind).await.map_err(refused)
}

async fn get(ctx: web::Data<Ctx>, access: Access, path: Where) -> Result<HttpResponse, Problem> {
    let template = found(&ctx, &access.projects(), &path).await?;
    Ok(output::tagged(template.revision, show(&template)))
}

/// What was sent, over what is saved.
fn merged(input: &mut Input, saved: Template) -> TemplateInput {
    TemplateInput {
        enabled: input.boolean("enabled").unwrap_or(saved.enabled),
        subject: input.text("subject").unwrap_or(saved.subject),
        text: input.text("text").unwrap_or(saved.text),
        html: if input.mentions("html") {
            input.text("html").unwrap_or_default()
        } else {
            saved.html
        },
    }
}

async fn change(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    path: Where,
    input: Input,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let projects = access.projects();
        let saved = found(&ctx, &projects, &path).await?;
        seen.check(saved.revision)?;
        let (kind, revision) = (saved.kind, saved.revision);
        let wanted = merged(&mut input, saved);
        input.finish()?;
        let template = template::save(&ctx, &projects, &path.0, kind, revision, &wanted)
            .await
            .map_err(refused)?;
        Ok(output::tagged(template.revision, show(&template)))
    })
    .await
}

async fn restore(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    path: Where,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let projects = access.projects();
        let saved = found(&ctx, &projects, &path).await?;
        let seen = seen.seen(saved.revision)?;
        let template = template::restore(&ctx, &projects, &path.0, saved.kind, seen)
            .await
            .map_err(refused)?;
        Ok(output::tagged(template.revision, show(&template)))
    })
    .await
}

async fn rendered(
    ctx: &Ctx,
    access: &Access,
    path: &(String, String),
    input: &mut Input,
) -> Result<(Kind, Rendered), Problem> {
    let projects = access.projects();
    let saved = found(ctx, &projects, path).await?;
    let kind = saved.kind;
    let wanted = merged(input, saved);
    let project = project::get(ctx, &projects, &path.0)
        .await
        .map_err(|_| Problem::not_found("project"))?;
    let agent = owner(ctx, access)
        .await?
        .map(|user| user.name)
        .unwrap_or_default();
    let named = (project.key.as_str(), project.name.as_str());
    let values = match input.text("ticketId") {
        // Whoever sees its words here must be allowed to read them.
        Some(id) => people::template_values(
            ctx,
            &access.projects_with(Scope::MessagesRead),
            named,
            &id,
            &agent,
        )
        .await?
        .ok_or_else(|| Problem::not_found("ticket"))?,
        None => template::sample(ctx, named, &agent),
    };
    let rendered = template::try_out(kind, &wanted, &values).map_err(refused)?;
    Ok((kind, rendered))
}

async fn owner(ctx: &Ctx, access: &Access) -> Result<Option<account::User>, Problem> {
    Ok(account::get(&ctx.db, access.user_id().unwrap_or_default()).await?)
}

async fn preview(
    ctx: web::Data<Ctx>,
    access: Access,
    path: Where,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let (_, rendered) = rendered(&ctx, &access, &path, &mut input).await?;
    input.finish()?;
    Ok(HttpResponse::Ok().json(json!({
        "subject": output::text(&rendered.subject),
        "text": rendered.text,
        "html": rendered.html,
    })))
}

async fn test(
    ctx: web::Data<Ctx>,
    access: Access,
    request: HttpRequest,
    path: Where,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let (kind, rendered) = rendered(&ctx, &access, &path, &mut input).await?;
    input.finish()?;
    let to = owner(&ctx, &access)
        .await?
        .map(|user| user.email)
        .unwrap_or_default();
    let mail = people::send_template(&ctx, access.actor(), &to, kind, rendered, once::name(&request))
        .await
        .map_err(outgoing_refused)?;
    let location = format!("/api/v1/outgoing-mails/{}", mail.id);
    Ok(HttpResponse::Accepted()
        .insert_header((header::LOCATION, location))
        .json(show_outgoing(&mail)))
}

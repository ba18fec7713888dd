//! `/audit-events`: who did what to what, from where. For site admins; a token narrowed to projects sees those alone.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use super::output;
use crate::access::{Access, Scope};
use crate::audit::{self, AuditEvent, Filter, Via};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, anything, id, integer, object, text, time, word};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/audit-events", Guard::Scope(Scope::AuditRead), || {
        web::to(list)
    })
    .doc(|| {
        Doc::new("Read the audit log")
            .about(
                "The newest first. What belongs to no project is there for site admins only. The whole log in the \
                 order of its chain, with seals: `mailgrant audit export`.",
            )
            .query("actor", text(), "By this person, token or client, `cli` or `system`")
            .query(
                "action",
                text().example("member.*"),
                "Only this action, or a family of them such as `member.*`",
            )
            .query("targetType", text().example("client"), "Done to this kind of thing")
            .query("targetId", text(), "Done to this one")
            .query("projectId", text(), "Only of this project")
            .query("via", word(&["ui", "api", "rule", "cli", "system"]), "By this way")
            .query("since", text().example("2026-11-01T00:00:00Z"), "From this time or day on")
            .query("until", text().example("2026-12-01T00:00:00Z"), "Before this time or day")
            .fails(400, "A time that is none")
            .fails(404, "No such project")
            .lists(event())
    }),
    Route::get("/api/v1/audit-events/{id}", Guard::Scope(Scope::AuditRead), || {
        web::to(get)
    })
    .doc(|| Doc::new("Show an event of the audit log").answers(200, "The event", event())),
];

/// An event as [`show`] writes it.
fn event() -> Schema {
    object([
        ("id", id("aud")),
        ("timestamp", time()),
        (
            "actor",
            text().about("A person, token or client, `cli` or `system`"),
        ),
        ("via", word(&["ui", "api", "rule", "cli", "system"])),
        (
            "address",
            text().or_null().about("The network address it came from"),
        ),
        (
            "requestId",
            text().or_null().about("The request in the service's own log"),
        ),
        ("action", text().example("member.added")),
        ("targetType", text().example("project")),
        ("targetId", text().or_null()),
        ("projectId", id("prj").or_null()),
        (
            "summary",
            anything().about("What is different now; depends on the action, never holds a secret"),
        ),
        (
            "place",
            integer()
                .or_null()
                .about("Its place in the chain; null for the moment before it has one"),
        ),
    ])
    .named("AuditEvent")
}

fn show(event: &AuditEvent) -> Value {
    json!({
        "id": event.id,
        "timestamp": rfc3339(event.created_at),
        "actor": event.actor,
        "via": event.via,
        "address": output::text(&event.address),
        "requestId": output::text(&event.request_id),
        "action": event.action,
        "targetType": event.target_kind,
        "targetId": output::text(&event.target_id),
        "projectId": output::text(&event.project_id),
        "summary": event.summary,
        "place": (event.place > 0).then_some(event.place),
    })
}

fn filter(access: &Access, query: &Query) -> Result<Filter, Problem> {
    let mut projects = access.projects();
    if let Some(project) = query.get("projectId") {
        if !projects.contains(&project) {
            return Err(Problem::not_found("project"));
        }
        projects = projects.only(&project);
    }
    Ok(Filter {
        projects,
        actor: query.get("actor"),
        action: query.get("action"),
        target_kind: query.get("targetType"),
        target_id: query.get("targetId"),
        via: query
            .get("via")
            .filter(|word| Via::ALL.iter().any(|via| via.as_str() == word)),
        since: query.time("since")?,
        until: query.time("until")?,
    })
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let filter = filter(&access, &query)?;
    let found = audit::list(ctx.db.read(), &filter, query.after.as_deref(), query.limit + 1).await?;
    Ok(output::list_of(&query, found, |event| &event.id, show))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = audit::by_id(ctx.db.read(), &access.projects(), &id)
        .await?
        .ok_or_else(|| Problem::not_found("audit event"))?;
    Ok(HttpResponse::Ok().json(show(&found)))
}

//! `/tickets`: what messages became.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Query, bad_cursor};
use super::output;
use crate::access::{Access, Projects, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::project;
use crate::ticket::{self, Entry, Ticket, TicketDetail, TicketError, TicketFilter, TicketState};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, id, integer, list_of, object, text, time, word};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/tickets", Guard::Scope(Scope::TicketsRead), || {
        web::to(list)
    })
    .doc(|| {
        Doc::new("List tickets")
            .about("The one that changed last comes first.")
            .query("project", text(), "Only of this project: its key or id")
            .query("projectId", text(), "The same as `project`")
            .query(
                "state",
                word(&["open", "pending", "closed"]),
                "Only in this state",
            )
            .query(
                "q",
                text(),
                "Only those whose subject, key or requester has these words",
            )
            .lists(frame_schema().and("entryCount", integer()))
    }),
    Route::get("/api/v1/tickets/{id}", Guard::Scope(Scope::TicketsRead), || {
        web::to(get)
    })
    .doc(|| {
        Doc::new("Show a ticket")
            .about("By its id or its key.")
            .answers(
                200,
                "The ticket with its entries",
                frame_schema().and("entries", list_of(entry_schema())),
            )
            .tagged()
    }),
];

/// A ticket as [`frame`] writes it.
fn frame_schema() -> Schema {
    object([
        ("id", id("tkt")),
        ("key", text().example("HELP-42")),
        ("projectId", id("prj")),
        ("subject", text()),
        (
            "requester",
            object([("name", text().or_null()), ("email", text().or_null())]),
        ),
        ("state", text()),
        ("assigneeId", text().or_null()),
        ("labels", list_of(text())),
        ("priority", text()),
        ("createdAt", time()),
        ("updatedAt", time()),
    ])
}

/// An entry as [`entry`] writes it.
fn entry_schema() -> Schema {
    object([
        ("id", id("ent")),
        ("kind", text()),
        ("messageId", text().or_null()),
        ("author", text()),
        ("createdAt", time()),
    ])
    .named("Entry")
}

/// A ticket without its entries.
fn frame(ticket: &Ticket) -> Value {
    let labels: Value = serde_json::from_str(&ticket.labels).unwrap_or_else(|_| json!([]));
    json!({
        "id": ticket.id,
        "key": ticket.key,
        "projectId": ticket.project_id,
        "subject": ticket.subject,
        "requester": {
            "name": output::text(&ticket.requester_name),
            "email": output::text(&ticket.requester_email),
        },
        "state": ticket.state,
        "assigneeId": output::text(&ticket.assignee_id),
        "labels": labels,
        "priority": ticket.priority,
        "createdAt": rfc3339(ticket.created_at),
        "updatedAt": rfc3339(ticket.updated_at),
    })
}

fn with(mut ticket: Value, name: &str, value: Value) -> Value {
    if let Some(members) = ticket.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
    ticket
}

fn entry(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "kind": entry.kind,
        "messageId": entry.message_id,
        "author": entry.author,
        "createdAt": rfc3339(entry.created_at),
    })
}

fn refused(error: TicketError) -> Problem {
    match error {
        TicketError::NotFound => Problem::not_found("ticket"),
        TicketError::BadCursor => bad_cursor(),
        TicketError::Db(error) => error.into(),
    }
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let state = query.get("state");
    if state
        .as_deref()
        .is_some_and(|state| TicketState::parse(state).is_none())
    {
        return Err(
            Problem::bad_request("bad_state", "`state` must be open, pending or closed").at("/state"),
        );
    }
    let filter = TicketFilter {
        projects: access.projects(),
        state,
        project_id: match query.get("project").or_else(|| query.get("projectId")) {
            Some(named) => Some(project_id(&ctx, &access.projects(), named).await?),
            None => None,
        },
        text: query.get("q"),
        after: query.after.clone(),
    };
    let page = ticket::list(&ctx, &filter, query.limit).await.map_err(refused)?;
    let items = page
        .items
        .iter()
        .map(|ticket| with(frame(ticket), "entryCount", ticket.entry_count.into()))
        .collect();
    Ok(output::list(&query, items, page.next.as_deref()))
}

/// A project may be named by its key or its id.
async fn project_id(ctx: &Ctx, projects: &Projects, named: String) -> Result<String, Problem> {
    match project::get_by_key(ctx, projects, &named).await {
        Ok(Some(project)) => Ok(project.id),
        Ok(None) => Ok(named),
        Err(error) => Err(Problem::internal(&error)),
    }
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = match ticket::get(&ctx, &access.projects(), &id).await {
        Err(TicketError::NotFound) => ticket::get_by_key(&ctx, &access.projects(), &id).await,
        other => other,
    };
    let TicketDetail { ticket, entries } = found.map_err(refused)?;
    let entries = entries.iter().map(entry).collect();
    Ok(output::tagged(
        ticket.revision,
        with(frame(&ticket), "entries", entries),
    ))
}

//! `/events`: the log of what happened, read by cursor or followed as a stream, and the types in it.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use crate::access::{Access, Scope};
use crate::ctx::Ctx;
use crate::event::{self, Cursor, Filter, Types, envelope, kinds};
use crate::web::error::Problem;
use crate::web::follow::{Follower, Place, bad_cursor, gone, not_ahead};
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, anything, id, integer, list_of, object, text, time};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/events", Guard::Scope(Scope::EventsRead), || web::to(list)).doc(|| {
        filtered(
            Doc::new("Read the event log").about(
                "In the order of the log, from its beginning or from behind `after`. Keep `cursor`: it is where to go \
                 on, also when nothing came. No event is skipped, and none comes before one that was read.",
            ),
        )
        .answers(
            200,
            "A part of the log",
            object([
                ("items", list_of(event_schema())),
                ("next", text().about("Address of the next part; null at the end of the log").or_null()),
                ("cursor", text().about("Where to go on, as `after`")),
            ]),
        )
        .paged()
        .fails(
            410,
            "Events behind `after` were older than the retention, and `oldest` is where the log begins now; or the \
             database was restored to an earlier moment, and `newest` is where the log ends",
        )
    }),
    Route::get("/api/v1/events/stream", Guard::Scope(Scope::EventsRead), || {
        web::to(stream)
    })
    .doc(|| {
        filtered(
            Doc::new("Follow the event log").about(
                "Server-sent events: `event` is the type, `data` the event, `id` a cursor. A client that reconnects \
                 sends the last `id` as `Last-Event-ID` and misses nothing. Begins at the end of the log unless \
                 `after` or that header says otherwise. The event `over` ends the stream when what may be seen is not \
                 what it was; `gone` when events behind its place were older than the retention.",
            ),
        )
        .query("after", text(), "The `cursor` of an event or of a part of the log")
        .answers_bytes("Events as they happen", "text/event-stream")
        .fails(410, "Events behind the cursor were older than the retention, or the log ends before it")
        .fails(429, "Too many requests, or too many streams of this token or its owner are open")
    }),
    Route::get("/api/v1/event-types", Guard::Scope(Scope::EventsRead), || {
        web::to(types)
    })
    .doc(|| {
        Doc::new("List event types").answers(
            200,
            "Every type, with the JSON Schema of its events",
            object([
                (
                    "items",
                    list_of(object([
                        ("type", text().example("ticket.created")),
                        ("description", text()),
                        ("schema", anything()),
                    ])),
                ),
                ("next", text().or_null()),
            ]),
        )
    }),
];

fn filtered(doc: Doc) -> Doc {
    doc.query(
        "types",
        text().example("ticket.*,grant.expired"),
        "Only these types: names or families such as `ticket.*`, with commas between them",
    )
    .query("project", text(), "Only of the project with this id")
    .fails(400, "A type or a cursor that there is not")
    .fails(404, "No such project")
}

/// An event as [`envelope`] writes it.
pub(super) fn event_schema() -> Schema {
    object([
        ("id", id("evt")),
        ("type", text().example("ticket.created")),
        ("timestamp", time()),
        ("apiVersion", text()),
        (
            "sequence",
            integer().about("Its place in the log; grows, with gaps"),
        ),
        ("cursor", text().about("Reads on behind it, as `after`")),
        (
            "projectId",
            id("prj").or_null().about("Null for events of the site"),
        ),
        ("subjectId", text().about("What it is about")),
        (
            "actor",
            text().about("Who did it: a person, a token, `cli` or `system`"),
        ),
        ("data", anything().about("See GET /api/v1/event-types")),
    ])
    .named("Event")
}

/// Types given as a list of patterns, with what is wrong with them.
pub(super) fn parse_types<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Types, Problem> {
    Types::parse(patterns).map_err(|pattern| {
        Problem::bad_request(
            "unknown_event_type",
            format!("`{pattern}` is no event type and no family of them"),
        )
        .with_remedy("See GET /api/v1/event-types; a family is written ticket.*")
        .at("/types")
    })
}

fn filter(access: &Access, query: &Query) -> Result<Filter, Problem> {
    let types = query.get("types").unwrap_or_default();
    let mut projects = access.projects();
    if let Some(project) = query.get("project") {
        if !projects.contains(&project) {
            return Err(Problem::not_found("project"));
        }
        projects = projects.only(&project);
    }
    Ok(Filter {
        types: parse_types(types.split(','))?,
        projects,
    })
}

/// Where to begin: behind a place that was given, else at the beginning of the log.
async fn place(ctx: &Ctx, given: Option<String>) -> Result<Cursor, Problem> {
    match given {
        Some(text) => Cursor::parse(&text).ok_or_else(bad_cursor),
        None => Ok(event::extent(&ctx.db).await?.0),
    }
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let filter = filter(&access, &query)?;
    ctx.log.reach(event::advance(&ctx.db).await?);
    let after = place(&ctx, query.get("after")).await?;
    not_ahead(after, event::extent(&ctx.db).await?.1)?;
    let read = event::read_after(ctx.db.read(), after, &filter, query.limit)
        .await
        .map_err(gone)?;
    let items: Vec<Value> = read.events.iter().map(envelope).collect();
    let cursor = read.cursor.to_string();
    let next = read.has_more.then(|| query.next_at(&cursor));
    let mut response = HttpResponse::Ok();
    if let Some(next) = &next {
        response.insert_header((header::LINK, format!("<{next}>; rel=\"next\"")));
    }
    Ok(response.json(json!({ "items": items, "next": next, "cursor": cursor })))
}

/// The types with their schemas.
async fn types(query: Query) -> Result<HttpResponse, Problem> {
    let items: Vec<Value> = kinds::KINDS
        .iter()
        .map(|kind| json!({ "type": kind.name, "description": kind.about, "schema": kind.schema() }))
        .collect();
    Ok(super::output::list(&query, items, None))
}

async fn stream(
    ctx: web::Data<Ctx>,
    access: Access,
    request: HttpRequest,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let filter = filter(&access, &query)?;
    let place = Place::asked(&request, query.get("after"))?;
    let follower = Follower::start(&ctx, request, filter, place).await?;
    Ok(follower.answer(|event| {
        format!(
            "id: {}\nevent: {}\ndata: {}\n\n",
            Cursor(event.sequence),
            event.kind,
            envelope(event)
        )
    }))
}

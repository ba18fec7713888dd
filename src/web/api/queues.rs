//! `/queues`: named consumers that fetch their events.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use super::tag::IfMatch;
use super::webhooks::{projects, refused};
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::delivery::queue::{self, MAX_LEASE, MAX_SECONDS, Queue, QueueInput, Seek, Settled};
use crate::event::{Cursor, envelope};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, id, input, integer, list_of, object, text, time};
use crate::web::route::{Guard, Route};

/// Looking at queues, and consuming: whoever may read the log may also take from it in order.
const READ: Guard = Guard::Scope(Scope::EventsRead);
/// Making, changing and removing them: another app's place in the log goes with its queue.
const MANAGE: Guard = Guard::Scope(Scope::WebhooksManage);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/queues", READ, || web::to(list)).doc(|| Doc::new("List queues").lists(schema())),
    Route::post("/api/v1/queues", MANAGE, || web::to(create)).doc(|| {
        Doc::new("Make a queue")
            .about("It gets what happens from now on; `seek` sets it to another place.")
            .takes(taken(&["name"]))
            .answers(201, "The new queue", schema())
            .tagged()
    }),
    Route::get("/api/v1/queues/{id}", READ, || web::to(get)).doc(|| {
        Doc::new("Show a queue")
            .about("`{id}` may be its name, here and below.")
            .answers(200, "The queue", schema())
            .tagged()
    }),
    Route::patch("/api/v1/queues/{id}", MANAGE, || web::to(update)).doc(|| {
        Doc::new("Change a queue")
            .takes(taken(&[]))
            .answers(200, "The changed queue", schema())
            .tagged()
    }),
    Route::delete("/api/v1/queues/{id}", MANAGE, || web::to(delete)).doc(|| {
        Doc::new("Remove a queue").answers_nothing(204, "It is gone").tagged()
    }),
    Route::post("/api/v1/queues/{id}/lease", READ, || web::to(lease)).doc(|| {
        Doc::new("Lend events of a queue")
            .about(
                "Up to `limit` events for some seconds, one of each ticket at a time, the oldest first. What is not \
                 acknowledged in time is lent again.",
            )
            .takes(input(
                &[],
                [
                    ("limit", integer().at_least(1).at_most(MAX_LEASE).default(50)),
                    ("seconds", integer().at_least(1).at_most(MAX_SECONDS).default(60)),
                ],
            ))
            .answers(
                200,
                "The events",
                object([
                    ("leaseId", text().about("Null if there was nothing").or_null()),
                    ("until", time().or_null()),
                    (
                        "items",
                        list_of(object([
                            ("event", super::events::event_schema()),
                            ("times", integer().about("How often it was lent")),
                        ])),
                    ),
                ]),
            )
            .fails(410, "Events of this queue were older than the retention; `seek` sets it to another place")
    }),
    Route::post("/api/v1/queues/{id}/ack", READ, || web::to(ack)).doc(|| {
        Doc::new("Acknowledge lent events")
            .takes(input(&["leaseId", "eventIds"], settle_members()))
            .answers(200, "What was done, and what was not under this lease any more", settled_schema())
    }),
    Route::post("/api/v1/queues/{id}/nack", READ, || web::to(nack)).doc(|| {
        Doc::new("Give lent events back")
            .takes(input(
                &["leaseId", "eventIds"],
                settle_members().into_iter().chain([(
                    "seconds",
                    integer().at_least(0).at_most(MAX_SECONDS).about("When they are lent again").default(0),
                )]),
            ))
            .answers(200, "What was done, and what was not under this lease any more", settled_schema())
    }),
    Route::post("/api/v1/queues/{id}/seek", READ, || web::to(seek)).doc(|| {
        Doc::new("Set a queue to another place")
            .about("What waited or was out is forgotten.")
            .takes(input(
                &["to"],
                [("to", text().about("`oldest`, `latest`, or the `cursor` of an event"))],
            ))
            .answers(200, "Where it is now", object([("cursor", text())]))
            .if_match()
            .fails(410, "Events behind this place were older than the retention")
    }),
];

fn settle_members() -> Vec<(&'static str, Schema)> {
    vec![
        ("leaseId", text()),
        ("eventIds", list_of(text()).at_most(MAX_LEASE)),
    ]
}

fn settled_schema() -> Schema {
    object([("done", list_of(id("evt"))), ("lost", list_of(text()))])
}

fn taken(required: &[&str]) -> Schema {
    input(
        required,
        [
            ("name", text().at_most(80)),
            ("description", text().at_most(500)),
            (
                "types",
                list_of(text()).about("Types and families such as `ticket.*`; empty for all"),
            ),
            ("projectIds", list_of(id("prj")).about("Null for the whole site")),
        ],
    )
}

fn schema() -> Schema {
    object([
        ("id", id("que")),
        ("name", text()),
        ("description", text().or_null()),
        ("types", list_of(text())),
        ("projectIds", list_of(id("prj")).or_null()),
        (
            "cursor",
            text().about("Up to where the log was looked through for it"),
        ),
        (
            "waiting",
            integer().about("Events that were looked at and are not acknowledged"),
        ),
        ("lent", integer().about("Those of them that are out")),
        ("lastLeasedAt", time().or_null()),
        ("createdAt", time()),
        ("updatedAt", time()),
    ])
}

async fn show(ctx: &Ctx, queue: &Queue) -> Result<Value, Problem> {
    let (waiting, lent) = queue::load(ctx, queue).await.map_err(refused)?;
    Ok(json!({
        "id": queue.id,
        "name": queue.name,
        "description": output::text(&queue.description),
        "types": queue.type_patterns(),
        "projectIds": queue.scope().0,
        "cursor": Cursor(queue.position).to_string(),
        "waiting": waiting,
        "lent": lent,
        "lastLeasedAt": output::time(queue.last_leased_at),
        "createdAt": rfc3339(queue.created_at),
        "updatedAt": rfc3339(queue.updated_at),
    }))
}

fn read(access: &Access, input: &mut Input, is_new: bool) -> QueueInput {
    QueueInput {
        name: input.text("name"),
        description: input
            .mentions("description")
            .then(|| input.text("description").unwrap_or_default()),
        types: input
            .mentions("types")
            .then(|| input.texts("types").unwrap_or_default()),
        projects: projects(access, Scope::WebhooksManage, input, is_new),
    }
}

async fn find(ctx: &Ctx, access: &Access, id: &str) -> Result<Queue, Problem> {
    queue::get(ctx, &access.projects(), id).await.map_err(refused)
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let mut shown = Vec::new();
    for queue in queue::list(&ctx, &access.projects()).await.map_err(refused)? {
        shown.push((queue.id.clone(), show(&ctx, &queue).await?));
    }
    Ok(output::list_from_all(
        &query,
        shown,
        |(id, _)| id,
        |(_, shown)| shown.clone(),
    ))
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let wanted = read(&access, &mut input, true);
    input.finish()?;
    let made = queue::create(&ctx, access.actor(), wanted)
        .await
        .map_err(refused)?;
    let path = format!("/api/v1/queues/{}", made.id);
    Ok(output::created(&path, made.revision, show(&ctx, &made).await?))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access, &id).await?;
    Ok(output::tagged(found.revision, show(&ctx, &found).await?))
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
        let old = find(&ctx, &access, &id).await?;
        seen.check(old.revision)?;
        let wanted = read(&access, &mut input, false);
        input.finish()?;
        let new = queue::update(&ctx, &old, wanted).await.map_err(refused)?;
        Ok(output::tagged(new.revision, show(&ctx, &new).await?))
    })
    .await
}

async fn delete(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let old = find(&ctx, &access, &id).await?;
        seen.check(old.revision)?;
        queue::delete(&ctx, &old).await.map_err(refused)?;
        Ok(output::done())
    })
    .await
}

async fn lease(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access, &id).await?;
    let limit = input.integer("limit").unwrap_or(50);
    let seconds = input.integer("seconds").unwrap_or(60);
    input.finish()?;
    let lent = queue::lease(&ctx, &found, limit, seconds)
        .await
        .map_err(refused)?;
    let items: Vec<Value> = lent
        .events
        .iter()
        .map(|(event, times)| json!({ "event": envelope(event), "times": times }))
        .collect();
    Ok(HttpResponse::Ok().json(json!({
        "leaseId": output::text(&lent.lease_id),
        "until": output::time((!items.is_empty()).then_some(lent.until)),
        "items": items,
    })))
}

fn answer(settled: Settled) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "done": settled.done, "lost": settled.lost }))
}

async fn ack(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access, &id).await?;
    let lease_id = input.required_text("leaseId");
    let events = input.texts("eventIds").unwrap_or_default();
    input.finish()?;
    queue::ack(&ctx, &found, &lease_id, &events)
        .await
        .map(answer)
        .map_err(refused)
}

async fn nack(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access, &id).await?;
    let lease_id = input.required_text("leaseId");
    let events = input.texts("eventIds").unwrap_or_default();
    let seconds = input.integer("seconds").unwrap_or(0);
    input.finish()?;
    queue::nack(&ctx, &found, &lease_id, &events, seconds)
        .await
        .map(answer)
        .map_err(refused)
}

async fn seek(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    input: Input,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let found = find(&ctx, &access, &id).await?;
        let seen = seen.seen(found.revision)?;
        let to = match input.required_text("to").as_str() {
            "oldest" => Some(Seek::Oldest),
            "latest" => Some(Seek::Latest),
            text => Cursor::parse(text).map(Seek::After),
        };
        if to.is_none() {
            input.problem(
                "to",
                "bad_cursor",
                "`to` must be oldest, latest or the `cursor` of an event",
            );
        }
        input.finish()?;
        let cursor = queue::seek(&ctx, &found, to.unwrap_or(Seek::Oldest), seen)
            .await
            .map_err(refused)?;
        Ok(HttpResponse::Ok().json(json!({ "cursor": cursor.to_string() })))
    })
    .await
}

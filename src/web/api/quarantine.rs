//! `/messages/{id}/explanation`, `/messages/{id}/reprocess` and `/quarantine`: how a message came to where it is, and
//! what a person or an app decides about it.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use super::output;
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::jobs::{self, Cause, ReprocessError};
use crate::message::{self, Message, MessageError, Reason};
use crate::web::error::Problem;
use crate::web::explanation::Explanation;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{
    Schema, anything, boolean, id, integer, list_of, object, text, time, word,
};
use crate::web::route::{Guard, Route};

const READ: Guard = Guard::Scope(Scope::MessagesRead);
const WRITE: Guard = Guard::Scope(Scope::TicketsWrite);

const NOT_NOW: &str = "It does not fit where the message stands";

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/messages/{id}/explanation", READ, || web::to(explain)).doc(|| {
        Doc::new("Explain a message")
            .about("When it was received, parsed, classified, which rules fitted, how its ticket was found, and what \\
                    the mail server was told.")
            .answers(200, "The explanation", explanation_schema())
    }),
    Route::post("/api/v1/messages/{id}/reprocess", WRITE, || web::to(reprocess)).doc(|| {
        Doc::new("Process a message again")
            .about(
                "From the stored bytes, with the rules of now. A message in a ticket stays there; nothing is sent. \\
                 Can be repeated.",
            )
            .answers(200, "Where it stands now", standing())
            .fails(409, NOT_NOW)
    }),
    Route::get("/api/v1/quarantine", READ, || web::to(list)).doc(|| {
        Doc::new("List messages in quarantine")
            .query("projectId", text(), "Only of this project")
            .query("reason", word(&["unreadable", "too_large", "rule"]), "Only for this reason")
            .lists(standing())
    }),
    Route::post("/api/v1/quarantine/{id}/release", WRITE, || web::to(release)).doc(|| {
        Doc::new("Release a message from quarantine")
            .about(
                "One that a rule sent there becomes a ticket, and no rule may hold or drop it. One that has a ticket \\
                 stays as it is and leaves the list.",
            )
            .answers(200, "Where it stands now", standing())
            .fails(409, NOT_NOW)
    }),
    Route::post("/api/v1/quarantine/{id}/drop", WRITE, || web::to(drop_it)).doc(|| {
        Doc::new("Drop a message from quarantine")
            .about("Only one without a ticket. Its bytes stay, and it can be processed again.")
            .answers(200, "Where it stands now", standing())
            .fails(409, NOT_NOW)
    }),
    Route::post("/api/v1/quarantine/{id}/fetch", WRITE, || web::to(fetch)).doc(|| {
        Doc::new("Fetch the rest of a message")
            .about(
                "Of a message of which only the header is here, because it exceeds its mailbox's size limit: the \\
                 whole is fetched if it is still on the mail server, and processed.",
            )
            .answers(200, "Where it stands now", standing())
            .fails(409, NOT_NOW)
            .fails(502, "The mail server does not give it")
    }),
];

/// Where a message stands, as [`show`] writes it.
fn standing() -> Schema {
    object([
        ("messageId", id("msg")),
        ("projectId", id("prj")),
        ("mailboxId", id("mbx")),
        ("subject", text().or_null()),
        ("from", text().or_null()),
        ("size", integer()),
        ("isPartial", boolean()),
        ("receivedAt", time()),
        ("state", text()),
        ("reason", text().or_null()),
        ("since", time().or_null()),
        ("problem", text().or_null()),
        ("ticketId", text().or_null()),
    ])
    .named("MessageStanding")
}

fn show(message: &Message) -> Value {
    json!({
        "messageId": message.id,
        "projectId": message.project_id,
        "mailboxId": message.mailbox_id,
        "subject": output::text(&message.subject),
        "from": output::text(&message.from_email),
        "size": message.size,
        "isPartial": message.is_partial,
        "receivedAt": rfc3339(message.received_at),
        "state": message.state,
        "reason": output::text(&message.quarantine_reason),
        "since": output::time(message.quarantined_at),
        "problem": output::text(&message.problem),
        "ticketId": output::text(&message.ticket_id),
    })
}

fn explanation_schema() -> Schema {
    let received = object([
        ("at", time()),
        ("mailboxId", id("mbx")),
        ("folder", text()),
        ("uid", integer()),
        ("uidValidity", integer()),
        ("size", integer()),
        ("isPartial", boolean()),
    ]);
    let parsed = object([
        ("at", time().or_null()),
        ("attempts", integer()),
        ("problems", list_of(text())),
    ]);
    let classified = object([
        ("kind", text()),
        ("evidence", list_of(text())),
        ("spf", text()),
        ("dkim", text()),
        ("dmarc", text()),
    ]);
    let ticket = object([
        ("at", time().or_null()),
        ("id", text().or_null()),
        ("key", text().or_null()),
        ("resolution", anything()),
    ]);
    let copy = object([("messageId", id("msg")), ("mailboxId", id("mbx")), ("at", time())]);
    let quarantine = object([
        ("reason", text().or_null()),
        ("since", time().or_null()),
        ("problem", text().or_null()),
    ]);
    let server = object([
        ("folder", text()),
        ("uidValidity", integer()),
        ("uid", integer()),
        ("outcome", text()),
        ("told", text().about("`none`, `pending` or `done`")),
        ("at", time()),
    ]);
    let run = object([
        ("number", integer()),
        ("cause", text()),
        ("actor", text()),
        ("beganAt", time()),
        ("parsedAt", time().or_null()),
        ("endedAt", time()),
        ("outcome", text()),
        ("detail", anything()),
    ]);
    object([
        ("messageId", id("msg")),
        ("projectId", id("prj")),
        ("state", text()),
        ("received", received),
        ("parsed", parsed),
        ("classified", classified),
        ("rules", anything()),
        ("ticket", ticket),
        (
            "alsoArrived",
            list_of(copy).about("The same mail in other mailboxes of the project, shown by the same entry"),
        ),
        ("quarantine", quarantine),
        ("server", list_of(server)),
        ("runs", list_of(run)),
    ])
    .named("MessageExplanation")
}

fn refused(error: ReprocessError) -> Problem {
    match error {
        ReprocessError::NotFound => Problem::not_found("message"),
        ReprocessError::Waiting => Problem::conflict("message_waits", error.to_string()),
        ReprocessError::Unreadable => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "message_unreadable",
            error.to_string(),
        ),
        ReprocessError::NotNow(_) => Problem::conflict("message_state", error.to_string()),
        ReprocessError::Trouble(trouble) => trouble.into(),
        ReprocessError::Db(error) => error.into(),
    }
}

/// The message must be one of theirs before anything is done with it.
async fn check(ctx: &Ctx, access: &Access, id: &str) -> Result<Message, Problem> {
    message::get(ctx, &access.projects(), id)
        .await
        .map_err(|error| match error {
            MessageError::NotFound | MessageError::NoAttachment => Problem::not_found("message"),
            MessageError::Db(error) => error.into(),
        })
}

fn answer(done: Result<Message, ReprocessError>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(show(&done.map_err(refused)?)))
}

async fn explain(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let found = Explanation::load(&ctx, &access.projects(), &id).await?;
    Ok(HttpResponse::Ok().json(found.to_json()))
}

async fn reprocess(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    check(&ctx, &access, &id).await?;
    answer(jobs::reprocess(&ctx, &id, Cause::Again, access.actor()).await)
}

async fn release(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let message = check(&ctx, &access, &id).await?;
    if message.state != "quarantined" {
        return Err(refused(ReprocessError::NotNow(
            "the message is not in quarantine",
        )));
    }
    if message.ticket_id.is_empty() {
        return answer(jobs::reprocess(&ctx, &id, Cause::Release, access.actor()).await);
    }
    answer(jobs::keep_as_it_is(&ctx, &id, access.actor()).await)
}

async fn drop_it(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    check(&ctx, &access, &id).await?;
    answer(jobs::drop_quarantined(&ctx, &id, access.actor()).await)
}

async fn fetch(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    check(&ctx, &access, &id).await?;
    answer(jobs::fetch_rest(&ctx, &id, access.actor()).await)
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let reason = query.get("reason");
    if reason
        .as_deref()
        .is_some_and(|reason| Reason::parse(reason).is_none())
    {
        let known = "`reason` must be unreadable, too_large or rule";
        return Err(Problem::bad_request("bad_reason", known).at("/reason"));
    }
    let projects = match query.get("projectId") {
        Some(project) => access.projects().only(&project),
        None => access.projects(),
    };
    let after = query.after.as_deref();
    let found = message::quarantined(
        ctx.db.read(),
        &projects,
        reason.as_deref(),
        after,
        query.limit + 1,
    )
    .await?;
    Ok(output::list_of(&query, found, |message| &message.id, show))
}

//! `/tickets/{id}/replies`: answers by mail.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::input::{Input, Query};
use super::once;
use super::outgoing::{refused, schema, show};
use super::output;
use super::tag::IfMatch;
use crate::access::{Access, Scope};
use crate::ctx::Ctx;
use crate::message;
use crate::outbox::{self, Answer, Outgoing};
use crate::smtp::{Address, File, tidy_name};
use crate::ticket::{self, Ticket, TicketError, TicketState};
use crate::web::error::Problem;
use crate::web::extract::Bearer;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, input, list_of, text, word};
use crate::web::people;
use crate::web::route::{Guard, Route};

/// Largest request, bytes: a mail of 25 MiB with its files in base64, and some room.
const MAX_BODY: usize = 28 * 1024 * 1024;

pub(super) const ROUTES: &[Route] = &[
    Route::post(
        "/api/v1/tickets/{id}/replies",
        Guard::Scope(Scope::MessagesSend),
        || web::to(create),
    )
    .sends_mail()
    .doc(|| {
        Doc::new("Answer in a ticket")
            .about(
                "Sends a mail through the account of the mailbox the conversation came in through. It is queued and \
                 tried again; the entry is in the ticket at once.",
            )
            .takes(sent())
            .up_to(MAX_BODY)
            .answers(202, "The reply, queued", schema())
            .fails(409, "no mailbox of the project sends")
    }),
    Route::get(
        "/api/v1/tickets/{id}/replies",
        Guard::Scope(Scope::TicketsRead),
        || web::to(list),
    )
    .doc(|| {
        Doc::new("List a ticket's replies")
            .about("Oldest first.")
            .lists(schema())
    }),
    Route::get(
        "/api/v1/tickets/{id}/replies/{reply}",
        Guard::Scope(Scope::TicketsRead),
        || web::to(get),
    )
    .doc(|| {
        Doc::new("Show a reply")
            .answers(200, "The reply, and how far it got", schema())
            .tagged()
    }),
    Route::post(
        "/api/v1/tickets/{id}/replies/{reply}/retry",
        Guard::Scope(Scope::MessagesSend),
        || web::to(retry),
    )
    .sends_mail()
    .doc(|| {
        Doc::new("Try a reply again")
            .answers(200, "The reply, queued", schema())
            .tagged()
            .if_match()
            .fails(409, "it is being sent, or was sent or taken back")
    }),
    Route::post(
        "/api/v1/tickets/{id}/replies/{reply}/cancel",
        Guard::Scope(Scope::MessagesSend),
        || web::to(cancel),
    )
    .doc(|| {
        Doc::new("Take a reply back")
            .answers(200, "The reply, cancelled", schema())
            .tagged()
            .if_match()
            .fails(409, "it is being sent, or is done with")
    }),
];

fn sent() -> Schema {
    let address = || input(&["email"], [("name", text()), ("email", text())]);
    input(
        &[],
        [
            ("text", text().about("Made from `html` if it is missing")),
            ("html", text().about("Sanitised before it is sent")),
            ("subject", text().about("The ticket's if it is missing")),
            ("to", list_of(address()).about("The requester if it is missing")),
            ("cc", list_of(address())),
            (
                "quote",
                boolean()
                    .about("Whether the newest mail of the ticket is quoted below; needs `messages:read`"),
            ),
            (
                "state",
                word(&["open", "pending", "closed"])
                    .about("The ticket's state from then on; it stays if it is missing"),
            ),
            (
                "attachments",
                list_of(input(
                    &[],
                    [
                        ("name", text()),
                        ("type", text().example("application/pdf")),
                        ("data", text().about("Base64")),
                        (
                            "blobId",
                            text().about(
                                "In place of `data`: the blob of a message or of one of its attachments",
                            ),
                        ),
                    ],
                )),
            ),
        ],
    )
}

async fn create(
    ctx: web::Data<Ctx>,
    access: Access,
    bearer: Bearer,
    request: HttpRequest,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let ticket = visible(&ctx, &access, &id).await?;
    let mut answer = Answer {
        text: input.text("text").unwrap_or_default(),
        html: input.text("html"),
        subject: input.text("subject").filter(|subject| !subject.trim().is_empty()),
        to: addresses(&mut input, "to"),
        cc: addresses(&mut input, "cc"),
        files: Vec::new(),
        quote: input.boolean("quote").unwrap_or_default(),
        then: input.word("state", TicketState::parse, "open, pending, closed"),
        once: once::name(&request),
        // Whoever may answer but not read must not read by answering.
        carries_nothing: !access.may(Scope::MessagesRead, &ticket.project_id),
    };
    if answer.quote && answer.carries_nothing {
        return Err(Problem::forbidden(
            "insufficient_scope",
            "`quote` sends what was written: it needs the scope messages:read",
        )
        .needs_scope(Scope::MessagesRead));
    }
    if answer
        .subject
        .as_deref()
        .is_some_and(|text| text.chars().any(char::is_control))
    {
        input.problem(
            "subject",
            "invalid",
            "a subject is one line of printable characters",
        );
    }
    answer.files = files(&ctx, &access, &mut input).await?;
    input.finish()?;
    let author = people::author(&ctx, &bearer.0).await?;
    let reply = outbox::reply(
        &ctx,
        access.actor(),
        &author,
        &access.projects(),
        &ticket.id,
        answer,
    )
    .await
    .map_err(refused)?;
    let path = format!("/api/v1/tickets/{}/replies/{}", ticket.id, reply.id);
    Ok(HttpResponse::Accepted()
        .insert_header((header::LOCATION, path))
        .json(show(&reply)))
}

/// The ticket, by id or key, if the asker may see it.
async fn visible(ctx: &Ctx, access: &Access, id: &str) -> Result<Ticket, Problem> {
    match ticket::present(ctx, &access.projects(), id).await {
        Ok(ticket) => Ok(ticket),
        Err(TicketError::NotFound) => Err(Problem::not_found("ticket")),
        Err(error) => Err(Problem::internal(&error)),
    }
}

fn addresses(input: &mut Input, name: &'static str) -> Vec<Address> {
    let mut all = Vec::new();
    for (position, item) in input.objects(name).unwrap_or_default().iter().enumerate() {
        let member = |member: &str| item.get(member).and_then(Value::as_str).unwrap_or_default();
        match Address::new(name, member("name"), member("email")) {
            Ok(address) => all.push(address),
            Err(error) => input.problem(&format!("{name}/{position}/email"), error.code, error.message),
        }
    }
    all
}

async fn files(ctx: &Ctx, access: &Access, input: &mut Input) -> Result<Vec<File>, Problem> {
    let mut all = Vec::new();
    for (position, item) in input
        .objects("attachments")
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let found = match (text_of(item, "data"), text_of(item, "blobId")) {
            (Some(data), None) => of_data(item, data),
            (None, Some(blob)) => of_blob(ctx, access, item, blob).await?,
            _ => Err("give either `data` or `blobId`"),
        };
        match found {
            Ok(file) => all.push(file),
            Err(text) => input.problem(&format!("attachments/{position}"), "invalid", text),
        }
    }
    Ok(all)
}

fn text_of<'a>(item: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    item.get(name).and_then(Value::as_str)
}

fn of_data(item: &Map<String, Value>, data: &str) -> Result<File, &'static str> {
    let bytes = STANDARD
        .decode(data.trim())
        .map_err(|_| "`data` must be base64")?;
    let name = text_of(item, "name").ok_or("a file has a `name`")?;
    Ok(File {
        name: name.to_owned(),
        content_type: text_of(item, "type")
            .unwrap_or("application/octet-stream")
            .to_owned(),
        bytes,
    })
}

/// A blob is a message's id, or that and a part's.
async fn of_blob(
    ctx: &Ctx,
    access: &Access,
    item: &Map<String, Value>,
    blob: &str,
) -> Result<Result<File, &'static str>, Problem> {
    const NO_BLOB: &str = "there is no such blob";
    let (id, part) = blob
        .split_once('-')
        .map_or((blob, None), |(id, part)| (id, Some(part)));
    // Whoever may answer but not read must not read by answering.
    let projects = access.projects_with(Scope::MessagesRead);
    let file = match part {
        None => message::raw(ctx, &projects, id).await.map(|bytes| (None, bytes)),
        Some(part) => message::attachment(ctx, &projects, id, part)
            .await
            .map(|found| (found.name, found.bytes)),
    };
    let (own_name, bytes) = match file {
        Ok(file) => file,
        Err(message::MessageError::Db(error)) => return Err(error.into()),
        Err(_) => return Ok(Err(NO_BLOB)),
    };
    let name = text_of(item, "name").map(str::to_owned).or(own_name);
    Ok(Ok(File {
        // A name that came with a mail may hold anything.
        name: name.map_or_else(|| "mail.eml".to_owned(), |name| tidy_name(&name)),
        content_type: text_of(item, "type")
            .unwrap_or("application/octet-stream")
            .to_owned(),
        bytes,
    }))
}

async fn list(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let ticket = visible(&ctx, &access, &id).await?;
    let after = query.after.as_deref();
    let found = outbox::replies_of(ctx.db.read(), &ticket.id, after, query.limit + 1).await?;
    Ok(output::list_of(&query, found, |mail| &mail.id, show))
}

async fn of_ticket(ctx: &Ctx, access: &Access, path: &(String, String)) -> Result<Outgoing, Problem> {
    let ticket = visible(ctx, access, &path.0).await?;
    let found = outbox::get(ctx, &path.1).await.map_err(refused)?;
    if found.ticket_id == ticket.id && found.is_reply() {
        Ok(found)
    } else {
        Err(Problem::not_found("reply"))
    }
}

async fn get(
    ctx: web::Data<Ctx>,
    access: Access,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let found = of_ticket(&ctx, &access, &path).await?;
    Ok(output::tagged(found.revision, show(&found)))
}

async fn retry(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let found = of_ticket(&ctx, &access, &path).await?;
        let seen = seen.seen(found.revision)?;
        let again = outbox::retry(&ctx, access.actor(), &found.id, seen)
            .await
            .map_err(refused)?;
        Ok(output::tagged(again.revision, show(&again)))
    })
    .await
}

async fn cancel(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let found = of_ticket(&ctx, &access, &path).await?;
        let seen = seen.seen(found.revision)?;
        let gone = outbox::cancel(&ctx, access.actor(), &found.id, seen)
            .await
            .map_err(refused)?;
        Ok(output::tagged(gone.revision, show(&gone)))
    })
    .await
}

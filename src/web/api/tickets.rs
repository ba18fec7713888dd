//! `/tickets`: what messages became, and what people made of it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Input, Query, bad_cursor};
use super::tag::{IfMatch, changed_meanwhile};
use super::{once, output};
use crate::access::{Access, Projects, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::project;
use crate::ticket::{
    self, Entry, NewTicket, Priority, Sort, Ticket, TicketChange, TicketDetail, TicketError, TicketFilter,
    TicketState,
};
use crate::web::error::Problem;
use crate::web::extract::Bearer;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, id, input, integer, list_of, map, object, text, time, word};
use crate::web::people;
use crate::web::route::{Guard, Route};

const STATES: [&str; 3] = ["open", "pending", "closed"];
const PRIORITIES: [&str; 4] = ["low", "normal", "high", "urgent"];

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/tickets", Guard::Scope(Scope::TicketsRead), || {
        web::to(list)
    })
    .doc(|| {
        Doc::new("List tickets")
            .about("The one that changed last comes first, unless `sort` says otherwise.")
            .query("project", text(), "Only of this project: its key or id")
            .query("projectId", text(), "The same as `project`")
            .query("state", word(&STATES), "Only in this state")
            .query(
                "assigneeId",
                text(),
                "Only of this person; `none` for those of nobody",
            )
            .query("label", text(), "Only with this label")
            .query("priority", word(&PRIORITIES), "Only of this priority")
            .query("mailboxId", text(), "Only with a message of this mailbox")
            .query(
                "q",
                text(),
                "A question in the language of the search page, for example `printer from:ada is:open`: tickets of \
                 which one document (itself, a message, an answer, a note) has all of these words",
            )
            .query(
                "sort",
                word(&["updated", "waiting", "created", "priority"]),
                "The order: latest change first, longest untouched first, newest first, most urgent first",
            )
            .lists(frame_schema().and("entryCount", integer()))
    }),
    Route::post("/api/v1/tickets", Guard::Scope(Scope::TicketsWrite), || {
        web::to(create)
    })
    .doc(|| {
        Doc::new("Open a ticket")
            .about("For what did not come by mail. Nobody is written to.")
            .takes(input(
                &["projectId", "subject"],
                [
                    ("projectId", text().about("The project: its id or key")),
                    ("subject", text()),
                    (
                        "requester",
                        map(text()).about("`name` and `email` of who asked").or_null(),
                    ),
                    ("note", text().about("The first entry, an internal note").or_null()),
                    ("state", word(&STATES)),
                    ("assigneeId", text().or_null()),
                    ("labels", list_of(text())),
                    ("priority", word(&PRIORITIES)),
                ],
            ))
            .answers(201, "The new ticket with its entries", whole_schema())
            .tagged()
    }),
    Route::get("/api/v1/tickets/{id}", Guard::Scope(Scope::TicketsRead), || {
        web::to(get)
    })
    .doc(|| {
        Doc::new("Show a ticket")
            .about("By its id or its key. Of a merged ticket, the one it was merged into: see `mergedKeys`.")
            .answers(200, "The ticket with its entries", whole_schema())
            .tagged()
    }),
    Route::patch("/api/v1/tickets/{id}", Guard::Scope(Scope::TicketsWrite), || {
        web::to(update)
    })
    .doc(|| {
        Doc::new("Change a ticket")
            .about(
                "What is not sent stays. What is different then is in one `ticket.updated` event. Labels are made \
                 lower case; `assigneeId` is somebody who may work in the project, or null.",
            )
            .takes(input(
                &[],
                [
                    ("state", word(&STATES)),
                    ("assigneeId", text().or_null()),
                    ("labels", list_of(text())),
                    ("priority", word(&PRIORITIES)),
                    ("subject", text()),
                ],
            ))
            .answers(200, "The changed ticket with its entries", whole_schema())
            .tagged()
    }),
    Route::post(
        "/api/v1/tickets/{id}/merge",
        Guard::Scope(Scope::TicketsWrite),
        || web::to(merge),
    )
    .doc(|| {
        Doc::new("Merge a ticket into another")
            .about(
                "Everything in it moves to the other ticket of the same project, which is answered. From then on its id \
                 and its key lead there; its key is in `mergedKeys`. Merging again changes nothing.",
            )
            .takes(input(
                &["into"],
                [("into", text().about("Id or key of the ticket that is left"))],
            ))
            .answers(200, "The ticket that is left", whole_schema())
            .tagged()
            .if_match()
    }),
    Route::post(
        "/api/v1/tickets/{id}/notes",
        Guard::Scope(Scope::TicketsWrite),
        || web::to(note),
    )
    .doc(|| {
        Doc::new("Add a note")
            .about("An internal entry. It is never mailed to anybody, and changes no state.")
            .takes(input(&["text"], [("text", text())]))
            .answers(201, "The new entry", entry_schema())
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
        ("state", word(&STATES)),
        ("assigneeId", text().or_null()),
        ("labels", list_of(text())),
        ("priority", word(&PRIORITIES)),
        ("createdAt", time()),
        ("updatedAt", time()),
    ])
}

/// A ticket as [`show`] writes it.
pub(super) fn whole_schema() -> Schema {
    let person = object([
        ("email", text()),
        (
            "role",
            text().about("Where the address stood first: `from`, `to` or `cc`"),
        ),
    ]);
    let related = object([
        ("ticketId", id("tkt")),
        ("key", text()),
        ("subject", text()),
        ("state", text()),
        ("kind", text().about("`possibly_related` or `split`")),
    ]);
    frame_schema()
        .and("entries", list_of(entry_schema()))
        .and("participants", list_of(person))
        .and("related", list_of(related))
        .and("mergedKeys", list_of(text()))
}

/// An entry as [`entry`] writes it.
pub(super) fn entry_schema() -> Schema {
    object([
        ("id", id("ent")),
        ("kind", text()),
        ("messageId", text().or_null()),
        ("author", text()),
        (
            "text",
            text()
                .about("Of an answer or a note; null for a message")
                .or_null(),
        ),
        ("createdAt", time()),
    ])
    .named("Entry")
}

/// A ticket without its entries.
fn frame(ticket: &Ticket) -> Value {
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
        "labels": ticket::labels_of(ticket),
        "priority": ticket.priority,
        "createdAt": rfc3339(ticket.created_at),
        "updatedAt": rfc3339(ticket.updated_at),
    })
}

/// A ticket as in lists.
pub(super) fn brief(ticket: &Ticket) -> Value {
    with(frame(ticket), "entryCount", ticket.entry_count.into())
}

fn with(mut ticket: Value, name: &str, value: Value) -> Value {
    if let Some(members) = ticket.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
    ticket
}

pub(super) fn entry(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "kind": entry.kind,
        "messageId": entry.message_id,
        "author": entry.author,
        "text": output::text(&entry.body),
        "createdAt": rfc3339(entry.created_at),
    })
}

/// A ticket with everything in it.
pub(super) fn show(found: &TicketDetail) -> Value {
    let related = found.related.iter().map(|other| {
        json!({
            "ticketId": other.ticket_id, "key": other.key, "subject": other.subject, "state": other.state,
            "kind": other.kind,
        })
    });
    let participants = found
        .participants
        .iter()
        .map(|person| json!({ "email": person.address, "role": person.role }));
    let mut shown = frame(&found.ticket);
    for (name, value) in [
        ("entries", found.entries.iter().map(entry).collect()),
        ("participants", participants.collect()),
        ("related", related.collect()),
        ("mergedKeys", json!(found.merged)),
    ] {
        shown = with(shown, name, value);
    }
    shown
}

pub(super) fn refused(error: TicketError) -> Problem {
    match error {
        TicketError::NotFound => Problem::not_found("ticket"),
        TicketError::BadCursor => bad_cursor(),
        TicketError::Conflict => changed_meanwhile(),
        TicketError::Invalid(errors) => output::invalid(errors.into_iter().map(|error| {
            let field = match error.field {
                "requesterName" => "requester/name",
                "requesterEmail" => "requester/email",
                field => field,
            };
            (field, error.code, error.message)
        })),
        TicketError::Db(error) => error.into(),
    }
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let one_of = |name: &str, is_known: fn(&str) -> bool, known: &str| match query.get(name) {
        Some(value) if !is_known(&value) => Err(Problem::bad_request(
            &format!("bad_{name}"),
            format!("`{name}` must be {known}"),
        )
        .at(format!("/{name}"))),
        value => Ok(value),
    };
    let state = one_of(
        "state",
        |text| TicketState::parse(text).is_some(),
        "open, pending or closed",
    )?;
    let priority = one_of(
        "priority",
        |text| Priority::parse(text).is_some(),
        "low, normal, high or urgent",
    )?;
    let sort = one_of(
        "sort",
        |text| Sort::parse(text).is_some(),
        "updated, waiting, created or priority",
    )?;
    let filter = TicketFilter {
        state,
        priority,
        project_id: match query.get("project").or_else(|| query.get("projectId")) {
            Some(named) => Some(project_id(&ctx, &access.projects(), named).await?),
            None => None,
        },
        // `none` is nobody; an id is never that short.
        assignee_id: query
            .get("assigneeId")
            .map(|id| if id == "none" { String::new() } else { id }),
        label: query.get("label"),
        mailbox_id: query.get("mailboxId"),
        text: query.get("q"),
        asker_id: access.user_id().map(str::to_owned),
        projects: access.projects(),
        sort: sort.as_deref().and_then(Sort::parse).unwrap_or_default(),
        after: query.after.clone(),
    };
    let page = ticket::list(&ctx, &filter, query.limit).await.map_err(refused)?;
    let items = page.items.iter().map(brief).collect();
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

/// A ticket by its id or its key.
pub(super) async fn find(ctx: &Ctx, projects: &Projects, named: &str) -> Result<TicketDetail, Problem> {
    let found = match ticket::get(ctx, projects, named).await {
        Err(TicketError::NotFound) => ticket::get_by_key(ctx, projects, named).await,
        other => other,
    };
    found.map_err(refused)
}

fn whole(detail: &TicketDetail) -> HttpResponse {
    output::tagged(detail.ticket.revision, show(detail))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    Ok(whole(&find(&ctx, &access.projects(), &id).await?))
}

/// What a body says about state, assignee, labels, priority and subject.
async fn read_change(ctx: &Ctx, input: &mut Input, project_id: &str) -> Result<TicketChange, Problem> {
    let change = TicketChange {
        state: input.word("state", TicketState::parse, "open, pending, closed"),
        priority: input.word("priority", Priority::parse, "low, normal, high, urgent"),
        assignee_id: input
            .mentions("assigneeId")
            .then(|| input.text("assigneeId").unwrap_or_default()),
        labels: input
            .mentions("labels")
            .then(|| input.texts("labels").unwrap_or_default()),
        subject: input
            .mentions("subject")
            .then(|| input.text("subject").unwrap_or_default()),
    };
    if let Some(id) = &change.assignee_id
        && !people::may_be_assigned(ctx, project_id, id).await?
    {
        input.problem(
            "assigneeId",
            "not_assignable",
            "`assigneeId` must be null or somebody who may work in the project",
        );
    }
    Ok(change)
}

async fn update(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let old = ticket::present(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    let seen = seen.seen(old.revision)?;
    let change = read_change(&ctx, &mut input, &old.project_id).await?;
    input.finish()?;
    ticket::change(&ctx, access.actor(), &old.id, seen, &change)
        .await
        .map_err(refused)?;
    Ok(whole(&find(&ctx, &access.projects(), &old.id).await?))
}

async fn create(
    ctx: web::Data<Ctx>,
    access: Access,
    bearer: Bearer,
    request: HttpRequest,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let project_id = project_id(&ctx, &access.projects(), input.required_text("projectId")).await?;
    let requester = input.text_map("requester").unwrap_or_default();
    let of = |name: &str| requester.get(name).cloned().unwrap_or_default();
    let new = NewTicket {
        subject: input.required_text("subject"),
        requester_name: of("name"),
        requester_email: of("email"),
        note: input.text("note").unwrap_or_default(),
        change: TicketChange {
            subject: None,
            ..read_change(&ctx, &mut input, &project_id).await?
        },
        project_id,
        once: once::name(&request),
    };
    if !new.project_id.is_empty() && !access.projects().contains(&new.project_id) {
        input.problem("projectId", "not_found", "there is no such project");
    }
    input.finish()?;
    let author = people::author(&ctx, &bearer.0).await?;
    let made = ticket::open(&ctx, access.actor(), &author, &new)
        .await
        .map_err(refused)?;
    let detail = find(&ctx, &access.projects(), &made.id).await?;
    Ok(output::created(
        &format!("/api/v1/tickets/{}", made.id),
        detail.ticket.revision,
        show(&detail),
    ))
}

async fn merge(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let projects = access.projects();
    let source = ticket::as_it_is(&ctx, &projects, &id).await.map_err(refused)?;
    let into = input.required_text("into");
    input.finish()?;
    let seen = match source.merged_into.as_str() {
        "" => seen.seen(source.revision)?,
        // It is done already, and nothing is changed.
        _ => None,
    };
    let left = ticket::merge(&ctx, &projects, access.actor(), &source.id, into.trim(), seen)
        .await
        .map_err(refused)?;
    Ok(whole(&find(&ctx, &projects, &left.id).await?))
}

async fn note(
    ctx: web::Data<Ctx>,
    access: Access,
    bearer: Bearer,
    request: HttpRequest,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let ticket = ticket::present(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    let text = input.required_text("text");
    input.finish()?;
    let author = people::author(&ctx, &bearer.0).await?;
    let (ticket, made) = ticket::note(
        &ctx,
        access.actor(),
        &author,
        &ticket.id,
        &text,
        once::name(&request).as_deref(),
    )
    .await
    .map_err(refused)?;
    Ok(output::created(
        &format!("/api/v1/tickets/{}", ticket.id),
        ticket.revision,
        entry(&made),
    ))
}

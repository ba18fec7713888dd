//! `/outgoing-mails`: what is in the outbox, of every kind, and what was tried with it.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Query, bad_cursor};
use super::output;
use super::tag::IfMatch;
use crate::access::{Access, Projects, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::outbox::{self, Attempt, Kind, MailState, OutboxError, Outgoing, OutgoingFilter};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, id, integer, list_of, object, text, time, trouble, word};
use crate::web::route::{Guard, Route};

const STATES: &[&str] = &["queued", "sending", "sent", "failed", "cancelled"];
const KINDS: &[&str] = &["reply", "automatic", "forward", "alert", "notice"];

pub(super) const ROUTES: &[Route] = &[
    Route::get(
        "/api/v1/outgoing-mails",
        Guard::Scope(Scope::MessagesRead),
        || web::to(list),
    )
    .doc(|| {
        Doc::new("List outgoing mails")
            .about("Replies, automatic answers, forwards and alerts, the newest first.")
            .query("state", word(STATES), "Only in this state")
            .query("kind", word(KINDS), "Only of this kind")
            .query("mailboxId", text(), "Only through this mailbox")
            .lists(schema())
    }),
    Route::get(
        "/api/v1/outgoing-mails/{id}",
        Guard::Scope(Scope::MessagesRead),
        || web::to(get),
    )
    .doc(|| {
        Doc::new("Show an outgoing mail")
            .answers(
                200,
                "The mail and every attempt to send it",
                schema().and("attemptLog", list_of(attempt_schema())),
            )
            .tagged()
    }),
    Route::get(
        "/api/v1/outgoing-mails/{id}/raw",
        Guard::Scope(Scope::MessagesRead),
        || web::to(raw),
    )
    .doc(|| Doc::new("Download an outgoing mail").answers_bytes("The mail as it is sent", "message/rfc822")),
    Route::post(
        "/api/v1/outgoing-mails/{id}/retry",
        Guard::Scope(Scope::MessagesSend),
        || web::to(retry),
    )
    .sends_mail()
    .doc(|| {
        Doc::new("Try an outgoing mail again")
            .about("One that failed, or that waits for another attempt. Its Message-ID stays the same.")
            .answers(200, "The mail, queued", schema())
            .tagged()
            .if_match()
            .fails(409, "it is being sent, or was sent or taken back")
    }),
    Route::post(
        "/api/v1/outgoing-mails/{id}/cancel",
        Guard::Scope(Scope::MessagesSend),
        || web::to(cancel),
    )
    .doc(|| {
        Doc::new("Take an outgoing mail back")
            .about("Only while it is queued.")
            .answers(200, "The mail, cancelled", schema())
            .tagged()
            .if_match()
            .fails(409, "it is being sent, or is done with")
    }),
];

/// An outgoing mail as [`show`] writes it.
pub(super) fn schema() -> Schema {
    object([
        ("id", id("out")),
        ("kind", word(KINDS)),
        ("state", word(STATES)),
        ("projectId", text().or_null()),
        ("mailboxId", text().or_null()),
        ("ticketId", text().or_null()),
        ("entryId", text().or_null()),
        (
            "messageId",
            text().about("Its Message-ID, without angle brackets"),
        ),
        ("from", text()),
        ("recipients", list_of(text())),
        ("subject", text()),
        ("size", integer()),
        (
            "attachments",
            list_of(object([("name", text()), ("size", integer())])),
        ),
        ("attempts", integer()),
        (
            "unknownOutcomes",
            integer().about("How often the connection ended before the server said whether it took the mail"),
        ),
        ("error", trouble()),
        ("nextAttemptAt", time().or_null()),
        ("createdAt", time()),
        ("updatedAt", time()),
        ("sentAt", time().or_null()),
    ])
    .named("OutgoingMail")
}

fn attempt_schema() -> Schema {
    object([
        ("number", integer()),
        (
            "outcome",
            word(&[
                "running",
                "sent",
                "refused",
                "postponed",
                "unknown",
                "interrupted",
            ]),
        ),
        ("answer", text().or_null().about("The server's last words")),
        ("errorCode", text().or_null()),
        ("beganAt", time()),
        ("handingOverAt", time().or_null()),
        ("endedAt", time().or_null()),
    ])
}

/// An outgoing mail without its attempts.
pub(super) fn show(mail: &Outgoing) -> Value {
    let waits = mail.state == MailState::Queued.as_str();
    json!({
        "id": mail.id,
        "kind": mail.kind,
        "state": mail.state,
        "projectId": output::text(&mail.project_id),
        "mailboxId": output::text(&mail.mailbox_id),
        "ticketId": output::text(&mail.ticket_id),
        "entryId": output::text(&mail.entry_id),
        "messageId": mail.rfc_message_id,
        "from": mail.sender,
        "recipients": mail.addresses(),
        "subject": mail.subject,
        "size": mail.size,
        "attachments": mail.files(),
        "attempts": mail.attempts,
        "unknownOutcomes": mail.unknown_outcomes,
        "error": output::trouble(mail.trouble().as_ref()),
        "nextAttemptAt": output::time(waits.then_some(mail.next_attempt_at)),
        "createdAt": rfc3339(mail.created_at),
        "updatedAt": rfc3339(mail.updated_at),
        "sentAt": output::time(mail.sent_at),
    })
}

fn show_attempt(attempt: &Attempt) -> Value {
    json!({
        "number": attempt.number,
        "outcome": attempt.outcome,
        "answer": output::text(&attempt.answer),
        "errorCode": output::text(&attempt.error_code),
        "beganAt": rfc3339(attempt.began_at),
        "handingOverAt": output::time(attempt.handing_over_at),
        "endedAt": output::time(attempt.ended_at),
    })
}

pub(super) fn refused(error: OutboxError) -> Problem {
    match error {
        OutboxError::Invalid(error) => output::invalid([(error.field, error.code, error.message)]),
        OutboxError::NotSending(error) => Problem::conflict("sending_not_configured", error.to_string()),
        OutboxError::NoSiteMail(text) => Problem::conflict("site_mail_not_configured", text),
        OutboxError::Changed => super::tag::changed_meanwhile(),
        OutboxError::NotFound => Problem::not_found("outgoing mail"),
        OutboxError::NoTicket => Problem::not_found("ticket"),
        OutboxError::TooLate(text) => Problem::conflict("too_late", text),
        OutboxError::BadCursor => bad_cursor(),
        error @ OutboxError::Sealed(_) => Problem::internal(&error),
        OutboxError::Db(error) => error.into(),
    }
}

/// One that the asker may see. Mails of no project are the site's.
async fn visible(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Outgoing, Problem> {
    let found = outbox::get(ctx, id).await.map_err(refused)?;
    if projects.contains(&found.project_id) {
        Ok(found)
    } else {
        Err(Problem::not_found("outgoing mail"))
    }
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let known = |name: &str, is_known: fn(&str) -> bool| {
        let value = query.get(name);
        match value.as_deref().map(is_known) {
            Some(false) => Err(
                Problem::bad_request("bad_filter", format!("`{name}` has no such value"))
                    .at(format!("/{name}")),
            ),
            _ => Ok(value),
        }
    };
    let filter = OutgoingFilter {
        state: known("state", |word| MailState::parse(word).is_some())?,
        kind: known("kind", |word| Kind::parse(word).is_some())?,
        mailbox_id: query.get("mailboxId"),
        projects: access.projects(),
        of_site: false,
        after: query.after.clone(),
    };
    let page = outbox::list(&ctx, &filter, query.limit).await.map_err(refused)?;
    let items = page.items.iter().map(show).collect();
    Ok(output::list(&query, items, page.next.as_deref()))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let mail = visible(&ctx, &access.projects(), &id).await?;
    let attempts = outbox::attempts_of(ctx.db.read(), &mail.id).await?;
    let mut shown = show(&mail);
    if let Some(members) = shown.as_object_mut() {
        members.insert("attemptLog".into(), attempts.iter().map(show_attempt).collect());
    }
    Ok(output::tagged(mail.revision, shown))
}

async fn raw(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let mail = visible(&ctx, &access.projects(), &id).await?;
    if mail.holds_a_link() {
        return Err(Problem::forbidden(
            "recipients_only",
            outbox::ONLY_FOR_ITS_RECIPIENT,
        ));
    }
    let bytes = outbox::raw(&ctx, &mail.id).await.map_err(refused)?;
    Ok(output::download(
        &format!("{}.eml", mail.id),
        "message/rfc822",
        bytes,
    ))
}

async fn retry(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let old = visible(&ctx, &access.projects(), &id).await?;
        let seen = seen.seen(old.revision)?;
        let mail = outbox::retry(&ctx, access.actor(), &id, seen)
            .await
            .map_err(refused)?;
        Ok(output::tagged(mail.revision, show(&mail)))
    })
    .await
}

async fn cancel(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let old = visible(&ctx, &access.projects(), &id).await?;
        let seen = seen.seen(old.revision)?;
        let mail = outbox::cancel(&ctx, access.actor(), &id, seen)
            .await
            .map_err(refused)?;
        Ok(output::tagged(mail.revision, show(&mail)))
    })
    .await
}

//! `/messages`: mail as received, with the names of JMAP (RFC 8621), and its raw bytes and attachments as files.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Bytes, Query};
use super::message_schema::{self, schema};
use super::output::{self, download};
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::message::{self, Message, MessageError, MessageFilter, SenderVerdict};
use crate::web::error::{FieldProblem, Problem};
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{text, word};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/messages", Guard::Scope(Scope::MessagesRead), || {
        web::to(list)
    })
    .doc(|| {
        Doc::new("List messages")
            .about(
                "From new to old, without their texts: `bodyValues` and `mailgrant.text` are empty, `mailgrant.reply` \
                 and `mailgrant.html` are null.",
            )
            .query("mailboxId", text(), "Only of this mailbox")
            .query("ticketId", text(), "Only in this ticket")
            .query("threadId", text(), "Only of this conversation")
            .query("projectId", text(), "Only of this project")
            .query(
                "state",
                word(&["stored", "ticketed", "quarantined", "dropped"]),
                "Only in this state",
            )
            .lists(schema())
    }),
    Route::get("/api/v1/messages/{id}", Guard::Scope(Scope::MessagesRead), || {
        web::to(get)
    })
    .doc(|| {
        Doc::new("Show a message")
            .about("As JMAP's Email (RFC 8621), with what it has no place for in `mailgrant`.")
            .answers(200, "The message", schema())
    }),
    Route::get(
        "/api/v1/messages/{id}/raw",
        Guard::Scope(Scope::MessagesRead),
        || web::to(raw),
    )
    .doc(|| Doc::new("Download a message as it was received").answers_bytes("RFC 5322", "message/rfc822")),
    Route::post(
        "/api/v1/messages/parse",
        Guard::Scope(Scope::MessagesRead),
        || web::to(parse),
    )
    .only_reads()
    .doc(|| {
        Doc::new("Parse a mail without storing it")
            .about("Send the mail as it is (RFC 5322); nothing of it is kept.")
            .takes_bytes(&["message/rfc822", "application/octet-stream"])
            .up_to(MAX_MAIL_BYTES)
            .answers(200, "The parsed mail", message_schema::parsed())
    }),
    Route::get("/api/v1/threads/{id}", Guard::Scope(Scope::MessagesRead), || {
        web::to(thread)
    })
    .doc(|| {
        Doc::new("Show a conversation")
            .about(
                "Everything of one project that Message-ID, In-Reply-To and References link, whoever sent it. An id that \
                 the conversation had before it grew leads to it, too: `id` is the present one.",
            )
            .answers(200, "As JMAP's Thread, oldest first", message_schema::thread())
    }),
    // Parts inside parts have a slash in their id.
    Route::get(
        "/api/v1/messages/{id}/attached-mails/{part:.*}",
        Guard::Scope(Scope::MessagesRead),
        || web::to(attached_mail),
    )
    .doc(|| {
        Doc::new("Parse an attached mail")
            .about("For attachments of the types message/rfc822 and message/global.")
            .answers(200, "The parsed mail", message_schema::parsed())
            .fails(409, "the attachment is no mail")
    }),
    Route::get(
        "/api/v1/messages/{id}/attachments/{part:.*}",
        Guard::Scope(Scope::MessagesRead),
        || web::to(attachment),
    )
    .doc(|| Doc::new("Download an attachment").answers_bytes("Its bytes", "application/octet-stream")),
];

/// Parsed mails that a list holds at once; each may be megabytes, and little of it is shown.
const PARSED_AT_ONCE: usize = 10;

/// The largest mail that is parsed for somebody.
const MAX_MAIL_BYTES: usize = 32 * 1024 * 1024;

/// A message as JMAP's Email. Before it is parsed, every member is there and empty.
fn show(message: &Message) -> Value {
    let mut shown = serde_json::to_value(mailgrant_mail::ParsedMail::default()).unwrap_or_default();
    let parsed = message::parsed(message);
    merge(&mut shown, parsed);
    let stored = json!({
        "id": message.id,
        "blobId": message.id,
        "threadId": output::text(&message.thread_id),
        "size": message.size,
        "receivedAt": rfc3339(message.received_at),
        "keywords": {},
        "mailgrant": {
            "mailboxId": message.mailbox_id,
            "projectId": message.project_id,
            "folder": message.folder,
            "uid": message.uid,
            "uidValidity": message.uid_validity,
            "internalDate": output::time(message.internal_date),
            "ticketId": output::text(&message.ticket_id),
            "entryId": output::text(&message.entry_id),
            "state": message.state,
            "attempts": message.attempts,
            "isPartial": message.is_partial,
            "problem": output::text(&message.problem),
            "contentHash": message.content_hash,
            "senderVerdict": verdict(&shown),
            "resolution": serde_json::from_str(&message.resolution).unwrap_or(Value::Null),
        },
    });
    merge(&mut shown, stored);
    shown
}

/// What is known of the sender: `verified`, `failed` or `unknown`.
fn verdict(parsed: &Value) -> &'static str {
    serde_json::from_value(parsed.clone())
        .map_or(SenderVerdict::Unknown, |mail| SenderVerdict::of(&mail))
        .as_str()
}

/// Members of `from` win; objects are merged.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(old) if old.is_object() && value.is_object() => merge(old, value),
                    _ => {
                        into.insert(name, value);
                    }
                }
            }
        }
        (into, from) if !from.is_null() => *into = from,
        _ => {}
    }
}

/// The same without the texts: a list of two hundred must not be two hundred mails.
fn brief(message: &Message) -> Value {
    let mut shown = show(message);
    if let Some(members) = shown.as_object_mut() {
        members.insert("bodyValues".into(), json!({}));
        if let Some(extras) = members.get_mut("mailgrant").and_then(Value::as_object_mut) {
            for name in ["reply", "html"] {
                if extras.contains_key(name) {
                    extras.insert(name.into(), Value::Null);
                }
            }
            extras.insert("text".into(), "".into());
        }
    }
    shown
}

pub(super) fn refused(error: MessageError) -> Problem {
    match error {
        MessageError::NotFound => Problem::not_found("message"),
        MessageError::NoAttachment => Problem::not_found("attachment of this message"),
        MessageError::Db(error) => error.into(),
    }
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let filter = MessageFilter {
        projects: access.projects(),
        mailbox_id: query.get("mailboxId"),
        ticket_id: query.get("ticketId"),
        thread_id: query.get("threadId"),
        project_id: query.get("projectId"),
        state: query.get("state"),
        after: query.after.clone(),
    };
    let mut page = message::list_heads(&ctx, &filter, query.limit)
        .await
        .map_err(refused)?;
    let mut items = Vec::with_capacity(page.items.len());
    for part in page.items.chunks_mut(PARSED_AT_ONCE) {
        message::add_parsed(&ctx, part).await.map_err(refused)?;
        for message in part {
            items.push(brief(message));
            message.parsed = String::new();
        }
    }
    Ok(output::list(&query, items, page.next.as_deref()))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let message = message::get(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    Ok(HttpResponse::Ok().json(show(&message)))
}

async fn parse(sent: Bytes) -> Result<HttpResponse, Problem> {
    if sent.0.is_empty() {
        return Err(Problem::invalid(vec![FieldProblem {
            pointer: String::new(),
            code: "required".into(),
            detail: "send a mail as the body".into(),
        }]));
    }
    parsed(sent.0).await
}

/// A conversation, with the names of JMAP's Thread (RFC 8621, section 3).
async fn thread(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = message::get_thread(&ctx, &access.projects(), &id)
        .await
        .map_err(|error| match error {
            MessageError::NotFound => Problem::not_found("thread"),
            error => refused(error),
        })?;
    Ok(HttpResponse::Ok().json(json!({
        "id": found.id,
        "projectId": found.project_id,
        "emailIds": found.message_ids,
        "ticketIds": found.ticket_ids,
    })))
}

async fn raw(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let bytes = message::raw(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    Ok(download(&format!("{id}.eml"), "message/rfc822", bytes))
}

/// A mail that came in a mail. What is attached to it is named there, and cut out of its own bytes.
async fn attached_mail(
    ctx: web::Data<Ctx>,
    access: Access,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, part) = path.into_inner();
    let found = message::attachment(&ctx, &access.projects(), &id, &part)
        .await
        .map_err(refused)?;
    if !matches!(found.content_type.as_str(), "message/rfc822" | "message/global") {
        return Err(Problem::conflict("not_a_mail", "this attachment is no mail"));
    }
    parsed(found.bytes).await
}

async fn parsed(raw: impl AsRef<[u8]> + Send + 'static) -> Result<HttpResponse, Problem> {
    let parse = move || mailgrant_mail::parse(raw.as_ref());
    let parsed = message::apart(message::LONGEST_READING, parse).await;
    let parsed = parsed.ok_or_else(Problem::unreadable_mail)?;
    Ok(HttpResponse::Ok().json(parsed))
}

async fn attachment(
    ctx: web::Data<Ctx>,
    access: Access,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, part) = path.into_inner();
    let found = message::attachment(&ctx, &access.projects(), &id, &part)
        .await
        .map_err(refused)?;
    // What the sender says it is would only mislead a browser; the name tells the client.
    Ok(download(
        found.name.as_deref().unwrap_or("attachment"),
        "application/octet-stream",
        found.bytes,
    ))
}

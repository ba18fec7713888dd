//! `/messages`: mail as received, with the names of JMAP (RFC 8621), and its raw bytes and attachments as files.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use super::output::{self, download};
use crate::access::Scope;
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::message::{self, Message, MessageError, MessageFilter};
use crate::web::error::Problem;
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/messages", Guard::Scope(Scope::MessagesRead), || {
        web::to(list)
    }),
    Route::get("/api/v1/messages/{id}", Guard::Scope(Scope::MessagesRead), || {
        web::to(get)
    }),
    Route::get(
        "/api/v1/messages/{id}/raw",
        Guard::Scope(Scope::MessagesRead),
        || web::to(raw),
    ),
    // Parts inside parts have a slash in their id.
    Route::get(
        "/api/v1/messages/{id}/attachments/{part:.*}",
        Guard::Scope(Scope::MessagesRead),
        || web::to(attachment),
    ),
];

/// A message as JMAP's Email. Before it is parsed, every member is there and empty.
fn show(message: &Message) -> Value {
    let mut shown = serde_json::to_value(mailgrant_mail::ParsedMail::default()).unwrap_or_default();
    let parsed = message::parsed(message);
    merge(&mut shown, parsed);
    let stored = json!({
        "id": message.id,
        "blobId": message.id,
        "threadId": output::text(&message.ticket_id),
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
        },
    });
    merge(&mut shown, stored);
    shown
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
        }
    }
    shown
}

fn refused(error: MessageError) -> Problem {
    match error {
        MessageError::NotFound => Problem::not_found("message"),
        MessageError::NoAttachment => Problem::not_found("attachment of this message"),
        MessageError::Db(error) => error.into(),
    }
}

async fn list(ctx: web::Data<Ctx>, query: Query) -> Result<HttpResponse, Problem> {
    let filter = MessageFilter {
        mailbox_id: query.get("mailboxId"),
        ticket_id: query.get("ticketId"),
        project_id: query.get("projectId"),
        state: query.get("state"),
        after: query.after.clone(),
    };
    let page = message::list(&ctx, &filter, query.limit).await.map_err(refused)?;
    let items = page.items.iter().map(brief).collect();
    Ok(output::list(&query, items, page.next.as_deref()))
}

async fn get(ctx: web::Data<Ctx>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let message = message::get(&ctx, &id).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(show(&message)))
}

async fn raw(ctx: web::Data<Ctx>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let bytes = message::raw(&ctx, &id).await.map_err(refused)?;
    Ok(download(&format!("{id}.eml"), "message/rfc822", bytes))
}

async fn attachment(ctx: web::Data<Ctx>, path: web::Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (id, part) = path.into_inner();
    let found = message::attachment(&ctx, &id, &part).await.map_err(refused)?;
    // What the sender says it is would only mislead a browser; the name tells the client.
    Ok(download(
        found.name.as_deref().unwrap_or("attachment"),
        "application/octet-stream",
        found.bytes,
    ))
}

//! `/search`: messages, answers and notes by their words. Tickets are searched by `q` of `/tickets`.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use super::output;
use super::tickets::refused;
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::search::{self, snippet};
use crate::ticket::{self, Hit, Search};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, id, list_of, object, text, time, word};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[Route::get(
    "/api/v1/search",
    Guard::Scope(Scope::MessagesRead),
    || web::to(list),
)
.doc(|| {
    Doc::new("Search messages, answers and notes")
        .about(
            "The newest first. Words match from their beginning, \"words in quotes\" as they stand; accents and case do \
             not matter. `from:`, `to:`, `subject:`, `label:`, `priority:`, `project:`, `is:open|pending|closed|\
             unassigned|mine`, `has:attachment`, `after:2026-11-24` and `before:2026-11-24` narrow it down. Any text is \
             a question; what cannot be looked for finds nothing.",
        )
        .query("q", text(), "The question")
        .lists(hit())
})];

/// What was found, as [`show`] writes it.
fn hit() -> Schema {
    object([
        ("kind", word(&["message", "reply", "note"])),
        (
            "id",
            text().about("`msg_…` of a message, `ent_…` of an answer or a note"),
        ),
        ("projectId", id("prj")),
        ("ticketId", text().or_null()),
        ("ticketKey", text().or_null()),
        ("entryId", text().or_null()),
        ("subject", text().or_null()),
        ("author", text().or_null()),
        ("email", text().or_null()),
        ("hasAttachment", boolean()),
        (
            "snippet",
            list_of(object([("text", text()), ("isHit", boolean())]))
                .about("The text around what was found, in pieces"),
        ),
        ("createdAt", time()),
    ])
    .named("SearchHit")
}

/// Bytes of text around what was found.
const SNIPPET: usize = 240;

fn show(hit: &Hit, question: &search::Query) -> Value {
    let snippet: Vec<Value> = snippet(&hit.text, question, None, SNIPPET)
        .into_iter()
        .map(|piece| json!({ "text": piece.text, "isHit": piece.is_hit }))
        .collect();
    json!({
        "kind": hit.kind,
        "id": hit.id,
        "projectId": hit.project_id,
        "ticketId": hit.ticket.as_ref().map(|ticket| &ticket.id),
        "ticketKey": hit.ticket.as_ref().map(|ticket| &ticket.key),
        "entryId": output::text(&hit.entry_id),
        "subject": output::text(&hit.subject),
        "author": output::text(&hit.author),
        "email": output::text(&hit.email),
        "hasAttachment": hit.has_attachment,
        "snippet": snippet,
        "createdAt": rfc3339(hit.at),
    })
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let asked = Search {
        text: query.get("q").unwrap_or_default(),
        asker_id: access.user_id().map(str::to_owned),
        projects: access.projects(),
        after: query.after.clone(),
    };
    let question = search::Query::parse(&asked.text);
    let page = ticket::search(&ctx, &asked, query.limit).await.map_err(refused)?;
    let items = page.items.iter().map(|hit| show(hit, &question)).collect();
    Ok(output::list(&query, items, page.next.as_deref()))
}

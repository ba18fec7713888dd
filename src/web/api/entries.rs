//! `/tickets/{id}/entries`: what is in a ticket, in parts.

use actix_web::{HttpResponse, web};

use super::input::Query;
use super::output;
use super::tickets::{entry, entry_schema, refused};
use crate::access::{Access, Scope};
use crate::ctx::Ctx;
use crate::ticket::{self, TicketError};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get(
        "/api/v1/tickets/{id}/entries",
        Guard::Scope(Scope::TicketsRead),
        || web::to(list),
    )
    .doc(|| {
        Doc::new("List the entries of a ticket")
            .about("Oldest first. A ticket shows all of its entries as well; this is for the long ones.")
            .lists(entry_schema())
    }),
    Route::get(
        "/api/v1/tickets/{id}/entries/{entryId}",
        Guard::Scope(Scope::TicketsRead),
        || web::to(get),
    )
    .doc(|| {
        Doc::new("Show an entry of a ticket")
            .about("One that was moved to another ticket is found there only.")
            .answers(200, "The entry", entry_schema())
    }),
];

async fn list(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let found = ticket::present(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    let page = ticket::entries(&ctx, &found, query.after.as_deref(), query.limit)
        .await
        .map_err(refused)?;
    let items = page.items.iter().map(entry).collect();
    Ok(output::list(&query, items, page.next.as_deref()))
}

async fn get(
    ctx: web::Data<Ctx>,
    access: Access,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, entry_id) = path.into_inner();
    let found = ticket::present(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    let none = |error| match error {
        TicketError::NotFound => Problem::not_found("entry"),
        error => refused(error),
    };
    let shown = ticket::entry(&ctx, &found, &entry_id).await.map_err(none)?;
    Ok(HttpResponse::Ok().json(entry(&shown)))
}

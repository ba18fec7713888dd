//! `/tickets/{id}/split`: some entries of a ticket become a ticket of their own.

use actix_web::{HttpResponse, web};

use super::input::Input;
use super::output;
use super::tag::IfMatch;
use super::tickets::{find, refused, show, whole_schema};
use crate::access::{Access, Scope};
use crate::ctx::Ctx;
use crate::ticket::{self, Split};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{input, list_of, text};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[Route::post(
    "/api/v1/tickets/{id}/split",
    Guard::Scope(Scope::TicketsWrite),
    || web::to(split),
)
.doc(|| {
    Doc::new("Split a ticket")
        .about(
            "The entries named become a ticket of their own in the same project, which is answered. It is open, and has \
             labels, priority and assignee of the old one; its requester is the sender of the first mail that moves. \
             Answers to what was moved follow it. At least one entry stays. `POST /tickets/{id}/merge` takes it back. \
             With `If-Match`, which has the `ETag` of the old ticket, nothing may have changed there meanwhile.",
        )
        .takes(input(
            &["entryIds"],
            [
                (
                    "entryIds",
                    list_of(text()).about("Ids of its entries, 500 at most"),
                ),
                (
                    "subject",
                    text()
                        .about("Of the new ticket; without it, that of the first mail that moves")
                        .or_null(),
                ),
            ],
        ))
        .answers(201, "The new ticket", whole_schema())
        .tagged()
        .if_match()
})];

async fn split(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let projects = access.projects();
    let old = ticket::present(&ctx, &projects, &id).await.map_err(refused)?;
    let wanted = Split {
        entry_ids: input.texts("entryIds").unwrap_or_default(),
        subject: input.text("subject"),
    };
    input.finish()?;
    let seen = seen.seen(old.revision)?;
    let made = ticket::split(&ctx, &projects, access.actor(), &old.id, &wanted, seen)
        .await
        .map_err(refused)?;
    let detail = find(&ctx, &projects, &made.id).await?;
    let place = format!("/api/v1/tickets/{}", made.id);
    Ok(output::created(&place, detail.ticket.revision, show(&detail)))
}

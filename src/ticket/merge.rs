//! Merging tickets, which only people and apps do. The older key and id then lead to the ticket that is left, and so do
//! the identifiers of mails that were in it, or that we sent from it.

mod store;

use sea_orm::DbErr;
use serde_json::json;

use super::service::TicketError;
use super::store::Ticket;
use crate::access::Projects;
use crate::ctx::Ctx;
use crate::event::{self, NewEvent};
use crate::trouble::FieldError;
use crate::{project, search};

/// Moves everything in the ticket `id` to the ticket `into` and returns the latter. Doing it again changes nothing. Both
/// must be in these projects, and in the same one. `seen` is the revision of `id` that was looked at.
///
/// The project is held meanwhile, as it is for every mail that is placed: a mail finds the ticket before the merge or
/// after it, and is in the one that is left either way.
pub async fn merge(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    id: &str,
    into: &str,
    seen: Option<i64>,
) -> Result<Ticket, TicketError> {
    let txn = ctx.db.begin().await?;
    let project_id = store::project_of(&txn, id).await?.ok_or(TicketError::NotFound)?;
    if !projects.contains(&project_id) {
        return Err(TicketError::NotFound);
    }
    project::lock(&txn, &project_id).await?;
    let named = |found: Option<Ticket>| {
        found
            .filter(|target| projects.contains(&target.project_id))
            .ok_or_else(|| refusal("not_found", "There is no such ticket to merge into."))
    };
    // Which ticket is meant cannot change while the project is held; what is in it can, until it is held as well.
    let target = named(store::present(&txn, into).await?)?;
    store::hold(&txn, [id, &target.id]).await?;
    let source = store::as_it_is(&txn, id).await?.ok_or(TicketError::NotFound)?;
    let target = named(store::as_it_is(&txn, &target.id).await?)?;
    if source.merged_into == target.id {
        return Ok(target);
    }
    if source.id == target.id {
        return Err(refusal("same", "A ticket cannot be merged into itself."));
    }
    if !source.merged_into.is_empty() {
        return Err(refusal("merged", "It was merged into another ticket already."));
    }
    if source.project_id != target.project_id {
        let text = "Only tickets of one project can be merged.";
        return Err(refusal("other_project", text));
    }
    if seen.is_some_and(|seen| seen != source.revision) {
        return Err(TicketError::Conflict);
    }
    store::move_all(&txn, &source, &target, ctx.clock.now_ms()).await?;
    search::move_to(&txn, &source.id, &target.id).await?;
    for ticket in [&source, &target] {
        tell(ctx, &txn, ticket, &source, &target, actor).await?;
    }
    let merged = store::present(&txn, &target.id)
        .await?
        .ok_or(TicketError::NotFound)?;
    txn.commit().await?;
    Ok(merged)
}

/// In the history of both: the one that is gone, and the one that is left.
async fn tell(
    ctx: &Ctx,
    txn: &sea_orm::DatabaseTransaction,
    of: &Ticket,
    source: &Ticket,
    target: &Ticket,
    actor: &str,
) -> Result<(), DbErr> {
    let data = if of.id == source.id {
        json!({ "key": source.key, "intoId": target.id, "intoKey": target.key })
    } else {
        json!({ "key": target.key, "changes": { "merged": { "from": null, "to": source.key } } })
    };
    let event = NewEvent {
        kind: if of.id == source.id {
            "ticket.merged"
        } else {
            "ticket.updated"
        },
        project_id: &of.project_id,
        subject_id: &of.id,
        actor,
        data,
    };
    event::append(txn, &ctx.clock, event).await.map(drop)
}

fn refusal(code: &'static str, text: &str) -> TicketError {
    TicketError::Invalid(vec![FieldError::new("into", code, text)])
}

//! Merging a ticket into another: the question before, and the deed.

use actix_web::web;
use serde::Deserialize;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::parts::{Choice, Confirm};
use super::words;
use crate::access::Role;
use crate::ticket::{self, TicketError};
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/tickets/{key}/merge", Guard::Role(Role::Agent), || {
        web::to(confirm_merge)
    }),
    Route::post("/tickets/{key}/merge", Guard::Role(Role::Agent), || {
        web::to(merge)
    }),
];

#[derive(Deserialize)]
struct Into {
    #[serde(default)]
    into: String,
}

/// The question before a merge.
async fn confirm_merge(desk: Desk, key: web::Path<String>, asked: web::Query<Into>) -> Answer {
    let projects = desk.access().projects();
    let source = ticket::present(&desk.ctx, &projects, &key).await?;
    let back = format!("/tickets/{}", source.key);
    let wanted = asked.into.trim();
    let target = match ticket::present(&desk.ctx, &projects, wanted).await {
        Ok(target) => target,
        Err(TicketError::NotFound) => {
            let text = "There is no such ticket to merge into. Write its key, for example HELP-42.";
            return desk.failed(text, &back).await;
        }
        Err(error) => return Err(error.into()),
    };
    let blocked = if source.id == target.id {
        Some("A ticket cannot be merged into itself.".to_owned())
    } else if source.project_id != target.project_id {
        Some("Only tickets of one project can be merged.".to_owned())
    } else {
        None
    };
    let entries = u64::try_from(source.entry_count).unwrap_or(0);
    let entries = if entries == 1 {
        "1 entry".to_owned()
    } else {
        format!("{} entries", words::number(source.entry_count))
    };
    desk.show(&Confirm {
        page: desk
            .page(
                format!("Merge {} into {}?", source.key, target.key),
                Section::Tickets,
            )
            .await?,
        consequences: vec![
            format!(
                "What is in {} “{}” ({entries}) moves to {} “{}”.",
                source.key, source.subject, target.key, target.subject
            ),
            format!(
                "Who takes part in {} takes part in {}: they can answer it by mail.",
                source.key, target.key
            ),
            format!(
                "It cannot be taken back: {} then leads to {}.",
                source.key, target.key
            ),
        ],
        kept: vec![
            "Answers to mails of either ticket go on finding their way.".to_owned(),
            "The event log keeps who merged them, and when.".to_owned(),
        ],
        blocked,
        action: format!("/tickets/{}/merge", source.key),
        // In these, the value is the name and the label what it holds.
        fields: vec![
            Choice::new("into", &target.key, true),
            Choice::new("revision", source.revision.to_string(), true),
        ],
        button: "Merge".to_owned(),
        cancel: back,
    })
}

async fn merge(desk: Desk, key: web::Path<String>, data: FormData) -> Answer {
    let projects = desk.access().projects();
    let source = ticket::as_it_is(&desk.ctx, &projects, &key).await?;
    let seen = data.text("revision").parse().ok();
    let seen = seen.filter(|_| source.merged_into.is_empty());
    let (into, actor) = (data.text("into"), desk.actor());
    match ticket::merge(&desk.ctx, &projects, actor, &source.id, into, seen).await {
        Ok(left) => {
            let text = format!("{} is merged into {}.", source.key, left.key);
            desk.done(text, &format!("/tickets/{}", left.key)).await
        }
        Err(TicketError::Invalid(errors)) => {
            let text: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            desk.failed(text.join(" "), &format!("/tickets/{}", source.key))
                .await
        }
        Err(TicketError::Conflict) => {
            let text = "The ticket was changed meanwhile. Look at it again before you merge it.";
            desk.failed(text, &format!("/tickets/{}", source.key)).await
        }
        Err(error) => Err(error.into()),
    }
}

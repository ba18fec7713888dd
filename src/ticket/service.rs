//! What can be done with tickets.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use super::model::{Incoming, Placed};
use super::store::{self, Entry, Ticket};
use crate::access::Projects;
use crate::clock::Clock;
use crate::ctx::Ctx;
use crate::event::{self, NewEvent, SYSTEM};
use crate::trouble::FieldError;
use crate::{id, project};

/// Why a ticket could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// There is none with this id or key.
    #[error("there is no such ticket")]
    NotFound,
    /// The cursor of the list is not one of ours.
    #[error("the cursor `after` is not one that a list gave out")]
    BadCursor,
    /// Fields that do not fit; nothing was changed.
    #[error("the ticket was not saved: {}", .0.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join(" "))]
    Invalid(Vec<FieldError>),
    /// Somebody else changed it meanwhile.
    #[error("the ticket was changed meanwhile; load it again and repeat the change")]
    Conflict,
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

/// A ticket with its entries, oldest first.
#[derive(Clone, Debug)]
pub struct TicketDetail {
    /// The ticket.
    pub ticket: Ticket,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// Puts a message into the ticket it belongs to, or into a new one, with its event, in the caller's transaction.
/// The project must be locked by the caller (`project::lock`).
pub async fn place<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    project_key: &str,
    incoming: &Incoming<'_>,
) -> Result<Placed, DbErr> {
    let now = clock.now_ms();
    let entry_id = id::new("ent", clock);
    let known = store::ticket_of_ids(on, incoming.project_id, incoming.answers).await?;
    let (ticket_id, key, is_new) = match known {
        Some((ticket_id, key)) => (ticket_id, key, false),
        None => {
            let number = project::next_number(on, incoming.project_id).await?;
            let ticket_id = id::new("tkt", clock);
            let key = format!("{project_key}-{number}");
            store::insert_ticket(on, &ticket_id, &key, number, incoming, now).await?;
            (ticket_id, key, true)
        }
    };
    let author = author(incoming);
    store::insert_entry(on, &entry_id, &ticket_id, incoming.message_id, &author, now).await?;
    store::remember_ids(
        on,
        incoming.project_id,
        incoming.rfc_message_ids,
        &ticket_id,
        incoming.message_id,
    )
    .await?;
    event::append(
        on,
        clock,
        NewEvent {
            kind: if is_new {
                "ticket.created"
            } else {
                "ticket.updated"
            },
            project_id: incoming.project_id,
            subject_id: &ticket_id,
            actor: SYSTEM,
            data: json!({ "key": key, "entryId": entry_id, "messageId": incoming.message_id }),
        },
    )
    .await?;
    Ok(Placed {
        ticket_id,
        key,
        entry_id,
        is_new,
    })
}

fn author(incoming: &Incoming<'_>) -> String {
    match (incoming.from_name, incoming.from_email) {
        ("", email) => email.to_owned(),
        (name, "") => name.to_owned(),
        (name, email) => format!("{name} <{email}>"),
    }
}

/// One ticket of these projects with its entries.
pub async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<TicketDetail, TicketError> {
    let ticket = store::by_id(ctx.db.read(), projects, id)
        .await?
        .ok_or(TicketError::NotFound)?;
    let entries = store::entries_of(ctx.db.read(), &ticket.id).await?;
    Ok(TicketDetail { ticket, entries })
}

/// One ticket of these projects by its key, for example `HELP-42`.
pub async fn get_by_key(ctx: &Ctx, projects: &Projects, key: &str) -> Result<TicketDetail, TicketError> {
    let ticket = store::by_key(ctx.db.read(), projects, key)
        .await?
        .ok_or(TicketError::NotFound)?;
    let entries = store::entries_of(ctx.db.read(), &ticket.id).await?;
    Ok(TicketDetail { ticket, entries })
}

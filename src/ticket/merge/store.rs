//! The queries of merging.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};

use super::super::store::{self, Ticket};
use crate::access::Projects;
use crate::db::sql;

/// The project of a ticket.
pub(super) async fn project_of<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<String>, DbErr> {
    let ticket = store::by_id(on, &Projects::All, id).await?;
    Ok(ticket.map(|ticket| ticket.project_id))
}

/// Nobody else changes these tickets until the transaction ends. In one order, so that two who hold several never wait
/// for each other.
pub(super) async fn hold<C: ConnectionTrait>(on: &C, mut ids: [&str; 2]) -> Result<(), DbErr> {
    // SQLite's writer is alone anyway.
    if on.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    ids.sort_unstable();
    for id in ids {
        let text = "SELECT id FROM tickets WHERE id = $1 FOR UPDATE";
        on.query_one_raw(sql(on, text, [id.into()])).await?;
    }
    Ok(())
}

/// A ticket as it is, merged or not.
pub(super) async fn as_it_is<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Ticket>, DbErr> {
    store::by_id(on, &Projects::All, id).await
}

/// A ticket by its id or its key; of a merged one, the one that is left.
pub(super) async fn present<C: ConnectionTrait>(on: &C, named: &str) -> Result<Option<Ticket>, DbErr> {
    let found = match store::by_id(on, &Projects::All, named).await? {
        None => store::by_key(on, &Projects::All, named).await?,
        found => found,
    };
    match found {
        Some(ticket) if !ticket.merged_into.is_empty() => {
            store::by_id(on, &Projects::All, &ticket.merged_into).await
        }
        found => Ok(found),
    }
}

/// Everything that names the one ticket names the other then.
pub(super) async fn move_all<C: ConnectionTrait>(
    on: &C,
    source: &Ticket,
    target: &Ticket,
    now: i64,
) -> Result<(), DbErr> {
    let (from, to) = (source.id.as_str(), target.id.as_str());
    for text in [
        "UPDATE entries SET ticket_id = $1 WHERE ticket_id = $2",
        "UPDATE messages SET ticket_id = $1 WHERE ticket_id = $2",
        "UPDATE thread_ids SET ticket_id = $1 WHERE ticket_id = $2",
        "UPDATE outgoing_mails SET ticket_id = $1 WHERE ticket_id = $2",
        // Never a chain: what was merged into the one is merged into the other.
        "UPDATE tickets SET merged_into = $1 WHERE merged_into = $2 AND merged_into <> ''",
        "INSERT INTO ticket_participations (ticket_id, address, message_id, role, created_at) \
         SELECT $1, address, message_id, role, created_at FROM ticket_participations WHERE ticket_id = $2 \
         ON CONFLICT DO NOTHING",
        "INSERT INTO ticket_links (ticket_id, other_id, kind, created_at) \
         SELECT $1, other_id, kind, created_at FROM ticket_links WHERE ticket_id = $2 AND other_id <> $1 \
         ON CONFLICT DO NOTHING",
        "INSERT INTO ticket_links (ticket_id, other_id, kind, created_at) \
         SELECT ticket_id, $1, kind, created_at FROM ticket_links WHERE other_id = $2 AND ticket_id <> $1 \
         ON CONFLICT DO NOTHING",
    ] {
        on.execute_raw(sql(on, text, [to.into(), from.into()])).await?;
    }
    for text in [
        "DELETE FROM ticket_participations WHERE ticket_id = $1",
        "DELETE FROM ticket_links WHERE ticket_id = $1 OR other_id = $1",
        "DELETE FROM ticket_labels WHERE ticket_id = $1",
    ] {
        on.execute_raw(sql(on, text, [from.into()])).await?;
    }
    let values: [Value; 3] = [to.into(), now.into(), from.into()];
    let text = "UPDATE tickets SET merged_into = $1, entry_count = 0, revision = revision + 1, updated_at = $2 \
                WHERE id = $3";
    on.execute_raw(sql(on, text, values)).await?;
    // Somebody has to look if somebody had to look at either.
    let state = if source.state == "open" {
        "open"
    } else {
        &target.state
    };
    let values: [Value; 4] = [source.entry_count.into(), state.into(), now.into(), to.into()];
    let text = "UPDATE tickets SET entry_count = entry_count + $1, state = $2, revision = revision + 1, \
                updated_at = $3 WHERE id = $4";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

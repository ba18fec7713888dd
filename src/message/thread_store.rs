//! All queries on conversations. `thread_nodes` says for each known identifier which conversation it is in; an
//! identifier that only other mails name has a node, too, so that a mail that comes late finds its place.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbErr, Value};

use super::service::Thread;
use super::thread;
use crate::db::{sql, with_rows};

/// Links the identifiers of a message, and makes one conversation of all that they name. Returns the node by which the
/// message's conversation is found from now on. The project must be locked by the caller (`project::lock`).
pub async fn link<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    message_id: &str,
    identifiers: &[String],
) -> Result<String, DbErr> {
    // A placeholder for a mail that could not be read has no identifiers at all.
    let alone = [format!("message {message_id}")];
    let identifiers = if identifiers.is_empty() {
        &alone
    } else {
        identifiers
    };
    let nodes: Vec<String> = identifiers
        .iter()
        .map(|id| thread::node(project_id, id))
        .collect();
    let known = known_threads(on, &nodes).await?;
    let id = nodes.iter().chain(&known).min().cloned().unwrap_or_default();
    for old in known.iter().filter(|old| **old != id) {
        let values: [Value; 2] = [id.as_str().into(), old.as_str().into()];
        let text = "UPDATE thread_nodes SET thread_id = $1 WHERE thread_id = $2";
        on.execute_raw(sql(on, text, values.clone())).await?;
        let text = "UPDATE messages SET thread_id = $1 WHERE thread_id = $2";
        on.execute_raw(sql(on, text, values)).await?;
    }
    let rows = nodes
        .iter()
        .map(|node| [node.as_str().into(), id.as_str().into()]);
    let text = "INSERT INTO thread_nodes (node, thread_id) VALUES {rows} ON CONFLICT DO NOTHING";
    with_rows(on, text, rows.collect()).await?;
    Ok(nodes.into_iter().next().unwrap_or_default())
}

/// Puts a message into its conversation at once, see [`link`].
pub async fn assign<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    message_id: &str,
    identifiers: &[String],
) -> Result<(), DbErr> {
    let node = link(on, project_id, message_id, identifiers).await?;
    let text =
        "UPDATE messages SET thread_id = (SELECT thread_id FROM thread_nodes WHERE node = $1) WHERE id = $2";
    on.execute_raw(sql(on, text, [node.into(), message_id.into()]))
        .await
        .map(drop)
}

/// The conversations that these nodes are in.
async fn known_threads<C: ConnectionTrait>(on: &C, nodes: &[String]) -> Result<BTreeSet<String>, DbErr> {
    let text = "SELECT DISTINCT thread_id FROM thread_nodes WHERE node IN (VALUES {rows})";
    let rows = nodes.iter().map(|node| [node.as_str().into()]).collect();
    let found = with_rows(on, text, rows).await?;
    found.iter().map(|row| row.try_get("", "thread_id")).collect()
}

/// The present id of a conversation: an id that it had before it grew still leads to it.
pub(super) async fn present_id<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<String>, DbErr> {
    let text = "SELECT thread_id FROM thread_nodes WHERE node = $1";
    let row = on.query_one_raw(sql(on, text, [id.into()])).await?;
    row.map(|row| row.try_get("", "thread_id")).transpose()
}

/// The messages of a conversation; none if it has none yet.
pub(super) async fn messages<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Thread>, DbErr> {
    let text = "SELECT id, project_id, ticket_id FROM messages WHERE thread_id = $1 ORDER BY id LIMIT 1000";
    let mut thread: Option<Thread> = None;
    for row in on.query_all_raw(sql(on, text, [id.into()])).await? {
        let project_id: String = row.try_get("", "project_id")?;
        let ticket_id: String = row.try_get("", "ticket_id")?;
        let thread = thread.get_or_insert_with(|| Thread {
            id: id.to_owned(),
            project_id,
            message_ids: Vec::new(),
            ticket_ids: Vec::new(),
        });
        thread.message_ids.push(row.try_get("", "id")?);
        if !ticket_id.is_empty() && !thread.ticket_ids.contains(&ticket_id) {
            thread.ticket_ids.push(ticket_id);
        }
    }
    Ok(thread)
}

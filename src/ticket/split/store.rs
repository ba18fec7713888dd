//! The queries of splitting.

use sea_orm::{ConnectionTrait, DbErr, Value};

use super::super::store::Ticket;
use crate::db::sql;

/// An entry that is moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moving {
    /// Its id.
    pub id: String,
    /// `message`, `reply` or `note`.
    pub kind: String,
    /// Who wrote it.
    pub author: String,
    /// When it came, milliseconds since 1970.
    pub created_at: i64,
    /// The message it shows, if it shows one.
    pub message_id: Option<String>,
    /// Subject of that message.
    pub subject: String,
    /// Display name of its sender.
    pub from_name: String,
    /// Address of its sender.
    pub from_email: String,
}

/// These entries of a ticket, oldest first. What is not in it is left out.
pub(super) async fn entries<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    ids: &[String],
) -> Result<Vec<Moving>, DbErr> {
    let places: Vec<String> = (2..ids.len() + 2).map(|n| format!("${n}")).collect();
    let text = format!(
        "SELECT e.id AS id, e.kind AS kind, e.author AS author, e.created_at AS created_at, \
         e.message_id AS message_id, COALESCE(m.subject, '') AS subject, COALESCE(m.from_name, '') AS from_name, \
         COALESCE(m.from_email, '') AS from_email FROM entries e LEFT JOIN messages m ON m.id = e.message_id \
         WHERE e.ticket_id = $1 AND e.id IN ({}) ORDER BY e.created_at, e.id",
        places.join(", ")
    );
    let mut values: Vec<Value> = vec![ticket_id.into()];
    values.extend(ids.iter().map(|id| id.as_str().into()));
    let rows = on.query_all_raw(sql(on, &text, values)).await?;
    rows.iter()
        .map(|row| {
            Ok(Moving {
                id: row.try_get("", "id")?,
                kind: row.try_get("", "kind")?,
                author: row.try_get("", "author")?,
                created_at: row.try_get("", "created_at")?,
                message_id: row.try_get("", "message_id")?,
                subject: row.try_get("", "subject")?,
                from_name: row.try_get("", "from_name")?,
                from_email: row.try_get("", "from_email")?,
            })
        })
        .collect()
}

/// Whether a ticket has no more entries than these.
pub(super) async fn has_no_other<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    moved: usize,
) -> Result<bool, DbErr> {
    let text = "SELECT COUNT(*) AS entries FROM entries WHERE ticket_id = $1";
    let row = on.query_one_raw(sql(on, text, [ticket_id.into()])).await?;
    let all: i64 = row.map_or(Ok(0), |row| row.try_get("", "entries"))?;
    Ok(all <= i64::try_from(moved).unwrap_or(i64::MAX))
}

/// What the new ticket has of the old one, and the counts of both. The new one is open: somebody wants it looked at.
pub(super) async fn take_over<C: ConnectionTrait>(
    on: &C,
    source: &Ticket,
    new_id: &str,
    moved: usize,
    now: i64,
) -> Result<(), DbErr> {
    let moved = i64::try_from(moved).unwrap_or(i64::MAX);
    let values: [Value; 5] = [
        source.priority.as_str().into(),
        source.assignee_id.as_str().into(),
        source.labels.as_str().into(),
        moved.into(),
        new_id.into(),
    ];
    let text =
        "UPDATE tickets SET priority = $1, assignee_id = $2, labels = $3, entry_count = $4 WHERE id = $5";
    on.execute_raw(sql(on, text, values)).await?;
    let values: [Value; 3] = [moved.into(), now.into(), source.id.as_str().into()];
    let text = "UPDATE tickets SET entry_count = entry_count - $1, revision = revision + 1, updated_at = $2 \
                WHERE id = $3";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Everything that names the entry's ticket names the new one then: its message, its mail, their identifiers, and who
/// takes part because of them.
pub(super) async fn move_entry<C: ConnectionTrait>(
    on: &C,
    from: &str,
    to: &str,
    entry: &super::Moving,
) -> Result<(), DbErr> {
    let run = async |text: &str, id: &str| {
        let values: [Value; 3] = [to.into(), from.into(), id.into()];
        on.execute_raw(sql(on, text, values)).await.map(|_| ())
    };
    run(
        "UPDATE entries SET ticket_id = $1 WHERE ticket_id = $2 AND id = $3",
        &entry.id,
    )
    .await?;
    let mut mails: Vec<String> = outgoing(on, &entry.id).await?;
    for id in &mails {
        run(
            "UPDATE outgoing_mails SET ticket_id = $1 WHERE ticket_id = $2 AND id = $3",
            id,
        )
        .await?;
    }
    if let Some(message_id) = &entry.message_id {
        // Its further copies as well.
        run(
            "UPDATE messages SET ticket_id = $1 WHERE ticket_id = $2 AND entry_id = $3",
            &entry.id,
        )
        .await?;
        // What answered it automatically is named by it.
        let named = format!("mg1.%.{}.%", message_id.to_lowercase());
        run(
            "UPDATE outgoing_mails SET ticket_id = $1 WHERE ticket_id = $2 AND rfc_message_id LIKE $3",
            &named,
        )
        .await?;
        mails.push(message_id.clone());
    }
    for id in &mails {
        for text in [
            "UPDATE thread_ids SET ticket_id = $1 WHERE ticket_id = $2 AND message_id = $3",
            "UPDATE ticket_participations SET ticket_id = $1 WHERE ticket_id = $2 AND message_id = $3",
        ] {
            run(text, id).await?;
        }
    }
    Ok(())
}

/// The messages that an entry shows: one, and its further copies.
pub(super) async fn messages<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    entry_id: &str,
) -> Result<Vec<String>, DbErr> {
    let text = "SELECT id FROM messages WHERE ticket_id = $1 AND entry_id = $2";
    let values: [Value; 2] = [ticket_id.into(), entry_id.into()];
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    rows.iter().map(|row| row.try_get("", "id")).collect()
}

/// The mails that an entry shows.
async fn outgoing<C: ConnectionTrait>(on: &C, entry_id: &str) -> Result<Vec<String>, DbErr> {
    let text = "SELECT id FROM outgoing_mails WHERE entry_id = $1";
    let rows = on.query_all_raw(sql(on, text, [entry_id.into()])).await?;
    rows.iter().map(|row| row.try_get("", "id")).collect()
}

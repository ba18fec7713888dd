//! A mail that is in the project already, because it went to several of its mailboxes: it is shown once, where its first
//! copy is. The project is locked while a mail is placed, so of two copies that come at the same time one is the first.

use sea_orm::{ConnectionTrait, DbErr, Value};

use super::model::Incoming;
use super::resolve::{Candidate, Resolution, Rule};
use super::store::thread_key;
use crate::db::sql;

/// Where the same mail is already; nothing if this is its first copy, or if only its header is here.
pub(super) async fn find<C: ConnectionTrait>(
    on: &C,
    incoming: &Incoming<'_>,
    sender_verified: bool,
) -> Result<Option<Resolution>, DbErr> {
    let mail = incoming.mail;
    let Some(rfc_id) = mail.message_ids.first().filter(|_| !mail.sent_hash.is_empty()) else {
        return Ok(None);
    };
    // Read from the row: what of this message is only a header has no hash there.
    let text = "SELECT m.entry_id AS entry_id, t.id AS id, t.key AS key, COALESCE(b.name, '') AS mailbox \
                FROM thread_ids k JOIN messages m ON m.id = k.message_id JOIN tickets t ON t.id = m.ticket_id \
                LEFT JOIN mailboxes b ON b.id = m.mailbox_id \
                WHERE k.project_id = $1 AND k.rfc_message_id = $2 AND m.sent_hash = $3 AND m.id <> $4 \
                AND m.entry_id <> '' AND EXISTS (SELECT 1 FROM messages o WHERE o.id = $4 AND o.sent_hash = $3) \
                ORDER BY m.id LIMIT 1";
    let values: [Value; 4] = [
        incoming.project_id.into(),
        thread_key(rfc_id).into(),
        mail.sent_hash.as_str().into(),
        incoming.message_id.into(),
    ];
    let Some(row) = on.query_one_raw(sql(on, text, values)).await? else {
        return Ok(None);
    };
    let (ticket_id, key): (String, String) = (row.try_get("", "id")?, row.try_get("", "key")?);
    let place = match row.try_get::<String>("", "mailbox")?.as_str() {
        "" => "before".to_owned(),
        name => format!("in the mailbox “{name}” before"),
    };
    Ok(Some(Resolution {
        rule: Rule::SameMail,
        why: format!("The same mail arrived {place} and is in {key}. It is shown and answered there once."),
        joins: Some(Candidate {
            family: ticket_id.clone(),
            ticket_id,
            key,
            closed_long_ago: false,
            sender_takes_part: true,
        }),
        possibly: None,
        sender_verified,
        shown_by: Some(row.try_get("", "entry_id")?),
    }))
}

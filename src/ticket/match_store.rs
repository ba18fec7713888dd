//! The queries behind matching: tickets that clues lead to, who takes part in them, and links between tickets.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::resolve::{CLOSED_FOR_GOOD_DAYS, Candidate};
use super::store::{Ticket, thread_key};
use crate::db::sql;

/// Tickets looked at for the identifiers of one mail: strangers can claim an identifier as often as they like.
const MOST_CANDIDATES: i64 = 100;
/// Addresses that one ticket remembers.
const MOST_PARTICIPANTS: i64 = 1_000;
/// Links shown of one ticket.
const MOST_LINKS: i64 = 100;

/// What every query for candidates reads: of a merged ticket the one it was merged into.
const CANDIDATE: &str = "SELECT t.id AS id, t.key AS key, t.state AS state, t.updated_at AS updated_at, \
    CASE WHEN EXISTS (SELECT 1 FROM ticket_participants p WHERE p.ticket_id = t.id AND p.address = $1) \
    THEN 1 ELSE 0 END AS takes_part";

fn candidate(row: &QueryResult, now: i64) -> Result<Candidate, DbErr> {
    let state: String = row.try_get("", "state")?;
    let updated: i64 = row.try_get("", "updated_at")?;
    let quiet_since = now - CLOSED_FOR_GOOD_DAYS * 24 * 3_600_000;
    Ok(Candidate {
        ticket_id: row.try_get("", "id")?,
        key: row.try_get("", "key")?,
        closed_long_ago: state == "closed" && updated < quiet_since,
        sender_takes_part: row.try_get::<i32>("", "takes_part")? == 1,
    })
}

/// The ticket with a number.
pub(super) async fn of_number<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    number: i64,
    sender: &str,
    now: i64,
) -> Result<Option<Candidate>, DbErr> {
    let text = format!(
        "{CANDIDATE} FROM tickets k JOIN tickets t \
         ON t.id = CASE WHEN k.merged_into <> '' THEN k.merged_into ELSE k.id END \
         WHERE k.project_id = $2 AND k.number = $3"
    );
    let values: [Value; 3] = [sender.into(), project_id.into(), number.into()];
    let row = on.query_one_raw(sql(on, &text, values)).await?;
    row.map(|row| candidate(&row, now)).transpose()
}

/// The tickets with mails that have these Message-IDs, in the order of the identifiers given.
pub(super) async fn of_references<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    rfc_ids: &[String],
    sender: &str,
    now: i64,
) -> Result<Vec<Candidate>, DbErr> {
    if rfc_ids.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<String> = rfc_ids.iter().map(|id| thread_key(id)).collect();
    let places: Vec<String> = (3..keys.len() + 3).map(|n| format!("${n}")).collect();
    let text = format!(
        "{CANDIDATE}, k.rfc_message_id AS found FROM thread_ids k JOIN tickets t ON t.id = k.ticket_id \
         WHERE k.project_id = $2 AND k.rfc_message_id IN ({}) \
         ORDER BY takes_part DESC, t.created_at, t.id LIMIT {MOST_CANDIDATES}",
        places.join(", ")
    );
    let mut values: Vec<Value> = vec![sender.into(), project_id.into()];
    values.extend(keys.iter().map(|key| key.as_str().into()));
    let mut found = Vec::new();
    for row in on.query_all_raw(sql(on, &text, values)).await? {
        let rfc_id: String = row.try_get("", "found")?;
        let position = keys.iter().position(|key| *key == rfc_id).unwrap_or(keys.len());
        found.push((position, candidate(&row, now)?));
    }
    // Stable: within one identifier the order of the query stays.
    found.sort_by_key(|(position, _)| *position);
    Ok(found.into_iter().map(|(_, candidate)| candidate).collect())
}

/// Somebody who takes part in a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The address, normalised.
    pub address: String,
    /// Where it stood first: `from`, `to` or `cc`.
    pub role: String,
}

/// Remembers who takes part, as far as there is room.
pub(super) async fn add_participants<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    message_id: &str,
    people: &[Participant],
    now: i64,
) -> Result<(), DbErr> {
    if people.is_empty() {
        return Ok(());
    }
    let text = "SELECT COUNT(*) AS known FROM ticket_participants WHERE ticket_id = $1";
    let row = on.query_one_raw(sql(on, text, [ticket_id.into()])).await?;
    let known: i64 = row.map_or(Ok(0), |row| row.try_get("", "known"))?;
    let room = usize::try_from(MOST_PARTICIPANTS - known).unwrap_or(0);
    for person in people.iter().take(room) {
        let values: [Value; 5] = [
            ticket_id.into(),
            person.address.as_str().into(),
            person.role.as_str().into(),
            message_id.into(),
            now.into(),
        ];
        let text = "INSERT INTO ticket_participants (ticket_id, address, role, message_id, created_at) \
                    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        on.execute_raw(sql(on, text, values)).await?;
    }
    Ok(())
}

/// Who takes part in a ticket, in the order they came.
pub(super) async fn participants<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
) -> Result<Vec<Participant>, DbErr> {
    let text =
        "SELECT address, role FROM ticket_participants WHERE ticket_id = $1 ORDER BY created_at, address";
    let rows = on.query_all_raw(sql(on, text, [ticket_id.into()])).await?;
    rows.iter()
        .map(|row| {
            Ok(Participant {
                address: row.try_get("", "address")?,
                role: row.try_get("", "role")?,
            })
        })
        .collect()
}

/// Links two tickets as possibly related; once is enough.
pub(super) async fn link<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    other_id: &str,
    kind: &str,
    now: i64,
) -> Result<(), DbErr> {
    let values: [Value; 4] = [ticket_id.into(), other_id.into(), kind.into(), now.into()];
    let text = "INSERT INTO ticket_links (ticket_id, other_id, kind, created_at) VALUES ($1, $2, $3, $4) \
                ON CONFLICT DO NOTHING";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// A ticket that another one is linked with, from wherever the link was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The other ticket's id.
    pub ticket_id: String,
    /// Its key.
    pub key: String,
    /// Its subject.
    pub subject: String,
    /// Its state.
    pub state: String,
    /// How they are linked: `possibly_related` or `split`.
    pub kind: String,
}

/// The tickets linked with one, the newest link first.
pub(super) async fn related<C: ConnectionTrait>(on: &C, ticket_id: &str) -> Result<Vec<Related>, DbErr> {
    let text = format!(
        "SELECT DISTINCT t.id AS id, t.key AS key, t.subject AS subject, t.state AS state, l.kind AS kind, \
         l.created_at AS linked FROM ticket_links l \
         JOIN tickets t ON t.id = CASE WHEN l.ticket_id = $1 THEN l.other_id ELSE l.ticket_id END \
         WHERE (l.ticket_id = $1 OR l.other_id = $1) AND t.merged_into = '' AND t.id <> $1 \
         ORDER BY linked DESC, id LIMIT {MOST_LINKS}"
    );
    let rows = on.query_all_raw(sql(on, &text, [ticket_id.into()])).await?;
    rows.iter()
        .map(|row| {
            Ok(Related {
                ticket_id: row.try_get("", "id")?,
                key: row.try_get("", "key")?,
                subject: row.try_get("", "subject")?,
                state: row.try_get("", "state")?,
                kind: row.try_get("", "kind")?,
            })
        })
        .collect()
}

/// The tickets that were merged into one, by key.
pub(super) async fn merged_keys<C: ConnectionTrait>(on: &C, ticket: &Ticket) -> Result<Vec<String>, DbErr> {
    let text = "SELECT key FROM tickets WHERE merged_into = $1 ORDER BY number";
    let rows = on
        .query_all_raw(sql(on, text, [ticket.id.as_str().into()]))
        .await?;
    rows.iter().map(|row| row.try_get("", "key")).collect()
}

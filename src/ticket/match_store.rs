//! The queries behind matching: tickets that clues lead to, who takes part in them, and links between tickets.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::resolve::{CLOSED_FOR_GOOD_DAYS, Candidate};
use super::store::{self, Ticket, thread_key};
use crate::db::{sql, with_rows};

/// Tickets looked at for the identifiers of one mail: strangers can claim an identifier as often as they like.
const MOST_CANDIDATES: i64 = 100;
/// Rows about who takes part in one ticket, of all its mails together.
const MOST_PARTICIPATIONS: i64 = 5_000;
/// Participants that are shown of one ticket.
const MOST_SHOWN: i64 = 1_000;
/// The link between a ticket and a part of it that became one of its own.
pub(super) const SPLIT: &str = "split";
/// Parts of one split ticket that are looked at.
const MOST_KIN: i64 = 1_000;
/// Links shown of one ticket.
const MOST_LINKS: i64 = 100;

/// What every query for candidates reads: of a merged ticket the one it was merged into.
const CANDIDATE: &str = "SELECT t.id AS id, t.key AS key, t.state AS state, t.updated_at AS updated_at, \
    CASE WHEN EXISTS (SELECT 1 FROM ticket_participations p WHERE p.ticket_id = t.id AND p.address = $1) \
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
        family: row.try_get("", "id")?,
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

/// The ticket where an entry, or a message that was answered automatically, is now: what a Message-ID of ours names. A
/// ticket's number in it says where the mail was written, and people may have moved it since.
pub(super) async fn of_named_mail<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    name: &str,
    sender: &str,
    now: i64,
) -> Result<Option<Candidate>, DbErr> {
    // Ids have capitals, names in a Message-ID have none.
    let (table, column, id) = match name.split_once('_') {
        Some(("ent", rest)) => ("entries", "id", format!("ent_{}", rest.to_uppercase())),
        Some(("msg", rest)) => ("entries", "message_id", format!("msg_{}", rest.to_uppercase())),
        _ => return Ok(None),
    };
    let text = format!(
        "{CANDIDATE} FROM {table} k JOIN tickets t ON t.id = k.ticket_id WHERE t.project_id = $2 AND k.{column} = $3"
    );
    let values: [Value; 3] = [sender.into(), project_id.into(), id.into()];
    let row = on.query_one_raw(sql(on, &text, values)).await?;
    row.map(|row| candidate(&row, now)).transpose()
}

/// The ticket where the newest mail with a reply address of ours is now. The address itself tells the ticket that the
/// mail was written in; none if no mail with it is known.
pub(super) async fn of_reply_address<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    address: &str,
    sender: &str,
    now: i64,
) -> Result<Option<Candidate>, DbErr> {
    let Some(key) = store::address_key(address) else {
        return Ok(None);
    };
    let text = format!(
        "{CANDIDATE} FROM thread_ids k JOIN tickets t ON t.id = k.ticket_id \
         WHERE k.project_id = $2 AND k.rfc_message_id = $3 ORDER BY k.message_id DESC LIMIT 1"
    );
    let values: [Value; 3] = [sender.into(), project_id.into(), key.into()];
    let row = on.query_one_raw(sql(on, &text, values)).await?;
    row.map(|row| candidate(&row, now)).transpose()
}

/// A ticket and all that people split out of it, or out of its parts, or that it was split out of.
pub(super) async fn kin<C: ConnectionTrait>(on: &C, ticket_id: &str) -> Result<Vec<String>, DbErr> {
    let text = format!(
        "WITH RECURSIVE kin (id) AS (SELECT CAST($1 AS TEXT) UNION \
         SELECT CASE WHEN l.ticket_id = kin.id THEN l.other_id ELSE l.ticket_id END FROM kin \
         JOIN ticket_links l ON (l.ticket_id = kin.id OR l.other_id = kin.id) AND l.kind = '{SPLIT}') \
         SELECT id FROM kin LIMIT {MOST_KIN}"
    );
    let rows = on.query_all_raw(sql(on, &text, [ticket_id.into()])).await?;
    rows.iter().map(|row| row.try_get("", "id")).collect()
}

/// The tickets with mails that have these Message-IDs, in the order of the identifiers given, each with its place in it.
pub(super) async fn of_references<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    rfc_ids: &[String],
    sender: &str,
    now: i64,
) -> Result<Vec<(usize, Candidate)>, DbErr> {
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
    Ok(found)
}

/// Somebody who takes part in a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The address, normalised.
    pub address: String,
    /// Where it stood first: `from`, `to` or `cc`.
    pub role: String,
}

/// Remembers who takes part because of one mail, as far as there is room: the sender comes first.
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
    let text = "SELECT COUNT(*) AS known FROM ticket_participations WHERE ticket_id = $1";
    let row = on.query_one_raw(sql(on, text, [ticket_id.into()])).await?;
    let known: i64 = row.map_or(Ok(0), |row| row.try_get("", "known"))?;
    let room = usize::try_from(MOST_PARTICIPATIONS - known).unwrap_or(0);
    let people = people.get(..room.min(people.len())).unwrap_or_default();
    first_participants(on, ticket_id, message_id, people, now).await
}

/// The same for a new ticket, which has room.
pub(super) async fn first_participants<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    message_id: &str,
    people: &[Participant],
    now: i64,
) -> Result<(), DbErr> {
    let rows = people
        .iter()
        .take(usize::try_from(MOST_PARTICIPATIONS).unwrap_or(0));
    let rows = rows.map(|person| {
        let row: [Value; 5] = [
            ticket_id.into(),
            person.address.as_str().into(),
            message_id.into(),
            person.role.as_str().into(),
            now.into(),
        ];
        row
    });
    let text = "INSERT INTO ticket_participations (ticket_id, address, message_id, role, created_at) \
                VALUES {rows} ON CONFLICT DO NOTHING";
    with_rows(on, text, rows.collect()).await.map(drop)
}

/// Who takes part in a ticket, in the order they came; each with the role they had first.
pub(super) async fn participants<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
) -> Result<Vec<Participant>, DbErr> {
    let text = format!(
        "SELECT address, role FROM ticket_participations p WHERE ticket_id = $1 AND NOT EXISTS (\
         SELECT 1 FROM ticket_participations e WHERE e.ticket_id = p.ticket_id AND e.address = p.address \
         AND (e.created_at < p.created_at OR (e.created_at = p.created_at AND e.message_id < p.message_id))) \
         ORDER BY created_at, address LIMIT {MOST_SHOWN}"
    );
    let rows = on.query_all_raw(sql(on, &text, [ticket_id.into()])).await?;
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
    let text = "SELECT key FROM tickets WHERE merged_into = $1 AND merged_into <> '' ORDER BY number";
    let rows = on
        .query_all_raw(sql(on, text, [ticket.id.as_str().into()]))
        .await?;
    rows.iter().map(|row| row.try_get("", "key")).collect()
}

//! All queries on tickets, entries and the Message-IDs that lead to them.

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, ConnectionTrait, FromQueryResult, QueryOrder, QuerySelect, Value};

use super::model::Placed;
use crate::access::Projects;
use crate::crypto::sha256_hex;
use crate::db::{sql, with_rows, within, within_sql};
use crate::message::Understood;
use crate::search::{self, Document, Fields};

pub use entry::Model as Entry;
pub use row::Model as Ticket;

mod row {
    //! The table `tickets`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// What a message became.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tickets")]
    pub struct Model {
        /// `tkt_` + ULID.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// Its project.
        pub project_id: String,
        /// Number within the project.
        pub number: i64,
        /// Project key and number: `HELP-42`.
        pub key: String,
        /// Subject of its first message.
        pub subject: String,
        /// Display name of who asked.
        pub requester_name: String,
        /// Address of who asked.
        pub requester_email: String,
        /// `open`, `pending` or `closed`.
        pub state: String,
        /// Who works on it; empty if nobody.
        pub assignee_id: String,
        /// Labels, a JSON list.
        pub labels: String,
        /// `low`, `normal`, `high` or `urgent`.
        pub priority: String,
        /// What the list's search looks in, lower case.
        pub search_text: String,
        /// How many entries it has.
        pub entry_count: i64,
        /// Grows with every change; the API's ETag.
        pub revision: i64,
        /// Milliseconds since 1970.
        pub created_at: i64,
        /// Milliseconds since 1970.
        pub updated_at: i64,
        /// The ticket it was merged into; empty if it was not. Never one that was merged itself.
        pub merged_into: String,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod entry {
    //! The table `entries`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// One message or reply in a ticket.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "entries")]
    pub struct Model {
        /// `ent_` + ULID.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// Its ticket.
        pub ticket_id: String,
        /// `message`, `reply` or `note`.
        pub kind: String,
        /// The message it shows; none for notes.
        pub message_id: Option<String>,
        /// Who wrote it.
        pub author: String,
        /// Text of a reply or note.
        pub body: String,
        /// Milliseconds since 1970.
        pub created_at: i64,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Longest Message-ID that is stored as it is, bytes. An index entry of PostgreSQL has room for 2,704 in all.
const LONGEST_ID: usize = 500;

/// A Message-ID as it is stored and looked up: one of absurd length by its hash.
pub(super) fn thread_key(rfc_id: &str) -> String {
    if rfc_id.len() <= LONGEST_ID {
        return rfc_id.to_owned();
    }
    format!("sha256:{}", sha256_hex(rfc_id.as_bytes()))
}

/// What a reply address of ours is remembered by, beside the Message-IDs: none of them holds a space.
pub(super) fn address_key(address: &str) -> Option<String> {
    let local = address.trim().rsplit_once('@')?.0.to_lowercase();
    let token = local.split('+').skip(1).find(|part| part.starts_with("mg1."))?;
    Some(thread_key(&format!("reply to {token}")))
}

/// What a ticket begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewRow<'a> {
    pub(super) id: &'a str,
    pub(super) project_id: &'a str,
    pub(super) number: i64,
    pub(super) key: &'a str,
    pub(super) subject: &'a str,
    pub(super) requester_name: &'a str,
    pub(super) requester_email: &'a str,
    /// Entries that it has from the beginning.
    pub(super) entries: i64,
}

/// Writes a new ticket; [`index`] makes it found.
pub(super) async fn insert_ticket<C: ConnectionTrait>(
    on: &C,
    new: &NewRow<'_>,
    now: i64,
) -> Result<(), DbErr> {
    let search = format!(
        "{} {} {} {}",
        new.key, new.subject, new.requester_name, new.requester_email
    )
    .to_lowercase();
    let values: [Value; 10] = [
        new.id.into(),
        new.project_id.into(),
        new.number.into(),
        new.key.into(),
        new.subject.into(),
        new.requester_name.into(),
        new.requester_email.into(),
        search.into(),
        new.entries.into(),
        now.into(),
    ];
    let text = "INSERT INTO tickets (id, project_id, number, key, subject, requester_name, requester_email, state, \
                search_text, entry_count, revision, created_at, updated_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $9, 1, $10, $10)";
    on.execute_raw(sql(on, text, values)).await.map(drop)
}

/// Puts the words of a ticket into the index, or its new ones in place of the old, in the caller's transaction.
pub(super) async fn index<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    index_all(on, &[id]).await
}

/// The same for several tickets, each named once.
pub(super) async fn index_all<C: ConnectionTrait>(on: &C, ids: &[&str]) -> Result<(), DbErr> {
    let ids = ids.iter().map(|id| [(*id).into()]).collect();
    let found = with_rows(on, "SELECT * FROM tickets WHERE id IN (VALUES {rows})", ids).await?;
    let tickets = found.iter().map(|row| Ticket::from_query_result(row, ""));
    let tickets = tickets.collect::<Result<Vec<_>, _>>()?;
    let documents: Vec<Document> = tickets.iter().map(document).collect();
    let entries = tickets.iter().map(|ticket| search::Entry {
        kind: search::Kind::Ticket,
        id: &ticket.id,
        ticket_id: &ticket.id,
        project_id: &ticket.project_id,
        has_attachment: false,
        at: ticket.created_at,
    });
    search::put_all(on, &entries.zip(&documents).collect::<Vec<_>>()).await
}

fn document(ticket: &Ticket) -> Document {
    let labels: Vec<String> = serde_json::from_str(&ticket.labels).unwrap_or_default();
    Document::new(Fields {
        subject: &format!("{} {}", ticket.key, ticket.subject),
        sender: &format!("{} {}", ticket.requester_name, ticket.requester_email),
        recipients: "",
        body: &labels.join("\n"),
    })
}

/// Sets what a rule wants for a ticket it opened; an empty text leaves what is there.
pub(super) async fn set_first<C: ConnectionTrait>(
    on: &C,
    id: &str,
    priority: &str,
    assignee_id: &str,
) -> Result<(), DbErr> {
    let values: [Value; 3] = [priority.into(), assignee_id.into(), id.into()];
    let text = "UPDATE tickets SET priority = CASE WHEN $1 = '' THEN priority ELSE $1 END, \
                assignee_id = CASE WHEN $2 = '' THEN assignee_id ELSE $2 END WHERE id = $3";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Writes the labels of a ticket, a JSON list. The caller sees to its revision.
pub(super) async fn set_labels<C: ConnectionTrait>(on: &C, id: &str, labels: &str) -> Result<(), DbErr> {
    let text = "UPDATE tickets SET labels = $1 WHERE id = $2";
    on.execute_raw(sql(on, text, [labels.into(), id.into()])).await?;
    index(on, id).await
}

/// Notes that a ticket is not what it was.
pub(super) async fn touch<C: ConnectionTrait>(on: &C, id: &str, now: i64) -> Result<(), DbErr> {
    let text = "UPDATE tickets SET revision = revision + 1, updated_at = $1 WHERE id = $2";
    on.execute_raw(sql(on, text, [now.into(), id.into()]))
        .await
        .map(|_| ())
}

/// Gives a ticket the subject and the requester of a mail that can be read now.
pub(super) async fn rename<C: ConnectionTrait>(
    on: &C,
    ticket: &Ticket,
    mail: &Understood,
    now: i64,
) -> Result<(), DbErr> {
    let search = format!(
        "{} {} {} {}",
        ticket.key, mail.subject, mail.from_name, mail.from_email
    );
    let values: [Value; 6] = [
        mail.subject.as_str().into(),
        mail.from_name.as_str().into(),
        mail.from_email.as_str().into(),
        search.to_lowercase().into(),
        now.into(),
        ticket.id.as_str().into(),
    ];
    let text = "UPDATE tickets SET subject = $1, requester_name = $2, requester_email = $3, search_text = $4, \
                updated_at = $5, revision = revision + 1 WHERE id = $6";
    on.execute_raw(sql(on, text, values)).await?;
    index(on, &ticket.id).await
}

/// Writes the entries of messages.
pub(super) async fn insert_entries<C: ConnectionTrait>(on: &C, placed: &[Placed]) -> Result<(), DbErr> {
    let rows = placed.iter().map(|placed| {
        let row: [Value; 5] = [
            placed.entry_id.as_str().into(),
            placed.ticket_id.as_str().into(),
            placed.message_id.as_str().into(),
            placed.author.as_str().into(),
            placed.at.into(),
        ];
        row
    });
    let text = "WITH v (id, ticket_id, message_id, author, created_at) AS (VALUES {rows}) \
                INSERT INTO entries (id, ticket_id, kind, message_id, author, created_at) \
                SELECT id, ticket_id, 'message', message_id, author, created_at FROM v";
    with_rows(on, text, rows.collect()).await.map(drop)
}

/// Counts the entry of a message that joins a ticket; `reopens` says whether it opens the ticket again. Returns the
/// state that it had if it was not open. The project must be locked by the caller.
pub(super) async fn joined<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    reopens: bool,
    now: i64,
) -> Result<Option<String>, DbErr> {
    let text = "UPDATE tickets SET entry_count = entry_count + 1, revision = revision + 1, updated_at = $1 \
                WHERE id = $2";
    on.execute_raw(sql(on, text, [now.into(), ticket_id.into()]))
        .await?;
    if !reopens {
        return Ok(None);
    }
    let text = "SELECT state FROM tickets WHERE id = $1 AND state <> 'open'";
    let Some(row) = on.query_one_raw(sql(on, text, [ticket_id.into()])).await? else {
        return Ok(None);
    };
    let text = "UPDATE tickets SET state = 'open' WHERE id = $1";
    on.execute_raw(sql(on, text, [ticket_id.into()])).await?;
    row.try_get_by_index(0).map(Some)
}

/// The entry of an answer of ours. It leaves the ticket's state as it is.
pub(super) async fn insert_reply<C: ConnectionTrait>(on: &C, reply: &Entry) -> Result<(), DbErr> {
    let model = entry::ActiveModel::from(reply.clone()).reset_all();
    entry::Entity::insert(model).exec_without_returning(on).await?;
    let text = "UPDATE tickets SET entry_count = entry_count + 1, revision = revision + 1, updated_at = $1 \
                WHERE id = $2";
    let values: [Value; 2] = [reply.created_at.into(), reply.ticket_id.as_str().into()];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

pub(super) async fn remember_ids<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    rfc_ids: &[String],
    ticket_id: &str,
    message_id: &str,
) -> Result<(), DbErr> {
    // A mail has one Message-ID; more than a few are an attempt to claim other people's.
    let rows = rfc_ids.iter().take(3).map(|rfc_id| {
        let row: [Value; 4] = [
            project_id.into(),
            thread_key(rfc_id).into(),
            ticket_id.into(),
            message_id.into(),
        ];
        row
    });
    let text = "INSERT INTO thread_ids (project_id, rfc_message_id, ticket_id, message_id) \
                VALUES {rows} ON CONFLICT DO NOTHING";
    with_rows(on, text, rows.collect()).await.map(drop)
}

/// Remembers that a mail of a ticket asks for answers to a signed address. `mail_id` is what moves with it: the id of the
/// outgoing mail, or of the message that it answers by itself.
pub async fn remember_address<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    ticket_id: &str,
    mail_id: &str,
    address: &str,
) -> Result<(), DbErr> {
    match address_key(address) {
        Some(key) => remember_ids(on, project_id, &[key], ticket_id, mail_id).await,
        None => Ok(()),
    }
}

pub(super) async fn by_id<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    id: &str,
) -> Result<Option<Ticket>, DbErr> {
    row::Entity::find_by_id(id)
        .filter(within(projects, row::Column::ProjectId))
        .one(on)
        .await
}

/// The key of a ticket; none if there is none with this id.
pub async fn key_of<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<String>, DbErr> {
    if id.is_empty() {
        return Ok(None);
    }
    let row = on
        .query_one_raw(sql(on, "SELECT key FROM tickets WHERE id = $1", [id.into()]))
        .await?;
    row.map(|row| row.try_get("", "key")).transpose()
}

pub(super) async fn by_key<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    key: &str,
) -> Result<Option<Ticket>, DbErr> {
    row::Entity::find()
        .filter(row::Column::Key.eq(key.to_uppercase()))
        .filter(within(projects, row::Column::ProjectId))
        .one(on)
        .await
}

pub(super) async fn entries_of<C: ConnectionTrait>(on: &C, ticket_id: &str) -> Result<Vec<Entry>, DbErr> {
    entry::Entity::find()
        .filter(entry::Column::TicketId.eq(ticket_id))
        .order_by_asc(entry::Column::CreatedAt)
        .order_by_asc(entry::Column::Id)
        .all(on)
        .await
}

/// The entries of a ticket that come after a place, oldest first.
pub(super) async fn entries_after<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    after: Option<(i64, String)>,
    limit: u64,
) -> Result<Vec<Entry>, DbErr> {
    let mut query = entry::Entity::find().filter(entry::Column::TicketId.eq(ticket_id));
    if let Some((at, id)) = after {
        let same = Condition::all()
            .add(entry::Column::CreatedAt.eq(at))
            .add(entry::Column::Id.gt(id));
        let later = Condition::any().add(entry::Column::CreatedAt.gt(at)).add(same);
        query = query.filter(later);
    }
    query
        .order_by_asc(entry::Column::CreatedAt)
        .order_by_asc(entry::Column::Id)
        .limit(limit)
        .all(on)
        .await
}

/// One entry of a ticket.
pub(super) async fn entry_of<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    id: &str,
) -> Result<Option<Entry>, DbErr> {
    entry::Entity::find_by_id(id)
        .filter(entry::Column::TicketId.eq(ticket_id))
        .one(on)
        .await
}

/// How many tickets were opened in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourCount {
    /// Beginning of the hour, milliseconds since 1970.
    pub hour: i64,
    /// Tickets opened in it.
    pub tickets: i64,
}

/// Tickets opened per hour since a time; hours without any are left out.
pub async fn per_hour<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    since: i64,
) -> Result<Vec<HourCount>, DbErr> {
    let (mine, ids) = within_sql(projects, "project_id", 2);
    let text = format!(
        "SELECT created_at / 3600000 AS hour, COUNT(*) AS tickets FROM tickets WHERE created_at >= $1 AND {mine} \
         GROUP BY created_at / 3600000 ORDER BY 1"
    );
    let values = std::iter::once(since.into()).chain(ids);
    let rows = on.query_all_raw(sql(on, &text, values)).await?;
    rows.iter()
        .map(|row| {
            Ok(HourCount {
                hour: row.try_get::<i64>("", "hour")? * 3_600_000,
                tickets: row.try_get("", "tickets")?,
            })
        })
        .collect()
}

/// How many tickets of a project are in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCount {
    /// The project.
    pub project_id: String,
    /// `open`, `pending` or `closed`.
    pub state: String,
    /// How many.
    pub tickets: i64,
    /// When the newest of them changed, milliseconds since 1970.
    pub updated_at: i64,
}

/// Tickets by project and state; pairs without any are left out.
pub async fn count_by_state<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
) -> Result<Vec<StateCount>, DbErr> {
    let (mine, ids) = within_sql(projects, "project_id", 1);
    let text = format!(
        "SELECT project_id, state, COUNT(*) AS tickets, MAX(updated_at) AS updated_at FROM tickets WHERE {mine} \
         AND merged_into = '' GROUP BY project_id, state"
    );
    let rows = on.query_all_raw(sql(on, &text, ids)).await?;
    rows.iter()
        .map(|row| {
            Ok(StateCount {
                project_id: row.try_get("", "project_id")?,
                state: row.try_get("", "state")?,
                tickets: row.try_get("", "tickets")?,
                updated_at: row.try_get("", "updated_at")?,
            })
        })
        .collect()
}

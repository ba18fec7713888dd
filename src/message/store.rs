//! All queries on messages and their raw bytes.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, FromQueryResult, Iterable, Value};

use super::model::{NewRaw, Stored};
use super::parse::Understood;
use crate::access::Projects;
use crate::clock::Clock;
use crate::crypto::sha256_hex;
use crate::db::{sql, with_rows, within, within_sql};
use crate::id;
use crate::search::{self, Document};

pub use row::Model as Message;

/// Raw bytes are cut into pieces of this size, so that no row is huge.
const CHUNK: usize = 256 * 1024;

mod row {
    //! The table `messages`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// One mail as received.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "messages")]
    pub struct Model {
        /// `msg_` + ULID.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// The mailbox it was read from.
        pub mailbox_id: String,
        /// The project of that mailbox when it was read.
        pub project_id: String,
        /// SHA-256 of the raw bytes, hex.
        pub content_hash: String,
        /// Size on the server, bytes.
        pub size: i64,
        /// The folder it was read from.
        pub folder: String,
        /// UIDVALIDITY of the folder.
        pub uid_validity: i64,
        /// Its UID.
        pub uid: i64,
        /// The server's INTERNALDATE, milliseconds since 1970.
        pub internal_date: Option<i64>,
        /// When it was stored here, milliseconds since 1970.
        pub received_at: i64,
        /// `stored`, `ticketed`, `quarantined` or `dropped`.
        pub state: String,
        /// How often parsing was begun.
        pub attempts: i64,
        /// True if only the beginning was fetched (size limit).
        pub is_partial: bool,
        /// The parsed mail as JSON; empty until parsed.
        pub parsed: String,
        /// Subject.
        pub subject: String,
        /// Sender's display name.
        pub from_name: String,
        /// Sender's address.
        pub from_email: String,
        /// The first words of the text.
        pub preview: String,
        /// The Date header, RFC 3339.
        pub sent_at: String,
        /// Whether files come with it.
        pub has_attachment: bool,
        /// Why it is quarantined or was dropped, in words; empty if it is neither.
        pub problem: String,
        /// `unreadable`, `too_large` or `rule`; empty if it is not quarantined.
        pub quarantine_reason: String,
        /// When it was quarantined, milliseconds since 1970.
        pub quarantined_at: Option<i64>,
        /// Its ticket; empty until it has one.
        pub ticket_id: String,
        /// Its entry in that ticket.
        pub entry_id: String,
        /// Its conversation; empty until it was parsed.
        pub thread_id: String,
        /// Why it is in that ticket, JSON; empty until it was placed.
        pub resolution: String,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Every column of a message `t` but what was parsed of it, which is empty.
pub(super) fn head_columns() -> String {
    let columns = row::Column::iter().map(|column| match column {
        row::Column::Parsed => "'' AS parsed".to_owned(),
        column => format!("t.{}", column.as_str()),
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// What was parsed of some messages, by their ids.
pub(super) async fn parsed_of<C: ConnectionTrait>(
    on: &C,
    ids: &[&str],
) -> Result<HashMap<String, String>, DbErr> {
    let ids = ids.iter().map(|id| [(*id).into()]).collect();
    let text = "SELECT id, parsed FROM messages WHERE id IN (VALUES {rows})";
    let rows = with_rows(on, text, ids).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "parsed")?)))
        .collect()
}

/// Stores raw mails of one mailbox, or finds the messages that have the same bytes; what became of each, in their order.
pub async fn insert_raws<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    raws: &[NewRaw<'_>],
) -> Result<Vec<Stored>, DbErr> {
    let named: Vec<(String, String)> = raws
        .iter()
        .map(|raw| (id::new("msg", clock), sha256_hex(raw.bytes)))
        .collect();
    let now = clock.now_ms();
    let rows = raws.iter().zip(&named).map(|(raw, (id, hash))| {
        let row: [Value; 11] = [
            id.as_str().into(),
            raw.mailbox_id.into(),
            raw.project_id.into(),
            hash.as_str().into(),
            i64::try_from(raw.size).unwrap_or(i64::MAX).into(),
            raw.folder.into(),
            i64::from(raw.uid_validity).into(),
            i64::from(raw.uid).into(),
            raw.internal_date.into(),
            now.into(),
            raw.is_partial.into(),
        ];
        row
    });
    // What a mail does not say yet is empty by default.
    let text = "WITH v (id, mailbox_id, project_id, content_hash, size, folder, uid_validity, uid, internal_date, \
                received_at, is_partial) AS (VALUES {rows}) \
                INSERT INTO messages (id, mailbox_id, project_id, content_hash, size, folder, uid_validity, uid, \
                internal_date, received_at, is_partial, state, attempts, parsed, subject, from_name, from_email, \
                preview, sent_at, has_attachment, problem, ticket_id, entry_id) \
                SELECT id, mailbox_id, project_id, content_hash, size, folder, uid_validity, uid, internal_date, \
                received_at, is_partial, 'stored', 0, '', '', '', '', '', '', FALSE, '', '', '' FROM v WHERE TRUE \
                ON CONFLICT (mailbox_id, content_hash) DO NOTHING RETURNING id";
    let new = with_rows(on, text, rows.collect()).await?;
    let new: HashSet<String> = new
        .iter()
        .map(|row| row.try_get("", "id"))
        .collect::<Result<_, _>>()?;
    let is_new = |id: &String| new.contains(id);
    let chunks = raws.iter().zip(&named).filter(|(_, (id, _))| is_new(id));
    insert_chunks(on, chunks.map(|(raw, (id, _))| (id.as_str(), raw.bytes))).await?;
    let known = raws.iter().zip(&named).filter(|(_, (id, _))| !is_new(id));
    let known = known.map(|(raw, (_, hash))| [raw.mailbox_id.into(), hash.as_str().into()]);
    let text = "SELECT id, content_hash FROM messages WHERE (mailbox_id, content_hash) IN (VALUES {rows})";
    let mut twins = HashMap::new();
    for row in with_rows(on, text, known.collect()).await? {
        twins.insert(row.try_get::<String>("", "content_hash")?, row.try_get("", "id")?);
    }
    named
        .into_iter()
        .map(|(id, hash)| {
            if new.contains(&id) {
                return Ok(Stored::New(id));
            }
            let twin: Option<&String> = twins.get(&hash);
            let twin = twin.ok_or_else(|| DbErr::RecordNotFound("message with the same bytes".into()))?;
            Ok(Stored::DuplicateOf(twin.clone()))
        })
        .collect()
}

/// Writes the raw bytes of messages that have none yet.
pub(super) async fn insert_chunks<'a, C: ConnectionTrait>(
    on: &C,
    mails: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<(), DbErr> {
    let chunks = mails.flat_map(|(message_id, bytes)| {
        let chunks = bytes.chunks(CHUNK).enumerate();
        chunks.map(move |(position, chunk)| {
            let position = i64::try_from(position).unwrap_or(i64::MAX);
            [message_id.into(), position.into(), chunk.to_vec().into()]
        })
    });
    let text = "INSERT INTO message_chunks (message_id, position, bytes) VALUES {rows}";
    with_rows(on, text, chunks.collect()).await.map(drop)
}

/// The raw bytes of a message.
pub async fn raw_bytes<C: ConnectionTrait>(on: &C, message_id: &str) -> Result<Vec<u8>, DbErr> {
    let text = "SELECT bytes FROM message_chunks WHERE message_id = $1 ORDER BY position";
    let rows = on.query_all_raw(sql(on, text, [message_id.into()])).await?;
    let mut bytes = Vec::new();
    for row in rows {
        bytes.extend_from_slice(&row.try_get::<Vec<u8>>("", "bytes")?);
    }
    Ok(bytes)
}

/// The raw bytes of messages, in the order of their ids as given.
pub async fn raw_bytes_of<C: ConnectionTrait>(
    on: &C,
    ids: &[String],
) -> Result<Vec<(String, Vec<u8>)>, DbErr> {
    let text = "SELECT message_id, bytes FROM message_chunks WHERE message_id IN (VALUES {rows}) \
                ORDER BY message_id, position";
    let mut found: HashMap<String, Vec<u8>> = HashMap::new();
    for row in with_rows(on, text, ids_of(ids)).await? {
        let bytes = found.entry(row.try_get("", "message_id")?).or_default();
        bytes.extend_from_slice(&row.try_get::<Vec<u8>>("", "bytes")?);
    }
    Ok(ids
        .iter()
        .map(|id| (id.clone(), found.remove(id).unwrap_or_default()))
        .collect())
}

fn ids_of(ids: &[String]) -> Vec<[Value; 1]> {
    ids.iter().map(|id| [id.as_str().into()]).collect()
}

/// The projects of some messages, each once and in one order, in which all who need several lock them.
pub async fn projects_of<C: ConnectionTrait>(on: &C, ids: &[String]) -> Result<BTreeSet<String>, DbErr> {
    let rows = ids.iter().map(|id| [id.as_str().into()]).collect();
    let text = "SELECT DISTINCT project_id FROM messages WHERE id IN (VALUES {rows})";
    let found = with_rows(on, text, rows).await?;
    found.iter().map(|row| row.try_get("", "project_id")).collect()
}

/// A message that waits to be parsed.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its id.
    pub id: String,
    /// How often parsing was begun.
    pub attempts: i64,
    /// How many bytes of it are stored.
    pub bytes: i64,
}

/// Messages that wait to be parsed, in the order of the folder.
pub async fn pending<C: ConnectionTrait>(
    on: &C,
    mailbox_id: &str,
    limit: u32,
) -> Result<Vec<Waiting>, DbErr> {
    let text = "SELECT id, attempts, CASE WHEN is_partial THEN 0 ELSE size END AS bytes FROM messages \
                WHERE state = 'stored' AND mailbox_id = $1 ORDER BY received_at, uid LIMIT $2";
    let values: [Value; 2] = [mailbox_id.into(), i64::from(limit).into()];
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    rows.iter()
        .map(|row| {
            Ok(Waiting {
                id: row.try_get("", "id")?,
                attempts: row.try_get("", "attempts")?,
                bytes: row.try_get("", "bytes")?,
            })
        })
        .collect()
}

/// Mailboxes with messages that have waited since before a time (milliseconds).
pub async fn pending_mailboxes<C: ConnectionTrait>(on: &C, before: i64) -> Result<Vec<String>, DbErr> {
    let text = "SELECT DISTINCT mailbox_id FROM messages WHERE state = 'stored' AND received_at < $1";
    let rows = on.query_all_raw(sql(on, text, [before.into()])).await?;
    rows.iter().map(|row| row.try_get("", "mailbox_id")).collect()
}

/// Counts one more attempt at parsing; committed before parsing begins, so that a crash is counted.
pub async fn begin_attempt<C: ConnectionTrait>(on: &C, ids: &[String]) -> Result<(), DbErr> {
    let text = "UPDATE messages SET attempts = attempts + 1 WHERE id IN (VALUES {rows})";
    with_rows(on, text, ids_of(ids)).await.map(drop)
}

/// Takes an attempt back that said nothing about the mails.
pub async fn forget_attempt<C: ConnectionTrait>(on: &C, ids: &[String]) -> Result<(), DbErr> {
    let text = "UPDATE messages SET attempts = attempts - 1 WHERE id IN (VALUES {rows}) AND attempts > 0";
    with_rows(on, text, ids_of(ids)).await.map(drop)
}

/// Writes the parsed forms of messages that still wait, and returns those messages, in the order given. The others were
/// finished by somebody else meanwhile.
pub async fn save_parsed<C: ConnectionTrait>(
    on: &C,
    mails: &[(&str, &Understood)],
) -> Result<Vec<Message>, DbErr> {
    let rows = mails.iter().map(|(id, understood)| {
        let row: [Value; 9] = [
            (*id).into(),
            understood.json.as_str().into(),
            understood.subject.as_str().into(),
            understood.from_name.as_str().into(),
            understood.from_email.as_str().into(),
            understood.preview.as_str().into(),
            understood.sent_at.as_str().into(),
            understood.has_attachment.into(),
            understood.sent_hash.as_str().into(),
        ];
        row
    });
    let columns: Vec<String> = row::Column::iter()
        .map(|column| column.as_str().to_owned())
        .collect();
    let text = format!(
        "WITH v (n_id, n_parsed, n_subject, n_name, n_email, n_preview, n_sent, n_files, n_hash) AS (VALUES {{rows}}) \
         UPDATE messages SET parsed = n_parsed, subject = n_subject, from_name = n_name, from_email = n_email, \
         preview = n_preview, sent_at = n_sent, has_attachment = n_files, \
         sent_hash = CASE WHEN is_partial THEN '' ELSE n_hash END, state = 'ticketed' FROM v \
         WHERE id = n_id AND state = 'stored' RETURNING {}",
        columns.join(", ")
    );
    let mut saved: HashMap<String, Message> = HashMap::new();
    for row in with_rows(on, &text, rows.collect()).await? {
        let message = Message::from_query_result(&row, "")?;
        saved.insert(message.id.clone(), message);
    }
    Ok(mails.iter().filter_map(|(id, _)| saved.remove(*id)).collect())
}

/// Puts the words of a message into the index, or its new ones in place of the old, in the caller's transaction.
pub async fn index<C: ConnectionTrait>(on: &C, id: &str, words: &Document) -> Result<(), DbErr> {
    let text = "SELECT project_id, ticket_id, has_attachment, received_at FROM messages WHERE id = $1";
    let Some(row) = on.query_one_raw(sql(on, text, [id.into()])).await? else {
        return Ok(());
    };
    let (project_id, ticket_id): (String, String) =
        (row.try_get("", "project_id")?, row.try_get("", "ticket_id")?);
    let entry = search::Entry {
        kind: search::Kind::Message,
        id,
        ticket_id: &ticket_id,
        project_id: &project_id,
        has_attachment: row.try_get("", "has_attachment")?,
        at: row.try_get("", "received_at")?,
    };
    search::put(on, &entry, words).await
}

/// Takes a message that could not be read out of the queue; false if somebody else finished it meanwhile.
pub async fn mark_unreadable<C: ConnectionTrait>(
    on: &C,
    id: &str,
    problem: &str,
    now: i64,
) -> Result<bool, DbErr> {
    let values: [Value; 3] = [problem.into(), now.into(), id.into()];
    let text = "UPDATE messages SET state = 'quarantined', quarantine_reason = 'unreadable', problem = $1, \
                quarantined_at = $2 WHERE id = $3 AND state = 'stored'";
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// Where a message is now.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The message as it was before.
    pub message: Message,
    /// Its ticket; empty if it has none.
    pub ticket_id: String,
    /// Its entry in that ticket; empty if it has none.
    pub entry_id: String,
    /// Why it is there, JSON; empty if it has no ticket.
    pub resolution: String,
    /// What it is in its conversation, see [`super::link`].
    pub node: String,
    /// Its words, for the search; none if it could not be read.
    pub words: Option<&'a Document>,
}

/// Notes where messages are now, with their conversations, and puts their words into the index.
pub async fn mark_placed<C: ConnectionTrait>(on: &C, places: &[Place<'_>]) -> Result<(), DbErr> {
    let rows = places.iter().map(|place| {
        let row: [Value; 5] = [
            place.message.id.as_str().into(),
            place.ticket_id.as_str().into(),
            place.entry_id.as_str().into(),
            place.resolution.as_str().into(),
            place.node.as_str().into(),
        ];
        row
    });
    // A mail that came later in the transaction may have made one conversation of two.
    let text = "WITH v (n_id, n_ticket, n_entry, n_why, n_node) AS (VALUES {rows}) UPDATE messages SET \
                ticket_id = n_ticket, entry_id = n_entry, resolution = n_why, thread_id = COALESCE(\
                (SELECT thread_id FROM thread_nodes WHERE node = n_node), '') FROM v WHERE id = n_id";
    with_rows(on, text, rows.collect()).await?;
    let worded = places.iter().filter_map(|place| {
        let entry = search::Entry {
            kind: search::Kind::Message,
            id: &place.message.id,
            ticket_id: &place.ticket_id,
            project_id: &place.message.project_id,
            has_attachment: place.message.has_attachment,
            at: place.message.received_at,
        };
        Some((entry, place.words?))
    });
    search::put_all(on, &worded.collect::<Vec<_>>()).await
}

/// One message, in the caller's transaction or outside of any; `None` if it is not there.
pub async fn find_in<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Message>, DbErr> {
    row::Entity::find_by_id(id).one(on).await
}

/// A message, read in the caller's transaction.
pub async fn get_in<C: ConnectionTrait>(on: &C, id: &str) -> Result<Message, DbErr> {
    by_id(on, &Projects::All, id)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound(id.to_owned()))
}

pub(super) async fn by_id<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    id: &str,
) -> Result<Option<Message>, DbErr> {
    row::Entity::find_by_id(id)
        .filter(within(projects, row::Column::ProjectId))
        .one(on)
        .await
}

/// How many messages there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCount {
    /// All of them.
    pub messages: i64,
    /// Those that could not be parsed.
    pub quarantined: i64,
}

pub(super) async fn count_since<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    since: i64,
    mailbox_id: Option<&str>,
) -> Result<MessageCount, DbErr> {
    let mut values: Vec<Value> = vec![since.into()];
    let of_mailbox = match mailbox_id {
        Some(id) => {
            values.push(id.into());
            "mailbox_id = $2"
        }
        None => "1 = 1",
    };
    let (mine, ids) = within_sql(projects, "project_id", values.len() + 1);
    values.extend(ids);
    let text = format!(
        "SELECT COUNT(*) AS messages, COUNT(CASE WHEN state = 'quarantined' THEN 1 END) AS quarantined \
         FROM messages WHERE received_at >= $1 AND {of_mailbox} AND {mine}"
    );
    let row = on.query_one_raw(sql(on, &text, values)).await?;
    row.map_or(Ok(MessageCount::default()), |row| {
        Ok(MessageCount {
            messages: row.try_get("", "messages")?,
            quarantined: row.try_get("", "quarantined")?,
        })
    })
}

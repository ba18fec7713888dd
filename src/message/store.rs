//! All queries on messages and their raw bytes.

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, ExprTrait, QueryOrder, QuerySelect, Value};

use super::model::{NewRaw, Stored};
use super::parse::Understood;
use super::service::MessageFilter;
use crate::access::Projects;
use crate::clock::Clock;
use crate::crypto::sha256_hex;
use crate::db::{sql, within, within_sql};
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

/// Stores a raw mail, or finds the message that has the same bytes.
pub async fn insert_raw<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    raw: &NewRaw<'_>,
) -> Result<Stored, DbErr> {
    let hash = sha256_hex(raw.bytes);
    let message_id = id::new("msg", clock);
    let values: [Value; 12] = [
        message_id.clone().into(),
        raw.mailbox_id.into(),
        raw.project_id.into(),
        hash.clone().into(),
        i64::try_from(raw.size).unwrap_or(i64::MAX).into(),
        raw.folder.into(),
        i64::from(raw.uid_validity).into(),
        i64::from(raw.uid).into(),
        raw.internal_date.into(),
        clock.now_ms().into(),
        raw.is_partial.into(),
        "stored".into(),
    ];
    let text = "INSERT INTO messages (id, mailbox_id, project_id, content_hash, size, folder, uid_validity, uid, \
                internal_date, received_at, is_partial, state, attempts, parsed, subject, from_name, from_email, \
                preview, sent_at, has_attachment, problem, ticket_id, entry_id) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, '', '', '', '', '', '', FALSE, '', \
                '', '') ON CONFLICT (mailbox_id, content_hash) DO NOTHING";
    if on.execute_raw(sql(on, text, values)).await?.rows_affected() == 0 {
        let text = "SELECT id FROM messages WHERE mailbox_id = $1 AND content_hash = $2";
        let row = on
            .query_one_raw(sql(on, text, [raw.mailbox_id.into(), hash.into()]))
            .await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("message with the same bytes".into()))?;
        return Ok(Stored::DuplicateOf(row.try_get("", "id")?));
    }
    insert_chunks(on, &message_id, raw.bytes).await?;
    Ok(Stored::New(message_id))
}

/// Writes the raw bytes of a message that has none yet.
pub(super) async fn insert_chunks<C: ConnectionTrait>(
    on: &C,
    message_id: &str,
    bytes: &[u8],
) -> Result<(), DbErr> {
    for (position, chunk) in bytes.chunks(CHUNK).enumerate() {
        let values: [Value; 3] = [
            message_id.into(),
            i64::try_from(position).unwrap_or(i64::MAX).into(),
            chunk.to_vec().into(),
        ];
        let text = "INSERT INTO message_chunks (message_id, position, bytes) VALUES ($1, $2, $3)";
        on.execute_raw(sql(on, text, values)).await?;
    }
    Ok(())
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
    row::Entity::update_many()
        .col_expr(row::Column::Attempts, Expr::col(row::Column::Attempts).add(1))
        .filter(row::Column::Id.is_in(ids))
        .exec(on)
        .await?;
    Ok(())
}

/// Takes an attempt back that said nothing about the mails.
pub async fn forget_attempt<C: ConnectionTrait>(on: &C, ids: &[String]) -> Result<(), DbErr> {
    row::Entity::update_many()
        .col_expr(row::Column::Attempts, Expr::col(row::Column::Attempts).sub(1))
        .filter(row::Column::Id.is_in(ids))
        .filter(row::Column::Attempts.gt(0))
        .exec(on)
        .await?;
    Ok(())
}

/// Writes the parsed form of a message that still waits; false if somebody else finished it meanwhile.
pub async fn save_parsed<C: ConnectionTrait>(
    on: &C,
    id: &str,
    understood: &Understood,
) -> Result<bool, DbErr> {
    let values: [Value; 9] = [
        understood.json.clone().into(),
        understood.subject.clone().into(),
        understood.from_name.clone().into(),
        understood.from_email.clone().into(),
        understood.preview.clone().into(),
        understood.sent_at.clone().into(),
        understood.has_attachment.into(),
        id.into(),
        understood.sent_hash.as_str().into(),
    ];
    let text = "UPDATE messages SET parsed = $1, subject = $2, from_name = $3, from_email = $4, preview = $5, \
                sent_at = $6, has_attachment = $7, sent_hash = CASE WHEN is_partial THEN '' ELSE $9 END, state = 'ticketed' WHERE id = $8 AND state = 'stored'";
    if on.execute_raw(sql(on, text, values)).await?.rows_affected() != 1 {
        return Ok(false);
    }
    index(on, id, &understood.words).await?;
    Ok(true)
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

/// Notes the ticket and the entry of a message, and why it is there (JSON).
pub async fn mark_placed<C: ConnectionTrait>(
    on: &C,
    id: &str,
    ticket_id: &str,
    entry_id: &str,
    resolution: &str,
) -> Result<(), DbErr> {
    let values: [Value; 4] = [ticket_id.into(), entry_id.into(), resolution.into(), id.into()];
    let text = "UPDATE messages SET ticket_id = $1, entry_id = $2, resolution = $3 WHERE id = $4";
    on.execute_raw(sql(on, text, values)).await?;
    search::place(on, id, ticket_id).await
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

pub(super) async fn list<C: ConnectionTrait>(
    on: &C,
    filter: &MessageFilter,
    limit: u64,
) -> Result<Vec<Message>, DbErr> {
    let mut query = row::Entity::find()
        .filter(within(&filter.projects, row::Column::ProjectId))
        .order_by_desc(row::Column::Id)
        .limit(limit);
    if let Some(mailbox) = &filter.mailbox_id {
        query = query.filter(row::Column::MailboxId.eq(mailbox));
    }
    if let Some(ticket) = &filter.ticket_id {
        query = query.filter(row::Column::TicketId.eq(ticket));
    }
    if let Some(thread) = &filter.thread_id {
        query = query.filter(row::Column::ThreadId.eq(thread));
    }
    if let Some(project) = &filter.project_id {
        query = query.filter(row::Column::ProjectId.eq(project));
    }
    if let Some(state) = &filter.state {
        query = query.filter(row::Column::State.eq(state));
    }
    if let Some(after) = &filter.after {
        query = query.filter(row::Column::Id.lt(after));
    }
    query.all(on).await
}

/// Messages in quarantine, the newest first; of one reason if it is named.
pub async fn quarantined<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    reason: Option<&str>,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<Message>, DbErr> {
    let mut query = row::Entity::find()
        .filter(row::Column::State.eq("quarantined"))
        .filter(within(projects, row::Column::ProjectId))
        .order_by_desc(row::Column::Id)
        .limit(limit);
    if let Some(reason) = reason {
        query = query.filter(row::Column::QuarantineReason.eq(reason));
    }
    if let Some(after) = after {
        query = query.filter(row::Column::Id.lt(after));
    }
    query.all(on).await
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

//! All queries on what leaves the usual way: quarantine, what a rule dropped, and what a person decides about either.

use sea_orm::{ConnectionTrait, DbErr, Value};

use super::parse::Understood;
use super::store::Message;
use crate::access::Projects;
use crate::crypto::sha256_hex;
use crate::db::{sql, within_sql};

/// Why a message is in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Reading it failed three times. Its ticket says so.
    Unreadable,
    /// It exceeds the mailbox's size limit: only its header is here. Its ticket shows that.
    TooLarge,
    /// A rule sent it there. It has no ticket.
    Rule,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unreadable, Self::TooLarge, Self::Rule];

    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too_large",
            Self::Rule => "rule",
        }
    }

    /// Reads the text of the database and the API.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// Where a message stands after it was processed.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    /// In its ticket.
    Ticketed,
    /// Aside, until a person has looked; why, and in words.
    Quarantined(Reason, &'a str),
    /// Nowhere but in the log; why.
    Dropped(&'a str),
}

/// Notes where a message stands, whatever it was before. The caller has made sure that nobody else is at it.
pub async fn set_standing<C: ConnectionTrait>(
    on: &C,
    id: &str,
    standing: Standing<'_>,
    now: i64,
) -> Result<(), DbErr> {
    let (state, reason, problem, since) = match standing {
        Standing::Ticketed => ("ticketed", "", "", None),
        Standing::Quarantined(reason, problem) => ("quarantined", reason.as_str(), problem, Some(now)),
        Standing::Dropped(problem) => ("dropped", "", problem, None),
    };
    let values: [Value; 5] = [
        state.into(),
        reason.into(),
        problem.into(),
        since.into(),
        id.into(),
    ];
    let text = "UPDATE messages SET state = $1, quarantine_reason = $2, problem = $3, quarantined_at = $4 WHERE id = $5";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Writes the parsed form anew, whatever the message's state.
pub async fn save_parsed_again<C: ConnectionTrait>(
    on: &C,
    id: &str,
    understood: &Understood,
) -> Result<(), DbErr> {
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
                sent_at = $6, has_attachment = $7, sent_hash = CASE WHEN is_partial THEN '' ELSE $9 END WHERE id = $8";
    on.execute_raw(sql(on, text, values)).await?;
    super::store::index(on, id, &understood.words).await
}

/// The first bytes of a message, which hold its header: a quarter of a megabyte at most.
pub async fn beginning<C: ConnectionTrait>(on: &C, message_id: &str) -> Result<Vec<u8>, DbErr> {
    let text = "SELECT bytes FROM message_chunks WHERE message_id = $1 AND position = 0";
    let row = on.query_one_raw(sql(on, text, [message_id.into()])).await?;
    row.map_or(Ok(Vec::new()), |row| row.try_get("", "bytes"))
}

/// Puts the whole mail where only its header was. Its hash stays that of the header: by it the mail is known again when
/// the server offers it once more.
pub async fn complete<C: ConnectionTrait>(on: &C, id: &str, bytes: &[u8]) -> Result<bool, DbErr> {
    let text = "UPDATE messages SET is_partial = FALSE, size = $1 WHERE id = $2 AND is_partial";
    let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let values: [Value; 2] = [size.into(), id.into()];
    if on.execute_raw(sql(on, text, values)).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let text = "DELETE FROM message_chunks WHERE message_id = $1";
    on.execute_raw(sql(on, text, [id.into()])).await?;
    super::store::insert_chunks(on, std::iter::once((id, bytes))).await?;
    Ok(true)
}

/// Whether a mailbox holds these bytes already as another message.
pub async fn twin_of<C: ConnectionTrait>(
    on: &C,
    mailbox_id: &str,
    id: &str,
    bytes: &[u8],
) -> Result<Option<String>, DbErr> {
    let text = "SELECT id FROM messages WHERE mailbox_id = $1 AND content_hash = $2 AND id <> $3";
    let values: [Value; 3] = [mailbox_id.into(), sha256_hex(bytes).into(), id.into()];
    let row = on.query_one_raw(sql(on, text, values)).await?;
    row.map(|row| row.try_get("", "id")).transpose()
}

/// Another message that is the same mail, which went to several mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Its id.
    pub message_id: String,
    /// Its mailbox.
    pub mailbox_id: String,
    /// The name of that; empty if it is not there any more.
    pub mailbox: String,
    /// When it came, milliseconds since 1970.
    pub at: i64,
}

/// The other messages that are shown by the same entry of a ticket, the oldest first.
pub async fn copies<C: ConnectionTrait>(on: &C, message: &Message) -> Result<Vec<Copy>, DbErr> {
    if message.entry_id.is_empty() {
        return Ok(Vec::new());
    }
    let text = "SELECT m.id AS id, m.mailbox_id AS mailbox_id, COALESCE(b.name, '') AS name, m.received_at AS at \
                FROM messages m LEFT JOIN mailboxes b ON b.id = m.mailbox_id \
                WHERE m.ticket_id = $1 AND m.entry_id = $2 AND m.id <> $3 ORDER BY m.id LIMIT 20";
    let values: [Value; 3] = [
        message.ticket_id.as_str().into(),
        message.entry_id.as_str().into(),
        message.id.as_str().into(),
    ];
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    rows.iter()
        .map(|row| {
            Ok(Copy {
                message_id: row.try_get("", "id")?,
                mailbox_id: row.try_get("", "mailbox_id")?,
                mailbox: row.try_get("", "name")?,
                at: row.try_get("", "at")?,
            })
        })
        .collect()
}

/// How many messages wait in quarantine for a person, by reason.
pub async fn count_quarantined<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
) -> Result<Vec<(String, i64)>, DbErr> {
    let (condition, values) = within_sql(projects, "project_id", 1);
    let text = format!(
        "SELECT quarantine_reason AS reason, COUNT(*) AS messages FROM messages WHERE state = 'quarantined' AND \
         {condition} GROUP BY quarantine_reason ORDER BY quarantine_reason"
    );
    let rows = on.query_all_raw(sql(on, &text, values)).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "reason")?, row.try_get("", "messages")?)))
        .collect()
}

/// What became of a message on its server: one line for each UID it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnServer {
    /// The folder.
    pub folder: String,
    /// Its UIDVALIDITY.
    pub uid_validity: i64,
    /// The UID.
    pub uid: i64,
    /// `stored` or `duplicate_of`.
    pub outcome: String,
    /// Whether the server was told: `none`, `pending` or `done`.
    pub tell: String,
    /// When it was taken, milliseconds since 1970.
    pub at: i64,
}

/// The places a message had on its server, the first one first.
pub async fn on_server<C: ConnectionTrait>(on: &C, message_id: &str) -> Result<Vec<OnServer>, DbErr> {
    // By the mailbox, which has an index; one has few messages of the same bytes.
    let text = "SELECT i.folder AS folder, i.uid_validity AS uid_validity, i.uid AS uid, i.outcome AS outcome, \
                i.tell AS tell, i.created_at AS created_at FROM ingestions i JOIN messages m ON m.mailbox_id = \
                i.mailbox_id WHERE m.id = $1 AND i.message_id = $1 ORDER BY i.created_at, i.uid LIMIT 20";
    let rows = on.query_all_raw(sql(on, text, [message_id.into()])).await?;
    rows.iter()
        .map(|row| {
            Ok(OnServer {
                folder: row.try_get("", "folder")?,
                uid_validity: row.try_get("", "uid_validity")?,
                uid: row.try_get("", "uid")?,
                outcome: row.try_get("", "outcome")?,
                tell: row.try_get("", "tell")?,
                at: row.try_get("", "created_at")?,
            })
        })
        .collect()
}

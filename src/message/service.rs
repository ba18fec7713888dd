//! What can be asked of messages.

use std::collections::BTreeMap;

use mailgrant_mail::Attachment;

use super::store::{self, Message, MessageCount};
use super::{list_store, thread, thread_store};
use crate::access::Projects;
use crate::ctx::Ctx;

/// Why a message could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// There is none with this id.
    #[error("there is no such message")]
    NotFound,
    /// The message has no such attachment.
    #[error("the message has no such attachment")]
    NoAttachment,
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] sea_orm::DbErr),
}

/// Which messages a list shows.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    /// Only of these projects: those that whoever asks may see. The default is none.
    pub projects: Projects,
    /// Only of this mailbox.
    pub mailbox_id: Option<String>,
    /// Only in this ticket.
    pub ticket_id: Option<String>,
    /// Only of this conversation; an id it had before it grew is understood as well.
    pub thread_id: Option<String>,
    /// Only of this project.
    pub project_id: Option<String>,
    /// Only in this state: `stored`, `ticketed`, `quarantined` or `dropped`.
    pub state: Option<String>,
    /// Only those that come after this id in the list, which goes from new to old.
    pub after: Option<String>,
}

/// A part of a list, and where the next part begins.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The `after` of the next part; none if this is the last.
    pub next: Option<String>,
}

/// One message of these projects.
pub async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Message, MessageError> {
    store::by_id(ctx.db.read(), projects, id)
        .await?
        .ok_or(MessageError::NotFound)
}

/// Messages from new to old, `limit` at most.
pub async fn list(ctx: &Ctx, filter: &MessageFilter, limit: u64) -> Result<Page<Message>, MessageError> {
    let filter = of_present_thread(ctx, filter).await?;
    let items = list_store::list(ctx.db.read(), &filter, limit + 1).await?;
    Ok(page(items, limit))
}

/// The same without what was parsed of them, which may be megabytes for each; see [`add_parsed`].
pub async fn list_heads(
    ctx: &Ctx,
    filter: &MessageFilter,
    limit: u64,
) -> Result<Page<Message>, MessageError> {
    let filter = of_present_thread(ctx, filter).await?;
    let items = list_store::heads(ctx.db.read(), &filter, limit + 1).await?;
    Ok(page(items, limit))
}

/// Adds to a few messages what was parsed of them.
pub async fn add_parsed(ctx: &Ctx, messages: &mut [Message]) -> Result<(), MessageError> {
    let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    let mut known = store::parsed_of(ctx.db.read(), &ids).await?;
    for message in messages {
        message.parsed = known.remove(&message.id).unwrap_or_default();
    }
    Ok(())
}

async fn of_present_thread(ctx: &Ctx, filter: &MessageFilter) -> Result<MessageFilter, MessageError> {
    let mut filter = filter.clone();
    if let Some(thread) = &filter.thread_id
        && let Some(present) = thread_store::present_id(ctx.db.read(), thread).await?
    {
        filter.thread_id = Some(present);
    }
    Ok(filter)
}

/// A part of a list that was read one row beyond its end.
fn page(mut items: Vec<Message>, limit: u64) -> Page<Message> {
    let more = items.len() as u64 > limit;
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = if more {
        items.last().map(|message| message.id.clone())
    } else {
        None
    };
    Page { items, next }
}

/// A conversation: everything of one project that identifiers link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its present id.
    pub id: String,
    /// Its project.
    pub project_id: String,
    /// Its messages, oldest first, 1,000 at most.
    pub message_ids: Vec<String>,
    /// The tickets they are in, each once.
    pub ticket_ids: Vec<String>,
}

/// A conversation of these projects by its id, or by one that it had before it grew.
pub async fn get_thread(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Thread, MessageError> {
    if !thread::is_id(id) {
        return Err(MessageError::NotFound);
    }
    let present = thread_store::present_id(ctx.db.read(), id)
        .await?
        .ok_or(MessageError::NotFound)?;
    thread_store::messages(ctx.db.read(), &present)
        .await?
        .filter(|thread| projects.contains(&thread.project_id))
        .ok_or(MessageError::NotFound)
}

/// Messages stored since a time (milliseconds since 1970), of one mailbox or of all.
pub async fn count_since(
    ctx: &Ctx,
    projects: &Projects,
    since: i64,
    mailbox_id: Option<&str>,
) -> Result<MessageCount, MessageError> {
    Ok(store::count_since(ctx.db.read(), projects, since, mailbox_id).await?)
}

/// The raw bytes of a message, as received.
pub async fn raw(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Vec<u8>, MessageError> {
    get(ctx, projects, id).await?;
    Ok(store::raw_bytes(ctx.db.read(), id).await?)
}

/// The parsed form of a message with its ids filled in; before it is parsed, `null` members only.
pub fn parsed(message: &Message) -> serde_json::Value {
    let mut json: serde_json::Value = serde_json::from_str(&message.parsed).unwrap_or_default();
    if let Some(object) = json.as_object_mut() {
        object.insert("id".into(), message.id.clone().into());
        object.insert("blobId".into(), message.id.clone().into());
        if !message.thread_id.is_empty() {
            object.insert("threadId".into(), message.thread_id.clone().into());
        }
        object.insert(
            "receivedAt".into(),
            crate::clock::rfc3339(message.received_at).into(),
        );
        for member in ["attachments", "textBody", "htmlBody"] {
            for part in object
                .get_mut(member)
                .and_then(|list| list.as_array_mut())
                .into_iter()
                .flatten()
            {
                let blob = part
                    .get("partId")
                    .and_then(|part| part.as_str())
                    .map(|part| format!("{}-{part}", message.id));
                if let (Some(part), Some(blob)) = (part.as_object_mut(), blob) {
                    part.insert("blobId".into(), blob.into());
                }
            }
        }
    }
    json
}

/// One attachment, cut from the raw mail.
pub async fn attachment(
    ctx: &Ctx,
    projects: &Projects,
    id: &str,
    part_id: &str,
) -> Result<Attachment, MessageError> {
    let bytes = raw(ctx, projects, id).await?;
    let part_id = part_id.to_owned();
    let found = tokio::task::spawn_blocking(move || mailgrant_mail::attachment(&bytes, &part_id)).await;
    found.ok().flatten().ok_or(MessageError::NoAttachment)
}

/// Several files of a message by the ids of their parts, cut from the raw mail; those that are not there are left out.
/// For events on their way to whoever may have them.
pub async fn files(
    ctx: &Ctx,
    id: &str,
    part_ids: Vec<String>,
) -> Result<BTreeMap<String, Vec<u8>>, sea_orm::DbErr> {
    let raw = store::raw_bytes(ctx.db.read(), id).await?;
    let cut = move || {
        let found = part_ids.into_iter().filter_map(|part| {
            let file = mailgrant_mail::attachment(&raw, &part)?;
            Some((part, file.bytes))
        });
        found.collect()
    };
    Ok(tokio::task::spawn_blocking(cut).await.unwrap_or_default())
}

//! Lists of tickets, and the search over tickets and everything in them.
//!
//! A ticket is found by words when one of its documents (itself, a message, an answer, a note) answers all of them.

mod store;

use std::collections::HashMap;

use mailgrant_mail::ParsedMail;
use sea_orm::DbErr;

use super::service::TicketError;
use super::store::{Entry, Ticket};
use crate::access::Projects;
use crate::ctx::Ctx;
use crate::message::{Message, Page};
use crate::search::{Document, Fields, Kind, Query};
use crate::{message, search};

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The latest change first.
    #[default]
    Updated,
    /// The longest untouched first.
    Waiting,
    /// The newest first.
    Created,
    /// The most urgent first, then the latest change.
    Priority,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Updated, Self::Waiting, Self::Created, Self::Priority];

    /// The text in addresses and cursors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Waiting => "waiting",
            Self::Created => "created",
            Self::Priority => "priority",
        }
    }

    /// Reads that text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == text)
    }
}

/// Which tickets a list shows; empty shows all.
#[derive(Clone, Debug, Default)]
pub struct TicketFilter {
    /// Only in this state.
    pub state: Option<String>,
    /// Only of this project.
    pub project_id: Option<String>,
    /// Only of this person; the empty text is nobody.
    pub assignee_id: Option<String>,
    /// Only with this label.
    pub label: Option<String>,
    /// Only of this priority.
    pub priority: Option<String>,
    /// Only with a message of this mailbox.
    pub mailbox_id: Option<String>,
    /// Only what answers this question, see [`Query`].
    pub text: Option<String>,
    /// Who asks, for `is:mine`.
    pub asker_id: Option<String>,
    /// Only of these projects: those that whoever asks may see. The default is none.
    pub projects: Projects,
    /// The order.
    pub sort: Sort,
    /// Cursor: only what comes after it.
    pub after: Option<String>,
}

/// Tickets in the order asked for, `limit` at most.
pub async fn list(ctx: &Ctx, filter: &TicketFilter, limit: u64) -> Result<Page<Ticket>, TicketError> {
    let after = match &filter.after {
        Some(text) => Some(parse_cursor(filter.sort, text).ok_or(TicketError::BadCursor)?),
        None => None,
    };
    let query = Query::parse(filter.text.as_deref().unwrap_or_default());
    if query.asks_nothing {
        return Ok(Page {
            items: vec![],
            next: None,
        });
    }
    let filter = &in_its_projects(ctx, filter).await?;
    let mut items = store::list(ctx.db.read(), filter, &query, after, limit + 1).await?;
    let more = items.len() as u64 > limit;
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = match items.last() {
        Some(ticket) if more => Some(cursor(filter.sort, ticket)),
        _ => None,
    };
    Ok(Page { items, next })
}

/// A filter by mailbox, narrowed to the projects in which that has tickets: no index has the rows of all in one order.
async fn in_its_projects(ctx: &Ctx, filter: &TicketFilter) -> Result<TicketFilter, DbErr> {
    let mut filter = filter.clone();
    if let Some(mailbox) = &filter.mailbox_id {
        filter.projects = store::projects_of_mailbox(ctx.db.read(), mailbox, &filter.projects).await?;
    }
    Ok(filter)
}

/// How many tickets a filter finds, counted no further than `most`.
pub async fn count(ctx: &Ctx, filter: &TicketFilter, most: u64) -> Result<u64, TicketError> {
    let query = Query::parse(filter.text.as_deref().unwrap_or_default());
    if query.asks_nothing {
        return Ok(0);
    }
    let filter = &in_its_projects(ctx, filter).await?;
    Ok(store::count(ctx.db.read(), filter, &query, most).await?)
}

/// All labels in use in these projects, by name, `limit` at most.
pub async fn labels(ctx: &Ctx, projects: &Projects, limit: u64) -> Result<Vec<String>, DbErr> {
    store::labels(ctx.db.read(), projects, limit).await
}

/// What the words of a priority count for when lists are ordered by it.
pub(super) fn rank(priority: &str) -> i64 {
    match priority {
        "urgent" => 3,
        "high" => 2,
        "normal" => 1,
        _ => 0,
    }
}

fn cursor(sort: Sort, ticket: &Ticket) -> String {
    let key = match sort {
        Sort::Updated | Sort::Waiting => ticket.updated_at,
        Sort::Created => ticket.created_at,
        Sort::Priority => rank(&ticket.priority) * store::RANK + ticket.updated_at,
    };
    format!("{}.{key}.{}", sort.as_str(), ticket.id)
}

fn parse_cursor(sort: Sort, text: &str) -> Option<(i64, String)> {
    let mut parts = text.splitn(3, '.');
    let of_this_sort = parts.next()? == sort.as_str();
    let key = parts.next()?.parse().ok()?;
    let id = parts.next()?.to_owned();
    (of_this_sort && crate::id::is("tkt", &id)).then_some((key, id))
}

/// What the search over messages, answers and notes is asked.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The question as typed.
    pub text: String,
    /// Who asks, for `is:mine`.
    pub asker_id: Option<String>,
    /// Only of these projects: those that whoever asks may see. The default is none.
    pub projects: Projects,
    /// Cursor: only what comes after it.
    pub after: Option<String>,
}

/// Something that was found: a message, an answer or a note.
#[derive(Clone, Debug)]
pub struct Hit {
    /// `message`, `reply` or `note`.
    pub kind: String,
    /// Its id: `msg_…` for messages, `ent_…` for answers and notes.
    pub id: String,
    /// The ticket it is in, if it is in one.
    pub ticket: Option<Ticket>,
    /// The entry it is in that ticket; empty if it is in none.
    pub entry_id: String,
    /// The subject of a message; empty for answers and notes.
    pub subject: String,
    /// Who wrote it: the name, or the address if there is none.
    pub author: String,
    /// The address of who wrote it, if it is known.
    pub email: String,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// Whether files come with it.
    pub has_attachment: bool,
    /// The project.
    pub project_id: String,
    /// Its text.
    pub text: String,
}

/// Messages, answers and notes that answer a question, the newest first, `limit` at most.
pub async fn search(ctx: &Ctx, asked: &Search, limit: u64) -> Result<Page<Hit>, TicketError> {
    let after = match &asked.after {
        Some(text) => Some(text.parse::<i64>().map_err(|_| TicketError::BadCursor)?),
        None => None,
    };
    let query = Query::parse(&asked.text);
    if query.asks_nothing || query.is_empty() {
        return Ok(Page {
            items: vec![],
            next: None,
        });
    }
    let on = ctx.db.read();
    let mut places = store::search(on, asked, &query, after, limit + 1).await?;
    let more = places.len() as u64 > limit;
    places.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = places
        .last()
        .filter(|_| more)
        .map(|place| place.number.to_string());
    let ids = |wanted: Kind| -> Vec<String> {
        places
            .iter()
            .filter(|place| place.kind == wanted.as_str())
            .map(|place| place.id.clone())
            .collect()
    };
    let messages = by_id(store::messages(on, &ids(Kind::Message)).await?, |m| &m.id);
    let entries = by_id(store::entries(on, &ids(Kind::Entry)).await?, |e| &e.id);
    let of: Vec<String> = places.iter().map(|place| place.ticket_id.clone()).collect();
    let tickets = by_id(store::tickets(on, &of).await?, |t| &t.id);
    let items = places
        .into_iter()
        .filter_map(|place| {
            let ticket = tickets.get(&place.ticket_id).cloned();
            let hit = match (messages.get(&place.id), entries.get(&place.id)) {
                (Some(message), _) => of_message(message),
                (_, Some(entry)) => of_entry(entry),
                _ => return None,
            };
            Some(Hit {
                ticket,
                project_id: place.project_id,
                ..hit
            })
        })
        .collect();
    Ok(Page { items, next })
}

fn by_id<T>(rows: Vec<T>, id: impl Fn(&T) -> &String) -> HashMap<String, T> {
    rows.into_iter().map(|row| (id(&row).clone(), row)).collect()
}

fn of_message(message: &Message) -> Hit {
    let mail: Option<ParsedMail> = serde_json::from_str(&message.parsed).ok();
    let author = [&message.from_name, &message.from_email]
        .into_iter()
        .find(|text| !text.is_empty());
    Hit {
        kind: "message".into(),
        id: message.id.clone(),
        ticket: None,
        entry_id: message.entry_id.clone(),
        subject: message.subject.clone(),
        author: author.cloned().unwrap_or_default(),
        email: message.from_email.clone(),
        at: message.received_at,
        has_attachment: message.has_attachment,
        project_id: String::new(),
        text: mail.map_or_else(|| message.preview.clone(), |mail| mail.mailgrant.text),
    }
}

fn of_entry(entry: &Entry) -> Hit {
    Hit {
        kind: entry.kind.clone(),
        id: entry.id.clone(),
        ticket: None,
        entry_id: entry.id.clone(),
        subject: String::new(),
        author: entry.author.clone(),
        email: String::new(),
        at: entry.created_at,
        has_attachment: false,
        project_id: String::new(),
        text: entry.body.clone(),
    }
}

/// Puts an answer or a note into the index, in the caller's transaction.
pub(crate) async fn index_entry<C: sea_orm::ConnectionTrait>(
    on: &C,
    entry: &Entry,
    project_id: &str,
) -> Result<(), DbErr> {
    let document = Document::new(Fields {
        sender: &entry.author,
        body: &entry.body,
        ..Fields::default()
    });
    let put = search::Entry {
        kind: Kind::Entry,
        id: &entry.id,
        ticket_id: &entry.ticket_id,
        project_id,
        has_attachment: false,
        at: entry.created_at,
    };
    search::put(on, &put, &document).await
}

/// How far a rebuild of the index has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Messages put in.
    pub messages: u64,
    /// Tickets put in.
    pub tickets: u64,
    /// Answers and notes put in.
    pub entries: u64,
}

/// Rows that go through one transaction of a rebuild.
const AT_ONCE: u64 = 100;

/// Puts everything into the index again, beside a running service: each part in a transaction of its own, the words cut
/// before it begins. `told` hears how far it is.
pub async fn rebuild(ctx: &Ctx, mut told: impl FnMut(Rebuilt)) -> Result<Rebuilt, DbErr> {
    let mut done = Rebuilt::default();
    let mut after = String::new();
    loop {
        let part = store::messages_after(ctx.db.read(), &after, AT_ONCE).await?;
        let Some(last) = part.last() else { break };
        after.clone_from(&last.id);
        let words: Vec<(String, Document)> = part
            .iter()
            .map(|message| (message.id.clone(), message::words(message)))
            .collect();
        let txn = ctx.db.begin().await?;
        for (id, words) in &words {
            message::index(&txn, id, words).await?;
        }
        txn.commit().await?;
        done.messages += words.len() as u64;
        told(done);
    }
    after.clear();
    loop {
        let txn = ctx.db.begin().await?;
        let part = store::tickets_after(&txn, &after, AT_ONCE).await?;
        let Some(last) = part.last() else { break };
        after.clone_from(&last.id);
        for ticket in &part {
            super::store::index(&txn, &ticket.id).await?;
            super::change::remember_labels(&txn, ticket).await?;
        }
        txn.commit().await?;
        done.tickets += part.len() as u64;
        told(done);
    }
    after.clear();
    loop {
        let txn = ctx.db.begin().await?;
        let part = store::entries_after(&txn, &after, AT_ONCE).await?;
        let Some((last, _)) = part.last() else { break };
        after.clone_from(&last.id);
        for (entry, project_id) in &part {
            index_entry(&txn, entry, project_id).await?;
        }
        txn.commit().await?;
        done.entries += part.len() as u64;
        told(done);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_order() {
        let id = "tkt_01K9ZZZZZZZZZZZZZZZZZZZZZZ";
        let text = format!("updated.17.{id}");
        assert_eq!(parse_cursor(Sort::Updated, &text), Some((17, id.to_owned())));
        for bad in [
            "",
            "updated",
            "updated.x.tkt_1",
            "updated.1.msg_01K9ZZZZZZZZZZZZZZZZZZZZZZ",
        ] {
            assert_eq!(parse_cursor(Sort::Updated, bad), None, "{bad}");
        }
        assert_eq!(parse_cursor(Sort::Created, &text), None);
    }
}

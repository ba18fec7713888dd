//! The queries of lists and of the search. What one may not see is left out here, in the query.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};

use super::super::change::normal_label;
use super::super::store::{Entry, Ticket};
use super::{Search, Sort, TicketFilter, rank};
use crate::access::Projects;
use crate::db::{Listed, Where, sql};
use crate::message::Message;
use crate::search::{self, Query};

/// How far apart priorities are when lists are ordered by them; more than any time in milliseconds.
pub(super) const RANK: i64 = 100_000_000_000_000;

/// As in the index `tickets_by_priority`.
const BY_PRIORITY: &str = "(CASE t.priority WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END \
                           * 100000000000000 + t.updated_at)";

/// What a question asks of tickets `t`.
fn ask_tickets(all: &mut Where, query: &Query, asker: Option<&str>) {
    if !query.states.is_empty() {
        all.and_in("t.state", &query.states);
    }
    if !query.priorities.is_empty() {
        all.and_in("t.priority", &query.priorities);
    }
    for label in &query.labels {
        all.and(
            "t.id IN (SELECT ticket_id FROM ticket_labels WHERE label = {})",
            normal_label(label),
        );
    }
    if query.is_unassigned {
        all.and("t.assignee_id = {}", "");
    }
    if query.is_mine {
        // Nobody's token has no tickets of its own.
        all.and("t.assignee_id = {}", asker.unwrap_or("nobody"));
    }
}

/// What a question asks of documents `d`.
fn ask_documents<C: ConnectionTrait>(all: &mut Where, on: &C, query: &Query) {
    if let Some((text, value)) = search::condition(on.get_database_backend(), query) {
        all.and(text, value);
    }
    if query.has_attachment {
        all.all.push("d.has_attachment".to_owned());
    }
    if let Some(from) = query.from_ms {
        all.and("d.at >= {}", from);
    }
    if let Some(until) = query.until_ms {
        all.and("d.at < {}", until);
    }
}

fn ask_projects(all: &mut Where, column: &str, query: &Query) {
    if !query.projects.is_empty() {
        let names: Vec<String> = query.projects.iter().map(|key| all.value(key.as_str())).collect();
        all.all.push(format!(
            "{column} IN (SELECT id FROM projects WHERE key IN ({}))",
            names.join(", ")
        ));
    }
}

/// Tickets `t` and their projects; with a label or a mailbox, they are found by its rows `l`, which have the order of lists.
fn tickets_from(filter: &TicketFilter) -> (&'static str, &'static str) {
    match (&filter.label, &filter.mailbox_id) {
        (Some(_), _) => (
            "ticket_labels l JOIN tickets t ON t.id = l.ticket_id",
            "l.project_id",
        ),
        (None, Some(_)) => (
            "ticket_mailboxes l JOIN tickets t ON t.id = l.ticket_id",
            "l.project_id",
        ),
        (None, None) => ("tickets t", "t.project_id"),
    }
}

/// Those of some projects in which a mailbox has tickets: one, unless it was moved. Lists are read project by project.
pub(super) async fn projects_of_mailbox<C: ConnectionTrait>(
    on: &C,
    mailbox_id: &str,
    projects: &Projects,
) -> Result<Projects, DbErr> {
    let mut all = Where::default();
    all.and_projects("p.id", projects);
    all.and(
        "EXISTS (SELECT 1 FROM ticket_mailboxes l WHERE l.mailbox_id = {} AND l.project_id = p.id)",
        mailbox_id,
    );
    let text = format!("SELECT p.id AS id FROM projects p WHERE {}", all.text());
    let rows = on.query_all_raw(sql(on, &text, all.values)).await?;
    let ids: Result<_, DbErr> = rows.iter().map(|row| row.try_get("", "id")).collect();
    Ok(Projects::Only(ids?))
}

/// What a filter and a question ask of them, but for the projects of whoever asks.
fn tickets_where<C: ConnectionTrait>(on: &C, filter: &TicketFilter, query: &Query) -> Where {
    let mut all = Where::default();
    let equal = [
        ("t.state = {}", &filter.state),
        ("t.assignee_id = {}", &filter.assignee_id),
        ("t.priority = {}", &filter.priority),
    ];
    for (text, value) in equal {
        if let Some(value) = value {
            all.and(text, value.as_str());
        }
    }
    match (&filter.label, &filter.mailbox_id) {
        (Some(label), mailbox) => {
            all.and("l.label = {}", normal_label(label));
            if let Some(mailbox) = mailbox {
                all.and(
                    "EXISTS (SELECT 1 FROM ticket_mailboxes b WHERE b.mailbox_id = {} AND b.ticket_id = t.id)",
                    mailbox.as_str(),
                );
            }
        }
        (None, Some(mailbox)) => all.and("l.mailbox_id = {}", mailbox.as_str()),
        (None, None) => {}
    }
    // A merged ticket is in the one it was merged into.
    all.all.push("t.merged_into = ''".to_owned());
    ask_projects(&mut all, "t.project_id", query);
    ask_tickets(&mut all, query, filter.asker_id.as_deref());
    if query.asks_documents() {
        let outer = std::mem::take(&mut all.all);
        ask_documents(&mut all, on, query);
        let inner = all.text();
        all.all = outer;
        all.all.push(format!(
            "t.id IN (SELECT d.ticket_id FROM search_documents d WHERE {inner})"
        ));
    }
    all
}

pub(super) async fn list<C: ConnectionTrait>(
    on: &C,
    filter: &TicketFilter,
    query: &Query,
    after: Option<(i64, String)>,
    limit: u64,
) -> Result<Vec<Ticket>, DbErr> {
    Ticket::find_by_statement(list_statement(on, filter, query, after, limit))
        .all(on)
        .await
}

pub(super) fn list_statement<C: ConnectionTrait>(
    on: &C,
    filter: &TicketFilter,
    query: &Query,
    after: Option<(i64, String)>,
    limit: u64,
) -> Statement {
    let mut all = tickets_where(on, filter, query);
    let (sort, after) = match (filter.sort, &filter.priority) {
        // Of one priority the order is that of the changes, and the index of them finds it.
        (Sort::Priority, Some(priority)) => {
            let rank = rank(priority) * RANK;
            (Sort::Updated, after.map(|(key, id)| (key - rank, id)))
        }
        (sort, _) => (sort, after),
    };
    let (of_ticket, of_row, direction, next) = match sort {
        Sort::Updated => ("t.updated_at", "l.updated_at", "DESC", "<"),
        Sort::Waiting => ("t.updated_at", "l.updated_at", "ASC", ">"),
        Sort::Created => ("t.created_at", "l.created_at", "DESC", "<"),
        Sort::Priority => (BY_PRIORITY, "l.urgency", "DESC", "<"),
    };
    let (key, id) = if filter.label.is_some() || filter.mailbox_id.is_some() {
        (of_row, "l.ticket_id")
    } else {
        (of_ticket, "t.id")
    };
    if let Some((value, last)) = after {
        let (value, last) = (all.value(value), all.value(last));
        all.all.push(format!("({key}, {id}) {next} ({value}, {last})"));
    }
    let (from, project) = tickets_from(filter);
    let listed = Listed {
        columns: "t.*",
        from,
        project,
        order: &format!("{key} {direction}, {id} {direction}"),
        order_of_all: &format!("{of_ticket} {direction}, t.id {direction}"),
        limit,
    };
    listed.statement(on, all, &filter.projects.narrowed(filter.project_id.as_deref()))
}

pub(super) async fn count<C: ConnectionTrait>(
    on: &C,
    filter: &TicketFilter,
    query: &Query,
    most: u64,
) -> Result<u64, DbErr> {
    let mut all = tickets_where(on, filter, query);
    let (from, project) = tickets_from(filter);
    all.and_projects(project, &filter.projects.narrowed(filter.project_id.as_deref()));
    let text = format!(
        "SELECT COUNT(*) AS tickets FROM (SELECT 1 AS one FROM {from} WHERE {} LIMIT {most}) AS found",
        all.text()
    );
    let row = on.query_one_raw(sql(on, &text, all.values)).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "tickets"))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) async fn labels<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    let mut all = Where::default();
    all.and_projects("t.project_id", projects);
    let from = if projects.is_all() {
        "ticket_labels l"
    } else {
        "ticket_labels l JOIN tickets t ON t.id = l.ticket_id"
    };
    let text = format!(
        "SELECT DISTINCT l.label AS label FROM {from} WHERE {} ORDER BY 1 LIMIT {limit}",
        all.text()
    );
    let rows = on.query_all_raw(sql(on, &text, all.values)).await?;
    rows.iter().map(|row| row.try_get("", "label")).collect()
}

/// Where something was found.
#[derive(Debug, FromQueryResult)]
pub(super) struct Place {
    pub(super) number: i64,
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) ticket_id: String,
    pub(super) project_id: String,
}

pub(super) async fn search<C: ConnectionTrait>(
    on: &C,
    asked: &Search,
    query: &Query,
    after: Option<i64>,
    limit: u64,
) -> Result<Vec<Place>, DbErr> {
    let mut all = Where::default();
    ask_documents(&mut all, on, query);
    all.and_projects("d.project_id", &asked.projects);
    ask_projects(&mut all, "d.project_id", query);
    if query.asks_tickets() {
        let outer = std::mem::take(&mut all.all);
        ask_tickets(&mut all, query, asked.asker_id.as_deref());
        let inner = all.text();
        all.all = outer;
        all.all.push(format!(
            "d.ticket_id IN (SELECT t.id FROM tickets t WHERE {inner})"
        ));
    }
    if let Some(after) = after {
        all.and("d.id < {}", after);
    }
    let text = format!(
        "SELECT d.id AS number, d.kind AS kind, d.ref_id AS id, d.ticket_id AS ticket_id, d.project_id AS project_id \
         FROM search_documents d WHERE d.kind <> 'ticket' AND {} ORDER BY d.id DESC LIMIT {limit}",
        all.text()
    );
    Place::find_by_statement(sql(on, &text, all.values)).all(on).await
}

async fn rows<C: ConnectionTrait, T: FromQueryResult>(
    on: &C,
    table: &str,
    ids: &[String],
) -> Result<Vec<T>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = Where::default();
    all.and_in("id", ids);
    let text = format!("SELECT * FROM {table} WHERE {}", all.text());
    T::find_by_statement(sql(on, &text, all.values)).all(on).await
}

pub(super) async fn messages<C: ConnectionTrait>(on: &C, ids: &[String]) -> Result<Vec<Message>, DbErr> {
    rows(on, "messages", ids).await
}

pub(super) async fn entries<C: ConnectionTrait>(on: &C, ids: &[String]) -> Result<Vec<Entry>, DbErr> {
    rows(on, "entries", ids).await
}

pub(super) async fn tickets<C: ConnectionTrait>(on: &C, ids: &[String]) -> Result<Vec<Ticket>, DbErr> {
    rows(on, "tickets", ids).await
}

async fn after<C: ConnectionTrait, T: FromQueryResult>(
    on: &C,
    text: &str,
    id: &str,
    limit: u64,
) -> Result<Vec<T>, DbErr> {
    let text = format!("{text} LIMIT {limit}");
    T::find_by_statement(sql(on, &text, [id.into()])).all(on).await
}

pub(super) async fn messages_after<C: ConnectionTrait>(
    on: &C,
    id: &str,
    limit: u64,
) -> Result<Vec<Message>, DbErr> {
    let text = "SELECT * FROM messages WHERE id > $1 AND parsed <> '' ORDER BY id";
    after(on, text, id, limit).await
}

pub(super) async fn tickets_after<C: ConnectionTrait>(
    on: &C,
    id: &str,
    limit: u64,
) -> Result<Vec<Ticket>, DbErr> {
    after(on, "SELECT * FROM tickets WHERE id > $1 ORDER BY id", id, limit).await
}

/// Answers and notes with their projects.
pub(super) async fn entries_after<C: ConnectionTrait>(
    on: &C,
    id: &str,
    limit: u64,
) -> Result<Vec<(Entry, String)>, DbErr> {
    let text = "SELECT * FROM entries WHERE id > $1 AND message_id IS NULL ORDER BY id";
    let found: Vec<Entry> = after(on, text, id, limit).await?;
    let of: Vec<String> = found.iter().map(|entry| entry.ticket_id.clone()).collect();
    let projects: std::collections::HashMap<String, String> = tickets(on, &of)
        .await?
        .into_iter()
        .map(|ticket| (ticket.id, ticket.project_id))
        .collect();
    Ok(found
        .into_iter()
        .map(|entry| {
            let project = projects.get(&entry.ticket_id).cloned().unwrap_or_default();
            (entry, project)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::is_indexed;
    use crate::grant::testkit::place;

    #[tokio::test]
    async fn every_filter_of_tickets_is_indexed_in_every_order() {
        let place = place().await;
        let on = place.ctx.db.read();
        let all = TicketFilter::default;
        let some = |text: &str| Some(text.to_owned());
        let filters = [
            TicketFilter {
                state: some("open"),
                ..all()
            },
            TicketFilter {
                assignee_id: some(""),
                ..all()
            },
            TicketFilter {
                priority: some("urgent"),
                ..all()
            },
            TicketFilter {
                label: some("vip"),
                ..all()
            },
            TicketFilter {
                state: some("open"),
                assignee_id: some("usr_1"),
                ..all()
            },
        ];
        let two = Projects::Only(["prj_1".to_owned(), "prj_2".to_owned()].into());
        for projects in [Projects::All, Projects::one("prj_1"), two] {
            for (filter, sort) in filters
                .iter()
                .flat_map(|filter| Sort::ALL.map(|sort| (filter, sort)))
            {
                let filter = TicketFilter {
                    projects: projects.clone(),
                    sort,
                    ..filter.clone()
                };
                for after in [None, Some((1_800_000_000_000, "tkt_1".to_owned()))] {
                    let statement = list_statement(on, &filter, &Query::default(), after, 51);
                    is_indexed(on, &format!("{filter:?}"), statement).await;
                }
            }
        }
        for sort in Sort::ALL {
            let filter = TicketFilter {
                projects: Projects::All,
                project_id: some("prj_1"),
                sort,
                ..all()
            };
            let statement = list_statement(on, &filter, &Query::default(), None, 51);
            is_indexed(on, &format!("{filter:?}"), statement).await;
        }
    }

    #[tokio::test]
    async fn tickets_of_a_mailbox_are_read_from_an_index_in_every_order() {
        let place = place().await;
        let on = place.ctx.db.read();
        let two = Projects::Only(["prj_1".to_owned(), "prj_2".to_owned()].into());
        for projects in [Projects::one("prj_1"), two] {
            for sort in Sort::ALL {
                for after in [None, Some((1_800_000_000_000, "tkt_1".to_owned()))] {
                    let filter = TicketFilter {
                        mailbox_id: Some("mbx_1".to_owned()),
                        projects: projects.clone(),
                        sort,
                        ..TicketFilter::default()
                    };
                    let statement = list_statement(on, &filter, &Query::default(), after, 51);
                    is_indexed(on, &format!("{filter:?}"), statement).await;
                }
            }
        }
    }
}

//! Lists of messages, each in the order of an index. What was parsed of a message may be megabytes, and lists read it only
//! where it is asked for.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};

use super::service::MessageFilter;
use super::store::{self, Message};
use crate::access::Projects;
use crate::db::{Listed, Where};

/// The order of lists: the newest first.
const NEWEST: Listed<'static> = Listed {
    columns: "t.*",
    from: "messages t",
    project: "t.project_id",
    order: "t.id DESC",
    order_of_all: "t.id DESC",
    limit: 0,
};

pub(super) async fn list<C: ConnectionTrait>(
    on: &C,
    filter: &MessageFilter,
    limit: u64,
) -> Result<Vec<Message>, DbErr> {
    Message::find_by_statement(list_statement(on, filter, limit))
        .all(on)
        .await
}

/// The same without what was parsed of them: `parsed` is empty.
pub(super) async fn heads<C: ConnectionTrait>(
    on: &C,
    filter: &MessageFilter,
    limit: u64,
) -> Result<Vec<Message>, DbErr> {
    Message::find_by_statement(heads_statement(on, filter, limit))
        .all(on)
        .await
}

fn heads_statement<C: ConnectionTrait>(on: &C, filter: &MessageFilter, limit: u64) -> Statement {
    let columns = store::head_columns();
    let newest = Listed {
        columns: &columns,
        ..NEWEST
    };
    statement_of(on, filter, limit, newest)
}

fn list_statement<C: ConnectionTrait>(on: &C, filter: &MessageFilter, limit: u64) -> Statement {
    statement_of(on, filter, limit, NEWEST)
}

fn statement_of<C: ConnectionTrait>(
    on: &C,
    filter: &MessageFilter,
    limit: u64,
    newest: Listed<'_>,
) -> Statement {
    let mut all = Where::default();
    let wanted = [
        ("t.mailbox_id = {}", &filter.mailbox_id),
        ("t.ticket_id = {}", &filter.ticket_id),
        ("t.thread_id = {}", &filter.thread_id),
        ("t.state = {}", &filter.state),
        ("t.id < {}", &filter.after),
    ];
    for (text, value) in wanted {
        if let Some(value) = value {
            all.and(text, value.as_str());
        }
    }
    let projects = filter.projects.narrowed(filter.project_id.as_deref());
    Listed { limit, ..newest }.statement(on, all, &projects)
}

/// Messages in quarantine without what was parsed of them, the newest first; of one reason if it is named.
pub async fn quarantined<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    reason: Option<&str>,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<Message>, DbErr> {
    Message::find_by_statement(quarantined_statement(on, projects, reason, after, limit))
        .all(on)
        .await
}

fn quarantined_statement<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    reason: Option<&str>,
    after: Option<&str>,
    limit: u64,
) -> Statement {
    let mut all = Where::default();
    all.and("t.state = {}", "quarantined");
    if let Some(reason) = reason {
        all.and("t.quarantine_reason = {}", reason);
    }
    if let Some(after) = after {
        all.and("t.id < {}", after);
    }
    let columns = store::head_columns();
    let listed = Listed {
        columns: &columns,
        limit,
        ..NEWEST
    };
    listed.statement(on, all, projects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::is_indexed;
    use crate::grant::testkit::place;

    #[tokio::test]
    async fn every_filter_of_messages_is_indexed() {
        let place = place().await;
        let on = place.ctx.db.read();
        let all = MessageFilter {
            projects: Projects::All,
            ..MessageFilter::default()
        };
        let some = |text: &str| Some(text.to_owned());
        let two = Projects::Only(["prj_1".to_owned(), "prj_2".to_owned()].into());
        let filters = [
            MessageFilter {
                mailbox_id: some("mbx_1"),
                ..all.clone()
            },
            MessageFilter {
                ticket_id: some("tkt_1"),
                ..all.clone()
            },
            MessageFilter {
                thread_id: some("thr_1"),
                ..all.clone()
            },
            MessageFilter {
                project_id: some("prj_1"),
                ..all.clone()
            },
            MessageFilter {
                state: some("quarantined"),
                ..all.clone()
            },
            MessageFilter {
                state: some("dropped"),
                project_id: some("prj_1"),
                ..all.clone()
            },
            MessageFilter {
                state: some("dropped"),
                projects: two.clone(),
                ..all.clone()
            },
            MessageFilter { projects: two, ..all },
        ];
        for filter in filters {
            for after in [None, some("msg_1")] {
                let filter = MessageFilter {
                    after,
                    ..filter.clone()
                };
                is_indexed(on, &format!("{filter:?}"), list_statement(on, &filter, 51)).await;
            }
        }
    }

    #[tokio::test]
    async fn lists_that_do_not_show_what_was_parsed_do_not_read_it() {
        let place = place().await;
        let on = place.ctx.db.read();
        let two = Projects::Only(["prj_1".to_owned(), "prj_2".to_owned()].into());
        for projects in [Projects::All, two] {
            let filter = MessageFilter {
                projects: projects.clone(),
                ..MessageFilter::default()
            };
            for statement in [
                heads_statement(on, &filter, 51),
                quarantined_statement(on, &projects, None, None, 51),
            ] {
                let text = &statement.sql;
                assert!(
                    !text.contains("t.parsed") && text.contains("'' AS parsed"),
                    "{text}"
                );
                // Heads of several projects are read whole, from what was read of each.
                assert!(!text.contains("t.* FROM messages"), "{text}");
                on.query_all_raw(statement).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn every_filter_of_the_quarantine_is_indexed() {
        let place = place().await;
        let on = place.ctx.db.read();
        let two = Projects::Only(["prj_1".to_owned(), "prj_2".to_owned()].into());
        for projects in [Projects::All, two] {
            for reason in [None, Some("rule")] {
                for after in [None, Some("msg_1")] {
                    let what = format!("{projects:?} {reason:?} {after:?}");
                    let statement = quarantined_statement(on, &projects, reason, after, 51);
                    is_indexed(on, &what, statement).await;
                }
            }
        }
    }
}

//! Lists of messages, each in the order of an index.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};

use super::service::MessageFilter;
use super::store::Message;
use crate::access::Projects;
use crate::db::{Listed, Where};

/// The order of lists: the newest first.
const NEWEST: Listed<'static> = Listed {
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

fn list_statement<C: ConnectionTrait>(on: &C, filter: &MessageFilter, limit: u64) -> Statement {
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
    Listed { limit, ..NEWEST }.statement(on, all, &projects)
}

/// Messages in quarantine, the newest first; of one reason if it is named.
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
    let listed = Listed { limit, ..NEWEST };
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

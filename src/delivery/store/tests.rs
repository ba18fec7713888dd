//! By which index deliveries are found.

use super::*;
use crate::db::is_indexed;
use crate::grant::testkit::place;
use sea_orm::QueryTrait;

async fn plan(on: &impl ConnectionTrait, statement: Statement) -> String {
    let explained = Statement {
        sql: format!("EXPLAIN QUERY PLAN {}", statement.sql),
        ..statement
    };
    let rows = on.query_all_raw(explained).await.unwrap();
    let steps = rows
        .iter()
        .map(|row| row.try_get::<String>("", "detail").unwrap());
    steps.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_filter_of_deliveries_is_indexed() {
    let place = place().await;
    let on = place.ctx.db.read();
    let statement = |filter: &DeliveryFilter| listed("whk_1", filter, 51).build(on.get_database_backend());
    for state in [
        None,
        Some(DeliveryState::Delivered),
        Some(DeliveryState::Waiting),
        Some(DeliveryState::Failed),
    ] {
        for kind in [None, Some("ticket.created".to_owned())] {
            for after in [None, Some("dlv_1".to_owned())] {
                let filter = DeliveryFilter {
                    state,
                    kind: kind.clone(),
                    after,
                    ..DeliveryFilter::default()
                };
                is_indexed(on, &format!("{filter:?}"), statement(&filter)).await;
            }
        }
    }
    for state in [DeliveryState::Waiting, DeliveryState::Failed] {
        let filter = DeliveryFilter {
            state: Some(state),
            ..DeliveryFilter::default()
        };
        let plan = plan(on, statement(&filter)).await;
        assert!(
            plan.contains("deliveries_open (webhook_id=? AND state=?)"),
            "what arrived is not read over: {plan}"
        );
    }
}

#[tokio::test]
async fn of_a_backlog_a_handful_is_read_in_its_order_and_not_sorted() {
    let place = place().await;
    let on = place.ctx.db.read();
    for ordered in [false, true] {
        let plan = plan(on, due_statement(on, "whk_1", ordered, 1, 64)).await;
        assert!(
            plan.contains("deliveries_due (webhook_id=? AND next_at<?)") && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
        assert_eq!(
            plan.contains("deliveries_order (webhook_id=? AND order_key=? AND sequence<?)"),
            ordered,
            "{plan}"
        );
    }
}

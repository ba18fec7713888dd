//! By which index deliveries are found.

use super::*;
use crate::grant::testkit::place;

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
async fn what_was_put_first_is_found_without_reading_over_a_backlog() {
    let place = place().await;
    let on = place.ctx.db.read();
    for ordered in [false, true] {
        let statement = due_statement(on, true, "whk_1", ordered, 1, 64);
        let plan = plan(on, statement).await;
        assert!(
            plan.contains("deliveries_due (webhook_id=? AND state=? AND next_at=?)"),
            "{plan}"
        );
    }
}

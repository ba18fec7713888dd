//! Tests of jobs that need a database with something in it.

mod agents;
mod batches;
mod mails;
mod reopening;
pub(super) mod rules;
mod same_mail;
mod split;
mod threads;

use sea_orm::{ConnectionTrait, Value};

use super::housekeeping::{HOUR_MS, tidy_up};
use crate::db::sql;

#[tokio::test]
async fn tokens_that_nobody_confirmed_do_not_stay_in_the_database() {
    use crate::grant::testkit::{START_MS, place};
    let place = place().await;
    let ctx = &place.ctx;
    ctx.db
        .write()
        .execute_unprepared("PRAGMA foreign_keys = OFF")
        .await
        .unwrap();
    for (id, expires_at) in [("old", START_MS - 3 * HOUR_MS), ("waiting", START_MS - HOUR_MS)] {
        let text = "INSERT INTO authorizations (id, integration_id, state_hash, verifier_sealed, redirect_url, \
                    token_endpoint, authorization_url_sealed, session_id, started_by, expected_identity, \
                    reconnect_grant_id, return_to, state, pending_sealed, created_at, expires_at) \
                    VALUES ($1, 'int', $1, '', '', '', '', '', '', '', '', '', 'awaiting_confirmation', 'sealed', \
                    0, $2)";
        let values: [Value; 2] = [id.into(), expires_at.into()];
        ctx.db
            .write()
            .execute_raw(sql(ctx.db.write(), text, values))
            .await
            .unwrap();
    }
    tidy_up(ctx).await.unwrap();
    let text = "SELECT id FROM authorizations WHERE pending_sealed <> ''";
    let rows = ctx
        .db
        .read()
        .query_all_raw(sql(ctx.db.read(), text, []))
        .await
        .unwrap();
    let left: Vec<String> = rows.iter().map(|row| row.try_get("", "id").unwrap()).collect();
    assert_eq!(left, ["waiting"]);
}

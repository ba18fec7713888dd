//! What keeps the database small and warns in time.

use sea_orm::DbErr;
use serde_json::json;

use super::store;
use crate::account;
use crate::alert;
use crate::audit::{self, AuditError};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::delivery;
use crate::event::{self, NewEvent, SYSTEM};
use crate::idempotency;
use crate::oauth2_server;
use crate::outbox;
use crate::rule::loop_guard;
use crate::sso;

pub(super) const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Warns of client secrets that expire: once each at 30, 14, 7 and 1 days before, and when it has happened.
pub(super) async fn watch_expiries(ctx: &Ctx) -> Result<(), DbErr> {
    let now = ctx.clock.now_ms();
    for ending in store::secrets_ending(ctx.db.read(), now + 30 * DAY_MS).await? {
        warn_once(
            ctx,
            &ending.integration_id,
            &ending.name,
            ending.at,
            stage(ending.at - now),
        )
        .await?;
    }
    Ok(())
}

/// Which warning is due: the days that are left, as one of the announced steps.
fn stage(left_ms: i64) -> i64 {
    let days = left_ms.div_euclid(DAY_MS);
    [0, 1, 7, 14, 30]
        .into_iter()
        .find(|step| days < *step || (*step == 30))
        .unwrap_or(30)
}

async fn warn_once(ctx: &Ctx, id: &str, name: &str, at: i64, stage: i64) -> Result<(), DbErr> {
    let said = event::of_subject(ctx.db.read(), id, 200).await?;
    let said = said.iter().any(|event| {
        event.kind == "integration.secret_expiring"
            && event.data.get("expiresAt").and_then(serde_json::Value::as_str) == Some(&rfc3339(at))
            && event.data.get("stage").and_then(serde_json::Value::as_i64) == Some(stage)
    });
    if said {
        return Ok(());
    }
    tracing::warn!(
        integration = id,
        "the client secret of {name} expires or has expired"
    );
    let txn = ctx.db.begin().await?;
    let event = NewEvent {
        kind: "integration.secret_expiring",
        project_id: "",
        subject_id: id,
        actor: SYSTEM,
        data: json!({ "name": name, "expiresAt": rfc3339(at), "stage": stage }),
    };
    event::append(&txn, &ctx.clock, event).await?;
    txn.commit().await
}

/// Deletes events that are older than the retention, in handfuls, so that nobody waits long for the writer.
pub(super) async fn trim_log(ctx: &Ctx) -> Result<(), DbErr> {
    let before = ctx.clock.now_ms() - ctx.config.event_retention_days * DAY_MS;
    while event::delete_before(&ctx.db, before, 1_000).await? > 0 && !ctx.stop.is_cancelled() {}
    let delivered = ctx.clock.now_ms() - 30 * DAY_MS;
    while delivery::store::purge(ctx.db.write(), delivered, before, 1_000).await? > 0
        && !ctx.stop.is_cancelled()
    {}
    Ok(())
}

/// Deletes audit events that are older than the retention, in handfuls; 0 days keep everything.
pub(super) async fn trim_audit(ctx: &Ctx) -> Result<(), AuditError> {
    let days = ctx.config.audit_retention_days;
    if days == 0 {
        return Ok(());
    }
    let anchor = audit::Anchor::in_folder(&ctx.config.data_dir);
    let before = ctx.clock.now_ms() - days * DAY_MS;
    while audit::trim(&ctx.db, &ctx.clock, &ctx.keys, &anchor, before, 1_000).await? > 0
        && !ctx.stop.is_cancelled()
    {}
    Ok(())
}

/// Deletes what has run out: sessions, links, authorizations and, sooner, the secrets in them, drafts, old tests.
pub(super) async fn tidy_up(ctx: &Ctx) -> Result<(), DbErr> {
    let now = ctx.clock.now_ms();
    oauth2_server::forget_expired_sessions(ctx).await?;
    oauth2_server::purge_registrations(ctx).await?;
    account::purge(&ctx.db, &ctx.clock).await?;
    outbox::forget_notices(ctx.db.write()).await?;
    idempotency::purge(ctx).await?;
    loop_guard::tidy_up(ctx.db.write(), now).await?;
    alert::store::purge(ctx.db.write(), now - 90 * DAY_MS).await?;
    // Tokens of another account wait an hour for a confirmation; later nothing opens them any more.
    store::forget_pending_secrets(ctx.db.write(), now - 2 * HOUR_MS).await?;
    store::purge_drafts(ctx.db.write(), now - DAY_MS).await?;
    store::purge(ctx.db.write(), now - 30 * DAY_MS).await
}

/// Forgets sign-ins through identity providers that nobody came back from: anybody can begin one.
pub(super) async fn forget_sign_ins(ctx: &Ctx) -> Result<(), DbErr> {
    sso::purge(ctx).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Projects;
    use crate::account::tests::place;
    use crate::audit::{Anchor, Filter, NewAuditEvent};
    use crate::grant::testkit::{FakeProvider, place as with_grants, registered};
    use crate::integration::{self, Flow, IntegrationChange};

    #[tokio::test]
    async fn the_audit_log_goes_as_far_back_as_its_retention_and_zero_keeps_all_of_it() {
        for (days, kept) in [(30, vec!["young"]), (0, vec!["young", "old"])] {
            let mut place = place().await;
            let mut config = (*place.ctx.config).clone();
            config.audit_retention_days = days;
            config.data_dir = place._dir.path().into();
            place.ctx.config = config.into();
            let ctx = &place.ctx;
            let anchor = Anchor::in_folder(&ctx.config.data_dir);
            for target in ["old", "young"] {
                let event = NewAuditEvent::new("project.updated", "project", target);
                audit::append(ctx.db.write(), &ctx.clock, event).await.unwrap();
                ctx.clock.advance(chrono::Duration::days(29));
            }
            audit::seal(&ctx.db, &ctx.keys, &anchor).await.unwrap();
            trim_audit(ctx).await.unwrap();
            let filter = Filter {
                projects: Projects::All,
                action: Some("project.*".to_owned()),
                ..Filter::default()
            };
            let found = audit::list(ctx.db.read(), &filter, None, 10).await.unwrap();
            let found: Vec<&str> = found.iter().map(|event| event.target_id.as_str()).collect();
            assert_eq!(found, kept, "{days} days");
        }
    }

    #[tokio::test]
    async fn each_step_towards_the_end_of_a_secret_is_told_once() {
        let place = with_grants().await;
        let ctx = &place.ctx;
        let provider = FakeProvider::start().await;
        let made = registered(ctx, &provider, Flow::AuthorizationCode).await;
        let ends = ctx.clock.now_ms() + 31 * DAY_MS;
        let change = IntegrationChange {
            revision: made.revision,
            secret_expires_at: Some(Some(ends)),
            ..IntegrationChange::default()
        };
        integration::update(ctx, "cli", &made.id, change).await.unwrap();
        for _ in 0..33 * 2 {
            watch_expiries(ctx).await.unwrap();
            ctx.clock.advance(chrono::Duration::hours(12));
        }
        let mut told = event::of_subject(ctx.db.read(), &made.id, 100).await.unwrap();
        told.retain(|event| event.kind == "integration.secret_expiring");
        told.sort_by_key(|event| event.sequence);
        let steps: Vec<_> = told.iter().map(|event| event.data["stage"].clone()).collect();
        assert_eq!(steps, [30, 14, 7, 1, 0].map(|step| json!(step)));
        assert!(told.iter().all(|event| event.data["expiresAt"] == rfc3339(ends)));
    }

    #[test]
    fn a_secret_is_announced_in_steps() {
        let steps: Vec<i64> = [29, 13, 6, 0, -1]
            .into_iter()
            .map(|days| stage(days * DAY_MS + 1))
            .collect();
        assert_eq!(steps, [30, 14, 7, 1, 0]);
    }
}

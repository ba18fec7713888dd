//! Tells applications that a session ended (back-channel logout), until they took it or are given up.

use std::time::Duration;

use crate::ctx::Ctx;
use crate::oauth2_server;

/// How often it is looked whether somebody is to be told.
const TICK: Duration = Duration::from_secs(1);

/// Works until the process stops.
pub(super) async fn run(ctx: Ctx) {
    while !ctx.stop.is_cancelled() {
        if let Err(error) = step(&ctx).await {
            tracing::warn!("applications were not told of ended sessions: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = ctx.stop.cancelled() => {}
        }
    }
}

async fn step(ctx: &Ctx) -> Result<(), sea_orm::DbErr> {
    oauth2_server::collect_ended_sessions(ctx).await?;
    for lease in oauth2_server::due_logouts(ctx).await? {
        let task = ctx.clone();
        ctx.tasks.spawn(async move {
            if let Err(error) = oauth2_server::tell_logout(&task, &lease).await {
                tracing::warn!(logout = lease.id, "an application was not told: {error}");
            }
        });
    }
    Ok(())
}

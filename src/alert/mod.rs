//! Alerts: what admins are told by mail. An episode begins with an event that says that something needs somebody and
//! ends with the one that says that it is over; each is told once, whichever node sees it.
//!
//! [`meaning`] says which events these are; `store` keeps the episodes, the place in the event log and the settings.
//! Reading the log and sending is `jobs/send_alerts.rs`.

mod model;
pub(crate) mod store;

pub(crate) use model::matters;
pub use model::{Audience, Meaning, Settings, hold_ms, meaning};
pub use store::{Episode, is_opted_out, opt, opted_out, settings};

use sea_orm::{ConnectionTrait, DbErr};

use crate::audit::{self, NewAuditEvent};
use crate::ctx::Ctx;

/// Says who gets alerts from now on; false if somebody else changed the settings since.
pub async fn save(ctx: &Ctx, settings: &Settings) -> Result<bool, DbErr> {
    let txn = ctx.db.begin().await?;
    let saved = save_in(&txn, ctx, settings).await?;
    txn.commit().await?;
    Ok(saved)
}

/// The same in the caller's transaction.
pub async fn save_in<C: ConnectionTrait>(on: &C, ctx: &Ctx, settings: &Settings) -> Result<bool, DbErr> {
    if !store::save(on, settings, ctx.clock.now_ms()).await? {
        return Ok(false);
    }
    let event = NewAuditEvent::new("site_mail.updated", "site_mail", "site_mail")
        .saying(serde_json::json!({ "alerts": settings.audience.as_str() }));
    audit::append(on, &ctx.clock, event).await?;
    Ok(true)
}

//! Follows the event log for everybody in this process who waits for its next line: gives committed events their
//! places, and moves the head.
//!
//! It is woken when this process appends something, then looks at once and again in growing pauses until the commit,
//! whatever else is appended meanwhile; what other nodes append is found at the latest after [`IDLE`].

use std::time::Duration;

use crate::ctx::Ctx;
use crate::event;

/// The longest pause between two looks: how late events of other nodes, and of long transactions, are seen.
const IDLE: Duration = Duration::from_millis(250);

/// The pause after the first look that did not find what was just appended.
const SOON: Duration = Duration::from_millis(2);

pub(super) async fn run(ctx: Ctx) {
    let mut appended = event::appended();
    let mut pause = IDLE;
    loop {
        match event::advance(&ctx.db).await {
            Ok(last) if ctx.log.reach(last) => pause = IDLE,
            Ok(_) => pause = (pause * 2).min(IDLE),
            Err(error) => {
                tracing::warn!("the event log cannot be read: {error}");
                pause = IDLE;
            }
        }
        tokio::select! {
            () = ctx.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            // While it looks again and again, more of the same transaction is no reason to begin anew.
            Ok(()) = appended.changed(), if pause == IDLE => pause = SOON,
        }
    }
}

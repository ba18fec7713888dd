//! Closes the chain of the audit log over what was appended: at once for this process, within [`IDLE`] for others. Before
//! that, what was refused and counted is appended.

use std::time::Duration;

use crate::audit::{self, Anchor};
use crate::ctx::Ctx;

/// The longest pause between two looks: how late events of the command line are sealed.
const IDLE: Duration = Duration::from_secs(1);

/// The pause after the first look that did not find what was just appended, for it is not committed yet.
const SOON: Duration = Duration::from_millis(5);

/// How long a log that does not hold is left alone before it is complained about again.
const COMPLAINT: Duration = Duration::from_secs(60);

pub(super) async fn run(ctx: Ctx) {
    let anchor = Anchor::in_folder(&ctx.config.data_dir);
    let mut appended = audit::appended();
    let mut pause = IDLE;
    loop {
        if let Err(error) = ctx
            .refusals
            .close(&ctx.db, &ctx.clock, ctx.stop.is_cancelled())
            .await
        {
            tracing::error!("refused requests are not in the audit log yet: {error}");
        }
        match audit::seal(&ctx.db, &ctx.keys, &anchor).await {
            Ok(0) => pause = (pause * 2).min(IDLE),
            Ok(_) => pause = IDLE,
            Err(error) => {
                tracing::error!("{error}");
                pause = COMPLAINT;
            }
        }
        if ctx.stop.is_cancelled() {
            return;
        }
        tokio::select! {
            () = ctx.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            // While it looks again and again, more of the same transaction is no reason to begin anew.
            Ok(()) = appended.changed(), if pause == IDLE => pause = SOON,
        }
    }
}

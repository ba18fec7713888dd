//! Refreshes grants that are due. When it runs is decided by the timetable; what a refresh is, by `grant`.

use crate::ctx::Ctx;
use crate::grant::{self, GrantError};

/// One run over all grants that are due. A grant that fails is noted on that grant and does not end the run.
pub async fn run(ctx: &Ctx) -> Result<(), GrantError> {
    let refreshed = grant::refresh_due(ctx).await?;
    if refreshed > 0 {
        tracing::debug!(refreshed, "grants were due");
    }
    Ok(())
}

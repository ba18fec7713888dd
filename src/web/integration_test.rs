//! The test of an integration, run in the background: `grant` tries, `connection_test` keeps what it sees.

use crate::access::Projects;
use crate::connection_test::{Kind, Recorder};
use crate::ctx::Ctx;
use crate::grant::{self, GrantError};
use crate::integration;

/// Starts a test and returns its id; its steps are stored as they happen.
///
/// # Errors
/// There is no such integration, or the database failed.
pub async fn start(ctx: &Ctx, actor: &str, integration_id: &str) -> Result<String, GrantError> {
    let integration = integration::get(ctx, &Projects::All, integration_id).await?;
    let recorder = Recorder::start(ctx, Kind::Integration, &integration.id, actor).await?;
    let id = recorder.id().to_owned();
    let ctx_of_task = ctx.clone();
    ctx.tasks
        .spawn(async move { run(&ctx_of_task, &integration.id, recorder).await });
    Ok(id)
}

async fn run(ctx: &Ctx, integration_id: &str, mut recorder: Recorder) {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let trying = async move {
        // The end of the channel is the end of the test.
        grant::integration_test(ctx, integration_id, |step| {
            let _ = tell.send(step);
        })
        .await
    };
    let recording = async {
        while let Some(step) = told.recv().await {
            recorder.step(step).await;
        }
        recorder
    };
    let (outcome, mut recorder) = tokio::join!(trying, recording);
    if let Err(error) = outcome {
        recorder.failed("integration", error.trouble()).await;
    }
    recorder.finish().await;
}

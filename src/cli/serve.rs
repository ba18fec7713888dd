//! `serve` and `demo`.

use std::process::ExitCode;

use clap::Args;

use super::complain;
use crate::account;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::ctx::Ctx;
use crate::web::Extras;

/// What `demo` takes.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Do it without a browser, say each step, and stop.
    #[arg(long)]
    check: bool,
    /// Address the demo listens on; loopback only.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: std::net::SocketAddr,
}

pub(super) async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let app = App::build(config, Clock::system()).await?;
    let ctx = app.ctx().clone();
    stop_on_signal(&ctx);
    complain(&format!(
        "Mailgrant {} listens on {}",
        env!("CARGO_PKG_VERSION"),
        ctx.config.url("/")
    ));
    if let Some(link) = account::print_setup_link(&ctx).await? {
        complain(&format!(
            "There is no user yet. Make the first administrator with this link (30 minutes, works once):\n  {link}"
        ));
    }
    app.run_until_stopped(Extras::default()).await?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let _ = args;
    anyhow::bail!("the demo is not there yet")
}

/// Ctrl-C and SIGTERM end the service politely.
fn stop_on_signal(ctx: &Ctx) {
    let ctx = ctx.clone();
    tokio::spawn(async move {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            match signal(SignalKind::terminate()) {
                Ok(mut terminate) => tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                },
                Err(_) => {
                    let _ = tokio::signal::ctrl_c().await;
                }
            }
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
        tracing::info!("stopping");
        ctx.stop.cancel();
    });
}

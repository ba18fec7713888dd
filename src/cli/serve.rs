//! `serve` and `demo`.

use std::process::ExitCode;

use clap::Args;

use super::{complain, complain_of, print, start_logging_at, start_quiet_logging};
use crate::account;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::ctx::Ctx;
use crate::demo::{self, Demo};
use crate::sso;
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
    if sso::offer(&ctx).await?.makes_first_admin && account::needs_setup(&ctx.db).await? {
        complain(&format!(
            "There is no user yet. The first administrator, named with the identity provider, signs in here:\n  {}",
            ctx.config.url("/sign-in")
        ));
    } else if let Some(link) = account::print_setup_link(&ctx).await? {
        complain(&format!(
            "There is no user yet. Make the first administrator with this link (30 minutes, works once):\n  {link}"
        ));
    }
    app.run_until_stopped(Extras::default()).await?;
    Ok(ExitCode::SUCCESS)
}

/// Asks each identity provider of the file what can be asked without a person.
pub(super) async fn check_online(config: Config) -> anyhow::Result<ExitCode> {
    let ctx = crate::app::open(config, Clock::system()).await?;
    sso::take_over(&ctx).await?;
    let mut code = ExitCode::SUCCESS;
    for provider in sso::list(&ctx).await? {
        if provider.source != sso::Source::File {
            continue;
        }
        match sso::try_online(&ctx, &provider).await {
            Ok(()) => print(&format!("identity provider {}: ok\n", provider.name)),
            Err(trouble) => {
                print(&format!(
                    "identity provider {}: {} {} ({})\n",
                    provider.name, trouble.cause, trouble.remedy, trouble.code
                ));
                code = ExitCode::from(1);
            }
        }
    }
    Ok(code)
}

pub(super) async fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    if args.check {
        return check().await;
    }
    start_quiet_logging();
    let demo = Demo::start(args.listen, Clock::system()).await?;
    stop_on_signal(demo.ctx());
    if let Some(taken) = demo.taken() {
        complain(&format!("{taken} is taken, so the demo took a free port."));
    }
    let link = demo.sign_in_link().await?;
    complain("Mailgrant's demo runs on this machine. Open this link (30 minutes, works once):\n");
    // The only line on standard output: scripts read it.
    print(&format!("{link}\n"));
    complain(WHAT_TO_TRY);
    demo.run().await?;
    complain("The demo has ended; nothing of it is left.");
    Ok(ExitCode::SUCCESS)
}

/// What is said below the link.
const WHAT_TO_TRY: &str = "
What to try:
  1. Connect the demo mailbox: the real redirect, consent, token exchange and connection test.
  2. Look at the tickets; a mail arrives every three seconds.
  3. Break something on the dashboard and watch it being found: expire the token, revoke the consent, cut the
     connection, refuse TLS.
Everything is temporary: Ctrl-C ends the demo and removes it.";

async fn check() -> anyhow::Result<ExitCode> {
    // What the check breaks is told by its steps, not by the log.
    start_logging_at("error");
    match demo::check::run(Clock::system(), &mut std::io::stdout()).await {
        Ok(took) => {
            print(&format!("All of it works: {:.1} s\n", took.as_secs_f64()));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            complain_of("mailgrant demo --check", &error);
            Ok(ExitCode::FAILURE)
        }
    }
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

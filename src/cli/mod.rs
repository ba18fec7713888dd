//! The command line: data on standard output, talk on standard error, examples in every help text.

mod audit;
mod client;
mod doctor;
mod listen;
mod manage;
mod parse;
mod serve;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::audit::{Origin, Via};
use crate::config::{self, Config, Environment, LogFormat};
use crate::web::openapi;

/// Connects mailboxes through OAuth 2.0 and turns their mail into tickets.
#[derive(Debug, Parser)]
#[command(
    name = "mailgrant",
    version,
    after_help = "Examples:\n  mailgrant demo\n  mailgrant serve\n  \
    MAILGRANT_DATA_DIR=/var/lib/mailgrant mailgrant doctor\n  mailgrant parse - < message.eml"
)]
struct Cli {
    /// Configuration file (TOML); else MAILGRANT_CONFIG, else the defaults.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    #[command(
        after_help = "Examples:\n  mailgrant serve\n  MAILGRANT_BASE_URL=https://mail.example.com mailgrant serve"
    )]
    Serve,
    /// Show everything on this machine: a provider, a mailbox, mail that arrives. No account, no network.
    #[command(
        after_help = "Examples:\n  mailgrant demo            open the printed link\n  \
        mailgrant demo --check    the same without a browser; exit code 0 if all of it works"
    )]
    Demo(serve::DemoArgs),
    /// Bring the database schema up to date and stop.
    #[command(after_help = "Example:\n  MAILGRANT_DATABASE_URL=postgres://mg@db/mg mailgrant migrate")]
    Migrate,
    /// Look for what is wrong with this installation.
    #[command(
        after_help = "Examples:\n  mailgrant doctor\n  mailgrant doctor --json\n\nExit code: 0 nothing wrong, \
        1 warnings, 2 errors."
    )]
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show or check the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Parse one message and print it as JSON.
    #[command(
        after_help = "Examples:\n  mailgrant parse message.eml\n  mailgrant parse - < message.eml\n  \
        mailgrant parse --trusted-authserv-id mx.desk.example message.eml\n  \
        mailgrant parse --part 3 message.eml\n\nThe members of the JSON: docs/message.md"
    )]
    Parse(parse::ParseArgs),
    /// Print the OpenAPI document of the REST API.
    #[command(
        name = "openapi",
        after_help = "Examples:\n  mailgrant openapi > docs/openapi.json\n  mailgrant openapi --problems > docs/problems.md\n  \
        mailgrant openapi --events > docs/events.json"
    )]
    OpenApi {
        /// Print the JSON Schema of every event type instead.
        #[arg(long, conflicts_with = "problems")]
        events: bool,
        /// Print the kinds of problems it answers with instead, as Markdown.
        #[arg(long)]
        problems: bool,
    },
    /// Test the connection of a mailbox, step by step.
    #[command(
        after_help = "Examples:\n  mailgrant test-connection mbx_01K9…\n  mailgrant test-connection \"Support\"\n\n\
        Exit code: 0 ok, 1 warnings, 2 failed."
    )]
    TestConnection {
        /// Id or name of the mailbox.
        mailbox: String,
    },
    /// Tokens for the REST API.
    Token {
        #[command(subcommand)]
        command: manage::TokenCommand,
    },
    /// Applications that get tokens from Mailgrant.
    Client {
        #[command(subcommand)]
        command: client::ClientCommand,
    },
    /// The audit log.
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// People who sign in.
    User {
        #[command(subcommand)]
        command: manage::UserCommand,
    },
    /// Print events as they happen, and hand them to a receiver on this machine.
    #[command(
        after_help = "Examples:\n  mailgrant listen\n  mailgrant listen --events ticket.*,grant.expired --project HELP\n  \
        mailgrant listen --forward-to http://127.0.0.1:3000/hook\n  \
        MAILGRANT_TOKEN=mg_pat_… mailgrant listen --api https://mail.example --json\n\n\
        It reads the log beside the service and takes nothing away from webhooks and queues."
    )]
    Listen(listen::ListenArgs),
    /// Make a sample event, marked as one, for trying out a consumer.
    #[command(
        after_help = "Examples:\n  mailgrant trigger --list\n  mailgrant trigger ticket.created\n  \
        mailgrant trigger ticket.created --project HELP --json\n  \
        MAILGRANT_TOKEN=mg_pat_… mailgrant trigger grant.expired --api https://mail.example\n\n\
        Everybody who listens gets it: webhooks, queues, streams."
    )]
    Trigger(listen::TriggerArgs),
    /// The index of words.
    Search {
        #[command(subcommand)]
        command: SearchCommand,
    },
}

#[derive(Debug, Subcommand)]
enum SearchCommand {
    /// Put every message, ticket, answer and note into the index again; a running service goes on meanwhile.
    #[command(after_help = "Example:\n  mailgrant search rebuild")]
    Rebuild,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the effective values with their source, secrets masked.
    #[command(
        after_help = "Examples:\n  MAILGRANT_LISTEN=0.0.0.0:8080 mailgrant config check\n  \
        mailgrant --config mailgrant.toml config check --online\n\nExit code of --online: 1 if a provider cannot be used."
    )]
    Check {
        /// Ask each identity provider of the file: discovery, keys, and whether it knows the client.
        #[arg(long)]
        online: bool,
    },
    /// Print a configuration file with every setting and its default.
    #[command(after_help = "Example:\n  mailgrant config example > mailgrant.toml")]
    Example,
}

/// Runs the command line and says how it went.
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    let origin = Origin::new(Via::Cli, "", "");
    let outcome = crate::audit::within(origin, async {
        crate::audit::act_as(crate::access::MACHINE);
        // Boxed: all commands together are a deep nest of futures.
        let done: Pin<Box<dyn Future<Output = anyhow::Result<ExitCode>>>> = Box::pin(dispatch(cli));
        done.await
    });
    match outcome.await {
        Ok(code) => code,
        Err(error) => {
            complain_of("mailgrant", error.as_ref());
            ExitCode::from(2)
        }
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    let load = || config::load(&environment, cli.config.as_deref());
    match cli.command {
        Command::Parse(args) => parse::run(&args),
        Command::OpenApi { events: true, .. } => {
            print(&crate::event::kinds::published());
            Ok(ExitCode::SUCCESS)
        }
        Command::OpenApi { problems: true, .. } => {
            print(&crate::web::problems::markdown());
            Ok(ExitCode::SUCCESS)
        }
        Command::OpenApi { problems: false, .. } => {
            print(&openapi::pretty(&openapi::document(&crate::web::routes())));
            Ok(ExitCode::SUCCESS)
        }
        Command::Config {
            command: ConfigCommand::Example,
        } => {
            print(&config::example_file());
            Ok(ExitCode::SUCCESS)
        }
        Command::Config {
            command: ConfigCommand::Check { online },
        } => {
            let config = load()?;
            crate::web::pages(crate::render::Renderer::new()?, &config)?;
            print(&config::describe(&config));
            for warning in config::warnings(&config) {
                complain(&format!("warning: {warning}"));
            }
            if online {
                start_quiet_logging();
                return serve::check_online(config).await;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(args) => serve::demo(args).await,
        Command::Serve => {
            let config = load()?;
            start_logging(&config);
            serve::serve(config).await
        }
        Command::Migrate => {
            let config = load()?;
            start_quiet_logging();
            crate::app::open(config, crate::clock::Clock::system()).await?;
            complain("the schema is up to date");
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { json } => {
            start_quiet_logging();
            doctor::run(load(), json).await
        }
        Command::TestConnection { mailbox } => {
            start_quiet_logging();
            manage::test_connection(load()?, &mailbox).await
        }
        Command::Token { command } => {
            start_quiet_logging();
            manage::token(load()?, command).await
        }
        Command::Listen(args) => {
            start_quiet_logging();
            Box::pin(listen::listen(|| Ok(load()?), args, &environment)).await
        }
        Command::Trigger(args) => {
            start_quiet_logging();
            Box::pin(listen::trigger(|| Ok(load()?), args, &environment)).await
        }
        Command::Search {
            command: SearchCommand::Rebuild,
        } => {
            start_quiet_logging();
            manage::rebuild_search(load()?).await
        }
        Command::Audit { command } => {
            start_quiet_logging();
            audit::run(load()?, command).await
        }
        Command::Client { command } => {
            start_quiet_logging();
            client::run(load()?, command).await
        }
        Command::User { command } => {
            start_quiet_logging();
            manage::user(load()?, command).await
        }
    }
}

/// Writes data to standard output; a closed pipe ends the output, not the program.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Says something to the person at the terminal.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Tells an error with its causes, each once.
fn complain_of(who: &str, error: &dyn std::error::Error) {
    let mut text = format!("{who}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        // Display texts say only their own layer; a cause that is already in them is not repeated.
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    complain(&text);
}

/// Libraries that print tokens or mail when they are asked for details are not asked.
const QUIET_LIBRARIES: &str = "async_imap=off,imap_proto=off,sqlx=warn,sea_orm=warn,sea_orm_migration=warn,lettre=warn,hyper=warn,reqwest=warn,\
     rustls=warn,h2=warn,oauth2=warn";

fn start_logging(config: &Config) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::new(format!("{},{QUIET_LIBRARIES}", config.log_level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match config.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_target(false).try_init(),
    };
    // A second start in one process (tests) keeps the first one's logging.
    let _ = started;
}

fn start_quiet_logging() {
    start_logging_at("warn");
}

fn start_logging_at(level: &str) {
    let filter = tracing_subscriber::EnvFilter::new(format!("{level},{QUIET_LIBRARIES}"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

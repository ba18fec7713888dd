//! `token`, `user` and `test-connection`: they work beside a running service.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{complain, print};
use crate::access::Projects;
use crate::account::{self, NewUser};
use crate::clock::{Clock, rfc3339};
use crate::config::Config;
use crate::connection_test::{self, StepState, TestState};
use crate::ctx::Ctx;
use crate::{app, mailbox, ticket};

/// Who acts when something is done on the machine itself.
const ACTOR: &str = "cli";

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a site-admin token of no person; it is shown once.
    #[command(after_help = "Examples:\n  mailgrant token create --name backup\n  \
        TOKEN=$(mailgrant token create --name ci --json | jq -r .token)")]
    Create {
        /// What the token is for.
        #[arg(long)]
        name: String,
        /// Print JSON: id, name, token.
        #[arg(long)]
        json: bool,
    },
    /// List tokens; never the tokens themselves.
    #[command(after_help = "Example:\n  mailgrant token list --json")]
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a token at once.
    #[command(after_help = "Example:\n  mailgrant token revoke tok_01K9…")]
    Revoke {
        /// Id of the token.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make an administrator; the password comes from standard input.
    #[command(
        after_help = "Examples:\n  mailgrant user create --email ada@example.com --name \"Ada\"\n  \
        mailgrant user create --email ada@example.com < password-file"
    )]
    Create {
        /// Address to sign in with.
        #[arg(long)]
        email: String,
        /// Name shown to others.
        #[arg(long, default_value = "")]
        name: String,
        /// Print JSON: id, email, name.
        #[arg(long)]
        json: bool,
    },
    /// List users.
    #[command(after_help = "Example:\n  mailgrant user list")]
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn rebuild_search(config: Config) -> anyhow::Result<ExitCode> {
    let ctx = app::open(config, Clock::system()).await?;
    let mut last = 0;
    let told = |done: ticket::Rebuilt| {
        let rows = done.messages + done.tickets + done.entries;
        if rows >= last + 5_000 {
            last = rows;
            complain(&format!("{rows} so far"));
        }
    };
    let done = ticket::rebuild(&ctx, told).await?;
    print(&format!(
        "{} messages, {} tickets, {} answers and notes are in the index\n",
        done.messages, done.tickets, done.entries
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn token(config: Config, command: TokenCommand) -> anyhow::Result<ExitCode> {
    let ctx = app::open(config, Clock::system()).await?;
    match command {
        TokenCommand::Create { name, json } => {
            let (info, token) = account::create_token(&ctx.db, &ctx.clock, &name, ACTOR).await?;
            if json {
                let body = json!({ "id": info.id, "name": info.name, "token": token.expose_secret() });
                print(&format!("{body}\n"));
            } else {
                complain("This token can do everything on this site. It is shown only now:");
                print(&format!("{}\n", token.expose_secret()));
            }
        }
        TokenCommand::List { json } => list_tokens(&ctx, json).await?,
        TokenCommand::Revoke { id } => {
            account::revoke_token(&ctx.db, &ctx.clock, &id, ACTOR).await?;
            complain("revoked");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_tokens(ctx: &Ctx, as_json: bool) -> anyhow::Result<()> {
    let tokens = account::list_tokens(&ctx.db).await?;
    if as_json {
        let items: Vec<_> = tokens
            .iter()
            .map(|token| {
                json!({
                    "id": token.id, "name": token.name, "actor": token.actor,
                    "createdAt": rfc3339(token.created_at),
                    "lastUsedAt": token.last_used_at.map(rfc3339),
                    "revokedAt": token.revoked_at.map(rfc3339),
                })
            })
            .collect();
        print(&format!("{}\n", serde_json::Value::Array(items)));
        return Ok(());
    }
    if tokens.is_empty() {
        complain("no tokens yet; make one with: mailgrant token create --name NAME");
    }
    for token in tokens {
        let state = if token.revoked_at.is_some() {
            "revoked"
        } else {
            "active"
        };
        let used = token
            .last_used_at
            .map_or_else(|| "never used".to_owned(), rfc3339);
        print(&format!("{}  {:<24} {state:<8} {used}\n", token.id, token.name));
    }
    Ok(())
}

pub(super) async fn user(config: Config, command: UserCommand) -> anyhow::Result<ExitCode> {
    let ctx = app::open(config, Clock::system()).await?;
    match command {
        UserCommand::Create { email, name, json } => {
            let password = read_password()?;
            let new = NewUser {
                email,
                name,
                password,
                is_site_admin: true,
            };
            let user = account::create(&ctx.db, &ctx.clock, &new, ACTOR).await?;
            if json {
                let body = json!({ "id": user.id, "email": user.email, "name": user.name });
                print(&format!("{body}\n"));
            } else {
                complain(&format!(
                    "{} can sign in at {}",
                    user.email,
                    ctx.config.url("/sign-in")
                ));
            }
        }
        UserCommand::List { json } => {
            let users = account::list(&ctx.db).await?;
            if json {
                let items: Vec<_> = users
                    .iter()
                    .map(|u| json!({ "id": u.id, "email": u.email, "name": u.name }))
                    .collect();
                print(&format!("{}\n", serde_json::Value::Array(items)));
            } else {
                for user in users {
                    print(&format!("{}  {:<32} {}\n", user.id, user.email, user.name));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One line of standard input. At a terminal it is asked for; the terminal shows what is typed.
fn read_password() -> anyhow::Result<SecretString> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        complain("Password (it will be visible while you type):");
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(SecretString::from(line.trim_end_matches(['\r', '\n']).to_owned()))
}

pub(super) async fn test_connection(config: Config, wanted: &str) -> anyhow::Result<ExitCode> {
    let ctx = app::open(config, Clock::system()).await?;
    let all = mailbox::list(&ctx, &Projects::All).await?;
    let Some(found) = all
        .iter()
        .find(|mailbox| mailbox.id == wanted || mailbox.name == wanted)
    else {
        let names: Vec<_> = all.iter().map(|mailbox| mailbox.name.as_str()).collect();
        anyhow::bail!("there is no mailbox “{wanted}”; there are: {}", names.join(", "));
    };
    let id = mailbox::run_test(&ctx, &Projects::All, ACTOR, &found.id).await?;
    for step in connection_test::steps_of(ctx.db.read(), &id, 0).await? {
        let mark = match step.state {
            StepState::Ok => "ok  ",
            StepState::Warn => "warn",
            StepState::Failed => "FAIL",
        };
        print(&format!(
            "{mark} {:<16} {:>6} ms  {}\n",
            step.name, step.ms, step.detail
        ));
        if !step.cause.is_empty() {
            print(&format!(
                "     cause:  {}\n     remedy: {}\n",
                step.cause, step.remedy
            ));
        }
    }
    let run = connection_test::get(ctx.db.read(), &Projects::All, &id).await?;
    Ok(match run.map(|run| run.state) {
        Some(TestState::Ok) => ExitCode::SUCCESS,
        Some(TestState::Warn) => ExitCode::from(1),
        _ => ExitCode::from(2),
    })
}

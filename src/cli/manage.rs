//! `token`, `user` and `test-connection`: they work beside a running service.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{complain, print};
use crate::access::{Projects, Scope, Scopes};
use crate::account::{self, LinkKind, NewToken, NewUser};
use crate::clock::{Clock, rfc3339};
use crate::config::Config;
use crate::connection_test::{self, StepState, TestState};
use crate::ctx::Ctx;
use crate::{app, mailbox, project, ticket};

/// Who acts when something is done on the machine itself.
const ACTOR: &str = "cli";

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; it is shown once.
    ///
    /// Without `--user` it belongs to no person and reaches the whole site. Without `--scope` it may do everything its
    /// owner may.
    #[command(after_help = "Examples:\n  mailgrant token create --name backup\n  \
        mailgrant token create --name desk --scope tickets:read --scope messages:read --project HELP --expires 30\n  \
        TOKEN=$(mailgrant token create --name ci --json | jq -r .token)")]
    Create {
        /// What the token is for.
        #[arg(long)]
        name: String,
        /// What it may do, for example tickets:read; may be given several times. Default: admin, which is everything.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Key or id of a project to narrow it to; may be given several times.
        #[arg(long = "project", value_name = "PROJECT")]
        projects: Vec<String>,
        /// Days until it ends, or `never`.
        #[arg(long, value_name = "DAYS", default_value = "90")]
        expires: String,
        /// Address of the person it belongs to; it never exceeds what they may do.
        #[arg(long = "user", value_name = "EMAIL")]
        user: Option<String>,
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
    /// Print a one-time link by which an administrator gets in, whatever was lost.
    ///
    /// For the day when nobody can sign in: password or second factor lost, account disabled, identity provider down.
    /// Whoever opens the link within 30 minutes sets a new password; the account becomes a site admin that may sign in,
    /// without a second factor. An address without an account gets one.
    #[command(
        after_help = "Examples:\n  mailgrant user recover --email ada@example.com\n  \
        mailgrant user recover --email new-admin@example.com --name \"Grace\"\n  \
        LINK=$(mailgrant user recover --email ada@example.com)"
    )]
    Recover {
        /// Address of the account.
        #[arg(long)]
        email: String,
        /// Name, for an account that is made now.
        #[arg(long, default_value = "")]
        name: String,
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
        TokenCommand::Create {
            name,
            scopes,
            projects,
            expires,
            user,
            json,
        } => {
            let wanted = Wanted {
                name: &name,
                scopes: &scopes,
                projects: &projects,
                expires: &expires,
                user: user.as_deref(),
            };
            create_token(&ctx, wanted, json).await?;
        }
        TokenCommand::List { json } => list_tokens(&ctx, json).await?,
        TokenCommand::Revoke { id } => {
            account::revoke_token(&ctx.db, &ctx.clock, &id, None, ACTOR).await?;
            complain("revoked");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What `token create` was asked for.
struct Wanted<'a> {
    name: &'a str,
    scopes: &'a [String],
    projects: &'a [String],
    expires: &'a str,
    user: Option<&'a str>,
}

async fn create_token(ctx: &Ctx, wanted: Wanted<'_>, as_json: bool) -> anyhow::Result<()> {
    let new = NewToken {
        name: wanted.name,
        scopes: read_scopes(wanted.scopes)?,
        projects: read_projects(ctx, wanted.projects).await?,
        expires_at: read_end(wanted.expires, ctx.clock.now_ms())?,
    };
    let owner = match wanted.user {
        None => ACTOR.to_owned(),
        Some(email) => match account::get_by_email(&ctx.db, email).await? {
            Some(user) => user.id,
            None => anyhow::bail!("nobody has the address {email}; `mailgrant user list` shows who there is"),
        },
    };
    let (info, token) = account::issue_token(&ctx.db, &ctx.clock, &new, &owner, ACTOR).await?;
    if as_json {
        let body = json!({
            "id": info.id, "name": info.name, "token": token.expose_secret(),
            "scopes": info.scopes.words().map(Scope::as_str).collect::<Vec<_>>(),
            "projectIds": info.projects, "expiresAt": info.expires_at.map(rfc3339),
        });
        print(&format!("{body}\n"));
        return Ok(());
    }
    let reach = match (&info.projects, info.user_id()) {
        (Some(_), _) => "in the projects named",
        (None, Some(_)) => "where its owner may",
        (None, None) => "on this site",
    };
    let what = if info.scopes.allow(Scope::Admin) {
        "everything".to_owned()
    } else {
        info.scopes.to_string()
    };
    complain(&format!(
        "This token can do this {reach}: {what}. It is shown only now:"
    ));
    print(&format!("{}\n", token.expose_secret()));
    Ok(())
}

fn read_scopes(words: &[String]) -> anyhow::Result<Scopes> {
    if words.is_empty() {
        return Ok(Scopes::from_iter([Scope::Admin]));
    }
    // Several in one argument, with commas or spaces between them, are meant as several.
    Scopes::parse(&words.join(" ").replace(',', " ")).map_err(|word| {
        let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        anyhow::anyhow!("there is no scope “{word}”; there are: {}", known.join(", "))
    })
}

async fn read_projects(ctx: &Ctx, named: &[String]) -> anyhow::Result<Option<BTreeSet<String>>> {
    if named.is_empty() {
        return Ok(None);
    }
    let all = project::list(ctx, &Projects::All).await?;
    named
        .iter()
        .map(|name| {
            all.iter()
                .find(|project| project.id == *name || project.key.eq_ignore_ascii_case(name))
                .map(|project| project.id.clone())
                .ok_or_else(|| {
                    let keys: Vec<&str> = all.iter().map(|project| project.key.as_str()).collect();
                    anyhow::anyhow!("there is no project “{name}”; there are: {}", keys.join(", "))
                })
        })
        .collect::<anyhow::Result<BTreeSet<String>>>()
        .map(Some)
}

/// Most days a token can be asked to live: beyond that, `never` is meant.
const MAX_DAYS: i64 = 3_650;

fn read_end(text: &str, now: i64) -> anyhow::Result<Option<i64>> {
    if text == "never" {
        return Ok(None);
    }
    match text.trim_end_matches('d').parse::<i64>() {
        Ok(days) if (1..=MAX_DAYS).contains(&days) => Ok(Some(now + days * 86_400_000)),
        _ => anyhow::bail!("--expires takes days from 1 to {MAX_DAYS}, or never; not “{text}”"),
    }
}

async fn list_tokens(ctx: &Ctx, as_json: bool) -> anyhow::Result<()> {
    let tokens = account::list_tokens(&ctx.db, None).await?;
    if as_json {
        let items: Vec<_> = tokens
            .iter()
            .map(|token| {
                json!({
                    "id": token.id, "name": token.name, "actor": token.actor,
                    "scopes": token.scopes.words().map(Scope::as_str).collect::<Vec<_>>(),
                    "projectIds": token.projects,
                    "createdAt": rfc3339(token.created_at),
                    "expiresAt": token.expires_at.map(rfc3339),
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
        let state = match (token.revoked_at, token.is_live(ctx.clock.now_ms())) {
            (Some(_), _) => "revoked",
            (None, true) => "active",
            (None, false) => "expired",
        };
        let used = token
            .last_used_at
            .map_or_else(|| "never used".to_owned(), rfc3339);
        print(&format!(
            "{}  {:<24} {state:<8} {used}  {}\n",
            token.id, token.name, token.scopes
        ));
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
        UserCommand::Recover { email, name } => recover(&ctx, &email, &name).await?,
        UserCommand::List { json } => {
            let users = account::list(&ctx.db, &Projects::All).await?;
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

async fn recover(ctx: &Ctx, email: &str, name: &str) -> anyhow::Result<()> {
    let user = match account::get_by_email(&ctx.db, email).await? {
        Some(user) => user,
        None => account::invite(&ctx.db, &ctx.clock, email, name, true, ACTOR).await?,
    };
    let tx = ctx.db.begin().await?;
    let link = account::password_link(&tx, ctx, &user.id, LinkKind::Recovery, ACTOR).await?;
    tx.commit().await?;
    complain(&format!(
        "Whoever opens this link within {} minutes becomes {}, a site admin. It works once:",
        LinkKind::Recovery.minutes(),
        user.email
    ));
    print(&format!("{}\n", link.expose_secret()));
    Ok(())
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

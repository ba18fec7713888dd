//! `doctor`: what is wrong with this installation, each line with the likely cause and the remedy.

use std::process::ExitCode;

use serde::Serialize;

use super::{complain, print};
use crate::access::Projects;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::ctx::Ctx;
use crate::{account, app, grant, integration, mailbox};

/// More integrations or grants than anybody reads on a terminal.
const EVERY: u64 = 10_000;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Error,
}

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    remedy: String,
}

fn check(name: &str, verdict: Verdict, detail: impl Into<String>, remedy: &str) -> Check {
    Check {
        name: name.into(),
        verdict,
        detail: detail.into(),
        remedy: remedy.into(),
    }
}

pub(super) async fn run(config: Result<Config, ConfigError>, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut checks = Vec::new();
    match config {
        Err(error) => checks.push(check(
            "configuration",
            Verdict::Error,
            error.to_string(),
            "Mend the setting; `mailgrant config example` shows every one.",
        )),
        Ok(config) => {
            checks.push(base_url(&config));
            match app::open(config, Clock::system()).await {
                Err(error) => checks.push(check("start", Verdict::Error, error.to_string(), "")),
                Ok(ctx) => installation(&ctx, &mut checks).await?,
            }
        }
    }
    let worst = checks
        .iter()
        .map(|check| check.verdict)
        .max()
        .unwrap_or(Verdict::Ok);
    if as_json {
        print(&format!(
            "{}\n",
            serde_json::json!({ "verdict": worst, "checks": checks })
        ));
    } else {
        show(&checks, worst);
    }
    Ok(match worst {
        Verdict::Ok => ExitCode::SUCCESS,
        Verdict::Warn => ExitCode::from(1),
        Verdict::Error => ExitCode::from(2),
    })
}

fn show(checks: &[Check], worst: Verdict) {
    for check in checks {
        let mark = match check.verdict {
            Verdict::Ok => "ok   ",
            Verdict::Warn => "warn ",
            Verdict::Error => "ERROR",
        };
        print(&format!("{mark} {:<22} {}\n", check.name, check.detail));
        if !check.remedy.is_empty() {
            print(&format!("      {:<22} → {}\n", "", check.remedy));
        }
    }
    if worst == Verdict::Ok {
        complain("nothing wrong was found");
    }
}

fn base_url(config: &Config) -> Check {
    if config.is_https() {
        return check("base URL", Verdict::Ok, config.base_url.as_str(), "");
    }
    check(
        "base URL",
        Verdict::Warn,
        format!("{} is reachable from this machine only", config.base_url),
        "For real providers set MAILGRANT_BASE_URL to the https address that people use.",
    )
}

async fn installation(ctx: &Ctx, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let database = if ctx.db.is_postgres() {
        "PostgreSQL"
    } else {
        "SQLite"
    };
    checks.push(check(
        "database",
        Verdict::Ok,
        format!("{database}, schema up to date"),
        "",
    ));
    let key = format!(
        "{}, sealing with {}",
        ctx.config.key_file.display(),
        ctx.keys.active_kid()
    );
    checks.push(check("key file", Verdict::Ok, key, ""));
    checks.push(match account::needs_setup(&ctx.db).await? {
        false => check("users", Verdict::Ok, "there is an administrator", ""),
        true => check(
            "users",
            Verdict::Warn,
            "nobody can sign in yet",
            "Start `mailgrant serve` and open the link it prints, or run `mailgrant user create`.",
        ),
    });
    for integration in integration::list(ctx, &Projects::All, None, EVERY).await? {
        let name = format!("integration {}", integration.name);
        match &integration.trouble {
            Some(trouble) => checks.push(check(
                &name,
                Verdict::Error,
                trouble.cause.as_str(),
                &trouble.remedy,
            )),
            None => checks.push(check(&name, Verdict::Ok, "configured", "")),
        }
        for warning in integration::warnings(&integration, ctx.clock.now_ms()) {
            checks.push(check(&name, Verdict::Warn, warning.cause, &warning.remedy));
        }
    }
    for grant in grant::list(ctx, &Projects::All, None, EVERY).await? {
        let name = format!(
            "grant {}",
            if grant.identity.is_empty() {
                &grant.id
            } else {
                &grant.identity
            }
        );
        match &grant.trouble {
            Some(trouble) => checks.push(check(
                &name,
                Verdict::Error,
                trouble.cause.as_str(),
                &trouble.remedy,
            )),
            None => checks.push(check(&name, Verdict::Ok, grant.state.as_str(), "")),
        }
    }
    for mailbox in mailbox::list(ctx, &Projects::All).await? {
        let name = format!("mailbox {}", mailbox.name);
        match mailbox.trouble() {
            Some(trouble) => checks.push(check(&name, Verdict::Error, trouble.cause, &trouble.remedy)),
            None => checks.push(check(&name, Verdict::Ok, mailbox.state, "")),
        }
    }
    Ok(())
}

//! `audit`: whether the audit log is the one that was written, and the log as JSON Lines.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{complain, print};
use crate::app;
use crate::audit::{self, Anchor, AuditEvent, NewAuditEvent};
use crate::clock::{Clock, rfc3339};
use crate::config::Config;
use crate::ctx::Ctx;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Go along the chain of seals and name the first place where it does not hold.
    #[command(
        after_help = "Examples:\n  mailgrant audit verify\n  mailgrant audit verify --json\n  \
        mailgrant audit verify --accept    after a restore from a backup\n\nExit code: 0 it holds, 1 it does not."
    )]
    Verify {
        /// Take the log as it is, if its seals hold, although this machine has seen a later end of it.
        #[arg(long)]
        accept: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the log, oldest first, one JSON object per line, with places and seals.
    #[command(
        after_help = "Examples:\n  mailgrant audit export > audit.jsonl\n  mailgrant audit export --after 1200 >> audit.jsonl"
    )]
    Export {
        /// Begin behind this place.
        #[arg(long, value_name = "PLACE", default_value_t = 0)]
        after: i64,
    },
}

pub(super) async fn run(config: Config, command: AuditCommand) -> anyhow::Result<ExitCode> {
    let ctx = app::open(config, Clock::system()).await?;
    match command {
        AuditCommand::Verify { accept, json } => verify(&ctx, accept, json).await,
        AuditCommand::Export { after } => export(&ctx, after).await,
    }
}

async fn verify(ctx: &Ctx, accept: bool, as_json: bool) -> anyhow::Result<ExitCode> {
    let anchor = Anchor::in_folder(&ctx.config.data_dir);
    if accept {
        let place = audit::accept(ctx.db.read(), &ctx.keys, &anchor).await?;
        let event = NewAuditEvent::new("audit.accepted", "audit", "").saying(json!({ "atPlace": place }));
        audit::append(ctx.db.write(), &ctx.clock, event).await?;
    }
    // What was appended a moment ago, or while no service ran. A log that cannot be gone on with is reported below.
    let went_on = audit::seal(&ctx.db, &ctx.keys, &anchor).await;
    let report = audit::verify(&ctx.db, &ctx.keys, &anchor).await?;
    if let (None, Err(error)) = (&report.broken, went_on) {
        return Err(error.into());
    }
    if as_json {
        let broken = report
            .broken
            .as_ref()
            .map(|(place, id, how)| json!({ "place": place, "id": id, "how": how.to_string() }));
        let body = json!({
            "sealed": report.sealed, "first": report.first, "last": report.last, "unsealed": report.open,
            "broken": broken,
        });
        print(&format!("{body}\n"));
    }
    let Some((place, id, how)) = &report.broken else {
        complain(&format!(
            "the audit log holds: {} events, places {} to {}",
            report.sealed, report.first, report.last
        ));
        return Ok(ExitCode::SUCCESS);
    };
    let named = if id.is_empty() {
        String::new()
    } else {
        format!(" ({id})")
    };
    complain(&format!(
        "the audit log does not hold from place {place}{named} on: {how}. {} events before it hold",
        report.sealed
    ));
    Ok(ExitCode::from(1))
}

async fn export(ctx: &Ctx, after: i64) -> anyhow::Result<ExitCode> {
    let anchor = Anchor::in_folder(&ctx.config.data_dir);
    let event = NewAuditEvent::new("audit.exported", "audit", "").saying(json!({ "afterPlace": after }));
    audit::append(ctx.db.write(), &ctx.clock, event).await?;
    if let Err(error) = audit::seal(&ctx.db, &ctx.keys, &anchor).await {
        complain(&format!("{error}; what was sealed before is printed"));
    }
    let mut place = after;
    loop {
        let page = audit::placed(ctx.db.read(), place, 500).await?;
        let Some(last) = page.last() else {
            return Ok(ExitCode::SUCCESS);
        };
        place = last.place;
        for event in &page {
            print(&format!("{}\n", line(event)));
        }
    }
}

fn line(event: &AuditEvent) -> serde_json::Value {
    json!({
        "place": event.place,
        "id": event.id,
        "timestamp": rfc3339(event.created_at),
        "actor": event.actor,
        "via": event.via,
        "address": event.address,
        "requestId": event.request_id,
        "action": event.action,
        "targetType": event.target_kind,
        "targetId": event.target_id,
        "projectId": event.project_id,
        "summary": event.summary,
        "keyId": event.key_id,
        "seal": event.seal,
    })
}

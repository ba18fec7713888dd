//! Everything that is known about the way of one message, gathered for its page and for REST.

use serde_json::{Value, json};

use crate::access::Projects;
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::message::{self, Copy, Message, MessageError, OnServer, Outline, Run};
use crate::web::error::Problem;

/// What is known.
pub(in crate::web) struct Explanation {
    pub(in crate::web) message: Message,
    /// What was parsed of it.
    pub(in crate::web) mail: mailgrant_mail::ParsedMail,
    /// The mail as far as its classification goes.
    pub(in crate::web) outline: Outline,
    /// What was wrong with it when it was parsed.
    pub(in crate::web) problems: Vec<String>,
    /// Each time it was processed, the first one first.
    pub(in crate::web) runs: Vec<Run>,
    /// Where it was on its server, and whether that was told.
    pub(in crate::web) places: Vec<OnServer>,
    /// The same mail in other mailboxes, shown by the same entry.
    pub(in crate::web) copies: Vec<Copy>,
    /// The key of its ticket.
    pub(in crate::web) ticket_key: Option<String>,
    /// How its ticket was found: the resolver's rule and why.
    pub(in crate::web) resolution: Value,
}

impl Explanation {
    /// Of a message of these projects.
    pub(in crate::web) async fn load(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Self, Problem> {
        let message = message::get(ctx, projects, id)
            .await
            .map_err(|error| match error {
                MessageError::NotFound | MessageError::NoAttachment => Problem::not_found("message"),
                MessageError::Db(error) => error.into(),
            })?;
        let on = ctx.db.read();
        let beginning = message::beginning(on, id).await?;
        let mail: mailgrant_mail::ParsedMail = serde_json::from_str(&message.parsed).unwrap_or_default();
        let problems = mail
            .mailgrant
            .problems
            .iter()
            .map(|problem| problem.detail.clone());
        Ok(Self {
            outline: Outline::of(&mail, mailgrant_mail::header_fields(&beginning)),
            problems: problems.collect(),
            runs: message::runs_of(on, id).await?,
            places: message::on_server(on, id).await?,
            copies: message::copies(on, &message).await?,
            ticket_key: crate::ticket::key_of(on, &message.ticket_id).await?,
            resolution: serde_json::from_str(&message.resolution).unwrap_or_default(),
            mail,
            message,
        })
    }

    /// The run that decided where it is now: the last one that went through the rules.
    pub(in crate::web) fn deciding_run(&self) -> Option<&Run> {
        self.runs
            .iter()
            .rev()
            .find(|run| run.detail.get("rules").is_some())
    }

    /// As the API shows it.
    pub(in crate::web) fn to_json(&self) -> Value {
        let message = &self.message;
        let time = |at: Option<i64>| at.map(rfc3339);
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let decided = self.deciding_run();
        let first = self.runs.first();
        let last = self.runs.last();
        let run = |run: &Run| {
            json!({
                "number": run.number,
                "cause": run.cause,
                "actor": run.actor,
                "beganAt": rfc3339(run.began_at),
                "parsedAt": time(run.parsed_at),
                "endedAt": rfc3339(run.ended_at),
                "outcome": run.outcome,
                "detail": run.detail,
            })
        };
        let place = |place: &OnServer| {
            json!({
                "folder": place.folder,
                "uidValidity": place.uid_validity,
                "uid": place.uid,
                "outcome": place.outcome,
                "told": place.tell,
                "at": rfc3339(place.at),
            })
        };
        let copy = |copy: &Copy| json!({ "messageId": copy.message_id, "mailboxId": copy.mailbox_id, "at": rfc3339(copy.at) });
        json!({
            "messageId": message.id,
            "projectId": message.project_id,
            "state": message.state,
            "received": {
                "at": rfc3339(message.received_at),
                "mailboxId": message.mailbox_id,
                "folder": message.folder,
                "uid": message.uid,
                "uidValidity": message.uid_validity,
                "size": message.size,
                "isPartial": message.is_partial,
            },
            "parsed": {
                "at": time(last.and_then(|run| run.parsed_at).or(first.and_then(|run| run.parsed_at))),
                "attempts": message.attempts,
                "problems": self.problems,
            },
            "classified": {
                "kind": self.outline.kind.as_str(),
                "evidence": self.outline.evidence,
                "spf": known(&self.outline.spf),
                "dkim": known(&self.outline.dkim),
                "dmarc": known(&self.outline.dmarc),
            },
            "rules": decided.map(|run| run.detail.clone()),
            "ticket": {
                "at": decided.map(|run| rfc3339(run.ended_at)),
                "id": text(&message.ticket_id),
                "key": self.ticket_key,
                "resolution": self.resolution,
            },
            "alsoArrived": self.copies.iter().map(copy).collect::<Vec<_>>(),
            "quarantine": {
                "reason": text(&message.quarantine_reason),
                "since": time(message.quarantined_at),
                "problem": text(&message.problem),
            },
            "server": self.places.iter().map(place).collect::<Vec<_>>(),
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
        })
    }
}

fn known(verdict: &str) -> &str {
    if verdict.is_empty() { "unknown" } else { verdict }
}

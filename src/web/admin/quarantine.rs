//! Quarantine, the page that explains one message, and processing it again.

use actix_web::web;
use serde::Deserialize;
use serde_json::Value;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::parts::{Action, Badge, Choice, Pager, Tone};
use super::views::quarantine::{ExplainedStep, MessagePage, Quarantine, QuarantineRow, RunRow};
use super::{attached_mail, failure, words};
use crate::access::{Role, Scope};
use crate::jobs::{self, Cause, ReprocessError};
use crate::message::{self, Message, Reason, Run};
use crate::ticket;
use crate::web::error::Problem;
use crate::web::explanation::Explanation;
use crate::web::route::{Guard, Route};

const AGENT: Guard = Guard::Role(Role::Agent);

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/quarantine", Guard::Role(Role::Viewer), || web::to(list)),
    Route::get("/messages/{id}", Guard::Role(Role::Viewer), || web::to(explain)),
    Route::post("/messages/{id}/reprocess", AGENT, || web::to(reprocess)),
    Route::post("/quarantine/{id}/release", AGENT, || web::to(release)),
    Route::post("/quarantine/{id}/drop", AGENT, || web::to(drop_it)),
    Route::post("/quarantine/{id}/fetch", AGENT, || web::to(fetch)),
];

/// Messages on one page of the list.
const PAGE: u64 = 50;

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    after: String,
}

fn path(reason: &str, after: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("reason", reason), ("after", after)] {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        query if query.is_empty() => "/quarantine".to_owned(),
        query => format!("/quarantine?{query}"),
    }
}

async fn list(desk: Desk, query: web::Query<Query>) -> Answer {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let reason = some(&query.reason).filter(|reason| Reason::parse(reason).is_some());
    let allowed = desk.access().projects();
    let on = desk.ctx.db.read();
    let after = some(&query.after);
    let mut found = message::quarantined(on, &allowed, reason.as_deref(), after.as_deref(), PAGE + 1).await?;
    let more = found.len() as u64 > PAGE;
    found.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let next = found
        .last()
        .filter(|_| more)
        .map(|last| path(&query.reason, &last.id));
    let mut rows = Vec::new();
    for message in &found {
        let ticket = ticket::key_of(on, &message.ticket_id).await?;
        rows.push(row(&desk, message, ticket));
    }
    let chosen = reason.as_deref().unwrap_or_default();
    let reasons = std::iter::once(Choice::new("", "All reasons", chosen.is_empty())).chain(
        Reason::ALL.into_iter().map(|reason| {
            Choice::new(
                reason.as_str(),
                reason_word(reason.as_str()),
                reason.as_str() == chosen,
            )
        }),
    );
    desk.show(&Quarantine {
        page: desk.page("Quarantine", Section::Quarantine).await?,
        reasons: reasons.collect(),
        filtered: reason.is_some(),
        pager: Pager {
            first: after.is_some().then(|| path(&query.reason, "")),
            next,
            text: format!("{} shown, the newest first", rows.len()),
        },
        messages: rows,
    })
}

fn reason_word(reason: &str) -> &'static str {
    match Reason::parse(reason) {
        Some(Reason::Unreadable) => "Could not be read",
        Some(Reason::TooLarge) => "Too large",
        Some(Reason::Rule) => "Sent by a rule",
        None => "In quarantine",
    }
}

fn row(desk: &Desk, message: &Message, ticket: Option<String>) -> QuarantineRow {
    let may = desk.access().may(Scope::TicketsWrite, &message.project_id);
    QuarantineRow {
        id: message.id.clone(),
        subject: message.subject.clone(),
        from: message.from_email.clone(),
        reason: Badge::new(Tone::Warn, reason_word(&message.quarantine_reason)),
        problem: message.problem.clone(),
        since: message.quarantined_at.map(|at| words::when(desk.now(), at)),
        size: words::size(u64::try_from(message.size).unwrap_or(0)),
        ticket,
        actions: if may { actions(message) } else { vec![] },
    }
}

/// What can be done with a message where it stands.
fn actions(message: &Message) -> Vec<Action> {
    let id = &message.id;
    let mut actions = Vec::new();
    if message.state == "stored" {
        return actions;
    }
    if message.state == "quarantined" && message.is_partial {
        actions.push(Action::post(
            "Fetch the whole mail",
            format!("/quarantine/{id}/fetch"),
        ));
    } else {
        actions.push(Action::post("Process again", format!("/messages/{id}/reprocess")));
    }
    if message.state == "quarantined" {
        if message.ticket_id.is_empty() {
            actions.push(Action::post("Release", format!("/quarantine/{id}/release")));
            actions.push(Action::post("Drop", format!("/quarantine/{id}/drop")));
        } else {
            actions.push(Action::post("Keep as it is", format!("/quarantine/{id}/release")));
        }
    }
    actions
}

async fn explain(desk: Desk, id: web::Path<String>) -> Answer {
    let found = Explanation::load(&desk.ctx, &desk.access().projects(), &id).await?;
    let now = desk.now();
    let names = words::Names::load(&desk.ctx).await?;
    let message = &found.message;
    let subject = match message.subject.as_str() {
        "" => "(no subject)".to_owned(),
        subject => subject.to_owned(),
    };
    let from = match (message.from_name.as_str(), message.from_email.as_str()) {
        ("", email) => email.to_owned(),
        (name, "") => name.to_owned(),
        (name, email) => format!("{name} <{email}>"),
    };
    let run = |run: &Run| RunRow {
        number: run.number,
        when: words::when(now, run.began_at),
        cause: cause_word(&run.cause).to_owned(),
        by: names.of(&run.actor),
        outcome: state_badge(&run.outcome),
        ms: run.ended_at - run.began_at,
    };
    let (back, back_label) = match &found.ticket_key {
        Some(key) => (format!("/tickets/{key}"), key.clone()),
        None => ("/quarantine".to_owned(), "Quarantine".to_owned()),
    };
    let section = if found.ticket_key.is_some() {
        Section::Tickets
    } else {
        Section::Quarantine
    };
    let may = desk.access().may(Scope::TicketsWrite, &message.project_id);
    desk.show(&MessagePage {
        page: desk.here(desk.page(subject.clone(), section).await?, &message.project_id),
        id: message.id.clone(),
        subject,
        from,
        state: state_badge(&message.state),
        problem: (!message.problem.is_empty()).then(|| message.problem.clone()),
        actions: if may { actions(message) } else { vec![] },
        back,
        back_label,
        attached: attached_mail::links(&message.id, &found.mail),
        steps: steps(&found, now),
        runs: found.runs.iter().rev().map(run).collect(),
    })
}

fn cause_word(cause: &str) -> &'static str {
    match cause {
        "ingest" => "It came in",
        "release" => "Released from quarantine",
        "drop" => "Dropped from quarantine",
        "keep" => "Kept as it is",
        "fetch" => "The whole mail was fetched",
        _ => "Processed again",
    }
}

fn state_badge(state: &str) -> Badge {
    match state {
        "ticketed" => Badge::new(Tone::Ok, "In a ticket"),
        "quarantined" => Badge::new(Tone::Warn, "In quarantine"),
        "dropped" => Badge::new(Tone::Muted, "Dropped"),
        "failed" => Badge::new(Tone::Bad, "Could not be read"),
        _ => Badge::new(Tone::Busy, "Waiting"),
    }
}

fn steps(found: &Explanation, now: i64) -> Vec<ExplainedStep> {
    let message = &found.message;
    let decided = found.deciding_run();
    let parsed_at = found.runs.iter().rev().find_map(|run| run.parsed_at);
    let step = |tone, title: &str, at: Option<i64>, lines| ExplainedStep {
        tone,
        title: title.to_owned(),
        when: at.map(|at| words::when(now, at)),
        lines,
        link: None,
    };
    let size = words::size(u64::try_from(message.size).unwrap_or(0));
    let mut received = vec![format!("From {}, UID {}, {size}.", message.folder, message.uid)];
    if message.is_partial {
        received.push("Only its header was fetched: it exceeds the size limit of its mailbox.".to_owned());
    }
    let mut parsed: Vec<String> = found.problems.clone();
    if parsed.is_empty() && parsed_at.is_some() {
        parsed.push("Nothing was wrong with it.".to_owned());
    }
    let parsed_tone = match (parsed_at, found.problems.is_empty()) {
        (None, _) if message.state == "stored" => Tone::Busy,
        (None, _) => Tone::Bad,
        (Some(_), true) => Tone::Ok,
        (Some(_), false) => Tone::Warn,
    };
    if parsed_at.is_none() {
        parsed = vec![format!(
            "Begun {}, not finished.",
            words::count(message.attempts, "time")
        )];
    }
    let ended_at = decided.map(|run| run.ended_at);
    let mut steps = vec![
        step(Tone::Ok, "Received", Some(message.received_at), received),
        step(parsed_tone, "Parsed", parsed_at, parsed),
    ];
    if parsed_at.is_some() {
        steps.push(step(Tone::Ok, "Classified", parsed_at, classified(found)));
    }
    if let Some(run) = decided {
        let fallback = run.detail["fallback"].as_str();
        let tone = if fallback.is_some() { Tone::Warn } else { Tone::Ok };
        steps.push(step(tone, "Rules", Some(run.ended_at), ruled(run)));
        for sent in run.detail["automatic"].as_array().into_iter().flatten() {
            let (tone, line) = automatic(sent);
            steps.push(step(tone, "Sent automatically", Some(run.ended_at), vec![line]));
        }
    }
    if let Some(key) = &found.ticket_key {
        let why = found.resolution["why"].as_str().map(str::to_owned);
        let rule = found.resolution["rule"]
            .as_str()
            .map(|rule| format!("Decided by: {rule}."));
        let mut ticket = step(
            Tone::Ok,
            "Ticket",
            ended_at,
            why.into_iter().chain(rule).collect(),
        );
        ticket.link = Some(Action::link(key, format!("/tickets/{key}")));
        steps.push(ticket);
        for copy in &found.copies {
            let line = match copy.mailbox.as_str() {
                "" => "The same mail also arrived in a mailbox that is gone.".to_owned(),
                name => format!("The same mail also arrived in the mailbox “{name}”."),
            };
            let mut also = step(Tone::Ok, "Also arrived", Some(copy.at), vec![line]);
            also.link = Some(Action::link(
                "How that came here",
                format!("/messages/{}", copy.message_id),
            ));
            steps.push(also);
        }
    } else if message.state == "dropped" {
        steps.push(step(
            Tone::Muted,
            "Dropped",
            ended_at,
            vec![message.problem.clone()],
        ));
    }
    if message.state == "quarantined" {
        let lines = vec![
            format!("{}.", reason_word(&message.quarantine_reason)),
            message.problem.clone(),
        ];
        steps.push(step(Tone::Warn, "Quarantine", message.quarantined_at, lines));
    }
    steps.push(told(found, now));
    steps
}

fn classified(found: &Explanation) -> Vec<String> {
    let outline = &found.outline;
    let kind = match outline.kind {
        message::Kind::Person => "Written by a person, as far as can be told.",
        message::Kind::Bounce => "A bounce: a delivery failed or is delayed.",
        message::Kind::AutoReply => "An automatic answer.",
        message::Kind::Report => "An abuse report.",
        message::Kind::Bulk => "A mailing list, newsletter or notification.",
    };
    let mut lines = vec![kind.to_owned()];
    if !outline.evidence.is_empty() {
        lines.push(format!("Because of: {}.", outline.evidence.join(", ")));
    }
    let known = |verdict: &str| {
        if verdict.is_empty() {
            "unknown".to_owned()
        } else {
            verdict.to_owned()
        }
    };
    lines.push(format!(
        "Sender: SPF {}, DKIM {}, DMARC {}.",
        known(&outline.spf),
        known(&outline.dkim),
        known(&outline.dmarc)
    ));
    lines
}

fn ruled(run: &Run) -> Vec<String> {
    let names: Vec<&str> = run.detail["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["name"].as_str())
        .collect();
    let mut lines = Vec::new();
    if names.is_empty() {
        lines.push("No rule fitted.".to_owned());
    } else {
        lines.push(format!("Fitted: {}.", names.join(", ")));
    }
    let place = match run.detail["place"].as_str() {
        Some("new") => Some("opens a ticket of its own"),
        Some("ticket") => Some("adds it to a certain ticket"),
        Some("drop") => Some("drops it"),
        Some("quarantine") => Some("sends it to quarantine"),
        _ => None,
    };
    if let (Some(place), Some(name)) = (place, run.detail["decidedBy"]["name"].as_str()) {
        lines.push(format!("“{name}” {place}."));
    }
    if let Some(fallback) = run.detail["fallback"].as_str() {
        lines.push(fallback.to_owned());
    }
    if run.detail["ignored"]
        .as_array()
        .is_some_and(|left| !left.is_empty())
    {
        lines.push(
            "Its ticket was there already, so priority and assignee were left as agents set them.".to_owned(),
        );
    }
    lines
}

fn automatic(sent: &Value) -> (Tone, String) {
    let text = |name: &str| sent[name].as_str().unwrap_or_default().to_owned();
    let what = if sent["what"] == "forward" {
        "A copy"
    } else {
        "An answer"
    };
    if sent["sent"] == true {
        (
            Tone::Ok,
            format!("{what} to {} was put into the outbox.", text("to")),
        )
    } else {
        (
            Tone::Muted,
            format!("{what} to {} was not sent: {}", text("to"), text("why")),
        )
    }
}

fn told(found: &Explanation, now: i64) -> ExplainedStep {
    let line = |place: &message::OnServer| {
        let told = match place.tell.as_str() {
            "done" => "it was told",
            "pending" => "it will be told",
            _ => "nothing was changed there",
        };
        let what = if place.outcome == "duplicate_of" {
            "the same mail again, "
        } else {
            ""
        };
        format!("{} UID {}: {what}{told}.", place.folder, place.uid)
    };
    let pending = found.places.iter().any(|place| place.tell == "pending");
    ExplainedStep {
        tone: if pending { Tone::Busy } else { Tone::Ok },
        title: "Mail server".to_owned(),
        when: found.places.first().map(|place| words::when(now, place.at)),
        lines: found.places.iter().map(line).collect(),
        link: None,
    }
}

/// Shows a page about the message, or why it did not work on the same page.
async fn settled(desk: &Desk, id: &str, done: Result<Message, ReprocessError>, text: &str) -> Answer {
    let page = format!("/messages/{id}");
    match done {
        Ok(_) => desk.done(text, &page).await,
        Err(ReprocessError::Trouble(trouble)) => desk.failed(failure::sentence(&trouble), &page).await,
        Err(ReprocessError::NotFound) => Err(Problem::not_found("message")),
        Err(ReprocessError::Db(error)) => Err(error.into()),
        Err(error) => {
            let text = error.to_string();
            let first = text.chars().next().map(|c| c.to_uppercase().to_string());
            let rest: String = text.chars().skip(1).collect();
            desk.failed(format!("{}{rest}.", first.unwrap_or_default()), &page)
                .await
        }
    }
}

async fn theirs(desk: &Desk, id: &str) -> Result<Message, Problem> {
    Ok(message::get(&desk.ctx, &desk.access().projects(), id).await?)
}

async fn reprocess(desk: Desk, id: web::Path<String>) -> Answer {
    theirs(&desk, &id).await?;
    let done = jobs::reprocess(&desk.ctx, &id, Cause::Again, desk.actor()).await;
    settled(&desk, &id, done, "The message was processed again.").await
}

async fn release(desk: Desk, id: web::Path<String>) -> Answer {
    let message = theirs(&desk, &id).await?;
    if message.state == "quarantined" && message.ticket_id.is_empty() {
        let done = jobs::reprocess(&desk.ctx, &id, Cause::Release, desk.actor()).await;
        return settled(&desk, &id, done, "The message was released.").await;
    }
    let done = jobs::keep_as_it_is(&desk.ctx, &id, desk.actor()).await;
    settled(&desk, &id, done, "The message stays as it is.").await
}

async fn drop_it(desk: Desk, id: web::Path<String>) -> Answer {
    theirs(&desk, &id).await?;
    let done = jobs::drop_quarantined(&desk.ctx, &id, desk.actor()).await;
    settled(&desk, &id, done, "The message was dropped. It stays in the log.").await
}

async fn fetch(desk: Desk, id: web::Path<String>) -> Answer {
    theirs(&desk, &id).await?;
    let done = jobs::fetch_rest(&desk.ctx, &id, desk.actor()).await;
    settled(&desk, &id, done, "The whole mail was fetched and processed.").await
}

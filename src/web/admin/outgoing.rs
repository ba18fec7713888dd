//! Outgoing mail: list, one mail with its attempts, *Retry* and *Take back*.

use actix_web::web;
use serde::Deserialize;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::integrations::Fact;
use super::views::outgoing::{AttemptRow, OutgoingDetail, OutgoingList, OutgoingRow};
use super::views::parts::{self, Badge, Choice, Pager, Tone};
use super::words;
use crate::access::{Role, Scope};
use crate::outbox::{self, Attempt, OutboxError, Outgoing, OutgoingFilter};
use crate::ticket;
use crate::web::api::output;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::respond;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/outgoing", Guard::Role(Role::Viewer), || web::to(list)),
    Route::get("/outgoing/{id}", Guard::Role(Role::Viewer), || web::to(detail)),
    Route::get("/outgoing/{id}/raw", Guard::Role(Role::Viewer), || web::to(raw)),
    Route::post("/outgoing/{id}/retry", Guard::Role(Role::Agent), || {
        web::to(retry)
    }),
    Route::post("/outgoing/{id}/cancel", Guard::Role(Role::Agent), || {
        web::to(cancel)
    }),
];

/// Mails on one page.
const PAGE: u64 = 50;

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    state: String,
    #[serde(default)]
    after: String,
}

impl Query {
    fn path(&self, after: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("state", self.state.as_str()), ("after", after)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        let query = query.finish();
        if query.is_empty() {
            "/outgoing".to_owned()
        } else {
            format!("/outgoing?{query}")
        }
    }
}

pub(super) fn refused(error: OutboxError) -> Problem {
    match error {
        OutboxError::Db(error) => error.into(),
        OutboxError::NoSiteMail(text) => Problem::conflict("site_mail_not_configured", text),
        _ => Problem::not_found("outgoing mail"),
    }
}

async fn list(desk: Desk, query: web::Query<Query>) -> Answer {
    let now = desk.now();
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let filter = OutgoingFilter {
        state: some(&query.state),
        projects: desk.access().projects(),
        after: some(&query.after),
        ..OutgoingFilter::default()
    };
    let found = match outbox::list(&desk.ctx, &filter, PAGE).await {
        // A cursor of another time: the list from its beginning.
        Err(OutboxError::BadCursor) => return desk.go(&query.path("")),
        found => found.map_err(refused)?,
    };
    let states = [
        ("", "All states"),
        ("queued", "Queued"),
        ("failed", "Failed"),
        ("sent", "Sent"),
        ("cancelled", "Taken back"),
    ];
    let mails: Vec<OutgoingRow> = found.items.iter().map(|mail| row(mail, now)).collect();
    desk.show(&OutgoingList {
        page: desk.page("Outgoing mail", Section::Outgoing).await?,
        states: states
            .into_iter()
            .map(|(value, label)| Choice::new(value, label, value == query.state))
            .collect(),
        filtered: filter.state.is_some(),
        pager: Pager {
            first: filter.after.is_some().then(|| query.path("")),
            next: found.next.map(|after| query.path(&after)),
            text: match mails.len() {
                0 => String::new(),
                n => format!("{n} shown, the newest first"),
            },
        },
        mails,
    })
}

pub(super) fn row(mail: &Outgoing, now: i64) -> OutgoingRow {
    OutgoingRow {
        id: mail.id.clone(),
        subject: mail.subject.clone(),
        to: mail.addresses().join(", "),
        kind: kind(&mail.kind),
        state: badge(mail),
        cause: mail.error_cause.clone(),
        made: words::when(now, mail.created_at),
    }
}

fn kind(kind: &str) -> String {
    match kind {
        "reply" => "Reply",
        "automatic" => "Automatic answer",
        "forward" => "Forward",
        "alert" => "Alert",
        _ => "Notice",
    }
    .to_owned()
}

pub(super) fn badge(mail: &Outgoing) -> Badge {
    match mail.state.as_str() {
        "sent" => Badge::new(Tone::Ok, "Sent"),
        "failed" => Badge::new(Tone::Bad, "Failed"),
        "cancelled" => Badge::new(Tone::Muted, "Taken back"),
        "sending" => Badge::new(Tone::Busy, "Sending"),
        _ if mail.error_code.is_empty() => Badge::new(Tone::Muted, "Queued"),
        _ => Badge::new(Tone::Warn, "Waits for another attempt"),
    }
}

/// One that whoever looks may see.
async fn visible(desk: &Desk, id: &str) -> Result<Outgoing, Problem> {
    let mail = outbox::get(&desk.ctx, id).await.map_err(refused)?;
    if desk.access().projects().contains(&mail.project_id) {
        Ok(mail)
    } else {
        Err(Problem::not_found("outgoing mail"))
    }
}

async fn detail(desk: Desk, id: web::Path<String>) -> Answer {
    let now = desk.now();
    let mail = visible(&desk, &id).await?;
    let attempts = outbox::attempts_of(desk.ctx.db.read(), &mail.id).await?;
    let ticket = match ticket::present(&desk.ctx, &desk.access().projects(), &mail.ticket_id).await {
        Ok(ticket) => ticket.key,
        Err(_) => String::new(),
    };
    let may_send = desk.access().may(Scope::MessagesSend, &mail.project_id);
    let is_waiting = mail.state == "queued";
    let mut facts = vec![
        Fact::new("Kind", kind(&mail.kind)),
        Fact::exact("From", &mail.sender),
        Fact::exact("To", mail.addresses().join(", ")),
        Fact::exact("Message-ID", &mail.rfc_message_id),
        Fact::new("Put in", words::when(now, mail.created_at).exact),
    ];
    if let Some(sent) = mail.sent_at {
        facts.push(Fact::new("Sent", words::when(now, sent).exact));
    }
    if is_waiting {
        facts.push(Fact::new(
            "Next attempt",
            words::when(now, mail.next_attempt_at).text,
        ));
    }
    let title = if mail.subject.is_empty() {
        "(no subject)"
    } else {
        mail.subject.as_str()
    };
    desk.show(&OutgoingDetail {
        page: desk.here(desk.page(title, Section::Outgoing).await?, &mail.project_id),
        state: badge(&mail),
        problem: mail.trouble().map(|trouble| parts::Problem {
            tone: if is_waiting { Tone::Warn } else { Tone::Bad },
            title: if is_waiting {
                "It was not sent yet"
            } else {
                "It was not sent"
            }
            .to_owned(),
            cause: trouble.cause,
            code: Some(trouble.code),
            remedy: trouble.remedy,
            since: None,
            action: None,
        }),
        facts,
        ticket,
        can_retry: may_send && (mail.state == "failed" || (is_waiting && !mail.error_code.is_empty())),
        can_cancel: may_send && is_waiting,
        attempts: attempts.iter().map(|attempt| attempt_row(attempt, now)).collect(),
        id: mail.id,
    })
}

/// The mail as it is sent.
async fn raw(desk: Desk, id: web::Path<String>) -> Answer {
    let mail = visible(&desk, &id).await?;
    if mail.holds_a_link() {
        return Err(Problem::forbidden(
            "recipients_only",
            outbox::ONLY_FOR_ITS_RECIPIENT,
        ));
    }
    let bytes = outbox::raw(&desk.ctx, &mail.id).await.map_err(refused)?;
    Ok(output::download(
        &format!("{}.eml", mail.id),
        "message/rfc822",
        bytes,
    ))
}

fn attempt_row(attempt: &Attempt, now: i64) -> AttemptRow {
    let outcome = match attempt.outcome.as_str() {
        "sent" => Badge::new(Tone::Ok, "Sent"),
        "refused" => Badge::new(Tone::Bad, "Refused"),
        "unknown" => Badge::new(Tone::Warn, "Nobody knows"),
        "interrupted" => Badge::new(Tone::Muted, "Interrupted"),
        "running" => Badge::new(Tone::Busy, "Running"),
        _ => Badge::new(Tone::Warn, "Postponed"),
    };
    AttemptRow {
        number: attempt.number,
        outcome,
        answer: if attempt.answer.is_empty() {
            attempt.error_code.clone()
        } else {
            attempt.answer.clone()
        },
        began: words::when(now, attempt.began_at),
    }
}

/// The page a button was on: the ticket, or the mail's own.
fn way_back(form: &FormData, id: &str) -> String {
    match respond::safe_next(form.text("back")) {
        Some(back) if back.starts_with("/tickets/") => back.to_owned(),
        _ => format!("/outgoing/{id}"),
    }
}

async fn retry(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    visible(&desk, &id).await?;
    let path = way_back(&form, &id);
    match outbox::retry(&desk.ctx, desk.actor(), &id, None).await {
        Ok(_) => desk.done("It is tried again now.", &path).await,
        Err(OutboxError::TooLate(text)) => desk.failed(sentence(text), &path).await,
        Err(error) => Err(refused(error)),
    }
}

async fn cancel(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    visible(&desk, &id).await?;
    let path = way_back(&form, &id);
    match outbox::cancel(&desk.ctx, desk.actor(), &id, None).await {
        Ok(_) => desk.done("It was taken back and is not sent.", &path).await,
        Err(OutboxError::TooLate(text)) => desk.failed(sentence(text), &path).await,
        Err(error) => Err(refused(error)),
    }
}

pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", chars.as_str())
}

//! What was delivered to a webhook: the log, one delivery with its attempts, *Send again*.

use std::fmt::Write;

use actix_web::web;
use serde::Deserialize;
use serde_json::Value;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::deliveries::{AttemptView, DeliveryDetail, DeliveryList, DeliveryRow};
use super::views::integrations::Fact;
use super::views::parts::{Badge, Choice, Pager, Tone};
use super::webhooks::{STATES, failed, find};
use super::words;
use crate::access::Role;
use crate::delivery::{self, Attempt, Delivery, DeliveryFilter, DeliveryState, Webhook, attempt};
use crate::event::{self, kinds};
use crate::web::route::{Guard, Route};

const MANAGER: Guard = Guard::Role(Role::ProjectAdmin);

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/webhooks/{id}/deliveries", MANAGER, || web::to(list)),
    Route::get("/webhooks/{id}/deliveries/{delivery}", MANAGER, || {
        web::to(detail)
    }),
    Route::post("/webhooks/{id}/deliveries/{delivery}/retry", MANAGER, || {
        web::to(send_again)
    }),
];

/// Deliveries on one page.
const PAGE: u64 = 50;

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    state: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    after: String,
}

impl Query {
    fn path(&self, webhook_id: &str, after: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let fields = [
            ("state", self.state.as_str()),
            ("type", &self.r#type),
            ("after", after),
        ];
        for (name, value) in fields {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        let query = query.finish();
        let path = format!("/webhooks/{webhook_id}/deliveries");
        if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        }
    }
}

/// One delivery in a line.
pub(super) fn row(delivery: &Delivery, now: i64) -> DeliveryRow {
    let waits = delivery.state == DeliveryState::Waiting.as_str();
    DeliveryRow {
        id: delivery.id.clone(),
        webhook_id: delivery.webhook_id.clone(),
        kind: delivery.r#type.clone(),
        state: badge(delivery),
        meaning: if delivery.last_error.is_empty() {
            String::new()
        } else {
            attempt::explain(&delivery.last_error).to_owned()
        },
        attempts: delivery.attempts,
        made: words::when(now, delivery.created_at),
        next: waits.then(|| words::when(now, delivery.next_attempt_at())),
    }
}

fn badge(delivery: &Delivery) -> Badge {
    match DeliveryState::parse(&delivery.state) {
        Some(DeliveryState::Delivered) => Badge::new(Tone::Ok, "Delivered"),
        Some(DeliveryState::Failed) => Badge::new(Tone::Bad, "Failed"),
        _ if delivery.last_error.is_empty() => Badge::new(Tone::Muted, "Waits for its turn"),
        _ => Badge::new(Tone::Warn, "Waits for another attempt"),
    }
}

async fn list(desk: Desk, id: web::Path<String>, query: web::Query<Query>) -> Answer {
    let now = desk.now();
    let webhook = find(&desk, &id).await?;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let filter = DeliveryFilter {
        state: DeliveryState::parse(&query.state),
        kind: some(&query.r#type),
        event_id: None,
        after: some(&query.after),
    };
    let mut found = delivery::deliveries(&desk.ctx, &webhook, &filter, PAGE).await?;
    let next = (found.len() as u64 > PAGE).then(|| {
        found.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
        found.last().map(|last| query.path(&webhook.id, &last.id))
    });
    let deliveries: Vec<DeliveryRow> = found.iter().map(|delivery| row(delivery, now)).collect();
    let states = STATES
        .into_iter()
        .map(|(value, label)| Choice::new(value, label, value == query.state));
    let types = std::iter::once(Choice::new("", "All events", query.r#type.is_empty())).chain(
        kinds::KINDS
            .iter()
            .map(|kind| Choice::new(kind.name, kind.name, kind.name == query.r#type)),
    );
    desk.show(&DeliveryList {
        page: desk.page("Deliveries", Section::Webhooks).await?,
        states: states.collect(),
        kinds: types.collect(),
        filtered: filter.state.is_some() || filter.kind.is_some() || filter.after.is_some(),
        pager: Pager {
            first: filter.after.is_some().then(|| query.path(&webhook.id, "")),
            next: next.flatten(),
            text: match deliveries.len() {
                0 => String::new(),
                n => format!("{n} shown, the newest first"),
            },
        },
        deliveries,
        webhook_id: webhook.id,
        url: webhook.url,
    })
}

async fn detail(desk: Desk, path: web::Path<(String, String)>) -> Answer {
    let now = desk.now();
    let webhook = find(&desk, &path.0).await?;
    let found = delivery::delivery(&desk.ctx, &webhook, &path.1).await?;
    let mut attempts = delivery::attempts(&desk.ctx, &found).await?;
    attempts.reverse();
    let event = event::by_id(desk.ctx.db.read(), &found.event_id).await?;
    let mut facts = vec![
        Fact::exact("webhook-id", &found.event_id),
        Fact::new("Attempts", words::number(found.attempts)),
        Fact::new("Queued", words::when(now, found.created_at).exact),
    ];
    if found.state == DeliveryState::Waiting.as_str() {
        facts.push(Fact::new(
            "Next attempt",
            words::when(now, found.next_attempt_at()).text,
        ));
    }
    if let Some(at) = found.finished_at {
        facts.push(Fact::new("Ended", words::when(now, at).exact));
    }
    desk.show(&DeliveryDetail {
        page: desk.page(found.r#type.clone(), Section::Webhooks).await?,
        state: badge(&found),
        facts,
        cannot: if !webhook.is_active() {
            "The webhook is disabled; enable it to send again."
        } else if event.is_none() {
            "The event is older than the retention of the log and cannot be sent again."
        } else {
            ""
        }
        .to_owned(),
        event_href: event.map(|event| format!("/events/{}", event.id)),
        attempts: attempts
            .iter()
            .map(|attempt| attempt_view(&webhook, attempt, now))
            .collect(),
        id: found.id,
        webhook_id: webhook.id,
        url: webhook.url,
    })
}

fn attempt_view(webhook: &Webhook, attempt: &Attempt, now: i64) -> AttemptView {
    let outcome = match (attempt.status, attempt.error.is_empty()) {
        (Some(status), true) => Badge::new(Tone::Ok, status.to_string()),
        (Some(status), false) => Badge::new(Tone::Bad, status.to_string()),
        (None, _) => Badge::new(Tone::Bad, "No answer"),
    };
    let code = if attempt.error.is_empty() {
        String::new()
    } else {
        format!(" ({})", attempt.error)
    };
    AttemptView {
        number: attempt.number,
        outcome,
        meaning: format!("{}{code}", attempt::explain(&attempt.error)),
        at: words::when(now, attempt.at),
        ms: attempt.ms,
        request: request_text(webhook, &attempt.request),
        response: response_text(attempt),
        is_private: attempt.status.is_some() && attempt.response["body"].is_null(),
    }
}

/// The request as lines. Signature, added values and body are not kept.
fn request_text(webhook: &Webhook, request: &Value) -> String {
    let mut text = format!("POST {}\n", webhook.url);
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "{name}: {}", value.as_str().unwrap_or_default());
    }
    for name in request["addedHeaders"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "{}: (hidden)", name.as_str().unwrap_or_default());
    }
    if let Some(bytes) = request["bodyBytes"].as_u64() {
        let _ = write!(text, "\n{} of body", words::size(bytes));
    }
    text
}

/// The answer as lines, as far as it is kept; empty if there was none.
fn response_text(attempt: &Attempt) -> String {
    let Some(status) = attempt.status else {
        return String::new();
    };
    let mut text = format!("HTTP {status}\n");
    for (name, value) in attempt.response["headers"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "{name}: {}", value.as_str().unwrap_or_default());
    }
    if let Some(body) = attempt.response["body"].as_str().filter(|body| !body.is_empty()) {
        let _ = write!(text, "\n{body}");
    }
    text
}

async fn send_again(desk: Desk, path: web::Path<(String, String)>) -> Answer {
    let webhook = find(&desk, &path.0).await?;
    let found = delivery::delivery(&desk.ctx, &webhook, &path.1).await?;
    match delivery::send_again(&desk.ctx, &webhook, &found).await {
        Ok(_) => {
            let back = format!("/webhooks/{}/deliveries/{}", webhook.id, found.id);
            desk.done("It is sent again now, with the same webhook-id.", &back)
                .await
        }
        Err(error) => failed(&desk, &webhook, error).await,
    }
}

//! Webhooks: list, one with its health, and what can be done with it. Its form is in `webhook_form`, what was
//! delivered in `deliveries`.

use actix_web::web;
use secrecy::ExposeSecret;

use super::deliveries;
use super::desk::{Answer, Desk};
use super::subscription;
use super::views::Section;
use super::views::integrations::Fact;
use super::views::parts::{Action, Badge, Choice, Confirm, Problem as Shown, Tone};
use super::views::webhooks::{WebhookDetail, WebhookList, WebhookRow, WebhookSecret};
use super::words;
use crate::access::Role;
use crate::delivery::{self, DeliveryFilter, DeliveryState, Made, Webhook, attempt, retry};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

const MANAGER: Guard = Guard::Role(Role::ProjectAdmin);

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/webhooks", MANAGER, || web::to(list)),
    Route::get("/webhooks/{id}", MANAGER, || web::to(detail)),
    Route::post("/webhooks/{id}/ping", MANAGER, || web::to(ping)),
    Route::post("/webhooks/{id}/enable", MANAGER, || web::to(enable)),
    Route::post("/webhooks/{id}/disable", MANAGER, || web::to(disable)),
    Route::post("/webhooks/{id}/retry", MANAGER, || web::to(send_failed)),
    Route::get("/webhooks/{id}/secrets", MANAGER, || web::to(ask_rotate)),
    Route::post("/webhooks/{id}/secrets", MANAGER, || web::to(rotate)),
    Route::get("/webhooks/{id}/delete", MANAGER, || web::to(ask_delete)),
    Route::post("/webhooks/{id}/delete", MANAGER, || web::to(delete)),
];

/// Deliveries on the page of a webhook.
const NEWEST: u64 = 10;
const HOUR_MS: i64 = 3_600_000;

/// One that whoever looks may manage.
pub(super) async fn find(desk: &Desk, id: &str) -> Result<Webhook, Problem> {
    Ok(delivery::get(&desk.ctx, &desk.access().projects(), id).await?)
}

async fn list(desk: Desk) -> Answer {
    let now = desk.now();
    let keys = subscription::keys(&desk).await?;
    let mut webhooks = Vec::new();
    for webhook in delivery::list(&desk.ctx, &desk.access().projects()).await? {
        let (state, cause) = health(&webhook, now);
        webhooks.push(WebhookRow {
            wants: subscription::wants(&webhook.type_patterns()),
            projects: subscription::reach(&webhook.scope(), &keys),
            last_success: webhook.last_success_at.map(|at| words::when(now, at)),
            id: webhook.id,
            url: webhook.url,
            description: webhook.description,
            state,
            cause,
        });
    }
    desk.show(&WebhookList {
        page: desk.page("Webhooks", Section::Webhooks).await?,
        webhooks,
    })
}

/// How it stands, and why in half a sentence.
fn health(webhook: &Webhook, now: i64) -> (Badge, String) {
    if !webhook.is_active() {
        return match webhook.reason.as_str() {
            "by_hand" => (Badge::new(Tone::Muted, "Disabled"), "Somebody disabled it".into()),
            "gone" => (
                Badge::new(Tone::Bad, "Disabled"),
                "It answered 410, which asks for no more".into(),
            ),
            _ => (
                Badge::new(Tone::Bad, "Disabled"),
                "It failed for five days without a single success".into(),
            ),
        };
    }
    if webhook.failures == 0 {
        return match webhook.last_success_at {
            Some(_) => (Badge::new(Tone::Ok, "Healthy"), String::new()),
            None => (Badge::new(Tone::Muted, "Not called yet"), String::new()),
        };
    }
    let failures = words::count(webhook.failures, "failure");
    let cause = if webhook.retry_at > now {
        format!(
            "{failures} in a row; asked again {}",
            words::relative(now, webhook.retry_at)
        )
    } else {
        format!("{failures} in a row")
    };
    if webhook.failures >= retry::DOWN_AFTER {
        (Badge::new(Tone::Bad, "Down"), cause)
    } else {
        (Badge::new(Tone::Warn, "Failing"), cause)
    }
}

async fn detail(desk: Desk, id: web::Path<String>) -> Answer {
    let now = desk.now();
    let webhook = find(&desk, &id).await?;
    let keys = subscription::keys(&desk).await?;
    let newest = delivery::deliveries(&desk.ctx, &webhook, &DeliveryFilter::default(), NEWEST).await?;
    let counts = delivery::counts(&desk.ctx, &webhook).await?;
    let (state, _) = health(&webhook, now);
    let last = newest.iter().find(|delivery| !delivery.last_error.is_empty());
    let names = delivery::headers_of(&desk.ctx, &webhook)?.into_keys();
    let mut facts = vec![
        Fact::new("Events", subscription::wants(&webhook.type_patterns())),
        Fact::new("Projects", subscription::reach(&webhook.scope(), &keys)),
        Fact::new(
            "Format",
            match webhook.format.as_str() {
                "jmap" => "Mailgrant".to_owned(),
                other => words::capital(other),
            },
        ),
        Fact::new(
            "Payload",
            if webhook.payload == "full" {
                "Full, with the message"
            } else {
                "Thin, ids only"
            },
        ),
        Fact::new(
            "Order",
            if webhook.ordered {
                "Events of a ticket wait for each other"
            } else {
                "None"
            },
        ),
    ];
    let names: Vec<String> = names.collect();
    if !names.is_empty() {
        facts.push(Fact::exact("Added headers", names.join(", ")));
    }
    facts.push(Fact::new(
        "Last taken",
        webhook
            .last_success_at
            .map_or_else(|| "Never".to_owned(), |at| words::when(now, at).text),
    ));
    facts.push(Fact::new("Made", words::when(now, webhook.created_at).exact));
    let count_words = [(counts.waiting, "waiting"), (counts.failed, "failed")];
    desk.show(&WebhookDetail {
        page: desk.page(webhook.url.clone(), Section::Webhooks).await?,
        description: webhook.description.clone(),
        state,
        problem: problem(
            &webhook,
            last.map(|delivery| delivery.last_error.as_str())
                .unwrap_or_default(),
            now,
        ),
        enabled: webhook.is_active(),
        facts,
        public_key: webhook.public_key.clone(),
        old_until: overlap(&webhook, now),
        counts: count_words
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{} {word}", words::number(n)))
            .collect(),
        has_failed: counts.failed > 0,
        sinces: sinces(),
        deliveries: newest
            .iter()
            .take(usize::try_from(NEWEST).unwrap_or(10))
            .map(|delivery| deliveries::row(delivery, now))
            .collect(),
        id: webhook.id,
    })
}

fn overlap(webhook: &Webhook, now: i64) -> Option<super::views::parts::When> {
    let overlaps = !webhook.old_secret_sealed.is_empty() && webhook.old_secret_until > now;
    overlaps.then(|| words::when(now, webhook.old_secret_until))
}

/// What is wrong, why, and what to do.
fn problem(webhook: &Webhook, last_error: &str, now: i64) -> Option<Shown> {
    let since = webhook.failing_since.map(|at| words::when(now, at));
    let code = (!last_error.is_empty()).then(|| last_error.to_owned());
    let shown = |tone, title: &str, cause: String, remedy: &str, action| Shown {
        tone,
        title: title.to_owned(),
        cause,
        code: code.clone(),
        remedy: remedy.to_owned(),
        since: since.clone(),
        action,
    };
    let enable = Some(Action::post("Enable", format!("/webhooks/{}/enable", webhook.id)));
    if !webhook.is_active() {
        return match webhook.reason.as_str() {
            "by_hand" => None,
            "gone" => Some(shown(
                Tone::Bad,
                "The receiver wants nothing more",
                "It answered 410, so the webhook was disabled.".into(),
                "If that was a mistake, mend the receiver and enable the webhook. What happened meanwhile is sent then.",
                enable,
            )),
            _ => Some(shown(
                Tone::Bad,
                "It failed for five days and was disabled",
                attempt::explain(last_error).to_owned(),
                "Mend the receiver or the address, then enable the webhook. What happened meanwhile is sent then, as far \
                 back as the log is kept.",
                enable,
            )),
        };
    }
    (webhook.failures > 0).then(|| {
        let down = webhook.failures >= retry::DOWN_AFTER;
        shown(
            if down { Tone::Bad } else { Tone::Warn },
            if down {
                "The receiver is down"
            } else {
                "The receiver failed"
            },
            attempt::explain(last_error).to_owned(),
            "Nothing is lost: what it did not take waits and is tried again. A ping asks it at once.",
            None,
        )
    })
}

fn sinces() -> Vec<Choice> {
    [
        ("1", "the last hour"),
        ("24", "the last 24 hours"),
        ("72", "the last 3 days"),
        ("168", "the last 7 days"),
        ("all", "the whole log"),
    ]
    .into_iter()
    .map(|(value, label)| Choice::new(value, label, value == "24"))
    .collect()
}

async fn ping(desk: Desk, id: web::Path<String>) -> Answer {
    let webhook = find(&desk, &id).await?;
    match delivery::ping(&desk.ctx, desk.actor(), &webhook).await {
        Ok(begun) => desk.go(&format!("/webhooks/{}/deliveries/{begun}", webhook.id)),
        Err(error) => failed(&desk, &webhook, error).await,
    }
}

/// What cannot be done now is said on the webhook's page.
pub(super) async fn failed(desk: &Desk, webhook: &Webhook, error: delivery::DeliveryError) -> Answer {
    let path = format!("/webhooks/{}", webhook.id);
    match error {
        delivery::DeliveryError::Disabled => {
            desk.failed("The webhook is disabled: enable it first.", &path)
                .await
        }
        delivery::DeliveryError::EventGone => {
            desk.failed(
                "The event is older than the retention of the log and cannot be sent again.",
                &path,
            )
            .await
        }
        delivery::DeliveryError::Conflict => {
            desk.failed(
                "It was changed meanwhile; look at it again and repeat what you wanted.",
                &path,
            )
            .await
        }
        error => Err(error.into()),
    }
}

async fn enable(desk: Desk, id: web::Path<String>) -> Answer {
    switch(
        &desk,
        &id,
        true,
        "It is enabled. What happened meanwhile is sent now.",
    )
    .await
}

async fn disable(desk: Desk, id: web::Path<String>) -> Answer {
    switch(
        &desk,
        &id,
        false,
        "It is disabled and not called. What happens meanwhile is sent when it is enabled again.",
    )
    .await
}

async fn switch(desk: &Desk, id: &str, enabled: bool, said: &str) -> Answer {
    let webhook = find(desk, id).await?;
    let path = format!("/webhooks/{}", webhook.id);
    if webhook.is_active() == enabled {
        return desk.go(&path);
    }
    match delivery::enable(&desk.ctx, &webhook, enabled).await {
        Ok(_) => desk.done(said, &path).await,
        Err(error) => failed(desk, &webhook, error).await,
    }
}

async fn send_failed(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let webhook = find(&desk, &id).await?;
    let since = match data.text("since") {
        "all" => 0,
        hours => {
            let hours: i64 = hours.parse().unwrap_or(24);
            desk.now() - hours.clamp(1, 24 * 3_650) * HOUR_MS
        }
    };
    match delivery::send_failed_again(&desk.ctx, &webhook, since).await {
        Ok(begun) => {
            let count = i64::try_from(begun.count).unwrap_or(i64::MAX);
            let said = match count {
                0 => "Nothing failed in that time that could be sent again.".to_owned(),
                _ => format!("{} sent again now.", are(count, "delivery", "deliveries")),
            };
            desk.done(said, &format!("/webhooks/{}", webhook.id)).await
        }
        Err(error) => failed(&desk, &webhook, error).await,
    }
}

fn are(n: i64, one: &str, several: &str) -> String {
    if n == 1 {
        format!("1 {one} is")
    } else {
        format!("{} {several} are", words::number(n))
    }
}

async fn ask_rotate(desk: Desk, id: web::Path<String>) -> Answer {
    let webhook = find(&desk, &id).await?;
    let mut consequences = vec![
        "A new secret is drawn and shown once.".to_owned(),
        "Both secrets sign for 24 hours; then only the new one does.".to_owned(),
    ];
    if overlap(&webhook, desk.now()).is_some() {
        consequences
            .push("The secret that was replaced less than 24 hours ago stops signing at once.".to_owned());
    }
    desk.show(&Confirm {
        page: desk.page("Draw a new secret?", Section::Webhooks).await?,
        consequences,
        kept: vec!["The public key for v1a signatures stays.".to_owned()],
        blocked: None,
        action: format!("/webhooks/{}/secrets", webhook.id),
        // A page that is loaded again must not draw another one.
        fields: vec![Choice::new("revision", webhook.revision.to_string(), true)],
        button: "Draw a new secret".to_owned(),
        cancel: format!("/webhooks/{}", webhook.id),
    })
}

async fn rotate(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let webhook = find(&desk, &id).await?;
    if data.text("revision") != webhook.revision.to_string() {
        return failed(&desk, &webhook, delivery::DeliveryError::Conflict).await;
    }
    match delivery::rotate(&desk.ctx, &webhook).await {
        Ok(made) => tell_secret(&desk, made, "The new secret").await,
        Err(error) => failed(&desk, &webhook, error).await,
    }
}

/// The one page that shows a secret.
pub(super) async fn tell_secret(desk: &Desk, made: Made, title: &str) -> Answer {
    desk.show(&WebhookSecret {
        page: desk.page(title, Section::Webhooks).await?,
        old_until: overlap(&made.webhook, desk.now()),
        public_key: made.webhook.public_key.clone(),
        id: made.webhook.id,
        secret: made.secret.expose_secret().to_owned(),
    })
}

async fn ask_delete(desk: Desk, id: web::Path<String>) -> Answer {
    let webhook = find(&desk, &id).await?;
    let waiting = delivery::counts(&desk.ctx, &webhook).await?.waiting;
    let mut consequences = vec![
        format!("Nothing is sent to {} any more.", webhook.url),
        "Its log of deliveries is deleted, and its secret with it.".to_owned(),
    ];
    if waiting > 0 {
        consequences.push(format!(
            "{} never sent.",
            are(waiting, "waiting delivery", "waiting deliveries")
        ));
    }
    desk.show(&Confirm {
        page: desk.page("Delete this webhook?", Section::Webhooks).await?,
        consequences,
        kept: vec!["The event log stays.".to_owned()],
        blocked: None,
        action: format!("/webhooks/{}/delete", webhook.id),
        fields: vec![],
        button: "Delete".to_owned(),
        cancel: format!("/webhooks/{}", webhook.id),
    })
}

async fn delete(desk: Desk, id: web::Path<String>) -> Answer {
    let webhook = find(&desk, &id).await?;
    delivery::delete(&desk.ctx, &webhook).await?;
    desk.done("The webhook is deleted.", "/webhooks").await
}

/// The states a filter can name.
pub(super) const STATES: [(&str, &str); 4] = [
    ("", "All"),
    (DeliveryState::Waiting.as_str(), "Waiting"),
    (DeliveryState::Failed.as_str(), "Failed"),
    (DeliveryState::Delivered.as_str(), "Delivered"),
];

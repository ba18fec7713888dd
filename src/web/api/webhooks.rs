//! `/webhooks`: endpoints that are called, and what was delivered to them.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use super::tag::{IfMatch, changed_meanwhile};
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::delivery::{
    self, Delivery, DeliveryError, DeliveryFilter, DeliveryState, Format, Made, Payload, Webhook,
    WebhookInput, attempt,
};
use crate::web::error::Problem;
use crate::web::follow::gone;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{
    Schema, anything, boolean, id, input, integer, list_of, map, object, text, time, url, word,
};
use crate::web::route::{Guard, Route};

const MANAGE: Guard = Guard::Scope(Scope::WebhooksManage);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/webhooks", MANAGE, || web::to(list)).doc(|| Doc::new("List webhooks").lists(schema())),
    Route::post("/api/v1/webhooks", MANAGE, || web::to(create)).doc(|| {
        Doc::new("Make a webhook")
            .about("It gets what happens from now on. The secret is told in this answer only.")
            .takes(taken(&["url"]))
            .answers(201, "The new webhook, with its secret", with_secret())
            .tagged()
    }),
    Route::get("/api/v1/webhooks/{id}", MANAGE, || web::to(get)).doc(|| {
        Doc::new("Show a webhook")
            .answers(200, "The webhook", schema())
            .tagged()
    }),
    Route::patch("/api/v1/webhooks/{id}", MANAGE, || web::to(update)).doc(|| {
        Doc::new("Change a webhook")
            .about("What is not sent stays. `headers` replaces all headers of before.")
            .takes(taken(&[]))
            .answers(200, "The changed webhook", schema())
            .tagged()
    }),
    Route::delete("/api/v1/webhooks/{id}", MANAGE, || web::to(delete)).doc(|| {
        Doc::new("Remove a webhook")
            .about("Its deliveries go with it.")
            .answers_nothing(204, "It is gone")
            .tagged()
    }),
    Route::post("/api/v1/webhooks/{id}/secrets", MANAGE, || web::to(rotate)).doc(|| {
        Doc::new("Draw a new secret for a webhook")
            .about("The secret of before signs as well for 24 hours. The new one is told in this answer only.")
            .answers(200, "The webhook, with its new secret", with_secret())
            .tagged()
            .if_match()
    }),
    Route::post("/api/v1/webhooks/{id}/ping", MANAGE, || web::to(ping)).doc(|| {
        Doc::new("Send a test.ping to a webhook").begins("The delivery that was begun")
    }),
    Route::post("/api/v1/webhooks/{id}/enable", MANAGE, || web::to(enable)).doc(|| {
        Doc::new("Enable a webhook")
            .about("What happened while it was disabled is delivered now, as far back as the log is kept.")
            .answers(200, "The webhook", schema())
            .tagged()
            .if_match()
    }),
    Route::post("/api/v1/webhooks/{id}/disable", MANAGE, || web::to(disable)).doc(|| {
        Doc::new("Disable a webhook")
            .answers(200, "The webhook", schema())
            .tagged()
            .if_match()
    }),
    Route::get("/api/v1/webhooks/{id}/deliveries", MANAGE, || web::to(deliveries)).doc(|| {
        Doc::new("List deliveries of a webhook")
            .query("state", word(&["waiting", "delivered", "failed"]), "Only in this state")
            .query("type", text(), "Only of this event type")
            .query("eventId", text(), "Only of this event")
            .lists(delivery_schema())
    }),
    Route::get("/api/v1/webhooks/{id}/deliveries/{delivery}", MANAGE, || web::to(one)).doc(|| {
        Doc::new("Show a delivery with its attempts").answers(
            200,
            "The delivery",
            delivery_schema().and("attemptLog", list_of(attempt_schema())),
        )
    }),
    Route::post("/api/v1/webhooks/{id}/deliveries/{delivery}/retry", MANAGE, || {
        web::to(send_again)
    })
    .doc(|| {
        Doc::new("Send a delivery again")
            .about("With the same `webhook-id`, whatever came of it before.")
            .begins("It is sent now")
    }),
    Route::post("/api/v1/webhooks/{id}/retry", MANAGE, || web::to(send_failed)).doc(|| {
        Doc::new("Send all failed deliveries again")
            .takes(input(
                &["since"],
                [("since", text().about("A time such as 2026-11-23T08:00:00Z, or a day"))],
            ))
            .answers(202, "How many are sent now", object([("count", integer())]))
    }),
    Route::post("/api/v1/events", MANAGE, || web::to(trigger)).doc(|| {
        Doc::new("Append a sample event")
            .about(
                "For trying out a consumer. `data.sample` is true in it; everybody who listens gets it. Without a \
                 project it belongs to the site.",
            )
            .takes(input(
                &["type"],
                [
                    ("type", text().example("ticket.created")),
                    ("projectId", id("prj")),
                ],
            ))
            .answers(201, "The event's id", object([("id", id("evt"))]))
    }),
];

fn taken(required: &[&str]) -> Schema {
    input(
        required,
        [
            ("url", text().at_most(2_000)),
            ("description", text().at_most(500)),
            (
                "types",
                list_of(text()).about("Types and families such as `ticket.*`; empty for all"),
            ),
            ("projectIds", list_of(id("prj")).about("Null for the whole site")),
            ("format", word(&["jmap", "postmark", "mailgun"])),
            (
                "payload",
                word(&["full", "thin"]).about(
                    "`full` has the whole mail in it and needs `messages:read`, as the formats postmark and mailgun do; \
                     without that, `thin` is what is meant if nothing is said",
                ),
            ),
            (
                "ordered",
                boolean().about("Whether events of a ticket wait for each other"),
            ),
            (
                "headers",
                map(text()).about("Headers to add to each request; told to nobody afterwards"),
            ),
        ],
    )
}

fn schema() -> Schema {
    object([
        ("id", id("whk")),
        ("url", url()),
        ("description", text().or_null()),
        ("types", list_of(text())),
        ("projectIds", list_of(id("prj")).or_null()),
        ("format", word(&["jmap", "postmark", "mailgun"])),
        ("payload", word(&["full", "thin"])),
        ("ordered", boolean()),
        ("headerNames", list_of(text())),
        (
            "publicKey",
            text().about("For `v1a` signatures: `whpk_` and 32 bytes in base64"),
        ),
        ("oldSecretValidUntil", time().or_null()),
        ("state", word(&["active", "disabled"])),
        (
            "reason",
            text()
                .about("`gone`, `failing` or `by_hand`, if it is disabled")
                .or_null(),
        ),
        ("failures", integer().about("Failures in a row")),
        ("failingSince", time().or_null()),
        ("retryAt", time().about("Spared until then").or_null()),
        ("lastSuccessAt", time().or_null()),
        ("createdAt", time()),
        ("updatedAt", time()),
    ])
}

fn with_secret() -> Schema {
    schema().and("secret", text().about("`whsec_` and 32 bytes in base64"))
}

fn delivery_schema() -> Schema {
    object([
        ("id", id("dlv")),
        ("webhookId", id("whk")),
        ("eventId", id("evt")),
        ("type", text()),
        ("state", word(&["waiting", "delivered", "failed"])),
        ("attempts", integer()),
        ("nextAt", time().or_null()),
        ("lastStatus", integer().or_null()),
        ("lastError", text().or_null()),
        ("finishedAt", time().or_null()),
        ("createdAt", time()),
    ])
}

fn attempt_schema() -> Schema {
    object([
        ("number", integer()),
        ("at", time()),
        ("ms", integer()),
        ("status", integer().or_null()),
        ("error", text().or_null()),
        ("meaning", text()),
        ("request", anything()),
        ("response", anything()),
    ])
}

fn show(ctx: &Ctx, webhook: &Webhook) -> Result<Value, Problem> {
    let names: Vec<String> = delivery::headers_of(ctx, webhook)
        .map_err(refused)?
        .into_keys()
        .collect();
    let now = ctx.clock.now_ms();
    let overlaps = !webhook.old_secret_sealed.is_empty() && webhook.old_secret_until > now;
    Ok(json!({
        "id": webhook.id,
        "url": webhook.url,
        "description": output::text(&webhook.description),
        "types": webhook.type_patterns(),
        "projectIds": webhook.scope().0,
        "format": webhook.format,
        "payload": webhook.payload,
        "ordered": webhook.ordered,
        "headerNames": names,
        "publicKey": webhook.public_key,
        "oldSecretValidUntil": output::time(overlaps.then_some(webhook.old_secret_until)),
        "state": webhook.state,
        "reason": output::text(&webhook.reason),
        "failures": webhook.failures,
        "failingSince": output::time(webhook.failing_since),
        "retryAt": output::time((webhook.retry_at > now).then_some(webhook.retry_at)),
        "lastSuccessAt": output::time(webhook.last_success_at),
        "createdAt": rfc3339(webhook.created_at),
        "updatedAt": rfc3339(webhook.updated_at),
    }))
}

fn show_delivery(delivery: &Delivery) -> Value {
    let waits = delivery.state == DeliveryState::Waiting.as_str();
    json!({
        "id": delivery.id,
        "webhookId": delivery.webhook_id,
        "eventId": delivery.event_id,
        "type": delivery.r#type,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "nextAt": output::time(waits.then(|| delivery.next_attempt_at())),
        "lastStatus": delivery.last_status,
        "lastError": output::text(&delivery.last_error),
        "finishedAt": output::time(delivery.finished_at),
        "createdAt": rfc3339(delivery.created_at),
    })
}

pub(super) fn refused(error: DeliveryError) -> Problem {
    match error {
        DeliveryError::Invalid(errors) => output::invalid(
            errors
                .into_iter()
                .map(|error| (error.field, error.code, error.message)),
        ),
        DeliveryError::NotFound(what) => Problem::not_found(what),
        DeliveryError::Conflict => changed_meanwhile(),
        DeliveryError::EventGone => Problem::conflict("event_gone", error.to_string()),
        DeliveryError::Disabled => Problem::conflict("webhook_disabled", error.to_string()),
        DeliveryError::Expired { oldest } => gone(crate::event::LogError::Gone { oldest }),
        DeliveryError::Seal(error) => Problem::internal(&error),
        DeliveryError::Db(error) => error.into(),
    }
}

/// Projects that were sent: absent stays, null is the whole site. Only what the caller may manage can be named.
pub(super) fn projects(
    access: &Access,
    scope: Scope,
    input: &mut Input,
    is_new: bool,
) -> Option<Option<BTreeSet<String>>> {
    let wanted = if input.mentions("projectIds") {
        input.texts("projectIds").map(BTreeSet::from_iter)
    } else if is_new {
        // Nobody said: the whole site for those who have it, else the projects they have.
        match access.projects() {
            crate::access::Projects::All => None,
            crate::access::Projects::Only(mine) => Some(mine),
        }
    } else {
        return None;
    };
    match &wanted {
        None if !access.has_site(scope) => {
            input.problem(
                "projectIds",
                "site_only",
                "only site admins may ask for the whole site: name projects",
            );
        }
        Some(ids) => {
            for id in ids.iter().filter(|id| !access.may(scope, id)) {
                let shown: String = id.chars().take(60).collect();
                input.problem(
                    "projectIds",
                    "unknown_project",
                    format!("there is no project {shown}"),
                );
            }
        }
        None => {}
    }
    Some(wanted)
}

fn read(access: &Access, input: &mut Input, is_new: bool) -> WebhookInput {
    WebhookInput {
        url: input.text("url"),
        description: input
            .mentions("description")
            .then(|| input.text("description").unwrap_or_default()),
        types: input
            .mentions("types")
            .then(|| input.texts("types").unwrap_or_default()),
        projects: projects(access, Scope::WebhooksManage, input, is_new),
        format: input.word("format", Format::parse, "jmap, postmark, mailgun"),
        payload: input.word("payload", Payload::parse, "full, thin"),
        ordered: input.boolean("ordered"),
        headers: input.mentions("headers").then(|| {
            input
                .text_map("headers")
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| (name, SecretString::from(value)))
                .collect()
        }),
    }
}

/// Whether the asker may read the mail of these projects; none are the whole site.
fn may_read_mail(access: &Access, projects: &Option<BTreeSet<String>>) -> bool {
    match projects {
        None => access.has_site(Scope::MessagesRead),
        Some(ids) => ids.iter().all(|id| access.may(Scope::MessagesRead, id)),
    }
}

/// Refuses to have whole mails sent somewhere by those who may not read them: not by a new webhook, and not by turning
/// one that is there.
fn check_mail(access: &Access, old: Option<&Webhook>, wanted: &WebhookInput, input: &mut Input) {
    let turns = wanted.url.is_some()
        || wanted.projects.is_some()
        || wanted.types.is_some()
        || wanted.headers.is_some();
    if old.is_some() && !turns && wanted.payload.is_none() && wanted.format.is_none() {
        return;
    }
    let payload = wanted
        .payload
        .or_else(|| old.and_then(|old| Payload::parse(&old.payload)));
    let format = wanted
        .format
        .or_else(|| old.and_then(|old| Format::parse(&old.format)));
    let before = || old.map(|old| old.scope().0);
    let projects = wanted.projects.clone().or_else(before).unwrap_or_default();
    let field = match (format.unwrap_or(Format::Jmap), payload.unwrap_or(Payload::Full)) {
        (Format::Postmark | Format::Mailgun, _) => "format",
        (Format::Jmap, Payload::Full) => "payload",
        (Format::Jmap, Payload::Thin) => return,
    };
    if !may_read_mail(access, &projects) {
        input.problem(
            field,
            "needs_messages_read",
            "this sends whole mails: it needs the scope messages:read in each of the projects; `thin` needs none",
        );
    }
}

async fn find(ctx: &Ctx, access: &Access, id: &str) -> Result<Webhook, Problem> {
    delivery::get(ctx, &access.projects(), id).await.map_err(refused)
}

fn told(ctx: &Ctx, made: &Made) -> Result<Value, Problem> {
    let mut shown = show(ctx, &made.webhook)?;
    shown["secret"] = json!(made.secret.expose_secret());
    Ok(shown)
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let all = delivery::list(&ctx, &access.projects()).await.map_err(refused)?;
    let shown: Vec<(String, Value)> = all
        .iter()
        .map(|webhook| Ok((webhook.id.clone(), show(&ctx, webhook)?)))
        .collect::<Result<_, Problem>>()?;
    Ok(output::list_from_all(
        &query,
        shown,
        |(id, _)| id,
        |(_, shown)| shown.clone(),
    ))
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let mut wanted = read(&access, &mut input, true);
    if wanted.payload.is_none() && !may_read_mail(&access, wanted.projects.as_ref().unwrap_or(&None)) {
        wanted.payload = Some(Payload::Thin);
    }
    check_mail(&access, None, &wanted, &mut input);
    input.finish()?;
    let made = delivery::create(&ctx, access.actor(), wanted)
        .await
        .map_err(refused)?;
    let path = format!("/api/v1/webhooks/{}", made.webhook.id);
    Ok(output::created(&path, made.webhook.revision, told(&ctx, &made)?))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access, &id).await?;
    Ok(output::tagged(found.revision, show(&ctx, &found)?))
}

async fn update(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    input: Input,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let old = find(&ctx, &access, &id).await?;
        seen.check(old.revision)?;
        let wanted = read(&access, &mut input, false);
        check_mail(&access, Some(&old), &wanted, &mut input);
        input.finish()?;
        let new = delivery::update(&ctx, &old, wanted).await.map_err(refused)?;
        Ok(output::tagged(new.revision, show(&ctx, &new)?))
    })
    .await
}

async fn delete(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let old = find(&ctx, &access, &id).await?;
        seen.check(old.revision)?;
        delivery::delete(&ctx, &old).await.map_err(refused)?;
        Ok(output::done())
    })
    .await
}

async fn rotate(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let old = find(&ctx, &access, &id).await?;
        seen.check(old.revision)?;
        let made = delivery::rotate(&ctx, &old).await.map_err(refused)?;
        Ok(output::tagged(made.webhook.revision, told(&ctx, &made)?))
    })
    .await
}

async fn ping(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access, &id).await?;
    let begun = delivery::ping(&ctx, access.actor(), &found)
        .await
        .map_err(refused)?;
    let path = format!("/api/v1/webhooks/{}/deliveries/{begun}", found.id);
    Ok(output::accepted(&path, &begun))
}

async fn enable(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    switch(&ctx, &access, &seen, &id, true).await
}

async fn disable(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    switch(&ctx, &access, &seen, &id, false).await
}

async fn switch(
    ctx: &Ctx,
    access: &Access,
    seen: &IfMatch,
    id: &str,
    enabled: bool,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let old = find(ctx, access, id).await?;
        seen.check(old.revision)?;
        let new = delivery::enable(ctx, &old, enabled).await.map_err(refused)?;
        Ok(output::tagged(new.revision, show(ctx, &new)?))
    })
    .await
}

async fn deliveries(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let webhook = find(&ctx, &access, &id).await?;
    let filter = DeliveryFilter {
        state: query.get("state").and_then(|word| DeliveryState::parse(&word)),
        kind: query.get("type"),
        event_id: query.get("eventId"),
        after: query.after.clone(),
    };
    let items = delivery::deliveries(&ctx, &webhook, &filter, query.limit)
        .await
        .map_err(refused)?;
    Ok(output::list_of(
        &query,
        items,
        |delivery| &delivery.id,
        show_delivery,
    ))
}

async fn one(
    ctx: web::Data<Ctx>,
    access: Access,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let webhook = find(&ctx, &access, &path.0).await?;
    let found = delivery::delivery(&ctx, &webhook, &path.1)
        .await
        .map_err(refused)?;
    let attempts = delivery::attempts(&ctx, &found).await.map_err(refused)?;
    let mut shown = show_delivery(&found);
    shown["attemptLog"] = attempts
        .iter()
        .map(|attempt| {
            json!({
                "number": attempt.number,
                "at": rfc3339(attempt.at),
                "ms": attempt.ms,
                "status": attempt.status,
                "error": output::text(&attempt.error),
                "meaning": attempt::explain(&attempt.error),
                "request": attempt.request,
                "response": attempt.response,
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(shown))
}

async fn send_again(
    ctx: web::Data<Ctx>,
    access: Access,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let webhook = find(&ctx, &access, &path.0).await?;
    let found = delivery::delivery(&ctx, &webhook, &path.1)
        .await
        .map_err(refused)?;
    delivery::send_again(&ctx, &webhook, &found)
        .await
        .map_err(refused)?;
    let address = format!("/api/v1/webhooks/{}/deliveries/{}", webhook.id, found.id);
    Ok(output::accepted(&address, &found.id))
}

async fn send_failed(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let webhook = find(&ctx, &access, &id).await?;
    let since = input.time("since").unwrap_or_default();
    input.finish()?;
    let begun = delivery::send_failed_again(&ctx, &webhook, since)
        .await
        .map_err(refused)?;
    Ok(HttpResponse::Accepted().json(json!({ "count": begun.count })))
}

async fn trigger(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let kind = input.required_text("type");
    let project = input.text("projectId").unwrap_or_default();
    if project.is_empty() && !access.has_site(Scope::WebhooksManage) {
        input.problem(
            "projectId",
            "required",
            "name a project; only site admins may make events of the site",
        );
    } else if !project.is_empty() && !access.may(Scope::WebhooksManage, &project) {
        input.problem("projectId", "unknown_project", "there is no such project");
    }
    input.finish()?;
    let made = delivery::trigger(&ctx, access.actor(), &kind, &project)
        .await
        .map_err(refused)?;
    Ok(HttpResponse::Created().json(json!({ "id": made })))
}

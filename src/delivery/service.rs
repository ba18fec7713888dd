//! What can be done with webhooks and their deliveries.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbErr};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;

use super::error::DeliveryError;
use super::headers;
use super::model::{
    DeliveryFilter, DeliveryState, Format, Payload, SendAgain, Shown, WebhookInput, WebhookState,
};
use super::sign::{self, Secrets};
use super::store::{self, Attempt, Delivery, Webhook};
use crate::access::Projects;
use crate::audit::{self, NewAuditEvent};
use crate::crypto::Place;
use crate::ctx::Ctx;
use crate::event::{self, NewEvent, Types, kinds};
use crate::id;
use crate::net::{DialError, EndpointError};
use crate::trouble::FieldError;

/// How long both secrets sign after a change, milliseconds.
const OVERLAP_MS: i64 = 24 * 3_600_000;

/// A webhook that was made, or has a new secret: the only time the secret is told.
#[derive(Debug)]
pub struct Made {
    /// The webhook.
    pub webhook: Webhook,
    /// `whsec_…`.
    pub secret: SecretString,
}

fn place<'a>(column: &'a str, id: &'a str) -> Place<'a> {
    Place {
        table: "webhooks",
        column,
        row: id,
    }
}

/// All webhooks whose projects somebody may touch.
pub async fn list(ctx: &Ctx, projects: &Projects) -> Result<Vec<Webhook>, DeliveryError> {
    let mut all = store::webhooks(ctx.db.read()).await?;
    all.retain(|webhook| webhook.scope().is_within(projects));
    Ok(all)
}

/// One of them.
pub async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Webhook, DeliveryError> {
    store::webhook(ctx.db.read(), id)
        .await?
        .filter(|webhook| webhook.scope().is_within(projects))
        .ok_or(DeliveryError::NotFound("webhook"))
}

/// The names of the headers its owner added; their values are told to nobody.
pub(crate) fn added_headers(ctx: &Ctx, webhook: &Webhook) -> Result<BTreeMap<String, String>, DeliveryError> {
    if webhook.headers_sealed.is_empty() {
        return Ok(BTreeMap::new());
    }
    let opened = ctx
        .keys
        .open(&place("headers_sealed", &webhook.id), &webhook.headers_sealed)?;
    Ok(serde_json::from_str(opened.expose_secret()).unwrap_or_default())
}

/// What its requests are signed with now.
pub(crate) fn secrets(ctx: &Ctx, webhook: &Webhook) -> Result<Secrets, DeliveryError> {
    let open = |column, sealed: &str| ctx.keys.open(&place(column, &webhook.id), sealed);
    let mut symmetric = vec![open("secret_sealed", &webhook.secret_sealed)?];
    if !webhook.old_secret_sealed.is_empty() && webhook.old_secret_until > ctx.clock.now_ms() {
        symmetric.push(open("old_secret_sealed", &webhook.old_secret_sealed)?);
    }
    let seed = open("signing_key_sealed", &webhook.signing_key_sealed)?;
    Ok(Secrets {
        symmetric,
        key: sign::key_of(&seed),
    })
}

/// What is wrong with an address as it is written, before anybody asks where it points.
pub fn address_problem(text: &str) -> Option<FieldError> {
    check_url(text).err()
}

fn check_url(text: &str) -> Result<Url, FieldError> {
    let wrong = |message: &str| FieldError::new("url", "invalid", message);
    if text.len() > 2_000 || text.chars().any(char::is_control) {
        return Err(wrong("`url` must be an address of at most 2000 characters"));
    }
    let url = Url::parse(text)
        .map_err(|_| wrong("`url` must be a whole address, such as https://app.example/hook"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err(wrong("`url` must begin with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "`url` must not hold a user name or password; add an Authorization header instead",
        ));
    }
    if url.fragment().is_some() {
        return Err(wrong("`url` must not have a part after #"));
    }
    Ok(url)
}

/// What is wrong with where it points, as far as it is known now. A name that is not found may be found later.
async fn check_target(ctx: &Ctx, url: &Url) -> Option<FieldError> {
    let error = ctx.webhook_dialer.check_endpoint(url).await.err()?;
    let message = match error {
        EndpointError::Dial(DialError::Forbidden { class, .. }) => format!(
            "`url` points to a {}. Webhooks reach public addresses only, unless the network is in \
             MAILGRANT_ALLOW_WEBHOOK_NETWORKS",
            class.describe()
        ),
        EndpointError::PlainHttp { .. } | EndpointError::NotHttps => {
            "`url` must begin with https://; http is for receivers on this machine".to_owned()
        }
        _ => return None,
    };
    Some(FieldError::new("url", "address_not_allowed", message))
}

/// Puts what was sent over what there is, and says what is wrong with it.
async fn apply(ctx: &Ctx, webhook: &mut Webhook, input: WebhookInput) -> Result<(), DeliveryError> {
    let mut errors = Vec::new();
    if let Some(url) = input.url {
        match check_url(url.trim()) {
            Ok(parsed) => {
                errors.extend(check_target(ctx, &parsed).await);
                let before = Url::parse(&webhook.url).ok().map(|before| before.origin());
                let moves = before.is_some_and(|before| before != parsed.origin());
                // Their values may be secrets of the receiver of before, told by somebody else than who moves it.
                if moves && !webhook.headers_sealed.is_empty() && input.headers.is_none() {
                    errors.push(FieldError::new(
                        "headers",
                        "required",
                        "the added headers are not sent to another host as they are: enter them again, or remove them",
                    ));
                }
                webhook.url = url.trim().to_owned();
            }
            Err(error) => errors.push(error),
        }
    }
    if let Some(description) = input.description {
        webhook.description = description.trim().chars().take(500).collect();
    }
    if let Some(format) = input.format {
        format.as_str().clone_into(&mut webhook.format);
    }
    if let Some(payload) = input.payload {
        payload.as_str().clone_into(&mut webhook.payload);
    }
    if let Some(types) = input.types {
        match Types::parse(&types) {
            Ok(types) => webhook.types = json!(types.patterns()).to_string(),
            Err(pattern) => errors.push(FieldError::new(
                "types",
                "unknown_event_type",
                format!("`{pattern}` is no event type and no family of them"),
            )),
        }
    }
    if webhook.format != Format::Jmap.as_str() {
        let types = webhook.type_patterns();
        if types.is_empty() {
            webhook.types = json!(["message.received"]).to_string();
        } else if types != ["message.received"] {
            errors.push(FieldError::new(
                "types",
                "format_takes_mail_only",
                "the formats postmark and mailgun are for message.received only",
            ));
        }
    }
    if let Some(projects) = input.projects {
        if projects
            .as_ref()
            .is_some_and(std::collections::BTreeSet::is_empty)
        {
            errors.push(FieldError::new(
                "projectIds",
                "required",
                "name at least one project, or null for all",
            ));
        }
        (webhook.all_projects, webhook.projects) = Shown(projects).columns();
    }
    if let Some(ordered) = input.ordered {
        webhook.ordered = ordered;
    }
    if let Some(added) = input.headers {
        let added: BTreeMap<String, String> = added
            .into_iter()
            .map(|(name, value)| (name, value.expose_secret().to_owned()))
            .collect();
        if let Some(problem) = headers::problem(&added) {
            errors.push(FieldError::new("headers", "invalid", problem));
        }
        webhook.headers_sealed = if added.is_empty() {
            String::new()
        } else {
            let text = SecretString::from(json!(added).to_string());
            ctx.keys.seal(&place("headers_sealed", &webhook.id), &text)
        };
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(DeliveryError::Invalid(errors))
    }
}

/// Makes a webhook. It gets what happens from now on.
pub async fn create(ctx: &Ctx, actor: &str, input: WebhookInput) -> Result<Made, DeliveryError> {
    if input.url.as_deref().is_none_or(|url| url.trim().is_empty()) {
        return Err(DeliveryError::field("url", "required", "`url` is required"));
    }
    let now = ctx.clock.now_ms();
    let id = id::new("whk", &ctx.clock);
    let secret = sign::new_secret();
    let Some((seed, public_key)) = sign::new_key() else {
        return Err(DeliveryError::Seal(crate::crypto::SealError::Malformed));
    };
    let mut webhook = Webhook {
        url: String::new(),
        description: String::new(),
        types: "[]".into(),
        all_projects: true,
        projects: "[]".into(),
        format: Format::Jmap.as_str().into(),
        payload: Payload::Full.as_str().into(),
        ordered: true,
        headers_sealed: String::new(),
        secret_sealed: ctx.keys.seal(&place("secret_sealed", &id), &secret),
        old_secret_sealed: String::new(),
        old_secret_until: 0,
        signing_key_sealed: ctx.keys.seal(&place("signing_key_sealed", &id), &seed),
        public_key,
        state: WebhookState::Active.as_str().into(),
        reason: String::new(),
        position: event::advance(&ctx.db).await?,
        failures: 0,
        failing_since: None,
        retry_at: 0,
        next_at: 0,
        last_success_at: None,
        lease_holder: String::new(),
        lease_no: 0,
        lease_until: 0,
        revision: 1,
        created_by: actor.to_owned(),
        created_at: now,
        updated_at: now,
        id,
    };
    apply(ctx, &mut webhook, input).await?;
    let txn = ctx.db.begin().await?;
    store::insert(&txn, &webhook).await?;
    note(ctx, &txn, "webhook.created", &webhook).await?;
    txn.commit().await?;
    ctx.deliver.now();
    Ok(Made { webhook, secret })
}

/// Changes a webhook, if it is still as it was seen.
pub async fn update(ctx: &Ctx, old: &Webhook, input: WebhookInput) -> Result<Webhook, DeliveryError> {
    let mut new = old.clone();
    apply(ctx, &mut new, input).await?;
    save(ctx, old, new, false, "webhook.updated").await
}

/// Notes what somebody did with a webhook: of its address the host, for the rest may hold a secret.
async fn note<C: ConnectionTrait>(ctx: &Ctx, on: &C, action: &str, webhook: &Webhook) -> Result<(), DbErr> {
    let scope = webhook.scope().0.unwrap_or_default();
    // One that tells of a single project belongs to it.
    let project = match (scope.first(), scope.len()) {
        (Some(one), 1) => one.as_str(),
        _ => "",
    };
    let host = url::Url::parse(&webhook.url).ok();
    let host = host.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    let event = NewAuditEvent::new(action, "webhook", &webhook.id)
        .in_project(project)
        .saying(json!({ "host": host, "projects": scope, "state": webhook.state }));
    audit::append(on, &ctx.clock, event).await.map(drop)
}

async fn save(
    ctx: &Ctx,
    old: &Webhook,
    mut new: Webhook,
    is_switched: bool,
    action: &str,
) -> Result<Webhook, DeliveryError> {
    new.updated_at = ctx.clock.now_ms();
    // What another process looked through meanwhile is not looked through again.
    let txn = ctx.db.begin().await?;
    let present = store::webhook(&txn, &old.id)
        .await?
        .ok_or(DeliveryError::NotFound("webhook"))?;
    new.position = present.position.max(new.position);
    if !is_switched {
        new.failures = present.failures;
        new.failing_since = present.failing_since;
    }
    if !store::update(&txn, &new, old.revision, is_switched).await? {
        return Err(DeliveryError::Conflict);
    }
    if new.is_active() && !old.is_active() {
        store::restart_waiting(&txn, &new.id, new.updated_at).await?;
    }
    note(ctx, &txn, action, &new).await?;
    txn.commit().await?;
    ctx.deliver.now();
    new.revision = old.revision + 1;
    Ok(new)
}

/// Calls it again, or no more. What happened while it was disabled is delivered then.
pub async fn enable(ctx: &Ctx, old: &Webhook, enabled: bool) -> Result<Webhook, DeliveryError> {
    let mut new = old.clone();
    let (state, reason) = if enabled {
        (WebhookState::Active, "")
    } else {
        (WebhookState::Disabled, "by_hand")
    };
    state.as_str().clone_into(&mut new.state);
    reason.clone_into(&mut new.reason);
    new.failures = 0;
    new.failing_since = None;
    let action = if enabled {
        "webhook.enabled"
    } else {
        "webhook.disabled_by_hand"
    };
    save(ctx, old, new, true, action).await
}

/// Draws a new secret. The one of before signs as well for a day.
pub async fn rotate(ctx: &Ctx, old: &Webhook) -> Result<Made, DeliveryError> {
    let secret = sign::new_secret();
    let before = ctx
        .keys
        .open(&place("secret_sealed", &old.id), &old.secret_sealed)?;
    let mut new = old.clone();
    new.old_secret_sealed = ctx.keys.seal(&place("old_secret_sealed", &old.id), &before);
    new.old_secret_until = ctx.clock.now_ms() + OVERLAP_MS;
    new.secret_sealed = ctx.keys.seal(&place("secret_sealed", &old.id), &secret);
    let webhook = save(ctx, old, new, false, "webhook.secret_rotated").await?;
    Ok(Made { webhook, secret })
}

/// Removes a webhook and its deliveries, if it is still as it was seen.
pub async fn delete(ctx: &Ctx, seen: &Webhook) -> Result<(), DeliveryError> {
    let txn = ctx.db.begin().await?;
    if !store::remove(&txn, &seen.id, seen.revision).await? {
        return Err(DeliveryError::Conflict);
    }
    note(ctx, &txn, "webhook.deleted", seen).await?;
    Ok(txn.commit().await?)
}

/// Sends a `test.ping` to this webhook only, also while it is being spared.
pub async fn ping(ctx: &Ctx, actor: &str, webhook: &Webhook) -> Result<String, DeliveryError> {
    if !webhook.is_active() {
        return Err(DeliveryError::Disabled);
    }
    let txn = ctx.db.begin().await?;
    make_due(&txn, webhook).await?;
    let scope = webhook.scope().0.unwrap_or_default();
    let new = NewEvent {
        kind: "test.ping",
        project_id: scope.first().map_or("", String::as_str),
        subject_id: &webhook.id,
        actor,
        data: json!({ "webhookId": webhook.id }),
    };
    let event_id = event::append(&txn, &ctx.clock, new).await?;
    let event = event::by_id(&txn, &event_id)
        .await?
        .ok_or(DeliveryError::EventGone)?;
    let delivery_id = id::new("dlv", &ctx.clock);
    let queued = [(delivery_id.clone(), &event)];
    store::insert_deliveries(&txn, &webhook.id, &queued, ctx.clock.now_ms()).await?;
    store::put_first(&txn, &delivery_id).await?;
    txn.commit().await?;
    ctx.deliver.now();
    Ok(delivery_id)
}

/// Has it called at the next look. It may have been removed since it was read.
async fn make_due<C: ConnectionTrait>(on: &C, webhook: &Webhook) -> Result<(), DeliveryError> {
    match store::make_due(on, &webhook.id).await? {
        true => Ok(()),
        false => Err(DeliveryError::NotFound("webhook")),
    }
}

/// Appends a sample of a type to the log, marked as such; everybody who listens gets it.
pub async fn trigger(ctx: &Ctx, actor: &str, kind: &str, project_id: &str) -> Result<String, DeliveryError> {
    let known = kinds::find(kind).ok_or_else(|| {
        DeliveryError::field(
            "type",
            "unknown_event_type",
            "there is no such event type; see GET /api/v1/event-types",
        )
    })?;
    let subject = format!("sample-{}", kind.split('.').next().unwrap_or_default());
    let txn = ctx.db.begin().await?;
    let new = NewEvent {
        kind: known.name,
        project_id,
        subject_id: &subject,
        actor,
        data: known.sample(),
    };
    let event_id = event::append(&txn, &ctx.clock, new).await?;
    txn.commit().await?;
    Ok(event_id)
}

/// Deliveries of a webhook, from new to old; one more than `limit` if there are more.
pub async fn deliveries(
    ctx: &Ctx,
    webhook: &Webhook,
    filter: &DeliveryFilter,
    limit: u64,
) -> Result<Vec<Delivery>, DeliveryError> {
    Ok(store::deliveries(ctx.db.read(), &webhook.id, filter, limit + 1).await?)
}

/// How many of its deliveries did not arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// These wait for their first or next attempt.
    pub waiting: i64,
    /// These were given up.
    pub failed: i64,
}

/// How many deliveries of a webhook wait, and how many were given up.
pub async fn counts(ctx: &Ctx, webhook: &Webhook) -> Result<Counts, DeliveryError> {
    let count = |state: DeliveryState| store::count(ctx.db.read(), &webhook.id, state.as_str());
    Ok(Counts {
        waiting: count(DeliveryState::Waiting).await?,
        failed: count(DeliveryState::Failed).await?,
    })
}

/// One of them.
pub async fn delivery(ctx: &Ctx, webhook: &Webhook, id: &str) -> Result<Delivery, DeliveryError> {
    store::delivery(ctx.db.read(), &webhook.id, id)
        .await?
        .ok_or(DeliveryError::NotFound("delivery"))
}

/// The attempts of a delivery.
pub async fn attempts(ctx: &Ctx, delivery: &Delivery) -> Result<Vec<Attempt>, DeliveryError> {
    Ok(store::attempts(ctx.db.read(), &delivery.id).await?)
}

/// Sends one delivery again, with the same `webhook-id`, whatever came of it before.
pub async fn send_again(ctx: &Ctx, webhook: &Webhook, delivery: &Delivery) -> Result<(), DeliveryError> {
    if !webhook.is_active() {
        return Err(DeliveryError::Disabled);
    }
    if event::by_id(ctx.db.read(), &delivery.event_id).await?.is_none() {
        return Err(DeliveryError::EventGone);
    }
    let txn = ctx.db.begin().await?;
    make_due(&txn, webhook).await?;
    if !store::send_again(&txn, &webhook.id, &delivery.id).await? {
        return Err(DeliveryError::NotFound("delivery"));
    }
    txn.commit().await?;
    ctx.deliver.now();
    Ok(())
}

/// Sends everything again that failed since a time, milliseconds since 1970.
pub async fn send_failed_again(ctx: &Ctx, webhook: &Webhook, since: i64) -> Result<SendAgain, DeliveryError> {
    if !webhook.is_active() {
        return Err(DeliveryError::Disabled);
    }
    let txn = ctx.db.begin().await?;
    make_due(&txn, webhook).await?;
    let count = store::send_failed_again(&txn, &webhook.id, since, ctx.clock.now_ms()).await?;
    txn.commit().await?;
    ctx.deliver.now();
    Ok(SendAgain { count })
}

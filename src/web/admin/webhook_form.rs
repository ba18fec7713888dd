//! The form of a webhook: a new one, and changes.

use std::collections::BTreeMap;

use actix_web::web;
use secrecy::SecretString;

use super::desk::{Answer, Desk};
use super::once::once;
use super::subscription::{self, Subscription};
use super::views::Section;
use super::views::parts::{Choice, FormErrors};
use super::views::webhooks::{WebhookForm, WebhookValues};
use super::webhooks::{find, tell_secret};
use crate::access::Role;
use crate::delivery::{self, DeliveryError, Format, Payload, Webhook, WebhookInput};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

const MANAGER: Guard = Guard::Role(Role::ProjectAdmin);

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/webhooks/new", MANAGER, || web::to(new)),
    Route::post("/webhooks", MANAGER, || web::to(create)),
    Route::get("/webhooks/{id}/edit", MANAGER, || web::to(edit)),
    Route::post("/webhooks/{id}", MANAGER, || web::to(update)),
];

/// What the form holds.
struct Form {
    values: WebhookValues,
    format: Format,
    payload: Payload,
    subscription: Subscription,
    headers: String,
    remove_headers: bool,
}

impl Form {
    fn new(desk: &Desk) -> Self {
        Self {
            values: WebhookValues {
                ordered: true,
                ..WebhookValues::default()
            },
            format: Format::Jmap,
            payload: Payload::Full,
            subscription: Subscription::new(desk),
            headers: String::new(),
            remove_headers: false,
        }
    }

    fn stored(webhook: &Webhook) -> Self {
        Self {
            values: WebhookValues {
                url: webhook.url.clone(),
                description: webhook.description.clone(),
                ordered: webhook.ordered,
                revision: webhook.revision.to_string(),
            },
            format: Format::parse(&webhook.format).unwrap_or(Format::Jmap),
            payload: Payload::parse(&webhook.payload).unwrap_or(Payload::Full),
            subscription: Subscription::stored(webhook.type_patterns(), &webhook.scope()),
            headers: String::new(),
            remove_headers: false,
        }
    }

    fn of(data: &FormData) -> Self {
        let text = |name: &str| data.text(name).to_owned();
        Self {
            values: WebhookValues {
                url: text("url"),
                description: text("description"),
                ordered: data.is_checked("ordered"),
                revision: text("revision"),
            },
            format: Format::parse(data.text("format")).unwrap_or(Format::Jmap),
            payload: Payload::parse(data.text("payload")).unwrap_or(Payload::Full),
            subscription: Subscription::of(data),
            headers: data.raw("headers").to_owned(),
            remove_headers: data.is_checked("remove_headers"),
        }
    }

    /// What is sent to the service, with what is wrong already here.
    fn input(&self, desk: &Desk, errors: &mut FormErrors) -> WebhookInput {
        if let Some(problem) = delivery::address_problem(&self.values.url) {
            errors.add("url", problem.message.replace('`', ""));
        }
        WebhookInput {
            url: Some(self.values.url.clone()),
            description: Some(self.values.description.clone()),
            types: Some(self.subscription.types.clone()),
            projects: Some(self.subscription.wanted(desk, errors)),
            format: Some(self.format),
            payload: Some(self.payload),
            ordered: Some(self.values.ordered),
            headers: self.added(errors),
        }
    }

    /// The headers of the text field; `None` leaves those that are there.
    fn added(&self, errors: &mut FormErrors) -> Option<BTreeMap<String, SecretString>> {
        let mut found = BTreeMap::new();
        for (number, line) in self.headers.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            match line.split_once(':') {
                Some((name, value)) => {
                    let twice = found.insert(
                        name.trim().to_owned(),
                        SecretString::from(value.trim().to_owned()),
                    );
                    if twice.is_some() {
                        errors.add("headers", format!("Line {} names a header again.", number + 1));
                    }
                }
                None => errors.add(
                    "headers",
                    format!("Line {} has no colon: write name: value.", number + 1),
                ),
            }
        }
        match (found.is_empty(), self.remove_headers) {
            (false, _) => Some(found),
            (true, true) => Some(BTreeMap::new()),
            (true, false) => None,
        }
    }

    async fn view(
        self,
        desk: &Desk,
        stored: Option<&Webhook>,
        mut errors: FormErrors,
    ) -> Result<WebhookForm, Problem> {
        if !errors.is_empty() && !self.headers.trim().is_empty() && !errors.by.contains_key("headers") {
            // They may be secrets, so they are not put into the page again.
            errors.add("headers", "Enter the headers again; they are not shown.");
        }
        let header_names = match stored {
            Some(webhook) => delivery::headers_of(&desk.ctx, webhook)?.into_keys().collect(),
            None => Vec::new(),
        };
        Ok(WebhookForm {
            page: desk
                .page(
                    if stored.is_some() {
                        "Edit the webhook"
                    } else {
                        "New webhook"
                    },
                    Section::Webhooks,
                )
                .await?,
            id: stored.map(|webhook| webhook.id.clone()),
            action: stored.map_or_else(
                || "/webhooks".to_owned(),
                |webhook| format!("/webhooks/{}", webhook.id),
            ),
            header_names,
            formats: formats(self.format),
            payloads: payloads(self.payload),
            reaches: self.subscription.reaches(desk),
            projects: self.subscription.projects(desk).await?,
            families: self.subscription.families(),
            values: self.values,
            errors,
        })
    }
}

fn formats(chosen: Format) -> Vec<Choice> {
    [
        (
            Format::Jmap,
            "Mailgrant",
            "The event as JSON, a message in it as JMAP's Email.",
        ),
        (
            Format::Postmark,
            "Postmark",
            "Incoming mail as Postmark sends it, for receivers made for that. message.received only.",
        ),
        (
            Format::Mailgun,
            "Mailgun",
            "Incoming mail as Mailgun sends it, for receivers made for that. message.received only. Their signing key is the secret, whole as it is shown.",
        ),
    ]
    .into_iter()
    .map(|(format, label, hint)| Choice::new(format.as_str(), label, format == chosen).with_hint(hint))
    .collect()
}

fn payloads(chosen: Payload) -> Vec<Choice> {
    [
        (
            Payload::Full,
            "Full",
            "With the message, up to 256 KiB; beyond that it is cut and marked.",
        ),
        (
            Payload::Thin,
            "Thin",
            "Ids only; the app fetches the rest with its own token.",
        ),
    ]
    .into_iter()
    .map(|(payload, label, hint)| Choice::new(payload.as_str(), label, payload == chosen).with_hint(hint))
    .collect()
}

async fn new(desk: Desk) -> Answer {
    let form = Form::new(&desk);
    desk.show(&form.view(&desk, None, FormErrors::default()).await?)
}

async fn create(desk: Desk, data: FormData) -> Answer {
    once(&desk, &data, "/webhooks", make(&desk, Form::of(&data))).await
}

async fn make(desk: &Desk, form: Form) -> Answer {
    let mut errors = FormErrors::default();
    let input = form.input(desk, &mut errors);
    if errors.is_empty() {
        match delivery::create(&desk.ctx, desk.actor(), input).await {
            Ok(made) => return tell_secret(desk, made, "The webhook is saved").await,
            Err(error) => subscription::refused(error, &mut errors)?,
        }
    }
    desk.show_again(&form.view(desk, None, errors).await?)
}

async fn edit(desk: Desk, id: web::Path<String>) -> Answer {
    let stored = find(&desk, &id).await?;
    let form = Form::stored(&stored);
    desk.show(&form.view(&desk, Some(&stored), FormErrors::default()).await?)
}

async fn update(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let stored = find(&desk, &id).await?;
    let form = Form::of(&data);
    let mut errors = FormErrors::default();
    let input = form.input(&desk, &mut errors);
    if form.values.revision != stored.revision.to_string() {
        subscription::refused(DeliveryError::Conflict, &mut errors)?;
    }
    if errors.is_empty() {
        match delivery::update(&desk.ctx, &stored, input).await {
            Ok(_) => {
                return desk
                    .done("The webhook is saved.", &format!("/webhooks/{}", stored.id))
                    .await;
            }
            Err(error) => subscription::refused(error, &mut errors)?,
        }
    }
    desk.show_again(&form.view(&desk, Some(&stored), errors).await?)
}

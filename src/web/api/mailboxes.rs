//! `/mailboxes`: the mail accounts that are read.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use super::tag::{IfMatch, changed_meanwhile};
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::mailbox::{self, Mailbox, MailboxError, MailboxInput, Sending};
use crate::trouble::Trouble;
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{
    Schema, boolean, id, input, integer, list_of, object, text, time, trouble,
};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/mailboxes", Guard::Scope(Scope::MailboxesRead), || web::to(list))
        .doc(|| Doc::new("List mailboxes").lists(mailbox_schema())),
    Route::post("/api/v1/mailboxes", Guard::Scope(Scope::MailboxesWrite), || web::to(create)).doc(|| {
        Doc::new("Connect a mailbox")
            .about("With the defaults it takes only mail that arrives from now on, and changes nothing on the server.")
            .takes(sent(&[]))
            .answers(201, "The new mailbox", mailbox_schema())
            .tagged()
    }),
    Route::get("/api/v1/mailboxes/{id}", Guard::Scope(Scope::MailboxesRead), || web::to(get))
        .doc(|| Doc::new("Show a mailbox").answers(200, "The mailbox", mailbox_schema()).tagged()),
    Route::patch("/api/v1/mailboxes/{id}", Guard::Scope(Scope::MailboxesWrite), || web::to(update)).doc(|| {
        Doc::new("Change a mailbox")
            .about("What is not sent stays.")
            .takes(sent(&[]))
            .answers(200, "The changed mailbox", mailbox_schema())
            .tagged()
    }),
    Route::delete("/api/v1/mailboxes/{id}", Guard::Scope(Scope::MailboxesWrite), || web::to(delete)).doc(|| {
        Doc::new("Remove a mailbox")
            .about("Only one without messages; pause the others. Nothing happens on the mail server.")
            .answers_nothing(204, "Removed")
            .tagged()
    }),
    Route::post("/api/v1/mailboxes/{id}/tests", Guard::Scope(Scope::MailboxesWrite), || web::to(test))
        .doc(|| Doc::new("Test a mailbox's connection").begins("The test runs; see `/tests/{id}`")),
    Route::post("/api/v1/mailboxes/{id}/poll", Guard::Scope(Scope::MailboxesWrite), || web::to(poll))
        .doc(|| Doc::new("Read a mailbox now").begins("It is read as soon as a connection is free")),
    Route::post("/api/v1/mailboxes/{id}/pause", Guard::Scope(Scope::MailboxesWrite), || web::to(pause))
        .doc(|| Doc::new("Pause a mailbox").answers(200, "The paused mailbox", mailbox_schema()).tagged().if_match()),
    Route::post("/api/v1/mailboxes/{id}/resume", Guard::Scope(Scope::MailboxesWrite), || web::to(resume))
        .doc(|| Doc::new("Resume a mailbox").answers(200, "The resumed mailbox", mailbox_schema()).tagged().if_match()),
];

/// A mailbox as [`show`] writes it.
fn mailbox_schema() -> Schema {
    object([
        ("id", id("mbx")),
        ("name", text()),
        ("projectId", id("prj")),
        ("grantId", id("grt")),
        ("protocol", text()),
        ("host", text()),
        ("port", integer()),
        ("tls", text()),
        ("loginName", text()),
        ("folder", text()),
        ("startFrom", text()),
        ("afterIngest", text()),
        ("moveTo", text().or_null()),
        ("schedule", text()),
        ("idle", boolean()),
        ("trustedAuthservIds", list_of(text())),
        ("smtp", smtp().or_null()),
        ("maxMessageBytes", integer()),
        ("paused", boolean()),
        ("state", text()),
        ("lastError", trouble()),
        ("lastErrorAt", time().or_null()),
        ("retryAt", time().or_null()),
        ("lastSuccessAt", time().or_null()),
        ("lastMailAt", time().or_null()),
        ("createdAt", time()),
        ("updatedAt", time()),
    ])
    .named("Mailbox")
}

fn smtp() -> Schema {
    object([
        ("host", text()),
        ("port", integer()),
        ("tls", text()),
        ("loginName", text()),
        ("from", text()),
        ("signedReplyAddress", boolean()),
    ])
}

/// What is sent to make or change one.
fn sent(required: &[&str]) -> Schema {
    input(
        required,
        [
            ("name", text()),
            ("projectId", text()),
            ("grantId", text()),
            ("protocol", text().example("imap")),
            ("host", text()),
            ("port", integer().at_least(1).at_most(65_535)),
            (
                "tls",
                text().about("`implicit`, `starttls` or, on loopback only, `none`"),
            ),
            (
                "loginName",
                text().about("The account to open; for a shared mailbox another one than consented"),
            ),
            ("folder", text()),
            ("startFrom", text().about("`now`, `all`, `unseen` or a day")),
            (
                "afterIngest",
                text().about("`leave`, `mark_seen`, `move` or `delete`"),
            ),
            ("moveTo", text()),
            ("schedule", text().about("Cron expression, seconds first")),
            ("idle", boolean()),
            (
                "trustedAuthservIds",
                list_of(text())
                    .about("Servers whose Authentication-Results are believed, such as mx.google.com"),
            ),
            (
                "smtp",
                input(
                    &[],
                    [
                        ("host", text()),
                        ("port", integer().at_least(1).at_most(65_535)),
                        ("tls", text()),
                        ("loginName", text()),
                        ("from", text()),
                        (
                            "signedReplyAddress",
                            boolean()
                                .about("Whether answers are asked to `box+…@`, which the server must take"),
                        ),
                    ],
                )
                .about("How answers are sent; null ends sending"),
            ),
        ],
    )
}

fn show(mailbox: &Mailbox) -> Value {
    let trouble = (!mailbox.error_code.is_empty()).then(|| {
        Trouble::new(
            mailbox.error_code.as_str(),
            mailbox.error_cause.as_str(),
            mailbox.error_remedy.as_str(),
        )
    });
    json!({
        "id": mailbox.id,
        "name": mailbox.name,
        "projectId": mailbox.project_id,
        "grantId": mailbox.grant_id,
        "protocol": mailbox.protocol,
        "host": mailbox.host,
        "port": mailbox.port,
        "tls": mailbox.tls,
        "loginName": mailbox.login_name,
        "folder": mailbox.folder,
        "startFrom": mailbox.start_from,
        "afterIngest": mailbox.after_ingest,
        "moveTo": output::text(&mailbox.move_to),
        "schedule": mailbox.schedule,
        "idle": mailbox.idle,
        "trustedAuthservIds": mailbox.trusted_servers(),
        "maxMessageBytes": mailbox.max_message_bytes,
        "smtp": sending(mailbox),
        "paused": mailbox.paused,
        "state": mailbox.state,
        "lastError": output::trouble(trouble.as_ref()),
        "lastErrorAt": output::time(mailbox.error_at),
        "retryAt": output::time((mailbox.state == "failing").then_some(mailbox.next_poll_at)),
        "lastSuccessAt": output::time(mailbox.last_success_at),
        "lastMailAt": output::time(mailbox.last_mail_at),
        "createdAt": rfc3339(mailbox.created_at),
        "updatedAt": rfc3339(mailbox.updated_at),
    })
}

/// How it sends, or null if it does not.
fn sending(mailbox: &Mailbox) -> Value {
    if mailbox.smtp_host.is_empty() {
        return Value::Null;
    }
    json!({
        "host": mailbox.smtp_host,
        "port": mailbox.smtp_port,
        "tls": mailbox.smtp_tls,
        "loginName": mailbox.smtp_login_name,
        "from": mailbox.smtp_from,
        "signedReplyAddress": mailbox.smtp_signed_replies,
    })
}

fn refused(error: MailboxError) -> Problem {
    match error {
        MailboxError::Invalid(errors) => output::invalid(
            errors
                .into_iter()
                .map(|error| (error.field, error.code, error.message)),
        ),
        MailboxError::NotFound => Problem::not_found("mailbox"),
        MailboxError::Conflict => changed_meanwhile(),
        MailboxError::HasMessages(_) => Problem::conflict("mailbox_has_messages", error.to_string()),
        MailboxError::Trouble(trouble) => trouble.into(),
        MailboxError::Db(error) => error.into(),
    }
}

/// What was sent, over what there is. What nobody sent stays.
fn read(input: &mut Input, mut mailbox: MailboxInput) -> MailboxInput {
    let texts: [(&str, &mut String); 11] = [
        ("name", &mut mailbox.name),
        ("projectId", &mut mailbox.project_id),
        ("grantId", &mut mailbox.grant_id),
        ("protocol", &mut mailbox.protocol),
        ("host", &mut mailbox.host),
        ("tls", &mut mailbox.tls),
        ("loginName", &mut mailbox.login_name),
        ("folder", &mut mailbox.folder),
        ("startFrom", &mut mailbox.start_from),
        ("afterIngest", &mut mailbox.after_ingest),
        ("schedule", &mut mailbox.schedule),
    ];
    for (name, place) in texts {
        if let Some(text) = input.text(name) {
            *place = text;
        }
    }
    if input.mentions("moveTo") {
        mailbox.move_to = input.text("moveTo").unwrap_or_default();
    }
    if let Some(idle) = input.boolean("idle") {
        mailbox.idle = idle;
    }
    if input.mentions("trustedAuthservIds") {
        mailbox.trusted_authserv_ids = input.texts("trustedAuthservIds").unwrap_or_default();
    }
    if let Some(port) = input.integer("port") {
        mailbox.port = port;
    }
    if input.mentions("smtp") {
        read_sending(input, &mut mailbox.smtp);
    }
    mailbox
}

/// `smtp` over what there is; null ends sending.
fn read_sending(input: &mut Input, sending: &mut Sending) {
    if !input.has("smtp") {
        *sending = Sending::default();
        return;
    }
    let Some(members) = input.object("smtp") else {
        return;
    };
    let texts: [(&str, &mut String); 4] = [
        ("host", &mut sending.host),
        ("tls", &mut sending.tls),
        ("loginName", &mut sending.login_name),
        ("from", &mut sending.from),
    ];
    for (name, place) in texts {
        match members.get(name) {
            None => {}
            Some(Value::Null) => place.clear(),
            Some(Value::String(text)) => place.clone_from(text),
            Some(_) => input.problem(
                &format!("smtp/{name}"),
                "wrong_type",
                format!("`smtp.{name}` must be a text"),
            ),
        }
    }
    match members.get("signedReplyAddress") {
        None | Some(Value::Null) => {}
        Some(Value::Bool(signed)) => sending.signed_replies = *signed,
        Some(_) => input.problem(
            "smtp/signedReplyAddress",
            "wrong_type",
            "`smtp.signedReplyAddress` must be true or false",
        ),
    }
    match members.get("port") {
        None => {
            if sending.port == Sending::default().port && sending.tls == "starttls" {
                sending.port = 587;
            }
        }
        Some(port) => match port.as_i64() {
            Some(port) => sending.port = port,
            None => input.problem("smtp/port", "wrong_type", "`smtp.port` must be a whole number"),
        },
    }
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let all = mailbox::list(&ctx, &access.projects()).await.map_err(refused)?;
    Ok(output::list_from_all(&query, all, |mailbox| &mailbox.id, show))
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let mut wanted = read(&mut input, MailboxInput::default());
    if !input.has("port") && wanted.tls != "implicit" {
        wanted.port = 143;
    }
    input.finish()?;
    let made = mailbox::create(&ctx, &access.projects(), access.actor(), wanted)
        .await
        .map_err(refused)?;
    let path = format!("/api/v1/mailboxes/{}", made.id);
    Ok(output::created(&path, made.revision, show(&made)))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = mailbox::get(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    Ok(output::tagged(found.revision, show(&found)))
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
        let old = mailbox::get(&ctx, &access.projects(), &id)
            .await
            .map_err(refused)?;
        seen.check(old.revision)?;
        let wanted = read(&mut input, MailboxInput::of(&old));
        input.finish()?;
        let new = mailbox::update(
            &ctx,
            &access.projects(),
            access.actor(),
            &id,
            old.revision,
            wanted,
        )
        .await
        .map_err(refused)?;
        Ok(output::tagged(new.revision, show(&new)))
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
        let old = mailbox::get(&ctx, &access.projects(), &id)
            .await
            .map_err(refused)?;
        let seen = seen.seen(old.revision)?;
        mailbox::delete(&ctx, &access.projects(), access.actor(), &id, seen)
            .await
            .map_err(refused)?;
        Ok(output::done())
    })
    .await
}

async fn test(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let test_id = mailbox::start_test(&ctx, &access.projects(), access.actor(), &id)
        .await
        .map_err(refused)?;
    Ok(output::accepted(&format!("/api/v1/tests/{test_id}"), &test_id))
}

async fn poll(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    mailbox::poll_now(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    Ok(output::accepted(&format!("/api/v1/mailboxes/{id}"), &id))
}

async fn pause(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let old = mailbox::get(&ctx, &access.projects(), &id)
            .await
            .map_err(refused)?;
        let seen = seen.seen(old.revision)?;
        mailbox::pause(&ctx, &access.projects(), access.actor(), &id, seen)
            .await
            .map_err(refused)?;
        Ok(())
    })
    .await?;
    get(ctx, access, id).await
}

async fn resume(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let old = mailbox::get(&ctx, &access.projects(), &id)
            .await
            .map_err(refused)?;
        let seen = seen.seen(old.revision)?;
        mailbox::resume(&ctx, &access.projects(), access.actor(), &id, seen)
            .await
            .map_err(refused)?;
        Ok(())
    })
    .await?;
    get(ctx, access, id).await
}

//! What people and apps can do with mailboxes.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use super::imap::Folder;
use super::model::{AfterIngest, MailboxError, MailboxInput, Protocol, StartFrom, TlsMode};
use super::store::{self, Cursor, Mailbox, Outcome};
use super::sync;
use super::{sending, session};
use crate::access::Projects;
use crate::audit::{self, NewAuditEvent};
use crate::ctx::Ctx;
use crate::db::is_duplicate;
use crate::event::{self, NewEvent};
use crate::net::DialError;
use crate::trouble::{FieldError, Trouble};
use crate::{grant, id, integration, project, schedule};

/// Mails larger than this are taken with their beginning only, bytes.
const MAX_MESSAGE_BYTES: i64 = 50 * 1024 * 1024;

/// How long making a mailbox waits for the mail server.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// Makes a mailbox; it is read at once.
pub async fn create(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    input: MailboxInput,
) -> Result<Mailbox, MailboxError> {
    let input = check(ctx, projects, input).await?;
    check_listed(ctx, projects, &input).await?;
    let mailbox = fill(blank(ctx), input);
    let txn = ctx.db.begin().await?;
    store::insert(&txn, &mailbox)
        .await
        .map_err(|error| duplicate_name(error, &mailbox.name))?;
    note(ctx, &txn, actor, "mailbox.created", &mailbox).await?;
    txn.commit().await?;
    tracing::info!(mailbox = mailbox.id, actor, "mailbox made");
    look_once(ctx, &mailbox).await;
    poll_now(ctx, projects, &mailbox.id).await?;
    get(ctx, projects, &mailbox.id).await
}

/// Notes what somebody did with a mailbox.
async fn note<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    actor: &str,
    action: &str,
    mailbox: &Mailbox,
) -> Result<(), DbErr> {
    let event = NewAuditEvent::new(action, "mailbox", &mailbox.id)
        .by(actor)
        .in_project(&mailbox.project_id)
        .saying(json!({
            "name": mailbox.name, "grantId": mailbox.grant_id, "host": mailbox.host,
            "loginName": mailbox.login_name, "folder": mailbox.folder, "afterIngest": mailbox.after_ingest,
            "smtpFrom": mailbox.smtp_from,
        }));
    audit::append(on, &ctx.clock, event).await.map(drop)
}

/// A mailbox before anything was entered.
fn blank(ctx: &Ctx) -> Mailbox {
    let now = ctx.clock.now_ms();
    Mailbox {
        id: id::new("mbx", &ctx.clock),
        name: String::new(),
        project_id: String::new(),
        grant_id: String::new(),
        protocol: Protocol::Imap.as_str().to_owned(),
        host: String::new(),
        port: 0,
        tls: String::new(),
        login_name: String::new(),
        folder: String::new(),
        start_from: String::new(),
        after_ingest: String::new(),
        move_to: String::new(),
        schedule: String::new(),
        idle: true,
        max_message_bytes: MAX_MESSAGE_BYTES,
        smtp_host: String::new(),
        smtp_port: 0,
        smtp_tls: String::new(),
        smtp_login_name: String::new(),
        smtp_from: String::new(),
        smtp_signed_replies: false,
        paused: false,
        state: "new".into(),
        error_code: String::new(),
        error_cause: String::new(),
        error_remedy: String::new(),
        error_at: None,
        failures: 0,
        next_poll_at: now + 2 * i64::try_from(FIRST_LOOK.as_millis()).unwrap_or(0),
        last_success_at: None,
        last_mail_at: None,
        lease_holder: String::new(),
        lease_no: 0,
        lease_until: 0,
        revision: 1,
        created_at: now,
        updated_at: now,
        trusted_authserv_ids: "[]".into(),
    }
}

/// "From now on" begins now, not when the mailbox is first polled: the folder's end is noted before the answer. If the
/// server cannot be reached at this moment, the first poll goes by the time of arrival instead.
async fn look_once(ctx: &Ctx, mailbox: &Mailbox) {
    let look = async {
        let mut session = session::open(ctx, mailbox).await.ok()?;
        let planned = sync::plan(ctx, &mut session, mailbox).await;
        session.logout().await;
        planned.ok()
    };
    if tokio::time::timeout(FIRST_LOOK, look)
        .await
        .ok()
        .flatten()
        .is_none()
    {
        tracing::info!(
            mailbox = mailbox.id,
            "the first look at the folder failed; the poller goes on with it"
        );
    }
}

/// Changes a mailbox that still has the revision `seen`. Cursor and history stay.
pub async fn update(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    id: &str,
    seen: i64,
    input: MailboxInput,
) -> Result<Mailbox, MailboxError> {
    let before = get(ctx, projects, id).await?;
    let input = check(ctx, projects, input).await?;
    if (&input.grant_id, &input.project_id) != (&before.grant_id, &before.project_id) {
        check_listed(ctx, projects, &input).await?;
    }
    let mut changed = fill(before, input);
    changed.updated_at = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    let done = store::update(&txn, &changed, seen).await;
    if !done.map_err(|error| duplicate_name(error, &changed.name))? {
        return Err(MailboxError::Conflict);
    }
    note(ctx, &txn, actor, "mailbox.updated", &changed).await?;
    txn.commit().await?;
    ctx.nudge.now();
    tracing::info!(mailbox = id, actor, "mailbox changed");
    get(ctx, projects, id).await
}

/// One mailbox of these projects.
pub async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Mailbox, MailboxError> {
    store::by_id(ctx.db.read(), projects, id)
        .await?
        .ok_or(MailboxError::NotFound)
}

/// The mailboxes of these projects by name.
pub async fn list(ctx: &Ctx, projects: &Projects) -> Result<Vec<Mailbox>, MailboxError> {
    Ok(store::all(ctx.db.read(), projects).await?)
}

/// The last outcomes, newest first.
pub async fn recent(ctx: &Ctx, id: &str, limit: u32) -> Result<Vec<Outcome>, MailboxError> {
    Ok(store::outcomes(ctx.db.read(), id, limit).await?)
}

/// Stops reading it until it is resumed, if it is still as it was `seen`.
pub async fn pause(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    id: &str,
    seen: Option<i64>,
) -> Result<(), MailboxError> {
    set_paused(ctx, projects, actor, id, (true, seen)).await
}

/// Reads it again, from where it stopped, if it is still as it was `seen`.
pub async fn resume(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    id: &str,
    seen: Option<i64>,
) -> Result<(), MailboxError> {
    set_paused(ctx, projects, actor, id, (false, seen)).await
}

async fn set_paused(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    id: &str,
    (paused, seen): (bool, Option<i64>),
) -> Result<(), MailboxError> {
    let mailbox = get(ctx, projects, id).await?;
    let txn = ctx.db.begin().await?;
    if !store::set_paused(&txn, id, paused, seen).await? {
        return Err(MailboxError::Conflict);
    }
    if paused {
        let event = NewEvent {
            kind: "mailbox.paused",
            project_id: &mailbox.project_id,
            subject_id: id,
            actor,
            data: json!({ "name": mailbox.name }),
        };
        event::append(&txn, &ctx.clock, event).await?;
    } else {
        note(ctx, &txn, actor, "mailbox.resumed", &mailbox).await?;
    }
    txn.commit().await?;
    ctx.nudge.now();
    Ok(())
}

/// Reads it now, whatever its schedule says.
pub async fn poll_now(ctx: &Ctx, projects: &Projects, id: &str) -> Result<(), MailboxError> {
    get(ctx, projects, id).await?;
    if !store::set_due(ctx.db.write(), id).await? {
        return Err(MailboxError::NotFound);
    }
    ctx.nudge.now();
    Ok(())
}

/// Deletes a mailbox that has no messages, if it is still as it was `seen`.
pub async fn delete(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    id: &str,
    seen: Option<i64>,
) -> Result<(), MailboxError> {
    let mailbox = get(ctx, projects, id).await?;
    let txn = ctx.db.begin().await?;
    match store::message_count(&txn, id).await? {
        0 => {}
        n => return Err(MailboxError::HasMessages(n)),
    }
    if !store::remove(&txn, id, seen).await? {
        return Err(MailboxError::Conflict);
    }
    note(ctx, &txn, actor, "mailbox.deleted", &mailbox).await?;
    txn.commit().await?;
    tracing::info!(mailbox = id, actor, "mailbox deleted");
    Ok(())
}

/// The folders of the account, for picking one; signs in with the mailbox's grant.
pub async fn folders_of(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Vec<Folder>, MailboxError> {
    let mailbox = get(ctx, projects, id).await?;
    let mut session = session::open(ctx, &mailbox)
        .await
        .map_err(|error| MailboxError::Trouble(error.trouble()))?;
    let folders = session.list_folders().await;
    session.logout().await;
    folders.map_err(|error| MailboxError::Trouble(session::trouble_of(&error)))
}

/// The folders of an account that is not saved as a mailbox yet, for picking one in its form. Only what is needed to
/// sign in has to be right.
pub async fn folders_for(
    ctx: &Ctx,
    projects: &Projects,
    input: MailboxInput,
) -> Result<Vec<Folder>, MailboxError> {
    let input = match check(ctx, projects, input.clone()).await {
        Ok(input) => input,
        Err(MailboxError::Invalid(mut errors)) => {
            errors.retain(|error| ["host", "port", "tls", "loginName", "grantId"].contains(&error.field));
            if !errors.is_empty() {
                return Err(MailboxError::Invalid(errors));
            }
            tidy(input)
        }
        Err(error) => return Err(error),
    };
    let mailbox = fill(blank(ctx), input);
    let ask = async {
        let mut session = session::open(ctx, &mailbox)
            .await
            .map_err(|error| error.trouble())?;
        let folders = session.list_folders().await;
        session.logout().await;
        folders.map_err(|error| session::trouble_of(&error))
    };
    let too_slow = || {
        Trouble::new(
            "mail_server_slow",
            "The mail server did not list its folders within 30 seconds.",
            "Try again, or write the folder's name.",
        )
    };
    tokio::time::timeout(session::PATIENCE, ask)
        .await
        .unwrap_or_else(|_| Err(too_slow()))
        .map_err(MailboxError::Trouble)
}

/// How far the folder of a mailbox has been read, in its present epoch; none before the first look.
pub async fn reading(ctx: &Ctx, mailbox: &Mailbox) -> Result<Option<Cursor>, MailboxError> {
    let mut epochs = store::cursors(ctx.db.read(), &mailbox.id, &mailbox.folder).await?;
    Ok(epochs.pop())
}

fn duplicate_name(error: sea_orm::DbErr, name: &str) -> MailboxError {
    if is_duplicate(&error) {
        return MailboxError::Invalid(vec![FieldError::new(
            "name",
            "duplicate",
            format!("A mailbox named “{name}” exists already; choose another name."),
        )]);
    }
    error.into()
}

fn fill(mut mailbox: Mailbox, input: MailboxInput) -> Mailbox {
    mailbox.name = input.name;
    mailbox.project_id = input.project_id;
    mailbox.grant_id = input.grant_id;
    mailbox.host = input.host;
    mailbox.port = input.port;
    mailbox.tls = input.tls;
    mailbox.login_name = input.login_name;
    mailbox.folder = input.folder;
    mailbox.start_from = input.start_from;
    mailbox.after_ingest = input.after_ingest;
    mailbox.move_to = input.move_to;
    mailbox.schedule = input.schedule;
    mailbox.idle = input.idle;
    mailbox.smtp_host = input.smtp.host;
    mailbox.smtp_port = input.smtp.port;
    mailbox.smtp_tls = input.smtp.tls;
    mailbox.smtp_login_name = input.smtp.login_name;
    mailbox.smtp_from = input.smtp.from;
    mailbox.trusted_authserv_ids = json!(input.trusted_authserv_ids).to_string();
    mailbox.smtp_signed_replies = input.smtp.signed_replies;
    mailbox
}

/// Checks every field and returns the input tidied, or all that is wrong with it.
async fn check(ctx: &Ctx, projects: &Projects, input: MailboxInput) -> Result<MailboxInput, MailboxError> {
    let input = tidy(input);
    let mut errors = check_texts(ctx, &input);
    if project::get(ctx, projects, &input.project_id).await.is_err() {
        errors.push(FieldError::new(
            "projectId",
            "unknown",
            "There is no such project; choose the one whose tickets this mail becomes.",
        ));
    }
    if grant::get(ctx, projects, &input.grant_id).await.is_err() {
        errors.push(FieldError::new(
            "grantId",
            "unknown",
            "There is no such grant; connect an account through an integration first.",
        ));
    }
    if !input.host.is_empty() && (1..=65_535).contains(&input.port) {
        errors.extend(check_host(ctx, &input).await);
    }
    errors.extend(sending::check(ctx, &input.smtp).await);
    if errors.is_empty() {
        Ok(input)
    } else {
        Err(MailboxError::Invalid(errors))
    }
}

/// Whoever manages some projects only may read through an integration that lists the mailbox's project.
async fn check_listed(ctx: &Ctx, projects: &Projects, input: &MailboxInput) -> Result<(), MailboxError> {
    if projects.is_all() {
        return Ok(());
    }
    let listed = match grant::get(ctx, projects, &input.grant_id).await {
        Ok(found) => integration::get(ctx, &Projects::one(&input.project_id), &found.integration_id)
            .await
            .is_ok(),
        Err(_) => false,
    };
    if listed {
        return Ok(());
    }
    Err(MailboxError::Invalid(vec![FieldError::new(
        "grantId",
        "not_listed",
        "This grant's integration does not list the project; a site admin can open it to the project.",
    )]))
}

fn tidy(mut input: MailboxInput) -> MailboxInput {
    for text in [
        &mut input.name,
        &mut input.host,
        &mut input.login_name,
        &mut input.folder,
        &mut input.move_to,
        &mut input.schedule,
        &mut input.start_from,
        &mut input.smtp.host,
        &mut input.smtp.login_name,
        &mut input.smtp.from,
    ] {
        *text = text.trim().to_owned();
    }
    sending::tidy(&mut input.smtp, &input.login_name);
    let mut servers: Vec<String> = Vec::new();
    for server in &input.trusted_authserv_ids {
        let server = server.trim().trim_end_matches(';').to_ascii_lowercase();
        if !server.is_empty() && !servers.contains(&server) {
            servers.push(server);
        }
    }
    input.trusted_authserv_ids = servers;
    if input.schedule.is_empty() {
        input.schedule = MailboxInput::default().schedule;
    }
    if input.folder.is_empty() {
        input.folder = "INBOX".into();
    }
    if input.after_ingest != AfterIngest::Move.as_str() {
        input.move_to.clear();
    }
    input
}

fn check_texts(ctx: &Ctx, input: &MailboxInput) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut bad = |field, code, message: &str| errors.push(FieldError::new(field, code, message));
    match input.name.chars().count() {
        0 => bad(
            "name",
            "required",
            "Give the mailbox a name, for example its address.",
        ),
        1..=100 => {}
        _ => bad("name", "too_long", "Use at most 100 characters."),
    }
    if Protocol::parse(&input.protocol).is_none() {
        bad(
            "protocol",
            "invalid",
            "Only imap is available; POP3 is not there yet.",
        );
    }
    if input.host.is_empty() {
        bad(
            "host",
            "required",
            "Name the mail server, for example imap.gmail.com.",
        );
    }
    if !(1..=65_535).contains(&input.port) {
        bad(
            "port",
            "invalid",
            "Use a port from 1 to 65535; IMAP over TLS is 993.",
        );
    }
    if TlsMode::parse(&input.tls).is_none() {
        bad("tls", "invalid", "Choose implicit, starttls or none.");
    }
    if input.login_name.is_empty() || input.login_name.chars().any(char::is_control) {
        bad(
            "loginName",
            "required",
            "Name the account to read, usually its e-mail address.",
        );
    }
    if input.folder.chars().any(char::is_control) || input.folder.chars().count() > 255 {
        bad(
            "folder",
            "invalid",
            "This is not a folder name; choose one from the list.",
        );
    }
    if StartFrom::parse(&input.start_from).is_none() {
        bad(
            "startFrom",
            "invalid",
            "Choose now, unread, all, or a day such as 2026-11-23.",
        );
    }
    match AfterIngest::parse(&input.after_ingest) {
        None => bad("afterIngest", "invalid", "Choose leave, mark_seen or move."),
        Some(AfterIngest::Move) if input.move_to.is_empty() || input.move_to == input.folder => {
            bad(
                "moveTo",
                "required",
                "Name the folder that mails are moved to; it must be another one.",
            );
        }
        Some(AfterIngest::Move) if input.move_to.chars().any(char::is_control) => {
            bad(
                "moveTo",
                "invalid",
                "This is not a folder name; choose one from the list.",
            );
        }
        Some(_) => {}
    }
    if input.trusted_authserv_ids.len() > MAX_TRUSTED {
        bad(
            "trustedAuthservIds",
            "too_many",
            "Name at most 10 servers: only your own mail servers belong here.",
        );
    }
    if !input.trusted_authserv_ids.iter().all(|id| is_authserv_id(id)) {
        bad(
            "trustedAuthservIds",
            "invalid",
            "Write the name as it stands first in Authentication-Results, for example mx.google.com.",
        );
    }
    if let Err(error) = schedule::check(&input.schedule, ctx.clock.now()) {
        let code = match error {
            schedule::ScheduleError::Syntax => "invalid",
            schedule::ScheduleError::Never => "never_fires",
            schedule::ScheduleError::TooOften => "too_often",
        };
        errors.push(FieldError::new("schedule", code, error.to_string()));
    }
    errors
}

/// Servers that one mailbox can trust.
const MAX_TRUSTED: usize = 10;

/// A name as Authentication-Results begins with (RFC 8601, section 2.5): a domain by custom, any token by rule.
fn is_authserv_id(id: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    (1..=255).contains(&id.len()) && id.bytes().all(fits)
}

/// A server that is down today is no reason to refuse; a name that does not exist or an address that is not allowed is.
async fn check_host(ctx: &Ctx, input: &MailboxInput) -> Option<FieldError> {
    let port = u16::try_from(input.port).unwrap_or(0);
    match ctx.dialer.resolve(&input.host, port).await {
        Ok(addresses) if input.tls == TlsMode::None.as_str() && !ctx.dialer.is_allowed_plain(&addresses) => {
            Some(FieldError::new(
                "tls",
                "plain_refused",
                "Without TLS only this machine and networks in MAILGRANT_ALLOW_NETWORKS are read; choose implicit or \
                 starttls.",
            ))
        }
        Ok(_) => None,
        Err(
            error @ (DialError::NameNotFound { .. }
            | DialError::Forbidden { .. }
            | DialError::InvalidHost { .. }),
        ) => Some(FieldError::new(
            "host",
            error.code(),
            format!("{error}. {}", error.remedy()),
        )),
        Err(_) => None,
    }
}

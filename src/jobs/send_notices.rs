//! Tells agents by mail of new tickets, and assignees of new messages, where a project has it so: reads on in the event
//! log, and moves its place in the transaction that fills the outbox, so that each is told once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sea_orm::DbErr;
use serde_json::Value;

use crate::access::{Projects, Role};
use crate::account::{self, User};
use crate::alert::{self, store};
use crate::ctx::Ctx;
use crate::event::{self, Event, LogError, SYSTEM};
use crate::message::{self, Message, MessageError};
use crate::outbox::{self, OutboxError, SiteMail};
use crate::project;
use crate::rule::LoopMarks;
use crate::rule::loop_guard::{self, Automatic, Purpose};
use crate::smtp::Address;
use crate::template::{self, Kind, Template};
use crate::ticket::{self, TicketError};

/// Events that are read at once.
const HANDFUL: u64 = 100;

/// One mail that is to go out.
struct Notice {
    to: Address,
    subject: String,
    text: String,
    html: Option<String>,
}

pub(super) async fn run(ctx: &Ctx) -> Result<(), DbErr> {
    event::advance(&ctx.db).await?;
    while read_on(ctx).await? && !ctx.stop.is_cancelled() {}
    Ok(())
}

async fn read_on(ctx: &Ctx) -> Result<bool, DbErr> {
    let from = store::notice_place(ctx.db.read()).await?;
    let read = match event::read_after(ctx.db.read(), from, &store::notice_filter(), HANDFUL).await {
        Ok(read) => read,
        Err(LogError::Gone { oldest }) => {
            store::notices_go_on(ctx.db.write(), from, oldest).await?;
            return Ok(true);
        }
        Err(LogError::Db(error)) => return Err(error),
    };
    if read.cursor == from {
        return Ok(false);
    }
    let mut notices = Vec::new();
    let mut templates = Templates::new();
    for event in &read.events {
        notices.extend(told_of(ctx, &mut templates, event).await?);
    }
    let marks = LoopMarks::new(&ctx.keys);
    let txn = ctx.db.begin().await?;
    if !store::notices_go_on(&txn, from, read.cursor).await? {
        // Another node reads.
        txn.rollback().await?;
        return Ok(false);
    }
    for notice in notices {
        let asked = Automatic {
            purpose: Purpose::Notice,
            to: notice.to.email(),
            about: None,
            has_own_mark: false,
        };
        let Ok(pass) = loop_guard::allow(&txn, &ctx.clock, &marks, &asked).await? else {
            continue;
        };
        let mail = SiteMail {
            html: notice.html,
            pass: Some(pass),
            ..SiteMail::notice(SYSTEM, notice.to, &notice.subject, &notice.text)
        };
        match outbox::enqueue_site_mail(&txn, ctx, mail).await {
            Ok(_) => {}
            Err(OutboxError::Db(error)) => return Err(error),
            // Nobody waits for a notice: what cannot be sent now is not sent later.
            Err(error) => tracing::warn!("a notice was not sent: {error}"),
        }
    }
    txn.commit().await?;
    Ok(read.has_more)
}

/// Templates that were looked for already, by project and kind.
type Templates = HashMap<(String, &'static str), Option<Template>>;

/// The mails about one event.
async fn told_of(ctx: &Ctx, templates: &mut Templates, event: &Event) -> Result<Vec<Notice>, DbErr> {
    let Some(message_id) = event.data.get("messageId").and_then(Value::as_str) else {
        return Ok(Vec::new());
    };
    let kind = if event.kind == "ticket.created" {
        Kind::NewTicket
    } else {
        Kind::NewReply
    };
    let template = match templates.entry((event.project_id.clone(), kind.as_str())) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(template::enabled(ctx.db.read(), &event.project_id, kind).await?),
    };
    let Some(template) = template else {
        return Ok(Vec::new());
    };
    let projects = Projects::one(&event.project_id);
    let ticket = match ticket::present(ctx, &projects, &event.subject_id).await {
        Ok(ticket) => ticket,
        Err(TicketError::Db(error)) => return Err(error),
        Err(_) => return Ok(Vec::new()),
    };
    let message = match message::get(ctx, &projects, message_id).await {
        Ok(message) => message,
        Err(MessageError::Db(error)) => return Err(error),
        Err(_) => return Ok(Vec::new()),
    };
    // What a machine wrote is told to nobody: it may be the answer to what was told before.
    if is_automatic(&message) {
        return Ok(Vec::new());
    }
    let Ok(project) = project::get(ctx, &projects, &event.project_id).await else {
        return Ok(Vec::new());
    };
    let mut notices = Vec::new();
    for person in people(ctx, kind, &event.project_id, &ticket.assignee_id).await? {
        let named = (project.key.as_str(), project.name.as_str());
        let values = template::values_of(ctx, named, &ticket, Some(&message), &person.name);
        let Ok(to) = Address::new("to", "", &person.email) else {
            continue;
        };
        match template::render(template, &values) {
            Ok(rendered) => notices.push(Notice {
                to,
                subject: rendered.subject,
                text: rendered.text,
                html: rendered.html,
            }),
            Err(error) => tracing::warn!(project = event.project_id, "a notice was not made: {error}"),
        }
    }
    Ok(notices)
}

fn is_automatic(message: &Message) -> bool {
    let parsed = message::parsed(message);
    parsed
        .get("mailgrant")
        .and_then(|extras| extras.get("automated"))
        .is_some_and(|automated| !automated.is_null())
}

/// Who is told: the project's agents of a new ticket, the assignee of a new message; nobody who does not want to.
async fn people(ctx: &Ctx, kind: Kind, project_id: &str, assignee: &str) -> Result<Vec<User>, DbErr> {
    let members = project::members_of(&ctx.db, project_id).await?;
    let out = alert::opted_out(ctx.db.read()).await?;
    let is_told = |user: &User| match kind {
        Kind::NewReply => user.id == assignee,
        _ => members
            .iter()
            .any(|member| member.user_id == user.id && member.role >= Role::Agent),
    };
    let mut people = account::list(&ctx.db, &Projects::All).await?;
    people.retain(|user| user.disabled_at.is_none() && !out.contains(&user.id) && is_told(user));
    Ok(people)
}

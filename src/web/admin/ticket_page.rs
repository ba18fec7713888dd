//! One ticket: its conversation, and what agents do with it.

use std::collections::HashMap;

use actix_web::cookie::time::Duration;
use actix_web::web;
use mailgrant_mail::{Address, AutomatedKind, ParsedMail, SegmentKind};
use serde_json::Value;

use super::answer_box::{self, Typed};
use super::attached_mail;
use super::desk::{Answer, Desk};
use super::tickets::path;
use super::views::Section;
use super::views::integrations::Fact;
use super::views::parts::{Action, Badge, Choice, Download, FormErrors, Tone};
use super::views::tickets::{Block, EntryView, Happened, RelatedRow, TicketDetail, Work};
use super::words::{self, Names};
use crate::access::{Projects, Role, Scope};
use crate::clock::from_ms;
use crate::event::{self, Event};
use crate::message::{self, Message, MessageFilter, SenderVerdict};
use crate::outbox::{self, Outgoing};
use crate::ticket::{self, Entry, Priority, Related, Ticket, TicketChange, TicketError, TicketState};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};
use crate::web::{gate, people};
use crate::{mailbox, project};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/tickets/{key}", Guard::Role(Role::Viewer), || web::to(detail)),
    Route::post("/tickets/{key}", Guard::Role(Role::Agent), || web::to(change)),
    Route::post("/tickets/{key}/notes", Guard::Role(Role::Agent), || web::to(note)),
    Route::post("/tickets/{key}/order", Guard::Role(Role::Viewer), || {
        web::to(order)
    }),
];

/// Messages that the page shows, the newest; each may be megabytes. Older ones are named, with a way to them.
const MESSAGES: u64 = 100;
/// Lines of the history.
const HISTORY: u64 = 100;
/// Remembers which end of a conversation comes first.
const ORDER_COOKIE: &str = "mailgrant-order";

async fn detail(desk: Desk, key: web::Path<String>) -> Answer {
    let found = ticket::get_by_key(&desk.ctx, &desk.access().projects(), &key).await?;
    // The address of a merged ticket leads to the one that is left.
    if !found.ticket.key.eq_ignore_ascii_case(&key) {
        return desk.go(&format!("/tickets/{}", found.ticket.key));
    }
    let view = view(&desk, found, Refused::default()).await?;
    desk.show(&view)
}

/// What was typed into a form of the page and refused.
#[derive(Default)]
struct Refused {
    note: String,
    answer: Option<Typed>,
    errors: FormErrors,
}

/// The page again, with an answer that was refused.
pub(super) async fn answer_again(
    desk: &Desk,
    found: ticket::TicketDetail,
    typed: Typed,
    errors: FormErrors,
) -> Answer {
    let refused = Refused {
        answer: Some(typed),
        errors,
        ..Refused::default()
    };
    let view = view(desk, found, refused).await?;
    desk.show_again(&view)
}

/// The page, with what was refused.
async fn view(desk: &Desk, found: ticket::TicketDetail, refused: Refused) -> Result<TicketDetail, Problem> {
    let Refused { note, answer, errors } = refused;
    let ticket = found.ticket;
    let projects = desk.access().projects();
    let filter = MessageFilter {
        projects: projects.clone(),
        ticket_id: Some(ticket.id.clone()),
        ..MessageFilter::default()
    };
    let messages = message::list(&desk.ctx, &filter, MESSAGES).await?.items;
    let messages: HashMap<String, Message> = messages
        .into_iter()
        .map(|message| (message.id.clone(), message))
        .collect();
    let outgoing = outbox::of_ticket(desk.ctx.db.read(), &ticket.id).await?;
    let outgoing: HashMap<&str, &Outgoing> = outgoing
        .iter()
        .filter(|mail| !mail.entry_id.is_empty())
        .map(|mail| (mail.entry_id.as_str(), mail))
        .collect();
    let mut entries: Vec<EntryView> = found
        .entries
        .iter()
        .map(|entry| {
            let message = entry.message_id.as_ref().and_then(|id| messages.get(id));
            let mut view = entry_view(entry, message, desk.now());
            if let (None, Some(id)) = (message, &entry.message_id) {
                leave_out(&mut view, id);
            }
            if let Some(mail) = outgoing.get(entry.id.as_str()) {
                view.sending = Some(answer_box::sending(mail));
                view.raw_href = Some(format!("/outgoing/{}/raw", mail.id));
            }
            view
        })
        .collect();
    let newest_first = desk.cookie(ORDER_COOKIE).as_deref() == Some("newest");
    if newest_first {
        entries.reverse();
    }
    let first = found.entries.iter().find_map(|entry| entry.message_id.as_deref());
    let older = match first {
        Some(id) if !messages.contains_key(id) => message::get(&desk.ctx, &projects, id).await.ok(),
        _ => None,
    };
    let first = older.as_ref().or_else(|| messages.get(first?));
    let facts = facts(desk, &ticket, first).await?;
    let names = Names::load(&desk.ctx).await?;
    let events = event::of_subject(desk.ctx.db.read(), &ticket.id, HISTORY).await?;
    let work = if desk.access().may(Scope::TicketsWrite, &ticket.project_id) {
        Some(work(desk, &ticket, &note).await?)
    } else {
        None
    };
    let answer = answer_box::view(desk, &ticket, &found.entries, answer).await?;
    Ok(TicketDetail {
        page: desk.here(
            desk.page(format!("{} {}", ticket.key, ticket.subject), Section::Tickets)
                .await?,
            &ticket.project_id,
        ),
        may_answer: answer.is_some(),
        answer,
        state: words::ticket_badge(&ticket.state),
        priority: words::priority_badge(&ticket.priority),
        labels: ticket::labels_of(&ticket)
            .into_iter()
            .map(|label| {
                let href = path("/tickets", &[("label", &label)]);
                Action::link(label, href)
            })
            .collect(),
        errors,
        facts,
        entries,
        related: found.related.iter().map(related).collect(),
        merged: found.merged,
        may_merge: work.is_some(),
        newest_first,
        work,
        history: events
            .iter()
            .map(|event| happened(event, &names, desk.now()))
            .collect(),
        key: ticket.key,
        subject: ticket.subject,
    })
}

fn related(other: &Related) -> RelatedRow {
    RelatedRow {
        key: other.key.clone(),
        subject: other.subject.clone(),
        state: words::ticket_badge(&other.state),
        kind: match other.kind.as_str() {
            "split" => "One ticket with this before",
            _ => "Possibly related",
        }
        .to_owned(),
    }
}

async fn work(desk: &Desk, ticket: &Ticket, note: &str) -> Result<Work, Problem> {
    let people = people::assignable(&desk.ctx, &ticket.project_id).await?;
    let is_known = people.iter().any(|user| user.id == ticket.assignee_id);
    let mut assignees = vec![Choice::new("", "Nobody", ticket.assignee_id.is_empty())];
    if !is_known && !ticket.assignee_id.is_empty() {
        // Whoever had it may have left; the page does not take it from them by itself.
        assignees.push(Choice::new(
            ticket.assignee_id.as_str(),
            "Somebody who left the project",
            true,
        ));
    }
    let may_take = people.iter().any(|user| user.id == desk.actor());
    for user in people {
        let is_assignee = user.id == ticket.assignee_id;
        assignees.push(Choice::new(user.id, user.name, is_assignee));
    }
    let projects = Projects::one(&ticket.project_id);
    Ok(Work {
        states: [TicketState::Open, TicketState::Pending, TicketState::Closed]
            .into_iter()
            .map(|state| {
                Choice::new(
                    state.as_str(),
                    words::capital(state.as_str()),
                    state.as_str() == ticket.state,
                )
            })
            .collect(),
        priorities: Priority::ALL
            .iter()
            .map(|p| {
                Choice::new(
                    p.as_str(),
                    words::capital(p.as_str()),
                    p.as_str() == ticket.priority,
                )
            })
            .collect(),
        labels: ticket::labels_of(ticket).join(", "),
        known_labels: ticket::labels(&desk.ctx, &projects, 100).await?,
        was_state: ticket.state.clone(),
        was_assignee: ticket.assignee_id.clone(),
        was_priority: ticket.priority.clone(),
        me: (may_take && ticket.assignee_id != desk.actor()).then(|| desk.actor().to_owned()),
        note: note.to_owned(),
        assignees,
    })
}

async fn facts(desk: &Desk, ticket: &Ticket, first: Option<&Message>) -> Result<Vec<Fact>, Problem> {
    let projects = desk.access().projects();
    let mut facts = vec![Fact::new("Requester", words::requester(ticket))];
    if !ticket.requester_email.is_empty() {
        facts.push(Fact::exact("Address", &ticket.requester_email));
    }
    if let Ok(project) = project::get(&desk.ctx, &projects, &ticket.project_id).await {
        facts.push(Fact::new("Project", format!("{} {}", project.key, project.name)));
    }
    if let Some(message) = first
        && let Ok(mailbox) = mailbox::get(&desk.ctx, &projects, &message.mailbox_id).await
    {
        facts.push(Fact::new("Mailbox", mailbox.name));
    }
    let opened = from_ms(ticket.created_at).format("%Y-%m-%d %H:%M UTC");
    facts.push(Fact::new("Opened", opened.to_string()));
    Ok(facts)
}

/// The ticket a form is about, if it may be changed by whoever sent it.
async fn mine(desk: &Desk, key: &str) -> Result<ticket::TicketDetail, Problem> {
    let projects = desk.access().projects_with(Scope::TicketsWrite);
    Ok(ticket::get_by_key(&desk.ctx, &projects, key).await?)
}

async fn change(desk: Desk, key: web::Path<String>, form: FormData) -> Answer {
    let projects = desk.access().projects_with(Scope::TicketsWrite);
    let found = ticket::present(&desk.ctx, &projects, &key).await?;
    let here = format!("/tickets/{}", found.key);
    // Only what was touched: a change that came in between stays.
    let touched = |name: &str| {
        let was = format!("was_{name}");
        (form.has(name) && (!form.has(&was) || form.text(&was) != form.text(name)))
            .then(|| form.text(name).to_owned())
    };
    let wanted = TicketChange {
        state: touched("state").and_then(|state| TicketState::parse(&state)),
        priority: touched("priority").and_then(|priority| Priority::parse(&priority)),
        assignee_id: touched("assignee"),
        labels: touched("labels").map(|labels| labels.split(',').map(str::to_owned).collect()),
        subject: touched("subject"),
    };
    if let Some(id) = &wanted.assignee_id
        && !people::may_be_assigned(&desk.ctx, &found.project_id, id).await?
    {
        return desk
            .failed(
                "This person may not work in the project. Nothing was changed.",
                &here,
            )
            .await;
    }
    let before = found.revision;
    match ticket::change(&desk.ctx, desk.actor(), &found.id, None, &wanted).await {
        Ok(ticket) if ticket.revision == before => desk.go(&here),
        Ok(_) => desk.done("Saved.", &here).await,
        Err(TicketError::Invalid(errors)) => {
            let texts: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            desk.failed(format!("{} Nothing was changed.", texts.join(" ")), &here)
                .await
        }
        Err(error) => Err(error.into()),
    }
}

async fn note(desk: Desk, key: web::Path<String>, form: FormData) -> Answer {
    let found = mine(&desk, &key).await?;
    let author = desk.current.user().name.clone();
    let written = ticket::note(
        &desk.ctx,
        desk.actor(),
        &author,
        &found.ticket.id,
        form.raw("text"),
        None,
    );
    match written.await {
        Ok((ticket, entry)) => {
            desk.done(
                "The note is added.",
                &format!("/tickets/{}#{}", ticket.key, entry.id),
            )
            .await
        }
        Err(TicketError::Invalid(mistakes)) => {
            let mut errors = FormErrors::default();
            for mistake in mistakes {
                errors.add(mistake.field, mistake.message);
            }
            let refused = Refused {
                note: form.raw("text").to_owned(),
                errors,
                ..Refused::default()
            };
            let view = view(&desk, found, refused).await?;
            desk.show_again(&view)
        }
        Err(error) => Err(error.into()),
    }
}

async fn order(desk: Desk, key: web::Path<String>, form: FormData) -> Answer {
    let found = ticket::present(&desk.ctx, &desk.access().projects(), &key).await?;
    let order = if form.text("order") == "newest" {
        "newest"
    } else {
        "oldest"
    };
    let mut answer = desk.go(&format!("/tickets/{}", found.key))?;
    let mut cookie = gate::cookie(&desk.ctx.config, ORDER_COOKIE, order.to_owned());
    cookie.set_max_age(Duration::days(365));
    answer
        .add_cookie(&cookie)
        .map_err(|error| Problem::internal(&error))?;
    Ok(answer)
}

/// One line of the history.
fn happened(event: &Event, names: &Names, now: i64) -> Happened {
    let has = |member: &str| event.data.get(member).is_some_and(|value| !value.is_null());
    let changes = event.data.get("changes").and_then(Value::as_object);
    let (tone, text) = match (event.kind.as_str(), changes) {
        ("ticket.created", _) => {
            let from = event.data.get("splitFromKey").and_then(Value::as_str);
            let text = from.map_or_else(|| "Opened".to_owned(), |key| format!("Split off {key}"));
            (Tone::Info, text)
        }
        ("ticket.updated", Some(changes)) => {
            let came = has("messageId").then(|| "A message came in".to_owned());
            let all: Vec<String> = came
                .into_iter()
                .chain(
                    changes
                        .iter()
                        .map(|(field, change)| changed(field, change, names)),
                )
                .collect();
            (Tone::Ok, all.join(" · "))
        }
        ("ticket.updated", None) if has("messageId") => (Tone::Info, "A message came in".to_owned()),
        ("ticket.updated", None) if has("replyId") => (Tone::Info, "An answer was written".to_owned()),
        ("ticket.updated", None) if has("entryKind") => (Tone::Muted, "A note was written".to_owned()),
        ("ticket.updated", None) => (Tone::Muted, "Changed".to_owned()),
        ("ticket.merged", _) => (Tone::Info, "Merged".to_owned()),
        ("ticket.reply_sent", _) => (Tone::Ok, "An answer was sent".to_owned()),
        ("ticket.reply_failed", _) => (Tone::Bad, "An answer could not be sent".to_owned()),
        (kind, _) => (
            Tone::Muted,
            words::capital(&kind.replace("ticket.", "").replace(['_', '.'], " ")),
        ),
    };
    Happened {
        tone,
        text,
        by: names.of(&event.actor),
        when: words::when(now, event.created_at),
    }
}

fn changed(field: &str, change: &Value, names: &Names) -> String {
    let side = |name: &str| {
        let value = change.get(name).unwrap_or(&Value::Null);
        match value {
            Value::String(id) if field == "assigneeId" => names.of(id),
            Value::String(text) => text.clone(),
            Value::Array(items) if !items.is_empty() => items
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(", "),
            Value::Array(_) => "none".to_owned(),
            _ => "nobody".to_owned(),
        }
    };
    let label = match field {
        "assigneeId" => "Assignee".to_owned(),
        "subject" => return "Another subject".to_owned(),
        "merged" => return format!("{} was merged into it", side("to")),
        "split" => return format!("{} was split off", side("to")),
        field => words::capital(field),
    };
    format!("{label}: {} → {}", side("from"), side("to"))
}

fn entry_view(entry: &Entry, message: Option<&Message>, now: i64) -> EntryView {
    let mail: Option<ParsedMail> = message.and_then(|message| serde_json::from_str(&message.parsed).ok());
    let (name, email) = match message {
        Some(message) => (message.from_name.clone(), message.from_email.clone()),
        None => (entry.author.clone(), String::new()),
    };
    let author = [&name, &email]
        .into_iter()
        .find(|text| !text.is_empty())
        .cloned()
        .unwrap_or_else(|| "Unknown sender".to_owned());
    let mut view = EntryView {
        id: entry.id.clone(),
        kind: entry.kind.clone(),
        initials: initials(&author),
        author,
        email,
        when: words::when(now, entry.created_at),
        headers: vec![],
        badges: vec![],
        blocks: plain(&entry.body),
        html_href: None,
        explain_href: None,
        raw_href: message.map(|message| format!("/messages/{}/raw", message.id)),
        attachments: vec![],
        sending: None,
    };
    if let Some(message) = message {
        fill(&mut view, message, mail.as_ref());
    }
    view
}

/// An entry whose message is not on the page, because the conversation is longer than that.
fn leave_out(view: &mut EntryView, id: &str) {
    view.explain_href = Some(format!("/messages/{id}"));
    view.raw_href = Some(format!("/messages/{id}/raw"));
    view.blocks =
        plain("This message is older than what the page shows; open it, or its raw mail, to read it.");
}

fn fill(view: &mut EntryView, message: &Message, mail: Option<&ParsedMail>) {
    view.explain_href = Some(format!("/messages/{}", message.id));
    if message.is_partial {
        view.badges.push(Badge::new(Tone::Warn, "Cut: too large"));
    } else if message.state == "quarantined" {
        view.badges.push(Badge::new(Tone::Bad, "Could not be parsed"));
        view.blocks = plain(&format!("{} Download the raw mail to read it.", message.problem));
    }
    let Some(mail) = mail else {
        return;
    };
    let extras = &mail.mailgrant;
    if let Some(automated) = &extras.automated {
        view.badges.push(match automated.kind {
            AutomatedKind::Bounce => Badge::new(Tone::Warn, "Bounce"),
            AutomatedKind::AutoReply => Badge::new(Tone::Info, "Auto-reply"),
            AutomatedKind::Report => Badge::new(Tone::Warn, "Abuse report"),
            AutomatedKind::Bulk => Badge::new(Tone::Info, "Bulk mail"),
        });
    }
    view.badges.push(match SenderVerdict::of(mail) {
        SenderVerdict::Verified => Badge::new(Tone::Ok, "Verified sender"),
        SenderVerdict::Failed => Badge::new(Tone::Bad, "Sender failed the check"),
        SenderVerdict::Unknown => Badge::new(Tone::Muted, "Sender not verified"),
    });
    view.blocks = blocks(mail);
    view.headers = headers(mail);
    view.html_href = extras
        .html
        .as_ref()
        .map(|_| format!("/messages/{}/html", message.id));
    view.attachments = mail
        .attachments
        .iter()
        .map(|part| Download {
            name: part
                .name
                .clone()
                .unwrap_or_else(|| format!("part {}", part.part_id)),
            kind: part.r#type.clone(),
            size: words::size(part.size),
            href: format!("/messages/{}/attachments/{}", message.id, part.part_id),
            open_href: attached_mail::is_mail(&part.r#type)
                .then(|| attached_mail::path(&message.id, &part.part_id)),
        })
        .collect();
}

fn plain(text: &str) -> Vec<Block> {
    block("reply", text).into_iter().collect()
}

fn block(kind: &str, text: &str) -> Option<Block> {
    let text = text.trim_matches(['\n', '\r']).trim_end();
    (!text.trim().is_empty()).then(|| Block {
        kind: kind.to_owned(),
        text: text.to_owned(),
        lines: text.lines().count(),
    })
}

/// The text of a mail, cut by whose words it holds. When nothing of it was newly written, nothing is folded.
pub(super) fn blocks(mail: &ParsedMail) -> Vec<Block> {
    let text = &mail.mailgrant.text;
    let found: Vec<Block> = mail
        .mailgrant
        .reply
        .segments
        .iter()
        .filter_map(|segment| {
            let kind = match segment.kind {
                SegmentKind::Reply => "reply",
                SegmentKind::Context => "context",
                SegmentKind::Quote => "quote",
                SegmentKind::Signature => "signature",
                SegmentKind::Forward => "forward",
            };
            block(kind, text.get(segment.start..segment.end)?)
        })
        .collect();
    let is_written = found
        .iter()
        .any(|block| matches!(block.kind.as_str(), "reply" | "context" | "forward"));
    if is_written { found } else { plain(text) }
}

/// Its header fields, as far as people read them.
pub(super) fn headers(mail: &ParsedMail) -> Vec<Fact> {
    let people = |list: &[Address]| list.iter().map(person).collect::<Vec<_>>().join(", ");
    let checked = &mail.mailgrant.authentication;
    let verdict = checked.trusted_server.as_ref().map(|server| {
        format!(
            "SPF {}, DKIM {}, DMARC {} (by {server})",
            checked.spf, checked.dkim, checked.dmarc
        )
    });
    let problems = mail
        .mailgrant
        .problems
        .iter()
        .map(|problem| problem.detail.as_str());
    [
        ("From", people(&mail.from)),
        ("Reply-To", people(&mail.reply_to)),
        ("To", people(&mail.to)),
        ("Cc", people(&mail.cc)),
        ("Date", mail.sent_at.clone().unwrap_or_default()),
        ("Subject", mail.subject.clone().unwrap_or_default()),
        (
            "Message-ID",
            mail.message_id
                .iter()
                .map(|id| format!("<{id}>"))
                .collect::<Vec<_>>()
                .join(" "),
        ),
        ("Authentication", verdict.unwrap_or_default()),
        ("Noted while parsing", problems.collect::<Vec<_>>().join("; ")),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(label, value)| Fact::new(label, value))
    .collect()
}

fn person(address: &Address) -> String {
    match &address.name {
        Some(name) if !name.is_empty() => format!("{name} <{}>", address.email),
        _ => address.email.clone(),
    }
}

/// The first letters of the first two words.
fn initials(name: &str) -> String {
    name.split_whitespace()
        .filter_map(|word| word.chars().find(|c| c.is_alphanumeric()))
        .take(2)
        .flat_map(char::to_uppercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_cut_by_whose_words_it_holds() {
        let raw = b"From: a@b.test\r\nIn-Reply-To: <x@y>\r\nSubject: Re: x\r\n\r\nThanks!\r\n\r\n\
            On Monday, Bo wrote:\r\n> Have you tried water?\r\n";
        let kinds: Vec<String> = blocks(&mailgrant_mail::parse(raw))
            .into_iter()
            .map(|block| block.kind)
            .collect();
        assert_eq!(kinds, ["reply", "quote"]);
        let only_quote = b"From: a@b.test\r\nSubject: Re: x\r\n\r\n> Have you tried water?\r\n";
        let shown = blocks(&mailgrant_mail::parse(only_quote));
        assert_eq!(
            shown.len(),
            1,
            "a mail of nothing but quotes is not folded away: {shown:?}"
        );
        assert_eq!(shown[0].kind, "reply");
    }
}

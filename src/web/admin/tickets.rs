//! Tickets: the list with its search, and one with its conversation.

use std::collections::HashMap;

use actix_web::web;
use mailgrant_mail::{Address, AutomatedKind, ParsedMail};
use serde::Deserialize;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::integrations::Fact;
use super::views::parts::{Badge, Choice, Confirm, Download, Pager, Tone};
use super::views::tickets::{EntryView, RelatedRow, TicketDetail, TicketList, TicketRow};
use super::words;
use crate::access::Role;
use crate::clock::from_ms;
use crate::message::{self, Message, MessageFilter, SenderVerdict};
use crate::ticket::{self, Entry, Related, Ticket, TicketError, TicketFilter};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};
use crate::{mailbox, project};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/tickets", Guard::Role(Role::Viewer), || web::to(list)),
    Route::get("/tickets/{key}", Guard::Role(Role::Viewer), || web::to(detail)),
    Route::get("/tickets/{key}/merge", Guard::Role(Role::Agent), || {
        web::to(confirm_merge)
    }),
    Route::post("/tickets/{key}/merge", Guard::Role(Role::Agent), || {
        web::to(merge)
    }),
];

/// Tickets on one page of the list.
const PAGE: u64 = 50;
/// More messages than one page can show.
const ENTRIES: u64 = 500;

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    project: String,
    #[serde(default)]
    after: String,
}

impl Query {
    fn path(&self, after: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let parts = [
            ("q", self.q.trim()),
            ("state", &self.state),
            ("project", &self.project),
            ("after", after),
        ];
        for (name, value) in parts {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        let query = query.finish();
        if query.is_empty() {
            "/tickets".to_owned()
        } else {
            format!("/tickets?{query}")
        }
    }
}

async fn list(desk: Desk, query: web::Query<Query>) -> Answer {
    let now = desk.now();
    let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    let filter = TicketFilter {
        projects: desk.access().projects(),
        state: some(&query.state),
        project_id: some(&query.project),
        text: some(&query.q),
        after: some(&query.after),
        asker_id: Some(desk.actor().to_owned()),
        ..TicketFilter::default()
    };
    let found = match ticket::list(&desk.ctx, &filter, PAGE).await {
        // A cursor of another time: the list from its beginning.
        Err(TicketError::BadCursor) => return desk.go(&query.path("")),
        found => found?,
    };
    let states = [
        ("", "All states"),
        ("open", "Open"),
        ("pending", "Pending"),
        ("closed", "Closed"),
    ];
    let mut projects = vec![Choice::new("", "All projects", query.project.is_empty())];
    for project in project::list(&desk.ctx, &desk.access().projects()).await? {
        let label = format!("{} {}", project.key, project.name);
        let chosen = project.id == query.project;
        projects.push(Choice::new(project.id, label, chosen));
    }
    let rows: Vec<TicketRow> = found.items.iter().map(|ticket| row(ticket, now)).collect();
    desk.show(&TicketList {
        page: desk.page("Tickets", Section::Tickets).await?,
        q: query.q.trim().to_owned(),
        states: states
            .into_iter()
            .map(|(value, label)| Choice::new(value, label, value == query.state))
            .collect(),
        projects,
        filtered: filter.state.is_some() || filter.project_id.is_some() || filter.text.is_some(),
        has_mailbox: !mailbox::list(&desk.ctx, &desk.access().projects())
            .await?
            .is_empty(),
        pager: Pager {
            first: filter.after.is_some().then(|| query.path("")),
            next: found.next.map(|after| query.path(&after)),
            text: match rows.len() {
                0 => String::new(),
                n => format!("{n} shown, the latest change first"),
            },
        },
        tickets: rows,
    })
}

/// A ticket in a list.
pub(super) fn row(ticket: &Ticket, now: i64) -> TicketRow {
    TicketRow {
        key: ticket.key.clone(),
        subject: ticket.subject.clone(),
        requester: words::requester(ticket),
        state: words::ticket_badge(&ticket.state),
        entries: u64::try_from(ticket.entry_count).unwrap_or(0),
        updated: words::when(now, ticket.updated_at),
    }
}

async fn detail(desk: Desk, key: web::Path<String>) -> Answer {
    let found = ticket::get_by_key(&desk.ctx, &desk.access().projects(), &key).await?;
    let ticket = found.ticket;
    // The address of a merged ticket leads to the one that is left.
    if !ticket.key.eq_ignore_ascii_case(&key) {
        return desk.go(&format!("/tickets/{}", ticket.key));
    }
    let may_merge = desk
        .access()
        .projects_as(Role::Agent)
        .contains(&ticket.project_id);
    let filter = MessageFilter {
        projects: desk.access().projects(),
        ticket_id: Some(ticket.id.clone()),
        ..MessageFilter::default()
    };
    let messages = message::list(&desk.ctx, &filter, ENTRIES).await?.items;
    let messages: HashMap<String, Message> = messages
        .into_iter()
        .map(|message| (message.id.clone(), message))
        .collect();
    let entries = found.entries.iter().map(|entry| {
        let message = entry.message_id.as_ref().and_then(|id| messages.get(id));
        entry_view(entry, message, desk.now())
    });
    let entries = entries.collect();
    let facts = facts(
        &desk,
        &ticket,
        messages.values().min_by_key(|message| &message.id),
    )
    .await?;
    desk.show(&TicketDetail {
        page: desk
            .page(format!("{} {}", ticket.key, ticket.subject), Section::Tickets)
            .await?,
        state: words::ticket_badge(&ticket.state),
        key: ticket.key,
        subject: ticket.subject,
        facts,
        entries,
        related: found.related.iter().map(related).collect(),
        merged: found.merged,
        may_merge,
    })
}

fn related(other: &Related) -> RelatedRow {
    RelatedRow {
        key: other.key.clone(),
        subject: other.subject.clone(),
        state: words::ticket_badge(&other.state),
        kind: "Possibly related".to_owned(),
    }
}

#[derive(Deserialize)]
struct Into {
    #[serde(default)]
    into: String,
}

/// The question before a merge.
async fn confirm_merge(desk: Desk, key: web::Path<String>, asked: web::Query<Into>) -> Answer {
    let projects = desk.access().projects();
    let source = ticket::get_by_key(&desk.ctx, &projects, &key).await?.ticket;
    let back = format!("/tickets/{}", source.key);
    let wanted = asked.into.trim();
    let target = match ticket::get_by_key(&desk.ctx, &projects, wanted).await {
        Ok(found) => found.ticket,
        Err(TicketError::NotFound) => {
            let text = "There is no such ticket to merge into. Write its key, for example HELP-42.";
            return desk.failed(text, &back).await;
        }
        Err(error) => return Err(error.into()),
    };
    let blocked = if source.id == target.id {
        Some("A ticket cannot be merged into itself.".to_owned())
    } else if source.project_id != target.project_id {
        Some("Only tickets of one project can be merged.".to_owned())
    } else {
        None
    };
    let entries = u64::try_from(source.entry_count).unwrap_or(0);
    let entries = if entries == 1 {
        "1 entry".to_owned()
    } else {
        format!("{} entries", words::number(source.entry_count))
    };
    desk.show(&Confirm {
        page: desk
            .page(
                format!("Merge {} into {}?", source.key, target.key),
                Section::Tickets,
            )
            .await?,
        consequences: vec![
            format!(
                "What is in {} “{}” ({entries}) moves to {} “{}”.",
                source.key, source.subject, target.key, target.subject
            ),
            format!(
                "Who takes part in {} takes part in {}: they can answer it by mail.",
                source.key, target.key
            ),
            format!(
                "It cannot be taken back: {} then leads to {}.",
                source.key, target.key
            ),
        ],
        kept: vec![
            "Answers to mails of either ticket go on finding their way.".to_owned(),
            "The event log keeps who merged them, and when.".to_owned(),
        ],
        blocked,
        action: format!("/tickets/{}/merge", source.key),
        // In these, the value is the name and the label what it holds.
        fields: vec![
            Choice::new("into", &target.key, true),
            Choice::new("revision", source.revision.to_string(), true),
        ],
        button: "Merge".to_owned(),
        cancel: back,
    })
}

async fn merge(desk: Desk, key: web::Path<String>, data: FormData) -> Answer {
    let projects = desk.access().projects();
    let source = ticket::as_it_is(&desk.ctx, &projects, &key).await?;
    let seen = data.text("revision").parse().ok();
    let seen = seen.filter(|_| source.merged_into.is_empty());
    let (into, actor) = (data.text("into"), desk.actor());
    match ticket::merge(&desk.ctx, &projects, actor, &source.id, into, seen).await {
        Ok(left) => {
            let text = format!("{} is merged into {}.", source.key, left.key);
            desk.done(text, &format!("/tickets/{}", left.key)).await
        }
        Err(TicketError::Invalid(errors)) => {
            let text: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            desk.failed(text.join(" "), &format!("/tickets/{}", source.key))
                .await
        }
        Err(TicketError::Conflict) => {
            let text = "The ticket was changed meanwhile. Look at it again before you merge it.";
            desk.failed(text, &format!("/tickets/{}", source.key)).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn facts(desk: &Desk, ticket: &Ticket, first: Option<&Message>) -> Result<Vec<Fact>, Problem> {
    let mut facts = vec![Fact::new("Requester", words::requester(ticket))];
    if !ticket.requester_email.is_empty() {
        facts.push(Fact::exact("Address", &ticket.requester_email));
    }
    if let Ok(project) = project::get(&desk.ctx, &desk.access().projects(), &ticket.project_id).await {
        facts.push(Fact::new("Project", format!("{} {}", project.key, project.name)));
    }
    if let Some(message) = first
        && let Ok(mailbox) = mailbox::get(&desk.ctx, &desk.access().projects(), &message.mailbox_id).await
    {
        facts.push(Fact::new("Mailbox", mailbox.name));
    }
    let opened = from_ms(ticket.created_at).format("%Y-%m-%d %H:%M UTC");
    facts.push(Fact::new("Opened", opened.to_string()));
    Ok(facts)
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
        text: String::new(),
        quoted: String::new(),
        html_href: None,
        explain_href: None,
        raw_href: message.map(|message| format!("/messages/{}/raw", message.id)),
        attachments: vec![],
    };
    if let Some(message) = message {
        fill(&mut view, message, mail.as_ref());
    }
    view
}

fn fill(view: &mut EntryView, message: &Message, mail: Option<&ParsedMail>) {
    view.explain_href = Some(format!("/messages/{}", message.id));
    if message.is_partial {
        view.badges.push(Badge::new(Tone::Warn, "Cut: too large"));
    } else if message.state == "quarantined" {
        view.badges.push(Badge::new(Tone::Bad, "Could not be parsed"));
        view.text = format!("{} Download the raw mail to read it.", message.problem);
    }
    let Some(mail) = mail else {
        return;
    };
    view.badges.push(match SenderVerdict::of(mail) {
        SenderVerdict::Verified => Badge::new(Tone::Ok, "Verified sender"),
        SenderVerdict::Failed => Badge::new(Tone::Bad, "Sender failed the check"),
        SenderVerdict::Unknown => Badge::new(Tone::Muted, "Sender not verified"),
    });
    let extras = &mail.mailgrant;
    if let Some(automated) = &extras.automated {
        view.badges.push(match automated.kind {
            AutomatedKind::Bounce => Badge::new(Tone::Warn, "Bounce"),
            AutomatedKind::AutoReply => Badge::new(Tone::Info, "Auto-reply"),
            AutomatedKind::Report => Badge::new(Tone::Warn, "Abuse report"),
            AutomatedKind::Bulk => Badge::new(Tone::Info, "Bulk mail"),
        });
    }
    view.text = written(mail);
    view.quoted = extras.reply.quoted.clone().unwrap_or_default();
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
        })
        .collect();
}

/// What the person wrote, signature included.
fn written(mail: &ParsedMail) -> String {
    let reply = &mail.mailgrant.reply;
    if reply.text.trim().is_empty() && reply.quoted.is_none() {
        return mail.mailgrant.text.clone();
    }
    match &reply.signature {
        Some(signature) => format!("{}\n\n{signature}", reply.text.trim_end()),
        None => reply.text.clone(),
    }
}

fn headers(mail: &ParsedMail) -> Vec<Fact> {
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

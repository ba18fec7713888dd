//! Tickets: the list with its filters, changes of several at once, and tickets opened by hand. One ticket is in
//! `ticket_page`.

use actix_web::web;
use serde::Deserialize;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::parts::{Choice, FormErrors, Pager};
use super::views::tickets::{Tab, TicketForm, TicketList, TicketRow};
use super::words::{self, Names};
use crate::access::{Projects, Role, Scope};
use crate::search;
use crate::ticket::{
    self, NewTicket, Priority, Sort, Ticket, TicketChange, TicketError, TicketFilter, TicketState,
};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::respond::safe_next;
use crate::web::route::{Guard, Route};
use crate::{account, mailbox, project};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/tickets", Guard::Role(Role::Viewer), || web::to(list)),
    Route::post("/tickets/bulk", Guard::Role(Role::Agent), || web::to(bulk)),
    Route::get("/tickets/new", Guard::Role(Role::Agent), || web::to(new)),
    Route::post("/tickets/new", Guard::Role(Role::Agent), || web::to(create)),
];

/// Tickets on one page of the list.
const PAGE: u64 = 50;
/// Counting goes no further: a number nobody reads is not worth its time.
const MOST: u64 = 1_000;
/// Labels to choose from.
const LABELS: u64 = 200;

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Query {
    q: String,
    state: String,
    project: String,
    assignee: String,
    label: String,
    priority: String,
    mailbox: String,
    sort: String,
    after: String,
}

impl Query {
    fn path(&self, after: &str) -> String {
        let parts = [
            ("q", self.q.trim()),
            ("state", &self.state),
            ("project", &self.project),
            ("assignee", &self.assignee),
            ("label", &self.label),
            ("priority", &self.priority),
            ("mailbox", &self.mailbox),
            ("sort", &self.sort),
            ("after", after),
        ];
        path("/tickets", &parts)
    }

    fn filter(&self, desk: &Desk) -> TicketFilter {
        let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        TicketFilter {
            state: TicketState::parse(&self.state).map(|state| state.as_str().to_owned()),
            project_id: some(&self.project),
            assignee_id: match self.assignee.as_str() {
                "" => None,
                "none" => Some(String::new()),
                "me" => Some(desk.actor().to_owned()),
                id => Some(id.to_owned()),
            },
            label: some(&self.label),
            priority: Priority::parse(&self.priority).map(|priority| priority.as_str().to_owned()),
            mailbox_id: some(&self.mailbox),
            text: some(&self.q),
            asker_id: Some(desk.actor().to_owned()),
            projects: desk.access().projects(),
            sort: Sort::parse(&self.sort).unwrap_or_default(),
            after: some(&self.after),
        }
    }
}

/// A local path with those fields that say something.
pub(super) fn path(of: &str, fields: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() {
        of.to_owned()
    } else {
        format!("{of}?{query}")
    }
}

async fn list(desk: Desk, query: web::Query<Query>) -> Answer {
    let filter = query.filter(&desk);
    let found = match ticket::list(&desk.ctx, &filter, PAGE).await {
        // A cursor of another time: the list from its beginning.
        Err(TicketError::BadCursor) => return desk.go(&query.path("")),
        found => found?,
    };
    let names = Names::load(&desk.ctx).await?;
    let now = desk.now();
    let rows: Vec<TicketRow> = found
        .items
        .iter()
        .map(|ticket| row_with(ticket, &names, now))
        .collect();
    let mailboxes = mailbox::list(&desk.ctx, &filter.projects).await?;
    let mailbox_names = mailboxes
        .iter()
        .map(|mailbox| (mailbox.id.clone(), mailbox.name.clone()));
    let labels = ticket::labels(&desk.ctx, &filter.projects, LABELS).await?;
    let more = [&query.label, &query.priority, &query.mailbox, &query.assignee];
    desk.show(&TicketList {
        page: desk.page("Tickets", Section::Tickets).await?,
        notes: search::Query::parse(&query.q).notes,
        q: query.q.trim().to_owned(),
        tabs: tabs(&desk, &query, &filter).await?,
        state: filter.state.clone().unwrap_or_default(),
        projects: project_choices(&desk, &query.project, &desk.access().projects()).await?,
        assignees: assignees(&desk, &query).await?,
        labels: choices(
            "Any label",
            labels.into_iter().map(|label| (label.clone(), label)),
            &query.label,
        ),
        priorities: choices(
            "Any priority",
            Priority::ALL
                .iter()
                .map(|p| (p.as_str().to_owned(), words::capital(p.as_str()))),
            &query.priority,
        ),
        mailboxes: choices("Any mailbox", mailbox_names, &query.mailbox),
        sorts: Sort::ALL
            .into_iter()
            .map(|sort| Choice::new(sort.as_str(), sort_label(sort), sort == filter.sort))
            .collect(),
        more: more.into_iter().any(|value| !value.is_empty()),
        filtered: query.path("") != path("/tickets", &[("sort", &query.sort)]),
        has_mailbox: !mailboxes.is_empty(),
        may_write: !desk.access().projects_with(Scope::TicketsWrite).is_none(),
        messages_href: path("/search", &[("q", query.q.trim())]),
        pager: Pager {
            first: filter.after.is_some().then(|| query.path("")),
            next: found.next.map(|after| query.path(&after)),
            text: match rows.len() {
                0 => String::new(),
                n => format!("{n} on this page"),
            },
        },
        tickets: rows,
    })
}

fn sort_label(sort: Sort) -> &'static str {
    match sort {
        Sort::Updated => "Latest change first",
        Sort::Waiting => "Longest untouched first",
        Sort::Created => "Newest first",
        Sort::Priority => "Most urgent first",
    }
}

fn choices(any: &str, all: impl IntoIterator<Item = (String, String)>, chosen: &str) -> Vec<Choice> {
    let mut list = vec![Choice::new("", any, chosen.is_empty())];
    for (value, label) in all {
        let is_chosen = value == chosen;
        list.push(Choice::new(value, label, is_chosen));
    }
    list
}

async fn project_choices(desk: &Desk, chosen: &str, projects: &Projects) -> Result<Vec<Choice>, Problem> {
    let all = project::list(&desk.ctx, projects).await?;
    let named = all.into_iter().map(|project| {
        let label = format!("{} {}", project.key, project.name);
        (project.id, label)
    });
    Ok(choices("All projects", named, chosen))
}

async fn assignees(desk: &Desk, query: &Query) -> Result<Vec<Choice>, Problem> {
    let fixed = [
        ("me".to_owned(), "Me".to_owned()),
        ("none".to_owned(), "Nobody".to_owned()),
    ];
    // Names of colleagues are for those who work with them.
    let mine = desk.access().projects_with(Scope::TicketsWrite);
    let people = account::list(&desk.ctx.db, &mine)
        .await?
        .into_iter()
        .filter(|user| user.disabled_at.is_none() && user.id != desk.actor())
        .map(|user| (user.id, user.name));
    Ok(choices(
        "Anybody",
        fixed.into_iter().chain(people),
        &query.assignee,
    ))
}

async fn tabs(desk: &Desk, query: &Query, filter: &TicketFilter) -> Result<Vec<Tab>, Problem> {
    let mut tabs = Vec::new();
    for (value, label) in [
        ("open", "Open"),
        ("pending", "Pending"),
        ("closed", "Closed"),
        ("", "All"),
    ] {
        let wanted = TicketFilter {
            state: (!value.is_empty()).then(|| value.to_owned()),
            ..filter.clone()
        };
        let count = ticket::count(&desk.ctx, &wanted, MOST + 1).await?;
        tabs.push(Tab {
            label: label.to_owned(),
            count: if count > MOST {
                format!("{}+", words::number(i64::try_from(MOST).unwrap_or(0)))
            } else {
                words::number(i64::try_from(count).unwrap_or(0))
            },
            href: Query {
                state: value.to_owned(),
                ..query.clone()
            }
            .path(""),
            selected: filter.state.as_deref().unwrap_or_default() == value,
        });
    }
    Ok(tabs)
}

/// A ticket in a list that does not say who works on it.
pub(super) fn row(ticket: &Ticket, now: i64) -> TicketRow {
    TicketRow {
        id: ticket.id.clone(),
        key: ticket.key.clone(),
        subject: ticket.subject.clone(),
        requester: words::requester(ticket),
        state: words::ticket_badge(&ticket.state),
        priority: words::priority_badge(&ticket.priority),
        assignee: String::new(),
        labels: ticket::labels_of(ticket),
        entries: u64::try_from(ticket.entry_count).unwrap_or(0),
        updated: words::when(now, ticket.updated_at),
    }
}

/// A ticket in a list.
pub(super) fn row_with(ticket: &Ticket, names: &Names, now: i64) -> TicketRow {
    let assignee = match ticket.assignee_id.as_str() {
        "" => String::new(),
        id => names.of(id),
    };
    TicketRow {
        assignee,
        ..row(ticket, now)
    }
}

async fn bulk(desk: Desk, form: FormData) -> Answer {
    let back = safe_next(form.text("back"))
        .filter(|path| path.starts_with("/tickets"))
        .unwrap_or("/tickets")
        .to_owned();
    let mine = desk.access().projects_with(Scope::TicketsWrite);
    let mut ids = Vec::new();
    for id in form.all("ticket").take(200) {
        // What one may not change is not there.
        if let Ok(ticket) = ticket::present(&desk.ctx, &mine, id).await {
            ids.push(ticket.id);
        }
    }
    let Some(state) = TicketState::parse(form.text("state")) else {
        return desk
            .failed("Choose a state first. Nothing was changed.", &back)
            .await;
    };
    if ids.is_empty() {
        return desk
            .failed("Tick at least one ticket first. Nothing was changed.", &back)
            .await;
    }
    let change = TicketChange {
        state: Some(state),
        ..TicketChange::default()
    };
    let changed = ticket::change_all(&desk.ctx, desk.actor(), &ids, &change).await?;
    let changed = i64::try_from(changed).unwrap_or(0);
    let verb = if changed == 1 { "is" } else { "are" };
    let text = format!(
        "{} {verb} {} now.",
        words::count(changed, "ticket"),
        state.as_str()
    );
    desk.done(text, &back).await
}

async fn new(desk: Desk) -> Answer {
    let form = form(&desk, &FormData::default(), FormErrors::default()).await?;
    desk.show(&form)
}

async fn form(desk: &Desk, sent: &FormData, errors: FormErrors) -> Result<TicketForm, Problem> {
    let mine = desk.access().projects_with(Scope::TicketsWrite);
    let mut projects = project_choices(desk, sent.text("project"), &mine).await?;
    projects.remove(0);
    let chosen = match sent.text("priority") {
        "" => "normal",
        priority => priority,
    };
    Ok(TicketForm {
        page: desk.page("New ticket", Section::Tickets).await?,
        projects,
        priorities: Priority::ALL
            .iter()
            .map(|p| Choice::new(p.as_str(), words::capital(p.as_str()), p.as_str() == chosen))
            .collect(),
        subject: sent.text("subject").to_owned(),
        requester_name: sent.text("requester_name").to_owned(),
        requester_email: sent.text("requester_email").to_owned(),
        text: sent.raw("text").to_owned(),
        errors,
    })
}

async fn create(desk: Desk, sent: FormData) -> Answer {
    let project_id = sent.text("project").to_owned();
    let mut errors = FormErrors::default();
    if !desk.access().may(Scope::TicketsWrite, &project_id) {
        errors.add("project", "Choose one of your projects.");
        return desk.show_again(&form(&desk, &sent, errors).await?);
    }
    let wanted = NewTicket {
        project_id,
        subject: sent.text("subject").to_owned(),
        requester_name: sent.text("requester_name").to_owned(),
        requester_email: sent.text("requester_email").to_owned(),
        note: sent.raw("text").to_owned(),
        change: TicketChange {
            priority: Priority::parse(sent.text("priority")),
            ..TicketChange::default()
        },
        once: None,
    };
    match ticket::open(&desk.ctx, desk.actor(), &desk.current.user().name, &wanted).await {
        Ok(made) => {
            desk.done(
                format!("{} is open.", made.key),
                &format!("/tickets/{}", made.key),
            )
            .await
        }
        Err(TicketError::Invalid(mistakes)) => {
            for mistake in mistakes {
                errors.add(field(mistake.field), mistake.message);
            }
            desk.show_again(&form(&desk, &sent, errors).await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// The field of a form that a field of the API is.
fn field(name: &str) -> &str {
    match name {
        "projectId" => "project",
        "requesterName" => "requester_name",
        "requesterEmail" => "requester_email",
        name => name,
    }
}

//! The audit log, with filters.

use actix_web::web;
use serde::Deserialize;
use serde_json::Value;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::audit::{AuditLog, AuditRow, Detail};
use super::views::parts::{Choice, Pager};
use super::words::{self, Names};
use crate::access::{Projects, Role};
use crate::account;
use crate::audit::{self, AuditEvent, Filter};
use crate::project::{self, Project};
use crate::web::error::Problem;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[Route::get("/audit", Guard::Role(Role::SiteAdmin), || {
    web::to(page)
})];

/// Events on one page.
const PAGE: u64 = 50;

/// What actions are about, as they are chosen from.
const FAMILIES: [&str; 20] = [
    "audit",
    "client",
    "consent",
    "grant",
    "integration",
    "mailbox",
    "member",
    "outgoing_mail",
    "project",
    "queue",
    "request",
    "rule",
    "session",
    "settings",
    "signing_key",
    "ticket",
    "token",
    "trusted_issuer",
    "user",
    "webhook",
];

const WAYS: [(&str, &str); 5] = [
    ("ui", "Page"),
    ("api", "API"),
    ("rule", "Rule"),
    ("cli", "Command line"),
    ("system", "Mailgrant"),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Query {
    actor: String,
    action: String,
    target: String,
    project: String,
    via: String,
    since: String,
    until: String,
    after: String,
}

impl Query {
    fn path(&self, after: &str) -> String {
        let fields = [
            ("actor", self.actor.as_str()),
            ("action", &self.action),
            ("target", &self.target),
            ("project", &self.project),
            ("via", &self.via),
            ("since", &self.since),
            ("until", &self.until),
            ("after", after),
        ];
        super::tickets::path("/audit", &fields)
    }

    fn is_filtered(&self) -> bool {
        self.path("") != "/audit"
    }

    fn filter(&self, projects: Projects) -> Filter {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Filter {
            projects: match some(&self.project) {
                Some(project) => projects.only(&project),
                None => projects,
            },
            actor: some(&self.actor),
            action: some(&self.action),
            target_kind: None,
            target_id: some(&self.target),
            via: some(&self.via),
            since: start_of(&self.since),
            // The last day is meant whole.
            until: start_of(&self.until).map(|at| at + 86_400_000),
        }
    }
}

/// The beginning of a day in UTC, milliseconds since 1970; nothing for what is no day.
fn start_of(day: &str) -> Option<i64> {
    let day = day.trim().parse::<chrono::NaiveDate>().ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
}

async fn page(desk: Desk, query: web::Query<Query>) -> Answer {
    let filter = query.filter(desk.access().projects());
    let before = (!query.after.is_empty()).then_some(query.after.as_str());
    let mut found = audit::list(desk.ctx.db.read(), &filter, before, PAGE + 1).await?;
    let more = found.len() as u64 > PAGE;
    found.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let next = found.last().filter(|_| more).map(|last| query.path(&last.id));
    let names = Names::load(&desk.ctx).await?;
    let projects = project::list(&desk.ctx, &desk.access().projects()).await?;
    let now = desk.now();
    desk.show(&AuditLog {
        page: desk.page("Audit log", Section::Audit).await?,
        actors: actors(&desk, &query.actor).await?,
        actions: choices(
            "Anything",
            FAMILIES.map(|family| (format!("{family}.*"), family)),
            &query.action,
        ),
        projects: choices(
            "All projects",
            projects
                .iter()
                .map(|project| (project.id.clone(), project.name.as_str())),
            &query.project,
        ),
        ways: choices(
            "Any way",
            WAYS.map(|(word, label)| (word.to_owned(), label)),
            &query.via,
        ),
        target: query.target.clone(),
        since: query.since.clone(),
        until: query.until.clone(),
        filtered: query.is_filtered(),
        pager: Pager {
            first: before.is_some().then(|| query.path("")),
            next,
            text: match found.len() {
                0 => String::new(),
                n => format!("{n} shown, the newest first"),
            },
        },
        events: found
            .iter()
            .map(|event| row(event, &names, &projects, now))
            .collect(),
    })
}

/// People, the machine, Mailgrant, and whoever is asked for in the address.
async fn actors(desk: &Desk, asked: &str) -> Result<Vec<Choice>, Problem> {
    let people = account::list(&desk.ctx.db, &Projects::All).await?;
    let mut known: Vec<(String, String)> = people
        .into_iter()
        .map(|user| (user.id, format!("{} ({})", user.name, user.email)))
        .collect();
    known.push(("cli".to_owned(), "Command line".to_owned()));
    known.push(("system".to_owned(), "Mailgrant".to_owned()));
    if !asked.is_empty() && !known.iter().any(|(id, _)| id == asked) {
        known.push((asked.to_owned(), asked.to_owned()));
    }
    Ok(choices("Anybody", known, asked))
}

fn choices<L: Into<String>>(
    all: &str,
    known: impl IntoIterator<Item = (String, L)>,
    chosen: &str,
) -> Vec<Choice> {
    let mut choices = vec![Choice::new("", all, chosen.is_empty())];
    choices.extend(known.into_iter().map(|(value, label)| {
        let selected = value == chosen;
        Choice::new(value, label, selected)
    }));
    choices
}

fn row(event: &AuditEvent, names: &Names, projects: &[Project], now: i64) -> AuditRow {
    let way = WAYS.iter().find(|(word, _)| *word == event.via);
    let project = projects.iter().find(|project| project.id == event.project_id);
    let details = event.summary.as_object().into_iter().flatten();
    AuditRow {
        id: event.id.clone(),
        actor: names.known(&event.actor).unwrap_or_else(|| event.actor.clone()),
        via: way.map_or("", |(_, label)| label).to_owned(),
        address: event.address.clone(),
        action: event.action.clone(),
        target_kind: event.target_kind.replace('_', " "),
        target_id: event.target_id.clone(),
        project: project.map(|project| project.key.clone()).unwrap_or_default(),
        details: details
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| Detail {
                name: name.clone(),
                value: worded(value),
            })
            .collect(),
        when: words::when(now, event.created_at),
    }
}

/// A value of a summary for people.
fn worded(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(worded).collect::<Vec<_>>().join(", "),
        Value::Object(members) => match (members.get("from"), members.get("to")) {
            (Some(from), Some(to)) => format!("{} → {}", worded(from), worded(to)),
            _ => members
                .iter()
                .map(|(name, value)| format!("{name}: {}", worded(value)))
                .collect::<Vec<_>>()
                .join("; "),
        },
        Value::Null => "none".to_owned(),
        Value::Number(number) => number.to_string(),
    }
}

//! The event log: read back page by page, followed live while the first page is open, one event as apps get it, and
//! samples for trying out a consumer.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::events::{EventDetail, EventList, EventRow};
use super::views::integrations::Fact;
use super::views::parts::{Choice, FormErrors, Pager};
use super::words::{self, Names};
use super::{subscription, views::May};
use crate::access::{Role, Scope};
use crate::clock::{Clock, rfc3339};
use crate::delivery;
use crate::event::{self, Cursor, Event, Filter, Types, envelope, kinds};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::follow::{Follower, Place};
use crate::web::route::{Guard, Route};

const READER: Guard = Guard::Role(Role::Viewer);

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/events", READER, || web::to(list)),
    Route::post("/events", Guard::Role(Role::ProjectAdmin), || {
        web::to(make_sample)
    }),
    Route::get("/events/stream", READER, || web::to(stream)),
    Route::get("/events/{id}", READER, || web::to(detail)),
];

/// Events on one page.
const PAGE: u64 = 50;

#[derive(Clone, Default, Deserialize)]
struct Query {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    project: String,
    #[serde(default)]
    before: String,
    #[serde(default)]
    after: String,
}

impl Query {
    fn path(&self, page: &str, name: &str, cursor: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let fields = [
            ("type", self.r#type.as_str()),
            ("project", &self.project),
            (name, cursor),
        ];
        for (name, value) in fields {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        let query = query.finish();
        if query.is_empty() {
            page.to_owned()
        } else {
            format!("{page}?{query}")
        }
    }

    /// What it asks for; a type or project that there is not shows nothing wrong and finds nothing.
    fn filter(&self, desk: &Desk) -> Result<Filter, Problem> {
        let mut projects = desk.access().projects();
        if !self.project.is_empty() {
            projects = projects.only(&self.project);
        }
        let types = Types::parse([self.r#type.as_str()]).map_err(|_| Problem::not_found("event type"))?;
        Ok(Filter { types, projects })
    }

    fn is_filtered(&self) -> bool {
        !self.r#type.is_empty() || !self.project.is_empty()
    }
}

/// What is needed to word an event.
struct Words {
    keys: BTreeMap<String, String>,
    names: Names,
    may: May,
    clock: Clock,
}

impl Words {
    async fn load(desk: &Desk) -> Result<Self, Problem> {
        Ok(Self {
            keys: subscription::keys(desk).await?,
            names: Names::load(&desk.ctx).await?,
            may: super::desk::may(&desk.current.0.access),
            clock: desk.ctx.clock.clone(),
        })
    }

    fn row(&self, event: &Event) -> EventRow {
        let key = event.data.get("key").and_then(serde_json::Value::as_str);
        let is_ticket = event.subject_id.starts_with("tkt_");
        EventRow {
            id: event.id.clone(),
            kind: event.kind.clone(),
            about: kinds::find(&event.kind)
                .map(|kind| kind.about.to_owned())
                .unwrap_or_default(),
            subject: match key {
                Some(key) if is_ticket => key.to_owned(),
                _ => event.subject_id.clone(),
            },
            subject_href: self.href(event),
            project: match event.project_id.as_str() {
                "" => String::new(),
                id => self.keys.get(id).cloned().unwrap_or_else(|| id.to_owned()),
            },
            actor: self.names.of(&event.actor),
            at: words::when(self.clock.now_ms(), event.created_at),
            is_sample: event.data.get("sample") == Some(&json!(true)),
        }
    }

    /// The page of what an event is about, if there is one that whoever looks may open.
    fn href(&self, event: &Event) -> String {
        let id = &event.subject_id;
        let is_plain = id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let place = match id.split_once('_').map(|(prefix, _)| prefix) {
            _ if !is_plain => None,
            Some("msg") => Some("messages"),
            Some("mbx") => Some("mailboxes"),
            Some("grt") if self.may.manage => Some("grants"),
            Some("int") if self.may.manage => Some("integrations"),
            Some("whk") if self.may.manage => Some("webhooks"),
            _ => None,
        };
        if id.starts_with("tkt_") {
            let key = event.data.get("key").and_then(serde_json::Value::as_str);
            let is_key = |key: &&str| {
                key.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            return key
                .filter(is_key)
                .map(|key| format!("/tickets/{key}"))
                .unwrap_or_default();
        }
        place.map(|place| format!("/{place}/{id}")).unwrap_or_default()
    }
}

async fn list(desk: Desk, query: web::Query<Query>) -> Answer {
    show(&desk, &query, FormErrors::default(), ("", "")).await
}

async fn show(desk: &Desk, query: &Query, errors: FormErrors, sample: (&str, &str)) -> Answer {
    let filter = query.filter(desk)?;
    let is_newest = query.before.is_empty();
    let before = match Cursor::parse(&query.before) {
        None if !is_newest => return desk.go(&query.path("/events", "", "")),
        before => before,
    };
    let last = event::advance(&desk.ctx.db).await?;
    desk.ctx.log.reach(last);
    let read = event::read_before(desk.ctx.db.read(), before, &filter, PAGE).await?;
    let words = Words::load(desk).await?;
    let events: Vec<EventRow> = read.events.iter().map(|event| words.row(event)).collect();
    let view = EventList {
        page: desk.page("Events", Section::Events).await?,
        kinds: kind_choices(&query.r#type),
        projects: project_choices(desk, "All projects", &query.project).await?,
        filtered: query.is_filtered() || !is_newest,
        pager: Pager {
            first: (!is_newest).then(|| query.path("/events", "", "")),
            next: read
                .next
                .map(|cursor| query.path("/events", "before", &cursor.to_string())),
            text: match events.len() {
                0 => String::new(),
                n => format!("{n} shown, the newest first"),
            },
        },
        events,
        stream: if is_newest {
            query.path("/events/stream", "after", &Cursor(last).to_string())
        } else {
            String::new()
        },
        samples: if words.may.manage {
            samples(sample.0)
        } else {
            Vec::new()
        },
        sample_projects: sample_projects(desk, sample.1).await?,
        errors,
    };
    if view.errors.is_empty() {
        desk.show(&view)
    } else {
        desk.show_again(&view)
    }
}

/// Families and types, each family before its types.
fn kind_choices(chosen: &str) -> Vec<Choice> {
    let mut choices = vec![Choice::new("", "All events", chosen.is_empty())];
    for kind in kinds::KINDS {
        let family = format!("{}.*", kind.name.split('.').next().unwrap_or_default());
        if !choices.iter().any(|choice| choice.value == family) {
            choices.push(Choice::new(family.clone(), family.clone(), family == chosen));
        }
        choices.push(Choice::new(
            kind.name,
            format!("\u{2003}{}", kind.name),
            kind.name == chosen,
        ));
    }
    choices
}

async fn project_choices(desk: &Desk, all: &str, chosen: &str) -> Result<Vec<Choice>, Problem> {
    let keys = subscription::keys(desk).await?;
    let mut choices = vec![Choice::new("", all, chosen.is_empty())];
    choices.extend(
        keys.into_iter()
            .map(|(id, key)| Choice::new(id.clone(), key, id == chosen)),
    );
    Ok(choices)
}

fn samples(chosen: &str) -> Vec<Choice> {
    kinds::KINDS
        .iter()
        .map(|kind| Choice::new(kind.name, kind.name, kind.name == chosen))
        .collect()
}

/// Where a sample can belong to: projects that whoever looks manages, and the site for its admins.
async fn sample_projects(desk: &Desk, chosen: &str) -> Result<Vec<Choice>, Problem> {
    let access = &desk.current.0.access;
    let mut choices = project_choices(desk, "None: the whole site", chosen).await?;
    choices.retain(|choice| {
        if choice.value.is_empty() {
            access.is_site_admin()
        } else {
            access.may(Scope::WebhooksManage, &choice.value)
        }
    });
    Ok(choices)
}

async fn make_sample(desk: Desk, data: FormData) -> Answer {
    let (kind, project) = (data.text("kind"), data.text("project_id"));
    let mut errors = FormErrors::default();
    let may = if project.is_empty() {
        desk.access().is_site_admin()
    } else {
        desk.access().projects().contains(project)
    };
    if !may {
        errors.add("project_id", "Choose a project of the list.");
    }
    if errors.is_empty() {
        match delivery::trigger(&desk.ctx, desk.actor(), kind, project).await {
            Ok(made) => {
                let said = format!("A sample of {kind} stands in the log.");
                return desk.done(said, &format!("/events/{made}")).await;
            }
            Err(delivery::DeliveryError::Invalid(_)) => errors.add("kind", "Choose an event of the list."),
            Err(error) => return Err(error.into()),
        }
    }
    show(&desk, &Query::default(), errors, (kind, project)).await
}

async fn detail(desk: Desk, id: web::Path<String>) -> Answer {
    event::advance(&desk.ctx.db).await?;
    let found = event::find_in(desk.ctx.db.read(), &desk.access().projects(), &id)
        .await?
        .ok_or_else(|| Problem::not_found("event"))?;
    let words = Words::load(&desk).await?;
    let row = words.row(&found);
    let project = if row.project.is_empty() {
        "The site"
    } else {
        row.project.as_str()
    };
    desk.show(&EventDetail {
        page: desk.page(found.kind.clone(), Section::Events).await?,
        about: row.about,
        facts: vec![
            Fact::exact("Id", &found.id),
            Fact::exact("About", &row.subject),
            Fact::new("Project", project),
            Fact::new("By", row.actor),
            Fact::exact("When", rfc3339(found.created_at)),
            Fact::exact("Cursor", Cursor(found.sequence).to_string()),
        ],
        subject_href: row.subject_href,
        json: serde_json::to_string_pretty(&envelope(&found)).unwrap_or_default(),
    })
}

/// What comes behind the page that is open, row by row.
async fn stream(desk: Desk, request: HttpRequest, query: web::Query<Query>) -> Result<HttpResponse, Problem> {
    let filter = query.filter(&desk)?;
    let words = Words::load(&desk).await?;
    let place = Place::asked(&request, Some(query.after.clone()))?;
    let follower = Follower::start(&desk.ctx, request, filter, place).await?;
    Ok(follower.answer(move |event| {
        let row = json!(words.row(event));
        format!("id: {}\nevent: row\ndata: {row}\n\n", Cursor(event.sequence))
    }))
}

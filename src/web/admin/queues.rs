//! Queues: list, form, one with what is out, *Set to another place*, *Delete*.

use std::collections::BTreeMap;

use actix_web::web;
use serde::Deserialize;

use super::desk::{Answer, Desk};
use super::subscription::{self, Subscription};
use super::views::Section;
use super::views::integrations::Fact;
use super::views::parts::{Badge, Choice, Confirm, FormErrors, Tone};
use super::views::queues::{ItemRow, QueueDetail, QueueForm, QueueList, QueueRow};
use super::words;
use crate::access::Role;
use crate::delivery::DeliveryError;
use crate::delivery::queue::{self, Queue, QueueInput, Seek};
use crate::event::{self, Cursor};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

const READER: Guard = Guard::Role(Role::Viewer);
const MANAGER: Guard = Guard::Role(Role::ProjectAdmin);

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/queues", READER, || web::to(list)),
    Route::post("/queues", MANAGER, || web::to(create)),
    Route::get("/queues/new", MANAGER, || web::to(new)),
    Route::get("/queues/{id}", READER, || web::to(detail)),
    Route::post("/queues/{id}", MANAGER, || web::to(update)),
    Route::get("/queues/{id}/edit", MANAGER, || web::to(edit)),
    Route::get("/queues/{id}/seek", MANAGER, || web::to(ask_seek)),
    Route::post("/queues/{id}/seek", MANAGER, || web::to(seek)),
    Route::get("/queues/{id}/delete", MANAGER, || web::to(ask_delete)),
    Route::post("/queues/{id}/delete", MANAGER, || web::to(delete)),
];

/// Items on the page of a queue.
const ITEMS: i64 = 50;

async fn find(desk: &Desk, id: &str) -> Result<Queue, Problem> {
    Ok(queue::get(&desk.ctx, &desk.access().projects(), id).await?)
}

/// How a queue stands.
struct Standing {
    waiting: i64,
    lent: i64,
    /// Places of the log that were not looked at for it.
    behind: i64,
    /// Its place is older than the retention.
    is_lost: bool,
}

impl Standing {
    async fn of(desk: &Desk, queue: &Queue, floor: Cursor, last: Cursor) -> Result<Self, Problem> {
        let (items, lent) = queue::load(&desk.ctx, queue).await?;
        Ok(Self {
            waiting: items - lent,
            lent,
            behind: (last.0 - queue.position.max(floor.0)).max(0),
            is_lost: queue.position < floor.0,
        })
    }

    fn badge(&self, queue: &Queue) -> Badge {
        if self.is_lost {
            Badge::new(Tone::Bad, "Too far behind")
        } else if queue.last_leased_at.is_none() {
            Badge::new(Tone::Muted, "Never asked")
        } else if self.waiting > 0 || self.behind > 0 {
            Badge::new(Tone::Warn, "Behind")
        } else {
            Badge::new(Tone::Ok, "Up to date")
        }
    }

    fn words(&self) -> String {
        let mut parts = Vec::new();
        if self.waiting > 0 {
            parts.push(format!("{} wait", words::number(self.waiting)));
        }
        if self.lent > 0 {
            parts.push(format!("{} out", words::number(self.lent)));
        }
        if self.behind > 0 {
            parts.push(format!(
                "{} of the log not looked at",
                words::count(self.behind, "event")
            ));
        }
        if parts.is_empty() {
            "Nothing waits".to_owned()
        } else {
            parts.join(", ")
        }
    }
}

async fn list(desk: Desk) -> Answer {
    let now = desk.now();
    let keys = subscription::keys(&desk).await?;
    event::advance(&desk.ctx.db).await?;
    let (floor, last) = event::extent(&desk.ctx.db).await?;
    let mut queues = Vec::new();
    for queue in queue::list(&desk.ctx, &desk.access().projects()).await? {
        let standing = Standing::of(&desk, &queue, floor, last).await?;
        queues.push(QueueRow {
            state: standing.badge(&queue),
            wants: subscription::wants(&queue.type_patterns()),
            projects: subscription::reach(&queue.scope(), &keys),
            lag: standing.words(),
            last_leased: queue.last_leased_at.map(|at| words::when(now, at)),
            id: queue.id,
            name: queue.name,
            description: queue.description,
        });
    }
    desk.show(&QueueList {
        page: desk.page("Queues", Section::Queues).await?,
        queues,
    })
}

async fn detail(desk: Desk, id: web::Path<String>) -> Answer {
    let now = desk.now();
    let queue = find(&desk, &id).await?;
    let keys: BTreeMap<String, String> = subscription::keys(&desk).await?;
    event::advance(&desk.ctx.db).await?;
    let (floor, last) = event::extent(&desk.ctx.db).await?;
    let standing = Standing::of(&desk, &queue, floor, last).await?;
    let items = queue::items(&desk.ctx, &queue, ITEMS).await?;
    let all = standing.waiting + standing.lent;
    let may_change = queue
        .scope()
        .is_within(&desk.current.0.access.projects_as(Role::ProjectAdmin));
    let item = |item: &queue::Item| {
        let is_out = !item.lease.is_empty() && item.lease_until > now;
        ItemRow {
            event_id: item.event_id.clone(),
            order_key: item.order_key.clone(),
            state: if is_out {
                Badge::new(Tone::Busy, "Out")
            } else {
                Badge::new(Tone::Muted, "Waits")
            },
            times: item.attempts,
            until: is_out.then(|| words::when(now, item.lease_until)),
        }
    };
    desk.show(&QueueDetail {
        page: desk.page(queue.name.clone(), Section::Queues).await?,
        state: standing.badge(&queue),
        may_change,
        facts: vec![
            Fact::new("Stands", standing.words()),
            Fact::exact("Place in the log", Cursor(queue.position).to_string()),
            Fact::new("Events", subscription::wants(&queue.type_patterns())),
            Fact::new("Projects", subscription::reach(&queue.scope(), &keys)),
            Fact::new(
                "Last asked",
                queue
                    .last_leased_at
                    .map_or_else(|| "Never".to_owned(), |at| words::when(now, at).text),
            ),
            Fact::exact("Id", &queue.id),
        ],
        more: if all > ITEMS {
            format!("the first {ITEMS} of {}", words::number(all))
        } else {
            String::new()
        },
        items: items.iter().map(item).collect(),
        places: PLACES
            .into_iter()
            .map(|(to, label, _)| Choice::new(to, label, to == "latest"))
            .collect(),
        description: queue.description,
        id: queue.id,
    })
}

/// Places to go to, and what that means.
const PLACES: [(&str, &str, &str); 2] = [
    (
        "latest",
        "the end of the log",
        "What happened until now is left out; it goes on with what happens next.",
    ),
    (
        "oldest",
        "the beginning of the log",
        "Everything that the log still holds is lent again, also what was acknowledged.",
    ),
];

/// What the form holds.
struct Form {
    name: String,
    description: String,
    revision: String,
    subscription: Subscription,
}

impl Form {
    fn of(data: &FormData) -> Self {
        let text = |name: &str| data.text(name).to_owned();
        Self {
            name: text("name"),
            description: text("description"),
            revision: text("revision"),
            subscription: Subscription::of(data),
        }
    }

    fn input(&self, desk: &Desk, errors: &mut FormErrors) -> QueueInput {
        QueueInput {
            name: Some(self.name.clone()),
            description: Some(self.description.clone()),
            types: Some(self.subscription.types.clone()),
            projects: Some(self.subscription.wanted(desk, errors)),
        }
    }

    async fn view(
        self,
        desk: &Desk,
        stored: Option<&Queue>,
        errors: FormErrors,
    ) -> Result<QueueForm, Problem> {
        let title = stored.map_or_else(|| "New queue".to_owned(), |queue| format!("Edit {}", queue.name));
        Ok(QueueForm {
            page: desk.page(title, Section::Queues).await?,
            id: stored.map(|queue| queue.id.clone()),
            action: stored.map_or_else(|| "/queues".to_owned(), |queue| format!("/queues/{}", queue.id)),
            reaches: self.subscription.reaches(desk),
            projects: self.subscription.projects(desk).await?,
            families: self.subscription.families(),
            name: self.name,
            description: self.description,
            revision: self.revision,
            errors,
        })
    }
}

async fn new(desk: Desk) -> Answer {
    let form = Form {
        name: String::new(),
        description: String::new(),
        revision: String::new(),
        subscription: Subscription::new(&desk),
    };
    desk.show(&form.view(&desk, None, FormErrors::default()).await?)
}

async fn create(desk: Desk, data: FormData) -> Answer {
    let form = Form::of(&data);
    let mut errors = FormErrors::default();
    let input = form.input(&desk, &mut errors);
    if errors.is_empty() {
        match queue::create(&desk.ctx, desk.actor(), input).await {
            Ok(made) => {
                let said = format!(
                    "The queue is saved. Its app fetches events with POST /api/v1/queues/{}/lease.",
                    made.name
                );
                return desk.done(said, &format!("/queues/{}", made.id)).await;
            }
            Err(error) => subscription::refused(error, &mut errors)?,
        }
    }
    desk.show_again(&form.view(&desk, None, errors).await?)
}

async fn edit(desk: Desk, id: web::Path<String>) -> Answer {
    let stored = find(&desk, &id).await?;
    let form = Form {
        name: stored.name.clone(),
        description: stored.description.clone(),
        revision: stored.revision.to_string(),
        subscription: Subscription::stored(stored.type_patterns(), &stored.scope()),
    };
    desk.show(&form.view(&desk, Some(&stored), FormErrors::default()).await?)
}

async fn update(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let stored = find(&desk, &id).await?;
    let form = Form::of(&data);
    let mut errors = FormErrors::default();
    let input = form.input(&desk, &mut errors);
    if form.revision != stored.revision.to_string() {
        subscription::refused(DeliveryError::Conflict, &mut errors)?;
    }
    if errors.is_empty() {
        match queue::update(&desk.ctx, &stored, input).await {
            Ok(_) => {
                return desk
                    .done("The queue is saved.", &format!("/queues/{}", stored.id))
                    .await;
            }
            Err(error) => subscription::refused(error, &mut errors)?,
        }
    }
    desk.show_again(&form.view(&desk, Some(&stored), errors).await?)
}

#[derive(Deserialize)]
struct To {
    #[serde(default)]
    to: String,
}

async fn ask_seek(desk: Desk, id: web::Path<String>, query: web::Query<To>) -> Answer {
    let queue = find(&desk, &id).await?;
    let Some((to, label, meaning)) = PLACES.into_iter().find(|(to, ..)| *to == query.to) else {
        return desk.go(&format!("/queues/{}", queue.id));
    };
    desk.show(&Confirm {
        page: desk
            .page(format!("Set {} to {label}?", queue.name), Section::Queues)
            .await?,
        consequences: vec![
            meaning.to_owned(),
            "What waits or is out is forgotten; acknowledgements of it find nothing.".to_owned(),
        ],
        kept: vec!["The event log and other queues stay as they are.".to_owned()],
        blocked: None,
        action: format!("/queues/{}/seek", queue.id),
        fields: vec![Choice::new("to", to, true)],
        button: "Set it there".to_owned(),
        cancel: format!("/queues/{}", queue.id),
    })
}

async fn seek(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let queue = find(&desk, &id).await?;
    let path = format!("/queues/{}", queue.id);
    let (to, said) = match data.text("to") {
        "oldest" => (Seek::Oldest, "It begins again at the beginning of the log."),
        "latest" => (Seek::Latest, "It goes on at the end of the log."),
        _ => return desk.failed("Choose a place of the list.", &path).await,
    };
    queue::seek(&desk.ctx, &queue, to, None).await?;
    desk.done(said, &path).await
}

async fn ask_delete(desk: Desk, id: web::Path<String>) -> Answer {
    let queue = find(&desk, &id).await?;
    desk.show(&Confirm {
        page: desk
            .page(format!("Delete the queue {}?", queue.name), Section::Queues)
            .await?,
        consequences: vec![
            "Its place in the log is forgotten, with what waits or is out.".to_owned(),
            "Its app gets 404 from now on.".to_owned(),
        ],
        kept: vec!["The event log stays.".to_owned()],
        blocked: None,
        action: format!("/queues/{}/delete", queue.id),
        fields: vec![],
        button: "Delete".to_owned(),
        cancel: format!("/queues/{}", queue.id),
    })
}

async fn delete(desk: Desk, id: web::Path<String>) -> Answer {
    let queue = find(&desk, &id).await?;
    queue::delete(&desk.ctx, &queue).await?;
    desk.done("The queue is deleted.", "/queues").await
}

//! Projects: list, form, detail.

use actix_web::web;

use super::attention::Overview;
use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::parts::{Action, FormErrors};
use super::views::projects::{ProjectDetail, ProjectForm, ProjectList, ProjectRow};
use super::{tickets, words};
use crate::access::Role;
use crate::project::{self, NewProject, Project, ProjectChange, ProjectError};
use crate::ticket::{self, StateCount, TicketFilter};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/projects", Guard::Role(Role::Viewer), || web::to(list)),
    Route::post("/projects", Guard::Role(Role::SiteAdmin), || web::to(create)),
    Route::get("/projects/new", Guard::Role(Role::SiteAdmin), || web::to(new)),
    Route::get("/projects/{id}", Guard::Role(Role::Viewer), || web::to(detail)),
    Route::post("/projects/{id}", Guard::Role(Role::ProjectAdmin), || {
        web::to(update)
    }),
    Route::get("/projects/{id}/edit", Guard::Role(Role::ProjectAdmin), || {
        web::to(edit)
    }),
];

async fn list(desk: Desk) -> Answer {
    let now = desk.now();
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let counts = ticket::count_by_state(desk.ctx.db.read(), &desk.access().projects()).await?;
    let rows = project::list(&desk.ctx, &desk.access().projects())
        .await?
        .into_iter()
        .map(|project| {
            let mine = || counts.iter().filter(|count| count.project_id == project.id);
            ProjectRow {
                mailboxes: overview
                    .mailboxes
                    .iter()
                    .filter(|mailbox| mailbox.project_id == project.id)
                    .count() as u64,
                open: sum(mine().filter(|count| count.state == "open")),
                tickets: sum(mine()),
                updated: mine()
                    .map(|count| count.updated_at)
                    .max()
                    .map(|at| words::when(now, at)),
                id: project.id.clone(),
                key: project.key.clone(),
                name: project.name.clone(),
            }
        });
    let projects = rows.collect();
    desk.show(&ProjectList {
        page: desk.page_with("Projects", Section::Projects, &overview).await?,
        projects,
    })
}

fn sum<'a>(counts: impl Iterator<Item = &'a StateCount>) -> u64 {
    u64::try_from(counts.map(|count| count.tickets).sum::<i64>()).unwrap_or(0)
}

async fn new(desk: Desk) -> Answer {
    let form = Form::default();
    desk.show(&form.view(&desk, None, FormErrors::default()).await?)
}

/// What the form holds.
#[derive(Default)]
struct Form {
    key: String,
    name: String,
    description: String,
    revision: String,
}

impl Form {
    fn of(data: &FormData) -> Self {
        let text = |name: &str| data.text(name).to_owned();
        Self {
            key: text("key"),
            name: text("name"),
            description: text("description"),
            revision: text("revision"),
        }
    }

    async fn view(
        self,
        desk: &Desk,
        stored: Option<&Project>,
        errors: FormErrors,
    ) -> Result<ProjectForm, Problem> {
        let path = stored.map_or_else(
            || "/projects".to_owned(),
            |found| format!("/projects/{}", found.id),
        );
        let title = stored.map_or_else(
            || "New project".to_owned(),
            |found| format!("Edit {}", found.name),
        );
        Ok(ProjectForm {
            page: desk.page(title, Section::Projects).await?,
            id: stored.map(|found| found.id.clone()),
            action: path.clone(),
            back: path,
            key: stored.map_or(self.key, |found| found.key.clone()),
            name: self.name,
            description: self.description,
            revision: self.revision,
            errors,
        })
    }
}

async fn create(desk: Desk, data: FormData) -> Answer {
    let form = Form::of(&data);
    let new = NewProject {
        key: form.key.clone(),
        name: form.name.clone(),
        description: form.description.clone(),
    };
    match project::create(&desk.ctx, new).await {
        Ok(made) => {
            let text = format!("The project {} is saved.", made.key);
            desk.done(text, &format!("/projects/{}", made.id)).await
        }
        Err(error) => refused(&desk, None, form, error).await,
    }
}

async fn refused(desk: &Desk, stored: Option<&Project>, form: Form, error: ProjectError) -> Answer {
    let mut errors = FormErrors::default();
    match error {
        ProjectError::Invalid(found) => found
            .into_iter()
            .for_each(|error| errors.add(error.field, error.message)),
        ProjectError::Conflict => errors.add(
            "",
            "The project was changed meanwhile. Open the form again and repeat the change.",
        ),
        error => return Err(error.into()),
    }
    desk.show_again(&form.view(desk, stored, errors).await?)
}

async fn edit(desk: Desk, id: web::Path<String>) -> Answer {
    let stored = project::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let form = Form {
        key: stored.key.clone(),
        name: stored.name.clone(),
        description: stored.description.clone(),
        revision: stored.revision.to_string(),
    };
    desk.show(&form.view(&desk, Some(&stored), FormErrors::default()).await?)
}

async fn update(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let stored = project::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let form = Form::of(&data);
    let change = ProjectChange {
        name: form.name.clone(),
        description: form.description.clone(),
    };
    let revision = form.revision.parse().unwrap_or(0);
    match project::update(&desk.ctx, &desk.access().projects(), &id, revision, change).await {
        Ok(_) => {
            desk.done("The project is saved.", &format!("/projects/{id}"))
                .await
        }
        Err(error) => refused(&desk, Some(&stored), form, error).await,
    }
}

async fn detail(desk: Desk, id: web::Path<String>) -> Answer {
    let now = desk.now();
    let found = project::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let counts = ticket::count_by_state(desk.ctx.db.read(), &desk.access().projects()).await?;
    let counted = |state: &str| {
        sum(counts
            .iter()
            .filter(|count| count.project_id == found.id && count.state == state))
    };
    let filter = TicketFilter {
        projects: desk.access().projects(),
        project_id: Some(found.id.clone()),
        ..TicketFilter::default()
    };
    let newest = ticket::list(&desk.ctx, &filter, 10).await?;
    let mailboxes = overview
        .mailboxes
        .iter()
        .filter(|mailbox| mailbox.project_id == found.id)
        .map(|mailbox| Action::link(&mailbox.name, format!("/mailboxes/{}", mailbox.id)));
    let mailboxes = mailboxes.collect();
    desk.show(&ProjectDetail {
        page: desk.here(
            desk.page_with(found.name.clone(), Section::Projects, &overview)
                .await?,
            &found.id,
        ),
        id: found.id.clone(),
        key: found.key.clone(),
        description: found.description.clone(),
        open: counted("open"),
        pending: counted("pending"),
        closed: counted("closed"),
        mailboxes,
        tickets: newest
            .items
            .iter()
            .map(|ticket| tickets::row(ticket, now))
            .collect(),
    })
}

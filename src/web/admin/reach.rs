//! Which projects may use an integration.

use std::collections::BTreeSet;

use actix_web::web;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::integrations::IntegrationReach;
use super::views::parts::Choice;
use crate::access::Role;
use crate::integration::{self, Reach, Users};
use crate::project;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get(
        "/integrations/{id}/projects",
        Guard::Role(Role::SiteAdmin),
        || web::to(form),
    ),
    Route::post(
        "/integrations/{id}/projects",
        Guard::Role(Role::SiteAdmin),
        || web::to(save),
    ),
];

async fn form(desk: Desk, id: web::Path<String>) -> Answer {
    let mine = desk.access().projects();
    let found = integration::get(&desk.ctx, &mine, &id).await?;
    let Users { listed, is_open } = integration::users_of(&desk.ctx, &mine, &id).await?;
    let projects = project::list(&desk.ctx, &mine).await?;
    desk.show(&IntegrationReach {
        page: desk
            .page(
                format!("Projects that may use {}", found.name),
                Section::Integrations,
            )
            .await?,
        id: found.id,
        name: found.name,
        reach: vec![
            Choice::new("some", "Only those that are ticked", !is_open),
            Choice::new("all", "All projects, later ones too", is_open),
        ],
        projects: projects
            .into_iter()
            .map(|project| {
                let is_listed = !is_open && listed.contains(&project.id);
                Choice::new(project.id, project.key, is_listed).with_hint(project.name)
            })
            .collect(),
    })
}

async fn save(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let known = project::list(&desk.ctx, &desk.access().projects()).await?;
    let reach = if data.text("reach") == "all" {
        Reach::All
    } else {
        let ticked: BTreeSet<&str> = data.all("project").collect();
        let listed = known.into_iter().map(|project| project.id);
        Reach::Listed(listed.filter(|id| ticked.contains(id.as_str())).collect())
    };
    integration::set_projects(&desk.ctx, desk.actor(), &id, &reach, None).await?;
    desk.done("The projects are saved.", &format!("/integrations/{id}"))
        .await
}

//! Connected apps: what a person allowed applications, and its end.

use actix_web::web;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::oauth2::{ConnectedApp, ConnectedApps};
use super::words;
use crate::access::Projects;
use crate::oauth2_server;
use crate::project;
use crate::web::error::Problem;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/settings/apps", Guard::Person, || web::to(list)),
    Route::post("/settings/apps/{id}/revoke", Guard::Person, || web::to(revoke)),
];

async fn list(desk: Desk) -> Answer {
    let now = desk.now();
    let mut apps = Vec::new();
    for app in oauth2_server::connected_apps(&desk.ctx, desk.actor()).await? {
        let (client, consent) = (app.client, app.allowed);
        let mut projects = Vec::new();
        for id in &consent.projects {
            if let Ok(project) = project::get(&desk.ctx, &Projects::All, id).await {
                projects.push(project.key);
            }
        }
        apps.push(ConnectedApp {
            id: client.id,
            name: client.fields.name,
            home: client.fields.client_uri,
            allowed: consent
                .scopes
                .iter()
                .filter_map(|value| oauth2_server::known_scope(value))
                .map(|scope| scope.sentence.to_owned())
                .collect(),
            projects,
            was_asked: app.was_asked,
            since: words::when(now, consent.granted_at),
            used: words::when(now, consent.last_used_at),
            until: consent.expires_at.map(|end| words::when(now, end)),
        });
    }
    desk.show(&ConnectedApps {
        page: desk.page("Connected apps", Section::Profile).await?,
        apps,
    })
}

async fn revoke(desk: Desk, id: web::Path<String>) -> Answer {
    if !oauth2_server::disconnect(&desk.ctx, desk.actor(), &id).await? {
        return Err(Problem::not_found("connected app"));
    }
    desk.done("The app has no access any more.", "/settings/apps")
        .await
}

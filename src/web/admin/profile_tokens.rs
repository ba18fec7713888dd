//! One's own access tokens: made, shown once, revoked.

use std::collections::BTreeSet;

use actix_web::web;
use secrecy::ExposeSecret;

use super::desk::{Answer, Desk};
use super::once::once;
use super::views::Section;
use super::views::parts::{Choice, FormErrors};
use super::views::people::{ShownOnce, TokenForm};
use super::words;
use crate::access::{Role, Scope, Scopes};
use crate::account::{self, AccountError, DEFAULT_TOKEN_DAYS, NewToken};
use crate::project;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/profile/tokens/new", Guard::Person, || web::to(form)),
    Route::post("/profile/tokens", Guard::Person, || web::to(create)),
    Route::post("/profile/tokens/{id}/revoke", Guard::Person, || web::to(revoke)),
];

const ENDS: [(&str, &str); 4] = [
    ("30", "In 30 days"),
    ("90", "In 90 days"),
    ("365", "In a year"),
    ("never", "Never"),
];

/// Whether a scope can be of use to somebody: what no role of theirs allows is not offered.
fn is_of_use(desk: &Desk, scope: Scope) -> bool {
    scope == Scope::Admin || !desk.current.0.access.projects_with(scope).is_none()
}

async fn form(desk: Desk) -> Answer {
    if let Some(away) = desk.sign_in_again("/profile/tokens/new") {
        return away;
    }
    let view = view(&desk, &FormData::default(), FormErrors::default()).await?;
    desk.show(&view)
}

async fn view(desk: &Desk, data: &FormData, errors: FormErrors) -> Result<TokenForm, Problem> {
    let scopes: BTreeSet<&str> = data.all("scope").collect();
    let chosen: BTreeSet<&str> = data.all("project").collect();
    let usual = DEFAULT_TOKEN_DAYS.to_string();
    let end = match data.text("expires") {
        "" => usual.as_str(),
        end => end,
    };
    let projects = project::list(&desk.ctx, &desk.current.0.access.projects_as(Role::Viewer)).await?;
    Ok(TokenForm {
        page: desk.page("New access token", Section::Profile).await?,
        name: data.text("name").to_owned(),
        scopes: Scope::ALL
            .iter()
            .filter(|scope| is_of_use(desk, **scope))
            .map(|scope| {
                let word = scope.as_str();
                Choice::new(word, word, scopes.contains(word)).with_hint(scope.about())
            })
            .collect(),
        projects: projects
            .into_iter()
            .map(|project| {
                let is_chosen = chosen.contains(project.id.as_str());
                Choice::new(project.id, project.key, is_chosen).with_hint(project.name)
            })
            .collect(),
        reach: [
            ("all", "All that I can work in, later ones too"),
            ("some", "Only those that are ticked"),
        ]
        .iter()
        .map(|(value, label)| {
            let is_some = data.text("reach") == "some";
            Choice::new(*value, *label, (*value == "some") == is_some)
        })
        .collect(),
        ends: ENDS
            .iter()
            .map(|(value, label)| Choice::new(*value, *label, *value == end))
            .collect(),
        errors,
    })
}

async fn create(desk: Desk, data: FormData) -> Answer {
    if let Some(away) = desk.sign_in_again("/profile/tokens/new") {
        return away;
    }
    once(&desk, &data, "/profile", make(&desk, &data)).await
}

async fn make(desk: &Desk, data: &FormData) -> Answer {
    let words: Vec<&str> = data.all("scope").collect();
    let scopes = Scopes::parse(&words.join(" ")).unwrap_or_default();
    let projects = match read_projects(desk, data).await? {
        Ok(projects) => projects,
        Err(text) => {
            let errors = FormErrors::default().with("project", &text);
            return desk.show_again(&view(desk, data, errors).await?);
        }
    };
    let new = NewToken {
        name: data.text("name"),
        scopes,
        projects,
        expires_at: match data.text("expires") {
            "never" => None,
            days => Some(
                desk.now() + days.parse::<i64>().unwrap_or(DEFAULT_TOKEN_DAYS).clamp(1, 3_650) * 86_400_000,
            ),
        },
    };
    let made = account::issue_token(&desk.ctx.db, &desk.ctx.clock, &new, desk.actor(), desk.actor()).await;
    match made {
        Ok((info, token)) => desk.show(&ShownOnce {
            page: desk.page("Your new access token", Section::Profile).await?,
            lead: format!(
                "“{}” can do this, as far as your roles allow it at that moment: {}.",
                info.name, info.scopes
            ),
            label: "Token".to_owned(),
            value: token.expose_secret().to_owned(),
            hint: format!(
                "It is shown only now. Send it as “Authorization: Bearer …”. It ends {}.",
                info.expires_at
                    .map_or_else(|| "never".to_owned(), |at| format!("on {}", words::day(at)))
            ),
            next: "/profile".to_owned(),
            button: "I have kept it".to_owned(),
        }),
        Err(error) => {
            let field = match error {
                AccountError::NoScope => "scope",
                AccountError::BadName => "name",
                error => return Err(error.into()),
            };
            let errors = FormErrors::default().with(field, &words::sentence(&error.to_string()));
            desk.show_again(&view(desk, data, errors).await?)
        }
    }
}

/// The projects that were ticked, if all of them are theirs; `None` for no narrowing.
async fn read_projects(
    desk: &Desk,
    data: &FormData,
) -> Result<Result<Option<BTreeSet<String>>, String>, Problem> {
    let named: BTreeSet<String> = data
        .all("project")
        .map(str::to_owned)
        .filter(|id| !id.is_empty())
        .collect();
    if data.text("reach") != "some" {
        return Ok(Ok(None));
    }
    if named.is_empty() {
        return Ok(Err(
            "Tick at least one project, or let the token reach all of yours.".to_owned(),
        ));
    }
    let mine = desk.current.0.access.projects_as(Role::Viewer);
    let known = project::list(&desk.ctx, &mine).await?;
    if named
        .iter()
        .all(|id| known.iter().any(|project| project.id == *id))
    {
        Ok(Ok(Some(named)))
    } else {
        Ok(Err("Choose projects of the list.".to_owned()))
    }
}

async fn revoke(desk: Desk, id: web::Path<String>) -> Answer {
    account::revoke_token(
        &desk.ctx.db,
        &desk.ctx.clock,
        &id,
        Some(desk.actor()),
        desk.actor(),
    )
    .await?;
    desk.done("The token opens nothing any more.", "/profile").await
}

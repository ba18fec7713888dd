//! Initial access tokens: what lets applications register themselves.

use actix_web::web;
use secrecy::ExposeSecret;

use super::form::{may_register_for, projects as projects_of, scopes as scopes_of};
use crate::access::{Projects, Role};
use crate::oauth2_server::{self, ClientError, InitialToken, NewInitialToken};
use crate::project;
use crate::web::admin::desk::{Answer, Desk};
use crate::web::admin::once::once;
use crate::web::admin::views::Section;
use crate::web::admin::views::clients::{InitialTokenRow, InitialTokens};
use crate::web::admin::views::parts::{Badge, FormErrors, Tone};
use crate::web::admin::words;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

const ADMIN: Guard = Guard::Role(Role::ProjectAdmin);

/// The routes of this file.
pub(in crate::web::admin) const ROUTES: &[Route] = &[
    Route::get("/clients/registration", ADMIN, || web::to(list)),
    Route::post("/clients/registration", ADMIN, || web::to(create)),
    Route::post("/clients/registration/{id}/revoke", ADMIN, || web::to(revoke)),
];

async fn list(desk: Desk) -> Answer {
    let view = view(&desk, &FormData::default(), None, FormErrors::default()).await?;
    desk.show(&view)
}

async fn view(
    desk: &Desk,
    form: &FormData,
    made: Option<String>,
    errors: FormErrors,
) -> Result<InitialTokens, Problem> {
    let now = desk.now();
    let mut rows = Vec::new();
    for token in oauth2_server::initial_tokens(&desk.ctx, &desk.access().projects())
        .await
        .map_err(refused)?
    {
        rows.push(row(desk, token, now).await);
    }
    Ok(InitialTokens {
        page: desk
            .page("Registration by applications", Section::Clients)
            .await?,
        endpoint: desk.ctx.config.url("/oauth2/register"),
        is_open: desk.ctx.config.open_registration,
        tokens: rows,
        made,
        name: form.text("name").to_owned(),
        uses: match form.has("uses") {
            true => form.text("uses").to_owned(),
            false => "1".to_owned(),
        },
        days: match form.has("days") {
            true => form.text("days").to_owned(),
            false => "7".to_owned(),
        },
        approves: form.is_checked("approves"),
        projects: projects_of(desk, form.text("project_id")).await?,
        scopes: scopes_of(
            desk,
            &form.all("scope").map(str::to_owned).collect::<Vec<_>>(),
            &[],
        ),
        errors,
    })
}

async fn row(desk: &Desk, token: InitialToken, now: i64) -> InitialTokenRow {
    let state = match (token.revoked_at, token.expires_at, token.uses_left) {
        (Some(_), ..) => Badge::new(Tone::Muted, "Revoked"),
        (None, Some(end), _) if end <= now => Badge::new(Tone::Muted, "Over"),
        (None, _, Some(0)) => Badge::new(Tone::Muted, "Used up"),
        _ => Badge::new(Tone::Ok, "Good"),
    };
    InitialTokenRow {
        is_live: token.is_live(now),
        state,
        owner: match token.project_id.as_str() {
            "" => "The site".to_owned(),
            id => match project::get(&desk.ctx, &Projects::All, id).await {
                Ok(project) => project.key,
                Err(_) => "A project that is gone".to_owned(),
            },
        },
        uses: match token.uses_left {
            Some(left) => format!("{} used, {left} left", words::number(token.uses)),
            None => format!("{} used", words::number(token.uses)),
        },
        until: token.expires_at.map(|at| words::when(now, at)),
        scopes: token.scopes.join(" "),
        approves: token.approves,
        hint: token.hint,
        name: token.name,
        id: token.id,
    }
}

fn refused(error: ClientError) -> Problem {
    match error {
        ClientError::Db(error) => error.into(),
        _ => Problem::not_found("initial access token"),
    }
}

/// A number that may be left out; `None` inside if it is.
fn number(form: &FormData, name: &str, errors: &mut FormErrors) -> Option<i64> {
    match form.text(name) {
        "" => None,
        text => {
            let read = text.parse::<i64>().ok().filter(|n| *n > 0);
            if read.is_none() {
                errors.add(name, "Enter a whole number, or nothing for without a limit.");
            }
            read
        }
    }
}

async fn create(desk: Desk, form: FormData) -> Answer {
    once(&desk, &form, "/clients/registration", make(&desk, &form)).await
}

async fn make(desk: &Desk, form: &FormData) -> Answer {
    let mut errors = FormErrors::default();
    let project_id = form.text("project_id").to_owned();
    if !may_register_for(desk, &project_id) {
        errors.add("project_id", "Choose the project its clients belong to.");
    }
    let uses = number(form, "uses", &mut errors);
    let days = number(form, "days", &mut errors);
    let new = NewInitialToken {
        name: form.text("name").to_owned(),
        project_id,
        scopes: form.all("scope").map(str::to_owned).collect(),
        approves: form.is_checked("approves"),
        uses,
        seconds: days.map(|days| days.saturating_mul(86_400)),
    };
    if !desk.access().is_site_admin() {
        for error in oauth2_server::token_beyond_a_project(&new) {
            errors.add(error.field, error.message);
        }
    }
    if errors.is_empty() {
        match oauth2_server::create_initial_token(&desk.ctx, desk.actor(), new).await {
            Ok((_, secret)) => {
                let shown = secret.expose_secret().to_owned();
                let view = view(desk, &FormData::default(), Some(shown), FormErrors::default()).await?;
                return desk.show(&view);
            }
            Err(ClientError::Invalid(found)) => {
                for error in found {
                    let field = match error.field {
                        "expires" => "days",
                        other => other,
                    };
                    errors.add(field, error.message);
                }
            }
            Err(error) => return Err(refused(error)),
        }
    }
    desk.show_again(&view(desk, form, None, errors).await?)
}

async fn revoke(desk: Desk, id: web::Path<String>) -> Answer {
    oauth2_server::revoke_initial_token(&desk.ctx, &desk.access().projects(), desk.actor(), &id)
        .await
        .map_err(refused)?;
    desk.done(
        "Nothing registers itself with it any more.",
        "/clients/registration",
    )
    .await
}

//! First set-up, signing in and out, and the look.

use actix_web::web;
use secrecy::SecretString;
use serde::Deserialize;

use super::desk::{Answer, Desk, Front};
use super::views::account::{Setup, SignIn};
use super::views::parts::FormErrors;
use super::words;
use crate::account::{self, AccountError, NewUser, Proof};
use crate::clock::from_ms;
use crate::crypto::MIN_PASSWORD_CHARS;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::respond;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/setup", Guard::Public, || web::to(setup)),
    Route::post("/setup", Guard::Public, || web::to(set_up)),
    Route::get("/sign-in", Guard::Public, || web::to(page)),
    Route::post("/sign-in", Guard::Public, || web::to(sign_in)),
    Route::post("/sign-out", Guard::Person, || web::to(sign_out)),
    Route::post("/theme", Guard::Person, || web::to(theme)),
];

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
}

async fn setup(front: Front, query: web::Query<Token>) -> Answer {
    let view = setup_view(&front, &query.token, &FormData::default(), FormErrors::default()).await?;
    front.show(&view)
}

async fn set_up(front: Front, query: web::Query<Token>, form: FormData) -> Answer {
    let token = SecretString::from(query.token.clone());
    let new = NewUser {
        email: form.text("email").to_owned(),
        name: form.text("name").to_owned(),
        password: form.secret("password"),
        is_site_admin: true,
    };
    match account::set_up(&front.ctx.db, &front.ctx.clock, &token, &new).await {
        Ok(user) => respond::sign_in(&front.ctx, &front.request, &user, Proof::password(), None).await,
        Err(error) => match error.field() {
            Some(field) => {
                let errors = FormErrors::default().with(field, &words::sentence(&error.to_string()));
                front.show_again(&setup_view(&front, &query.token, &form, errors).await?)
            }
            None => Err(dead_link(error)),
        },
    }
}

async fn setup_view(
    front: &Front,
    token: &str,
    form: &FormData,
    errors: FormErrors,
) -> Result<Setup, Problem> {
    let secret = SecretString::from(token.to_owned());
    let link = account::setup_link(&front.ctx.db, &front.ctx.clock, &secret)
        .await
        .map_err(dead_link)?;
    let base_url = front.ctx.config.base_url.origin().ascii_serialization();
    let seen_url = front.seen_url();
    let token: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
    Ok(Setup {
        page: front.page("Set up Mailgrant"),
        action: format!("/setup?token={token}"),
        email: form.text("email").to_owned(),
        name: form.text("name").to_owned(),
        errors,
        base_url_matches: base_url == seen_url,
        base_url,
        seen_url,
        password_min: u32::try_from(MIN_PASSWORD_CHARS).unwrap_or(u32::MAX),
        expires: from_ms(link.expires_at).format("%H:%M UTC").to_string(),
    })
}

fn dead_link(error: AccountError) -> Problem {
    let (title, remedy) = match error {
        AccountError::AlreadySetUp => ("Mailgrant is set up already", "Sign in with your account."),
        AccountError::DeadLink => (
            "A set-up link is needed",
            "It is printed where Mailgrant was started. Start it again to get a new one, or run `mailgrant user \
             create` on the machine.",
        ),
        _ => return error.into(),
    };
    Problem::from(error).with_title(title).with_remedy(remedy)
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
    /// Shows the form also to somebody who is signed in: an application wants a new sign-in.
    #[serde(default)]
    again: String,
    /// The address that is expected.
    #[serde(default)]
    hint: String,
}

async fn page(front: Front, query: web::Query<Next>) -> Answer {
    if account::needs_setup(&front.ctx.db).await? {
        return Ok(respond::see_other(&front.ctx, "/setup"));
    }
    let next = respond::safe_next(&query.next).unwrap_or("/");
    if front.visitor.current.is_some() && query.again != "1" {
        return Ok(respond::see_other(&front.ctx, next));
    }
    front.show(&SignIn {
        page: front.page("Sign in"),
        email: query.hint.chars().take(254).collect(),
        next: next.to_owned(),
        errors: FormErrors::default(),
    })
}

async fn sign_in(front: Front, form: FormData) -> Answer {
    let password = form.secret("password");
    let address = respond::client_address(&front.request);
    let attempt = account::SignIn {
        email: form.text("email"),
        password: &password,
        address: &address,
    };
    let next = respond::safe_next(form.text("next"));
    match account::sign_in(&front.ctx.db, &front.ctx.clock, &attempt).await {
        Ok(user) => respond::sign_in(&front.ctx, &front.request, &user, Proof::password(), next).await,
        Err(error @ (AccountError::WrongCredentials | AccountError::TooManyAttempts { .. })) => {
            let shown = front.show_again(&SignIn {
                page: front.page("Sign in"),
                email: form.text("email").to_owned(),
                next: next.unwrap_or("/").to_owned(),
                errors: FormErrors::default().with("", &words::sentence(&error.to_string())),
            })?;
            Ok(respond::retry_later(shown, &error))
        }
        Err(error) => Err(error.into()),
    }
}

async fn sign_out(desk: Desk) -> Answer {
    respond::sign_out(&desk.ctx, desk.current.session()).await
}

async fn theme(desk: Desk, form: FormData) -> Answer {
    account::set_theme(&desk.ctx.db, desk.actor(), form.text("theme")).await?;
    desk.go(respond::safe_next(form.text("back")).unwrap_or("/profile"))
}

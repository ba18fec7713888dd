//! First set-up, signing in and out, and the look.

use actix_web::web;
use secrecy::SecretString;
use serde::Deserialize;

use super::desk::{Answer, Desk, Front};
use super::views::account::{Setup, SignIn};
use super::views::parts::{self, Action, FormErrors, Tone};
use super::words;
use crate::account::{self, AccountError, NewUser, Proof};
use crate::clock::from_ms;
use crate::crypto::MIN_PASSWORD_CHARS;
use crate::sso;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};
use crate::web::{gate, respond};

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
    let offer = sso::offer(&front.ctx).await?;
    if !offer.makes_first_admin && account::needs_setup(&front.ctx.db).await? {
        return Ok(respond::see_other(&front.ctx, "/setup"));
    }
    let next = respond::safe_next(&query.next).unwrap_or("/");
    if front.visitor.current.is_some() && query.again != "1" {
        return Ok(respond::see_other(&front.ctx, next));
    }
    let hint: String = query.hint.chars().take(254).collect();
    let mut view = sign_in_view(
        &front,
        &offer,
        &hint,
        // Who is not signed in shows nothing anew. What an application demands beyond that is asked for when they are back.
        (next, query.again == "1" && front.visitor.current.is_some()),
        FormErrors::default(),
    );
    view.ended = ended(&front).await?;
    front.show(&view)
}

/// Why the session ended that this browser still has the cookie of, if its identity provider wanted it so.
async fn ended(front: &Front) -> Result<Option<parts::Problem>, Problem> {
    let session_id = gate::session_id(&front.ctx.config, &front.request);
    let Some(session_id) = session_id.filter(|_| front.visitor.current.is_none()) else {
        return Ok(None);
    };
    let found = sso::why_ended(&front.ctx, &session_id).await?;
    Ok(found.map(|trouble| parts::Problem {
        tone: Tone::Warn,
        title: "You were signed out".to_owned(),
        cause: trouble.cause,
        code: Some(trouble.code),
        remedy: trouble.remedy,
        since: None,
        action: None,
    }))
}

fn sign_in_view(
    front: &Front,
    offer: &sso::Offer,
    email: &str,
    (next, again): (&str, bool),
    errors: FormErrors,
) -> SignIn {
    let mut query: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    if again {
        query.push_str("&again=1");
    }
    let providers = offer
        .providers
        .iter()
        .map(|(id, name)| Action::link(name.clone(), format!("/sso/{id}/start?next={query}")));
    SignIn {
        page: front.page("Sign in"),
        email: email.to_owned(),
        next: next.to_owned(),
        providers: providers.collect(),
        local: offer.local,
        ended: None,
        errors,
    }
}

/// What is said to somebody who comes with a password, or for one, where passwords let nobody in.
pub(super) fn local_sign_in_off() -> Problem {
    Problem::forbidden(
        "local_sign_in_off",
        "signing in with address and password is switched off here",
    )
    .with_title("Sign in another way")
    .with_remedy(
        "Go to the sign-in page and choose a provider. If none of them works, whoever runs the machine makes a \
         one-time link: mailgrant user recover.",
    )
}

async fn sign_in(front: Front, form: FormData) -> Answer {
    let offer = sso::offer(&front.ctx).await?;
    if !offer.local {
        return Err(local_sign_in_off());
    }
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
            let shown = front.show_again(&sign_in_view(
                &front,
                &offer,
                form.text("email"),
                (next.unwrap_or("/"), false),
                FormErrors::default().with("", &words::sentence(&error.to_string())),
            ))?;
            Ok(respond::retry_later(shown, &error))
        }
        Err(error) => Err(error.into()),
    }
}

async fn sign_out(desk: Desk) -> Answer {
    desk.sign_out().await
}

async fn theme(desk: Desk, form: FormData) -> Answer {
    account::set_theme(&desk.ctx.db, desk.actor(), form.text("theme")).await?;
    desk.go(respond::safe_next(form.text("back")).unwrap_or("/profile"))
}

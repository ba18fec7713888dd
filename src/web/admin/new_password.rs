//! Setting a password by a one-time link (invitation, forgotten password, way in from the machine), and asking for one;
//! confirming another address by one.

use actix_web::web;
use secrecy::SecretString;
use serde::Deserialize;

use super::desk::{Answer, Front};
use super::sign_in::local_sign_in_off;
use super::views::account::{ConfirmEmail, ForgotPassword, NewPassword};
use super::views::parts::FormErrors;
use super::words;
use crate::account::{self, AccountError, LinkKind, PasswordLink, Proof};
use crate::clock::from_ms;
use crate::crypto::MIN_PASSWORD_CHARS;
use crate::sso;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};
use crate::web::{people, respond};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/new-password", Guard::Public, || web::to(page)),
    Route::post("/new-password", Guard::Public, || web::to(set)),
    Route::get("/confirm-email", Guard::Public, || web::to(email_page)),
    Route::post("/confirm-email", Guard::Public, || web::to(confirm_email)),
    Route::get("/forgot-password", Guard::Public, || web::to(ask)),
    Route::post("/forgot-password", Guard::Public, || web::to(send)),
];

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
}

impl Token {
    fn secret(&self) -> SecretString {
        SecretString::from(self.token.clone())
    }
}

fn dead(error: AccountError) -> Problem {
    match error {
        AccountError::DeadLink => Problem::from(error)
            .with_title("This link does not work any more")
            .with_remedy(
                "Ask the person who invited you for a new one, or ask for a link on the sign-in page.",
            ),
        error => error.into(),
    }
}

/// The link that was followed. Where passwords let nobody in, the one that lets an admin in from the machine still does.
async fn followed(front: &Front, token: &SecretString) -> Result<PasswordLink, Problem> {
    let link = account::look_at_link(&front.ctx, token).await.map_err(dead)?;
    match link.kind {
        LinkKind::Recovery => {}
        LinkKind::Invitation | LinkKind::Reset => refuse_without_local_sign_in(front).await?,
    }
    Ok(link)
}

async fn refuse_without_local_sign_in(front: &Front) -> Result<(), Problem> {
    match sso::offer(&front.ctx).await?.local {
        true => Ok(()),
        false => Err(local_sign_in_off()),
    }
}

async fn page(front: Front, query: web::Query<Token>) -> Answer {
    let link = followed(&front, &query.secret()).await?;
    let name = link.user.name.clone();
    front.show(&view(&front, &query.token, &link, name, FormErrors::default()))
}

fn view(front: &Front, token: &str, link: &PasswordLink, name: String, errors: FormErrors) -> NewPassword {
    let token: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
    let title = match link.kind {
        LinkKind::Invitation => "Welcome to Mailgrant",
        LinkKind::Reset | LinkKind::Recovery => "Choose a new password",
    };
    NewPassword {
        page: front.page(title),
        action: format!("/new-password?token={token}"),
        email: link.user.email.clone(),
        name: if name == link.user.email {
            String::new()
        } else {
            name
        },
        is_invitation: link.kind == LinkKind::Invitation,
        is_recovery: link.kind == LinkKind::Recovery,
        password_min: u32::try_from(MIN_PASSWORD_CHARS).unwrap_or(u32::MAX),
        expires: from_ms(link.expires_at).format("%Y-%m-%d %H:%M UTC").to_string(),
        errors,
    }
}

async fn set(front: Front, query: web::Query<Token>, form: FormData) -> Answer {
    let token = query.secret();
    let link = followed(&front, &token).await?;
    let name = match link.kind {
        LinkKind::Invitation => form.text("name"),
        LinkKind::Reset | LinkKind::Recovery => "",
    };
    let password = form.secret("password");
    match people::password_by_link(&front.ctx, &token, &link, name, &password).await {
        Ok(user) => respond::sign_in(&front.ctx, &front.request, &user, Proof::password(), None).await,
        Err(error) => match error.field() {
            Some(field) => {
                let errors = FormErrors::default().with(field, &words::sentence(&error.to_string()));
                front.show_again(&view(&front, &query.token, &link, name.to_owned(), errors))
            }
            None => Err(dead(error)),
        },
    }
}

/// Looking confirms nothing: programs that look at mails open links, too.
async fn email_page(front: Front, query: web::Query<Token>) -> Answer {
    let asked = account::look_at_email(&front.ctx, &query.secret())
        .await
        .map_err(dead_email)?;
    let token: String = url::form_urlencoded::byte_serialize(query.token.as_bytes()).collect();
    front.show(&ConfirmEmail {
        page: front.page("Confirm your address"),
        action: format!("/confirm-email?token={token}"),
        before: asked.user.email,
        email: asked.email,
        is_done: false,
    })
}

async fn confirm_email(front: Front, query: web::Query<Token>) -> Answer {
    let email = people::confirm_email(&front.ctx, &query.secret())
        .await
        .map_err(dead_email)?;
    front.show(&ConfirmEmail {
        page: front.page("Your address is changed"),
        action: String::new(),
        before: String::new(),
        email,
        is_done: true,
    })
}

fn dead_email(error: AccountError) -> Problem {
    match error {
        AccountError::DeadLink => Problem::from(error)
            .with_title("This link does not work any more")
            .with_remedy("Sign in and ask for the address again under My profile."),
        error => error.into(),
    }
}

async fn ask(front: Front) -> Answer {
    refuse_without_local_sign_in(&front).await?;
    front.show(&ForgotPassword {
        page: front.page("Forgot your password?"),
        can_mail: people::can_mail(&front.ctx).await?,
        is_sent: false,
        errors: FormErrors::default(),
    })
}

/// The same answer in the same time, whoever's address it is: the work is done beside it.
async fn send(front: Front, form: FormData) -> Answer {
    refuse_without_local_sign_in(&front).await?;
    let can_mail = people::can_mail(&front.ctx).await?;
    if can_mail {
        let email = form.text("email").to_owned();
        let address = respond::client_address(&front.request);
        account::brake_reset(&front.ctx, &address).await?;
        let ctx = front.ctx.clone();
        actix_web::rt::spawn(async move {
            if let Err(error) = people::send_reset(&ctx, &email).await {
                tracing::warn!(%error, "a link for a new password could not be sent");
            }
        });
    }
    front.show(&ForgotPassword {
        page: front.page("Forgot your password?"),
        can_mail,
        is_sent: can_mail,
        errors: FormErrors::default(),
    })
}

//! The second half of signing in: the code of an authenticator app, or setting one up where this site wants one.

use actix_web::web;
use secrecy::{ExposeSecret, SecretString};

use super::desk::{Answer, Front};
use super::views::account::{CodeStep, EnrolStep, RecoveryCodes};
use super::views::parts::FormErrors;
use super::{qr, words};
use crate::account::{self, AccountError, Asked, Offer, Step};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::respond;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/sign-in/code", Guard::Public, || web::to(page)),
    Route::post("/sign-in/code", Guard::Public, || web::to(check)),
];

async fn step_of(front: &Front) -> Result<Option<Step>, Problem> {
    let Some(cookie) = front.request.cookie(respond::step_cookie_name(&front.ctx.config)) else {
        return Ok(None);
    };
    Ok(account::step(&front.ctx, &SecretString::from(cookie.value().to_owned())).await?)
}

async fn page(front: Front) -> Answer {
    match step_of(&front).await? {
        Some(step) => show(&front, &step, FormErrors::default()),
        None => Ok(respond::see_other(&front.ctx, "/sign-in")),
    }
}

fn show(front: &Front, step: &Step, errors: FormErrors) -> Answer {
    let is_again = !errors.list.is_empty();
    match &step.asked {
        Asked::Code => {
            let view = CodeStep {
                page: front.page("One more step"),
                errors,
            };
            if is_again {
                front.show_again(&view)
            } else {
                front.show(&view)
            }
        }
        Asked::Enrolment(offer) => {
            let view = EnrolStep {
                page: front.page("Set up a second factor"),
                qr: qr::of(&offer.uri)?,
                secret: spaced(offer),
                offer: String::new(),
                action: "/sign-in/code".to_owned(),
                cancel: "/sign-in".to_owned(),
                is_required: true,
                errors,
            };
            if is_again {
                front.show_again(&view)
            } else {
                front.show(&view)
            }
        }
    }
}

/// A secret in groups of four letters, as people copy it.
pub(super) fn spaced(offer: &Offer) -> String {
    let letters: Vec<char> = offer.secret.expose_secret().chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

async fn check(front: Front, form: FormData) -> Answer {
    let Some(step) = step_of(&front).await? else {
        return Ok(respond::see_other(&front.ctx, "/sign-in"));
    };
    let address = respond::client_address(&front.request);
    match try_code(&front, &step, form.text("code"), &address).await {
        Ok(codes) => {
            let proof = account::finish_step(&front.ctx, &step).await?;
            let mut response =
                respond::begin_session(&front.ctx, &front.request, &step.user, proof, Some(&step.next))
                    .await?;
            if let Some(codes) = codes {
                // The session has begun; its first page shows the codes, which nothing can show again.
                let mut page = front.page("Your recovery codes");
                page.csrf = String::new();
                let view = RecoveryCodes {
                    page,
                    codes: codes.iter().map(|code| code.expose_secret().to_owned()).collect(),
                    next: step.next.clone(),
                };
                let mut shown = front.show(&view)?;
                respond::take_cookies(&response, &mut shown);
                response = shown;
            }
            respond::forget_step(&front.ctx, &mut response)?;
            Ok(response)
        }
        Err(error @ (AccountError::WrongCode | AccountError::TooManyAttempts { .. })) => {
            let errors = FormErrors::default().with("code", &words::sentence(&error.to_string()));
            Ok(respond::retry_later(show(&front, &step, errors)?, &error))
        }
        Err(error) => Err(error.into()),
    }
}

/// New recovery codes if an app was set up.
async fn try_code(
    front: &Front,
    step: &Step,
    code: &str,
    address: &str,
) -> Result<Option<Vec<SecretString>>, AccountError> {
    match &step.asked {
        Asked::Code => {
            account::check_code(&front.ctx, &step.user.id, code, address).await?;
            Ok(None)
        }
        Asked::Enrolment(offer) => account::enrol(&front.ctx, &step.user, &offer.sealed, code, address)
            .await
            .map(Some),
    }
}

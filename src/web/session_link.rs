//! `/sign-in/link`: signs in whoever holds a one-time link that was printed on this machine.

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::SecretString;
use serde::Deserialize;

use super::error::Problem;
use super::respond;
use super::route::{Guard, Route};
use crate::account::{self, Proof};
use crate::ctx::Ctx;

/// The routes of this file.
pub(super) const ROUTES: &[Route] =
    &[Route::get("/sign-in/link", Guard::Public, || web::to(use_link)).not_by_head()];

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    token: String,
}

async fn use_link(
    ctx: web::Data<Ctx>,
    request: HttpRequest,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let token = SecretString::from(query.into_inner().token);
    let user = account::use_sign_in_link(&ctx.db, &ctx.clock, &token)
        .await
        .map_err(|error| {
            Problem::from(error)
                .with_title("This link has expired")
                .with_remedy("Start the command again to get a new one, or sign in with a password.")
        })?;
    respond::sign_in(&ctx, &request, &user, Proof::link(), None).await
}

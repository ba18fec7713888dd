//! `/tokens`: which API tokens there are. The tokens themselves are shown once, where they are made.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use super::output;
use crate::access::Scope;
use crate::account::{self, TokenInfo};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::web::error::Problem;
use crate::web::extract::Bearer;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, id, object, text, time};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/tokens", Guard::Own(Scope::Admin), || web::to(list)).doc(|| {
        Doc::new("List access tokens")
            .about("Never the tokens themselves.")
            .lists(token())
    }),
    Route::delete("/api/v1/tokens/{id}", Guard::Own(Scope::Admin), || {
        web::to(revoke)
    })
    .doc(|| {
        Doc::new("Revoke an access token")
            .about("It opens nothing from this moment on.")
            .answers_nothing(204, "Revoked")
    }),
];

/// A token as [`show`] writes it.
fn token() -> Schema {
    object([
        ("id", id("tok")),
        ("name", text()),
        ("actor", text().about("Whom it speaks for")),
        ("createdAt", time()),
        ("expiresAt", time().or_null()),
        ("lastUsedAt", time().or_null()),
        ("revokedAt", time().or_null()),
    ])
    .named("Token")
}

fn show(token: &TokenInfo) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "actor": token.actor,
        "createdAt": rfc3339(token.created_at),
        "expiresAt": output::time(token.expires_at),
        "lastUsedAt": output::time(token.last_used_at),
        "revokedAt": output::time(token.revoked_at),
    })
}

async fn list(ctx: web::Data<Ctx>, query: Query) -> Result<HttpResponse, Problem> {
    let all = account::list_tokens(&ctx.db).await?;
    Ok(output::list_from_all(&query, all, |token| &token.id, show))
}

async fn revoke(ctx: web::Data<Ctx>, bearer: Bearer, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    account::revoke_token(&ctx.db, &ctx.clock, &id, &bearer.0.id).await?;
    Ok(output::done())
}

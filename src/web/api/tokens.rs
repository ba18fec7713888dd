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
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/tokens", Guard::Own(Scope::Admin), || web::to(list)),
    Route::delete("/api/v1/tokens/{id}", Guard::Own(Scope::Admin), || {
        web::to(revoke)
    }),
];

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

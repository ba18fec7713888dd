//! `/sessions`: where whoever asks is signed in; a site admin sees everybody's.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use super::output;
use super::tag::{IfMatch, Tag, changed_meanwhile};
use crate::access::{Access, Scope};
use crate::account::{self, AccountError, SessionInfo};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, id, list_of, object, text, time};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/sessions", Guard::Own(Scope::Admin), || web::to(list)).doc(|| {
        Doc::new("List sessions")
            .about("The browsers in which the token's owner is signed in; everybody's for a site admin.")
            .query("userId", id("usr"), "Sessions of this person only")
            .lists(session())
    }),
    Route::get("/api/v1/sessions/{id}", Guard::Own(Scope::Admin), || web::to(get)).doc(|| {
        Doc::new("Show a session")
            .answers(200, "The session", session())
            .tagged()
    }),
    Route::delete("/api/v1/sessions/{id}", Guard::Own(Scope::Admin), || web::to(end)).doc(|| {
        Doc::new("End a session")
            .about("That browser is signed out at once.")
            .answers_nothing(204, "Ended")
            .tagged()
    }),
    Route::delete("/api/v1/users/{id}/sessions", Guard::Site(Scope::Admin), || {
        web::to(end_all)
    })
    .doc(|| {
        Doc::new("End every session of a person")
            .about("They are signed out everywhere, and may sign in again.")
            .answers_nothing(204, "Ended")
    }),
];

/// A session as [`show`] writes it.
fn session() -> Schema {
    object([
        ("id", text().about("Names it; opens nothing")),
        ("userId", id("usr")),
        (
            "browser",
            text().about("What the browser called itself").or_null(),
        ),
        ("address", text().or_null()),
        (
            "amr",
            list_of(text()).about("How the person signed in, in the words of RFC 8176"),
        ),
        ("identityProviderId", id("idp").or_null()),
        (
            "authenticatedAt",
            time()
                .or_null()
                .about("null where an identity provider does not say it"),
        ),
        ("createdAt", time()),
        ("lastSeenAt", time().about("Exact to the minute")),
        ("expiresAt", time()),
    ])
    .named("Session")
}

fn show(session: &SessionInfo) -> Value {
    json!({
        "id": session.id,
        "userId": session.user_id,
        "browser": output::text(&session.browser),
        "address": output::text(&session.address),
        "amr": session.proof.amr,
        "identityProviderId": output::text(&session.proof.identity_provider_id),
        "authenticatedAt": session.proof.auth_time.filter(|at| *at > 0).map(rfc3339),
        "createdAt": rfc3339(session.created_at),
        "lastSeenAt": rfc3339(session.last_seen_at),
        "expiresAt": rfc3339(session.expires_at),
    })
}

/// Whose sessions are looked at: `None` for everybody's, an empty text for nobody's.
fn owner(access: &Access) -> Option<&str> {
    if access.is_site_admin() {
        return None;
    }
    Some(access.user_id().unwrap_or_default())
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let mut all = account::sessions_of(&ctx.db, &ctx.clock, owner(&access)).await?;
    if let Some(user_id) = query.get("userId") {
        all.retain(|session| session.user_id == user_id);
    }
    Ok(output::list_from_all(&query, all, |session| &session.id, show))
}

async fn find(ctx: &Ctx, access: &Access, id: &str) -> Result<SessionInfo, Problem> {
    let all = account::sessions_of(&ctx.db, &ctx.clock, owner(access)).await?;
    all.into_iter()
        .find(|session| session.id == id)
        .ok_or_else(|| Problem::not_found("session"))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let shown = show(&find(&ctx, &access, &id).await?);
    Ok(output::tagged(Tag::of(&shown), shown))
}

async fn end(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access, &id).await?;
    let seen = seen.seen_as(Tag::of(&show(&found)), &found)?;
    match account::end_one(ctx.db.write(), owner(&access), &id, seen).await {
        Ok(_) => Ok(output::done()),
        Err(AccountError::Conflict) => Err(changed_meanwhile()),
        Err(error) => Err(error.into()),
    }
}

async fn end_all(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let found = account::get_in(&ctx.db, &access.projects(), &id)
        .await?
        .ok_or_else(|| Problem::not_found("user"))?;
    account::end_all(ctx.db.write(), &found.id).await?;
    Ok(output::done())
}

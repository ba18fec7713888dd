//! `/connected-apps`: what whoever asks allowed applications to do in their name, and its end.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use super::output;
use super::tag::{IfMatch, Tag, changed_meanwhile};
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::oauth2_server::{self, ConnectedApp};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, id, list_of, object, text, time};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/connected-apps", Guard::Own(Scope::Admin), || web::to(list)).doc(|| {
        Doc::new("List connected apps")
            .about("Applications that act in the name of the token's owner: allowed by them, or without a question.")
            .lists(app())
    }),
    Route::get("/api/v1/connected-apps/{id}", Guard::Own(Scope::Admin), || web::to(one)).doc(|| {
        Doc::new("Show a connected app")
            .about("`id` is the client's.")
            .answers(200, "The app", app())
            .tagged()
    }),
    Route::delete("/api/v1/connected-apps/{id}", Guard::Own(Scope::Admin), || {
        web::to(disconnect)
    })
    .doc(|| {
        Doc::new("Disconnect an app")
            .about("Everything that the token's owner gave it ends at once; `id` is the client's.")
            .answers_nothing(204, "Ended")
            .tagged()
    }),
];

/// An app as [`show`] writes it.
fn app() -> Schema {
    object([
        ("id", id("cli")),
        ("name", text()),
        ("scopes", list_of(text())),
        (
            "projectIds",
            list_of(id("prj")).about("The projects it is limited to; empty for all"),
        ),
        (
            "wasAsked",
            boolean().about("Whether the person allowed it, or nobody was asked"),
        ),
        ("grantedAt", time()),
        ("lastUsedAt", time()),
        ("expiresAt", time().or_null()),
    ])
    .named("ConnectedApp")
}

fn show(app: &ConnectedApp) -> Value {
    json!({
        "id": app.client.id,
        "name": app.client.name,
        "scopes": app.allowed.scopes,
        "projectIds": app.allowed.projects,
        "wasAsked": app.was_asked,
        "grantedAt": rfc3339(app.allowed.granted_at),
        "lastUsedAt": rfc3339(app.allowed.last_used_at),
        "expiresAt": output::time(app.allowed.expires_at),
    })
}

/// What somebody looks at before they take it back. Nobody granted what was never asked for: its times are those of the
/// sign-ins that there are at the moment.
fn tag(shown: &Value) -> Tag {
    let mut shown = shown.clone();
    if let Some(members) = shown.as_object_mut()
        && members.get("wasAsked") == Some(&Value::Bool(false))
    {
        members.retain(|name, _| !["grantedAt", "expiresAt"].contains(&name.as_str()));
    }
    Tag::of(&shown)
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let owner = access.user_id().unwrap_or_default();
    let mut all = oauth2_server::connected_apps(&ctx, owner).await?;
    all.sort_by(|one, other| one.client.id.cmp(&other.client.id));
    Ok(output::list_from_all(&query, all, |app| &app.client.id, show))
}

async fn find(ctx: &Ctx, owner: &str, id: &str) -> Result<Value, Problem> {
    let all = oauth2_server::connected_apps(ctx, owner).await?;
    let app = all.iter().find(|app| app.client.id == id);
    app.map(show).ok_or_else(|| Problem::not_found("connected app"))
}

async fn one(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let shown = find(&ctx, access.user_id().unwrap_or_default(), &id).await?;
    Ok(output::tagged(tag(&shown), shown))
}

async fn disconnect(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let owner = access.user_id().unwrap_or_default();
    seen.check(tag(&find(&ctx, owner, &id).await?))?;
    let as_seen = |app: &ConnectedApp| seen.check(tag(&show(app))).is_ok();
    if oauth2_server::disconnect_if(&ctx, owner, &id, as_seen).await? {
        return Ok(output::done());
    }
    // It is gone, or another one than a moment ago.
    find(&ctx, owner, &id).await?;
    Err(changed_meanwhile())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_sign_in_does_not_change_an_app_nobody_was_asked_about() {
        let app = |asked: bool, day: &str, scope: &str| {
            tag(&json!({ "scopes": [scope], "wasAsked": asked, "grantedAt": day, "expiresAt": day }))
        };
        assert_eq!(app(false, "Monday", "openid"), app(false, "Tuesday", "openid"));
        assert_ne!(app(false, "Monday", "openid"), app(false, "Monday", "profile"));
        assert_ne!(app(true, "Monday", "openid"), app(true, "Tuesday", "openid"));
    }
}

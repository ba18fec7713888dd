//! `/grants`: what mailbox owners gave us. Never a token.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use super::integrations::grant_refused;
use super::output;
use super::tag::IfMatch;
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::event;
use crate::grant::{self, Grant, RevokeOutcome};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, id, list_of, object, text, time, trouble, word};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/grants", Guard::Scope(Scope::IntegrationsRead), || {
        web::to(list)
    })
    .doc(|| {
        Doc::new("List grants")
            .query("integrationId", text(), "Only those of this integration")
            .lists(grant_schema())
    }),
    Route::get(
        "/api/v1/grants/{id}",
        Guard::Scope(Scope::IntegrationsRead),
        || web::to(get),
    )
    .doc(|| {
        Doc::new("Show a grant")
            .about("Never a token.")
            .answers(200, "The grant", grant_schema())
            .tagged()
    }),
    Route::post(
        "/api/v1/grants/{id}/refresh",
        Guard::Scope(Scope::MailboxesWrite),
        || web::to(refresh),
    )
    .doc(|| {
        Doc::new("Refresh a grant now")
            .about("Asks the provider for a new access token; the token itself stays here.")
            .answers(200, "The refreshed grant", grant_schema())
            .fails(
                502,
                "The provider could not be reached or failed; it is tried again by itself",
            )
            .tagged()
            .if_match()
    }),
    Route::post(
        "/api/v1/grants/{id}/revoke",
        Guard::Site(Scope::IntegrationsWrite),
        || web::to(revoke),
    )
    .doc(|| {
        let at_provider = object([("revoked", boolean()), ("error", trouble())]);
        Doc::new("Revoke a grant")
            .about("Its tokens are thrown away here, and taken back at the provider where it offers that.")
            .answers(200, "The revoked grant", revoked_schema(at_provider))
            .tagged()
            .if_match()
    }),
    Route::get(
        "/api/v1/grants/{id}/timeline",
        Guard::Scope(Scope::IntegrationsRead),
        || web::to(timeline),
    )
    .doc(|| {
        Doc::new("Show what happened to a grant")
            .about("Its newest events, newest first; `/events` has all of them.")
            .lists(super::events::event_schema())
    }),
];

/// The events of one grant, newest first.
async fn timeline(
    ctx: web::Data<Ctx>,
    access: Access,
    query: Query,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let found = grant::get(&ctx, &access.projects(), &id)
        .await
        .map_err(grant_refused)?;
    let events = event::of_subject(ctx.db.read(), &found.id, query.limit).await?;
    Ok(output::list(
        &query,
        events.iter().map(event::envelope).collect(),
        None,
    ))
}

fn members() -> [(&'static str, Schema); 17] {
    [
        ("id", id("grt")),
        ("integrationId", id("int")),
        ("flow", word(&["authorization_code", "client_credentials"])),
        (
            "state",
            text().about("`active`, `expiring`, `needs_reauth` or `revoked`"),
        ),
        ("identity", text().or_null().about("The account that gave it")),
        ("startedBy", text().or_null()),
        ("scopes", list_of(text())),
        ("issuedAt", time()),
        ("expiresAt", time().or_null()),
        ("refreshedAt", time()),
        ("nextRefreshAt", time().or_null()),
        ("refreshTokenExpiresAt", time().or_null()),
        ("hasRefreshToken", boolean()),
        ("lastError", trouble()),
        ("lastErrorAt", time().or_null()),
        ("createdAt", time()),
        ("updatedAt", time()),
    ]
}

/// A grant as [`show`] writes it.
fn grant_schema() -> Schema {
    object(members()).named("Grant")
}

fn revoked_schema(at_provider: Schema) -> Schema {
    object(members()).and("atProvider", at_provider)
}

fn show(grant: &Grant) -> Value {
    json!({
        "id": grant.id,
        "integrationId": grant.integration_id,
        "flow": grant.flow.as_str(),
        "state": grant.state.as_str(),
        "identity": output::text(&grant.identity),
        "startedBy": output::text(&grant.started_by),
        "scopes": grant.scopes,
        "issuedAt": rfc3339(grant.issued_at),
        "expiresAt": output::time(grant.expires_at),
        "refreshedAt": rfc3339(grant.refreshed_at),
        "nextRefreshAt": output::time(grant.next_refresh_at),
        "refreshTokenExpiresAt": output::time(grant.refresh_expires_at),
        "hasRefreshToken": grant.has_refresh_token,
        "lastError": output::trouble(grant.trouble.as_ref()),
        "lastErrorAt": output::time(grant.error_at),
        "createdAt": rfc3339(grant.created_at),
        "updatedAt": rfc3339(grant.updated_at),
    })
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    if let Some(integration_id) = query.get("integrationId") {
        let all = grant::of_integration(&ctx, &access.projects(), &integration_id)
            .await
            .map_err(grant_refused)?;
        return Ok(output::list_from_all(&query, all, |grant| &grant.id, show));
    }
    let items = grant::list(&ctx, &access.projects(), query.after.as_deref(), query.limit + 1)
        .await
        .map_err(grant_refused)?;
    Ok(output::list_of(&query, items, |grant| &grant.id, show))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = grant::get(&ctx, &access.projects(), &id)
        .await
        .map_err(grant_refused)?;
    Ok(output::tagged(found.revision, show(&found)))
}

async fn refresh(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    // The token stays here: the answer shows how the grant stands now.
    let old = grant::get(&ctx, &access.projects(), &id)
        .await
        .map_err(grant_refused)?;
    match seen.seen(old.revision)? {
        Some(seen) => grant::refresh_as_seen(&ctx, &id, seen).await,
        None => grant::refresh_now(&ctx, &id).await,
    }
    .map_err(grant_refused)?;
    get(ctx, access, id).await
}

async fn revoke(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let old = grant::get(&ctx, &access.projects(), &id)
        .await
        .map_err(grant_refused)?;
    let seen = seen.seen(old.revision)?;
    let outcome = grant::revoke(&ctx, access.actor(), &id, seen)
        .await
        .map_err(grant_refused)?;
    let found = grant::get(&ctx, &access.projects(), &id)
        .await
        .map_err(grant_refused)?;
    let mut body = show(&found);
    let (at_provider, trouble) = match &outcome {
        RevokeOutcome::AtProviderToo => (true, None),
        RevokeOutcome::HereOnly => (false, None),
        RevokeOutcome::ProviderFailed(trouble) => (false, Some(trouble)),
    };
    if let Some(members) = body.as_object_mut() {
        let told = json!({ "revoked": at_provider, "error": output::trouble(trouble) });
        members.insert("atProvider".into(), told);
    }
    Ok(output::tagged(found.revision, body))
}

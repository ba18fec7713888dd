//! `/integrations` and `/authorizations`: client registrations at mail providers, and attempts to obtain a grant.

use std::collections::BTreeSet;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use super::tag::{IfMatch, Tag, changed_meanwhile};
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::grant::{self, Authorization, CallbackError, GrantError, StartAuthorization};
use crate::integration::{
    self, AuthMethod, Cloud, Flow, Integration, IntegrationChange, IntegrationError, NewIntegration,
    Provider, Reach, Users,
};
use crate::project;
use crate::web::error::Problem;
use crate::web::integration_test;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{
    Schema, boolean, id, input, list_of, map, object, text, time, trouble, url, word,
};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/integrations", Guard::Scope(Scope::IntegrationsRead), || web::to(list))
        .doc(|| Doc::new("List integrations").lists(integration_schema())),
    Route::post("/api/v1/integrations", Guard::Site(Scope::IntegrationsWrite), || web::to(create)).doc(|| {
        Doc::new("Make an integration")
            .about("Register `redirectUrl` of the answer at the provider. Endpoints that are not sent are found by the \
                provider's discovery document where it has one.")
            .takes(sent(&["provider", "name"]))
            .answers(201, "The new integration", integration_schema())
            .tagged()
    }),
    Route::get("/api/v1/integrations/{id}", Guard::Scope(Scope::IntegrationsRead), || web::to(get)).doc(|| {
        Doc::new("Show an integration")
            .about("Everything but its secret.")
            .answers(200, "The integration", integration_schema())
            .tagged()
    }),
    Route::patch("/api/v1/integrations/{id}", Guard::Site(Scope::IntegrationsWrite), || web::to(update)).doc(|| {
        Doc::new("Change an integration")
            .about("What is not sent stays, the secret too. Other endpoints draw a new redirect URL.")
            .takes(sent(&[]))
            .answers(200, "The changed integration", integration_schema())
            .tagged()
    }),
    Route::delete("/api/v1/integrations/{id}", Guard::Site(Scope::IntegrationsWrite), || web::to(delete)).doc(|| {
        Doc::new("Remove an integration")
            .about("Only one without grants.")
            .answers_nothing(204, "Removed")
            .tagged()
    }),
    Route::get("/api/v1/integrations/{id}/projects", Guard::Scope(Scope::IntegrationsRead), || web::to(projects))
        .doc(|| {
            Doc::new("Show which projects may use an integration")
                .about("Those of them that the token reaches.")
                .answers(200, "The projects", projects_schema())
                .tagged()
        }),
    Route::new(Method::PUT, "/api/v1/integrations/{id}/projects", Guard::Site(Scope::IntegrationsWrite), || {
        web::to(set_projects)
    })
    .doc(|| {
        Doc::new("Say which projects may use an integration")
            .about("Their admins connect accounts with it and never see its secret.")
            .takes(input(
                &[],
                [
                    ("projectIds", list_of(id("prj"))),
                    ("allProjects", boolean().default(false)),
                ],
            ))
            .answers(200, "The projects", projects_schema())
            .tagged()
    }),
    Route::post("/api/v1/integrations/{id}/authorizations", Guard::Scope(Scope::MailboxesWrite), || {
        web::to(authorize)
    })
    .doc(|| {
        Doc::new("Begin a consent")
            .about("Open `authorizationUrl` in the browser of the mailbox's owner; it works once. The authorization \
                tells when its grant is there.")
            .takes(input(
                &[],
                [
                    ("expectedIdentity", text().about("The account that must consent; another one is refused")),
                    ("projectId", text().about("For which project; required unless a site admin asks")),
                    ("loginHint", text()),
                    ("reconnectGrantId", text().about("A grant to bring back to life instead of a new one")),
                    ("grantId", text().about("The same as `reconnectGrantId`")),
                ],
            ))
            .answers(201, "The authorization", authorization_schema())
            .fails(502, "The provider could not be reached or failed")
    }),
    Route::post("/api/v1/integrations/{id}/tests", Guard::Site(Scope::IntegrationsWrite), || web::to(test))
        .doc(|| Doc::new("Test an integration").begins("The test runs; see `/tests/{id}`")),
    Route::get("/api/v1/authorizations/{id}", Guard::Scope(Scope::MailboxesWrite), || {
        web::to(authorization)
    })
    .doc(|| Doc::new("Show a consent that was begun").answers(200, "The authorization", authorization_schema())),
    Route::post(
        "/api/v1/authorizations/{id}/decision",
        Guard::Site(Scope::IntegrationsWrite),
        || web::to(decide),
    )
    .doc(|| {
        Doc::new("Decide about another account")
            .about(
                "Where another account consented than the grant belongs to, it waits in `awaiting_confirmation`: \
                 `accept` gives the grant to that account from now on, `refuse` changes nothing.",
            )
            .takes(input(&["decision"], [("decision", word(&["accept", "refuse"]))]))
            .answers(200, "The authorization", authorization_schema())
    }),
];

/// The projects that may use one.
fn projects_schema() -> Schema {
    object([
        ("projectIds", list_of(id("prj"))),
        ("allProjects", boolean().about("Every project, later ones too")),
    ])
    .named("IntegrationProjects")
}

/// An integration as [`show`] writes it.
fn integration_schema() -> Schema {
    object([
        ("id", id("int")),
        ("provider", word(&["google", "microsoft", "custom"])),
        ("name", text()),
        ("description", text().or_null()),
        ("tenant", text().or_null()),
        ("cloud", word(&["global", "gcc_high", "dod", "china"])),
        ("clientId", text()),
        ("hasClientSecret", boolean()),
        ("secretSetAt", time().or_null()),
        ("secretExpiresAt", time().or_null()),
        ("scopes", list_of(text())),
        ("issuer", text().or_null()),
        ("authorizationEndpoint", text().or_null()),
        ("tokenEndpoint", text().or_null()),
        ("userinfoEndpoint", text().or_null()),
        ("revocationEndpoint", text().or_null()),
        ("tokenEndpointAuthMethod", text()),
        ("extraAuthorizationParameters", map(text())),
        ("flow", text()),
        ("redirectUrl", url()),
        ("state", word(&["ok", "misconfigured"])),
        ("lastError", trouble()),
        ("createdAt", time()),
        ("updatedAt", time()),
    ])
    .named("Integration")
}

/// What is sent to make or change one.
fn sent(required: &[&str]) -> Schema {
    input(
        required,
        [
            ("provider", word(&["google", "microsoft", "custom"])),
            ("name", text()),
            ("description", text()),
            ("tenant", text().about("Microsoft: tenant id or domain")),
            ("cloud", word(&["global", "gcc_high", "dod", "china"])),
            ("clientId", text()),
            ("clientSecret", text().about("Stored sealed, never shown again")),
            ("secretExpiresAt", time()),
            ("scopes", list_of(text())),
            ("issuer", text()),
            ("authorizationEndpoint", text()),
            ("tokenEndpoint", text()),
            (
                "tokenEndpointAuthMethod",
                word(&["client_secret_basic", "client_secret_post"]),
            ),
            ("extraAuthorizationParameters", map(text())),
            ("flow", word(&["authorization_code", "client_credentials"])),
        ],
    )
}

/// An authorization as [`show_authorization`] writes it.
fn authorization_schema() -> Schema {
    object([
        ("id", id("aut")),
        ("integrationId", id("int")),
        (
            "authorizationUrl",
            text()
                .about("To open in a browser; null when it is over, or there is nothing to ask")
                .or_null(),
        ),
        ("state", text()),
        ("grantId", text().or_null()),
        ("lastError", trouble()),
        ("createdAt", time()),
        ("expiresAt", time()),
    ])
    .named("Authorization")
}

/// Everything but the secret.
fn show(ctx: &Ctx, integration: &Integration) -> Value {
    json!({
        "id": integration.id,
        "provider": integration.provider.as_str(),
        "name": integration.name,
        "description": output::text(&integration.description),
        "tenant": output::text(&integration.tenant),
        "cloud": integration.cloud.as_str(),
        "clientId": integration.client_id,
        "hasClientSecret": integration.has_secret,
        "secretSetAt": output::time(Some(integration.secret_set_at).filter(|_| integration.has_secret)),
        "secretExpiresAt": output::time(integration.secret_expires_at),
        "scopes": integration.scopes,
        "issuer": output::text(&integration.issuer),
        "authorizationEndpoint": output::text(&integration.authorization_endpoint),
        "tokenEndpoint": output::text(&integration.token_endpoint),
        "userinfoEndpoint": output::text(&integration.userinfo_endpoint),
        "revocationEndpoint": output::text(&integration.revocation_endpoint),
        "tokenEndpointAuthMethod": integration.token_auth_method.as_str(),
        "extraAuthorizationParameters": integration.extra_auth_params,
        "flow": integration.flow.as_str(),
        "redirectUrl": integration::redirect_url(&ctx.config, integration),
        "state": integration.state.as_str(),
        "lastError": output::trouble(integration.trouble.as_ref()),
        "createdAt": rfc3339(integration.created_at),
        "updatedAt": rfc3339(integration.updated_at),
    })
}

fn show_authorization(authorization: &Authorization) -> Value {
    json!({
        "id": authorization.id,
        "integrationId": authorization.integration_id,
        "authorizationUrl": authorization.authorization_url,
        "state": authorization.state.as_str(),
        "grantId": authorization.grant_id,
        "lastError": output::trouble(authorization.trouble.as_ref()),
        "createdAt": rfc3339(authorization.created_at),
        "expiresAt": rfc3339(authorization.expires_at),
    })
}

fn refused(error: IntegrationError) -> Problem {
    match error {
        IntegrationError::Invalid(errors) => output::invalid(
            errors
                .into_iter()
                .map(|error| (api_name(error.field), error.code, error.message)),
        ),
        IntegrationError::NotFound => Problem::not_found("integration"),
        IntegrationError::Conflict => changed_meanwhile(),
        IntegrationError::HasGrants(_) => Problem::conflict("integration_has_grants", error.to_string()),
        IntegrationError::Discovery(trouble) => trouble.into(),
        error => Problem::internal(&error),
    }
}

/// Fields that have another name outside.
fn api_name(field: &'static str) -> &'static str {
    match field {
        "token_auth_method" => "token_endpoint_auth_method",
        "extra_auth_params" => "extra_authorization_parameters",
        other => other,
    }
}

/// What `grant` refused, as the API tells it.
pub(super) fn grant_refused(error: GrantError) -> Problem {
    match error {
        GrantError::NotFound => Problem::not_found("grant"),
        GrantError::Conflict => changed_meanwhile(),
        GrantError::Integration(error) => refused(error),
        GrantError::NeedsReauth(trouble)
        | GrantError::Revoked(trouble)
        | GrantError::Misconfigured(trouble) => Problem::from(trouble).with_status(StatusCode::CONFLICT),
        GrantError::Transient { trouble, .. } => Problem::from(trouble).with_status(StatusCode::BAD_GATEWAY),
        GrantError::Authorization(trouble) => trouble.into(),
        error => Problem::internal(&error),
    }
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let items = integration::list(&ctx, &access.projects(), query.after.as_deref(), query.limit + 1)
        .await
        .map_err(refused)?;
    Ok(output::list_of(
        &query,
        items,
        |item| &item.id,
        |item| show(&ctx, item),
    ))
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let _ = input.required_text("provider");
    let provider = match input.has("provider") {
        true => input.word("provider", Provider::parse, "google, microsoft, custom"),
        false => None,
    };
    let new = NewIntegration {
        name: input.required_text("name"),
        description: input.text("description").unwrap_or_default(),
        provider: provider.unwrap_or(Provider::Custom),
        tenant: input.text("tenant").unwrap_or_default(),
        cloud: input.word("cloud", Cloud::parse, CLOUDS).unwrap_or_default(),
        client_id: input.text("clientId").unwrap_or_default(),
        client_secret: input.secret("clientSecret").unwrap_or_default(),
        secret_expires_at: input.time("secretExpiresAt"),
        scopes: input.texts("scopes").unwrap_or_default(),
        issuer: input.text("issuer").unwrap_or_default(),
        authorization_endpoint: input.text("authorizationEndpoint").unwrap_or_default(),
        token_endpoint: input.text("tokenEndpoint").unwrap_or_default(),
        token_auth_method: input.word("tokenEndpointAuthMethod", AuthMethod::parse, AUTH_METHODS),
        extra_auth_params: input.text_map("extraAuthorizationParameters"),
        flow: input.word("flow", Flow::parse, FLOWS).unwrap_or_default(),
        callback_id: None,
    };
    input.finish()?;
    let made = integration::create(&ctx, access.actor(), new)
        .await
        .map_err(refused)?;
    let path = format!("/api/v1/integrations/{}", made.id);
    Ok(output::created(&path, made.revision, show(&ctx, &made)))
}

const CLOUDS: &str = "global, gcc_high, dod, china";
const AUTH_METHODS: &str = "client_secret_basic, client_secret_post";
const FLOWS: &str = "authorization_code, client_credentials";

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = integration::get(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    Ok(output::tagged(found.revision, show(&ctx, &found)))
}

async fn update(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    input: Input,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let old = integration::get(&ctx, &access.projects(), &id)
            .await
            .map_err(refused)?;
        seen.check(old.revision)?;
        if input
            .text("provider")
            .is_some_and(|provider| provider != old.provider.as_str())
        {
            input.problem(
                "provider",
                "fixed",
                "the provider stays; make another integration for another one",
            );
        }
        let change = IntegrationChange {
            revision: old.revision,
            name: input.text("name"),
            description: input.text("description"),
            tenant: input.text("tenant"),
            cloud: input.word("cloud", Cloud::parse, CLOUDS),
            client_id: input.text("clientId"),
            client_secret: input.secret("clientSecret"),
            secret_expires_at: match input.mentions("secretExpiresAt") {
                true => Some(input.time("secretExpiresAt")),
                false => None,
            },
            scopes: input.texts("scopes"),
            issuer: input.text("issuer"),
            authorization_endpoint: input.text("authorizationEndpoint"),
            token_endpoint: input.text("tokenEndpoint"),
            token_auth_method: input.word("tokenEndpointAuthMethod", AuthMethod::parse, AUTH_METHODS),
            extra_auth_params: input.text_map("extraAuthorizationParameters"),
            flow: input.word("flow", Flow::parse, FLOWS),
        };
        input.finish()?;
        let new = integration::update(&ctx, access.actor(), &id, change)
            .await
            .map_err(refused)?;
        Ok(output::tagged(new.revision, show(&ctx, &new)))
    })
    .await
}

async fn delete(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let old = integration::get(&ctx, &access.projects(), &id)
            .await
            .map_err(refused)?;
        let seen = seen.seen(old.revision)?;
        integration::delete(&ctx, access.actor(), &id, seen)
            .await
            .map_err(refused)?;
        Ok(output::done())
    })
    .await
}

/// Which projects may use it.
async fn projects(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let users = integration::users_of(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    let shown = show_users(&users);
    Ok(output::tagged(Tag::of(&shown), shown))
}

fn show_users(users: &Users) -> Value {
    json!({ "projectIds": users.listed, "allProjects": users.is_open })
}

async fn set_projects(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    input: Input,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let users = integration::users_of(&ctx, &access.projects(), &id)
            .await
            .map_err(refused)?;
        let seen = seen.seen_as(Tag::of(&show_users(&users)), users)?;
        let wanted: Option<BTreeSet<String>> = input.texts("projectIds").map(|ids| ids.into_iter().collect());
        let is_open = input.boolean("allProjects").unwrap_or(false);
        if wanted.is_none() && !is_open {
            input.problem(
                "projectIds",
                "required",
                "`projectIds` is required: a list, which may be empty; or send `allProjects`",
            );
        }
        let wanted = wanted.unwrap_or_default();
        for named in &wanted {
            if project::get(&ctx, &access.projects(), named).await.is_err() {
                input.problem("projectIds", "unknown", format!("there is no project {named}"));
            }
        }
        input.finish()?;
        let reach = if is_open {
            Reach::All
        } else {
            Reach::Listed(wanted)
        };
        integration::set_projects(&ctx, access.actor(), &id, &reach, seen.as_ref())
            .await
            .map_err(refused)?;
        Ok(())
    })
    .await?;
    projects(ctx, access, id).await
}

/// Bound to the token instead of a session: the callback works once, in any browser.
async fn authorize(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let found = integration::get(&ctx, &access.projects(), &id)
        .await
        .map_err(refused)?;
    let project_id = input.text("projectId").unwrap_or_default();
    if project_id.is_empty() && !access.projects().is_all() {
        input.problem(
            "projectId",
            "required",
            "name the project that the account is connected for: only a site admin connects for the whole site",
        );
    } else if !project_id.is_empty() && !access.may(Scope::MailboxesWrite, &project_id) {
        input.problem("projectId", "unknown", "there is no such project");
    }
    let start = StartAuthorization {
        project_id,
        session_id: None,
        actor: access.actor().to_owned(),
        expected_identity: input
            .text("expectedIdentity")
            .filter(|text| !text.trim().is_empty()),
        reconnect_grant_id: input.text("reconnectGrantId").or_else(|| input.text("grantId")),
        return_to: String::new(),
        login_hint: input.text("loginHint"),
    };
    input.finish()?;
    if let Some(grant_id) = &start.reconnect_grant_id {
        grant::get(&ctx, &access.projects(), grant_id)
            .await
            .map_err(grant_refused)?;
    }
    let started = grant::start(&ctx, &found, start).await.map_err(grant_refused)?;
    let path = format!("/api/v1/authorizations/{}", started.id);
    Ok(HttpResponse::Created()
        .insert_header((actix_web::http::header::LOCATION, path))
        .json(show_authorization(&started)))
}

/// Whoever started it sees it, and the site.
async fn authorization(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let found = grant::authorization(&ctx, &id)
        .await
        .map_err(|error| match error {
            GrantError::NotFound => Problem::not_found("authorization"),
            error => grant_refused(error),
        })?;
    if !access.projects().is_all() && found.started_by != access.actor() {
        return Err(Problem::not_found("authorization"));
    }
    Ok(HttpResponse::Ok().json(show_authorization(&found)))
}

async fn decide(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let decision = input.required_text("decision");
    input.finish()?;
    let found = |error| match error {
        GrantError::NotFound => Problem::not_found("authorization"),
        error => grant_refused(error),
    };
    grant::authorization(&ctx, &id).await.map_err(found)?;
    let outcome = match decision.as_str() {
        "accept" => grant::confirm_identity_change(&ctx, access.actor(), &id)
            .await
            .map(|_| ()),
        _ => grant::refuse_identity_change(&ctx, &id).await,
    };
    match outcome {
        Ok(()) => {}
        Err(CallbackError::Grant(error)) => return Err(found(error)),
        Err(CallbackError::Replayed | CallbackError::Expired) => {
            return Err(Problem::conflict(
                "decided_already",
                "no other account waits for a decision here, or it was decided already",
            ));
        }
        Err(error) => return Err(error.trouble().into()),
    }
    let decided = grant::authorization(&ctx, &id).await.map_err(found)?;
    Ok(HttpResponse::Ok().json(show_authorization(&decided)))
}

async fn test(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let test_id = integration_test::start(&ctx, access.actor(), &id)
        .await
        .map_err(grant_refused)?;
    Ok(output::accepted(&format!("/api/v1/tests/{test_id}"), &test_id))
}

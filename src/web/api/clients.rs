//! `/clients`: applications registered at our authorization server. A secret is answered once and never again.

use actix_web::{HttpResponse, web};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::client_protocol;
use super::input::{Input, Query};
use super::output;
use super::tag::{IfMatch, Tag, changed_meanwhile};
use crate::access::{Access, Projects, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::oauth2_server::{
    self, ApplicationType, Client, ClientAuth, ClientError, ClientFields, ClientSession, ClientState,
    GrantType, Legacy, NewClient, TokenFormat,
};
use crate::project;
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, id, input, integer, list_of, object, text, time, word};
use crate::web::route::{Guard, Route};

const MANAGE: Guard = Guard::Scope(Scope::ClientsManage);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/clients", MANAGE, || web::to(list)).doc(|| {
        Doc::new("List clients").about("Applications that get tokens from Mailgrant.").lists(client())
    }),
    Route::post("/api/v1/clients", MANAGE, || web::to(create)).doc(|| {
        Doc::new("Register a client")
            .about("The secret is in this answer and in no other. `autoGrant`, `legacy`, `mayIntrospect` and `requirePkce: false` are a site admin's to give.")
            .takes(fields(
                &["name"],
                [("projectId", id("prj").or_null()), ("clientId", text()), ("clientSecret", text())],
            ))
            .answers(201, "The new client", client().and("clientSecret", text().or_null()).named("NewClient"))
            .tagged()
    }),
    Route::get("/api/v1/clients/{id}", MANAGE, || web::to(get)).doc(|| {
        Doc::new("Show a client").answers(200, "The client", client()).tagged()
    }),
    Route::patch("/api/v1/clients/{id}", MANAGE, || web::to(update)).doc(|| {
        Doc::new("Change a client")
            .about(
                "What is not sent stays. Switching it off, or taking a scope away, ends its tokens. Of a client with \
                 something that only a site admin gives, where its codes go and how it proves itself is a site admin's too. \
                 To approve it, send the `ETag` of what was looked at as `If-Match`: a client that registered itself can \
                 change itself meanwhile.",
            )
            .fails(428, "It is to be approved, and `If-Match` does not say as what")
            .takes(fields(&[], []))
            .answers(200, "The changed client", client())
            .tagged()
    }),
    Route::delete("/api/v1/clients/{id}", MANAGE, || web::to(delete)).doc(|| {
        Doc::new("Remove a client")
            .about("Everything that was given to it ends at once.")
            .answers_nothing(204, "Removed")
            .tagged()
    }),
    Route::post("/api/v1/clients/{id}/secrets", MANAGE, || web::to(rotate)).doc(|| {
        Doc::new("Make a new secret")
            .about(
                "The ones before work on for 24 hours, or end at once with `atOnce`. It is a change of the client: its \
                 `ETag` is another one afterwards.",
            )
            .takes(input(&[], [("atOnce", boolean())]))
            .answers(201, "The secret, shown only now", object([("clientSecret", text())]).named("ClientSecret"))
            .fails(403, "It has what only a site admin gives, and so is a site admin's")
            .fails(409, "It is a public client, which has none")
            .if_match()
    }),
    Route::post("/api/v1/clients/{id}/revoke", MANAGE, || web::to(revoke)).doc(|| {
        Doc::new("End all tokens of a client")
            .about("It is a change of the client: its `ETag` is another one afterwards.")
            .answers_nothing(204, "Ended")
            .if_match()
    }),
    Route::get("/api/v1/clients/{id}/sessions", MANAGE, || web::to(sessions)).doc(|| {
        Doc::new("List what a client was given")
            .about("A session is one consent at one time with all its tokens; the newest first.")
            .lists(session())
    }),
    Route::get("/api/v1/clients/{id}/sessions/{sessionId}", MANAGE, || web::to(one_session))
        .doc(|| Doc::new("Show one session of a client").answers(200, "The session", session()).tagged()),
    Route::delete("/api/v1/clients/{id}/sessions/{sessionId}", MANAGE, || web::to(end_session)).doc(|| {
        Doc::new("End one session of a client")
            .about("All its tokens end at once. What the person allowed stays.")
            .answers_nothing(204, "Ended")
            .tagged()
    }),
];

const GRANTS: [&str; 5] = [
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
];
const METHODS: [&str; 4] = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "none",
];
const LEGACY: [&str; 4] = ["pkce_plain", "token_in_query", "code_id_token", "id_token_at_api"];
const STATES: [&str; 4] = ["draft", "pending", "approved", "disabled"];
const ALGS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// What can be set of a client and is shown of it: texts that may be empty are `null` where they are shown.
fn members(shown: bool) -> Vec<(&'static str, Schema)> {
    let optional = || if shown { text().or_null() } else { text() };
    let mut members = vec![
        ("name", text().about("Shown to people when they are asked")),
        ("description", optional()),
        ("clientUri", optional()),
        ("logoUri", optional()),
        ("policyUri", optional()),
        ("tosUri", optional()),
        ("contacts", list_of(text())),
        ("applicationType", word(&["web", "native"])),
        ("redirectUris", list_of(text())),
        ("grantTypes", list_of(word(&GRANTS))),
        ("scopes", list_of(text())),
        ("tokenEndpointAuthMethod", word(&METHODS)),
        ("requirePkce", boolean()),
        ("autoGrant", boolean()),
        (
            "legacy",
            list_of(word(&LEGACY)).about("What it may do though it is less safe"),
        ),
        ("mayIntrospect", boolean()),
        ("accessTokenFormat", word(&["opaque", "jwt"])),
        ("idTokenAlg", word(&ALGS)),
        ("accessTokenSeconds", integer()),
        ("refreshTokenIdleSeconds", integer()),
        ("refreshTokenAbsoluteSeconds", integer()),
        ("state", word(&STATES)),
    ];
    members.extend(client_protocol::members());
    members
}

fn fields<'a>(required: &[&str], more: impl IntoIterator<Item = (&'a str, Schema)>) -> Schema {
    input(required, members(false).into_iter().chain(more))
}

/// A client as [`show`] writes it.
fn client() -> Schema {
    let own = [
        ("id", id("cli")),
        ("clientId", text()),
        ("projectId", id("prj").or_null()),
        ("lastUsedAt", time().or_null()),
        ("createdAt", time()),
        ("updatedAt", time()),
    ];
    object(own.into_iter().chain(members(true))).named("Client")
}

fn show(client: &Client) -> Value {
    let grants: Vec<&str> = client.grant_types.iter().map(|grant| grant.as_str()).collect();
    let legacy: Vec<&str> = client.legacy.iter().map(|switch| switch.as_str()).collect();
    let mut shown = json!({
        "id": client.id,
        "clientId": client.client_id,
        "projectId": output::text(&client.project_id),
        "name": client.name,
        "description": output::text(&client.description),
        "clientUri": output::text(&client.client_uri),
        "logoUri": output::text(&client.logo_uri),
        "policyUri": output::text(&client.policy_uri),
        "tosUri": output::text(&client.tos_uri),
        "contacts": client.contacts,
        "applicationType": client.application_type.as_str(),
        "redirectUris": client.redirect_uris,
        "grantTypes": grants,
        "scopes": client.scopes,
        "tokenEndpointAuthMethod": client.auth_method.as_str(),
        "requirePkce": client.require_pkce,
        "autoGrant": client.auto_grant,
        "legacy": legacy,
        "mayIntrospect": client.may_introspect,
        "accessTokenFormat": client.token_format.as_str(),
        "idTokenAlg": client.id_token_alg,
        "accessTokenSeconds": client.access_seconds,
        "refreshTokenIdleSeconds": client.refresh_idle_seconds,
        "refreshTokenAbsoluteSeconds": client.refresh_absolute_seconds,
        "state": client.state.as_str(),
        "lastUsedAt": output::time(client.last_used_at),
        "createdAt": rfc3339(client.created_at),
        "updatedAt": rfc3339(client.updated_at),
    });
    let more = client_protocol::show(&client.protocol);
    if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), more) {
        shown.extend(more);
    }
    shown
}

fn refused(error: ClientError) -> Problem {
    match error {
        ClientError::Invalid(errors) => output::invalid(
            errors
                .into_iter()
                .map(|error| (api_name(error.field), error.code, error.message)),
        ),
        ClientError::NotFound => Problem::not_found("client"),
        ClientError::Conflict => changed_meanwhile(),
        ClientError::NoSecret => Problem::conflict("public_client", error.to_string()),
        ClientError::Db(error) => error.into(),
    }
}

/// Fields that have a longer name outside.
fn api_name(field: &'static str) -> &'static str {
    match field {
        "accessSeconds" => "accessTokenSeconds",
        "refreshIdleSeconds" => "refreshTokenIdleSeconds",
        "refreshAbsoluteSeconds" => "refreshTokenAbsoluteSeconds",
        other => other,
    }
}

/// One client that whoever asks may manage.
async fn find(ctx: &Ctx, access: &Access, id: &str) -> Result<Client, Problem> {
    let found = oauth2_server::get(ctx, id).await.map_err(refused)?;
    match access.projects().contains(&found.project_id) {
        true => Ok(found),
        false => Err(Problem::not_found("client")),
    }
}

fn read(input: &mut Input, mut fields: ClientFields) -> ClientFields {
    let words = |input: &mut Input, name: &str| input.texts(name);
    fields.name = input.text("name").unwrap_or(fields.name);
    fields.description = input.text("description").unwrap_or(fields.description);
    fields.client_uri = input.text("clientUri").unwrap_or(fields.client_uri);
    fields.logo_uri = input.text("logoUri").unwrap_or(fields.logo_uri);
    fields.policy_uri = input.text("policyUri").unwrap_or(fields.policy_uri);
    fields.tos_uri = input.text("tosUri").unwrap_or(fields.tos_uri);
    fields.contacts = words(input, "contacts").unwrap_or(fields.contacts);
    fields.application_type = input
        .word("applicationType", ApplicationType::parse, "web, native")
        .unwrap_or(fields.application_type);
    fields.redirect_uris = words(input, "redirectUris").unwrap_or(fields.redirect_uris);
    if let Some(asked) = words(input, "grantTypes") {
        fields.grant_types = asked.iter().filter_map(|grant| GrantType::parse(grant)).collect();
        if fields.grant_types.len() != asked.len() {
            input.problem(
                "grantTypes",
                "invalid",
                format!("`grantTypes` holds words of {}", GRANTS.join(", ")),
            );
        }
    }
    fields.scopes = words(input, "scopes").unwrap_or(fields.scopes);
    fields.auth_method = input
        .word("tokenEndpointAuthMethod", ClientAuth::parse, &METHODS.join(", "))
        .unwrap_or(fields.auth_method);
    fields.require_pkce = input.boolean("requirePkce").unwrap_or(fields.require_pkce);
    fields.auto_grant = input.boolean("autoGrant").unwrap_or(fields.auto_grant);
    if let Some(asked) = words(input, "legacy") {
        fields.legacy = Legacy::ALL
            .into_iter()
            .filter(|switch| asked.iter().any(|word| word == switch.as_str()))
            .collect();
    }
    fields.may_introspect = input.boolean("mayIntrospect").unwrap_or(fields.may_introspect);
    fields.token_format = input
        .word("accessTokenFormat", TokenFormat::parse, "opaque, jwt")
        .unwrap_or(fields.token_format);
    fields.id_token_alg = input.text("idTokenAlg").unwrap_or(fields.id_token_alg);
    fields.access_seconds = input
        .integer("accessTokenSeconds")
        .unwrap_or(fields.access_seconds);
    fields.refresh_idle_seconds = input
        .integer("refreshTokenIdleSeconds")
        .unwrap_or(fields.refresh_idle_seconds);
    fields.refresh_absolute_seconds = input
        .integer("refreshTokenAbsoluteSeconds")
        .unwrap_or(fields.refresh_absolute_seconds);
    fields.state = input
        .word("state", ClientState::parse, &STATES.join(", "))
        .unwrap_or(fields.state);
    fields.protocol = client_protocol::read(input, fields.protocol);
    fields
}

/// What reaches beyond a project is a site admin's to give.
fn check_reach(access: &Access, input: &mut Input, fields: &ClientFields, before: Option<&Client>) {
    if access.has_site(Scope::ClientsManage) {
        return;
    }
    for error in oauth2_server::beyond_a_project(fields, before) {
        input.problem(error.field, error.code, error.message);
    }
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let projects: Option<Vec<String>> = match access.projects() {
        Projects::All => None,
        Projects::Only(ids) => Some(ids.into_iter().collect()),
    };
    let all = oauth2_server::list(&ctx, projects.as_deref())
        .await
        .map_err(refused)?;
    Ok(output::list_from_all(&query, all, |client| &client.id, show))
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let _ = input.required_text("name");
    let project_id = input.text("projectId").unwrap_or_default();
    if !project_id.is_empty() {
        let known = project::get(&ctx, &access.projects(), &project_id).await;
        if known.is_err() {
            input.problem("projectId", "unknown", "there is no such project");
        }
    } else if !access.has_site(Scope::ClientsManage) {
        input.problem("projectId", "required", "name the project the client belongs to");
    }
    let fields = read(&mut input, ClientFields::default());
    check_reach(&access, &mut input, &fields, None);
    let new = NewClient {
        fields,
        project_id,
        client_id: input.text("clientId").unwrap_or_default(),
        client_secret: input.secret("clientSecret").unwrap_or_default(),
    };
    input.finish()?;
    let made = oauth2_server::create(&ctx, access.actor(), new)
        .await
        .map_err(refused)?;
    let mut body = show(&made.client);
    if let Some(members) = body.as_object_mut() {
        let secret = made.secret.as_ref().map(SecretString::expose_secret);
        members.insert("clientSecret".into(), secret.into());
    }
    let path = format!("/api/v1/clients/{}", made.client.id);
    Ok(output::created(&path, made.client.revision, body))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access, &id).await?;
    Ok(output::tagged(found.revision, show(&found)))
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
        let old = find(&ctx, &access, &id).await?;
        seen.check(old.revision)?;
        let fields = read(&mut input, old.fields.clone());
        check_reach(&access, &mut input, &fields, Some(&old));
        input.finish()?;
        // What is approved is what somebody read, not what a client that manages itself made of it since.
        if fields.state == ClientState::Approved && old.state != ClientState::Approved {
            seen.looked_at()?;
        }
        let new = oauth2_server::update(&ctx, access.actor(), &id, old.revision, fields)
            .await
            .map_err(refused)?;
        Ok(output::tagged(new.revision, show(&new)))
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
        let old = find(&ctx, &access, &id).await?;
        let seen = seen.seen(old.revision)?;
        oauth2_server::delete(&ctx, access.actor(), &id, seen)
            .await
            .map_err(refused)?;
        Ok(output::done())
    })
    .await
}

async fn rotate(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    input: Input,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let at_once = input.boolean("atOnce").unwrap_or(false);
        input.finish()?;
        let found = find(&ctx, &access, &id).await?;
        let seen = seen.seen(found.revision)?;
        if !access.has_site(Scope::ClientsManage) && oauth2_server::reaches_beyond(&found) {
            return Err(Problem::forbidden(
                "site_admin_only",
                "this client has what only a site admin gives, so a new secret is a site admin's to make",
            ));
        }
        let secret = oauth2_server::rotate_secret(&ctx, access.actor(), &found.id, seen, at_once)
            .await
            .map_err(refused)?;
        Ok(HttpResponse::Created().json(json!({ "clientSecret": secret.expose_secret() })))
    })
    .await
}

async fn revoke(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let found = find(&ctx, &access, &id).await?;
        let seen = seen.seen(found.revision)?;
        oauth2_server::revoke_all(&ctx, access.actor(), &found.id, seen)
            .await
            .map_err(refused)?;
        Ok(output::done())
    })
    .await
}

/// A session as [`show_session`] writes it.
fn session() -> Schema {
    object([
        ("id", id("fam")),
        ("userId", id("usr").or_null()),
        ("userName", text().or_null()),
        ("userEmail", text().or_null()),
        ("scopes", list_of(text())),
        ("projectIds", list_of(id("prj"))),
        ("accessTokens", integer()),
        ("hasRefreshToken", boolean()),
        ("createdAt", time()),
        ("lastTokenAt", time().or_null()),
        ("expiresAt", time()),
    ])
    .named("ClientSession")
}

fn show_session(session: &ClientSession) -> Value {
    json!({
        "id": session.id,
        "userId": output::text(&session.user_id),
        "userName": output::text(&session.user_name),
        "userEmail": output::text(&session.user_email),
        "scopes": session.scopes,
        "projectIds": session.projects,
        "accessTokens": session.access_tokens,
        "hasRefreshToken": session.has_refresh_token,
        "createdAt": rfc3339(session.created_at),
        "lastTokenAt": output::time(session.last_token_at),
        "expiresAt": rfc3339(session.expires_at),
    })
}

async fn sessions(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access, &id).await?;
    let before = query.after.as_deref();
    let all = oauth2_server::client_sessions(&ctx, &found.id, before, query.limit + 1)
        .await
        .map_err(refused)?;
    Ok(output::list_of(&query, all, |session| &session.id, show_session))
}

fn no_session(error: ClientError) -> Problem {
    match error {
        ClientError::NotFound => Problem::not_found("session"),
        other => refused(other),
    }
}

/// The client's id, and a session of it as it is shown.
async fn find_session(
    ctx: &Ctx,
    access: &Access,
    path: &(String, String),
) -> Result<(String, Value), Problem> {
    let client = find(ctx, access, &path.0).await?;
    let found = oauth2_server::client_session(ctx, &client.id, &path.1)
        .await
        .map_err(no_session)?;
    Ok((client.id, show_session(&found)))
}

async fn one_session(
    ctx: web::Data<Ctx>,
    access: Access,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (_, shown) = find_session(&ctx, &access, &path).await?;
    Ok(output::tagged(Tag::of(&shown), shown))
}

async fn end_session(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (client, shown) = find_session(&ctx, &access, &path).await?;
    seen.check(Tag::of(&shown))?;
    oauth2_server::end_client_session(&ctx, access.actor(), &client, &path.1)
        .await
        .map_err(no_session)?;
    Ok(output::done())
}

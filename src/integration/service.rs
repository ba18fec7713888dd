//! Use cases of integrations: what an admin typed is checked here, every mistake beside its field, before anything
//! is written.

use std::collections::BTreeSet;

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;

use super::discovery::{Discovered, discover};
use super::error::{DbErr, FieldError, IntegrationError};
use super::model::{Flow, Integration, IntegrationChange, IntegrationState, NewIntegration};
use super::preset::{Preset, preset};
use super::store;
use crate::access::Projects;
use crate::config::Config;
use crate::crypto::random_token;
use crate::ctx::Ctx;
use crate::db::is_duplicate;
use crate::event::{self, NewEvent};
use crate::id;
use crate::net::EndpointError;
use crate::oauth2_client::{AuthMethod, ClientConfig, Provider, TokenClient};
use crate::trouble::Trouble;

/// How long a callback id drawn for an open form stays usable.
const DRAFT_MS: i64 = 24 * 3600 * 1000;
/// Parameters of the authorization request that nobody may override.
const RESERVED: [&str; 8] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
];

/// Whose callback id this is.
#[derive(Debug)]
pub enum CallbackOwner {
    /// An integration's present one.
    Current(Box<Integration>),
    /// One that was replaced when an endpoint changed.
    Retired(Box<Integration>),
    /// Nobody's.
    Unknown,
}

/// The redirect URL of an integration, as it must be registered at the provider.
pub fn redirect_url(config: &Config, integration: &Integration) -> String {
    callback_url(config, &integration.callback_id)
}

fn callback_url(config: &Config, callback_id: &str) -> String {
    config.url(&format!("/oauth2/callback/{callback_id}"))
}

/// Draws a callback id for a form that just opened, and the redirect URL it will have. Unused it lasts 24 hours.
pub async fn draft_callback(ctx: &Ctx) -> Result<(String, String), IntegrationError> {
    let callback = random_token(18);
    let now = ctx.clock.now_ms();
    store::insert_draft(ctx.db.write(), &callback, now, now - DRAFT_MS).await?;
    let url = callback_url(&ctx.config, &callback);
    Ok((callback, url))
}

/// A page of the integrations that these projects may use, in order of making, after the id `after`.
pub async fn list(
    ctx: &Ctx,
    projects: &Projects,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<Integration>, IntegrationError> {
    Ok(store::list(ctx.db.read(), projects, after, limit).await?)
}

/// One integration that these projects may use.
pub async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Integration, IntegrationError> {
    store::visible(ctx.db.read(), projects, id)
        .await?
        .ok_or(IntegrationError::NotFound)
}

/// Which projects may use an integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every one, later ones too.
    All,
    /// These.
    Listed(BTreeSet<String>),
}

/// Which projects may use an integration, as it is seen from `projects`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// Those of `projects` that may.
    pub listed: Vec<String>,
    /// Whether every project may, later ones too.
    pub is_open: bool,
}

/// Which of these projects may use an integration.
pub async fn users_of(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Users, IntegrationError> {
    get(ctx, projects, id).await?;
    let mut users = all_users(ctx.db.read(), id).await?;
    users.listed.retain(|project| projects.contains(project));
    Ok(users)
}

async fn all_users<C: ConnectionTrait>(on: &C, id: &str) -> Result<Users, DbErr> {
    let is_open = store::is_open(on, id).await?;
    let listed = if is_open {
        store::all_projects(on).await?
    } else {
        store::projects_of(on, id).await?
    };
    Ok(Users { listed, is_open })
}

/// Says which projects may use an integration, if they still are those that were `seen`: their admins then connect
/// accounts with it, without seeing its secret. Mailboxes that read through it already stay.
pub async fn set_projects(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    wanted: &Reach,
    seen: Option<&Users>,
) -> Result<(), IntegrationError> {
    let tx = ctx.db.begin().await?;
    if !store::lock(&tx, id).await? {
        return Err(IntegrationError::NotFound);
    }
    let found = store::get(&tx, id).await?.ok_or(IntegrationError::NotFound)?;
    if let Some(seen) = seen
        && *seen != all_users(&tx, id).await?
    {
        return Err(IntegrationError::Conflict);
    }
    let none = BTreeSet::new();
    let listed = match wanted {
        Reach::All => &none,
        Reach::Listed(listed) => listed,
    };
    store::set_open(&tx, id, *wanted == Reach::All).await?;
    store::set_projects(&tx, id, listed).await?;
    let data = json!({ "name": found.name, "projects": listed, "allProjects": *wanted == Reach::All });
    store::append(ctx, &tx, "integration.updated", &found, actor, data).await?;
    tx.commit().await?;
    Ok(())
}

/// Whose callback id this is.
pub async fn find_callback(ctx: &Ctx, callback_id: &str) -> Result<CallbackOwner, IntegrationError> {
    if let Some(found) = store::by_callback(ctx.db.read(), callback_id).await? {
        return Ok(CallbackOwner::Current(Box::new(found)));
    }
    let retired = store::by_retired_callback(ctx.db.read(), callback_id).await?;
    Ok(retired.map_or(CallbackOwner::Unknown, |found| {
        CallbackOwner::Retired(Box::new(found))
    }))
}

/// Registers an integration.
pub async fn create(ctx: &Ctx, actor: &str, input: NewIntegration) -> Result<Integration, IntegrationError> {
    let now = ctx.clock.now_ms();
    let mut draft = from_input(ctx, &input, now);
    let secret = Secret::of(&input.client_secret, false);
    let mut errors = fill_from_issuer(ctx, &mut draft).await;
    errors.extend(check(ctx, &draft, &secret).await?);
    if let Some(callback) = input.callback_id.as_deref() {
        draft.callback_id = callback.to_owned();
    }
    if !errors.is_empty() {
        return Err(IntegrationError::Invalid(errors));
    }
    let sealed = ctx
        .keys
        .seal(&store::secret_place(&draft.id), &input.client_secret);
    draft.has_secret = !sealed.is_empty();

    let tx = ctx.db.begin().await?;
    if input.callback_id.is_some() && !store::take_draft(&tx, &draft.callback_id, now - DRAFT_MS).await? {
        return Err(IntegrationError::Invalid(vec![FieldError::new(
            "callback_id",
            "callback_expired",
            "This form was opened more than a day ago, or was saved already, and its redirect URL is no longer \
             reserved. Open the form again and register the redirect URL it shows.",
        )]));
    }
    store::insert(&tx, &draft, sealed).await.map_err(duplicate_name)?;
    store::append(
        ctx,
        &tx,
        "integration.created",
        &draft,
        actor,
        json!({ "name": draft.name }),
    )
    .await?;
    tx.commit().await?;
    Ok(draft)
}

/// Saves a change. Saving clears `misconfigured`, so that its grants are tried again at once; a new authorization or
/// token endpoint draws a new callback id and ends pending authorizations.
pub async fn update(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    change: IntegrationChange,
) -> Result<Integration, IntegrationError> {
    let old = get(ctx, &Projects::All, id).await?;
    if old.revision != change.revision {
        return Err(IntegrationError::Conflict);
    }
    let now = ctx.clock.now_ms();
    let new_secret = change
        .client_secret
        .clone()
        .filter(|secret| !secret.expose_secret().is_empty());
    let mut new = changed(&old, change, now);
    let secret = match &new_secret {
        Some(secret) => Secret::of(secret, false),
        None => Secret::kept(old.has_secret),
    };
    let mut errors = Vec::new();
    if new.issuer != old.issuer {
        errors = fill_from_issuer(ctx, &mut new).await;
    }
    errors.extend(check(ctx, &new, &secret).await?);
    if !errors.is_empty() {
        return Err(IntegrationError::Invalid(errors));
    }
    let moved = is_moved(&old, &new);
    if moved {
        new.callback_id = random_token(18);
        forget_discovery(&old, &mut new);
    }
    if new_secret.is_some() {
        new.has_secret = true;
        new.secret_set_at = now;
    }
    let sealed = new_secret.map(|secret| ctx.keys.seal(&store::secret_place(id), &secret));
    let secret_changed = sealed.is_some();

    let tx = ctx.db.begin().await?;
    if !store::replace(&tx, &new, sealed, old.revision)
        .await
        .map_err(duplicate_name)?
    {
        return Err(IntegrationError::Conflict);
    }
    if moved {
        store::retire_callback(&tx, id, &old.callback_id, now).await?;
    }
    let data = json!({ "secretChanged": secret_changed, "redirectUrlChanged": moved });
    store::append(ctx, &tx, "integration.updated", &new, actor, data).await?;
    tx.commit().await?;
    ctx.nudge.now();
    Ok(new)
}

/// Deletes an integration that no living grant needs, if it is still as it was `seen`.
pub async fn delete(ctx: &Ctx, actor: &str, id: &str, seen: Option<i64>) -> Result<(), IntegrationError> {
    let tx = ctx.db.begin().await?;
    let found = store::get(&tx, id).await?.ok_or(IntegrationError::NotFound)?;
    let blocking = store::blocking_grants(&tx, id).await?;
    if !blocking.is_empty() {
        return Err(IntegrationError::HasGrants(blocking));
    }
    if !store::delete(&tx, id, seen).await? {
        return Err(IntegrationError::Conflict);
    }
    store::append(
        ctx,
        &tx,
        "integration.deleted",
        &found,
        actor,
        json!({ "name": found.name }),
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Notes that the provider refused the client itself. Nothing happens if somebody saved the integration since
/// revision `seen`, for then the refusal was about what it no longer says.
pub async fn mark_misconfigured(
    ctx: &Ctx,
    id: &str,
    seen: i64,
    trouble: &Trouble,
) -> Result<(), IntegrationError> {
    let tx = ctx.db.begin().await?;
    if store::mark_misconfigured(&tx, id, seen, trouble, ctx.clock.now_ms()).await? {
        let event = NewEvent {
            kind: "integration.misconfigured",
            project_id: "",
            subject_id: id,
            actor: event::SYSTEM,
            data: json!(trouble),
        };
        event::append(&tx, &ctx.clock, event).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// A client of the integration's token endpoint, secret included.
pub async fn token_client(ctx: &Ctx, integration: &Integration) -> Result<TokenClient, IntegrationError> {
    let client_secret = store::secret(ctx.db.read(), &ctx.keys, &integration.id).await??;
    let config = ClientConfig {
        provider: integration.provider,
        token_endpoint: integration.token_endpoint.clone(),
        client_id: integration.client_id.clone(),
        client_secret,
        auth_method: integration.token_auth_method,
    };
    Ok(TokenClient::new(&ctx.dialer, &ctx.clock, config))
}

/// For a custom provider whose issuer nobody entered: asks the token endpoint's own host once, and keeps the answer if
/// it is about this token endpoint. A failure changes nothing.
pub async fn remember_discovery(ctx: &Ctx, integration: &mut Integration) -> Result<(), IntegrationError> {
    if integration.provider != Provider::Custom || !integration.issuer.is_empty() {
        return Ok(());
    }
    let Ok(endpoint) = Url::parse(&integration.token_endpoint) else {
        return Ok(());
    };
    let Ok(found) = discover(ctx, &endpoint.origin().ascii_serialization()).await else {
        return Ok(());
    };
    if same_url(&found.token_endpoint, &integration.token_endpoint) {
        take_discovered(integration, found);
        store::remember_discovery(ctx.db.write(), integration).await?;
    }
    Ok(())
}

fn take_discovered(integration: &mut Integration, found: Discovered) {
    integration.issuer = found.issuer;
    integration.userinfo_endpoint = found.userinfo_endpoint;
    integration.revocation_endpoint = found.revocation_endpoint;
    integration.iss_announced = found.iss_announced;
}

/// A custom integration with an issuer gets what that issuer announces; endpoints left empty are filled.
async fn fill_from_issuer(ctx: &Ctx, draft: &mut Integration) -> Vec<FieldError> {
    if draft.provider != Provider::Custom || draft.issuer.is_empty() {
        return Vec::new();
    }
    let found = match discover(ctx, &draft.issuer).await {
        Ok(found) => found,
        Err(IntegrationError::Discovery(trouble)) => {
            let message = format!("{} {}", trouble.cause, trouble.remedy);
            return vec![FieldError::new("issuer", trouble.code, message)];
        }
        Err(_) => return Vec::new(),
    };
    if draft.authorization_endpoint.is_empty() {
        draft
            .authorization_endpoint
            .clone_from(&found.authorization_endpoint);
    }
    if draft.token_endpoint.is_empty() {
        draft.token_endpoint.clone_from(&found.token_endpoint);
    }
    if same_url(&found.token_endpoint, &draft.token_endpoint) {
        take_discovered(draft, found);
    }
    Vec::new()
}

fn from_input(ctx: &Ctx, input: &NewIntegration, now: i64) -> Integration {
    let tenant = tenant_of(input.provider, &input.tenant);
    let known = preset(input.provider, &tenant, input.cloud, input.flow);
    let scopes = tidy_scopes(&input.scopes);
    let mut new = Integration {
        id: id::new("int", &ctx.clock),
        name: input.name.trim().to_owned(),
        description: input.description.trim().to_owned(),
        provider: input.provider,
        tenant,
        cloud: input.cloud,
        client_id: input.client_id.trim().to_owned(),
        has_secret: false,
        secret_set_at: now,
        secret_expires_at: input.secret_expires_at,
        scopes: if scopes.is_empty() {
            known.scopes.clone()
        } else {
            scopes
        },
        issuer: input.issuer.trim().to_owned(),
        authorization_endpoint: or(&input.authorization_endpoint, &known.authorization_endpoint),
        token_endpoint: or(&input.token_endpoint, &known.token_endpoint),
        userinfo_endpoint: String::new(),
        revocation_endpoint: String::new(),
        iss_announced: false,
        token_auth_method: input
            .token_auth_method
            .or(known.token_auth_method)
            .unwrap_or(AuthMethod::ClientSecretBasic),
        extra_auth_params: input
            .extra_auth_params
            .clone()
            .unwrap_or_else(|| known.extra_auth_params.clone()),
        flow: input.flow,
        callback_id: random_token(18),
        state: IntegrationState::Ok,
        trouble: None,
        error_at: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    take_preset(&mut new, &known);
    new
}

/// What the preset knows about endpoints nobody types; only if the token endpoint is the preset's own.
fn take_preset(integration: &mut Integration, known: &Preset) {
    if integration.provider != Provider::Custom
        && same_url(&integration.token_endpoint, &known.token_endpoint)
    {
        integration.issuer.clone_from(&known.issuer);
        integration.userinfo_endpoint.clone_from(&known.userinfo_endpoint);
        integration
            .revocation_endpoint
            .clone_from(&known.revocation_endpoint);
    }
}

fn changed(old: &Integration, change: IntegrationChange, now: i64) -> Integration {
    let mut new = old.clone();
    let trimmed =
        |text: Option<String>, old: &str| text.map_or_else(|| old.to_owned(), |text| text.trim().to_owned());
    new.name = trimmed(change.name, &old.name);
    new.description = trimmed(change.description, &old.description);
    new.tenant = change
        .tenant
        .map_or_else(|| old.tenant.clone(), |tenant| tenant_of(old.provider, &tenant));
    new.cloud = change.cloud.unwrap_or(old.cloud);
    new.client_id = trimmed(change.client_id, &old.client_id);
    new.flow = change.flow.unwrap_or(old.flow);
    new.issuer = trimmed(change.issuer, &old.issuer);
    if let Some(end) = change.secret_expires_at {
        new.secret_expires_at = end;
    }
    if let Some(method) = change.token_auth_method {
        new.token_auth_method = method;
    }
    if let Some(params) = change.extra_auth_params {
        new.extra_auth_params = params;
    }
    let before = preset(old.provider, &old.tenant, old.cloud, old.flow);
    let after = preset(old.provider, &new.tenant, new.cloud, new.flow);
    // A form sends back the endpoints it was filled with. Those of the old tenant or cloud follow to the new one.
    let follow = |typed: Option<String>, old: &str, before: &str, after: &str| {
        let typed = typed.map_or_else(|| old.to_owned(), |typed| typed.trim().to_owned());
        if typed.is_empty() || (before != after && typed == before) {
            after.to_owned()
        } else {
            typed
        }
    };
    new.authorization_endpoint = follow(
        change.authorization_endpoint,
        &old.authorization_endpoint,
        &before.authorization_endpoint,
        &after.authorization_endpoint,
    );
    new.token_endpoint = follow(
        change.token_endpoint,
        &old.token_endpoint,
        &before.token_endpoint,
        &after.token_endpoint,
    );
    let scopes = change
        .scopes
        .map_or_else(|| old.scopes.clone(), |scopes| tidy_scopes(&scopes));
    new.scopes = if scopes.is_empty() || (scopes == before.scopes && before.scopes != after.scopes) {
        after.scopes.clone()
    } else {
        scopes
    };
    take_preset(&mut new, &after);
    new.state = IntegrationState::Ok;
    new.trouble = None;
    new.error_at = None;
    new.revision = old.revision + 1;
    new.updated_at = now;
    new
}

fn is_moved(old: &Integration, new: &Integration) -> bool {
    !same_url(&old.authorization_endpoint, &new.authorization_endpoint)
        || !same_url(&old.token_endpoint, &new.token_endpoint)
}

/// What was learnt about the old endpoints does not hold for new ones.
fn forget_discovery(old: &Integration, new: &mut Integration) {
    let stale = new.issuer == old.issuer && !same_url(&old.token_endpoint, &new.token_endpoint);
    if new.provider == Provider::Custom && stale {
        new.issuer.clear();
        new.userinfo_endpoint.clear();
        new.revocation_endpoint.clear();
        new.iss_announced = false;
    }
}

/// What is known of the secret while a form is checked.
struct Secret {
    present: bool,
    printable: bool,
}

impl Secret {
    fn of(secret: &SecretString, kept: bool) -> Self {
        let text = secret.expose_secret();
        Self {
            present: kept || !text.is_empty(),
            printable: !text.chars().any(char::is_control) && text.len() <= 10_000,
        }
    }

    fn kept(present: bool) -> Self {
        Self {
            present,
            printable: true,
        }
    }
}

async fn check(ctx: &Ctx, new: &Integration, secret: &Secret) -> Result<Vec<FieldError>, IntegrationError> {
    let mut errors = Vec::new();
    check_texts(new, secret, &mut errors);
    check_flow(new, secret, &mut errors);
    check_params(&new.extra_auth_params, &mut errors);
    if !new.name.is_empty() && store::name_taken(ctx.db.read(), &new.name, &new.id).await? {
        errors.push(name_taken());
    }
    let needs_authorization = new.flow == Flow::AuthorizationCode;
    let fields = [
        (
            "authorization_endpoint",
            &new.authorization_endpoint,
            needs_authorization,
        ),
        ("token_endpoint", &new.token_endpoint, true),
    ];
    let known = preset(new.provider, &new.tenant, new.cloud, new.flow);
    let known = [&known.authorization_endpoint, &known.token_endpoint];
    for (field, value, required) in fields {
        // A provider's own address is right even while this machine's name server is not; dialling looks again.
        if !known.contains(&value) || value.is_empty() {
            check_endpoint(ctx, field, value, required, &mut errors).await;
        }
    }
    Ok(errors)
}

fn check_texts(new: &Integration, secret: &Secret, errors: &mut Vec<FieldError>) {
    let controls = |text: &str| text.chars().any(char::is_control);
    if new.name.is_empty() {
        errors.push(FieldError::new(
            "name",
            "required",
            "Give the integration a name.",
        ));
    } else if new.name.chars().count() > 100 || controls(&new.name) {
        errors.push(FieldError::new(
            "name",
            "too_long",
            "Use at most 100 characters on one line.",
        ));
    }
    if new.description.chars().count() > 1000 {
        errors.push(FieldError::new(
            "description",
            "too_long",
            "Use at most 1000 characters.",
        ));
    }
    if new.client_id.is_empty() {
        errors.push(FieldError::new(
            "client_id",
            "required",
            "Enter the client id that the provider gave this client.",
        ));
    } else if new.client_id.len() > 1000 || controls(&new.client_id) {
        errors.push(FieldError::new(
            "client_id",
            "malformed",
            "A client id is one line of text; copy it again.",
        ));
    }
    if !secret.printable {
        errors.push(FieldError::new(
            "client_secret",
            "malformed",
            "A client secret is one line of text; copy it again.",
        ));
    }
    let bad_scope = new.scopes.iter().find(|scope| {
        // RFC 6749, section 3.3.
        !scope
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
            || scope.len() > 500
    });
    if bad_scope.is_some() {
        errors.push(FieldError::new(
            "scopes",
            "malformed",
            "A scope holds no quotes, backslashes or letters beyond ASCII; separate scopes by spaces.",
        ));
    }
    if new.scopes.len() > 50 {
        errors.push(FieldError::new("scopes", "too_many", "Use at most 50 scopes."));
    }
    if !new
        .tenant
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        || new.tenant.len() > 253
    {
        errors.push(FieldError::new(
            "tenant",
            "malformed",
            "Enter the tenant id (a GUID), its domain, or common.",
        ));
    }
}

fn check_flow(new: &Integration, secret: &Secret, errors: &mut Vec<FieldError>) {
    let app_only = new.flow == Flow::ClientCredentials;
    if !secret.present && (app_only || new.provider != Provider::Custom) {
        errors.push(FieldError::new(
            "client_secret",
            "required",
            "Enter the client secret that the provider gave this client.",
        ));
    }
    if app_only && new.provider == Provider::Google {
        errors.push(FieldError::new(
            "flow",
            "flow_unsupported",
            "Google has no client credentials for mail. Choose the authorization code flow.",
        ));
    }
    let shared = ["", "common", "organizations", "consumers"].contains(&new.tenant.as_str());
    if app_only && new.provider == Provider::Microsoft && shared {
        errors.push(FieldError::new(
            "tenant",
            "tenant_needed",
            "App-only access needs one tenant: enter its id (a GUID) or domain instead of common.",
        ));
    }
}

fn check_params(params: &BTreeMap<String, String>, errors: &mut Vec<FieldError>) {
    for (name, value) in params {
        if RESERVED.contains(&name.as_str()) {
            errors.push(FieldError::new(
                "extra_auth_params",
                "reserved",
                format!("Mailgrant sets {name} itself; remove it from the extra parameters."),
            ));
        } else if name.trim().is_empty()
            || name.len() > 100
            || value.len() > 1000
            || value.chars().any(char::is_control)
        {
            errors.push(FieldError::new(
                "extra_auth_params",
                "malformed",
                "Extra parameters are name=value, one per line.",
            ));
        }
    }
}

async fn check_endpoint(
    ctx: &Ctx,
    field: &'static str,
    value: &str,
    required: bool,
    errors: &mut Vec<FieldError>,
) {
    if value.is_empty() {
        if required {
            let message = "Enter the address from the provider's documentation, or the issuer to find it.";
            errors.push(FieldError::new(field, "required", message));
        }
        return;
    }
    let malformed =
        "This is not a web address. Copy the full https:// address from the provider's documentation.";
    let Ok(url) = Url::parse(value) else {
        errors.push(FieldError::new(field, "invalid_url", malformed));
        return;
    };
    if value.len() > 2000 {
        errors.push(FieldError::new(field, "invalid_url", malformed));
        return;
    }
    if let Err(error) = ctx.dialer.check_endpoint(&url).await {
        errors.push(endpoint_error(field, &error));
    }
}

fn endpoint_error(field: &'static str, error: &EndpointError) -> FieldError {
    let cause = error.to_string();
    let mut letters = cause.chars();
    let sentence: String = letters
        .next()
        .map(char::to_uppercase)
        .into_iter()
        .flatten()
        .chain(letters)
        .collect();
    FieldError::new(field, error.code(), format!("{sentence}. {}", error.remedy()))
}

fn name_taken() -> FieldError {
    FieldError::new(
        "name",
        "duplicate_name",
        "Another integration has this name already. Choose another one.",
    )
}

fn duplicate_name(error: DbErr) -> IntegrationError {
    if is_duplicate(&error) {
        return IntegrationError::Invalid(vec![name_taken()]);
    }
    error.into()
}

fn tenant_of(provider: Provider, tenant: &str) -> String {
    let tenant = tenant.trim();
    match provider {
        Provider::Microsoft if tenant.is_empty() => "common".to_owned(),
        Provider::Microsoft => tenant.to_ascii_lowercase(),
        _ => String::new(),
    }
}

fn tidy_scopes(scopes: &[String]) -> Vec<String> {
    let mut tidy: Vec<String> = Vec::new();
    for scope in scopes.iter().flat_map(|scope| scope.split_whitespace()) {
        if !tidy.iter().any(|known| known == scope) {
            tidy.push(scope.to_owned());
        }
    }
    tidy
}

fn or(typed: &str, otherwise: &str) -> String {
    let typed = typed.trim();
    if typed.is_empty() { otherwise } else { typed }.to_owned()
}

/// Whether two addresses are one, whatever their spelling (letter case of the host, a default port).
fn same_url(a: &str, b: &str) -> bool {
    match (Url::parse(a), Url::parse(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

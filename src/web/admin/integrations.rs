//! Integrations: list, form, detail, deletion, and starting a consent with one.

use std::collections::BTreeMap;

use actix_web::web;
use chrono::NaiveDate;
use serde::Deserialize;

use super::attention::{self, Overview};
use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::integrations::{
    Fact, IntegrationDetail, IntegrationForm, IntegrationGrant, IntegrationList, IntegrationRow,
    IntegrationValues, Secret,
};
use super::views::parts::{Badge, Choice, Confirm, FormErrors, Tone};
use super::{connect, test_runs, words};
use crate::access::Role;
use crate::connection_test;
use crate::integration::{
    self, AuthMethod, Cloud, FieldError, Flow, Integration, IntegrationChange, IntegrationError,
    NewIntegration, Provider,
};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/integrations", Guard::Role(Role::ProjectAdmin), || web::to(list)),
    Route::post("/integrations", Guard::Role(Role::SiteAdmin), || web::to(create)),
    Route::get("/integrations/new", Guard::Role(Role::SiteAdmin), || web::to(new)),
    Route::get("/integrations/{id}", Guard::Role(Role::ProjectAdmin), || {
        web::to(detail)
    }),
    Route::post("/integrations/{id}", Guard::Role(Role::SiteAdmin), || {
        web::to(update)
    }),
    Route::get("/integrations/{id}/edit", Guard::Role(Role::SiteAdmin), || {
        web::to(edit)
    }),
    Route::get("/integrations/{id}/delete", Guard::Role(Role::SiteAdmin), || {
        web::to(confirm_delete)
    }),
    Route::post("/integrations/{id}/delete", Guard::Role(Role::SiteAdmin), || {
        web::to(delete)
    }),
    Route::post(
        "/integrations/{id}/authorizations",
        Guard::Role(Role::ProjectAdmin),
        || web::to(authorize),
    ),
];

const DAY_MS: i64 = 24 * 3_600_000;

async fn list(desk: Desk) -> Answer {
    let now = desk.now();
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let mut integrations = Vec::new();
    for integration in &overview.integrations {
        let test = connection_test::latest_of(desk.ctx.db.read(), &integration.id).await?;
        integrations.push(IntegrationRow {
            id: integration.id.clone(),
            name: integration.name.clone(),
            provider: words::provider(integration.provider).to_owned(),
            icon: words::provider_icon(integration.provider).to_owned(),
            flow: flow_name(integration.flow).to_owned(),
            state: words::integration_badge(integration),
            grants: overview.grants_of(&integration.id).count() as u64,
            secret: secret_line(integration, now),
            last_test: test.map(|run| words::when(now, run.created_at)),
        });
    }
    integrations.sort_by_key(|row| row.name.to_lowercase());
    desk.show(&IntegrationList {
        page: desk
            .page_with("Integrations", Section::Integrations, &overview)
            .await?,
        integrations,
    })
}

fn flow_name(flow: Flow) -> &'static str {
    match flow {
        Flow::AuthorizationCode => "Authorization code",
        Flow::ClientCredentials => "Client credentials",
    }
}

fn secret_line(integration: &Integration, now: i64) -> String {
    if !integration.has_secret {
        return "None".to_owned();
    }
    let set = format!("Set {}", words::relative(now, integration.secret_set_at));
    match integration.secret_expires_at {
        Some(end) if end <= now => format!("{set}, expired {}", words::relative(now, end)),
        Some(end) => format!("{set}, expires {}", words::relative(now, end)),
        None => set,
    }
}

#[derive(Deserialize)]
struct Chosen {
    #[serde(default)]
    provider: String,
    #[serde(default)]
    wizard: String,
}

async fn new(desk: Desk, chosen: web::Query<Chosen>) -> Answer {
    let provider = Provider::parse(&chosen.provider).unwrap_or(Provider::Google);
    let mut values = preset_values(provider);
    values.callback_id = integration::draft_callback(&desk.ctx).await?.0;
    values.wizard.clone_from(&chosen.wizard);
    let typed = Typed {
        provider,
        auth_method: preset_of(provider).token_auth_method,
        values,
        ..Typed::default()
    };
    desk.show(&form(&desk, None, &typed, FormErrors::default()).await?)
}

fn preset_of(provider: Provider) -> integration::Preset {
    let tenant = default_tenant(provider);
    integration::preset(provider, tenant, Cloud::Global, Flow::AuthorizationCode)
}

fn default_tenant(provider: Provider) -> &'static str {
    match provider {
        Provider::Microsoft => connect::DEFAULT_TENANT,
        _ => "",
    }
}

fn preset_values(provider: Provider) -> IntegrationValues {
    let known = preset_of(provider);
    IntegrationValues {
        name: match provider {
            Provider::Custom => String::new(),
            known => words::provider(known).to_owned(),
        },
        scopes: known.scopes.join("\n"),
        authorization_endpoint: known.authorization_endpoint,
        token_endpoint: known.token_endpoint,
        issuer: known.issuer,
        extra_params: param_lines(&known.extra_auth_params),
        tenant: default_tenant(provider).to_owned(),
        ..IntegrationValues::default()
    }
}

fn param_lines(params: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    lines.join("\n")
}

/// What the form holds, as typed and as understood.
struct Typed {
    provider: Provider,
    values: IntegrationValues,
    client_secret: secrecy::SecretString,
    cloud: Cloud,
    flow: Flow,
    auth_method: Option<AuthMethod>,
    secret_expires_at: Option<i64>,
    params: BTreeMap<String, String>,
    discovered: Option<String>,
}

impl Default for Typed {
    fn default() -> Self {
        Self {
            provider: Provider::Custom,
            values: IntegrationValues::default(),
            client_secret: secrecy::SecretString::from(String::new()),
            cloud: Cloud::Global,
            flow: Flow::AuthorizationCode,
            auth_method: None,
            secret_expires_at: None,
            params: BTreeMap::new(),
            discovered: None,
        }
    }
}

impl Typed {
    fn of(form: &FormData, provider: Provider, errors: &mut FormErrors) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        let values = IntegrationValues {
            name: text("name"),
            description: text("description"),
            client_id: text("client_id"),
            secret_expires_on: text("secret_expires_on"),
            scopes: text("scopes"),
            authorization_endpoint: text("authorization_endpoint"),
            token_endpoint: text("token_endpoint"),
            issuer: text("issuer"),
            extra_params: text("extra_params"),
            tenant: text("tenant"),
            callback_id: text("callback_id"),
            revision: text("revision"),
            wizard: text("wizard"),
        };
        Self {
            provider,
            client_secret: form.secret("client_secret"),
            cloud: Cloud::parse(form.text("cloud")).unwrap_or_default(),
            flow: Flow::parse(form.text("flow")).unwrap_or_default(),
            auth_method: AuthMethod::parse(form.text("token_endpoint_auth_method")),
            secret_expires_at: end_of(&values.secret_expires_on, errors),
            params: params_of(&values.extra_params, errors),
            discovered: None,
            values,
        }
    }

    fn stored(integration: &Integration) -> Self {
        Self {
            provider: integration.provider,
            cloud: integration.cloud,
            flow: integration.flow,
            auth_method: Some(integration.token_auth_method),
            values: IntegrationValues {
                name: integration.name.clone(),
                description: integration.description.clone(),
                client_id: integration.client_id.clone(),
                secret_expires_on: integration.secret_expires_at.map(words::day).unwrap_or_default(),
                scopes: integration.scopes.join("\n"),
                authorization_endpoint: integration.authorization_endpoint.clone(),
                token_endpoint: integration.token_endpoint.clone(),
                issuer: integration.issuer.clone(),
                extra_params: param_lines(&integration.extra_auth_params),
                tenant: integration.tenant.clone(),
                callback_id: integration.callback_id.clone(),
                revision: integration.revision.to_string(),
                wizard: String::new(),
            },
            ..Self::default()
        }
    }

    fn scopes(&self) -> Vec<String> {
        self.values.scopes.split_whitespace().map(str::to_owned).collect()
    }

    /// A new form is filled with the endpoints and scopes of the default tenant and cloud. Where they stand as they
    /// were, those of the chosen tenant and cloud are meant.
    fn unless_preset(&self, typed: &str, of: impl Fn(integration::Preset) -> String) -> String {
        if typed == of(preset_of(self.provider)) {
            String::new()
        } else {
            typed.to_owned()
        }
    }

    fn new_integration(&self) -> NewIntegration {
        let values = &self.values;
        let untouched = self.scopes() == preset_of(self.provider).scopes;
        NewIntegration {
            name: values.name.clone(),
            description: values.description.clone(),
            provider: self.provider,
            tenant: values.tenant.clone(),
            cloud: self.cloud,
            client_id: values.client_id.clone(),
            client_secret: self.client_secret.clone(),
            secret_expires_at: self.secret_expires_at,
            scopes: if untouched { Vec::new() } else { self.scopes() },
            issuer: values.issuer.clone(),
            authorization_endpoint: self.unless_preset(&values.authorization_endpoint, |known| {
                known.authorization_endpoint
            }),
            token_endpoint: self.unless_preset(&values.token_endpoint, |known| known.token_endpoint),
            token_auth_method: self.auth_method,
            extra_auth_params: Some(self.params.clone()),
            flow: self.flow,
            callback_id: Some(values.callback_id.clone()),
        }
    }

    fn change(&self, revision: i64) -> IntegrationChange {
        let values = &self.values;
        IntegrationChange {
            revision,
            name: Some(values.name.clone()),
            description: Some(values.description.clone()),
            tenant: Some(values.tenant.clone()),
            cloud: Some(self.cloud),
            client_id: Some(values.client_id.clone()),
            client_secret: Some(self.client_secret.clone()),
            secret_expires_at: Some(self.secret_expires_at),
            scopes: Some(self.scopes()),
            issuer: Some(values.issuer.clone()),
            authorization_endpoint: Some(values.authorization_endpoint.clone()),
            token_endpoint: Some(values.token_endpoint.clone()),
            token_auth_method: self.auth_method,
            extra_auth_params: Some(self.params.clone()),
            flow: Some(self.flow),
        }
    }
}

fn end_of(text: &str, errors: &mut FormErrors) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    let date = text.parse::<NaiveDate>().ok();
    let end = date
        .and_then(|date| date.and_hms_opt(0, 0, 0))
        .map(|start| start.and_utc().timestamp_millis());
    if end.is_none() {
        errors.add(
            "secret_expires_on",
            "Write a date as year, month, day: 2027-05-31.",
        );
    }
    end
}

fn params_of(text: &str, errors: &mut FormErrors) -> BTreeMap<String, String> {
    let mut params = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once('=') {
            Some((name, value)) => {
                params.insert(name.trim().to_owned(), value.trim().to_owned());
            }
            None => errors.add(
                "extra_params",
                format!("“{line}” is not name=value. Write one per line, for example access_type=offline."),
            ),
        }
    }
    params
}

async fn form(
    desk: &Desk,
    stored: Option<&Integration>,
    typed: &Typed,
    errors: FormErrors,
) -> Result<IntegrationForm, Problem> {
    let now = desk.now();
    let name = words::provider(typed.provider);
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let title = stored.map_or_else(
        || "New integration".to_owned(),
        |found| format!("Edit {}", found.name),
    );
    Ok(IntegrationForm {
        page: desk.page_with(title, Section::Integrations, &overview).await?,
        id: stored.map(|found| found.id.clone()),
        action: stored.map_or_else(
            || "/integrations".to_owned(),
            |found| format!("/integrations/{}", found.id),
        ),
        provider: typed.provider.as_str().to_owned(),
        provider_name: name.to_owned(),
        providers: if stored.is_some() { vec![] } else { providers(typed.provider) },
        auth_methods: auth_methods(typed.auth_method.unwrap_or(AuthMethod::ClientSecretBasic)),
        flows: flows(typed.flow),
        clouds: connect::clouds(typed.cloud),
        redirect_url: desk
            .ctx
            .config
            .url(&format!("/oauth2/callback/{}", typed.values.callback_id)),
        redirect_note: stored.map(|found| {
            let grants = overview.grants_of(&found.id).count();
            format!(
                "Changing the authorization or the token endpoint draws a new redirect URL. You must register it at \
                 the provider; consents that are under way end, {} kept and refreshed.",
                match grants {
                    1 => "1 grant is".to_owned(),
                    n => format!("{n} grants are"),
                }
            )
        }),
        secret_set: stored
            .filter(|found| found.has_secret)
            .map(|found| format!("Set {}", words::relative(now, found.secret_set_at))),
        discovered: typed.discovered.clone(),
        values: typed.values.clone(),
        errors,
    })
}

fn providers(chosen: Provider) -> Vec<Choice> {
    [Provider::Google, Provider::Microsoft, Provider::Custom]
        .into_iter()
        .map(|provider| Choice::new(provider.as_str(), words::provider(provider), provider == chosen))
        .collect()
}

fn auth_methods(chosen: AuthMethod) -> Vec<Choice> {
    [
        (
            AuthMethod::ClientSecretBasic,
            "In the Authorization header (basic)",
        ),
        (AuthMethod::ClientSecretPost, "In the request body (post)"),
    ]
    .into_iter()
    .map(|(method, label)| Choice::new(method.as_str(), label, method == chosen))
    .collect()
}

fn flows(chosen: Flow) -> Vec<Choice> {
    [
        (
            Flow::AuthorizationCode,
            "Authorization code with PKCE",
            "The mailbox's owner signs in and consents.",
        ),
        (
            Flow::ClientCredentials,
            "Client credentials",
            "App-only: an administrator has consented for the whole organisation.",
        ),
    ]
    .into_iter()
    .map(|(flow, label, hint)| Choice::new(flow.as_str(), label, flow == chosen).with_hint(hint))
    .collect()
}

async fn create(desk: Desk, data: FormData) -> Answer {
    let Some(provider) = Provider::parse(data.text("provider")) else {
        return Err(Problem::bad_request(
            "unknown_provider",
            "the form names no known provider",
        ));
    };
    let mut errors = FormErrors::default();
    let mut typed = Typed::of(&data, provider, &mut errors);
    if data.text("action") == "discover" {
        return discover(&desk, None, typed).await;
    }
    if errors.is_empty() {
        match integration::create(&desk.ctx, desk.actor(), typed.new_integration()).await {
            Ok(made) => return saved(&desk, &data, &made, "The integration is saved.").await,
            Err(IntegrationError::Invalid(found)) => {
                if found.iter().any(|error| error.field == "callback_id") {
                    typed.values.callback_id = integration::draft_callback(&desk.ctx).await?.0;
                }
                add(&mut errors, found);
            }
            Err(error) => return Err(error.into()),
        }
    }
    desk.show_again(&form(&desk, None, &typed, errors).await?)
}

fn add(errors: &mut FormErrors, found: Vec<FieldError>) {
    for error in found {
        let field = match error.field {
            "extra_auth_params" => "extra_params",
            "callback_id" => "",
            field => field,
        };
        errors.add(field, error.message);
    }
}

async fn saved(desk: &Desk, data: &FormData, integration: &Integration, text: &str) -> Answer {
    let wizard = data.text("wizard") == "1";
    match data.text("action") {
        "save_and_connect" if wizard => connect::leave(desk, integration, connect::WIZARD).await,
        "save_and_connect" => connect::leave(desk, integration, connect::GRANT_PAGE).await,
        _ => {
            desk.done(text, &format!("/integrations/{}", integration.id))
                .await
        }
    }
}

/// Fills the endpoints from the issuer and shows the form again. Nothing is saved.
async fn discover(desk: &Desk, stored: Option<&Integration>, mut typed: Typed) -> Answer {
    let mut errors = FormErrors::default();
    if typed.values.issuer.is_empty() {
        errors.add(
            "issuer",
            "Enter the issuer's address first, for example https://accounts.example.org.",
        );
        return desk.show_again(&form(desk, stored, &typed, errors).await?);
    }
    match integration::discover(&desk.ctx, &typed.values.issuer).await {
        Ok(found) => {
            typed.discovered = Some(format!("Filled in from {}. Check it, then save.", found.issuer));
            let values = &mut typed.values;
            values.issuer = found.issuer;
            values.authorization_endpoint = found.authorization_endpoint;
            values.token_endpoint = found.token_endpoint;
            if values.scopes.is_empty() {
                let useful = ["openid", "email", "profile", "offline_access"];
                let known = found.scopes_supported;
                let useful: Vec<_> = useful
                    .into_iter()
                    .filter(|s| known.iter().any(|k| k == s))
                    .collect();
                values.scopes = useful.join("\n");
            }
            let offered = &found.token_endpoint_auth_methods_supported;
            let post_only = offered.iter().any(|m| m == "client_secret_post")
                && !offered.iter().any(|m| m == "client_secret_basic");
            if post_only {
                typed.auth_method = Some(AuthMethod::ClientSecretPost);
            }
            desk.show(&form(desk, stored, &typed, errors).await?)
        }
        Err(IntegrationError::Discovery(trouble)) => {
            errors.add("issuer", format!("{} {}", trouble.cause, trouble.remedy));
            desk.show_again(&form(desk, stored, &typed, errors).await?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn edit(desk: Desk, id: web::Path<String>) -> Answer {
    let stored = integration::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let typed = Typed::stored(&stored);
    desk.show(&form(&desk, Some(&stored), &typed, FormErrors::default()).await?)
}

async fn update(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let stored = integration::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let mut errors = FormErrors::default();
    let mut typed = Typed::of(&data, stored.provider, &mut errors);
    // What a form says of the redirect URL of an integration that exists is not asked for.
    typed.values.callback_id.clone_from(&stored.callback_id);
    if data.text("action") == "discover" {
        return discover(&desk, Some(&stored), typed).await;
    }
    if errors.is_empty() {
        let revision = typed.values.revision.parse().unwrap_or(0);
        match integration::update(&desk.ctx, desk.actor(), &id, typed.change(revision)).await {
            Ok(changed) => {
                let text = if changed.callback_id == stored.callback_id {
                    "The integration is saved."
                } else {
                    "The integration is saved. Its redirect URL has changed: register the new one at the provider."
                };
                return saved(&desk, &data, &changed, text).await;
            }
            Err(IntegrationError::Invalid(found)) => add(&mut errors, found),
            Err(error @ IntegrationError::Conflict) => errors.add("", sentence(&error)),
            Err(error) => return Err(error.into()),
        }
    }
    desk.show_again(&form(&desk, Some(&stored), &typed, errors).await?)
}

fn sentence(error: &IntegrationError) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

async fn detail(desk: Desk, id: web::Path<String>) -> Answer {
    let now = desk.now();
    let found = integration::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let warned = integration::warnings(&found, now);
    let warned = warned
        .first()
        .map(|warning| attention::of_warning(&found, warning));
    let grants = overview.grants_of(&found.id).map(|grant| IntegrationGrant {
        id: grant.id.clone(),
        identity: words::account_of(grant),
        state: words::grant_badge(grant),
        refreshed: Some(words::when(now, grant.refreshed_at)),
        expires: grant.expires_at.map(|at| words::when(now, at)),
    });
    desk.show(&IntegrationDetail {
        grants: grants.collect(),
        page: desk
            .page_with(found.name.clone(), Section::Integrations, &overview)
            .await?,
        id: found.id.clone(),
        provider: words::provider(found.provider).to_owned(),
        description: found.description.clone(),
        state: words::integration_badge(&found),
        problem: attention::of_integration(&found, now).or(warned),
        facts: facts(&found),
        redirect_url: integration::redirect_url(&desk.ctx.config, &found),
        secret: secret(&desk, &found),
        connect_label: match found.flow {
            Flow::AuthorizationCode => "Connect an account".to_owned(),
            Flow::ClientCredentials => "Get a token".to_owned(),
        },
        tests: test_runs::history(&desk, &found.id).await?,
    })
}

fn facts(found: &Integration) -> Vec<Fact> {
    let mut facts = vec![Fact::exact("Client ID", &found.client_id)];
    if found.provider == Provider::Microsoft {
        facts.push(Fact::exact("Tenant", &found.tenant));
        let clouds = connect::clouds(found.cloud);
        let cloud = clouds.into_iter().find(|cloud| cloud.selected);
        facts.push(Fact::new(
            "Cloud",
            cloud.map(|cloud| cloud.label).unwrap_or_default(),
        ));
    }
    facts.push(Fact::new("Flow", flow_name(found.flow)));
    facts.push(Fact::exact("Scopes", found.scopes.join(" ")));
    let addresses = [
        ("Authorization endpoint", &found.authorization_endpoint),
        ("Token endpoint", &found.token_endpoint),
        ("Issuer", &found.issuer),
    ];
    for (label, address) in addresses {
        if !address.is_empty() {
            facts.push(Fact::exact(label, address));
        }
    }
    let methods = auth_methods(found.token_auth_method);
    let method = methods.into_iter().find(|method| method.selected);
    facts.push(Fact::new(
        "Client authentication",
        method.map(|method| method.label).unwrap_or_default(),
    ));
    if !found.extra_auth_params.is_empty() {
        let params = param_lines(&found.extra_auth_params).replace('\n', ", ");
        facts.push(Fact::exact("Extra parameters", params));
    }
    facts
}

fn secret(desk: &Desk, found: &Integration) -> Secret {
    let now = desk.now();
    let state = match found.secret_expires_at {
        _ if !found.has_secret => Badge::new(Tone::Muted, "None"),
        None => Badge::new(Tone::Muted, "No date"),
        Some(end) if end <= now => Badge::new(Tone::Bad, "Expired"),
        Some(end) if end - now <= 30 * DAY_MS => Badge::new(Tone::Warn, "Expires soon"),
        Some(_) => Badge::new(Tone::Ok, "OK"),
    };
    Secret {
        set: found.has_secret.then(|| words::when(now, found.secret_set_at)),
        expires: found.secret_expires_at.map(|at| words::when(now, at)),
        state,
        key_id: desk.ctx.keys.active_kid().to_owned(),
    }
}

async fn confirm_delete(desk: Desk, id: web::Path<String>) -> Answer {
    let found = integration::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let alive = overview.grants_of(&found.id).filter(|grant| {
        grant.state != crate::grant::GrantState::Revoked || overview.mailboxes_of(&grant.id).next().is_some()
    });
    let alive: Vec<String> = alive.map(words::account_of).collect();
    let blocked = (!alive.is_empty()).then(|| {
        format!(
            "It still has grants ({}). Revoke them and delete their mailboxes first.",
            alive.join(", ")
        )
    });
    desk.show(&Confirm {
        page: desk
            .page_with(
                format!("Delete the integration {}?", found.name),
                Section::Integrations,
                &overview,
            )
            .await?,
        consequences: vec![
            "Its client secret and its settings are deleted.".to_owned(),
            "Its redirect URL stops working.".to_owned(),
        ],
        kept: vec![
            "Tickets and stored mail stay.".to_owned(),
            "The registration at the provider stays; delete it there.".to_owned(),
        ],
        blocked,
        action: format!("/integrations/{}/delete", found.id),
        fields: vec![],
        button: "Delete".to_owned(),
        cancel: format!("/integrations/{}", found.id),
    })
}

async fn delete(desk: Desk, id: web::Path<String>) -> Answer {
    match integration::delete(&desk.ctx, desk.actor(), &id, None).await {
        Ok(()) => desk.done("The integration is deleted.", "/integrations").await,
        Err(error @ IntegrationError::HasGrants(_)) => {
            desk.failed(sentence(&error), &format!("/integrations/{id}"))
                .await
        }
        Err(error) => Err(error.into()),
    }
}

async fn authorize(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let found = integration::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let return_to = match data.text("wizard") {
        "1" => connect::WIZARD,
        _ => connect::GRANT_PAGE,
    };
    if desk.access().projects().is_all() {
        return connect::leave(&desk, &found, return_to).await;
    }
    // Somebody who manages some projects connects for one of them, and goes on to its mailbox.
    let users = integration::users_of(&desk.ctx, &desk.access().projects(), &id).await?;
    let chosen = match data.text("project") {
        "" => users.listed.first(),
        named => users.listed.iter().find(|project| project.as_str() == named),
    };
    let Some(project_id) = chosen else {
        return Err(Problem::not_found("project that may use this integration"));
    };
    connect::leave_for(&desk, &found, project_id, connect::GRANT_PAGE).await
}

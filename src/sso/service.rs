//! Use cases of identity providers: what an admin enters is checked here, beside its field, before anything is written.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde_json::{Value, json};

use super::discovery;
use super::error::{DbErr, Fault, SsoError};
use super::model::{ClientAuth, Connection, IdentityProvider, Policy, ProviderInput, Source};
use super::store::{self, Sealed};
use super::{changed, people, preset, recheck};
use crate::access::{Projects, Role};
use crate::crypto::{self, SigningAlg};
use crate::ctx::Ctx;
use crate::db::is_duplicate;
use crate::event::{self, NewEvent};
use crate::trouble::FieldError;
use crate::{account, id, project};

/// The longest time between two looks, minutes: a session lasts no longer.
const MAX_RECHECK_MINUTES: i64 = 720;

/// One provider.
pub async fn get(ctx: &Ctx, id: &str) -> Result<IdentityProvider, SsoError> {
    store::one(ctx.db.read(), id).await?.ok_or(SsoError::NotFound)
}

/// All providers, in the order they were made.
pub async fn list(ctx: &Ctx) -> Result<Vec<IdentityProvider>, SsoError> {
    Ok(store::all(ctx.db.read()).await?)
}

/// What the sign-in page offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// A button each: id and name.
    pub providers: Vec<(String, String)>,
    /// Whether address and password work.
    pub local: bool,
    /// Whether one of them makes the first administrator, in place of the set-up link.
    pub makes_first_admin: bool,
}

/// What the sign-in page offers.
pub async fn offer(ctx: &Ctx) -> Result<Offer, SsoError> {
    let mut enabled = list(ctx).await?;
    enabled.retain(|provider| provider.enabled);
    Ok(Offer {
        local: enabled.iter().all(|provider| provider.policy.local_sign_in),
        makes_first_admin: enabled
            .iter()
            .any(|provider| provider.policy.first_admin.is_named()),
        providers: enabled
            .into_iter()
            .map(|provider| (provider.id, provider.name))
            .collect(),
    })
}

/// Makes a provider; it is enabled once a test sign-in passed.
pub async fn create(ctx: &Ctx, actor: &str, input: ProviderInput) -> Result<IdentityProvider, SsoError> {
    let id = id::new("idp", &ctx.clock);
    let (new, sealed) = checked(ctx, &id, Source::Database, input, None).await?;
    let tx = ctx.db.begin().await?;
    store::insert(&tx, &new, sealed).await.map_err(duplicate_name)?;
    append(ctx, &tx, "identity_provider.created", &new, actor).await?;
    tx.commit().await?;
    Ok(new)
}

/// Changes a provider that still has the revision `seen`. Another issuer, endpoint or client id switches it off until
/// a test passes; another secret leaves it on, untested.
pub async fn update(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    seen: i64,
    input: ProviderInput,
) -> Result<IdentityProvider, SsoError> {
    let old = writable(ctx, id, seen).await?;
    let (mut new, sealed) = checked(ctx, id, Source::Database, input, Some(&old)).await?;
    if wants_test(&old.connection, &new.connection) {
        new.connection_revision += 1;
        new.enabled = false;
    } else if old.connection != new.connection || sealed.secret.is_some() {
        // Whoever is on the way goes on; what was learnt is learnt anew.
        new.connection_revision += 1;
        // It goes on working for people, but whether it does with other credentials only a test says.
        let same_credentials =
            sealed.secret.is_none() && old.connection.auth_method == new.connection.auth_method;
        if old.is_tested() && same_credentials {
            new.tested_revision = new.connection_revision;
        }
    }
    let paced = old.policy.recheck_minutes != new.policy.recheck_minutes;
    let said = changed::data(&old, &new, sealed.secret.is_some());
    let kind = ("identity_provider.updated", said);
    save(ctx, actor, new, sealed, (seen, paced), kind).await
}

/// Whether a change concerns who answers for people, or for whom.
fn wants_test(old: &Connection, new: &Connection) -> bool {
    let essence = |connection: &Connection| Connection {
        auth_method: ClientAuth::default(),
        scopes: Vec::new(),
        other_hosts: Vec::new(),
        ..connection.clone()
    };
    essence(old) != essence(new)
}

/// Shows its button, if its present connection passed a test, or takes it away.
pub async fn set_enabled(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    seen: i64,
    enabled: bool,
) -> Result<IdentityProvider, SsoError> {
    let old = writable(ctx, id, seen).await?;
    if enabled && !old.is_tested() {
        return Err(SsoError::NotTested);
    }
    if old.enabled == enabled {
        return Ok(old);
    }
    let new = IdentityProvider {
        enabled,
        updated_at: ctx.clock.now_ms(),
        ..old
    };
    let kind = if enabled {
        "identity_provider.enabled"
    } else {
        "identity_provider.disabled"
    };
    let kind = (kind, json!({ "name": new.name }));
    save(ctx, actor, new, Sealed::default(), (seen, false), kind).await
}

/// Removes a provider: the roles it manages are taken back and sessions that began with it end. Accounts stay.
pub async fn delete(ctx: &Ctx, actor: &str, id: &str, seen: i64) -> Result<(), SsoError> {
    let old = writable(ctx, id, seen).await?;
    let tx = ctx.db.begin().await?;
    remove(ctx, &tx, &old).await?;
    append(ctx, &tx, "identity_provider.deleted", &old, actor).await?;
    tx.commit().await?;
    Ok(())
}

pub(super) async fn remove(
    ctx: &Ctx,
    tx: &sea_orm::DatabaseTransaction,
    old: &IdentityProvider,
) -> Result<(), SsoError> {
    people::take_roles_back(ctx, tx, old).await?;
    // Before its sessions: one that begins at this moment is seen, or finds no provider any more.
    store::hold(tx, &old.id).await?;
    let meant = store::people::Meant::All;
    for (session_id, _) in store::people::sessions(tx, &old.id, "", meant).await? {
        account::end_in(tx, &session_id).await?;
    }
    Ok(store::delete(tx, &old.id).await?)
}

async fn writable(ctx: &Ctx, id: &str, seen: i64) -> Result<IdentityProvider, SsoError> {
    let old = get(ctx, id).await?;
    if old.source == Source::File {
        return Err(SsoError::ReadOnly);
    }
    if old.revision != seen {
        return Err(SsoError::Conflict);
    }
    Ok(old)
}

async fn save(
    ctx: &Ctx,
    actor: &str,
    mut new: IdentityProvider,
    sealed: Sealed,
    (seen, paced): (i64, bool),
    kind: (&'static str, Value),
) -> Result<IdentityProvider, SsoError> {
    let tx = ctx.db.begin().await?;
    // Whoever comes in through it meanwhile does so wholly before this, or wholly after.
    account::lock_people(&tx).await?;
    if !store::replace(&tx, &new, sealed, seen)
        .await
        .map_err(duplicate_name)?
    {
        return Err(SsoError::Conflict);
    }
    if paced {
        store::checks::set_pace(
            &tx,
            &new.id,
            recheck::pace(&new),
            ctx.clock.now_ms() + recheck::ASKING_MS,
        )
        .await?;
    }
    append_saying(ctx, &tx, kind, &new, actor).await?;
    tx.commit().await?;
    new.revision = seen + 1;
    Ok(new)
}

pub(super) async fn append(
    ctx: &Ctx,
    tx: &sea_orm::DatabaseTransaction,
    kind: &str,
    provider: &IdentityProvider,
    actor: &str,
) -> Result<(), DbErr> {
    let said = json!({ "name": provider.name });
    append_saying(ctx, tx, (kind, said), provider, actor).await
}

pub(super) async fn append_saying(
    ctx: &Ctx,
    tx: &sea_orm::DatabaseTransaction,
    (kind, data): (&str, Value),
    provider: &IdentityProvider,
    actor: &str,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind,
        project_id: "",
        subject_id: &provider.id,
        actor,
        data,
    };
    event::append(tx, &ctx.clock, event).await.map(|_| ())
}

pub(super) fn duplicate_name(error: DbErr) -> SsoError {
    if is_duplicate(&error) {
        return SsoError::Invalid(vec![FieldError::new(
            "name",
            "duplicate",
            "There is an identity provider with this name; choose another one.",
        )]);
    }
    error.into()
}

/// Checks what was entered and asks the provider about itself; what is stored follows from it.
pub(super) async fn checked(
    ctx: &Ctx,
    id: &str,
    source: Source,
    mut input: ProviderInput,
    old: Option<&IdentityProvider>,
) -> Result<(IdentityProvider, Sealed), SsoError> {
    tidy(&mut input);
    let mut errors = check_connection(&input, old);
    errors.extend(check_policy(&input.connection, &input.policy));
    errors.extend(check_projects(ctx, &input.policy).await?);
    // What the file says is tried on request: the provider may be down when Mailgrant starts.
    let is_asked = source == Source::Database && old.is_none_or(|old| old.connection != input.connection);
    if errors.is_empty() && is_asked {
        errors.extend(check_provider(ctx, &input.connection).await);
    }
    if !errors.is_empty() {
        return Err(SsoError::Invalid(errors));
    }
    let now = ctx.clock.now_ms();
    let wants_key = input.connection.auth_method == ClientAuth::PrivateKeyJwt;
    let key = if wants_key && old.is_none_or(|old| old.key_public.is_empty()) {
        Some(new_key(ctx)?)
    } else {
        None
    };
    let sealed = Sealed::of(
        ctx,
        id,
        input.client_secret.as_ref(),
        key.as_ref().map(|(pem, _)| pem),
    );
    let has_secret = match &sealed.secret {
        Some(secret) => !secret.is_empty(),
        None => old.is_some_and(|old| old.has_secret),
    };
    let new = IdentityProvider {
        id: id.to_owned(),
        name: input.name,
        source,
        enabled: old.is_some_and(|old| old.enabled),
        connection: input.connection,
        policy: input.policy,
        has_secret,
        key_public: match key {
            Some((_, public)) => public,
            None => old.map(|old| old.key_public.clone()).unwrap_or_default(),
        },
        connection_revision: old.map_or(1, |old| old.connection_revision),
        tested_revision: old.map_or(0, |old| old.tested_revision),
        revision: old.map_or(1, |old| old.revision),
        created_at: old.map_or(now, |old| old.created_at),
        updated_at: now,
    };
    Ok((new, sealed))
}

fn new_key(ctx: &Ctx) -> Result<(SecretString, String), SsoError> {
    let failed = |_| SsoError::Seal(crypto::SealError::Malformed);
    let pem = crypto::new_signing_key(SigningAlg::Es256).map_err(failed)?;
    let kid = id::new("key", &ctx.clock);
    let jwk = crypto::public_jwk(SigningAlg::Es256, &kid, &pem).map_err(failed)?;
    Ok((pem, jwk.to_string()))
}

fn tidy(input: &mut ProviderInput) {
    let trim = |text: &mut String| *text = text.trim().to_owned();
    let connection = &mut input.connection;
    for text in [
        &mut input.name,
        &mut connection.issuer,
        &mut connection.tenant,
        &mut connection.authorization_endpoint,
        &mut connection.token_endpoint,
        &mut connection.jwks_uri,
        &mut connection.userinfo_endpoint,
        &mut connection.end_session_endpoint,
        &mut connection.revocation_endpoint,
        &mut connection.client_id,
        &mut input.policy.groups_claim,
        &mut input.policy.link_claim,
        &mut input.policy.first_admin.subject,
    ] {
        trim(text);
    }
    if let Some((issuer, _)) = connection.issuer.split_once("/.well-known/") {
        connection.issuer = issuer.to_owned();
    }
    preset::settle(connection);
    if connection.discovery {
        for text in [
            &mut connection.authorization_endpoint,
            &mut connection.token_endpoint,
            &mut connection.jwks_uri,
            &mut connection.userinfo_endpoint,
            &mut connection.end_session_endpoint,
            &mut connection.revocation_endpoint,
        ] {
            text.clear();
        }
    }
    connection.scopes = words(&connection.scopes, str::to_owned);
    if connection.scopes.is_empty() {
        connection.scopes = preset::start(connection.preset).connection.scopes;
    }
    if !connection.scopes.iter().any(|scope| scope == "openid") {
        connection.scopes.insert(0, "openid".to_owned());
    }
    connection.other_hosts = words(&connection.other_hosts, str::to_lowercase);
    let policy = &mut input.policy;
    policy.domains = words(&policy.domains, |domain| {
        domain.trim_start_matches('@').to_lowercase()
    });
    policy.name_claims = words(&policy.name_claims, str::to_owned);
    policy.default_projects = words(&policy.default_projects, str::to_owned);
    let email = account::normal_email(&policy.first_admin.email);
    policy.first_admin.email = email;
    policy
        .group_rules
        .iter_mut()
        .for_each(|rule| rule.group = rule.group.trim().to_owned());
    policy.group_rules.retain(|rule| !rule.group.is_empty());
}

/// Each word once, in order.
fn words(list: &[String], of: impl Fn(&str) -> String) -> Vec<String> {
    let mut seen = BTreeSet::new();
    list.iter()
        .map(|word| of(word.trim()))
        .filter(|word| !word.is_empty() && seen.insert(word.clone()))
        .collect()
}

fn check_connection(input: &ProviderInput, old: Option<&IdentityProvider>) -> Vec<FieldError> {
    let connection = &input.connection;
    let mut errors = Vec::new();
    let mut need = |field: &'static str, value: &str, what: &str| {
        if value.is_empty() {
            errors.push(FieldError::new(field, "required", what));
        } else if value.chars().count() > 2_000 || value.chars().any(char::is_control) {
            errors.push(FieldError::new(
                field,
                "invalid",
                "Use at most 2000 visible characters.",
            ));
        }
    };
    need(
        "name",
        &input.name,
        "Give the provider a name; its button shows it.",
    );
    need(
        "issuer",
        &connection.issuer,
        "Enter the issuer, exactly as the provider writes it.",
    );
    need(
        "clientId",
        &connection.client_id,
        "Enter the client ID that the provider gave.",
    );
    if !connection.discovery {
        need(
            "authorizationEndpoint",
            &connection.authorization_endpoint,
            "Without discovery the authorization endpoint is needed.",
        );
        need(
            "tokenEndpoint",
            &connection.token_endpoint,
            "Without discovery the token endpoint is needed.",
        );
        need(
            "jwksUri",
            &connection.jwks_uri,
            "Without discovery the address of the keys is needed.",
        );
    }
    if input.name.chars().count() > 60 {
        errors.push(FieldError::new("name", "too_long", "Use at most 60 characters."));
    }
    // A secret goes to nobody but the provider it was entered for.
    let moved = old.is_some_and(|old| wants_test(&old.connection, connection) && old.has_secret);
    if moved && input.client_secret.is_none() {
        errors.push(FieldError::new(
            "clientSecret",
            "required",
            "Issuer, endpoints or client ID are others now: enter the client secret that belongs to them.",
        ));
    }
    errors
}

fn check_policy(connection: &Connection, policy: &Policy) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let is_open = connection.issuer.contains(discovery::TENANT);
    if is_open && (policy.trust_email || !policy.link_claim.is_empty()) {
        errors.push(FieldError::new(
            if policy.trust_email { "trustEmail" } else { "linkClaim" },
            "open_provider",
            "Everybody can make an organisation there and write any address into it. Enter your own tenant's ID first.",
        ));
    }
    if policy.link_claim == "email" {
        errors.push(FieldError::new(
            "linkClaim",
            "invalid",
            "A verified address joins by itself where that is on, and one that nobody verified joins nothing. Name another \
             claim.",
        ));
    }
    if is_open && !policy.group_rules.is_empty() {
        errors.push(FieldError::new(
            "groupRules",
            "open_provider",
            "The admin of any organisation there decides about groups and roles in its tokens. Enter your own tenant's \
             ID first.",
        ));
    }
    if is_open && policy.domains.is_empty() && !policy.default_projects.is_empty() {
        errors.push(FieldError::new(
            "defaultProjects",
            "open_provider",
            "Everybody can come in there. Name your domains or your own tenant's ID first.",
        ));
    }
    for domain in &policy.domains {
        if !domain.contains('.') || domain.contains(['@', '/', '*', ' ']) {
            errors.push(FieldError::new(
                "domains",
                "invalid",
                format!("“{domain}” is no domain; write for example example.com."),
            ));
        }
    }
    if !policy.group_rules.is_empty() && policy.groups_claim.is_empty() {
        errors.push(FieldError::new(
            "groupsClaim",
            "required",
            "Name the claim that holds the groups.",
        ));
    }
    for rule in &policy.group_rules {
        if (rule.role == Role::SiteAdmin) != rule.project_id.is_empty() {
            errors.push(FieldError::new(
                "groupRules",
                "invalid",
                format!(
                    "The group “{}” needs a project for its role; only a site admin has none.",
                    rule.group
                ),
            ));
        }
    }
    if policy.default_role == Role::SiteAdmin {
        errors.push(FieldError::new(
            "defaultRole",
            "invalid",
            "Nobody becomes a site admin by being new.",
        ));
    }
    if !(0..=MAX_RECHECK_MINUTES).contains(&policy.recheck_minutes) {
        errors.push(FieldError::new(
            "recheckMinutes",
            "invalid",
            format!("Write how many minutes, at most {MAX_RECHECK_MINUTES}; 0 for never."),
        ));
    }
    let first = &policy.first_admin;
    if !first.email.is_empty() && !account::is_email(&first.email) {
        errors.push(FieldError::new(
            "firstAdmin",
            "invalid",
            "Write the whole address of the first administrator.",
        ));
    }
    errors
}

async fn check_projects(ctx: &Ctx, policy: &Policy) -> Result<Vec<FieldError>, SsoError> {
    let known: BTreeSet<String> = match project::list(ctx, &Projects::All).await {
        Ok(projects) => projects.into_iter().map(|project| project.id).collect(),
        Err(project::ProjectError::Db(error)) => return Err(error.into()),
        Err(_) => BTreeSet::new(),
    };
    let unknown = |field, id: &str| FieldError::new(field, "unknown", format!("There is no project {id}."));
    let of_rules = policy
        .group_rules
        .iter()
        .filter(|rule| !rule.project_id.is_empty() && !known.contains(&rule.project_id))
        .map(|rule| unknown("groupRules", &rule.project_id));
    let of_defaults = policy
        .default_projects
        .iter()
        .filter(|id| !known.contains(*id))
        .map(|id| unknown("defaultProjects", id));
    Ok(of_rules.chain(of_defaults).collect())
}

/// What the provider says about itself, or why that cannot be used, beside the field to correct.
async fn check_provider(ctx: &Ctx, connection: &Connection) -> Vec<FieldError> {
    let beside = |field: &'static str, fault: Fault| {
        let text = format!("{} {}", fault.trouble.cause, fault.trouble.remedy);
        FieldError::new(field, code_of(&fault), text)
    };
    if connection.discovery {
        return match discovery::learn(ctx, connection).await {
            Ok(_) => Vec::new(),
            Err(fault) if fault.trouble.code == "endpoint_on_other_host" => {
                vec![beside("otherHosts", fault)]
            }
            Err(fault) => vec![beside("issuer", fault)],
        };
    }
    let mut errors = Vec::new();
    for (field, endpoint) in [
        ("authorizationEndpoint", &connection.authorization_endpoint),
        ("tokenEndpoint", &connection.token_endpoint),
        ("jwksUri", &connection.jwks_uri),
        ("userinfoEndpoint", &connection.userinfo_endpoint),
        ("endSessionEndpoint", &connection.end_session_endpoint),
        ("revocationEndpoint", &connection.revocation_endpoint),
    ] {
        if !endpoint.is_empty()
            && let Err(fault) = discovery::check_endpoint(ctx, field, endpoint).await
        {
            errors.push(beside(field, fault));
        }
    }
    errors
}

/// Codes of fields are words of ours; the provider's own go into the text.
fn code_of(fault: &Fault) -> &'static str {
    match fault.trouble.code.as_str() {
        "issuer_mismatch" => "issuer_mismatch",
        "endpoint_on_other_host" => "endpoint_on_other_host",
        "endpoint_plain_http" => "endpoint_plain_http",
        "endpoint_not_https" => "endpoint_not_https",
        "address_not_allowed" => "address_not_allowed",
        "http_answer_too_large" => "http_answer_too_large",
        "redirected" => "redirected",
        "discovery_invalid" => "discovery_invalid",
        "unreadable_answer" => "unreadable_answer",
        _ => "provider_unusable",
    }
}

//! Identity providers of the configuration file: put beside those of the database at the start, so that people,
//! sessions and tests hang on them in the same way. Only the file changes them.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::error::SsoError;
use super::model::{ClientAuth, FirstAdmin, GroupRule, IdentityProvider, Preset, ProviderInput, Source};
use super::store;
use super::{away, changed, discovery, preset, recheck, service, token};
use crate::access::{MACHINE, Projects, Role};
use crate::config::ConfiguredProvider;
use crate::ctx::Ctx;
use crate::project;
use crate::trouble::{FieldError, Trouble};

/// The id of a provider of the file.
fn id_of(configured: &ConfiguredProvider) -> String {
    format!("idp_{}", configured.id)
}

/// Brings the stored providers to what the file says. The provider itself is not asked: it may be down.
///
/// # Errors
/// [`SsoError::Invalid`] if the file asks for what cannot be.
pub async fn take_over(ctx: &Ctx) -> Result<(), SsoError> {
    let projects: BTreeMap<String, String> = match project::list(ctx, &Projects::All).await {
        Ok(all) => all.into_iter().map(|project| (project.key, project.id)).collect(),
        Err(project::ProjectError::Db(error)) => return Err(error.into()),
        Err(_) => BTreeMap::new(),
    };
    for configured in &ctx.config.identity_providers {
        put(ctx, configured, &projects).await?;
    }
    for gone in service::list(ctx).await? {
        let is_there = ctx
            .config
            .identity_providers
            .iter()
            .any(|configured| id_of(configured) == gone.id);
        if gone.source == Source::File && !is_there {
            let tx = ctx.db.begin().await?;
            service::remove(ctx, &tx, &gone).await?;
            service::append(ctx, &tx, "identity_provider.deleted", &gone, MACHINE).await?;
            tx.commit().await?;
            tracing::info!(provider = %gone.id, "an identity provider is no longer in the configuration file");
        }
    }
    Ok(())
}

async fn put(
    ctx: &Ctx,
    configured: &ConfiguredProvider,
    projects: &BTreeMap<String, String>,
) -> Result<(), SsoError> {
    let id = id_of(configured);
    let old = store::one(ctx.db.read(), &id).await?;
    let input = input(configured, projects)?;
    // Nothing is kept from before: the file is the whole truth, an absent secret included.
    let secret = input.client_secret.clone().unwrap_or_default();
    let input = ProviderInput {
        client_secret: Some(secret.clone()),
        ..input
    };
    let (mut new, sealed) = service::checked(ctx, &id, Source::File, input, old.as_ref()).await?;
    new.enabled = configured.enabled.unwrap_or(true);
    let Some(old) = old else {
        let tx = ctx.db.begin().await?;
        store::insert(&tx, &new, sealed)
            .await
            .map_err(service::duplicate_name)?;
        service::append(ctx, &tx, "identity_provider.created", &new, MACHINE).await?;
        return Ok(tx.commit().await?);
    };
    let has_new_secret = has_new_secret(ctx, &old, &secret).await?;
    if !has_new_secret && !differs(&old, &new) {
        return Ok(());
    }
    if old.connection != new.connection {
        new.connection_revision += 1;
    }
    let tx = ctx.db.begin().await?;
    store::replace(&tx, &new, sealed, old.revision)
        .await
        .map_err(service::duplicate_name)?;
    if old.policy.recheck_minutes != new.policy.recheck_minutes {
        store::checks::set_pace(
            &tx,
            &id,
            recheck::pace(&new),
            ctx.clock.now_ms() + recheck::ASKING_MS,
        )
        .await?;
    }
    let kind = (
        "identity_provider.updated",
        changed::data(&old, &new, has_new_secret),
    );
    service::append_saying(ctx, &tx, kind, &new, MACHINE).await?;
    Ok(tx.commit().await?)
}

/// Whether the file has another secret than before. One that does not open any more is written anew.
async fn has_new_secret(ctx: &Ctx, old: &IdentityProvider, secret: &SecretString) -> Result<bool, SsoError> {
    match store::secret(ctx, &old.id).await {
        Ok(kept) => Ok(kept.expose_secret() != secret.expose_secret()),
        Err(SsoError::Seal(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether the file says anything else than before.
fn differs(old: &IdentityProvider, new: &IdentityProvider) -> bool {
    old.name != new.name
        || old.enabled != new.enabled
        || old.connection != new.connection
        || old.policy != new.policy
        || old.key_public != new.key_public
}

fn input(
    configured: &ConfiguredProvider,
    projects: &BTreeMap<String, String>,
) -> Result<ProviderInput, SsoError> {
    fn put<T: Clone>(place: &mut T, value: &Option<T>) {
        if let Some(value) = value {
            value.clone_into(place);
        }
    }
    let wrong = |field, message: String| {
        Err(SsoError::Invalid(vec![FieldError::new(
            field, "invalid", message,
        )]))
    };
    let kind = match configured.preset.as_deref() {
        None => Preset::Generic,
        Some(word) => match Preset::parse(word) {
            Some(kind) => kind,
            None => return wrong("preset", format!("{word} is no preset")),
        },
    };
    let start = preset::start(kind);
    let (mut connection, mut policy) = (start.connection, start.policy);
    let mut name = start.name.to_owned();
    put(&mut name, &configured.name);
    if name.is_empty() {
        name.clone_from(&configured.id);
    }
    put(&mut connection.issuer, &configured.issuer);
    put(&mut connection.tenant, &configured.tenant);
    put(&mut connection.discovery, &configured.discovery);
    put(
        &mut connection.authorization_endpoint,
        &configured.authorization_endpoint,
    );
    put(&mut connection.token_endpoint, &configured.token_endpoint);
    put(&mut connection.jwks_uri, &configured.jwks_uri);
    put(&mut connection.userinfo_endpoint, &configured.userinfo_endpoint);
    put(
        &mut connection.end_session_endpoint,
        &configured.end_session_endpoint,
    );
    put(
        &mut connection.revocation_endpoint,
        &configured.revocation_endpoint,
    );
    put(&mut connection.other_hosts, &configured.other_hosts);
    put(&mut connection.client_id, &configured.client_id);
    put(&mut connection.scopes, &configured.scopes);
    if let Some(word) = &configured.token_endpoint_auth_method {
        match ClientAuth::parse(word) {
            Some(method) => connection.auth_method = method,
            None => return wrong("tokenEndpointAuthMethod", format!("{word} is no method")),
        }
    }
    put(&mut policy.name_claims, &configured.name_claims);
    put(&mut policy.domains, &configured.domains);
    put(&mut policy.create_accounts, &configured.create_accounts);
    put(&mut policy.link_by_email, &configured.link_by_email);
    put(&mut policy.link_claim, &configured.link_claim);
    put(&mut policy.trust_email, &configured.trust_email);
    put(&mut policy.groups_claim, &configured.groups_claim);
    put(&mut policy.local_sign_in, &configured.local_sign_in);
    put(&mut policy.recheck_minutes, &configured.recheck_minutes);
    if let Some(word) = &configured.default_role {
        match Role::of_member(word) {
            Some(role) => policy.default_role = role,
            None => return wrong("defaultRole", format!("{word} is no role of members")),
        }
    }
    policy.first_admin = FirstAdmin {
        subject: configured.first_admin_subject.clone().unwrap_or_default(),
        email: configured.first_admin_email.clone().unwrap_or_default(),
    };
    // A project may be made later than the file was written; until then its rules rest.
    let known = |key: &str| {
        let found = projects.get(key).cloned();
        if found.is_none() {
            tracing::warn!(
                project = key,
                "an identity provider of the configuration file names a project that is not there"
            );
        }
        found
    };
    policy.default_projects = configured
        .default_projects
        .iter()
        .flatten()
        .filter_map(|key| known(key))
        .collect();
    policy.group_rules = Vec::new();
    for rule in configured.group_rules.iter().flatten() {
        let role = match rule.role.as_str() {
            "site_admin" => Role::SiteAdmin,
            word => match Role::of_member(word) {
                Some(role) => role,
                None => return wrong("groupRules", format!("{word} is no role")),
            },
        };
        let project_id = match rule.project.as_deref() {
            None => String::new(),
            Some(key) => match known(key) {
                Some(id) => id,
                None => continue,
            },
        };
        policy.group_rules.push(GroupRule {
            group: rule.group.clone(),
            role,
            project_id,
        });
    }
    Ok(ProviderInput {
        name,
        connection,
        policy,
        client_secret: configured.client_secret.clone().filter(|secret| {
            let secret: &SecretString = secret;
            !secret.expose_secret().is_empty()
        }),
    })
}

/// Asks a provider everything that can be asked without a person: discovery, keys, and whether it knows the client.
pub async fn try_online(ctx: &Ctx, provider: &IdentityProvider) -> Result<(), Trouble> {
    let metadata = discovery::learn(ctx, &provider.connection)
        .await
        .map_err(|fault| fault.trouble)?;
    discovery::keys(ctx, provider, &metadata, discovery::Keys::Anew)
        .await
        .map_err(|fault| fault.trouble)?;
    let redirect = away::redirect_url(&ctx.config, &provider.id);
    token::try_client(ctx, provider, &metadata, &redirect)
        .await
        .map_err(|error| error.trouble())?
        .map_err(|fault| fault.trouble)
}

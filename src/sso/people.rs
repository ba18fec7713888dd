//! Who a person from a provider is here, and what they may do: decided from what is read, so that a test can show it;
//! carried out in one transaction.
//!
//! People are (issuer, subject). An address links only when the provider calls it verified with a boolean `true`, and
//! never to an account that another person of the same issuer has. A claim links only where the policy names it, and
//! never to an admin.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde_json::json;

use super::claims;
use super::error::{Fault, SsoError};
use super::model::{Decision, IdentityProvider, Person, Policy, RoleChange};
use super::store::people as store;
use crate::access::Role;
use crate::account::{self, AccountError, User};
use crate::crypto;
use crate::ctx::Ctx;
use crate::event::{self, NewEvent};
use crate::project;
use crate::trouble::Trouble;

/// Addresses of people whose provider proves none: nobody can get mail there (RFC 2606).
const NO_ADDRESS: &str = "no-address.invalid";

/// Decides who somebody is. Writes nothing.
pub(super) async fn decide<C: ConnectionTrait>(
    on: &C,
    provider: &IdentityProvider,
    person: &Person,
) -> Result<Decision, DbErr> {
    let policy = &provider.policy;
    if account::count_in(on).await? == 0 {
        return Ok(first(policy, person));
    }
    if let Some(user_id) = store::user_of(on, &person.issuer, &person.subject).await? {
        return match account::read_in(on, &user_id).await? {
            Some(user) if user.is_active() => Ok(match claims::check_domain(policy, person) {
                Ok(()) => Decision::Known { user_id },
                Err(fault) => refuse(fault),
            }),
            _ => Ok(disabled()),
        };
    }
    if let Err(fault) = claims::check_domain(policy, person) {
        return Ok(refuse(fault));
    }
    if let Some(found) = by_address(on, policy, person).await? {
        return Ok(found);
    }
    if let Some(found) = by_claim(on, policy, person).await? {
        return Ok(found);
    }
    if !policy.create_accounts {
        return Ok(refuse(Fault::new(
            "no_account",
            "You have no account here, and this way to sign in makes none.",
            "Ask an administrator for an account with the address that your provider knows.",
        )));
    }
    let email = new_address(policy, person);
    if account::by_email_in(on, &email).await?.is_some() {
        return Ok(taken());
    }
    Ok(Decision::Create { email })
}

/// While nobody has an account, only the person named beforehand comes in.
fn first(policy: &Policy, person: &Person) -> Decision {
    let wanted = &policy.first_admin;
    let by_subject = !wanted.subject.is_empty() && wanted.subject == person.subject;
    let by_email = wanted.subject.is_empty()
        && !wanted.email.is_empty()
        && person.email_verified
        && person.email.as_deref() == Some(wanted.email.as_str());
    if by_subject || by_email {
        return Decision::FirstAdmin {
            email: new_address(policy, person),
        };
    }
    refuse(Fault::new(
        "not_the_first_admin",
        "Mailgrant is not set up yet, and you are not the person who is named as its first administrator.",
        "Ask whoever installed it: the set-up link, or the configuration, says who begins.",
    ))
}

async fn by_address<C: ConnectionTrait>(
    on: &C,
    policy: &Policy,
    person: &Person,
) -> Result<Option<Decision>, DbErr> {
    let Some(email) = person.email.as_deref().filter(|_| person.email_verified) else {
        return Ok(None);
    };
    let Some(user) = account::by_email_in(on, email).await? else {
        return Ok(None);
    };
    if !user.is_active() {
        return Ok(Some(disabled()));
    }
    if !policy.link_by_email || !is_free(on, &user, person).await? {
        return Ok(Some(taken()));
    }
    Ok(Some(Decision::Link {
        user_id: user.id,
        email: user.email,
        by: "email".to_owned(),
    }))
}

async fn by_claim<C: ConnectionTrait>(
    on: &C,
    policy: &Policy,
    person: &Person,
) -> Result<Option<Decision>, DbErr> {
    let Some(email) = claims::link_value(policy, person) else {
        return Ok(None);
    };
    let Some(user) = account::by_email_in(on, &email).await? else {
        return Ok(None);
    };
    if !user.is_active() {
        return Ok(Some(disabled()));
    }
    if is_admin(on, &user).await? || !is_free(on, &user, person).await? {
        return Ok(Some(taken()));
    }
    Ok(Some(Decision::Link {
        user_id: user.id,
        email: user.email,
        by: policy.link_claim.clone(),
    }))
}

/// Whether an account can be joined: no other person of this issuer has it, and nobody made it with an address that
/// was never proven, which would hand the account of whoever owns the address to whoever claimed it first.
async fn is_free<C: ConnectionTrait>(on: &C, user: &User, person: &Person) -> Result<bool, DbErr> {
    let identities = store::identities_of(on, &user.id).await?;
    Ok(identities
        .iter()
        .all(|(issuer, is_proven)| *issuer != person.issuer && *is_proven))
}

async fn is_admin<C: ConnectionTrait>(on: &C, user: &User) -> Result<bool, DbErr> {
    let roles = project::roles_in(on, &user.id).await?;
    Ok(user.is_site_admin || roles.values().any(|role| *role >= Role::ProjectAdmin))
}

/// The address of a new account: the proven one, the unproven one where the policy trusts it, else one that no mail
/// reaches, the same for the same person.
fn new_address(policy: &Policy, person: &Person) -> String {
    let usable = person
        .email
        .as_deref()
        .filter(|_| person.email_verified || policy.trust_email);
    usable.map_or_else(
        || {
            let mut hash = crypto::sha256_hex(format!("{}\n{}", person.issuer, person.subject).as_bytes());
            hash.truncate(24);
            format!("{hash}@{NO_ADDRESS}")
        },
        str::to_owned,
    )
}

fn refuse(fault: Fault) -> Decision {
    Decision::Refuse(fault.trouble)
}

fn disabled() -> Decision {
    refuse(Fault::new(
        "account_disabled",
        "Your account here is switched off.",
        "Ask an administrator to switch it on again.",
    ))
}

fn taken() -> Decision {
    refuse(Fault::new(
        "address_taken",
        "There is an account with your address, and it may not be joined with this sign-in: that is an \
         administrator's account, belongs to another person of this provider, or joining is switched off.",
        "Sign in the way you did before, or ask an administrator.",
    ))
}

/// What the groups of somebody give: project (empty for the site) → the highest role, and the group it comes from.
fn wanted(policy: &Policy, groups: &[String]) -> BTreeMap<String, (Role, String)> {
    let groups: BTreeSet<&str> = groups.iter().map(String::as_str).collect();
    let mut wanted: BTreeMap<String, (Role, String)> = BTreeMap::new();
    for rule in policy
        .group_rules
        .iter()
        .filter(|rule| groups.contains(rule.group.as_str()))
    {
        let better = wanted
            .get(&rule.project_id)
            .is_none_or(|(role, _)| rule.role > *role);
        if better {
            wanted.insert(rule.project_id.clone(), (rule.role, rule.group.clone()));
        }
    }
    wanted
}

/// What changes in somebody's roles when they sign in. `user` is none for somebody new.
pub(super) async fn plan<C: ConnectionTrait>(
    on: &C,
    provider: &IdentityProvider,
    groups: &[String],
    user: Option<&User>,
) -> Result<Vec<RoleChange>, DbErr> {
    let policy = &provider.policy;
    let (has, managed) = match user {
        Some(user) => {
            let mut has: BTreeMap<String, Role> = project::roles_in(on, &user.id).await?;
            if user.is_site_admin {
                has.insert(String::new(), Role::SiteAdmin);
            }
            (has, store::managed(on, &provider.id, &user.id).await?)
        }
        None => (BTreeMap::new(), BTreeMap::new()),
    };
    let wanted = wanted(policy, groups);
    let mut changes = Vec::new();
    for (project_id, (role, group)) in &wanted {
        let before = has.get(project_id);
        let is_ours = before.is_none()
            || managed.get(project_id).map(String::as_str) == before.map(|role| role.as_str());
        if is_ours && before != Some(role) {
            changes.push(change(project_id, before, Some(*role), format!("group {group}")));
        }
    }
    for (project_id, role) in &managed {
        let before = has.get(project_id);
        if !wanted.contains_key(project_id) && before.map(|role| role.as_str()) == Some(role.as_str()) {
            changes.push(change(project_id, before, None, "no group gives it".to_owned()));
        }
    }
    if user.is_none() {
        for project_id in &policy.default_projects {
            if !wanted.contains_key(project_id) {
                let why = "everybody who is new".to_owned();
                changes.push(change(project_id, None, Some(policy.default_role), why));
            }
        }
    }
    Ok(changes)
}

fn change(project_id: &str, before: Option<&Role>, after: Option<Role>, why: String) -> RoleChange {
    RoleChange {
        project_id: project_id.to_owned(),
        before: before.map(|role| role.as_str()).unwrap_or_default().to_owned(),
        after: after.map(Role::as_str).unwrap_or_default().to_owned(),
        why,
    }
}

/// Decides and carries it out, in the caller's transaction.
pub(super) async fn sign_in(
    ctx: &Ctx,
    tx: &DatabaseTransaction,
    provider: &IdentityProvider,
    person: &Person,
) -> Result<Result<User, Trouble>, SsoError> {
    account::lock_people(tx).await?;
    let now = ctx.clock.now_ms();
    let identity = (person.issuer.as_str(), person.subject.as_str());
    let decision = decide(tx, provider, person).await?;
    let (user, is_new) = match decision {
        Decision::Refuse(trouble) => return Ok(Err(trouble)),
        Decision::Known { user_id } => {
            store::touch_identity(tx, identity.0, identity.1, now).await?;
            (account::read_in(tx, &user_id).await?, false)
        }
        Decision::Link { user_id, by, .. } => {
            store::insert_identity(tx, identity, &user_id, &provider.id, by == "email", now).await?;
            append(ctx, tx, "user.identity_linked", &user_id, provider).await?;
            (account::read_in(tx, &user_id).await?, false)
        }
        Decision::Create { email } => (Some(add(ctx, tx, provider, person, &email, false).await?), true),
        Decision::FirstAdmin { email } => {
            account::forget_setup_links(tx).await?;
            (Some(add(ctx, tx, provider, person, &email, true).await?), true)
        }
    };
    let user = user.ok_or(SsoError::NotFound)?;
    if person.email_verified && person.email.as_deref() == Some(user.email.as_str()) {
        account::note_verified(tx, &user.id, &user.email).await?;
    }
    let changes = plan(tx, provider, &person.groups, Some(&user).filter(|_| !is_new)).await?;
    apply(ctx, tx, provider, &user, &changes, &person.groups).await?;
    // Read again: a group may have made or unmade a site admin.
    let user = account::read_in(tx, &user.id).await?.ok_or(SsoError::NotFound)?;
    Ok(Ok(user))
}

async fn add(
    ctx: &Ctx,
    tx: &DatabaseTransaction,
    provider: &IdentityProvider,
    person: &Person,
    email: &str,
    is_site_admin: bool,
) -> Result<User, SsoError> {
    let user = account::add_in(tx, &ctx.clock, email, &person.name, is_site_admin, &provider.id)
        .await
        .map_err(failed)?;
    let is_proven = person.email_verified || email.ends_with(NO_ADDRESS);
    let identity = (person.issuer.as_str(), person.subject.as_str());
    store::insert_identity(
        tx,
        identity,
        &user.id,
        &provider.id,
        is_proven,
        ctx.clock.now_ms(),
    )
    .await?;
    Ok(user)
}

fn failed(error: AccountError) -> SsoError {
    match error {
        AccountError::Db(error) => SsoError::Db(error),
        other => SsoError::Provider(Trouble::new(
            other.code(),
            format!("An account could not be made: {other}."),
            "Ask an administrator.",
        )),
    }
}

/// Carries role changes out and remembers which roles the provider manages. Roles that somebody gave by hand are not
/// in `changes`, and stay.
async fn apply(
    ctx: &Ctx,
    tx: &DatabaseTransaction,
    provider: &IdentityProvider,
    user: &User,
    changes: &[RoleChange],
    groups: &[String],
) -> Result<(), SsoError> {
    let wanted = wanted(&provider.policy, groups);
    let managed = store::managed(tx, &provider.id, &user.id).await?;
    let mut kept = BTreeSet::new();
    for change in changes {
        if !give(ctx, tx, provider, user, change).await? {
            kept.insert(change.project_id.clone());
        }
    }
    for (project_id, (role, _)) in &wanted {
        let is_ours =
            managed.contains_key(project_id) || changes.iter().any(|change| change.project_id == *project_id);
        if is_ours && !kept.contains(project_id) {
            store::set_managed(tx, &provider.id, &user.id, project_id, role.as_str()).await?;
        }
    }
    for project_id in managed.keys().filter(|id| !wanted.contains_key(*id)) {
        if !kept.contains(project_id) {
            store::forget_managed(tx, &provider.id, &user.id, project_id).await?;
        }
    }
    Ok(())
}

/// Gives or takes one role; false if it had to stay: the last site admin keeps the site.
async fn give(
    ctx: &Ctx,
    tx: &DatabaseTransaction,
    provider: &IdentityProvider,
    user: &User,
    change: &RoleChange,
) -> Result<bool, SsoError> {
    let actor = provider.id.as_str();
    if change.project_id.is_empty() {
        let is_admin = !change.after.is_empty();
        return match account::set_site_admin_in(tx, &ctx.clock, &user.id, is_admin, actor).await {
            Ok(()) => Ok(true),
            Err(AccountError::LastAdmin) => {
                tracing::warn!(user = %user.id, "the last site admin keeps the role that no group gives any more");
                Ok(false)
            }
            Err(error) => Err(failed(error)),
        };
    }
    match Role::of_member(&change.after) {
        Some(role) => {
            project::set_member_in(tx, &ctx.clock, &change.project_id, &user.id, role, actor).await?;
        }
        // Somebody may have taken them out meanwhile.
        None => {
            project::remove_member_in(tx, &ctx.clock, &change.project_id, &user.id, actor).await?;
        }
    }
    Ok(true)
}

/// Takes all roles back that a provider manages, because it goes.
pub(super) async fn take_roles_back(
    ctx: &Ctx,
    tx: &DatabaseTransaction,
    provider: &IdentityProvider,
) -> Result<(), SsoError> {
    account::lock_people(tx).await?;
    let none = IdentityProvider {
        policy: Policy {
            group_rules: Vec::new(),
            ..provider.policy.clone()
        },
        ..provider.clone()
    };
    for user_id in store::managed_people(tx, &provider.id).await? {
        if let Some(user) = account::read_in(tx, &user_id).await? {
            let changes = plan(tx, &none, &[], Some(&user)).await?;
            apply(ctx, tx, &none, &user, &changes, &[]).await?;
        }
    }
    Ok(())
}

async fn append(
    ctx: &Ctx,
    tx: &DatabaseTransaction,
    kind: &str,
    user_id: &str,
    provider: &IdentityProvider,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind,
        project_id: "",
        subject_id: user_id,
        actor: &provider.id,
        data: json!({ "providerId": provider.id }),
    };
    event::append(tx, &ctx.clock, event).await.map(|_| ())
}

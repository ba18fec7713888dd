//! Making and changing trusted issuers. Only site admins do; every change is in the audit log, without secrets.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::model::{Fields, IssuerError, KeySource, SubjectMapping, TrustedIssuer, Use};
use super::{keys, store};
use crate::audit::{self, NewAuditEvent};
use crate::crypto::{ForeignAlg, Place, random_token};
use crate::ctx::Ctx;
use crate::id;
use crate::trouble::FieldError;

/// The longest life of a token that can be agreed on: thirty days.
const MAX_LIFE: i64 = 30 * 24 * 3_600;

/// The longest that an answer of an introspection can be remembered, seconds.
const MAX_CACHE: i64 = 300;

/// Shortest secret that both sides have, characters.
const MIN_SECRET: usize = 32;

/// Most entries of a list.
const MAX_ENTRIES: usize = 1_000;

/// Most issuers.
const MAX_ISSUERS: usize = 100;

/// An issuer that was made or changed, with the secret if one was drawn just now: it is shown once.
#[derive(Debug)]
pub struct Made {
    /// The issuer.
    pub issuer: TrustedIssuer,
    /// The secret that both sides have.
    pub secret: Option<SecretString>,
}

/// The place of an issuer's secret.
pub(super) fn place(id: &str) -> Place<'_> {
    Place {
        table: "trusted_issuers",
        column: "secret_sealed",
        row: id,
    }
}

/// Makes an issuer. It counts only when `enabled` says so.
///
/// # Errors
/// What is wrong with the fields.
pub async fn create(ctx: &Ctx, actor: &str, fields: Fields) -> Result<Made, IssuerError> {
    let now = ctx.clock.now_ms();
    let mut issuer = TrustedIssuer {
        id: id::new("tis", &ctx.clock),
        name: String::new(),
        issuer: String::new(),
        uses: vec![],
        enabled: false,
        key_source: KeySource::default(),
        jwks: String::new(),
        jwks_uri: String::new(),
        algorithms: vec![],
        introspection_endpoint: String::new(),
        introspection_client_id: String::new(),
        secret_sealed: String::new(),
        cache_seconds: 60,
        token_prefix: String::new(),
        audiences: vec![],
        subjects: vec![],
        max_life_seconds: 3_600,
        mapping: SubjectMapping::default(),
        subject_table: Default::default(),
        service_client: String::new(),
        scope_claim: "scope".to_owned(),
        scope_map: Default::default(),
        scopes: vec![],
        projects: vec![],
        clients: vec![],
        allow_incomplete: false,
        require_at_jwt: false,
        created_by: actor.to_owned(),
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let secret = apply(ctx, &mut issuer, fields)?;
    check(ctx, &issuer).await?;
    let txn = ctx.db.begin().await?;
    store::insert(&txn, &issuer).await?;
    note(ctx, &txn, actor, "trusted_issuer.created", &issuer).await?;
    txn.commit().await?;
    Ok(Made { issuer, secret })
}

/// Changes an issuer that still has the revision `seen`. What was remembered of its tokens counts no more.
///
/// # Errors
/// What is wrong with the fields, [`IssuerError::NotFound`], [`IssuerError::Conflict`].
pub async fn update(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    seen: i64,
    fields: Fields,
) -> Result<Made, IssuerError> {
    let mut issuer = get(ctx, id).await?;
    let secret = apply(ctx, &mut issuer, fields)?;
    check(ctx, &issuer).await?;
    issuer.updated_at = ctx.clock.now_ms();
    issuer.revision = seen + 1;
    let txn = ctx.db.begin().await?;
    if !store::update(&txn, &issuer, seen).await? {
        return Err(IssuerError::Conflict);
    }
    store::end_families(&txn, id, issuer.updated_at).await?;
    note(ctx, &txn, actor, "trusted_issuer.updated", &issuer).await?;
    txn.commit().await?;
    Ok(Made { issuer, secret })
}

/// Removes an issuer that still has the revision `seen`: its tokens count no more.
///
/// # Errors
/// [`IssuerError::NotFound`], [`IssuerError::Conflict`].
pub async fn delete(ctx: &Ctx, actor: &str, id: &str, seen: i64) -> Result<(), IssuerError> {
    let issuer = get(ctx, id).await?;
    let txn = ctx.db.begin().await?;
    store::end_families(&txn, id, ctx.clock.now_ms()).await?;
    if !store::remove(&txn, id, seen).await? {
        return Err(IssuerError::Conflict);
    }
    note(ctx, &txn, actor, "trusted_issuer.deleted", &issuer).await?;
    Ok(txn.commit().await?)
}

/// Whether an issuer is what it was when it was read. It stays so until the transaction ends: whoever changes it ends what
/// was given for its tokens, and must find what this one gives.
///
/// # Errors
/// The database's.
pub async fn is_unchanged(txn: &DatabaseTransaction, issuer: &TrustedIssuer) -> Result<bool, DbErr> {
    Ok(store::held_revision(txn, &issuer.id).await? == Some(issuer.revision))
}

/// One issuer.
///
/// # Errors
/// [`IssuerError::NotFound`].
pub async fn get(ctx: &Ctx, id: &str) -> Result<TrustedIssuer, IssuerError> {
    store::by_id(ctx.db.read(), id)
        .await?
        .ok_or(IssuerError::NotFound)
}

/// All of them, the oldest first.
pub async fn list(ctx: &Ctx) -> Result<Vec<TrustedIssuer>, IssuerError> {
    Ok(store::all(ctx.db.read()).await?)
}

async fn note<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    actor: &str,
    action: &str,
    issuer: &TrustedIssuer,
) -> Result<(), DbErr> {
    let uses: Vec<&str> = issuer.uses.iter().map(|one| one.as_str()).collect();
    let event = NewAuditEvent::new(action, "trusted_issuer", &issuer.id)
        .by(actor)
        .saying(json!({
            "name": issuer.name, "issuer": issuer.issuer, "uses": uses, "enabled": issuer.enabled,
            "keySource": issuer.key_source.as_str(), "subjectMapping": issuer.mapping.as_str(),
            "scopes": issuer.scopes, "allowIncomplete": issuer.allow_incomplete,
            "requireAtJwt": issuer.require_at_jwt,
        }));
    audit::append(on, &ctx.clock, event).await.map(drop)
}

fn tidy(words: Vec<String>) -> Vec<String> {
    let mut words: Vec<String> = words
        .into_iter()
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect();
    words.dedup();
    words
}

/// Takes over what was said; the secret comes back if it was drawn here.
fn apply(ctx: &Ctx, issuer: &mut TrustedIssuer, fields: Fields) -> Result<Option<SecretString>, IssuerError> {
    let before = (issuer.key_source, issuer.introspection_endpoint.clone());
    let put = |to: &mut String, text: Option<String>| {
        if let Some(text) = text {
            text.trim().clone_into(to);
        }
    };
    put(&mut issuer.name, fields.name);
    put(&mut issuer.issuer, fields.issuer);
    put(&mut issuer.jwks, fields.jwks);
    put(&mut issuer.jwks_uri, fields.jwks_uri);
    put(&mut issuer.introspection_endpoint, fields.introspection_endpoint);
    put(
        &mut issuer.introspection_client_id,
        fields.introspection_client_id,
    );
    put(&mut issuer.token_prefix, fields.token_prefix);
    put(&mut issuer.service_client, fields.service_client);
    put(&mut issuer.scope_claim, fields.scope_claim);
    macro_rules! take {
        ($($name:ident),*) => {$(if let Some(value) = fields.$name { issuer.$name = value; })*};
    }
    take!(
        uses,
        enabled,
        key_source,
        algorithms,
        cache_seconds,
        max_life_seconds,
        mapping,
        subject_table,
        scope_map,
        allow_incomplete,
        require_at_jwt
    );
    macro_rules! take_tidy {
        ($($name:ident),*) => {$(if let Some(value) = fields.$name { issuer.$name = tidy(value); })*};
    }
    take_tidy!(audiences, subjects, scopes, projects, clients);
    if issuer.scope_claim.is_empty() {
        "scope".clone_into(&mut issuer.scope_claim);
    }
    if issuer.algorithms.is_empty() {
        issuer.algorithms = match issuer.key_source {
            KeySource::SharedSecret => vec![ForeignAlg::Hs512],
            _ => vec![ForeignAlg::Rs256, ForeignAlg::Es256, ForeignAlg::EdDsa],
        };
    }
    // A secret goes to the place it was entered for and to no other.
    if before != (issuer.key_source, issuer.introspection_endpoint.clone()) && fields.secret.is_none() {
        issuer.secret_sealed.clear();
    }
    match fields.secret {
        Some(secret) => {
            issuer.secret_sealed = ctx.keys.seal(&place(&issuer.id), &secret);
            if issuer.key_source == KeySource::SharedSecret
                && secret.expose_secret().chars().count() < MIN_SECRET
            {
                return Err(invalid(
                    "secret",
                    "too_short",
                    "Use at least 32 characters, better 64.",
                ));
            }
            Ok(None)
        }
        None if issuer.key_source == KeySource::SharedSecret && issuer.secret_sealed.is_empty() => {
            let drawn = SecretString::from(random_token(64));
            issuer.secret_sealed = ctx.keys.seal(&place(&issuer.id), &drawn);
            Ok(Some(drawn))
        }
        None => Ok(None),
    }
}

fn invalid(field: &'static str, code: &'static str, text: &str) -> IssuerError {
    IssuerError::Invalid(vec![FieldError::new(field, code, text)])
}

async fn check(ctx: &Ctx, issuer: &TrustedIssuer) -> Result<(), IssuerError> {
    let mut errors = Vec::new();
    let mut wrong = |field: &'static str, code: &'static str, text: &str| {
        errors.push(FieldError::new(field, code, text));
    };
    if !(1..=100).contains(&issuer.name.chars().count()) {
        wrong("name", "required", "Give it a name of at most 100 characters.");
    }
    if issuer.issuer.is_empty() || issuer.issuer.len() > 500 || issuer.issuer.chars().any(char::is_control) {
        wrong(
            "issuer",
            "required",
            "Enter the issuer exactly as its tokens say in `iss`.",
        );
    }
    if issuer.uses.is_empty() {
        wrong(
            "uses",
            "required",
            "Choose what its tokens are good for: jwt_bearer, api, or both.",
        );
    }
    check_keys(issuer, &mut wrong);
    if !(60..=MAX_LIFE).contains(&issuer.max_life_seconds) {
        wrong(
            "max_life_seconds",
            "out_of_range",
            "Allow from 60 seconds to 30 days.",
        );
    }
    if !(0..=MAX_CACHE).contains(&issuer.cache_seconds) {
        wrong(
            "cache_seconds",
            "out_of_range",
            "Remember answers for 0 to 300 seconds.",
        );
    }
    let many = [
        &issuer.audiences,
        &issuer.subjects,
        &issuer.scopes,
        &issuer.projects,
        &issuer.clients,
    ];
    if many.iter().any(|list| list.len() > MAX_ENTRIES) || issuer.subject_table.len() > MAX_ENTRIES {
        wrong("subjects", "too_many", "A list has at most 1000 entries.");
    }
    if issuer.mapping == SubjectMapping::Table && issuer.subject_table.is_empty() {
        wrong(
            "subject_table",
            "required",
            "Say which subject is whom, or choose another mapping.",
        );
    }
    if issuer.mapping == SubjectMapping::Service && issuer.service_client.is_empty() {
        wrong("service_client", "required", "Say which client everybody is.");
    }
    if issuer.uses.contains(&Use::JwtBearer) {
        if issuer.clients.is_empty() {
            wrong(
                "clients",
                "required",
                "Name the clients that may bring its assertions.",
            );
        }
        if issuer.mapping == SubjectMapping::Service {
            wrong(
                "mapping",
                "invalid",
                "An assertion speaks of a person; a service account has client credentials.",
            );
        }
    }
    if issuer.key_source == KeySource::SharedSecret && issuer.clients.len() > 1 {
        wrong(
            "clients",
            "too_many",
            "A shared secret is one client's; make an issuer for each.",
        );
    }
    if issuer.allow_incomplete && issuer.uses != [Use::JwtBearer] {
        wrong(
            "allow_incomplete",
            "invalid",
            "Tokens without audience and end count at the token endpoint only.",
        );
    }
    if issuer.require_at_jwt && (!issuer.uses.contains(&Use::Api) || !issuer.key_source.is_read()) {
        wrong(
            "require_at_jwt",
            "invalid",
            "Only tokens at the API that are checked by keys say what they are.",
        );
    }
    check_references(ctx, issuer, &mut errors).await?;
    if errors.is_empty() {
        Ok(())
    } else {
        Err(IssuerError::Invalid(errors))
    }
}

fn check_keys(issuer: &TrustedIssuer, wrong: &mut impl FnMut(&'static str, &'static str, &str)) {
    let shared = issuer.key_source == KeySource::SharedSecret;
    if issuer.algorithms.iter().any(|alg| alg.is_shared() != shared) {
        wrong(
            "algorithms",
            "invalid",
            "HS512 goes with a shared secret, and nothing else does.",
        );
    }
    match issuer.key_source {
        KeySource::Jwks => {
            let usable = serde_json::from_str::<Value>(&issuer.jwks)
                .ok()
                .filter(|_| issuer.jwks.len() <= keys::MAX_BYTES)
                .is_some_and(|set| keys::usable(&set, &issuer.algorithms) > 0);
            if !usable {
                wrong(
                    "jwks",
                    "invalid",
                    "Enter a JWK set, {\"keys\": […]}, with a public key for one of the algorithms.",
                );
            }
        }
        KeySource::JwksUri if !is_endpoint(&issuer.jwks_uri) => {
            wrong(
                "jwks_uri",
                "invalid",
                "Enter an https address without user name and fragment.",
            );
        }
        KeySource::Introspection => {
            if issuer.uses.contains(&Use::JwtBearer) {
                wrong(
                    "key_source",
                    "invalid",
                    "Assertions are checked by keys, not by asking.",
                );
            }
            if issuer.audiences.is_empty() {
                wrong(
                    "audiences",
                    "required",
                    "Say what its tokens must be meant for: their `aud`, or the `client_id` of the client they were \
                     given to where its answers have no `aud`. Without it a token for any other application would \
                     count here.",
                );
            }
            if !is_endpoint(&issuer.introspection_endpoint) {
                wrong(
                    "introspection_endpoint",
                    "invalid",
                    "Enter an https address without user name and fragment.",
                );
            }
            if issuer.introspection_client_id.is_empty() || !issuer.has_secret() {
                wrong(
                    "introspection_client_id",
                    "required",
                    "Enter the client id and secret with which the issuer is asked.",
                );
            }
        }
        KeySource::SharedSecret if issuer.uses.contains(&Use::Api) => {
            wrong("key_source", "invalid", "A shared secret is for assertions only.");
        }
        KeySource::JwksUri | KeySource::SharedSecret => {}
    }
}

/// What only the database knows.
async fn check_references(
    ctx: &Ctx,
    issuer: &TrustedIssuer,
    errors: &mut Vec<FieldError>,
) -> Result<(), IssuerError> {
    let on = ctx.db.read();
    let others = store::all(on).await?;
    if others.len() >= MAX_ISSUERS && !others.iter().any(|other| other.id == issuer.id) {
        errors.push(FieldError::new(
            "issuer",
            "too_many",
            "There are 100 trusted issuers, which is the most.",
        ));
    }
    // Who is asked about a token must be clear before anybody is: a token shown to the wrong one is a token lost.
    let asks = |one: &TrustedIssuer| one.key_source == KeySource::Introspection && one.is_for(Use::Api);
    let clash = others.iter().find(|other| {
        other.id != issuer.id
            && asks(other)
            && asks(issuer)
            && (other.token_prefix.starts_with(&issuer.token_prefix)
                || issuer.token_prefix.starts_with(&other.token_prefix))
    });
    if let Some(other) = clash {
        let text = format!(
            "{} is asked about tokens with this beginning already; give both a token prefix of their own.",
            other.name
        );
        errors.push(FieldError::new("token_prefix", "duplicate", text));
    }
    for (table, ids, field) in [
        ("projects", &issuer.projects, "projects"),
        ("oauth2_clients", &issuer.clients, "clients"),
    ] {
        for id in ids {
            if !store::exists(on, table, id).await? {
                errors.push(FieldError::new(field, "unknown", format!("There is no {id}.")));
            }
        }
    }
    let mapped = match issuer.mapping {
        SubjectMapping::Table => issuer.subject_table.values().collect(),
        SubjectMapping::Service => vec![&issuer.service_client],
        SubjectMapping::Email => vec![],
    };
    for target in mapped {
        let table = match target {
            target if id::is("usr", target) => "users",
            target if id::is("cli", target) => "oauth2_clients",
            _ => "",
        };
        let is_there = !table.is_empty() && store::exists(on, table, target).await?;
        let fits = table == "users" || !issuer.uses.contains(&Use::JwtBearer);
        if !(is_there && fits) {
            let text = format!("{target} is no person (usr_…) or client (cli_…) that could be meant here.");
            errors.push(FieldError::new("subject_table", "unknown", text));
        }
    }
    Ok(())
}

/// Whether something can be fetched from there; whether it may be is asked when it is dialled.
fn is_endpoint(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        _ => false,
    };
    text.len() <= 2_000
        && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

//! A checked request for authorization: what has to happen before it is answered, what a person decides, and the answer.

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::authorize::{Refused, ReturnTo};
use super::connected::end_given;
use super::error::OAuthError;
use super::issue::{self, IdTokenOf};
use super::model::{AuthorizeRequest, Client, Consent, SignIn};
use super::store::{self, requests, tokens};
use super::waiting::Pending;
use super::{claims, logout, redirect, scope};
use crate::account::{self, Session, User};
use crate::audit::{self, NewAuditEvent};
use crate::crypto::{new_prefixed, sha256_hex};
use crate::ctx::Ctx;
use crate::id;

/// Prefix of authorization codes.
pub(super) const CODE_PREFIX: &str = "mg_ac_";
/// Life of a code.
const CODE_MS: i64 = 60_000;

/// What must happen before a checked request can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Somebody must sign in, or sign in again.
    SignIn,
    /// The person must be asked.
    Consent,
    /// Nothing: the code can be given, for these scopes in these projects.
    Ready {
        /// What was allowed.
        scopes: Vec<String>,
        /// In which projects; empty for all.
        projects: Vec<String>,
    },
}

/// Decides the next step. `since` is when the request came in: `prompt=login` is satisfied by a sign-in after it.
///
/// # Errors
/// With `prompt=none`, what would need the person.
pub async fn next_step(
    ctx: &Ctx,
    client: &Client,
    request: &AuthorizeRequest,
    who: Option<(&Session, &User)>,
    since: Option<i64>,
) -> Result<Step, Refused> {
    let silent = request.prompts("none");
    let told = |code, description: &str| {
        Refused::Redirect(ReturnTo::of(request), OAuthError::new(code, description))
    };
    let Some((session, user)) =
        who.filter(|(session, user)| is_signed_in(ctx, request, session, user, since))
    else {
        return match silent {
            true => Err(told("login_required", "nobody suitable is signed in")),
            false => Ok(Step::SignIn),
        };
    };
    if let Some(refused) = unmet(request, session, since) {
        return match silent || refused {
            true => Err(told(
                "unmet_authentication_requirements",
                "nobody can sign in here in a way that the request demands",
            )),
            false => Ok(Step::SignIn),
        };
    }
    if !silent && is_worth_a_code(ctx, request, session, user, since).await? {
        return Ok(Step::SignIn);
    }
    let asked = request.asked_scopes();
    // A device is never allowed silently: its code may have been sent by somebody else.
    if request.device.is_some() {
        return Ok(Step::Consent);
    }
    if client.auto_grant && !request.prompts("consent") {
        return Ok(Step::Ready {
            scopes: asked,
            projects: Vec::new(),
        });
    }
    let consent = tokens::consent(ctx.db.read(), &user.id, &client.id, ctx.clock.now_ms()).await?;
    let remembered = consent.filter(|consent| {
        // A public client on a device cannot prove that it is the one that was allowed (RFC 8252, section 8.6).
        scope::covers(&consent.scopes, &asked) && (client.is_confidential() || is_web(client))
    });
    match remembered {
        Some(consent) if !request.prompts("consent") => Ok(Step::Ready {
            scopes: asked,
            projects: consent.projects,
        }),
        _ if silent => Err(told("consent_required", "the person must be asked")),
        _ => Ok(Step::Consent),
    }
}

/// Whether the sign-in is of no class that the request demands: `Some(true)` if signing in again was of no use.
fn unmet(request: &AuthorizeRequest, session: &Session, since: Option<i64>) -> Option<bool> {
    let demanded = &request.claims.essential_acr;
    let sign_in = SignIn::of(session);
    let is_met = demanded.is_empty() || demanded.iter().any(|asked| sign_in.meets(asked));
    let is_new = since.is_some_and(|since| session.created_at >= since);
    (!is_met).then_some(is_new)
}

/// Whether a second factor is wished for that this person has and did not show. What is merely wished for stops nobody else.
async fn is_worth_a_code(
    ctx: &Ctx,
    request: &AuthorizeRequest,
    session: &Session,
    user: &User,
    since: Option<i64>,
) -> Result<bool, sea_orm::DbErr> {
    let wished = &request.claims.wished_acr;
    let sign_in = SignIn::of(session);
    let is_new = since.is_some_and(|since| session.created_at >= since);
    if is_new || !wished.iter().any(|acr| acr == SignIn::MULTI) || wished.iter().any(|acr| sign_in.meets(acr))
    {
        return Ok(false);
    }
    Ok(account::second_factor(ctx, &user.id).await?.is_some())
}

fn is_web(client: &Client) -> bool {
    client.application_type == redirect::ApplicationType::Web
}

fn is_signed_in(
    ctx: &Ctx,
    request: &AuthorizeRequest,
    session: &Session,
    user: &User,
    since: Option<i64>,
) -> bool {
    let wants_new = request.prompts("login") || request.prompts("select_account");
    // A session can be newer than its sign-in: an identity provider lets people through for one of its own.
    let is_new = since.is_some_and(|since| session.auth_time >= since);
    let is_too_old = request.max_age.is_some_and(|seconds| {
        ctx.clock.now_ms() - SignIn::of(session).auth_time > seconds.saturating_mul(1000)
    });
    let is_expected = [&request.hinted_subject, &request.claims.subject]
        .into_iter()
        .flatten()
        .all(|subject| *subject == user.id);
    is_expected && (!wants_new || is_new) && (!is_too_old || is_new)
}

/// What a person allowed.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// The scopes, each among those asked for.
    pub scopes: Vec<String>,
    /// In which projects; empty for all.
    pub projects: Vec<String>,
    /// For how long, seconds; none for until revoked.
    pub seconds: Option<i64>,
}

/// What an allowed request ends in.
#[derive(Debug)]
pub enum Given {
    /// An answer, to be sent to the client.
    Reply(Reply),
    /// Nothing to send: the device fetches it.
    Device,
}

/// What is sent to a client: a code, and an ID token where it asked for one beside it.
#[derive(Debug)]
pub struct Reply {
    pub(super) code: SecretString,
    pub(super) id_token: Option<SecretString>,
}

impl Reply {
    /// The parameters of the answer.
    pub fn params(&self) -> Vec<(&'static str, &str)> {
        let id_token = self
            .id_token
            .iter()
            .map(|token| ("id_token", token.expose_secret()));
        std::iter::once(("code", self.code.expose_secret()))
            .chain(id_token)
            .collect()
    }
}

/// Keeps a person's consent, and gives the code or lets the device have its tokens.
pub async fn allow(
    ctx: &Ctx,
    pending: &Pending,
    session: &Session,
    user: &User,
    allowed: Allowed,
) -> Result<Given, Refused> {
    let request = &pending.request;
    // In the order of the request, each once, whatever the form sent.
    let scopes: Vec<String> = request
        .asked_scopes()
        .into_iter()
        .filter(|scope| allowed.scopes.contains(scope))
        .collect();
    if !request.scopes.iter().any(|scope| scopes.contains(scope)) {
        refuse(ctx, pending, user).await?;
        return Err(Refused::Redirect(
            ReturnTo::of(request),
            OAuthError::new("access_denied", "nothing was allowed"),
        ));
    }
    let now = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    still_signed_in(&txn, session, user).await?;
    let before = tokens::consent(&txn, &user.id, &pending.client.id, now).await?;
    let consent = remembered(pending, user, &scopes, &allowed, before.as_ref(), now);
    // What was given before and goes beyond what is allowed from now on ends with this decision.
    if before
        .as_ref()
        .is_some_and(|before| is_narrower(before, &consent))
    {
        end_given(&txn, &user.id, Some(&pending.client.id), now, "consent_narrowed").await?;
    }
    if let Some(end) = consent.expires_at {
        tokens::shorten_families(&txn, &user.id, &consent.client, end).await?;
    }
    tokens::put_consent(&txn, &consent).await?;
    let grant = granted(request, session, scopes, consent.projects.clone());
    let mut given = None;
    match &request.device {
        Some(device) => {
            if !requests::decide_device(&txn, &device.code_hash, &user.id, Some(&grant), now).await? {
                return Err(Refused::Page(OAuthError {
                    status: 403,
                    ..OAuthError::new(
                        "expired_token",
                        "the code of the device is over, or was used already",
                    )
                }));
            }
        }
        None => given = Some(insert_code(ctx, &txn, &pending.client, user, grant).await?),
    }
    let noted = NewAuditEvent::new("consent.granted", "client", &pending.client.id)
        .by(&user.id)
        .in_project(&pending.client.project_id)
        .saying(json!({
            "scopes": consent.scopes, "projects": consent.projects, "device": request.device.is_some(),
        }));
    audit::append(&txn, &ctx.clock, noted).await?;
    txn.commit().await?;
    match given {
        Some((code, row)) => Ok(Given::Reply(reply(ctx, &pending.client, code, &row).await?)),
        None => Ok(Given::Device),
    }
}

/// What is kept of a decision, beside what was decided before.
fn remembered(
    pending: &Pending,
    user: &User,
    scopes: &[String],
    allowed: &Allowed,
    before: Option<&Consent>,
    now: i64,
) -> Consent {
    let asked = pending.request.asked_scopes();
    let mut consent = Consent {
        user_id: user.id.clone(),
        client: pending.client.id.clone(),
        scopes: scopes.to_vec(),
        projects: allowed.projects.clone(),
        granted_at: now,
        last_used_at: now,
        expires_at: allowed.seconds.map(|seconds| now + seconds * 1000),
    };
    let Some(before) = before else {
        return consent;
    };
    // Where nothing reaches into projects nobody was asked into which: what was chosen before stays.
    if !scope::reach_projects(&asked) {
        consent.projects.clone_from(&before.projects);
    }
    // Another choice of projects replaces what was allowed before; more scopes in the same projects add to it.
    if before.projects != consent.projects && scope::reach_projects(&before.scopes) {
        return consent;
    }
    let not_asked: Vec<String> = before
        .scopes
        .iter()
        .filter(|scope| !asked.contains(scope))
        .cloned()
        .collect();
    if !not_asked.is_empty() {
        // Nobody allowed it for longer than they said then.
        consent.expires_at = match (consent.expires_at, before.expires_at) {
            (Some(new), Some(old)) => Some(new.min(old)),
            (new, old) => new.or(old),
        };
        consent.scopes.extend(not_asked);
    }
    consent
}

/// Whether less is allowed now than before.
fn is_narrower(before: &Consent, now: &Consent) -> bool {
    let in_fewer_projects = scope::reach_projects(&before.scopes)
        && !now.projects.is_empty()
        && (before.projects.is_empty() || !scope::covers(&now.projects, &before.projects));
    in_fewer_projects || !scope::covers(&now.scopes, &before.scopes)
}

/// Notes that the person refused, and tells a device; of other requests nothing is kept.
pub async fn refuse(ctx: &Ctx, pending: &Pending, user: &User) -> Result<(), Refused> {
    let (request, client) = (&pending.request, &pending.client);
    let txn = ctx.db.begin().await?;
    if let Some(device) = &request.device {
        let now = ctx.clock.now_ms();
        requests::decide_device(&txn, &device.code_hash, &user.id, None, now).await?;
    }
    let noted = NewAuditEvent::new("consent.refused", "client", &client.id)
        .by(&user.id)
        .in_project(&client.project_id)
        .saying(json!({ "scopes": request.asked_scopes(), "device": request.device.is_some() }));
    audit::append(&txn, &ctx.clock, noted).await?;
    txn.commit().await?;
    Ok(())
}

/// Gives a code for a request that needs nothing more.
///
/// # Errors
/// `consent_required` where what was found then is allowed no more.
pub async fn give_code(
    ctx: &Ctx,
    client: &Client,
    request: &AuthorizeRequest,
    session: &Session,
    user: &User,
    scopes: Vec<String>,
    projects: Vec<String>,
) -> Result<Reply, Refused> {
    let txn = ctx.db.begin().await?;
    still_signed_in(&txn, session, user).await?;
    let asked = request.asked_scopes();
    let scopes: Vec<String> = scopes.into_iter().filter(|scope| asked.contains(scope)).collect();
    if !still_allowed(ctx, &txn, client, user, &scopes, &projects).await? {
        return Err(Refused::Redirect(
            ReturnTo::of(request),
            OAuthError::new("consent_required", "what was allowed was changed meanwhile"),
        ));
    }
    let grant = granted(request, session, scopes, projects);
    let (code, row) = insert_code(ctx, &txn, client, user, grant).await?;
    txn.commit().await?;
    reply(ctx, client, code, &row).await
}

/// Whether a client still may have this of a person without asking them. Inside the transaction that holds the person: a
/// consent is narrowed and revoked by those who hold them too.
async fn still_allowed(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    client: &Client,
    user: &User,
    scopes: &[String],
    projects: &[String],
) -> Result<bool, sea_orm::DbErr> {
    if client.auto_grant {
        let now = store::client(txn, &client.id).await?;
        if now.is_some_and(|client| client.auto_grant) {
            return Ok(true);
        }
    }
    let consent = tokens::consent(txn, &user.id, &client.id, ctx.clock.now_ms()).await?;
    Ok(consent.is_some_and(|consent| {
        let is_within = consent.projects.is_empty()
            || (!projects.is_empty() && scope::covers(&consent.projects, projects));
        is_within && scope::covers(&consent.scopes, scopes)
    }))
}

/// Holds the person until the transaction ends, if their session goes on: what ends everything of theirs, such as a new
/// password, comes wholly before this or wholly after it.
async fn still_signed_in(txn: &DatabaseTransaction, session: &Session, user: &User) -> Result<(), Refused> {
    account::hold_person(txn, &user.id).await?;
    match account::is_still_there(txn, session).await? {
        true => Ok(()),
        false => Err(Refused::Page(OAuthError {
            status: 403,
            ..OAuthError::new("access_denied", "you were signed out meanwhile")
        })),
    }
}

/// The answer with a code that was just stored.
async fn reply(ctx: &Ctx, client: &Client, code: SecretString, row: &tokens::Code) -> Result<Reply, Refused> {
    let request = &row.grant.request;
    if !request.with_id_token {
        return Ok(Reply { code, id_token: None });
    }
    let ids = (row.family_id.as_str(), row.user_id.as_str());
    let family = row.grant.family(ctx, client, ids, String::new(), i64::MAX);
    let about = IdTokenOf {
        nonce: request.nonce.as_deref(),
        code: Some(&code),
        ..IdTokenOf::default()
    };
    let made = async {
        logout::join(ctx, client, &family).await?;
        issue::id_token(ctx, client, &family, &about).await
    };
    match made.await {
        Ok(token) => Ok(Reply {
            code,
            id_token: Some(SecretString::from(token)),
        }),
        Err(error) => Err(Refused::Redirect(ReturnTo::of(request), error)),
    }
}

/// What was allowed of a request: its own scopes, and the single claims whose scopes are among `allowed`.
fn granted(
    request: &AuthorizeRequest,
    session: &Session,
    allowed: Vec<String>,
    projects: Vec<String>,
) -> tokens::CodeGrant {
    let is_allowed =
        |name: &String| claims::scope_of(name).is_some_and(|scope| allowed.iter().any(|have| have == scope));
    let mut claims = request.claims.clone();
    claims.userinfo.retain(is_allowed);
    claims.id_token.retain(is_allowed);
    let mut sign_in = SignIn::of(session);
    if request.device.is_some() {
        // A device goes on when the browser that allowed it signs out.
        sign_in.sid.clear();
    }
    tokens::CodeGrant {
        scopes: request
            .scopes
            .iter()
            .filter(|scope| allowed.contains(scope))
            .cloned()
            .collect(),
        projects,
        sign_in,
        claims,
        request: request.clone(),
    }
}

async fn insert_code<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    client: &Client,
    user: &User,
    grant: tokens::CodeGrant,
) -> Result<(SecretString, tokens::Code), sea_orm::DbErr> {
    let now = ctx.clock.now_ms();
    let code = new_prefixed(CODE_PREFIX);
    let row = tokens::Code {
        client: client.id.clone(),
        user_id: user.id.clone(),
        family_id: id::new("fam", &ctx.clock),
        grant,
        expires_at: now + CODE_MS,
        used_at: None,
    };
    let hash = sha256_hex(code.expose_secret().as_bytes());
    tokens::insert_code(on, &hash, &row, now).await?;
    Ok((code, row))
}

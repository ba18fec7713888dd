//! The way of a sign-in back from the provider: the code becomes an ID token, which becomes a person. The way there is in
//! `away`.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::away::{ATTEMPT_MS, redirect_url};
use super::discovery::{self, Metadata};
use super::error::{Fault, SignInError, SsoError};
use super::id_token::{self, Expected, Rejected};
use super::model::{IdentityProvider, Kept, Person, SessionLink};
use super::store::attempts::{self as store, Attempt};
use super::{claims, logout, people, recheck, store as store_of_providers, strict, test, token};
use crate::account::{self, AccountError, NewSession, Started, User};
use crate::audit::Refused;
use crate::crypto::sha256_hex;
use crate::ctx::Ctx;

/// Clocks may differ by this much.
const SKEW_MS: i64 = 60_000;

/// What came back, from the query of the callback.
#[derive(Clone, Default)]
pub struct Returned {
    fields: BTreeMap<String, String>,
    is_repeated: bool,
}

impl std::fmt::Debug for Returned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A code opens something.
        f.debug_list().entries(self.fields.keys()).finish()
    }
}

impl Returned {
    /// Reads a query. A parameter that comes twice spoils it.
    pub fn of_query(query: &str) -> Self {
        let mut returned = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let before = returned.fields.insert(name.into_owned(), value.into_owned());
            returned.is_repeated |= before.is_some();
        }
        returned
    }

    fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The provider's own words for why it refused, if it did.
    pub fn said(&self) -> Option<String> {
        let text = match self.get("error_description") {
            "" => self.get("error"),
            said => said,
        };
        let shown: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(256)
            .collect();
        (!shown.is_empty()).then_some(shown)
    }
}

/// What a session keeps of what its provider gave.
#[derive(Debug)]
pub struct Given {
    /// To show the provider when signing out.
    pub(super) id_token: SecretString,
    /// To ask again; empty where nobody does.
    pub(super) kept: Kept,
    /// When to ask next, milliseconds since 1970.
    pub(super) look_at: Option<i64>,
    /// When the provider said yes last, milliseconds since 1970.
    pub(super) checked_at: i64,
    /// When its person left for the provider, milliseconds since 1970: what ended the session there since then counts.
    pub(super) left_at: i64,
    /// When the ID token was made, seconds since 1970.
    pub(super) issued_at: i64,
}

/// What became of it.
#[derive(Debug)]
pub enum Finished {
    /// Somebody may come in.
    SignedIn {
        /// Who.
        user: Box<User>,
        /// On to this path, to be checked again.
        return_to: String,
        /// The session at the provider.
        link: Box<SessionLink>,
        /// What the provider gave.
        given: Given,
    },
    /// It was a test, and it passed.
    Tested {
        /// The test.
        test_id: String,
        /// The provider.
        provider_id: String,
    },
}

/// Ends a sign-in that a browser brings back.
///
/// # Errors
/// Why nobody is let in. A test that fails keeps its reason.
pub async fn finish(
    ctx: &Ctx,
    id: &str,
    browser: &str,
    returned: &Returned,
) -> Result<Finished, SignInError> {
    let attempt = take_attempt(ctx, id, browser, returned).await?;
    let provider = super::service::get(ctx, id).await?;
    let found = checked_person(ctx, &provider, &attempt, returned).await;
    if attempt.test_id.is_empty() {
        let came_in = match found {
            Ok((person, given)) => come_in(ctx, &provider, &attempt, person, given).await,
            Err(Failed::Fault(fault)) => Err(refused(fault, &attempt.return_to)),
            Err(Failed::Ours(error)) => Err(error.into()),
        };
        if let Err(SignInError::Refused { trouble, .. }) = &came_in {
            let refused = Refused {
                action: "session.refused",
                target_kind: "identity_provider",
                target_id: &provider.id,
                code: &trouble.code,
                details: Value::Null,
            };
            ctx.refusals.note(&ctx.db, &ctx.clock, &refused).await?;
        }
        return came_in;
    }
    let found = match found {
        Ok((person, _)) => Ok(person),
        Err(Failed::Fault(fault)) => Err(fault.trouble),
        Err(Failed::Ours(error)) => return Err(error.into()),
    };
    test::finish(ctx, &provider, &attempt, found).await
}

/// The attempt that a state belongs to. It is used up, whatever comes of it.
async fn take_attempt(
    ctx: &Ctx,
    id: &str,
    browser: &str,
    returned: &Returned,
) -> Result<Attempt, SignInError> {
    let unknown = || {
        refused(
            Fault::new(
                "state_unknown",
                "This answer of a provider belongs to no sign-in that was begun in this browser, or to one that is \
                 over or older than ten minutes. Nobody was signed in.",
                "Begin again on the sign-in page, in one browser. If you did not begin a sign-in, close this page.",
            ),
            "/",
        )
    };
    if returned.is_repeated || returned.get("state").is_empty() {
        return Err(unknown());
    }
    let hash = sha256_hex(returned.get("state").as_bytes());
    let attempt = store::take(ctx, &hash, browser, ctx.clock.now_ms())
        .await?
        .ok_or_else(unknown)?;
    if attempt.provider_id != id {
        return Err(unknown());
    }
    Ok(attempt)
}

enum Failed {
    Fault(Fault),
    Ours(SsoError),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<SsoError> for Failed {
    fn from(error: SsoError) -> Self {
        Self::Ours(error)
    }
}

fn provider_changed() -> Fault {
    Fault::new(
        "provider_changed",
        "An administrator changed this identity provider while you were there.",
        "Begin again.",
    )
}

async fn checked_person(
    ctx: &Ctx,
    provider: &IdentityProvider,
    attempt: &Attempt,
    returned: &Returned,
) -> Result<(Person, Given), Failed> {
    if attempt.connection_revision != provider.connection_revision
        || (attempt.test_id.is_empty() && !provider.enabled)
    {
        return Err(provider_changed().into());
    }
    let metadata = discovery::metadata(ctx, provider).await?;
    check_answer(provider, &metadata, returned)?;
    let verifier = attempt.verifier(ctx).map_err(SsoError::Seal)?;
    let redirect = redirect_url(&ctx.config, &provider.id);
    let tokens = token::exchange(
        ctx,
        provider,
        &metadata,
        returned.get("code"),
        &verifier,
        &redirect,
    )
    .await??;
    let claims = believe(ctx, provider, &metadata, attempt, &tokens).await?;
    let claims = complete(
        ctx,
        provider,
        &metadata,
        claims,
        tokens.kept.access_token.as_ref(),
    )
    .await?;
    let person = claims::person(&provider.connection, &provider.policy, claims)?;
    let has_userinfo = !metadata.userinfo_endpoint.is_empty();
    let (kept, look_at) = recheck::keep(provider, &tokens.kept, ctx.clock.now_ms(), has_userinfo);
    let given = Given {
        id_token: tokens.id_token,
        kept,
        look_at,
        checked_at: ctx.clock.now_ms(),
        left_at: attempt.expires_at - ATTEMPT_MS,
        issued_at: logout::whole_seconds(&person.claims, "iat"),
    };
    Ok((person, given))
}

/// The answer comes from this provider (RFC 9207), and says yes.
fn check_answer(provider: &IdentityProvider, metadata: &Metadata, returned: &Returned) -> Result<(), Fault> {
    let iss = returned.get("iss");
    let several = metadata.issuer.contains(discovery::TENANT);
    let is_wrong = match iss {
        "" => metadata.iss_announced,
        // For several tenants the answer names one of them; its ID token is checked against that.
        iss => !several && iss != metadata.issuer,
    };
    if is_wrong {
        return Err(Fault::new(
            "wrong_issuer",
            if iss.is_empty() {
                "The answer does not say which provider it comes from, although this one always does."
                    .to_owned()
            } else {
                format!("The answer comes from another provider than {}.", provider.name)
            },
            "Nobody was signed in. Begin again; if it happens again, tell an administrator: somebody may be trying to \
             mix up two providers.",
        ));
    }
    let said: String = returned.get("error").chars().take(60).collect();
    match said.as_str() {
        "" => {}
        "access_denied" => {
            return Err(Fault::new(
                "access_denied",
                "The provider did not let you in, or you said no there.",
                "Try again, or ask the provider's administrator whether you may use this application.",
            ));
        }
        "login_required" | "interaction_required" | "consent_required" | "account_selection_required" => {
            return Err(Fault::new(
                &said,
                "The provider wants you to sign in there first.",
                "Begin again.",
            ));
        }
        "server_error" | "temporarily_unavailable" => {
            return Err(Fault::outage(
                &said,
                "The provider has a problem of its own.",
                "Try again in a few minutes.",
            ));
        }
        other => {
            return Err(Fault::new(
                other,
                "The provider refused the request.",
                "An administrator should compare client id, scopes and redirect URL with what is registered there.",
            ));
        }
    }
    if returned.get("code").is_empty() {
        return Err(Fault::new(
            "no_code",
            "The provider's answer holds no code.",
            "Begin again.",
        ));
    }
    Ok(())
}

/// Checks the ID token; with keys that do not fit, once more with new ones.
async fn believe(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    attempt: &Attempt,
    tokens: &token::Tokens,
) -> Result<Map<String, Value>, Fault> {
    let id_token = tokens.id_token.expose_secret();
    let unproven = strict::parts(id_token)
        .map(|parts| parts.claims)
        .unwrap_or_default();
    let issuer = discovery::issuer_of(&provider.connection, metadata, &unproven).ok_or_else(|| {
        Fault::new(
            "id_token_issuer",
            "The provider's ID token does not say which tenant it comes from.",
            "Nobody was signed in. An administrator should enter the tenant's ID.",
        )
    })?;
    let mut unfit = id_token::unknown_key();
    for which in [discovery::Keys::Kept, discovery::Keys::Anew] {
        let keys = discovery::keys(ctx, provider, metadata, which).await?;
        let expected = Expected {
            issuer: &issuer,
            client_id: &provider.connection.client_id,
            nonce_hash: &attempt.nonce_hash,
            algs: &metadata.algs,
            access_token: tokens.kept.access_token.as_ref(),
            now: ctx.clock.now(),
        };
        match id_token::check(id_token, &keys, &expected) {
            Ok(claims) => return Ok(claims),
            Err(Rejected::Because(fault)) => return Err(fault),
            Err(Rejected::KeyDoesNotFit(fault)) => unfit = fault,
        }
    }
    Err(unfit)
}

/// Adds what userinfo says, if something is missing and it can be asked. What the ID token says counts.
async fn complete(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    mut claims: Map<String, Value>,
    access_token: Option<&SecretString>,
) -> Result<Map<String, Value>, Fault> {
    let Some(access_token) = access_token else {
        return Ok(claims);
    };
    if metadata.userinfo_endpoint.is_empty() || !claims::wants_more(&claims, &provider.policy) {
        return Ok(claims);
    }
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let more = token::userinfo(ctx, metadata, access_token, &subject).await?;
    // An address and the word about it belong together: never one from here and the other from there.
    if !claims.contains_key("email") {
        claims.remove("email_verified");
    }
    let same_address = claims
        .get("email")
        .is_none_or(|email| more.get("email") == Some(email));
    for (name, value) in more {
        if name != "email_verified" || same_address {
            claims.entry(name).or_insert(value);
        }
    }
    Ok(claims)
}

async fn come_in(
    ctx: &Ctx,
    provider: &IdentityProvider,
    attempt: &Attempt,
    person: Person,
    given: Given,
) -> Result<Finished, SignInError> {
    let auth_time = showed_at(attempt, &person.claims, ctx.clock.now_ms())
        .map_err(|fault| refused(fault, &attempt.return_to))?;
    let tx = ctx.db.begin().await?;
    // Whoever changes a provider waits for this lock as well: what counts below is what it says now.
    account::lock_people(&tx).await?;
    let now = store_of_providers::one(&tx, &provider.id).await?;
    if !now.is_some_and(|now| now.enabled && now.revision == provider.revision) {
        tx.rollback().await?;
        return Err(refused(provider_changed(), &attempt.return_to));
    }
    let user = match people::sign_in(ctx, &tx, provider, &person).await? {
        Ok(user) => user,
        Err(trouble) => {
            tx.rollback().await?;
            return Err(SignInError::Refused {
                trouble,
                return_to: attempt.return_to.clone(),
                is_outage: false,
            });
        }
    };
    tx.commit().await?;
    Ok(Finished::SignedIn {
        user: Box::new(user),
        return_to: attempt.return_to.clone(),
        link: Box::new(SessionLink {
            provider_id: provider.id.clone(),
            issuer: person.issuer,
            subject: person.subject,
            sid: person.sid,
            amr: claims::methods(&person.claims),
            acr: claims::class(&person.claims),
            auth_time: Some(auth_time),
        }),
        given,
    })
}

/// Begins the session of somebody who may come in, tied to the one at their provider: if that is still so. Whoever closes
/// the account, or the way in, does it wholly before or wholly after.
///
/// # Errors
/// What changed meanwhile.
pub async fn begin_session(
    ctx: &Ctx,
    user: &User,
    new: &NewSession<'_>,
    (link, given): (&SessionLink, &Given),
    return_to: &str,
) -> Result<Started, SignInError> {
    let changed = || {
        let fault = Fault::new(
            "changed_meanwhile",
            "Your account, or this way to sign in, was changed while you signed in.",
            "Begin again. If that does not help, ask an administrator.",
        );
        refused(fault, return_to)
    };
    let tx = ctx.db.begin().await.map_err(SsoError::from)?;
    match account::hold(&tx, user).await {
        Ok(()) => {}
        Err(AccountError::Db(error)) => return Err(SsoError::from(error).into()),
        Err(_) => return Err(changed()),
    }
    // Before any session, as whoever ends them does.
    store_of_providers::hold(&tx, &link.provider_id)
        .await
        .map_err(SsoError::from)?;
    let provider = store_of_providers::one(&tx, &link.provider_id)
        .await
        .map_err(SsoError::from)?;
    if !provider.is_some_and(|provider| provider.enabled) {
        return Err(changed());
    }
    let started = account::start_in(&tx, &ctx.clock, new)
        .await
        .map_err(SsoError::from)?;
    match logout::tie(ctx, &tx, &started.session.id, link, given).await {
        Err(SsoError::SignedOut) => {
            tx.rollback().await.map_err(SsoError::from)?;
            return Err(signed_out(return_to));
        }
        tied => tied?,
    }
    tx.commit().await.map_err(SsoError::from)?;
    Ok(started)
}

/// The logout token was faster than the browser.
fn signed_out(return_to: &str) -> SignInError {
    let fault = Fault::new(
        "signed_out_meanwhile",
        "Your session at the provider ended while you were on your way here, so none begins here.",
        "Begin again and sign in there anew. If you did not sign out there yourself, ask its administrator.",
    );
    refused(fault, return_to)
}

/// When somebody showed at the provider who they are, milliseconds since 1970. Who was sent to do so anew did it since then,
/// and the provider says so: it was asked with `max_age`, and then `auth_time` is required (OpenID Connect Core, section
/// 2). Else a silence is 0, which is never recent: the provider may have let them through for an old session.
fn showed_at(attempt: &Attempt, claims: &Map<String, Value>, now: i64) -> Result<i64, Fault> {
    let said = claims::signed_in_at(claims, now + SKEW_MS).map(|at| at.min(now));
    if !attempt.again {
        return Ok(said.unwrap_or(0));
    }
    let left_at = attempt.expires_at - ATTEMPT_MS;
    match said {
        None if claims.get("auth_time").is_none_or(Value::is_null) => Err(Fault::new(
            "sign_in_time_missing",
            "You were to show the provider anew who you are, and it does not say when you did (auth_time).",
            "Sign in with your password of Mailgrant if you have one, or ask an administrator for a link for a new one. An \
             administrator can let the provider say it: docs/sign-in.md, “Before something dangerous”, says where.",
        )),
        Some(at) if at >= left_at - SKEW_MS => Ok(at.max(left_at)),
        _ => Err(Fault::new(
            "not_signed_in_again",
            "You were to show the provider anew who you are, and it says that you did not: it let you through for an \
             older sign-in.",
            "Begin again and give your password there. If the provider does not ask for it, sign out there first.",
        )),
    }
}

pub(super) fn refused(fault: Fault, return_to: &str) -> SignInError {
    SignInError::Refused {
        trouble: fault.trouble,
        return_to: return_to.to_owned(),
        is_outage: fault.is_outage,
    }
}

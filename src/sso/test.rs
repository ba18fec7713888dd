//! *Test sign-in*: the whole way, with a look at the claims and at what would happen, and nobody signed in.
//!
//! A test is begun by an admin and walked by whoever opens its one-time address, in any browser.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::away::{self, Purpose};
use super::error::{SignInError, SsoError};
use super::flow::Finished;
use super::model::{Decision, IdentityProvider, Person, RoleChange, TestRun};
use super::store::attempts::{self as store, Attempt};
use super::{claims, people, preset, recheck};
use crate::account;
use crate::crypto::{random_token, sha256_hex};
use crate::ctx::Ctx;
use crate::id;
use crate::trouble::Trouble;

/// How long the address of a test works.
const TICKET_MS: i64 = 600_000;

/// Begins a test and gives the local path that starts it, once, within ten minutes.
pub async fn begin_test(ctx: &Ctx, id_: &str, actor: &str) -> Result<(TestRun, String), SsoError> {
    let provider = super::service::get(ctx, id_).await?;
    let ticket = SecretString::from(random_token(32));
    let run = TestRun {
        id: id::new("sst", &ctx.clock),
        provider_id: provider.id.clone(),
        connection_revision: provider.connection_revision,
        state: "waiting".to_owned(),
        claims: Value::Null,
        outcome: Value::Null,
        trouble: None,
        actor: actor.to_owned(),
        created_at: ctx.clock.now_ms(),
        finished_at: None,
    };
    store::insert_test(ctx, &run, &sha256_hex(ticket.expose_secret().as_bytes())).await?;
    let path = format!("/sso/{}/test?ticket={}", provider.id, ticket.expose_secret());
    Ok((run, path))
}

/// Uses the address of a test up: where to send the browser that opened it.
pub async fn leave_for_test(
    ctx: &Ctx,
    id_: &str,
    ticket: &SecretString,
    browser: &str,
) -> Result<Url, SignInError> {
    let hash = sha256_hex(ticket.expose_secret().as_bytes());
    let after = ctx.clock.now_ms() - TICKET_MS;
    let run = store::take_ticket(ctx, &hash, after)
        .await?
        .filter(|run| run.provider_id == id_)
        .ok_or_else(|| SignInError::Refused {
            trouble: Trouble::new(
                "test_over",
                "The address of this test was used already, or is older than ten minutes.",
                "Begin another test on the page of the identity provider.",
            ),
            return_to: "/".to_owned(),
            is_outage: false,
        })?;
    let provider = super::service::get(ctx, id_).await?;
    match away::leave(ctx, &provider, browser, Purpose::Test(&run.id)).await {
        Err(SignInError::Refused { trouble, .. }) => Err(fail(ctx, &provider, &run.id, trouble).await?),
        other => other,
    }
}

/// The provider sent somebody back from a test.
pub(super) async fn finish(
    ctx: &Ctx,
    provider: &IdentityProvider,
    attempt: &Attempt,
    found: Result<Person, Trouble>,
) -> Result<Finished, SignInError> {
    let person = match found {
        Ok(person) => person,
        Err(trouble) => return Err(fail(ctx, provider, &attempt.test_id, trouble).await?),
    };
    let outcome = preview(ctx, provider, &person).await?;
    let tx = ctx.db.begin().await?;
    let shown = claims::masked(&person.claims);
    store::finish_test(
        &tx,
        &attempt.test_id,
        "passed",
        (&shown, &outcome, None),
        ctx.clock.now_ms(),
    )
    .await?;
    super::store::set_tested(&tx, &provider.id, attempt.connection_revision).await?;
    tx.commit().await?;
    Ok(Finished::Tested {
        test_id: attempt.test_id.clone(),
        provider_id: provider.id.clone(),
    })
}

async fn fail(
    ctx: &Ctx,
    provider: &IdentityProvider,
    test_id: &str,
    trouble: Trouble,
) -> Result<SignInError, SsoError> {
    let found = (&Value::Null, &Value::Null, Some(&trouble));
    store::finish_test(ctx.db.write(), test_id, "failed", found, ctx.clock.now_ms()).await?;
    Ok(SignInError::TestEnded {
        test_id: test_id.to_owned(),
        provider_id: provider.id.clone(),
        trouble,
    })
}

/// What a sign-in of this person would do, as JSON: nothing is written.
async fn preview(ctx: &Ctx, provider: &IdentityProvider, person: &Person) -> Result<Value, SsoError> {
    let on = ctx.db.read();
    let decision = people::decide(on, provider, person).await?;
    let user = match &decision {
        Decision::Known { user_id } | Decision::Link { user_id, .. } => account::read_in(on, user_id).await?,
        _ => None,
    };
    let changes = match &decision {
        Decision::Refuse(_) => Vec::new(),
        _ => people::plan(on, provider, &person.groups, user.as_ref()).await?,
    };
    let (what, email, trouble) = match &decision {
        Decision::Known { .. } => ("known", user.as_ref().map(|user| user.email.clone()), None),
        Decision::Link { email, .. } => ("link", Some(email.clone()), None),
        Decision::Create { email } => ("create", Some(email.clone()), None),
        Decision::FirstAdmin { email } => ("first_admin", Some(email.clone()), None),
        Decision::Refuse(trouble) => ("refuse", None, Some(trouble)),
    };
    Ok(json!({
        "decision": what,
        "name": person.name,
        "email": email,
        "emailVerified": person.email_verified,
        "groups": person.groups,
        "roles": changes,
        "trouble": trouble,
        "isOpen": preset::is_open(provider),
    }))
}

/// What would happen to somebody with these claims, as if a provider had said them. `iss` is the provider's own.
///
/// # Errors
/// [`SsoError::Provider`] if the claims cannot be used.
pub async fn preview_claims(
    ctx: &Ctx,
    id_: &str,
    mut claims: serde_json::Map<String, Value>,
) -> Result<Value, SsoError> {
    let provider = super::service::get(ctx, id_).await?;
    claims.insert("iss".into(), provider.connection.issuer.clone().into());
    let person = claims::person(&provider.connection, &provider.policy, claims)?;
    preview(ctx, &provider, &person).await
}

/// What groups would give somebody new.
pub async fn preview_groups(ctx: &Ctx, id_: &str, groups: &[String]) -> Result<Vec<RoleChange>, SsoError> {
    let provider = super::service::get(ctx, id_).await?;
    Ok(people::plan(ctx.db.read(), &provider, groups, None).await?)
}

/// One test of a provider.
pub async fn get_test(ctx: &Ctx, id_: &str, test_id: &str) -> Result<TestRun, SsoError> {
    store::test_by_id(ctx.db.read(), id_, test_id)
        .await?
        .ok_or(SsoError::NotFound)
}

/// Tests of a provider, newest first, `limit` at most, and behind one of them if that is named.
pub async fn tests_of(
    ctx: &Ctx,
    id_: &str,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<TestRun>, SsoError> {
    Ok(store::tests_of(ctx.db.read(), id_, after, limit).await?)
}

/// Removes what is over.
pub async fn purge(ctx: &Ctx) -> Result<(), sea_orm::DbErr> {
    let now = ctx.clock.now_ms();
    store::purge(ctx, now, (now - 30 * 24 * 3_600_000, now - recheck::ENDINGS_MS)).await
}

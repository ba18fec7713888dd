//! Sign-ins under way, tests, and logout tokens that came already.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use secrecy::SecretString;

use super::{json, run, text};
use crate::crypto::{Place, SealError};
use crate::ctx::Ctx;
use crate::db::sql;
use crate::sso::model::{SessionLink, TestRun};
use crate::trouble::Trouble;

/// A sign-in between leaving for the provider and coming back.
#[derive(Clone, Debug)]
pub(in crate::sso) struct Attempt {
    pub(in crate::sso) state_hash: String,
    pub(in crate::sso) provider_id: String,
    pub(in crate::sso) connection_revision: i64,
    /// Empty for a sign-in.
    pub(in crate::sso) test_id: String,
    pub(in crate::sso) nonce_hash: String,
    verifier_sealed: String,
    pub(in crate::sso) return_to: String,
    /// They were sent to show anew who they are.
    pub(in crate::sso) again: bool,
    pub(in crate::sso) expires_at: i64,
}

fn verifier_place(state_hash: &str) -> Place<'_> {
    Place {
        table: "sso_attempts",
        column: "verifier_sealed",
        row: state_hash,
    }
}

/// What an attempt is made of.
pub(in crate::sso) struct NewAttempt<'a> {
    pub(in crate::sso) state_hash: String,
    pub(in crate::sso) provider_id: &'a str,
    pub(in crate::sso) connection_revision: i64,
    pub(in crate::sso) test_id: &'a str,
    pub(in crate::sso) browser: &'a str,
    pub(in crate::sso) nonce_hash: String,
    pub(in crate::sso) verifier: &'a SecretString,
    pub(in crate::sso) return_to: &'a str,
    pub(in crate::sso) again: bool,
    pub(in crate::sso) expires_at: i64,
}

pub(in crate::sso) async fn insert(ctx: &Ctx, new: NewAttempt<'_>) -> Result<(), DbErr> {
    let sealed = ctx.keys.seal(&verifier_place(&new.state_hash), new.verifier);
    let statement = "INSERT INTO sso_attempts (state_hash, provider_id, connection_revision, test_id, browser, \
                     nonce_hash, verifier_sealed, return_to, again, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let values = [
        new.state_hash.into(),
        new.provider_id.into(),
        new.connection_revision.into(),
        new.test_id.into(),
        new.browser.into(),
        new.nonce_hash.into(),
        sealed.into(),
        new.return_to.into(),
        new.again.into(),
        new.expires_at.into(),
    ];
    run(ctx.db.write(), statement, values).await.map(|_| ())
}

/// Takes an attempt out: of two that come back with one state, one finds it. Only the browser that left does.
pub(in crate::sso) async fn take(
    ctx: &Ctx,
    state_hash: &str,
    browser: &str,
    now: i64,
) -> Result<Option<Attempt>, DbErr> {
    let on = ctx.db.write();
    let statement = "DELETE FROM sso_attempts WHERE state_hash = $1 AND browser = $2 AND expires_at > $3 \
                     RETURNING state_hash, provider_id, connection_revision, test_id, nonce_hash, \
                     verifier_sealed, return_to, again, expires_at";
    let values: [Value; 3] = [state_hash.into(), browser.into(), now.into()];
    let row = on.query_one_raw(sql(on, statement, values)).await?;
    row.map(|row| {
        Ok(Attempt {
            state_hash: row.try_get("", "state_hash")?,
            provider_id: row.try_get("", "provider_id")?,
            connection_revision: row.try_get("", "connection_revision")?,
            test_id: row.try_get("", "test_id")?,
            nonce_hash: row.try_get("", "nonce_hash")?,
            verifier_sealed: row.try_get("", "verifier_sealed")?,
            return_to: row.try_get("", "return_to")?,
            again: row.try_get("", "again")?,
            expires_at: row.try_get("", "expires_at")?,
        })
    })
    .transpose()
}

impl Attempt {
    /// The PKCE verifier.
    pub(in crate::sso) fn verifier(&self, ctx: &Ctx) -> Result<SecretString, SealError> {
        ctx.keys
            .open(&verifier_place(&self.state_hash), &self.verifier_sealed)
    }
}

/// Removes what is over.
pub(in crate::sso) async fn purge(
    ctx: &Ctx,
    now: i64,
    (tests_before, endings_before): (i64, i64),
) -> Result<(), DbErr> {
    let on = ctx.db.write();
    run(
        on,
        "DELETE FROM sso_endings WHERE created_at < $1",
        [endings_before.into()],
    )
    .await?;
    run(
        on,
        "DELETE FROM sso_attempts WHERE expires_at <= $1",
        [now.into()],
    )
    .await?;
    run(
        on,
        "DELETE FROM sso_logout_tokens WHERE expires_at <= $1",
        [now.into()],
    )
    .await?;
    run(
        on,
        "DELETE FROM sso_tests WHERE created_at < $1",
        [tests_before.into()],
    )
    .await
    .map(|_| ())
}

/// A logout token that came.
pub(in crate::sso) struct LogoutToken<'a> {
    pub(in crate::sso) jti_hash: String,
    pub(in crate::sso) issuer: &'a str,
    /// Empty for every session of the subject.
    pub(in crate::sso) sid: &'a str,
    /// Empty for whoever has the session.
    pub(in crate::sso) subject: &'a str,
    /// Its `iat`, seconds since 1970.
    pub(in crate::sso) issued_at: i64,
    /// When it came, milliseconds since 1970.
    pub(in crate::sso) arrived_at: i64,
    pub(in crate::sso) expires_at: i64,
}

/// Notes a logout token; false if it came before.
pub(in crate::sso) async fn first_time<C: ConnectionTrait>(
    on: &C,
    provider_id: &str,
    token: LogoutToken<'_>,
) -> Result<bool, DbErr> {
    let statement = "INSERT INTO sso_logout_tokens (provider_id, jti_hash, issuer, sid, subject, issued_at, arrived_at, \
                     expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (provider_id, jti_hash) DO NOTHING";
    let values = [
        provider_id.into(),
        token.jti_hash.into(),
        token.issuer.into(),
        token.sid.into(),
        token.subject.into(),
        token.issued_at.into(),
        token.arrived_at.into(),
        token.expires_at.into(),
    ];
    Ok(run(on, statement, values).await? == 1)
}

/// Whether a logout token that meant this session came since `left_at` (milliseconds). One that names no session means
/// those of its subject that began before it: whose ID token is not newer (`issued_at`, seconds).
pub(in crate::sso) async fn is_signed_out<C: ConnectionTrait>(
    on: &C,
    link: &SessionLink,
    left_at: i64,
    issued_at: i64,
) -> Result<bool, DbErr> {
    let statement = "SELECT 1 AS found FROM sso_logout_tokens WHERE provider_id = $1 AND arrived_at >= $2 AND issuer = $3 \
                     AND ((sid <> '' AND sid = $4 AND (subject = '' OR subject = $5)) \
                     OR (sid = '' AND subject = $5 AND issued_at >= $6)) LIMIT 1";
    let values: [Value; 6] = [
        link.provider_id.clone().into(),
        left_at.into(),
        link.issuer.clone().into(),
        link.sid.clone().into(),
        link.subject.clone().into(),
        issued_at.into(),
    ];
    Ok(on.query_one_raw(sql(on, statement, values)).await?.is_some())
}

// Tests.

const TEST: &str =
    "id, provider_id, connection_revision, state, claims, outcome, trouble, actor, created_at, finished_at";

fn test(row: &QueryResult) -> Result<TestRun, DbErr> {
    Ok(TestRun {
        id: row.try_get("", "id")?,
        provider_id: row.try_get("", "provider_id")?,
        connection_revision: row.try_get("", "connection_revision")?,
        state: row.try_get("", "state")?,
        claims: json(row, "claims")?,
        outcome: json(row, "outcome")?,
        trouble: json::<serde_json::Value>(row, "trouble").map(trouble)?,
        actor: row.try_get("", "actor")?,
        created_at: row.try_get("", "created_at")?,
        finished_at: row.try_get("", "finished_at")?,
    })
}

fn trouble(value: serde_json::Value) -> Option<Trouble> {
    let text = |name: &str| value.get(name).and_then(serde_json::Value::as_str);
    Some(Trouble::new(text("code")?, text("cause")?, text("remedy")?))
}

pub(in crate::sso) async fn insert_test(ctx: &Ctx, run_: &TestRun, ticket_hash: &str) -> Result<(), DbErr> {
    let statement = "INSERT INTO sso_tests (id, provider_id, connection_revision, ticket_hash, state, claims, outcome, \
                     trouble, actor, created_at, finished_at) VALUES ($1, $2, $3, $4, $5, 'null', 'null', 'null', $6, $7, NULL)";
    let values = [
        run_.id.clone().into(),
        run_.provider_id.clone().into(),
        run_.connection_revision.into(),
        ticket_hash.into(),
        run_.state.clone().into(),
        run_.actor.clone().into(),
        run_.created_at.into(),
    ];
    run(ctx.db.write(), statement, values).await.map(|_| ())
}

/// Uses a ticket up: the test it opens, if that waits since `after`.
pub(in crate::sso) async fn take_ticket(
    ctx: &Ctx,
    ticket_hash: &str,
    after: i64,
) -> Result<Option<TestRun>, DbErr> {
    let on = ctx.db.write();
    let statement = format!(
        "UPDATE sso_tests SET ticket_hash = id WHERE ticket_hash = $1 AND state = 'waiting' AND created_at > $2 \
         RETURNING {TEST}"
    );
    let row = on
        .query_one_raw(sql(on, &statement, [ticket_hash.into(), after.into()]))
        .await?;
    row.as_ref().map(test).transpose()
}

pub(in crate::sso) async fn finish_test<C: ConnectionTrait>(
    on: &C,
    id: &str,
    state: &str,
    found: (&serde_json::Value, &serde_json::Value, Option<&Trouble>),
    now: i64,
) -> Result<(), DbErr> {
    let statement = "UPDATE sso_tests SET state = $2, claims = $3, outcome = $4, trouble = $5, finished_at = $6 \
                     WHERE id = $1 AND state = 'waiting'";
    let values = [
        id.into(),
        state.into(),
        text(found.0),
        text(found.1),
        text(&found.2),
        now.into(),
    ];
    run(on, statement, values).await.map(|_| ())
}

pub(in crate::sso) async fn test_by_id<C: ConnectionTrait>(
    on: &C,
    provider_id: &str,
    id: &str,
) -> Result<Option<TestRun>, DbErr> {
    let statement = format!("SELECT {TEST} FROM sso_tests WHERE id = $1 AND provider_id = $2");
    let row = on
        .query_one_raw(sql(on, &statement, [id.into(), provider_id.into()]))
        .await?;
    row.as_ref().map(test).transpose()
}

/// Tests of a provider, newest first, `limit` at most, and behind one of them if that is named.
pub(in crate::sso) async fn tests_of<C: ConnectionTrait>(
    on: &C,
    provider_id: &str,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<TestRun>, DbErr> {
    let mut values: Vec<Value> = vec![
        provider_id.into(),
        i64::try_from(limit).unwrap_or(i64::MAX).into(),
    ];
    // Ids begin with the time: their order is that of the tests.
    let rest = if let Some(after) = after {
        values.push(after.into());
        "AND id < $3"
    } else {
        ""
    };
    let statement = format!(
        "SELECT {TEST} FROM sso_tests WHERE provider_id = $1 {rest} ORDER BY created_at DESC, id DESC LIMIT $2"
    );
    let rows = on.query_all_raw(sql(on, &statement, values)).await?;
    rows.iter().map(test).collect()
}

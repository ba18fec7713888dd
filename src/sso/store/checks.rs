//! What is kept to ask a provider again about the person of a session, and why sessions ended.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};
use secrecy::SecretString;

use super::run;
use crate::crypto::{Place, SealError};
use crate::ctx::Ctx;
use crate::db::sql;
use crate::sso::model::Kept;

fn place<'a>(column: &'static str, session_id: &'a str) -> Place<'a> {
    Place {
        table: "sso_sessions",
        column,
        row: session_id,
    }
}

fn sealed(ctx: &Ctx, column: &'static str, session_id: &str, token: Option<&SecretString>) -> String {
    token.map_or_else(String::new, |token| {
        ctx.keys.seal(&place(column, session_id), token)
    })
}

/// A look that is due, with what there is to ask with, still sealed.
pub(in crate::sso) struct Due {
    pub(in crate::sso) provider_id: String,
    pub(in crate::sso) issuer: String,
    pub(in crate::sso) subject: String,
    /// When the provider last said yes.
    pub(in crate::sso) checked_at: i64,
    refresh_sealed: String,
    access_sealed: String,
    pub(in crate::sso) access_expires_at: Option<i64>,
    pub(in crate::sso) next_check_at: Option<i64>,
}

impl Due {
    fn open(
        &self,
        ctx: &Ctx,
        session_id: &str,
        column: &'static str,
    ) -> Result<Option<SecretString>, SealError> {
        let sealed = match column {
            "refresh_sealed" => &self.refresh_sealed,
            _ => &self.access_sealed,
        };
        match sealed.as_str() {
            "" => Ok(None),
            sealed => ctx.keys.open(&place(column, session_id), sealed).map(Some),
        }
    }

    pub(in crate::sso) fn refresh_token(
        &self,
        ctx: &Ctx,
        session_id: &str,
    ) -> Result<Option<SecretString>, SealError> {
        self.open(ctx, session_id, "refresh_sealed")
    }

    pub(in crate::sso) fn access_token(
        &self,
        ctx: &Ctx,
        session_id: &str,
    ) -> Result<Option<SecretString>, SealError> {
        self.open(ctx, session_id, "access_sealed")
    }
}

const COLUMNS: &str = "provider_id, issuer, subject, checked_at, refresh_sealed, access_sealed, access_expires_at, \
                       next_check_at";

fn due(row: &sea_orm::QueryResult) -> Result<Due, DbErr> {
    Ok(Due {
        provider_id: row.try_get("", "provider_id")?,
        issuer: row.try_get("", "issuer")?,
        subject: row.try_get("", "subject")?,
        checked_at: row.try_get("", "checked_at")?,
        refresh_sealed: row.try_get("", "refresh_sealed")?,
        access_sealed: row.try_get("", "access_sealed")?,
        access_expires_at: row.try_get("", "access_expires_at")?,
        next_check_at: row.try_get("", "next_check_at")?,
    })
}

/// Whether a look is due.
pub(in crate::sso) async fn is_due<C: ConnectionTrait>(
    on: &C,
    session_id: &str,
    now: i64,
) -> Result<bool, DbErr> {
    let text = "SELECT 1 AS one FROM sso_sessions WHERE session_id = $1 AND next_check_at <= $2";
    let row = on
        .query_one_raw(sql(on, text, [session_id.into(), now.into()]))
        .await?;
    Ok(row.is_some())
}

/// Takes a look that is due: of two requests one does. The next one may be taken at `until`, whatever comes of it.
pub(in crate::sso) async fn take<C: ConnectionTrait>(
    on: &C,
    session_id: &str,
    now: i64,
    until: i64,
) -> Result<Option<Due>, DbErr> {
    let text = format!(
        "UPDATE sso_sessions SET next_check_at = $3 WHERE session_id = $1 AND next_check_at <= $2 RETURNING {COLUMNS}"
    );
    let values: [Value; 3] = [session_id.into(), now.into(), until.into()];
    let row = on.query_one_raw(sql(on, &text, values)).await?;
    row.as_ref().map(due).transpose()
}

/// What a session keeps, as [`kept`], which nobody replaces until the transaction ends.
pub(in crate::sso) async fn held<C: ConnectionTrait>(on: &C, session_id: &str) -> Result<Option<Due>, DbErr> {
    // SQLite's writer is alone anyway.
    if on.get_database_backend() == DbBackend::Postgres {
        // The session first: whoever ends it comes from there.
        for text in [
            "SELECT id FROM sessions WHERE id = $1 FOR UPDATE",
            "SELECT session_id FROM sso_sessions WHERE session_id = $1 FOR UPDATE",
        ] {
            on.query_one_raw(sql(on, text, [session_id.into()])).await?;
        }
    }
    kept(on, session_id).await
}

/// What a session keeps, whether or not a look is due.
pub(in crate::sso) async fn kept<C: ConnectionTrait>(on: &C, session_id: &str) -> Result<Option<Due>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM sso_sessions WHERE session_id = $1");
    let row = on.query_one_raw(sql(on, &text, [session_id.into()])).await?;
    row.as_ref().map(due).transpose()
}

/// The provider said yes: what it gave replaces what was kept when it was asked. Without `next` there will be no further
/// look, and nothing is kept. If the session became another one meanwhile, that has it; if what was kept was taken away
/// meanwhile, nothing has.
pub(in crate::sso) async fn passed(
    ctx: &Ctx,
    session_id: &str,
    asked: &Due,
    kept: &Kept,
    now: i64,
    next: Option<i64>,
) -> Result<(), DbErr> {
    let on = ctx.db.write();
    if write(ctx, on, session_id, Some(asked), kept, now, next).await? {
        return Ok(());
    }
    match follower(on, session_id, asked).await? {
        Some(follower) => keep(ctx, on, &follower, kept, now, next).await,
        None => Ok(()),
    }
}

/// Keeps what a provider gave for a session.
pub(in crate::sso) async fn keep<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    session_id: &str,
    kept: &Kept,
    now: i64,
    next: Option<i64>,
) -> Result<(), DbErr> {
    write(ctx, on, session_id, None, kept, now, next).await.map(drop)
}

// The session that follows one whose password was changed: it was looked at last at the same moment.
async fn follower<C: ConnectionTrait>(
    on: &C,
    session_id: &str,
    asked: &Due,
) -> Result<Option<String>, DbErr> {
    let text = "SELECT session_id FROM sso_sessions WHERE provider_id = $1 AND issuer = $2 AND subject = $3 \
                AND checked_at = $4 AND session_id <> $5 AND next_check_at IS NOT NULL";
    let values: [Value; 5] = [
        asked.provider_id.clone().into(),
        asked.issuer.clone().into(),
        asked.subject.clone().into(),
        asked.checked_at.into(),
        session_id.into(),
    ];
    let row = on.query_one_raw(sql(on, text, values)).await?;
    row.map(|row| row.try_get("", "session_id")).transpose()
}

async fn write<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    session_id: &str,
    before: Option<&Due>,
    kept: &Kept,
    now: i64,
    next: Option<i64>,
) -> Result<bool, DbErr> {
    let kept = next.is_some().then_some(kept);
    let mut text = "UPDATE sso_sessions SET refresh_sealed = $2, access_sealed = $3, access_expires_at = $4, checked_at = $5, \
                    next_check_at = $6, failing_since = NULL WHERE session_id = $1"
        .to_owned();
    let mut values: Vec<Value> = vec![
        session_id.into(),
        sealed(
            ctx,
            "refresh_sealed",
            session_id,
            kept.and_then(|kept| kept.refresh_token.as_ref()),
        )
        .into(),
        sealed(
            ctx,
            "access_sealed",
            session_id,
            kept.and_then(|kept| kept.access_token.as_ref()),
        )
        .into(),
        kept.and_then(|kept| kept.access_expires_at).into(),
        now.into(),
        next.into(),
    ];
    if let Some(before) = before {
        text.push_str(" AND refresh_sealed = $7 AND access_sealed = $8");
        values.extend([
            before.refresh_sealed.clone().into(),
            before.access_sealed.clone().into(),
        ]);
    }
    Ok(on.execute_raw(sql(on, &text, values)).await?.rows_affected() == 1)
}

/// Nobody could say.
pub(in crate::sso) async fn failed(ctx: &Ctx, session_id: &str, now: i64, next: i64) -> Result<(), DbErr> {
    let text = "UPDATE sso_sessions SET failing_since = COALESCE(failing_since, $2), next_check_at = $3 \
                WHERE session_id = $1";
    run(ctx.db.write(), text, [session_id.into(), now.into(), next.into()])
        .await
        .map(drop)
}

/// A provider's pace changed: what is due follows, but not before `earliest`, when nobody asks any more with what was kept;
/// 0 ends it, and forgets that.
pub(in crate::sso) async fn set_pace<C: ConnectionTrait>(
    on: &C,
    provider_id: &str,
    pace_ms: i64,
    earliest: i64,
) -> Result<(), DbErr> {
    if pace_ms == 0 {
        let text = "UPDATE sso_sessions SET next_check_at = NULL, failing_since = NULL, refresh_sealed = '', \
                    access_sealed = '', access_expires_at = NULL WHERE provider_id = $1";
        return run(on, text, [provider_id.into()]).await.map(drop);
    }
    let text = "UPDATE sso_sessions SET next_check_at = CASE WHEN checked_at + $2 > $3 THEN checked_at + $2 ELSE $3 END \
                WHERE provider_id = $1 AND next_check_at IS NOT NULL";
    run(on, text, [provider_id.into(), pace_ms.into(), earliest.into()])
        .await
        .map(drop)
}

/// How many sessions of a provider are looked at again; and since when it did not answer about one, if it does not.
pub(in crate::sso) async fn standing<C: ConnectionTrait>(
    on: &C,
    provider_id: &str,
) -> Result<(i64, Option<i64>), DbErr> {
    let text = "SELECT COUNT(l.next_check_at) AS n, MIN(l.failing_since) AS since FROM sso_sessions l \
                WHERE l.provider_id = $1";
    match on.query_one_raw(sql(on, text, [provider_id.into()])).await? {
        Some(row) => Ok((row.try_get("", "n")?, row.try_get("", "since")?)),
        None => Ok((0, None)),
    }
}

/// Keeps why a session ended, for its person.
pub(in crate::sso) async fn insert_ending<C: ConnectionTrait>(
    on: &C,
    session_id: &str,
    provider_name: &str,
    code: &str,
    now: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO sso_endings (session_id, provider_name, code, created_at) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (session_id) DO NOTHING";
    let values: [Value; 4] = [session_id.into(), provider_name.into(), code.into(), now.into()];
    run(on, text, values).await.map(drop)
}

/// Why a session ended: the provider's name and the word for it.
pub(in crate::sso) async fn ending<C: ConnectionTrait>(
    on: &C,
    session_id: &str,
) -> Result<Option<(String, String)>, DbErr> {
    let text = "SELECT provider_name, code FROM sso_endings WHERE session_id = $1";
    let row = on.query_one_raw(sql(on, text, [session_id.into()])).await?;
    row.map(|row| Ok((row.try_get("", "provider_name")?, row.try_get("", "code")?)))
        .transpose()
}

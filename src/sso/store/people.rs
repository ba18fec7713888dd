//! Who a subject is, which roles a provider manages, and which session here belongs to which one there.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbErr, Value};
use secrecy::SecretString;

use super::run;
use crate::crypto::{Place, SealError};
use crate::ctx::Ctx;
use crate::db::sql;
use crate::sso::model::SessionLink;

/// Who an (issuer, subject) is.
pub(in crate::sso) async fn user_of<C: ConnectionTrait>(
    on: &C,
    issuer: &str,
    subject: &str,
) -> Result<Option<String>, DbErr> {
    let text = "SELECT user_id FROM sso_identities WHERE issuer = $1 AND subject = $2";
    let row = on
        .query_one_raw(sql(on, text, [issuer.into(), subject.into()]))
        .await?;
    row.map(|row| row.try_get("", "user_id")).transpose()
}

/// The identities of an account: issuer, and whether its address was proven or given by somebody here.
pub(in crate::sso) async fn identities_of<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
) -> Result<Vec<(String, bool)>, DbErr> {
    let text = "SELECT issuer, is_proven FROM sso_identities WHERE user_id = $1";
    let rows = on.query_all_raw(sql(on, text, [user_id.into()])).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "issuer")?, row.try_get("", "is_proven")?)))
        .collect()
}

pub(in crate::sso) async fn insert_identity<C: ConnectionTrait>(
    on: &C,
    (issuer, subject): (&str, &str),
    user_id: &str,
    provider_id: &str,
    is_proven: bool,
    now: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO sso_identities (issuer, subject, user_id, provider_id, is_proven, created_at, last_used_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $6)";
    let values = [
        issuer.into(),
        subject.into(),
        user_id.into(),
        provider_id.into(),
        is_proven.into(),
        now.into(),
    ];
    run(on, text, values).await.map(|_| ())
}

pub(in crate::sso) async fn touch_identity<C: ConnectionTrait>(
    on: &C,
    issuer: &str,
    subject: &str,
    now: i64,
) -> Result<(), DbErr> {
    let text = "UPDATE sso_identities SET last_used_at = $3 WHERE issuer = $1 AND subject = $2";
    run(on, text, [issuer.into(), subject.into(), now.into()])
        .await
        .map(|_| ())
}

/// Deletes who somebody is at providers, and what those manage.
pub(in crate::sso) async fn forget_person<C: ConnectionTrait>(on: &C, user_id: &str) -> Result<(), DbErr> {
    for table in ["sso_identities", "sso_managed_roles"] {
        run(
            on,
            &format!("DELETE FROM {table} WHERE user_id = $1"),
            [user_id.into()],
        )
        .await?;
    }
    Ok(())
}

/// The roles of a person that a provider manages: project (empty for the site) → role.
pub(in crate::sso) async fn managed<C: ConnectionTrait>(
    on: &C,
    provider_id: &str,
    user_id: &str,
) -> Result<BTreeMap<String, String>, DbErr> {
    let text = "SELECT project_id, role FROM sso_managed_roles WHERE provider_id = $1 AND user_id = $2";
    let rows = on
        .query_all_raw(sql(on, text, [provider_id.into(), user_id.into()]))
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "project_id")?, row.try_get("", "role")?)))
        .collect()
}

/// Everybody whose roles a provider manages.
pub(in crate::sso) async fn managed_people<C: ConnectionTrait>(
    on: &C,
    provider_id: &str,
) -> Result<Vec<String>, DbErr> {
    let text = "SELECT DISTINCT user_id FROM sso_managed_roles WHERE provider_id = $1 ORDER BY user_id";
    let rows = on.query_all_raw(sql(on, text, [provider_id.into()])).await?;
    rows.iter().map(|row| row.try_get("", "user_id")).collect()
}

pub(in crate::sso) async fn set_managed<C: ConnectionTrait>(
    on: &C,
    provider_id: &str,
    user_id: &str,
    project_id: &str,
    role: &str,
) -> Result<(), DbErr> {
    let text = "INSERT INTO sso_managed_roles (provider_id, user_id, project_id, role) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (provider_id, user_id, project_id) DO UPDATE SET role = $4";
    let values = [provider_id.into(), user_id.into(), project_id.into(), role.into()];
    run(on, text, values).await.map(|_| ())
}

pub(in crate::sso) async fn forget_managed<C: ConnectionTrait>(
    on: &C,
    provider_id: &str,
    user_id: &str,
    project_id: &str,
) -> Result<(), DbErr> {
    let text = "DELETE FROM sso_managed_roles WHERE provider_id = $1 AND user_id = $2 AND project_id = $3";
    run(on, text, [provider_id.into(), user_id.into(), project_id.into()])
        .await
        .map(|_| ())
}

// Sessions.

fn id_token_place(session_id: &str) -> Place<'_> {
    Place {
        table: "sso_sessions",
        column: "id_token_sealed",
        row: session_id,
    }
}

/// Whose session it is, if it is one that began at a provider.
pub(in crate::sso) async fn user_of_session<C: ConnectionTrait>(
    on: &C,
    session_id: &str,
) -> Result<Option<String>, DbErr> {
    let text = "SELECT s.user_id AS user_id FROM sso_sessions l JOIN sessions s ON s.id = l.session_id \
                WHERE l.session_id = $1";
    let row = on.query_one_raw(sql(on, text, [session_id.into()])).await?;
    row.map(|row| row.try_get("", "user_id")).transpose()
}

pub(in crate::sso) async fn insert_session<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    session_id: &str,
    link: &SessionLink,
    id_token: &SecretString,
    now: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO sso_sessions (session_id, provider_id, issuer, subject, sid, id_token_sealed, created_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = [
        session_id.into(),
        link.provider_id.clone().into(),
        link.issuer.clone().into(),
        link.subject.clone().into(),
        link.sid.clone().into(),
        ctx.keys.seal(&id_token_place(session_id), id_token).into(),
        now.into(),
    ];
    run(on, text, values).await.map(|_| ())
}

/// How a session hangs together with one at a provider, and the ID token it began with, still sealed.
pub(in crate::sso) async fn session<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    session_id: &str,
) -> Result<Option<(SessionLink, Result<SecretString, SealError>)>, DbErr> {
    let text =
        "SELECT provider_id, issuer, subject, sid, id_token_sealed FROM sso_sessions WHERE session_id = $1";
    let row = on.query_one_raw(sql(on, text, [session_id.into()])).await?;
    row.map(|row| {
        let sealed: String = row.try_get("", "id_token_sealed")?;
        let link = SessionLink {
            provider_id: row.try_get("", "provider_id")?,
            issuer: row.try_get("", "issuer")?,
            subject: row.try_get("", "subject")?,
            sid: row.try_get("", "sid")?,
            amr: Vec::new(),
            acr: String::new(),
            auth_time: None,
        };
        Ok((link, ctx.keys.open(&id_token_place(session_id), &sealed)))
    })
    .transpose()
}

/// Which sessions a provider means.
#[derive(Clone, Copy, Debug)]
pub(in crate::sso) enum Meant<'a> {
    /// One session of it.
    Sid(&'a str),
    /// One session of a person.
    SidOf(&'a str, &'a str),
    /// Every session of a person.
    Subject(&'a str),
    /// All.
    All,
}

/// The sessions here that are meant: id and person.
pub(in crate::sso) async fn sessions<C: ConnectionTrait>(
    on: &C,
    provider_id: &str,
    issuer: &str,
    meant: Meant<'_>,
) -> Result<Vec<(String, String)>, DbErr> {
    let mut text = "SELECT l.session_id AS session_id, s.user_id AS user_id FROM sso_sessions l \
                    JOIN sessions s ON s.id = l.session_id WHERE l.provider_id = $1"
        .to_owned();
    let mut values: Vec<Value> = vec![provider_id.into()];
    let mut and = |column: &str, value: &str| {
        values.push(value.into());
        text.push_str(&format!(" AND l.{column} = ${}", values.len()));
    };
    match meant {
        Meant::Sid(sid) => {
            and("issuer", issuer);
            and("sid", sid);
        }
        Meant::SidOf(sid, subject) => {
            and("issuer", issuer);
            and("sid", sid);
            and("subject", subject);
        }
        Meant::Subject(subject) => {
            and("issuer", issuer);
            and("subject", subject);
        }
        Meant::All => {}
    }
    let rows = on.query_all_raw(sql(on, &text, values)).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "session_id")?, row.try_get("", "user_id")?)))
        .collect()
}

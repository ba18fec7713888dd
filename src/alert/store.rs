//! All queries on alerts: episodes, the place in the event log, who gets them and who does not want to.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::model::{Audience, KINDS, Settings};
use crate::access::Projects;
use crate::db::sql;
use crate::event::{Cursor, Filter, Types};
use crate::trouble::Trouble;

/// Something that needs or needed somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// The id of the event it began with.
    pub id: String,
    /// The type of that event.
    pub kind: String,
    /// What it is about, one of the constants in `matters`.
    pub subject_id: String,
    /// One line.
    pub title: String,
    /// Cause and remedy.
    pub trouble: Trouble,
    /// The page to see to it.
    pub path: String,
    /// When it began, milliseconds since 1970.
    pub began_at: i64,
}

/// Which events are read.
pub(crate) fn filter() -> Filter {
    Filter {
        types: Types::stored(KINDS.iter().map(|kind| (*kind).to_owned()).collect()),
        projects: Projects::All,
    }
}

/// Where reading goes on, and when alerts were last sent, milliseconds since 1970.
pub(crate) async fn place<C: ConnectionTrait>(on: &C) -> Result<(Cursor, i64), DbErr> {
    let text = "SELECT alert_cursor, alerts_sent_at FROM site_mail WHERE id = 1";
    let row = one(on, text).await?;
    Ok((
        Cursor(row.try_get("", "alert_cursor")?),
        row.try_get("", "alerts_sent_at")?,
    ))
}

/// Moves on; false if another node did.
pub(crate) async fn go_on<C: ConnectionTrait>(on: &C, from: Cursor, to: Cursor) -> Result<bool, DbErr> {
    let text = "UPDATE site_mail SET alert_cursor = $1 WHERE id = 1 AND alert_cursor = $2";
    run(on, text, vec![to.0.into(), from.0.into()])
        .await
        .map(|n| n == 1)
}

/// Notes that alerts are sent now; false if another node did so meanwhile.
pub(crate) async fn note_sent<C: ConnectionTrait>(on: &C, before: i64, now: i64) -> Result<bool, DbErr> {
    let text = "UPDATE site_mail SET alerts_sent_at = $1 WHERE id = 1 AND alerts_sent_at = $2";
    run(on, text, vec![now.into(), before.into()])
        .await
        .map(|n| n == 1)
}

/// Which events notices are about.
pub(crate) fn notice_filter() -> Filter {
    Filter {
        types: Types::stored(vec!["ticket.created".to_owned(), "ticket.updated".to_owned()]),
        projects: Projects::All,
    }
}

/// Where reading for notices goes on.
pub(crate) async fn notice_place<C: ConnectionTrait>(on: &C) -> Result<Cursor, DbErr> {
    let row = one(on, "SELECT notice_cursor FROM site_mail WHERE id = 1").await?;
    Ok(Cursor(row.try_get("", "notice_cursor")?))
}

/// Moves on; false if another node did.
pub(crate) async fn notices_go_on<C: ConnectionTrait>(
    on: &C,
    from: Cursor,
    to: Cursor,
) -> Result<bool, DbErr> {
    let text = "UPDATE site_mail SET notice_cursor = $1 WHERE id = 1 AND notice_cursor = $2";
    run(on, text, vec![to.0.into(), from.0.into()])
        .await
        .map(|n| n == 1)
}

async fn one<C: ConnectionTrait>(on: &C, text: &str) -> Result<QueryResult, DbErr> {
    let row = on.query_one_raw(sql(on, text, [])).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("site_mail".into()))
}

async fn run<C: ConnectionTrait>(on: &C, text: &str, values: Vec<Value>) -> Result<u64, DbErr> {
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected())
}

/// Begins an episode, unless one about the same thing goes on. One that is told once is over at once.
pub(crate) async fn begin<C: ConnectionTrait>(on: &C, episode: &Episode, is_once: bool) -> Result<(), DbErr> {
    let over = if is_once { Some(episode.began_at) } else { None };
    let text = "INSERT INTO alert_episodes (id, kind, subject_id, title, code, cause, remedy, path, began_at, ended_at, \
                end_told_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10 WHERE NOT EXISTS \
                (SELECT 1 FROM alert_episodes WHERE id = $1 OR (subject_id = $3 AND ended_at IS NULL))";
    let values: Vec<Value> = vec![
        episode.id.clone().into(),
        episode.kind.clone().into(),
        episode.subject_id.clone().into(),
        episode.title.clone().into(),
        episode.trouble.code.clone().into(),
        episode.trouble.cause.clone().into(),
        episode.trouble.remedy.clone().into(),
        episode.path.clone().into(),
        episode.began_at.into(),
        over.into(),
    ];
    run(on, text, values).await.map(drop)
}

/// Ends the episode about a thing. One that nobody was told of is forgotten.
pub(crate) async fn end<C: ConnectionTrait>(
    on: &C,
    subject_id: &str,
    now: i64,
    quietly: bool,
) -> Result<(), DbErr> {
    let text = "DELETE FROM alert_episodes WHERE subject_id = $1 AND ended_at IS NULL AND told_at IS NULL";
    run(on, text, vec![subject_id.into()]).await?;
    let text = "UPDATE alert_episodes SET ended_at = $1, end_told_at = $2 WHERE subject_id = $3 AND ended_at IS NULL";
    let told: Option<i64> = quietly.then_some(now);
    run(on, text, vec![now.into(), told.into(), subject_id.into()])
        .await
        .map(drop)
}

/// What somebody is still to be told of: what began, then what is over.
pub(crate) async fn untold<C: ConnectionTrait>(on: &C) -> Result<(Vec<Episode>, Vec<Episode>), DbErr> {
    let columns = "id, kind, subject_id, title, code, cause, remedy, path, began_at";
    let began =
        format!("SELECT {columns} FROM alert_episodes WHERE told_at IS NULL ORDER BY began_at, id LIMIT 500");
    let over = format!(
        "SELECT {columns} FROM alert_episodes WHERE told_at IS NOT NULL AND ended_at IS NOT NULL \
         AND end_told_at IS NULL ORDER BY ended_at, id LIMIT 500"
    );
    Ok((episodes(on, &began).await?, episodes(on, &over).await?))
}

async fn episodes<C: ConnectionTrait>(on: &C, text: &str) -> Result<Vec<Episode>, DbErr> {
    let rows = on.query_all_raw(sql(on, text, [])).await?;
    rows.iter()
        .map(|row| {
            Ok(Episode {
                id: row.try_get("", "id")?,
                kind: row.try_get("", "kind")?,
                subject_id: row.try_get("", "subject_id")?,
                title: row.try_get("", "title")?,
                trouble: Trouble {
                    code: row.try_get("", "code")?,
                    cause: row.try_get("", "cause")?,
                    remedy: row.try_get("", "remedy")?,
                },
                path: row.try_get("", "path")?,
                began_at: row.try_get("", "began_at")?,
            })
        })
        .collect()
}

/// Notes that these were told.
pub(crate) async fn mark_told<C: ConnectionTrait>(
    on: &C,
    began: &[Episode],
    over: &[Episode],
    now: i64,
) -> Result<(), DbErr> {
    for (episodes, column) in [(began, "told_at"), (over, "end_told_at")] {
        let text = format!("UPDATE alert_episodes SET {column} = $1 WHERE id = $2");
        for episode in episodes {
            run(on, &text, vec![now.into(), episode.id.clone().into()]).await?;
        }
    }
    Ok(())
}

/// Forgets what was over before a time, milliseconds since 1970.
pub(crate) async fn purge<C: ConnectionTrait>(on: &C, before: i64) -> Result<(), DbErr> {
    let text = "DELETE FROM alert_episodes WHERE end_told_at < $1 AND told_at IS NOT NULL";
    run(on, text, vec![before.into()]).await.map(drop)
}

/// Who gets alerts.
pub async fn settings<C: ConnectionTrait>(on: &C) -> Result<Settings, DbErr> {
    let row = one(
        on,
        "SELECT alerts, alert_addresses, revision FROM site_mail WHERE id = 1",
    )
    .await?;
    let audience: String = row.try_get("", "alerts")?;
    let addresses: String = row.try_get("", "alert_addresses")?;
    Ok(Settings {
        audience: Audience::parse(&audience).unwrap_or(Audience::Admins),
        addresses: serde_json::from_str(&addresses).unwrap_or_default(),
        revision: row.try_get("", "revision")?,
    })
}

/// Says who gets alerts from now on; false if somebody else changed the row since.
pub(super) async fn save<C: ConnectionTrait>(on: &C, settings: &Settings, now: i64) -> Result<bool, DbErr> {
    let text = "UPDATE site_mail SET alerts = $1, alert_addresses = $2, updated_at = $3, revision = revision + 1 \
                WHERE id = 1 AND revision = $4";
    let values: Vec<Value> = vec![
        settings.audience.as_str().into(),
        serde_json::json!(settings.addresses).to_string().into(),
        now.into(),
        settings.revision.into(),
    ];
    run(on, text, values).await.map(|n| n == 1)
}

/// Those who do not want alerts.
pub async fn opted_out<C: ConnectionTrait>(on: &C) -> Result<BTreeSet<String>, DbErr> {
    let rows = on
        .query_all_raw(sql(on, "SELECT user_id FROM alert_optouts", []))
        .await?;
    rows.iter().map(|row| row.try_get("", "user_id")).collect()
}

/// Whether somebody does not want alerts.
pub async fn is_opted_out<C: ConnectionTrait>(on: &C, user_id: &str) -> Result<bool, DbErr> {
    let text = "SELECT 1 AS one FROM alert_optouts WHERE user_id = $1";
    Ok(on.query_one_raw(sql(on, text, [user_id.into()])).await?.is_some())
}

/// Notes whether somebody wants alerts.
pub async fn opt<C: ConnectionTrait>(on: &C, user_id: &str, wants: bool) -> Result<(), DbErr> {
    let text = if wants {
        "DELETE FROM alert_optouts WHERE user_id = $1"
    } else {
        "INSERT INTO alert_optouts (user_id) VALUES ($1) ON CONFLICT DO NOTHING"
    };
    run(on, text, vec![user_id.into()]).await.map(drop)
}

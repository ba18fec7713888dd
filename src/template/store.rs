//! All queries on templates.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::model::{Kind, Template};
use crate::db::{Where, sql};

const COLUMNS: &str = "kind, enabled, subject, text, html, revision, updated_at";

fn read(row: &QueryResult) -> Result<Option<Template>, DbErr> {
    let kind: String = row.try_get("", "kind")?;
    // A kind that a newer version knew is none of ours.
    let Some(kind) = Kind::parse(&kind) else {
        return Ok(None);
    };
    Ok(Some(Template {
        kind,
        enabled: row.try_get("", "enabled")?,
        subject: row.try_get("", "subject")?,
        text: row.try_get("", "text")?,
        html: row.try_get("", "html")?,
        is_default: false,
        revision: row.try_get("", "revision")?,
        updated_at: row.try_get("", "updated_at")?,
    }))
}

pub(super) async fn of_project<C: ConnectionTrait>(on: &C, project_id: &str) -> Result<Vec<Template>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM mail_templates WHERE project_id = $1");
    let rows = on.query_all_raw(sql(on, &text, [project_id.into()])).await?;
    let all: Result<Vec<_>, _> = rows.iter().map(read).collect();
    Ok(all?.into_iter().flatten().collect())
}

pub(super) async fn get<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    kind: Kind,
) -> Result<Option<Template>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM mail_templates WHERE project_id = $1 AND kind = $2");
    let values: [Value; 2] = [project_id.into(), kind.as_str().into()];
    let row = on.query_one_raw(sql(on, &text, values)).await?;
    row.as_ref().map_or(Ok(None), read)
}

/// False if somebody else changed it since that revision; 0 is the default.
pub(super) async fn save<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    template: &Template,
    now: i64,
) -> Result<bool, DbErr> {
    let text = if template.revision == 0 {
        "INSERT INTO mail_templates (project_id, kind, enabled, subject, text, html, revision, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7) ON CONFLICT DO NOTHING"
    } else {
        "UPDATE mail_templates SET enabled = $3, subject = $4, text = $5, html = $6, updated_at = $7, \
         revision = revision + 1 WHERE project_id = $1 AND kind = $2 AND revision = $8"
    };
    let mut values: Vec<Value> = vec![
        project_id.into(),
        template.kind.as_str().into(),
        template.enabled.into(),
        template.subject.clone().into(),
        template.text.clone().into(),
        template.html.clone().into(),
        now.into(),
    ];
    if template.revision != 0 {
        values.push(template.revision.into());
    }
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// False if there is none, or it has another revision than was `seen`.
pub(super) async fn remove<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    kind: Kind,
    seen: Option<i64>,
) -> Result<bool, DbErr> {
    let mut wanted = Where::default();
    wanted.and("project_id = {}", project_id);
    wanted.and("kind = {}", kind.as_str());
    wanted.and_revision(seen);
    let text = format!("DELETE FROM mail_templates WHERE {}", wanted.text());
    Ok(on
        .execute_raw(sql(on, &text, wanted.values))
        .await?
        .rows_affected()
        == 1)
}

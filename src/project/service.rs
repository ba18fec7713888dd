//! What can be done with projects.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use super::store::{self, Project};
use crate::access::Projects;
use crate::audit::{self, NewAuditEvent};
use crate::ctx::Ctx;
use crate::db::is_duplicate;
use crate::id;
use crate::trouble::FieldError;

/// Why a project could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Fields that do not fit; nothing was changed.
    #[error("the project was not saved: {}", .0.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join(" "))]
    Invalid(Vec<FieldError>),
    /// There is none with this id.
    #[error("there is no such project")]
    NotFound,
    /// Somebody else changed it meanwhile.
    #[error("the project was changed meanwhile; load it again and repeat the change")]
    Conflict,
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

/// What a new project needs.
#[derive(Clone, Debug, Default)]
pub struct NewProject {
    /// 2 to 10 capital letters and digits, a letter first.
    pub key: String,
    /// Name shown to people.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
}

/// What can be changed; the key stays, since ticket keys were given out with it.
#[derive(Clone, Debug, Default)]
pub struct ProjectChange {
    /// New name.
    pub name: String,
    /// New description.
    pub description: String,
}

/// Makes a project.
pub async fn create(ctx: &Ctx, input: NewProject) -> Result<Project, ProjectError> {
    let key = input.key.trim().to_uppercase();
    let mut errors = check_name(&input.name);
    if !is_key(&key) {
        errors.push(FieldError::new(
            "key",
            "invalid",
            "Use 2 to 10 capital letters and digits, a letter first, for example HELP.",
        ));
    }
    if !errors.is_empty() {
        return Err(ProjectError::Invalid(errors));
    }
    let now = ctx.clock.now_ms();
    let project = Project {
        id: id::new("prj", &ctx.clock),
        key,
        name: input.name.trim().to_owned(),
        description: input.description.trim().to_owned(),
        next_number: 1,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let txn = ctx.db.begin().await?;
    match store::insert(&txn, &project).await {
        Err(error) if is_duplicate(&error) => Err(ProjectError::Invalid(vec![FieldError::new(
            "key",
            "duplicate",
            format!(
                "A project with the key {} exists already; choose another key.",
                project.key
            ),
        )])),
        Err(error) => Err(error.into()),
        Ok(()) => {
            let event = NewAuditEvent::new("project.created", "project", &project.id)
                .in_project(&project.id)
                .saying(json!({ "key": project.key, "name": project.name }));
            audit::append(&txn, &ctx.clock, event).await?;
            txn.commit().await?;
            Ok(project)
        }
    }
}

/// Changes a project that still has the revision `seen`.
pub async fn update(
    ctx: &Ctx,
    projects: &Projects,
    id: &str,
    seen: i64,
    change: ProjectChange,
) -> Result<Project, ProjectError> {
    let errors = check_name(&change.name);
    if !errors.is_empty() {
        return Err(ProjectError::Invalid(errors));
    }
    let mut project = get(ctx, projects, id).await?;
    project.name = change.name.trim().to_owned();
    project.description = change.description.trim().to_owned();
    project.updated_at = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    if !store::update(&txn, &project, seen).await? {
        return Err(ProjectError::Conflict);
    }
    let event = NewAuditEvent::new("project.updated", "project", id)
        .in_project(id)
        .saying(json!({ "key": project.key, "name": project.name }));
    audit::append(&txn, &ctx.clock, event).await?;
    txn.commit().await?;
    get(ctx, projects, id).await
}

/// One of these projects.
pub async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Project, ProjectError> {
    store::by_id(ctx.db.read(), projects, id)
        .await?
        .ok_or(ProjectError::NotFound)
}

/// The same in the caller's transaction, where no other connection must be waited for.
pub(crate) async fn get_in<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    id: &str,
) -> Result<Option<Project>, DbErr> {
    store::by_id(on, projects, id).await
}

/// The one of these projects with a key, if there is one.
pub async fn get_by_key(ctx: &Ctx, projects: &Projects, key: &str) -> Result<Option<Project>, ProjectError> {
    Ok(store::by_key(ctx.db.read(), projects, key).await?)
}

/// These projects, by key.
pub async fn list(ctx: &Ctx, projects: &Projects) -> Result<Vec<Project>, ProjectError> {
    Ok(store::all(ctx.db.read(), projects).await?)
}

fn is_key(key: &str) -> bool {
    (2..=10).contains(&key.len())
        && key.starts_with(|c: char| c.is_ascii_uppercase())
        && key.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

fn check_name(name: &str) -> Vec<FieldError> {
    match name.trim().chars().count() {
        0 => vec![FieldError::new("name", "required", "Give the project a name.")],
        1..=100 => vec![],
        _ => vec![FieldError::new("name", "too_long", "Use at most 100 characters.")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_begin_with_a_letter() {
        for good in ["HELP", "IT", "A1", "ABCDEFGHIJ"] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "A", "1A", "help", "ABCDEFGHIJK", "HE-LP", "HÉLP"] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}

//! Who is what in a project.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde_json::json;

use super::store;
use crate::access::{Projects, Role};
use crate::clock::Clock;
use crate::db::Db;
use crate::event::{self, NewEvent};

/// A person in a project: their id and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The project.
    pub project_id: String,
    /// The person.
    pub user_id: String,
    /// What they are.
    pub role: Role,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// Why the members of a project were not changed.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// There is no such member.
    #[error("this person is no member of the project")]
    NotFound,
    /// They are not what they were seen to be.
    #[error("somebody else changed this member meanwhile; load them again")]
    Conflict,
    /// Nobody would be left to manage the project but site admins.
    #[error(
        "this is the only project admin who can sign in; make another one first, or say that you want it so"
    )]
    LastProjectAdmin,
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

/// What a person is in each of their projects.
pub async fn roles_of(db: &Db, user_id: &str) -> Result<BTreeMap<String, Role>, DbErr> {
    roles_in(db.read(), user_id).await
}

/// The same on the caller's connection.
pub async fn roles_in<C: ConnectionTrait>(on: &C, user_id: &str) -> Result<BTreeMap<String, Role>, DbErr> {
    let rows = store::members_of_person(on, user_id).await?;
    // A word that no role has gives no right.
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.project_id, Role::of_member(&row.role)?)))
        .collect())
}

/// The members of one project, in the order of their ids.
pub async fn members_of(db: &Db, project_id: &str) -> Result<Vec<Membership>, DbErr> {
    memberships(db, &Projects::one(project_id)).await
}

/// The members of several projects.
pub async fn memberships(db: &Db, projects: &Projects) -> Result<Vec<Membership>, DbErr> {
    let rows = store::members(db.read(), projects).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(Membership {
                role: Role::of_member(&row.role)?,
                project_id: row.project_id,
                user_id: row.user_id,
                created_at: row.created_at,
            })
        })
        .collect())
}

/// What must hold for a member to be changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Provided<'a> {
    /// They are still what they were seen to be; `None` for whatever they are.
    pub seen: Option<&'a Membership>,
    /// The project may be left to site admins. Otherwise somebody else who can sign in must be its admin.
    pub allow_no_admin: bool,
}

/// Refuses to take the last project admin away. Whoever asks waits here for another one who is about to go.
async fn keep_an_admin(
    tx: &DatabaseTransaction,
    who: (&str, &str),
    provided: Provided<'_>,
) -> Result<(), MemberError> {
    if provided.allow_no_admin {
        return Ok(());
    }
    store::lock(tx, who.0).await?;
    let is_admin = store::role_of(tx, who).await?.as_deref() == Some(Role::ProjectAdmin.as_str());
    if is_admin && !store::has_other_admin(tx, who).await? {
        return Err(MemberError::LastProjectAdmin);
    }
    Ok(())
}

/// Makes a person, who must exist, a member of a project that exists, or changes their role.
///
/// # Errors
/// [`MemberError::LastProjectAdmin`].
pub async fn set_member(
    db: &Db,
    clock: &Clock,
    project_id: &str,
    user_id: &str,
    role: Role,
    actor: &str,
) -> Result<(), MemberError> {
    let tx = db.begin().await?;
    if role != Role::ProjectAdmin {
        keep_an_admin(&tx, (project_id, user_id), Provided::default()).await?;
    }
    set_member_in(&tx, clock, project_id, user_id, role, actor).await?;
    tx.commit().await?;
    Ok(())
}

/// The same in the caller's transaction, also to the last project admin.
pub async fn set_member_in(
    tx: &DatabaseTransaction,
    clock: &Clock,
    project_id: &str,
    user_id: &str,
    role: Role,
    actor: &str,
) -> Result<(), DbErr> {
    let before = store::set_member(tx, project_id, user_id, role.as_str(), clock.now_ms()).await?;
    let kind = match before.as_deref() {
        Some(word) if word == role.as_str() => return Ok(()),
        Some(_) => "member.changed",
        None => "member.added",
    };
    let data = json!({ "userId": user_id, "role": role.as_str(), "before": before });
    append(tx, clock, kind, project_id, actor, data).await
}

/// Changes the role of a member.
///
/// # Errors
/// [`MemberError::NotFound`], [`MemberError::Conflict`], [`MemberError::LastProjectAdmin`].
pub async fn change_member(
    db: &Db,
    clock: &Clock,
    (project_id, user_id): (&str, &str),
    role: Role,
    provided: Provided<'_>,
    actor: &str,
) -> Result<(), MemberError> {
    let tx = db.begin().await?;
    let who = (project_id, user_id);
    if role != Role::ProjectAdmin {
        keep_an_admin(&tx, who, provided).await?;
    }
    let before = store::role_of(&tx, who).await?;
    if !store::change_member(&tx, who, role.as_str(), provided.seen, clock.now_ms()).await? {
        return Err(not_as_seen(before.is_some()));
    }
    if before.as_deref() != Some(role.as_str()) {
        let data = json!({ "userId": user_id, "role": role.as_str(), "before": before });
        append(&tx, clock, "member.changed", project_id, actor, data).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Why a member was not changed: only somebody who is there was not what they were seen to be.
fn not_as_seen(is_there: bool) -> MemberError {
    match is_there {
        true => MemberError::Conflict,
        false => MemberError::NotFound,
    }
}

/// Takes a person out of a project.
///
/// # Errors
/// [`MemberError::NotFound`], [`MemberError::Conflict`], [`MemberError::LastProjectAdmin`].
pub async fn remove_member(
    db: &Db,
    clock: &Clock,
    who: (&str, &str),
    provided: Provided<'_>,
    actor: &str,
) -> Result<(), MemberError> {
    let tx = db.begin().await?;
    keep_an_admin(&tx, who, provided).await?;
    if !remove_in(&tx, clock, who, provided.seen, actor).await? {
        return Err(not_as_seen(store::role_of(&tx, who).await?.is_some()));
    }
    tx.commit().await?;
    Ok(())
}

/// The same in the caller's transaction, also with the last project admin; false if they are no member.
pub async fn remove_member_in(
    tx: &DatabaseTransaction,
    clock: &Clock,
    project_id: &str,
    user_id: &str,
    actor: &str,
) -> Result<bool, DbErr> {
    remove_in(tx, clock, (project_id, user_id), None, actor).await
}

async fn remove_in(
    tx: &DatabaseTransaction,
    clock: &Clock,
    (project_id, user_id): (&str, &str),
    seen: Option<&Membership>,
    actor: &str,
) -> Result<bool, DbErr> {
    if !store::delete_member(tx, (project_id, user_id), seen).await? {
        return Ok(false);
    }
    let data = json!({ "userId": user_id });
    append(tx, clock, "member.removed", project_id, actor, data).await?;
    Ok(true)
}

/// Takes a person out of every project.
pub async fn leave_all_in(
    tx: &DatabaseTransaction,
    clock: &Clock,
    user_id: &str,
    actor: &str,
) -> Result<(), DbErr> {
    for row in store::members_of_person(tx, user_id).await? {
        remove_member_in(tx, clock, &row.project_id, user_id, actor).await?;
    }
    Ok(())
}

async fn append(
    tx: &DatabaseTransaction,
    clock: &Clock,
    kind: &str,
    project_id: &str,
    actor: &str,
    data: serde_json::Value,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind,
        project_id,
        subject_id: project_id,
        actor,
        data,
    };
    event::append(tx, clock, event).await.map(|_| ())
}

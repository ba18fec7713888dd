//! Who may be given a ticket, and how people and tokens are named in it: where accounts and mail meet.

use sea_orm::DbErr;

use crate::access::{Projects, Role};
use crate::account::{self, TokenIdentity, User};
use crate::ctx::Ctx;
use crate::project;

/// Everybody who may work in a project, by name: its members from agents on, and site admins.
pub(super) async fn assignable(ctx: &Ctx, project_id: &str) -> Result<Vec<User>, DbErr> {
    let members = project::members_of(&ctx.db, project_id).await?;
    let may_work = |user: &User| {
        user.is_site_admin
            || members
                .iter()
                .any(|member| member.user_id == user.id && member.role >= Role::Agent)
    };
    let mut people = account::list(&ctx.db, &Projects::All).await?;
    people.retain(|user| user.disabled_at.is_none() && may_work(user));
    people.sort_by_key(|user| user.name.to_lowercase());
    Ok(people)
}

/// Whether somebody may be given a ticket of a project. Nobody (the empty text) always may.
pub(super) async fn may_be_assigned(ctx: &Ctx, project_id: &str, user_id: &str) -> Result<bool, DbErr> {
    if user_id.is_empty() {
        return Ok(true);
    }
    let people = assignable(ctx, project_id).await?;
    Ok(people.iter().any(|user| user.id == user_id))
}

/// How a token is named as the writer of something: by its person, if it has one.
pub(super) async fn author(ctx: &Ctx, token: &TokenIdentity) -> Result<String, DbErr> {
    let person = account::get(&ctx.db, &token.actor).await?;
    Ok(person.map_or_else(|| format!("API token {}", token.name), |user| user.name))
}

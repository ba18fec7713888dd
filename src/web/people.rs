//! Where accounts meet the rest: who may be given a ticket, how people and tokens are named in it, and what ends
//! everywhere when a password changes or an account is closed.

use sea_orm::DbErr;

use crate::access::{Projects, Role};
use crate::account::{self, AccountError, HashedPassword, NewSession, Started, TokenIdentity, Tokens, User};
use crate::ctx::Ctx;
use crate::{oauth2_server, project};

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

/// Keeps somebody out: from the moment this is committed nothing of theirs opens anything, sessions, personal tokens and
/// what applications hold alike.
pub(super) async fn disable(ctx: &Ctx, user_id: &str, actor: &str) -> Result<(), AccountError> {
    let tx = ctx.db.begin().await?;
    account::disable(&tx, &ctx.clock, user_id, actor).await?;
    oauth2_server::end_all_of_user(&tx, ctx.clock.now_ms(), user_id, "user_disabled").await?;
    tx.commit().await?;
    Ok(())
}

/// Sets a password of one's own: every other session ends, what applications hold ends, and this browser goes on under a
/// new session id.
pub(super) async fn change_password(
    ctx: &Ctx,
    new: &HashedPassword,
    tokens: Tokens,
    session: &NewSession<'_>,
) -> Result<Started, AccountError> {
    let now = ctx.clock.now_ms();
    let tx = ctx.db.begin().await?;
    account::set_password(&tx, &ctx.clock, session.user_id, new, tokens, session.user_id).await?;
    oauth2_server::end_all_of_user(&tx, now, session.user_id, "password_changed").await?;
    let started = account::start_in(&tx, &ctx.clock, session).await?;
    tx.commit().await?;
    Ok(started)
}

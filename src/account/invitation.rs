//! Links by which a person sets a password: invitations, forgotten passwords, and the way in that is made on the machine.
//!
//! Only the hash of a link's token is stored. Using one deletes all links of its person, in the transaction that sets the
//! password.

use std::collections::BTreeMap;

use sea_orm::{DatabaseTransaction, DbErr};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::error::AccountError;
use super::model::User;
use super::{second_factor, store, user};
use crate::crypto;
use crate::ctx::Ctx;
use crate::event::{self, NewEvent};

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A new account waits for its person.
    Invitation,
    /// Somebody forgot a password, or an admin wants it changed.
    Reset,
    /// An administrator who got locked out, or is needed now: made on the machine.
    Recovery,
}

impl LinkKind {
    const ALL: [Self; 3] = [Self::Invitation, Self::Reset, Self::Recovery];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Reset => "password_reset",
            Self::Recovery => "recovery",
        }
    }

    /// How long such a link works, minutes.
    pub const fn minutes(self) -> i64 {
        match self {
            Self::Invitation => 24 * 60,
            Self::Reset => 60,
            Self::Recovery => 30,
        }
    }
}

/// A link that would work now.
#[derive(Debug)]
pub struct PasswordLink {
    /// What it is for.
    pub kind: LinkKind,
    /// Whose it is.
    pub user: User,
    /// Until when; milliseconds since 1970.
    pub expires_at: i64,
}

/// A new link for a person, as an absolute URL. Earlier ones of its kind stop working.
///
/// # Errors
/// The database failed.
pub async fn password_link(
    tx: &DatabaseTransaction,
    ctx: &Ctx,
    user_id: &str,
    kind: LinkKind,
    actor: &str,
) -> Result<SecretString, DbErr> {
    let token = crypto::random_token(32);
    let now = ctx.clock.now_ms();
    let hash = crypto::sha256_hex(token.as_bytes());
    store::delete_links_of_kind(tx, user_id, kind.as_str()).await?;
    let expires_at = now + kind.minutes() * 60_000;
    let event = NewEvent {
        kind: "user.link_made",
        project_id: "",
        subject_id: user_id,
        actor,
        data: json!({ "purpose": kind.as_str() }),
    };
    event::append(tx, &ctx.clock, event).await?;
    store::insert_link(tx, &hash, kind.as_str(), Some(user_id), actor, now, expires_at).await?;
    Ok(SecretString::from(
        ctx.config.url(&format!("/new-password?token={token}")),
    ))
}

/// Notes that a link went to its person's address by mail and was shown to nobody: who follows it reads that address.
///
/// # Errors
/// The database failed.
pub async fn note_mailed(tx: &DatabaseTransaction, url: &SecretString, address: &str) -> Result<(), DbErr> {
    let token = url
        .expose_secret()
        .rsplit_once("token=")
        .map_or("", |(_, token)| token);
    store::set_mailed_to(tx, &crypto::sha256_hex(token.as_bytes()), address).await
}

/// What a token would do; looking does not use it up.
///
/// # Errors
/// [`AccountError::DeadLink`].
pub async fn look_at_link(ctx: &Ctx, token: &SecretString) -> Result<PasswordLink, AccountError> {
    let hash = crypto::sha256_hex(token.expose_secret().as_bytes());
    for kind in LinkKind::ALL {
        let found = store::link(ctx.db.read(), &hash, kind.as_str(), ctx.clock.now_ms()).await?;
        let Some((Some(user_id), expires_at)) = found else {
            continue;
        };
        let user = store::user(ctx.db.read(), &user_id).await?;
        let user = user
            .filter(|user| may_use(user, kind))
            .ok_or(AccountError::DeadLink)?;
        return Ok(PasswordLink {
            kind,
            user,
            expires_at,
        });
    }
    Err(AccountError::DeadLink)
}

/// Who was switched off stays out, unless somebody at the machine says otherwise.
fn may_use(user: &User, kind: LinkKind) -> bool {
    user.removed_at.is_none() && (kind == LinkKind::Recovery || user.disabled_at.is_none())
}

/// Uses a link up. A recovery makes its person a site admin without a second factor, who may sign in.
///
/// # Errors
/// [`AccountError::DeadLink`]; of two requests at once, one gets it.
pub async fn take_link(
    tx: &DatabaseTransaction,
    ctx: &Ctx,
    token: &SecretString,
    kind: LinkKind,
) -> Result<User, AccountError> {
    let hash = crypto::sha256_hex(token.expose_secret().as_bytes());
    let mailed_to = store::mailed_to(tx, &hash).await?;
    let user_id = store::take_link(tx, &hash, kind.as_str(), ctx.clock.now_ms())
        .await?
        .flatten()
        .ok_or(AccountError::DeadLink)?;
    let found = store::user(tx, &user_id).await?;
    let found = found
        .filter(|user| may_use(user, kind))
        .ok_or(AccountError::DeadLink)?;
    if mailed_to == found.email {
        store::set_verified_email(tx, &found.id, &found.email).await?;
    }
    if kind == LinkKind::Recovery {
        user::recover(tx, ctx, &found).await?;
        second_factor::remove_second_factor(tx, ctx, &found.id, &found.id).await?;
    }
    Ok(found)
}

/// Until when the invitations work that were not used: by the id of the person.
pub async fn open_invitations(ctx: &Ctx) -> Result<BTreeMap<String, i64>, DbErr> {
    store::links_of_kind(ctx.db.read(), LinkKind::Invitation.as_str(), ctx.clock.now_ms()).await
}

/// Takes an invitation back. False if there was none.
pub async fn revoke_invitation(ctx: &Ctx, user_id: &str) -> Result<bool, DbErr> {
    store::delete_links_of_kind(ctx.db.write(), user_id, LinkKind::Invitation.as_str()).await
}

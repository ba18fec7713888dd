//! API tokens: `mg_pat_` and a random part with its checksum, as `crypto` makes them. Only the hash is stored.

use sea_orm::DbErr;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::error::{AccountError, MAX_NAME_CHARS};
use super::model::{NewToken, TokenIdentity, TokenInfo};
use super::{store, user};
use crate::access::{Access, Scope};
use crate::clock::Clock;
use crate::crypto;
use crate::db::Db;
use crate::event::{self, NewEvent};
use crate::id;

/// How long a token lives when nobody says how long, days.
pub const DEFAULT_TOKEN_DAYS: i64 = 90;

const PREFIX: &str = "mg_pat_";
/// A token's use is written down at most this often.
const TOUCH_MS: i64 = 60_000;

/// Makes a token for its owner, `cli` or a user id. The token itself is returned here and never again.
///
/// # Errors
/// [`AccountError::BadName`], [`AccountError::NoScope`], [`AccountError::NoProject`], [`AccountError::PastEnd`].
pub async fn issue_token(
    db: &Db,
    clock: &Clock,
    new: &NewToken<'_>,
    owner: &str,
    actor: &str,
) -> Result<(TokenInfo, SecretString), AccountError> {
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        return Err(AccountError::BadName);
    }
    if new.scopes.is_empty() {
        return Err(AccountError::NoScope);
    }
    // Stored with spaces between them, so that an empty list must not be mistaken for "all".
    let is_id = |id: &String| !id.is_empty() && !id.contains(char::is_whitespace);
    if new
        .projects
        .as_ref()
        .is_some_and(|ids| ids.is_empty() || !ids.iter().all(is_id))
    {
        return Err(AccountError::NoProject);
    }
    if new.expires_at.is_some_and(|end| end <= clock.now_ms()) {
        return Err(AccountError::PastEnd);
    }
    let token = crypto::new_prefixed(PREFIX);
    let info = TokenInfo {
        id: id::new("tok", clock),
        name: name.to_owned(),
        actor: owner.to_owned(),
        created_at: clock.now_ms(),
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
        scopes: new.scopes,
        projects: new.projects.clone(),
    };
    let tx = db.begin().await?;
    store::insert_token(&tx, &info, &hash(token.expose_secret())).await?;
    let scopes: Vec<&str> = info.scopes.words().map(Scope::as_str).collect();
    let event = NewEvent {
        kind: "token.created",
        project_id: "",
        subject_id: &info.id,
        actor,
        data: json!({ "name": info.name, "owner": owner, "scopes": scopes, "projects": info.projects }),
    };
    event::append(&tx, clock, event).await?;
    tx.commit().await?;
    Ok((info, token))
}

/// Makes a token that may do everything its owner may, without an end.
///
/// # Errors
/// [`AccountError::BadName`].
pub async fn create_token(
    db: &Db,
    clock: &Clock,
    name: &str,
    owner: &str,
) -> Result<(TokenInfo, SecretString), AccountError> {
    issue_token(db, clock, &NewToken::unlimited(name), owner, owner).await
}

/// The tokens of an owner (`cli` or a user id), or of everybody; newest first, revoked ones too.
pub async fn list_tokens(db: &Db, owner: Option<&str>) -> Result<Vec<TokenInfo>, DbErr> {
    store::tokens(db.read(), owner).await
}

/// Takes a token of an owner, or of anybody, back: it opens nothing from now on.
///
/// # Errors
/// [`AccountError::NotFound`] for an unknown or already revoked one.
pub async fn revoke_token(
    db: &Db,
    clock: &Clock,
    token_id: &str,
    owner: Option<&str>,
    actor: &str,
) -> Result<(), AccountError> {
    let tx = db.begin().await?;
    if !store::revoke_token(&tx, token_id, owner, clock.now_ms()).await? {
        return Err(AccountError::NotFound("token"));
    }
    let event = NewEvent {
        kind: "token.revoked",
        project_id: "",
        subject_id: token_id,
        actor,
        data: json!({}),
    };
    event::append(&tx, clock, event).await?;
    tx.commit().await?;
    Ok(())
}

/// Whom a bearer token speaks for and what it may do now; `None` if it is unknown, revoked or expired, or its owner is
/// gone or disabled.
pub async fn authenticate(
    db: &Db,
    clock: &Clock,
    bearer: &SecretString,
) -> Result<Option<(TokenIdentity, Access)>, DbErr> {
    if !crypto::is_prefixed(PREFIX, bearer.expose_secret()) {
        return Ok(None);
    }
    // Found by its hash: how long the search takes tells nothing about the token.
    let Some(info) = store::token(db.read(), &hash(bearer.expose_secret())).await? else {
        return Ok(None);
    };
    let now = clock.now_ms();
    if !info.is_live(now) {
        return Ok(None);
    }
    let Some(owner) = access_of_owner(db, &info).await? else {
        return Ok(None);
    };
    if info.last_used_at.is_none_or(|last| now - last >= TOUCH_MS)
        && let Err(error) = store::touch_token(db.write(), &info.id, now, now - TOUCH_MS).await
    {
        tracing::warn!(token_id = %info.id, %error, "could not write down the use of a token");
    }
    let access = owner.by_token(&info.id, info.scopes, info.projects);
    let identity = TokenIdentity {
        id: info.id,
        name: info.name,
        actor: info.actor,
        expires_at: info.expires_at,
    };
    Ok(Some((identity, access)))
}

/// What the owner of a token may do now: asked anew for every request, so that a role taken away is gone at once.
async fn access_of_owner(db: &Db, info: &TokenInfo) -> Result<Option<Access>, DbErr> {
    let Some(user_id) = info.user_id() else {
        return Ok(Some(Access::machine()));
    };
    match store::user(db.read(), user_id).await? {
        Some(user) if user.is_active() => Ok(Some(user::access(db, &user).await?)),
        _ => Ok(None),
    }
}

fn hash(token: &str) -> String {
    crypto::sha256_hex(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_one_wrong_letter_is_not_looked_up() {
        let token = crypto::new_prefixed(PREFIX);
        let text = token.expose_secret();
        assert!(crypto::is_prefixed(PREFIX, text), "{text}");
        let last = if text.ends_with('0') { "1" } else { "0" };
        assert!(!crypto::is_prefixed(
            PREFIX,
            &format!("{}{last}", &text[..text.len() - 1])
        ));
        assert!(!crypto::is_prefixed(PREFIX, "mg_pat_"));
        assert!(!crypto::is_prefixed(PREFIX, &text.replace("mg_pat_", "mg_pat-")));
        assert_ne!(text, crypto::new_prefixed(PREFIX).expose_secret());
    }
}

//! Sessions: a random cookie value finds a row; only its hash is stored. 30 minutes idle, 12 hours in all.

use sea_orm::{ConnectionTrait, DbErr};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::error::AccountError;
use super::model::{Flash, NewSession, Proof, Session, SessionInfo, User};
use super::{brake, store};
use crate::audit::{self, NewAuditEvent};
use crate::clock::Clock;
use crate::crypto;
use crate::db::Db;

/// A session nobody uses ends after this many minutes.
pub const IDLE_MINUTES: i64 = 30;
/// Every session ends after this many hours.
pub const ABSOLUTE_HOURS: i64 = 12;

const IDLE_MS: i64 = IDLE_MINUTES * 60_000;
const ABSOLUTE_MS: i64 = ABSOLUTE_HOURS * 3_600_000;
/// A session's use is written down at most this often.
const TOUCH_MS: i64 = 60_000;

/// A session that just began.
#[derive(Debug)]
pub struct Started {
    /// What the cookie carries: 256 random bits. Stored nowhere.
    pub cookie: SecretString,
    /// The session.
    pub session: Session,
}

/// Begins a session for somebody who just gave their password. See [`start_with`].
pub async fn start(db: &Db, clock: &Clock, user_id: &str, replaces: Option<&str>) -> Result<Started, DbErr> {
    let new = NewSession {
        user_id,
        replaces,
        proof: Proof::password(),
        browser: "",
        address: "",
    };
    start_with(db, clock, &new).await
}

/// Begins a session. The one the browser had before (`replaces`) ends: a sign-in always gets a new id.
pub async fn start_with(db: &Db, clock: &Clock, new: &NewSession<'_>) -> Result<Started, DbErr> {
    let tx = db.begin().await?;
    let started = start_in(&tx, clock, new).await?;
    tx.commit().await?;
    Ok(started)
}

/// The same in the caller's transaction.
pub async fn start_in<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    new: &NewSession<'_>,
) -> Result<Started, DbErr> {
    let cookie = crypto::random_token(32);
    let now = clock.now_ms();
    let replaced = match new.replaces {
        Some(old) => store::session(on, old).await?,
        None => None,
    };
    // Somebody else in the same browser is another session, which applications are told.
    let sid = replaced
        .filter(|(old, _)| old.user_id == new.user_id)
        .map_or_else(|| crypto::random_token(16), |(old, _)| old.sid);
    // Just now, if they did it here; of what a provider left out nobody knows.
    let is_here = new.proof.identity_provider_id.is_empty();
    let unsaid = if is_here { now } else { 0 };
    let session = Session {
        id: crypto::sha256_hex(cookie.as_bytes()),
        user_id: new.user_id.to_owned(),
        csrf_token: crypto::random_token(32),
        sid,
        has_flash: false,
        proof: new.proof.clone(),
        auth_time: new.proof.auth_time.unwrap_or(unsaid),
        created_at: now,
        expires_at: now + ABSOLUTE_MS,
    };
    if let Some(old) = new.replaces {
        store::delete_session(on, old).await?;
    }
    let browser = shortened(new.browser);
    let new = NewSession {
        browser: &browser,
        ..new.clone()
    };
    store::insert_session(on, &session, &new).await?;
    store::note_sign_in(on, new.user_id, now).await?;
    let event = NewAuditEvent::new("session.started", "user", new.user_id)
        .by(new.user_id)
        .saying(json!({ "how": new.proof.amr, "identityProviderId": new.proof.identity_provider_id }));
    audit::append(on, clock, event).await?;
    Ok(Started {
        cookie: SecretString::from(cookie),
        session,
    })
}

/// The live session a cookie value belongs to, and whose it is. Its use is written down.
pub async fn find(db: &Db, clock: &Clock, cookie: &SecretString) -> Result<Option<(Session, User)>, DbErr> {
    let now = clock.now_ms();
    let Some((session, user, last_seen_at)) = live(db, now, cookie).await? else {
        return Ok(None);
    };
    if now - last_seen_at >= TOUCH_MS {
        store::touch_session(db.write(), &session.id, now).await?;
    }
    Ok(Some((session, user)))
}

/// The same without writing its use down: for requests that a page makes by itself, which must not keep a session
/// alive that nobody uses.
pub async fn peek(db: &Db, clock: &Clock, cookie: &SecretString) -> Result<Option<(Session, User)>, DbErr> {
    let found = live(db, clock.now_ms(), cookie).await?;
    Ok(found.map(|(session, user, _)| (session, user)))
}

async fn live(db: &Db, now: i64, cookie: &SecretString) -> Result<Option<(Session, User, i64)>, DbErr> {
    let id = crypto::sha256_hex(cookie.expose_secret().as_bytes());
    let Some((session, last_seen_at)) = store::session(db.read(), &id).await? else {
        return Ok(None);
    };
    if now >= session.expires_at || now - last_seen_at >= IDLE_MS {
        return Ok(None);
    }
    let Some(user) = store::user(db.read(), &session.user_id).await? else {
        return Ok(None);
    };
    if !user.is_active() {
        return Ok(None);
    }
    Ok(Some((session, user, last_seen_at)))
}

/// Whether a session of a person goes on, named as applications know it.
pub async fn goes_on(db: &Db, clock: &Clock, user_id: &str, sid: &str) -> Result<bool, DbErr> {
    let now = clock.now_ms();
    Ok(!sid.is_empty() && store::is_live(db.read(), user_id, sid, now, now - IDLE_MS).await?)
}

/// Longest name of a browser that is kept, in characters.
const BROWSER_CHARS: usize = 200;

fn shortened(browser: &str) -> String {
    browser
        .chars()
        .filter(|c| !c.is_control())
        .take(BROWSER_CHARS)
        .collect()
}

/// The live sessions of a person, or of everybody, the last used first.
pub async fn sessions_of(db: &Db, clock: &Clock, user_id: Option<&str>) -> Result<Vec<SessionInfo>, DbErr> {
    let now = clock.now_ms();
    store::live_sessions(db.read(), user_id, now, now - IDLE_MS).await
}

/// Ends one session of a person, or of anybody; says whose it was. If `seen` is given, one that is still that.
///
/// # Errors
/// [`AccountError::NotFound`] if they have no such one, [`AccountError::Conflict`].
pub async fn end_one<C: ConnectionTrait>(
    on: &C,
    user_id: Option<&str>,
    session_id: &str,
    seen: Option<&SessionInfo>,
) -> Result<String, AccountError> {
    match store::take_session(on, user_id, session_id, seen).await? {
        Some(whose) => Ok(whose),
        None if seen.is_some() && store::has_session(on, session_id).await? => Err(AccountError::Conflict),
        None => Err(AccountError::NotFound("session")),
    }
}

/// Ends every session of a person but one; says how many.
pub async fn end_others<C: ConnectionTrait>(on: &C, user_id: &str, kept: &str) -> Result<u64, DbErr> {
    store::delete_sessions_but(on, user_id, kept).await
}

/// Notes that the person of a session showed a second factor in it.
pub async fn strengthen<C: ConnectionTrait>(on: &C, session: &Session) -> Result<(), DbErr> {
    let amr = session.proof.clone().with_code().amr.join(" ");
    store::set_session_amr(on, &session.id, &amr).await
}

/// Ends a session.
pub async fn end(db: &Db, session_id: &str) -> Result<(), DbErr> {
    store::delete_session(db.write(), session_id).await
}

/// Whether a session has not been ended since it was read, in the caller's transaction.
pub async fn is_still_there<C: ConnectionTrait>(on: &C, session: &Session) -> Result<bool, DbErr> {
    store::has_session(on, &session.id).await
}

/// Ends every session of a person.
pub async fn end_all<C: ConnectionTrait>(on: &C, user_id: &str) -> Result<(), DbErr> {
    store::delete_sessions_of(on, user_id).await
}

/// Leaves a message for the next page of this session.
pub async fn set_flash(db: &Db, session_id: &str, flash: &Flash) -> Result<(), DbErr> {
    let text = serde_json::to_string(flash).unwrap_or_default();
    store::set_flash(db.write(), session_id, &text).await
}

/// Takes the waiting message; the next page will not see it again.
pub async fn take_flash(db: &Db, session: &Session) -> Result<Option<Flash>, DbErr> {
    if !session.has_flash {
        return Ok(None);
    }
    let text = store::take_flash(db, &session.id).await?;
    Ok(serde_json::from_str(&text).ok())
}

/// Deletes what is over: dead sessions, dead links, forgotten failures.
pub async fn purge(db: &Db, clock: &Clock) -> Result<(), DbErr> {
    let now = clock.now_ms();
    store::purge_sessions(db.write(), now, now - IDLE_MS).await?;
    store::purge_links(db.write(), now).await?;
    store::purge_email_changes(db.write(), now).await?;
    store::purge_steps(db.write(), now).await?;
    brake::purge(db, now).await
}

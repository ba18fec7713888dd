//! Looking again: while somebody works here, their provider is asked from time to time whether they are still one of its
//! people, with what it gave for that: a refresh token, or the right to ask userinfo.
//!
//! A clear no ends the session, and its person is told why. A provider that cannot be asked locks nobody out: for
//! [`GRACE_MS`] everybody goes on, and the provider's page says so.

use secrecy::SecretString;
use serde_json::Value;

use super::discovery;
use super::error::{DbErr, Fault, SsoError};
use super::logout;
use super::model::{IdentityProvider, Kept};
use super::store::{self, checks};
use super::{strict, token};
use crate::ctx::Ctx;
use crate::trouble::Trouble;

/// How long after the last yes a session goes on although the provider cannot be asked.
pub const GRACE_MS: i64 = 2 * 3_600_000;
/// When to try again while it cannot be asked.
const AGAIN_MS: i64 = 5 * 60_000;
/// While one request asks, no other does.
pub(super) const ASKING_MS: i64 = 60_000;
/// How long a person can learn why their session ended.
pub(super) const ENDINGS_MS: i64 = 24 * 3_600_000;

/// The provider signed somebody out.
pub(super) const SIGNED_OUT: &str = "signed_out_at_provider";
/// The provider does not vouch for somebody any more.
const REFUSED: &str = "refused_by_provider";
/// The provider was silent for too long.
const SILENT: &str = "provider_silent";

/// What a provider says of somebody.
enum Word {
    /// Yes; and what to ask with next time.
    Yes(Kept),
    /// Not any more.
    No,
    /// There is nothing left to ask with.
    Nothing,
    /// It could not be asked.
    Silence(Fault),
}

/// The pace of a provider, milliseconds; 0 for never.
pub(super) fn pace(provider: &IdentityProvider) -> i64 {
    provider.policy.recheck_minutes.max(0) * 60_000
}

/// Asks the provider of a session again, if that is due. False if the session is over.
///
/// # Errors
/// Something of ours failed.
pub async fn still_vouched(ctx: &Ctx, session_id: &str) -> Result<bool, SsoError> {
    let now = ctx.clock.now_ms();
    if !checks::is_due(ctx.db.read(), session_id, now).await? {
        return Ok(true);
    }
    let Some(due) = checks::take(ctx.db.write(), session_id, now, now + ASKING_MS).await? else {
        return Ok(true);
    };
    let Some(provider) = store::one(ctx.db.read(), &due.provider_id).await? else {
        return Ok(true);
    };
    match ask(ctx, &provider, session_id, &due).await? {
        Word::Yes(kept) => {
            let next = Some(now + pace(&provider));
            checks::passed(ctx, session_id, &due, &kept, now, next).await?;
            Ok(true)
        }
        Word::Nothing => {
            checks::passed(ctx, session_id, &due, &Kept::default(), due.checked_at, None).await?;
            Ok(true)
        }
        Word::No => end(ctx, &provider, session_id, REFUSED).await,
        Word::Silence(fault) if now - due.checked_at >= GRACE_MS => {
            tracing::warn!(provider = %provider.id, code = %fault.trouble.code, "a session ended: its provider was silent for too long");
            end(ctx, &provider, session_id, SILENT).await
        }
        Word::Silence(fault) => {
            tracing::warn!(
                provider = %provider.id,
                code = %fault.trouble.code,
                "an identity provider cannot be asked again about somebody; they go on for now: {}", fault.trouble.cause
            );
            checks::failed(ctx, session_id, now, now + pace(&provider).min(AGAIN_MS)).await?;
            Ok(true)
        }
    }
}

async fn ask(
    ctx: &Ctx,
    provider: &IdentityProvider,
    session_id: &str,
    due: &checks::Due,
) -> Result<Word, SsoError> {
    let metadata = match discovery::metadata(ctx, provider).await {
        Ok(metadata) => metadata,
        Err(fault) => return Ok(Word::Silence(fault)),
    };
    // Sealed with a key that is gone: nothing to ask with.
    if let Some(refresh_token) = due.refresh_token(ctx, session_id).ok().flatten() {
        let refreshed = match token::refresh(ctx, provider, &metadata, &refresh_token).await {
            Ok(answer) => answer,
            // Our own secret does not open: no more the person's fault than a provider that is down.
            Err(SsoError::Seal(error)) => Err(Fault::new(
                "secret_sealed",
                format!("The client secret kept for this provider does not open: {error}."),
                "Give Mailgrant the key it was sealed with, or enter the secret anew.",
            )),
            Err(error) => return Err(error),
        };
        return Ok(match refreshed {
            Ok((id_token, _)) if id_token.as_ref().is_some_and(|token| !is_about(token, due)) => Word::No,
            Ok((_, kept)) => Word::Yes(Kept {
                refresh_token: kept.refresh_token.or(Some(refresh_token)),
                ..kept
            }),
            Err(fault) if fault.trouble.code == "invalid_grant" => Word::No,
            // What is wrong with our client is not the person's fault.
            Err(fault) => Word::Silence(fault),
        });
    }
    let access_token = due.access_token(ctx, session_id).ok().flatten();
    let lives = due.access_expires_at.is_some_and(|end| end > ctx.clock.now_ms());
    let Some(access_token) = access_token.filter(|_| lives && !metadata.userinfo_endpoint.is_empty()) else {
        return Ok(Word::Nothing);
    };
    Ok(
        match token::userinfo(ctx, &metadata, &access_token, &due.subject).await {
            Ok(_) => Word::Yes(Kept {
                access_token: Some(access_token),
                access_expires_at: due.access_expires_at,
                ..Kept::default()
            }),
            Err(fault) if is_no(&fault) => Word::No,
            Err(fault) => Word::Silence(fault),
        },
    )
}

/// Whether userinfo refused a token that should be good still, or speaks of somebody else.
fn is_no(fault: &Fault) -> bool {
    matches!(
        fault.trouble.code.as_str(),
        "invalid_token" | "token_refused" | "userinfo_of_somebody_else"
    )
}

/// Whether an ID token that came with a refresh is about the same person (OpenID Connect Core, section 12.2). It came from
/// the token endpoint itself, so nobody else can have written it.
fn is_about(id_token: &SecretString, due: &checks::Due) -> bool {
    let parts = strict::parts(secrecy::ExposeSecret::expose_secret(id_token));
    parts.is_some_and(|parts| {
        let said = |name: &str| parts.claims.get(name).and_then(Value::as_str);
        said("sub") == Some(&due.subject) && said("iss") == Some(&due.issuer)
    })
}

async fn end(ctx: &Ctx, provider: &IdentityProvider, session_id: &str, code: &str) -> Result<bool, SsoError> {
    let tx = ctx.db.begin().await?;
    let user_id = store::people::user_of_session(&tx, session_id).await?;
    if let Some(user_id) = user_id {
        logout::end_one(ctx, &tx, provider, (session_id, &user_id), code).await?;
    }
    tx.commit().await?;
    Ok(false)
}

/// Why a session that is over ended, as long as that is known: for its person, who comes back with its cookie.
///
/// # Errors
/// The database.
pub async fn why_ended(ctx: &Ctx, session_id: &str) -> Result<Option<Trouble>, DbErr> {
    let found = checks::ending(ctx.db.read(), session_id).await?;
    Ok(found.map(|(name, code)| {
        let (cause, remedy) = match code.as_str() {
            SIGNED_OUT => (
                format!("You signed out at {name}, or somebody ended your session there; so it ended here, too."),
                "Sign in again to go on.".to_owned(),
            ),
            SILENT => (
                format!("{name} could not be asked for two hours whether you may still work here."),
                format!("Sign in again as soon as {name} works. An administrator can let people in another way."),
            ),
            _ => (
                format!("{name} does not vouch for you any more: your session there is over, or your account was taken away."),
                format!("Sign in again. If {name} does not let you in, ask its administrator about your account there."),
            ),
        };
        Trouble::new(code, cause, remedy)
    }))
}

/// How looking again goes at a provider: at how many sessions, and since when it does not answer.
///
/// # Errors
/// The database.
pub async fn standing(ctx: &Ctx, provider_id: &str) -> Result<(i64, Option<i64>), DbErr> {
    checks::standing(ctx.db.read(), provider_id).await
}

/// Tells the provider that what it gave for a session is of no use any more (RFC 7009). Nobody waits for it, and nothing
/// depends on it: what is ours is deleted with the session.
pub async fn give_back(ctx: &Ctx, session_id: &str) {
    let Ok(Some(kept)) = checks::kept(ctx.db.read(), session_id).await else {
        return;
    };
    let Ok(Some(refresh_token)) = kept.refresh_token(ctx, session_id) else {
        return;
    };
    let ctx = ctx.clone();
    ctx.tasks.clone().spawn(async move {
        let Ok(Some(provider)) = store::one(ctx.db.read(), &kept.provider_id).await else {
            return;
        };
        let told = match discovery::metadata(&ctx, &provider).await {
            Ok(metadata) if metadata.revocation_endpoint.is_empty() => return,
            Ok(metadata) => token::revoke(&ctx, &provider, &metadata, &refresh_token).await,
            Err(fault) => Ok(Err(fault)),
        };
        match told {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::info!(provider = %provider.id, "a token could not be given back: {}", fault.trouble.cause),
            Err(error) => tracing::warn!(provider = %provider.id, "a token could not be given back: {error}"),
        }
    });
}

/// What the provider gave, as far as it is kept: nothing where nobody looks again. Also when the first look is due.
pub(super) fn keep(
    provider: &IdentityProvider,
    kept: &Kept,
    now: i64,
    has_userinfo: bool,
) -> (Kept, Option<i64>) {
    let pace = pace(provider);
    let first = now + pace;
    let by_userinfo =
        has_userinfo && kept.access_token.is_some() && kept.access_expires_at.is_some_and(|end| end > first);
    if pace == 0 || (kept.refresh_token.is_none() && !by_userinfo) {
        return (Kept::default(), None);
    }
    (kept.clone(), Some(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_asked_with_is_kept() {
        let provider = |minutes| {
            let mut provider = crate::sso::model::tests::provider();
            provider.policy.recheck_minutes = minutes;
            provider
        };
        let token = || Some(SecretString::from("t".to_owned()));
        let given = |refresh: bool, seconds: Option<i64>| Kept {
            refresh_token: token().filter(|_| refresh),
            access_token: token(),
            access_expires_at: seconds.map(|seconds| seconds * 1000),
        };
        let first = |minutes, kept: Kept, has_userinfo| keep(&provider(minutes), &kept, 0, has_userinfo).1;
        assert_eq!(first(15, given(true, None), false), Some(900_000));
        assert_eq!(first(15, given(false, Some(3_600)), true), Some(900_000));
        assert_eq!(
            first(15, given(false, Some(600)), true),
            None,
            "over before the first look"
        );
        assert_eq!(
            first(15, given(false, None), true),
            None,
            "nobody knows whether a no means anything"
        );
        assert_eq!(first(15, given(false, Some(3_600)), false), None);
        assert_eq!(first(0, given(true, Some(3_600)), true), None);
        let (kept, _) = keep(&provider(0), &given(true, None), 0, true);
        assert!(
            kept.refresh_token.is_none() && kept.access_token.is_none(),
            "and nothing is stored"
        );
    }
}

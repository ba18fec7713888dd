//! Hashing beside the runtime: on blocking threads, two at a time, so that sign-ins cannot take all CPUs.

use std::sync::{Arc, LazyLock};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::error::{AccountError, MAX_PASSWORD_CHARS};
use super::guessable::is_guessable;
use crate::crypto::{self, MIN_PASSWORD_CHARS};

static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// A hash that no password matches, made once: unknown accounts cost the same work as known ones.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    crypto::hash_password(&SecretString::from(crypto::random_token(32))).unwrap_or_default()
});

/// Who and what a password is for: words that must not be all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    /// Address of the account.
    pub(super) email: &'a str,
    /// Name of the person.
    pub(super) name: &'a str,
    /// Host of this site; may be empty.
    pub(super) host: &'a str,
}

/// Refuses passwords that are too short, too long, or among the first that somebody would try.
pub(super) fn check(password: &SecretString, around: Around<'_>) -> Result<(), AccountError> {
    let text = crypto::normal_password(password);
    let text = text.expose_secret();
    let length = text.chars().take(MAX_PASSWORD_CHARS + 1).count();
    if length < MIN_PASSWORD_CHARS {
        return Err(AccountError::ShortPassword);
    }
    if length > MAX_PASSWORD_CHARS {
        return Err(AccountError::LongPassword);
    }
    let lower = text.to_lowercase();
    if lower == around.email.to_lowercase() || lower == around.name.to_lowercase() {
        return Err(AccountError::GuessablePassword);
    }
    if is_guessable(text, &[around.email, around.name, around.host, "mailgrant"]) {
        return Err(AccountError::CommonPassword);
    }
    Ok(())
}

pub(super) async fn hash(password: &SecretString) -> Result<String, AccountError> {
    let password = password.clone();
    blocking(move || crypto::hash_password(&password))
        .await?
        .ok_or(AccountError::Hashing)
}

/// Whether a password matches; `None` stands for an account that does not exist and takes as long.
pub(super) async fn verify(password: &SecretString, stored: Option<String>) -> Result<bool, AccountError> {
    if password
        .expose_secret()
        .chars()
        .take(MAX_PASSWORD_CHARS + 1)
        .count()
        > MAX_PASSWORD_CHARS
    {
        return Ok(false);
    }
    let password = password.clone();
    blocking(move || {
        let known = stored.is_some();
        let hash = stored.unwrap_or_else(|| NOBODY.clone());
        crypto::verify_password(&password, &hash) && known
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AccountError> {
    let _permit = AT_ONCE
        .clone()
        .acquire_owned()
        .await
        .map_err(|_| AccountError::Hashing)?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| AccountError::Hashing)
}

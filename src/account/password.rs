//! Hashing beside the runtime: on blocking threads, two at a time, so that sign-ins cannot take all CPUs.

use std::sync::{Arc, LazyLock};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::error::{AccountError, MAX_PASSWORD_CHARS};
use crate::crypto::{self, MIN_PASSWORD_CHARS};

static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// A hash that no password matches, made once: unknown accounts cost the same work as known ones.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    crypto::hash_password(&SecretString::from(crypto::random_token(32))).unwrap_or_default()
});

/// Refuses passwords that are too short, too long, or the account's own name.
pub(super) fn check(password: &SecretString, email: &str, name: &str) -> Result<(), AccountError> {
    let text = password.expose_secret();
    let length = text.chars().take(MAX_PASSWORD_CHARS + 1).count();
    if length < MIN_PASSWORD_CHARS {
        return Err(AccountError::ShortPassword);
    }
    if length > MAX_PASSWORD_CHARS {
        return Err(AccountError::LongPassword);
    }
    let lower = text.to_lowercase();
    if lower == email.to_lowercase() || lower == name.to_lowercase() {
        return Err(AccountError::GuessablePassword);
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

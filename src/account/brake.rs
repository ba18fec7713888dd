//! The brake on guessing passwords: waits that grow, per account and address, without telling whether the account
//! exists.
//!
//! An attempt is counted before the password is looked at, so that a hundred guesses at once count as a hundred; a
//! right password takes its own count back.

use sea_orm::DbErr;

use super::error::AccountError;
use super::store;
use crate::crypto::sha256_hex;
use crate::db::Db;

/// How one kind of subject is slowed down.
struct Limit {
    prefix: &'static str,
    /// Failures that cost nothing.
    free: i64,
    /// Longest wait, seconds.
    longest: i64,
}

impl Limit {
    /// Seconds to wait after this many failures: 1, 2, 4, …
    fn wait(&self, failures: i64) -> Option<i64> {
        let over = u32::try_from(failures - self.free).ok()?;
        Some((1_i64 << over.min(20)).min(self.longest))
    }
}

/// One account from one address: what a person who forgot a password meets.
const PAIR: Limit = Limit {
    prefix: "pair",
    free: 5,
    longest: 900,
};
/// One address against any account.
const ADDRESS: Limit = Limit {
    prefix: "address",
    free: 20,
    longest: 900,
};
/// One account from any address. Short waits: nobody can keep somebody else out for long.
const ACCOUNT: Limit = Limit {
    prefix: "account",
    free: 50,
    longest: 30,
};

/// Failures older than this are forgotten.
const MEMORY_MS: i64 = 24 * 3_600_000;

/// An attempt that was counted.
pub(super) struct Attempt {
    subjects: [(&'static Limit, String); 3],
}

impl Attempt {
    pub(super) fn new(email: &str, address: &str) -> Self {
        let hash = |text: &str| sha256_hex(text.as_bytes());
        Self {
            subjects: [
                (
                    &PAIR,
                    format!("{}:{}", PAIR.prefix, hash(&format!("{email}\n{address}"))),
                ),
                (&ADDRESS, format!("{}:{}", ADDRESS.prefix, hash(address))),
                (&ACCOUNT, format!("{}:{}", ACCOUNT.prefix, hash(email))),
            ],
        }
    }

    /// Counts the attempt, or refuses it uncounted while a wait is running.
    pub(super) async fn begin(&self, db: &Db, now: i64) -> Result<(), AccountError> {
        let tx = db.begin().await?;
        for (limit, subject) in &self.subjects {
            let (failures, blocked_until) = store::count_failure(&tx, subject, now, now - MEMORY_MS).await?;
            if blocked_until > now {
                tx.rollback().await?;
                return Err(AccountError::TooManyAttempts {
                    retry_after: (blocked_until - now + 999) / 1000,
                });
            }
            if let Some(seconds) = limit.wait(failures) {
                store::block(&tx, subject, now + seconds * 1000).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// The password was right: this account starts anew, the address gets its one attempt back.
    pub(super) async fn succeeded(&self, db: &Db) -> Result<(), DbErr> {
        let tx = db.begin().await?;
        for (limit, subject) in &self.subjects {
            if limit.prefix == ADDRESS.prefix {
                store::give_attempt_back(&tx, subject).await?;
            } else {
                store::forget_failures(&tx, subject).await?;
            }
        }
        tx.commit().await
    }
}

/// Forgets old failures.
pub(super) async fn purge(db: &Db, now: i64) -> Result<(), DbErr> {
    store::purge_failures(db.write(), now - MEMORY_MS).await
}

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
use crate::net::network_of;

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

/// Codes of one account from one address, and from anywhere: who guesses these knows the password already.
const CODE_PAIR: Limit = Limit {
    prefix: "code pair",
    free: 4,
    longest: 900,
};
const CODE: Limit = Limit {
    prefix: "code",
    free: 8,
    longest: 900,
};
/// Mails with a link for a new password, by who asks and to whom they go.
const RESET_ADDRESS: Limit = Limit {
    prefix: "reset address",
    free: 10,
    longest: 900,
};
const RESET: Limit = Limit {
    prefix: "reset",
    free: 3,
    longest: 3_600,
};

/// Failures older than this are forgotten.
const MEMORY_MS: i64 = 24 * 3_600_000;

/// An attempt that was counted.
pub(super) struct Attempt {
    subjects: Vec<(&'static Limit, String)>,
}

impl Attempt {
    pub(super) fn new(email: &str, address: &str) -> Self {
        let address = &network_of(address);
        Self::of(&[
            (&PAIR, &format!("{email}\n{address}")),
            (&ADDRESS, address),
            (&ACCOUNT, email),
        ])
    }

    /// An attempt with a code of a second factor.
    pub(super) fn for_code(user_id: &str, address: &str) -> Self {
        let address = &network_of(address);
        Self::of(&[(&CODE_PAIR, &format!("{user_id}\n{address}")), (&CODE, user_id)])
    }

    /// Somebody asks for a link for a new password.
    pub(super) fn for_reset(address: &str) -> Self {
        let address = &network_of(address);
        Self::of(&[(&RESET_ADDRESS, address)])
    }

    /// A mail with such a link goes to somebody.
    pub(super) fn for_reset_of(user_id: &str) -> Self {
        Self::of(&[(&RESET, user_id)])
    }

    fn of(subjects: &[(&'static Limit, &str)]) -> Self {
        let named = |(limit, text): &(&'static Limit, &str)| {
            let hash = sha256_hex(text.as_bytes());
            (*limit, format!("{}:{hash}", limit.prefix))
        };
        Self {
            subjects: subjects.iter().map(named).collect(),
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

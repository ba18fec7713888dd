//! The place of each event in the log.
//!
//! A reader keeps the last place it has seen and asks for what comes after it. That loses an event if a place is given
//! before the commit: transactions commit in another order than they number their events in, and a reader that saw 7
//! never looks back for 6. So on PostgreSQL places are given after the commit, here: whoever wants to read locks the
//! one row of `event_log`, numbers all committed events that have no place yet, and commits. The lock makes it one at a
//! time, in every process; nobody has to be elected, and a process that dies in between leaves nothing behind. A
//! statement sees all that was committed before it began, and it begins after the lock, so places become visible in
//! their order without a gap that could be filled later.
//!
//! Among the events of one round the order is that of appending (`arrival`): whoever waited for a lock that another
//! transaction held (a ticket's, a project's) appended later than that one. On SQLite a trigger does all this in the
//! writing transaction, since there is only one at a time.

use sea_orm::DbErr;

use super::Cursor;
use super::store::{self, Extent};
use crate::db::Db;

/// Events that get their place in one transaction.
const ROUND: i64 = 2_000;

/// Gives every committed event its place, and returns the end of the log.
pub async fn advance(db: &Db) -> Result<i64, DbErr> {
    loop {
        let (last, is_complete) = store::end(db.read(), db.is_postgres()).await?;
        if is_complete {
            return Ok(last);
        }
        let txn = db.begin().await?;
        let last = store::lock_log(&txn).await?;
        let placed = store::place(&txn, last, ROUND).await?;
        txn.commit().await?;
        if placed < ROUND {
            return Ok(last + placed);
        }
    }
}

/// Where the log begins and ends.
pub async fn extent(db: &Db) -> Result<(Cursor, Cursor), DbErr> {
    let Extent { floor, last } = store::extent(db.read()).await?;
    Ok((floor, last))
}

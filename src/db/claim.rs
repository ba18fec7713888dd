//! Claims: one statement that hands a due row to one holder, with a number that grows with every claim.
//!
//! Mailbox leases, token refreshes and jobs all go through here. Every later write of the holder carries the number
//! (`WHERE lease_no = mine`), so a holder that was asleep and lost its lease changes nothing.

use sea_orm::{ConnectionTrait, DbErr, Value};

use super::{Db, sql};

/// What to claim: a table with the columns `lease_holder`, `lease_no` and `lease_until`, and which rows are due.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Table name, a constant of ours.
    pub table: &'a str,
    /// Primary key column, a constant of ours.
    pub key: &'a str,
    /// Condition of due rows, a constant of ours, with `$4` for the current time in milliseconds.
    pub due: &'a str,
    /// Who claims: unique per process.
    pub holder: &'a str,
    /// The current time in milliseconds.
    pub now: i64,
    /// How long the lease lasts, milliseconds.
    pub lasts: i64,
    /// How many rows at most.
    pub limit: u32,
}

/// A row that is ours for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Primary key of the row.
    pub id: String,
    /// The fencing number: writes under this lease say `WHERE lease_no = number`.
    pub number: i64,
}

/// Claims due rows, the longest waiting first.
pub async fn claim(db: &Db, claim: &Claim<'_>) -> Result<Vec<Lease>, DbErr> {
    claim_where(db, claim, None).await
}

/// Claims one row by its key, if it is due and nobody holds it.
pub async fn claim_one(db: &Db, claim: &Claim<'_>, id: &str) -> Result<Option<Lease>, DbErr> {
    Ok(claim_where(db, claim, Some(id)).await?.pop())
}

async fn claim_where(db: &Db, claim: &Claim<'_>, id: Option<&str>) -> Result<Vec<Lease>, DbErr> {
    let skip_locked = if db.is_postgres() {
        "FOR UPDATE SKIP LOCKED"
    } else {
        ""
    };
    let only = if id.is_some() {
        format!("{} = $5 AND", claim.key)
    } else {
        String::new()
    };
    let text = format!(
        "UPDATE {table} SET lease_holder = $1, lease_no = lease_no + 1, lease_until = $2 \
         WHERE {key} IN (SELECT {key} FROM {table} WHERE {only} lease_until <= $4 AND ({due}) \
         ORDER BY lease_until LIMIT $3 {skip_locked}) RETURNING {key} AS id, lease_no AS number",
        table = claim.table,
        key = claim.key,
        due = claim.due,
    );
    let mut values: Vec<Value> = vec![
        claim.holder.into(),
        (claim.now + claim.lasts).into(),
        i64::from(claim.limit).into(),
        claim.now.into(),
    ];
    values.extend(id.map(Value::from));
    let rows = db.write().query_all_raw(sql(db.write(), &text, values)).await?;
    rows.iter()
        .map(|row| {
            Ok(Lease {
                id: row.try_get("", "id")?,
                number: row.try_get("", "number")?,
            })
        })
        .collect()
}

/// Prolongs a lease until `until` (milliseconds); false if it is no longer ours.
pub async fn extend(db: &Db, table: &str, key: &str, lease: &Lease, until: i64) -> Result<bool, DbErr> {
    let text = format!("UPDATE {table} SET lease_until = $1 WHERE {key} = $2 AND lease_no = $3");
    let values: [Value; 3] = [until.into(), lease.id.clone().into(), lease.number.into()];
    Ok(db
        .write()
        .execute_raw(sql(db.write(), &text, values))
        .await?
        .rows_affected()
        == 1)
}

/// Gives a lease back at once; nothing happens if it is no longer ours.
pub async fn release(db: &Db, table: &str, key: &str, lease: &Lease) -> Result<(), DbErr> {
    extend(db, table, key, lease, 0).await.map(|_| ())
}

/// Ends every claim of a node's earlier processes, whose holders' names begin with the node's.
pub async fn release_claims_of(db: &Db, node: &str) -> Result<(), DbErr> {
    for table in [
        "mailboxes",
        "grants",
        "job_runs",
        "webhooks",
        "outgoing_mails",
        "idempotency_keys",
    ] {
        let text = format!(
            "UPDATE {table} SET lease_until = 0, lease_no = lease_no + 1 \
             WHERE lease_until > 0 AND SUBSTR(lease_holder, 1, {}) = $1",
            node.len() + 1
        );
        db.write()
            .execute_raw(sql(db.write(), &text, [format!("{node}/").into()]))
            .await?;
    }
    Ok(())
}

//! Requests that happen once, however often they are sent (`Idempotency-Key`).
//!
//! A key is remembered for 24 hours under who sent it and for which route, with a fingerprint of the request and, sealed,
//! the answer. While the work runs the row is leased, so that N nodes agree on who does it; a node that dies frees its
//! rows when it starts again, or when their leases run out. Refusals are not remembered: they changed nothing, and the
//! same key may be used for the corrected request. Work that ended nobody knows how is taken over by whoever repeats the
//! request; what must not happen twice even then is stored under [`Turn::once`] by the transaction that does it. Of
//! everything else the audit log knows what the request before made ([`made_before`]).

mod store;

use sea_orm::{ConnectionTrait, DbErr};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::clock::Clock;
use crate::crypto::{Place, SealError, sha256_hex};
use crate::ctx::Ctx;
use store::Row;

/// How long an answer is given again.
const KEPT_MS: i64 = 24 * 3_600_000;
/// How long a request may run until somebody else may take it over.
const LEASE_MS: i64 = 120_000;

/// Why a key could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum IdempotencyError {
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
    /// The remembered answer does not open.
    #[error("a remembered answer: {0}")]
    Sealed(#[from] SealError),
    /// The remembered answer is not in its form.
    #[error("a remembered answer: {0}")]
    Form(#[from] serde_json::Error),
}

/// An answer as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The headers worth repeating.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// The right to do the work of a key.
#[derive(Clone, Debug)]
pub struct Turn {
    id: String,
    lease_no: i64,
    began_at: i64,
    /// The request that did this work before and ended nobody knows how; empty if there was none.
    before: String,
}

impl Turn {
    /// A name of this piece of work: the same whoever takes it over, and another one once the key is forgotten.
    pub fn once(&self) -> String {
        format!("{}.{}", self.id, self.began_at)
    }
}

/// What a key means now.
#[derive(Debug)]
pub enum Begun {
    /// Nobody did it yet, as far as is known: do it, then [`finish`], [`give_back`] or [`let_go`].
    Mine(Turn),
    /// It was done; this was the answer.
    Done(Answer),
    /// Somebody does it right now; seconds until it may be taken over.
    InFlight(i64),
    /// The key belongs to another request.
    OtherRequest,
}

/// Begins the work of a key. `owner` is who sent it, `route` what for, `request` covers the whole request, and
/// `request_id` names it in the audit log.
pub async fn begin(
    ctx: &Ctx,
    owner: &str,
    route: &str,
    key: &str,
    request: &[&[u8]],
    request_id: &str,
) -> Result<Begun, IdempotencyError> {
    let id = digest(&[owner.as_bytes(), route.as_bytes(), key.as_bytes()]);
    let fingerprint = digest(request);
    let now = ctx.clock.now_ms();
    let until = now + LEASE_MS;
    let mine = |lease_no, began_at, before: &str| {
        Begun::Mine(Turn {
            id: id.clone(),
            lease_no,
            began_at,
            before: before.to_owned(),
        })
    };
    let mut new = store::Claimed {
        fingerprint: &fingerprint,
        began_at: now,
        holder: &ctx.holder,
        until,
        request_id,
    };
    if store::insert(ctx.db.write(), &id, &new).await? {
        return Ok(mine(0, now, ""));
    }
    // Read where it was written: a replica or an older snapshot might not have it yet.
    let Some(row) = store::get(ctx.db.write(), &id).await? else {
        // It ended in this very moment; whoever asks again finds a clear field.
        return Ok(Begun::InFlight(1));
    };
    let is_over = row.created_at + KEPT_MS <= now;
    if !is_over && row.fingerprint != fingerprint {
        return Ok(Begun::OtherRequest);
    }
    if !is_over && !row.answer_sealed.is_empty() {
        return Ok(Begun::Done(open(ctx, &row)?));
    }
    if row.lease_until > now {
        return Ok(Begun::InFlight((row.lease_until - now + 999) / 1000));
    }
    let mut before = "";
    if !is_over {
        // Until it is known that the request before made nothing: see [`made_before`].
        before = &row.request_id;
        new.request_id = before;
        new.began_at = row.created_at;
    }
    let taken = store::take_over(ctx.db.write(), &row, &new).await?;
    Ok(if taken {
        mine(row.lease_no + 1, new.began_at, before)
    } else {
        Begun::InFlight(1)
    })
}

/// What was made by work that is taken over, before its answer was lost: the kind and the id of a thing that would be there
/// twice if the work were done again. The key is left to whoever repeats the request, who is told the same. The audit log
/// knows it, for it is noted by the transaction that makes a thing; so no creation has to think of it.
///
/// `None` if nothing was made, or by work that keeps it under its own name and finds it: then this request does the work.
pub async fn made_before(
    ctx: &Ctx,
    turn: &Turn,
    request_id: &str,
) -> Result<Option<(String, String)>, IdempotencyError> {
    if turn.before.is_empty() {
        return Ok(None);
    }
    let on = ctx.db.write();
    if store::made_by(on, &turn.once()).await?.is_none()
        && let Some(made) = audit::made_by_request(on, &turn.before, turn.began_at).await?
    {
        store::let_go(on, &turn.id, turn.lease_no).await?;
        return Ok(Some(made));
    }
    store::set_out(on, &turn.id, turn.lease_no, request_id).await?;
    Ok(None)
}

/// Remembers the answer of the work.
pub async fn finish(ctx: &Ctx, turn: &Turn, answer: &Answer) -> Result<(), IdempotencyError> {
    let text = SecretString::from(serde_json::to_string(answer)?);
    let sealed = ctx.keys.seal(&place(&turn.id), &text);
    Ok(store::finish(ctx.db.write(), &turn.id, turn.lease_no, &sealed).await?)
}

/// Forgets a key whose work was refused: nothing was changed.
pub async fn give_back(ctx: &Ctx, turn: &Turn) -> Result<(), IdempotencyError> {
    Ok(store::delete(ctx.db.write(), &turn.id, turn.lease_no).await?)
}

/// Leaves a key to whoever repeats the request: the work failed, and it is not known how far it came.
pub async fn let_go(ctx: &Ctx, turn: &Turn) -> Result<(), IdempotencyError> {
    Ok(store::let_go(ctx.db.write(), &turn.id, turn.lease_no).await?)
}

/// What the work of this name made, if it came that far: whoever repeats it gets that.
pub async fn made_by<C: ConnectionTrait>(on: &C, once: Option<&str>) -> Result<Option<String>, DbErr> {
    match once {
        Some(once) => store::made_by(on, once).await,
        None => Ok(None),
    }
}

/// Notes what the work of this name made, in the transaction that makes it. The name is there once.
pub async fn note_made<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    once: Option<&str>,
    id: &str,
) -> Result<(), DbErr> {
    match once {
        Some(once) => store::note_made(on, once, id, clock.now_ms()).await,
        None => Ok(()),
    }
}

/// Throws away what nobody can ask for any more.
pub async fn purge(ctx: &Ctx) -> Result<(), DbErr> {
    store::purge(ctx.db.write(), ctx.clock.now_ms() - KEPT_MS).await
}

fn open(ctx: &Ctx, row: &Row) -> Result<Answer, IdempotencyError> {
    let text = ctx.keys.open(&place(&row.id), &row.answer_sealed)?;
    Ok(serde_json::from_str(text.expose_secret())?)
}

fn place(id: &str) -> Place<'_> {
    Place {
        table: "idempotency_keys",
        column: "answer_sealed",
        row: id,
    }
}

/// One digest of several parts; lengths in front, so that no two lists of parts share one.
fn digest(parts: &[&[u8]]) -> String {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    sha256_hex(&all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::tests::place as test_place;
    use crate::db::release_claims_of;

    fn answer() -> Answer {
        Answer {
            status: 201,
            headers: vec![("location".into(), "/x".into())],
            body: "{\"secret\":\"s3cr3t\"}".into(),
        }
    }

    async fn ask(ctx: &Ctx, key: &str, body: &str) -> Begun {
        begin(ctx, "tok_1", "POST /x", key, &[body.as_bytes()], "req_1")
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_key_is_used_once_and_its_answer_is_sealed() {
        let place = test_place().await;
        let ctx = &place.ctx;
        let Begun::Mine(turn) = ask(ctx, "k", "a").await else {
            panic!("it is new");
        };
        assert!(matches!(ask(ctx, "k", "a").await, Begun::InFlight(120)));
        assert!(matches!(ask(ctx, "k", "b").await, Begun::OtherRequest));
        assert!(matches!(ask(ctx, "other", "a").await, Begun::Mine(_)));
        finish(ctx, &turn, &answer()).await.unwrap();
        let row = store::get(ctx.db.read(), &turn.id).await.unwrap().unwrap();
        assert!(row.answer_sealed.starts_with("mg1."), "{}", row.answer_sealed);
        let Begun::Done(told) = ask(ctx, "k", "a").await else {
            panic!("it was done");
        };
        assert_eq!(told, answer());
        assert!(matches!(ask(ctx, "k", "b").await, Begun::OtherRequest));
        place.ctx.clock.advance(chrono::Duration::milliseconds(KEPT_MS));
        assert!(matches!(ask(ctx, "k", "b").await, Begun::Mine(_)));
    }

    #[tokio::test]
    async fn a_key_belongs_to_who_sent_it_and_to_what_for() {
        let place = test_place().await;
        let ask = async |owner, route| {
            begin(&place.ctx, owner, route, "k", &[b"a"], "req_1")
                .await
                .unwrap()
        };
        let Begun::Mine(turn) = ask("tok_1", "POST /x").await else {
            panic!("it is new");
        };
        finish(&place.ctx, &turn, &answer()).await.unwrap();
        for (owner, route) in [("tok_2", "POST /x"), ("tok_1", "POST /y"), ("tok_", "1POST /x")] {
            let begun = ask(owner, route).await;
            assert!(matches!(begun, Begun::Mine(_)), "{owner}, {route}: {begun:?}");
        }
        assert!(matches!(ask("tok_1", "POST /x").await, Begun::Done(_)));
    }

    #[tokio::test]
    async fn a_refused_request_leaves_its_key_free() {
        let place = test_place().await;
        let Begun::Mine(turn) = ask(&place.ctx, "k", "a").await else {
            panic!("it is new");
        };
        give_back(&place.ctx, &turn).await.unwrap();
        assert!(matches!(ask(&place.ctx, "k", "b").await, Begun::Mine(_)));
    }

    #[tokio::test]
    async fn work_that_failed_is_taken_over_under_the_same_name() {
        let place = test_place().await;
        let ctx = &place.ctx;
        let Begun::Mine(failed) = ask(ctx, "k", "a").await else {
            panic!("it is new");
        };
        ctx.clock.advance(chrono::Duration::seconds(1));
        let_go(ctx, &failed).await.unwrap();
        assert!(matches!(ask(ctx, "k", "b").await, Begun::OtherRequest));
        let Begun::Mine(again) = ask(ctx, "k", "a").await else {
            panic!("it may be taken over");
        };
        assert_eq!(again.once(), failed.once());
        assert_eq!((failed.before.as_str(), again.before.as_str()), ("", "req_1"));
        ctx.clock.advance(chrono::Duration::milliseconds(KEPT_MS));
        let Begun::Mine(later) = ask(ctx, "k", "a").await else {
            panic!("it is forgotten");
        };
        assert_ne!(later.once(), failed.once());
    }

    #[tokio::test]
    async fn whoever_died_in_the_middle_blocks_its_key_for_a_while_only() {
        let mut place = test_place().await;
        place.ctx.holder = "node-a/1".into();
        let Begun::Mine(dead) = ask(&place.ctx, "k", "a").await else {
            panic!("it is new");
        };
        place.ctx.clock.advance(chrono::Duration::milliseconds(LEASE_MS));
        let Begun::Mine(alive) = ask(&place.ctx, "k", "a").await else {
            panic!("it may be taken over");
        };
        // The late one changes nothing any more.
        finish(&place.ctx, &dead, &answer()).await.unwrap();
        give_back(&place.ctx, &dead).await.unwrap();
        assert!(matches!(ask(&place.ctx, "k", "a").await, Begun::InFlight(_)));
        release_claims_of(&place.ctx.db, "node-a").await.unwrap();
        assert!(matches!(ask(&place.ctx, "k", "a").await, Begun::Mine(_)));
        drop(alive);
    }
}

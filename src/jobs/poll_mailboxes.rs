//! Reads mailboxes: one task each, under a lease, so that a broken one never delays another.
//!
//! A task opens a session, takes what is new, and then either waits in IDLE or gives the mailbox back until its
//! schedule says so. Between any two mailboxes nothing is shared but the database's writer and the byte budget.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::ingest_mail::{self, Batch, IngestError};
use crate::access::Projects;
use crate::ctx::Ctx;
use crate::db::Lease;
use crate::event::{self, NewEvent, SYSTEM};
use crate::mailbox::imap::{self, Fetched, IdleOutcome, ImapError, Meta};
use crate::mailbox::{self, Mailbox, OpenError, OpenSession};
use crate::trouble::Trouble;
use crate::{grant, schedule};

/// How often due mailboxes are looked for.
const TICK: Duration = Duration::from_millis(500);

/// How often leases are prolonged; a lease lasts three times as long.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// IDLE is renewed well before the 10 minutes after which Exchange Online goes deaf, and checked by a search each time.
const LONGEST_IDLE: Duration = Duration::from_secs(4 * 60 + 30);

/// Mails and bytes that are fetched before they are stored.
const BATCH_MAILS: usize = 100;
const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// Longest pause after failures, milliseconds.
const LONGEST_PAUSE_MS: i64 = 5 * 60_000;

/// Finds due mailboxes and starts their tasks, until the process stops.
pub(super) async fn run(ctx: Ctx) {
    let room = Arc::new(Semaphore::new(ctx.config.max_connections));
    let mut running: HashMap<String, Signals> = HashMap::new();
    let mut last_heartbeat = tokio::time::Instant::now();
    while !ctx.stop.is_cancelled() {
        if last_heartbeat.elapsed() >= HEARTBEAT {
            last_heartbeat = tokio::time::Instant::now();
            if let Err(error) = mailbox::heartbeat(&ctx.db, &ctx.holder, ctx.clock.now_ms()).await {
                tracing::warn!("leases were not prolonged: {error}");
            }
        }
        let free = u32::try_from(room.available_permits())
            .unwrap_or(u32::MAX)
            .min(50);
        match mailbox::claim_due(&ctx.db, &ctx.holder, ctx.clock.now_ms(), free).await {
            Ok(leases) => {
                for lease in leases {
                    let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                        break;
                    };
                    // Claimed anew while an older task of this process still sits in IDLE: that one has lost.
                    let signals = Signals {
                        stop: ctx.stop.child_token(),
                        wake: Arc::default(),
                    };
                    if let Some(older) = running.insert(lease.id.clone(), signals.clone()) {
                        older.stop.cancel();
                    }
                    start(&ctx, lease, signals, permit);
                }
            }
            Err(error) => tracing::warn!("due mailboxes were not found: {error}"),
        }
        match mailbox::asked(&ctx.db, &ctx.holder, ctx.clock.now_ms()).await {
            Ok(asked) => asked
                .iter()
                .filter_map(|id| running.get(id))
                .for_each(|one| one.wake.notify_one()),
            Err(error) => tracing::warn!("what was asked for was not found: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = ctx.nudge.wait() => {}
            () = ctx.stop.cancelled() => {}
        }
    }
}

/// What a running task listens to.
#[derive(Clone)]
struct Signals {
    /// Its lease has ended, or the process does.
    stop: CancellationToken,
    /// Somebody wants the folder looked at now.
    wake: Arc<Notify>,
}

fn start(ctx: &Ctx, lease: Lease, signals: Signals, permit: OwnedSemaphorePermit) {
    let ctx = ctx.clone();
    let tasks = ctx.tasks.clone();
    tasks.spawn(async move {
        let _permit = permit;
        let next = visit(&ctx, &lease, &signals).await;
        let next = next.unwrap_or_else(|| ctx.clock.now_ms() + 1_000);
        if let Err(error) = mailbox::release(&ctx.db, &lease, next).await {
            tracing::warn!(mailbox = lease.id, "the mailbox was not given back: {error}");
        }
    });
}

/// One visit: from signing in to giving back. Returns when the mailbox is due again.
async fn visit(ctx: &Ctx, lease: &Lease, signals: &Signals) -> Option<i64> {
    let mailbox = match mailbox::get(ctx, &Projects::All, &lease.id).await {
        Ok(mailbox) => mailbox,
        Err(error) => {
            tracing::warn!(
                mailbox = lease.id,
                "the mailbox cannot be read from the database: {error}"
            );
            return Some(ctx.clock.now_ms() + 5_000);
        }
    };
    if let Err(error) = ingest_mail::process(ctx, &mailbox.id).await {
        tracing::warn!(
            mailbox = mailbox.id,
            "waiting messages were not processed: {error}"
        );
    }
    let work = read(ctx, lease, &mailbox, signals);
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = signals.stop.cancelled() => return None,
    };
    match outcome {
        Ok(next) => Some(next),
        Err(VisitError::Lost) => None,
        Err(VisitError::Cut) => Some(ctx.clock.now_ms() + 1_000),
        Err(VisitError::Failed { trouble, pause, .. }) => {
            let pause = pause.unwrap_or_else(|| pause_after(mailbox.failures));
            fail(ctx, lease, &mailbox, &trouble).await;
            Some(ctx.clock.now_ms() + pause)
        }
    }
}

/// Why a visit ended early.
enum VisitError {
    /// Another holder has the mailbox, or its settings changed.
    Lost,
    /// A session that had worked was cut: it is opened again at once, and only a failure to do so is told.
    Cut,
    /// Something a person should see.
    Failed {
        trouble: Trouble,
        /// Milliseconds until the next attempt, where the cause gives them.
        pause: Option<i64>,
        /// It was only the connection that ended.
        is_cut: bool,
    },
}

impl From<DbErr> for VisitError {
    fn from(error: DbErr) -> Self {
        tracing::warn!("database: {error}");
        Self::Failed {
            trouble: Trouble::new(
                "database_unavailable",
                "Mailgrant's own database did not answer.",
                "Look at the database and at Mailgrant's log; reading goes on by itself.",
            ),
            pause: Some(5_000),
            is_cut: false,
        }
    }
}

impl From<IngestError> for VisitError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::LeaseLost => Self::Lost,
            IngestError::Db(error) => error.into(),
        }
    }
}

impl From<OpenError> for VisitError {
    fn from(error: OpenError) -> Self {
        let pause = error.is_throttle().then_some(60_000);
        Self::Failed {
            trouble: error.trouble(),
            pause,
            is_cut: false,
        }
    }
}

fn imap_failed(error: &ImapError) -> VisitError {
    VisitError::Failed {
        trouble: mailbox::trouble_of(error),
        pause: error.is_throttle().then_some(60_000),
        is_cut: is_cut(error),
    }
}

/// Waits 5 s, 10 s, … up to five minutes after failures in a row, a little less or more so that mailboxes spread.
fn pause_after(failures: i64) -> i64 {
    let doublings = u32::try_from(failures.clamp(0, 10)).unwrap_or(0);
    let pause = (5_000_i64 << doublings).min(LONGEST_PAUSE_MS);
    pause * i64::from(80 + rand::random::<u8>() % 41) / 100
}

async fn read(ctx: &Ctx, lease: &Lease, mailbox: &Mailbox, signals: &Signals) -> Result<i64, VisitError> {
    mailbox::begin_look(&ctx.db, lease, next_poll(ctx, mailbox)).await?;
    let mut session = match mailbox::open(ctx, mailbox).await {
        Ok(session) => session,
        Err(error) => {
            if let OpenError::Refused(trouble) = &error {
                grant::note_imap_refusal(ctx, &mailbox.grant_id, trouble)
                    .await
                    .map_err(OpenError::from)?;
            }
            return Err(error.into());
        }
    };
    grant::note_success(ctx, &mailbox.grant_id)
        .await
        .map_err(OpenError::from)?;
    take_what_is_new(ctx, lease, mailbox, &mut session).await?;
    succeed(ctx, lease, mailbox).await?;
    let can_idle = mailbox.idle && session.capabilities().await.is_ok_and(|offered| offered.idle());
    let mut next = next_poll(ctx, mailbox);
    if can_idle {
        next = stay(ctx, lease, mailbox, &mut session, signals).await?;
    }
    session.logout().await;
    Ok(next)
}

fn next_poll(ctx: &Ctx, mailbox: &Mailbox) -> i64 {
    let now = ctx.clock.now();
    schedule::next_after(&mailbox.schedule, now)
        .unwrap_or(now + chrono::Duration::hours(1))
        .timestamp_millis()
}

/// Waits for mail in the open session until it ends. A session that ends after it worked is no failure: providers cut
/// them when the access token expires.
async fn stay(
    ctx: &Ctx,
    lease: &Lease,
    mailbox: &Mailbox,
    session: &mut OpenSession,
    signals: &Signals,
) -> Result<i64, VisitError> {
    loop {
        let now = ctx.clock.now_ms();
        let until_poll = Duration::from_millis(u64::try_from(next_poll(ctx, mailbox) - now).unwrap_or(0));
        let roused = async {
            tokio::select! {
                () = signals.stop.cancelled() => {}
                () = signals.wake.notified() => {}
            }
        };
        let outcome = session.idle(until_poll.min(LONGEST_IDLE), roused).await;
        match outcome {
            Ok(IdleOutcome::Cancelled) if signals.stop.is_cancelled() => return Err(VisitError::Lost),
            Ok(IdleOutcome::Cancelled) => {}
            Ok(IdleOutcome::Refused { text }) => {
                tracing::info!(
                    mailbox = mailbox.id,
                    "the server refuses IDLE, polling instead: {text}"
                );
                return Ok(next_poll(ctx, mailbox));
            }
            Ok(IdleOutcome::NewMail | IdleOutcome::Timeout | IdleOutcome::Ended) => {}
            Err(error) => return Err(ended(mailbox, &error)),
        }
        mailbox::begin_look(&ctx.db, lease, next_poll(ctx, mailbox)).await?;
        match take_what_is_new(ctx, lease, mailbox, session).await {
            Ok(()) => {}
            Err(VisitError::Failed { is_cut: true, .. }) => return Err(VisitError::Cut),
            Err(error) => return Err(error),
        }
        succeed(ctx, lease, mailbox).await?;
    }
}

/// How the end of a session that had worked is to be taken: a plain cut is nothing; a server that wants to be left
/// alone, or sends what no honest one does, is a failure like any other.
fn ended(mailbox: &Mailbox, error: &ImapError) -> VisitError {
    if !is_cut(error) {
        return imap_failed(error);
    }
    tracing::info!(
        mailbox = mailbox.id,
        "the session ended, opening a new one: {error}"
    );
    VisitError::Cut
}

fn is_cut(error: &ImapError) -> bool {
    error.is_transient() && !error.is_throttle()
}

/// Fetches, stores, tells and processes, batch by batch.
async fn take_what_is_new(
    ctx: &Ctx,
    lease: &Lease,
    mailbox: &Mailbox,
    session: &mut OpenSession,
) -> Result<(), VisitError> {
    let plan = mailbox::plan(ctx, session, mailbox).await.map_err(sync_failed)?;
    // What was stored before a crash is told first.
    mailbox::tell(ctx, session, mailbox, &plan.cursor)
        .await
        .map_err(sync_failed)?;
    let mut batches = imap::batches(&plan.mails, BATCH_MAILS, BATCH_BYTES).peekable();
    // The first mail that the server has and does not give: no later batch moves the cursor past it.
    let mut withheld = None;
    while let Some(metas) = batches.next() {
        let fetched = fetch(session, metas).await.map_err(|error| imap_failed(&error))?;
        let (mut batch, unreadable) = fetched;
        if let Some(first) = unreadable.into_iter().min() {
            tracing::warn!(
                mailbox = mailbox.id,
                uid = first,
                "the server lists a mail and does not give it; it is asked for again at each visit"
            );
            withheld = withheld.or(Some(first));
        }
        let read_up_to = match batches.peek() {
            None => plan.done_up_to,
            Some(_) => metas.last().map_or(0, |meta| meta.uid),
        };
        batch.done_up_to = match withheld {
            Some(first) => first.saturating_sub(1).max(plan.cursor.last_uid),
            None => read_up_to,
        };
        ingest_mail::store_batch(ctx, lease, mailbox, &plan.cursor, &batch).await?;
        mailbox::tell(ctx, session, mailbox, &plan.cursor)
            .await
            .map_err(sync_failed)?;
        ingest_mail::process(ctx, &mailbox.id).await?;
    }
    if plan.mails.is_empty() && plan.done_up_to > plan.cursor.last_uid {
        let batch = Batch {
            done_up_to: plan.done_up_to,
            ..Batch::default()
        };
        ingest_mail::store_batch(ctx, lease, mailbox, &plan.cursor, &batch).await?;
    }
    Ok(())
}

fn sync_failed(error: mailbox::SyncError) -> VisitError {
    match error {
        mailbox::SyncError::Imap(error) => imap_failed(&error),
        mailbox::SyncError::Folder(trouble) => VisitError::Failed {
            trouble,
            pause: None,
            is_cut: false,
        },
        mailbox::SyncError::Db(error) => error.into(),
    }
}

/// Fetches some mails; also returns the UIDs that the server has and gives nothing of. The caller says how far the
/// cursor may go.
async fn fetch(session: &mut OpenSession, metas: &[Meta]) -> Result<(Batch, Vec<u32>), ImapError> {
    let mut batch = Batch::default();
    let mut report = session.fetch_raw(metas, |mail| batch.mails.push(mail)).await?;
    let mut headerless = Vec::new();
    for uid in std::mem::take(&mut report.too_large) {
        let Some(meta) = metas.iter().find(|meta| meta.uid == uid) else {
            continue;
        };
        match session.fetch_header(uid).await? {
            Some(raw) => batch.headers.push(Fetched {
                uid,
                internal_date_ms: meta.internal_date_ms,
                size: meta.size,
                flags: meta.flags.clone(),
                raw,
            }),
            None => headerless.push(uid),
        }
    }
    session.explain(headerless, &mut report).await?;
    batch.vanished = report.vanished;
    Ok((batch, report.unreadable))
}

async fn succeed(ctx: &Ctx, lease: &Lease, mailbox: &Mailbox) -> Result<(), VisitError> {
    let txn = ctx.db.begin().await?;
    let before = mailbox::record_success(&txn, lease, ctx.clock.now_ms()).await?;
    if let Some(state) = before {
        let kind = if state == "new" {
            "mailbox.connected"
        } else {
            "mailbox.recovered"
        };
        announce(ctx, &txn, mailbox, kind, json!({ "name": mailbox.name })).await?;
        tracing::info!(mailbox = mailbox.id, "{kind}");
    }
    Ok(txn.commit().await?)
}

async fn fail(ctx: &Ctx, lease: &Lease, mailbox: &Mailbox, trouble: &Trouble) {
    tracing::warn!(
        mailbox = mailbox.id,
        code = trouble.code,
        "reading failed: {}",
        trouble.cause
    );
    let noted = async {
        let txn = ctx.db.begin().await?;
        let before = mailbox::record_failure(&txn, lease, trouble, ctx.clock.now_ms()).await?;
        if before.is_some() {
            let data = json!({ "name": mailbox.name, "code": trouble.code, "cause": trouble.cause });
            announce(ctx, &txn, mailbox, "mailbox.failing", data).await?;
        }
        txn.commit().await
    };
    if let Err(error) = noted.await {
        tracing::warn!(mailbox = mailbox.id, "the failure was not noted: {error}");
    }
}

async fn announce<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    mailbox: &Mailbox,
    kind: &str,
    data: serde_json::Value,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind,
        project_id: &mailbox.project_id,
        subject_id: &mailbox.id,
        actor: SYSTEM,
        data,
    };
    event::append(on, &ctx.clock, event).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::tests::rules::Desk;

    #[tokio::test]
    async fn what_could_not_be_told_is_not_noted_and_told_by_the_next_look() {
        let desk = Desk::open("desk@a.test").await;
        let ctx = desk.ctx();
        let on = ctx.db.write();
        let mailbox = mailbox::get(ctx, &Projects::All, "mbx_1").await.unwrap();
        let lease = mailbox::claim_due(&ctx.db, "one", ctx.clock.now_ms(), 1)
            .await
            .unwrap()
            .remove(0);
        for (before, kind) in [("new", "mailbox.connected"), ("failing", "mailbox.recovered")] {
            on.execute_unprepared(&format!("UPDATE mailboxes SET state = '{before}'"))
                .await
                .unwrap();
            on.execute_unprepared(
                "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END",
            )
            .await
            .unwrap();
            assert!(succeed(ctx, &lease, &mailbox).await.is_err());
            on.execute_unprepared("DROP TRIGGER full").await.unwrap();
            for _ in 0..2 {
                assert!(succeed(ctx, &lease, &mailbox).await.is_ok());
            }
            let told = event::of_subject(ctx.db.read(), "mbx_1", 10).await.unwrap();
            let told = told.iter().filter(|event| event.kind == kind).count();
            assert_eq!(told, 1, "{kind}");
        }
    }

    #[test]
    fn pauses_grow_and_stay_below_their_bound() {
        assert!((4_000..=6_000).contains(&pause_after(0)));
        assert!((16_000..=24_000).contains(&pause_after(2)));
        assert!(pause_after(1_000) <= LONGEST_PAUSE_MS * 12 / 10);
    }
}

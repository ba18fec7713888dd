//! The timetable: which job runs when, on which node. Cron expressions, seconds first, UTC.
//!
//! A job of the timetable runs on one node at a time: its row in `job_runs` is claimed like everything else.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sea_orm::DbErr;

use super::{
    deliver, follow_log, housekeeping, ingest_mail, poll_mailboxes, refresh_grants, seal_audit, send_alerts,
    send_mail, send_notices, sign_out_clients, store, warnings,
};
use crate::ctx::Ctx;
use crate::db::{self, Claim, Lease};
use crate::oauth2_server;
use crate::schedule;

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// One line of the timetable.
struct Job {
    name: &'static str,
    /// Cron expression, seconds first.
    when: &'static str,
    run: fn(Ctx) -> Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

const TIMETABLE: [Job; 12] = [
    Job {
        name: "refresh_grants",
        when: "*/5 * * * * *",
        run: |ctx| Box::pin(async move { Ok(refresh_grants::run(&ctx).await?) }),
    },
    Job {
        name: "process_waiting_messages",
        when: "*/10 * * * * *",
        run: |ctx| Box::pin(async move { Ok(ingest_mail::process_waiting(&ctx).await?) }),
    },
    Job {
        name: "watch_expiries",
        when: "0 7 * * * *",
        run: |ctx| {
            Box::pin(async move {
                housekeeping::watch_expiries(&ctx).await?;
                Ok(warnings::watch_grants(&ctx).await?)
            })
        },
    },
    Job {
        name: "watch_silence",
        when: "20 */5 * * * *",
        run: |ctx| Box::pin(async move { Ok(warnings::watch_silence(&ctx).await?) }),
    },
    Job {
        name: "send_alerts",
        when: "*/20 * * * * *",
        run: |ctx| Box::pin(async move { Ok(send_alerts::run(&ctx).await?) }),
    },
    Job {
        name: "send_notices",
        when: "*/10 * * * * *",
        run: |ctx| Box::pin(async move { Ok(send_notices::run(&ctx).await?) }),
    },
    Job {
        name: "trim_event_log",
        when: "15 41 * * * *",
        run: |ctx| Box::pin(async move { Ok(housekeeping::trim_log(&ctx).await?) }),
    },
    Job {
        name: "trim_audit_log",
        when: "15 42 * * * *",
        run: |ctx| Box::pin(async move { Ok(housekeeping::trim_audit(&ctx).await?) }),
    },
    Job {
        name: "forget_sign_ins",
        when: "15 44 * * * *",
        run: |ctx| Box::pin(async move { Ok(housekeeping::forget_sign_ins(&ctx).await?) }),
    },
    Job {
        name: "forget_seen_ids",
        when: "20 */5 * * * *",
        run: |ctx| Box::pin(async move { Ok(oauth2_server::forget_seen(&ctx).await?) }),
    },
    Job {
        name: "rotate_signing_keys",
        when: "45 43 * * * *",
        run: |ctx| {
            Box::pin(async move {
                oauth2_server::purge(&ctx).await?;
                Ok(oauth2_server::rotate_when_due(&ctx).await?)
            })
        },
    },
    Job {
        name: "tidy_up",
        when: "30 11 3 * * *",
        run: |ctx| Box::pin(async move { Ok(housekeeping::tidy_up(&ctx).await?) }),
    },
];

/// How often the timetable is looked at.
const TICK: Duration = Duration::from_millis(500);

/// How long a job's claim lasts without a heartbeat, and how often it is prolonged.
const LEASE_MS: i64 = 120_000;
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Starts the timetable, the mailbox runner and the sender in the background.
pub async fn start(ctx: &Ctx) -> Result<(), DbErr> {
    for job in &TIMETABLE {
        store::register(ctx.db.write(), job.name).await?;
    }
    let runner = ctx.clone();
    ctx.tasks.spawn(async move { run_timetable(runner).await });
    let runner = ctx.clone();
    ctx.tasks.spawn(async move { poll_mailboxes::run(runner).await });
    let runner = ctx.clone();
    ctx.tasks.spawn(async move { send_mail::run(runner).await });
    ctx.tasks.spawn(follow_log::run(ctx.clone()));
    ctx.tasks.spawn(seal_audit::run(ctx.clone()));
    ctx.tasks.spawn(deliver::run(ctx.clone()));
    ctx.tasks.spawn(sign_out_clients::run(ctx.clone()));
    Ok(())
}

/// A job of the timetable and how it stands.
#[derive(Clone, Debug)]
pub struct JobRun {
    /// Its name.
    pub name: String,
    /// Cron expression, seconds first, UTC.
    pub schedule: String,
    /// Whether a node is at it.
    pub running: bool,
    /// When it runs next, milliseconds since 1970; 0 before its first run.
    pub next_run_at: i64,
    /// When it last ended, milliseconds since 1970.
    pub last_run_at: Option<i64>,
    /// What went wrong then; empty if nothing did.
    pub last_error: String,
}

/// The jobs of the timetable.
pub async fn list(ctx: &Ctx) -> Result<Vec<JobRun>, DbErr> {
    let now = ctx.clock.now_ms();
    let runs = store::runs(ctx.db.read()).await?;
    Ok(TIMETABLE
        .iter()
        .map(|job| {
            let run = runs.iter().find(|run| run.name == job.name);
            JobRun {
                name: job.name.to_owned(),
                schedule: job.when.to_owned(),
                running: run.is_some_and(|run| run.lease_until > now),
                next_run_at: run.map_or(0, |run| run.next_run_at),
                last_run_at: run.and_then(|run| run.last_run_at),
                last_error: run.map(|run| run.last_error.clone()).unwrap_or_default(),
            }
        })
        .collect())
}

/// Makes a job due; false if there is none of this name.
pub async fn run_now(ctx: &Ctx, name: &str) -> Result<bool, DbErr> {
    if !TIMETABLE.iter().any(|job| job.name == name) {
        return Ok(false);
    }
    store::register(ctx.db.write(), name).await?;
    store::make_due(ctx.db.write(), name).await?;
    Ok(true)
}

async fn run_timetable(ctx: Ctx) {
    while !ctx.stop.is_cancelled() {
        match claim_due(&ctx).await {
            Ok(leases) => leases.into_iter().for_each(|lease| start_job(&ctx, lease)),
            Err(error) => tracing::warn!("the timetable cannot be read: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = ctx.stop.cancelled() => {}
        }
    }
}

async fn claim_due(ctx: &Ctx) -> Result<Vec<Lease>, DbErr> {
    let claim = Claim {
        table: "job_runs",
        key: "name",
        due: "next_run_at <= $4",
        holder: &ctx.holder,
        now: ctx.clock.now_ms(),
        lasts: LEASE_MS,
        limit: 4,
    };
    if !store::is_any_due(ctx.db.read(), claim.now).await? {
        return Ok(Vec::new());
    }
    db::claim(&ctx.db, &claim).await
}

fn start_job(ctx: &Ctx, lease: Lease) {
    let Some(job) = TIMETABLE.iter().find(|job| job.name == lease.id) else {
        return;
    };
    let ctx = ctx.clone();
    let tasks = ctx.tasks.clone();
    tasks.spawn(async move {
        let outcome = tokio::select! {
            outcome = (job.run)(ctx.clone()) => outcome,
            () = keep(&ctx, &lease, HEARTBEAT) => {
                tracing::warn!(job = job.name, "a job was stopped: its claim was taken over");
                return;
            }
        };
        if let Err(error) = &outcome {
            tracing::warn!(job = job.name, "job failed: {error}");
        }
        if let Err(error) = finish(&ctx, job, &lease, outcome).await {
            tracing::warn!(job = job.name, "the end of a job was not noted: {error}");
        }
    });
}

/// Prolongs a claim for as long as it is ours: a job that takes long does not begin again elsewhere.
async fn keep(ctx: &Ctx, lease: &Lease, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let until = ctx.clock.now_ms() + LEASE_MS;
        match db::extend(&ctx.db, "job_runs", "name", lease, until).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(job = lease.id, "the claim was not prolonged: {error}"),
        }
    }
}

async fn finish(ctx: &Ctx, job: &Job, lease: &Lease, outcome: Outcome) -> Result<(), DbErr> {
    let now = ctx.clock.now();
    let next = schedule::next_after(job.when, now).unwrap_or(now + chrono::Duration::hours(1));
    let error = outcome
        .err()
        .map(|error| error.to_string().chars().take(500).collect::<String>());
    let error = error.unwrap_or_default();
    store::finish(
        ctx.db.write(),
        lease,
        now.timestamp_millis(),
        next.timestamp_millis(),
        &error,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_takes_long_keeps_its_claim_until_it_is_taken_over() {
        let place = crate::grant::testkit::place().await;
        let mut ctx = place.ctx.clone();
        ctx.holder = "node-a/first".into();
        let ctx = &ctx;
        run_now(ctx, "tidy_up").await.unwrap();
        let lease = claim_due(ctx).await.unwrap().remove(0);
        let (there, mine) = (ctx.clone(), lease.clone());
        let kept = tokio::spawn(async move { keep(&there, &mine, Duration::from_millis(1)).await });
        for _ in 0..3 {
            ctx.clock.advance(chrono::Duration::milliseconds(LEASE_MS - 1));
            // Until the claim reaches as far as the clock says.
            while store::runs(ctx.db.read()).await.unwrap().remove(0).lease_until
                != ctx.clock.now_ms() + LEASE_MS
            {
                assert!(!kept.is_finished(), "nobody else has it");
                tokio::task::yield_now().await;
            }
            assert!(claim_due(ctx).await.unwrap().is_empty());
        }
        db::release_claims_of(&ctx.db, "node-a").await.unwrap();
        assert_eq!(claim_due(ctx).await.unwrap().len(), 1);
        kept.await.unwrap();
    }

    #[test]
    fn every_line_of_the_timetable_fires() {
        for job in &TIMETABLE {
            assert_eq!(
                schedule::check(job.when, crate::clock::from_ms(0)),
                Ok(()),
                "{}",
                job.name
            );
        }
    }
}

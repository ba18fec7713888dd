//! Sends what is in the outbox: each mail by one node, under a claim, over a session of its mailbox's account.
//!
//! The order that doubles as little as SMTP allows: (1) the attempt is counted; (2) sign-in, sender and recipients, which
//! can be repeated without anybody noticing; (3) it is noted that the mail begins to be handed over, if the claim is
//! still ours; (4) the mail; (5) one transaction holds what became of it and the event. A crash before (3) repeats
//! work; a crash after it is an outcome nobody knows, treated as a connection that ended after the last dot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::DbErr;
use serde_json::json;

use crate::access::Projects;
use crate::crash_point;
use crate::ctx::Ctx;
use crate::db::Lease;
use crate::event::{self, NewEvent, SYSTEM};
use crate::mailbox::{self, SendingError};
use crate::oauth2_client::Provider;
use crate::outbox::{self, Begun, Ending, MailState};
use crate::smtp::{Address, Class, Reply, Session, SmtpError};
use crate::trouble::Trouble;

/// How often mails are looked for whose turn it is.
const TICK: Duration = Duration::from_millis(500);

/// How often a claim is prolonged, and how long it lasts.
const HEARTBEAT: Duration = Duration::from_secs(20);
const LEASE_MS: i64 = 90_000;

/// Mails that this process sends at once, and over one account: Exchange Online takes three connections, and people
/// send as well. One that takes long (its server is silent, and is waited for as RFC 5321 asks) keeps only its account
/// waiting and counts towards the higher bound alone, which is there for the memory.
const AT_ONCE: usize = 16;
const AT_ONCE_WITH_SLOW: usize = 128;
const AT_ONCE_PER_ACCOUNT: usize = 2;
const SLOW_AFTER_MS: i64 = 20_000;

/// Pause before what became of a mail is noted again, where the database refused it.
const NOTED_AGAIN: Duration = Duration::from_millis(500);

/// How often the end of an attempt is tried to be noted when the service is stopping: a database that is busy for a moment
/// does not have a mail sent twice, and one that is gone does not keep the process.
const WHILE_STOPPING: u32 = 10;

/// How often a mail may be sent again after an outcome nobody knows.
const MAX_UNKNOWN: i64 = 2;

/// Pauses after failed attempts, in seconds; the last one repeats.
const PAUSES: [i64; 6] = [30, 120, 300, 900, 1800, 3600];

/// Shortest pause when somebody has to change something first, seconds.
const PAUSE_FOR_SOMEBODY: i64 = 600;

/// Finds mails whose turn it is and sends them, until the process stops.
pub(super) async fn run(ctx: Ctx) {
    let busy = Busy::default();
    while !ctx.stop.is_cancelled() {
        if let Err(error) = start_due(&ctx, &busy).await {
            tracing::warn!("the outbox was not read: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = ctx.stop.cancelled() => {}
        }
    }
}

/// Mails this process sends now, by account: when each began, milliseconds since 1970.
#[derive(Clone, Debug, Default)]
struct Busy(Arc<Mutex<HashMap<String, Vec<i64>>>>);

impl Busy {
    /// A place for another mail over this account, if there is room; given back when it is dropped.
    fn enter(&self, account: &str, now: i64) -> Option<Place> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = running.values().flatten();
        let quick = all.clone().filter(|began| now - **began < SLOW_AFTER_MS).count();
        if quick >= AT_ONCE || all.count() >= AT_ONCE_WITH_SLOW {
            return None;
        }
        let over_it = running.entry(account.to_owned()).or_default();
        if over_it.len() >= AT_ONCE_PER_ACCOUNT {
            return None;
        }
        over_it.push(now);
        Some(Place {
            busy: self.clone(),
            account: account.to_owned(),
            began: now,
        })
    }

    /// Accounts that take no further mail now.
    fn full(&self) -> Vec<String> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .iter()
            .filter(|(_, began)| began.len() >= AT_ONCE_PER_ACCOUNT)
            .map(|(account, _)| account.clone())
            .collect()
    }
}

struct Place {
    busy: Busy,
    account: String,
    began: i64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.busy.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(over_it) = running.get_mut(&self.account) {
            if let Some(position) = over_it.iter().position(|began| *began == self.began) {
                over_it.swap_remove(position);
            }
            if over_it.is_empty() {
                running.remove(&self.account);
            }
        }
    }
}

async fn start_due(ctx: &Ctx, busy: &Busy) -> Result<(), DbErr> {
    let now = ctx.clock.now_ms();
    let room = outbox::Room {
        full: busy.full(),
        per_account: AT_ONCE_PER_ACCOUNT,
    };
    for due in outbox::due(&ctx.db, now, &room, 200).await? {
        let Some(place) = busy.enter(&due.mailbox_id, now) else {
            continue;
        };
        let Some(lease) = outbox::claim(&ctx.db, &ctx.holder, &due.id, now, LEASE_MS).await? else {
            continue;
        };
        let task = ctx.clone();
        ctx.tasks.spawn(async move {
            let _place = place;
            if let Err(error) = send(&task, &lease).await {
                tracing::warn!(mail = lease.id, "an outgoing mail was not looked after: {error}");
            }
        });
    }
    Ok(())
}

/// One attempt, from its count to its end. A database that is out of reach leaves the claim to run out.
async fn send(ctx: &Ctx, lease: &Lease) -> Result<(), DbErr> {
    let txn = ctx.db.begin().await?;
    let begun = outbox::begin_attempt(&txn, lease, &ctx.holder, ctx.clock.now_ms()).await?;
    txn.commit().await?;
    let Some(begun) = begun else {
        return Ok(());
    };
    let ending = if begun.mail.unknown_outcomes > MAX_UNKNOWN {
        Some(given_up_unknown(String::new()))
    } else {
        tokio::select! {
            ending = attempt(ctx, lease, &begun) => ending?,
            () = keep(ctx, lease) => None,
        }
    };
    if let Some(ending) = ending {
        tokio::select! {
            () = settle(ctx, lease, &begun, &ending) => {}
            () = keep(ctx, lease) => {}
        }
    }
    // Otherwise somebody else has it now, and closes this attempt.
    Ok(())
}

/// Notes how an attempt ended, as often as it takes: forgotten, a mail that was sent is sent again.
async fn settle(ctx: &Ctx, lease: &Lease, begun: &Begun, ending: &Ending) {
    let mut left = WHILE_STOPPING;
    while let Err(error) = end(ctx, lease, begun, ending).await {
        tracing::warn!(
            mail = lease.id,
            "the end of an attempt was not noted, trying again: {error}"
        );
        if ctx.stop.is_cancelled() {
            left -= 1;
            if left == 0 {
                return;
            }
        }
        tokio::time::sleep(NOTED_AGAIN).await;
    }
}

/// Prolongs the claim for as long as it is ours.
async fn keep(ctx: &Ctx, lease: &Lease) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        match outbox::prolong(&ctx.db, lease, ctx.clock.now_ms() + LEASE_MS).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(mail = lease.id, "the claim was not prolonged: {error}"),
        }
    }
}

async fn attempt(ctx: &Ctx, lease: &Lease, begun: &Begun) -> Result<Option<Ending>, DbErr> {
    let mail = &begun.mail;
    let bytes = match outbox::raw(ctx, &mail.id).await {
        Ok(bytes) => bytes,
        Err(outbox::OutboxError::Db(error)) => return Err(error),
        Err(error @ outbox::OutboxError::Sealed(_)) => return Err(DbErr::Custom(error.to_string())),
        Err(_) => Vec::new(),
    };
    let account = match Account::open(ctx, &mail.mailbox_id).await {
        Ok(account) => account,
        Err(error) => return Ok(Some(failed(ctx, begun, error.0, error.1, error.2))),
    };
    let provider = account.provider;
    let mut session = account.session;
    let explain = |error: &SmtpError| {
        let (class, trouble) = match provider {
            Some(provider) => error.explain(provider),
            None => outbox::explain_site(error),
        };
        (
            class,
            trouble,
            error.reply().map(Reply::shown).unwrap_or_default(),
        )
    };
    let (from, to) = match addresses(begun) {
        Some(addresses) => addresses,
        None => return Ok(Some(unreadable())),
    };
    if let Err(error) = session.prepare(&from, &to).await {
        session.quit().await;
        let (class, trouble, answer) = explain(&error);
        return Ok(Some(failed(ctx, begun, for_the_mail(class), trouble, answer)));
    }
    if !outbox::mark_handing_over(&ctx.db, lease, begun.number, ctx.clock.now_ms()).await? {
        session.quit().await;
        return Ok(None);
    }
    crash_point!("handing_over");
    match session.hand_over(&bytes).await {
        Ok(answer) => {
            crash_point!("handed_over");
            session.quit().await;
            Ok(Some(Ending {
                outcome: "sent",
                state: MailState::Sent,
                next_attempt_at: 0,
                answer: format!("{} {}", answer.code, answer.text),
                trouble: None,
            }))
        }
        Err(error) if error.is_unknown() => {
            let (_, trouble, answer) = explain(&error);
            if mail.unknown_outcomes >= MAX_UNKNOWN {
                return Ok(Some(given_up_unknown(answer)));
            }
            Ok(Some(Ending {
                outcome: "unknown",
                ..postponed(ctx, begun, Class::Transient, trouble, answer)
            }))
        }
        Err(error) => {
            session.quit().await;
            let (class, trouble, answer) = explain(&error);
            Ok(Some(failed(ctx, begun, for_the_mail(class), trouble, answer)))
        }
    }
}

/// A session that is signed in, and whose words it speaks; none: those of the site's account.
struct Account {
    session: Session,
    provider: Option<Provider>,
}

impl Account {
    async fn open(ctx: &Ctx, mailbox_id: &str) -> Result<Self, (Class, Trouble, String)> {
        if mailbox_id.is_empty() {
            return Ok(Self {
                session: outbox::open_site(ctx).await?,
                provider: None,
            });
        }
        let told = |error: &SendingError| {
            let answer = match error {
                SendingError::Smtp { error, .. } => error.reply().map(Reply::shown).unwrap_or_default(),
                _ => String::new(),
            };
            (error.class(), error.trouble(), answer)
        };
        let mailbox = match mailbox::get(ctx, &Projects::All, mailbox_id).await {
            Ok(mailbox) => mailbox,
            Err(mailbox::MailboxError::NotFound) => {
                let trouble = Trouble::new(
                    "mailbox_gone",
                    "The mailbox this mail was to be sent through was deleted.",
                    "Answer again through another mailbox.",
                );
                return Err((Class::Mail, trouble, String::new()));
            }
            Err(_) => return Err((Class::Transient, database(), String::new())),
        };
        let session = mailbox::open_sending(ctx, &mailbox)
            .await
            .map_err(|error| told(&error))?;
        Ok(Self {
            session,
            provider: Some(mailbox::provider_of(ctx, &mailbox).await),
        })
    }
}

fn database() -> Trouble {
    Trouble::new(
        "database",
        "The database could not be used.",
        "See the log; Mailgrant tries again by itself.",
    )
}

fn unreadable() -> Ending {
    Ending {
        outcome: "refused",
        state: MailState::Failed,
        next_attempt_at: 0,
        answer: String::new(),
        trouble: Some(Trouble::new(
            "addresses_unreadable",
            "The addresses of this mail cannot be read.",
            "Answer again.",
        )),
    }
}

fn addresses(begun: &Begun) -> Option<(Address, Vec<Address>)> {
    let from = Address::new("from", "", &begun.mail.sender).ok()?;
    let to: Result<Vec<_>, _> = begun
        .mail
        .addresses()
        .iter()
        .map(|email| Address::new("to", "", email))
        .collect();
    to.ok().filter(|to| !to.is_empty()).map(|to| (from, to))
}

/// Once the server talks about this very mail, what somebody has to change is no reason to let its writer wait: they
/// are told at once, and the mail can be tried again when it is changed.
fn for_the_mail(class: Class) -> Class {
    match class {
        Class::Account => Class::Mail,
        other => other,
    }
}

fn failed(ctx: &Ctx, begun: &Begun, class: Class, trouble: Trouble, answer: String) -> Ending {
    if class == Class::Mail {
        return Ending {
            outcome: "refused",
            state: MailState::Failed,
            next_attempt_at: 0,
            answer,
            trouble: Some(trouble),
        };
    }
    postponed(ctx, begun, class, trouble, answer)
}

/// Another attempt later, or the end of all attempts.
fn postponed(ctx: &Ctx, begun: &Begun, class: Class, trouble: Trouble, answer: String) -> Ending {
    let now = ctx.clock.now_ms();
    let next = now + pause_ms(begun.mail.tries, class, rand::random());
    let over = next > begun.mail.give_up_at;
    Ending {
        outcome: "postponed",
        state: if over {
            MailState::Failed
        } else {
            MailState::Queued
        },
        next_attempt_at: next,
        answer,
        trouble: Some(trouble),
    }
}

/// Pause before the next attempt: longer each time, and not the same for mails that failed together.
fn pause_ms(tries: i64, class: Class, chance: u8) -> i64 {
    let step = usize::try_from(tries.max(1) - 1).unwrap_or(usize::MAX);
    let last = PAUSES.last().copied().unwrap_or(3600);
    let mut seconds = PAUSES.get(step).copied().unwrap_or(last);
    if class == Class::Account {
        seconds = seconds.max(PAUSE_FOR_SOMEBODY);
    }
    seconds * 1000 * (80 + i64::from(chance) * 40 / 255) / 100
}

fn given_up_unknown(answer: String) -> Ending {
    Ending {
        outcome: "unknown",
        state: MailState::Failed,
        next_attempt_at: 0,
        answer,
        trouble: Some(Trouble::new(
            "outcome_unknown",
            "The mail was handed over several times, and each time the connection ended before the mail server said \
             whether it took it. The recipient may have it.",
            "Look into the account's folder of sent mail. If it is not there, press Retry: it is sent with the same \
             Message-ID.",
        )),
    }
}

async fn end(ctx: &Ctx, lease: &Lease, begun: &Begun, ending: &Ending) -> Result<(), DbErr> {
    let mail = &begun.mail;
    let txn = ctx.db.begin().await?;
    if !outbox::finish(&txn, lease, begun.number, ending, ctx.clock.now_ms()).await? {
        txn.rollback().await?;
        return Ok(());
    }
    let kind = match ending.state {
        MailState::Sent => Some("ticket.reply_sent"),
        MailState::Failed => Some("ticket.reply_failed"),
        _ => None,
    };
    if let Some(kind) = kind.filter(|_| mail.is_reply() && !mail.ticket_id.is_empty()) {
        let event = NewEvent {
            kind,
            project_id: &mail.project_id,
            subject_id: &mail.ticket_id,
            actor: SYSTEM,
            data: json!({
                "replyId": mail.id,
                "entryId": mail.entry_id,
                "attempts": mail.attempts,
                "error": ending.trouble,
            }),
        };
        event::append(&txn, &ctx.clock, event).await?;
    }
    txn.commit().await?;
    match &ending.trouble {
        None => tracing::info!(mail = mail.id, "an outgoing mail was sent"),
        Some(trouble) => tracing::warn!(
            mail = mail.id,
            code = trouble.code,
            state = ending.state.as_str(),
            "an outgoing mail was not sent"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::outbox::{Kind, NewMail, Through};

    async fn queued(ctx: &Ctx) -> String {
        let sender = Address::new("from", "Desk", "desk@b.example").unwrap();
        let mut mail = NewMail::new(Kind::Reply, "usr_1");
        mail.to = vec![Address::new("to", "", "c@d.example").unwrap()];
        mail.text = "Hello".into();
        let mail = outbox::compose(&ctx.clock, Through::Site(&sender), mail).unwrap();
        outbox::enqueue(ctx.db.write(), &mail).await.unwrap()
    }

    #[test]
    fn pauses_grow_and_differ_by_chance() {
        assert_eq!(pause_ms(1, Class::Transient, 0), 24_000);
        assert_eq!(pause_ms(1, Class::Transient, 255), 36_000);
        assert_eq!(pause_ms(1, Class::Account, 255), 720_000);
        assert_eq!(pause_ms(100, Class::Transient, 128), 3_600_000);
        let pauses: Vec<i64> = (1..8).map(|tries| pause_ms(tries, Class::Transient, 0)).collect();
        assert!(pauses.is_sorted());
    }

    #[tokio::test]
    async fn a_mail_whose_next_attempt_would_come_too_late_is_given_up() {
        let place = crate::grant::testkit::place().await;
        let ctx = &place.ctx;
        let id = queued(ctx).await;
        let now = ctx.clock.now_ms();
        let lease = outbox::claim(&ctx.db, "one/1", &id, now, LEASE_MS).await;
        let begun = outbox::begin_attempt(ctx.db.write(), &lease.unwrap().unwrap(), "one/1", now).await;
        let mut begun = begun.unwrap().unwrap();
        let trouble = || Trouble::new("unreachable", "Nobody answers.", "Wait.");
        let mut state = |left| {
            begun.mail.give_up_at = now + left;
            postponed(ctx, &begun, Class::Transient, trouble(), String::new()).state
        };
        // The pause after the first attempt is 24 to 36 seconds.
        assert_eq!(state(36_000), MailState::Queued);
        assert_eq!(state(23_999), MailState::Failed);
    }

    #[test]
    fn one_account_takes_no_more_than_its_places() {
        let busy = Busy::default();
        let first = busy.enter("a", 0);
        let _second = busy.enter("a", 0);
        assert!(busy.enter("a", 0).is_none());
        assert_eq!(busy.full(), ["a"]);
        let _other = busy.enter("b", 0).unwrap();
        drop(first);
        assert!(busy.full().is_empty());
        assert!(busy.enter("a", 0).is_some());
    }

    #[test]
    fn accounts_whose_servers_are_silent_delay_no_other() {
        let busy = Busy::default();
        let silent: Vec<_> = (0..AT_ONCE)
            .map(|n| busy.enter(&format!("silent{n}"), 0).unwrap())
            .collect();
        assert!(busy.enter("quick", SLOW_AFTER_MS - 1).is_none());
        let quick = busy.enter("quick", SLOW_AFTER_MS);
        assert!(quick.is_some());
        drop(silent);
        assert_eq!(busy.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_became_of_a_mail_is_noted_as_often_as_it_takes() {
        let place = crate::grant::testkit::place().await;
        let ctx = &place.ctx;
        let on = ctx.db.write();
        let id = queued(ctx).await;
        let now = ctx.clock.now_ms();
        let lease = outbox::claim(&ctx.db, &ctx.holder, &id, now, LEASE_MS)
            .await
            .unwrap()
            .unwrap();
        let begun = outbox::begin_attempt(on, &lease, "one", now)
            .await
            .unwrap()
            .unwrap();
        on.execute_unprepared(
            "CREATE TRIGGER down BEFORE UPDATE ON outgoing_attempts BEGIN SELECT RAISE(ABORT, 'down'); END",
        )
        .await
        .unwrap();
        let ending = Ending {
            outcome: "sent",
            state: MailState::Sent,
            next_attempt_at: 0,
            answer: "250 taken".into(),
            trouble: None,
        };
        let settling = settle(ctx, &lease, &begun, &ending);
        tokio::pin!(settling);
        let early = tokio::time::timeout(Duration::from_millis(200), &mut settling).await;
        assert!(early.is_err(), "it must not give up");
        on.execute_unprepared("DROP TRIGGER down").await.unwrap();
        settling.await;
        assert_eq!(outbox::get(ctx, &id).await.unwrap().state, "sent");
    }

    #[tokio::test]
    async fn what_ended_three_times_without_an_answer_is_not_sent_a_fourth_time() {
        let place = crate::grant::testkit::place().await;
        let ctx = &place.ctx;
        let id = queued(ctx).await;
        let claim = async || {
            let now = ctx.clock.now_ms();
            let lease = outbox::claim(&ctx.db, "one/1", &id, now, 60_000).await;
            lease.unwrap().unwrap()
        };
        for _ in 0..3 {
            let (lease, now) = (claim().await, ctx.clock.now_ms());
            let begun = outbox::begin_attempt(ctx.db.write(), &lease, "one/1", now).await;
            let number = begun.unwrap().unwrap().number;
            assert!(
                outbox::mark_handing_over(&ctx.db, &lease, number, now)
                    .await
                    .unwrap()
            );
            // The process dies while the mail is on its way.
            ctx.clock.advance(chrono::Duration::seconds(61));
        }
        send(ctx, &claim().await).await.unwrap();
        let mail = outbox::get(ctx, &id).await.unwrap();
        assert_eq!(
            (mail.state.as_str(), mail.error_code.as_str()),
            ("failed", "outcome_unknown")
        );
    }
}

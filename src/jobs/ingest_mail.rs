//! From fetched mails to tickets, in the order that loses nothing and doubles nothing:
//!
//! 1. [`store_batch`]: one transaction holds the raw bytes, what became of each UID, and the cursor;
//! 2. the caller tells the server;
//! 3. [`process`]: the attempt is counted, then the mail is parsed;
//! 4. one transaction holds ticket, entry and event.
//!
//! A crash between any two steps repeats work and changes nothing: every row has a unique key, and whoever lost the
//! mailbox's lease commits nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sea_orm::DbErr;

use super::handle_mail::{Cause, Handling, Subject};
use super::known::Known;
use crate::crash_point;
use crate::ctx::Ctx;
use crate::db::{self, Lease};
use crate::event::SYSTEM;
use crate::mailbox::imap::Fetched;
use crate::mailbox::{self, AfterIngest, Cursor, Ingested, Mailbox};
use crate::message::{self, NewRaw, Stored, Understood, Waiting};

/// Why a batch was not taken; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Another node reads the mailbox now, or its settings changed.
    #[error("the mailbox's lease was taken over")]
    LeaseLost,
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

/// A batch of mails from one folder.
#[derive(Debug, Default)]
pub struct Batch {
    /// Mails with all their bytes.
    pub mails: Vec<Fetched>,
    /// Mails over the size limit, with their header only.
    pub headers: Vec<Fetched>,
    /// UIDs that were gone when they were fetched.
    pub vanished: Vec<u32>,
    /// With this batch, everything up to this UID is finished.
    pub done_up_to: u32,
}

/// Stores a batch with the cursor, in one transaction.
pub async fn store_batch(
    ctx: &Ctx,
    lease: &Lease,
    mailbox: &Mailbox,
    cursor: &Cursor,
    batch: &Batch,
) -> Result<(), IngestError> {
    crash_point!("fetched");
    let now = ctx.clock.now_ms();
    let tell = mailbox.after_ingest != AfterIngest::Leave.as_str();
    let whole = batch.mails.iter().map(|mail| (mail, false));
    let partial = batch.headers.iter().map(|mail| (mail, true));
    let raws = whole.chain(partial).map(|(mail, is_partial)| NewRaw {
        mailbox_id: &mailbox.id,
        project_id: &mailbox.project_id,
        folder: &mailbox.folder,
        uid_validity: cursor.uid_validity,
        uid: mail.uid,
        internal_date: mail.internal_date_ms,
        bytes: &mail.raw,
        is_partial,
        size: if is_partial {
            u64::from(mail.size)
        } else {
            mail.raw.len() as u64
        },
    });
    let raws: Vec<NewRaw<'_>> = raws.collect();
    let txn = ctx.db.begin().await?;
    let stored = message::insert_raws(&txn, &ctx.clock, &raws).await?;
    let stored_mail = stored.iter().any(|one| matches!(one, Stored::New(_)));
    let fetched = raws.iter().zip(stored).map(|(raw, stored)| {
        let (outcome, message_id) = match stored {
            Stored::New(id) => ("stored", id),
            Stored::DuplicateOf(id) => ("duplicate_of", id),
        };
        Ingested {
            uid: raw.uid,
            outcome,
            message_id,
            tell,
        }
    });
    let vanished = batch.vanished.iter().map(|uid| Ingested {
        uid: *uid,
        outcome: "vanished",
        message_id: String::new(),
        tell: false,
    });
    let ingested: Vec<Ingested> = fetched.chain(vanished).collect();
    mailbox::insert_ingestions(&txn, cursor, &ingested, now).await?;
    if !mailbox::move_cursor(&txn, lease, cursor, batch.done_up_to, stored_mail, now).await? {
        txn.rollback().await?;
        return Err(IngestError::LeaseLost);
    }
    txn.commit().await?;
    crash_point!("stored");
    Ok(())
}

/// A mail that was begun this often without an end is not begun again by itself.
const MAX_ATTEMPTS: i64 = 3;

/// How many messages go through one transaction, and how many bytes of them are in memory at once. One may be larger.
const PROCESS_AT_ONCE: u32 = 50;
const PROCESS_BYTES: i64 = 16 * 1024 * 1024;

/// Turns every waiting message of a mailbox into a ticket or an entry of one. An error means that the database is out
/// of reach; a mail it refuses is set aside after some attempts and delays no other.
pub async fn process(ctx: &Ctx, mailbox_id: &str) -> Result<(), DbErr> {
    process_with(ctx, mailbox_id, OURS).await
}

async fn process_with(ctx: &Ctx, mailbox_id: &str, reader: Reader) -> Result<(), DbErr> {
    loop {
        let waiting = message::pending(ctx.db.read(), mailbox_id, PROCESS_AT_ONCE).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        // Who was begun before may be what ended the process, or what the database refused: alone, it takes nobody
        // with it.
        let (fresh, suspects): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|mail| mail.attempts == 0);
        attempt(ctx, mailbox_id, &handful(fresh), reader).await?;
        for suspect in suspects {
            if suspect.attempts >= MAX_ATTEMPTS {
                give_up(ctx, &suspect.id).await?;
            } else {
                attempt(ctx, mailbox_id, &[suspect.id], reader).await?;
            }
        }
    }
}

/// The first of them that fit into memory together.
fn handful(mails: Vec<Waiting>) -> Vec<String> {
    let mut bytes = 0;
    mails
        .into_iter()
        .enumerate()
        .take_while(|(position, mail)| {
            bytes += mail.bytes;
            *position == 0 || bytes <= PROCESS_BYTES
        })
        .map(|(_, mail)| mail.id)
        .collect()
}

/// Processes some mails together. What the database refuses counts as an attempt, so that each comes alone next time;
/// a database that is out of reach does not.
async fn attempt(ctx: &Ctx, mailbox_id: &str, ids: &[String], reader: Reader) -> Result<(), DbErr> {
    match process_together(ctx, mailbox_id, ids, reader).await {
        Err(error) if db::is_outage(&error) => {
            if let Err(error) = message::forget_attempt(ctx.db.write(), ids).await {
                tracing::debug!("an attempt was not taken back: {error}");
            }
            Err(error)
        }
        Err(error) => {
            tracing::warn!(
                first = ids.first(),
                mails = ids.len(),
                "the database refused mails: {error}"
            );
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Processes what a crash or a pause left behind; whoever reads the mailbox does the rest at once.
pub async fn process_waiting(ctx: &Ctx) -> Result<(), DbErr> {
    let before = ctx.clock.now_ms() - 15_000;
    for mailbox_id in message::pending_mailboxes(ctx.db.read(), before).await? {
        process(ctx, &mailbox_id).await?;
    }
    Ok(())
}

async fn process_together(ctx: &Ctx, mailbox_id: &str, ids: &[String], reader: Reader) -> Result<(), DbErr> {
    if ids.is_empty() {
        return Ok(());
    }
    let began_at = ctx.clock.now_ms();
    message::begin_attempt(ctx.db.write(), ids).await?;
    let raws = message::raw_bytes_of(ctx.db.read(), ids).await?;
    let known = Known::read(ctx).await?;
    let trusted = mailbox::trusted_servers(ctx.db.read(), mailbox_id).await?;
    let parsed = parse_all(raws, trusted, reader).await;
    let parsed_at = ctx.clock.now_ms();
    crash_point!("parsed");
    // Without: it could not be read, or not in time; the attempt is counted, and the next round sees to it.
    let understood: Vec<(&str, &Understood)> = parsed
        .iter()
        .filter_map(|mail| Some((mail.id.as_str(), mail.understood.as_ref()?)))
        .collect();
    if understood.len() < ids.len() {
        tracing::warn!(
            first = ids.first(),
            mails = ids.len(),
            unread = ids.len() - understood.len(),
            "mails could not be read"
        );
    }
    // A mailbox that was moved has mails of several.
    let projects = message::projects_of(ctx.db.read(), ids).await?;
    let txn = ctx.db.begin().await?;
    let mut handling = Handling::new(ctx, &known, Cause::Ingest, SYSTEM);
    handling.hold(&txn, &projects).await?;
    for message in message::save_parsed(&txn, &understood).await? {
        let mail = parsed.iter().find(|mail| mail.id == message.id);
        let Some((mail, understood)) = mail.and_then(|mail| Some((mail, mail.understood.as_ref()?))) else {
            continue;
        };
        let subject = Subject {
            raw: &mail.raw,
            understood,
            began_at,
            parsed_at,
        };
        handling.handle(&txn, message, &subject).await?;
    }
    handling.finish(&txn).await?;
    txn.commit().await?;
    crash_point!("ticketed");
    Ok(())
}

/// One mail with what was read out of it; nothing if that could not be done.
struct ParsedMail {
    id: String,
    raw: Vec<u8>,
    understood: Option<Understood>,
}

/// What reads mails, and how long it may take for those that come together.
#[derive(Clone, Copy)]
struct Reader {
    parser: fn(&[u8], &[String]) -> Understood,
    patience: Duration,
}

/// The one outside of tests.
const OURS: Reader = Reader {
    parser: message::understand,
    patience: message::LONGEST_READING,
};

/// Parses apart from everything else. Mails that could not be read are among them without what they say; if reading takes
/// too long, none are.
async fn parse_all(raws: Vec<(String, Vec<u8>)>, trusted: Vec<String>, reader: Reader) -> Vec<ParsedMail> {
    let work = move || {
        let parse = |raw: &[u8]| catch_unwind(AssertUnwindSafe(|| (reader.parser)(raw, &trusted))).ok();
        let all = raws.into_iter().map(|(id, raw)| ParsedMail {
            understood: parse(&raw).filter(|understood| !understood.parser_failed),
            id,
            raw,
        });
        all.collect()
    };
    message::apart(reader.patience, work).await.unwrap_or_default()
}

/// The same for one mail, whose bytes come back; without them if reading takes too long.
pub(super) async fn parse_one(raw: Vec<u8>, trusted: Vec<String>) -> (Vec<u8>, Option<Understood>) {
    let parsed = parse_all(vec![(String::new(), raw)], trusted, OURS).await;
    parsed
        .into_iter()
        .next()
        .map_or((Vec::new(), None), |mail| (mail.raw, mail.understood))
}

/// A mail that ends the parser every time, or that the database refuses, still gets a ticket, with the raw mail
/// attached.
async fn give_up(ctx: &Ctx, id: &str) -> Result<(), DbErr> {
    let problem =
        format!("Reading this mail failed {MAX_ATTEMPTS} times. The raw mail is attached as it came.");
    match set_aside(ctx, id, &problem).await {
        Err(error) if !db::is_outage(&error) => {
            // Nothing of the mail is in what was refused. Without a ticket it is at least out of the others' way.
            tracing::error!(message = id, "a mail that cannot be read got no ticket: {error}");
            message::mark_unreadable(ctx.db.write(), id, &problem, ctx.clock.now_ms())
                .await
                .map(drop)
        }
        other => other,
    }
}

async fn set_aside(ctx: &Ctx, id: &str, problem: &str) -> Result<(), DbErr> {
    let known = Known::read(ctx).await?;
    let now = ctx.clock.now_ms();
    let projects = message::projects_of(ctx.db.read(), &[id.to_owned()]).await?;
    let txn = ctx.db.begin().await?;
    let mut handling = Handling::new(ctx, &known, Cause::Ingest, SYSTEM);
    handling.hold(&txn, &projects).await?;
    if message::mark_unreadable(&txn, id, problem, now).await? {
        let message = message::get_in(&txn, id).await?;
        handling.placeholder(&txn, message, problem).await?;
        handling.finish(&txn).await?;
    }
    txn.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::tests::rules::{Desk, MAILBOX};

    #[test]
    fn mails_are_parsed_together_only_as_far_as_they_fit_into_memory() {
        let mail = |bytes: i64| Waiting {
            id: bytes.to_string(),
            attempts: 0,
            bytes,
        };
        let large = PROCESS_BYTES + 1;
        assert_eq!(handful(vec![mail(large), mail(1)]), [large.to_string()]);
        assert_eq!(handful(vec![mail(1), mail(2), mail(large)]), ["1", "2"]);
        assert!(handful(Vec::new()).is_empty());
    }

    /// Panics, fails in the parser's own way, or never ends, as the subject says.
    fn spoilt(raw: &[u8], trusted: &[String]) -> Understood {
        let read = message::understand(raw, trusted);
        match read.subject.as_str() {
            "Panic" => panic!("a defect"),
            "Failed" => Understood {
                parser_failed: true,
                ..read
            },
            "Slow" => loop {
                std::thread::park();
            },
            _ => read,
        }
    }

    fn mail(subject: &str) -> Vec<u8> {
        format!("From: ada@x.test\r\nSubject: {subject}\r\n\r\nHello.\r\n").into_bytes()
    }

    #[tokio::test]
    async fn a_mail_that_is_read_for_ever_is_in_quarantine_and_blocks_nothing() {
        let desk = Desk::open("desk@a.test").await;
        let raw = mail("Slow");
        desk.store(&[(raw.as_slice(), false)]).await;
        let impatient = Reader {
            parser: spoilt,
            patience: Duration::ZERO,
        };
        process_with(desk.ctx(), MAILBOX, impatient).await.unwrap();
        let count = desk.count("messages WHERE quarantine_reason = 'unreadable' AND attempts = 3");
        assert_eq!(count.await, 1);
        assert_eq!(desk.receive(&mail("Fine")).await.state, "ticketed");
    }

    #[tokio::test]
    async fn a_mail_that_ends_the_parser_three_times_is_in_quarantine_and_delays_no_other() {
        let desk = Desk::open("desk@a.test").await;
        let subjects = ["One", "Panic", "Two", "Failed", "Three"];
        let mails = subjects.map(mail);
        let stored = desk
            .store(&mails.each_ref().map(|raw| (raw.as_slice(), false)))
            .await;
        let reader = Reader {
            parser: spoilt,
            ..OURS
        };
        process_with(desk.ctx(), MAILBOX, reader).await.unwrap();
        for (subject, stored) in subjects.iter().zip(&stored) {
            let Stored::New(id) = stored else {
                panic!("the same mail twice");
            };
            let message = message::get_in(desk.ctx().db.read(), id).await.unwrap();
            let seen = (
                message.state.as_str(),
                message.quarantine_reason.as_str(),
                message.attempts,
            );
            let is_bad = ["Panic", "Failed"].contains(subject);
            let expected = if is_bad {
                ("quarantined", "unreadable", MAX_ATTEMPTS)
            } else {
                ("ticketed", "", 1)
            };
            assert_eq!(seen, expected, "{subject}");
            assert!(!message.ticket_id.is_empty(), "{subject} has a ticket");
        }
    }
}

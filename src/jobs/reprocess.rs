//! Processing a stored message again, because a person or an app asks: parse, classify, rules, ticket, from the stored
//! bytes.
//!
//! * A message in a ticket stays there: its parsed form is made anew, and that is all. So it can be repeated at will.
//! * A placeholder (a mail that could not be read) stays in its ticket, which gets the subject and the requester that
//!   can be read now.
//! * A message in quarantine by a rule, or dropped, goes through the rules of now like a new one; *release* lets no rule
//!   hold or drop it.
//! * Nothing is ever sent, and `message.received` is not said twice.

use sea_orm::{DatabaseTransaction, DbErr};
use serde_json::json;

use super::handle_mail::{Cause, Handling, Subject};
use super::ingest_mail;
use super::known::Known;
use crate::audit::{self, NewAuditEvent};
use crate::ctx::Ctx;
use crate::mailbox;
use crate::message::{self, Message, Run, Standing, Understood};
use crate::trouble::Trouble;
use crate::{project, ticket};

/// Why a message was not processed again. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReprocessError {
    /// There is none with this id.
    #[error("there is no such message")]
    NotFound,
    /// It has not been processed at all yet, and will be by itself.
    #[error("the message waits to be processed; that happens by itself within seconds")]
    Waiting,
    /// It cannot be read now either.
    #[error("the mail cannot be read now either; download it to look at it")]
    Unreadable,
    /// What was asked for does not fit where the message stands.
    #[error("{0}")]
    NotNow(&'static str),
    /// The mail server does not give it.
    #[error("{}", .0.cause)]
    Trouble(Trouble),
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

/// Processes a message again. `cause` is [`Cause::Again`] or [`Cause::Release`].
pub async fn reprocess(ctx: &Ctx, id: &str, cause: Cause, actor: &str) -> Result<Message, ReprocessError> {
    loop {
        let read = ReadAgain::read(ctx, id).await?;
        if let Some(message) = read.place(ctx, cause, actor).await? {
            return Ok(message);
        }
    }
}

/// A message as it was read before its project was locked: no transaction waits for the parser.
struct ReadAgain {
    stored: Message,
    raw: Vec<u8>,
    understood: Option<Understood>,
    began_at: i64,
    parsed_at: i64,
}

impl ReadAgain {
    async fn read(ctx: &Ctx, id: &str) -> Result<Self, ReprocessError> {
        let stored = read(ctx, id).await?;
        let began_at = ctx.clock.now_ms();
        let raw = message::raw_bytes(ctx.db.read(), id).await?;
        let trusted = mailbox::trusted_servers(ctx.db.read(), &stored.mailbox_id).await?;
        let (raw, understood) = ingest_mail::parse_one(raw, trusted).await;
        Ok(Self {
            stored,
            raw,
            understood,
            began_at,
            parsed_at: ctx.clock.now_ms(),
        })
    }

    /// Writes what was read. None if the message has got other bytes meanwhile: then it has to be read again.
    async fn place(&self, ctx: &Ctx, cause: Cause, actor: &str) -> Result<Option<Message>, ReprocessError> {
        let id = self.stored.id.as_str();
        let known = Known::read(ctx).await?;
        let txn = ctx.db.begin().await?;
        // Whoever else is at it waits here, and finds it done.
        project::lock(&txn, &self.stored.project_id).await?;
        let now = message::get_in(&txn, id).await?;
        if (now.is_partial, now.size) != (self.stored.is_partial, self.stored.size) {
            txn.rollback().await?;
            return Ok(None);
        }
        let Some(understood) = &self.understood else {
            let run = run(ctx, cause, actor, self.began_at, None, "failed");
            message::record_run(&txn, id, &run).await?;
            txn.commit().await?;
            return Err(ReprocessError::Unreadable);
        };
        message::save_parsed_again(&txn, id, understood).await?;
        // As it was understood just now.
        let message = message::get_in(&txn, id).await?;
        let subject = Subject {
            raw: &self.raw,
            understood,
            began_at: self.began_at,
            parsed_at: self.parsed_at,
        };
        if message.ticket_id.is_empty() {
            let mut handling = Handling::new(ctx, &known, cause, actor);
            handling.handle(&txn, message.clone(), &subject).await?;
            handling.finish(&txn).await?;
        } else {
            stay(ctx, &txn, &message, understood, &known).await?;
            let outcome = message::get_in(&txn, id).await?.state;
            let run = run(ctx, cause, actor, self.began_at, Some(self.parsed_at), &outcome);
            message::record_run(&txn, id, &run).await?;
        }
        note(ctx, &txn, actor, &format!("message.{}", cause.as_str()), &message).await?;
        txn.commit().await?;
        read_any(ctx, id).await.map(Some)
    }
}

/// Notes what somebody decided about a message.
async fn note(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    actor: &str,
    action: &str,
    message: &Message,
) -> Result<(), DbErr> {
    let event = NewAuditEvent::new(action, "message", &message.id)
        .by(actor)
        .in_project(&message.project_id);
    audit::append(txn, &ctx.clock, event).await.map(drop)
}

/// A message that has a ticket keeps it.
async fn stay(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    message: &Message,
    understood: &Understood,
    known: &Known,
) -> Result<(), DbErr> {
    if message.quarantine_reason == "unreadable" {
        let project_key = project::lock(txn, &message.project_id).await?.unwrap_or_default();
        let incoming = known.incoming(&message.id, &message.project_id, &project_key, understood);
        message::assign_thread(txn, &message.project_id, &message.id, &understood.thread_ids).await?;
        ticket::fill(txn, &ctx.clock, &incoming, &message.ticket_id).await?;
    }
    // Of a mail whose header only is here, the rest is still missing.
    if !message.is_partial {
        let now = ctx.clock.now_ms();
        message::set_standing(txn, &message.id, Standing::Ticketed, now).await?;
    }
    Ok(())
}

/// Takes a message out of quarantine that a person does not want to see any more. Its bytes and its history stay.
pub async fn drop_quarantined(ctx: &Ctx, id: &str, actor: &str) -> Result<Message, ReprocessError> {
    settle(ctx, id, actor, "drop", |message| {
        if message.ticket_id.is_empty() {
            Ok(Standing::Dropped("A person dropped it from quarantine."))
        } else {
            Err(ReprocessError::NotNow(
                "the message has a ticket; close that instead, or keep the message as it is",
            ))
        }
    })
    .await
}

/// Lets a message out of quarantine as it is: a placeholder stays what it is, and is out of the list.
pub async fn keep_as_it_is(ctx: &Ctx, id: &str, actor: &str) -> Result<Message, ReprocessError> {
    settle(ctx, id, actor, "keep", |message| {
        if message.ticket_id.is_empty() {
            Err(ReprocessError::NotNow("the message has no ticket; release it"))
        } else {
            Ok(Standing::Ticketed)
        }
    })
    .await
}

async fn settle(
    ctx: &Ctx,
    id: &str,
    actor: &str,
    cause: &str,
    decide: impl FnOnce(&Message) -> Result<Standing<'static>, ReprocessError>,
) -> Result<Message, ReprocessError> {
    let stored = read(ctx, id).await?;
    let now = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    project::lock(&txn, &stored.project_id).await?;
    let message = message::get_in(&txn, id).await?;
    let standing = if message.state == "quarantined" {
        decide(&message)
    } else {
        Err(ReprocessError::NotNow("the message is not in quarantine"))
    };
    let standing = match standing {
        Ok(standing) => standing,
        Err(error) => {
            txn.rollback().await?;
            return Err(error);
        }
    };
    message::set_standing(&txn, id, standing, now).await?;
    let outcome = message::get_in(&txn, id).await?.state;
    let run = Run {
        cause: cause.to_owned(),
        ..run(ctx, Cause::Again, actor, now, None, &outcome)
    };
    message::record_run(&txn, id, &run).await?;
    note(ctx, &txn, actor, &format!("message.{cause}"), &message).await?;
    txn.commit().await?;
    read_any(ctx, id).await
}

/// Fetches the rest of a mail of which only the header is here, if it is still on the server, and processes it again.
pub async fn fetch_rest(ctx: &Ctx, id: &str, actor: &str) -> Result<Message, ReprocessError> {
    let message = read(ctx, id).await?;
    if !message.is_partial {
        return Err(ReprocessError::NotNow("the whole mail is here already"));
    }
    let mailbox = mailbox::get_in(ctx.db.read(), &message.mailbox_id)
        .await?
        .ok_or(ReprocessError::NotFound)?;
    let (folder, validity, uid) = (&message.folder, message.uid_validity, message.uid);
    let bytes = mailbox::fetch_whole(ctx, &mailbox, folder, validity, uid)
        .await
        .map_err(ReprocessError::Trouble)?;
    let began_at = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    project::lock(&txn, &message.project_id).await?;
    let twin = message::twin_of(&txn, &message.mailbox_id, id, &bytes).await?;
    if twin.is_some() {
        txn.rollback().await?;
        return Err(ReprocessError::NotNow(
            "the whole mail is here already, as another message",
        ));
    }
    if message::complete(&txn, id, &bytes).await? {
        let run = Run {
            cause: "fetch".to_owned(),
            detail: json!({ "size": bytes.len() }),
            ..run(ctx, Cause::Again, actor, began_at, None, "quarantined")
        };
        message::record_run(&txn, id, &run).await?;
    }
    txn.commit().await?;
    reprocess(ctx, id, Cause::Again, actor).await
}

fn run(ctx: &Ctx, cause: Cause, actor: &str, began_at: i64, parsed_at: Option<i64>, outcome: &str) -> Run {
    Run {
        number: 0,
        cause: cause.as_str().to_owned(),
        actor: actor.to_owned(),
        began_at,
        parsed_at,
        ended_at: ctx.clock.now_ms(),
        outcome: outcome.to_owned(),
        detail: json!({}),
    }
}

/// A message that has been processed before.
async fn read(ctx: &Ctx, id: &str) -> Result<Message, ReprocessError> {
    let message = read_any(ctx, id).await?;
    if message.state == "stored" {
        return Err(ReprocessError::Waiting);
    }
    Ok(message)
}

async fn read_any(ctx: &Ctx, id: &str) -> Result<Message, ReprocessError> {
    match message::get_in(ctx.db.read(), id).await {
        Err(DbErr::RecordNotFound(_)) => Err(ReprocessError::NotFound),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::tests::rules::Desk;

    #[tokio::test]
    async fn what_was_read_of_a_header_is_not_written_over_the_whole_mail() {
        let desk = Desk::open("desk@a.test").await;
        let ctx = desk.ctx();
        let header = b"From: ada@x.test\r\nSubject: Pictures\r\n\r\n";
        let large = desk.receive_as(header, true).await;
        let early = ReadAgain::read(ctx, &large.id).await.unwrap();
        let whole = [&header[..], b"Here they are."].concat();
        assert!(
            message::complete(ctx.db.write(), &large.id, &whole)
                .await
                .unwrap()
        );
        reprocess(ctx, &large.id, Cause::Again, "usr_1").await.unwrap();
        let late = early.place(ctx, Cause::Again, "usr_2").await.unwrap();
        assert!(late.is_none(), "it has to be read again");
        let message = read(ctx, &large.id).await.unwrap();
        assert_eq!(
            (message.state.as_str(), message.preview.as_str()),
            ("ticketed", "Here they are.")
        );
    }
}

//! What is done with one message that was understood, in the transaction that places it: the project's rules are asked,
//! then it goes into a ticket, into quarantine, or nowhere but the log; and what happened is noted with it.
//!
//! Nothing a rule says can lose mail: the raw bytes stay whatever happens, and a rule that cannot be followed (its
//! ticket is gone) falls back to what would have happened without it, and says so on the message.

use std::collections::HashMap;

use sea_orm::{DatabaseTransaction, DbErr};
use serde_json::{Value, json};

use super::automatic_mail::{self, Automatic};
use super::known::Known;
use crate::audit::{self, NewAuditEvent, Via};
use crate::ctx::Ctx;
use crate::event::{self, NewEvent, SYSTEM};
use crate::message::{self, Kind, Message, Outline, Reason, Run, Standing, Understood};
use crate::project;
use crate::rule::{self, Decision, LoopMarks, Place, Ready};
use crate::ticket::{self, Incoming, Resolution};

/// Why a message is processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It came in.
    Ingest,
    /// A person wants it processed again with the rules of now.
    Again,
    /// A person lets it out of quarantine: no rule may drop or hold it.
    Release,
}

impl Cause {
    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Again => "again",
            Self::Release => "release",
        }
    }
}

/// A message with what was read out of it.
pub(super) struct Subject<'a> {
    pub(super) id: &'a str,
    pub(super) raw: &'a [u8],
    pub(super) understood: &'a Understood,
    pub(super) began_at: i64,
    pub(super) parsed_at: i64,
}

/// Handles messages within one transaction; reads each project's rules once.
pub(super) struct Handling<'a> {
    ctx: &'a Ctx,
    known: &'a Known,
    marks: LoopMarks,
    cause: Cause,
    actor: &'a str,
    rules: HashMap<String, Vec<Ready>>,
}

impl<'a> Handling<'a> {
    pub(super) fn new(ctx: &'a Ctx, known: &'a Known, cause: Cause, actor: &'a str) -> Self {
        Self {
            ctx,
            known,
            marks: LoopMarks::new(&ctx.keys),
            cause,
            actor,
            rules: HashMap::new(),
        }
    }

    /// Asks the rules and carries out what they say. The message has no ticket yet.
    pub(super) async fn handle(
        &mut self,
        txn: &DatabaseTransaction,
        subject: &Subject<'_>,
    ) -> Result<(), DbErr> {
        let message = message::get_in(txn, subject.id).await?;
        let project_key = project::lock(txn, &message.project_id).await?.unwrap_or_default();
        let mut log = Log::default();
        let decision = self.ask(txn, &message, &subject.understood.outline).await?;
        log.decided(&decision);
        if self.cause == Cause::Ingest {
            announce(self.ctx, txn, &message, &subject.understood.outline).await?;
        }
        let ids = &subject.understood.thread_ids;
        message::assign_thread(txn, &message.project_id, subject.id, ids).await?;
        let automatic = Automatic {
            ctx: self.ctx,
            marks: &self.marks,
            message: &message,
            outline: &subject.understood.outline,
            raw: subject.raw,
        };
        // Sent before the mail's place is final: if a copy cannot go out, the mail is not dropped either.
        let forwarded = match self.cause {
            Cause::Ingest => automatic.forward(txn, &decision, &mut log.automatic).await?,
            Cause::Again | Cause::Release => true,
        };
        let place = match decision.place() {
            Place::Drop if !forwarded => {
                log.fallback =
                    "A copy of the whole mail could not be sent, so it was not dropped.".to_owned();
                Place::Default
            }
            place => place,
        };
        let outcome = match place {
            Place::Drop => self.drop(txn, &message, &decision).await?,
            Place::Quarantine => self.quarantine(txn, &message, &decision).await?,
            Place::Default | Place::New | Place::Ticket => {
                let key = (project_key.as_str(), place);
                self.place(txn, &message, subject, key, &decision, &mut log)
                    .await?
            }
        };
        if self.cause == Cause::Ingest && !log.is_copy {
            let ticket = log.ticket.as_ref().map(|(id, key)| (id.as_str(), key.as_str()));
            automatic
                .answer(txn, &decision, ticket, &mut log.automatic)
                .await?;
            // A rule's own answer takes its place.
            if let Some(ticket) = ticket.filter(|_| log.is_new && decision.answer.is_empty()) {
                automatic.acknowledge(txn, ticket, &mut log.automatic).await?;
            }
        }
        self.note(txn, subject, outcome, &log).await
    }

    /// Gives a mail that cannot be read a ticket of its own, which has the raw mail. Rules have nothing to look at.
    pub(super) async fn placeholder(
        &self,
        txn: &DatabaseTransaction,
        id: &str,
        problem: &str,
    ) -> Result<(), DbErr> {
        let message = message::get_in(txn, id).await?;
        let project_key = project::lock(txn, &message.project_id).await?.unwrap_or_default();
        let understood = Understood::placeholder("Mail that could not be read", problem);
        announce(self.ctx, txn, &message, &understood.outline).await?;
        let incoming = self
            .known
            .incoming(id, &message.project_id, &project_key, &understood);
        let resolution = ticket::resolve(txn, &self.ctx.keys, &self.ctx.clock, &incoming).await?;
        let placed = ticket::place(txn, &self.ctx.clock, &incoming, &resolution).await?;
        let why = resolution.to_json().to_string();
        message::mark_placed(txn, id, &placed.ticket_id, &placed.entry_id, &why).await?;
        set_aside(self.ctx, txn, &message, Reason::Unreadable, problem).await?;
        let now = self.ctx.clock.now_ms();
        let run = Run {
            number: 0,
            cause: self.cause.as_str().to_owned(),
            actor: self.actor.to_owned(),
            began_at: now,
            parsed_at: None,
            ended_at: now,
            outcome: "quarantined".to_owned(),
            detail: json!({ "rules": [], "ticketId": placed.ticket_id, "ticketKey": placed.key }),
        };
        message::record_run(txn, id, &run).await
    }

    async fn ask(
        &mut self,
        txn: &DatabaseTransaction,
        message: &Message,
        outline: &Outline,
    ) -> Result<Decision, DbErr> {
        if !self.rules.contains_key(&message.project_id) {
            let ready = rule::ready(txn, &message.project_id).await?;
            self.rules.insert(message.project_id.clone(), ready);
        }
        let rules = self.rules.get(&message.project_id).map_or(&[][..], Vec::as_slice);
        let mut decision = rule::decide(rules, outline, &message.mailbox_id);
        if self.cause == Cause::Release && matches!(decision.place(), Place::Drop | Place::Quarantine) {
            decision.place = None;
        }
        Ok(decision)
    }

    async fn drop(
        &self,
        txn: &DatabaseTransaction,
        message: &Message,
        decision: &Decision,
    ) -> Result<&'static str, DbErr> {
        let why = format!("The rule “{}” dropped it.", decided_by(decision));
        let now = self.ctx.clock.now_ms();
        message::set_standing(txn, &message.id, Standing::Dropped(&why), now).await?;
        self.note_rule(txn, message, decision, "message.dropped").await?;
        Ok("dropped")
    }

    async fn quarantine(
        &self,
        txn: &DatabaseTransaction,
        message: &Message,
        decision: &Decision,
    ) -> Result<&'static str, DbErr> {
        let why = format!("The rule “{}” sent it here.", decided_by(decision));
        set_aside(self.ctx, txn, message, Reason::Rule, &why).await?;
        self.note_rule(txn, message, decision, "message.quarantined")
            .await?;
        Ok("quarantined")
    }

    /// Notes for whoever asks later why a mail is in no ticket: a rule kept it out.
    async fn note_rule(
        &self,
        txn: &DatabaseTransaction,
        message: &Message,
        decision: &Decision,
        action: &str,
    ) -> Result<(), DbErr> {
        let rule = decision.place.as_ref().map_or("", |(_, rule)| rule.id.as_str());
        let event = NewAuditEvent::new(action, "message", &message.id)
            .by(rule)
            .in_project(&message.project_id)
            .through(Via::Rule)
            .saying(json!({ "rule": decided_by(decision) }));
        audit::append(txn, &self.ctx.clock, event).await.map(drop)
    }

    async fn place(
        &self,
        txn: &DatabaseTransaction,
        message: &Message,
        subject: &Subject<'_>,
        (project_key, place): (&str, Place),
        decision: &Decision,
        log: &mut Log,
    ) -> Result<&'static str, DbErr> {
        let incoming = self
            .known
            .incoming(&message.id, &message.project_id, project_key, subject.understood);
        let usual = ticket::resolve(txn, &self.ctx.keys, &self.ctx.clock, &incoming).await?;
        let resolution = self.overrule(txn, &incoming, usual, place, decision, log).await?;
        let placed = ticket::place(txn, &self.ctx.clock, &incoming, &resolution).await?;
        let why = resolution.to_json().to_string();
        message::mark_placed(txn, &message.id, &placed.ticket_id, &placed.entry_id, &why).await?;
        let wishes = ticket::Wishes {
            priority: &decision.priority,
            labels: &decision.labels,
            assignee_id: &decision.assignee_id,
        };
        log.ignored = ticket::dress(txn, &self.ctx.clock, &placed, &wishes).await?;
        log.is_new = placed.is_new;
        log.is_copy = placed.is_copy;
        log.ticket = Some((placed.ticket_id, placed.key));
        if message.is_partial {
            let why = too_large(message);
            set_aside(self.ctx, txn, message, Reason::TooLarge, &why).await?;
            return Ok("quarantined");
        }
        // Of a new message that is written already.
        if message.state != "ticketed" {
            let now = self.ctx.clock.now_ms();
            message::set_standing(txn, &message.id, Standing::Ticketed, now).await?;
        }
        Ok("ticketed")
    }

    /// What a rule makes of the usual place.
    async fn overrule(
        &self,
        txn: &DatabaseTransaction,
        incoming: &Incoming<'_>,
        usual: Resolution,
        place: Place,
        decision: &Decision,
        log: &mut Log,
    ) -> Result<Resolution, DbErr> {
        let name = decided_by(decision);
        Ok(match place {
            Place::New => usual.opened_by(name),
            Place::Ticket => match ticket::named(txn, &self.ctx.clock, incoming, &decision.ticket_key).await?
            {
                Some(candidate) => usual.added_by(name, candidate),
                None => {
                    let key = &decision.ticket_key;
                    log.fallback = format!(
                        "The rule “{name}” adds it to {key}, which is not there any more. It went where it would have gone without the rule."
                    );
                    usual
                }
            },
            Place::Default | Place::Drop | Place::Quarantine => usual,
        })
    }

    async fn note(
        &self,
        txn: &DatabaseTransaction,
        subject: &Subject<'_>,
        outcome: &str,
        log: &Log,
    ) -> Result<(), DbErr> {
        let run = Run {
            number: 0,
            cause: self.cause.as_str().to_owned(),
            actor: self.actor.to_owned(),
            began_at: subject.began_at,
            parsed_at: Some(subject.parsed_at),
            ended_at: self.ctx.clock.now_ms(),
            outcome: outcome.to_owned(),
            detail: log.to_json(),
        };
        message::record_run(txn, subject.id, &run).await
    }
}

fn decided_by(decision: &Decision) -> &str {
    decision.place.as_ref().map_or("", |(_, rule)| rule.name.as_str())
}

fn too_large(message: &Message) -> String {
    let (whole, tenths) = (message.size / 1_000_000, message.size % 1_000_000 / 100_000);
    format!("The mail has {whole}.{tenths} MB, more than its mailbox takes. Only its header is here.")
}

/// Puts a message into quarantine, with its event.
pub(super) async fn set_aside(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    message: &Message,
    reason: Reason,
    why: &str,
) -> Result<(), DbErr> {
    let now = ctx.clock.now_ms();
    message::set_standing(txn, &message.id, Standing::Quarantined(reason, why), now).await?;
    let data = json!({ "mailboxId": message.mailbox_id, "reason": reason.as_str() });
    tell(ctx, txn, message, "message.quarantined", data).await
}

/// Says that a message came, and what it is if no person wrote it.
pub(super) async fn announce(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    message: &Message,
    outline: &Outline,
) -> Result<(), DbErr> {
    let data = json!({ "mailboxId": message.mailbox_id, "size": message.size });
    tell(ctx, txn, message, "message.received", data).await?;
    let kind = match outline.kind {
        Kind::Bounce => "message.bounced",
        Kind::AutoReply => "message.auto_reply",
        Kind::Person | Kind::Report | Kind::Bulk => return Ok(()),
    };
    tell(
        ctx,
        txn,
        message,
        kind,
        json!({ "mailboxId": message.mailbox_id }),
    )
    .await
}

async fn tell(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    message: &Message,
    kind: &str,
    data: Value,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind,
        project_id: &message.project_id,
        subject_id: &message.id,
        actor: SYSTEM,
        data,
    };
    event::append(txn, &ctx.clock, event).await.map(drop)
}

/// What is noted with the message.
#[derive(Default)]
struct Log {
    decided: Value,
    ticket: Option<(String, String)>,
    /// Whether the ticket was opened by this message.
    is_new: bool,
    /// Whether the same mail is shown and was answered there already.
    is_copy: bool,
    fallback: String,
    /// What of the wishes was left out, because the ticket was there already.
    ignored: Vec<&'static str>,
    automatic: Vec<automatic_mail::Sent>,
}

impl Log {
    fn decided(&mut self, decision: &Decision) {
        let named = |rule: &rule::Fitted| json!({ "id": rule.id, "name": rule.name });
        self.decided = json!({
            "rules": decision.fitted.iter().map(named).collect::<Vec<_>>(),
            "place": decision.place().as_str(),
            "decidedBy": decision.place.as_ref().map(|(_, rule)| named(rule)),
            "priority": decision.priority,
            "labels": decision.labels,
            "assigneeId": decision.assignee_id,
        });
    }

    fn to_json(&self) -> Value {
        let mut detail = self.decided.clone();
        if let Some(members) = detail.as_object_mut() {
            let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
            members.insert("fallback".into(), text(&self.fallback));
            members.insert("ignored".into(), json!(self.ignored));
            let ticket = self.ticket.as_ref();
            members.insert(
                "ticketId".into(),
                ticket.map_or(Value::Null, |(id, _)| id.as_str().into()),
            );
            members.insert(
                "ticketKey".into(),
                ticket.map_or(Value::Null, |(_, key)| key.as_str().into()),
            );
            let sent = self.automatic.iter().map(automatic_mail::Sent::to_json);
            members.insert("automatic".into(), sent.collect());
        }
        detail
    }
}

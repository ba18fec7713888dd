//! What is done with one message that was understood, in the transaction that places it: the project's rules are asked,
//! then it goes into a ticket, into quarantine, or nowhere but the log; and what happened is noted with it.
//!
//! Nothing a rule says can lose mail: the raw bytes stay whatever happens, and a rule that cannot be followed (its
//! ticket is gone) falls back to what would have happened without it, and says so on the message.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

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
use crate::search::Document;
use crate::template::{self, Template};
use crate::ticket::{self, Incoming, Placed, Resolution};

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
    pub(super) raw: &'a [u8],
    pub(super) understood: &'a Understood,
    pub(super) began_at: i64,
    pub(super) parsed_at: i64,
}

/// Handles messages within one transaction, one after the other: what the next one may ask for is written at once, the
/// rest by [`Handling::finish`] for all of them. Locks each project, and reads its rules and templates, once.
pub(super) struct Handling<'a> {
    ctx: &'a Ctx,
    known: &'a Known,
    marks: LoopMarks,
    cause: Cause,
    actor: &'a str,
    projects: HashMap<String, OfProject>,
    left: Left<'a>,
}

/// What is the same for all messages of a project.
struct OfProject {
    key: String,
    rules: Vec<Ready>,
    acknowledgement: Option<Template>,
}

/// What is still to be written.
#[derive(Default)]
struct Left<'a> {
    placed: Vec<Placed>,
    places: Vec<message::Place<'a>>,
    runs: Vec<(String, Run)>,
    events: Vec<Told>,
    /// Of the mails among it ([`Understood::sent_hash`]).
    sent_hashes: HashSet<&'a str>,
}

/// An event that is to be appended.
struct Told {
    kind: &'static str,
    project_id: String,
    subject_id: String,
    data: Value,
}

impl<'a> Handling<'a> {
    pub(super) fn new(ctx: &'a Ctx, known: &'a Known, cause: Cause, actor: &'a str) -> Self {
        Self {
            ctx,
            known,
            marks: LoopMarks::new(&ctx.keys),
            cause,
            actor,
            projects: HashMap::new(),
            left: Left::default(),
        }
    }

    /// Locks projects, in their order, before anything of theirs is touched: whoever merges, splits or places a mail of the
    /// same project holds it as well, and nobody who holds a message waits for its project.
    pub(super) async fn hold(
        &mut self,
        txn: &DatabaseTransaction,
        projects: &BTreeSet<String>,
    ) -> Result<(), DbErr> {
        for id in projects {
            self.enter_project(txn, id).await?;
        }
        Ok(())
    }

    /// Asks the rules and carries out what they say. The message has no ticket yet.
    pub(super) async fn handle(
        &mut self,
        txn: &DatabaseTransaction,
        message: Message,
        subject: &Subject<'a>,
    ) -> Result<(), DbErr> {
        self.enter_project(txn, &message.project_id).await?;
        let mut log = Log::default();
        let outline = &subject.understood.outline;
        let decision = self.ask(&message, outline);
        log.decided(&decision);
        if self.cause == Cause::Ingest {
            self.announce(&message, outline);
        }
        let ids = &subject.understood.thread_ids;
        let node = message::link(txn, &message.project_id, &message.id, ids).await?;
        let automatic = self.automatic(&message, subject);
        // Sent before the mail's place is final: if a copy cannot go out, the mail is not dropped either.
        let forwarded = match self.cause {
            Cause::Ingest => automatic.forward(txn, &decision, &mut log.automatic).await?,
            Cause::Again => automatic.was_forwarded(txn, &decision).await?,
            // Nothing is dropped then.
            Cause::Release => true,
        };
        let place = match decision.place() {
            Place::Drop if !forwarded => {
                log.fallback = match self.cause {
                    Cause::Ingest => "A copy of the whole mail could not be sent, so it was not dropped.",
                    Cause::Again | Cause::Release => {
                        "Processing a mail again sends nothing, and not every copy was sent before, so it was not \
                         dropped."
                    }
                }
                .to_owned();
                Place::Default
            }
            place => place,
        };
        let outcome = match place {
            Place::Drop => self.drop(txn, &message, &decision).await?,
            Place::Quarantine => self.quarantine(txn, &message, &decision).await?,
            Place::Default | Place::New | Place::Ticket => {
                self.place(txn, &message, subject.understood, place, &decision, &mut log)
                    .await?
            }
        };
        if self.cause == Cause::Ingest {
            let automatic = self.automatic(&message, subject);
            let ticket = log
                .placed
                .as_ref()
                .map(|to| (to.ticket_id.as_str(), to.key.as_str()));
            automatic
                .answer(txn, &decision, ticket, &mut log.automatic)
                .await?;
            let project = self.projects.get(&message.project_id);
            let template = project.and_then(|project| project.acknowledgement.as_ref());
            let is_new = log.placed.as_ref().is_some_and(|placed| placed.is_new);
            // A rule's own answer takes its place.
            if let (Some(ticket), Some(template)) = (ticket, template)
                && is_new
                && decision.answer.is_empty()
            {
                automatic
                    .acknowledge(txn, template, ticket, &mut log.automatic)
                    .await?;
            }
        }
        let parsed_at = Some(subject.parsed_at);
        let run = self.run(subject.began_at, parsed_at, outcome, log.to_json());
        let words = Some(&subject.understood.words);
        self.leave(message, node, words, log.placed, log.why, run);
        Ok(())
    }

    /// Gives a mail that cannot be read a ticket of its own, which has the raw mail. Rules have nothing to look at.
    pub(super) async fn placeholder(
        &mut self,
        txn: &DatabaseTransaction,
        message: Message,
        problem: &str,
    ) -> Result<(), DbErr> {
        let key = self.enter_project(txn, &message.project_id).await?.key.clone();
        let understood = Understood::placeholder("Mail that could not be read", problem);
        self.announce(&message, &understood.outline);
        let incoming = self
            .known
            .incoming(&message.id, &message.project_id, &key, &understood);
        let resolution = ticket::resolve(txn, &self.ctx.keys, &self.ctx.clock, &incoming).await?;
        let placed = ticket::place(txn, &self.ctx.clock, &incoming, &resolution).await?;
        self.name_ticket(&message, &placed);
        self.tell_placed(&placed);
        let to = Some(&placed);
        self.set_aside(txn, &message, Reason::Unreadable, problem, to)
            .await?;
        let detail = json!({ "rules": [], "ticketId": placed.ticket_id, "ticketKey": placed.key });
        let run = self.run(self.ctx.clock.now_ms(), None, "quarantined", detail);
        let why = resolution.to_json().to_string();
        // It is in no conversation until it can be read.
        self.leave(message, String::new(), None, Some(placed), why, run);
        Ok(())
    }

    /// Writes what is left, the events last: what they wake finds the transaction committed soon.
    pub(super) async fn finish(mut self, txn: &DatabaseTransaction) -> Result<(), DbErr> {
        self.write_left(txn).await
    }

    async fn write_left(&mut self, txn: &DatabaseTransaction) -> Result<(), DbErr> {
        let Left {
            placed,
            places,
            runs,
            events,
            sent_hashes: _,
        } = std::mem::take(&mut self.left);
        ticket::enter(txn, &placed).await?;
        message::mark_placed(txn, &places).await?;
        match self.cause {
            Cause::Ingest => message::record_runs(txn, &runs).await?,
            // Of a message that came long ago there may be many.
            Cause::Again | Cause::Release => {
                for (id, run) in &runs {
                    message::record_run(txn, id, run).await?;
                }
            }
        }
        let events: Vec<NewEvent<'_>> = events
            .iter()
            .map(|told| NewEvent {
                kind: told.kind,
                project_id: &told.project_id,
                subject_id: &told.subject_id,
                actor: SYSTEM,
                data: told.data.clone(),
            })
            .collect();
        event::append_all(txn, &self.ctx.clock, &events).await.map(drop)
    }

    fn automatic<'s>(&'s self, message: &'s Message, subject: &Subject<'s>) -> Automatic<'s> {
        Automatic {
            ctx: self.ctx,
            marks: &self.marks,
            message,
            outline: &subject.understood.outline,
            raw: subject.raw,
            sent_hash: &subject.understood.sent_hash,
        }
    }

    /// What is known of a project, which is locked from now on.
    async fn enter_project(&mut self, txn: &DatabaseTransaction, id: &str) -> Result<&OfProject, DbErr> {
        match self.projects.entry(id.to_owned()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => Ok(new.insert(OfProject {
                key: project::lock(txn, id).await?.unwrap_or_default(),
                rules: rule::ready(txn, id).await?,
                acknowledgement: template::enabled(txn, id, template::Kind::Acknowledgement).await?,
            })),
        }
    }

    fn leave(
        &mut self,
        message: Message,
        node: String,
        words: Option<&'a Document>,
        placed: Option<Placed>,
        resolution: String,
        run: Run,
    ) {
        self.left.runs.push((message.id.clone(), run));
        let (ticket_id, entry_id) = placed.as_ref().map_or_else(Default::default, |placed| {
            (placed.ticket_id.clone(), placed.entry_id.clone())
        });
        self.left.places.push(message::Place {
            message,
            ticket_id,
            entry_id,
            resolution,
            node,
            words,
        });
        self.left.placed.extend(placed.filter(|placed| !placed.is_copy));
    }

    fn ask(&self, message: &Message, outline: &Outline) -> Decision {
        let project = self.projects.get(&message.project_id);
        let rules = project.map_or(&[][..], |project| &project.rules);
        let mut decision = rule::decide(rules, outline, &message.mailbox_id);
        if self.cause == Cause::Release && matches!(decision.place(), Place::Drop | Place::Quarantine) {
            decision.place = None;
        }
        decision
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
        &mut self,
        txn: &DatabaseTransaction,
        message: &Message,
        decision: &Decision,
    ) -> Result<&'static str, DbErr> {
        let why = format!("The rule “{}” sent it here.", decided_by(decision));
        self.set_aside(txn, message, Reason::Rule, &why, None).await?;
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
        &mut self,
        txn: &DatabaseTransaction,
        message: &Message,
        understood: &'a Understood,
        place: Place,
        decision: &Decision,
        log: &mut Log,
    ) -> Result<&'static str, DbErr> {
        let key = self.enter_project(txn, &message.project_id).await?.key.clone();
        let sent_hash = understood.sent_hash.as_str();
        if !self.left.sent_hashes.insert(sent_hash) && !sent_hash.is_empty() {
            // A further copy has to find where the first one is shown. What is told of it waits until its ticket is known.
            let own = self
                .left
                .events
                .extract_if(.., |told| told.subject_id == message.id);
            let own: Vec<Told> = own.collect();
            self.write_left(txn).await?;
            self.left.events.extend(own);
        }
        let incoming = self
            .known
            .incoming(&message.id, &message.project_id, &key, understood);
        let usual = ticket::resolve(txn, &self.ctx.keys, &self.ctx.clock, &incoming).await?;
        let resolution = self.overrule(txn, &incoming, usual, place, decision, log).await?;
        let placed = ticket::place(txn, &self.ctx.clock, &incoming, &resolution).await?;
        self.name_ticket(message, &placed);
        log.why = resolution.to_json().to_string();
        let wishes = ticket::Wishes {
            priority: &decision.priority,
            labels: &decision.labels,
            assignee_id: &decision.assignee_id,
        };
        if placed.is_copy {
            // What the events of the mails before it say comes first.
            self.write_left(txn).await?;
        } else {
            self.tell_placed(&placed);
        }
        log.ignored = ticket::dress(txn, &self.ctx.clock, &placed, &wishes).await?;
        let placed = log.placed.insert(placed);
        if message.is_partial {
            let why = too_large(message);
            self.set_aside(txn, message, Reason::TooLarge, &why, Some(&*placed))
                .await?;
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

    fn run(&self, began_at: i64, parsed_at: Option<i64>, outcome: &str, detail: Value) -> Run {
        Run {
            number: 0,
            cause: self.cause.as_str().to_owned(),
            actor: self.actor.to_owned(),
            began_at,
            parsed_at,
            ended_at: self.ctx.clock.now_ms(),
            outcome: outcome.to_owned(),
            detail,
        }
    }

    /// Puts a message into quarantine, with its event.
    async fn set_aside(
        &mut self,
        txn: &DatabaseTransaction,
        message: &Message,
        reason: Reason,
        why: &str,
        placed: Option<&Placed>,
    ) -> Result<(), DbErr> {
        let now = self.ctx.clock.now_ms();
        message::set_standing(txn, &message.id, Standing::Quarantined(reason, why), now).await?;
        let ticket_id = placed.map(|placed| &placed.ticket_id);
        let data =
            json!({ "mailboxId": message.mailbox_id, "reason": reason.as_str(), "ticketId": ticket_id });
        self.tell(message, "message.quarantined", data);
        Ok(())
    }

    /// Says that a message came, and what it is if no person wrote it.
    fn announce(&mut self, message: &Message, outline: &Outline) {
        let data = json!({ "mailboxId": message.mailbox_id, "size": message.size });
        self.tell(message, "message.received", data);
        let kind = match outline.kind {
            Kind::Bounce => "message.bounced",
            Kind::AutoReply => "message.auto_reply",
            Kind::Person | Kind::Report | Kind::Bulk => return,
        };
        self.tell(message, kind, json!({ "mailboxId": message.mailbox_id }));
    }

    /// Says in what is told of a message which ticket it is in: the mails of a ticket are told in their order.
    fn name_ticket(&mut self, message: &Message, placed: &Placed) {
        let of_it = |told: &&mut Told| told.subject_id == message.id;
        for told in self.left.events.iter_mut().filter(of_it) {
            told.data["ticketId"] = json!(placed.ticket_id);
        }
    }

    fn tell(&mut self, message: &Message, kind: &'static str, data: Value) {
        self.left.events.push(Told {
            kind,
            project_id: message.project_id.clone(),
            subject_id: message.id.clone(),
            data,
        });
    }

    fn tell_placed(&mut self, placed: &Placed) {
        self.left.events.push(Told {
            kind: placed.event_kind(),
            project_id: placed.project_id.clone(),
            subject_id: placed.ticket_id.clone(),
            data: placed.event_data(),
        });
    }
}

fn decided_by(decision: &Decision) -> &str {
    decision.place.as_ref().map_or("", |(_, rule)| rule.name.as_str())
}

fn too_large(message: &Message) -> String {
    let (whole, tenths) = (message.size / 1_000_000, message.size % 1_000_000 / 100_000);
    format!("The mail has {whole}.{tenths} MB, more than its mailbox takes. Only its header is here.")
}

/// What is noted with the message.
#[derive(Default)]
struct Log {
    decided: Value,
    /// Where the message went, if it went into a ticket, and why (JSON).
    placed: Option<Placed>,
    why: String,
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
            let placed = self.placed.as_ref();
            members.insert("ticketId".into(), json!(placed.map(|placed| &placed.ticket_id)));
            members.insert("ticketKey".into(), json!(placed.map(|placed| &placed.key)));
            let sent = self.automatic.iter().map(automatic_mail::Sent::to_json);
            members.insert("automatic".into(), sent.collect());
        }
        detail
    }
}

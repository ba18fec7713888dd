//! What a rule has sent by itself: a copy to an address of the admin's choice, an answer to the sender. Each must pass
//! the guard against loops; what does not is noted with the message and its reason.

use sea_orm::{DatabaseTransaction, DbErr};
use serde_json::{Value, json};

use crate::access::Projects;
use crate::audit::{self, NewAuditEvent, Via};
use crate::clock::Clock;
use crate::ctx::Ctx;
use crate::event::SYSTEM;
use crate::mailbox::{self, Mailbox};
use crate::message::{self, Message, Outline};
use crate::outbox::{self, Kind, NewMail, OutboxError, Through};
use crate::project::{self, Project};
use crate::rule::loop_guard::{self, Pass, Purpose};
use crate::rule::{Decision, Fitted, LoopMarks};
use crate::smtp::{Address, File, parse_address};
use crate::template::{self, Template, Values};
use crate::ticket::{self, OutgoingMail, reply_identity};

/// What became of one automatic mail.
pub(super) struct Sent {
    what: &'static str,
    to: String,
    /// The id of the outgoing mail, or code and reason of its absence.
    outcome: Result<String, (String, String)>,
    /// Whether it was sent for another copy of the same mail before.
    is_old: bool,
}

impl Sent {
    pub(super) fn to_json(&self) -> Value {
        let failed = self.outcome.as_ref().err();
        json!({
            "what": self.what,
            "to": self.to,
            "sent": failed.is_none(),
            "outgoingId": self.outcome.as_ref().ok(),
            "code": failed.map(|(code, _)| code),
            "why": failed.map(|(_, why)| why),
        })
    }
}

/// Sends by itself about one message.
pub(super) struct Automatic<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) marks: &'a LoopMarks,
    pub(super) message: &'a Message,
    pub(super) outline: &'a Outline,
    pub(super) raw: &'a [u8],
    /// Of the mail ([`message::Understood::sent_hash`]): what was sent for one copy is not sent for the next.
    pub(super) sent_hash: &'a str,
}

impl Automatic<'_> {
    /// Passes copies on. False if one of them could not go out, or not as a whole: then the mail must not be dropped.
    pub(super) async fn forward(
        &self,
        txn: &DatabaseTransaction,
        decision: &Decision,
        log: &mut Vec<Sent>,
    ) -> Result<bool, DbErr> {
        let mut all = true;
        for to in &decision.forward_to {
            let once = self.once("forward", to);
            let sent = self
                .send(txn, Purpose::Forward, ("forward", once), to, |_, pass| {
                    Ok(self.copy(decision, pass))
                })
                .await?;
            all &= sent.outcome.is_ok() && !self.message.is_partial;
            if let Some(rule) = decision.forwarded_by.get(to) {
                self.note(txn, rule, "message.forwarded", &sent).await?;
            }
            log.push(sent);
        }
        Ok(all)
    }

    /// Whether every copy that the rules ask for was sent before, as a whole.
    pub(super) async fn was_forwarded(
        &self,
        txn: &DatabaseTransaction,
        decision: &Decision,
    ) -> Result<bool, DbErr> {
        for to in &decision.forward_to {
            let once = self.once("forward", to);
            if outbox::sent_once(txn, once.as_deref()).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Answers the sender. `ticket` is the id and the key of the message's ticket.
    pub(super) async fn answer(
        &self,
        txn: &DatabaseTransaction,
        decision: &Decision,
        ticket: Option<(&str, &str)>,
        log: &mut Vec<Sent>,
    ) -> Result<(), DbErr> {
        if decision.answer.is_empty() {
            return Ok(());
        }
        let to = &self.outline.sender;
        let once = self.once("answer", &decision.answered_by.id);
        let mut address = None;
        let sent = self
            .send(txn, Purpose::Answer, ("answer", once), to, |mailbox, pass| {
                let mail = self.reply(&decision.answer, mailbox, ticket, pass);
                address = mail.reply_to.as_ref().map(|to| to.email().to_owned());
                Ok(mail)
            })
            .await?;
        if let (Some((ticket_id, _)), Some(address), Ok(_)) = (ticket, &address, &sent.outcome) {
            let message = self.message;
            ticket::remember_address(txn, &message.project_id, ticket_id, &message.id, address).await?;
        }
        self.note(txn, &decision.answered_by, "message.answered", &sent)
            .await?;
        log.push(sent);
        Ok(())
    }

    /// Notes for whoever asks later who sent this: a rule did. What was not sent stands with the message.
    async fn note(
        &self,
        txn: &DatabaseTransaction,
        rule: &Fitted,
        action: &str,
        sent: &Sent,
    ) -> Result<(), DbErr> {
        let Some(outgoing) = sent.outcome.as_ref().ok().filter(|_| !sent.is_old) else {
            return Ok(());
        };
        let event = NewAuditEvent::new(action, "message", &self.message.id)
            .by(&rule.id)
            .in_project(&self.message.project_id)
            .through(Via::Rule)
            .saying(json!({ "rule": rule.name, "to": sent.to, "outgoingId": outgoing }));
        audit::append(txn, &self.ctx.clock, event).await.map(drop)
    }

    /// Tells the sender in the project's own words that there is a ticket now.
    pub(super) async fn acknowledge(
        &self,
        txn: &DatabaseTransaction,
        template: &Template,
        (id, key): (&str, &str),
        log: &mut Vec<Sent>,
    ) -> Result<(), DbErr> {
        let project_id = self.message.project_id.as_str();
        let Some(project) = project::get_in(txn, &Projects::All, project_id).await? else {
            return Ok(());
        };
        let values = self.values(key, &project);
        let to = &self.outline.sender;
        let mut address = None;
        let sent = self
            .send(
                txn,
                Purpose::Answer,
                ("acknowledgement", None),
                to,
                |mailbox, pass| {
                    let values = if pass.may_quote() {
                        values
                    } else {
                        values.without_words()
                    };
                    let rendered = template::render(template, &values).map_err(|error| error.to_string())?;
                    let mut mail = self.reply(&rendered.text, mailbox, Some((id, key)), pass);
                    address = mail.reply_to.as_ref().map(|to| to.email().to_owned());
                    mail.subject = rendered.subject;
                    mail.html = rendered.html;
                    Ok(mail)
                },
            )
            .await?;
        if let (Some(address), Ok(_)) = (&address, &sent.outcome) {
            ticket::remember_address(txn, project_id, id, &self.message.id, address).await?;
        }
        log.push(sent);
        Ok(())
    }

    fn values(&self, key: &str, project: &Project) -> Values {
        let from = if self.message.from_name.is_empty() {
            &self.outline.sender
        } else {
            &self.message.from_name
        };
        let parsed = message::parsed(self.message);
        let text = parsed
            .get("mailgrant")
            .and_then(|extras| extras.get("text")?.as_str())
            .unwrap_or_default();
        Values {
            ticket_key: key.to_owned(),
            ticket_subject: self.outline.subject.clone(),
            ticket_state: "open".to_owned(),
            ticket_url: self.ctx.config.url(&format!("/tickets/{key}")),
            project_key: project.key.clone(),
            project_name: project.name.clone(),
            requester_name: self.message.from_name.clone(),
            requester_email: self.outline.sender.clone(),
            message_from: from.clone(),
            message_text: text.trim().to_owned(),
            agent_name: String::new(),
            site_url: self.ctx.config.url(""),
        }
    }

    async fn send(
        &self,
        txn: &DatabaseTransaction,
        purpose: Purpose,
        (what, once): (&'static str, Option<String>),
        to: &str,
        make: impl FnOnce(&Mailbox, &Pass) -> Result<NewMail, String>,
    ) -> Result<Sent, DbErr> {
        let not_sent = |code: &str, why: String| Sent {
            what,
            to: to.to_owned(),
            outcome: Err((code.to_owned(), why)),
            is_old: false,
        };
        if let Some(sent) = outbox::sent_once(txn, once.as_deref()).await? {
            return Ok(Sent {
                what,
                to: to.to_owned(),
                outcome: Ok(sent.id),
                is_old: true,
            });
        }
        let Some(mailbox) = mailbox::get_in(txn, &self.message.mailbox_id).await? else {
            return Ok(not_sent(
                "no_mailbox",
                "Its mailbox is not there any more.".to_owned(),
            ));
        };
        if let Err(error) = mailbox::sender_of(&mailbox) {
            return Ok(not_sent("sending_not_configured", sentence(&error.to_string())));
        }
        let address = match parse_address("to", to) {
            Ok(address) => address,
            Err(error) => return Ok(not_sent("no_address", error.message)),
        };
        let asked = loop_guard::Automatic {
            purpose,
            to: address.email(),
            about: Some(self.outline),
            has_own_mark: self.marks.is_in(self.raw),
        };
        let pass = match loop_guard::allow(txn, &self.ctx.clock, self.marks, &asked).await? {
            Ok(pass) => pass,
            Err(refusal) => return Ok(not_sent(refusal.as_str(), refusal.sentence())),
        };
        let mut mail = match make(&mailbox, &pass) {
            Ok(mail) => mail,
            Err(why) => return Ok(not_sent("template", sentence(&why))),
        };
        mail.to = vec![address];
        mail.project_id.clone_from(&self.message.project_id);
        mail.pass = Some(pass);
        mail.once = once;
        match compose(&self.ctx.clock, &mailbox, mail) {
            Ok(composed) => {
                let id = outbox::enqueue(txn, &composed).await?;
                Ok(Sent {
                    what,
                    to: to.to_owned(),
                    outcome: Ok(id),
                    is_old: false,
                })
            }
            Err(OutboxError::Db(error)) => Err(error),
            Err(error) => Ok(not_sent("cannot_be_sent", sentence(&error.to_string()))),
        }
    }

    /// What is sent for one copy of this mail only, whichever mailbox it comes in first; `what` says which of the things
    /// that are sent, `which` of those of that kind.
    fn once(&self, what: &str, which: &str) -> Option<String> {
        // Of half a mail nobody knows whether it is the same.
        let is_known = !self.sent_hash.is_empty() && !self.message.is_partial;
        is_known.then(|| format!("{what}:{}:{}:{which}", self.message.project_id, self.sent_hash))
    }

    /// The mail as it came, as a file: nothing of it is taken for our own words.
    fn copy(&self, decision: &Decision, _: &Pass) -> NewMail {
        let mut mail = NewMail::new(Kind::Forward, SYSTEM);
        let names: Vec<&str> = decision.fitted.iter().map(|rule| rule.name.as_str()).collect();
        mail.subject = format!("Fwd: {}", self.outline.subject);
        // Of a mail over the size limit there is no more.
        let (name, what) = if self.message.is_partial {
            (
                "header.eml",
                "It is larger than its mailbox takes here, so only its header is attached.",
            )
        } else {
            ("mail.eml", "It is attached as it came.")
        };
        mail.text = format!(
            "A mail from {} is passed on by the rules of Mailgrant ({}). {what}\n",
            self.outline.sender,
            names.join(", ")
        );
        mail.files = vec![File {
            name: name.to_owned(),
            // As message/rfc822 it could not be encoded (RFC 2046, section 5.2.1).
            content_type: "application/octet-stream".to_owned(),
            bytes: self.raw.to_vec(),
        }];
        mail
    }

    fn reply(&self, text: &str, mailbox: &Mailbox, ticket: Option<(&str, &str)>, pass: &Pass) -> NewMail {
        let mut mail = NewMail::new(Kind::Automatic, SYSTEM);
        let key = ticket.map(|(_, key)| format!("[{key}] ")).unwrap_or_default();
        mail.subject = if pass.may_quote() {
            format!("Re: {key}{}", self.outline.subject)
        } else {
            // Whoever is not verified may be a stranger whose address somebody put in: they get no words of that one.
            format!("{key}Your message to {}", mailbox.name)
        };
        text.clone_into(&mut mail.text);
        mail.in_reply_to = own_id(self.outline);
        mail.references = mail.in_reply_to.iter().cloned().collect();
        if let (Some((ticket_id, key)), Ok(sender)) = (ticket, mailbox::sender_of(mailbox)) {
            ticket_id.clone_into(&mut mail.ticket_id);
            let number = key.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
            let identity = number.and_then(|ticket_number| {
                let named = OutgoingMail {
                    project_id: &self.message.project_id,
                    ticket_number,
                    message: &self.message.id,
                    recipient: &self.outline.sender,
                    mailbox_address: sender.email(),
                };
                reply_identity(&self.ctx.keys, &self.ctx.clock, &named)
            });
            if let Some(identity) = identity {
                mail.message_id = Some(identity.message_id);
                mail.reply_to = identity
                    .reply_address
                    .filter(|_| mailbox.smtp_signed_replies)
                    .and_then(|address| Address::new("replyTo", sender.name(), &address).ok());
            }
        }
        mail
    }
}

fn compose(clock: &Clock, mailbox: &Mailbox, mail: NewMail) -> Result<outbox::Composed, OutboxError> {
    outbox::compose(clock, Through::Mailbox(mailbox), mail)
}

fn own_id(outline: &Outline) -> Option<String> {
    let id = outline.values("Message-ID").next()?;
    let id = id.trim().trim_matches(['<', '>']);
    (!id.is_empty()).then(|| id.to_owned())
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    let dot = if text.ends_with('.') { "" } else { "." };
    format!("{}{}{dot}", first.unwrap_or_default(), chars.as_str())
}

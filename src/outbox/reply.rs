//! Answering in a ticket: the mail is made so that the conversation goes on in it, and entry and mail come to be in
//! one transaction.

use sea_orm::{ConnectionTrait, DbErr};

use super::model::{Kind, NewMail, Through};
use super::proposal::quote_of;
use super::service::{OutboxError, compose, enqueue};
use super::store::{self, Outgoing};
use crate::access::Projects;
use crate::crash_point;
use crate::ctx::Ctx;
use crate::id;
use crate::mailbox::{self, Mailbox, MailboxError};
use crate::message::{self, Message, MessageError};
use crate::project::{self, ProjectError};
use crate::smtp::{Address, File};
use crate::template::{self, Rendered};
use crate::ticket::{
    self, NewReply, OutgoingMail, Ticket, TicketChange, TicketDetail, TicketError, TicketState,
};
use crate::trouble::FieldError;

/// What somebody answers.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The text; made from the HTML if empty.
    pub text: String,
    /// The HTML form; sanitised before it is sent.
    pub html: Option<String>,
    /// To whom; empty: to the requester.
    pub to: Vec<Address>,
    /// And to whom for their information.
    pub cc: Vec<Address>,
    /// Another subject; none: the ticket's.
    pub subject: Option<String>,
    /// Files.
    pub files: Vec<File>,
    /// Whether the newest mail is quoted below.
    pub quote: bool,
    /// The ticket's state from then on; none leaves it.
    pub then: Option<TicketState>,
    /// Whether nothing of the ticket's mails goes out with it, because its writer may not read them.
    pub carries_nothing: bool,
    /// Name of the request, if it may be repeated: there is one answer for it.
    pub once: Option<String>,
}

/// Longest text or HTML of an answer, bytes.
const MAX_TEXT: usize = 512 * 1024;

/// Puts an answer into a ticket of these projects and into the outbox. `actor` did it, `author` is how its writer is
/// shown.
///
/// # Errors
/// When there is nothing to send or nobody to send it to, no mailbox of the ticket's project sends, or a field does
/// not fit. Nothing was changed then.
pub async fn reply(
    ctx: &Ctx,
    actor: &str,
    author: &str,
    projects: &Projects,
    ticket_id: &str,
    answer: Answer,
) -> Result<Outgoing, OutboxError> {
    // Looked up before anything else: what was said the first time does not depend on what is so now.
    if let Some(sent) = sent_before(ctx.db.write(), answer.once.as_deref()).await? {
        return Ok(sent);
    }
    let TicketDetail { ticket, entries, .. } =
        ticket::get(ctx, projects, ticket_id).await.map_err(from_ticket)?;
    check(&answer)?;
    let ids: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.message_id.as_deref())
        .collect();
    let last = newest(ctx, &ticket.project_id, &ids).await?;
    let mailbox = mailbox_for(ctx, &ticket, last.as_ref()).await?;
    let sender = mailbox::sender_of(&mailbox)?;
    let thread = last.as_ref().map(Thread::of).unwrap_or_default();

    let written = written(&answer);
    let read = last.as_ref().filter(|_| !answer.carries_nothing);
    let signature = signature(ctx, &ticket, read, author).await?;
    let to = if answer.to.is_empty() {
        vec![requester(&ticket, &thread)?]
    } else {
        answer.to
    };
    let entry_id = id::new("ent", &ctx.clock);
    let identity = ticket::reply_identity(
        &ctx.keys,
        &ctx.clock,
        &OutgoingMail {
            project_id: &ticket.project_id,
            ticket_number: ticket.number,
            message: &entry_id,
            recipient: to.first().map(Address::email).unwrap_or_default(),
            mailbox_address: sender.email(),
        },
    );
    let reply_to = identity
        .as_ref()
        .filter(|_| mailbox.smtp_signed_replies)
        .and_then(|identity| identity.reply_address.as_deref())
        .and_then(|address| Address::new("replyTo", sender.name(), address).ok());
    let reply_address = reply_to.as_ref().map(|address| address.email().to_owned());
    let quote = match read {
        Some(last) if answer.quote => quote_of(last),
        _ => String::new(),
    };
    let mail = NewMail {
        project_id: ticket.project_id.clone(),
        ticket_id: ticket.id.clone(),
        entry_id: entry_id.clone(),
        message_id: identity.map(|identity| identity.message_id),
        reply_to,
        to,
        cc: answer.cc,
        subject: answer.subject.unwrap_or_else(|| answered(&ticket.subject)),
        text: with_quote(&signed(&written, &signature), &quote),
        html: answer
            .html
            .map(|html| with_quoted_html(signed_html(html, &signature), &quote)),
        in_reply_to: thread.id.clone(),
        references: thread.chain(),
        files: answer.files,
        once: answer.once.clone(),
        ..NewMail::new(Kind::Reply, actor)
    };
    let recipients: Vec<String> = mail
        .to
        .iter()
        .chain(&mail.cc)
        .map(|address| address.email().to_lowercase())
        .collect();
    let composed = compose(&ctx.clock, Through::Mailbox(&mailbox), mail)?;

    let txn = ctx.db.begin().await?;
    let ticket = ticket::hold(&txn, &ticket).await.map_err(from_ticket)?;
    // Behind the lock of the ticket: whoever worked on the same request is done by now.
    if let Some(sent) = sent_before(&txn, answer.once.as_deref()).await? {
        txn.rollback().await?;
        return Ok(sent);
    }
    let composed = composed.for_entry(&ticket.id, &entry_id);
    let shown = NewReply {
        entry_id: &entry_id,
        actor,
        author,
        text: &written,
        rfc_message_id: composed.rfc_message_id(),
        reply_address: reply_address.as_deref(),
        outgoing_id: composed.id(),
        recipients: &recipients,
    };
    ticket::add_reply(&txn, &ctx.clock, &ticket, &shown).await?;
    let id = enqueue(&txn, &composed).await?;
    if let Some(state) = answer.then {
        let change = TicketChange {
            state: Some(state),
            ..TicketChange::default()
        };
        ticket::change_in(ctx, &txn, actor, &ticket.id, None, &change)
            .await
            .map_err(from_ticket)?;
    }
    txn.commit().await?;
    crash_point!("answered");
    tracing::info!(
        mail = id,
        ticket = ticket.key,
        actor,
        "an answer was put into the outbox"
    );
    Ok(composed.into_outgoing())
}

/// The mail that a request of this name had sent, if it came that far.
pub async fn sent_before<C: ConnectionTrait>(on: &C, once: Option<&str>) -> Result<Option<Outgoing>, DbErr> {
    match once {
        Some(once) => store::by_once(on, once).await,
        None => Ok(None),
    }
}

fn from_ticket(error: TicketError) -> OutboxError {
    match error {
        TicketError::Db(error) => OutboxError::Db(error),
        _ => OutboxError::NoTicket,
    }
}

fn check(answer: &Answer) -> Result<(), OutboxError> {
    let html = answer.html.as_deref().unwrap_or_default();
    if answer.text.trim().is_empty() && html.trim().is_empty() {
        return Err(OutboxError::Invalid(FieldError::new(
            "text",
            "required",
            "Write something: `text`, `html` or both.",
        )));
    }
    if answer.text.len() > MAX_TEXT || html.len() > MAX_TEXT {
        return Err(OutboxError::Invalid(FieldError::new(
            "text",
            "too_long",
            "An answer has at most 512 KiB of text; send more as a file.",
        )));
    }
    Ok(())
}

/// The newest message of a ticket. One whose bytes cannot be read any more is no reason not to answer.
pub(super) async fn newest(
    ctx: &Ctx,
    project_id: &str,
    ids: &[&str],
) -> Result<Option<Message>, OutboxError> {
    let projects = Projects::one(project_id);
    for id in ids.iter().rev() {
        match message::get(ctx, &projects, id).await {
            Ok(message) => return Ok(Some(message)),
            Err(MessageError::Db(error)) => return Err(error.into()),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// The mailbox the conversation came in through, or another one of the project, if it sends.
pub(super) async fn mailbox_for(
    ctx: &Ctx,
    ticket: &Ticket,
    last: Option<&Message>,
) -> Result<Mailbox, OutboxError> {
    let db = |error| match error {
        MailboxError::Db(error) => OutboxError::Db(error),
        _ => OutboxError::NotSending(mailbox::NotSending),
    };
    let all = mailbox::sending_of(ctx, &ticket.project_id).await.map_err(db)?;
    let own = last.and_then(|last| all.iter().position(|mailbox| mailbox.id == last.mailbox_id));
    all.into_iter()
        .nth(own.unwrap_or(0))
        .ok_or(OutboxError::NotSending(mailbox::NotSending))
}

/// Who asked, at the address they want to be answered at.
pub(super) fn requester(ticket: &Ticket, thread: &Thread) -> Result<Address, OutboxError> {
    let asked = ticket.requester_email.as_str();
    let email = thread
        .reply_to
        .as_deref()
        .filter(|_| thread.from.eq_ignore_ascii_case(asked))
        .unwrap_or(asked);
    let name: String = ticket
        .requester_name
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    Address::new("to", &name, email).map_err(|_| {
        OutboxError::Invalid(FieldError::new(
            "to",
            "required",
            "The ticket names no address to answer to; name one in `to`.",
        ))
    })
}

/// What was written, as the ticket shows it: without what is quoted, which stands there already.
fn written(answer: &Answer) -> String {
    if !answer.text.trim().is_empty() {
        return answer.text.clone();
    }
    let html = answer.html.as_deref().unwrap_or_default();
    mailgrant_mail::sanitize_html(html)
        .map(|clean| mailgrant_mail::html_to_text(&clean))
        .unwrap_or_default()
}

/// What the project has below its answers; nothing if it has it not.
async fn signature(
    ctx: &Ctx,
    ticket: &Ticket,
    last: Option<&Message>,
    author: &str,
) -> Result<Option<Rendered>, OutboxError> {
    let found = template::enabled(ctx.db.read(), &ticket.project_id, template::Kind::Signature).await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let project = match project::get(ctx, &Projects::one(&ticket.project_id), &ticket.project_id).await {
        Ok(project) => project,
        Err(ProjectError::Db(error)) => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    let named = (project.key.as_str(), project.name.as_str());
    let values = template::values_of(ctx, named, ticket, last, author);
    match template::render(&found, &values) {
        Ok(rendered) => Ok(Some(rendered)),
        Err(error) => {
            // An answer without a signature is better than none.
            tracing::warn!(project = ticket.project_id, "a signature was left out: {error}");
            Ok(None)
        }
    }
}

fn signed(text: &str, signature: &Option<Rendered>) -> String {
    match signature {
        Some(signature) => format!("{}\n\n-- \n{}", text.trim_end(), signature.text.trim_end()),
        None => text.to_owned(),
    }
}

fn signed_html(html: String, signature: &Option<Rendered>) -> String {
    match signature {
        Some(Rendered { html: Some(own), .. }) => format!("{html}\n<p>-- </p>{own}"),
        Some(signature) => format!("{html}\n<p>-- <br>{}</p>", escaped(signature.text.trim_end())),
        None => html,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\n', "<br>\n")
}

fn with_quote(text: &str, quote: &str) -> String {
    if quote.is_empty() {
        return text.to_owned();
    }
    format!("{}\n\n{quote}", text.trim_end())
}

fn with_quoted_html(html: String, quote: &str) -> String {
    if quote.is_empty() {
        return html;
    }
    format!("{html}\n<blockquote>{}</blockquote>", escaped(quote))
}

/// `Re: ` before a subject that has none yet. The rest stays as it is: large providers hold a conversation together by it.
pub fn answered(subject: &str) -> String {
    let has_one = subject
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("re:") || start.eq_ignore_ascii_case("aw:"));
    if has_one {
        subject.to_owned()
    } else {
        format!("Re: {subject}")
    }
}

/// What an answer needs to know of the mail it answers.
#[derive(Debug, Default)]
pub(super) struct Thread {
    id: Option<String>,
    references: Vec<String>,
    in_reply_to: Vec<String>,
    from: String,
    reply_to: Option<String>,
}

impl Thread {
    pub(super) fn of(message: &Message) -> Self {
        let parsed = message::parsed(message);
        let texts = |name: &str| -> Vec<String> {
            parsed
                .get(name)
                .and_then(|value| serde_json::from_value(value.clone()).ok())
                .unwrap_or_default()
        };
        let email = |name: &str| {
            let first = parsed.get(name).and_then(|list| list.get(0));
            first
                .and_then(|address| address.get("email"))
                .and_then(|email| email.as_str())
                .map(str::to_owned)
        };
        Self {
            id: texts("messageId").into_iter().next(),
            references: texts("references"),
            in_reply_to: texts("inReplyTo"),
            from: email("from").unwrap_or_default(),
            reply_to: email("replyTo"),
        }
    }

    /// References of the answer: those of the mail, or what it answers, and the mail itself (RFC 5322, section 3.6.4).
    fn chain(&self) -> Vec<String> {
        let mut chain = self.references.clone();
        if chain.is_empty() && self.in_reply_to.len() == 1 {
            chain.clone_from(&self.in_reply_to);
        }
        chain.extend(self.id.clone());
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_answered_once() {
        assert_eq!(answered("Printer"), "Re: Printer");
        assert_eq!(answered("RE: Printer"), "RE: Printer");
        assert_eq!(answered("Über"), "Re: Über");
        assert_eq!(answered(""), "Re: ");
    }

    #[test]
    fn references_go_on_where_the_mail_ended() {
        let mut thread = Thread {
            id: Some("3@x".into()),
            references: vec!["1@x".into(), "2@x".into()],
            in_reply_to: vec!["2@x".into()],
            ..Thread::default()
        };
        assert_eq!(thread.chain(), ["1@x", "2@x", "3@x"]);
        thread.references.clear();
        assert_eq!(thread.chain(), ["2@x", "3@x"]);
        thread.in_reply_to.push("9@x".into());
        assert_eq!(thread.chain(), ["3@x"]);
    }
}

//! Answering a ticket: the box, what is sent with it, and what became of each answer.

use actix_web::web;

use super::desk::{Answer, Desk};
use super::outgoing;
use super::ticket_page;
use super::views::answer::{AnswerBox, Sending};
use super::views::parts::{Action, Choice, FormErrors, Problem as Trouble, Tone};
use crate::access::{Role, Scope};
use crate::audit;
use crate::crypto::{random_token, sha256_hex};
use crate::ctx::Ctx;
use crate::idempotency::{self, Begun, Turn};
use crate::outbox::{self, MailState, OutboxError, Outgoing};
use crate::smtp::{self, Address, File};
use crate::ticket::{self, Entry, Ticket, TicketState};
use crate::web::error::Problem;
use crate::web::route::{Guard, Route};
use crate::web::upload::{Upload, UploadedFile};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[Route::post(
    "/tickets/{key}/replies",
    Guard::Role(Role::Agent),
    || web::to(send),
)];

/// What somebody typed into the box.
#[derive(Clone, Debug, Default)]
pub(super) struct Typed {
    to: String,
    cc: String,
    subject: String,
    text: String,
    quote: bool,
    state: String,
    had_files: bool,
}

impl Typed {
    fn of(upload: &Upload) -> Self {
        let form = &upload.form;
        Self {
            to: form.text("answer_to").to_owned(),
            cc: form.text("answer_cc").to_owned(),
            subject: form.text("answer_subject").to_owned(),
            text: form.raw("answer_text").to_owned(),
            quote: form.is_checked("answer_quote"),
            state: form.text("answer_state").to_owned(),
            had_files: !upload.files.is_empty(),
        }
    }
}

/// The box below a conversation; none for those who may not answer. `typed` is what was refused.
pub(super) async fn view(
    desk: &Desk,
    ticket: &Ticket,
    entries: &[Entry],
    typed: Option<Typed>,
) -> Result<Option<AnswerBox>, Problem> {
    if !desk.access().may(Scope::MessagesSend, &ticket.project_id) {
        return Ok(None);
    }
    let proposal = match outbox::propose(&desk.ctx, ticket, entries).await {
        Ok(proposal) => proposal,
        Err(OutboxError::Db(error)) => return Err(error.into()),
        Err(_) => return Ok(Some(closed(desk, ticket))),
    };
    let problem = proposal.trouble.map(|trouble| Trouble {
        tone: Tone::Warn,
        title: "Answers have to wait".to_owned(),
        cause: trouble.cause,
        code: Some(trouble.code),
        remedy: format!(
            "{} An answer that is sent now waits in the outbox and goes out as soon as that is done, within two days.",
            trouble.remedy
        ),
        since: None,
        action: desk
            .access()
            .may(Scope::MailboxesWrite, &ticket.project_id)
            .then(|| Action::link("Open the grant", format!("/grants/{}", proposal.mailbox.grant_id))),
    });
    let typed = typed.unwrap_or_else(|| Typed {
        to: shown(&proposal.to),
        cc: shown(&proposal.cc),
        subject: outbox::answered(&ticket.subject),
        quote: true,
        ..Typed::default()
    });
    Ok(Some(AnswerBox {
        problem,
        can_send: true,
        from: proposal.from.shown(),
        mailbox: proposal.mailbox.name,
        to: typed.to,
        cc: typed.cc,
        subject: typed.subject,
        text: typed.text,
        quote: typed.quote,
        quoted_lines: proposal.quote.lines().count(),
        quoted: proposal.quote,
        states: states(ticket, &typed.state),
        once: random_token(18),
        files_lost: typed.had_files,
    }))
}

/// The box where no mailbox sends.
fn closed(desk: &Desk, ticket: &Ticket) -> AnswerBox {
    let may = desk.access().may(Scope::MailboxesWrite, &ticket.project_id);
    AnswerBox {
        problem: Some(Trouble {
            tone: Tone::Warn,
            title: "Nothing can be sent from this project".to_owned(),
            cause: "No mailbox of the project has a server for sending.".to_owned(),
            code: Some("sending_not_configured".to_owned()),
            remedy: if may {
                "Open a mailbox of the project and name its SMTP server."
            } else {
                "Ask a project admin to name an SMTP server in a mailbox of the project."
            }
            .to_owned(),
            since: None,
            action: may.then(|| Action::link("Mailboxes", "/mailboxes")),
        }),
        can_send: false,
        from: String::new(),
        mailbox: String::new(),
        to: String::new(),
        cc: String::new(),
        subject: String::new(),
        text: String::new(),
        quote: false,
        quoted: String::new(),
        quoted_lines: 0,
        states: vec![],
        once: String::new(),
        files_lost: false,
    }
}

fn shown(addresses: &[Address]) -> String {
    addresses
        .iter()
        .map(Address::shown)
        .collect::<Vec<_>>()
        .join(", ")
}

fn states(ticket: &Ticket, chosen: &str) -> Vec<Choice> {
    let stays = match ticket.state.as_str() {
        "closed" => "stays closed",
        "pending" => "stays pending",
        _ => "stays open",
    };
    let mut all = vec![Choice::new("", stays, chosen.is_empty())];
    for (state, label) in [
        (TicketState::Open, "is open"),
        (TicketState::Pending, "is pending: it waits for their answer"),
        (TicketState::Closed, "is closed"),
    ] {
        if state.as_str() != ticket.state {
            all.push(Choice::new(state.as_str(), label, chosen == state.as_str()));
        }
    }
    all
}

/// What became of an answer.
pub(super) fn sending(mail: &Outgoing) -> Sending {
    let state = MailState::parse(&mail.state);
    let trouble = mail.trouble();
    let is_unknown = mail.error_code == "outcome_unknown";
    let again = match state {
        Some(MailState::Failed) if is_unknown => "Send again all the same",
        Some(MailState::Failed) => "Send again",
        Some(MailState::Queued) if trouble.is_some() => "Try now",
        _ => "",
    };
    Sending {
        id: mail.id.clone(),
        state: outgoing::badge(mail),
        to: mail.addresses().join(", "),
        files: mail.file_names(),
        cause: trouble
            .as_ref()
            .map(|trouble| trouble.cause.clone())
            .unwrap_or_default(),
        remedy: trouble.map(|trouble| trouble.remedy).unwrap_or_default(),
        again: again.to_owned(),
        cancel: state == Some(MailState::Queued),
    }
}

/// Reads the form; mistakes are told by field.
fn read(typed: &Typed, files: Vec<UploadedFile>) -> Result<outbox::Answer, FormErrors> {
    let mut errors = FormErrors::default();
    let mut list = |field: &'static str, text: &str| match smtp::parse_addresses(field, text) {
        Ok(list) => list,
        Err(error) => {
            errors.add(field, error.message);
            Vec::new()
        }
    };
    let to = list("answer_to", &typed.to);
    let cc = list("answer_cc", &typed.cc);
    if to.is_empty() && errors.is_empty() {
        errors.add("answer_to", "Name at least one recipient.");
    }
    if typed.subject.chars().any(char::is_control) {
        errors.add("answer_subject", "A subject is one line of printable characters.");
    }
    if typed.text.trim().is_empty() {
        errors.add("answer_text", "Write the answer first.");
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(outbox::Answer {
        text: typed.text.replace("\r\n", "\n"),
        html: None,
        to,
        cc,
        subject: (!typed.subject.is_empty()).then(|| typed.subject.clone()),
        files: files
            .into_iter()
            .map(|file| File {
                name: smtp::tidy_name(&file.name),
                content_type: file.content_type,
                bytes: file.bytes,
            })
            .collect(),
        quote: typed.quote,
        then: TicketState::parse(&typed.state),
        carries_nothing: false,
        once: None,
    })
}

/// One fingerprint of everything that was sent, whatever the browser put between the parts.
fn fingerprint(ticket: &Ticket, typed: &Typed, files: &[UploadedFile]) -> String {
    let mut all = serde_json::json!([
        ticket.id,
        typed.to,
        typed.cc,
        typed.subject,
        typed.text,
        typed.quote,
        typed.state
    ])
    .to_string();
    for file in files {
        all.push_str(&file.name);
        all.push_str(&sha256_hex(&file.bytes));
    }
    sha256_hex(all.as_bytes())
}

async fn send(desk: Desk, key: web::Path<String>, upload: Upload) -> Answer {
    let projects = desk.access().projects_with(Scope::MessagesSend);
    let found = ticket::get_by_key(&desk.ctx, &projects, &key).await?;
    let here = format!("/tickets/{}", found.ticket.key);
    let typed = Typed::of(&upload);
    let once = upload.form.text("once").to_owned();
    if !(8..=100).contains(&once.len()) || !once.bytes().all(|b| b.is_ascii_graphic()) {
        let text = "This form was not whole. Look it over and send it again.";
        return ticket_page::answer_again(&desk, found, typed, FormErrors::default().with("", text)).await;
    }
    let print = fingerprint(&found.ticket, &typed, &upload.files);
    let mut answer = match read(&typed, upload.files) {
        Ok(answer) => answer,
        Err(errors) => return ticket_page::answer_again(&desk, found, typed, errors).await,
    };
    let owner = desk.actor().to_owned();
    let route = format!("page {here}/replies");
    let turn = match idempotency::begin(&desk.ctx, &owner, &route, &once, &[print.as_bytes()], "").await? {
        Begun::Mine(turn) => turn,
        Begun::Done(_) => {
            let text = "This answer was put into the outbox before; it is not sent twice.";
            return desk.done(text, &here).await;
        }
        Begun::InFlight(_) => {
            let text = "This answer is being put into the outbox right now; it is not sent twice.";
            return desk.done(text, &here).await;
        }
        Begun::OtherRequest => {
            let text = "Another text was sent with this form before. If this one is to be sent as well, send it again.";
            return ticket_page::answer_again(&desk, found, typed, FormErrors::default().with("", text))
                .await;
        }
    };
    answer.once = Some(turn.once());
    let work = Work {
        ctx: desk.ctx.get_ref().clone(),
        actor: owner,
        author: desk.current.user().name.clone(),
        ticket: found.ticket.clone(),
        projects,
        turn,
    };
    // On its own: a browser that hangs up does not stop it half-way, and does not make it happen twice.
    let done = actix_web::rt::spawn(audit::carried(work.run(answer))).await;
    match done.map_err(|error| Problem::internal(&error))? {
        Ok(mail) => {
            let path = format!("{here}#{}", mail.entry_id);
            desk.done(
                "The answer is on its way. Below it stands what becomes of it.",
                &path,
            )
            .await
        }
        Err(OutboxError::Db(error)) => Err(error.into()),
        Err(error) => {
            let errors = told(error);
            ticket_page::answer_again(&desk, found, typed, errors).await
        }
    }
}

/// What is done once, whoever waits for it.
struct Work {
    ctx: Ctx,
    actor: String,
    author: String,
    ticket: Ticket,
    projects: crate::access::Projects,
    turn: Turn,
}

impl Work {
    async fn run(self, answer: outbox::Answer) -> Result<Outgoing, OutboxError> {
        let sent = outbox::reply(
            &self.ctx,
            &self.actor,
            &self.author,
            &self.projects,
            &self.ticket.id,
            answer,
        )
        .await;
        let noted = match &sent {
            Ok(mail) => {
                let answer = idempotency::Answer {
                    status: 303,
                    headers: Vec::new(),
                    body: mail.id.clone(),
                };
                idempotency::finish(&self.ctx, &self.turn, &answer).await
            }
            // How far it came is not known.
            Err(OutboxError::Db(_)) => idempotency::let_go(&self.ctx, &self.turn).await,
            Err(_) => idempotency::give_back(&self.ctx, &self.turn).await,
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "what became of a form was not noted");
        }
        sent
    }
}

/// A refusal by field of the box.
fn told(error: OutboxError) -> FormErrors {
    match error {
        OutboxError::Invalid(error) => {
            let field = match error.field {
                "to" => "answer_to",
                "cc" => "answer_cc",
                "subject" => "answer_subject",
                "text" | "html" => "answer_text",
                "attachments" => "answer_files",
                _ => "",
            };
            FormErrors::default().with(field, &error.message)
        }
        error => FormErrors::default().with("", &outgoing::sentence(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_answer_is_told_by_field() {
        let typed = Typed {
            to: "nobody".to_owned(),
            cc: "a@b.example, c".to_owned(),
            subject: "x\ny".to_owned(),
            ..Typed::default()
        };
        let errors = read(&typed, vec![]).unwrap_err();
        let fields: Vec<&str> = errors.list.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(
            fields,
            ["answer_to", "answer_cc", "answer_subject", "answer_text"]
        );
    }

    #[test]
    fn a_crowd_is_refused() {
        let crowd: Vec<String> = (0..10_000).map(|n| format!("a{n}@b.example")).collect();
        let typed = Typed {
            to: crowd.join(", "),
            text: "x".to_owned(),
            ..Typed::default()
        };
        assert!(read(&typed, vec![]).is_err());
    }
}

//! What people, apps and other rooms can do with outgoing mails.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sea_orm::{ConnectionTrait, DbErr};
use secrecy::{ExposeSecret, SecretString};

use super::model::{Kind, MailState, NewMail, Through};
use super::store::{self, Outgoing};
use crate::access::Projects;
use crate::audit::{self, NewAuditEvent};
use crate::clock::Clock;
use crate::crypto::{Place, SealError, random_token};
use crate::ctx::Ctx;
use crate::message::Page;
use crate::rule::loop_guard::Pass;
use crate::smtp::{self, Address, ComposeError, Draft};
use crate::trouble::FieldError;
use crate::{id, mailbox};

/// How long an outgoing mail is tried before it is given up, milliseconds.
const TRIED_FOR_MS: i64 = 2 * 24 * 3_600_000;

/// Why a mail with a one-time link is not shown.
pub const ONLY_FOR_ITS_RECIPIENT: &str = "this mail holds a one-time link, which only its recipient may see";

/// Why an outgoing mail could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Something in it cannot be sent; nothing was changed.
    #[error("the mail was not put into the outbox: {}", .0.message)]
    Invalid(FieldError),
    /// There is no such ticket.
    #[error("there is no such ticket")]
    NoTicket,
    /// The mailbox is not set up for sending.
    #[error(transparent)]
    NotSending(#[from] mailbox::NotSending),
    /// No account sends mails of the installation itself; says what to do.
    #[error("{0}")]
    NoSiteMail(String),
    /// Somebody else changed the settings meanwhile.
    #[error("somebody else changed this meanwhile")]
    Changed,
    /// There is none with this id.
    #[error("there is no such outgoing mail")]
    NotFound,
    /// It is past the state in which this can be done.
    #[error("{0}")]
    TooLate(&'static str),
    /// The cursor of the list is not one of ours.
    #[error("the cursor `after` is not one that a list gave out")]
    BadCursor,
    /// A sealed mail does not open.
    #[error("a sealed mail does not open: {0}")]
    Sealed(#[from] SealError),
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

impl From<ComposeError> for OutboxError {
    fn from(error: ComposeError) -> Self {
        Self::Invalid(FieldError::new(error.field, error.code, error.message))
    }
}

/// A mail whose bytes are fixed, ready for [`enqueue`].
pub struct Composed {
    row: Outgoing,
    bytes: Vec<u8>,
    text: String,
}

impl std::fmt::Debug for Composed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Composed({})", self.row.id)
    }
}

impl Composed {
    /// Its id: `out_` + ULID.
    pub fn id(&self) -> &str {
        &self.row.id
    }

    /// Its Message-ID without angle brackets.
    pub fn rfc_message_id(&self) -> &str {
        &self.row.rfc_message_id
    }

    /// Its text form.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The mail as it was put in.
    pub fn into_outgoing(self) -> Outgoing {
        self.row
    }

    /// Names the entry that shows it, where that is made later than the mail.
    pub fn for_entry(mut self, ticket_id: &str, entry_id: &str) -> Self {
        ticket_id.clone_into(&mut self.row.ticket_id);
        entry_id.clone_into(&mut self.row.entry_id);
        self
    }
}

/// Fixes a mail's bytes: sanitises its HTML, makes the text form if there is none, draws a Message-ID if none was
/// given. Done before a transaction begins, since it takes time with large files.
///
/// # Errors
/// When something in it cannot be sent, or the mailbox does not send.
pub fn compose(clock: &Clock, through: Through<'_>, mail: NewMail) -> Result<Composed, OutboxError> {
    let (sender, mailbox_id) = match through {
        Through::Mailbox(mailbox) => (mailbox::sender_of(mailbox)?, mailbox.id.as_str()),
        Through::Site(address) => (address.clone(), ""),
    };
    let from = match &mail.from_name {
        Some(name) => Address::new("from", &printable(name), sender.email())?,
        None => sender.clone(),
    };
    if matches!(mail.kind, Kind::Automatic | Kind::Forward) && mail.pass.is_none() {
        return Err(OutboxError::Invalid(FieldError::new(
            "pass",
            "loop_guard",
            "What is sent automatically must pass the guard against loops first.",
        )));
    }
    let (text, html) = forms(&mail)?;
    let id = id::new("out", clock);
    let message_id = mail.message_id.clone().unwrap_or_else(|| drawn_id(&id, &sender));
    let subject = printable(&mail.subject);
    let now = clock.now_ms();
    let passed = mail.pass.as_ref().map(Pass::headers).unwrap_or_default();
    let extra: Vec<_> = mail.headers.iter().cloned().chain(passed).collect();
    let bytes = smtp::compose(&Draft {
        message_id: &message_id,
        date_ms: now,
        from: &from,
        reply_to: mail.reply_to.as_ref(),
        to: &mail.to,
        cc: &mail.cc,
        subject: &subject,
        text: &text,
        html: html.as_deref(),
        in_reply_to: mail.in_reply_to.as_deref(),
        references: &mail.references,
        auto: mail.kind.auto(),
        extra: &extra,
        files: &mail.files,
    })?;
    let recipients: Vec<&str> = mail.to.iter().chain(&mail.cc).map(Address::email).collect();
    let row = Outgoing {
        id,
        kind: mail.kind.as_str().to_owned(),
        state: MailState::Queued.as_str().to_owned(),
        project_id: mail.project_id,
        mailbox_id: mailbox_id.to_owned(),
        ticket_id: mail.ticket_id,
        entry_id: mail.entry_id,
        rfc_message_id: message_id,
        sender: sender.email().to_owned(),
        recipients: serde_json::json!(recipients).to_string(),
        subject,
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        actor: mail.actor,
        attempts: 0,
        tries: 0,
        unknown_outcomes: 0,
        next_attempt_at: now,
        give_up_at: now + TRIED_FOR_MS,
        error_code: String::new(),
        error_cause: String::new(),
        error_remedy: String::new(),
        revision: 1,
        lease_holder: String::new(),
        lease_no: 0,
        lease_until: 0,
        created_at: now,
        updated_at: now,
        sent_at: None,
        files: serde_json::Value::from_iter(
            mail.files
                .iter()
                .map(|file| serde_json::json!({ "name": file.name, "size": file.bytes.len() })),
        )
        .to_string(),
        once_key: mail.once,
    };
    Ok(Composed { row, bytes, text })
}

/// Puts a mail into the outbox, in the caller's transaction, and returns its id. It is sent once that is committed.
pub async fn enqueue<C: ConnectionTrait>(on: &C, mail: &Composed) -> Result<String, DbErr> {
    store::insert(on, &mail.row, &mail.bytes).await?;
    Ok(mail.row.id.clone())
}

/// The same for a mail that holds a one-time link: its bytes are sealed, so that the database does not open an account.
pub(super) async fn enqueue_sealed<C: ConnectionTrait>(
    on: &C,
    ctx: &Ctx,
    mail: &Composed,
) -> Result<String, DbErr> {
    let text = SecretString::from(STANDARD.encode(&mail.bytes));
    let sealed = ctx.keys.seal(&sealed_place(&mail.row.id), &text);
    store::insert(on, &mail.row, sealed.as_bytes()).await?;
    Ok(mail.row.id.clone())
}

fn sealed_place(id: &str) -> Place<'_> {
    Place {
        table: "outgoing_bodies",
        column: "bytes",
        row: id,
    }
}

/// The text form and the HTML form.
fn forms(mail: &NewMail) -> Result<(String, Option<String>), ComposeError> {
    let Some(html) = mail.html.as_deref().filter(|html| !html.trim().is_empty()) else {
        return Ok((mail.text.clone(), None));
    };
    let clean = mailgrant_mail::sanitize_html(html).ok_or_else(|| ComposeError {
        field: "html",
        code: "too_large",
        message: "This HTML is too large or too deep to be made safe; send text.".into(),
    })?;
    let text = if mail.text.trim().is_empty() {
        mailgrant_mail::html_to_text(&clean)
    } else {
        mail.text.clone()
    };
    Ok((text, Some(clean)))
}

/// One line: what was taken from a mail may hold anything.
fn printable(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.trim().chars().take(500).collect()
}

/// Nobody can guess it, so that an answer to it was once sent to somebody who got the mail.
fn drawn_id(id: &str, sender: &Address) -> String {
    format!("{id}.{}@{}", random_token(12), sender.domain())
}

/// Which outgoing mails a list shows; its default shows none, for it names no projects.
#[derive(Clone, Debug, Default)]
pub struct OutgoingFilter {
    /// Only in this state.
    pub state: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this mailbox.
    pub mailbox_id: Option<String>,
    /// Only of these projects; mails of no project are there for the whole site only.
    pub projects: Projects,
    /// Only mails of the installation itself, which belong to no project.
    pub of_site: bool,
    /// Cursor: only what comes after it.
    pub after: Option<String>,
}

/// Outgoing mails, the newest first, `limit` at most.
pub async fn list(ctx: &Ctx, filter: &OutgoingFilter, limit: u64) -> Result<Page<Outgoing>, OutboxError> {
    if filter.after.as_deref().is_some_and(|after| !id::is("out", after)) {
        return Err(OutboxError::BadCursor);
    }
    let mut items = store::list(ctx.db.read(), filter, limit + 1).await?;
    let more = items.len() as u64 > limit;
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = items.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Page { items, next })
}

/// One outgoing mail.
pub async fn get(ctx: &Ctx, id: &str) -> Result<Outgoing, OutboxError> {
    store::by_id(ctx.db.read(), id)
        .await?
        .ok_or(OutboxError::NotFound)
}

/// Its bytes as they are sent.
pub async fn raw(ctx: &Ctx, id: &str) -> Result<Vec<u8>, OutboxError> {
    let bytes = store::bytes(ctx.db.read(), id)
        .await?
        .ok_or(OutboxError::NotFound)?;
    // No mail begins like that: its first line is a header.
    let Some(sealed) = std::str::from_utf8(&bytes)
        .ok()
        .filter(|text| text.starts_with("mg1."))
    else {
        return Ok(bytes);
    };
    let text = ctx.keys.open(&sealed_place(id), sealed)?;
    STANDARD
        .decode(text.expose_secret())
        .map_err(|_| OutboxError::Sealed(SealError::Malformed))
}

/// Takes a mail back that waits to be sent, if it is still as it was `seen`.
pub async fn cancel(ctx: &Ctx, actor: &str, id: &str, seen: Option<i64>) -> Result<Outgoing, OutboxError> {
    let mail = get(ctx, id).await?;
    let txn = ctx.db.begin().await?;
    if !store::cancel(&txn, id, seen, ctx.clock.now_ms()).await? {
        let why =
            "only a mail that waits to be sent can be taken back; this one is being sent, or it is done with";
        return Err(too_late(&txn, id, seen, why).await?);
    }
    note(ctx, &txn, actor, "outgoing_mail.cancelled", &mail).await?;
    txn.commit().await?;
    tracing::info!(mail = id, actor, "an outgoing mail was taken back");
    get(ctx, id).await
}

/// Why a mail was not changed: it is another one than was seen, or past the state in which this can be done.
async fn too_late<C: ConnectionTrait>(
    on: &C,
    id: &str,
    seen: Option<i64>,
    why: &'static str,
) -> Result<OutboxError, DbErr> {
    let Some(seen) = seen else {
        return Ok(OutboxError::TooLate(why));
    };
    Ok(match store::by_id(on, id).await? {
        Some(mail) if mail.revision == seen => OutboxError::TooLate(why),
        Some(_) => OutboxError::Changed,
        None => OutboxError::NotFound,
    })
}

/// Sends a mail again that was given up, or at once one that waits for another attempt, if it is still as it was `seen`.
pub async fn retry(ctx: &Ctx, actor: &str, id: &str, seen: Option<i64>) -> Result<Outgoing, OutboxError> {
    let mail = get(ctx, id).await?;
    let now = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    if !store::retry(&txn, id, seen, (now, now + TRIED_FOR_MS)).await? {
        let why = "only a mail that failed or waits for another attempt can be tried again";
        return Err(too_late(&txn, id, seen, why).await?);
    }
    note(ctx, &txn, actor, "outgoing_mail.retried", &mail).await?;
    txn.commit().await?;
    tracing::info!(mail = id, actor, "an outgoing mail is tried again");
    get(ctx, id).await
}

async fn note<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    actor: &str,
    action: &str,
    mail: &Outgoing,
) -> Result<(), DbErr> {
    let event = NewAuditEvent::new(action, "outgoing_mail", &mail.id)
        .by(actor)
        .in_project(&mail.project_id);
    audit::append(on, &ctx.clock, event).await.map(drop)
}

impl Outgoing {
    /// Whether it is a reply of a person.
    pub fn is_reply(&self) -> bool {
        self.kind == Kind::Reply.as_str()
    }

    /// Whether a one-time link may be in it: whoever reads that becomes the person whose password it changes.
    pub fn holds_a_link(&self) -> bool {
        self.kind == Kind::Notice.as_str()
    }

    /// Its files: `[{name, size}]`.
    pub fn files(&self) -> serde_json::Value {
        serde_json::from_str(&self.files).unwrap_or_else(|_| serde_json::json!([]))
    }

    /// The names of its files.
    pub fn file_names(&self) -> Vec<String> {
        self.files()
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|file| file.get("name")?.as_str().map(str::to_owned))
            .collect()
    }

    /// To whom, as addresses.
    pub fn addresses(&self) -> Vec<String> {
        serde_json::from_str(&self.recipients).unwrap_or_default()
    }
}

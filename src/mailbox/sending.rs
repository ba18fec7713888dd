//! How a mailbox sends: its settings checked, and a session with its server, signed in with the mailbox's grant.
//!
//! The login name for sending and the sender's address are their own settings: with a shared mailbox one reads as the
//! shared address, signs in to send as oneself, and sends as the shared address.

use super::model::{MailboxError, Sending};
use super::session;
use super::store::{self, Mailbox};
use crate::access::Projects;
use crate::ctx::Ctx;
use crate::grant::{self, AccessToken, GrantError};
use crate::net::DialError;
use crate::smtp::{
    self, Address, Class, Endpoint, Patience, Session, SignIn, SmtpError, StepReport, TlsMode,
};
use crate::trouble::{FieldError, Trouble};

/// The mailbox has no server that sends for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is not set up for sending; name its SMTP server in its settings")]
pub struct NotSending;

/// Why no session for sending came about.
#[derive(Debug, thiserror::Error)]
pub enum SendingError {
    /// It is not set up.
    #[error(transparent)]
    NotSending(#[from] NotSending),
    /// No usable token: the grant says why.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The server could not be used, or refused, even with a token that was just renewed.
    #[error("{}", .trouble.cause)]
    Smtp {
        /// What happened.
        error: SmtpError,
        /// What kind of trouble it is.
        class: Class,
        /// Told to a person.
        trouble: Trouble,
    },
}

impl SendingError {
    /// Told to a person.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::NotSending(error) => Trouble::new(
                "sending_not_configured",
                "The mailbox is not set up for sending.",
                error.to_string(),
            ),
            Self::Grant(error) => error.trouble(),
            Self::Smtp { trouble, .. } => trouble.clone(),
        }
    }

    /// What kind of trouble it is. A dead grant is the account's: somebody has to reconnect.
    pub fn class(&self) -> Class {
        match self {
            Self::NotSending(_) => Class::Account,
            Self::Grant(error) if error.is_transient() => Class::Transient,
            Self::Grant(_) => Class::Account,
            Self::Smtp { class, .. } => *class,
        }
    }
}

/// The sender of a mailbox's mails.
pub fn sender_of(mailbox: &Mailbox) -> Result<Address, NotSending> {
    if mailbox.smtp_host.is_empty() {
        return Err(NotSending);
    }
    smtp::parse_address("from", &mailbox.smtp_from).map_err(|_| NotSending)
}

/// The mailboxes of a project that send, by name.
pub async fn sending_of(ctx: &Ctx, project_id: &str) -> Result<Vec<Mailbox>, MailboxError> {
    let mut all = store::all(ctx.db.read(), &Projects::one(project_id)).await?;
    all.retain(|mailbox| !mailbox.smtp_host.is_empty());
    Ok(all)
}

/// Connects and signs in, ready for mail; on a refusal the token is renewed once.
pub async fn open_sending(ctx: &Ctx, mailbox: &Mailbox) -> Result<Session, SendingError> {
    let token = grant::current_token(ctx, &mailbox.grant_id).await?;
    let session = connect(ctx, mailbox, |_| {}).await?;
    sign_in(ctx, mailbox, session, token).await
}

/// Connects up to the capabilities, telling each step.
pub(super) async fn connect(
    ctx: &Ctx,
    mailbox: &Mailbox,
    observer: impl FnMut(StepReport) + Send,
) -> Result<Session, SendingError> {
    let endpoint = endpoint(ctx, mailbox)?;
    match smtp::connect(&ctx.dialer, &endpoint, observer).await {
        Ok(session) => Ok(session),
        Err(error) => Err(told(ctx, mailbox, error).await),
    }
}

/// Signs in on a session; on a refusal renews the token once and tries again on a new connection.
pub(super) async fn sign_in(
    ctx: &Ctx,
    mailbox: &Mailbox,
    mut session: Session,
    token: AccessToken,
) -> Result<Session, SendingError> {
    let how = |token| SignIn::Token {
        user: mailbox.smtp_login_name.as_str(),
        token,
    };
    let refusal = match session.sign_in(how(&token.secret)).await {
        Ok(()) => return Ok(session),
        Err(error @ SmtpError::SignInRefused { .. }) => error,
        Err(error) => return Err(told(ctx, mailbox, error).await),
    };
    // Four hundreds are about the moment, not about the token.
    if refusal.reply().is_some_and(|reply| reply.code < 500) {
        return Err(told(ctx, mailbox, refusal).await);
    }
    tracing::info!(
        mailbox = mailbox.id,
        "the server for sending refused the access token; renewing it once"
    );
    let renewed = grant::force_refresh(ctx, &mailbox.grant_id, token.revision).await?;
    if renewed.revision == token.revision {
        return Err(told(ctx, mailbox, refusal).await);
    }
    let mut session = connect(ctx, mailbox, |_| {}).await?;
    match session.sign_in(how(&renewed.secret)).await {
        Ok(()) => Ok(session),
        Err(error) => Err(told(ctx, mailbox, error).await),
    }
}

async fn told(ctx: &Ctx, mailbox: &Mailbox, error: SmtpError) -> SendingError {
    let (class, trouble) = error.explain(session::provider_of(ctx, mailbox).await);
    SendingError::Smtp {
        error,
        class,
        trouble,
    }
}

fn endpoint(ctx: &Ctx, mailbox: &Mailbox) -> Result<Endpoint, NotSending> {
    if mailbox.smtp_host.is_empty() {
        return Err(NotSending);
    }
    Ok(Endpoint {
        host: mailbox.smtp_host.clone(),
        port: u16::try_from(mailbox.smtp_port).unwrap_or(0),
        // What is stored was checked; anything else must not fall back to the clear.
        tls: match TlsMode::parse(&mailbox.smtp_tls) {
            Some(TlsMode::StartTls) => TlsMode::StartTls,
            _ => TlsMode::Implicit,
        },
        hello: ctx.config.hello_name(),
        patience: Patience::default(),
    })
}

/// Fills in what follows from the mailbox's login name; what is of no use without a server goes.
pub(super) fn tidy(sending: &mut Sending, login_name: &str) {
    if sending.host.is_empty() {
        *sending = Sending::default();
        return;
    }
    if sending.login_name.is_empty() {
        login_name.clone_into(&mut sending.login_name);
    }
    if sending.from.is_empty() {
        login_name.clone_into(&mut sending.from);
    }
}

/// What is wrong with the settings.
pub(super) async fn check(ctx: &Ctx, sending: &Sending) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if sending.host.is_empty() {
        return errors;
    }
    let mut bad = |field, code, message: &str| errors.push(FieldError::new(field, code, message));
    if !matches!(
        TlsMode::parse(&sending.tls),
        Some(TlsMode::Implicit | TlsMode::StartTls)
    ) {
        bad(
            "smtp/tls",
            "invalid",
            "Choose implicit (port 465) or starttls (port 587); nothing is sent in the clear.",
        );
    }
    if sending.login_name.chars().any(char::is_control) || sending.login_name.chars().count() > 320 {
        bad(
            "smtp/loginName",
            "invalid",
            "Name the account that signs in to send.",
        );
    }
    if smtp::parse_address("smtp/from", &sending.from).is_err() {
        bad(
            "smtp/from",
            "invalid",
            "Write the sender as help@example.com or Help Desk <help@example.com>.",
        );
    }
    let port = u16::try_from(sending.port).unwrap_or(0);
    if port == 0 {
        bad(
            "smtp/port",
            "invalid",
            "Use a port from 1 to 65535: 465 with implicit TLS, 587 with STARTTLS.",
        );
        return errors;
    }
    // A server that is down today is no reason to refuse; a name that does not exist or may not be reached is.
    if let Err(
        error
        @ (DialError::NameNotFound { .. } | DialError::Forbidden { .. } | DialError::InvalidHost { .. }),
    ) = ctx.dialer.resolve(&sending.host, port).await
    {
        errors.push(FieldError::new(
            "smtp/host",
            error.code(),
            format!("{error}. {}", error.remedy()),
        ));
    }
    errors
}

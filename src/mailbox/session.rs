//! From a mailbox to a session that is signed in: token, connection, XOAUTH2, and one forced refresh if the server
//! refuses a token that looked fresh.

use std::future::Future;
use std::time::Duration;

use super::imap::{self, BoxedStream, Connection, Endpoint, ImapError, Limits, Session};
use super::model::TlsMode;
use super::store::Mailbox;
use crate::access::Projects;
use crate::ctx::Ctx;
use crate::grant::{self, AccessToken, GrantError};
use crate::integration;
use crate::oauth2_client::{self, Provider};
use crate::trouble::Trouble;

/// A session of production.
pub type OpenSession = Session<BoxedStream>;

/// Why no session came about.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No usable token: the grant says why.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The mail server refused the account, even with a token that was just renewed.
    #[error("{}", .0.cause)]
    Refused(Trouble),
    /// The mail server could not be used.
    #[error(transparent)]
    Imap(ImapError),
}

impl OpenError {
    /// Told to a person.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Grant(error) => error.trouble(),
            Self::Refused(trouble) => trouble.clone(),
            Self::Imap(error) => trouble_of(error),
        }
    }

    /// Whether trying again soon can help without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Grant(error) => error.is_transient(),
            Self::Refused(_) => false,
            Self::Imap(error) => error.is_transient(),
        }
    }

    /// Whether the server asked for fewer or slower sessions.
    pub fn is_throttle(&self) -> bool {
        matches!(self, Self::Imap(error) if error.is_throttle())
    }
}

/// What is wrong with a session, told to a person.
pub fn trouble_of(error: &ImapError) -> Trouble {
    Trouble::new(error.code(), sentence(&error.to_string()), error.remedy())
}

/// Why a folder cannot be opened or moved to, told to a person: with the folders there are, if the server names them.
pub(super) async fn folder_trouble(session: &mut OpenSession, folder: &str, error: &ImapError) -> Trouble {
    let mut trouble = trouble_of(error);
    if !matches!(error, ImapError::No { .. }) || error.is_throttle() {
        return trouble;
    }
    trouble.cause = format!("The folder “{folder}” cannot be used: {}", trouble.cause);
    let Ok(folders) = session.list_folders().await else {
        return trouble;
    };
    let names: Vec<_> = folders
        .iter()
        .filter(|folder| folder.selectable)
        .map(|folder| folder.name.chars().take(60).collect::<String>())
        .take(12)
        .collect();
    let names = names.join(", ");
    trouble.remedy = if error.is_folder_missing() {
        format!("Choose a folder that exists: {names}.")
    } else {
        format!("{} The account's folders: {names}.", trouble.remedy)
    };
    trouble
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    let dot = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{dot}", chars.as_str())
}

pub(super) fn endpoint(mailbox: &Mailbox) -> Endpoint {
    Endpoint {
        host: mailbox.host.clone(),
        port: u16::try_from(mailbox.port).unwrap_or(0),
        tls: TlsMode::parse(&mailbox.tls).unwrap_or(TlsMode::Implicit),
    }
}

pub(super) fn limits(ctx: &Ctx, mailbox: &Mailbox) -> Limits {
    Limits {
        max_message: u64::try_from(mailbox.max_message_bytes).unwrap_or(0),
        budget: ctx.imap_budget.clone(),
        ..Limits::default()
    }
}

/// Connects and signs in.
pub async fn open(ctx: &Ctx, mailbox: &Mailbox) -> Result<OpenSession, OpenError> {
    open_within(ctx, mailbox, limits(ctx, mailbox)).await
}

/// The same within other limits.
pub(super) async fn open_within(
    ctx: &Ctx,
    mailbox: &Mailbox,
    limits: Limits,
) -> Result<OpenSession, OpenError> {
    let token = grant::current_token(ctx, &mailbox.grant_id).await?;
    let endpoint = endpoint(mailbox);
    let connect = || imap::open(&ctx.dialer, &endpoint, &limits);
    sign_in(ctx, mailbox, connect, token).await
}

/// Signs in on a connection; on a refusal renews the token once and tries again on a new connection.
pub(super) async fn sign_in<F, Fut>(
    ctx: &Ctx,
    mailbox: &Mailbox,
    connect: F,
    token: AccessToken,
) -> Result<OpenSession, OpenError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Connection<BoxedStream>, ImapError>>,
{
    let connection = connect().await.map_err(OpenError::Imap)?;
    let refusal = match connection
        .authenticate_xoauth2(&mailbox.login_name, &token.secret)
        .await
    {
        Ok(session) => return Ok(session),
        Err(error @ ImapError::AuthRejected { .. }) => error,
        Err(error) => return Err(OpenError::Imap(error)),
    };
    tracing::info!(
        mailbox = mailbox.id,
        "the server refused the access token; renewing it once"
    );
    let renewed = grant::force_refresh(ctx, &mailbox.grant_id, token.revision).await?;
    if renewed.revision == token.revision {
        return Err(OpenError::Refused(explain(ctx, mailbox, &refusal).await));
    }
    let connection = connect().await.map_err(OpenError::Imap)?;
    match connection
        .authenticate_xoauth2(&mailbox.login_name, &renewed.secret)
        .await
    {
        Ok(session) => Ok(session),
        Err(error @ ImapError::AuthRejected { .. }) => {
            Err(OpenError::Refused(explain(ctx, mailbox, &error).await))
        }
        Err(error) => Err(OpenError::Imap(error)),
    }
}

/// What a refusal means with this provider.
pub(super) async fn explain(ctx: &Ctx, mailbox: &Mailbox, error: &ImapError) -> Trouble {
    match error {
        ImapError::AuthRejected { challenge, text, .. } => {
            let provider = provider_of(ctx, mailbox).await;
            oauth2_client::explain_imap(provider, challenge.as_deref(), text)
        }
        other => trouble_of(other),
    }
}

/// Whose words the mailbox's servers speak.
pub async fn provider_of(ctx: &Ctx, mailbox: &Mailbox) -> Provider {
    let Ok(grant) = grant::get(ctx, &Projects::All, &mailbox.grant_id).await else {
        return Provider::Custom;
    };
    integration::get(ctx, &Projects::All, &grant.integration_id)
        .await
        .map_or(Provider::Custom, |integration| integration.provider)
}

/// Longest a test or a form waits for a mail server.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

//! Mails of the installation itself: invitations, alerts, test mails. They go through the account below `[smtp]` in the
//! configuration, or through a mailbox that a site admin chose in its place.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use super::model::{Kind, NewMail, Through};
use super::service::{Composed, OutboxError, compose, enqueue_sealed, get};
use super::site_store;
use super::store::sent_once;
use super::store::{self, Outgoing};
use crate::audit::{self, NewAuditEvent};
use crate::config::SiteSmtp;
use crate::ctx::Ctx;
use crate::mailbox::{self, Mailbox};
use crate::oauth2_client::{Provider, with_words};
use crate::rule::loop_guard::Pass;
use crate::smtp::{
    self, Address, Class, Endpoint, Patience, Session, SignIn, SmtpError, Stage, TlsMode, parse_address,
};
use crate::trouble::{FieldError, Trouble};

pub use site_store::{SiteSettings, forget_notices};

/// A mail of the installation itself.
#[derive(Clone, Debug)]
pub struct SiteMail {
    /// [`Kind::Notice`] or [`Kind::Alert`].
    pub kind: Kind,
    /// Who had it sent: a user id, a token id or `system`.
    pub actor: String,
    /// To whom.
    pub to: Address,
    /// One line.
    pub subject: String,
    /// The text form.
    pub text: String,
    /// The HTML form, if there is one; sanitised.
    pub html: Option<String>,
    /// What the guard against loops gave, for mails that nobody asked for at this moment.
    pub pass: Option<Pass>,
    /// Name of the request, if it may be repeated: there is one mail for it.
    pub once: Option<String>,
}

impl SiteMail {
    /// A mail that somebody asked for just now, such as an invitation.
    pub fn notice(actor: &str, to: Address, subject: &str, text: &str) -> Self {
        Self {
            kind: Kind::Notice,
            actor: actor.to_owned(),
            to,
            subject: subject.to_owned(),
            text: text.to_owned(),
            html: None,
            pass: None,
            once: None,
        }
    }
}

/// The account that sends for the installation.
#[derive(Clone, Debug)]
pub enum SiteAccount {
    /// The one below `[smtp]`; under this sender.
    Smtp(Address),
    /// A mailbox's own.
    Mailbox(Box<Mailbox>),
}

/// Which account sends for the installation.
///
/// # Errors
/// [`OutboxError::NoSiteMail`] if none does, or the one that was chosen cannot; it says what to do.
pub async fn site_account<C: ConnectionTrait>(on: &C, ctx: &Ctx) -> Result<SiteAccount, OutboxError> {
    let chosen = site_store::settings(on).await?.mailbox_id;
    if !chosen.is_empty() {
        let mailbox = mailbox::get_in(on, &chosen).await?;
        return match mailbox {
            Some(mailbox) if mailbox::sender_of(&mailbox).is_ok() => {
                Ok(SiteAccount::Mailbox(Box::new(mailbox)))
            }
            _ => Err(OutboxError::NoSiteMail(
                "the mailbox that was chosen to send mails of this installation is gone or has no SMTP server; choose \
                 another one under Settings"
                    .into(),
            )),
        };
    }
    let Some(smtp) = &ctx.config.smtp else {
        return Err(OutboxError::NoSiteMail(
            "no account sends mails of this installation; name one below [smtp] in the configuration, or choose a \
             mailbox under Settings"
                .into(),
        ));
    };
    let sender = parse_address("from", &smtp.from).map_err(|_| {
        OutboxError::NoSiteMail(
            "the sender below [smtp] in the configuration is no address; write for example Mailgrant \
             <mailgrant@example.com>"
                .into(),
        )
    })?;
    Ok(SiteAccount::Smtp(sender))
}

/// Puts a mail of the installation into the outbox, in the caller's transaction, and returns its id.
///
/// # Errors
/// [`OutboxError::NoSiteMail`] if no account sends for the installation; nothing was written then.
pub async fn enqueue_site_mail<C: ConnectionTrait>(
    on: &C,
    ctx: &Ctx,
    mail: SiteMail,
) -> Result<String, OutboxError> {
    let composed = composed(on, ctx, mail).await?;
    Ok(enqueue_sealed(on, ctx, &composed).await?)
}

async fn composed<C: ConnectionTrait>(on: &C, ctx: &Ctx, mail: SiteMail) -> Result<Composed, OutboxError> {
    let account = site_account(on, ctx).await?;
    let new = NewMail {
        to: vec![mail.to],
        subject: mail.subject,
        text: mail.text,
        html: mail.html,
        pass: mail.pass,
        once: mail.once,
        ..NewMail::new(mail.kind, &mail.actor)
    };
    match &account {
        SiteAccount::Smtp(sender) => compose(&ctx.clock, Through::Site(sender), new),
        SiteAccount::Mailbox(mailbox) => compose(&ctx.clock, Through::Mailbox(mailbox), new),
    }
}

/// The same in a transaction of its own. A request that was repeated gets the mail of the first time.
///
/// # Errors
/// [`OutboxError::NoSiteMail`] if no account sends for the installation.
pub async fn send_site_mail(ctx: &Ctx, mail: SiteMail) -> Result<Outgoing, OutboxError> {
    let once = mail.once.clone();
    if let Some(sent) = sent_once(ctx.db.write(), once.as_deref()).await? {
        return Ok(sent);
    }
    let txn = ctx.db.begin().await?;
    let id = match enqueue_site_mail(&txn, ctx, mail).await {
        Ok(id) => id,
        Err(error) => {
            txn.rollback().await?;
            // Whoever worked on the same request may have been faster: the name is there once.
            let sent = sent_once(ctx.db.write(), once.as_deref()).await?;
            return sent.ok_or(error);
        }
    };
    txn.commit().await?;
    get(ctx, &id).await
}

/// Puts a test mail to this address into the outbox. `once` is the name of the request, if it may be repeated.
///
/// # Errors
/// When no account sends for the installation, or the address is none.
pub async fn send_test_mail(
    ctx: &Ctx,
    actor: &str,
    to: &str,
    once: Option<String>,
) -> Result<Outgoing, OutboxError> {
    let to = parse_address("to", to)?;
    let text = format!(
        "This is a test. Mailgrant at {} can send mail: invitations and alerts go out the same way.\n",
        ctx.config.base_url.as_str().trim_end_matches('/'),
    );
    let mail = SiteMail {
        once,
        ..SiteMail::notice(actor, to, "Test mail from Mailgrant", &text)
    };
    let sent = send_site_mail(ctx, mail).await?;
    tracing::info!(mail = sent.id, actor, "a test mail was put into the outbox");
    Ok(sent)
}

/// How mail of the installation is sent.
pub async fn site_settings(ctx: &Ctx) -> Result<SiteSettings, DbErr> {
    site_store::settings(ctx.db.read()).await
}

/// Has mails of the installation sent through this mailbox, or through the account below `[smtp]` if the id is empty.
///
/// # Errors
/// When the mailbox does not send, or somebody else changed the settings since `revision`.
pub async fn choose_site_mailbox(
    ctx: &Ctx,
    revision: i64,
    mailbox_id: &str,
) -> Result<SiteSettings, OutboxError> {
    let txn = ctx.db.begin().await?;
    let settings = choose_site_mailbox_in(&txn, ctx, revision, mailbox_id).await?;
    txn.commit().await?;
    Ok(settings)
}

/// The same in the caller's transaction, which ends without effect if this fails.
///
/// # Errors
/// As [`choose_site_mailbox`].
pub async fn choose_site_mailbox_in<C: ConnectionTrait>(
    on: &C,
    ctx: &Ctx,
    revision: i64,
    mailbox_id: &str,
) -> Result<SiteSettings, OutboxError> {
    if !mailbox_id.is_empty() {
        let mailbox = mailbox::get_in(on, mailbox_id).await?;
        if mailbox.is_none_or(|mailbox| mailbox::sender_of(&mailbox).is_err()) {
            return Err(OutboxError::Invalid(FieldError::new(
                "mailboxId",
                "unknown",
                "There is no mailbox with this id that has an SMTP server.",
            )));
        }
    }
    if !site_store::choose_mailbox(on, revision, mailbox_id, ctx.clock.now_ms()).await? {
        return Err(OutboxError::Changed);
    }
    let event = NewAuditEvent::new("site_mail.updated", "site_mail", "site_mail")
        .saying(json!({ "mailboxId": mailbox_id }));
    audit::append(on, &ctx.clock, event).await?;
    Ok(site_store::settings(on).await?)
}

/// A session with the server below `[smtp]`, signed in.
///
/// # Errors
/// What went wrong, told to a person, with the server's answer.
pub async fn open_site(ctx: &Ctx) -> Result<Session, (Class, Trouble, String)> {
    let Some(smtp) = &ctx.config.smtp else {
        let trouble = Trouble::new(
            "site_mail_not_configured",
            "No account sends mails of this installation any more.",
            "Name one below [smtp] in the configuration, or choose a mailbox under Settings.",
        );
        return Err((Class::Account, trouble, String::new()));
    };
    connect(ctx, smtp).await.map_err(|error| {
        let (class, trouble) = explain_site(&error);
        let answer = error.reply().map(smtp::Reply::shown).unwrap_or_default();
        (class, trouble, answer)
    })
}

async fn connect(ctx: &Ctx, smtp: &SiteSmtp) -> Result<Session, SmtpError> {
    let endpoint = Endpoint {
        host: smtp.host.clone(),
        port: smtp.port,
        // What the configuration says was checked; anything else must not fall back to the clear.
        tls: TlsMode::parse(&smtp.tls).unwrap_or(TlsMode::Implicit),
        hello: ctx.config.hello_name(),
        patience: Patience::default(),
    };
    let mut session = smtp::connect(&ctx.dialer, &endpoint, |_| {}).await?;
    if !smtp.login_name.is_empty() {
        let how = SignIn::Password {
            user: &smtp.login_name,
            password: &smtp.password,
        };
        session.sign_in(how).await?;
    }
    Ok(session)
}

/// What a failure of the site's account means: what is changed there is the configuration, not a mailbox or a grant.
pub fn explain_site(error: &SmtpError) -> (Class, Trouble) {
    if let SmtpError::SignInRefused { reply, .. } = error
        && reply.code >= 500
    {
        let said = format!("{} {}", reply.code, reply.text);
        let trouble = Trouble::new(
            "sign_in_refused",
            with_words(
                "The mail server refused the sign-in of the account below [smtp].",
                &said,
            ),
            "Check `login_name` and the password below [smtp] in the configuration, and that the server accepts \
             passwords; large providers want one made for applications. Then restart Mailgrant.",
        );
        return (Class::Account, trouble);
    }
    let (class, mut trouble) = error.explain(Provider::Custom);
    let remedy = match error {
        SmtpError::NoMechanism { .. } => Some(
            "Check host, port and TLS below [smtp] in the configuration: it must be the server for sending \
             (submission), and accept passwords (AUTH PLAIN). If it takes tokens only, choose a mailbox under Settings.",
        ),
        SmtpError::PlainRefused { .. } => Some(
            "Choose `tls = \"starttls\"` or `\"implicit\"` below [smtp] in the configuration. Without TLS only this \
             machine and networks in MAILGRANT_ALLOW_NETWORKS are spoken to, and never with a sign-in.",
        ),
        SmtpError::Refused {
            stage: Stage::Sender,
            reply,
        } if reply.code >= 500 => Some(
            "Check `from` below [smtp] in the configuration, and that the login may send as it. A server that wants a \
             sign-in says so here, too.",
        ),
        _ => None,
    };
    if let Some(remedy) = remedy {
        remedy.clone_into(&mut trouble.remedy);
    }
    (class, trouble)
}

/// What is wrong with the account that sends mails of the installation, and since when (milliseconds since 1970); none
/// if its latest mail was taken, or if no account was ever chosen. A recipient who is refused is not the account's fault.
pub async fn site_failure(ctx: &Ctx) -> Result<Option<(Trouble, i64)>, DbErr> {
    let on = ctx.db.read();
    let settings = site_store::settings(on).await?;
    match site_account(on, ctx).await {
        Ok(_) => {}
        Err(OutboxError::Db(error)) => return Err(error),
        Err(_) if settings.mailbox_id.is_empty() => return Ok(None),
        Err(_) => {
            let trouble = Trouble::new(
                "site_mailbox_gone",
                "The mailbox that was chosen to send them is gone or has no SMTP server.",
                "Choose another one under Settings → Mail.",
            );
            return Ok(Some((trouble, settings.updated_at)));
        }
    }
    let latest = store::latest_of_site(on, &settings.mailbox_id).await?;
    Ok(latest.and_then(|mail| {
        let trouble = mail.trouble()?;
        let is_the_accounts = mail.state != "sent" && !trouble.code.starts_with("recipient_");
        is_the_accounts.then_some((trouble, mail.updated_at))
    }))
}

impl SiteAccount {
    /// As the API shows it.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Smtp(sender) => json!({ "kind": "smtp", "from": sender.email(), "mailboxId": null }),
            Self::Mailbox(mailbox) => {
                json!({ "kind": "mailbox", "from": mailbox.smtp_from, "mailboxId": mailbox.id })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::Reply;

    #[test]
    fn a_refused_password_of_the_site_is_told_about_its_configuration() {
        let refused = SmtpError::SignInRefused {
            reply: Reply::new(535, "5.7.8 bad credentials"),
            challenge: None,
        };
        let (class, trouble) = explain_site(&refused);
        assert_eq!(class, Class::Account);
        assert!(
            trouble.remedy.contains("[smtp]") && !trouble.remedy.contains(" grant"),
            "{trouble:?}"
        );
        let for_now = SmtpError::SignInRefused {
            reply: Reply::new(454, "4.7.0 later"),
            challenge: None,
        };
        assert_eq!(explain_site(&for_now).0, Class::Transient);
    }
}

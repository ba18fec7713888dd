//! Where accounts meet the rest: who may be given a ticket, how people and tokens are named in it, and what ends
//! everywhere when a password changes or an account is closed.

use std::collections::BTreeMap;

use sea_orm::{DatabaseTransaction, DbErr};
use secrecy::{ExposeSecret, SecretString};

use crate::access::{Projects, Role};
use crate::account::{
    self, AccountError, HashedPassword, LinkKind, NewSession, PasswordLink, PersonChange, Session, Started,
    TokenIdentity, Tokens, User,
};
use crate::ctx::Ctx;
use crate::event;
use crate::message;
use crate::outbox::{self, OutboxError, Outgoing, SiteMail};
use crate::smtp::{Address, parse_address};
use crate::sso::{self, SsoError};
use crate::template::{self, Rendered, Values};
use crate::ticket::{self, TicketError};
use crate::{oauth2_server, project};

/// Everybody who may work in a project, by name: its members from agents on, and site admins.
pub(super) async fn assignable(ctx: &Ctx, project_id: &str) -> Result<Vec<User>, DbErr> {
    let members = project::members_of(&ctx.db, project_id).await?;
    let may_work = |user: &User| {
        user.is_site_admin
            || members
                .iter()
                .any(|member| member.user_id == user.id && member.role >= Role::Agent)
    };
    let mut people = account::list(&ctx.db, &Projects::All).await?;
    people.retain(|user| user.disabled_at.is_none() && may_work(user));
    people.sort_by_key(|user| user.name.to_lowercase());
    Ok(people)
}

/// Whether somebody may be given a ticket of a project. Nobody (the empty text) always may.
pub(super) async fn may_be_assigned(ctx: &Ctx, project_id: &str, user_id: &str) -> Result<bool, DbErr> {
    if user_id.is_empty() {
        return Ok(true);
    }
    let people = assignable(ctx, project_id).await?;
    Ok(people.iter().any(|user| user.id == user_id))
}

/// The values of a ticket of a project, by id or key, for a preview; none if it is not there for these projects.
pub(super) async fn template_values(
    ctx: &Ctx,
    projects: &Projects,
    project: (&str, &str),
    id: &str,
    agent: &str,
) -> Result<Option<Values>, DbErr> {
    let found = match ticket::get(ctx, projects, id).await {
        Err(TicketError::NotFound) => ticket::get_by_key(ctx, projects, id).await,
        other => other,
    };
    let found = match found {
        Ok(found) => found,
        Err(TicketError::Db(error)) => return Err(error),
        Err(_) => return Ok(None),
    };
    let of = found.ticket.key.rsplit_once('-').map(|(project, _)| project);
    if of != Some(project.0) {
        return Ok(None);
    }
    let last = found
        .entries
        .iter()
        .rev()
        .find_map(|entry| entry.message_id.as_deref());
    let message = match last {
        Some(id) => message::get(ctx, projects, id).await.ok(),
        None => None,
    };
    Ok(Some(template::values_of(
        ctx,
        project,
        &found.ticket,
        message.as_ref(),
        agent,
    )))
}

/// Sends what a template makes to whoever tries it.
pub(super) async fn send_template(
    ctx: &Ctx,
    actor: &str,
    to: &str,
    kind: template::Kind,
    rendered: Rendered,
    once: Option<String>,
) -> Result<Outgoing, OutboxError> {
    let to = Address::new("to", "", to)?;
    let subject = if kind.has_subject() {
        rendered.subject.as_str()
    } else {
        "Signature"
    };
    let mail = SiteMail {
        html: rendered.html,
        once,
        ..SiteMail::notice(actor, to, subject, &rendered.text)
    };
    outbox::send_site_mail(ctx, mail).await
}

/// How a token is named as the writer of something: by its person, if it has one.
pub(super) async fn author(ctx: &Ctx, token: &TokenIdentity) -> Result<String, DbErr> {
    let person = account::get(&ctx.db, &token.actor).await?;
    Ok(person.map_or_else(|| format!("API token {}", token.name), |user| user.name))
}

/// Keeps somebody out: from the moment this is committed nothing of theirs opens anything, sessions, personal tokens and
/// what applications hold alike.
pub(super) async fn disable(ctx: &Ctx, user_id: &str, actor: &str) -> Result<(), AccountError> {
    let tx = ctx.db.begin().await?;
    disable_in(&tx, ctx, user_id, actor).await?;
    tx.commit().await?;
    Ok(())
}

async fn disable_in(
    tx: &DatabaseTransaction,
    ctx: &Ctx,
    user_id: &str,
    actor: &str,
) -> Result<(), AccountError> {
    account::disable(tx, &ctx.clock, user_id, actor).await?;
    oauth2_server::end_all_of_user(tx, ctx.clock.now_ms(), user_id, "user_disabled").await?;
    Ok(())
}

/// Sets a password of one's own: every other session ends, what applications hold ends, and this browser goes on under a
/// new session id, which hangs on the same one at the identity provider as the one `before`.
pub(super) async fn change_password(
    ctx: &Ctx,
    new: &HashedPassword,
    tokens: Tokens,
    session: &NewSession<'_>,
    before: &Session,
) -> Result<Started, AccountError> {
    let now = ctx.clock.now_ms();
    let tx = ctx.db.begin().await?;
    account::hold_person(&tx, session.user_id).await?;
    // A password of one's own is no way out of what a provider says of one's session.
    let tied = sso::tied(ctx, &tx, &before.id).await.map_err(of_sso)?;
    // Behind that, which waits for whoever ends the sessions of a provider.
    if !account::is_still_there(&tx, before).await? {
        return Err(AccountError::DeadOffer);
    }
    account::set_password(&tx, &ctx.clock, session.user_id, new, tokens, session.user_id).await?;
    oauth2_server::end_all_of_user(&tx, now, session.user_id, "password_changed").await?;
    let started = account::start_in(&tx, &ctx.clock, session).await?;
    if let Some((link, given)) = &tied {
        sso::tie(ctx, &tx, &started.session.id, link, given)
            .await
            .map_err(of_sso)?;
    }
    tx.commit().await?;
    Ok(started)
}

fn of_sso(error: SsoError) -> AccountError {
    match error {
        SsoError::Db(error) => error.into(),
        // Loaded again, the page leads to the sign-in.
        SsoError::SignedOut => AccountError::DeadOffer,
        other => AccountError::Sealed(other.to_string()),
    }
}

/// Whether this installation can send mail of its own.
pub(super) async fn can_mail(ctx: &Ctx) -> Result<bool, DbErr> {
    match outbox::site_account(ctx.db.read(), ctx).await {
        Ok(_) => Ok(true),
        Err(OutboxError::Db(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// What a new person is to be.
#[derive(Debug)]
pub(super) struct Invitation {
    /// Address to sign in with.
    pub(super) email: String,
    /// Name shown; empty until its person says one.
    pub(super) name: String,
    /// Whether they may do everything on the site.
    pub(super) is_site_admin: bool,
    /// Their roles: (project id, role).
    pub(super) roles: Vec<(String, Role)>,
}

/// A link that was made for a person.
#[derive(Debug)]
pub(super) struct LinkMade {
    /// The link, where it could not be sent: to be shown once to who made it.
    pub(super) url: Option<SecretString>,
}

/// Makes an account and invites its person.
pub(super) async fn invite(
    ctx: &Ctx,
    invitation: &Invitation,
    actor: &str,
) -> Result<(User, LinkMade), AccountError> {
    let tx = ctx.db.begin().await?;
    let user = account::invite_in(
        &tx,
        &ctx.clock,
        &invitation.email,
        &invitation.name,
        invitation.is_site_admin,
        actor,
    )
    .await?;
    for (project_id, role) in &invitation.roles {
        project::set_member_in(&tx, &ctx.clock, project_id, &user.id, *role, actor).await?;
    }
    let made = link_in(&tx, ctx, &user, LinkKind::Invitation, actor, None).await?;
    tx.commit().await?;
    Ok((user, made))
}

/// A new link for a person: sent to them, or returned where no mail can be sent. `once` is the name of the request, if it
/// may be repeated: the link that was sent the first time stays the one that works.
pub(super) async fn make_link(
    ctx: &Ctx,
    user: &User,
    kind: LinkKind,
    actor: &str,
    once: Option<String>,
) -> Result<LinkMade, AccountError> {
    let tx = ctx.db.begin().await?;
    // Whoever works on the same request at this moment holds this person, too.
    account::hold_person(&tx, &user.id).await?;
    if outbox::sent_once(&tx, once.as_deref()).await?.is_some() {
        tx.rollback().await?;
        return Ok(LinkMade { url: None });
    }
    let made = link_in(&tx, ctx, user, kind, actor, once).await?;
    tx.commit().await?;
    Ok(made)
}

async fn link_in(
    tx: &DatabaseTransaction,
    ctx: &Ctx,
    user: &User,
    kind: LinkKind,
    actor: &str,
    once: Option<String>,
) -> Result<LinkMade, AccountError> {
    let url = account::password_link(tx, ctx, &user.id, kind, actor).await?;
    let Ok(to) = parse_address("to", &user.email) else {
        return Ok(LinkMade { url: Some(url) });
    };
    let mail = SiteMail {
        once,
        ..SiteMail::notice(actor, to, subject(kind), &mail_text(ctx, user, kind, &url))
    };
    match outbox::enqueue_site_mail(tx, ctx, mail).await {
        Ok(_) => {
            account::note_mailed(tx, &url, &user.email).await?;
            Ok(LinkMade { url: None })
        }
        Err(OutboxError::Db(error)) => Err(error.into()),
        Err(_) => Ok(LinkMade { url: Some(url) }),
    }
}

const fn subject(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Invitation => "You are invited to Mailgrant",
        LinkKind::Reset | LinkKind::Recovery => "A new password for Mailgrant",
    }
}

fn mail_text(ctx: &Ctx, user: &User, kind: LinkKind, url: &SecretString) -> String {
    let site = ctx.config.base_url.as_str().trim_end_matches('/');
    let (what, otherwise) = match kind {
        LinkKind::Invitation => (
            format!("you were invited to Mailgrant at {site}.\n\nOpen this link and choose a password:"),
            "If you do not know what this is about, do nothing; the invitation ends by itself.",
        ),
        LinkKind::Reset | LinkKind::Recovery => (
            format!(
                "somebody asked for a new password for your account at {site}.\n\nOpen this link to choose one:"
            ),
            "If it was not you, do nothing: your password stays as it is.",
        ),
    };
    let time = match kind.minutes() {
        minutes if minutes >= 120 => format!("{} hours", minutes / 60),
        60 => "an hour".to_owned(),
        minutes => format!("{minutes} minutes"),
    };
    format!(
        "Hello {},\n\n{what}\n\n{}\n\nIt works once, within {time}.\n\n{otherwise}\n",
        user.name,
        url.expose_secret(),
    )
}

/// Asks for another address of one's own: a link goes there, and the present address is told. Whether somebody has the new
/// one already is said to nobody.
pub(super) async fn ask_for_email(ctx: &Ctx, user: &User, email: &str) -> Result<(), AccountError> {
    let tx = ctx.db.begin().await?;
    let asked = account::ask_for_email(&tx, ctx, user, email).await?;
    let site = ctx.config.base_url.as_str().trim_end_matches('/');
    let hello = format!("Hello {},\n\n", user.name);
    if let Some((email, url)) = asked {
        let text = format!(
            "{hello}somebody who signs in to Mailgrant at {site} as {} wants to use this address from now on.\n\nOpen this \
             link to confirm it:\n\n{}\n\nIt works once, within {} hours.\n\nIf it was not you, do nothing: nothing \
             changes.\n",
            user.email,
            url.expose_secret(),
            account::EMAIL_LINK_HOURS,
        );
        tell(
            &tx,
            ctx,
            user,
            &email,
            "Confirm your address for Mailgrant",
            &text,
        )
        .await?;
    }
    let text = format!(
        "{hello}you, or somebody who knows your password, wants to sign in to Mailgrant at {site} with another address. It \
         changes as soon as a link that was mailed there is opened.\n\nIf it was not you, change your password now: that \
         stops it, and ends every session.\n"
    );
    tell(
        &tx,
        ctx,
        user,
        &user.email,
        "Your address for Mailgrant is to change",
        &text,
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Takes an address that was confirmed, and tells the one before.
pub(super) async fn confirm_email(ctx: &Ctx, token: &SecretString) -> Result<String, AccountError> {
    let tx = ctx.db.begin().await?;
    let confirmed = account::confirm_email(&tx, ctx, token).await?;
    tell_moved(&tx, ctx, &confirmed.user).await?;
    tx.commit().await?;
    Ok(confirmed.email)
}

/// Tells the address that somebody had until now.
async fn tell_moved(tx: &DatabaseTransaction, ctx: &Ctx, before: &User) -> Result<(), AccountError> {
    let site = ctx.config.base_url.as_str().trim_end_matches('/');
    let text = format!(
        "Hello {},\n\nyour account at {site} has another address now; you sign in with that, and mails go there.\n\nIf \
         neither you nor an administrator of Mailgrant did it for you, tell an administrator at once.\n",
        before.name,
    );
    let subject = "Your address for Mailgrant was changed";
    tell(tx, ctx, before, &before.email, subject, &text).await
}

async fn tell(
    tx: &DatabaseTransaction,
    ctx: &Ctx,
    user: &User,
    to: &str,
    subject: &str,
    text: &str,
) -> Result<(), AccountError> {
    // An address that no mail can go to was never told anything.
    let Ok(to) = parse_address("to", to) else {
        return Ok(());
    };
    match outbox::enqueue_site_mail(tx, ctx, SiteMail::notice(&user.id, to, subject, text)).await {
        Err(OutboxError::Db(error)) => Err(error.into()),
        // Who asks is told beforehand where no mail can be sent.
        _ => Ok(()),
    }
}

/// Sets a password by a link, which is used up: sessions, personal tokens and what applications hold end.
pub(super) async fn password_by_link(
    ctx: &Ctx,
    token: &SecretString,
    link: &PasswordLink,
    name: &str,
    password: &SecretString,
) -> Result<User, AccountError> {
    let named = User {
        name: match name {
            "" => link.user.name.clone(),
            name => name.to_owned(),
        },
        ..link.user.clone()
    };
    let host = ctx.config.base_url.host_str().unwrap_or_default();
    let new = account::new_password(&named, host, password).await?;
    let tx = ctx.db.begin().await?;
    // Before the link: whoever shuts them out takes both in this order.
    account::hold_person(&tx, &link.user.id).await?;
    let user = account::take_link(&tx, ctx, token, link.kind).await?;
    if named.name != user.name {
        account::rename(&tx, &ctx.clock, &user.id, &named.name, &user.id).await?;
    }
    account::set_password(&tx, &ctx.clock, &user.id, &new, Tokens::Revoke, &user.id).await?;
    oauth2_server::end_all_of_user(&tx, ctx.clock.now_ms(), &user.id, "password_changed").await?;
    let user = account::read_in(&tx, &user.id).await?;
    tx.commit().await?;
    user.ok_or(AccountError::DeadLink)
}

/// Sends a link for a new password to an address, if it is that of somebody who may sign in. Says nothing of it.
pub(super) async fn send_reset(ctx: &Ctx, email: &str) -> Result<(), AccountError> {
    let Some(user) = account::get_by_email(&ctx.db, email).await? else {
        return Ok(());
    };
    if !user.is_active() || !account::may_be_mailed(ctx, &user).await? {
        return Ok(());
    }
    make_link(ctx, &user, LinkKind::Reset, event::SYSTEM, None)
        .await
        .map(|_| ())
}

/// Removes a person for good: name and address, and everything by which they got in. What they did stays, under
/// "Removed person".
pub(super) async fn remove(
    ctx: &Ctx,
    user_id: &str,
    seen: Option<i64>,
    actor: &str,
) -> Result<(), AccountError> {
    let tx = ctx.db.begin().await?;
    account::remove(&tx, ctx, user_id, seen, actor).await?;
    project::leave_all_in(&tx, &ctx.clock, user_id, actor).await?;
    sso::forget_person(&tx, user_id).await?;
    oauth2_server::end_all_of_user(&tx, ctx.clock.now_ms(), user_id, "user_removed").await?;
    tx.commit().await?;
    Ok(())
}

/// Takes the second factor of somebody else away, who lost it; their sessions end.
pub(super) async fn reset_second_factor(ctx: &Ctx, user_id: &str, actor: &str) -> Result<bool, AccountError> {
    let tx = ctx.db.begin().await?;
    let was = account::remove_second_factor(&tx, ctx, user_id, actor).await?;
    account::end_all(&tx, user_id).await?;
    tx.commit().await?;
    Ok(was)
}

/// Changes a person, if they are as they were `seen`.
pub(super) async fn change(
    ctx: &Ctx,
    user_id: &str,
    seen: Option<i64>,
    change: &PersonChange,
    actor: &str,
) -> Result<(), AccountError> {
    change_all(ctx, user_id, seen, (change, None), actor).await
}

/// The same, and whether they are shut out, all of it or nothing. An address that is theirs no more is told.
pub(super) async fn change_all(
    ctx: &Ctx,
    user_id: &str,
    seen: Option<i64>,
    (change, is_disabled): (&PersonChange, Option<bool>),
    actor: &str,
) -> Result<(), AccountError> {
    let tx = ctx.db.begin().await?;
    account::lock_people(&tx).await?;
    let before = account::read_in(&tx, user_id).await?;
    account::change(&tx, &ctx.clock, user_id, seen, change, actor).await?;
    match is_disabled {
        Some(true) => disable_in(&tx, ctx, user_id, actor).await?,
        Some(false) => account::enable_in(&tx, &ctx.clock, user_id, actor).await?,
        None => {}
    }
    let after = account::read_in(&tx, user_id).await?;
    if let (Some(before), Some(after)) = (before, after)
        && before.email != after.email
    {
        tell_moved(&tx, ctx, &before).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Makes a person what is said in each of these projects; `None` is no member.
pub(super) async fn set_roles(
    ctx: &Ctx,
    user_id: &str,
    roles: &BTreeMap<String, Option<Role>>,
    actor: &str,
) -> Result<(), AccountError> {
    let tx = ctx.db.begin().await?;
    for (project_id, role) in roles {
        match role {
            Some(role) => {
                project::set_member_in(&tx, &ctx.clock, project_id, user_id, *role, actor).await?;
            }
            None => {
                project::remove_member_in(&tx, &ctx.clock, project_id, user_id, actor).await?;
            }
        }
    }
    tx.commit().await?;
    Ok(())
}

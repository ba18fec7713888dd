//! One person: who they are, what they may do, where they are signed in, and the end of it.

use actix_web::web;

use super::desk::{Answer, Desk};
use super::once::once;
use super::token_list;
use super::users::{self, Standing};
use super::views::Section;
use super::views::integrations::Fact;
use super::views::parts::{Confirm, FormErrors};
use super::views::people::UserDetail;
use super::{profile, words};
use crate::access::{Projects, Role};
use crate::account::{self, AccountError, LinkKind, PersonChange, User};
use crate::project;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::people;
use crate::web::route::{Guard, Route};

const ADMIN: Guard = Guard::Role(Role::SiteAdmin);

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/users/{id}", ADMIN, || web::to(page)),
    Route::post("/users/{id}", ADMIN, || web::to(change)),
    Route::post("/users/{id}/projects", ADMIN, || web::to(set_projects)),
    Route::post("/users/{id}/disable", ADMIN, || web::to(disable)),
    Route::post("/users/{id}/enable", ADMIN, || web::to(enable)),
    Route::post("/users/{id}/invitation", ADMIN, || web::to(invite_again)),
    Route::post("/users/{id}/invitation/revoke", ADMIN, || {
        web::to(revoke_invitation)
    }),
    Route::post("/users/{id}/password-link", ADMIN, || web::to(password_link)),
    Route::post("/users/{id}/sessions/end", ADMIN, || web::to(end_sessions)),
    Route::get("/users/{id}/second-factor/remove", ADMIN, || {
        web::to(ask_second_factor)
    }),
    Route::post("/users/{id}/second-factor/remove", ADMIN, || {
        web::to(remove_second_factor)
    }),
    Route::get("/users/{id}/delete", ADMIN, || web::to(ask_delete)),
    Route::post("/users/{id}/delete", ADMIN, || web::to(delete)),
];

async fn find(desk: &Desk, id: &str) -> Result<User, Problem> {
    account::get_in(&desk.ctx.db, &desk.access().projects(), id)
        .await?
        .filter(|user| user.removed_at.is_none())
        .ok_or_else(|| Problem::not_found("user"))
}

async fn page(desk: Desk, id: web::Path<String>) -> Answer {
    let user = find(&desk, &id).await?;
    let typed = (user.name.clone(), user.email.clone(), user.is_site_admin);
    desk.show(&view(&desk, &user, typed, FormErrors::default()).await?)
}

async fn view(
    desk: &Desk,
    user: &User,
    (name, email, is_site_admin): (String, String, bool),
    errors: FormErrors,
) -> Result<UserDetail, Problem> {
    let now = desk.now();
    let ctx = &desk.ctx;
    let sessions = account::sessions_of(&ctx.db, &ctx.clock, Some(&user.id)).await?;
    let own = &desk.current.session().id;
    let roles = project::roles_of(&ctx.db, &user.id).await?;
    let factor = account::second_factor(ctx, &user.id).await?;
    let invitation = account::open_invitations(ctx).await?.get(&user.id).copied();
    let standing = Standing::of(user);
    Ok(UserDetail {
        page: desk.page(user.name.clone(), Section::Users).await?,
        id: user.id.clone(),
        revision: user.revision,
        is_self: user.id == desk.actor(),
        state: standing.badge(),
        is_disabled: standing == Standing::Disabled,
        is_invited: standing == Standing::Invited,
        invitation: invitation.map(|at| words::when(now, at)),
        can_mail: people::can_mail(ctx).await?,
        facts: facts(desk, user, factor),
        has_second_factor: factor.is_some(),
        name,
        email,
        is_site_admin,
        projects: users::project_roles(project::list(ctx, &Projects::All).await?, |id| {
            roles.get(id).copied()
        }),
        sessions: sessions
            .iter()
            .map(|session| profile::session_row(now, session, own))
            .collect(),
        tokens: token_list::rows(desk, Some(&user.id)).await?,
        errors,
    })
}

fn facts(desk: &Desk, user: &User, factor: Option<account::SecondFactor>) -> Vec<Fact> {
    let when = |at: Option<i64>, none: &str| {
        at.map_or_else(|| none.to_owned(), |at| words::relative(desk.now(), at))
    };
    let mut facts = vec![
        Fact::new("Last sign-in", when(user.last_sign_in_at, "Never")),
        Fact::new("Password set", when(user.password_set_at, "None yet")),
        Fact::new(
            "Second factor",
            factor.map_or_else(
                || "Off".to_owned(),
                |factor| {
                    format!(
                        "On since {}; {} left",
                        words::day(factor.since),
                        words::count(factor.codes_left, "recovery code")
                    )
                },
            ),
        ),
        Fact::new("Account made", words::relative(desk.now(), user.created_at)),
        Fact::exact("Id", user.id.clone()),
    ];
    if let Some(at) = user.disabled_at {
        facts.insert(0, Fact::new("Disabled", words::relative(desk.now(), at)));
    }
    facts
}

async fn change(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    let user = find(&desk, &id).await?;
    let path = format!("/users/{}", user.id);
    let is_site_admin = form.is_checked("is_site_admin");
    let is_promoted = is_site_admin && !user.is_site_admin;
    // Whoever reads the address gets a link for a new password.
    let is_moved = account::normal_email(form.text("email")) != user.email;
    if (is_promoted || is_moved)
        && let Some(away) = desk.sign_in_again(&path)
    {
        return away;
    }
    let change = PersonChange {
        name: Some(form.text("name").to_owned()),
        email: Some(form.text("email").to_owned()),
        is_site_admin: Some(is_site_admin),
        ..PersonChange::default()
    };
    let seen = form.text("revision").parse().unwrap_or(0);
    match people::change(&desk.ctx, &user.id, Some(seen), &change, desk.actor()).await {
        Ok(()) => desk.done("Saved.", &path).await,
        Err(AccountError::Conflict) => Err(changed_meanwhile()),
        Err(error) => {
            let Some(field) = field_of(&error) else {
                return Err(error.into());
            };
            let typed = (
                form.text("name").to_owned(),
                form.text("email").to_owned(),
                is_site_admin,
            );
            let errors = FormErrors::default().with(field, &words::sentence(&error.to_string()));
            desk.show_again(&view(&desk, &user, typed, errors).await?)
        }
    }
}

/// Somebody else was faster.
fn changed_meanwhile() -> Problem {
    Problem::conflict("revision_conflict", AccountError::Conflict.to_string())
        .with_title("It was changed meanwhile")
        .with_remedy("Go back, load the page again, look at what is there now, and repeat your change if it is still needed.")
}

fn field_of(error: &AccountError) -> Option<&'static str> {
    match error {
        AccountError::LastAdmin => Some("is_site_admin"),
        error => error.field(),
    }
}

async fn set_projects(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    let user = find(&desk, &id).await?;
    let all = project::list(&desk.ctx, &Projects::All).await?;
    let roles = users::roles_of_form(&all, &form);
    let present = project::roles_of(&desk.ctx.db, &user.id).await?;
    let is_old = |project: &project::Project| {
        let is = present.get(&project.id).map_or("", |role| role.as_str());
        form.all(&format!("was_{}", project.id)).any(|was| was != is)
    };
    if all.iter().any(is_old) {
        return Err(changed_meanwhile());
    }
    people::set_roles(&desk.ctx, &user.id, &roles, desk.actor()).await?;
    desk.done("The roles are saved.", &format!("/users/{}", user.id))
        .await
}

/// On to the person's page with a message; what cannot be done is said there too.
async fn told(desk: &Desk, user: &User, done: Result<(), AccountError>, text: &str) -> Answer {
    let path = format!("/users/{}", user.id);
    match done {
        Ok(()) => desk.done(text, &path).await,
        Err(error @ (AccountError::LastAdmin | AccountError::Removed | AccountError::OwnAccount)) => {
            desk.failed(words::sentence(&error.to_string()), &path).await
        }
        Err(error) => Err(error.into()),
    }
}

fn not_oneself(desk: &Desk, user: &User) -> Result<(), AccountError> {
    if user.id == desk.actor() {
        return Err(AccountError::OwnAccount);
    }
    Ok(())
}

async fn disable(desk: Desk, id: web::Path<String>) -> Answer {
    let user = find(&desk, &id).await?;
    let done = match not_oneself(&desk, &user) {
        Ok(()) => people::disable(&desk.ctx, &user.id, desk.actor()).await,
        Err(error) => Err(error),
    };
    let text = "The account is disabled. Sessions, access tokens and what apps held have ended.";
    told(&desk, &user, done, text).await
}

async fn enable(desk: Desk, id: web::Path<String>) -> Answer {
    let user = find(&desk, &id).await?;
    let done = account::enable(&desk.ctx.db, &desk.ctx.clock, &user.id, desk.actor()).await;
    told(
        &desk,
        &user,
        done,
        "The account is enabled: its person can sign in again.",
    )
    .await
}

/// A form that is sent again would end the link that it made before.
async fn make_link(desk: &Desk, user: &User, kind: LinkKind, form: &FormData) -> Answer {
    let back = format!("/users/{}", user.id);
    let work = async {
        let made = people::make_link(&desk.ctx, user, kind, desk.actor(), None).await?;
        users::link_made(desk, user, &made, kind).await
    };
    once(desk, form, &back, work).await
}

async fn invite_again(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    let user = find(&desk, &id).await?;
    if user.is_site_admin
        && let Some(away) = desk.sign_in_again(&format!("/users/{}", user.id))
    {
        return away;
    }
    if Standing::of(&user) != Standing::Invited {
        let text = "Only somebody who never signed in is invited. Make a link for a new password instead.";
        return desk.failed(text, &format!("/users/{}", user.id)).await;
    }
    make_link(&desk, &user, LinkKind::Invitation, &form).await
}

async fn revoke_invitation(desk: Desk, id: web::Path<String>) -> Answer {
    let user = find(&desk, &id).await?;
    let text = if account::revoke_invitation(&desk.ctx, &user.id).await? {
        "The invitation does not work any more."
    } else {
        "There was no open invitation."
    };
    desk.done(text, &format!("/users/{}", user.id)).await
}

async fn password_link(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    let user = find(&desk, &id).await?;
    let path = format!("/users/{}", user.id);
    if let Some(away) = desk.sign_in_again(&path) {
        return away;
    }
    if !user.is_active() {
        return desk.failed("Enable the account first.", &path).await;
    }
    make_link(&desk, &user, LinkKind::Reset, &form).await
}

async fn end_sessions(desk: Desk, id: web::Path<String>) -> Answer {
    let user = find(&desk, &id).await?;
    if user.id == desk.actor() {
        account::end_others(desk.ctx.db.write(), &user.id, &desk.current.session().id).await?;
    } else {
        account::end_all(desk.ctx.db.write(), &user.id).await?;
    }
    desk.done("The sessions have ended.", &format!("/users/{}", user.id))
        .await
}

async fn ask_second_factor(desk: Desk, id: web::Path<String>) -> Answer {
    let user = find(&desk, &id).await?;
    let path = format!("/users/{}/second-factor/remove", user.id);
    if let Some(away) = desk.sign_in_again(&path) {
        return away;
    }
    let is_wanted = account::wants_second_factor(&desk.ctx.config, &user);
    desk.show(&Confirm {
        page: desk
            .page(
                format!("Take the second factor of {} away?", user.name),
                Section::Users,
            )
            .await?,
        consequences: vec![
            "Their authenticator app and their recovery codes do not work any more.".to_owned(),
            "Their sessions end.".to_owned(),
            if is_wanted {
                "At the next sign-in they have to set up a new one.".to_owned()
            } else {
                "Their password alone signs them in, until they set up a new one.".to_owned()
            },
            "Be sure that it is really they who ask: this is how accounts are taken over.".to_owned(),
        ],
        kept: vec!["The password stays.".to_owned()],
        blocked: None,
        action: path,
        fields: vec![],
        button: "Take it away".to_owned(),
        cancel: format!("/users/{}", user.id),
    })
}

async fn remove_second_factor(desk: Desk, id: web::Path<String>) -> Answer {
    let user = find(&desk, &id).await?;
    if let Some(away) = desk.sign_in_again(&format!("/users/{}/second-factor/remove", user.id)) {
        return away;
    }
    let done = match not_oneself(&desk, &user) {
        Ok(()) => people::reset_second_factor(&desk.ctx, &user.id, desk.actor())
            .await
            .map(|_| ()),
        Err(error) => Err(error),
    };
    told(
        &desk,
        &user,
        done,
        "The second factor is taken away, and the sessions have ended.",
    )
    .await
}

async fn ask_delete(desk: Desk, id: web::Path<String>) -> Answer {
    let user = find(&desk, &id).await?;
    let path = format!("/users/{}/delete", user.id);
    if let Some(away) = desk.sign_in_again(&path) {
        return away;
    }
    let blocked =
        (user.id == desk.actor()).then(|| "It is your own account; another site admin can do it.".to_owned());
    desk.show(&Confirm {
        page: desk
            .page(format!("Remove {} for good?", user.name), Section::Users)
            .await?,
        consequences: vec![
            "Name, address, password, second factor and roles are deleted; nobody can bring them back."
                .to_owned(),
            "Sessions, access tokens and what apps held end at once.".to_owned(),
            "The address is free for a new account.".to_owned(),
        ],
        kept: vec![
            "What they did stays, under “Removed person”: tickets, notes, the event log.".to_owned(),
            "Names that were written into notes and answers stay there.".to_owned(),
            "To keep somebody out for a while, disable the account instead.".to_owned(),
        ],
        blocked,
        action: path,
        fields: vec![],
        button: "Remove for good".to_owned(),
        cancel: format!("/users/{}", user.id),
    })
}

async fn delete(desk: Desk, id: web::Path<String>) -> Answer {
    let user = find(&desk, &id).await?;
    if let Some(away) = desk.sign_in_again(&format!("/users/{}/delete", user.id)) {
        return away;
    }
    let done = match not_oneself(&desk, &user) {
        Ok(()) => people::remove(&desk.ctx, &user.id, None, desk.actor()).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => desk.done(format!("{} is removed.", user.name), "/users").await,
        failed => told(&desk, &user, failed, "").await,
    }
}

//! The members of a project.

use actix_web::web;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::parts::{Choice, Confirm, FormErrors};
use super::views::people::{MemberRow, Members};
use super::words;
use crate::access::{Projects, Role, Scope};
use crate::account::{self, User};
use crate::project::{self, MemberError, Membership, Project, Provided};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/projects/{id}/members", Guard::Role(Role::Viewer), || {
        web::to(page)
    }),
    Route::post("/projects/{id}/members", Guard::Role(Role::ProjectAdmin), || {
        web::to(add)
    }),
    Route::post(
        "/projects/{id}/members/{userId}",
        Guard::Role(Role::ProjectAdmin),
        || web::to(set_role),
    ),
    Route::post(
        "/projects/{id}/members/{userId}/remove",
        Guard::Role(Role::ProjectAdmin),
        || web::to(remove),
    ),
];

async fn find(desk: &Desk, id: &str) -> Result<Project, Problem> {
    Ok(project::get(&desk.ctx, &desk.access().projects(), id).await?)
}

async fn page(desk: Desk, id: web::Path<String>) -> Answer {
    let found = find(&desk, &id).await?;
    desk.show(&view(&desk, &found, "", Role::Agent, FormErrors::default()).await?)
}

async fn members(desk: &Desk, project_id: &str) -> Result<Vec<(Membership, User)>, Problem> {
    let people = account::list(&desk.ctx.db, &Projects::one(project_id)).await?;
    let mut all: Vec<(Membership, User)> = project::members_of(&desk.ctx.db, project_id)
        .await?
        .into_iter()
        .filter_map(|member| {
            let user = people.iter().find(|user| user.id == member.user_id)?;
            Some((member, user.clone()))
        })
        .collect();
    all.sort_by_key(|(_, user)| user.name.to_lowercase());
    Ok(all)
}

fn roles(chosen: Role) -> Vec<Choice> {
    let hints = [
        "Reads tickets, messages and mailboxes.",
        "Works on tickets and answers them.",
        "Manages mailboxes, rules, webhooks and members.",
    ];
    Role::OF_MEMBERS
        .iter()
        .zip(hints)
        .map(|(role, hint)| Choice::new(role.as_str(), role.label(), *role == chosen).with_hint(hint))
        .collect()
}

async fn view(
    desk: &Desk,
    found: &Project,
    email: &str,
    role: Role,
    errors: FormErrors,
) -> Result<Members, Problem> {
    let now = desk.now();
    Ok(Members {
        page: desk.here(
            desk.page(format!("Members of {}", found.name), Section::Projects)
                .await?,
            &found.id,
        ),
        members: members(desk, &found.id)
            .await?
            .into_iter()
            .map(|(member, user)| MemberRow {
                role: member.role.label().to_owned(),
                roles: roles(member.role),
                since: words::when(now, member.created_at),
                is_disabled: user.disabled_at.is_some(),
                id: user.id,
                name: user.name,
                email: user.email,
            })
            .collect(),
        may_change: desk.current.0.access.may(Scope::ProjectsWrite, &found.id),
        id: found.id.clone(),
        project: found.name.clone(),
        email: email.to_owned(),
        roles: roles(role),
        errors,
    })
}

fn path(found: &Project) -> String {
    format!("/projects/{}/members", found.id)
}

fn refused(error: MemberError) -> Problem {
    match error {
        MemberError::NotFound => Problem::not_found("member of this project"),
        MemberError::Conflict => Problem::conflict("revision_conflict", error.to_string()),
        MemberError::LastProjectAdmin => Problem::conflict("last_project_admin", error.to_string()),
        MemberError::Db(error) => error.into(),
    }
}

async fn add(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    let found = find(&desk, &id).await?;
    let email = form.text("email");
    let role = Role::of_member(form.text("role")).unwrap_or(Role::Viewer);
    let user = account::get_by_email(&desk.ctx.db, email).await?;
    let Some(user) = user.filter(|user| user.removed_at.is_none()) else {
        let text = "Nobody here has an account with this address. A site admin can invite them.";
        let errors = FormErrors::default().with("email", text);
        return desk.show_again(&view(&desk, &found, email, role, errors).await?);
    };
    if members(&desk, &found.id)
        .await?
        .iter()
        .any(|(_, member)| member.id == user.id)
    {
        let errors = FormErrors::default().with(
            "email",
            "This person is a member already. Change the role in the list.",
        );
        return desk.show_again(&view(&desk, &found, email, role, errors).await?);
    }
    let (db, clock) = (&desk.ctx.db, &desk.ctx.clock);
    project::set_member(db, clock, &found.id, &user.id, role, desk.actor())
        .await
        .map_err(refused)?;
    let text = format!("{} is a member now: {}.", user.name, role.label().to_lowercase());
    desk.done(text, &path(&found)).await
}

async fn member(desk: &Desk, project_id: &str, user_id: &str) -> Result<User, Problem> {
    let (_, user) = members(desk, project_id)
        .await?
        .into_iter()
        .find(|(_, user)| user.id == user_id)
        .ok_or_else(|| Problem::not_found("member of this project"))?;
    Ok(user)
}

/// Whether they said that nobody needs to be left to manage the project.
fn provided(form: &FormData) -> Provided<'static> {
    Provided {
        seen: None,
        allow_no_admin: form.is_checked("sure"),
    }
}

async fn set_role(desk: Desk, ids: web::Path<(String, String)>, form: FormData) -> Answer {
    let (id, user_id) = ids.into_inner();
    let found = find(&desk, &id).await?;
    let user = member(&desk, &found.id, &user_id).await?;
    let Some(role) = Role::of_member(form.text("role")) else {
        return desk.failed("Choose a role.", &path(&found)).await;
    };
    let (db, clock, who) = (
        &desk.ctx.db,
        &desk.ctx.clock,
        (found.id.as_str(), user.id.as_str()),
    );
    match project::change_member(db, clock, who, role, provided(&form), desk.actor()).await {
        Ok(()) => {}
        Err(MemberError::LastProjectAdmin) => {
            let action = format!("{}/{}", path(&found), user.id);
            let fields = vec![Choice::new("role", role.as_str(), true)];
            return ask(&desk, &found, &user, action, fields, "Change the role").await;
        }
        Err(error) => return Err(refused(error)),
    }
    let text = format!("{} is {} now.", user.name, role.label().to_lowercase());
    after(&desk, &found, &user, text).await
}

async fn remove(desk: Desk, ids: web::Path<(String, String)>, form: FormData) -> Answer {
    let (id, user_id) = ids.into_inner();
    let found = find(&desk, &id).await?;
    let user = member(&desk, &found.id, &user_id).await?;
    let (db, clock, who) = (
        &desk.ctx.db,
        &desk.ctx.clock,
        (found.id.as_str(), user.id.as_str()),
    );
    match project::remove_member(db, clock, who, provided(&form), desk.actor()).await {
        Ok(()) => {}
        Err(MemberError::LastProjectAdmin) => {
            let action = format!("{}/{}/remove", path(&found), user.id);
            return ask(&desk, &found, &user, action, vec![], "Take them out").await;
        }
        Err(error) => return Err(refused(error)),
    }
    let text = format!("{} is no member any more.", user.name);
    after(&desk, &found, &user, text).await
}

/// Whoever took their own rights away cannot see the page any more.
async fn after(desk: &Desk, found: &Project, user: &User, text: String) -> Answer {
    let is_out = user.id == desk.actor() && !desk.current.user().is_site_admin;
    let next = if is_out { "/".to_owned() } else { path(found) };
    desk.done(text, &next).await
}

/// The question before the last project admin goes.
async fn ask(
    desk: &Desk,
    found: &Project,
    user: &User,
    action: String,
    mut fields: Vec<Choice>,
    button: &str,
) -> Answer {
    fields.push(Choice::new("sure", "true", true));
    desk.show(&Confirm {
        page: desk
            .page(
                format!("{} without a project admin?", found.name),
                Section::Projects,
            )
            .await?,
        consequences: vec![
            format!(
                "{} is the only project admin of {} who can sign in.",
                user.name, found.name
            ),
            "Afterwards only site admins can change its mailboxes, rules and members.".to_owned(),
        ],
        kept: vec!["Mail goes on being read; agents go on working.".to_owned()],
        blocked: None,
        action,
        fields,
        button: button.to_owned(),
        cancel: path(found),
    })
}

//! People: the list, and inviting somebody.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::web;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::desk::{Answer, Desk};
use super::once::once;
use super::views::Section;
use super::views::parts::{Badge, Choice, FormErrors, Tone};
use super::views::people::{InviteForm, PersonRow, ProjectRole, ShownOnce, UserList};
use super::words;
use crate::access::{Projects, Role};
use crate::account::{self, LinkKind, User};
use crate::project::{self, Project};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::people::{self, Invitation, LinkMade};
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/users", Guard::Role(Role::SiteAdmin), || web::to(list)),
    Route::post("/users", Guard::Role(Role::SiteAdmin), || web::to(invite)),
    Route::get("/users/invite", Guard::Role(Role::SiteAdmin), || {
        web::to(invite_form)
    }),
];

/// How a person stands, in the order in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Disabled,
    Invited,
    Active,
}

impl Standing {
    /// Whoever never signed in and has no password waits for a link, used or not.
    pub(super) fn of(user: &User) -> Self {
        if user.disabled_at.is_some() {
            Self::Disabled
        } else if user.last_sign_in_at.is_none() && user.password_set_at.is_none() {
            Self::Invited
        } else {
            Self::Active
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Invited => "invited",
            Self::Active => "active",
        }
    }

    pub(super) fn badge(self) -> Badge {
        match self {
            Self::Disabled => Badge::new(Tone::Muted, "Disabled"),
            Self::Invited => Badge::new(Tone::Busy, "Invited"),
            Self::Active => Badge::new(Tone::Ok, "Active"),
        }
    }
}

#[derive(Deserialize)]
struct Filter {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
}

impl Filter {
    fn fits(&self, user: &User) -> bool {
        let q = self.q.trim().to_lowercase();
        let is_found = user.name.to_lowercase().contains(&q) || user.email.contains(&q);
        let is_in_state = match self.state.as_str() {
            "" => true,
            "admin" => user.is_site_admin,
            state => Standing::of(user).as_str() == state,
        };
        user.removed_at.is_none() && is_found && is_in_state
    }
}

async fn list(desk: Desk, filter: web::Query<Filter>) -> Answer {
    let now = desk.now();
    let keys = keys(&desk).await?;
    let mut roles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for member in project::memberships(&desk.ctx.db, &Projects::All).await? {
        let key = keys.get(&member.project_id).cloned().unwrap_or_default();
        let text = format!("{key}: {}", member.role.label());
        roles.entry(member.user_id).or_default().push(text);
    }
    let strong: BTreeSet<String> = account::with_second_factor(&desk.ctx)
        .await?
        .into_iter()
        .collect();
    let users: Vec<PersonRow> = account::list(&desk.ctx.db, &Projects::All)
        .await?
        .into_iter()
        .filter(|user| filter.fits(user))
        .map(|user| PersonRow {
            roles: roles_text(&user, roles.get(&user.id)),
            state: Standing::of(&user).badge(),
            second_factor: if strong.contains(&user.id) {
                Badge::new(Tone::Ok, "On")
            } else {
                Badge::new(Tone::Muted, "Off")
            },
            last_sign_in: user.last_sign_in_at.map(|at| words::when(now, at)),
            id: user.id,
            name: user.name,
            email: user.email,
        })
        .collect();
    let states = [
        ("", "Everybody"),
        ("active", "Active"),
        ("invited", "Invited"),
        ("disabled", "Disabled"),
        ("admin", "Site admins"),
    ];
    let states = states.map(|(value, label)| Choice::new(value, label, filter.state == value));
    desk.show(&UserList {
        page: desk.page("Users", Section::Users).await?,
        q: filter.q.clone(),
        states: states.to_vec(),
        count: words::count(i64::try_from(users.len()).unwrap_or(0), "person").replace("persons", "people"),
        users,
    })
}

fn roles_text(user: &User, roles: Option<&Vec<String>>) -> String {
    match (user.is_site_admin, roles) {
        (true, _) => Role::SiteAdmin.label().to_owned(),
        (false, Some(roles)) => roles.join(", "),
        (false, None) => "None yet".to_owned(),
    }
}

/// The keys of all projects by their ids.
pub(super) async fn keys(desk: &Desk) -> Result<BTreeMap<String, String>, Problem> {
    let all = project::list(&desk.ctx, &Projects::All).await?;
    Ok(all.into_iter().map(|project| (project.id, project.key)).collect())
}

/// The projects with the roles to choose from; `of` says what is chosen.
pub(super) fn project_roles(all: Vec<Project>, of: impl Fn(&str) -> Option<Role>) -> Vec<ProjectRole> {
    all.into_iter()
        .map(|project| {
            let chosen = of(&project.id);
            let mut roles = vec![Choice::new("", "No member", chosen.is_none())];
            roles.extend(
                Role::OF_MEMBERS
                    .iter()
                    .map(|role| Choice::new(role.as_str(), role.label(), chosen == Some(*role))),
            );
            ProjectRole {
                roles,
                id: project.id,
                key: project.key,
                name: project.name,
            }
        })
        .collect()
}

/// What a form says about the roles in projects that exist.
pub(super) fn roles_of_form(all: &[Project], form: &FormData) -> BTreeMap<String, Option<Role>> {
    all.iter()
        .filter(|project| form.has(&format!("role_{}", project.id)))
        .map(|project| {
            let word = form.text(&format!("role_{}", project.id));
            (project.id.clone(), Role::of_member(word))
        })
        .collect()
}

async fn invite_form(desk: Desk) -> Answer {
    let view = form_view(&desk, &FormData::default(), FormErrors::default()).await?;
    desk.show(&view)
}

async fn form_view(desk: &Desk, form: &FormData, errors: FormErrors) -> Result<InviteForm, Problem> {
    let all = project::list(&desk.ctx, &Projects::All).await?;
    let chosen = roles_of_form(&all, form);
    Ok(InviteForm {
        page: desk.page("Invite somebody", Section::Users).await?,
        email: form.text("email").to_owned(),
        name: form.text("name").to_owned(),
        is_site_admin: form.is_checked("is_site_admin"),
        projects: project_roles(all, |id| chosen.get(id).copied().flatten()),
        can_mail: people::can_mail(&desk.ctx).await?,
        errors,
    })
}

async fn invite(desk: Desk, form: FormData) -> Answer {
    if form.is_checked("is_site_admin")
        && let Some(away) = desk.sign_in_again("/users/invite")
    {
        return away;
    }
    once(&desk, &form, "/users", make(&desk, &form)).await
}

async fn make(desk: &Desk, form: &FormData) -> Answer {
    let all = project::list(&desk.ctx, &Projects::All).await?;
    let roles = roles_of_form(&all, form);
    let invitation = Invitation {
        email: form.text("email").to_owned(),
        name: form.text("name").to_owned(),
        is_site_admin: form.is_checked("is_site_admin"),
        roles: roles
            .into_iter()
            .filter_map(|(id, role)| Some((id, role?)))
            .collect(),
    };
    match people::invite(&desk.ctx, &invitation, desk.actor()).await {
        Ok((user, made)) => link_made(desk, &user, &made, LinkKind::Invitation).await,
        Err(error) => match error.field() {
            Some(field) => {
                let errors = FormErrors::default().with(field, &words::sentence(&error.to_string()));
                desk.show_again(&form_view(desk, form, errors).await?)
            }
            None => Err(error.into()),
        },
    }
}

/// After a link was made: it went by mail, or is shown here and never again.
pub(super) async fn link_made(desk: &Desk, user: &User, made: &LinkMade, kind: LinkKind) -> Answer {
    let next = format!("/users/{}", user.id);
    let (title, what) = match kind {
        LinkKind::Invitation => ("The invitation", "invitation"),
        LinkKind::Reset | LinkKind::Recovery => ("A link for a new password", "link for a new password"),
    };
    let Some(url) = &made.url else {
        return desk
            .done(format!("The {what} is on its way to {}.", user.email), &next)
            .await;
    };
    let until = words::exact(desk.now() + kind.minutes() * 60_000);
    desk.show(&ShownOnce {
        page: desk.page(title, Section::Users).await?,
        lead: format!(
            "This installation sends no mail of its own. Give this link to {} ({}) over a way that only they read.",
            user.name, user.email
        ),
        label: "Link".to_owned(),
        value: url.expose_secret().to_owned(),
        hint: format!("It works once, until {until}. It is shown only now; a new one ends it."),
        next,
        button: "Done".to_owned(),
    })
}

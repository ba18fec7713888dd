//! Who may do what: scopes of tokens, roles of people in projects, and what both leave over for one request.
//!
//! Plain values, without a database: `account` reads tokens, `project` reads members, `web` puts an [`Access`] before
//! every handler, and the stores filter by its [`Projects`], so that what somebody may not see is not there for them.

mod projects;
mod role;
mod scope;

#[cfg(test)]
mod tests;

pub use projects::Projects;
pub use role::Role;
pub use scope::{Scope, Scopes};

use std::collections::{BTreeMap, BTreeSet};

/// The actor of tokens that belong to no person: they were made on the machine itself.
pub const MACHINE: &str = "cli";

/// What a route asks of whoever calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be known, whatever one may do.
    Known,
    /// A scope, in at least one project.
    Scope(Scope),
    /// A scope in all projects and in what belongs to none: the site.
    Site(Scope),
    /// A scope, for what belongs to the person who asks; no project comes into it.
    Own(Scope),
    /// At least a role, in at least one project.
    Role(Role),
}

/// Why a request is refused before its handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token does not carry this scope.
    Scope(Scope),
    /// The person, or the projects the token is narrowed to, do not allow it.
    Role,
    /// Only for the whole site, by a site admin.
    Site,
}

/// Who asks, and what they may do now: what their roles allow, cut down to what their token allows.
#[derive(Clone, Debug)]
pub struct Access {
    actor: String,
    user_id: Option<String>,
    site_admin: bool,
    members: BTreeMap<String, Role>,
    scopes: Scopes,
    narrowed: Option<BTreeSet<String>>,
    need: Need,
}

impl Access {
    /// A person at their pages.
    pub fn person(user_id: &str, site_admin: bool, members: BTreeMap<String, Role>) -> Self {
        Self {
            actor: user_id.to_owned(),
            user_id: Some(user_id.to_owned()),
            site_admin,
            members,
            scopes: Scopes::ALL,
            narrowed: None,
            need: Need::Known,
        }
    }

    /// The machine itself: whoever can run the program beside its database may do everything.
    pub fn machine() -> Self {
        Self {
            actor: MACHINE.to_owned(),
            user_id: None,
            site_admin: true,
            members: BTreeMap::new(),
            scopes: Scopes::ALL,
            narrowed: None,
            need: Need::Known,
        }
    }

    /// The same by a token: `actor` is its id, `scopes` and `projects` are all it may use of the rest.
    #[must_use]
    pub fn by_token(mut self, actor: &str, scopes: Scopes, projects: Option<BTreeSet<String>>) -> Self {
        actor.clone_into(&mut self.actor);
        self.scopes = scopes;
        self.narrowed = projects;
        self
    }

    /// The same for one route, if it may be used at all.
    ///
    /// # Errors
    /// What is missing.
    pub fn at(&self, need: Need) -> Result<Self, Refusal> {
        match need {
            Need::Known => {}
            Need::Own(scope) => {
                self.check_scope(scope)?;
                // What belongs to a person reaches beyond the projects a token is narrowed to.
                if self.narrowed.is_some() {
                    return Err(Refusal::Role);
                }
            }
            Need::Scope(scope) => {
                self.check_scope(scope)?;
                if self.projects_with(scope).is_none() {
                    return Err(Refusal::Role);
                }
            }
            Need::Site(scope) => {
                self.check_scope(scope)?;
                if !self.has_site(scope) {
                    return Err(Refusal::Site);
                }
            }
            Need::Role(Role::SiteAdmin) if !self.is_site_admin() => return Err(Refusal::Site),
            Need::Role(role) if self.projects_as(role).is_none() => return Err(Refusal::Role),
            Need::Role(_) => {}
        }
        Ok(Self { need, ..self.clone() })
    }

    fn check_scope(&self, scope: Scope) -> Result<(), Refusal> {
        if self.scopes.allow(scope) {
            Ok(())
        } else {
            Err(Refusal::Scope(scope))
        }
    }

    /// The projects this request may touch, by what its route asks for. Queries filter by it; what belongs to no
    /// project is there only for [`Projects::All`].
    pub fn projects(&self) -> Projects {
        match self.need {
            Need::Known => self.projects_as(Role::Viewer),
            Need::Own(scope) | Need::Scope(scope) | Need::Site(scope) => self.projects_with(scope),
            Need::Role(role) => self.projects_as(role),
        }
    }

    /// The projects in which this scope is allowed now.
    pub fn projects_with(&self, scope: Scope) -> Projects {
        if !self.scopes.allow(scope) {
            return Projects::none();
        }
        self.projects_where(|role| role.allows(scope))
    }

    /// The projects in which the person has at least this role.
    pub fn projects_as(&self, least: Role) -> Projects {
        self.projects_where(|role| role >= least)
    }

    fn projects_where(&self, is_enough: impl Fn(Role) -> bool) -> Projects {
        let all = if self.site_admin {
            Projects::All
        } else {
            let mine = self.members.iter().filter(|(_, role)| is_enough(**role));
            Projects::Only(mine.map(|(id, _)| id.clone()).collect())
        };
        match &self.narrowed {
            Some(narrowed) => all.within(narrowed),
            None => all,
        }
    }

    /// Whether this scope is allowed in a project: for buttons, and for what a form names besides its own address.
    pub fn may(&self, scope: Scope, project_id: &str) -> bool {
        self.projects_with(scope).contains(project_id)
    }

    /// Whether this scope is allowed on the whole site.
    pub fn has_site(&self, scope: Scope) -> bool {
        self.is_site_admin() && self.scopes.allow(scope)
    }

    /// Whether everything of the site is theirs, no token narrowing it to projects.
    pub fn is_site_admin(&self) -> bool {
        self.site_admin && self.narrowed.is_none()
    }

    /// What the route asked for that this was cut down to.
    pub fn need(&self) -> Need {
        self.need
    }

    /// Who did it, for events: a user id, or the id of a token.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// The person behind it; none for a token that was made on the machine.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// What the token allows; everything for a person at their pages.
    pub fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// The projects its token is narrowed to, if it is.
    pub fn narrowed(&self) -> Option<&BTreeSet<String>> {
        self.narrowed.as_ref()
    }
}

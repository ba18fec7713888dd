//! What people are in a project.

use serde::{Deserialize, Serialize};

use super::scope::Scope;

/// A role, each with everything the ones before it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads the project's tickets, messages and mailboxes.
    Viewer,
    /// Works on its tickets and answers them.
    Agent,
    /// Manages its mailboxes, rules, webhooks and members.
    ProjectAdmin,
    /// Stands above all projects; never the role of a member.
    SiteAdmin,
}

impl Role {
    /// The roles a member of a project can have.
    pub const OF_MEMBERS: [Self; 3] = [Self::Viewer, Self::Agent, Self::ProjectAdmin];

    /// Its word in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::ProjectAdmin => "project_admin",
            Self::SiteAdmin => "site_admin",
        }
    }

    /// Its name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Viewer => "Viewer",
            Self::Agent => "Agent",
            Self::ProjectAdmin => "Project admin",
            Self::SiteAdmin => "Site admin",
        }
    }

    /// The role of a member by its word.
    pub fn of_member(word: &str) -> Option<Self> {
        Self::OF_MEMBERS.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether this role allows a scope in its project. What is not listed belongs to the site.
    pub fn allows(self, scope: Scope) -> bool {
        let least = match scope {
            Scope::TicketsRead
            | Scope::MessagesRead
            | Scope::MailboxesRead
            | Scope::ProjectsRead
            | Scope::EventsRead => Self::Viewer,
            Scope::TicketsWrite | Scope::MessagesSend => Self::Agent,
            Scope::MailboxesWrite
            | Scope::IntegrationsRead
            | Scope::ProjectsWrite
            | Scope::WebhooksManage
            | Scope::ClientsManage
            | Scope::UsersRead => Self::ProjectAdmin,
            Scope::IntegrationsWrite | Scope::AuditRead | Scope::Admin => Self::SiteAdmin,
        };
        self >= least
    }
}

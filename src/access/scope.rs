//! What a token can be allowed to do.

use std::fmt;

macro_rules! scopes {
    ($($name:ident $word:literal $about:literal,)*) => {
        /// One thing a token can be allowed to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $(#[doc = $about] $name,)*
        }

        impl Scope {
            /// All scopes, in the order they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its word in tokens, in the API and in the documentation.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it allows, for people.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

scopes! {
    TicketsRead "tickets:read" "Read tickets and their entries",
    TicketsWrite "tickets:write" "Change tickets: state, assignee, labels, notes, merge and split",
    MessagesRead "messages:read" "Read mail as it was received, with attachments",
    MessagesSend "messages:send" "Send mail: answers to tickets",
    MailboxesRead "mailboxes:read" "See mailboxes, their state and their tests",
    MailboxesWrite "mailboxes:write" "Connect, change, test, pause and remove mailboxes; change rules",
    IntegrationsRead "integrations:read" "See integrations and grants; never a secret",
    IntegrationsWrite "integrations:write" "Make, change and remove integrations; revoke grants",
    WebhooksManage "webhooks:manage" "Manage webhooks, their deliveries, and queues",
    EventsRead "events:read" "Read the event log and take from queues",
    ProjectsRead "projects:read" "See projects and their members",
    ProjectsWrite "projects:write" "Change projects and their members",
    ClientsManage "clients:manage" "Manage apps that sign in through Mailgrant",
    UsersRead "users:read" "See people",
    AuditRead "audit:read" "Read the audit log",
    Admin "admin" "Everything its owner may do, tokens, people and settings included",
}

impl Scope {
    /// A scope by its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == word)
    }

    /// The scope that holds this one: who may change tickets may read them.
    const fn included_in(self) -> Option<Self> {
        match self {
            Self::TicketsRead => Some(Self::TicketsWrite),
            Self::MailboxesRead => Some(Self::MailboxesWrite),
            Self::IntegrationsRead => Some(Self::IntegrationsWrite),
            Self::ProjectsRead => Some(Self::ProjectsWrite),
            _ => None,
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Scopes(u32);

impl Scopes {
    /// Everything.
    pub const ALL: Self = Self(u32::MAX);

    /// Whether a scope is in it, by its own name, by the one that holds it, or by `admin`.
    pub fn allow(self, scope: Scope) -> bool {
        self.names(scope)
            || self.names(Scope::Admin)
            || scope.included_in().is_some_and(|wider| self.names(wider))
    }

    /// Whether everything that `other` allows is allowed here too.
    pub fn cover(self, other: Self) -> bool {
        Scope::ALL
            .iter()
            .all(|scope| !other.allow(*scope) || self.allow(*scope))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.words().next().is_none()
    }

    /// The scopes by name, in the order they are shown.
    pub fn words(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.names(*scope))
    }

    /// Reads a list with spaces between the words.
    ///
    /// # Errors
    /// The first word that is no scope.
    pub fn parse(list: &str) -> Result<Self, String> {
        list.split_whitespace()
            .map(|word| Scope::parse(word).ok_or_else(|| word.to_owned()))
            .collect()
    }

    const fn names(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, scope) in self.words().enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

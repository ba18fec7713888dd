//! The words of this room.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

use crate::access::Projects;
use crate::event::{Filter, Types};

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$each:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$each])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The word in the database and the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
            /// Reads that word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    };
}

words! {
    /// How a request's body looks.
    Format {
        /// The event, with the message as JMAP's Email.
        Jmap "jmap",
        /// An incoming mail as Postmark sends it.
        Postmark "postmark",
        /// An incoming mail as Mailgun sends it.
        Mailgun "mailgun",
    }
}

words! {
    /// How much is in the body.
    Payload {
        /// Also the message the event is about.
        Full "full",
        /// Ids only.
        Thin "thin",
    }
}

words! {
    /// Whether a webhook is called.
    WebhookState {
        /// It is.
        Active "active",
        /// It is not, until somebody enables it.
        Disabled "disabled",
    }
}

words! {
    /// How far a delivery has come.
    DeliveryState {
        /// It waits for its first or next attempt.
        Waiting "waiting",
        /// The endpoint took it.
        Delivered "delivered",
        /// It was tried for three days and is kept.
        Failed "failed",
    }
}

/// What a webhook is made or changed with. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookInput {
    /// Where it is sent.
    pub url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Event types and families; empty for all.
    pub types: Option<Vec<String>>,
    /// Projects; `Some(None)` for the whole site.
    pub projects: Option<Option<BTreeSet<String>>>,
    /// How the body looks.
    pub format: Option<Format>,
    /// How much is in it.
    pub payload: Option<Payload>,
    /// Whether a ticket's events wait for each other.
    pub ordered: Option<bool>,
    /// Headers to add, instead of those of before.
    pub headers: Option<BTreeMap<String, SecretString>>,
}

/// Which deliveries a list shows.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Only in this state.
    pub state: Option<DeliveryState>,
    /// Only of this type.
    pub kind: Option<String>,
    /// Only of this event.
    pub event_id: Option<String>,
    /// Only those behind this id in the list, which goes from new to old.
    pub after: Option<String>,
}

/// What was begun when something is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendAgain {
    /// How many deliveries wait for their next attempt now.
    pub count: u64,
}

/// Projects as stored: all of the site, or these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(pub Option<BTreeSet<String>>);

impl Shown {
    /// Reads the two columns.
    pub fn of(all: bool, projects: &str) -> Self {
        Self(if all {
            None
        } else {
            Some(serde_json::from_str(projects).unwrap_or_default())
        })
    }

    /// The two columns.
    pub fn columns(&self) -> (bool, String) {
        let list = self.0.clone().unwrap_or_default();
        (
            self.0.is_none(),
            serde_json::to_string(&list).unwrap_or_else(|_| "[]".into()),
        )
    }

    /// Whether somebody who may touch these projects may see and change it.
    pub fn is_within(&self, projects: &Projects) -> bool {
        match (&self.0, projects) {
            (_, Projects::All) => true,
            (None, Projects::Only(_)) => false,
            (Some(own), Projects::Only(mine)) => !own.is_empty() && own.is_subset(mine),
        }
    }

    /// The filter of the log for it.
    pub fn filter(&self, types: Types) -> Filter {
        Filter {
            types,
            projects: projects_of(self),
        }
    }
}

/// The projects whose events are wanted.
pub fn projects_of(shown: &Shown) -> Projects {
    match &shown.0 {
        None => Projects::All,
        Some(own) => Projects::Only(own.clone()),
    }
}

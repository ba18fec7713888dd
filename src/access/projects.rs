//! A set of projects to filter by.

use std::collections::BTreeSet;

/// Which projects a query may look into. Its default is none: whoever forgets to say sees nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projects {
    /// All of them, and what belongs to no project.
    All,
    /// These only.
    Only(BTreeSet<String>),
}

impl Default for Projects {
    fn default() -> Self {
        Self::none()
    }
}

impl Projects {
    /// Not one.
    pub const fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// One.
    pub fn one(id: &str) -> Self {
        Self::Only(BTreeSet::from([id.to_owned()]))
    }

    /// Only this one of them, if one is named; none if that is not among them.
    #[must_use]
    pub fn narrowed(&self, project_id: Option<&str>) -> Self {
        match project_id {
            Some(id) if self.contains(id) => Self::one(id),
            Some(_) => Self::none(),
            None => self.clone(),
        }
    }

    /// Whether there is not one in it.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Only(ids) if ids.is_empty())
    }

    /// Whether it is the whole site.
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether a project is in it. The empty id, of what belongs to no project, is in [`Projects::All`] only.
    pub fn contains(&self, project_id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(project_id),
        }
    }

    /// What is in both.
    #[must_use]
    pub fn within(self, limit: &BTreeSet<String>) -> Self {
        Self::Only(match self {
            Self::All => limit.clone(),
            Self::Only(ids) => ids.intersection(limit).cloned().collect(),
        })
    }

    /// The same cut down to one project somebody asked for.
    #[must_use]
    pub fn only(self, project_id: &str) -> Self {
        self.within(&BTreeSet::from([project_id.to_owned()]))
    }
}

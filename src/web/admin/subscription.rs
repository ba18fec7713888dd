//! What the pages of webhooks and queues have in common: which events, of which projects.

use std::collections::{BTreeMap, BTreeSet};

use super::desk::Desk;
use super::views::parts::{Choice, FormErrors};
use super::views::webhooks::Family;
use crate::delivery::{DeliveryError, Shown};
use crate::event::kinds::KINDS;
use crate::project;
use crate::web::error::Problem;
use crate::web::extract::FormData;

/// Which events and whose, as a form holds them.
#[derive(Clone, Default)]
pub(super) struct Subscription {
    /// Types and families; empty for all.
    pub(super) types: Vec<String>,
    /// The whole site instead of projects.
    pub(super) site: bool,
    /// Ids of projects.
    pub(super) projects: BTreeSet<String>,
}

impl Subscription {
    /// What somebody begins with.
    pub(super) fn new(desk: &Desk) -> Self {
        Self {
            site: desk.access().is_site_admin(),
            ..Self::default()
        }
    }

    pub(super) fn stored(types: Vec<String>, shown: &Shown) -> Self {
        Self {
            types,
            site: shown.0.is_none(),
            projects: shown.0.clone().unwrap_or_default(),
        }
    }

    pub(super) fn of(data: &FormData) -> Self {
        let all = |name| {
            data.all(name)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        Self {
            types: all("type").collect(),
            site: data.text("reach") == "site",
            projects: all("project").collect(),
        }
    }

    /// The projects as the service takes them, if whoever asks may name them. What cannot be chosen on the page is
    /// refused without a word about whether there is such a project.
    pub(super) fn wanted(&self, desk: &Desk, errors: &mut FormErrors) -> Option<BTreeSet<String>> {
        if self.site && desk.access().is_site_admin() {
            return None;
        }
        let mine = desk.access().projects();
        if self.projects.iter().any(|id| !mine.contains(id)) {
            errors.add("projects", "Choose projects of the list only.");
        }
        if self.projects.is_empty() {
            errors.add("projects", "Choose at least one project.");
        }
        Some(self.projects.clone())
    }

    pub(super) fn reaches(&self, desk: &Desk) -> Vec<Choice> {
        if !desk.access().is_site_admin() {
            return Vec::new();
        }
        vec![
            Choice::new("site", "The whole site", self.site)
                .with_hint("Also what belongs to no project, such as integrations and grants."),
            Choice::new("projects", "Only the projects ticked below", !self.site),
        ]
    }

    pub(super) async fn projects(&self, desk: &Desk) -> Result<Vec<Choice>, Problem> {
        let all = project::list(&desk.ctx, &desk.access().projects()).await?;
        let choice = |project: project::Project| {
            let is_chosen = self.projects.contains(&project.id);
            Choice::new(project.id, format!("{} {}", project.key, project.name), is_chosen)
        };
        Ok(all.into_iter().map(choice).collect())
    }

    /// The types by family, in the order of the registry.
    pub(super) fn families(&self) -> Vec<Family> {
        let mut families: Vec<Family> = Vec::new();
        let is_chosen = |name: &str| self.types.iter().any(|chosen| chosen == name);
        for kind in KINDS {
            let family = format!("{}.*", kind.name.split('.').next().unwrap_or_default());
            let choice = Choice::new(kind.name, kind.name, is_chosen(kind.name)).with_hint(kind.about);
            match families.iter_mut().find(|known| known.all.value == family) {
                Some(known) => {
                    known.open |= choice.selected;
                    known.types.push(choice);
                }
                None => families.push(Family {
                    all: Choice::new(family.clone(), family.clone(), is_chosen(&family)),
                    open: choice.selected,
                    types: vec![choice],
                }),
            }
        }
        families
    }
}

/// "All events", or the patterns.
pub(super) fn wants(patterns: &[String]) -> String {
    if patterns.is_empty() {
        "All events".to_owned()
    } else {
        patterns.join(", ")
    }
}

/// Keys of projects by their ids.
pub(super) async fn keys(desk: &Desk) -> Result<BTreeMap<String, String>, Problem> {
    let all = project::list(&desk.ctx, &desk.access().projects()).await?;
    Ok(all.into_iter().map(|project| (project.id, project.key)).collect())
}

/// "The whole site", or the keys of the projects.
pub(super) fn reach(shown: &Shown, keys: &BTreeMap<String, String>) -> String {
    match &shown.0 {
        None => "The whole site".to_owned(),
        Some(ids) => ids
            .iter()
            .map(|id| keys.get(id).map_or(id.as_str(), String::as_str))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// What the service says is wrong, at the fields of the form; anything else is a page of its own.
pub(super) fn refused(error: DeliveryError, errors: &mut FormErrors) -> Result<(), Problem> {
    match error {
        DeliveryError::Invalid(found) => {
            for error in found {
                let field = if error.field == "projectIds" {
                    "projects"
                } else {
                    error.field
                };
                if !errors.by.contains_key(field) {
                    errors.add(field, error.message.replace('`', ""));
                }
            }
            Ok(())
        }
        DeliveryError::Conflict => {
            errors.add(
                "",
                "It was changed meanwhile. Open the form again and repeat the change.",
            );
            Ok(())
        }
        error => Err(error.into()),
    }
}

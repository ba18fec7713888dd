//! The audit log: who did what to what, from where.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Choice, Pager, When};
use crate::render::View;

/// `GET /audit?actor=&action=&target=&project=&via=&since=&until=&after=`.
///
/// Form: `GET /audit` with these fields, `after` apart; `since` and `until` are days.
#[derive(Debug, Serialize)]
pub struct AuditLog {
    /// The frame.
    pub page: Page,
    /// Who; the first choice is "Anybody".
    pub actors: Vec<Choice>,
    /// Families of actions; the first choice is "Anything".
    pub actions: Vec<Choice>,
    /// Projects; the first choice is "All projects".
    pub projects: Vec<Choice>,
    /// Ways; the first choice is "Any way".
    pub ways: Vec<Choice>,
    /// Id of the thing it was done to, as typed.
    pub target: String,
    /// First day, as typed.
    pub since: String,
    /// Last day, as typed.
    pub until: String,
    /// Whether anything is filtered: then an empty list means "nothing found".
    pub filtered: bool,
    /// One page of events, the newest first.
    pub events: Vec<AuditRow>,
    /// Neighbouring pages.
    pub pager: Pager,
}

/// One event.
#[derive(Debug, Clone, Serialize)]
pub struct AuditRow {
    /// `aud_…`
    pub id: String,
    /// Who did it.
    pub actor: String,
    /// "Page", "API", "Rule", "Command line", "Mailgrant".
    pub via: String,
    /// From where; empty if from nowhere.
    pub address: String,
    /// `member.added`
    pub action: String,
    /// What kind of thing it was done to.
    pub target_kind: String,
    /// Which one; empty if there is only one.
    pub target_id: String,
    /// Key of its project; empty for the site.
    pub project: String,
    /// What is different now.
    pub details: Vec<Detail>,
    /// When.
    pub when: When,
}

/// A name and a value of what is different now.
#[derive(Debug, Clone, Serialize)]
pub struct Detail {
    /// What.
    pub name: String,
    /// How it is now.
    pub value: String,
}

impl View for AuditLog {
    const TEMPLATE: &'static str = "admin/audit.html";

    fn samples() -> Vec<Self> {
        let log = |filtered: bool, events: Vec<AuditRow>| Self {
            page: Page::sample("Audit log", Section::Audit),
            actors: vec![
                Choice::new("", "Anybody", true),
                Choice::new("usr_1", "Ada Lovelace", false),
            ],
            actions: vec![
                Choice::new("", "Anything", true),
                Choice::new("member.*", "member", false),
            ],
            projects: vec![Choice::new("", "All projects", true)],
            ways: vec![Choice::new("", "Any way", true), Choice::new("ui", "Page", false)],
            target: String::new(),
            since: String::new(),
            until: String::new(),
            filtered,
            pager: Pager {
                first: None,
                next: None,
                text: format!("{} shown, the newest first", events.len()),
            },
            events,
        };
        let row = |address: &str, details: Vec<Detail>| AuditRow {
            id: "aud_01".to_owned(),
            actor: "Ada Lovelace".to_owned(),
            via: "Page".to_owned(),
            address: address.to_owned(),
            action: "member.added".to_owned(),
            target_kind: "project".to_owned(),
            target_id: "prj_01".to_owned(),
            project: "HELP".to_owned(),
            details,
            when: When::sample("4 minutes ago"),
        };
        let details = vec![Detail {
            name: "role".to_owned(),
            value: "agent".to_owned(),
        }];
        vec![
            log(false, vec![]),
            log(true, vec![]),
            log(false, vec![row("192.0.2.7", details), row("", vec![])]),
        ]
    }
}

//! The audit log: who did what to what, when, from where and by which way; kept so that a later change shows.
//!
//! * [`append`] writes an event in the caller's transaction. What goes through [`crate::event::append`] on behalf of a
//!   person, an app or the machine is here by itself; `append` is for what has no such event;
//! * `origin`: by which way and from where, known to the edge and carried along with the request;
//! * `chain`: after the commit every event gets its place and a seal over itself and the one before;
//! * `refusals`: what was refused, counted so that nobody floods the log;
//! * `verify`: goes along the chain and names the first place where it does not hold.
//!
//! Secrets, tokens and mail text are never in it; `mask` is the net under that rule. Who may see what is decided by
//! `web`; the queries are in `store`.

mod chain;
mod mask;
mod origin;
mod refusals;
mod store;
mod verify;

#[cfg(test)]
mod tests;

pub use chain::{AuditError, Head, appended, of_event, seal, trim};
pub use origin::{Origin, Via, act_as, act_through, actor, carried, noted, within};
pub use refusals::{Refusals, Refused};
pub use store::{AuditEvent, Filter, by_id, list, made_by_request, placed};
pub use verify::{Anchor, Break, Report, accept, verify};

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::Value;

use crate::clock::Clock;
use crate::id;

/// The actor of what was tried by somebody who did not prove who they are.
pub const NOBODY: &str = "nobody";

/// What is to be noted.
#[derive(Clone, Debug)]
pub struct NewAuditEvent<'a> {
    /// Who did it: a user, token or client id, `cli` or `system`. Empty: whoever the request belongs to.
    pub actor: &'a str,
    /// What was done, for example `project.updated`; `*.failed` for what was tried and refused.
    pub action: &'a str,
    /// What kind of thing it was done to, for example `project`.
    pub target_kind: &'a str,
    /// Which one.
    pub target_id: &'a str,
    /// The project it belongs to; empty for what belongs to the site.
    pub project_id: &'a str,
    /// What is different now, in a few words; never a secret, a token or text of a mail.
    pub summary: Value,
    /// By which way, where it is not that of the request: rules.
    pub via: Option<Via>,
}

impl<'a> NewAuditEvent<'a> {
    /// An event of the site, done by whoever the request belongs to, with nothing more to say.
    pub fn new(action: &'a str, target_kind: &'a str, target_id: &'a str) -> Self {
        Self {
            actor: "",
            action,
            target_kind,
            target_id,
            project_id: "",
            summary: Value::Null,
            via: None,
        }
    }

    /// The same, done by somebody.
    #[must_use]
    pub fn by(mut self, actor: &'a str) -> Self {
        self.actor = actor;
        self
    }

    /// The same in a project.
    #[must_use]
    pub fn in_project(mut self, project_id: &'a str) -> Self {
        self.project_id = project_id;
        self
    }

    /// The same with what is different now.
    #[must_use]
    pub fn saying(mut self, summary: Value) -> Self {
        self.summary = summary;
        self
    }

    /// The same by another way than that of the request.
    #[must_use]
    pub fn through(mut self, via: Via) -> Self {
        self.via = Some(via);
        self
    }
}

/// Notes an event in the caller's transaction and returns its id. It takes part in no lock: the chain is closed over it
/// after the commit.
pub async fn append<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    new: NewAuditEvent<'_>,
) -> Result<String, DbErr> {
    let here = origin::current();
    let actor = match (new.actor, here.as_deref()) {
        ("", Some(origin)) => origin.actor(),
        ("", None) => String::new(),
        (actor, _) => actor.to_owned(),
    };
    let via = match (new.via, here.as_deref()) {
        (Some(via), _) => via,
        (None, Some(origin)) => origin.via,
        // Work that a person began and that goes on behind their request.
        (None, None) if id::is("usr", &actor) => Via::Ui,
        (None, None) => Via::System,
    };
    let mut summary = match new.summary {
        Value::Null => Value::Object(serde_json::Map::new()),
        summary => mask::value(summary),
    };
    let client = here.as_deref().map(Origin::client).unwrap_or_default();
    if let Some(members) = summary.as_object_mut().filter(|_| !client.is_empty()) {
        members.insert("throughClient".to_owned(), client.into());
    }
    // Before the id, which is looked for by it.
    let created_at = clock.now_ms();
    let event = AuditEvent {
        id: id::new("aud", clock),
        created_at,
        actor: match actor.as_str() {
            "" => "system".to_owned(),
            _ => actor,
        },
        via: via.as_str().to_owned(),
        address: here.as_deref().map(|o| o.address.clone()).unwrap_or_default(),
        request_id: here.as_deref().map(|o| o.request_id.clone()).unwrap_or_default(),
        action: new.action.to_owned(),
        target_kind: new.target_kind.to_owned(),
        target_id: mask::text(new.target_id),
        project_id: new.project_id.to_owned(),
        text: summary.to_string(),
        summary,
        place: 0,
        key_id: String::new(),
        seal: String::new(),
    };
    store::insert(on, &event).await?;
    if let Some(origin) = here {
        origin.note();
    }
    chain::note_appended();
    Ok(event.id)
}

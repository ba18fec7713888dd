//! Which events are told, and to whom.

use crate::event::Event;
use crate::oauth2_client::stored_text;

/// What an event means for the episodes of what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Something needs somebody, until it is over.
    Begins,
    /// It is over, which is told as well.
    Ends,
    /// It is over because somebody saw to it: they know.
    EndsQuietly,
    /// Something is told once.
    Once,
}

/// What an event means; nothing, for most of them.
pub fn meaning(kind: &str) -> Option<Meaning> {
    Some(match kind {
        "grant.expired"
        | "grant.refused"
        | "grant.revoked"
        | "integration.misconfigured"
        | "mailbox.failing"
        | "mailbox.silent" => Meaning::Begins,
        "grant.restored" | "mailbox.recovered" => Meaning::Ends,
        "grant.updated" | "integration.updated" | "integration.deleted" | "mailbox.paused" => {
            Meaning::EndsQuietly
        }
        "grant.expiring" | "integration.secret_expiring" | "webhook.disabled" => Meaning::Once,
        _ => return None,
    })
}

/// What the episodes are about that an event begins or ends: its subject, or the silence of a mailbox, which is a matter of
/// its own beside a mailbox that cannot be read.
pub(crate) fn matters(event: &Event) -> Vec<String> {
    let (own, silence) = (event.subject_id.clone(), format!("{} silence", event.subject_id));
    match event.kind.as_str() {
        "mailbox.silent" => vec![silence],
        "mailbox.recovered" if event.data.get("silentSince").is_some() => vec![silence],
        "mailbox.paused" => vec![own, silence],
        _ => vec![own],
    }
}

/// The events that are read.
pub(super) const KINDS: [&str; 12] = [
    "grant.expired",
    "grant.refused",
    "grant.revoked",
    "grant.restored",
    "grant.updated",
    "grant.expiring",
    "integration.misconfigured",
    "integration.updated",
    "integration.deleted",
    "integration.secret_expiring",
    "mailbox.*",
    "webhook.disabled",
];

/// How long an episode must last before anybody is told: a mail server that hiccups is nobody's business.
pub fn hold_ms(kind: &str) -> i64 {
    if kind == "mailbox.failing" { 5 * 60_000 } else { 0 }
}

/// Who gets alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every site admin who did not ask to be left alone.
    Admins,
    /// Certain addresses.
    Addresses,
    /// Nobody.
    Nobody,
}

stored_text!(Audience {
    Admins => "admins",
    Addresses => "addresses",
    Nobody => "nobody",
});

/// Who gets alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which sort of people.
    pub audience: Audience,
    /// Their addresses, where it is certain ones.
    pub addresses: Vec<String>,
    /// Grows with every change of the row it stands in.
    pub revision: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::kinds;

    #[test]
    fn every_event_that_means_something_is_read_and_there() {
        for kind in kinds::KINDS.iter().filter(|kind| meaning(kind.name).is_some()) {
            let is_read = KINDS.iter().any(|wanted| {
                *wanted == kind.name || (*wanted == "mailbox.*" && kind.name.starts_with("mailbox."))
            });
            assert!(is_read, "{}", kind.name);
        }
        for kind in KINDS.iter().filter(|kind| !kind.ends_with('*')) {
            assert!(kinds::KINDS.iter().any(|known| known.name == *kind), "{kind}");
        }
    }
}

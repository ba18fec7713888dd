//! An event as consumers see it: the same in the log, in queues, in streams and in webhooks.

use serde_json::{Value, json};

use super::{Cursor, Event};
use crate::clock::rfc3339;

/// The version of the envelope and of the resources in it.
pub const API_VERSION: &str = "v1";

/// The envelope of an event.
pub fn envelope(event: &Event) -> Value {
    json!({
        "id": event.id,
        "type": event.kind,
        "timestamp": rfc3339(event.created_at),
        "apiVersion": API_VERSION,
        "sequence": event.sequence,
        "cursor": Cursor(event.sequence).to_string(),
        "projectId": if event.project_id.is_empty() { None } else { Some(&event.project_id) },
        "subjectId": event.subject_id,
        "actor": event.actor,
        "data": event.data,
    })
}

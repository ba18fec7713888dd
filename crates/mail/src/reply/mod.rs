//! Whose words are whose: the newly written text, what it quotes, the signature.

use crate::html::Mark;
use crate::model::{Reply, Segment, SegmentKind};

/// Splits the text form of a body. `marks` are the stretches that the HTML names.
pub(crate) fn split(text: &str, marks: &[Mark]) -> Reply {
    let _ = marks;
    let mut segments = Vec::new();
    if !text.is_empty() {
        segments.push(Segment {
            kind: SegmentKind::Reply,
            start: 0,
            end: text.len(),
        });
    }
    Reply {
        text: text.trim().to_owned(),
        quoted: None,
        signature: None,
        segments,
        method: "none".to_owned(),
        confidence: 0.0,
    }
}

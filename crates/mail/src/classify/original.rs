//! The mail that a report is about, as far as it was returned.

use super::{Input, phrases};
use crate::header;
use crate::model::BounceOriginal;
use crate::{encoded_word, ids};

/// Finds Message-ID and subject of the returned mail: in an attached copy, or below the report in its text.
pub(super) fn find(input: &Input<'_>) -> BounceOriginal {
    let copy = input.part(&[
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "message/global-headers",
    ]);
    if let Some(copy) = copy {
        let (headers, _) = header::read(copy.as_bytes(), 0..copy.len());
        let message_id = headers
            .first("Message-ID")
            .map(ids::parse)
            .and_then(|i| i.into_iter().next());
        let subject = headers
            .first("Subject")
            .map(|v| encoded_word::decode(&header::unfold(v), None));
        return BounceOriginal { message_id, subject };
    }
    let text = input.text();
    let copied = &text[report_end(text).min(text.len())..];
    let field = |name: &str| {
        copied.lines().map(str::trim_start).find_map(|l| {
            let head = l.get(..name.len())?;
            head.eq_ignore_ascii_case(name)
                .then(|| l[name.len()..].trim().to_owned())
        })
    };
    let message_id = field("Message-ID:").and_then(|v| ids::parse(v.as_bytes()).into_iter().next());
    let subject = field("Subject:").map(|v| encoded_word::decode(v.as_bytes(), None));
    BounceOriginal { message_id, subject }
}

/// Where the report ends and the returned mail begins.
pub(super) fn report_end(text: &str) -> usize {
    let mut offset = 0;
    let mut some_text = false;
    for line in text.split_inclusive('\n') {
        let lower = line.trim().to_lowercase();
        let copied_header = [
            "return-path:",
            "received: from",
            "received: by",
            "delivered-to:",
            "x-original-to:",
        ]
        .iter()
        .any(|h| lower.starts_with(h));
        // Tencent and NetEase head the facts about the returned mail like this, the recipient among them.
        let facts = lower.contains("原邮件信息") || lower.contains("原郵件資訊");
        let marker = !facts && lower.len() < 120 && phrases::COPY_MARKERS.iter().any(|m| lower.contains(m));
        if some_text && (copied_header || marker && !lower.ends_with("enclosed.")) {
            return offset;
        }
        some_text |= !lower.is_empty();
        offset += line.len();
    }
    text.len()
}

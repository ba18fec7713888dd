//! Delivery reports in the form of RFC 3464 (and its fields where a server puts them into plain text).

use std::collections::HashSet;

use super::{Input, addresses};
use crate::model::BounceRecipient;

/// What a machine-readable report says.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub recipients: Vec<BounceRecipient>,
    pub evidence: String,
}

/// Recipients of one report that are listed.
const MAX_RECIPIENTS: usize = 1_000;

/// Reads the report, if the mail is one.
pub(super) fn find(input: &Input<'_>) -> Option<Report> {
    let status: Vec<String> = input
        .parts(&[
            "message/delivery-status",
            "message/global-delivery-status",
            "text/delivery-status",
        ])
        .collect();
    if !status.is_empty() {
        let recipients = read(&status.join("\n\n"));
        return Some(Report {
            recipients,
            evidence: "message/delivery-status".to_owned(),
        });
    }
    let top = &input.found.parts[0].content_type;
    if top.value == "multipart/report"
        && top
            .param("report-type")
            .is_some_and(|t| t.eq_ignore_ascii_case("delivery-status"))
    {
        return Some(Report {
            recipients: read(input.text()),
            evidence: "report-type=delivery-status".to_owned(),
        });
    }
    let text = input.text();
    let mentioned = ["inal-Recipient:", "inal-recipient:", "INAL-RECIPIENT:"]
        .iter()
        .any(|name| memchr::memmem::find(text.as_bytes(), name.as_bytes()).is_some());
    if !mentioned {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    if lower.lines().any(|l| l.starts_with("final-recipient:"))
        && lower.contains("\naction:")
        && input.mail.in_reply_to.is_empty()
    {
        let recipients = read(text);
        return Some(Report {
            recipients,
            evidence: "Final-Recipient in the text".to_owned(),
        });
    }
    None
}

/// Reads the per-recipient groups.
fn read(text: &str) -> Vec<BounceRecipient> {
    let mut out: Vec<BounceRecipient> = Vec::new();
    let mut seen = HashSet::new();
    let mut group = Group::default();
    for (name, value) in fields(text) {
        match name.as_str() {
            "" => std::mem::take(&mut group).finish(&mut seen, &mut out),
            "final-recipient" => group.final_recipient = Some(value),
            "original-recipient" => group.original = Some(value),
            "x-actual-recipient" => group.actual = Some(value),
            "action" => group.action = Some(value),
            "status" => group.status = Some(value),
            "diagnostic-code" => group.diagnostic = Some(value),
            _ => {}
        }
        if out.len() >= MAX_RECIPIENTS {
            break;
        }
    }
    group.finish(&mut seen, &mut out);
    out
}

/// Unfolded fields; an empty name stands for an empty line.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            out.push(Default::default());
        } else if line.starts_with([' ', '\t']) {
            if let Some((name, value)) = out.last_mut()
                && !name.is_empty()
                && value.len() < 4_096
            {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            out.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    out
}

#[derive(Default)]
struct Group {
    final_recipient: Option<String>,
    original: Option<String>,
    actual: Option<String>,
    action: Option<String>,
    status: Option<String>,
    diagnostic: Option<String>,
}

impl Group {
    /// Adds the group when it names a recipient. The original one is the address that the sender knows; the final one
    /// may be an alias behind it or an internal form (`x400;…`).
    fn finish(self, seen: &mut HashSet<String>, out: &mut Vec<BounceRecipient>) {
        let choices = [&self.original, &self.final_recipient, &self.actual];
        let email = choices
            .into_iter()
            .flatten()
            .find_map(|v| address(v))
            .or_else(|| {
                self.final_recipient
                    .as_deref()
                    .map(after_type)
                    .filter(|v| !v.is_empty())
                    .map(str::to_owned)
            });
        let Some(email) = email else { return };
        if !seen.insert(email.to_ascii_lowercase()) {
            return;
        }
        let word = |v: &Option<String>| {
            v.as_deref()
                .and_then(|v| v.split_whitespace().next())
                .map(str::to_ascii_lowercase)
        };
        let action =
            word(&self.action).map(|a| a.trim_matches(|c: char| !c.is_ascii_alphabetic()).to_owned());
        let status = word(&self.status).filter(|s| s.starts_with(|c: char| c.is_ascii_digit()));
        let action = match action.as_deref() {
            Some("delayed" | "failed" | "delivered" | "relayed" | "expanded") => action.unwrap_or_default(),
            _ if status.as_deref().is_some_and(|s| s.starts_with('4')) => "delayed".to_owned(),
            _ => "failed".to_owned(),
        };
        let diagnostic = self
            .diagnostic
            .as_deref()
            .map(after_type)
            .filter(|d| !d.is_empty())
            .map(str::to_owned);
        out.push(BounceRecipient {
            email,
            action,
            status,
            diagnostic,
        });
    }
}

fn after_type(value: &str) -> &str {
    value.split_once(';').map_or(value, |(_, rest)| rest).trim()
}

fn address(value: &str) -> Option<String> {
    addresses::find(after_type(value))
        .into_iter()
        .next()
        .map(|f| f.email)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn groups_are_read_with_their_folded_fields() {
        let text = "Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; a@example.org\nAction: failed (gone)\n\
            Status: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1\n no such user\n\nOriginal-Recipient: rfc822;b@example.org\n\
            Final-Recipient: x400; /cn=b/\nAction: delayed\n";
        let found = read(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].email.as_str(), found[0].action.as_str()),
            ("a@example.org", "failed")
        );
        assert_eq!(found[0].diagnostic.as_deref(), Some("550 5.1.1 no such user"));
        assert_eq!(
            (found[1].email.as_str(), found[1].action.as_str()),
            ("b@example.org", "delayed")
        );
    }
}

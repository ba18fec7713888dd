//! Conversations: which identifiers of a mail link it to others, and what a conversation is called. Pure.
//!
//! A conversation is everything of one project that identifiers link, whatever their order of arrival. Subjects, senders
//! and tickets play no part, so it says who claims to answer what, and nothing of who may. Its id is that of its
//! smallest node, and so a function of what is in it.

use mailgrant_mail::ParsedMail;

use crate::crypto::sha256_hex;

/// Identifiers of References that link: the first ones name the beginning, the last ones the nearest mails. Which they
/// are depends on the mail alone, or the order of arrival would matter.
const FIRST_REFERENCES: usize = 10;
const LAST_REFERENCES: usize = 90;
/// The same for In-Reply-To and Message-ID, of which a mail has one.
const OTHERS: usize = 10;
const OWN: usize = 3;

/// What links a mail to others, each once. A mail without any identifier stands alone, under its own content.
pub(super) fn identifiers(mail: &ParsedMail, content: impl FnOnce() -> String) -> Vec<String> {
    let references = &mail.references;
    let tail = references
        .len()
        .saturating_sub(LAST_REFERENCES)
        .max(FIRST_REFERENCES.min(references.len()));
    let mut ids: Vec<String> = Vec::new();
    for id in mail
        .message_id
        .iter()
        .take(OWN)
        .chain(mail.in_reply_to.iter().take(OTHERS))
        .chain(references.iter().take(FIRST_REFERENCES))
        .chain(references.iter().skip(tail))
    {
        if !ids.contains(id) {
            ids.push(id.clone());
        }
    }
    if ids.is_empty() {
        // No Message-ID holds a space.
        ids.push(format!("content {}", content()));
    }
    ids
}

/// The node of an identifier. Two projects share none.
pub(super) fn node(project_id: &str, identifier: &str) -> String {
    let hash = sha256_hex(format!("thread {project_id} {identifier}").as_bytes());
    format!("thr_{}", hash.get(..32).unwrap_or(&hash))
}

/// Whether a text has the shape of a conversation's id.
pub(super) fn is_id(text: &str) -> bool {
    text.strip_prefix("thr_")
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(references: usize) -> ParsedMail {
        ParsedMail {
            message_id: vec!["own@x".into()],
            in_reply_to: vec!["r1@x".into()],
            references: (0..references).map(|n| format!("r{n}@x")).collect(),
            ..ParsedMail::default()
        }
    }

    #[test]
    fn the_beginning_and_the_nearest_link_and_nothing_twice() {
        assert_eq!(
            identifiers(&mail(3), String::new),
            ["own@x", "r1@x", "r0@x", "r2@x"]
        );
        let many = identifiers(&mail(1_000), String::new);
        assert_eq!(many.len(), 101);
        assert!(many.contains(&"r0@x".to_owned()) && many.contains(&"r999@x".to_owned()));
        assert!(!many.contains(&"r500@x".to_owned()));
        for count in [9, 10, 11, 99, 100, 101] {
            assert_eq!(
                identifiers(&mail(count), String::new).len(),
                count.min(100) + 1,
                "{count}"
            );
        }
    }

    #[test]
    fn a_mail_without_identifiers_stands_alone() {
        let bare = ParsedMail::default();
        assert_eq!(identifiers(&bare, || "ab".into()), ["content ab"]);
        assert!(is_id(&node("prj_1", "a@x")));
        assert_ne!(node("prj_1", "a@x"), node("prj_2", "a@x"));
        assert!(!is_id("thr_1") && !is_id("tkt_1"));
    }
}

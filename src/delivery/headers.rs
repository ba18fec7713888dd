//! Headers that a webhook's owner adds to its requests: never one of ours, and nothing that could break out of its line.

use std::collections::BTreeMap;

/// Most headers of one webhook.
const MAX_HEADERS: usize = 20;
/// Longest value, bytes.
const MAX_VALUE: usize = 4_096;

/// Names that are ours or the protocol's.
const RESERVED: [&str; 19] = [
    "host",
    "user-agent",
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
    "proxy-authorization",
    "proxy-connection",
    "forwarded",
    "via",
    "date",
    "range",
];

/// What is wrong with these headers, if anything is.
pub(super) fn problem(headers: &BTreeMap<String, String>) -> Option<String> {
    if headers.len() > MAX_HEADERS {
        return Some(format!("at most {MAX_HEADERS} headers can be added"));
    }
    let mut seen = Vec::new();
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        let is_token = !name.is_empty()
            && name.len() <= 100
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_token {
            return Some(format!("`{shown}` is not the name of a header"));
        }
        if RESERVED.contains(&lower.as_str())
            || lower.starts_with("webhook-")
            || lower.starts_with("mailgrant-")
        {
            return Some(format!("`{shown}` is set by Mailgrant and cannot be replaced"));
        }
        if seen.contains(&lower) {
            return Some(format!("`{shown}` is there twice"));
        }
        if value.len() > MAX_VALUE || !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Some(format!(
                "the value of `{shown}` must be at most {MAX_VALUE} plain characters, without line breaks"
            ));
        }
        seen.push(lower);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn headers_of_ours_and_broken_ones_are_refused() {
        assert_eq!(problem(&one("Authorization", "Bearer x")), None);
        assert_eq!(problem(&one("X-Team", "")), None);
        for (name, value) in [
            ("Webhook-Id", "x"),
            ("webhook-signature", "x"),
            ("CONTENT-TYPE", "x"),
            ("Host", "x"),
            ("content-length", "3"),
            ("Mailgrant-Event", "x"),
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a\r\nb", "x"),
            ("ü", "x"),
            ("ok", "a\r\nset-cookie: x"),
            ("ok", "a\nb"),
            ("ok", "a\0b"),
            ("ok", "a\tb"),
            ("ok", "ü"),
        ] {
            assert!(problem(&one(name, value)).is_some(), "{name:?}: {value:?}");
        }
        let twice = BTreeMap::from([("a".to_owned(), String::new()), ("A".to_owned(), String::new())]);
        assert!(problem(&twice).is_some());
    }
}

//! Message identifiers: Message-ID, In-Reply-To, References.

use crate::header;

/// Identifiers kept of one field; the newest ones, which are last.
const MAX_IDS: usize = 1_000;

/// Identifiers without angle brackets, in order.
pub(crate) fn parse(raw: &[u8]) -> Vec<String> {
    let raw = header::unfold(raw);
    let mut out: Vec<String> = Vec::new();
    let mut rest = raw.as_slice();
    while let Some(start) = memchr::memchr(b'<', rest) {
        let after = &rest[start + 1..];
        let Some(end) = memchr::memchr(b'>', after) else {
            break;
        };
        // `<a <b>`: the inner one is whole.
        let inner = memchr::memrchr(b'<', &after[..end]).map_or(0, |i| i + 1);
        push(&mut out, &after[inner..end]);
        rest = &after[end + 1..];
    }
    if out.is_empty() {
        for word in raw.split(|b| b.is_ascii_whitespace() || *b == b',') {
            if word.contains(&b'@') || raw.len() == word.len() {
                push(&mut out, word);
            }
        }
    }
    out.split_off(out.len().saturating_sub(MAX_IDS))
}

fn push(out: &mut Vec<String>, id: &[u8]) {
    let id: String = String::from_utf8_lossy(id)
        .chars()
        .filter(|c| !c.is_whitespace() && !c.is_control())
        .collect();
    let id = id.trim_matches(['<', '>']);
    if !id.is_empty() {
        out.push(id.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn ids_lose_their_brackets_and_keep_their_order() {
        assert_eq!(parse(b" <a@x>\r\n <b@y><c d@z>"), ["a@x", "b@y", "cd@z"]);
    }

    #[test]
    fn an_id_without_brackets_is_taken() {
        assert_eq!(parse(b"a@x"), ["a@x"]);
        assert_eq!(parse(b"plain"), ["plain"]);
        assert!(parse(b"Your message of Monday").is_empty());
    }
}

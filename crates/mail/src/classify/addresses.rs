//! Finds mail addresses in free text, in linear time and without regular expressions.

/// An address and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub email: String,
    /// Byte offsets in the text that was searched.
    pub start: usize,
    pub end: usize,
}

fn is_local(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b) || b >= 0x80
}

fn is_domain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'.' || b == b'-' || b == b'_' || b >= 0x80
}

/// Longest local part and longest domain (RFC 5321), with some grace.
const MAX_SIDE: usize = 256;

/// All addresses of a line, in order.
pub(super) fn find(line: &str) -> Vec<Found> {
    let bytes = line.as_bytes();
    let mut out: Vec<Found> = Vec::new();
    let mut from = 0;
    for at in memchr::memchr_iter(b'@', bytes) {
        if at < from {
            continue;
        }
        let before = &bytes[from..at];
        let start = match quoted_local(before) {
            Some(len) => at - len,
            None => {
                at - before
                    .iter()
                    .rev()
                    .take(MAX_SIDE)
                    .take_while(|b| is_local(**b))
                    .count()
            }
        };
        let mut end = at
            + 1
            + bytes[at + 1..]
                .iter()
                .take(MAX_SIDE)
                .take_while(|b| is_domain(**b))
                .count();
        while end > at + 1 && matches!(bytes[end - 1], b'.' | b'-' | b'_') {
            end -= 1;
        }
        let start = start
            + bytes[start..at]
                .iter()
                .take_while(|b| matches!(b, b'.' | b'\'' | b'`' | b'*' | b'=' | b'/'))
                .count();
        if start < at && end > at + 1 && line.is_char_boundary(start) && line.is_char_boundary(end) {
            let email = strip_scheme(&line[start..end]);
            out.push(Found {
                email: email.to_owned(),
                start: end - email.len(),
                end,
            });
        }
        from = end;
    }
    out
}

/// Length of a quoted local part that ends at the end of `before`.
fn quoted_local(before: &[u8]) -> Option<usize> {
    let inner = before.strip_suffix(b"\"")?;
    let window = &inner[inner.len().saturating_sub(MAX_SIDE)..];
    let open = memchr::memrchr(b'"', window)?;
    (window.len() > open + 1).then_some(window.len() - open + 1)
}

fn strip_scheme(email: &str) -> &str {
    let lower = email.to_ascii_lowercase();
    for prefix in ["mailto:", "smtp:", "rfc822;"] {
        if lower.starts_with(prefix) {
            return &email[prefix.len()..];
        }
    }
    email
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn addresses_are_found_without_their_punctuation() {
        let emails: Vec<_> = find("<a.b@example.org>: 550, to=c@d.example. \"x y\"@e.example @nobody x@ ")
            .into_iter()
            .map(|f| f.email)
            .collect();
        assert_eq!(emails, ["a.b@example.org", "to=c@d.example", "\"x y\"@e.example"]);
    }
}

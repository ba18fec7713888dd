//! Character references in HTML text.

/// Longest reference that is looked up: `&CounterClockwiseContourIntegral;`.
const MAX_LEN: usize = 34;

/// Appends `text` with its character references decoded.
pub(crate) fn push_decoded(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(start) = memchr::memchr(b'&', rest.as_bytes()) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        rest = &rest[push_reference(out, rest)..];
    }
    out.push_str(rest);
}

/// Decodes the reference at the start of `rest`. Returns how many bytes it took.
fn push_reference(out: &mut String, rest: &str) -> usize {
    let window = &rest.as_bytes()[..rest.len().min(MAX_LEN)];
    let body = window[1..]
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'#')
        .count();
    let end = 1 + body;
    let token = &rest[..end];
    let closed = window.get(end) == Some(&b';');
    if let Some(number) = token.strip_prefix("&#") {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        if let Some(c) = code.ok().and_then(numeric) {
            out.push(c);
            return end + usize::from(closed);
        }
    } else if closed || ["&nbsp", "&amp", "&lt", "&gt", "&quot"].contains(&token) {
        let whole = format!("{token};");
        let before = out.len();
        mail_parser::decoders::html::add_html_token(out, whole.as_bytes(), false);
        if !out[before..].starts_with('&') || token == "&amp" {
            return end + usize::from(closed);
        }
        out.truncate(before);
    }
    out.push('&');
    1
}

/// Numbers 128 to 159 mean windows-1252 in practice; control characters mean nothing.
fn numeric(code: u32) -> Option<char> {
    if let 0x80..=0x9f = code {
        let byte = [code as u8];
        let (text, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(&byte);
        return text.chars().next();
    }
    char::from_u32(code).map(|c| {
        if c.is_control() && c != '\n' && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    })
}

#[cfg(test)]
mod tests {
    use super::push_decoded;

    #[test]
    fn references_are_decoded_and_lone_ampersands_stay() {
        let mut out = String::new();
        push_decoded(
            &mut out,
            "a&amp;b &lt;x&gt; &nbsp;&eacute;&#8364;&#x20AC;&#146; AT&T &bogus; &",
        );
        assert_eq!(out, "a&b <x> \u{a0}é€€’ AT&T &bogus; &");
    }
}

//! Enclosed pictures in sanitised HTML: their `cid:` references get an address that a browser can load.

use super::entity;

/// Replaces the source of each picture by what `address` gives for its Content-ID. A picture without an address loses
/// its source. The input must come from [`super::sanitize_html`]: what is written there has one form, in which a `<` in
/// a text is escaped and a value stands in double quotes.
pub fn with_pictures(html: &str, mut address: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let (text, tag) = rest.split_at(start);
        out.push_str(text);
        let (tag, after) = tag.split_at(end_of_tag(tag));
        match tag.strip_prefix("<img") {
            Some(attributes) if attributes.starts_with([' ', '>', '/']) => {
                out.push_str("<img");
                push_attributes(&mut out, attributes, &mut address);
            }
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The length of the tag that a text begins with: up to the first `>` outside of quotes.
fn end_of_tag(text: &str) -> usize {
    let mut is_quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'>' if !is_quoted => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn push_attributes(out: &mut String, attributes: &str, address: &mut impl FnMut(&str) -> Option<String>) {
    const SOURCE: &str = " src=\"";
    let mut rest = attributes;
    while let Some(open) = rest.find('"') {
        let (before, value) = rest.split_at(open + 1);
        let Some(close) = value.find('"') else {
            break;
        };
        let (value, after) = value.split_at(close);
        if let Some(name) = before.strip_suffix(SOURCE) {
            out.push_str(name);
            if let Some(found) = content_id(value).and_then(|id| address(&id)) {
                out.push_str(SOURCE);
                push_escaped(out, &found);
                out.push('"');
            }
        } else {
            out.push_str(before);
            out.push_str(value);
            out.push('"');
        }
        rest = after.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// The Content-ID that a source refers to (RFC 2392).
fn content_id(value: &str) -> Option<String> {
    let mut plain = String::new();
    entity::push_decoded(&mut plain, value);
    let plain = plain.trim();
    let scheme = plain.get(..4)?;
    if !scheme.eq_ignore_ascii_case("cid:") {
        return None;
    }
    let id = percent_decoded(plain.get(4..)?);
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    (!id.is_empty()).then(|| id.to_owned())
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let code = pair
            .filter(|pair| byte == b'%' && pair.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::with_pictures;
    use crate::sanitize_html;

    fn shown(html: &str) -> String {
        let clean = sanitize_html(html).expect("small");
        with_pictures(&clean, |id| (id == "logo@x").then(|| "/p?a=1&b=2".to_owned()))
    }

    #[test]
    fn a_reference_to_a_part_becomes_an_address_and_any_other_is_no_source() {
        for same in [
            "<img src=\"cid:logo@x\" alt=\"Logo\">",
            "<IMG SRC='CID:logo%40x' ALT=Logo>",
            "<img src=\"cid:&lt;logo@x&gt;\" alt=Logo>",
            "<img src=cid:logo&#64;x alt=Logo>",
        ] {
            let out = shown(same);
            assert!(
                out.contains("src=\"/p?a=1&amp;b=2\"") && out.contains("alt=\"Logo\""),
                "{out}"
            );
        }
        for other in [
            "<img src=cid:other@x alt=\"a &gt; b\">",
            "<img src=cid: alt=\"a &gt; b\">",
            "<img src=https://t.example/x.gif alt=\"a &gt; b\">",
        ] {
            let out = shown(other);
            assert!(
                !out.contains("src=") && out.contains("a ") && !out.contains("/p?"),
                "{out}"
            );
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        for same in [
            "<p>src=\"cid:logo@x\" &lt;img src=\"cid:logo@x\"&gt;</p>",
            "<p title=\"&lt;img src='cid:logo@x'>\">a &amp; b</p><hr>",
            "<a href=\"https://x.example/?src=cid:logo@x\">cid:logo@x</a>",
            "",
            "no tag",
        ] {
            let clean = sanitize_html(same).expect("small");
            assert_eq!(with_pictures(&clean, |_| Some("/p".into())), clean);
        }
    }

    #[test]
    fn an_address_cannot_leave_its_attribute() {
        let clean = sanitize_html("<img src=cid:a>").expect("small");
        let out = with_pictures(&clean, |_| Some("\"><script>".into()));
        assert_eq!(out, "<img src=\"&quot;&gt;&lt;script&gt;\">");
    }
}

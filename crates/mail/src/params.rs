//! Structured values with parameters: Content-Type and Content-Disposition, RFC 2231 included.

use encoding_rs::Encoding;

use crate::{charset, encoded_word, header};

/// A value such as `text/plain` with its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Value {
    /// In lower case.
    pub value: String,
    /// Names in lower case; the first of each name wins.
    pub params: Vec<(String, String)>,
}

impl Value {
    /// The parameter of that lower-case name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

/// Parameters of one value that are looked at.
const MAX_PARAMS: usize = 200;

/// One parameter as written: name, section number, percent-encoded, bytes.
struct Raw {
    name: String,
    section: u32,
    extended: bool,
    value: Vec<u8>,
}

/// Parses a folded header value.
pub(crate) fn parse(raw: &[u8], hint: Option<&'static Encoding>) -> Value {
    let raw = header::unfold(raw);
    let end = raw.iter().position(|&b| b == b';').unwrap_or(raw.len());
    let value = strip_comments(&raw[..end]);
    let value: String = String::from_utf8_lossy(&value)
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '"')
        .collect();
    let raws = split(raw.get(end + 1..).unwrap_or_default());
    Value {
        value: value.to_ascii_lowercase(),
        params: join(raws, hint),
    }
}

fn strip_comments(raw: &[u8]) -> Vec<u8> {
    let mut depth = 0usize;
    let mut out = Vec::with_capacity(raw.len());
    for &b in raw {
        match b {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b if depth == 0 => out.push(b),
            _ => {}
        }
    }
    out
}

fn split(raw: &[u8]) -> Vec<Raw> {
    let mut out = Vec::new();
    let mut pos = 0;
    while pos < raw.len() && out.len() < MAX_PARAMS {
        let rest = &raw[pos..];
        let name_len = rest
            .iter()
            .position(|&b| b == b'=' || b == b';')
            .unwrap_or(rest.len());
        if rest.get(name_len) != Some(&b'=') {
            pos += name_len + 1;
            continue;
        }
        let name = String::from_utf8_lossy(rest[..name_len].trim_ascii()).to_ascii_lowercase();
        let mut at = name_len + 1;
        at += rest[at..].iter().take_while(|b| b.is_ascii_whitespace()).count();
        let (value, used) = read_value(&rest[at..]);
        pos += at + used;
        if let Some(raw) = section(name, value) {
            out.push(raw);
        }
    }
    out
}

/// A quoted or bare value: its bytes, and how far to go on.
fn read_value(rest: &[u8]) -> (Vec<u8>, usize) {
    if rest.first() != Some(&b'"') {
        let end = rest.iter().position(|&b| b == b';').unwrap_or(rest.len());
        return (rest[..end].trim_ascii().to_vec(), (end + 1).min(rest.len()));
    }
    let mut value = Vec::new();
    let mut i = 1;
    while i < rest.len() {
        match rest[i] {
            b'\\' if matches!(rest.get(i + 1), Some(b'"' | b'\\')) => {
                value.push(rest[i + 1]);
                i += 2;
            }
            b'"' => {
                // A quote that is not followed by the next parameter belongs to the name: "a "b".txt".
                let tail = rest[i + 1..].trim_ascii_start();
                if tail.is_empty() || tail[0] == b';' || !tail.contains(&b'"') {
                    break;
                }
                value.push(b'"');
                i += 1;
            }
            b => {
                value.push(b);
                i += 1;
            }
        }
    }
    let next = rest[i.min(rest.len())..]
        .iter()
        .position(|&b| b == b';')
        .map_or(rest.len(), |p| i + p + 1);
    (value, next)
}

/// Splits `name*1*` into its parts.
fn section(name: String, value: Vec<u8>) -> Option<Raw> {
    let mut bits = name.split('*');
    let base = bits.next()?.to_owned();
    if base.is_empty() {
        return None;
    }
    let second = bits.next();
    let section = second.and_then(|s| s.parse().ok()).unwrap_or(0);
    let extended = name.ends_with('*') && second.is_some();
    Some(Raw {
        name: base,
        section,
        extended,
        value,
    })
}

fn join(mut raws: Vec<Raw>, hint: Option<&'static Encoding>) -> Vec<(String, String)> {
    let mut names: Vec<String> = Vec::new();
    for raw in &raws {
        if !names.contains(&raw.name) {
            names.push(raw.name.clone());
        }
    }
    raws.sort_by_key(|r| r.section);
    names
        .into_iter()
        .map(|name| {
            let of_name = || raws.iter().filter(|r| r.name == name);
            // The extended form wins over the plain one that is sent along for old readers.
            let extended = of_name().any(|r| r.extended);
            let value = if extended {
                decode_extended(of_name(), hint)
            } else {
                let sections = of_name().any(|r| r.section > 0);
                let take = if sections { usize::MAX } else { 1 };
                let bytes: Vec<u8> = of_name()
                    .take(take)
                    .flat_map(|r| r.value.iter().copied())
                    .collect();
                encoded_word::decode(&bytes, hint)
            };
            (name, value)
        })
        .collect()
}

/// Joins sections of which at least one is percent-encoded. The first section names the charset.
fn decode_extended<'a>(
    raws: impl Iterator<Item = &'a Raw> + Clone,
    hint: Option<&'static Encoding>,
) -> String {
    // `name="x"` beside `name*=utf-8''x` is a twin for old readers, not a section.
    let has_start = raws.clone().any(|r| r.extended && r.section == 0);
    let mut label = None;
    let mut bytes = Vec::new();
    let mut last = None;
    for raw in raws.filter(|r| r.extended || r.section > 0 || !has_start) {
        if last.replace(raw.section) == Some(raw.section) {
            continue;
        }
        if !raw.extended {
            bytes.extend_from_slice(&raw.value);
            continue;
        }
        let mut value = raw.value.as_slice();
        if label.is_none() && raw.section == 0 {
            let mut bits = value.splitn(3, |&b| b == b'\'');
            if let (Some(charset), Some(_), Some(text)) = (bits.next(), bits.next(), bits.next()) {
                label = Some(String::from_utf8_lossy(charset).into_owned());
                value = text;
            }
        }
        bytes.extend(percent_decode(value));
    }
    if memchr::memmem::find(&bytes, b"=?").is_some() {
        return encoded_word::decode(&bytes, hint);
    }
    let text = charset::decode_with_hint(&bytes, label.as_deref(), hint).text;
    text.chars().filter(|c| !c.is_control()).collect()
}

pub(crate) fn percent_decode(value: &[u8]) -> Vec<u8> {
    let hex = |b: Option<&u8>| b.and_then(|&b| (b as char).to_digit(16)).map(|d| d as u8);
    let mut out = Vec::with_capacity(value.len());
    let mut i = 0;
    while i < value.len() {
        match (value[i], hex(value.get(i + 1)), hex(value.get(i + 2))) {
            (b'%', Some(hi), Some(lo)) => {
                out.push(hi << 4 | lo);
                i += 3;
            }
            (b, _, _) => {
                out.push(b);
                i += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn name(raw: &str) -> String {
        parse(raw.as_bytes(), None)
            .params
            .iter()
            .find(|p| p.0 == "filename")
            .map(|p| p.1.clone())
            .unwrap_or_default()
    }

    #[test]
    fn continuations_are_joined_in_their_order() {
        assert_eq!(
            name("attachment; filename*1=\"cht.pdf\"; filename*0=\"Beri\""),
            "Bericht.pdf"
        );
    }

    #[test]
    fn extended_and_plain_sections_mix() {
        let raw =
            "attachment; filename*0*=UTF-8''%E2%82%AC%20; filename*1=\"rates\"; filename*2*=%20%C3%BC.txt";
        assert_eq!(name(raw), "€ rates ü.txt");
    }

    #[test]
    fn the_extended_form_wins_over_its_plain_twin() {
        assert_eq!(
            name("attachment; filename=\"EUR.txt\"; filename*=utf-8''%E2%82%AC.txt"),
            "€.txt"
        );
    }

    #[test]
    fn a_semicolon_and_quotes_inside_quotes_belong_to_the_name() {
        assert_eq!(
            name("attachment; filename=\"a;b \\\"c\\\".txt\"; size=3"),
            "a;b \"c\".txt"
        );
    }

    #[test]
    fn comments_and_case_of_the_type_do_not_matter() {
        assert_eq!(parse(b"TEXT/(x)Html; charset=\"X\"", None).value, "text/html");
    }
}

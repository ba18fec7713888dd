//! Address lists (RFC 5322, section 3.4), including the forms that real senders use instead: comments as names, missing
//! angle brackets, whole addresses inside an encoded word. Iterative; nesting of comments is only counted.

use encoding_rs::Encoding;

use crate::encoded_word;
use crate::header;
use crate::model::Address;

/// Addresses kept of one field.
const MAX_ADDRESSES: usize = 5_000;

/// What was read of the address before the next comma.
#[derive(Default)]
struct Pending {
    phrase: Vec<u8>,
    /// Whether an at sign is in the phrase: asked at every colon, so it is not looked for again.
    has_at: bool,
    quoted: bool,
    angle: Option<Vec<u8>>,
    comment: Vec<u8>,
}

/// Parses a folded header value.
pub(crate) fn parse(raw: &[u8], hint: Option<&'static Encoding>) -> Vec<Address> {
    let raw = header::unfold(raw);
    let mut out = parse_unfolded(&raw, hint);
    // A sender that encodes the whole list as one word.
    if out.len() == 1
        && out[0].name.is_none()
        && memchr::memmem::find(&raw, b"=?").is_some()
        && !is_plain_address(&out[0].email)
    {
        let again = parse_unfolded(encoded_word::decode(&raw, hint).as_bytes(), hint);
        if again.iter().any(|a| is_plain_address(&a.email)) {
            out = again;
        }
    }
    out
}

fn parse_unfolded(raw: &[u8], hint: Option<&'static Encoding>) -> Vec<Address> {
    let mut out = Vec::new();
    let mut p = Pending::default();
    let mut i = 0;
    while i < raw.len() && out.len() < MAX_ADDRESSES {
        match raw[i] {
            b'"' => i = read_quoted(raw, i + 1, &mut p),
            b'(' => i = read_comment(raw, i + 1, &mut p.comment),
            b'<' => {
                let end = memchr::memchr2(b'>', b'<', &raw[i + 1..]).map_or(raw.len(), |e| i + 1 + e);
                let inner = raw[i + 1..end].trim_ascii().to_vec();
                // `<a@example.org> <b@example.org>`: a comma is missing.
                if p.angle.as_ref().is_some_and(|a| !a.is_empty()) {
                    finish(&mut p, &mut out, hint);
                }
                p.angle = Some(inner);
                i = if raw.get(end) == Some(&b'>') { end + 1 } else { end };
            }
            b',' if is_inside_a_name(&p, &raw[i + 1..]) => {
                p.phrase.push(b',');
                i += 1;
            }
            b',' | b';' => {
                finish(&mut p, &mut out, hint);
                i += 1;
            }
            b':' if !p.has_at && !p.phrase.ends_with(b"mailto") && p.angle.is_none() => {
                // The name of a group; its members follow.
                p = Pending::default();
                i += 1;
            }
            b'=' if raw[i..].starts_with(b"=?") => {
                let end = word_end(raw, i);
                p.has_at |= raw[i..end].contains(&b'@');
                p.phrase.extend_from_slice(&raw[i..end]);
                i = end;
            }
            b => {
                p.has_at |= b == b'@';
                p.phrase.push(b);
                i += 1;
            }
        }
    }
    finish(&mut p, &mut out, hint);
    out
}

/// `Lovelace, Ada <ada@example.org>` and `Ada Lovelace, Esq. <…>`: names with a comma that nobody quoted. One side has
/// one word; two people of whom one has no address have two each.
fn is_inside_a_name(p: &Pending, after: &[u8]) -> bool {
    let window = &after[..after.len().min(200)];
    let Some(open) = memchr::memchr3(b'<', b',', b';', window).filter(|&i| window[i] == b'<') else {
        return false;
    };
    let words = |b: &[u8]| b.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).count();
    let (before, behind) = (words(&p.phrase), words(&window[..open]));
    p.angle.is_none()
        && !p.quoted
        && p.comment.is_empty()
        && !p.phrase.contains(&b'@')
        && !window[..open].iter().any(|b| b"@\":(".contains(b))
        && before.min(behind) == 1
        && window[open..].contains(&b'@')
}

/// End of the encoded word at `start`, so that a comma inside a broken one does not split it.
fn word_end(raw: &[u8], start: usize) -> usize {
    let window = &raw[start..raw.len().min(start + 1_000)];
    let marks: Vec<usize> = memchr::memchr_iter(b'?', window).take(3).collect();
    match marks.as_slice() {
        [_, _, third] => {
            memchr::memmem::find(&window[third + 1..], b"?=").map_or(start + 2, |e| start + third + 1 + e + 2)
        }
        _ => start + 2,
    }
}

fn read_quoted(raw: &[u8], mut i: usize, p: &mut Pending) -> usize {
    p.quoted = true;
    while i < raw.len() {
        match raw[i] {
            b'\\' if i + 1 < raw.len() => {
                p.has_at |= raw[i + 1] == b'@';
                p.phrase.push(raw[i + 1]);
                i += 2;
            }
            b'"' => return i + 1,
            b => {
                p.has_at |= b == b'@';
                p.phrase.push(b);
                i += 1;
            }
        }
    }
    i
}

fn read_comment(raw: &[u8], mut i: usize, comment: &mut Vec<u8>) -> usize {
    let mut depth = 1usize;
    if !comment.is_empty() {
        comment.push(b' ');
    }
    while i < raw.len() {
        match raw[i] {
            b'\\' if i + 1 < raw.len() => {
                comment.push(raw[i + 1]);
                i += 2;
                continue;
            }
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
        comment.push(raw[i]);
        i += 1;
    }
    i
}

/// The text outside comments; what is inside them goes to `comments`.
fn without_comments(raw: &[u8], comments: &mut Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut i = 0;
    while i < raw.len() {
        if raw[i] == b'(' {
            i = read_comment(raw, i + 1, comments);
        } else {
            out.push(raw[i]);
            i += 1;
        }
    }
    out
}

fn finish(p: &mut Pending, out: &mut Vec<Address>, hint: Option<&'static Encoding>) {
    let p = std::mem::take(p);
    let phrase = encoded_word::decode(p.phrase.trim_ascii(), hint);
    let comment = encoded_word::decode(p.comment.trim_ascii(), hint);
    let (name, email) = match &p.angle {
        Some(angle) if !angle.is_empty() => {
            let mut inside = Vec::new();
            let email = encoded_word::decode(&without_comments(angle, &mut inside), hint);
            (pick(&phrase, &comment), strip_route(&email))
        }
        Some(_) => from_parts(&phrase, &comment),
        None if phrase.contains('@') || comment.is_empty() || !comment.contains('@') => {
            bare(&phrase, &comment, p.quoted)
        }
        None => from_parts(&phrase, &comment),
    };
    let email = email.trim().trim_matches(['<', '>']);
    // Old programs print `Ada [ada@example.org]`; a bracket behind the sign belongs to the number of a host.
    let bracketed = email.strip_prefix('[').map(|e| e.strip_suffix(']').unwrap_or(e));
    let email = bracketed
        .map_or(email, |e| e.strip_prefix("mailto:").unwrap_or(e))
        .to_owned();
    if email.is_empty() && name.is_none() {
        return;
    }
    out.push(Address { name, email });
}

fn pick(phrase: &str, comment: &str) -> Option<String> {
    let name = |s: &str| {
        let s = s.split_whitespace().collect::<Vec<_>>().join(" ");
        let s = unquote(&s);
        (!s.is_empty()).then(|| s.to_owned())
    };
    name(phrase).or_else(|| name(comment))
}

fn unquote(s: &str) -> &str {
    let s = s.trim();
    s.strip_prefix('"')
        .and_then(|s| s.strip_suffix('"'))
        .unwrap_or(s)
        .trim()
}

/// No angle brackets: `a@example.org`, `a@example.org (Name)`, `Name a@example.org`, `"Name <a@example.org>"`.
fn bare(phrase: &str, comment: &str, quoted: bool) -> (Option<String>, String) {
    if let Some((before, rest)) = phrase.split_once('<')
        && let Some((email, _)) = rest.split_once('>')
        && email.contains('@')
    {
        return (pick(before, comment), email.trim().to_owned());
    }
    let words: Vec<&str> = phrase.split_whitespace().collect();
    let at = words.iter().position(|w| w.contains('@') && w.len() > 2);
    match at {
        // White space around the sign only: `user @ example.org`.
        None if phrase.contains('@') => (pick("", comment), words.concat()),
        Some(i) if words.len() > 1 && !quoted => {
            let mut rest = words.clone();
            let email = rest.remove(i);
            (pick(&rest.join(" "), comment), email.to_owned())
        }
        Some(i) => {
            let mut rest = words.clone();
            let email = rest.remove(i);
            (pick(&rest.join(" "), comment), email.to_owned())
        }
        None if !comment.is_empty() => (pick("", comment), phrase.trim().to_owned()),
        None if words.len() <= 1 && !quoted => (None, phrase.trim().to_owned()),
        None => (pick(phrase, ""), String::new()),
    }
}

/// The address is inside the comment: `Name (a@example.org)`; or nowhere.
fn from_parts(phrase: &str, comment: &str) -> (Option<String>, String) {
    let find = |s: &str| {
        s.split([' ', '<', '>', '"', '\''])
            .find(|w| is_plain_address(w))
            .map(str::to_owned)
    };
    match (find(phrase), find(comment)) {
        (_, Some(email)) => (pick(phrase, ""), email),
        (Some(email), None) => (pick("", comment), email),
        (None, None) => (pick(phrase, comment), String::new()),
    }
}

/// Removes an obsolete source route: `@a,@b:c@d`.
fn strip_route(email: &str) -> String {
    let email: String = email.chars().filter(|c| !c.is_whitespace()).collect();
    let email = email.strip_prefix("mailto:").unwrap_or(&email);
    if email.starts_with('@')
        && let Some((_, rest)) = email.rsplit_once(':')
    {
        return rest.to_owned();
    }
    email.to_owned()
}

/// Whether this is `local@domain` and nothing else.
pub(crate) fn is_plain_address(s: &str) -> bool {
    let Some((local, domain)) = s.rsplit_once('@') else {
        return false;
    };
    !local.is_empty()
        && !domain.is_empty()
        && s.len() <= 320
        && !s.contains(|c: char| c.is_whitespace() || c.is_control() || "<>(),;\"".contains(c))
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn pairs(raw: &str) -> Vec<(String, String)> {
        parse(raw.as_bytes(), None)
            .into_iter()
            .map(|a| (a.name.unwrap_or_default(), a.email))
            .collect()
    }

    fn one(raw: &str) -> (String, String) {
        let mut all = pairs(raw);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn names_come_from_phrases_quotes_and_comments() {
        let ada = |n: &str| (n.to_owned(), "ada@example.org".to_owned());
        assert_eq!(one("Ada Lovelace <ada@example.org>"), ada("Ada Lovelace"));
        assert_eq!(one("\"Lovelace, Ada\" <ada@example.org>"), ada("Lovelace, Ada"));
        assert_eq!(one("ada@example.org (Ada (the first))"), ada("Ada (the first)"));
        assert_eq!(one("Ada (ada@example.org)"), ada("Ada"));
        assert_eq!(one("Ada ada@example.org"), ada("Ada"));
        assert_eq!(one("Ada <ada(the first)@example.org (home)>"), ada("Ada"));
        assert_eq!(
            one("=?utf-8?Q?Ada,_Gr=C3=A4fin?= <ada@example.org>"),
            ada("Ada, Gräfin")
        );
    }

    #[test]
    fn a_name_may_hold_a_comma_that_nobody_quoted() {
        let ada = |n: &str| (n.to_owned(), "ada@example.org".to_owned());
        assert_eq!(one("Lovelace, Ada <ada@example.org>"), ada("Lovelace, Ada"));
        assert_eq!(
            one("Ada Lovelace, Esq. <ada@example.org>"),
            ada("Ada Lovelace, Esq.")
        );
        assert_eq!(pairs("a@example.org, Ada <ada@example.org>").len(), 2);
        assert_eq!(
            pairs("Bob <b@example.org>, Lovelace, Ada <ada@example.org>").len(),
            2
        );
        assert_eq!(pairs("Ada Lovelace, Bob Babbage <b@example.org>").len(), 2);
    }

    #[test]
    fn brackets_around_an_address_are_no_part_of_it() {
        let ada = ("Ada".to_owned(), "ada@example.org".to_owned());
        assert_eq!(one("Ada [ada@example.org]"), ada);
        assert_eq!(one("Ada [mailto:ada@example.org]"), ada);
        assert_eq!(one("ada@[192.0.2.1]").1, "ada@[192.0.2.1]");
    }

    #[test]
    fn groups_give_their_members() {
        assert_eq!(
            pairs("Team: a@example.org, B <b@example.org>;, c@example.org").len(),
            3
        );
        assert!(pairs("undisclosed-recipients:;").is_empty());
    }

    #[test]
    fn a_sender_without_a_domain_is_kept() {
        assert_eq!(
            one("MAILER-DAEMON (Mail Delivery System)"),
            ("Mail Delivery System".into(), "MAILER-DAEMON".into())
        );
    }

    #[test]
    fn a_list_inside_one_encoded_word_is_read() {
        assert_eq!(
            one("=?utf-8?Q?Ada_<ada@example.org>?="),
            ("Ada".into(), "ada@example.org".into())
        );
    }

    #[test]
    fn a_source_route_is_dropped() {
        assert_eq!(one("<@a.example,@b.example:c@example.org>").1, "c@example.org");
    }
}

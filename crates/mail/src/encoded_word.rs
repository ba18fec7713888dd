//! Text in header fields: RFC 2047 encoded words, also those that break its rules, and raw 8-bit bytes.

use encoding_rs::Encoding;

use crate::charset;
use crate::transfer;

/// One encoded word: its charset, its bytes and how long it is in the source.
struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
    len: usize,
}

/// Decodes an unfolded header value. `hint` is the charset to try first for raw 8-bit bytes.
pub(crate) fn decode(value: &[u8], hint: Option<&'static Encoding>) -> String {
    let mut out = String::with_capacity(value.len());
    let mut plain_start = 0;
    let mut pos = 0;
    while let Some(found) = find_start(value, pos) {
        let Some(first) = read_word(&value[found..]) else {
            pos = found + 2;
            continue;
        };
        push_plain(&mut out, &value[plain_start..found], hint);
        let charset = first.charset;
        let (bytes, after) = join_words(value, found + first.len, first);
        let decoded = charset::decode_with_hint(&bytes, Some(charset), hint);
        out.extend(decoded.text.chars().filter(|&c| c != '\0'));
        pos = after;
        plain_start = after;
    }
    push_plain(&mut out, &value[plain_start..], hint);
    clean(out)
}

/// Joins the bytes of the words that follow directly: a character may be cut between two words (which RFC 2047 forbids
/// and many senders do), so the charset is applied to the whole run.
fn join_words(value: &[u8], mut after: usize, first: Word<'_>) -> (Vec<u8>, usize) {
    let mut bytes = first.bytes;
    loop {
        let blanks = value[after..]
            .iter()
            .take_while(|b| b.is_ascii_whitespace())
            .count();
        let Some(word) = read_word(&value[after + blanks..]) else {
            break;
        };
        if !word.charset.eq_ignore_ascii_case(first.charset) {
            break;
        }
        bytes.extend_from_slice(&word.bytes);
        after += blanks + word.len;
    }
    // White space between two words is not text, whatever their charsets.
    let blanks = value[after..]
        .iter()
        .take_while(|b| b.is_ascii_whitespace())
        .count();
    if blanks > 0 && read_word(&value[after + blanks..]).is_some() {
        after += blanks;
    }
    (bytes, after)
}

fn find_start(value: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(value.get(from..)?, b"=?").map(|i| from + i)
}

fn push_plain(out: &mut String, bytes: &[u8], hint: Option<&'static Encoding>) {
    if !bytes.is_empty() {
        out.push_str(&charset::decode_with_hint(bytes, None, hint).text);
    }
}

/// Control characters in a header are either folding or an attempt to deceive.
fn clean(text: String) -> String {
    if text.chars().any(char::is_control) {
        text.chars()
            .filter(|&c| c != '\n' && c != '\r')
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    } else {
        text
    }
}

/// Longest encoded word that is read; RFC 2047 allows 75, senders write whole subjects into one.
const MAX_WORD: usize = 4 << 10;

/// Reads `=?charset?B|Q?text?=` at the start of `value`.
fn read_word(value: &[u8]) -> Option<Word<'_>> {
    let rest = value.strip_prefix(b"=?")?;
    let mark = rest.iter().take(60).position(|&b| b == b'?')?;
    let label = std::str::from_utf8(&rest[..mark]).ok()?;
    if label.is_empty() || label.contains(|c: char| c.is_whitespace() || c == '=') {
        return None;
    }
    // RFC 2231 lets a language follow: utf-8*en.
    let charset = label.split('*').next().unwrap_or(label);
    let rest = &rest[mark + 1..];
    let (kind, rest) = rest.split_first()?;
    let text = rest.strip_prefix(b"?")?;
    let limit = text.len().min(MAX_WORD);
    let q = match kind {
        b'q' | b'Q' => true,
        b'b' | b'B' => false,
        _ => return None,
    };
    let end = word_end(&text[..limit], q)?;
    let bytes = if q {
        transfer::quoted_printable(&text[..end], true).0
    } else {
        transfer::base64(&text[..end]).0
    };
    let closing = if text[end..].starts_with(b"?=") { 2 } else { 0 };
    Some(Word {
        charset,
        bytes,
        len: 2 + mark + 1 + 2 + end + closing,
    })
}

/// Where the encoded text ends. A word cut off before its `?=` counts when the value ends there.
fn word_end(text: &[u8], q: bool) -> Option<usize> {
    let end = memchr::memmem::find(text, b"?=");
    let Some(mut end) = end else {
        let cut = text
            .iter()
            .position(|b| b.is_ascii_whitespace())
            .unwrap_or(text.len());
        let legal = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
        return (!q && cut == text.len() && cut > 3 && text.iter().all(legal)).then_some(cut);
    };
    // `=?x?Q?what?=3D?=`: the first `?=` belongs to the text when two hex digits and another end follow.
    if q {
        end = past_encoded_mark(text, end);
    }
    (q || !text[..end].contains(&b'?')).then_some(end)
}

/// `=?x?Q?what?=3D?=`: a `?=` belongs to the text when two hex digits and another end follow.
fn past_encoded_mark(text: &[u8], mut end: usize) -> usize {
    loop {
        let tail = &text[end + 2..];
        let digits = tail.len() > 2 && tail[..2].iter().all(u8::is_ascii_hexdigit);
        match memchr::memmem::find(tail, b"?=") {
            Some(next) if digits && !tail[..next].contains(&b' ') && !tail[..next].contains(&b'?') => {
                end += 2 + next;
            }
            _ => return end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    fn text(value: &str) -> String {
        decode(value.as_bytes(), None)
    }

    #[test]
    fn words_join_without_the_space_between_them() {
        assert_eq!(
            text("=?utf-8?Q?Gr=C3=BC?= =?utf-8?Q?=C3=9Fe?= an alle"),
            "Grüße an alle"
        );
    }

    #[test]
    fn a_character_cut_between_two_words_is_read() {
        assert_eq!(
            text("=?UTF-8?B?w?= =?UTF-8?Q?=C3?= =?UTF-8?Q?=A4h?="),
            "äh".to_owned()
        );
    }

    #[test]
    fn a_word_glued_to_text_is_read() {
        assert_eq!(text("Re:=?iso-8859-1?q?caf=E9?=."), "Re:café.");
    }

    #[test]
    fn spaces_inside_a_word_and_a_language_are_forgiven() {
        assert_eq!(text("=?utf-8*fr?Q?d=C3=A9j=C3=A0 vu?="), "déjà vu");
    }

    #[test]
    fn something_that_only_looks_like_a_word_stays() {
        assert_eq!(text("a =? b ?= c"), "a =? b ?= c");
        assert_eq!(text("=?utf-8?X?abc?="), "=?utf-8?X?abc?=");
    }

    #[test]
    fn line_ends_cannot_be_smuggled_in() {
        assert_eq!(text("=?utf-8?Q?a=0D=0ABcc:_x?="), "aBcc: x");
    }
}

//! Content-Transfer-Encoding: base64 and quoted-printable, decoded leniently and in one pass.

use std::borrow::Cow;

/// How a body is encoded for transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
    Uuencode,
}

impl Encoding {
    /// Reads the header's value; unknown encodings count as identity.
    pub fn from_label(label: &str) -> Self {
        let label = label
            .trim()
            .trim_matches(['"', '\'', ';', ' '])
            .to_ascii_lowercase();
        if label.starts_with("base64") || label == "b" {
            Self::Base64
        } else if label.starts_with("quoted") || label == "qp" {
            Self::QuotedPrintable
        } else if label.starts_with("x-uu") || label == "uuencode" || label == "uue" {
            Self::Uuencode
        } else {
            Self::Identity
        }
    }
}

/// Decoded bytes, and whether something had to be skipped.
pub(crate) fn decode(raw: &[u8], encoding: Encoding) -> (Cow<'_, [u8]>, bool) {
    match encoding {
        Encoding::Identity => (Cow::Borrowed(raw), false),
        Encoding::Base64 => {
            let (bytes, broken) = base64(raw);
            (Cow::Owned(bytes), broken)
        }
        Encoding::QuotedPrintable => {
            let (bytes, broken) = quoted_printable(raw, false);
            (Cow::Owned(bytes), broken)
        }
        Encoding::Uuencode => match uuencode(raw) {
            Some(bytes) => (Cow::Owned(bytes), false),
            None => (Cow::Borrowed(raw), true),
        },
    }
}

/// Base64 with anything outside its alphabet skipped.
pub(crate) fn base64(raw: &[u8]) -> (Vec<u8>, bool) {
    if let Some(bytes) = mail_parser::decoders::base64::base64_decode(raw) {
        return (bytes, false);
    }
    let mut out = Vec::with_capacity(raw.len() / 4 * 3);
    let (mut acc, mut bits, mut broken) = (0u32, 0u32, false);
    for &b in raw {
        let v = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                // Concatenated base64 starts afresh after its padding.
                (acc, bits) = (0, 0);
                continue;
            }
            b'\r' | b'\n' | b' ' | b'\t' => continue,
            _ => {
                broken = true;
                continue;
            }
        };
        acc = (acc << 6) | u32::from(v);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((acc >> bits) as u8);
            acc &= (1 << bits) - 1;
        }
    }
    (out, broken)
}

/// Quoted-printable; `word` is the Q encoding of RFC 2047, where `_` is a space.
pub(crate) fn quoted_printable(raw: &[u8], word: bool) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(raw.len());
    let (mut i, mut broken) = (0, false);
    while i < raw.len() {
        match raw[i] {
            b'=' => {
                let pair = (
                    raw.get(i + 1).and_then(|&b| hex(b)),
                    raw.get(i + 2).and_then(|&b| hex(b)),
                );
                if let (Some(hi), Some(lo)) = pair {
                    out.push(hi << 4 | lo);
                    i += 3;
                } else if let Some(skip) = soft_break(&raw[i + 1..]) {
                    i += 1 + skip;
                } else {
                    broken = true;
                    out.push(b'=');
                    i += 1;
                }
            }
            b'_' if word => {
                out.push(b' ');
                i += 1;
            }
            b => {
                out.push(b);
                i += 1;
            }
        }
    }
    (out, broken)
}

/// Bytes of `= <white space> CRLF` after the equals sign.
fn soft_break(rest: &[u8]) -> Option<usize> {
    let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    match &rest[blanks..] {
        [b'\r', b'\n', ..] => Some(blanks + 2),
        [b'\n', ..] | [b'\r', ..] => Some(blanks + 1),
        [] => Some(blanks),
        _ => None,
    }
}

fn hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    }
}

/// The first file of a uuencoded body.
fn uuencode(raw: &[u8]) -> Option<Vec<u8>> {
    let mut lines = raw
        .split(|&b| b == b'\n')
        .map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    lines.by_ref().find(|l| l.starts_with(b"begin "))?;
    let mut out = Vec::new();
    for line in lines {
        if line.starts_with(b"end") {
            break;
        }
        let Some((&first, data)) = line.split_first() else {
            continue;
        };
        let want = usize::from(first.wrapping_sub(32) & 63);
        let start = out.len();
        for group in data.chunks(4) {
            let v = |i: usize| u32::from(group.get(i).copied().unwrap_or(b' ').wrapping_sub(32) & 63);
            let word = v(0) << 18 | v(1) << 12 | v(2) << 6 | v(3);
            out.extend_from_slice(&word.to_be_bytes()[1..]);
        }
        out.truncate(out.len().min(start + want));
    }
    Some(out)
}

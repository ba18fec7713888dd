//! Header blocks: bytes to (name, raw value) pairs. Values are not decoded here.

use std::ops::Range;

/// Why a header block cannot be taken whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderLimit {
    /// More than [`MAX_HEADERS`].
    Count,
    /// More than [`MAX_BLOCK`].
    Size,
    /// A line longer than [`MAX_LINE`].
    Line,
}

/// Header fields in one block.
pub(crate) const MAX_HEADERS: usize = 2_000;
/// Bytes of one header block.
pub(crate) const MAX_BLOCK: usize = 1 << 20;
/// Bytes of one physical header line.
pub(crate) const MAX_LINE: usize = 64 << 10;

/// One header field as it stands in the mail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawHeader<'a> {
    pub name: &'a [u8],
    /// Still folded, without the trailing line end.
    pub value: &'a [u8],
}

/// A parsed header block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers<'a> {
    pub fields: Vec<RawHeader<'a>>,
    /// The block ended at a line that is neither a field nor empty.
    pub broken: bool,
    /// A limit was met; the fields before it are kept.
    pub limit: Option<HeaderLimit>,
}

impl<'a> Headers<'a> {
    /// The first field of that name (ASCII case ignored).
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// All fields of that name, in order.
    pub fn all<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + 'n {
        self.fields
            .iter()
            .filter(move |f| f.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|f| f.value)
    }
}

/// End of the line that starts at `pos`: (end of its text, start of the next line).
pub(crate) fn line_end(raw: &[u8], pos: usize) -> (usize, usize) {
    match memchr::memchr(b'\n', &raw[pos..]) {
        Some(i) => {
            let end = pos + i;
            // Converters that run twice leave CR CR LF.
            let returns = raw[pos..end].iter().rev().take_while(|&&b| b == b'\r').count();
            (end - returns, end + 1)
        }
        None => (raw.len(), raw.len()),
    }
}

/// Where the header of a whole mail starts: behind a byte order mark and behind empty lines that precede a field.
fn start_of_mail(raw: &[u8]) -> usize {
    let bom = if raw.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let blank = raw[bom..]
        .iter()
        .take(64)
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count();
    let (end, _) = line_end(raw, bom + blank);
    if is_field(&raw[bom + blank..end]) {
        bom + blank
    } else {
        bom
    }
}

/// Length of the field name when the line is `name:`, with white space before the colon forgiven.
fn field_name(line: &[u8]) -> Option<(usize, usize)> {
    let name = line.iter().position(|&b| !(33..=126).contains(&b) || b == b':')?;
    if name == 0 {
        return None;
    }
    let colon = name + line[name..].iter().position(|&b| b != b' ' && b != b'\t')?;
    (line[colon] == b':').then_some((name, colon))
}

/// Whether the line could be a header field.
pub(crate) fn is_field(line: &[u8]) -> bool {
    field_name(line).is_some()
}

/// Reads the header block at the start of `raw[range]`. Returns the fields and the offset where the body starts.
pub(crate) fn read(raw: &[u8], range: Range<usize>) -> (Headers<'_>, usize) {
    let mut headers = Headers::default();
    let raw = &raw[..range.end];
    let mut pos = if range.start == 0 {
        start_of_mail(raw)
    } else {
        range.start
    };
    while pos < range.end {
        let (end, next) = line_end(raw, pos);
        let line = &raw[pos..end];
        if line.is_empty() {
            return (headers, next);
        }
        if end - pos > MAX_LINE {
            headers.limit.get_or_insert(HeaderLimit::Line);
            return (headers, next);
        }
        if next - range.start > MAX_BLOCK {
            headers.limit.get_or_insert(HeaderLimit::Size);
            return (headers, next);
        }
        let folded = line[0] == b' ' || line[0] == b'\t';
        if folded {
            // White space only: some senders mean the end of the header by it.
            if line.iter().all(|b| b.is_ascii_whitespace()) && !continues(raw, next) {
                return (headers, next);
            }
            match headers.fields.last_mut() {
                Some(last) => {
                    let start = offset_in(raw, last.value);
                    last.value = &raw[start..end];
                }
                // Some mail readers add lines of their own below the separator of an mbox.
                None if range.start == 0 && header_resumes(raw, next, line, false, false) => {}
                None => {
                    headers.broken = true;
                    return (headers, pos);
                }
            }
        } else if let Some((name, colon)) = field_name(line) {
            if headers.fields.len() == MAX_HEADERS {
                headers.limit.get_or_insert(HeaderLimit::Count);
                return (headers, next);
            }
            headers.fields.push(RawHeader {
                name: &line[..name],
                value: &line[colon + 1..],
            });
        } else if headers.fields.is_empty() && range.start == 0 && pos < 70 && is_envelope_line(line) {
            // The separator line of an mbox file.
        } else if header_resumes(raw, next, line, headers.fields.is_empty(), pos == 0) {
            // A folded line that lost its white space on the way, or a banner above the header.
            headers.broken = true;
            if let Some(last) = headers.fields.last_mut() {
                let start = offset_in(raw, last.value);
                last.value = &raw[start..end];
            }
        } else {
            headers.broken = true;
            return (headers, pos);
        }
        pos = next;
    }
    (headers, range.end)
}

/// Whether a header block goes on after a line of white space: with a field, or with folded lines above one or above
/// the end of the header, as far as an encoded word shows that they belong to it.
fn continues(raw: &[u8], mut pos: usize) -> bool {
    let mut encoded = false;
    for _ in 0..MAX_INTERRUPTION {
        let (end, next) = line_end(raw, pos);
        let line = &raw[pos..end.min(pos + MAX_LINE)];
        if is_field(line) {
            return true;
        }
        if line.first().is_none_or(|b| *b != b' ' && *b != b'\t') {
            return encoded && line.is_empty();
        }
        encoded |= memchr::memmem::find(line, b"=?").is_some();
        pos = next;
    }
    false
}

/// Lines that may interrupt a header block.
const MAX_INTERRUPTION: usize = 5;
/// Fields that prove that a header block goes on: text rarely has lines that start so.
const PROOF: [&str; 12] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "received",
    "return-path",
    "reply-to",
    "delivered-to",
];

/// Whether a line that is no field stands in the middle of a header block rather than at its end.
fn header_resumes(raw: &[u8], mut pos: usize, line: &[u8], none_yet: bool, at_start: bool) -> bool {
    // Inside a mail such a line may be a boundary.
    if (line.starts_with(b"--") || none_yet) && !at_start {
        return false;
    }
    for _ in 0..MAX_INTERRUPTION {
        let (end, next) = line_end(raw, pos);
        let line = &raw[pos..end.min(pos + MAX_LINE)];
        if line.is_empty() {
            return false;
        }
        if let Some((name, _)) = field_name(line) {
            let name = &line[..name];
            return PROOF.iter().any(|p| name.eq_ignore_ascii_case(p.as_bytes()))
                || name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case(b"x-"));
        }
        pos = next;
    }
    false
}

fn is_envelope_line(line: &[u8]) -> bool {
    line.starts_with(b"From ") || line.starts_with(b">From ")
}

/// Offset of a sub-slice inside the slice it was cut from.
fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize)
        .saturating_sub(whole.as_ptr() as usize)
        .min(whole.len())
}

/// The value on one line: line ends removed, outer white space trimmed.
pub(crate) fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for &b in value {
        match b {
            b'\r' | b'\n' => {}
            0 => {}
            b => out.push(b),
        }
    }
    out.trim_ascii().to_vec()
}

#[cfg(test)]
mod tests {
    use super::read;

    fn names(raw: &str) -> (Vec<String>, &str) {
        let (headers, body) = read(raw.as_bytes(), 0..raw.len());
        (
            headers
                .fields
                .iter()
                .map(|f| String::from_utf8_lossy(f.name).into_owned())
                .collect(),
            &raw[body..],
        )
    }

    #[test]
    fn a_line_that_lost_its_folding_does_not_end_the_header() {
        let (fields, body) = names("Received: from a\nby b\nfor c;\nSubject: x\n\nbody");
        assert_eq!(fields, ["Received", "Subject"]);
        assert_eq!(body, "body");
    }

    #[test]
    fn a_line_of_white_space_does_not_end_a_folded_field() {
        let (fields, body) = names("To: a@x,\n \n\tb@x\nSubject: s\n \n =?utf-8?Q?x?=\n\nbody");
        assert_eq!(fields, ["To", "Subject"]);
        assert_eq!(body, "body");
        let (fields, body) = names("Subject: s\n \n  indented text\n\nmore");
        assert_eq!(fields, ["Subject"]);
        assert_eq!(body, "  indented text\n\nmore");
    }

    #[test]
    fn text_without_an_empty_line_before_it_is_body() {
        let (fields, body) = names("Subject: x\nDear all,\nplease note\n\nmore");
        assert_eq!(fields, ["Subject"]);
        assert_eq!(body, "Dear all,\nplease note\n\nmore");
    }

    #[test]
    fn what_precedes_the_first_field_is_skipped() {
        for before in ["\n\r\n", "\u{feff}", "\u{feff}\n"] {
            assert_eq!(
                names(&format!("{before}To: b\r\r\n\r\r\nx")),
                (vec!["To".to_owned()], "x"),
                "{before:?}"
            );
        }
        assert_eq!(
            names("\nhello: there is no header above"),
            (vec!["hello".to_owned()], "")
        );
        assert_eq!(names("\nhello\n"), (Vec::new(), "hello\n"));
    }

    #[test]
    fn the_separator_line_of_an_mbox_is_skipped() {
        assert_eq!(
            names("From a@example.org Mon Jan  1\nTo: b\n\nx"),
            (vec!["To".to_owned()], "x")
        );
    }
}

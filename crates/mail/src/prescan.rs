//! The pre-scan: finds the MIME structure of a mail in one linear pass and enforces the limits.
//!
//! The result is a flat list of parts with byte ranges, never a tree of owned values: dropping or cloning a deeply
//! nested tree overflows the stack, which aborts the process and cannot be caught. Parts are found with an explicit
//! stack of at most [`MAX_NESTING`] boundaries. `message/rfc822` is a leaf here and is parsed only on request, so
//! nesting cannot be hidden in it. No text is decoded here beyond the MIME header fields.

use std::borrow::Cow;
use std::ops::Range;

use crate::header::{self, HeaderLimit, Headers};
use crate::params::{self, Value};
use crate::transfer::Encoding;

/// Multipart levels.
pub const MAX_NESTING: usize = 32;
/// Parts of one mail, multiparts included.
pub const MAX_PARTS: usize = 1_000;
/// Bytes of a boundary (RFC 2046, section 5.1.1).
pub const MAX_BOUNDARY: usize = 70;

/// Which limit a mail exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooComplex {
    /// More than [`MAX_NESTING`] multipart levels.
    #[error("more than 32 nested multipart levels")]
    Nesting,
    /// More than [`MAX_PARTS`].
    #[error("more than 1000 parts")]
    Parts,
    /// A boundary longer than [`MAX_BOUNDARY`].
    #[error("a boundary of more than 70 bytes")]
    Boundary,
    /// A header block of more than 2000 fields.
    #[error("more than 2000 header fields in one block")]
    HeaderCount,
    /// A header block of more than 1 MiB.
    #[error("a header block of more than 1 MiB")]
    HeaderSize,
    /// A header line of more than 64 KiB.
    #[error("a header line of more than 64 KiB")]
    HeaderLine,
}

impl From<HeaderLimit> for TooComplex {
    fn from(limit: HeaderLimit) -> Self {
        match limit {
            HeaderLimit::Count => Self::HeaderCount,
            HeaderLimit::Size => Self::HeaderSize,
            HeaderLimit::Line => Self::HeaderLine,
        }
    }
}

/// One part of the mail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part<'a> {
    pub headers: Headers<'a>,
    pub content_type: Value,
    pub disposition: Value,
    pub encoding: Encoding,
    /// The body, still encoded.
    pub body: Range<usize>,
    /// Empty for leaves.
    pub children: Vec<usize>,
    pub is_multipart: bool,
    /// A multipart in which no part was found; its body is shown as text.
    pub is_recovered: bool,
}

/// What the pre-scan found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Structure<'a> {
    /// Index 0 is the mail itself.
    pub parts: Vec<Part<'a>>,
    /// A multipart ended without its closing boundary.
    pub unclosed: bool,
    /// A multipart named no boundary, or one that never comes; the one in the body was taken, or it became text.
    pub boundary_missing: bool,
}

/// A multipart whose end was not met yet.
struct Open {
    part: usize,
    boundary: Vec<u8>,
}

/// A mail whose lines end in CR alone gets LF instead; any other is returned as it is.
pub(crate) fn with_line_feeds(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\n', raw).is_some() || memchr::memchr(b'\r', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.iter().map(|&b| if b == b'\r' { b'\n' } else { b }).collect())
}

/// Scans a whole mail.
///
/// # Errors
/// The limit that the mail exceeds.
pub(crate) fn scan(raw: &[u8]) -> Result<Structure<'_>, TooComplex> {
    Scan {
        raw,
        found: Structure::default(),
        open: Vec::new(),
    }
    .run()
}

/// The mail as one part without a body, for one that exceeds a limit.
pub(crate) fn header_only(raw: &[u8]) -> Structure<'_> {
    let (headers, _) = header::read(raw, 0..raw.len());
    let mut part = describe(headers, None);
    part.is_multipart = false;
    Structure {
        parts: vec![part],
        ..Structure::default()
    }
}

struct Scan<'a> {
    raw: &'a [u8],
    found: Structure<'a>,
    open: Vec<Open>,
}

impl<'a> Scan<'a> {
    fn run(mut self) -> Result<Structure<'a>, TooComplex> {
        let mut pos = self.start_part(0, None)?;
        // The leaf that the next boundary ends; none in a preamble or epilogue.
        let mut leaf = self.leaf_after_start();
        if self.open.is_empty() {
            pos = self.raw.len();
        }
        while let Some(start) = self.next_dashes(pos) {
            let (end, next) = header::line_end(self.raw, start);
            pos = next;
            let Some((level, closing)) = self.matching(&self.raw[start + 2..end]) else {
                continue;
            };
            if let Some(part) = leaf.take() {
                self.found.parts[part].body.end =
                    before_line_end(self.raw, start, self.found.parts[part].body.start);
            }
            // Multiparts inside the one whose boundary this is never got theirs.
            while self.open.len() > level + 1 {
                self.close(start);
                self.found.unclosed = true;
            }
            if closing {
                self.close(start);
                if self.open.is_empty() {
                    break;
                }
            } else {
                let parent = self.open[level].part;
                pos = self.start_part(next, Some(parent))?;
                leaf = self.leaf_after_start();
            }
        }
        self.finish(leaf);
        Ok(self.found)
    }

    /// Offset of the next line that starts with two dashes.
    fn next_dashes(&self, mut pos: usize) -> Option<usize> {
        loop {
            if self.raw.get(pos..)?.starts_with(b"--") && (pos == 0 || self.raw[pos - 1] == b'\n') {
                return Some(pos);
            }
            pos += memchr::memchr(b'\n', &self.raw[pos..])? + 1;
        }
    }

    /// The innermost open multipart whose boundary this line is.
    fn matching(&self, line: &[u8]) -> Option<(usize, bool)> {
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let rest = line.strip_prefix(open.boundary.as_slice())?.trim_ascii_end();
            match rest {
                b"" => Some((level, false)),
                b"--" => Some((level, true)),
                _ => None,
            }
        })
    }

    /// Reads the headers at `pos` and adds the part. Returns where its body starts.
    fn start_part(&mut self, pos: usize, parent: Option<usize>) -> Result<usize, TooComplex> {
        if self.found.parts.len() == MAX_PARTS {
            return Err(TooComplex::Parts);
        }
        let (headers, body) = header::read(self.raw, pos..self.raw.len());
        if let Some(limit) = headers.limit {
            return Err(limit.into());
        }
        let mut part = describe(
            headers,
            parent.map(|p| self.found.parts[p].content_type.value.as_str()),
        );
        part.body = body..self.raw.len();
        let index = self.found.parts.len();
        if let Some(parent) = parent {
            self.found.parts[parent].children.push(index);
        }
        if part.is_multipart {
            let declared = part
                .content_type
                .param("boundary")
                .map(str::trim_end)
                .filter(|b| !b.is_empty());
            let boundary = match declared.filter(|b| index > 0 || self.occurs(b, body)) {
                Some(b) => Some(b.as_bytes().to_vec()),
                None => {
                    self.found.boundary_missing = true;
                    guess_boundary(&self.raw[body..]).or_else(|| declared.map(|b| b.as_bytes().to_vec()))
                }
            };
            match boundary {
                Some(boundary) if boundary.len() > MAX_BOUNDARY => return Err(TooComplex::Boundary),
                Some(_) if self.open.len() == MAX_NESTING => return Err(TooComplex::Nesting),
                Some(boundary) => self.open.push(Open {
                    part: index,
                    boundary,
                }),
                None => demote(&mut part),
            }
        }
        self.found.parts.push(part);
        Ok(body)
    }

    /// Whether a boundary stands anywhere in the body. Asked for the mail itself only: it costs a pass.
    fn occurs(&self, boundary: &str, body: usize) -> bool {
        let line = format!("--{boundary}");
        memchr::memmem::find(&self.raw[body..], line.as_bytes()).is_some()
    }

    fn leaf_after_start(&self) -> Option<usize> {
        let last = self.found.parts.len().checked_sub(1)?;
        (!self.found.parts[last].is_multipart).then_some(last)
    }

    fn close(&mut self, end: usize) {
        if let Some(open) = self.open.pop() {
            let part = &mut self.found.parts[open.part];
            part.body.end = end.max(part.body.start);
            if part.children.is_empty() {
                demote(part);
                self.found.boundary_missing = true;
            }
        }
    }

    fn finish(&mut self, leaf: Option<usize>) {
        if let Some(part) = leaf {
            self.found.parts[part].body.end = self.raw.len();
        }
        while let Some(open) = self.open.last() {
            let never_met = self.found.parts[open.part].children.is_empty();
            self.found.unclosed |= !never_met;
            self.close(self.raw.len());
        }
    }
}

/// A multipart without parts is shown as the text it is.
fn demote(part: &mut Part<'_>) {
    part.is_multipart = false;
    part.is_recovered = true;
    part.content_type.value = "text/plain".to_owned();
}

/// End of the content before a boundary line: the line end before it belongs to the boundary.
fn before_line_end(raw: &[u8], line: usize, start: usize) -> usize {
    let mut end = line;
    if end > start && raw[end - 1] == b'\n' {
        end -= 1;
        if end > start && raw[end - 1] == b'\r' {
            end -= 1;
        }
    }
    end.max(start)
}

/// Lines looked at for a boundary that the header does not name.
const GUESS_LINES: usize = 200;

fn guess_boundary(body: &[u8]) -> Option<Vec<u8>> {
    let mut pos = 0;
    for _ in 0..GUESS_LINES {
        let (end, next) = header::line_end(body, pos);
        let line = body[pos..end].trim_ascii_end();
        let (after, _) = header::line_end(body, next);
        let names_content =
            body[next..after].len() > 8 && body[next..next + 8].eq_ignore_ascii_case(b"content-");
        if line.len() > 2 && line.starts_with(b"--") && names_content {
            return Some(line[2..].to_vec());
        }
        if next >= body.len() {
            break;
        }
        pos = next;
    }
    None
}

/// Reads the MIME fields of a header block.
fn describe<'a>(headers: Headers<'a>, parent_type: Option<&str>) -> Part<'a> {
    let mut content_type = headers
        .first("Content-Type")
        .map(|v| params::parse(v, None))
        .unwrap_or_default();
    if !content_type.value.contains('/') {
        let default = if parent_type == Some("multipart/digest") {
            "message/rfc822"
        } else {
            "text/plain"
        };
        content_type.value = match content_type.value.as_str() {
            "html" => "text/html",
            "multipart" => "multipart/mixed",
            _ => default,
        }
        .to_owned();
    }
    let disposition = headers
        .first("Content-Disposition")
        .map(|v| params::parse(v, None))
        .unwrap_or_default();
    let encoding = headers
        .first("Content-Transfer-Encoding")
        .map(|v| Encoding::from_label(&String::from_utf8_lossy(&header::unfold(v))))
        .unwrap_or_default();
    let is_multipart = content_type.value.starts_with("multipart/");
    Part {
        headers,
        content_type,
        disposition,
        encoding,
        is_multipart,
        ..Part::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{TooComplex, scan};

    fn nested(levels: usize) -> Vec<u8> {
        let mut raw = String::new();
        for i in 0..levels {
            raw.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n"
            ));
        }
        raw.push_str("\ninnermost\n");
        raw.into_bytes()
    }

    #[test]
    fn nesting_up_to_the_limit_is_read_and_one_more_is_refused() {
        assert_eq!(scan(&nested(32)).map(|s| s.parts.len()), Ok(33));
        assert_eq!(scan(&nested(33)).err(), Some(TooComplex::Nesting));
        assert_eq!(scan(&nested(100_000)).err(), Some(TooComplex::Nesting));
    }

    #[test]
    fn parts_up_to_the_limit_are_read_and_one_more_is_refused() {
        let many = |n: usize| {
            format!(
                "Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n",
                "--b\n\nx\n".repeat(n)
            )
        };
        assert_eq!(scan(many(999).as_bytes()).map(|s| s.parts.len()), Ok(1_000));
        assert_eq!(scan(many(1_000).as_bytes()).err(), Some(TooComplex::Parts));
    }

    #[test]
    fn header_floods_are_refused() {
        assert_eq!(
            scan("A: b\n".repeat(2_001).as_bytes()).err(),
            Some(TooComplex::HeaderCount)
        );
        assert_eq!(
            scan(format!("A: {}\n\n", "x".repeat(65_536)).as_bytes()).err(),
            Some(TooComplex::HeaderLine)
        );
        let folded = format!("A: b\n{}\n", " xxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(50_000));
        assert_eq!(scan(folded.as_bytes()).err(), Some(TooComplex::HeaderSize));
        let long = format!("Content-Type: multipart/mixed; boundary={}\n\n", "b".repeat(71));
        assert_eq!(scan(long.as_bytes()).err(), Some(TooComplex::Boundary));
    }

    #[test]
    fn a_boundary_of_the_parent_ends_an_unclosed_child() {
        let raw = b"Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/alternative; boundary=i\n\n\
            --i\n\none\n--o\n\ntwo\n--o--\n";
        let found = scan(raw).expect("small");
        assert!(found.unclosed);
        assert_eq!(found.parts[0].children.len(), 2);
        assert_eq!(&raw[found.parts[2].body.clone()], b"one");
        assert_eq!(&raw[found.parts[3].body.clone()], b"two");
    }

    #[test]
    fn a_boundary_that_the_header_forgot_is_found_in_the_body() {
        let raw = b"Content-Type: multipart/mixed\n\n--x\nContent-Type: text/plain\n\nhello\n--x--\n";
        let found = scan(raw).expect("small");
        assert!(found.boundary_missing);
        assert_eq!(&raw[found.parts[1].body.clone()], b"hello");
    }

    #[test]
    fn a_boundary_that_never_comes_is_replaced_by_the_one_in_the_body() {
        let raw =
            b"Content-Type: multipart/mixed; boundary=y\n\n--x\nContent-Type: text/plain\n\nhello\n--x--\n";
        let found = scan(raw).expect("small");
        assert!(found.boundary_missing);
        assert_eq!(&raw[found.parts[1].body.clone()], b"hello");
    }

    #[test]
    fn a_multipart_without_parts_becomes_text() {
        let found = scan(b"Content-Type: multipart/mixed; boundary=x\n\nhello\n").expect("small");
        assert_eq!(found.parts[0].content_type.value, "text/plain");
        assert!(!found.parts[0].is_multipart);
    }
}

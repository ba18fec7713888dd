//! The text as lines with byte ranges and what is plain to see of each.

/// One line of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub start: usize,
    /// After the line end.
    pub end: usize,
    /// Without line end.
    pub text: &'a str,
    /// Number of quote marks in front.
    pub depth: usize,
    /// What stands behind the quote marks, trimmed.
    pub body: &'a str,
}

impl Line<'_> {
    pub fn is_blank(&self) -> bool {
        self.body.is_empty()
    }

    /// Blank and without quote marks.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty() && self.depth == 0
    }
}

/// Splits a text; the lines cover it without gap.
pub(super) fn split(text: &str) -> Vec<Line<'_>> {
    let mut out = Vec::new();
    let mut start = 0;
    for whole in text.split_inclusive('\n') {
        let end = start + whole.len();
        let line = whole.trim_end_matches(['\n', '\r']);
        let (depth, body) = quote_marks(line);
        out.push(Line {
            start,
            end,
            text: line,
            depth,
            body,
        });
        start = end;
    }
    out
}

/// Quote marks may be preceded by white space and separated by single spaces.
fn quote_marks(line: &str) -> (usize, &str) {
    let mut depth = 0;
    let mut rest = line.trim_start_matches(is_direction);
    let blanks = rest.len();
    rest = rest.trim_start();
    // More white space than this is indented text.
    if blanks - rest.len() > 3 {
        return (0, trim(rest));
    }
    while let Some(tail) = rest.strip_prefix('>') {
        depth += 1;
        rest = tail.strip_prefix(' ').unwrap_or(tail);
    }
    (depth, trim(rest))
}

/// Marks of reading direction, which Hebrew and Arabic clients put around whole lines and names.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{200b}')
}

/// Without white space and marks of direction around.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_direction(c))
}

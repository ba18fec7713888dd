//! The text form of HTML: lines as a reader sees them, block quotes marked with `> `, and marks for what mail clients
//! label in their markup (quotes, signatures).

use std::collections::HashMap;

use super::entity;
use super::tokenizer::{Token, Tokenizer, attribute};

/// Text with the stretches that the markup names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HtmlText {
    pub text: String,
    pub marks: Vec<Mark>,
}

/// A stretch of the text with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub kind: MarkKind,
    pub start: usize,
    pub end: usize,
}

/// What a client's markup says of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkKind {
    /// A quoted mail.
    Quote,
    /// The line that introduces a quote.
    QuoteHeader,
    /// Everything from here to the end of the mail is quoted.
    RestIsQuote,
    /// A signature.
    Signature,
}

/// Open elements remembered; deeper ones keep their text and lose their meaning.
const MAX_OPEN: usize = 512;
/// Quote marks in front of a line.
const MAX_QUOTE: usize = 20;

/// Renders a document.
pub(crate) fn to_text(html: &str) -> HtmlText {
    let mut writer = Writer::default();
    for token in Tokenizer::new(html) {
        match token {
            Token::Text(text) => writer.text(text),
            Token::Start { name, attributes } => writer.open(&name.to_ascii_lowercase(), attributes),
            Token::End { name } => writer.close(&name.to_ascii_lowercase()),
        }
    }
    writer.finish()
}

struct Open {
    name: String,
    quote: bool,
    hidden: bool,
    pre: bool,
    mark: Option<usize>,
    list: Option<List>,
}

enum List {
    Bullets,
    Numbers(usize),
}

#[derive(Default)]
struct Writer {
    out: String,
    marks: Vec<Mark>,
    /// Marks opened since the last text; they start with the next.
    starting: Vec<usize>,
    /// The mark among them that everything below is quoted: one is enough.
    rest_starting: Option<usize>,
    open: Vec<Open>,
    /// How many elements of each name are open, so that a stray end tag need not look through all of them.
    open_names: HashMap<String, usize>,
    quote: usize,
    hidden: usize,
    pre: usize,
    newlines: usize,
    space: bool,
    /// Quote depth of the last written line.
    last_quote: usize,
    buffer: String,
}

impl Writer {
    fn text(&mut self, raw: &str) {
        if self.hidden > 0 {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        entity::push_decoded(&mut buffer, raw);
        for c in buffer.chars() {
            match c {
                '\n' if self.pre > 0 => self.line(self.newlines + 1),
                '\r' if self.pre > 0 => {}
                ' ' | '\n' | '\t' | '\r' | '\u{c}' if self.pre == 0 => self.space = true,
                // Padding of newsletter previews.
                '\u{200b}' | '\u{feff}' | '\u{34f}' | '\u{ad}' => {}
                '\u{a0}' => self.push(' '),
                c => self.push(c),
            }
        }
        self.buffer = buffer;
    }

    fn push(&mut self, c: char) {
        self.break_lines();
        if std::mem::take(&mut self.space) && !self.at_line_start() {
            self.out.push(' ');
        }
        self.out.push(c);
    }

    fn at_line_start(&self) -> bool {
        self.out.is_empty() || self.out.ends_with('\n') || self.out.ends_with("> ")
    }

    /// Writes the line ends that are due, the quote marks of the new line, and lets waiting marks begin.
    fn break_lines(&mut self) {
        let first = self.out.is_empty();
        if self.newlines == 0 && !first && self.starting.is_empty() {
            return;
        }
        let due = if first { 0 } else { self.newlines.min(3) };
        let between = self.quote.min(self.last_quote);
        while self.out.ends_with(' ') && due > 0 && !self.out.ends_with("> ") {
            self.out.pop();
        }
        for i in 0..due {
            self.out.push('\n');
            if i + 1 < due && between > 0 {
                self.out.push_str(">".repeat(between).as_str());
            }
        }
        for mark in self.starting.drain(..) {
            self.marks[mark].start = self.out.len();
        }
        self.rest_starting = None;
        if due > 0 || first {
            self.out.push_str(&"> ".repeat(self.quote));
            self.last_quote = self.quote;
            self.space = false;
        }
        self.newlines = 0;
    }

    /// Asks for at least `n` line ends before the next text.
    fn line(&mut self, n: usize) {
        self.newlines = self.newlines.max(n);
        self.space = false;
    }

    fn open(&mut self, name: &str, attributes: &str) {
        match name {
            "br" => {
                self.newlines += 1;
                self.space = false;
                return;
            }
            "hr" => {
                self.line(1);
                // Outlook and Hotmail draw the border between answer and quote so.
                if attribute(attributes, "id").is_some_and(|id| id == "stopSpelling" || id == "zwchr") {
                    self.mark(MarkKind::RestIsQuote);
                }
                return;
            }
            "td" | "th" => self.space = true,
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "table" | "ul" | "ol" | "dl" => {
                self.line(if self.in_list() { 1 } else { 2 });
            }
            "li" => self.item(),
            name if is_block(name) => self.line(1),
            "img" | "meta" | "link" | "input" | "base" | "wbr" | "col" => return,
            _ => {}
        }
        if self.open.len() == MAX_OPEN {
            return;
        }
        let quote = name == "blockquote" && !is_indent(attributes);
        let hidden = name == "head" || name == "template" || is_hidden(attributes);
        let kind = mark_kind(name, attributes);
        let list = match name {
            "ul" => Some(List::Bullets),
            "ol" => Some(List::Numbers(0)),
            _ => None,
        };
        let pre = name == "pre";
        if !quote && !hidden && kind.is_none() && list.is_none() && !pre && name != "div" && name != "body" {
            return;
        }
        if quote {
            self.line(1);
        }
        let quote = quote && self.quote < MAX_QUOTE;
        self.quote += usize::from(quote);
        self.hidden += usize::from(hidden);
        self.pre += usize::from(pre);
        let mark = kind.map(|k| self.mark(k));
        *self.open_names.entry(name.to_owned()).or_default() += 1;
        self.open.push(Open {
            name: name.to_owned(),
            quote,
            hidden,
            pre,
            mark,
            list,
        });
    }

    fn mark(&mut self, kind: MarkKind) -> usize {
        let is_rest = kind == MarkKind::RestIsQuote;
        if let Some(same) = self.rest_starting.filter(|_| is_rest) {
            return same;
        }
        self.marks.push(Mark {
            kind,
            start: usize::MAX,
            end: usize::MAX,
        });
        let mark = self.marks.len() - 1;
        self.starting.push(mark);
        if is_rest {
            self.rest_starting = Some(mark);
        }
        mark
    }

    fn close(&mut self, name: &str) {
        match name {
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "table" | "ul" | "ol" | "dl" => {
                self.line(if self.in_list() { 1 } else { 2 });
            }
            "td" | "th" => self.space = true,
            name if is_block(name) => self.line(1),
            _ => {}
        }
        if self.open_names.get(name).is_none_or(|&open| open == 0) {
            return;
        }
        let Some(at) = self.open.iter().rposition(|o| o.name == name) else {
            return;
        };
        while self.open.len() > at {
            let Some(open) = self.open.pop() else { break };
            self.end_element(&open);
        }
    }

    fn end_element(&mut self, open: &Open) {
        if let Some(count) = self.open_names.get_mut(&open.name) {
            *count -= 1;
        }
        self.quote -= usize::from(open.quote);
        self.hidden -= usize::from(open.hidden);
        self.pre -= usize::from(open.pre);
        let Some(mark) = open.mark else { return };
        if self.marks[mark].start != usize::MAX {
            self.marks[mark].end = self.out.len();
        } else if self.marks[mark].kind != MarkKind::RestIsQuote {
            // It held no text, and must not begin with the text that follows.
            self.starting.retain(|&m| m != mark);
        }
    }

    fn in_list(&self) -> bool {
        self.open.last().is_some_and(|o| o.list.is_some())
    }

    fn item(&mut self) {
        self.line(1);
        let label = match self.open.iter_mut().rev().find_map(|o| o.list.as_mut()) {
            Some(List::Numbers(n)) => {
                *n += 1;
                format!("{n}. ")
            }
            _ => "* ".to_owned(),
        };
        if self.hidden == 0 {
            label.chars().for_each(|c| self.push(c));
        }
    }

    fn finish(mut self) -> HtmlText {
        while let Some(open) = self.open.pop() {
            self.end_element(&open);
        }
        let len = self.out.trim_end().len();
        self.out.truncate(len);
        for mark in &mut self.marks {
            if mark.kind == MarkKind::RestIsQuote || mark.end > len {
                mark.end = len;
            }
        }
        self.marks.retain(|m| m.start < m.end);
        HtmlText {
            text: self.out,
            marks: self.marks,
        }
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "div"
            | "blockquote"
            | "pre"
            | "tr"
            | "section"
            | "article"
            | "header"
            | "footer"
            | "main"
            | "nav"
            | "aside"
            | "address"
            | "center"
            | "dt"
            | "dd"
            | "form"
            | "fieldset"
            | "figure"
            | "caption"
            | "body"
            | "html"
            | "head"
            | "li"
            | "tbody"
            | "thead"
    )
}

/// A block quote used only to indent, as the formatting buttons of several clients make it.
fn is_indent(attributes: &str) -> bool {
    let class = attribute(attributes, "class").unwrap_or_default();
    let style = attribute(attributes, "style")
        .unwrap_or_default()
        .to_ascii_lowercase();
    class.contains("indent")
        || (style.contains("border:none") || style.contains("border: none")) && style.contains("margin")
}

fn is_hidden(attributes: &str) -> bool {
    if attribute(attributes, "hidden").is_some() {
        return true;
    }
    attribute(attributes, "style").is_some_and(|style| {
        let style: String = style
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>()
            .to_ascii_lowercase();
        style.contains("display:none") || style.contains("mso-hide:all")
    })
}

/// The labels that mail clients leave in their HTML.
fn mark_kind(name: &str, attributes: &str) -> Option<MarkKind> {
    if attributes.is_empty() {
        return None;
    }
    let class = attribute(attributes, "class").unwrap_or_default();
    let id = attribute(attributes, "id").unwrap_or_default();
    let has = |wanted: &str| class.split_ascii_whitespace().any(|c| c == wanted);
    let id_ends = |wanted: &str| id == wanted || id.ends_with(&format!("_{wanted}"));
    if has("gmail_signature")
        || has("moz-signature")
        || id_ends("Signature")
        || has("protonmail_signature_block")
        || has("ymail_android_signature")
        || has("js-signature")
        || id_ends("AppleMailSignature")
        || has("zmail_signature")
        || id_ends("ms-outlook-mobile-signature")
        || id_ends("composer_signature")
        || has("front-signature")
    {
        return Some(MarkKind::Signature);
    }
    if has("gmail_attr") || has("moz-cite-prefix") || has("moz-email-headers-table") || has("zmail_extra_hr")
    {
        return Some(MarkKind::QuoteHeader);
    }
    if id_ends("divRplyFwdMsg")
        || id_ends("appendonsend")
        || id_ends("mail-editor-reference-message-container")
        || id_ends("OLK_SRC_BODY_SECTION")
        || id_ends("reply-intro")
    {
        return Some(MarkKind::RestIsQuote);
    }
    let quote = has("gmail_quote")
        || has("yahoo_quoted")
        || has("protonmail_quote")
        || has("zmail_extra")
        || has("tutanota_quote")
        || has("quoted-mail")
        || has("WM_QUOTE")
        || has("mail-quote-collapse")
        || has("front-blockquote")
        || has("gmail_quote_container")
        || has("missive_quote")
        || has("freshdesk_quote")
        || name == "div" && attribute(attributes, "name").is_some_and(|n| n.eq_ignore_ascii_case("quote"))
        || id_ends("isForwardContent")
        || id == "oriMsgHtmlSeperator"
        || id.starts_with("yiv") && name == "blockquote"
        || name == "blockquote"
            && attribute(attributes, "type").is_some_and(|t| t.eq_ignore_ascii_case("cite"));
    if quote {
        return Some(MarkKind::Quote);
    }
    is_outlook_border(name, attributes).then_some(MarkKind::RestIsQuote)
}

/// Outlook puts the header of the quoted mail below a thin line: a `div` with nothing but a border on top.
fn is_outlook_border(name: &str, attributes: &str) -> bool {
    name == "div"
        && attribute(attributes, "style").is_some_and(|style| {
            let style = style.to_ascii_lowercase().replace(' ', "");
            let thin = style.contains("border-top:solid#")
                && style.contains("padding:3.0pt0")
                && style.contains("1.0pt");
            thin && style.contains("border:none")
        })
}

#[cfg(test)]
mod tests {
    use super::{MarkKind, to_text};

    fn text(html: &str) -> String {
        to_text(html).text
    }

    #[test]
    fn blocks_become_lines_and_white_space_collapses() {
        assert_eq!(
            text("<p>a  b\n c</p><div>d<br>e</div><div>f</div>"),
            "a b c\n\nd\ne\nf"
        );
        assert_eq!(
            text("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"),
            "a b\nc"
        );
        assert_eq!(text("<ul><li>x<li>y</ul><ol><li>z</ol>"), "* x\n* y\n\n1. z");
        assert_eq!(text("<pre>a\n  b\n</pre>c"), "a\n  b\nc");
    }

    #[test]
    fn quotes_carry_their_marks() {
        let found =
            to_text("new<blockquote type=\"cite\">old<br>er<blockquote>x</blockquote></blockquote>tail");
        assert_eq!(found.text, "new\n> old\n> er\n> > x\ntail");
        assert_eq!(found.marks[0].kind, MarkKind::Quote);
        assert_eq!(
            &found.text[found.marks[0].start..found.marks[0].end],
            "> old\n> er\n> > x"
        );
    }

    #[test]
    fn marks_that_begin_with_the_same_text_are_one() {
        let found = to_text(&format!("x{}y", "<hr id=zwchr>".repeat(1_000)));
        assert_eq!((found.text.as_str(), found.marks.len()), ("x\ny", 1));
        let found = to_text("x<hr id=zwchr>y<hr id=zwchr>z");
        assert_eq!(found.marks.len(), 2);
    }

    #[test]
    fn hidden_text_and_scripts_are_left_out() {
        assert_eq!(
            text("<head><title>t</title></head>a<div style='display: none'>no</div><script>x<y</script>b"),
            "a\nb"
        );
    }
}

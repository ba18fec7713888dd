//! HTML to tokens in one linear pass, forgiving like a browser. Builds no tree and never recurses.

/// A piece of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Text with its entities still encoded.
    Text(&'a str),
    /// An opening tag.
    Start { name: &'a str, attributes: &'a str },
    /// A closing tag.
    End { name: &'a str },
}

/// Iterates over the tokens; comments, declarations and the contents of `script`, `style` and `title` are left out.
pub(crate) struct Tokenizer<'a> {
    source: &'a str,
    pos: usize,
}

impl<'a> Tokenizer<'a> {
    pub fn new(source: &'a str) -> Self {
        Self { source, pos: 0 }
    }

    fn seek(&self, needle: &str, from: usize) -> Option<usize> {
        memchr::memmem::find(&self.source.as_bytes()[from..], needle.as_bytes()).map(|i| from + i)
    }

    /// Skips a declaration or comment at `pos`.
    fn skip_markup(&mut self) {
        let rest = &self.source[self.pos..];
        self.pos = if rest.starts_with("<!-->") || rest.starts_with("<!--->") {
            self.seek(">", self.pos).map_or(self.source.len(), |i| i + 1)
        } else if rest.starts_with("<!--") {
            self.seek("-->", self.pos + 4)
                .map_or(self.source.len(), |i| i + 3)
        } else {
            self.seek(">", self.pos).map_or(self.source.len(), |i| i + 1)
        };
    }

    /// Offset of the `>` that ends the tag at `pos`, quotes respected.
    fn tag_end(&self) -> Option<usize> {
        let bytes = self.source.as_bytes();
        let mut i = self.pos + 1;
        let mut value = false;
        while i < bytes.len() {
            match bytes[i] {
                b'>' => return Some(i),
                // Quotes count only where a value starts: <p class=a"b> does not swallow the mail.
                q @ (b'"' | b'\'') if value => {
                    i += 1 + memchr::memchr(q, &bytes[i + 1..])?;
                    value = false;
                }
                b'=' => value = true,
                b if b.is_ascii_whitespace() => {}
                _ => value = false,
            }
            i += 1;
        }
        None
    }

    /// Skips to the closing tag of an element whose content is not text.
    fn skip_raw_text(&mut self, name: &str) {
        let bytes = self.source.as_bytes();
        let mut from = self.pos;
        while let Some(i) = self.seek("</", from) {
            let tail = &bytes[i + 2..];
            if tail.len() >= name.len() && tail[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
                self.pos = i;
                return;
            }
            from = i + 2;
        }
        self.pos = self.source.len();
    }
}

impl<'a> Iterator for Tokenizer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.source.as_bytes();
        loop {
            if self.pos >= bytes.len() {
                return None;
            }
            if bytes[self.pos] != b'<' {
                let end = memchr::memchr(b'<', &bytes[self.pos..]).map_or(bytes.len(), |i| self.pos + i);
                let text = &self.source[self.pos..end];
                self.pos = end;
                return Some(Token::Text(text));
            }
            match bytes.get(self.pos + 1) {
                Some(b'!' | b'?') => {
                    self.skip_markup();
                    continue;
                }
                Some(b) if b.is_ascii_alphabetic() => {}
                Some(b'/') if bytes.get(self.pos + 2).is_some_and(u8::is_ascii_alphabetic) => {}
                _ => {
                    self.pos += 1;
                    return Some(Token::Text("<"));
                }
            }
            let Some(end) = self.tag_end() else {
                // No tag can end any more: the rest is text.
                let text = &self.source[self.pos..];
                self.pos = bytes.len();
                return Some(Token::Text(text));
            };
            let tag = &self.source[self.pos + 1..end];
            self.pos = end + 1;
            let closing = tag.starts_with('/');
            let tag = tag.strip_prefix('/').unwrap_or(tag);
            let name_end = tag
                .find(|c: char| c.is_ascii_whitespace() || c == '/')
                .unwrap_or(tag.len());
            let (name, attributes) = tag.split_at(name_end);
            if closing {
                return Some(Token::End { name });
            }
            if [
                "script", "style", "title", "textarea", "xmp", "noembed", "noframes", "iframe",
            ]
            .iter()
            .any(|raw| name.eq_ignore_ascii_case(raw))
            {
                self.skip_raw_text(name);
            }
            return Some(Token::Start { name, attributes });
        }
    }
}

/// Attributes looked at in one tag.
const MAX_ATTRIBUTES: usize = 64;

/// The value of an attribute, still encoded; the name is compared without case.
pub(crate) fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = attributes;
    for _ in 0..MAX_ATTRIBUTES {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return None;
        }
        let key_end = rest
            .find(|c: char| c.is_ascii_whitespace() || c == '=')
            .unwrap_or(rest.len());
        let (key, tail) = rest.split_at(key_end.max(1).min(rest.len()));
        let tail = tail.trim_start();
        let Some(value) = tail.strip_prefix('=') else {
            if key.eq_ignore_ascii_case(name) {
                return Some("");
            }
            rest = tail;
            continue;
        };
        let value = value.trim_start();
        let (value, tail) = match value.as_bytes().first() {
            Some(&q @ (b'"' | b'\'')) => {
                let inner = &value[1..];
                match inner.find(q as char) {
                    Some(end) => (&inner[..end], &inner[end + 1..]),
                    None => (inner, ""),
                }
            }
            _ => value.split_at(
                value
                    .find(|c: char| c.is_ascii_whitespace())
                    .unwrap_or(value.len()),
            ),
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = tail;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Token, Tokenizer, attribute};

    #[test]
    fn attributes_are_found_in_any_quoting() {
        let tag = " class=a ID = 'x y' data-q=\"<>\" checked";
        assert_eq!(attribute(tag, "class"), Some("a"));
        assert_eq!(attribute(tag, "id"), Some("x y"));
        assert_eq!(attribute(tag, "data-q"), Some("<>"));
        assert_eq!(attribute(tag, "checked"), Some(""));
        assert_eq!(attribute(tag, "nope"), None);
    }

    #[test]
    fn text_after_an_unfinished_tag_is_not_lost() {
        let tokens: Vec<_> = Tokenizer::new("a < b <i>c</i> <p class=\"x").collect();
        assert_eq!(tokens.first(), Some(&Token::Text("a ")));
        assert_eq!(tokens.last(), Some(&Token::Text("<p class=\"x")));
    }
}

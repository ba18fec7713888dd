//! What a document would cost a real HTML parser: depth, and the formatting elements that it opens again and again.

use super::tokenizer::{Token, Tokenizer};

/// The greatest nesting, and elements that a tree builder would make up to repair unclosed formatting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub depth: usize,
    pub repairs: usize,
    /// Attributes of the tag that has most of them.
    pub attributes: usize,
}

const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
];
const FORMATTING: [&str; 14] = [
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
];

/// Measures without building anything. Over-estimates where tags close themselves, which errs on the safe side.
pub(crate) fn measure(html: &str) -> Cost {
    let mut cost = Cost::default();
    let (mut depth, mut formatting) = (0usize, 0usize);
    for token in Tokenizer::new(html) {
        match token {
            Token::Start { name, attributes } => {
                cost.attributes = cost.attributes.max(count_attributes(attributes));
                if is_one_of(name, &VOID) {
                    continue;
                }
                depth += 1;
                if is_one_of(name, &FORMATTING) {
                    formatting += 1;
                } else {
                    cost.repairs += formatting;
                }
                // These close their own kind before they open.
                if is_one_of(name, &["p", "li", "td", "tr", "th", "dt", "dd", "option"]) {
                    depth -= 1;
                }
                cost.depth = cost.depth.max(depth);
            }
            Token::End { name } => {
                if is_one_of(name, &FORMATTING) {
                    formatting = formatting.saturating_sub(1);
                }
                if !is_one_of(name, &["p", "li", "td", "tr", "th", "dt", "dd", "option"]) {
                    depth = depth.saturating_sub(1);
                }
                cost.repairs += formatting;
            }
            Token::Text(_) => {}
        }
    }
    cost
}

fn is_one_of(name: &str, list: &[&str]) -> bool {
    list.iter().any(|n| name.eq_ignore_ascii_case(n))
}

fn count_attributes(attributes: &str) -> usize {
    // An attribute needs white space, a quote or a slash before it.
    attributes
        .bytes()
        .filter(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'/'))
        .count()
}

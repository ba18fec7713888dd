//! The piece of a text that shows why it was found.

use super::query::{Field, Query, Term};
use super::words::{Word, words};

/// A stretch of a snippet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether it is what was looked for.
    pub is_hit: bool,
}

/// Bytes of a text that are looked through.
const MAX_TEXT: usize = 200_000;
/// Bytes of text before the first hit.
const BEFORE: usize = 60;

/// About `length` bytes of a text around the first hit, with all hits in it marked. `field` says which field of a
/// document the text is; none is the body. Without any hit it is the beginning.
pub fn snippet(text: &str, query: &Query, field: Option<Field>, length: usize) -> Vec<Piece> {
    let text = text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or(text);
    let hits = hits(text, query, field);
    let first = hits.first().map_or(0, |(start, _)| *start);
    let mut begin = text.floor_char_boundary(first.saturating_sub(BEFORE));
    if begin > 0 {
        // From the beginning of a word, if there is one before the hit.
        let until_hit = text.get(begin..first).unwrap_or_default();
        begin += until_hit.find(char::is_whitespace).unwrap_or(0);
    }
    let end = text.floor_char_boundary((begin + length).min(text.len()));
    let mut pieces = Vec::new();
    let mut add = |from: usize, to: usize, is_hit: bool| {
        let words: Vec<&str> = text
            .get(from..to)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let raw = text.get(from..to).unwrap_or_default();
        let space = |yes: bool| if yes { " " } else { "" };
        let mut out = words.join(" ");
        if !is_hit && !raw.is_empty() {
            let (before, after) = (
                raw.starts_with(char::is_whitespace),
                raw.ends_with(char::is_whitespace),
            );
            out = if out.is_empty() {
                " ".to_owned()
            } else {
                format!("{}{out}{}", space(before), space(after))
            };
        }
        if !out.is_empty() {
            pieces.push(Piece { text: out, is_hit });
        }
    };
    let mut at = begin;
    for (from, to) in hits.into_iter().filter(|(from, to)| *from >= begin && *to <= end) {
        add(at, from, false);
        add(from, to, true);
        at = to;
    }
    add(at, end, false);
    if begin > 0 {
        pieces.insert(
            0,
            Piece {
                text: "…".into(),
                is_hit: false,
            },
        );
    }
    if end < text.len() {
        pieces.push(Piece {
            text: "…".into(),
            is_hit: false,
        });
    }
    pieces
}

/// Where the terms stand, in order, overlapping ones made one.
fn hits(text: &str, query: &Query, field: Option<Field>) -> Vec<(usize, usize)> {
    let words = words(text);
    let mut found: Vec<(usize, usize)> = query
        .terms
        .iter()
        .filter(|term| term.field.is_none() || term.field == field)
        .flat_map(|term| places(&words, term))
        .collect();
    found.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for (start, end) in found {
        match merged.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

fn places<'a>(words: &'a [Word], term: &'a Term) -> impl Iterator<Item = (usize, usize)> + 'a {
    let last = term.words.len().saturating_sub(1);
    words.windows(term.words.len().max(1)).filter_map(move |window| {
        let fits = window
            .iter()
            .zip(&term.words)
            .enumerate()
            .all(|(n, (word, wanted))| {
                word.text == *wanted || (n == last && term.is_beginning && word.text.starts_with(wanted))
            });
        let (first, last) = (window.first()?, window.last()?);
        fits.then_some((first.start, last.end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str, query: &str) -> String {
        snippet(text, &Query::parse(query), None, 80)
            .into_iter()
            .map(|piece| {
                if piece.is_hit {
                    format!("[{}]", piece.text)
                } else {
                    piece.text
                }
            })
            .collect()
    }

    #[test]
    fn what_was_looked_for_is_marked_as_it_was_written() {
        assert_eq!(
            marked("The École is on fire.", "ecole \"on fire\""),
            "The [École] is [on fire]."
        );
        assert_eq!(marked("プリンタが動かない", "動か"), "プリンタが[動か]ない");
        assert_eq!(marked("Nothing here", "printer"), "Nothing here");
        assert_eq!(marked("<b>printer</b>", "print"), "<b>[printer]</b>");
        let long = format!("{} printer burns {}", "word ".repeat(100), "more ".repeat(100));
        let shown = marked(&long, "printer");
        assert!(
            shown.starts_with("… word") && shown.contains("word [printer] burns") && shown.ends_with('…'),
            "{shown}"
        );
        assert!(shown.len() < 120);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_snippet(text in "\\PC{0,200}", query in "\\PC{0,20}") {
            let pieces = snippet(&text, &Query::parse(&query), None, 50);
            proptest::prop_assert!(pieces.iter().map(|piece| piece.text.len()).sum::<usize>() < 80);
        }
    }
}

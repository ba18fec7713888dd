//! A text that can be found: its words by field, within bounds that no mail can break.

use super::words::words;

/// The texts of a document.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    /// Subject, and the key of a ticket.
    pub subject: &'a str,
    /// Who wrote it: name and address.
    pub sender: &'a str,
    /// To whom: names and addresses.
    pub recipients: &'a str,
    /// Everything else.
    pub body: &'a str,
}

/// The words of a document, cut and folded, separated by spaces. Made outside a transaction, stored in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    fields: [String; 4],
}

/// Words of one document: PostgreSQL counts places up to 16,383.
const MAX_WORDS: usize = 8_000;
/// Bytes of them: a `tsvector` may have a megabyte.
const MAX_BYTES: usize = 300_000;
/// Bytes of text that are looked at; the words that fit come from less.
const MAX_TEXT: usize = 400_000;

impl Document {
    /// Cuts and folds.
    pub fn new(fields: Fields<'_>) -> Self {
        let mut left = (MAX_WORDS, MAX_BYTES);
        let mut field = |text: &str, at_most: usize| {
            let text = text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or(text);
            let mut out = String::new();
            for word in words(text).into_iter().take(at_most) {
                if left.0 == 0 || left.1 < word.text.len() + 1 {
                    break;
                }
                left.0 -= 1;
                left.1 -= word.text.len() + 1;
                if !out.is_empty() {
                    out.push(' ');
                }
                out.push_str(&word.text);
            }
            out
        };
        Self {
            fields: [
                field(fields.subject, 400),
                field(fields.sender, 100),
                field(fields.recipients, 1_000),
                field(fields.body, MAX_WORDS),
            ],
        }
    }

    /// The words by field, as SQLite is handed them.
    pub(super) fn columns(&self) -> [&str; 4] {
        self.fields.each_ref().map(String::as_str)
    }

    /// The same as PostgreSQL reads a `tsvector`: every word with its place and the letter of its field. Between two
    /// fields one place stays empty, so that no phrase reaches over.
    pub(super) fn vector(&self) -> String {
        let mut out = String::new();
        let mut place = 0;
        for (field, letter) in self.fields.iter().zip(["A", "B", "C", "D"]) {
            for word in field.split_ascii_whitespace() {
                place += 1;
                // Words are letters and digits only: nothing in them needs escaping.
                out.push_str(&format!("'{word}':{place}{letter} "));
            }
            place += 1;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_bounded_whatever_the_text() {
        let many = (0..20_000).map(|n| format!("w{n} ")).collect::<String>();
        let document = Document::new(Fields {
            subject: &many,
            sender: &many,
            recipients: &many,
            body: &many,
        });
        let count = |text: &str| text.split(' ').count();
        assert_eq!(document.columns().map(count), [400, 100, 1_000, 6_500]);
        let long = "é".repeat(40) + " ";
        let document = Document::new(Fields {
            body: &"漢".repeat(300_000),
            subject: &long.repeat(4_000),
            ..Fields::default()
        });
        assert!(document.columns().map(str::len).iter().sum::<usize>() <= MAX_BYTES);
    }

    #[test]
    fn fields_are_a_place_apart() {
        let document = Document::new(Fields {
            subject: "Red printer",
            sender: "Ada",
            body: "Hot",
            ..Fields::default()
        });
        assert_eq!(document.vector(), "'red':1A 'printer':2A 'ada':4B 'hot':7D ");
    }
}

//! What a person types into the search, understood. Any text is a question: what is no filter is words, and what could
//! not be understood is said in a note beside the answer.

use chrono::{Datelike, NaiveDate};

use super::words::{Word, words};

/// Longest question, characters.
const MAX_CHARS: usize = 500;
/// Most words and phrases of a question.
const MAX_TERMS: usize = 16;
/// Most words of a phrase.
const MAX_PHRASE: usize = 24;

/// Where a word must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `subject:`
    Subject,
    /// `from:`
    Sender,
    /// `to:`
    Recipients,
}

/// Words that must stand beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The field they must stand in; anywhere if there is none.
    pub field: Option<Field>,
    /// The words, folded; at least one.
    pub words: Vec<String>,
    /// Whether the last of them may go on.
    pub is_beginning: bool,
}

/// A question: all of it must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Words and phrases.
    pub terms: Vec<Term>,
    /// `label:`, as typed; every one must be there.
    pub labels: Vec<String>,
    /// `is:open`, `is:pending`, `is:closed`; one of them must hold.
    pub states: Vec<String>,
    /// `is:mine`
    pub is_mine: bool,
    /// `is:unassigned`
    pub is_unassigned: bool,
    /// `priority:`; one of them must hold.
    pub priorities: Vec<String>,
    /// `project:`, the key in capitals; one of them must hold.
    pub projects: Vec<String>,
    /// `has:attachment`
    pub has_attachment: bool,
    /// `after:`, milliseconds since 1970: at this time or later.
    pub from_ms: Option<i64>,
    /// `before:`, milliseconds since 1970: earlier than this.
    pub until_ms: Option<i64>,
    /// What was not understood, a sentence each.
    pub notes: Vec<String>,
    /// Whether something was asked, but nothing that can be looked for: the answer is nothing, not everything.
    pub asks_nothing: bool,
}

impl Query {
    /// Understands a text.
    pub fn parse(text: &str) -> Self {
        let mut query = Self::default();
        let text: String = text.chars().filter(|c| *c != '\0').take(MAX_CHARS).collect();
        for piece in pieces(&text) {
            query.take(&piece);
        }
        if query.terms.len() > MAX_TERMS {
            query.terms.truncate(MAX_TERMS);
            query
                .notes
                .push(format!("Only the first {MAX_TERMS} words were looked for."));
        }
        let empty = Self {
            notes: query.notes.clone(),
            ..Self::default()
        };
        query.asks_nothing = !text.trim().is_empty() && query == empty;
        if query.asks_nothing && query.notes.is_empty() {
            query
                .notes
                .push("There is no letter or digit to look for.".to_owned());
        }
        query
    }

    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it asks for something that only a document (a message, a note) can answer.
    pub fn asks_documents(&self) -> bool {
        !self.terms.is_empty() || self.has_attachment || self.from_ms.is_some() || self.until_ms.is_some()
    }

    /// Whether it asks for something that only a ticket can answer.
    pub fn asks_tickets(&self) -> bool {
        !self.labels.is_empty()
            || !self.states.is_empty()
            || !self.priorities.is_empty()
            || self.is_mine
            || self.is_unassigned
    }

    fn take(&mut self, piece: &Piece) {
        let Some((name, value)) = &piece.filter else {
            return self.add_term(None, &piece.text, piece.is_quoted);
        };
        let lower = value.to_lowercase();
        match (name.as_str(), lower.as_str()) {
            (_, "") => {}
            ("from", _) => self.add_term(Some(Field::Sender), value, piece.is_quoted),
            ("to", _) => self.add_term(Some(Field::Recipients), value, piece.is_quoted),
            ("subject", _) => self.add_term(Some(Field::Subject), value, piece.is_quoted),
            ("label", _) => self.labels.push(value.clone()),
            ("project", _) => self.projects.push(value.to_uppercase()),
            ("is", "open" | "pending" | "closed") => self.states.push(lower),
            ("is", "mine") => self.is_mine = true,
            ("is", "unassigned") => self.is_unassigned = true,
            ("priority", "low" | "normal" | "high" | "urgent") => self.priorities.push(lower),
            ("has", "attachment" | "attachments" | "file") => self.has_attachment = true,
            ("after" | "since", _) => match day(value) {
                Some((begin, _)) => self.from_ms = Some(begin),
                None => self.misunderstood(piece, "a day such as 2026-11-24"),
            },
            ("before" | "until", _) => match day(value) {
                Some((begin, _)) => self.until_ms = Some(begin),
                None => self.misunderstood(piece, "a day such as 2026-11-24"),
            },
            ("is", _) => self.misunderstood(piece, "open, pending, closed, unassigned or mine"),
            ("priority", _) => self.misunderstood(piece, "low, normal, high or urgent"),
            ("has", _) => self.misunderstood(piece, "attachment"),
            _ => self.add_term(None, &piece.text, piece.is_quoted),
        }
    }

    fn misunderstood(&mut self, piece: &Piece, wanted: &str) {
        let (name, value) = piece
            .filter
            .as_ref()
            .map_or(("", ""), |(name, value)| (name, value));
        self.notes
            .push(format!("“{name}:{value}” was left out: {name}: takes {wanted}."));
    }

    fn add_term(&mut self, field: Option<Field>, text: &str, is_exact: bool) {
        let starred = text.trim_end().ends_with('*');
        let mut found: Vec<Word> = words(text);
        found.truncate(MAX_PHRASE);
        let Some(last) = found.last() else {
            return;
        };
        let mut is_beginning = starred || (!is_exact && may_go_on(&last.text));
        if last.is_unspaced {
            let ends_a_pair = found.len() > 1
                && found
                    .get(found.len() - 2)
                    .is_some_and(|before| before.is_unspaced && !before.is_lone);
            // Where the question's stretch ends, the text's may go on.
            if ends_a_pair {
                found.pop();
                is_beginning = false;
            } else {
                is_beginning = true;
            }
        }
        self.terms.push(Term {
            field,
            words: found.into_iter().map(|word| word.text).collect(),
            is_beginning,
        });
    }

    /// The terms in the language of SQLite's FTS5. Words hold nothing that means anything in it.
    pub(super) fn for_fts(&self) -> String {
        let one = |term: &Term| {
            let column = match term.field {
                None => "",
                Some(Field::Subject) => "subject : ",
                Some(Field::Sender) => "sender : ",
                Some(Field::Recipients) => "recipients : ",
            };
            let star = if term.is_beginning { " *" } else { "" };
            format!("({column}\"{}\"{star})", term.words.join(" "))
        };
        self.terms.iter().map(one).collect::<Vec<_>>().join(" AND ")
    }

    /// The terms in the language of PostgreSQL's `tsquery`.
    pub(super) fn for_postgres(&self) -> String {
        let one = |term: &Term| {
            let letter = match term.field {
                None => "",
                Some(Field::Subject) => "A",
                Some(Field::Sender) => "B",
                Some(Field::Recipients) => "C",
            };
            let last = term.words.len().saturating_sub(1);
            let words: Vec<String> = term
                .words
                .iter()
                .enumerate()
                .map(|(n, word)| {
                    let star = if n == last && term.is_beginning { "*" } else { "" };
                    match (star, letter) {
                        ("", "") => format!("'{word}'"),
                        _ => format!("'{word}':{star}{letter}"),
                    }
                })
                .collect();
            format!("({})", words.join(" <-> "))
        };
        self.terms.iter().map(one).collect::<Vec<_>>().join(" & ")
    }
}

/// Whether a word that was typed finds longer ones: a number does not (HELP-4 is not HELP-42), nor a single letter.
fn may_go_on(word: &str) -> bool {
    word.chars().count() >= 2 && !word.chars().all(char::is_numeric)
}

/// A day, a month or a year: its first moment and the first after it, milliseconds since 1970.
fn day(text: &str) -> Option<(i64, i64)> {
    let numbers: Vec<&str> = text.split(['-', '/', '.']).collect();
    let year: i32 = numbers
        .first()
        .filter(|year| year.len() == 4)
        .and_then(|year| year.parse().ok())?;
    let part = |n: usize| numbers.get(n).map(|part| part.parse::<u32>().ok());
    let (first, after) = match (part(1), part(2), numbers.len()) {
        (None, None, 1) => (
            NaiveDate::from_ymd_opt(year, 1, 1)?,
            NaiveDate::from_ymd_opt(year + 1, 1, 1)?,
        ),
        (Some(month), None, 2) => {
            let first = NaiveDate::from_ymd_opt(year, month?, 1)?;
            let next = first.checked_add_months(chrono::Months::new(1))?;
            (first, next.with_day(1)?)
        }
        (Some(month), Some(day), 3) => {
            let first = NaiveDate::from_ymd_opt(year, month?, day?)?;
            (first, first.succ_opt()?)
        }
        _ => return None,
    };
    let ms = |day: NaiveDate| {
        day.and_hms_opt(0, 0, 0)
            .map(|time| time.and_utc().timestamp_millis())
    };
    Some((ms(first)?, ms(after)?))
}

/// One piece of a question.
#[derive(Debug)]
struct Piece {
    text: String,
    /// Name and value, if it looks like `name:value`.
    filter: Option<(String, String)>,
    is_quoted: bool,
}

/// Cuts at spaces, but not between quotes; a quote that is never closed ends with the text.
fn pieces(text: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let name = rest
            .split_once(':')
            .map(|(name, _)| name)
            .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()));
        let value = name.map_or(rest, |name| rest.get(name.len() + 1..).unwrap_or_default());
        let is_quote = |c: char| matches!(c, '"' | '“' | '”' | '„' | '«' | '»');
        let (inner, is_quoted, after) = match value.strip_prefix(is_quote) {
            Some(inside) => {
                let end = inside.find(is_quote).unwrap_or(inside.len());
                let after = inside.get(end..).unwrap_or_default();
                let after = after.strip_prefix(is_quote).unwrap_or(after);
                // A star behind the quotes: the last word may go on.
                let star = after.starts_with('*');
                let inner = inside.get(..end).unwrap_or_default().to_owned();
                (if star { inner + "*" } else { inner }, true, after)
            }
            None => {
                let end = value.find(char::is_whitespace).unwrap_or(value.len());
                let (inner, after) = value.split_at(end);
                (inner.to_owned(), false, after)
            }
        };
        found.push(Piece {
            text: name.map_or(inner.clone(), |name| format!("{name}:{inner}")),
            filter: name.map(|name| (name.to_ascii_lowercase(), inner)),
            is_quoted,
        });
        rest = after.trim_start_matches('*').trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fts(text: &str) -> String {
        Query::parse(text).for_fts()
    }

    #[test]
    fn words_phrases_and_beginnings_are_told_apart() {
        assert_eq!(fts("red print"), "(\"red\" *) AND (\"print\" *)");
        assert_eq!(fts("\"Red Printer\""), "(\"red printer\")");
        assert_eq!(fts("\"red print\"*"), "(\"red print\" *)");
        assert_eq!(fts("HELP-4 7"), "(\"help 4\") AND (\"7\")");
        assert_eq!(fts("4*"), "(\"4\" *)");
        assert_eq!(
            fts("from:ada@example subject:\"on fire\" to:help"),
            "(sender : \"ada example\" *) AND (subject : \"on fire\") AND (recipients : \"help\" *)"
        );
        assert_eq!(
            Query::parse("from:ada@x.test fire").for_postgres(),
            "('ada':B <-> 'x':B <-> 'test':*B) & ('fire':*)"
        );
    }

    #[test]
    fn a_stretch_without_spaces_is_found_from_any_character() {
        assert_eq!(fts("京"), "(\"京\" *)");
        assert_eq!(fts("東京都"), "(\"東京 京都\")");
        assert_eq!(fts("東京ABC"), "(\"東京 京 abc\" *)");
        assert_eq!(fts("\"京\""), "(\"京\" *)");
    }

    #[test]
    fn filters_are_read_and_what_they_do_not_take_is_said() {
        let query = Query::parse(
            "is:open is:mine label:vip label:\"two words\" has:attachment before:2026-11-24 after:2026-11 \
             priority:HIGH project:help is:odd before:soon has:luck odd:thing",
        );
        assert_eq!(query.states, ["open"]);
        assert!(query.is_mine && query.has_attachment && !query.is_unassigned);
        assert_eq!(query.labels, ["vip", "two words"]);
        assert_eq!(query.priorities, ["high"]);
        assert_eq!(query.projects, ["HELP"]);
        assert_eq!(
            (query.from_ms, query.until_ms),
            (Some(1_793_491_200_000), Some(1_795_478_400_000))
        );
        assert_eq!(query.notes.len(), 3, "{:?}", query.notes);
        assert_eq!(query.for_fts(), "(\"odd thing\" *)");
    }

    #[test]
    fn asking_for_signs_finds_nothing_and_asking_nothing_everything() {
        assert!(Query::parse("  ").is_empty());
        for text in ["***", "\"\"", "from:", "is:odd", "\u{1f525}", "-- ()"] {
            let query = Query::parse(text);
            assert!(query.asks_nothing, "{text}");
            assert!(!query.notes.is_empty(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_question(text in "[a-z0-9\"“”*:()^+~&|!<>'\\\\ \\-京Éß]{0,60}|\\PC{0,40}") {
            let query = Query::parse(&text);
            let quotes = query.for_fts().matches('"').count();
            proptest::prop_assert_eq!(quotes, query.terms.len() * 2);
            proptest::prop_assert!(query.terms.iter().all(|term| !term.words.is_empty()));
        }
    }
}

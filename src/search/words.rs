//! From text to words: folded so that `ÉCOLE`, `école` and `ecole` are one word, and cut so that scripts without spaces
//! can be found from any character.
//!
//! Chinese, Japanese, Korean, Thai and their like become overlapping pairs of characters, and the last character of a
//! stretch stands alone as well: whatever piece of the stretch is asked for, it is a row of neighbouring words.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Longest word, characters; what is longer is cut, in texts and in questions alike.
const LONGEST: usize = 40;

/// A word of a text and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Folded: letters, digits and marks only, lower case, without accents.
    pub text: String,
    /// Byte offset of its first character.
    pub start: usize,
    /// Byte offset after its last character.
    pub end: usize,
    /// Whether it is a character of a script without spaces that stands alone: the end of a stretch.
    pub is_lone: bool,
    /// Whether it belongs to a stretch of a script without spaces.
    pub is_unspaced: bool,
}

/// The words of a text, in order.
pub fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((start, first)) = rest.next() {
        let kind = kind_of(first);
        if kind == Script::Between {
            continue;
        }
        let mut end = start + first.len_utf8();
        while let Some((at, c)) = rest.next_if(|(_, c)| continues(kind, *c)) {
            end = at + c.len_utf8();
        }
        match kind {
            Script::Unspaced => pairs(text, start, end, &mut found),
            _ => push(text, start, end, &mut found),
        }
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Between,
    Spaced,
    Unspaced,
}

fn kind_of(c: char) -> Script {
    match c {
        '0'..='9' | 'a'..='z' | 'A'..='Z' => Script::Spaced,
        '\0'..='\x7f' => Script::Between,
        // Thai to Myanmar, Khmer, Kana and Bopomofo, Han, Hangul, half-width Katakana, Han beyond the first plane.
        '\u{0e00}'..='\u{0eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1100}'..='\u{11ff}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{318f}'
        | '\u{31a0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{a960}'..='\u{a97f}'
        | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ffdc}'
        | '\u{20000}'..='\u{3ffff}'
            if is_part(c) =>
        {
            Script::Unspaced
        }
        c if c.is_alphanumeric() => Script::Spaced,
        _ => Script::Between,
    }
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Whether a character goes on with a stretch of this kind. Marks belong to whatever they stand on.
fn continues(kind: Script, c: char) -> bool {
    kind_of(c) == kind || is_combining_mark(c)
}

fn push(text: &str, start: usize, end: usize, found: &mut Vec<Word>) {
    let folded = fold(text.get(start..end).unwrap_or_default());
    if !folded.is_empty() {
        found.push(Word {
            text: folded,
            start,
            end,
            is_lone: false,
            is_unspaced: false,
        });
    }
}

fn pairs(text: &str, start: usize, end: usize, found: &mut Vec<Word>) {
    let stretch = text.get(start..end).unwrap_or_default();
    // A character with the marks on it, folded.
    let mut units: Vec<(String, usize, usize)> = Vec::new();
    for (at, c) in stretch.char_indices() {
        let (from, to) = (start + at, start + at + c.len_utf8());
        match units.last_mut() {
            Some(last) if is_combining_mark(c) || matches!(c, '\u{ff9e}' | '\u{ff9f}') => {
                last.2 = to;
                last.0 = fold(text.get(last.1..to).unwrap_or_default());
            }
            _ => units.push((fold(text.get(from..to).unwrap_or_default()), from, to)),
        }
    }
    units.retain(|(folded, ..)| !folded.is_empty());
    for (n, (folded, from, to)) in units.iter().enumerate() {
        let next = units.get(n + 1);
        let (pair, end) = match next {
            Some((after, _, end)) => (format!("{folded}{after}"), *end),
            None => (folded.clone(), *to),
        };
        found.push(Word {
            text: pair,
            start: *from,
            end,
            is_lone: next.is_none(),
            is_unspaced: true,
        });
    }
}

/// One word in the form it is looked for: compatible forms made one, accents taken off, lower case.
pub fn fold(word: &str) -> String {
    if word.is_ascii() {
        let kept = word.bytes().filter(u8::is_ascii_alphanumeric);
        return kept
            .take(LONGEST)
            .map(|b| char::from(b.to_ascii_lowercase()))
            .collect();
    }
    let mut plain = String::with_capacity(word.len());
    for c in word
        .nfkd()
        .filter(|c| !is_accent(*c))
        .flat_map(char::to_lowercase)
    {
        match c {
            'ß' => plain.push_str("ss"),
            'æ' => plain.push_str("ae"),
            'œ' => plain.push_str("oe"),
            'þ' => plain.push_str("th"),
            'ø' => plain.push('o'),
            'ł' => plain.push('l'),
            'đ' | 'ð' => plain.push('d'),
            'ħ' => plain.push('h'),
            'ı' => plain.push('i'),
            'ς' => plain.push('σ'),
            c => plain.push(c),
        }
    }
    plain
        .nfc()
        .filter(|c| is_part(*c) && !is_accent(*c))
        .take(LONGEST)
        .collect()
}

/// Marks that readers leave out when they type: accents, Hebrew points, Arabic vowels. Others make another letter.
fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036f}' | '\u{0591}'..='\u{05c7}' | '\u{064b}'..='\u{065f}' | '\u{0670}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_folded_alike_however_they_are_written() {
        for (written, folded) in [
            ("ÉCOLE", "ecole"),
            ("e\u{301}cole", "ecole"),
            ("Straße", "strasse"),
            ("Æble", "aeble"),
            ("Łódź", "lodz"),
            ("ＡＢＣ１", "abc1"),
            ("İstanbul", "istanbul"),
            ("ΟΔΟΣ", "οδοσ"),
            ("ﬁle", "file"),
            ("Ёлка", "елка"),
            ("مُحَمَّد", "محمد"),
        ] {
            assert_eq!(texts(written), [folded], "{written}");
        }
        assert!(!texts("ﷺ").concat().contains(' '));
        assert_eq!(texts("a".repeat(100).as_str()), ["a".repeat(LONGEST)]);
    }

    #[test]
    fn signs_stand_between_words() {
        assert_eq!(
            texts("HELP-42: ada@example.test, don’t!"),
            ["help", "42", "ada", "example", "test", "don", "t"]
        );
        assert!(texts("— … \u{1f525} \"'()*:^ \0").is_empty());
    }

    #[test]
    fn a_script_without_spaces_becomes_pairs_and_a_last_character() {
        assert_eq!(texts("東京都"), ["東京", "京都", "都"]);
        assert_eq!(texts("都"), ["都"]);
        assert_eq!(texts("プリンタABC"), ["プリ", "リン", "ンタ", "タ", "abc"]);
        // Half-width with its voice mark is the same as full-width.
        assert_eq!(texts("ｶﾞｲﾄﾞ"), texts("ガイド"));
        assert_ne!(texts("か"), texts("が"));
        assert_eq!(texts("สวัสดี").len(), 4);
    }

    #[test]
    fn offsets_are_those_of_the_text() {
        let text = "«Ünïcode» 東京!";
        for word in words(text) {
            let slice = text.get(word.start..word.end).unwrap();
            assert_eq!(fold(slice), word.text, "{slice}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_words_of_letters_only(text in "\\PC{0,80}") {
            for word in words(&text) {
                proptest::prop_assert!(text.get(word.start..word.end).is_some());
                proptest::prop_assert!(!word.text.is_empty());
                proptest::prop_assert!(word.text.chars().all(is_part), "{:?}", word.text);
                // The database cuts at what is neither an ASCII letter or digit nor beyond ASCII.
                proptest::prop_assert!(word.text.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric()));
            }
        }
    }
}

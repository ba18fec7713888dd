//! Looking for any of many phrases in one pass over a text.

use aho_corasick::AhoCorasick;

/// A list of phrases in lower case.
pub(crate) struct Phrases {
    list: &'static [&'static str],
    /// Missing only if the list were too large to build one.
    automaton: Option<AhoCorasick>,
}

impl Phrases {
    pub fn new(list: &'static [&'static str]) -> Self {
        Self {
            list,
            automaton: AhoCorasick::new(list).ok(),
        }
    }

    /// The first of them in a text in lower case.
    pub fn find(&self, lower: &str) -> Option<&'static str> {
        let mut found = None;
        self.any(lower, |phrase, _| {
            found = Some(phrase);
            true
        });
        found
    }

    /// Whether one of them stands in the text so that `fits` agrees: it is given the phrase and where it starts.
    pub fn any(&self, lower: &str, mut fits: impl FnMut(&'static str, usize) -> bool) -> bool {
        let Some(automaton) = &self.automaton else {
            return self
                .list
                .iter()
                .any(|p| lower.match_indices(p).any(|(start, _)| fits(p, start)));
        };
        automaton.find_overlapping_iter(lower).any(|m| {
            self.list
                .get(m.pattern().as_usize())
                .is_some_and(|p| fits(p, m.start()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Phrases;

    #[test]
    fn phrases_inside_one_another_are_all_found() {
        let phrases = Phrases::new(&["wrote the following", "wrote", "rote"]);
        let mut found = Vec::new();
        phrases.any("he wrote the following", |p, at| {
            found.push((p, at));
            false
        });
        found.sort_unstable();
        assert_eq!(found, [("rote", 4), ("wrote", 3), ("wrote the following", 3)]);
        assert_eq!(phrases.find("he wrote the following"), Some("wrote"));
        assert_eq!(phrases.find("nothing"), None);
    }
}

//! Whose words are whose: the newly written text, what it quotes, the signature.
//!
//! The text is cut into lines; each line gets a kind; runs of lines become segments, which cover the text. Nothing is
//! dropped: [`crate::Reply::text`] is only a selection. A quote that is introduced ("On … wrote:") and answered once is
//! left out; a quote between two answers, or one that nobody introduces, is what the answer refers to and stays.

mod header;
mod lines;
mod signature;
mod words;

use crate::html::{Mark, MarkKind};
use crate::model::{Reply, Segment, SegmentKind};
use lines::Line;

/// Splits the text form of a body. `marks` are the stretches that the HTML names, `subject` tells forwards.
pub(crate) fn split(text: &str, marks: &[Mark], subject: &str) -> Reply {
    let lines = lines::split(text);
    let forward = is_forward(subject);
    let mut work = Work {
        lines: &lines,
        kinds: vec![SegmentKind::Reply; lines.len()],
        intros: Vec::new(),
        html: false,
        first_new: 0,
    };
    work.quote_lines();
    work.html_marks(marks, forward);
    work.introductions(forward);
    work.contexts();
    work.signatures(marks);
    work.settle();
    assemble(text, &work)
}

/// Whether a subject has a prefix of forwards.
pub(crate) fn is_forward(subject: &str) -> bool {
    let lower = subject.trim_start().to_lowercase();
    words::FORWARD_PREFIXES.iter().any(|p| lower.starts_with(p))
}

/// Lines below a quote, with others above it, that make the quote part of the answer rather than its cause.
const LONG_ANSWER: usize = 7;

/// Lines between a rule of dashes and the quote that it belongs to, and one more.
const MAX_GAP: usize = 4;
/// Bytes of a line of dashes; longer ones are no rule.
const MAX_RULE: usize = 1_000;

/// The introductions of all quotes, so arranged that asking about one quote does not look at all of them: a mail may
/// hold tens of thousands.
struct Introductions {
    /// Whether a line is part of one.
    is_line: Vec<bool>,
    /// Their first lines, ascending.
    starts: Vec<usize>,
    /// For each of them, where the one that reaches furthest among it and those before ends.
    reach: Vec<usize>,
}

impl Introductions {
    fn of(intros: &[(usize, usize)], lines: usize) -> Self {
        let mut sorted = intros.to_vec();
        sorted.sort_unstable();
        let mut is_line = vec![false; lines];
        let mut reach = Vec::with_capacity(sorted.len());
        let mut furthest = 0;
        for &(start, end) in &sorted {
            // What an earlier one covers is marked already.
            for line in is_line.iter_mut().take(end).skip(start.max(furthest)) {
                *line = true;
            }
            furthest = furthest.max(end);
            reach.push(furthest);
        }
        Self {
            is_line,
            starts: sorted.into_iter().map(|(start, _)| start).collect(),
            reach,
        }
    }

    /// Whether one of them reaches into the lines of a quote and begins no later than two lines into it.
    fn introduce(&self, from: usize, to: usize) -> bool {
        let before = self
            .starts
            .partition_point(|&start| start < to && start <= from + 2);
        before > 0 && self.reach[before - 1] > from
    }
}

struct Work<'a> {
    lines: &'a [Line<'a>],
    kinds: Vec<SegmentKind>,
    /// Ranges of lines that introduce a quote.
    intros: Vec<(usize, usize)>,
    html: bool,
    /// No line above this one is new.
    first_new: usize,
}

impl Work<'_> {
    fn is_new(&self, i: usize) -> bool {
        self.kinds[i] == SegmentKind::Reply && !self.lines[i].is_blank()
    }

    fn fill(&mut self, from: usize, to: usize, kind: SegmentKind) {
        let to = to.min(self.kinds.len());
        if from < to {
            self.kinds[from..to].fill(kind);
        }
    }

    /// Whether something newly written stands above a line. What was once found to be something else never becomes new
    /// again, so the first new line only moves down: all questions together cost one pass.
    fn any_new_above(&mut self, to: usize) -> bool {
        while self.first_new < self.lines.len() && !self.is_new(self.first_new) {
            self.first_new += 1;
        }
        self.first_new < to.min(self.lines.len())
    }

    fn quote_lines(&mut self) {
        for (i, line) in self.lines.iter().enumerate() {
            if line.depth > 0 {
                self.kinds[i] = SegmentKind::Quote;
            }
        }
    }

    fn html_marks(&mut self, marks: &[Mark], forward: bool) {
        let rest = if forward {
            SegmentKind::Forward
        } else {
            SegmentKind::Quote
        };
        let mut rest_taken = false;
        for mark in marks {
            // Once the rest is quoted there is nothing left for another such mark.
            if mark.kind == MarkKind::RestIsQuote && rest_taken {
                continue;
            }
            let Some((from, to)) = self.line_range(mark) else {
                continue;
            };
            match mark.kind {
                MarkKind::QuoteHeader => {
                    self.fill(from, to, SegmentKind::Quote);
                    self.intros.push((from, to));
                    self.html = true;
                }
                MarkKind::RestIsQuote => {
                    // With nothing above it, what is marked is all there is.
                    if self.any_new_above(from) {
                        let start = self.absorb_rules(from);
                        self.fill(start, self.kinds.len(), rest);
                        self.intros.push((start, from + 1));
                        self.html = true;
                        rest_taken = true;
                    }
                }
                MarkKind::Quote => {
                    let first = (from..to).find(|&i| self.lines[i].depth > 0);
                    // Inside a container that holds block quotes, lines between them are answers.
                    let end = first.unwrap_or(to);
                    if first.is_some() || self.any_new_above(from) {
                        self.fill(from, end, SegmentKind::Quote);
                        self.intros.push((from, end));
                        self.html = true;
                    }
                }
                MarkKind::Signature => {}
            }
        }
    }

    /// The lines that a mark covers.
    fn line_range(&self, mark: &Mark) -> Option<(usize, usize)> {
        let from = self.lines.partition_point(|l| l.end <= mark.start);
        let to = self.lines.partition_point(|l| l.start < mark.end);
        (from < to).then_some((from, to))
    }

    fn introductions(&mut self, forward_subject: bool) {
        let fields = header::fields(self.lines);
        let mut i = 0;
        while i < self.lines.len() {
            let Some(intro) = header::find(self.lines, &fields, i) else {
                i += 1;
                continue;
            };
            let quoted_already = self.lines[i].depth > 0;
            let next = (intro.end..self.lines.len()).find(|&j| !self.lines[j].is_blank());
            let marked = next.is_some_and(|j| {
                self.kinds[j] == SegmentKind::Quote || self.lines[j].depth > self.lines[i].depth
            });
            if intro.weak && !marked {
                i += 1;
                continue;
            }
            // Outlook has been seen to mark the first line of a quote and none of the rest.
            let quoted_already = quoted_already && !intro.unmarked && self.lines[intro.end - 1].depth > 0;
            let start = self.absorb_fields(&fields, intro.start);
            let start = self.absorb_rules(start);
            let forward = intro.forward || (intro.block && forward_subject);
            let kind = if forward {
                SegmentKind::Forward
            } else {
                SegmentKind::Quote
            };
            if quoted_already && !forward {
                self.intros.push((intro.start, intro.end));
                i = intro.end;
                continue;
            }
            self.fill(start, intro.end, kind);
            self.intros.push((start, intro.end));
            let rest = forward || (!marked && (intro.block || self.any_new_above(start)));
            if rest {
                let end = if quoted_already {
                    self.end_of_quote(intro.end)
                } else {
                    self.kinds.len()
                };
                self.fill(start, end, kind);
                if end == self.kinds.len() {
                    return;
                }
                i = end;
                continue;
            }
            i = intro.end;
        }
    }

    fn end_of_quote(&self, from: usize) -> usize {
        (from..self.lines.len())
            .find(|&i| self.lines[i].depth == 0 && !self.lines[i].is_blank())
            .unwrap_or(self.lines.len())
    }

    /// Header fields between a rule and an introduction belong to it: Yandex names the recipient and the subject there.
    fn absorb_fields(&self, fields: &[u8], at: usize) -> usize {
        let first = (at.saturating_sub(4)..at)
            .rev()
            .take_while(|&i| fields[i] != 0)
            .last();
        first.filter(|&i| self.absorb_rules(i) < i).unwrap_or(at)
    }

    /// Rules of dashes directly above belong to the quote.
    fn absorb_rules(&self, at: usize) -> usize {
        let mut start = at;
        let mut i = at;
        while i > 0 && at - i <= MAX_GAP {
            i -= 1;
            let line = &self.lines[i];
            if line.is_blank() {
                continue;
            }
            let body = line.body;
            let rule = (5..=MAX_RULE).contains(&body.len()) && body.chars().all(|c| "-_=*~ \u{2014}\u{2500}".contains(c))
                // Notes: `-----Ada Lovelace/ACME wrote: -----`.
                || body.starts_with("---") && body.ends_with("---") && body.len() < 150;
            if !rule || at - i > MAX_GAP {
                break;
            }
            start = i;
        }
        start
    }

    /// Decides which quotes are needed to understand the answers.
    fn contexts(&mut self) {
        let quotes = self.quote_runs();
        let answers_after = |work: &Self, end: usize| {
            // Stretches of new text below the end of this quote.
            let mut count = 0;
            let mut inside = false;
            for i in end..work.lines.len() {
                if work.is_new(i) && !inside {
                    inside = true;
                    count += 1;
                } else if work.kinds[i] == SegmentKind::Quote && !work.lines[i].is_blank() {
                    inside = false;
                }
            }
            count
        };
        let Some(&(_, first_end)) = quotes.first() else {
            return;
        };
        let interleaved = answers_after(self, first_end) >= 2;
        let introductions = Introductions::of(&self.intros, self.lines.len());
        let new_from = self.new_lines_from();
        for &(from, to) in &quotes {
            let answered = self.tail_is_new(to);
            let introduced = introductions.introduce(from, to);
            let between = self.any_new_above(from) && new_from[to] >= LONG_ANSWER;
            if answered && (interleaved || !introduced || between) {
                for i in from..to {
                    if !introductions.is_line[i] {
                        self.kinds[i] = SegmentKind::Context;
                    }
                }
            }
        }
    }

    /// For each line, how many newly written ones there are from there on.
    fn new_lines_from(&self) -> Vec<usize> {
        let mut counts = vec![0; self.lines.len() + 1];
        for i in (0..self.lines.len()).rev() {
            counts[i] = counts[i + 1] + usize::from(self.is_new(i));
        }
        counts
    }

    /// Whether something newly written, more than a signature, follows.
    fn tail_is_new(&self, from: usize) -> bool {
        let Some(first) = (from..self.lines.len()).find(|&i| !self.lines[i].is_blank()) else {
            return false;
        };
        if !self.is_new(first) {
            return false;
        }
        let end = (first..self.lines.len())
            .find(|&i| !self.lines[i].is_empty() && self.kinds[i] != SegmentKind::Reply)
            .unwrap_or(self.lines.len());
        signature::find(self.lines, first, end).is_none_or(|s| s > first)
    }

    /// Runs of quoted lines; blank lines do not end one.
    fn quote_runs(&self) -> Vec<(usize, usize)> {
        let mut out: Vec<(usize, usize)> = Vec::new();
        let mut open: Option<(usize, usize)> = None;
        for i in 0..self.lines.len() {
            if self.kinds[i] == SegmentKind::Quote {
                open = Some((open.map_or(i, |o| o.0), i + 1));
            } else if !self.lines[i].is_blank()
                && let Some(run) = open.take()
            {
                out.push(run);
            }
        }
        out.extend(open);
        out
    }

    fn signatures(&mut self, marks: &[Mark]) {
        for mark in marks.iter().filter(|m| m.kind == MarkKind::Signature) {
            let Some((from, to)) = self.line_range(mark) else {
                continue;
            };
            // A mark in front of the whole answer would hide it.
            if self.any_new_above(from) {
                for i in from..to {
                    if self.kinds[i] == SegmentKind::Reply {
                        self.kinds[i] = SegmentKind::Signature;
                    }
                }
            }
        }
        let mut from = 0;
        while from < self.lines.len() {
            if self.kinds[from] != SegmentKind::Reply {
                from += 1;
                continue;
            }
            let to = (from..self.lines.len())
                .find(|&i| self.kinds[i] != SegmentKind::Reply && !self.lines[i].is_blank())
                .unwrap_or(self.lines.len());
            if let Some(start) = signature::find(self.lines, from, to) {
                // Something must be left that was written, here or above.
                if self.any_new_above(start) {
                    self.fill(start, to, SegmentKind::Signature);
                }
            }
            from = to;
        }
    }

    /// Blank lines take the kind of the line above.
    fn settle(&mut self) {
        for i in 1..self.lines.len() {
            if self.lines[i].is_empty() {
                self.kinds[i] = self.kinds[i - 1];
            }
        }
    }
}

fn assemble(text: &str, work: &Work<'_>) -> Reply {
    let mut segments: Vec<Segment> = Vec::new();
    for (line, &kind) in work.lines.iter().zip(&work.kinds) {
        match segments.last_mut() {
            Some(last) if last.kind == kind => last.end = line.end,
            _ => segments.push(Segment {
                kind,
                start: line.start,
                end: line.end,
            }),
        }
    }
    let pick = |wanted: &dyn Fn(SegmentKind) -> bool| {
        // Segments that stand together stay together as they were written.
        let mut blocks: Vec<(usize, usize)> = Vec::new();
        for segment in segments.iter().filter(|s| wanted(s.kind)) {
            match blocks.last_mut() {
                Some(last) if last.1 == segment.start => last.1 = segment.end,
                _ => blocks.push((segment.start, segment.end)),
            }
        }
        let parts: Vec<&str> = blocks
            .iter()
            .map(|&(s, e)| trim_block(&text[s..e]))
            .filter(|p| !p.is_empty())
            .collect();
        parts.join("\n\n")
    };
    let some = |s: String| (!s.is_empty()).then_some(s);
    let has = |kind: SegmentKind| segments.iter().any(|s| s.kind == kind);
    let mut reply = pick(&|k| matches!(k, SegmentKind::Reply | SegmentKind::Context));
    if reply.is_empty() && has(SegmentKind::Forward) {
        // A forward without a word of its own is about what it forwards.
        reply = pick(&|k| k == SegmentKind::Forward);
    }
    let quoted = some(pick(&|k| matches!(k, SegmentKind::Quote | SegmentKind::Forward)));
    let signature = some(pick(&|k| k == SegmentKind::Signature));
    let (method, confidence) = if has(SegmentKind::Context) {
        ("inline", 0.7)
    } else if work.html {
        ("html", 0.95)
    } else if !work.intros.is_empty() {
        ("header", 0.9)
    } else if quoted.is_some() {
        ("marker", 0.8)
    } else {
        ("none", if signature.is_some() { 0.9 } else { 0.8 })
    };
    let confidence = if reply.is_empty() && !text.trim().is_empty() {
        0.3
    } else {
        confidence
    };
    Reply {
        text: reply,
        quoted,
        signature,
        segments,
        method: method.to_owned(),
        confidence,
    }
}

/// Without blank lines around; the indentation of the first line stays.
fn trim_block(block: &str) -> &str {
    let end = block.trim_end();
    let lead = end.len() - end.trim_start().len();
    let start = end[..lead].rfind('\n').map_or(0, |i| i + 1);
    &end[start..]
}

#[cfg(test)]
mod tests {
    use super::{MAX_RULE, Work, lines};
    use crate::html::{Mark, MarkKind};
    use crate::model::SegmentKind;

    fn work<'a>(lines: &'a [lines::Line<'a>]) -> Work<'a> {
        let mut work = Work {
            lines,
            kinds: vec![SegmentKind::Reply; lines.len()],
            intros: Vec::new(),
            html: false,
            first_new: 0,
        };
        work.quote_lines();
        work
    }

    #[test]
    fn only_the_first_mark_that_the_rest_is_quoted_is_acted_on() {
        let text = "x\n".repeat(1_000);
        let lines = lines::split(&text);
        let marks: Vec<Mark> = (1..1_000)
            .map(|i| Mark {
                kind: MarkKind::RestIsQuote,
                start: 2 * i,
                end: text.len(),
            })
            .collect();
        let mut work = work(&lines);
        work.html_marks(&marks, false);
        assert_eq!(work.intros, [(1, 2)]);
        assert_eq!(work.kinds[0], SegmentKind::Reply);
        assert!(work.kinds[1..].iter().all(|k| *k == SegmentKind::Quote));
    }

    #[test]
    fn a_line_of_dashes_without_end_is_no_rule() {
        for (dashes, start) in [(MAX_RULE, 1), (MAX_RULE + 1, 2)] {
            let text = format!("x\n{}\ny\n", "-".repeat(dashes));
            let lines = lines::split(&text);
            assert_eq!(work(&lines).absorb_rules(2), start, "{dashes}");
        }
    }

    #[test]
    fn the_text_below_a_quote_ends_at_the_next_one_even_if_that_is_empty() {
        // The signature below the second quote is none of the first answer.
        let text = "> a\n>\n-- \nb\n>\nc\n";
        let lines = lines::split(text);
        assert!(!work(&lines).tail_is_new(2));
        assert!(work(&lines).tail_is_new(5));
    }
}

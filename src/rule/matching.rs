//! What the rules say about one mail. Pure: no clock, no database; the same mail and rules always give the same.
//!
//! Rules are asked in order. The first that decides where the mail goes has decided it; priority and assignee likewise;
//! labels, copies and answers add up. A rule that drops or quarantines ends the list, as does one that says *stop*.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};

use super::glob;
use super::model::{Actions, FileMatch, HeaderMatch, How, Matches, Place, Rule, TextMatch};
use crate::message::Outline;

/// How large a regular expression may become in memory, bytes: a few hundred states, whatever it repeats.
const MAX_REGEX_BYTES: usize = 256 * 1024;
/// How much of a text a regular expression looks at, bytes.
const MAX_LOOKED_AT: usize = 4 * 1024;

/// A rule that is ready to be asked: its expressions are compiled once, not once a mail.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The rule.
    pub rule: Rule,
    subject: Option<Compiled>,
    headers: Vec<(String, Option<Compiled>)>,
}

#[derive(Clone, Debug)]
enum Compiled {
    Contains(String),
    Glob(String),
    Regex(Box<Regex>),
    /// An expression that cannot be compiled fits nothing.
    Nothing,
}

impl Ready {
    /// Prepares a rule.
    pub fn new(rule: Rule) -> Self {
        let text = |found: &TextMatch| compile(found.how, &found.value);
        let header = |found: &HeaderMatch| {
            let value = (!found.value.is_empty()).then(|| compile(found.how, &found.value));
            (found.name.clone(), value)
        };
        Self {
            subject: rule.matches.subject.as_ref().map(text),
            headers: rule.matches.headers.iter().map(header).collect(),
            rule,
        }
    }

    /// Whether a mail of this mailbox fits.
    pub fn fits(&self, mail: &Outline, mailbox_id: &str) -> bool {
        let wanted = &self.rule.matches;
        let one_of = |list: &[String], value: &str| list.is_empty() || list.iter().any(|item| item == value);
        one_of(&wanted.mailbox_ids, mailbox_id)
            && one_of(&wanted.kind, mail.kind.as_str())
            && one_of(&wanted.authentication.spf, &mail.spf)
            && one_of(&wanted.authentication.dkim, &mail.dkim)
            && one_of(&wanted.authentication.dmarc, &mail.dmarc)
            && (wanted.sender.is_empty() || fits_address(&wanted.sender, &mail.sender))
            && (wanted.recipient.is_empty()
                || mail
                    .recipients
                    .iter()
                    .any(|recipient| fits_address(&wanted.recipient, recipient)))
            && self.subject.as_ref().is_none_or(|text| text.fits(&mail.subject))
            && self.headers.iter().all(|(name, text)| {
                let mut values = mail.values(name);
                match text {
                    Some(text) => values.any(|value| text.fits(value)),
                    None => values.next().is_some(),
                }
            })
            && wanted
                .attachment
                .as_ref()
                .is_none_or(|files| fits_files(files, mail))
    }
}

fn compile(how: How, value: &str) -> Compiled {
    match how {
        How::Contains => Compiled::Contains(value.to_lowercase()),
        How::Glob => Compiled::Glob(value.to_owned()),
        How::Regex => regex(value).map_or(Compiled::Nothing, |regex| Compiled::Regex(Box::new(regex))),
    }
}

/// Compiles a regular expression within its bounds; case counts for nothing unless it says `(?-i)`.
///
/// # Errors
/// What is wrong with it, for the person who wrote it.
pub(super) fn regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .case_insensitive(true)
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .nest_limit(20)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it would become too large; repeat less".to_owned(),
            other => other
                .to_string()
                .lines()
                .last()
                .unwrap_or("it cannot be read")
                .trim_start_matches("error: ")
                .to_owned(),
        })
}

impl Compiled {
    fn fits(&self, text: &str) -> bool {
        let text = &text[..text.floor_char_boundary(MAX_LOOKED_AT)];
        match self {
            Self::Contains(value) => text.to_lowercase().contains(value.as_str()),
            Self::Glob(pattern) => glob::fits(pattern, text),
            Self::Regex(regex) => regex.is_match(text),
            Self::Nothing => false,
        }
    }
}

/// With an `@` a pattern is for the address, without one for the domain; it may be a glob.
fn fits_address(patterns: &[String], address: &str) -> bool {
    let Some((_, domain)) = address.rsplit_once('@') else {
        return false;
    };
    patterns.iter().any(|pattern| {
        let text = if pattern.contains('@') { address } else { domain };
        glob::fits(pattern, text)
    })
}

fn fits_files(wanted: &FileMatch, mail: &Outline) -> bool {
    let fits = |pattern: &str, text: &str| pattern.is_empty() || glob::fits(pattern, text);
    let found = mail
        .files
        .iter()
        .any(|file| fits(&wanted.name, &file.name) && fits(&wanted.media_type, &file.media_type));
    found == wanted.present
}

/// What all rules together say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The rules that fitted, in order: id and name.
    pub fitted: Vec<Fitted>,
    /// Where the mail goes, and which rule says so.
    pub place: Option<(Place, Fitted)>,
    /// The ticket's key, for [`Place::Ticket`].
    pub ticket_key: String,
    /// Priority of a new ticket; empty leaves it.
    pub priority: String,
    /// Labels of the ticket.
    pub labels: Vec<String>,
    /// Assignee of a new ticket; empty leaves it.
    pub assignee_id: String,
    /// Addresses that get a copy.
    pub forward_to: Vec<String>,
    /// Text of the automatic answer; empty sends none. One mail gets one answer: the first rule's.
    pub answer: String,
    /// The rule whose answer it is.
    pub answered_by: Fitted,
    /// The first rule that names each address for a copy.
    pub forwarded_by: BTreeMap<String, Fitted>,
}

/// A rule that fitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fitted {
    /// Its id.
    pub id: String,
    /// Its name when it was asked.
    pub name: String,
}

impl Decision {
    /// Where the mail goes.
    pub fn place(&self) -> Place {
        self.place.as_ref().map_or(Place::Default, |(place, _)| *place)
    }

    /// Whether any rule fitted.
    pub fn is_empty(&self) -> bool {
        self.fitted.is_empty()
    }

    fn add(&mut self, rule: &Rule) {
        let fitted = Fitted {
            id: rule.id.clone(),
            name: rule.name.clone(),
        };
        let Actions {
            place,
            ticket_key,
            priority,
            labels,
            assignee_id,
            forward_to,
            answer,
        } = &rule.actions;
        if *place != Place::Default && self.place.is_none() {
            self.place = Some((*place, fitted.clone()));
            self.ticket_key.clone_from(ticket_key);
        }
        if self.answer.is_empty() && !answer.is_empty() {
            self.answered_by = fitted.clone();
        }
        for to in forward_to {
            self.forwarded_by
                .entry(to.clone())
                .or_insert_with(|| fitted.clone());
        }
        for (mine, theirs) in [
            (&mut self.priority, priority),
            (&mut self.assignee_id, assignee_id),
            (&mut self.answer, answer),
        ] {
            if mine.is_empty() {
                mine.clone_from(theirs);
            }
        }
        for (mine, theirs) in [(&mut self.labels, labels), (&mut self.forward_to, forward_to)] {
            for item in theirs {
                if !mine.contains(item) {
                    mine.push(item.clone());
                }
            }
        }
        self.fitted.push(fitted);
    }
}

/// Asks the rules, which come in their order; those that are switched off are passed over.
pub fn decide(rules: &[Ready], mail: &Outline, mailbox_id: &str) -> Decision {
    let mut decision = Decision::default();
    for ready in rules.iter().filter(|ready| ready.rule.enabled) {
        if !ready.fits(mail, mailbox_id) {
            continue;
        }
        decision.add(&ready.rule);
        if ready.rule.stop || matches!(decision.place(), Place::Drop | Place::Quarantine) {
            break;
        }
    }
    decision
}

/// Whether these conditions are met by every mail.
pub fn fits_everything(matches: &Matches) -> bool {
    matches.is_empty()
}

#[cfg(test)]
mod tests;

//! Which ticket a mail joins. The one place that decides it, for every way a mail comes in. Pure: clues in, a
//! [`Resolution`] out, with the rule that matched and why.
//!
//! A mail that is in the project already, because it went to several of its mailboxes, joins its first copy, and is not
//! shown again (`same_mail_store`). Of any other, in this order:
//!
//! 1. a reply address or Message-ID of ours with a valid signature, in a mail from whom it was made for;
//! 2. a Message-ID known in this project, in a mail from somebody who takes part in that ticket;
//! 3. the ticket's key in the subject, in a mail from somebody who takes part in it and is verified.
//!
//! After a split, the nearest mail that is answered decides between the parts: it went with the part that it belongs to.
//!
//! Anything else opens a new ticket, which is linked with the possible one: a person can merge them, a mail cannot. From
//! is a claim. It counts as taking part only beside something that a stranger does not know (a signature, an identifier)
//! or the word of a trusted server, and it never makes anybody an agent: all that a mail can do is to be appended.

use mailgrant_mail::thread_token::Verdict;
use serde_json::{Value, json};

/// A closed ticket that nobody touched for this long is not opened again by a mail, days.
pub const CLOSED_FOR_GOOD_DAYS: i64 = 90;

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A signed reply address of ours.
    ReplyAddress,
    /// A signed Message-ID of ours.
    SignedMessageId,
    /// A Message-ID that is known in this project, from somebody who takes part.
    KnownReference,
    /// The ticket's key in the subject, from somebody who takes part and is verified.
    SubjectKey,
    /// Nothing led to a ticket that the sender may write to.
    NewTicket,
    /// It belongs to a ticket that has been closed for long.
    ClosedLongAgo,
    /// A rule of the project says where it goes.
    MailRule,
    /// The same mail is there already: it went to several mailboxes of the project.
    SameMail,
}

impl Rule {
    /// The text in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReplyAddress => "reply_address",
            Self::SignedMessageId => "signed_message_id",
            Self::KnownReference => "known_reference",
            Self::SubjectKey => "subject_key",
            Self::NewTicket => "new_ticket",
            Self::ClosedLongAgo => "closed_long_ago",
            Self::MailRule => "mail_rule",
            Self::SameMail => "same_mail",
        }
    }
}

/// A ticket that a clue leads to. Of a merged ticket, the one it was merged into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub ticket_id: String,
    /// Its key.
    pub key: String,
    /// Whether it was closed for so long that it stays closed.
    pub closed_long_ago: bool,
    /// Whether the one address in From stands in From, To or Cc of an earlier mail in it.
    pub sender_takes_part: bool,
    /// The same for all tickets that people split out of one; its own id if it is alone.
    pub family: String,
}

/// Where a clue stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClueKind {
    /// An address that the mail went to.
    Address(Verdict),
    /// A Message-ID of the form of ours that the mail answers.
    SignedId(Verdict),
    /// Any other Message-ID that the mail answers.
    Reference,
    /// The subject.
    SubjectKey,
}

/// The distance of what names no mail.
pub const FAR: usize = usize::MAX;

/// Something in a mail that leads to a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clue {
    /// Where it stood and what it is worth.
    pub kind: ClueKind,
    /// Of a Message-ID, how near the mail is that it names: 0 is the one that is answered. Of anything else [`FAR`].
    pub distance: usize,
    /// The ticket; none if there is no such ticket in this project.
    pub candidate: Option<Candidate>,
}

/// Who sent a mail, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// From names exactly one address.
    pub is_single: bool,
    /// A trusted server vouches for it.
    pub is_verified: bool,
    /// A trusted server says that From is not true.
    pub is_refuted: bool,
    /// It is the address of an agent, or of a mailbox of ours.
    pub is_ours: bool,
}

/// Where a mail goes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// What decided.
    pub rule: Rule,
    /// A sentence for people.
    pub why: String,
    /// The ticket it joins; none opens a new one.
    pub joins: Option<Candidate>,
    /// The ticket that it may belong to and does not join.
    pub possibly: Option<Candidate>,
    /// Whether the sender is verified.
    pub sender_verified: bool,
    /// The entry that shows the same mail already; none if the mail gets one.
    pub shown_by: Option<String>,
}

impl Resolution {
    /// As it is stored with the message and shown by the API.
    pub fn to_json(&self) -> Value {
        let named = |ticket: &Option<Candidate>| {
            ticket.as_ref().map_or(
                Value::Null,
                |ticket| json!({ "ticketId": ticket.ticket_id, "ticketKey": ticket.key }),
            )
        };
        json!({
            "rule": self.rule.as_str(),
            "why": self.why,
            "joined": named(&self.joins),
            "possiblyRelated": named(&self.possibly),
            "senderVerified": self.sender_verified,
        })
    }
}

/// Decides. `clues` stand in the order of their strength: Message-IDs from the nearest, then addresses, then the subject.
pub fn resolve(sender: Sender, clues: &[Clue]) -> Resolution {
    let mut possibly: Option<(Candidate, String)> = None;
    for kind in [is_signed, is_reference, is_subject] {
        for clue in clues.iter().filter(|clue| kind(clue.kind)) {
            let Some(candidate) = &clue.candidate else {
                continue;
            };
            match judge(sender, clue.kind, candidate) {
                Judgement::Joins(rule, why) => {
                    return match nearer_part(sender, clue, candidate, clues) {
                        Some((part, rule, why)) => joins(sender, part, rule, why),
                        None => joins(sender, candidate, rule, why),
                    };
                }
                Judgement::Suggests(why) if possibly.is_none() => possibly = Some((candidate.clone(), why)),
                Judgement::Suggests(_) | Judgement::Nothing => {}
            }
        }
    }
    let (possibly, why) = match possibly {
        Some((candidate, why)) => (Some(candidate), why),
        None => (
            None,
            "Nothing in the mail leads to a ticket of this project, so it opened a new one.".to_owned(),
        ),
    };
    Resolution {
        rule: Rule::NewTicket,
        why,
        joins: None,
        possibly,
        sender_verified: sender.is_verified,
        shown_by: None,
    }
}

/// The part of the same split ticket that holds a mail nearer than the one that decided, if the sender takes part in it.
fn nearer_part<'c>(
    sender: Sender,
    decided: &Clue,
    ticket: &Candidate,
    clues: &'c [Clue],
) -> Option<(&'c Candidate, Rule, String)> {
    let nearer = clues
        .iter()
        .filter(|clue| is_reference(clue.kind) && clue.distance < decided.distance);
    for part in nearer.filter_map(|clue| clue.candidate.as_ref()) {
        if part.family != ticket.family {
            continue;
        }
        if part.ticket_id == ticket.ticket_id {
            return None;
        }
        if let Judgement::Joins(rule, why) = judge(sender, ClueKind::Reference, part) {
            let why = format!("{why} That ticket and {} were one before.", ticket.key);
            return Some((part, rule, why));
        }
    }
    None
}

fn joins(sender: Sender, candidate: &Candidate, rule: Rule, why: String) -> Resolution {
    if candidate.closed_long_ago {
        return closed_long_ago(sender, candidate, rule, &why);
    }
    Resolution {
        rule,
        why,
        joins: Some(candidate.clone()),
        possibly: None,
        sender_verified: sender.is_verified,
        shown_by: None,
    }
}

fn closed_long_ago(sender: Sender, candidate: &Candidate, rule: Rule, why: &str) -> Resolution {
    Resolution {
        rule: Rule::ClosedLongAgo,
        why: format!(
            "{why} But {} was closed and nobody has touched it for {CLOSED_FOR_GOOD_DAYS} days, so the mail opened a \
             new ticket ({}).",
            candidate.key,
            rule.as_str()
        ),
        joins: None,
        possibly: Some(candidate.clone()),
        sender_verified: sender.is_verified,
        shown_by: None,
    }
}

fn is_signed(kind: ClueKind) -> bool {
    matches!(kind, ClueKind::Address(_) | ClueKind::SignedId(_))
}

fn is_reference(kind: ClueKind) -> bool {
    kind == ClueKind::Reference
}

fn is_subject(kind: ClueKind) -> bool {
    kind == ClueKind::SubjectKey
}

enum Judgement {
    Joins(Rule, String),
    Suggests(String),
    Nothing,
}

fn judge(sender: Sender, kind: ClueKind, candidate: &Candidate) -> Judgement {
    let key = &candidate.key;
    let takes_part = takes_part(sender, candidate);
    match kind {
        ClueKind::Address(verdict) => signed(Rule::ReplyAddress, "the reply address", verdict, key),
        ClueKind::SignedId(verdict) => signed(Rule::SignedMessageId, "a Message-ID", verdict, key),
        ClueKind::Reference => match takes_part {
            Ok(()) => Judgement::Joins(
                Rule::KnownReference,
                format!("It answers a mail of {key}, and its sender takes part in that ticket."),
            ),
            Err(reason) => Judgement::Suggests(format!(
                "It answers a mail of {key}, but {reason}. It opened a new ticket."
            )),
        },
        ClueKind::SubjectKey => match takes_part {
            Ok(()) if sender.is_verified => Judgement::Joins(
                Rule::SubjectKey,
                format!("Its subject names {key}, and its verified sender takes part in that ticket."),
            ),
            Ok(()) => Judgement::Suggests(format!(
                "Its subject names {key}, but nobody who is trusted vouches for the sender. It opened a new ticket."
            )),
            Err(reason) => Judgement::Suggests(format!(
                "Its subject names {key}, but {reason}. It opened a new ticket."
            )),
        },
    }
}

fn signed(rule: Rule, place: &str, verdict: Verdict, key: &str) -> Judgement {
    match verdict {
        Verdict::Valid => Judgement::Joins(
            rule,
            format!("It came back with {place} that was made for its sender in {key}."),
        ),
        Verdict::Expired => Judgement::Suggests(format!(
            "It came back with {place} that was made for its sender in {key}, but its time is over. It opened a new \
             ticket."
        )),
        Verdict::OtherRecipient => Judgement::Suggests(format!(
            "It came with {place} that was made for somebody else in {key}. It opened a new ticket."
        )),
        // A number that anybody could have written.
        Verdict::Forged => Judgement::Nothing,
    }
}

/// Whether the sender takes part in a ticket, or what speaks against it.
fn takes_part(sender: Sender, candidate: &Candidate) -> Result<(), &'static str> {
    if !sender.is_single {
        return Err("From does not name exactly one sender");
    }
    if sender.is_refuted {
        return Err("a trusted server says that the sender is not true (DMARC failed)");
    }
    if sender.is_ours {
        // These addresses are known to every stranger.
        return if sender.is_verified {
            Ok(())
        } else {
            Err("nobody who is trusted vouches for the sender, whose address is one of ours")
        };
    }
    if candidate.sender_takes_part {
        Ok(())
    } else {
        Err("its sender takes no part in that ticket")
    }
}

/// The numbers of tickets whose keys a subject names, each once: `Re: [HELP-42] Printer`.
pub fn keys_in_subject(subject: &str, project_key: &str) -> Vec<i64> {
    const MOST: usize = 3;
    let mut numbers: Vec<i64> = Vec::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    for word in subject.split(|c| !is_word(c)) {
        let Some((project, number)) = word.rsplit_once('-') else {
            continue;
        };
        if !project.eq_ignore_ascii_case(project_key) || !number.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        if let Ok(number) = number.parse()
            && !numbers.contains(&number)
        {
            numbers.push(number);
        }
        if numbers.len() == MOST {
            break;
        }
    }
    numbers
}

#[cfg(test)]
mod tests;

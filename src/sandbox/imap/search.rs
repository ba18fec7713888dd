//! Which mails a SEARCH means, and which numbers a sequence set means (RFC 9051, sections 6.4.4 and 9).

use chrono::NaiveDate;
use imap_codec::imap_types::search::SearchKey;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};

use super::store::Message;

/// Whether `number` is in the set, when `*` stands for `largest`.
pub(super) fn contains(set: &SequenceSet, number: u32, largest: u32) -> bool {
    let value = |end: &SeqOrUid| match end {
        SeqOrUid::Value(value) => value.get(),
        SeqOrUid::Asterisk => largest,
    };
    set.0.as_ref().iter().any(|part| match part {
        Sequence::Single(one) => value(one) == number,
        // "9:4" means the same as "4:9", hence "9:*" always holds the last one.
        Sequence::Range(from, to) => {
            let (from, to) = (value(from), value(to));
            (from.min(to)..=from.max(to)).contains(&number)
        }
    })
}

/// The numbers a mail is known by, and the largest of each.
pub(super) struct Position {
    /// Sequence number.
    pub seq: u32,
    /// Number of mails.
    pub last_seq: u32,
    /// Largest UID in view.
    pub last_uid: u32,
}

/// A search key this server does not know.
pub(super) struct Unsupported;

/// Whether a mail fits a key.
pub(super) fn matches(key: &SearchKey<'_>, message: &Message, at: &Position) -> Result<bool, Unsupported> {
    let flag = |name: &str| message.flags.iter().any(|flag| flag.eq_ignore_ascii_case(name));
    let day = message.received_at.date_naive();
    let size = message.raw.len();
    let date = |date: &imap_codec::imap_types::datetime::NaiveDate| -> NaiveDate { *date.as_ref() };
    Ok(match key {
        SearchKey::All => true,
        SearchKey::And(keys) => {
            for key in keys.as_ref() {
                if !matches(key, message, at)? {
                    return Ok(false);
                }
            }
            true
        }
        SearchKey::Or(one, other) => matches(one, message, at)? || matches(other, message, at)?,
        SearchKey::Not(key) => !matches(key, message, at)?,
        SearchKey::SequenceSet(set) => contains(set, at.seq, at.last_seq),
        SearchKey::Uid(set) => contains(set, message.uid, at.last_uid),
        SearchKey::Seen => flag("\\Seen"),
        SearchKey::Unseen => !flag("\\Seen"),
        SearchKey::Answered => flag("\\Answered"),
        SearchKey::Unanswered => !flag("\\Answered"),
        SearchKey::Deleted => flag("\\Deleted"),
        SearchKey::Undeleted => !flag("\\Deleted"),
        SearchKey::Flagged => flag("\\Flagged"),
        SearchKey::Unflagged => !flag("\\Flagged"),
        SearchKey::Draft => flag("\\Draft"),
        SearchKey::Undraft => !flag("\\Draft"),
        SearchKey::Keyword(name) => flag(name.as_ref()),
        SearchKey::Unkeyword(name) => !flag(name.as_ref()),
        SearchKey::Since(since) => day >= date(since),
        SearchKey::Before(before) => day < date(before),
        SearchKey::On(on) => day == date(on),
        SearchKey::Larger(limit) => size > *limit as usize,
        SearchKey::Smaller(limit) => size < *limit as usize,
        SearchKey::Header(name, text) => {
            header_holds(message, &String::from_utf8_lossy(name.as_ref()), text.as_ref())
        }
        SearchKey::Subject(text) => header_holds(message, "subject", text.as_ref()),
        SearchKey::From(text) => header_holds(message, "from", text.as_ref()),
        SearchKey::To(text) => header_holds(message, "to", text.as_ref()),
        SearchKey::Text(text) => holds(&message.raw, text.as_ref()),
        _ => return Err(Unsupported),
    })
}

fn header_holds(message: &Message, name: &str, text: &[u8]) -> bool {
    super::fetch::header_fields(&message.raw)
        .into_iter()
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .any(|(_, field)| holds(field, text))
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    text.is_empty()
        || bytes
            .windows(text.len())
            .any(|window| window.eq_ignore_ascii_case(text))
}

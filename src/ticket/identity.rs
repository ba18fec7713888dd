//! What we write into outgoing mail so that the answer finds its ticket: a signed Message-ID and a signed reply address.
//!
//! The form and the judging are `mailgrant_mail::thread_token`'s; here is the key and how long they are good for.

use mailgrant_mail::thread_token::{Signer, Subject};

use crate::clock::Clock;
use crate::crypto::KeyRing;

/// How long an answer finds its ticket by its token alone, days.
const GOOD_FOR_DAYS: u32 = 365;

/// The purpose of the keys that sign. Changing it would cut off every mail that is out there.
const PURPOSE: &str = "thread v1";

const DAY_MS: i64 = 24 * 3_600_000;

/// The identifiers of one outgoing mail to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyIdentity {
    /// For `Message-ID`, without angle brackets.
    pub message_id: String,
    /// For `Reply-To`; none if the mailbox's name leaves no room for a token. The Message-ID leads back then.
    pub reply_address: Option<String>,
}

/// Which mail is to be named.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingMail<'a> {
    /// Project of the ticket.
    pub project_id: &'a str,
    /// Number of the ticket within it.
    pub ticket_number: i64,
    /// What names the mail: an id of letters, digits, `_` and `-`, 40 at most. Unique, for the Message-ID is made of it.
    pub message: &'a str,
    /// The one address it goes to: only an answer from there is taken by the token alone.
    pub recipient: &'a str,
    /// The address of the mailbox that answers come in through.
    pub mailbox_address: &'a str,
}

/// The Message-ID and the reply address of an outgoing mail. None if the mailbox's address is none, or the message's
/// name does not fit.
pub fn reply_identity(keys: &KeyRing, clock: &Clock, mail: &OutgoingMail<'_>) -> Option<ReplyIdentity> {
    let signer = signer(keys);
    let subject = Subject {
        project: mail.project_id,
        ticket: u64::try_from(mail.ticket_number).ok()?,
        recipient: mail.recipient,
        expires: today(clock) + GOOD_FOR_DAYS,
    };
    let (_, host) = mail.mailbox_address.trim().rsplit_once('@')?;
    Some(ReplyIdentity {
        message_id: signer.message_id(&subject, mail.message, host)?,
        reply_address: signer.reply_address(&subject, mail.mailbox_address),
    })
}

/// What signs and judges thread tokens.
pub(super) fn signer(keys: &KeyRing) -> Signer {
    let keys = keys.derived(PURPOSE);
    Signer::new(keys.iter().map(|key| &**key))
}

/// The day, counted from 1970-01-01.
pub(super) fn today(clock: &Clock) -> u32 {
    u32::try_from(clock.now_ms().div_euclid(DAY_MS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_ms;
    use mailgrant_mail::thread_token::{Token, Verdict};

    #[test]
    fn an_answer_is_recognised_for_a_year() {
        let dir = tempfile::tempdir().unwrap();
        let keys = KeyRing::create(&dir.path().join("key")).unwrap();
        let clock = Clock::manual(from_ms(1_800_000_000_000));
        let mail = OutgoingMail {
            project_id: "prj_1",
            ticket_number: 42,
            message: "ent_01KAVZ3Q9T8YJ5Z3M4N5P6Q7R8",
            recipient: "ada@example.test",
            mailbox_address: "support@desk.example",
        };
        let made = reply_identity(&keys, &clock, &mail).unwrap();
        let signer = signer(&keys);
        let first = Token::from_message_id(&made.message_id).unwrap();
        let second = Token::from_address(&made.reply_address.unwrap()).unwrap();
        for token in [first, second] {
            let on = |day| signer.verify(&token, "prj_1", &["Ada@example.test"], day);
            assert_eq!(on(today(&clock) + 365), Verdict::Valid);
            assert_eq!(on(today(&clock) + 366), Verdict::Expired);
        }
        let odd = OutgoingMail {
            mailbox_address: "no address",
            ..mail
        };
        assert_eq!(reply_identity(&keys, &clock, &odd), None);
    }
}

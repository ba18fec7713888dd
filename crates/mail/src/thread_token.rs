//! Signed Message-IDs and reply addresses: what we write into outgoing mail so that the answer finds its ticket.
//!
//! A Message-ID reads `mg1.<ticket>.<message>.<seal>@host`, a reply address `box+mg1.<ticket>.<seal>@host`. The ticket is
//! its number within the project, in base 32. The seal is 34 characters: the day it expires (4), a tag of the recipient
//! (6), and the first 120 bits of an HMAC-SHA256 over version, project, ticket, message, tag and day (24).
//!
//! * The alphabet is Crockford's base 32 without case: local parts come back in capitals from some relays.
//! * The project is signed but not written: a token leads nowhere but to its own project. A mailbox is not signed: an
//!   answer may come in through any mailbox of the project.
//! * The tag is keyed as well: nobody can look for an address that has the tag of another one.
//! * [`Signer::verify`] is the one place that judges a token, wherever in a mail it stood.
//!
//! A token grants nothing but to be appended to one ticket.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What every token begins with; another form would be another version.
const VERSION: &str = "mg1";
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of the seal's parts.
const DAY_CHARS: usize = 4;
const TAG_CHARS: usize = 6;
const MAC_CHARS: usize = 24;
/// Bytes of the HMAC that are kept: 120 bits.
const MAC_BYTES: usize = 15;
/// Longest name of a message in a Message-ID.
const MAX_MESSAGE: usize = 40;
/// Longest local part of an address (RFC 5321, section 4.5.3.1.1).
const MAX_LOCAL_PART: usize = 64;
/// Longest text that is looked at for a token; no identifier of ours is longer.
const MAX_TEXT: usize = 512;

/// A token as it was found, not yet judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    ticket: u64,
    message: String,
    day: u32,
    tag: u32,
    mac: [u8; MAC_BYTES],
}

impl Token {
    /// Reads the token of a Message-ID, angle brackets or not; none if it is not one of ours by its form.
    pub fn from_message_id(id: &str) -> Option<Self> {
        let id = id.trim().trim_matches(['<', '>']);
        if id.len() > MAX_TEXT {
            return None;
        }
        let (local, _) = id.rsplit_once('@')?;
        let token = Self::read(local)?;
        (!token.message.is_empty()).then_some(token)
    }

    /// Reads the token of an address; none if it holds none by its form.
    pub fn from_address(address: &str) -> Option<Self> {
        let address = address.trim();
        if address.len() > MAX_TEXT {
            return None;
        }
        let (local, _) = address.rsplit_once('@')?;
        // The part that tells the mailbox may hold separators of its own, and a relay may have put a tag behind.
        local.split('+').skip(1).find_map(|part| {
            let token = Self::read(part)?;
            token.message.is_empty().then_some(token)
        })
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let mut parts = text.split('.');
        if parts.next() != Some(VERSION) {
            return None;
        }
        let ticket = number(parts.next()?)?;
        let (message, seal) = match (parts.next()?, parts.next()) {
            (message, Some(seal)) if is_name(message) => (message.to_owned(), seal),
            (seal, None) => (String::new(), seal),
            _ => return None,
        };
        if parts.next().is_some() || seal.len() != DAY_CHARS + TAG_CHARS + MAC_CHARS {
            return None;
        }
        let (day, rest) = seal.split_at_checked(DAY_CHARS)?;
        let (tag, mac) = rest.split_at_checked(TAG_CHARS)?;
        Some(Self {
            ticket,
            message,
            day: u32::try_from(number(day)?).ok()?,
            tag: u32::try_from(number(tag)?).ok()?,
            mac: bytes(mac)?,
        })
    }

    /// The number of the ticket that it names. Before [`Signer::verify`] this is a claim like any other text of a mail.
    pub fn ticket(&self) -> u64 {
        self.ticket
    }

    /// The message that it names; empty for a reply address.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// What a token is signed for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Id of the project.
    pub project: &'a str,
    /// Number of the ticket within it.
    pub ticket: u64,
    /// The address that the mail goes to.
    pub recipient: &'a str,
    /// The last day it is good for, counted from 1970-01-01.
    pub expires: u32,
}

/// What a token turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// We made it, for one of the senders given, and it is still good.
    Valid,
    /// We made it for one of the senders, and its time is over.
    Expired,
    /// We made it, for somebody else.
    OtherRecipient,
    /// We did not make it, or not for this project; or it was changed.
    Forged,
}

/// Makes and judges tokens.
#[derive(Clone)]
pub struct Signer {
    keys: Vec<Hmac<Sha256>>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("keys", &self.keys.len()).finish()
    }
}

impl Signer {
    /// With these keys: the first signs, all of them verify.
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k [u8; 32]>) -> Self {
        let keys = keys.into_iter();
        Self {
            // A key of any length is one for HMAC.
            keys: keys
                .filter_map(|key| Hmac::<Sha256>::new_from_slice(key).ok())
                .collect(),
        }
    }

    /// A Message-ID without angle brackets; none if the message's name does not fit or there is no key.
    pub fn message_id(&self, subject: &Subject<'_>, message: &str, host: &str) -> Option<String> {
        let message = message.to_ascii_lowercase();
        let seal = is_name(&message).then(|| self.seal(subject, &message))??;
        Some(format!(
            "{VERSION}.{}.{message}.{seal}@{host}",
            digits(subject.ticket, 1)
        ))
    }

    /// The address of a mailbox with a token in it; none if it would be longer than a local part may be: then only the
    /// Message-ID leads back.
    pub fn reply_address(&self, subject: &Subject<'_>, mailbox: &str) -> Option<String> {
        let (local, host) = mailbox.trim().rsplit_once('@')?;
        let seal = self.seal(subject, "")?;
        let local = format!("{local}+{VERSION}.{}.{seal}", digits(subject.ticket, 1));
        (local.len() <= MAX_LOCAL_PART && !local.starts_with('+')).then(|| format!("{local}@{host}"))
    }

    fn seal(&self, subject: &Subject<'_>, message: &str) -> Option<String> {
        let key = self.keys.first()?;
        let tag = tag(key, subject.recipient);
        let mac = mac(
            key,
            subject.project,
            subject.ticket,
            message,
            tag,
            subject.expires,
        )
        .finalize()
        .into_bytes();
        let mut seal = digits(subject.expires.into(), DAY_CHARS);
        // After the year 4840, a token would be one character longer.
        if seal.len() != DAY_CHARS {
            return None;
        }
        seal.push_str(&digits(tag.into(), TAG_CHARS));
        for group in mac.get(..MAC_BYTES)?.chunks(5) {
            let value = group
                .iter()
                .fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
            seal.push_str(&digits(value, 8));
        }
        Some(seal)
    }

    /// Judges a token that came in a mail to this project. `senders` are the addresses that may use it: who the mail
    /// says it is from, and whom a bounce is about. `today` is counted from 1970-01-01.
    pub fn verify(&self, token: &Token, project: &str, senders: &[&str], today: u32) -> Verdict {
        let good = |key: &&Hmac<Sha256>| {
            let mac = mac(key, project, token.ticket, &token.message, token.tag, token.day);
            // Takes the same time wherever they differ.
            mac.verify_truncated_left(&token.mac).is_ok()
        };
        let Some(key) = self.keys.iter().find(good) else {
            return Verdict::Forged;
        };
        if !senders.iter().any(|sender| tag(key, sender) == token.tag) {
            return Verdict::OtherRecipient;
        }
        if token.day < today {
            return Verdict::Expired;
        }
        Verdict::Valid
    }
}

/// Two addresses are one if they differ in case or in space around them only. What stands behind a `+` counts: it is
/// not everywhere the same person's.
pub fn normalise_address(address: &str) -> String {
    address.trim().to_lowercase()
}

fn tag(key: &Hmac<Sha256>, recipient: &str) -> u32 {
    let mut mac = key.clone();
    mac.update(b"recipient\0");
    mac.update(normalise_address(recipient).as_bytes());
    let first: [u8; 4] = mac
        .finalize()
        .into_bytes()
        .first_chunk()
        .copied()
        .unwrap_or_default();
    u32::from_be_bytes(first) >> 2
}

fn mac(key: &Hmac<Sha256>, project: &str, ticket: u64, message: &str, tag: u32, day: u32) -> Hmac<Sha256> {
    let mut mac = key.clone();
    mac.update(b"thread\0");
    mac.update(VERSION.as_bytes());
    // Lengths in front: no two subjects share one encoding.
    for text in [project, message] {
        mac.update(&(text.len() as u64).to_be_bytes());
        mac.update(text.as_bytes());
    }
    mac.update(&ticket.to_be_bytes());
    mac.update(&tag.to_be_bytes());
    mac.update(&day.to_be_bytes());
    mac
}

/// What names a message: it goes into a local part as it is.
fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=MAX_MESSAGE).contains(&text.len()) && text.bytes().all(fits)
}

/// A number in base 32, with zeros in front up to `width`.
fn digits(mut value: u64, width: usize) -> String {
    let mut out = Vec::new();
    while value > 0 || out.len() < width {
        out.push(ALPHABET[(value & 31) as usize]);
        value >>= 5;
    }
    out.reverse();
    out.into_iter().map(char::from).collect()
}

fn number(text: &str) -> Option<u64> {
    // Twelve characters are 60 bits.
    if text.is_empty() || text.len() > 12 {
        return None;
    }
    text.bytes().try_fold(0_u64, |value, byte| {
        let digit = ALPHABET.iter().position(|known| *known == byte)?;
        Some((value << 5) | digit as u64)
    })
}

fn bytes(text: &str) -> Option<[u8; MAC_BYTES]> {
    let mut out = [0_u8; MAC_BYTES];
    for (group, place) in text.as_bytes().chunks(8).zip(out.chunks_mut(5)) {
        let value = number(std::str::from_utf8(group).ok()?)?;
        place.copy_from_slice(value.to_be_bytes().get(3..)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: u32 = 20_781;

    fn signer() -> Signer {
        Signer::new([&[7; 32]])
    }

    fn subject<'a>() -> Subject<'a> {
        Subject {
            project: "prj_1",
            ticket: 42,
            recipient: "ada@example.test",
            expires: TODAY + 365,
        }
    }

    fn verdict(token: &Token) -> Verdict {
        signer().verify(token, "prj_1", &["ada@example.test"], TODAY)
    }

    fn id() -> String {
        signer()
            .message_id(&subject(), "ent_01KB", "desk.example")
            .unwrap()
    }

    fn address() -> String {
        signer().reply_address(&subject(), "help@desk.example").unwrap()
    }

    #[test]
    fn what_we_made_comes_back_valid() {
        let token = Token::from_message_id(&format!("<{}>", id())).unwrap();
        assert_eq!((token.ticket(), token.message()), (42, "ent_01kb"));
        assert_eq!(verdict(&token), Verdict::Valid);
        let token = Token::from_address(&address()).unwrap();
        assert_eq!((token.ticket(), token.message()), (42, ""));
        assert_eq!(verdict(&token), Verdict::Valid);
    }

    #[test]
    fn capitals_and_tags_of_relays_do_no_harm() {
        let token = Token::from_address(&address().to_uppercase()).unwrap();
        assert_eq!(verdict(&token), Verdict::Valid);
        let token = Token::from_message_id(&id().to_uppercase()).unwrap();
        assert_eq!(verdict(&token), Verdict::Valid);
        let tagged = address().replace('@', "+seen@");
        assert_eq!(verdict(&Token::from_address(&tagged).unwrap()), Verdict::Valid);
        let signer = signer();
        let token = Token::from_message_id(&id()).unwrap();
        let said = signer.verify(&token, "prj_1", &[" ADA@Example.Test "], TODAY);
        assert_eq!(said, Verdict::Valid);
    }

    #[test]
    fn every_changed_character_is_noticed() {
        for made in [id(), address()] {
            let start = made.find("mg1.").unwrap();
            let end = made.rfind('@').unwrap();
            for at in start..end {
                for other in ["0", "z", "7"] {
                    let mut changed = made.clone();
                    changed.replace_range(at..=at, other);
                    if changed.eq_ignore_ascii_case(&made) {
                        continue;
                    }
                    let token = Token::from_message_id(&changed).or_else(|| Token::from_address(&changed));
                    if let Some(token) = token {
                        assert_eq!(verdict(&token), Verdict::Forged, "{changed}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_token_serves_its_recipient_only() {
        let signer = signer();
        for made in [Token::from_message_id(&id()), Token::from_address(&address())] {
            let token = made.unwrap();
            for other in [
                "mallory@example.test",
                "ada+x@example.test",
                "ada@example.test.evil",
                "",
            ] {
                let said = signer.verify(&token, "prj_1", &[other], TODAY);
                assert_eq!(said, Verdict::OtherRecipient, "{other}");
            }
            let nobody = signer.verify(&token, "prj_1", &[], TODAY);
            assert_eq!(nobody, Verdict::OtherRecipient);
        }
    }

    #[test]
    fn a_token_serves_its_project_only() {
        let token = Token::from_message_id(&id()).unwrap();
        let said = signer().verify(&token, "prj_2", &["ada@example.test"], TODAY);
        assert_eq!(said, Verdict::Forged);
    }

    #[test]
    fn a_reply_address_is_no_message_id_and_the_other_way_round() {
        assert_eq!(Token::from_message_id(&address()), None);
        let local = id().split_once('@').unwrap().0.to_owned();
        assert_eq!(Token::from_address(&format!("help+{local}@desk.example")), None);
        // The seal of one, dressed as the other.
        let seal = address().split(['.', '@']).nth(2).unwrap().to_owned();
        let token = Token::from_message_id(&format!("mg1.1a.ent_01kb.{seal}@x")).unwrap();
        assert_eq!(verdict(&token), Verdict::Forged);
    }

    #[test]
    fn its_last_day_is_its_last() {
        let token = Token::from_message_id(&id()).unwrap();
        let on = |day| signer().verify(&token, "prj_1", &["ada@example.test"], day);
        assert_eq!(on(TODAY + 365), Verdict::Valid);
        assert_eq!(on(TODAY + 366), Verdict::Expired);
    }

    #[test]
    fn an_older_key_still_verifies_and_a_removed_one_does_not() {
        let token = Token::from_message_id(&id()).unwrap();
        let senders = ["ada@example.test"];
        let rotated = Signer::new([&[8; 32], &[7; 32]]);
        assert_eq!(rotated.verify(&token, "prj_1", &senders, TODAY), Verdict::Valid);
        let without = Signer::new([&[8; 32]]);
        assert_eq!(without.verify(&token, "prj_1", &senders, TODAY), Verdict::Forged);
        let none = Signer::new([]);
        assert_eq!(none.verify(&token, "prj_1", &senders, TODAY), Verdict::Forged);
        assert_eq!(none.message_id(&subject(), "m", "h"), None);
    }

    #[test]
    fn an_address_is_never_longer_than_relays_take() {
        let signer = signer();
        let long = Subject {
            ticket: 1_000_000,
            ..subject()
        };
        let made = signer
            .reply_address(&long, "customer-service@desk.example")
            .unwrap();
        assert!(made.split_once('@').unwrap().0.len() <= 64, "{made}");
        assert_eq!(
            signer.reply_address(&long, &format!("{}@d.example", "x".repeat(30))),
            None
        );
        assert_eq!(signer.reply_address(&subject(), "@d.example"), None);
        assert_eq!(signer.reply_address(&subject(), "help"), None);
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in [
            "",
            "@",
            "mg1",
            "mg1.",
            "mg1..",
            "mg1.1a@x",
            "mg1.1a.x@x",
            "mg2.1a.x.y@x",
            "a@b",
            "help+mg1.@x",
            "mg1.ééééé.ent.éééééééééééééééééééééééééééééééééé@x",
            "+mg1.1a.@x",
        ] {
            assert_eq!(Token::from_message_id(text), None, "{text}");
            assert_eq!(Token::from_address(text), None, "{text}");
        }
        let long = format!("{}@x", "mg1.".repeat(100_000));
        assert_eq!(Token::from_message_id(&long), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_takes_it_down_and_none_is_believed(text in "\\PC{0,200}") {
            for token in [Token::from_message_id(&text), Token::from_address(&text)].into_iter().flatten() {
                proptest::prop_assert_eq!(verdict(&token), Verdict::Forged);
            }
        }

        #[test]
        fn every_number_and_name_comes_back(ticket in 1_u64..1 << 60, name in "[a-z0-9_-]{1,40}") {
            let subject = Subject { ticket, ..subject() };
            let id = signer().message_id(&subject, &name, "h.example").unwrap();
            let token = Token::from_message_id(&id).unwrap();
            proptest::prop_assert_eq!((token.ticket(), token.message()), (ticket, name.as_str()));
            proptest::prop_assert_eq!(verdict(&token), Verdict::Valid);
        }
    }
}

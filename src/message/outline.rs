//! What rules and the guard against loops look at of a mail: sender, recipients, header, kind, attachments, verdicts.
//! Pure; made while the mail is parsed, and made again from what is stored.

use std::collections::HashSet;

use mailgrant_mail::{Address, AutomatedKind, HeaderField, ParsedMail};

/// Bytes of a header field that are kept; there are no more fields than the parser reads.
const MAX_VALUE: usize = 2_048;
/// Recipients and attachments that are kept.
const MAX_ITEMS: usize = 200;

/// Header fields in which servers note whom a mail was for.
const ENVELOPE_RECIPIENT: [&str; 3] = ["Delivered-To", "X-Original-To", "Envelope-To"];

/// What sort of mail it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A person seems to have written it.
    #[default]
    Person,
    /// A delivery failed or is delayed.
    Bounce,
    /// An answer nobody wrote.
    AutoReply,
    /// An abuse report.
    Report,
    /// Mailing list, newsletter, notification.
    Bulk,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Person,
        Self::Bounce,
        Self::AutoReply,
        Self::Report,
        Self::Bulk,
    ];

    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Bounce => "bounce",
            Self::AutoReply => "auto-reply",
            Self::Report => "report",
            Self::Bulk => "bulk",
        }
    }

    /// Reads the text of the database and the API.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A part that came as a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its media type, lower case.
    pub media_type: String,
}

/// What is looked at of a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Address of its first author, lower case; empty if there is none.
    pub sender: String,
    /// Addresses it was for, lower case: To, Cc, and whom the servers name.
    pub recipients: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// Its header fields, the topmost first.
    pub fields: Vec<HeaderField>,
    /// How many servers it has passed.
    pub received: usize,
    /// What it is.
    pub kind: Kind,
    /// What was found that says so.
    pub evidence: Vec<String>,
    /// Its files.
    pub files: Vec<File>,
    /// SPF, DKIM and DMARC by a trusted server; `unknown` otherwise.
    pub spf: String,
    /// See `spf`.
    pub dkim: String,
    /// See `spf`.
    pub dmarc: String,
    /// The Message-ID of the mail that a bounce is about.
    pub bounced_id: Option<String>,
}

impl Outline {
    /// From the parsed mail and its header fields.
    pub fn of(mail: &ParsedMail, mut fields: Vec<HeaderField>) -> Self {
        let received = count(&fields, "Received");
        let recipients = recipients(mail, &fields);
        for field in &mut fields {
            field.value.truncate(field.value.floor_char_boundary(MAX_VALUE));
        }
        let extras = &mail.mailgrant;
        let automated = extras.automated.as_ref();
        let files = mail.attachments.iter().take(MAX_ITEMS).map(|part| File {
            name: part.name.clone().unwrap_or_default(),
            media_type: part.r#type.clone(),
        });
        Self {
            sender: addresses(&mail.from).next().unwrap_or_default(),
            recipients,
            subject: mail.subject.clone().unwrap_or_default(),
            received,
            fields,
            kind: automated.map_or(Kind::Person, |found| match found.kind {
                AutomatedKind::Bounce => Kind::Bounce,
                AutomatedKind::AutoReply => Kind::AutoReply,
                AutomatedKind::Report => Kind::Report,
                AutomatedKind::Bulk => Kind::Bulk,
            }),
            evidence: automated.map(|found| found.evidence.clone()).unwrap_or_default(),
            files: files.collect(),
            spf: extras.authentication.spf.clone(),
            dkim: extras.authentication.dkim.clone(),
            dmarc: extras.authentication.dmarc.clone(),
            bounced_id: extras
                .bounce
                .as_ref()
                .and_then(|bounce| bounce.original.message_id.clone()),
        }
    }

    /// From the stored form of a mail and the beginning of its bytes, which holds the header.
    pub fn of_stored(parsed: &str, beginning: &[u8]) -> Self {
        let mail: ParsedMail = serde_json::from_str(parsed).unwrap_or_default();
        Self::of(&mail, mailgrant_mail::header_fields(beginning))
    }

    /// The values of a header field, ASCII case ignored, the topmost first.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.as_str())
    }

    /// Whether a trusted server found that the sender's domain stands behind the mail.
    pub fn is_verified(&self) -> bool {
        self.dmarc == "pass"
    }
}

/// Each once, those of the envelope first: of a mail to very many people, the one that it was for here is kept.
fn recipients(mail: &ParsedMail, fields: &[HeaderField]) -> Vec<String> {
    let envelope = ENVELOPE_RECIPIENT.iter().flat_map(|name| {
        fields
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.trim_matches(['<', '>', ' ']).to_lowercase())
    });
    let mut seen = HashSet::new();
    envelope
        .chain(addresses(&mail.to))
        .chain(addresses(&mail.cc))
        .filter(|address| seen.insert(address.clone()))
        .take(MAX_ITEMS)
        .collect()
}

fn count(fields: &[HeaderField], name: &str) -> usize {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(name))
        .count()
}

fn addresses(list: &[Address]) -> impl Iterator<Item = String> + '_ {
    list.iter()
        .map(|address| address.email.trim().to_lowercase())
        .filter(|email| !email.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_is_the_same_from_the_mail_and_from_what_is_stored() {
        let raw = b"Delivered-To: <Desk@Example.test>\r\nReceived: from a\r\nReceived: from b\r\n\
            From: Ada <ADA@Example.test>\r\nTo: help@example.test\r\nSubject: Printer\r\n\
            Auto-Submitted: auto-replied\r\n\r\nI am away.\r\n";
        let mail = mailgrant_mail::parse(raw);
        let outline = Outline::of(&mail, mailgrant_mail::header_fields(raw));
        assert_eq!(outline.sender, "ada@example.test");
        assert_eq!(outline.recipients, ["desk@example.test", "help@example.test"]);
        assert_eq!((outline.received, outline.kind), (2, Kind::AutoReply));
        assert!(!outline.is_verified());
        let stored = serde_json::to_string(&mail).unwrap();
        assert_eq!(Outline::of_stored(&stored, raw), outline);
    }

    #[test]
    fn of_a_mail_to_very_many_the_recipient_here_and_the_last_header_field_are_seen() {
        let many: Vec<String> = (0..MAX_ITEMS + 50)
            .map(|n| format!("a{n:03}@example.test"))
            .collect();
        let stamps = "X-Stamp: 1\r\n".repeat(1_900);
        let raw = format!(
            "Delivered-To: zoe@example.test\r\nFrom: ada@example.test\r\nTo: {}\r\n{stamps}List-Id: <l.example.test>\r\n\r\nx",
            many.join(",\r\n ")
        );
        let mail = mailgrant_mail::parse(raw.as_bytes());
        let outline = Outline::of(&mail, mailgrant_mail::header_fields(raw.as_bytes()));
        assert_eq!(outline.recipients.len(), MAX_ITEMS);
        assert_eq!(outline.recipients[..2], ["zoe@example.test", "a000@example.test"]);
        assert_eq!(outline.values("List-Id").count(), 1);
    }

    #[test]
    fn a_placeholder_has_an_empty_outline() {
        assert_eq!(Outline::of_stored("{}", b"").sender, "");
        assert_eq!(Outline::of_stored("", b"").kind, Kind::Person);
    }
}

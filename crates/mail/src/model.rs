//! The parsed mail as values. Serialised, it is a JMAP Email (RFC 8621) with Mailgrant's extras in one object.
//!
//! No logic lives here; every field is nullable or empty, never missing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A mail as JMAP (RFC 8621, section 4) names it, plus [`Extras`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParsedMail {
    /// Id of the stored message; null until it is stored.
    pub id: Option<String>,
    /// Id of the raw bytes; null until they are stored.
    pub blob_id: Option<String>,
    /// Id of the conversation; null until it is stored.
    pub thread_id: Option<String>,
    /// Message-ID values without angle brackets.
    pub message_id: Vec<String>,
    /// In-Reply-To values without angle brackets.
    pub in_reply_to: Vec<String>,
    /// References values without angle brackets, oldest first.
    pub references: Vec<String>,
    /// Authors. Never empty when any sender header names an address; see the problem `from_assumed`.
    pub from: Vec<Address>,
    /// Primary recipients.
    pub to: Vec<Address>,
    /// Copied recipients.
    pub cc: Vec<Address>,
    /// Blind-copied recipients, when the sender left them in.
    pub bcc: Vec<Address>,
    /// Where answers should go.
    pub reply_to: Vec<Address>,
    /// Who submitted the mail when that is not the author.
    pub sender: Vec<Address>,
    /// Decoded subject; null when there is no Subject header.
    pub subject: Option<String>,
    /// The Date header as RFC 3339, keeping its offset.
    pub sent_at: Option<String>,
    /// Date of the newest Received header as RFC 3339.
    pub received_at: Option<String>,
    /// At most 256 characters of the newly written text.
    pub preview: String,
    /// Size of the raw mail in bytes.
    pub size: u64,
    /// Whether a part is offered as a file, inline pictures that the HTML refers to not counted.
    pub has_attachment: bool,
    /// Parts to show when text is preferred.
    pub text_body: Vec<BodyPart>,
    /// Parts to show when HTML is preferred.
    pub html_body: Vec<BodyPart>,
    /// Decoded originals of the text parts, by part id. Never rendered: see [`Extras::html`].
    pub body_values: BTreeMap<String, BodyValue>,
    /// Everything that is not body.
    pub attachments: Vec<BodyPart>,
    /// What JMAP has no place for.
    pub mailgrant: Extras,
}

/// A mailbox address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// Display name. Text to show, never authority.
    pub name: Option<String>,
    /// The address as written; may be anything a sender typed.
    pub email: String,
}

/// One MIME part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BodyPart {
    /// Names the part inside this mail: `2`, or `2/1` for the first file inside part 2.
    pub part_id: String,
    /// Id of the part's bytes; null until the mail is stored.
    pub blob_id: Option<String>,
    /// File name, decoded; never a path.
    pub name: Option<String>,
    /// Media type in lower case, without parameters.
    pub r#type: String,
    /// Decoded size in bytes.
    pub size: u64,
    /// Declared charset in lower case.
    pub charset: Option<String>,
    /// `inline`, `attachment` or what the sender wrote, in lower case.
    pub disposition: Option<String>,
    /// Content-ID without angle brackets.
    pub cid: Option<String>,
}

/// The decoded text of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BodyValue {
    /// Text with LF line ends.
    pub value: String,
    /// The charset or the transfer encoding was wrong, missing or broken.
    pub is_encoding_problem: bool,
    /// Cut at the size limit; the raw mail has the rest.
    pub is_truncated: bool,
}

/// Mailgrant's own findings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extras {
    /// Text form of the whole body.
    pub text: String,
    /// Sanitised HTML; null when the mail has none or it is too large or too deep to clean.
    pub html: Option<String>,
    /// What was newly written, what was quoted, the signature.
    pub reply: Reply,
    /// Null when a person seems to have written the mail.
    pub automated: Option<Automated>,
    /// Null unless the mail reports a failed or delayed delivery.
    pub bounce: Option<Bounce>,
    /// Verdicts of a server that the mailbox trusts.
    pub authentication: Authentication,
    /// Parts worth naming beyond body and attachments.
    pub parts: Vec<NotablePart>,
    /// What was wrong with the mail and what was assumed.
    pub problems: Vec<Problem>,
}

/// The body split by authorship.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// What the person newly wrote, with the quoted lines that inline answers need.
    pub text: String,
    /// What they quoted; null when nothing was.
    pub quoted: Option<String>,
    /// Their signature; null when none was recognised.
    pub signature: Option<String>,
    /// Covers [`Extras::text`] from 0 to its length without gap or overlap.
    pub segments: Vec<Segment>,
    /// How the split was found: `none`, `html`, `header`, `marker` or `inline`.
    pub method: String,
    /// 0 to 1.
    pub confidence: f64,
}

/// A stretch of [`Extras::text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// Whose words these are.
    pub kind: SegmentKind,
    /// UTF-8 byte offset of the first byte.
    pub start: usize,
    /// UTF-8 byte offset after the last byte.
    pub end: usize,
}

/// Whose words a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SegmentKind {
    /// Newly written.
    Reply,
    /// Quoted, but an inline answer refers to it.
    Context,
    /// Quoted.
    Quote,
    /// Closing lines that name the writer or the device.
    Signature,
    /// A forwarded mail.
    Forward,
}

/// Why a mail counts as automatic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Automated {
    /// What it is.
    pub kind: AutomatedKind,
    /// The headers and phrases that say so.
    pub evidence: Vec<String>,
}

/// Kinds of automatic mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutomatedKind {
    /// A delivery failed or is delayed (RFC 3464 or free text).
    Bounce,
    /// An answer nobody wrote: absence note, receipt (RFC 3834).
    AutoReply,
    /// An abuse report (RFC 5965).
    Report,
    /// Mailing list, newsletter, notification.
    Bulk,
}

/// What a bounce says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bounce {
    /// Recipients the report is about.
    pub recipients: Vec<BounceRecipient>,
    /// The mail that bounced.
    pub original: BounceOriginal,
}

/// One recipient in a delivery report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BounceRecipient {
    /// The address that failed.
    pub email: String,
    /// `failed`, `delayed`, `delivered`, `relayed` or `expanded` (RFC 3464).
    pub action: String,
    /// Enhanced status code (RFC 3463), such as `5.1.1`.
    pub status: Option<String>,
    /// What the remote server answered.
    pub diagnostic: Option<String>,
}

/// The mail a delivery report is about, as far as it was returned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BounceOriginal {
    /// Its Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// Its subject.
    pub subject: Option<String>,
}

/// SPF, DKIM and DMARC as a trusted server found them (RFC 8601); `unknown` otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// SPF result.
    pub spf: String,
    /// DKIM result.
    pub dkim: String,
    /// DMARC result.
    pub dmarc: String,
    /// The authserv-id whose header was believed.
    pub trusted_server: Option<String>,
}

impl Default for Authentication {
    fn default() -> Self {
        let unknown = || "unknown".to_owned();
        Self {
            spf: unknown(),
            dkim: unknown(),
            dmarc: unknown(),
            trusted_server: None,
        }
    }
}

/// A part with a meaning of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotablePart {
    /// Which part.
    pub part_id: String,
    /// `calendar`, `pgp-encrypted`, `pgp-signed`, `smime-encrypted`, `smime-signed`, `tnef` or `message`.
    pub kind: String,
    /// Filled for `calendar`.
    pub calendar: Option<Calendar>,
}

/// The first event of a calendar part (RFC 5545).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Calendar {
    /// `REQUEST`, `REPLY`, `CANCEL` and so on.
    pub method: Option<String>,
    /// Address of the organizer.
    pub organizer: Option<String>,
    /// DTSTART as written, RFC 3339 where it is UTC.
    pub start: Option<String>,
    /// DTEND as written, RFC 3339 where it is UTC.
    pub end: Option<String>,
    /// Title.
    pub summary: Option<String>,
}

/// Something wrong with the mail and what was assumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Machine-readable, snake case.
    pub code: String,
    /// For people.
    pub detail: String,
}

impl Problem {
    /// A problem with its explanation.
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            detail: detail.into(),
        }
    }
}

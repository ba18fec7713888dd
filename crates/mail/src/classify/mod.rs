//! What a mail is: bounce, automatic answer, abuse report, bulk, or written by a person.
//!
//! Structure is asked first (RFC 3464, RFC 5965, RFC 8098), then headers, then the free text of a notification, which
//! counts only when the sender is a mail system. Phrases are data in `phrases`.

mod addresses;
mod authentication;
mod auto_reply;
mod bounce_recipients;
mod bounce_text;
mod dsn;
mod original;
mod phrases;

pub(crate) use authentication::verdict as authentication;

use crate::header::{self, Headers};
use crate::model::{Automated, AutomatedKind, Bounce, ParsedMail};
use crate::prescan::Structure;
use crate::{charset, encoded_word, transfer};

/// Bytes of text and of a machine-readable report that are looked at.
const MAX_TEXT: usize = 64 << 10;

/// The outcome for one mail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Classification {
    pub automated: Option<Automated>,
    pub bounce: Option<Bounce>,
}

/// What the rules look at.
pub(crate) struct Input<'a> {
    pub raw: &'a [u8],
    pub found: &'a Structure<'a>,
    pub mail: &'a ParsedMail,
}

impl<'a> Input<'a> {
    fn headers(&self) -> &Headers<'a> {
        &self.found.parts[0].headers
    }

    /// A header's decoded value.
    fn header(&self, name: &str) -> Option<String> {
        self.headers()
            .first(name)
            .map(|v| encoded_word::decode(&header::unfold(v), None))
    }

    /// The text form, as far as it is looked at.
    fn text(&self) -> &'a str {
        clip(&self.mail.mailgrant.text)
    }

    /// The decoded start of a leaf of that type.
    fn part(&self, wanted: &[&str]) -> Option<String> {
        self.parts(wanted).next()
    }

    fn parts<'s>(&'s self, wanted: &'s [&'s str]) -> impl Iterator<Item = String> + 's {
        self.found
            .parts
            .iter()
            .filter(|p| !p.is_multipart && wanted.contains(&p.content_type.value.as_str()))
            .map(|p| {
                let body = self.raw.get(p.body.clone()).unwrap_or_default();
                let (bytes, _) = transfer::decode(&body[..body.len().min(2 * MAX_TEXT)], p.encoding);
                charset::decode(
                    &bytes[..bytes.len().min(MAX_TEXT)],
                    p.content_type.param("charset"),
                )
                .text
            })
    }
}

fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// Classifies a parsed mail.
pub(crate) fn classify(input: &Input<'_>) -> Classification {
    if let Some(evidence) = abuse_report(input) {
        return automated(AutomatedKind::Report, vec![evidence]);
    }
    if let Some(found) = dsn::find(input) {
        return delivery_report(input, found);
    }
    if let Some(found) = bounce_text::find(input) {
        let bounce = Bounce {
            recipients: found.recipients,
            original: original::find(input),
        };
        return Classification {
            bounce: Some(bounce),
            ..automated(AutomatedKind::Bounce, found.evidence)
        };
    }
    if let Some(evidence) = auto_reply::find(input) {
        return automated(AutomatedKind::AutoReply, evidence);
    }
    match bulk(input) {
        evidence if evidence.is_empty() => Classification::default(),
        evidence => automated(AutomatedKind::Bulk, evidence),
    }
}

fn automated(kind: AutomatedKind, evidence: Vec<String>) -> Classification {
    Classification {
        automated: Some(Automated { kind, evidence }),
        bounce: None,
    }
}

fn abuse_report(input: &Input<'_>) -> Option<String> {
    let declared = input.found.parts[0].content_type.param("report-type") == Some("feedback-report");
    let part = input
        .found
        .parts
        .iter()
        .any(|p| p.content_type.value == "message/feedback-report");
    (declared || part).then(|| "message/feedback-report".to_owned())
}

/// A report in the form of RFC 3464. One that only says that all went well is an automatic answer, not a bounce.
fn delivery_report(input: &Input<'_>, found: dsn::Report) -> Classification {
    let bad = |action: &str| !matches!(action, "delivered" | "relayed" | "expanded");
    if !found.recipients.is_empty() && !found.recipients.iter().any(|r| bad(&r.action)) {
        return automated(
            AutomatedKind::AutoReply,
            vec![format!("{}: delivered", found.evidence)],
        );
    }
    let mut recipients: Vec<_> = found.recipients.into_iter().filter(|r| bad(&r.action)).collect();
    if recipients.is_empty() {
        recipients = bounce_recipients::find(input);
    }
    let bounce = Bounce {
        recipients,
        original: original::find(input),
    };
    Classification {
        bounce: Some(bounce),
        ..automated(AutomatedKind::Bounce, vec![found.evidence])
    }
}

fn bulk(input: &Input<'_>) -> Vec<String> {
    let mut evidence = Vec::new();
    for name in [
        "List-Id",
        "List-Unsubscribe",
        "List-Post",
        "Feedback-ID",
        "X-Campaign-ID",
        "X-Mailgun-Sid",
        "X-SG-EID",
    ] {
        if input.headers().first(name).is_some() {
            evidence.push(name.to_owned());
        }
    }
    if let Some(value) = input.header("Precedence")
        && ["bulk", "list", "junk"]
            .iter()
            .any(|p| value.eq_ignore_ascii_case(p))
    {
        evidence.push(format!("Precedence: {}", value.to_ascii_lowercase()));
    }
    if let Some(value) = input.header("Auto-Submitted")
        && value.to_ascii_lowercase().starts_with("auto")
    {
        evidence.push(format!("Auto-Submitted: {:.40}", value.to_ascii_lowercase()));
    }
    let local = sender_local(input.mail);
    if [
        "noreply",
        "no-reply",
        "donotreply",
        "do-not-reply",
        "no_reply",
        "do_not_reply",
    ]
    .iter()
    .any(|n| local.contains(n))
    {
        evidence.push(format!("sender {local:.40}"));
    }
    evidence
}

/// The local part of the first author, in lower case.
fn sender_local(mail: &ParsedMail) -> String {
    let email = mail.from.first().map(|a| a.email.as_str()).unwrap_or_default();
    email.split('@').next().unwrap_or_default().to_ascii_lowercase()
}

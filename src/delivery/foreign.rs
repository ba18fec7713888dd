//! Incoming mails as Postmark and Mailgun send them, so that receivers made for those services work as they are.
//!
//! A body is never larger than [`MAX_BODY_BYTES`]. What is left out for that is marked (`IsTruncated`, `is-truncated`),
//! and the address of the whole mail stands beside it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::files::Files;
use super::payload::{Body, MAX_BODY_BYTES, json_body};
use super::sign::Stamp;
use crate::clock::from_ms;
use crate::event::Event;

/// How much of a mail is taken.
struct Measure {
    /// Bytes of each text.
    text: usize,
    /// Entries of each list.
    list: usize,
    /// Bytes of a subject, a name, an address.
    line: usize,
}

const fn measure(text: usize, list: usize, line: usize) -> Measure {
    Measure { text, list, line }
}

/// From generous to what fits whatever the mail is: texts give way first, and a long list before the rest of them.
const MEASURES: [Measure; 7] = [
    measure(64 * 1024, usize::MAX, 10_000),
    measure(16 * 1024, usize::MAX, 10_000),
    measure(64 * 1024, 50, 2_000),
    measure(16 * 1024, 50, 1_000),
    measure(4 * 1024, 25, 500),
    measure(1024, 25, 100),
    measure(256, 10, 60),
];

/// The first that is no larger than it may be.
fn fitting<T>(make: impl Fn(&Measure) -> T, size: impl Fn(&T) -> usize) -> T {
    let [generous @ .., smallest] = &MEASURES;
    generous
        .iter()
        .map(&make)
        .find(|made| size(made) <= MAX_BODY_BYTES)
        .unwrap_or_else(|| make(smallest))
}

/// Takes no more than its measure allows, and knows whether anything was left out.
struct Knife<'a> {
    measure: &'a Measure,
    has_cut: bool,
}

impl Knife<'_> {
    fn cut(&mut self, text: &str, most: usize) -> String {
        self.has_cut |= text.len() > most;
        text[..text.floor_char_boundary(most)].to_owned()
    }

    fn text(&mut self, text: &str) -> String {
        self.cut(text, self.measure.text)
    }

    fn line(&mut self, value: &Value) -> String {
        self.cut(value.as_str().unwrap_or_default(), self.measure.line)
    }

    /// Names and addresses. Half an address would be another one: one that is too long is left out.
    fn people(&mut self, list: &Value) -> Vec<(String, String)> {
        let mut kept = Vec::new();
        for person in list.as_array().into_iter().flatten() {
            let address = person["email"].as_str().unwrap_or_default();
            if kept.len() >= self.measure.list || address.len() > self.measure.line {
                self.has_cut = true;
                continue;
            }
            kept.push((self.line(&person["name"]), address.to_owned()));
        }
        kept
    }

    /// Message-IDs as a header has them; of many the last ones, which the mail answers.
    fn ids(&mut self, list: &Value) -> String {
        let all: Vec<&str> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let last = all.len().saturating_sub(self.measure.list);
        let kept: Vec<String> = all[last..]
            .iter()
            .filter(|id| id.len() <= self.measure.line)
            .map(|id| format!("<{id}>"))
            .collect();
        self.has_cut |= kept.len() < all.len();
        kept.join(" ")
    }

    /// The texts of a body, one after the other.
    fn body(&mut self, email: &Value, list: &str, wanted: &str) -> String {
        let mut texts = Vec::new();
        for part in email[list].as_array().into_iter().flatten() {
            let value = &email["bodyValues"][part["partId"].as_str().unwrap_or_default()];
            if part["type"] == wanted
                && let Some(text) = value["value"].as_str()
            {
                self.has_cut |= value["isTruncated"] == true;
                texts.push(text);
            }
        }
        self.text(&texts.join("\n"))
    }

    fn attachments(&mut self, list: &Value) -> Vec<Attached> {
        let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
        self.has_cut |= all.len() > self.measure.list;
        all.iter()
            .take(self.measure.list)
            .map(|part| Attached {
                name: self.line(&part["name"]),
                kind: self.line(&part["type"]),
                cid: self.line(&part["cid"]),
                size: part["size"].as_u64().unwrap_or(0),
                url: part["url"].as_str().unwrap_or_default().to_owned(),
            })
            .collect()
    }
}

/// A file of the mail.
struct Attached {
    name: String,
    kind: String,
    cid: String,
    size: u64,
    url: String,
}

impl Attached {
    /// As Postmark has it.
    fn whole(&self, bytes: &[u8]) -> Value {
        json!({
            "Name": self.name, "ContentType": self.kind, "ContentLength": bytes.len(), "ContentID": self.cid,
            "Content": STANDARD.encode(bytes), "ContentUrl": self.url,
        })
    }

    /// In place of one that has no room: a text that says where it is, which every receiver keeps like a file. An empty
    /// file would be taken for the real one.
    fn elsewhere(&self) -> Value {
        let Self {
            name,
            kind,
            size,
            url,
            ..
        } = self;
        let text = format!(
            "The file \"{name}\" ({kind}, {size} bytes) is too large for a webhook. It is at\r\n{url}\r\n"
        );
        json!({
            "Name": format!("{name}.txt"), "ContentType": "text/plain", "ContentLength": text.len(), "ContentID": "",
            "Content": STANDARD.encode(text), "ContentUrl": url,
        })
    }
}

/// The parts of a message that both formats name in their own way.
struct Parts {
    from: Vec<(String, String)>,
    to: Vec<(String, String)>,
    cc: Vec<(String, String)>,
    reply_to: String,
    subject: String,
    message_id: String,
    in_reply_to: String,
    references: String,
    date: String,
    text: String,
    html: String,
    stripped: String,
    attachments: Vec<Attached>,
    raw_url: String,
    is_cut: bool,
}

fn written((name, email): &(String, String)) -> String {
    if name.is_empty() {
        email.clone()
    } else {
        format!("\"{}\" <{email}>", name.replace(['"', '\\'], "'"))
    }
}

fn all_written(people: &[(String, String)]) -> String {
    people.iter().map(written).collect::<Vec<_>>().join(", ")
}

impl Parts {
    fn of(email: Option<&Value>, event: &Event, measure: &Measure) -> Self {
        let nothing = json!({});
        let email = email.unwrap_or(&nothing);
        let mut knife = Knife {
            measure,
            has_cut: false,
        };
        let text = knife.body(email, "textBody", "text/plain");
        let stripped = match email["mailgrant"]["reply"]["text"].as_str() {
            Some(reply) => knife.text(reply),
            None => text.clone(),
        };
        let message_id = knife.ids(&json!([email["messageId"][0]]));
        Self {
            from: knife.people(&email["from"]),
            to: knife.people(&email["to"]),
            cc: knife.people(&email["cc"]),
            reply_to: all_written(&knife.people(&email["replyTo"])),
            subject: knife.line(&email["subject"]),
            message_id: if message_id.is_empty() {
                event.id.clone()
            } else {
                message_id
            },
            in_reply_to: knife.ids(&email["inReplyTo"]),
            references: knife.ids(&email["references"]),
            date: email["sentAt"]
                .as_str()
                .and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok())
                .map_or_else(
                    || from_ms(event.created_at).to_rfc2822(),
                    |date| date.to_rfc2822(),
                ),
            html: knife.body(email, "htmlBody", "text/html"),
            stripped,
            text,
            attachments: knife.attachments(&email["attachments"]),
            raw_url: email["mailgrant"]["rawUrl"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            is_cut: knife.has_cut,
        }
    }

    /// The headers that say what it answers, as far as it has them.
    fn threading(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("In-Reply-To", self.in_reply_to.as_str()),
            ("References", self.references.as_str()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    }
}

/// The body of Postmark's inbound webhook. Files are in it as long as there is room.
pub(super) fn postmark(email: Option<&Value>, event: &Event, files: &Files) -> Body {
    let (mut whole, parts) = fitting(
        |measure| {
            let parts = Parts::of(email, event, measure);
            (postmark_json(&parts, event), parts)
        },
        |(whole, _)| whole.to_string().len(),
    );
    let mut room = MAX_BODY_BYTES.saturating_sub(whole.to_string().len());
    let ids = email.and_then(|email| email["attachments"].as_array());
    let ids = ids.into_iter().flatten().map(|part| part["partId"].as_str());
    for (index, (file, id)) in parts.attachments.iter().zip(ids).enumerate() {
        let here = &mut whole["Attachments"][index];
        let taken = here.to_string().len();
        let inside = id.and_then(|id| files.get(id)).map(|bytes| file.whole(bytes));
        match inside.map(|inside| (inside.to_string().len(), inside)) {
            Some((size, inside)) if size <= room + taken => {
                room = room + taken - size;
                *here = inside;
            }
            _ => whole["IsTruncated"] = json!(true),
        }
    }
    json_body(&whole)
}

fn postmark_json(parts: &Parts, event: &Event) -> Value {
    let full = |people: &[(String, String)]| -> Vec<Value> {
        people
            .iter()
            .map(|(name, email)| {
                let tag = email
                    .split('@')
                    .next()
                    .and_then(|local| local.split_once('+'))
                    .map_or("", |(_, tag)| tag);
                json!({ "Email": email, "Name": name, "MailboxHash": tag })
            })
            .collect()
    };
    let from = parts.from.first().cloned().unwrap_or_default();
    let hash = full(&parts.to)
        .first()
        .map_or(Value::Null, |person| person["MailboxHash"].clone());
    let headers: Vec<Value> = std::iter::once(("Message-ID", parts.message_id.as_str()))
        .chain(parts.threading())
        .map(|(name, value)| json!({ "Name": name, "Value": value }))
        .collect();
    let attachments: Vec<Value> = parts.attachments.iter().map(Attached::elsewhere).collect();
    json!({
        "MessageStream": "inbound",
        "From": from.1, "FromName": from.0,
        "FromFull": { "Email": from.1, "Name": from.0, "MailboxHash": "" },
        "To": all_written(&parts.to), "ToFull": full(&parts.to),
        "Cc": all_written(&parts.cc), "CcFull": full(&parts.cc),
        "Bcc": "", "BccFull": [],
        "OriginalRecipient": parts.to.first().map(|person| &person.1),
        "ReplyTo": parts.reply_to, "Subject": parts.subject, "MessageID": event.subject_id, "Date": parts.date,
        "MailboxHash": hash, "TextBody": parts.text, "HtmlBody": parts.html, "StrippedTextReply": parts.stripped,
        "Tag": "", "Headers": headers, "Attachments": attachments,
        "IsTruncated": parts.is_cut, "RawUrl": parts.raw_url,
    })
}

/// The body of a mail that Mailgun stored: files are at their addresses.
pub(super) fn mailgun(email: Option<&Value>, event: &Event, stamp: &Stamp) -> Body {
    let body = fitting(
        |measure| mailgun_form(&Parts::of(email, event, measure), stamp),
        String::len,
    );
    Body {
        bytes: body.into_bytes(),
        content_type: "application/x-www-form-urlencoded",
    }
}

fn mailgun_form(parts: &Parts, stamp: &Stamp) -> String {
    let sender = parts.from.first().map_or("", |from| from.1.as_str());
    let recipient = parts.to.first().map_or("", |to| to.1.as_str());
    let (from, to) = (all_written(&parts.from), all_written(&parts.to));
    let headers: Vec<(&str, &str)> = [
        ("Message-Id", parts.message_id.as_str()),
        ("Subject", parts.subject.as_str()),
        ("From", from.as_str()),
        ("To", to.as_str()),
        ("Date", parts.date.as_str()),
    ]
    .into_iter()
    .chain(parts.threading())
    .collect();
    let attachments: Vec<Value> = parts
        .attachments
        .iter()
        .map(|file| {
            json!({ "url": file.url, "name": file.name, "content-type": file.kind, "size": file.size })
        })
        .collect();
    let fields = [
        ("timestamp", stamp.timestamp.as_str()),
        ("token", stamp.token.as_str()),
        ("signature", stamp.signature.as_str()),
        ("recipient", recipient),
        ("sender", sender),
        ("from", from.as_str()),
        ("To", to.as_str()),
        ("Cc", &all_written(&parts.cc)),
        ("subject", parts.subject.as_str()),
        ("Message-Id", parts.message_id.as_str()),
        ("Date", parts.date.as_str()),
        ("body-plain", parts.text.as_str()),
        ("stripped-text", parts.stripped.as_str()),
        ("body-html", parts.html.as_str()),
        ("attachments", &Value::Array(attachments).to_string()),
        ("message-headers", &json!(headers).to_string()),
        ("is-truncated", if parts.is_cut { "true" } else { "false" }),
        ("raw-url", parts.raw_url.as_str()),
    ];
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .extend_pairs(parts.threading())
        .finish()
}

#[cfg(test)]
mod tests;

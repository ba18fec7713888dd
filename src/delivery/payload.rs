//! An event as the body of a request.
//!
//! `full` has the message in it, up to [`MAX_BODY_BYTES`]; beyond that its texts are cut and marked, and the addresses
//! of the whole thing stand beside. `postmark` and `mailgun` look like what those services send for an incoming mail,
//! so that a receiver made for them works as it is; they are for `message.received`.

use serde_json::{Value, json};

use super::model::{Format, Payload};
use crate::clock::from_ms;
use crate::config::Config;
use crate::event::{Event, envelope};
use crate::message::{self, Message};

/// The largest body, bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// A body and what it is.
#[derive(Clone, Debug)]
pub struct Body {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their content type.
    pub content_type: &'static str,
}

/// The message an event is about, by its id; none for other events.
pub fn message_id(event: &Event) -> Option<&str> {
    event
        .data
        .get("messageId")
        .and_then(Value::as_str)
        .or_else(|| event.subject_id.starts_with("msg_").then_some(&event.subject_id))
}

/// The body of a request. `key` signs in the way of Mailgun, and only there.
pub fn body_of(
    config: &Config,
    event: &Event,
    message: Option<&Message>,
    format: Format,
    payload: Payload,
    key: &[u8],
) -> Body {
    let email = message.map(|message| email(config, message));
    match format {
        Format::Jmap => {
            let mut whole = envelope(event);
            if let (Payload::Full, Some(email)) = (payload, email) {
                whole["data"]["message"] = fitted(email, &whole);
            }
            json_body(&whole)
        }
        Format::Postmark => within_bounds(|cut| json_body(&postmark(email.as_ref(), event, cut))),
        Format::Mailgun => within_bounds(|cut| mailgun(email.as_ref(), event, key, cut)),
    }
}

fn json_body(value: &Value) -> Body {
    Body {
        bytes: value.to_string().into_bytes(),
        content_type: "application/json",
    }
}

/// A message as JMAP's Email, with the addresses of its bytes.
fn email(config: &Config, message: &Message) -> Value {
    let mut email = message::parsed(message);
    if !email.is_object() {
        email = json!({});
    }
    email["id"] = json!(message.id);
    email["blobId"] = json!(message.id);
    email["size"] = json!(message.size);
    email["mailgrant"]["mailboxId"] = json!(message.mailbox_id);
    email["mailgrant"]["ticketId"] = json!(message.ticket_id);
    let base = config.url(&format!("/api/v1/messages/{}", message.id));
    email["mailgrant"]["rawUrl"] = json!(format!("{base}/raw"));
    for part in email["attachments"].as_array_mut().into_iter().flatten() {
        if let Some(id) = part["partId"].as_str() {
            part["url"] = json!(format!("{base}/attachments/{id}"));
        }
    }
    email
}

/// The message cut down until the whole fits.
fn fitted(mut email: Value, around: &Value) -> Value {
    let room = MAX_BODY_BYTES.saturating_sub(around.to_string().len() + 1_024);
    let mut cut = 64 * 1024;
    while email.to_string().len() > room && cut > 0 {
        email["mailgrant"]["isTruncated"] = json!(true);
        if email["mailgrant"].get("html").is_some() {
            email["mailgrant"]["html"] = Value::Null;
        }
        for text in email["bodyValues"]
            .as_object_mut()
            .into_iter()
            .flat_map(serde_json::Map::values_mut)
        {
            if shorten(&mut text["value"], cut) {
                text["isTruncated"] = json!(true);
            }
        }
        let whole_text_is_cut = shorten(&mut email["mailgrant"]["text"], cut);
        if let Some(reply) = email["mailgrant"]
            .get_mut("reply")
            .filter(|reply| reply.is_object())
        {
            for part in ["text", "quoted", "signature"] {
                shorten(&mut reply[part], cut);
            }
            if whole_text_is_cut {
                // They count the bytes of the whole text.
                reply["segments"] = Value::Null;
            }
        }
        cut /= 4;
    }
    if email.to_string().len() > room {
        // Nothing but headers and lists of a size nobody means: the addresses are left.
        return json!({
            "id": email["id"], "blobId": email["blobId"], "size": email["size"],
            "mailgrant": {
                "isTruncated": true, "rawUrl": email["mailgrant"]["rawUrl"],
                "mailboxId": email["mailgrant"]["mailboxId"], "ticketId": email["mailgrant"]["ticketId"],
            },
        });
    }
    email
}

/// Cuts a text to so many bytes; false if it is none, or short enough.
fn shorten(text: &mut Value, cut: usize) -> bool {
    let Some(long) = text.as_str().filter(|text| text.len() > cut) else {
        return false;
    };
    *text = json!(&long[..long.floor_char_boundary(cut)]);
    true
}

/// Makes a body with shorter and shorter texts until it is no larger than it may be.
fn within_bounds(make: impl Fn(usize) -> Body) -> Body {
    let mut cut = MAX_BODY_BYTES / 4;
    loop {
        let body = make(cut);
        if body.bytes.len() <= MAX_BODY_BYTES || cut == 0 {
            return body;
        }
        cut /= 4;
    }
}

/// The parts of a message that the other formats name in their own way.
struct Parts {
    from: Vec<(String, String)>,
    to: Vec<(String, String)>,
    cc: Vec<(String, String)>,
    reply_to: String,
    subject: String,
    message_id: String,
    date: String,
    text: String,
    html: String,
    stripped: String,
    attachments: Value,
}

fn people(list: &Value) -> Vec<(String, String)> {
    let one = |person: &Value| {
        let text = |name: &str| person[name].as_str().unwrap_or_default().to_owned();
        (text("name"), text("email"))
    };
    list.as_array()
        .map(|all| all.iter().map(one).collect())
        .unwrap_or_default()
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
    /// `cut` is how many bytes of each text are taken.
    fn of(email: Option<&Value>, event: &Event, cut: usize) -> Self {
        let nothing = json!({});
        let email = email.unwrap_or(&nothing);
        let body = |list: &str| {
            let parts = email[list].as_array().map(Vec::as_slice).unwrap_or_default();
            let texts = parts.iter().filter_map(|part| {
                let id = part["partId"].as_str()?;
                let wanted = if list == "htmlBody" {
                    "text/html"
                } else {
                    "text/plain"
                };
                (part["type"].as_str() == Some(wanted))
                    .then(|| email["bodyValues"][id]["value"].as_str())
                    .flatten()
            });
            let text: String = texts.collect::<Vec<_>>().join("\n");
            text[..text.floor_char_boundary(cut)].to_owned()
        };
        let text = body("textBody");
        let reply = email["mailgrant"]["reply"]["text"]
            .as_str()
            .map(|reply| reply[..reply.floor_char_boundary(cut)].to_owned());
        Self {
            from: people(&email["from"]),
            to: people(&email["to"]),
            cc: people(&email["cc"]),
            reply_to: all_written(&people(&email["replyTo"])),
            subject: email["subject"].as_str().unwrap_or_default().to_owned(),
            message_id: email["messageId"][0]
                .as_str()
                .map_or_else(|| event.id.clone(), |id| format!("<{id}>")),
            date: email["sentAt"]
                .as_str()
                .and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok())
                .map_or_else(
                    || from_ms(event.created_at).to_rfc2822(),
                    |date| date.to_rfc2822(),
                ),
            html: body("htmlBody"),
            stripped: reply.unwrap_or_else(|| text.clone()),
            text,
            attachments: email["attachments"].clone(),
        }
    }
}

fn postmark(email: Option<&Value>, event: &Event, cut: usize) -> Value {
    let parts = Parts::of(email, event, cut);
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
    let attachments: Vec<Value> = parts
        .attachments
        .as_array()
        .into_iter()
        .flatten()
        .map(|part| {
            json!({
                "Name": part["name"], "ContentType": part["type"], "ContentLength": part["size"],
                "ContentID": part["cid"], "Content": "", "ContentUrl": part["url"],
            })
        })
        .collect();
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
        "Tag": "", "Headers": [{ "Name": "Message-ID", "Value": parts.message_id }], "Attachments": attachments,
    })
}

fn mailgun(email: Option<&Value>, event: &Event, key: &[u8], cut: usize) -> Body {
    let parts = Parts::of(email, event, cut);
    let timestamp = (event.created_at / 1_000).to_string();
    let token = crate::crypto::sha256_hex(event.id.as_bytes());
    let signature = hex::encode(crate::crypto::hmac_sha256(
        key,
        &[timestamp.as_bytes(), token.as_bytes()],
    ));
    let sender = parts.from.first().map(|from| from.1.clone()).unwrap_or_default();
    let recipient = parts.to.first().map(|to| to.1.clone()).unwrap_or_default();
    let headers = json!([
        ["Message-Id", parts.message_id],
        ["Subject", parts.subject],
        ["From", all_written(&parts.from)],
        ["To", all_written(&parts.to)],
        ["Date", parts.date],
    ]);
    let attachments: Vec<Value> = parts
        .attachments
        .as_array()
        .into_iter()
        .flatten()
        .map(|part| json!({ "url": part["url"], "name": part["name"], "content-type": part["type"], "size": part["size"] }))
        .collect();
    let fields = [
        ("timestamp", timestamp),
        ("token", token),
        ("signature", signature),
        ("recipient", recipient),
        ("sender", sender),
        ("from", all_written(&parts.from)),
        ("To", all_written(&parts.to)),
        ("Cc", all_written(&parts.cc)),
        ("subject", parts.subject.clone()),
        ("Message-Id", parts.message_id.clone()),
        ("Date", parts.date.clone()),
        ("body-plain", parts.text.clone()),
        ("stripped-text", parts.stripped.clone()),
        ("body-html", parts.html.clone()),
        ("attachments", Value::Array(attachments).to_string()),
        ("message-headers", headers.to_string()),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    Body {
        bytes: body.into_bytes(),
        content_type: "application/x-www-form-urlencoded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: "evt_01K9WQ8ZC3N5T7V9X1Y3A5C7E9".into(),
            kind: "message.received".into(),
            project_id: "prj_1".into(),
            subject_id: "msg_1".into(),
            actor: "system".into(),
            data: json!({ "mailboxId": "mbx_1" }),
            created_at: 1_800_000_000_000,
            sequence: 7,
            order_key: "msg_1".into(),
        }
    }

    fn mail(text: &str) -> Value {
        json!({
            "id": "msg_1", "blobId": "msg_1", "size": 9, "subject": "Hi \"there\"\r\nX: y", "messageId": ["a@b"],
            "from": [{ "name": "A \"B\" C", "email": "a@b.test" }],
            "to": [{ "name": null, "email": "help+42@desk.test" }], "cc": [],
            "textBody": [{ "partId": "1", "type": "text/plain" }], "htmlBody": [{ "partId": "2", "type": "text/html" }],
            "bodyValues": { "1": { "value": text }, "2": { "value": "<p>x</p>" } }, "attachments": [],
            "mailgrant": { "reply": { "text": "short" }, "rawUrl": "u" },
        })
    }

    #[test]
    fn a_message_that_is_too_large_is_cut_and_says_so() {
        let around = envelope(&event());
        let small = fitted(mail("hello"), &around);
        assert_eq!(small["bodyValues"]["1"]["value"], "hello");
        assert!(small["mailgrant"].get("isTruncated").is_none());
        let large = fitted(mail(&"ü".repeat(400_000)), &around);
        assert!(large.to_string().len() < MAX_BODY_BYTES);
        assert_eq!(large["bodyValues"]["1"]["isTruncated"], true);
        assert_eq!(large["mailgrant"]["rawUrl"], "u");
        let mut odd = mail("x");
        odd["references"] = json!(vec!["y".repeat(1_000); 1_000]);
        let odd = fitted(odd, &around);
        assert!(odd.to_string().len() < MAX_BODY_BYTES);
        assert_eq!(odd["mailgrant"]["isTruncated"], true);
    }

    /// A mail with a long answer above a long quote, as it is read here.
    fn long_mail(text: &str) -> Value {
        let quote = format!("> {text}\r\n").repeat(6_000);
        let answer = format!("{text}\r\n").repeat(6_000);
        let raw = format!(
            "From: Ada <ada@b.test>\r\nTo: help@desk.test\r\nSubject: Long\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n{answer}\r\nOn Mon, 1 Jan 2024, Bo wrote:\r\n{quote}"
        );
        serde_json::to_value(mailgrant_mail::parse(raw.as_bytes())).unwrap()
    }

    #[test]
    fn of_a_long_mail_everything_but_its_length_arrives() {
        let mut whole = envelope(&event());
        let email = fitted(
            long_mail("Der Drucker brennt schön, und das seit heute früh."),
            &whole,
        );
        assert_eq!(email["subject"], "Long");
        assert_eq!(email["from"][0]["email"], "ada@b.test");
        let extras = &email["mailgrant"];
        assert_eq!(extras["isTruncated"], true);
        for text in [
            &extras["text"],
            &extras["reply"]["text"],
            &email["bodyValues"].as_object().unwrap().values().next().unwrap()["value"],
        ] {
            assert!(text.as_str().unwrap().starts_with("Der Drucker"), "{text}");
        }
        assert_eq!(extras["reply"]["segments"], Value::Null);
        whole["data"]["message"] = email;
        assert!(whole.to_string().len() <= MAX_BODY_BYTES);
    }

    #[test]
    fn no_format_sends_more_than_may_be_sent() {
        let email = long_mail("\u{1}\"äöü\u{2}");
        for body in [
            within_bounds(|cut| json_body(&postmark(Some(&email), &event(), cut))),
            within_bounds(|cut| mailgun(Some(&email), &event(), b"key", cut)),
        ] {
            assert!(body.bytes.len() <= MAX_BODY_BYTES, "{}", body.bytes.len());
            assert!(body.bytes.len() > 8 * 1024, "{}", body.bytes.len());
        }
    }

    #[test]
    fn the_other_formats_name_what_theirs_name() {
        let theirs = postmark(Some(&mail("long")), &event(), 9);
        assert_eq!(theirs["FromFull"]["Email"], "a@b.test");
        assert_eq!(theirs["MailboxHash"], "42");
        assert_eq!(theirs["StrippedTextReply"], "short");
        assert_eq!(theirs["TextBody"], "long");
        let theirs = mailgun(Some(&mail("long")), &event(), b"key", 9);
        let fields: std::collections::HashMap<String, String> =
            url::form_urlencoded::parse(&theirs.bytes).into_owned().collect();
        assert_eq!(fields["sender"], "a@b.test");
        assert_eq!(fields["recipient"], "help+42@desk.test");
        assert_eq!(fields["stripped-text"], "short");
        let signed = hex::encode(crate::crypto::hmac_sha256(
            b"key",
            &[fields["timestamp"].as_bytes(), fields["token"].as_bytes()],
        ));
        assert_eq!(fields["signature"], signed);
    }
}

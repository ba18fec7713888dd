//! An event as the body of a request.
//!
//! `full` has the message in it, up to [`MAX_BODY_BYTES`]; beyond that its texts and lists are cut and marked, and the
//! addresses of the whole thing stand beside. What other services' receivers take is in `foreign`; it is for
//! `message.received`.

use serde_json::{Value, json};

use super::files::Files;
use super::foreign;
use super::model::{Format, Payload};
use super::sign::Stamp;
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

/// What a body is made of.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The event.
    pub event: &'a Event,
    /// The message it is about; none for other events.
    pub message: Option<&'a Message>,
    /// The files of the message, as far as the format has them in it.
    pub files: &'a Files,
}

/// The body of a request. The stamp is for formats that have their signature in the body.
pub fn body_of(
    config: &Config,
    source: &Source<'_>,
    format: Format,
    payload: Payload,
    stamp: &Stamp,
) -> Body {
    let Source {
        event,
        message,
        files,
    } = *source;
    match format {
        Format::Jmap => jmap_body(config, event, message, payload),
        Format::Postmark => {
            let email = message.map(|message| email(config, message));
            foreign::postmark(email.as_ref(), event, files)
        }
        Format::Mailgun => {
            let email = message.map(|message| email(config, message));
            foreign::mailgun(email.as_ref(), event, stamp)
        }
    }
}

/// The body of a request in our own format.
pub fn jmap_body(config: &Config, event: &Event, message: Option<&Message>, payload: Payload) -> Body {
    let mut whole = envelope(event);
    if let (Payload::Full, Some(message)) = (payload, message) {
        whole["data"]["message"] = fitted(email(config, message), &whole);
    }
    json_body(&whole)
}

pub(super) fn json_body(value: &Value) -> Body {
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
        // A list of everybody gives way before the rest of the text.
        match cut {
            4_096 => shorten_lists(&mut email, 50),
            1_024 => shorten_lists(&mut email, 25),
            _ => {}
        }
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

/// Cuts lists to so many entries.
fn shorten_lists(email: &mut Value, most: usize) {
    for list in email
        .as_object_mut()
        .into_iter()
        .flat_map(serde_json::Map::values_mut)
        .filter_map(Value::as_array_mut)
    {
        list.truncate(most);
    }
}

#[cfg(test)]
pub(super) mod testkit {
    //! An event about a mail, and mails as JMAP's Email.

    use super::*;

    pub(in crate::delivery) fn event() -> Event {
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

    pub(in crate::delivery) fn mail(text: &str) -> Value {
        json!({
            "id": "msg_1", "blobId": "msg_1", "size": 9, "subject": "Hi \"there\"\r\nX: y", "messageId": ["a@b"],
            "from": [{ "name": "A \"B\" C", "email": "a@b.test" }],
            "to": [{ "name": null, "email": "help+42@desk.test" }], "cc": [],
            "textBody": [{ "partId": "1", "type": "text/plain" }], "htmlBody": [{ "partId": "2", "type": "text/html" }],
            "bodyValues": { "1": { "value": text }, "2": { "value": "<p>x</p>" } }, "attachments": [],
            "mailgrant": { "reply": { "text": "short" }, "rawUrl": "u" },
        })
    }

    /// A mail with a long answer above a long quote, as it is read here.
    pub(in crate::delivery) fn long_mail(text: &str) -> Value {
        let quote = format!("> {text}\r\n").repeat(6_000);
        let answer = format!("{text}\r\n").repeat(6_000);
        let raw = format!(
            "From: Ada <ada@b.test>\r\nTo: help@desk.test\r\nSubject: Long\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n{answer}\r\nOn Mon, 1 Jan 2024, Bo wrote:\r\n{quote}"
        );
        serde_json::to_value(mailgrant_mail::parse(raw.as_bytes())).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testkit::{event, long_mail, mail};
    use super::*;

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
    fn a_mail_to_thousands_keeps_its_words_and_some_of_its_recipients() {
        let mut email = mail("Hello all");
        let everybody = (0..5_000)
            .map(|n| json!({ "name": "Somebody of the desk", "email": format!("person.{n}@desk.test") }));
        email["to"] = everybody.collect();
        let email = fitted(email, &envelope(&event()));
        assert_eq!(email["to"].as_array().unwrap().len(), 50);
        assert_eq!(email["bodyValues"]["1"]["value"], "Hello all");
        assert_eq!(email["mailgrant"]["isTruncated"], true);
    }
}

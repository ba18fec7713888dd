//! From raw bytes to what the ticket stage and the database need. Pure.

use mailgrant_mail::{Address, ParsedMail};
use serde_json::Value;

use super::store::Message;
use crate::search::{Document, Fields};

/// A parsed mail and the columns that lists show.
#[derive(Clone, Debug)]
pub struct Understood {
    /// The parsed mail as JSON: a JMAP Email with `mailgrant` extras.
    pub json: String,
    /// Subject; empty if there is none.
    pub subject: String,
    /// Sender's display name; text to show, never authority.
    pub from_name: String,
    /// Sender's address; empty if there is none.
    pub from_email: String,
    /// The first words of the text.
    pub preview: String,
    /// The Date header, RFC 3339; empty if there is none.
    pub sent_at: String,
    /// Whether files come with it.
    pub has_attachment: bool,
    /// Its own Message-IDs.
    pub message_ids: Vec<String>,
    /// The Message-IDs it answers, nearest first.
    pub answers: Vec<String>,
    /// Its words, for the search.
    pub words: Document,
}

impl Understood {
    /// What stands in for a mail that cannot be parsed.
    pub fn placeholder(subject: &str, preview: &str) -> Self {
        Self {
            json: "{}".into(),
            subject: subject.into(),
            from_name: String::new(),
            from_email: String::new(),
            preview: preview.into(),
            sent_at: String::new(),
            has_attachment: true,
            message_ids: Vec::new(),
            answers: Vec::new(),
            words: Document::new(Fields {
                subject,
                body: preview,
                ..Fields::default()
            }),
        }
    }
}

/// More identifiers than a conversation needs only cost queries.
const MAX_ANSWERS: usize = 50;

/// Parses a mail. Never fails; what was wrong with the mail is in the JSON's `problems`.
pub fn understand(raw: &[u8]) -> Understood {
    let mail = mailgrant_mail::parse(raw);
    let json = serde_json::to_string(&mail).unwrap_or_else(|_| "{}".to_owned());
    let json = without_nul(json);
    let from = mail.from.first();
    Understood {
        subject: clip(mail.subject.as_deref().unwrap_or_default(), 500),
        from_name: clip(
            from.and_then(|from| from.name.as_deref()).unwrap_or_default(),
            200,
        ),
        from_email: clip(from.map(|from| from.email.as_str()).unwrap_or_default(), 320),
        preview: clip(&mail.preview, 300),
        sent_at: mail.sent_at.clone().unwrap_or_default(),
        has_attachment: mail.has_attachment,
        answers: answers(&mail),
        words: document(&mail),
        message_ids: mail.message_id,
        json,
    }
}

/// The words of a stored message, for the search.
pub fn words(message: &Message) -> Document {
    match serde_json::from_str::<ParsedMail>(&message.parsed) {
        Ok(mail) => document(&mail),
        Err(_) => Document::new(Fields {
            subject: &message.subject,
            body: &message.preview,
            ..Fields::default()
        }),
    }
}

/// The words of a mail, for the search: quotes as well, since what was quoted may never have come by itself.
fn document(mail: &ParsedMail) -> Document {
    let people = |lists: &[&[Address]]| {
        let all = lists.iter().flat_map(|list| list.iter());
        all.map(|one| format!("{} {}", one.name.as_deref().unwrap_or_default(), one.email))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let files: Vec<&str> = mail
        .attachments
        .iter()
        .filter_map(|part| part.name.as_deref())
        .collect();
    Document::new(Fields {
        subject: mail.subject.as_deref().unwrap_or_default(),
        sender: &people(&[&mail.from, &mail.reply_to]),
        recipients: &people(&[&mail.to, &mail.cc, &mail.bcc]),
        body: &format!("{}\n{}", mail.mailgrant.text, files.join("\n")),
    })
}

/// JSON whose texts hold no NUL, which many a reader of it (PostgreSQL's `jsonb` among them) refuses. An escaped
/// backslash before `u0000` looks much the same and stays: only a parser can tell.
fn without_nul(json: String) -> String {
    if !json.contains("\\u0000") {
        return json;
    }
    match serde_json::from_str::<Value>(&json) {
        Ok(mut value) => {
            strip(&mut value);
            value.to_string()
        }
        Err(_) => json,
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::String(text) => text.retain(|c| c != '\0'),
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(members) => members.values_mut().for_each(strip),
        _ => {}
    }
}

fn answers(mail: &ParsedMail) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for id in mail.in_reply_to.iter().chain(mail.references.iter().rev()) {
        if !ids.contains(id) {
            ids.push(id.clone());
        }
        if ids.len() == MAX_ANSWERS {
            break;
        }
    }
    ids
}

/// At most `chars` characters, without NUL, which PostgreSQL does not store.
fn clip(text: &str, chars: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_taken_out_of_the_json_and_what_only_looks_like_one_stays() {
        let text = "a\0b \\u0000\" \\\\u0000 \\u0000";
        let json = serde_json::json!({ "text": text, "list": ["\0"] }).to_string();
        let read: Value = serde_json::from_str(&without_nul(json)).unwrap();
        assert_eq!(read["text"], text.replace('\0', ""));
        assert_eq!(read["list"][0], "");
    }
}

//! From raw bytes to what the ticket stage and the database need. Pure.

use mailgrant_mail::thread_token::normalise_address;
use mailgrant_mail::{Address, Authentication, AutomatedKind, Options, ParsedMail};
use serde_json::Value;

use super::outline::Outline;
use super::sent_hash::sent_hash;
use super::store::Message;
use super::thread;
use crate::crypto::sha256_hex;
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
    /// What tells that another message is the same mail; empty if nothing can.
    pub sent_hash: String,
    /// The Message-IDs it answers, nearest first; of a bounce, the mail that came back as well.
    pub answers: Vec<String>,
    /// Its words, for the search.
    pub words: Document,
    /// What finds its ticket.
    pub people: People,
    /// What its conversation is found by: identifiers that stand in it, or the bytes if it names none.
    pub thread_ids: Vec<String>,
    /// What rules and the guard against loops look at.
    pub outline: Outline,
    /// The parser failed and only the header could be read: such a mail is not taken for read.
    pub parser_failed: bool,
}

/// The addresses of a mail. Names and claims: text to look up, never authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// What stands in From, each address once, normalised; empty if From was missing and the sender only assumed.
    pub from: Vec<String>,
    /// To, normalised.
    pub to: Vec<String>,
    /// Cc, normalised.
    pub cc: Vec<String>,
    /// What the envelope named, as servers on the way noted it; normalised.
    pub delivered_to: Vec<String>,
    /// Whom a bounce is about, normalised; empty for any other mail.
    pub bounced: Vec<String>,
    /// What a server that the mailbox trusts says of From.
    pub verdict: SenderVerdict,
}

/// What is known of the sender of a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SenderVerdict {
    /// DMARC passed, says a server that the mailbox trusts, and From names one address.
    Verified,
    /// DMARC failed, says a server that the mailbox trusts: From is most likely a lie.
    Failed,
    /// Nobody who is trusted says anything.
    #[default]
    Unknown,
}

impl SenderVerdict {
    /// The text in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Of a parsed mail.
    pub fn of(mail: &ParsedMail) -> Self {
        let assumed = has_problem(mail, "from_assumed");
        let Authentication {
            dmarc,
            trusted_server: Some(_),
            ..
        } = &mail.mailgrant.authentication
        else {
            return Self::Unknown;
        };
        match dmarc.as_str() {
            "pass" if mail.from.len() == 1 && !assumed => Self::Verified,
            "fail" => Self::Failed,
            _ => Self::Unknown,
        }
    }
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
            sent_hash: String::new(),
            answers: Vec::new(),
            words: Document::new(Fields {
                subject,
                body: preview,
                ..Fields::default()
            }),
            people: People::default(),
            thread_ids: Vec::new(),
            outline: Outline::default(),
            parser_failed: true,
        }
    }
}

/// More identifiers than a conversation needs only cost queries.
const MAX_ANSWERS: usize = 50;

/// Addresses of one header that are kept: who writes to more people than this writes to no ticket.
const MAX_PEOPLE: usize = 100;

/// Parses a mail. Never fails; what was wrong with the mail is in the JSON's `problems`. Authentication-Results are
/// believed from `trusted` servers only.
pub fn understand(raw: &[u8], trusted: &[String]) -> Understood {
    let options = Options {
        trusted_authserv_ids: trusted.to_vec(),
    };
    of_mail(mailgrant_mail::parse_with(raw, &options), raw)
}

fn of_mail(mail: ParsedMail, raw: &[u8]) -> Understood {
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
        people: people(&mail, raw),
        thread_ids: thread::identifiers(&mail, || sha256_hex(raw)),
        outline: Outline::of(&mail, mailgrant_mail::header_fields(raw)),
        sent_hash: sent_hash(&mail, raw),
        parser_failed: has_problem(&mail, "parser_failed"),
        message_ids: mail.message_id,
        json,
    }
}

fn has_problem(mail: &ParsedMail, code: &str) -> bool {
    mail.mailgrant.problems.iter().any(|problem| problem.code == code)
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

fn people(mail: &ParsedMail, raw: &[u8]) -> People {
    let assumed = has_problem(mail, "from_assumed");
    let of = |list: &[mailgrant_mail::Address]| addresses(list.iter().map(|one| one.email.as_str()));
    let bounced = mail
        .mailgrant
        .bounce
        .iter()
        .flat_map(|bounce| &bounce.recipients)
        .map(|recipient| recipient.email.as_str());
    let delivered = mailgrant_mail::delivered_to(raw);
    People {
        from: if assumed { Vec::new() } else { of(&mail.from) },
        to: of(&mail.to),
        cc: of(&mail.cc),
        delivered_to: addresses(delivered.iter().map(String::as_str)),
        bounced: addresses(bounced),
        verdict: SenderVerdict::of(mail),
    }
}

/// Each address once, normalised; no longer than an address can be.
fn addresses<'a>(list: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for email in list {
        let email = normalise_address(email).replace('\0', "");
        if email.contains('@') && email.len() <= 320 && !out.contains(&email) {
            out.push(email);
        }
        if out.len() == MAX_PEOPLE {
            break;
        }
    }
    out
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
    let is_bounce = mail
        .mailgrant
        .automated
        .as_ref()
        .is_some_and(|automated| automated.kind == AutomatedKind::Bounce);
    let returned = mail
        .mailgrant
        .bounce
        .iter()
        .filter(|_| is_bounce)
        .filter_map(|bounce| bounce.original.message_id.as_ref());
    for id in returned
        .chain(&mail.in_reply_to)
        .chain(mail.references.iter().rev())
    {
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
    fn a_sender_is_verified_only_by_a_trusted_server_and_only_alone() {
        let trusted = ["mx.desk.example".to_owned()];
        let of = |from: &str, results: &str| {
            let raw = format!("Authentication-Results: {results}\r\nFrom: {from}\r\n\r\nx");
            understand(raw.as_bytes(), &trusted).people
        };
        let pass = "mx.desk.example; dmarc=pass";
        assert_eq!(of("Ada <ADA@x.test>", pass).verdict, SenderVerdict::Verified);
        assert_eq!(of("Ada <ADA@x.test>", pass).from, ["ada@x.test"]);
        let fail = "mx.desk.example; dmarc=fail";
        assert_eq!(of("ada@x.test", fail).verdict, SenderVerdict::Failed);
        let unknown = SenderVerdict::Unknown;
        assert_eq!(of("ada@x.test", "mx.evil.example; dmarc=pass").verdict, unknown);
        assert_eq!(
            of("ada@x.test", "mx.desk.example; spf=pass; dkim=pass").verdict,
            unknown
        );
        assert_eq!(of("ada@x.test, mallory@x.test", pass).verdict, unknown);
        // No From at all: the parser assumes one, which nobody vouched for.
        let raw = format!("Authentication-Results: {pass}\r\nSender: ada@x.test\r\n\r\nx");
        let people = understand(raw.as_bytes(), &trusted).people;
        assert_eq!((people.verdict, people.from.len()), (unknown, 0));
    }

    #[test]
    fn a_bounce_names_the_mail_that_came_back_and_whom_it_is_about() {
        let raw = b"From: MAILER-DAEMON@mx.test\r\nTo: help@desk.example\r\nSubject: Undelivered\r\n\
            Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
            --b\r\nContent-Type: text/plain\r\n\r\nNo such user.\r\n\
            --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n\
            Final-Recipient: rfc822; Ada@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
            --b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <out@desk.example>\r\nSubject: Re: x\r\n\r\nx\r\n\
            --b--\r\n";
        let understood = understand(raw, &[]);
        assert_eq!(understood.people.bounced, ["ada@x.test"]);
        assert_eq!(understood.answers, ["out@desk.example"]);
    }

    #[test]
    fn a_mail_that_ended_the_parser_is_not_taken_for_read() {
        let raw = b"Subject: Printer\r\n\r\nx";
        let mut mail = mailgrant_mail::parse(raw);
        assert!(!of_mail(mail.clone(), raw).parser_failed);
        let problem = |code: &str| serde_json::json!({ "code": code, "detail": "" });
        for (code, failed) in [("too_complex", false), ("parser_failed", true)] {
            mail.mailgrant.problems = vec![serde_json::from_value(problem(code)).unwrap()];
            assert_eq!(of_mail(mail.clone(), raw).parser_failed, failed, "{code}");
        }
    }

    #[test]
    fn a_nul_is_taken_out_of_the_json_and_what_only_looks_like_one_stays() {
        let text = "a\0b \\u0000\" \\\\u0000 \\u0000";
        let json = serde_json::json!({ "text": text, "list": ["\0"] }).to_string();
        let read: Value = serde_json::from_str(&without_nul(json)).unwrap();
        assert_eq!(read["text"], text.replace('\0', ""));
        assert_eq!(read["list"][0], "");
    }
}

//! A mail's bytes. Everything that is put in is checked here, so that no text, name or address can become a header,
//! a recipient or an end of the mail that nobody asked for.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::{
    ContentDisposition, ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MessageId,
};
use lettre::message::{Body, Mailbox, Message, MultiPart, SinglePart};
use url::Host;

use crate::crypto::sha256_hex;

/// What cannot be sent, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ComposeError {
    /// Field of the API: `to`, `cc`, `subject`, `attachments`, …
    pub field: &'static str,
    /// Machine code, snake_case.
    pub code: &'static str,
    /// What is wrong and what to write instead.
    pub message: String,
}

fn wrong(field: &'static str, code: &'static str, message: impl Into<String>) -> ComposeError {
    ComposeError {
        field,
        code,
        message: message.into(),
    }
}

/// A checked address with the name of whom it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    name: String,
    email: lettre::Address,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address")
    }
}

/// Longest name beside an address, characters.
const MAX_NAME: usize = 200;

impl Address {
    /// Checks an address. An international domain is written the way DNS has it.
    ///
    /// # Errors
    /// When it is no address, or the name holds characters that no name has. `field` is named in the error.
    pub fn new(field: &'static str, name: &str, email: &str) -> Result<Self, ComposeError> {
        let name = name.trim();
        if name.chars().any(char::is_control) || name.chars().count() > MAX_NAME {
            return Err(wrong(
                field,
                "invalid",
                format!("A name beside an address has at most {MAX_NAME} characters, all of them printable."),
            ));
        }
        let no_address = || {
            let shown: String = email.chars().filter(|c| !c.is_control()).take(80).collect();
            wrong(field, "invalid", format!("“{shown}” is not an e-mail address."))
        };
        let email = email.trim();
        let odd = |c: char| {
            c.is_control()
                || c.is_whitespace()
                || matches!(c, '<' | '>' | '"' | '\\' | ',' | ';' | ':' | '(' | ')')
        };
        if email.len() > 254 || email.chars().any(odd) {
            return Err(no_address());
        }
        let (user, domain) = email.rsplit_once('@').ok_or_else(no_address)?;
        let domain = match Host::parse(domain) {
            Ok(Host::Domain(domain)) => domain,
            _ => return Err(no_address()),
        };
        let email = lettre::Address::new(user, domain).map_err(|_| no_address())?;
        Ok(Self {
            name: name.to_owned(),
            email,
        })
    }

    /// The address, its domain in ASCII.
    pub fn email(&self) -> &str {
        self.email.as_ref()
    }

    /// The name; may be empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As people write it: `Name <a@example.com>`, the name in quotes where a list would break at it.
    pub fn shown(&self) -> String {
        let name = self.name.replace(['"', '\\'], "'");
        match name.as_str() {
            "" => self.email().to_owned(),
            name if name.contains([',', ';', '<', '>', '@']) => format!("\"{name}\" <{}>", self.email()),
            name => format!("{name} <{}>", self.email()),
        }
    }

    /// The part after the @.
    pub fn domain(&self) -> &str {
        self.email.domain()
    }

    pub(super) fn wire(&self) -> lettre::Address {
        self.email.clone()
    }

    fn mailbox(&self) -> Mailbox {
        let name = (!self.name.is_empty()).then(|| literal(&self.name));
        Mailbox::new(name, self.email.clone())
    }
}

/// Most addresses that are read from one text.
const MAX_LISTED: usize = 200;

/// Reads several addresses, separated by commas or semicolons; a comma in quotes separates nothing.
///
/// # Errors
/// As [`Address::new`], and when there are more than anybody may be sent to.
pub fn parse_addresses(field: &'static str, text: &str) -> Result<Vec<Address>, ComposeError> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in text.chars() {
        quoted ^= c == '"';
        match (c, parts.last_mut()) {
            (',' | ';', _) if !quoted => parts.push(String::new()),
            (c, Some(part)) => part.push(c),
            (_, None) => {}
        }
        if parts.len() > MAX_LISTED {
            return Err(wrong(
                field,
                "too_many",
                format!("A mail has at most {MAX_RECIPIENTS} recipients."),
            ));
        }
    }
    parts
        .iter()
        .filter(|part| !part.trim().is_empty())
        .map(|part| parse_address(field, part))
        .collect()
}

/// A file's name as a mail can carry it: one that came from a mail or a browser may hold anything.
pub fn tidy_name(name: &str) -> String {
    let tidy: String = name
        .chars()
        .map(|c| {
            if c.is_control() || matches!(c, '/' | '\\') {
                '_'
            } else {
                c
            }
        })
        .take(200)
        .collect();
    if tidy.trim().is_empty() {
        "file".to_owned()
    } else {
        tidy
    }
}

/// Reads `a@example.com` or `Name <a@example.com>`.
///
/// # Errors
/// As [`Address::new`].
pub fn parse_address(field: &'static str, text: &str) -> Result<Address, ComposeError> {
    let text = text.trim();
    match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, email)) => {
            let name = name.trim();
            let bare = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            Address::new(field, bare.unwrap_or(name), email)
        }
        None => Address::new(field, "", text),
    }
}

/// Who had the idea of a mail (RFC 3834): answered by no machine that keeps to the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoSubmitted {
    /// A person.
    No,
    /// A machine, as an answer to a mail.
    Replied,
    /// A machine, by itself.
    Generated,
}

/// A file that goes with a mail.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its media type, for example `application/pdf`; anything unreadable becomes `application/octet-stream`.
    pub content_type: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({} bytes)", self.bytes.len())
    }
}

/// A mail before it is bytes.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// Message-ID without angle brackets.
    pub message_id: &'a str,
    /// When it was written, milliseconds since 1970.
    pub date_ms: i64,
    /// Who writes.
    pub from: &'a Address,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<&'a Address>,
    /// To whom.
    pub to: &'a [Address],
    /// And to whom for their information.
    pub cc: &'a [Address],
    /// Subject; control characters are refused.
    pub subject: &'a str,
    /// The text form.
    pub text: &'a str,
    /// The HTML form, sanitised by the caller.
    pub html: Option<&'a str>,
    /// Message-ID of the mail it answers; one that is no Message-ID is left out.
    pub in_reply_to: Option<&'a str>,
    /// Message-IDs of the conversation, oldest first; those that are none are left out.
    pub references: &'a [String],
    /// Whether a machine wrote it.
    pub auto: AutoSubmitted,
    /// Further header fields of ours, such as the mark of what is sent automatically; they win over those made here.
    pub extra: &'a [(&'static str, String)],
    /// Files.
    pub files: &'a [File],
}

/// Longest subject, characters.
const MAX_SUBJECT: usize = 500;
/// Most recipients.
const MAX_RECIPIENTS: usize = 50;
/// Largest mail, bytes: what the large providers take.
const MAX_SIZE: usize = 25 * 1024 * 1024;
/// Most Message-IDs in References: the first and the last ones.
const MAX_REFERENCES: usize = 20;

/// Makes the bytes of a mail.
///
/// # Errors
/// When something in it cannot be sent; the field is named.
pub fn compose(draft: &Draft<'_>) -> Result<Vec<u8>, ComposeError> {
    check(draft)?;
    let date = UNIX_EPOCH + Duration::from_millis(u64::try_from(draft.date_ms).unwrap_or(0));
    let mut builder = Message::builder()
        .from(draft.from.mailbox())
        .date(date)
        .raw_header(subject(draft.subject))
        .header(MessageId::from(format!("<{}>", draft.message_id)));
    for address in draft.to {
        builder = builder.to(address.mailbox());
    }
    for address in draft.cc {
        builder = builder.cc(address.mailbox());
    }
    if let Some(address) = draft.reply_to {
        builder = builder.reply_to(address.mailbox());
    }
    if let Some(id) = draft.in_reply_to.and_then(tidy_id) {
        builder = builder.raw_header(ids("In-Reply-To", &[id]));
    }
    let references = chain(draft.references);
    if !references.is_empty() {
        builder = builder.raw_header(ids("References", &references));
    }
    if draft.auto != AutoSubmitted::No {
        let word = if draft.auto == AutoSubmitted::Replied {
            "auto-replied"
        } else {
            "auto-generated"
        };
        builder = builder
            .raw_header(plain("Auto-Submitted", word))
            .raw_header(plain("X-Auto-Response-Suppress", "All"));
    }
    for (name, value) in draft.extra {
        builder = builder.raw_header(plain(name, value));
    }
    let message = if draft.files.is_empty() && draft.html.is_none() {
        builder.singlepart(text_part(draft.text, ContentType::TEXT_PLAIN))
    } else {
        builder.multipart(parts(draft))
    };
    let bytes = message
        .map_err(|error| wrong("body", "invalid", format!("The mail could not be made: {error}.")))?
        .formatted();
    if bytes.len() > MAX_SIZE {
        return Err(wrong(
            "attachments",
            "too_large",
            "The mail would be larger than 25 MiB, which most mail servers refuse; send fewer or smaller files.",
        ));
    }
    Ok(bytes)
}

fn check(draft: &Draft<'_>) -> Result<(), ComposeError> {
    if draft.subject.chars().any(char::is_control) || draft.subject.chars().count() > MAX_SUBJECT {
        return Err(wrong(
            "subject",
            "invalid",
            format!("A subject is one line of at most {MAX_SUBJECT} printable characters."),
        ));
    }
    if draft.to.is_empty() {
        return Err(wrong("to", "required", "Name at least one recipient."));
    }
    if draft.to.len() + draft.cc.len() > MAX_RECIPIENTS {
        return Err(wrong(
            "cc",
            "too_many",
            format!("A mail has at most {MAX_RECIPIENTS} recipients."),
        ));
    }
    if tidy_id(draft.message_id).is_none() {
        return Err(wrong("messageId", "invalid", "This is not a Message-ID."));
    }
    for (name, value) in draft.extra {
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_plain = (1..=300).contains(&value.len()) && value.bytes().all(|b| (b' '..=b'~').contains(&b));
        if !is_name || !is_plain || value.contains("=?") {
            return Err(wrong(
                "headers",
                "invalid",
                format!("The header field {name} cannot be written."),
            ));
        }
    }
    for file in draft.files {
        let length = file.name.chars().count();
        if file.name.chars().any(char::is_control)
            || !(1..=200).contains(&length)
            || file.name.contains(['/', '\\'])
        {
            return Err(wrong(
                "attachments",
                "invalid",
                "A file has a name of 1 to 200 printable characters, without slashes.",
            ));
        }
    }
    Ok(())
}

/// A subject. One that looks encoded already would be decoded by whoever reads it, so it is encoded as a whole.
fn subject(text: &str) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str("Subject");
    if !text.contains("=?") {
        return HeaderValue::new(name, text.to_owned());
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len() + c.len_utf8() > 42 {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)))
        .collect();
    HeaderValue::dangerous_new_pre_encoded(name, text.to_owned(), words.join("\r\n "))
}

/// A name that looks encoded already must not be decoded by whoever reads it.
fn literal(name: &str) -> String {
    name.replace("=?", "= ?")
}

/// A Message-ID as it may be written: printable ASCII around one @ or at least without spaces and brackets.
fn tidy_id(id: &str) -> Option<&str> {
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let fine = (1..=250).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'\\'));
    fine.then_some(id)
}

/// The Message-IDs of a conversation: the first, which some programs sort by, and the last ones.
fn chain(references: &[String]) -> Vec<&str> {
    let mut ids: Vec<&str> = Vec::new();
    for id in references.iter().filter_map(|id| tidy_id(id)) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.len() > MAX_REFERENCES {
        ids.drain(1..=ids.len() - MAX_REFERENCES);
    }
    ids
}

/// A header of Message-IDs, one to a line. Encoded here, since encoded words have no place in it.
fn ids(name: &'static str, ids: &[&str]) -> HeaderValue {
    let mut encoded = String::new();
    for (position, id) in ids.iter().enumerate() {
        let separator = if position == 0 { "" } else { "\r\n " };
        let _ = write!(encoded, "{separator}<{id}>");
    }
    let raw = encoded.replace("\r\n", "");
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), raw, encoded)
}

/// A header with a word of ours.
fn plain(name: &'static str, word: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), word.to_owned())
}

fn parts(draft: &Draft<'_>) -> MultiPart {
    let text = text_part(draft.text, ContentType::TEXT_PLAIN);
    let body = match draft.html {
        Some(html) => Ok(MultiPart::alternative()
            .boundary(boundary(draft, "body"))
            .singlepart(text)
            .singlepart(text_part(html, ContentType::TEXT_HTML))),
        None => Err(text),
    };
    if draft.files.is_empty() {
        return match body {
            Ok(body) => body,
            Err(text) => MultiPart::mixed()
                .boundary(boundary(draft, "all"))
                .singlepart(text),
        };
    }
    let all = MultiPart::mixed().boundary(boundary(draft, "all"));
    let mut all = match body {
        Ok(body) => all.multipart(body),
        Err(text) => all.singlepart(text),
    };
    for file in draft.files {
        all = all.singlepart(file_part(file));
    }
    all
}

/// Nobody who writes a mail knows its Message-ID beforehand, so no text can hold its boundary.
fn boundary(draft: &Draft<'_>, which: &str) -> String {
    let hash = sha256_hex(format!("{which} {}", draft.message_id).as_bytes());
    format!("={}", hash.chars().take(40).collect::<String>())
}

/// Text in quoted-printable: whatever stands in it, its lines stay short and none begins with a dot by itself.
fn text_part(text: &str, kind: ContentType) -> SinglePart {
    let text = text
        .replace("\r\n", "\n")
        .replace(['\r', '\u{2028}', '\u{2029}'], "\n")
        .replace('\0', "");
    let encoding = ContentTransferEncoding::QuotedPrintable;
    let body = Body::new_with_encoding(text, encoding)
        .unwrap_or_else(|bytes| Body::dangerous_pre_encoded(bytes, ContentTransferEncoding::Base64));
    SinglePart::builder().header(kind).body(body)
}

fn file_part(file: &File) -> SinglePart {
    let fine = |c: char| c.is_ascii_alphanumeric() || "/.+-_".contains(c);
    let named = file.content_type.split(';').next().unwrap_or_default().trim();
    let named =
        if named.chars().all(fine) && !named.starts_with("multipart/") && !named.starts_with("message/") {
            named
        } else {
            ""
        };
    let kind = ContentType::parse(named)
        .or_else(|_| ContentType::parse("application/octet-stream"))
        .unwrap_or(ContentType::TEXT_PLAIN);
    let body = Body::new_with_encoding(file.bytes.clone(), ContentTransferEncoding::Base64)
        .unwrap_or_else(|bytes| Body::dangerous_pre_encoded(bytes, ContentTransferEncoding::Base64));
    SinglePart::builder()
        .header(kind)
        .header(ContentDisposition::attachment(&literal(&file.name)))
        .body(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str, email: &str) -> Address {
        Address::new("to", name, email).unwrap()
    }

    fn lines(draft: &Draft<'_>) -> String {
        String::from_utf8(compose(draft).unwrap()).unwrap()
    }

    pub(super) fn draft<'a>(from: &'a Address, to: &'a [Address]) -> Draft<'a> {
        Draft {
            message_id: "1@mail.example",
            date_ms: 1_800_000_000_000,
            from,
            reply_to: None,
            to,
            cc: &[],
            subject: "Hello",
            text: "Text",
            html: None,
            in_reply_to: None,
            references: &[],
            auto: AutoSubmitted::No,
            extra: &[],
            files: &[],
        }
    }

    #[test]
    fn an_address_is_checked_and_its_domain_written_as_dns_has_it() {
        assert_eq!(at("", "ada@bücher.example").email(), "ada@xn--bcher-kva.example");
        assert_eq!(
            parse_address("from", "\"Help, Desk\" <h@example.com>")
                .unwrap()
                .name(),
            "Help, Desk"
        );
        assert_eq!(parse_address("from", "h@example.com").unwrap().name(), "");
        for bad in [
            "",
            "a",
            "@b.example",
            "a@",
            "a@b.example\r\nBcc: x@y.example",
            "a b@c.example",
            "a@b.example>",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a\0@b.example",
            "a@b.example, c@d.example",
            "\"a b\"@c.example",
            "\"a@b.example, c\"@d.example",
            "a\u{a0}b@c.example",
            "a\u{85}b@c.example",
        ] {
            assert!(Address::new("to", "", bad).is_err(), "{bad:?}");
        }
        assert!(Address::new("to", "a\nBcc: x@y.example", "a@b.example").is_err());
    }

    #[test]
    fn what_a_list_shows_is_read_back() {
        let all = parse_addresses(
            "to",
            "Ada <a@b.example>; \"Bo, the second\" <c@d.example>, e@f.example,, ",
        )
        .unwrap();
        let shown: Vec<String> = all.iter().map(Address::shown).collect();
        assert_eq!(
            shown,
            [
                "Ada <a@b.example>",
                "\"Bo, the second\" <c@d.example>",
                "e@f.example"
            ]
        );
        let again = parse_addresses("to", &shown.join(", ")).unwrap();
        assert!(again == all);
        assert_eq!(parse_addresses("to", " ,; ").unwrap().len(), 0);
        for bad in [
            "a@b.example, nobody",
            "a@b.example\r\nBcc: x@y.example",
            "\"a@b.example, c@d.example",
            &"a@b.example,".repeat(10_000),
        ] {
            assert!(parse_addresses("to", bad).is_err(), "{bad:.40}");
        }
    }

    #[test]
    fn message_ids_of_a_conversation_are_written_whole() {
        let (from, to) = (at("", "a@b.example"), [at("", "c@d.example")]);
        let long = format!("{}@mail.example", "x".repeat(200));
        let references: Vec<String> = (0..30)
            .map(|n| format!("{n}@mail.example"))
            .chain([
                "no id\r\nBcc: x@y.example".into(),
                "<last@mail.example>".into(),
                long.clone(),
            ])
            .collect();
        let mut draft = draft(&from, &to);
        draft.references = &references;
        draft.in_reply_to = Some(&long);
        let mail = lines(&draft);
        assert!(mail.contains(&format!("In-Reply-To: <{long}>\r\n")), "{mail}");
        assert!(
            mail.contains("References: <0@mail.example>\r\n <13@mail.example>\r\n"),
            "{mail}"
        );
        assert!(
            mail.contains(&format!(" <last@mail.example>\r\n <{long}>\r\n")),
            "{mail}"
        );
        assert!(!mail.contains("Bcc"));
    }

    #[test]
    fn what_would_break_out_of_a_header_is_refused_by_name() {
        let (from, to) = (at("", "a@b.example"), [at("", "c@d.example")]);
        let mut bad = draft(&from, &to);
        bad.subject = "x\r\nBcc: evil@example.com";
        assert_eq!(compose(&bad).unwrap_err().field, "subject");
        let mut bad = draft(&from, &to);
        let files = [File {
            name: "x\"\r\nX-Evil: 1".into(),
            content_type: "text/plain".into(),
            bytes: vec![],
        }];
        bad.files = &files;
        assert_eq!(compose(&bad).unwrap_err().field, "attachments");
        let mut bad = draft(&from, &to);
        bad.message_id = "x> y";
        assert!(compose(&bad).is_err());
        assert_eq!(compose(&draft(&from, &[])).unwrap_err().field, "to");
        for (name, value) in [
            ("X-Loop", "a\r\nBcc: evil@example.com"),
            ("X-Loop", "a\nb"),
            ("X-Loop", "ü"),
            ("X-Loop", "=?utf-8?Q?a?="),
            ("X-Loop", ""),
            ("X-Loop\r\nBcc", "evil@example.com"),
        ] {
            let mut bad = draft(&from, &to);
            let extra = [(name, value.to_owned())];
            bad.extra = &extra;
            assert_eq!(compose(&bad).unwrap_err().field, "headers", "{name}: {value}");
        }
    }

    #[test]
    fn a_machines_mail_says_so() {
        let (from, to) = (at("", "a@b.example"), [at("", "c@d.example")]);
        let mut draft = draft(&from, &to);
        draft.auto = AutoSubmitted::Replied;
        let mail = lines(&draft);
        assert!(mail.contains("Auto-Submitted: auto-replied\r\n"));
        assert!(mail.contains("X-Auto-Response-Suppress: All\r\n"));
    }
}

//! The way from raw bytes to a [`ParsedMail`]: the stages in their order, nothing else.

use std::collections::BTreeMap;

use encoding_rs::Encoding;
use mail_parser::DateTime;

use crate::body::{self, Roles};
use crate::header::{self, Headers};
use crate::html::{self, HtmlText, Mark};
use crate::model::{Address, BodyPart, BodyValue, ParsedMail, Problem};
use crate::prescan::{self, Part, Structure};
use crate::{address, attachment, charset, classify, encoded_word, ids, reply, special, transfer};

/// Bytes of decoded text kept of one mail; the raw mail has the rest.
const MAX_TEXT: usize = 2 << 20;
/// Characters of the preview.
const PREVIEW: usize = 256;
/// The problem code of a mail of which only the headers were read.
const TOO_COMPLEX: &str = "too_complex";
/// The problem code of a mail that a defect kept from being read.
const PARSER_FAILED: &str = "parser_failed";

/// What the caller knows and the mail does not say.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Servers whose Authentication-Results headers are believed (RFC 8601).
    pub trusted_authserv_ids: Vec<String>,
}

/// Parses any byte string. Never fails, never panics.
pub fn parse(raw: &[u8]) -> ParsedMail {
    parse_with(raw, &Options::default())
}

/// As [`parse`], with knowledge about the mailbox the mail came from.
pub fn parse_with(raw: &[u8], options: &Options) -> ParsedMail {
    let size = raw.len() as u64;
    let raw = &*prescan::with_line_feeds(raw);
    let mut mail = match prescan::scan(raw) {
        // A defect of a library below must cost one mail its reading, not the mailbox its worker.
        Ok(found) => std::panic::catch_unwind(|| whole(raw, &found, options)).unwrap_or_else(|_| {
            headers_only(
                raw,
                options,
                Problem::new(PARSER_FAILED, "Only the headers were read: the parser failed."),
            )
        }),
        Err(limit) => headers_only(
            raw,
            options,
            Problem::new(TOO_COMPLEX, format!("Only the headers were read: {limit}.")),
        ),
    };
    mail.size = size;
    mail
}

/// Whether only the headers were read: the mail exceeds a limit of the pre-scan (`too_complex`), or the parser failed
/// (`parser_failed`).
pub fn is_placeholder(mail: &ParsedMail) -> bool {
    mail.mailgrant
        .problems
        .iter()
        .any(|p| p.code == TOO_COMPLEX || p.code == PARSER_FAILED)
}

/// What the headers alone say. Whoever makes a mail too complex must not escape the verdict of the server that took it
/// in, nor have an automatic mail answered.
fn headers_only(raw: &[u8], options: &Options, problem: Problem) -> ParsedMail {
    let found = prescan::header_only(raw);
    let mut mail = ParsedMail::default();
    mail.mailgrant.problems.push(problem);
    read_headers(&mut mail, &found.parts[0].headers, None);
    // This is also what is left when a parser failed, so it must not fail itself.
    let classified = std::panic::catch_unwind(|| {
        classify::classify(&classify::Input {
            raw,
            found: &found,
            mail: &mail,
        })
    })
    .unwrap_or_default();
    mail.mailgrant.automated = classified.automated;
    mail.mailgrant.bounce = classified.bounce;
    mail.mailgrant.authentication =
        classify::authentication(&found.parts[0].headers, &options.trusted_authserv_ids);
    mail
}

fn whole(raw: &[u8], found: &Structure<'_>, options: &Options) -> ParsedMail {
    let mut mail = ParsedMail::default();
    note_structure(&mut mail.mailgrant.problems, raw, found);
    let roles = body::roles(found);
    read_headers(
        &mut mail,
        &found.parts[0].headers,
        body_charset(raw, found, &roles),
    );
    read_bodies(&mut mail, raw, found, &roles);
    mail.attachments = roles
        .attachments
        .iter()
        .flat_map(|&i| attachment::list(raw, found, i))
        .collect();
    mail.has_attachment = mail
        .attachments
        .iter()
        .any(|a| a.disposition.as_deref() != Some("inline") || a.cid.is_none());
    mail.mailgrant.parts = special::find(raw, found);
    let marks = render(&mut mail);
    mail.mailgrant.reply = reply::split(
        &mail.mailgrant.text,
        &marks,
        mail.subject.as_deref().unwrap_or_default(),
    );
    let classified = classify::classify(&classify::Input {
        raw,
        found,
        mail: &mail,
    });
    mail.mailgrant.automated = classified.automated;
    mail.mailgrant.bounce = classified.bounce;
    mail.mailgrant.authentication =
        classify::authentication(&found.parts[0].headers, &options.trusted_authserv_ids);
    mail.preview = preview(&mail.mailgrant.reply.text);
    if mail.preview.is_empty() {
        mail.preview = preview(&mail.mailgrant.text);
    }
    mail
}

fn note_structure(problems: &mut Vec<Problem>, raw: &[u8], found: &Structure<'_>) {
    if raw.is_empty() {
        problems.push(Problem::new("empty", "The mail has no bytes at all."));
    }
    let top = &found.parts[0].headers;
    if top.fields.is_empty() && !raw.is_empty() {
        problems.push(Problem::new(
            "headers_missing",
            "No header was found; everything was taken as text.",
        ));
    } else if found.parts.iter().any(|p| p.headers.broken) {
        let text = "A line among the headers is no header; the body was assumed to start there.";
        problems.push(Problem::new("header_malformed", text));
    }
    if found.boundary_missing {
        let text =
            "A multipart names no boundary or one that does not occur; the likeliest reading was taken.";
        problems.push(Problem::new("boundary_missing", text));
    }
    if found.unclosed {
        problems.push(Problem::new(
            "truncated",
            "A multipart has no closing boundary; the mail may be cut off.",
        ));
    }
}

/// The charset that the first text part declares: the likeliest one for raw bytes in headers.
fn body_charset(raw: &[u8], found: &Structure<'_>, roles: &Roles) -> Option<&'static Encoding> {
    let declared = roles.text.iter().chain(&roles.html).find_map(|&i| {
        found.parts[i]
            .content_type
            .param("charset")
            .and_then(charset::lookup)
    });
    let raw_bytes: Vec<u8> = found.parts[0]
        .headers
        .fields
        .iter()
        .flat_map(|f| f.value.iter().copied())
        .filter(|b| !b.is_ascii_control())
        .collect();
    if raw_bytes.is_ascii() || raw.is_empty() {
        return declared;
    }
    let fits = |e: &&'static Encoding| {
        e.decode_without_bom_handling_and_without_replacement(&raw_bytes)
            .is_some()
    };
    declared
        .filter(|e| *e != encoding_rs::UTF_8)
        .filter(fits)
        .or_else(|| Some(charset::guess(&raw_bytes)))
}

fn read_headers(mail: &mut ParsedMail, headers: &Headers<'_>, hint: Option<&'static Encoding>) {
    let addresses =
        |name: &str| -> Vec<Address> { headers.all(name).flat_map(|v| address::parse(v, hint)).collect() };
    let ids = |name: &str| headers.first(name).map(ids::parse).unwrap_or_default();
    mail.message_id = ids("Message-ID");
    mail.in_reply_to = ids("In-Reply-To");
    mail.references = ids("References");
    mail.from = addresses("From");
    mail.to = addresses("To");
    mail.cc = addresses("Cc");
    mail.bcc = addresses("Bcc");
    mail.reply_to = addresses("Reply-To");
    mail.sender = addresses("Sender");
    mail.subject = headers
        .first("Subject")
        .map(|v| encoded_word::decode(&header::unfold(v), hint));
    mail.sent_at = headers.first("Date").and_then(date);
    mail.received_at = headers.first("Received").and_then(received_date);
    if headers
        .fields
        .iter()
        .any(|f| !f.value.is_ascii() && std::str::from_utf8(f.value).is_err())
    {
        let text = "Headers hold raw bytes without a charset; it was guessed.";
        mail.mailgrant
            .problems
            .push(Problem::new("header_charset_guessed", text));
    }
    if headers.first("Date").is_some() && mail.sent_at.is_none() {
        mail.mailgrant
            .problems
            .push(Problem::new("date_invalid", "The Date header could not be read."));
    }
    assume_from(mail, headers, hint);
}

/// Fills an empty From from the next best header, and says so.
fn assume_from(mail: &mut ParsedMail, headers: &Headers<'_>, hint: Option<&'static Encoding>) {
    if mail.from.iter().any(|a| !a.email.is_empty()) {
        mail.from.retain(|a| !a.email.is_empty());
        return;
    }
    let name = mail.from.first().and_then(|a| a.name.clone());
    for source in ["Sender", "Return-Path", "Reply-To"] {
        let found = headers
            .all(source)
            .flat_map(|v| address::parse(v, hint))
            .find(|a| address::is_plain_address(&a.email));
        if let Some(mut found) = found {
            found.name = found.name.or(name);
            mail.from = vec![found];
            let text = format!("From names no address; {source} was taken.");
            mail.mailgrant.problems.push(Problem::new("from_assumed", text));
            return;
        }
    }
    mail.mailgrant
        .problems
        .push(Problem::new("from_missing", "No header names a sender."));
}

fn date(raw: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&header::unfold(raw)).into_owned();
    let date = DateTime::parse_rfc822(&text).or_else(|| DateTime::parse_rfc3339(text.trim()))?;
    date.is_valid().then(|| date.to_rfc3339())
}

fn received_date(raw: &[u8]) -> Option<String> {
    let at = memchr::memrchr(b';', raw)?;
    date(&raw[at + 1..])
}

fn read_bodies(mail: &mut ParsedMail, raw: &[u8], found: &Structure<'_>, roles: &Roles) {
    let mut budget = MAX_TEXT;
    let mut described: BTreeMap<usize, BodyPart> = BTreeMap::new();
    for &index in roles.text.iter().chain(&roles.html) {
        if described.contains_key(&index) {
            continue;
        }
        let part = &found.parts[index];
        let (bytes, broken) = transfer::decode(raw.get(part.body.clone()).unwrap_or_default(), part.encoding);
        let value = read_text(
            part,
            index + 1,
            &bytes,
            broken,
            &mut budget,
            &mut mail.mailgrant.problems,
        );
        mail.body_values.insert((index + 1).to_string(), value);
        described.insert(index, attachment::describe(part, index, bytes.len() as u64));
    }
    let pick = |list: &[usize]| list.iter().filter_map(|i| described.get(i).cloned()).collect();
    mail.text_body = pick(&roles.text);
    mail.html_body = pick(&roles.html);
}

fn read_text(
    part: &Part<'_>,
    id: usize,
    bytes: &[u8],
    broken: bool,
    budget: &mut usize,
    problems: &mut Vec<Problem>,
) -> BodyValue {
    if broken {
        problems.push(Problem::new(
            "encoding_broken",
            format!("The transfer encoding of part {id} is damaged."),
        ));
    }
    let declared = part.content_type.param("charset");
    let is_truncated = bytes.len() > *budget;
    let decoded = charset::decode(&bytes[..bytes.len().min(*budget)], declared);
    *budget = budget.saturating_sub(bytes.len());
    if let Some(guessed) = decoded.guessed {
        let said = declared.map_or("names no charset".to_owned(), |d| format!("says {d:.40}"));
        problems.push(Problem::new(
            "charset_guessed",
            format!("Part {id} {said}; it was read as {guessed}."),
        ));
    }
    if declared.is_some_and(|d| d.to_ascii_lowercase().contains("utf-7")) {
        problems.push(Problem::new(
            "charset_refused",
            format!("Part {id} is UTF-7, which is shown undecoded."),
        ));
    }
    if is_truncated {
        problems.push(Problem::new(
            "text_truncated",
            format!("Only the start of part {id} was taken as text."),
        ));
    }
    BodyValue {
        value: with_lf(decoded.text),
        is_encoding_problem: broken || decoded.guessed.is_some() || decoded.lossy,
        is_truncated,
    }
}

/// LF line ends, as JMAP has them; NUL is no text.
fn with_lf(text: String) -> String {
    if text.contains(['\r', '\0']) {
        text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "")
    } else {
        text
    }
}

/// The text of the given parts, one below the other.
fn text_form(parts: &[BodyPart], values: &BTreeMap<String, BodyValue>) -> HtmlText {
    let mut out = HtmlText::default();
    for part in parts {
        let Some(value) = values.get(&part.part_id) else {
            continue;
        };
        if !out.text.is_empty() && !out.text.ends_with('\n') {
            out.text.push('\n');
        }
        let offset = out.text.len();
        if part.r#type == "text/html" {
            let rendered = html::to_text(&value.value);
            out.text.push_str(&rendered.text);
            let moved = |m: Mark| Mark {
                start: m.start + offset,
                end: m.end + offset,
                ..m
            };
            out.marks.extend(rendered.marks.into_iter().map(moved));
        } else {
            out.text.push_str(&value.value);
        }
    }
    out
}

/// Makes the text form and the sanitised HTML. Returns the marks of the text form.
fn render(mail: &mut ParsedMail) -> Vec<Mark> {
    let mut form = text_form(&mail.text_body, &mail.body_values);
    if form.text.trim().is_empty() {
        // Some programs send an empty text beside the HTML.
        form = text_form(&mail.html_body, &mail.body_values);
    }
    mail.mailgrant.text = form.text;
    let sources: Vec<&str> = mail
        .html_body
        .iter()
        .filter(|p| p.r#type == "text/html")
        .filter_map(|p| mail.body_values.get(&p.part_id).map(|v| v.value.as_str()))
        .collect();
    if !sources.is_empty() {
        mail.mailgrant.html = html::sanitize_html(&sources.join("\n"));
        if mail.mailgrant.html.is_none() {
            let text = "The HTML is too large or too deep to clean; the text form is shown.";
            mail.mailgrant.problems.push(Problem::new("html_refused", text));
        }
    }
    form.marks
}

/// The first words on one line.
fn preview(text: &str) -> String {
    let mut out = String::new();
    let mut count = 0;
    for word in text.split_whitespace() {
        for c in word.chars() {
            if count == PREVIEW {
                return out;
            }
            out.push(c);
            count += 1;
        }
        if count == PREVIEW {
            return out;
        }
        out.push(' ');
        count += 1;
    }
    out.truncate(out.trim_end().len());
    out
}

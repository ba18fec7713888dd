//! By what a mail is recognised that came to us more than once: everything its sender wrote, and nothing that servers
//! add on the way, which differs from mailbox to mailbox. Pure.

use mailgrant_mail::ParsedMail;
use serde_json::json;

use crate::crypto::sha256_hex;

/// The hash of a mail as it was sent; empty if it has no Message-ID, since then it may as well be another one.
pub(super) fn sent_hash(mail: &ParsedMail, raw: &[u8]) -> String {
    if mail.message_id.is_empty() {
        return String::new();
    }
    let header = json!([
        mail.message_id,
        mail.in_reply_to,
        mail.references,
        mail.from,
        mail.sender,
        mail.reply_to,
        mail.to,
        mail.cc,
        mail.subject,
        mail.sent_at,
        mail.text_body,
        mail.html_body,
        mail.attachments,
    ]);
    let mut text = header.to_string().into_bytes();
    // The bytes as they are, so that no file in it can be another one; only the ends of lines are up to servers.
    for line in body(raw).trim_ascii_end().split(|byte| *byte == b'\n') {
        text.push(b'\n');
        text.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    }
    sha256_hex(&text)
}

/// What comes behind the header.
fn body(raw: &[u8]) -> &[u8] {
    let mut rest = raw;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, behind) = rest.split_at(end + 1);
        if matches!(line, b"\n" | b"\r\n") {
            return behind;
        }
        rest = behind;
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str) -> String {
        sent_hash(&mailgrant_mail::parse(raw.as_bytes()), raw.as_bytes())
    }

    const MAIL: &str = "Message-ID: <a@x.test>\r\nFrom: Ada <ada@x.test>\r\nTo: help@desk.example\r\n\
        Subject: Printer\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\nIt burns.\r\n\
        --b\r\nContent-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--b--\r\n";

    #[test]
    fn what_servers_add_makes_no_other_mail() {
        let traced = format!(
            "Return-Path: <ada@x.test>\r\nDelivered-To: sales@desk.example\r\nReceived: from x.test by mx\r\n{MAIL}"
        );
        assert_eq!(of(&traced), of(MAIL));
        assert_eq!(of(&MAIL.replace("\r\n", "\n")), of(MAIL));
        assert_eq!(of(&format!("{MAIL}\r\n\r\n")), of(MAIL));
        assert_eq!(of(MAIL).len(), 64);
    }

    #[test]
    fn whatever_the_sender_wrote_otherwise_makes_another_mail() {
        for (old, new) in [
            ("<a@x.test>", "<b@x.test>"),
            ("ada@x.test", "eve@x.test"),
            ("help@desk", "sales@desk"),
            ("Printer", "Scanner"),
            ("10:00:00", "10:00:01"),
            ("It burns.", "It burned."),
            ("QUJD", "QUJE"),
            ("a.png", "b.png"),
            ("text/plain", "text/html"),
            ("Subject:", "Reply-To: eve@x.test\r\nSubject:"),
        ] {
            assert_ne!(of(&MAIL.replace(old, new)), of(MAIL), "{new}");
        }
    }

    #[test]
    fn a_mail_without_message_id_is_like_no_other() {
        assert_eq!(of("From: ada@x.test\r\n\r\nx"), "");
        assert_eq!(of(""), "");
    }

    #[test]
    fn a_body_begins_behind_the_first_empty_line() {
        assert_eq!(body(b"A: b\r\n\r\nx\r\n\r\ny"), b"x\r\n\r\ny");
        assert_eq!(body(b"A: b\n\nx"), b"x");
        assert_eq!(body(b"\nx"), b"x");
        assert_eq!(body(b"A: b"), b"");
    }
}

//! Whole mails: structure, charsets, headers, attachments, and what is said about their defects.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests stand outside the test functions"
)]

use encoding_rs::Encoding;
use mailgrant_mail::{AutomatedKind, Options, ParsedMail, attachment, is_placeholder, parse, parse_with};

fn codes(mail: &ParsedMail) -> Vec<&str> {
    mail.mailgrant.problems.iter().map(|p| p.code.as_str()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("={b:02X}")).collect()
}

/// Sentences long enough that a guess can be right, with the charsets that people write them in.
const SAMPLES: &[(&str, &[&str])] = &[
    (
        "Größe prüfen: die Tür schließt nicht, bitte schnell öffnen",
        &["utf-8", "iso-8859-1", "windows-1252"],
    ),
    (
        "Il a été très déçu, ça ne marche plus à côté du café",
        &["utf-8", "iso-8859-1", "iso-8859-15"],
    ),
    (
        "Příliš žluťoučký kůň úpěl ďábelské ódy",
        &["utf-8", "iso-8859-2", "windows-1250"],
    ),
    (
        "Zażółć gęślą jaźń, drukarka nie działa",
        &["utf-8", "iso-8859-2", "windows-1250"],
    ),
    (
        "Принтер не работает, помогите пожалуйста",
        &["utf-8", "koi8-r", "windows-1251", "iso-8859-5"],
    ),
    (
        "Принтер не працює, допоможіть будь ласка",
        &["utf-8", "koi8-u", "windows-1251"],
    ),
    (
        "Ο εκτυπωτής δεν λειτουργεί, παρακαλώ βοηθήστε",
        &["utf-8", "iso-8859-7", "windows-1253"],
    ),
    (
        "Yazıcı çalışmıyor, lütfen yardım edin, şimdi",
        &["utf-8", "iso-8859-9", "windows-1254"],
    ),
    ("המדפסת לא עובדת, בבקשה עזרו לי", &["utf-8", "windows-1255"]),
    ("الطابعة لا تعمل، يرجى المساعدة", &["utf-8", "windows-1256"]),
    (
        "プリンターが動きません。助けてください。",
        &["utf-8", "iso-2022-jp", "shift_jis", "euc-jp"],
    ),
    ("打印机坏了，请帮忙看一下，谢谢", &["utf-8", "gbk", "gb18030"]),
    ("印表機壞了，請幫忙看一下，謝謝", &["utf-8", "big5"]),
    ("프린터가 작동하지 않습니다. 도와주세요.", &["utf-8", "euc-kr"]),
    ("เครื่องพิมพ์ไม่ทำงาน กรุณาช่วยด้วย", &["utf-8", "windows-874"]),
    ("Máy in không hoạt động, xin giúp đỡ", &["utf-8"]),
];

fn each_charset(mut check: impl FnMut(&str, &str, &[u8])) {
    for (text, labels) in SAMPLES {
        for label in *labels {
            let encoding = Encoding::for_label(label.as_bytes()).expect("a known label");
            let (bytes, _, lossy) = encoding.encode(text);
            assert!(!lossy, "{label} holds {text}");
            check(text, label, &bytes);
        }
    }
}

fn message(headers: &str, body: &[u8]) -> Vec<u8> {
    [
        b"From: a@example.org\nDate: Mon, 02 Mar 2026 10:00:00 +0100\n",
        headers.as_bytes(),
        b"\n\n",
        body,
    ]
    .concat()
}

#[test]
fn declared_charsets_are_read_in_bodies() {
    each_charset(|text, label, bytes| {
        let qp = hex(bytes).replace("=0A", "\n");
        for (encoding, body) in [("8bit", bytes.to_vec()), ("quoted-printable", qp.into_bytes())] {
            let headers = format!(
                "Content-Type: text/plain; charset=\"{label}\"\nContent-Transfer-Encoding: {encoding}"
            );
            let mail = parse(&message(&headers, &body));
            assert_eq!(mail.mailgrant.text, text, "{label} {encoding}");
            assert_eq!(codes(&mail), [""; 0], "{label} {encoding}");
        }
    });
}

#[test]
fn encoded_words_are_read_in_subjects_and_names() {
    each_charset(|text, label, bytes| {
        let word = format!("=?{label}?Q?{}?=", hex(bytes));
        let raw = format!("From: {word} <a@example.org>\nSubject: {word}\n\n");
        let mail = parse(raw.as_bytes());
        assert_eq!(mail.subject.as_deref(), Some(text), "{label}");
        assert_eq!(mail.from[0].name.as_deref(), Some(text), "{label}");
    });
}

#[test]
fn file_names_are_read_in_any_charset() {
    each_charset(|text, label, bytes| {
        let percent = hex(bytes).replace('=', "%");
        let raw = message(
            "Content-Type: multipart/mixed; boundary=b",
            format!("--b\n\ntext\n--b\nContent-Type: application/pdf\nContent-Disposition: attachment;\n filename*={label}''{percent}.pdf\n\nx\n--b--\n").as_bytes(),
        );
        assert_eq!(
            parse(&raw).attachments[0].name,
            Some(format!("{text}.pdf")),
            "{label}"
        );
    });
}

#[test]
fn a_missing_charset_is_guessed_and_said() {
    for (text, label) in [
        (
            "Größe prüfen: die Tür schließt nicht, bitte schnell öffnen",
            "windows-1252",
        ),
        ("Принтер не работает, помогите пожалуйста", "windows-1251"),
        ("プリンターが動きません。助けてください。", "shift_jis"),
        ("打印机坏了，请帮忙看一下，谢谢", "gbk"),
    ] {
        let (bytes, _, _) = Encoding::for_label(label.as_bytes()).expect("known").encode(text);
        let mail = parse(&[b"From: a@example.org\nSubject: ", &bytes[..], b"\n\n", &bytes[..]].concat());
        assert_eq!(mail.mailgrant.text, text, "{label}");
        assert_eq!(mail.subject.as_deref(), Some(text), "{label}");
        assert!(
            codes(&mail).contains(&"charset_guessed") && codes(&mail).contains(&"header_charset_guessed")
        );
    }
}

#[test]
fn a_wrong_charset_is_corrected() {
    for (label, text) in [
        ("gb2312", "打印机坏了，请帮忙"),
        ("us-ascii", "Größe"),
        ("iso-8859-1", "Größe – prüfen"),
        ("x-unknown", "Größe"),
    ] {
        let mail = parse(&message(
            &format!("Content-Type: text/plain; charset={label}"),
            text.as_bytes(),
        ));
        assert_eq!(mail.mailgrant.text, text, "{label}");
    }
}

#[test]
fn utf_7_is_not_decoded() {
    let mail = parse(&message(
        "Content-Type: text/html; charset=utf-7",
        b"+ADw-script+AD4-x",
    ));
    assert_eq!(mail.mailgrant.text, "+ADw-script+AD4-x");
    assert!(codes(&mail).contains(&"charset_refused"));
}

#[test]
fn alternatives_and_attachments_are_sorted_as_jmap_has_them() {
    let raw = message(
        "Content-Type: multipart/mixed; boundary=m",
        b"--m\nContent-Type: multipart/alternative; boundary=a\n\n--a\n\nplain\n--a\nContent-Type: multipart/related; boundary=r\n\n\
        --r\nContent-Type: text/html\n\n<p>rich<img src=\"cid:p@x\"></p>\n--r\nContent-Type: image/png; name=p.png\nContent-ID: <p@x>\n\
        Content-Disposition: inline\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n--r--\n--a--\n--m\nContent-Type: text/plain; name=\"log.txt\"\n\n\
        log\n--m\nContent-Type: message/rfc822\n\nSubject: inner\n\nx\n--m--\n",
    );
    let mail = parse(&raw);
    let types =
        |parts: &[mailgrant_mail::BodyPart]| parts.iter().map(|p| p.r#type.clone()).collect::<Vec<_>>();
    assert_eq!(types(&mail.text_body), ["text/plain"]);
    assert_eq!(types(&mail.html_body), ["text/html"]);
    assert_eq!(
        types(&mail.attachments),
        ["image/png", "text/plain", "message/rfc822"]
    );
    assert_eq!(mail.body_values.len(), 2);
    assert!(mail.mailgrant.html.expect("html").contains("cid:p@x"));
    let picture = &mail.attachments[0];
    assert_eq!((picture.cid.as_deref(), picture.size), (Some("p@x"), 5));
    assert_eq!(attachment(&raw, &picture.part_id).expect("cut").bytes, b"hello");
    let inner = attachment(&raw, &mail.attachments[2].part_id).expect("cut");
    assert_eq!(parse(&inner.bytes).subject.as_deref(), Some("inner"));
}

#[test]
fn only_inline_pictures_do_not_count_as_attachment() {
    let picture = b"--b\nContent-Type: text/html\n\n<img src=cid:a@b>\n--b\nContent-Type: image/png\nContent-ID: <a@b>\nContent-Disposition: inline\n\nx\n--b--\n";
    assert!(!parse(&message("Content-Type: multipart/related; boundary=b", picture)).has_attachment);
}

#[test]
fn file_names_are_never_paths() {
    for (raw, want) in [
        ("../../etc/passwd", Some("passwd")),
        ("C:\\\\temp\\\\a.txt", Some("a.txt")),
        ("..", None),
        ("\u{202e}gpj.exe", Some("gpj.exe")),
    ] {
        let mail = parse(&message("Content-Type: multipart/mixed; boundary=b", format!("--b\n\n--b\nContent-Type: a/b\nContent-Disposition: attachment; filename=\"{raw}\"\n\nx\n--b--").as_bytes()));
        assert_eq!(mail.attachments[0].name.as_deref(), want);
    }
}

#[test]
fn a_missing_sender_is_assumed_in_a_fixed_order() {
    let first = |raw: &str| parse(raw.as_bytes()).from.first().map(|a| a.email.clone());
    assert_eq!(
        first("Reply-To: r@x\nReturn-Path: <p@x>\nSender: s@x\n\n").as_deref(),
        Some("s@x")
    );
    assert_eq!(
        first("Reply-To: r@x\nReturn-Path: <p@x>\nFrom: \n\n").as_deref(),
        Some("p@x")
    );
    assert_eq!(
        first("Reply-To: r@x\nReturn-Path: <>\nFrom: \"only a name\" <>\n\n").as_deref(),
        Some("r@x")
    );
    assert!(codes(&parse(b"Sender: s@x\n\n")).contains(&"from_assumed"));
    assert!(codes(&parse(b"Subject: s\n\n")).contains(&"from_missing"));
}

#[test]
fn dates_keep_their_offset() {
    let at = |date: &str| parse(format!("Date: {date}\n\n").as_bytes()).sent_at;
    assert_eq!(
        at("Mon, 2 Mar 2026 10:00:00 +0530").as_deref(),
        Some("2026-03-02T10:00:00+05:30")
    );
    assert_eq!(
        at("2 Mar 2026 10:00:00 GMT").as_deref(),
        Some("2026-03-02T10:00:00Z")
    );
    assert_eq!(at("yesterday"), None);
    let mail = parse(b"Received: from a by b; Mon, 2 Mar 2026 09:00:00 -0100\nReceived: x; Sun, 1 Mar 2026 09:00:00 +0000\n\n");
    assert_eq!(mail.received_at.as_deref(), Some("2026-03-02T09:00:00-01:00"));
}

#[test]
fn a_mail_over_a_limit_keeps_its_headers() {
    let mut raw = b"From: a@example.org\nSubject: deep\n".to_vec();
    for i in 0..10_000 {
        raw.extend(format!("Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n").bytes());
    }
    let mail = parse(&raw);
    assert!(is_placeholder(&mail));
    assert_eq!(
        (mail.subject.as_deref(), mail.from[0].email.as_str()),
        (Some("deep"), "a@example.org")
    );
    assert!(!is_placeholder(&parse(b"Subject: x\n\n")));
}

#[test]
fn a_mail_over_a_limit_cannot_hide_a_verdict_or_a_machine() {
    let options = Options {
        trusted_authserv_ids: vec!["mx.desk.example".to_owned()],
    };
    let complex = |headers: &str| {
        let mut raw = format!("Authentication-Results: mx.desk.example; dmarc=fail\n{headers}").into_bytes();
        for i in 0..34 {
            raw.extend(format!("Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n").bytes());
        }
        let mail = parse_with(&raw, &options);
        assert!(is_placeholder(&mail));
        assert_eq!(mail.mailgrant.authentication.dmarc, "fail");
        mail.mailgrant.automated.map(|a| a.kind)
    };
    assert_eq!(complex("From: a@example.org\n"), None);
    assert_eq!(
        complex("From: a@example.org\nAuto-Submitted: auto-replied\n"),
        Some(AutomatedKind::AutoReply)
    );
    assert_eq!(
        complex("From: a@example.org\nList-Id: <x.example.org>\n"),
        Some(AutomatedKind::Bulk)
    );
    assert_eq!(
        complex(
            "From: MAILER-DAEMON@example.org\nSubject: Undelivered Mail Returned to Sender\nReturn-Path: <>\n"
        ),
        Some(AutomatedKind::Bounce)
    );
}

#[test]
fn a_subject_in_undeclared_iso_2022_jp_is_read() {
    let mail = parse(b"From: a@example.org\nSubject: \x1b$B$3$s$K$A$O\x1b(B\n\nx");
    assert_eq!(
        mail.subject.as_deref(),
        Some("\u{3053}\u{3093}\u{306b}\u{3061}\u{306f}")
    );
}

#[test]
fn names_of_the_json_are_those_of_jmap() {
    let json = serde_json::to_value(parse(b"From: a@example.org\n\nx")).expect("serialises");
    for name in [
        "id",
        "blobId",
        "threadId",
        "messageId",
        "inReplyTo",
        "references",
        "from",
        "to",
        "cc",
        "bcc",
        "replyTo",
        "sender",
        "subject",
        "sentAt",
        "receivedAt",
        "preview",
        "size",
        "hasAttachment",
        "textBody",
        "htmlBody",
        "bodyValues",
        "attachments",
        "mailgrant",
    ] {
        assert!(json.get(name).is_some(), "{name}");
    }
    for name in [
        "text",
        "html",
        "reply",
        "automated",
        "bounce",
        "authentication",
        "parts",
        "problems",
    ] {
        assert!(json["mailgrant"].get(name).is_some(), "{name}");
    }
    assert_eq!(json["mailgrant"]["authentication"]["spf"], "unknown");
    assert_eq!(json["textBody"][0]["partId"], "1");
}

#[test]
fn only_a_trusted_server_vouches() {
    let raw =
        b"Authentication-Results: mx.desk.example; spf=pass; dkim=pass; dmarc=pass\nFrom: a@example.org\n\nx";
    assert_eq!(parse(raw).mailgrant.authentication.dmarc, "unknown");
    let options = mailgrant_mail::Options {
        trusted_authserv_ids: vec!["mx.desk.example".to_owned()],
    };
    assert_eq!(parse_with(raw, &options).mailgrant.authentication.dmarc, "pass");
}

fn kind(raw: &str) -> Option<AutomatedKind> {
    parse(raw.as_bytes()).mailgrant.automated.map(|a| a.kind)
}

#[test]
fn bounces_of_many_servers_are_read() {
    let daemon =
        "Return-Path: <>\nFrom: Mail Delivery Subsystem <MAILER-DAEMON@mx.example>\nTo: desk@example.com\n";
    for (subject, body) in [
        (
            "failure notice",
            "Hi. This is the qmail-send program at mx.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\n\n<ada@example.org>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <desk@example.com>\nSubject: hello\nMessage-ID: <m1@example.com>\n",
        ),
        (
            "Mail delivery failed: returning message to sender",
            "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients. The following address(es) failed:\n\n  ada@example.org\n    host mx.example.org [192.0.2.1]\n    SMTP error from remote mail server after RCPT TO:<ada@example.org>:\n    550 5.1.1 no such user\n\n------ This is a copy of the message ------\n\nSubject: hello\nMessage-ID: <m1@example.com>\n",
        ),
        (
            "Returned mail: see transcript for details",
            "   ----- The following addresses had permanent fatal errors -----\n<ada@example.org>\n    (reason: 550 5.1.1 User unknown)\n\n   ----- Transcript of session follows -----\n550 5.1.1 <ada@example.org>... User unknown\n\n--- Original message follows.\n\nSubject: hello\nMessage-ID: <m1@example.com>\n",
        ),
        (
            "Unzustellbar: hello",
            "Ihre Nachricht konnte nicht zugestellt werden:\n\nada@example.org\n550 5.1.1 unbekannt\n\n--- Original message follows.\nSubject: hello\nMessage-ID: <m1@example.com>\n",
        ),
    ] {
        let mail = parse(format!("{daemon}Subject: {subject}\n\n{body}").as_bytes());
        assert_eq!(
            mail.mailgrant.automated.as_ref().map(|a| a.kind),
            Some(AutomatedKind::Bounce),
            "{subject}"
        );
        let bounce = mail.mailgrant.bounce.expect("a bounce");
        assert_eq!(
            bounce
                .recipients
                .iter()
                .map(|r| r.email.as_str())
                .collect::<Vec<_>>(),
            ["ada@example.org"],
            "{subject}"
        );
        assert_eq!(bounce.recipients[0].action, "failed");
        assert_eq!(
            bounce.original.message_id.as_deref(),
            Some("m1@example.com"),
            "{subject}"
        );
        assert_eq!(bounce.original.subject.as_deref(), Some("hello"), "{subject}");
    }
}

#[test]
fn a_delivery_report_is_read_by_its_structure() {
    let raw = "From: x@example.org\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nsome words\n--b\n\
        Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; ada@example.org\nAction: delayed\nStatus: 4.4.1\n\n--b\n\
        Content-Type: text/rfc822-headers\n\nSubject: hello\nMessage-ID: <m1@example.com>\n--b--\n";
    let bounce = parse(raw.as_bytes()).mailgrant.bounce.expect("a bounce");
    assert_eq!(
        (
            bounce.recipients[0].email.as_str(),
            bounce.recipients[0].action.as_str()
        ),
        ("ada@example.org", "delayed")
    );
    assert_eq!(bounce.original.message_id.as_deref(), Some("m1@example.com"));
    assert_eq!(
        kind(&raw.replace("delayed", "delivered")),
        Some(AutomatedKind::AutoReply),
        "a success is no bounce"
    );
}

#[test]
fn other_automatic_mail_is_told_apart() {
    assert_eq!(
        kind("From: a@x.example\nAuto-Submitted: auto-replied\nSubject: x\n\nI am away"),
        Some(AutomatedKind::AutoReply)
    );
    assert_eq!(
        kind("From: a@x.example\nSubject: Abwesenheitsnotiz: Urlaub\n\nIch bin weg"),
        Some(AutomatedKind::AutoReply)
    );
    assert_eq!(
        kind(
            "From: a@x.example\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\nx\n--b--"
        ),
        Some(AutomatedKind::Report)
    );
    assert_eq!(
        kind("From: a@x.example\nList-Id: <l.x.example>\n\nNews"),
        Some(AutomatedKind::Bulk)
    );
}

#[test]
fn absence_notes_without_a_header_need_a_subject_and_a_text() {
    let note = |subject: &str, text: &str| kind(&format!("From: a@x.example\nSubject: {subject}\n\n{text}"));
    for (subject, text) in [
        ("Away", "I will be back on Monday."),
        ("Ada Lovelace is out of the office", "I am away until 9 March."),
        ("Im Urlaub", "Ich bin bis Montag im Urlaub."),
        ("Absent du bureau", "Je suis absente jusqu'à lundi."),
        ("Ausente: impresora", "Estoy fuera de la oficina."),
        ("Fuori ufficio", "Sono assente fino a lunedì."),
        ("På semester: skrivare", "Jag är på semester."),
        ("Nieobecność", "Jestem na urlopie."),
        ("В отпуске", "Нахожусь в отпуске."),
        ("外出中", "本日は外出しております。"),
    ] {
        assert_eq!(note(subject, text), Some(AutomatedKind::AutoReply), "{subject}");
        assert_eq!(note(subject, "The printer is broken."), None, "{subject}");
        assert_eq!(note(&format!("Re: {subject}"), text), None, "{subject}");
    }
    assert_eq!(note("Printer", "I am out of the office until Monday."), None);
}

#[test]
fn people_are_not_taken_for_machines() {
    for raw in [
        "From: Ada <ada@x.example>\nSubject: Fwd: Undelivered Mail Returned to Sender\n\nWhy?\n\nYour message could not be delivered:\n\n<a@b.example>: 550 5.1.1 unknown\n",
        "From: Ada <ada@x.example>\nSubject: Re: Undeliverable: hello\nIn-Reply-To: <a@b>\n\nWhy was this returned?\n> Your message could not be delivered\n> <a@b.example>: 550 5.1.1 unknown\n",
        "From: Ada <ada@x.example>\nSubject: My printer is out of office supplies\n\nHelp",
        "From: Ada <ada@x.example>\nSubject: Delivery failed\n\nThe parcel did not arrive.",
        "From: Postmaster <postmaster@x.example>\nSubject: Meeting on Monday\n\nLet us talk about the new mail server.",
    ] {
        assert_eq!(kind(raw), None, "{raw}");
    }
}

#[test]
fn an_empty_text_beside_html_is_not_taken_for_the_message() {
    let raw = message(
        "Content-Type: multipart/alternative; boundary=b",
        b"--b\n\n \n--b\nContent-Type: text/html\n\n<p>The printer burns.</p>\n--b--\n",
    );
    assert_eq!(parse(&raw).mailgrant.reply.text, "The printer burns.");
}

#[test]
fn files_inside_winmail_dat_are_listed_and_can_be_cut_out() {
    let attribute = |id: u32, data: &[u8]| {
        let mut out = vec![2];
        out.extend(id.to_le_bytes());
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        out.extend([0, 0]);
        out
    };
    let mut container = vec![0x78, 0x9F, 0x3E, 0x22, 1, 0];
    for (name, data) in [("a.pdf", "first"), ("b.txt", "second one")] {
        container.extend(attribute(0x0006_9002, &[0; 14]));
        container.extend(attribute(0x0001_8010, format!("{name}\0").as_bytes()));
        container.extend(attribute(0x0006_800F, data.as_bytes()));
    }
    let mut body = b"--b\n\ntext\n--b\nContent-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: quoted-printable\n\n".to_vec();
    body.extend(hex(&container).bytes());
    body.extend(b"\n--b--\n");
    let raw = message("Content-Type: multipart/mixed; boundary=b", &body);
    let mail = parse(&raw);
    let listed: Vec<_> = mail
        .attachments
        .iter()
        .map(|a| (a.name.as_deref(), a.r#type.as_str(), a.size))
        .collect();
    assert_eq!(
        listed,
        [
            (Some("a.pdf"), "application/pdf", 5),
            (Some("b.txt"), "text/plain", 10)
        ]
    );
    assert_eq!(
        attachment(&raw, &mail.attachments[1].part_id).expect("cut").bytes,
        b"second one"
    );
    assert_eq!(mail.mailgrant.parts[0].kind, "tnef");
    assert_eq!(attachment(&raw, "3/9"), None);
    assert_eq!(attachment(&raw, "nonsense"), None);
}

#[test]
fn any_line_ending_will_do() {
    let lf = "From: a@example.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\ntwo\n--b\nContent-Type: a/b\n\nfile\n--b--\n";
    for end in ["\n", "\r\n", "\r", "\r\r\n"] {
        let raw = lf.replace('\n', end);
        let mail = parse(raw.as_bytes());
        assert_eq!(
            mail.mailgrant.text.split_whitespace().collect::<Vec<_>>(),
            ["one", "two"],
            "{end:?}"
        );
        assert_eq!(mail.attachments.len(), 1, "{end:?}");
        assert!(
            attachment(raw.as_bytes(), &mail.attachments[0].part_id)
                .expect("cut")
                .bytes
                .starts_with(b"file")
        );
    }
}

//! The mail that arrives in the sandbox: one of each kind that a help desk meets, over and over, each time
//! from somebody else, with fresh ids and the date of the clock. All text is made up here.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use crate::crypto::random_token;

/// What a sample shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleKind {
    /// A plain question, the start of a thread.
    Question,
    /// An answer to an earlier question, quoting it.
    Reply,
    /// Japanese in ISO-2022-JP, subject, name and text.
    Japanese,
    /// A text with two attachments.
    Attachment,
    /// HTML without a plain part, with a remote image and a script that must never run.
    HtmlOnly,
    /// A delivery report (RFC 3464).
    Bounce,
    /// An automatic answer (RFC 3834).
    AutoReply,
    /// An invitation (RFC 6047).
    Invitation,
    /// Broken in several ways at once: no blank line rules kept, unclosed multipart, bytes of no charset.
    Malformed,
}

/// The order in which they arrive; a question comes first, so that the reply has something to answer.
pub const SAMPLE_KINDS: [SampleKind; 9] = [
    SampleKind::Question,
    SampleKind::Reply,
    SampleKind::Japanese,
    SampleKind::Attachment,
    SampleKind::HtmlOnly,
    SampleKind::Bounce,
    SampleKind::AutoReply,
    SampleKind::Invitation,
    SampleKind::Malformed,
];

const PEOPLE: [(&str, &str); 8] = [
    ("Ana Marković", "ana.markovic"),
    ("Bao Nguyen", "bao.nguyen"),
    ("Chidi Okafor", "chidi.okafor"),
    ("Dörte Lüders", "doerte.lueders"),
    ("Elif Aydın", "elif.aydin"),
    ("Finn O'Malley", "finn.omalley"),
    ("Grace Kimani", "grace.kimani"),
    ("Hugo Ferreira", "hugo.ferreira"),
];

const COMPANIES: [&str; 5] = [
    "bakery.example",
    "orchard.example",
    "shipyard.example",
    "museum.example",
    "clinic.example",
];

const QUESTIONS: [(&str, &str); 6] = [
    (
        "The invoice shows last year's address",
        "Our invoice 4471 still has the address we left in March.",
    ),
    (
        "Cannot open the shared calendar",
        "Since this morning the shared calendar asks me for a password.",
    ),
    (
        "Order arrived without the cable",
        "The charger came, the cable did not. Can you send it on?",
    ),
    (
        "How do I add a colleague?",
        "I would like a colleague to see our tickets. Where is that setting?",
    ),
    (
        "Door badge stopped working",
        "My badge opens the front door but not the lab since Monday.",
    ),
    (
        "Export stops at 500 lines",
        "The spreadsheet export ends after 500 lines. We have about 2,000.",
    ),
];

/// One mail.
pub struct Sample {
    /// What it shows.
    pub kind: SampleKind,
    /// Its Message-ID with angle brackets.
    pub message_id: String,
    /// The bytes.
    pub raw: Vec<u8>,
}

struct Asked {
    message_id: String,
    subject: &'static str,
    text: &'static str,
    person: usize,
    date: String,
}

/// Makes one mail after the other, endlessly.
pub struct Samples {
    mailbox: String,
    count: usize,
    asked: VecDeque<Asked>,
}

impl Samples {
    /// Mail for this address.
    pub fn new(mailbox: &str) -> Samples {
        Samples {
            mailbox: mailbox.to_owned(),
            count: 0,
            asked: VecDeque::new(),
        }
    }

    /// The next mail in order.
    pub fn next(&mut self, now: DateTime<Utc>) -> Sample {
        let kind = SAMPLE_KINDS
            .get(self.count % SAMPLE_KINDS.len())
            .copied()
            .unwrap_or(SampleKind::Question);
        self.of_kind(kind, now)
    }

    /// A mail of this kind. A reply without an earlier question answers a mail nobody has.
    pub fn of_kind(&mut self, kind: SampleKind, now: DateTime<Utc>) -> Sample {
        let number = self.count;
        self.count += 1;
        let round = number / SAMPLE_KINDS.len();
        let person = number + round;
        let mail = Mail {
            message_id: format!("<sample-{}@{}>", random_token(32), company(person)),
            from: address(person),
            to: self.mailbox.clone(),
            date: now.to_rfc2822(),
        };
        let raw = match kind {
            SampleKind::Question => self.question(&mail, number, person),
            SampleKind::Reply => self.reply(&mail),
            SampleKind::Japanese => japanese(&mail),
            SampleKind::Attachment => attachment(&mail, number),
            SampleKind::HtmlOnly => html_only(&mail),
            SampleKind::Bounce => bounce(&mail),
            SampleKind::AutoReply => auto_reply(&mail),
            SampleKind::Invitation => invitation(&mail, now),
            SampleKind::Malformed => malformed(&mail),
        };
        Sample {
            kind,
            message_id: mail.message_id,
            raw,
        }
    }

    fn question(&mut self, mail: &Mail, number: usize, person: usize) -> Vec<u8> {
        let (subject, text) = QUESTIONS
            .get(number % QUESTIONS.len())
            .copied()
            .unwrap_or_default();
        self.asked.push_back(Asked {
            message_id: mail.message_id.clone(),
            subject,
            text,
            person,
            date: mail.date.clone(),
        });
        mail.text(
            subject,
            "",
            &format!("Hello,\n\n{text}\n\nKind regards\n{}\n", name(person)),
        )
    }

    fn reply(&mut self, mail: &Mail) -> Vec<u8> {
        let asked = self.asked.pop_front().unwrap_or_else(|| Asked {
            message_id: "<lost-question@orchard.example>".to_owned(),
            subject: "A question that got lost",
            text: "Did you see my mail?",
            person: 1,
            date: mail.date.clone(),
        });
        let mail = Mail {
            from: address(asked.person),
            ..mail.clone()
        };
        let headers = format!("In-Reply-To: {0}\nReferences: {0}\n", asked.message_id);
        let text = format!(
            "Something to add: it also happens on my other computer.\n\n{name}\n\n\
             On {date}, {name} wrote:\n> Hello,\n>\n> {text}\n>\n> Kind regards\n> {name}\n",
            name = name(asked.person),
            date = asked.date,
            text = asked.text,
        );
        mail.text(&format!("Re: {}", asked.subject), &headers, &text)
    }
}

#[derive(Clone)]
struct Mail {
    message_id: String,
    from: String,
    to: String,
    date: String,
}

impl Mail {
    /// The head that all samples have, then more header lines; all in LF, see [`crlf`].
    fn head(&self, subject: &str, more: &str) -> String {
        format!(
            "From: {}\nTo: <{}>\nDate: {}\nMessage-ID: {}\nSubject: {subject}\nMIME-Version: 1.0\n{more}",
            self.from, self.to, self.date, self.message_id
        )
    }

    fn text(&self, subject: &str, more: &str, text: &str) -> Vec<u8> {
        let more = format!(
            "{more}Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{text}"
        );
        crlf(self.head(subject, &more).as_bytes())
    }
}

fn name(person: usize) -> &'static str {
    PEOPLE
        .get(person % PEOPLE.len())
        .map_or("Somebody", |(name, _)| name)
}

fn company(person: usize) -> &'static str {
    COMPANIES
        .get(person % COMPANIES.len())
        .copied()
        .unwrap_or("orchard.example")
}

fn address(person: usize) -> String {
    let local = PEOPLE
        .get(person % PEOPLE.len())
        .map_or("somebody", |(_, local)| local);
    format!("{} <{local}@{}>", encoded_word(name(person)), company(person))
}

/// RFC 2047, where it is needed.
fn encoded_word(text: &str) -> String {
    match text.is_ascii() {
        true => format!("\"{text}\""),
        false => format!("=?utf-8?B?{}?=", STANDARD.encode(text)),
    }
}

/// Lines as they travel. The texts above are written with LF.
fn crlf(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + text.len() / 40);
    for byte in text {
        if *byte == b'\n' {
            bytes.push(b'\r');
        }
        bytes.push(*byte);
    }
    bytes
}

fn japanese(mail: &Mail) -> Vec<u8> {
    let mail = Mail {
        from: "=?ISO-2022-JP?B?GyRCOjRGIxsoQiAbJEIyVjtSGyhC?= <h.sato@insatsu.example>".to_owned(),
        ..mail.clone()
    };
    let subject = "=?ISO-2022-JP?B?GyRCJVclaiVzJT8hPCQsRjAkLSReJDskcxsoQg==?=";
    let more = "Content-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit\n\n";
    let mut bytes = mail.head(subject, more).into_bytes();
    // "The printer on the third floor has not worked since this morning."
    bytes.extend_from_slice(
        b"\x1b$B$*@$OC$K$J$C$F$*$j$^$9!#\x1b(B\n\
          \x1b$BD+$+$i;03,$N%W%j%s%?!<$,F0$-$^$;$s!#\x1b(B\n\
          \x1b$B$h$m$7$/$*4j$$$$$?$7$^$9!#\x1b(B\n\n\
          \x1b$B:4F#\x1b(B\n",
    );
    crlf(&bytes)
}

fn attachment(mail: &Mail, number: usize) -> Vec<u8> {
    let report = format!("item;count\nchair;{}\ntable;{}\n", number + 4, number + 1);
    // 96 × 64 points, four colours: three shelves.
    let picture = "iVBORw0KGgoAAAANSUhEUgAAAGAAAABAAgMAAACYWpqdAAAADFBMVEXx7OIvb5+KWivJTz2y\n\
        tvqOAAAATUlEQVR42mNgGJTg/x8GBv7/B0MDGBhEQ/n/HwCJiIaOSmCTWIUD4JYYnCA0hIGB\n\
        NdT5/wcGBvv/rKEOIBH7/6MS2CSGS5yPZuchns8BMi6MQHC3eDsAAAAASUVORK5CYII=";
    let more = format!(
        "Content-Type: multipart/mixed; boundary=\"parts\"\n\n\
         --parts\nContent-Type: multipart/related; boundary=\"page\"\n\n\
         --page\nContent-Type: text/html; charset=utf-8\n\n\
         <p>The list you asked for is attached. This is the shelf:</p>\n\
         <p><img src=\"cid:shelf@orchard.example\" alt=\"Three shelves\"></p>\n\
         --page\nContent-Type: image/png; name=\"shelf.png\"\n\
         Content-Disposition: inline; filename=\"shelf.png\"\n\
         Content-ID: <shelf@orchard.example>\n\
         Content-Transfer-Encoding: base64\n\n{picture}\n\
         --page--\n\
         --parts\nContent-Type: text/csv; charset=utf-8\n\
         Content-Disposition: attachment; filename*=utf-8''Invent%C3%A1rio.csv\n\
         Content-Transfer-Encoding: base64\n\n{report}\n\
         --parts--\n",
        report = STANDARD.encode(report),
    );
    crlf(mail.head("The list and the photo", &more).as_bytes())
}

fn html_only(mail: &Mail) -> Vec<u8> {
    let more = "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\
        <html><head><style>p { color: #333 }</style></head><body>\n\
        <p>Our newsletter <b>still</b> shows the old logo.</p>\n\
        <img src=\"http://tracker.example/open.gif?id=42\" width=\"1\" height=\"1\" alt=\"\">\n\
        <script>document.title = 'this must never run';</script>\n\
        <p onclick=\"alert('neither this')\">Please swap it: <a href=\"https://orchard.example/logo\">\
        the new one</a>.</p>\n\
        </body></html>\n";
    crlf(mail.head("Wrong logo in the newsletter", more).as_bytes())
}

fn bounce(mail: &Mail) -> Vec<u8> {
    let mail = Mail {
        from: "Mail Delivery System <MAILER-DAEMON@mx.orchard.example>".to_owned(),
        ..mail.clone()
    };
    let more = format!(
        "Auto-Submitted: auto-replied\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"report\"\n\n\
         --report\nContent-Type: text/plain; charset=us-ascii\n\n\
         Your message could not be delivered to:\n  nobody@orchard.example: no such user here\n\
         --report\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.orchard.example\nArrival-Date: {date}\n\n\
         Final-Recipient: rfc822; nobody@orchard.example\nAction: failed\nStatus: 5.1.1\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such user here\n\
         --report\nContent-Type: message/rfc822\n\n\
         From: <{to}>\nTo: <nobody@orchard.example>\nSubject: Your order is on its way\n\
         Message-ID: <order-77@shop.example>\n\nIt will be with you on Monday.\n\
         --report--\n",
        date = mail.date,
        to = mail.to,
    );
    crlf(
        format!(
            "Return-Path: <>\n{}",
            mail.head("Undelivered Mail Returned to Sender", &more)
        )
        .as_bytes(),
    )
}

fn auto_reply(mail: &Mail) -> Vec<u8> {
    let headers = "Auto-Submitted: auto-replied\nX-Auto-Response-Suppress: All\nPrecedence: bulk\n\
        In-Reply-To: <order-77@shop.example>\n";
    mail.text(
        "Out of office: Your order is on its way",
        headers,
        "Thank you for your message. I am back on Monday and will answer then.\n",
    )
}

fn invitation(mail: &Mail, now: DateTime<Utc>) -> Vec<u8> {
    let start = now + chrono::Duration::days(2);
    let stamp = |time: DateTime<Utc>| time.format("%Y%m%dT%H%M%SZ").to_string();
    let event = format!(
        "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//orchard.example//planner//EN\nMETHOD:REQUEST\n\
         BEGIN:VEVENT\nUID:{uid}\nDTSTAMP:{now}\nDTSTART:{start}\nDTEND:{end}\n\
         SUMMARY:Walk-through of the new shelves\nLOCATION:Hall 2\n\
         ORGANIZER:mailto:planner@orchard.example\nATTENDEE;RSVP=TRUE:mailto:{to}\n\
         END:VEVENT\nEND:VCALENDAR\n",
        uid = mail.message_id.trim_matches(['<', '>']),
        now = stamp(now),
        start = stamp(start),
        end = stamp(start + chrono::Duration::hours(1)),
        to = mail.to,
    );
    let more = format!(
        "Content-Type: multipart/alternative; boundary=\"invite\"\n\n\
         --invite\nContent-Type: text/plain; charset=utf-8\n\n\
         You are invited: walk-through of the new shelves, hall 2.\n\
         --invite\nContent-Type: text/calendar; method=REQUEST; charset=utf-8\n\n{event}\
         --invite--\n"
    );
    crlf(
        mail.head("Invitation: walk-through of the new shelves", &more)
            .as_bytes(),
    )
}

fn malformed(mail: &Mail) -> Vec<u8> {
    let mut bytes = format!(
        "From: =?utf-8?B?broken@@nowhere\nTo: <{}>\nDate: the day after tomorrow\nMessage-ID: {}\n\
         Subject: =?x-no-such-charset?Q?Broken_=ZZ?= on purpose\nthis line is no header\n\
         Content-Type: multipart/mixed; boundary=\"never closed\n\
         Content-Transfer-Encoding: base1024\n\n--never closed\nContent-Type: text/plain; charset=klingon\n\n",
        mail.to, mail.message_id
    )
    .into_bytes();
    bytes.extend_from_slice(b"These bytes belong to no charset: \xff\xfe\xc3\x28 \x80\n=?=\n--never");
    crlf(&bytes)
}

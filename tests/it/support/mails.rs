//! Mail made up by rule: the same seed and number always give the same bytes, and no two numbers the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};

/// Names one made-up mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mail {
    pub seed: u64,
    pub number: u64,
}

/// What kind of mail a number gives, in turns of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Plain,
    /// Answers the mail before it, quoting it.
    Reply,
    Alternative,
    Attachment,
    HtmlOnly,
    Japanese,
    /// Answers the mail two before it.
    LateReply,
    AutoReply,
}

impl Mail {
    /// `<seed.number@mails.test>`.
    pub fn message_id(self) -> String {
        format!("<{}.{}@mails.test>", self.seed, self.number)
    }

    /// The subject, before encoding.
    pub fn subject(self) -> String {
        match self.shape() {
            Shape::Reply => format!("Re: {}", self.before(1).subject()),
            Shape::LateReply => format!("Re: {}", self.before(2).subject()),
            Shape::Japanese => format!("プリンタ {}", self.number),
            _ => format!("{} {} {}", self.word(1), self.word(2), self.number),
        }
    }

    /// The mail this one answers.
    pub fn answers(self) -> Option<Self> {
        match self.shape() {
            Shape::Reply => Some(self.before(1)),
            Shape::LateReply => Some(self.before(2)),
            _ => None,
        }
    }

    /// What kind of mail it is.
    pub fn shape(self) -> Shape {
        match self.number % 8 {
            1 => Shape::Reply,
            2 => Shape::Alternative,
            3 => Shape::Attachment,
            4 => Shape::HtmlOnly,
            5 => Shape::Japanese,
            6 => Shape::LateReply,
            7 => Shape::AutoReply,
            _ => Shape::Plain,
        }
    }

    /// When it was sent: one a minute from the first of January 2026.
    pub fn date(self) -> DateTime<Utc> {
        let first: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
        first + TimeDelta::minutes(i64::try_from(self.number).expect("a small number"))
    }

    /// The message, lines ending in CRLF.
    pub fn bytes(self) -> Vec<u8> {
        let sender = self.dice(3) % 40;
        let mut head = format!(
            "Message-ID: {}\r\nDate: {}\r\nFrom: Person {sender} <person{sender}@example.test>\r\n\
             To: Support <support@example.test>\r\nSubject: {}\r\nMIME-Version: 1.0\r\n",
            self.message_id(),
            self.date().to_rfc2822(),
            encoded_word(&self.subject()),
        );
        if let Some(parent) = self.answers() {
            let id = parent.message_id();
            head += &format!("In-Reply-To: {id}\r\nReferences: {id}\r\n");
        }
        let text = self.text();
        let body = match self.shape() {
            Shape::Plain => plain(&text),
            Shape::Reply | Shape::LateReply => {
                let quoted = self
                    .answers()
                    .map(Self::text)
                    .unwrap_or_default()
                    .replace("\r\n", "\r\n> ");
                plain(&format!("{text}\r\n\r\nOn some day, Person wrote:\r\n> {quoted}"))
            }
            Shape::AutoReply => {
                head += "Auto-Submitted: auto-replied\r\n";
                plain(&format!("I am away. {text}"))
            }
            Shape::HtmlOnly => html(&text),
            Shape::Japanese => {
                let body = "\u{1b}$B%W%j%s%?$,F0$-$^$;$s!#\u{1b}(B";
                let kind = "Content-Type: text/plain; charset=iso-2022-jp\r\nContent-Transfer-Encoding: 7bit";
                format!("{kind}\r\n\r\n{body}\r\n{}\r\n", self.number)
            }
            Shape::Alternative => parts("alternative", &[plain(&text), html(&text)]),
            Shape::Attachment => parts("mixed", &[plain(&text), self.attachment()]),
        };
        (head + &body).into_bytes()
    }

    fn attachment(self) -> String {
        let bytes: Vec<u8> = (0..3000).map(|n| self.dice(n).to_le_bytes()[0]).collect();
        let mut lines = String::new();
        for line in STANDARD.encode(bytes).as_bytes().chunks(76) {
            lines += std::str::from_utf8(line).expect("base64");
            lines += "\r\n";
        }
        let name = self.number;
        format!(
            "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename=\"scan-{name}.bin\"\r\n\r\n{lines}"
        )
    }

    fn text(self) -> String {
        let lines = 3 + self.dice(4) % 20;
        let line = |n: u64| {
            (0..9)
                .map(|m| self.word(100 + n * 9 + m))
                .collect::<Vec<_>>()
                .join(" ")
        };
        (0..lines).map(line).collect::<Vec<_>>().join("\r\n") + &format!("\r\nNumber {}", self.number)
    }

    fn before(self, steps: u64) -> Self {
        Self {
            number: self.number.saturating_sub(steps),
            ..self
        }
    }

    fn word(self, salt: u64) -> &'static str {
        const WORDS: [&str; 16] = [
            "printer", "login", "server", "invoice", "delayed", "network", "update", "password", "error",
            "queue", "screen", "token", "backup", "quota", "agent", "portal",
        ];
        WORDS[usize::from(self.dice(salt).to_le_bytes()[0] % 16)]
    }

    /// SplitMix64: small, well spread, and the same everywhere.
    fn dice(self, salt: u64) -> u64 {
        let mut z = self
            .seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(self.number.wrapping_mul(0xd1b5_4a32_d192_ed03))
            .wrapping_add(salt.wrapping_mul(0x8cb9_2ba7_2f3d_8dd7));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A small mail, for a test that cares about one or two headers only.
pub fn simple(message_id: &str, from: &str, subject: &str, body: &str) -> Vec<u8> {
    format!(
        "Message-ID: {message_id}\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nFrom: {from}\r\n\
         To: support@example.test\r\nSubject: {}\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n",
        encoded_word(subject)
    )
    .into_bytes()
}

fn plain(text: &str) -> String {
    format!("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n")
}

fn html(text: &str) -> String {
    let text = text.replace("\r\n", "</p>\r\n<p>");
    format!(
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         <html><body><p>{text}</p></body></html>\r\n"
    )
}

fn parts(subtype: &str, parts: &[String]) -> String {
    let mut body = format!("Content-Type: multipart/{subtype}; boundary=\"=_part\"\r\n\r\n");
    for part in parts {
        body += &format!("--=_part\r\n{part}");
    }
    body + "--=_part--\r\n"
}

fn encoded_word(text: &str) -> String {
    if text.is_ascii() {
        text.to_owned()
    } else {
        format!("=?utf-8?B?{}?=", STANDARD.encode(text))
    }
}

//! Small builders of mails, so that a fixture is a line and not a page.

use encoding_rs::Encoding;

/// Header fields that every fixture has.
pub const HEAD: &str = "From: Bob Babbage <bob@example.com>\r\nTo: Help <help@desk.example>\r\n\
    Date: Mon, 02 Mar 2026 11:00:00 +0100\r\nMessage-ID: <answer@example.com>\r\nMIME-Version: 1.0\r\n";

/// How a body travels.
#[derive(Clone, Copy)]
pub enum Transfer {
    EightBit,
    Quoted,
    Base64,
}

/// The text in a charset. Vietnamese and its like are decomposed by nobody here: the text must fit as it stands.
pub fn encode(text: &str, charset: &str) -> Vec<u8> {
    let encoding = Encoding::for_label(charset.as_bytes()).expect("a known charset");
    let (bytes, _, lossy) = encoding.encode(text);
    assert!(!lossy, "{charset} cannot hold {text}");
    bytes.into_owned()
}

pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |w, &b| w << 8 | u32::from(b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            out.push(if i <= group.len() {
                ALPHABET[(word >> (18 - 6 * i)) as usize & 63] as char
            } else {
                '='
            });
        }
    }
    out
}

pub fn quoted_printable(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut width = 0;
    for &b in bytes {
        let piece = match b {
            b'\n' | b'\r' => (b as char).to_string(),
            b' '..=b'~' if b != b'=' => (b as char).to_string(),
            b => format!("={b:02X}"),
        };
        if width + piece.len() > 74 && b != b'\n' && b != b'\r' {
            out.push_str("=\r\n");
            width = 0;
        }
        width = if b == b'\n' { 0 } else { width + piece.len() };
        out.push_str(&piece);
    }
    out
}

/// An encoded word (RFC 2047).
pub fn word(text: &str, charset: &str) -> String {
    format!("=?{charset}?B?{}?=", base64(&encode(text, charset)))
}

/// Content fields and body of one leaf; lines end in CR LF.
pub fn leaf(kind: &str, charset: &str, transfer: Transfer, text: &str) -> Vec<u8> {
    let bytes = encode(&text.replace('\n', "\r\n"), charset);
    let (name, body) = match transfer {
        Transfer::EightBit => ("8bit", bytes),
        Transfer::Quoted => ("quoted-printable", quoted_printable(&bytes).into_bytes()),
        Transfer::Base64 => {
            let lines = base64(&bytes);
            let lines: Vec<&str> = lines
                .as_bytes()
                .chunks(76)
                .map(|c| std::str::from_utf8(c).expect("ASCII"))
                .collect();
            ("base64", lines.join("\r\n").into_bytes())
        }
    };
    let head =
        format!("Content-Type: {kind}; charset={charset}\r\nContent-Transfer-Encoding: {name}\r\n\r\n");
    [head.into_bytes(), body, b"\r\n".to_vec()].concat()
}

/// A whole mail with one leaf.
pub fn mail(head: &str, leaf: Vec<u8>) -> Vec<u8> {
    [
        head.replace('\n', "\r\n").replace("\r\r\n", "\r\n").into_bytes(),
        leaf,
    ]
    .concat()
}

/// Leaves below one another.
pub fn multipart(sub: &str, boundary: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("Content-Type: multipart/{sub}; boundary=\"{boundary}\"\r\n\r\n").into_bytes();
    for part in parts {
        out.extend(format!("--{boundary}\r\n").bytes());
        out.extend(part);
    }
    out.extend(format!("--{boundary}--\r\n").bytes());
    out
}

/// A mail as it is typed: the head of every fixture, more fields, an empty line, a body. LF becomes CR LF.
pub fn typed(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

//! The addresses that a mail was delivered to, as servers on its way noted them. Anyone can write these headers: they
//! say where to look for a token of ours, and prove nothing.

use crate::{address, header, prescan};

/// Headers that servers note the envelope's recipient in.
const NAMES: [&str; 5] = [
    "Delivered-To",
    "X-Original-To",
    "Envelope-To",
    "X-Envelope-To",
    "X-Forwarded-To",
];

/// Addresses kept in all.
const MAX: usize = 50;

/// The envelope's recipients in the order of the headers.
pub fn delivered_to(raw: &[u8]) -> Vec<String> {
    let raw = &*prescan::with_line_feeds(raw);
    let (headers, _) = header::read(raw, 0..raw.len());
    NAMES
        .iter()
        .flat_map(|name| headers.all(name).take(MAX))
        .flat_map(|value| address::parse(value, None))
        .map(|address| address.email)
        .filter(|email| email.contains('@'))
        .take(MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::delivered_to;

    #[test]
    fn servers_on_the_way_say_whom_the_mail_was_for() {
        let raw = b"Delivered-To: <a@x.test>\r\nX-Original-To: b@x.test\r\nTo: c@x.test\r\n\r\nDelivered-To: d@x.test";
        assert_eq!(delivered_to(raw), ["a@x.test", "b@x.test"]);
        assert!(delivered_to(b"").is_empty());
        let many = "Delivered-To: a@x.test\r\n".repeat(100_000);
        assert_eq!(delivered_to(many.as_bytes()).len(), 50);
    }
}

//! Modified UTF-7, the spelling of folder names on the wire (RFC 3501, section 5.1.3).

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// A folder name as it goes over the wire: printable ASCII only.
pub(super) fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut pending: Vec<u8> = Vec::new();
    let flush = |pending: &mut Vec<u8>, out: &mut String| {
        if !pending.is_empty() {
            out.push('&');
            out.push_str(&BASE64.encode(&pending));
            out.push('-');
            pending.clear();
        }
    };
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            flush(&mut pending, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0u16; 2];
            pending.extend(c.encode_utf16(&mut units).iter().flat_map(|u| u.to_be_bytes()));
        }
    }
    flush(&mut pending, &mut out);
    out
}

/// The name a person reads. A spelling that is not valid is shown as it came.
pub(super) fn decode(raw: &str) -> String {
    try_decode(raw).unwrap_or_else(|| raw.to_owned())
}

fn try_decode(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        let (inside, after) = rest[start + 1..].split_once('-')?;
        if inside.is_empty() {
            out.push('&');
        } else {
            let bytes = BASE64.decode(inside).ok()?;
            if bytes.len() % 2 != 0 {
                return None;
            }
            let units: Vec<u16> = bytes
                .chunks_exact(2)
                .map(|b| u16::from_be_bytes([b[0], b[1]]))
                .collect();
            out.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_standard_and_of_the_field_are_read_and_written() {
        let table = [
            ("INBOX", "INBOX"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Q&A", "Q&-A"),
            ("😀", "&2D3eAA-"),
            ("Gelöschte Elemente", "Gel&APY-schte Elemente"),
        ];
        for (name, wire) in table {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire), name);
        }
    }

    #[test]
    fn an_invalid_spelling_is_shown_as_it_came() {
        for raw in ["R&D", "a&b-", "&AP-", "&2D0-", "&***-"] {
            assert_eq!(decode(raw), raw);
        }
    }

    proptest! {
        #[test]
        fn every_name_survives_the_wire_as_printable_ascii(name in any::<String>()) {
            let wire = encode(&name);
            prop_assert!(wire.bytes().all(|b| (0x20..0x7f).contains(&b)));
            prop_assert_eq!(decode(&wire), name);
        }
    }
}

//! The header fields of a mail as a person would read them: unfolded, decoded, in their order.

use crate::header;
use crate::{encoded_word, prescan};

/// One header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField {
    /// The name as it was written.
    pub name: String,
    /// The value on one line, encoded words decoded.
    pub value: String,
}

/// Every header field of a mail, the topmost first. Takes any bytes; what is no header gives nothing.
pub fn header_fields(raw: &[u8]) -> Vec<HeaderField> {
    let raw = &*prescan::with_line_feeds(raw);
    let (headers, _) = header::read(raw, 0..raw.len());
    headers
        .fields
        .iter()
        .map(|field| HeaderField {
            name: String::from_utf8_lossy(field.name).into_owned(),
            value: encoded_word::decode(&header::unfold(field.value), None),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_unfolded_decoded_and_in_their_order() {
        let raw = b"Received: a\r\n by b\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nReceived: c\r\n\r\nBody: no\r\n";
        let fields = header_fields(raw);
        let shown: Vec<_> = fields
            .iter()
            .map(|field| (field.name.as_str(), field.value.as_str()))
            .collect();
        assert_eq!(
            shown,
            [("Received", "a by b"), ("Subject", "Grüße"), ("Received", "c")]
        );
        assert!(header_fields(b"").is_empty());
        assert!(header_fields(&[0xff; 4096]).len() < 2);
    }
}

//! Bytes to text: the declared charset where it fits, a guess where it does not or is missing.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, REPLACEMENT, UTF_8};

/// Decoded text and how far the declaration could be trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub text: String,
    /// The charset that was used, when it is not the declared one.
    pub guessed: Option<&'static str>,
    /// Some bytes have no meaning in the charset.
    pub lossy: bool,
}

/// Decodes a body. `label` is the declared charset.
pub(crate) fn decode(bytes: &[u8], label: Option<&str>) -> Decoded {
    decode_with_hint(bytes, label, None)
}

/// As [`decode`], with a charset to try before guessing.
pub(crate) fn decode_with_hint(
    bytes: &[u8],
    label: Option<&str>,
    hint: Option<&'static Encoding>,
) -> Decoded {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        let (text, _, lossy) = encoding.decode(bytes);
        return Decoded {
            text: text.into_owned(),
            guessed: None,
            lossy,
        };
    }
    let label = label
        .map(str::trim)
        .filter(|l| !l.is_empty() && !is_ascii_label(l));
    let declared = label.and_then(lookup);
    let wide = declared.is_some_and(|e| !e.is_ascii_compatible());
    if bytes.is_ascii() && !wide && !has_escape(bytes) {
        return Decoded {
            text: ascii(bytes),
            guessed: None,
            lossy: false,
        };
    }
    match declared {
        Some(encoding) if encoding == UTF_8 => utf8_or_guess(bytes, hint),
        Some(encoding) => declared_or_better(bytes, encoding),
        None => match label.and_then(rare_charset) {
            Some(decoder) => Decoded {
                text: decoder(bytes),
                guessed: None,
                lossy: false,
            },
            // A label that nobody knows says nothing; what was assumed instead is told.
            None => {
                let mut decoded = utf8_or_guess(bytes, hint);
                if label.is_some() {
                    decoded.guessed.get_or_insert("UTF-8");
                }
                decoded
            }
        },
    }
}

/// The encoding a label means, with the spellings that mail software invents.
pub(crate) fn lookup(label: &str) -> Option<&'static Encoding> {
    let label = label.trim().trim_matches(['"', '\'']);
    if is_ascii_label(label) {
        return None;
    }
    if let Some(encoding) = Encoding::for_label(label.as_bytes()) {
        // The "replacement" encoding of the web would turn the whole text into one sign.
        return (encoding != REPLACEMENT).then_some(encoding);
    }
    let lower = label.to_ascii_lowercase();
    let bare: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    let name = match bare.as_str() {
        "utf8mb4" | "unicode11utf8" | "xutf8" | "utf8utf8" => "utf-8",
        "cp932" | "xsjis" | "shiftjisx0213" | "ms932" => "shift_jis",
        "cp936" | "ms936" | "gb18030" | "xgbk" | "hzgb" | "gb" => "gb18030",
        "cp949" | "ms949" | "uhc" | "ksc5601" | "euckr" => "euc-kr",
        "cp950" | "big5hkscs" | "xbig5" => "big5",
        "iso2022jp1" | "iso2022jp2" | "iso2022jp3" | "iso2022jpms" | "cp50220" | "cp50221"
        | "csiso2022jp" => "iso-2022-jp",
        "latin1" | "iso88591" | "88591" | "iso8859" => "windows-1252",
        other => {
            let digits = other.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            return match digits.len() {
                4 if digits.starts_with("125") => Encoding::for_label(format!("windows-{digits}").as_bytes()),
                5 | 6 if digits.starts_with("8859") => {
                    Encoding::for_label(format!("iso-8859-{}", &digits[4..]).as_bytes())
                }
                _ => None,
            };
        }
    };
    Encoding::for_label(name.as_bytes())
}

/// us-ascii means windows-1252 on the web; a mail with 8-bit bytes that says us-ascii says nothing.
fn is_ascii_label(label: &str) -> bool {
    let lower = label.to_ascii_lowercase();
    lower.contains("ascii") || lower.starts_with("ansi_x3")
}

/// Charsets that the web does not know but mail has. UTF-7 is refused: it hides markup from every filter.
fn rare_charset(label: &str) -> Option<fn(&[u8]) -> String> {
    if label.to_ascii_lowercase().contains("utf-7") || label.eq_ignore_ascii_case("utf7") {
        return None;
    }
    mail_parser::decoders::charsets::map::charset_decoder(label.as_bytes())
}

fn ascii(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether ISO-2022-JP escape sequences are present.
fn has_escape(bytes: &[u8]) -> bool {
    memchr::memchr_iter(0x1b, bytes)
        .any(|i| matches!(bytes.get(i + 1..i + 3), Some(b"$B" | b"$@" | b"(J" | b"(I")))
}

/// ISO-2022-JP that says something else of itself. All its bytes are ASCII, so any other charset seems to fit; but no
/// text has the control characters that its escapes are made of.
fn undeclared_iso_2022_jp(bytes: &[u8]) -> Option<Decoded> {
    if !bytes.is_ascii() || !has_escape(bytes) {
        return None;
    }
    let (text, lossy) = ISO_2022_JP.decode_without_bom_handling(bytes);
    mostly_valid(&text).then(|| Decoded {
        text: text.into_owned(),
        guessed: Some(ISO_2022_JP.name()),
        lossy,
    })
}

fn utf8_or_guess(bytes: &[u8], hint: Option<&'static Encoding>) -> Decoded {
    if let Some(decoded) = undeclared_iso_2022_jp(bytes) {
        return decoded;
    }
    if !has_escape(bytes)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Decoded {
            text: text.to_owned(),
            guessed: None,
            lossy: false,
        };
    }
    // Mostly UTF-8 with a few broken bytes (cut in the middle of a character) stays UTF-8.
    let text = String::from_utf8_lossy(bytes);
    if mostly_valid(&text) {
        return Decoded {
            text: text.into_owned(),
            guessed: None,
            lossy: true,
        };
    }
    if let Some(encoding) = hint.filter(|e| *e != UTF_8)
        && let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes)
    {
        return Decoded {
            text: text.into_owned(),
            guessed: Some(encoding.name()),
            lossy: false,
        };
    }
    let encoding = guess(bytes);
    let (text, lossy) = encoding.decode_without_bom_handling(bytes);
    Decoded {
        text: text.into_owned(),
        guessed: Some(encoding.name()),
        lossy,
    }
}

/// At least ten good non-ASCII characters for each replaced one.
fn mostly_valid(text: &str) -> bool {
    let (mut good, mut bad) = (0usize, 0usize);
    for c in text.chars().filter(|c| !c.is_ascii()) {
        if c == '\u{fffd}' { bad += 1 } else { good += 1 }
    }
    good >= bad * 10
}

fn declared_or_better(bytes: &[u8], encoding: &'static Encoding) -> Decoded {
    if encoding.is_ascii_compatible()
        && let Some(decoded) = undeclared_iso_2022_jp(bytes)
    {
        return decoded;
    }
    let strict = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    if encoding.is_ascii_compatible() && looks_utf8(bytes, encoding, strict.is_none()) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        return Decoded {
            text,
            guessed: Some("UTF-8"),
            lossy: false,
        };
    }
    if let Some(text) = strict {
        return Decoded {
            text: text.into_owned(),
            guessed: None,
            lossy: false,
        };
    }
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    let bad = |s: &str| s.chars().filter(|&c| c == '\u{fffd}').count();
    let other = guess(bytes);
    if other != encoding {
        let (candidate, lossy) = other.decode_without_bom_handling(bytes);
        if bad(&candidate) * 4 < bad(&text) {
            return Decoded {
                text: candidate.into_owned(),
                guessed: Some(other.name()),
                lossy,
            };
        }
    }
    Decoded {
        text: text.into_owned(),
        guessed: None,
        lossy: true,
    }
}

/// Whether bytes declared as something else are UTF-8. In double-byte charsets two-byte sequences may be both
/// ("联通" in GBK is valid UTF-8), so three-byte ones are asked for.
fn looks_utf8(bytes: &[u8], encoding: &'static Encoding, declared_fails: bool) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let foreign = text.chars().filter(|c| !c.is_ascii()).count();
    if foreign == 0 || encoding == ISO_2022_JP {
        return false;
    }
    declared_fails || encoding.is_single_byte() || text.chars().filter(|c| c.len_utf8() >= 3).count() >= 2
}

/// The likeliest encoding of bytes that say nothing about themselves.
pub(crate) fn guess(bytes: &[u8]) -> &'static Encoding {
    let sample = &bytes[..bytes.len().min(64 << 10)];
    if has_escape(sample) {
        return ISO_2022_JP;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(sample, true);
    detector.guess(None, Utf8Detection::Allow)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn iso_2022_jp_is_read_whatever_it_is_declared_as() {
        let bytes = b"\x1b$B$3$s$K$A$O\x1b(B\n";
        for label in [
            None,
            Some("us-ascii"),
            Some("utf-8"),
            Some("iso-8859-1"),
            Some("x-nobody-knows"),
        ] {
            let decoded = decode(bytes, label);
            assert_eq!(decoded.text, "こんにちは\n", "{label:?}");
            assert_eq!(decoded.guessed, Some("ISO-2022-JP"), "{label:?}");
        }
        assert_eq!(decode(bytes, Some("iso-2022-jp")).guessed, None);
    }

    #[test]
    fn colours_of_a_terminal_and_utf8_with_an_escape_stay_what_they_are() {
        assert_eq!(decode(b"\x1b[31mred\x1b[0m", None).text, "\u{1b}[31mred\u{1b}[0m");
        let mixed = "grün \u{1b}$B ist grün".as_bytes();
        assert_eq!(decode(mixed, Some("utf-8")).text.as_bytes(), mixed);
    }
}

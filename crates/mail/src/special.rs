//! Parts with a meaning of their own: calendar objects, signed and encrypted bodies, winmail.dat, enclosed mails.

use mail_parser::DateTime;

use crate::model::{Calendar, NotablePart};
use crate::prescan::{Part, Structure};
use crate::{charset, tnef, transfer};

/// Bytes of a calendar object that are read.
const MAX_CALENDAR: usize = 256 << 10;

/// Names the parts worth naming, in the order of the mail.
pub(crate) fn find(raw: &[u8], found: &Structure<'_>) -> Vec<NotablePart> {
    found
        .parts
        .iter()
        .enumerate()
        .filter_map(|(index, part)| {
            let kind = kind(raw, part)?;
            let calendar = (kind == "calendar").then(|| calendar(raw, part));
            Some(NotablePart {
                part_id: (index + 1).to_string(),
                kind: kind.to_owned(),
                calendar,
            })
        })
        .collect()
}

fn kind(raw: &[u8], part: &Part<'_>) -> Option<&'static str> {
    let value = &part.content_type;
    let name = part
        .disposition
        .param("filename")
        .or(value.param("name"))
        .unwrap_or_default()
        .to_ascii_lowercase();
    let protocol = value.param("protocol").unwrap_or_default().to_ascii_lowercase();
    match value.value.as_str() {
        "text/calendar" | "application/ics" => Some("calendar"),
        "multipart/encrypted" => Some("pgp-encrypted"),
        "multipart/signed" if protocol.contains("pgp") => Some("pgp-signed"),
        "multipart/signed" => Some("smime-signed"),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
            let signed = value
                .param("smime-type")
                .is_some_and(|t| t.eq_ignore_ascii_case("signed-data"));
            Some(if signed { "smime-signed" } else { "smime-encrypted" })
        }
        "message/rfc822" | "message/global" => Some("message"),
        _ if is_tnef(part) => Some("tnef"),
        "application/octet-stream" if name.ends_with(".ics") => Some("calendar"),
        "text/plain" if !part.is_multipart => {
            let body = raw.get(part.body.clone()).unwrap_or_default();
            let start = body[..body.len().min(64)].trim_ascii_start();
            if start.starts_with(b"-----BEGIN PGP MESSAGE-----") {
                Some("pgp-encrypted")
            } else {
                start
                    .starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----")
                    .then_some("pgp-signed")
            }
        }
        _ => None,
    }
}

/// Whether the part is Outlook's container, by type or by name.
pub(crate) fn is_tnef(part: &Part<'_>) -> bool {
    let named = |n: &str| n.eq_ignore_ascii_case("winmail.dat");
    matches!(
        part.content_type.value.as_str(),
        "application/ms-tnef" | "application/vnd.ms-tnef"
    ) || part.disposition.param("filename").is_some_and(named)
        || part.content_type.param("name").is_some_and(named)
}

/// The files inside a TNEF part.
pub(crate) fn tnef_files(raw: &[u8], part: &Part<'_>) -> Vec<tnef::File> {
    let (bytes, _) = transfer::decode(raw.get(part.body.clone()).unwrap_or_default(), part.encoding);
    tnef::files(&bytes)
}

fn calendar(raw: &[u8], part: &Part<'_>) -> Calendar {
    let (bytes, _) = transfer::decode(raw.get(part.body.clone()).unwrap_or_default(), part.encoding);
    let label = part.content_type.param("charset").or(Some("utf-8"));
    let text = charset::decode(&bytes[..bytes.len().min(MAX_CALENDAR)], label).text;
    let mut out = Calendar {
        method: part.content_type.param("method").map(str::to_ascii_uppercase),
        ..Calendar::default()
    };
    let mut inside = Vec::new();
    let (mut start, mut lasts) = (None, None);
    for line in unfold(&text) {
        let Some((name, params, value)) = property(&line) else {
            continue;
        };
        match name.as_str() {
            "BEGIN" => inside.push(value.to_ascii_uppercase()),
            "END" => {
                let ended = inside.pop();
                if ended.as_deref() == Some("VEVENT") || ended.as_deref() == Some("VTODO") {
                    break;
                }
            }
            "METHOD" => out.method = Some(value.to_ascii_uppercase()),
            _ if !matches!(inside.last().map(String::as_str), Some("VEVENT" | "VTODO")) => {}
            "ORGANIZER" => {
                let lower = value.to_ascii_lowercase();
                let email = if lower.starts_with("mailto:") {
                    &value[7..]
                } else {
                    &value
                };
                out.organizer = Some(email.to_owned());
            }
            "DTSTART" => {
                out.start = Some(time(&value, &params));
                start = Some((value, params));
            }
            "DURATION" => lasts = duration(&value),
            "DTEND" | "DUE" => out.end = Some(time(&value, &params)),
            "SUMMARY" => out.summary = Some(unescape(&value)),
            _ => {}
        }
    }
    if out.end.is_none()
        && let (Some((value, params)), Some(seconds)) = (start, lasts)
    {
        out.end = later(&value, seconds).map(|end| time(&end, &params));
    }
    out
}

/// Seconds in a duration such as `P1DT2H30M` (RFC 5545, section 3.3.6).
fn duration(value: &str) -> Option<i64> {
    let value = value.trim().to_ascii_uppercase();
    let value = value.strip_prefix('+').unwrap_or(&value).strip_prefix('P')?;
    let mut total = 0i64;
    let mut number = None;
    for c in value.chars() {
        let unit = match c {
            'T' if number.is_none() => continue,
            'W' => 604_800,
            'D' => 86_400,
            'H' => 3_600,
            'M' => 60,
            'S' => 1,
            c => {
                let digit = i64::from(c.to_digit(10)?);
                number = Some(number.unwrap_or(0i64).checked_mul(10)?.checked_add(digit)?);
                continue;
            }
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    number.is_none().then_some(total)
}

/// The moment that many seconds after a basic date or time, in its own form. In a zone it is what the clock on the wall
/// would show if it were not changed in between.
fn later(value: &str, seconds: i64) -> Option<String> {
    const DAY: i64 = 86_400;
    let (date, clock) = value.split_once('T').unwrap_or((value, ""));
    let pair = |text: &str, at: usize| text.get(at..at + 2)?.parse::<u8>().ok();
    let has_clock = clock.len() >= 6;
    let start = DateTime {
        year: date.get(..4)?.parse().ok()?,
        month: pair(date, 4)?,
        day: pair(date, 6)?,
        hour: if has_clock { pair(clock, 0)? } else { 0 },
        minute: if has_clock { pair(clock, 2)? } else { 0 },
        second: if has_clock { pair(clock, 4)? } else { 0 },
        tz_before_gmt: false,
        tz_hour: 0,
        tz_minute: 0,
    };
    // Ten thousand years are enough for any meeting.
    if !start.is_valid() || seconds > 3_650_000 * DAY {
        return None;
    }
    let end = DateTime::from_timestamp(start.to_timestamp() + seconds);
    let day = format!("{:04}{:02}{:02}", end.year, end.month, end.day);
    if !has_clock && seconds % DAY == 0 {
        return Some(day);
    }
    let zone = if value.ends_with('Z') { "Z" } else { "" };
    Some(format!(
        "{day}T{:02}{:02}{:02}{zone}",
        end.hour, end.minute, end.second
    ))
}

/// Content lines with their continuations joined (RFC 5545, section 3.1).
fn unfold(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines().take(20_000) {
        match (line.strip_prefix([' ', '\t']), out.last_mut()) {
            (Some(rest), Some(last)) if last.len() < 8_192 => last.push_str(rest),
            _ => out.push(line.to_owned()),
        }
    }
    out
}

/// Name, parameters and value of a content line.
fn property(line: &str) -> Option<(String, String, String)> {
    let mut quoted = false;
    let colon = line.bytes().position(|b| {
        quoted ^= b == b'"';
        b == b':' && !quoted
    })?;
    let (head, value) = (&line[..colon], &line[colon + 1..]);
    let (name, params) = head.split_once(';').unwrap_or((head, ""));
    Some((
        name.trim().to_ascii_uppercase(),
        params.to_ascii_uppercase(),
        value.trim().to_owned(),
    ))
}

/// `20260302T100000Z` as RFC 3339; a local time keeps its zone behind it, since zones are defined by the sender.
fn time(value: &str, params: &str) -> String {
    let b = value.as_bytes();
    let digits = |r: std::ops::Range<usize>| b.get(r).is_some_and(|d| d.iter().all(u8::is_ascii_digit));
    if !value.is_ascii() || !digits(0..8) {
        return value.to_owned();
    }
    let date = format!("{}-{}-{}", &value[..4], &value[4..6], &value[6..8]);
    if b.get(8) != Some(&b'T') || !digits(9..15) {
        return date;
    }
    let clock = format!("{date}T{}:{}:{}", &value[9..11], &value[11..13], &value[13..15]);
    if value.ends_with('Z') {
        return format!("{clock}Z");
    }
    match params.split(';').find_map(|p| p.strip_prefix("TZID=")) {
        Some(zone) => format!("{clock}[{}]", zone.trim_matches('"')),
        None => clock,
    }
}

fn unescape(value: &str) -> String {
    value
        .replace("\\n", "\n")
        .replace("\\N", "\n")
        .replace("\\,", ",")
        .replace("\\;", ";")
        .replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::{find, time};
    use crate::prescan;

    #[test]
    fn an_invitation_is_read() {
        let raw = b"Content-Type: text/calendar; method=request\n\nBEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VTIMEZONE\nDTSTART:16010101T000000\n\
            END:VTIMEZONE\nBEGIN:VEVENT\nORGANIZER;CN=\"Ada: x\":MAILTO:ada@example.org\nDTSTART;TZID=Europe/Berlin:20260302T100000\n\
            DTEND:20260302T100000Z\nSUMMARY:Tea\\, and\n  cake\nEND:VEVENT\nBEGIN:VEVENT\nSUMMARY:second\nEND:VEVENT\n";
        let found = prescan::scan(raw).expect("small");
        let parts = find(raw, &found);
        let calendar = parts[0].calendar.as_ref().expect("calendar");
        assert_eq!(calendar.method.as_deref(), Some("REQUEST"));
        assert_eq!(calendar.organizer.as_deref(), Some("ada@example.org"));
        assert_eq!(
            calendar.start.as_deref(),
            Some("2026-03-02T10:00:00[EUROPE/BERLIN]")
        );
        assert_eq!(calendar.end.as_deref(), Some("2026-03-02T10:00:00Z"));
        assert_eq!(calendar.summary.as_deref(), Some("Tea, and cake"));
    }

    #[test]
    fn an_event_that_says_how_long_it_lasts_has_an_end() {
        let end = |start: &str, lasts: &str| {
            let raw = format!(
                "Content-Type: text/calendar\n\nBEGIN:VEVENT\nDURATION:{lasts}\nDTSTART{start}\nEND:VEVENT\n"
            );
            let found = prescan::scan(raw.as_bytes()).expect("small");
            let calendar = find(raw.as_bytes(), &found).remove(0).calendar;
            calendar.and_then(|c| c.end)
        };
        let some = |s: &str| Some(s.to_owned());
        assert_eq!(end(":20261231T233000Z", "PT1H15M"), some("2027-01-01T00:45:00Z"));
        assert_eq!(end(";VALUE=DATE:20260227", "P1W"), some("2026-03-06"));
        assert_eq!(
            end(";TZID=Europe/Berlin:20260302T100000", "+P1DT30S"),
            some("2026-03-03T10:00:30[EUROPE/BERLIN]")
        );
        for odd in [
            "",
            "P",
            "1H",
            "PT",
            "PH",
            "-PT1H",
            "PT99999999999999999999S",
            "P9999999W",
            "PT1é",
        ] {
            assert!(
                end(":20260302T100000Z", odd).is_none_or(|e| e == "2026-03-02T10:00:00Z"),
                "{odd}"
            );
        }
        assert_eq!(end(":soon", "PT1H"), None);
    }

    #[test]
    fn odd_times_are_kept_as_written() {
        assert_eq!(time("soon", ""), "soon");
        assert_eq!(time("20260302", ""), "2026-03-02");
        assert_eq!(time("２０２６", ""), "２０２６");
    }

    #[test]
    fn sealed_mails_are_recognised() {
        let kind = |raw: &str| {
            let found = prescan::scan(raw.as_bytes()).expect("small");
            find(raw.as_bytes(), &found)
                .first()
                .map(|p| p.kind.clone())
                .unwrap_or_default()
        };
        assert_eq!(
            kind("Content-Type: application/pkcs7-mime; smime-type=enveloped-data\n\nx"),
            "smime-encrypted"
        );
        assert_eq!(
            kind("Content-Type: application/pkcs7-mime; smime-type=signed-data\n\nx"),
            "smime-signed"
        );
        assert_eq!(
            kind(
                "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=b\n\n--b\n\nx\n--b--\n"
            ),
            "pgp-signed"
        );
        assert_eq!(kind("\n-----BEGIN PGP MESSAGE-----\n"), "pgp-encrypted");
        assert_eq!(kind("\nhello"), "");
    }
}

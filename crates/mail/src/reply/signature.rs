//! Closing lines that are no message: signatures below `-- `, names of devices and programs, footers of lists.

use std::sync::LazyLock;

use super::lines::Line;
use super::words;
use crate::phrases::Phrases;

static SENT_FROM: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(words::SENT_FROM));

/// Lines that a signature may have.
const MAX_LINES: usize = 25;

/// First line of the signature in `lines[from..to]`, which is a stretch of newly written text.
pub(super) fn find(lines: &[Line<'_>], from: usize, to: usize) -> Option<usize> {
    let last = (from..to).rev().find(|&i| !lines[i].is_blank())?;
    let delimiter = (from..=last)
        .rev()
        .take(MAX_LINES)
        .find(|&i| is_delimiter(lines, i, last) && !in_fence(&lines[from..i]));
    if let Some(i) = delimiter {
        // A device line or a name may stand above.
        let above = (from..i).rev().find(|&j| !lines[j].is_blank());
        let name = above.and_then(|j| device_above(lines, from, i).or_else(|| dashed_name(lines, from, j)));
        return Some(name.unwrap_or(i));
    }
    device_above(lines, from, last + 1).or_else(|| dashed_name(lines, from, last))
}

/// `-Ada` or `--Ada Lovelace` on the last line, below an empty one.
fn dashed_name(lines: &[Line<'_>], from: usize, last: usize) -> Option<usize> {
    let line = lines[last].text.trim_end();
    let name = line
        .strip_prefix("--")
        .or_else(|| line.strip_prefix(['-', '—', '–']))?;
    let is_name = name.starts_with(char::is_uppercase)
        && name.split_whitespace().count() <= 4
        && !name.ends_with(['.', '!', '?', ':', ';', ','])
        && name.chars().all(|c| c.is_alphabetic() || " .-'".contains(c));
    (is_name && last > from && lines[last - 1].is_blank()).then_some(last)
}

/// `-- `, `--`, `__`, or a rule of underscores above the footer of a list.
fn is_delimiter(lines: &[Line<'_>], at: usize, last: usize) -> bool {
    let line = lines[at].text.trim_end();
    if line == "--" || line == "__" || line == "—" || line == "\u{2013}\u{2013}" {
        return last > at && last - at <= MAX_LINES;
    }
    let rule = line.len() >= 5 && line.bytes().all(|b| b == b'_');
    rule && last > at && last - at <= 8
}

/// Inside ``` nothing is a signature.
fn in_fence(lines: &[Line<'_>]) -> bool {
    lines
        .iter()
        .filter(|l| l.text.trim_start().starts_with("```"))
        .count()
        % 2
        == 1
}

/// The device line that ends at `end`, with only blank lines between.
fn device_above(lines: &[Line<'_>], from: usize, end: usize) -> Option<usize> {
    let i = (from..end).rev().find(|&i| !lines[i].is_blank())?;
    is_device(lines[i].body).then_some(i)
}

/// Whether the line is what a phone or a program adds.
pub(super) fn is_device(line: &str) -> bool {
    let bare = line.trim_matches(|c: char| "<>()*_-. ".contains(c) || c == '\u{a0}');
    if bare.len() > 160 {
        return false;
    }
    let lower = bare.to_lowercase();
    // "… Please excuse my brevity."
    let lower = match lower.split_once(". ") {
        Some((first, rest)) if words::EXCUSES.iter().any(|e| rest.contains(e)) => first,
        _ => lower.as_str(),
    };
    SENT_FROM.any(lower, |start, _| adds(bare, lower, start))
}

/// Whether a line with the phrase `start` in it names a device or a program, and is no sentence.
fn adds(bare: &str, lower: &str, start: &str) -> bool {
    let Some((before, rest)) = lower.split_once(start) else {
        return false;
    };
    let at_start = before.is_empty();
    let named = words::DEVICES.iter().any(|d| lower.contains(d));
    // "Sent from a magnificent torch of pixels" is somebody's wit. Case is looked up in the line as it was written.
    let capital = bare
        .get(bare.len().saturating_sub(rest.len())..)
        .is_some_and(|p| p.starts_with(|c: char| c.is_uppercase() || c.is_numeric()));
    if start.is_ascii() && !named && !capital {
        return false;
    }
    let marker = !start.is_ascii() || start.contains("outlook") || start.contains("iphone") || at_start;
    let words = lower.split_whitespace().count();
    let limit = match (lower.contains("http") || lower.contains('<'), at_start) {
        // "… smartphone on the network of …"
        (_, true) if named => 16,
        (true, _) => 14,
        (false, true) => 12,
        (false, false) => 9,
    };
    marker && words <= limit && !has_clause(bare)
}

/// "Sent from my desk, which is easier to type on" is a sentence; "… Verizon, Samsung Galaxy" is a list.
fn has_clause(line: &str) -> bool {
    let after_comma = line.split(", ").skip(1).any(|part| {
        !part.starts_with(char::is_uppercase) && !part.starts_with("an ") && !part.starts_with("a ")
    });
    let sentences = line.split_once(". ").is_some_and(|(_, rest)| {
        let rest = rest.to_lowercase();
        !words::EXCUSES.iter().any(|e| rest.contains(e))
    });
    after_comma || sentences || line.contains("? ")
}

#[cfg(test)]
mod tests {
    use super::is_device;

    #[test]
    fn device_lines_are_known_in_many_languages() {
        for line in [
            "Sent from my iPhone",
            "Sent from Yahoo Mail on Android",
            "Von meinem iPhone gesendet",
            "Envoyé de mon iPhone",
            "Enviado desde mi iPad",
            "Inviato da iPhone",
            "Verzonden vanaf mijn iPhone",
            "Sendt fra min iPad",
            "Wysłane z iPhone'a",
            "Отправлено с iPhone",
            "iPhoneから送信",
            "发自我的iPhone",
            "Get Outlook for iOS<https://aka.ms/x>",
            "Sent with Proton Mail secure email.",
        ] {
            assert!(is_device(line), "{line}");
        }
    }

    #[test]
    fn sentences_are_no_device_lines() {
        for line in [
            "Sent from my desk, is much easier then my mobile phone.",
            "I sent from my account two mails and got nothing back at all",
            "Hello",
        ] {
            assert!(!is_device(line), "{line}");
        }
    }
}

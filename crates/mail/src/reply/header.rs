//! Where a quoted or forwarded mail begins: "On …, … wrote:", the header block of Outlook and its kin, lines of dashes
//! with "Original Message" between them.

use std::sync::LazyLock;

use super::lines::Line;
use super::words;
use crate::phrases::Phrases;

static WROTE: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(words::WROTE));

/// The beginning of a quoted mail: lines `start..end` introduce it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Intro {
    pub start: usize,
    pub end: usize,
    pub forward: bool,
    /// A block that says so unmistakably; a sentence with "wrote:" is less sure.
    pub block: bool,
    /// Its own quote marks say nothing of the quote below.
    pub unmarked: bool,
    /// Could be a sentence; only quote marks below make it an introduction.
    pub weak: bool,
}

/// Lines that one introduction may be wrapped over.
const MAX_WRAP: usize = 5;
/// Longest introduction in bytes.
const MAX_LEN: usize = 600;

/// Looks for an introduction at line `at`.
pub(super) fn find(lines: &[Line<'_>], fields: &[u8], at: usize) -> Option<Intro> {
    if lines[at].is_blank() || lines[at].text.len() > 2 * MAX_LEN {
        return None;
    }
    groupwise(&lines[at], at)
        .or_else(|| delimiter(lines, fields, at))
        .or_else(|| foreign_block(lines, at))
        .or_else(|| field_block(fields, at))
        .or_else(|| one_line_block(&lines[at], at))
        .or_else(|| stacked_block(lines, at))
        .or_else(|| wrote(lines, at))
}

/// GroupWise: `>>> Ada Lovelace <ada@example.org> 3/2/2026 10:00 AM >>>`, with an unmarked quote below.
fn groupwise(line: &Line<'_>, at: usize) -> Option<Intro> {
    let core = line
        .text
        .trim()
        .strip_prefix(">>>")?
        .trim_end()
        .strip_suffix(">>>")?;
    let is_intro =
        core.len() < MAX_LEN && has_date(&core.to_lowercase()) && core.contains(char::is_alphabetic);
    is_intro.then_some(Intro {
        start: at,
        end: at + 1,
        block: true,
        unmarked: true,
        ..Intro::default()
    })
}

/// `-----Original Message-----`, `---------- Forwarded message ---------`, `Begin forwarded message:`.
fn delimiter(lines: &[Line<'_>], fields: &[u8], at: usize) -> Option<Intro> {
    let body = lines[at].body;
    if body.len() > 120 {
        return None;
    }
    if !body.starts_with(|c: char| DASHES.contains(&c)) && !body.ends_with([':', '：']) {
        return above_this_line(body).then_some(Intro {
            start: at,
            end: at + 1,
            block: true,
            ..Intro::default()
        });
    }
    let core = body.trim_matches(|c: char| DASHES.contains(&c) || " \u{a0}>#".contains(c));
    if core.is_empty() {
        return None;
    }
    let dashed = body.len() > core.len() + 3 && body.starts_with(|c: char| DASHES.contains(&c));
    let lower = core.trim_end_matches([':', '：', '.']).trim().to_lowercase();
    let apple = core.ends_with([':', '：']);
    let is = |list: &[&str]| {
        list.iter()
            .any(|w| lower == *w || (dashed && lower.starts_with(w)))
    };
    let forward = (dashed || apple) && is(words::FORWARDED);
    // "Original message:" without dashes is a heading of its own only above the header of that message.
    let heads = || {
        let next = (at + 1..lines.len().min(at + 3)).find(|&i| !lines[i].is_blank());
        apple && next.is_some_and(|i| field_run(fields, i, 2).is_some())
    };
    let original = is(words::ORIGINAL) && (dashed || heads());
    let original = original || above_this_line(body);
    if !forward && !original {
        return None;
    }
    let mut end = at + 1;
    // The header block below belongs to it.
    let next = (end..lines.len().min(end + 4)).find(|&i| !lines[i].is_blank());
    if let Some(block) = next.and_then(|i| field_run(fields, i, 2)) {
        end = block;
    }
    Some(Intro {
        start: at,
        end,
        forward,
        block: true,
        ..Intro::default()
    })
}

const DASHES: [char; 10] = ['-', '*', '_', '=', '~', '—', '–', '\u{2010}', '─', '━'];

/// What stands between two rows of dashes at the start of a line, and what follows them.
///
/// Telephones write the header of the quoted mail right behind: `-------- Original message --------From: Ada …`.
fn between_dashes(body: &str) -> Option<(&str, &str)> {
    let is_dash = |c: char| DASHES.contains(&c);
    let inner = body.trim_start_matches(is_dash);
    let row = |s: &str| s.chars().take_while(|&c| is_dash(c)).count();
    if row(body) < 3 {
        return None;
    }
    let mut from = 0;
    while let Some(at) = inner[from..].find(is_dash).map(|i| from + i) {
        let length = row(&inner[at..]);
        if length >= 3 {
            let after = inner[at..].trim_start_matches(is_dash);
            return Some((inner[..at].trim(), after.trim()));
        }
        from = at
            + inner[at..]
                .chars()
                .take(length)
                .map(char::len_utf8)
                .sum::<usize>();
    }
    None
}

/// A heading between dashes, or a rule, above fields in a language that nobody thought of here.
///
/// What makes them the header of a mail is their shape: three or more of them on end, one with an address in angle
/// brackets, one with a date and a time.
fn foreign_block(lines: &[Line<'_>], at: usize) -> Option<Intro> {
    let body = lines[at].body;
    let rule = body.len() >= 10 && body.chars().all(|c| DASHES.contains(&c));
    let heading = body.len() <= 160
        && between_dashes(body).is_some_and(|(title, after)| {
            after.is_empty() && title.contains(char::is_alphabetic) && title.split_whitespace().count() <= 9
        });
    if !rule && !heading {
        return None;
    }
    let first = (at + 1..lines.len().min(at + 4)).find(|&i| !lines[i].is_blank())?;
    let (mut count, mut address, mut date) = (0, false, false);
    for line in lines.iter().skip(first).take(10) {
        let Some((name, value)) = any_field(line.body) else {
            break;
        };
        if name.chars().any(char::is_numeric) {
            return None;
        }
        count += 1;
        address |= value.contains('@') && value.contains('<');
        date |= has_date(value) && value.contains([':', '.']);
    }
    (count >= 3 && address && date).then_some(Intro {
        start: at,
        end: first + count,
        block: true,
        ..Intro::default()
    })
}

/// `name: value` with a name of few words, whatever the language.
fn any_field(body: &str) -> Option<(&str, &str)> {
    let (at, colon) = body.char_indices().take(30).find(|(_, c)| COLONS.contains(c))?;
    let name = body[..at].trim();
    let value = body[at + colon.len_utf8()..].trim();
    let few_words = !name.is_empty() && name.split_whitespace().count() <= 4;
    (few_words && !value.is_empty()).then_some((name, value))
}

/// Colons of several scripts.
const COLONS: [char; 4] = [':', '：', '៖', '։'];

/// `From: Ada Sent: Monday To: Bob Subject: x` on one line, as it is left when line ends are lost.
fn one_line_block(line: &Line<'_>, at: usize) -> Option<Intro> {
    let (title, rest) = between_dashes(line.body).unwrap_or(("", line.body));
    let known = title.is_empty() || {
        let lower = title.to_lowercase();
        words::ORIGINAL
            .iter()
            .chain(words::FORWARDED)
            .any(|w| lower.starts_with(w))
    };
    if !known || line.body.len() > MAX_LEN || field_kind(rest) != Some(1) {
        return None;
    }
    let mut seen = 0u8;
    let tokens: Vec<&str> = rest.split_whitespace().collect();
    for (i, token) in tokens.iter().enumerate() {
        if !token.ends_with([':', '：']) {
            continue;
        }
        // Names of two words as well: `Enviado el:`.
        let pair = i
            .checked_sub(1)
            .map(|before| format!("{} {token}", tokens[before]));
        let kind = field_kind(token).or_else(|| pair.as_deref().and_then(field_kind));
        seen |= kind.unwrap_or(0);
    }
    (seen & 1 != 0 && seen.count_ones() >= 4).then_some(Intro {
        start: at,
        end: at + 1,
        forward: !title.is_empty()
            && words::FORWARDED
                .iter()
                .any(|w| title.to_lowercase().starts_with(w)),
        block: true,
        ..Intro::default()
    })
}

/// Notes, whose header is a table: sender and date on lines of their own, then each name above its value.
fn stacked_block(lines: &[Line<'_>], at: usize) -> Option<Intro> {
    if !lines[at].body.contains('@') && !lines[at].body.contains('/') {
        return None;
    }
    let (date, _) = next_text(lines, at + 1)?;
    let dated = lines[date].body;
    if date > at + 2 || dated.len() > 80 || !has_date(&dated.to_lowercase()) {
        return None;
    }
    let (mut seen, mut end) = (0u8, date);
    for i in date + 1..lines.len().min(date + 16) {
        let name = lines[i].body.trim_end_matches([':', ' ']).to_lowercase();
        let kind = name_kind(&name).unwrap_or(0) & (4 | 8);
        if kind & !seen == 0 {
            continue;
        }
        seen |= kind;
        end = next_text(lines, i + 1).map_or(i, |(value, _)| value);
        if seen == 4 | 8 {
            break;
        }
    }
    (seen == 4 | 8).then_some(Intro {
        start: at,
        end: end + 1,
        block: true,
        ..Intro::default()
    })
}

/// The next line with text within the next three.
fn next_text<'a>(lines: &'a [Line<'a>], from: usize) -> Option<(usize, &'a Line<'a>)> {
    let found = lines.iter().enumerate().skip(from).take(3);
    found.into_iter().find(|(_, l)| !l.is_blank())
}

/// Whether a helpdesk asks for answers above this line.
fn above_this_line(body: &str) -> bool {
    body.len() <= 120 && body.contains(' ') && {
        let lower = body.to_lowercase();
        words::ABOVE_THIS_LINE.iter().any(|w| lower.contains(w))
    }
}

/// `From: … Sent: … To: … Subject: …` in any order and language.
fn field_block(fields: &[u8], at: usize) -> Option<Intro> {
    let end = field_run(fields, at, 3)?;
    Some(Intro {
        start: at,
        end,
        block: true,
        ..Intro::default()
    })
}

/// End of a run of header fields that has at least `wanted` different ones.
fn field_run(fields: &[u8], at: usize, wanted: u32) -> Option<usize> {
    let mut seen = 0u8;
    let mut end = at;
    let mut gap = 0;
    for (i, &kind) in fields.iter().enumerate().skip(at).take(14) {
        if kind != 0 {
            seen |= kind;
            end = i + 1;
            gap = 0;
        } else {
            // One wrapped line or one blank line between fields.
            gap += 1;
            if gap > 1 || i == at {
                break;
            }
        }
    }
    let names_sender = seen & 1 != 0;
    (names_sender && seen.count_ones() >= wanted).then_some(end)
}

/// For each line which header field it looks like, as a bit; 0 for none.
pub(super) fn fields(lines: &[Line<'_>]) -> Vec<u8> {
    lines.iter().map(|l| field_kind(l.body).unwrap_or(0)).collect()
}

/// Which field the line is, as a bit.
fn field_kind(body: &str) -> Option<u8> {
    // A row of a table has a bar where others have a colon.
    let row = body.starts_with('|');
    let body = body.trim_start_matches(['*', '_', '|', ' ']);
    let colon = body
        .char_indices()
        .take(40)
        .find(|(_, c)| COLONS.contains(c) || row && *c == '|')?
        .0;
    name_kind(
        &body[..colon]
            .trim_matches(['*', '_', ' ', '\u{a0}'])
            .to_lowercase(),
    )
}

/// Which field has that name in lower case, as a bit.
fn name_kind(name: &str) -> Option<u8> {
    let bits: [(&[&str], u8); 5] = [
        (words::FROM, 1),
        (words::SENT, 2),
        (words::TO, 4),
        (words::SUBJECT, 8),
        (words::REPLY_TO, 16),
    ];
    bits.iter()
        .find(|(list, _)| list.contains(&name))
        .map(|(_, bit)| *bit)
}

/// `On Monday, Ada <ada@example.org> wrote:` and what other languages make of it.
fn wrote(lines: &[Line<'_>], at: usize) -> Option<Intro> {
    let first = lines[at].body;
    let depth = lines[at].depth;
    let closes =
        |l: &Line<'_>| l.body.ends_with(COLONS) || l.body.ends_with(['-', '_', '*']) || l.depth > depth;
    if !lines.iter().skip(at).take(MAX_WRAP + 2).any(closes) {
        return None;
    }
    let dated = opens_with_date(lines, at);
    if !dated && !could_start(first) {
        return None;
    }
    let mut joined = String::new();
    for (i, line) in lines.iter().enumerate().skip(at).take(MAX_WRAP) {
        if joined.len() + line.body.len() > MAX_LEN {
            return None;
        }
        if line.is_blank() {
            // A client that makes every line a paragraph separates the address from the name.
            if lines
                .get(i + 1)
                .is_some_and(|next| next.body.starts_with('<') && next.depth == depth)
            {
                continue;
            }
            return None;
        }
        // The sign that closes an address may be wrapped to the start of a line and look like a quote mark.
        let closing = i > at && line.depth == depth + 1 && joined.contains('<') && line.body.ends_with(':');
        if i > at && (line.depth != depth && !closing || is_new_start(line.body)) {
            return None;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(line.body);
        // What ends like an introduction and is none will not become one by its next line.
        if ends_intro(&joined) {
            // Whatever the language: a date and a few words with a colon, directly above a quote.
            let weak = judge(&joined).or_else(|| (dated && !is_sentence(&joined)).then_some(true))?;
            return Some(Intro {
                start: at,
                end: i + 1,
                weak,
                ..Intro::default()
            });
        }
        // Some clients forget the colon; then only a quote directly below tells.
        if joined.rfind('<') <= joined.rfind('>') && quote_follows(lines, i + 1, depth) {
            let judged = judge(&joined);
            let sure = judged == Some(false) || judged.is_some() && dated;
            return sure.then_some(Intro {
                start: at,
                end: i + 1,
                weak: true,
                ..Intro::default()
            });
        }
    }
    None
}

/// Whether the next line with text is quoted deeper.
fn quote_follows(lines: &[Line<'_>], from: usize, depth: usize) -> bool {
    lines
        .iter()
        .skip(from)
        .take(3)
        .find(|l| !l.is_blank() || l.depth > depth)
        .is_some_and(|l| l.depth > depth)
}

/// Whether a paragraph begins here that is little more than a date with a time.
fn opens_with_date(lines: &[Line<'_>], at: usize) -> bool {
    let body = lines[at].body;
    let opens = at == 0 || lines[at - 1].is_blank() || lines[at - 1].depth != lines[at].depth;
    opens
        && body.len() <= 200
        && body.split_whitespace().count() <= 14
        && !body.ends_with(['!', '?', ';'])
        && has_date(&body.to_lowercase())
        && has_time(body)
}

/// `10:05` or `10.05`.
fn has_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    (1..bytes.len()).any(|i| {
        matches!(bytes[i], b':' | b'.')
            && digit(i.checked_sub(1))
            && digit(Some(i + 1))
            && digit(Some(i + 2))
            && !digit(Some(i + 3))
    })
}

/// Something with a full stop or a colon inside it.
fn is_sentence(joined: &str) -> bool {
    let core = joined.trim_end_matches(COLONS).trim_end();
    let stop = core
        .split(". ")
        .skip(1)
        .any(|rest| rest.starts_with(char::is_uppercase) && rest.split_whitespace().count() > 4);
    core.split_whitespace().count() > 16 || core.contains(": ") || stop
}

fn ends_intro(joined: &str) -> bool {
    let trimmed = joined.trim_end_matches(|c: char| "-_* \u{a0}".contains(c));
    // Zoho writes dashes instead of the colon.
    trimmed.ends_with(COLONS) || (trimmed.len() + 3 < joined.len() && joined.starts_with("--"))
}

fn has_wrote(lower: &str) -> bool {
    WROTE.any(lower, |w, at| {
        let before = lower[..at].chars().next_back();
        !w.is_ascii() || before.is_none_or(|c| !c.is_alphanumeric())
    })
}

/// `Ada <ada@example.org> wrote:`, as against "I wrote to ada@example.org and she said:".
fn ends_with_wrote(lower: &str) -> bool {
    let bare = lower.trim_end_matches(|c: char| COLONS.contains(&c) || c.is_whitespace());
    // Both genders at once: `napsal(a)`, `napísal/a`, `napisao/la`, `a écrit(e)`.
    let bare = ["(a)", "/a", "/la", "(la)", "(e)", "(ла)", "/ла", "(а)"]
        .iter()
        .find_map(|end| bare.strip_suffix(end))
        .unwrap_or(bare);
    words::WROTE.iter().any(|w| bare.ends_with(w))
}

/// `skrev Ada Lovelace:`, as languages have it that put the verb first.
fn starts_with_wrote(lower: &str) -> bool {
    words::WROTE.iter().any(|w| {
        lower
            .strip_prefix(w)
            .is_some_and(|rest| rest.starts_with(' ') && rest.len() > 3)
    })
}

/// Whether the words introduce a quote, and if so whether they could be a sentence as well.
fn judge(joined: &str) -> Option<bool> {
    let core = joined.trim_matches(|c: char| "-_* ".contains(c));
    let lower = core.to_lowercase();
    let address = core.contains('@') || core.contains('<') && core.contains('>') || core.contains("[mailto");
    let date = has_date(&lower);
    let starts = starts_like_header(&lower);
    let wrote = has_wrote(&lower);
    let words = core.split_whitespace().count();
    // `: ` in the middle is a sentence or a header field; times (10:30) and `mailto:` are not meant.
    let sentence = core.trim_end_matches(COLONS).contains(": ");
    if sentence && !(address && date && wrote) {
        return None;
    }
    if wrote {
        let sure = address
            && (lower.contains("wrote in message")
                || date
                || starts
                || words <= 12 && ends_with_wrote(&lower))
            || date && starts;
        // "Ada Lovelace wrote:" could begin a story.
        let name = words <= 6 && (ends_with_wrote(&lower) || starts_with_wrote(&lower));
        return (sure || name || date && words <= 14).then_some(!sure);
    }
    if address && words::QUOTING.iter().any(|q| lower.starts_with(q)) {
        return Some(false);
    }
    if address && date && words <= 25 {
        return Some(false);
    }
    // "Thus spake Ada <ada@example.org>:" is one only above a quote.
    (core.ends_with(">:") && words <= 10).then_some(true)
}

/// Whether the first line of an introduction could be this one.
fn could_start(body: &str) -> bool {
    let core = body.trim_start_matches(|c: char| "-_* ".contains(c));
    let lower = core.to_lowercase();
    let digits = lower.chars().any(char::is_numeric);
    (starts_like_header(&lower) && (digits || core.contains('@') || lower.len() < 40))
        || core.contains('@')
        || core.contains('<')
        || has_wrote(&lower)
            && (digits || core.len() < 80 && (ends_with_wrote(&lower) || starts_with_wrote(&lower)))
}

/// Whether a wrapped line is rather the first line of an introduction: the text above it is no part of it.
fn is_new_start(body: &str) -> bool {
    let lower = body.to_lowercase();
    let digits = lower.bytes().filter(u8::is_ascii_digit).count();
    ["on ", "le ", "am ", "den ", "el ", "em ", "il ", "op ", "dnia "]
        .iter()
        .any(|s| lower.starts_with(s))
        && digits >= 5
}

fn starts_like_header(lower: &str) -> bool {
    let lower = lower.trim_start_matches(['(', '[']);
    lower.starts_with(|c: char| c.is_ascii_digit())
        || words::HEADER_STARTS.iter().any(|s| lower.starts_with(s))
        || words::DAYS.iter().any(|d| lower.starts_with(d))
}

/// A year, a time or a date in figures.
fn has_date(lower: &str) -> bool {
    let mut run = String::new();
    for c in lower.chars().chain([' ']) {
        // Digits of other scripts count as well: ٢٠٢٦.
        if c.is_numeric() || matches!(c, ':' | '.' | '/' | '-') {
            run.push(if c.is_numeric() {
                c.to_digit(10).map_or('2', |_| c)
            } else {
                c
            });
            continue;
        }
        let word = run.trim_matches([':', '.', '/', '-']);
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let is_year = digits == 4 && word.len() == 4 && (word.starts_with("19") || word.starts_with("20"));
        let is_figures = (3..=8).contains(&digits) && word.len() > digits;
        if is_year || is_figures {
            return true;
        }
        run.clear();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{fields, find};
    use crate::reply::lines;

    fn intro(text: &str) -> Option<(usize, bool)> {
        let lines = lines::split(text);
        find(&lines, &fields(&lines), 0).map(|i| (i.end, i.forward))
    }

    #[test]
    fn introductions_of_many_clients_and_languages_are_known() {
        for text in [
            "On Mon, Mar 2, 2026 at 10:00 AM Ada <ada@example.org> wrote:",
            "On 2 Mar 2026, at 10:00, Ada <ada@example.org> wrote:",
            "Am 02.03.26 um 10:00 schrieb Ada Graf:",
            "Am Mo., 2. März 2026 um 10:00 Uhr schrieb Ada <ada@example.org>:",
            "Ada <ada@example.org> schrieb am Mo., 2. März 2026, 10:00:",
            "Le lun. 2 mars 2026 à 10:00, Ada <ada@example.org> a écrit :",
            "El lun, 2 mar 2026 a las 10:00, Ada (<ada@example.org>) escribió:",
            "Em seg., 2 de mar. de 2026 às 10:00, Ada <ada@example.org> escreveu:",
            "Il giorno lun 2 mar 2026 alle ore 10:00 Ada <ada@example.org> ha scritto:",
            "Op ma 2 mrt 2026 om 10:00 schreef Ada <ada@example.org>:",
            "Den mån 2 mars 2026 kl 10:00 skrev Ada <ada@example.org>:",
            "pon., 2 mar 2026 o 10:00 Ada <ada@example.org> napisał(a):",
            "W dniu 02.03.2026 o 10:00, Ada pisze:",
            "po 2. 3. 2026 v 10:00 odesílatel Ada <ada@example.org> napsal:",
            "пн, 2 мар. 2026 г. в 10:00, Ада <ada@example.org>:",
            "02.03.2026 10:00, Ада пишет:",
            "Понедельник, 2 марта 2026, 10:00 +03:00 от Ада <ada@example.org>:",
            "ma 2. maalisk. 2026 klo 10.00 Ada (ada@example.org) kirjoitti:",
            "Ada <ada@example.org>, 2 Mar 2026 Pzt, 10:00 tarihinde şunu yazdı:",
            "Ada <ada@example.org> ezt írta (időpont: 2026. márc. 2., H, 10:00):",
            "2026年3月2日(月) 10:00 Ada <ada@example.org>:",
            "Ada <ada@example.org> 于2026年3月2日周一 10:00写道：",
            "2026년 3월 2일 (월) 오전 10:00, Ada <ada@example.org>님이 작성:",
            "---- On Mon, 02 Mar 2026 10:00:00 +0000 Ada <ada@example.org> wrote ----",
            "Vào Th 2, 2 thg 3, 2026 vào lúc 10:00 Ada <ada@example.org> đã viết:",
            "On Monday, March 2nd, 2026 at 10:00 AM, Ada <ada@example.org> wrote:",
            "\"Ada\" <ada@example.org> wrote:",
        ] {
            assert_eq!(intro(text), Some((1, false)), "{text}");
        }
    }

    #[test]
    fn a_wrapped_introduction_is_one() {
        assert_eq!(
            intro("On Mon, Mar 2, 2026 at 10:00 AM Ada Countess of Lovelace <\nada@example.org> wrote:")
                .map(|i| i.0),
            Some(2)
        );
        assert_eq!(
            intro("Am 02.03.2026 10:00 schrieb \"Ada\" <ada@a.rather.long.host.example\n>:").map(|i| i.0),
            Some(2)
        );
    }

    #[test]
    fn header_blocks_are_known_in_many_languages() {
        for text in [
            "From: Ada\nSent: Monday\nTo: Bob\nSubject: x",
            "*Von:* Ada\n*Gesendet:* Montag\n*An:* Bob\n*Betreff:* x",
            "De : Ada\nEnvoyé : lundi\nÀ : Bob\nObjet : x",
            "Från: Ada\nSkickat: den 2 mars\nTill: Bob\nÄmne: x",
            "发件人: Ada\n发送时间: 2026年3月2日\n收件人: Bob\n主题: x",
            "差出人: Ada\n送信日時: 2026年3月2日\n宛先: Bob\n件名: x",
        ] {
            assert_eq!(intro(text), Some((4, false)), "{text}");
        }
    }

    #[test]
    fn forwards_are_told_from_quotes() {
        assert_eq!(
            intro("---------- Forwarded message ---------\nFrom: Ada\nDate: x\nSubject: y"),
            Some((4, true))
        );
        assert_eq!(intro("Begin forwarded message:"), Some((1, true)));
        assert_eq!(intro("-----Ursprüngliche Nachricht-----"), Some((1, false)));
    }

    #[test]
    fn sentences_are_no_introductions() {
        for text in [
            "Please write to ada@example.org:",
            "As I wrote: nothing helps.",
            "On Monday I will be away.",
            "The steps are as follows:",
            "From: the start we knew",
            "He wrote 3 mails:",
            "Error 2026-03-02 10:00: the printer is on fire",
        ] {
            assert_eq!(intro(text), None, "{text}");
        }
    }
}

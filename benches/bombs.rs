//! Mails of ten megabytes made to cost as much as possible: how long each takes and how much memory.
//!
//! `cargo bench -p mailgrant-mail --bench bombs`. Each runs in a process of its own, so that memory is its own. The end
//! names those over two seconds or 256 MB, and fails if there are any.

use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::Instant;

use mailgrant_mail::parse;

const SIZE: usize = 10 << 20;
const MAX_MILLISECONDS: u128 = 2_000;
const MAX_KILOBYTES: u64 = 256 << 10;

const HEAD: &str = "From: a@b.example\nSubject: x\n";
const PLAIN: &str = "From: a@b.example\nSubject: x\n\n";
const HTML: &str = "From: a@b.example\nSubject: x\nContent-Type: text/html\n\n";
const MIXED: &str = "From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n";
const DAEMON: &str = "From: MAILER-DAEMON@b.example\nReturn-Path: <>\nSubject: Undelivered Mail\n\n";

/// A start and a piece that is repeated until the mail has its size.
const BOMBS: &[(&str, &str, &str)] = &[
    (
        "introductions",
        PLAIN,
        "On Mon, Jan 1, 2026 at 1:00 PM A <a@b> wrote:\r\n",
    ),
    (
        "half introductions",
        PLAIN,
        "On Mon, Jan 1, 2026 at 1:00 PM A <a@b\r\n",
    ),
    (
        "introductions and quotes",
        PLAIN,
        "On Mon, Jan 1, 2026, A <a@b> wrote:\n> x\ny\n",
    ),
    ("answers between quotes", PLAIN, "> a\nb\n"),
    ("deep quotes", PLAIN, ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>> a\n"),
    ("only quote marks", PLAIN, ">"),
    ("header blocks", PLAIN, "From: a\nSent: b\nTo: c\nSubject: d\n\n"),
    ("half header blocks", PLAIN, "From: a\nSent: b\n\n"),
    ("forwards", PLAIN, "---------- Forwarded message ---------\n> x\n"),
    ("original messages", PLAIN, "-----Original Message-----\n"),
    ("signatures", PLAIN, "x\n-- \n"),
    ("device lines", PLAIN, "Sent from my iPhone\n> x\n"),
    ("code fences", PLAIN, "```\n--\nx\n"),
    ("empty lines", PLAIN, "\n"),
    ("white space", PLAIN, " "),
    ("at signs", PLAIN, "@"),
    ("addresses", DAEMON, "<a@b.example>: 550 5.1.1 User unknown\n"),
    (
        "undelivered addresses",
        DAEMON,
        "could not be delivered to a@b.example\n",
    ),
    (
        "delivery status",
        "From: a@b.example\nContent-Type: message/delivery-status\n\n",
        "Final-Recipient: rfc822; a@b.example\nAction: failed\n\n",
    ),
    (
        "folded status",
        "From: a@b.example\nContent-Type: message/delivery-status\n\nFinal-Recipient: x\n",
        " x\n",
    ),
    ("boundaries", MIXED, "--b\n\n"),
    ("near boundaries", MIXED, "--bb\n"),
    (
        "parts with headers",
        MIXED,
        "--b\nContent-Type: text/plain; name=\"a\"\n\nx\n",
    ),
    (
        "nested parts",
        HEAD,
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n",
    ),
    ("headers", "", "A: b\n"),
    ("folded header", "Subject: x\n", " x\n"),
    ("one header line", "Subject: ", "x"),
    ("encoded words", "Subject: x", " =?utf-8?Q?=C3?=\n"),
    ("broken encoded words", "Subject: x", "=?utf-8?Q?"),
    ("recipients", "To: x@y.example", ",\n a@b.example"),
    ("comments", "From: ", "("),
    ("quotes in names", "From: ", "\"\\"),
    ("references", "References: x", "\n <a@b>"),
    ("parameters", "Content-Type: text/plain", ";\n a*1*=b"),
    (
        "sections of a parameter",
        "Content-Type: text/plain; name*0=x",
        ";\n name*9=b",
    ),
    ("nested elements", HTML, "<div>"),
    ("unclosed formatting", HTML, "<b><p>x"),
    ("tables", HTML, "<table><tr><td>"),
    ("block quotes", HTML, "<blockquote>x"),
    ("marks", HTML, "<div class=gmail_quote>x</div>"),
    (
        "attributes",
        "From: a@b.example\nContent-Type: text/html\n\n<p ",
        "a=1 ",
    ),
    ("unfinished tags", HTML, "<p a=\""),
    ("comments of HTML", HTML, "<!-- "),
    (
        "entities",
        HTML,
        "&amp;&#x1F600;&CounterClockwiseContourIntegral;",
    ),
    ("less-than signs", HTML, "<"),
    ("links", HTML, "<a href=http://x.example>x</a>"),
    ("styles", HTML, "<p style=\"color:red;margin:1px\">x</p>"),
    ("base64", "Content-Transfer-Encoding: base64\n\n", "YWJj\n"),
    ("broken base64", "Content-Transfer-Encoding: base64\n\n", "Y*Wé"),
    (
        "quoted-printable",
        "Content-Transfer-Encoding: quoted-printable\n\n",
        "=41=",
    ),
    ("guessed charset", PLAIN, "\u{e9}\u{4e2d}"),
    (
        "escapes of ISO-2022-JP",
        "Content-Type: text/plain; charset=iso-2022-jp\n\n",
        "\u{1b}$B!!\u{1b}(B",
    ),
    (
        "calendar",
        "Content-Type: text/calendar\n\n",
        "BEGIN:VEVENT\n SUMMARY\n",
    ),
    (
        "uuencode",
        "Content-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n",
        "M86)C\n",
    ),
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    if let Some(index) = args.next().and_then(|a| a.parse::<usize>().ok()) {
        return one(index);
    }
    let mut out = std::io::stdout().lock();
    let mut over = Vec::new();
    for (index, (name, ..)) in BOMBS.iter().enumerate() {
        let Some((milliseconds, kilobytes)) = measure(index) else {
            over.push(format!("{name}: died"));
            continue;
        };
        let _ = writeln!(out, "{name:26} {milliseconds:>6} ms {:>5} MB", kilobytes >> 10);
        if milliseconds > MAX_MILLISECONDS || kilobytes > MAX_KILOBYTES {
            over.push((*name).to_owned());
        }
    }
    let _ = writeln!(out, "{} bombs of 10 MB; over the limits: {over:?}", BOMBS.len());
    if over.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs one in a process of its own.
fn measure(index: usize) -> Option<(u128, u64)> {
    let program = std::env::current_exe().ok()?;
    let done = Command::new(program).arg(index.to_string()).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    let (milliseconds, kilobytes) = text.trim().split_once(' ')?;
    Some((milliseconds.parse().ok()?, kilobytes.parse().ok()?))
}

/// Parses one and prints the JSON nowhere, as the service would: time, and the most memory the process ever had.
fn one(index: usize) -> ExitCode {
    let Some((_, start, piece)) = BOMBS.get(index) else {
        return ExitCode::FAILURE;
    };
    let mut raw = start.as_bytes().to_vec();
    raw.reserve_exact(SIZE);
    while raw.len() + piece.len() <= SIZE {
        raw.extend_from_slice(piece.as_bytes());
    }
    let begun = Instant::now();
    let mail = parse(&raw);
    let json = serde_json::to_vec(&mail).unwrap_or_default();
    let milliseconds = begun.elapsed().as_millis();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<u64>().ok())
        .unwrap_or(0);
    let _ = writeln!(std::io::stdout(), "{milliseconds} {kilobytes}");
    if json.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

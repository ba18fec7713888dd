//! Mails made to cost as much as possible: how long each takes and how much memory. Those of one repeated piece have ten
//! megabytes; what is refused, cut or classified differently at that size comes at the size that gets through.
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

/// A mail of the size at which it costs most.
type Shaped = (&'static str, fn() -> Vec<u8>);

const SHAPED: &[Shaped] = &[
    ("refusals in one line", || {
        let addresses: String = (0..50).map(|i| format!("a{i}@b.example ")).collect();
        let codes = "550 ".repeat(15_000);
        mail(
            DAEMON,
            &[&format!("could not be delivered\n{addresses}\nx {codes}z@z.z\n")],
        )
    }),
    ("addresses in two lines", || {
        let line: String = (0..5_000).map(|i| format!("{i:x}@b.c ")).collect();
        mail(DAEMON, &["could not be delivered\n", &line, "\n", &line])
    }),
    ("addresses beside many recipients", || {
        let mut head = String::from("From: MAILER-DAEMON@b\nSubject: Undelivered Mail\n");
        for field in 0..20 {
            let all: Vec<String> = (0..5_000).map(|i| format!("{:x}@b", i + 5_000 * field)).collect();
            head.push_str(&format!("To: {}\n", all.join(",")));
        }
        let text: String = (0..7_000).map(|i| format!("fff{:02x}@b ", i % 256)).collect();
        mail(&head, &["\ncould not be delivered\n", &text])
    }),
    ("recipients told again", || {
        let one = |i: usize| format!("Final-Recipient: rfc822; a{i:04}@b.example\n\n");
        let part = "\n--b\nContent-Type: message/delivery-status\n\n";
        let first: String = (0..998).map(one).collect();
        let again = one(997).repeat(1_300);
        mail(
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n",
            &[part, &first, &[part, &again].concat().repeat(140)],
        )
    }),
    ("colons behind an at sign", || {
        let folded = |piece: &str| format!("\n {}", piece.repeat(60)).repeat(8_000);
        mail("From: ", &[&folded("x"), "@", &folded(":"), "\n\nx"])
    }),
    ("rests below empty lines", || {
        let rests = "<hr id=zwchr>".repeat(22_000);
        mixed(&["x", &"\n".repeat(300_000)], &rests)
    }),
    ("rests below a line of dashes", || {
        let rests = "<hr id=zwchr>".repeat(75_000);
        mixed(&["x\n", &"-".repeat(100_000)], &rests)
    }),
    ("marks without text", || {
        let rests = "<hr id=zwchr>".repeat(70_000);
        let quotes = "<div class=gmail_quote></div>".repeat(35_000);
        mail(HTML, &[&rests, &quotes])
    }),
    ("empty quotes between answers", || {
        mail(PLAIN, &[&">\na\n".repeat(500_000)])
    }),
    ("empty quotes and fences", || {
        let fences = "```\n--\n".repeat(12);
        mail(PLAIN, &[&format!("> a\n{fences}x\n>\n").repeat(18_000)])
    }),
    ("stray end tags", || {
        mail(HTML, &[&"<div>".repeat(511), &"</abc>".repeat(330_000)])
    }),
    ("end tags that close nothing", || {
        mail(HTML, &[&"<div></x>".repeat(56_000)])
    }),
    ("formatting that is repaired", || {
        let bold: String = (0..1_500).map(|i| format!("<b title={i}></i>")).collect();
        mail(HTML, &["<div>", &bold, "</div>", &"<div>x</div>".repeat(6_000)])
    }),
    ("long attributes that are repaired", || {
        let value = "x".repeat(800);
        let bold: String = (0..90).map(|i| format!("<b title=\"{i}{value}\">")).collect();
        mail(HTML, &["<div>", &bold, "</div>", &"<div>x</div>".repeat(2_000)])
    }),
    ("end tags out of reach", || {
        mail(HTML, &[&"<div><table><tr><td></div></table>".repeat(15_000)])
    }),
    ("a comment that ends early", || {
        mail(HTML, &["<!-- --!>", &"<div>".repeat(90_000)])
    }),
    ("a title that is none", || {
        mail(HTML, &["<svg><title>", &"<div>".repeat(90_000)])
    }),
    ("attributes in a title that is none", || {
        let many: String = (0..80_000).map(|i| format!("{i:x} ")).collect();
        mail(HTML, &["<svg><title><p ", &many, ">x"])
    }),
    ("attributes with a tag in each", || {
        let many: String = (0..45_000).map(|i| format!("{i:x}=\">\" ")).collect();
        mail(HTML, &["<p =\"x=\">\" ", &many, ">x"])
    }),
    ("elements moved before a table", || {
        mail(HTML, &["<table>", &"<br>".repeat(120_000)])
    }),
    ("lone ampersands", || mail(HTML, &[&"&".repeat(500_000)])),
    ("lines in many quotes", || {
        mail(
            HTML,
            &[&"<blockquote>".repeat(20), "<pre>", &"x\n".repeat(1_000_000)],
        )
    }),
];

fn mail(head: &str, pieces: &[&str]) -> Vec<u8> {
    [head, &pieces.concat()].concat().into_bytes()
}

/// A plain text and an HTML below it.
fn mixed(plain: &[&str], html: &str) -> Vec<u8> {
    let html = format!("\n--b\nContent-Type: text/html\n\n{html}y\n--b--\n");
    mail(MIXED, &["--b\n\n", &plain.concat(), &html])
}

/// All names, in the order of the indexes.
fn names() -> impl Iterator<Item = &'static str> {
    let repeated = BOMBS.iter().map(|(name, ..)| *name);
    repeated.chain(SHAPED.iter().map(|(name, _)| *name))
}

fn bomb(index: usize) -> Option<Vec<u8>> {
    let Some((_, start, piece)) = BOMBS.get(index) else {
        return SHAPED.get(index - BOMBS.len()).map(|(_, shape)| shape());
    };
    let mut raw = start.as_bytes().to_vec();
    raw.reserve_exact(SIZE);
    while raw.len() + piece.len() <= SIZE {
        raw.extend_from_slice(piece.as_bytes());
    }
    Some(raw)
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    if let Some(index) = args.next().and_then(|a| a.parse::<usize>().ok()) {
        return one(index);
    }
    let mut out = std::io::stdout().lock();
    let mut over = Vec::new();
    for (index, name) in names().enumerate() {
        let Some((milliseconds, kilobytes)) = measure(index) else {
            over.push(format!("{name}: died"));
            continue;
        };
        let _ = writeln!(out, "{name:36} {milliseconds:>6} ms {:>5} MB", kilobytes >> 10);
        if milliseconds > MAX_MILLISECONDS || kilobytes > MAX_KILOBYTES {
            over.push(name.to_owned());
        }
    }
    let _ = writeln!(out, "{} bombs; over the limits: {over:?}", names().count());
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
    let Some(raw) = bomb(index) else {
        return ExitCode::FAILURE;
    };
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

//! What understanding a mail costs beside bare `mail-parser`, over the same mails in one run.
//!
//! `cargo bench -p mailgrant-mail --bench understand [-- FOLDER]` reads all files below FOLDER; without one, the fixtures
//! of the mail crate. Figures are the best of several rounds.
//! The ratio to the bare parser is printed and not enforced: it depends on the mails, and those of a real archive have to be
//! given as FOLDER. The fixtures are small and odd on purpose, so their ratio says little about ordinary mail.
//! Sanitising is counted apart: it is done once per mail, at ingestion, and its cost is that of a browser's parser.

use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mailgrant_mail::{parse, sanitize_html};

const ROUNDS: usize = 5;
/// Mails that count as small.
const SMALL: usize = 16 << 10;

fn main() -> std::io::Result<()> {
    let named = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    let folder = named.map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"),
        PathBuf::from,
    );
    let mut mails = Vec::new();
    read(&folder, &mut mails)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} mails below {}", mails.len(), folder.display())?;
    report(&mut out, "all mails", &mails)?;
    let small: Vec<Vec<u8>> = mails.iter().filter(|m| m.len() <= SMALL).cloned().collect();
    report(&mut out, "mails up to 16 KiB", &small)
}

fn read(path: &Path, mails: &mut Vec<Vec<u8>>) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            read(&entry?.path(), mails)?;
        }
    } else if path.extension().is_none_or(|e| e != "json") {
        mails.push(std::fs::read(path)?);
    }
    Ok(())
}

fn report(out: &mut impl Write, what: &str, mails: &[Vec<u8>]) -> std::io::Result<()> {
    let bytes: usize = mails.iter().map(Vec::len).sum();
    let sources: Vec<String> = mails.iter().filter_map(|m| html_of(m)).collect();
    let bare = best(|| {
        for mail in mails {
            black_box(mail_parser::MessageParser::default().parse(black_box(mail)));
        }
    });
    let whole = best(|| {
        for mail in mails {
            black_box(parse(black_box(mail)));
        }
    });
    let cleaning = best(|| {
        for source in &sources {
            black_box(sanitize_html(black_box(source)));
        }
    });
    let understanding = whole.saturating_sub(cleaning);
    writeln!(out, "\n{what}: {} with {:.1} MB", mails.len(), bytes as f64 / 1e6)?;
    for (name, time) in [
        ("bare mail-parser", bare),
        ("understanding", understanding),
        ("sanitising", cleaning),
        ("both", whole),
    ] {
        let seconds = time.as_secs_f64().max(1e-9);
        writeln!(
            out,
            "  {name:18} {:>9.0} messages/s  {:>7.1} MB/s  {:>5.2} x bare",
            mails.len() as f64 / seconds,
            bytes as f64 / 1e6 / seconds,
            seconds / bare.as_secs_f64().max(1e-9)
        )?;
    }
    Ok(())
}

/// The HTML that is sanitised for a mail.
fn html_of(raw: &[u8]) -> Option<String> {
    let mail = parse(raw);
    let sources: Vec<&str> = mail
        .html_body
        .iter()
        .filter(|p| p.r#type == "text/html")
        .filter_map(|p| mail.body_values.get(&p.part_id).map(|v| v.value.as_str()))
        .collect();
    (!sources.is_empty()).then(|| sources.join("\n"))
}

fn best(mut work: impl FnMut()) -> Duration {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

//! Parses the mail on standard input and prints it as JSON: `cargo run --example parse < mail.eml`.

use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let mut raw = Vec::new();
    std::io::stdin().lock().read_to_end(&mut raw)?;
    let mail = mailgrant_mail::parse(&raw);
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &mail)?;
    out.write_all(b"\n")
}

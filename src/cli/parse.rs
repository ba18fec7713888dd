//! `mailgrant parse`: one mail as JSON, without a service or a database.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use mailgrant_mail::{Options, attachment, parse_with};

use super::print;

/// What to parse, and what to believe.
#[derive(Debug, Args)]
pub(super) struct ParseArgs {
    /// A file with one RFC 5322 message; - is standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Believe the Authentication-Results of this server; can be repeated.
    #[arg(long = "trusted-authserv-id", value_name = "ID")]
    trusted_authserv_ids: Vec<String>,
    /// Parse the message enclosed in this part, named by its partId; repeated, it leads further in.
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<String>,
}

/// Why there is no mail to parse.
#[derive(Debug, thiserror::Error)]
enum NoMail {
    #[error("{file}: {error}")]
    Unreadable { file: String, error: std::io::Error },
    #[error("there is no part {part} in this message; {hint}")]
    NoPart { part: String, hint: String },
    #[error("part {part} is {kind}, not a message; {hint}")]
    NoMessage {
        part: String,
        kind: String,
        hint: String,
    },
}

pub(super) fn run(args: &ParseArgs) -> anyhow::Result<ExitCode> {
    let mut raw = read(&args.file)?;
    for part in &args.parts {
        raw = enclosed(&raw, part)?;
    }
    let options = Options {
        trusted_authserv_ids: args.trusted_authserv_ids.clone(),
    };
    let mail = parse_with(&raw, &options);
    print(&format!("{}\n", serde_json::to_string_pretty(&mail)?));
    Ok(ExitCode::SUCCESS)
}

fn read(file: &std::path::Path) -> Result<Vec<u8>, NoMail> {
    let mut raw = Vec::new();
    let done = if file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut raw).map(|_| raw)
    } else {
        std::fs::read(file)
    };
    done.map_err(|error| NoMail::Unreadable {
        file: file.display().to_string(),
        error,
    })
}

/// The bytes of the message that stands in a part.
fn enclosed(raw: &[u8], part: &str) -> Result<Vec<u8>, NoMail> {
    let Some(found) = attachment(raw, part) else {
        return Err(NoMail::NoPart {
            part: part.to_owned(),
            hint: hint(raw),
        });
    };
    let is_named = found
        .name
        .as_deref()
        .is_some_and(|n| n.to_ascii_lowercase().ends_with(".eml"));
    if found.content_type.starts_with("message/") || found.content_type == "text/rfc822-headers" || is_named {
        return Ok(found.bytes);
    }
    Err(NoMail::NoMessage {
        part: part.to_owned(),
        kind: found.content_type,
        hint: hint(raw),
    })
}

/// Which parts could be meant.
fn hint(raw: &[u8]) -> String {
    let mail = mailgrant_mail::parse(raw);
    let messages: Vec<&str> = mail
        .mailgrant
        .parts
        .iter()
        .filter(|p| p.kind == "message")
        .map(|p| p.part_id.as_str())
        .collect();
    match messages.as_slice() {
        [] => "it encloses no messages".to_owned(),
        some => format!("messages are enclosed in: {}", some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::enclosed;

    const OUTER: &[u8] = b"Subject: outer\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n\
        Content-Type: message/rfc822\n\nSubject: inner\n\nx\n--b--\n";

    #[test]
    fn an_enclosed_message_is_cut_out() {
        assert_eq!(enclosed(OUTER, "3").unwrap(), b"Subject: inner\n\nx");
    }

    #[test]
    fn a_part_that_is_no_message_is_named_with_those_that_are() {
        assert_eq!(
            enclosed(OUTER, "2").unwrap_err().to_string(),
            "part 2 is text/plain, not a message; messages are enclosed in: 3"
        );
        for part in ["9", "0", "x", "2/1", ""] {
            let text = enclosed(OUTER, part).unwrap_err().to_string();
            assert!(text.ends_with("messages are enclosed in: 3"), "{text}");
        }
    }
}

//! What a mail becomes, whole: fixtures made by small builders, beside the JSON that a person has read and found right.
//!
//! `MAILGRANT_REGENERATE=1 cargo test -p mailgrant-mail --test golden` writes fixtures and JSON anew; read the diff.
//! To keep the files readable, the JSON leaves out what is null or empty; that nothing is ever missing in the real one
//! is another test's business.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests stand outside the test functions"
)]

mod build;
mod kinds;
mod languages;
mod replies;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use mailgrant_mail::{SegmentKind, fuzzing, parse};
use serde_json::Value;

const COMMAND: &str = "MAILGRANT_REGENERATE=1 cargo test -p mailgrant-mail --test golden";

fn squash(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_was_newly_written_is_found_in_every_language() {
    let mut wrong = Vec::new();
    for case in replies::answers() {
        let reply = parse(&case.raw).mailgrant.reply;
        let quoted = squash(reply.quoted.as_deref().unwrap_or_default());
        let forward = reply.segments.iter().any(|s| s.kind == SegmentKind::Forward);
        let signature = reply.signature.as_deref().map(squash);
        if squash(&reply.text) != squash(&case.reply)
            || !quoted.contains(&squash(&case.quoted))
            || signature != case.signature
            || forward != case.forward
        {
            wrong.push(format!(
                "{}: {:?} | {signature:?} | {quoted:?}",
                case.name, reply.text
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let answers = replies::answers().into_iter().map(|a| (a.name, a.raw));
    let kinds = kinds::fixtures()
        .into_iter()
        .map(|(name, raw)| (name.to_owned(), raw));
    answers.chain(kinds).collect()
}

/// Without nulls, empty lists and empty texts.
fn filled(value: Value) -> Value {
    let says_something = |v: &Value| match v {
        Value::Null => false,
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        Value::String(s) => !s.is_empty(),
        Value::Bool(b) => *b,
        Value::Number(_) => true,
    };
    match value {
        Value::Object(o) => Value::Object(
            o.into_iter()
                .map(|(k, v)| (k, filled(v)))
                .filter(|(_, v)| says_something(v))
                .collect(),
        ),
        Value::Array(a) => Value::Array(a.into_iter().map(filled).collect()),
        other => other,
    }
}

#[test]
fn fixtures_become_the_json_that_was_found_right() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let regenerate = std::env::var_os("MAILGRANT_REGENERATE").is_some();
    let fixtures = fixtures();
    assert!(fixtures.len() >= 200, "{}", fixtures.len());
    let names: BTreeSet<&String> = fixtures.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), fixtures.len(), "each name is used once");
    if regenerate {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
    }
    let mut wrong = Vec::new();
    for (name, raw) in &fixtures {
        let mail = fuzzing::mail(raw);
        let mut json = serde_json::to_string_pretty(&filled(serde_json::to_value(&mail).unwrap())).unwrap();
        json.push('\n');
        let (eml, golden) = (
            folder.join(format!("{name}.eml")),
            folder.join(format!("{name}.json")),
        );
        if regenerate {
            fs::write(eml, raw).unwrap();
            fs::write(golden, json).unwrap();
            continue;
        }
        assert!(
            fs::read(eml).is_ok_and(|old| old == *raw),
            "{name}.eml is not what is built; {COMMAND}"
        );
        let old = fs::read_to_string(golden).unwrap_or_default();
        if old != json {
            let first = old.lines().zip(json.lines()).find(|(a, b)| a != b);
            wrong.push(format!("{name}: {first:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nIf the new ones are right: {COMMAND}",
        wrong.join("\n")
    );
}

//! The guide for developers does what it says: its examples are run, top to bottom, against real mail.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::database::{Kind, TestDatabase};
use crate::support::mails;
use crate::world::{ACCOUNT, World};

/// The examples of a page: its indented lines.
fn examples(page: &str) -> Vec<&str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_guide_works_as_it_stands() {
    let world = World::start(TestDatabase::create(Kind::Sqlite).await).await;
    world.add_mailbox(json!({})).await;
    let first = mails::simple("<a@x.test>", "Ada <ada@x.test>", "Printer on fire", "It burns.");
    world.dovecot.deliver(ACCOUNT, &first).await;
    world.ticketed(1).await;
    let second = b"Message-ID: <b@x.test>\r\nFrom: ada@x.test\r\nIn-Reply-To: <a@x.test>\r\nSubject: Re: Printer\r\n\r\n\
        And the coffee machine, too.\r\n";
    world.dovecot.deliver(ACCOUNT, second).await;
    world.ticketed(2).await;

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let page = std::fs::read_to_string(file).unwrap();
    let base = &world.mailgrant.base_url;
    let mut script = String::from("set -euo pipefail\n");
    let mut curls = 0;
    for line in examples(&page) {
        curls += usize::from(line.contains("curl "));
        let line = line.replace("http://127.0.0.1:8080", base);
        // Said before each, so that the one that fails is the last that was said.
        if !line.starts_with("  ") {
            let _ = writeln!(script, "echo {:?} >&2", line.replace(['$', '`', '"'], " "));
        }
        script.push_str(&line);
        script.push('\n');
    }
    assert!(curls >= 12, "{curls} examples of curl in the guide");
    // `mailgrant` of the examples is the program under test, with the settings of this instance.
    let own = world.mailgrant.command(&[]);
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("mailgrant");
    std::os::unix::fs::symlink(own.get_program(), program).unwrap();
    let mut command = Command::new("bash");
    command.arg("-c").arg(&script).current_dir(directory.path());
    for (name, value) in own.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", directory.path().display()));
    let out = command
        .output()
        .expect("bash, curl and jq; run: ./tests/run services");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&out.stdout)
    );
    let tickets = world.rest.all("/api/v1/tickets").await;
    assert_eq!(tickets.len(), 2, "the split of the guide happened");
    let closed = world.rest.get("/api/v1/tickets/HELP-1").await;
    assert_eq!(closed["state"], "closed");
    assert_eq!(
        closed["entries"].as_array().map(Vec::len),
        Some(2),
        "a mail and the note"
    );
}

//! `mailgrant demo`, started as a newcomer starts it.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::guard::{Guarded, free_port, short_dir};
use crate::support::process::PROGRAM;
use crate::support::visitor::{Seen, Visitor};
use crate::support::wait::{SOON, eventually};

/// A demo command with a temporary folder of its own, and nothing of this shell's settings.
fn demo(arguments: &[&str], temporary: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("demo").args(arguments).current_dir(temporary);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAILGRANT_")) {
        command.env_remove(name);
    }
    command.env("TMPDIR", temporary);
    command
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn files_in(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).expect("the temporary folder");
    entries
        .map(|entry| entry.expect("an entry").file_name())
        .collect()
}

/// A running demo and the link it printed.
struct Running {
    process: Guarded,
    link: String,
    temporary: tempfile::TempDir,
    logs: tempfile::TempDir,
}

impl Running {
    async fn start(listen: &str) -> Self {
        let (temporary, logs) = (short_dir(), short_dir());
        let log = logs.path().join("demo.log");
        let mut command = demo(&["--listen", listen], temporary.path());
        let folder = Some(temporary.path());
        let mut process = Guarded::start("mailgrant demo", &mut command, &log, "TERM", folder);
        let find = || {
            let printed = std::fs::read_to_string(&log).unwrap_or_default();
            let line = printed.lines().find(|line| line.starts_with("http://127.0.0.1:"));
            line.map(str::to_owned)
        };
        let is_there = || std::future::ready(find().is_some());
        process.wait_until("its link is printed", SOON, is_there).await;
        let link = find().expect("the line that was just seen");
        Self {
            process,
            link,
            temporary,
            logs,
        }
    }

    fn origin(&self) -> &str {
        self.link.split("/sign-in").next().expect("an origin")
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(self.logs.path().join("demo.log")).expect("the log")
    }

    /// Uses the link. One jar for the pages of the demo and those of its provider, as browsers have for one host.
    async fn sign_in(&self) -> Visitor {
        let visitor = Visitor::at(self.origin());
        assert_eq!(visitor.get(&self.link).await.status, 303);
        visitor
    }
}

/// Sends a form with the token of the dashboard.
async fn press(visitor: &Visitor, path: &str, fault: &str) -> Seen {
    let page = visitor.get("/").await;
    visitor.submit(&page, path, &[("fault", fault)]).await
}

#[test]
fn the_demo_works_without_a_browser_and_leaves_nothing_behind() {
    let temporary = short_dir();
    let output = demo(&["--check"], temporary.path()).output().expect("mailgrant");
    assert!(output.status.success(), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    for step in [
        "integration",
        "connection test",
        "revoke the consent",
        "nothing lost, nothing doubled",
    ] {
        let line = stdout.lines().find(|line| line.contains(step));
        assert!(
            line.is_some_and(|line| line.contains(" … ok ")),
            "{step}: {}",
            said(&output)
        );
    }
    assert_eq!(files_in(temporary.path()), Vec::<std::ffi::OsString>::new());
}

#[tokio::test]
async fn the_link_of_the_demo_signs_in_once() {
    let mut running = Running::start("127.0.0.1:0").await;
    let visitor = running.sign_in().await;
    let again = Visitor::at(running.origin()).get(&running.link).await;
    assert_eq!(again.status, 410, "the link works once");
    assert!(!again.headers.contains_key("set-cookie"));
    let connected = visitor.get("/demo/connected").await;
    assert_eq!(connected.location, "/", "nothing is connected yet");
    let stranger = Visitor::at(running.origin());
    let stranger = stranger.post("/demo/faults", &[("fault", "restore")]).await;
    assert_eq!(stranger.status, 403, "no token, no fault");
    running.process.stop();
    assert_eq!(
        files_in(running.temporary.path()),
        Vec::<std::ffi::OsString>::new()
    );
}

#[tokio::test]
async fn the_demo_mailbox_is_connected_broken_and_mended_with_its_buttons() {
    let running = Running::start("127.0.0.1:0").await;
    let visitor = running.sign_in().await;
    let leaving = press(&visitor, "/demo/connect", "").await;
    assert_eq!(leaving.status, 200, "no redirect: form-action would stop it");
    let mut asked = leaving.refresh();
    let provider = asked.split("/oauth2/").next().expect("an origin").to_owned();
    let consent = loop {
        let seen = visitor.get(&asked).await;
        match seen.status {
            303 => asked = format!("{provider}{}", seen.location),
            _ => break seen,
        }
    };
    assert!(
        consent.body.contains("Mailgrant wants access"),
        "{}",
        consent.body
    );
    let answer = [
        ("decision", "allow"),
        ("reach", "all"),
        ("scope", "openid"),
        ("scope", "profile"),
        ("scope", "messages:read"),
        ("scope", "offline_access"),
    ];
    let back = visitor.submit(&consent, &asked, &answer).await;
    let callback = visitor.get(&back.refresh()).await;
    assert_eq!(callback.location, "/demo/connected", "{}", callback.body);
    let test = visitor.get("/demo/connected").await.location;
    assert!(test.starts_with("/tests/"), "{test}");

    let shows = async |word: &str| visitor.get("/").await.body.contains(word).then_some(());
    eventually("tickets on the dashboard", SOON, async || shows("HELP-1").await).await;
    let pressed = press(&visitor, "/demo/faults", "cut_connection").await;
    assert_eq!(pressed.location, "/");
    eventually("the cause on the dashboard", SOON, async || {
        shows("tls_hung_up").await
    })
    .await;
    assert!(visitor.get("/").await.body.contains("Broken now"));
    press(&visitor, "/demo/faults", "restore").await;
    let mended = async || (!visitor.get("/").await.body.contains("tls_hung_up")).then_some(());
    eventually("the dashboard is quiet again", SOON, mended).await;
    let unknown = press(&visitor, "/demo/faults", "nonsense").await;
    assert_eq!(unknown.status, 400);
}

#[test]
fn the_demo_is_for_this_machine_only() {
    let temporary = short_dir();
    let wanted = format!("0.0.0.0:{}", free_port());
    let output = demo(&["--listen", &wanted], temporary.path())
        .output()
        .expect("mailgrant");
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaint.contains("loopback only") && complaint.contains(&wanted),
        "{complaint}"
    );
    assert_eq!(files_in(temporary.path()), Vec::<std::ffi::OsString>::new());
}

#[tokio::test]
async fn a_taken_port_is_said_and_another_one_is_used() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let running = Running::start(&address).await;
    let printed = running.printed();
    assert!(printed.contains(&format!("{address} is taken")), "{printed}");
    assert!(!running.link.contains(&address), "{printed}");
}

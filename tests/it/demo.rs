//! `mailgrant demo`, started as a newcomer starts it.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::guard::{Guarded, free_port, short_dir};
use crate::support::process::{PROGRAM, http};
use crate::support::wait::SOON;

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
    let temporary = short_dir();
    let logs = short_dir();
    let log = logs.path().join("demo.log");
    let mut command = demo(&["--listen", "127.0.0.1:0"], temporary.path());
    let mut running = Guarded::start(
        "mailgrant demo",
        &mut command,
        &log,
        "TERM",
        Some(temporary.path()),
    );
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    let link_in = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("http://127.0.0.1:"));
        line.map(str::to_owned)
    };
    let has_link = || std::future::ready(link_in(&read()).is_some());
    running.wait_until("its link is printed", SOON, has_link).await;
    let link = link_in(&read()).expect("the line that was just seen");

    let first = http().get(&link).send().await.expect("the demo answers");
    assert_eq!(first.status(), 303);
    let cookie = first.headers().get("set-cookie").expect("a session").clone();
    let cookie = cookie
        .to_str()
        .expect("text")
        .split(';')
        .next()
        .expect("a value")
        .to_owned();
    let second = http().get(&link).send().await.expect("the demo answers");
    assert_eq!(second.status(), 410, "the link works once");
    assert!(
        second
            .headers()
            .get("set-cookie")
            .is_none_or(|set| set != cookie.as_str())
    );

    let origin = link.split("/sign-in").next().expect("an origin").to_owned();
    let home = http()
        .get(format!("{origin}/demo/connected"))
        .header("cookie", &cookie);
    let home = home.send().await.expect("the demo answers");
    assert_eq!(
        home.headers().get("location").map(|to| to.as_bytes()),
        Some(&b"/"[..])
    );
    let stranger = http()
        .post(format!("{origin}/demo/faults"))
        .form(&[("fault", "restore")]);
    assert_eq!(
        stranger.send().await.expect("the demo answers").status(),
        403,
        "no token, no fault"
    );

    running.stop();
    assert_eq!(files_in(temporary.path()), Vec::<std::ffi::OsString>::new());
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
    let temporary = short_dir();
    let logs = short_dir();
    let log = logs.path().join("demo.log");
    let mut command = demo(&["--listen", &address], temporary.path());
    let mut running = Guarded::start(
        "mailgrant demo",
        &mut command,
        &log,
        "TERM",
        Some(temporary.path()),
    );
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    let has_link = || std::future::ready(read().contains("/sign-in/link?"));
    running.wait_until("its link is printed", SOON, has_link).await;
    assert!(read().contains(&format!("{address} is taken")), "{}", read());
    assert!(!read().contains(&format!("http://{address}/")), "{}", read());
    running.stop();
}

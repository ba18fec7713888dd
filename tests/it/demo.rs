//! `mailgrant demo`, started as a newcomer starts it.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::guard::{Guarded, free_port, short_dir};
use crate::support::process::{PROGRAM, http};
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

    fn url(&self, path: &str) -> String {
        let origin = self.link.split("/sign-in").next().expect("an origin");
        format!("{origin}{path}")
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(self.logs.path().join("demo.log")).expect("the log")
    }

    /// Uses the link; the cookie of the session.
    async fn sign_in(&self) -> String {
        let answer = http().get(&self.link).send().await.expect("the demo answers");
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers().get("set-cookie").expect("a session").to_str();
        let cookie = cookie.expect("text").split(';').next().expect("a value");
        cookie.to_owned()
    }

    async fn dashboard(&self, cookie: &str) -> String {
        let answer = http().get(self.url("/")).header("cookie", cookie).send().await;
        answer.expect("the demo answers").text().await.expect("a page")
    }

    /// Sends a form with the token of the dashboard.
    async fn post(&self, cookie: &str, path: &str, fault: &str) -> reqwest::Response {
        let page = self.dashboard(cookie).await;
        let csrf = between(&page, "name=\"csrf\" value=\"", "\"");
        let form = [("csrf", csrf.as_str()), ("fault", fault)];
        let sent = http().post(self.url(path)).header("cookie", cookie).form(&form);
        sent.send().await.expect("the demo answers")
    }
}

fn between(text: &str, before: &str, after: &str) -> String {
    let rest = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {text}"))
        .1;
    rest.split(after).next().unwrap_or_default().replace("&amp;", "&")
}

fn location(answer: &reqwest::Response) -> String {
    let to = answer.headers().get("location").expect("a redirect");
    to.to_str().expect("text").to_owned()
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
    let cookie = running.sign_in().await;
    let again = http().get(&running.link).send().await.expect("the demo answers");
    assert_eq!(again.status(), 410, "the link works once");
    assert!(
        again
            .headers()
            .get("set-cookie")
            .is_none_or(|set| set != cookie.as_str())
    );
    let connected = http()
        .get(running.url("/demo/connected"))
        .header("cookie", &cookie);
    assert_eq!(
        location(&connected.send().await.expect("the demo answers")),
        "/",
        "nothing is connected yet"
    );
    let stranger = http()
        .post(running.url("/demo/faults"))
        .form(&[("fault", "restore")]);
    assert_eq!(
        stranger.send().await.expect("the demo answers").status(),
        403,
        "no token, no fault"
    );
    running.process.stop();
    assert_eq!(
        files_in(running.temporary.path()),
        Vec::<std::ffi::OsString>::new()
    );
}

#[tokio::test]
async fn the_demo_mailbox_is_connected_broken_and_mended_with_its_buttons() {
    let running = Running::start("127.0.0.1:0").await;
    let cookie = running.sign_in().await;
    let leaving = running.post(&cookie, "/demo/connect", "").await;
    assert_eq!(leaving.status(), 200, "no redirect: form-action would stop it");
    let leaving = leaving.text().await.expect("a page");
    let consent_url = between(&leaving, "content=\"0;url=", "\"");
    let consent = http()
        .get(&consent_url)
        .send()
        .await
        .expect("the sandbox answers");
    let request = between(
        &consent.text().await.expect("a page"),
        "name=\"request\" value=\"",
        "\"",
    );
    let decide = format!(
        "{}/authorize/decision",
        consent_url.split("/authorize").next().expect("an origin")
    );
    let answer = [("request", request.as_str()), ("decision", "allow")];
    let back = location(
        &http()
            .post(decide)
            .form(&answer)
            .send()
            .await
            .expect("the sandbox answers"),
    );
    let callback = http()
        .get(back)
        .header("cookie", &cookie)
        .send()
        .await
        .expect("the demo answers");
    assert_eq!(location(&callback), "/demo/connected");
    let connected = http()
        .get(running.url("/demo/connected"))
        .header("cookie", &cookie);
    let test = location(&connected.send().await.expect("the demo answers"));
    assert!(test.starts_with("/tests/"), "{test}");

    let shows = async |word: &str| running.dashboard(&cookie).await.contains(word).then_some(());
    eventually("tickets on the dashboard", SOON, async || shows("HELP-1").await).await;
    let pressed = running.post(&cookie, "/demo/faults", "cut_connection").await;
    assert_eq!(location(&pressed), "/");
    eventually("the cause on the dashboard", SOON, async || {
        shows("tls_hung_up").await
    })
    .await;
    assert!(running.dashboard(&cookie).await.contains("Broken now"));
    running.post(&cookie, "/demo/faults", "restore").await;
    let mended = async || (!running.dashboard(&cookie).await.contains("tls_hung_up")).then_some(());
    eventually("the dashboard is quiet again", SOON, mended).await;
    let unknown = running.post(&cookie, "/demo/faults", "nonsense").await;
    assert_eq!(unknown.status(), 400);
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

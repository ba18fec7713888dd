//! Starting on a fresh machine, and refusing to start where something would be overwritten.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::process::{Mailgrant, Settings, http};
use crate::support::wait::{SOON, eventually};

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn stderr(out: &std::process::Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_machine_needs_no_configuration() {
    let mailgrant = Mailgrant::start(Settings::new()).await;
    assert_eq!(mode(&mailgrant.data_dir().join("key")), 0o600);
    let log = mailgrant.log();
    let link = log
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("http") && line.contains("/setup"));
    let link = link
        .unwrap_or_else(|| panic!("no setup link in {log}"))
        .to_owned();
    assert_eq!(http().get(&link).send().await.unwrap().status(), 200);
    for path in ["/livez", "/readyz"] {
        let answer = http()
            .get(format!("{}{path}", mailgrant.base_url))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_works_before_any_user_exists_and_beside_the_running_service() {
    let mailgrant = Mailgrant::start(Settings::new()).await;
    let rest = mailgrant.rest();
    assert!(rest.all("/api/v1/projects").await.is_empty());
    let listed: Value = serde_json::from_str(&mailgrant.run_ok(&["token", "list", "--json"])).unwrap();
    let id = listed[0]["id"].as_str().unwrap();
    mailgrant.run_ok(&["token", "revoke", id]);
    let refused = rest.send(reqwest::Method::GET, "/api/v1/projects", None).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_others_can_read_is_refused() {
    let mut mailgrant = Mailgrant::start(Settings::new()).await;
    mailgrant.stop();
    let key = mailgrant.data_dir().join("key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let out = mailgrant.run(&["serve"]);
    assert!(!out.status.success());
    assert!(stderr(&out).contains("chmod 600"), "{}", stderr(&out));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_missing_key_file_is_refused_and_never_overwritten() {
    let mut mailgrant = Mailgrant::start(Settings::new()).await;
    mailgrant.stop();
    let key = mailgrant.data_dir().join("key");
    let right = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let out = mailgrant.run(&["serve"]);
    assert!(
        stderr(&out).contains("missing") && !key.exists(),
        "{}",
        stderr(&out)
    );
    let other = Mailgrant::start(Settings::new()).await;
    let foreign = std::fs::read(other.data_dir().join("key")).unwrap();
    std::fs::write(&key, &foreign).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let out = mailgrant.run(&["serve"]);
    assert!(
        !out.status.success() && stderr(&out).contains("does not belong"),
        "{}",
        stderr(&out)
    );
    assert_eq!(std::fs::read(&key).unwrap(), foreign, "nothing was written");
    std::fs::write(&key, &right).unwrap();
    mailgrant.resume().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_serves_a_sqlite_file() {
    let mut mailgrant = Mailgrant::start(Settings::new()).await;
    let out = mailgrant.run(&["serve"]);
    assert!(
        !out.status.success() && stderr(&out).contains("another mailgrant"),
        "{}",
        stderr(&out)
    );
    assert!(mailgrant.ended().is_none(), "the first one goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_shown_with_its_sources_and_without_its_secrets() {
    let settings = Settings::new().set("MAILGRANT_DATABASE_URL", "postgres://mg:hunter2@db.invalid/mg");
    let mailgrant = Mailgrant::prepare(settings);
    let shown = mailgrant.run_ok(&["config", "check"]);
    assert!(
        shown.contains("env MAILGRANT_DATABASE_URL") && shown.contains("default"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    let plain = Mailgrant::prepare(Settings::new().set("MAILGRANT_BASE_URL", "http://mail.example.com"));
    let out = plain.run(&["config", "check"]);
    assert!(
        !out.status.success() && stderr(&out).contains("https"),
        "{}",
        stderr(&out)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_and_the_parser_say_what_they_find() {
    let mailgrant = Mailgrant::prepare(Settings::new());
    let out = mailgrant.run(&["doctor", "--json"]);
    assert_eq!(out.status.code(), Some(1), "warnings only: {}", stderr(&out));
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(report["verdict"], "warn");
    let mail = mailgrant.data_dir().join("mail.eml");
    std::fs::write(
        &mail,
        "From: Ada <a@x.test>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHallo\r\n",
    )
    .unwrap();
    let parsed: Value = serde_json::from_str(&mailgrant.run_ok(&["parse", mail.to_str().unwrap()])).unwrap();
    assert_eq!(parsed["subject"], "Grüße");
    assert_eq!(parsed["id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_made_on_the_command_line_can_sign_in() {
    use std::io::Write;
    use std::process::Stdio;

    let mailgrant = Mailgrant::start(Settings::new()).await;
    let mut command = mailgrant.command(&["user", "create", "--email", "ada@example.test", "--json"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"correct horse battery staple\n")
        .unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    let made: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(made["email"], "ada@example.test");
    eventually("the setup link is no longer offered", SOON, async || {
        let page = http()
            .get(format!("{}/sign-in", mailgrant.base_url))
            .send()
            .await
            .ok()?;
        (page.status() == 200).then_some(())
    })
    .await;
}

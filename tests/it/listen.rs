//! `mailgrant listen` and `mailgrant trigger`, as somebody uses them who develops a receiver.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::process::{Mailgrant, PROGRAM, Settings};
use crate::support::programs::{Language, Running};
use crate::support::wait::{SOON, eventually};
use crate::world::text;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn says(listener: &Running, what: &str) -> String {
    eventually(&format!("it says {what}"), SOON * 2, async || {
        let log = listener.program.log();
        log.contains(what).then_some(log)
    })
    .await
}

fn stop(mut listener: Running) -> String {
    listener.program.signal("INT");
    let ended = (0..500).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        listener.program.ended()
    });
    assert_eq!(
        ended.and_then(|status| status.code()),
        Some(0),
        "Ctrl-C ends it cleanly"
    );
    listener.program.log()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_developer_listens_triggers_and_forwards_to_a_receiver_that_checks_signatures() {
    let mailgrant = Mailgrant::start(Settings::new()).await;
    let rest = mailgrant.rest();
    let list = mailgrant.run_ok(&["trigger", "--list"]);
    assert!(
        list.contains("ticket.created") && list.contains("A mail became a new ticket"),
        "{list}"
    );
    rest.post("/api/v1/projects", &json!({ "key": "HELP", "name": "Help" }))
        .await;
    let given = json!({ "secret": SECRET, "publicKey": "whpk_MCowBQYDK2VwAyEAMCowBQYDK2VwAyEAMCowBQYDK2U=" });
    let mut command = Language::Python.script("webhook-receiver.mjs", "webhook_receiver.py");
    let mut receiver = Running::start("receiver", command.arg(given.to_string()));
    let port = receiver.first().await["port"].as_u64().unwrap();
    let url = format!("http://127.0.0.1:{port}/hook");
    let arguments = [
        "listen",
        "--events",
        "ticket.*",
        "--project",
        "HELP",
        "--forward-to",
        &url,
        "--secret",
        SECRET,
    ];
    let listener = Running::start("listen", &mut mailgrant.command(&arguments));
    says(&listener, "Listening.").await;
    mailgrant.run_ok(&["trigger", "grant.expired", "--project", "HELP"]);
    mailgrant.run_ok(&["trigger", "ticket.merged"]);
    let made: Value = serde_json::from_str(&mailgrant.run_ok(&[
        "trigger",
        "ticket.created",
        "--project",
        "HELP",
        "--json",
    ]))
    .unwrap();
    let log = says(&listener, "→ 204").await;
    let line = log.lines().find(|line| line.contains("→ 204")).unwrap();
    assert!(
        line.contains(&text(&made, "id")) && line.contains("(sample)"),
        "{line}"
    );
    assert!(
        !log.contains("grant.expired") && !log.contains("ticket.merged"),
        "{log}"
    );
    assert!(!log.contains(SECRET), "a given secret is not printed: {log}");
    let came = &receiver.said()[1];
    assert_eq!((&came["v1"], &came["id"]), (&json!("ok"), &made["id"]));
    let log = stop(listener);
    let place = log.split("--after ").nth(1).unwrap().trim().to_owned();
    // Going on where it stopped: what came meanwhile, and nothing twice.
    mailgrant.run_ok(&["trigger", "ticket.updated", "--project", "HELP"]);
    let listener = Running::start(
        "listen",
        &mut mailgrant.command(&["listen", "--after", &place, "--json"]),
    );
    let log = says(&listener, "ticket.updated").await;
    let event: Value = log
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap();
    assert_eq!(event["data"]["sample"], true);
    assert!(!log.contains("ticket.created"));
    stop(listener);
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_over_the_api_needs_a_token_and_sees_what_that_may_see() {
    let mailgrant = Mailgrant::start(Settings::new()).await;
    let made: Value = serde_json::from_str(&mailgrant.run_ok(&[
        "token",
        "create",
        "--name",
        "listen",
        "--scope",
        "events:read",
        "--json",
    ]))
    .unwrap();
    // Another machine: no data directory, only an address and a token.
    let elsewhere = |arguments: &[&str], token: &str| {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env_clear()
            .env("MAILGRANT_TOKEN", token)
            .current_dir("/");
        command
    };
    let listen = ["listen", "--api", &mailgrant.base_url, "--events", "ticket.*"];
    let listener = Running::start("listen", &mut elsewhere(&listen, &text(&made, "token")));
    says(&listener, "Listening.").await;
    mailgrant.run_ok(&["trigger", "grant.expired"]);
    mailgrant.run_ok(&["trigger", "ticket.created"]);
    let log = says(&listener, "ticket.created").await;
    assert!(!log.contains("grant.expired"));
    stop(listener);
    let refused = |arguments: &[&str], token: &str| {
        let out = elsewhere(arguments, token).output().unwrap();
        assert_eq!(out.status.code(), Some(2));
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(refused(&listen, "").contains("mailgrant token create"));
    assert!(refused(&listen, "mg_pat_wrong").contains("answered 401"));
    let trigger = ["trigger", "ticket.created", "--api", &mailgrant.base_url];
    let said = refused(&trigger, &text(&made, "token"));
    assert!(
        said.contains("answered 403") && said.contains("webhooks:manage"),
        "{said}"
    );
    for (arguments, wanted) in [
        (vec!["trigger", "ticket.exploded"], "trigger --list"),
        (
            vec!["trigger", "ticket.created", "--project", "NONE"],
            "there is no project",
        ),
        (vec!["listen", "--events", "nonsense"], "trigger --list"),
        (vec!["listen", "--after", "5"], "--after takes"),
        (vec!["listen", "--forward-to", "hook"], "--forward-to takes"),
        (
            vec!["listen", "--forward-to", "http://127.0.0.1:1/", "--secret", "x"],
            "--secret takes",
        ),
    ] {
        let out = mailgrant.run(&arguments);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{arguments:?}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
    for command in ["listen", "trigger"] {
        assert!(mailgrant.run_ok(&[command, "--help"]).contains("Examples:"));
    }
}

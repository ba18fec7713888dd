//! Mail of the installation itself: through the account of the configuration, told when it is refused.

use reqwest::Method;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::certs::TestCa;
use crate::support::database::TestDatabase;
use crate::support::process::{Mailgrant, Rest, Settings};
use crate::support::smtp_sink::{SmtpSink, Turn};
use crate::support::wait::{SOON, eventually};
use crate::world::text;

on_each_database!(a_test_mail_goes_out_and_what_a_server_refuses_is_told);

const PASSWORD: &str = "open-sesame-41";

async fn test_mail(rest: &Rest, to: &str) -> Value {
    let sent = rest
        .send_once("/api/v1/site-mail/tests", &json!({ "to": to }))
        .await;
    assert_eq!(sent.status, 202, "{}", sent.json);
    sent.json
}

async fn becomes(rest: &Rest, mail: &Value, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/v1/outgoing-mails/{}", text(mail, "id"));
    eventually(what, SOON, async || {
        let mail = rest.get(&path).await;
        fits(&mail).then_some(mail)
    })
    .await
}

async fn a_test_mail_goes_out_and_what_a_server_refuses_is_told(database: TestDatabase) {
    let ca = TestCa::new();
    let dir = tempfile::tempdir().unwrap();
    let ca_file = ca.write(dir.path());
    let secret = dir.path().join("password");
    std::fs::write(&secret, format!("{PASSWORD}\n")).unwrap();
    let sink = SmtpSink::start_tls(&ca).await;
    let settings = Settings::new()
        .database(&database.url)
        .trust(&ca_file)
        .set("MAILGRANT_SMTP_HOST", "127.0.0.1")
        .set("MAILGRANT_SMTP_PORT", sink.port.to_string())
        .set("MAILGRANT_SMTP_TLS", "implicit")
        .set("MAILGRANT_SMTP_LOGIN_NAME", "mg@example.test")
        .set("MAILGRANT_SMTP_PASSWORD_FILE", secret.to_string_lossy())
        .set("MAILGRANT_SMTP_FROM", "Mailgrant <noreply@example.test>");
    let mailgrant = Mailgrant::start(settings).await;
    let rest = mailgrant.rest();
    let shown = rest.get("/api/v1/site-mail").await;
    assert_eq!(shown["account"]["from"], "noreply@example.test");
    assert_eq!(shown["problem"], Value::Null);

    let mail = test_mail(&rest, "ada@example.test").await;
    assert_eq!(mail["kind"], "notice");
    becomes(&rest, &mail, "it is sent", |mail| mail["state"] == "sent").await;
    assert_eq!(sink.sign_ins(), [format!("\0mg@example.test\0{PASSWORD}")]);
    let taken = sink.taken();
    assert_eq!(taken[0].to, ["ada@example.test"]);
    let raw = String::from_utf8_lossy(&taken[0].raw).into_owned();
    assert!(
        raw.contains("From: Mailgrant <noreply@example.test>\r\n"),
        "{raw}"
    );
    assert!(raw.contains("Auto-Submitted: auto-generated\r\n"), "{raw}");

    // What a server refuses is told in words about this account, whether it passes or not.
    for (turn, state, code, remedy) in [
        (
            Turn::RefuseSignIn(None, "535 5.7.8 bad credentials"),
            "queued",
            "sign_in_refused",
            "[smtp]",
        ),
        (
            Turn::RefuseSender("550 not yours"),
            "failed",
            "sender_refused",
            "[smtp]",
        ),
        (
            Turn::RefuseRecipient("451 4.3.0 later"),
            "queued",
            "refused_for_now",
            "by itself",
        ),
        (
            Turn::RefuseMail("554 no"),
            "failed",
            "mail_refused",
            "server's words",
        ),
        (
            Turn::TakeAndHangUp,
            "queued",
            "outcome_unknown",
            "same Message-ID",
        ),
    ] {
        sink.then([turn.clone()]);
        let mail = test_mail(&rest, "ada@example.test").await;
        let told = becomes(&rest, &mail, &format!("{turn:?} is told"), |mail| {
            mail["state"] == state && mail["error"]["code"].is_string()
        })
        .await;
        assert!(
            text(&told["error"], "remedy").contains(remedy),
            "{turn:?}: {}",
            told["error"]
        );
        assert!(
            code == "any" || told["error"]["code"] == code,
            "{turn:?}: {}",
            told["error"]
        );
        assert!(!told.to_string().contains(PASSWORD));
    }
    for (body, pointer) in [
        (json!({ "to": "nobody" }), "/to"),
        (json!({ "to": "a@b.example\r\nBcc: x@y.example" }), "/to"),
    ] {
        let refused = rest.send_once("/api/v1/site-mail/tests", &body).await;
        assert_eq!(
            (refused.status, &refused.json["errors"][0]["pointer"]),
            (422, &json!(pointer))
        );
    }
    assert!(!mailgrant.log().contains(PASSWORD));
    let settings = rest.get("/api/v1/settings").await.to_string();
    assert!(settings.contains("smtp_password") && !settings.contains(PASSWORD));
    assert!(!mailgrant.run_ok(&["config", "check"]).contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_account_nothing_is_put_into_the_outbox_and_the_answer_says_what_to_do() {
    let mailgrant = Mailgrant::start(Settings::new()).await;
    let rest = mailgrant.rest();
    let shown = rest.get("/api/v1/site-mail").await;
    assert_eq!(shown["account"], Value::Null);
    assert!(text(&shown, "problem").contains("[smtp]"), "{shown}");
    let refused = rest
        .send_once("/api/v1/site-mail/tests", &json!({ "to": "ada@example.test" }))
        .await;
    assert_eq!(
        (refused.status, &refused.json["code"]),
        (409, &json!("site_mail_not_configured"))
    );
    assert!(rest.all("/api/v1/outgoing-mails").await.is_empty());
    let unknown = json!({ "mailboxId": "mbx_nobody" });
    let refused = rest
        .send(Method::PATCH, "/api/v1/site-mail", Some(&unknown))
        .await;
    assert_eq!(
        (refused.status, &refused.json["errors"][0]["pointer"]),
        (422, &json!("/mailboxId"))
    );
}

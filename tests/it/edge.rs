//! Where the service meets the network: its own TLS, and what strangers and proxies say in headers.

use std::path::Path;

use mailgrant::audit::{self, Filter};
use mailgrant::db::Db;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::support::certs::{Leaf, LeafOptions, TestCa};
use crate::support::guard::free_port;
use crate::support::process::{Mailgrant, Settings, http};
use crate::support::wait::{SOON, eventually};

fn write(dir: &Path, leaf: &Leaf) {
    std::fs::write(dir.join("key.pem"), &leaf.key).unwrap();
    std::fs::write(dir.join("cert.pem"), &leaf.certificate).unwrap();
}

async fn connect(ca: &TestCa, port: u16) -> Option<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(ca.client_config())
        .connect(name, tcp)
        .await
        .ok()
}

/// The certificate that the server showed.
fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// One request on a connection that stays open; the head of the answer.
async fn ask(stream: &mut TlsStream<TcpStream>, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let mut buffer = [0_u8; 4_096];
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(
            n > 0,
            "the connection was dropped after {:?}",
            String::from_utf8_lossy(&answer)
        );
        answer.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| {
                    rest.split("\r\n")
                        .next()
                        .unwrap()
                        .trim()
                        .parse::<usize>()
                        .unwrap()
                });
            if body.len() >= length {
                break head.to_lowercase();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_taken_over_and_a_broken_one_is_not() {
    let ca = TestCa::new();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &ca.issue(&LeafOptions::default()));
    let redirect = free_port();
    let mut mailgrant = Mailgrant::prepare(Settings::new());
    mailgrant.set(
        "MAILGRANT_BASE_URL",
        &format!("https://localhost:{}", mailgrant.port),
    );
    mailgrant.set(
        "MAILGRANT_TLS_CERT_FILE",
        &dir.path().join("cert.pem").to_string_lossy(),
    );
    mailgrant.set(
        "MAILGRANT_TLS_KEY_FILE",
        &dir.path().join("key.pem").to_string_lossy(),
    );
    mailgrant.set("MAILGRANT_HTTP_REDIRECT_LISTEN", &format!("127.0.0.1:{redirect}"));
    mailgrant.spawn();
    let port = mailgrant.port;
    let mut first = eventually("TLS is served", SOON * 6, async || connect(&ca, port).await).await;
    let before = shown(&first);
    let head = ask(&mut first, "/sign-in").await;
    assert!(head.contains("strict-transport-security: max-age="), "{head}");

    write(dir.path(), &ca.issue(&LeafOptions::default()));
    let second = eventually("the new certificate is shown", SOON, async || {
        connect(&ca, port).await.filter(|stream| shown(stream) != before)
    })
    .await;
    assert!(
        ask(&mut first, "/livez").await.starts_with("http/1.1 200"),
        "the old connection goes on"
    );

    std::fs::write(dir.path().join("key.pem"), ca.issue(&LeafOptions::default()).key).unwrap();
    eventually("the mismatch is told", SOON, async || {
        mailgrant
            .log()
            .contains("is not that of the certificate")
            .then_some(())
    })
    .await;
    let third = connect(&ca, port).await.unwrap();
    assert_eq!(shown(&third), shown(&second), "the one before stays");

    let asked = http()
        .get(format!("http://127.0.0.1:{redirect}/tickets?q=a%20b"))
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), 308);
    assert_eq!(
        asked.headers()["location"],
        format!("https://localhost:{port}/tickets?q=a%20b")
    );
    mailgrant.stop();
    mailgrant.set("MAILGRANT_TLS_KEY_FILE", "/no/such/key.pem");
    let out = mailgrant.run(&["serve"]);
    assert!(!out.status.success(), "it does not start without its key");
    assert!(String::from_utf8_lossy(&out.stderr).contains("/no/such/key.pem"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_listed_proxy_says_where_somebody_comes_from() {
    for (trusted, expected) in [("", "127.0.0.1"), ("127.0.0.0/8", "192.0.2.7")] {
        let mailgrant = Mailgrant::start(Settings::new().set("MAILGRANT_TRUSTED_PROXIES", trusted)).await;
        let printed = mailgrant.run_ok(&["token", "create", "--name", "t", "--json"]);
        let made: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let answer = http()
            .post(format!("{}/api/v1/projects", mailgrant.base_url))
            .bearer_auth(made["token"].as_str().unwrap())
            .header("x-forwarded-for", "8.8.8.8, 192.0.2.7")
            .header("forwarded", "for=198.51.100.1")
            .json(&serde_json::json!({ "key": "HELP", "name": "Help" }))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        let db = Db::open(&format!(
            "sqlite:{}",
            mailgrant.data_dir().join("mailgrant.db").display()
        ))
        .await
        .unwrap();
        let filter = Filter {
            projects: mailgrant::access::Projects::All,
            action: Some("project.created".to_owned()),
            ..Filter::default()
        };
        let found = audit::list(db.read(), &filter, None, 1).await.unwrap();
        assert_eq!(found[0].address, expected);
        db.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_two_readers_would_read_differently_is_refused() {
    let mailgrant = Mailgrant::start(Settings::new()).await;
    let port = mailgrant.port;
    for (what, request) in [
        (
            "two lengths",
            "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        ),
        (
            "a length and chunks",
            "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a length with a sign",
            "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        ),
        (
            "an unknown coding",
            "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a space before the colon",
            "GET /livez HTTP/1.1\r\nHost : a\r\n\r\n",
        ),
    ] {
        let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        // Behind it another request, which must not be answered as one of its own.
        tcp.write_all(
            format!("{request}GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await
        .unwrap();
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with("HTTP/1.1 400"), "{what}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{what}: {text}");
    }
}

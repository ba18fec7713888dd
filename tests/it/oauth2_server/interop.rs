//! Clients nobody here wrote, behind a proxy with TLS and a path, and one that registers itself and signs out.

use std::process::Command;

use serde_json::{Value, json};

use super::libraries::{run_script, run_with};
use super::{CALLBACK, EMAIL, PASSWORD, Server, client_with};
use crate::support::process::{Mailgrant, Settings};
use crate::support::programs::python;
use crate::support::tls_proxy::TlsProxy;
use crate::world::text;

fn run_python(name: &str, input: &Value) -> Value {
    run_with(Command::new(python()), name, input)
}

/// Mailgrant whose issuer has a path and is reached by https.
async fn behind_a_proxy() -> (Server, TlsProxy) {
    let mut mailgrant = Mailgrant::prepare(Settings::new());
    let proxy = TlsProxy::start("/idp", mailgrant.port).await;
    mailgrant.set("MAILGRANT_BASE_URL", &proxy.url);
    mailgrant.resume().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let out = mailgrant
        .command(&["user", "create", "--email", EMAIL, "--name", "Ada"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let rest = mailgrant.rest();
    let client = rest.post("/api/v1/clients", &client_with(&json!({}))).await;
    let server = Server {
        mailgrant: mailgrant.into(),
        rest,
        client,
        database: None,
    };
    (server, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib_requests_oauthlib_google_auth_and_msal_get_tokens_from_an_issuer_with_a_path() {
    let (server, proxy) = behind_a_proxy().await;
    let post = server
        .add_client(&json!({ "tokenEndpointAuthMethod": "client_secret_post" }))
        .await;
    let input = json!({
        "issuer": proxy.url,
        "apiUrl": format!("{}/api/v1/tickets", proxy.url),
        "ca": proxy.ca_file(),
        "clientId": text(&server.client, "clientId"),
        "clientSecret": text(&server.client, "clientSecret"),
        "postId": text(&post, "clientId"),
        "postSecret": text(&post, "clientSecret"),
        "redirectUri": CALLBACK,
        "email": EMAIL,
        "password": PASSWORD,
    });
    let seen = tokio::task::spawn_blocking(move || run_python("python-clients.py", &input))
        .await
        .unwrap();
    assert_eq!(seen["issuer"], proxy.url.as_str(), "{seen}");
    assert_eq!(
        seen["authlib"],
        json!({
            "sub": true, "email": EMAIL, "api": 200, "sid": true, "rotated": true, "active": true,
            "revoked": { "active": false },
        })
    );
    assert_eq!(seen["requestsOauthlib"], json!({ "api": 200 }));
    assert_eq!(
        seen["googleAuth"],
        json!({ "kept": true, "api": 200, "refused": "invalid_grant" })
    );
    assert_eq!(
        (&seen["msal"]["api"], &seen["msal"]["error"]),
        (&json!(200), &Value::Null)
    );
    assert!(
        seen["msal"]["person"]
            .as_str()
            .is_some_and(|sub| sub.starts_with("usr_")),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_registers_itself_signs_in_and_signs_out() {
    let server = Server::start().await;
    let token = server
        .rest
        .post(
            "/api/v1/initial-access-tokens",
            &json!({ "name": "openid-client", "scopes": ["openid", "profile"], "approves": true }),
        )
        .await;
    let goodbye = "https://app.example/bye";
    let input = json!({
        "issuer": server.mailgrant.base_url,
        "clientId": text(&server.client, "clientId"),
        "clientSecret": text(&server.client, "clientSecret"),
        "redirectUri": CALLBACK,
        "email": EMAIL,
        "password": PASSWORD,
        "initialToken": text(&token, "token"),
        "goodbye": goodbye,
    });
    let seen = tokio::task::spawn_blocking(move || run_script("openid-client.mjs", &input))
        .await
        .unwrap();
    assert_eq!(
        seen["registered"],
        json!({
            "managed": "Registered", "name": "Ada", "goodbye": format!("{goodbye}?state=bye"), "after": "login_required",
        }),
        "{seen}"
    );
}

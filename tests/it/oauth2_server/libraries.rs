//! Clients nobody here wrote, each with its real flow.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{CALLBACK, EMAIL, PASSWORD, Server};
use crate::support::oidc_provider::node;
use crate::world::text;
use serde_json::{Value, json};

/// Runs a script of `tests/services` with JSON on its standard input; it must end well and print JSON.
fn run_script(name: &str, input: &Value) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services");
    let mut child = Command::new(node())
        .arg(folder.join(name))
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node");
    let mut stdin = child.stdin.take().expect("its standard input");
    stdin.write_all(input.to_string().as_bytes()).expect("the input");
    drop(stdin);
    let out = child.wait_with_output().expect("its end");
    assert!(
        out.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_and_oauth4webapi_sign_in_refresh_introspect_and_revoke() {
    let server = Server::start().await;
    for alg in ["RS256", "ES256", "EdDSA"] {
        let client = server.add_client(&json!({ "idTokenAlg": alg })).await;
        let input = json!({
            "issuer": server.mailgrant.base_url,
            "clientId": text(&client, "clientId"),
            "clientSecret": text(&client, "clientSecret"),
            "redirectUri": CALLBACK,
            "email": EMAIL,
            "password": PASSWORD,
        });
        let seen = tokio::task::spawn_blocking(move || run_script("openid-client.mjs", &input))
            .await
            .unwrap();
        assert_eq!(seen["issuer"], server.mailgrant.base_url, "{alg}");
        assert_eq!(seen["claims"]["name"], "Ada", "{alg}: {seen}");
        assert_eq!(seen["userinfo"]["email"], EMAIL, "{alg}: {seen}");
        assert_eq!(seen["api"], 200, "{alg}: {seen}");
        assert_eq!(seen["rotated"], true, "{alg}: {seen}");
        assert_eq!(seen["reuse"], "invalid_grant", "{alg}: {seen}");
        assert_eq!(seen["family"], false, "{alg}: {seen}");
        assert_eq!(
            (&seen["machine"], &seen["revoked"]),
            (&json!(true), &json!(false)),
            "{alg}: {seen}"
        );
        assert_eq!(seen["second"], "bearer", "{alg}: {seen}");
    }
}

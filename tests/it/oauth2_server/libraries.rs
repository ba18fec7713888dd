//! Clients nobody here wrote, each with its real flow.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::signing::{Key, change};
use super::{CALLBACK, EMAIL, PASSWORD, Server, all_scopes};
use crate::support::oidc_provider::node;
use crate::support::visitor::Visitor;
use crate::world::text;
use serde_json::{Value, json};

/// Runs a script of `tests/services` with Node.js; see [`run_with`].
pub(super) fn run_script(name: &str, input: &Value) -> Value {
    run_with(Command::new(node()), name, input)
}

/// Starts a script of `tests/services`.
fn started(mut program: Command, name: &str) -> Child {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services");
    program
        .arg(folder.join(name))
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the interpreter")
}

/// Runs a script of `tests/services` with JSON on its standard input; it must end well and print JSON.
pub(super) fn run_with(program: Command, name: &str, input: &Value) -> Value {
    let mut child = started(program, name);
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

/// A script that says lines and waits for answers to them.
struct Conversation {
    child: Child,
    input: std::process::ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Conversation {
    fn begin(name: &str) -> Self {
        let mut child = started(Command::new(node()), name);
        Self {
            input: child.stdin.take().expect("its standard input"),
            output: BufReader::new(child.stdout.take().expect("its standard output")),
            child,
        }
    }

    /// Says a line, and hears one.
    fn say(&mut self, line: &str) -> Value {
        writeln!(self.input, "{line}").expect("the script listens");
        let mut heard = String::new();
        self.output.read_line(&mut heard).expect("a line");
        if heard.is_empty() {
            let mut said = String::new();
            let errors = self.child.stderr.take().expect("its errors");
            std::io::Read::read_to_string(&mut BufReader::new(errors), &mut said).expect("text");
            panic!("the script ended: {said}");
        }
        serde_json::from_str(&heard).expect("JSON")
    }

    /// The first half of a script with [`bound`] clients: somebody signs in, and allows a device.
    async fn signs_in(&mut self, server: &Server, visitor: &Visitor, input: &Value) {
        let mut say = |line: &str| tokio::task::block_in_place(|| self.say(line));
        let asked = say(&input.to_string());
        let seen = server.consent(visitor, &text(&asked, "address")).await;
        let is_back = seen.location.starts_with(CALLBACK);
        assert!(is_back, "{} {}", seen.location, seen.body);
        let asked = say(&seen.location);
        allow_device(visitor, &text(&asked, "address")).await;
    }
}

/// A client that signs, pushes and binds everything, with some fields changed, and one on a device: what a script needs of
/// them.
async fn bound(server: &Server, changes: &Value) -> Value {
    let key = Key::new("node");
    let mut fields = json!({
        "tokenEndpointAuthMethod": "private_key_jwt", "jwks": key.set(), "dpopBoundAccessTokens": true,
        "requirePushedAuthorizationRequests": true, "requireSignedRequestObject": true,
    });
    change(&mut fields, changes);
    let client = server.add_client(&fields).await;
    let device = server
        .add_client(&json!({
            "applicationType": "native", "tokenEndpointAuthMethod": "none", "redirectUris": [],
            "grantTypes": ["urn:ietf:params:oauth:grant-type:device_code"],
        }))
        .await;
    json!({
        "issuer": server.mailgrant.base_url, "clientId": client["clientId"], "privateKey": key.pem(), "kid": key.kid,
        "redirectUri": CALLBACK, "deviceClientId": device["clientId"],
    })
}

/// Types the code of a device that its link fills in, and allows it all it asks for.
async fn allow_device(visitor: &Visitor, address: &str) {
    let page = visitor.get(address).await;
    let code = page.body.split("name=\"user_code\"").nth(1).unwrap();
    let code = code
        .split("value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let next = visitor.submit(&page, "/device", &[("user_code", &code)]).await;
    let consent = visitor.get(&next.location).await;
    let scopes = all_scopes(&consent);
    let mut fields: Vec<(&str, &str)> = scopes.iter().map(|scope| ("scope", scope.as_str())).collect();
    fields.extend([("decision", "allow"), ("reach", "all"), ("lasts", "")]);
    let done = visitor.submit(&consent, &next.location, &fields).await;
    assert_eq!(done.status, 200, "{}", done.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_signs_pushes_binds_waits_for_a_device_and_signs_out() {
    let server = Server::start().await;
    let goodbye = "https://app.example/bye";
    let mut input = bound(
        &server,
        &json!({
            "postLogoutRedirectUris": [goodbye],
            "scopes": ["openid", "profile", "phone", "address", "offline_access", "tickets:read"],
        }),
    )
    .await;
    input["goodbye"] = goodbye.into();
    let ada = server.rest.get("/api/v1/users").await["items"][0].clone();
    let path = format!("/api/v1/users/{}", text(&ada, "id"));
    let contact = json!({ "phoneNumber": "+49 30 1234567", "address": "Example Street 1\n10115 Berlin" });
    let changed = server
        .rest
        .send(reqwest::Method::PATCH, &path, Some(&contact))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.json);
    let mut script = Conversation::begin("openid-client-bound.mjs");
    let visitor = Visitor::new(&server.mailgrant);
    script.signs_in(&server, &visitor, &input).await;
    let asked = tokio::task::block_in_place(|| script.say("allowed"));
    let left = visitor.get(&text(&asked, "address")).await;
    let seen = tokio::task::block_in_place(|| script.say(&left.location));
    assert_eq!(seen["pushed"], json!(["client_id", "request_uri"]), "{seen}");
    assert_eq!(
        (&seen["type"], &seen["api"]),
        (&json!("dpop"), &json!(200)),
        "{seen}"
    );
    assert_eq!(seen["unbound"], 401, "{seen}");
    assert_eq!(seen["introspected"], json!([true, "DPoP", "string"]), "{seen}");
    let person = &seen["userinfo"];
    assert_eq!(
        (&person["name"], &person["phone_number"]),
        (&json!("Ada"), &contact["phoneNumber"]),
        "{seen}"
    );
    assert_eq!(person["phone_number_verified"], false, "{seen}");
    assert_eq!(
        person["address"],
        json!({ "formatted": contact["address"] }),
        "{seen}"
    );
    assert_eq!(
        (&seen["renewed"], &seen["nonce"]),
        (&json!(true), &Value::Null),
        "{seen}"
    );
    assert_eq!(seen["revoked"], false, "{seen}");
    assert_eq!(seen["machine"], json!(["dpop", 200]), "{seen}");
    assert_eq!(seen["device"], json!(["bearer", true]), "{seen}");
    assert_eq!(seen["goodbye"], format!("{goodbye}?state=bye"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth4webapi_signs_pushes_binds_and_waits_for_a_device() {
    let server = Server::start().await;
    let algs = json!({
        "introspectionSignedResponseAlg": "ES256", "tokenEndpointAuthSigningAlg": "ES256",
        "requestObjectSigningAlg": "ES256",
    });
    let input = bound(&server, &algs).await;
    let mut script = Conversation::begin("oauth4webapi-bound.mjs");
    let visitor = Visitor::new(&server.mailgrant);
    script.signs_in(&server, &visitor, &input).await;
    let seen = tokio::task::block_in_place(|| script.say("allowed"));
    assert_eq!(seen["type"], "dpop", "{seen}");
    assert_eq!(
        (&seen["name"], &seen["api"]),
        (&json!("Ada"), &json!(200)),
        "{seen}"
    );
    assert_eq!(seen["claims"]["acr"], "urn:mailgrant:acr:single-factor", "{seen}");
    assert_eq!(
        (&seen["introspected"], &seen["bound"]),
        (&json!(true), &json!("string")),
        "{seen}"
    );
    assert_eq!(
        (&seen["refreshed"], &seen["revoked"]),
        (&json!("dpop"), &json!(false)),
        "{seen}"
    );
    assert_eq!(
        seen["nonce"], true,
        "a client that always binds needs a nonce: {seen}"
    );
    assert_eq!(
        (&seen["waiting"], &seen["device"]),
        (&json!("authorization_pending"), &json!("bearer")),
        "{seen}"
    );
}

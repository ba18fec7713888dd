//! Tests of the sandbox, over its real sockets.

mod imap;
mod layer;
mod samples;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeZone;
use secrecy::ExposeSecret;
use serde_json::Value;
use sha2::Digest;

use super::*;

const REDIRECT: &str = "http://127.0.0.1:9/oauth2/callback/abc";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-0123";

fn start_of_time() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
}

async fn sandbox_with(change: impl FnOnce(&mut SandboxOptions)) -> (Sandbox, Clock) {
    let clock = Clock::manual(start_of_time());
    let mut options = SandboxOptions {
        redirect_urls: vec![REDIRECT.to_owned()],
        ..SandboxOptions::default()
    };
    change(&mut options);
    (Sandbox::start(options, clock.clone()).await.unwrap(), clock)
}

async fn sandbox() -> (Sandbox, Clock) {
    sandbox_with(|_| ()).await
}

fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(VERIFIER))
}

fn authorization_url(sandbox: &Sandbox, change: &[(&str, Option<&str>)]) -> String {
    let (client_id, challenge, scopes) = (sandbox.client_id(), challenge(), sandbox.scopes().join(" "));
    let mut params = vec![
        ("response_type", "code"),
        ("client_id", &client_id),
        ("redirect_uri", REDIRECT),
        ("scope", &scopes),
        ("state", "some-state"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in change {
        params.retain(|(known, _)| known != name);
        params.extend(value.map(|value| (*name, value)));
    }
    Url::parse_with_params(&sandbox.authorization_endpoint(), params)
        .unwrap()
        .into()
}

fn query(url: &str) -> HashMap<String, String> {
    Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

async fn allowed_code(sandbox: &Sandbox, change: &[(&str, Option<&str>)]) -> String {
    let url = authorization_url(sandbox, change);
    let back = sandbox.decide(&url, Decision::Allow).await.unwrap();
    query(&back).remove("code").unwrap()
}

/// Posts to the token endpoint with HTTP Basic: status and JSON.
async fn post_token(sandbox: &Sandbox, form: &[(&str, &str)]) -> (u16, Value) {
    let answer = http()
        .post(sandbox.token_endpoint())
        .basic_auth(sandbox.client_id(), Some(sandbox.client_secret().expose_secret()))
        .form(form)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn redeem(sandbox: &Sandbox, code: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    post_token(sandbox, &form).await
}

async fn refresh(sandbox: &Sandbox, token: &Value) -> (u16, Value) {
    let token = token["refresh_token"].as_str().unwrap();
    post_token(
        sandbox,
        &[("grant_type", "refresh_token"), ("refresh_token", token)],
    )
    .await
}

/// A pair of tokens, by consent and code.
async fn connect(sandbox: &Sandbox) -> Value {
    let (status, token) = redeem(sandbox, &allowed_code(sandbox, &[]).await).await;
    assert_eq!(status, 200, "{token}");
    token
}

/// Whether the mail server takes an access token.
async fn is_active(sandbox: &Sandbox, token: &Value) -> bool {
    let token = token["access_token"].as_str().unwrap();
    sandbox.shared.provider.introspect(token).await.unwrap().is_some()
}

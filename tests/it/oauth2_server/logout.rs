//! Signing out: at an application's wish, and of all applications.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{CALLBACK, EMAIL, Server};
use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::support::visitor::{Seen, Visitor};
use crate::support::wait::eventually;
use crate::world::text;

pub(super) const BYE: &str = "https://app.example/bye";

/// The claims of a token, unchecked.
pub(super) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

pub(super) fn header(token: &str) -> Value {
    let first = token.split('.').next().expect("a header");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(first).expect("base64url")).expect("JSON")
}

/// Signs Ada in to a client and returns her browser and the ID token.
pub(super) async fn signed_in(server: &Server, client: &Value) -> (Visitor, String) {
    let visitor = Visitor::new(&server.mailgrant);
    let id_token = sign_in_with(server, client, &visitor).await;
    (visitor, id_token)
}

async fn sign_in_with(server: &Server, client: &Value, visitor: &Visitor) -> String {
    let seen = server
        .consent(
            visitor,
            &server.request_of(client, &[("scope", "openid profile")]),
        )
        .await;
    let code = seen.param("code").expect("a code");
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", super::VERIFIER),
    ];
    server
        .ask(client, "/oauth2/token", &fields)
        .await
        .text("id_token")
}

pub(super) fn logout(params: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params)
        .finish();
    format!("/oauth2/logout?{query}")
}

pub(super) async fn is_signed_in(visitor: &Visitor) -> bool {
    visitor.get("/profile").await.status == 200
}

/// A second site admin, with Ada's password.
pub(super) fn add_bo(server: &Server) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), super::PASSWORD).unwrap();
    let made = server
        .mailgrant
        .command(&["user", "create", "--email", "bo@example.test", "--name", "Bo"])
        .stdin(std::fs::File::open(file.path()).unwrap())
        .output()
        .unwrap();
    assert!(made.status.success());
}

async fn with_bye(server: &Server) -> Value {
    server
        .add_client(&json!({ "postLogoutRedirectUris": [BYE] }))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn n56_n57_only_the_session_s_own_id_token_signs_out_without_a_question() {
    let server = Server::start().await;
    let client = with_bye(&server).await;
    let other = with_bye(&server).await;
    let id = text(&client, "clientId");
    let (visitor, id_token) = signed_in(&server, &client).await;
    assert_eq!(claims(&id_token)["sid"].as_str().map(str::len), Some(22));
    // Pages, no redirect, nobody signed out.
    let mut forged = id_token.clone();
    forged.replace_range(forged.len() - 10..forged.len() - 8, "AA");
    let other_id = text(&other, "clientId");
    for (name, params) in [
        (
            "unregistered",
            vec![
                ("id_token_hint", id_token.as_str()),
                ("post_logout_redirect_uri", "https://evil.example/"),
            ],
        ),
        (
            "longer",
            vec![
                ("client_id", id.as_str()),
                ("post_logout_redirect_uri", "https://app.example/bye?x=1"),
            ],
        ),
        ("no client", vec![("post_logout_redirect_uri", BYE)]),
        (
            "modified hint",
            vec![
                ("id_token_hint", forged.as_str()),
                ("post_logout_redirect_uri", BYE),
            ],
        ),
        ("no hint at all", vec![("id_token_hint", "x.y.z")]),
        (
            "foreign hint",
            vec![
                ("id_token_hint", id_token.as_str()),
                ("client_id", other_id.as_str()),
                ("post_logout_redirect_uri", BYE),
            ],
        ),
        ("unknown client", vec![("client_id", "mg_cid_nobody")]),
        (
            "twice",
            vec![("client_id", id.as_str()), ("client_id", id.as_str())],
        ),
    ] {
        let seen = visitor.get(&logout(&params)).await;
        assert_eq!(
            (seen.status, seen.location.as_str()),
            (400, ""),
            "{name}: {}",
            seen.body
        );
        assert!(!seen.body.contains("evil.example"), "{name}");
        assert!(is_signed_in(&visitor).await, "{name}");
    }
    // N57: by an image tag, without a hint: a page that asks, and whose form has its token.
    for params in [
        vec![],
        vec![("client_id", id.as_str()), ("post_logout_redirect_uri", BYE)],
    ] {
        let seen = visitor.get(&logout(&params)).await;
        assert_eq!(seen.status, 200);
        assert!(
            seen.body.contains("Sign out?") && seen.body.contains(EMAIL),
            "{}",
            seen.body
        );
        assert!(is_signed_in(&visitor).await);
    }
    assert_eq!(
        visitor
            .post("/oauth2/logout/confirm", &[("client_id", id.as_str())])
            .await
            .status,
        403
    );
    assert!(is_signed_in(&visitor).await, "a foreign form is refused");
    // With the hint it goes without a question, and on to the application with its state.
    let params = [
        ("id_token_hint", id_token.as_str()),
        ("post_logout_redirect_uri", BYE),
        ("state", "a&b"),
    ];
    let seen = visitor.get(&logout(&params)).await;
    assert_eq!(
        (seen.status, seen.location.as_str()),
        (303, "https://app.example/bye?state=a%26b")
    );
    assert!(!is_signed_in(&visitor).await);
    // Again, with nobody signed in: the same.
    assert_eq!(
        visitor.get(&logout(&params)).await.location,
        "https://app.example/bye?state=a%26b"
    );
    // Nobody is signed in and nothing proves who asks: a page with a link, no redirect.
    let seen = visitor
        .get(&logout(&[
            ("client_id", id.as_str()),
            ("post_logout_redirect_uri", BYE),
        ]))
        .await;
    assert_eq!((seen.status, seen.location.as_str()), (200, ""));
    assert!(
        seen.body.contains(BYE) && !seen.body.contains("http-equiv=\"refresh\""),
        "{}",
        seen.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_s_hint_is_a_question_and_the_answer_on_the_page_counts() {
    let server = Server::start().await;
    let client = with_bye(&server).await;
    let (_, foreign) = signed_in(&server, &client).await;
    add_bo(&server);
    let visitor = Visitor::new(&server.mailgrant);
    let page = visitor.get("/sign-in").await;
    visitor
        .sign_in(
            &page,
            "bo@example.test",
            &secrecy::SecretString::from(super::PASSWORD),
        )
        .await;
    assert!(is_signed_in(&visitor).await);
    let params = [
        ("id_token_hint", foreign.as_str()),
        ("post_logout_redirect_uri", BYE),
    ];
    let asked = visitor.get(&logout(&params)).await;
    assert!(asked.body.contains("Sign out?"), "{}", asked.body);
    let done = visitor
        .submit(
            &asked,
            "/oauth2/logout/confirm",
            &[
                ("id_token_hint", foreign.as_str()),
                ("post_logout_redirect_uri", BYE),
            ],
        )
        .await;
    // By a page: a redirect would be held against the policy of the one that asked, and so would those that follow it.
    assert_eq!(
        (done.status, done.refresh().as_str()),
        (200, BYE),
        "{}",
        done.body
    );
    let policy = asked.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self';"), "{policy}");
    assert!(!is_signed_in(&visitor).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_in_the_browser_are_told_in_frames_that_show_them_only() {
    let server = Server::start().await;
    let with_session = server
        .add_client(&json!({
            "postLogoutRedirectUris": [BYE],
            "frontchannelLogoutUri": "https://one.example/out?x=1",
            "frontchannelLogoutSessionRequired": true,
        }))
        .await;
    let without = server
        .add_client(&json!({ "frontchannelLogoutUri": "https://two.example/out" }))
        .await;
    let (visitor, id_token) = signed_in(&server, &with_session).await;
    let second = sign_in_with(&server, &without, &visitor).await;
    let sid = text(&claims(&id_token), "sid");
    assert_eq!(sid, text(&claims(&second), "sid"), "one session");
    let params = [
        ("id_token_hint", id_token.as_str()),
        ("post_logout_redirect_uri", BYE),
    ];
    let seen = visitor.get(&logout(&params)).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    let policy = seen.headers["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("frame-src https://one.example https://two.example;"),
        "{policy}"
    );
    let issuer: String = url::form_urlencoded::byte_serialize(server.mailgrant.base_url.as_bytes()).collect();
    let body = seen
        .body
        .replace("&amp;", "&")
        .replace("&#x2F;", "/")
        .replace("&#x3D;", "=");
    assert!(
        body.contains(&format!("https://one.example/out?x=1&iss={issuer}&sid={sid}")),
        "{body}"
    );
    assert!(body.contains("src=\"https://two.example/out\""), "{body}");
    assert!(
        body.contains("http-equiv=\"refresh\"") && body.contains(BYE),
        "{body}"
    );
    assert!(!is_signed_in(&visitor).await);
}

/// The logout tokens an application was sent.
pub(super) async fn told(app: &ScriptedHttp, least: usize) -> Vec<String> {
    let requests = eventually("the application is told", Duration::from_secs(20), async || {
        Some(app.requests()).filter(|requests| requests.len() >= least)
    })
    .await;
    requests
        .iter()
        .map(|request| request.form("logout_token").expect("a logout token"))
        .collect()
}

on_each_database!(applications_behind_the_browser_are_told_until_they_take_it);

async fn applications_behind_the_browser_are_told_until_they_take_it(database: TestDatabase) {
    let server = Server::start_on(Some(database)).await;
    let app = ScriptedHttp::start().await;
    // The first answer is lost; a sign-in of the same person in the same browser is no end.
    app.answer(Answer::text(500, "text/plain", "no"));
    app.answer_always(Answer::text(200, "text/plain", ""));
    let client = server
        .add_client(&json!({
            "postLogoutRedirectUris": [BYE],
            "backchannelLogoutUri": format!("{}/out", app.url),
            "backchannelLogoutSessionRequired": true,
        }))
        .await;
    let (visitor, before) = signed_in(&server, &client).await;
    let again = server
        .consent(
            &visitor,
            &server.request_of(&client, &[("scope", "openid"), ("prompt", "login")]),
        )
        .await;
    assert!(again.param("code").is_some(), "{}", again.location);
    let params = [
        ("id_token_hint", before.as_str()),
        ("post_logout_redirect_uri", BYE),
    ];
    assert_eq!(visitor.get(&logout(&params)).await.location, BYE);
    let tokens = told(&app, 2).await;
    assert_eq!(header(&tokens[0])["typ"], "logout+jwt");
    let (first, second) = (claims(&tokens[0]), claims(&tokens[1]));
    assert_ne!(first["jti"], second["jti"]);
    for said in [&first, &second] {
        assert_eq!(said["iss"], server.mailgrant.base_url);
        assert_eq!(said["aud"], client["clientId"]);
        assert_eq!(said["sid"], claims(&before)["sid"]);
        assert_eq!(said["sub"], claims(&before)["sub"]);
        assert!(said["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
        assert!(said.get("nonce").is_none());
        assert!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap() <= 120);
    }
}

on_each_database!(a_person_who_is_switched_off_or_whose_session_is_ended_is_signed_out_everywhere);

async fn a_person_who_is_switched_off_or_whose_session_is_ended_is_signed_out_everywhere(
    database: TestDatabase,
) {
    let server = Server::start_on(Some(database)).await;
    let app = ScriptedHttp::start().await;
    app.answer_always(Answer::text(204, "text/plain", ""));
    let client = server
        .add_client(&json!({ "backchannelLogoutUri": format!("{}/out", app.url) }))
        .await;
    // Signing out on our own pages.
    let (visitor, _) = signed_in(&server, &client).await;
    let page: Seen = visitor.get("/profile").await;
    assert_eq!(visitor.submit(&page, "/sign-out", &[]).await.status, 303);
    told(&app, 1).await;
    // Switched off by an admin; one must stay.
    add_bo(&server);
    let (_, id_token) = signed_in(&server, &client).await;
    let user = text(&claims(&id_token), "sub");
    let path = format!("/api/v1/users/{user}");
    let off = server
        .rest
        .send(Method::PATCH, &path, Some(&json!({ "isDisabled": true })))
        .await;
    assert_eq!(off.status, 200);
    let tokens = told(&app, 2).await;
    assert_eq!(claims(&tokens[1])["sub"], user.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_becomes_a_question_too() {
    let server = Server::start().await;
    let client = with_bye(&server).await;
    let (visitor, _) = signed_in(&server, &client).await;
    let posted = visitor
        .post(
            "/oauth2/logout",
            &[("client_id", text(&client, "clientId").as_str())],
        )
        .await;
    assert_eq!(posted.status, 303);
    assert!(
        posted.location.starts_with("/oauth2/logout?"),
        "{}",
        posted.location
    );
    assert!(visitor.get(&posted.location).await.body.contains("Sign out?"));
    assert!(is_signed_in(&visitor).await);
}

//! The authorization endpoint and the consent page.

use super::logout::claims;
use super::signing::now;
use super::{CALLBACK, CHALLENGE, EMAIL, PASSWORD, Server, all_scopes};
use crate::support::visitor::Visitor;
use crate::support::wait::{SOON, eventually};
use crate::world::text;
use secrecy::SecretString;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn n1_n2_n3_n4_n6_a_doubtful_redirect_uri_is_never_redirected_to() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    let disabled = server.add_client(&json!({ "state": "disabled" })).await;
    let pending = server.add_client(&json!({ "state": "pending" })).await;
    let two = server
        .add_client(&json!({ "redirectUris": [CALLBACK, "https://app.example/other"] }))
        .await;
    let mut cases = vec![
        server.request(&[("client_id", "mg_cid_unknown")]),
        server.request(&[("client_id", "")]),
        server.request_of(&disabled, &[]),
        server.request_of(&pending, &[]),
        server.request_of(&two, &[("redirect_uri", ""), ("scope", "tickets:read")]),
        // To sign people in it is always named.
        server.request(&[("redirect_uri", "")]),
        format!("{}&state=again", server.request(&[])),
        format!("{}&client_id=x", server.request(&[])),
    ];
    for uri in [
        "https://app.example/CB",
        "https://app.example/cb/",
        "https://app.example/cb?x=1",
        "https://app.example/cb/more",
        "https://me@app.example/cb",
        "https://app.example:8443/cb",
        "https://app.example/x/../cb",
        "https://app.example/cb#f",
        "https://app.example/%63b",
        "https://evil.example/cb",
    ] {
        cases.push(server.request(&[("redirect_uri", uri)]));
    }
    for case in cases {
        let seen = visitor.get(&case).await;
        assert_eq!(seen.status, 400, "{case}: {}", seen.body);
        assert_eq!(seen.location, "", "{case}");
        assert!(seen.body.contains("<!doctype html>"), "{case}");
        assert!(!seen.body.contains("evil.example"), "{case}");
    }
    // With one registered it need not be named, and then not at the token endpoint either.
    let code = server
        .code(&[("redirect_uri", ""), ("scope", "tickets:read")])
        .await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", super::VERIFIER),
    ];
    assert_eq!(server.token(&fields).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn n7_n8_n9_n10_n11_n16_what_is_wrong_otherwise_is_told_to_the_client() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    let long = "a".repeat(129);
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("code_challenge", ""), ("code_challenge_method", "")],
            "invalid_request",
        ),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge", &CHALLENGE[1..])], "invalid_request"),
        (
            &[("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c=")],
            "invalid_request",
        ),
        (
            &[("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c+")],
            "invalid_request",
        ),
        (&[("code_challenge", long.as_str())], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (
            &[("response_type", "id_token token")],
            "unsupported_response_type",
        ),
        (&[("response_type", "nonsense")], "unsupported_response_type"),
        (&[("response_type", "")], "invalid_request"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("scope", "nonsense")], "invalid_scope"),
        (&[("scope", "tickets:write")], "invalid_scope"),
        (&[("scope", "open\"id")], "invalid_scope"),
        (&[("scope", "openid \\")], "invalid_scope"),
        (&[("scope", "openid\u{7f}")], "invalid_scope"),
        (&[("scope", "openid\nprofile")], "invalid_scope"),
        (&[("scope", "")], "invalid_scope"),
        (&[("max_age", "-1")], "invalid_request"),
        (
            &[("request", "eyJhbGciOiJub25lIn0.e30.")],
            "invalid_request_object",
        ),
        (
            &[("request_uri", "https://evil.example/r")],
            "request_uri_not_supported",
        ),
        (&[("id_token_hint", "x.y.z")], "invalid_request"),
        (&[("resource", "https://other.example")], "invalid_target"),
    ];
    for (changes, error) in cases {
        let seen = visitor.get(&server.request(changes)).await;
        assert_eq!(seen.status, 303, "{changes:?}: {}", seen.body);
        assert!(
            seen.location.starts_with(&format!("{CALLBACK}?error=")),
            "{changes:?}: {}",
            seen.location
        );
        assert_eq!(
            seen.param("error").as_deref(),
            Some(*error),
            "{changes:?}: {}",
            seen.location
        );
        assert_eq!(seen.param("state").as_deref(), Some("st4te"), "{changes:?}");
        assert_eq!(
            seen.param("iss").as_deref(),
            Some(server.mailgrant.base_url.as_str()),
            "{changes:?}"
        );
    }
}

/// What is told to the client, and no page in between.
async fn told(server: &Server, visitor: &Visitor, changes: &[(&str, &str)]) -> String {
    let seen = visitor.get(&server.request(changes)).await;
    assert_eq!(seen.status, 303, "{changes:?}: {}", seen.body);
    assert!(
        seen.location.starts_with(CALLBACK),
        "{changes:?}: {}",
        seen.location
    );
    assert_eq!(seen.param("state").as_deref(), Some("st4te"), "{changes:?}");
    assert_eq!(
        seen.param("iss"),
        Some(server.mailgrant.base_url.clone()),
        "{changes:?}"
    );
    assert!(seen.param("error").is_none() || seen.param("code").is_none());
    seen.param("error").unwrap_or_else(|| "none".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn n12_prompt_none_asks_nobody_and_says_what_it_would_have_asked() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    let silent = [("prompt", "none")];
    assert_eq!(told(&server, &visitor, &silent).await, "login_required");
    let page = visitor.get("/sign-in").await;
    visitor.sign_in(&page, EMAIL, &SecretString::from(PASSWORD)).await;
    // Signed in, and never asked; then asked for less than is wanted now.
    assert_eq!(told(&server, &visitor, &silent).await, "consent_required");
    let allowed = server
        .consent(&visitor, &server.request(&[("scope", "openid")]))
        .await;
    assert!(allowed.param("code").is_some(), "{}", allowed.body);
    assert_eq!(told(&server, &visitor, &silent).await, "consent_required");
    let enough = [("prompt", "none"), ("scope", "openid")];
    assert_eq!(told(&server, &visitor, &enough).await, "none");
    // What needs a new sign-in needs the person.
    let old = [("prompt", "none"), ("scope", "openid"), ("max_age", "0")];
    assert_eq!(told(&server, &visitor, &old).await, "login_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn n13_prompt_none_stands_alone_and_a_prompt_that_does_not_exist_is_refused() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    for prompt in [
        "none login",
        "login none",
        "none consent",
        "none select_account",
        "garbage",
        "login garbage",
        "NONE",
    ] {
        let changes = [("prompt", prompt)];
        assert_eq!(
            told(&server, &visitor, &changes).await,
            "invalid_request",
            "{prompt}"
        );
    }
    // Others go together.
    let seen = visitor.get(&server.request(&[("prompt", "login consent")])).await;
    assert!(
        seen.location.starts_with("/oauth2/interactions/"),
        "{}",
        seen.location
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn n15_a_hint_names_the_person_and_everything_that_is_no_id_token_is_no_hint() {
    let server = Server::start().await;
    let (ada, bo) = (Visitor::new(&server.mailgrant), Visitor::new(&server.mailgrant));
    let jwt = server.add_client(&json!({ "accessTokenFormat": "jwt" })).await;
    let seen = server.consent(&ada, &server.request(&[])).await;
    let of_ada = server.redeem(&seen.param("code").unwrap()).await.text("id_token");
    let seen = server.consent(&ada, &server.request_of(&jwt, &[])).await;
    let code = seen.param("code").unwrap();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", super::VERIFIER),
    ];
    let other = server.ask(&jwt, "/oauth2/token", &fields).await;
    super::logout::add_bo(&server);
    let page = bo.get("/sign-in").await;
    bo.sign_in(&page, "bo@example.test", &SecretString::from(PASSWORD))
        .await;
    // Ada's hint, Bo's browser: nothing silent, and no code for Bo.
    let hint = ("id_token_hint", of_ada.as_str());
    assert_eq!(
        told(&server, &bo, &[("prompt", "none"), hint]).await,
        "login_required"
    );
    let seen = bo.get(&server.request(&[hint])).await;
    let seen = bo.get(&seen.location).await;
    assert!(
        seen.location.contains("/sign-in"),
        "{} {}",
        seen.location,
        seen.body
    );
    // Nobody's browser; Ada's own; a hint that another client was given for her.
    let nobody = Visitor::new(&server.mailgrant);
    assert_eq!(
        told(&server, &nobody, &[("prompt", "none"), hint]).await,
        "login_required"
    );
    assert_eq!(told(&server, &ada, &[("prompt", "none"), hint]).await, "none");
    let foreign = other.text("id_token");
    let hinted = [("prompt", "none"), ("id_token_hint", foreign.as_str())];
    assert_eq!(told(&server, &ada, &hinted).await, "none");
    // An access token is signed by the same keys, and is none; nor is what was changed, cut, or signed by nobody.
    let (head, signature) = of_ada.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    for wrong in [
        other.text("access_token"),
        format!("{head}.{flipped}{}", &signature[1..]),
        format!("{head}."),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c3JfeCJ9.".to_owned(),
        "x".to_owned(),
    ] {
        let changes = [("prompt", "none"), ("id_token_hint", wrong.as_str())];
        assert_eq!(told(&server, &ada, &changes).await, "invalid_request", "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n69_what_was_sent_comes_back_as_plain_text_or_not_at_all() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    let evil = "<script>alert(1)</script>\"\\\r\nSet-Cookie: evil=1\u{e9}\u{202e}\u{7f}";
    let is_safe = |text: &str| {
        text.bytes()
            .all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e))
            && text.len() <= 300
    };
    // Told in an address.
    for changes in [
        [("scope", evil)],
        [("prompt", evil)],
        [("response_type", evil)],
        [("resource", evil)],
        [("id_token_hint", evil)],
        [("request", evil)],
        [("claims", evil)],
    ] {
        let seen = visitor.get(&server.request(&changes)).await;
        let description = seen.param("error_description").expect("a description");
        assert!(is_safe(&description), "{changes:?}: {description:?}");
        assert!(
            !seen.location.contains(['\r', '\n', '<', '"']),
            "{}",
            seen.location
        );
        assert!(
            seen.headers
                .get_all("set-cookie")
                .iter()
                .all(|set| !set.as_bytes().starts_with(b"evil"))
        );
    }
    // The state is the client's own, and comes back as it was.
    let seen = visitor
        .get(&server.request(&[("scope", "nonsense"), ("state", evil)]))
        .await;
    assert_eq!(seen.param("state").as_deref(), Some(evil));
    // Told on a page.
    for changes in [[("client_id", evil)], [("redirect_uri", evil)], [("code", evil)]] {
        let seen = visitor.get(&server.request(&changes)).await;
        assert!(!seen.body.contains("<script>alert"), "{changes:?}: {}", seen.body);
    }
    // Told to a program, in JSON and in headers.
    for (path, fields) in [
        ("/oauth2/token", vec![("grant_type", evil)]),
        (
            "/oauth2/token",
            vec![("grant_type", "client_credentials"), ("scope", evil)],
        ),
        (
            "/oauth2/token",
            vec![("grant_type", "refresh_token"), ("refresh_token", evil)],
        ),
        (
            "/oauth2/token",
            vec![("grant_type", "client_credentials"), ("resource", evil)],
        ),
        ("/oauth2/par", vec![("scope", evil), ("response_type", "code")]),
        ("/oauth2/device_authorization", vec![("scope", evil)]),
        ("/oauth2/introspect", vec![("token_type_hint", evil)]),
    ] {
        let answer = server.ask(&server.client, path, &fields).await;
        assert!(
            (400..500).contains(&answer.status),
            "{path} {fields:?}: {}",
            answer.json
        );
        let description = text(&answer.json, "error_description");
        assert!(is_safe(&description), "{path} {fields:?}: {description:?}");
        assert!(answer.headers.get("set-cookie").is_none(), "{path}");
    }
    let (status, demand) = server
        .resource("/oauth2/userinfo", "Bearer", "mg_at_<x>", None)
        .await;
    assert_eq!(status, 401);
    assert!(!demand.contains('<'), "{demand}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_spends_no_pushed_request_and_signs_nobody_out() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    let pushed = [
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let answer = server.ask(&server.client, "/oauth2/par", &pushed).await;
    assert_eq!(answer.status, 201, "{}", answer.json);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", &text(&server.client, "clientId"))
        .append_pair("request_uri", &text(&answer.json, "request_uri"))
        .finish();
    for path in [format!("/oauth2/authorize?{query}"), "/oauth2/logout".to_owned()] {
        let url = format!("{}{path}", server.mailgrant.base_url);
        let looked = crate::support::process::http().head(url).send().await.unwrap();
        assert_eq!(looked.status().as_u16(), 405, "{path}");
        assert_eq!(looked.headers()["allow"], "GET, POST", "{path}");
    }
    let seen = server
        .consent(&visitor, &format!("/oauth2/authorize?{query}"))
        .await;
    assert!(seen.param("code").is_some(), "{} {}", seen.location, seen.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn n19_a_person_is_asked_once_unframed_sees_what_for_and_may_refuse_or_narrow() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    // Refused: the client is told, and nothing is remembered.
    let seen = visitor.get(&server.request(&[])).await;
    let page = visitor.get(&seen.location).await;
    let sign_in = visitor.get(&page.location).await;
    let next = visitor
        .sign_in(&sign_in, EMAIL, &SecretString::from(PASSWORD))
        .await;
    let consent = visitor.get(&next.location).await;
    assert!(
        consent.body.contains("Test app") && consent.body.contains("app.example"),
        "{}",
        consent.body
    );
    assert!(consent.body.contains("Read tickets"), "{}", consent.body);
    let policy = consent.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self';"),
        "{policy}"
    );
    let wrong = visitor
        .get(&server.request(&[("client_id", "mg_cid_unknown")]))
        .await;
    assert_eq!(wrong.status, 400);
    for shown in [&sign_in, &consent, &wrong] {
        let policy = shown.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(shown.headers["x-frame-options"], "DENY");
    }
    let refused = visitor
        .submit(&consent, &next.location, &[("decision", "refuse")])
        .await;
    assert_eq!(
        refused.status, 200,
        "a redirect after the form would be held against form-action"
    );
    assert_eq!(refused.param("error").as_deref(), Some("access_denied"));
    // N17: the answer counts once.
    let again = visitor
        .submit(
            &consent,
            &next.location,
            &[("decision", "allow"), ("scope", "openid")],
        )
        .await;
    assert_eq!(again.status, 403);
    // Narrowed: fewer scopes than asked for.
    let seen = visitor.get(&server.request(&[])).await;
    let consent = visitor.get(&seen.location).await;
    assert_eq!(
        all_scopes(&consent).len(),
        4,
        "openid is fixed and hidden: {}",
        consent.body
    );
    let allow = [
        ("decision", "allow"),
        ("scope", "openid"),
        ("reach", "all"),
        ("lasts", "3600"),
    ];
    let allowed = visitor.submit(&consent, &seen.location, &allow).await;
    let tokens = server.redeem(&allowed.param("code").unwrap()).await;
    assert_eq!(tokens.text("scope"), "openid");
    assert_eq!(
        server.api(&tokens.text("access_token"), "/api/v1/tickets").await,
        403
    );
    // Remembered: the same again needs no page, more does.
    let silent = visitor
        .get(&server.request(&[("scope", "openid"), ("prompt", "none")]))
        .await;
    assert!(silent.param("code").is_some(), "{}", silent.location);
    let more = visitor.get(&server.request(&[("prompt", "none")])).await;
    assert_eq!(more.param("error").as_deref(), Some("consent_required"));
}

#[tokio::test(flavor = "multi_thread")]
async fn n17_n18_a_decision_needs_the_form_the_browser_and_the_person_of_the_page() {
    let server = Server::start().await;
    let (ada, other) = (Visitor::new(&server.mailgrant), Visitor::new(&server.mailgrant));
    let seen = ada.get(&server.request(&[])).await;
    let path = seen.location.clone();
    // Another browser, signed in, can neither see nor finish it.
    let sign_in = other.get("/sign-in").await;
    other
        .sign_in(&sign_in, EMAIL, &SecretString::from(PASSWORD))
        .await;
    assert_eq!(other.get(&path).await.status, 403);
    let tickets = other.get("/tickets").await;
    let taken = other
        .submit(&tickets, &path, &[("decision", "allow"), ("scope", "openid")])
        .await;
    assert_eq!(taken.status, 403, "{}", taken.body);
    // Without the form's token nothing happens.
    let page = ada.get(&path).await;
    let sign_in = ada.get(&page.location).await;
    ada.sign_in(&sign_in, EMAIL, &SecretString::from(PASSWORD)).await;
    let consent = ada.get(&path).await;
    assert_eq!(consent.status, 200);
    let forged = ada
        .post(&path, &[("decision", "allow"), ("scope", "openid")])
        .await;
    assert_eq!(forged.status, 403);
    // Nor with that of somebody else's form.
    let elsewhere = tickets.hidden("csrf");
    assert!(!elsewhere.is_empty());
    let foreign = [
        ("csrf", elsewhere.as_str()),
        ("decision", "allow"),
        ("scope", "openid"),
    ];
    assert_eq!(ada.post(&path, &foreign).await.status, 403);
    let allowed = ada
        .submit(&consent, &path, &[("decision", "allow"), ("scope", "openid")])
        .await;
    assert!(allowed.param("code").is_some(), "{}", allowed.location);
}

#[tokio::test(flavor = "multi_thread")]
async fn n14_n15_a_new_sign_in_can_be_demanded_and_a_hint_names_the_person() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    let first = server.consent(&visitor, &server.request(&[])).await;
    let tokens = server.redeem(&first.param("code").unwrap()).await;
    let id_token = tokens.text("id_token");
    let hint = [("prompt", "none"), ("id_token_hint", id_token.as_str())];
    assert!(visitor.get(&server.request(&hint)).await.param("code").is_some());
    let mut before = claims(&id_token)["auth_time"].as_i64().unwrap();
    // prompt=login and max_age=0 lead to the sign-in page although somebody is signed in.
    for changes in [[("prompt", "login")], [("max_age", "0")]] {
        let seen = visitor.get(&server.request(&changes)).await;
        let next = visitor.get(&seen.location).await;
        assert!(
            next.location.contains("/sign-in?"),
            "{changes:?}: {}",
            next.location
        );
        let page = visitor.get(&next.location).await;
        eventually("another second", SOON, async || (now() > before).then_some(())).await;
        let signed_in = visitor.sign_in(&page, EMAIL, &SecretString::from(PASSWORD)).await;
        // Browsers hold the sign-in form's policy against a redirect, so a page leads on.
        let onward = visitor.get(&signed_in.location).await;
        assert!(
            onward.refresh().starts_with(CALLBACK),
            "{changes:?}: {}",
            onward.body
        );
        // The ID token says that it was now.
        let tokens = server.redeem(&onward.param("code").unwrap()).await;
        let at = claims(&tokens.text("id_token"))["auth_time"].as_i64().unwrap();
        assert!(at > before, "{changes:?}: {at} is not after {before}");
        before = at;
    }
    let silent = visitor
        .get(&server.request(&[("prompt", "none"), ("max_age", "0")]))
        .await;
    assert_eq!(silent.param("error").as_deref(), Some("login_required"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_can_travel_in_a_form_and_a_request_can_be_posted() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    server.consent(&visitor, &server.request(&[])).await;
    let page = visitor
        .get(&server.request(&[("response_mode", "form_post")]))
        .await;
    assert_eq!(page.status, 200);
    assert!(
        page.body
            .contains(&format!("action=\"{}\"", CALLBACK.replace('/', "&#x2F;")))
            || page.body.contains(CALLBACK)
    );
    assert!(
        page.hidden("code").starts_with("mg_ac_") && page.hidden("state") == "st4te",
        "{}",
        page.body
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("form-action 'self' https://app.example"),
        "{policy}"
    );
    let request = server.request(&[]);
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(request.split_once('?').unwrap().1.as_bytes())
            .into_owned()
            .collect();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let posted = visitor.post("/oauth2/authorize", &fields).await;
    assert_eq!(posted.status, 303, "{}", posted.body);
    assert!(visitor.get(&posted.location).await.param("code").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn n5_a_native_application_is_asked_each_time_and_chooses_its_port() {
    let server = Server::start().await;
    let native = server
        .add_client(&json!({
            "applicationType": "native", "tokenEndpointAuthMethod": "none",
            "redirectUris": ["http://127.0.0.1/cb", "com.example.app:/cb"],
            "grantTypes": ["authorization_code", "refresh_token"],
        }))
        .await;
    assert!(native["clientSecret"].is_null());
    let visitor = Visitor::new(&server.mailgrant);
    let with_port = [("redirect_uri", "http://127.0.0.1:51004/cb")];
    let seen = server
        .consent(&visitor, &server.request_of(&native, &with_port))
        .await;
    let code = seen.param("code").unwrap();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", "http://127.0.0.1:51004/cb"),
        ("code_verifier", super::VERIFIER),
    ];
    assert_eq!(server.ask(&native, "/oauth2/token", &fields).await.status, 200);
    let again = visitor.get(&server.request_of(&native, &with_port)).await;
    assert!(
        again.location.contains("/oauth2/interactions/"),
        "asked again: {}",
        again.location
    );
    for uri in ["http://localhost:51004/cb", "http://0.0.0.0:1/cb"] {
        let refused = visitor
            .get(&server.request_of(&native, &[("redirect_uri", uri)]))
            .await;
        assert_eq!(refused.status, 400, "{uri}");
    }
    let _ = text(&native, "id");
}

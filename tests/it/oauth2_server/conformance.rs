//! After the published plans of the OpenID Foundation's conformance suite: each of its modules by its name, as far as we
//! have what it asks for. Written after the plans, not certified: the suite itself does not run here.
//!
//! What a module of these plans asks of the server, and where else it is asked: signed requests and request objects in
//! `signing`, refusals by their numbers in `authorize` and `tokens`, logout in detail in `logout`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{CALLBACK, EMAIL, Server, VERIFIER};
use crate::support::process::http;
use crate::support::visitor::{Seen, Visitor};
use crate::world::text;

const SCOPE: &str = "openid profile email offline_access";

struct Flow {
    tokens: Value,
    claims: Value,
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

async fn redeem(server: &Server, client: &Value, code: &str) -> super::Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    server.ask(client, "/oauth2/token", &fields).await
}

/// A whole sign-in in a browser, with some parameters of the request changed.
async fn flow_in(server: &Server, client: &Value, visitor: &Visitor, changes: &[(&str, &str)]) -> Flow {
    let mut all = vec![("scope", SCOPE)];
    all.extend(changes);
    let seen = server.consent(visitor, &server.request_of(client, &all)).await;
    let code = seen
        .param("code")
        .unwrap_or_else(|| panic!("{changes:?}: no code: {} {}", seen.location, seen.body));
    assert_eq!(seen.param("state").as_deref(), Some("st4te"));
    let answer = redeem(server, client, &code).await;
    assert_eq!(answer.status, 200, "{changes:?}: {}", answer.json);
    Flow {
        claims: claims(&text(&answer.json, "id_token")),
        tokens: answer.json,
    }
}

async fn flow(server: &Server, changes: &[(&str, &str)]) -> Flow {
    flow_in(server, &server.client, &Visitor::new(&server.mailgrant), changes).await
}

async fn userinfo(server: &Server, method: Method, token: &str, in_body: bool) -> Value {
    let url = format!("{}/oauth2/userinfo", server.mailgrant.base_url);
    let request = http().request(method, url);
    let request = match in_body {
        true => request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("access_token={token}")),
        false => request.bearer_auth(token),
    };
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    answer.json().await.expect("JSON")
}

fn error_of(seen: &Seen) -> String {
    seen.param("error")
        .unwrap_or_else(|| format!("{} {}", seen.status, seen.body))
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_basic_certification_test_plan() {
    let server = Server::start().await;
    let client = server.client.clone();
    // oidcc-server, oidcc-idtoken-signature, oidcc-ensure-request-with-valid-pkce-succeeds
    let visitor = Visitor::new(&server.mailgrant);
    let first = flow_in(&server, &client, &visitor, &[]).await;
    assert_eq!(first.claims["iss"], server.mailgrant.base_url);
    assert_eq!(first.claims["aud"], client["clientId"]);
    assert_eq!(first.claims["nonce"], "n0nce");
    let access = text(&first.tokens, "access_token");
    // oidcc-userinfo-get, oidcc-userinfo-post-header, oidcc-userinfo-post-body
    for (method, in_body) in [(Method::GET, false), (Method::POST, false), (Method::POST, true)] {
        let said = userinfo(&server, method, &access, in_body).await;
        assert_eq!(said["sub"], first.claims["sub"]);
    }
    // oidcc-scope-profile, oidcc-scope-email, oidcc-scope-all: by userinfo, each scope its claims
    let said = userinfo(&server, Method::GET, &access, false).await;
    assert_eq!((&said["name"], &said["email"]), (&json!("Ada"), &json!(EMAIL)));
    let only = flow(&server, &[("scope", "openid email")]).await;
    let said = userinfo(&server, Method::GET, &text(&only.tokens, "access_token"), false).await;
    assert!(said.get("name").is_none() && said["email"] == EMAIL, "{said}");
    // oidcc-scope-address, oidcc-scope-phone
    let told = server
        .add_client(&json!({ "scopes": ["openid", "phone", "address"] }))
        .await;
    let profile = visitor.get("/profile").await;
    let written = [
        ("name", "Ada"),
        ("phone", "+49 30 1234567"),
        ("address", "Example Street 1"),
    ];
    assert_eq!(visitor.submit(&profile, "/profile", &written).await.status, 303);
    for (scope, claim, other) in [
        ("openid phone", "phone_number", "address"),
        ("openid address", "address", "phone_number"),
    ] {
        let visitor = Visitor::new(&server.mailgrant);
        let given = flow_in(&server, &told, &visitor, &[("scope", scope)]).await;
        let said = userinfo(&server, Method::GET, &text(&given.tokens, "access_token"), false).await;
        assert!(
            said.get(claim).is_some() && said.get(other).is_none(),
            "{scope}: {said}"
        );
    }
    // oidcc-response-type-missing
    let seen = visitor.get(&server.request(&[("response_type", "")])).await;
    assert_eq!(error_of(&seen), "invalid_request");
    // oidcc-prompt-none-logged-in, oidcc-id-token-hint
    let hint = text(&first.tokens, "id_token");
    for changes in [
        vec![("prompt", "none")],
        vec![("prompt", "none"), ("id_token_hint", hint.as_str())],
    ] {
        let again = flow_in(&server, &client, &visitor, &changes).await;
        assert_eq!(again.claims["sub"], first.claims["sub"]);
        assert_eq!(again.claims["auth_time"], first.claims["auth_time"]);
    }
    // oidcc-max-age-10000
    let again = flow_in(&server, &client, &visitor, &[("max_age", "10000")]).await;
    assert_eq!(again.claims["auth_time"], first.claims["auth_time"]);
    // oidcc-prompt-none-not-logged-in
    let stranger = Visitor::new(&server.mailgrant);
    let seen = stranger.get(&server.request(&[("prompt", "none")])).await;
    assert_eq!(error_of(&seen), "login_required");
    // oidcc-prompt-login, oidcc-max-age-1: a new sign-in
    for changes in [[("prompt", "login")], [("max_age", "0")]] {
        let seen = visitor.get(&server.request(&changes)).await;
        let page = visitor.get(&seen.location).await;
        assert!(
            page.location.contains("/sign-in"),
            "{changes:?}: {}",
            page.location
        );
    }
    // oidcc-ensure-request-without-nonce-succeeds-for-code-flow, oidcc-ensure-other-scope-order-succeeds,
    // oidcc-display-page, oidcc-display-popup, oidcc-ensure-request-with-unknown-parameter-succeeds, oidcc-login-hint,
    // oidcc-ui-locales, oidcc-claims-locales, oidcc-ensure-request-with-acr-values-succeeds, oidcc-claims-essential
    for changes in [
        [("nonce", "")],
        [("scope", "email openid profile")],
        [("display", "page")],
        [("display", "popup")],
        [("extra", "foobar")],
        [("login_hint", "buffy@example.com")],
        [("ui_locales", "se")],
        [("claims_locales", "se")],
        [("acr_values", "1 2")],
        [("claims", "{\"userinfo\":{\"name\":{\"essential\":true}}}")],
    ] {
        flow_in(&server, &client, &visitor, &changes).await;
    }
    // oidcc-codereuse, oidcc-codereuse-30seconds: the second time ends what the first one gave
    let code = server.code(&[("scope", SCOPE)]).await;
    let given = server.redeem(&code).await.text("access_token");
    assert_eq!(server.redeem(&code).await.error(), (400, "invalid_grant"));
    assert!(!server.is_active(&given).await);
    // oidcc-ensure-registered-redirect-uri
    let seen = visitor
        .get(&server.request(&[("redirect_uri", "https://app.example/other")]))
        .await;
    assert_eq!((seen.status, seen.location.as_str()), (400, ""));
    // oidcc-ensure-post-request-succeeds
    let (path, query) = {
        let request = server.request(&[("scope", SCOPE)]);
        let (path, query) = request.split_once('?').expect("a query");
        (path.to_owned(), query.to_owned())
    };
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let posted = visitor.post(&path, &fields).await;
    assert_eq!(posted.status, 303);
    let seen = visitor.get(&posted.location).await;
    assert!(seen.param("code").is_some(), "{} {}", seen.status, seen.location);
    // oidcc-server-client-secret-post
    let post = server
        .add_client(&json!({ "tokenEndpointAuthMethod": "client_secret_post" }))
        .await;
    let code = server.code_of(&post, &[("scope", SCOPE)]).await;
    let (id, secret) = (text(&post, "clientId"), text(&post, "clientSecret"));
    let answer = super::send(
        http().post(format!("{}/oauth2/token", server.mailgrant.base_url)),
        &[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("client_id", &id),
            ("client_secret", &secret),
        ],
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    // oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported
    let seen = visitor
        .get(&server.request(&[("request_uri", "https://app.example/r")]))
        .await;
    assert!(
        ["request_uri_not_supported", "invalid_request_uri"].contains(&error_of(&seen).as_str()),
        "{}",
        error_of(&seen)
    );
    // oidcc-refresh-token
    let refreshed = server.refresh(&text(&first.tokens, "refresh_token")).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_config_and_formpost_basic_certification_test_plan() {
    let server = Server::start().await;
    let base = &server.mailgrant.base_url;
    // oidcc-discovery-endpoint-verification, and those of the three logout plans
    let url = format!("{base}/.well-known/openid-configuration");
    let document: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["issuer"], base.as_str());
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
        "registration_endpoint",
        "end_session_endpoint",
    ] {
        assert!(
            document[name].as_str().is_some_and(|url| url.starts_with(base)),
            "{name}"
        );
    }
    for name in [
        "frontchannel_logout_supported",
        "frontchannel_logout_session_supported",
        "backchannel_logout_supported",
        "backchannel_logout_session_supported",
    ] {
        assert_eq!(document[name], true, "{name}");
    }
    for (name, value) in [
        ("response_types_supported", "code"),
        ("subject_types_supported", "public"),
        ("id_token_signing_alg_values_supported", "RS256"),
        ("response_modes_supported", "form_post"),
        ("scopes_supported", "openid"),
        ("claims_supported", "sid"),
    ] {
        assert!(
            document[name].as_array().unwrap().contains(&json!(value)),
            "{name}: {}",
            document[name]
        );
    }
    // The same flow with response_mode=form_post (each module of the plan is one of the basic plan's).
    let visitor = Visitor::new(&server.mailgrant);
    let request = server.request(&[("response_mode", "form_post"), ("scope", SCOPE)]);
    let page = server.consent(&visitor, &request).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("method=\"post\""), "{}", page.body);
    assert_eq!(
        (page.hidden("state").as_str(), page.hidden("iss").as_str()),
        ("st4te", base.as_str())
    );
    let answer = server.redeem(&page.hidden("code")).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    let refused = visitor
        .get(&server.request(&[("response_mode", "form_post"), ("response_type", "")]))
        .await;
    assert_eq!(refused.hidden("error"), "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_dynamic_certification_test_plan() {
    let server = Server::start().await;
    let token = server
        .rest
        .post(
            "/api/v1/initial-access-tokens",
            &json!({
                "name": "Plan", "scopes": ["openid", "profile", "email", "offline_access"], "approves": true, "uses": null,
            }),
        )
        .await;
    let token = text(&token, "token");
    let register = async |changes: Value| {
        let mut body = json!({
            "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let answer = http()
            .post(format!("{}/oauth2/register", server.mailgrant.base_url))
            .bearer_auth(&token)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .expect("an answer");
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.expect("JSON"),
        )
    };
    let as_client =
        |made: &Value| json!({ "clientId": made["client_id"], "clientSecret": made["client_secret"] });
    // oidcc-idtoken-rs256 and the other algorithms
    for alg in ["RS256", "ES256", "EdDSA"] {
        let (status, made) = register(json!({ "id_token_signed_response_alg": alg })).await;
        assert_eq!(status, 201, "{made}");
        let visitor = Visitor::new(&server.mailgrant);
        let flow = flow_in(&server, &as_client(&made), &visitor, &[]).await;
        let head = text(&flow.tokens, "id_token");
        let head = URL_SAFE_NO_PAD.decode(head.split('.').next().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&head).unwrap()["alg"], alg);
    }
    // oidcc-registration-logo-uri, -policy-uri, -tos-uri: shown before anybody allows anything
    let (_, made) = register(json!({
        "client_name": "Shown", "logo_uri": "https://app.example/logo.png", "policy_uri": "https://app.example/policy",
        "tos_uri": "https://app.example/terms",
    }))
    .await;
    let visitor = Visitor::new(&server.mailgrant);
    let mut page = visitor
        .get(&server.request_of(&as_client(&made), &[("scope", SCOPE)]))
        .await;
    while page.status == 303 {
        let path = page.location.clone();
        page = visitor.get(&path).await;
        if path.contains("/sign-in") {
            page = visitor
                .sign_in(&page, EMAIL, &secrecy::SecretString::from(super::PASSWORD))
                .await;
        }
    }
    let body = page.body.replace("&#x2F;", "/");
    for shown in [
        "Shown",
        "https://app.example/logo.png",
        "https://app.example/policy",
        "https://app.example/terms",
    ] {
        assert!(body.contains(shown), "{shown}: {body}");
    }
    // oidcc-registration-jwks-uri: kept as it was sent, and used when a token of the client is looked at
    let (status, made) = register(json!({
        "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://keys.invalid/jwks.json",
    }))
    .await;
    assert_eq!(
        (status, &made["jwks_uri"]),
        (201, &json!("https://keys.invalid/jwks.json")),
        "{made}"
    );
    // oidcc-registration-sector-bad: the list cannot be read
    let (status, refused) = register(json!({ "sector_identifier_uri": "https://sector.invalid/list" })).await;
    assert_eq!(
        (status, &refused["error"]),
        (400, &json!("invalid_client_metadata"))
    );
    // oidcc-redirect-uri-query-OK, -mismatch, -added, oidcc-redirect-uri-regfrag
    let (status, made) = register(json!({ "redirect_uris": ["https://app.example/cb?foo=bar"] })).await;
    assert_eq!(status, 201);
    let client = as_client(&made);
    for (uri, good) in [
        ("https://app.example/cb?foo=bar", true),
        ("https://app.example/cb?bar=foo", false),
        ("https://app.example/cb?foo=bar&foo2=bar2", false),
        ("https://app.example/cb", false),
    ] {
        let seen = Visitor::new(&server.mailgrant)
            .get(&server.request_of(&client, &[("redirect_uri", uri), ("scope", "openid")]))
            .await;
        assert_eq!(seen.status, if good { 303 } else { 400 }, "{uri}");
    }
    let (status, refused) = register(json!({ "redirect_uris": ["https://app.example/cb#foo=bar"] })).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_redirect_uri")));
    // oidcc-server-rotate-keys: new ones are there, what the old ones signed still counts
    let keys = async || -> usize {
        let url = format!("{}/oauth2/jwks", server.mailgrant.base_url);
        let set: Value = http().get(url).send().await.unwrap().json().await.unwrap();
        set["keys"].as_array().unwrap().len()
    };
    let before = keys().await;
    let signed_before = flow(&server, &[]).await;
    let rotate = server
        .rest
        .send(Method::POST, "/api/v1/signing-keys/rotate", Some(&json!({})))
        .await;
    assert_eq!(rotate.status, 204);
    assert_eq!(keys().await, before + 3);
    let hint = text(&signed_before.tokens, "id_token");
    let visitor = Visitor::new(&server.mailgrant);
    flow_in(&server, &server.client, &visitor, &[("id_token_hint", &hint)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_certification_test_plan() {
    let server = Server::start().await;
    let bye = "https://app.example/bye";
    let client = server
        .add_client(&json!({ "postLogoutRedirectUris": [bye] }))
        .await;
    // Module, parameters but the hint, whether the hint is sent (or how it is spoilt), where it leads: "" is a page.
    for (module, params, hint, leads) in [
        (
            "oidcc-rp-initiated-logout",
            vec![("post_logout_redirect_uri", bye), ("state", "x")],
            "good",
            "https://app.example/bye?state=x",
        ),
        (
            "oidcc-rp-initiated-logout-no-state",
            vec![("post_logout_redirect_uri", bye)],
            "good",
            bye,
        ),
        (
            "oidcc-rp-initiated-logout-no-post-logout-redirect-uri",
            vec![("state", "x")],
            "good",
            "",
        ),
        ("oidcc-rp-initiated-logout-no-params", vec![], "none", ""),
        (
            "oidcc-rp-initiated-logout-only-state",
            vec![("state", "x")],
            "none",
            "",
        ),
        (
            "oidcc-rp-initiated-logout-no-id-token-hint",
            vec![("post_logout_redirect_uri", bye), ("state", "x")],
            "none",
            "",
        ),
        (
            "oidcc-rp-initiated-logout-bad-id-token-hint",
            vec![("post_logout_redirect_uri", bye)],
            "bad",
            "",
        ),
        (
            "oidcc-rp-initiated-logout-modified-id-token-hint",
            vec![("post_logout_redirect_uri", bye)],
            "modified",
            "",
        ),
        (
            "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri",
            vec![("post_logout_redirect_uri", "https://app.example/other")],
            "good",
            "",
        ),
        (
            "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri",
            vec![("post_logout_redirect_uri", "https://app.example/bye?x=1")],
            "good",
            "",
        ),
    ] {
        let visitor = Visitor::new(&server.mailgrant);
        let flow = flow_in(&server, &client, &visitor, &[]).await;
        let id_token = text(&flow.tokens, "id_token");
        let hint = match hint {
            "good" => Some(id_token),
            "bad" => Some("bad".to_owned()),
            "modified" => Some({
                let mut parts: Vec<&str> = id_token.split('.').collect();
                let other = URL_SAFE_NO_PAD.encode(json!({ "sub": "usr_x" }).to_string());
                parts[1] = &other;
                parts.join(".")
            }),
            _ => None,
        };
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&params);
        if let Some(hint) = &hint {
            query.append_pair("id_token_hint", hint);
        }
        let seen = visitor.get(&format!("/oauth2/logout?{}", query.finish())).await;
        assert_eq!(seen.location, leads, "{module}: {}", seen.body);
        assert!(
            seen.status == 303 || seen.body.contains("<!doctype html>"),
            "{module}"
        );
    }
}

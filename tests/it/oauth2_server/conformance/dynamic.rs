//! `oidcc-dynamic-certification-test-plan`: every client registers itself and proves itself with a key.
//! `oidcc-registration-jwks-uri`, `oidcc-registration-sector-uri` and `oidcc-refresh-token-rp-key-rotation` need a public
//! host of the client, and are beside the server.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::signing::change;
use super::super::{EMAIL, PASSWORD};
use super::{App, Plan, Variant, redeeming, unescaped};
use crate::support::process::http;
use crate::world::text;

super::plan_tests!(
    Dynamic:
    oidcc_idtoken_unsigned,
    oidcc_discovery_endpoint_verification,
    oidcc_server,
    oidcc_ensure_request_object_with_redirect_uri,
    oidcc_refresh_token,
);

async fn begin() -> Plan {
    Plan::begin(Variant::Dynamic).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_idtoken_rs256() {
    let plan = begin().await;
    for alg in ["RS256", "ES256", "EdDSA"] {
        let app = plan
            .registered(&json!({ "id_token_signed_response_alg": alg }))
            .await;
        let flow = plan.fresh_flow(&app, &[]).await;
        let head = jsonwebtoken::decode_header(flow.id_token()).unwrap();
        assert_eq!(format!("{:?}", head.alg), alg);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_userinfo_rs256() {
    let plan = begin().await;
    for alg in ["RS256", "ES256", "EdDSA"] {
        let wish = json!({ "userinfo_signed_response_alg": alg });
        let app = plan.registered(&wish).await;
        assert_eq!(app.json["metadata"]["userinfo_signed_response_alg"], alg);
        let flow = plan.fresh_flow(&app, &[("scope", "openid email")]).await;
        let answer = plan.userinfo(Method::GET, &flow.access(), false).await;
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["content-type"], "application/jwt");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let token = answer.text().await.unwrap();
        assert_eq!(
            format!("{:?}", jsonwebtoken::decode_header(&token).unwrap().alg),
            alg
        );
        // Its signature, issuer and audience hold.
        let said = plan.verified(&app, &token).await;
        assert_eq!(
            (&said["sub"], &said["email"]),
            (&flow.claims["sub"], &json!(EMAIL))
        );
        assert_eq!(
            (said.get("exp"), said.get("nonce")),
            (None, None),
            "no ID token: {said}"
        );
        // Nor does it pass for one here.
        let hinted = [("prompt", "none"), ("id_token_hint", token.as_str())];
        let refused = plan.refused(&app, &plan.browser(), &hinted).await;
        assert_eq!(refused, "invalid_request");
    }
    let none = plan
        .register(&json!({ "userinfo_signed_response_alg": "none" }))
        .await;
    assert_eq!(none.error(), (400, "invalid_client_metadata"));
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_ensure_redirect_uri_in_authorization_request() {
    let plan = begin().await;
    let app = plan.app().await;
    let seen = plan
        .browser()
        .get(&plan.request(&app, &[("redirect_uri", "")]))
        .await;
    assert_eq!((seen.status, seen.location.as_str()), (400, ""));
    assert!(seen.body.contains("The redirect_uri is missing"), "{}", seen.body);
}

/// What a request with this redirect URI comes to, of a client whose own has a query.
async fn with_query(uri: &str) -> u16 {
    let plan = begin().await;
    let app = plan
        .registered(&json!({ "redirect_uris": ["https://app.example/cb?foo=bar"] }))
        .await;
    let browser = plan.browser();
    let seen = browser.get(&plan.request(&app, &[("redirect_uri", uri)])).await;
    if seen.status == 303 {
        let params = plan.answered(&app, &browser, &[("redirect_uri", uri)]).await;
        assert_eq!(params["foo"], "bar", "its own query stays: {params:?}");
        let mut fields = redeeming(&params["code"]);
        fields[2].1 = uri;
        assert_eq!(plan.token(&app, &fields).await.status, 200);
    }
    seen.status
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_redirect_uri_query_ok() {
    assert_eq!(with_query("https://app.example/cb?foo=bar").await, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_redirect_uri_query_mismatch() {
    assert_eq!(with_query("https://app.example/cb?bar=foo").await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_redirect_uri_query_added() {
    assert_eq!(with_query("https://app.example/cb?foo=bar&foo2=bar2").await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_redirect_uri_regfrag() {
    let wish = json!({ "redirect_uris": ["https://app.example/cb#foo=bar"] });
    let refused = begin().await.register(&wish).await;
    assert_eq!(refused.error(), (400, "invalid_redirect_uri"));
}

/// A registered address stands on the page that asks the person.
async fn is_shown(member: &str, uri: &str) {
    let plan = begin().await;
    let app = plan.registered(&json!({ member: uri })).await;
    assert_eq!(app.json["metadata"][member], uri);
    let browser = plan.browser();
    let begun = browser.get(&plan.request(&app, &[])).await;
    let sign_in = browser.get(&begun.location).await;
    let page = browser.get(&sign_in.location).await;
    browser.sign_in(&page, EMAIL, &PASSWORD.to_owned().into()).await;
    let page = browser.get(&begun.location).await;
    let body = unescaped(&page.body);
    assert!(body.contains("name=\"decision\""), "the consent page: {body}");
    assert!(body.contains(&format!("\"{uri}\"")), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_registration_logo_uri() {
    is_shown("logo_uri", "https://app.example/logo.png").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_registration_policy_uri() {
    is_shown("policy_uri", "https://app.example/policy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_registration_tos_uri() {
    is_shown("tos_uri", "https://app.example/terms").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_registration_sector_bad() {
    let wish = json!({ "sector_identifier_uri": "https://sector.invalid/list" });
    let refused = begin().await.register(&wish).await;
    assert_eq!(refused.error(), (400, "invalid_client_metadata"));
}

/// New keys sign from now on; what the old ones signed holds as long as they are published.
#[tokio::test(flavor = "multi_thread")]
async fn oidcc_server_rotate_keys() {
    let plan = begin().await;
    let (app, browser) = (plan.app().await, plan.browser());
    let before = plan.server.key_ids().await;
    let first = plan.flow(&app, &browser, &[]).await;
    let rotated = plan
        .server
        .rest
        .send(Method::POST, "/api/v1/signing-keys/rotate", Some(&json!({})))
        .await;
    assert_eq!(rotated.status, 204);
    let after = plan.server.key_ids().await;
    assert!(
        before.iter().all(|kid| after.contains(kid)),
        "{before:?} {after:?}"
    );
    let hint = first.id_token();
    let second = plan.flow(&app, &browser, &[("id_token_hint", &hint)]).await;
    let kid = jsonwebtoken::decode_header(second.id_token()).unwrap().kid;
    let kid = kid.expect("a kid");
    assert!(!before.contains(&kid) && after.contains(&kid), "a new key signs");
    plan.verified(&app, &hint).await;
}

/// Not had: nothing is fetched from an application to learn what it asks.
#[tokio::test(flavor = "multi_thread")]
async fn oidcc_request_uri_unsigned() {
    super::modules::request_uri_is_refused(begin().await).await;
}

/// Not had either; a signed request comes by value, or is pushed.
#[tokio::test(flavor = "multi_thread")]
async fn oidcc_request_uri_signed_rs256() {
    let plan = begin().await;
    let app = plan.app().await;
    pushes_signed(&plan, &app).await;
    super::modules::request_uri_is_refused(plan).await;
}

/// The way that is had in its place.
async fn pushes_signed(plan: &Plan, app: &App) {
    let claims = plan.server.object(&app.json, &json!({ "scope": "openid" }));
    let object = app.key.token("oauth-authz-req+jwt", &claims);
    let assertion = app.key.token("JWT", &plan.server.claims(&app.json));
    let fields = [("request", object.as_str())];
    let pushed = plan.server.assert_at("/oauth2/par", &assertion, &fields).await;
    assert_eq!(pushed.status, 201, "{}", pushed.json);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", &app.id())
        .append_pair("request_uri", &text(&pushed.json, "request_uri"))
        .finish();
    let address = format!("/oauth2/authorize?{query}");
    let seen = plan.server.consent(&plan.browser(), &address).await;
    assert!(plan.params(&seen).contains_key("code"), "{}", seen.location);
}

/// The issuer is an audience of an assertion, beside the address of the endpoint; nobody else is.
#[tokio::test(flavor = "multi_thread")]
async fn oidcc_ensure_client_assertion_with_iss_aud_succeeds() {
    let plan = begin().await;
    let app = plan.app().await;
    for (audience, status) in [(plan.issuer(), 200), ("https://other.example", 401)] {
        let params = plan.answered(&app, &plan.browser(), &[]).await;
        let mut claims: Value = plan.server.claims(&app.json);
        change(&mut claims, &json!({ "aud": audience }));
        let assertion = app.key.token("JWT", &claims);
        let fields = redeeming(&params["code"]);
        let answer = plan.server.assert_at("/oauth2/token", &assertion, &fields).await;
        assert_eq!(answer.status, status, "{audience}: {}", answer.json);
    }
}

/// What a client is told of itself is what it registered.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_registered_is_read_back() {
    let plan = begin().await;
    let app = plan
        .registered(&json!({ "userinfo_signed_response_alg": "ES256" }))
        .await;
    let metadata = &app.json["metadata"];
    let read: Value = http()
        .get(text(metadata, "registration_client_uri"))
        .bearer_auth(text(metadata, "registration_access_token"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(read["userinfo_signed_response_alg"], "ES256", "{read}");
}

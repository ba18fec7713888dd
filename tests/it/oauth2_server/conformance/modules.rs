//! Modules of more than one plan: Basic and Form Post have most of them, Dynamic has some.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::signing::now;
use super::super::{EMAIL, client_with, send};
use super::{Plan, Variant, redeeming, unescaped};
use crate::support::process::http;
use crate::support::wait::{SOON, eventually};
use crate::world::text;

/// The sign-in with nothing special, and what every token of it must say.
pub(super) async fn oidcc_server(plan: Plan) {
    let app = plan.app().await;
    let flow = plan.fresh_flow(&app, &[]).await;
    let claims = &flow.claims;
    assert_eq!(claims["iss"], plan.issuer());
    assert_eq!(claims["aud"], app.id());
    assert_eq!(claims["nonce"], "n0nce");
    assert!(claims["sub"].as_str().unwrap().starts_with("usr_"), "{claims}");
    let (from, until) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!(from <= now() + 1 && until > now(), "{claims}");
    assert_eq!(flow.tokens["token_type"], "Bearer");
    assert!(flow.tokens["expires_in"].as_i64().unwrap() > 0);
    assert_eq!(flow.params.keys().collect::<Vec<_>>(), ["code", "iss", "state"]);
}

pub(super) async fn oidcc_discovery_endpoint_verification(plan: Plan) {
    let document = plan.document().await;
    assert_eq!(document["issuer"], plan.issuer());
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
        "registration_endpoint",
    ] {
        let url = document[name].as_str().unwrap_or_default();
        assert!(url.starts_with(plan.issuer()), "{name}: {url}");
    }
    for (name, values) in [
        ("response_types_supported", &["code"][..]),
        ("subject_types_supported", &["public"]),
        ("id_token_signing_alg_values_supported", &["RS256"]),
        ("userinfo_signing_alg_values_supported", &["RS256"]),
        ("response_modes_supported", &["query", "form_post"]),
        ("scopes_supported", &super::SCOPES),
        (
            "claims_supported",
            &["sub", "name", "email", "phone_number", "address"],
        ),
        (
            "token_endpoint_auth_methods_supported",
            &["client_secret_basic", "client_secret_post", "private_key_jwt"],
        ),
    ] {
        for value in values {
            let list = document[name].as_array().expect(name);
            assert!(list.contains(&json!(value)), "{name}: {list:?}");
        }
    }
    assert_eq!(document["claims_parameter_supported"], true);
    assert_eq!(document["request_parameter_supported"], true);
    assert_eq!(document["request_uri_parameter_supported"], false);
    let set: Value = http()
        .get(text(&document, "jwks_uri"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let keys = set["keys"].as_array().unwrap();
    let mut kids: Vec<&str> = keys
        .iter()
        .map(|key| key["kid"].as_str().expect("a kid"))
        .collect();
    kids.sort_unstable();
    kids.dedup();
    assert_eq!(kids.len(), keys.len(), "each key has an id of its own");
    assert!(
        keys.iter()
            .all(|key| key.get("d").is_none() && key["use"] == "sig"),
        "{set}"
    );
}

pub(super) async fn oidcc_response_type_missing(plan: Plan) {
    let app = plan.app().await;
    let refused = plan
        .refused(&app, &plan.browser(), &[("response_type", "")])
        .await;
    assert_eq!(refused, "invalid_request");
}

pub(super) async fn oidcc_idtoken_signature(plan: Plan) {
    let app = plan.app().await;
    let flow = plan.fresh_flow(&app, &[]).await;
    let head = jsonwebtoken::decode_header(flow.id_token()).unwrap();
    assert_eq!(head.alg, jsonwebtoken::Algorithm::RS256);
    let kid = head.kid.expect("there are several keys: it says which");
    assert!(plan.server.key_ids().await.contains(&kid));
}

/// Not had: no client can be made whose ID tokens nobody signs.
pub(super) async fn oidcc_idtoken_unsigned(plan: Plan) {
    let known = &plan.document().await["id_token_signing_alg_values_supported"];
    assert!(!known.as_array().unwrap().contains(&json!("none")));
    if plan.variant == Variant::Dynamic {
        let refused = plan
            .register(&json!({ "id_token_signed_response_alg": "none" }))
            .await;
        assert_eq!(refused.error(), (400, "invalid_client_metadata"));
        return;
    }
    let fields = client_with(&json!({ "idTokenAlg": "none" }));
    let refused = plan
        .server
        .rest
        .send(Method::POST, "/api/v1/clients", Some(&fields))
        .await;
    assert_eq!(refused.status, 422, "{}", refused.json);
}

async fn userinfo_by(plan: Plan, method: Method, in_body: bool) {
    let app = plan.app().await;
    let flow = plan.fresh_flow(&app, &[]).await;
    let answer = plan.userinfo(method, &flow.access(), in_body).await;
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let said: Value = answer.json().await.unwrap();
    assert_eq!(said["sub"], flow.claims["sub"]);
}

pub(super) async fn oidcc_userinfo_get(plan: Plan) {
    userinfo_by(plan, Method::GET, false).await;
}

pub(super) async fn oidcc_userinfo_post_header(plan: Plan) {
    userinfo_by(plan, Method::POST, false).await;
}

pub(super) async fn oidcc_userinfo_post_body(plan: Plan) {
    userinfo_by(plan, Method::POST, true).await;
}

pub(super) async fn oidcc_ensure_request_without_nonce_succeeds_for_code_flow(plan: Plan) {
    let app = plan.app().await;
    let flow = plan.fresh_flow(&app, &[("nonce", "")]).await;
    assert_eq!(flow.claims.get("nonce"), None);
}

/// A scope brings its own claims, and no others.
async fn scope_tells(plan: Plan, scope: &str, told: &[&str]) {
    let app = plan.app().await;
    let flow = plan.fresh_flow(&app, &[("scope", scope)]).await;
    let said = plan.told(&flow).await;
    let mut names: Vec<&str> = said.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut expected = told.to_vec();
    expected.push("sub");
    expected.sort_unstable();
    assert_eq!(names, expected, "{said}");
}

pub(super) async fn oidcc_scope_profile(plan: Plan) {
    // The name to sign in with is the address, which this scope does not open.
    scope_tells(plan, "openid profile", &["name"]).await;
}

pub(super) async fn oidcc_scope_email(plan: Plan) {
    scope_tells(plan, "openid email", &["email", "email_verified"]).await;
}

pub(super) async fn oidcc_scope_address(plan: Plan) {
    scope_tells(plan, "openid address", &["address"]).await;
}

pub(super) async fn oidcc_scope_phone(plan: Plan) {
    scope_tells(plan, "openid phone", &["phone_number", "phone_number_verified"]).await;
}

pub(super) async fn oidcc_scope_all(plan: Plan) {
    let app = plan.app().await;
    let flow = plan
        .fresh_flow(&app, &[("scope", "openid profile email address phone")])
        .await;
    let said = plan.told(&flow).await;
    assert_eq!((&said["name"], &said["email"]), (&json!("Ada"), &json!(EMAIL)));
    assert_eq!(said["preferred_username"], EMAIL);
    assert_eq!(said["phone_number"], "+49 30 1234567");
    assert_eq!(said["address"], json!({ "formatted": "Example Street 1" }));
}

/// A request with something in it that must not matter.
async fn succeeds(plan: Plan, changes: &[(&str, &str)]) {
    let app = plan.app().await;
    plan.fresh_flow(&app, changes).await;
}

pub(super) async fn oidcc_ensure_other_scope_order_succeeds(plan: Plan) {
    succeeds(plan, &[("scope", "email openid")]).await;
}

pub(super) async fn oidcc_display_page(plan: Plan) {
    succeeds(plan, &[("display", "page")]).await;
}

pub(super) async fn oidcc_display_popup(plan: Plan) {
    succeeds(plan, &[("display", "popup")]).await;
}

pub(super) async fn oidcc_ensure_request_with_unknown_parameter_succeeds(plan: Plan) {
    succeeds(plan, &[("extra", "foobar")]).await;
}

pub(super) async fn oidcc_ui_locales(plan: Plan) {
    succeeds(plan, &[("ui_locales", "se")]).await;
}

pub(super) async fn oidcc_claims_locales(plan: Plan) {
    succeeds(plan, &[("claims_locales", "se")]).await;
}

/// The person signs in again though they are signed in, and the ID token says when.
pub(super) async fn oidcc_prompt_login(plan: Plan) {
    let (app, browser) = (plan.app().await, plan.browser());
    let first = plan.flow(&app, &browser, &[]).await;
    plan.sign_in_page(&app, &browser, &[("prompt", "login")]).await;
    let before = first.claims["auth_time"].as_i64().unwrap();
    eventually("another second", SOON, async || (now() > before).then_some(())).await;
    let second = plan.flow(&app, &browser, &[("prompt", "login")]).await;
    assert_eq!(second.claims["sub"], first.claims["sub"]);
    assert!(
        second.claims["auth_time"].as_i64().unwrap() > before,
        "{} {}",
        first.claims,
        second.claims
    );
}

pub(super) async fn oidcc_prompt_none_not_logged_in(plan: Plan) {
    let app = plan.app().await;
    let refused = plan.refused(&app, &plan.browser(), &[("prompt", "none")]).await;
    assert_eq!(refused, "login_required");
}

pub(super) async fn oidcc_prompt_none_logged_in(plan: Plan) {
    let (app, browser) = (plan.app().await, plan.browser());
    let first = plan.flow(&app, &browser, &[]).await;
    let second = plan.flow(&app, &browser, &[("prompt", "none")]).await;
    for same in ["sub", "auth_time"] {
        assert_eq!(second.claims[same], first.claims[same], "{same}");
    }
}

/// A sign-in that is older is not good enough, and the new one is in the ID token.
pub(super) async fn oidcc_max_age_1(plan: Plan) {
    let (app, browser) = (plan.app().await, plan.browser());
    let first = plan.flow(&app, &browser, &[]).await;
    eventually("the sign-in is too old", SOON, async || {
        let silent = [("max_age", "1"), ("prompt", "none")];
        let params = plan.answered(&app, &browser, &silent).await;
        (params.get("error").map(String::as_str) == Some("login_required")).then_some(())
    })
    .await;
    let second = plan.flow(&app, &browser, &[("max_age", "1")]).await;
    let at = |claims: &Value| claims["auth_time"].as_i64().expect("max_age wants to know when");
    assert!(at(&second.claims) > at(&first.claims));
    assert_eq!(second.claims["sub"], first.claims["sub"]);
}

pub(super) async fn oidcc_max_age_10000(plan: Plan) {
    let (app, browser) = (plan.app().await, plan.browser());
    let first = plan.flow(&app, &browser, &[]).await;
    let second = plan.flow(&app, &browser, &[("max_age", "10000")]).await;
    assert!(second.claims["auth_time"].is_i64());
    for same in ["sub", "auth_time"] {
        assert_eq!(second.claims[same], first.claims[same], "{same}");
    }
}

pub(super) async fn oidcc_id_token_hint(plan: Plan) {
    let (app, browser) = (plan.app().await, plan.browser());
    let first = plan.flow(&app, &browser, &[]).await;
    let hint = first.id_token();
    let hinted = [("prompt", "none"), ("id_token_hint", hint.as_str())];
    let second = plan.flow(&app, &browser, &hinted).await;
    assert_eq!(second.claims["sub"], first.claims["sub"]);
}

pub(super) async fn oidcc_login_hint(plan: Plan) {
    let (app, browser) = (plan.app().await, plan.browser());
    let hint = [("login_hint", "buffy@example.com")];
    let page = plan.sign_in_page(&app, &browser, &hint).await;
    let page = browser.get(&page).await;
    assert!(
        unescaped(&page.body).contains("value=\"buffy@example.com\""),
        "{}",
        page.body
    );
    plan.flow(&app, &browser, &hint).await;
}

pub(super) async fn oidcc_ensure_request_with_acr_values_succeeds(plan: Plan) {
    let app = plan.app().await;
    let document = plan.document().await;
    let known: Vec<&str> = document["acr_values_supported"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let flow = plan.fresh_flow(&app, &[("acr_values", &known.join(" "))]).await;
    let acr = flow.claims["acr"].as_str().unwrap();
    assert!(known.contains(&acr), "{acr}");
}

/// A code counts once, and what it gave ends when it comes again.
pub(super) async fn oidcc_codereuse(plan: Plan) {
    let app = plan.app().await;
    let flow = plan.fresh_flow(&app, &[]).await;
    assert!(plan.opens_userinfo(&flow.access()).await);
    let again = plan.redeem(&app, &flow.params["code"]).await;
    assert_eq!(again.error(), (400, "invalid_grant"));
    assert!(!plan.opens_userinfo(&flow.access()).await);
}

pub(super) async fn oidcc_ensure_registered_redirect_uri(plan: Plan) {
    let app = plan.app().await;
    let elsewhere = [("redirect_uri", "https://app.example/other")];
    let seen = plan.browser().get(&plan.request(&app, &elsewhere)).await;
    assert_eq!((seen.status, seen.location.as_str()), (400, ""));
    assert!(seen.body.contains("The redirect_uri is not one"), "{}", seen.body);
}

pub(super) async fn oidcc_ensure_post_request_succeeds(plan: Plan) {
    let (app, browser) = (plan.app().await, plan.browser());
    let request = plan.request(&app, &[]);
    let (path, query) = request.split_once('?').unwrap();
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let posted = browser.post(path, &fields).await;
    assert_eq!(posted.status, 303);
    let seen = plan.server.consent(&browser, &posted.location).await;
    let code = plan.params(&seen).remove("code").expect("a code");
    assert_eq!(plan.redeem(&app, &code).await.status, 200);
}

pub(super) async fn oidcc_server_client_secret_post(plan: Plan) {
    let app = plan
        .made(&json!({ "tokenEndpointAuthMethod": "client_secret_post" }))
        .await;
    let params = plan.answered(&app, &plan.browser(), &[]).await;
    let (id, secret) = (app.id(), text(&app.json, "clientSecret"));
    let mut fields = redeeming(&params["code"]).to_vec();
    fields.extend([("client_id", id.as_str()), ("client_secret", secret.as_str())]);
    let answer = send(http().post(plan.url("/oauth2/token")), &fields).await;
    plan.verified(&app, &answer.text("id_token")).await;
}

/// Rejected: what is elsewhere is never fetched.
pub(super) async fn oidcc_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(plan: Plan) {
    request_uri_is_refused(plan).await;
}

/// A request object at an address of the application: refused, whatever it is.
pub(super) async fn request_uri_is_refused(plan: Plan) {
    let app = plan.app().await;
    let elsewhere = [("request_uri", "https://app.example/request.jwt")];
    let refused = plan.refused(&app, &plan.browser(), &elsewhere).await;
    assert_eq!(refused, "request_uri_not_supported");
    assert_eq!(plan.document().await["request_uri_parameter_supported"], false);
}

/// Rejected: a request object counts by its signature.
pub(super) async fn oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(plan: Plan) {
    let app = plan.app().await;
    let claims = plan.server.object(&app.json, &json!({}));
    let head = json!({ "typ": "oauth-authz-req+jwt" });
    let object = super::super::signing::forged("none", &head, &claims, b"");
    let refused = plan.refused(&app, &plan.browser(), &[("request", &object)]).await;
    assert_eq!(refused, "invalid_request_object");
    let known = &plan.document().await["request_object_signing_alg_values_supported"];
    assert!(!known.as_array().unwrap().contains(&json!("none")));
}

/// What the object says counts, and what stands beside it does not.
pub(super) async fn oidcc_ensure_request_object_with_redirect_uri(plan: Plan) {
    let app = plan.app().await;
    let mut changes = json!({ "scope": "openid", "state": "st4te", "nonce": "n0nce" });
    if plan.variant == Variant::FormPost {
        changes["response_mode"] = "form_post".into();
    }
    let claims = plan.server.object(&app.json, &changes);
    let object = app.key.token("oauth-authz-req+jwt", &claims);
    let beside = [
        ("request", object.as_str()),
        ("redirect_uri", "https://evil.example/cb"),
        ("state", "beside"),
    ];
    let params = plan.answered(&app, &plan.browser(), &beside).await;
    assert_eq!(
        params.get("state").map(String::as_str),
        Some("st4te"),
        "{params:?}"
    );
    assert_eq!(plan.redeem(&app, &params["code"]).await.status, 200);
}

pub(super) async fn oidcc_claims_essential(plan: Plan) {
    let app = plan.app().await;
    let wish = json!({ "userinfo": { "name": { "essential": true } } }).to_string();
    let flow = plan.fresh_flow(&app, &[("claims", &wish)]).await;
    let said = plan.told(&flow).await;
    assert_eq!(said["name"], "Ada");
    assert_eq!(said.get("email"), None, "nothing else: {said}");
}

/// A refresh gives tokens of the same sign-in, to the client alone that has it, and only once.
pub(super) async fn oidcc_refresh_token(plan: Plan) {
    let (app, other) = (plan.app().await, plan.app().await);
    let flow = plan.fresh_flow(&app, &[("scope", "openid offline_access")]).await;
    let first = text(&flow.tokens, "refresh_token");
    assert_eq!(plan.refresh(&other, &first).await.error(), (400, "invalid_grant"));
    let answer = plan.refresh(&app, &first).await;
    let claims = plan.verified(&app, &answer.text("id_token")).await;
    for same in ["iss", "sub", "aud", "auth_time"] {
        assert_eq!(claims[same], flow.claims[same], "{same}");
    }
    assert!(claims["iat"].as_i64() >= flow.claims["iat"].as_i64());
    let (access, second) = (answer.text("access_token"), answer.text("refresh_token"));
    assert!(access != flow.access() && second != first);
    assert!(plan.opens_userinfo(&access).await);
    assert_eq!(plan.refresh(&app, &first).await.error(), (400, "invalid_grant"));
}

pub(super) async fn oidcc_ensure_request_with_valid_pkce_succeeds(plan: Plan) {
    let app = plan.app().await;
    plan.fresh_flow(&app, &[]).await;
    let params = plan.answered(&app, &plan.browser(), &[]).await;
    let mut fields = redeeming(&params["code"]);
    fields[3].1 = "another-verifier-another-verifier-another-ver";
    let wrong = plan.token(&app, &fields).await;
    assert_eq!(wrong.error(), (400, "invalid_grant"));
}

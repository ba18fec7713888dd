//! `oidcc-rp-initiated-logout-certification-test-plan`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::logout::{BYE, header, is_signed_in, logout};
use super::super::signing::Key;
use super::{App, Flow, Plan, Variant};
use crate::support::visitor::{Seen, Visitor};
use crate::world::text;

/// Somebody who is signed in to an application.
struct SignedIn {
    plan: Plan,
    app: App,
    browser: Visitor,
    flow: Flow,
}

impl SignedIn {
    async fn begin() -> Self {
        let plan = Plan::begin(Variant::Logout).await;
        let app = plan.made(&json!({ "postLogoutRedirectUris": [BYE] })).await;
        let browser = plan.browser();
        let flow = plan.flow(&app, &browser, &[]).await;
        Self {
            plan,
            app,
            browser,
            flow,
        }
    }

    async fn leaves(&self, params: &[(&str, &str)]) -> Seen {
        self.browser.get(&logout(params)).await
    }

    /// The session is over: a new request without a person finds nobody.
    async fn is_over(&self) -> bool {
        let params = self
            .plan
            .answered(&self.app, &self.browser, &[("prompt", "none")])
            .await;
        params.get("error").map(String::as_str) == Some("login_required")
    }

    /// The browser stays here, shown why nothing was done, or asked; nobody is signed out.
    async fn stays(&self, seen: &Seen, status: u16) {
        assert_eq!(
            (seen.status, seen.location.as_str()),
            (status, ""),
            "{}",
            seen.body
        );
        assert_eq!(seen.refresh(), "", "{}", seen.body);
        assert!(seen.body.contains("<!doctype html>"));
        assert!(is_signed_in(&self.browser).await);
    }

    /// The page asks; whoever says yes is signed out, and told so.
    async fn is_asked_and_signed_out(&self, params: &[(&str, &str)]) {
        let asked = self.leaves(params).await;
        self.stays(&asked, 200).await;
        assert!(asked.body.contains("Sign out?"), "{}", asked.body);
        let done = self.browser.submit(&asked, "/oauth2/logout/confirm", &[]).await;
        assert_eq!((done.status, done.location.as_str()), (200, ""), "{}", done.body);
        assert!(done.body.contains("You are signed out"), "{}", done.body);
        assert!(self.is_over().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_discovery_endpoint_verification() {
    let plan = Plan::begin(Variant::Logout).await;
    let document = plan.document().await;
    assert_eq!(document["issuer"], plan.issuer());
    assert_eq!(
        text(&document, "end_session_endpoint"),
        plan.url("/oauth2/logout")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout() {
    let it = SignedIn::begin().await;
    let hint = it.flow.id_token();
    let params = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", BYE),
        ("state", "a random state"),
    ];
    let seen = it.leaves(&params).await;
    assert_eq!(seen.status, 303, "{}", seen.body);
    assert_eq!(seen.location, format!("{BYE}?state=a+random+state"));
    assert!(it.is_over().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_no_state() {
    let it = SignedIn::begin().await;
    let hint = it.flow.id_token();
    let params = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", BYE),
    ];
    let seen = it.leaves(&params).await;
    assert_eq!((seen.status, seen.location.as_str()), (303, BYE));
    assert!(it.is_over().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_no_post_logout_redirect_uri() {
    let it = SignedIn::begin().await;
    let hint = it.flow.id_token();
    let seen = it
        .leaves(&[("id_token_hint", hint.as_str()), ("state", "x")])
        .await;
    assert_eq!((seen.status, seen.location.as_str()), (200, ""), "{}", seen.body);
    assert!(seen.body.contains("You are signed out"), "{}", seen.body);
    assert!(it.is_over().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_no_params() {
    SignedIn::begin().await.is_asked_and_signed_out(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_only_state() {
    let it = SignedIn::begin().await;
    it.is_asked_and_signed_out(&[("state", "x")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_no_id_token_hint() {
    let it = SignedIn::begin().await;
    let seen = it
        .leaves(&[("post_logout_redirect_uri", BYE), ("state", "x")])
        .await;
    it.stays(&seen, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_bad_post_logout_redirect_uri() {
    let it = SignedIn::begin().await;
    let hint = it.flow.id_token();
    let elsewhere = "https://app.example/other";
    let params = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", elsewhere),
    ];
    let seen = it.leaves(&params).await;
    it.stays(&seen, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri() {
    let it = SignedIn::begin().await;
    let hint = it.flow.id_token();
    let longer = format!("{BYE}?foo=bar");
    let params = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", longer.as_str()),
    ];
    let seen = it.leaves(&params).await;
    it.stays(&seen, 400).await;
}

/// The claims of a good hint, under a header that wants no signature, with none and with the one that was there.
#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_modified_id_token_hint() {
    let it = SignedIn::begin().await;
    let hint = it.flow.id_token();
    let parts: Vec<&str> = hint.split('.').collect();
    let mut head: Value = header(&hint);
    head["alg"] = "none".into();
    let head = URL_SAFE_NO_PAD.encode(head.to_string());
    for signature in ["", parts[2]] {
        let modified = format!("{head}.{}.{signature}", parts[1]);
        let params = [
            ("id_token_hint", modified.as_str()),
            ("post_logout_redirect_uri", BYE),
        ];
        let seen = it.leaves(&params).await;
        it.stays(&seen, 400).await;
    }
}

/// The very claims, signed by somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn oidcc_rp_initiated_logout_bad_id_token_hint() {
    let it = SignedIn::begin().await;
    let kid = text(&header(&it.flow.id_token()), "kid");
    for key in [Key::new("somebody"), Key::new(&kid)] {
        let forged = key.token("JWT", &it.flow.claims);
        let params = [
            ("id_token_hint", forged.as_str()),
            ("post_logout_redirect_uri", BYE),
        ];
        let seen = it.leaves(&params).await;
        it.stays(&seen, 400).await;
    }
}

//! `oidcc-frontchannel-rp-initiated-logout-certification-test-plan`.

use serde_json::json;

use super::super::logout::{BYE, claims, is_signed_in, logout, signed_in};
use super::{Plan, Variant, unescaped};
use crate::world::text;

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_frontchannel_logout_discovery_endpoint_verification() {
    super::announces("frontchannel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_frontchannel_rp_initiated_logout() {
    let plan = Plan::begin(Variant::Logout).await;
    let server = &plan.server;
    let client = server
        .add_client(&json!({
            "postLogoutRedirectUris": [BYE],
            "frontchannelLogoutUri": "https://app.example/frontchannel_logout",
            "frontchannelLogoutSessionRequired": true,
        }))
        .await;
    let (visitor, id_token) = signed_in(server, &client).await;
    let sid = text(&claims(&id_token), "sid");
    let params = [
        ("id_token_hint", id_token.as_str()),
        ("post_logout_redirect_uri", BYE),
        ("state", "st4te"),
    ];
    let page = visitor.get(&logout(&params)).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let body = unescaped(&page.body);
    let issuer: String = url::form_urlencoded::byte_serialize(server.mailgrant.base_url.as_bytes()).collect();
    // The frame names issuer and session; afterwards the browser goes on with its state.
    let frame = format!("src=\"https://app.example/frontchannel_logout?iss={issuer}&sid={sid}\"");
    assert!(body.contains("<iframe ") && body.contains(&frame), "{body}");
    assert!(body.contains(&format!("url={BYE}?state=st4te\"")), "{body}");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("frame-src https://app.example"), "{policy}");
    assert!(!is_signed_in(&visitor).await);
    // A new authorization with prompt=none finds nobody.
    let silent = visitor
        .get(&server.request_of(&client, &[("prompt", "none")]))
        .await;
    assert_eq!(silent.param("error").as_deref(), Some("login_required"));
}

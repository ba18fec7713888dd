//! `oidcc-backchannel-rp-initiated-logout-certification-test-plan`.

use serde_json::json;

use super::super::logout::{BYE, claims, header, is_signed_in, logout, signed_in, told};
use super::{Plan, Variant};
use crate::support::scripted_http::{Answer, ScriptedHttp};

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_backchannel_logout_discovery_endpoint_verification() {
    super::announces("backchannel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_backchannel_rp_initiated_logout() {
    let plan = Plan::begin(Variant::Logout).await;
    let server = &plan.server;
    let app = ScriptedHttp::start().await;
    app.answer_always(Answer::text(200, "text/plain", ""));
    let client = server
        .add_client(&json!({
            "postLogoutRedirectUris": [BYE],
            "backchannelLogoutUri": format!("{}/backchannel_logout", app.url),
            "backchannelLogoutSessionRequired": true,
        }))
        .await;
    let (visitor, id_token) = signed_in(server, &client).await;
    let params = [
        ("id_token_hint", id_token.as_str()),
        ("post_logout_redirect_uri", BYE),
        ("state", "st4te"),
    ];
    let left = visitor.get(&logout(&params)).await;
    assert_eq!((left.status, left.location), (303, format!("{BYE}?state=st4te")));
    let token = told(&app, 1).await.remove(0);
    let request = &app.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/backchannel_logout")
    );
    let (head, said, signed_in_as) = (header(&token), claims(&token), claims(&id_token));
    assert_eq!(
        (&head["typ"], &head["alg"]),
        (&json!("logout+jwt"), &json!("RS256"))
    );
    let keys = server.key_ids().await;
    assert!(
        keys.iter().any(|kid| head["kid"] == kid.as_str()),
        "signed with a published key"
    );
    for same in ["iss", "sub", "aud", "sid"] {
        assert_eq!(said[same], signed_in_as[same], "{same}");
    }
    assert_eq!(
        said["events"],
        json!({ "http://schemas.openid.net/event/backchannel-logout": {} })
    );
    assert!(said["jti"].is_string() && said["iat"].is_i64() && said["exp"].is_i64());
    assert!(said.get("nonce").is_none(), "an ID token it is not");
    assert!(!is_signed_in(&visitor).await);
}

//! The plans of the OpenID Foundation for front-channel and back-channel logout, a test for each of their modules. Written
//! after the plans, not certified.

use serde_json::{Value, json};

use super::Server;
use super::logout::{BYE, claims, header, is_signed_in, logout, signed_in, told};
use crate::support::process::http;
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::world::text;

async fn document(server: &Server) -> Value {
    let url = format!("{}/.well-known/openid-configuration", server.mailgrant.base_url);
    http().get(url).send().await.unwrap().json().await.unwrap()
}

/// What the plans for both channels want to read of the server.
async fn announces(channel: &str) {
    let server = Server::start().await;
    let document = document(&server).await;
    for name in ["supported", "session_supported"] {
        assert_eq!(document[format!("{channel}_logout_{name}")], true, "{document}");
    }
    assert_eq!(document["issuer"], server.mailgrant.base_url);
    let end = text(&document, "end_session_endpoint");
    assert_eq!(end, format!("{}/oauth2/logout", server.mailgrant.base_url));
    assert!(
        document["claims_supported"]
            .as_array()
            .unwrap()
            .contains(&json!("sid"))
    );
    // What is announced is there: nobody is signed in, so there is nothing to ask.
    let answer = http().get(end).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_frontchannel_logout_discovery_endpoint_verification() {
    announces("frontchannel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_backchannel_logout_discovery_endpoint_verification() {
    announces("backchannel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_frontchannel_rp_initiated_logout() {
    let server = Server::start().await;
    let client = server
        .add_client(&json!({
            "postLogoutRedirectUris": [BYE],
            "frontchannelLogoutUri": "https://app.example/frontchannel_logout",
            "frontchannelLogoutSessionRequired": true,
        }))
        .await;
    let (visitor, id_token) = signed_in(&server, &client).await;
    let sid = text(&claims(&id_token), "sid");
    let params = [
        ("id_token_hint", id_token.as_str()),
        ("post_logout_redirect_uri", BYE),
        ("state", "st4te"),
    ];
    let page = visitor.get(&logout(&params)).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let body = page
        .body
        .replace("&amp;", "&")
        .replace("&#x2F;", "/")
        .replace("&#x3D;", "=");
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

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_backchannel_rp_initiated_logout() {
    let server = Server::start().await;
    let app = ScriptedHttp::start().await;
    app.answer_always(Answer::text(200, "text/plain", ""));
    let client = server
        .add_client(&json!({
            "postLogoutRedirectUris": [BYE],
            "backchannelLogoutUri": format!("{}/backchannel_logout", app.url),
            "backchannelLogoutSessionRequired": true,
        }))
        .await;
    let (visitor, id_token) = signed_in(&server, &client).await;
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

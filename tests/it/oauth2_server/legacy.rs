//! What older protocols did and a site admin can switch on for one client: each switch off, which is how it is, and on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{CALLBACK, Server, VERIFIER};
use crate::support::process::{Rest, http};
use crate::support::visitor::Visitor;
use crate::world::text;

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

/// A parameter behind the `#` of an address.
fn in_fragment(location: &str, name: &str) -> Option<String> {
    let (_, fragment) = location.split_once('#')?;
    url::form_urlencoded::parse(fragment.as_bytes())
        .find(|(have, _)| have == name)
        .map(|(_, value)| value.into_owned())
}

async fn switched(server: &Server, switch: &str) -> Value {
    server.add_client(&json!({ "legacy": [switch] })).await
}

async fn set(server: &Server, client: &Value, changes: &Value) -> u16 {
    let path = format!("/api/v1/clients/{}", text(client, "id"));
    server.rest.send(Method::PATCH, &path, Some(changes)).await.status
}

async fn redeem(server: &Server, client: &Value, code: &str, verifier: &str) -> super::Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", verifier),
    ];
    server.ask(client, "/oauth2/token", &fields).await
}

/// A request of the API: its status, and the headers of the answer.
async fn api(
    server: &Server,
    query: &str,
    authorization: Option<&str>,
) -> (u16, reqwest::header::HeaderMap, Value) {
    let mut request = http().get(format!("{}/api/v1/tickets{query}", server.mailgrant.base_url));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let answer = request.send().await.expect("an answer");
    (
        answer.status().as_u16(),
        answer.headers().clone(),
        answer.json().await.unwrap_or(Value::Null),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn pkce_plain_is_refused_unless_its_switch_is_on_and_holds_as_strictly_as_s256() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    let plain = [("code_challenge", VERIFIER), ("code_challenge_method", "plain")];
    let without = [("code_challenge", VERIFIER), ("code_challenge_method", "")];
    for changes in [&plain, &without] {
        let seen = visitor.get(&server.request(changes)).await;
        assert_eq!(seen.param("error").as_deref(), Some("invalid_request"));
    }
    let client = switched(&server, "pkce_plain").await;
    // Without a method it is `plain` as well (RFC 7636, section 4.3); S256 is what it was.
    for changes in [&plain, &without] {
        let code = server.code_of(&client, changes).await;
        assert_eq!(redeem(&server, &client, &code, VERIFIER).await.status, 200);
    }
    let code = server.code_of(&client, &[]).await;
    assert_eq!(redeem(&server, &client, &code, VERIFIER).await.status, 200);
    let code = server.code_of(&client, &plain).await;
    let other = VERIFIER.replace('d', "e");
    assert_eq!(
        redeem(&server, &client, &code, &other).await.error(),
        (400, "invalid_grant")
    );
    // A challenge of S256 is no verifier of itself.
    let code = server.code_of(&client, &[]).await;
    let answer = redeem(&server, &client, &code, super::CHALLENGE).await;
    assert_eq!(answer.error(), (400, "invalid_grant"));
    for bad in [
        "short",
        &"a".repeat(129),
        "with+plus+with+plus+with+plus+with+plus+with+plus",
    ] {
        let seen = visitor
            .get(&server.request_of(
                &client,
                &[("code_challenge", bad), ("code_challenge_method", "plain")],
            ))
            .await;
        assert_eq!(seen.param("error").as_deref(), Some("invalid_request"), "{bad}");
    }
    // PKCE itself stays demanded, and what was begun before the switch went off is not finished.
    let none = [("code_challenge", ""), ("code_challenge_method", "")];
    let seen = visitor.get(&server.request_of(&client, &none)).await;
    assert_eq!(seen.param("error").as_deref(), Some("invalid_request"));
    let code = server.code_of(&client, &plain).await;
    assert_eq!(set(&server, &client, &json!({ "legacy": [] })).await, 200);
    let answer = redeem(&server, &client, &code, VERIFIER).await;
    assert_eq!(answer.error(), (400, "invalid_grant"));
}

#[tokio::test(flavor = "multi_thread")]
async fn n49_a_token_in_the_query_opens_only_for_a_client_whose_switch_is_on_and_is_in_no_log() {
    let server = Server::start().await;
    let client = switched(&server, "token_in_query").await;
    let code = server.code_of(&client, &[]).await;
    let token = redeem(&server, &client, &code, VERIFIER)
        .await
        .text("access_token");
    let own = server.redeem(&server.code(&[]).await).await.text("access_token");
    let (status, headers, body) = api(&server, &format!("?limit=1&access_token={token}"), None).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(headers["cache-control"], "private, no-store");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert!(
        !body.to_string().contains(&token),
        "the next page does not repeat it: {body}"
    );
    // Userinfo as well; a token of another client, a personal one, twice, and beside a header: as always.
    let userinfo = async |query: String| {
        let url = format!("{}/oauth2/userinfo{query}", server.mailgrant.base_url);
        http().get(url).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(userinfo(format!("?access_token={token}")).await, 200);
    assert_eq!(userinfo(format!("?access_token={own}")).await, 400);
    let personal = server
        .rest
        .post(
            "/api/v1/tokens",
            &json!({ "name": "p", "scopes": ["tickets:read"] }),
        )
        .await;
    let personal = text(&personal, "token");
    for query in [
        format!("?access_token={own}"),
        format!("?access_token={personal}"),
        format!("?access_token={token}&access_token={token}"),
        "?access_token=".to_owned(),
        "?access_token=nonsense".to_owned(),
    ] {
        let (status, _, body) = api(&server, &query, None).await;
        assert_eq!(
            (status, &body["code"]),
            (400, &json!("token_in_address")),
            "{query}"
        );
    }
    let both = format!("Bearer {token}");
    assert_eq!(
        api(&server, &format!("?access_token={token}"), Some(&both))
            .await
            .0,
        400
    );
    // Revoked, it is 401, so that the client knows what to do; with the switch off it is what it was.
    assert_eq!(set(&server, &client, &json!({ "legacy": [] })).await, 200);
    assert_eq!(api(&server, &format!("?access_token={token}"), None).await.0, 400);
    assert_eq!(api(&server, "", Some(&both)).await.0, 200);
    assert_eq!(
        set(&server, &client, &json!({ "legacy": ["token_in_query"] })).await,
        200
    );
    server
        .ask(&client, "/oauth2/token/revoke", &[("token", &token)])
        .await;
    let (status, headers, _) = api(&server, &format!("?access_token={token}"), None).await;
    assert_eq!(status, 401);
    assert!(
        headers["www-authenticate"]
            .to_str()
            .unwrap()
            .contains("invalid_token")
    );
    let log = server.mailgrant.log();
    assert!(
        !log.contains(&token) && !log.contains(&own),
        "a token is in the log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_goes_beside_the_code_only_where_the_switch_is_on_and_bound_to_both() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    let hybrid = ("response_type", "code id_token");
    let seen = visitor.get(&server.request(&[hybrid])).await;
    assert_eq!(seen.param("error").as_deref(), Some("unsupported_response_type"));
    let client = switched(&server, "code_id_token").await;
    // Nothing with an access token, and no ID token alone, is ever had.
    for never in [
        "token",
        "id_token",
        "code token",
        "code id_token token",
        "id_token token",
    ] {
        let seen = visitor
            .get(&server.request_of(&client, &[("response_type", never)]))
            .await;
        assert_eq!(
            seen.param("error").as_deref(),
            Some("unsupported_response_type"),
            "{never}"
        );
    }
    for (changes, error) in [
        (vec![hybrid, ("nonce", "")], "invalid_request"),
        (vec![hybrid, ("scope", "profile")], "invalid_scope"),
        (vec![hybrid, ("response_mode", "query")], "invalid_request"),
        (vec![hybrid, ("code_challenge", "")], "invalid_request"),
        (vec![hybrid, ("prompt", "none")], "login_required"),
    ] {
        let seen = visitor.get(&server.request_of(&client, &changes)).await;
        assert_eq!(
            in_fragment(&seen.location, "error").as_deref(),
            Some(error),
            "{changes:?}"
        );
        assert_eq!(in_fragment(&seen.location, "state").as_deref(), Some("st4te"));
        assert_eq!(
            in_fragment(&seen.location, "iss"),
            Some(server.mailgrant.base_url.clone())
        );
        assert!(!seen.location.contains('?'), "{}", seen.location);
    }
    for order in ["code id_token", "id_token code"] {
        let request = server.request_of(&client, &[("response_type", order)]);
        let seen = server.consent(&visitor, &request).await;
        assert!(
            seen.location.starts_with(&format!("{CALLBACK}#")),
            "{} {}",
            seen.location,
            seen.body
        );
        let code = in_fragment(&seen.location, "code").expect("a code");
        let front = claims(&in_fragment(&seen.location, "id_token").expect("an ID token"));
        assert!(in_fragment(&seen.location, "access_token").is_none());
        let half = URL_SAFE_NO_PAD.encode(&Sha256::digest(code.as_bytes())[..16]);
        assert_eq!(
            (&front["c_hash"], &front["nonce"]),
            (&json!(half), &json!("n0nce"))
        );
        assert_eq!((&front["aud"], front.get("at_hash")), (&client["clientId"], None));
        assert!(front.get("name").is_none(), "no more than who signed in: {front}");
        let answer = redeem(&server, &client, &code, VERIFIER).await;
        let back = claims(&answer.text("id_token"));
        for same in ["iss", "sub", "aud", "nonce", "auth_time", "acr", "sid"] {
            assert_eq!(front[same], back[same], "{same}");
        }
        assert_eq!(
            (back["at_hash"].is_string(), &back["name"]),
            (true, &json!("Ada"))
        );
    }
    // By a form as well, without a page in between where the person allowed it before.
    let request = server.request_of(&client, &[hybrid, ("response_mode", "form_post")]);
    let page = visitor.get(&request).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(claims(&page.hidden("id_token"))["nonce"], "n0nce");
    assert_eq!(
        redeem(&server, &client, &page.hidden("code"), VERIFIER)
            .await
            .status,
        200
    );
    // What the switch allows is not announced: nobody else may have it.
    let url = format!("{}/.well-known/openid-configuration", server.mailgrant.base_url);
    let document: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["response_types_supported"], json!(["code"]));
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn n48_an_id_token_opens_the_api_only_by_its_own_scheme_its_switch_and_while_its_session_lives() {
    let server = Server::start().await;
    let open = async |authorization: String| api(&server, "", Some(&authorization)).await.0;
    let ordinary = server.redeem(&server.code(&[]).await).await.text("id_token");
    assert_eq!(claims(&ordinary)["aud"], server.client["clientId"]);
    for scheme in ["Token", "Bearer"] {
        assert_eq!(open(format!("{scheme} {ordinary}")).await, 401, "{scheme}");
    }
    let client = switched(&server, "id_token_at_api").await;
    let scopes = [("scope", "openid profile offline_access tickets:read")];
    let visitor = Visitor::new(&server.mailgrant);
    let seen = server
        .consent(&visitor, &server.request_of(&client, &scopes))
        .await;
    let answer = redeem(&server, &client, &seen.param("code").expect("a code"), VERIFIER).await;
    let (id_token, access) = (answer.text("id_token"), answer.text("access_token"));
    let said = claims(&id_token);
    let api_id = format!("{}/api/v1", server.mailgrant.base_url);
    assert_eq!(said["aud"], json!([client["clientId"], api_id]));
    assert_eq!(
        (&said["azp"], &said["scope"]),
        (&client["clientId"], &json!("tickets:read"))
    );
    assert_eq!(open(format!("Token {id_token}")).await, 200);
    assert_eq!(
        open(format!("token {id_token}")).await,
        200,
        "the word has no case"
    );
    // It does what the person allowed and nothing else, and is no access token anywhere.
    let beyond = server
        .resource("/api/v1/projects", "Token", &id_token, None)
        .await;
    assert_eq!(
        (beyond.0, beyond.1.contains("insufficient_scope")),
        (403, true),
        "{beyond:?}"
    );
    for wrong in [
        format!("Bearer {id_token}"),
        format!("DPoP {id_token}"),
        format!("Token {access}"),
    ] {
        assert_eq!(open(wrong.clone()).await, 401, "{wrong}");
    }
    assert_eq!(
        api(&server, &format!("?access_token={id_token}"), None).await.0,
        400
    );
    assert!(!server.is_active(&id_token).await);
    for scheme in ["Token", "Bearer"] {
        let url = format!("{}/oauth2/userinfo", server.mailgrant.base_url);
        let request = http()
            .get(url)
            .header("authorization", format!("{scheme} {id_token}"));
        assert_eq!(request.send().await.unwrap().status().as_u16(), 401, "{scheme}");
    }
    // Changed by one letter, or without its signature.
    let (head, signature) = id_token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    for forged in [
        format!("{head}.{flipped}{}", &signature[1..]),
        format!("{head}."),
        head.to_owned(),
    ] {
        assert_eq!(open(format!("Token {forged}")).await, 401);
    }
    // Switch off and on, then one that was refreshed, then the end of the session.
    assert_eq!(set(&server, &client, &json!({ "legacy": [] })).await, 200);
    assert_eq!(open(format!("Token {id_token}")).await, 401);
    assert_eq!(
        set(&server, &client, &json!({ "legacy": ["id_token_at_api"] })).await,
        200
    );
    assert_eq!(open(format!("Token {id_token}")).await, 200);
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", answer.json["refresh_token"].as_str().unwrap()),
    ];
    let renewed = server
        .ask(&client, "/oauth2/token", &fields)
        .await
        .text("id_token");
    assert_eq!(open(format!("Token {renewed}")).await, 200);
    let page = visitor.get("/profile").await;
    assert_eq!(visitor.submit(&page, "/sign-out", &[]).await.status, 303);
    for over in [&id_token, &renewed] {
        assert_eq!(open(format!("Token {over}")).await, 401, "the session is over");
    }
    // An answer was lost and asked for again: what was in the lost one opens nothing.
    let begun = redeem(
        &server,
        &client,
        &server.code_of(&client, &scopes).await,
        VERIFIER,
    )
    .await;
    let token = begun.text("refresh_token");
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    let lost = server
        .ask(&client, "/oauth2/token", &fields)
        .await
        .text("id_token");
    let again = server
        .ask(&client, "/oauth2/token", &fields)
        .await
        .text("id_token");
    assert_eq!(open(format!("Token {lost}")).await, 401);
    assert_eq!(open(format!("Token {again}")).await, 200);
    // What the person takes back, the client's admin ends, or the keys no longer vouch for, opens nothing.
    let again = redeem(
        &server,
        &client,
        &server.code_of(&client, &scopes).await,
        VERIFIER,
    )
    .await;
    assert_eq!(open(format!("Token {}", again.text("id_token"))).await, 200);
    let rotated = server
        .rest
        .send(
            Method::POST,
            "/api/v1/signing-keys/rotate",
            Some(&json!({ "discard": true })),
        )
        .await;
    assert_eq!(rotated.status, 204);
    assert_eq!(open(format!("Token {}", again.text("id_token"))).await, 401);
    let last = redeem(
        &server,
        &client,
        &server.code_of(&client, &scopes).await,
        VERIFIER,
    )
    .await;
    assert_eq!(open(format!("Token {}", last.text("id_token"))).await, 200);
    let path = format!("/api/v1/clients/{}/revoke", text(&client, "id"));
    assert_eq!(server.rest.send(Method::POST, &path, None).await.status, 204);
    assert_eq!(open(format!("Token {}", last.text("id_token"))).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_client_gets_no_id_token_for_the_api() {
    let server = Server::start().await;
    let client = server
        .add_client(&json!({ "legacy": ["id_token_at_api"], "dpopBoundAccessTokens": true }))
        .await;
    let key = super::signing::Key::new("k");
    let code = server.code_of(&client, &[]).await;
    let url = server.endpoint("/oauth2/token");
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let asked = server.ask(&client, "/oauth2/token", &fields).await;
    let nonce = asked.headers["dpop-nonce"].to_str().unwrap();
    let proof = key.proof("POST", &url, None, &json!({ "nonce": nonce }));
    let answer = server.ask_with(&client, "/oauth2/token", &proof, &fields).await;
    let id_token = answer.text("id_token");
    assert_eq!(claims(&id_token)["aud"], client["clientId"]);
    assert_eq!(api(&server, "", Some(&format!("Token {id_token}"))).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_site_admin_relaxes_a_client_never_one_that_registered_itself_and_each_change_is_audited() {
    let server = Server::start().await;
    let project = server
        .rest
        .post("/api/v1/projects", &json!({ "key": "HELP", "name": "Help" }))
        .await;
    let body = super::client_with(&json!({ "projectId": project["id"] }));
    let client = server.rest.post("/api/v1/clients", &body).await;
    let path = format!("/api/v1/clients/{}", text(&client, "id"));
    // A token of a site admin that is narrowed to the project is a project admin's.
    let narrow = server
        .rest
        .post(
            "/api/v1/tokens",
            &json!({ "name": "n", "scopes": ["clients:manage"], "projectIds": [project["id"]] }),
        )
        .await;
    let narrow = Rest::new(&server.mailgrant.base_url, &text(&narrow, "token"));
    for changes in [
        json!({ "legacy": ["pkce_plain"] }),
        json!({ "legacy": ["token_in_query"] }),
        json!({ "legacy": ["code_id_token"] }),
        json!({ "legacy": ["id_token_at_api"] }),
        json!({ "requirePkce": false }),
        json!({ "autoGrant": true }),
    ] {
        let refused = narrow.send(Method::PATCH, &path, Some(&changes)).await;
        assert_eq!(refused.status, 422, "{changes}");
        assert_eq!(refused.json["errors"][0]["code"], "site_admin_only", "{changes}");
        let mut new = super::client_with(&changes);
        new["projectId"] = project["id"].clone();
        assert_eq!(
            narrow
                .send(Method::POST, "/api/v1/clients", Some(&new))
                .await
                .status,
            422
        );
    }
    assert_eq!(
        set(&server, &client, &json!({ "legacy": ["nonsense"] })).await,
        422
    );
    assert_eq!(
        set(&server, &client, &json!({ "legacy": ["pkce_plain"] })).await,
        200
    );
    // What is on stays on when a project admin changes something else, and goes off.
    let kept = narrow
        .send(Method::PATCH, &path, Some(&json!({ "name": "Kept" })))
        .await;
    assert_eq!(kept.json["legacy"], json!(["pkce_plain"]));
    let off = narrow
        .send(Method::PATCH, &path, Some(&json!({ "legacy": [] })))
        .await;
    assert_eq!(off.json["legacy"], json!([]));
    let events = server
        .rest
        .get(&format!("/api/v1/audit-events?targetId={}", text(&client, "id")))
        .await;
    let seen: Vec<(String, String)> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["summary"]["field"] == "legacy")
        .map(|event| (text(event, "action"), text(&event["summary"], "what")))
        .collect();
    for action in ["client.relaxed", "client.tightened"] {
        assert!(
            seen.contains(&(action.to_owned(), "PKCE with the method plain".to_owned())),
            "{action}: {seen:?}"
        );
    }
    // By a token that approves, the client is ready; relaxed it is never.
    let token = server
        .rest
        .post(
            "/api/v1/initial-access-tokens",
            &json!({ "name": "Plan", "scopes": ["openid"], "approves": true }),
        )
        .await;
    let made: Value = http()
        .post(format!("{}/oauth2/register", server.mailgrant.base_url))
        .bearer_auth(text(&token, "token"))
        .json(&json!({ "redirect_uris": [CALLBACK], "legacy": ["pkce_plain"] }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let all = server.rest.get("/api/v1/clients?limit=100").await;
    let own = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|client| client["clientId"] == made["client_id"])
        .expect("the client")
        .clone();
    assert_eq!(own["legacy"], json!([]), "what nobody knows is left alone");
    for changes in [
        json!({ "legacy": ["pkce_plain"] }),
        json!({ "requirePkce": false }),
    ] {
        assert_eq!(set(&server, &own, &changes).await, 422, "{changes}");
    }
    // On the command line, with its name.
    let out = server
        .mailgrant
        .command(&[
            "client",
            "create",
            "--name",
            "Old",
            "--redirect-uri",
            CALLBACK,
            "--scope",
            "openid",
            "--legacy",
            "pkce_plain",
            "--legacy",
            "token_in_query",
            "--json",
        ])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let made: Value = serde_json::from_slice(&out.stdout).unwrap();
    let shown = server
        .rest
        .get(&format!("/api/v1/clients/{}", text(&made, "id")))
        .await;
    assert_eq!(shown["legacy"], json!(["pkce_plain", "token_in_query"]));
}

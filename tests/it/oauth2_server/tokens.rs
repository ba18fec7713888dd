//! The token endpoint and what its tokens are worth.

use std::time::Duration;

use super::{Answer, CALLBACK, EMAIL, PASSWORD, Server, VERIFIER, client_with, send};
use crate::support::database::TestDatabase;
use crate::support::process::{Rest, http};
use crate::support::visitor::Visitor;
use crate::world::text;
use reqwest::Method;
use serde_json::{Value, json};

/// A refusal of the client itself.
async fn refused_client(server: &Server) -> Answer {
    let url = format!("{}/oauth2/token", server.mailgrant.base_url);
    let answer = send(http().post(url), &[("grant_type", "client_credentials")]).await;
    assert_eq!(answer.error(), (401, "invalid_client"));
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn n20_n70_the_token_endpoint_takes_forms_only_and_is_never_cached() {
    let server = Server::start().await;
    let url = format!("{}/oauth2/token", server.mailgrant.base_url);
    let get = http().get(&url).send().await.unwrap();
    assert_eq!(get.status(), 405);
    assert!(get.headers()["allow"].to_str().unwrap().contains("POST"));
    let json = http()
        .post(&url)
        .json(&json!({ "grant_type": "client_credentials" }))
        .send()
        .await
        .unwrap();
    assert_eq!(json.status(), 400);
    let json: Value = json.json().await.unwrap();
    assert_eq!(json["error"], "invalid_request");
    let twice = [
        ("grant_type", "client_credentials"),
        ("grant_type", "client_credentials"),
    ];
    assert_eq!(server.token(&twice).await.error(), (400, "invalid_request"), "N6");
    let large = server
        .token(&[("grant_type", "client_credentials"), ("x", &"a".repeat(70_000))])
        .await;
    assert_eq!(large.status, 413);
    let good = server.token(&[("grant_type", "client_credentials")]).await;
    assert_eq!(good.json["token_type"], "Bearer");
    assert!(good.json["expires_in"].is_i64(), "{}", good.json);
    let wrong = server
        .token(&[("grant_type", "password"), ("username", "a"), ("password", "b")])
        .await;
    assert_eq!(wrong.error(), (400, "unsupported_grant_type"), "N36");
    // N70: whatever is answered, by each of them.
    let token = good.text("access_token");
    let code = server.code(&[]).await;
    let person = server.redeem(&code).await.text("access_token");
    let told = http()
        .get(format!("{}/oauth2/userinfo", server.mailgrant.base_url))
        .bearer_auth(&person);
    let mut all = vec![good, wrong, refused_client(&server).await];
    for (path, fields) in [
        ("/oauth2/introspect", vec![("token", token.as_str())]),
        ("/oauth2/introspect", vec![("token", "garbage")]),
        ("/oauth2/introspect", vec![]),
        ("/oauth2/token/revoke", vec![("token", token.as_str())]),
        ("/oauth2/par", vec![("scope", "openid")]),
        ("/oauth2/device_authorization", vec![]),
    ] {
        all.push(server.ask(&server.client, path, &fields).await);
    }
    let told = told.send().await.unwrap();
    all.push(Answer {
        status: told.status().as_u16(),
        headers: told.headers().clone(),
        json: told.json().await.unwrap(),
    });
    for answer in all {
        assert_eq!(answer.headers["cache-control"], "no-store", "{}", answer.json);
        // JSON is UTF-8 (RFC 8259, section 8.1); no other is named.
        assert_eq!(
            answer.headers["content-type"], "application/json",
            "{}",
            answer.json
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n21_n22_n24_n25_a_client_proves_itself_in_one_way_and_not_in_the_address() {
    let server = Server::start().await;
    let (id, secret) = (
        text(&server.client, "clientId"),
        text(&server.client, "clientSecret"),
    );
    let url = format!("{}/oauth2/token", server.mailgrant.base_url);
    let grant = ("grant_type", "client_credentials");
    let cases: Vec<(Answer, (u16, &str))> = vec![
        (send(http().post(&url), &[grant]).await, (401, "invalid_client")),
        (
            send(http().post(&url).basic_auth(&id, Some("wrong")), &[grant]).await,
            (401, "invalid_client"),
        ),
        (
            send(http().post(&url).basic_auth("nobody", Some(&secret)), &[grant]).await,
            (401, "invalid_client"),
        ),
        (
            send(
                http().post(&url).basic_auth(&id, Some(&secret)),
                &[grant, ("client_secret", &secret), ("client_id", &id)],
            )
            .await,
            (400, "invalid_request"),
        ),
        (
            send(http().post(&url), &[grant, ("client_id", &id)]).await,
            (401, "invalid_client"),
        ),
        // Registered for the header, not for the body.
        (
            send(
                http().post(&url),
                &[grant, ("client_id", &id), ("client_secret", &secret)],
            )
            .await,
            (401, "invalid_client"),
        ),
        (
            send(
                http()
                    .post(format!("{url}?client_secret=x"))
                    .basic_auth(&id, Some(&secret)),
                &[grant],
            )
            .await,
            (400, "invalid_request"),
        ),
        (
            send(
                http()
                    .post(format!("{url}?code=mg_ac_x"))
                    .basic_auth(&id, Some(&secret)),
                &[grant],
            )
            .await,
            (400, "invalid_request"),
        ),
        (
            send(
                http().post(&url).header("authorization", "Basic JSV6eg=="),
                &[grant],
            )
            .await,
            (401, "invalid_client"),
        ),
    ];
    for (at, (answer, expected)) in cases.iter().enumerate() {
        assert_eq!(answer.error(), *expected, "case {at}: {}", answer.json);
        if answer.status == 401 {
            assert!(
                answer.headers["www-authenticate"]
                    .to_str()
                    .unwrap()
                    .starts_with("Basic"),
                "case {at}"
            );
        }
    }
    let post = server
        .add_client(&json!({ "tokenEndpointAuthMethod": "client_secret_post" }))
        .await;
    let (id, secret) = (text(&post, "clientId"), text(&post, "clientSecret"));
    let by_body = send(
        http().post(&url),
        &[grant, ("client_id", &id), ("client_secret", &secret)],
    )
    .await;
    assert_eq!(by_body.status, 200, "{}", by_body.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn n21_secrets_of_clients_cannot_be_guessed_and_guessing_harms_no_other_client() {
    let server = Server::start().await;
    let other = server.add_client(&json!({})).await;
    let id = text(&server.client, "clientId");
    let url = format!("{}/oauth2/token", server.mailgrant.base_url);
    let grant = [("grant_type", "client_credentials")];
    let mut refused = None;
    for tried in 1..=40 {
        let answer = send(http().post(&url).basic_auth(&id, Some("guess")), &grant).await;
        if answer.status == 429 {
            assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
            refused = Some(tried);
            break;
        }
        assert_eq!(answer.error(), (401, "invalid_client"));
    }
    assert!(
        refused.is_some_and(|tried| (15..=30).contains(&tried)),
        "{refused:?}"
    );
    assert_eq!(
        server.token(&grant).await.status,
        429,
        "from this address not even the right one"
    );
    assert_eq!(server.ask(&other, "/oauth2/token", &grant).await.status, 200);
}

/// The events of one type.
async fn noted(server: &Server, kind: &str) -> Vec<Value> {
    let events = server.rest.get(&format!("/api/v1/events?types={kind}")).await;
    events["items"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn n26_n28_n29_a_code_is_good_once_for_its_client_its_address_and_its_verifier() {
    let server = Server::start().await;
    let other = server.add_client(&json!({})).await;
    let with = |code: &str, redirect: &str, verifier: &str| {
        let fields: Vec<(String, String)> = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ]
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        fields
    };
    let wrong = "wrong-verifier-wrong-verifier-wrong-verifier-1";
    let long = "a".repeat(129);
    for (redirect, verifier) in [
        (CALLBACK, ""),
        (CALLBACK, wrong),
        ("https://app.example/other", VERIFIER),
        ("", VERIFIER),
        // N9: neither 129 characters nor another character makes a verifier.
        (CALLBACK, long.as_str()),
        (CALLBACK, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEj+k"),
    ] {
        let code = server.code(&[]).await;
        let fields = with(&code, redirect, verifier);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(
            server.token(&fields).await.error(),
            (400, "invalid_grant"),
            "{redirect} {verifier}"
        );
        assert_eq!(
            server.redeem(&code).await.error(),
            (400, "invalid_grant"),
            "spent by the attempt"
        );
    }
    let code = server.code(&[]).await;
    let fields = with(&code, CALLBACK, VERIFIER);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let stolen = server.ask(&other, "/oauth2/token", &fields).await;
    assert_eq!(stolen.error(), (400, "invalid_grant"));
    let tokens = server.redeem(&code).await;
    let access = tokens.text("access_token");
    assert!(
        server.is_active(&access).await,
        "another client's attempt changed nothing"
    );
    let before = noted(&server, "token.reused").await.len();
    assert_eq!(server.redeem(&code).await.error(), (400, "invalid_grant"));
    let events = noted(&server, "token.reused").await;
    assert_eq!(events.len(), before + 1, "{events:?}");
    assert!(
        !server.is_active(&access).await,
        "a replay ends everything that came of the code"
    );
    assert_eq!(server.api(&access, "/api/v1/tickets").await, 401);
    // A verifier where no challenge was sent is a downgrade.
    let relaxed = server.add_client(&json!({ "requirePkce": false })).await;
    let code = server
        .code_of(&relaxed, &[("code_challenge", ""), ("code_challenge_method", "")])
        .await;
    let fields = with(&code, CALLBACK, VERIFIER);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        server.ask(&relaxed, "/oauth2/token", &fields).await.error(),
        (400, "invalid_grant")
    );
}

async fn n27_of_twenty_redemptions_of_one_code_one_succeeds(database: TestDatabase) {
    let server = Server::start_on(Some(database)).await;
    let code = server.code(&[]).await;
    let answers = futures_util::future::join_all((0..20).map(|_| server.redeem(&code))).await;
    let good: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(good.len(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 || answer.error() == (400, "invalid_grant"))
    );
}

async fn n34_of_twenty_refreshes_of_one_token_one_chain_lives(database: TestDatabase) {
    let server = Server::start_on(Some(database)).await;
    let code = server
        .code(&[("scope", "openid offline_access tickets:read")])
        .await;
    let first = server.redeem(&code).await.text("refresh_token");
    let answers = futures_util::future::join_all((0..20).map(|_| server.refresh(&first))).await;
    let given: Vec<String> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.text("refresh_token"))
        .collect();
    assert!(!given.is_empty(), "{answers:?}");
    let mut live = Vec::new();
    for token in &given {
        if server.is_active(token).await {
            live.push(token.clone());
        }
    }
    assert_eq!(live.len(), 1, "{answers:?}");
    assert_eq!(server.refresh(&live[0]).await.status, 200);
}

async fn what_is_taken_back_amid_requests_leaves_nothing_alive_and_fails_nobody(database: TestDatabase) {
    let server = Server::start_on(Some(database)).await;
    let visitor = Visitor::new(&server.mailgrant);
    let request = server.request(&[("scope", "openid offline_access tickets:read")]);
    let revoke = format!("/settings/apps/{}/revoke", text(&server.client, "id"));
    for round in 0..4 {
        let mut codes = Vec::new();
        for _ in 0..4 {
            let seen = server.consent(&visitor, &request).await;
            codes.push(seen.param("code").unwrap());
        }
        let first = server.redeem(&codes[0]).await.text("refresh_token");
        let page = visitor.get("/settings/apps").await;
        let redeeming = futures_util::future::join_all(codes[1..].iter().map(|code| server.redeem(code)));
        let refreshing = futures_util::future::join_all((0..6).map(|_| server.refresh(&first)));
        let (redeemed, refreshed, revoked) =
            tokio::join!(redeeming, refreshing, visitor.submit(&page, &revoke, &[]));
        assert_eq!(revoked.status, 303, "{round}: {}", revoked.body);
        for answer in redeemed.iter().chain(&refreshed) {
            if answer.status != 200 {
                assert_eq!(answer.error(), (400, "invalid_grant"), "{round}: {}", answer.json);
                continue;
            }
            for kind in ["access_token", "refresh_token"] {
                assert!(!server.is_active(&answer.text(kind)).await, "{round}: {kind}");
            }
        }
    }
}

crate::on_each_database!(
    what_is_taken_back_amid_requests_leaves_nothing_alive_and_fails_nobody,
    n27_of_twenty_redemptions_of_one_code_one_succeeds,
    n34_of_twenty_refreshes_of_one_token_one_chain_lives,
);

#[tokio::test(flavor = "multi_thread")]
async fn n30_n31_n32_n33_a_refresh_token_rotates_forgives_a_lost_answer_and_nothing_else() {
    let server = Server::start().await;
    let other = server.add_client(&json!({})).await;
    let scope = [("scope", "openid offline_access tickets:read")];
    let first = server
        .redeem(&server.code(&scope).await)
        .await
        .text("refresh_token");
    // N30, N31: another client, a wider scope. Nothing happens to the owner.
    let fields = [("grant_type", "refresh_token"), ("refresh_token", first.as_str())];
    for _ in 0..2 {
        assert_eq!(
            server.ask(&other, "/oauth2/token", &fields).await.error(),
            (400, "invalid_grant")
        );
    }
    let events = noted(&server, "token.foreign").await;
    assert_eq!(events.len(), 1, "said once, however often: {events:?}");
    assert_eq!(events[0]["data"]["sentBy"], other["id"]);
    assert_eq!(events[0]["data"]["client"], server.client["id"]);
    let wider = [fields[0], fields[1], ("scope", "openid projects:read")];
    assert_eq!(server.token(&wider).await.error(), (400, "invalid_scope"));
    let narrower = [fields[0], fields[1], ("scope", "tickets:read")];
    let second = server.token(&narrower).await;
    assert_eq!(second.text("scope"), "tickets:read");
    // N33: the answer was lost; the old token gets a fresh pair, the unused one is dead.
    let third = server.refresh(&first).await;
    assert_eq!(third.text("scope"), "openid offline_access tickets:read");
    assert!(!server.is_active(&second.text("access_token")).await);
    assert_eq!(
        server.refresh(&second.text("refresh_token")).await.error(),
        (400, "invalid_grant")
    );
    assert!(
        server.is_active(&third.text("refresh_token")).await,
        "the dead sibling took nobody with it"
    );
    // N32: once the successor was used, the old one is stolen and the family ends.
    assert_eq!(
        server.api(&third.text("access_token"), "/api/v1/tickets").await,
        200
    );
    assert_eq!(noted(&server, "token.reused").await.len(), 0);
    assert_eq!(server.refresh(&first).await.error(), (400, "invalid_grant"));
    let events = noted(&server, "token.reused").await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["data"]["what"], "refresh_token");
    assert!(!server.is_active(&third.text("refresh_token")).await);
    assert_eq!(
        server.api(&third.text("access_token"), "/api/v1/tickets").await,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn n36_a_grant_that_does_not_exist_or_is_not_the_clients_is_refused() {
    let server = Server::start().await;
    for never in [
        "password",
        "implicit",
        "token",
        "authorization_code ",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ] {
        let fields = [
            ("grant_type", never),
            ("username", EMAIL),
            ("password", PASSWORD),
            ("scope", "openid"),
        ];
        let answer = server.token(&fields).await;
        assert_eq!(answer.error(), (400, "unsupported_grant_type"), "{never}");
    }
    assert_eq!(server.token(&[]).await.error(), (400, "invalid_request"));
    let code = server
        .add_client(&json!({ "grantTypes": ["authorization_code"] }))
        .await;
    let machine = server
        .add_client(&json!({ "grantTypes": ["client_credentials"], "redirectUris": [] }))
        .await;
    for (client, grants) in [
        (
            &code,
            vec![
                "client_credentials",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
            ],
        ),
        (&machine, vec!["authorization_code", "refresh_token"]),
    ] {
        for grant in grants {
            // Before anything of the rest is looked at.
            let answer = server
                .ask(client, "/oauth2/token", &[("grant_type", grant)])
                .await;
            assert_eq!(answer.error(), (400, "unauthorized_client"), "{grant}");
        }
    }
    let seen = Visitor::new(&server.mailgrant)
        .get(&server.request_of(&machine, &[("redirect_uri", "")]))
        .await;
    assert_eq!((seen.status, seen.location.as_str()), (400, ""), "{}", seen.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn n37_a_public_client_has_no_credentials() {
    let server = Server::start().await;
    let public = server
        .add_client(&json!({
            "tokenEndpointAuthMethod": "none", "grantTypes": ["authorization_code", "refresh_token"],
        }))
        .await;
    let credentials = [("grant_type", "client_credentials"), ("scope", "tickets:read")];
    let answer = server.ask(&public, "/oauth2/token", &credentials).await;
    assert_eq!(answer.error(), (400, "unauthorized_client"));
    // Nor does a secret that it makes up, or the one of a client that became public.
    let id = text(&public, "clientId");
    let url = format!("{}/oauth2/token", server.mailgrant.base_url);
    let answer = send(http().post(&url).basic_auth(&id, Some("made-up")), &credentials).await;
    assert_eq!(answer.error(), (401, "invalid_client"));
    let path = format!("/api/v1/clients/{}", text(&server.client, "id"));
    let change = json!({ "tokenEndpointAuthMethod": "none" });
    let refused = server.rest.send(Method::PATCH, &path, Some(&change)).await;
    assert_eq!(refused.status, 422, "while it has client_credentials");
    let change = json!({ "tokenEndpointAuthMethod": "none", "grantTypes": ["authorization_code"] });
    let changed = server.rest.send(Method::PATCH, &path, Some(&change)).await;
    assert_eq!(changed.status, 200, "{}", changed.json);
    assert_eq!(server.token(&credentials).await.error(), (401, "invalid_client"));
}

#[tokio::test(flavor = "multi_thread")]
async fn n35_n38_what_was_taken_back_or_never_given_is_refused() {
    let server = Server::start().await;
    let credentials = [("grant_type", "client_credentials")];
    let refused = server
        .rest
        .send(
            Method::POST,
            "/api/v1/clients",
            Some(&client_with(&json!({ "tokenEndpointAuthMethod": "none" }))),
        )
        .await;
    assert_eq!(
        refused.status, 422,
        "a public client cannot have client_credentials"
    );
    for scope in ["openid", "offline_access", "tickets:read openid"] {
        let answer = server.token(&[credentials[0], ("scope", scope)]).await;
        assert_eq!(answer.error(), (400, "invalid_scope"), "N38 {scope}");
    }
    let machine = server.token(&credentials).await;
    assert!(machine.json.get("refresh_token").is_none() && machine.json.get("id_token").is_none());
    assert_eq!(machine.text("scope"), "tickets:read projects:read");
    assert_eq!(
        server.api(&machine.text("access_token"), "/api/v1/tickets").await,
        200
    );
    // N35: a scope taken from the client ends what lives on it.
    let tokens = server
        .redeem(&server.code(&[("scope", "openid offline_access")]).await)
        .await;
    let path = format!("/api/v1/clients/{}", text(&server.client, "id"));
    let body = json!({ "scopes": ["openid", "tickets:read"] });
    server
        .rest
        .send(Method::PATCH, &path, Some(&body))
        .await
        .ok(&path);
    assert_eq!(
        server.refresh(&tokens.text("refresh_token")).await.error(),
        (400, "invalid_grant")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn n44_n45_n46_n47_introspection_and_revocation_tell_nothing_to_strangers() {
    let server = Server::start().await;
    let other = server.add_client(&json!({})).await;
    let resource_server = server.add_client(&json!({ "mayIntrospect": true })).await;
    let tokens = server
        .redeem(
            &server
                .code(&[("scope", "openid offline_access tickets:read")])
                .await,
        )
        .await;
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    let url = format!("{}/oauth2/introspect", server.mailgrant.base_url);
    assert_eq!(
        send(http().post(&url), &[("token", &access)]).await.error(),
        (401, "invalid_client")
    );
    let public = server
        .add_client(&json!({ "tokenEndpointAuthMethod": "none", "grantTypes": ["authorization_code"] }))
        .await;
    let by_anybody = server
        .ask(&public, "/oauth2/introspect", &[("token", &access)])
        .await;
    assert_eq!(by_anybody.error(), (401, "invalid_client"));
    let dead = json!({ "active": false });
    for token in [access.as_str(), refresh.as_str(), "garbage", "mg_at_x", "eyJ.a.b"] {
        let answer = server
            .ask(&other, "/oauth2/introspect", &[("token", token)])
            .await;
        assert_eq!((answer.status, &answer.json), (200, &dead), "{token}");
    }
    let seen = server
        .ask(&resource_server, "/oauth2/introspect", &[("token", &access)])
        .await;
    assert_eq!(seen.json["active"], true);
    assert_eq!(seen.json["scope"], "openid offline_access tickets:read");
    assert_eq!(seen.json["client_id"], server.client["clientId"]);
    assert!(seen.json["sub"].as_str().unwrap().starts_with("usr_"));
    // N46: unknown and foreign tokens change nothing and nobody is told.
    for token in [access.as_str(), refresh.as_str(), "unknown"] {
        let fields = [("token", token), ("token_type_hint", "nonsense")];
        assert_eq!(
            server.ask(&other, "/oauth2/token/revoke", &fields).await.status,
            200
        );
    }
    assert!(server.is_active(&access).await && server.is_active(&refresh).await);
    // N47: a refresh token takes its access tokens with it.
    let revoked = server
        .ask(&server.client, "/oauth2/token/revoke", &[("token", &refresh)])
        .await;
    assert_eq!(revoked.status, 200);
    // N45: of what is over nothing else is said, not to its own client either.
    for client in [&server.client, &resource_server] {
        for token in [access.as_str(), refresh.as_str()] {
            let fields = [("token", token)];
            let answer = server.ask(client, "/oauth2/introspect", &fields).await;
            assert_eq!((answer.status, &answer.json), (200, &dead), "{token}");
        }
    }
    let now = server.refresh(&refresh).await;
    assert_eq!(now.error(), (400, "invalid_grant"));
    assert_eq!(server.api(&access, "/api/v1/tickets").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn n48_n49_n51_the_api_and_userinfo_take_the_right_tokens_in_the_right_place() {
    let server = Server::start().await;
    let base = &server.mailgrant.base_url;
    let tokens = server
        .redeem(&server.code(&[("scope", "openid profile tickets:read")]).await)
        .await;
    let (access, id_token) = (tokens.text("access_token"), tokens.text("id_token"));
    assert_eq!(server.api(&access, "/api/v1/tickets").await, 200);
    let rest = Rest::new(base, &access);
    let denied = rest.send(Method::GET, "/api/v1/projects", None).await;
    assert_eq!(
        (denied.status, denied.json["code"].as_str()),
        (403, Some("insufficient_scope"))
    );
    assert_eq!(
        server.api(&id_token, "/api/v1/tickets").await,
        401,
        "an ID token opens nothing"
    );
    let wrong = http()
        .get(format!("{base}/api/v1/tickets"))
        .bearer_auth("mg_at_unknown")
        .send()
        .await
        .unwrap();
    assert_eq!(
        wrong.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .split(", error_description")
            .next()
            .unwrap(),
        "Bearer realm=\"mailgrant\", error=\"invalid_token\"",
        "N48"
    );
    let none = http().get(format!("{base}/api/v1/tickets")).send().await.unwrap();
    assert_eq!(
        none.headers()["www-authenticate"],
        "Bearer realm=\"mailgrant\"",
        "N48"
    );
    assert_eq!(server.api("mg_at_unknown", "/api/v1/tickets").await, 401);
    let in_query = http()
        .get(format!("{base}/api/v1/tickets?access_token={access}"))
        .send()
        .await
        .unwrap();
    assert_eq!(in_query.status(), 400, "N49");
    let demand = in_query.headers()["www-authenticate"].to_str().unwrap();
    assert!(demand.contains("error=\"invalid_request\""), "{demand}");
    let in_query = http()
        .get(format!("{base}/oauth2/userinfo?access_token={access}"))
        .send()
        .await
        .unwrap();
    assert_eq!(in_query.status(), 400, "N49");
    assert!(
        !server.mailgrant.log().contains(&access),
        "a token in an address does not reach the log"
    );
    // Userinfo: header or body, not both, not the address.
    let url = format!("{base}/oauth2/userinfo");
    let claims: Value = http()
        .get(&url)
        .bearer_auth(&access)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(claims["name"], "Ada");
    assert!(claims.get("email").is_none(), "{claims}");
    let by_body = send(http().post(&url), &[("access_token", &access)]).await;
    assert_eq!(by_body.json, claims);
    assert_eq!(
        send(
            http().post(&url).bearer_auth(&access),
            &[("access_token", &access)]
        )
        .await
        .error(),
        (400, "invalid_request")
    );
    let bare = http().get(&url).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(bare.headers()["www-authenticate"], "Bearer realm=\"mailgrant\"");
    let without_openid = server
        .redeem(&server.code(&[("scope", "tickets:read")]).await)
        .await;
    let refused = http()
        .get(&url)
        .bearer_auth(without_openid.text("access_token"))
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 403);
    assert!(
        refused.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .contains("insufficient_scope")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn n66_a_signed_access_token_opens_the_api_until_its_key_is_published_no_more() {
    let server = Server::start().await;
    let client = server.add_client(&json!({ "accessTokenFormat": "jwt" })).await;
    let grant = [("grant_type", "client_credentials"), ("scope", "tickets:read")];
    let given = async || {
        server
            .ask(&client, "/oauth2/token", &grant)
            .await
            .text("access_token")
    };
    let works = async |token: &str| {
        let seen = server
            .ask(&client, "/oauth2/introspect", &[("token", token)])
            .await;
        (
            server.api(token, "/api/v1/tickets").await,
            seen.json["active"] == true,
        )
    };
    let rotate = async |discard: bool| {
        let body = json!({ "discard": discard });
        let answer = server
            .rest
            .send(Method::POST, "/api/v1/signing-keys/rotate", Some(&body))
            .await;
        assert_eq!(answer.status, 204);
    };
    let first = given().await;
    rotate(false).await;
    let second = given().await;
    // Both keys are published: what either signed holds, with no restart.
    assert_eq!(
        (works(&first).await, works(&second).await),
        ((200, true), (200, true))
    );
    let before = server.key_ids().await;
    rotate(true).await;
    let third = given().await;
    assert_eq!(
        (works(&first).await, works(&second).await),
        ((401, false), (401, false))
    );
    assert_eq!(works(&third).await, (200, true));
    assert!(server.key_ids().await.iter().all(|kid| !before.contains(kid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_access_token_is_checked_like_an_opaque_one_and_can_be_revoked() {
    let server = Server::start().await;
    let client = server
        .add_client(&json!({ "accessTokenFormat": "jwt", "idTokenAlg": "ES256" }))
        .await;
    let answer = server
        .ask(&client, "/oauth2/token", &[("grant_type", "client_credentials")])
        .await;
    let token = answer.text("access_token");
    assert!(token.starts_with("eyJ"), "{token}");
    assert_eq!(server.api(&token, "/api/v1/tickets").await, 200);
    let (head, tail) = token.rsplit_once('.').unwrap();
    let flipped = if tail.starts_with('A') { "B" } else { "A" };
    assert_eq!(
        server
            .api(&format!("{head}.{flipped}{}", &tail[1..]), "/api/v1/tickets")
            .await,
        401
    );
    server
        .ask(&client, "/oauth2/token/revoke", &[("token", &token)])
        .await;
    assert_eq!(server.api(&token, "/api/v1/tickets").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn n2_switching_a_client_off_ends_its_tokens_and_a_new_secret_overlaps_with_the_old() {
    let server = Server::start().await;
    let id = text(&server.client, "id");
    let path = format!("/api/v1/clients/{id}");
    let token = server
        .token(&[("grant_type", "client_credentials")])
        .await
        .text("access_token");
    let new = server.rest.post(&format!("{path}/secrets"), &json!({})).await;
    assert_eq!(
        server.token(&[("grant_type", "client_credentials")]).await.status,
        200,
        "the old one still works"
    );
    let mut changed = server.client.clone();
    changed["clientSecret"] = new["clientSecret"].clone();
    let by_new = server
        .ask(&changed, "/oauth2/token", &[("grant_type", "client_credentials")])
        .await;
    assert_eq!(by_new.status, 200);
    let last = server
        .rest
        .post(&format!("{path}/secrets"), &json!({ "atOnce": true }))
        .await;
    for old in [&server.client, &changed] {
        let answer = server
            .ask(old, "/oauth2/token", &[("grant_type", "client_credentials")])
            .await;
        assert_eq!(answer.error(), (401, "invalid_client"));
    }
    assert_eq!(server.api(&token, "/api/v1/tickets").await, 200);
    let off = json!({ "state": "disabled" });
    server.rest.send(Method::PATCH, &path, Some(&off)).await.ok(&path);
    assert_eq!(server.api(&token, "/api/v1/tickets").await, 401);
    let mut newest = server.client.clone();
    newest["clientSecret"] = last["clientSecret"].clone();
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/par"] {
        let fields = [("grant_type", "client_credentials"), ("token", token.as_str())];
        let refused = server.ask(&newest, path, &fields).await;
        assert_eq!(refused.error(), (401, "invalid_client"), "{path}");
    }
    tokio::time::timeout(
        Duration::from_secs(30),
        server.rest.send(Method::DELETE, &path, None),
    )
    .await
    .unwrap();
    assert_eq!(server.rest.send(Method::GET, &path, None).await.status, 404);
}

//! Tokens that are bound to a key.

use super::signing::{Key, now};
use super::{Answer, CALLBACK, Server, VERIFIER};
use crate::support::database::TestDatabase;
use crate::support::process::http;
use crate::world::text;
use serde_json::{Value, json};

impl Server {
    /// Asks with a proof in the header.
    pub(super) async fn ask_with(
        &self,
        client: &Value,
        path: &str,
        proof: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        let mut all = fields.to_vec();
        let id = text(client, "clientId");
        let mut request = http()
            .post(format!("{}{path}", self.mailgrant.base_url))
            .header("dpop", proof);
        match client["clientSecret"].as_str() {
            Some(secret) => request = request.basic_auth(&id, Some(secret)),
            None => all.push(("client_id", &id)),
        }
        super::send(request, &all).await
    }

    pub(super) fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.mailgrant.base_url)
    }

    /// What a resource answers: status, and what it demands.
    pub(super) async fn resource(
        &self,
        path: &str,
        scheme: &str,
        token: &str,
        proof: Option<&str>,
    ) -> (u16, String) {
        let mut request = http()
            .get(self.endpoint(path))
            .header("authorization", format!("{scheme} {token}"));
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let answer = request.send().await.unwrap();
        let demand = answer.headers().get("www-authenticate");
        let demand = demand
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        (answer.status().as_u16(), demand)
    }
}

async fn n50_a_bound_token_opens_nothing_without_a_fresh_proof_of_its_key(database: TestDatabase) {
    let server = Server::start_on(Some(database)).await;
    let key = Key::new("k");
    let (token_url, api_url) = (
        server.endpoint("/oauth2/token"),
        server.endpoint("/api/v1/tickets"),
    );
    let grant = [("grant_type", "client_credentials")];
    let proof = key.proof("POST", &token_url, None, &json!({}));
    let answer = server
        .ask_with(&server.client, "/oauth2/token", &proof, &grant)
        .await;
    assert_eq!(answer.json["token_type"], "DPoP", "{}", answer.json);
    let nonce = answer.headers["dpop-nonce"].to_str().unwrap().to_owned();
    let token = answer.text("access_token");
    let again = server
        .ask_with(&server.client, "/oauth2/token", &proof, &grant)
        .await;
    assert_eq!(again.error(), (400, "invalid_dpop_proof"), "each proof once");
    let seen = server
        .ask(&server.client, "/oauth2/introspect", &[("token", &token)])
        .await;
    assert_eq!(seen.json["token_type"], "DPoP", "{}", seen.json);
    assert_eq!(seen.json["cnf"]["jkt"].as_str().map(str::len), Some(43));
    // With a proof, by the right scheme.
    let good = key.proof("GET", &api_url, Some(&token), &json!({ "nonce": nonce }));
    assert_eq!(
        server
            .resource("/api/v1/tickets", "DPoP", &token, Some(&good))
            .await
            .0,
        200
    );
    let (status, demand) = server
        .resource("/api/v1/tickets", "DPoP", &token, Some(&good))
        .await;
    assert!(
        status == 401 && demand.contains("invalid_dpop_proof"),
        "replayed: {status} {demand}"
    );
    // A query does not count for the address of a proof.
    let good = key.proof("GET", &api_url, Some(&token), &json!({}));
    assert_eq!(
        server
            .resource("/api/v1/tickets?limit=1", "DPoP", &token, Some(&good))
            .await
            .0,
        200
    );
    // Not as a bearer token, not with nothing, not with a proof about something else.
    let (status, demand) = server.resource("/api/v1/tickets", "Bearer", &token, None).await;
    assert!(
        status == 401 && demand.starts_with("DPoP") && demand.contains("invalid_token"),
        "{status} {demand}"
    );
    let good = key.proof("GET", &api_url, Some(&token), &json!({}));
    assert_eq!(
        server
            .resource("/api/v1/tickets", "Bearer", &token, Some(&good))
            .await
            .0,
        401
    );
    assert_eq!(
        server.resource("/api/v1/tickets", "DPoP", &token, None).await.0,
        401
    );
    let thief = Key::new("t");
    let mut with_private = key.bare_jwk();
    with_private["d"] = "AAAA".into();
    let claims = json!({ "htm": "GET", "htu": api_url, "iat": now(), "jti": "x1", "ath": "x" });
    let cases = [
        (
            "another key",
            thief.proof("GET", &api_url, Some(&token), &json!({})),
        ),
        (
            "another method",
            key.proof("POST", &api_url, Some(&token), &json!({})),
        ),
        (
            "another address",
            key.proof("GET", &token_url, Some(&token), &json!({})),
        ),
        (
            "another host",
            key.proof(
                "GET",
                "http://other.example/api/v1/tickets",
                Some(&token),
                &json!({}),
            ),
        ),
        (
            "no address",
            key.proof("GET", &api_url, Some(&token), &json!({ "htu": null })),
        ),
        (
            "another token",
            key.proof("GET", &api_url, Some("mg_at_x"), &json!({})),
        ),
        ("no token", key.proof("GET", &api_url, None, &json!({}))),
        (
            "old",
            key.proof("GET", &api_url, Some(&token), &json!({ "iat": now() - 120 })),
        ),
        (
            "from the future",
            key.proof("GET", &api_url, Some(&token), &json!({ "iat": now() + 120 })),
        ),
        (
            "no time",
            key.proof("GET", &api_url, Some(&token), &json!({ "iat": null })),
        ),
        (
            "no id",
            key.proof("GET", &api_url, Some(&token), &json!({ "jti": null })),
        ),
        (
            "a nonce of somebody else",
            key.proof("GET", &api_url, Some(&token), &json!({ "nonce": "AAAAAAAA" })),
        ),
        (
            "a private key",
            key.sign(
                &json!({ "alg": "ES256", "typ": "dpop+jwt", "jwk": with_private }),
                &claims,
            ),
        ),
        (
            "no key",
            key.sign(&json!({ "alg": "ES256", "typ": "dpop+jwt" }), &claims),
        ),
        (
            "another type",
            key.sign(
                &json!({ "alg": "ES256", "typ": "JWT", "jwk": key.bare_jwk() }),
                &claims,
            ),
        ),
        (
            "HS256",
            super::signing::forged(
                "HS256",
                &json!({ "typ": "dpop+jwt", "jwk": key.bare_jwk() }),
                &claims,
                b"x",
            ),
        ),
        ("no proof", "x.y.z".to_owned()),
    ];
    for (name, proof) in cases {
        for (path, scheme) in [("/api/v1/tickets", "DPoP"), ("/oauth2/userinfo", "DPoP")] {
            let (status, demand) = server.resource(path, scheme, &token, Some(&proof)).await;
            assert_eq!(status, 401, "{name} at {path}");
            assert!(
                demand.starts_with("DPoP") && demand.contains("algs=") && demand.contains("error="),
                "{name}: {demand}"
            );
        }
    }
    // What it lacks is told by the scheme it came with.
    let mailboxes = server.endpoint("/api/v1/mailboxes");
    let proof = key.proof("GET", &mailboxes, Some(&token), &json!({}));
    let (status, demand) = server
        .resource("/api/v1/mailboxes", "DPoP", &token, Some(&proof))
        .await;
    assert_eq!(status, 403);
    assert!(
        demand.starts_with("DPoP") && demand.contains("algs=") && demand.contains("scope=\"mailboxes:read\""),
        "{demand}"
    );
    // Two proofs are none.
    let (one, two) = (
        key.proof("GET", &api_url, Some(&token), &json!({})),
        key.proof("GET", &api_url, Some(&token), &json!({})),
    );
    let doubled = http()
        .get(&api_url)
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", one)
        .header("dpop", two)
        .send()
        .await
        .unwrap();
    assert_eq!(doubled.status(), 401);
    // A token that is bound to nothing does not pass for one that is.
    let plain = server.token(&grant).await.text("access_token");
    let proof = key.proof("GET", &api_url, Some(&plain), &json!({}));
    assert_eq!(
        server
            .resource("/api/v1/tickets", "DPoP", &plain, Some(&proof))
            .await
            .0,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_always_binds_gets_nothing_unbound_and_needs_a_nonce() {
    let server = Server::start().await;
    let client = server
        .add_client(&json!({ "dpopBoundAccessTokens": true, "accessTokenFormat": "jwt" }))
        .await;
    let key = Key::new("k");
    let grant = [("grant_type", "client_credentials")];
    let url = server.endpoint("/oauth2/token");
    assert_eq!(
        server.ask(&client, "/oauth2/token", &grant).await.error(),
        (400, "invalid_dpop_proof")
    );
    let without = key.proof("POST", &url, None, &json!({}));
    let asked = server.ask_with(&client, "/oauth2/token", &without, &grant).await;
    assert_eq!(asked.error(), (400, "use_dpop_nonce"));
    let nonce = asked.headers["dpop-nonce"].to_str().unwrap();
    // With a nonce of ours a wrong clock does no harm.
    let proof = key.proof("POST", &url, None, &json!({ "nonce": nonce, "iat": now() - 200 }));
    let given = server.ask_with(&client, "/oauth2/token", &proof, &grant).await;
    let token = given.text("access_token");
    let claims: Value = {
        use base64::Engine;
        let part = token.split('.').nth(1).unwrap();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(part)
            .unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    assert_eq!(claims["cnf"]["jkt"].as_str().map(str::len), Some(43), "{claims}");
    assert_eq!(claims["aud"], server.endpoint("/api/v1"));
    assert_eq!(claims["client_id"], client["clientId"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_and_the_refresh_tokens_of_a_public_client_stay_with_their_key() {
    let server = Server::start().await;
    let (key, thief) = (Key::new("k"), Key::new("t"));
    let url = server.endpoint("/oauth2/token");
    let jkt = mailgrant::crypto::jwk_thumbprint(&key.bare_jwk()).unwrap();
    let public = server
        .add_client(&json!({
            "tokenEndpointAuthMethod": "none", "grantTypes": ["authorization_code", "refresh_token"],
        }))
        .await;
    let scope = ("scope", "openid offline_access tickets:read");
    let redeem = |code: String| {
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code),
            ("redirect_uri", CALLBACK.to_owned()),
            ("code_verifier", VERIFIER.to_owned()),
        ]
    };
    let pairs = |fields: &[(&'static str, String)]| -> Vec<(&'static str, String)> { fields.to_vec() };
    // A code that was asked for with a key is worth nothing to another one, or to none.
    for proof in [None, Some(thief.proof("POST", &url, None, &json!({})))] {
        let code = server.code_of(&public, &[scope, ("dpop_jkt", &jkt)]).await;
        let fields = pairs(&redeem(code));
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = match proof {
            None => server.ask(&public, "/oauth2/token", &fields).await,
            Some(proof) => server.ask_with(&public, "/oauth2/token", &proof, &fields).await,
        };
        assert_eq!(answer.error(), (400, "invalid_grant"));
    }
    let code = server.code_of(&public, &[scope, ("dpop_jkt", &jkt)]).await;
    let fields = redeem(code);
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let proof = key.proof("POST", &url, None, &json!({}));
    let tokens = server.ask_with(&public, "/oauth2/token", &proof, &fields).await;
    assert_eq!(tokens.json["token_type"], "DPoP", "{}", tokens.json);
    let refresh = tokens.text("refresh_token");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    assert_eq!(
        server.ask(&public, "/oauth2/token", &fields).await.error(),
        (400, "invalid_grant")
    );
    let stolen = thief.proof("POST", &url, None, &json!({}));
    let answer = server.ask_with(&public, "/oauth2/token", &stolen, &fields).await;
    assert_eq!(answer.error(), (400, "invalid_grant"), "{}", answer.json);
    let proof = key.proof("POST", &url, None, &json!({}));
    let next = server.ask_with(&public, "/oauth2/token", &proof, &fields).await;
    assert_eq!(
        next.json["token_type"], "DPoP",
        "the thief spoilt nothing: {}",
        next.json
    );
    // A client with a secret may change its key, but what was begun bound does not go on unbound.
    let code = server.code(&[scope]).await;
    let fields = redeem(code);
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let proof = key.proof("POST", &url, None, &json!({}));
    let tokens = server
        .ask_with(&server.client, "/oauth2/token", &proof, &fields)
        .await;
    let refresh = tokens.text("refresh_token");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    assert_eq!(server.token(&fields).await.error(), (400, "invalid_grant"));
    let other = thief.proof("POST", &url, None, &json!({}));
    assert_eq!(
        server
            .ask_with(&server.client, "/oauth2/token", &other, &fields)
            .await
            .status,
        200
    );
}

crate::on_each_database!(n50_a_bound_token_opens_nothing_without_a_fresh_proof_of_its_key,);

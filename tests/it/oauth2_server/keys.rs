//! Clients that prove themselves with a key, and sign or push their requests.

use super::signing::{Key, change, forged, now, random};
use super::{Answer, CALLBACK, CHALLENGE, Server, VERIFIER, send};
use crate::support::database::TestDatabase;
use crate::support::process::http;
use crate::support::scripted_http::{self, ScriptedHttp};
use crate::support::visitor::Visitor;
use crate::world::text;
use reqwest::Method;
use serde_json::{Value, json};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Server {
    async fn signing_client(&self, key: &Key, changes: &Value) -> Value {
        let mut fields = json!({ "tokenEndpointAuthMethod": "private_key_jwt", "jwks": key.set() });
        change(&mut fields, changes);
        self.add_client(&fields).await
    }

    pub(super) fn claims(&self, client: &Value) -> Value {
        let id = text(client, "clientId");
        json!({
            "iss": id, "sub": id, "aud": self.mailgrant.base_url, "iat": now(), "exp": now() + 60, "jti": random(),
        })
    }

    /// Asks an endpoint with an assertion.
    pub(super) async fn assert_at(&self, path: &str, assertion: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = fields.to_vec();
        all.extend([
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ]);
        send(http().post(format!("{}{path}", self.mailgrant.base_url)), &all).await
    }

    /// A request object of a client, with some members changed, or (null) left out.
    pub(super) fn object(&self, client: &Value, changes: &Value) -> Value {
        let id = text(client, "clientId");
        let mut claims = json!({
            "iss": id, "client_id": id, "aud": self.mailgrant.base_url, "exp": now() + 60,
            "response_type": "code", "redirect_uri": CALLBACK, "scope": "openid tickets:read", "state": "signed",
            "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        });
        change(&mut claims, changes);
        claims
    }
}

async fn n43_an_assertion_counts_once_for_us_for_five_minutes_and_only_if_its_client_signed_it(
    database: TestDatabase,
) {
    let server = Server::start_on(Some(database)).await;
    let key = Key::new("k1");
    let client = server.signing_client(&key, &json!({})).await;
    assert!(client["clientSecret"].is_null(), "{client}");
    let grant = [("grant_type", "client_credentials")];
    let good = server.claims(&client);
    let assertion = key.token("JWT", &good);
    let answer = server.assert_at("/oauth2/token", &assertion, &grant).await;
    let token = answer.text("access_token");
    let again = server.assert_at("/oauth2/token", &assertion, &grant).await;
    assert_eq!(again.error(), (401, "invalid_client"), "jti once");
    // The same way in at the neighbours; the audience may be the endpoint itself, or the token endpoint.
    for (path, aud) in [
        ("/oauth2/introspect", "/oauth2/introspect"),
        ("/oauth2/introspect", "/oauth2/token"),
        ("/oauth2/token/revoke", "/oauth2/token/revoke"),
    ] {
        let mut claims = server.claims(&client);
        claims["aud"] = format!("{}{aud}", server.mailgrant.base_url).into();
        let answer = server
            .assert_at(path, &key.token("JWT", &claims), &[("token", &token)])
            .await;
        assert_eq!(answer.status, 200, "{path} {aud}: {}", answer.json);
    }
    let other = Key::new("k1");
    let public = key.jwk().to_string();
    let head = json!({ "kid": "k1", "typ": "JWT" });
    let base = &server.mailgrant.base_url;
    let mut cases: Vec<(String, String)> = vec![
        ("another key".into(), other.token("JWT", &server.claims(&client))),
        (
            "alg none".into(),
            forged("none", &head, &server.claims(&client), b""),
        ),
        (
            "HS256".into(),
            forged("HS256", &head, &server.claims(&client), public.as_bytes()),
        ),
        (
            "its own key in the header".into(),
            other.sign(
                &json!({ "alg": "ES256", "kid": "k1", "jwk": other.bare_jwk() }),
                &server.claims(&client),
            ),
        ),
        (
            "unknown kid".into(),
            Key::new("k2").token("JWT", &server.claims(&client)),
        ),
        (
            "a proof's type".into(),
            key.token("dpop+jwt", &server.claims(&client)),
        ),
        ("no token".into(), "x.y.z".into()),
    ];
    for (name, changes) in [
        ("iss and sub differ", json!({ "sub": "somebody" })),
        (
            "unknown client",
            json!({ "iss": "nobody-here", "sub": "nobody-here" }),
        ),
        ("another audience", json!({ "aud": "https://other.example" })),
        (
            "a second audience",
            json!({ "aud": [base, "https://other.example"] }),
        ),
        ("no audience", json!({ "aud": null })),
        ("over", json!({ "exp": now() - 60 })),
        ("too long", json!({ "exp": now() + 400 })),
        ("no end", json!({ "exp": null })),
        ("from the future", json!({ "iat": now() + 120 })),
        ("not yet", json!({ "nbf": now() + 120 })),
        ("no jti", json!({ "jti": null })),
    ] {
        let mut claims = server.claims(&client);
        change(&mut claims, &changes);
        cases.push((name.into(), key.token("JWT", &claims)));
    }
    for (name, assertion) in cases {
        let answer = server.assert_at("/oauth2/token", &assertion, &grant).await;
        assert_eq!(answer.error(), (401, "invalid_client"), "{name}: {}", answer.json);
    }
    // Two ways at once, or the wrong kind.
    let fresh = key.token("JWT", &server.claims(&client));
    let id = text(&client, "clientId");
    let url = format!("{base}/oauth2/token");
    let both = [
        grant[0],
        ("client_assertion_type", ASSERTION),
        ("client_assertion", &fresh),
        ("client_secret", "x"),
    ];
    assert_eq!(
        send(http().post(&url), &both).await.error(),
        (400, "invalid_request")
    );
    let no_kind = [grant[0], ("client_assertion", &fresh)];
    assert_eq!(
        send(http().post(&url), &no_kind).await.error(),
        (401, "invalid_client")
    );
    let elsewhere = [
        grant[0],
        ("client_id", "another"),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", &fresh),
    ];
    assert_eq!(
        send(http().post(&url), &elsewhere).await.error(),
        (400, "invalid_request")
    );
    let bare = [grant[0], ("client_id", &id)];
    assert_eq!(
        send(http().post(&url), &bare).await.error(),
        (401, "invalid_client")
    );
    // A client with a secret cannot be impersonated by an assertion, whatever key signs.
    let secret = text(&server.client, "clientId");
    let claims = json!({ "iss": secret, "sub": secret, "aud": base, "exp": now() + 60, "jti": random() });
    let answer = server
        .assert_at("/oauth2/token", &key.token("JWT", &claims), &grant)
        .await;
    assert_eq!(answer.error(), (401, "invalid_client"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_algorithm_that_is_registered_is_the_only_one() {
    let server = Server::start().await;
    let key = Key::new("k1");
    let client = server
        .signing_client(&key, &json!({ "tokenEndpointAuthSigningAlg": "RS256" }))
        .await;
    let assertion = key.token("JWT", &server.claims(&client));
    let answer = server
        .assert_at(
            "/oauth2/token",
            &assertion,
            &[("grant_type", "client_credentials")],
        )
        .await;
    assert_eq!(answer.error(), (401, "invalid_client"));
    let private = json!({ "tokenEndpointAuthMethod": "private_key_jwt", "jwks": { "keys": [{ "kty": "EC", "d": "x" }] } });
    for (fields, pointer) in [
        (private, "/jwks"),
        (json!({ "tokenEndpointAuthMethod": "private_key_jwt" }), "/jwks"),
        (
            json!({ "jwks": key.set(), "jwksUri": "https://keys.example/set" }),
            "/jwksUri",
        ),
        (json!({ "jwksUri": "http://keys.example/set" }), "/jwksUri"),
        (
            json!({ "requestObjectSigningAlg": "none" }),
            "/requestObjectSigningAlg",
        ),
        (
            json!({ "requireSignedRequestObject": true }),
            "/requireSignedRequestObject",
        ),
    ] {
        let refused = server
            .rest
            .send(
                Method::POST,
                "/api/v1/clients",
                Some(&super::client_with(&fields)),
            )
            .await;
        assert_eq!(refused.status, 422, "{fields}");
        assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{}", refused.json);
    }
}

async fn keys_at_an_address_are_fetched_once_and_again_for_a_key_nobody_knows_but_not_for_everybody(
    database: TestDatabase,
) {
    let server = Server::start_on(Some(database)).await;
    let (first, second) = (Key::new("first"), Key::new("second"));
    let keys = ScriptedHttp::start().await;
    keys.answer(scripted_http::Answer::json(200, &first.set().to_string()));
    let client = server
        .signing_client(
            &first,
            &json!({ "jwks": null, "jwksUri": format!("{}/keys", keys.url) }),
        )
        .await;
    let grant = [("grant_type", "client_credentials")];
    for _ in 0..3 {
        let assertion = first.token("JWT", &server.claims(&client));
        let answer = server.assert_at("/oauth2/token", &assertion, &grant).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
    }
    assert_eq!(keys.requests().len(), 1, "one for all");
    // A key that nobody knows is looked for, but a stream of such tokens is no stream of requests.
    keys.answer(scripted_http::Answer::json(200, &second.set().to_string()));
    for _ in 0..5 {
        let assertion = second.token("JWT", &server.claims(&client));
        let answer = server.assert_at("/oauth2/token", &assertion, &grant).await;
        assert_eq!(answer.error(), (401, "invalid_client"));
    }
    assert_eq!(keys.requests().len(), 1, "not within the pause");
}

#[tokio::test(flavor = "multi_thread")]
async fn n16_a_signed_request_counts_as_it_was_signed_and_an_unsigned_one_not_at_all() {
    let server = Server::start().await;
    let key = Key::new("k1");
    let client = server.signing_client(&key, &json!({})).await;
    let id = text(&client, "clientId");
    let visitor = Visitor::new(&server.mailgrant);
    let address = |object: &str, more: &str| {
        let object: String = url::form_urlencoded::byte_serialize(object.as_bytes()).collect();
        format!("/oauth2/authorize?client_id={id}&request={object}{more}")
    };
    // What stands beside the object does not count.
    let object = key.token("oauth-authz-req+jwt", &server.object(&client, &json!({})));
    let seen = server
        .consent(
            &visitor,
            &address(
                &object,
                "&scope=openid%20projects:read&state=outside&redirect_uri=https://evil.example/",
            ),
        )
        .await;
    assert_eq!(
        seen.param("state").as_deref(),
        Some("signed"),
        "{}",
        seen.location
    );
    let code = seen.param("code").unwrap();
    let redeem = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let answer = server
        .assert_at(
            "/oauth2/token",
            &key.token("JWT", &server.claims(&client)),
            &redeem,
        )
        .await;
    assert_eq!(answer.text("scope"), "openid tickets:read");
    let head = json!({ "kid": "k1", "typ": "oauth-authz-req+jwt" });
    let public = key.jwk().to_string();
    let plain = server.object(&client, &json!({}));
    let mut cases = vec![
        ("alg none", forged("none", &head, &plain, b"")),
        ("HS256", forged("HS256", &head, &plain, public.as_bytes())),
        ("another key", Key::new("k1").token("oauth-authz-req+jwt", &plain)),
        ("another type", key.token("at+jwt", &plain)),
        ("no token", "nonsense".to_owned()),
    ];
    for (name, changes) in [
        ("another audience", json!({ "aud": "https://other.example" })),
        ("over", json!({ "exp": now() - 60 })),
        ("no end", json!({ "exp": null })),
        ("an end far away", json!({ "exp": now() + 7_200 })),
        ("another issuer", json!({ "iss": "somebody" })),
        ("another client", json!({ "client_id": "somebody" })),
        ("a request in the request", json!({ "request": "x" })),
        ("an assertion", json!({ "sub": id })),
    ] {
        cases.push((
            name,
            key.token("oauth-authz-req+jwt", &server.object(&client, &changes)),
        ));
    }
    let back = format!("&redirect_uri={CALLBACK}&state=outside");
    for (name, object) in cases {
        let seen = visitor.get(&address(&object, &back)).await;
        assert_eq!(
            seen.param("error").as_deref(),
            Some("invalid_request_object"),
            "{name}: {}",
            seen.location
        );
        assert_eq!(seen.param("state").as_deref(), Some("outside"), "{name}");
        // With no address of the client outside, it is shown here.
        assert_eq!(visitor.get(&address(&object, "")).await.status, 400, "{name}");
    }
    // A client that must sign is not served without.
    let strict = server
        .signing_client(&key, &json!({ "requireSignedRequestObject": true }))
        .await;
    let seen = visitor.get(&server.request_of(&strict, &[])).await;
    assert_eq!(
        seen.param("error").as_deref(),
        Some("invalid_request"),
        "{}",
        seen.location
    );
}

async fn a_pushed_request_counts_once_for_its_client_and_as_it_was_pushed(database: TestDatabase) {
    let server = Server::start_on(Some(database)).await;
    let strict = server
        .add_client(&json!({ "requirePushedAuthorizationRequests": true }))
        .await;
    let visitor = Visitor::new(&server.mailgrant);
    let seen = visitor.get(&server.request_of(&strict, &[])).await;
    assert_eq!(
        seen.param("error").as_deref(),
        Some("invalid_request"),
        "{}",
        seen.location
    );
    let fields = [
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid tickets:read"),
        ("state", "pushed"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let push = |client: Value| {
        let server = &server;
        async move { server.ask(&client, "/oauth2/par", &fields).await }
    };
    let pushed = push(strict.clone()).await;
    assert_eq!(pushed.status, 201, "{}", pushed.json);
    assert_eq!(pushed.json["expires_in"], 90);
    let reference = text(&pushed.json, "request_uri");
    let address = |client: &Value, reference: &str, more: &str| {
        let reference: String = url::form_urlencoded::byte_serialize(reference.as_bytes()).collect();
        format!(
            "/oauth2/authorize?client_id={}&request_uri={reference}{more}",
            text(client, "clientId")
        )
    };
    // Nobody else can use it, or spoil it.
    let foreign = visitor.get(&address(&server.client, &reference, "")).await;
    assert_eq!(foreign.status, 400);
    let seen = server
        .consent(
            &visitor,
            &address(&strict, &reference, "&scope=openid%20projects:read&state=outside"),
        )
        .await;
    assert_eq!(
        seen.param("state").as_deref(),
        Some("pushed"),
        "{}",
        seen.location
    );
    assert!(seen.param("code").is_some(), "{}", seen.location);
    let again = visitor
        .get(&address(
            &strict,
            &reference,
            &format!("&redirect_uri={CALLBACK}"),
        ))
        .await;
    assert_eq!(
        again.param("error").as_deref(),
        Some("invalid_request_uri"),
        "{}",
        again.location
    );
    let foreign = visitor
        .get(&address(
            &strict,
            "https://evil.example/r",
            &format!("&redirect_uri={CALLBACK}"),
        ))
        .await;
    assert_eq!(
        foreign.param("error").as_deref(),
        Some("request_uri_not_supported")
    );
    // What the authorization endpoint would refuse is refused here at once.
    for (name, value, error) in [
        ("redirect_uri", "https://evil.example/cb", "invalid_request"),
        ("scope", "nonsense", "invalid_scope"),
        ("code_challenge", "", "invalid_request"),
        ("resource", "https://other.example", "invalid_target"),
        (
            "request_uri",
            "urn:ietf:params:oauth:request_uri:x",
            "invalid_request",
        ),
        ("client_id", "somebody", "invalid_request"),
    ] {
        let mut wrong: Vec<(&str, &str)> = fields.iter().copied().filter(|(have, _)| *have != name).collect();
        wrong.push((name, value));
        let answer = server.ask(&strict, "/oauth2/par", &wrong).await;
        assert_eq!(answer.error(), (400, error), "{name}={value}: {}", answer.json);
    }
    let unproven = send(
        http().post(format!("{}/oauth2/par", server.mailgrant.base_url)),
        &fields,
    )
    .await;
    assert_eq!(unproven.error(), (401, "invalid_client"));
}

crate::on_each_database!(
    n43_an_assertion_counts_once_for_us_for_five_minutes_and_only_if_its_client_signed_it,
    keys_at_an_address_are_fetched_once_and_again_for_a_key_nobody_knows_but_not_for_everybody,
    a_pushed_request_counts_once_for_its_client_and_as_it_was_pushed,
);

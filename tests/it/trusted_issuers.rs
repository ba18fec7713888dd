//! Tokens of other issuers, at the token endpoint and at the API, over HTTP. The issuer's keys are published by a scripted
//! server; the tokens are made here, good ones and others.

mod lasting;

use std::time::{SystemTime, UNIX_EPOCH};

use mailgrant::crypto::{SigningAlg, new_signing_key, public_jwk, sign_jwt};
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::process::{Mailgrant, Rest, Settings, http};
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::world::text;

on_each_database!(
    n42_an_assertion_counts_once_and_only_as_agreed,
    cb_16_n65_foreign_tokens_open_the_api_as_far_as_was_agreed,
);

const ISSUER: &str = "https://idp.example/realm";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

struct Place {
    mailgrant: Mailgrant,
    rest: Rest,
    idp: ScriptedHttp,
    key: SecretString,
    user: String,
    client: Value,
    project: String,
    #[allow(dead_code, reason = "lives as long as the service")]
    database: TestDatabase,
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn jwks(keys: &[(&str, &SecretString)]) -> String {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(kid, pem)| public_jwk(SigningAlg::Es256, kid, pem).unwrap())
        .collect();
    json!({ "keys": keys }).to_string()
}

impl Place {
    async fn start(database: TestDatabase) -> Self {
        let idp = ScriptedHttp::start().await;
        let key = new_signing_key(SigningAlg::Es256).unwrap();
        idp.answer_always(Answer::json(200, &jwks(&[("k1", &key)])));
        let settings = Settings::new()
            .database(&database.url)
            .set("MAILGRANT_ALLOW_NETWORKS", "127.0.0.0/8");
        let mailgrant = Mailgrant::start(settings).await;
        let rest = mailgrant.rest();
        let project = rest
            .post("/api/v1/projects", &json!({ "key": "HELP", "name": "Help" }))
            .await;
        let user = rest
            .post("/api/v1/users", &json!({ "email": "ada@example.test" }))
            .await;
        let (project, user) = (text(&project, "id"), text(&user, "id"));
        let path = format!("/api/v1/projects/{project}/members");
        rest.post(&path, &json!({ "role": "agent", "userId": user }))
            .await;
        let client = rest
            .post(
                "/api/v1/clients",
                &json!({
                    "name": "Importer", "grantTypes": [GRANT, "refresh_token"],
                    "scopes": ["tickets:read", "tickets:write", "projects:read"],
                }),
            )
            .await;
        Self {
            mailgrant,
            rest,
            idp,
            key,
            user,
            client,
            project,
            database,
        }
    }

    /// Runs a statement on the database.
    async fn behind_its_back(&self, statement: &str) {
        let db = mailgrant::db::Db::open(&self.database.url).await.unwrap();
        assert_eq!(
            db.write()
                .execute_unprepared(statement)
                .await
                .unwrap()
                .rows_affected(),
            1
        );
        db.close().await;
    }

    /// Trusts the issuer, with some members said otherwise.
    async fn trust(&self, changes: Value) -> Value {
        let mut body = json!({
            "name": "Company", "issuer": ISSUER, "uses": ["jwt_bearer", "api"], "enabled": true,
            "keySource": "jwks_uri", "jwksUri": format!("{}/keys", self.idp.url), "algorithms": ["ES256"],
            "subjectMapping": "table", "subjectTable": { "ada": self.user },
            "scopes": ["tickets:read", "projects:read"], "clientIds": [self.client["id"]], "maxLifeSeconds": 600,
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        self.rest.post("/api/v1/trusted-issuers", &body).await
    }

    fn token_url(&self) -> String {
        format!("{}/oauth2/token", self.mailgrant.base_url)
    }

    fn api(&self) -> String {
        format!("{}/api/v1", self.mailgrant.base_url)
    }

    /// Good claims for a place, with some said otherwise; `null` leaves one out.
    fn claims(&self, aud: &str, changes: Value) -> Value {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut claims = json!({
            "iss": ISSUER, "sub": "ada", "aud": aud, "iat": now(), "exp": now() + 300, "jti": format!("id-{n}"),
            "scope": "tickets:read projects:read tickets:write",
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    fn signed(&self, aud: &str, changes: Value) -> String {
        let claims = self.claims(aud, changes);
        sign_jwt(SigningAlg::Es256, "k1", "JWT", &self.key, &claims).unwrap()
    }

    async fn redeem_as(&self, client: &Value, assertion: &str, more: &[(&str, &str)]) -> (u16, Value) {
        let mut form = vec![("grant_type", GRANT), ("assertion", assertion)];
        form.extend_from_slice(more);
        let answer = http()
            .post(self.token_url())
            .basic_auth(text(client, "clientId"), Some(text(client, "clientSecret")))
            .form(&form)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn redeem(&self, assertion: &str) -> (u16, Value) {
        self.redeem_as(&self.client, assertion, &[]).await
    }

    /// Status, challenge and JSON of the API's answer to a token.
    async fn ask(&self, path: &str, token: &str) -> (u16, String, Value) {
        let answer = http()
            .get(format!("{}{path}", self.api()))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let challenge = format!("{}{}", header("www-authenticate"), header("retry-after"));
        (
            answer.status().as_u16(),
            challenge,
            answer.json().await.unwrap_or_default(),
        )
    }
}

async fn n42_an_assertion_counts_once_and_only_as_agreed(database: TestDatabase) {
    let place = Place::start(database).await;
    let issuer = place.trust(json!({})).await;
    let here = place.token_url();

    let good = place.signed(&here, json!({}));
    let (status, issued) = place.redeem(&good).await;
    assert_eq!(status, 200, "{issued}");
    assert_eq!(
        issued["scope"], "tickets:read projects:read",
        "what the issuer may give and the client may have"
    );
    assert_eq!(issued.get("refresh_token"), None);
    let (status, _, seen) = place
        .ask("/projects", issued["access_token"].as_str().unwrap())
        .await;
    assert_eq!((status, &seen["items"][0]["key"]), (200, &json!("HELP")));
    let (status, again) = place.redeem(&good).await;
    assert_eq!(
        (status, &again["error"]),
        (400, &json!("invalid_grant")),
        "each once"
    );

    let stranger = new_signing_key(SigningAlg::Es256).unwrap();
    let rsa = new_signing_key(SigningAlg::Rs256).unwrap();
    let other = place
        .rest
        .post(
            "/api/v1/clients",
            &json!({ "name": "Other", "grantTypes": [GRANT], "scopes": ["tickets:read"] }),
        )
        .await;
    let claims = place.claims(&here, json!({}));
    let hs = |secret: &[u8]| {
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(secret)).unwrap()
    };
    let bare = |header: Value| {
        use base64::Engine;
        let part = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", part(&header), part(&claims))
    };
    let (head, tail) = place
        .signed(&here, json!({}))
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let bad = [
        ("no token", "nothing".to_owned()),
        ("alg none", bare(json!({ "alg": "none" }))),
        (
            "the public key as a secret",
            hs(jwks(&[("k1", &place.key)]).as_bytes()),
        ),
        (
            "another key under the same id",
            sign_jwt(SigningAlg::Es256, "k1", "JWT", &stranger, &claims).unwrap(),
        ),
        (
            "an algorithm that was not agreed on",
            sign_jwt(SigningAlg::Rs256, "k1", "JWT", &rsa, &claims).unwrap(),
        ),
        (
            "a key id that is a path",
            sign_jwt(SigningAlg::Es256, "../k1", "JWT", &place.key, &claims).unwrap(),
        ),
        (
            "a key in the header",
            bare(json!({ "alg": "ES256", "kid": "k1", "jwk": {} })),
        ),
        (
            "the address of a key in the header",
            bare(json!({ "alg": "ES256", "kid": "k1", "jku": place.idp.url })),
        ),
        (
            "a changed signature",
            format!(
                "{head}.{}{}",
                if tail.starts_with('A') { "B" } else { "A" },
                &tail[1..]
            ),
        ),
        (
            "for another purpose",
            sign_jwt(SigningAlg::Es256, "k1", "logout+jwt", &place.key, &claims).unwrap(),
        ),
        (
            "another audience",
            place.signed("https://elsewhere.example/token", json!({})),
        ),
        ("no audience", place.signed(&here, json!({ "aud": null }))),
        (
            "over",
            place.signed(&here, json!({ "iat": now() - 400, "exp": now() - 100 })),
        ),
        ("no end", place.signed(&here, json!({ "exp": null }))),
        ("too long", place.signed(&here, json!({ "exp": now() + 3_000 }))),
        (
            "from the future",
            place.signed(&here, json!({ "iat": now() + 200 })),
        ),
        (
            "an end that is a text",
            place.signed(&here, json!({ "exp": (now() + 300).to_string() })),
        ),
        ("no id", place.signed(&here, json!({ "jti": null }))),
        (
            "an unknown issuer",
            place.signed(&here, json!({ "iss": "https://evil.example" })),
        ),
        (
            "the issuer with a slash",
            place.signed(&here, json!({ "iss": format!("{ISSUER}/") })),
        ),
        ("an unknown subject", place.signed(&here, json!({ "sub": "eve" }))),
        ("no subject", place.signed(&here, json!({ "sub": null }))),
        (
            "an id of ours as the subject",
            place.signed(&here, json!({ "sub": place.user })),
        ),
    ];
    for (what, assertion) in bad {
        let (status, answer) = place.redeem(&assertion).await;
        assert_eq!(
            (status, &answer["error"]),
            (400, &json!("invalid_grant")),
            "{what}: {answer}"
        );
    }
    let (status, answer) = place
        .redeem_as(&other, &place.signed(&here, json!({})), &[])
        .await;
    assert_eq!(
        (status, &answer["error"]),
        (400, &json!("invalid_grant")),
        "of a client that may not bring it"
    );
    let wider = [("scope", "tickets:write")];
    let (status, answer) = place
        .redeem_as(&place.client, &place.signed(&here, json!({})), &wider)
        .await;
    assert_eq!(
        (status, &answer["error"]),
        (400, &json!("invalid_scope")),
        "{answer}"
    );
    // Unknown key ids do not make this machine ask again and again.
    assert!(
        place.idp.requests().len() <= 3,
        "{} requests for keys",
        place.idp.requests().len()
    );

    // A code or a secret in the address is refused, whatever the body says.
    let fields = [
        ("grant_type", GRANT),
        ("assertion", "x"),
        ("client_id", "a"),
        ("client_secret", "b"),
    ];
    let in_address = http()
        .post(format!(
            "{}?grant_type=client_credentials&client_secret=b",
            place.token_url()
        ))
        .form(&fields)
        .send()
        .await
        .unwrap();
    assert_eq!(in_address.status(), 400);
    assert_eq!(
        in_address.json::<Value>().await.unwrap()["error"],
        "invalid_request"
    );

    // A change of what was agreed on ends what was given; a disabled person gets nothing.
    let (_, issued) = place.redeem(&place.signed(&here, json!({}))).await;
    let token = issued["access_token"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/trusted-issuers/{}", text(&issuer, "id"));
    let changed = place
        .rest
        .send(Method::PATCH, &path, Some(&json!({ "enabled": false })))
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(place.ask("/projects", &token).await.0, 401);
    assert_eq!(place.redeem(&place.signed(&here, json!({}))).await.0, 400);

    // Nuxeo's form: a secret of one client, HS512, no aud, exp and jti; off unless it is switched on.
    let secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let shared = |claims: &Value| {
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS512);
        jsonwebtoken::encode(
            &header,
            claims,
            &jsonwebtoken::EncodingKey::from_secret(secret.as_bytes()),
        )
        .unwrap()
    };
    let legacy = json!({
        "name": "Nuxeo", "issuer": "nuxeo", "uses": ["jwt_bearer"], "keySource": "shared_secret", "algorithms": [],
        "jwksUri": null, "secret": secret,
    });
    let nuxeo = place.trust(legacy).await;
    assert_eq!(
        (&nuxeo["hasSecret"], &nuxeo["secret"]),
        (&json!(true), &Value::Null),
        "{nuxeo}"
    );
    let bare = |iat: i64| json!({ "iss": "nuxeo", "sub": "ada", "iat": iat });
    assert_eq!(place.redeem(&shared(&bare(now()))).await.0, 400, "off by default");
    let path = format!("/api/v1/trusted-issuers/{}", text(&nuxeo, "id"));
    let changed = place
        .rest
        .send(Method::PATCH, &path, Some(&json!({ "allowIncomplete": true })))
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let young = shared(&bare(now() - 10));
    let (status, issued) = place.redeem(&young).await;
    assert_eq!(status, 200, "{issued}");
    assert!(
        issued["refresh_token"].is_string(),
        "with a refresh token in the answer: {issued}"
    );
    assert_eq!(place.redeem(&young).await.0, 400, "each once");
    for (what, claims) in [
        ("old", bare(now() - 400)),
        ("from the future", bare(now() + 400)),
        ("without a time", json!({ "iss": "nuxeo", "sub": "ada" })),
        (
            "with an audience that is not ours",
            json!({ "iss": "nuxeo", "sub": "ada", "iat": now(), "aud": "x" }),
        ),
        (
            "over",
            json!({ "iss": "nuxeo", "sub": "ada", "iat": now() - 200, "exp": now() - 100 }),
        ),
        (
            "with an end, and without a time",
            json!({ "iss": "nuxeo", "sub": "ada", "exp": now() + 100 }),
        ),
        (
            "with an end, and old",
            json!({ "iss": "nuxeo", "sub": "ada", "iat": now() - 400, "exp": now() + 100 }),
        ),
        (
            "without an id alone, and old",
            json!({
                "iss": "nuxeo", "sub": "ada", "iat": now() - 400, "exp": now() + 100,
                "aud": place.mailgrant.base_url,
            }),
        ),
    ] {
        assert_eq!(place.redeem(&shared(&claims)).await.0, 400, "{what}");
    }
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", issued["refresh_token"].as_str().unwrap()),
    ];
    let refreshed = http()
        .post(place.token_url())
        .basic_auth(
            text(&place.client, "clientId"),
            Some(text(&place.client, "clientSecret")),
        )
        .form(&refresh)
        .send()
        .await
        .unwrap();
    assert_eq!(refreshed.status(), 200, "{}", refreshed.text().await.unwrap());
    let log = place
        .rest
        .get("/api/v1/audit-events?action=trusted_issuer.*")
        .await;
    assert!(
        log["items"].as_array().unwrap().len() >= 4 && !log.to_string().contains(secret),
        "{log}"
    );
}

async fn cb_16_n65_foreign_tokens_open_the_api_as_far_as_was_agreed(database: TestDatabase) {
    let place = Place::start(database).await;
    let api = place.api();
    let (status, ..) = place.ask("/projects", &place.signed(&api, json!({}))).await;
    assert_eq!(status, 401, "nobody is trusted yet");
    let issuer = place.trust(json!({ "uses": ["api"] })).await;

    let token = place.signed(&api, json!({}));
    let (status, _, seen) = place.ask("/projects", &token).await;
    assert_eq!(
        (status, &seen["items"][0]["key"]),
        (200, &json!("HELP")),
        "{seen}"
    );
    assert_eq!(
        place.ask("/projects", &token).await.0,
        200,
        "an access token counts as long as it lives"
    );
    let (status, challenge, _) = place.ask("/mailboxes", &token).await;
    assert_eq!(status, 403);
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("mailboxes:read"),
        "{challenge}"
    );
    let ticket = format!("{api}/tickets");
    let written = http()
        .post(&ticket)
        .bearer_auth(&token)
        .json(&json!({ "projectId": place.project, "subject": "x" }))
        .send()
        .await
        .unwrap();
    assert_eq!(
        written.status(),
        403,
        "tickets:write was not agreed on, whatever the token says"
    );
    // Own tokens side by side.
    assert_eq!(
        place
            .rest
            .send(Method::GET, "/api/v1/projects", None)
            .await
            .status,
        200
    );

    let claims = place.claims(&api, json!({}));
    let stranger = new_signing_key(SigningAlg::Es256).unwrap();
    for (what, token) in [
        ("audience", place.signed("https://elsewhere.example", json!({}))),
        ("our token endpoint", place.signed(&place.token_url(), json!({}))),
        (
            "issuer",
            place.signed(&api, json!({ "iss": "https://evil.example" })),
        ),
        (
            "end",
            place.signed(&api, json!({ "iat": now() - 400, "exp": now() - 100 })),
        ),
        ("life", place.signed(&api, json!({ "exp": now() + 5_000 }))),
        ("subject", place.signed(&api, json!({ "sub": "eve" }))),
        (
            "key",
            sign_jwt(SigningAlg::Es256, "k1", "JWT", &stranger, &claims).unwrap(),
        ),
        (
            "type",
            sign_jwt(SigningAlg::Es256, "k1", "dpop+jwt", &place.key, &claims).unwrap(),
        ),
        ("an ID token", place.signed(&api, json!({ "nonce": "n" }))),
        (
            "bound to a key",
            place.signed(
                &api,
                json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }),
            ),
        ),
    ] {
        let (status, challenge, body) = place.ask("/projects", &token).await;
        assert_eq!(status, 401, "{what}: {body}");
        let expected = if what == "issuer" {
            "Bearer"
        } else {
            "error=\"invalid_token\""
        };
        assert!(challenge.contains(expected), "{what}: {challenge}");
    }

    // Whose other tokens could be taken for one says so: then only what calls itself an access token is one.
    let path = format!("/api/v1/trusted-issuers/{}", text(&issuer, "id"));
    let strict = json!({ "requireAtJwt": true });
    let kept = place
        .rest
        .send(Method::PATCH, &path, Some(&strict))
        .await
        .ok(&path);
    assert_eq!(kept["requireAtJwt"], true);
    for (typ, expected) in [("JWT", 401), ("at+jwt", 200), ("application/AT+JWT", 200)] {
        let token = sign_jwt(SigningAlg::Es256, "k1", typ, &place.key, &claims).unwrap();
        assert_eq!(place.ask("/projects", &token).await.0, expected, "{typ}");
    }
    let lax = json!({ "requireAtJwt": false });
    place.rest.send(Method::PATCH, &path, Some(&lax)).await.ok(&path);
    let nowhere = json!({ "uses": ["jwt_bearer"], "requireAtJwt": true });
    assert_eq!(
        place.rest.send(Method::PATCH, &path, Some(&nowhere)).await.status,
        422
    );

    // A new key of the provider's is fetched; while the provider is down nobody says that a token is wrong.
    let rotated = new_signing_key(SigningAlg::Es256).unwrap();
    let by_new_key = sign_jwt(
        SigningAlg::Es256,
        "k2",
        "at+jwt",
        &rotated,
        &place.claims(&api, json!({})),
    )
    .unwrap();
    let down = json!({ "jwksUri": "http://127.0.0.1:9/keys" });
    assert_eq!(
        place.rest.send(Method::PATCH, &path, Some(&down)).await.status,
        200
    );
    for _ in 0..2 {
        let (status, retry, body) = place.ask("/projects", &by_new_key).await;
        assert_eq!(
            (status, retry.as_str(), &body["code"]),
            (503, "15", &json!("issuer_unavailable")),
            "{body}"
        );
    }
    place
        .idp
        .answer_always(Answer::json(200, &jwks(&[("k1", &place.key), ("k2", &rotated)])));
    let up = json!({ "jwksUri": format!("{}/new-keys", place.idp.url) });
    assert_eq!(place.rest.send(Method::PATCH, &path, Some(&up)).await.status, 200);
    assert_eq!(place.ask("/projects", &by_new_key).await.0, 200);

    // A key id that nobody knows, while the keys cannot be had: nobody can say about that token; the others go on, as long
    // as their keys are remembered.
    let id = text(&issuer, "id");
    place
        .behind_its_back(&format!(
            "UPDATE trusted_issuer_keys SET tried_at = tried_at - 120000, fetched_at = fetched_at - 120000 WHERE issuer_id = '{id}'"
        ))
        .await;
    place.idp.answer_always(Answer::json(500, "{}"));
    let claims_again = place.claims(&api, json!({}));
    let by_unknown = sign_jwt(SigningAlg::Es256, "k3", "at+jwt", &rotated, &claims_again).unwrap();
    let asked = place.idp.requests().len();
    for _ in 0..3 {
        assert_eq!(place.ask("/projects", &by_unknown).await.0, 503);
        assert_eq!(place.ask("/projects", &by_new_key).await.0, 200);
        assert_eq!(
            place.ask("/projects", &place.signed(&api, json!({}))).await.0,
            200
        );
    }
    assert_eq!(
        place.idp.requests().len(),
        asked + 1,
        "once a minute, whatever strangers send"
    );
    place
        .idp
        .answer_always(Answer::json(200, &jwks(&[("k1", &place.key), ("k2", &rotated)])));

    // Another key under the name of the one before: fetched as well, and as seldom.
    let third = new_signing_key(SigningAlg::Es256).unwrap();
    place
        .idp
        .answer_always(Answer::json(200, &jwks(&[("k1", &third)])));
    let by_third = sign_jwt(SigningAlg::Es256, "k1", "at+jwt", &third, &claims_again).unwrap();
    place
        .behind_its_back(&format!(
            "UPDATE trusted_issuer_keys SET tried_at = tried_at - 120000 WHERE issuer_id = '{id}'"
        ))
        .await;
    let asked = place.idp.requests().len();
    for _ in 0..3 {
        assert_eq!(place.ask("/projects", &by_third).await.0, 200);
        assert_eq!(
            place.ask("/projects", &place.signed(&api, json!({}))).await.0,
            401
        );
    }
    assert_eq!(place.idp.requests().len(), asked + 1);

    // Asked about (RFC 7662): with our credentials, remembered for a while, and by nobody who is not meant.
    let asked = ScriptedHttp::start().await;
    let active = json!({
        "active": true, "sub": "ada", "scope": "tickets:read", "exp": now() + 300, "iat": now(), "client_id": "desk",
    });
    asked.answer_always(Answer::json(200, &active.to_string()));
    let by_asking = |audiences: Value| {
        json!({
            "name": "Opaque", "issuer": "https://opaque.example", "uses": ["api"], "keySource": "introspection",
            "jwksUri": null, "introspectionEndpoint": format!("{}/introspect", asked.url),
            "introspectionClientId": "mailgrant", "secret": "introspection-secret", "tokenPrefix": "opq_",
            "subjectTable": { "ada": place.user }, "audiences": audiences,
        })
    };
    let refused = place
        .rest
        .send_once("/api/v1/trusted-issuers", &by_asking(json!([])))
        .await;
    assert!(
        refused.status == 422 && refused.json.to_string().contains("any other application"),
        "{refused:?}"
    );
    let opaque = place.trust(by_asking(json!(["desk", api]))).await;
    assert_eq!(opaque["hasSecret"], true, "{opaque}");
    // Given to another application, or to nobody knows whom: not for here.
    for (n, (changes, expected)) in [
        (json!({ "client_id": "wiki" }), 401),
        (json!({ "client_id": null }), 401),
        (json!({ "aud": "https://wiki.example" }), 401),
        (json!({ "aud": [] }), 401),
        (json!({ "client_id": "wiki", "aud": api }), 200),
    ]
    .into_iter()
    .enumerate()
    {
        let mut answer = active.clone();
        for (name, value) in changes.as_object().unwrap() {
            answer[name] = value.clone();
        }
        asked.answer_always(Answer::json(200, &answer.to_string()));
        assert_eq!(
            place.ask("/tickets", &format!("opq_other_{n}")).await.0,
            expected,
            "{changes}"
        );
    }
    asked.answer_always(Answer::json(200, &active.to_string()));
    let before = asked.requests().len();
    for _ in 0..3 {
        assert_eq!(place.ask("/tickets", "opq_token").await.0, 200);
    }
    let requests = asked.requests();
    assert_eq!(requests.len(), before + 1, "remembered");
    assert_eq!(requests[before].form("token").as_deref(), Some("opq_token"));
    assert_eq!(
        requests[before].headers["authorization"],
        "Basic bWFpbGdyYW50OmludHJvc3BlY3Rpb24tc2VjcmV0"
    );
    for token in [
        "other_token",
        "mg_pat_mistyped",
        "mg_at_mistyped",
        &place.signed(&api, json!({ "iss": "x" })),
    ] {
        assert_eq!(place.ask("/tickets", token).await.0, 401, "{token}");
    }
    assert_eq!(
        asked.requests().len(),
        before + 1,
        "nobody else's token is shown to it"
    );
    asked.answer_always(Answer::json(200, &json!({ "active": false }).to_string()));
    for _ in 0..3 {
        let (status, challenge, _) = place.ask("/tickets", "opq_dead").await;
        assert!(
            status == 401 && challenge.contains("invalid_token"),
            "{status} {challenge}"
        );
    }
    assert_eq!(
        asked.requests().len(),
        before + 2,
        "a refusal is remembered as well"
    );
    for answer in [
        Answer::json(500, "{}"),
        Answer::json(401, "{}"),
        Answer::text(200, "text/html", "<html>"),
        Answer::json(200, "{\"active\":\"true\"}"),
        Answer::json(302, "{}").header("Location", "http://127.0.0.1:1/"),
    ] {
        asked.answer_always(answer.clone());
        assert_eq!(place.ask("/tickets", "opq_unsure").await.0, 503, "{answer:?}");
    }
    // Two that could be asked about one token are not both taken.
    let clash = json!({
        "name": "Second", "issuer": "https://second.example", "uses": ["api"], "enabled": true,
        "keySource": "introspection", "introspectionEndpoint": format!("{}/i", asked.url),
        "introspectionClientId": "m", "secret": "s", "tokenPrefix": "opq", "subjectTable": { "ada": place.user },
        "audiences": [api],
    });
    let refused = place.rest.send_once("/api/v1/trusted-issuers", &clash).await;
    assert_eq!(refused.status, 409, "{refused:?}");
}

//! Tokens and answers that must open nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailgrant::crypto::{self, SigningAlg};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::liar::{Answer, CLIENT, Liar, now, part};
use super::stage::{ADMIN, Alone, code_of};
use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::wait::{SOON, eventually};

on_each_database!(n60_a_callback_without_its_own_state_browser_issuer_or_code_lets_nobody_in,);

/// Changes of good claims (null takes one out), and the code of the page (one of several where the library may be faster).
fn claims_table() -> Vec<(&'static str, Value, &'static str)> {
    let now = now();
    vec![
        (
            "wrong iss",
            json!({ "iss": "https://evil.example" }),
            "id_token_issuer",
        ),
        (
            "iss with a slash more",
            json!({ "iss": "ISSUER/" }),
            "id_token_issuer",
        ),
        (
            "no iss",
            json!({ "iss": null }),
            "id_token_claims|id_token_issuer",
        ),
        (
            "template iss",
            json!({ "iss": "https://login.microsoftonline.com/{tenantid}/v2.0" }),
            "id_token_issuer",
        ),
        ("another aud", json!({ "aud": "another" }), "id_token_audience"),
        (
            "no aud",
            json!({ "aud": null }),
            "id_token_claims|id_token_audience",
        ),
        ("empty aud", json!({ "aud": [] }), "id_token_audience"),
        (
            "aud array without azp",
            json!({ "aud": [CLIENT, "another"] }),
            "id_token_audience",
        ),
        (
            "aud array with another azp",
            json!({ "aud": [CLIENT, "another"], "azp": "another" }),
            "id_token_audience",
        ),
        (
            "another azp",
            json!({ "azp": "another" }),
            "id_token_authorized_party",
        ),
        (
            "azp that is no text",
            json!({ "azp": 7 }),
            "id_token_claims|id_token_authorized_party",
        ),
        ("over", json!({ "exp": now - 120 }), "id_token_expired"),
        ("no exp", json!({ "exp": null }), "id_token_claims"),
        ("exp as a text", json!({ "exp": "tomorrow" }), "id_token_claims"),
        ("not yet", json!({ "nbf": now + 600 }), "id_token_in_future"),
        ("nbf as a text", json!({ "nbf": "now" }), "id_token_claims"),
        (
            "made in the future",
            json!({ "iat": now + 600 }),
            "id_token_in_future",
        ),
        ("made long ago", json!({ "iat": now - 3600 }), "id_token_too_old"),
        ("no iat", json!({ "iat": null }), "id_token_claims"),
        ("no nonce", json!({ "nonce": null }), "id_token_nonce"),
        ("another nonce", json!({ "nonce": "another" }), "id_token_nonce"),
        (
            "nonce as a list",
            json!({ "nonce": ["x"] }),
            "id_token_claims|id_token_nonce",
        ),
        ("empty sub", json!({ "sub": "" }), "id_token_subject"),
        ("blank sub", json!({ "sub": "  " }), "id_token_subject"),
        ("no sub", json!({ "sub": null }), "id_token_claims"),
        ("sub as a list", json!({ "sub": ["ada"] }), "id_token_claims"),
        ("sub as a number", json!({ "sub": 7 }), "id_token_claims"),
        (
            "sub of 256 characters",
            json!({ "sub": "x".repeat(256) }),
            "id_token_subject",
        ),
        (
            "at_hash of another token",
            json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" }),
            "id_token_access_token",
        ),
        (
            "at_hash as a number",
            json!({ "at_hash": 7 }),
            "id_token_claims|id_token_access_token",
        ),
    ]
}

/// Tokens that are wrong beyond their claims.
fn built_table(liar: &Liar, good: &Value) -> Vec<(&'static str, String, &'static str)> {
    let token = liar.sign(good);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let other = crypto::new_signing_key(SigningAlg::Rs256).unwrap();
    let by_other = |kid: &str| crypto::sign_jwt(SigningAlg::Rs256, kid, "JWT", &other, good).unwrap();
    let with_header = |header: &Value| {
        // Signed rightly over what it says, with the provider's own key: only the header is wrong.
        let input = format!("{}.{payload}", part(header));
        format!("{input}.{}", rs256(&liar.key, &input))
    };
    let public = liar.public("k1");
    let hmac = |key: &[u8]| {
        let input = format!(
            "{}.{payload}",
            part(&json!({ "alg": "HS256", "kid": "k1", "typ": "JWT" }))
        );
        let mac = crypto::hmac_sha256(key, &[input.as_bytes()]);
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac))
    };
    let twice = format!(
        "{{\"sub\":\"root\",{}",
        String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap())
            .unwrap()
            .trim_start_matches('{')
    );
    let twice = format!("{header}.{}", URL_SAFE_NO_PAD.encode(twice));
    let nested = liar.sign(&json!({ "iss": liar.issuer, "jwt": token }));
    vec![
        (
            "alg none",
            format!("{}.{payload}.", part(&json!({ "alg": "none", "typ": "JWT" }))),
            "id_token_algorithm",
        ),
        (
            "alg None",
            format!("{}.{payload}.", part(&json!({ "alg": "NoNe" }))),
            "id_token_algorithm",
        ),
        (
            "no alg",
            format!("{}.{payload}.{signature}", part(&json!({ "kid": "k1" }))),
            "id_token_algorithm",
        ),
        (
            "HS256 with the public key",
            hmac(public["n"].as_str().unwrap().as_bytes()),
            "id_token_algorithm",
        ),
        (
            "HS256 with the client secret",
            hmac(b"secret-of-the-liar"),
            "id_token_algorithm",
        ),
        (
            "RS384, which it does not announce",
            with_header(&json!({ "alg": "RS384", "kid": "k1" })),
            "id_token_algorithm",
        ),
        ("another key under its kid", by_other("k1"), "id_token_signature"),
        ("a kid that it does not publish", by_other("k2"), "id_token_key"),
        (
            "a kid that is a path",
            by_other("../../../dev/null"),
            "id_token_key",
        ),
        (
            "ES256 over an RSA key",
            format!(
                "{}.{payload}.{signature}",
                part(&json!({ "alg": "ES256", "kid": "k1" }))
            ),
            "id_token_key",
        ),
        (
            "a crit header",
            with_header(&json!({ "alg": "RS256", "kid": "k1", "crit": ["exp"] })),
            "id_token_header",
        ),
        (
            "an embedded jwk",
            with_header(&json!({ "alg": "RS256", "kid": "k1", "jwk": public })),
            "id_token_header",
        ),
        (
            "a jku",
            with_header(&json!({ "alg": "RS256", "kid": "k1", "jku": "https://evil.example/jwks" })),
            "id_token_header",
        ),
        (
            "an x5u",
            with_header(&json!({ "alg": "RS256", "kid": "k1", "x5u": "https://evil.example/x" })),
            "id_token_header",
        ),
        (
            "an access token by its typ",
            with_header(&json!({ "alg": "RS256", "kid": "k1", "typ": "at+jwt" })),
            "id_token_unsupported",
        ),
        (
            "a nested token by its cty",
            with_header(&json!({ "alg": "RS256", "kid": "k1", "cty": "JWT" })),
            "id_token_unsupported",
        ),
        ("a token in a token", nested, "id_token_claims"),
        (
            "sub twice",
            format!("{twice}.{}", rs256(&liar.key, &twice)),
            "id_token_malformed",
        ),
        (
            "without its signature",
            format!("{signed}."),
            "id_token_signature",
        ),
        (
            "truncated",
            token[..token.len() - 8].to_owned(),
            "id_token_signature|id_token_malformed",
        ),
        ("two parts", signed.to_owned(), "id_token_malformed"),
        ("four parts", format!("{token}.x"), "id_token_malformed"),
        (
            "five parts, encrypted",
            format!(
                "{}.a.b.c.d",
                part(&json!({ "alg": "RSA-OAEP", "enc": "A256GCM" }))
            ),
            "id_token_malformed",
        ),
        (
            "padding",
            format!("{header}=.{payload}.{signature}"),
            "id_token_malformed",
        ),
        (
            "another payload",
            format!("{header}.{}.{signature}", part(&json!({ "sub": "root" }))),
            "id_token_claims",
        ),
        (
            "40 kB",
            liar.sign(&json!({ "iss": liar.issuer, "x": "x".repeat(40_000) })),
            "id_token_malformed",
        ),
        ("empty", String::new(), "no_id_token"),
        ("no token", "hello".to_owned(), "id_token_malformed"),
    ]
}

fn rs256(key: &SecretString, input: &str) -> String {
    jsonwebtoken::crypto::sign(
        input.as_bytes(),
        &jsonwebtoken::EncodingKey::from_rsa_pem(key.expose_secret().as_bytes()).unwrap(),
        jsonwebtoken::Algorithm::RS256,
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn n61_more_than_forty_forged_id_tokens_are_refused_and_the_true_one_is_not() {
    let stage = Alone::start().await;
    let liar = &stage.liar;
    let mut forged = 0;
    for (name, changes, code) in claims_table() {
        let seen = stage
            .come_back_with(|nonce| {
                let mut claims = liar.claims("mallory", nonce);
                for (member, value) in changes.as_object().unwrap() {
                    let value = match value.as_str() {
                        Some("ISSUER/") => json!(format!("{}/", liar.issuer)),
                        _ => value.clone(),
                    };
                    match value.is_null() {
                        true => drop(claims.as_object_mut().unwrap().remove(member)),
                        false => claims[member] = value,
                    }
                }
                liar.sign(&claims)
            })
            .await;
        let found = code_of(&seen);
        let is_one = code.split('|').any(|code| code == found);
        assert!(seen.status == 400 && is_one, "{name}: {found}");
        assert!(!seen.headers.contains_key("set-cookie"), "{name}");
        forged += 1;
    }
    let names: Vec<&str> = built_table(liar, &liar.claims("x", "x"))
        .iter()
        .map(|row| row.0)
        .collect();
    for (at, name) in names.into_iter().enumerate() {
        let mut code = "";
        let seen = stage
            .come_back_with(|nonce| {
                let row = built_table(liar, &liar.claims("mallory", nonce)).remove(at);
                code = row.2;
                row.1
            })
            .await;
        let found = code_of(&seen);
        let is_one = code.split('|').any(|code| code == found);
        assert!(seen.status == 400 && is_one, "{name}: {found}");
        forged += 1;
    }
    assert!(forged >= 40, "{forged}");
    assert_eq!(
        stage.rest.all("/api/v1/users").await.len(),
        1,
        "nobody got an account"
    );
    let seen = stage
        .come_back_with(|nonce| liar.sign(&liar.claims("grace", nonce)))
        .await;
    assert_eq!(seen.status, 303, "{}", code_of(&seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn n61_a_kid_that_is_not_known_is_looked_for_once_and_then_refused() {
    let stage = Alone::start().await;
    let liar = &stage.liar;
    let other = crypto::new_signing_key(SigningAlg::Rs256).unwrap();
    let looks = async |is_known: bool| {
        let before = liar.asked("/jwks").len();
        let make = |nonce: &str| {
            let claims = liar.claims("grace", nonce);
            match is_known {
                true => liar.sign(&claims),
                false => crypto::sign_jwt(SigningAlg::Rs256, "k2", "JWT", &other, &claims).unwrap(),
            }
        };
        let seen = stage.come_back_with(make).await;
        let expected = if is_known { "303 /tickets" } else { "id_token_key" };
        assert_eq!(code_of(&seen), expected);
        liar.asked("/jwks").len() - before
    };
    assert_eq!(looks(true).await, 0, "its keys are known");
    // Not more often than ten times a second, whoever asks.
    eventually("its keys are fetched anew", SOON, async || {
        let fetched = looks(false).await;
        assert!(fetched <= 1, "{fetched} times");
        (fetched == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n61_userinfo_about_somebody_else_and_answers_that_are_none_let_nobody_in() {
    let stage = Alone::start().await;
    let liar = &stage.liar;
    let without_email = |nonce: &str| {
        let mut claims = liar.claims("mallory", nonce);
        claims.as_object_mut().unwrap().remove("email");
        liar.sign(&claims)
    };
    for (userinfo, status, code) in [
        (
            Answer::json(&json!({ "sub": "root", "email": ADMIN, "email_verified": true })),
            400,
            "userinfo_of_somebody_else",
        ),
        (
            Answer::json(&json!({ "email": ADMIN, "email_verified": true })),
            400,
            "userinfo_of_somebody_else",
        ),
        (
            Answer::of(200, "text/html", "<html>hello</html>"),
            502,
            "unreadable_answer",
        ),
        (Answer::of(500, "text/plain", "oops"), 502, "provider_unavailable"),
        (
            Answer::of(200, "application/json", &"x".repeat(200_000)),
            400,
            "http_answer_too_large",
        ),
    ] {
        liar.set("/userinfo", userinfo);
        let seen = stage.come_back_with(without_email).await;
        assert_eq!((seen.status, code_of(&seen).as_str()), (status, code));
        assert!(seen.body.contains("What to do:"));
    }
    let claims = json!({ "sub": "mallory", "email": 7 });
    liar.set("/userinfo", Answer::json(&claims));
    let seen = stage.come_back_with(without_email).await;
    assert_eq!(code_of(&seen), "claim_wrong_type");
    // The token endpoint on a bad day.
    let mut moved = Answer::of(302, "text/html", "");
    moved.location = format!("{}/token2", liar.issuer);
    for (answer, status, code) in [
        (
            Answer::of(200, "text/html", "<html>hello</html>"),
            502,
            "unreadable_answer",
        ),
        (
            Answer::of(500, "text/html", "<html>oops</html>"),
            502,
            "provider_unavailable",
        ),
        (
            Answer::of(400, "application/json", "{\"error\":\"invalid_grant\"}"),
            400,
            "invalid_grant",
        ),
        (
            Answer::of(
                401,
                "application/json",
                "{\"error\":\"invalid_client\",\"error_description\":\"<b>no</b>\"}",
            ),
            400,
            "invalid_client",
        ),
        (
            Answer::of(
                200,
                "application/json",
                "{\"access_token\":\"x\",\"access_token\":\"y\"}",
            ),
            502,
            "unreadable_answer",
        ),
        (moved, 400, "redirected"),
    ] {
        let seen = stage.come_back_to(answer).await;
        assert_eq!((seen.status, code_of(&seen).as_str()), (status, code));
        assert!(!seen.body.contains("<b>no</b>"), "what a provider says is text");
    }
    assert_eq!(stage.rest.all("/api/v1/users").await.len(), 1);
}

async fn n60_a_callback_without_its_own_state_browser_issuer_or_code_lets_nobody_in(database: TestDatabase) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    let liar = &stage.liar;
    let iss: String = url::form_urlencoded::byte_serialize(liar.issuer.as_bytes()).collect();
    let callback = |query: &str| format!("/sso/{}/callback?{query}", stage.id);
    for query in [
        "",
        "code=x",
        "code=x&state=",
        "code=x&state=nobodys",
        "code=x&state=a&state=b",
        "error=access_denied",
    ] {
        let seen = stage.visitor().get(&callback(query)).await;
        assert_eq!(
            (seen.status, code_of(&seen).as_str()),
            (400, "state_unknown"),
            "{query}"
        );
    }
    // Each begun properly, and spoilt on the way back.
    for (query, code) in [
        ("code=x".to_owned(), "wrong_issuer"),
        (format!("code=x&iss={iss}%2F"), "wrong_issuer"),
        ("code=x&iss=https%3A%2F%2Fevil.example".to_owned(), "wrong_issuer"),
        (format!("iss={iss}"), "no_code"),
        (
            format!("iss={iss}&error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E"),
            "access_denied",
        ),
        (
            format!("iss={iss}&error=temporarily_unavailable"),
            "temporarily_unavailable",
        ),
        (
            format!("iss={iss}&error=unauthorized_client&code=x"),
            "unauthorized_client",
        ),
    ] {
        let browser = stage.visitor();
        let off = stage.off(&browser).await;
        let seen = browser
            .get(&callback(&format!("{query}&state={}", off.state)))
            .await;
        assert_eq!(code_of(&seen), code, "{query}");
        assert!(!seen.body.contains("<script>alert"), "{}", seen.body);
        assert!(!seen.headers.contains_key("set-cookie"));
    }
    // A state of another browser, whose code an attacker wants to plant.
    let theirs = stage.visitor();
    let off = stage.off(&theirs).await;
    liar.gives(&liar.sign(&liar.claims("mallory", &off.nonce)));
    let good = callback(&format!("code=x&iss={iss}&state={}", off.state));
    let seen = stage.visitor().get(&good).await;
    assert_eq!(code_of(&seen), "state_unknown", "login CSRF");
    // In its own browser it works, once.
    assert_eq!(theirs.get(&good).await.status, 303);
    assert_eq!(code_of(&theirs.get(&good).await), "state_unknown", "used twice");
    // A state that belongs to another provider of ours.
    let other = stage.add("Second", &json!({})).await;
    let browser = stage.visitor();
    let off = stage.off(&browser).await;
    let mixed = format!("/sso/{other}/callback?code=x&iss={iss}&state={}", off.state);
    assert_eq!(code_of(&browser.get(&mixed).await), "state_unknown", "mix-up");
}

#[tokio::test(flavor = "multi_thread")]
async fn n64_a_discovery_document_that_is_not_right_is_not_saved_and_the_reason_is_shown() {
    let stage = Alone::start().await;
    let evil = "http://127.0.0.1:9/x";
    for (changes, code, said) in [
        (
            json!({ "issuer": "https://evil.example" }),
            "issuer_mismatch",
            "another issuer",
        ),
        (
            json!({ "token_endpoint": "http://8.8.8.8/token" }),
            "endpoint_plain_http",
            "token_endpoint",
        ),
        (
            json!({ "jwks_uri": "ftp://127.0.0.1/x" }),
            "endpoint_not_https",
            "jwks_uri",
        ),
        (
            json!({ "token_endpoint": "https://10.1.2.3/token" }),
            "address_not_allowed",
            "10.1.2.3",
        ),
        (
            json!({ "userinfo_endpoint": "https://169.254.169.254/latest" }),
            "address_not_allowed",
            "169.254.169.254",
        ),
        (
            json!({ "token_endpoint": evil }),
            "endpoint_on_other_host",
            "127.0.0.1:9",
        ),
        (
            json!({ "authorization_endpoint": null }),
            "discovery_invalid",
            "authorization_endpoint",
        ),
        (
            json!({ "response_types_supported": ["token"] }),
            "discovery_invalid",
            "code",
        ),
        (
            json!({ "id_token_signing_alg_values_supported": ["none", "HS256"] }),
            "discovery_invalid",
            "public key",
        ),
    ] {
        stage.liar.discovery(&changes);
        let reply = stage.try_to_add("Bad", &json!({})).await;
        assert_eq!(reply.status, 422, "{changes}: {}", reply.json);
        let error = &reply.json["errors"][0];
        assert_eq!(error["code"], code, "{changes}: {}", reply.json);
        assert!(error["detail"].as_str().unwrap().contains(said), "{error}");
    }
    let mut redirect = Answer::of(302, "text/html", "");
    redirect.location = format!("{}/elsewhere", stage.liar.issuer);
    for (answer, code) in [
        (
            Answer::of(
                200,
                "application/json",
                &format!("{{\"x\":\"{}\"}}", "x".repeat(1_000_000)),
            ),
            "http_answer_too_large",
        ),
        (
            Answer::of(200, "text/html", "<html>not found</html>"),
            "unreadable_answer",
        ),
        (
            Answer::of(200, "application/json", "{\"issuer\":\"a\",\"issuer\":\"b\"}"),
            "unreadable_answer",
        ),
        (redirect, "redirected"),
        (Answer::of(500, "text/plain", "oops"), "provider_unusable"),
    ] {
        stage.liar.set("/.well-known/openid-configuration", answer);
        let reply = stage.try_to_add("Bad", &json!({})).await;
        assert_eq!(
            (reply.status, &reply.json["errors"][0]["code"]),
            (422, &json!(code))
        );
    }
    for issuer in [
        "https://10.0.0.1",
        "http://login.example",
        "ftp://x",
        "nonsense",
        "",
    ] {
        let reply = stage.try_to_add("Bad", &json!({ "issuer": issuer })).await;
        assert_eq!(reply.status, 422, "{issuer}: {}", reply.json);
    }
    // A host that the admin names is one that may be.
    stage.liar.discovery(&json!({ "end_session_endpoint": evil }));
    let reply = stage
        .try_to_add("Good", &json!({ "otherHosts": ["127.0.0.1:9"] }))
        .await;
    assert_eq!(reply.status, 201, "{}", reply.json);
    assert_eq!(stage.rest.all("/api/v1/identity-providers").await.len(), 2);
}
